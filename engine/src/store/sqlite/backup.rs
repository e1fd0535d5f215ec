//! A copy of a store that may be in use.
//!
//! It is one moment of the store, whole: everything that was answered before it was begun is in it. It is made under
//! another name, looked through, brought to the disk, and only then gets its own, which nothing else may have.

use std::fs::File;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use super::{Open, OpenFault, beside, connect, publish, remove};
use crate::store::RESTORED;

/// Pages that are copied between two reports: 16 MB.
const PAGES: i32 = 4_096;

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum BackupFault {
    #[error(transparent)]
    Open(#[from] OpenFault),
    #[error("{0} is there already, and is left as it is: name a file that is not there")]
    Taken(PathBuf),
    #[error("the copy {path} could not be made: {cause}")]
    Failed { path: PathBuf, cause: String },
}

/// Copies the store to `to`, which must not be there. `progress` is told pages done and pages in all. Says how
/// many bytes the copy has.
pub fn backup(
    path: &Path,
    to: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<u64, BackupFault> {
    let log = beside::named(to, "-wal");
    if let Some(taken) = [to, &log].into_iter().find(|path| path.symlink_metadata().is_ok()) {
        return Err(BackupFault::Taken(taken.to_owned()));
    }
    let source = connect(path, Open::Existing)?;
    let fresh = beside::named(to, &format!(".new-{}", std::process::id()));
    let made = copy(&source, &fresh, progress)
        .and_then(|()| {
            beside::look_through(&Connection::open(&fresh)?, &fresh, "quick_check")
                .map_err(Into::into)
        })
        .and_then(|()| Ok(keep(&fresh, to)?));
    let cleared = ["", "-wal", "-shm", "-journal"].map(|end| remove(&beside::named(&fresh, end)));
    let failed = |cause: String| BackupFault::Failed { path: to.to_owned(), cause };
    match made {
        Ok(bytes) => {
            cleared
                .into_iter()
                .collect::<std::io::Result<()>>()
                .map_err(|it| failed(it.to_string()))?;
            Ok(bytes)
        }
        Err(Trouble::Disk(cause)) if cause.kind() == std::io::ErrorKind::AlreadyExists => {
            Err(BackupFault::Taken(to.to_owned()))
        }
        Err(trouble) => Err(failed(trouble.to_string())),
    }
}

#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Disk(#[from] std::io::Error),
    #[error(transparent)]
    Sql(#[from] rusqlite::Error),
    #[error(transparent)]
    Content(#[from] OpenFault),
    #[error("a step of it ended with {0:?}")]
    Step(StepResult),
}

fn copy(
    source: &Connection,
    fresh: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), Trouble> {
    remove(fresh)?;
    let mut copy = Connection::open(fresh)?;
    // It is synced as a whole, before anybody sees it.
    copy.pragma_update(None, "synchronous", "OFF")?;
    // One moment of the store: without a transaction around them, steps would begin anew at every commit.
    let moment = source.unchecked_transaction()?;
    moment.query_row("-- begin_copy\nselect count(*) from sqlite_schema", [], |_| Ok(()))?;
    let pages = |number: i32| u64::try_from(number).unwrap_or_default();
    let backup = Backup::new(&moment, &mut copy)?;
    loop {
        match backup.step(PAGES)? {
            StepResult::Done => break,
            StepResult::More => {}
            // Nobody else knows the new file, and nobody who writes holds up a reader.
            other => return Err(Trouble::Step(other)),
        }
        let at = backup.progress();
        progress(pages(at.pagecount.saturating_sub(at.remaining)), pages(at.pagecount));
    }
    let total = pages(backup.progress().pagecount);
    progress(total, total);
    drop(backup);
    // Whoever serves it knows what it is: `Registry::restored_since`.
    let sql = "-- mark_copy
        insert into secret (name, secret) values (?1, zeroblob(8))
        on conflict (name) do update set secret = excluded.secret";
    copy.execute(sql, [RESTORED])?;
    copy.close().map_err(|(_, cause)| Trouble::Sql(cause))
}

fn keep(fresh: &Path, to: &Path) -> std::io::Result<u64> {
    let file = File::open(fresh)?;
    file.sync_all()?;
    publish(fresh, to)?;
    beside::sync_folder(to)?;
    Ok(file.metadata()?.len())
}
