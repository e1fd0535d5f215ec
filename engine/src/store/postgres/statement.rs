//! The shared text of SQL on this database: its parameters, its values.

use std::cell::RefCell;

use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, ToSql, Type};

use super::link::Trouble;
use super::prepared::Connection;
use super::rows::Parameters;
use crate::store::sql::{Cell, Params, Result, SqlFault, Value};

/// All rows of a statement.
pub(in crate::store) fn query(
    client: &RefCell<Connection>,
    sql: &str,
    params: Params<'_>,
) -> Result<Vec<Row>> {
    let values: Vec<Value<'_>> = params.iter().map(|param| param.value()).collect();
    Ok(client.borrow_mut().query(&numbered(sql), &typed(&values))?)
}

/// Runs a statement that gives no rows back. How many rows it changed.
pub(in crate::store) fn execute(
    client: &RefCell<Connection>,
    sql: &str,
    params: Params<'_>,
) -> Result<u64> {
    let values: Vec<Value<'_>> = params.iter().map(|param| param.value()).collect();
    Ok(client.borrow_mut().execute(&numbered(sql), &typed(&values))?)
}

/// `?1` is `$1` here. No text of ours has a question mark elsewhere.
fn numbered(sql: &str) -> String {
    sql.replace('?', "$")
}

fn typed<'v>(values: &'v [Value<'_>]) -> Parameters<'v> {
    fn one<'v>(value: &'v Value<'_>) -> (&'v (dyn ToSql + Sync), Type) {
        match value {
            Value::Integer(value) => (value, Type::INT8),
            Value::Text(value) => (value, Type::TEXT),
            Value::Blob(value) => (value, Type::BYTEA),
        }
    }
    values.iter().map(one).collect()
}

/// The value in a column, counted from 0.
pub(in crate::store) fn cell(row: &Row, column: usize) -> Result<Cell<'_>> {
    fn read<'r, T: FromSql<'r>>(row: &'r Row, column: usize) -> Result<Option<T>> {
        Ok(row.try_get(column).map_err(Trouble::from)?)
    }
    let Some(kind) = row.columns().get(column).map(tokio_postgres::Column::type_) else {
        return Err(SqlFault::Corrupt(format!("no column {column}")));
    };
    let cell = match *kind {
        Type::INT8 => read(row, column)?.map(Cell::Integer),
        Type::INT4 => read::<i32>(row, column)?.map(|number| Cell::Integer(number.into())),
        Type::BOOL => read::<bool>(row, column)?.map(|flag| Cell::Integer(flag.into())),
        Type::TEXT => read(row, column)?.map(Cell::Text),
        Type::BYTEA => read(row, column)?.map(Cell::Blob),
        _ => return Err(SqlFault::Corrupt(format!("a {kind} in column {column}"))),
    };
    Ok(cell.unwrap_or(Cell::Null))
}
