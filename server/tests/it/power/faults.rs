//! Writes and syncs fail under load, with the process going on: `disk.c` breaks a share of them.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use serde_json::{Value, json};

use super::disk::Syncs;
use super::recording::Record;
use super::{Story, contents, lose_power, recording};
use crate::psp::rig::{Psp, Rig};
use crate::support::{Options, Server};
use crate::torture::{Load, has_each_once};

/// Of a thousand syncs, of a thousand writes, and of a thousand syncs of the file itself, so many fail; one after the
/// other, for as long as [`TURN`].
const SHARES: [&str; 11] = [
    "0 0 0", "300 0 0", "0 0 0", "0 150 0", "0 0 300", "0 0 1000", "0 0 0", "1000 0 0", "0 0 0",
    "100 50 0", "0 0 0",
];
const TURN: Duration = Duration::from_millis(400);
/// What a server ends with whose disk did not take what it copied back from its log.
const UNSYNCED_EXIT: i32 = 74;

fn set(faults: &Path, share: &str) {
    let next = faults.with_extension("next");
    std::fs::write(&next, share).expect("writable");
    std::fs::rename(&next, faults).expect("one folder");
}

/// Whoever ends by themselves is started again, as often as it takes, for as long as a turn. Says how often they
/// ended while they served.
fn keep_up(server: &mut Server, time: Duration) -> usize {
    let (end, mut ends) = (Instant::now() + time, 0);
    while Instant::now() < end {
        if let Some(status) = server.ended() {
            assert_eq!(status.code(), Some(UNSYNCED_EXIT), "{}", server.log());
            ends += usize::from(server.try_start_again().is_ok());
        }
        thread::sleep(Duration::from_millis(5));
    }
    ends
}

/// With a PSP, and from now on with a disk that does what `faults` says and is recorded. Also what was on it before.
fn rig_on_faulty_disk(folder: &Path, faults: &Path) -> (Rig, Vec<(String, Vec<u8>)>) {
    let store = folder.join("requite.db");
    let database = Some(format!("sqlite:{}", store.display()));
    let options = Options { database, ..Options::default() };
    let mut rig = Rig::open_with(Psp::start(&[]), options);
    assert_eq!(rig.server.sigterm().code(), Some(0));
    let before = contents(folder);
    set(faults, SHARES[0]);
    rig.server.set_env("LD_PRELOAD", &recording::library().display().to_string());
    rig.server.set_env("DISK_STORE", &store.display().to_string());
    rig.server.set_env("DISK_LOG", &folder.join("recording").display().to_string());
    rig.server.set_env("DISK_FAULTS", &faults.display().to_string());
    rig.server.start_again();
    (rig, before)
}

/// Who is answered while it lasts is answered for good or told to ask again; in the end each key has its one
/// refund, the PSP was asked for nothing that was not on the disk before, and paid what we say that it paid. So it
/// is after a kill, and, out of the recording, after losses of power, where what a failed sync did not write down is
/// written by no later one. A server that copied its log back and could not sync the file ended by itself.
#[test]
fn while_syncs_and_writes_fail_nothing_is_lost_doubled_or_paid_unwritten() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let faults = folder.path().join("faults");
    let (mut rig, before) = rig_on_faulty_disk(folder.path(), &faults);
    let mut payments: Vec<Value> = (0..3).map(|_| rig.pay(1_000_000).payment).collect();
    let manual =
        json!({"amount": 1_000_000, "currency": "USD", "captures": [{"amount": 1_000_000}]});
    payments.push(rig.server.register(&rig.shop.native, &manual));
    let (load, mut ends) = (Load::new(&rig.shop, payments.clone()), 0);
    load.under(rig.server.addr, 8, || {
        for share in SHARES {
            set(&faults, share);
            ends += keep_up(&mut rig.server, TURN);
        }
    });
    let acknowledged = load.acknowledged.into_inner().expect("no panic");
    rig.server.kill9();
    rig.server.start_again();
    rig.settled();
    let made: Vec<Value> = payments.iter().flat_map(|it| rig.refunds_of(it)).collect();
    has_each_once(&made, &acknowledged);
    rig.agree();
    let records = recording::read(&folder.path().join("recording"));
    let failed = records.iter().filter(|it| matches!(it, Record::NotSynced { .. })).count();
    println!("{} acknowledged, {failed} syncs failed, {ends} ends", acknowledged.len());
    assert!(failed > 20 && acknowledged.len() > 50, "there was load, and it hurt");
    let amounts = acknowledged.into_values().map(|id| (id, 1)).collect();
    let story = Story { before, records, amounts };
    assert_eq!(lose_power(&story, 300, Syncs::Count), (300, Vec::new()));
    assert!(ends > 0, "no server ended by itself");
}

/// What another process keeps alive of the store's memory is not believed after that: the server does not start
/// beside it, and says why.
#[test]
fn after_a_failed_sync_no_server_starts_beside_another_process() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let faults = folder.path().join("faults");
    let (mut rig, _) = rig_on_faulty_disk(folder.path(), &faults);
    let paid = rig.pay(1_000);
    let other = rusqlite::Connection::open(folder.path().join("requite.db")).expect("a store");
    // As ours does: the log is the server's.
    other.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).expect("a setting");
    let look = || other.query_row("select count(*) from refund", [], |row| row.get::<_, i64>(0));
    assert_eq!(look().expect("readable"), 0);
    set(&faults, "0 0 1000");
    let mut made = Vec::new();
    let end = Instant::now() + Duration::from_secs(60);
    while rig.server.ended().is_none() {
        assert!(Instant::now() < end, "it goes on with a file that cannot be synced");
        let answer = rig.refund_request(&paid, 1).try_send(rig.server.addr);
        made.extend(answer.ok().filter(|it| it.status == 201).map(|it| it.json()));
        thread::sleep(Duration::from_millis(20));
    }
    let (status, log) = (rig.server.ended().expect("it ended"), rig.server.log());
    assert_eq!(status.code(), Some(UNSYNCED_EXIT), "{log}");
    assert!(log.contains("Nothing is lost") && log.contains("start the server again"), "{log}");
    set(&faults, SHARES[0]);
    let refused = rig.server.try_start_again().expect_err("another process has it");
    assert_eq!(refused.code(), Some(UNSYNCED_EXIT), "{}", rig.server.log());
    assert!(rig.server.log().contains("another program still has the store open"));
    other.close().expect("nothing is under way");
    rig.server.start_again();
    let refunds = rig.refunds(&paid);
    for refund in made {
        assert!(refunds.iter().any(|it| it["id"] == refund["id"]), "{refund} was answered");
    }
}
