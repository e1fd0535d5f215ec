//! Endpoints of merchants, and how far each payment's events have got with each.

use std::collections::BTreeMap;

use requite_core::id::{MerchantId, PaymentId};

use super::{Result, Row, Sql, SqlFault, SqlRegistry, blob, corrupt, id, params, shop, write_one};
use crate::event::Event;
use crate::outbox::{Backlog, Delivery, ENDPOINTS_MAX, EndpointView, Outbox, Progress};
use crate::read::KeptAnswer;
use crate::registry::RegistryFault;

/// What a row that cannot be written is called.
const ENDPOINT: &str = "the endpoint's id";

/// A payment's first and last new event, and when it was.
type News = (u32, u32, i64);

pub(in crate::store) fn by_payment(events: &[Event]) -> BTreeMap<(MerchantId, PaymentId), News> {
    let mut news: BTreeMap<(MerchantId, PaymentId), News> = BTreeMap::new();
    for event in events {
        let of = news.entry((event.merchant, event.payment));
        let (first, last, _) = of.or_insert((event.seq, event.seq, event.at_ms));
        *first = event.seq.min(*first);
        *last = event.seq.max(*last);
    }
    news
}

/// Puts new events on the way to every endpoint of their merchants. Part of the transaction that writes
/// them; where nobody is told anything, one look at an empty table.
pub(in crate::store) fn queue(connection: Sql<'_>, events: &[Event]) -> Result<()> {
    let sql = "-- has_endpoints
        select 1 from webhook_endpoint limit 1";
    if events.is_empty() || !connection.exists(sql, &[])? {
        return Ok(());
    }
    let mut queue = connection.statement(
        "-- queue_delivery
        insert into webhook_delivery (endpoint_id, payment_id, merchant_id, next_seq, last_seq,
            failures, next_try_at_ms)
        select endpoint_id, ?2, merchant_id, ?3, ?4, 0, ?5 from webhook_endpoint
        where merchant_id = ?1 and is_active = 1
        on conflict (endpoint_id, payment_id, merchant_id) do update set last_seq = excluded.last_seq",
    );
    for ((merchant, payment), (first, last, at_ms)) in by_payment(events) {
        queue.execute(params![blob(merchant.bits()), blob(payment.bits()), first, last, at_ms])?;
    }
    Ok(())
}

fn endpoint(row: &Row<'_>) -> Result<EndpointView> {
    let before: Option<Vec<u8>> = row.get(6)?;
    let until: Option<i64> = row.get(7)?;
    Ok(EndpointView {
        merchant: MerchantId::new(id(row, 0)?),
        id: id(row, 1)?,
        dialect: row.get(2)?,
        url: row.get(3)?,
        is_active: row.get(4)?,
        sealed: row.get(5)?,
        sealed_before: before.zip(until),
        created_at_ms: row.get(8)?,
        updated_at_ms: row.get(9)?,
    })
}

/// Oldest first.
pub(super) fn endpoints(connection: Sql<'_>, merchant: MerchantId) -> Result<Vec<EndpointView>> {
    let sql = "-- webhook_endpoints
        select merchant_id, endpoint_id, dialect, url, is_active, sealed, sealed_before,
            before_until_ms, created_at_ms, updated_at_ms
        from webhook_endpoint where merchant_id = ?1 order by endpoint_id";
    connection.query(sql, params![blob(merchant.bits())], endpoint)
}

pub(super) fn endpoints_due(connection: Sql<'_>, now_ms: i64) -> Result<Vec<EndpointView>> {
    let sql = "-- webhook_endpoints_due
        select merchant_id, endpoint_id, dialect, url, is_active, sealed, sealed_before,
            before_until_ms, created_at_ms, updated_at_ms
        from webhook_endpoint e where is_active = 1 and exists (select 1 from webhook_delivery d
            where d.endpoint_id = e.endpoint_id and d.next_try_at_ms <= ?1)
        order by endpoint_id";
    connection.query(sql, params![now_ms], endpoint)
}

pub(super) fn deliveries_due(
    connection: Sql<'_>,
    endpoint: u128,
    now_ms: i64,
    max: u32,
) -> Result<Vec<Delivery>> {
    let sql = "-- webhook_deliveries_due
        select merchant_id, payment_id, next_seq, last_seq, failures, failing_since_ms,
            next_try_at_ms
        from webhook_delivery where endpoint_id = ?1 and next_try_at_ms <= ?2
        order by next_try_at_ms, payment_id limit ?3";
    connection.query(sql, params![blob(endpoint), now_ms, max], |row| {
        Ok(Delivery {
            endpoint,
            merchant: MerchantId::new(id(row, 0)?),
            payment: PaymentId::new(id(row, 1)?),
            next_seq: row.get(2)?,
            last_seq: row.get(3)?,
            failures: row.get(4)?,
            failing_since_ms: row.get(5)?,
            due_at_ms: row.get(6)?,
        })
    })
}

pub(super) fn backlog(connection: Sql<'_>, endpoint: u128) -> Result<Backlog> {
    let sql = "-- webhook_backlog
        select cast(count(next_try_at_ms) as bigint),
            cast(count(*) - count(next_try_at_ms) as bigint)
        from webhook_delivery where endpoint_id = ?1";
    let found = connection.find(sql, params![blob(endpoint)], |row| {
        Ok(Backlog { waiting: row.get(0)?, dead: row.get(1)? })
    })?;
    found.ok_or_else(|| corrupt("no count"))
}

fn insert(connection: Sql<'_>, new: &EndpointView) -> Result<()> {
    let sql = "-- count_webhook_endpoints
        select cast(count(*) as bigint) from webhook_endpoint where merchant_id = ?1";
    let merchant = blob(new.merchant.bits());
    let there: Option<u32> = connection.find(sql, params![merchant], |row| row.get(0))?;
    if there.unwrap_or_default() >= ENDPOINTS_MAX {
        return Err(SqlFault::Constraint(format!("more than {ENDPOINTS_MAX} endpoints")));
    }
    let sql = "-- insert_webhook_endpoint
        insert into webhook_endpoint (merchant_id, endpoint_id, dialect, url, is_active, sealed,
            created_at_ms, updated_at_ms)
        values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let row = params![
        merchant,
        blob(new.id),
        new.dialect,
        new.url,
        new.is_active,
        new.sealed,
        new.created_at_ms,
        new.updated_at_ms,
    ];
    write_one(connection, sql, row)
}

/// Two nodes may have read the same row: only one of them changes it.
fn claim(connection: Sql<'_>, row: &Delivery, until_ms: i64) -> Result<bool> {
    let sql = "-- claim_webhook_delivery
        update webhook_delivery set next_try_at_ms = ?5
        where endpoint_id = ?1 and payment_id = ?2 and next_seq = ?3 and next_try_at_ms = ?4";
    let (endpoint, payment) = (blob(row.endpoint), blob(row.payment.bits()));
    let claimed = params![endpoint, payment, row.next_seq, row.due_at_ms, until_ms];
    Ok(connection.execute(sql, claimed)? == 1)
}

fn note(connection: Sql<'_>, progress: &Progress) -> Result<()> {
    let (endpoint, payment) = (blob(progress.endpoint), blob(progress.payment.bits()));
    let Progress { next_seq, failures, failing_since_ms, next_try_at_ms, problem, .. } = progress;
    let sql = "-- note_webhook_delivery
        update webhook_delivery set next_seq = ?3, failures = ?4, failing_since_ms = ?5,
            next_try_at_ms = ?6, problem = ?7
        where endpoint_id = ?1 and payment_id = ?2 and next_seq <= ?3";
    let row = params![
        endpoint,
        payment,
        *next_seq,
        *failures,
        *failing_since_ms,
        *next_try_at_ms,
        problem.as_ref(),
    ];
    connection.execute(sql, row)?;
    // Not if an event came meanwhile: its transaction has moved last_seq.
    let sql = "-- end_webhook_delivery
        delete from webhook_delivery
        where endpoint_id = ?1 and payment_id = ?2 and last_seq < next_seq";
    connection.execute(sql, params![endpoint, payment]).map(|_| ())
}

impl Outbox for SqlRegistry {
    fn create_endpoint(
        &self,
        endpoint: &EndpointView,
        answer: Option<&KeptAnswer>,
    ) -> Result<(), RegistryFault> {
        let most = format!("room for {ENDPOINTS_MAX} endpoints");
        self.write_for(endpoint.merchant, &most, |connection| {
            insert(connection, endpoint)?;
            shop::keep(connection, endpoint.merchant, answer)
        })
    }

    fn change_endpoint(&self, endpoint: &EndpointView) -> Result<bool, RegistryFault> {
        let sql = "-- change_webhook_endpoint
            update webhook_endpoint set url = ?3, is_active = ?4, updated_at_ms = ?5
            where merchant_id = ?1 and endpoint_id = ?2";
        self.write(ENDPOINT, |connection| {
            let row = params![
                blob(endpoint.merchant.bits()),
                blob(endpoint.id),
                endpoint.url,
                endpoint.is_active,
                endpoint.updated_at_ms,
            ];
            Ok(connection.execute(sql, row)? == 1)
        })
    }

    fn rotate_endpoint(
        &self,
        before: &EndpointView,
        sealed: &[u8],
        until_ms: i64,
        answer: Option<&KeptAnswer>,
    ) -> Result<bool, RegistryFault> {
        let sql = "-- rotate_webhook_endpoint
            update webhook_endpoint set sealed = ?4, sealed_before = sealed, before_until_ms = ?5,
                updated_at_ms = ?6
            where merchant_id = ?1 and endpoint_id = ?2 and sealed = ?3";
        self.write(ENDPOINT, |connection| {
            let row = params![
                blob(before.merchant.bits()),
                blob(before.id),
                before.sealed,
                sealed,
                until_ms,
                before.updated_at_ms,
            ];
            let is_done = connection.execute(sql, row)? == 1;
            shop::keep(connection, before.merchant, answer.filter(|_| is_done))?;
            Ok(is_done)
        })
    }

    fn delete_endpoint(&self, merchant: MerchantId, endpoint: u128) -> Result<bool, RegistryFault> {
        self.write(ENDPOINT, |connection| {
            let sql = "-- delete_webhook_endpoint
                delete from webhook_endpoint where merchant_id = ?1 and endpoint_id = ?2";
            let row = params![blob(merchant.bits()), blob(endpoint)];
            if connection.execute(sql, row)? == 0 {
                return Ok(false);
            }
            let sql = "-- delete_webhook_deliveries
                delete from webhook_delivery where endpoint_id = ?1";
            connection.execute(sql, params![blob(endpoint)])?;
            Ok(true)
        })
    }

    fn resend(
        &self,
        merchant: MerchantId,
        endpoint: u128,
        now_ms: i64,
    ) -> Result<u64, RegistryFault> {
        let sql = "-- resend_webhook_deliveries
            update webhook_delivery set failures = 0, failing_since_ms = null, next_try_at_ms = ?3
            where endpoint_id = ?2 and merchant_id = ?1";
        self.write(ENDPOINT, |connection| {
            connection.execute(sql, params![blob(merchant.bits()), blob(endpoint), now_ms])
        })
    }

    fn claim_deliveries(
        &self,
        due: &[Delivery],
        until_ms: i64,
    ) -> Result<Vec<Delivery>, RegistryFault> {
        if self.is_alone() {
            return Ok(due.to_vec());
        }
        let in_order: BTreeMap<_, &Delivery> =
            due.iter().map(|row| ((row.endpoint, row.payment), row)).collect();
        self.write(ENDPOINT, |connection| {
            let mut own = Vec::new();
            for row in in_order.values().copied() {
                if claim(connection, row, until_ms)? {
                    own.push(row.clone());
                }
            }
            Ok(own)
        })
    }

    fn note_progress(&self, progress: &[Progress]) -> Result<(), RegistryFault> {
        let in_order: BTreeMap<_, &Progress> =
            progress.iter().map(|row| ((row.endpoint, row.payment), row)).collect();
        self.write(ENDPOINT, |connection| {
            in_order.values().try_for_each(|progress| note(connection, progress))
        })
    }
}
