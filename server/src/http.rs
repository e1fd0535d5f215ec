//! The way in from the network: everything between an accepted socket and a face's router.
//!
//! A connection passes four stations, and each knows only its own:
//!
//! 1. [`accept`] takes connections, holds their number under a cap and ends them when the server stops.
//! 2. [`wire`] sits between the socket and hyper. It reads each request's head to its end, checks it
//!    ([`head`]), and only then lets it through, together with exactly the body bytes that belong to it.
//!    It owns every time limit on the socket.
//! 3. [`layers`] gives a request its id and its log line, turns a panic into an answer, refuses paths
//!    that cannot be decoded.
//! 4. [`body`] reads a body for a face, within a size.
//!
//! Invariants:
//! - One checked head, one request: a request that hyper sees without a head that passed the check is
//!   answered 400 and never reaches a face. Two requests are never seen in one.
//! - The next request of a connection is not looked at before the answer to the one before is written.
//!   So a client that leaves, or sends nonsense next, cannot take back what it has asked: the handler
//!   runs to its end.
//! - Every wait has a limit in [`Limits`]; a silent, slow or greedy client costs a bounded amount.
//! - Nothing here knows a face. What a face must spell in its own shape, it renders itself.
//!
//! Start at [`serve`].

use std::time::Duration;

mod accept;
mod body;
mod chunks;
mod flow;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod head;
mod layers;
#[cfg(test)]
mod tests;
mod wire;

#[cfg(test)]
use accept::Stopped;
pub(crate) use accept::serve;
pub(crate) use body::{BodyFault, Codings, read_body};
pub(crate) use layers::{RequestId, check_path, guard, with_request_ids};

/// The largest body of a refund route, in bytes (decision A9).
pub(crate) const REFUND_BODY_MAX: usize = 64 * 1024;

/// The largest head of a request, in bytes: an id of 10 kB in the path still gets its face's 404.
pub(crate) const HEAD_MAX: usize = 32 * 1024;

/// The most fields in a request's head.
pub(crate) const FIELDS_MAX: usize = 100;

/// The most connections at once, where the system allows that many open files.
pub(crate) const CONNECTIONS_MAX: usize = 8192;

/// How long accepted requests may take to finish once the server stops.
pub(crate) const DRAIN_MAX: Duration = Duration::from_secs(30);

/// Files kept back from connections, for the store, calls to PSPs and the rest of the process.
const FILES_RESERVED: usize = 128;

/// Every limit on connections. The defaults are for production; tests shorten them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Connections at once. One more makes room by closing those that have waited longest
    /// for (the rest of) a request, if any has waited `shed_after`; otherwise it gets 503 and is closed.
    pub(crate) connections_max: usize,
    /// How long a connection must have waited for a request before it may be closed to make room.
    pub(crate) shed_after: Duration,
    /// From accepting a connection to its first byte.
    pub(crate) first_byte_max: Duration,
    /// From the first byte of a head (of the first head: from accepting) to its end.
    pub(crate) head_max: Duration,
    /// From an answer to the first byte of the next request.
    pub(crate) idle_max: Duration,
    /// From the end of the head to the end of the body.
    pub(crate) body_max: Duration,
    /// How long a client may take nothing of an answer that is being written.
    pub(crate) write_stall_max: Duration,
    /// From the stop to the end of the last accepted request; what is left then is cut off.
    pub(crate) drain_max: Duration,
    /// How long to read on after an answer that closes with input unread, so that the answer
    /// arrives: closing with unread input resets the connection and may destroy the answer.
    pub(crate) linger_max: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections_max: CONNECTIONS_MAX,
            shed_after: Duration::from_millis(20),
            first_byte_max: Duration::from_secs(10),
            head_max: Duration::from_secs(10),
            idle_max: Duration::from_secs(60),
            body_max: Duration::from_secs(30),
            write_stall_max: Duration::from_secs(30),
            drain_max: DRAIN_MAX,
            linger_max: Duration::from_secs(1),
        }
    }
}

impl Limits {
    /// The defaults, with the connection cap lowered to what the open-file limit of this process
    /// leaves (read from `/proc/self/limits`; where there is none, the default stands).
    pub(crate) fn for_this_process() -> Limits {
        let mut limits = Limits::default();
        if let Some(files) = open_files_max() {
            let free = files.saturating_sub(FILES_RESERVED).max(64);
            limits.connections_max = limits.connections_max.min(free);
        }
        limits
    }
}

fn open_files_max() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = text.lines().find(|line| line.starts_with("Max open files"))?;
    line["Max open files".len()..].split_whitespace().next()?.parse().ok()
}
