//! A request for a new order, read and checked: what is asked for, what of it is kept for being shown,
//! and what a repeat of it must mean again.

use axum::http::HeaderMap;
use requite_core::currency::Currency;
use requite_core::id::uuid_text;
use requite_core::money::Minor;
use serde_json::json;

use super::card::{self, Source};
use super::failure::{Complaint, Failure};
use super::fields::Fields;
use super::row::{JUSTIFICATIONS, TRANSACTION_TYPES};
use super::wire::{AMOUNT_MAX, TAKING_MIN};
use crate::crypto::secret::Secret;
use crate::json::Json;

/// Longest texts, in characters.
const DESCRIPTION_MAX: usize = 1_024;
const USER_AGENT_MAX: usize = 1_024;
const AGREEMENT_ID_MAX: usize = 64;
const NEW_AGREEMENT_ID_MAX: usize = 36;
const SUB_MERCHANT_ID_MAX: usize = 15;
const SUB_MERCHANT_NAME_MAX: usize = 100;
const EMAIL_MAX: usize = 254;
/// Largest member that is kept as it was written, in bytes.
const KEPT_BYTES_MAX: usize = 16 * 1024;
/// Characters of an airline's booking reference.
const AIRLINE_REFERENCE_MIN: usize = 6;
const AIRLINE_REFERENCE_MAX: usize = 15;

const AGREEMENT_TYPES: [&str; 4] = ["unscheduled", "recurring", "registered", "installment"];
const KEPT: [&str; 5] = ["airline", "sub_merchant", "device", "new_agreement", "additional_data"];

/// With what an order begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Holds money.
    Authorize,
    /// Takes money at once.
    Purchase,
    /// Looks whether the card is good.
    Verify,
}

impl Kind {
    pub(super) fn word(self) -> &'static str {
        match self {
            Kind::Authorize => "authorize",
            Kind::Purchase => "purchase",
            Kind::Verify => "verify",
        }
    }
}

/// An order as asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    pub order_id: Option<u128>,
    pub amount: Minor,
    pub currency: Currency,
    pub description: Option<String>,
    pub transaction_type: &'static str,
    pub justification: Option<&'static str>,
    pub source: Source,
    pub reauthorized_order_id: Option<String>,
    pub agreement_id: Option<String>,
    /// Members of [`KEPT`] as they were written.
    pub kept: Vec<(&'static str, String)>,
    pub idempotency_key: Option<String>,
    /// Equal for wishes that mean the same. Has of a card what is kept of it.
    pub meaning: String,
}

/// Reads a body and the header's key.
pub(super) fn read(
    body: &[u8],
    headers: &HeaderMap,
    kind: Kind,
    now_ms: i64,
) -> Result<Wish, Failure> {
    let mut fields = Fields::of_body(body)?;
    let order_id = fields.uuid("order_id");
    let amount = amount(&mut fields, kind);
    let currency = currency(&mut fields);
    let description = fields.text("description", DESCRIPTION_MAX);
    let transaction_type = fields.one_of("transaction_type", &TRANSACTION_TYPES);
    let source = card::read(&mut fields, now_ms);
    check_device(&mut fields);
    check_airline(&mut fields);
    check_sub_merchant(&mut fields);
    let agreement_id = agreement(&mut fields);
    let reauthorized_order_id = fields.uuid("reauthorized_order_id").map(uuid_text);
    let justification = fields.one_of("justification", &JUSTIFICATIONS);
    let kept: Vec<(&'static str, Json<'_>)> = KEPT
        .iter()
        .filter_map(|name| fields.kept(name, KEPT_BYTES_MAX).map(|value| (*name, value)))
        .collect();
    let (source, number) = source.unzip();
    if let Some(number) = number.flatten() {
        check_number_is_alone(&mut fields, &number);
    }
    let idempotency_key = fields.idempotency_key(headers);
    let (Some(amount), Some(currency), Some(source)) = (amount, currency, source) else {
        return Err(fields.failure());
    };
    fields.end()?;
    let mut wish = Wish {
        order_id,
        amount,
        currency,
        description,
        transaction_type: transaction_type.unwrap_or("internet"),
        justification,
        source,
        reauthorized_order_id,
        agreement_id,
        kept: kept.iter().map(|(name, value)| (*name, value.text().to_owned())).collect(),
        idempotency_key,
        meaning: String::new(),
    };
    let kept: Vec<_> = kept.iter().map(|(name, value)| (*name, value.canonical())).collect();
    wish.meaning = meaning(&wish, &kept);
    Ok(wish)
}

fn amount(fields: &mut Fields<'_>, kind: Kind) -> Option<Minor> {
    let least = if kind == Kind::Verify { 0 } else { TAKING_MIN };
    fields.require("amount");
    fields.integer("amount", least, AMOUNT_MAX).and_then(Minor::new)
}

fn currency(fields: &mut Fields<'_>) -> Option<Currency> {
    fields.require("currency");
    let is_currency = |text: &str| Currency::parse(text).is_some();
    let text = fields.text_that("currency", Complaint::NotCurrency, is_currency);
    text.as_deref().and_then(Currency::parse)
}

fn check_device(fields: &mut Fields<'_>) {
    if let Some(mut device) = fields.inner("device") {
        device.text("user_agent", USER_AGENT_MAX);
        device.ip_address("ip_address");
        fields.absorb(device);
    }
}

fn check_airline(fields: &mut Fields<'_>) {
    if let Some(mut airline) = fields.inner("airline") {
        airline.text_that("reference", Complaint::NotAirlineReference, |text| {
            (AIRLINE_REFERENCE_MIN..=AIRLINE_REFERENCE_MAX).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
        });
        fields.absorb(airline);
    }
}

fn check_sub_merchant(fields: &mut Fields<'_>) {
    if let Some(mut merchant) = fields.inner("sub_merchant") {
        merchant.text("id", SUB_MERCHANT_ID_MAX);
        merchant.text("registered_name", SUB_MERCHANT_NAME_MAX);
        merchant.text("trading_name", SUB_MERCHANT_NAME_MAX);
        merchant.text("email", EMAIL_MAX);
        fields.absorb(merchant);
    }
}

/// A stored-credential agreement is new, or named by its id.
fn agreement(fields: &mut Fields<'_>) -> Option<String> {
    if let Some(mut new) = fields.inner("new_agreement") {
        new.require("type");
        new.one_of("type", &AGREEMENT_TYPES);
        new.text("id", NEW_AGREEMENT_ID_MAX);
        fields.absorb(new);
        if fields.member("agreement_id").is_some() {
            fields.complain("agreement_id", Complaint::Besides("new_agreement"));
        }
    }
    fields.text("agreement_id", AGREEMENT_ID_MAX)
}

/// What is kept word for word must not keep the card's number by accident.
fn check_number_is_alone(fields: &mut Fields<'_>, number: &Secret) {
    let texts = ["description", "agreement_id"];
    for name in texts.into_iter().chain(KEPT) {
        if fields.member(name).is_some_and(|value| card::shows(value, number)) {
            fields.complain(name, Complaint::HasCardNumber);
        }
    }
}

fn meaning(wish: &Wish, kept: &[(&str, String)]) -> String {
    let source = &wish.source;
    let digits = source.card.as_ref().map(|card| (&card.first_digits, &card.last_digits));
    let meaning = json!({
        "amount": wish.amount.units(), "currency": wish.currency.code(),
        "description": wish.description, "transaction_type": wish.transaction_type,
        "justification": wish.justification, "agreement_id": wish.agreement_id,
        "reauthorized_order_id": wish.reauthorized_order_id, "kept": kept,
        "source": [json!(source.kind), json!(digits), json!(source.month), json!(source.year)],
    });
    meaning.to_string()
}

impl Wish {
    /// What is kept for being shown, as the profile of a payment. `drawn`: the id of a new agreement
    /// that has none.
    pub(super) fn profile(&self, kind: Kind, auth_code: Option<String>, drawn: u128) -> String {
        let card = self.source.card.as_ref();
        let source = json!({
            "type": self.source.kind,
            "scheme": card.and_then(|card| card.scheme),
            "first_digits": card.map(|card| &card.first_digits),
            "last_digits": card.map(|card| &card.last_digits),
            "month": self.source.month,
            "year": self.source.year,
        });
        let began = json!({
            "type": kind.word(), "transaction_type": self.transaction_type,
            "justification": self.justification, "auth_code": auth_code,
        });
        let mut members = vec![("source", source.to_string()), ("mpg", began.to_string())];
        if let Some(order) = &self.reauthorized_order_id {
            members.push(("reauthorized_order_id", json!(order).to_string()));
        }
        if let Some(id) = &self.agreement_id {
            members.push(("agreement", json!({ "id": id }).to_string()));
        }
        for (name, text) in &self.kept {
            members.push(match *name {
                "new_agreement" => ("agreement", agreement_text(text, drawn)),
                name => (name, text.clone()),
            });
        }
        let members: Vec<String> =
            members.into_iter().map(|(name, text)| format!("\"{name}\":{text}")).collect();
        format!("{{{}}}", members.join(","))
    }
}

/// A new agreement as it was written, with an id.
fn agreement_text(text: &str, drawn: u128) -> String {
    let Ok(fields) = Fields::of_body(text.as_bytes()) else {
        return text.to_owned();
    };
    if fields.member("id").is_some() {
        return text.to_owned();
    }
    let others = fields.members().filter(|(name, _)| *name != "id");
    let others = others.map(|(name, value)| format!(",{}:{}", json!(name), value.text()));
    format!("{{\"id\":\"{}\"{}}}", uuid_text(drawn), others.collect::<String>())
}
