//! Medusa v1: the admin API's payment routes, as `@medusajs/medusa` 1.20 answers them.
//!
//! | route | answer |
//! | --- | --- |
//! | `POST /admin/payments/{id}/refund` | `{"refund": ...}`, always 200 |
//! | `GET /admin/payments/{id}` | `{"payment": ...}` |
//! | `POST /admin/payments/{id}/capture` | `{"payment": ...}`, of a captured payment too |
//! | `POST /admin/auth/token` | `{"access_token": JWT}` |
//!
//! The dialect in short: amounts are integers in minor units, ids a prefix and a ULID, errors
//! `{"type","message"}` with all complaints about one request joined by commas. A refund has no
//! status here: it is shown once money went or may go, and hidden when it is proven that none did.
//!
//! Order of checks (the first failure answers): body parser, credentials, scope, validation, then
//! the engine's own order (payment known, captured, not cancelled, enough left), then the payment
//! provider. Where ours differs from the original, a decision (V1-1 to V1-9) is named at the place.
//!
//! Paths match in any letter case and with a slash at the end, as in the original.
//!
//! Start at [`refund`]; [`wire`] is what goes in and out, [`failure`] every way to say no.

mod auth;
mod cors;
mod failure;
mod payment;
mod refund;
#[cfg(test)]
mod tests;
mod wire;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Uri};
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::Response;
use axum::routing::{any, get, post};
use tower::ServiceExt;

use self::auth::Logins;
use self::failure::Failure;
use crate::desk::Desk;
use crate::http::{catch_panics, refuse_bad_paths};

/// The name of this face in the books and on its keys.
const NAME: &str = "medusa-v1";

/// What the routes share. Cheap to clone.
#[derive(Clone)]
struct Face {
    desk: Desk,
    logins: Logins,
}

pub(crate) fn router(desk: Desk) -> Router {
    let logins = Logins::new();
    let face = Face { desk, logins };
    let exact = routes().fallback(missing).with_state(face.clone());
    let respelled = move |request| respell(exact.clone(), request);
    let router = routes().fallback(respelled).with_state(face.clone());
    let router = catch_panics(refuse_bad_paths(router, failure::render), failure::render);
    let router = router.layer(from_fn_with_state(face, cors::allow));
    router.layer(map_response(powered))
}

fn routes() -> Router<Face> {
    Router::new()
        .route("/admin/auth/token", post(auth::log_in))
        .route("/admin/payments/{id}", get(payment::retrieve))
        .route("/admin/payments/{id}/capture", post(payment::capture))
        .route("/admin/payments/{id}/refund", post(refund::create))
        // Without an id there is no such route; the router alone would take it as empty.
        .route("/admin/payments//capture", any(missing))
        .route("/admin/payments//refund", any(missing))
        .method_not_allowed_fallback(missing)
}

/// Any other route. Below `/admin` the original asks who it is before it says that there is nothing.
async fn missing(State(face): State<Face>, request: Request) -> Failure {
    let path = request.uri().path();
    if cors::is_admin(path)
        && let Err(failure) = auth::actor(&face, request.headers()).await
    {
        return failure;
    }
    Failure::route_unknown(request.method(), path)
}

/// Sends a path that is a route in another letter case, or with a slash at the end, to that route.
async fn respell(exact: Router, mut request: Request) -> Response {
    if let Some(path) = respelled(request.uri().path()) {
        let query = request.uri().query();
        let spelling = query.map_or(path.clone(), |query| format!("{path}?{query}"));
        if let Ok(uri) = spelling.parse::<Uri>() {
            *request.uri_mut() = uri;
        }
    }
    match exact.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// The route's own spelling of `path`; `None` if it is none of ours. An id stays as it is.
fn respelled(path: &str) -> Option<String> {
    const ROUTES: [&[&str]; 4] = [
        &["", "admin", "auth", "token"],
        &["", "admin", "payments", "{id}"],
        &["", "admin", "payments", "{id}", "capture"],
        &["", "admin", "payments", "{id}", "refund"],
    ];
    let path = path.strip_suffix('/').unwrap_or(path);
    let sent: Vec<&str> = path.split('/').collect();
    let is_same = |(part, sent): (&&str, &&str)| match *part {
        "{id}" => !sent.is_empty(),
        part => part.eq_ignore_ascii_case(sent),
    };
    let route = ROUTES
        .iter()
        .find(|route| route.len() == sent.len() && route.iter().zip(&sent).all(is_same))?;
    let parts: Vec<&str> = route
        .iter()
        .zip(&sent)
        .map(|(&part, &sent)| if part == "{id}" { sent } else { part })
        .collect();
    Some(parts.join("/"))
}

/// The original names its framework on every answer, and some clients' tests look for it.
async fn powered(mut response: Response) -> Response {
    let name = HeaderName::from_static("x-powered-by");
    let express = HeaderValue::from_static("Express");
    response.headers_mut().insert(name, express);
    response
}
