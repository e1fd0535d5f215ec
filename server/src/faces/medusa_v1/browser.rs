//! Which of this face's answers pages of other origins may see: all below `/admin`, where everything
//! is. What they are told is in [`crate::browser`].

use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;

use super::Face;
use crate::browser::{Originless, preflight, share, unchanged};

/// Answers preflights (any OPTIONS, as the original), and completes every other answer.
pub(super) async fn complete(State(face): State<Face>, request: Request, next: Next) -> Response {
    let is_shared = is_admin(request.uri().path());
    let method = request.method().clone();
    let asked = request.headers().clone();
    let mut response = if is_shared && method == Method::OPTIONS {
        preflight(&asked)
    } else {
        unchanged(&method, &asked, next.run(request).await)
    };
    if is_shared && response.extensions().get::<Originless>().is_none() {
        share(response.headers_mut(), &asked, &face.desk.settings().cors_origins);
    }
    response
}

/// Whether a path is below `/admin`, in any letter case.
pub(super) fn is_admin(path: &str) -> bool {
    let first = path.split('/').nth(1);
    first.is_some_and(|first| first.eq_ignore_ascii_case("admin"))
}
