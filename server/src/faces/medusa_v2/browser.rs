//! Which of this face's answers pages of other origins may see. What they are told is in
//! [`crate::browser`].

use axum::extract::{Request, State};
use axum::http::{Method, header};
use axum::middleware::Next;
use axum::response::Response;

use super::Face;
use crate::browser::{Originless, preflight, share, unchanged};

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
