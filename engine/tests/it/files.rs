use requite_engine::store::sqlite::{self, Open, OpenFault, ServerLock, Sqlite};

use crate::audit::found;
use crate::support::{Bench, KEYS_RUN, keyed, request};

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
    assert!(matches!(Sqlite::open(&text, Open::OrCreate), Err(OpenFault::Damaged { .. })));
}

#[test]
fn a_newer_schema_is_refused() {
    let bench = Bench::new();
    let connection = rusqlite::Connection::open(bench.place.path()).expect("a file");
    connection.pragma_update(None, "user_version", 99).expect("writable");
    let fault = Sqlite::open(&bench.place.path(), Open::OrCreate).err().expect("refused");
    assert!(matches!(fault, OpenFault::Newer { found: 99, .. }), "{fault}");
    assert!(fault.to_string().contains("99"), "{fault}");
}

#[test]
fn one_server_per_file() {
    let bench = Bench::new();
    let first = ServerLock::take(&bench.place.path()).expect("free");
    let second = ServerLock::take(&bench.place.path());
    assert!(matches!(second, Err(OpenFault::Served(_))), "{second:?}");
    drop(first);
    ServerLock::take(&bench.place.path()).expect("free again");
}

#[test]
fn a_second_process_may_write_while_the_lane_does() {
    let mut bench = Bench::with_payment("manual");
    let store = Sqlite::open(&bench.place.path(), Open::Existing).expect("our own file");
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
    sqlite::reads(&bench.place.path()).expect("readable");
}

/// A payment with a capture, two refunds, and keys, as the first program wrote them.
const OF_THE_FIRST: &str = "pragma user_version = 1; pragma application_id = 1919250805;
        insert into payment (merchant_id, payment_id, currency, exponent, connector, profile,
            fingerprint, created_at_ms)
        values (x'00000000000000000000000000000001', x'00000000000000000000000000000007', 'USD',
            2, 'manual', '{}', x'01010101010101010101010101010101', 5);
        insert into payment_head (merchant_id, payment_id, seq, hash, calls)
        values (x'00000000000000000000000000000001', x'00000000000000000000000000000007', 1,
            zeroblob(32), 0);
        insert into leg (merchant_id, payment_id, leg_no, leg_id, amount_minor)
        values (x'00000000000000000000000000000001', x'00000000000000000000000000000007', 0,
            x'00000000000000000000000000000032', 100);
        insert into event (merchant_id, payment_id, seq, kind, subject, amount_minor, actor, at_ms,
            hash)
        values (x'00000000000000000000000000000001', x'00000000000000000000000000000007', 1, 1,
            x'00000000000000000000000000000007', 100, 'test', 5, zeroblob(32));
        insert into capture (merchant_id, payment_id, seq, capture_id, leg_no, captured_minor,
            voided_minor, refunded_minor, reserved_minor, disputed_minor, excess_minor,
            captured_at_ms)
        values (x'00000000000000000000000000000001', x'00000000000000000000000000000007', 2,
            x'00000000000000000000000000000064', 0, 100, 0, 30, 0, 0, 0, 5);
        insert into event (merchant_id, payment_id, seq, kind, subject, amount_minor, status, actor,
            at_ms, hash)
        values (x'00000000000000000000000000000001', x'00000000000000000000000000000007', 2, 2,
            x'00000000000000000000000000000064', 100, null, 'test', 5, zeroblob(32)),
            (x'00000000000000000000000000000001', x'00000000000000000000000000000007', 3, 4,
            x'00000000000000000000000000000091', 10, 9, 'test', 6, zeroblob(32)),
            (x'00000000000000000000000000000001', x'00000000000000000000000000000007', 4, 4,
            x'00000000000000000000000000000090', 20, 9, 'test', 7, zeroblob(32));
        update payment_head set seq = 4;
        insert into journal (merchant_id, payment_id, seq, line, capture_id, debit, credit,
            amount_minor)
        values (x'00000000000000000000000000000001', x'00000000000000000000000000000007', 2, 0,
            x'00000000000000000000000000000064', 1, 2, 100),
            (x'00000000000000000000000000000001', x'00000000000000000000000000000007', 4, 0,
            x'00000000000000000000000000000064', 2, 3, 20);
        insert into refund (merchant_id, refund_id, payment_id, leg_id, amount_minor,
            allocated_minor, status, attempt, sends, looks, call_no, face, actor, asked_seq,
            asked_at_ms, updated_at_ms)
        values (x'00000000000000000000000000000001', x'00000000000000000000000000000091',
            x'00000000000000000000000000000007', x'00000000000000000000000000000032', 10, 10, 9,
            0, 0, 0, 0, 'native', 'test', 3, 6, 6),
            (x'00000000000000000000000000000001', x'00000000000000000000000000000090',
            x'00000000000000000000000000000007', x'00000000000000000000000000000032', 20, 20, 9,
            0, 0, 0, 0, 'native', 'test', 4, 7, 7);
        insert into idempotency (merchant_id, key_hash, fingerprint, at_ms, payment_id, refund_id,
            answered_seq, answered_status)
        values (x'00000000000000000000000000000001', zeroblob(16), zeroblob(16), 5,
            x'00000000000000000000000000000007', zeroblob(16), 1, 9);
        insert into idempotency (merchant_id, key_hash, fingerprint, at_ms, refusal)
        values (x'00000000000000000000000000000001', x'00000000000000000000000000000009',
            zeroblob(16), 5, 'nothing_left');
        insert into api_key (merchant_id, key_id, face, created_at_ms)
        values (x'00000000000000000000000000000001', zeroblob(16), 'mpg', 5);
        insert into key_lookup (lookup, merchant_id, key_id)
        values (zeroblob(32), x'00000000000000000000000000000001', zeroblob(16));";

/// A store of the first schema, with a payment, its refund and a key, is brought up to date and goes on.
#[test]
fn an_older_store_is_brought_up_to_date() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("old.db");
    let old = rusqlite::Connection::open(&path).expect("a file");
    old.execute_batch(include_str!("../../migrations/sqlite/0001_first.sql")).expect("its schema");
    old.execute_batch(OF_THE_FIRST).expect("written by the first program");
    drop(old);
    drop(Sqlite::open(&path, Open::Existing).expect("brought up to date"));
    drop(Sqlite::open(&path, Open::Existing).expect("and left alone from then on"));
    let new = rusqlite::Connection::open(&path).expect("a file");
    let count = |sql: &str| new.query_row(sql, [], |row| row.get::<_, i64>(0)).expect("read");
    assert_eq!(count("select count(*) from idempotency"), 2);
    assert_eq!(count("select updated_at_ms from payment_head"), 7);
    for table in ["idempotency_index", "key_lookup"] {
        let planned = format!("select count(*) from sqlite_stat1 where tbl = '{table}'");
        assert_eq!(count(&planned), 1, "the planner is still told of the shape of {table}");
    }
    let filter = requite_engine::read::PaymentFilter {
        limit: 10,
        ..requite_engine::read::PaymentFilter::default()
    };
    let reads = sqlite::reads(&path).expect("our own file");
    let merchant = requite_core::id::MerchantId::new(1);
    let keys = requite_engine::read::Reads::keys(&reads, &[0; 32]).expect("read");
    assert_eq!(keys.iter().map(|key| key.merchant).collect::<Vec<_>>(), [merchant]);
    let listed = requite_engine::read::Reads::payments(&reads, merchant, &filter).expect("read");
    assert_eq!(listed.len(), 1);
    let history = requite_engine::read::HistoryPage { limit: 9, ..Default::default() };
    let payment = requite_core::id::PaymentId::new(7);
    let events = requite_engine::read::Reads::events(&reads, merchant, payment, &history);
    let events = events.expect("read").into_iter().map(|view| (view.event.seq, view.event.subject));
    assert_eq!(events.collect::<Vec<_>>(), [(1, 7), (2, 0x64), (3, 0x91), (4, 0x90)]);
    let journal = requite_engine::read::Reads::journal(&reads, merchant, payment, &history);
    let lines = journal.expect("read").lines.into_iter().map(|line| (line.seq, line.subject));
    assert_eq!(lines.collect::<Vec<_>>(), [(2, 0x64), (4, 0x90)]);
    let refunds: Vec<u128> = listed[0].refunds.iter().map(|refund| refund.id.bits()).collect();
    assert_eq!(refunds, [0x91, 0x90]);
    let captured = &listed[0].legs[0].captures[0];
    assert_eq!((captured.amount.units(), captured.at_ms), (100, 5));
}

/// Runs of five keys: three commits after the last of them all five are in, and the next run has begun when it is full.
#[test]
fn the_index_follows_the_keys_by_less_than_two_runs() {
    assert_eq!(KEYS_RUN, 5);
    let mut bench = Bench::with_payment("manual");
    for number in 1..=60 {
        bench.refund(keyed(1_000 + number, 10, &format!("k{number}"))).expect("it fits");
    }
    let file = rusqlite::Connection::open(bench.place.path()).expect("our own file");
    let count = |sql: &str| file.query_row(sql, [], |row| row.get::<_, i64>(0)).expect("read");
    assert_eq!(count("select newest from idempotency_indexed"), 55);
    assert_eq!(count("select count(*) from idempotency_index"), 55);
    let right =
        "select count(*) from idempotency_index join idempotency using (no, merchant_id, key_hash)";
    assert_eq!(count(right), 55);
    bench.check();
}

/// On SQLite a key and what finds it are two rows.
#[test]
fn a_key_that_is_not_found_is() {
    for sql in [
        "delete from idempotency_index where no = 2",
        "update idempotency_index set no = 3 where no = 2",
        "update idempotency set key_hash = (select key_hash from idempotency where no = 1) where no = 4",
        "update idempotency_indexed set newest = 9",
    ] {
        let mut bench = Bench::with_payment("manual");
        for number in 1..=9 {
            bench.refund(keyed(100 + number, 10, &format!("k{number}"))).expect("it fits");
        }
        let found = found(&bench, sql);
        assert!(!found.is_empty(), "{sql}");
        assert!(found.iter().all(|(named, _)| *named == "I9"), "{sql}: {found:?}");
    }
}
