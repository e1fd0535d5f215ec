//! What an outcome changes: a PSP's answer, a look-up's finding, a notice that is believed.
//!
//! Invariants:
//! - Nothing frees or pays money without proof: `Unknown` holds it, only `Absent` from a look-up
//!   allows another try, and that try has the same key.
//! - What a PSP says of another refund of its own than the one we know says nothing about ours.
//! - A success is never lost. One that comes after the refund was closed is booked, and an alarm
//!   raised.
//! - While a capture has excess, nothing of it is refundable: money that comes free covers excess first.

use crate::decide::entries;
use crate::journal::{Account, Entry};
use crate::money::Minor;
use crate::payment::Payment;
use crate::refund::{Allocation, Fault, Refund, Status};
use crate::schedule::{self, Step};

impl Outcome {
    /// The word it is recorded under.
    pub fn word(&self) -> &'static str {
        match self {
            Outcome::Succeeded { .. } => "succeeded",
            Outcome::Pending { .. } => "pending",
            Outcome::RequiresAction { .. } => "requires_action",
            Outcome::Declined { .. } => "declined",
            Outcome::Failed { .. } => "failed",
            Outcome::Voided { .. } => "voided",
            Outcome::Unknown { .. } => "unknown",
            Outcome::NotSent { .. } => "not_sent",
            Outcome::Unreached { .. } => "unreached",
            Outcome::Absent => "absent",
        }
    }
}

/// What became of one call to a PSP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Succeeded {
        psp_refund: Option<String>,
    },
    /// The PSP has it and will say more.
    Pending {
        psp_refund: Option<String>,
    },
    /// Customer or operator must act before it goes on.
    RequiresAction {
        psp_refund: Option<String>,
    },
    /// The PSP or the bank said no.
    Declined {
        psp_refund: Option<String>,
        fault: Fault,
    },
    /// Proven that no money moved: refused before it was sent, or the PSP says so.
    Failed {
        fault: Fault,
    },
    /// Cancelled at the PSP before it moved money.
    Voided {
        psp_refund: Option<String>,
        fault: Fault,
    },
    /// No proof either way.
    Unknown {
        fault: Fault,
    },
    /// The PSP turned the call away and did nothing with it, and another may fare better: too many
    /// calls at once, a credential that is being replaced. It is made again with the same key. A
    /// look-up that was turned away proves nothing.
    NotSent {
        fault: Fault,
        /// How long the PSP wants to be left alone, at least.
        retry_after_ms: i64,
    },
    /// The call did not get as far as the PSP: no connection, its account is busy, its breaker is open.
    /// Nobody was bothered, so of the waits between look-ups none is used up.
    Unreached {
        fault: Fault,
        /// How long the way stays shut, at least.
        retry_after_ms: i64,
    },
    /// A look-up found that the PSP has nothing under this refund's key.
    Absent,
}

impl Outcome {
    /// The PSP's id of the refund, where it says one.
    pub fn psp_refund(&self) -> Option<&str> {
        match self {
            Outcome::Succeeded { psp_refund }
            | Outcome::Pending { psp_refund }
            | Outcome::RequiresAction { psp_refund }
            | Outcome::Declined { psp_refund, .. }
            | Outcome::Voided { psp_refund, .. } => psp_refund.as_deref(),
            Outcome::Failed { .. }
            | Outcome::Unknown { .. }
            | Outcome::NotSent { .. }
            | Outcome::Unreached { .. }
            | Outcome::Absent => None,
        }
    }

    /// Does it say anything of the refund? A call without an answer, and one that was not made, do not.
    pub fn is_told(&self) -> bool {
        !matches!(
            self,
            Outcome::Unknown { .. } | Outcome::NotSent { .. } | Outcome::Unreached { .. }
        )
    }
}

/// Something a person should see. It changes no money by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// A success arrived after the refund had been closed without one.
    LateSuccess,
    /// The PSP first had it and then did not.
    Vanished,
    /// It failed after it had succeeded: the money came back, and the payer has not got it.
    Reversed,
    /// More was given back than was captured.
    Excess,
    /// The PSP made it twice: the second one is on the books as a refund of its own.
    PaidTwice,
}

impl Alarm {
    /// Every alarm and the word it is recorded under.
    pub const LISTED: [(Alarm, &'static str); 5] = [
        (Alarm::LateSuccess, "late_success"),
        (Alarm::Vanished, "vanished"),
        (Alarm::Reversed, "reversed"),
        (Alarm::Excess, "excess"),
        (Alarm::PaidTwice, "paid_twice"),
    ];

    pub fn word(self) -> &'static str {
        let listed = Alarm::LISTED.iter().find(|(alarm, _)| *alarm == self);
        listed.expect("LISTED has every alarm").1
    }

    pub fn from_word(word: &str) -> Option<Alarm> {
        Alarm::LISTED.iter().find(|(_, listed)| *listed == word).map(|(alarm, _)| *alarm)
    }
}

/// What changes on a refund and its payment's books.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub refund: Refund,
    pub entries: Vec<Entry>,
    pub alarm: Option<Alarm>,
}

/// An outcome and the call that brought it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The call's number on its refund ([`Refund::attempt`]).
    pub attempt: u32,
    pub outcome: Outcome,
    pub at_ms: i64,
}

/// Applies an outcome. `None`: it says nothing new (a repeat, or weaker than what is known).
pub fn settle(payment: &Payment, refund: &Refund, finding: &Finding) -> Option<Change> {
    let Finding { attempt, outcome, at_ms } = finding;
    let at_ms = *at_ms;
    // What an overtaken call did not see proves nothing about the one after it; what it did see
    // happen, happened.
    let is_overtaken = *attempt < refund.attempt;
    if is_overtaken && !matches!(outcome, Outcome::Succeeded { .. }) {
        return None;
    }
    if speaks_of_another(refund, outcome) {
        return None;
    }
    if refund.status == Status::Ready
        && matches!(outcome, Outcome::NotSent { .. } | Outcome::Unreached { .. } | Outcome::Absent)
    {
        return None;
    }
    if refund.status.is_open() {
        return Some(settle_open(payment, refund, outcome, at_ms));
    }
    match (refund.status, outcome) {
        (
            Status::Succeeded,
            Outcome::Declined { fault, .. }
            | Outcome::Failed { fault }
            | Outcome::Voided { fault, .. },
        ) => {
            let back = freed_entries(payment, refund, Account::Refunded);
            let refund = Refund { fault: Some(fault.clone()), ..refund.clone() };
            let change = moved(refund, Status::Reversed, back, at_ms);
            Some(Change { alarm: Some(Alarm::Reversed), ..change })
        }
        (
            Status::Declined | Status::Failed | Status::Voided | Status::Reversed,
            Outcome::Succeeded { psp_refund },
        ) => {
            let refund = with_psp_refund(refund, psp_refund.as_ref());
            let booked = given_entries(payment, &refund);
            let change = moved(refund, Status::Succeeded, booked, at_ms);
            Some(Change { alarm: Some(Alarm::LateSuccess), ..change })
        }
        _ => None,
    }
}

/// A PSP without idempotency keys has a refund of its own for every call: that it declined the first
/// one takes nothing from the one it paid.
fn speaks_of_another(refund: &Refund, outcome: &Outcome) -> bool {
    let is_success = matches!(outcome, Outcome::Succeeded { .. });
    let both = outcome.psp_refund().zip(refund.psp_refund.as_deref());
    !is_success && both.is_some_and(|(named, known)| named != known)
}

fn settle_open(payment: &Payment, refund: &Refund, outcome: &Outcome, at_ms: i64) -> Change {
    let known = |psp_refund: &Option<String>| with_psp_refund(refund, psp_refund.as_ref());
    let freed = || freed_entries(payment, refund, Account::Reserved);
    match outcome {
        Outcome::Succeeded { psp_refund } => {
            let given = entries(&refund.allocations, Account::Reserved, Account::Refunded);
            let refund = Refund { fault: None, ..known(psp_refund) };
            moved(refund, Status::Succeeded, given, at_ms)
        }
        Outcome::Pending { psp_refund } => {
            let refund = Refund { fault: None, ..known(psp_refund) };
            moved(refund, Status::Pending, Vec::new(), at_ms)
        }
        Outcome::RequiresAction { psp_refund } => {
            moved(known(psp_refund), Status::RequiresAction, Vec::new(), at_ms)
        }
        Outcome::Declined { psp_refund, fault } => {
            let refund = Refund { fault: Some(fault.clone()), ..known(psp_refund) };
            moved(refund, Status::Declined, freed(), at_ms)
        }
        Outcome::Failed { fault } => {
            let refund = Refund { fault: Some(fault.clone()), ..refund.clone() };
            moved(refund, Status::Failed, freed(), at_ms)
        }
        Outcome::Voided { psp_refund, fault } => {
            let refund = Refund { fault: Some(fault.clone()), ..known(psp_refund) };
            moved(refund, Status::Voided, freed(), at_ms)
        }
        Outcome::NotSent { fault, retry_after_ms } if refund.status == Status::Dispatched => {
            let refund = Refund { fault: Some(fault.clone()), ..refund.clone() };
            let distance = schedule::after_not_sent(refund.sends).max(*retry_after_ms);
            resend(refund, distance, at_ms)
        }
        Outcome::Unreached { fault, retry_after_ms } => {
            let distance = schedule::after_unreached(refund.attempt, *retry_after_ms);
            let refund = Refund { fault: Some(fault.clone()), ..refund.clone() };
            if refund.status == Status::Dispatched {
                return resend(refund, distance, at_ms);
            }
            let looks = refund.looks.saturating_sub(1);
            let change = unanswered(Refund { looks, ..refund }, at_ms);
            later(change, distance, at_ms)
        }
        Outcome::NotSent { fault, retry_after_ms } => {
            let change = unanswered(Refund { fault: Some(fault.clone()), ..refund.clone() }, at_ms);
            let next = change.refund.next_action_at_ms.unwrap_or(at_ms);
            let scheduled = next.saturating_sub(at_ms);
            later(change, schedule::after_turned_away(scheduled, *retry_after_ms), at_ms)
        }
        Outcome::Unknown { fault } => {
            unanswered(Refund { fault: Some(fault.clone()), ..refund.clone() }, at_ms)
        }
        Outcome::Absent => absent(refund, at_ms),
    }
}

/// A call without an answer takes nothing back: pending stays pending.
fn unanswered(refund: Refund, at_ms: i64) -> Change {
    let is_known = matches!(refund.status, Status::Pending | Status::RequiresAction);
    let status = if is_known { refund.status } else { Status::Unknown };
    moved(refund, status, Vec::new(), at_ms)
}

/// "The PSP has nothing" is proof only as the answer to a look-up, and only for a refund of which
/// the PSP never said anything.
fn absent(refund: &Refund, at_ms: i64) -> Change {
    let was_seen = matches!(refund.status, Status::Pending | Status::RequiresAction)
        || refund.psp_refund.is_some();
    if refund.status == Status::Unknown && !was_seen {
        return resend(refund.clone(), schedule::after_absent(refund.sends), at_ms);
    }
    let change = moved(refund.clone(), Status::Unknown, Vec::new(), at_ms);
    Change { alarm: was_seen.then_some(Alarm::Vanished), ..change }
}

/// Ready for another call with the same key, so many milliseconds from now, however long a PSP wants
/// to be left alone.
fn resend(refund: Refund, distance_ms: i64, at_ms: i64) -> Change {
    later(moved(refund, Status::Ready, Vec::new(), at_ms), distance_ms, at_ms)
}

/// The same change with another next action time: so many milliseconds from now, within the schedules'
/// reach.
fn later(change: Change, distance_ms: i64, at_ms: i64) -> Change {
    let distance_ms = distance_ms.min(schedule::FARTHEST);
    let next_action_at_ms = Some(at_ms.saturating_add(distance_ms));
    Change { refund: Refund { next_action_at_ms, ..change.refund }, ..change }
}

/// A refund whose time has come, and what is to be done with it. The returned change is to be
/// committed before the step is taken. `None`: it is closed, or not yet due.
pub fn wake(refund: &Refund, at_ms: i64) -> Option<(Change, Step)> {
    if !schedule::is_due(refund.next_action_at_ms?, at_ms) {
        return None;
    }
    Some(advance(refund, at_ms))
}

/// A refund whose time has come while its call is still under way: the clock was set, or the
/// process stood still. The call's own outcome comes first; until then nobody may look it up, for
/// what the PSP has not yet received it truthfully does not know. `None`: it is closed, or not yet
/// due.
pub fn postpone(refund: &Refund, at_ms: i64) -> Option<Change> {
    if !schedule::is_due(refund.next_action_at_ms?, at_ms) {
        return None;
    }
    let next_action_at_ms = schedule::next_action_at(Status::Dispatched, 0, at_ms);
    Some(Change {
        refund: Refund { next_action_at_ms, ..refund.clone() },
        entries: Vec::new(),
        alarm: None,
    })
}

/// An open refund after a restart: whatever call was under way died with the process, so it is looked
/// up at once. `None`: it is closed, or ready and not yet due. What is ready has no call under way, and
/// may wait because its PSP wants to be left alone.
///
/// A look-up that a restart makes is not counted, as nobody may have heard the one before it: else a
/// process that dies again and again would look ever more rarely.
pub fn revive(refund: &Refund, at_ms: i64) -> Option<(Change, Step)> {
    if schedule::step(refund) == Step::Send {
        return wake(refund, at_ms);
    }
    refund.status.is_open().then(|| {
        let (change, step) = advance(refund, at_ms);
        let looks = change.refund.looks.min(refund.looks);
        (Change { refund: Refund { looks, ..change.refund }, ..change }, step)
    })
}

/// Sends a refund that is ready: the attempt is part of the change, and committed before the call.
pub fn send(refund: &Refund, at_ms: i64) -> (Change, Step) {
    assert_eq!(schedule::step(refund), Step::Send, "only a refund that is ready is sent");
    advance(refund, at_ms)
}

/// Asks the PSP what became of a refund, out of turn: somebody said something about it. Its status
/// stays; the attempt is part of the change, and committed before the call.
pub fn inquire(refund: &Refund, at_ms: i64) -> Change {
    if schedule::step(refund) == Step::LookUp {
        return advance(refund, at_ms).0;
    }
    let attempt = refund.attempt.saturating_add(1);
    let later = schedule::next_action_at(Status::Dispatched, 0, at_ms);
    let next_action_at_ms = refund.next_action_at_ms.and(later);
    let refund = Refund { attempt, next_action_at_ms, ..refund.clone() };
    Change { refund, entries: Vec::new(), alarm: None }
}

fn advance(refund: &Refund, at_ms: i64) -> (Change, Step) {
    let step = schedule::step(refund);
    let attempt = refund.attempt.saturating_add(1);
    let refund = match step {
        Step::Send => {
            let sends = refund.sends.saturating_add(1);
            let next = schedule::next_action_at(Status::Dispatched, 0, at_ms);
            let status = Status::Dispatched;
            Refund { status, attempt, sends, next_action_at_ms: next, ..refund.clone() }
        }
        Step::LookUp => {
            // An attempt without an outcome is lost: it may have been sent.
            let is_lost = refund.status == Status::Dispatched;
            let status = if is_lost { Status::Unknown } else { refund.status };
            let looks = if is_lost { 0 } else { refund.looks.saturating_add(1) };
            // While this look-up is under way nothing else is due; its outcome sets the next time.
            let next = schedule::next_action_at(Status::Dispatched, 0, at_ms);
            Refund { status, attempt, looks, next_action_at_ms: next, ..refund.clone() }
        }
        Step::Wait => {
            let next = schedule::next_action_at(refund.status, refund.looks, at_ms);
            Refund { next_action_at_ms: next, ..refund.clone() }
        }
    };
    (Change { refund, entries: Vec::new(), alarm: None }, step)
}

fn moved(refund: Refund, to: Status, entries: Vec<Entry>, at_ms: i64) -> Change {
    let is_move = refund.status != to;
    assert!(!is_move || refund.status.may_become(to), "{:?} may not become {to:?}", refund.status);
    let looks = if is_move { 0 } else { refund.looks };
    let next_action_at_ms = schedule::next_action_at(to, looks, at_ms);
    Change {
        refund: Refund { status: to, looks, next_action_at_ms, ..refund },
        entries,
        alarm: None,
    }
}

fn with_psp_refund(refund: &Refund, psp_refund: Option<&String>) -> Refund {
    let psp_refund = psp_refund.or(refund.psp_refund.as_ref()).cloned();
    Refund { psp_refund, ..refund.clone() }
}

/// What still fits each capture is given back; the rest is excess, for people to explain.
pub(crate) fn given_entries(payment: &Payment, refund: &Refund) -> Vec<Entry> {
    let split = |part: &Allocation| {
        let left = sums(payment, part).map(|(left, _)| left);
        let (fits, surplus) = part_of(part.amount, left);
        let given = entry(part, Account::Refundable, Account::Refunded, fits);
        let beyond = entry(part, Account::Excess, Account::PspClearing, surplus);
        given.into_iter().chain(beyond)
    };
    refund.allocations.iter().flat_map(split).collect()
}

/// Money that was promised or given back and comes free covers its capture's excess first: what was
/// paid beyond it then fits. The rest is refundable again.
fn freed_entries(payment: &Payment, refund: &Refund, from: Account) -> Vec<Entry> {
    let split = |part: &Allocation| {
        let excess = sums(payment, part).map(|(_, excess)| excess);
        let (covers, rest) = part_of(part.amount, excess);
        let covered = entry(part, Account::PspClearing, Account::Excess, covers);
        let is_given = from == Account::Refunded;
        let fits = if is_given { None } else { entry(part, from, Account::Refunded, covers) };
        let freed = entry(part, from, Account::Refundable, rest);
        covered.into_iter().chain(fits).chain(freed)
    };
    refund.allocations.iter().flat_map(split).collect()
}

/// What the part's capture has refundable, and its excess.
fn sums(payment: &Payment, part: &Allocation) -> Option<(Minor, Minor)> {
    let balance = payment.capture(part.capture)?.balance;
    Some((balance.refundable(), balance.sums().excess))
}

/// `amount` split into what `room` takes and the rest.
fn part_of(amount: Minor, room: Option<Minor>) -> (Minor, Minor) {
    let taken = room.unwrap_or_default().min(amount);
    (taken, amount.checked_sub(taken).expect("taken is at most the amount"))
}

fn entry(part: &Allocation, debit: Account, credit: Account, amount: Minor) -> Option<Entry> {
    (!amount.is_zero()).then(|| Entry::new(part.capture, debit, credit, amount))
}
