//! Reads PSPs' own lists of refunds, account by account: what was made elsewhere comes on the books
//! within minutes, also where no webhook ever comes.
//!
//! What is listed is told to the lane as a webhook would be. Of what is known already nothing comes;
//! what cannot be told now is in the list again next time, for the times overlap. Once a day the list is
//! read from further back: a refund may fail weeks after it succeeded.
//!
//! After a backup was restored nothing is refunded through an account before its list was read
//! ([`crate::desk`]), so it is read at once, again until it can be, and also where the lists are not read otherwise.

use std::sync::Arc;
use std::time::Duration;

use requite_engine::command::{Noticed, Oddity};
use requite_engine::fault::{self, Point};
use requite_engine::inbox::Sweep;

use super::doors::{Door, Doors};
use super::worker::{Told, tell};
use crate::connectors::Lists;
use crate::connectors::notice::{Listing, Said};
use crate::desk::Desk;

/// How often it is looked whose turn it is.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How much of what was read before is read again: clocks differ, and lists lag.
const OVERLAP_MS: i64 = 10 * 60_000;
/// How far back it is read once a day: longer than banks take to send a refund back.
const FAR_BACK_MS: i64 = 35 * DAY_MS;
const DAY_MS: i64 = 86_400_000;
/// How soon a list is read again that could not be read, while refunds wait for it.
const RECONCILE_EVERY_MS: i64 = 3_000;
/// Lists that are read for one account in one turn.
const LISTS_MAX: u32 = 16;

/// Never ends; the runtime drops it with the server. Every account has its turn each `every_ms`.
/// With 0 they are read until what a restored store lost is known.
pub(crate) async fn sweep(desk: Desk, doors: Arc<Doors>, lists: Lists, every_ms: i64) {
    loop {
        let is_reconciling = desk.is_reconciling();
        if every_ms == 0 && !is_reconciling {
            return;
        }
        let every_ms = if is_reconciling { RECONCILE_EVERY_MS } else { every_ms };
        for door in doors.all().await {
            if door.kind.has_list()
                && let Some(sweep) = claim(&desk, &door, every_ms).await
            {
                fault::pass(Point::ListClaimed);
                let now_ms = desk.now_ms();
                let near_ms = sweep.since_ms.saturating_sub(OVERLAP_MS);
                read(&desk, &door, &lists, (near_ms, now_ms)).await;
                if sweep.since_ms.div_euclid(DAY_MS) != now_ms.div_euclid(DAY_MS) {
                    let far_ms = now_ms.saturating_sub(FAR_BACK_MS);
                    read(&desk, &door, &lists, (far_ms, near_ms)).await;
                }
            }
        }
        tokio::time::sleep(LOOK_EVERY.min(Duration::from_millis(every_ms.unsigned_abs()))).await;
    }
}

async fn claim(desk: &Desk, door: &Door, every_ms: i64) -> Option<Sweep> {
    let (at, first_ms, now_ms) = (door.at, door.created_at_ms, desk.now_ms());
    let turn = (now_ms, now_ms.saturating_add(every_ms));
    match desk.inbox(move |inbox| inbox.claim_sweep(at, first_ms, turn)).await? {
        Ok(sweep) => sweep,
        Err(fault) => {
            tracing::warn!(%fault, "whose turn it is to be swept could not be read");
            None
        }
    }
}

/// Reads what was made between two times, in halves where a list is too long.
async fn read(desk: &Desk, door: &Door, lists: &Lists, (mut since_ms, end_ms): (i64, i64)) {
    let mut until_ms = end_ms;
    for _ in 0..LISTS_MAX {
        match lists.read(door.at.merchant, &door.name, (since_ms, until_ms)).await {
            Listing::Whole(rows) => {
                let is_told = tell_all(desk, door, rows).await;
                let at = door.at;
                // What could not be told is read again from where it was read now.
                if !is_told {
                    return;
                }
                let ended = desk.inbox(move |inbox| inbox.end_sweep(at, until_ms)).await;
                if until_ms >= end_ms || !matches!(ended, Some(Ok(()))) {
                    return;
                }
                (since_ms, until_ms) = (until_ms, end_ms);
            }
            Listing::Cut => {
                let span = until_ms.saturating_sub(since_ms);
                until_ms = since_ms.saturating_add(span / 2);
            }
            Listing::Failed(fault) => {
                let code = fault.code;
                tracing::debug!(connector = %door.name, %code, "its refunds could not be listed");
                return;
            }
        }
    }
    tracing::warn!(connector = %door.name, "it lists more refunds than are read in one turn");
}

/// False: something could not be told.
async fn tell_all(desk: &Desk, door: &Door, rows: Vec<Said>) -> bool {
    let mut is_told = true;
    for row in rows {
        let Said::Refund(notice) = row else {
            continue;
        };
        let psp_refund = notice.outcome.psp_refund().unwrap_or_default().to_owned();
        match tell(desk, door, *notice).await {
            Told::Noticed(Noticed::External(_)) => {
                tracing::info!(connector = %door.name, "a refund was made elsewhere");
            }
            Told::Noticed(Noticed::Odd(oddity)) if oddity != Oddity::NotCaptured => {
                tracing::warn!(connector = %door.name, %psp_refund, ?oddity, "a listed refund is odd");
            }
            // Payments of the account that nobody registered here are nobody's concern.
            Told::Noticed(_) | Told::NoPayment(_) => {}
            Told::Not(why) => {
                tracing::warn!(connector = %door.name, %psp_refund, %why, "a listed refund is left for later");
                is_told = false;
            }
        }
    }
    is_told
}
