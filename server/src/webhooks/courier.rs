//! Delivers. What is due is taken from the store; each payment's events go to each endpoint one after
//! another, payments and endpoints beside each other; how far that got is noted for many at once, so that
//! deliveries cost the store few transactions.
//!
//! What was not confirmed is tried again, later each time, for [`TRIED_FOR_MS`]; then it is given up, which
//! is an alarm, and waits to be sent again by hand. A crash between a receiver's answer and the note tells
//! the event twice, with the same id.
//!
//! Messages that take long are worth no more room than they need: an endpoint that is not known to answer soon is
//! told one payment's events at a time, and all such endpoints together have a share of the room ([`Calls`]).
//!
//! Several nodes tell beside each other: a payment's events to an endpoint are claimed for [`CLAIM_MS`], told
//! and noted within it by one of them, and due again after it if that one died.
//!
//! Start at [`Courier::run`].

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use requite_core::id::{PaymentId, uuid_text};
use requite_engine::fault::{self, Point};
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
/// The same for endpoints that are not known to answer soon.
const SLOW_CALLS_MAX: usize = 128;
const SLOW_ENDPOINT_CALLS_MAX: usize = 1;
/// How long a message takes at most, on the average of a delivery, at an endpoint that answers soon.
const SOON_MS: i64 = 1_000;
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

/// A delivery under way.
struct Call {
    endpoint: u128,
    payment: PaymentId,
    first_seq: u32,
    /// It is ours to tell until then.
    until_ms: i64,
}

/// Deliveries under way, and for which endpoints there is room for more.
#[derive(Default)]
struct Calls {
    tasks: JoinSet<Progress>,
    under_way: HashMap<Id, Call>,
    /// Endpoints whose last delivery went soon, arrived or not.
    prompt: HashSet<u128>,
    /// Whose turn it is to be the first.
    turn: usize,
}

impl Calls {
    fn busy(&self, endpoint: u128) -> usize {
        self.under_way.values().filter(|call| call.endpoint == endpoint).count()
    }

    /// Deliveries to an endpoint that may begin now. What hangs never takes the room of those that answer.
    fn room(&self, endpoint: u128) -> usize {
        let room = CALLS_MAX.saturating_sub(self.under_way.len());
        let busy = self.busy(endpoint);
        if self.prompt.contains(&endpoint) {
            return ENDPOINT_CALLS_MAX.saturating_sub(busy).min(room);
        }
        let is_slow = |call: &&Call| !self.prompt.contains(&call.endpoint);
        let slow = self.under_way.values().filter(is_slow).count();
        let share = SLOW_CALLS_MAX.saturating_sub(slow).min(room);
        SLOW_ENDPOINT_CALLS_MAX.saturating_sub(busy).min(share)
    }

    fn is_under_way(&self, row: &Delivery) -> bool {
        let of = (row.endpoint, row.payment);
        self.under_way.values().any(|call| (call.endpoint, call.payment) == of)
    }

    /// In whose order room is given: another one is the first each time.
    fn in_turn(&mut self, mut due: Vec<EndpointView>) -> Vec<EndpointView> {
        self.turn = self.turn.wrapping_add(1);
        let first = self.turn.checked_rem(due.len()).unwrap_or_default();
        due.rotate_left(first);
        due
    }

    fn begin(&mut self, told: impl Future<Output = Progress> + Send + 'static, call: Call) {
        self.under_way.insert(self.tasks.spawn(told).id(), call);
    }

    /// How far ended deliveries got, as far as they are ours to note: one that took longer is another node's by
    /// now, which tells it again.
    fn end(&mut self, ended: Vec<(Id, Option<Progress>)>, now_ms: i64) -> Vec<Progress> {
        let mut ours = Vec::new();
        for (task, progress) in ended {
            let Some(call) = self.under_way.remove(&task) else { continue };
            let Some(progress) = progress else { continue };
            let began_ms = call.until_ms.saturating_sub(CLAIM_MS);
            // The one that did not arrive is one more than those that did.
            let messages = i64::from(progress.next_seq.saturating_sub(call.first_seq).max(1));
            if now_ms.saturating_sub(began_ms) <= SOON_MS.saturating_mul(messages) {
                self.prompt.insert(call.endpoint);
            } else {
                self.prompt.remove(&call.endpoint);
            }
            if now_ms < call.until_ms {
                ours.push(progress);
            }
        }
        ours
    }
}

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
        let mut calls = Calls::default();
        while !is_stopping.load(Ordering::Acquire) {
            if let Err(fault) = self.start_due(&mut calls).await {
                tracing::warn!(%fault, "what is to be told cannot be read");
                tokio::time::sleep(TICK).await;
            }
            let ended = ended(&mut calls.tasks).await;
            let progress = calls.end(ended, self.desk.now_ms());
            if !progress.is_empty() {
                self.note(progress).await;
            }
        }
    }

    async fn start_due(self: &Arc<Courier>, calls: &mut Calls) -> Result<(), ReadFault> {
        let now_ms = self.desk.now_ms();
        let due = self.desk.read(move |reads| reads.endpoints_due(now_ms)).await?;
        for endpoint in calls.in_turn(due) {
            let id = endpoint.id;
            let room = calls.room(id);
            if room == 0 {
                continue;
            }
            // Those under way may be due as well.
            let most = u32::try_from(room.saturating_add(calls.busy(id))).unwrap_or(u32::MAX);
            let rows = self.desk.read(move |reads| reads.deliveries_due(id, now_ms, most)).await?;
            let rows = rows.into_iter().filter(|row| !calls.is_under_way(row)).take(room).collect();
            let until_ms = self.desk.now_ms().saturating_add(CLAIM_MS);
            for row in self.claim(rows, until_ms).await {
                fault::pass(Point::OutboxClaimed);
                let (courier, endpoint) = (Arc::clone(self), endpoint.clone());
                let (payment, first_seq) = (row.payment, row.next_seq);
                let told = async move { courier.deliver(&endpoint, &row, until_ms).await };
                calls.begin(told, Call { endpoint: id, payment, first_seq, until_ms });
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
                    fault::pass(Point::OutboxTold);
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

    /// Deliveries under way to so many endpoints that hang, and no task.
    fn hanging(endpoints: u128) -> Calls {
        let mut calls = Calls::default();
        for endpoint in 0..endpoints {
            while calls.room(endpoint) > 0 {
                let payment = PaymentId::new(endpoint);
                let call = Call { endpoint, payment, first_seq: 1, until_ms: CLAIM_MS };
                calls.begin(std::future::pending(), call);
            }
        }
        calls
    }

    #[tokio::test]
    async fn endpoints_that_hang_take_one_place_each_and_never_all_of_them() {
        let mut calls = hanging(1_000);
        assert_eq!(calls.under_way.len(), SLOW_CALLS_MAX);
        let good = 5_000;
        assert_eq!(calls.room(good), 0, "not known to answer yet");
        calls.prompt.insert(good);
        assert_eq!(calls.room(good), ENDPOINT_CALLS_MAX);
        calls.prompt.extend(0..10_000);
        assert_eq!(calls.room(good), ENDPOINT_CALLS_MAX);
    }

    #[tokio::test]
    async fn whoever_answers_soon_is_told_more_at_once_and_whoever_does_not_less() {
        let told = |next_seq| Progress {
            endpoint: 1,
            payment: PaymentId::new(1),
            next_seq,
            failures: 0,
            failing_since_ms: None,
            next_try_at_ms: None,
            problem: None,
        };
        // Messages, the time that they took, and the room afterwards.
        for (next_seq, took_ms, room) in
            [(2, 0, 4), (2, 1_000, 4), (2, 1_001, 1), (5, 4_000, 4), (5, 4_001, 1), (1, 15_000, 1)]
        {
            let mut calls = hanging(1);
            calls.prompt.insert(2);
            let task = *calls.under_way.keys().next().expect("one call");
            let noted = calls.end(vec![(task, Some(told(next_seq)))], took_ms);
            assert_eq!((noted.len(), calls.room(0)), (1, room), "{next_seq} {took_ms}");
        }
        let mut late = hanging(1);
        let task = *late.under_way.keys().next().expect("one call");
        assert_eq!(late.end(vec![(task, Some(told(2)))], CLAIM_MS), [], "it is another's by now");
        assert!(late.under_way.is_empty());
    }

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
