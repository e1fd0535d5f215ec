//! A payment's history, as it is shown: what happened, and what each cent moved for.

use std::collections::BTreeMap;

use requite_core::id::CaptureId;
use requite_core::journal::{Account, Entry};
use requite_core::refund::Status;

use crate::event::{Event, Kind};

/// Which part of a payment's history to show.
#[derive(Clone, Debug, Default)]
pub struct HistoryPage {
    /// Continue behind this event number and line, in the chosen order. Events have line 0.
    pub after: Option<(u32, u32)>,
    pub newest_first: bool,
    /// 1 to [`super::PAGE_MAX`].
    pub limit: u32,
}

impl HistoryPage {
    /// What the page is behind: before everything where nothing is named.
    pub(crate) fn start(&self) -> (i64, i64) {
        let outside = if self.newest_first { (i64::MAX, i64::MAX) } else { (0, -1) };
        self.after.map_or(outside, |(seq, line)| (seq.into(), line.into()))
    }
}

/// An event, and the hash that its own follows from: zeros for the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventView {
    pub event: Event,
    pub hash_before: [u8; 32],
}

/// One movement of money, and what it is told by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalView {
    /// The event's number, and the line's within it, from 0.
    pub seq: u32,
    pub line: u32,
    pub entry: Entry,
    pub kind: Kind,
    /// As [`Event::subject`].
    pub subject: u128,
    /// A refund's status by that event.
    pub status: Option<Status>,
    pub actor: String,
    pub at_ms: i64,
}

/// Where one capture's money stands: the fold of its journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountsView {
    pub capture: CaptureId,
    /// What was credited less what was debited, in minor units; accounts never touched are left out.
    pub credits: BTreeMap<Account, i64>,
}

impl AccountsView {
    pub fn credit(&self, account: Account) -> i64 {
        self.credits.get(&account).copied().unwrap_or_default()
    }
}

/// A page of a payment's journal, and what all of it comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Journal {
    pub lines: Vec<JournalView>,
    /// Every capture's, whatever the page.
    pub accounts: Vec<AccountsView>,
}
