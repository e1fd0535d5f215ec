//! `GET /admin/orders/{id}` and its capture. An order exists as soon as a payment is registered with its
//! id, and is what its payments say: what a shop knows of it besides is null or empty here (decision
//! B25).
//!
//! Totals are those of the payments that are neither cancelled nor in another currency than the oldest.
//! As in the original, this face's payment routes do not touch `payment_status`; an order's own do, and
//! so does whatever comes from elsewhere.

use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use requite_core::id::{MerchantId, PaymentId, RefundId};
use requite_engine::order::OrderRefund;
use requite_engine::read::{OperationKind, PaymentView, ReadFault, Reads, RefundView};
use serde_json::value::RawValue;

use super::capture::{self, Taker};
use super::failure::Failure;
use super::fields::{Field, Members, Selection, Shape, all_of, field, further, raw};
use super::wire::{self, Refund};
use super::{Face, NAME, auth, payment};
use crate::access::Caller;
use crate::desk::Unseen;
use crate::time::millis_text;

/// An order, as its payments tell.
pub(super) struct Order {
    id: String,
    /// Oldest first, never empty.
    payments: Vec<PaymentView>,
    /// Refunds that were asked for the order, oldest first.
    refunds: Vec<OrderRefund>,
}

/// `GET /admin/orders/{id}`
pub(super) async fn retrieve(
    State(face): State<Face>,
    Path(id): Path<String>,
    Query(query): Query<Vec<(String, String)>>,
    request: Request,
) -> Result<Response, Failure> {
    let actor = auth::actor(&face, Caller::of(&request)).await?;
    let mut selection = Selection::read(&query, &SHAPE)?;
    if TOTALS.iter().chain(&SUMS).any(|total| selection.has(total)) {
        selection.add_fields(&TOTALS);
    }
    let order = Order::read(&face, actor.merchant, &id).await?;
    let order = order.ok_or_else(|| Failure::order_unknown(&id))?;
    Ok(wire::json(StatusCode::OK, &order.shown(&selection)))
}

/// `POST /admin/orders/{id}/capture`: captures what is not captured of the order. Asking twice captures
/// once, with a key and without.
pub(super) async fn capture(
    State(face): State<Face>,
    Path(id): Path<String>,
    Query(query): Query<Vec<(String, String)>>,
    mut request: Request,
) -> Result<Response, Failure> {
    let bytes = wire::body(&mut request).await?;
    wire::Members::read(&bytes)?;
    let actor = auth::actor(&face, Caller::of(&request)).await?;
    let selection = changed(&query)?;
    let key_text = wire::key_text(request.headers())?;
    let order = Order::read(&face, actor.merchant, &id).await?;
    let order = order.ok_or_else(|| Failure::order_unknown(&id))?;
    for payment in order.counted().filter(|payment| payment.primary().captures.is_empty()) {
        let (name, key_text, order) = (actor.name.clone(), key_text.clone(), Some(id.clone()));
        capture::take(&face, payment, Taker { name, key_text, order }).await?;
    }
    let order = Order::read_back(&face, actor.merchant, &id, Vec::new()).await;
    let order = order.map_err(|Unseen| Failure::unshown())?;
    Ok(wire::json(StatusCode::OK, &order.shown(&selection)))
}

/// What the answer to a change shows: what is asked for, and what the original works out on the way.
pub(super) fn changed(query: &[(String, String)]) -> Result<Selection, Failure> {
    let mut selection = Selection::read(query, &SHAPE)?;
    selection.add_fields(&["object"]);
    selection.add_fields(&TOTALS);
    selection.add_fields(&SUMS);
    selection.add_relations(&WORKED_OUT);
    Ok(selection)
}

impl Order {
    /// `None`: no payment of this merchant was registered with it.
    pub(super) async fn read(
        face: &Face,
        merchant: MerchantId,
        id: &str,
    ) -> Result<Option<Order>, Failure> {
        let text = id.to_owned();
        let payments = face.desk.read(move |reads| reads.payments_of_order(merchant, &text));
        let payments = payments.await?;
        if payments.is_empty() {
            return Ok(None);
        }
        let text = id.to_owned();
        let refunds = face.desk.read(move |reads| reads.order_refunds(merchant, &text)).await?;
        Ok(Some(Order { id: id.to_owned(), payments, refunds }))
    }

    /// The order for the answer to what was done: with these payments as they were after an event, or
    /// where none are named with all of its, as they are.
    pub(super) async fn read_back(
        face: &Face,
        merchant: MerchantId,
        id: &str,
        seen: Vec<(PaymentId, Option<u32>)>,
    ) -> Result<Order, Unseen> {
        let id = id.to_owned();
        let read = move |reads: &dyn Reads| {
            let payments = if seen.is_empty() {
                Some(reads.payments_of_order(merchant, &id)?)
            } else {
                let each = seen.iter().map(|(of, as_of)| reads.payment(merchant, *of, *as_of));
                each.collect::<Result<Option<Vec<_>>, ReadFault>>()?
            };
            let Some(payments) = payments.filter(|payments| !payments.is_empty()) else {
                return Ok(None);
            };
            let refunds = reads.order_refunds(merchant, &id)?;
            Ok(Some(Order { id: id.clone(), payments, refunds }))
        };
        face.desk.read_back(read).await
    }

    pub(super) fn payments(&self) -> &[PaymentView] {
        &self.payments
    }

    fn first(&self) -> &PaymentView {
        self.payments.first().expect("an order has a payment")
    }

    /// Payments whose money is the order's, oldest first.
    pub(super) fn counted(&self) -> impl Iterator<Item = &PaymentView> {
        let currency = self.first().currency;
        self.payments.iter().filter(move |payment| {
            let is_off = payment.cancelled_at_ms.is_some() || payment.decline.is_some();
            payment.currency == currency && !is_off
        })
    }

    /// What was to be paid, in minor units.
    pub(super) fn paid(&self) -> i64 {
        let amounts = self.counted().map(|payment| payment.primary().amount.units());
        amounts.fold(0, i64::saturating_add)
    }

    /// Given back or promised, in minor units.
    pub(super) fn refunded(&self) -> i64 {
        let amounts = self.counted().map(|payment| payment.refunded_or_open(payment.primary().id));
        amounts.fold(0, i64::saturating_add)
    }

    /// The order's `{"order": ...}`.
    pub(super) fn shown(&self, selection: &Selection) -> Members {
        Members(vec![("order", raw(&selection.of(&SHAPE, self)))])
    }

    /// The order without what it is about.
    pub(super) fn row(&self) -> Members {
        all_of(&FIELDS[..COLUMNS], self)
    }

    /// The order's own refunds, each a row whatever payments it took, and those of single payments.
    fn rows(&self) -> Vec<Refund> {
        let mut rows: Vec<(i64, Refund)> = self
            .refunds
            .iter()
            .filter_map(|refund| {
                let parts = self.parts(refund).map(|part| part.amount.units());
                let amount = parts.fold(0, i64::saturating_add);
                (amount > 0).then(|| (refund.created_at_ms, Refund::of_order(refund, amount)))
            })
            .collect();
        rows.extend(self.held().filter(|(_, refund)| !self.is_part(refund.id)).map(
            |(payment, refund)| (refund.asked_at_ms, Refund::of(payment.order.as_deref(), refund)),
        ));
        rows.sort_by(|(one_at, one), (other_at, other)| {
            one_at.cmp(other_at).then_with(|| one.id.cmp(&other.id))
        });
        rows.into_iter().map(|(_, row)| row).collect()
    }

    /// Refunds of the payment methods, for which money went or may go.
    fn held(&self) -> impl Iterator<Item = (&PaymentView, &RefundView)> {
        self.payments.iter().flat_map(|payment| {
            let leg = payment.primary().id;
            let refunds = payment.refunds.iter();
            let held = refunds.filter(move |r| r.leg == leg && r.status.holds_money());
            held.map(move |refund| (payment, refund))
        })
    }

    fn parts<'a>(&'a self, refund: &'a OrderRefund) -> impl Iterator<Item = &'a RefundView> {
        let ids = refund.payments.iter().filter_map(|part| part.refund.map(|(id, _)| id));
        ids.filter_map(|id| self.held().map(|(_, held)| held).find(|held| held.id == id))
    }

    fn is_part(&self, id: RefundId) -> bool {
        let mut parts = self.refunds.iter().flat_map(|refund| &refund.payments);
        parts.any(|part| part.refund.is_some_and(|(part, _)| part == id))
    }

    fn payment_status(&self) -> &'static str {
        let touches = |refund: &RefundView| refund.face != NAME || self.is_part(refund.id);
        if self.held().any(|(_, refund)| touches(refund)) {
            let is_all = self.refunded() >= self.paid();
            return if is_all { "refunded" } else { "partially_refunded" };
        }
        let mut counted = self.counted().peekable();
        let is_captured = counted.peek().is_some() && counted.all(|payment| self.took(payment));
        if is_captured { "captured" } else { "awaiting" }
    }

    /// Is a payment captured, and not by this face for the payment alone?
    fn took(&self, payment: &PaymentView) -> bool {
        let taken = |operation: &&requite_engine::read::OperationView| {
            operation.kind == OperationKind::Capture && operation.fault.is_none()
        };
        let mut captures = payment.operations.iter().filter(taken);
        let is_ours = |face: Option<&str>| face == Some(NAME);
        !payment.primary().captures.is_empty()
            && captures.all(|capture| {
                !is_ours(capture.face.as_deref())
                    || capture.external_identifier.as_deref() == Some(self.id.as_str())
            })
    }
}

fn null(_: &Order) -> Box<RawValue> {
    raw(&())
}

fn none(_: &Order) -> Box<RawValue> {
    raw(&[(); 0])
}

fn zero(_: &Order) -> Box<RawValue> {
    raw(&0)
}

fn currency(order: &Order) -> String {
    payment::currency(order.first())
}

/// The columns of the original's table come first.
const COLUMNS: usize = 23;

const FIELDS: [Field<Order>; 35] = [
    field("object", |_| raw("order")),
    field("id", |o| raw(&o.id)),
    field("created_at", |o| {
        let first = o.payments.iter().map(|payment| payment.created_at_ms).min();
        raw(&first.map(millis_text))
    }),
    field("updated_at", |o| {
        let last = o.payments.iter().map(|payment| payment.updated_at_ms).max();
        raw(&last.map(millis_text))
    }),
    field("status", |_| raw("pending")),
    field("fulfillment_status", |_| raw("not_fulfilled")),
    field("payment_status", |o| raw(o.payment_status())),
    field("display_id", null),
    field("cart_id", null),
    field("customer_id", |o| raw(&o.first().customer)),
    field("email", null),
    field("billing_address_id", null),
    field("shipping_address_id", null),
    field("region_id", null),
    field("currency_code", |o| raw(&currency(o))),
    field("tax_rate", null),
    field("draft_order_id", null),
    field("canceled_at", null),
    field("metadata", null),
    field("no_notification", null),
    field("idempotency_key", null),
    field("external_id", null),
    field("sales_channel_id", null),
    // Of what was bought nothing is known but its price.
    field("subtotal", |o| raw(&o.paid())),
    field("discount_total", zero),
    field("shipping_total", zero),
    field("item_tax_total", zero),
    field("shipping_tax_total", zero),
    field("tax_total", zero),
    field("gift_card_total", zero),
    field("gift_card_tax_total", zero),
    field("total", |o| raw(&o.paid())),
    field("paid_total", |o| raw(&o.paid())),
    field("refunded_total", |o| raw(&o.refunded())),
    field("refundable_amount", |o| raw(&o.paid().saturating_sub(o.refunded()))),
];

/// Shown together, whichever of them or of [`SUMS`] is asked for.
const TOTALS: [&str; 9] = [
    "subtotal",
    "discount_total",
    "shipping_total",
    "item_tax_total",
    "shipping_tax_total",
    "tax_total",
    "gift_card_total",
    "gift_card_tax_total",
    "total",
];

const SUMS: [&str; 3] = ["paid_total", "refunded_total", "refundable_amount"];

/// What the original reads to work out totals, and then shows.
const WORKED_OUT: [&str; 8] = [
    "claims",
    "discounts",
    "gift_card_transactions",
    "gift_cards",
    "items",
    "region",
    "shipping_methods",
    "swaps",
];

const RELATIONS: [Field<Order>; 19] = [
    field("payments", |o| {
        let rows: Vec<Members> = o.payments.iter().map(payment::row).collect();
        raw(&rows)
    }),
    field("refunds", |o| raw(&o.rows())),
    field("billing_address", null),
    field("claims", none),
    field("customer", null),
    field("discounts", none),
    field("edits", none),
    field("fulfillments", none),
    field("gift_card_transactions", none),
    field("gift_cards", none),
    field("items", none),
    field("region", null),
    field("returns", none),
    field("sales_channel", null),
    field("shipping_address", null),
    field("shipping_methods", none),
    field("swaps", none),
    further("cart", null),
    further("currency", |o| raw(&Members(vec![("code", raw(&currency(o)))]))),
];

const SHAPE: Shape<Order> = Shape { fields: &FIELDS, relations: &RELATIONS };
