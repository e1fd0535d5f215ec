//! Our own API, below `/api`: payments are registered here, and everything can be seen and refunded.
//!
//! JSON, integer minor units, RFC 3339 times. Ids of any face's spelling, and aliases, are taken
//! wherever an id is. A bearer key of this face with the scope that the route names.
//!
//! - [`payment`] registers and shows, [`booking`] captures and voids, [`refund`] gives back,
//!   [`cancellation`] has the PSP cancel a refund, [`resolution`] takes a person's word on what became of a refund,
//!   [`reason`] keeps the merchant's refund reasons, [`lists`] lists and [`history`] explains.
//! - [`alarms`] shows what people should look at, and what became of what PSPs told.
//! - [`registration`] reads a payment to register, [`view`] shows what there is, [`query`] and [`page`]
//!   turn pages, [`failure`] has every status and error body.
//! - `Idempotency-Key` is honoured on every POST. A registration is also repeated safely by its `id`
//!   or `external_identifier`.
//!
//! Start at [`router`].

use axum::Router;
use axum::http::StatusCode;

use crate::access::Access;
use crate::desk::Desk;
use crate::http::guard;
use crate::route::Routes;

mod alarms;
mod booking;
mod cancellation;
pub(crate) mod endpoints;
mod failure;
mod fields;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod history;
mod lists;
mod page;
mod payment;
mod query;
mod reason;
mod refund;
pub(crate) mod registration;
pub(crate) mod resolution;
mod source;
pub(crate) mod spelling;
pub(crate) mod view;
mod wire;

#[cfg(test)]
mod tests;

use failure::Failure;

/// The name under which keys and refunds of this face are kept.
pub(crate) const FACE: &str = "native";

/// All routes, without the `/api` before them.
pub(crate) fn router(desk: Desk) -> Router {
    let nowhere = async || {
        let message = "there is no such route; this API has /api/payments, /api/refunds, \
                       /api/refund-reasons, /api/alarms and /api/notices";
        Failure::new(StatusCode::NOT_FOUND, "route_not_found", message)
    };
    let other_method = async || {
        let message = "this route does not take this method; the header allow says which it takes";
        Failure::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
    };
    let routes = routes().router(nowhere, other_method).with_state(desk);
    guard(routes, failure::render)
}

const WRITE_PAYMENTS: Access = Access::AnyOf(&["payments.write"]);
const READ_PAYMENTS: Access = Access::AnyOf(&["payments.read"]);
const REFUND: Access = Access::AnyOf(&["refunds.create"]);
const READ_REFUNDS: Access = Access::AnyOf(&["refunds.read"]);
const OPERATE: Access = Access::AnyOf(&["refunds.operate"]);
/// Whoever may ask for a refund may take that back, and so may whoever sees to open ones.
const CANCEL: Access = Access::AnyOf(&["refunds.create", "refunds.operate"]);
const READ_REASONS: Access = Access::AnyOf(&["refunds.read", "refunds.create"]);
const WRITE_REASONS: Access = Access::AnyOf(&["admin"]);
const ADMIN: Access = Access::AnyOf(&["admin"]);

const ENDPOINTS: &str = "/webhook-endpoints";
const ENDPOINT: &str = "/webhook-endpoints/{id}";

pub(super) fn routes() -> Routes<Desk> {
    Routes::of(FACE)
        .get("/alarms", READ_REFUNDS, "list_alarms", alarms::alarms)
        .get("/notices", READ_REFUNDS, "list_notices", alarms::notices)
        .get("/payments", READ_PAYMENTS, "list_payments", lists::payments)
        .post("/payments", WRITE_PAYMENTS, "register_payment", payment::create)
        .get("/payments/{id}", READ_PAYMENTS, "read_payment", payment::show)
        .post("/payments/{id}/captures", WRITE_PAYMENTS, "capture_payment", booking::capture)
        .post("/payments/{id}/voids", WRITE_PAYMENTS, "void_payment", booking::void)
        .get("/payments/{id}/gift-cards", READ_PAYMENTS, "list_gift_cards", payment::gift_cards)
        .get("/payments/{id}/events", READ_PAYMENTS, "list_payment_events", history::events)
        .get("/payments/{id}/journal", READ_PAYMENTS, "read_payment_journal", history::journal)
        .get("/payments/{id}/refunds", READ_REFUNDS, "list_payment_refunds", lists::refunds_of)
        .post("/payments/{id}/refunds", REFUND, "refund_payment", refund::create)
        .get("/refunds", READ_REFUNDS, "list_refunds", lists::refunds)
        .get("/refunds/{id}", READ_REFUNDS, "read_refund", refund::show)
        .post("/refunds/{id}/cancel", CANCEL, "cancel_refund", cancellation::create)
        .post("/refunds/{id}/resolution", OPERATE, "resolve_refund", resolution::create)
        .get(ENDPOINTS, ADMIN, "list_webhook_endpoints", endpoints::list)
        .post(ENDPOINTS, ADMIN, "create_webhook_endpoint", endpoints::create)
        .get(ENDPOINT, ADMIN, "read_webhook_endpoint", endpoints::show)
        .post(ENDPOINT, ADMIN, "update_webhook_endpoint", endpoints::update)
        .delete(ENDPOINT, ADMIN, "delete_webhook_endpoint", endpoints::delete)
        .post("/webhook-endpoints/{id}/rotate", ADMIN, "rotate_webhook_secret", endpoints::rotate)
        .post("/webhook-endpoints/{id}/resend", ADMIN, "resend_webhooks", endpoints::resend)
        .get("/refund-reasons", READ_REASONS, "list_refund_reasons", reason::list)
        .post("/refund-reasons", WRITE_REASONS, "create_refund_reason", reason::create)
        .get("/refund-reasons/{id}", READ_REASONS, "read_refund_reason", reason::show)
        .post("/refund-reasons/{id}", WRITE_REASONS, "update_refund_reason", reason::update)
        .delete("/refund-reasons/{id}", WRITE_REASONS, "delete_refund_reason", reason::delete)
}
