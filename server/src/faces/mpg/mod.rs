//! Moyasar MPG, the orders API: orders are authorised, purchased or verified, captured, voided,
//! extended, refunded, shown and listed, all below `/v1/orders`.
//!
//! What is particular to this dialect:
//! - An order is our payment, and shows its payment method only. Amounts are integers in minor
//!   units, ids UUIDs, times whole seconds in UTC.
//! - HTTP 200 says that something was *attempted*. What became of it is the `status` of its row in
//!   `transactions`, and the order's totals count approved rows only (decisions M6, M9). Money of
//!   open rows is reserved all the same.
//! - `transaction_id` is the caller's idempotency key and becomes the id of the new row; `order_id`
//!   is that of a new order and becomes the order's. A finished repeat shows the order as it is now
//!   (M1); one that meets its first request still running is tried again for about two seconds and
//!   then answered 400 with a fixed text (M4), which clients tell from a refusal by that text alone.
//! - Errors are `{"message"}`, and 422 adds `errors`: a list of texts for each field. 401, 403 and
//!   404 come before anything that is wrong with the body, 422 before what the key or the order
//!   says (400). No error repeats a text that was sent: it may be a card's.
//!
//! What the dialect shows and no rule reads comes from the profiles that were registered. A payment's
//! profile: `source`, `airline`, `sub_merchant`, `agreement`, `reauthorized_order_id`, in
//! `captures`, by position, `retrieval_reference`, `stan` and `auth_code`, and of an order that was made
//! here in `mpg` how it began. A merchant's: `acquirer_id`, `arabic_name`, `merchant_number`,
//! `rule_precedence`.
//!
//! Start at [`refund`] for money that goes back, at [`create`] for money that comes.

mod auth;
mod booking;
mod card;
mod create;
#[cfg(test)]
mod exchanges;
mod failure;
mod fields;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod list;
mod order;
mod refund;
mod repeat;
mod row;
#[cfg(test)]
mod tests;
mod wire;
mod wish;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::response::Response;

use crate::access::{Access, Caller};
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

const CREATE: Access = Access::AnyOf(&["orders_create"]);
const READ: Access = Access::AnyOf(&["orders_read"]);
const CAPTURE: Access = Access::AnyOf(&["orders_capture"]);
const VOID: Access = Access::AnyOf(&["orders_void"]);
const EXTEND: Access = Access::AnyOf(&["orders_extend"]);
const REFUND: Access = Access::AnyOf(&["orders_refund"]);

pub(super) fn routes() -> Routes<Desk> {
    Routes::of("mpg")
        .get("/v1/orders", READ, "list_orders", list::list)
        .post("/v1/orders/authorize", CREATE, "authorize_order", create::authorize)
        .post("/v1/orders/purchase", CREATE, "purchase_order", create::purchase)
        .post("/v1/orders/verify", CREATE, "verify_order", create::verify)
        .get("/v1/orders/{id}", READ, "read_order", show)
        .post("/v1/orders/{id}/capture", CAPTURE, "capture_order", booking::capture)
        .post("/v1/orders/{id}/void", VOID, "void_order", booking::void)
        .post("/v1/orders/{id}/extend", EXTEND, "extend_order", booking::extend)
        .post("/v1/orders/{id}/refund", REFUND, "refund_order", refund::create)
}

async fn show(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    let actor = auth::actor(&desk, Caller::of(&request)).await?;
    let order = wire::order_id(&id).ok_or(Failure::OrderUnknown)?;
    let order = order::read(&desk, actor.merchant, order, None).await?;
    Ok(wire::ok(&order.ok_or(Failure::OrderUnknown)?))
}
