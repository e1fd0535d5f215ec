//! Proof from the store itself: every invariant that can be read back, payment by payment.
//!
//! Rows beside the history (balances, statuses) are kept for speed; here they are held against the
//! fold of the journal and of the events. A store may be audited while it is in use: each payment
//! is read in one snapshot.

use std::collections::BTreeMap;

use requite_core::id::{CaptureId, MerchantId, PaymentId, RefundId, uuid_text};
use requite_core::journal::Account;
use requite_core::payment::Sums;
use requite_core::refund::Status;

use crate::event::{Event, Kind};
use crate::store::{Book, JournalLine, RefundRecord};

/// One payment's whole story.
pub struct History {
    pub merchant: MerchantId,
    pub book: Book,
    /// By number.
    pub events: Vec<Event>,
    /// By event and line.
    pub journal: Vec<JournalLine>,
    pub refunds: Vec<RefundRecord>,
    /// Committed refund calls by refund.
    pub sends: BTreeMap<RefundId, u32>,
}

/// A payment that breaks an invariant, in words for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// `I1` ... `I16`, as ARCHITECTURE.md lists them.
    pub invariant: &'static str,
    pub merchant: MerchantId,
    pub payment: PaymentId,
    pub what: String,
}

/// What an audit found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub payments: u64,
    pub refunds: u64,
    pub events: u64,
    pub violations: Vec<Violation>,
}

/// Violations listed at most; more are counted by their first ones being here.
pub const VIOLATIONS_MAX: usize = 1_000;

impl Report {
    /// Adds one payment's story to the report.
    pub fn add(&mut self, history: &History) {
        self.payments = self.payments.saturating_add(1);
        self.refunds = self.refunds.saturating_add(count(history.refunds.len()));
        self.events = self.events.saturating_add(count(history.events.len()));
        let room = VIOLATIONS_MAX.saturating_sub(self.violations.len());
        self.violations.extend(check(history).into_iter().take(room));
    }
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// Everything that is wrong with one payment; empty when nothing is.
pub fn check(history: &History) -> Vec<Violation> {
    let mut found = Findings { history, violations: Vec::new() };
    found.chain();
    found.journal();
    found.refunds();
    found.captures();
    found.violations
}

struct Findings<'a> {
    history: &'a History,
    violations: Vec<Violation>,
}

impl Findings<'_> {
    fn say(&mut self, invariant: &'static str, what: String) {
        self.violations.push(Violation {
            invariant,
            merchant: self.history.merchant,
            payment: self.history.book.payment.id(),
            what,
        });
    }

    fn expect(&mut self, holds: bool, invariant: &'static str, what: impl FnOnce() -> String) {
        if !holds {
            self.say(invariant, what());
        }
    }

    /// I12: numbers without gaps, an unbroken chain, and the head at its end.
    fn chain(&mut self) {
        let history = self.history;
        let mut before = [0; 32];
        for (event, seq) in history.events.iter().zip(1_u32..) {
            self.expect(event.seq == seq, "I12", || {
                format!("event {seq} is missing: found {}", event.seq)
            });
            self.expect(event.hash == event.hash_after(&before), "I12", || {
                format!("event {} does not follow from the one before it", event.seq)
            });
            before = event.hash;
        }
        let last = history.events.last().map_or(0, |event| event.seq);
        let is_head = last == history.book.seq && before == history.book.hash;
        self.expect(is_head, "I12", || {
            format!("the head is at event {}, the history ends at {last}", history.book.seq)
        });
    }

    /// I10 and I11: no account of a capture below zero on the way, and balances are the fold.
    fn journal(&mut self) {
        let history = self.history;
        let mut accounts: BTreeMap<(CaptureId, Account), i64> = BTreeMap::new();
        let mut captured: BTreeMap<CaptureId, i64> = BTreeMap::new();
        let mut voided: BTreeMap<CaptureId, i64> = BTreeMap::new();
        for JournalLine { seq, entry, .. } in &history.journal {
            let amount = entry.amount.units();
            move_by(&mut accounts, (entry.capture, entry.credit), amount);
            move_by(&mut accounts, (entry.capture, entry.debit), amount.saturating_neg());
            match (entry.debit, entry.credit) {
                (Account::PspClearing, Account::Refundable) => {
                    move_by(&mut captured, entry.capture, amount);
                }
                (Account::Refundable, Account::PspClearing) => {
                    move_by(&mut voided, entry.capture, amount);
                }
                _ => {}
            }
            let left = accounts.get(&(entry.capture, entry.debit)).copied().unwrap_or(0);
            let is_guarded = !matches!(entry.debit, Account::PspClearing | Account::Excess);
            self.expect(!is_guarded || left >= 0, "I10", || {
                format!("event {seq} takes {} to {left}", entry.debit.word())
            });
        }
        for capture in history.book.payment.legs().iter().flat_map(|leg| leg.captures()) {
            let of = |account| accounts.get(&(capture.id, account)).copied().unwrap_or(0);
            let sums = capture.balance.sums();
            let folds = [
                ("captured", sums.captured, captured.get(&capture.id).copied().unwrap_or(0)),
                ("voided", sums.voided, voided.get(&capture.id).copied().unwrap_or(0)),
                ("reserved", sums.reserved, of(Account::Reserved)),
                ("refunded", sums.refunded, of(Account::Refunded)),
                ("disputed", sums.disputed, of(Account::Disputed)),
                ("excess", sums.excess, of(Account::Excess).saturating_neg()),
            ];
            for (name, row, fold) in folds {
                self.expect(row.units() == fold, "I11", || {
                    let id = uuid_text(capture.id.bits());
                    format!("capture {id} says {name} {}, its journal {fold}", row.units())
                });
            }
        }
    }

    /// I3, I5, I11, I16: each refund against its allocations, attempts, events and schedule; and
    /// what refunds hold and gave back against the captures' balances.
    fn refunds(&mut self) {
        let history = self.history;
        let mut reserved: BTreeMap<CaptureId, i64> = BTreeMap::new();
        let mut refunded: BTreeMap<CaptureId, i64> = BTreeMap::new();
        for RefundRecord { refund, .. } in &history.refunds {
            let id = uuid_text(refund.id.bits());
            let parts = refund.allocations.iter();
            let sum = parts.fold(0_i64, |sum, part| sum.saturating_add(part.amount.units()));
            self.expect(sum == refund.amount.units() && sum > 0, "I3", || {
                format!("refund {id} is {}, its parts are {sum}", refund.amount.units())
            });
            let sends = history.sends.get(&refund.id).copied().unwrap_or(0);
            self.expect(sends == refund.sends, "I5", || {
                format!("refund {id} counts {} calls, {sends} are committed", refund.sends)
            });
            let has_next = refund.next_action_at_ms.is_some();
            self.expect(refund.status.is_open() == has_next, "I16", || {
                format!("refund {id} is {} and has no next action time", refund.status.word())
            });
            let last = history
                .events
                .iter()
                .rfind(|event| event.kind == Kind::Refund && event.subject == refund.id.bits());
            let told = last.and_then(|event| event.status);
            self.expect(told == Some(refund.status), "I11", || {
                let told = told.map_or("nothing", Status::word);
                format!("refund {id} is {}, its last event says {told}", refund.status.word())
            });
            for part in &refund.allocations {
                if refund.status.is_open() {
                    move_by(&mut reserved, part.capture, part.amount.units());
                }
                if refund.status == Status::Succeeded {
                    move_by(&mut refunded, part.capture, part.amount.units());
                }
            }
        }
        let excess = self.excess();
        for capture in history.book.payment.legs().iter().flat_map(|leg| leg.captures()) {
            let Sums { reserved: held, refunded: given, .. } = capture.balance.sums();
            let of = |sums: &BTreeMap<CaptureId, i64>| sums.get(&capture.id).copied().unwrap_or(0);
            let expected = of(&refunded).saturating_sub(of(&excess));
            let agrees = of(&reserved) == held.units() && expected == given.units();
            self.expect(agrees, "I11", || {
                let id = uuid_text(capture.id.bits());
                let (held, given) = (held.units(), given.units());
                format!(
                    "capture {id} holds {held} and gave {given}; its refunds hold {} and gave \
                     {expected}",
                    of(&reserved)
                )
            });
        }
    }

    fn excess(&self) -> BTreeMap<CaptureId, i64> {
        let mut excess = BTreeMap::new();
        let lines = self.history.journal.iter();
        for JournalLine { entry, .. } in lines {
            let amount = entry.amount.units();
            if entry.debit == Account::Excess {
                move_by(&mut excess, entry.capture, amount);
            }
            if entry.credit == Account::Excess {
                move_by(&mut excess, entry.capture, amount.saturating_neg());
            }
        }
        excess
    }

    /// I1 and I2 hold by construction once a payment could be loaded; what is left to compare is
    /// what captures took and releases let go with what the events say.
    fn captures(&mut self) {
        let history = self.history;
        let told = |kind| {
            let events = history.events.iter().filter(|event| event.kind == kind);
            events.fold(0_i64, |sum, event| sum.saturating_add(event.amount.units()))
        };
        let legs = history.book.payment.legs();
        let captured =
            legs.iter().fold(0_i64, |sum, leg| sum.saturating_add(leg.captured().units()));
        let released =
            legs.iter().fold(0_i64, |sum, leg| sum.saturating_add(leg.released().units()));
        self.expect(captured == told(Kind::Captured), "I11", || {
            format!("captures are {captured}, their events {}", told(Kind::Captured))
        });
        self.expect(released == told(Kind::Released), "I11", || {
            format!("releases are {released}, their events {}", told(Kind::Released))
        });
    }
}

fn move_by<K: Ord>(sums: &mut BTreeMap<K, i64>, key: K, amount: i64) {
    let sum = sums.entry(key).or_insert(0);
    *sum = sum.saturating_add(amount);
}
