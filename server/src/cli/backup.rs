//! `requite backup`: a copy of a store in use.

use std::path::PathBuf;

use clap::Args;
use requite_engine::store::sqlite::{self, BackupFault};
use serde_json::json;

use super::output::Output;
use super::progress::Progress;
use super::{Done, Trouble};
use crate::config::Config;
use crate::database::Database;

/// Copy the store to a new file; a server may be using it
///
/// The copy is one moment of the store, and everything that was answered before the command began is in it. It is
/// looked through and on the disk when the command says so. A file that is there already is never written over.
#[derive(Debug, Args)]
#[command(after_help = "\
To restore it: stop the server, put the copy in the place of the store (without PATH-wal, PATH-shm and PATH.lock
of the one before it), run `requite verify`, and start the server, which reads first what the PSPs were asked to refund
since. docs/backup.md has more.

Examples:
  requite backup /backups/requite-$(date +%F).db
  requite backup /mnt/backup/now.db --database sqlite:/var/lib/requite/requite.db --json")]
pub(crate) struct Backup {
    /// The new file
    #[arg(value_name = "TO")]
    to: PathBuf,
}

impl Backup {
    pub(crate) fn run(self, config: &Config, output: &Output) -> Done {
        let Database::Sqlite(path) = &config.database else {
            let problem = "a PostgreSQL database is copied with its own tools (pg_dump, pg_basebackup): \
                           see docs/backup.md";
            return Err(Trouble::Usage(problem.to_owned()));
        };
        let mut progress = Progress::pages();
        let made = sqlite::backup(path, &self.to, &mut |done, total| progress.set(done, total));
        let bytes = made.map_err(|fault| match fault {
            BackupFault::Open(fault) => anyhow::Error::from(fault),
            other => anyhow::Error::from(other),
        })?;
        progress.end();
        let to = self.to.display().to_string();
        let text = format!("{to}: {bytes} bytes, whole and on the disk");
        Ok(output.result(&text, &json!({ "backup": to, "bytes": bytes }))?)
    }
}
