//! The embedded store: one SQLite file, one writer, commits on disk before anyone is answered.
//!
//! Invariants:
//! - WAL with `synchronous = FULL`: a commit that returned survives a power cut.
//! - One server per file: [`ServerLock`] is held as long as it serves. Command-line writers
//!   (import, key, merchant) share the file; SQLite orders their transactions.
//! - A file of another program, of a newer Requite, or damaged, is refused and left as it is. Where a store was,
//!   none is begun anew ([`beside`]).
//!
//! Here are opening, locking and migrating the file, and the lane's batches. What reads it, the
//! registry and the audit are in [`super::sql`], one text for every database. SQL stands beside the
//! function that runs it; its first line is its name.

mod backup;
mod beside;
mod checkpoints;
mod connections;
mod keys;
mod load;
mod save;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use requite_core::id::{MerchantId, PaymentId, RefundId};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

pub use self::backup::{BackupFault, backup};
pub use self::beside::ServerLock;
use self::beside::Word;
pub use self::checkpoints::{Checkpoints, UNSYNCED_EXIT};
pub(super) use self::connections::{Readers, Writer};
use self::keys::Keys;
use super::sql::{self, Params, Sql, SqlFault, SqlReads, SqlRegistry, id, params};
use super::{Changes, Commit, Loaded, Store, StoreFault, Wanted};
use crate::audit::Report;
use crate::command::RefundRef;
use crate::fault::{self, Point};
use crate::read::ReadFault;

/// `requ` in ASCII: marks the file as ours.
const APPLICATION_ID: i32 = 0x7265_7175;
/// How long a writer waits for another process's transaction. Whoever comes while one batch waits may
/// wait for the next one as well, and nobody waits for five seconds to hear that they must come again.
const BUSY_MAX: Duration = Duration::from_secs(2);
/// More than the number of hot statements; the default of 16 would evict them all the time.
const STATEMENTS_MAX: usize = 128;

/// Schema changes in order. Append only.
const MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/sqlite/0001_first.sql"),
    include_str!("../../migrations/sqlite/0002_session.sql"),
    include_str!("../../migrations/sqlite/0003_operations.sql"),
    include_str!("../../migrations/sqlite/0004_shop.sql"),
    include_str!("../../migrations/sqlite/0005_history.sql"),
    include_str!("../../migrations/sqlite/0006_order.sql"),
    include_str!("../../migrations/sqlite/0007_key_accounts.sql"),
    include_str!("../../migrations/sqlite/0008_connector.sql"),
    include_str!("../../migrations/sqlite/0009_created.sql"),
    include_str!("../../migrations/sqlite/0010_inbox.sql"),
    include_str!("../../migrations/sqlite/0011_outbox.sql"),
    include_str!("../../migrations/sqlite/0012_delivery_key.sql"),
    include_str!("../../migrations/sqlite/0013_cancel.sql"),
    include_str!("../../migrations/sqlite/0014_nearness.sql"),
    include_str!("../../migrations/sqlite/0015_book.sql"),
    include_str!("../../migrations/sqlite/0016_fewer_pages.sql"),
    include_str!("../../migrations/sqlite/0017_keys.sql"),
    include_str!("../../migrations/sqlite/0018_change.sql"),
];

/// Why a store cannot be opened. The texts are for operators.
#[derive(Debug, thiserror::Error)]
pub enum OpenFault {
    #[error("no store at {0}: create it with `requite serve` or any command that writes")]
    Missing(PathBuf),
    #[error(
        "the store at {path} has gone: {} says that there was one, and no new one is begun in its place. \
         Put it back, or, to begin anew, remove that file", trace.display()
    )]
    Gone { path: PathBuf, trace: PathBuf },
    #[error(
        "{0} is an empty file and no store, and none is begun in its place. Put the store back, or, to \
         begin anew, remove it"
    )]
    Empty(PathBuf),
    #[error(
        "the log of {path} has gone: a server died with it, and what it answered last may be in {} alone. \
         Put it back. If another program has opened the store since and closed it in order, all is in \
         the file: remove {} then", log.display(), lock.display()
    )]
    LogGone { path: PathBuf, log: PathBuf, lock: PathBuf },
    #[error(
        "another store than {path}, or another's log, was served here last. If it was put here on purpose, \
         remove {}", lock.display()
    )]
    Another { path: PathBuf, lock: PathBuf },
    #[error("{0} is a folder and no store; nothing was changed")]
    Folder(PathBuf),
    #[error("{0} is the file of another program; it is left as it is")]
    Foreign(PathBuf),
    #[error("{path} has schema {found}, this program knows up to {known}: use the newer program")]
    Newer { path: PathBuf, found: usize, known: usize },
    #[error(
        "{path} is damaged, or no store at all ({what}); do not refund from it. Restore a backup"
    )]
    Damaged { path: PathBuf, what: String },
    #[error(
        "the disk did not take what was copied from the log of {path} ({cause}). Nothing is lost: all of it is \
         in the log, and the next server that starts copies it back again before it serves. See what the \
         system says about the disk, then start the server again"
    )]
    Unsynced { path: PathBuf, cause: String },
    #[error(
        "the disk failed under the last server of {0}, and another program still has the store open: end \
         that program, then start the server again, which copies the whole log back"
    )]
    UnsyncedShared(PathBuf),
    #[error("another server has {0} open: one server per file")]
    Served(PathBuf),
    #[error("{path} cannot be opened for reading and writing: {cause}")]
    Unreadable { path: PathBuf, cause: String },
}

impl OpenFault {
    fn unreadable(path: &Path, cause: &dyn std::error::Error) -> OpenFault {
        OpenFault::Unreadable { path: path.to_owned(), cause: cause.to_string() }
    }

    fn of(path: &Path, cause: &rusqlite::Error) -> OpenFault {
        match cause.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                OpenFault::Damaged { path: path.to_owned(), what: cause.to_string() }
            }
            _ => OpenFault::unreadable(path, cause),
        }
    }

    /// Something is there, and it is no whole store of this program.
    pub fn is_of_content(&self) -> bool {
        match self {
            OpenFault::LogGone { .. }
            | OpenFault::Another { .. }
            | OpenFault::Foreign(_)
            | OpenFault::Newer { .. }
            | OpenFault::Damaged { .. } => true,
            OpenFault::Missing(_)
            | OpenFault::Gone { .. }
            | OpenFault::Empty(_)
            | OpenFault::Folder(_)
            | OpenFault::Unsynced { .. }
            | OpenFault::UnsyncedShared(_)
            | OpenFault::Served(_)
            | OpenFault::Unreadable { .. } => false,
        }
    }
}

/// May opening make a new store where there is none?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    Existing,
    OrCreate,
}

/// Views of a store. It must have been opened for writing before, so that its schema is there.
pub fn reads(path: &Path) -> Result<SqlReads, OpenFault> {
    Ok(SqlReads::new(sql::Readers::Sqlite(Readers::open(path)?)))
}

/// Writes beside the lane. Opens the file as [`Sqlite::open`] does.
pub fn registry(path: &Path, open: Open) -> Result<SqlRegistry, OpenFault> {
    Ok(SqlRegistry::new(sql::Writer::Sqlite(Writer::open(path, open)?)))
}

/// Looks through the file, then audits the store, which may be in use. `progress` is told payments done
/// and payments in all.
pub fn audit(path: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<Report, AuditFault> {
    let readers = Readers::of_one(path)?;
    let readers = sql::Readers::Sqlite(readers);
    let mut report = sql::audit::audit(&readers, progress)?;
    keys::audit(&readers, &mut report)?;
    Ok(report)
}

/// Why an audit could not be made.
#[derive(Debug, thiserror::Error)]
pub enum AuditFault {
    #[error(transparent)]
    Open(#[from] OpenFault),
    #[error(transparent)]
    Read(#[from] ReadFault),
}

/// The writing side, for a lane or for the sweep.
pub struct Sqlite {
    connection: Connection,
    keys: Keys,
}

impl Sqlite {
    /// Opens the file, brings its schema up to date, and checks that it is ours.
    pub fn open(path: &Path, open: Open) -> Result<Sqlite, OpenFault> {
        let mut connection = connect(path, open)?;
        migrate(&mut connection, path)?;
        let bound = checkpoints::bound_log(&mut connection, path);
        bound.map_err(|cause| OpenFault::of(path, &cause))?;
        Ok(Sqlite { connection, keys: Keys::new(keys::RUN) })
    }

    /// Brings idempotency keys into their index by so many, from 1 on. For tests and simulations, which have
    /// not as many keys as a shop.
    pub fn index_keys_by(&mut self, run: usize) {
        self.keys = Keys::new(run);
    }

    /// Trades durability for speed. For simulations, whose crashes do not take the disk along.
    pub fn forget_on_power_loss(&self) -> Result<(), StoreFault> {
        let set = self.connection.pragma_update(None, "synchronous", "OFF");
        set.map_err(|fault| StoreFault::NotCommitted(fault.to_string()))
    }
}

/// A connection to a file that is there; one is made where there is none and `open` allows it.
fn connect(path: &Path, open: Open) -> Result<Connection, OpenFault> {
    let unreadable = |cause: rusqlite::Error| OpenFault::of(path, &cause);
    let word = beside::check(path, open)?;
    if word == Word::Nothing && !path.exists() {
        create(path)?;
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(unreadable)?;
    connection.busy_timeout(BUSY_MAX).map_err(unreadable)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    // Otherwise SQLite looks at the bound values and prepares a statement anew for each of them: that
    // was more than half of a batch's time.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map_err(unreadable)?;
    // The last one to leave would remove a log that a server counts on.
    let keeps_log = matches!(word, Word::Served | Word::Unsynced);
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keeps_log)
        .map_err(unreadable)?;
    Ok(connection)
}

/// Makes a new store under another name, whole and on the disk, and only then gives it its own: however this
/// ends, there is never half a store. If somebody else was faster, theirs is the store.
fn create(path: &Path) -> Result<(), OpenFault> {
    let fresh = beside::named(path, &format!(".new-{}", std::process::id()));
    let unreadable = |cause: std::io::Error| OpenFault::unreadable(path, &cause);
    // Left over by a process that had this number and died.
    remove(&fresh).map_err(unreadable)?;
    let sql = |cause: rusqlite::Error| OpenFault::of(path, &cause);
    let mut connection = Connection::open(&fresh).map_err(sql)?;
    // Nobody sees it before it is synced as a whole.
    connection.pragma_update(None, "journal_mode", "MEMORY").map_err(sql)?;
    connection.pragma_update(None, "synchronous", "OFF").map_err(sql)?;
    bring_up_to_date(&mut connection, path)?;
    connection.close().map_err(|(_, cause)| sql(cause))?;
    let published =
        File::open(&fresh).and_then(|file| file.sync_all()).and_then(|()| publish(&fresh, path));
    let is_first = match published {
        Ok(()) => true,
        Err(cause) if cause.kind() == std::io::ErrorKind::AlreadyExists => false,
        Err(cause) => return Err(unreadable(cause)),
    };
    remove(&fresh).map_err(unreadable)?;
    if is_first {
        let kept = beside::sync_folder(path).and_then(|()| beside::write(path, Word::Closed, None));
        kept.map_err(unreadable)?;
    }
    Ok(())
}

/// Gives a file another name that nothing else has.
fn publish(fresh: &Path, path: &Path) -> std::io::Result<()> {
    match fs::hard_link(fresh, path) {
        // A file system without links.
        Err(cause) if cause.kind() == std::io::ErrorKind::Unsupported => fs::rename(fresh, path),
        linked => linked,
    }
}

fn remove(path: &Path) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => Err(cause),
        _ => Ok(()),
    }
}

fn settings(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    connection.pragma_update(None, "cache_size", -8_192)?;
    connection.pragma_update(None, "mmap_size", 268_435_456_i64)?;
    // Done by `checkpoints`, which hears how it ends.
    connection.pragma_update(None, "wal_autocheckpoint", 0)
}

fn migrate(connection: &mut Connection, path: &Path) -> Result<(), OpenFault> {
    let unreadable = |cause: rusqlite::Error| OpenFault::of(path, &cause);
    let application = number(connection, "application_id").map_err(unreadable)?;
    let sql = "-- count_tables\nselect count(*) from sqlite_schema";
    let tables: i32 = connection.query_row(sql, [], |row| row.get(0)).map_err(unreadable)?;
    // Without a table: a program that came before died while it made the file.
    if application != APPLICATION_ID && (application != 0 || tables != 0) {
        return Err(OpenFault::Foreign(path.to_owned()));
    }
    settings(connection).map_err(unreadable)?;
    bring_up_to_date(connection, path)
}

fn number(connection: &Connection, pragma: &str) -> rusqlite::Result<i32> {
    connection.pragma_query_value(None, pragma, |row| row.get(0))
}

fn bring_up_to_date(connection: &mut Connection, path: &Path) -> Result<(), OpenFault> {
    let unreadable = |cause: rusqlite::Error| OpenFault::of(path, &cause);
    // Under the write lock: several processes may open an older file at once.
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(unreadable)?;
    let version = number(&transaction, "user_version").map_err(unreadable)?;
    let found = usize::try_from(version).unwrap_or(usize::MAX);
    let known = MIGRATIONS.len();
    if found > known {
        return Err(OpenFault::Newer { path: path.to_owned(), found, known });
    }
    for sql in MIGRATIONS.iter().skip(found) {
        fault::pass(Point::Migration);
        transaction.execute_batch(sql).map_err(unreadable)?;
    }
    if found < known {
        fault::pass(Point::Migrated);
        let known = i32::try_from(known).expect("there are few migrations");
        transaction.pragma_update(None, "user_version", known).map_err(unreadable)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(unreadable)?;
    }
    transaction.commit().map_err(unreadable)
}

/// A commit that failed. What was not written whole is not there; what was written and could not be
/// brought to the disk may be found there after a crash.
fn uncommitted(cause: rusqlite::Error) -> StoreFault {
    if checkpoints::is_unsynced(&cause) {
        return StoreFault::Unheard(cause.to_string());
    }
    StoreFault::from(SqlFault::from(cause))
}

impl Store for Sqlite {
    fn transact(
        &mut self,
        wanted: &Wanted,
        decide: &mut dyn FnMut(Loaded) -> Changes,
    ) -> Result<Commit, StoreFault> {
        fault::attempt(Point::StoreBegin).map_err(SqlFault::from)?;
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(SqlFault::from)?;
        let connection = Sql::Sqlite(&transaction);
        self.keys.catch_up(connection)?;
        let (loaded, found) = load::load(connection, wanted, &self.keys)?;
        let changes = decide(loaded);
        if changes.is_empty() {
            // Attempt outcomes alone change nothing that is worth a commit of their own.
            return Ok(Commit::Heard);
        }
        save::save(connection, &changes, &found)?;
        let indexed = self.keys.index(connection, changes.keys.len())?;
        fault::attempt(Point::StoreCommit).map_err(SqlFault::from)?;
        transaction.commit().map_err(uncommitted)?;
        self.keys.committed(&indexed);
        // Committed, and reported as failed: what a test makes of this is what a connection that
        // breaks at the wrong moment makes of it.
        fault::attempt(Point::StoreCommitted)
            .map_err(|struck| StoreFault::Unheard(struck.to_string()))?;
        Ok(Commit::Heard)
    }

    fn due(&mut self, now_ms: i64, max: u32) -> Result<Vec<RefundRef>, StoreFault> {
        let sql = "-- due_refunds
            select merchant_id, payment_id, refund_id from refund
            where next_action_at_ms is not null and next_action_at_ms <= ?1
            order by next_action_at_ms limit ?2";
        let mut due = refs(&self.connection, sql, params![now_ms, max])?;
        let left = max.saturating_sub(u32::try_from(due.len()).unwrap_or(u32::MAX));
        let sql = "-- refunds_beyond_schedule
            select merchant_id, payment_id, refund_id from refund
            where next_action_at_ms is not null and next_action_at_ms > ?1
            order by next_action_at_ms desc limit ?2";
        let farthest_ms = now_ms.saturating_add(requite_core::schedule::FARTHEST);
        due.extend(refs(&self.connection, sql, params![farthest_ms, left])?);
        Ok(due)
    }

    fn in_flight(&mut self, max: u32) -> Result<Vec<RefundRef>, StoreFault> {
        // Statuses 5 to 8 (dispatched to requires_action) may have a call under way.
        let sql = "-- refunds_in_flight
            select merchant_id, payment_id, refund_id from refund
            where next_action_at_ms is not null and status between 4 and 8
            order by next_action_at_ms limit ?1";
        refs(&self.connection, sql, params![max])
    }
}

fn refs(
    connection: &Connection,
    sql: &str,
    params: Params<'_>,
) -> Result<Vec<RefundRef>, StoreFault> {
    let rows = Sql::Sqlite(connection).query(sql, params, |row| {
        Ok(RefundRef {
            merchant: MerchantId::new(id(row, 0)?),
            payment: PaymentId::new(id(row, 1)?),
            refund: RefundId::new(id(row, 2)?),
        })
    });
    Ok(rows?)
}
