//! What the engine remembers, and the one way to change it.
//!
//! A batch is the unit: [`Store::transact`] loads what a batch wants, lets the lane decide, and
//! saves every change in one transaction. Nothing else writes money.

pub mod postgres;
mod sql;
pub mod sqlite;

pub use self::sql::{SqlReads, SqlRegistry};

use std::collections::{BTreeSet, HashMap, HashSet};

use requite_core::id::{CaptureId, LegId, MerchantId, PaymentId, ReasonId, RefundId};
use requite_core::journal::Entry;
use requite_core::money::Minor;
use requite_core::payment::Payment;
use requite_core::refund::Refund;
use requite_core::settle::Alarm;

use crate::command::{Details, RefundRef, Registration, Trace};
use crate::event::Event;
use crate::key::KeyRecord;
use crate::psp::CallKind;
use crate::read::OperationKind;

/// The name of what marks a copy of a store, kept beside the secrets: since when it is served, in milliseconds
/// since 1970 as eight bytes, zero until then.
pub(crate) const RESTORED: &str = "restored";

/// What a batch needs to see. Ordered, so that row locks are always taken in the same order.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    pub payments: BTreeSet<(MerchantId, PaymentId)>,
    pub refunds: BTreeSet<RefundRef>,
    pub keys: BTreeSet<(MerchantId, [u8; 16])>,
    pub external_identifiers: BTreeSet<(MerchantId, String)>,
    pub reasons: BTreeSet<(MerchantId, ReasonId)>,
    /// Reference counters, by merchant and day since 1970.
    pub counters: BTreeSet<(MerchantId, i64)>,
    /// A payment's refunds that the PSP has under this id.
    pub psp_refunds: BTreeSet<(MerchantId, PaymentId, String)>,
    /// Those of them that were made elsewhere ([`crate::command::EXTERNAL`]).
    pub externals: BTreeSet<(MerchantId, PaymentId, String)>,
    /// Payments whose open refunds are looked at that the PSP has given no id yet, and those that are
    /// unknown: at most [`NAMELESS_MAX`].
    pub nameless: BTreeSet<(MerchantId, PaymentId)>,
}

/// Open refunds without an id at the PSP, or unknown, that are looked at for one notice or question.
pub const NAMELESS_MAX: u32 = 256;

/// What a batch sees. Refunds that a found key stands for are loaded as well.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    pub books: HashMap<(MerchantId, PaymentId), Book>,
    pub refunds: HashMap<RefundRef, RefundRecord>,
    pub keys: HashMap<(MerchantId, [u8; 16]), KeyRecord>,
    pub external_identifiers: HashMap<(MerchantId, String), PaymentId>,
    pub reasons: HashSet<(MerchantId, ReasonId)>,
    pub counters: HashMap<(MerchantId, i64), u32>,
}

/// A payment with the head of its history and what its connector needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Book {
    pub payment: Payment,
    /// Number of the newest event.
    pub seq: u32,
    /// Hash of the newest event.
    pub hash: [u8; 32],
    /// Refund calls sent to the PSP for this payment so far.
    pub calls: u32,
    /// Time of the newest event; while nothing but its registration happened, the payment's own.
    pub updated_at_ms: i64,
    /// The refund that was accepted last. Each refund names the one before it, so that all are found.
    pub newest_refund: Option<RefundId>,
    pub connector: String,
    pub connector_payment: Option<String>,
    pub connector_settings: Option<String>,
    /// What it is called now, which may be another name than it was registered with.
    pub external_identifier: Option<String>,
    pub order: Option<String>,
    pub registration_fingerprint: [u8; 16],
}

/// A refund with what dispatch needs besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefundRecord {
    pub refund: Refund,
    /// Number of its newest refund call among the payment's.
    pub call_no: u32,
    pub reason: Option<String>,
    /// It was asked for with an idempotency key of the caller's own.
    pub is_keyed: bool,
    /// It was made at the PSP itself, and no call of ours asked for it.
    pub is_external: bool,
    /// When the newest notice that was believed says that it happened.
    pub heard_at_ms: Option<i64>,
    /// When it was accepted. No call for it can be older.
    pub asked_at_ms: i64,
}

/// What a batch changes, to be committed as one.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    pub registered: Vec<Registration>,
    pub books: Vec<BookChange>,
    pub new_refunds: Vec<NewRefund>,
    pub refunds: Vec<RefundChange>,
    pub attempts: Vec<NewAttempt>,
    pub attempt_outcomes: Vec<AttemptOutcome>,
    pub events: Vec<Event>,
    /// What the events moved, in their order.
    pub journal: Vec<JournalLine>,
    pub keys: Vec<((MerchantId, [u8; 16]), KeyRecord)>,
    pub counters: Vec<((MerchantId, i64), u32)>,
    pub operations: Vec<NewOperation>,
    pub amendments: Vec<NewAmendment>,
    pub alarms: Vec<NewAlarm>,
}

impl Changes {
    pub fn is_empty(&self) -> bool {
        self.registered.is_empty()
            && self.books.is_empty()
            && self.new_refunds.is_empty()
            && self.refunds.is_empty()
            && self.keys.is_empty()
    }

    /// Events with what they moved, in the order of their keys: rows that come in order lie close together.
    pub(crate) fn posted(&self) -> Vec<(&Event, &[JournalLine])> {
        let mut left = self.journal.as_slice();
        let mut posted: Vec<_> =
            self.events.iter().map(|event| (event, left_of(event, &mut left))).collect();
        assert!(left.is_empty(), "the journal moves what no event of the batch tells of");
        posted.sort_unstable_by_key(|(event, _)| (event.merchant, event.about(), event.seq));
        posted
    }

    /// What changed when, in the order of its table: each refund, and each payment of which no refund
    /// changed in that moment.
    pub(crate) fn changed(&self) -> BTreeSet<(MerchantId, i64, PaymentId, u128)> {
        let new = self.new_refunds.iter().map(|new| (new.key, new.asked_at_ms));
        let moved = self.refunds.iter().map(|change| (change.key, change.at_ms));
        let row =
            |(key, at_ms): (RefundRef, i64)| (key.merchant, at_ms, key.payment, key.refund.bits());
        let mut changed: BTreeSet<_> = new.chain(moved).map(row).collect();
        for BookChange { merchant, book, .. } in &self.books {
            let (at_ms, payment) = (book.updated_at_ms, book.payment.id());
            let of = |about| (*merchant, at_ms, payment, about);
            if changed.range(of(u128::MIN)..=of(u128::MAX)).next().is_none() {
                changed.insert(of(payment.bits()));
            }
        }
        changed
    }

    /// Refunds that are new, in the order of their keys.
    pub(crate) fn asked(&self) -> Vec<&NewRefund> {
        let mut asked: Vec<&NewRefund> = self.new_refunds.iter().collect();
        asked.sort_unstable_by_key(|new| (new.key.merchant, new.key.refund));
        asked
    }
}

/// Takes an event's lines from those of all events from it on.
fn left_of<'l>(event: &Event, left: &mut &'l [JournalLine]) -> &'l [JournalLine] {
    let of = (event.merchant, event.payment, event.seq);
    let is_own = |line: &&JournalLine| (line.merchant, line.payment, line.seq) == of;
    let (own, rest) = left.split_at(left.iter().take_while(is_own).count());
    *left = rest;
    own
}

/// A payment's books after the batch.
#[derive(Clone, Debug)]
pub struct BookChange {
    pub merchant: MerchantId,
    pub book: Book,
    /// Captures whose balance changed.
    pub balances: BTreeSet<CaptureId>,
    pub new_captures: Vec<NewCapture>,
    pub new_releases: Vec<NewRelease>,
    /// Registered in the same batch: its rows are written by the registration.
    pub is_new: bool,
}

#[derive(Clone, Copy, Debug)]
pub struct NewCapture {
    pub id: CaptureId,
    pub leg: LegId,
    pub seq: u32,
    pub at_ms: i64,
}

/// What is kept of a registration, capture, void or extension besides its event.
#[derive(Clone, Debug)]
pub struct NewOperation {
    pub merchant: MerchantId,
    pub payment: PaymentId,
    /// The event that tells of it.
    pub seq: u32,
    pub kind: OperationKind,
    pub is_final: bool,
    pub trace: Trace,
    /// The reference number drawn: day since 1970 and counter.
    pub reference: Option<(i64, u32)>,
}

#[derive(Clone, Debug)]
pub struct NewAmendment {
    pub merchant: MerchantId,
    pub payment: PaymentId,
    pub seq: u32,
    pub external_identifier: Option<Option<String>>,
    pub metadata: Option<String>,
}

#[derive(Clone, Copy, Debug)]
pub struct NewRelease {
    pub id: u128,
    pub leg: LegId,
    pub amount: Minor,
    pub seq: u32,
    pub at_ms: i64,
}

#[derive(Clone, Debug)]
pub struct NewRefund {
    pub key: RefundRef,
    pub record: RefundRecord,
    pub details: Details,
    /// The reference number drawn: day since 1970 and counter.
    pub reference: Option<(i64, u32)>,
    pub asked_seq: u32,
    pub asked_at_ms: i64,
    /// The payment's newest refund until this one came.
    pub previous: Option<RefundId>,
}

impl NewRefund {
    /// What its parts come to, in minor units.
    pub(crate) fn allocated(&self) -> i64 {
        let parts = self.record.refund.allocations.iter();
        parts.fold(0, |sum, part| sum.saturating_add(part.amount.units()))
    }
}

/// Something about a refund that a person should see.
#[derive(Clone, Copy, Debug)]
pub struct NewAlarm {
    pub key: RefundRef,
    pub alarm: Alarm,
    pub at_ms: i64,
}

#[derive(Clone, Debug)]
pub struct RefundChange {
    pub key: RefundRef,
    pub record: RefundRecord,
    pub at_ms: i64,
}

/// A call that is about to be made. Committed before it is.
#[derive(Clone, Debug)]
pub struct NewAttempt {
    pub key: RefundRef,
    pub attempt: u32,
    pub kind: CallKind,
    pub call_no: u32,
    pub at_ms: i64,
}

#[derive(Clone, Debug)]
pub struct AttemptOutcome {
    pub key: RefundRef,
    pub attempt: u32,
    /// The outcome's word: `succeeded`, `unknown`, ...
    pub outcome: &'static str,
    pub at_ms: i64,
}

#[derive(Clone, Debug)]
pub struct JournalLine {
    pub merchant: MerchantId,
    pub payment: PaymentId,
    /// The event that it belongs to: what that is [about](Event::about), and its number.
    pub about: u128,
    pub seq: u32,
    /// From 0 within the event.
    pub line: u32,
    pub entry: Entry,
}

/// Why a batch is not, or not provably, on disk.
#[derive(Debug, thiserror::Error)]
pub enum StoreFault {
    /// Rolled back: nothing of the batch is there.
    #[error("not committed: {0}")]
    NotCommitted(String),
    /// Rolled back, and nothing is wrong with it: the disk is full, or another process holds the store.
    /// Later it may succeed.
    #[error("not committed for now: {0}")]
    Unavailable(String),
    /// One of the batch's rows broke a constraint; alone, the others may succeed.
    #[error("a row was refused by the store: {0}")]
    Constraint(String),
    /// The commit was sent, and it could not be found out what became of it. Nobody may be told that
    /// it failed.
    #[error("nobody knows whether it was committed: {0}")]
    Unheard(String),
}

/// How it is known that a batch is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    /// The store said so, or there was nothing to write.
    Heard,
    /// The store's answer was lost, and the batch was found there later. Somebody else may have found
    /// it first: its calls must not be made.
    ReadBack,
}

/// Where everything is kept.
pub trait Store {
    /// Loads what is wanted, lets `decide` say what changes, writes and commits it: all in one
    /// transaction. `decide` may be called again when the transaction is tried again. No changes,
    /// no commit.
    fn transact(
        &mut self,
        wanted: &Wanted,
        decide: &mut dyn FnMut(Loaded) -> Changes,
    ) -> Result<Commit, StoreFault>;

    /// Commands that one transaction carries at most.
    fn batch_max(&self) -> usize {
        crate::lane::BATCH_MAX
    }

    /// Do its merchants lie on several machines? Then a transaction holds commands of one merchant.
    fn is_spread(&mut self) -> bool {
        false
    }

    /// The time, in milliseconds since 1970, of a store that several nodes share.
    fn shared_ms(&mut self) -> Result<Option<i64>, StoreFault> {
        Ok(None)
    }

    /// Open refunds whose next action time has come ([`requite_core::schedule::is_due`]): at or before
    /// `now_ms`, oldest first, then those that lie beyond every schedule; at most `max`.
    fn due(&mut self, now_ms: i64, max: u32) -> Result<Vec<RefundRef>, StoreFault>;

    /// Open refunds with a call under way or waiting to be made, for recovery at start.
    fn in_flight(&mut self, max: u32) -> Result<Vec<RefundRef>, StoreFault>;
}

impl<S: Store + ?Sized> Store for Box<S> {
    fn transact(
        &mut self,
        wanted: &Wanted,
        decide: &mut dyn FnMut(Loaded) -> Changes,
    ) -> Result<Commit, StoreFault> {
        (**self).transact(wanted, decide)
    }

    fn batch_max(&self) -> usize {
        (**self).batch_max()
    }

    fn is_spread(&mut self) -> bool {
        (**self).is_spread()
    }

    fn shared_ms(&mut self) -> Result<Option<i64>, StoreFault> {
        (**self).shared_ms()
    }

    fn due(&mut self, now_ms: i64, max: u32) -> Result<Vec<RefundRef>, StoreFault> {
        (**self).due(now_ms, max)
    }

    fn in_flight(&mut self, max: u32) -> Result<Vec<RefundRef>, StoreFault> {
        (**self).in_flight(max)
    }
}
