//! `GET /admin/payments/{id}`: a payment, with `fields` and `expand`.

use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use requite_core::id::{MerchantId, PaymentId, parse_prefixed, parse_uuid};
use requite_engine::read::PaymentView;
use serde_json::value::RawValue;

use super::failure::Failure;
use super::fields::{self, Field, Members, Selection, Shape, field, further, raw};
use super::order::Order;
use super::{Face, auth, wire};
use crate::access::Caller;
use crate::json;
use crate::time::millis_text;

/// `GET /admin/payments/{id}`
pub(super) async fn retrieve(
    State(face): State<Face>,
    Path(id): Path<String>,
    Query(query): Query<Vec<(String, String)>>,
    request: Request,
) -> Result<Response, Failure> {
    let actor = auth::actor(&face, Caller::of(&request)).await?;
    let selection = Selection::read(&query, &SHAPE)?;
    let payment = find(&face, actor.merchant, &id).await?;
    let payment = payment.ok_or_else(|| Failure::payment_unknown(&id))?;
    let mut shown = selection.of(&SHAPE, &payment);
    if selection.has("order")
        && let Some(order) = &payment.order
        && let Some(order) = Order::read(&face, actor.merchant, order).await?
    {
        shown.replace("order", &order.row());
    }
    let body = Members(vec![("payment", raw(&shown))]);
    Ok(wire::json(StatusCode::OK, &body))
}

/// The payment that a path names: by its id in any face's spelling, else by an alias.
pub(super) async fn find(
    face: &Face,
    merchant: MerchantId,
    text: &str,
) -> Result<Option<PaymentView>, Failure> {
    if let Some(id) = spelled(text)
        && let Some(payment) = face.desk.payment(merchant, id, None).await?
    {
        return Ok(Some(payment));
    }
    match alias(face, merchant, text).await? {
        Some(id) => Ok(face.desk.payment(merchant, id, None).await?),
        None => Ok(None),
    }
}

/// Reads a payment's id in this face's spelling, or in another's.
pub(super) fn spelled(text: &str) -> Option<PaymentId> {
    parse_prefixed("pay_", text)
        .or_else(|| parse_uuid(text))
        .or_else(|| parse_prefixed("ch_", text))
        .map(PaymentId::new)
}

/// The payment that has this text as another name.
pub(super) async fn alias(
    face: &Face,
    merchant: MerchantId,
    text: &str,
) -> Result<Option<PaymentId>, Failure> {
    let text = text.to_owned();
    let named = face.desk.glance(move |reads| reads.payment_named(merchant, &text));
    Ok(named.await?)
}

/// Every member: the twelve that are shown unless others are asked for, then three more.
const FIELDS: [Field<PaymentView>; 15] = [
    field("id", |p| raw(&wire::payment_text(p.id.bits()))),
    field("swap_id", |_| raw(&())),
    field("cart_id", |_| raw(&())),
    field("order_id", |p| raw(&p.order)),
    field("amount", |p| raw(&p.primary().amount.units())),
    field("currency_code", |p| raw(&currency(p))),
    // Open refunds count: their money is promised.
    field("amount_refunded", |p| raw(&p.refunded_or_open(p.primary().id))),
    field("provider_id", |p| raw(&p.connector)),
    field("data", |p| profile_object(p, "data").unwrap_or_else(|| raw(&Members(Vec::new())))),
    field("captured_at", |p| {
        let first = p.primary().captures.first();
        raw(&first.map(|capture| millis_text(capture.at_ms)))
    }),
    field("canceled_at", |p| raw(&p.cancelled_at_ms.map(millis_text))),
    field("metadata", |p| metadata(p).unwrap_or_else(|| raw(&()))),
    further("created_at", |p| raw(&millis_text(p.created_at_ms))),
    further("updated_at", |p| raw(&millis_text(p.updated_at_ms))),
    further("idempotency_key", |_| raw(&())),
];

const RELATIONS: [Field<PaymentView>; 5] = [
    further("order", order),
    further("order.id", |p| {
        let order = p.order.as_ref();
        raw(&order.map(|id| Members(vec![("object", raw("order")), ("id", raw(id))])))
    }),
    further("currency", |p| raw(&Members(vec![("code", raw(&currency(p)))]))),
    further("cart", |_| raw(&())),
    further("swap", |_| raw(&())),
];

const SHAPE: Shape<PaymentView> = Shape { fields: &FIELDS, relations: &RELATIONS };

/// What a payment by itself knows of its order, or null.
pub(super) fn order(payment: &PaymentView) -> Box<RawValue> {
    let members = payment.order.as_ref().map(|id| {
        Members(vec![
            ("object", raw("order")),
            ("id", raw(id)),
            ("customer_id", raw(&payment.customer)),
            ("currency_code", raw(&currency(payment))),
        ])
    });
    raw(&members)
}

/// All 15 members.
pub(super) fn row(payment: &PaymentView) -> Members {
    fields::all_of(&FIELDS, payment)
}

pub(super) fn currency(payment: &PaymentView) -> String {
    payment.currency.code().to_ascii_lowercase()
}

/// As it was amended last, else as it was registered.
fn metadata(payment: &PaymentView) -> Option<Box<RawValue>> {
    let amended = payment.metadata.clone().and_then(|text| RawValue::from_string(text).ok());
    amended.or_else(|| profile_object(payment, "metadata"))
}

/// An object that was registered with the payment, as it was written.
fn profile_object(payment: &PaymentView, name: &str) -> Option<Box<RawValue>> {
    let profile = json::read(payment.profile.as_bytes()).ok()?.object()?;
    let member = profile.member(name)?;
    member.object()?;
    RawValue::from_string(member.text().to_owned()).ok()
}

#[cfg(test)]
mod tests;
