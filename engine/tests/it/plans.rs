//! How SQLite carries out our statements, as its planner tells.

use crate::support::Bench;

/// A missing index turned thousands of refunds a second into less than one; so does a plan that reads
/// all of a merchant's rows to find those of one payment.
#[test]
fn no_statement_reads_more_than_its_payment() {
    let bench = Bench::new();
    let connection = rusqlite::Connection::open(bench.place.path()).expect("a file");
    let sources = [
        include_str!("../../src/store/sql/read.rs"),
        include_str!("../../src/store/sql/read/payment.rs"),
        include_str!("../../src/store/sql/read/history.rs"),
        include_str!("../../src/store/sql/audit.rs"),
        include_str!("../../src/store/sql/book.rs"),
        include_str!("../../src/store/sql/connector.rs"),
        include_str!("../../src/store/sql/inbox.rs"),
        include_str!("../../src/store/sql/order.rs"),
        include_str!("../../src/store/sql/registry.rs"),
        include_str!("../../src/store/sql/session.rs"),
        include_str!("../../src/store/sql/shop.rs"),
        include_str!("../../src/store/sql/story.rs"),
        include_str!("../../src/store/sqlite.rs"),
        include_str!("../../src/store/sqlite/load.rs"),
        include_str!("../../src/store/sqlite/save.rs"),
    ];
    // Lists of a merchant's, bounded by their pages; walks over everything, for people.
    let lists = [
        "list_refunds",
        "payment_ids",
        "reasons",
        "return_reasons",
        "merchants",
        "connectors",
        "count_payments",
        "next_payment",
        "messages",
        "count_waiting_messages",
        "alarms",
    ];
    let parts = [
        ("{REFUND_COLUMNS}", "REFUND_COLUMNS"),
        ("{REFUND_JOINS}", "REFUND_JOINS"),
        ("{own}", "OWN"),
        ("{own_of_all}", "OWN_OF_ALL"),
        ("{STORY}", "STORY"),
        ("{ENTRIES}", "ENTRIES"),
    ];
    let mut parts = parts.map(|(mark, name)| (mark, constant(&sources, name))).to_vec();
    parts.push(("{is_own}", "in (select refund_id from own)".to_owned()));
    let mut planned = 0;
    // Both ways, where a page has two.
    let ways = [(">", "asc"), ("<", "desc")].map(|(compare, order)| {
        let named = sources.iter().flat_map(|source| statements(source));
        let one_way = move |(name, sql): (String, String)| {
            (name, sql.replace("{compare}", compare).replace("{order}", order))
        };
        named.map(one_way).collect::<Vec<_>>()
    });
    for (name, statement) in ways.into_iter().flatten() {
        if lists.contains(&name.as_str()) {
            continue;
        }
        let whole = parts.iter().fold(statement, |sql, (mark, part)| sql.replace(mark, part));
        let statement = whole.replace("?3, ...", "?3, ?4");
        for step in plan(&connection, &statement) {
            // What begins at a payment's head has only what is the payment's.
            let scanned = step.trim_start_matches("SCAN ");
            let is_own = ["o", "own", "s", "story", "entry", "told"].contains(&scanned)
                || scanned.starts_with("(subquery");
            let is_scan = step.starts_with("SCAN") && !step.contains("CONSTANT ROW") && !is_own;
            let is_one_row = step.starts_with("SEARCH merchant ");
            let is_merchant_wide = step.ends_with("(merchant_id=?)") && !is_one_row;
            assert!(!is_scan && !is_merchant_wide, "{name}: {step}");
        }
        planned += 1;
    }
    assert!(planned > 2 * 40, "only {planned} statements found");
}

/// A part that several statements share.
fn constant(sources: &[&str], name: &str) -> String {
    let begin = format!("const {name}: &str =");
    let text = sources.iter().find_map(|source| source.split_once(&begin)).expect(name).1;
    let text = text.trim_start().trim_start_matches('"');
    text.split_once('"').expect("a literal ends").0.to_owned()
}

fn plan(connection: &rusqlite::Connection, statement: &str) -> Vec<String> {
    let explain = format!("explain query plan {statement}");
    let mut prepared = connection.prepare(&explain).expect(statement);
    let nulls = vec![rusqlite::types::Null; prepared.parameter_count()];
    let steps = prepared.query_map(rusqlite::params_from_iter(nulls), |row| row.get(3));
    let steps: rusqlite::Result<Vec<String>> = steps.expect("explained").collect();
    steps.expect("readable")
}

/// Every SQL text of a source file, a string literal whose first line is its name.
fn statements(source: &str) -> Vec<(String, String)> {
    let literals = source.split('"').skip(1).step_by(2);
    let named = literals.filter(|text| text.starts_with("-- ") && text.contains('\n'));
    let named = named.filter(|text| !text.starts_with("-- count_tables"));
    let pair = |text: &str| {
        let (name, sql) = text.split_once('\n').expect("filtered by it");
        (name.trim_start_matches("-- ").to_owned(), sql.to_owned())
    };
    named.map(pair).collect()
}
