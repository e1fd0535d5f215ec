//! What the planner knows of tables that grow fast.
//!
//! Of a table that nobody has analysed it believes that a merchant has a two-hundredth of its rows, and so goes through
//! all of a merchant's instead of finding forty by their ids. The database analyses tables by itself, once a
//! minute, and not at all where it is told not to. Until then statements that take a millisecond take half a second
//! each; so the sweep looks after tables that grew tenfold. A small sample is enough for that; the database's
//! own takes its place.

use super::link::{Trouble, query};
use super::prepared::{Connection, End};
use super::rows::Read;

/// Milliseconds between two looks.
const EVERY_MS: u64 = 5_000;
/// Settings of the transaction. Three thousand rows of each table are looked at, which takes some 30 ms.
const BEGIN: &str = "begin isolation level read committed;
    set local default_statistics_target = 10;
    set local lock_timeout = 100; set local statement_timeout = 5000;
    set local idle_in_transaction_session_timeout = 5000";
/// Tables with ten times as many rows as when they were last analysed, and a thousand.
const OUTGROWN: &str = "-- outgrown_tables
    select quote_ident(c.relname) from pg_stat_user_tables s join pg_class c on c.oid = s.relid
    where s.schemaname = current_schema()
        and s.n_live_tup > 1000 + 10 * greatest(c.reltuples, 0)
    order by 1";

/// When a process looked last.
#[derive(Default)]
pub(super) struct Growth {
    looked_at_ms: Option<i64>,
}

impl Growth {
    /// Is it time to look? Then it counts as done. A clock that was set back makes it time as well.
    pub(super) fn is_time(&mut self, now_ms: i64) -> bool {
        let is_time = self.looked_at_ms.is_none_or(|at_ms| now_ms.abs_diff(at_ms) >= EVERY_MS);
        if is_time {
            self.looked_at_ms = Some(now_ms);
        }
        is_time
    }
}

/// Analyses tables that outgrew what the planner knows of them.
pub(super) fn analyse(client: &mut Connection) -> Result<(), Trouble> {
    for row in query(client, OUTGROWN, &Vec::new())? {
        let table = row.text(0)?;
        client.begin(BEGIN)?;
        client.run(&format!("-- analyse\n analyze {table}"))?;
        client.end(End::Commit)?;
        tracing::debug!(%table, "analysed, for it has grown tenfold");
    }
    Ok(())
}
