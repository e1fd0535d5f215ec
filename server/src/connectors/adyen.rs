//! Adyen's refunds, as of version 71 of its Checkout API.
//!
//! - Adyen answers that it received a refund and says later, by a notice, what became of it. So a refund
//!   that it received is pending, and nothing but a notice or a person ends that.
//! - Adyen cannot be asked what it has. A request whose answer was lost is sent again under the same
//!   `Idempotency-Key`, which Adyen does at most once as long as it knows the key: at least seven days
//!   after the first use. We stop a day before ([`CAPABILITIES`]).
//! - A refusal of such a repeat says nothing of the call before it: unknown. Only the first call's own
//!   answer refuses a refund.
//! - Reversals and cancellations are not asked for. They have no amount: whether one gave back what was
//!   meant could not be checked, and a refund is only made of what was captured.
//!
//! Which answer means what stands in [`sent`]; what notices say is in [`hook`].

use requite_core::refund::Fault;
use requite_core::settle::Outcome;
use requite_engine::psp::{CallKind, Instruction};
use serde::{Deserialize, Serialize};

use super::capabilities::{Capabilities, Otherwise, Recourse, Units};
use super::exchange::{Answer, Ask, Heard, Next, fault, form_value, unknown, unreached};

pub(crate) mod hook;

/// Where Adyen's test platform is. The live one has an address for each company: [`live_url`].
pub(crate) const BASE_URL: &str = "https://checkout-test.adyen.com/v71";
/// Longest key that Adyen takes, in characters.
const KEY_CHARS_MAX: usize = 64;

/// What Adyen can do. Currencies that its table does not list are counted as ISO 4217 does.
pub(crate) const CAPABILITIES: Capabilities = Capabilities {
    partial: true,
    several_partials: true,
    needs_capture: false,
    is_asynchronous: true,
    recourse: Recourse::Repeat { hours: 144 },
    cancels: &[],
    window_days: None,
    key_hours: Some(168),
    units: Units(&[
        Otherwise { codes: "CVE IDR", decimals: 0, step: 1 },
        Otherwise { codes: "CLP ISK", decimals: 2, step: 1 },
    ]),
    reasons: &["FRAUD", "CUSTOMER REQUEST", "RETURN", "DUPLICATE", "OTHER"],
};

/// A merchant's account at Adyen.
#[derive(Clone, Debug)]
pub(crate) struct Shop {
    pub merchant_account: String,
    pub sends_reason: bool,
}

/// The address of a company's live platform, by the prefix that Adyen gave it.
pub(crate) fn live_url(prefix: &str) -> String {
    format!("https://{prefix}-checkout-live.adyenpayments.com/checkout/v71")
}

/// What to do next for an instruction.
pub(crate) fn next(instruction: &Instruction, heard: &[Heard], shop: &Shop) -> Next {
    match (instruction.kind, heard.last()) {
        (CallKind::Send, None) => send(instruction, shop).unwrap_or_else(|fault| {
            // Nothing was sent, and nothing was before: a lost call is only ever repeated.
            Next::Done(Outcome::Failed { fault })
        }),
        (CallKind::Send, Some(heard)) => Next::Done(match heard {
            Heard::Answer(answer) => sent(instruction, shop, answer),
            Heard::NotSent(fault) => unreached(fault),
            Heard::Lost(fault) => Outcome::Unknown { fault: fault.clone() },
        }),
        (CallKind::LookUp, None) => look_up(instruction, shop),
        // Nobody asks for it: see the capabilities.
        (CallKind::Cancel, _) => Next::Done(unknown("not_cancelable", "Adyen cancels no refund")),
        (CallKind::LookUp, Some(heard)) => Next::Done(repeated(match heard {
            Heard::Answer(answer) => sent(instruction, shop, answer),
            Heard::NotSent(fault) => unreached(fault),
            Heard::Lost(fault) => Outcome::Unknown { fault: fault.clone() },
        })),
    }
}

/// Nothing can be looked up. Of what Adyen received it will tell; what it may not have received is sent
/// again while that is safe.
fn look_up(instruction: &Instruction, shop: &Shop) -> Next {
    if instruction.psp_refund.is_some() {
        return Next::Done(Outcome::Pending { psp_refund: None });
    }
    if is_repeatable(instruction.age_ms) {
        return send(instruction, shop)
            .unwrap_or_else(|fault| Next::Done(Outcome::Unknown { fault }));
    }
    let text = "the answer was lost and Adyen may have forgotten the key: see in its Customer Area \
                whether the payment was refunded, and resolve the refund";
    Next::Done(unknown("key_expired", text))
}

/// Is the key surely known still? Not when the clock was set back: then nobody knows its age.
fn is_repeatable(age_ms: i64) -> bool {
    let Recourse::Repeat { hours } = CAPABILITIES.recourse else {
        return false;
    };
    (0..i64::from(hours).saturating_mul(3_600_000)).contains(&age_ms)
}

/// What the answer to a repeat proves: that Adyen has it, or nothing.
fn repeated(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Declined { fault: Fault { code, text }, .. } => {
            unknown("repeat_refused", format!("{code}: {text}"))
        }
        other => other,
    }
}

#[derive(Debug, Deserialize, PartialEq, Eq, Serialize)]
struct Amount {
    value: i64,
    currency: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Asked<'a> {
    merchant_account: &'a str,
    amount: Amount,
    reference: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    merchant_refund_reason: Option<&'static str>,
}

/// The same bytes for the same refund, however often.
fn send(instruction: &Instruction, shop: &Shop) -> Result<Next, Fault> {
    let payment = payment(instruction)?;
    let value = CAPABILITIES.units.of(instruction.currency, instruction.amount)?;
    let key = instruction.psp_key();
    assert!(key.len() <= KEY_CHARS_MAX, "our keys have 44 characters");
    let asked = Asked {
        merchant_account: &shop.merchant_account,
        amount: Amount { value, currency: instruction.currency.code().to_owned() },
        reference: key.clone(),
        merchant_refund_reason: reason(instruction).filter(|_| shop.sends_reason),
    };
    let body = serde_json::to_string(&asked).expect("a struct of texts and numbers is JSON");
    let headers = vec![("content-type", "application/json".to_owned()), ("idempotency-key", key)];
    let path = format!("/payments/{}/refunds", form_value(payment));
    Ok(Next::Ask(Ask { method: "POST", path, headers, body: Some(body) }))
}

fn payment(instruction: &Instruction) -> Result<&str, Fault> {
    instruction.connector_payment.as_deref().ok_or_else(|| {
        let text = "the payment was registered without connector_payment, the pspReference of it";
        fault("connector_payment_missing", text)
    })
}

/// One of Adyen's five words, in any letter case and with `_` for the space.
fn reason(instruction: &Instruction) -> Option<&'static str> {
    let said = instruction.reason.as_deref()?.replace('_', " ");
    CAPABILITIES.reasons.iter().find(|word| word.eq_ignore_ascii_case(&said)).copied()
}

/// A refund as Adyen received it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Received {
    merchant_account: String,
    amount: Amount,
    payment_psp_reference: String,
    psp_reference: String,
    reference: Option<String>,
    status: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Complaint {
    error_code: Option<String>,
    message: Option<String>,
    error_type: Option<String>,
}

/// The request with this key is being done, or was done, right now.
const IN_PROGRESS: &str = "704";

/// The answer to a call for a refund.
fn sent(instruction: &Instruction, shop: &Shop, answer: &Answer) -> Outcome {
    if answer.status == 201 || answer.status == 200 {
        return match serde_json::from_slice::<Received>(&answer.body) {
            Ok(received) => received_outcome(instruction, shop, received),
            Err(_) => unreadable(answer),
        };
    }
    let Ok(complaint) = serde_json::from_slice::<Complaint>(&answer.body) else {
        return unreadable(answer);
    };
    let (Some(code), Some(message)) = (complaint.error_code, complaint.message) else {
        return unreadable(answer);
    };
    let kind = complaint.error_type.unwrap_or_default();
    let fault = fault(&code, if kind.is_empty() { message } else { format!("{message} ({kind})") });
    match answer.status {
        _ if code == IN_PROGRESS => Outcome::Unknown { fault },
        // Adyen's own word for: this call had no effect.
        _ if answer.is_transient => {
            Outcome::NotSent { fault, retry_after_ms: answer.retry_after_ms }
        }
        // The account's credential, its rights, its address, its limits: not the refund.
        401 | 403 | 404 | 429 => Outcome::NotSent { fault, retry_after_ms: answer.retry_after_ms },
        400 | 422 => Outcome::Declined { psp_refund: None, fault },
        // 409: the same key is running. 5xx: anything may have happened.
        _ => Outcome::Unknown { fault },
    }
}

fn received_outcome(instruction: &Instruction, shop: &Shop, received: Received) -> Outcome {
    let value = CAPABILITIES.units.of(instruction.currency, instruction.amount).ok();
    let currency = instruction.currency.code();
    let key = instruction.psp_key();
    let is_ours = Some(received.amount.value) == value
        && received.amount.currency == currency
        && received.merchant_account == shop.merchant_account
        && Some(received.payment_psp_reference.as_str())
            == instruction.connector_payment.as_deref()
        && received.reference.is_none_or(|reference| reference == key);
    if !is_ours {
        tracing::error!(
            %key,
            psp_refund = %received.psp_reference,
            "the PSP answers with another refund than was asked for"
        );
        let text = format!(
            "asked for {value:?} of {currency}, answered with {} of {} of payment {}",
            received.amount.value, received.amount.currency, received.payment_psp_reference
        );
        return unknown("answer_differs", text);
    }
    // `received` is the only status of this version. Another one says that Adyen has it, and no more.
    if received.status != "received" {
        tracing::warn!(%key, status = %received.status, "a status that is not known yet");
    }
    Outcome::Pending { psp_refund: Some(received.psp_reference) }
}

fn unreadable(answer: &Answer) -> Outcome {
    let (status, bytes) = (answer.status, answer.body.len());
    unknown(
        "answer_unreadable",
        format!("status {status} with {bytes} bytes that are no answer of Adyen's"),
    )
}

#[cfg(test)]
mod tests;
