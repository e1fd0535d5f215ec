//! A lane is the only writer of its payments. It takes commands in batches: load what they need,
//! decide each in order, write every change in one transaction, then answer. One fsync pays for the
//! batch, and of two refunds of one payment the second sees the first.
//!
//! Invariants:
//! - An answer leaves only after its commit, and exactly once.
//! - No PSP is called from here; accepted refunds leave as [`Instruction`]s, after the commit that
//!   holds their attempt.
//! - While a call of this process is under way, its refund is not looked up: what a PSP has not yet
//!   received it truthfully does not know, and that would be taken for proof.
//! - News that could not be committed is kept and tried again; nothing that a PSP said is lost.
//!
//! Start at [`Lane::step`]. What a command does is in [`batch`].

pub(crate) mod batch;

use std::collections::{HashMap, VecDeque};

use self::batch::{Batch, Decided, Heard, Hold, Shown, Verdict};
use crate::command::{
    Answer, Command, CommandError, Noticed, Obstacle, RefundRef, RefundReply, Reply,
};
use crate::fault::{self, Point};
use crate::psp::{Connectors, Instruction};
use crate::store::{Commit, Store, StoreFault};

/// Commands that one transaction carries at most; a store may want fewer. More buys little and costs
/// every p50.
pub const BATCH_MAX: usize = 256;
/// Refunds that recovery wakes at start; the sweep wakes the rest.
pub const RECOVER_MAX: u32 = 10_000;
/// News kept for another try while the store does not commit. Beyond it the oldest is dropped: its
/// refund still has a next action time, and is looked up again.
pub const BACKLOG_MAX: usize = 16_384;

/// Someone who is told the first outcome of a refund.
struct Waiter {
    answer: Answer,
    /// The keys that their answer binds.
    keys: Vec<Hold>,
    answers_unknown: bool,
    is_replay: bool,
}

type Waiters = HashMap<RefundRef, Vec<Waiter>>;

/// Notices that are answered with what a call finds, by its number on its refund.
type Listeners = HashMap<RefundRef, Vec<(u32, Answer)>>;

/// The newest call of this process for each refund, until its outcome is here.
type UnderWay = HashMap<RefundRef, u32>;

pub struct Lane<S: Store> {
    store: S,
    /// What they say without being called.
    connectors: Box<dyn Connectors>,
    waiters: Waiters,
    listeners: Listeners,
    under_way: UnderWay,
    /// Refunds with waiters, as their answers show them.
    shown: Shown,
    backlog: Vec<Command>,
    /// The store was restored from a backup: a key that is not known may be that of a refund which the store
    /// lost.
    is_restored: bool,
}

impl<S: Store> Lane<S> {
    pub fn new(store: S, connectors: impl Connectors + 'static) -> Lane<S> {
        Lane {
            store,
            connectors: Box::new(connectors),
            waiters: HashMap::new(),
            listeners: HashMap::new(),
            under_way: HashMap::new(),
            shown: HashMap::new(),
            backlog: Vec::new(),
            is_restored: false,
        }
    }

    /// Of a store that was restored from a backup, or not.
    pub fn restored(self, is_restored: bool) -> Lane<S> {
        Lane { is_restored, ..self }
    }

    /// The store, for a simulation that takes it away from a dead lane.
    pub fn into_store(self) -> S {
        self.store
    }

    /// News that waits for a store that commits again.
    pub fn has_backlog(&self) -> bool {
        !self.backlog.is_empty()
    }

    /// Does anybody wait for the outcome of a refund?
    pub fn is_awaited(&self) -> bool {
        !self.waiters.is_empty()
    }

    /// Questions after refunds that somebody waits for here although no call of this process is under
    /// way: at most `max`.
    pub fn questions(&self, max: usize) -> Vec<Command> {
        let alone = self.waiters.keys().filter(|refund| !self.under_way.contains_key(refund));
        alone.take(max).map(|&refund| Command::Learn { refund }).collect()
    }

    /// Wake-ups for every refund that was under way when the process died.
    pub fn recover(&mut self, now_ms: i64) -> Result<Vec<Command>, StoreFault> {
        let in_flight = self.store.in_flight(RECOVER_MAX)?;
        let wake = |refund| Command::Wake { refund, at_ms: now_ms, is_restart: true };
        Ok(in_flight.into_iter().map(wake).collect())
    }

    /// Decides and commits a batch, answers it, and returns what is now to be sent.
    pub fn step(&mut self, batch: Vec<(Command, Answer)>) -> Vec<Instruction> {
        let kept = std::mem::take(&mut self.backlog).into_iter().map(|news| (news, no_answer()));
        let mut todo: VecDeque<(Command, Answer)> = kept.chain(batch).collect();
        let mut instructions = Vec::new();
        while !todo.is_empty() {
            let now = self.next_transaction(&mut todo).into_iter();
            let (mut commands, answers): (Vec<Command>, Vec<Answer>) = now.unzip();
            commands.iter_mut().for_each(Command::strike_cards);
            self.calls_end(&commands);
            instructions.extend(self.decide_all(commands, answers));
        }
        instructions
    }

    /// Takes what goes into one transaction. Where merchants lie on several machines that is one
    /// merchant's; between merchants there is no order to keep.
    fn next_transaction(
        &mut self,
        todo: &mut VecDeque<(Command, Answer)>,
    ) -> Vec<(Command, Answer)> {
        let max = self.batch_max();
        let only = match todo.front() {
            Some((first, _)) if self.store.is_spread() => first.merchant(),
            _ => return todo.drain(..todo.len().min(max)).collect(),
        };
        let (mut now, mut later) = (Vec::new(), VecDeque::new());
        for (command, answer) in todo.drain(..) {
            if now.len() < max && command.merchant() == only {
                now.push((command, answer));
            } else {
                later.push_back((command, answer));
            }
        }
        *todo = later;
        now
    }

    /// Commands of one transaction at most.
    pub fn batch_max(&self) -> usize {
        self.store.batch_max().clamp(1, BATCH_MAX)
    }

    /// A call whose outcome is here is over, whatever becomes of the outcome.
    fn calls_end(&mut self, commands: &[Command]) {
        for command in commands {
            if let Command::Settle { refund, finding } = command
                && self.under_way.get(refund) == Some(&finding.attempt)
            {
                self.under_way.remove(refund);
            }
        }
    }

    fn decide_all(&mut self, commands: Vec<Command>, answers: Vec<Answer>) -> Vec<Instruction> {
        match self.decide_and_commit(&commands) {
            Ok(decided) => self.tell(decided, answers),
            Err(StoreFault::Constraint(cause)) if commands.len() > 1 => {
                // One bad command must not fail its neighbours.
                tracing::error!(%cause, "a batch broke a constraint; its commands go one by one");
                let alone = commands.into_iter().zip(answers);
                alone.flat_map(|(command, answer)| self.step_alone(command, answer)).collect()
            }
            Err(fault) => {
                self.fail(commands, answers, &fault);
                Vec::new()
            }
        }
    }

    fn step_alone(&mut self, command: Command, answer: Answer) -> Vec<Instruction> {
        match self.decide_and_commit(std::slice::from_ref(&command)) {
            Ok(decided) => self.tell(decided, vec![answer]),
            Err(fault) => {
                self.fail(vec![command], vec![answer], &fault);
                Vec::new()
            }
        }
    }

    fn decide_and_commit(&mut self, commands: &[Command]) -> Result<Decided, StoreFault> {
        let mut wanted = batch::wanted(commands, &self.waiters);
        if self.is_restored {
            batch::want_lost(&mut wanted, commands);
        }
        let Lane { store, connectors, waiters, under_way, shown, .. } = self;
        let mut decided = Decided::default();
        let commit = store.transact(&wanted, &mut |loaded| {
            let mut batch = Batch::new(loaded, connectors.as_ref(), (waiters, under_way, shown));
            for command in commands {
                batch.take(command);
            }
            let (outcome, changes) = batch.finish();
            decided = outcome;
            changes
        })?;
        if commit == Commit::ReadBack {
            decided.make_no_calls();
        }
        Ok(decided)
    }

    /// After the commit: everyone hears what became of their wish.
    fn tell(&mut self, decided: Decided, answers: Vec<Answer>) -> Vec<Instruction> {
        fault::pass(Point::LaneAnswer);
        for (refund, reply) in decided.settled {
            self.shown.remove(&refund);
            for waiter in self.waiters.remove(&refund).unwrap_or_default() {
                let reply = RefundReply { is_replay: waiter.is_replay, ..reply.clone() };
                (waiter.answer)(Ok(Reply::Refund(reply)));
            }
        }
        for heard in decided.heard {
            self.tell_listeners(&heard);
        }
        for (verdict, answer) in decided.verdicts.into_iter().zip(answers) {
            match verdict {
                Verdict::Answer(result) => answer(result),
                Verdict::Wait { refund, keys, answers_unknown, is_replay } => {
                    let waiter = Waiter { answer, keys, answers_unknown, is_replay };
                    self.waiters.entry(refund).or_default().push(waiter);
                }
                Verdict::Hear { refund, attempt } => {
                    self.listeners.entry(refund).or_default().push((attempt, answer));
                }
            }
        }
        let awaited = decided.shown.into_iter();
        self.shown.extend(awaited.filter(|(refund, _)| self.waiters.contains_key(refund)));
        let calls = decided.instructions.iter();
        self.under_way.extend(calls.map(|call| (call.refund, call.attempt)));
        fault::pass(Point::LaneAnswered);
        decided.instructions
    }

    fn tell_listeners(&mut self, heard: &Heard) {
        let Some(listening) = self.listeners.remove(&heard.refund) else {
            return;
        };
        let (told, waiting): (Vec<_>, Vec<_>) =
            listening.into_iter().partition(|(attempt, _)| *attempt <= heard.attempt);
        for (_, answer) in told {
            answer(Ok(Reply::Noticed(heard.noticed)));
        }
        if !waiting.is_empty() {
            self.listeners.insert(heard.refund, waiting);
        }
    }

    /// Their patience is over and the store takes nothing, so what they were told could not be written
    /// down: they are told that their refund, which was taken, is not known to be done. Under its key
    /// the same request finds it.
    fn send_away(&mut self, refund: RefundRef, fault: &StoreFault) {
        self.shown.remove(&refund);
        for waiter in self.waiters.remove(&refund).unwrap_or_default() {
            (waiter.answer)(Err(CommandError::Store(fault.to_string())));
        }
    }

    /// Nothing was committed, or nobody knows. Clients are told so; news is kept.
    fn fail(&mut self, commands: Vec<Command>, answers: Vec<Answer>, fault: &StoreFault) {
        tracing::error!(%fault, commands = commands.len(), "a batch was not committed");
        let is_lasting = matches!(fault, StoreFault::Constraint(_));
        for (command, answer) in commands.into_iter().zip(answers) {
            if let Command::Expire { refund } = &command {
                self.send_away(*refund, fault);
            }
            let is_news = matches!(command, Command::Settle { .. });
            if is_news && !is_lasting && self.backlog.len() < BACKLOG_MAX {
                self.backlog.push(command);
            } else if let Command::Settle { refund, finding } = command {
                // Whoever asks again finds it: nobody is to listen for ever.
                let noticed = Noticed::Later(Obstacle::NoAnswer);
                self.tell_listeners(&Heard { refund, attempt: finding.attempt, noticed });
            }
            let error = match fault {
                StoreFault::Unavailable(_) => CommandError::Unstored,
                _ => CommandError::Store(fault.to_string()),
            };
            answer(Err(error));
        }
    }
}

fn no_answer() -> Answer {
    Box::new(|_| ())
}
