//! PostgreSQL databases of an older schema: what was in them is carried over, and goes on.

use requite_cluster::Cluster;
use requite_core::id::{CaptureId, LegId, PaymentId};
use requite_core::settle::Finding;
use requite_engine::command::{Amendment, Booking, Command, NewLeg, Registration};
use requite_engine::psp::Instruction;
use requite_engine::store::postgres::{self, Address};

use std::io::{Read as _, Write as _};

use crate::nodes::{Node, client, database};
use crate::support::{
    MERCHANT, NOW, PAYMENT, booking, keyed, lost, minor, registration, request, succeeded,
};

/// As it was before a payment's head, legs and captures came to lie in one row.
const BEFORE_BOOK: [&str; 5] = [
    include_str!("../../migrations/postgres/0001_first.sql"),
    include_str!("../../migrations/postgres/0002_outbox.sql"),
    include_str!("../../migrations/postgres/0003_spread.sql"),
    include_str!("../../migrations/postgres/0004_cancel.sql"),
    include_str!("../../migrations/postgres/0005_nearness.sql"),
];

fn plain(payment: u128, captures: &[i64]) -> Registration {
    Registration {
        payment: PaymentId::new(payment),
        primary: NewLeg { id: LegId::new(payment), amount: minor(10_000) },
        gift_cards: Vec::new(),
        external_identifier: None,
        captures: captures
            .iter()
            .zip(payment * 100..)
            .map(|(&units, id)| (CaptureId::new(id), minor(units)))
            .collect(),
        ..registration("manual", &[])
    }
}

fn called(name: Option<&str>) -> Command {
    Command::Amend(Box::new(Amendment {
        merchant: MERCHANT,
        payment: PAYMENT,
        external_identifier: Some(name.map(str::to_owned)),
        metadata: None,
        actor: "test".to_owned(),
        at_ms: NOW,
    }))
}

/// Payments of every kind: with gift cards, several captures or none, renamed, closed, let go, given back.
fn live(node: &mut Node) {
    node.ask(Command::Register(Box::new(registration("psp", &[4_000])))).expect("registered");
    node.ask(called(Some("order-2"))).expect("renamed");
    node.ask(called(None)).expect("renamed");
    for (id, amount) in [(300, 1_000), (301, 2_000)] {
        let more = Booking::Capture { is_final: id == 301 };
        node.ask(booking(more, id, Some(amount))).expect("captured");
    }
    node.batch(vec![Command::Refund(Box::new(keyed(1, 4_500, "k1")))]);
    for outcome in [lost(), succeeded()] {
        let Instruction { refund, attempt, .. } = node.sent.last().expect("a call").clone();
        let finding = Finding { attempt, outcome, at_ms: NOW + 10 };
        node.ask(Command::Settle { refund, finding }).expect("noted");
        let wake = Command::Wake { refund, at_ms: NOW + 100_000, is_restart: false };
        node.ask(wake).expect("noted");
    }
    let closed = Registration { cancelled_at_ms: Some(NOW), ..plain(29, &[]) };
    for new in [plain(27, &[10_000]), plain(28, &[]), closed] {
        node.ask(Command::Register(Box::new(new))).expect("registered");
    }
    for refund in 70..75 {
        let mut wish = request(refund, 100);
        wish.payment = PaymentId::new(27);
        node.refund(wish).expect("made");
    }
}

/// Copies every table of `older` from what `newer` calls so. Nothing is carried over from `payment_change`.
fn copy(newer: &str, older: &str) {
    let (mut from, mut to) = (client(newer), client(older));
    let columns =
        "select c.table_name::text, string_agg(c.column_name, ', ' order by c.column_name)
        from information_schema.columns c join pg_tables t on t.tablename = c.table_name
        where t.schemaname = 'public' and c.table_schema = 'public'
            and t.tablename not in ('requite_schema', 'payment_change')
        group by 1";
    for row in to.query(columns, &[]).expect("readable") {
        let (table, columns): (String, String) = (row.get(0), row.get(1));
        // Columns that are there no more could be empty as well.
        let known = "select coalesce(string_agg(column_name, ', ' order by column_name), '')
            from information_schema.columns where table_schema = 'public' and table_name = $1
            and column_name in (select unnest(string_to_array($2, ', ')))";
        let columns: String = from.query_one(known, &[&table, &columns]).expect(&table).get(0);
        let mut rows = Vec::new();
        let source = source(&table);
        let sql = format!("copy (select {columns} from {source}) to stdout");
        from.copy_out(&sql).expect(&sql).read_to_end(&mut rows).expect(&table);
        let mut writer = to.copy_in(&format!("copy {table} ({columns}) from stdin")).expect(&table);
        writer.write_all(&rows).expect(&table);
        writer.finish().expect(&table);
    }
}

/// Where what was in a table is now: parts of refunds and entries of events had all their rows there.
fn source(table: &str) -> &str {
    match table {
        "allocation" => {
            "(select * from allocation union all
            select merchant_id, refund_id, 0, capture_id, capture_minor from refund
            where capture_id is not null) t"
        }
        "journal" => {
            "(select merchant_id, about, seq, line, capture_id, debit, credit, amount_minor
                from journal
            union all select merchant_id, about, seq, 0, capture_id, debit, credit, moved_minor
                from event where capture_id is not null) t"
        }
        same => same,
    }
}

/// Payments and refunds whose newest change is not in the list of changes.
const UNLISTED: &str = "select
    (select count(*) from payment_head h where not exists (select 1 from change t
        where t.merchant_id = h.merchant_id and t.payment_id = h.payment_id
            and t.at_ms = h.updated_at_ms))
    + (select count(*) from refund r where not exists (select 1 from change t
        where t.merchant_id = r.merchant_id and t.payment_id = r.payment_id
            and t.about = r.refund_id and t.at_ms = r.updated_at_ms))";

/// Every row of every table and view, as text, but for the list of changes: its older rows are passed over.
fn contents(text: &str) -> Vec<(String, Vec<String>)> {
    let mut client = client(text);
    let tables = "select table_name::text from information_schema.tables
        where table_schema = 'public' and table_name <> 'change' order by 1";
    let tables = client.query(tables, &[]).expect("readable");
    let rows = |table: String| {
        let columns = "select string_agg(column_name, ', ' order by column_name)
            from information_schema.columns where table_schema = 'public' and table_name = $1";
        let columns: String = client.query_one(columns, &[&table]).expect("readable").get(0);
        let sql = format!("select t::text from (select {columns} from {table}) t order by 1");
        let rows = client.query(&sql, &[]).expect(&sql);
        (table, rows.iter().map(|row| row.get(0)).collect())
    };
    tables.iter().map(|row| row.get(0)).map(rows).collect()
}

#[test]
fn a_database_of_the_schema_before_books_is_carried_over() {
    let (newer, address) = database();
    live(&mut Node::new(&address));
    let older = Cluster::shared().database();
    let mut admin = client(&older);
    for sql in BEFORE_BOOK {
        admin.batch_execute(sql).expect("its schema");
    }
    let version = "create table requite_schema (only_row bigint primary key check (only_row = 1),
            version bigint not null);
        insert into requite_schema values (1, 5)";
    admin.batch_execute(version).expect("its version");
    copy(&newer, &older);
    let carried = Address::parse(&older).expect("an address");
    carried.migrate().expect("carried over");
    for (new, old) in contents(&newer).into_iter().zip(contents(&older)) {
        assert_eq!(new, old);
    }
    for database in [&newer, &older] {
        let unlisted: i64 = client(database).query_one(UNLISTED, &[]).expect("readable").get(0);
        assert_eq!(unlisted, 0, "{database}");
    }
    let mut node = Node::new(&carried);
    let mut wish = keyed(20, 9_500, "k20");
    wish.payment = PaymentId::new(27);
    node.refund(wish).expect("what is left can be given back");
    node.ask(booking(Booking::Capture { is_final: true }, 302, None)).expect_err("it is closed");
    node.batch(vec![Command::Refund(Box::new(keyed(21, 2_500, "k21")))]);
    let report = postgres::audit(&carried, &mut |_, _| ()).expect("readable");
    assert_eq!(report.violations, Vec::new());
}
