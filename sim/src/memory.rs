//! A store in memory, so that a hundred thousand refunds take seconds. It keeps what the real one
//! keeps and promises what the real one promises; a part of the runs uses the real one.

use std::collections::{BTreeMap, BTreeSet};

use requite_core::id::{MerchantId, PaymentId, ReasonId, RefundId};
use requite_core::payment::Payment;
use requite_core::refund::{Refund, Status};
use requite_core::schedule;
use requite_engine::audit::{History, Report};
use requite_engine::command::{RefundRef, Registration};
use requite_engine::event::Event;
use requite_engine::key::{KeyOutcome, KeyRecord};
use requite_engine::psp::CallKind;
use requite_engine::store::{
    Book, Changes, Commit, JournalLine, Loaded, NAMELESS_MAX, RefundRecord, Store, StoreFault,
    Wanted,
};

type Of = (MerchantId, PaymentId);

/// Everything that is committed.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    books: BTreeMap<Of, Book>,
    externals: BTreeMap<(MerchantId, String), PaymentId>,
    refunds: BTreeMap<RefundRef, RefundRecord>,
    /// What the PSP calls them.
    named: BTreeMap<(MerchantId, PaymentId, String), BTreeSet<RefundRef>>,
    due: BTreeSet<(i64, RefundRef)>,
    attempts: BTreeMap<(RefundRef, u32), CallKind>,
    events: BTreeMap<Of, Vec<Event>>,
    journal: BTreeMap<Of, Vec<JournalLine>>,
    keys: BTreeMap<(MerchantId, [u8; 16]), KeyRecord>,
    counters: BTreeMap<(MerchantId, i64), u32>,
    reasons: BTreeSet<(MerchantId, ReasonId)>,
}

/// The store: its tables, and what they were before the newest commit where a planted bug wants
/// to go back there.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    now: Tables,
    before: Option<Box<Tables>>,
    keeps_before: bool,
}

impl Memory {
    pub fn new(reasons: impl IntoIterator<Item = (MerchantId, ReasonId)>) -> Memory {
        let mut memory = Memory::default();
        memory.now.reasons.extend(reasons);
        memory
    }

    /// From now on the newest commit can be forgotten.
    pub fn keep_before(&mut self) {
        self.keeps_before = true;
    }

    pub fn forget_newest(&mut self) {
        if let Some(before) = self.before.take() {
            self.now = *before;
        }
    }

    pub fn audit(&self) -> Report {
        let mut report = Report::default();
        for of in self.now.books.keys() {
            report.add(&self.now.history(*of));
        }
        report
    }
}

impl Store for Memory {
    fn transact(
        &mut self,
        wanted: &Wanted,
        decide: &mut dyn FnMut(Loaded) -> Changes,
    ) -> Result<Commit, StoreFault> {
        let changes = decide(self.now.load(wanted));
        if changes.is_empty() {
            return Ok(Commit::Heard);
        }
        if self.keeps_before {
            self.before = Some(Box::new(self.now.clone()));
        }
        self.now.save(changes);
        Ok(Commit::Heard)
    }

    fn due(&mut self, now_ms: i64, max: u32) -> Result<Vec<RefundRef>, StoreFault> {
        let due = self.now.due.iter().take_while(|(at, _)| *at <= now_ms);
        let farthest_ms = now_ms.saturating_add(schedule::FARTHEST);
        let beyond = self.now.due.iter().rev().take_while(|(at, _)| *at > farthest_ms);
        Ok(due.chain(beyond).map(|(_, key)| *key).take(max as usize).collect())
    }

    fn in_flight(&mut self, max: u32) -> Result<Vec<RefundRef>, StoreFault> {
        let open = self.now.due.iter().map(|(_, key)| *key);
        Ok(open.take(max as usize).collect())
    }
}

impl Tables {
    fn load(&self, wanted: &Wanted) -> Loaded {
        let mut loaded = Loaded::default();
        let mut payments = wanted.payments.clone();
        let mut refunds = wanted.refunds.clone();
        for named in &wanted.external_identifiers {
            if let Some(payment) = self.externals.get(named) {
                payments.insert((named.0, *payment));
                loaded.external_identifiers.insert(named.clone(), *payment);
            }
        }
        for at in &wanted.keys {
            let Some(record) = self.keys.get(at) else {
                continue;
            };
            if let KeyOutcome::Refund { refund, .. } = &record.outcome {
                refunds.insert(*refund);
            }
            loaded.keys.insert(*at, record.clone());
        }
        for (merchant, payment, told) in wanted.psp_refunds.iter().chain(&wanted.externals) {
            let named = self.named.get(&(*merchant, *payment, told.clone()));
            refunds.extend(named.into_iter().flatten().filter(|refund| {
                let record = &self.refunds[*refund];
                let is_wanted = wanted.psp_refunds.contains(&(*merchant, *payment, told.clone()));
                let is_named = record.refund.psp_refund.as_ref() == Some(told);
                is_named && (is_wanted || record.is_external)
            }));
        }
        for of in &wanted.nameless {
            let open = self.refunds_of(*of).filter(|(_, record)| {
                let Refund { status, psp_refund, .. } = &record.refund;
                status.is_open() && (psp_refund.is_none() || *status == Status::Unknown)
            });
            refunds.extend(open.map(|(key, _)| *key).take(NAMELESS_MAX as usize));
        }
        let books = payments.iter().filter_map(|of| Some((*of, self.books.get(of)?)));
        loaded.books = books.map(|(of, book)| (of, book.clone())).collect();
        let records = refunds.iter().filter_map(|key| Some((*key, self.refunds.get(key)?)));
        loaded.refunds = records.map(|(key, record)| (key, record.clone())).collect();
        let reasons = wanted.reasons.intersection(&self.reasons);
        loaded.reasons = reasons.copied().collect();
        let counters = wanted.counters.iter().filter_map(|of| Some((*of, *self.counters.get(of)?)));
        loaded.counters = counters.collect();
        loaded
    }

    fn save(&mut self, changes: Changes) {
        for new in &changes.registered {
            self.name(new);
        }
        for change in changes.books {
            let of = (change.merchant, change.book.payment.id());
            self.books.insert(of, change.book);
        }
        for new in changes.new_refunds {
            let old = self.put(new.key, new.record);
            assert!(old.is_none(), "a refund's id is new");
        }
        for change in changes.refunds {
            let old = self.put(change.key, change.record);
            assert!(old.is_some(), "only a refund that is there changes");
        }
        for attempt in changes.attempts {
            let at = (attempt.key, attempt.attempt);
            let old = self.attempts.insert(at, attempt.kind);
            assert!(old.is_none(), "an attempt's number is used once");
        }
        for event in changes.events {
            let of = (event.merchant, event.payment);
            self.events.entry(of).or_default().push(event);
        }
        for line in changes.journal {
            let of = (line.merchant, line.payment);
            self.journal.entry(of).or_default().push(line);
        }
        self.keys.extend(changes.keys);
        self.counters.extend(changes.counters);
    }

    fn name(&mut self, new: &Registration) {
        if let Some(text) = &new.external_identifier {
            let named = (new.merchant, text.clone());
            let old = self.externals.insert(named, new.payment);
            assert!(old.is_none(), "an external identifier is used once");
        }
    }

    fn put(&mut self, key: RefundRef, record: RefundRecord) -> Option<RefundRecord> {
        if let Some(at) = record.refund.next_action_at_ms {
            self.due.insert((at, key));
        }
        if let Some(told) = &record.refund.psp_refund {
            let at = (key.merchant, key.payment, told.clone());
            self.named.entry(at).or_default().insert(key);
        }
        let next = record.refund.next_action_at_ms;
        let old = self.refunds.insert(key, record);
        let was_due = old.as_ref().and_then(|old| old.refund.next_action_at_ms);
        if let Some(at) = was_due.filter(|at| Some(*at) != next) {
            self.due.remove(&(at, key));
        }
        old
    }

    fn refunds_of(&self, of: Of) -> impl Iterator<Item = (&RefundRef, &RefundRecord)> {
        let (low, high) = bounds(of);
        self.refunds.range(low..=high)
    }

    fn history(&self, of: Of) -> History {
        let (merchant, _) = of;
        let (low, high) = bounds(of);
        let mut sends = BTreeMap::new();
        for ((key, _), kind) in self.attempts.range((low, 0)..=(high, u32::MAX)) {
            if *kind == CallKind::Send {
                *sends.entry(key.refund).or_insert(0) += 1;
            }
        }
        let refunds = self.refunds_of(of);
        History {
            merchant,
            book: self.books[&of].clone(),
            events: self.events.get(&of).cloned().unwrap_or_default(),
            journal: self.journal.get(&of).cloned().unwrap_or_default(),
            refunds: refunds.map(|(_, record)| record.clone()).collect(),
            sends,
        }
    }
}

/// The first and the last id that a payment's refunds may have.
fn bounds((merchant, payment): Of) -> (RefundRef, RefundRef) {
    let low = RefundRef { merchant, payment, refund: RefundId::new(0) };
    (low, RefundRef { refund: RefundId::new(u128::MAX), ..low })
}

/// For planted bugs: the same book with another balance.
pub fn with_balance_of(book: &Book, old: &Payment) -> Book {
    Book { payment: old.clone(), ..book.clone() }
}
