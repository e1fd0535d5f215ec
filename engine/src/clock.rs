//! Time, from outside.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// Time as the engine needs it. The server's is the machine's; a simulation's is its own.
pub trait Clock: Send + Sync {
    /// Milliseconds since 1970-01-01 UTC.
    fn now_ms(&self) -> i64;

    /// Milliseconds since some moment, counted on whatever happens to the wall clock.
    fn steady_ms(&self) -> i64;

    /// The time that the nodes of one database share is this one now. Whoever has no such time ignores
    /// it.
    fn set_shared(&self, _now_ms: i64) {}
}

/// The database's time, carried on steadily from when it was last heard of: nodes agree on it, and it
/// does not matter what somebody does to their wall clocks. As long as no database tells the time it is
/// the wall clock's.
pub struct SharedClock {
    own: Arc<dyn Clock>,
    /// From the own steady time to the shared one; [`UNHEARD`] until it is heard of.
    ahead_ms: AtomicI64,
}

const UNHEARD: i64 = i64::MIN;

impl SharedClock {
    pub fn new(own: Arc<dyn Clock>) -> SharedClock {
        SharedClock { own, ahead_ms: AtomicI64::new(UNHEARD) }
    }
}

impl Clock for SharedClock {
    fn now_ms(&self) -> i64 {
        match self.ahead_ms.load(Ordering::Acquire) {
            UNHEARD => self.own.now_ms(),
            ahead_ms => self.own.steady_ms().saturating_add(ahead_ms),
        }
    }

    fn steady_ms(&self) -> i64 {
        self.own.steady_ms()
    }

    fn set_shared(&self, now_ms: i64) {
        let ahead_ms = now_ms.saturating_sub(self.own.steady_ms());
        self.ahead_ms.store(ahead_ms, Ordering::Release);
    }
}
