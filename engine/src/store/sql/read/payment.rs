//! A payment as it is, or as it was after one of its events.

use std::collections::{HashMap, HashSet};

use requite_core::id::{CaptureId, LegId, MerchantId, PaymentId};
use requite_core::money::Minor;
use requite_core::payment::LegKind;
use requite_core::refund::Status;
use requite_core::schedule;

use super::super::book::{currency, fault_of, minor, status};
use super::super::{Result, Row, Sql, blob, corrupt, id, params};
use super::{REFUND_COLUMNS, refund_view};
use crate::command::RefundRef;
use crate::event::Kind;
use crate::read::{
    CaptureView, LegView, OperationKind, OperationView, PaymentView, RefundOfPayment, RefundView,
    ReleaseView,
};

pub(super) fn payment_view(
    connection: Sql<'_>,
    merchant: MerchantId,
    payment: PaymentId,
    as_of: Option<u32>,
) -> Result<Option<PaymentView>> {
    let sql = "-- payment_view
        select p.currency, p.exponent, p.connector, p.connector_payment, p.external_identifier,
            p.order_ref, p.customer, p.description, p.profile, p.created_at_ms,
            p.cancelled_at_ms, h.seq, p.fault_code, p.fault_text
        from payment p join payment_head h using (merchant_id, payment_id)
        where p.merchant_id = ?1 and p.payment_id = ?2";
    let key = params![blob(merchant.bits()), blob(payment.bits())];
    let view = |row: &Row<'_>| view(connection, (merchant, payment), as_of, row);
    connection.find(sql, key, view)
}

/// Reads the columns of `payment_view`, and what hangs on them.
fn view(
    connection: Sql<'_>,
    (merchant, payment): (MerchantId, PaymentId),
    as_of: Option<u32>,
    row: &Row<'_>,
) -> Result<PaymentView> {
    let head: u32 = row.get(11)?;
    let seq = as_of.unwrap_or(head).min(head);
    let at = Moment { merchant, payment, seq };
    let mut refunds = refunds_of(connection, at)?;
    if as_of.is_some() {
        as_they_were(connection, at, &mut refunds)?;
    }
    let legs = legs(connection, at, &refunds)?;
    let Amended { name, metadata } = amended(connection, at)?;
    Ok(PaymentView {
        merchant,
        id: payment,
        currency: currency(row, 0, 1)?,
        legs,
        refunds,
        connector: row.get(2)?,
        connector_payment: row.get(3)?,
        external_identifier: match name {
            Some(name) => name,
            None => row.get(4)?,
        },
        order: row.get(5)?,
        customer: row.get(6)?,
        description: row.get(7)?,
        aliases: aliases(connection, at)?,
        profile: row.get(8)?,
        metadata,
        decline: fault_of(row, 12, 13)?,
        operations: operations(connection, at)?,
        created_at_ms: row.get(9)?,
        updated_at_ms: event_time(connection, at)?,
        cancelled_at_ms: row.get(10)?,
        seq,
    })
}

/// A payment after one of its events.
#[derive(Clone, Copy)]
struct Moment {
    merchant: MerchantId,
    payment: PaymentId,
    seq: u32,
}

impl Moment {
    fn key(self) -> ([u8; 16], [u8; 16], u32) {
        (blob(self.merchant.bits()), blob(self.payment.bits()), self.seq)
    }
}

/// What amendments put in place of what was registered.
#[derive(Default)]
struct Amended {
    name: Option<Option<String>>,
    metadata: Option<String>,
}

fn amended(connection: Sql<'_>, at: Moment) -> Result<Amended> {
    let sql = "-- amendments
        select renames, external_identifier, metadata from amendment
        where merchant_id = ?1 and payment_id = ?2 and seq <= ?3 order by seq";
    let mut amended = Amended::default();
    let (merchant, payment, seq) = at.key();
    connection.each(sql, params![merchant, payment, seq], |row| {
        if row.get(0)? {
            amended.name = Some(row.get(1)?);
        }
        amended.metadata = row.get::<Option<String>>(2)?.or(amended.metadata.take());
        Ok(())
    })?;
    Ok(amended)
}

fn operations(connection: Sql<'_>, at: Moment) -> Result<Vec<OperationView>> {
    // Kinds 4 (refund), 7 (amended) and 8 (resolved) are told elsewhere.
    let sql = "-- operations
        select e.seq, e.kind, e.subject, e.amount_minor, e.fault_code, e.fault_text, e.actor,
            e.at_ms, o.kind, o.face, coalesce(o.is_final, 0), o.given_id, o.external_identifier,
            o.reference_day, o.reference_no
        from event e left join operation o using (merchant_id, payment_id, seq)
        where e.merchant_id = ?1 and e.payment_id = ?2 and e.seq <= ?3 and e.kind not in (4, 7, 8)
        order by e.seq";
    let view = |row: &Row<'_>| {
        let told = match Kind::from_number(row.get(1)?) {
            Some(Kind::Registered) => Some(OperationKind::Registration),
            Some(Kind::Captured) => Some(OperationKind::Capture),
            Some(Kind::Released) => Some(OperationKind::Void),
            Some(Kind::Extended) => Some(OperationKind::Extension),
            _ => row.get::<Option<u8>>(8)?.and_then(OperationKind::from_number),
        };
        let given_id: Option<[u8; 16]> = row.get(11)?;
        let day: Option<i64> = row.get(13)?;
        let number: Option<u32> = row.get(14)?;
        Ok(OperationView {
            seq: row.get(0)?,
            kind: told.ok_or_else(|| corrupt("an operation of unknown kind"))?,
            id: id(row, 2)?,
            amount: minor(row, 3)?,
            fault: fault_of(row, 4, 5)?,
            actor: row.get(6)?,
            at_ms: row.get(7)?,
            face: row.get(9)?,
            is_final: row.get(10)?,
            given_id: given_id.map(u128::from_be_bytes),
            external_identifier: row.get(12)?,
            reference: day.zip(number),
        })
    };
    {
        let (merchant, payment, seq) = at.key();
        connection.query(sql, params![merchant, payment, seq], view)
    }
}

/// The time of the event itself, or the payment's own time while nothing but its registration
/// happened: the time by which lists are ordered. Captures of a registration have no operation row.
fn event_time(connection: Sql<'_>, at: Moment) -> Result<i64> {
    let sql = "-- event_time
        select coalesce(
            (select at_ms from event where merchant_id = ?1 and payment_id = ?2 and seq = ?3
                and (kind > 2 or at_ms > (select at_ms from event
                        where merchant_id = ?1 and payment_id = ?2 and seq = 1)
                    or (kind = 2 and exists (select 1 from operation
                        where merchant_id = ?1 and payment_id = ?2 and seq = ?3)))),
            (select created_at_ms from payment where merchant_id = ?1 and payment_id = ?2))";
    let (merchant, payment, seq) = at.key();
    let found = connection.find(sql, params![merchant, payment, seq], |row| row.get(0))?;
    found.ok_or_else(|| corrupt("a payment without events"))
}

fn aliases(connection: Sql<'_>, at: Moment) -> Result<Vec<String>> {
    let sql = "-- aliases
        select alias from alias where merchant_id = ?1 and payment_id = ?2 order by alias";
    let (merchant, payment, _) = at.key();
    connection.query(sql, params![merchant, payment], |row| row.get(0))
}

fn refunds_of(connection: Sql<'_>, at: Moment) -> Result<Vec<RefundView>> {
    let sql = format!(
        "-- refunds_of
        {REFUND_COLUMNS}
        where r.merchant_id = ?1 and r.payment_id = ?2 and r.asked_seq <= ?3
        order by r.asked_seq"
    );
    let (merchant, payment, seq) = at.key();
    connection.query(&sql, params![merchant, payment, seq], |row| refund_view(at.merchant, row))
}

/// Puts refunds to what their newest event at or before the moment said. Also when that is the
/// newest of all: a row may know more than its last event (a fault's newer text, the time of the
/// last news in a batch, when it is looked at next), and what was answered must look the same for
/// ever.
fn as_they_were(connection: Sql<'_>, at: Moment, refunds: &mut [RefundView]) -> Result<()> {
    let sql = "-- refund_events
        select subject, status, psp_refund, fault_code, fault_text, at_ms from event
        where merchant_id = ?1 and payment_id = ?2 and seq <= ?3 and kind = 4 order by seq";
    let places: HashMap<u128, usize> =
        refunds.iter().enumerate().map(|(place, refund)| (refund.id.bits(), place)).collect();
    refunds.iter_mut().for_each(forget);
    let (merchant, payment, seq) = at.key();
    connection.each(sql, params![merchant, payment, seq], |row| {
        let place = places.get(&id(row, 0)?).and_then(|&place| refunds.get_mut(place));
        place.map_or(Ok(()), |refund| retell(refund, row))
    })
}

/// As [`as_they_were`], for one refund, among the events since it was asked for.
pub(super) fn refund_as_of(
    connection: Sql<'_>,
    of: RefundRef,
    as_of: Option<u32>,
) -> Result<Option<RefundOfPayment>> {
    let sql = format!(
        "-- refund_of_payment
        {REFUND_COLUMNS}
        where r.merchant_id = ?1 and r.refund_id = ?2 and r.payment_id = ?3"
    );
    let (merchant, payment) = (blob(of.merchant.bits()), blob(of.payment.bits()));
    let subject = blob(of.refund.bits());
    let found = connection.find(&sql, params![merchant, subject, payment], |row| {
        let names = (row.get::<Option<String>>(39)?, row.get::<Option<String>>(40)?);
        Ok((refund_view(of.merchant, row)?, row.get::<u32>(27)?, names))
    })?;
    let Some((mut refund, asked_seq, (registered, order))) = found else {
        return Ok(None);
    };
    if as_of.is_some_and(|seq| seq < asked_seq) {
        return Ok(None);
    }
    if let Some(seq) = as_of {
        forget(&mut refund);
        let sql = "-- events_of_refund
            select subject, status, psp_refund, fault_code, fault_text, at_ms from event
            where merchant_id = ?1 and payment_id = ?2 and seq between ?3 and ?4 and kind = 4
                and subject = ?5 order by seq";
        let events = params![merchant, payment, asked_seq, seq, subject];
        connection.each(sql, events, |row| retell(&mut refund, row))?;
    }
    let seq = as_of.unwrap_or(u32::MAX);
    let at = Moment { merchant: of.merchant, payment: of.payment, seq };
    let external_identifier = amended(connection, at)?.name.unwrap_or(registered);
    Ok(Some(RefundOfPayment { refund, external_identifier, order }))
}

/// What only its events tell of a refund, before any of them is read.
fn forget(refund: &mut RefundView) {
    (refund.sent_at_ms, refund.unknown_at_ms, refund.sends) = (None, None, 0);
}

/// What the columns of `refund_events` tell of a refund from that event on.
fn retell(refund: &mut RefundView, row: &Row<'_>) -> Result<()> {
    let at_ms: i64 = row.get(5)?;
    refund.status = status(row, 1)?;
    refund.psp_refund = row.get(2)?;
    refund.fault = fault_of(row, 3, 4)?;
    refund.updated_at_ms = at_ms;
    match refund.status {
        // Each refund call is committed with an event of its own.
        Status::Dispatched => {
            refund.sent_at_ms = refund.sent_at_ms.or(Some(at_ms));
            refund.sends = refund.sends.saturating_add(1);
        }
        Status::Unknown => refund.unknown_at_ms = refund.unknown_at_ms.or(Some(at_ms)),
        _ => {}
    }
    refund.next_action_at_ms = schedule::next_action_at(refund.status, 0, at_ms);
    refund.settled_at_ms = (!refund.status.is_open()).then_some(at_ms);
    Ok(())
}

fn legs(connection: Sql<'_>, at: Moment, refunds: &[RefundView]) -> Result<Vec<LegView>> {
    let given = given_back(connection, at, refunds)?;
    let sql = "-- leg_views
        select leg_no, leg_id, amount_minor from leg
        where merchant_id = ?1 and payment_id = ?2 order by leg_no";
    let (merchant, payment, _) = at.key();
    connection.query(sql, params![merchant, payment], |row| {
        let number: i64 = row.get(0)?;
        Ok(LegView {
            id: LegId::new(id(row, 1)?),
            kind: if number == 0 { LegKind::PaymentMethod } else { LegKind::GiftCard },
            amount: minor(row, 2)?,
            captures: captures(connection, at, number, &given)?,
            releases: releases(connection, at, number)?,
        })
    })
}

fn captures(
    connection: Sql<'_>,
    at: Moment,
    leg: i64,
    given: &HashMap<CaptureId, Minor>,
) -> Result<Vec<CaptureView>> {
    let sql = "-- capture_views
        select capture_id, captured_minor, captured_at_ms from capture
        where merchant_id = ?1 and payment_id = ?2 and seq <= ?3 and leg_no = ?4 order by seq";
    let (merchant, payment, seq) = at.key();
    connection.query(sql, params![merchant, payment, seq, leg], |row| {
        let id = CaptureId::new(id(row, 0)?);
        let refunded = given.get(&id).copied().unwrap_or_default();
        Ok(CaptureView { id, amount: minor(row, 1)?, refunded, at_ms: row.get(2)? })
    })
}

fn releases(connection: Sql<'_>, at: Moment, leg: i64) -> Result<Vec<ReleaseView>> {
    let sql = "-- release_views
        select release_id, amount_minor, released_at_ms from release
        where merchant_id = ?1 and payment_id = ?2 and seq <= ?3 and leg_no = ?4 order by seq";
    let (merchant, payment, seq) = at.key();
    connection.query(sql, params![merchant, payment, seq, leg], |row| {
        Ok(ReleaseView { id: id(row, 0)?, amount: minor(row, 1)?, at_ms: row.get(2)? })
    })
}

/// What succeeded refunds took from each capture, as of the moment. One statement, however many they
/// are.
fn given_back(
    connection: Sql<'_>,
    at: Moment,
    refunds: &[RefundView],
) -> Result<HashMap<CaptureId, Minor>> {
    let succeeded = refunds.iter().filter(|refund| refund.status == Status::Succeeded);
    let succeeded: HashSet<u128> = succeeded.map(|refund| refund.id.bits()).collect();
    let mut given: HashMap<CaptureId, Minor> = HashMap::new();
    if succeeded.is_empty() {
        return Ok(given);
    }
    let sql = "-- parts
        select a.refund_id, a.capture_id, a.amount_minor
        from refund r join allocation a on a.merchant_id = r.merchant_id
            and a.refund_id = r.refund_id
        where r.merchant_id = ?1 and r.payment_id = ?2";
    let (merchant, payment, _) = at.key();
    connection.each(sql, params![merchant, payment], |row| {
        if succeeded.contains(&id(row, 0)?) {
            let sum = given.entry(CaptureId::new(id(row, 1)?)).or_default();
            *sum = sum.checked_add(minor(row, 2)?).unwrap_or(*sum);
        }
        Ok(())
    })?;
    Ok(given)
}
