//! Targets of the fuzzer: what PSPs answer, and what is in their webhooks.

use requite_core::money::Minor;
use requite_core::settle::Outcome;
use requite_engine::psp::{CallKind, Instruction};

use super::account::Kind;
use super::adyen::{self, Shop};
use super::exchange::{Answer, Ask, Heard, Next};
use super::notice::NextOfList;
use super::{sample, stripe};

/// The refund that every answer is about.
const AMOUNT: i64 = 1_500;
const STATUSES: [u16; 9] = [200, 201, 400, 401, 402, 404, 409, 429, 500];

fn instruction(kind: CallKind, psp_refund: Option<&str>) -> Instruction {
    Instruction {
        amount: Minor::new(AMOUNT).expect("an amount"),
        psp_refund: psp_refund.map(str::to_owned),
        reason: Some("requested_by_customer".to_owned()),
        ..sample::instruction(kind)
    }
}

/// `body` as an answer of any status, to every kind of call.
pub(crate) fn answers(kind: Kind, body: &[u8]) {
    let shop = Shop { merchant_account: "ShopECOM".to_owned(), sends_reason: true };
    for status in STATUSES {
        let answer = Answer { status, retry_after_ms: 0, is_transient: false, body: body.to_vec() };
        let heard = [Heard::Answer(answer)];
        for call in [CallKind::Send, CallKind::LookUp, CallKind::Cancel] {
            for psp_refund in [None, Some("re_1")] {
                let instruction = instruction(call, psp_refund);
                let next = match kind {
                    Kind::Stripe => stripe::next(&instruction, &heard, true),
                    Kind::Adyen => adyen::next(&instruction, &heard, &shop),
                };
                check(&next, body);
            }
        }
        if kind == Kind::Stripe
            && let NextOfList::Ask(ask) = stripe::list::next((0, 1_000), &heard)
        {
            check_ask(&ask);
        }
    }
}

fn check(next: &Next, body: &[u8]) {
    let outcome = match next {
        Next::Ask(ask) => return check_ask(ask),
        Next::Done(outcome) => outcome,
    };
    if matches!(outcome, Outcome::Succeeded { .. }) {
        let names_amount = body.windows(4).any(|window| window == b"1500");
        assert!(names_amount, "a success of another amount is believed");
    }
    let texts = match outcome {
        Outcome::Declined { fault, .. }
        | Outcome::Failed { fault }
        | Outcome::Voided { fault, .. }
        | Outcome::Unknown { fault }
        | Outcome::NotSent { fault, .. } => [fault.code.as_str(), &fault.text],
        _ => ["", ""],
    };
    assert!(texts.iter().all(|text| !text.contains('\0')), "no store keeps a NUL");
    assert!(outcome.psp_refund().is_none_or(|id| !id.contains('\0')), "no store keeps a NUL");
}

/// What an answer says can lead nowhere but below the paths that are ours to ask.
fn check_ask(ask: &Ask) {
    let path = ask.path.as_str();
    assert!(path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic()), "{path}");
    assert!(!path.contains("..") && !path.contains(['#', '\\']), "{path}");
}

/// Items of a webhook of Adyen's, as if they were signed.
pub(crate) fn adyen_items(body: &[u8]) -> Vec<super::notice::Message> {
    adyen::hook::unchecked(body)
}
