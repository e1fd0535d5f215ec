//! `GET /transactions/{transaction_id}`: what the refund side of a transaction needs, and null for
//! all that belongs to taking payments.
//!
//! A refund does not change a transaction's status; it only moves `refunded_amount`, which counts
//! succeeded refunds of the payment method (G4). Gift cards carry their own amounts.

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use requite_core::id::{base62_text, uuid_text};
use requite_core::payment::LegKind;
use requite_engine::read::{LegView, PaymentView};
use serde::ser::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::auth;
use super::failure::Failure;
use super::spelling;
use crate::access::Caller;
use crate::desk::Desk;
use crate::time::micros_text;

/// Digits shown for a gift card whose number is not known here. The SDKs demand some.
const BIN_UNKNOWN: &str = "000000";
const SUB_BIN_UNKNOWN: &str = "000";
const LAST4_UNKNOWN: &str = "0000";

/// The last member that a transaction in a list has.
const SUMMARY_ENDS_WITH: &str = "reauthorized_from_transaction_id";

/// Members in the order they are sent in.
pub(super) struct Members(Vec<(&'static str, Value)>);

impl Serialize for Members {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl Members {
    /// The value at a JSON pointer, null ones included.
    pub(super) fn member(&self, pointer: &str) -> Option<&Value> {
        let (name, rest) = match pointer.strip_prefix('/')?.split_once('/') {
            Some((name, _)) => (name, pointer.get(name.len() + 1..)?),
            None => (pointer.get(1..)?, ""),
        };
        let found = self.0.iter().find(|(have, _)| *have == name);
        found.and_then(|(_, value)| value.pointer(rest))
    }

    fn add<const N: usize>(&mut self, members: [(&'static str, Value); N]) {
        self.0.extend(members);
    }

    fn add_nulls<const N: usize>(&mut self, names: [&'static str; N]) {
        self.0.extend(names.map(|name| (name, Value::Null)));
    }
}

/// `GET /transactions/{transaction_id}`
pub(super) async fn read(
    State(desk): State<Desk>,
    Path(text): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    let actor = auth::actor(&desk, Caller::of(&request)).await?;
    let view = spelling::view(&desk, actor.merchant, &text).await?;
    let account = auth::slug(&desk, actor.merchant).await?;
    let members = transaction(&view, &account);
    Ok(super::json(StatusCode::OK, HeaderMap::new(), &members))
}

/// A transaction as lists show it.
pub(super) fn summary(view: &PaymentView, account: &str) -> Members {
    let Members(mut members) = transaction(view, account);
    let end = members.iter().position(|(name, _)| *name == SUMMARY_ENDS_WITH);
    members.truncate(end.map_or(members.len(), |end| end + 1));
    Members(members)
}

/// A transaction as it is shown by itself.
pub(super) fn transaction(view: &PaymentView, account: &str) -> Members {
    let profile = profile(view);
    let method = payment_method(view, &profile);
    let mut members = Members(Vec::with_capacity(80));
    add_money(&mut members, view, account);
    add_instruments(&mut members, view, &method);
    add_circumstances(&mut members, view, &profile);
    members
}

fn add_money(members: &mut Members, view: &PaymentView, account: &str) {
    let primary = view.primary();
    let amount: i64 = view.legs.iter().map(|leg| leg.amount.units()).sum();
    let status = status(view);
    let intent = if status == "capture_succeeded" { "capture" } else { "authorize" };
    members.add([
        ("type", json!("transaction")),
        ("id", json!(uuid_text(view.id.bits()))),
        ("reconciliation_id", json!(base62_text(view.id.bits()))),
        ("merchant_account_id", json!(account)),
        ("currency", json!(view.currency.code())),
        ("amount", json!(amount)),
        ("status", json!(status)),
        ("authorized_amount", json!(primary.amount.units())),
        ("captured_amount", json!(primary.captured())),
        ("refunded_amount", json!(view.refunded(primary.id))),
        ("settled_currency", Value::Null),
        ("settled_amount", json!(0)),
        ("settled", json!(false)),
        ("country", Value::Null),
        ("external_identifier", json!(view.external_identifier)),
        ("intent", json!(intent)),
    ]);
}

fn add_instruments(members: &mut Members, view: &PaymentView, method: &Value) {
    members.add([("payment_method", method.clone()), ("method", method["method"].clone())]);
    members.add_nulls(["instrument_type", "error_code", "payment_service"]);
    members.add([("pending_review", json!(false))]);
    members.add_nulls([
        "buyer",
        "raw_response_code",
        "raw_response_description",
        "shipping_details",
        "checkout_session_id",
    ]);
    let gift_cards = view.legs.iter().filter(|leg| leg.kind == LegKind::GiftCard);
    let redemptions: Vec<Value> = gift_cards.map(|leg| redemption(view, leg)).collect();
    members.add([
        ("gift_card_redemptions", json!(redemptions)),
        ("gift_card_service", Value::Null),
        ("created_at", json!(micros_text(view.created_at_ms))),
        ("updated_at", json!(micros_text(view.updated_at_ms))),
        ("disputed", json!(false)),
    ]);
}

fn add_circumstances(members: &mut Members, view: &PaymentView, profile: &Map<String, Value>) {
    // Where gift cards paid for all of it, their money is all that was taken.
    let taken_from = match view.primary().amount.units() {
        0 => view.legs.last(),
        _ => view.legs.first(),
    };
    let captured_at = taken_from.and_then(|leg| leg.captures.first()).map(|capture| capture.at_ms);
    let voided_at = view.primary().releases.last().map(|release| release.at_ms);
    let time = |ms: Option<i64>| json!(ms.map(micros_text));
    members.add_nulls([
        "reauthorized_from_transaction_id",
        "airline",
        "auth_response_code",
        "avs_response_code",
        "cvv_response_code",
        "anti_fraud_decision",
    ]);
    members.add([
        ("payment_source", json!("ecommerce")),
        ("merchant_initiated", json!(false)),
        ("is_subsequent_payment", json!(false)),
    ]);
    members.add_nulls([
        "cart_items",
        "statement_descriptor",
        "scheme_transaction_id",
        "transaction_link_id",
        "three_d_secure",
    ]);
    members.add([
        ("payment_service_transaction_id", json!(view.connector_payment)),
        ("additional_identifiers", json!({})),
        ("metadata", metadata(profile)),
        ("authorized_at", time(Some(view.created_at_ms))),
        ("captured_at", time(captured_at)),
        ("voided_at", time(voided_at.filter(|_| captured_at.is_none()))),
        ("canceled_at", time(view.cancelled_at_ms)),
    ]);
    members.add_nulls(["approval_expires_at", "buyer_approval_timedout_at"]);
    members.add([
        ("intent_outcome", json!("succeeded")),
        ("multi_tender", json!(view.legs.len() > 1)),
        ("account_funding_transaction", json!(false)),
    ]);
    members.add_nulls([
        "recipient",
        "merchant_advice_code",
        "installment_count",
        "session_token",
        "tax_amount",
        "merchant_tax_id",
        "purchase_order_number",
        "customer_reference_number",
        "amount_includes_tax",
        "supplier_order_number",
        "duty_amount",
        "shipping_amount",
        "iso_response_code",
    ]);
}

/// A transaction that only gift cards pay for counts as captured: they are redeemed at once.
fn status(view: &PaymentView) -> &'static str {
    let primary = view.primary();
    let released = primary.released();
    if primary.captured() > 0 || (primary.amount.is_zero() && view.legs.len() > 1) {
        "capture_succeeded"
    } else if view.cancelled_at_ms.is_some() || (released > 0 && released == primary.amount.units())
    {
        "authorization_voided"
    } else {
        "authorization_succeeded"
    }
}

fn redemption(view: &PaymentView, leg: &LegView) -> Value {
    json!({
        "type": "gift-card-redemption",
        "id": uuid_text(leg.id.bits()),
        "status": "succeeded",
        "amount": leg.amount.units(),
        "refunded_amount": view.refunded(leg.id),
        "gift_card_service_redemption_id": null,
        "error_code": null,
        "raw_error_code": null,
        "raw_error_message": null,
        "gift_card": {
            "type": "gift-card",
            "id": null,
            "bin": BIN_UNKNOWN,
            "sub_bin": SUB_BIN_UNKNOWN,
            "last4": LAST4_UNKNOWN,
        },
    })
}

/// What the payment was registered with for display. A text that is no object counts as none.
fn profile(view: &PaymentView) -> Map<String, Value> {
    serde_json::from_str(&view.profile).unwrap_or_default()
}

/// The card as it was registered, null without one. Its id is that of refunds' `target_id`.
fn payment_method(view: &PaymentView, profile: &Map<String, Value>) -> Value {
    let Some(source) = profile.get("source").and_then(Value::as_object) else {
        return Value::Null;
    };
    let text = |name: &str| source.get(name).filter(|value| value.is_string());
    let number = |name: &str| source.get(name).and_then(Value::as_i64);
    let expiration = match (number("month"), number("year")) {
        (Some(month), Some(year)) => Some(format!("{month:02}/{:02}", year.rem_euclid(100))),
        _ => None,
    };
    let method = text("type").cloned().unwrap_or_else(|| json!("card"));
    json!({
        "type": "payment-method",
        "method": method,
        "mode": "card",
        "label": text("last_digits"),
        "scheme": text("scheme"),
        "id": uuid_text(view.primary().id.bits()),
        "currency": view.currency.code(),
        "country": null,
        "details": null,
        "expiration_date": expiration,
        "fingerprint": null,
        "approval_url": null,
        "approval_target": null,
        "last_replaced_at": null,
        "external_identifier": null,
        "payment_account_reference": null,
    })
}

/// Only texts: the SDKs refuse a whole transaction for one value that is none.
fn metadata(profile: &Map<String, Value>) -> Value {
    let Some(metadata) = profile.get("metadata").and_then(Value::as_object) else {
        return Value::Null;
    };
    let texts = metadata.iter().map(|(name, value)| {
        let text = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        (name.clone(), Value::String(text))
    });
    Value::Object(texts.collect())
}

#[cfg(test)]
mod tests;
