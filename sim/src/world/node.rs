//! Processes over one store: each with its lanes, its sweep and its calls. They go down, come back, and
//! stand still for a while with calls prepared, as a process does that is stopped and continued.
//!
//! [`World::seat`] is the lane at hand; the others wait in [`World::seats`].

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use requite_engine::command::Command;
use requite_engine::lane::Lane;
use requite_engine::psp::Instruction;
use requite_engine::store::Store;

use super::{Checked, NESTED_MAX, SWEEP_EVERY_MS, SWEEP_MAX, World};
use crate::bug::Bug;
use crate::desk::{SharedInbox, Ticket, Tickets};
use crate::disk::{Fate, Faulty, SharedTap, tap};
use crate::judge;
use crate::psp::{News, Told};

/// How long a process stands still, in ms: shorter and longer than a call may wait, and than it takes
/// others to take over.
const PAUSES_MS: [i64; 6] = [50, 3_000, 9_900, 10_100, 61_000, 600_000];

/// One lane with all that waits for it.
#[derive(Default)]
pub(crate) struct Seat {
    /// `None` only while its process is down, or while its step runs within another's.
    pub lane: Option<Lane<Faulty>>,
    pub tap: SharedTap,
    pub inbox: SharedInbox,
    pub tickets: Tickets,
    /// Commands of clients.
    pub queue: VecDeque<(Command, Option<u64>)>,
    /// Outcomes and wake-ups.
    pub news: VecDeque<Command>,
    /// News that the lane keeps because the store failed.
    pub backlog: Vec<Command>,
    /// When it asked after refunds that others may have settled.
    pub asked_at_ms: i64,
}

impl Seat {
    pub(crate) fn has_work(&self) -> bool {
        !self.queue.is_empty() || !self.news.is_empty() || !self.backlog.is_empty()
    }
}

/// One process.
#[derive(Default)]
pub(crate) struct Node {
    pub swept_at_ms: i64,
    /// Wake-ups that come a step late.
    pub late: Vec<Command>,
    /// It is down until then.
    pub down_until_ms: Option<i64>,
    /// It stands still until then.
    pub paused_until_ms: Option<i64>,
    /// Calls that it had prepared when it was stopped, by seat.
    held: Vec<(usize, Instruction)>,
    /// Answers that came while it stood still.
    mail: Vec<News>,
}

impl Node {
    pub(super) fn is_awake(&self) -> bool {
        self.down_until_ms.is_none() && self.paused_until_ms.is_none()
    }
}

/// A step of another node's lane that runs within a transaction of this one's.
pub(super) struct Meeting {
    at: usize,
    commands: Vec<(Command, Option<u64>)>,
    slot: Arc<Mutex<Option<Met>>>,
}

type Met = (Lane<Faulty>, std::thread::Result<Vec<Instruction>>);

impl World {
    pub(super) fn go_to(&mut self, at: usize) {
        if at != self.here {
            std::mem::swap(&mut self.seat, &mut self.seats[self.here]);
            std::mem::swap(&mut self.seat, &mut self.seats[at]);
            self.here = at;
        }
        self.model.lane = at;
    }

    pub(super) fn seat_at(&mut self, at: usize) -> &mut Seat {
        if at == self.here { &mut self.seat } else { &mut self.seats[at] }
    }

    /// Every lane of processes that are at work, with its number.
    pub(super) fn awake(&self) -> impl Iterator<Item = (usize, &Seat)> {
        let seats = self.seats.iter().enumerate();
        let seats = seats.map(|(at, seat)| (at, if at == self.here { &self.seat } else { seat }));
        seats.filter(|(at, _)| self.nodes[at / self.lanes].is_awake())
    }

    pub(super) fn waits_somewhere(&self) -> Option<String> {
        let seats = self.seats.iter().chain([&self.seat]);
        let ticket = seats.flat_map(|seat| seat.tickets.iter()).next();
        ticket.map(|(number, ticket)| format!("{number}: {ticket:?}"))
    }

    fn seats_of(&self, node: usize) -> Range<usize> {
        node * self.lanes..(node + 1) * self.lanes
    }

    /// A process that clients can reach: one that stands still takes their requests, and lets them wait.
    pub(super) fn some_node(&mut self) -> Option<usize> {
        if self.nodes.len() == 1 {
            return Some(0);
        }
        let up = self.nodes.iter().enumerate().filter(|(_, node)| node.down_until_ms.is_none());
        let up: Vec<usize> = up.map(|(at, _)| at).collect();
        (!up.is_empty()).then(|| up[self.rng.index(up.len())])
    }

    /// The lane that a command has to go to.
    pub(super) fn lane_of(&self, node: usize, command: &Command) -> usize {
        let (_, payment) = command.payment();
        node * self.lanes + usize::try_from(payment.bits() % self.lanes as u128).unwrap_or(0)
    }

    // --- Standing still ---

    /// Processes come back, and go on.
    pub(super) fn nodes_wake(&mut self) -> Checked {
        for at in 0..self.nodes.len() {
            let now_ms = self.now_ms;
            let is_over = |until: Option<i64>| until.is_some_and(|until| until <= now_ms);
            if is_over(self.nodes[at].down_until_ms) {
                self.start(at)?;
            }
            if is_over(self.nodes[at].paused_until_ms) {
                self.go_on(at)?;
            }
        }
        Ok(())
    }

    /// What a step prepared leaves, unless the process is stopped before.
    pub(super) fn leave(&mut self, calls: Vec<Instruction>) -> Checked {
        let (rate, node) = (self.weather.pauses, self.here / self.lanes);
        if rate == 0 || self.is_calm || !self.rng.chance(rate) {
            return self.dispatch(calls);
        }
        let pause_ms = self.rng.pick(&PAUSES_MS);
        let word = if calls.is_empty() { "stopped" } else { "stopped with calls prepared" };
        self.tally.add("node", word);
        self.trace.say(|| format!("  node {node} stands still for {pause_ms} ms"));
        let here = self.here;
        let node = &mut self.nodes[node];
        node.paused_until_ms = Some(self.now_ms + pause_ms);
        node.held.extend(calls.into_iter().map(|call| (here, call)));
        Ok(())
    }

    fn go_on(&mut self, at: usize) -> Checked {
        self.tally.add("node", "continued");
        self.trace.say(|| format!("  node {at} goes on"));
        let node = &mut self.nodes[at];
        node.paused_until_ms = None;
        let (held, mail) = (std::mem::take(&mut node.held), std::mem::take(&mut node.mail));
        for news in mail {
            self.hear_answer(News { at_ms: self.now_ms, ..news });
        }
        for (seat, call) in held {
            self.go_to(seat);
            self.check_attempt(&call)?;
            self.tally.add("node", "call prepared before a stop");
            self.call(call);
        }
        Ok(())
    }

    /// An answer reaches whoever asked, when they are awake.
    pub(super) fn hear_answer(&mut self, news: News) {
        let (seat, node) = (news.seat, news.seat / self.lanes);
        if self.nodes[node].paused_until_ms.is_some() {
            return self.nodes[node].mail.push(news);
        }
        let command = self.as_command(news);
        self.seat_at(seat).news.push_back(command);
    }

    // --- The sweep ---

    pub(super) fn sweep(&mut self) {
        for node in 0..self.nodes.len() {
            if self.nodes[node].is_awake() {
                self.sweep_of(node);
            }
        }
    }

    fn sweep_of(&mut self, node: usize) {
        let late = std::mem::take(&mut self.nodes[node].late);
        self.wake_up(node, late);
        if self.now_ms < self.nodes[node].swept_at_ms + SWEEP_EVERY_MS {
            return;
        }
        self.nodes[node].swept_at_ms = self.now_ms;
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
            self.nodes[node].late = woken;
        } else {
            self.wake_up(node, woken);
        }
    }

    fn wake_up(&mut self, node: usize, news: Vec<Command>) {
        for command in news {
            let at = self.lane_of(node, &command);
            self.seat_at(at).news.push_back(command);
        }
    }

    // --- Meeting in the store ---

    /// Another node's lane has a step of its own while this one's first try of a transaction is open:
    /// this one finds that out, and decides again on what the other left.
    pub(super) fn maybe_meet(&mut self) -> Option<Meeting> {
        let rate = self.weather.meets;
        if rate == 0 || !self.rng.chance(rate) {
            return None;
        }
        let (here, own) = (self.here, self.here / self.lanes);
        let others = self.awake().filter(|(at, seat)| at / self.lanes != own && seat.has_work());
        let others: Vec<usize> = others.map(|(at, _)| at).collect();
        if others.is_empty() {
            return None;
        }
        let at = others[self.rng.index(others.len())];
        self.go_to(at);
        let batch = self.next_batch();
        let (commands, given) = self.prepare(batch);
        let mut lane = self.seat.lane.take().expect("it is awake");
        self.go_to(here);
        self.tally.add("node", "met another in a transaction");
        let slot = Arc::new(Mutex::new(None));
        let into = Arc::clone(&slot);
        let step = move || {
            let work = std::panic::AssertUnwindSafe(|| lane.step(given));
            let stepped = std::panic::catch_unwind(work);
            *into.lock().expect("one thread runs a simulation") = Some((lane, stepped));
        };
        let mut tap = tap(&self.seat.tap);
        tap.meanwhile.0 = Some(Box::new(step));
        tap.fates = VecDeque::from([Fate::TryAgain]);
        Some(Meeting { at, commands, slot })
    }

    /// What the other one did comes first.
    pub(super) fn part(&mut self, meeting: Meeting) -> Checked {
        let Meeting { at, commands, slot } = meeting;
        let here = self.here;
        self.go_to(at);
        let met = slot.lock().expect("one thread runs a simulation").take();
        let (lane, stepped) = met.expect("a transaction that is tried again was tried");
        self.seat.lane = Some(lane);
        let calls = self.digest(&commands, stepped)?;
        if self.is_dead() {
            self.restart("while another met it")?;
        } else {
            self.leave(calls)?;
        }
        self.go_to(here);
        Ok(())
    }

    // --- Death ---

    /// The process of the lane at hand dies: its memory is gone, its clients hear nothing. The next one
    /// opens the same store.
    pub(super) fn restart(&mut self, moment: &'static str) -> Checked {
        let node = self.here / self.lanes;
        self.tally.add("crash", moment);
        self.trace.say(|| format!("  CRASH of {node} {moment}"));
        let seats = self.seats_of(node);
        self.psp.crash(&mut self.rng, &mut self.tally, (seats.clone(), self.now_ms));
        for at in seats.clone() {
            let seat = std::mem::take(self.seat_at(at));
            let doubted = |ticket: Ticket| Some(ticket.doubted?.request);
            let asked = |ticket: Ticket| ticket.request.clone().or_else(|| doubted(ticket));
            for request in seat.tickets.into_values().filter_map(asked) {
                self.tally.add("answer", "lost in a crash");
                self.clients.keep(&request);
            }
        }
        self.model.crashed(seats);
        self.side.crashed(self.bug);
        if self.bug == Some(Bug::ForgetPost) {
            self.post.forget();
        }
        let down_ms = self.rng.pick(self.weather.down_ms);
        self.trace.say(|| format!("  down for {down_ms} ms"));
        self.nodes[node] = Node { down_until_ms: Some(self.now_ms + down_ms), ..Node::default() };
        if self.nodes.len() > 1 {
            return Ok(());
        }
        // Alone: nothing happens here until it is back.
        self.now_ms += down_ms;
        let World { psp, rng, tally, .. } = self;
        for told in psp.advance(rng, tally, self.now_ms) {
            // A PSP says it again until somebody takes it in.
            if let Told::Notice(tale) = told {
                self.take_in(&tale);
            }
        }
        self.start(node)?;
        self.recover_or_die()
    }

    pub(super) fn start(&mut self, node: usize) -> Checked {
        judge::acked_are_there(&mut self.acked, &mut self.side)?;
        self.nodes[node] = Node { swept_at_ms: self.nodes[node].swept_at_ms, ..Node::default() };
        let is_shared = self.nodes.len() > 1 && self.bug != Some(Bug::RecoverAsIfAlone);
        for at in self.seats_of(node) {
            let tap = SharedTap::default();
            let store = Faulty::new(self.side.second(), SharedTap::clone(&tap), self.bug);
            let lane = Some(Lane::new(store.shared(is_shared), ["manual"]));
            *self.seat_at(at) = Seat { lane, tap, ..Seat::default() };
        }
        let first = self.seats_of(node).start;
        self.go_to(first);
        if self.rng.chance(self.weather.store_fails) {
            tap(&self.seat.tap).fails_recovery = true;
        }
        // A recovery that cannot read leaves its work to the sweep.
        let wall_ms = self.wall_ms();
        let lane = self.seat.lane.as_mut().expect("it was just started");
        let news = lane.recover(wall_ms).unwrap_or_default();
        self.wake_up(node, news);
        Ok(())
    }

    /// The first step of a process that was just started; it may die in that as well, again and
    /// again.
    fn recover_or_die(&mut self) -> Checked {
        let rate = self.weather.dies_recovering;
        if rate == 0 || self.nested == NESTED_MAX || !self.rng.chance(rate) {
            return Ok(());
        }
        self.nested += 1;
        let room = self.seat.news.len().min(requite_engine::lane::BATCH_MAX);
        let woken: Vec<_> = self.seat.news.drain(..room).map(|command| (command, None)).collect();
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
