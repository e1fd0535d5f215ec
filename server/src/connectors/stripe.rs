//! Stripe's refunds, as of its API version [`VERSION`].
//!
//! - A refund has the same `Idempotency-Key` for ever, and says in its metadata ([`MARK`]) whose it is, so
//!   that it is found again by listing a charge's refunds once Stripe has forgotten the key (after 24
//!   hours at the earliest).
//! - Only what Stripe proves is believed. A refund of another amount, currency or charge than was
//!   asked for, an answer that is no JSON, a 5xx: unknown, and looked up.
//! - A cancellation has no key: Stripe would give the first answer again for a day, also where the refund
//!   can be cancelled meanwhile. Asked for twice, it is refused the second time; and what was refused is
//!   looked up in the same breath, for the refusal does not say how the refund stands.
//! - A look-up asks for the refund by its id, or lists what was given back of the charge. Order and
//!   page size of the list are not relied on.
//!
//! Which answer means what stands in [`sent`], statuses in [`outcome`], amounts in [`amount`].

use requite_core::currency::Currency;
use requite_core::id::uuid_text;
use requite_core::money::Minor;
use requite_core::refund::{Fault, Status};
use requite_core::settle::Outcome;
use requite_engine::psp::{CallKind, Instruction};
use serde::Deserialize;

use super::capabilities::{Capabilities, Otherwise, Recourse, Units};
use super::exchange::{Answer, Ask, Heard, Next, fault, form_value, unknown, unreached};

pub(crate) mod hook;
pub(crate) mod list;

/// The version of Stripe's API that is asked for.
pub(crate) const VERSION: &str = "2026-10-28.endive";
/// Where Stripe is, unless an account says otherwise.
pub(crate) const BASE_URL: &str = "https://api.stripe.com";
/// The metadata key under which a refund has our id.
pub(crate) const MARK: &str = "requite_refund";

/// What Stripe can do. A reason of another text goes into the metadata only: Stripe answers 400 to it.
pub(crate) const CAPABILITIES: Capabilities = Capabilities {
    partial: true,
    several_partials: true,
    needs_capture: false,
    is_asynchronous: false,
    recourse: Recourse::LookUp,
    cancels: &[Status::RequiresAction],
    window_days: None,
    key_hours: Some(24),
    units: Units(&[
        Otherwise { codes: "MGA", decimals: 0, step: 1 },
        Otherwise { codes: "CLF IQD ISK LYD UYI UYW", decimals: 2, step: 1 },
        Otherwise { codes: "BHD JOD KWD OMR TND", decimals: 3, step: 10 },
    ]),
    reasons: &["duplicate", "fraudulent", "requested_by_customer"],
};

/// Longest value of a metadata member, in characters.
const METADATA_CHARS_MAX: usize = 500;
/// Refunds on one page of a list: Stripe's maximum.
const PAGE: usize = 100;

/// What to do next for an instruction. `sends_reason` is false for accounts at servers that refuse
/// the parameter.
pub(crate) fn next(instruction: &Instruction, heard: &[Heard], sends_reason: bool) -> Next {
    match (instruction.kind, heard.last()) {
        (CallKind::Send, None) => send(instruction, sends_reason),
        (CallKind::Send, Some(heard)) => Next::Done(match heard {
            Heard::Answer(answer) => sent(instruction, answer),
            Heard::NotSent(fault) => unreached(fault),
            Heard::Lost(fault) => Outcome::Unknown { fault: fault.clone() },
        }),
        (CallKind::LookUp, None) => match &instruction.psp_refund {
            Some(id) => Next::Ask(read(one(id))),
            None => list(instruction, None),
        },
        (CallKind::Cancel, _) => cancel(instruction, heard),
        (CallKind::LookUp, Some(Heard::Answer(answer))) => found(instruction, answer),
        (CallKind::LookUp, Some(Heard::NotSent(fault))) => Next::Done(unreached(fault)),
        (CallKind::LookUp, Some(Heard::Lost(fault))) => {
            Next::Done(Outcome::Unknown { fault: fault.clone() })
        }
    }
}

fn send(instruction: &Instruction, sends_reason: bool) -> Next {
    let asked = amount(instruction.currency, instruction.amount);
    let (charge, units) = match (charge(instruction), asked) {
        (Ok(charge), Ok(units)) => (charge, units),
        (Err(fault), _) | (_, Err(fault)) => return Next::Done(Outcome::Failed { fault }),
    };
    let id = uuid_text(instruction.refund.refund.bits());
    let mut body = format!("{}={}&amount={units}&metadata%5B{MARK}%5D={id}", charge.0, charge.1);
    if let Some(reason) = &instruction.reason {
        let text: String = reason.chars().take(METADATA_CHARS_MAX).collect();
        body.push_str(&format!("&metadata%5Breason%5D={}", form_value(&text)));
        if sends_reason && CAPABILITIES.reasons.contains(&reason.as_str()) {
            body.push_str(&format!("&reason={reason}"));
        }
    }
    let headers = vec![
        ("content-type", "application/x-www-form-urlencoded".to_owned()),
        ("idempotency-key", instruction.psp_key()),
        ("stripe-version", VERSION.to_owned()),
    ];
    let path = "/v1/refunds".to_owned();
    Next::Ask(Ask { method: "POST", path, headers, body: Some(body) })
}

/// A cancellation, and where it is refused a look-up.
fn cancel(instruction: &Instruction, heard: &[Heard]) -> Next {
    let Some(id) = &instruction.psp_refund else {
        return Next::Done(unknown(
            "psp_refund_missing",
            "Stripe has not said its id of the refund",
        ));
    };
    match heard {
        [] => {
            let headers = vec![("stripe-version", VERSION.to_owned())];
            Next::Ask(Ask {
                method: "POST",
                path: format!("{}/cancel", one(id)),
                headers,
                body: None,
            })
        }
        [Heard::Answer(answer)] => match answer.status {
            200 if !names(answer, id) => Next::Done(unreadable(answer)),
            // Refused: how it stands then is looked up.
            400 | 402 | 404 if is_json(answer) => Next::Ask(read(one(id))),
            _ => Next::Done(sent(instruction, answer)),
        },
        [Heard::Answer(refused), Heard::Answer(answer)] => match found(instruction, answer) {
            // It waits as before, and what was refused says why.
            Next::Done(Outcome::RequiresAction { .. }) => {
                Next::Done(Outcome::Unknown { fault: complaint_of(refused) })
            }
            next => next,
        },
        [.., Heard::NotSent(fault)] => Next::Done(unreached(fault)),
        [.., Heard::Lost(fault)] => Next::Done(Outcome::Unknown { fault: fault.clone() }),
        [.., Heard::Answer(answer)] => Next::Done(unreadable(answer)),
    }
}

/// It is about this refund.
fn names(answer: &Answer, id: &str) -> bool {
    serde_json::from_slice::<Refund>(&answer.body).is_ok_and(|refund| refund.id == id)
}

/// The path of a refund that Stripe named.
fn one(id: &str) -> String {
    format!("/v1/refunds/{}", form_value(id))
}

fn read(path: String) -> Ask {
    let headers = vec![("stripe-version", VERSION.to_owned())];
    Ask { method: "GET", path, headers, body: None }
}

fn list(instruction: &Instruction, after: Option<&str>) -> Next {
    match charge(instruction) {
        Ok((name, id)) => {
            let after = after.map(|id| format!("&starting_after={}", form_value(id)));
            let path = format!("/v1/refunds?{name}={id}&limit={PAGE}{}", after.unwrap_or_default());
            Next::Ask(read(path))
        }
        Err(fault) => Next::Done(Outcome::Unknown { fault }),
    }
}

/// The parameter that names what is given back, and its value.
fn charge(instruction: &Instruction) -> Result<(&'static str, String), Fault> {
    let Some(id) = &instruction.connector_payment else {
        let text = "the payment was registered without connector_payment, the PSP's id of it";
        return Err(fault("connector_payment_missing", text));
    };
    let name = if id.starts_with("pi_") { "payment_intent" } else { "charge" };
    Ok((name, form_value(id)))
}

/// The other way: an amount as Stripe says it. `None`: no amount above zero, or no currency.
fn minor(currency: &str, units: i64) -> Option<(Minor, Currency)> {
    CAPABILITIES.units.ours(currency, units)
}

/// An amount in Stripe's unit of a currency: not always the unit of ISO 4217.
fn amount(currency: Currency, amount: Minor) -> Result<i64, Fault> {
    CAPABILITIES.units.of(currency, amount)
}

/// A refund as Stripe shows it. Members and values it may add one day are no error.
#[derive(Debug, Deserialize)]
struct Refund {
    id: String,
    amount: i64,
    currency: String,
    status: Option<String>,
    charge: Option<String>,
    payment_intent: Option<String>,
    failure_reason: Option<String>,
    #[serde(default)]
    metadata: std::collections::BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
struct List {
    data: Vec<Refund>,
    has_more: bool,
}

#[derive(Debug, Deserialize)]
struct Complaint {
    error: Told,
}

#[derive(Debug, Default, Deserialize)]
struct Told {
    #[serde(default)]
    r#type: String,
    code: Option<String>,
    #[serde(default)]
    message: String,
    param: Option<String>,
}

/// The answer to a call for a refund.
fn sent(instruction: &Instruction, answer: &Answer) -> Outcome {
    if answer.status == 200 {
        return match serde_json::from_slice::<Refund>(&answer.body) {
            Ok(refund) => outcome(instruction, &refund),
            Err(_) => unreadable(answer),
        };
    }
    let Ok(Complaint { error }) = serde_json::from_slice::<Complaint>(&answer.body) else {
        return unreadable(answer);
    };
    let fault = complaint(&error);
    match answer.status {
        // A limit of theirs or a lock: nothing was done.
        429 => Outcome::NotSent { fault, retry_after_ms: answer.retry_after_ms },
        // The credential, not the refund: another one may do.
        401 | 403 => Outcome::NotSent { fault, retry_after_ms: answer.retry_after_ms },
        // The key was used for something else: whatever that was, it is looked up.
        _ if error.r#type == "idempotency_error" => Outcome::Unknown { fault },
        400 | 402 | 404 => Outcome::Declined { psp_refund: None, fault },
        // 409: the same key is running right now. 5xx: anything may have happened.
        _ => Outcome::Unknown { fault },
    }
}

/// What Stripe complains of under its own code. Too much has none: it is told by its parameter, never by
/// its text.
fn complaint(error: &Told) -> Fault {
    let code = match (&error.code, error.param.as_deref()) {
        (Some(code), _) => code.as_str(),
        (None, Some("amount")) => "amount_too_large",
        (None, _) if error.r#type.is_empty() => "stripe_error",
        (None, _) => error.r#type.as_str(),
    };
    fault(code, error.message.clone())
}

/// What an answer complains of, where it is no 200.
fn complaint_of(answer: &Answer) -> Fault {
    match serde_json::from_slice::<Complaint>(&answer.body) {
        Ok(Complaint { error }) => complaint(&error),
        Err(_) => fault("answer_unreadable", format!("status {}", answer.status)),
    }
}

fn unreadable(answer: &Answer) -> Outcome {
    let bytes = answer.body.len();
    let status = answer.status;
    unknown("answer_unreadable", format!("status {status} with {bytes} bytes that are no refund"))
}

/// What a refund at Stripe says of ours: first of all whether it is ours.
fn outcome(instruction: &Instruction, refund: &Refund) -> Outcome {
    if let Some(difference) = difference(instruction, refund) {
        tracing::error!(
            refund = %uuid_text(instruction.refund.refund.bits()),
            psp_refund = %refund.id,
            %difference,
            "the PSP answers with another refund than was asked for"
        );
        return unknown("answer_differs", difference);
    }
    state(refund)
}

/// Where a refund at Stripe stands.
fn state(refund: &Refund) -> Outcome {
    let psp_refund = Some(refund.id.clone());
    let failed = |word: &str| {
        let code = refund.failure_reason.as_deref().unwrap_or(word);
        fault(code, format!("Stripe: the refund is {word}"))
    };
    match refund.status.as_deref() {
        Some("succeeded") => Outcome::Succeeded { psp_refund },
        Some("requires_action") => Outcome::RequiresAction { psp_refund },
        Some(word @ "failed") => Outcome::Declined { psp_refund, fault: failed(word) },
        Some(word @ "canceled") => Outcome::Voided { psp_refund, fault: failed(word) },
        // A status that is not known yet says that Stripe has it, and no more.
        Some(_) | None => Outcome::Pending { psp_refund },
    }
}

fn difference(instruction: &Instruction, refund: &Refund) -> Option<String> {
    let currency = instruction.currency.code();
    let asked = amount(instruction.currency, instruction.amount).ok();
    if asked != Some(refund.amount) || !refund.currency.eq_ignore_ascii_case(currency) {
        let units = instruction.amount.units();
        return Some(format!(
            "asked for {units} minor units of {currency}, answered with {} of {}",
            refund.amount, refund.currency
        ));
    }
    let ours = instruction.connector_payment.as_deref()?;
    let theirs = match charge(instruction) {
        Ok(("payment_intent", _)) => refund.payment_intent.as_deref(),
        _ => refund.charge.as_deref(),
    };
    if theirs != Some(ours) {
        return Some(format!("asked for {ours}, answered with a refund of {theirs:?}"));
    }
    // Whoever edits metadata at Stripe may take our mark away, but nobody has a reason to change it.
    let mark = refund.metadata.get(MARK)?;
    let is_other = *mark != uuid_text(instruction.refund.refund.bits());
    is_other.then(|| format!("answered with the refund that is marked as {mark:?}"))
}

/// The answer to a look-up.
fn found(instruction: &Instruction, answer: &Answer) -> Next {
    if let Some(id) = &instruction.psp_refund {
        return Next::Done(match answer.status {
            200 => match serde_json::from_slice::<Refund>(&answer.body) {
                Ok(refund) if refund.id == *id => outcome(instruction, &refund),
                _ => unreadable(answer),
            },
            404 if is_json(answer) => Outcome::Absent,
            _ => not_looked_up(answer),
        });
    }
    let listed = match serde_json::from_slice::<List>(&answer.body) {
        Ok(list) if answer.status == 200 => list,
        _ => return Next::Done(not_looked_up(answer)),
    };
    let mark = uuid_text(instruction.refund.refund.bits());
    let ours = listed.data.iter().find(|refund| refund.metadata.get(MARK) == Some(&mark));
    match (ours, listed.data.last()) {
        (Some(refund), _) => Next::Done(outcome(instruction, refund)),
        (None, Some(last)) if listed.has_more => list(instruction, Some(&last.id)),
        (None, None) if listed.has_more => Next::Done(unreadable(answer)),
        (None, _) => Next::Done(Outcome::Absent),
    }
}

fn is_json(answer: &Answer) -> bool {
    serde_json::from_slice::<Complaint>(&answer.body).is_ok()
}

/// A look-up that was refused proves nothing about the refund.
fn not_looked_up(answer: &Answer) -> Outcome {
    let Ok(Complaint { error }) = serde_json::from_slice::<Complaint>(&answer.body) else {
        return unreadable(answer);
    };
    let fault = complaint(&error);
    match answer.status {
        429 => Outcome::NotSent { fault, retry_after_ms: answer.retry_after_ms },
        _ => Outcome::Unknown { fault },
    }
}

#[cfg(test)]
mod tests;
