//! The lane's limit: a loop that writes the rows of refunds, with as many refunds in a transaction, to
//! the same database, and neither reads nor decides anything.
//!
//! Which rows a refund has is not written down here. One refund is made, its rows are read, and copies of
//! them with other ids are what the loop writes; so the loop follows every change of the schema. A
//! payment's balance and the head of its history are updated as the store does it.

mod postgres;
mod sqlite;

use anyhow::{Context, ensure};
use requite_core::id::{MerchantId, PaymentId, RefundId};
use requite_engine::key::digest;
use rusqlite::types::Value;
use serde_json::json;

use crate::books::Place;
use crate::lane::refund;
use crate::payment;
use crate::{Books, Work};

/// Tables that get rows with each refund, and the column by which the sample's are found.
const TABLES: [(&str, &str); 4] = [
    ("refund", "refund_id"),
    ("change", "about"),
    ("event", "about"),
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
    Time,
    /// Events and entries are numbered by payment: how far this one is behind the sample's first.
    Seq(i64),
}

/// A sample's row.
struct Row {
    table: &'static str,
    columns: Vec<String>,
    cells: Vec<Cell>,
}

/// The refund that a copy is of.
struct Copy {
    payment: Vec<u8>,
    capture: Vec<u8>,
    refund: Vec<u8>,
    key: Vec<u8>,
    at_ms: i64,
    seq: i64,
}

impl Copy {
    fn new(work: Work, number: u64) -> Copy {
        let of = work.payment_of(number);
        Copy {
            payment: blob(payment::id(of).bits()),
            capture: blob(payment::capture(of).bits()),
            refund: blob(payment::refund(number).bits()),
            key: digest(&[b"speed", &number.to_be_bytes()]).to_vec(),
            at_ms: payment::at_ms(number),
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
            Cell::Time => Value::Integer(self.at_ms),
            Cell::Seq(beyond) => Value::Integer(self.seq + beyond),
        }
    }
}

/// The refund whose rows are copied.
struct Sample {
    of: PaymentId,
    refund: RefundId,
    known: Copy,
}

/// Reads rows of a table: names of the columns, and the rows' values.
trait Find {
    fn find(&mut self, sample: &Sample, table: &str, column: &str) -> anyhow::Result<Found>;
}

struct Found {
    columns: Vec<String>,
    rows: Vec<Vec<Value>>,
}

pub(crate) fn write(books: &Books, work: Work) -> anyhow::Result<serde_json::Value> {
    ensure!(!work.hot, "a loop that decides nothing cannot keep one payment's books");
    // The sample is the last of the refunds that are asked for, one more than are written.
    let number = work.start + work.refunds;
    let one = Work { start: number, refunds: 1, batch: 1, ..work };
    refund(books, one).context("the sample refund was not made")?;
    let sample = Sample {
        of: payment::id(work.payment_of(number)),
        refund: payment::refund(number),
        known: Copy::new(one, number),
    };
    // Besides new rows, those that change: a payment's head and its capture, which PostgreSQL has in one.
    let (rows, changed, ns) = match &books.database {
        Place::Sqlite(path) => {
            let (rows, ns) = sqlite::write(path, books.merchant, work, &sample)?;
            (rows, 2, ns)
        }
        Place::Postgres(address, _) => {
            let of = (books.merchant, books.lanes());
            let (rows, ns) = postgres::write(address, of, work, &sample)?;
            (rows, 1, ns)
        }
    };
    Ok(json!({ "refunds": work.refunds, "batch": work.batch, "ns": ns, "rows": rows + changed }))
}

fn blob(bits: u128) -> Vec<u8> {
    bits.to_be_bytes().to_vec()
}

/// The rows of the sample refund, with what is to be replaced in each copy.
fn sample_rows(store: &mut dyn Find, sample: &Sample) -> anyhow::Result<Vec<Row>> {
    let found = store.find(sample, "event", "about")?;
    let at = found.columns.iter().position(|name| name == "seq").context("events have numbers")?;
    let seqs = found.rows.iter().filter_map(|row| match row[at] {
        Value::Integer(seq) => Some(seq),
        _ => None,
    });
    let first = seqs.min().context("the sample refund has an event")?;
    let mut rows = Vec::new();
    for (table, column) in TABLES {
        let found = store.find(sample, table, column)?;
        let seq = found.columns.iter().position(|name| name == "seq");
        for values in found.rows {
            // Entries of the payment's other events are found as well.
            let is_older =
                seq.is_some_and(|at| matches!(values[at], Value::Integer(seq) if seq < first));
            if is_older {
                continue;
            }
            let cells = found.columns.iter().zip(values);
            let cells = cells.map(|(name, value)| cell(name, value, &sample.known, first));
            rows.push(Row { table, columns: found.columns.clone(), cells: cells.collect() });
        }
    }
    ensure!(rows.len() >= TABLES.len(), "the sample refund has only {} rows", rows.len());
    Ok(rows)
}

fn cell(name: &str, value: Value, known: &Copy, first: i64) -> Cell {
    match (name, value) {
        ("seq" | "asked_seq" | "answered_seq", Value::Integer(seq)) => Cell::Seq(seq - first),
        // The next one.
        ("no", _) => Cell::Same(Value::Null),
        ("key_hash", _) => Cell::Key,
        (_, Value::Blob(bytes)) if bytes == known.payment => Cell::Payment,
        (_, Value::Blob(bytes)) if bytes == known.capture => Cell::Capture,
        (_, Value::Blob(bytes)) if bytes == known.refund => Cell::Refund,
        (_, Value::Integer(at_ms)) if at_ms == known.at_ms => Cell::Time,
        (_, value) => Cell::Same(value),
    }
}

fn merchant_blob(merchant: MerchantId) -> Vec<u8> {
    blob(merchant.bits())
}
