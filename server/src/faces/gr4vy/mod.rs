//! The Gr4vy face: transactions from their creation to the last refund.
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
//! Start at [`refund`], or at [`create`] for how money is taken. Requests are read in [`wire`], member
//! by member with [`form`], ids in [`spelling`], queries and cursors in [`page`]; refunds are written
//! in [`show`] and transactions in [`transaction`].

mod auth;
mod captures;
mod events;
mod failure;
mod form;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod list;
mod page;
mod refund;
mod settlements;
mod show;
mod spelling;
mod subscriptions;
mod transaction;
pub(crate) mod webhook;
mod wire;

use axum::Router;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use self::failure::Failure;
use self::transaction::{book, create, update};
use crate::access::Access;
use crate::desk::Desk;
use crate::http::guard;
use crate::route::Routes;

/// The face's routes, and its own 404 and 405 for everything else.
pub(crate) fn router(desk: Desk) -> Router {
    let routes = routes()
        .router(async || Failure::NoSuchRoute, async || Failure::NotAllowed)
        .with_state(desk);
    guard(routes, failure::spell)
}

/// The scopes of a token that grant it, the one to ask for first. Writing does not include reading.
const READS: [&str; 2] = ["transactions.read", "*.read"];
const WRITES: [&str; 2] = ["transactions.write", "*.write"];
/// Whoever may take payments: the shop, or a browser with a token for one payment.
const PAYS: [&str; 3] = ["transactions.write", "*.write", "embed"];
const READ: Access = Access::AnyOf(&READS);
const WRITE: Access = Access::AnyOf(&WRITES);
const PAY: Access = Access::AnyOf(&PAYS);

const READ_WEBHOOKS: Access = Access::AnyOf(&["webhook-subscriptions.read", "*.read"]);
const WRITE_WEBHOOKS: Access = Access::AnyOf(&["webhook-subscriptions.write", "*.write"]);

const SUBSCRIPTIONS: &str = "/webhook-subscriptions";
const SUBSCRIPTION: &str = "/webhook-subscriptions/{subscription_id}";
const ROTATE: &str = "/webhook-subscriptions/{subscription_id}/rotate-secret";
const TRANSACTIONS: &str = "/transactions";
const TRANSACTION: &str = "/transactions/{transaction_id}";
const CAPTURE: &str = "/transactions/{transaction_id}/capture";
const VOID: &str = "/transactions/{transaction_id}/void";
const CANCEL: &str = "/transactions/{transaction_id}/cancel";
const SYNC: &str = "/transactions/{transaction_id}/sync";
const CAPTURES: &str = "/transactions/{transaction_id}/captures";
const CAPTURED: &str = "/transactions/{transaction_id}/captures/{capture_id}";
const EVENTS: &str = "/transactions/{transaction_id}/events";
const SETTLEMENTS: &str = "/transactions/{transaction_id}/settlements";
const REFUND_SETTLEMENTS: &str = "/transactions/{transaction_id}/refund-settlements";
const REFUNDS: &str = "/transactions/{transaction_id}/refunds";
const REFUNDS_ALL: &str = "/transactions/{transaction_id}/refunds/all";
const REFUND: &str = "/transactions/{transaction_id}/refunds/{refund_id}";

pub(super) fn routes() -> Routes<Desk> {
    Routes::of("gr4vy")
        .get(SUBSCRIPTIONS, READ_WEBHOOKS, "list_webhook_subscriptions", subscriptions::list)
        .post(SUBSCRIPTIONS, WRITE_WEBHOOKS, "create_webhook_subscription", subscriptions::create)
        .get(SUBSCRIPTION, READ_WEBHOOKS, "read_webhook_subscription", subscriptions::read)
        .put(SUBSCRIPTION, WRITE_WEBHOOKS, "update_webhook_subscription", subscriptions::update)
        .delete(SUBSCRIPTION, WRITE_WEBHOOKS, "delete_webhook_subscription", subscriptions::delete)
        .post(ROTATE, WRITE_WEBHOOKS, "rotate_webhook_secret", subscriptions::rotate)
        .get(TRANSACTIONS, READ, "list_transactions", list::list)
        .post(TRANSACTIONS, PAY, "create_transaction", create::create)
        .get(TRANSACTION, READ, "read_transaction", transaction::read)
        .put(TRANSACTION, WRITE, "update_transaction", update::update)
        .post(CAPTURE, WRITE, "capture_transaction", book::capture)
        .post(VOID, WRITE, "void_transaction", book::void)
        .post(CANCEL, WRITE, "cancel_transaction", book::cancel)
        .post(SYNC, READ, "sync_transaction", book::sync)
        .get(CAPTURES, READ, "list_transaction_captures", captures::list)
        .get(CAPTURED, READ, "read_transaction_capture", captures::read)
        .get(EVENTS, READ, "list_transaction_events", events::list)
        .get(SETTLEMENTS, READ, "list_transaction_settlements", settlements::list)
        .get(REFUND_SETTLEMENTS, READ, "list_transaction_refund_settlements", settlements::list)
        .get(REFUNDS, READ, "list_transaction_refunds", refund::list)
        .post(REFUNDS, WRITE, "refund_transaction", refund::create)
        .post(REFUNDS_ALL, WRITE, "refund_whole_transaction", refund::create_all)
        .get(REFUND, READ, "read_transaction_refund", refund::read_below)
        .get("/refunds/{refund_id}", READ, "read_refund", refund::read)
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
