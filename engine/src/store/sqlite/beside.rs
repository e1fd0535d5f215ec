//! What stands beside the file, so that a file or a log that has gone is noticed and nothing is begun in its place.
//!
//! `PATH.lock` is locked by the one server of a file for as long as it lives, and has one word in it:
//!
//! - `closed`: a store was made here, and all of it is in the file.
//! - `served`: a server has it, or died with it. What it answered may be in the log (`PATH-wal`) alone, so no
//!   connection of ours removes the log while this word stands, and without the log the file is not opened.
//! - `faulty`: the same, and the disk did not take what was copied back ([`super::checkpoints`]). It is served
//!   again when the whole log was copied back by one who had it alone.
//!
//! The word `served` is written when the log is sure to be there, and `closed` when it has been copied back. Behind it
//! stands the id of the store that was served, which is in the store as well. Words and ids are as long as others, so
//! that one takes another's place in one write. A store of older programs has no word, and one that was never served no
//! id.
//!
//! A server that finds one of the last two words begins with an empty log: of a log that a process left behind who
//! could not sync it, the end may be in memory only, and nothing may be written behind such an end.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::checkpoints::{is_unsynced, mark, whole_log};
use super::{Open, OpenFault, Sqlite};

/// Pages (64 MB) up to which a file is looked through at every start. What is larger would hold a start up for
/// seconds, and is looked through by an audit.
const CHECKED_PAGES_MAX: u32 = 16_384;
/// Sixteen random bytes in hexadecimal digits.
const ID_DIGITS: usize = 32;

/// What is known of a store without looking at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    Nothing,
    Closed,
    Served,
    Unsynced,
}

/// The word, and the id of the store that was served last.
pub(super) fn read(store: &Path) -> (Word, Option<String>) {
    let text = fs::read_to_string(named(store, ".lock")).unwrap_or_default();
    let (word, id) = text.trim_end().split_once(' ').unwrap_or((text.trim_end(), ""));
    let word = match word {
        "closed" => Word::Closed,
        "served" => Word::Served,
        "faulty" => Word::Unsynced,
        _ => Word::Nothing,
    };
    (word, Some(id.to_owned()).filter(|id| id.len() == ID_DIGITS))
}

/// Of a store that was never served the id is not known.
pub(super) fn write(store: &Path, word: Word, id: Option<&str>) -> io::Result<()> {
    let word = match word {
        Word::Nothing => return Ok(()),
        Word::Closed => "closed",
        Word::Served => "served",
        Word::Unsynced => "faulty",
    };
    let text = id.map_or_else(|| format!("{word}\n"), |id| format!("{word} {id}\n"));
    let path = named(store, ".lock");
    let mut file = File::options().create(true).truncate(false).write(true).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// `PATH` with more at its end.
pub(super) fn named(store: &Path, more: &str) -> PathBuf {
    let mut name = store.as_os_str().to_owned();
    name.push(more);
    PathBuf::from(name)
}

/// Makes the names in a store's folder sure to be found after a power cut.
pub(super) fn sync_folder(store: &Path) -> io::Result<()> {
    let folder = store.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// Is what should be there all there? Says what is known of it. `Nothing` where there is no file yet and one may
/// be made.
pub(super) fn check(store: &Path, open: Open) -> Result<Word, OpenFault> {
    let (word, _) = read(store);
    let log = named(store, "-wal");
    let (path, lock) = (store.to_owned(), named(store, ".lock"));
    let has_log = log.exists();
    let size = match fs::metadata(store) {
        Ok(found) if found.is_dir() => return Err(OpenFault::Folder(path)),
        Ok(found) => found.len(),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
            return match word {
                Word::Nothing if has_log => Err(OpenFault::Gone { path, trace: log }),
                Word::Nothing if open == Open::OrCreate => Ok(Word::Nothing),
                Word::Nothing => Err(OpenFault::Missing(path)),
                Word::Closed | Word::Served | Word::Unsynced => {
                    Err(OpenFault::Gone { path, trace: lock })
                }
            };
        }
        Err(cause) => return Err(OpenFault::unreadable(store, &cause)),
    };
    match word {
        _ if size == 0 => Err(OpenFault::Empty(path)),
        Word::Served | Word::Unsynced if !has_log => Err(OpenFault::LogGone { path, log, lock }),
        _ => Ok(word),
    }
}

/// Held by the one server of a file.
#[derive(Debug)]
pub struct ServerLock {
    path: PathBuf,
    /// Keeps the log in use while the server lives; and the id of its store.
    keeper: Option<(Connection, String)>,
    _file: File,
}

impl ServerLock {
    /// Takes the lock beside the file (`PATH.lock`), or says that another server has it. The lock
    /// goes with the process, however that ends.
    pub fn take(path: &Path) -> Result<ServerLock, OpenFault> {
        let unreadable = |cause: io::Error| OpenFault::unreadable(path, &cause);
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(named(path, ".lock"))
            .map_err(unreadable)?;
        match file.try_lock() {
            Ok(()) => Ok(ServerLock { path: path.to_owned(), keeper: None, _file: file }),
            Err(fs::TryLockError::WouldBlock) => Err(OpenFault::Served(path.to_owned())),
            Err(fs::TryLockError::Error(cause)) => Err(unreadable(cause)),
        }
    }

    /// Looks through a file that is not too large for it, copies back the log that a server left behind that did
    /// not close it, and writes down that its log counts from now on.
    pub fn serve(&mut self) -> Result<(), OpenFault> {
        let path = self.path.as_path();
        let id = look_at_start(path)?;
        let (word, served) = read(path);
        if served.is_some_and(|served| served != id) {
            return Err(OpenFault::Another { path: path.to_owned(), lock: named(path, ".lock") });
        }
        if matches!(word, Word::Served | Word::Unsynced) {
            begin_log_anew(path, word)?;
        }
        let Sqlite { connection, .. } = Sqlite::open(path, Open::Existing)?;
        keep_log(&connection, path)?;
        let written = sync_folder(path).and_then(|()| write(path, Word::Served, Some(&id)));
        written.map_err(|cause| OpenFault::unreadable(path, &cause))?;
        self.keeper = Some((connection, id));
        Ok(())
    }

    /// Copies the log back and writes down that the file is whole without it. Where somebody is still reading,
    /// or the disk does not let it, the log stays and counts: the next start finds it.
    pub fn close(self) {
        let Some((connection, id)) = &self.keeper else { return };
        let sql = "-- copy_log_back
            pragma wal_checkpoint(truncate)";
        let is_left: rusqlite::Result<bool> = connection.query_row(sql, [], |row| row.get(0));
        match is_left {
            Ok(false) => {
                if let Err(fault) = write(&self.path, Word::Closed, Some(id)) {
                    tracing::warn!(%fault, "the store is closed, and that could not be written down");
                }
            }
            Ok(true) => tracing::info!("the log is in use and stays"),
            Err(fault) => {
                if is_unsynced(&fault) {
                    mark(&self.path);
                }
                tracing::warn!(%fault, "the log could not be copied back and stays");
            }
        }
    }
}

/// Looks through a store that nobody serves; its id.
fn look_at_start(path: &Path) -> Result<String, OpenFault> {
    let Sqlite { connection, .. } = Sqlite::open(path, Open::Existing)?;
    keep_log(&connection, path)?;
    let sql = |cause: rusqlite::Error| OpenFault::of(path, &cause);
    let pages: u32 =
        connection.pragma_query_value(None, "page_count", |row| row.get(0)).map_err(sql)?;
    if pages <= CHECKED_PAGES_MAX {
        look_through(&connection, path, "quick_check")?;
    } else {
        tracing::info!(pages, "too large to be looked through at a start: requite verify does");
    }
    store_id(&connection).map_err(sql)
}

/// The last one to leave would remove the log.
fn keep_log(connection: &Connection, path: &Path) -> Result<(), OpenFault> {
    let keeps = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
    connection.set_db_config(keeps, true).map_err(|cause| OpenFault::of(path, &cause))?;
    Ok(())
}

fn begin_log_anew(path: &Path, word: Word) -> Result<(), OpenFault> {
    let is_anew = whole_log(path)?;
    if !is_anew && word == Word::Unsynced {
        return Err(OpenFault::UnsyncedShared(path.to_owned()));
    }
    if !is_anew {
        tracing::info!("another program has the store open: its log goes on where it was");
    }
    Ok(())
}

/// What tells this store from others, drawn when it is first served.
fn store_id(connection: &Connection) -> rusqlite::Result<String> {
    let sql = "-- draw_store_id
        insert into secret (name, secret) select 'store', randomblob(16)
        where not exists (select 1 from secret where name = 'store')";
    connection.execute(sql, [])?;
    let sql = "-- store_id
        select lower(hex(secret)) from secret where name = 'store'";
    connection.query_row(sql, [], |row| row.get(0))
}

/// Looks through the whole file: `quick_check` for its structure, `integrity_check` also for its indexes. What is
/// wrong with rows alone is left to the audit, which names their payment.
pub(super) fn look_through(
    connection: &Connection,
    path: &Path,
    how: &str,
) -> Result<(), OpenFault> {
    let mut what = Vec::new();
    let told = connection.pragma_query(None, how, |row| {
        what.push(row.get::<_, String>(0)?);
        Ok(())
    });
    told.map_err(|cause| OpenFault::of(path, &cause))?;
    let of_rows = ["ok", "CHECK constraint failed in ", "NULL value in "];
    what.retain(|text| !of_rows.iter().any(|start| text.starts_with(start)));
    let Some(first) = what.first() else { return Ok(()) };
    let first = first.lines().last().unwrap_or_default();
    let what = format!("{} faults, the first: {first}", what.len());
    Err(OpenFault::Damaged { path: path.to_owned(), what })
}
