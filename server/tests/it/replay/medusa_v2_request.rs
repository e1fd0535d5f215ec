//! A recorded Medusa v2 request turned into one of ours: the same bytes, with our credentials.

use std::collections::BTreeMap;
use std::io::Write;

use data_encoding::BASE64;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use super::compare::Ids;
use super::recording::{members, mounted, text};
use super::shop::{Owner, Shop};
use super::tree::Tree;
use crate::support::{Request, Response};

/// What stands for the recorded credentials.
pub(super) struct Credentials {
    /// Our secret key.
    token: String,
    /// A log-in's token; none if nobody can log in.
    jwt: Option<String>,
    /// Our secret keys and session cookies, by the recorded ones that they stand for.
    known: Vec<(String, String)>,
}

impl Credentials {
    pub(super) fn new(token: String, jwt: Option<String>) -> Credentials {
        Credentials { token, jwt, known: Vec::new() }
    }

    /// Adds what the recordings' `Bearer ${JWT}` stands for.
    pub(super) fn sign(&self, request: Request) -> Request {
        request.header("authorization", &self.ours("Bearer ${JWT}"))
    }

    pub(super) fn can_log_in(&self) -> bool {
        self.jwt.is_some()
    }

    /// A key or a session that the recording has made and so have we: one stands for the other.
    pub(super) fn learn(&mut self, line: &Value, answer: &Response) {
        let told: Value = serde_json::from_str(text(line, "/response/body")).unwrap_or_default();
        let made = Tree::read(&answer.body).ok();
        let made = made.as_ref().and_then(|made| made.at("/api_key/token")).and_then(Tree::text);
        if let (Some(ours), recorded @ ("sk_" | "pk_")) =
            (made, text(&told, "/api_key/token").get(..3).unwrap_or_default())
        {
            if recorded == "sk_" && self.known.is_empty() {
                ours.clone_into(&mut self.token);
            }
            self.known.push((text(&told, "/api_key/token").to_owned(), ours.to_owned()));
        }
        let cookies = members(line, "/response/headers");
        let cookie =
            cookies.filter(|(name, _)| *name == "Set-Cookie").find_map(|(_, v)| v.as_str());
        if let (Some(recorded), Some(ours)) = (cookie, answer.header("Set-Cookie")) {
            let value = |text: &str| text.split(';').next().unwrap_or_default().to_owned();
            self.known.push((value(recorded), value(ours)));
        }
    }

    pub(super) fn request(&self, line: &Value, ids: &Ids) -> Result<Request, String> {
        let request = &line["request"];
        let target = mounted("medusa-v2", &ids.translate(text(request, "/path")));
        let mut made = Request::new(text(request, "/method"), &target);
        let mut gzip = false;
        for (name, value) in members(request, "/headers") {
            let value = value.as_str().unwrap_or_default();
            gzip |= name.eq_ignore_ascii_case("content-encoding") && value == "gzip";
            made = made.header(name, &self.ours(value));
        }
        made.body = match request.get("body_base64").and_then(Value::as_str) {
            Some(encoded) => Some(BASE64.decode(encoded.as_bytes()).map_err(|e| e.to_string())?),
            None => match request.get("body").and_then(Value::as_str) {
                Some(told) => Some(body(&ids.translate(told), gzip)?),
                None => None,
            },
        };
        Ok(made)
    }

    /// A recorded credential turned into ours: `Bearer ${JWT}` stands for any good credential.
    fn ours(&self, value: &str) -> String {
        let value = match &self.jwt {
            Some(jwt) => value.replace("${JWT}", jwt),
            None if value == "Bearer ${JWT}" => {
                return format!("Basic {}", BASE64.encode(format!("{}:", self.token).as_bytes()));
            }
            None => value.to_owned(),
        };
        let value = value.replace("${SK}", &self.token);
        let known = |text: String| {
            let ours = self.known.iter();
            ours.fold(text, |text, (recorded, ours)| text.replace(recorded, ours))
        };
        let Some((scheme, sent)) = value.split_once(' ') else {
            return known(value);
        };
        let decoded = BASE64.decode(sent.as_bytes()).ok().and_then(|b| String::from_utf8(b).ok());
        match decoded.map(|inner| (known(inner.clone()), inner)) {
            Some((ours, inner)) if ours != inner => {
                format!("{scheme} {}", BASE64.encode(ours.as_bytes()))
            }
            _ => known(value),
        }
    }
}

/// Makes the person who logs in in the recording, and logs in as it.
pub(super) fn log_in(shop: &Shop, owner: &Owner, lines: &[Value]) -> Option<String> {
    let granted = lines.iter().find(|line| {
        text(line, "/request/path") == "/auth/user/emailpass"
            && line.pointer("/response/status").and_then(Value::as_u64) == Some(200)
    });
    let told = granted.map_or("{}", |line| text(line, "/request/body"));
    let mut body: Value = serde_json::from_str(told).unwrap_or_default();
    if text(&body, "/email").is_empty() {
        body = json!({"email": "admin@medusa.test", "password": "supersecret"});
    }
    let (email, password) = (text(&body, "/email"), text(&body, "/password"));
    if shop.server.cli().user(&owner.merchant, email, password).code != Some(0) {
        return None;
    }
    let request = Request::post(&mounted("medusa-v2", "/auth/user/emailpass")).json(&body);
    let answer = shop.server.send(&request);
    let body = Tree::read(&answer.body).ok()?;
    body.member("token").and_then(Tree::text).map(str::to_owned)
}

/// Every refund that any answer shows with its amount and note, by id.
pub(super) fn shown_refunds(lines: &[Value]) -> BTreeMap<String, Value> {
    let answers = lines.iter().map(|line| text(line, "/response/body"));
    let answers = answers.filter_map(|body| serde_json::from_str::<Value>(body).ok());
    let lists = answers.filter_map(|body| body.pointer("/payment/refunds")?.as_array().cloned());
    let told = |refund: &Value| refund.get("amount").is_some() && refund.get("note").is_some();
    let refunds = lists.flatten().filter(told);
    refunds.map(|refund| (text(&refund, "/id").to_owned(), refund)).collect()
}

/// Refund reasons that lists show though no line makes them: left-out lines did. By id, which is
/// the order of their creation.
pub(super) fn left_out_reasons(lines: &[Value]) -> BTreeMap<String, Value> {
    // Every shop has these from the start.
    const FIRST: [&str; 3] = ["shipping_issue", "customer_care_adjustment", "pricing_error"];
    let answers = lines.iter().map(|line| text(line, "/response/body"));
    let answers = answers.filter_map(|body| serde_json::from_str::<Value>(body).ok());
    let lists = answers.filter_map(|body| body.get("refund_reasons")?.as_array().cloned());
    let told = |reason: &Value| reason.get("label").is_some() && reason.get("code").is_some();
    let shown = lists.flatten().filter(told);
    let shown = shown.filter(|reason| !FIRST.contains(&text(reason, "/code")));
    let mut left_out: BTreeMap<String, Value> =
        shown.map(|reason| (text(&reason, "/id").to_owned(), reason)).collect();
    for line in lines {
        left_out.remove(&made_reason(line));
        for (_, given) in members(line, "/given/refund_reasons") {
            left_out.remove(text(given, "/id"));
        }
    }
    left_out
}

/// The id of the refund reason that a line makes, or an empty text.
pub(super) fn made_reason(line: &Value) -> String {
    let path = text(line, "/request/path").split('?').next().unwrap_or_default();
    if text(line, "/request/method") != "POST" || path != "/admin/refund-reasons" {
        return String::new();
    }
    let body: Value = serde_json::from_str(text(line, "/response/body")).unwrap_or_default();
    text(&body, "/refund_reason/id").to_owned()
}

/// The payment that a line's path names, or an empty text.
pub(super) fn payment_of(line: &Value) -> String {
    let path = text(line, "/request/path").replace("%70", "p");
    let mut parts =
        path.split(['/', '?']).skip_while(|part| !part.eq_ignore_ascii_case("payments"));
    parts.nth(1).filter(|id| id.starts_with("pay_")).unwrap_or_default().to_owned()
}

/// The bytes of a recorded body: `(gzip of) ...` is compressed, `n x 102400` in a text is so many
/// letters n.
fn body(told: &str, gzip: bool) -> Result<Vec<u8>, String> {
    let told = match told.strip_prefix("(gzip of) ") {
        Some(plain) if gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(plain.as_bytes()).map_err(|e| e.to_string())?;
            return encoder.finish().map_err(|e| e.to_string());
        }
        _ => told,
    };
    let Some((head, tail)) = told.split_once("n x ") else {
        return Ok(told.as_bytes().to_vec());
    };
    let digits = tail.find(|c: char| !c.is_ascii_digit()).unwrap_or(tail.len());
    let (times, tail) = tail.split_at(digits);
    match times.parse() {
        Ok(times) => Ok(format!("{head}{}{tail}", "n".repeat(times)).into_bytes()),
        Err(_) => Ok(told.as_bytes().to_vec()),
    }
}

#[test]
fn a_body_told_in_short_is_sent_in_full() {
    let told = body(r#"{"amount":1,"note":"n x 102378"}"#, false).expect("a body");
    assert_eq!(told.len(), 102_400);
    assert_eq!(body(r#"{"note":"box"}"#, false), Ok(br#"{"note":"box"}"#.to_vec()));
}
