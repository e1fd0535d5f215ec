//! The loop on PostgreSQL: one prepared statement for each table, which takes the rows of a whole
//! transaction as arrays; on as many connections as a server has lanes.

use std::time::Instant;

use postgres::types::{FromSql, ToSql, Type};
use postgres::{Client, NoTls, Statement};
use requite_core::id::MerchantId;
use rusqlite::types::Value;

use super::{Copy, Find, Found, Row, Sample, blob, merchant_blob, sample_rows};
use crate::Work;
use crate::lane::{at_once, nanoseconds};

/// Rows of each refund, and the time it took, in nanoseconds.
pub(super) fn write(
    address: &str,
    (merchant, lanes): (MerchantId, u64),
    work: Work,
    sample: &Sample,
) -> anyhow::Result<(usize, u64)> {
    let mut first = Client::connect(address, NoTls)?;
    let rows = sample_rows(&mut first, sample)?;
    drop(first);
    let parts = work.parts(lanes);
    let ns = at_once(parts.len() as u64, |number| {
        let part = parts[usize::try_from(number)?];
        let mut client = Client::connect(address, NoTls)?;
        let loop_of = Loop::prepare(&mut client, &rows, merchant)?;
        let began = Instant::now();
        for batch in part.batches() {
            let copies: Vec<Copy> = batch.map(|number| Copy::new(work, number)).collect();
            loop_of.write(&mut client, &copies)?;
        }
        Ok(nanoseconds(began))
    })?;
    Ok((rows.len(), ns))
}

impl Find for Client {
    fn find(&mut self, sample: &Sample, table: &str, column: &str) -> anyhow::Result<Found> {
        let id = if column == "payment_id" { sample.of.bits() } else { sample.refund.bits() };
        let statement = self.prepare(&format!("select * from {table} where {column} = $1"))?;
        let columns = statement.columns().iter().map(|column| column.name().to_owned()).collect();
        let rows = self.query(&statement, &[&blob(id)])?;
        let rows = rows.iter().map(|row| (0..row.len()).map(|at| value(row, at)).collect());
        Ok(Found { columns, rows: rows.collect::<anyhow::Result<_>>()? })
    }
}

fn value(row: &postgres::Row, at: usize) -> anyhow::Result<Value> {
    fn read<'r, T: FromSql<'r>>(row: &'r postgres::Row, at: usize) -> anyhow::Result<Option<T>> {
        Ok(row.try_get(at)?)
    }
    let found = match *row.columns()[at].type_() {
        Type::INT8 => read(row, at)?.map(Value::Integer),
        Type::BYTEA => read(row, at)?.map(Value::Blob),
        _ => read(row, at)?.map(Value::Text),
    };
    Ok(found.unwrap_or(Value::Null))
}

/// The prepared statements of one connection.
struct Loop<'a> {
    merchant: Vec<u8>,
    head: Statement,
    inserts: Vec<(Statement, Vec<&'a Row>)>,
}

impl<'a> Loop<'a> {
    fn prepare(
        client: &mut Client,
        rows: &'a [Row],
        merchant: MerchantId,
    ) -> anyhow::Result<Loop<'a>> {
        let sql = "update book b set seq = n.seq, hash = $4, updated_at_ms = n.at_ms,
                newest_refund = n.refund_id, refunded_minor = b.refunded_minor + 1
            from unnest($1::bytea[], $2::bytea[], $3::bigint[], $5::bigint[], $6::bytea[])
                as n (merchant_id, payment_id, seq, at_ms, refund_id)
            where b.merchant_id = n.merchant_id and b.payment_id = n.payment_id and b.line = 0";
        let head = client.prepare(sql)?;
        let mut inserts: Vec<(Statement, Vec<&Row>)> = Vec::new();
        for same in rows.chunk_by(|one, other| one.table == other.table) {
            let Row { table, columns, .. } = &same[0];
            let types = client.prepare(&format!("select * from {table} where false"))?;
            let types = types.columns().iter().map(|column| match *column.type_() {
                Type::INT8 => Type::INT8_ARRAY,
                Type::BYTEA => Type::BYTEA_ARRAY,
                _ => Type::TEXT_ARRAY,
            });
            let types: Vec<Type> = types.collect();
            let places: Vec<String> =
                (1..=types.len()).map(|at| format!("unnest(${at})")).collect();
            let (names, places) = (columns.join(", "), places.join(", "));
            let sql = format!("insert into {table} ({names}) select {places}");
            inserts.push((client.prepare_typed(&sql, &types)?, same.iter().collect()));
        }
        Ok(Loop { merchant: merchant_blob(merchant), head, inserts })
    }

    fn write(&self, client: &mut Client, copies: &[Copy]) -> anyhow::Result<()> {
        let merchants: Vec<&[u8]> = copies.iter().map(|_| self.merchant.as_slice()).collect();
        let payments: Vec<&[u8]> = copies.iter().map(|copy| copy.payment.as_slice()).collect();
        let seqs: Vec<i64> = copies.iter().map(|copy| copy.seq + 1).collect();
        let times: Vec<i64> = copies.iter().map(|copy| copy.at_ms).collect();
        let hash: &[u8] = &[7; 32];
        let mut transaction = client.transaction()?;
        let refunds: Vec<&[u8]> = copies.iter().map(|copy| copy.refund.as_slice()).collect();
        let head: [&(dyn ToSql + Sync); 6] =
            [&merchants, &payments, &seqs, &hash, &times, &refunds];
        transaction.execute(&self.head, &head)?;
        for (statement, rows) in &self.inserts {
            let columns: Vec<Column> = statement
                .params()
                .iter()
                .enumerate()
                .map(|(at, kind)| Column::of(kind, copies, rows, at))
                .collect();
            let columns: Vec<&(dyn ToSql + Sync)> = columns.iter().map(Column::parameter).collect();
            transaction.execute(statement, &columns)?;
        }
        Ok(transaction.commit()?)
    }
}

/// A column of all rows that a statement writes.
enum Column {
    Numbers(Vec<Option<i64>>),
    Bytes(Vec<Option<Vec<u8>>>),
    Texts(Vec<Option<String>>),
}

impl Column {
    fn of(kind: &Type, copies: &[Copy], rows: &[&Row], at: usize) -> Column {
        let values =
            copies.iter().flat_map(|copy| rows.iter().map(|row| copy.value(&row.cells[at])));
        match *kind {
            Type::INT8_ARRAY => Column::Numbers(
                values
                    .map(|value| if let Value::Integer(it) = value { Some(it) } else { None })
                    .collect(),
            ),
            Type::BYTEA_ARRAY => Column::Bytes(
                values
                    .map(|value| if let Value::Blob(it) = value { Some(it) } else { None })
                    .collect(),
            ),
            _ => Column::Texts(
                values
                    .map(|value| if let Value::Text(it) = value { Some(it) } else { None })
                    .collect(),
            ),
        }
    }

    fn parameter(&self) -> &(dyn ToSql + Sync) {
        match self {
            Column::Numbers(column) => column,
            Column::Bytes(column) => column,
            Column::Texts(column) => column,
        }
    }
}
