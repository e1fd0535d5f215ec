//! A payment's books and its refunds, as the lane and the audit see them; and values that are more than
//! a column's.

use requite_core::currency::Currency;
use requite_core::id::{CaptureId, LegId, MerchantId, PaymentId, RefundId};
use requite_core::journal::{Account, Entry};
use requite_core::money::Minor;
use requite_core::payment::{Balance, Capture, Leg, LegKind, Payment, Sums};
use requite_core::refund::{Allocation, Fault, Refund, Status};

use super::{Cell, Result, Row, Sql, blob, corrupt, id, params};
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

pub(in crate::store) fn book(
    connection: Sql<'_>,
    merchant: MerchantId,
    payment: PaymentId,
) -> Result<Option<Book>> {
    let sql = "-- book
        select p.currency, p.exponent,
            p.cancelled_at_ms is not null or p.fault_code is not null, p.connector,
            p.connector_payment, p.connector_settings, p.fingerprint, h.seq, h.hash, h.calls,
            h.updated_at_ms, h.newest_refund,
            case when a.seq is null then p.external_identifier else a.external_identifier end,
            p.order_ref
        from payment p join payment_head h using (merchant_id, payment_id)
        left join amendment a on a.merchant_id = p.merchant_id and a.payment_id = p.payment_id
            and a.seq = (select max(b.seq) from amendment b where b.merchant_id = p.merchant_id
                and b.payment_id = p.payment_id and b.renames = 1)
        where p.merchant_id = ?1 and p.payment_id = ?2";
    let key = params![blob(merchant.bits()), blob(payment.bits())];
    let legs = legs(connection, merchant, payment)?;
    connection.find(sql, key, |row| {
        let built = Payment::new(payment, currency(row, 0, 1)?, row.get(2)?, legs);
        Ok(Book {
            payment: built.ok_or_else(|| corrupt("a payment with impossible legs"))?,
            seq: row.get(7)?,
            hash: row.get(8)?,
            calls: row.get(9)?,
            updated_at_ms: row.get(10)?,
            newest_refund: newest_refund(row, 11)?,
            connector: row.get(3)?,
            connector_payment: row.get(4)?,
            connector_settings: row.get(5)?,
            external_identifier: row.get(12)?,
            order: row.get(13)?,
            registration_fingerprint: row.get(6)?,
        })
    })
}

fn newest_refund(row: &Row<'_>, column: usize) -> Result<Option<RefundId>> {
    let found: Option<[u8; 16]> = row.get(column)?;
    Ok(found.map(|bytes| RefundId::new(u128::from_be_bytes(bytes))))
}

fn legs(connection: Sql<'_>, merchant: MerchantId, payment: PaymentId) -> Result<Vec<Leg>> {
    let captures = captures(connection, merchant, payment)?;
    let sql = "-- legs
        select leg_no, leg_id, amount_minor, released_minor from leg
        where merchant_id = ?1 and payment_id = ?2 order by leg_no";
    let key = params![blob(merchant.bits()), blob(payment.bits())];
    connection.query(sql, key, |row| {
        let number: i64 = row.get(0)?;
        let kind = if number == 0 { LegKind::PaymentMethod } else { LegKind::GiftCard };
        let own = captures.iter().filter(|(leg, _)| *leg == number);
        let own = own.map(|(_, capture)| capture.clone()).collect();
        let leg = Leg::new(LegId::new(id(row, 1)?), kind, minor(row, 2)?, minor(row, 3)?, own);
        leg.ok_or_else(|| corrupt("a leg that took more than it was authorised for"))
    })
}

fn captures(
    connection: Sql<'_>,
    merchant: MerchantId,
    payment: PaymentId,
) -> Result<Vec<(i64, Capture)>> {
    let sql = "-- captures
        select leg_no, capture_id, captured_minor, voided_minor, refunded_minor, reserved_minor,
            disputed_minor, excess_minor
        from capture where merchant_id = ?1 and payment_id = ?2 order by seq";
    let key = params![blob(merchant.bits()), blob(payment.bits())];
    connection.query(sql, key, |row| {
        let balance = Balance::new(Sums {
            captured: minor(row, 2)?,
            voided: minor(row, 3)?,
            refunded: minor(row, 4)?,
            reserved: minor(row, 5)?,
            disputed: minor(row, 6)?,
            excess: minor(row, 7)?,
        });
        let balance = balance.ok_or_else(|| corrupt("an overdrawn capture"))?;
        Ok((row.get(0)?, Capture { id: CaptureId::new(id(row, 1)?), balance }))
    })
}

pub(in crate::store) fn refund(
    connection: Sql<'_>,
    key: RefundRef,
) -> Result<Option<RefundRecord>> {
    let sql = "-- refund
        select payment_id, leg_id, amount_minor, status, attempt, sends, looks,
            next_action_at_ms, psp_refund, fault_code, fault_text, call_no, reason_text,
            reason_code, key_text is not null, asked_at_ms, face, heard_at_ms
        from refund where merchant_id = ?1 and refund_id = ?2";
    let allocations = allocations(connection, key)?;
    let of = params![blob(key.merchant.bits()), blob(key.refund.bits())];
    connection.find(sql, of, |row| {
        let refund = Refund {
            id: key.refund,
            payment: PaymentId::new(id(row, 0)?),
            leg: LegId::new(id(row, 1)?),
            amount: minor(row, 2)?,
            allocations,
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
        let reason = reason.or(code);
        Ok(RefundRecord {
            refund,
            call_no: row.get(11)?,
            reason,
            is_keyed: row.get(14)?,
            asked_at_ms: row.get(15)?,
            is_external: matches!(row.cell(16)?, Cell::Text(EXTERNAL)),
            heard_at_ms: row.get(17)?,
        })
    })
}

fn allocations(connection: Sql<'_>, key: RefundRef) -> Result<Vec<Allocation>> {
    let sql = "-- allocations
        select capture_id, amount_minor from allocation
        where merchant_id = ?1 and refund_id = ?2 order by ordinal";
    let of = params![blob(key.merchant.bits()), blob(key.refund.bits())];
    connection.query(sql, of, |row| {
        Ok(Allocation { capture: CaptureId::new(id(row, 0)?), amount: minor(row, 1)? })
    })
}
