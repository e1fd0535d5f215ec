//! The machine itself fails: its power goes out (F5), its disk refuses ([`faults`]), its clock is set ([`clock`]).
//!
//! What a real server does to its files under load is recorded once, in order, together with what it says to
//! clients and PSPs (`power/disk.c`, preloaded). From that one recording any number of losses of power are made:
//! a moment, and a folder as it may be found afterwards ([`disk`]). Each is opened with the engine.
//!
//! Start at [`after_a_loss_of_power_nothing_that_was_said_is_lost`].

mod clock;
mod disk;
mod faults;
mod recording;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use requite_core::id::parse_uuid;
use requite_engine::store::sqlite::{self, Open, OpenFault, ServerLock, Sqlite};
use serde_json::{Value, json};

pub(crate) use self::disk::Dice;
use self::disk::{Disk, Syncs};
use self::recording::Record;
use crate::psp::rig::{Psp, Rig};
use crate::support::{Cli, FACES, Options};

/// Losses of power in `./test`; `REQUITE_POWER_LOSSES` asks for more.
const LOSSES: usize = 1_000;
/// Refunds between two pauses, in which the log is copied back and begun anew.
const BURST: usize = 60;
const BURSTS: usize = 5;

/// A server's files before the recording, the recording, and which amounts its clients asked for.
struct Story {
    before: Vec<(String, Vec<u8>)>,
    records: Vec<Record>,
    /// By the refund's id.
    amounts: BTreeMap<String, i64>,
}

/// What the server had said until a moment.
#[derive(Clone, Default)]
struct Said {
    /// Ids of refunds that a client was told of.
    acknowledged: Vec<String>,
    /// Ids of refunds that a PSP was asked for.
    asked: Vec<String>,
}

impl Said {
    fn take(&mut self, record: &Record) {
        let Record::Sent { text } = record else { return };
        let after = |mark: &str| {
            let rest = text.split_once(mark)?.1;
            Some(rest.split(['\r', '\n']).next().unwrap_or_default().trim().to_owned())
        };
        if text.starts_with("HTTP/1.1 2") {
            self.acknowledged.extend(after("requite-refund-id:"));
        }
        if text.starts_with("POST ") {
            self.asked.extend(after("idempotency-key: requite-"));
        }
    }
}

/// F5: a thousand losses of power out of one recording. The store opens and is whole, every refund that a client
/// was told of is there with its amount, and so is the attempt of every call that a PSP received. Were syncs not
/// waited for, the same test would find losses: it does, when it is told to forget them.
#[test]
fn after_a_loss_of_power_nothing_that_was_said_is_lost() {
    let asked = std::env::var("REQUITE_POWER_LOSSES").ok();
    let losses = asked.map_or(LOSSES, |text| text.parse().expect("a number"));
    let story = recorded();
    let (tried, broken) = lose_power(&story, losses, Syncs::Count);
    println!("{tried} losses of power, {} records", story.records.len());
    assert_eq!((tried, broken), (losses, Vec::<String>::new()));
    let (tried, broken) = lose_power(&story, 40, Syncs::AreForgotten);
    println!("without syncs {} of {tried} losses are noticed", broken.len());
    assert!(broken.len() * 2 > tried, "a test that does not miss syncs: {broken:?}");
}

/// The store is made while the power goes out: it is there whole, or it is made anew.
#[test]
fn a_loss_of_power_while_the_store_is_made_leaves_a_whole_one_or_none() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (store, log) = (folder.path().join("requite.db"), folder.path().join("recording"));
    let cli = Cli::new(&format!("sqlite:{}", store.display()));
    let cli = cli.env("LD_PRELOAD", &recording::library().display().to_string());
    let cli = cli.env("DISK_STORE", &store.display().to_string());
    let cli = cli.env("DISK_LOG", &log.display().to_string());
    cli.merchant("Shop");
    let records = recording::read(&log);
    assert!(records.iter().any(|record| matches!(record, Record::Linked { .. })));
    let story = Story { before: Vec::new(), records, amounts: BTreeMap::new() };
    assert_eq!(lose_power(&story, 200, Syncs::Count), (200, Vec::new()));
}

/// A server under load: refunds through all faces, some of them paid by a PSP, and payments registered meanwhile.
fn recorded() -> Story {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = folder.path().join("requite.db");
    let log = folder.path().join("recording");
    let database = Some(format!("sqlite:{}", store.display()));
    let options = Options { database, ..Options::default() };
    let mut rig = Rig::open_with(Psp::start(&[]), options);
    let paid: Vec<Value> = (0..3).map(|_| rig.pay(1_000_000).payment).collect();
    assert_eq!(rig.server.sigterm().code(), Some(0));
    let before = contents(folder.path());
    let preload = recording::library().display().to_string();
    rig.server.set_env("LD_PRELOAD", &preload);
    rig.server.set_env("DISK_STORE", &store.display().to_string());
    rig.server.set_env("DISK_LOG", &log.display().to_string());
    rig.server.start_again();
    let manual =
        json!({"amount": 1_000_000, "currency": "USD", "captures": [{"amount": 1_000_000}]});
    let mut amounts = BTreeMap::new();
    for burst in 0..BURSTS {
        let mut payments = paid.clone();
        payments.push(rig.server.register(&rig.shop.native, &manual));
        amounts.extend(refunds(&rig, &payments, burst));
        // Long enough for a checkpoint, after which the log begins anew.
        thread::sleep(Duration::from_millis(400));
    }
    assert_eq!(rig.server.sigterm().code(), Some(0));
    let records = recording::read(&log);
    let story = Story { before, records, amounts };
    story.is_worth_it();
    story
}

/// One burst of refunds from eight clients; the amount of each by its id.
fn refunds(rig: &Rig, payments: &[Value], burst: usize) -> BTreeMap<String, i64> {
    let (next, made) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    let (address, shop) = (rig.server.addr, &rig.shop);
    let client = || {
        loop {
            let number = next.fetch_add(1, Ordering::AcqRel);
            if number >= BURST {
                return;
            }
            let cents = 1 + u32::try_from(number).expect("few") % 9;
            let (face, key) = (FACES[number % FACES.len()], format!("key-{burst}-{number}"));
            let request = shop.refund(face, &payments[number % payments.len()], cents);
            let answer = request.header("idempotency-key", &key).send(address);
            assert!(face.accepted(&answer), "{face:?}: {} {}", answer.status, answer.text());
            let id = answer.header("requite-refund-id").expect("it is named").to_owned();
            made.lock().expect("no panic").insert(id, i64::from(cents));
        }
    };
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(client);
        }
    });
    made.into_inner().expect("no panic")
}

/// The files of a store in a folder.
fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries =
        std::fs::read_dir(folder).expect("readable").map(|entry| entry.expect("readable"));
    let named =
        entries.map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path()));
    let of_store =
        named.filter(|(name, _)| [".db", "-wal", ".lock"].iter().any(|end| name.ends_with(end)));
    of_store.map(|(name, path)| (name, std::fs::read(path).expect("readable"))).collect()
}

impl Story {
    /// All that a server's disk may be asked for is in the recording, and all that it said.
    fn is_worth_it(&self) {
        let count = |is: &dyn Fn(&Record) -> bool| self.records.iter().filter(|it| is(it)).count();
        let begun =
            count(&|it| matches!(it, Record::Written { at: 0, bytes, .. } if bytes.len() == 32));
        let synced = count(&|it| matches!(it, Record::Synced { .. }));
        let removed = count(&|it| matches!(it, Record::Removed { .. }));
        let folders = count(&|it| matches!(it, Record::FolderSynced));
        println!(
            "{begun} beginnings of the log, {synced} syncs, {removed} removals, {folders} of the folder"
        );
        assert!(begun >= 2, "the log began anew under load");
        assert!(synced > BURSTS * 4 && removed >= 1 && folders >= 1);
        let mut said = Said::default();
        self.records.iter().for_each(|record| said.take(record));
        assert_eq!(said.acknowledged.len(), BURST * BURSTS, "each refund was answered once");
        assert_eq!(self.amounts.len(), BURST * BURSTS);
        assert!(said.asked.len() > BURST * BURSTS / 2, "the PSP was asked for most of them");
    }
}

/// So many losses of power at moments of a story: how many were tried, and what was found broken.
fn lose_power(story: &Story, losses: usize, syncs: Syncs) -> (usize, Vec<String>) {
    let mut dice = Dice::new(losses as u64);
    let mut moments: Vec<usize> =
        (0..losses).map(|_| dice.below(story.records.len() + 1)).collect();
    moments.sort_unstable();
    let (sender, receiver) = std::sync::mpsc::sync_channel::<Loss>(4);
    let (receiver, tried) = (Mutex::new(receiver), AtomicUsize::new(0));
    let broken = Mutex::new(Vec::new());
    let check = || {
        loop {
            let Ok(loss) = receiver.lock().expect("no panic").recv() else { return };
            tried.fetch_add(1, Ordering::AcqRel);
            if let Err(why) = loss.check(story) {
                broken.lock().expect("no panic").push(format!("record {}: {why}", loss.moment));
            }
        }
    };
    thread::scope(|scope| {
        scope.spawn(check);
        scope.spawn(check);
        let (mut disk, mut said) = (Disk::new(&story.before, syncs), Said::default());
        let mut records = story.records.iter().enumerate().peekable();
        for moment in moments {
            while let Some((_, record)) = records.next_if(|(number, _)| *number < moment) {
                disk.take(record);
                said.take(record);
            }
            let files = disk.survivors(&mut dice);
            let loss = Loss { moment, files, said: said.clone() };
            sender.send(loss).expect("it is waited for");
        }
        drop(sender);
    });
    (tried.into_inner(), broken.into_inner().expect("no panic"))
}

/// A store as it may be found after the power went out.
struct Loss {
    moment: usize,
    files: Vec<(String, Vec<u8>)>,
    said: Said,
}

impl Loss {
    fn check(&self, story: &Story) -> Result<(), String> {
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let folder = tempfile::tempdir_in(folder).expect("a temporary folder");
        for (name, bytes) in &self.files {
            std::fs::write(folder.path().join(name), bytes).expect("writable");
        }
        let path = folder.path().join("requite.db");
        // As a server starts: what is damaged, or has lost what belongs to it, is refused.
        let refused = |fault: OpenFault| fault.to_string();
        let mut lock = ServerLock::take(&path).map_err(refused)?;
        Sqlite::open(&path, Open::OrCreate).map(drop).map_err(refused)?;
        lock.serve().map_err(refused)?;
        let report =
            sqlite::audit(&path, &mut |_, _| ()).map_err(|fault| format!("verify: {fault}"))?;
        if let Some(violation) = report.violations.first() {
            return Err(format!("verify: {violation:?}"));
        }
        let reader = rusqlite::Connection::open(&path).map_err(|fault| fault.to_string())?;
        self.nothing_is_missing(&reader, story).map_err(|fault| fault.to_string())?
    }

    fn nothing_is_missing(
        &self,
        reader: &rusqlite::Connection,
        story: &Story,
    ) -> rusqlite::Result<Result<(), String>> {
        let mut amount =
            reader.prepare("select sum(amount_minor) from refund where refund_id = ?1")?;
        for id in &self.said.acknowledged {
            let bytes = parse_uuid(id).expect("an id").to_be_bytes();
            let found: Option<i64> = amount.query_row([bytes], |row| row.get(0))?;
            let asked = story.amounts.get(id).copied();
            if found != asked {
                return Ok(Err(format!(
                    "refund {id} of {asked:?} was answered, {found:?} is here"
                )));
            }
        }
        let sql = "select count(*) from attempt where refund_id = ?1 and kind = 1";
        let mut attempts = reader.prepare(sql)?;
        for id in &self.said.asked {
            let bytes = parse_uuid(id).expect("an id").to_be_bytes();
            let found: i64 = attempts.query_row([bytes], |row| row.get(0))?;
            if found == 0 {
                return Ok(Err(format!("a PSP was asked for refund {id} without an attempt")));
            }
        }
        Ok(Ok(()))
    }
}
