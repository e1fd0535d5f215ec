//! Orders as far as they are kept: which payments an order has, plans of its refunds; and return reasons.

use std::collections::HashMap;

use requite_core::id::{MerchantId, PaymentId, ReasonId, RefundId};
use requite_core::money::Minor;

use super::book::minor;
use super::{Result, Row, Sql, blob, id, maybe_id, params};
use crate::order::{ORDER_PAYMENTS_MAX, ORDER_REFUNDS_MAX, OrderPart, OrderRefund};
use crate::read::ReasonView;

/// Oldest first.
pub(super) fn payment_ids(
    connection: Sql<'_>,
    merchant: MerchantId,
    order: &str,
) -> Result<Vec<PaymentId>> {
    let sql = "-- payments_of_order
        select payment_id from payment where merchant_id = ?1 and order_ref = ?2
        order by payment_id limit ?3";
    let bounds = params![blob(merchant.bits()), order, ORDER_PAYMENTS_MAX];
    connection.query(sql, bounds, |row| Ok(PaymentId::new(id(row, 0)?)))
}

pub(super) fn insert_refund(connection: Sql<'_>, refund: &OrderRefund) -> Result<()> {
    let (merchant, key) = (blob(refund.merchant.bits()), blob(refund.id.bits()));
    let sql = "-- insert_order_refund
        insert into order_refund (merchant_id, order_refund_id, order_ref, amount_minor, reason,
            note, key_text, refusal, created_at_ms)
        values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    connection.execute(
        sql,
        params![
            merchant,
            key,
            refund.order,
            refund.amount,
            refund.reason,
            refund.note,
            refund.key_text,
            refund.refusal,
            refund.created_at_ms,
        ],
    )?;
    let sql = "-- insert_order_refund_part
        insert into order_refund_part (merchant_id, order_refund_id, ordinal, payment_id, seen_seq,
            refund_id, amount_minor)
        values (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    for (ordinal, part) in (0_u32..).zip(&refund.payments) {
        let amount = part.refund.map_or(Minor::ZERO, |(_, amount)| amount);
        let row = params![
            merchant,
            key,
            ordinal,
            blob(part.payment.bits()),
            part.seen,
            part.refund.map(|(refund, _)| blob(refund.bits())),
            amount.units(),
        ];
        connection.execute(sql, row)?;
    }
    Ok(())
}

pub(super) fn refund(
    connection: Sql<'_>,
    merchant: MerchantId,
    refund: RefundId,
) -> Result<Option<OrderRefund>> {
    let sql = "-- order_refund
        select order_refund_id, order_ref, amount_minor, reason, note, key_text, refusal,
            created_at_ms
        from order_refund where merchant_id = ?1 and order_refund_id = ?2";
    let key = params![blob(merchant.bits()), blob(refund.bits())];
    let Some(mut found) = connection.find(sql, key, |row| refund_view(merchant, row))? else {
        return Ok(None);
    };
    let sql = "-- order_refund_parts
        select order_refund_id, payment_id, seen_seq, refund_id, amount_minor
        from order_refund_part where merchant_id = ?1 and order_refund_id = ?2 order by ordinal";
    found.payments = connection.query(sql, key, part)?;
    Ok(Some(found))
}

/// Oldest first.
pub(super) fn refunds(
    connection: Sql<'_>,
    merchant: MerchantId,
    order: &str,
) -> Result<Vec<OrderRefund>> {
    let sql = "-- order_refunds
        select order_refund_id, order_ref, amount_minor, reason, note, key_text, refusal,
            created_at_ms
        from order_refund where merchant_id = ?1 and order_ref = ?2 and refusal is null
        order by order_refund_id limit ?3";
    let bounds = params![blob(merchant.bits()), order, ORDER_REFUNDS_MAX];
    let mut found = connection.query(sql, bounds, |row| refund_view(merchant, row))?;
    let Some(last) = found.last().map(|refund| blob(refund.id.bits())) else {
        return Ok(found);
    };
    let sql = "-- order_refunds_parts
        select p.order_refund_id, p.payment_id, p.seen_seq, p.refund_id, p.amount_minor
        from order_refund r join order_refund_part p on p.merchant_id = r.merchant_id
            and p.order_refund_id = r.order_refund_id
        where r.merchant_id = ?1 and r.order_ref = ?2 and r.refusal is null
            and r.order_refund_id <= ?3
        order by p.order_refund_id, p.ordinal";
    let mut parts: HashMap<u128, Vec<OrderPart>> = HashMap::new();
    connection.each(sql, params![blob(merchant.bits()), order, last], |row| {
        parts.entry(id(row, 0)?).or_default().push(part(row)?);
        Ok(())
    })?;
    for refund in &mut found {
        refund.payments = parts.remove(&refund.id.bits()).unwrap_or_default();
    }
    Ok(found)
}

fn refund_view(merchant: MerchantId, row: &Row<'_>) -> Result<OrderRefund> {
    Ok(OrderRefund {
        merchant,
        id: RefundId::new(id(row, 0)?),
        order: row.get(1)?,
        amount: row.get(2)?,
        reason: row.get(3)?,
        note: row.get(4)?,
        key_text: row.get(5)?,
        refusal: row.get(6)?,
        payments: Vec::new(),
        created_at_ms: row.get(7)?,
    })
}

fn part(row: &Row<'_>) -> Result<OrderPart> {
    let refund = maybe_id(row, 3)?.map(RefundId::new);
    Ok(OrderPart {
        payment: PaymentId::new(id(row, 1)?),
        seen: row.get(2)?,
        refund: refund.zip(Some(minor(row, 4)?)),
    })
}

pub(super) fn put_return_reason(
    connection: Sql<'_>,
    merchant: MerchantId,
    reason: &ReasonView,
) -> Result<()> {
    let sql = "-- put_return_reason
        insert into return_reason (merchant_id, reason_id, code, label, description,
            created_at_ms, updated_at_ms, deleted_at_ms)
        values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
        on conflict (merchant_id, reason_id) do update set code = excluded.code,
            label = excluded.label, description = excluded.description,
            updated_at_ms = excluded.updated_at_ms, deleted_at_ms = excluded.deleted_at_ms";
    connection.execute(
        sql,
        params![
            blob(merchant.bits()),
            blob(reason.id.bits()),
            reason.code,
            reason.label,
            reason.description,
            reason.created_at_ms,
            reason.updated_at_ms,
            reason.deleted_at_ms,
        ],
    )?;
    Ok(())
}

/// Oldest first; `only`: this one alone.
pub(super) fn return_reasons(
    connection: Sql<'_>,
    merchant: MerchantId,
    only: Option<ReasonId>,
) -> Result<Vec<ReasonView>> {
    let sql = "-- return_reasons
        select reason_id, code, label, description, created_at_ms, updated_at_ms, deleted_at_ms
        from return_reason
        where merchant_id = ?1 and deleted_at_ms is null and (?2 is null or reason_id = ?2)
        order by reason_id";
    let key = params![blob(merchant.bits()), only.map(|id| blob(id.bits()))];
    connection.query(sql, key, |row| super::read::reason_view(row, 0))
}
