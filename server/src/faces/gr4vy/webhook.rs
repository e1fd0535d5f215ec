//! Events as this API tells them without being asked: an envelope with a name, around the refund or the
//! transaction as the API shows it.
//!
//! | event | name |
//! | --- | --- |
//! | a refund was accepted and is under way | `refund.pending` |
//! | a refund's status became another one | `refund.succeeded`, `.declined`, `.failed`, `.voided` (decision B32) |
//! | a payment was registered | `transaction.authorized`, or `transaction.declined` |
//! | a capture, or a declined one | `transaction.captured`, `transaction.capture-failed` |
//! | a void | `transaction.voided` |
//! | another name or other metadata | `transaction.modified` |
//!
//! Where nothing of what the API shows changes, nothing is told.

use requite_core::id::RefundId;
use requite_engine::event::Kind;
use requite_engine::read::{OperationKind, PaymentView, RefundView};
use serde::Serialize;
use serde_json::value::RawValue;

use super::show::{Refund, status};
use super::transaction::transaction;
use crate::time::micros_text;
use crate::webhooks::Occasion;

#[derive(Serialize)]
struct Envelope<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: String,
    name: String,
    created_at: String,
    merchant_account_id: &'a str,
    gr4vy_id: &'a str,
    environment: &'static str,
    target: Box<RawValue>,
}

pub(crate) fn told(occasion: &Occasion<'_>) -> Option<String> {
    let (name, target) = match occasion.event.kind {
        Kind::Refund => refund(occasion)?,
        _ => {
            let name = transaction_name(occasion)?.to_owned();
            (name, raw(&transaction(occasion.after, occasion.account)))
        }
    };
    let settings = occasion.settings;
    let envelope = Envelope {
        kind: "event",
        id: occasion.id(),
        name,
        created_at: micros_text(occasion.event.at_ms),
        merchant_account_id: occasion.account,
        gr4vy_id: &settings.gr4vy_id,
        environment: settings.gr4vy_environment,
        target,
    };
    Some(serde_json::to_string(&envelope).expect("texts and JSON have a JSON form"))
}

fn raw(shown: &impl Serialize) -> Box<RawValue> {
    serde_json::value::to_raw_value(shown).expect("what is shown has a JSON form")
}

fn refund(occasion: &Occasion<'_>) -> Option<(String, Box<RawValue>)> {
    let id = RefundId::new(occasion.event.subject);
    let after = found(occasion.after, id)?;
    let word = status(after.status);
    let before = occasion.before.and_then(|view| found(view, id));
    if before.is_some_and(|before| status(before.status) == word) {
        return None;
    }
    let word = if word == "processing" { "pending" } else { word };
    Some((
        format!("refund.{word}"),
        raw(&Refund::new(occasion.after.external_identifier.as_deref(), after)),
    ))
}

fn found(view: &PaymentView, id: RefundId) -> Option<&RefundView> {
    view.refunds.iter().find(|refund| refund.id == id)
}

fn transaction_name(occasion: &Occasion<'_>) -> Option<&'static str> {
    let operation = occasion.after.operation_at(occasion.event.seq);
    match occasion.event.kind {
        Kind::Registered if occasion.after.decline.is_some() => Some("transaction.declined"),
        Kind::Registered => Some("transaction.authorized"),
        Kind::Captured => Some("transaction.captured"),
        // What a final capture lets go of comes just before that capture, and is told with it.
        Kind::Released => operation.map(|_| "transaction.voided"),
        Kind::Declined => operation
            .filter(|operation| operation.kind == OperationKind::Capture)
            .map(|_| "transaction.capture-failed"),
        Kind::Amended => Some("transaction.modified"),
        // What a person's word or wish moves is told by the event after it.
        Kind::Extended | Kind::Refund | Kind::Resolved | Kind::CancelAsked => None,
    }
}
