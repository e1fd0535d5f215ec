//! When an open refund is looked at again: dense at first, then ever rarer, never never.
//!
//! All times are milliseconds. The schedules are data so that a test, a page and a person read the
//! same thing.

use crate::refund::{Refund, Status};

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60_000;
const HOUR: i64 = 3_600_000;

/// After an answer was lost: look up at these distances, then every last one.
pub const UNKNOWN: [i64; 11] =
    [SECOND, 2_000, 4_000, 8_000, 15_000, 30_000, MINUTE, 300_000, 900_000, HOUR, 21_600_000];

/// While the PSP has it: poll at these distances, then every last one.
pub const PENDING: [i64; 6] = [SECOND, 5_000, 30_000, 300_000, HOUR, 21_600_000];

/// When an open refund becomes a matter for people: so long after its outcome was first unknown (when the
/// dense part of [`UNKNOWN`] is over), after it was sent and is still pending, after it was accepted and
/// could not be sent. Who must do something is asked at once.
pub const PEOPLE_UNKNOWN: i64 = 1_320_000;
pub const PEOPLE_PENDING: i64 = 864_000_000;
pub const PEOPLE_UNSENT: i64 = HOUR;

/// How long a committed attempt may stay without an outcome before it counts as lost, at most: who
/// makes the calls knows when they are over, and says so. Longer than any call's own deadline, so that in
/// a living process the outcome always comes first.
pub const DISPATCH_GRACE: i64 = 60_000;

/// Nothing is ever scheduled farther away than this: the longest wait of any schedule, and an hour for
/// clocks that differ. What stands farther away in a store was written while the clock was ahead.
pub const FARTHEST: i64 = 7 * HOUR;

/// Has this time come? Also when it lies farther away than anything is scheduled: the clock was set
/// back, and nobody may wait for money until it catches up.
pub fn is_due(next_action_at_ms: i64, now_ms: i64) -> bool {
    next_action_at_ms <= now_ms || next_action_at_ms > now_ms.saturating_add(FARTHEST)
}

/// Distance from a call that was not sent to the next one. `sends` counts the calls so far, at least 1:
/// ten in the first hour.
pub fn after_not_sent(sends: u32) -> i64 {
    wait(&UNKNOWN, sends.saturating_sub(1))
}

/// Longest wait after a call that did not reach its PSP: nobody was bothered by it, and who is reachable
/// again should hear of every refund soon.
pub const UNREACHED_MAX: i64 = 5 * MINUTE;

/// Distance from a call that did not reach its PSP to the next one. `calls` counts the refund's calls of
/// any kind so far, at least 1; `retry_after_ms` is how long the way stays shut at least.
pub fn after_unreached(calls: u32, retry_after_ms: i64) -> i64 {
    wait(&UNKNOWN, calls.saturating_sub(1)).min(UNREACHED_MAX).max(retry_after_ms)
}

/// Distance from a look-up that the PSP turned away to the next one: as scheduled, which would be
/// `scheduled` from now, and not before it may ask again. Where the schedule has become sparse and the
/// PSP names a time, that time: at most ten times an hour.
pub fn after_turned_away(scheduled: i64, retry_after_ms: i64) -> i64 {
    let least = if scheduled > HOUR && retry_after_ms > 0 { HOUR / 10 } else { scheduled };
    least.max(retry_after_ms)
}

/// Distance from the proof that the PSP has nothing to the next call: at once the first time, then ever
/// longer, so that a PSP which fails each call hears of a refund ten times in the first hour, look-ups
/// included.
pub fn after_absent(sends: u32) -> i64 {
    match sends {
        0 | 1 => 0,
        more => wait(&UNKNOWN, more.saturating_mul(2).saturating_sub(1)),
    }
}

/// Shortest distance between look-ups that requests make out of turn, where the schedule is sparse: ten
/// an hour.
pub const OUT_OF_TURN_MIN: i64 = HOUR / 10;

/// May a refund be looked up out of turn, because what it holds stands in the way of a request? Only
/// while it is unknown; when half of its wait is over, or [`OUT_OF_TURN_MIN`] of it. The look-up takes
/// the next scheduled one's place, so a PSP hears of a refund ten times in its first hour all the same:
/// the hour's last wait is left alone. What was put off to another time than its schedule's (its PSP wants
/// to be left alone, the way there is shut: an hour at most) keeps that time.
///
/// `age_ms` is how long ago the refund was accepted.
pub fn may_be_asked(refund: &Refund, age_ms: i64, now_ms: i64) -> bool {
    let next = refund.next_action_at_ms.filter(|_| refund.status == Status::Unknown);
    let Some(left) = next.map(|next| next.saturating_sub(now_ms)) else {
        return false;
    };
    let wait = wait(&UNKNOWN, refund.looks);
    if wait <= UNREACHED_MAX {
        return left.saturating_mul(2) <= wait;
    }
    let put_off_max = if wait > HOUR { HOUR } else { OUT_OF_TURN_MIN };
    let is_young = wait >= HOUR && age_ms < HOUR;
    !is_young && left > put_off_max && wait.saturating_sub(left) >= OUT_OF_TURN_MIN
}

/// The last entry of a schedule repeats for ever.
fn wait(schedule: &[i64], looks: u32) -> i64 {
    let at = usize::try_from(looks).unwrap_or(usize::MAX);
    let last = schedule.last().copied().unwrap_or(HOUR);
    schedule.get(at).copied().unwrap_or(last)
}

/// The next action time for a refund in `status` after `looks` look-ups, or `None` when closed.
pub fn next_action_at(status: Status, looks: u32, now_ms: i64) -> Option<i64> {
    let distance = match status {
        Status::Requested | Status::Ready => 0,
        Status::Dispatched => DISPATCH_GRACE,
        Status::Unknown => wait(&UNKNOWN, looks),
        Status::Pending | Status::RequiresAction => wait(&PENDING, looks),
        // Decided by people; looked at hourly so that none is forgotten.
        Status::AwaitingApproval | Status::Held => HOUR,
        Status::Succeeded
        | Status::Declined
        | Status::Failed
        | Status::Voided
        | Status::Reversed => return None,
    };
    Some(now_ms.saturating_add(distance))
}

/// What to do with a refund whose time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send it to the PSP, with the key it has for ever.
    Send,
    /// Ask the PSP what became of it. Never resend without an answer to this.
    LookUp,
    /// Nothing but to look again later.
    Wait,
}

/// Pure: the same refund always wants the same step.
pub fn step(refund: &Refund) -> Step {
    match refund.status {
        Status::Requested | Status::Ready => Step::Send,
        Status::Dispatched | Status::Unknown | Status::Pending | Status::RequiresAction => {
            Step::LookUp
        }
        Status::AwaitingApproval
        | Status::Held
        | Status::Succeeded
        | Status::Declined
        | Status::Failed
        | Status::Voided
        | Status::Reversed => Step::Wait,
    }
}
