//! Loop's payments service: `POST /v1/admin/refunds` and its neighbours `GET /v1/admin/refunds`,
//! `POST /v1/refunds` and `GET /v1/payments/{id}`.
//!
//! What is particular to this dialect:
//! - A refund names a charge, or a payment. Both are our payment: `ch_` and `pay_` before the same
//!   ULID, its UUID, or any text that was registered for it and names nothing else (decision L4).
//! - 201 carries the PSP's refund id, so the answer waits for the PSP. There is no word for an
//!   unknown outcome: that is 503, and the retry joins the refund it is about, with the same
//!   `Idempotency-Key` or without any (L6).
//! - Either `amount_cents`, an integer, or `full: true` (L1). `GET /v1/payments/{id}` writes
//!   `amount_cents` as a string.
//! - What the PSP refuses is an error here, not a refund: 409, 422 or 404 where the dialect has a
//!   word for it, otherwise 502 `stripe_error`.
//! - Errors are `{"error", "message"}`. Checked in this order: token, scope, the body's form (422),
//!   whether the charge exists (404), whether anything is left (409), whether the payment succeeded
//!   (412), whether the amount fits (422).
//!
//! Start at [`refund`].

mod auth;
mod charge;
#[cfg(test)]
mod exchanges;
mod failure;
mod list;
mod payment;
mod refund;
mod wire;

use axum::Router;
use axum::routing::{get, post};

use crate::desk::Desk;
use crate::http::{catch_panics, refuse_bad_paths};
use failure::Failure;

pub(crate) fn router(desk: Desk) -> Router {
    let routes = Router::new()
        .route("/v1/admin/refunds", post(refund::create_by_charge).get(list::recent))
        .route("/v1/refunds", post(refund::create_by_payment))
        .route("/v1/payments/{id}", get(payment::show))
        .method_not_allowed_fallback(|| async { Failure::MethodUnknown })
        .fallback(|| async { Failure::RouteUnknown })
        .with_state(desk);
    catch_panics(refuse_bad_paths(routes, failure::render), failure::render)
}
