//! Connections for everything but the lane: a few for reading, one for writing.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, TransactionBehavior};

use super::{Open, OpenFault, Sqlite, beside, connect, settings};
use crate::store::sql::{Result, SqlFault};

/// Idle connections that are kept for the next read.
const IDLE_MAX: usize = 16;

/// Connections that cannot write. Each reads in a snapshot of its own.
pub(in crate::store) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    /// The store must have been opened for writing before, so that its schema is there.
    pub(super) fn open(path: &Path) -> Result<Readers, OpenFault> {
        let readers = Readers { path: path.to_owned(), idle: Mutex::new(Vec::new()) };
        let first = readers.connect()?;
        readers.keep(first);
        Ok(readers)
    }

    /// For an audit, which leaves the file's settings alone as well, and looks through it first.
    pub(super) fn of_one(path: &Path) -> Result<Readers, OpenFault> {
        let connection = connect(path, Open::Existing)?;
        beside::look_through(&connection, path, "integrity_check")?;
        let set = connection.pragma_update(None, "query_only", "ON");
        set.map_err(|cause| OpenFault::of(path, &cause))?;
        Ok(Readers { path: path.to_owned(), idle: Mutex::new(vec![connection]) })
    }

    fn connect(&self) -> Result<Connection, OpenFault> {
        let connection = connect(&self.path, Open::Existing)?;
        let set = settings(&connection)
            .and_then(|()| connection.pragma_update(None, "query_only", "ON"))
            // After every commit of the lane a reader would map the file anew, page by page.
            .and_then(|()| connection.pragma_update(None, "mmap_size", 0_i64));
        set.map_err(|cause| OpenFault::of(&self.path, &cause))?;
        Ok(connection)
    }

    fn keep(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX {
            idle.push(connection);
        }
    }

    pub(in crate::store) fn snapshot<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T>,
    ) -> Result<T> {
        self.with(|connection| read(&*connection.transaction()?))
    }

    pub(in crate::store) fn look<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T>,
    ) -> Result<T> {
        self.with(|connection| read(connection))
    }

    fn with<T>(&self, work: impl FnOnce(&mut Connection) -> Result<T>) -> Result<T> {
        let kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut connection = match kept {
            Some(connection) => connection,
            None => self.connect().map_err(|fault| SqlFault::Database(fault.to_string()))?,
        };
        let done = work(&mut connection);
        self.keep(connection);
        done
    }
}

/// The one connection that writes beside the lane; SQLite orders its transactions with the lane's.
pub(in crate::store) struct Writer {
    connection: Mutex<Connection>,
}

impl Writer {
    pub(super) fn open(path: &Path, open: Open) -> Result<Writer, OpenFault> {
        let Sqlite { connection, .. } = Sqlite::open(path, open)?;
        Ok(Writer { connection: Mutex::new(connection) })
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        // A panic between begin and commit rolled back; the connection is as good as before.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(in crate::store) fn look<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T>,
    ) -> Result<T> {
        read(&self.connection())
    }

    pub(in crate::store) fn transact<T>(
        &self,
        write: impl FnOnce(&Connection) -> Result<T>,
    ) -> Result<T> {
        let mut connection = self.connection();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let value = write(&transaction)?;
        transaction.commit()?;
        Ok(value)
    }
}
