//! A document as a page: HTML, written from the document alone. All text is escaped; the one style
//! sheet stands in the page and is named in the policy by its hash, and nothing else may be loaded or run.

use std::fmt::Write;

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::BASE64;
use serde_json::{Map, Value};

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:16px/1.5 system-ui,sans-serif;margin:0 auto;max-width:60rem;padding:1rem}\
nav a{margin-right:1rem}\
code{font:.9em ui-monospace,monospace}\
h3{margin:2.5rem 0 .5rem;border-top:1px solid #8888;padding-top:1rem}\
pre{overflow:auto;padding:.5rem;border:1px solid #8888}\
table{border-collapse:collapse;margin:.5rem 0;width:100%}\
th,td{text-align:left;vertical-align:top;padding:.2rem .6rem .2rem 0;border-bottom:1px solid #8884}\
th{font-weight:600;white-space:nowrap}";

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// What a browser may do with a page: show it, in its own style.
pub(super) fn policy() -> String {
    let hash = BASE64.encode(digest(&SHA256, STYLE.as_bytes()).as_ref());
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    )
}

/// The page that lists all documents.
pub(super) fn list(all: &[(&str, Value)]) -> String {
    let mut page = String::new();
    for (face, document) in all {
        let info = &document["info"];
        let (title, about) = (escaped(text(&info["title"])), marked(text(&info["description"])));
        add(&mut page, format_args!("<h3><a href=\"/docs/{face}\">{title}</a></h3><p>{about}</p>"));
    }
    framed(all, "Requite's interfaces", &page)
}

/// One face's page.
pub(super) fn of(all: &[(&str, Value)], face: &str, document: &Value) -> String {
    let shown = Shown { document };
    let mut page =
        format!("<p>{}</p><p>Served at ", marked(text(&document["info"]["description"])));
    for server in items(&document["servers"]) {
        add(&mut page, format_args!("<code>{}</code> ", escaped(text(&server["url"]))));
    }
    add(&mut page, format_args!("· <a href=\"/openapi/{face}.json\">{face}.json</a></p><ul>"));
    let operations = shown.operations();
    for (method, path, operation) in &operations {
        let (id, method) = (escaped(text(&operation["operationId"])), method.to_uppercase());
        let (path, summary) = (escaped(path), marked(text(&operation["summary"])));
        add(
            &mut page,
            format_args!("<li><a href=\"#{id}\"><code>{method} {path}</code></a> {summary}</li>"),
        );
    }
    page.push_str("</ul><h2>Credentials</h2><dl>");
    for (name, scheme) in members(&document["components"]["securitySchemes"]) {
        let about = marked(text(&scheme["description"]));
        add(&mut page, format_args!("<dt><code>{}</code></dt><dd>{about}</dd>", escaped(name)));
    }
    page.push_str("</dl><h2>Calls</h2>");
    for (method, path, operation) in operations {
        shown.operation(&mut page, method, path, operation);
    }
    page.push_str("<h2>Shapes</h2>");
    for (name, schema) in members(&document["components"]["schemas"]) {
        let name = escaped(name);
        add(&mut page, format_args!("<h3 id=\"shape-{name}\">{name}</h3>"));
        shown.schema(&mut page, schema);
    }
    framed(all, text(&document["info"]["title"]), &page)
}

fn framed(all: &[(&str, Value)], title: &str, content: &str) -> String {
    let mut nav = String::from("<a href=\"/docs\">All</a>");
    for (face, document) in all {
        let name = escaped(text(&document["info"]["title"]));
        add(&mut nav, format_args!("<a href=\"/docs/{face}\">{name}</a>"));
    }
    let title = escaped(title);
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>{title}</title><style>{STYLE}</style></head><body>\
         <nav>{nav}</nav><main><h1>{title}</h1>{content}</main></body></html>"
    )
}

/// A document being shown.
struct Shown<'a> {
    document: &'a Value,
}

impl<'a> Shown<'a> {
    /// Method, path and operation of each.
    fn operations(&self) -> Vec<(&'static str, &'a str, &'a Value)> {
        let mut all = Vec::new();
        for (path, item) in members(&self.document["paths"]) {
            let here = METHODS.iter().filter_map(|method| Some((*method, item.get(method)?)));
            all.extend(here.map(|(method, operation)| (method, path, operation)));
        }
        all
    }

    /// What a reference names; anything else itself.
    fn resolved(&self, value: &'a Value) -> &'a Value {
        let pointer = value["$ref"].as_str().and_then(|name| name.strip_prefix('#'));
        pointer.and_then(|pointer| self.document.pointer(pointer)).unwrap_or(value)
    }

    fn operation(&self, page: &mut String, method: &str, path: &str, operation: &'a Value) {
        let id = escaped(text(&operation["operationId"]));
        let (method, path_text) = (method.to_uppercase(), escaped(path));
        add(page, format_args!("<h3 id=\"{id}\"><code>{method} {path_text}</code></h3>"));
        for name in ["summary", "description"] {
            add(page, format_args!("<p>{}</p>", marked(text(&operation[name]))));
        }
        let scopes: Vec<String> =
            items(&operation["x-scopes"]).iter().map(|scope| code(text(scope))).collect();
        let access = match (scopes.as_slice(), &operation["security"]) {
            ([], Value::Array(none)) if none.is_empty() => "No credential".to_owned(),
            ([], _) => "Any good credential".to_owned(),
            (scopes, _) => format!("A credential with the scope {}", scopes.join(" or ")),
        };
        add(page, format_args!("<p>{access}.</p>"));
        self.parameters(page, &self.document["paths"][path]["parameters"], operation);
        let body = self.resolved(&operation["requestBody"]);
        self.content(page, "Body", body);
        page.push_str("<table>");
        for (status, response) in members(&operation["responses"]) {
            let response = self.resolved(response);
            let about = marked(text(&response["description"]));
            add(page, format_args!("<tr><th>{}</th><td>{about}", escaped(status)));
            self.content(page, "", response);
            page.push_str("</td></tr>");
        }
        page.push_str("</table>");
    }

    fn parameters(&self, page: &mut String, shared: &'a Value, operation: &'a Value) {
        let own = items(&operation["parameters"]);
        let all: Vec<&Value> =
            items(shared).iter().chain(own).map(|parameter| self.resolved(parameter)).collect();
        if all.is_empty() {
            return;
        }
        page.push_str("<table>");
        for parameter in all {
            let (name, place) = (code(text(&parameter["name"])), escaped(text(&parameter["in"])));
            let about = marked(text(&parameter["description"]));
            let shape = shape(&parameter["schema"]);
            add(page, format_args!("<tr><th>{name}</th><td>{place}</td><td>{shape} {about}</td>"));
            page.push_str("</tr>");
        }
        page.push_str("</table>");
    }

    /// Schema and example of a body or an answer.
    fn content(&self, page: &mut String, name: &str, holder: &'a Value) {
        for (kind, content) in members(&holder["content"]) {
            add(page, format_args!("<p>{name} <code>{}</code>: ", escaped(kind)));
            self.schema(page, &content["schema"]);
            page.push_str("</p>");
            if let Some(example) = content.get("example") {
                let example = serde_json::to_string_pretty(example).unwrap_or_default();
                add(page, format_args!("<pre>{}</pre>", escaped(&example)));
            }
        }
    }

    /// A shape, with a table of its members if it is an object.
    fn schema(&self, page: &mut String, schema: &'a Value) {
        let about = marked(text(&schema["description"]));
        add(page, format_args!("{} {about}", shape(schema)));
        let properties = members(&schema["properties"]);
        let required = items(&schema["required"]);
        let mut rows = properties.peekable();
        if rows.peek().is_none() {
            return;
        }
        page.push_str("<table>");
        for (name, property) in rows {
            let is_required = required.iter().any(|required| text(required) == name);
            let mark = if is_required { "" } else { "optional" };
            add(page, format_args!("<tr><th>{}</th><td>{mark}</td><td>", code(name)));
            self.schema(page, property);
            page.push_str("</td></tr>");
        }
        page.push_str("</table>");
    }
}

/// A schema in a line.
fn shape(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|name| name.rsplit('/').next()) {
        let name = escaped(name);
        return format!("<a href=\"#shape-{name}\">{name}</a>");
    }
    if let Some(value) = schema.get("const") {
        return code(&plain(value));
    }
    let values = items(&schema["enum"]).iter().map(|value| code(&plain(value)));
    let values: Vec<String> = values.collect();
    if !values.is_empty() {
        return values.join(" or ");
    }
    let any = items(&schema["anyOf"]).iter().map(shape);
    let any: Vec<String> = any.collect();
    if !any.is_empty() {
        return any.join(" or ");
    }
    let mut line = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().map(text).collect::<Vec<_>>().join(" or "),
        kind => text(kind).to_owned(),
    };
    if let Some(items) = schema.get("items") {
        add(&mut line, format_args!(" of {}", shape(items)));
    }
    for (name, word) in LIMITS {
        if let Some(limit) = schema.get(name) {
            add(&mut line, format_args!(", {word} {}", code(&plain(limit))));
        }
    }
    line
}

/// What limits a value, and how that reads.
const LIMITS: [(&str, &str); 10] = [
    ("format", "as"),
    ("pattern", "as"),
    ("minimum", "at least"),
    ("exclusiveMinimum", "above"),
    ("maximum", "at most"),
    ("minLength", "characters at least"),
    ("maxLength", "characters at most"),
    ("minItems", "items at least"),
    ("maxItems", "items at most"),
    ("default", "usually"),
];

fn members(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter).map(|(name, value)| (name.as_str(), value))
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A text as it is, anything else as JSON.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn code(text: &str) -> String {
    format!("<code>{}</code>", escaped(text))
}

/// Text with what stands between backticks as code.
fn marked(text: &str) -> String {
    let parts = text.split('`').enumerate();
    parts.map(|(at, part)| if at % 2 == 1 { code(part) } else { escaped(part) }).collect()
}

fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', "&quot;")
}

fn add(page: &mut String, piece: std::fmt::Arguments<'_>) {
    page.write_fmt(piece).expect("a String takes every text");
}
