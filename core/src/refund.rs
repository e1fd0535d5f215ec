//! A refund, the states it can be in and the moves between them.
//!
//! Invariants:
//! - Open states hold the money; `succeeded` counts as given back; every other state frees it.
//! - Money leaves `unknown` only with evidence: an answer, a look-up, a notice, or an operator's word.
//! - A refund's allocations sum to its amount.

use crate::id::{CaptureId, LegId, PaymentId, RefundId};
use crate::money::Minor;

/// Where a refund stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Status {
    /// Accepted and reserved.
    Requested,
    /// A rule wants a second person.
    AwaitingApproval,
    /// Waits before it may be sent: undo window, schedule, funds.
    Held,
    /// May be sent.
    Ready,
    /// An attempt is committed; the call is under way.
    Dispatched,
    /// The call ended without proof. Money may have moved.
    Unknown,
    /// The PSP has it.
    Pending,
    /// Customer or operator must do something.
    RequiresAction,
    /// The PSP confirms.
    Succeeded,
    /// PSP or bank said no.
    Declined,
    /// Proven not to have happened.
    Failed,
    /// Cancelled before or at the PSP.
    Voided,
    /// Failed after success: the money came back.
    Reversed,
}

impl Status {
    /// Every status with the number it is stored under and its word. Numbers and words are for ever.
    pub const LISTED: [(Status, u8, &'static str); 13] = [
        (Status::Requested, 1, "requested"),
        (Status::AwaitingApproval, 2, "awaiting_approval"),
        (Status::Held, 3, "held"),
        (Status::Ready, 4, "ready"),
        (Status::Dispatched, 5, "dispatched"),
        (Status::Unknown, 6, "unknown"),
        (Status::Pending, 7, "pending"),
        (Status::RequiresAction, 8, "requires_action"),
        (Status::Succeeded, 9, "succeeded"),
        (Status::Declined, 10, "declined"),
        (Status::Failed, 11, "failed"),
        (Status::Voided, 12, "voided"),
        (Status::Reversed, 13, "reversed"),
    ];

    pub fn number(self) -> u8 {
        Status::row(|(status, _, _)| *status == self).1
    }

    /// The word shown to people and in the native API.
    pub fn word(self) -> &'static str {
        Status::row(|(status, _, _)| *status == self).2
    }

    pub fn from_number(number: u8) -> Option<Status> {
        Status::LISTED.iter().find(|row| row.1 == number).map(|row| row.0)
    }

    pub fn from_word(word: &str) -> Option<Status> {
        Status::LISTED.iter().find(|row| row.2 == word).map(|row| row.0)
    }

    fn row(is_it: impl Fn(&&(Status, u8, &'static str)) -> bool) -> (Status, u8, &'static str) {
        *Status::LISTED.iter().find(is_it).expect("LISTED has every status")
    }

    /// Open: the money is reserved and something must still happen.
    pub fn is_open(self) -> bool {
        match self {
            Status::Requested
            | Status::AwaitingApproval
            | Status::Held
            | Status::Ready
            | Status::Dispatched
            | Status::Unknown
            | Status::Pending
            | Status::RequiresAction => true,
            Status::Succeeded
            | Status::Declined
            | Status::Failed
            | Status::Voided
            | Status::Reversed => false,
        }
    }

    /// Counts against what may be given back: open, or given back.
    pub fn holds_money(self) -> bool {
        self.is_open() || self == Status::Succeeded
    }

    /// May a refund move from `self` to `to`? `Succeeded` is reachable from the closed states as
    /// well: paid money cannot be denied; [`crate::settle`] books it and raises an alarm.
    pub fn may_become(self, to: Status) -> bool {
        use Status::{
            AwaitingApproval, Declined, Dispatched, Failed, Held, Pending, Ready, Requested,
            RequiresAction, Reversed, Succeeded, Unknown, Voided,
        };
        let allowed: &[Status] = match self {
            Requested => &[AwaitingApproval, Held, Ready, Voided],
            AwaitingApproval => &[Held, Ready, Voided],
            Held => &[Ready, Voided],
            // Once more than it was told may come of a call that was not sent.
            Ready => {
                &[Dispatched, Pending, Succeeded, Declined, Failed, RequiresAction, Unknown, Voided]
            }
            Dispatched => {
                &[Pending, Succeeded, Declined, Failed, RequiresAction, Unknown, Ready, Voided]
            }
            Unknown => &[Pending, Succeeded, Declined, Failed, RequiresAction, Voided, Ready],
            Pending => &[Succeeded, Declined, Failed, RequiresAction, Voided, Unknown],
            RequiresAction => &[Pending, Succeeded, Declined, Failed, Voided, Unknown],
            Succeeded => &[Reversed],
            Declined | Failed | Voided | Reversed => &[Succeeded],
        };
        allowed.contains(&to)
    }
}

/// A part of a refund that one capture bears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allocation {
    pub capture: CaptureId,
    /// Above zero.
    pub amount: Minor,
}

/// What the PSP, or the way to it, complained of. Texts are the PSP's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fault {
    pub code: String,
    pub text: String,
}

/// A refund as the rules see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refund {
    pub id: RefundId,
    pub payment: PaymentId,
    pub leg: LegId,
    /// Above zero.
    pub amount: Minor,
    pub allocations: Vec<Allocation>,
    pub status: Status,
    /// Number of the newest call to the PSP of any kind, counted from 1; 0 before the first.
    pub attempt: u32,
    /// How many of the calls asked for the refund; the others were look-ups.
    pub sends: u32,
    /// Look-ups since the last change of status; the schedules count by it.
    pub looks: u32,
    /// When something must happen next, in ms since 1970: set exactly while the refund is open.
    pub next_action_at_ms: Option<i64>,
    pub psp_refund: Option<String>,
    pub fault: Option<Fault>,
}
