//! One run: shops, the engine's lane, a store that fails, a process that dies, a PSP with books of
//! its own, and a clock that goes as fast as it likes. One thread, one seed, one story.
//!
//! The lane and everything below it is the product's own code. What the product's threads do
//! (queue, sweep, dispatch, recovery) is done here by hand, one thing after the other, so that a
//! seed always tells the same story. Several processes with several lanes over one store are in [`node`];
//! PSPs' notices, their lists and people in [`outside`].
//!
//! Start at [`World::run`]; a step of the story is [`World::step`].

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use requite_core::refund::Status;
use requite_core::schedule;
use requite_core::settle::{Finding, Outcome};
use requite_engine::command::{Answer, Command, Noticed, Obstacle, RefundRef, RefundRequest};
use requite_engine::engine::too_late;
use requite_engine::lane::BATCH_MAX;
use requite_engine::psp::{CallKind, Instruction};

use crate::bug::Bug;
use crate::client::Clients;
use crate::desk::{Ticket, answer};
use crate::disk::{Disk, Fate, Transacted, tap};
use crate::judge::{self, Acked, Shown};
use crate::model::{Expected, Model, Of};
use crate::post::Post;
use crate::psp::{News, Psp, Told};
use crate::rng::Rng;
use crate::tally::{Tally, Trace, Voice};
use crate::weather::{self, Climate, Weather};

mod doubt;
mod node;
mod outside;
use node::Node;
pub(crate) use node::Seat;
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
    pub(crate) acked: Acked,
    /// What faces would show, and what they showed as of an event.
    pub(crate) shown: Shown,
    /// The store once more, for the sweep and for checks: it only reads.
    pub(crate) side: Disk,
    /// The lane at hand.
    pub(crate) seat: Seat,
    /// Which one it is. Lanes of one process are neighbours.
    here: usize,
    /// The other lanes, and an empty place for the one at hand.
    seats: Vec<Seat>,
    /// Lanes of each process.
    lanes: usize,
    nodes: Vec<Node>,
    clients: Clients,
    /// What PSPs told unasked.
    pub(crate) post: Post,
    /// When the PSP's list was read.
    listed_ms: i64,
    /// Payments of which a notice was taken for another refund's.
    pub(crate) mixed: BTreeSet<Of>,
    /// Refunds that ended without money, as a lying PSP remembers them.
    over: Vec<RefundRef>,
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
/// Commands with the numbers of who waits for them.
type Batch = Vec<(Command, Option<u64>)>;

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
        let [nodes, lanes] = weather.nodes;
        model.is_shared = nodes > 1;
        World {
            now_ms: START_MS,
            skew_ms: 0,
            wishes: rng.pick(&[60, 300, 1_000, 3_000]),
            rng,
            weather,
            bug,
            model,
            psp: Psp::new(policy, nodes * lanes),
            tally,
            trace,
            acked: Acked::default(),
            shown: Shown::new(disk.reads()),
            side: disk,
            seat: Seat::default(),
            here: 0,
            seats: (0..nodes * lanes).map(|_| Seat::default()).collect(),
            lanes,
            nodes: (0..nodes).map(|_| Node::default()).collect(),
            clients,
            post: Post::default(),
            listed_ms: START_MS,
            mixed: BTreeSet::new(),
            over: Vec::new(),
            numbers: 0,
            steps: 0,
            is_calm: false,
            nested: 0,
            moment: "",
        }
    }

    /// First everything may fail; then the faults stop and all must come right.
    fn tell(&mut self) -> Checked {
        (0..self.nodes.len()).try_for_each(|node| self.start(node))?;
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
                let is_rest = open.is_empty() && self.waits_somewhere().is_none();
                if is_rest && self.list_due_ms().is_none() {
                    // Only messages are left that say what cannot be, until they are put aside.
                    break;
                }
                return Err(format!("R3: not settled in time: {:?}", open));
            }
            self.step()?;
        }
        match self.waits_somewhere() {
            None => Ok(()),
            Some(waiting) => Err(format!("nobody ever answered {waiting}")),
        }
    }

    /// When there is something to do again. `None`: all is quiet.
    fn next_happening(&mut self) -> Option<i64> {
        let waits = self.awake().any(|(_, seat)| seat.has_work());
        if waits || self.nodes.iter().any(|node| node.is_awake() && !node.late.is_empty()) {
            return Some(self.now_ms);
        }
        let listed = self.list_due_ms();
        let posted = self.post.next_ms(self.wall_ms()).map(|at_ms| at_ms - self.skew_ms);
        let tickets = self.awake().flat_map(|(_, seat)| seat.tickets.values());
        let expiring = tickets.filter_map(Ticket::ends_at_ms).min();
        let asleep = self.nodes.iter().flat_map(|node| [node.down_until_ms, node.paused_until_ms]);
        let asleep = asleep.flatten().min();
        let asked = self.question_ms();
        let ruled = self.people_ms();
        let swept = self.nodes.iter().filter(|node| node.is_awake()).map(|node| node.swept_at_ms);
        let swept_ms = swept.min().unwrap_or(self.now_ms);
        let due = judge::unsettled(&self.model, &self.psp);
        let due = due.iter().filter_map(|refund| self.model.refunds[refund].due_ms);
        let wall_ms = self.wall_ms();
        let is_far = |at_ms: &i64| *at_ms > wall_ms.saturating_add(schedule::FARTHEST);
        // What lies beyond every schedule is due now: the clock was set back.
        let due = due.map(|at_ms| if is_far(&at_ms) { wall_ms } else { at_ms }).min();
        let due = due.map(|at_ms| at_ms - self.skew_ms);
        let happening = self.psp.next_at();
        // The sweep looks every quarter of a second; what is due before is found then.
        let due = due.map(|at_ms| at_ms.max(swept_ms + SWEEP_EVERY_MS));
        [expiring, due, happening, listed, posted, asleep, asked, ruled].into_iter().flatten().min()
    }

    /// The world goes on by one batch.
    fn step(&mut self) -> Checked {
        self.steps += 1;
        if self.steps > STEPS_MAX {
            return Err(String::from("the run does not come to an end"));
        }
        self.maybe_set_clock();
        self.nodes_wake()?;
        self.maybe_turn();
        self.maybe_refund_by_hand();
        self.hear_from_psp();
        self.read_list();
        self.work_on_post();
        self.people_rule();
        self.sweep();
        self.clients_come();
        self.maybe_cancel();
        self.doubts_end();
        self.patience_ends();
        let mut awake: Vec<usize> = self.awake().map(|(at, _)| at).collect();
        self.rng.shuffle(&mut awake);
        let mut is_idle = true;
        for at in awake {
            // It may have died or stopped since.
            if self.nodes[at / self.lanes].is_awake() {
                self.go_to(at);
                is_idle &= !self.turn()?;
            }
        }
        if !is_idle {
            self.check_psp()?;
            if self.rng.chance(self.weather.audits) {
                self.check_books(false)?;
                self.audit()?;
            }
        }
        self.maybe_die_idle()
    }

    /// The lane at hand has its turn, if there is anything for it to do.
    fn turn(&mut self) -> Checked<bool> {
        let batch = self.next_batch();
        if batch.is_empty() && self.seat.backlog.is_empty() {
            return Ok(false);
        }
        let calls = self.step_lane(batch)?;
        if self.is_dead() {
            self.restart(self.moment)?;
        } else {
            self.leave(calls)?;
        }
        Ok(true)
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
                Told::Answer(news) => self.hear_answer(news),
                Told::Notice(tale) => self.take_in(&tale),
            }
        }
    }

    /// What a connector makes of an answer.
    fn as_command(&mut self, news: News) -> Command {
        let News { refund, attempt, outcome, at_ms, kind, .. } = news;
        let outcome = match (self.bug, outcome) {
            (Some(Bug::UnknownIsFailed), Outcome::Unknown { fault }) if kind == CallKind::Send => {
                Outcome::Failed { fault }
            }
            (Some(Bug::LostCancelIsDone), Outcome::Unknown { fault })
                if kind == CallKind::Cancel =>
            {
                Outcome::Voided { psp_refund: None, fault }
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

    fn clients_come(&mut self) {
        if self.is_calm {
            return;
        }
        let coming = self.rng.below(self.weather.burst + 1);
        let wall_ms = self.wall_ms();
        for _ in 0..coming {
            let Some(node) = self.some_node() else { return };
            self.wishes = self.wishes.saturating_sub(1);
            let World { clients, rng, model, .. } = self;
            let command = clients.next(rng, model, wall_ms);
            let command = self.as_the_desk_asks(command);
            let request = match &command {
                Command::Refund(request) | Command::Propose(request) => Some(request.clone()),
                _ => None,
            };
            let expires = request.as_ref().map(|_| self.now_ms + self.weather.patience_ms);
            let ticket = Ticket { request, expires_at_ms: expires, ..Ticket::default() };
            self.ask_at(node, command, ticket);
        }
    }

    fn ask_at(&mut self, node: usize, command: Command, ticket: Ticket) {
        self.numbers += 1;
        let (at, number) = (self.lane_of(node, &command), self.numbers);
        let seat = self.seat_at(at);
        seat.tickets.insert(number, ticket);
        seat.queue.push_back((command, Some(number)));
    }

    /// Whoever has waited long enough is told what is known.
    fn patience_ends(&mut self) {
        let awake: Vec<usize> = self.awake().map(|(at, _)| at).collect();
        let now_ms = self.now_ms;
        for at in awake {
            let Seat { tickets, queue, .. } = self.seat_at(at);
            for ticket in tickets.values_mut() {
                let is_over = ticket.expires_at_ms.is_some_and(|at_ms| at_ms <= now_ms);
                let Some(refund) = ticket.refund().filter(|_| is_over) else {
                    continue;
                };
                ticket.expires_at_ms = None;
                queue.push_back((Command::Expire { refund }, None));
            }
        }
    }

    /// What people saw is true when they say it. Here requests may wait for hours, and then it is not.
    fn drop_stale_words(&mut self, batch: &mut Batch) {
        let wall_ms = self.wall_ms();
        let tickets = &mut self.seat.tickets;
        batch.retain(|(command, number)| {
            let is_stale = matches!(command, Command::Resolve(said) if said.at_ms != wall_ms);
            if let Some(number) = number.filter(|_| is_stale) {
                tickets.remove(&number);
            }
            !is_stale
        });
    }

    /// Whoever waits for what another node may have found out is told within a quarter of a second.
    fn questions(&mut self) -> Vec<Command> {
        let is_time = self.now_ms >= self.seat.asked_at_ms + SWEEP_EVERY_MS;
        if self.nodes.len() == 1 || !is_time {
            return Vec::new();
        }
        self.seat.asked_at_ms = self.now_ms;
        let lane = self.seat.lane.as_ref().expect("it is awake");
        let mut questions = lane.questions(BATCH_MAX);
        // The lane asks in no order; a story has one.
        questions.sort_by_key(|question| match question {
            Command::Learn { refund } => Some(*refund),
            _ => None,
        });
        questions
    }

    /// When the next such question finds something.
    fn question_ms(&self) -> Option<i64> {
        if self.nodes.len() == 1 {
            return None;
        }
        let finds = |question: &Command| {
            let Command::Learn { refund } = question else { return false };
            let kept = self.model.refunds.get(refund);
            kept.is_some_and(|kept| !matches!(kept.status, Status::Dispatched | Status::Ready))
        };
        let asking = self.awake().filter(|(_, seat)| {
            let lane = seat.lane.as_ref();
            lane.is_some_and(|lane| lane.questions(BATCH_MAX).iter().any(finds))
        });
        asking.map(|(_, seat)| self.now_ms.max(seat.asked_at_ms + SWEEP_EVERY_MS)).min()
    }

    fn next_batch(&mut self) -> Batch {
        let room = self.weather.batch.min(BATCH_MAX);
        let news = self.seat.news.len().min(room);
        let mut batch: Vec<_> =
            self.seat.news.drain(..news).map(|command| (command, None)).collect();
        let clients = self.seat.queue.len().min(room - news);
        batch.extend(self.seat.queue.drain(..clients));
        self.drop_stale_words(&mut batch);
        batch.extend(self.questions().into_iter().map(|question| (question, None)));
        if !self.weather.is_orderly {
            self.rng.shuffle(&mut batch);
        }
        batch
    }

    // --- The lane ---

    /// One step of the product, under the fate that is drawn for it.
    fn step_lane(&mut self, batch: Batch) -> Checked<Vec<Instruction>> {
        let (commands, given) = self.prepare(batch);
        let meeting = self.maybe_meet();
        let lane = self.seat.lane.as_mut().expect("the process is up");
        let stepped = catch_unwind(AssertUnwindSafe(|| lane.step(given)));
        if let Some(meeting) = meeting {
            self.part(meeting)?;
        }
        self.moment = "among answers";
        self.digest(&commands, stepped)
    }

    /// All that the lane takes now, and what is handed to it.
    fn prepare(&mut self, batch: Batch) -> (Batch, Vec<(Command, Answer)>) {
        let mut commands: Batch =
            std::mem::take(&mut self.seat.backlog).into_iter().map(|news| (news, None)).collect();
        commands.extend(batch.iter().cloned());
        for (command, number) in &commands {
            self.trace.say(|| judge::line(self.now_ms, command, *number));
        }
        self.draw_fates(commands.len());
        let given = batch.into_iter().map(|(command, number)| {
            let number = number.unwrap_or(0);
            (command, answer(number, &self.seat.inbox, &self.seat.tap))
        });
        (commands, given.collect())
    }

    /// What a step did is held against the model.
    fn digest(
        &mut self,
        commands: &[(Command, Option<u64>)],
        stepped: std::thread::Result<Vec<Instruction>>,
    ) -> Checked<Vec<Instruction>> {
        let calls =
            stepped.map_err(|panic| format!("the lane panicked: {}", judge::text(&panic)))?;
        let log = std::mem::take(&mut tap(&self.seat.tap).log);
        self.learn(commands, log)?;
        self.hear_answers(commands)?;
        self.model.heard();
        let lane = self.seat.lane.as_ref().expect("the process is up");
        if !self.is_dead() && lane.has_backlog() == self.seat.backlog.is_empty() {
            return Err(String::from("news was lost when the store failed"));
        }
        Ok(calls)
    }

    fn draw_fates(&mut self, commands: usize) {
        let fates = self.weather.fates(&mut self.rng, commands);
        tap(&self.seat.tap).fates = fates;
        let dies = self.rng.chance(self.weather.dies_answering);
        let after = self.rng.index(4);
        let mut inbox = self.seat.inbox.lock().expect("one thread runs a simulation");
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
        // Somebody else may have found the batch first.
        let makes_no_calls = transacted.fate == Fate::ReadBack;
        let changes = transacted.changes.unwrap_or_default();
        self.model.look_at(&changes, is_told || !is_committed);
        for (command, number) in commands {
            let mut expected = is_committed.then(|| self.model.apply(command));
            let hears = matches!(expected, Some(Expected::Heard(_) | Expected::Clarifies(_)));
            if makes_no_calls && hears {
                let later = Noticed::Later(Obstacle::CallUnderWay);
                expected = Some(Expected::Noticed(later));
            }
            if let Some(expected) = &expected {
                self.tally.add("command", judge::word(expected));
            }
            let ticket = number.and_then(|number| self.seat.tickets.get(&number));
            let at_psp = ticket.and_then(|ticket| ticket.at_psp);
            if let Some((at, expected)) = at_psp.zip(expected.as_ref()) {
                self.note_match(at, expected);
            }
            let ticket = number.and_then(|number| self.seat.tickets.get_mut(&number));
            if let Some(ticket) = ticket {
                ticket.is_taken = true;
                ticket.has_failed = !is_told;
                ticket.expected = expected;
            }
            if let (Command::Expire { refund }, false) = (command, is_told) {
                // Whoever waited for it is sent away: nothing of it could be written down.
                for ticket in self.seat.tickets.values_mut() {
                    ticket.may_be_sent_away |= ticket.awaits() == Some(*refund);
                }
            }
            let is_news = matches!(command, Command::Settle { .. });
            if is_news && !is_told && !transacted.is_constraint {
                self.seat.backlog.push(command.clone());
            }
        }
        if is_told && !makes_no_calls {
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
        let at_ms = self.wall_ms();
        if let Some(outcome) = too_late(&call, at_ms)
            && self.bug != Some(Bug::LateCall)
        {
            self.tally.add("call", "too late, not made");
            let finding = Finding { attempt: call.attempt, outcome, at_ms };
            let settle = Command::Settle { refund: call.refund, finding };
            return self.seat.news.push_back(settle);
        }
        let word = match call.kind {
            CallKind::Send => "send",
            CallKind::LookUp => "look up",
            CallKind::Cancel => "cancel",
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
            return self.seat.news.push_back(Command::Settle { refund, finding });
        }
        let World { psp, rng, .. } = self;
        psp.call(rng, (call, key), (self.here, self.now_ms));
    }

    // --- Crashes ---

    pub(crate) fn is_dead(&self) -> bool {
        let tap = tap(&self.seat.tap);
        tap.is_dead || tap.dies_after_step
    }

    fn maybe_die_idle(&mut self) -> Checked {
        let is_up = self.nodes[self.here / self.lanes].down_until_ms.is_none();
        if is_up && self.rng.chance(self.weather.dies_idle) {
            return self.restart("between steps");
        }
        Ok(())
    }
}
