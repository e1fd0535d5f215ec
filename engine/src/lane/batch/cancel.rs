//! A wish to have a refund cancelled at its PSP.
//!
//! - Who asked is an event of its own; it moves nothing. What the PSP says is settled like every other
//!   answer, and whoever asked waits for it as the requester of a refund does.
//! - Nothing is asked while another call about the refund is under way: what that finds comes first.
//! - A key stands for the first answer. Where there was none (the process died), the same key asks again: a
//!   PSP that has cancelled a refund says so however often it is asked.

use requite_core::cancel;
use requite_core::refund::Status;

use super::{Batch, Happening, Hold, Verdict};
use crate::command::{Cancellation, CommandError, NotCancelled, RefundReply, Reply};
use crate::event::Kind;
use crate::key::{KeyOutcome, KeyRecord};
use crate::psp::CallKind;

impl Batch<'_> {
    pub(super) fn cancel(&mut self, request: &Cancellation) -> Verdict {
        let key = request.refund;
        let of = (key.merchant, key.payment);
        if !self.loaded.refunds.contains_key(&key) || !self.loaded.books.contains_key(&of) {
            return Verdict::Answer(Err(CommandError::PaymentUnknown));
        }
        if let Some(verdict) = self.cancelled_before(request) {
            return verdict;
        }
        let refund = &self.loaded.refunds.get(&key).expect("it was just found").refund;
        if refund.status == Status::Voided {
            return self.is_voided(request);
        }
        let change = match cancel::cancel(refund, request.cancels, request.at_ms) {
            Ok(change) => change,
            Err(refused) => return not_cancelled(NotCancelled::NotCancellable(refused)),
        };
        if self.under_way.contains_key(&key) || self.called.contains(&key) {
            return not_cancelled(NotCancelled::CallUnderWay);
        }

        // From here on nothing may refuse.
        let happening = Happening {
            kind: Kind::CancelAsked,
            subject: key.refund.bits(),
            amount: refund.amount,
            fault: None,
            actor: request.actor.clone(),
            at_ms: request.at_ms,
        };
        self.record(of, happening, &[], None);
        self.change(key, &change, request.at_ms);
        self.call(key, CallKind::Cancel, request.at_ms);
        let untold = KeyOutcome::Refund { refund: key, answered: None };
        self.keep_outcome((key.merchant, request.at_ms), &request.keys, untold.clone());
        let holds = request.keys.iter().map(|own| Hold {
            at: (key.merchant, own.hash),
            record: KeyRecord {
                fingerprint: own.fingerprint,
                at_ms: request.at_ms,
                outcome: untold.clone(),
            },
            may_move: false,
        });
        self.awaited.insert(key);
        Verdict::Wait {
            refund: key,
            keys: holds.collect(),
            answers_unknown: true,
            is_replay: false,
        }
    }

    /// What the keys that were used before are answered with. `None`: it is to be asked for.
    fn cancelled_before(&self, request: &Cancellation) -> Option<Verdict> {
        let at = (request.refund.merchant, request.at_ms);
        let outcome = match self.key_outcome(at, &request.keys) {
            Ok(found) => found?.1,
            Err(error) => return Some(Verdict::Answer(Err(error))),
        };
        Some(Verdict::Answer(match outcome {
            KeyOutcome::Refund { refund, answered: Some((seq, status)) } => {
                Ok(Reply::Refund(RefundReply {
                    refund,
                    status,
                    as_of: Some(seq),
                    is_replay: true,
                    shown: None,
                }))
            }
            KeyOutcome::Refund { refund, answered: None } if self.is_awaited(refund) => {
                Err(CommandError::KeyInProgress)
            }
            KeyOutcome::Refund { .. } => return None,
            _ => Err(CommandError::KeyReused),
        }))
    }

    /// It was cancelled before.
    fn is_voided(&mut self, request: &Cancellation) -> Verdict {
        let (refund, status) = (request.refund, Status::Voided);
        let seq = self.seq((refund.merchant, refund.payment));
        let told = KeyOutcome::Refund { refund, answered: Some((seq, status)) };
        self.keep_outcome((refund.merchant, request.at_ms), &request.keys, told);
        let reply = RefundReply { refund, status, as_of: Some(seq), is_replay: false, shown: None };
        Verdict::Answer(Ok(Reply::Refund(reply)))
    }
}

fn not_cancelled(why: NotCancelled) -> Verdict {
    Verdict::Answer(Ok(Reply::NotCancelled(why)))
}
