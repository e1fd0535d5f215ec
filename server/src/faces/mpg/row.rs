//! The rows of an order's `transactions`: what was done and what was declined, in the order in which it
//! came on the books. An order that was registered, and not made through this face, begins with its
//! captures.

use requite_core::id::uuid_text;
use requite_core::money::Minor;
use requite_core::refund::{Fault, Status};
use requite_engine::read::{OperationKind, OperationView, PaymentView, RefundView};
use serde::Serialize;

use super::order::{Profile, made_here};
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

/// With what an order begins.
pub(super) const KINDS: [&str; 3] = ["authorize", "purchase", "verify"];
/// Who starts an order.
pub(super) const TRANSACTION_TYPES: [&str; 3] = ["internet", "merchant", "moto"];
/// Why an order is authorised once more.
pub(super) const JUSTIFICATIONS: [&str; 4] =
    ["reauthorization", "delayed_charges", "resubmission", "no_show"];

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
    let first = made_here(payment).map(|made| of_first(payment, made, profile, shows_allocation));
    // A purchase's row stands for its capture as well.
    let is_purchase = first.as_ref().is_some_and(|first| first.row.r#type == "purchase");
    let captures = of_captures(payment, profile, shows_allocation);
    let captures = captures.into_iter().filter(|_| !is_purchase);
    let is_rest = |id: u128| leg.captures.iter().any(|capture| capture.id.bits() == id);
    let voids = leg.releases.iter().filter(|void| !is_rest(void.id)).map(|void| {
        let made = payment.operation(OperationKind::Void, void.id);
        Placed::of("void", (void.id, void.amount, void.at_ms), made)
    });
    let others = payment.operations.iter().filter(|made| {
        let is_booking = made.kind != OperationKind::Registration;
        is_booking && (made.fault.is_some() || made.kind == OperationKind::Extension)
    });
    let others = others
        .map(|made| Placed::of(word(made.kind), (made.id, made.amount, made.at_ms), Some(made)));
    let refunds = payment.refunds.iter().filter(|refund| refund.leg == leg.id);
    let asked = refunds.clone().map(of_refund);
    let mut rows: Vec<Placed> =
        first.into_iter().chain(captures).chain(voids).chain(others).chain(asked).collect();
    let reversals: Vec<Placed> = refunds.filter_map(|refund| of_reversal(refund, &rows)).collect();
    rows.extend(reversals);
    rows.sort_by_key(|placed| placed.at);
    rows.into_iter().map(|placed| placed.row).collect()
}

/// A row and its place: its event's number, 0 for what was registered, and then its time. Clocks of
/// several servers may differ, the numbers cannot.
struct Placed {
    at: (u32, i64),
    row: Row,
}

impl Placed {
    /// What was done, or declined. `made` tells more of it; without, it was registered.
    fn of(
        kind: &'static str,
        (id, amount, at_ms): (u128, Minor, i64),
        made: Option<&OperationView>,
    ) -> Placed {
        let here = made.filter(|made| made.face.as_deref() == Some("mpg"));
        let id = here.and_then(|made| made.given_id).unwrap_or(id);
        let mut row = approved(kind, id, amount.units(), at_ms);
        if let Some(fault) = made.and_then(|made| made.fault.as_ref()) {
            row.set_outcome(declined(Some(fault)));
        }
        row.set_reference(made.and_then(|made| made.reference));
        Placed { at: (made.map_or(0, |made| made.seq), at_ms), row }
    }
}

fn word(kind: OperationKind) -> &'static str {
    match kind {
        OperationKind::Registration => "authorize",
        OperationKind::Capture => "capture",
        OperationKind::Void => "void",
        OperationKind::Extension => "extension",
    }
}

/// The row with which an order of this face begins. Nothing else has its id: it is the payment
/// method's.
fn of_first(
    payment: &PaymentView,
    made: &OperationView,
    profile: &Profile<'_>,
    shows_allocation: bool,
) -> Placed {
    let leg = payment.primary();
    let said = Profile::of(profile.member("mpg"));
    let listed = |name: &str, words: &'static [&'static str]| {
        let sent = said.text(name)?;
        words.iter().find(|word| **word == sent).copied()
    };
    let kind = listed("type", &KINDS).unwrap_or("authorize");
    let at_ms = payment.created_at_ms;
    let placed = Placed::of(kind, (leg.id.bits(), leg.amount, at_ms), Some(made));
    let taken = leg.captures.iter().map(|capture| capture.refunded.units());
    let is_shown = shows_allocation && kind == "purchase";
    let row = Row {
        source_type: listed("transaction_type", &TRANSACTION_TYPES).unwrap_or("internet"),
        justification: listed("justification", &JUSTIFICATIONS),
        auth_code: said.text("auth_code"),
        refunded_amount: taken.filter(|_| is_shown).fold(0, i64::saturating_add),
        ..placed.row
    };
    Placed { row, ..placed }
}

/// The references of captures that were made elsewhere were registered with them, by their places.
fn of_captures(
    payment: &PaymentView,
    profile: &Profile<'_>,
    shows_allocation: bool,
) -> Vec<Placed> {
    let registered = match profile.member("captures").map(Json::value) {
        Some(Value::Array(captures)) => captures,
        _ => Vec::new(),
    };
    let captures = payment.primary().captures.iter().enumerate();
    let placed = captures.map(|(place, capture)| {
        let made = payment.operation(OperationKind::Capture, capture.id.bits());
        let mut placed =
            Placed::of("capture", (capture.id.bits(), capture.amount, capture.at_ms), made);
        let known = Profile::of(registered.get(place).copied());
        let row = &mut placed.row;
        row.retrieval_reference =
            row.retrieval_reference.take().or(known.text("retrieval_reference"));
        row.stan = row.stan.take().or(known.text("stan"));
        row.auth_code = known.text("auth_code");
        row.refunded_amount = if shows_allocation { capture.refunded.units() } else { 0 };
        placed
    });
    placed.collect()
}

fn of_refund(refund: &RefundView) -> Placed {
    let id = refund.given_id.unwrap_or(refund.id.bits());
    let mut row = approved("refund", id, refund.amount.units(), refund.asked_at_ms);
    row.set_outcome(outcome(refund));
    row.set_reference(refund.reference);
    Placed { at: (refund.asked_seq, refund.asked_at_ms), row }
}

/// A refund that was shown as `timeout` stays one; once it is proven undone, a reversal says so
/// (decision M6), behind the refund and all that was there by then.
fn of_reversal(refund: &RefundView, rows: &[Placed]) -> Option<Placed> {
    let at_ms = refund.settled_at_ms.filter(|_| is_proven_undone(refund))?;
    let reversed = refund.given_id.unwrap_or(refund.id.bits());
    // Nothing else has this id: it is the refund's own, which is shown for no other row, turned.
    let id = refund.id.bits() ^ 1;
    let row = Row {
        reverse_reason: Some("gateway_timeout"),
        reversed_transaction_id: Some(uuid_text(reversed)),
        ..approved("reversal", id, refund.amount.units(), at_ms)
    };
    let there = rows.iter().filter(|placed| placed.at.1 <= at_ms).map(|placed| placed.at.0);
    let newest = there.fold(refund.asked_seq, u32::max);
    Some(Placed { at: (newest, at_ms.max(refund.asked_at_ms)), row })
}

fn is_proven_undone(refund: &RefundView) -> bool {
    let is_undone = matches!(refund.status, Status::Declined | Status::Failed | Status::Voided);
    is_undone && refund.unknown_at_ms.is_some()
}

impl Row {
    fn set_outcome(&mut self, outcome: Outcome) {
        let Outcome { status, message, code } = outcome;
        (self.status, self.message, self.response_code) = (status, message, code);
    }

    fn set_reference(&mut self, reference: Option<(i64, u32)>) {
        self.retrieval_reference =
            reference.map(|(day, counter)| retrieval_reference(day, counter));
        self.stan = reference.map(|(_, counter)| stan(counter));
    }
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
