//! What the store sends to PostgreSQL, read from the server's own log: the rules that keep the schema
//! ready for a database on several machines, and plans that do not read whole tables.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use requite_cluster::Cluster;
use requite_core::id::PaymentId;
use requite_core::settle::Finding;
use requite_engine::command::{Amendment, Booking, Command};
use requite_engine::read::{Reads as _, RefundFilter, Sort};
use requite_engine::store::Store;
use requite_engine::store::postgres::{self, Address, Postgres};

use crate::nodes::Node;
use crate::support::{
    MERCHANT, NOW, PAYMENT, booking, keyed, lost, minor, registration, succeeded,
};

/// Statements that are about no merchant's money, or about everybody's due refunds.
const APART: [&str; 9] = [
    "due_refunds",
    "refunds_beyond_schedule",
    "shared_time",
    "has_schema_table",
    "make_schema_table",
    "lock_schema",
    "settings",
    "is_spread",
    "outgrown_tables",
];

/// Tables of the installation, not of a merchant's money.
const MONEY: [&str; 14] = [
    "payment",
    "change",
    "book",
    "release",
    "refund",
    "allocation",
    "attempt",
    "event",
    "journal",
    "idempotency",
    "alias",
    "reference_counter",
    "operation",
    "amendment",
];

fn a_refunds_life(node: &mut Node) {
    node.ask(Command::Register(Box::new(registration("psp", &[6_000])))).expect("registered");
    node.ask(booking(Booking::Capture { is_final: true }, 300, Some(1_000))).expect("captured");
    node.ask(Command::Amend(Box::new(Amendment {
        merchant: MERCHANT,
        payment: PAYMENT,
        external_identifier: Some(Some("order-2".to_owned())),
        metadata: None,
        actor: "test".to_owned(),
        at_ms: NOW,
    })))
    .expect("amended");
    let mut wish = keyed(1, 4_000, "k1");
    wish.details.wants_reference = true;
    node.batch(vec![Command::Refund(Box::new(wish))]);
    for outcome in [lost(), succeeded()] {
        let call = node.sent.last().expect("a call").clone();
        let finding = Finding { attempt: call.attempt, outcome, at_ms: NOW + 10 };
        node.ask(Command::Settle { refund: call.refund, finding }).expect("noted");
        let refund = call.refund;
        node.ask(Command::Wake { refund, at_ms: NOW + 100_000, is_restart: false }).expect("noted");
    }
    node.ask(Command::Refund(Box::new(keyed(3, 4_000, "k1")))).expect("joined or replayed");
}

/// Statements as the server logged them, with the names under which they were prepared.
fn logged(log: &str, database: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for line in log.lines() {
        if let Some(rest) = line.strip_prefix(&format!("{database} LOG:  ")) {
            let (how, sql) = rest.split_once(": ").unwrap_or((rest, ""));
            found.push((how.to_owned(), sql.to_owned()));
        } else if line.starts_with('\t')
            && let Some((_, sql)) = found.last_mut()
        {
            sql.push(' ');
            sql.push_str(line.trim());
        } else {
            // Details, and lines of other databases.
            found.push((String::new(), String::new()));
        }
    }
    found.retain(|(how, _)| how == "statement" || how.starts_with("execute"));
    found
}

#[test]
fn every_statement_names_its_merchant_and_keeps_nothing_beyond_its_transaction() {
    let cluster = Cluster::start(&["log_statement=all"]).expect("a cluster");
    let text = cluster.database();
    let address = Address::parse(&text).expect("an address");
    address.migrate().expect("an empty database");
    let mut node = Node::new(&address);
    a_refunds_life(&mut node);
    let mut store = Postgres::new(&address);
    store.due(NOW, 10).expect("readable");
    store.shared_ms().expect("readable");
    let database = text.rsplit('/').next().expect("a database");
    let statements = logged(&cluster.log(), database);
    let named: Vec<&str> = statements
        .iter()
        .filter_map(|(_, sql)| sql.strip_prefix("-- ")?.split_whitespace().next())
        .collect();
    for expected in ["lock_books", "lock_keys", "update_books", "insert_keys", "take_names"] {
        assert!(named.contains(&expected), "{expected} was not sent: {named:?}");
    }
    let mut broken = Vec::new();
    for (how, sql) in &statements {
        let name = sql.strip_prefix("-- ").and_then(|rest| rest.split_whitespace().next());
        // What the statements' client calls them: a letter and a number.
        let is_named =
            how.strip_prefix("execute s").is_some_and(|number| number.parse::<u32>().is_ok());
        if how != "statement" && how != "execute <unnamed>" && !is_named {
            broken.push(format!("{how} is no way of ours: {sql}"));
        }
        let lower = sql.to_lowercase();
        // The schema itself is made of other words.
        if lower.contains("create table") || lower.contains("alter table") {
            continue;
        }
        let words: Vec<&str> = lower.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
        for banned in ["now", "current_timestamp", "nextval", "listen", "notify", "prepare", "lock"]
        {
            if words.contains(&banned) {
                broken.push(format!("`{banned}` in {sql}"));
            }
        }
        if lower.contains("pg_advisory") || (words[0] == "set" && words.get(1) != Some(&"local")) {
            broken.push(format!("not for a pooler: {sql}"));
        }
        let is_apart = name.is_some_and(|name| APART.contains(&name));
        if !is_apart && words.iter().any(|word| MONEY.contains(word)) {
            let is_insert = words.contains(&"insert") && lower.contains("(merchant_id, ");
            let is_by_merchant = lower.contains(".merchant_id = w.merchant_id")
                || lower.contains(".merchant_id = n.merchant_id");
            if !is_insert && !is_by_merchant {
                broken.push(format!("no merchant in {sql}"));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// In batches of a hundred.
fn four_thousand_payments() -> impl Iterator<Item = Vec<Command>> {
    (0..40_u128).map(|part| {
        let new = |number: u128| {
            let id = 1_000 + part * 100 + number;
            let mut new = registration("manual", &[4_000, 6_000]);
            new.payment = PaymentId::new(id);
            new.external_identifier = Some(format!("o-{id}"));
            new.gift_cards.clear();
            new.primary.id = requite_core::id::LegId::new(id);
            new.primary.amount = minor(10_000);
            Command::Register(Box::new(new))
        };
        (0..100).map(new).collect::<Vec<Command>>()
    })
}

/// On a database that nobody else analyses. The planner takes a table that it knows nothing of for one of which
/// a merchant has few rows, and goes through all of them to find some by their ids.
#[test]
fn tables_that_grew_tenfold_are_analysed_by_the_sweep() {
    let cluster = Cluster::start(&["autovacuum=off"]).expect("a cluster");
    let text = cluster.database();
    let address = Address::parse(&text).expect("an address");
    address.migrate().expect("an empty database");
    let mut node = Node::new(&address);
    four_thousand_payments().for_each(|batch| drop(node.batch(batch)));
    drop(node);
    let mut admin = crate::nodes::client(&text);
    let analysed = "select count(*) from pg_class
        where relname in ('book', 'payment', 'event', 'alias') and reltuples >= 4000";
    let since = Instant::now();
    while admin.query_one(analysed, &[]).expect("readable").get::<_, i64>(0) < 4 {
        assert!(since.elapsed().as_secs() < 60, "they were not analysed");
        Postgres::new(&address).due(NOW, 10).expect("readable");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Trap: one missing index takes a store from thousands a second to less than one.
#[test]
fn no_statement_of_a_refund_and_no_page_of_refunds_reads_a_whole_table() {
    let text = Cluster::shared().database();
    let address = Address::parse(&text).expect("an address");
    address.migrate().expect("an empty database");
    let mut node = Node::new(&address);
    for (batch, later_ms) in four_thousand_payments().zip(0..) {
        let refunds = batch.iter().filter_map(|command| match command {
            Command::Register(new) => {
                // Of both captures.
                let mut wish = keyed(new.payment.bits(), 5_000, &format!("{:?}", new.payment));
                wish.payment = new.payment;
                wish.ask.at_ms = NOW + later_ms;
                Some(Command::Refund(Box::new(wish)))
            }
            _ => None,
        });
        let refunds: Vec<Command> = refunds.collect();
        node.batch(batch);
        node.batch(refunds);
    }
    let mut admin = crate::nodes::client(&text);
    admin.batch_execute("vacuum analyze").expect("a superuser may");
    let scans = "select relname::text, seq_scan, n_tup_ins from pg_stat_user_tables
        where schemaname = 'public'";
    let mut read = || -> Scans {
        admin.batch_execute("select pg_stat_clear_snapshot()").expect("forgotten");
        let rows = admin.query(scans, &[]).expect("readable");
        rows.iter().map(|row| (row.get(0), (row.get(1), row.get(2)))).collect()
    };
    drop(node);
    let before = told_of(4_000, &mut read);
    let mut node = Node::new(&address);
    a_refunds_life(&mut node);
    let mut store = Postgres::new(&address);
    store.due(NOW + 1_000_000, 10).expect("readable");
    let reads = postgres::reads(&address);
    for sort in [Sort::Id, Sort::Updated] {
        let page = RefundFilter { sort, newest_first: true, limit: 20, ..RefundFilter::default() };
        assert_eq!(reads.refunds(MERCHANT, &page).expect("readable").len(), 20);
    }
    drop((node, store, reads));
    let after = told_of(4_001, &mut read);
    let is_scanned = |table: &&&str| {
        let scans = |read: &Scans| read.get(**table).map(|scans| scans.0);
        scans(&after) > scans(&before)
    };
    // Empty tables are read whole, whatever their indexes.
    let empty = ["attempt", "release", "operation", "amendment", "reference_counter"];
    let scanned = MONEY.iter().filter(is_scanned).filter(|table| !empty.contains(table));
    let scanned: Vec<_> = scanned.collect();
    assert!(scanned.is_empty(), "{scanned:?} were read from end to end");
}

/// How often each table was read from end to end, and how many rows it got.
type Scans = BTreeMap<String, (i64, i64)>;

/// What sessions have counted is told some time after they end: waits for so many payments.
fn told_of(payments: i64, read: &mut impl FnMut() -> Scans) -> Scans {
    for _ in 0..1_000 {
        let told = read();
        if told.get("book").is_some_and(|(_, rows)| *rows >= payments) {
            return told;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{payments} payments were not counted: {:?}", read());
}
