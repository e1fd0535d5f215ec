//! Moyasar MPG, the orders API: `POST /v1/orders/{id}/refund` and `GET /v1/orders/{id}`.
//!
//! What is particular to this dialect:
//! - An order is our payment, and shows its payment method only. Amounts are integers in minor
//!   units, ids UUIDs, times whole seconds in UTC.
//! - HTTP 200 says that a refund was *attempted*. What became of it is the `status` of its row in
//!   `transactions`, and the order's totals count approved rows only (decisions M6, M9). Money of
//!   open rows is reserved all the same.
//! - `transaction_id` is the caller's idempotency key and becomes the id of the new row. A finished
//!   repeat shows the order as it is now (M1); one that meets its first request still running is
//!   tried again for about two seconds and then answered 400 with a fixed text (M4), which clients
//!   tell from a refusal by that text alone.
//! - Errors are `{"message"}`, and 422 adds `errors`: a list of texts for each field. 401, 403 and
//!   404 come before anything that is wrong with the body, 422 before what the key or the order
//!   says (400).
//!
//! What the dialect shows and no rule reads comes from the profiles that were registered. A payment's
//! profile: `source`, `airline`, `sub_merchant`, `agreement`, `reauthorized_order_id`, and in
//! `captures`, by position, `retrieval_reference`, `stan` and `auth_code`. A merchant's:
//! `acquirer_id`, `arabic_name`, `merchant_number`, `rule_precedence`.
//!
//! Start at [`refund`].

mod auth;
#[cfg(test)]
mod exchanges;
mod failure;
mod order;
mod refund;
mod row;
#[cfg(test)]
mod tests;
mod wire;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::response::Response;

use crate::access::{Access, Caller};
use crate::desk::Desk;
use crate::http::{catch_panics, refuse_bad_paths};
use crate::route::Routes;
use failure::Failure;

pub(crate) fn router(desk: Desk) -> Router {
    let routes = routes()
        .router(async || Failure::RouteUnknown, async || Failure::MethodUnknown)
        .with_state(desk);
    catch_panics(refuse_bad_paths(routes, failure::render), failure::render)
}

pub(super) fn routes() -> Routes<Desk> {
    let (read, refund) = (Access::AnyOf(&["orders_read"]), Access::AnyOf(&["orders_refund"]));
    Routes::of("mpg").get("/v1/orders/{id}", read, "read_order", show).post(
        "/v1/orders/{id}/refund",
        refund,
        "refund_order",
        refund::create,
    )
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
