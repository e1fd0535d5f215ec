//! Which browser origins may call this face: those of the setting `cors_origins`. Only below
//! `/admin`, where everything is.
//!
//! An origin that is not listed is told nothing about it: the same status and body, without the one
//! header that lets a browser show them to the page.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;

use super::Face;

const METHODS: HeaderValue = HeaderValue::from_static("GET,HEAD,PUT,PATCH,POST,DELETE");
const VARY_PREFLIGHT: HeaderValue = HeaderValue::from_static(
    // The answer to a preflight echoes the headers that were asked for.
    "Origin, Access-Control-Request-Headers",
);

/// Answers preflights, and adds what browsers look for to every other answer.
pub(super) async fn allow(State(face): State<Face>, request: Request, next: Next) -> Response {
    if !is_admin(request.uri().path()) {
        return next.run(request).await;
    }
    let origin = allowed(request.headers(), &face.desk.settings().cors_origins);
    let mut response = if request.method() == Method::OPTIONS {
        preflight(request.headers())
    } else {
        let mut response = next.run(request).await;
        let vary = HeaderValue::from_static("Origin");
        response.headers_mut().insert(header::VARY, vary);
        response
    };
    let headers = response.headers_mut();
    let yes = HeaderValue::from_static("true");
    headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
    response
}

/// Whether a path is below `/admin`, in any letter case.
pub(super) fn is_admin(path: &str) -> bool {
    let first = path.split('/').nth(1);
    first.is_some_and(|first| first.eq_ignore_ascii_case("admin"))
}

/// The sender's origin if it is listed.
fn allowed(headers: &HeaderMap, origins: &[String]) -> Option<HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    let is_listed = origins.iter().any(|listed| listed.as_bytes() == origin.as_bytes());
    is_listed.then(|| origin.clone())
}

/// 204 to any OPTIONS, known path or not, as the original.
fn preflight(asked: &HeaderMap) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers: &mut HeaderMap = response.headers_mut();
    headers.insert(header::VARY, VARY_PREFLIGHT);
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    if let Some(names) = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
    }
    response
}
