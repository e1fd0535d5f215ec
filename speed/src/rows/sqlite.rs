//! The loop on SQLite: one statement for each row.
//!
//! The store brings idempotency keys into their index later, many of them in the index's order. The loop has no
//! keys of earlier refunds; it brings in made-up ones.

use std::path::Path;
use std::time::Instant;

use requite_core::id::MerchantId;
use requite_engine::key::digest;
use rusqlite::config::DbConfig;
use rusqlite::types::Value;
use rusqlite::{Connection, params, params_from_iter};

use super::{Copy, Find, Found, Row, Sample, blob, merchant_blob, sample_rows};
use crate::Work;
use crate::lane::nanoseconds;

/// Keys that the store brings into their index together.
const RUN: u64 = 65_536;

/// Rows of each refund, and the time it took, in nanoseconds.
pub(super) fn write(
    path: &Path,
    merchant: MerchantId,
    work: Work,
    sample: &Sample,
) -> anyhow::Result<(usize, u64)> {
    let mut connection = Connection::open(path)?;
    settings(&connection)?;
    let rows = sample_rows(&mut connection, sample)?;
    let rows: Vec<(String, Row)> = rows.into_iter().map(|row| (insert(&row), row)).collect();
    let mut earlier = earlier_keys(work);
    let began = Instant::now();
    for batch in work.batches() {
        let transaction = connection.transaction()?;
        for number in batch {
            write_one(&transaction, &rows, merchant, &Copy::new(work, number))?;
            bring_in(&transaction, merchant, earlier.next())?;
        }
        transaction.commit()?;
    }
    Ok((rows.len(), nanoseconds(began)))
}

/// Of as many keys as the store brings in together, or as there are refunds. No other work has the same.
fn earlier_keys(work: Work) -> impl Iterator<Item = [u8; 16]> {
    let count = work.refunds.max(RUN);
    let start = work.start.to_be_bytes();
    let key = |n: u64| digest(&[b"earlier", &start, &n.to_be_bytes()]);
    let mut keys: Vec<[u8; 16]> = (0..count).map(key).collect();
    keys.sort_unstable();
    keys.into_iter()
}

fn bring_in(
    connection: &Connection,
    merchant: MerchantId,
    key: Option<[u8; 16]>,
) -> rusqlite::Result<()> {
    let sql = "insert into idempotency_index (merchant_id, key_hash, no) values (?1, ?2, 0)";
    connection.prepare_cached(sql)?.execute(params![merchant_blob(merchant), key])?;
    Ok(())
}

/// As the store has them.
fn settings(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -8_192)?;
    connection.pragma_update(None, "mmap_size", 268_435_456_i64)?;
    connection.pragma_update(None, "wal_autocheckpoint", 48_000)?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(|_| ())
}

impl Find for Connection {
    fn find(&mut self, sample: &Sample, table: &str, column: &str) -> anyhow::Result<Found> {
        let sql = format!("select * from {table} where {column} = ?1");
        let id = if column == "payment_id" { sample.of.bits() } else { sample.refund.bits() };
        let mut statement = self.prepare(&sql)?;
        let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let values = |row: &rusqlite::Row<'_>| {
            (0..columns.len()).map(|at| row.get(at)).collect::<rusqlite::Result<Vec<Value>>>()
        };
        let rows = statement.query_map(params![blob(id)], values)?;
        let rows = rows.collect::<rusqlite::Result<Vec<Vec<Value>>>>()?;
        Ok(Found { columns, rows })
    }
}

fn insert(row: &Row) -> String {
    let places: Vec<String> = (1..=row.columns.len()).map(|at| format!("?{at}")).collect();
    let (names, places) = (row.columns.join(", "), places.join(", "));
    format!("insert into {} ({names}) values ({places})", row.table)
}

fn write_one(
    connection: &Connection,
    rows: &[(String, Row)],
    merchant: MerchantId,
    copy: &Copy,
) -> rusqlite::Result<()> {
    let merchant = merchant_blob(merchant);
    let sql = "update book set seq = ?3, hash = ?4, updated_at_ms = ?5, newest_refund = ?6,
            refunded_minor = refunded_minor + 1
        where merchant_id = ?1 and payment_id = ?2 and line = 0 and capture_id = ?7";
    let (seq, hash) = (copy.seq + 1, [7_u8; 32]);
    let head = params![merchant, copy.payment, seq, hash, copy.at_ms, copy.refund, copy.capture];
    connection.prepare_cached(sql)?.execute(head)?;
    for (sql, row) in rows {
        let values = row.cells.iter().map(|cell| copy.value(cell));
        connection.prepare_cached(sql)?.execute(params_from_iter(values))?;
    }
    Ok(())
}
