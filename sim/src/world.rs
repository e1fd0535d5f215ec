//! One run: shops, the engine's lane, a store that fails, a process that dies, a PSP with books of
//! its own, and a clock that goes as fast as it likes. One thread, one seed, one story.
//!
//! The lane and everything below it is the product's own code. What the product's threads do
//! (queue, sweep, dispatch, recovery) is done here by hand, one thing after the other, so that a
//! seed always tells the same story.
//!
//! Start at [`World::run`]; a step of the story is [`World::step`].

use std::collections::{BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};

use requite_core::refund::Status;
use requite_core::schedule;
use requite_core::settle::{Finding, Outcome};
use requite_engine::command::{Command, RefundRef, RefundRequest};
use requite_engine::lane::{BATCH_MAX, Lane};
use requite_engine::psp::{CallKind, Instruction};
use requite_engine::store::Store;

use crate::bug::Bug;
use crate::client::Clients;
use crate::desk::{SharedInbox, Ticket, Tickets, answer};
use crate::disk::{Disk, Fate, Faulty, SharedTap, Transacted, tap};
use crate::judge::{self, Acked, Shown};
use crate::model::{Model, Of};
use crate::post::Post;
use crate::psp::{News, Psp, Told};
use crate::rng::Rng;
use crate::tally::{Tally, Trace, Voice};
use crate::weather::{self, Climate, Weather};

mod outside;
pub(crate) use outside::sums_agree;

const HOUR: i64 = 3_600_000;
/// Crashes within crashes.
const NESTED_MAX: u32 = 5;
/// Simulated time at the start: 2024-09-15.
const START_MS: i64 = 1_726_400_000_000;
/// Distance between sweeps, as the engine's.
const SWEEP_EVERY_MS: i64 = 250;
/// Wake-ups of one sweep, as the engine's.
const SWEEP_MAX: u32 = 512;
/// Steps of a run; a run that needs more is stuck.
const STEPS_MAX: u64 = 200_000;

/// What to simulate.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub seed: u64,
    pub bug: Option<Bug>,
    /// `None`: the seed's own.
    pub climate: Option<Climate>,
    pub voice: Voice,
}

impl Plan {
    /// A seed in its own climate, and nothing planted.
    pub fn of(seed: u64) -> Plan {
        Plan { seed, bug: None, climate: None, voice: Voice::Kept }
    }
}

/// What came of it.
pub struct Story {
    pub seed: u64,
    pub refunds: u64,
    pub tally: Tally,
    pub trace: Trace,
    pub violation: Option<String>,
}

pub struct World {
    /// The true time, which PSPs and the network have.
    pub(crate) now_ms: i64,
    /// What our own clock shows beyond that.
    pub(crate) skew_ms: i64,
    pub(crate) rng: Rng,
    pub(crate) weather: Weather,
    pub(crate) bug: Option<Bug>,
    pub(crate) model: Model,
    pub(crate) psp: Psp,
    pub(crate) tally: Tally,
    pub(crate) trace: Trace,
    pub(crate) tickets: Tickets,
    pub(crate) inbox: SharedInbox,
    pub(crate) acked: Acked,
    /// What faces would show, and what they showed as of an event.
    pub(crate) shown: Shown,
    /// The store once more, for the sweep and for checks: it only reads.
    pub(crate) side: Disk,
    /// `None` only while the process is down.
    lane: Option<Lane<Faulty>>,
    tap: SharedTap,
    clients: Clients,
    /// Commands of clients that wait for the lane.
    queue: VecDeque<(Command, Option<u64>)>,
    /// Outcomes and wake-ups that wait for the lane.
    news: VecDeque<Command>,
    /// News that the lane keeps because the store failed.
    backlog: Vec<Command>,
    /// What PSPs told unasked.
    pub(crate) post: Post,
    /// When the PSP's list was read.
    listed_ms: i64,
    /// Payments of which a notice was taken for another refund's.
    pub(crate) mixed: BTreeSet<Of>,
    /// Refunds that ended without money, as a lying PSP remembers them.
    over: Vec<RefundRef>,
    /// Wake-ups that come a step late.
    late: Vec<Command>,
    swept_at_ms: i64,
    numbers: u64,
    steps: u64,
    /// Client requests yet to come.
    wishes: u64,
    is_calm: bool,
    /// Restarts within restarts.
    nested: u32,
    /// Where a process that is dead after a step died.
    moment: &'static str,
}

type Checked<T = ()> = Result<T, String>;

impl World {
    /// Tells the whole story of a seed.
    pub fn run(plan: Plan) -> Story {
        let mut world = World::new(plan);
        let told = world.tell();
        Story {
            seed: plan.seed,
            refunds: world.model.refunds.len() as u64,
            tally: world.tally,
            trace: world.trace,
            violation: told.err(),
        }
    }

    fn new(plan: Plan) -> World {
        let Plan { seed, bug, climate, voice } = plan;
        let mut rng = Rng::new(seed);
        let mut weather = Weather::draw(&mut rng);
        let mut policy = weather::policy(&mut rng, bug);
        // A planted bug has the climate that lets it show.
        let own = bug.map_or_else(|| Climate::of(seed), Bug::climate);
        let climate = climate.unwrap_or(own);
        weather.shape(climate, &mut policy);
        let clients = Clients::new(&mut rng, weather.habits.clone());
        // The real store for one run of twenty-five; a planted bug may need the one in memory.
        let is_file = rng.chance(40) && bug.is_none();
        let disk =
            if is_file { Disk::file(clients.reasons()) } else { Disk::memory(clients.reasons()) };
        let mut model = Model::default();
        model.reasons.extend(clients.reasons());
        let mut trace = Trace::new(voice);
        let (kind, store) = (climate.name(), disk.word());
        trace.say(|| format!("seed {seed}, {kind}, store {store}: {weather:?} {policy:?}"));
        let mut tally = Tally::default();
        tally.add("climate", kind);
        tally.add("store", disk.word());
        let tap = SharedTap::default();
        let side = disk.second();
        let store = Faulty::new(disk, SharedTap::clone(&tap), bug);
        World {
            now_ms: START_MS,
            skew_ms: 0,
            wishes: rng.pick(&[60, 300, 1_000, 3_000]),
            rng,
            weather,
            bug,
            model,
            psp: Psp::new(policy),
            tally,
            trace,
            tickets: Tickets::new(),
            inbox: SharedInbox::default(),
            acked: Acked::default(),
            shown: Shown::new(side.reads()),
            side,
            lane: Some(new_lane(store)),
            tap,
            clients,
            queue: VecDeque::new(),
            news: VecDeque::new(),
            backlog: Vec::new(),
            late: Vec::new(),
            post: Post::default(),
            listed_ms: START_MS,
            mixed: BTreeSet::new(),
            over: Vec::new(),
            swept_at_ms: START_MS,
            numbers: 0,
            steps: 0,
            is_calm: false,
            nested: 0,
            moment: "",
        }
    }

    /// First everything may fail; then the faults stop and all must come right.
    fn tell(&mut self) -> Checked {
        while self.wishes > 0 {
            let waited_ms = self.weather.wait(&mut self.rng);
            self.now_ms += waited_ms;
            self.step()?;
        }
        self.settle_down()?;
        self.check_books(true)?;
        self.check_store()
    }

    fn settle_down(&mut self) -> Checked {
        self.trace.say(|| String::from("faults stop"));
        self.is_calm = true;
        self.weather.calm();
        if self.skew_ms != 0 {
            self.set_clock(0);
        }
        self.psp.calm();
        let last_decision = self.psp.last_at().unwrap_or(self.now_ms);
        let limit = last_decision.max(self.now_ms) + judge::SETTLED_WITHIN_MS;
        self.step()?;
        while let Some(next_ms) = self.next_happening() {
            self.now_ms = self.now_ms.max(next_ms);
            if self.now_ms > limit {
                let open = judge::unsettled(&self.model, &self.psp);
                if open.is_empty() && self.tickets.is_empty() && self.list_due_ms().is_none() {
                    // Only messages are left that say what cannot be, until they are put aside.
                    break;
                }
                return Err(format!("R3: not settled in time: {:?}", open));
            }
            self.step()?;
        }
        match self.tickets.iter().next() {
            None => Ok(()),
            Some((number, ticket)) => Err(format!("nobody ever answered {number}: {ticket:?}")),
        }
    }

    /// When there is something to do again. `None`: all is quiet.
    fn next_happening(&mut self) -> Option<i64> {
        let waits = !self.queue.is_empty() || !self.news.is_empty() || !self.backlog.is_empty();
        if waits || !self.late.is_empty() {
            return Some(self.now_ms);
        }
        let listed = self.list_due_ms();
        let posted = self.post.next_ms(self.wall_ms()).map(|at_ms| at_ms - self.skew_ms);
        let expiring = self.tickets.values().filter_map(|ticket| ticket.expires_at_ms).min();
        let due = judge::unsettled(&self.model, &self.psp);
        let due = due.iter().filter_map(|refund| self.model.refunds[refund].due_ms);
        let wall_ms = self.wall_ms();
        let is_far = |at_ms: &i64| *at_ms > wall_ms.saturating_add(schedule::FARTHEST);
        // What lies beyond every schedule is due now: the clock was set back.
        let due = due.map(|at_ms| if is_far(&at_ms) { wall_ms } else { at_ms }).min();
        let due = due.map(|at_ms| at_ms - self.skew_ms);
        let happening = self.psp.next_at();
        // The sweep looks every quarter of a second; what is due before is found then.
        let due = due.map(|at_ms| at_ms.max(self.swept_at_ms + SWEEP_EVERY_MS));
        [expiring, due, happening, listed, posted].into_iter().flatten().min()
    }

    /// The world goes on by one batch.
    fn step(&mut self) -> Checked {
        self.steps += 1;
        if self.steps > STEPS_MAX {
            return Err(String::from("the run does not come to an end"));
        }
        self.maybe_set_clock();
        self.maybe_turn();
        self.maybe_refund_by_hand();
        self.hear_from_psp();
        self.read_list();
        self.work_on_post();
        self.people_rule();
        self.sweep();
        self.clients_come();
        self.patience_ends();
        let batch = self.next_batch();
        if batch.is_empty() && self.backlog.is_empty() {
            return self.maybe_die_idle();
        }
        let calls = self.step_lane(batch)?;
        if self.is_dead() {
            let moment = self.moment;
            return self.restart(moment);
        }
        self.dispatch(calls)?;
        self.check_psp()?;
        if self.rng.chance(self.weather.audits) {
            self.check_books(false)?;
            self.audit()?;
        }
        self.maybe_die_idle()
    }

    // --- Time ---

    /// What our own clock shows.
    fn wall_ms(&self) -> i64 {
        self.now_ms + self.skew_ms
    }

    fn maybe_set_clock(&mut self) {
        let jumps = self.weather.clock_jumps;
        if jumps > 0 && self.rng.chance(jumps) {
            // Less than a key's life: with more, old and new keys would mix within one batch, and the
            // model would have to know in which order.
            let skew_ms = self.rng.pick(&[0, 2_000, -2_000, HOUR, -2 * HOUR, 20 * 24 * HOUR]);
            self.set_clock(skew_ms);
        }
    }

    fn set_clock(&mut self, skew_ms: i64) {
        let word = if skew_ms < self.skew_ms { "set back" } else { "set forward" };
        self.tally.add("clock", word);
        self.trace.say(|| format!("  clock {word}: {} -> {skew_ms} ms off", self.skew_ms));
        self.skew_ms = skew_ms;
    }

    // --- What comes in ---

    /// A lying PSP pays something that it had said was over.
    fn maybe_turn(&mut self) {
        let rate = self.psp.policy.rates.turn_about;
        if rate == 0 || self.over.is_empty() || !self.rng.chance(rate) {
            return;
        }
        let refund = self.over.swap_remove(self.rng.index(self.over.len()));
        if self.model.may_turn(refund) {
            let amount = self.model.refunds[&refund].amount;
            let World { psp, rng, tally, .. } = self;
            psp.turn(rng, tally, (refund, amount, self.now_ms));
        }
    }

    fn hear_from_psp(&mut self) {
        let World { psp, rng, tally, .. } = self;
        for told in psp.advance(rng, tally, self.now_ms) {
            match told {
                Told::Answer(news) => {
                    let command = self.as_command(news);
                    self.news.push_back(command);
                }
                Told::Notice(tale) => self.take_in(&tale),
            }
        }
    }

    /// What a connector makes of an answer.
    fn as_command(&mut self, news: News) -> Command {
        let News { refund, attempt, outcome, at_ms, kind } = news;
        let outcome = match (self.bug, outcome) {
            (Some(Bug::UnknownIsFailed), Outcome::Unknown { fault }) if kind == CallKind::Send => {
                Outcome::Failed { fault }
            }
            (Some(Bug::DeclineIsSuccess), Outcome::Declined { psp_refund, .. }) => {
                Outcome::Succeeded { psp_refund }
            }
            (_, outcome) => outcome,
        };
        self.tally.add("outcome", outcome.word());
        let finding = Finding { attempt, outcome, at_ms: at_ms + self.skew_ms };
        Command::Settle { refund, finding }
    }

    fn sweep(&mut self) {
        self.news.extend(self.late.drain(..));
        if self.now_ms < self.swept_at_ms + SWEEP_EVERY_MS {
            return;
        }
        self.swept_at_ms = self.now_ms;
        if self.rng.chance(self.weather.store_fails) {
            return self.tally.add("sweep", "could not read");
        }
        let at_ms = self.wall_ms();
        let wake = |refund| Command::Wake { refund, at_ms, is_restart: false };
        if self.bug == Some(Bug::DeafSweep) {
            return;
        }
        let due = self.side.due(at_ms, SWEEP_MAX).expect("the store can be read");
        let woken: Vec<Command> = due.into_iter().map(wake).collect();
        if self.rng.chance(self.weather.late_sweeps) {
            self.late = woken;
        } else {
            self.news.extend(woken);
        }
    }

    fn clients_come(&mut self) {
        if self.is_calm {
            return;
        }
        let coming = self.rng.below(self.weather.burst + 1);
        let wall_ms = self.wall_ms();
        for _ in 0..coming {
            self.wishes = self.wishes.saturating_sub(1);
            let World { clients, rng, model, .. } = self;
            let command = clients.next(rng, model, wall_ms);
            self.numbers += 1;
            let request = match &command {
                Command::Refund(request) => Some(request.clone()),
                _ => None,
            };
            let expires = request.as_ref().map(|_| self.now_ms + self.weather.patience_ms);
            let ticket = Ticket { request, expires_at_ms: expires, ..Ticket::default() };
            self.tickets.insert(self.numbers, ticket);
            self.queue.push_back((command, Some(self.numbers)));
        }
    }

    /// Whoever has waited long enough is told what is known.
    fn patience_ends(&mut self) {
        for ticket in self.tickets.values_mut() {
            let is_over = ticket.expires_at_ms.is_some_and(|at_ms| at_ms <= self.now_ms);
            let Some(request) = ticket.request.as_ref().filter(|_| is_over) else {
                continue;
            };
            ticket.expires_at_ms = None;
            let refund = RefundRef {
                merchant: request.merchant,
                payment: request.payment,
                refund: request.ask.refund,
            };
            self.queue.push_back((Command::Expire { refund }, None));
        }
    }

    fn next_batch(&mut self) -> Vec<(Command, Option<u64>)> {
        let room = self.weather.batch.min(BATCH_MAX);
        let news = self.news.len().min(room);
        let mut batch: Vec<_> = self.news.drain(..news).map(|command| (command, None)).collect();
        let clients = self.queue.len().min(room - news);
        batch.extend(self.queue.drain(..clients));
        if !self.weather.is_orderly {
            self.rng.shuffle(&mut batch);
        }
        batch
    }

    // --- The lane ---

    /// One step of the product, under the fate that is drawn for it; what it did is held against
    /// the model.
    fn step_lane(&mut self, batch: Vec<(Command, Option<u64>)>) -> Checked<Vec<Instruction>> {
        let mut commands: Vec<(Command, Option<u64>)> =
            std::mem::take(&mut self.backlog).into_iter().map(|news| (news, None)).collect();
        commands.extend(batch.iter().cloned());
        for (command, number) in &commands {
            self.trace.say(|| judge::line(self.now_ms, command, *number));
        }
        self.draw_fates(commands.len());
        self.moment = "among answers";
        let given = batch.into_iter().map(|(command, number)| {
            let number = number.unwrap_or(0);
            (command, answer(number, &self.inbox, &self.tap))
        });
        let given = given.collect();
        let lane = self.lane.as_mut().expect("the process is up");
        let stepped = catch_unwind(AssertUnwindSafe(|| lane.step(given)));
        let calls =
            stepped.map_err(|panic| format!("the lane panicked: {}", judge::text(&panic)))?;
        let log = std::mem::take(&mut tap(&self.tap).log);
        self.learn(&commands, log)?;
        self.hear_answers(&commands)?;
        self.model.heard();
        let lane = self.lane.as_ref().expect("the process is up");
        if !self.is_dead() && lane.has_backlog() == self.backlog.is_empty() {
            return Err(String::from("news was lost when the store failed"));
        }
        Ok(calls)
    }

    fn draw_fates(&mut self, commands: usize) {
        let fates = self.weather.fates(&mut self.rng, commands);
        tap(&self.tap).fates = fates;
        let dies = self.rng.chance(self.weather.dies_answering);
        let after = self.rng.index(4);
        let mut inbox = self.inbox.lock().expect("one thread runs a simulation");
        inbox.dies_after = dies.then_some(after);
    }

    /// What was committed, and what therefore must be true.
    fn learn(&mut self, commands: &[(Command, Option<u64>)], log: Vec<Transacted>) -> Checked {
        // What the lane keeps from before may make more of it than one transaction takes.
        let mut log = log.into_iter();
        for commands in commands.chunks(BATCH_MAX) {
            commands.iter().for_each(|(command, _)| self.model.received(command));
            let first = log.next();
            let is_constraint = first.as_ref().is_some_and(|first| first.is_constraint);
            if commands.len() == 1 || !is_constraint {
                self.learn_one(commands, first)?;
                continue;
            }
            if let Some(first) = &first {
                self.note_fate(first)?;
            }
            for command in commands {
                self.learn_one(std::slice::from_ref(command), log.next())?;
            }
        }
        Ok(())
    }

    fn learn_one(
        &mut self,
        commands: &[(Command, Option<u64>)],
        transacted: Option<Transacted>,
    ) -> Checked {
        let Some(transacted) = transacted else {
            return Ok(());
        };
        self.note_fate(&transacted)?;
        let is_committed = transacted.is_committed;
        let is_told = is_committed && transacted.fate != Fate::LoseAnswer;
        let changes = transacted.changes.unwrap_or_default();
        self.model.look_at(&changes, is_told || !is_committed);
        for (command, number) in commands {
            let expected = is_committed.then(|| self.model.apply(command));
            if let Some(expected) = &expected {
                self.tally.add("command", judge::word(expected));
            }
            let ticket = number.and_then(|number| self.tickets.get(&number));
            let at_psp = ticket.and_then(|ticket| ticket.at_psp);
            if let Some((at, expected)) = at_psp.zip(expected.as_ref()) {
                self.note_match(at, expected);
            }
            let ticket = number.and_then(|number| self.tickets.get_mut(&number));
            if let Some(ticket) = ticket {
                ticket.is_taken = true;
                ticket.has_failed = !is_told;
                ticket.expected = expected;
            }
            if let (Command::Expire { refund }, false) = (command, is_told) {
                // Whoever waited for it is sent away: nothing of it could be written down.
                for ticket in self.tickets.values_mut() {
                    ticket.may_be_sent_away |= ticket.awaits() == Some(*refund);
                }
            }
            let is_news = matches!(command, Command::Settle { .. });
            if is_news && !is_told && !transacted.is_constraint {
                self.backlog.push(command.clone());
            }
        }
        if is_told {
            let calls = changes.attempts.iter();
            calls.for_each(|call| self.model.called(call.key, call.attempt));
        }
        if is_committed {
            self.model.check_commit(&changes)?;
            let ended = changes.refunds.iter().filter(|change| {
                let status = change.record.refund.status;
                !status.is_open() && status != Status::Succeeded
            });
            self.over.extend(ended.map(|change| change.key));
            for (from, to) in self.model.moves(&changes) {
                self.tally.add("status", to.word());
                let from = from.map_or("(new)", Status::word);
                self.tally.add("move", &format!("{from} -> {}", to.word()));
            }
            for book in &changes.books {
                let payment = book.book.payment.id();
                let captured = self.model.payments[&(book.merchant, payment)].captured();
                self.psp.capture(payment, captured);
            }
        } else if self.bug == Some(Bug::CallBeforeCommit) {
            for call in judge::calls_of(&changes) {
                self.check_attempt(&call)?;
                self.call(call);
            }
        }
        Ok(())
    }

    fn note_fate(&mut self, transacted: &Transacted) -> Checked {
        let Transacted { fate, refused, .. } = transacted;
        self.tally.add("transaction", fate.word());
        if fate.is_death() {
            self.moment = "around a commit";
        }
        if *fate != Fate::Commit {
            self.trace.say(|| format!("  store: {}", fate.word()));
        }
        match refused {
            Some(why) => Err(format!("the store refused a batch: {why}")),
            None => Ok(()),
        }
    }

    /// Whoever hears that the store failed asks again.
    pub(crate) fn keep_for_repeat(&mut self, request: &RefundRequest) {
        self.clients.keep(request);
    }

    // --- Calls to the PSP ---

    fn dispatch(&mut self, calls: Vec<Instruction>) -> Checked {
        let dies_at = if calls.is_empty() || !self.rng.chance(self.weather.dies_calling) {
            None
        } else {
            Some(self.rng.index(calls.len() + 1))
        };
        for (at, call) in calls.into_iter().enumerate() {
            if dies_at == Some(at) {
                return self.restart("before a call leaves");
            }
            self.check_attempt(&call)?;
            self.call(call);
        }
        if dies_at.is_some() {
            return self.restart("after the calls left");
        }
        Ok(())
    }

    /// I5: what is called is on disk. A planted bug is left to be found by what it does.
    fn check_attempt(&self, call: &Instruction) -> Checked {
        let is_kept = self.model.attempts.contains(&(call.refund, call.attempt));
        if is_kept || self.bug.is_some() {
            return Ok(());
        }
        Err(format!("I5: {:?} is called before its attempt is kept", call.refund))
    }

    fn call(&mut self, call: Instruction) {
        let word = match call.kind {
            CallKind::Send => "send",
            CallKind::LookUp => "look up",
        };
        self.tally.add("call", word);
        self.trace.say(|| format!("  {word} {} #{}", judge::short(call.refund), call.attempt));
        let mut key = call.psp_key();
        if self.bug == Some(Bug::FreshKeyPerAttempt) {
            key = format!("{key}-{}", call.attempt);
        }
        if self.bug == Some(Bug::AbsentWithoutAsking) && call.kind == CallKind::LookUp {
            let Instruction { refund, attempt, .. } = call;
            let finding = Finding { attempt, outcome: Outcome::Absent, at_ms: self.wall_ms() };
            return self.news.push_back(Command::Settle { refund, finding });
        }
        let World { psp, rng, .. } = self;
        psp.call(rng, (call, key), self.now_ms);
    }

    // --- Crashes ---

    pub(crate) fn is_dead(&self) -> bool {
        let tap = tap(&self.tap);
        tap.is_dead || tap.dies_after_step
    }

    fn maybe_die_idle(&mut self) -> Checked {
        if self.rng.chance(self.weather.dies_idle) {
            return self.restart("between steps");
        }
        Ok(())
    }

    /// The process dies: its memory is gone, its clients hear nothing. The next one opens the same
    /// file and recovers.
    fn restart(&mut self, moment: &'static str) -> Checked {
        self.tally.add("crash", moment);
        self.trace.say(|| format!("  CRASH {moment}"));
        let lane = self.lane.take().expect("the process was up");
        let disk = lane.into_store().into_disk();
        self.psp.crash(&mut self.rng, &mut self.tally, self.now_ms);
        for (_, ticket) in std::mem::take(&mut self.tickets) {
            if let Some(request) = ticket.request {
                self.tally.add("answer", "lost in a crash");
                self.clients.keep(&request);
            }
        }
        self.model.crashed(0..usize::MAX);
        if self.bug == Some(Bug::ForgetPost) {
            self.post.forget();
        }
        self.queue.clear();
        self.news.clear();
        self.backlog.clear();
        self.late.clear();
        *self.inbox.lock().expect("one thread runs a simulation") = Default::default();
        *tap(&self.tap) = Default::default();

        let down_ms = self.rng.pick(self.weather.down_ms);
        self.now_ms += down_ms;
        let World { psp, rng, tally, .. } = self;
        for told in psp.advance(rng, tally, self.now_ms) {
            // A PSP says it again until somebody takes it in.
            if let Told::Notice(tale) = told {
                self.take_in(&tale);
            }
        }
        self.trace.say(|| format!("  down for {down_ms} ms"));
        let disk = disk.reopened(self.bug);
        judge::acked_are_there(&mut self.acked, &mut self.side)?;
        let mut lane = new_lane(Faulty::new(disk, SharedTap::clone(&self.tap), self.bug));
        if self.rng.chance(self.weather.store_fails) {
            tap(&self.tap).fails_recovery = true;
        }
        // A recovery that cannot read leaves its work to the sweep.
        self.news.extend(lane.recover(self.now_ms + self.skew_ms).unwrap_or_default());
        self.lane = Some(lane);
        self.recover_or_die()
    }

    /// The first step of a process that was just started; it may die in that as well, again and
    /// again.
    fn recover_or_die(&mut self) -> Checked {
        let rate = self.weather.dies_recovering;
        if rate == 0 || self.nested == NESTED_MAX || !self.rng.chance(rate) {
            return Ok(());
        }
        self.nested += 1;
        let room = self.news.len().min(BATCH_MAX);
        let woken: Vec<_> = self.news.drain(..room).map(|command| (command, None)).collect();
        let done = if woken.is_empty() || self.rng.chance(300) {
            self.restart("before its recovery")
        } else {
            self.step_lane(woken).and_then(|calls| {
                // Half of the recovery's calls leave before it dies.
                let leaving = calls.len() / 2;
                for call in calls.into_iter().take(if self.is_dead() { 0 } else { leaving }) {
                    self.check_attempt(&call)?;
                    self.call(call);
                }
                self.restart("while it recovers")
            })
        };
        self.nested -= 1;
        done
    }
}

fn new_lane(store: Faulty) -> Lane<Faulty> {
    Lane::new(store, ["manual"])
}
