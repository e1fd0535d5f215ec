//! One text of SQL for every database: a thin layer over the client that carries it there.
//!
//! Statements are written once, with `?1` parameters and nothing that only one database knows:
//! integers for truth values, `case` and `coalesce`, `on conflict` with the columns named, sums cast
//! to `bigint`. SQL stands beside the function that runs it; its first line is its name.
//!
//! Start with [`Sql`], the connection that statements run on, and [`Row`], what they give back.

pub(super) mod audit;
pub(super) mod book;
mod connector;
mod inbox;
mod order;
pub(super) mod outbox;
mod read;
mod registry;
mod session;
mod shop;
pub(super) mod story;

use std::cell::RefCell;

use rusqlite::ErrorCode;
use rusqlite::types::{ToSqlOutput, ValueRef};

pub use self::read::SqlReads;
pub use self::registry::SqlRegistry;
use crate::fault::{self, Point, Struck};
use crate::read::ReadFault;
use crate::store::StoreFault;

pub(super) type Result<T, E = SqlFault> = std::result::Result<T, E>;

/// Why a statement has no result.
#[derive(Debug, thiserror::Error)]
pub(super) enum SqlFault {
    /// A constraint refused the row.
    #[error("{0}")]
    Constraint(String),
    /// A statement that must change a row changed none.
    #[error("a statement changed no row")]
    Unchanged,
    /// A stored value that no writer of ours could have written.
    #[error("the store holds {0}; run `requite verify`")]
    Corrupt(String),
    /// The database could not do it.
    #[error("{0}")]
    Database(String),
    /// The database cannot do it now: no room, no connection, or another process holds it. Nothing was
    /// done.
    #[error("{0}")]
    Unavailable(String),
    /// The database, or the way to it, went away. Nothing was done.
    #[error("{0}")]
    Away(String),
    /// The commit was sent, and nothing came back.
    #[error("nobody knows whether it was committed: {0}")]
    Unheard(String),
    /// Rolled back because of another transaction: the same again may succeed.
    #[error("{0}")]
    Conflict(String),
}

impl From<rusqlite::Error> for SqlFault {
    fn from(cause: rusqlite::Error) -> SqlFault {
        match cause.sqlite_error_code() {
            Some(ErrorCode::ConstraintViolation) => SqlFault::Constraint(cause.to_string()),
            Some(
                ErrorCode::DiskFull
                | ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::SystemIoFailure
                | ErrorCode::ReadOnly
                | ErrorCode::CannotOpen,
            ) => SqlFault::Unavailable(cause.to_string()),
            _ => SqlFault::Database(cause.to_string()),
        }
    }
}

impl From<Struck> for SqlFault {
    fn from(struck: Struck) -> SqlFault {
        SqlFault::Database(struck.to_string())
    }
}

impl From<SqlFault> for ReadFault {
    fn from(fault: SqlFault) -> ReadFault {
        match fault {
            SqlFault::Unavailable(cause) | SqlFault::Away(cause) => ReadFault::Unavailable(cause),
            fault => ReadFault::Store(fault.to_string()),
        }
    }
}

impl From<SqlFault> for StoreFault {
    fn from(fault: SqlFault) -> StoreFault {
        match fault {
            SqlFault::Constraint(cause) => StoreFault::Constraint(cause),
            SqlFault::Unavailable(cause) => StoreFault::Unavailable(cause),
            fault => StoreFault::NotCommitted(fault.to_string()),
        }
    }
}

/// A stored value that no writer of ours could have written.
pub(super) fn corrupt(what: &str) -> SqlFault {
    SqlFault::Corrupt(what.to_owned())
}

/// A value on its way to the database. Nulls have a type as well: some databases ask for it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'v> {
    Integer(Option<i64>),
    Text(Option<&'v str>),
    Blob(Option<&'v [u8]>),
}

/// What can be given to a statement.
pub(super) trait Bind {
    fn value(&self) -> Value<'_>;
}

/// A statement's parameters, in order: `params![blob(id), "text", 5_i64]`.
macro_rules! params {
    ($($value:expr),* $(,)?) => {
        &[$(&$value as &dyn $crate::store::sql::Bind),*]
    };
}
pub(super) use params;

pub(super) type Params<'p> = &'p [&'p dyn Bind];

impl<T: Bind + ?Sized> Bind for &T {
    fn value(&self) -> Value<'_> {
        (**self).value()
    }
}

impl Bind for str {
    fn value(&self) -> Value<'_> {
        Value::Text(Some(self))
    }
}

impl Bind for [u8] {
    fn value(&self) -> Value<'_> {
        Value::Blob(Some(self))
    }
}

/// `Type: Kind(value => what is sent)`, for the type and for an option of it.
macro_rules! binds {
    ($($type:ty: $kind:ident($it:ident => $sent:expr),)*) => {$(
        impl Bind for $type {
            fn value(&self) -> Value<'_> {
                let $it = self;
                Value::$kind(Some($sent))
            }
        }
        binds! { option $type: $kind($it => $sent), }
    )*};
    ($(option $type:ty: $kind:ident($it:ident => $sent:expr),)*) => {$(
        impl Bind for Option<$type> {
            fn value(&self) -> Value<'_> {
                Value::$kind(self.as_ref().map(|$it| $sent))
            }
        }
    )*};
}

binds! {
    i64: Integer(it => *it),
    u32: Integer(it => i64::from(*it)),
    u8: Integer(it => i64::from(*it)),
    bool: Integer(it => i64::from(*it)),
    String: Text(it => it.as_str()),
    Vec<u8>: Blob(it => it.as_slice()),
    [u8; 16]: Blob(it => it.as_slice()),
    [u8; 32]: Blob(it => it.as_slice()),
}

binds! {
    option &str: Text(it => *it),
    option &String: Text(it => it.as_str()),
}

impl Bind for Value<'_> {
    fn value(&self) -> Value<'_> {
        *self
    }
}

/// A connection within a transaction or snapshot. Cheap to copy.
#[derive(Clone, Copy)]
pub(super) enum Sql<'c> {
    Sqlite(&'c rusqlite::Connection),
    Postgres(&'c RefCell<super::postgres::Connection>),
}

impl<'c> Sql<'c> {
    /// A statement that is to run several times with other parameters.
    pub(super) fn statement<'s>(self, sql: &'s str) -> Statement<'c, 's> {
        Statement { connection: self, sql, prepared: None }
    }

    /// Runs a statement and shows each row to `see`. It may run further statements.
    pub(super) fn each(
        self,
        sql: &str,
        params: Params<'_>,
        see: impl FnMut(&Row<'_>) -> Result<()>,
    ) -> Result<()> {
        self.statement(sql).each(params, see)
    }

    /// All rows, as `view` reads them.
    pub(super) fn query<T>(
        self,
        sql: &str,
        params: Params<'_>,
        view: impl FnMut(&Row<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        self.statement(sql).query(params, view)
    }

    /// The first row, if there is one.
    pub(super) fn find<T>(
        self,
        sql: &str,
        params: Params<'_>,
        view: impl FnOnce(&Row<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        self.statement(sql).find(params, view)
    }

    /// As [`Sql::query`], for statements that are rarely the same twice: they would push the others
    /// out of the cache of prepared statements.
    pub(super) fn query_rare<T>(
        self,
        sql: &str,
        params: Params<'_>,
        mut view: impl FnMut(&Row<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        match self {
            Sql::Sqlite(connection) => {
                let mut statement = connection.prepare(sql)?;
                sqlite::bind(&mut statement, params)?;
                let mut rows = statement.raw_query();
                let mut all = Vec::new();
                while let Some(row) = rows.next()? {
                    all.push(view(&Row::Sqlite(row))?);
                }
                Ok(all)
            }
            // There no statement is kept.
            Sql::Postgres(_) => self.query(sql, params, view),
        }
    }

    pub(super) fn exists(self, sql: &str, params: Params<'_>) -> Result<bool> {
        self.statement(sql).exists(params)
    }

    /// Runs a statement that gives no rows back. How many rows it changed.
    pub(super) fn execute(self, sql: &str, params: Params<'_>) -> Result<u64> {
        self.statement(sql).execute(params)
    }
}

/// A statement on a connection. SQLite prepares it when it first runs, and takes its time to look it up by its
/// text: what runs for every row of a batch is looked up once.
pub(super) struct Statement<'c, 's> {
    connection: Sql<'c>,
    sql: &'s str,
    prepared: Option<rusqlite::CachedStatement<'c>>,
}

impl<'c> Statement<'c, '_> {
    /// Ready to run with these parameters, and kept for the next run.
    fn bound<'p>(
        prepared: &'p mut Option<rusqlite::CachedStatement<'c>>,
        connection: &'c rusqlite::Connection,
        sql: &str,
        params: Params<'_>,
    ) -> Result<&'p mut rusqlite::CachedStatement<'c>> {
        let statement = match prepared {
            Some(statement) => statement,
            None => prepared.insert(connection.prepare_cached(sql)?),
        };
        sqlite::bind(statement, params)?;
        Ok(statement)
    }

    /// Shows each row to `see`, which may run other statements.
    pub(super) fn each(
        &mut self,
        params: Params<'_>,
        mut see: impl FnMut(&Row<'_>) -> Result<()>,
    ) -> Result<()> {
        fault::attempt(Point::StoreRead)?;
        match self.connection {
            Sql::Sqlite(connection) => {
                let prepared = &mut self.prepared;
                let mut rows = Self::bound(prepared, connection, self.sql, params)?.raw_query();
                while let Some(row) = rows.next()? {
                    see(&Row::Sqlite(row))?;
                }
                Ok(())
            }
            Sql::Postgres(client) => super::postgres::query_shared(client, self.sql, params)?
                .iter()
                .try_for_each(|row| see(&Row::Postgres(row))),
        }
    }

    /// All rows, as `view` reads them.
    pub(super) fn query<T>(
        &mut self,
        params: Params<'_>,
        mut view: impl FnMut(&Row<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut all = Vec::new();
        self.each(params, |row| {
            all.push(view(row)?);
            Ok(())
        })?;
        Ok(all)
    }

    /// The first row, if there is one.
    pub(super) fn find<T>(
        &mut self,
        params: Params<'_>,
        view: impl FnOnce(&Row<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        fault::attempt(Point::StoreRead)?;
        match self.connection {
            Sql::Sqlite(connection) => {
                let prepared = &mut self.prepared;
                let mut rows = Self::bound(prepared, connection, self.sql, params)?.raw_query();
                rows.next()?.map(|row| view(&Row::Sqlite(row))).transpose()
            }
            Sql::Postgres(client) => {
                let rows = super::postgres::query_shared(client, self.sql, params)?;
                rows.first().map(|row| view(&Row::Postgres(row))).transpose()
            }
        }
    }

    pub(super) fn exists(&mut self, params: Params<'_>) -> Result<bool> {
        Ok(self.find(params, |_| Ok(()))?.is_some())
    }

    /// Gives no rows back. How many rows it changed.
    pub(super) fn execute(&mut self, params: Params<'_>) -> Result<u64> {
        fault::attempt(Point::StoreWrite)?;
        match self.connection {
            Sql::Sqlite(connection) => {
                let prepared = &mut self.prepared;
                let changed = Self::bound(prepared, connection, self.sql, params)?.raw_execute()?;
                Ok(u64::try_from(changed).unwrap_or(u64::MAX))
            }
            Sql::Postgres(client) => super::postgres::execute(client, self.sql, params),
        }
    }

    /// Must change exactly one row.
    pub(super) fn write_one(&mut self, params: Params<'_>) -> Result<()> {
        match self.execute(params)? {
            1 => Ok(()),
            _ => Err(corrupt("a row fewer than its references")),
        }
    }
}

/// What SQLite's client needs.
mod sqlite {
    use super::{Params, Result, ToSqlOutput, Value, ValueRef};

    pub(super) fn bind(statement: &mut rusqlite::Statement<'_>, params: Params<'_>) -> Result<()> {
        for (value, place) in params.iter().zip(1_usize..) {
            let value = match value.value() {
                Value::Integer(integer) => integer.map_or(ValueRef::Null, ValueRef::Integer),
                Value::Text(text) => {
                    text.map_or(ValueRef::Null, |text| ValueRef::Text(text.as_bytes()))
                }
                Value::Blob(blob) => blob.map_or(ValueRef::Null, ValueRef::Blob),
            };
            statement.raw_bind_parameter(place, ToSqlOutput::Borrowed(value))?;
        }
        Ok(())
    }
}

/// Where connections for reading come from.
pub(super) enum Readers {
    Sqlite(super::sqlite::Readers),
    Postgres(Box<super::postgres::Pool>),
}

impl Readers {
    /// Is the database in this machine, and its reads mere calls?
    fn is_near(&self) -> bool {
        match self {
            Readers::Sqlite(_) => true,
            Readers::Postgres(_) => false,
        }
    }

    /// Runs `read` in one snapshot.
    pub(super) fn snapshot<T>(&self, read: impl Fn(Sql<'_>) -> Result<T>) -> Result<T> {
        match self {
            Readers::Sqlite(readers) => {
                readers.snapshot(|connection| read(Sql::Sqlite(connection)))
            }
            Readers::Postgres(pool) => pool.snapshot(|client| read(Sql::Postgres(client))),
        }
    }

    /// Runs `read`, which is one statement and sees one moment anyway.
    fn look<T>(&self, read: impl Fn(Sql<'_>) -> Result<T>) -> Result<T> {
        match self {
            Readers::Sqlite(readers) => readers.look(|connection| read(Sql::Sqlite(connection))),
            Readers::Postgres(pool) => pool.look(|client| read(Sql::Postgres(client))),
        }
    }
}

/// Where a connection for writing comes from.
pub(super) enum Writer {
    Sqlite(super::sqlite::Writer),
    Postgres(Box<super::postgres::Pool>),
}

impl Writer {
    /// Runs a statement or several on their own.
    fn look<T>(&self, read: impl Fn(Sql<'_>) -> Result<T>) -> Result<T> {
        match self {
            Writer::Sqlite(writer) => writer.look(|connection| read(Sql::Sqlite(connection))),
            Writer::Postgres(pool) => pool.look(|client| read(Sql::Postgres(client))),
        }
    }

    /// Runs `write` in one transaction: all of it is committed, or on a fault nothing. It may be run
    /// again, where another transaction got in its way.
    fn transact<T>(&self, write: impl Fn(Sql<'_>) -> Result<T>) -> Result<T> {
        match self {
            Writer::Sqlite(writer) => writer.transact(|connection| write(Sql::Sqlite(connection))),
            Writer::Postgres(pool) => pool.transact(|client| write(Sql::Postgres(client))),
        }
    }
}

/// One row of a result.
pub(super) enum Row<'r> {
    Sqlite(&'r rusqlite::Row<'r>),
    Postgres(&'r tokio_postgres::Row),
}

impl Row<'_> {
    /// The value in a column, counted from 0.
    pub(super) fn get<T: Column>(&self, column: usize) -> Result<T> {
        let wrong = || SqlFault::Corrupt(format!("a value of the wrong kind in column {column}"));
        T::of(self.cell(column)?).ok_or_else(wrong)
    }

    /// The value in a column, as it lies there.
    pub(super) fn cell(&self, column: usize) -> Result<Cell<'_>> {
        match self {
            Row::Sqlite(row) => Ok(match row.get_ref(column)? {
                ValueRef::Null => Cell::Null,
                ValueRef::Integer(integer) => Cell::Integer(integer),
                ValueRef::Blob(bytes) => Cell::Blob(bytes),
                ValueRef::Text(bytes) => {
                    let text = std::str::from_utf8(bytes);
                    Cell::Text(text.map_err(|_| corrupt("a text that is not UTF-8"))?)
                }
                ValueRef::Real(_) => return Err(corrupt("a number with a fraction")),
            }),
            Row::Postgres(row) => super::postgres::cell(row, column),
        }
    }
}

/// A value on its way from the database.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cell<'r> {
    Null,
    Integer(i64),
    Text(&'r str),
    Blob(&'r [u8]),
}

/// What a column can be read as.
pub(super) trait Column: Sized {
    /// `None`: it is of another kind.
    fn of(cell: Cell<'_>) -> Option<Self>;
}

macro_rules! columns {
    ($($type:ty => $kind:ident($it:ident) $read:expr),* $(,)?) => {$(
        impl Column for $type {
            fn of(cell: Cell<'_>) -> Option<$type> {
                match cell {
                    Cell::$kind($it) => $read,
                    _ => None,
                }
            }
        }
    )*};
}

columns! {
    i64 => Integer(it) Some(it),
    u32 => Integer(it) u32::try_from(it).ok(),
    u8 => Integer(it) u8::try_from(it).ok(),
    bool => Integer(it) Some(it != 0),
    String => Text(it) Some(it.to_owned()),
    Vec<u8> => Blob(it) Some(it.to_owned()),
    [u8; 16] => Blob(it) it.try_into().ok(),
    [u8; 32] => Blob(it) it.try_into().ok(),
}

impl<T: Column> Column for Option<T> {
    fn of(cell: Cell<'_>) -> Option<Option<T>> {
        match cell {
            Cell::Null => Some(None),
            cell => T::of(cell).map(Some),
        }
    }
}

/// A blob of 16 bytes as the number it spells.
pub(super) fn id(row: &Row<'_>, column: usize) -> Result<u128> {
    Ok(u128::from_be_bytes(row.get(column)?))
}

pub(super) fn maybe_id(row: &Row<'_>, column: usize) -> Result<Option<u128>> {
    Ok(row.get::<Option<[u8; 16]>>(column)?.map(u128::from_be_bytes))
}

pub(super) fn blob(bits: u128) -> [u8; 16] {
    bits.to_be_bytes()
}

/// Runs one statement that must change exactly one row.
pub(super) fn write_one(connection: Sql<'_>, sql: &str, params: Params<'_>) -> Result<()> {
    connection.statement(sql).write_one(params)
}
