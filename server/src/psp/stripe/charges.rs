//! Charges and payment intents, as far as refunds need something to give back.

use serde_json::Value;

use super::failure::Failure;
use super::{Call, amount, page, show};
use crate::psp::Simulator;
use crate::psp::books::{Charge, Intent, Metadata, Status, Step};
use crate::psp::form::Form;

/// How long after a refund its fate shows that the test cards have which Stripe has for it.
const FATE_AFTER_MS: i64 = 2_000;

/// What a test card does.
#[derive(Debug, Default)]
struct Card {
    /// Error code and decline code.
    declined: Option<(&'static str, Option<&'static str>)>,
    is_disputed: bool,
    fate: Vec<Step>,
}

/// By a test token (`tok_visa`) or a test payment method (`pm_card_visa`).
fn card(name: &str) -> Card {
    let word = name.strip_prefix("tok_").or_else(|| name.strip_prefix("pm_card_")).unwrap_or(name);
    let declined = |code| Some(("card_declined", Some(code)));
    let declined = match word.strip_prefix("visa_").unwrap_or(word) {
        "chargeDeclined" => declined("generic_decline"),
        "chargeDeclinedInsufficientFunds" => declined("insufficient_funds"),
        "chargeDeclinedLostCard" => declined("lost_card"),
        "chargeDeclinedStolenCard" => declined("stolen_card"),
        "chargeDeclinedExpiredCard" => Some(("expired_card", None)),
        "chargeDeclinedIncorrectCvc" => Some(("incorrect_cvc", None)),
        "chargeDeclinedProcessingError" => Some(("processing_error", None)),
        _ => None,
    };
    let late = |first, then| vec![Step::new(first, 0), Step::new(then, FATE_AFTER_MS)];
    let fate = match word {
        "refundFail" => late(Status::Succeeded, Status::Failed),
        "pendingRefund" => late(Status::Pending, Status::Succeeded),
        _ => Vec::new(),
    };
    Card { declined, is_disputed: word == "createDispute", fate }
}

/// A new charge: its amount, its currency, and whether it is only held.
struct New {
    amount: i64,
    currency: String,
    is_held: bool,
    intent: Option<String>,
    metadata: Metadata,
}

/// Charges a test card.
fn charge(
    simulator: &mut Simulator,
    new: New,
    method: &str,
    now_ms: i64,
) -> Result<String, Failure> {
    let card = card(method);
    let id = simulator.dice.id("ch_");
    let has_failed = card.declined.is_some();
    simulator.books.write_charge(Charge {
        id: id.clone(),
        amount: new.amount,
        captured: if new.is_held || has_failed { 0 } else { new.amount },
        refunded: 0,
        released: 0,
        currency: new.currency,
        at_ms: now_ms,
        intent: new.intent,
        has_failed,
        is_disputed: card.is_disputed,
        fate: card.fate,
        metadata: new.metadata,
        merchant_account: None,
    });
    match card.declined {
        Some((code, decline_code)) => Err(Failure::declined(&id, code, decline_code)),
        None => Ok(id),
    }
}

/// Amount and currency, which every payment has.
fn sum(form: &Form) -> Result<(i64, String), Failure> {
    let amount = amount(form)?.ok_or_else(|| Failure::parameter_missing("amount"))?;
    let currency = form.one("currency").ok_or_else(|| Failure::parameter_missing("currency"))?;
    let currency = currency.to_ascii_lowercase();
    if currency.len() != 3 || !currency.bytes().all(|byte| byte.is_ascii_lowercase()) {
        let text = format!("Invalid currency: {currency}");
        return Err(Failure::parameter("currency", &text));
    }
    Ok((amount, currency))
}

pub(super) fn create(simulator: &mut Simulator, call: &Call<'_>) -> Result<Value, Failure> {
    let form = call.form;
    let (amount, currency) = sum(form)?;
    let source = form.one("source").or(form.one("payment_method")).or(form.one("customer"));
    let source = source.ok_or_else(|| Failure::parameter_missing("source"))?;
    let is_held = form.one("capture") == Some("false");
    let metadata = form.metadata(&Metadata::new());
    let new = New { amount, currency, is_held, intent: None, metadata };
    let id = charge(simulator, new, source, call.now_ms)?;
    shown(simulator, &id, form)
}

fn shown(simulator: &Simulator, id: &str, form: &Form) -> Result<Value, Failure> {
    let charge = simulator.books.charges.get(id).ok_or_else(|| Failure::missing("charge", id))?;
    Ok(show::charge(&simulator.books, charge, &form.list("expand")))
}

pub(super) fn retrieve(simulator: &mut Simulator, call: &Call<'_>) -> Result<Value, Failure> {
    shown(simulator, call.id, call.form)
}

pub(super) fn list(simulator: &mut Simulator, call: &Call<'_>) -> Result<Value, Failure> {
    let books = &simulator.books;
    let intent = call.form.one("payment_intent");
    let ids = books.made.iter().rev().map(String::as_str).filter(|id| {
        let charge = books.charges.get(*id);
        charge.is_some_and(|charge| intent.is_none() || charge.intent.as_deref() == intent)
    });
    page(ids, call.form, "/v1/charges", |id| Some(show::charge(books, books.charges.get(id)?, &[])))
}

pub(super) fn capture(simulator: &mut Simulator, call: &Call<'_>) -> Result<Value, Failure> {
    take(simulator, call.id, amount(call.form)?)?;
    shown(simulator, call.id, call.form)
}

/// Captures a held charge, all of it or less; the rest is let go.
fn take(simulator: &mut Simulator, id: &str, amount: Option<i64>) -> Result<(), Failure> {
    let charge = simulator.books.charges.get(id).ok_or_else(|| Failure::missing("charge", id))?;
    if charge.captured > 0 || charge.released > 0 || charge.has_failed {
        return Err(Failure::captured_already(id));
    }
    let captured = amount.unwrap_or(charge.amount);
    if captured > charge.amount {
        let text = "The amount to capture is greater than the amount of the charge.";
        return Err(Failure::state("amount_too_large", text));
    }
    simulator.books.write_charge(Charge { captured, ..charge.clone() });
    Ok(())
}

pub(super) fn create_intent(simulator: &mut Simulator, call: &Call<'_>) -> Result<Value, Failure> {
    let form = call.form;
    let (amount, currency) = sum(form)?;
    let intent = Intent {
        id: simulator.dice.id("pi_"),
        amount,
        currency,
        at_ms: call.now_ms,
        method: form.one("payment_method").map(str::to_owned),
        captures_by_hand: form.one("capture_method") == Some("manual"),
        charge: None,
        is_canceled: false,
        metadata: form.metadata(&Metadata::new()),
    };
    let id = intent.id.clone();
    simulator.books.write_intent(intent);
    if form.one("confirm") == Some("true") {
        confirm(simulator, &id, call)?;
    }
    shown_intent(simulator, &id, form)
}

/// An intent, and how it stands.
fn found(simulator: &Simulator, id: &str) -> Result<(Intent, &'static str), Failure> {
    let intent = simulator.books.intents.get(id);
    let intent = intent.ok_or_else(|| Failure::missing("payment_intent", id))?.clone();
    let status = show::intent_status(&simulator.books, &intent);
    Ok((intent, status))
}

fn unexpected(id: &str, status: &str) -> Failure {
    let text = format!(
        "This PaymentIntent ({id}) has a status of {status}, in which this cannot be done."
    );
    Failure::state("payment_intent_unexpected_state", &text)
}

fn confirm(simulator: &mut Simulator, id: &str, call: &Call<'_>) -> Result<(), Failure> {
    let (mut intent, status) = found(simulator, id)?;
    let given = call.form.one("payment_method").map(str::to_owned);
    let Some(method) = given.or(intent.method.take()) else {
        return Err(Failure::parameter_missing("payment_method"));
    };
    if !matches!(status, "requires_confirmation" | "requires_payment_method") {
        return Err(unexpected(id, status));
    }
    let new = New {
        amount: intent.amount,
        currency: intent.currency.clone(),
        is_held: intent.captures_by_hand,
        intent: Some(intent.id.clone()),
        metadata: intent.metadata.clone(),
    };
    let charged = charge(simulator, new, &method, call.now_ms)?;
    let intent = Intent { method: Some(method), charge: Some(charged), ..intent };
    simulator.books.write_intent(intent);
    Ok(())
}

fn shown_intent(simulator: &Simulator, id: &str, form: &Form) -> Result<Value, Failure> {
    let (intent, _) = found(simulator, id)?;
    Ok(show::intent(&simulator.books, &intent, &form.list("expand")))
}

pub(super) fn retrieve_intent(
    simulator: &mut Simulator,
    call: &Call<'_>,
) -> Result<Value, Failure> {
    shown_intent(simulator, call.id, call.form)
}

pub(super) fn list_intents(simulator: &mut Simulator, call: &Call<'_>) -> Result<Value, Failure> {
    let books = &simulator.books;
    let made = books.made.iter().rev().map(String::as_str);
    let ids = made.filter(|id| books.intents.contains_key(*id));
    page(ids, call.form, "/v1/payment_intents", |id| {
        Some(show::intent(books, books.intents.get(id)?, &[]))
    })
}

pub(super) fn confirm_intent(simulator: &mut Simulator, call: &Call<'_>) -> Result<Value, Failure> {
    confirm(simulator, call.id, call)?;
    shown_intent(simulator, call.id, call.form)
}

pub(super) fn capture_intent(simulator: &mut Simulator, call: &Call<'_>) -> Result<Value, Failure> {
    let (intent, status) = found(simulator, call.id)?;
    let charge = intent.charge.filter(|_| status == "requires_capture");
    let charge = charge.ok_or_else(|| unexpected(call.id, status))?;
    let form = call.form;
    let asked = form.one("amount_to_capture").map(str::parse::<i64>).transpose();
    let asked = asked.map_err(|_| Failure::not_positive("amount_to_capture"))?;
    if asked.is_some_and(|asked| asked <= 0) {
        return Err(Failure::not_positive("amount_to_capture"));
    }
    take(simulator, &charge, asked)?;
    shown_intent(simulator, call.id, form)
}

pub(super) fn cancel_intent(simulator: &mut Simulator, call: &Call<'_>) -> Result<Value, Failure> {
    let (intent, status) = found(simulator, call.id)?;
    if matches!(status, "succeeded" | "canceled") {
        return Err(unexpected(call.id, status));
    }
    let held = intent.charge.as_ref().and_then(|id| simulator.books.charges.get(id)).cloned();
    if let Some(charge) = held.filter(|charge| !charge.has_failed) {
        let released = charge.amount;
        simulator.books.write_charge(Charge { released, ..charge });
    }
    simulator.books.write_intent(Intent { is_canceled: true, ..intent });
    shown_intent(simulator, call.id, call.form)
}
