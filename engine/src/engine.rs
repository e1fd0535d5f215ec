//! The engine at work: lanes, each with a bounded queue and a thread, and the sweep that wakes refunds
//! whose time has come.
//!
//! Invariants:
//! - A payment has one lane of this process. Lanes of other processes may decide about it as well:
//!   what is decided is decided on rows that the store has locked.
//! - A full queue answers "overloaded" at once; what was taken in is answered exactly once.
//! - Merchants take turns ([`turns`]): one with much to do makes no other wait for all of it.
//! - A call begins soon after it was prepared, or is reported as not sent.
//! - News (outcomes, wake-ups) is never refused: there is at most one for each call under way and
//!   each due refund, and both are bounded.
//! - A lane that panics has broken an invariant: the process aborts and recovers from the store.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use requite_core::refund::Fault;
use requite_core::settle::{Finding, Outcome};

use crate::clock::Clock;
use crate::command::{Answer, Command, CommandError, RefundRef, Wait};
use crate::fault::{self, Point};
use crate::lane::Lane;
use crate::psp::{BEGIN_MAX_MS, Instruction, Psp};
use crate::store::Store;

mod turns;

use self::turns::Turns;
pub use self::turns::{QUEUE_MAX, QUEUES_MAX};

/// Calls to PSPs under way. At this many no new refund that needs a call is taken.
pub const CALLS_MAX: usize = 4_096;
/// Refunds woken by one sweep.
pub const SWEEP_MAX: u32 = 512;
/// Distance between sweeps.
const SWEEP_EVERY: Duration = Duration::from_millis(SWEEP_EVERY_MS.unsigned_abs());
pub const SWEEP_EVERY_MS: i64 = 250;

/// How long the database may take to tell the time and be believed: half of what nodes may be mistaken
/// about it ([`crate::psp::MARGIN_MS`]).
const TIME_TOLD_MAX_MS: i64 = 500;

#[derive(Default)]
struct Queue {
    clients: Turns,
    news: VecDeque<Command>,
    is_stopping: bool,
}

/// What waits for one lane.
#[derive(Default)]
struct Entrance {
    queue: Mutex<Queue>,
    work: Condvar,
}

struct Shared {
    /// One for each lane. A payment has one lane.
    entrances: Vec<Entrance>,
    calls: AtomicUsize,
    clock: Arc<dyn Clock>,
    psp: Arc<dyn Psp>,
}

/// The handle to a running engine. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

/// What joins the engine's threads when the server stops.
pub struct Running {
    engine: Engine,
    lanes: Vec<JoinHandle<()>>,
    sweep: JoinHandle<()>,
}

/// Starts a thread for each lane, and the sweep. `sweep_store` is one more store over the same data:
/// the sweep only reads.
///
/// # Panics
/// Without a lane.
pub fn start<S: Store + Send + 'static>(
    lanes: Vec<Lane<S>>,
    mut sweep_store: S,
    psp: Arc<dyn Psp>,
    clock: Arc<dyn Clock>,
) -> std::io::Result<(Engine, Running)> {
    assert!(!lanes.is_empty(), "an engine has at least one lane");
    // Before the first command: how the nodes' own clocks differ is not known.
    tell_time(&mut sweep_store, clock.as_ref(), i64::MAX);
    let entrances = lanes.iter().map(|_| Entrance::default()).collect();
    let shared = Arc::new(Shared { entrances, calls: AtomicUsize::new(0), clock, psp });
    let engine = Engine { shared };
    let spawn = |name: String, work: Box<dyn FnOnce() + Send>| {
        std::thread::Builder::new().name(name).spawn(move || abort_on_panic(work))
    };
    let mut threads = Vec::new();
    for (number, lane) in lanes.into_iter().enumerate() {
        let worker = engine.clone();
        let work = Box::new(move || worker.run_lane(number, lane));
        threads.push(spawn(format!("lane-{number}"), work)?);
    }
    let worker = engine.clone();
    let sweep = spawn("sweep".to_owned(), Box::new(move || worker.run_sweep(sweep_store)))?;
    Ok((engine.clone(), Running { engine, lanes: threads, sweep }))
}

/// Money code that panics is wrong about something. Stopping at once and recovering from what is
/// committed is the one safe answer.
fn abort_on_panic(work: impl FnOnce()) {
    if std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err() {
        tracing::error!("an invariant of the engine is broken: the process stops and recovers");
        std::process::abort();
    }
}

impl Engine {
    /// Queues a command. The answer is called exactly once, from another thread or from this one.
    pub fn submit(&self, command: Command, answer: Answer) {
        let needs_call = match &command {
            Command::Refund(request) | Command::Propose(request) => request.wait == Wait::Outcome,
            Command::Cancel(_) => true,
            _ => false,
        };
        let is_busy = needs_call && self.shared.calls.load(Ordering::Acquire) >= CALLS_MAX;
        let entrance = self.entrance(&command);
        let mut queue = entrance.queue();
        if queue.is_stopping && !matches!(command, Command::Expire { .. }) {
            drop(queue);
            return answer(Err(CommandError::Stopping));
        }
        let is_client = !matches!(command, Command::Expire { .. });
        if is_busy || (is_client && queue.clients.is_full(command.merchant())) {
            drop(queue);
            return answer(Err(CommandError::Overloaded));
        }
        queue.clients.push(command, answer);
        drop(queue);
        entrance.work.notify_one();
    }

    /// Client commands that wait for a lane now: of the fullest queue, so that with [`QUEUE_MAX`] of them
    /// commands may be turned away.
    pub fn queued(&self) -> usize {
        let queued = self.shared.entrances.iter().map(|entrance| entrance.queue().clients.len());
        queued.max().unwrap_or_default()
    }

    /// Calls to PSPs under way now.
    pub fn calls(&self) -> usize {
        self.shared.calls.load(Ordering::Acquire)
    }

    /// Where a command of its payment has to go. Ids of payments are as good as random in their lower
    /// half.
    fn entrance(&self, command: &Command) -> &Entrance {
        let (_, payment) = command.payment();
        let lanes = u128::try_from(self.shared.entrances.len()).unwrap_or(1);
        let number = payment.bits().checked_rem(lanes).unwrap_or_default();
        let number = usize::try_from(number).unwrap_or_default();
        self.shared.entrances.get(number).expect("a remainder is below its divisor")
    }

    fn tell(&self, news: impl IntoIterator<Item = Command>) {
        for command in news {
            let entrance = self.entrance(&command);
            entrance.queue().news.push_back(command);
            entrance.work.notify_one();
        }
    }

    fn run_lane<S: Store>(&self, number: usize, mut lane: Lane<S>) {
        if number == 0 {
            match lane.recover(self.shared.clock.now_ms()) {
                Ok(news) => {
                    if !news.is_empty() {
                        fault::pass(Point::RecoveryFound);
                    }
                    self.tell(news);
                }
                Err(fault) => {
                    tracing::error!(%fault, "recovery could not read the store; the sweep will")
                }
            }
        }
        let entrance = self.shared.entrances.get(number).expect("each lane has its entrance");
        let mut asked_at_ms = self.shared.clock.steady_ms();
        loop {
            let is_restless = lane.has_backlog() || lane.is_awaited();
            let Some(mut batch) = self.next_batch(entrance, is_restless, lane.batch_max()) else {
                return;
            };
            let steady_ms = self.shared.clock.steady_ms();
            if steady_ms.saturating_sub(asked_at_ms) >= SWEEP_EVERY_MS {
                asked_at_ms = steady_ms;
                let questions = lane.questions(lane.batch_max()).into_iter();
                batch.extend(questions.map(|question| (question, no_answer())));
            }
            for instruction in lane.step(batch) {
                fault::pass(Point::CallLeave);
                self.call(instruction);
                fault::pass(Point::CallLeft);
            }
        }
    }

    /// Waits for work; everything that is there, up to `max`, news first. `None`: stop. A restless
    /// lane's wait ends by itself.
    fn next_batch(
        &self,
        entrance: &Entrance,
        is_restless: bool,
        max: usize,
    ) -> Option<Vec<(Command, Answer)>> {
        let mut queue = entrance.queue();
        loop {
            if !queue.news.is_empty() || !queue.clients.is_empty() {
                let news = queue.news.len().min(max);
                let mut batch: Vec<(Command, Answer)> =
                    queue.news.drain(..news).map(|command| (command, no_answer())).collect();
                let room = max.saturating_sub(batch.len());
                batch.extend(std::iter::from_fn(|| queue.clients.pop()).take(room));
                return Some(batch);
            }
            if queue.is_stopping && self.calls() == 0 {
                return None;
            }
            let waited = entrance.work.wait_timeout(queue, SWEEP_EVERY);
            queue = waited.expect("nothing panics while it holds the queue").0;
            if is_restless && queue.news.is_empty() && queue.clients.is_empty() {
                return Some(Vec::new());
            }
        }
    }

    fn call(&self, instruction: Instruction) {
        let mut call = Call {
            engine: self.clone(),
            refund: instruction.refund,
            attempt: instruction.attempt,
            outcome: None,
        };
        self.shared.calls.fetch_add(1, Ordering::AcqRel);
        call.outcome = too_late(&instruction, self.shared.clock.now_ms());
        if call.outcome.is_some() {
            return tracing::warn!(refund = ?call.refund, "a call comes too late to be made");
        }
        let on_outcome = Box::new(move |outcome| call.end(outcome));
        self.shared.psp.call(instruction, on_outcome);
    }

    fn run_sweep<S: Store>(&self, mut store: S) {
        let clock = &self.shared.clock;
        while !self.shared.entrances.iter().any(|entrance| entrance.queue().is_stopping) {
            tell_time(&mut store, clock.as_ref(), TIME_TOLD_MAX_MS);
            let now_ms = clock.now_ms();
            match store.due(now_ms, SWEEP_MAX) {
                Ok(due) => {
                    if !due.is_empty() {
                        fault::pass(Point::SweepFound);
                    }
                    let wake = |refund| Command::Wake { refund, at_ms: now_ms, is_restart: false };
                    self.tell(due.into_iter().map(wake));
                }
                Err(fault) => tracing::warn!(%fault, "the sweep could not read the store"),
            }
            std::thread::park_timeout(SWEEP_EVERY);
        }
    }
}

impl Entrance {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect("nothing panics while it holds the queue")
    }
}

/// The database's time is everybody's. What was told slowly is not believed: it is as old as that.
fn tell_time<S: Store>(store: &mut S, clock: &dyn Clock, within_ms: i64) {
    let asked_ms = clock.steady_ms();
    match store.shared_ms() {
        Ok(Some(now_ms)) if clock.steady_ms().saturating_sub(asked_ms) <= within_ms => {
            clock.set_shared(now_ms);
        }
        Ok(_) => {}
        Err(fault) => tracing::warn!(%fault, "the store could not tell the time"),
    }
}

/// What becomes of a call that does not begin within [`crate::psp::BEGIN_MAX_MS`]. `None`: it may be made now.
pub fn too_late(instruction: &Instruction, now_ms: i64) -> Option<Outcome> {
    let late_ms = now_ms.saturating_sub(instruction.prepared_at_ms);
    if late_ms <= BEGIN_MAX_MS {
        return None;
    }
    let text = format!("{late_ms} ms after it was prepared: nothing was sent");
    let fault = Fault { code: "too_late".to_owned(), text };
    Some(Outcome::Unreached { fault, retry_after_ms: 0 })
}

/// A call under way. Its end is told exactly once, even if whoever carried it fell over.
struct Call {
    engine: Engine,
    refund: RefundRef,
    attempt: u32,
    outcome: Option<Outcome>,
}

impl Call {
    fn end(mut self, outcome: Outcome) {
        fault::pass(Point::OutcomeHere);
        self.outcome = Some(outcome);
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let lost = || Outcome::Unknown {
            fault: Fault {
                code: "call_dropped".to_owned(),
                text: "the call was dropped without an outcome".to_owned(),
            },
        };
        let finding = Finding {
            attempt: self.attempt,
            outcome: self.outcome.take().unwrap_or_else(lost),
            at_ms: self.engine.shared.clock.now_ms(),
        };
        let refund = self.refund;
        self.engine.tell([Command::Settle { refund, finding }]);
        self.engine.shared.calls.fetch_sub(1, Ordering::AcqRel);
    }
}

fn no_answer() -> Answer {
    Box::new(|_| ())
}

impl Running {
    /// Takes nothing new, finishes what is queued and the calls under way, and joins the threads.
    /// Bounded by the PSP's own deadline per call.
    pub fn stop(self) {
        for entrance in &self.engine.shared.entrances {
            entrance.queue().is_stopping = true;
            entrance.work.notify_all();
        }
        self.sweep.thread().unpark();
        for thread in std::iter::once(self.sweep).chain(self.lanes) {
            if thread.join().is_err() {
                tracing::error!("a thread of the engine ended by panicking");
            }
        }
    }
}
