//! A wish to refund: an old answer under its key, a refusal, or a refund.

use requite_core::decide::{self, Amount, Plan, Refusal};
use requite_core::id::MerchantId;
use requite_core::refund::{Refund, Status};
use requite_core::settle::{self, Change};

use super::{Batch, Hold, Verdict, day, is_answer};
use crate::command::{CommandError, Reason, RefundRef, RefundReply, RefundRequest, Reply, Wait};
use crate::key::{self, Key, KeyOutcome, KeyRecord, Lifetime, refusal_text};
use crate::store::{NewRefund, RefundRecord};

impl Batch<'_> {
    /// `is_final`: a refusal stands even where it rests on money that open refunds hold.
    pub(super) fn refund(&mut self, request: &RefundRequest, is_final: bool) -> Verdict {
        if !self.loaded.books.contains_key(&(request.merchant, request.payment)) {
            return Verdict::Answer(Err(CommandError::PaymentUnknown));
        }
        for key in &request.keys {
            if let Some(verdict) = self.repeat(request, key) {
                return verdict;
            }
        }
        if let Some(verdict) = self.rejoin(request) {
            return verdict;
        }
        match self.plan(request) {
            Ok(plan) => self.accept(request, plan),
            Err(refusal) if !is_final && self.is_provisional(request, &refusal) => {
                Verdict::Answer(Ok(Reply::Doubtful))
            }
            Err(refusal) => {
                if refusal_text(&refusal).is_some() {
                    let at = (request.merchant, request.ask.at_ms);
                    self.keep_outcome(at, &request.keys, KeyOutcome::Refused(refusal.clone()));
                }
                Verdict::Answer(Err(CommandError::Refused { refusal, is_replay: false }))
            }
        }
    }

    fn plan(&mut self, request: &RefundRequest) -> Result<Plan, Refusal> {
        let of = (request.merchant, request.payment);
        let book = self.loaded.books.get(&of).expect("the caller checked that it is loaded");
        let is_immediate = self.connectors.is_immediate(&book.connector);
        let plan = decide::decide(&book.payment, &request.ask, is_immediate)?;
        match request.details.reason {
            Reason::Unknown => Err(Refusal::ReasonUnknown),
            Reason::Kept(id) if !self.loaded.reasons.contains(&(request.merchant, id)) => {
                Err(Refusal::ReasonUnknown)
            }
            Reason::Kept(_) | Reason::None => Ok(plan),
        }
    }

    fn is_provisional(&self, request: &RefundRequest, refusal: &Refusal) -> bool {
        let book = self.loaded.books.get(&(request.merchant, request.payment));
        book.is_some_and(|book| decide::is_provisional(&book.payment, &request.ask, refusal))
    }

    /// What a key that was used before is answered with. `None`: it is free.
    fn repeat(&mut self, request: &RefundRequest, key: &Key) -> Option<Verdict> {
        let record = self.bound(request, key)?.clone();
        if record.fingerprint != key.fingerprint {
            return Some(Verdict::Answer(Err(CommandError::KeyReused)));
        }
        let (refund, answered) = match record.outcome {
            KeyOutcome::Refund { refund, answered } => (refund, answered),
            KeyOutcome::Refused(refusal) => {
                let refused = CommandError::Refused { refusal, is_replay: true };
                return Some(Verdict::Answer(Err(refused)));
            }
            KeyOutcome::Booked { .. }
            | KeyOutcome::Present { .. }
            | KeyOutcome::BookingRefused(_) => {
                return Some(Verdict::Answer(Err(CommandError::KeyReused)));
            }
        };
        let status = self.status(refund)?;
        let holds = self.holds(request, refund);
        let Some(answered) = answered else {
            return Some(self.join(request, refund, holds, status));
        };
        let now = (self.seq((refund.merchant, refund.payment)), status);
        let (seq, status) = if key.answers_present { now } else { answered };
        for hold in holds {
            self.mark_answered(hold, refund, seq, status);
        }
        let reply = RefundReply {
            refund,
            status,
            as_of: (!key.answers_present).then_some(seq),
            is_replay: true,
            shown: None,
        };
        Some(Verdict::Answer(Ok(Reply::Refund(reply))))
    }

    /// A refund that the store lost, and that was asked for under the same key: the PSP told of it.
    fn rejoin(&mut self, request: &RefundRequest) -> Option<Verdict> {
        if !request.keys.iter().any(|key| key.lifetime == Lifetime::Kept) {
            return None;
        }
        let lost = key::lost(request.payment, request.ask.refund);
        let found = &self.recorded((request.merchant, lost))?.outcome;
        let &KeyOutcome::Refund { refund, .. } = found else { return None };
        let status = self.status(refund)?;
        let amount = self.loaded.refunds.get(&refund)?.refund.amount;
        let book = self.loaded.books.get(&(request.merchant, request.payment))?;
        let is_meant = match &request.ask.amount {
            Amount::Minor(units) => *units == amount.units(),
            Amount::Major(decimal) => decimal.minor(book.payment.currency()) == Ok(Some(amount)),
            Amount::Remaining | Amount::Whole => true,
        };
        if !is_meant {
            return Some(Verdict::Answer(Err(CommandError::KeyReused)));
        }
        let holds = self.holds(request, refund);
        Some(self.join(request, refund, holds, status))
    }

    pub(super) fn recorded(&self, at: (MerchantId, [u8; 16])) -> Option<&KeyRecord> {
        self.keys.get(&at).or_else(|| self.loaded.keys.get(&at))
    }

    /// What still binds a key.
    fn bound(&self, request: &RefundRequest, key: &Key) -> Option<&KeyRecord> {
        let record = self.recorded((request.merchant, key.hash))?;
        let stands = match &record.outcome {
            KeyOutcome::Refund { refund, answered } => {
                if key.lifetime == Lifetime::WhileUnknown && self.is_apart(request, *refund) {
                    return None;
                }
                let is_untold = answered.is_none() && self.is_left(*refund);
                (self.status(*refund), is_untold)
            }
            KeyOutcome::Refused(_)
            | KeyOutcome::Booked { .. }
            | KeyOutcome::Present { .. }
            | KeyOutcome::BookingRefused(_) => (None, false),
        };
        key.binds(record, stands, request.ask.at_ms).then_some(record)
    }

    /// Two keys of two callers' own are two wishes, however equal: each is retried under its own.
    fn is_apart(&self, request: &RefundRequest, refund: RefundRef) -> bool {
        let known = self.loaded.refunds.get(&refund);
        request.details.key_text.is_some() && known.is_some_and(|known| known.is_keyed)
    }

    /// Whoever asked has left without the outcome: they were told "unknown", or a crash took them.
    /// While the first call is under way they may still be waiting, and then an equal wish is
    /// another one.
    fn is_left(&self, refund: RefundRef) -> bool {
        let known = self.loaded.refunds.get(&refund);
        known.is_some_and(|known| known.refund.attempt > 1) || !self.is_awaited(refund)
    }

    /// Someone waits for its outcome, and is not about to be told.
    pub(super) fn is_awaited(&self, refund: RefundRef) -> bool {
        let is_told = self.decided.settled.contains_key(&refund);
        self.awaited.contains(&refund) || (self.waiters.contains_key(&refund) && !is_told)
    }

    /// What a key's first answer about this refund was.
    pub(super) fn answered(
        &self,
        at: (MerchantId, [u8; 16]),
        of: RefundRef,
    ) -> Option<(u32, Status)> {
        match self.recorded(at)?.outcome {
            KeyOutcome::Refund { refund, answered } if refund == of => answered,
            _ => None,
        }
    }

    /// Does the key stand for this refund still?
    fn stands_for(&self, at: (MerchantId, [u8; 16]), of: RefundRef) -> bool {
        let record = self.recorded(at);
        record.is_some_and(
            |record| matches!(record.outcome, KeyOutcome::Refund { refund, .. } if refund == of),
        )
    }

    /// One of a request's keys led to this refund: those of its keys that an answer will bind. Free
    /// ones stand for the refund from now on: whoever was told of it under a key must not make a
    /// second one with that key when the first key's time is over.
    fn holds(&mut self, request: &RefundRequest, refund: RefundRef) -> Vec<Hold> {
        let mut holds = Vec::new();
        for key in &request.keys {
            let at = (request.merchant, key.hash);
            let untold = KeyOutcome::Refund { refund, answered: None };
            let is_free = key.lifetime == Lifetime::Kept && self.bound(request, key).is_none();
            let record = match self.recorded(at) {
                Some(known) if known.outcome == untold => known.clone(),
                _ if is_free => KeyRecord {
                    fingerprint: key.fingerprint,
                    at_ms: request.ask.at_ms,
                    outcome: untold,
                },
                _ => continue,
            };
            self.keys.insert(at, record.clone());
            holds.push(Hold { at, record, may_move: key.lifetime != Lifetime::Kept });
        }
        holds
    }

    /// Keys whose refund was accepted and not yet answered.
    fn join(
        &mut self,
        request: &RefundRequest,
        refund: RefundRef,
        keys: Vec<Hold>,
        status: Status,
    ) -> Verdict {
        if self.is_awaited(refund) {
            return Verdict::Answer(Err(CommandError::KeyInProgress));
        }
        let answers_unknown = request.answers_unknown;
        let is_under_way = matches!(status, Status::Dispatched | Status::Ready);
        if is_under_way && request.wait == Wait::Outcome {
            // Its first requester left with a dead process; this one takes their place.
            self.awaited.insert(refund);
            return Verdict::Wait { refund, keys, answers_unknown, is_replay: true };
        }
        let seq = self.seq((refund.merchant, refund.payment));
        if is_answer(status, answers_unknown) {
            for key in keys {
                self.mark_answered(key, refund, seq, status);
            }
        }
        let reply = RefundReply { refund, status, as_of: Some(seq), is_replay: true, shown: None };
        Verdict::Answer(Ok(Reply::Refund(reply)))
    }

    /// Binds a key to its answer, unless it stands for a newer refund by now.
    pub(super) fn mark_answered(
        &mut self,
        hold: Hold,
        refund: RefundRef,
        seq: u32,
        status: Status,
    ) {
        let Hold { at, record, may_move } = hold;
        if may_move && !self.stands_for(at, refund) {
            return;
        }
        let outcome = KeyOutcome::Refund { refund, answered: Some((seq, status)) };
        self.keys.insert(at, KeyRecord { outcome, ..record });
    }

    pub(super) fn status(&self, refund: RefundRef) -> Option<Status> {
        self.loaded.refunds.get(&refund).map(|record| record.refund.status)
    }

    /// From here on nothing may refuse.
    fn accept(&mut self, request: &RefundRequest, plan: Plan) -> Verdict {
        let Plan { refund, entries } = plan;
        let key =
            RefundRef { merchant: request.merchant, payment: request.payment, refund: refund.id };
        let reason = request.details.reason_text.clone();
        let reason = reason.or_else(|| request.details.reason_code.clone());
        let at_ms = request.ask.at_ms;
        let asked_seq = self.seq((key.merchant, key.payment)).saturating_add(1);
        let wants_reference = request.details.wants_reference;
        let reference = self.reference(wants_reference, request.merchant, at_ms);
        // Reserve and give back are two events even when they are one commit.
        let (reserve, give_back) = entries.split_at(refund.allocations.len());
        let accepted = Refund { status: Status::Ready, ..refund.clone() };
        let sent = (refund.status == Status::Ready).then(|| settle::send(&accepted, at_ms));
        let first = sent.as_ref().map_or(&accepted, |(change, _)| &change.refund).clone();
        self.show(request, &first, reference);
        self.record_refund(key, &first, reserve, (request.details.actor.clone(), at_ms));
        let record = RefundRecord {
            refund: first,
            call_no: 0,
            reason,
            is_keyed: request.details.key_text.is_some(),
            is_external: false,
            heard_at_ms: None,
            asked_at_ms: at_ms,
        };
        self.loaded.refunds.insert(key, record.clone());
        let previous = self.follow(key);
        let details = request.details.clone();
        let asked_at_ms = at_ms;
        let new = NewRefund { key, record, details, reference, asked_seq, asked_at_ms, previous };
        self.changes.new_refunds.push(new);
        if let Some((_, step)) = sent {
            self.take_step(key, step, at_ms);
        } else {
            let given = Change { refund, entries: give_back.to_vec(), alarm: None };
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
            let Key { hash, fingerprint, .. } = *key;
            let outcome = KeyOutcome::Refund { refund, answered };
            let record = KeyRecord { fingerprint, at_ms: request.ask.at_ms, outcome };
            self.keys.insert((request.merchant, hash), record.clone());
            keys.push(Hold {
                at: (request.merchant, hash),
                record,
                may_move: key.lifetime != Lifetime::Kept,
            });
        }
        if is_answered {
            let shown = self.told(refund);
            let reply = RefundReply { refund, status, as_of: Some(seq), is_replay: false, shown };
            return Verdict::Answer(Ok(Reply::Refund(reply)));
        }
        self.awaited.insert(refund);
        let answers_unknown = request.answers_unknown;
        Verdict::Wait { refund, keys, answers_unknown, is_replay: false }
    }

    /// The next card-message reference number of a merchant's day.
    pub(super) fn reference(
        &mut self,
        is_wanted: bool,
        merchant: MerchantId,
        at_ms: i64,
    ) -> Option<(i64, u32)> {
        if !is_wanted {
            return None;
        }
        let day = day(at_ms);
        let counter = self.loaded.counters.entry((merchant, day)).or_insert(0);
        *counter = counter.saturating_add(1);
        let drawn = *counter;
        self.changes.counters.retain(|(of, _)| *of != (merchant, day));
        self.changes.counters.push(((merchant, day), drawn));
        Some((day, drawn))
    }
}
