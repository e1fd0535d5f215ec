//! Where the row of an idempotency key is.
//!
//! A key's row is appended when it comes. Were it put in its place in the order of keys, each would change a
//! page of its own, and half of what a commit writes would be pages of keys. So what finds them follows
//! behind: the newest keys are known in memory, and once there are [`RUN`] of them, they are brought into
//! the index in its order, some with each batch, so that many of them meet on one page.
//!
//! Invariants:
//! - A key has one row, and keeps it when it comes to stand for something else.
//! - A row is in the index, or it is one of those that are known here: these are read from the table as each
//!   transaction begins. So nothing is known here that is not committed, and a start finds all of them again.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};

use requite_core::id::{MerchantId, PaymentId};

use crate::audit::{Report, VIOLATIONS_MAX, Violation};
use crate::read::ReadFault;
use crate::store::sql::{Readers, Result, Sql, Statement, blob, corrupt, id, maybe_id, params};

/// So many new keys are brought into the index together: some 100 bytes of memory each, half as many again while
/// it is under way. With a million keys four of them meet on each page.
pub(super) const RUN: usize = 65_536;
/// A run comes in in so many steps at most: neighbours are to come in one commit.
const STEPS: usize = 512;

/// The hash is the merchant's own.
pub(super) type Of = (MerchantId, [u8; 16]);

pub(super) struct Keys {
    /// Numbers of the rows that are neither in the index nor in the run.
    recent: BTreeMap<Of, i64>,
    /// Of those that are being brought into the index, what is left.
    run: BTreeMap<Of, i64>,
    /// The run's newest row.
    run_newest: i64,
    /// The newest row that was read; `None` before the first transaction.
    newest: Option<i64>,
    /// How many rows are to be brought in, for the sake of those that came.
    owed: usize,
    run_length: usize,
}

/// What a transaction brought into the index. It is true once that is committed.
pub(super) struct Indexed {
    /// The last of them in the index's order; `None`: there were none.
    last: Option<Of>,
    owed: usize,
}

impl Keys {
    /// `run_length`: how many rows make a run, from 1 on.
    pub(super) fn new(run_length: usize) -> Keys {
        Keys {
            recent: BTreeMap::new(),
            run: BTreeMap::new(),
            run_newest: 0,
            newest: None,
            owed: 0,
            run_length,
        }
    }

    /// Reads the rows that were committed since, before a transaction writes anything itself.
    pub(super) fn catch_up(&mut self, connection: Sql<'_>) -> Result<()> {
        let seen = match self.newest {
            Some(newest) => newest,
            None => indexed(connection)?,
        };
        let mut newest = seen;
        let sql = "-- new_keys
            select no, merchant_id, key_hash from idempotency where no > ?1 order by no";
        connection.each(sql, params![seen], |row| {
            newest = row.get(0)?;
            self.recent.insert((MerchantId::new(id(row, 1)?), row.get(2)?), newest);
            Ok(())
        })?;
        self.newest = Some(newest);
        if self.run.is_empty() && self.recent.len() >= self.run_length {
            self.run = std::mem::take(&mut self.recent);
            self.run_newest = newest;
        }
        Ok(())
    }

    /// The number of a key's row. `find` is [`FIND`].
    pub(super) fn row(&self, find: &mut Statement<'_, '_>, of: Of) -> Result<Option<i64>> {
        match self.recent.get(&of).or_else(|| self.run.get(&of)) {
            Some(no) => Ok(Some(*no)),
            None => find.find(params![blob(of.0.bits()), of.1], |row| row.get(0)),
        }
    }

    /// Brings rows of the run into the index, two for each of the `new` ones: so a run has ended before the next
    /// is full.
    pub(super) fn index(&self, connection: Sql<'_>, new: usize) -> Result<Indexed> {
        let owed = self.owed.saturating_add(new.saturating_mul(2));
        if self.run.is_empty() {
            return Ok(Indexed { last: None, owed: 0 });
        }
        if owed < self.run_length.div_ceil(STEPS) {
            return Ok(Indexed { last: None, owed });
        }
        let mut put = connection.statement(
            "-- index_key
            insert into idempotency_index (merchant_id, key_hash, no) values (?1, ?2, ?3)
            on conflict do nothing",
        );
        let mut last = None;
        for (of, no) in self.run.iter().take(owed) {
            // Before a crash it may have come in as part of a run that did not end.
            put.execute(params![blob(of.0.bits()), of.1, no])?;
            last = Some(*of);
        }
        if owed >= self.run.len() {
            let sql = "-- set_indexed\nupdate idempotency_indexed set newest = ?1";
            connection.execute(sql, params![self.run_newest])?;
        }
        Ok(Indexed { last, owed: 0 })
    }

    /// What was brought into the index is committed.
    pub(super) fn committed(&mut self, indexed: &Indexed) {
        self.owed = indexed.owed;
        if let Some(last) = indexed.last {
            let left = self.run.range((Excluded(last), Unbounded)).next().map(|(of, _)| *of);
            self.run = left.map_or_else(BTreeMap::new, |first| self.run.split_off(&first));
        }
    }
}

pub(super) const FIND: &str = "-- key_row
    select no from idempotency_index where merchant_id = ?1 and key_hash = ?2";

/// The newest of the rows that are all in the index.
fn indexed(connection: Sql<'_>) -> Result<i64> {
    let sql = "-- indexed\nselect newest from idempotency_indexed";
    let newest = connection.find(sql, params![], |row| row.get(0))?;
    newest.ok_or_else(|| corrupt("no word of how far the keys' index goes"))
}

/// Keys looked at in one snapshot: a longer one keeps the log from being reset.
const AUDITED_MAX: i64 = 10_000;

/// Is each key found where it is looked for, and has it one row?
pub(super) fn audit(readers: &Readers, report: &mut Report) -> std::result::Result<(), ReadFault> {
    let mut after = Some(0);
    while let Some(from) = after {
        let (last, found) = readers.snapshot(|connection| audit_some(connection, from))?;
        let room = VIOLATIONS_MAX.saturating_sub(report.violations.len());
        report.violations.extend(found.into_iter().take(room));
        after = last;
    }
    Ok(())
}

/// Keys after this row: the last of them, if there were any, and what is wrong.
fn audit_some(connection: Sql<'_>, after: i64) -> Result<(Option<i64>, Vec<Violation>)> {
    let sql = "-- audit_keys
        with some as (
            select no, merchant_id, key_hash, payment_id from idempotency
            where no > ?1 order by no limit ?2)
        select s.no, s.merchant_id, s.payment_id,
            i.no = s.no or (i.no is null and s.no > (select newest from idempotency_indexed))
        from some s left join idempotency_index i
            on i.merchant_id = s.merchant_id and i.key_hash = s.key_hash
        order by s.no";
    let (mut last, mut found) = (None, Vec::new());
    connection.each(sql, params![after, AUDITED_MAX], |row| {
        let no: i64 = row.get(0)?;
        last = Some(no);
        let is_right: Option<bool> = row.get(3)?;
        if is_right != Some(true) {
            found.push(Violation {
                invariant: "I9",
                merchant: MerchantId::new(id(row, 1)?),
                // A refusal is of no payment.
                payment: PaymentId::new(maybe_id(row, 2)?.unwrap_or_default()),
                what: format!(
                    "its idempotency key in row {no} is not the one that is found: a retry would be made again"
                ),
            });
        }
        Ok(())
    })?;
    Ok((last, found))
}
