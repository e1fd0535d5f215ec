//! A payment provider with books of its own, and the network between it and us.
//!
//! It knows refunds by the key of the call and by nothing else. It pays what it is asked to pay,
//! once for each key where it honours keys, else once for each call. What it has in its books is
//! the truth that our books are held against.
//!
//! Every call is drawn a fate: lost on the way, answered late, twice or never, refused, declined,
//! left pending. A look-up may fail, but what it says is true when it says it. Some can only be asked
//! again for the same ([`Recourse::Repeat`]), and say by notices what became of it.
//!
//! What happens there without a call is in [`later`].

use std::collections::BTreeMap;

use requite_core::id::{PaymentId, RefundId};
use requite_core::refund::Fault;
use requite_core::settle::Outcome;
use requite_engine::command::RefundRef;
use requite_engine::psp::{CallKind, Instruction};

use crate::rng::Rng;
use crate::tally::Tally;

mod later;
pub use later::Tale;

const SECOND: i64 = 1_000;
const HOUR: i64 = 3_600 * SECOND;
const DAY: i64 = 24 * HOUR;

/// How a lost answer is found again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recourse {
    /// The PSP can be asked.
    LookUp,
    /// Nothing can be asked: the same is sent again under the same key as long as the PSP surely knows
    /// it, and only notices and people tell what became of it.
    Repeat,
}

/// How long a key is repeated where nothing can be asked: less than the PSP's promise.
const REPEAT_MS: i64 = 144 * HOUR;

/// What this PSP is like. Drawn for each run.
#[derive(Clone, Debug)]
pub struct Policy {
    pub recourse: Recourse,
    /// For how long a key names its refund; 0: not at all.
    pub key_life_ms: i64,
    /// Refuses to give back more than was captured.
    pub has_guard: bool,
    /// A look-up shows refunds that were declined at once.
    pub shows_declines: bool,
    /// Our own deadline for a call.
    pub deadline_ms: i64,
    /// A request may be stuck in the network and arrive after we gave it up. Only with keys that
    /// live for ever and no failures: where the first request may still arrive, "nothing is there"
    /// proves nothing without them.
    pub may_straggle: bool,
    /// Per thousand requests, where they may.
    pub straggles: u64,
    /// A planted bug: a look-up does not see a refund before it is this old.
    pub look_up_lag_ms: i64,
    /// What it tells unasked comes late, in any order and twice.
    pub notices_wander: bool,
    pub rates: Rates,
}

/// Per thousand calls.
#[derive(Clone, Debug, Default)]
pub struct Rates {
    pub refused_connection: u64,
    pub lost_before: u64,
    pub lost_after: u64,
    pub reset: u64,
    pub slow: u64,
    pub doubled: u64,
    pub server_error: u64,
    pub error_for_ever: u64,
    pub fail: u64,
    pub decline: u64,
    pub pending: u64,
    pub for_ever: u64,
    pub action: u64,
    pub bounce: u64,
    pub notice: u64,
    pub deaf_look_up: u64,
    /// Look-ups that do not see what they showed before.
    pub forgets: u64,
    /// Of those that wait: wait for somebody else in between.
    pub wavers: u64,
    /// Of those that are decided: cancelled.
    pub cancel: u64,
    /// Of a thousand steps: a refund that was over is paid all the same.
    pub turn_about: u64,
    /// Of a thousand steps: a refund is made at the PSP itself.
    pub by_hand: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Pending,
    /// Waits for the customer.
    Action,
    Paid,
    Declined,
    /// Cancelled before anything moved.
    Voided,
    /// Paid, and the bank sent it back.
    Bounced,
}

/// A refund in the PSP's books.
#[derive(Clone, Debug)]
pub struct Execution {
    /// Whose it is: known to the judge, not to the PSP's own rules.
    pub refund: RefundRef,
    pub amount: i64,
    pub state: State,
    /// It never leaves its state by itself.
    pub is_for_ever: bool,
    /// Which of the PSP's refunds it is: also under one key, where keys do not live for ever.
    number: usize,
    at_ms: i64,
    errs_for_ever: bool,
    declined_at_once: bool,
    /// Paid after it had been told to be over.
    pub is_turned: bool,
    /// Made at the PSP itself: `refund` names it on our books, once it is there.
    pub is_external: bool,
    /// Its end is told as a failure, without a name.
    is_failure: bool,
    /// Whose key it was asked for with.
    pub asked_as: RefundId,
}

impl Execution {
    /// Holds or has moved money.
    pub fn counts(&self) -> bool {
        matches!(self.state, State::Pending | State::Action | State::Paid)
    }

    /// What the PSP calls it.
    pub fn name(&self) -> String {
        format!("re_{}", self.number)
    }

    fn outcome(&self) -> Outcome {
        let psp_refund = Some(self.name());
        match self.state {
            State::Paid => Outcome::Succeeded { psp_refund },
            State::Pending => Outcome::Pending { psp_refund },
            State::Action => Outcome::RequiresAction { psp_refund },
            State::Declined if self.is_failure => Outcome::Failed { fault: fault("failed") },
            State::Declined | State::Bounced => {
                Outcome::Declined { psp_refund, fault: fault("declined") }
            }
            State::Voided => Outcome::Voided { psp_refund, fault: fault("canceled") },
        }
    }
}

/// Something that reaches us.
#[derive(Clone, Debug)]
pub struct News {
    pub refund: RefundRef,
    pub attempt: u32,
    pub outcome: Outcome,
    pub at_ms: i64,
    pub kind: CallKind,
    /// The lane that asked.
    pub seat: usize,
}

/// What reaches us: what became of a call, or what is told unasked.
#[derive(Clone, Debug)]
pub enum Told {
    Answer(News),
    Notice(Tale),
}

#[derive(Clone, Debug)]
enum Event {
    Arrives(u64),
    Answers(u64, Outcome),
    Deadline(u64),
    /// A pending refund is decided.
    Decides(usize, State),
    Bounces(usize),
    /// What it said of a refund at some time gets here.
    Notice(Tale),
}

#[derive(Clone, Debug)]
struct Call {
    instruction: Instruction,
    key: String,
    left_ms: i64,
    /// The lane that made it, and the process it was of: answers reach no other.
    seat: usize,
    generation: u32,
    is_ended: bool,
}

#[derive(Clone, Debug)]
pub struct Psp {
    pub policy: Policy,
    pub executions: Vec<Execution>,
    /// What broke the PSP's own rules, in words.
    pub violations: Vec<String>,
    /// Refunds whose money came back, or went after all; told again until they are on our books.
    surprises: Vec<usize>,
    /// When it said something last: no two things at once.
    said_ms: i64,
    by_key: BTreeMap<String, Vec<usize>>,
    by_refund: BTreeMap<RefundRef, Vec<usize>>,
    counted: BTreeMap<PaymentId, i64>,
    /// Of that, what we asked for.
    counted_ours: BTreeMap<PaymentId, i64>,
    captured: BTreeMap<PaymentId, i64>,
    calls: BTreeMap<u64, Call>,
    /// The newest call for each refund.
    newest: BTreeMap<RefundRef, u64>,
    queue: BTreeMap<(i64, u64), Event>,
    drawn: u64,
    /// Of each lane's process.
    generations: Vec<u32>,
    is_calm: bool,
}

impl Psp {
    /// `seats`: lanes that may call.
    pub fn new(policy: Policy, seats: usize) -> Psp {
        Psp {
            policy,
            executions: Vec::new(),
            violations: Vec::new(),
            surprises: Vec::new(),
            by_key: BTreeMap::new(),
            by_refund: BTreeMap::new(),
            counted: BTreeMap::new(),
            counted_ours: BTreeMap::new(),
            said_ms: 0,
            captured: BTreeMap::new(),
            calls: BTreeMap::new(),
            newest: BTreeMap::new(),
            queue: BTreeMap::new(),
            drawn: 0,
            generations: vec![0; seats],
            is_calm: false,
        }
    }

    /// What the PSP has taken of a payment.
    pub fn capture(&mut self, payment: PaymentId, captured: i64) {
        self.captured.insert(payment, captured);
    }

    pub fn executions_of(&self, refund: RefundRef) -> impl Iterator<Item = &Execution> {
        let of = self.by_refund.get(&refund).into_iter().flatten();
        of.map(|at| &self.executions[*at])
    }

    /// When something happens next without us.
    pub fn next_at(&self) -> Option<i64> {
        self.queue.first_key_value().map(|((at_ms, _), _)| *at_ms)
    }

    /// When the last thing that is under way happens.
    pub fn last_at(&self) -> Option<i64> {
        self.queue.last_key_value().map(|((at_ms, _), _)| *at_ms)
    }

    fn at(&mut self, at_ms: i64, event: Event) {
        self.drawn += 1;
        self.queue.insert((at_ms, self.drawn), event);
    }

    // --- Calls ---

    /// A call leaves. What becomes of it on the way is drawn now.
    pub fn call(
        &mut self,
        rng: &mut Rng,
        (call, key): (Instruction, String),
        (seat, now_ms): (usize, i64),
    ) {
        self.drawn += 1;
        let id = self.drawn;
        let is_send = call.kind == CallKind::Send;
        let generation = self.generations[seat];
        let left_ms = now_ms;
        let call = Call { instruction: call, key, left_ms, seat, generation, is_ended: false };
        let refund = call.instruction.refund;
        if self.is_called(refund, is_send, now_ms) {
            self.violations.push(format!("two calls at once for {refund:?}"));
        }
        self.newest.insert(refund, id);
        self.calls.insert(id, call);
        if self.policy.recourse == Recourse::Repeat
            && !is_send
            && let Some(outcome) = unrepeated(&self.calls[&id].instruction)
        {
            return self.at(now_ms, Event::Answers(id, outcome));
        }
        self.at(now_ms + self.policy.deadline_ms, Event::Deadline(id));
        let is_send = is_send || self.policy.recourse == Recourse::Repeat;
        let rates = &self.policy.rates;
        let soon = now_ms + rng.between(0, 20);
        if rng.chance(rates.refused_connection) {
            let retry_after_ms = if rng.chance(200) { rng.between(0, 60_000) } else { 0 };
            let fault = fault("connection refused");
            let refused = match retry_after_ms {
                1.. if is_send => Outcome::NotSent { fault, retry_after_ms },
                _ => Outcome::Unreached { fault, retry_after_ms },
            };
            let refused = self.as_proof(&self.calls[&id], refused);
            return self.at(soon, Event::Answers(id, refused));
        }
        if !rng.chance(rates.lost_before) {
            let straggles =
                self.policy.may_straggle && is_send && rng.chance(self.policy.straggles);
            let latest = if straggles { 200 * SECOND } else { self.policy.deadline_ms / 2 };
            let on_the_way = if rng.chance(800) { 30 } else { latest };
            let at_ms = now_ms + rng.between(0, on_the_way);
            self.at(at_ms, Event::Arrives(id));
        }
    }

    /// Is a call of the living process for this refund under way?
    /// Of several nodes two may ask at once what became of a refund, of which a notice told both; but
    /// nobody may ask while it is being sent, for what the PSP has not yet received it does not know.
    fn is_called(&self, refund: RefundRef, is_send: bool, now_ms: i64) -> bool {
        let newest = self.newest.get(&refund).map(|id| &self.calls[id]);
        newest.is_some_and(|call| {
            let are_questions = !is_send && call.instruction.kind != CallKind::Send;
            if are_questions && self.generations.len() > 1 {
                return false;
            }
            let is_over = now_ms >= call.left_ms + self.policy.deadline_ms;
            !call.is_ended && !is_over && self.is_alive(call)
        })
    }

    fn is_alive(&self, call: &Call) -> bool {
        call.generation == self.generations[call.seat]
    }

    /// Our process died: what it sent is there, or lost on the way; what comes back reaches nobody.
    pub fn crash(
        &mut self,
        rng: &mut Rng,
        tally: &mut Tally,
        (seats, now_ms): (std::ops::Range<usize>, i64),
    ) {
        let arriving = self.queue.iter().filter(|(_, event)| {
            matches!(event, Event::Arrives(id) if seats.contains(&self.calls[id].seat))
        });
        let arriving: Vec<(i64, u64)> = arriving.map(|(at, _)| *at).collect();
        let unheard = self.queue.values().filter(
            |event| matches!(event, Event::Answers(id, _) if seats.contains(&self.calls[id].seat)),
        );
        for _ in unheard {
            tally.add("crash with calls", "acted, answer under way");
        }
        for seat in seats {
            self.generations[seat] += 1;
        }
        for at in arriving {
            if self.policy.may_straggle && rng.chance(500) {
                continue;
            }
            let Some(Event::Arrives(id)) = self.queue.remove(&at) else {
                continue;
            };
            if rng.chance(500) {
                tally.add("crash with calls", "sent, then the PSP acted");
                self.arrive(rng, tally, (id, now_ms));
            } else {
                tally.add("crash with calls", "sent, and lost on the way");
            }
        }
    }

    /// Lets everything happen that happens until `now_ms`.
    pub fn advance(&mut self, rng: &mut Rng, tally: &mut Tally, now_ms: i64) -> Vec<Told> {
        let mut told = Vec::new();
        while let Some(((at_ms, order), _)) = self.queue.first_key_value() {
            let (at_ms, order) = (*at_ms, *order);
            if at_ms > now_ms {
                break;
            }
            let event = self.queue.remove(&(at_ms, order)).expect("it is the first");
            match event {
                Event::Arrives(id) => self.arrive(rng, tally, (id, at_ms)),
                Event::Answers(id, outcome) => {
                    told.extend(self.answer(id, outcome, at_ms).map(Told::Answer));
                }
                Event::Deadline(id) => {
                    told.extend(self.give_up(tally, id, at_ms).map(Told::Answer));
                }
                Event::Decides(at, state) => self.decide_now(rng, tally, (at, state, at_ms)),
                Event::Bounces(at) => self.bounce(rng, tally, (at, at_ms)),
                Event::Notice(tale) => told.push(Told::Notice(tale)),
            }
        }
        told
    }

    fn answer(&mut self, id: u64, outcome: Outcome, at_ms: i64) -> Option<News> {
        let call = self.calls.get_mut(&id)?;
        if call.generation != self.generations[call.seat] {
            return None;
        }
        let is_late = std::mem::replace(&mut call.is_ended, true);
        // What was said before it was turned about gets lost: without a version of its own, nobody
        // could tell it from news.
        let mut own = self.by_refund.get(&call.instruction.refund).into_iter().flatten();
        let is_turned = own.any(|at| self.executions[*at].is_turned);
        match outcome {
            Outcome::Declined { .. } | Outcome::Failed { .. } | Outcome::Voided { .. }
                if is_turned =>
            {
                (!is_late).then(|| news(call, server_error(), at_ms))
            }
            outcome => Some(news(call, outcome, at_ms)),
        }
    }

    fn give_up(&mut self, tally: &mut Tally, id: u64, at_ms: i64) -> Option<News> {
        let call = self.calls.get_mut(&id)?;
        if call.is_ended || call.generation != self.generations[call.seat] {
            return None;
        }
        call.is_ended = true;
        tally.add("PSP", "deadline passed without an answer");
        Some(news(call, Outcome::Unknown { fault: fault("no answer in time") }, at_ms))
    }

    // --- At the PSP ---

    fn arrive(&mut self, rng: &mut Rng, tally: &mut Tally, (id, at_ms): (u64, i64)) {
        let Some(call) = self.calls.get(&id).cloned() else {
            return;
        };
        let outcome = match call.instruction.kind {
            CallKind::LookUp if self.policy.recourse == Recourse::LookUp => {
                self.look_up(rng, tally, (&call, at_ms))
            }
            CallKind::Cancel => self.cancel(rng, tally, (&call, at_ms)),
            CallKind::Send | CallKind::LookUp => self.act(rng, tally, (&call, at_ms)),
        };
        let outcome = self.as_proof(&call, outcome);
        self.send_answer(rng, tally, (id, outcome, at_ms));
    }

    fn send_answer(
        &mut self,
        rng: &mut Rng,
        tally: &mut Tally,
        (id, outcome, at_ms): (u64, Outcome, i64),
    ) {
        let rates = self.policy.rates.clone();
        let quick = at_ms + rng.between(0, 60);
        if rng.chance(rates.lost_after) {
            return tally.add("PSP", "answer lost");
        }
        if rng.chance(rates.reset) {
            tally.add("PSP", "connection reset");
            let reset = Outcome::Unknown { fault: fault("connection reset") };
            return self.at(quick, Event::Answers(id, reset));
        }
        if rng.chance(rates.slow) {
            tally.add("PSP", "answer after the deadline");
            let late = at_ms + self.policy.deadline_ms + rng.between(1, 20 * SECOND);
            return self.at(late, Event::Answers(id, outcome));
        }
        if rng.chance(rates.doubled) {
            tally.add("PSP", "answer twice");
            let again = quick + rng.between(0, 5 * SECOND);
            self.at(again, Event::Answers(id, outcome.clone()));
        }
        self.at(quick, Event::Answers(id, outcome));
    }

    /// A refund is asked for.
    fn act(&mut self, rng: &mut Rng, tally: &mut Tally, (call, at_ms): (&Call, i64)) -> Outcome {
        if let Some(known) = self.honoured(&call.key, at_ms) {
            tally.add("PSP", "key repeated");
            return if known.errs_for_ever { server_error() } else { known.outcome() };
        }
        let rates = self.policy.rates.clone();
        if rng.chance(rates.server_error) {
            tally.add("PSP", "server error, nothing done");
            return server_error();
        }
        if rng.chance(rates.fail) {
            tally.add("PSP", "proven failure");
            return Outcome::Failed { fault: fault("refused before anything was done") };
        }
        let is_for_ever = rng.chance(rates.for_ever);
        let waits = is_for_ever || rng.chance(rates.pending);
        let is_silent = self.policy.recourse == Recourse::Repeat;
        if is_silent && rng.chance(rates.decline) {
            tally.add("PSP", "refused at once");
            return Outcome::Declined { psp_refund: None, fault: fault("refused") };
        }
        let state = match () {
            () if rng.chance(rates.action) => State::Action,
            () if waits || is_silent => State::Pending,
            () if rng.chance(rates.decline) => State::Declined,
            () => State::Paid,
        };
        tally.add("PSP", state_word(state));
        let errs_for_ever = state != State::Declined && rng.chance(rates.error_for_ever);
        let at = self.book(call, (state, at_ms), errs_for_ever);
        if self.policy.notices_wander && !is_silent {
            self.notice(rng, tally, (at, at_ms));
        }
        match self.executions[at].state {
            State::Pending | State::Action if is_for_ever => self.executions[at].is_for_ever = true,
            State::Pending | State::Action => {
                let to = if rng.chance(700) { State::Paid } else { State::Declined };
                let cancel = self.policy.rates.cancel;
                let to = if cancel > 0 && rng.chance(cancel) { State::Voided } else { to };
                self.executions[at].is_failure = cancel > 0 && rng.chance(300);
                let days = if !self.is_calm && rng.chance(30) { 10 * DAY } else { 2 * 60 * SECOND };
                let decided_at = at_ms + rng.between(1, days);
                let wavers = self.policy.rates.wavers;
                if wavers > 0 && rng.chance(wavers) {
                    let other = if state == State::Action { State::Pending } else { State::Action };
                    self.at(rng.between(at_ms, decided_at), Event::Decides(at, other));
                }
                self.at(decided_at, Event::Decides(at, to));
            }
            State::Paid if rng.chance(rates.bounce) => {
                let bounced_at = at_ms + rng.between(2 * HOUR, 5 * DAY);
                self.at(bounced_at, Event::Bounces(at));
            }
            State::Paid | State::Declined | State::Voided | State::Bounced => {}
        }
        let execution = &self.executions[at];
        if execution.errs_for_ever { server_error() } else { execution.outcome() }
    }

    fn honoured(&self, key: &str, at_ms: i64) -> Option<&Execution> {
        let first = *self.by_key.get(key)?.first()?;
        let first = &self.executions[first];
        (at_ms - first.at_ms < self.policy.key_life_ms).then_some(first)
    }

    /// Writes a refund into the PSP's books, and what that breaks.
    fn book(&mut self, call: &Call, (state, at_ms): (State, i64), errs_for_ever: bool) -> usize {
        let Instruction { refund, amount, .. } = call.instruction;
        let mut execution = Execution {
            refund,
            amount: amount.units(),
            state,
            is_for_ever: false,
            number: self.executions.len(),
            at_ms,
            errs_for_ever,
            declined_at_once: state == State::Declined,
            is_turned: false,
            is_external: false,
            is_failure: false,
            asked_as: refund.refund,
        };
        let counted = self.counted.entry(refund.payment).or_insert(0);
        let ours = self.counted_ours.entry(refund.payment).or_insert(0);
        let captured = self.captured.get(&refund.payment).copied().unwrap_or(0);
        if execution.counts() && *ours + execution.amount > captured {
            self.violations.push(format!(
                "I1 at the PSP: {refund:?} would bring refunds to {} of {captured} captured",
                *ours + execution.amount
            ));
        }
        if execution.counts() && self.policy.has_guard && *counted + execution.amount > captured {
            // What was given back by hand left too little for ours.
            execution.state = State::Declined;
            execution.declined_at_once = true;
            // Errors for ever are about what was done.
            execution.errs_for_ever = false;
        }
        if execution.counts() {
            *counted += execution.amount;
            *ours += execution.amount;
        }
        let others = self.by_refund.entry(refund).or_default();
        let earlier = others.iter().filter(|at| self.executions[**at].counts()).count();
        if execution.counts() && earlier > 0 {
            self.violations.push(format!("I7: {refund:?} is made a second time at the PSP"));
        }
        let at = self.executions.len();
        others.push(at);
        self.by_key.entry(call.key.clone()).or_default().push(at);
        self.executions.push(execution);
        at
    }

    fn look_up(&self, rng: &mut Rng, tally: &mut Tally, (call, at_ms): (&Call, i64)) -> Outcome {
        if rng.chance(self.policy.rates.deaf_look_up) {
            tally.add("PSP", "look-up without an answer");
            return server_error();
        }
        let forgets = self.policy.rates.forgets;
        if forgets > 0 && call.instruction.psp_refund.is_some() && rng.chance(forgets) {
            tally.add("PSP", "look-up did not see what it had shown");
            return Outcome::Absent;
        }
        let named = call.instruction.psp_refund.as_deref().and_then(|name| self.named(name));
        let keyed = self.by_key.get(&call.key).into_iter().flatten().copied();
        let known: Vec<usize> = named.map_or_else(|| keyed.collect(), |at| vec![at]);
        let mut shown = known.iter().map(|at| &self.executions[*at]).filter(|execution| {
            let is_no = execution.declined_at_once && execution.state == State::Declined;
            let is_hidden = is_no && !self.policy.shows_declines;
            !is_hidden && at_ms - execution.at_ms >= self.policy.look_up_lag_ms
        });
        let found = shown.next();
        tally
            .add("PSP", if found.is_some() { "look-up found it" } else { "look-up found nothing" });
        found.map_or(Outcome::Absent, Execution::outcome)
    }

    /// What waits for the customer is cancelled. A refusal is looked up at once, as the connector does.
    fn cancel(&mut self, rng: &mut Rng, tally: &mut Tally, (call, at_ms): (&Call, i64)) -> Outcome {
        let named = call.instruction.psp_refund.as_deref().and_then(|name| self.named(name));
        match named.filter(|at| self.executions[*at].state == State::Action) {
            Some(at) => {
                tally.add("PSP", "cancelled when it was asked to");
                self.decide(at, State::Voided);
                self.notice(rng, tally, (at, at_ms));
                self.executions[at].outcome()
            }
            None => {
                tally.add("PSP", "refused to cancel");
                self.look_up(rng, tally, (call, at_ms))
            }
        }
    }

    /// Faults stop: from here on every call is answered at once and truthfully.
    pub fn calm(&mut self) {
        self.is_calm = true;
        self.policy.rates = Rates { notice: self.policy.rates.notice, ..Rates::default() };
    }

    /// What an answer to a repeat proves: that the PSP has it, or nothing.
    fn as_proof(&self, call: &Call, outcome: Outcome) -> Outcome {
        let is_repeat = call.instruction.kind == CallKind::LookUp;
        match outcome {
            Outcome::Declined { fault, .. } | Outcome::NotSent { fault, .. }
                if is_repeat && self.policy.recourse == Recourse::Repeat =>
            {
                Outcome::Unknown { fault }
            }
            outcome => outcome,
        }
    }
}

/// Where nothing can be asked and nothing is sent again: what that says.
fn unrepeated(instruction: &Instruction) -> Option<Outcome> {
    if instruction.psp_refund.is_some() {
        return Some(Outcome::Pending { psp_refund: None });
    }
    let is_known = (0..REPEAT_MS).contains(&instruction.age_ms);
    (!is_known).then(|| Outcome::Unknown { fault: fault("the key may be forgotten") })
}

fn news(call: &Call, outcome: Outcome, at_ms: i64) -> News {
    let Instruction { refund, attempt, kind, .. } = call.instruction;
    News { refund, attempt, outcome, at_ms, kind, seat: call.seat }
}

fn server_error() -> Outcome {
    Outcome::Unknown { fault: fault("server error") }
}

fn fault(text: &str) -> Fault {
    Fault { code: String::from("simulated"), text: text.to_owned() }
}

fn state_word(state: State) -> &'static str {
    match state {
        State::Pending => "pending",
        State::Action => "requires action",
        State::Paid => "paid",
        State::Declined => "declined",
        State::Voided => "cancelled",
        State::Bounced => "bounced",
    }
}
