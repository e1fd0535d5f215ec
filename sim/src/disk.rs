//! What survives a crash, and a store around it that fails or dies at drawn moments.
//!
//! [`Disk`] is the real SQLite store on a file, or the one in memory. [`Faulty`] is what the lane
//! is given: it passes everything on to the disk, except what its [`Tap`] says about the next
//! transactions. The world holds the other end of the tap: it reads there what was committed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use requite_core::id::{MerchantId, PaymentId, ReasonId};
use requite_core::payment::Payment;
use requite_engine::audit::Report;
use requite_engine::command::RefundRef;
use requite_engine::read::{MerchantView, ReasonView};
use requite_engine::registry::Registry;
use requite_engine::store::SqlReads;
use requite_engine::store::sqlite::{self, Open, Sqlite};
use requite_engine::store::{Changes, Commit, Loaded, RefundRecord, Store, StoreFault, Wanted};
use tempfile::TempDir;

use crate::bug::Bug;
use crate::memory::{Memory, with_balance_of};

/// The committed data of a run.
pub enum Disk {
    Memory(Arc<Mutex<Memory>>),
    File { store: Sqlite, folder: Arc<TempDir> },
}

impl Disk {
    pub fn memory(reasons: &[(MerchantId, ReasonId)]) -> Disk {
        Disk::Memory(Arc::new(Mutex::new(Memory::new(reasons.iter().copied()))))
    }

    /// A new SQLite file. Syncing is off: here it is the process that dies, never the machine.
    pub fn file(reasons: &[(MerchantId, ReasonId)]) -> Disk {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let path = folder.path().join("sim.db");
        std::fs::write(&path, empty_file()).expect("a temporary file can be written");
        let store = opened(&folder);
        let registry = sqlite::registry(&path, Open::Existing).expect("the store is there");
        let merchants: std::collections::BTreeSet<MerchantId> =
            reasons.iter().map(|(merchant, _)| *merchant).collect();
        for merchant in merchants {
            let own = reasons.iter().filter(|(of, _)| *of == merchant);
            let kept: Vec<ReasonView> = own.map(|(_, id)| reason(*id)).collect();
            let made = registry.create_merchant(&merchant_view(merchant), &kept);
            made.expect("a new merchant is created");
        }
        Disk::File { store, folder: Arc::new(folder) }
    }

    /// Another way to the same data, as the sweep and an audit have.
    pub fn second(&self) -> Disk {
        match self {
            Disk::Memory(memory) => Disk::Memory(Arc::clone(memory)),
            Disk::File { folder, .. } => {
                Disk::File { store: opened(folder), folder: Arc::clone(folder) }
            }
        }
    }

    /// What faces render answers from; only the real store has it.
    pub fn reads(&self) -> Option<SqlReads> {
        match self {
            Disk::Memory(_) => None,
            Disk::File { folder, .. } => {
                let path = folder.path().join("sim.db");
                Some(sqlite::reads(&path).expect("the store opens for reading"))
            }
        }
    }

    pub fn word(&self) -> &'static str {
        match self {
            Disk::Memory(_) => "memory",
            Disk::File { .. } => "sqlite",
        }
    }

    /// The process died. Nothing comes of that, but with a planted bug.
    pub fn crashed(&self, bug: Option<Bug>) {
        if let (Disk::Memory(memory), Some(Bug::ForgetOnCrash)) = (self, bug) {
            lock(memory).forget_newest();
        }
    }

    pub fn audit(&self) -> Result<Report, String> {
        match self {
            Disk::Memory(memory) => Ok(lock(memory).audit()),
            Disk::File { folder, .. } => {
                let path = folder.path().join("sim.db");
                sqlite::audit(&path, &mut |_, _| ()).map_err(|fault| fault.to_string())
            }
        }
    }
}

impl Store for Disk {
    fn transact(
        &mut self,
        wanted: &Wanted,
        decide: &mut dyn FnMut(Loaded) -> Changes,
    ) -> Result<Commit, StoreFault> {
        match self {
            Disk::Memory(memory) => lock(memory).transact(wanted, decide),
            Disk::File { store, .. } => store.transact(wanted, decide),
        }
    }

    fn due(&mut self, now_ms: i64, max: u32) -> Result<Vec<RefundRef>, StoreFault> {
        match self {
            Disk::Memory(memory) => lock(memory).due(now_ms, max),
            Disk::File { store, .. } => store.due(now_ms, max),
        }
    }

    fn in_flight(&mut self, max: u32) -> Result<Vec<RefundRef>, StoreFault> {
        match self {
            Disk::Memory(memory) => lock(memory).in_flight(max),
            Disk::File { store, .. } => store.in_flight(max),
        }
    }
}

fn lock(memory: &Mutex<Memory>) -> MutexGuard<'_, Memory> {
    memory.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// So many keys are brought into their index together: a run of the simulation sees many such.
const KEYS_RUN: usize = 8;

/// A file with the schema and nothing else, made once: migrations take longer than a short run.
fn empty_file() -> &'static [u8] {
    static EMPTY: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    EMPTY.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let path = folder.path().join("empty.db");
        drop(Sqlite::open(&path, Open::OrCreate).expect("a new store opens"));
        std::fs::read(&path).expect("it was just written")
    })
}

fn opened(folder: &TempDir) -> Sqlite {
    let path = folder.path().join("sim.db");
    let mut store = Sqlite::open(&path, Open::Existing).expect("the store opens again");
    store.index_keys_by(KEYS_RUN);
    store.forget_on_power_loss().expect("syncing can be switched off");
    store
}

fn merchant_view(id: MerchantId) -> MerchantView {
    MerchantView {
        id,
        slug: format!("m-{:x}", id.bits()),
        name: String::from("Simulated"),
        profile: String::from("{}"),
        created_at_ms: 0,
    }
}

fn reason(id: ReasonId) -> ReasonView {
    ReasonView {
        id,
        code: String::from("other"),
        label: String::from("Other"),
        description: None,
        created_at_ms: 0,
        updated_at_ms: 0,
        deleted_at_ms: None,
    }
}

/// What becomes of one transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Commit,
    /// It cannot even be begun.
    FailLoad,
    /// Decided, and rolled back.
    FailSave,
    /// A row breaks a constraint: everything written before it is rolled back.
    Constraint,
    /// It conflicts with another writer and is tried again from the start, then commits.
    TryAgain,
    /// Committed, and reported as failed.
    LoseAnswer,
    /// Committed, and found out only when it was read back.
    ReadBack,
    DieBeforeLoad,
    DieBeforeSave,
    /// All is written but the commit.
    DieBeforeCommit,
    DieAfterCommit,
}

impl Fate {
    pub fn word(self) -> &'static str {
        match self {
            Fate::Commit => "commit",
            Fate::FailLoad => "load fails",
            Fate::FailSave => "save fails",
            Fate::Constraint => "constraint broken",
            Fate::TryAgain => "conflict, tried again",
            Fate::LoseAnswer => "committed, reported as failed",
            Fate::ReadBack => "committed, read back",
            Fate::DieBeforeLoad => "before load",
            Fate::DieBeforeSave => "before save",
            Fate::DieBeforeCommit => "before commit",
            Fate::DieAfterCommit => "after commit",
        }
    }

    pub fn is_death(self) -> bool {
        matches!(
            self,
            Fate::DieBeforeLoad
                | Fate::DieBeforeSave
                | Fate::DieBeforeCommit
                | Fate::DieAfterCommit
        )
    }
}

/// One transaction as it went.
#[derive(Clone, Debug)]
pub struct Transacted {
    pub fate: Fate,
    /// What was decided; `None` when it did not come to that.
    pub changes: Option<Changes>,
    pub is_committed: bool,
    /// A broken constraint: the lane tries its commands one by one.
    pub is_constraint: bool,
    /// The store refused what should have been committed, and why.
    pub refused: Option<String>,
}

/// The world's end of the store.
#[derive(Debug, Default)]
pub struct Tap {
    /// What becomes of the next transactions; when empty, they commit.
    pub fates: VecDeque<Fate>,
    pub log: Vec<Transacted>,
    /// The process is dead: nothing reaches the disk any more.
    pub is_dead: bool,
    /// The next recovery cannot read.
    pub fails_recovery: bool,
    /// A planted bug is at work: the process dies when the step is over, its answers given.
    pub dies_after_step: bool,
    /// What another node does while the next transaction that is tried again is open.
    pub meanwhile: Meanwhile,
}

/// A step of another node's lane.
#[derive(Default)]
pub struct Meanwhile(pub Option<Box<dyn FnOnce() + Send>>);

impl std::fmt::Debug for Meanwhile {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Meanwhile({})", self.0.is_some())
    }
}

pub type SharedTap = Arc<Mutex<Tap>>;

/// Locks the tap. One thread runs the simulation, so it is never held by another.
pub fn tap(shared: &SharedTap) -> MutexGuard<'_, Tap> {
    shared.lock().expect("one thread runs a simulation")
}

/// The store that a lane is given.
pub struct Faulty {
    disk: Disk,
    tap: SharedTap,
    bug: Option<Bug>,
    /// Other nodes have it as well: at start nothing is woken.
    is_shared: bool,
    old_refunds: BTreeMap<RefundRef, RefundRecord>,
    old_payments: BTreeMap<(MerchantId, PaymentId), Payment>,
}

impl Faulty {
    pub fn new(disk: Disk, tap: SharedTap, bug: Option<Bug>) -> Faulty {
        if let (Disk::Memory(memory), Some(Bug::ForgetOnCrash)) = (&disk, bug) {
            lock(memory).keep_before();
        }
        let (old_refunds, old_payments) = (BTreeMap::new(), BTreeMap::new());
        Faulty { disk, tap, bug, is_shared: false, old_refunds, old_payments }
    }

    pub fn shared(self, is_shared: bool) -> Faulty {
        Faulty { is_shared, ..self }
    }

    /// Runs the transaction; `spoil` turns what was decided into what is written.
    fn run(
        &mut self,
        wanted: &Wanted,
        decide: &mut dyn FnMut(Loaded) -> Changes,
        spoil: &dyn Fn(&Changes) -> Changes,
    ) -> (Option<Changes>, Result<Commit, StoreFault>) {
        let Faulty { disk, bug, old_refunds, old_payments, .. } = self;
        let mut decided = None;
        let done = disk.transact(wanted, &mut |mut loaded| {
            match *bug {
                Some(Bug::DoubleSettle) => show_unsettled(&mut loaded, old_refunds),
                Some(Bug::StaleBook) => show_stale(&mut loaded, old_payments),
                _ => {}
            }
            let mut changes = decide(loaded);
            if *bug == Some(Bug::ForgetKeys) {
                changes.keys.clear();
            }
            let written = spoil(&changes);
            decided = Some(changes);
            written
        });
        (decided, done)
    }

    fn meet(
        &mut self,
        fate: Fate,
        wanted: &Wanted,
        decide: &mut dyn FnMut(Loaded) -> Changes,
    ) -> (Transacted, Result<Commit, StoreFault>) {
        let asis = |changes: &Changes| changes.clone();
        let nothing = |_: &Changes| Changes::default();
        let (changes, done) = match fate {
            Fate::DieBeforeLoad | Fate::FailLoad => (None, Ok(Commit::Heard)),
            Fate::DieBeforeSave | Fate::FailSave => self.run(wanted, decide, &nothing),
            Fate::DieBeforeCommit | Fate::Constraint => match self.disk {
                Disk::Memory(_) => self.run(wanted, decide, &nothing),
                Disk::File { .. } => self.run(wanted, decide, &poisoned),
            },
            Fate::Commit | Fate::LoseAnswer | Fate::ReadBack | Fate::DieAfterCommit => {
                self.run(wanted, decide, &asis)
            }
            Fate::TryAgain => {
                self.run(wanted, decide, &nothing).1.expect("an empty transaction succeeds");
                let other = tap(&self.tap).meanwhile.0.take();
                if let Some(step) = other {
                    step();
                }
                self.run(wanted, decide, &asis)
            }
        };
        let commits = matches!(
            fate,
            Fate::Commit
                | Fate::LoseAnswer
                | Fate::ReadBack
                | Fate::DieAfterCommit
                | Fate::TryAgain
        );
        let is_told = commits && fate != Fate::LoseAnswer;
        let refused = done.as_ref().err().filter(|_| commits).map(ToString::to_string);
        let answer = match done {
            Err(fault) if commits => Err(fault),
            _ if fate == Fate::ReadBack => Ok(Commit::ReadBack),
            _ if is_told => Ok(Commit::Heard),
            _ if fate == Fate::Constraint => Err(StoreFault::Constraint(String::from("simulated"))),
            _ if fate == Fate::LoseAnswer => Err(StoreFault::Unheard(String::from("simulated"))),
            _ if fate == Fate::FailLoad => Err(StoreFault::Unavailable(String::from("simulated"))),
            _ => Err(StoreFault::NotCommitted(String::from("simulated"))),
        };
        let transacted = Transacted {
            fate,
            changes,
            is_committed: commits && refused.is_none(),
            is_constraint: matches!(answer, Err(StoreFault::Constraint(_))),
            refused,
        };
        (transacted, answer)
    }
}

impl Store for Faulty {
    fn transact(
        &mut self,
        wanted: &Wanted,
        decide: &mut dyn FnMut(Loaded) -> Changes,
    ) -> Result<Commit, StoreFault> {
        if tap(&self.tap).is_dead {
            return Err(StoreFault::NotCommitted(String::from("dead")));
        }
        let fate = tap(&self.tap).fates.pop_front().unwrap_or(Fate::Commit);
        let (transacted, mut answer) = self.meet(fate, wanted, decide);
        let mut tap = tap(&self.tap);
        tap.log.push(transacted);
        let lies = self.bug == Some(Bug::AnswerBeforeCommit)
            && matches!(fate, Fate::DieBeforeSave | Fate::DieBeforeCommit);
        if lies {
            tap.dies_after_step = true;
            answer = Ok(Commit::Heard);
        } else if fate.is_death() {
            tap.is_dead = true;
            answer = Err(StoreFault::NotCommitted(String::from("dead")));
        }
        answer
    }

    fn due(&mut self, now_ms: i64, max: u32) -> Result<Vec<RefundRef>, StoreFault> {
        self.disk.due(now_ms, max)
    }

    fn in_flight(&mut self, max: u32) -> Result<Vec<RefundRef>, StoreFault> {
        let fails = std::mem::take(&mut tap(&self.tap).fails_recovery);
        if fails {
            return Err(StoreFault::NotCommitted(String::from("simulated")));
        }
        if self.is_shared {
            return Ok(Vec::new());
        }
        self.disk.in_flight(max)
    }
}

/// The same changes with their last event twice: the real store refuses it after it has written
/// everything before. Changes without events are dropped as a whole.
fn poisoned(changes: &Changes) -> Changes {
    let mut written = changes.clone();
    match changes.events.last() {
        Some(event) => written.events.push(event.clone()),
        None => written = Changes::default(),
    }
    written
}

fn show_unsettled(loaded: &mut Loaded, old: &mut BTreeMap<RefundRef, RefundRecord>) {
    for (key, record) in &mut loaded.refunds {
        if record.refund.status.is_open() {
            old.insert(*key, record.clone());
        } else if let Some(before) = old.remove(key) {
            *record = before;
        }
    }
}

fn show_stale(loaded: &mut Loaded, old: &mut BTreeMap<(MerchantId, PaymentId), Payment>) {
    for (of, book) in &mut loaded.books {
        match old.remove(of) {
            Some(before) => *book = with_balance_of(book, &before),
            None => {
                old.insert(*of, book.payment.clone());
            }
        }
    }
}
