//! A payment as this dialect shows it: the entity with its captures, refunds and their reasons, its
//! collection and its session, and what is shown of it by default.
//!
//! Only the payment method counts here: gift cards are legs of their own, which this dialect has no
//! word for. A refund that is declined, failed, voided or reversed is not shown, because a row here
//! means that money went or is going.

use requite_core::currency::Currency;
use requite_core::refund::Status;
use requite_engine::read::{CaptureView, OperationKind, PaymentView, ReasonView, RefundView};

use super::fields::{Column, Defaults, Entity, Related};
use super::spelling::{
    NULL, amount, id, optional_text, optional_time, prefix, provider_id, raw_amount, text, time,
};
use crate::json;

/// What the real server sends, in its order; then what only the published page shows (V2-1).
pub(super) const PAYMENT_DEFAULTS: Defaults = Defaults {
    fields: &[
        "id",
        "currency_code",
        "amount",
        "captured_at",
        "payment_collection_id",
        "payment_session_id",
        "captures.id",
        "captures.amount",
        "refunds.id",
        "refunds.amount",
        "refunds.note",
        "refunds.payment_id",
        "refunds.refund_reason.label",
        "refunds.refund_reason.code",
    ],
    tail: &[
        "authorized_amount",
        "captured_amount",
        "refunded_amount",
        "provider_id",
        "data",
        "created_at",
        "updated_at",
        "canceled_at",
    ],
};

pub(super) const REASON_DEFAULTS: Defaults = Defaults {
    fields: &["id", "label", "code", "description", "created_at", "updated_at", "deleted_at"],
    tail: &[],
};

/// A payment and what is derived from it once.
pub(super) struct Payment<'a> {
    view: &'a PaymentView,
    captured_at_ms: Option<i64>,
}

impl<'a> Payment<'a> {
    pub(super) fn new(view: &'a PaymentView) -> Payment<'a> {
        let leg = view.primary();
        let is_complete = leg.captured() >= leg.amount.units();
        let newest = leg.captures.iter().map(|capture| capture.at_ms).max();
        Payment { view, captured_at_ms: newest.filter(|_| is_complete) }
    }

    fn authorized(&self) -> i64 {
        self.view.primary().amount.units()
    }

    fn captured(&self) -> i64 {
        self.view.primary().captured()
    }

    fn refunded(&self) -> i64 {
        self.view.refunded_or_open(self.view.primary().id)
    }

    fn refunds(&self) -> impl Iterator<Item = &'a RefundView> {
        let leg = self.view.primary().id;
        self.view.refunds.iter().filter(move |refund| refund.leg == leg && is_shown(refund.status))
    }

    fn provider_data(&self) -> String {
        match (self.view.connector.as_str(), &self.view.connector_payment) {
            ("manual", _) | (_, None) => "{}".to_owned(),
            (_, Some(payment)) => format!("{{\"id\":{}}}", text(payment)),
        }
    }

    /// As it was registered, or what came in its place; an empty object is none.
    fn metadata(&self) -> String {
        if let Some(metadata) = &self.view.metadata {
            return object_text(json::read(metadata.as_bytes()).ok());
        }
        let profile = json::read(self.view.profile.as_bytes()).ok();
        let profile = profile.and_then(json::Json::object);
        object_text(profile.and_then(|profile| profile.member("metadata")))
    }

    fn currency_code(&self) -> String {
        text(&self.view.currency.code().to_ascii_lowercase())
    }
}

fn object_text(value: Option<json::Json<'_>>) -> String {
    let is_some = |value: &json::Json<'_>| value.object().is_some_and(|object| !object.is_empty());
    value.filter(is_some).map_or_else(|| NULL.to_owned(), |value| value.text().to_owned())
}

/// Does this dialect show a refund of this status? It knows no word for the others.
pub(super) fn is_shown(status: Status) -> bool {
    status.holds_money()
}

pub(super) const PAYMENT_COLUMNS: &[Column] = &[
    Column::Scalar("id"),
    Column::Scalar("currency_code"),
    Column::Scalar("provider_id"),
    Column::Scalar("data"),
    Column::Scalar("metadata"),
    Column::Scalar("captured_at"),
    Column::Scalar("canceled_at"),
    Column::Scalar("payment_collection_id"),
    Column::Scalar("payment_session_id"),
    Column::Scalar("raw_amount"),
    Column::Scalar("created_at"),
    Column::Scalar("updated_at"),
    Column::Scalar("deleted_at"),
    Column::Scalar("amount"),
    Column::Named("authorized_amount"),
    Column::Named("captured_amount"),
    Column::Named("refunded_amount"),
    Column::Parent { name: "payment_collection", key: "payment_collection_id" },
    Column::Parent { name: "payment_session", key: "payment_session_id" },
    Column::Relation("captures"),
    Column::Relation("refunds"),
];

impl Entity for Payment<'_> {
    fn columns(&self) -> &'static [Column] {
        PAYMENT_COLUMNS
    }

    fn scalar(&self, name: &str) -> String {
        let view = self.view;
        let bits = view.id.bits();
        match name {
            "id" => id(prefix::PAYMENT, bits),
            "currency_code" => self.currency_code(),
            "provider_id" => text(&provider_id(&view.connector)),
            "data" => self.provider_data(),
            "metadata" => self.metadata(),
            "captured_at" => optional_time(self.captured_at_ms),
            "canceled_at" => optional_time(view.cancelled_at_ms),
            "payment_collection_id" => id(prefix::COLLECTION, bits),
            "payment_session_id" => id(prefix::SESSION, bits),
            "raw_amount" => raw_amount(self.authorized(), view.currency),
            "created_at" => time(view.created_at_ms),
            "updated_at" => time(view.updated_at_ms),
            "amount" | "authorized_amount" => amount(self.authorized(), view.currency),
            "captured_amount" => amount(self.captured(), view.currency),
            "refunded_amount" => amount(self.refunded(), view.currency),
            _ => NULL.to_owned(),
        }
    }

    fn related(&self, name: &str) -> Related<'_> {
        match name {
            "payment_collection" => Related::One(Some(Box::new(Collection(self)))),
            "payment_session" => Related::One(Some(Box::new(Session(self)))),
            "captures" => {
                let captures = self.view.primary().captures.iter();
                Related::Many(
                    captures
                        .map(|capture| {
                            Box::new(Capture { payment: self.view, capture }) as Box<dyn Entity>
                        })
                        .collect(),
                )
            }
            _ => Related::Many(
                self.refunds().map(|refund| Box::new(Refund(refund)) as Box<dyn Entity>).collect(),
            ),
        }
    }
}

struct Capture<'a> {
    payment: &'a PaymentView,
    capture: &'a CaptureView,
}

impl Capture<'_> {
    /// Who captured it here, by itself or with the whole payment. One that was made elsewhere and
    /// written down is nobody's.
    fn actor(&self) -> Option<&str> {
        let payment = self.payment;
        let registered = payment.operation(OperationKind::Registration, payment.id.bits());
        let is_ours = registered.is_some_and(|registered| registered.face.is_some());
        let made = payment.operation(OperationKind::Capture, self.capture.id.bits());
        made.filter(|made| is_ours || made.face.is_some()).map(|made| made.actor.as_str())
    }
}

impl Entity for Capture<'_> {
    fn columns(&self) -> &'static [Column] {
        &[
            Column::Scalar("id"),
            Column::Scalar("payment_id"),
            Column::Scalar("metadata"),
            Column::Scalar("created_by"),
            Column::Scalar("raw_amount"),
            Column::Scalar("created_at"),
            Column::Scalar("updated_at"),
            Column::Scalar("deleted_at"),
            Column::Scalar("amount"),
            Column::Back { name: "payment", key: "payment_id" },
        ]
    }

    fn scalar(&self, name: &str) -> String {
        let units = self.capture.amount.units();
        match name {
            "id" => id(prefix::CAPTURE, self.capture.id.bits()),
            "payment_id" => id(prefix::PAYMENT, self.payment.id.bits()),
            "created_by" => optional_text(self.actor()),
            "raw_amount" => raw_amount(units, self.payment.currency),
            "created_at" | "updated_at" => time(self.capture.at_ms),
            "amount" => amount(units, self.payment.currency),
            _ => NULL.to_owned(),
        }
    }

    fn related(&self, _: &str) -> Related<'_> {
        Related::One(None)
    }
}

struct Refund<'a>(&'a RefundView);

impl Entity for Refund<'_> {
    fn columns(&self) -> &'static [Column] {
        &[
            Column::Scalar("id"),
            Column::Scalar("payment_id"),
            Column::Scalar("refund_reason_id"),
            Column::Parent { name: "refund_reason", key: "refund_reason_id" },
            Column::Scalar("note"),
            Column::Scalar("created_by"),
            Column::Scalar("metadata"),
            Column::Scalar("raw_amount"),
            Column::Scalar("created_at"),
            Column::Scalar("updated_at"),
            Column::Scalar("deleted_at"),
            Column::Scalar("amount"),
            Column::Named("status"),
            Column::Back { name: "payment", key: "payment_id" },
        ]
    }

    fn scalar(&self, name: &str) -> String {
        let refund = self.0;
        let units = refund.amount.units();
        match name {
            "id" => id(prefix::REFUND, refund.id.bits()),
            "payment_id" => id(prefix::PAYMENT, refund.payment.bits()),
            "refund_reason_id" => match &refund.reason {
                Some(reason) => id(prefix::REASON, reason.id.bits()),
                None => NULL.to_owned(),
            },
            "note" => optional_text(refund.note.as_deref()),
            "created_by" => text(&refund.actor),
            "metadata" => {
                let metadata = refund.metadata.as_deref().unwrap_or_default();
                object_text(json::read(metadata.as_bytes()).ok())
            }
            "raw_amount" => raw_amount(units, refund.currency),
            "created_at" => time(refund.asked_at_ms),
            "updated_at" => time(refund.updated_at_ms),
            "amount" => amount(units, refund.currency),
            "status" => text(refund.status.word()),
            _ => NULL.to_owned(),
        }
    }

    /// A deleted reason is gone, though the refund keeps its id.
    fn related(&self, _: &str) -> Related<'_> {
        let living = self.0.reason.as_ref();
        let living = living.filter(|reason| reason.deleted_at_ms.is_none());
        Related::One(living.map(|reason| Box::new(Reason(reason)) as Box<dyn Entity>))
    }
}

/// A reason for refunds that the merchant keeps.
pub(super) struct Reason<'a>(pub(super) &'a ReasonView);

impl Entity for Reason<'_> {
    fn columns(&self) -> &'static [Column] {
        &[
            Column::Scalar("id"),
            Column::Scalar("label"),
            Column::Scalar("code"),
            Column::Scalar("description"),
            Column::Scalar("metadata"),
            Column::Scalar("created_at"),
            Column::Scalar("updated_at"),
            Column::Scalar("deleted_at"),
        ]
    }

    fn scalar(&self, name: &str) -> String {
        let reason = self.0;
        match name {
            "id" => id(prefix::REASON, reason.id.bits()),
            "label" => text(&reason.label),
            "code" => text(&reason.code),
            "description" => optional_text(reason.description.as_deref()),
            "created_at" => time(reason.created_at_ms),
            "updated_at" => time(reason.updated_at_ms),
            "deleted_at" => optional_time(reason.deleted_at_ms),
            _ => NULL.to_owned(),
        }
    }

    fn related(&self, _: &str) -> Related<'_> {
        Related::One(None)
    }
}

/// The collection that the original keeps between an order and its payment. Here each payment has
/// one of its own, with the payment's sums.
struct Collection<'a>(&'a Payment<'a>);

impl Collection<'_> {
    fn is_complete(&self) -> bool {
        self.0.captured_at_ms.is_some()
    }

    /// Each refund completes it anew.
    fn completed_at_ms(&self) -> Option<i64> {
        let refunded = self.0.refunds().map(|refund| refund.asked_at_ms).max();
        self.0.captured_at_ms.max(refunded.filter(|_| self.is_complete()))
    }
}

pub(super) const COLLECTION_COLUMNS: &[Column] = &[
    Column::Scalar("id"),
    Column::Scalar("currency_code"),
    Column::Scalar("completed_at"),
    Column::Scalar("status"),
    Column::Scalar("metadata"),
    Column::Scalar("raw_amount"),
    Column::Scalar("raw_authorized_amount"),
    Column::Scalar("raw_captured_amount"),
    Column::Scalar("raw_refunded_amount"),
    Column::Scalar("created_at"),
    Column::Scalar("updated_at"),
    Column::Scalar("deleted_at"),
    Column::Scalar("amount"),
    Column::Scalar("authorized_amount"),
    Column::Scalar("captured_amount"),
    Column::Scalar("refunded_amount"),
    Column::Relation("order"),
];

impl Entity for Collection<'_> {
    fn columns(&self) -> &'static [Column] {
        COLLECTION_COLUMNS
    }

    fn scalar(&self, name: &str) -> String {
        let payment = self.0;
        let currency = payment.view.currency;
        match name {
            "id" => id(prefix::COLLECTION, payment.view.id.bits()),
            "currency_code" => payment.currency_code(),
            "completed_at" => optional_time(self.completed_at_ms()),
            "status" if self.is_complete() => text("completed"),
            "status" => text("authorized"),
            "created_at" => time(payment.view.created_at_ms),
            "updated_at" => time(payment.view.updated_at_ms),
            name => self.sum(name, currency),
        }
    }

    fn related(&self, _: &str) -> Related<'_> {
        let order = self.0.view.order.as_deref();
        Related::One(order.map(|order| Box::new(Order(order)) as Box<dyn Entity>))
    }
}

impl Collection<'_> {
    fn sum(&self, name: &str, currency: Currency) -> String {
        let (spell, name): (fn(i64, Currency) -> String, &str) = match name.strip_prefix("raw_") {
            Some(name) => (raw_amount, name),
            None => (amount, name),
        };
        match name {
            "amount" | "authorized_amount" => spell(self.0.authorized(), currency),
            "captured_amount" => spell(self.0.captured(), currency),
            "refunded_amount" => spell(self.0.refunded(), currency),
            _ => NULL.to_owned(),
        }
    }
}

/// The order a payment was registered with, of which only the id is known.
pub(super) struct Order<'a>(pub(super) &'a str);

impl Entity for Order<'_> {
    fn columns(&self) -> &'static [Column] {
        &[Column::Scalar("id")]
    }

    fn scalar(&self, _: &str) -> String {
        text(self.0)
    }

    fn related(&self, _: &str) -> Related<'_> {
        Related::One(None)
    }
}

struct Session<'a>(&'a Payment<'a>);

pub(super) const SESSION_COLUMNS: &[Column] = &[
    Column::Scalar("id"),
    Column::Scalar("currency_code"),
    Column::Scalar("provider_id"),
    Column::Scalar("data"),
    Column::Scalar("context"),
    Column::Scalar("status"),
    Column::Scalar("authorized_at"),
    Column::Scalar("payment_collection_id"),
    Column::Parent { name: "payment_collection", key: "payment_collection_id" },
    Column::Scalar("metadata"),
    Column::Scalar("raw_amount"),
    Column::Scalar("created_at"),
    Column::Scalar("updated_at"),
    Column::Scalar("deleted_at"),
    Column::Scalar("amount"),
];

impl Entity for Session<'_> {
    fn columns(&self) -> &'static [Column] {
        SESSION_COLUMNS
    }

    fn scalar(&self, name: &str) -> String {
        let view = self.0.view;
        match name {
            "id" => id(prefix::SESSION, view.id.bits()),
            "context" | "metadata" => "{}".to_owned(),
            "status" => text("authorized"),
            "authorized_at" | "created_at" | "updated_at" => time(view.created_at_ms),
            // The rest is the payment's own.
            name => self.0.scalar(name),
        }
    }

    fn related(&self, _: &str) -> Related<'_> {
        Related::One(Some(Box::new(Collection(self.0))))
    }
}

#[cfg(test)]
mod tests;
