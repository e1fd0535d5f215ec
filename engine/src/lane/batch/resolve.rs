//! A person's word on a refund that nobody else can tell of: whose answer was lost for good, that its PSP
//! keeps to itself, that waits for somebody.
//!
//! - Only where money is held without a call under way: whatever a PSP can still say comes first.
//! - The evidence is an event of its own in the payment's history, with whoever gave it; what it moves is
//!   the refund's next event, in the same commit.
//! - The refund is closed like any other. What the PSP says against it later is booked, with an alarm.

use requite_core::refund::{Fault, Refund, Status};
use requite_core::settle::{Finding, Outcome};

use super::{Batch, Happening};
use crate::command::{self, Booked, CommandError, Reply, Resolution, Resolved};
use crate::event::Kind;
use crate::key::KeyOutcome;

impl Batch<'_> {
    pub(super) fn resolve(&mut self, request: &Resolution) -> Result<Reply, CommandError> {
        let key = request.refund;
        let at = (key.merchant, request.at_ms);
        let is_known = self.loaded.refunds.contains_key(&key);
        if !is_known || !self.loaded.books.contains_key(&(key.merchant, key.payment)) {
            return Err(CommandError::PaymentUnknown);
        }
        if let Some((_, outcome)) = self.key_outcome(at, &request.keys)? {
            return match outcome {
                KeyOutcome::Booked { payment, seq } if payment == key.payment => {
                    Ok(done(request, seq, true))
                }
                _ => Err(CommandError::KeyReused),
            };
        }
        let refund = &self.loaded.refunds.get(&key).expect("it was just found").refund;
        if refund.status == closed(request.ruling) {
            // Said before, by a person or the PSP.
            return Ok(done(request, self.seq((key.merchant, key.payment)), false));
        }
        if let Some(refused) = self.unresolvable(request, refund) {
            return Ok(Reply::Resolved(refused));
        }

        // From here on nothing may refuse.
        let finding =
            Finding { attempt: refund.attempt, outcome: outcome(request), at_ms: request.at_ms };
        let evidence =
            Fault { code: request.ruling.word().to_owned(), text: request.evidence.clone() };
        let happening = Happening {
            kind: Kind::Resolved,
            subject: key.refund.bits(),
            amount: refund.amount,
            fault: Some(evidence),
            actor: request.actor.clone(),
            at_ms: request.at_ms,
        };
        let of = (key.merchant, key.payment);
        self.record(of, happening, &[], None);
        self.withdraw_twin(key, &finding);
        let is_new = self.apply(key, &finding, &request.actor);
        assert!(is_new, "an open refund takes any outcome");
        let seq = self.seq(of);
        self.keep_outcome(at, &request.keys, KeyOutcome::Booked { payment: of.1, seq });
        Ok(done(request, seq, false))
    }

    fn unresolvable(&self, request: &Resolution, refund: &Refund) -> Option<Resolved> {
        let is_for_people =
            matches!(refund.status, Status::Unknown | Status::Pending | Status::RequiresAction);
        let key = &request.refund;
        let known = refund.psp_refund.as_ref();
        let is_other = |told: &String| known.is_some_and(|known| known != told);
        match () {
            () if request.evidence.trim().is_empty() => Some(Resolved::NoEvidence),
            () if !is_for_people => Some(Resolved::NotForPeople(refund.status)),
            () if self.under_way.contains_key(key) || self.called.contains(key) => {
                Some(Resolved::CallUnderWay)
            }
            () if request.psp_refund.as_ref().is_some_and(is_other) => {
                Some(Resolved::OtherPspRefund)
            }
            () => None,
        }
    }
}

fn done(request: &Resolution, seq: u32, is_replay: bool) -> Reply {
    let payment = request.refund.payment;
    Reply::Resolved(Resolved::Done(Booked { payment, seq, as_of: Some(seq), is_replay }))
}

fn closed(ruling: command::Ruling) -> Status {
    match ruling {
        command::Ruling::Succeeded => Status::Succeeded,
        command::Ruling::Declined => Status::Declined,
        command::Ruling::Failed => Status::Failed,
        command::Ruling::Voided => Status::Voided,
    }
}

/// A person's word as an outcome. The evidence is the reason why it is closed without success.
fn outcome(request: &Resolution) -> Outcome {
    let psp_refund = request.psp_refund.clone();
    let fault = Fault { code: "resolved_by_person".to_owned(), text: request.evidence.clone() };
    match request.ruling {
        command::Ruling::Succeeded => Outcome::Succeeded { psp_refund },
        command::Ruling::Declined => Outcome::Declined { psp_refund, fault },
        command::Ruling::Failed => Outcome::Failed { fault },
        command::Ruling::Voided => Outcome::Voided { psp_refund, fault },
    }
}
