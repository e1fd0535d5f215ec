//! Time, from outside.

/// Wall-clock time. The server's is the machine's; a simulation's is its own.
pub trait Clock: Send + Sync {
    /// Milliseconds since 1970-01-01 UTC.
    fn now_ms(&self) -> i64;
}
