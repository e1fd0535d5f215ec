//! Copying the log back into the file, on a connection and a thread of its own.
//!
//! Left to SQLite, the lane would do it within a commit: a sixth of its time, and pauses of up to 150 ms.
//! It never waits for readers or for the lane (a passive checkpoint), so while the lane is busy the log
//! is never empty and only grows. At [`LOG_PAGES_MAX`] the lane copies the small rest itself, and its next
//! commit begins the log anew.
//!
//! SQLite syncs the file when all of the log is copied back, and counts what it copied before that as done. If
//! that sync fails, Linux takes the pages for written and gives them up, and once the log began anew they
//! would be nowhere. So a failed sync ends the process at once, wherever it copied ([`end`]): the log is whole,
//! and the next server copies all of it back before it serves ([`whole_log`]).

use std::fs::File;
use std::mem::ManuallyDrop;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::hooks::Wal;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::beside::{self, Word};
use super::{Open, OpenFault, connect, settings};

/// Between two checkpoints. The shorter, the less there is to sync at once, for which a commit may have to wait: at 150 ms
/// the slowest commits took three times as long.
const EVERY: Duration = Duration::from_millis(50);
/// Pages of log (about 200 MB) at which a writer copies it back itself, so that it begins anew. Beside a
/// server [`Checkpoints`] has copied nearly all of it by then, off the lane's thread.
const LOG_PAGES_MAX: i32 = 48_000;
/// Pages that are copied back before the file is synced. The more, the fewer are written twice; the fewer, the shorter a
/// commit may have to wait for them.
const UNSYNCED_PAGES_MAX: i64 = 4_096;
/// How a process ends that could not bring to the disk what it copied back: `EX_IOERR` of sysexits.h.
pub const UNSYNCED_EXIT: u8 = 74;

/// Copies the log back until it is dropped.
pub struct Checkpoints {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpoints {
    /// The store must have been opened for writing before, so that it has a log.
    pub fn start(path: &Path) -> Result<Checkpoints, OpenFault> {
        let mut copier = Copier::of(path)?;
        let is_over = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&is_over);
        let thread = std::thread::Builder::new()
            .name("checkpoints".to_owned())
            .spawn(move || {
                while !seen.load(Ordering::Acquire) {
                    copier.copy();
                    std::thread::park_timeout(EVERY);
                }
            })
            .map_err(|cause| OpenFault::unreadable(path, &cause))?;
        Ok(Checkpoints { is_over, thread: Some(thread) })
    }
}

struct Copier {
    connection: Connection,
    store: PathBuf,
    /// Never closed: with any descriptor of it a process gives up its locks on the file, and those are SQLite's.
    file: ManuallyDrop<File>,
    /// How many pages of the log were copied when it was last looked at.
    copied: i64,
    /// Pages that were copied since the file was last synced.
    unsynced: i64,
}

impl Copier {
    fn of(path: &Path) -> Result<Copier, OpenFault> {
        let connection = connect(path, Open::Existing)?;
        settings(&connection).map_err(|cause| OpenFault::of(path, &cause))?;
        let file = File::open(path).map_err(|cause| OpenFault::unreadable(path, &cause))?;
        Ok(Copier {
            connection,
            store: path.to_owned(),
            file: ManuallyDrop::new(file),
            copied: 0,
            unsynced: 0,
        })
    }

    /// Copies, and brings to the disk what was copied once it is much.
    ///
    /// SQLite itself syncs only when it has copied the whole log, which beside a busy lane is seldom. What has
    /// gathered until then is written at once, and a commit whose sync waits for that waits for a tenth of a second.
    fn copy(&mut self) {
        let sql = "-- checkpoint
            pragma wal_checkpoint(passive)";
        let copied = self.connection.prepare_cached(sql);
        let copied = copied.and_then(|mut sql| sql.query_row([], |row| row.get::<_, i64>(2)));
        if let Ok(copied) = copied {
            // Fewer than before: the log began anew.
            let before = if copied < self.copied { 0 } else { self.copied };
            self.unsynced = self.unsynced.saturating_add(copied.saturating_sub(before));
            self.copied = copied;
        }
        heed(copied.map(|_| ()), &self.store);
        if self.unsynced >= UNSYNCED_PAGES_MAX {
            self.unsynced = 0;
            if let Err(cause) = self.file.sync_data() {
                end(&self.store, &cause)
            }
        }
    }
}

/// A connection that writes copies the log back when it has become long, as SQLite would, which does not tell
/// how that ended.
pub(super) fn bound_log(connection: &mut Connection, store: &Path) -> rusqlite::Result<()> {
    let store = store.to_owned();
    let copy = move |log: &mut Wal, pages: i32| {
        if pages >= LOG_PAGES_MAX {
            heed(log.checkpoint(), &store);
        }
        Ok(())
    };
    connection.wal_hook(Some(copy))
}

fn heed(copied: rusqlite::Result<()>, store: &Path) {
    match copied {
        Err(cause) if is_unsynced(&cause) => end(store, &cause),
        // Another process is at it.
        Err(cause) if cause.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {}
        Err(cause) => {
            tracing::warn!(%cause, "the log could not be copied back; it grows until it can");
        }
        Ok(()) => {}
    }
}

/// Was something written that could not be brought to the disk?
pub(super) fn is_unsynced(cause: &rusqlite::Error) -> bool {
    let synced = [rusqlite::ffi::SQLITE_IOERR_FSYNC, rusqlite::ffi::SQLITE_IOERR_DIR_FSYNC];
    cause.sqlite_error().is_some_and(|of| synced.contains(&of.extended_code))
}

/// Ends the process before anything can begin the log anew. Whatever else it is doing is as if it was killed.
fn end(store: &Path, cause: &dyn std::error::Error) -> ! {
    // Commands have no log.
    eprintln!("requite: {}", unsynced(store, cause));
    std::process::exit(UNSYNCED_EXIT.into())
}

/// Written down for a server that starts while another process has the store open: such a process keeps
/// alive what SQLite believes to have copied back. If this fails as well, only that is lost.
pub(super) fn mark(store: &Path) {
    let (_, id) = beside::read(store);
    if let Err(fault) = beside::write(store, Word::Unsynced, id.as_deref()) {
        tracing::error!(%fault, "that a sync failed could not be written down");
    }
}

/// Copies all of a log back, whatever was believed to be copied before, and begins it anew. Says whether it
/// could: not while anybody else has the store open.
///
/// It is read from the log itself: what the memory shared with other processes says of it is not looked at.
pub(super) fn whole_log(store: &Path) -> Result<bool, OpenFault> {
    let sql = |cause: rusqlite::Error| match is_unsynced(&cause) {
        true => unsynced(store, &cause),
        false => OpenFault::of(store, &cause),
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(store, flags).map_err(sql)?;
    if !take_alone(&connection).map_err(sql)? {
        return Ok(false);
    }
    write_again(&beside::named(store, "-wal")).map_err(|cause| unsynced(store, &cause))?;
    let sql_text = "-- copy_whole_log_back
        pragma wal_checkpoint(truncate)";
    let left = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i32>(0)?, row.get::<_, i32>(1)?));
    Ok(connection.query_row(sql_text, [], left).map_err(sql)? == (0, 0))
}

fn take_alone(connection: &Connection) -> rusqlite::Result<bool> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    // Before the first look, or it would be one with shared memory.
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    let sql = "-- take_alone\nselect count(*) from sqlite_schema";
    match connection.query_row(sql, [], |_| Ok(())) {
        Err(cause) if cause.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => Ok(false),
        Err(cause) => Err(cause),
        Ok(()) => connection.pragma_update(None, "synchronous", "FULL").map(|()| true),
    }
}

/// What a failed sync left in memory alone no later sync brings to the disk, unless it is written again. The
/// log is believed as it stands in memory, so it has to be on the disk as a whole before the file changes.
fn write_again(log: &Path) -> std::io::Result<()> {
    let file = File::options().read(true).write(true).open(log)?;
    let (mut bytes, mut at) = (vec![0; 1 << 20], 0);
    loop {
        let count = file.read_at(&mut bytes, at)?;
        if count == 0 {
            return file.sync_all();
        }
        file.write_all_at(&bytes[..count], at)?;
        at = at.saturating_add(u64::try_from(count).expect("a buffer's length"));
    }
}

fn unsynced(store: &Path, cause: &dyn std::error::Error) -> OpenFault {
    mark(store);
    OpenFault::Unsynced { path: store.to_owned(), cause: cause.to_string() }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        let Some(thread) = self.thread.take() else { return };
        thread.thread().unpark();
        if thread.join().is_err() {
            tracing::error!("the thread that copies the log back ended by panicking");
        }
    }
}
