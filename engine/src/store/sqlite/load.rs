//! What a batch wants to see.

use requite_core::currency::Currency;
use requite_core::id::{CaptureId, LegId, MerchantId, PaymentId, ReasonId, RefundId};
use requite_core::money::Minor;
use requite_core::payment::{Balance, Capture, Leg, LegKind, Payment, Sums};
use requite_core::refund::{Allocation, Fault, Refund, Status};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{blob, corrupt, id};
use crate::command::{EXTERNAL, RefundRef};
use crate::key::{KeyOutcome, KeyRecord, refused_of};
use crate::store::{Book, Loaded, NAMELESS_MAX, RefundRecord, Wanted};

pub(super) fn load(connection: &Connection, wanted: &Wanted) -> rusqlite::Result<Loaded> {
    let mut loaded = Loaded::default();
    let mut payments = wanted.payments.clone();
    let mut refunds = wanted.refunds.clone();
    for (merchant, text) in &wanted.external_identifiers {
        if let Some(payment) = payment_by_external(connection, *merchant, text)? {
            payments.insert((*merchant, payment));
            loaded.external_identifiers.insert((*merchant, text.clone()), payment);
        }
    }
    for &(merchant, hash) in &wanted.keys {
        if let Some(record) = key(connection, merchant, &hash)? {
            if let KeyOutcome::Refund { refund, .. } = &record.outcome {
                refunds.insert(*refund);
            }
            loaded.keys.insert((merchant, hash), record);
        }
    }
    for (merchant, payment, told) in &wanted.psp_refunds {
        refunds.extend(by_psp_refund(connection, (*merchant, *payment), told)?);
    }
    for (merchant, payment, told) in &wanted.externals {
        refunds.extend(externals(connection, (*merchant, *payment), told)?);
    }
    for &of in &wanted.nameless {
        refunds.extend(nameless(connection, of)?);
    }
    for (merchant, payment) in payments {
        if let Some(book) = book(connection, merchant, payment)? {
            loaded.books.insert((merchant, payment), book);
        }
    }
    for key in refunds {
        if let Some(record) = refund(connection, key)? {
            loaded.refunds.insert(key, record);
        }
    }
    for &(merchant, reason) in &wanted.reasons {
        if has_reason(connection, merchant, reason)? {
            loaded.reasons.insert((merchant, reason));
        }
    }
    for &(merchant, day) in &wanted.counters {
        if let Some(last) = counter(connection, merchant, day)? {
            loaded.counters.insert((merchant, day), last);
        }
    }
    Ok(loaded)
}

pub(super) fn minor(row: &Row<'_>, column: usize) -> rusqlite::Result<Minor> {
    Minor::new(row.get(column)?).ok_or_else(|| corrupt("an amount out of range"))
}

pub(super) fn currency(row: &Row<'_>, code: usize, exponent: usize) -> rusqlite::Result<Currency> {
    let text = row.get_ref(code)?.as_str()?;
    Currency::stored(text, row.get(exponent)?).ok_or_else(|| corrupt("an unknown currency"))
}

pub(super) fn status(row: &Row<'_>, column: usize) -> rusqlite::Result<Status> {
    Status::from_number(row.get(column)?).ok_or_else(|| corrupt("an unknown status"))
}

pub(super) fn fault_of(row: &Row<'_>, code: usize, text: usize) -> rusqlite::Result<Option<Fault>> {
    let code: Option<String> = row.get(code)?;
    let text: Option<String> = row.get(text)?;
    Ok(code.map(|code| Fault { code, text: text.unwrap_or_default() }))
}

fn payment_by_external(
    connection: &Connection,
    merchant: MerchantId,
    text: &str,
) -> rusqlite::Result<Option<PaymentId>> {
    let sql = "-- payment_by_external
        select payment_id from payment where merchant_id = ?1 and external_identifier = ?2
        union all
        select payment_id from renamed where merchant_id = ?1 and external_identifier = ?2
        limit 1";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_row(params![blob(merchant.bits()), text], |row| id(row, 0));
    Ok(found.optional()?.map(PaymentId::new))
}

fn key(
    connection: &Connection,
    merchant: MerchantId,
    hash: &[u8; 16],
) -> rusqlite::Result<Option<KeyRecord>> {
    let sql = "-- key
        select fingerprint, at_ms, payment_id, refund_id, answered_seq, answered_status, refusal,
            was_present
        from idempotency where merchant_id = ?1 and key_hash = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_row(params![blob(merchant.bits()), hash], |row| {
        let outcome = match row.get::<_, Option<String>>(6)? {
            Some(text) => refused_of(&text).ok_or_else(|| corrupt("an unknown refusal"))?,
            None => made(merchant, row)?,
        };
        Ok(KeyRecord { fingerprint: row.get(0)?, at_ms: row.get(1)?, outcome })
    });
    found.optional()
}

fn made(merchant: MerchantId, row: &Row<'_>) -> rusqlite::Result<KeyOutcome> {
    let payment = PaymentId::new(id(row, 2)?);
    let answered_seq: Option<u32> = row.get(4)?;
    let Some(refund) = row.get::<_, Option<[u8; 16]>>(3)? else {
        let seq = answered_seq.ok_or_else(|| corrupt("a key that stands for nothing"))?;
        let was_present: bool = row.get(7)?;
        return Ok(match was_present {
            true => KeyOutcome::Present { payment, seq },
            false => KeyOutcome::Booked { payment, seq },
        });
    };
    let refund =
        RefundRef { merchant, payment, refund: RefundId::new(u128::from_be_bytes(refund)) };
    let answered = match answered_seq {
        Some(seq) => Some((seq, status(row, 5)?)),
        None => None,
    };
    Ok(KeyOutcome::Refund { refund, answered })
}

pub(super) fn book(
    connection: &Connection,
    merchant: MerchantId,
    payment: PaymentId,
) -> rusqlite::Result<Option<Book>> {
    let sql = "-- book
        select p.currency, p.exponent,
            p.cancelled_at_ms is not null or p.fault_code is not null, p.connector,
            p.connector_payment, p.connector_settings, p.fingerprint, h.seq, h.hash, h.calls
        from payment p join payment_head h using (merchant_id, payment_id)
        where p.merchant_id = ?1 and p.payment_id = ?2";
    let key = params![blob(merchant.bits()), blob(payment.bits())];
    let legs = legs(connection, merchant, payment)?;
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_row(key, |row| {
        let built = Payment::new(payment, currency(row, 0, 1)?, row.get(2)?, legs);
        Ok(Book {
            payment: built.ok_or_else(|| corrupt("a payment with impossible legs"))?,
            seq: row.get(7)?,
            hash: row.get(8)?,
            calls: row.get(9)?,
            connector: row.get(3)?,
            connector_payment: row.get(4)?,
            connector_settings: row.get(5)?,
            registration_fingerprint: row.get(6)?,
        })
    });
    found.optional()
}

fn legs(
    connection: &Connection,
    merchant: MerchantId,
    payment: PaymentId,
) -> rusqlite::Result<Vec<Leg>> {
    let captures = captures(connection, merchant, payment)?;
    let sql = "-- legs
        select leg_no, leg_id, amount_minor, released_minor from leg
        where merchant_id = ?1 and payment_id = ?2 order by leg_no";
    let mut statement = connection.prepare_cached(sql)?;
    let key = params![blob(merchant.bits()), blob(payment.bits())];
    let rows = statement.query_map(key, |row| {
        let number: i64 = row.get(0)?;
        let kind = if number == 0 { LegKind::PaymentMethod } else { LegKind::GiftCard };
        let own = captures.iter().filter(|(leg, _)| *leg == number);
        let own = own.map(|(_, capture)| capture.clone()).collect();
        let leg = Leg::new(LegId::new(id(row, 1)?), kind, minor(row, 2)?, minor(row, 3)?, own);
        leg.ok_or_else(|| corrupt("a leg that took more than it was authorised for"))
    })?;
    rows.collect()
}

fn captures(
    connection: &Connection,
    merchant: MerchantId,
    payment: PaymentId,
) -> rusqlite::Result<Vec<(i64, Capture)>> {
    let sql = "-- captures
        select leg_no, capture_id, captured_minor, voided_minor, refunded_minor, reserved_minor,
            disputed_minor, excess_minor
        from capture where merchant_id = ?1 and payment_id = ?2 order by seq";
    let mut statement = connection.prepare_cached(sql)?;
    let key = params![blob(merchant.bits()), blob(payment.bits())];
    let rows = statement.query_map(key, |row| {
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
    })?;
    rows.collect()
}

pub(super) fn refund(
    connection: &Connection,
    key: RefundRef,
) -> rusqlite::Result<Option<RefundRecord>> {
    let sql = "-- refund
        select payment_id, leg_id, amount_minor, status, attempt, sends, looks,
            next_action_at_ms, psp_refund, fault_code, fault_text, call_no, reason_text,
            reason_code, key_text is not null, asked_at_ms, face, heard_at_ms
        from refund where merchant_id = ?1 and refund_id = ?2";
    let allocations = allocations(connection, key)?;
    let mut statement = connection.prepare_cached(sql)?;
    let of = params![blob(key.merchant.bits()), blob(key.refund.bits())];
    let found = statement.query_row(of, |row| {
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
            is_external: row.get_ref(16)?.as_str()? == EXTERNAL,
            heard_at_ms: row.get(17)?,
        })
    });
    found.optional()
}

type Of = (MerchantId, PaymentId);

fn by_psp_refund(connection: &Connection, of: Of, told: &str) -> rusqlite::Result<Vec<RefundRef>> {
    let sql = "-- refunds_by_psp_refund
        select refund_id from refund
        where merchant_id = ?1 and payment_id = ?2 and psp_refund = ?3";
    refs(connection, sql, of, params![blob(of.0.bits()), blob(of.1.bits()), told])
}

fn externals(connection: &Connection, of: Of, told: &str) -> rusqlite::Result<Vec<RefundRef>> {
    let sql = "-- external_refunds
        select refund_id from refund
        where merchant_id = ?1 and payment_id = ?2 and psp_refund = ?3 and face = 'external'";
    refs(connection, sql, of, params![blob(of.0.bits()), blob(of.1.bits()), told])
}

fn nameless(connection: &Connection, of: Of) -> rusqlite::Result<Vec<RefundRef>> {
    let sql = "-- nameless_refunds
        select refund_id from refund
        where merchant_id = ?1 and payment_id = ?2 and psp_refund is null
            and next_action_at_ms is not null
        order by refund_id limit ?3";
    refs(connection, sql, of, params![blob(of.0.bits()), blob(of.1.bits()), NAMELESS_MAX])
}

fn refs(
    connection: &Connection,
    sql: &str,
    (merchant, payment): Of,
    params: impl rusqlite::Params,
) -> rusqlite::Result<Vec<RefundRef>> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params, |row| {
        Ok(RefundRef { merchant, payment, refund: RefundId::new(id(row, 0)?) })
    })?;
    rows.collect()
}

fn allocations(connection: &Connection, key: RefundRef) -> rusqlite::Result<Vec<Allocation>> {
    let sql = "-- allocations
        select capture_id, amount_minor from allocation
        where merchant_id = ?1 and refund_id = ?2 order by ordinal";
    let mut statement = connection.prepare_cached(sql)?;
    let of = params![blob(key.merchant.bits()), blob(key.refund.bits())];
    let rows = statement.query_map(of, |row| {
        Ok(Allocation { capture: CaptureId::new(id(row, 0)?), amount: minor(row, 1)? })
    })?;
    rows.collect()
}

fn has_reason(
    connection: &Connection,
    merchant: MerchantId,
    reason: ReasonId,
) -> rusqlite::Result<bool> {
    let sql = "-- has_reason
        select 1 from refund_reason
        where merchant_id = ?1 and reason_id = ?2 and deleted_at_ms is null";
    let mut statement = connection.prepare_cached(sql)?;
    statement.exists(params![blob(merchant.bits()), blob(reason.bits())])
}

fn counter(
    connection: &Connection,
    merchant: MerchantId,
    day: i64,
) -> rusqlite::Result<Option<u32>> {
    let sql = "-- counter
        select last_no from reference_counter where merchant_id = ?1 and day = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    statement.query_row(params![blob(merchant.bits()), day], |row| row.get(0)).optional()
}
