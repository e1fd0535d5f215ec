//! One batch: commands decided in order on state held in memory, collected into one set of
//! changes. Nothing here does I/O, so a transaction that is tried again decides the same.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use requite_core::decide::{self, Plan, Refusal};
use requite_core::id::{CaptureId, MerchantId, PaymentId};
use requite_core::journal::Entry;
use requite_core::money::Minor;
use requite_core::refund::{Refund, Status};
use requite_core::schedule::Step;
use requite_core::settle::{self, Change, Finding};

use super::Waiters;
use crate::command::{
    CaptureRequest, Command, CommandError, Reason, RefundRef, RefundReply, RefundRequest, Reply,
    VoidRequest, Wait,
};
use crate::event::{Event, Kind};
use crate::key::{Key, KeyOutcome, KeyRecord, Lifetime, refusal_text};
use crate::psp::{CallKind, Instruction};
use crate::store::{
    AttemptOutcome, Book, BookChange, Changes, JournalLine, Loaded, NewAttempt, NewCapture,
    NewRefund, NewRelease, RefundChange, RefundRecord, Wanted,
};

pub(crate) mod register;

/// Milliseconds in a day, for reference counters.
const DAY_MS: i64 = 86_400_000;

type KeyedRecord = ((MerchantId, [u8; 16]), KeyRecord);

/// What becomes of one command once the batch is committed.
pub(super) enum Verdict {
    Answer(Result<Reply, CommandError>),
    Wait {
        refund: RefundRef,
        keys: Vec<KeyedRecord>,
        answers_unknown: bool,
        is_replay: bool,
    },
}

/// What becomes of a batch once it is committed.
#[derive(Default)]
pub(super) struct Decided {
    /// One for each command, in order.
    pub verdicts: Vec<Verdict>,
    /// Refunds whose waiters are told now.
    pub settled: BTreeMap<RefundRef, RefundReply>,
    pub instructions: Vec<Instruction>,
}

/// What these commands need to see.
pub(super) fn wanted(commands: &[Command]) -> Wanted {
    let mut wanted = Wanted::default();
    for command in commands {
        match command {
            Command::Register(new) => {
                wanted.payments.insert((new.merchant, new.payment));
                if let Some(text) = &new.external_identifier {
                    wanted
                        .external_identifiers
                        .insert((new.merchant, text.clone()));
                }
            }
            Command::Capture(CaptureRequest {
                merchant, payment, ..
            })
            | Command::Void(VoidRequest {
                merchant, payment, ..
            }) => {
                wanted.payments.insert((*merchant, *payment));
            }
            Command::Refund(request) => want_refund(&mut wanted, request),
            Command::Settle { refund, .. }
            | Command::Wake { refund, .. }
            | Command::Expire { refund } => {
                wanted.payments.insert((refund.merchant, refund.payment));
                wanted.refunds.insert(*refund);
            }
        }
    }
    wanted
}

fn want_refund(wanted: &mut Wanted, request: &RefundRequest) {
    let merchant = request.merchant;
    wanted.payments.insert((merchant, request.payment));
    wanted
        .keys
        .extend(request.keys.iter().map(|key| (merchant, key.hash)));
    if let Reason::Kept(reason) = request.details.reason {
        wanted.reasons.insert((merchant, reason));
    }
    if request.details.wants_reference {
        wanted.counters.insert((merchant, day(request.ask.at_ms)));
    }
}

fn day(at_ms: i64) -> i64 {
    at_ms.div_euclid(DAY_MS)
}

/// What an event says besides what the payment's head knows.
struct Happening {
    kind: Kind,
    subject: u128,
    amount: Minor,
    actor: String,
    at_ms: i64,
}

#[derive(Default)]
struct Touched {
    balances: BTreeSet<CaptureId>,
    new_captures: Vec<NewCapture>,
    new_releases: Vec<NewRelease>,
    is_new: bool,
}

pub(super) struct Batch<'a> {
    loaded: Loaded,
    immediate: &'a HashSet<String>,
    waiters: &'a Waiters,
    touched: BTreeMap<(MerchantId, PaymentId), Touched>,
    keys: HashMap<(MerchantId, [u8; 16]), KeyRecord>,
    changes: Changes,
    decided: Decided,
    /// Refunds that this batch accepted and whose requester waits.
    awaited: HashSet<RefundRef>,
    new_refunds: HashSet<RefundRef>,
    changed_refunds: BTreeMap<RefundRef, i64>,
}

impl<'a> Batch<'a> {
    pub(super) fn new(
        loaded: Loaded,
        immediate: &'a HashSet<String>,
        waiters: &'a Waiters,
    ) -> Batch<'a> {
        Batch {
            loaded,
            immediate,
            waiters,
            touched: BTreeMap::new(),
            keys: HashMap::new(),
            changes: Changes::default(),
            decided: Decided::default(),
            awaited: HashSet::new(),
            new_refunds: HashSet::new(),
            changed_refunds: BTreeMap::new(),
        }
    }

    /// Decides one command on what the commands before it left.
    pub(super) fn take(&mut self, command: &Command) {
        let verdict = match command {
            Command::Register(new) => Verdict::Answer(Ok(Reply::Registered(self.register(new)))),
            Command::Capture(request) => Verdict::Answer(self.capture(request)),
            Command::Void(request) => Verdict::Answer(self.void(request)),
            Command::Refund(request) => self.refund(request),
            Command::Settle { refund, finding } => {
                self.settle(*refund, finding);
                Verdict::Answer(Ok(Reply::Noted))
            }
            Command::Wake {
                refund,
                at_ms,
                is_restart,
            } => {
                self.wake(*refund, *at_ms, *is_restart);
                Verdict::Answer(Ok(Reply::Noted))
            }
            Command::Expire { refund } => {
                self.answer_waiters(*refund);
                Verdict::Answer(Ok(Reply::Noted))
            }
        };
        self.decided.verdicts.push(verdict);
    }

    /// Everything that changed, to be committed as one.
    pub(super) fn finish(mut self) -> (Decided, Changes) {
        for ((merchant, payment), touched) in self.touched {
            let book = self.loaded.books.remove(&(merchant, payment));
            let book = book.expect("only loaded payments are touched");
            let Touched {
                balances,
                new_captures,
                new_releases,
                is_new,
            } = touched;
            let change = BookChange {
                merchant,
                book,
                balances,
                new_captures,
                new_releases,
                is_new,
            };
            self.changes.books.push(change);
        }
        for new in &mut self.changes.new_refunds {
            let record = self.loaded.refunds.get(&new.key);
            new.record = record
                .expect("a new refund is kept beside the loaded ones")
                .clone();
        }
        for (key, at_ms) in self.changed_refunds {
            if self.new_refunds.contains(&key) {
                continue;
            }
            let record = self
                .loaded
                .refunds
                .get(&key)
                .expect("only loaded refunds change");
            self.changes.refunds.push(RefundChange {
                key,
                record: record.clone(),
                at_ms,
            });
        }
        self.changes.keys.extend(self.keys);
        (self.decided, self.changes)
    }

    fn book(&mut self, of: (MerchantId, PaymentId)) -> Option<&mut Book> {
        self.loaded.books.get_mut(&of)
    }

    fn seq(&self, of: (MerchantId, PaymentId)) -> u32 {
        self.loaded.books.get(&of).map_or(0, |book| book.seq)
    }

    // --- Refunds ---

    fn refund(&mut self, request: &RefundRequest) -> Verdict {
        if !self
            .loaded
            .books
            .contains_key(&(request.merchant, request.payment))
        {
            return Verdict::Answer(Err(CommandError::PaymentUnknown));
        }
        for key in &request.keys {
            if let Some(verdict) = self.repeat(request, key) {
                return verdict;
            }
        }
        match self.plan(request) {
            Ok(plan) => self.accept(request, plan),
            Err(refusal) => {
                self.keep_refusal(request, &refusal);
                Verdict::Answer(Err(CommandError::Refused {
                    refusal,
                    is_replay: false,
                }))
            }
        }
    }

    fn plan(&mut self, request: &RefundRequest) -> Result<Plan, Refusal> {
        let of = (request.merchant, request.payment);
        let book = self
            .loaded
            .books
            .get(&of)
            .expect("the caller checked that it is loaded");
        let is_immediate = self.immediate.contains(&book.connector);
        let plan = decide::decide(&book.payment, &request.ask, is_immediate)?;
        match request.details.reason {
            Reason::Unknown => Err(Refusal::ReasonUnknown),
            Reason::Kept(id) if !self.loaded.reasons.contains(&(request.merchant, id)) => {
                Err(Refusal::ReasonUnknown)
            }
            Reason::Kept(_) | Reason::None => Ok(plan),
        }
    }

    /// What a key that was used before is answered with. `None`: it is free.
    fn repeat(&mut self, request: &RefundRequest, key: &Key) -> Option<Verdict> {
        let at = (request.merchant, key.hash);
        let record = self
            .keys
            .get(&at)
            .or_else(|| self.loaded.keys.get(&at))?
            .clone();
        let of_refund = match &record.outcome {
            KeyOutcome::Refund { refund, answered } => Some((*refund, *answered)),
            KeyOutcome::Refused(_) => None,
        };
        let status = of_refund.and_then(|(refund, _)| self.status(refund));
        if !key.binds(&record, status, request.ask.at_ms) {
            return None;
        }
        if record.fingerprint != key.fingerprint {
            return Some(Verdict::Answer(Err(CommandError::KeyReused)));
        }
        let Some((refund, answered)) = of_refund else {
            let KeyOutcome::Refused(refusal) = record.outcome else {
                return None;
            };
            let refused = CommandError::Refused {
                refusal,
                is_replay: true,
            };
            return Some(Verdict::Answer(Err(refused)));
        };
        if let Some((seq, status)) = answered {
            let as_of = (!key.answers_present).then_some(seq);
            let status = if key.answers_present {
                self.status(refund)?
            } else {
                status
            };
            let reply = RefundReply {
                refund,
                status,
                as_of,
                is_replay: true,
            };
            return Some(Verdict::Answer(Ok(Reply::Refund(reply))));
        }
        Some(self.join(request, refund, (at, record), status?))
    }

    /// A key whose refund was accepted and not yet answered.
    fn join(
        &mut self,
        request: &RefundRequest,
        refund: RefundRef,
        key: KeyedRecord,
        status: Status,
    ) -> Verdict {
        let is_told = self.decided.settled.contains_key(&refund);
        if self.awaited.contains(&refund) || (self.waiters.contains_key(&refund) && !is_told) {
            return Verdict::Answer(Err(CommandError::KeyInProgress));
        }
        let answers_unknown = request.answers_unknown;
        if status == Status::Dispatched && request.wait == Wait::Outcome {
            // Its first requester left with a dead process; this one takes their place.
            self.awaited.insert(refund);
            return Verdict::Wait {
                refund,
                keys: vec![key],
                answers_unknown,
                is_replay: true,
            };
        }
        let seq = self.seq((refund.merchant, refund.payment));
        if is_answer(status, answers_unknown) {
            self.mark_answered(key, refund, seq, status);
        }
        let reply = RefundReply {
            refund,
            status,
            as_of: Some(seq),
            is_replay: true,
        };
        Verdict::Answer(Ok(Reply::Refund(reply)))
    }

    fn mark_answered(&mut self, key: KeyedRecord, refund: RefundRef, seq: u32, status: Status) {
        let (at, record) = key;
        let outcome = KeyOutcome::Refund {
            refund,
            answered: Some((seq, status)),
        };
        self.keys.insert(at, KeyRecord { outcome, ..record });
    }

    fn status(&self, refund: RefundRef) -> Option<Status> {
        self.loaded
            .refunds
            .get(&refund)
            .map(|record| record.refund.status)
    }

    fn keep_refusal(&mut self, request: &RefundRequest, refusal: &Refusal) {
        if refusal_text(refusal).is_none() {
            return;
        }
        for key in request
            .keys
            .iter()
            .filter(|key| key.lifetime == Lifetime::Kept)
        {
            let outcome = KeyOutcome::Refused(refusal.clone());
            let Key {
                hash, fingerprint, ..
            } = *key;
            let record = KeyRecord {
                fingerprint,
                at_ms: request.ask.at_ms,
                outcome,
            };
            self.keys.insert((request.merchant, hash), record);
        }
    }

    /// From here on nothing may refuse.
    fn accept(&mut self, request: &RefundRequest, plan: Plan) -> Verdict {
        let Plan { refund, entries } = plan;
        let key = RefundRef {
            merchant: request.merchant,
            payment: request.payment,
            refund: refund.id,
        };
        let reason = request.details.reason_text.clone();
        let reason = reason.or_else(|| request.details.reason_code.clone());
        let at_ms = request.ask.at_ms;
        let asked_seq = self.seq((key.merchant, key.payment)).saturating_add(1);
        let reference = self.reference(request);
        // Reserve and give back are two events even when they are one commit.
        let (reserve, give_back) = entries.split_at(refund.allocations.len());
        let accepted = Refund {
            status: Status::Ready,
            ..refund.clone()
        };
        let sent = (refund.status == Status::Ready).then(|| settle::send(&accepted, at_ms));
        let first = sent
            .as_ref()
            .map_or(&accepted, |(change, _)| &change.refund)
            .clone();
        self.record_refund(key, &first, reserve, (request.details.actor.clone(), at_ms));
        let record = RefundRecord {
            refund: first,
            call_no: 0,
            reason,
        };
        self.loaded.refunds.insert(key, record.clone());
        self.new_refunds.insert(key);
        let details = request.details.clone();
        let new = NewRefund {
            key,
            record,
            details,
            reference,
            asked_seq,
            asked_at_ms: at_ms,
        };
        self.changes.new_refunds.push(new);
        if let Some((_, step)) = sent {
            self.call(key, step, at_ms);
        } else {
            let given = Change {
                refund,
                entries: give_back.to_vec(),
                alarm: None,
            };
            self.change(key, &given, at_ms);
        }
        self.answer_accepted(request, key)
    }

    fn answer_accepted(&mut self, request: &RefundRequest, refund: RefundRef) -> Verdict {
        let status = self.status(refund).expect("it was just accepted");
        let seq = self.seq((refund.merchant, refund.payment));
        let is_answered = !status.is_open() || request.wait == Wait::Acceptance;
        let answered = is_answered.then_some((seq, status));
        let mut keys = Vec::new();
        for key in &request.keys {
            let Key {
                hash, fingerprint, ..
            } = *key;
            let outcome = KeyOutcome::Refund { refund, answered };
            let record = KeyRecord {
                fingerprint,
                at_ms: request.ask.at_ms,
                outcome,
            };
            self.keys.insert((request.merchant, hash), record.clone());
            keys.push(((request.merchant, hash), record));
        }
        if is_answered {
            let reply = RefundReply {
                refund,
                status,
                as_of: Some(seq),
                is_replay: false,
            };
            return Verdict::Answer(Ok(Reply::Refund(reply)));
        }
        self.awaited.insert(refund);
        let answers_unknown = request.answers_unknown;
        Verdict::Wait {
            refund,
            keys,
            answers_unknown,
            is_replay: false,
        }
    }

    fn reference(&mut self, request: &RefundRequest) -> Option<(i64, u32)> {
        if !request.details.wants_reference {
            return None;
        }
        let day = day(request.ask.at_ms);
        let counter = self
            .loaded
            .counters
            .entry((request.merchant, day))
            .or_insert(0);
        *counter = counter.saturating_add(1);
        let drawn = *counter;
        self.changes
            .counters
            .retain(|(of, _)| *of != (request.merchant, day));
        self.changes.counters.push(((request.merchant, day), drawn));
        Some((day, drawn))
    }

    // --- News ---

    fn settle(&mut self, key: RefundRef, finding: &Finding) {
        let of = (key.merchant, key.payment);
        let (Some(book), Some(record)) =
            (self.loaded.books.get(&of), self.loaded.refunds.get(&key))
        else {
            tracing::error!(?key, "an outcome names a refund that is not on the books");
            return;
        };
        let change = settle::settle(&book.payment, &record.refund, finding);
        self.changes.attempt_outcomes.push(AttemptOutcome {
            key,
            attempt: finding.attempt,
            outcome: finding.outcome.word(),
            at_ms: finding.at_ms,
        });
        let Some(change) = change else { return };
        if let Some(alarm) = change.alarm {
            tracing::error!(?key, ?alarm, "a refund needs a person's eye");
        }
        self.change(key, &change, finding.at_ms);
        if change.refund.status == Status::Ready {
            let (send, step) = settle::send(&change.refund, finding.at_ms);
            self.change(key, &send, finding.at_ms);
            self.call(key, step, finding.at_ms);
        } else {
            self.answer_waiters(key);
        }
    }

    fn wake(&mut self, key: RefundRef, at_ms: i64, is_restart: bool) {
        let Some(record) = self.loaded.refunds.get(&key) else {
            return;
        };
        let woken = if is_restart {
            settle::revive(&record.refund, at_ms)
        } else {
            settle::wake(&record.refund, at_ms)
        };
        let Some((change, step)) = woken else { return };
        let was = record.refund.status;
        self.change(key, &change, at_ms);
        self.call(key, step, at_ms);
        if was != change.refund.status {
            self.answer_waiters(key);
        }
    }

    /// Whoever waits for this refund is told what is known now, and their keys are bound to that.
    fn answer_waiters(&mut self, key: RefundRef) {
        let Some(waiting) = self.waiters.get(&key) else {
            return;
        };
        let Some(status) = self.status(key) else {
            return;
        };
        let seq = self.seq((key.merchant, key.payment));
        for waiter in waiting
            .iter()
            .filter(|w| is_answer(status, w.answers_unknown))
        {
            for bound in &waiter.keys {
                self.mark_answered(bound.clone(), key, seq, status);
            }
        }
        let reply = RefundReply {
            refund: key,
            status,
            as_of: Some(seq),
            is_replay: false,
        };
        self.decided.settled.insert(key, reply);
    }

    /// Commits a call: the attempt is on disk before the instruction leaves.
    fn call(&mut self, key: RefundRef, step: Step, at_ms: i64) {
        let kind = match step {
            Step::Send => CallKind::Send,
            Step::LookUp => CallKind::LookUp,
            Step::Wait => return,
        };
        let of = (key.merchant, key.payment);
        let book = self
            .loaded
            .books
            .get_mut(&of)
            .expect("a refund's payment is loaded with it");
        let record = self
            .loaded
            .refunds
            .get_mut(&key)
            .expect("the caller found it");
        if kind == CallKind::Send {
            record.call_no = book.calls;
            book.calls = book.calls.saturating_add(1);
        }
        let attempt = record.refund.attempt;
        let call_no = record.call_no;
        self.decided.instructions.push(Instruction {
            kind,
            refund: key,
            attempt,
            call_no,
            amount: record.refund.amount,
            currency: book.payment.currency(),
            connector: book.connector.clone(),
            connector_payment: book.connector_payment.clone(),
            connector_settings: book.connector_settings.clone(),
            psp_refund: record.refund.psp_refund.clone(),
            reason: record.reason.clone(),
        });
        self.changes.attempts.push(NewAttempt {
            key,
            attempt,
            kind,
            call_no,
            at_ms,
        });
        self.touched.entry(of).or_default();
    }

    // --- Books ---

    /// Applies a change of a refund: its row, its money, and an event when its status or the PSP's
    /// id changed.
    fn change(&mut self, key: RefundRef, change: &Change, at_ms: i64) {
        let record = self
            .loaded
            .refunds
            .get_mut(&key)
            .expect("the caller found it");
        let is_event = record.refund.status != change.refund.status
            || record.refund.psp_refund != change.refund.psp_refund;
        record.refund = change.refund.clone();
        self.changed_refunds.insert(key, at_ms);
        if is_event {
            let by = (String::from("requite"), at_ms);
            self.record_refund(key, &change.refund, &change.entries, by);
        }
    }

    fn record_refund(
        &mut self,
        key: RefundRef,
        refund: &Refund,
        entries: &[Entry],
        (actor, at_ms): (String, i64),
    ) {
        let happening = Happening {
            kind: Kind::Refund,
            subject: refund.id.bits(),
            amount: refund.amount,
            actor,
            at_ms,
        };
        self.record(
            (key.merchant, key.payment),
            happening,
            entries,
            Some(refund),
        );
    }

    /// The one place where a payment's history and balances move on.
    fn record(
        &mut self,
        of: (MerchantId, PaymentId),
        happening: Happening,
        entries: &[Entry],
        refund: Option<&Refund>,
    ) {
        let book = self.loaded.books.get_mut(&of).expect("the caller found it");
        book.payment
            .post(entries)
            .expect("core decided on this very state");
        book.seq = book
            .seq
            .checked_add(1)
            .expect("a payment has fewer events than 2^32");
        let Happening {
            kind,
            subject,
            amount,
            actor,
            at_ms,
        } = happening;
        let mut event = Event {
            merchant: of.0,
            payment: of.1,
            seq: book.seq,
            kind,
            subject,
            amount,
            status: refund.map(|refund| refund.status),
            psp_refund: refund.and_then(|refund| refund.psp_refund.clone()),
            fault: refund.and_then(|refund| refund.fault.clone()),
            actor,
            at_ms,
            hash: [0; 32],
        };
        event.hash = event.hash_after(&book.hash);
        book.hash = event.hash;
        let touched = self.touched.entry(of).or_default();
        touched
            .balances
            .extend(entries.iter().map(|entry| entry.capture));
        let lines = entries
            .iter()
            .zip(0_u32..)
            .map(|(entry, line)| JournalLine {
                merchant: of.0,
                payment: of.1,
                seq: event.seq,
                line,
                entry: *entry,
            });
        self.changes.journal.extend(lines);
        self.changes.events.push(event);
    }

    fn capture(&mut self, request: &CaptureRequest) -> Result<Reply, CommandError> {
        let of = (request.merchant, request.payment);
        let book = self.book(of).ok_or(CommandError::PaymentUnknown)?;
        let entry = decide::capture(&book.payment, request.capture, request.amount)
            .map_err(CommandError::CaptureRefused)?;
        let leg = book.payment.primary().id();
        book.payment
            .open_capture(leg, request.capture)
            .expect("core counted the captures");
        let happening = Happening {
            kind: Kind::Captured,
            subject: request.capture.bits(),
            amount: entry.amount,
            actor: request.actor.clone(),
            at_ms: request.at_ms,
        };
        self.record(of, happening, &[entry], None);
        let seq = self.seq(of);
        let capture = NewCapture {
            id: request.capture,
            leg,
            seq,
            at_ms: request.at_ms,
        };
        self.touched
            .entry(of)
            .or_default()
            .new_captures
            .push(capture);
        Ok(Reply::Booked {
            payment: request.payment,
            seq,
        })
    }

    fn void(&mut self, request: &VoidRequest) -> Result<Reply, CommandError> {
        let of = (request.merchant, request.payment);
        let book = self.book(of).ok_or(CommandError::PaymentUnknown)?;
        let amount =
            decide::release(&book.payment, request.amount).map_err(CommandError::CaptureRefused)?;
        let leg = book.payment.primary().id();
        book.payment
            .release(leg, amount)
            .expect("core compared it with what is capturable");
        let happening = Happening {
            kind: Kind::Released,
            subject: request.void.bits(),
            amount,
            actor: request.actor.clone(),
            at_ms: request.at_ms,
        };
        self.record(of, happening, &[], None);
        let seq = self.seq(of);
        let id = request.void.bits();
        let release = NewRelease {
            id,
            leg,
            amount,
            seq,
            at_ms: request.at_ms,
        };
        self.touched
            .entry(of)
            .or_default()
            .new_releases
            .push(release);
        Ok(Reply::Booked {
            payment: request.payment,
            seq,
        })
    }
}

/// Is this status a final answer for a dialect? One without a word for "unknown" has not answered
/// until there is an outcome.
fn is_answer(status: Status, answers_unknown: bool) -> bool {
    answers_unknown || !matches!(status, Status::Unknown | Status::Dispatched)
}
