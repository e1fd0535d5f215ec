//! What a proposed refund, a question after what is unknown, and a cancellation must come to.

use requite_core::cancel::NotCancellable;
use requite_core::decide::{Refusal, Target};
use requite_core::id::RefundId;
use requite_core::refund::Status;
use requite_core::schedule;
use requite_engine::command::{Cancellation, NotCancelled, RefundRef, RefundRequest};

use super::{Expected, Kept, Model, Of};

/// Unknown refunds of one payment that one request asks after.
const ASKED_MAX: usize = 8;
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

impl Model {
    /// It is new, and would be refused only for money that refunds hold which are still open.
    pub(super) fn is_doubtful(&mut self, request: &RefundRequest) -> bool {
        if !self.payments.contains_key(&(request.merchant, request.payment)) {
            return false;
        }
        let is_used = request.keys.iter().any(|key| match self.repeat(request, key) {
            Some((_, true)) => true,
            Some((verdict, false)) => self.which(request, verdict).is_some(),
            None => false,
        });
        let Err(refusal) = self.judge(request) else { return false };
        let open = self.held_by_open(request);
        let is_about_money = match refusal {
            Refusal::NothingLeft => open > 0,
            Refusal::ExceedsLeft { asked: Some(asked), left } => {
                asked.units() <= left.units() + open
            }
            _ => false,
        };
        !is_used && is_about_money
    }

    /// What open refunds hold of the leg that is asked for.
    fn held_by_open(&self, request: &RefundRequest) -> i64 {
        let of = (request.merchant, request.payment);
        let at = match request.ask.target {
            Target::Primary => Some(0),
            Target::Leg(id) => self.payments[&of].legs.iter().position(|leg| leg.id == id),
        };
        let open = self.refunds_of(of).filter(|(_, kept)| kept.status.is_open());
        open.filter(|(_, kept)| Some(kept.leg) == at).map(|(_, kept)| kept.amount).sum()
    }

    fn refunds_of(&self, (merchant, payment): Of) -> impl Iterator<Item = (RefundRef, &Kept)> {
        let low = RefundRef { merchant, payment, refund: RefundId::new(0) };
        let high = RefundRef { refund: RefundId::new(u128::MAX), ..low };
        self.refunds.range(low..=high).map(|(refund, kept)| (*refund, kept))
    }

    /// What is unknown of a payment is looked up, as far as its PSP may be bothered.
    pub(super) fn clarify(&mut self, of: Of, at_ms: i64) -> Expected {
        let unknown = self.refunds_of(of).filter(|(_, kept)| kept.status == Status::Unknown);
        let unknown: Vec<RefundRef> = unknown.map(|(refund, _)| refund).take(ASKED_MAX).collect();
        let mut first = None;
        for refund in unknown {
            if !self.is_called(refund) && may_be_asked(&self.refunds[&refund], at_ms) {
                let kept = self.refunds.get_mut(&refund).expect("it was just found");
                kept.attempt += 1;
                kept.looks += 1;
                kept.due_ms = Some(at_ms + schedule::DISPATCH_GRACE);
                self.called_now.insert(refund);
                self.touched.insert(refund);
                self.news.insert(refund);
            }
            if self.is_called(refund) {
                first = first.or(Some(refund));
            }
        }
        first.map_or(Expected::Noted, Expected::Clarifies)
    }

    /// Somebody wants a refund cancelled.
    pub(super) fn cancel(&mut self, request: &Cancellation) -> Expected {
        let refund = request.refund;
        let is_called = self.is_called(refund);
        let Some(kept) = self.refunds.get_mut(&refund) else {
            return Expected::PaymentUnknown;
        };
        let refused = |why| Expected::NotCancelled(NotCancelled::NotCancellable(why));
        if kept.status == Status::Voided {
            return Expected::Cancelled(refund);
        }
        // PSPs that cancel anything cancel what waits for the customer, and nothing else.
        if kept.status != Status::RequiresAction || request.cancels.is_empty() {
            return refused(NotCancellable::Status(kept.status));
        }
        if kept.psp_refund.is_none() {
            return refused(NotCancellable::Nameless);
        }
        if is_called {
            return Expected::NotCancelled(NotCancelled::CallUnderWay);
        }
        kept.attempt += 1;
        kept.looks = 0;
        kept.due_ms = Some(request.at_ms + schedule::DISPATCH_GRACE);
        self.called_now.insert(refund);
        self.touched.insert(refund);
        self.news.insert(refund);
        Expected::CancelAsked(refund)
    }
}

/// Decision B38: never more often than the schedule has it in an hour. While look-ups are dense, when half
/// of the wait is over; later ten an hour, and none where the PSP wants to be left alone.
fn may_be_asked(kept: &Kept, at_ms: i64) -> bool {
    let Some(due_ms) = kept.due_ms else { return false };
    let left_ms = due_ms - at_ms;
    let looks = usize::try_from(kept.looks).expect("a few");
    let wait_ms = schedule::UNKNOWN[looks.min(schedule::UNKNOWN.len() - 1)];
    if wait_ms <= 5 * MINUTE {
        return 2 * left_ms <= wait_ms;
    }
    let is_first_hour_s_last = wait_ms >= HOUR && at_ms - kept.asked_ms < HOUR;
    let is_put_off = left_ms <= if wait_ms > HOUR { HOUR } else { 6 * MINUTE };
    !is_first_hour_s_last && !is_put_off && wait_ms - left_ms >= 6 * MINUTE
}
