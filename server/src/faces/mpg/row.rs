//! The rows of an order's `transactions`: captures, voids and refunds in the order of their times.

use requite_core::id::uuid_text;
use requite_core::refund::{Fault, Status};
use requite_engine::read::{CaptureView, PaymentView, RefundView, ReleaseView};
use serde::Serialize;

use super::order::Profile;
use crate::json::{Json, Value};
use crate::time::{seconds_text, year_and_day};

/// The largest system trace audit number; the next one is 1 again.
const STAN_MAX: u32 = 999_999;

/// In the order in which the dialect writes them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Row {
    id: String,
    status: &'static str,
    r#type: &'static str,
    source_type: &'static str,
    reverse_reason: Option<&'static str>,
    justification: Option<&'static str>,
    reversed_transaction_id: Option<String>,
    message: String,
    response_code: Option<String>,
    retrieval_reference: Option<String>,
    stan: Option<String>,
    auth_code: Option<String>,
    amount: i64,
    refunded_amount: i64,
    created_at: String,
}

/// A row's outcome: status, message and response code.
struct Outcome {
    status: &'static str,
    message: String,
    code: Option<String>,
}

/// Rows of the payment method, oldest first.
pub(super) fn rows(
    payment: &PaymentView,
    profile: &Profile<'_>,
    shows_allocation: bool,
) -> Vec<Row> {
    let leg = payment.primary();
    let registered = match profile.member("captures").map(Json::value) {
        Some(Value::Array(captures)) => captures,
        _ => Vec::new(),
    };
    let captures = leg.captures.iter().enumerate().map(|(place, capture)| {
        let known = Profile::of(registered.get(place).copied());
        (capture.at_ms, of_capture(capture, &known, shows_allocation))
    });
    let releases = leg.releases.iter().map(|void| (void.at_ms, of_void(void)));
    let refunds = payment.refunds.iter().filter(|refund| refund.leg == leg.id);
    let refunds = refunds.flat_map(|refund| {
        let asked = (refund.asked_at_ms, of_refund(refund));
        std::iter::once(asked).chain(of_reversal(refund))
    });
    let mut rows: Vec<(i64, Row)> = captures.chain(releases).chain(refunds).collect();
    // Stable: of the same millisecond, what was taken comes before what was given back.
    rows.sort_by_key(|(at_ms, _)| *at_ms);
    rows.into_iter().map(|(_, row)| row).collect()
}

fn of_capture(capture: &CaptureView, known: &Profile<'_>, shows_allocation: bool) -> Row {
    let refunded = if shows_allocation { capture.refunded.units() } else { 0 };
    Row {
        retrieval_reference: known.text("retrieval_reference"),
        stan: known.text("stan"),
        auth_code: known.text("auth_code"),
        refunded_amount: refunded,
        ..approved("capture", capture.id.bits(), capture.amount.units(), capture.at_ms)
    }
}

fn of_void(void: &ReleaseView) -> Row {
    approved("void", void.id, void.amount.units(), void.at_ms)
}

fn of_refund(refund: &RefundView) -> Row {
    let Outcome { status, message, code } = outcome(refund);
    let id = refund.given_id.unwrap_or(refund.id.bits());
    Row {
        status,
        message,
        response_code: code,
        retrieval_reference: refund
            .reference
            .map(|(day, counter)| retrieval_reference(day, counter)),
        stan: refund.reference.map(|(_, counter)| stan(counter)),
        ..approved("refund", id, refund.amount.units(), refund.asked_at_ms)
    }
}

/// A refund that was shown as `timeout` stays one; once it is proven undone, a reversal says so
/// (decision M6).
fn of_reversal(refund: &RefundView) -> Option<(i64, Row)> {
    let at_ms = refund.settled_at_ms.filter(|_| is_proven_undone(refund))?;
    let reversed = refund.given_id.unwrap_or(refund.id.bits());
    // Nothing else has this id: it is the refund's own, which is shown for no other row, turned.
    let id = refund.id.bits() ^ 1;
    let row = Row {
        reverse_reason: Some("gateway_timeout"),
        reversed_transaction_id: Some(uuid_text(reversed)),
        ..approved("reversal", id, refund.amount.units(), at_ms)
    };
    Some((at_ms, row))
}

fn is_proven_undone(refund: &RefundView) -> bool {
    let is_undone = matches!(refund.status, Status::Declined | Status::Failed | Status::Voided);
    is_undone && refund.unknown_at_ms.is_some()
}

fn approved(kind: &'static str, id: u128, amount: i64, at_ms: i64) -> Row {
    Row {
        id: uuid_text(id),
        status: "approved",
        r#type: kind,
        source_type: "merchant",
        reverse_reason: None,
        justification: None,
        reversed_transaction_id: None,
        message: "APPROVED".to_owned(),
        response_code: Some("00".to_owned()),
        retrieval_reference: None,
        stan: None,
        auth_code: None,
        amount,
        refunded_amount: 0,
        created_at: seconds_text(at_ms),
    }
}

/// Year, day of the year, and the day's counter in seven digits (decision M8).
fn retrieval_reference(day: i64, counter: u32) -> String {
    let (year, day) = year_and_day(day);
    let counter = counter.checked_rem(10_000_000).unwrap_or_default();
    format!("{year:02}{day:03}{counter:07}")
}

fn stan(counter: u32) -> String {
    let turned = counter.saturating_sub(1).checked_rem(STAN_MAX);
    format!("{:06}", turned.unwrap_or_default().saturating_add(1))
}

fn outcome(refund: &RefundView) -> Outcome {
    let plain = |status, message: &str| Outcome { status, message: message.to_owned(), code: None };
    if is_proven_undone(refund) {
        return plain("timeout", "TIMEOUT");
    }
    match refund.status {
        Status::Requested
        | Status::AwaitingApproval
        | Status::Held
        | Status::Ready
        | Status::Dispatched
        | Status::Pending
        | Status::RequiresAction => plain("initiated", "INITIATED"),
        Status::Unknown => plain("timeout", "TIMEOUT"),
        Status::Succeeded => {
            Outcome { code: Some("00".to_owned()), ..plain("approved", "APPROVED") }
        }
        Status::Declined | Status::Reversed => declined(refund.fault.as_ref()),
        // Once the PSP has named the refund, it was sent: what failed then failed there.
        Status::Failed if refund.psp_refund.is_some() => declined(refund.fault.as_ref()),
        Status::Failed => plain("system_error", "SYSTEM ERROR"),
        Status::Voided => plain("system_error", "VOIDED"),
    }
}

fn declined(fault: Option<&Fault>) -> Outcome {
    let sent = fault.map_or("", |fault| fault.code.as_str());
    let code = response_code(sent);
    let meaning = MEANINGS.iter().find(|(listed, _)| *listed == code);
    let text = fault.map_or("", |fault| fault.text.trim());
    let message = match meaning {
        Some((_, meaning)) => (*meaning).to_owned(),
        None if text.is_empty() => "DECLINED".to_owned(),
        None => text.to_owned(),
    };
    Outcome { status: "failed", message, code: Some(code.to_owned()) }
}

/// A PSP's complaint as the response code of a card message: its own where it is one.
fn response_code(code: &str) -> &str {
    if code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_digit()) {
        return code;
    }
    match code {
        "charge_already_refunded" | "amount_too_large" | "amount_too_small" => "13",
        "resource_missing" => "25",
        "expired_card" => "54",
        "insufficient_funds" | "balance_insufficient" => "51",
        "lost_card" => "41",
        "stolen_card" => "43",
        "invalid_account" | "account_closed" | "lost_or_stolen_card" => "14",
        "charge_disputed" | "fraudulent" => "59",
        "issuer_not_available" => "91",
        "processing_error" | "api_error" => "96",
        _ => "05",
    }
}

/// Response codes of ISO 8583 with the message a row shows.
const MEANINGS: [(&str, &str); 42] = [
    ("01", "REFER TO ISSUER"),
    ("02", "REFER TO ISSUER"),
    ("03", "INVALID MERCHANT"),
    ("04", "PICK UP CARD"),
    ("05", "DO NOT HONOUR"),
    ("06", "ERROR"),
    ("07", "PICK UP CARD"),
    ("09", "IN PROGRESS"),
    ("12", "INVALID TRANSACTION"),
    ("13", "INVALID AMOUNT"),
    ("14", "INVALID CARD NUMBER"),
    ("15", "NO SUCH ISSUER"),
    ("19", "RE-ENTER TRANSACTION"),
    ("21", "NO ACTION TAKEN"),
    ("25", "RECORD NOT FOUND"),
    ("30", "FORMAT ERROR"),
    ("34", "SUSPECTED FRAUD"),
    ("41", "LOST CARD"),
    ("43", "STOLEN CARD"),
    ("51", "INSUFFICIENT FUNDS"),
    ("54", "EXPIRED CARD"),
    ("55", "WRONG PIN"),
    ("57", "NOT PERMITTED TO CARDHOLDER"),
    ("58", "NOT PERMITTED TO TERMINAL"),
    ("59", "SUSPECTED FRAUD"),
    ("61", "EXCEEDS AMOUNT LIMIT"),
    ("62", "RESTRICTED CARD"),
    ("63", "SECURITY VIOLATION"),
    ("65", "EXCEEDS FREQUENCY LIMIT"),
    ("68", "RESPONSE RECEIVED TOO LATE"),
    ("75", "PIN TRIES EXCEEDED"),
    ("76", "ACCOUNT NOT FOUND"),
    ("77", "ACCOUNT NOT FOUND"),
    ("78", "ACCOUNT NOT FOUND"),
    ("85", "NO REASON TO DECLINE"),
    ("91", "ISSUER INOPERATIVE"),
    ("92", "NO ROUTE"),
    ("93", "VIOLATION OF LAW"),
    ("94", "DUPLICATE TRANSMISSION"),
    ("95", "RECONCILE ERROR"),
    ("96", "SYSTEM MALFUNCTION"),
    ("00", "DECLINED"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_count_through_the_day() {
        // 15 September 2024 is day 259 of its year and day 19,981 since 1970.
        for (day, counter, reference, stan_text) in [
            (19_981, 1, "242590000001", "000001"),
            (19_981, 999_999, "242590999999", "999999"),
            (19_981, 1_000_000, "242591000000", "000001"),
            (19_723, 12, "240010000012", "000012"),
            (20_088, 7, "243660000007", "000007"),
        ] {
            assert_eq!(retrieval_reference(day, counter), reference);
            assert_eq!(stan(counter), stan_text);
        }
    }

    #[test]
    fn a_decline_has_a_response_code_and_a_message() {
        for (code, text, response, message) in [
            ("51", "Insufficient funds", "51", "INSUFFICIENT FUNDS"),
            ("05", "", "05", "DO NOT HONOUR"),
            ("charge_already_refunded", "x", "13", "INVALID AMOUNT"),
            ("resource_missing", "x", "25", "RECORD NOT FOUND"),
            ("something_else", "x", "05", "DO NOT HONOUR"),
            ("", "", "05", "DO NOT HONOUR"),
            ("88", "Closed for the day", "88", "Closed for the day"),
            ("88", " ", "88", "DECLINED"),
            ("7", "", "05", "DO NOT HONOUR"),
        ] {
            let fault = Fault { code: code.to_owned(), text: text.to_owned() };
            let shown = declined(Some(&fault));
            assert_eq!(shown.status, "failed", "{code}");
            assert_eq!(shown.code.as_deref(), Some(response), "{code}");
            assert_eq!(shown.message, message, "{code}");
        }
        assert_eq!(declined(None).code.as_deref(), Some("05"));
    }
}
