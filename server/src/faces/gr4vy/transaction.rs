//! Transactions as they are shown, and `GET /transactions/{transaction_id}`. They are made in
//! [`create`], captured and voided in [`book`], renamed in [`update`].
//!
//! A payment's profile has what no rule reads: `source` (the card), `metadata`, `gift_cards` (digits
//! of each, in the order of the legs), and in `gr4vy` what its creation said, as [`shape`] lists it;
//! `skipped` are the redemptions of a transaction whose card was declined. A payment that was
//! registered has none of the last two, and shows nulls instead.
//!
//! A refund does not change a transaction's status; it only moves `refunded_amount`, which counts
//! succeeded refunds of the payment method (G4). Gift cards carry their own amounts.

pub(super) mod book;
mod card;
pub(super) mod create;
pub(super) mod fault;
mod shape;
pub(super) mod update;
mod wish;

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use requite_core::id::{base62_text, uuid_text};
use requite_core::payment::LegKind;
use requite_engine::read::PaymentView;
use serde::ser::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::auth;
use super::failure::Failure;
use super::spelling;
use crate::access::Caller;
use crate::connectors::MANUAL;
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
    let told = Told { view, profile: profile(view) };
    let method = payment_method(&told);
    let mut members = Members(Vec::with_capacity(80));
    add_money(&mut members, &told, account);
    add_instruments(&mut members, &told, &method);
    add_circumstances(&mut members, &told);
    add_rest(&mut members, &told);
    members
}

/// A payment with its profile.
struct Told<'a> {
    view: &'a PaymentView,
    profile: Map<String, Value>,
}

impl Told<'_> {
    /// What its creation through this face said, null where it said nothing.
    fn said(&self, name: &str) -> Value {
        let said = self.profile.get("gr4vy").and_then(|said| said.get(name));
        said.cloned().unwrap_or_default()
    }

    fn flag(&self, name: &str) -> Value {
        json!(self.said(name) == true)
    }

    /// Redemptions that were not made, as the card beside them was declined.
    fn skipped(&self) -> &[Value] {
        let skipped = self.profile.get("skipped").and_then(Value::as_array);
        skipped.map_or(&[], Vec::as_slice)
    }

    /// All funding sources together, in minor units.
    fn amount(&self) -> i64 {
        let legs = self.view.legs.iter().map(|leg| leg.amount.units());
        let skipped = self.skipped().iter().filter_map(|card| card["amount"].as_i64());
        legs.chain(skipped).fold(0, i64::saturating_add)
    }
}

fn add_money(members: &mut Members, told: &Told<'_>, account: &str) {
    let view = told.view;
    let primary = view.primary();
    let status = status(view);
    let intent = match told.said("intent") {
        Value::Null if status == "capture_succeeded" => json!("capture"),
        Value::Null => json!("authorize"),
        intent => intent,
    };
    let authorized = if view.decline.is_some() { 0 } else { primary.amount.units() };
    members.add([
        ("type", json!("transaction")),
        ("id", json!(uuid_text(view.id.bits()))),
        ("reconciliation_id", json!(base62_text(view.id.bits()))),
        ("merchant_account_id", json!(account)),
        ("currency", json!(view.currency.code())),
        ("amount", json!(told.amount())),
        ("status", json!(status)),
        ("authorized_amount", json!(authorized)),
        ("captured_amount", json!(primary.captured())),
        ("refunded_amount", json!(view.refunded(primary.id))),
        ("settled_currency", Value::Null),
        ("settled_amount", json!(0)),
        ("settled", json!(false)),
        ("country", told.said("country")),
        ("external_identifier", json!(view.external_identifier)),
        ("intent", intent),
    ]);
}

fn add_instruments(members: &mut Members, told: &Told<'_>, method: &Value) {
    let view = told.view;
    let decline = view.decline.as_ref();
    let text = |text: Option<&str>| json!(text.filter(|text| !text.is_empty()));
    // What was registered may have been paid with anything; what was made here, with a number.
    let is_number = !told.said("intent").is_null() && !method.is_null();
    members.add([
        ("payment_method", method.clone()),
        ("method", method["method"].clone()),
        ("instrument_type", json!(is_number.then_some("pan"))),
        ("error_code", json!(decline.map(fault::error_code))),
        ("payment_service", service(told, method)),
        ("pending_review", json!(false)),
        ("buyer", buyer(told)),
        ("raw_response_code", text(decline.map(|fault| fault.code.as_str()))),
        ("raw_response_description", text(decline.map(|fault| fault.text.as_str()))),
        ("shipping_details", shipping_details(told)),
        ("checkout_session_id", Value::Null),
    ]);
    members.add([
        ("gift_card_redemptions", redemptions(told)),
        ("gift_card_service", Value::Null),
        ("created_at", json!(micros_text(view.created_at_ms))),
        ("updated_at", json!(micros_text(view.updated_at_ms))),
        ("disputed", json!(false)),
    ]);
}

fn add_circumstances(members: &mut Members, told: &Told<'_>) {
    let view = told.view;
    // Where gift cards paid for all of it, their money is all that was taken.
    let taken_from = match view.primary().amount.units() {
        0 => view.legs.last(),
        _ => view.legs.first(),
    };
    let captured_at = taken_from.and_then(|leg| leg.captures.first()).map(|capture| capture.at_ms);
    let voided_at = view.primary().releases.last().map(|release| release.at_ms);
    let authorized_at = view.decline.is_none().then_some(view.created_at_ms);
    let time = |ms: Option<i64>| json!(ms.map(micros_text));
    let source = match told.said("payment_source") {
        Value::Null => json!("ecommerce"),
        source => source,
    };
    members.add_nulls(["reauthorized_from_transaction_id"]);
    members.add([
        ("airline", told.said("airline")),
        ("auth_response_code", json!(view.decline.as_ref().and_then(fault::response_code))),
    ]);
    members.add_nulls(["avs_response_code", "cvv_response_code", "anti_fraud_decision"]);
    members.add([
        ("payment_source", source),
        ("merchant_initiated", told.flag("merchant_initiated")),
        ("is_subsequent_payment", told.flag("is_subsequent_payment")),
        ("cart_items", told.said("cart_items")),
        ("statement_descriptor", told.said("statement_descriptor")),
    ]);
    members.add_nulls(["scheme_transaction_id", "transaction_link_id", "three_d_secure"]);
    members.add([
        ("payment_service_transaction_id", json!(view.connector_payment)),
        ("additional_identifiers", json!({})),
        ("metadata", metadata(told)),
        ("authorized_at", time(authorized_at)),
        ("captured_at", time(captured_at)),
        ("voided_at", time(voided_at.filter(|_| captured_at.is_none()))),
        ("canceled_at", time(view.cancelled_at_ms)),
    ]);
}

fn add_rest(members: &mut Members, told: &Told<'_>) {
    let view = told.view;
    let outcome = if view.decline.is_some() { "failed" } else { "succeeded" };
    let sources = view.legs.len().saturating_add(told.skipped().len());
    members.add_nulls(["approval_expires_at", "buyer_approval_timedout_at"]);
    members.add([
        ("intent_outcome", json!(outcome)),
        ("multi_tender", json!(sources > 1)),
        ("account_funding_transaction", told.flag("account_funding_transaction")),
        ("recipient", told.said("recipient")),
        ("merchant_advice_code", Value::Null),
        ("installment_count", told.said("installment_count")),
        ("session_token", Value::Null),
    ]);
    for name in [
        "tax_amount",
        "merchant_tax_id",
        "purchase_order_number",
        "customer_reference_number",
        "amount_includes_tax",
        "supplier_order_number",
        "duty_amount",
        "shipping_amount",
    ] {
        members.add([(name, told.said(name))]);
    }
    let code = view.decline.as_ref().and_then(fault::response_code);
    members.add([("iso_response_code", json!(code))]);
}

/// A transaction that only gift cards pay for counts as captured: they are redeemed at once.
fn status(view: &PaymentView) -> &'static str {
    let primary = view.primary();
    let released = primary.released();
    if let Some(fault) = &view.decline {
        return match fault::is_failure(fault) {
            true => "authorization_failed",
            false => "authorization_declined",
        };
    }
    if primary.captured() > 0 || (primary.amount.is_zero() && view.legs.len() > 1) {
        "capture_succeeded"
    } else if view.cancelled_at_ms.is_some() || (released > 0 && released == primary.amount.units())
    {
        "authorization_voided"
    } else {
        "authorization_succeeded"
    }
}

/// The buyer as the creation named or described them. Buyers are not kept here by themselves.
fn buyer(told: &Told<'_>) -> Value {
    let (buyer, id) = (told.said("buyer"), told.said("buyer_id"));
    let name = match told.said("buyer_external_identifier") {
        Value::Null => buyer["external_identifier"].clone(),
        name => name,
    };
    if buyer.is_null() && id.is_null() && name.is_null() {
        return Value::Null;
    }
    json!({
        "type": "buyer",
        "id": id,
        "display_name": buyer["display_name"],
        "external_identifier": name,
        "billing_details": buyer["billing_details"],
        "account_number": null,
    })
}

fn shipping_details(told: &Told<'_>) -> Value {
    let mut details = told.said("buyer")["shipping_details"].clone();
    if let Some(members) = details.as_object_mut() {
        members.insert("type".to_owned(), json!("shipping-details"));
        members.insert("id".to_owned(), Value::Null);
        members.insert("buyer_id".to_owned(), Value::Null);
    }
    details
}

fn redemptions(told: &Told<'_>) -> Value {
    let legs = told.view.legs.iter().filter(|leg| leg.kind == LegKind::GiftCard);
    let made = legs.enumerate().map(|(place, leg)| {
        let refunded = told.view.refunded(leg.id);
        let id = json!(uuid_text(leg.id.bits()));
        redemption(told, place, (id, "succeeded"), (json!(leg.amount.units()), refunded))
    });
    let skipped = told.skipped().iter().enumerate().map(|(place, card)| {
        redemption(told, place, (card["id"].clone(), "skipped"), (card["amount"].clone(), 0))
    });
    made.chain(skipped).collect()
}

fn redemption(
    told: &Told<'_>,
    place: usize,
    (id, status): (Value, &str),
    (amount, refunded): (Value, i64),
) -> Value {
    let cards = told.profile.get("gift_cards").and_then(Value::as_array);
    let card = cards.and_then(|cards| cards.get(place));
    let digits = |name: &str, unknown: &str| {
        let known = card.and_then(|card| card[name].as_str());
        json!(known.unwrap_or(unknown))
    };
    json!({
        "type": "gift-card-redemption",
        "id": id,
        "status": status,
        "amount": amount,
        "refunded_amount": refunded,
        "gift_card_service_redemption_id": null,
        "error_code": null,
        "raw_error_code": null,
        "raw_error_message": null,
        "gift_card": {
            "type": "gift-card",
            "id": null,
            "bin": digits("bin", BIN_UNKNOWN),
            "sub_bin": digits("sub_bin", SUB_BIN_UNKNOWN),
            "last4": digits("last4", LAST4_UNKNOWN),
        },
    })
}

/// What the payment was registered with for display. A text that is no object counts as none.
fn profile(view: &PaymentView) -> Map<String, Value> {
    serde_json::from_str(&view.profile).unwrap_or_default()
}

/// The card as it was registered, null without one. Its id is that of refunds' `target_id`.
fn payment_method(told: &Told<'_>) -> Value {
    let view = told.view;
    let Some(source) = told.profile.get("source").and_then(Value::as_object) else {
        return Value::Null;
    };
    let text = |name: &str| source.get(name).filter(|value| value.is_string());
    let number = |name: &str| source.get(name).and_then(Value::as_i64);
    let expiration = match (number("month"), number("year")) {
        (Some(month), Some(year)) => Some(format!("{month:02}/{:02}", year.rem_euclid(100))),
        _ => None,
    };
    let details = text("first_digits").map(|digits| {
        json!({"bin": digits, "card_type": text("card_type"), "card_issuer_name": text("issuer")})
    });
    let method = text("type").cloned().unwrap_or_else(|| json!("card"));
    json!({
        "type": "payment-method",
        "method": method,
        "mode": "card",
        "label": text("last_digits"),
        "scheme": text("scheme"),
        "id": uuid_text(view.primary().id.bits()),
        "currency": view.currency.code(),
        "country": text("country_alpha2"),
        "details": details,
        "expiration_date": expiration,
        "fingerprint": null,
        "approval_url": null,
        "approval_target": null,
        "last_replaced_at": null,
        "external_identifier": told.said("payment_method_external_identifier"),
        "payment_account_reference": null,
    })
}

/// What is asked to pay refunds. Null where people move the money by hand.
pub(super) fn payment_service(view: &PaymentView) -> Value {
    let told = Told { view, profile: profile(view) };
    service(&told, &payment_method(&told))
}

/// Its id is made of the merchant and the connector's name, and so it stays the same.
fn service(told: &Told<'_>, method: &Value) -> Value {
    let name = told.view.connector.as_str();
    if name == MANUAL {
        return Value::Null;
    }
    let merchant = told.view.merchant.bits().to_be_bytes();
    let method = method["method"].as_str().unwrap_or("card");
    json!({
        "type": "payment-service",
        "id": spelling::derived_uuid(&[b"payment-service", &merchant, name.as_bytes()]),
        "payment_service_definition_id": format!("{name}-{method}"),
        "method": method,
        "display_name": name,
    })
}

/// Only texts: the SDKs refuse a whole transaction for one value that is none.
fn metadata(told: &Told<'_>) -> Value {
    let amended = told.view.metadata.as_ref().and_then(|text| serde_json::from_str(text).ok());
    let metadata: Option<Value> = amended.or_else(|| told.profile.get("metadata").cloned());
    let Some(metadata) = metadata.as_ref().and_then(Value::as_object) else {
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

/// What a body that makes a transaction means.
#[cfg(any(test, fuzzing))]
pub(super) fn meaning(body: &[u8]) -> Option<Vec<String>> {
    crate::fuzz::taken(wish::read(body)).map(|wish| wish.meaning())
}

#[cfg(test)]
mod tests;
