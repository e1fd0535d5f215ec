//! Writes and syncs fail under load, with the process going on: `disk.c` breaks a share of them.

use std::path::Path;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::disk::Syncs;
use super::{Story, contents, lose_power, recording};
use crate::psp::rig::{Psp, Rig};
use crate::support::Options;
use crate::torture::{Load, has_each_once};

/// Of a thousand syncs, and of a thousand writes, so many fail; one after the other, for as long as [`TURN`].
const SHARES: [&str; 9] = ["0 0", "300 0", "0 0", "0 150", "0 0", "1000 0", "0 0", "100 50", "0 0"];
const TURN: Duration = Duration::from_millis(400);

fn set(faults: &Path, share: &str) {
    let next = faults.with_extension("next");
    std::fs::write(&next, share).expect("writable");
    std::fs::rename(&next, faults).expect("one folder");
}

/// Who is answered while it lasts is answered for good or told to ask again; in the end each key has its one
/// refund, the PSP was asked for nothing that was not on the disk before, and paid what we say that it paid. So it
/// is after a kill, and, out of the recording, after losses of power, as long as a later sync writes down what a failed
/// one did not (docs/how-we-know.md says what is not shown).
#[test]
fn while_syncs_and_writes_fail_nothing_is_lost_doubled_or_paid_unwritten() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);
    let (store, log, faults) = (at("requite.db"), at("recording"), at("faults"));
    let database = Some(format!("sqlite:{}", store.display()));
    let options = Options { database, ..Options::default() };
    let mut rig = Rig::open_with(Psp::start(&[]), options);
    let mut payments: Vec<Value> = (0..3).map(|_| rig.pay(1_000_000).payment).collect();
    let manual =
        json!({"amount": 1_000_000, "currency": "USD", "captures": [{"amount": 1_000_000}]});
    payments.push(rig.server.register(&rig.shop.native, &manual));
    assert_eq!(rig.server.sigterm().code(), Some(0));
    let before = contents(folder.path());
    set(&faults, SHARES[0]);
    rig.server.set_env("LD_PRELOAD", &recording::library().display().to_string());
    rig.server.set_env("DISK_STORE", &store.display().to_string());
    rig.server.set_env("DISK_LOG", &log.display().to_string());
    rig.server.set_env("DISK_FAULTS", &faults.display().to_string());
    rig.server.start_again();
    let load = Load::new(&rig.shop, payments.clone());
    load.under(rig.server.addr, 8, || {
        for share in SHARES {
            set(&faults, share);
            thread::sleep(TURN);
        }
    });
    let acknowledged = load.acknowledged.into_inner().expect("no panic");
    rig.server.kill9();
    rig.server.start_again();
    rig.settled();
    let made: Vec<Value> = payments.iter().flat_map(|it| rig.refunds_of(it)).collect();
    has_each_once(&made, &acknowledged);
    rig.agree();
    let records = recording::read(&log);
    let failed = records.iter().filter(|it| matches!(it, recording::Record::NotSynced { .. }));
    let failed = failed.count();
    println!("{} refunds acknowledged, {failed} syncs failed", acknowledged.len());
    assert!(failed > 20 && acknowledged.len() > 50, "there was load, and it hurt");
    let is_kept = |it: &recording::Record| !matches!(it, recording::Record::NotSynced { .. });
    let records = records.into_iter().filter(is_kept).collect();
    let amounts = acknowledged.into_values().map(|id| (id, 1)).collect();
    let story = Story { before, records, amounts };
    assert_eq!(lose_power(&story, 200, Syncs::Count), (200, Vec::new()));
}
