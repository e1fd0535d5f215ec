//! A PSP that exists only on paper, for trying things out: what it answers to a payment's refund
//! calls is scripted when the payment is registered.
//!
//! It has no memory. What it answers is a function of the instruction alone: the script entry at
//! the call's number, then `approve` for ever. So a look-up, also one after a restart, always finds
//! what the call before it did.
//!
//! Approved amounts that Gr4vy's own simulator documents as failing fail here in the same way
//! ([`SIMULATED`]).

use std::time::Duration;

use requite_core::id::PaymentId;
use requite_core::money::Minor;
use requite_core::refund::Fault;
use requite_core::settle::Outcome;
use requite_engine::command::Booking;
use requite_engine::psp::{CallKind, Instruction};

use super::Call;
use super::exchange::{fault, unknown};

/// What payments are registered with to have their refunds paid by this connector.
pub(crate) const NAME: &str = "sandbox";

/// Most entries of one payment's script.
pub(crate) const ENTRIES_MAX: usize = 256;
/// Longest entry, in bytes.
pub(crate) const ENTRY_BYTES_MAX: usize = 256;

/// Longest delay of an answer.
const HANG_MS_MAX: u64 = 600_000;

/// One scripted answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// `approve`
    Approve,
    /// `decline:<code>[:<text>]`
    Decline(Fault),
    /// `cancel`: cancelled there before it moved money.
    Cancel,
    /// `fail[:<text>]`: proven not done.
    Fail(Fault),
    /// `unsent`: the call does not get through, which is proven; the next one takes the next entry.
    Unsent,
    /// `pending`: has it, and never says more.
    Pending,
    /// `action`: waits for the customer, and never says more unless it is cancelled.
    Action,
    /// `pending:approve`: has it; a look-up finds it done.
    PendingApprove,
    /// `pending:decline:<code>[:<text>]`
    PendingDecline(Fault),
    /// `lost`: acts; the answer never comes.
    Lost,
    /// `lost:never`: acts not; the answer never comes.
    LostNever,
    /// `lost:decline:<code>[:<text>]`: acts not; the answer never comes, and a look-up is told why.
    LostDecline(Fault),
    /// `hang`: acts; answers only after the deadline.
    Hang,
    /// `hang:<ms>`: acts; answers after so many milliseconds, if the deadline is later.
    HangFor(u64),
    /// `http:<status>`: acts not. A 4xx is a decline; any other status proves nothing by itself.
    Http(u16),
    /// `capture:decline:<code>[:<text>]`, and the same for `void` and `extend`: every such booking of
    /// the payment is declined. Does not count among the answers to refund calls.
    Booking(&'static str, Fault),
}

/// Amounts in minor units that Gr4vy's simulator refuses, each with its code; `true` is declined,
/// `false` is failed.
const SIMULATED: [(i64, &str, bool); 5] = [
    (300_012, "refund_period_expired", true),
    (520_001, "disputed_transaction", true),
    (520_002, "issuer_decline", true),
    (520_003, "service_error", false),
    (520_004, "refund_already_satisfied", true),
];

/// Amounts in minor units at which that simulator declines captures and voids.
const SIMULATED_BOOKINGS: [(&str, i64, &str); 4] = [
    ("capture", 500_001, "issuer_decline"),
    ("capture", 500_002, "service_error"),
    ("void", 510_001, "issuer_decline"),
    ("void", 510_002, "service_error"),
];

/// Amounts in minor units at which that simulator takes no payment: the first of each row, and then
/// one more for each code.
const SIMULATED_PAYMENTS: [(i64, &[&str]); 2] = [
    (
        200_001,
        &[
            "canceled_payment_method",
            "disputed_transaction",
            "duplicate_transaction",
            "expired_authorization",
            "expired_payment_method",
            "incorrect_billing_address",
            "incorrect_country",
            "incorrect_currency",
            "incorrect_cvv",
            "incorrect_expiry_date",
            "insufficient_funds",
            "issuer_decline",
            "other_decline",
            "requires_buyer_authentication",
            "refused_transaction",
            "service_decline",
            "suspected_fraud",
            "unavailable_payment_method",
            "unknown_payment_method",
            "unsupported_transaction",
            "unsupported_payment_method",
            "cancelled_buyer_approval",
        ],
    ),
    (
        300_001,
        &[
            "insufficient_service_permissions",
            "invalid_amount",
            "invalid_payment_method",
            "invalid_service_configuration",
            "invalid_service_credentials",
            "invalid_service_response",
            "invalid_tax_identifier",
            "missing_billing_address",
            "missing_cvv",
            "missing_shipping_address",
            "missing_tax_identifier",
        ],
    ),
];

const TEST_AMOUNT: &str = "a documented test amount";

/// Why an entry is no entry: what may stand there.
pub(crate) const GRAMMAR: &str = "approve, decline:<code>[:<text>], cancel, fail[:<text>], unsent, \
     action, pending, pending:approve, pending:decline:<code>[:<text>], lost, lost:never, \
     lost:decline:<code>[:<text>], hang, hang:<ms>, http:<status>, or \
     capture:decline:<code>[:<text>] and the same for void and extend";

impl Entry {
    /// `None` for anything but [`GRAMMAR`].
    pub(crate) fn parse(text: &str) -> Option<Entry> {
        if text.len() > ENTRY_BYTES_MAX {
            return None;
        }
        let (word, rest) = match text.split_once(':') {
            Some((word, rest)) => (word, Some(rest)),
            None => (text, None),
        };
        Some(match (word, rest) {
            ("approve", None) => Entry::Approve,
            ("decline", Some(rest)) => Entry::Decline(declined(rest)?),
            ("cancel", None) => Entry::Cancel,
            ("fail", rest) => Entry::Fail(fault("failed", rest.unwrap_or(FAIL_TEXT))),
            ("unsent", None) => Entry::Unsent,
            ("pending", None) => Entry::Pending,
            ("action", None) => Entry::Action,
            ("pending", Some("approve")) => Entry::PendingApprove,
            ("pending", Some(rest)) => {
                Entry::PendingDecline(declined(rest.strip_prefix("decline:")?)?)
            }
            ("lost", None) => Entry::Lost,
            ("lost", Some("never")) => Entry::LostNever,
            ("lost", Some(rest)) => Entry::LostDecline(declined(rest.strip_prefix("decline:")?)?),
            ("hang", None) => Entry::Hang,
            ("hang", Some(ms)) => Entry::HangFor(hang_ms(ms)?),
            ("http", Some(status)) => Entry::Http(http_status(status)?),
            (word, Some(rest)) => {
                let word = BOOKINGS.into_iter().find(|booking| *booking == word)?;
                Entry::Booking(word, declined(rest.strip_prefix("decline:")?)?)
            }
            _ => return None,
        })
    }
}

const BOOKINGS: [&str; 3] = ["capture", "void", "extend"];

const FAIL_TEXT: &str = "the sandbox did not carry out the refund";

fn declined(rest: &str) -> Option<Fault> {
    let (code, text) = rest.split_once(':').unwrap_or((rest, "the sandbox declined the refund"));
    let is_code = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    (!code.is_empty() && code.bytes().all(is_code)).then(|| fault(code, text))
}

fn hang_ms(text: &str) -> Option<u64> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let ms = is_number.then(|| text.parse().ok()).flatten()?;
    (ms <= HANG_MS_MAX).then_some(ms)
}

fn http_status(text: &str) -> Option<u16> {
    let is_number = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
    let status = is_number.then(|| text.parse().ok()).flatten()?;
    (100..=599).contains(&status).then_some(status)
}

/// The form in which a script is kept with its payment.
pub(crate) fn script_text(entries: &[String]) -> Option<String> {
    let text = serde_json::to_string(entries).expect("a list of strings has a JSON form");
    (!entries.is_empty()).then_some(text)
}

/// What the sandbox does for an instruction.
pub(crate) fn call(instruction: &Instruction) -> Call {
    let Some(entry) = entry(instruction) else {
        return Call::Known(unknown(
            "script_unreadable",
            "the payment's sandbox script cannot be read",
        ));
    };
    match instruction.kind {
        CallKind::Send => sent(&entry, instruction),
        CallKind::LookUp => Call::Known(found(&entry, instruction)),
        CallKind::Cancel if entry == Entry::Action => Call::Known(cancelled(instruction)),
        CallKind::Cancel => Call::Known(found(&entry, instruction)),
    }
}

/// `None` when the script is not one that [`script_text`] wrote.
fn entry(instruction: &Instruction) -> Option<Entry> {
    let Some(script) = &instruction.connector_settings else {
        return Some(Entry::Approve);
    };
    let entries = entries(script)?;
    let at = usize::try_from(instruction.call_no).ok()?;
    let mut answers = entries.into_iter().filter(|entry| !matches!(entry, Entry::Booking(..)));
    Some(answers.nth(at).unwrap_or(Entry::Approve))
}

/// `None` when the script is not one that [`script_text`] wrote.
fn entries(script: &str) -> Option<Vec<Entry>> {
    let entries: Vec<String> = serde_json::from_str(script).ok()?;
    entries.iter().map(|text| Entry::parse(text)).collect()
}

/// Does the sandbox turn down a capture, void or extension?
pub(crate) fn decline(script: Option<&str>, booking: Booking, amount: Minor) -> Option<Fault> {
    let word = match booking {
        Booking::Capture { .. } => "capture",
        Booking::Void => "void",
        Booking::Extension => "extend",
    };
    let entries = script.and_then(entries).unwrap_or_default();
    let scripted = entries.into_iter().find_map(|entry| match entry {
        Entry::Booking(booking, fault) if booking == word => Some(fault),
        _ => None,
    });
    let units = amount.units();
    let listed = SIMULATED_BOOKINGS.iter().find(|(of, at, _)| *of == word && *at == units);
    scripted.or_else(|| listed.map(|(_, _, code)| fault(code, TEST_AMOUNT)))
}

/// Card numbers that the sandbox declines, with the ISO 8583 response code: the numbers that Stripe
/// documents for its own tests. It approves every other card.
const DECLINED_CARDS: [(&str, &str, &str); 7] = [
    ("4000000000000002", "05", "do not honour"),
    ("4000000000009995", "51", "insufficient funds"),
    ("4000000000009987", "41", "lost card"),
    ("4000000000009979", "43", "stolen card"),
    ("4000000000000069", "54", "expired card"),
    ("4000000000000119", "96", "system malfunction"),
    ("4000000000006975", "65", "exceeds frequency limit"),
];

/// Whether the sandbox declines a card. The number is looked at and not kept.
pub(crate) fn decline_card(number: &str) -> Option<Fault> {
    let card = DECLINED_CARDS.iter().find(|(listed, _, _)| *listed == number);
    card.map(|(_, code, text)| fault(code, *text))
}

/// Whether the sandbox takes no payment of this amount, and why.
pub(crate) fn decline_amount(amount: Minor) -> Option<Fault> {
    SIMULATED_PAYMENTS.iter().find_map(|(first, codes)| {
        let place = usize::try_from(amount.units().checked_sub(*first)?).ok()?;
        codes.get(place).map(|code| fault(code, TEST_AMOUNT))
    })
}

/// The sandbox's own id of a payment that it took.
pub(crate) fn payment_id(payment: PaymentId) -> String {
    requite_core::id::prefixed_text("sbx_", payment.bits())
}

/// What the sandbox says to a card after its last month.
pub(crate) fn decline_expired() -> Fault {
    fault("54", "expired card")
}

/// An issuer's approval code: six digits, a function of the payment's id.
pub(crate) fn approval_code(payment: u128) -> String {
    format!("{:06}", payment % 1_000_000)
}

fn sent(entry: &Entry, instruction: &Instruction) -> Call {
    let psp_refund = Some(refund_id(instruction));
    Call::Known(match entry {
        Entry::Approve | Entry::Booking(..) => approved(instruction),
        Entry::Decline(fault) => declining(fault),
        Entry::Cancel => cancelled(instruction),
        Entry::Fail(fault) => Outcome::Failed { fault: fault.clone() },
        Entry::Unsent => Outcome::Unreached {
            fault: fault("not_sent", "the sandbox could not be reached"),
            retry_after_ms: 0,
        },
        Entry::Pending | Entry::PendingApprove | Entry::PendingDecline(_) => {
            Outcome::Pending { psp_refund }
        }
        Entry::Action => Outcome::RequiresAction { psp_refund },
        Entry::Lost | Entry::LostNever | Entry::LostDecline(_) | Entry::Hang => {
            return Call::Silence;
        }
        Entry::HangFor(ms) => {
            return Call::Later(Duration::from_millis(*ms), approved(instruction));
        }
        Entry::Http(status @ 400..=499) => declining(&http_fault(*status)),
        Entry::Http(status) => Outcome::Unknown { fault: http_fault(*status) },
    })
}

fn found(entry: &Entry, instruction: &Instruction) -> Outcome {
    match entry {
        Entry::Approve | Entry::Booking(..) | Entry::HangFor(_) => approved(instruction),
        Entry::PendingApprove | Entry::Lost | Entry::Hang => succeeded(instruction),
        Entry::Decline(fault) | Entry::PendingDecline(fault) | Entry::LostDecline(fault) => {
            declining(fault)
        }
        Entry::Cancel => cancelled(instruction),
        Entry::Fail(fault) => Outcome::Failed { fault: fault.clone() },
        Entry::Pending => Outcome::Pending { psp_refund: Some(refund_id(instruction)) },
        Entry::Action => Outcome::RequiresAction { psp_refund: Some(refund_id(instruction)) },
        Entry::Http(status @ 400..=499) => declining(&http_fault(*status)),
        Entry::LostNever | Entry::Unsent | Entry::Http(_) => Outcome::Absent,
    }
}

fn approved(instruction: &Instruction) -> Outcome {
    let units = instruction.amount.units();
    match SIMULATED.iter().find(|(amount, _, _)| *amount == units) {
        Some((_, code, true)) => declining(&fault(code, TEST_AMOUNT)),
        Some((_, code, false)) => Outcome::Failed { fault: fault(code, TEST_AMOUNT) },
        None => succeeded(instruction),
    }
}

fn succeeded(instruction: &Instruction) -> Outcome {
    Outcome::Succeeded { psp_refund: Some(refund_id(instruction)) }
}

fn cancelled(instruction: &Instruction) -> Outcome {
    let fault = fault("canceled", "the sandbox cancelled the refund");
    Outcome::Voided { psp_refund: Some(refund_id(instruction)), fault }
}

fn declining(fault: &Fault) -> Outcome {
    Outcome::Declined { psp_refund: None, fault: fault.clone() }
}

fn http_fault(status: u16) -> Fault {
    fault(&format!("http_{status}"), format!("the sandbox answered with HTTP status {status}"))
}

/// The refund's id at the sandbox: a function of the refund, so that a repeat is the same refund.
fn refund_id(instruction: &Instruction) -> String {
    requite_core::id::prefixed_text("sbx_", instruction.refund.refund.bits())
}

#[cfg(test)]
mod tests;
