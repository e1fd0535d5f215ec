//! The engine at work: a bounded queue, the lane's thread behind it, and the sweep that wakes
//! refunds whose time has come.
//!
//! Invariants:
//! - A full queue answers "overloaded" at once; what was taken in is answered exactly once.
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
use crate::psp::{Instruction, Psp};
use crate::store::Store;

/// Client commands waiting for the lane. More are answered "overloaded".
pub const QUEUE_MAX: usize = 1_024;
/// Calls to PSPs under way. At this many no new refund that needs a call is taken.
pub const CALLS_MAX: usize = 4_096;
/// Refunds woken by one sweep.
pub const SWEEP_MAX: u32 = 512;
/// Distance between sweeps.
const SWEEP_EVERY: Duration = Duration::from_millis(250);

struct Queue {
    clients: VecDeque<(Command, Answer)>,
    news: VecDeque<Command>,
    is_stopping: bool,
}

struct Shared {
    queue: Mutex<Queue>,
    work: Condvar,
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
    lane: JoinHandle<()>,
    sweep: JoinHandle<()>,
}

/// Starts the lane's thread and the sweep. `sweep_store` is a second store over the same data: the
/// sweep only reads.
pub fn start<S: Store + Send + 'static>(
    lane: Lane<S>,
    sweep_store: S,
    psp: Arc<dyn Psp>,
    clock: Arc<dyn Clock>,
) -> std::io::Result<(Engine, Running)> {
    let queue = Queue { clients: VecDeque::new(), news: VecDeque::new(), is_stopping: false };
    let shared = Arc::new(Shared {
        queue: Mutex::new(queue),
        work: Condvar::new(),
        calls: AtomicUsize::new(0),
        clock,
        psp,
    });
    let engine = Engine { shared };
    let worker = engine.clone();
    let lane = std::thread::Builder::new()
        .name("lane".to_owned())
        .spawn(move || abort_on_panic(|| worker.run_lane(lane)))?;
    let worker = engine.clone();
    let sweep = std::thread::Builder::new()
        .name("sweep".to_owned())
        .spawn(move || abort_on_panic(|| worker.run_sweep(sweep_store)))?;
    Ok((engine.clone(), Running { engine, lane, sweep }))
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
        let needs_call =
            matches!(&command, Command::Refund(request) if request.wait == Wait::Outcome);
        let is_busy = needs_call && self.shared.calls.load(Ordering::Acquire) >= CALLS_MAX;
        let mut queue = self.queue();
        if queue.is_stopping && !matches!(command, Command::Expire { .. }) {
            drop(queue);
            return answer(Err(CommandError::Stopping));
        }
        let is_client = !matches!(command, Command::Expire { .. });
        if is_busy || (is_client && queue.clients.len() >= QUEUE_MAX) {
            drop(queue);
            return answer(Err(CommandError::Overloaded));
        }
        queue.clients.push_back((command, answer));
        drop(queue);
        self.shared.work.notify_one();
    }

    /// Client commands that wait for the lane now.
    pub fn queued(&self) -> usize {
        self.queue().clients.len()
    }

    /// Calls to PSPs under way now.
    pub fn calls(&self) -> usize {
        self.shared.calls.load(Ordering::Acquire)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.shared.queue.lock().expect("nothing panics while it holds the queue")
    }

    fn tell(&self, news: impl IntoIterator<Item = Command>) {
        self.queue().news.extend(news);
        self.shared.work.notify_one();
    }

    fn run_lane<S: Store>(&self, mut lane: Lane<S>) {
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
        while let Some(batch) = self.next_batch(lane.has_backlog(), lane.batch_max()) {
            for instruction in lane.step(batch) {
                fault::pass(Point::CallLeave);
                self.call(instruction);
                fault::pass(Point::CallLeft);
            }
        }
    }

    /// Waits for work; everything that is there, up to `max`, news first. `None`: stop.
    /// With a backlog the wait ends by itself: what was not committed is tried again.
    fn next_batch(&self, has_backlog: bool, max: usize) -> Option<Vec<(Command, Answer)>> {
        let mut queue = self.queue();
        loop {
            if !queue.news.is_empty() || !queue.clients.is_empty() {
                let news = queue.news.len().min(max);
                let mut batch: Vec<(Command, Answer)> =
                    queue.news.drain(..news).map(|command| (command, no_answer())).collect();
                let clients = queue.clients.len().min(max.saturating_sub(batch.len()));
                batch.extend(queue.clients.drain(..clients));
                return Some(batch);
            }
            if queue.is_stopping && self.calls() == 0 {
                return None;
            }
            let waited = self.shared.work.wait_timeout(queue, SWEEP_EVERY);
            queue = waited.expect("nothing panics while it holds the queue").0;
            if has_backlog && queue.news.is_empty() && queue.clients.is_empty() {
                return Some(Vec::new());
            }
        }
    }

    fn call(&self, instruction: Instruction) {
        let call = Call {
            engine: self.clone(),
            refund: instruction.refund,
            attempt: instruction.attempt,
            outcome: None,
        };
        self.shared.calls.fetch_add(1, Ordering::AcqRel);
        let on_outcome = Box::new(move |outcome| call.end(outcome));
        self.shared.psp.call(instruction, on_outcome);
    }

    fn run_sweep<S: Store>(&self, mut store: S) {
        while !self.queue().is_stopping {
            let now_ms = self.shared.clock.now_ms();
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
        self.engine.queue().is_stopping = true;
        self.engine.shared.work.notify_all();
        self.sweep.thread().unpark();
        for thread in [self.sweep, self.lane] {
            if thread.join().is_err() {
                tracing::error!("a thread of the engine ended by panicking");
            }
        }
    }
}
