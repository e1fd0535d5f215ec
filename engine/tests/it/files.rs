use requite_engine::store::sqlite::{Open, OpenFault, ServerLock, Sqlite, SqliteReads};

use crate::support::{Bench, request};

#[test]
fn what_is_not_ours_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("other.db");
    assert!(matches!(Sqlite::open(&path, Open::Existing), Err(OpenFault::Missing(_))));
    assert!(!path.exists(), "no new file where none was asked for");
    let other = rusqlite::Connection::open(&path).expect("a file");
    other.execute_batch("create table t (x); insert into t values (1)").expect("its own");
    drop(other);
    let before = std::fs::read(&path).expect("readable");
    assert!(matches!(Sqlite::open(&path, Open::OrCreate), Err(OpenFault::Foreign(_))));
    assert_eq!(std::fs::read(&path).expect("readable"), before);
    let text = folder.path().join("notes.txt");
    std::fs::write(&text, "not a database, but long enough to be mistaken for a header of one")
        .expect("writable");
    assert!(matches!(Sqlite::open(&text, Open::OrCreate), Err(OpenFault::Unreadable { .. })));
}

#[test]
fn a_newer_schema_is_refused() {
    let bench = Bench::new();
    let connection = rusqlite::Connection::open(bench.path()).expect("a file");
    connection.pragma_update(None, "user_version", 99).expect("writable");
    let fault = Sqlite::open(&bench.path(), Open::OrCreate).err().expect("refused");
    assert!(matches!(fault, OpenFault::Newer { found: 99, .. }), "{fault}");
    assert!(fault.to_string().contains("99"), "{fault}");
}

#[test]
fn one_server_per_file() {
    let bench = Bench::new();
    let first = ServerLock::take(&bench.path()).expect("free");
    let second = ServerLock::take(&bench.path());
    assert!(matches!(second, Err(OpenFault::Served(_))), "{second:?}");
    drop(first);
    ServerLock::take(&bench.path()).expect("free again");
}

#[test]
fn a_second_process_may_write_while_the_lane_does() {
    let mut bench = Bench::with_payment("manual");
    let store = Sqlite::open(&bench.path(), Open::Existing).expect("our own file");
    let mut other = requite_engine::lane::Lane::new(store, ["manual"]);
    bench.refund(request(1, 1_000)).expect("made");
    let mut new = crate::support::registration("manual", &[500]);
    new.payment = requite_core::id::PaymentId::new(8);
    new.external_identifier = None;
    new.primary.id = requite_core::id::LegId::new(60);
    new.gift_cards.clear();
    let sent = other.step(vec![(
        requite_engine::command::Command::Register(Box::new(new)),
        Box::new(|reply| assert!(reply.is_ok(), "{reply:?}")),
    )]);
    assert!(sent.is_empty());
    bench.refund(request(2, 1_000)).expect("made");
    bench.check();
    SqliteReads::open(&bench.path()).expect("readable");
}
