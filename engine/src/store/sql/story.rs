//! Where the rows of a payment are found that lie with its refunds: refunds themselves, and events and journal
//! entries about them.
//!
//! They have no index by payment, for every refund would write a page of it somewhere in a large file. A
//! payment's head names its newest refund, and each refund the one before. Events and entries about a refund
//! have its id in their key, those about anything else their payment's.
//!
//! A statement that begins with one of these has the merchant as its `?1`.

/// `own` holds the refunds of the payment `?2`.
pub(in crate::store) const OWN: &str = "with recursive own (refund_id, previous_refund) as (
        select r.refund_id, r.previous_refund from payment_head h cross join refund r
        where h.merchant_id = ?1 and h.payment_id = ?2
            and r.merchant_id = ?1 and r.refund_id = h.newest_refund
        union all
        select r.refund_id, r.previous_refund from own o cross join refund r
        where r.merchant_id = ?1 and r.refund_id = o.previous_refund)";

/// As [`OWN`], of the payments `?3` and those that follow.
pub(in crate::store) const OWN_OF_ALL: &str = "with recursive
    own (payment_id, refund_id, previous_refund) as (
        select r.payment_id, r.refund_id, r.previous_refund
        from payment_head h cross join refund r
        where h.merchant_id = ?1 and h.payment_id in (?3, ...)
            and r.merchant_id = ?1 and r.refund_id = h.newest_refund
        union all
        select r.payment_id, r.refund_id, r.previous_refund from own o cross join refund r
        where r.merchant_id = ?1 and r.refund_id = o.previous_refund)";

/// `story` holds what the events of the payment `?2` are about.
pub(in crate::store) const STORY: &str = "with recursive own (refund_id, previous_refund) as (
        select r.refund_id, r.previous_refund from payment_head h cross join refund r
        where h.merchant_id = ?1 and h.payment_id = ?2
            and r.merchant_id = ?1 and r.refund_id = h.newest_refund
        union all
        select r.refund_id, r.previous_refund from own o cross join refund r
        where r.merchant_id = ?1 and r.refund_id = o.previous_refund),
    story (about) as (
        select h.payment_id from payment_head h where h.merchant_id = ?1 and h.payment_id = ?2
        union all select refund_id from own)";
