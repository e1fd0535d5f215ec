//! What a batch changes, row by row in one transaction.

use requite_core::id::{PaymentId, RefundId};
use requite_core::payment::Capture;
use requite_core::refund::Status;

use crate::command::{Reason, Registration};
use crate::event::Event;
use crate::key::{KeyOutcome, KeyRecord, booking_refusal_text, refusal_text};
use crate::psp::CallKind;
use crate::store::sql::{Result, Sql, blob, corrupt, outbox, params, write_one};
use crate::store::{
    AttemptOutcome, Book, BookChange, Changes, JournalLine, NewAlarm, NewAmendment, NewAttempt,
    NewOperation, NewRefund, RefundChange,
};

pub(super) fn save(connection: Sql<'_>, changes: &Changes) -> Result<()> {
    for new in &changes.registered {
        insert_payment(connection, new)?;
    }
    for book in &changes.books {
        save_book(connection, book)?;
    }
    for new in &changes.new_refunds {
        insert_refund(connection, new)?;
    }
    for change in &changes.refunds {
        update_refund(connection, change)?;
    }
    for attempt in &changes.attempts {
        insert_attempt(connection, attempt)?;
    }
    for outcome in &changes.attempt_outcomes {
        update_attempt(connection, outcome)?;
    }
    for event in &changes.events {
        insert_event(connection, event)?;
    }
    outbox::queue(connection, &changes.events)?;
    for line in &changes.journal {
        insert_journal_line(connection, line)?;
    }
    for ((merchant, hash), record) in &changes.keys {
        put_key(connection, blob(merchant.bits()), hash, record)?;
    }
    for operation in &changes.operations {
        insert_operation(connection, operation)?;
    }
    for amendment in &changes.amendments {
        insert_amendment(connection, amendment)?;
    }
    for alarm in &changes.alarms {
        insert_alarm(connection, alarm)?;
    }
    for ((merchant, day), last) in &changes.counters {
        let sql = "-- put_counter
            insert into reference_counter (merchant_id, day, last_no) values (?1, ?2, ?3)
            on conflict (merchant_id, day) do update set last_no = excluded.last_no";
        write_one(connection, sql, params![blob(merchant.bits()), day, last])?;
    }
    Ok(())
}

fn insert_payment(connection: Sql<'_>, new: &Registration) -> Result<()> {
    let sql = "-- insert_payment
        insert into payment (merchant_id, payment_id, currency, exponent, connector,
            connector_payment, connector_settings, external_identifier, order_ref, customer,
            description, profile, fingerprint, created_at_ms, cancelled_at_ms, fault_code,
            fault_text)
        values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)";
    let (merchant, payment) = (blob(new.merchant.bits()), blob(new.payment.bits()));
    let row = params![
        merchant,
        payment,
        new.currency.code(),
        new.currency.exponent(),
        new.connector,
        new.connector_payment,
        new.connector_settings,
        new.external_identifier,
        new.order,
        new.customer,
        new.description,
        new.profile,
        new.fingerprint,
        new.created_at_ms,
        new.cancelled_at_ms,
        new.decline.as_ref().map(|fault| &fault.code),
        new.decline.as_ref().map(|fault| &fault.text),
    ];
    write_one(connection, sql, row)?;
    let legs = std::iter::once(&new.primary).chain(&new.gift_cards);
    for (leg, number) in legs.zip(0_i64..) {
        let sql = "-- insert_leg
            insert into leg (merchant_id, payment_id, leg_no, leg_id, amount_minor)
            values (?1, ?2, ?3, ?4, ?5)";
        let leg_id = blob(leg.id.bits());
        write_one(connection, sql, params![merchant, payment, number, leg_id, leg.amount.units()])?;
    }
    for alias in new.aliases.iter().chain(&new.connector_payment) {
        let sql = "-- insert_alias
            insert into alias (merchant_id, alias, payment_id) values (?1, ?2, ?3)
            on conflict do nothing";
        connection.execute(sql, params![merchant, alias, payment])?;
    }
    Ok(())
}

fn save_book(connection: Sql<'_>, change: &BookChange) -> Result<()> {
    let BookChange { merchant, book, .. } = change;
    let (merchant, payment) = (blob(merchant.bits()), blob(book.payment.id().bits()));
    let sql = if change.is_new {
        "-- insert_head
            insert into book (merchant_id, payment_id, line, seq, hash, calls, updated_at_ms,
                newest_refund)
            values (?1, ?2, 0, ?3, ?4, ?5, ?6, ?7)"
    } else {
        "-- update_head
            update book set seq = ?3, hash = ?4, calls = ?5, updated_at_ms = ?6, newest_refund = ?7
            where merchant_id = ?1 and payment_id = ?2 and line = 0 and seq <= ?3"
    };
    let updated = book.updated_at_ms;
    let newest = book.newest_refund.map(|refund| blob(refund.bits()));
    let head = params![merchant, payment, book.seq, book.hash, book.calls, updated, newest];
    write_one(connection, sql, head)?;
    let sql = "-- insert_change
        insert into payment_change (merchant_id, updated_at_ms, payment_id)
        values (?1, ?2, ?3) on conflict do nothing";
    connection.execute(sql, params![merchant, updated, payment])?;
    for release in &change.new_releases {
        let leg_no = leg_number(book, release.leg)?;
        let sql = "-- insert_release
            insert into release (merchant_id, payment_id, release_id, leg_no, seq, amount_minor,
                released_at_ms)
            values (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let (id, amount) = (blob(release.id), release.amount.units());
        let row = params![merchant, payment, id, leg_no, release.seq, amount, release.at_ms];
        write_one(connection, sql, row)?;
        let sql = "-- release_leg
            update leg set released_minor = released_minor + ?4
            where merchant_id = ?1 and payment_id = ?2 and leg_no = ?3";
        write_one(connection, sql, params![merchant, payment, leg_no, amount])?;
    }
    save_captures(connection, change)
}

fn save_captures(connection: Sql<'_>, change: &BookChange) -> Result<()> {
    let (merchant, payment) = (blob(change.merchant.bits()), blob(change.book.payment.id().bits()));
    for new in &change.new_captures {
        let sums = capture(&change.book, new.id)?.balance.sums();
        let leg_no = leg_number(&change.book, new.leg)?;
        let sql = "-- insert_capture
            insert into book (merchant_id, payment_id, capture_id, leg_no, line, captured_minor,
                voided_minor, refunded_minor, reserved_minor, disputed_minor, excess_minor,
                captured_at_ms)
            values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
        let row = params![
            merchant,
            payment,
            blob(new.id.bits()),
            leg_no,
            new.seq,
            sums.captured.units(),
            sums.voided.units(),
            sums.refunded.units(),
            sums.reserved.units(),
            sums.disputed.units(),
            sums.excess.units(),
            new.at_ms,
        ];
        write_one(connection, sql, row)?;
    }
    let is_new = |id| change.new_captures.iter().any(|new| new.id == id);
    for &id in change.balances.iter().filter(|id| !is_new(**id)) {
        let sums = capture(&change.book, id)?.balance.sums();
        let sql = "-- update_capture
            update book set voided_minor = ?4, refunded_minor = ?5, reserved_minor = ?6,
                disputed_minor = ?7, excess_minor = ?8
            where merchant_id = ?1 and payment_id = ?2 and capture_id = ?3";
        let row = params![
            merchant,
            payment,
            blob(id.bits()),
            sums.voided.units(),
            sums.refunded.units(),
            sums.reserved.units(),
            sums.disputed.units(),
            sums.excess.units(),
        ];
        write_one(connection, sql, row)?;
    }
    Ok(())
}

fn leg_number(book: &Book, leg: requite_core::id::LegId) -> Result<i64> {
    let at = book.payment.legs().iter().zip(0_i64..).find(|(known, _)| known.id() == leg);
    at.map(|(_, number)| number).ok_or_else(|| corrupt("a change of a leg that is not there"))
}

fn capture(book: &Book, id: requite_core::id::CaptureId) -> Result<&Capture> {
    book.payment.capture(id).ok_or_else(|| corrupt("a change of a capture that is not there"))
}

fn insert_refund(connection: Sql<'_>, new: &NewRefund) -> Result<()> {
    let (merchant, refund_id) = (blob(new.key.merchant.bits()), blob(new.key.refund.bits()));
    let refund = &new.record.refund;
    let mut allocated = 0_i64;
    for (part, ordinal) in refund.allocations.iter().zip(0_i64..) {
        let sql = "-- insert_allocation
            insert into allocation (merchant_id, refund_id, ordinal, capture_id, amount_minor)
            values (?1, ?2, ?3, ?4, ?5)";
        let capture = blob(part.capture.bits());
        write_one(
            connection,
            sql,
            params![merchant, refund_id, ordinal, capture, part.amount.units()],
        )?;
        allocated = allocated.saturating_add(part.amount.units());
    }
    let sql = "-- insert_refund
        insert into refund (merchant_id, refund_id, payment_id, leg_id, amount_minor,
            allocated_minor, status, attempt, sends, looks, call_no, next_action_at_ms,
            psp_refund, fault_code, fault_text, face, actor, reason_code, reason_text, reason_id,
            note, external_identifier, given_id, key_text, reference_day, reference_no, asked_seq,
            asked_at_ms, sent_at_ms, settled_at_ms, updated_at_ms, metadata, heard_at_ms,
            previous_refund)
        values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18,
            ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30, ?28, ?31, ?32,
            ?33)";
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
        allocated,
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
    ];
    write_one(connection, sql, row)
}

fn update_refund(connection: Sql<'_>, change: &RefundChange) -> Result<()> {
    let sql = "-- update_refund
        update refund set status = ?3, attempt = ?4, sends = ?5, looks = ?6, call_no = ?7,
            next_action_at_ms = ?8, psp_refund = ?9, fault_code = ?10, fault_text = ?11,
            sent_at_ms = coalesce(sent_at_ms, case when ?5 > 0 then ?12 end),
            unknown_at_ms = coalesce(unknown_at_ms, case when ?3 = 6 then ?12 end),
            settled_at_ms = case when ?8 is not null then null
                when status = ?3 then settled_at_ms else ?12 end,
            updated_at_ms = case when status = ?3 then updated_at_ms else ?12 end,
            heard_at_ms = ?13
        where merchant_id = ?1 and refund_id = ?2";
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
    write_one(connection, sql, row)
}

fn insert_attempt(connection: Sql<'_>, attempt: &NewAttempt) -> Result<()> {
    let sql = "-- insert_attempt
        insert into attempt (merchant_id, refund_id, attempt, kind, call_no, prepared_at_ms)
        values (?1, ?2, ?3, ?4, ?5, ?6)";
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
    write_one(connection, sql, row)
}

/// An outcome may come twice, or for a call that another process made: then no row changes.
fn update_attempt(connection: Sql<'_>, outcome: &AttemptOutcome) -> Result<()> {
    let sql = "-- update_attempt
        update attempt set outcome = ?4, answered_at_ms = ?5
        where merchant_id = ?1 and refund_id = ?2 and attempt = ?3 and outcome is null";
    let row = params![
        blob(outcome.key.merchant.bits()),
        blob(outcome.key.refund.bits()),
        outcome.attempt,
        outcome.outcome,
        outcome.at_ms,
    ];
    connection.execute(sql, row)?;
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

fn insert_event(connection: Sql<'_>, event: &Event) -> Result<()> {
    let sql = "-- insert_event
        insert into event (merchant_id, payment_id, seq, kind, subject, amount_minor, status,
            psp_refund, fault_code, fault_text, actor, at_ms, hash, about)
        values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
    let fault = event.fault.as_ref();
    let row = params![
        blob(event.merchant.bits()),
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
        blob(event.about()),
    ];
    write_one(connection, sql, row)
}

fn insert_journal_line(connection: Sql<'_>, line: &JournalLine) -> Result<()> {
    let sql = "-- insert_journal_line
        insert into journal (merchant_id, about, seq, line, capture_id, debit, credit,
            amount_minor)
        values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let row = params![
        blob(line.merchant.bits()),
        blob(line.about),
        line.seq,
        line.line,
        blob(line.entry.capture.bits()),
        line.entry.debit.number(),
        line.entry.credit.number(),
        line.entry.amount.units(),
    ];
    write_one(connection, sql, row)
}

fn put_key(
    connection: Sql<'_>,
    merchant: [u8; 16],
    hash: &[u8; 16],
    record: &KeyRecord,
) -> Result<()> {
    let sql = "-- put_key
        insert into idempotency (merchant_id, key_hash, fingerprint, at_ms, payment_id, refund_id,
            answered_seq, answered_status, refusal, was_present)
        values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
        on conflict (merchant_id, key_hash) do update set fingerprint = excluded.fingerprint,
            at_ms = excluded.at_ms, payment_id = excluded.payment_id,
            refund_id = excluded.refund_id, answered_seq = excluded.answered_seq,
            answered_status = excluded.answered_status, refusal = excluded.refusal,
            was_present = excluded.was_present";
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
    let row = params![
        merchant,
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
    write_one(connection, sql, row)
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
