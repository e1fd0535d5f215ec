//! What a batch wants to see: a few statements, however much it is.
//!
//! The order matters. Whoever changes anything of a payment holds the locks of its lines, so what is
//! read with them and after them stays as it is until the commit. Locks are taken on books first, then
//! counters, then keys, each sorted: two batches never wait for each other in a circle.

mod books;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use requite_core::id::{CaptureId, LegId, MerchantId, PaymentId, ReasonId, RefundId};
use requite_core::refund::{Allocation, Refund};
use tokio_postgres::Row;

use self::books::{LOCK_BOOKS, books};
use super::link::{Session, Trouble};
use super::rows::{Read, Rows, corrupt, row};
use crate::command::{EXTERNAL, RefundRef};
use crate::key::{KeyOutcome, KeyRecord, refused_of};
use crate::store::sql::book::{Places, first_part};
use crate::store::{Loaded, NAMELESS_MAX, RefundRecord, Wanted, sql};

type Of = (MerchantId, PaymentId);

pub(super) fn load(
    session: &mut Session<'_>,
    wanted: &Wanted,
) -> Result<(Loaded, Places), Trouble> {
    let mut loaded = Loaded::default();
    let mut payments = wanted.payments.clone();
    for (merchant, text, payment) in named(session, wanted)? {
        payments.insert((merchant, payment));
        loaded.external_identifiers.insert((merchant, text), payment);
    }
    let payments = Rows::of(payments.iter().map(|of| row![of.0.bits(), of.1.bits()]));
    let counters = Rows::of(wanted.counters.iter().map(|of| row![of.0.bits(), of.1]));
    let keys = Rows::of(wanted.keys.iter().map(|of| row![of.0.bits(), of.1]));
    let reasons = Rows::of(wanted.reasons.iter().map(|of| row![of.0.bits(), of.1.bits()]));
    let mut asked = vec![
        (LOCK_BOOKS, &payments),
        (LOCK_COUNTERS, &counters),
        (LOCK_KEYS, &keys),
        (REASONS, &reasons),
    ];
    let told = [told(&wanted.psp_refunds), told(&wanted.externals), nameless(wanted)];
    asked.extend([BY_PSP_REFUND, EXTERNALS, NAMELESS].into_iter().zip(&told));
    let mut found = session.select_all(&asked)?.into_iter();
    let mut next = || found.next().unwrap_or_default();
    let places;
    (loaded.books, places) = books(&next())?;
    loaded.counters = self::counters(&next())?;
    loaded.keys = self::keys(&next())?;
    for row in next() {
        loaded.reasons.insert((merchant(&row)?, ReasonId::new(row.id(1)?)));
    }
    let mut refunds = wanted.refunds.clone();
    refunds.extend(loaded.keys.values().filter_map(|record| match record.outcome {
        KeyOutcome::Refund { refund, .. } => Some(refund),
        _ => None,
    }));
    for row in found.flatten() {
        let (merchant, payment) = of(&row)?;
        refunds.insert(RefundRef { merchant, payment, refund: RefundId::new(row.id(2)?) });
    }
    let refunds = Rows::of(
        refunds.iter().map(|of| row![of.merchant.bits(), of.refund.bits(), of.payment.bits()]),
    );
    loaded.refunds = self::refunds(session, &refunds)?;
    Ok((loaded, places))
}

const REASONS: &str = "-- reasons
        select r.merchant_id, r.reason_id
        from unnest($1, $2) as w (merchant_id, reason_id)
        join refund_reason r on r.merchant_id = w.merchant_id and r.reason_id = w.reason_id
        where r.deleted_at_ms is null";

fn merchant(row: &Row) -> Result<MerchantId, Trouble> {
    Ok(MerchantId::new(row.id(0)?))
}

/// Merchant and payment, which stand in the first two columns.
fn of(row: &Row) -> Result<Of, Trouble> {
    Ok((merchant(row)?, PaymentId::new(row.id(1)?)))
}

/// Payments by the names that they have or had.
fn named(
    session: &mut Session<'_>,
    wanted: &Wanted,
) -> Result<Vec<(MerchantId, String, PaymentId)>, Trouble> {
    let names = wanted.external_identifiers.iter();
    let names = Rows::of(names.map(|(merchant, name)| row![merchant.bits(), name]));
    let sql = "-- payments_named
        select r.merchant_id, r.payment_id, r.external_identifier
        from unnest($1, $2) as w (merchant_id, external_identifier)
        join renamed r on r.merchant_id = w.merchant_id
            and r.external_identifier = w.external_identifier";
    let rows = session.select(sql, &names)?;
    let named = rows.iter().map(|row| {
        let (merchant, payment) = of(row)?;
        Ok((merchant, row.text(2)?, payment))
    });
    named.collect()
}

const LOCK_COUNTERS: &str = "-- lock_counters
        select c.merchant_id, c.day, c.last_no
        from unnest($1, $2) as w (merchant_id, day)
        join reference_counter c on c.merchant_id = w.merchant_id and c.day = w.day
        order by c.merchant_id, c.day for update of c";

fn counters(rows: &[Row]) -> Result<HashMap<(MerchantId, i64), u32>, Trouble> {
    rows.iter().map(|row| Ok(((merchant(row)?, row.integer(1)?), row.count(2)?))).collect()
}

const LOCK_KEYS: &str = "-- lock_keys
        select i.merchant_id, i.key_hash, i.fingerprint, i.at_ms, i.payment_id, i.refund_id,
            i.answered_seq, i.answered_status, i.refusal, i.was_present
        from unnest($1, $2) as w (merchant_id, key_hash)
        join idempotency i on i.merchant_id = w.merchant_id and i.key_hash = w.key_hash
        order by i.merchant_id, i.key_hash for update of i";

fn keys(rows: &[Row]) -> Result<HashMap<(MerchantId, [u8; 16]), KeyRecord>, Trouble> {
    let keys = rows.iter().map(|row| {
        let merchant = merchant(row)?;
        let outcome = match row.maybe_text(8)? {
            Some(text) => refused_of(&text).ok_or_else(|| corrupt("an unknown refusal"))?,
            None => made(merchant, row)?,
        };
        let record = KeyRecord { fingerprint: row.bytes(2)?, at_ms: row.integer(3)?, outcome };
        Ok(((merchant, row.bytes(1)?), record))
    });
    keys.collect()
}

fn made(merchant: MerchantId, row: &Row) -> Result<KeyOutcome, Trouble> {
    let payment = PaymentId::new(row.id(4)?);
    let answered_seq = match row.maybe_integer(6)? {
        Some(_) => Some(row.count(6)?),
        None => None,
    };
    let Some(refund) = row.maybe_id(5)? else {
        let seq = answered_seq.ok_or_else(|| corrupt("a key that stands for nothing"))?;
        return Ok(match row.flag(9)? {
            true => KeyOutcome::Present { payment, seq },
            false => KeyOutcome::Booked { payment, seq },
        });
    };
    let refund = RefundRef { merchant, payment, refund: RefundId::new(refund) };
    let answered = match answered_seq {
        Some(seq) => Some((seq, row.status(7)?)),
        None => None,
    };
    Ok(KeyOutcome::Refund { refund, answered })
}

/// Refunds that a PSP means by its own ids of them.
fn told(told: &BTreeSet<(MerchantId, PaymentId, String)>) -> Rows<'_> {
    Rows::of(
        told.iter().map(|(merchant, payment, told)| row![merchant.bits(), payment.bits(), told]),
    )
}

const BY_PSP_REFUND: &str = "-- refunds_by_psp_refund
        select r.merchant_id, r.payment_id, r.refund_id
        from unnest($1, $2, $3) as w (merchant_id, payment_id, psp_refund)
        join refund r on r.merchant_id = w.merchant_id and r.payment_id = w.payment_id
            and r.psp_refund = w.psp_refund";

const EXTERNALS: &str = "-- external_refunds
        select r.merchant_id, r.payment_id, r.refund_id
        from unnest($1, $2, $3) as w (merchant_id, payment_id, psp_refund)
        join refund r on r.merchant_id = w.merchant_id and r.payment_id = w.payment_id
            and r.psp_refund = w.psp_refund and r.face = 'external'";

/// Open refunds that the PSP has given no id.
fn nameless(wanted: &Wanted) -> Rows<'_> {
    let max = i64::from(NAMELESS_MAX);
    Rows::of(wanted.nameless.iter().map(|of| row![of.0.bits(), of.1.bits(), max]))
}

const NAMELESS: &str = "-- nameless_refunds
        select o.merchant_id, o.payment_id, o.refund_id
        from unnest($1, $2, $3) as w (merchant_id, payment_id, max),
            lateral (select r.merchant_id, r.payment_id, r.refund_id from refund r
                where r.merchant_id = w.merchant_id and r.payment_id = w.payment_id
                    and (r.psp_refund is null or r.status = 6) and r.next_action_at_ms is not null
                order by r.refund_id limit w.max) as o";

/// Parts beyond the first, which lies with the refund. `$3` is the payment: the same rows are asked for the refunds themselves.
const ALLOCATIONS: &str = "-- allocations
        select a.merchant_id, a.refund_id, a.capture_id, a.amount_minor
        from unnest($1, $2, $3) as w (merchant_id, refund_id, payment_id)
        join allocation a on a.merchant_id = w.merchant_id and a.refund_id = w.refund_id
        order by a.merchant_id, a.refund_id, a.ordinal";

const REFUNDS: &str = "-- refunds
        select r.merchant_id, w.payment_id, r.refund_id, r.payment_id, r.leg_id, r.amount_minor,
            r.status, r.attempt, r.sends, r.looks, r.next_action_at_ms, r.psp_refund,
            r.fault_code, r.fault_text, r.call_no, coalesce(r.reason_text, r.reason_code),
            case when r.key_text is null then 0::bigint else 1::bigint end, r.asked_at_ms,
            r.face, r.heard_at_ms, r.capture_id, r.capture_minor
        from unnest($1, $2, $3) as w (merchant_id, refund_id, payment_id)
        join refund r on r.merchant_id = w.merchant_id and r.refund_id = w.refund_id";

/// Rows of `refunds`: merchant, refund and the payment under which it is wanted.
fn refunds(
    session: &mut Session<'_>,
    refunds: &Rows<'_>,
) -> Result<HashMap<RefundRef, RefundRecord>, Trouble> {
    let mut found = session.select_all(&[(ALLOCATIONS, refunds), (REFUNDS, refunds)])?.into_iter();
    let mut next = || found.next().unwrap_or_default();
    let mut others = allocations(&next())?;
    let mut records = HashMap::new();
    for row in next() {
        let (merchant, payment) = of(&row)?;
        let id = RefundId::new(row.id(2)?);
        let first = first_part(&sql::Row::Postgres(&row), 20)?;
        let others = others.remove(&(merchant, id)).unwrap_or_default();
        let refund = Refund {
            id,
            payment: PaymentId::new(row.id(3)?),
            leg: LegId::new(row.id(4)?),
            amount: row.minor(5)?,
            allocations: first.into_iter().chain(others).collect(),
            status: row.status(6)?,
            attempt: row.count(7)?,
            sends: row.count(8)?,
            looks: row.count(9)?,
            next_action_at_ms: row.maybe_integer(10)?,
            psp_refund: row.maybe_text(11)?,
            fault: row.fault(12, 13)?,
        };
        let record = RefundRecord {
            refund,
            call_no: row.count(14)?,
            reason: row.maybe_text(15)?,
            is_keyed: row.flag(16)?,
            asked_at_ms: row.integer(17)?,
            is_external: row.text(18)? == EXTERNAL,
            heard_at_ms: row.maybe_integer(19)?,
        };
        records.insert(RefundRef { merchant, payment, refund: id }, record);
    }
    Ok(records)
}

fn allocations(rows: &[Row]) -> Result<BTreeMap<(MerchantId, RefundId), Vec<Allocation>>, Trouble> {
    let mut allocations: BTreeMap<(MerchantId, RefundId), Vec<Allocation>> = BTreeMap::new();
    for row in rows {
        let of = (merchant(row)?, RefundId::new(row.id(1)?));
        let part = Allocation { capture: CaptureId::new(row.id(2)?), amount: row.minor(3)? };
        allocations.entry(of).or_default().push(part);
    }
    Ok(allocations)
}
