//! Payments as they are, or as they were after one of their events.
//!
//! A page of payments is read with the statements of one: each tells of all of them.

use std::collections::HashMap;

use requite_core::id::{CaptureId, LegId, MerchantId, PaymentId, RefundId};
use requite_core::money::Minor;
use requite_core::payment::LegKind;
use requite_core::refund::{Allocation, Status};

use super::super::book::{currency, fault_of, first_part, minor, status};
use super::super::story::{STORY, is_own, own, own_of_all};
use super::super::{Bind, Result, Row, Sql, blob, corrupt, id, maybe_id, params};
use super::{REFUND_COLUMNS, REFUND_JOINS, refund_view};
use crate::command::RefundRef;
use crate::event::Kind;
use crate::read::{
    CaptureView, LegView, OperationKind, OperationView, PaymentView, RefundOfPayment, RefundView,
    ReleaseView,
};

/// Payments that one statement reads. More would need no fewer statements worth the longer text.
const TOGETHER_MAX: usize = 100;
/// So many marks have the statements, so that few texts serve every page.
const MARKS: [usize; 3] = [1, 10, TOGETHER_MAX];

/// A payment as it is, or as it was after one of its events.
pub(super) fn payment_view(
    connection: Sql<'_>,
    merchant: MerchantId,
    payment: PaymentId,
    as_of: Option<u32>,
) -> Result<Option<PaymentView>> {
    Ok(views(connection, Moment { merchant, payments: &[payment], as_of })?.pop())
}

/// Payments as they are, or as they were after their event of this number, in this order. The number of
/// statements does not depend on how many they are, up to [`TOGETHER_MAX`].
pub(super) fn payment_views(
    connection: Sql<'_>,
    merchant: MerchantId,
    payments: &[PaymentId],
    as_of: Option<u32>,
) -> Result<Vec<PaymentView>> {
    let mut all = Vec::with_capacity(payments.len());
    for payments in payments.chunks(TOGETHER_MAX) {
        all.extend(views(connection, Moment { merchant, payments, as_of })?);
    }
    Ok(all)
}

/// Payments of one merchant, at most [`TOGETHER_MAX`], as they are or as they were after their event of this
/// number.
#[derive(Clone, Copy)]
struct Moment<'p> {
    merchant: MerchantId,
    payments: &'p [PaymentId],
    as_of: Option<u32>,
}

impl Moment<'_> {
    /// Runs a statement on these payments, which are its `(?3, ...)`; `?1` is the merchant and `?2` the
    /// number of the newest event that counts.
    fn each(
        self,
        connection: Sql<'_>,
        sql: &str,
        see: impl FnMut(&Row<'_>) -> Result<()>,
    ) -> Result<()> {
        let marks = MARKS.into_iter().find(|marks| *marks >= self.payments.len());
        let marks = marks.unwrap_or(TOGETHER_MAX);
        let list: Vec<String> = (3..).take(marks).map(|mark: usize| format!("?{mark}")).collect();
        let sql = sql.replace("?3, ...", &list.join(", "));
        let (merchant, seq) = (blob(self.merchant.bits()), self.as_of.unwrap_or(u32::MAX));
        // The last one as often as there are marks left.
        let ids: Vec<[u8; 16]> = self.payments.iter().map(|id| blob(id.bits())).collect();
        let last = ids.last().into_iter().cycle().take(marks.saturating_sub(ids.len()));
        let mut params: Vec<&dyn Bind> = vec![&merchant, &seq];
        params.extend(ids.iter().chain(last).map(|id| -> &dyn Bind { id }));
        connection.each(&sql, &params, see)
    }

    /// What a statement whose first column is the payment's id tells of each payment.
    fn gather<T>(
        self,
        connection: Sql<'_>,
        sql: &str,
        view: impl Fn(&Row<'_>) -> Result<T>,
    ) -> Result<Gathered<T>> {
        let mut gathered = Gathered(HashMap::new());
        self.each(connection, sql, |row| {
            let of = gathered.0.entry(PaymentId::new(id(row, 0)?));
            of.or_default().push(view(row)?);
            Ok(())
        })?;
        Ok(gathered)
    }
}

/// What there is of each payment, in the statement's order.
struct Gathered<T>(HashMap<PaymentId, Vec<T>>);

impl<T> Gathered<T> {
    fn take(&mut self, payment: PaymentId) -> Vec<T> {
        self.0.remove(&payment).unwrap_or_default()
    }
}

fn views(connection: Sql<'_>, at: Moment<'_>) -> Result<Vec<PaymentView>> {
    let mut heads = heads(connection, at)?;
    let (mut refunds, parts) = refunds_of(connection, at)?;
    if at.as_of.is_some() {
        as_they_were(connection, at, &mut refunds)?;
    }
    let mut legs = legs(connection, at, &given_back(connection, at, &refunds, &parts)?)?;
    let mut amended = amended(connection, at)?;
    let mut aliases = aliases(connection, at)?;
    let mut operations = operations(connection, at)?;
    let found = at.payments.iter().filter_map(|&payment| {
        let head = heads.take(payment).pop()?;
        let Amended { name, metadata } = amended.remove(&payment).unwrap_or_default();
        Some(PaymentView {
            legs: legs.take(payment),
            refunds: refunds.take(payment),
            external_identifier: name.unwrap_or(head.external_identifier),
            aliases: aliases.take(payment),
            metadata,
            operations: operations.take(payment),
            ..head
        })
    });
    Ok(found.collect())
}

/// What the payment's own row and its head tell; what hangs on them is left empty.
///
fn heads(connection: Sql<'_>, at: Moment<'_>) -> Result<Gathered<PaymentView>> {
    let sql = "-- payment_view
        select p.payment_id, p.currency, p.exponent, p.connector, p.connector_payment,
            p.external_identifier, p.order_ref, p.customer, p.description, p.profile,
            p.created_at_ms, p.cancelled_at_ms, p.fault_code, p.fault_text,
            h.seq, h.updated_at_ms
        from payment p
        join payment_head h on h.merchant_id = p.merchant_id and h.payment_id = p.payment_id
        where p.merchant_id = ?1 and p.payment_id in (?3, ...) and h.payment_id in (?3, ...)";
    let mut heads = at.gather(connection, sql, |row| {
        Ok(PaymentView {
            merchant: at.merchant,
            id: PaymentId::new(id(row, 0)?),
            currency: currency(row, 1, 2)?,
            legs: Vec::new(),
            refunds: Vec::new(),
            connector: row.get(3)?,
            connector_payment: row.get(4)?,
            external_identifier: row.get(5)?,
            order: row.get(6)?,
            customer: row.get(7)?,
            description: row.get(8)?,
            aliases: Vec::new(),
            profile: row.get(9)?,
            metadata: None,
            decline: fault_of(row, 12, 13)?,
            operations: Vec::new(),
            created_at_ms: row.get(10)?,
            updated_at_ms: row.get(15)?,
            cancelled_at_ms: row.get(11)?,
            seq: row.get(14)?,
        })
    })?;
    for head in heads.0.values_mut().flatten() {
        if let Some(seq) = at.as_of.filter(|seq| *seq < head.seq) {
            head.updated_at_ms = updated_at(connection, head, seq)?;
            head.seq = seq;
        }
    }
    Ok(heads)
}

/// When a payment had last changed when its event of this number was the newest.
///
/// It changed at the time of the event itself, or while nothing but its registration happened at the
/// payment's own time: the time by which lists are ordered. Captures of a registration have no operation
/// row.
fn updated_at(connection: Sql<'_>, of: &PaymentView, seq: u32) -> Result<i64> {
    let own = own(connection);
    let sql = format!(
        "-- updated_at
        {own}{STORY}
        select e.kind > 2 or e.at_ms > (select f.at_ms from event f
                where f.merchant_id = ?1 and f.about = ?2 and f.seq = 1)
            or (e.kind = 2 and exists (select 1 from operation p
                where p.merchant_id = ?1 and p.payment_id = ?2 and p.seq = ?3)), e.at_ms
        from story s cross join event e
        where e.merchant_id = ?1 and e.about = s.about and e.payment_id = ?2 and e.seq = ?3"
    );
    let key = params![blob(of.merchant.bits()), blob(of.id.bits()), seq];
    let told = connection
        .find(&sql, key, |row| Ok(if row.get(0)? { row.get(1)? } else { of.created_at_ms }))?;
    Ok(told.unwrap_or(of.created_at_ms))
}

/// What amendments put in place of what was registered.
#[derive(Default)]
struct Amended {
    name: Option<Option<String>>,
    metadata: Option<String>,
}

fn amended(connection: Sql<'_>, at: Moment<'_>) -> Result<HashMap<PaymentId, Amended>> {
    let sql = "-- amendments
        select payment_id, renames, external_identifier, metadata from amendment
        where merchant_id = ?1 and seq <= ?2 and payment_id in (?3, ...) order by payment_id, seq";
    let mut amended: HashMap<PaymentId, Amended> = HashMap::new();
    at.each(connection, sql, |row| {
        let of = amended.entry(PaymentId::new(id(row, 0)?)).or_default();
        if row.get(1)? {
            of.name = Some(row.get(2)?);
        }
        of.metadata = row.get::<Option<String>>(3)?.or(of.metadata.take());
        Ok(())
    })?;
    Ok(amended)
}

fn operations(connection: Sql<'_>, at: Moment<'_>) -> Result<Gathered<OperationView>> {
    // Kind 7 (amended) is told elsewhere, as is what is about refunds.
    let sql = "-- operations
        select e.payment_id, e.seq, e.kind, coalesce(e.subject, e.about), e.amount_minor, e.fault_code, e.fault_text,
            e.actor, e.at_ms, o.kind, o.face, coalesce(o.is_final, 0), o.given_id,
            o.external_identifier, o.reference_day, o.reference_no
        from event e left join operation o on o.merchant_id = e.merchant_id
            and o.payment_id = e.payment_id and o.seq = e.seq
        where e.merchant_id = ?1 and e.seq <= ?2 and e.about in (?3, ...)
            and e.payment_id = e.about and e.kind <> 7
        order by e.payment_id, e.seq";
    at.gather(connection, sql, |row| {
        let told = match Kind::from_number(row.get(2)?) {
            Some(Kind::Registered) => Some(OperationKind::Registration),
            Some(Kind::Captured) => Some(OperationKind::Capture),
            Some(Kind::Released) => Some(OperationKind::Void),
            Some(Kind::Extended) => Some(OperationKind::Extension),
            _ => row.get::<Option<u8>>(9)?.and_then(OperationKind::from_number),
        };
        let day: Option<i64> = row.get(14)?;
        let number: Option<u32> = row.get(15)?;
        Ok(OperationView {
            seq: row.get(1)?,
            kind: told.ok_or_else(|| corrupt("an operation of unknown kind"))?,
            id: id(row, 3)?,
            amount: minor(row, 4)?,
            fault: fault_of(row, 5, 6)?,
            actor: row.get(7)?,
            at_ms: row.get(8)?,
            face: row.get(10)?,
            is_final: row.get(11)?,
            given_id: maybe_id(row, 12)?,
            external_identifier: row.get(13)?,
            reference: day.zip(number),
        })
    })
}

fn aliases(connection: Sql<'_>, at: Moment<'_>) -> Result<Gathered<String>> {
    let sql = "-- aliases
        select payment_id, alias from alias
        where merchant_id = ?1 and payment_id in (?3, ...) order by payment_id, alias";
    at.gather(connection, sql, |row| row.get(1))
}

/// What a refund takes from the first of its captures.
type FirstParts = HashMap<RefundId, Allocation>;

fn refunds_of(connection: Sql<'_>, at: Moment<'_>) -> Result<(Gathered<RefundView>, FirstParts)> {
    let (own_of_all, is_own) = (own_of_all(connection), is_own(connection));
    let sql = format!(
        "-- refunds_of
        {own_of_all}
        {REFUND_COLUMNS} from refund r {REFUND_JOINS}
        where r.merchant_id = ?1 and r.refund_id {is_own} and r.asked_seq <= ?2
        order by r.payment_id, r.asked_seq"
    );
    let (mut gathered, mut parts) = (Gathered(HashMap::new()), FirstParts::new());
    at.each(connection, &sql, |row| {
        let refund = refund_view(at.merchant, row)?;
        parts.extend(first_part(row, 41)?.map(|part| (refund.id, part)));
        let of: &mut Vec<RefundView> = gathered.0.entry(refund.payment).or_default();
        of.push(refund);
        Ok(())
    })?;
    Ok((gathered, parts))
}

/// Puts refunds to what their newest event at or before the moment said. Also when that is the
/// newest of all: a row may know more than its last event (a fault's newer text, the time of the
/// last news in a batch, when it is looked at next), and what was answered must look the same for
/// ever.
fn as_they_were(
    connection: Sql<'_>,
    at: Moment<'_>,
    refunds: &mut Gathered<RefundView>,
) -> Result<()> {
    let (own_of_all, is_own) = (own_of_all(connection), is_own(connection));
    let sql = format!(
        "-- refund_events
        {own_of_all}
        select e.about, e.status, e.psp_refund, e.fault_code, e.fault_text, e.at_ms
        from event e
        where e.merchant_id = ?1 and e.about {is_own} and e.payment_id in (?3, ...)
            and e.seq <= ?2 and e.kind = 4
        order by e.payment_id, e.seq"
    );
    let all = refunds.0.values_mut().flatten();
    let mut places: HashMap<u128, &mut RefundView> =
        all.map(|refund| (refund.id.bits(), refund)).collect();
    places.values_mut().for_each(|refund| refund.forget());
    at.each(connection, &sql, |row| match places.get_mut(&id(row, 0)?) {
        Some(refund) => retell(refund, row),
        None => Ok(()),
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
        {REFUND_COLUMNS} from refund r {REFUND_JOINS}
        where r.merchant_id = ?1 and r.refund_id = ?2 and r.payment_id = ?3"
    );
    let (merchant, payment) = (blob(of.merchant.bits()), blob(of.payment.bits()));
    let refund_id = blob(of.refund.bits());
    let found = connection.find(&sql, params![merchant, refund_id, payment], |row| {
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
        refund.forget();
        let sql = "-- events_of_refund
            select about, status, psp_refund, fault_code, fault_text, at_ms from event
            where merchant_id = ?1 and about = ?2 and payment_id = ?3 and seq <= ?4 and kind = 4
            order by seq";
        let events = params![merchant, refund_id, payment, seq];
        connection.each(sql, events, |row| retell(&mut refund, row))?;
    }
    let at = Moment { merchant: of.merchant, payments: &[of.payment], as_of };
    let renamed = amended(connection, at)?.remove(&of.payment).and_then(|amended| amended.name);
    let external_identifier = renamed.unwrap_or(registered);
    Ok(Some(RefundOfPayment { refund, external_identifier, order }))
}

/// What the columns of `refund_events` tell of a refund from that event on.
fn retell(refund: &mut RefundView, row: &Row<'_>) -> Result<()> {
    refund.retell((status(row, 1)?, row.get(2)?), fault_of(row, 3, 4)?, row.get(5)?);
    Ok(())
}

fn legs(connection: Sql<'_>, at: Moment<'_>, given: &GivenBack) -> Result<Gathered<LegView>> {
    let captures = captures(connection, at, given)?;
    let releases = releases(connection, at)?;
    let sql = "-- leg_views
        select payment_id, leg_no, leg_id, amount_minor from leg
        where merchant_id = ?1 and payment_id in (?3, ...) order by payment_id, leg_no";
    at.gather(connection, sql, |row| {
        let number: i64 = row.get(1)?;
        let payment = PaymentId::new(id(row, 0)?);
        Ok(LegView {
            id: LegId::new(id(row, 2)?),
            kind: if number == 0 { LegKind::PaymentMethod } else { LegKind::GiftCard },
            amount: minor(row, 3)?,
            captures: captures.of_leg(payment, number),
            releases: releases.of_leg(payment, number),
        })
    })
}

impl<T: Clone> Gathered<(i64, T)> {
    fn of_leg(&self, payment: PaymentId, number: i64) -> Vec<T> {
        let all = self.0.get(&payment).into_iter().flatten();
        all.filter(|(leg, _)| *leg == number).map(|(_, of)| of.clone()).collect()
    }
}

/// Each with the number of its leg.
fn captures(
    connection: Sql<'_>,
    at: Moment<'_>,
    given: &GivenBack,
) -> Result<Gathered<(i64, CaptureView)>> {
    let sql = "-- capture_views
        select payment_id, leg_no, capture_id, captured_minor, captured_at_ms from capture
        where merchant_id = ?1 and seq <= ?2 and payment_id in (?3, ...)
        order by payment_id, seq";
    at.gather(connection, sql, |row| {
        let (payment, id) = (PaymentId::new(id(row, 0)?), CaptureId::new(id(row, 2)?));
        let refunded = given.get(&(payment, id)).copied().unwrap_or_default();
        let view = CaptureView { id, amount: minor(row, 3)?, refunded, at_ms: row.get(4)? };
        Ok((row.get(1)?, view))
    })
}

/// Each with the number of its leg.
fn releases(connection: Sql<'_>, at: Moment<'_>) -> Result<Gathered<(i64, ReleaseView)>> {
    let sql = "-- release_views
        select payment_id, leg_no, release_id, amount_minor, released_at_ms from release
        where merchant_id = ?1 and seq <= ?2 and payment_id in (?3, ...)
        order by payment_id, seq";
    at.gather(connection, sql, |row| {
        let view = ReleaseView { id: id(row, 2)?, amount: minor(row, 3)?, at_ms: row.get(4)? };
        Ok((row.get(1)?, view))
    })
}

type GivenBack = HashMap<(PaymentId, CaptureId), Minor>;

/// What succeeded refunds took from each capture, as of the moment. Where all of it was of their first
/// captures, nothing more is read.
fn given_back(
    connection: Sql<'_>,
    at: Moment<'_>,
    refunds: &Gathered<RefundView>,
    parts: &FirstParts,
) -> Result<GivenBack> {
    let succeeded = refunds.0.values().flatten();
    let succeeded = succeeded.filter(|refund| refund.status == Status::Succeeded);
    let (mut given, mut divided) = (GivenBack::new(), HashMap::new());
    let mut give = |payment, part: &Allocation| {
        let sum: &mut Minor = given.entry((payment, part.capture)).or_default();
        *sum = sum.checked_add(part.amount).unwrap_or(*sum);
    };
    for refund in succeeded {
        let first = parts.get(&refund.id);
        first.into_iter().for_each(|part| give(refund.payment, part));
        if first.is_none_or(|part| part.amount < refund.amount) {
            divided.insert(refund.id, refund.payment);
        }
    }
    if divided.is_empty() {
        return Ok(given);
    }
    let (own_of_all, is_own) = (own_of_all(connection), is_own(connection));
    let sql = format!(
        "-- parts
        {own_of_all}
        select a.refund_id, a.capture_id, a.amount_minor from allocation a
        where a.merchant_id = ?1 and a.refund_id {is_own}"
    );
    at.each(connection, &sql, |row| {
        if let Some(&payment) = divided.get(&RefundId::new(id(row, 0)?)) {
            let capture = CaptureId::new(id(row, 1)?);
            give(payment, &Allocation { capture, amount: minor(row, 2)? });
        }
        Ok(())
    })?;
    Ok(given)
}
