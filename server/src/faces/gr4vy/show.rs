//! Refunds as they are shown.
//!
//! All 23 members are always there, in the order of the published example: the strictest SDK
//! refuses an object that lacks one of eleven, and none minds a null where nothing is known.

use requite_core::id::{base62_text, uuid_text};
use requite_core::payment::LegKind;
use requite_core::refund::Status;
use requite_engine::read::RefundView;
use serde::Serialize;

use super::wire::{GIFT_CARD, PAYMENT_METHOD};
use crate::time::micros_text;

/// The documented error codes that a refund, of a payment method or a gift card, can have. A PSP's
/// code that is one of them is shown as one.
const ERROR_CODES: [&str; 29] = [
    "canceled_payment_method",
    "disputed_transaction",
    "duplicate_transaction",
    "expired_card",
    "inactive_card",
    "incorrect_currency",
    "insufficient_funds",
    "insufficient_service_permissions",
    "internal_error",
    "invalid_amount",
    "invalid_gift_card",
    "invalid_operation",
    "invalid_service_configuration",
    "invalid_service_credentials",
    "issuer_decline",
    "max_gift_cards_reached",
    "operation_canceled",
    "other_decline",
    "refund_already_satisfied",
    "refund_period_expired",
    "refused_transaction",
    "service_decline",
    "service_error",
    "service_network_error",
    "service_rate_limit",
    "suspected_fraud",
    "unexpected_state",
    "unknown_error",
    "unknown_service_resource",
];

/// A refund in the API's words.
#[derive(Debug, Serialize)]
pub(super) struct Refund {
    #[serde(rename = "type")]
    kind: &'static str,
    id: String,
    transaction_id: String,
    payment_service_refund_id: Option<String>,
    status: &'static str,
    currency: String,
    amount: i64,
    reason: Option<String>,
    target_type: &'static str,
    target_id: String,
    reconciliation_id: String,
    external_identifier: Option<String>,
    transaction_reconciliation_id: String,
    transaction_external_identifier: Option<String>,
    created_at: String,
    updated_at: String,
    /// Always null: a key is nobody, and a person who refunded through another face has no name
    /// and address here.
    creator: Option<()>,
    error_code: Option<&'static str>,
    raw_response_code: Option<String>,
    raw_response_description: Option<String>,
    settled_currency: Option<()>,
    settled_amount: i64,
    settled: bool,
}

impl Refund {
    /// `transaction`: the caller's own name for its payment.
    pub(super) fn new(transaction: Option<&str>, refund: &RefundView) -> Refund {
        let error = Error::of(refund);
        let is_shown_by_psp = refund.status != Status::Failed;
        let psp_refund = refund.psp_refund.clone().filter(|_| is_shown_by_psp);
        Refund {
            kind: "refund",
            id: uuid_text(refund.id.bits()),
            transaction_id: uuid_text(refund.payment.bits()),
            payment_service_refund_id: psp_refund,
            status: status(refund.status),
            currency: refund.currency.code().to_owned(),
            amount: refund.amount.units(),
            reason: reason(refund),
            target_type: target_type(refund.leg_kind),
            target_id: uuid_text(refund.leg.bits()),
            reconciliation_id: base62_text(refund.id.bits()),
            external_identifier: refund.external_identifier.clone(),
            transaction_reconciliation_id: base62_text(refund.payment.bits()),
            transaction_external_identifier: transaction.map(str::to_owned),
            created_at: micros_text(refund.asked_at_ms),
            updated_at: micros_text(refund.updated_at_ms),
            creator: None,
            error_code: error.code,
            raw_response_code: error.raw_code,
            raw_response_description: error.raw_text,
            settled_currency: None,
            settled_amount: 0,
            settled: false,
        }
    }
}

/// The API's word for a refund's status. Everything that is still open is `processing`, also what
/// has no known outcome (G2).
pub(super) fn status(status: Status) -> &'static str {
    match status {
        Status::Requested
        | Status::AwaitingApproval
        | Status::Held
        | Status::Ready
        | Status::Dispatched
        | Status::Unknown
        | Status::Pending
        | Status::RequiresAction => "processing",
        Status::Succeeded => "succeeded",
        Status::Declined => "declined",
        Status::Failed | Status::Reversed => "failed",
        Status::Voided => "voided",
    }
}

fn target_type(kind: LegKind) -> &'static str {
    match kind {
        LegKind::PaymentMethod => PAYMENT_METHOD,
        LegKind::GiftCard => GIFT_CARD,
    }
}

/// This face's own text, else what the face that it came through knows as its reason.
fn reason(refund: &RefundView) -> Option<String> {
    let kept = refund.reason.as_ref().map(|reason| &reason.label);
    let text = refund.reason_text.as_ref().or(kept);
    text.or(refund.reason_code.as_ref()).cloned()
}

/// The three members that say why a refund did not become one.
#[derive(Debug, Default)]
struct Error {
    code: Option<&'static str>,
    raw_code: Option<String>,
    raw_text: Option<String>,
}

impl Error {
    /// Only for what ended without the money moving: what is open may still succeed, and a
    /// complaint that it once met is no error of it.
    fn of(refund: &RefundView) -> Error {
        let otherwise = match (refund.status, &refund.fault) {
            (Status::Declined, Some(_)) => "service_decline",
            (Status::Declined, None) => "other_decline",
            (Status::Failed | Status::Reversed, _) => "service_error",
            (
                Status::Requested
                | Status::AwaitingApproval
                | Status::Held
                | Status::Ready
                | Status::Dispatched
                | Status::Unknown
                | Status::Pending
                | Status::RequiresAction
                | Status::Succeeded
                | Status::Voided,
                _,
            ) => return Error::default(),
        };
        let Some(fault) = &refund.fault else {
            return Error { code: Some(otherwise), ..Error::default() };
        };
        let documented = ERROR_CODES.iter().find(|code| **code == fault.code);
        let filled = |text: &String| (!text.is_empty()).then(|| text.clone());
        Error {
            code: Some(documented.copied().unwrap_or(otherwise)),
            raw_code: filled(&fault.code),
            raw_text: filled(&fault.text),
        }
    }
}

#[cfg(test)]
mod tests;
