//! `GET /v1/payments/{id}`.

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use requite_engine::read::PaymentView;
use serde::Serialize;

use super::auth;
use super::charge;
use super::failure::Failure;
use super::wire;
use crate::access::Caller;
use crate::desk::Desk;
use crate::json::{Json, read};
use crate::time::millis_text;

/// In the order in which the dialect writes them.
#[derive(Serialize)]
pub(super) struct Payment {
    id: String,
    /// Never null in this dialect: empty where the payment names no customer.
    customer_id: String,
    order_id: Option<String>,
    /// A string here, an integer on refunds.
    amount_cents: String,
    currency: String,
    status: &'static str,
    stripe_payment_intent_id: Option<String>,
    mode: &'static str,
    subscription_id: Option<String>,
    created_at: String,
    updated_at: String,
}

pub(super) async fn show(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    let actor = auth::actor(&desk, Caller::of(&request)).await?;
    let named = charge::find(&desk, actor.merchant, id).await?;
    let named = named.ok_or(Failure::PaymentUnknown)?;
    let payment = desk.payment(actor.merchant, named.payment, None).await;
    let payment = payment.map_err(Failure::Read)?;
    let payment = spelled(&payment.ok_or(Failure::PaymentUnknown)?);
    Ok(wire::json(StatusCode::OK, &payment))
}

pub(super) fn spelled(payment: &PaymentView) -> Payment {
    Payment {
        id: charge::payment_id(payment.id),
        customer_id: payment.customer.clone().unwrap_or_default(),
        order_id: payment.order.clone(),
        amount_cents: payment.primary().amount.units().to_string(),
        currency: payment.currency.code().to_ascii_lowercase(),
        status: status(payment),
        stripe_payment_intent_id: intent(payment),
        mode: if is_of_plan(payment) { "subscription" } else { "one_shot" },
        // The plan is known; the subscription that comes of it is not made here.
        subscription_id: None,
        created_at: millis_text(payment.created_at_ms),
        updated_at: millis_text(payment.updated_at_ms),
    }
}

/// Refundable are `succeeded` and `partially_refunded`.
fn status(payment: &PaymentView) -> &'static str {
    let leg = payment.primary();
    let refunded = payment.refunded(leg.id);
    if payment.decline.is_some() {
        "failed"
    } else if payment.cancelled_at_ms.is_some() || leg.released() == leg.amount.units() {
        "canceled"
    } else if leg.captured() == 0 {
        "processing"
    } else if refunded == 0 {
        "succeeded"
    } else if refunded < leg.captured() {
        "partially_refunded"
    } else {
        "refunded"
    }
}

/// Was it checked out for a subscription plan?
fn is_of_plan(payment: &PaymentView) -> bool {
    let profile = read(payment.profile.as_bytes()).ok().and_then(Json::object);
    let checkout = profile.and_then(|profile| profile.member("checkout")).and_then(Json::object);
    checkout.is_some_and(|checkout| checkout.member("subscription_plan_id").is_some())
}

/// The PSP's payment intent, where the payment is known by one.
fn intent(payment: &PaymentView) -> Option<String> {
    let names = payment.connector_payment.iter().chain(&payment.aliases);
    names.into_iter().find(|name| name.starts_with("pi_")).cloned()
}
