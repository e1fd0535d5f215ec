//! One batch: commands decided in order on state held in memory, collected into one set of
//! changes. Nothing here does I/O, so a transaction that is tried again decides the same.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use requite_core::id::{CaptureId, MerchantId, PaymentId, RefundId};
use requite_core::journal::Entry;
use requite_core::money::Minor;
use requite_core::refund::{Fault, Refund, Status};
use requite_core::settle::Change;

pub(super) use self::shown::Shown;
use super::{UnderWay, Waiters};
use crate::command::{
    Command, CommandError, Mark, Notice, Noticed, Obstacle, Reason, RefundRef, RefundReply,
    RefundRequest, Reply, Resolution,
};
use crate::event::{Event, Kind};
use crate::key::{self, KeyRecord};
use crate::psp::{Connectors, Instruction};
use crate::store::{
    Book, BookChange, Changes, JournalLine, Loaded, NewCapture, NewRelease, RefundChange, Wanted,
};

mod booking;
mod cancel;
mod news;
mod notice;
mod refund;
pub(crate) mod register;
mod resolve;
mod shown;

/// Who settles what nobody else is told to have settled.
const REQUITE: &str = "requite";

/// Milliseconds in a day, for reference counters.
const DAY_MS: i64 = 86_400_000;

/// A key that a requester came with, as it was recorded for them.
#[derive(Clone)]
pub(super) struct Hold {
    at: (MerchantId, [u8; 16]),
    record: KeyRecord,
    /// It binds for a while only, and may stand for a newer refund by the time they are answered.
    may_move: bool,
}

/// What becomes of one command once the batch is committed.
pub(super) enum Verdict {
    Answer(Result<Reply, CommandError>),
    Wait {
        refund: RefundRef,
        keys: Vec<Hold>,
        answers_unknown: bool,
        is_replay: bool,
    },
    /// A notice that is answered with what this call finds.
    Hear {
        refund: RefundRef,
        attempt: u32,
    },
}

/// What a call found, for notices that made it.
pub(super) struct Heard {
    pub refund: RefundRef,
    pub attempt: u32,
    pub noticed: Noticed,
}

/// What becomes of a batch once it is committed.
#[derive(Default)]
pub(super) struct Decided {
    /// One for each command, in order.
    pub verdicts: Vec<Verdict>,
    /// Refunds whose waiters are told now.
    pub settled: BTreeMap<RefundRef, RefundReply>,
    pub heard: Vec<Heard>,
    pub instructions: Vec<Instruction>,
    /// Refunds of this batch as of their newest event.
    pub shown: Shown,
}

impl Decided {
    /// Its calls count as lost, and their refunds are looked up when their time comes.
    pub(super) fn make_no_calls(&mut self) {
        self.instructions.clear();
        let later = Noticed::Later(Obstacle::CallUnderWay);
        for verdict in &mut self.verdicts {
            if matches!(verdict, Verdict::Hear { .. }) {
                *verdict = Verdict::Answer(Ok(Reply::Noticed(later)));
            }
        }
    }
}

/// What these commands need to see.
pub(super) fn wanted(commands: &[Command], waiters: &Waiters) -> Wanted {
    let mut wanted = Wanted::default();
    for command in commands {
        match command {
            Command::Register(new) => {
                wanted.payments.insert((new.merchant, new.payment));
                wanted.keys.extend(new.keys.iter().map(|key| (new.merchant, key.hash)));
                if let Some(text) = &new.external_identifier {
                    wanted.external_identifiers.insert((new.merchant, text.clone()));
                }
                if new.trace.as_ref().is_some_and(|trace| trace.wants_reference) {
                    wanted.counters.insert((new.merchant, day(new.at_ms)));
                }
            }
            Command::Book(request) => {
                let merchant = request.merchant;
                wanted.payments.insert((merchant, request.payment));
                wanted.keys.extend(request.keys.iter().map(|key| (merchant, key.hash)));
                if request.trace.wants_reference {
                    wanted.counters.insert((merchant, day(request.at_ms)));
                }
            }
            Command::Amend(request) => {
                wanted.payments.insert((request.merchant, request.payment));
                if let Some(Some(name)) = &request.external_identifier {
                    wanted.external_identifiers.insert((request.merchant, name.clone()));
                }
            }
            Command::Refund(request) | Command::Propose(request) => {
                want_refund(&mut wanted, request)
            }
            Command::Clarify { merchant, payment, .. } => {
                wanted.payments.insert((*merchant, *payment));
                wanted.nameless.insert((*merchant, *payment));
            }
            Command::Notice(notice) => want_notice(&mut wanted, notice),
            Command::Resolve(request) => want_resolved(&mut wanted, request, waiters),
            Command::Cancel(request) => {
                let RefundRef { merchant, payment, .. } = request.refund;
                wanted.payments.insert((merchant, payment));
                wanted.refunds.insert(request.refund);
                wanted.keys.extend(request.keys.iter().map(|key| (merchant, key.hash)));
            }
            Command::Settle { refund, .. }
            | Command::Wake { refund, .. }
            | Command::Expire { refund }
            | Command::Learn { refund } => {
                wanted.payments.insert((refund.merchant, refund.payment));
                wanted.refunds.insert(*refund);
                let waiting = waiters.get(refund).into_iter().flatten();
                let held = waiting.flat_map(|waiter| &waiter.keys);
                wanted.keys.extend(held.map(|hold| hold.at));
                if let Command::Settle { refund, finding } = command
                    && let Some(told) = finding.outcome.psp_refund()
                {
                    wanted.externals.insert((refund.merchant, refund.payment, told.to_owned()));
                }
            }
        }
    }
    wanted
}

fn want_resolved(wanted: &mut Wanted, request: &Resolution, waiters: &Waiters) {
    let RefundRef { merchant, payment, .. } = request.refund;
    wanted.payments.insert((merchant, payment));
    wanted.refunds.insert(request.refund);
    wanted.keys.extend(request.keys.iter().map(|key| (merchant, key.hash)));
    let waiting = waiters.get(&request.refund).into_iter().flatten();
    let held = waiting.flat_map(|waiter| &waiter.keys);
    wanted.keys.extend(held.map(|hold| hold.at));
    if let Some(told) = &request.psp_refund {
        wanted.externals.insert((merchant, payment, told.clone()));
    }
}

fn want_refund(wanted: &mut Wanted, request: &RefundRequest) {
    let merchant = request.merchant;
    wanted.payments.insert((merchant, request.payment));
    wanted.keys.extend(request.keys.iter().map(|key| (merchant, key.hash)));
    if let Reason::Kept(reason) = request.details.reason {
        wanted.reasons.insert((merchant, reason));
    }
    if request.details.wants_reference {
        wanted.counters.insert((merchant, day(request.ask.at_ms)));
    }
}

/// Refunds that a restored store does not know, and that the PSP told of.
pub(super) fn want_lost(wanted: &mut Wanted, commands: &[Command]) {
    for command in commands {
        if let Command::Refund(request) | Command::Propose(request) = command {
            let lost = key::lost(request.payment, request.ask.refund);
            wanted.keys.insert((request.merchant, lost));
        }
    }
}

fn want_notice(wanted: &mut Wanted, notice: &Notice) {
    let (merchant, payment) = (notice.merchant, notice.payment);
    wanted.payments.insert((merchant, payment));
    if let Some(told) = notice.outcome.psp_refund() {
        wanted.psp_refunds.insert((merchant, payment, told.to_owned()));
    }
    match notice.mark {
        Mark::Ours(refund) => {
            wanted.refunds.insert(RefundRef { merchant, payment, refund });
            wanted.keys.insert((merchant, key::lost(payment, refund)));
        }
        Mark::Unstated => {
            wanted.nameless.insert((merchant, payment));
        }
        Mark::NotOurs => {}
    }
}

fn day(at_ms: i64) -> i64 {
    at_ms.div_euclid(DAY_MS)
}

/// What an event says besides what the payment's head knows.
struct Happening {
    kind: Kind,
    subject: u128,
    amount: Minor,
    /// Of what was declined. A refund's is the refund's own.
    fault: Option<Fault>,
    actor: String,
    at_ms: i64,
}

#[derive(Default)]
struct Touched {
    balances: BTreeSet<CaptureId>,
    new_captures: Vec<NewCapture>,
    new_releases: Vec<NewRelease>,
    is_new: bool,
}

pub(super) struct Batch<'a> {
    loaded: Loaded,
    connectors: &'a dyn Connectors,
    waiters: &'a Waiters,
    under_way: &'a UnderWay,
    /// What batches before this one kept of refunds that are waited for.
    kept: &'a Shown,
    shown: Shown,
    touched: BTreeMap<(MerchantId, PaymentId), Touched>,
    keys: HashMap<(MerchantId, [u8; 16]), KeyRecord>,
    changes: Changes,
    decided: Decided,
    /// Refunds that this batch accepted and whose requester waits.
    awaited: HashSet<RefundRef>,
    /// Refunds for which this batch makes a call.
    called: HashSet<RefundRef>,
    new_refunds: HashSet<RefundRef>,
    /// Refunds that were made elsewhere: loaded ones, and those of this batch.
    externals: Vec<RefundRef>,
    changed_refunds: BTreeMap<RefundRef, i64>,
}

impl<'a> Batch<'a> {
    pub(super) fn new(
        loaded: Loaded,
        connectors: &'a dyn Connectors,
        (waiters, under_way, kept): (&'a Waiters, &'a UnderWay, &'a Shown),
    ) -> Batch<'a> {
        let externals = loaded.refunds.iter().filter(|(_, record)| record.is_external);
        let externals = externals.map(|(key, _)| *key).collect();
        Batch {
            loaded,
            externals,
            connectors,
            waiters,
            under_way,
            kept,
            shown: Shown::new(),
            touched: BTreeMap::new(),
            keys: HashMap::new(),
            changes: Changes::default(),
            decided: Decided::default(),
            awaited: HashSet::new(),
            called: HashSet::new(),
            new_refunds: HashSet::new(),
            changed_refunds: BTreeMap::new(),
        }
    }

    /// Decides one command on what the commands before it left.
    pub(super) fn take(&mut self, command: &Command) {
        let verdict = match command {
            Command::Register(new) => Verdict::Answer(self.register(new)),
            Command::Book(request) => Verdict::Answer(self.book_operation(request)),
            Command::Amend(request) => Verdict::Answer(self.amend(request)),
            Command::Refund(request) => self.refund(request, true),
            Command::Propose(request) => self.refund(request, false),
            Command::Clarify { merchant, payment, at_ms } => {
                self.clarify((*merchant, *payment), *at_ms)
            }
            Command::Notice(notice) => self.notice(notice),
            Command::Resolve(request) => Verdict::Answer(self.resolve(request)),
            Command::Cancel(request) => self.cancel(request),
            Command::Settle { refund, finding } => {
                self.settle(*refund, finding);
                Verdict::Answer(Ok(Reply::Noted))
            }
            Command::Wake { refund, at_ms, is_restart } => {
                self.wake(*refund, *at_ms, *is_restart);
                Verdict::Answer(Ok(Reply::Noted))
            }
            Command::Expire { refund } => {
                self.answer_waiters(*refund);
                Verdict::Answer(Ok(Reply::Noted))
            }
            Command::Learn { refund } => {
                self.learn(*refund);
                Verdict::Answer(Ok(Reply::Noted))
            }
        };
        self.decided.verdicts.push(verdict);
    }

    /// Everything that changed, to be committed as one.
    pub(super) fn finish(mut self) -> (Decided, Changes) {
        for ((merchant, payment), touched) in self.touched {
            let book = self.loaded.books.remove(&(merchant, payment));
            let book = book.expect("only loaded payments are touched");
            let Touched { balances, new_captures, new_releases, is_new } = touched;
            let change =
                BookChange { merchant, book, balances, new_captures, new_releases, is_new };
            self.changes.books.push(change);
        }
        for new in &mut self.changes.new_refunds {
            let record = self.loaded.refunds.get(&new.key);
            new.record = record.expect("a new refund is kept beside the loaded ones").clone();
        }
        for (key, at_ms) in self.changed_refunds {
            if self.new_refunds.contains(&key) {
                continue;
            }
            let record = self.loaded.refunds.get(&key).expect("only loaded refunds change");
            self.changes.refunds.push(RefundChange { key, record: record.clone(), at_ms });
        }
        self.changes.keys.extend(self.keys);
        self.decided.shown = self.shown;
        (self.decided, self.changes)
    }

    fn book(&mut self, of: (MerchantId, PaymentId)) -> Option<&mut Book> {
        self.loaded.books.get_mut(&of)
    }

    /// Makes a refund of this batch its payment's newest. Which was so before it.
    fn follow(&mut self, key: RefundRef) -> Option<RefundId> {
        self.new_refunds.insert(key);
        let book = self.book((key.merchant, key.payment)).expect("its event was just recorded");
        book.newest_refund.replace(key.refund)
    }

    fn seq(&self, of: (MerchantId, PaymentId)) -> u32 {
        self.loaded.books.get(&of).map_or(0, |book| book.seq)
    }

    /// Applies a change of a refund: its row, its money, and an event when its status or the PSP's
    /// id changed.
    fn change(&mut self, key: RefundRef, change: &Change, at_ms: i64) {
        self.change_by(key, change, (REQUITE, at_ms));
    }

    fn change_by(&mut self, key: RefundRef, change: &Change, (actor, at_ms): (&str, i64)) {
        self.recall(key);
        let record = self.loaded.refunds.get_mut(&key).expect("the caller found it");
        let is_event = record.refund.status != change.refund.status
            || record.refund.psp_refund != change.refund.psp_refund;
        record.refund = change.refund.clone();
        self.changed_refunds.insert(key, at_ms);
        if is_event {
            let by = (actor.to_owned(), at_ms);
            self.record_refund(key, &change.refund, &change.entries, by);
        }
    }

    fn record_refund(
        &mut self,
        key: RefundRef,
        refund: &Refund,
        entries: &[Entry],
        (actor, at_ms): (String, i64),
    ) {
        if let Some(shown) = self.shown.get_mut(&key) {
            let told = (refund.status, refund.psp_refund.clone());
            Arc::make_mut(shown).refund.retell(told, refund.fault.clone(), at_ms);
        }
        let happening = Happening {
            kind: Kind::Refund,
            subject: refund.id.bits(),
            amount: refund.amount,
            fault: refund.fault.clone(),
            actor,
            at_ms,
        };
        self.record((key.merchant, key.payment), happening, entries, Some(refund));
    }

    /// The one place where a payment's history and balances move on.
    fn record(
        &mut self,
        of: (MerchantId, PaymentId),
        happening: Happening,
        entries: &[Entry],
        refund: Option<&Refund>,
    ) {
        let book = self.loaded.books.get_mut(&of).expect("the caller found it");
        book.payment.post(entries).expect("core decided on this very state");
        book.seq = book.seq.checked_add(1).expect("a payment has fewer events than 2^32");
        let Happening { kind, subject, amount, fault, actor, at_ms } = happening;
        let mut event = Event {
            merchant: of.0,
            payment: of.1,
            seq: book.seq,
            kind,
            subject,
            amount,
            status: refund.map(|refund| refund.status),
            psp_refund: refund.and_then(|refund| refund.psp_refund.clone()),
            fault,
            actor,
            at_ms,
            hash: [0; 32],
        };
        event.hash = event.hash_after(&book.hash);
        book.hash = event.hash;
        book.updated_at_ms = at_ms;
        let touched = self.touched.entry(of).or_default();
        touched.balances.extend(entries.iter().map(|entry| entry.capture));
        let lines = entries.iter().zip(0_u32..).map(|(entry, line)| JournalLine {
            merchant: of.0,
            payment: of.1,
            about: event.about(),
            seq: event.seq,
            line,
            entry: *entry,
        });
        self.changes.journal.extend(lines);
        self.changes.events.push(event);
    }
}

/// Is this status a final answer for a dialect? One without a word for "unknown" has not answered
/// until there is an outcome.
fn is_answer(status: Status, answers_unknown: bool) -> bool {
    answers_unknown || !matches!(status, Status::Unknown | Status::Dispatched | Status::Ready)
}
