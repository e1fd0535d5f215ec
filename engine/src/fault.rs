//! Points at which a test may break the program: named, counted, and inert in releases.
//!
//! A point is passed all the time and does nothing, unless this is a build with debug assertions and
//! somebody armed it: then the process dies there as if it were killed, or what runs there panics ([`arm`], for
//! tests with the real program), or what is done there fails ([`fail_at`], for tests within one thread). A test that
//! armed a point and did not see it strike has tested nothing, and must fail.

/// A place in the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// Before a batch's transaction is begun.
    StoreBegin,
    /// Before a statement that reads within a batch or a registry call.
    StoreRead,
    /// Before a statement that writes.
    StoreWrite,
    /// All is written but the commit.
    StoreCommit,
    /// Committed, and nobody knows yet.
    StoreCommitted,
    /// Committed; nobody was answered.
    LaneAnswer,
    /// Committed and answered; no call has left.
    LaneAnswered,
    /// Before a call is handed to its connector.
    CallLeave,
    /// A call was handed to its connector.
    CallLeft,
    /// A connection to the PSP is there, and nothing was sent on it.
    CallConnected,
    /// The PSP has begun to answer.
    CallHead,
    /// The PSP's answer is here, and nobody has read it.
    CallAnswered,
    /// An outcome is here, and nowhere else.
    OutcomeHere,
    /// The sweep found refunds whose time has come.
    SweepFound,
    /// Recovery found refunds that were under way.
    RecoveryFound,
    /// What was asked for is done, and is about to be read for its answer.
    ReadBack,
    /// The answer to a client is made, and nothing of it was sent.
    ClientAnswer,
    /// What PSPs told is claimed to be worked on.
    InboxClaimed,
    /// A PSP's list is claimed to be read.
    ListClaimed,
    /// Events are claimed to be told to a merchant.
    OutboxClaimed,
    /// A merchant has confirmed an event, and it is not noted.
    OutboxTold,
    /// Before a migration's statements.
    Migration,
    /// Migrated, and not committed.
    Migrated,
}

impl Point {
    /// Every point with its name.
    pub const LISTED: [(Point, &'static str); 23] = [
        (Point::StoreBegin, "store.begin"),
        (Point::StoreRead, "store.read"),
        (Point::StoreWrite, "store.write"),
        (Point::StoreCommit, "store.commit"),
        (Point::StoreCommitted, "store.committed"),
        (Point::LaneAnswer, "lane.answer"),
        (Point::LaneAnswered, "lane.answered"),
        (Point::CallLeave, "call.leave"),
        (Point::CallLeft, "call.left"),
        (Point::CallConnected, "call.connected"),
        (Point::CallHead, "call.head"),
        (Point::CallAnswered, "call.answered"),
        (Point::OutcomeHere, "outcome.here"),
        (Point::SweepFound, "sweep.found"),
        (Point::RecoveryFound, "recovery.found"),
        (Point::ReadBack, "read.back"),
        (Point::ClientAnswer, "client.answer"),
        (Point::InboxClaimed, "inbox.claimed"),
        (Point::ListClaimed, "list.claimed"),
        (Point::OutboxClaimed, "outbox.claimed"),
        (Point::OutboxTold, "outbox.told"),
        (Point::Migration, "migration"),
        (Point::Migrated, "migrated"),
    ];
}

/// What was to be done failed, because a test wanted it to.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a test broke it at {0:?}")]
pub struct Struck(pub Point);

#[cfg(debug_assertions)]
pub use armed::{arm, break_at, fail_at, passed};

/// Passes a point at which nothing can fail: the process goes on or dies.
#[inline]
pub fn pass(point: Point) {
    #[cfg(debug_assertions)]
    armed::die_if_armed(point);
    #[cfg(not(debug_assertions))]
    let _unused = point;
}

/// Passes a point at which something can fail.
#[inline]
pub fn attempt(point: Point) -> Result<(), Struck> {
    pass(point);
    #[cfg(debug_assertions)]
    armed::fail_if_armed(point)?;
    Ok(())
}

#[cfg(debug_assertions)]
mod armed {
    use std::cell::Cell;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::{Point, Struck};

    /// The point at which this process dies, or a part of it panics, and how often it is passed before.
    static DEATH: OnceLock<(Point, AtomicU64, How)> = OnceLock::new();

    /// What becomes of whoever passes the point.
    #[derive(Clone, Copy, PartialEq, Eq)]
    enum How {
        Dies,
        Panics,
    }

    thread_local! {
        /// How many fallible points this thread passed, and at which of them it fails.
        static FALLIBLE: Cell<(u64, Option<u64>)> = const { Cell::new((0, None)) };
        /// The point at which this thread fails whenever it passes it.
        static BROKEN: Cell<Option<Point>> = const { Cell::new(None) };
    }

    /// Arms one point of this process, once: `store.commit:3` dies when it is passed the third time,
    /// `outbox.claimed:1:panic` panics. `None`: there is no such point, or one is armed already.
    pub fn arm(text: &str) -> Option<()> {
        let (text, how) = match text.strip_suffix(":panic") {
            Some(text) => (text, How::Panics),
            None => (text, How::Dies),
        };
        let (name, times) = text.split_once(':')?;
        let (point, _) = Point::LISTED.iter().find(|(_, listed)| *listed == name)?;
        let times: u64 = times.parse().ok().filter(|times| *times > 0)?;
        DEATH.set((*point, AtomicU64::new(times), how)).ok()
    }

    pub(super) fn die_if_armed(point: Point) {
        let Some((_, left, how)) = DEATH.get().filter(|(armed, ..)| *armed == point) else {
            return;
        };
        if left.fetch_sub(1, Ordering::AcqRel) == 1 {
            assert!(*how == How::Dies, "a test made it panic at {point:?}");
            // Nothing is finished and nobody is told, as when the process is killed.
            std::process::abort();
        }
    }

    /// From now on the so-manieth fallible point that this thread passes fails, once; `None`: none.
    pub fn fail_at(number: Option<u64>) {
        FALLIBLE.set((0, number));
    }

    /// From now on this thread fails whenever it passes `point`; `None`: nowhere.
    pub fn break_at(point: Option<Point>) {
        BROKEN.set(point);
    }

    /// How many fallible points this thread has passed since [`fail_at`].
    pub fn passed() -> u64 {
        FALLIBLE.get().0
    }

    pub(super) fn fail_if_armed(point: Point) -> Result<(), Struck> {
        let (passed, fails_at) = FALLIBLE.get();
        let passed = passed.saturating_add(1);
        FALLIBLE.set((passed, fails_at));
        let strikes = fails_at == Some(passed) || BROKEN.get() == Some(point);
        if strikes { Err(Struck(point)) } else { Ok(()) }
    }
}
