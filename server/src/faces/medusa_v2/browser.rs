//! What browsers look for: which origins may call (the setting `cors_origins`), and tags by which an
//! answer that has not changed need not be sent again.
//!
//! An origin that is not listed is told nothing about it: the same status and body, without the one
//! header that lets a browser show them to the page.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use data_encoding::BASE64_NOPAD;

use super::Face;

/// Marks an answer for which the original does not look at origins: its body parser's, and every one
/// where there is no route.
#[derive(Clone, Copy, Debug)]
pub(super) struct Originless;

const METHODS: HeaderValue = HeaderValue::from_static("GET,HEAD,PUT,PATCH,POST,DELETE");

/// Answers preflights, and completes every other answer.
pub(super) async fn complete(State(face): State<Face>, request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let asked = request.headers().clone();
    let is_preflight = method == Method::OPTIONS
        && asked.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
        && is_guarded(request.uri().path());
    // The original's routes for HEAD and plain OPTIONS know nothing of origins.
    let is_shared = is_guarded(request.uri().path())
        && (is_preflight || !matches!(method, Method::HEAD | Method::OPTIONS));
    let mut response = if is_preflight {
        preflight(&asked)
    } else {
        unchanged(&method, &asked, next.run(request).await)
    };
    if is_shared && response.extensions().get::<Originless>().is_none() {
        share(response.headers_mut(), &asked, &face.desk.settings().cors_origins);
    }
    response
}

/// Below `/admin` and `/auth`, in any letter case: where browsers of other origins have business.
fn is_guarded(path: &str) -> bool {
    let first = path.split('/').nth(1).unwrap_or_default();
    first.eq_ignore_ascii_case("admin") || first.eq_ignore_ascii_case("auth")
}

fn share(headers: &mut HeaderMap, asked: &HeaderMap, origins: &[String]) {
    let origin = asked
        .get(header::ORIGIN)
        .filter(|origin| origins.iter().any(|listed| listed.as_bytes() == origin.as_bytes()));
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    }
    let vary = HeaderValue::from_static("Origin");
    headers.entry(header::VARY).or_insert(vary);
    let yes = HeaderValue::from_static("true");
    headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
}

/// 204 for any path, known or not, as in the original.
fn preflight(asked: &HeaderMap) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    let vary = HeaderValue::from_static("Origin, Access-Control-Request-Headers");
    headers.insert(header::VARY, vary);
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    if let Some(names) = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
    }
    response
}

/// The weak tag of a body as Express makes it: its length, and its SHA-1. Nothing rests on the hash.
pub(super) fn tag(body: &str) -> HeaderValue {
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, body.as_bytes());
    let hash = BASE64_NOPAD.encode(hash.as_ref());
    let tag = format!("W/\"{:x}-{hash}\"", body.len());
    HeaderValue::from_str(&tag).expect("hexadecimal and base64 digits are header text")
}

/// 304 in place of what the client says it has.
fn unchanged(method: &Method, asked: &HeaderMap, mut response: Response) -> Response {
    let is_read = matches!(*method, Method::GET | Method::HEAD);
    let have = asked.get(header::IF_NONE_MATCH);
    let have = have.and_then(|have| have.to_str().ok()).unwrap_or_default();
    let tag = response.headers().get(header::ETAG);
    let Some(tag) = tag.and_then(|tag| tag.to_str().ok()) else {
        return response;
    };
    let bare = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let is_known = have.split(',').any(|have| have.trim() == "*" || bare(have) == bare(tag));
    if is_read && is_known && response.status() == StatusCode::OK {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.body_mut() = Body::empty();
        response.headers_mut().remove(header::CONTENT_TYPE);
        response.headers_mut().remove(header::CONTENT_LENGTH);
    }
    response
}
