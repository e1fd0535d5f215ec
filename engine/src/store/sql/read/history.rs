//! A payment's history as it is shown: its events, and the journal that explains its balances.

use std::collections::BTreeMap;

use requite_core::id::{CaptureId, MerchantId, PaymentId};
use requite_core::journal::Account;

use super::super::book::{self, status};
use super::super::story::{ENTRIES, STORY, own};
use super::super::{Result, Row, Sql, blob, id, params};
use super::direction;
use crate::read::{AccountsView, EventView, HistoryPage, Journal, JournalView, PAGE_MAX};

pub(super) fn events(
    connection: Sql<'_>,
    merchant: MerchantId,
    payment: PaymentId,
    page: &HistoryPage,
) -> Result<Vec<EventView>> {
    let own = own(connection);
    let (compare, order) = direction(page.newest_first);
    let sql = format!(
        "-- event_views
        {own}{STORY}
        select * from (
            select e.seq, e.kind, coalesce(e.subject, e.about), e.amount_minor, e.status,
                e.psp_refund, e.fault_code, e.fault_text, e.actor, e.at_ms, e.hash,
                lag(e.hash) over (order by e.seq)
            from story s cross join event e
            where e.merchant_id = ?1 and e.about = s.about and e.payment_id = ?2) as told
        where seq {compare} ?3 order by seq {order} limit ?4"
    );
    let (seq, _) = page.start();
    let view = |row: &Row<'_>| {
        Ok(EventView {
            event: book::event(row, merchant, payment)?,
            hash_before: row.get::<Option<[u8; 32]>>(11)?.unwrap_or_default(),
        })
    };
    let key = params![blob(merchant.bits()), blob(payment.bits()), seq, page.limit.min(PAGE_MAX)];
    connection.query(&sql, key, view)
}

pub(super) fn journal(
    connection: Sql<'_>,
    merchant: MerchantId,
    payment: PaymentId,
    page: &HistoryPage,
) -> Result<Journal> {
    Ok(Journal {
        lines: lines(connection, merchant, payment, page)?,
        accounts: accounts(connection, merchant, payment)?,
    })
}

fn lines(
    connection: Sql<'_>,
    merchant: MerchantId,
    payment: PaymentId,
    page: &HistoryPage,
) -> Result<Vec<JournalView>> {
    let own = own(connection);
    let (compare, order) = direction(page.newest_first);
    let sql = format!(
        "-- journal_views
        {own}{STORY}{ENTRIES}
        select seq, line, capture_id, debit, credit, amount_minor, kind, subject, status, actor,
            at_ms
        from entry where (seq, line) {compare} (?3, ?4)
        order by seq {order}, line {order} limit ?5"
    );
    let (seq, line) = page.start();
    let view = |row: &Row<'_>| {
        let has_status = row.get::<Option<u8>>(8)?.is_some();
        Ok(JournalView {
            seq: row.get(0)?,
            line: row.get(1)?,
            entry: book::entry(row)?,
            kind: book::kind(row, 6)?,
            subject: id(row, 7)?,
            status: if has_status { Some(status(row, 8)?) } else { None },
            actor: row.get(9)?,
            at_ms: row.get(10)?,
        })
    };
    let limit = page.limit.min(PAGE_MAX);
    let key = params![blob(merchant.bits()), blob(payment.bits()), seq, line, limit];
    connection.query(&sql, key, view)
}

/// Folds the whole journal, capture by capture.
fn accounts(
    connection: Sql<'_>,
    merchant: MerchantId,
    payment: PaymentId,
) -> Result<Vec<AccountsView>> {
    let own = own(connection);
    let sql = format!(
        "-- account_views
        {own}{STORY}{ENTRIES}
        select capture_id, debit, credit, cast(sum(amount_minor) as bigint) from entry
        group by capture_id, debit, credit order by capture_id"
    );
    let mut folded: BTreeMap<CaptureId, BTreeMap<Account, i64>> = BTreeMap::new();
    let key = params![blob(merchant.bits()), blob(payment.bits())];
    connection.each(&sql, key, |row| {
        let credits = folded.entry(CaptureId::new(id(row, 0)?)).or_default();
        let units: i64 = row.get(3)?;
        for (account, moved) in
            [(book::account(row, 1)?, units.saturating_neg()), (book::account(row, 2)?, units)]
        {
            let credit = credits.entry(account).or_default();
            *credit = credit.saturating_add(moved);
        }
        Ok(())
    })?;
    let view = |(capture, credits)| AccountsView { capture, credits };
    Ok(folded.into_iter().map(view).collect())
}
