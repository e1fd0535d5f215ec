//! Copying the log back into the file, on a connection and a thread of its own.
//!
//! Left to SQLite, the lane would do it within a commit: a sixth of its time, and pauses of up to 150 ms.
//! It never waits for readers or for the lane (a passive checkpoint), so while the lane is busy the log
//! is never empty and only grows. At [`super::LOG_PAGES_MAX`] the lane copies the small rest itself, and
//! its next commit begins the log anew.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;

use super::{Open, OpenFault, connect, settings};

/// Between two checkpoints.
const EVERY: Duration = Duration::from_millis(150);

/// Copies the log back until it is dropped.
pub struct Checkpoints {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpoints {
    /// The store must have been opened for writing before, so that it has a log.
    pub fn start(path: &Path) -> Result<Checkpoints, OpenFault> {
        let connection = connect(path, Open::Existing)?;
        settings(&connection).map_err(|cause| OpenFault::of(path, &cause))?;
        let is_over = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&is_over);
        let thread = std::thread::Builder::new()
            .name("checkpoints".to_owned())
            .spawn(move || {
                while !seen.load(Ordering::Acquire) {
                    checkpoint(&connection);
                    std::thread::park_timeout(EVERY);
                }
            })
            .map_err(|cause| OpenFault::unreadable(path, &cause))?;
        Ok(Checkpoints { is_over, thread: Some(thread) })
    }
}

fn checkpoint(connection: &Connection) {
    let sql = "-- checkpoint
        pragma wal_checkpoint(passive)";
    if let Err(fault) =
        connection.prepare_cached(sql).and_then(|mut it| it.query_row([], |_| Ok(())))
    {
        tracing::warn!(%fault, "the log could not be copied back; it grows until it can");
    }
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
