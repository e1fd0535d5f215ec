//! Where the rows of a payment are found that lie with its refunds: refunds themselves, and events and journal
//! entries about them.
//!
//! On SQLite refunds have no index by payment, for each of them would write a page of it somewhere in a large
//! file. A payment's head names its newest refund, and each refund the one before. PostgreSQL, where such a
//! walk takes a hundred times as long, has the index. Events and entries about a refund have its id in
//! their key, those about anything else their payment's.
//!
//! A statement that begins with one of these has the merchant as its `?1`.

use super::Sql;

/// Begins a statement: `own` holds the refunds of the payment `?2`.
pub(in crate::store) fn own(connection: Sql<'_>) -> &'static str {
    match connection {
        Sql::Sqlite(_) => OWN,
        Sql::Postgres(_) => INDEXED_OWN,
    }
}

/// As [`own`], of the payments `?3` and those that follow.
pub(in crate::store) fn own_of_all(connection: Sql<'_>) -> &'static str {
    match connection {
        Sql::Sqlite(_) => OWN_OF_ALL,
        Sql::Postgres(_) => INDEXED_OWN_OF_ALL,
    }
}

/// The condition that an id is one of `own`. On PostgreSQL an array: a table that was empty when the planner last
/// looked is expected to have one row, and joined with it all of a merchant's would be gone through for each.
pub(in crate::store) fn is_own(connection: Sql<'_>) -> &'static str {
    match connection {
        Sql::Sqlite(_) => "in (select refund_id from own)",
        Sql::Postgres(_) => "= any(array(select refund_id from own))",
    }
}

const OWN: &str = "with recursive own (refund_id, previous_refund) as (
        select r.refund_id, r.previous_refund from payment_head h cross join refund r
        where h.merchant_id = ?1 and h.payment_id = ?2
            and r.merchant_id = ?1 and r.refund_id = h.newest_refund
        union all
        select r.refund_id, r.previous_refund from own o cross join refund r
        where r.merchant_id = ?1 and r.refund_id = o.previous_refund)";

const OWN_OF_ALL: &str = "with recursive
    own (payment_id, refund_id, previous_refund) as (
        select r.payment_id, r.refund_id, r.previous_refund
        from payment_head h cross join refund r
        where h.merchant_id = ?1 and h.payment_id in (?3, ...)
            and r.merchant_id = ?1 and r.refund_id = h.newest_refund
        union all
        select r.payment_id, r.refund_id, r.previous_refund from own o cross join refund r
        where r.merchant_id = ?1 and r.refund_id = o.previous_refund)";

/// Behind [`own`]: `story` holds what the events of the payment `?2` are about.
pub(in crate::store) const STORY: &str = ", story (about) as (
        select h.payment_id from payment_head h where h.merchant_id = ?1 and h.payment_id = ?2
        union all select refund_id from own)";

/// Behind [`STORY`]: `entry` holds what the events of the payment `?2` moved. The first line of each lies with it.
pub(in crate::store) const ENTRIES: &str = ", entry (about, seq, line, capture_id, debit, credit,
        amount_minor, kind, subject, status, actor, at_ms) as (
        select e.about, e.seq, cast(0 as bigint), e.capture_id, e.debit, e.credit, e.moved_minor,
            e.kind, coalesce(e.subject, e.about), e.status, e.actor, e.at_ms
        from story s cross join event e
        where e.merchant_id = ?1 and e.about = s.about and e.payment_id = ?2
            and e.capture_id is not null
        union all
        select e.about, e.seq, j.line, j.capture_id, j.debit, j.credit, j.amount_minor,
            e.kind, coalesce(e.subject, e.about), e.status, e.actor, e.at_ms
        from story s cross join event e cross join journal j
        where e.merchant_id = ?1 and e.about = s.about and e.payment_id = ?2
            and j.merchant_id = ?1 and j.about = e.about and j.seq = e.seq)";

const INDEXED_OWN: &str = "with own as (
        select r.refund_id from refund r where r.merchant_id = ?1 and r.payment_id = ?2)";

const INDEXED_OWN_OF_ALL: &str = "with own as (
        select r.payment_id, r.refund_id from refund r
        where r.merchant_id = ?1 and r.payment_id in (?3, ...))";
