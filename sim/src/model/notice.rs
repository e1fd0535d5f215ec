//! What a PSP's notice and a person's word must make of a refund.

use requite_core::id::RefundId;
use requite_core::refund::{Fault, Status};
use requite_core::schedule;
use requite_core::settle::{Finding, Outcome};
use requite_engine::command::{
    Mark, Notice, Noticed, Obstacle, Oddity, RefundRef, Resolution, Resolved, Ruling, Trust,
};

use super::{Expected, Kept, Model, Of};

/// Which refund a notice is about.
enum Meant {
    This(RefundRef),
    NoneOfOurs,
    Unclear,
}

impl Model {
    pub(super) fn notice(&mut self, notice: &Notice) -> Expected {
        let of = (notice.merchant, notice.payment);
        let Some(account) = self.payments.get(&of) else {
            return Expected::Noticed(Noticed::Odd(Oddity::OtherAccount));
        };
        if account.registration.connector != notice.connector {
            return Expected::Noticed(Noticed::Odd(Oddity::OtherAccount));
        }
        if account.code != notice.currency.code() {
            return Expected::Noticed(Noticed::Odd(Oddity::OtherCurrency));
        }
        match self.meant(of, notice) {
            Meant::Unclear => Expected::Noticed(Noticed::Later(Obstacle::Unnamed)),
            Meant::NoneOfOurs => Expected::Noticed(self.made_elsewhere(notice)),
            Meant::This(refund) if self.refunds[&refund].amount != notice.amount.units() => {
                Expected::Noticed(Noticed::Odd(Oddity::OtherAmount))
            }
            Meant::This(refund) if notice.trust == Trust::Evidence => {
                Expected::Noticed(self.believe(refund, notice))
            }
            Meant::This(refund) => self.ask_about(refund, notice),
        }
    }

    fn meant(&self, (merchant, payment): Of, notice: &Notice) -> Meant {
        let told = notice.outcome.psp_refund();
        let named = told.and_then(|told| self.named_as((merchant, payment), told));
        if let Some(refund) = named {
            return Meant::This(refund);
        }
        let low = RefundRef { merchant, payment, refund: RefundId::new(0) };
        let high = RefundRef { refund: RefundId::new(u128::MAX), ..low };
        match notice.mark {
            Mark::NotOurs => Meant::NoneOfOurs,
            Mark::Ours(refund) => {
                let refund = RefundRef { merchant, payment, refund };
                let kept = self.refunds.get(&refund);
                let is_it = kept.is_some_and(|kept| told.is_none() || kept.psp_refund.is_none());
                if is_it { Meant::This(refund) } else { Meant::NoneOfOurs }
            }
            Mark::Unstated => {
                let own = self.refunds.range(low..=high);
                let mut fitting = own.filter(|(_, kept)| {
                    let is_nameless = kept.psp_refund.is_none() && kept.status.is_open();
                    is_nameless && kept.amount == notice.amount.units()
                });
                let can_be_asked = notice.trust != Trust::Evidence;
                match (fitting.next(), fitting.next()) {
                    (Some((refund, _)), None) if can_be_asked => Meant::This(*refund),
                    (Some(_), _) => Meant::Unclear,
                    (None, _) => Meant::NoneOfOurs,
                }
            }
        }
    }

    /// The refund that the PSP calls so: one of ours before one that was taken for another's.
    pub fn named_as(&self, of: Of, told: &str) -> Option<RefundRef> {
        let named = self.named.get(&(of, told.to_owned()))?.iter();
        let named = named.filter(|refund| self.refunds[refund].psp_refund.as_deref() == Some(told));
        named.copied().min_by_key(|refund| (self.refunds[refund].is_external, *refund))
    }

    /// The PSP is asked, unless it says what is known or a call is under way.
    fn ask_about(&mut self, refund: RefundRef, notice: &Notice) -> Expected {
        let kept = &self.refunds[&refund];
        let is_same = match &notice.outcome {
            Outcome::Succeeded { .. } => kept.status == Status::Succeeded,
            Outcome::Pending { .. } => kept.status == Status::Pending,
            Outcome::RequiresAction { .. } => kept.status == Status::RequiresAction,
            _ => !kept.status.is_open() && kept.status != Status::Succeeded,
        };
        if is_same && kept.psp_refund.as_deref() == notice.outcome.psp_refund() {
            return Expected::Noticed(Noticed::Known(refund));
        }
        let is_sent = kept.status == Status::Dispatched;
        let is_out = is_sent && kept.due_ms.is_some_and(|due_ms| due_ms > notice.at_ms);
        if is_out || self.is_called(refund) {
            return Expected::Noticed(Noticed::Later(Obstacle::CallUnderWay));
        }
        let (to, looks) = match kept.status {
            Status::Dispatched => (Status::Unknown, 0),
            asked @ (Status::Unknown | Status::Pending | Status::RequiresAction) => {
                (asked, kept.looks + 1)
            }
            other => (other, kept.looks),
        };
        self.called_now.insert(refund);
        self.news.insert(refund);
        if to != kept.status {
            self.move_to(refund, to, notice.at_ms);
        }
        self.touched.insert(refund);
        let kept = self.refunds.get_mut(&refund).expect("it was just there");
        kept.attempt += 1;
        kept.looks = looks;
        kept.due_ms = to.is_open().then_some(notice.at_ms + schedule::DISPATCH_GRACE);
        Expected::Heard(refund)
    }

    fn believe(&mut self, refund: RefundRef, notice: &Notice) -> Noticed {
        let kept = self.refunds.get_mut(&refund).expect("it was just there");
        let is_older = match (notice.said_at_ms, kept.heard_ms) {
            // Of one moment, what undoes comes last.
            (Some(said), Some(heard)) if said == heard => {
                !kept.status.is_open() && may_count(&notice.outcome)
            }
            (Some(said), Some(heard)) => said < heard,
            _ => false,
        };
        if is_older {
            return Noticed::Known(refund);
        }
        kept.heard_ms = notice.said_at_ms.or(kept.heard_ms);
        let attempt = kept.attempt;
        self.touched.insert(refund);
        self.news.insert(refund);
        let finding = Finding { attempt, outcome: notice.outcome.clone(), at_ms: notice.at_ms };
        match self.apply_finding(refund, &finding) {
            true => Noticed::Settled(refund),
            false => Noticed::Known(refund),
        }
    }

    /// It was made at the PSP, and counts here.
    fn made_elsewhere(&mut self, notice: &Notice) -> Noticed {
        let Notice { merchant, payment, fresh, at_ms, .. } = *notice;
        let status = match &notice.outcome {
            Outcome::Succeeded { .. } => Status::Succeeded,
            Outcome::Pending { .. } => Status::Pending,
            Outcome::RequiresAction { .. } => Status::RequiresAction,
            _ => return Noticed::MovedNothing,
        };
        let account = self.payments.get_mut(&(merchant, payment)).expect("the caller found it");
        let leg = &mut account.legs[0];
        let (amount, left) = (notice.amount.units(), leg.captured - leg.held);
        if leg.captured == 0 {
            return Noticed::Odd(Oddity::NotCaptured);
        }
        if status.is_open() && amount > left {
            return Noticed::Later(Obstacle::DoesNotFit);
        }
        leg.held += amount.min(left);
        leg.excess += amount - amount.min(left);
        let refund = RefundRef { merchant, payment, refund: fresh };
        let told = notice.outcome.psp_refund().map(str::to_owned);
        if let Some(told) = told.clone() {
            self.named.entry(((merchant, payment), told)).or_default().insert(refund);
        }
        let kept = Kept {
            leg: 0,
            amount,
            status,
            attempt: 0,
            sends: 0,
            looks: 0,
            due_ms: schedule::next_action_at(status, 0, at_ms),
            is_keyed: false,
            psp_refund: told,
            is_external: true,
            heard_ms: notice.said_at_ms,
            asked_ms: at_ms,
        };
        self.refunds.insert(refund, kept);
        if status.is_open() {
            self.open.insert(refund);
        }
        self.touched.insert(refund);
        Noticed::External(refund)
    }

    /// What was taken for another's turns out to be one of ours: it must not count twice.
    pub(super) fn withdraw_twin(&mut self, refund: RefundRef, finding: &Finding) {
        let Some(kept) = self.refunds.get(&refund) else { return };
        let is_paid = matches!(finding.outcome, Outcome::Succeeded { .. });
        let Some(told) = finding.outcome.psp_refund() else { return };
        if !may_count(&finding.outcome) || !(kept.status.holds_money() || is_paid) {
            return;
        }
        let of = (refund.merchant, refund.payment);
        let named = self.named.get(&(of, told.to_owned())).into_iter().flatten();
        let twin = named.copied().find(|other| {
            let kept = &self.refunds[other];
            let is_other = *other != refund && kept.is_external;
            is_other && kept.status.holds_money() && kept.psp_refund.as_deref() == Some(told)
        });
        let Some(twin) = twin else { return };
        let fault = Fault::default();
        let outcome = Outcome::Voided { psp_refund: None, fault };
        let attempt = self.refunds[&twin].attempt;
        self.apply_finding(twin, &Finding { attempt, outcome, at_ms: finding.at_ms });
    }

    /// A person says what became of it.
    pub(super) fn resolve(&mut self, request: &Resolution) -> Expected {
        let refund = request.refund;
        let Some(kept) = self.refunds.get(&refund) else {
            return Expected::PaymentUnknown;
        };
        let status = kept.status;
        let ruled = match request.ruling {
            Ruling::Succeeded => Status::Succeeded,
            Ruling::Declined => Status::Declined,
            Ruling::Failed => Status::Failed,
            Ruling::Voided => Status::Voided,
        };
        if status == ruled {
            return Expected::Ruled;
        }
        if request.evidence.trim().is_empty() {
            return Expected::Resolved(Resolved::NoEvidence);
        }
        if !matches!(status, Status::Unknown | Status::Pending | Status::RequiresAction) {
            return Expected::Resolved(Resolved::NotForPeople(status));
        }
        if self.is_called(refund) {
            return Expected::Resolved(Resolved::CallUnderWay);
        }
        let known = kept.psp_refund.as_ref();
        if request.psp_refund.as_ref().zip(known).is_some_and(|(said, known)| said != known) {
            return Expected::Resolved(Resolved::OtherPspRefund);
        }
        let psp_refund = request.psp_refund.clone();
        let fault = Fault::default();
        let outcome = match request.ruling {
            Ruling::Succeeded => Outcome::Succeeded { psp_refund },
            Ruling::Declined => Outcome::Declined { psp_refund, fault },
            Ruling::Failed => Outcome::Failed { fault },
            Ruling::Voided => Outcome::Voided { psp_refund, fault },
        };
        self.news.insert(refund);
        let attempt = kept.attempt;
        self.settle(refund, &Finding { attempt, outcome, at_ms: request.at_ms });
        Expected::Ruled
    }
}

/// It says that money went, or may go.
fn may_count(outcome: &Outcome) -> bool {
    matches!(
        outcome,
        Outcome::Succeeded { .. } | Outcome::Pending { .. } | Outcome::RequiresAction { .. }
    )
}
