//! A payment collection as its own routes show it: what was asked for an order, with its session and,
//! once it is paid, its payment. A payment shows its collection in [`super::payment`]; what both show
//! is the same, because a collection, its session and its payment are one id under three prefixes, and
//! all sums are the payment's.

use requite_engine::read::{CollectionView, PaymentView};

use super::fields::{Column, Defaults, Entity, Related};
use super::payment::{Order, Payment};
use super::spelling::{NULL, amount, id, optional_time, prefix, raw_amount, text, time};

pub(super) const COLLECTION_DEFAULTS: Defaults = Defaults {
    fields: &[
        "id",
        "currency_code",
        "amount",
        "status",
        "authorized_amount",
        "captured_amount",
        "refunded_amount",
        "*payment_sessions",
        "*payments",
    ],
    tail: &[],
};

const COLLECTION: &[Column] = &[
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
    Column::Relation("payment_sessions"),
    Column::Relation("payments"),
    Column::Relation("order"),
];

const SESSION: &[Column] = &[
    Column::Scalar("id"),
    Column::Scalar("currency_code"),
    Column::Scalar("provider_id"),
    Column::Scalar("data"),
    Column::Scalar("context"),
    Column::Scalar("status"),
    Column::Scalar("authorized_at"),
    Column::Scalar("payment_collection_id"),
    Column::Whole("payment"),
    Column::Scalar("metadata"),
    Column::Scalar("raw_amount"),
    Column::Scalar("created_at"),
    Column::Scalar("updated_at"),
    Column::Scalar("deleted_at"),
    Column::Scalar("amount"),
    Column::Back { name: "payment_collection", key: "payment_collection_id" },
];

const PAYMENT: &[Column] = &[
    Column::Scalar("id"),
    Column::Scalar("currency_code"),
    Column::Scalar("provider_id"),
    Column::Scalar("data"),
    Column::Scalar("metadata"),
    Column::Scalar("captured_at"),
    Column::Scalar("canceled_at"),
    Column::Scalar("payment_collection_id"),
    Column::Whole("payment_session"),
    Column::Scalar("raw_amount"),
    Column::Scalar("created_at"),
    Column::Scalar("updated_at"),
    Column::Scalar("deleted_at"),
    Column::Scalar("payment_session_id"),
    Column::Scalar("amount"),
    Column::Relation("captures"),
    Column::Relation("refunds"),
    Column::Back { name: "payment_collection", key: "payment_collection_id" },
];

/// A collection, and what pays it.
pub(super) struct Collection<'a> {
    row: &'a CollectionView,
    payment: Option<Payment<'a>>,
}

impl<'a> Collection<'a> {
    pub(super) fn new(row: &'a CollectionView, payment: Option<&'a PaymentView>) -> Collection<'a> {
        Collection { row, payment: payment.map(Payment::new) }
    }

    /// As the payment has it in its own `payment_collection`.
    fn of_payment(&self, name: &str) -> String {
        parent(self.payment.as_ref(), "payment_collection", name)
    }
}

/// A column of what a payment names; null without a payment.
fn parent(payment: Option<&Payment<'_>>, relation: &str, column: &str) -> String {
    match payment.map(|payment| payment.related(relation)) {
        Some(Related::One(Some(parent))) => parent.scalar(column),
        _ => NULL.to_owned(),
    }
}

impl Entity for Collection<'_> {
    fn columns(&self) -> &'static [Column] {
        COLLECTION
    }

    fn scalar(&self, name: &str) -> String {
        let row = self.row;
        let units = row.amount.units();
        match name {
            "id" => id(prefix::COLLECTION, row.id.bits()),
            "currency_code" => text(&row.currency.code().to_ascii_lowercase()),
            "status" if self.payment.is_none() => text("not_paid"),
            "raw_amount" => raw_amount(units, row.currency),
            "amount" => amount(units, row.currency),
            "created_at" => time(row.created_at_ms),
            "updated_at" => time(row.updated_at_ms),
            "metadata" | "deleted_at" => NULL.to_owned(),
            // Its status, its time of completion and the sums.
            name => self.of_payment(name),
        }
    }

    fn related(&self, name: &str) -> Related<'_> {
        let payment = self.payment.as_ref();
        match name {
            "payment_sessions" => {
                let has_one = self.row.session.is_some() || payment.is_some();
                let session = Session { row: self.row, payment, has_payment: true };
                let sessions = has_one.then(|| Box::new(session) as Box<dyn Entity>);
                Related::Many(sessions.into_iter().collect())
            }
            "payments" => {
                let payments = payment.map(|payment| {
                    let row = self.row;
                    Box::new(Paid { row, payment, has_session: true }) as Box<dyn Entity>
                });
                Related::Many(payments.into_iter().collect())
            }
            _ => Related::One(Some(Box::new(Order(&self.row.order)))),
        }
    }
}

/// The session of a collection: pending, or that of its payment.
struct Session<'a> {
    row: &'a CollectionView,
    payment: Option<&'a Payment<'a>>,
    /// False where it is shown inside its payment.
    has_payment: bool,
}

impl Session<'_> {
    fn pending(&self, name: &str) -> String {
        let row = self.row;
        let opened = row.session.as_ref();
        match name {
            "id" => id(prefix::SESSION, row.id.bits()),
            "currency_code" => text(&row.currency.code().to_ascii_lowercase()),
            "provider_id" => opened.map_or_else(|| NULL.to_owned(), |it| text(&it.provider)),
            "data" | "context" | "metadata" => "{}".to_owned(),
            "status" => text("pending"),
            "payment_collection_id" => id(prefix::COLLECTION, row.id.bits()),
            "raw_amount" => raw_amount(row.amount.units(), row.currency),
            "created_at" | "updated_at" => optional_time(opened.map(|session| session.at_ms)),
            "amount" => amount(row.amount.units(), row.currency),
            _ => NULL.to_owned(),
        }
    }
}

impl Entity for Session<'_> {
    fn columns(&self) -> &'static [Column] {
        SESSION
    }

    fn scalar(&self, name: &str) -> String {
        match self.payment {
            Some(_) => parent(self.payment, "payment_session", name),
            None => self.pending(name),
        }
    }

    fn has(&self, relation: &str) -> bool {
        relation != "payment" || self.has_payment
    }

    fn related(&self, _: &str) -> Related<'_> {
        Related::One(self.payment.map(|payment| {
            let row = self.row;
            Box::new(Paid { row, payment, has_session: false }) as Box<dyn Entity>
        }))
    }
}

/// The payment of a collection.
struct Paid<'a> {
    row: &'a CollectionView,
    payment: &'a Payment<'a>,
    /// False where it is shown inside its session.
    has_session: bool,
}

impl Entity for Paid<'_> {
    fn columns(&self) -> &'static [Column] {
        PAYMENT
    }

    fn scalar(&self, name: &str) -> String {
        self.payment.scalar(name)
    }

    fn has(&self, relation: &str) -> bool {
        relation != "payment_session" || self.has_session
    }

    fn related(&self, name: &str) -> Related<'_> {
        if name != "payment_session" {
            return self.payment.related(name);
        }
        let (row, payment) = (self.row, Some(self.payment));
        Related::One(Some(Box::new(Session { row, payment, has_payment: false })))
    }
}
