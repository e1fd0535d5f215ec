//! What a batch changes: a few statements, however much it is.
//!
//! Every row that is changed was locked when it was read, or is new. That nothing came in between is
//! held by conditions all the same: a head that moved on, a key or a name that somebody else took, a
//! row that is not there roll the batch back, and it is decided again on what is there now.

mod books;

use std::collections::{BTreeMap, HashSet};

use requite_core::id::{MerchantId, PaymentId, RefundId};
use requite_core::refund::Status;

use self::books::{
    insert_payments, rename_books, save_books, save_captures, save_releases, take_names,
};

use super::link::{Session, Trouble, Writes};
use super::rows::{Cell, Rows, corrupt, row};
use crate::command::Reason;
use crate::event::Event;
use crate::key::{KeyOutcome, KeyRecord, booking_refusal_text, refusal_text};
use crate::psp::CallKind;
use crate::store::sql::book::{Place, Places};
use crate::store::sql::outbox;
use crate::store::{
    AttemptOutcome, Changes, JournalLine, Loaded, NewAlarm, NewAmendment, NewAttempt, NewOperation,
    NewRefund, RefundChange,
};

/// What there was when the batch was read.
pub(super) struct Before {
    places: Places,
    keys: HashSet<(MerchantId, [u8; 16])>,
    counters: HashSet<(MerchantId, i64)>,
}

impl Before {
    pub(super) fn of(loaded: &Loaded, places: Places) -> Before {
        Before {
            places,
            keys: loaded.keys.keys().copied().collect(),
            counters: loaded.counters.keys().copied().collect(),
        }
    }

    /// Where a payment is that was read.
    fn place(&self, of: (MerchantId, PaymentId)) -> Result<Place, Trouble> {
        let place = self.places.get(&of).copied();
        place.ok_or_else(|| corrupt("no head of a payment that was read"))
    }
}

pub(super) fn save(
    session: &mut Session<'_>,
    changes: &Changes,
    before: &Before,
) -> Result<(), Trouble> {
    session.write(&writes(changes, before)?)
}

fn writes<'c>(changes: &'c Changes, before: &Before) -> Result<Writes<'c>, Trouble> {
    let mut all = Writes::default();
    let writes = &mut all;
    insert_payments(writes, &changes.registered);
    save_books(writes, &changes.books, before)?;
    rename_books(writes, &changes.books, &changes.amendments);
    save_releases(writes, &changes.books)?;
    save_captures(writes, &changes.books, before)?;
    insert_refunds(writes, &changes.asked());
    update_refunds(writes, &changes.refunds);
    insert_changes(writes, changes);
    save_attempts(writes, &changes.attempts, &changes.attempt_outcomes);
    insert_events(writes, &changes.posted());
    queue_deliveries(writes, &changes.events);
    save_counters(writes, &changes.counters, before);
    save_keys(writes, &changes.keys, before);
    insert_operations(writes, &changes.operations);
    insert_amendments(writes, &changes.amendments);
    insert_alarms(writes, &changes.alarms);
    Ok(all)
}

/// The first part of a refund lies in its row.
fn insert_refunds<'c>(writes: &mut Writes<'c>, refunds: &[&'c NewRefund]) {
    let sql = "-- insert_allocations
        insert into allocation (merchant_id, refund_id, ordinal, capture_id, amount_minor)
        select unnest($1), unnest($2), unnest($3), unnest($4), unnest($5)";
    let parts = refunds.iter().flat_map(|new| {
        new.record.refund.allocations.iter().zip(0_i64..).skip(1).map(|(part, ordinal)| {
            let (merchant, refund) = (new.key.merchant.bits(), new.key.refund.bits());
            row![merchant, refund, ordinal, part.capture.bits(), part.amount.units()]
        })
    });
    writes.all(sql, Rows::of(parts));
    let sql = "-- insert_refunds
        insert into refund (merchant_id, refund_id, payment_id, leg_id, amount_minor,
            allocated_minor, status, attempt, sends, looks, call_no, next_action_at_ms,
            psp_refund, fault_code, fault_text, face, actor, reason_code, reason_text, reason_id,
            note, external_identifier, given_id, key_text, reference_day, reference_no, asked_seq,
            asked_at_ms, sent_at_ms, settled_at_ms, updated_at_ms, metadata, heard_at_ms,
            capture_id, capture_minor)
        select unnest($1), unnest($2), unnest($3), unnest($4), unnest($5), unnest($6),
            unnest($7), unnest($8), unnest($9), unnest($10), unnest($11), unnest($12),
            unnest($13), unnest($14), unnest($15), unnest($16), unnest($17), unnest($18),
            unnest($19), unnest($20), unnest($21), unnest($22), unnest($23), unnest($24),
            unnest($25), unnest($26), unnest($27), unnest($28), unnest($29), unnest($30),
            unnest($31), unnest($32), unnest($33), unnest($34), unnest($35)";
    writes.all(sql, Rows::of(refunds.iter().map(|new| refund_row(new))));
}

fn refund_row(new: &NewRefund) -> [Cell<'_>; 35] {
    let NewRefund { key, record, details, reference, asked_seq, asked_at_ms, .. } = new;
    let refund = &record.refund;
    let first = refund.allocations.first();
    let fault = refund.fault.as_ref();
    let reason = match details.reason {
        Reason::Kept(id) => Some(id.bits()),
        Reason::None | Reason::Unknown => None,
    };
    row![
        key.merchant.bits(),
        key.refund.bits(),
        key.payment.bits(),
        refund.leg.bits(),
        refund.amount.units(),
        new.allocated(),
        refund.status.number(),
        refund.attempt,
        refund.sends,
        refund.looks,
        record.call_no,
        refund.next_action_at_ms,
        refund.psp_refund.as_ref(),
        fault.map(|fault| &fault.code),
        fault.map(|fault| &fault.text),
        &details.face,
        &details.actor,
        details.reason_code.as_ref(),
        details.reason_text.as_ref(),
        reason,
        details.note.as_ref(),
        details.external_identifier.as_ref(),
        details.given_id,
        details.key_text.as_ref(),
        reference.map(|(day, _)| day),
        reference.map(|(_, number)| number),
        *asked_seq,
        *asked_at_ms,
        (refund.sends > 0).then_some(*asked_at_ms),
        (!refund.status.is_open()).then_some(*asked_at_ms),
        *asked_at_ms,
        details.metadata.as_ref(),
        record.heard_at_ms,
        first.map(|part| part.capture.bits()),
        first.map(|part| part.amount.units()),
    ]
}

fn update_refunds<'c>(writes: &mut Writes<'c>, refunds: &'c [RefundChange]) {
    let sql = "-- update_refunds
        update refund r set status = n.status, attempt = n.attempt, sends = n.sends,
            looks = n.looks, call_no = n.call_no, next_action_at_ms = n.next_action_at_ms,
            psp_refund = n.psp_refund, fault_code = n.fault_code, fault_text = n.fault_text,
            sent_at_ms = coalesce(r.sent_at_ms, case when n.sends > 0 then n.at_ms end),
            unknown_at_ms = coalesce(r.unknown_at_ms, case when n.status = 6 then n.at_ms end),
            settled_at_ms = case when n.next_action_at_ms is not null then null
                when r.status = n.status then r.settled_at_ms else n.at_ms end,
            updated_at_ms = case when r.status = n.status then r.updated_at_ms else n.at_ms end,
            heard_at_ms = n.heard_at_ms
        from unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
            as n (merchant_id, refund_id, status, attempt, sends, looks, call_no,
                next_action_at_ms, psp_refund, fault_code, fault_text, at_ms, heard_at_ms)
        where r.merchant_id = n.merchant_id and r.refund_id = n.refund_id
            and r.attempt <= n.attempt";
    let rows = refunds.iter().map(|RefundChange { key, record, at_ms }| {
        let refund = &record.refund;
        let fault = refund.fault.as_ref();
        row![
            key.merchant.bits(),
            key.refund.bits(),
            refund.status.number(),
            refund.attempt,
            refund.sends,
            refund.looks,
            record.call_no,
            refund.next_action_at_ms,
            refund.psp_refund.as_ref(),
            fault.map(|fault| &fault.code),
            fault.map(|fault| &fault.text),
            *at_ms,
            record.heard_at_ms,
        ]
    });
    writes.all(sql, Rows::of(rows));
}

/// Two batches of one millisecond may change the same.
fn insert_changes(writes: &mut Writes<'_>, changes: &Changes) {
    let sql = "-- insert_changes
        insert into change (merchant_id, at_ms, payment_id, about)
        select unnest($1), unnest($2), unnest($3), unnest($4) on conflict do nothing";
    let rows = changes.changed().into_iter();
    let rows = rows.map(|(merchant, at_ms, payment, about)| {
        row![merchant.bits(), at_ms, payment.bits(), about]
    });
    writes.some(sql, Rows::of(rows));
}

fn save_attempts<'c>(
    writes: &mut Writes<'c>,
    attempts: &'c [NewAttempt],
    outcomes: &'c [AttemptOutcome],
) {
    let sql = "-- insert_attempts
        insert into attempt (merchant_id, refund_id, attempt, kind, call_no, prepared_at_ms)
        select unnest($1), unnest($2), unnest($3), unnest($4), unnest($5), unnest($6)";
    let rows = attempts.iter().map(|NewAttempt { key, attempt, kind, call_no, at_ms }| {
        let kind: i64 = match kind {
            CallKind::Send => 1,
            CallKind::LookUp => 2,
            CallKind::Cancel => 3,
        };
        row![key.merchant.bits(), key.refund.bits(), *attempt, kind, *call_no, *at_ms]
    });
    writes.all(sql, Rows::of(rows));
    // An outcome may come twice, or for a call that another process made: the first one stands.
    let mut first = BTreeMap::new();
    for AttemptOutcome { key, attempt, outcome, at_ms } in outcomes {
        let of = (key.merchant, key.refund, *attempt);
        first.entry(of).or_insert((*outcome, *at_ms));
    }
    let sql = "-- update_attempts
        update attempt a set outcome = n.outcome, answered_at_ms = n.at_ms
        from unnest($1, $2, $3, $4, $5) as n (merchant_id, refund_id, attempt, outcome, at_ms)
        where a.merchant_id = n.merchant_id and a.refund_id = n.refund_id
            and a.attempt = n.attempt and a.outcome is null";
    let rows = first.iter().map(|((merchant, refund, attempt), (outcome, at_ms))| {
        row![merchant.bits(), refund.bits(), *attempt, *outcome, *at_ms]
    });
    writes.some(sql, Rows::of(rows));
}

/// The first line of what an event moved lies in its row.
fn insert_events<'c>(writes: &mut Writes<'c>, posted: &[(&'c Event, &'c [JournalLine])]) {
    let sql = "-- insert_events
        insert into event (merchant_id, payment_id, seq, kind, subject, amount_minor, status,
            psp_refund, fault_code, fault_text, actor, at_ms, hash, about, capture_id, debit,
            credit, moved_minor)
        select unnest($1), unnest($2), unnest($3), unnest($4), unnest($5), unnest($6),
            unnest($7), unnest($8), unnest($9), unnest($10), unnest($11), unnest($12),
            unnest($13), unnest($14), unnest($15), unnest($16), unnest($17), unnest($18)";
    let rows = posted.iter().map(|(event, lines)| {
        let fault = event.fault.as_ref();
        let first = lines.first().map(|line| &line.entry);
        row![
            event.merchant.bits(),
            event.payment.bits(),
            event.seq,
            event.kind.number(),
            event.part(),
            event.amount.units(),
            event.status.map(Status::number),
            event.psp_refund.as_ref(),
            fault.map(|fault| &fault.code),
            fault.map(|fault| &fault.text),
            &event.actor,
            event.at_ms,
            event.hash,
            event.about(),
            first.map(|entry| entry.capture.bits()),
            first.map(|entry| entry.debit.number()),
            first.map(|entry| entry.credit.number()),
            first.map(|entry| entry.amount.units()),
        ]
    });
    writes.all(sql, Rows::of(rows));
    let sql = "-- insert_journal
        insert into journal (merchant_id, about, seq, line, capture_id, debit, credit,
            amount_minor)
        select unnest($1), unnest($2), unnest($3), unnest($4), unnest($5), unnest($6),
            unnest($7), unnest($8)";
    let others = posted.iter().flat_map(|(_, lines)| lines.iter().skip(1));
    let rows = others.map(|JournalLine { merchant, about, seq, line, entry, .. }| {
        row![
            merchant.bits(),
            *about,
            *seq,
            *line,
            entry.capture.bits(),
            entry.debit.number(),
            entry.credit.number(),
            entry.amount.units(),
        ]
    });
    writes.all(sql, Rows::of(rows));
}

/// Puts new events on the way to every endpoint of their merchants. Where one is on its way already, its
/// row is locked and moved on, so that whoever confirms it meanwhile does not take it away.
fn queue_deliveries<'c>(writes: &mut Writes<'c>, events: &'c [Event]) {
    let sql = "-- queue_deliveries
        insert into webhook_delivery (endpoint_id, payment_id, merchant_id, next_seq, last_seq,
            failures, next_try_at_ms)
        select e.endpoint_id, n.payment_id, n.merchant_id, n.next_seq, n.last_seq, 0, n.at_ms
        from unnest($1, $2, $3, $4, $5) as n (merchant_id, payment_id, next_seq, last_seq, at_ms)
            join webhook_endpoint e on e.merchant_id = n.merchant_id and e.is_active = 1
        order by e.endpoint_id, n.payment_id
        on conflict (endpoint_id, payment_id, merchant_id) do update set last_seq = excluded.last_seq";
    let rows = outbox::by_payment(events);
    let rows = rows.into_iter().map(|((merchant, payment), (first, last, at_ms))| {
        row![merchant.bits(), payment.bits(), first, last, at_ms]
    });
    writes.some(sql, Rows::of(rows));
}

fn save_counters<'c>(
    writes: &mut Writes<'c>,
    counters: &'c [((MerchantId, i64), u32)],
    before: &Before,
) {
    let mut counters: Vec<_> = counters.to_vec();
    counters.sort_unstable();
    let (known, new): (Vec<_>, Vec<_>) =
        counters.iter().partition(|(of, _)| before.counters.contains(of));
    let rows = |counters: Vec<((MerchantId, i64), u32)>| {
        Rows::of(counters.into_iter().map(|(of, last)| row![of.0.bits(), of.1, last]))
    };
    let sql = "-- insert_counters
        insert into reference_counter (merchant_id, day, last_no)
        select unnest($1), unnest($2), unnest($3)";
    writes.all(sql, rows(new));
    let sql = "-- update_counters
        update reference_counter c set last_no = n.last_no
        from unnest($1, $2, $3) as n (merchant_id, day, last_no)
        where c.merchant_id = n.merchant_id and c.day = n.day";
    writes.all(sql, rows(known));
}

/// A key that was free when the batch was read is inserted: if another lane has used it since, the
/// batch is decided again, and now sees what it stands for.
fn save_keys<'c>(
    writes: &mut Writes<'c>,
    keys: &'c [((MerchantId, [u8; 16]), KeyRecord)],
    before: &Before,
) {
    let mut keys: Vec<&((MerchantId, [u8; 16]), KeyRecord)> = keys.iter().collect();
    keys.sort_unstable_by_key(|(of, _)| *of);
    let mut new = Rows::default();
    let mut known = Rows::default();
    for ((merchant, hash), record) in keys {
        let is_known = before.keys.contains(&(*merchant, *hash));
        let rows = if is_known { &mut known } else { &mut new };
        rows.push(key_row(*merchant, *hash, record));
    }
    let sql = "-- insert_keys
        insert into idempotency (merchant_id, key_hash, fingerprint, at_ms, payment_id, refund_id,
            answered_seq, answered_status, refusal, was_present)
        select unnest($1), unnest($2), unnest($3), unnest($4), unnest($5), unnest($6),
            unnest($7), unnest($8), unnest($9), unnest($10)";
    writes.all(sql, new);
    let sql = "-- update_keys
        update idempotency i set fingerprint = n.fingerprint, at_ms = n.at_ms,
            payment_id = n.payment_id, refund_id = n.refund_id, answered_seq = n.answered_seq,
            answered_status = n.answered_status, refusal = n.refusal, was_present = n.was_present
        from unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
            as n (merchant_id, key_hash, fingerprint, at_ms, payment_id, refund_id, answered_seq,
                answered_status, refusal, was_present)
        where i.merchant_id = n.merchant_id and i.key_hash = n.key_hash";
    writes.all(sql, known);
}

fn key_row<'a>(merchant: MerchantId, hash: [u8; 16], record: &KeyRecord) -> [Cell<'a>; 10] {
    let (mut payment, mut refund, mut seq, mut status) = (None, None, None, None);
    let mut refusal: Option<String> = None;
    match &record.outcome {
        KeyOutcome::Refund { refund: of, answered } => {
            payment = Some(of.payment);
            refund = Some(of.refund);
            seq = answered.map(|(seq, _)| seq);
            status = answered.map(|(_, status)| status);
        }
        KeyOutcome::Booked { payment: of, seq: at }
        | KeyOutcome::Present { payment: of, seq: at } => {
            payment = Some(*of);
            seq = Some(*at);
        }
        KeyOutcome::Refused(why) => refusal = refusal_text(why),
        KeyOutcome::BookingRefused(why) => refusal = booking_refusal_text(why),
    }
    let was_present = matches!(record.outcome, KeyOutcome::Present { .. });
    row![
        merchant.bits(),
        hash,
        record.fingerprint,
        record.at_ms,
        payment.map(PaymentId::bits),
        refund.map(RefundId::bits),
        seq,
        status.map(Status::number),
        refusal,
        was_present,
    ]
}

fn insert_operations<'c>(writes: &mut Writes<'c>, operations: &'c [NewOperation]) {
    let sql = "-- insert_operations
        insert into operation (merchant_id, payment_id, seq, kind, is_final, face, given_id,
            external_identifier, reference_day, reference_no)
        select unnest($1), unnest($2), unnest($3), unnest($4), unnest($5), unnest($6),
            unnest($7), unnest($8), unnest($9), unnest($10)";
    let rows = operations.iter().map(|new| {
        row![
            new.merchant.bits(),
            new.payment.bits(),
            new.seq,
            new.kind.number(),
            new.is_final,
            &new.trace.face,
            new.trace.given_id,
            new.trace.external_identifier.as_ref(),
            new.reference.map(|(day, _)| day),
            new.reference.map(|(_, number)| number),
        ]
    });
    writes.all(sql, Rows::of(rows));
}

fn insert_amendments<'c>(writes: &mut Writes<'c>, amendments: &'c [NewAmendment]) {
    let sql = "-- insert_amendments
        insert into amendment (merchant_id, payment_id, seq, renames, external_identifier,
            metadata)
        select unnest($1), unnest($2), unnest($3), unnest($4), unnest($5), unnest($6)";
    let rows = amendments.iter().map(|new| {
        let (merchant, payment) = (new.merchant.bits(), new.payment.bits());
        let renames = new.external_identifier.is_some();
        let name = new.external_identifier.as_ref().and_then(Option::as_ref);
        row![merchant, payment, new.seq, renames, name, new.metadata.as_ref()]
    });
    writes.all(sql, Rows::of(rows));
    let names = amendments.iter().filter_map(|new| {
        let name = new.external_identifier.as_ref()?.as_deref()?;
        Some((new.merchant, name, new.payment))
    });
    take_names(writes, names.collect())
}

/// One that is raised again in the same moment is one.
fn insert_alarms<'c>(writes: &mut Writes<'c>, alarms: &'c [NewAlarm]) {
    let mut alarms: Vec<&NewAlarm> = alarms.iter().collect();
    alarms.sort_by_key(|new| (new.key, new.at_ms));
    let sql = "-- insert_alarms
        insert into alarm (merchant_id, at_ms, refund_id, alarm, payment_id)
        select unnest($1), unnest($2), unnest($3), unnest($4), unnest($5) on conflict do nothing";
    let rows = alarms.iter().map(|NewAlarm { key, alarm, at_ms }| {
        let (merchant, refund) = (key.merchant.bits(), key.refund.bits());
        row![merchant, *at_ms, refund, alarm.word(), key.payment.bits()]
    });
    writes.some(sql, Rows::of(rows));
}
