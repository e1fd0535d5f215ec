//! What a batch changes, row by row in one transaction.

mod books;

use requite_core::id::{MerchantId, PaymentId, RefundId};
use requite_core::refund::Status;

use self::books::{insert_payment, save_books, save_captures, save_releases};
use super::keys;
use super::load::Found;
use crate::command::Reason;
use crate::event::Event;
use crate::key::{KeyOutcome, KeyRecord, booking_refusal_text, refusal_text};
use crate::psp::CallKind;
use crate::store::sql::{Result, Sql, blob, corrupt, outbox, params, write_one};
use crate::store::{
    AttemptOutcome, Changes, JournalLine, NewAlarm, NewAmendment, NewAttempt, NewOperation,
    NewRefund, RefundChange,
};

pub(super) fn save(connection: Sql<'_>, changes: &Changes, found: &Found) -> Result<()> {
    for new in &changes.registered {
        insert_payment(connection, new)?;
    }
    save_books(connection, &changes.books, &found.books)?;
    save_releases(connection, &changes.books)?;
    save_captures(connection, &changes.books, &found.books)?;
    let asked = changes.asked();
    insert_refunds(connection, &asked)?;
    insert_parts(connection, &asked)?;
    update_refunds(connection, &changes.refunds)?;
    insert_changes(connection, changes)?;
    insert_attempts(connection, &changes.attempts)?;
    update_attempts(connection, &changes.attempt_outcomes)?;
    insert_events(connection, &changes.posted())?;
    outbox::queue(connection, &changes.events)?;
    put_keys(connection, &changes.keys, found)?;
    for operation in &changes.operations {
        insert_operation(connection, operation)?;
    }
    for amendment in &changes.amendments {
        insert_amendment(connection, amendment)?;
    }
    for alarm in &changes.alarms {
        insert_alarm(connection, alarm)?;
    }
    put_counters(connection, &changes.counters)
}

fn put_counters(connection: Sql<'_>, counters: &[((MerchantId, i64), u32)]) -> Result<()> {
    let mut put = connection.statement(
        "-- put_counter
        insert into reference_counter (merchant_id, day, last_no) values (?1, ?2, ?3)
        on conflict (merchant_id, day) do update set last_no = excluded.last_no",
    );
    counters.iter().try_for_each(|((merchant, day), last)| {
        put.write_one(params![blob(merchant.bits()), day, last])
    })
}

/// The first part of a refund lies in its row.
fn insert_refunds(connection: Sql<'_>, refunds: &[&NewRefund]) -> Result<()> {
    let mut insert = connection.statement(
        "-- insert_refund
        insert into refund (merchant_id, refund_id, payment_id, leg_id, amount_minor,
            allocated_minor, status, attempt, sends, looks, call_no, next_action_at_ms,
            psp_refund, fault_code, fault_text, face, actor, reason_code, reason_text, reason_id,
            note, external_identifier, given_id, key_text, reference_day, reference_no, asked_seq,
            asked_at_ms, sent_at_ms, settled_at_ms, updated_at_ms, metadata, heard_at_ms,
            previous_refund, capture_id, capture_minor)
        values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18,
            ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30, ?28, ?31, ?32,
            ?33, ?34, ?35)",
    );
    for new in refunds {
        let (merchant, refund_id) = (blob(new.key.merchant.bits()), blob(new.key.refund.bits()));
        let refund = &new.record.refund;
        let first = refund.allocations.first();
        let details = &new.details;
        let reason = match details.reason {
            Reason::Kept(id) => Some(blob(id.bits())),
            Reason::None | Reason::Unknown => None,
        };
        let fault = refund.fault.as_ref();
        let row = params![
            merchant,
            refund_id,
            blob(new.key.payment.bits()),
            blob(refund.leg.bits()),
            refund.amount.units(),
            new.allocated(),
            refund.status.number(),
            refund.attempt,
            refund.sends,
            refund.looks,
            new.record.call_no,
            refund.next_action_at_ms,
            refund.psp_refund,
            fault.map(|fault| &fault.code),
            fault.map(|fault| &fault.text),
            details.face,
            details.actor,
            details.reason_code,
            details.reason_text,
            reason,
            details.note,
            details.external_identifier,
            details.given_id.map(blob),
            details.key_text,
            new.reference.map(|(day, _)| day),
            new.reference.map(|(_, number)| number),
            new.asked_seq,
            new.asked_at_ms,
            (refund.sends > 0).then_some(new.asked_at_ms),
            (!refund.status.is_open()).then_some(new.asked_at_ms),
            details.metadata,
            new.record.heard_at_ms,
            new.previous.map(|refund| blob(refund.bits())),
            first.map(|part| blob(part.capture.bits())),
            first.map(|part| part.amount.units()),
        ];
        insert.write_one(row)?;
    }
    Ok(())
}

/// The parts of refunds beyond the first of each.
fn insert_parts(connection: Sql<'_>, refunds: &[&NewRefund]) -> Result<()> {
    let mut insert = connection.statement(
        "-- insert_allocation
        insert into allocation (merchant_id, refund_id, ordinal, capture_id, amount_minor)
        values (?1, ?2, ?3, ?4, ?5)",
    );
    for NewRefund { key, record, .. } in refunds {
        let (merchant, refund) = (blob(key.merchant.bits()), blob(key.refund.bits()));
        for (part, ordinal) in record.refund.allocations.iter().zip(0_i64..).skip(1) {
            let (capture, amount) = (blob(part.capture.bits()), part.amount.units());
            insert.write_one(params![merchant, refund, ordinal, capture, amount])?;
        }
    }
    Ok(())
}

fn update_refunds(connection: Sql<'_>, changes: &[RefundChange]) -> Result<()> {
    let mut statement = connection.statement(
        "-- update_refund
        update refund set status = ?3, attempt = ?4, sends = ?5, looks = ?6, call_no = ?7,
            next_action_at_ms = ?8, psp_refund = ?9, fault_code = ?10, fault_text = ?11,
            sent_at_ms = coalesce(sent_at_ms, case when ?5 > 0 then ?12 end),
            unknown_at_ms = coalesce(unknown_at_ms, case when ?3 = 6 then ?12 end),
            settled_at_ms = case when ?8 is not null then null
                when status = ?3 then settled_at_ms else ?12 end,
            updated_at_ms = case when status = ?3 then updated_at_ms else ?12 end,
            heard_at_ms = ?13
        where merchant_id = ?1 and refund_id = ?2",
    );
    for change in changes {
        let refund = &change.record.refund;
        let fault = refund.fault.as_ref();
        let row = params![
            blob(change.key.merchant.bits()),
            blob(change.key.refund.bits()),
            refund.status.number(),
            refund.attempt,
            refund.sends,
            refund.looks,
            change.record.call_no,
            refund.next_action_at_ms,
            refund.psp_refund,
            fault.map(|fault| &fault.code),
            fault.map(|fault| &fault.text),
            change.at_ms,
            change.record.heard_at_ms,
        ];
        statement.write_one(row)?;
    }
    Ok(())
}

/// Two batches of one millisecond may change the same.
fn insert_changes(connection: Sql<'_>, changes: &Changes) -> Result<()> {
    let mut insert = connection.statement(
        "-- insert_change
        insert into change (merchant_id, at_ms, payment_id, about) values (?1, ?2, ?3, ?4)
        on conflict do nothing",
    );
    for (merchant, at_ms, payment, about) in changes.changed() {
        let (merchant, payment) = (blob(merchant.bits()), blob(payment.bits()));
        insert.execute(params![merchant, at_ms, payment, blob(about)])?;
    }
    Ok(())
}

fn insert_attempts(connection: Sql<'_>, attempts: &[NewAttempt]) -> Result<()> {
    let mut statement = connection.statement(
        "-- insert_attempt
        insert into attempt (merchant_id, refund_id, attempt, kind, call_no, prepared_at_ms)
        values (?1, ?2, ?3, ?4, ?5, ?6)",
    );
    for attempt in attempts {
        let kind = match attempt.kind {
            CallKind::Send => 1_i64,
            CallKind::LookUp => 2,
            CallKind::Cancel => 3,
        };
        let row = params![
            blob(attempt.key.merchant.bits()),
            blob(attempt.key.refund.bits()),
            attempt.attempt,
            kind,
            attempt.call_no,
            attempt.at_ms,
        ];
        statement.write_one(row)?;
    }
    Ok(())
}

/// An outcome may come twice, or for a call that another process made: then no row changes.
fn update_attempts(connection: Sql<'_>, outcomes: &[AttemptOutcome]) -> Result<()> {
    let mut statement = connection.statement(
        "-- update_attempt
        update attempt set outcome = ?4, answered_at_ms = ?5
        where merchant_id = ?1 and refund_id = ?2 and attempt = ?3 and outcome is null",
    );
    for outcome in outcomes {
        let row = params![
            blob(outcome.key.merchant.bits()),
            blob(outcome.key.refund.bits()),
            outcome.attempt,
            outcome.outcome,
            outcome.at_ms,
        ];
        statement.execute(row)?;
    }
    Ok(())
}

fn insert_alarm(connection: Sql<'_>, new: &NewAlarm) -> Result<()> {
    let sql = "-- insert_alarm
        insert into alarm (merchant_id, at_ms, refund_id, alarm, payment_id)
        values (?1, ?2, ?3, ?4, ?5) on conflict do nothing";
    let row = params![
        blob(new.key.merchant.bits()),
        new.at_ms,
        blob(new.key.refund.bits()),
        new.alarm.word(),
        blob(new.key.payment.bits()),
    ];
    connection.execute(sql, row)?;
    Ok(())
}

/// The first line of what an event moved lies in its row.
fn insert_events(connection: Sql<'_>, posted: &[(&Event, &[JournalLine])]) -> Result<()> {
    let mut insert = connection.statement(
        "-- insert_event
        insert into event (merchant_id, payment_id, seq, kind, subject, amount_minor, status,
            psp_refund, fault_code, fault_text, actor, at_ms, hash, about, capture_id, debit,
            credit, moved_minor)
        values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)",
    );
    let mut insert_line = connection.statement(
        "-- insert_journal_line
        insert into journal (merchant_id, about, seq, line, capture_id, debit, credit,
            amount_minor)
        values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    );
    for (event, lines) in posted {
        let fault = event.fault.as_ref();
        let (merchant, about) = (blob(event.merchant.bits()), blob(event.about()));
        let first = lines.first().map(|line| &line.entry);
        let row = params![
            merchant,
            blob(event.payment.bits()),
            event.seq,
            event.kind.number(),
            event.part().map(blob),
            event.amount.units(),
            event.status.map(Status::number),
            event.psp_refund,
            fault.map(|fault| &fault.code),
            fault.map(|fault| &fault.text),
            event.actor,
            event.at_ms,
            event.hash,
            about,
            first.map(|entry| blob(entry.capture.bits())),
            first.map(|entry| entry.debit.number()),
            first.map(|entry| entry.credit.number()),
            first.map(|entry| entry.amount.units()),
        ];
        insert.write_one(row)?;
        for JournalLine { line, entry, .. } in lines.iter().skip(1) {
            let (capture, amount) = (blob(entry.capture.bits()), entry.amount.units());
            let (debit, credit) = (entry.debit.number(), entry.credit.number());
            let row = params![merchant, about, event.seq, line, capture, debit, credit, amount];
            insert_line.write_one(row)?;
        }
    }
    Ok(())
}

fn put_keys(connection: Sql<'_>, keys: &[(keys::Of, KeyRecord)], found: &Found) -> Result<()> {
    // A number of `null` is that of a new row.
    let mut put = connection.statement(
        "-- put_key
        insert into idempotency (no, merchant_id, key_hash, fingerprint, at_ms, payment_id, refund_id,
            answered_seq, answered_status, refusal, was_present)
        values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
        on conflict (no) do update set fingerprint = excluded.fingerprint, at_ms = excluded.at_ms,
            payment_id = excluded.payment_id, refund_id = excluded.refund_id,
            answered_seq = excluded.answered_seq, answered_status = excluded.answered_status,
            refusal = excluded.refusal, was_present = excluded.was_present",
    );
    for (of, record) in keys {
        let mut key = KeyRow::default();
        match &record.outcome {
            KeyOutcome::Refund { refund, answered } => {
                key.payment = Some(refund.payment);
                key.refund = Some(refund.refund);
                key.answered_seq = answered.map(|(seq, _)| seq);
                key.answered_status = answered.map(|(_, status)| status);
            }
            KeyOutcome::Booked { payment, seq } => {
                key.payment = Some(*payment);
                key.answered_seq = Some(*seq);
            }
            KeyOutcome::Present { payment, seq } => {
                key.payment = Some(*payment);
                key.answered_seq = Some(*seq);
                key.was_present = true;
            }
            KeyOutcome::Refused(refusal) => key.refusal = refusal_text(refusal),
            KeyOutcome::BookingRefused(refusal) => key.refusal = booking_refusal_text(refusal),
        }
        let (merchant, hash) = of;
        // No constraint would keep a key from having two rows.
        let no = found.keys.get(of).ok_or_else(|| corrupt("a key that nobody looked for"))?;
        let row = params![
            no,
            blob(merchant.bits()),
            hash,
            record.fingerprint,
            record.at_ms,
            key.payment.map(|payment| blob(payment.bits())),
            key.refund.map(|refund| blob(refund.bits())),
            key.answered_seq,
            key.answered_status.map(Status::number),
            key.refusal,
            key.was_present,
        ];
        put.write_one(row)?;
    }
    Ok(())
}

/// What a key stands for, in columns.
#[derive(Default)]
struct KeyRow {
    payment: Option<PaymentId>,
    refund: Option<RefundId>,
    answered_seq: Option<u32>,
    answered_status: Option<Status>,
    refusal: Option<String>,
    was_present: bool,
}

fn insert_operation(connection: Sql<'_>, new: &NewOperation) -> Result<()> {
    let sql = "-- insert_operation
        insert into operation (merchant_id, payment_id, seq, kind, is_final, face, given_id,
            external_identifier, reference_day, reference_no)
        values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    let row = params![
        blob(new.merchant.bits()),
        blob(new.payment.bits()),
        new.seq,
        new.kind.number(),
        new.is_final,
        new.trace.face,
        new.trace.given_id.map(blob),
        new.trace.external_identifier,
        new.reference.map(|(day, _)| day),
        new.reference.map(|(_, number)| number),
    ];
    write_one(connection, sql, row)
}

fn insert_amendment(connection: Sql<'_>, new: &NewAmendment) -> Result<()> {
    let (merchant, payment) = (blob(new.merchant.bits()), blob(new.payment.bits()));
    let name = new.external_identifier.as_ref().and_then(Option::as_deref);
    let sql = "-- insert_amendment
        insert into amendment (merchant_id, payment_id, seq, renames, external_identifier,
            metadata)
        values (?1, ?2, ?3, ?4, ?5, ?6)";
    let renames = new.external_identifier.is_some();
    write_one(connection, sql, params![merchant, payment, new.seq, renames, name, new.metadata])?;
    if let Some(name) = name {
        // It may be the payment's own name from before.
        let sql = "-- insert_renamed
            insert into renamed (merchant_id, external_identifier, payment_id)
            values (?1, ?2, ?3) on conflict do nothing";
        connection.execute(sql, params![merchant, name, payment])?;
    }
    Ok(())
}
