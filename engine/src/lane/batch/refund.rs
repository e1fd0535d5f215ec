//! A wish to refund: an old answer under its key, a refusal, or a refund.

use requite_core::decide::{self, Plan, Refusal};
use requite_core::refund::{Refund, Status};
use requite_core::settle::{self, Change};

use super::{Batch, KeyedRecord, Verdict, day, is_answer};
use crate::command::{CommandError, Reason, RefundRef, RefundReply, RefundRequest, Reply, Wait};
use crate::key::{Key, KeyOutcome, KeyRecord, Lifetime, refusal_text};
use crate::store::{NewRefund, RefundRecord};

impl Batch<'_> {
    pub(super) fn refund(&mut self, request: &RefundRequest) -> Verdict {
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
        // While the first requester is still waiting, an equal wish without a key is another one.
        let is_waited_for = of_refund.is_some_and(|(refund, _)| self.is_waited_for(refund));
        if key.lifetime == Lifetime::WhileUnknown && is_waited_for {
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
        Some(self.join(request, refund, status?))
    }

    /// Somebody waits for the refund's outcome.
    fn is_waited_for(&self, refund: RefundRef) -> bool {
        let is_told = self.decided.settled.contains_key(&refund);
        self.awaited.contains(&refund) || (self.waiters.contains_key(&refund) && !is_told)
    }

    /// The keys of a request that joins `refund`: those that stand for it, and those that are free
    /// and stand for it from now on.
    fn joining(&mut self, request: &RefundRequest, refund: RefundRef) -> Vec<KeyedRecord> {
        let mut joining = Vec::new();
        for key in &request.keys {
            let at = (request.merchant, key.hash);
            let known = self.keys.get(&at).or_else(|| self.loaded.keys.get(&at));
            let stands_for = known.and_then(|record| match record.outcome {
                KeyOutcome::Refund { refund, .. } => Some(refund),
                KeyOutcome::Refused(_) => None,
            });
            let status = stands_for.and_then(|refund| self.status(refund));
            let record = match known {
                Some(known) if stands_for == Some(refund) => known.clone(),
                Some(known) if key.binds(known, status, request.ask.at_ms) => continue,
                Some(_) | None => KeyRecord {
                    fingerprint: key.fingerprint,
                    at_ms: request.ask.at_ms,
                    outcome: KeyOutcome::Refund {
                        refund,
                        answered: None,
                    },
                },
            };
            self.keys.insert(at, record.clone());
            joining.push((at, record));
        }
        joining
    }

    /// A key whose refund was accepted and not yet answered.
    fn join(&mut self, request: &RefundRequest, refund: RefundRef, status: Status) -> Verdict {
        if self.is_waited_for(refund) {
            return Verdict::Answer(Err(CommandError::KeyInProgress));
        }
        let keys = self.joining(request, refund);
        let answers_unknown = request.answers_unknown;
        if status == Status::Dispatched && request.wait == Wait::Outcome {
            // Its first requester left with a dead process; this one takes their place.
            self.awaited.insert(refund);
            return Verdict::Wait {
                refund,
                keys,
                answers_unknown,
                is_replay: true,
            };
        }
        let seq = self.seq((refund.merchant, refund.payment));
        if is_answer(status, answers_unknown) {
            for key in keys {
                self.mark_answered(key, refund, seq, status);
            }
        }
        let reply = RefundReply {
            refund,
            status,
            as_of: Some(seq),
            is_replay: true,
        };
        Verdict::Answer(Ok(Reply::Refund(reply)))
    }

    pub(super) fn mark_answered(
        &mut self,
        key: KeyedRecord,
        refund: RefundRef,
        seq: u32,
        status: Status,
    ) {
        let (at, record) = key;
        let outcome = KeyOutcome::Refund {
            refund,
            answered: Some((seq, status)),
        };
        self.keys.insert(at, KeyRecord { outcome, ..record });
    }

    pub(super) fn status(&self, refund: RefundRef) -> Option<Status> {
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
}
