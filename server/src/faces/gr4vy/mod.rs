//! The Gr4vy face: `/transactions/{id}/refunds` and what stands around it.
//!
//! The dialect: UUIDs, integer minor units up to 99,999,999 a request, times with six decimals and
//! `+00:00`, snake-case members. The caller signs its own tokens (JWT, ES512) with a key whose
//! public half is registered. A refund is a record with a status of its own: one that the PSP
//! declines, or that fails, is a 201 too (G2). Errors are one object whose `details` point at what
//! is wrong.
//!
//! Invariants:
//! - Every status and every error body is in [`failure`].
//! - What a token says is believed only after its signature held ([`auth`]).
//! - The answer to a repeated idempotency key is rendered as of the first answer, so it has the
//!   same bytes (A4).
//!
//! Start at [`refund`]. Requests are read in [`wire`], ids in [`spelling`]; refunds are written in
//! [`show`] and transactions in [`transaction`].

mod auth;
mod failure;
mod refund;
mod show;
mod spelling;
mod transaction;
mod wire;

use axum::Router;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Serialize;

use self::failure::Failure;
use crate::desk::Desk;
use crate::http::{catch_panics, refuse_bad_paths};

/// The face's routes, and its own 404 and 405 for everything else.
pub(crate) fn router(desk: Desk) -> Router {
    let routes = routes().with_state(desk);
    catch_panics(refuse_bad_paths(routes, failure::spell), failure::spell)
}

fn routes() -> Router<Desk> {
    Router::new()
        .route("/transactions/{transaction_id}", get(transaction::read))
        .route("/transactions/{transaction_id}/refunds", post(refund::create).get(refund::list))
        .route("/transactions/{transaction_id}/refunds/all", post(refund::create_all))
        .route("/transactions/{transaction_id}/refunds/{refund_id}", get(refund::read_below))
        .route("/refunds/{refund_id}", get(refund::read))
        .fallback(nothing_here)
        .method_not_allowed_fallback(not_allowed)
}

async fn nothing_here() -> Failure {
    Failure::NoSuchRoute
}

async fn not_allowed() -> Failure {
    Failure::NotAllowed
}

/// A JSON answer.
fn json<T: Serialize>(status: StatusCode, headers: HeaderMap, body: &T) -> Response {
    let bytes =
        serde_json::to_vec(body).expect("texts, numbers and lists of them have a JSON form");
    let json = HeaderValue::from_static("application/json");
    (status, [(header::CONTENT_TYPE, json)], headers, bytes).into_response()
}

#[cfg(test)]
mod tests;
