//! Payments from their lines: head, legs and captures.

use std::collections::{BTreeMap, HashMap};

use requite_core::id::{CaptureId, LegId, MerchantId, PaymentId, RefundId};
use requite_core::money::Minor;
use requite_core::payment::{Balance, Capture, Leg, LegKind, Payment, Sums};
use tokio_postgres::Row;

use super::{Of, Place, Places, of};
use crate::store::Book;
use crate::store::postgres::link::Trouble;
use crate::store::postgres::rows::{Read, corrupt};

/// All lines of the payments, in order. Of rows that another transaction held, what it left is read; lines that
/// it added are not seen, and missed by their number ([`Lines::check`]).
pub(super) const LOCK_BOOKS: &str = "-- lock_books
        select b.merchant_id, b.payment_id, b.line::bigint, b.lines::bigint, b.seq, b.hash, b.calls,
            b.updated_at_ms, b.newest_refund, b.currency, b.exponent::bigint, b.is_closed::bigint,
            b.connector, b.connector_payment, b.connector_settings, b.external_identifier,
            b.order_ref, b.fingerprint, b.leg_id, b.amount_minor, b.released_minor, b.capture_id,
            b.capture_seq, b.capture_leg::bigint, b.captured_minor, b.voided_minor,
            b.refunded_minor, b.reserved_minor, b.disputed_minor, b.excess_minor
        from unnest($1, $2) as w (merchant_id, payment_id)
        join book b on b.merchant_id = w.merchant_id and b.payment_id = w.payment_id
        order by b.merchant_id, b.payment_id, b.line for update of b";

pub(super) fn books(rows: &[Row]) -> Result<(HashMap<Of, Book>, Places), Trouble> {
    let (mut books, mut places) = (HashMap::new(), HashMap::new());
    let mut rest = rows;
    while let Some(first) = rest.first() {
        let whose = of(first)?;
        let same = rest.iter().take_while(|row| of(row).is_ok_and(|other| other == whose));
        let (own, others) = rest.split_at(same.count());
        rest = others;
        let lines = Lines::of(own)?;
        places.insert(whose, lines.check(own.len())?);
        books.insert(whose, lines.book(whose)?);
    }
    Ok((books, places))
}

/// The lines of one payment, sorted out.
struct Lines<'r> {
    head: &'r Row,
    /// By their numbers.
    legs: BTreeMap<i64, (LegId, Minor, Minor)>,
    /// By the numbers of their legs, and of the events that made them.
    captures: BTreeMap<(i64, i64), Capture>,
}

impl Lines<'_> {
    fn of(rows: &[Row]) -> Result<Lines<'_>, Trouble> {
        let mut head = None;
        let (mut legs, mut captures) = (BTreeMap::new(), BTreeMap::new());
        for row in rows {
            let line = row.integer(2)?;
            if line <= 0 {
                let leg = (LegId::new(row.id(18)?), row.minor(19)?, row.minor(20)?);
                legs.insert(line.saturating_neg(), leg);
            }
            if line == 0 {
                head = Some(row);
            }
            if let Some(capture) = capture(row)? {
                captures.insert((row.integer(23)?, row.integer(22)?), capture);
            }
        }
        let head = head.ok_or_else(|| corrupt("lines of a payment without its head"))?;
        Ok(Lines { head, legs, captures })
    }

    /// While this transaction waited for the payment another may have added lines: then it is read again.
    fn check(&self, found: usize) -> Result<Place, Trouble> {
        let lines = self.head.count(3)?;
        if usize::try_from(lines) != Ok(found) {
            let text = format!("lock_books: {found} of {lines} lines of a payment were seen");
            return Err(Trouble::Conflict { text, is_taken: false });
        }
        let capture = self.head.maybe_id(21)?.map(CaptureId::new);
        Ok(Place { seq: self.head.count(4)?, lines, capture })
    }

    fn legs(&self) -> Result<Vec<Leg>, Trouble> {
        let legs = self.legs.iter().map(|(&number, &(id, amount, released))| {
            let kind = if number == 0 { LegKind::PaymentMethod } else { LegKind::GiftCard };
            let own = self.captures.range((number, i64::MIN)..=(number, i64::MAX));
            let own = own.map(|(_, capture)| capture.clone()).collect();
            let leg = Leg::new(id, kind, amount, released, own);
            leg.ok_or_else(|| corrupt("a leg that took more than it was authorised for"))
        });
        legs.collect()
    }

    fn book(&self, (_, payment): (MerchantId, PaymentId)) -> Result<Book, Trouble> {
        let head = self.head;
        let payment = Payment::new(payment, head.currency(9, 10)?, head.flag(11)?, self.legs()?);
        Ok(Book {
            payment: payment.ok_or_else(|| corrupt("a payment with impossible legs"))?,
            seq: head.count(4)?,
            hash: head.bytes(5)?,
            calls: head.count(6)?,
            updated_at_ms: head.integer(7)?,
            newest_refund: head.maybe_id(8)?.map(RefundId::new),
            connector: head.text(12)?,
            connector_payment: head.maybe_text(13)?,
            connector_settings: head.maybe_text(14)?,
            external_identifier: head.maybe_text(15)?,
            order: head.maybe_text(16)?,
            registration_fingerprint: head.bytes(17)?,
        })
    }
}

/// The capture that a line tells of, if it does.
fn capture(row: &Row) -> Result<Option<Capture>, Trouble> {
    let Some(id) = row.maybe_id(21)? else {
        return Ok(None);
    };
    let balance = Balance::new(Sums {
        captured: row.minor(24)?,
        voided: row.minor(25)?,
        refunded: row.minor(26)?,
        reserved: row.minor(27)?,
        disputed: row.minor(28)?,
        excess: row.minor(29)?,
    });
    let balance = balance.ok_or_else(|| corrupt("an overdrawn capture"))?;
    Ok(Some(Capture { id: CaptureId::new(id), balance }))
}
