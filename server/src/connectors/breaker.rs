//! Leaves a PSP alone that does not answer: calls in a row without an answer open the breaker for a while,
//! each time twice as long.
//!
//! Calls that were under way when it opened tell of the same outage: what becomes of them counts only if
//! it is good. When the time is over one call goes first, and the others wait for what becomes of it.

use std::time::Duration;

use tokio::time::Instant;

/// Calls in a row without an answer, after which the breaker opens.
const FAILURES_MAX: u32 = 5;
/// How long it stays open at most.
const PAUSE_MAX: Duration = Duration::from_secs(60);

#[derive(Default)]
pub(crate) struct Breaker {
    failures: u32,
    /// Pauses so far without a good call in between.
    pauses: u32,
    open_until: Option<Instant>,
}

impl Breaker {
    /// How long calls are still held back. `None`: this one may go.
    pub(crate) fn held_back(&mut self, now: Instant) -> Option<Duration> {
        let left = self.open_until?.saturating_duration_since(now);
        if left.is_zero() {
            self.open(now);
            return None;
        }
        Some(left)
    }

    /// A call was answered.
    pub(crate) fn good(&mut self) {
        *self = Breaker::default();
    }

    /// A call was not answered. The pause that begins, if one does.
    pub(crate) fn bad(&mut self, now: Instant) -> Option<Duration> {
        if self.open_until.is_some() {
            return None;
        }
        self.failures = self.failures.saturating_add(1);
        (self.failures >= FAILURES_MAX).then(|| self.open(now))
    }

    /// One second, then twice as long each time.
    fn open(&mut self, now: Instant) -> Duration {
        let seconds = 1_u64.checked_shl(self.pauses).unwrap_or(u64::MAX);
        let pause = Duration::from_secs(seconds).min(PAUSE_MAX);
        self.pauses = self.pauses.saturating_add(1);
        self.open_until = Some(now + pause);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn opened(now: Instant) -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 1..FAILURES_MAX {
            assert_eq!(breaker.bad(now), None);
            assert_eq!(breaker.held_back(now), None, "a few failures are no outage");
        }
        assert_eq!(breaker.bad(now), Some(SECOND));
        breaker
    }

    #[test]
    fn an_outage_met_by_many_calls_at_once_is_one_outage() {
        let now = Instant::now();
        let mut breaker = opened(now);
        for _ in 0..100 {
            assert_eq!(breaker.bad(now), None);
        }
        assert_eq!(breaker.held_back(now), Some(SECOND));
    }

    #[test]
    fn each_call_that_goes_first_in_vain_doubles_the_pause_up_to_a_limit() {
        let mut now = Instant::now();
        let mut breaker = opened(now);
        for seconds in [2, 4, 8, 16, 32, 60, 60] {
            now += breaker.held_back(now).expect("it is open");
            assert_eq!(breaker.held_back(now), None, "one call goes first");
            assert_eq!(breaker.held_back(now), Some(Duration::from_secs(seconds)));
            assert_eq!(breaker.bad(now), None);
        }
    }

    #[test]
    fn a_good_call_closes_it_and_forgets() {
        let now = Instant::now();
        let mut breaker = opened(now);
        breaker.good();
        assert_eq!(breaker.held_back(now), None);
        opened(now);
    }
}
