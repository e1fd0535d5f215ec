//! Connections for everything but the lane: a bounded number, made when they are needed and kept while
//! they are sound.
//!
//! Invariants:
//! - Nobody waits longer than [`WAIT_MAX`] for one: then the store counts as overloaded.
//! - A transaction that another one got in the way of is run again, and so is whatever met a connection
//!   that had died meanwhile; a commit without an answer is neither tried again nor taken for done.
//! - A connection on which something went wrong that its transaction cannot explain is closed, and with
//!   it those that were lying idle, which after a failover are as dead.

use std::cell::RefCell;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_postgres::Config;

use super::Address;
use super::link::{self, Trouble};
use super::prepared::{Connection, End};
use crate::store::sql::{Result, SqlFault};

/// How long a read or a write waits for a connection.
const WAIT_MAX: Duration = Duration::from_secs(1);
/// How often a transaction is run that others get in the way of.
const CONFLICTS_MAX: u32 = 10;
/// How often work is begun whose connection turns out to be dead: once on a kept one, once on a new one.
const AWAY_TRIES_MAX: u32 = 2;
/// Begins a read of several statements, which see one moment.
const SNAPSHOT: &str = "begin isolation level repeatable read read only;
    set local idle_in_transaction_session_timeout = 5000; set local statement_timeout = 10000";
/// Begins a write.
const WRITE: &str = super::BEGIN;

/// What a statement runs on: shared, as a row may be read while the next statement is asked for.
type Shared = RefCell<Connection>;

/// How work is framed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Frame {
    /// One statement, which is its own transaction.
    None,
    Snapshot,
    Write,
}

/// A bounded number of connections to one database.
pub(in crate::store) struct Pool {
    config: Config,
    max: usize,
    kept: Mutex<Kept>,
    freed: Condvar,
}

#[derive(Default)]
struct Kept {
    idle: Vec<Connection>,
    /// Idle ones and those in use.
    open: usize,
}

impl Pool {
    /// At most `max` connections, of which none is made yet.
    pub(super) fn new(address: &Address, max: usize) -> Pool {
        let config = link::prepared(address.config.clone());
        Pool { config, max, kept: Mutex::default(), freed: Condvar::new() }
    }

    /// Runs one statement.
    pub(in crate::store) fn look<T>(&self, read: impl Fn(&Shared) -> Result<T>) -> Result<T> {
        self.run(Frame::None, read)
    }

    /// Runs `read` in one snapshot.
    pub(in crate::store) fn snapshot<T>(&self, read: impl Fn(&Shared) -> Result<T>) -> Result<T> {
        self.run(Frame::Snapshot, read)
    }

    /// Runs `write` in one transaction.
    pub(in crate::store) fn transact<T>(&self, write: impl Fn(&Shared) -> Result<T>) -> Result<T> {
        self.run(Frame::Write, write)
    }

    fn run<T>(&self, frame: Frame, work: impl Fn(&Shared) -> Result<T>) -> Result<T> {
        let (mut conflicts, mut away) = (0_u32, 0_u32);
        loop {
            match self.lease()?.run(frame, &work) {
                Err(SqlFault::Conflict(text)) => {
                    conflicts = conflicts.saturating_add(1);
                    if conflicts >= CONFLICTS_MAX {
                        return Err(SqlFault::Unavailable(text));
                    }
                    std::thread::sleep(Duration::from_millis(1 << conflicts));
                }
                Err(SqlFault::Away(text)) => {
                    self.forget_idle();
                    away = away.saturating_add(1);
                    if away >= AWAY_TRIES_MAX {
                        return Err(SqlFault::Away(text));
                    }
                }
                done => return done,
            }
        }
    }

    fn lease(&self) -> Result<Lease<'_>> {
        let is_out = |kept: &mut Kept| kept.idle.is_empty() && kept.open >= self.max;
        let waited = self.freed.wait_timeout_while(self.kept(), WAIT_MAX, is_out);
        let (mut kept, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            let text = format!("all {} connections to the database are in use", self.max);
            return Err(SqlFault::Unavailable(text));
        }
        if let Some(client) = kept.idle.pop() {
            return Ok(Lease { pool: self, client: Some(client) });
        }
        kept.open = kept.open.saturating_add(1);
        drop(kept);
        // Gives its place back when there is no way to the database.
        let mut lease = Lease { pool: self, client: None };
        lease.client = Some(Connection::open(&self.config)?);
        Ok(lease)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget_idle(&self) {
        let mut kept = self.kept();
        let idle = std::mem::take(&mut kept.idle);
        kept.open = kept.open.saturating_sub(idle.len());
        drop(kept);
        self.freed.notify_all();
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let idle = std::mem::take(&mut self.kept().idle);
        // Closing one waits for the network, which no thread may that runs asynchronous tasks.
        std::thread::scope(|scope| {
            scope.spawn(move || drop(idle));
        });
    }
}

/// A connection in use, or the place of one.
struct Lease<'p> {
    pool: &'p Pool,
    client: Option<Connection>,
}

impl Lease<'_> {
    fn run<T>(&mut self, frame: Frame, work: impl Fn(&Shared) -> Result<T>) -> Result<T> {
        let Some(client) = self.client.take() else {
            return Err(SqlFault::Away("no connection".to_owned()));
        };
        let client = RefCell::new(client);
        let done = framed(&client, frame, work);
        let mut client = client.into_inner();
        let is_sound = match &done {
            Ok(_) => !client.is_closed(),
            Err(SqlFault::Away(_) | SqlFault::Unheard(_)) => false,
            Err(_) => frame == Frame::None || client.end(End::RollBack).is_ok(),
        };
        if is_sound {
            self.client = Some(client);
        }
        done
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let mut kept = self.pool.kept();
        match self.client.take() {
            Some(client) => kept.idle.push(client),
            None => kept.open = kept.open.saturating_sub(1),
        }
        drop(kept);
        self.pool.freed.notify_one();
    }
}

fn framed<T>(client: &Shared, frame: Frame, work: impl Fn(&Shared) -> Result<T>) -> Result<T> {
    let begin = |limits: &str| client.borrow_mut().begin(limits);
    let commit = || client.borrow_mut().end(End::Commit);
    match frame {
        Frame::None => work(client),
        Frame::Snapshot => {
            begin(SNAPSHOT)?;
            let value = work(client)?;
            commit()?;
            Ok(value)
        }
        Frame::Write => {
            begin(WRITE)?;
            let value = work(client)?;
            commit().map_err(|trouble| match trouble {
                Trouble::Away(text) => SqlFault::Unheard(text),
                trouble => SqlFault::from(trouble),
            })?;
            Ok(value)
        }
    }
}

impl From<Trouble> for SqlFault {
    fn from(trouble: Trouble) -> SqlFault {
        match trouble {
            Trouble::Conflict { text, is_taken: false } => SqlFault::Conflict(text),
            Trouble::Conflict { text, is_taken: true } | Trouble::Refused(text) => {
                SqlFault::Constraint(text)
            }
            Trouble::Away(text) => SqlFault::Away(text),
            Trouble::Lasting(text) => SqlFault::Database(text),
        }
    }
}

/// Of what is read or written in a lane's own transaction, by what serves both databases.
impl From<SqlFault> for Trouble {
    fn from(fault: SqlFault) -> Trouble {
        match fault {
            SqlFault::Conflict(text) => Trouble::Conflict { text, is_taken: false },
            SqlFault::Constraint(text) => Trouble::Refused(text),
            SqlFault::Away(text) | SqlFault::Unheard(text) => Trouble::Away(text),
            fault => Trouble::Lasting(fault.to_string()),
        }
    }
}
