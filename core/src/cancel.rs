//! May a refund be cancelled at its PSP, and what does asking for that change?
//!
//! - Only what a PSP has and has not paid can be cancelled there, and of that only what the PSP lets:
//!   [`cancel`] is told in which statuses it does.
//! - Asking frees no money. What the PSP says then is settled like every other answer, and only its word
//!   that the refund is cancelled makes it `voided`.
//! - A question that was lost proves nothing: the refund stays as it was and is looked up.

use crate::refund::{Refund, Status};
use crate::schedule;
use crate::settle::Change;

/// Why a refund is not cancelled. Listed in the order in which it is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotCancellable {
    /// It stands where nothing is to be cancelled, or its PSP cancels nothing.
    Status(Status),
    /// The PSP has not said what it calls it, so it cannot be told which is meant.
    Nameless,
}

/// Asks the PSP to cancel a refund. `cancels`: the statuses in which it does. The attempt is part of the
/// change, and committed before the call.
pub fn cancel(refund: &Refund, cancels: &[Status], at_ms: i64) -> Result<Change, NotCancellable> {
    let is_there = matches!(refund.status, Status::Pending | Status::RequiresAction);
    if !is_there || !cancels.contains(&refund.status) {
        return Err(NotCancellable::Status(refund.status));
    }
    if refund.psp_refund.is_none() {
        return Err(NotCancellable::Nameless);
    }
    let refund = Refund {
        attempt: refund.attempt.saturating_add(1),
        // It is news to look for: should the answer be lost, it is looked up soon.
        looks: 0,
        // While this call is under way nothing else is due; its outcome sets the next time.
        next_action_at_ms: schedule::next_action_at(Status::Dispatched, 0, at_ms),
        ..refund.clone()
    };
    Ok(Change { refund, entries: Vec::new(), alarm: None })
}
