//! Documents against the routes that are declared, and pages against what browsers may do with them.

use std::collections::BTreeMap;

use crate::access::Access;
use crate::faces::declared;

use super::*;

/// Method and path of an operation, as the document of a face names them.
type Place = (&'static str, String);

/// Name and access.
type Told = (String, String);

/// The document that a declared route stands in, and its path there.
fn place(face: &'static str, path: &str) -> Place {
    match face {
        "open" => ("native", path.to_owned()),
        "native" => ("native", format!("/api{path}")),
        face => (face, path.to_owned()),
    }
}

fn access_text(access: Access) -> String {
    match access {
        Access::Public => "public".to_owned(),
        Access::Known => "known".to_owned(),
        Access::AnyOf(scopes) => scopes.join(" "),
    }
}

/// What an operation says of its access, in the same words.
fn told_access(operation: &Value) -> String {
    let scopes = operation["x-scopes"].as_array();
    let scopes = scopes.map(|scopes| {
        scopes.iter().map(|scope| scope.as_str().expect("text")).collect::<Vec<_>>().join(" ")
    });
    let is_public = operation["security"].as_array().is_some_and(Vec::is_empty);
    scopes.unwrap_or_else(|| if is_public { "public" } else { "known" }.to_owned())
}

#[test]
fn a_document_has_the_operations_that_its_face_declares() {
    let mut routes: BTreeMap<(Place, String), Told> = BTreeMap::new();
    for route in declared() {
        let at = place(route.face, route.path);
        let told = (route.operation.to_owned(), access_text(route.access));
        routes.insert((at, route.method.to_owned()), told);
    }
    let mut operations: BTreeMap<(Place, String), Told> = BTreeMap::new();
    for document in &DOCUMENTS {
        let read = document.read();
        let paths = read["paths"].as_object().expect("paths");
        for (path, item) in paths {
            let methods = item.as_object().expect("a path's operations").iter();
            for (method, operation) in methods.filter(|(name, _)| *name != "parameters") {
                let at = (document.face, path.clone());
                let name = operation["operationId"].as_str().expect("a name").to_owned();
                operations.insert((at, method.to_uppercase()), (name, told_access(operation)));
            }
        }
    }
    let missing: Vec<_> = routes.iter().filter(|route| !has(&operations, *route)).collect();
    let extra: Vec<_> = operations.iter().filter(|route| !has(&routes, *route)).collect();
    assert!(
        missing.is_empty() && extra.is_empty(),
        "declared, and not so in server/openapi: {missing:#?}\nand the other way: {extra:#?}"
    );
}

fn has<K: Ord, V: PartialEq>(all: &BTreeMap<K, V>, (key, value): (&K, &V)) -> bool {
    all.get(key) == Some(value)
}

/// Every reference leads somewhere, every parameter of a path is described, and every operation
/// says what it does and how it says no.
#[test]
fn documents_are_whole() {
    for document in &DOCUMENTS {
        let read = document.read();
        let mut references = Vec::new();
        collect(&read, &mut references);
        assert!(!references.is_empty(), "{}", document.face);
        for reference in references {
            let target = reference.strip_prefix('#').and_then(|pointer| read.pointer(pointer));
            assert!(target.is_some(), "{}: {reference}", document.face);
        }
        for (path, item) in read["paths"].as_object().expect("paths") {
            let methods = item.as_object().expect("a path's operations").iter();
            for (method, operation) in methods.filter(|(name, _)| *name != "parameters") {
                let at = format!("{}: {method} {path}", document.face);
                assert!(operation["summary"].is_string(), "{at}");
                assert!(operation["responses"].is_object(), "{at}");
                let is_public = told_access(operation) == "public";
                let has = |status: &str| operation["responses"].get(status).is_some();
                assert!(is_public || has("401"), "{at} has no 401");
                assert!(operation["x-scopes"].is_null() || has("403"), "{at} has no 403");
                let varying = path.matches('{').count();
                let holders = [item, operation];
                let described = holders
                    .iter()
                    .flat_map(|holder| holder["parameters"].as_array().into_iter().flatten())
                    .map(|parameter| match parameter["$ref"].as_str() {
                        Some(name) => read.pointer(&name[1..]).expect("found above"),
                        None => parameter,
                    })
                    .filter(|parameter| parameter["in"] == "path");
                assert_eq!(described.count(), varying, "{at}");
            }
        }
    }
}

fn collect(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                match (name.as_str(), value.as_str()) {
                    ("$ref", Some(reference)) => references.push(reference.to_owned()),
                    _ => collect(value, references),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, references)),
        _ => {}
    }
}

#[test]
fn pages_load_nothing_run_nothing_and_show_every_operation() {
    for document in &DOCUMENTS {
        let (_, text) = PAGES.iter().find(|(face, _)| *face == document.face).expect("a page");
        for banned in ["<script", "src=", "url(", "@import", "http://", "https://", " on", "style="]
        {
            let is_there = text.split('<').skip(1).any(|tag| {
                let tag = tag.split('>').next().unwrap_or_default();
                format!("<{tag}").contains(banned)
            });
            assert!(!is_there, "{}: {banned}", document.face);
        }
        for route in declared() {
            if place(route.face, "").0 == document.face {
                assert!(text.contains(&format!("id=\"{}\"", route.operation)), "{route:?}");
            }
        }
        let response = page(document.face).expect("a page");
        let policy = response.headers()["content-security-policy"].to_str().expect("text");
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    }
    assert!(page("").is_some() && page("mpg.json").is_none() && document("mpg").is_none());
}
