//! What happens at the PSP without a call of ours, and what it tells of that unasked.

use requite_core::id::uuid_text;
use requite_core::settle::Outcome;
use requite_engine::command::RefundRef;

use super::{DAY, Event, Execution, HOUR, Psp, Recourse, SECOND, State};
use crate::rng::Rng;
use crate::tally::Tally;

/// Something that the PSP says of one of its refunds, as it was when it said it.
#[derive(Clone, Debug)]
pub struct Tale {
    /// Which one.
    pub at: usize,
    pub outcome: Outcome,
    pub said_ms: i64,
}

impl Psp {
    pub(super) fn decide_now(
        &mut self,
        rng: &mut Rng,
        tally: &mut Tally,
        (at, state, at_ms): (usize, State, i64),
    ) {
        if !matches!(self.executions[at].state, State::Pending | State::Action) {
            return;
        }
        self.decide(at, state);
        if self.executions[at].is_external && self.policy.recourse == Recourse::Repeat {
            return self.say(rng, tally, (at, at_ms));
        }
        self.notice(rng, tally, (at, at_ms));
    }

    pub(super) fn decide(&mut self, at: usize, state: State) {
        let execution = &mut self.executions[at];
        let counted = execution.counts();
        execution.state = state;
        if counted && !execution.counts() && !execution.is_turned {
            let payment = execution.refund.payment;
            let (amount, is_external) = (execution.amount, execution.is_external);
            *self.counted.entry(payment).or_insert(0) -= amount;
            if !is_external {
                *self.counted_ours.entry(payment).or_insert(0) -= amount;
            }
        }
    }

    /// It tells us unasked, if it is one that does.
    pub(super) fn notice(&mut self, rng: &mut Rng, tally: &mut Tally, (at, at_ms): (usize, i64)) {
        if rng.chance(self.policy.rates.notice) {
            self.say(rng, tally, (at, at_ms));
        }
    }

    /// It says how a refund stands now. That gets here at once, or late, in any order and twice.
    fn say(&mut self, rng: &mut Rng, tally: &mut Tally, (at, at_ms): (usize, i64)) {
        self.said_ms = at_ms.max(self.said_ms + 1);
        let tale = Tale { at, outcome: self.executions[at].outcome(), said_ms: self.said_ms };
        tally.add("PSP", "notice");
        if !self.policy.notices_wander {
            return self.at(at_ms, Event::Notice(tale));
        }
        for _ in 0..rng.between(1, 2) {
            let at_ms = at_ms + rng.between(0, 5 * 60 * SECOND);
            tally.add("PSP", "notice that wanders");
            self.at(at_ms, Event::Notice(tale.clone()));
        }
    }

    /// Money came back, went after all, or was given back by hand. Where a list can be read it is found
    /// there; else the PSP tells it for certain.
    fn surprise(&mut self, rng: &mut Rng, tally: &mut Tally, (at, at_ms): (usize, i64)) {
        self.surprises.push(at);
        match self.policy.recourse {
            Recourse::LookUp => self.notice(rng, tally, (at, at_ms)),
            Recourse::Repeat => self.say(rng, tally, (at, at_ms)),
        }
    }

    /// The bank sends the money back.
    pub(super) fn bounce(&mut self, rng: &mut Rng, tally: &mut Tally, (at, at_ms): (usize, i64)) {
        if self.executions[at].state == State::Paid {
            tally.add("PSP", "money came back");
            self.decide(at, State::Bounced);
            self.surprise(rng, tally, (at, at_ms));
        }
    }

    /// It said that a refund was declined, had failed or had come back, and pays it all the same.
    pub fn turn(
        &mut self,
        rng: &mut Rng,
        tally: &mut Tally,
        (refund, amount, now_ms): (RefundRef, i64, i64),
    ) {
        let known = self.by_refund.get(&refund).and_then(|own| own.last()).copied();
        let at = known.unwrap_or_else(|| {
            let at = self.put(Execution {
                declined_at_once: true,
                ..self.blank((refund, amount), (State::Declined, now_ms))
            });
            let key = format!("requite-{}", uuid_text(refund.refund.bits()));
            self.by_key.entry(key).or_default().push(at);
            at
        });
        let execution = &mut self.executions[at];
        if matches!(execution.state, State::Declined | State::Voided | State::Bounced) {
            tally.add("PSP", "paid what it had said was over");
            execution.state = State::Paid;
            execution.is_turned = true;
            self.surprise(rng, tally, (at, now_ms));
        }
    }

    /// Somebody gives money back in the PSP's own pages.
    pub fn refund_by_hand(
        &mut self,
        rng: &mut Rng,
        tally: &mut Tally,
        (refund, amount, now_ms): (RefundRef, i64, i64),
    ) {
        let counted = self.counted.get(&refund.payment).copied().unwrap_or(0);
        let captured = self.captured.get(&refund.payment).copied().unwrap_or(0);
        if self.policy.has_guard && counted + amount > captured {
            return;
        }
        tally.add("PSP", "refund made by hand");
        let state = if rng.chance(700) { State::Paid } else { State::Pending };
        let made = Execution { is_external: true, ..self.blank((refund, amount), (state, now_ms)) };
        let at = self.put(made);
        *self.counted.entry(refund.payment).or_insert(0) += amount;
        if state == State::Pending {
            let to = if rng.chance(700) { State::Paid } else { State::Declined };
            let decided_at = now_ms + rng.between(SECOND, 3 * HOUR);
            self.at(decided_at, Event::Decides(at, to));
        } else if rng.chance(self.policy.rates.bounce) {
            self.at(now_ms + rng.between(2 * HOUR, 5 * DAY), Event::Bounces(at));
        }
        self.surprise(rng, tally, (at, now_ms));
    }

    fn blank(&self, (refund, amount): (RefundRef, i64), (state, at_ms): (State, i64)) -> Execution {
        Execution {
            refund,
            amount,
            state,
            is_for_ever: false,
            number: self.executions.len(),
            at_ms,
            errs_for_ever: false,
            declined_at_once: false,
            is_turned: false,
            is_external: false,
            is_failure: false,
            asked_as: refund.refund,
        }
    }

    fn put(&mut self, execution: Execution) -> usize {
        let at = self.executions.len();
        self.by_refund.entry(execution.refund).or_default().push(at);
        self.executions.push(execution);
        at
    }

    /// Which refund here has this name.
    pub fn named(&self, name: &str) -> Option<usize> {
        let at: usize = name.strip_prefix("re_")?.parse().ok()?;
        (at < self.executions.len()).then_some(at)
    }

    /// What one of its refunds is on our books.
    pub fn is_ours(&mut self, at: usize, refund: RefundRef) {
        let before = std::mem::replace(&mut self.executions[at].refund, refund);
        if before != refund {
            let own = self.by_refund.entry(before).or_default();
            own.retain(|other| *other != at);
            self.by_refund.entry(refund).or_default().push(at);
        }
    }

    /// What its list says of a refund now.
    pub fn listed(&mut self, at: usize, at_ms: i64) -> Tale {
        self.said_ms = at_ms.max(self.said_ms + 1);
        Tale { at, outcome: self.executions[at].outcome(), said_ms: self.said_ms }
    }

    /// Refunds whose news is not on our books yet: the others are forgotten.
    pub fn surprises(&mut self, is_news: impl Fn(&Execution) -> bool) -> Vec<usize> {
        let Psp { surprises, executions, .. } = self;
        surprises.retain(|at| is_news(&executions[*at]));
        surprises.clone()
    }

    /// When the newest call for a refund left.
    pub fn called_ms(&self, refund: RefundRef) -> Option<i64> {
        self.newest.get(&refund).map(|id| self.calls[id].left_ms)
    }
}
