//! `requite restored`: says that a store is older than what was done since.

use clap::Args;
use requite_engine::registry::Registry;
use requite_engine::store::sqlite::Open;
use serde_json::json;

use super::Done;
use super::output::Output;
use crate::app::Office;
use crate::config::Config;

/// Say that this store was restored from a backup, before a server starts on it
///
/// What was refunded since the backup was made is not in it. The next server reads it from the PSPs' own lists
/// first; until a list is read, refunds through its account are told to come again. A copy that `requite backup`
/// made knows this by itself.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  requite restored --database postgres://requite@db.example/requite")]
pub(crate) struct Restored {}

impl Restored {
    pub(crate) fn run(self, config: &Config, output: &Output) -> Done {
        let office = Office::open(&config.database, Open::Existing)?;
        office.registry.mark_restored()?;
        let text = "the next server reads first what was refunded since the backup";
        Ok(output.result(text, &json!({ "restored": true }))?)
    }
}
