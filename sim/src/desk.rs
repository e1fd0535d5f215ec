//! Where answers arrive, and who waits for which.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use requite_engine::command::{Answer, CommandError, RefundRef, RefundRequest, Reply, Wait};

use crate::disk::{SharedTap, tap};
use crate::model::{Expected, Verdict};

pub type Result_ = Result<Reply, CommandError>;

/// Answers as they come in during one step.
#[derive(Debug, Default)]
pub struct Inbox {
    pub heard: Vec<(u64, Result_)>,
    /// The process dies after this many answers of the step.
    pub dies_after: Option<usize>,
    /// Answers that were dropped uncalled.
    pub dropped: Vec<u64>,
}

pub type SharedInbox = Arc<Mutex<Inbox>>;

/// A client that waits.
#[derive(Clone, Debug, Default)]
pub struct Ticket {
    pub request: Option<Box<RefundRequest>>,
    /// What must have become of it; `None` until it was committed.
    pub expected: Option<Expected>,
    /// The store failed: so must the answer say.
    pub has_failed: bool,
    /// The store failed when its time was over: so may the answer say, unless an outcome came first.
    pub may_be_sent_away: bool,
    pub expires_at_ms: Option<i64>,
    /// Taken by the lane, and waiting for an outcome.
    pub is_taken: bool,
    /// A notice's message in the inbox.
    pub message: Option<u64>,
    /// Which of the PSP's refunds a notice is about.
    pub at_psp: Option<usize>,
    /// The refund that somebody wants cancelled.
    pub cancels: Option<RefundRef>,
    /// A question on behalf of a refund that waits for it, which is then decided.
    pub doubted: Option<Doubted>,
    /// It was proposed first, and what was unknown was asked after.
    pub is_decided_after_doubt: bool,
}

/// A refund that is in doubt, and until when it waits for clarity.
#[derive(Clone, Debug)]
pub struct Doubted {
    pub request: Box<RefundRequest>,
    pub until_ms: i64,
}

impl Ticket {
    /// May it be answered later than by the step that took it?
    pub fn may_wait(&self) -> bool {
        match &self.expected {
            Some(Expected::Heard(_) | Expected::Clarifies(_) | Expected::CancelAsked(_)) => {
                !self.has_failed
            }
            _ => {
                let waits = self.request.as_ref().is_some_and(|r| r.wait == Wait::Outcome);
                waits && !self.has_failed && self.awaits().is_some()
            }
        }
    }

    /// The refund that it is about, for whoever has waited long enough.
    pub fn refund(&self) -> Option<RefundRef> {
        let asked = self.request.as_ref().map(|request| RefundRef {
            merchant: request.merchant,
            payment: request.payment,
            refund: request.ask.refund,
        });
        asked.or(self.cancels)
    }

    /// When its patience is over.
    pub fn ends_at_ms(&self) -> Option<i64> {
        self.expires_at_ms.or_else(|| Some(self.doubted.as_ref()?.until_ms))
    }

    /// The refund whose outcome it waits for.
    pub fn awaits(&self) -> Option<RefundRef> {
        if let Some(Expected::CancelAsked(refund)) = &self.expected {
            return Some(*refund);
        }
        let request = self.request.as_ref()?;
        match self.expected.as_ref()? {
            Expected::Refund(Verdict::Accept) => Some(RefundRef {
                merchant: request.merchant,
                payment: request.payment,
                refund: request.ask.refund,
            }),
            Expected::Refund(Verdict::Repeat(refund)) => Some(*refund),
            Expected::Refund(Verdict::Either(joined, _)) => match joined.as_ref() {
                Verdict::Repeat(refund) => Some(*refund),
                _ => None,
            },
            _ => None,
        }
    }
}

pub type Tickets = BTreeMap<u64, Ticket>;

/// The answer for a ticket. A dead process answers nobody.
pub fn answer(number: u64, inbox: &SharedInbox, shared: &SharedTap) -> Answer {
    let mut slip = Slip { number, inbox: Arc::clone(inbox), is_used: false };
    let shared = Arc::clone(shared);
    Box::new(move |result| {
        slip.is_used = true;
        let mut inbox = slip.inbox.lock().expect("one thread runs a simulation");
        let mut tap = tap(&shared);
        if tap.is_dead {
            return;
        }
        if inbox.dies_after == Some(inbox.heard.len()) {
            tap.is_dead = true;
            return;
        }
        inbox.heard.push((slip.number, result));
    })
}

struct Slip {
    number: u64,
    inbox: SharedInbox,
    is_used: bool,
}

impl Drop for Slip {
    fn drop(&mut self) {
        if !self.is_used {
            let mut inbox = self.inbox.lock().expect("one thread runs a simulation");
            inbox.dropped.push(self.number);
        }
    }
}
