//! What a batch wants to see.

use std::collections::HashMap;

use requite_core::id::{MerchantId, PaymentId, ReasonId, RefundId};

use super::keys::{self, Keys};
use crate::command::RefundRef;
use crate::key::{KeyOutcome, KeyRecord, refused_of};
use crate::store::sql::book::{Books, Places, Refunds, status};
use crate::store::sql::story::own;
use crate::store::sql::{Params, Result, Row, Sql, Statement, blob, corrupt, id, maybe_id, params};
use crate::store::{Loaded, NAMELESS_MAX, Wanted};

type Of = (MerchantId, PaymentId);

/// Where what was found lies, for whoever changes it.
#[derive(Default)]
pub(super) struct Found {
    pub books: Places,
    /// The numbers of the rows of all keys that were looked for, where they have one.
    pub keys: HashMap<keys::Of, Option<i64>>,
}

pub(super) fn load(connection: Sql<'_>, wanted: &Wanted, known: &Keys) -> Result<(Loaded, Found)> {
    let (mut loaded, mut found) = (Loaded::default(), Found::default());
    let mut payments = wanted.payments.clone();
    let mut refunds = wanted.refunds.clone();
    for (merchant, text) in &wanted.external_identifiers {
        if let Some(payment) = payment_by_external(connection, *merchant, text)? {
            payments.insert((*merchant, payment));
            loaded.external_identifiers.insert((*merchant, text.clone()), payment);
        }
    }
    let (mut find_row, mut read_key) =
        (connection.statement(keys::FIND), connection.statement(KEY));
    for &of in &wanted.keys {
        let no = known.row(&mut find_row, of)?;
        found.keys.insert(of, no);
        let Some(no) = no else { continue };
        let record = key(&mut read_key, of.0, no)?;
        if let KeyOutcome::Refund { refund, .. } = &record.outcome {
            refunds.insert(*refund);
        }
        loaded.keys.insert(of, record);
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
    let mut books = Books::on(connection);
    for (merchant, payment) in payments {
        if let Some((book, place)) = books.find(merchant, payment)? {
            loaded.books.insert((merchant, payment), book);
            found.books.insert((merchant, payment), place);
        }
    }
    let mut records = Refunds::on(connection);
    for key in refunds {
        if let Some(record) = records.find(key)? {
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
    Ok((loaded, found))
}

fn payment_by_external(
    connection: Sql<'_>,
    merchant: MerchantId,
    text: &str,
) -> Result<Option<PaymentId>> {
    let sql = "-- payment_by_external
        select payment_id from renamed where merchant_id = ?1 and external_identifier = ?2";
    let key = params![blob(merchant.bits()), text];
    connection.find(sql, key, |row| Ok(PaymentId::new(id(row, 0)?)))
}

const KEY: &str = "-- key
    select fingerprint, at_ms, payment_id, refund_id, answered_seq, answered_status, refusal,
        was_present
    from idempotency where no = ?1";

fn key(read: &mut Statement<'_, '_>, merchant: MerchantId, no: i64) -> Result<KeyRecord> {
    let record = read.find(params![no], |row| {
        let outcome = match row.get::<Option<String>>(6)? {
            Some(text) => refused_of(&text).ok_or_else(|| corrupt("an unknown refusal"))?,
            None => made(merchant, row)?,
        };
        Ok(KeyRecord { fingerprint: row.get(0)?, at_ms: row.get(1)?, outcome })
    })?;
    record.ok_or_else(|| corrupt("a key without its row"))
}

fn made(merchant: MerchantId, row: &Row<'_>) -> Result<KeyOutcome> {
    let payment = PaymentId::new(id(row, 2)?);
    let answered_seq: Option<u32> = row.get(4)?;
    let Some(refund) = maybe_id(row, 3)? else {
        let seq = answered_seq.ok_or_else(|| corrupt("a key that stands for nothing"))?;
        let was_present: bool = row.get(7)?;
        return Ok(match was_present {
            true => KeyOutcome::Present { payment, seq },
            false => KeyOutcome::Booked { payment, seq },
        });
    };
    let refund = RefundRef { merchant, payment, refund: RefundId::new(refund) };
    let answered = match answered_seq {
        Some(seq) => Some((seq, status(row, 5)?)),
        None => None,
    };
    Ok(KeyOutcome::Refund { refund, answered })
}

fn by_psp_refund(connection: Sql<'_>, of: Of, told: &str) -> Result<Vec<RefundRef>> {
    let own = own(connection);
    let sql = format!(
        "-- refunds_by_psp_refund
        {own}
        select r.refund_id from own cross join refund r
        where r.merchant_id = ?1 and r.refund_id = own.refund_id and r.psp_refund = ?3"
    );
    refs(connection, &sql, of, params![blob(of.0.bits()), blob(of.1.bits()), told])
}

fn externals(connection: Sql<'_>, of: Of, told: &str) -> Result<Vec<RefundRef>> {
    let sql = "-- external_refunds
        select refund_id from refund
        where merchant_id = ?1 and payment_id = ?2 and psp_refund = ?3 and face = 'external'";
    refs(connection, sql, of, params![blob(of.0.bits()), blob(of.1.bits()), told])
}

fn nameless(connection: Sql<'_>, of: Of) -> Result<Vec<RefundRef>> {
    let own = own(connection);
    let sql = format!(
        "-- nameless_refunds
        {own}
        select r.refund_id from own cross join refund r
        where r.merchant_id = ?1 and r.refund_id = own.refund_id
            and (r.psp_refund is null or r.status = 6) and r.next_action_at_ms is not null
        order by r.refund_id limit ?3"
    );
    refs(connection, &sql, of, params![blob(of.0.bits()), blob(of.1.bits()), NAMELESS_MAX])
}

fn refs(
    connection: Sql<'_>,
    sql: &str,
    (merchant, payment): Of,
    params: Params<'_>,
) -> Result<Vec<RefundRef>> {
    connection.query(sql, params, |row| {
        Ok(RefundRef { merchant, payment, refund: RefundId::new(id(row, 0)?) })
    })
}

fn has_reason(connection: Sql<'_>, merchant: MerchantId, reason: ReasonId) -> Result<bool> {
    let sql = "-- has_reason
        select 1 from refund_reason
        where merchant_id = ?1 and reason_id = ?2 and deleted_at_ms is null";
    connection.exists(sql, params![blob(merchant.bits()), blob(reason.bits())])
}

fn counter(connection: Sql<'_>, merchant: MerchantId, day: i64) -> Result<Option<u32>> {
    let sql = "-- counter
        select last_no from reference_counter where merchant_id = ?1 and day = ?2";
    connection.find(sql, params![blob(merchant.bits()), day], |row| row.get(0))
}
