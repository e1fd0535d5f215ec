//! A payment's books and its refunds, as the lane and the audit see them; and values that are more than
//! a column's.

use std::collections::HashMap;

use requite_core::currency::Currency;
use requite_core::id::{CaptureId, LegId, MerchantId, PaymentId, RefundId};
use requite_core::journal::{Account, Entry};
use requite_core::money::Minor;
use requite_core::payment::{Balance, Capture, Leg, LegKind, Payment, Sums};
use requite_core::refund::{Allocation, Fault, Refund, Status};

use super::{Cell, Result, Row, Sql, Statement, blob, corrupt, id, maybe_id, params};
use crate::command::{EXTERNAL, RefundRef};
use crate::event::{Event, Kind};
use crate::store::{Book, RefundRecord};

pub(in crate::store) fn minor(row: &Row<'_>, column: usize) -> Result<Minor> {
    Minor::new(row.get(column)?).ok_or_else(|| corrupt("an amount out of range"))
}

pub(in crate::store) fn currency(row: &Row<'_>, code: usize, exponent: usize) -> Result<Currency> {
    let known = match row.cell(code)? {
        Cell::Text(text) => Currency::stored(text, row.get(exponent)?),
        _ => None,
    };
    known.ok_or_else(|| corrupt("an unknown currency"))
}

pub(in crate::store) fn status(row: &Row<'_>, column: usize) -> Result<Status> {
    Status::from_number(row.get(column)?).ok_or_else(|| corrupt("an unknown status"))
}

pub(in crate::store) fn fault_of(row: &Row<'_>, code: usize, text: usize) -> Result<Option<Fault>> {
    let code: Option<String> = row.get(code)?;
    let text: Option<String> = row.get(text)?;
    Ok(code.map(|code| Fault { code, text: text.unwrap_or_default() }))
}

/// An event from a row that begins with `seq, kind, subject, amount_minor, status, psp_refund, fault_code,
/// fault_text, actor, at_ms, hash`.
pub(in crate::store) fn event(
    row: &Row<'_>,
    merchant: MerchantId,
    payment: PaymentId,
) -> Result<Event> {
    Ok(Event {
        merchant,
        payment,
        seq: row.get(0)?,
        kind: kind(row, 1)?,
        subject: id(row, 2)?,
        amount: minor(row, 3)?,
        status: row.get::<Option<u8>>(4)?.and_then(Status::from_number),
        psp_refund: row.get(5)?,
        fault: fault_of(row, 6, 7)?,
        actor: row.get(8)?,
        at_ms: row.get(9)?,
        hash: row.get(10)?,
    })
}

pub(in crate::store) fn kind(row: &Row<'_>, column: usize) -> Result<Kind> {
    Kind::from_number(row.get(column)?).ok_or_else(|| corrupt("an event of unknown kind"))
}

/// A journal entry from a row that begins with `seq, line, capture_id, debit, credit, amount_minor`.
pub(in crate::store) fn entry(row: &Row<'_>) -> Result<Entry> {
    let capture = CaptureId::new(id(row, 2)?);
    let (debit, credit) = (account(row, 3)?, account(row, 4)?);
    Ok(Entry { capture, debit, credit, amount: minor(row, 5)? })
}

pub(in crate::store) fn account(row: &Row<'_>, column: usize) -> Result<Account> {
    Account::from_number(row.get(column)?).ok_or_else(|| corrupt("an unknown account"))
}

/// How a payment lies in its lines, which who changes it has to know.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Place {
    /// The number of its newest event.
    pub seq: u32,
    pub lines: u32,
    /// The capture that lies beside the head: its first.
    pub capture: Option<CaptureId>,
}

pub(in crate::store) type Places = HashMap<(MerchantId, PaymentId), Place>;

impl Place {
    /// How many lines there are with so many new captures. One of them comes to lie beside the head, unless one is
    /// there already.
    pub(in crate::store) fn lines_with(&self, captures: usize) -> u32 {
        let added = captures.saturating_sub(usize::from(self.capture.is_none()));
        self.lines.saturating_add(u32::try_from(added).unwrap_or(u32::MAX))
    }
}

/// How many lines a new payment has: one for each leg, and for each capture but its first.
pub(in crate::store) fn lines_of_new(book: &Book, captures: usize) -> u32 {
    let legs = u32::try_from(book.payment.legs().len()).unwrap_or(u32::MAX);
    Place { seq: 0, lines: legs, capture: None }.lines_with(captures)
}

/// The number of a leg among the payment's; 0 is the payment method.
pub(in crate::store) fn leg_number(book: &Book, leg: LegId) -> Result<i64> {
    let at = book.payment.legs().iter().zip(0_i64..).find(|(known, _)| known.id() == leg);
    at.map(|(_, number)| number).ok_or_else(|| corrupt("a change of a leg that is not there"))
}

/// What became of a capture.
pub(in crate::store) fn sums(book: &Book, id: CaptureId) -> Result<Sums> {
    let found = book.payment.capture(id);
    let found = found.ok_or_else(|| corrupt("a change of a capture that is not there"))?;
    Ok(found.balance.sums())
}

/// Finds payments' books.
pub(in crate::store) struct Books<'c>(Statement<'c, 'static>);

impl<'c> Books<'c> {
    /// What [`Lines`] reads, in this order.
    pub(in crate::store) fn on(connection: Sql<'c>) -> Books<'c> {
        Books(connection.statement(
            "-- book
            select cast(line as bigint), cast(lines as bigint), seq, hash, calls, updated_at_ms,
                newest_refund, currency, cast(exponent as bigint), cast(is_closed as bigint),
                connector, connector_payment, connector_settings, external_identifier, order_ref,
                fingerprint, leg_id, amount_minor, released_minor, capture_id,
                cast(capture_leg as bigint), captured_minor, voided_minor, refunded_minor,
                reserved_minor, disputed_minor, excess_minor
            from book where merchant_id = ?1 and payment_id = ?2 order by line",
        ))
    }

    pub(in crate::store) fn find(
        &mut self,
        merchant: MerchantId,
        payment: PaymentId,
    ) -> Result<Option<(Book, Place)>> {
        let mut lines = Lines::default();
        let key = params![blob(merchant.bits()), blob(payment.bits())];
        self.0.each(key, |row| lines.add(row))?;
        match lines.place() {
            Some(place) => Ok(Some((lines.book(payment)?, place))),
            None => Ok(None),
        }
    }
}

/// The lines of one payment, in their order.
#[derive(Default)]
pub(in crate::store) struct Lines {
    head: Option<Head>,
    /// By their numbers, the last first.
    legs: Vec<(i64, (LegId, Minor, Minor))>,
    /// With the numbers of their legs.
    captures: Vec<(i64, Capture)>,
}

impl Lines {
    pub(in crate::store) fn add(&mut self, row: &Row<'_>) -> Result<()> {
        let line: i64 = row.get(0)?;
        if line <= 0 {
            self.legs.push((line.saturating_neg(), leg(row)?));
        }
        if line == 0 {
            self.head = Some(Head::of(row)?);
        }
        self.captures.extend(capture(row)?);
        Ok(())
    }

    /// `None` without a head.
    pub(in crate::store) fn place(&self) -> Option<Place> {
        self.head.as_ref().map(|head| head.place)
    }

    pub(in crate::store) fn book(self, payment: PaymentId) -> Result<Book> {
        let Lines { head, legs, captures } = self;
        let head = head.ok_or_else(|| corrupt("lines of a payment without its head"))?;
        let legs = legs.into_iter().rev().map(|(number, (id, amount, released))| {
            let kind = if number == 0 { LegKind::PaymentMethod } else { LegKind::GiftCard };
            let own = captures.iter().filter(|(leg, _)| *leg == number);
            let own = own.map(|(_, capture)| capture.clone()).collect();
            let leg = Leg::new(id, kind, amount, released, own);
            leg.ok_or_else(|| corrupt("a leg that took more than it was authorised for"))
        });
        head.book(payment, legs.collect::<Result<_>>()?)
    }
}

/// What line 0 says of the payment itself.
struct Head {
    place: Place,
    hash: [u8; 32],
    calls: u32,
    updated_at_ms: i64,
    newest_refund: Option<RefundId>,
    currency: Currency,
    is_closed: bool,
    connector: String,
    connector_payment: Option<String>,
    connector_settings: Option<String>,
    external_identifier: Option<String>,
    order: Option<String>,
    fingerprint: [u8; 16],
}

impl Head {
    fn of(row: &Row<'_>) -> Result<Head> {
        // On SQLite zeros hold its place.
        let newest = maybe_id(row, 6)?.filter(|&bits| bits != 0);
        let capture = maybe_id(row, 19)?.map(CaptureId::new);
        Ok(Head {
            place: Place { seq: row.get(2)?, lines: row.get(1)?, capture },
            hash: row.get(3)?,
            calls: row.get(4)?,
            updated_at_ms: row.get(5)?,
            newest_refund: newest.map(RefundId::new),
            currency: currency(row, 7, 8)?,
            is_closed: row.get(9)?,
            connector: row.get(10)?,
            connector_payment: row.get(11)?,
            connector_settings: row.get(12)?,
            external_identifier: row.get(13)?,
            order: row.get(14)?,
            fingerprint: row.get(15)?,
        })
    }

    fn book(self, payment: PaymentId, legs: Vec<Leg>) -> Result<Book> {
        let payment = Payment::new(payment, self.currency, self.is_closed, legs);
        Ok(Book {
            payment: payment.ok_or_else(|| corrupt("a payment with impossible legs"))?,
            seq: self.place.seq,
            hash: self.hash,
            calls: self.calls,
            updated_at_ms: self.updated_at_ms,
            newest_refund: self.newest_refund,
            connector: self.connector,
            connector_payment: self.connector_payment,
            connector_settings: self.connector_settings,
            external_identifier: self.external_identifier,
            order: self.order,
            registration_fingerprint: self.fingerprint,
        })
    }
}

/// The leg of a line: its id, what it was authorised for, and what of that was let go.
fn leg(row: &Row<'_>) -> Result<(LegId, Minor, Minor)> {
    Ok((LegId::new(id(row, 16)?), minor(row, 17)?, minor(row, 18)?))
}

/// The capture of a line, if there is one, and the number of its leg.
fn capture(row: &Row<'_>) -> Result<Option<(i64, Capture)>> {
    let Some(id) = maybe_id(row, 19)?.map(CaptureId::new) else {
        return Ok(None);
    };
    let balance = Balance::new(Sums {
        captured: minor(row, 21)?,
        voided: minor(row, 22)?,
        refunded: minor(row, 23)?,
        reserved: minor(row, 24)?,
        disputed: minor(row, 25)?,
        excess: minor(row, 26)?,
    });
    let balance = balance.ok_or_else(|| corrupt("an overdrawn capture"))?;
    let capture = Capture { id, balance };
    Ok(Some((row.get(20)?, capture)))
}

/// Finds refunds' records.
pub(in crate::store) struct Refunds<'c> {
    records: Statement<'c, 'static>,
    /// Parts beyond the first, which lies with the refund.
    others: Statement<'c, 'static>,
}

impl<'c> Refunds<'c> {
    pub(in crate::store) fn on(connection: Sql<'c>) -> Refunds<'c> {
        let records = "-- refund
            select payment_id, leg_id, amount_minor, status, attempt, sends, looks,
                next_action_at_ms, psp_refund, fault_code, fault_text, call_no, reason_text,
                reason_code, key_text is not null, asked_at_ms, face, heard_at_ms, capture_id,
                capture_minor
            from refund where merchant_id = ?1 and refund_id = ?2";
        let others = "-- allocations
            select capture_id, amount_minor from allocation
            where merchant_id = ?1 and refund_id = ?2 order by ordinal";
        let statement = |sql| connection.statement(sql);
        Refunds { records: statement(records), others: statement(others) }
    }

    pub(in crate::store) fn find(&mut self, key: RefundRef) -> Result<Option<RefundRecord>> {
        let of = params![blob(key.merchant.bits()), blob(key.refund.bits())];
        let others = self.others.query(of, |row| {
            Ok(Allocation { capture: CaptureId::new(id(row, 0)?), amount: minor(row, 1)? })
        })?;
        self.records.find(of, |row| record(row, key, others))
    }
}

/// What a refund takes from the first of its captures: two columns of its row.
pub(in crate::store) fn first_part(row: &Row<'_>, column: usize) -> Result<Option<Allocation>> {
    let Some(capture) = maybe_id(row, column)?.map(CaptureId::new) else {
        return Ok(None);
    };
    Ok(Some(Allocation { capture, amount: minor(row, column.saturating_add(1))? }))
}

/// What a row of `refund` says.
fn record(row: &Row<'_>, key: RefundRef, others: Vec<Allocation>) -> Result<RefundRecord> {
    let first = first_part(row, 18)?;
    let refund = Refund {
        id: key.refund,
        payment: PaymentId::new(id(row, 0)?),
        leg: LegId::new(id(row, 1)?),
        amount: minor(row, 2)?,
        allocations: first.into_iter().chain(others).collect(),
        status: status(row, 3)?,
        attempt: row.get(4)?,
        sends: row.get(5)?,
        looks: row.get(6)?,
        next_action_at_ms: row.get(7)?,
        psp_refund: row.get(8)?,
        fault: fault_of(row, 9, 10)?,
    };
    let reason: Option<String> = row.get(12)?;
    let code: Option<String> = row.get(13)?;
    Ok(RefundRecord {
        refund,
        call_no: row.get(11)?,
        reason: reason.or(code),
        is_keyed: row.get(14)?,
        asked_at_ms: row.get(15)?,
        is_external: matches!(row.cell(16)?, Cell::Text(EXTERNAL)),
        heard_at_ms: row.get(17)?,
    })
}
