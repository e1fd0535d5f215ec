//! What the parties of one connection tell each other: the wire (which heads it let through), the
//! service (which requests it saw, which answers are done) and the accept loop (leave, please).

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use tokio::time::Instant;

/// Why a connection that waits for a request should end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaving {
    /// The server stops: answer what has arrived, then end.
    Stop,
    /// Others need the place: end now, unless a whole request is there.
    MakeRoom,
}

#[derive(Debug, Default)]
struct State {
    heads_passed: u64,
    requests_seen: u64,
    is_answered: bool,
    leaving: Option<Leaving>,
    waiting_since: Option<Instant>,
    reader: Option<Waker>,
}

/// Shared by the parties of one connection.
#[derive(Debug, Default)]
pub(super) struct Flow(Mutex<State>);

impl Flow {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing below can panic half-way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The wire waits for a request since `now`. A body that is still arriving is waited for too:
    /// until a body is whole, no face has acted on it.
    pub(super) fn wait(&self, now: Instant) {
        self.state().waiting_since = Some(now);
    }

    pub(super) fn waiting_since(&self) -> Option<Instant> {
        self.state().waiting_since
    }

    /// The wire lets a checked head through, and waits for its body since `body_since`.
    pub(super) fn pass_head(&self, body_since: Option<Instant>) {
        let mut state = self.state();
        state.heads_passed += 1;
        state.waiting_since = body_since;
        state.is_answered = false;
    }

    pub(super) fn body_complete(&self) {
        self.state().waiting_since = None;
    }

    /// The service saw a request. False when no checked head stands behind it: then two parsers
    /// disagreed about where a request ends, and it must not be served.
    pub(super) fn claim_head(&self) -> bool {
        let mut state = self.state();
        state.requests_seen += 1;
        state.requests_seen <= state.heads_passed
    }

    /// All of the answer was handed to hyper.
    pub(super) fn answer_done(&self) {
        self.state().is_answered = true;
    }

    pub(super) fn is_answered(&self) -> bool {
        self.state().is_answered
    }

    pub(super) fn leaving(&self) -> Option<Leaving> {
        self.state().leaving
    }

    /// Asks the connection to end, and wakes it. Stopping is stronger than making room.
    pub(super) fn leave(&self, why: Leaving) {
        let mut state = self.state();
        if state.leaving != Some(Leaving::Stop) {
            state.leaving = Some(why);
        }
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Wakes this reader at the next [`Flow::leave`] or [`Flow::wake_reader`].
    pub(super) fn reader_waits(&self, reader: &Waker) {
        let mut state = self.state();
        match &state.reader {
            Some(known) if known.will_wake(reader) => {}
            _ => state.reader = Some(reader.clone()),
        }
    }

    pub(super) fn wake_reader(&self) {
        let reader = self.state().reader.take();
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}
