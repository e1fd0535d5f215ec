//! Medusa v1: the admin API's payment routes, as `@medusajs/medusa` 1.20 answers them.
//!
//! | route | answer |
//! | --- | --- |
//! | `POST /admin/payments/{id}/refund` | `{"refund": ...}`, always 200 |
//! | `GET /admin/payments/{id}` | `{"payment": ...}` |
//! | `POST /admin/payments/{id}/capture` | `{"payment": ...}`, of a captured payment too |
//! | `POST /admin/auth/token` | `{"access_token": JWT}` |
//! | `POST /admin/orders/{id}/refund` | `{"order": ...}`, of one or several payments |
//! | `POST /admin/orders/{id}/capture` | `{"order": ...}` |
//! | `GET /admin/orders/{id}` | `{"order": ...}`, as far as its payments tell |
//! | `GET`, `POST /admin/return-reasons` and below | `{"return_reason": ...}`, or all of them |
//! | `POST /admin/auth` | `{"user": ...}` and a cookie |
//! | `GET /admin/auth` | `{"user": ...}` |
//! | `DELETE /admin/auth` | the text `OK` |
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
mod browser;
mod capture;
mod failure;
mod fields;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod login;
mod order;
mod order_refund;
mod payment;
mod refund;
mod return_reasons;
#[cfg(test)]
mod tests;
mod wire;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::Response;

use self::auth::Logins;
use self::failure::Failure;
use crate::access::{Access, Caller};
use crate::desk::Desk;
use crate::http::guard;
use crate::route::Routes;

/// The name of this face in the books and on its keys.
const NAME: &str = "medusa-v1";

/// What the routes share. Cheap to clone.
#[derive(Clone)]
pub(super) struct Face {
    desk: Desk,
    logins: Logins,
}

pub(crate) fn router(desk: Desk) -> Router {
    let logins = Logins::new();
    let face = Face { desk, logins };
    let router = routes().express(missing, face.clone());
    let router = guard(router, failure::render);
    let router = router.layer(from_fn_with_state(face, browser::complete));
    router.layer(map_response(powered))
}

const READ: Access = Access::AnyOf(&["payments.read", "refunds.read"]);
const CAPTURE: Access = Access::AnyOf(&["payments.write"]);
const READ_REASONS: Access = Access::AnyOf(&["refunds.read", "refunds.create"]);
const WRITE_REASONS: Access = Access::AnyOf(&["admin"]);
const REFUND: Access = Access::AnyOf(&["refunds.create"]);

const RETURN_REASON: &str = "/admin/return-reasons/{id}";

pub(super) fn routes() -> Routes<Face> {
    Routes::of(NAME)
        .post("/admin/auth/token", Access::Public, "create_token", login::for_token)
        .post("/admin/auth", Access::Public, "create_session", login::for_session)
        .get("/admin/auth", Access::Known, "read_session", login::retrieve)
        .delete("/admin/auth", Access::Known, "delete_session", login::end)
        .get("/admin/return-reasons", READ_REASONS, "list_return_reasons", return_reasons::list)
        .post(
            "/admin/return-reasons",
            WRITE_REASONS,
            "create_return_reason",
            return_reasons::create,
        )
        .get(RETURN_REASON, READ_REASONS, "read_return_reason", return_reasons::retrieve)
        .post(RETURN_REASON, WRITE_REASONS, "update_return_reason", return_reasons::update)
        .delete(RETURN_REASON, WRITE_REASONS, "delete_return_reason", return_reasons::delete)
        .get("/admin/orders/{id}", READ, "read_order", order::retrieve)
        .post("/admin/orders/{id}/capture", CAPTURE, "capture_order", order::capture)
        .post("/admin/orders/{id}/refund", REFUND, "refund_order", order_refund::create)
        .get("/admin/payments/{id}", READ, "read_payment", payment::retrieve)
        .post("/admin/payments/{id}/capture", CAPTURE, "capture_payment", capture::create)
        .post("/admin/payments/{id}/refund", REFUND, "refund_payment", refund::create)
}

/// Any other route. Below `/admin` the original asks who it is before it says that there is nothing.
async fn missing(State(face): State<Face>, request: Request) -> Failure {
    let path = request.uri().path();
    if browser::is_admin(path)
        && let Err(failure) = auth::known(&face, Caller::of(&request)).await
    {
        return failure;
    }
    Failure::route_unknown(request.method(), path)
}

/// The original names its framework on every answer, and some clients' tests look for it.
async fn powered(mut response: Response) -> Response {
    let name = HeaderName::from_static("x-powered-by");
    let express = HeaderValue::from_static("Express");
    response.headers_mut().insert(name, express);
    response
}
