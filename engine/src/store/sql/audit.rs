//! Reads whole stories for [`crate::audit`].

use std::collections::BTreeMap;

use requite_core::id::{MerchantId, PaymentId, RefundId};

use super::book;
use super::story::{ENTRIES, STORY, own};
use super::{Readers, Result, Row, Sql, SqlFault, blob, corrupt, id, params};
use crate::audit::{History, Report, Violation};
use crate::command::RefundRef;
use crate::event::Event;
use crate::read::ReadFault;
use crate::store::{JournalLine, RefundRecord};

/// Audits a store that may be in use. `progress` is told payments done and payments in all.
///
/// What cannot even be read (an overdrawn capture, an impossible leg) is a violation as well.
pub(in crate::store) fn audit(
    readers: &Readers,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Report, ReadFault> {
    let total = readers.snapshot(count_payments)?;
    let mut report = Report::default();
    let mut after = None;
    while let Some(((merchant, payment), history)) =
        readers.snapshot(|connection| next(connection, after))?
    {
        match history {
            Ok(history) => report.add(&history),
            Err(what) => report.violations.push(Violation {
                invariant: "I1",
                merchant,
                payment,
                what: format!("its rows cannot be read: {what}"),
            }),
        }
        progress(report.payments, total);
        after = Some((merchant, payment));
    }
    Ok(report)
}

type Key = (MerchantId, PaymentId);

/// The payment after this one, with its story, or what is wrong with its rows.
fn next(
    connection: Sql<'_>,
    after: Option<Key>,
) -> Result<Option<(Key, std::result::Result<History, String>)>> {
    let Some((merchant, payment)) = next_payment(connection, after)? else {
        return Ok(None);
    };
    let history = match history(connection, merchant, payment) {
        Ok(history) => Ok(history),
        Err(SqlFault::Corrupt(what)) => Err(what),
        Err(fault) => return Err(fault),
    };
    Ok(Some(((merchant, payment), history)))
}

fn count_payments(connection: Sql<'_>) -> Result<u64> {
    let sql = "-- count_payments
        select count(*) from payment";
    let count: Option<i64> = connection.find(sql, &[], |row| row.get(0))?;
    Ok(u64::try_from(count.unwrap_or_default()).unwrap_or_default())
}

fn next_payment(connection: Sql<'_>, after: Option<Key>) -> Result<Option<Key>> {
    let sql = "-- next_payment
        select merchant_id, payment_id from payment
        where (merchant_id, payment_id) > (?1, ?2)
        order by merchant_id, payment_id limit 1";
    let (merchant, payment) = match after {
        Some((merchant, payment)) => {
            (blob(merchant.bits()).to_vec(), blob(payment.bits()).to_vec())
        }
        None => (Vec::new(), Vec::new()),
    };
    connection.find(sql, params![merchant, payment], |row| {
        Ok((MerchantId::new(id(row, 0)?), PaymentId::new(id(row, 1)?)))
    })
}

fn history(connection: Sql<'_>, merchant: MerchantId, payment: PaymentId) -> Result<History> {
    let found = book::Books::on(connection).find(merchant, payment)?;
    let (book, place) = found.ok_or_else(|| corrupt("a payment without its head"))?;
    if !agrees(connection, (merchant, payment), place.lines)? {
        return Err(corrupt("a payment whose book is of another registration, or lacks a line"));
    }
    Ok(History {
        merchant,
        book,
        events: events(connection, merchant, payment)?,
        journal: journal(connection, merchant, payment)?,
        refunds: refunds(connection, merchant, payment)?,
        sends: sends(connection, merchant, payment)?,
    })
}

/// Does the book say what was registered, and has it all its lines?
fn agrees(
    connection: Sql<'_>,
    (merchant, payment): (MerchantId, PaymentId),
    lines: u32,
) -> Result<bool> {
    let sql = "-- book_agrees
        select 1 from payment p
        join book b on b.merchant_id = p.merchant_id and b.payment_id = p.payment_id and b.line = 0
        where p.merchant_id = ?1 and p.payment_id = ?2 and b.currency = p.currency
            and b.exponent = p.exponent and b.connector = p.connector
            and b.connector_payment is not distinct from p.connector_payment
            and b.connector_settings is not distinct from p.connector_settings
            and b.order_ref is not distinct from p.order_ref and b.fingerprint = p.fingerprint
            and b.is_closed = case when p.cancelled_at_ms is null and p.fault_code is null then 0
                else 1 end
            and (exists (select 1 from amendment a where a.merchant_id = p.merchant_id
                    and a.payment_id = p.payment_id and a.renames = 1)
                or b.external_identifier is not distinct from p.external_identifier)
            and (select count(*) from book l where l.merchant_id = p.merchant_id
                and l.payment_id = p.payment_id) = ?3";
    connection.exists(sql, params![blob(merchant.bits()), blob(payment.bits()), lines])
}

fn events(connection: Sql<'_>, merchant: MerchantId, payment: PaymentId) -> Result<Vec<Event>> {
    let own = own(connection);
    let sql = format!(
        "-- events
        {own}{STORY}
        select e.seq, e.kind, coalesce(e.subject, e.about), e.amount_minor, e.status, e.psp_refund, e.fault_code,
            e.fault_text, e.actor, e.at_ms, e.hash
        from story s cross join event e
        where e.merchant_id = ?1 and e.about = s.about and e.payment_id = ?2
        order by e.seq"
    );
    let key = params![blob(merchant.bits()), blob(payment.bits())];
    connection.query(&sql, key, |row| book::event(row, merchant, payment))
}

fn journal(
    connection: Sql<'_>,
    merchant: MerchantId,
    payment: PaymentId,
) -> Result<Vec<JournalLine>> {
    let own = own(connection);
    let sql = format!(
        "-- journal
        {own}{STORY}{ENTRIES}
        select seq, line, capture_id, debit, credit, amount_minor, about from entry
        order by seq, line"
    );
    let line = |row: &Row<'_>| {
        let (entry, about) = (book::entry(row)?, id(row, 6)?);
        Ok(JournalLine { merchant, payment, about, seq: row.get(0)?, line: row.get(1)?, entry })
    };
    let key = params![blob(merchant.bits()), blob(payment.bits())];
    connection.query(&sql, key, line)
}

fn refunds(
    connection: Sql<'_>,
    merchant: MerchantId,
    payment: PaymentId,
) -> Result<Vec<RefundRecord>> {
    let own = own(connection);
    let sql = format!(
        "-- refund_ids
        {own}
        select refund_id from own order by refund_id"
    );
    let key = params![blob(merchant.bits()), blob(payment.bits())];
    let ids = connection.query(&sql, key, |row| id(row, 0))?;
    let record = |bits| {
        let key = RefundRef { merchant, payment, refund: RefundId::new(bits) };
        book::Refunds::on(connection)
            .find(key)?
            .ok_or_else(|| corrupt("an index entry without its refund"))
    };
    ids.into_iter().map(record).collect()
}

fn sends(
    connection: Sql<'_>,
    merchant: MerchantId,
    payment: PaymentId,
) -> Result<BTreeMap<RefundId, u32>> {
    let own = own(connection);
    let sql = format!(
        "-- sends
        {own}
        select o.refund_id, count(*) from own o cross join attempt a
        where a.merchant_id = ?1 and a.refund_id = o.refund_id and a.kind = 1 group by o.refund_id"
    );
    let key = params![blob(merchant.bits()), blob(payment.bits())];
    let rows = connection.query(&sql, key, |row| Ok((RefundId::new(id(row, 0)?), row.get(1)?)))?;
    Ok(rows.into_iter().collect())
}
