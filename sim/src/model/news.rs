//! What outcomes of calls and times that have come must make of refunds that were accepted before.

use requite_core::refund::Status;
use requite_core::schedule;
use requite_core::settle::{Finding, Outcome};
use requite_engine::command::RefundRef;

use super::{Kept, Model};

impl Model {
    /// Whether it says anything new.
    pub(super) fn settle(&mut self, refund: RefundRef, finding: &Finding) -> bool {
        self.withdraw_twin(refund, finding);
        self.apply_finding(refund, finding)
    }

    pub(super) fn apply_finding(&mut self, refund: RefundRef, finding: &Finding) -> bool {
        let Some(kept) = self.refunds.get(&refund) else {
            return false;
        };
        let is_success = matches!(finding.outcome, Outcome::Succeeded { .. });
        let is_old = finding.attempt < kept.attempt && !is_success;
        let is_no = matches!(
            finding.outcome,
            Outcome::Declined { .. } | Outcome::Failed { .. } | Outcome::Voided { .. }
        );
        let changes_closed = if kept.status == Status::Succeeded { is_no } else { is_success };
        if is_old || (!kept.status.is_open() && !changes_closed) {
            return false;
        }
        let named = finding.outcome.psp_refund();
        let is_of_another = named.is_some() && kept.psp_refund.is_some();
        if is_of_another && named != kept.psp_refund.as_deref() && !is_success {
            return false;
        }
        let was = kept.status;
        // What did not reach the PSP used up none of the waits between look-ups.
        let is_unreached = matches!(finding.outcome, Outcome::Unreached { .. });
        let is_turned_away = matches!(finding.outcome, Outcome::NotSent { .. });
        let is_nothing = is_unreached || is_turned_away || finding.outcome == Outcome::Absent;
        if was == Status::Ready && is_nothing {
            return false;
        }
        let (to, again_ms) = becomes(kept, finding);
        let sends_again = again_ms == Some(0);
        let to = if sends_again { Status::Dispatched } else { to };
        let kept = self.refunds.get_mut(&refund).expect("it was just there");
        if let Some(named) = named {
            kept.psp_refund = Some(named.to_owned());
            let of = (refund.merchant, refund.payment);
            self.named.entry((of, named.to_owned())).or_default().insert(refund);
        }
        let kept = self.refunds.get_mut(&refund).expect("it was just there");
        let looks = kept.looks.saturating_sub(u32::from(is_unreached));
        kept.looks = if to == was { looks } else { 0 };
        if sends_again {
            kept.attempt += 1;
            kept.sends += 1;
            self.called_now.insert(refund);
        }
        self.move_to(refund, to, finding.at_ms);
        if let (Some(distance), true) = (again_ms, to == Status::Ready || is_unreached) {
            let kept = self.refunds.get_mut(&refund).expect("it was just there");
            kept.due_ms = Some(finding.at_ms + distance);
        }
        true
    }

    pub(super) fn wake(&mut self, refund: RefundRef, at_ms: i64, is_restart: bool) {
        let is_called = self.is_called(refund);
        let Some(kept) = self.refunds.get_mut(&refund) else {
            return;
        };
        let Some(due_ms) = kept.due_ms else { return };
        let is_due = due_ms <= at_ms || due_ms > at_ms + schedule::FARTHEST;
        if is_called {
            if is_due {
                kept.due_ms = Some(at_ms + schedule::DISPATCH_GRACE);
                self.touched.insert(refund);
            }
            return;
        }
        // What is ready has no call that died: a restart does not hurry it.
        if !is_due && (!is_restart || kept.status == Status::Ready) {
            return;
        }
        self.called_now.insert(refund);
        let (to, looks) = match kept.status {
            Status::Dispatched => (Status::Unknown, 0),
            Status::Ready => (Status::Dispatched, 0),
            looked_up => (looked_up, kept.looks + u32::from(!is_restart)),
        };
        if to == Status::Dispatched {
            kept.sends += 1;
        }
        kept.attempt += 1;
        self.move_to(refund, to, at_ms);
        let kept = self.refunds.get_mut(&refund).expect("it was just there");
        kept.looks = looks;
        kept.due_ms = Some(at_ms + schedule::DISPATCH_GRACE);
    }

    pub(super) fn move_to(&mut self, refund: RefundRef, to: Status, at_ms: i64) {
        let kept = self.refunds.get_mut(&refund).expect("the caller found it");
        let held = kept.status.holds_money();
        kept.status = to;
        kept.due_ms = schedule::next_action_at(to, kept.looks, at_ms);
        let account = self.payments.get_mut(&(refund.merchant, refund.payment));
        let leg = &mut account.expect("a refund has its payment").legs[kept.leg];
        match (held, to.holds_money()) {
            // Money that comes free covers excess first.
            (true, false) => {
                let covers = kept.amount.min(leg.excess);
                leg.excess -= covers;
                leg.held -= kept.amount - covers;
            }
            (false, true) => {
                let fits = kept.amount.min(leg.captured - leg.held);
                leg.held += fits;
                leg.excess += kept.amount - fits;
            }
            _ => {}
        }
        if to.is_open() {
            self.open.insert(refund);
        } else {
            self.open.remove(&refund);
        }
        self.touched.insert(refund);
    }
}

/// What a refund becomes, and after how long it is called for again, if it is.
fn becomes(kept: &Kept, finding: &Finding) -> (Status, Option<i64>) {
    let was = kept.status;
    let is_pending = matches!(was, Status::Pending | Status::RequiresAction);
    let to = match &finding.outcome {
        Outcome::Succeeded { .. } => Status::Succeeded,
        Outcome::Pending { .. } => Status::Pending,
        Outcome::RequiresAction { .. } => Status::RequiresAction,
        Outcome::Declined { .. } | Outcome::Failed { .. } | Outcome::Voided { .. }
            if was == Status::Succeeded =>
        {
            Status::Reversed
        }
        Outcome::Declined { .. } => Status::Declined,
        Outcome::Failed { .. } => Status::Failed,
        Outcome::Voided { .. } => Status::Voided,
        Outcome::NotSent { retry_after_ms, .. } if was == Status::Dispatched => {
            let again_ms = schedule::after_not_sent(kept.sends).max(*retry_after_ms);
            return (Status::Ready, Some(again_ms));
        }
        Outcome::Unreached { retry_after_ms, .. } => {
            let again_ms = schedule::after_unreached(kept.attempt, *retry_after_ms);
            let to = if was == Status::Dispatched { Status::Ready } else { was };
            return (to, Some(again_ms));
        }
        Outcome::NotSent { .. } | Outcome::Unknown { .. } if is_pending => was,
        Outcome::Absent if was == Status::Unknown && kept.psp_refund.is_none() => {
            return (Status::Ready, Some(schedule::after_absent(kept.sends)));
        }
        Outcome::NotSent { .. } | Outcome::Unknown { .. } | Outcome::Absent => Status::Unknown,
    };
    (to, None)
}
