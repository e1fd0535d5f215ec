//! Shows payments and refunds: everything there is, amounts in minor units, times in RFC 3339.

use std::collections::BTreeMap;

use requite_core::id::uuid_text;
use requite_core::payment::LegKind;
use requite_core::refund::Fault;
use requite_engine::read::{
    CaptureView, LegView, OperationKind, OperationView, PaymentView, ReasonView, RefundView,
    ReleaseView, Stage,
};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::spelling;
use crate::people::Need;
use crate::time::millis_text;

/// JSON text of an object, its members in the order in which they are added: people read it too.
pub(crate) struct Shown(Vec<u8>);

impl Shown {
    pub(crate) fn new() -> Shown {
        let mut shown = Vec::with_capacity(1_024);
        shown.push(b'{');
        Shown(shown)
    }

    pub(crate) fn member(self, name: &str, value: impl Serialize) -> Shown {
        self.named(name).put(value)
    }

    /// `text` is JSON already.
    pub(crate) fn raw(self, name: &str, text: &str) -> Shown {
        let mut shown = self.named(name);
        shown.0.extend_from_slice(text.as_bytes());
        shown
    }

    pub(crate) fn text(mut self) -> String {
        self.0.push(b'}');
        String::from_utf8(self.0).expect("JSON is text")
    }

    fn named(mut self, name: &str) -> Shown {
        if self.0.len() > 1 {
            self.0.push(b',');
        }
        let mut shown = self.put(name);
        shown.0.push(b':');
        shown
    }

    fn put(mut self, value: impl Serialize) -> Shown {
        serde_json::to_writer(&mut self.0, &value).expect("views have text names and no floats");
        self
    }
}

/// JSON text of a list of JSON texts.
pub(crate) fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(","))
}

/// A payment with legs, captures, refunds, totals and its id in each face's spelling. What was kept
/// word for word at registration is shown under its own names.
pub(crate) fn payment(view: &PaymentView) -> String {
    let primary = view.primary();
    let sums: Vec<Sums> = view.legs.iter().map(|leg| Sums::of(view, leg)).collect();
    let kept: BTreeMap<String, Box<RawValue>> =
        serde_json::from_str(&view.profile).unwrap_or_default();
    let shown = Shown::new()
        .member("id", uuid_text(view.id.bits()))
        .member("ids", spelling::payment_ids(view.id.bits()))
        .member("amount", primary.amount.units())
        .member("currency", view.currency.code())
        .member("stage", stage(view))
        .member("decline", fault(view.decline.as_ref()))
        .member("totals", totals(&sums))
        .member("attempts", attempts(view))
        .raw("legs", &list(view.legs.iter().map(|shown| leg(view, shown))))
        .raw("captures", &list(primary.captures.iter().map(|shown| capture(view, shown))))
        .raw("voids", &list(primary.releases.iter().map(|shown| void(view, shown))))
        .raw("gift_cards", &gift_cards(view, &kept))
        .raw("refunds", &list(view.refunds.iter().map(refund)))
        .member("connector", &view.connector)
        .member("connector_payment", &view.connector_payment)
        .member("external_identifier", &view.external_identifier)
        .member("order", &view.order)
        .member("customer", &view.customer)
        .member("description", &view.description)
        .member("aliases", &view.aliases)
        .member("created_at", millis_text(view.created_at_ms))
        .member("updated_at", millis_text(view.updated_at_ms))
        .member("canceled_at", view.cancelled_at_ms.map(millis_text));
    // Captures and gift cards are shown with what became of them, above; metadata as it is now.
    let shown = match &view.metadata {
        Some(metadata) => shown.raw("metadata", metadata),
        None => shown,
    };
    let is_left = |name: &str| {
        !matches!(name, "captures" | "gift_cards")
            && (name != "metadata" || view.metadata.is_none())
    };
    let kept = kept.iter().filter(|(name, _)| is_left(name));
    kept.fold(shown, |shown, (name, value)| shown.raw(name, value.get())).text()
}

/// How far payments get, as filters and views name it.
pub(crate) const STAGES: [(Stage, &str); 4] = [
    (Stage::Declined, "declined"),
    (Stage::Authorized, "authorized"),
    (Stage::Captured, "captured"),
    (Stage::Voided, "voided"),
];

fn stage(view: &PaymentView) -> &'static str {
    let leg = view.primary();
    let reached = match (view.decline.is_some(), leg.captured() > 0, leg.released() > 0) {
        (true, _, _) => Stage::Declined,
        (false, true, _) => Stage::Captured,
        (false, false, true) => Stage::Voided,
        (false, false, false) => Stage::Authorized,
    };
    let listed = STAGES.iter().find(|(stage, _)| *stage == reached);
    listed.expect("STAGES lists every stage").1
}

/// Refund calls sent to the PSP, over all refunds.
fn attempts(view: &PaymentView) -> u64 {
    view.refunds.iter().fold(0, |sum, refund| sum.saturating_add(refund.sends.into()))
}

/// What the PSP complained of.
pub(crate) fn fault(fault: Option<&Fault>) -> Option<Value> {
    fault.map(|fault| json!({"code": fault.code, "text": fault.text}))
}

/// What became of one leg's money, in minor units.
#[derive(Clone, Copy, Default)]
struct Sums {
    amount: i64,
    captured: i64,
    refunded: i64,
    reserved: i64,
    voided: i64,
}

impl Sums {
    fn of(view: &PaymentView, leg: &LegView) -> Sums {
        let refunded = view.refunded(leg.id);
        Sums {
            amount: leg.amount.units(),
            captured: leg.captured(),
            refunded,
            reserved: view.refunded_or_open(leg.id).saturating_sub(refunded),
            voided: leg.released(),
        }
    }
}

/// `refundable` is what may still be given back, `capturable` what may still be taken or voided.
fn totals(legs: &[Sums]) -> Value {
    let total =
        |part: fn(&Sums) -> i64| legs.iter().fold(0_i64, |sum, leg| sum.saturating_add(part(leg)));
    let captured = total(|leg| leg.captured);
    let gone = total(|leg| leg.refunded.saturating_add(leg.reserved));
    let taken = total(|leg| leg.captured.saturating_add(leg.voided));
    json!({
        "amount": total(|leg| leg.amount),
        "captured": captured,
        "refunded": total(|leg| leg.refunded),
        "reserved": total(|leg| leg.reserved),
        "refundable": captured.saturating_sub(gone),
        "voided": total(|leg| leg.voided),
        "capturable": total(|leg| leg.amount).saturating_sub(taken),
    })
}

fn leg(view: &PaymentView, leg: &LegView) -> String {
    Shown::new()
        .member("id", uuid_text(leg.id.bits()))
        .member("kind", kind(leg.kind))
        .member("totals", totals(&[Sums::of(view, leg)]))
        .text()
}

fn kind(kind: LegKind) -> &'static str {
    match kind {
        LegKind::PaymentMethod => "payment_method",
        LegKind::GiftCard => "gift_card",
    }
}

fn capture(view: &PaymentView, capture: &CaptureView) -> String {
    let told = view.operation(OperationKind::Capture, capture.id.bits());
    let shown = Shown::new()
        .member("id", uuid_text(capture.id.bits()))
        .member("amount", capture.amount.units())
        .member("refunded", capture.refunded.units())
        .member("final", told.is_some_and(|told| told.is_final));
    traced(shown, told).member("created_at", millis_text(capture.at_ms)).text()
}

/// Who did it, through which face, and what they call it.
fn traced(shown: Shown, told: Option<&OperationView>) -> Shown {
    shown
        .member("external_identifier", told.and_then(|told| told.external_identifier.as_ref()))
        .member("face", told.and_then(|told| told.face.as_ref()))
        .member("actor", told.map(|told| &told.actor))
}

/// What a final capture left over has the capture's id and names.
fn void(view: &PaymentView, release: &ReleaseView) -> String {
    let of_capture = view.primary().captures.iter().find(|c| c.id.bits() == release.id);
    let kind = if of_capture.is_some() { OperationKind::Capture } else { OperationKind::Void };
    let shown = Shown::new()
        .member("id", uuid_text(release.id))
        .member("amount", release.amount.units())
        .member("of_final_capture", of_capture.is_some());
    let shown = traced(shown, view.operation(kind, release.id));
    shown.member("created_at", millis_text(release.at_ms)).text()
}

/// Gift cards with the digits that were kept of them, in the order of the legs.
fn gift_cards(view: &PaymentView, kept: &BTreeMap<String, Box<RawValue>>) -> String {
    let cards = kept.get("gift_cards").and_then(|text| serde_json::from_str(text.get()).ok());
    let cards: Vec<Value> = cards.unwrap_or_default();
    let legs = view.legs.iter().filter(|leg| leg.kind == LegKind::GiftCard);
    list(legs.enumerate().map(|(place, leg)| {
        let digits = |name| cards.get(place).map_or(&Value::Null, |card| &card[name]);
        Shown::new()
            .member("id", uuid_text(leg.id.bits()))
            .member("amount", leg.amount.units())
            .member("bin", digits("bin"))
            .member("sub_bin", digits("sub_bin"))
            .member("last4", digits("last4"))
            .text()
    }))
}

/// The gift cards with what became of their money.
pub(crate) fn card_totals(view: &PaymentView) -> String {
    let cards = view.legs.iter().filter(|leg| leg.kind == LegKind::GiftCard);
    list(cards.map(|card| {
        let sums = Sums::of(view, card);
        let gone = sums.refunded.saturating_add(sums.reserved);
        Shown::new()
            .member("id", uuid_text(card.id.bits()))
            .member("amount", sums.amount)
            .member("currency", view.currency.code())
            .member("captured", sums.captured)
            .member("refunded", sums.refunded)
            .member("reserved", sums.reserved)
            .member("refundable", sums.captured.saturating_sub(gone))
            .text()
    }))
}

/// A reason that the merchant keeps.
pub(crate) fn reason(view: &ReasonView) -> String {
    Shown::new()
        .member("id", uuid_text(view.id.bits()))
        .member("ids", spelling::reason_ids(view.id.bits()))
        .member("code", &view.code)
        .member("label", &view.label)
        .member("description", &view.description)
        .member("created_at", millis_text(view.created_at_ms))
        .member("updated_at", millis_text(view.updated_at_ms))
        .member("deleted_at", view.deleted_at_ms.map(millis_text))
        .text()
}

/// A refund, whichever face it came through. `attempts` counts the refund calls sent to the PSP.
pub(crate) fn refund(view: &RefundView) -> String {
    refund_with(view, None)
}

/// With why people should look at it, where that was asked for.
pub(crate) fn refund_with(view: &RefundView, need: Option<&Need>) -> String {
    let shown = shown(view);
    let shown = match need {
        None => shown,
        Some(need) => shown.member(
            "needs",
            json!({"why": need.why, "since": millis_text(need.since_ms), "advice": need.advice}),
        ),
    };
    shown.text()
}

fn shown(view: &RefundView) -> Shown {
    Shown::new()
        .member("id", uuid_text(view.id.bits()))
        .member("ids", spelling::refund_ids(view.id.bits(), view.given_id))
        .member("payment", uuid_text(view.payment.bits()))
        .member("status", view.status.word())
        .member("amount", view.amount.units())
        .member("currency", view.currency.code())
        .member("leg", json!({"id": uuid_text(view.leg.bits()), "kind": kind(view.leg_kind)}))
        .member("connector", &view.connector)
        .member("reason", reason_text(view))
        .member("reason_id", view.reason.as_ref().map(|reason| uuid_text(reason.id.bits())))
        .member("note", &view.note)
        .member("external_identifier", &view.external_identifier)
        .raw("metadata", view.metadata.as_deref().unwrap_or("null"))
        .member("psp_refund_id", &view.psp_refund)
        .member("error", fault(view.fault.as_ref()))
        .member("attempts", view.sends)
        .member("face", &view.face)
        .member("actor", &view.actor)
        .member("asked_at", millis_text(view.asked_at_ms))
        .member("sent_at", view.sent_at_ms.map(millis_text))
        .member("unknown_at", view.unknown_at_ms.map(millis_text))
        .member("settled_at", view.settled_at_ms.map(millis_text))
        .member("updated_at", millis_text(view.updated_at_ms))
        .member("next_action_at", view.next_action_at_ms.map(millis_text))
}

/// One text, whichever dialect gave it: a fixed word, free text, or a reason that is kept.
fn reason_text(view: &RefundView) -> Option<&str> {
    let kept = view.reason.as_ref().map(|reason| reason.code.as_str());
    view.reason_code.as_deref().or(view.reason_text.as_deref()).or(kept)
}
