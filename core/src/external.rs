//! Refunds that were made at the PSP itself and are told of afterwards: in its dashboard, by another
//! program, by a server whose store was lost.
//!
//! Paid money cannot be denied, only shown: what fits is given back like any refund, the rest is the
//! capture's excess, an alarm. What is only promised yet is reserved where it fits, and refused until
//! it does or is paid.

use crate::decide::entries;
use crate::id::RefundId;
use crate::journal::Account;
use crate::money::Minor;
use crate::payment::{Leg, Payment};
use crate::refund::{Allocation, Refund, Status};
use crate::schedule;
use crate::settle::{Alarm, Change, Outcome, given_entries};

/// What is told of such a refund.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told<'a> {
    /// The id that it gets here.
    pub refund: RefundId,
    /// Above zero.
    pub amount: Minor,
    pub outcome: &'a Outcome,
    pub at_ms: i64,
}

/// Why it does not come on the books.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotBooked {
    /// It moved nothing: there is nothing to write down.
    MovedNothing,
    /// Nothing was captured here, so nothing could bear it.
    NotCaptured,
    /// It is not paid yet, and more than is left.
    DoesNotFit { left: Minor },
}

/// A refund of the payment method, with its journal entries.
pub fn external(payment: &Payment, told: &Told<'_>) -> Result<Change, NotBooked> {
    let status = match told.outcome {
        Outcome::Succeeded { .. } => Status::Succeeded,
        Outcome::Pending { .. } => Status::Pending,
        Outcome::RequiresAction { .. } => Status::RequiresAction,
        Outcome::Declined { .. }
        | Outcome::Failed { .. }
        | Outcome::Voided { .. }
        | Outcome::Unknown { .. }
        | Outcome::NotSent { .. }
        | Outcome::Unreached { .. }
        | Outcome::Absent => return Err(NotBooked::MovedNothing),
    };
    let leg = payment.primary();
    let left = leg.refundable();
    if leg.captured().is_zero() {
        return Err(NotBooked::NotCaptured);
    }
    if status.is_open() && told.amount > left {
        return Err(NotBooked::DoesNotFit { left });
    }
    let refund = Refund {
        id: told.refund,
        payment: payment.id(),
        leg: leg.id(),
        amount: told.amount,
        allocations: allocate(leg, told.amount),
        status,
        attempt: 0,
        sends: 0,
        looks: 0,
        next_action_at_ms: schedule::next_action_at(status, 0, told.at_ms),
        psp_refund: told.outcome.psp_refund().map(str::to_owned),
        fault: None,
    };
    let entries = match status.is_open() {
        true => entries(&refund.allocations, Account::Refundable, Account::Reserved),
        false => given_entries(payment, &refund),
    };
    let alarm = (told.amount > left).then_some(Alarm::Excess);
    Ok(Change { refund, entries, alarm })
}

/// Oldest capture first: what is refundable, then what is reserved and may yet come free, then
/// whatever is beyond, on the newest.
fn allocate(leg: &Leg, amount: Minor) -> Vec<Allocation> {
    let mut open = amount;
    let mut take = |room: Minor| {
        let part = room.min(open);
        open = open.checked_sub(part).expect("part is at most what is open");
        part
    };
    let captures = leg.captures().iter();
    let fits: Vec<Minor> = captures.clone().map(|c| take(c.balance.refundable())).collect();
    let held: Vec<Minor> = captures.clone().map(|c| take(c.balance.sums().reserved)).collect();
    let last = leg.captures().len().saturating_sub(1);
    let parts = captures.zip(fits).zip(held).enumerate().map(|(at, ((capture, fits), held))| {
        let beyond = if at == last { open } else { Minor::default() };
        let amount = Minor::checked_sum([fits, held, beyond]).expect("parts of one amount");
        Allocation { capture: capture.id, amount }
    });
    parts.filter(|part| !part.amount.is_zero()).collect()
}
