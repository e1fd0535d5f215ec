//! What happens around the engine: PSPs that tell unasked, lists that are read, people who give money
//! back by hand and people who rule on what nobody else can tell.

use requite_core::id::RefundId;
use requite_core::money::Minor;
use requite_core::refund::Status;
use requite_engine::command::{Command, Mark, Notice, RefundRef, Resolution, Ruling, Trust};

use super::{HOUR, World};
use crate::bug::Bug;
use crate::desk::Ticket;
use crate::judge::unsettled;
use crate::model::{Expected, Model, Of};
use crate::post::Letter;
use crate::psp::{Execution, Psp, Recourse, State, Tale};

/// How often a PSP's own list of refunds is read, as the server's.
const LIST_EVERY_MS: i64 = 5 * 60_000;
/// Messages that are worked on at once.
const AT_ONCE_MAX: usize = 64;
/// How long after its last call "the PSP has nothing" is a person's to say: whatever was on its way has
/// arrived by then.
const ABSENT_AFTER_MS: i64 = HOUR;

/// How often people look once everything is calm.
const PEOPLE_EVERY_MS: i64 = 60_000;

impl World {
    // --- Notices ---

    /// A notice is on disk before its PSP is thanked, up or down: a PSP tells it until it is.
    pub(super) fn take_in(&mut self, tale: &Tale) {
        let Some(letter) = self.letter(tale) else { return };
        let wall_ms = self.wall_ms();
        if self.rng.chance(20) {
            let odd = self.spoiled(letter.clone());
            self.post.take_in(odd, wall_ms);
        }
        self.post.take_in(letter, wall_ms);
    }

    fn letter(&mut self, tale: &Tale) -> Option<Letter> {
        let is_nameless = self.rng.chance(100);
        let execution = &self.psp.executions[tale.at];
        if execution.is_external && self.bug == Some(Bug::DeafToOthers) {
            return None;
        }
        let of = (execution.refund.merchant, execution.refund.payment);
        let account = self.model.payments.get(&of)?;
        let is_silent = self.psp.policy.recourse == Recourse::Repeat;
        let mark = match (is_silent, execution.is_external) {
            (true, true) => Mark::Unstated,
            (true, false) if is_nameless && self.model.may_be_mistaken(execution.refund) => {
                Mark::Unstated
            }
            (false, true) => Mark::NotOurs,
            (_, false) => Mark::Ours(execution.asked_as),
        };
        Some(Letter {
            merchant: of.0,
            payment: of.1,
            connector: "simulated",
            mark,
            amount: Minor::new(execution.amount)?,
            currency: account.registration.currency,
            outcome: tale.outcome.clone(),
            said_at_ms: tale.said_ms,
            at: Some(tale.at),
        })
    }

    /// Something that cannot be right: it must move nothing.
    fn spoiled(&mut self, letter: Letter) -> Letter {
        let doubled = letter.amount.units().checked_mul(2).and_then(Minor::new);
        match (self.rng.below(2), doubled, &letter.mark) {
            (0, Some(amount), Mark::Ours(_)) => Letter { amount, at: None, ..letter },
            _ => Letter { connector: "another", at: None, ..letter },
        }
    }

    /// The inbox's worker.
    pub(super) fn work_on_post(&mut self) {
        let wall_ms = self.wall_ms();
        for (number, letter) in self.post.claim(wall_ms, AT_ONCE_MAX) {
            self.tell_lane(letter, Some(number));
        }
    }

    /// Where a PSP can be asked its list is read, and told to the lane as a notice would be: what is new
    /// on it, and something that is not.
    pub(super) fn read_list(&mut self) {
        let is_time = self.now_ms >= self.listed_ms + LIST_EVERY_MS;
        if self.psp.policy.recourse == Recourse::Repeat || !is_time {
            return;
        }
        if !self.is_calm && !self.rng.chance(300) {
            return;
        }
        self.listed_ms = self.now_ms;
        let model = &self.model;
        let mut found = self.psp.surprises(|execution| is_news(model, execution) != News::No);
        if !self.psp.executions.is_empty() {
            found.push(self.rng.index(self.psp.executions.len()));
        }
        for at in found {
            let tale = self.psp.listed(at, self.now_ms);
            if let Some(letter) = self.letter(&tale) {
                self.tally.add("notice", "read in a list");
                self.tell_lane(letter, None);
            }
        }
    }

    /// When the list must be read: something stands there that we do not have.
    pub(super) fn list_due_ms(&mut self) -> Option<i64> {
        let model = &self.model;
        let news = self.psp.surprises(|execution| is_news(model, execution) != News::No);
        let is_due = |at: &usize| is_news(model, &self.psp.executions[*at]) == News::Due;
        let can_ask = self.psp.policy.recourse == Recourse::LookUp;
        (can_ask && news.iter().any(is_due)).then_some(self.listed_ms + LIST_EVERY_MS)
    }

    fn tell_lane(&mut self, letter: Letter, message: Option<u64>) {
        let Letter { merchant, payment, mark, amount, currency, outcome, .. } = letter;
        let (trust, said_at_ms) = match (self.psp.policy.recourse, self.bug) {
            (Recourse::LookUp, Some(Bug::BelievedNotice)) => (Trust::Evidence, None),
            (Recourse::LookUp, _) => (Trust::LookUp, Some(letter.said_at_ms)),
            (Recourse::Repeat, _) => (Trust::Evidence, Some(letter.said_at_ms)),
        };
        let notice = Notice {
            merchant,
            payment,
            connector: letter.connector.to_owned(),
            mark,
            amount,
            currency,
            outcome,
            said_at_ms,
            trust,
            fresh: RefundId::new(self.rng.bits()),
            at_ms: self.wall_ms(),
        };
        let ticket = Ticket { message, at_psp: letter.at, ..Ticket::default() };
        self.ask_lane(Command::Notice(Box::new(notice)), ticket);
    }

    fn ask_lane(&mut self, command: Command, ticket: Ticket) {
        if let Some(node) = self.some_node() {
            self.ask_at(node, command, ticket);
        }
    }

    /// A committed notice says which of our refunds one of the PSP's is.
    pub(super) fn note_match(&mut self, at: usize, expected: &Expected) {
        use requite_engine::command::Noticed::{External, Known, Settled};
        let refund = match expected {
            Expected::Noticed(Settled(refund) | Known(refund) | External(refund))
            | Expected::Heard(refund) => *refund,
            _ => return,
        };
        let execution = &self.psp.executions[at];
        let is_booked = self.model.refunds.get(&refund).is_some_and(|kept| kept.is_external);
        if execution.refund != refund && !(execution.is_external && is_booked) {
            // Without a key in it, a notice was taken for another refund's of the same amount: from
            // here on only the payment's sums can be compared.
            self.mixed.insert((refund.merchant, refund.payment));
        }
        self.psp.is_ours(at, refund);
    }

    // --- People ---

    /// Somebody gives money back at the PSP itself.
    pub(super) fn maybe_refund_by_hand(&mut self) {
        let rate = self.psp.policy.rates.by_hand;
        if rate == 0 || !self.rng.chance(rate) || self.model.payments.is_empty() {
            return;
        }
        let chosen = self.rng.index(self.model.payments.len());
        let of: Of = *self.model.payments.keys().nth(chosen).expect("an index of them");
        let Some(max) = self.model.by_hand_max(of).filter(|max| *max > 0) else { return };
        let amount = self.rng.between(1, (max / 3).max(1));
        let (merchant, payment) = of;
        let refund = RefundRef { merchant, payment, refund: RefundId::new(self.rng.bits()) };
        let World { psp, rng, tally, .. } = self;
        psp.refund_by_hand(rng, tally, (refund, amount, self.now_ms));
    }

    /// People look at the PSP's own pages, and rule on what is open here.
    pub(super) fn people_rule(&mut self) {
        if self.bug == Some(Bug::NobodyRules) {
            return;
        }
        let is_silent = self.psp.policy.recourse == Recourse::Repeat;
        if self.is_calm && is_silent {
            let open: Vec<RefundRef> = self.model.open.iter().copied().collect();
            return open.into_iter().for_each(|refund| self.rule(refund));
        }
        if self.model.open.is_empty() || !self.rng.chance(self.weather.people) {
            return;
        }
        let chosen = self.rng.index(self.model.open.len());
        let refund = *self.model.open.iter().nth(chosen).expect("an index of them");
        self.rule(refund);
    }

    /// When people look again: a call about it may have been under way when they did.
    pub(super) fn people_ms(&self) -> Option<i64> {
        let is_silent = self.psp.policy.recourse == Recourse::Repeat;
        let is_open = self.is_calm && is_silent && !unsettled(&self.model, &self.psp).is_empty();
        is_open.then_some(self.now_ms + PEOPLE_EVERY_MS)
    }

    fn rule(&mut self, refund: RefundRef) {
        let kept = &self.model.refunds[&refund];
        let is_for_people =
            matches!(kept.status, Status::Unknown | Status::Pending | Status::RequiresAction);
        if self.is_calm && !is_for_people {
            return;
        }
        let called_ms = self.psp.called_ms(refund).unwrap_or(self.now_ms);
        let is_quiet = self.now_ms - called_ms > ABSENT_AFTER_MS;
        let found = self.found_by_people(refund);
        let (ruling, name) = match found.map(|execution| (execution.state, execution.name())) {
            Some((State::Pending | State::Action, _)) => return,
            Some((State::Paid, name)) => (Ruling::Succeeded, Some(name)),
            Some((State::Voided, name)) => (Ruling::Voided, Some(name)),
            Some((State::Declined | State::Bounced, name)) => (Ruling::Declined, Some(name)),
            None if is_quiet && kept.status == Status::Unknown => (Ruling::Failed, None),
            None => return,
        };
        let is_sloppy = !self.is_calm && self.rng.chance(100);
        let evidence = if is_sloppy { " " } else { "seen in the PSP's own pages" };
        let is_mistyped = !self.is_calm && self.rng.chance(30);
        let psp_refund = if is_mistyped { name.map(|name| format!("{name}x")) } else { name };
        if is_mistyped && self.model.refunds[&refund].psp_refund.is_none() {
            return;
        }
        self.tally.add("people", ruling.word());
        let request = Resolution {
            refund,
            ruling,
            evidence: String::from(evidence),
            psp_refund,
            keys: Vec::new(),
            actor: String::from("person"),
            at_ms: self.wall_ms(),
        };
        self.ask_lane(Command::Resolve(Box::new(request)), Ticket::default());
    }

    /// What the PSP's pages show of a refund.
    fn found_by_people(&self, refund: RefundRef) -> Option<&Execution> {
        let kept = &self.model.refunds[&refund];
        let named = kept.psp_refund.as_deref().and_then(|name| self.psp.named(name));
        if let Some(at) = named {
            return Some(&self.psp.executions[at]);
        }
        let own = self.psp.executions_of(refund);
        own.max_by_key(|execution| (execution.counts(), execution.name().len(), execution.name()))
    }
}

/// Is what stands at the PSP to be told?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// It is on our books.
    No,
    /// Our own look-ups find it.
    Comes,
    Due,
}

/// Of a refund that came back, went after all, or was made by hand.
pub(super) fn is_news(model: &Model, execution: &Execution) -> News {
    let of = (execution.refund.merchant, execution.refund.payment);
    let named = model.named_as(of, &execution.name());
    let kept = named.or(Some(execution.refund)).and_then(|refund| model.refunds.get(&refund));
    let Some(kept) = kept else {
        let is_over = execution.is_external && !execution.counts();
        return if is_over { News::No } else { News::Due };
    };
    match (kept.status, execution.state) {
        (status, _) if status.is_open() => News::Comes,
        (Status::Succeeded, State::Paid) => News::No,
        (Status::Succeeded, _) | (_, State::Paid) => News::Due,
        _ => News::No,
    }
}

/// Of each payment, what the PSP gave back and what our books say of it: they must be the same in the end.
pub(crate) fn sums_agree(model: &Model, psp: &Psp) -> Result<(), String> {
    let mut at_psp: std::collections::BTreeMap<Of, i64> = Default::default();
    for execution in psp.executions.iter().filter(|execution| execution.counts()) {
        let of = (execution.refund.merchant, execution.refund.payment);
        *at_psp.entry(of).or_insert(0) += execution.amount;
    }
    for (refund, kept) in &model.refunds {
        let of = (refund.merchant, refund.payment);
        if kept.status.holds_money() && !model.payments[&of].is_immediate {
            *at_psp.entry(of).or_insert(0) -= kept.amount;
        }
    }
    match at_psp.into_iter().find(|(_, rest)| *rest != 0) {
        None => Ok(()),
        Some((of, rest)) => {
            Err(format!("R2: of {of:?} the PSP gave back {rest} more than our books say"))
        }
    }
}
