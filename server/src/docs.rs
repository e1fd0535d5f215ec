//! What the faces offer, for programs and for people: one OpenAPI 3.1 document a face (the files in
//! `server/openapi`, served as they are), and pages that show them without scripts and without
//! anything from elsewhere.
//!
//! Invariant: a document has the operations that its face declares ([`crate::route`]), no more and no
//! less, each with its `operationId` and its access; a test holds both against each other. Whoever
//! adds a route adds its operation: under `paths`, by its method, with `operationId`, `summary`,
//! `x-scopes` (or `"security": []` where no credential is needed), parameters, body and every status
//! it may answer. The native document also has what is served without a credential beside the faces.

use std::sync::LazyLock;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Response;
use serde_json::Value;

mod page;

/// A face's document.
pub(crate) struct Document {
    pub face: &'static str,
    pub text: &'static str,
}

/// In the order in which pages list them.
pub(crate) const DOCUMENTS: [Document; 6] = [
    Document { face: "native", text: include_str!("../openapi/native.json") },
    Document { face: "medusa-v1", text: include_str!("../openapi/medusa-v1.json") },
    Document { face: "medusa-v2", text: include_str!("../openapi/medusa-v2.json") },
    Document { face: "mpg", text: include_str!("../openapi/mpg.json") },
    Document { face: "gr4vy", text: include_str!("../openapi/gr4vy.json") },
    Document { face: "loop", text: include_str!("../openapi/loop.json") },
];

impl Document {
    fn read(&self) -> Value {
        serde_json::from_str(self.text).expect("a test reads every document")
    }
}

/// Pages by their names, the list of all under the empty name.
static PAGES: LazyLock<Vec<(&str, String)>> = LazyLock::new(|| {
    let read: Vec<(&str, Value)> = DOCUMENTS.iter().map(|doc| (doc.face, doc.read())).collect();
    let one = |(face, document): &(&'static str, Value)| (*face, page::of(&read, face, document));
    let mut pages: Vec<(&str, String)> = read.iter().map(one).collect();
    pages.push(("", page::list(&read)));
    pages
});

/// The document of a name such as `mpg.json`.
pub(crate) fn document(name: &str) -> Option<Response> {
    let face = name.strip_suffix(".json")?;
    let document = DOCUMENTS.iter().find(|document| document.face == face)?;
    Some(answer("application/json", Body::from(document.text)))
}

/// The page of a face; of the empty name, the page that lists them.
pub(crate) fn page(face: &str) -> Option<Response> {
    let (_, text) = PAGES.iter().find(|(name, _)| *name == face)?;
    let mut response = answer("text/html; charset=utf-8", Body::from(text.as_str()));
    let headers = response.headers_mut();
    let policy = HeaderValue::from_str(&page::policy()).expect("visible characters");
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    let silent = HeaderValue::from_static("no-referrer");
    headers.insert(header::REFERRER_POLICY, silent);
    Some(response)
}

fn answer(kind: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    let as_told = HeaderName::from_static("x-content-type-options");
    headers.insert(as_told, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests;
