//! Refunds.

use serde_json::Value;

use super::failure::Failure;
use super::{Call, amount, is_created_as, page, show};
use crate::psp::Simulator;
use crate::psp::books::{Metadata, Refund, Status, Step, Wish};
use crate::psp::form::Form;

/// Parameters of a refund. Any other is refused.
const PARAMETERS: [&str; 11] = [
    "charge",
    "payment_intent",
    "amount",
    "reason",
    "metadata",
    "expand",
    "refund_application_fee",
    "reverse_transfer",
    "instructions_email",
    "currency",
    "customer",
];
const REASONS: [&str; 3] = ["duplicate", "fraudulent", "requested_by_customer"];
/// Most members of metadata; longest name and longest value of one, in characters.
const METADATA_MAX: (usize, usize, usize) = (50, 40, 500);

pub(super) fn create(simulator: &mut Simulator, call: &Call<'_>) -> Result<Value, Failure> {
    let form = call.form;
    if let Some(name) = form.stranger(&PARAMETERS) {
        return Err(Failure::parameter_unknown(name));
    }
    let amount = amount(form)?;
    let reason = form.one("reason").map(str::to_owned);
    if reason.as_ref().is_some_and(|reason| !REASONS.contains(&reason.as_str())) {
        let text = format!("Invalid reason: must be one of {}", REASONS.join(", "));
        return Err(Failure::parameter("reason", &text));
    }
    let metadata = metadata(form, &Metadata::new())?;
    let charge = charge(simulator, form)?;
    let id = simulator.dice.id("re_");
    let wish = Wish {
        id: id.clone(),
        charge: charge.clone(),
        amount,
        reason,
        metadata,
        key: call.key.map(str::to_owned),
        fate: call.fate.clone(),
    };
    let made = simulator.books.refund(wish, call.now_ms);
    made.map_err(|refusal| Failure::refused(&refusal, &charge))?;
    shown(simulator, &id, form)
}

/// The charge that is meant, by its own id or by its intent's.
fn charge(simulator: &Simulator, form: &Form) -> Result<String, Failure> {
    match (form.one("charge"), form.one("payment_intent")) {
        (Some(_), Some(_)) => {
            let text = "You may only specify one of these parameters: charge, payment_intent.";
            Err(Failure::parameter("payment_intent", text))
        }
        (Some(id), None) => Ok(id.to_owned()),
        (None, Some(id)) => {
            let intent = simulator.books.intents.get(id);
            let intent = intent.ok_or_else(|| Failure::missing("payment_intent", id))?;
            intent.charge.clone().ok_or_else(|| {
                let text = format!(
                    "This PaymentIntent ({id}) does not have a successful charge to refund."
                );
                Failure::state("payment_intent_unexpected_state", &text)
            })
        }
        (None, None) => Err(Failure::parameter_missing("charge")),
    }
}

fn metadata(form: &Form, old: &Metadata) -> Result<Metadata, Failure> {
    let metadata = form.metadata(old);
    let (members, name, value) = METADATA_MAX;
    let is_long = |text: &str, most: usize| text.chars().count() > most;
    let is_too_long = metadata.iter().any(|(key, text)| is_long(key, name) || is_long(text, value));
    if metadata.len() > members || is_too_long {
        let text =
            "Metadata has at most 50 keys of at most 40 characters, with values of at most 500.";
        return Err(Failure::parameter("metadata", text));
    }
    Ok(metadata)
}

fn found<'a>(simulator: &'a Simulator, id: &str) -> Result<&'a Refund, Failure> {
    simulator.books.refunds.get(id).ok_or_else(|| Failure::missing("refund", id))
}

fn shown(simulator: &Simulator, id: &str, form: &Form) -> Result<Value, Failure> {
    Ok(show::refund(&simulator.books, found(simulator, id)?, &form.list("expand")))
}

pub(super) fn retrieve(simulator: &mut Simulator, call: &Call<'_>) -> Result<Value, Failure> {
    shown(simulator, call.id, call.form)
}

/// Newest first.
pub(super) fn list(simulator: &mut Simulator, call: &Call<'_>) -> Result<Value, Failure> {
    let (form, books) = (call.form, &simulator.books);
    let charge = match form.one("payment_intent") {
        Some(id) => {
            let intent = books.intents.get(id);
            let intent = intent.ok_or_else(|| Failure::missing("payment_intent", id))?;
            Some(intent.charge.clone().unwrap_or_default())
        }
        None => form.one("charge").map(str::to_owned),
    };
    let is_asked_for =
        |id: &&str| books.refunds.get(*id).is_some_and(|refund| is_created_as(form, refund.at_ms));
    let show = |id: &str| {
        let refund = books.refunds.get(id)?;
        Some(show::refund(books, refund, &[]))
    };
    match charge {
        Some(charge) => {
            if !charge.is_empty() && !books.charges.contains_key(&charge) {
                return Err(Failure::missing("charge", &charge));
            }
            let ids = books.refunds_of(&charge).rev().map(|refund| refund.id.as_str());
            page(ids.filter(is_asked_for), form, "/v1/refunds", show)
        }
        None => {
            let made = books.made.iter().rev().map(String::as_str);
            page(made.filter(is_asked_for), form, "/v1/refunds", show)
        }
    }
}

pub(super) fn update(simulator: &mut Simulator, call: &Call<'_>) -> Result<Value, Failure> {
    if let Some(name) = call.form.stranger(&["metadata", "expand"]) {
        return Err(Failure::parameter_unknown(name));
    }
    let metadata = metadata(call.form, &found(simulator, call.id)?.metadata)?;
    simulator.books.write_metadata(call.id, metadata);
    shown(simulator, call.id, call.form)
}

pub(super) fn cancel(simulator: &mut Simulator, call: &Call<'_>) -> Result<Value, Failure> {
    let refund = found(simulator, call.id)?;
    if refund.status != Status::RequiresAction {
        let word = refund.status.word();
        let text = format!("A refund can only be canceled while it requires action; it is {word}.");
        return Err(Failure::state("refund_not_cancelable", &text));
    }
    simulator.books.move_to(call.id, Step::new(Status::Canceled, 0), call.now_ms);
    shown(simulator, call.id, call.form)
}
