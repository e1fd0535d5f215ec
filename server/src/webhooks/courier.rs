//! Delivers. What is due is taken from the store; each payment's events go to each endpoint one after
//! another, payments and endpoints beside each other; how far that got is noted for many at once, so that
//! deliveries cost the store few transactions.
//!
//! What was not confirmed is tried again, later each time, for [`TRIED_FOR_MS`]; then it is given up, which
//! is an alarm, and waits to be sent again by hand. A crash between a receiver's answer and the note tells
//! the event twice, with the same id.
//!
//! Several nodes tell beside each other: a payment's events to an endpoint are claimed for [`CLAIM_MS`], told
//! and noted within it by one of them, and due again after it if that one died.
//!
//! Start at [`Courier::run`].

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use requite_core::id::{PaymentId, uuid_text};
use requite_engine::outbox::{Delivery, EndpointView, Progress};
use requite_engine::read::{HistoryPage, ReadFault};
use tokio::task::{Id, JoinSet};

use super::exit::Exit;
use super::signature::{self, Sent};
use super::{Occasion, Voice, endpoint};
use crate::desk::Desk;

/// How often the store is asked for what is due.
const TICK: Duration = Duration::from_millis(200);
/// Messages under way at once, and to one endpoint.
const CALLS_MAX: usize = 256;
const ENDPOINT_CALLS_MAX: usize = 4;
/// Events of one payment that are told before it is noted.
const EVENTS_MAX: u32 = 16;
/// How long a payment's events are this node's to tell: as long as they wait when it dies.
const CLAIM_MS: i64 = 20_000;
/// How long one message may take, its answer read to the end.
const MESSAGE_MS: i64 = 16_000;
/// Waits after each failure, in milliseconds; the last one goes on.
const WAITS_MS: [i64; 9] =
    [1_000, 5_000, 30_000, 120_000, 600_000, 1_800_000, 3_600_000, 10_800_000, 21_600_000];
/// How long an event is tried, from its first failure: three days, and once after that.
const TRIED_FOR_MS: i64 = 3 * 24 * 60 * 60 * 1_000;
/// Longest text of what went wrong that is kept, in characters.
const PROBLEM_MAX: usize = 500;

pub(crate) struct Courier {
    desk: Desk,
    exit: Exit,
    /// How each dialect tells an event.
    voices: &'static [(&'static str, Voice)],
}

/// Which deliveries are under way, in which task, and until when they are ours.
type UnderWay = HashMap<Id, (u128, PaymentId, i64)>;

impl Courier {
    pub(crate) fn new(
        desk: Desk,
        voices: &'static [(&'static str, Voice)],
    ) -> std::io::Result<Courier> {
        let exit = Exit::new(desk.settings().webhook_addresses)?;
        Ok(Courier { desk, exit, voices })
    }

    /// Delivers until `is_stopping`. What is under way then is told again after the next start.
    pub(crate) async fn run(self: Arc<Courier>, is_stopping: Arc<AtomicBool>) {
        let mut calls = JoinSet::new();
        let mut under_way = UnderWay::new();
        while !is_stopping.load(Ordering::Acquire) {
            if let Err(fault) = self.start_due(&mut calls, &mut under_way).await {
                tracing::warn!(%fault, "what is to be told cannot be read");
                tokio::time::sleep(TICK).await;
            }
            let ended = ended(&mut calls).await;
            let now_ms = self.desk.now_ms();
            // One that took longer is another node's by now, which tells it again.
            let is_ours = |task| under_way.get(task).is_some_and(|of| now_ms < of.2);
            let ours = ended.iter().filter(|(task, _)| is_ours(task));
            let progress: Vec<Progress> = ours.filter_map(|(_, told)| told.clone()).collect();
            if !progress.is_empty() {
                self.note(progress).await;
            }
            for (task, _) in ended {
                under_way.remove(&task);
            }
        }
    }

    async fn start_due(
        self: &Arc<Courier>,
        calls: &mut JoinSet<Progress>,
        under_way: &mut UnderWay,
    ) -> Result<(), ReadFault> {
        let now_ms = self.desk.now_ms();
        let due = self.desk.read(move |reads| reads.endpoints_due(now_ms)).await?;
        for endpoint in due {
            let id = endpoint.id;
            let busy = under_way.values().filter(|of| of.0 == id).count();
            let room = CALLS_MAX.saturating_sub(calls.len());
            let room = ENDPOINT_CALLS_MAX.saturating_sub(busy).min(room);
            if room == 0 {
                continue;
            }
            // Those under way may be due as well.
            let most = u32::try_from(room.saturating_add(busy)).unwrap_or(u32::MAX);
            let rows = self.desk.read(move |reads| reads.deliveries_due(id, now_ms, most)).await?;
            let is_new =
                |row: &Delivery| !under_way.values().any(|of| (of.0, of.1) == (id, row.payment));
            let rows: Vec<Delivery> = rows.into_iter().filter(is_new).take(room).collect();
            let until_ms = self.desk.now_ms().saturating_add(CLAIM_MS);
            for row in self.claim(rows, until_ms).await {
                let (courier, endpoint) = (Arc::clone(self), endpoint.clone());
                let of = (id, row.payment, until_ms);
                let told = async move { courier.deliver(&endpoint, &row, until_ms).await };
                under_way.insert(calls.spawn(told).id(), of);
            }
        }
        Ok(())
    }

    async fn claim(&self, due: Vec<Delivery>, until_ms: i64) -> Vec<Delivery> {
        if due.is_empty() {
            return due;
        }
        let claimed =
            self.desk.write(move |registry| registry.claim_deliveries(&due, until_ms)).await;
        match claimed {
            Some(Ok(own)) => own,
            Some(Err(fault)) => {
                tracing::warn!(%fault, "deliveries could not be claimed");
                Vec::new()
            }
            None => Vec::new(),
        }
    }

    async fn note(&self, progress: Vec<Progress>) {
        let noted = self.desk.write(move |registry| registry.note_progress(&progress)).await;
        match noted {
            Some(Ok(())) => {}
            // They are told again, with the same ids.
            Some(Err(fault)) => tracing::warn!(%fault, "deliveries could not be noted"),
            None => tracing::error!("noting deliveries panicked"),
        }
    }

    /// Tells a payment's events until one does not arrive, or might be under way at `until_ms`.
    async fn deliver(&self, endpoint: &EndpointView, row: &Delivery, until_ms: i64) -> Progress {
        let mut progress = Progress {
            endpoint: row.endpoint,
            payment: row.payment,
            next_seq: row.next_seq,
            failures: row.failures,
            failing_since_ms: row.failing_since_ms,
            next_try_at_ms: Some(self.desk.now_ms()),
            problem: None,
        };
        let last = row.last_seq.min(row.next_seq.saturating_add(EVENTS_MAX).saturating_sub(1));
        for seq in row.next_seq..=last {
            if self.desk.now_ms().saturating_add(MESSAGE_MS) > until_ms {
                break;
            }
            match self.tell(endpoint, row, seq).await {
                Ok(()) => {
                    progress.next_seq = seq.saturating_add(1);
                    (progress.failures, progress.failing_since_ms) = (0, None);
                    progress.next_try_at_ms = Some(self.desk.now_ms());
                }
                Err(problem) => {
                    self.failed(&mut progress, problem);
                    break;
                }
            }
        }
        progress
    }

    fn failed(&self, progress: &mut Progress, problem: String) {
        let now_ms = self.desk.now_ms();
        let since_ms = progress.failing_since_ms.unwrap_or(now_ms);
        progress.failing_since_ms = Some(since_ms);
        progress.next_try_at_ms = next_try(progress.failures, since_ms, now_ms);
        progress.failures = progress.failures.saturating_add(1);
        let (endpoint, payment) =
            (uuid_text(progress.endpoint), uuid_text(progress.payment.bits()));
        let number = progress.next_seq;
        if progress.next_try_at_ms.is_none() {
            tracing::error!(endpoint, payment, number, problem, "an event was given up");
        } else {
            tracing::info!(endpoint, payment, number, problem, "an event did not arrive");
        }
        progress.problem = Some(problem.chars().take(PROBLEM_MAX).collect());
    }

    /// # Errors
    /// It did not arrive, or nobody knows whether it did. Why, for people.
    async fn tell(&self, endpoint: &EndpointView, row: &Delivery, seq: u32) -> Result<(), String> {
        let message = self.message(endpoint, row, seq).await.map_err(|fault| fault.to_string())?;
        let Some((id, body)) = message else {
            return Ok(());
        };
        let now_ms = self.desk.now_ms();
        let secrets = endpoint::secrets(endpoint, self.desk.settings(), now_ms)?;
        let sent = Sent { id: &id, at_s: now_ms.div_euclid(1_000), body: &body };
        let headers = signature::headers(&endpoint.dialect, &sent, &secrets);
        self.exit.post(&endpoint.url, headers, body).await
    }

    /// Id and body; `None` where the endpoint's dialect has no word for the event.
    async fn message(
        &self,
        endpoint: &EndpointView,
        row: &Delivery,
        seq: u32,
    ) -> Result<Option<(String, String)>, ReadFault> {
        let voice = self.voices.iter().find(|(dialect, _)| *dialect == endpoint.dialect);
        let gone = |what: &str| ReadFault::Store(format!("{what} of an event is gone"));
        let (_, voice) = *voice.ok_or_else(|| gone("the dialect"))?;
        let (merchant, payment) = (row.merchant, row.payment);
        let page =
            HistoryPage { after: Some((seq.saturating_sub(1), 0)), newest_first: false, limit: 1 };
        let read = self.desk.read(move |reads| {
            let event = reads.events(merchant, payment, &page)?.into_iter().next();
            let after = reads.payment(merchant, payment, Some(seq))?;
            let before = match seq {
                0 | 1 => None,
                seq => reads.payment(merchant, payment, Some(seq.saturating_sub(1)))?,
            };
            Ok((event, before, after, reads.merchant(merchant)?))
        });
        let (event, before, after, merchant) = read.await?;
        let event = event.ok_or_else(|| gone("the row"))?.event;
        let after = after.ok_or_else(|| gone("the payment"))?;
        let account = merchant.ok_or_else(|| gone("the merchant"))?.slug;
        let occasion = Occasion {
            event: &event,
            before: before.as_ref(),
            after: &after,
            account: &account,
            settings: self.desk.settings(),
        };
        Ok(voice(&occasion).map(|body| (occasion.id(), body)))
    }
}

/// Those that have ended, after a wait for the first of them. `None`: it panicked, and is told again.
async fn ended(calls: &mut JoinSet<Progress>) -> Vec<(Id, Option<Progress>)> {
    let Some(first) = tokio::time::timeout(TICK, calls.join_next_with_id()).await.ok() else {
        return Vec::new();
    };
    if first.is_none() {
        tokio::time::sleep(TICK).await;
    }
    let mut next = first;
    let mut all = Vec::new();
    while let Some(ended) = next {
        all.push(match ended {
            Ok((task, progress)) => (task, Some(progress)),
            Err(panic) => {
                tracing::error!(%panic, "a delivery panicked");
                (panic.id(), None)
            }
        });
        next = calls.try_join_next_with_id();
    }
    all
}

/// When to try again after one more failure; `None`: not any more. `failures`: those before it.
fn next_try(failures: u32, since_ms: i64, now_ms: i64) -> Option<i64> {
    if now_ms.saturating_sub(since_ms) >= TRIED_FOR_MS {
        return None;
    }
    let place = usize::try_from(failures).unwrap_or(usize::MAX).min(WAITS_MS.len() - 1);
    Some(now_ms.saturating_add(WAITS_MS.get(place).copied().unwrap_or(TRIED_FOR_MS)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_tried_for_three_days_and_once_after_them() {
        let (mut now_ms, mut tries) = (1_000_000, 0);
        let mut last_ms = now_ms;
        while let Some(next_ms) = next_try(tries, 1_000_000, now_ms) {
            assert!(next_ms > now_ms);
            (last_ms, now_ms) = (now_ms, next_ms);
            tries += 1;
        }
        let days = |ms: i64| (ms - 1_000_000) / (24 * 60 * 60 * 1_000);
        assert_eq!((days(last_ms), days(now_ms)), (2, 3));
        assert!((15..30).contains(&tries), "{tries} tries");
    }
}
