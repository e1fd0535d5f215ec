//! News of refunds that were accepted before: outcomes of calls, times that have come.
//!
//! What PSPs tell without being asked is in `notice`.

use std::collections::BTreeSet;

use requite_core::id::{MerchantId, PaymentId};
use requite_core::refund::Status;
use requite_core::schedule::{self, Step};
use requite_core::settle::{self, Finding};

use super::{Batch, Heard, REQUITE, Verdict, is_answer};
use crate::command::{Noticed, Obstacle, RefundRef, RefundReply, Reply};
use crate::psp::{CallKind, Instruction};
use crate::store::{AttemptOutcome, NewAttempt, RefundRecord};

/// Unknown refunds of one payment that are looked up for one request.
const CLARIFY_MAX: usize = 8;

impl Batch<'_> {
    pub(super) fn settle(&mut self, key: RefundRef, finding: &Finding) {
        let of = (key.merchant, key.payment);
        if !self.loaded.books.contains_key(&of) || !self.loaded.refunds.contains_key(&key) {
            tracing::error!(?key, "an outcome names a refund that is not on the books");
            return;
        }
        self.withdraw_twin(key, finding);
        self.changes.attempt_outcomes.push(AttemptOutcome {
            key,
            attempt: finding.attempt,
            outcome: finding.outcome.word(),
            at_ms: finding.at_ms,
        });
        let is_new = self.apply(key, finding, REQUITE);
        let noticed = match (finding.outcome.is_told(), is_new) {
            (false, _) => Noticed::Later(Obstacle::NoAnswer),
            (true, true) => Noticed::Settled(key),
            (true, false) => Noticed::Known(key),
        };
        self.decided.heard.push(Heard { refund: key, attempt: finding.attempt, noticed });
    }

    /// Applies an outcome to a refund that is loaded, with its payment. False: it said nothing new.
    pub(super) fn apply(&mut self, key: RefundRef, finding: &Finding, actor: &str) -> bool {
        let book = self.loaded.books.get(&(key.merchant, key.payment));
        let book = book.expect("a refund's payment is loaded with it");
        let record = self.loaded.refunds.get(&key).expect("the caller found it");
        let Some(change) = settle::settle(&book.payment, &record.refund, finding) else {
            // Nothing new: a repeat, or committed before by a batch that did not hear of its
            // commit. Then whoever waits was not told either.
            if !matches!(self.status(key), Some(Status::Dispatched | Status::Ready)) {
                self.answer_waiters(key);
            }
            return false;
        };
        if let Some(alarm) = change.alarm {
            self.raise(key, alarm, finding.at_ms);
        }
        self.change_by(key, &change, (actor, finding.at_ms));
        if change.refund.status != Status::Ready {
            self.answer_waiters(key);
        } else if let Some((send, step)) = settle::wake(&change.refund, finding.at_ms) {
            self.change(key, &send, finding.at_ms);
            self.take_step(key, step, finding.at_ms);
        }
        // What is sent again later keeps its requester waiting, as long as their face lets them.
        true
    }

    pub(super) fn wake(&mut self, key: RefundRef, at_ms: i64, is_restart: bool) {
        let Some(record) = self.loaded.refunds.get(&key) else {
            return;
        };
        if self.under_way.contains_key(&key) || self.called.contains(&key) {
            if let Some(later) = settle::postpone(&record.refund, at_ms) {
                self.change(key, &later, at_ms);
            }
            return;
        }
        let woken = if is_restart {
            settle::revive(&record.refund, at_ms)
        } else {
            settle::wake(&record.refund, at_ms)
        };
        let Some((change, step)) = woken else { return };
        let was = record.refund.status;
        self.change(key, &change, at_ms);
        self.take_step(key, step, at_ms);
        if was != change.refund.status {
            self.answer_waiters(key);
        }
    }

    /// What another node has found out is told to those who wait for it here.
    pub(super) fn learn(&mut self, key: RefundRef) {
        let is_open = matches!(self.status(key), None | Some(Status::Dispatched | Status::Ready));
        if !is_open {
            self.answer_waiters(key);
        }
    }

    /// Those who would have waited from this batch on are answered with it.
    fn answer_newcomers(&mut self, key: RefundRef) {
        let Some(status) = self.status(key) else {
            return;
        };
        let seq = self.seq((key.merchant, key.payment));
        let mut verdicts = std::mem::take(&mut self.decided.verdicts);
        for verdict in &mut verdicts {
            let Verdict::Wait { refund, keys, answers_unknown, is_replay } = verdict else {
                continue;
            };
            if *refund != key {
                continue;
            }
            if is_answer(status, *answers_unknown) {
                for hold in keys.drain(..) {
                    self.mark_answered(hold, key, seq, status);
                }
            }
            let reply = RefundReply {
                refund: key,
                status,
                as_of: Some(seq),
                is_replay: *is_replay,
                shown: self.told(key),
            };
            *verdict = Verdict::Answer(Ok(Reply::Refund(reply)));
        }
        self.decided.verdicts = verdicts;
    }

    /// Whoever waits for this refund is told what is known now, and their keys are bound to that.
    ///
    /// Once a batch: what the first news told them, and bound their keys to, stands, whatever comes
    /// behind it in the same batch.
    pub(super) fn answer_waiters(&mut self, key: RefundRef) {
        if self.awaited.remove(&key) {
            self.answer_newcomers(key);
        }
        if self.decided.settled.contains_key(&key) {
            return;
        }
        let Some(waiting) = self.waiters.get(&key) else {
            return;
        };
        let Some(status) = self.status(key) else {
            return;
        };
        self.recall(key);
        // A commit that the lane did not hear of may have bound their keys to an answer, and a repeat
        // may have been given it: then that is the answer.
        let bound = waiting.iter().flat_map(|waiter| &waiter.keys);
        let bound = bound.filter_map(|hold| self.answered(hold.at, key)).next();
        let now = (self.seq((key.merchant, key.payment)), status);
        let is_bound = bound.is_some();
        let (seq, status) = bound.unwrap_or(now);
        for waiter in waiting.iter().filter(|w| is_answer(status, w.answers_unknown)) {
            for hold in &waiter.keys {
                self.mark_answered(hold.clone(), key, seq, status);
            }
        }
        // What was bound before is as of an older event.
        let shown = if is_bound { None } else { self.told(key) };
        let reply = RefundReply { refund: key, status, as_of: Some(seq), is_replay: false, shown };
        self.decided.settled.insert(key, reply);
    }

    /// A request depends on what is unknown of a payment.
    pub(super) fn clarify(&mut self, of: (MerchantId, PaymentId), at_ms: i64) -> Verdict {
        let is_unknown = |key: &RefundRef, record: &RefundRecord| {
            (key.merchant, key.payment) == of && record.refund.status == Status::Unknown
        };
        let all = self.loaded.refunds.iter();
        let unknown = all.filter(|(key, record)| is_unknown(key, record)).map(|(key, _)| *key);
        // In an order that a batch which is tried again has as well.
        let unknown: BTreeSet<RefundRef> = unknown.collect();
        let mut heard = None;
        for key in unknown.into_iter().take(CLARIFY_MAX) {
            let is_out =
                |batch: &Self| batch.under_way.contains_key(&key) || batch.called.contains(&key);
            let record = self.loaded.refunds.get(&key).expect("it was found among the loaded ones");
            let age_ms = at_ms.saturating_sub(record.asked_at_ms);
            if !is_out(self) && schedule::may_be_asked(&record.refund, age_ms, at_ms) {
                let change = settle::inquire(&record.refund, at_ms);
                self.change(key, &change, at_ms);
                self.call(key, CallKind::LookUp, at_ms);
            }
            if is_out(self) && heard.is_none() {
                heard = self.loaded.refunds.get(&key).map(|record| (key, record.refund.attempt));
            }
        }
        match heard {
            Some((refund, attempt)) => Verdict::Hear { refund, attempt },
            None => Verdict::Answer(Ok(Reply::Noted)),
        }
    }

    /// The call that a step asks for, if it asks for one.
    pub(super) fn take_step(&mut self, key: RefundRef, step: Step, at_ms: i64) {
        match step {
            Step::Send => self.call(key, CallKind::Send, at_ms),
            Step::LookUp => self.call(key, CallKind::LookUp, at_ms),
            Step::Wait => {}
        }
    }

    /// Commits a call: the attempt is on disk before the instruction leaves.
    pub(super) fn call(&mut self, key: RefundRef, kind: CallKind, at_ms: i64) {
        let of = (key.merchant, key.payment);
        let book = self.loaded.books.get_mut(&of).expect("a refund's payment is loaded with it");
        let record = self.loaded.refunds.get_mut(&key).expect("the caller found it");
        if kind == CallKind::Send {
            record.call_no = book.calls;
            book.calls = book.calls.saturating_add(1);
        }
        // Until the call is over, nobody else looks.
        if let Some(next_ms) = &mut record.refund.next_action_at_ms {
            *next_ms = at_ms.saturating_add(self.connectors.over_after_ms());
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
            age_ms: at_ms.saturating_sub(record.asked_at_ms),
            prepared_at_ms: at_ms,
        });
        self.changes.attempts.push(NewAttempt { key, attempt, kind, call_no, at_ms });
        self.called.insert(key);
        self.touched.entry(of).or_default();
    }
}
