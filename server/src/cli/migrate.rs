//! `requite migrate`: the schema, brought up to date before a server does so.

use clap::Args;
use requite_engine::store::sqlite::Open;
use serde_json::json;

use super::output::Output;
use super::{Done, Trouble};
use crate::config::Config;
use crate::database::Database;

/// Bring the schema up to date, as every start of a server does
#[derive(Debug, Args)]
#[command(after_help = "\
--distribute is for Citus: tables with money are cut by merchant and lie together, the few that say
who is who are copied to every machine. Stop the servers first, and start them again afterwards: from
then on a transaction holds one merchant's refunds. Asked again it spreads what is new.

Examples:
  requite migrate
  requite migrate --distribute")]
pub(crate) struct Migrate {
    /// Spread the tables over the machines of a Citus
    #[arg(long)]
    distribute: bool,
}

impl Migrate {
    pub(crate) fn run(self, config: &Config, output: &Output) -> Done {
        if !self.distribute {
            config.database.prepare(Open::OrCreate)?;
            let value = json!({ "migrated": true });
            return Ok(output.result("the schema is up to date", &value)?);
        }
        let Database::Postgres(address) = &config.database else {
            let problem = "--distribute: only a PostgreSQL database with Citus can be spread";
            return Err(Trouble::Usage(problem.to_owned()));
        };
        address.migrate()?;
        let spread = address.spread()?;
        let text = format!(
            "{} tables were cut by merchant, {} copied to every machine",
            spread.cut.len(),
            spread.copied.len()
        );
        let value = json!({ "migrated": true, "cut": spread.cut, "copied": spread.copied });
        Ok(output.result(&text, &value)?)
    }
}
