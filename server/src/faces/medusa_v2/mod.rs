//! The dialect of Medusa v2: refunds as a shop's admin asks for them.
//!
//! Amounts are JSON numbers in major units. A refund without an amount means the payment's whole
//! amount, or nothing. There is no refund status: a row that is shown has been paid out or will be.
//! Answers show the payment, cut to what the `fields` parameter selects.
//!
//! Checks run in the original's order: the body's form (400, 413, 415), the credential (401, 403),
//! the body's schema (400), the query (400), then what the books say (404, 400).
//!
//! Where to look: [`refund`], [`capture`], [`payments`], [`payment_list`], [`reasons`],
//! [`collections`], [`mark_as_paid`], [`providers`] and [`api_keys`] have the handlers, [`repeats`] their
//! idempotency keys where no money moves. [`wire`] reads requests ([`schema`] has the validator's texts,
//! [`query`] the query string, [`list`] what lists share, [`payment_filter`] which payments one is asked
//! for), [`payment`], [`collection`] and [`fields`] write answers
//! ([`spelling`] the single values), [`failure`] has every error, [`auth`] and [`login`] are about who
//! asks, and [`browser`] what browsers want besides.
//!
//! Paths match in any letter case and with a slash at the end. What is no route is 404, and 401
//! below `/admin` without a credential.

mod api_keys;
mod auth;
mod browser;
mod capture;
mod collection;
mod collections;
mod failure;
mod fields;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod list;
mod login;
mod mark_as_paid;
mod payment;
mod payment_filter;
mod payment_list;
mod payments;
mod providers;
mod query;
mod reasons;
mod refund;
mod repeats;
mod schema;
mod spelling;
#[cfg(test)]
mod tests;
mod wire;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use tokio::sync::OnceCell;

use crate::access::{Access, Caller};
use crate::crypto::jws::Hs256Key;
use crate::desk::Desk;
use crate::http::guard;
use crate::route::Routes;

const READ_PAYMENTS: Access = Access::AnyOf(&["payments.read", "refunds.read"]);
const WRITE_PAYMENTS: Access = Access::AnyOf(&["payments.write"]);
const REFUND: Access = Access::AnyOf(&["refunds.create"]);
const READ_REASONS: Access = Access::AnyOf(&["refunds.read", "refunds.create"]);
const WRITE_REASONS: Access = Access::AnyOf(&["admin"]);
const WRITE_KEYS: Access = Access::AnyOf(&["admin"]);

/// What handlers need. Cheap to clone.
#[derive(Clone)]
pub(super) struct Face {
    desk: Desk,
    login_key: Arc<OnceCell<Hs256Key>>,
}

pub(crate) fn router(desk: Desk) -> Router {
    let face = Face { desk, login_key: Arc::default() };
    let router = routes().express(nowhere, face.clone());
    guard(router, failure::render)
        .layer(from_fn_with_state(face, browser::complete))
        .layer(map_response(powered))
}

async fn powered(mut response: Response) -> Response {
    let express = HeaderValue::from_static("Express");
    response.headers_mut().insert("x-powered-by", express);
    response
}

pub(super) fn routes() -> Routes<Face> {
    let routes = Routes::of(auth::FACE)
        .post("/auth/user/{provider}", Access::Public, "log_in", login::log_in)
        .post("/auth/token/refresh", Access::Known, "refresh_token", login::refresh)
        .post("/auth/session", Access::Known, "open_session", login::open_session)
        .delete("/auth/session", Access::Public, "close_session", login::close_session)
        .get("/admin/payments", READ_PAYMENTS, "list_payments", payment_list::list)
        .get(
            "/admin/payments/payment-providers",
            READ_PAYMENTS,
            "list_payment_providers",
            providers::list,
        )
        .get("/admin/payments/{id}", READ_PAYMENTS, "read_payment", payments::retrieve)
        .post("/admin/payments/{id}/capture", WRITE_PAYMENTS, "capture_payment", capture::capture)
        .post("/admin/payments/{id}/refund", REFUND, "refund_payment", refund::refund)
        .get("/admin/refund-reasons", READ_REASONS, "list_refund_reasons", reasons::list)
        .post("/admin/refund-reasons", WRITE_REASONS, "create_refund_reason", reasons::create)
        .get("/admin/refund-reasons/{id}", READ_REASONS, "read_refund_reason", reasons::retrieve)
        .post("/admin/refund-reasons/{id}", WRITE_REASONS, "update_refund_reason", reasons::update)
        .delete(
            "/admin/refund-reasons/{id}",
            WRITE_REASONS,
            "delete_refund_reason",
            reasons::delete,
        )
        .post("/admin/api-keys", WRITE_KEYS, "create_api_key", api_keys::create)
        .post("/admin/api-keys/{id}/revoke", WRITE_KEYS, "revoke_api_key", api_keys::revoke);
    collection_routes(routes)
}

/// What is asked for orders, and how it is said to be paid.
fn collection_routes(routes: Routes<Face>) -> Routes<Face> {
    routes
        .post(
            "/admin/payment-collections",
            WRITE_PAYMENTS,
            "create_payment_collection",
            collections::create,
        )
        .delete(
            "/admin/payment-collections/{id}",
            WRITE_PAYMENTS,
            "delete_payment_collection",
            collections::delete,
        )
        .post(
            "/admin/payment-collections/{id}/mark-as-paid",
            WRITE_PAYMENTS,
            "mark_payment_collection_as_paid",
            mark_as_paid::mark_as_paid,
        )
        .post(
            "/admin/payment-collections/{id}/payment-sessions",
            WRITE_PAYMENTS,
            "create_payment_session",
            collections::open_session,
        )
}

/// Not a route. Below `/admin` only those who may ask learn so.
async fn nowhere(State(face): State<Face>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let first = path.split('/').nth(1).unwrap_or_default();
    let stranger = match first.eq_ignore_ascii_case("admin") {
        true => auth::known(&face, Caller::of(&request)).await.err(),
        false => None,
    };
    let method = request.method().clone();
    let failure = stranger.unwrap_or(failure::Failure::NoRoute { method, path });
    let mut response = failure.into_response();
    response.extensions_mut().insert(crate::browser::Originless);
    response
}
