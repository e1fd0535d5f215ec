//! The lane's limit: a loop that writes the rows of refunds, with as many refunds in a transaction, to
//! the same database, and neither reads nor decides anything.
//!
//! Which rows a refund has is not written down here. One refund is made, its rows are read, and copies of
//! them with other ids are what the loop writes; so the loop follows every change of the schema. A
//! payment's balance and the head of its history are updated as the store does it.

use std::time::Instant;

use anyhow::{Context, ensure};
use requite_core::id::{MerchantId, PaymentId, RefundId};
use requite_engine::key::digest;
use rusqlite::config::DbConfig;
use rusqlite::types::Value;
use rusqlite::{Connection, Statement, params, params_from_iter};
use serde_json::json;

use crate::lane::{nanoseconds, refund};
use crate::payment;
use crate::{Books, Work};

/// Tables that get rows with each refund, and the column by which the sample's are found.
const TABLES: [(&str, &str); 5] = [
    ("refund", "refund_id"),
    ("allocation", "refund_id"),
    ("event", "subject"),
    ("journal", "payment_id"),
    ("idempotency", "refund_id"),
];

/// What stands in place of a sample's value in each copy.
#[derive(Clone, Debug)]
enum Cell {
    Same(Value),
    Payment,
    Capture,
    Refund,
    Key,
    /// Events and entries are numbered by payment: how far this one is behind the sample's first.
    Seq(i64),
}

struct Row {
    sql: String,
    cells: Vec<Cell>,
}

/// The refund that a copy is of.
struct Copy {
    payment: Vec<u8>,
    capture: Vec<u8>,
    refund: Vec<u8>,
    key: Vec<u8>,
    seq: i64,
}

impl Copy {
    fn new(work: Work, number: u64) -> Copy {
        let of = work.payment_of(number);
        let blob = |bits: u128| bits.to_be_bytes().to_vec();
        Copy {
            payment: blob(payment::id(of).bits()),
            capture: blob(payment::capture(of).bits()),
            refund: blob(payment::refund(number).bits()),
            key: digest(&[b"speed", &number.to_be_bytes()]).to_vec(),
            // Beyond the two events of a registration, and apart from other refunds of the payment.
            seq: i64::try_from(number).unwrap_or(0) * 2 + 3,
        }
    }

    fn value(&self, cell: &Cell) -> Value {
        match cell {
            Cell::Same(value) => value.clone(),
            Cell::Payment => Value::Blob(self.payment.clone()),
            Cell::Capture => Value::Blob(self.capture.clone()),
            Cell::Refund => Value::Blob(self.refund.clone()),
            Cell::Key => Value::Blob(self.key.clone()),
            Cell::Seq(beyond) => Value::Integer(self.seq + beyond),
        }
    }
}

pub(crate) fn write(books: &Books, work: Work) -> anyhow::Result<serde_json::Value> {
    // The sample is the last of the refunds that are asked for, one more than are written.
    let number = work.start + work.refunds;
    let one = Work { start: number, refunds: 1, batch: 1, ..work };
    refund(books, one).context("the sample refund was not made")?;
    let sample = payment::refund(number);
    let of = payment::id(work.payment_of(number));
    let mut connection = Connection::open(books.path()?)?;
    settings(&connection)?;
    let rows = sample_rows(&connection, (of, sample), one)?;
    let mut made = 0;
    let began = Instant::now();
    while made < work.refunds {
        let until = work.refunds.min(made + work.batch);
        let transaction = connection.transaction()?;
        for n in made..until {
            write_one(&transaction, &rows, books.merchant, &Copy::new(work, work.start + n))?;
        }
        transaction.commit()?;
        made = until;
    }
    let ns = nanoseconds(began);
    Ok(json!({ "refunds": made, "batch": work.batch, "ns": ns, "rows": rows.len() + 2 }))
}

/// As the store has them.
fn settings(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -8_192)?;
    connection.pragma_update(None, "mmap_size", 268_435_456_i64)?;
    connection.pragma_update(None, "wal_autocheckpoint", 16_000)?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(|_| ())
}

/// The rows of the sample refund, with what is to be replaced in each copy.
fn sample_rows(
    connection: &Connection,
    (of, sample): (PaymentId, RefundId),
    one: Work,
) -> anyhow::Result<Vec<Row>> {
    let known = Copy::new(one, one.start);
    let blob = |bits: u128| bits.to_be_bytes().to_vec();
    let first: i64 = connection.query_row(
        "select min(seq) from event where payment_id = ?1 and subject = ?2",
        params![blob(of.bits()), blob(sample.bits())],
        |row| row.get(0),
    )?;
    let mut rows = Vec::new();
    for (table, column) in TABLES {
        let by_payment = column == "payment_id";
        let newest = if by_payment { format!("and seq >= {first}") } else { String::new() };
        let sql = format!("select * from {table} where {column} = ?1 {newest}");
        let found = if by_payment { blob(of.bits()) } else { blob(sample.bits()) };
        let mut statement = connection.prepare(&sql)?;
        let insert = insert(table, &statement);
        let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let mut read = statement.query(params![found])?;
        while let Some(row) = read.next()? {
            let cells = names.iter().enumerate().map(|(at, name)| {
                let value: Value = row.get(at)?;
                Ok(cell(name, value, &known, first))
            });
            let cells = cells.collect::<rusqlite::Result<Vec<Cell>>>()?;
            rows.push(Row { sql: insert.clone(), cells });
        }
    }
    ensure!(rows.len() >= TABLES.len(), "the sample refund has only {} rows", rows.len());
    Ok(rows)
}

fn insert(table: &str, statement: &Statement<'_>) -> String {
    let places: Vec<String> = (1..=statement.column_count()).map(|at| format!("?{at}")).collect();
    let names: Vec<&str> = statement.column_names().collect();
    format!("insert into {table} ({}) values ({})", names.join(", "), places.join(", "))
}

fn cell(name: &str, value: Value, known: &Copy, first: i64) -> Cell {
    match (name, value) {
        ("seq" | "asked_seq" | "answered_seq", Value::Integer(seq)) => Cell::Seq(seq - first),
        ("key_hash", _) => Cell::Key,
        (_, Value::Blob(bytes)) if bytes == known.payment => Cell::Payment,
        (_, Value::Blob(bytes)) if bytes == known.capture => Cell::Capture,
        (_, Value::Blob(bytes)) if bytes == known.refund => Cell::Refund,
        (_, value) => Cell::Same(value),
    }
}

fn write_one(
    connection: &Connection,
    rows: &[Row],
    merchant: MerchantId,
    copy: &Copy,
) -> rusqlite::Result<()> {
    let merchant = merchant.bits().to_be_bytes();
    let sql = "update payment_head set seq = ?3, hash = ?4, updated_at_ms = ?5
        where merchant_id = ?1 and payment_id = ?2";
    let head = params![merchant, copy.payment, copy.seq + 1, [7_u8; 32], payment::NOW_MS];
    connection.prepare_cached(sql)?.execute(head)?;
    let sql = "update capture set refunded_minor = refunded_minor + 1
        where merchant_id = ?1 and payment_id = ?2 and capture_id = ?3";
    let capture = params![merchant, copy.payment, copy.capture];
    connection.prepare_cached(sql)?.execute(capture)?;
    for row in rows {
        let values = row.cells.iter().map(|cell| copy.value(cell));
        connection.prepare_cached(&row.sql)?.execute(params_from_iter(values))?;
    }
    Ok(())
}
