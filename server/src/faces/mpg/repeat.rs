//! Repeats: what makes a request the same as an earlier one, and what is said when it is not.
//!
//! A caller names a request by `transaction_id`, whose scope is shared by refunds, captures, voids
//! and extensions, by the header `Idempotency-Key`, or by both.

use requite_core::id::{PaymentId, uuid_text};
use requite_engine::command::{Booking, CommandError};
use requite_engine::key::Key;
use requite_engine::read::{OperationKind, PaymentView};

use super::failure::Failure;
use super::wire::Names;
use crate::access::Actor;
use crate::desk::{Desk, key};

/// What is asked for, as far as a repeat must ask for it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    Refund(Option<i64>),
    Booking(Booking, Option<i64>),
}

impl Deed {
    fn word(self) -> &'static str {
        match self {
            Deed::Refund(_) => "refund",
            Deed::Booking(Booking::Capture { .. }, _) => "capture",
            Deed::Booking(Booking::Void, _) => "void",
            Deed::Booking(Booking::Extension, _) => "extension",
        }
    }

    /// Beside its word and order. What is not said means the same as nothing.
    fn meaning(self) -> String {
        let (amount, more) = match self {
            Deed::Booking(Booking::Capture { is_final: true }, amount) => (amount, " final"),
            Deed::Refund(amount) | Deed::Booking(_, amount) => (amount, ""),
        };
        amount.map_or_else(String::new, |amount| format!("{amount}{more}"))
    }

    /// Is this what made the row with this id? `None` when the order has no such row, or when it
    /// cannot be told.
    fn made(self, payment: &PaymentView, transaction: u128) -> Option<bool> {
        let given = Some(transaction);
        if let Some(refund) = payment.refunds.iter().find(|refund| refund.given_id == given) {
            return match self {
                Deed::Refund(None) => None,
                _ => Some(self == Deed::Refund(Some(refund.amount.units()))),
            };
        }
        let mut operations = payment.operations.iter();
        let operation = operations.find(|operation| operation.given_id == given)?;
        let booking = match operation.kind {
            OperationKind::Registration => return Some(false),
            OperationKind::Capture => Booking::Capture { is_final: operation.is_final },
            OperationKind::Void => Booking::Void,
            OperationKind::Extension => Booking::Extension,
        };
        match self {
            Deed::Booking(asked, None) if asked == booking => None,
            _ => Some(self == Deed::Booking(booking, Some(operation.amount.units()))),
        }
    }
}

/// The header's key first: its repeats get the first answer again (decision A4), where repeats by
/// `transaction_id` alone get the present order (M1).
pub(super) fn keys(order: PaymentId, deed: Deed, names: &Names) -> Vec<Key> {
    let (order, word, meaning) = (uuid_text(order.bits()), deed.word(), deed.meaning());
    let transaction = names.transaction_id.map(uuid_text);
    let by_header = names.idempotency_key.as_deref().map(|text| {
        let meaning = [&order, &meaning, transaction.as_deref().unwrap_or("")];
        key("mpg", &["idempotency_key", word], text, &meaning)
    });
    let by_transaction = transaction.as_deref().map(|text| Key {
        answers_present: true,
        ..key("mpg", &["transaction_id"], text, &[&order, word, &meaning])
    });
    by_header.into_iter().chain(by_transaction).collect()
}

/// What is wrong with a request to an unknown order is not told: the order comes first.
pub(super) async fn unless_unknown(
    desk: &Desk,
    actor: &Actor,
    order: PaymentId,
    failure: Failure,
) -> Failure {
    match desk.payment(actor.merchant, order, None).await {
        Ok(Some(_)) => failure,
        Ok(None) => Failure::OrderUnknown,
        Err(fault) => Failure::Read(fault),
    }
}

/// Why a request about an order was not done.
pub(super) async fn explain(
    desk: &Desk,
    actor: &Actor,
    order: PaymentId,
    (deed, names): (Deed, &Names),
    error: CommandError,
) -> Failure {
    if error != CommandError::KeyReused {
        return Failure::Command(error);
    }
    match desk.payment(actor.merchant, order, None).await {
        Ok(Some(payment)) => Failure::KeyReused(reused(&payment, deed, names)),
        Ok(None) => Failure::OrderUnknown,
        Err(fault) => Failure::Read(fault),
    }
}

/// Which of the caller's keys stands for another request. With both sent, the order's rows tell: a
/// row with the transaction's id that this request would have made clears the transaction; any
/// other convicts it.
fn reused(payment: &PaymentView, deed: Deed, names: &Names) -> &'static [&'static str] {
    let (Some(transaction), Some(_)) = (names.transaction_id, &names.idempotency_key) else {
        let is_by_header = names.idempotency_key.is_some();
        return if is_by_header { &["idempotency_key"] } else { &["transaction_id"] };
    };
    match deed.made(payment, transaction) {
        Some(true) => &["idempotency_key"],
        Some(false) => &["transaction_id"],
        None => &["transaction_id", "idempotency_key"],
    }
}
