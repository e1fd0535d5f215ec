//! The form in which the inbox keeps what a message tells: nothing of the PSP's own body.

use requite_core::currency::Currency;
use requite_core::id::{parse_uuid, uuid_text};
use requite_core::money::Minor;
use requite_core::refund::Fault;
use requite_core::settle::Outcome;
use requite_engine::command::Mark;
use serde::{Deserialize, Serialize};

use crate::connectors::notice::Notice;

#[derive(Deserialize, Serialize)]
struct Kept {
    outcome: String,
    psp_refund: Option<String>,
    fault: Option<(String, String)>,
    /// `None`: no room for one; an empty text: none of ours.
    mark: Option<String>,
    payments: Vec<String>,
    amount_minor: i64,
    currency: String,
    said_at_ms: Option<i64>,
}

pub(super) fn text(notice: &Notice) -> String {
    let fault = match &notice.outcome {
        Outcome::Declined { fault, .. }
        | Outcome::Voided { fault, .. }
        | Outcome::Failed { fault } => Some((fault.code.clone(), fault.text.clone())),
        _ => None,
    };
    let kept = Kept {
        outcome: notice.outcome.word().to_owned(),
        psp_refund: notice.outcome.psp_refund().map(str::to_owned),
        fault,
        mark: match notice.mark {
            Mark::Ours(refund) => Some(uuid_text(refund.bits())),
            Mark::NotOurs => Some(String::new()),
            Mark::Unstated => None,
        },
        payments: notice.payments.clone(),
        amount_minor: notice.amount.units(),
        currency: notice.currency.code().to_owned(),
        said_at_ms: notice.said_at_ms,
    };
    serde_json::to_string(&kept).expect("texts and numbers are JSON")
}

/// `None`: no text of ours.
pub(super) fn notice(text: &str) -> Option<Notice> {
    let kept: Kept = serde_json::from_str(text).ok()?;
    let psp_refund = kept.psp_refund;
    let (code, text) = kept.fault.unwrap_or_default();
    let fault = Fault { code, text };
    let outcome = match kept.outcome.as_str() {
        "succeeded" => Outcome::Succeeded { psp_refund },
        "pending" => Outcome::Pending { psp_refund },
        "requires_action" => Outcome::RequiresAction { psp_refund },
        "declined" => Outcome::Declined { psp_refund, fault },
        "voided" => Outcome::Voided { psp_refund, fault },
        "failed" => Outcome::Failed { fault },
        _ => return None,
    };
    let mark = match kept.mark.as_deref() {
        None => Mark::Unstated,
        Some("") => Mark::NotOurs,
        Some(text) => Mark::Ours(requite_core::id::RefundId::new(parse_uuid(text)?)),
    };
    Some(Notice {
        outcome,
        mark,
        payments: kept.payments,
        amount: Minor::new(kept.amount_minor)?,
        currency: Currency::parse(&kept.currency)?,
        said_at_ms: kept.said_at_ms,
    })
}
