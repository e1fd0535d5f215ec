//! Loop's payments service: `POST /v1/admin/refunds` and its neighbours `GET /v1/admin/refunds`,
//! `POST /v1/refunds`, `POST /v1/checkout`, `GET /v1/payments/{id}` and `GET /v1/admin/disputes`.
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
//! - Errors are `{"error", "message"}`. Checked in this order: token, scope, the body's form (422, at
//!   a checkout 400), whether the charge exists (404), whether anything is left (409), whether the
//!   payment succeeded (412), whether the amount fits (422).
//!
//! Start at [`refund`].

mod auth;
mod charge;
mod checkout;
mod dispute;
#[cfg(test)]
mod exchanges;
mod failure;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod list;
mod payment;
mod refund;
mod wire;

use axum::Router;

use crate::access::Access;
use crate::desk::Desk;
use crate::http::guard;
use crate::route::Routes;
use failure::Failure;

pub(crate) fn router(desk: Desk) -> Router {
    let routes = routes()
        .router(async || Failure::RouteUnknown, async || Failure::MethodUnknown)
        .with_state(desk);
    guard(routes, failure::render)
}

/// Moves money (decision L7), and reads as well.
const ADMIN: Access = Access::AnyOf(&["admin:payments"]);
const READ: Access = Access::AnyOf(&["read:payments", "admin:payments"]);

pub(super) fn routes() -> Routes<Desk> {
    Routes::of("loop")
        .post("/v1/admin/refunds", ADMIN, "refund_charge", refund::create_by_charge)
        .get("/v1/admin/refunds", READ, "list_refunds", list::recent)
        .post("/v1/refunds", ADMIN, "refund_payment", refund::create_by_payment)
        .post("/v1/checkout", ADMIN, "checkout", checkout::create)
        .get("/v1/payments/{id}", READ, "read_payment", payment::show)
        .get("/v1/admin/disputes", READ, "list_disputes", dispute::list)
        .get("/v1/admin/disputes/{id}", READ, "read_dispute", dispute::show)
}
