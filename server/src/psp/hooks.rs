//! Events, the endpoints that want to hear of them, and what is still to be delivered. Decides; who sends
//! is [`super::server`].
//!
//! - Delivery is at least once: what is not answered 2xx is tried again after [`RETRY_MS`], for three days.
//! - Each endpoint's deliveries are signed with its own secret, at the time of the try.
//! - An endpoint hears of what is told on its own wire.

use std::collections::BTreeMap;

use aws_lc_rs::hmac;
use data_encoding::HEXLOWER;
use serde::Serialize;
use serde_json::Value;

use super::adyen;
use super::script::Webhook;
use super::wire::Wire;

/// Distances between the tries of a delivery; the last one repeats.
pub(crate) const RETRY_MS: [i64; 6] = [1_000, 5_000, 30_000, 300_000, 3_600_000, 10_800_000];
/// For how long a delivery is tried.
pub(crate) const TRIED_FOR_MAX_MS: i64 = 3 * 24 * 60 * 60 * 1_000;
/// How long the deliveries of one request are apart that go out in reverse.
const REVERSED_BY_MS: i64 = 300;
/// Events that are remembered.
const EVENTS_MAX: usize = 1_000_000;

#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub id: String,
    pub url: String,
    pub secret: String,
    /// Kinds of events; `*` is all.
    pub kinds: Vec<String>,
    pub at_ms: i64,
    pub wire: Wire,
}

#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub id: String,
    pub kind: &'static str,
    /// The event as it is shown and sent.
    pub shown: Value,
    pub wire: Wire,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Delivery {
    pub number: u64,
    pub event: String,
    pub kind: &'static str,
    pub endpoint: String,
    pub made_ms: i64,
    /// `None`: delivered, under way or given up.
    pub due_ms: Option<i64>,
    pub tries: usize,
    /// The answer to the last try.
    pub status: Option<u16>,
    pub is_delivered: bool,
}

/// One try, ready to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Post {
    pub number: u64,
    pub url: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Hooks {
    pub endpoints: Vec<Endpoint>,
    pub events: Vec<Event>,
    pub deliveries: BTreeMap<u64, Delivery>,
    made: u64,
}

impl Hooks {
    /// Remembers events of one moment and queues their deliveries. With [`Webhook::First`] the
    /// deliveries are not queued: their numbers are answered, to be sent at once.
    pub(crate) fn tell(&mut self, events: Vec<Event>, manner: &Webhook, now_ms: i64) -> Vec<u64> {
        let mut first = Vec::new();
        let count = i64::try_from(events.len()).unwrap_or(0);
        for (event, number) in events.iter().zip(0_i64..) {
            let (copies, late_ms) = match manner {
                Webhook::Never => (0, 0),
                Webhook::Twice => (2, 0),
                Webhook::Late { ms } => (1, *ms),
                Webhook::Reversed => (1, (count - number).saturating_mul(REVERSED_BY_MS)),
                Webhook::Once | Webhook::First => (1, 0),
            };
            let due_ms = (*manner != Webhook::First).then(|| now_ms.saturating_add(late_ms));
            for _ in 0..copies {
                let queued = self.queue(event, due_ms, now_ms);
                first.extend(queued.into_iter().filter(|_| due_ms.is_none()));
            }
        }
        self.events.extend(events);
        let surplus = self.events.len().saturating_sub(EVENTS_MAX);
        self.events.drain(..surplus);
        first
    }

    fn queue(&mut self, event: &Event, due_ms: Option<i64>, now_ms: i64) -> Vec<u64> {
        let wanted = |endpoint: &&Endpoint| {
            let is_asked_for = |kind: &String| kind == "*" || kind == event.kind;
            endpoint.wire == event.wire && endpoint.kinds.iter().any(is_asked_for)
        };
        let mut numbers = Vec::new();
        for endpoint in self.endpoints.iter().filter(wanted) {
            self.made = self.made.saturating_add(1);
            numbers.push(self.made);
            let delivery = Delivery {
                number: self.made,
                event: event.id.clone(),
                kind: event.kind,
                endpoint: endpoint.id.clone(),
                made_ms: now_ms,
                due_ms,
                tries: 0,
                status: None,
                is_delivered: false,
            };
            self.deliveries.insert(self.made, delivery);
        }
        numbers
    }

    /// When the next try is due.
    pub(crate) fn due_ms(&self) -> Option<i64> {
        self.deliveries.values().filter_map(|delivery| delivery.due_ms).min()
    }

    /// The tries that are due by now, in the order in which they are. They count as under way.
    pub(crate) fn take_due(&mut self, now_ms: i64) -> Vec<Post> {
        let due = self.deliveries.values().filter_map(|delivery| {
            Some((delivery.due_ms.filter(|due_ms| *due_ms <= now_ms)?, delivery.number))
        });
        let mut due: Vec<(i64, u64)> = due.collect();
        due.sort_unstable();
        due.into_iter().filter_map(|(_, number)| self.take(number, now_ms)).collect()
    }

    /// One try of a delivery. `None`: its endpoint is gone.
    pub(crate) fn take(&mut self, number: u64, now_ms: i64) -> Option<Post> {
        let delivery = self.deliveries.get_mut(&number)?;
        delivery.due_ms = None;
        delivery.tries = delivery.tries.saturating_add(1);
        let event = self.events.iter().rev().find(|event| event.id == delivery.event)?;
        let endpoint = self.endpoints.iter().find(|endpoint| endpoint.id == delivery.endpoint)?;
        let mut headers = vec![("content-type", "application/json; charset=utf-8".to_owned())];
        let body = match endpoint.wire {
            Wire::Stripe => {
                let body = serde_json::to_string_pretty(&event.shown).unwrap_or_default();
                let signature = signature(&endpoint.secret, now_ms.div_euclid(1_000), &body);
                let agent = "Stripe/1.0 (+https://stripe.com/docs/webhooks)".to_owned();
                headers.extend([("user-agent", agent), ("stripe-signature", signature)]);
                body
            }
            Wire::Adyen => adyen::signed(&event.shown, &endpoint.secret),
        };
        Some(Post { number, url: endpoint.url.clone(), headers, body })
    }

    /// What came of a try; `None`: no answer.
    pub(crate) fn tried(&mut self, number: u64, status: Option<u16>, now_ms: i64) {
        let Some(delivery) = self.deliveries.get_mut(&number) else {
            return;
        };
        delivery.status = status;
        delivery.is_delivered = status.is_some_and(|status| (200..300).contains(&status));
        if delivery.is_delivered {
            return;
        }
        let wait = delivery.tries.saturating_sub(1).min(RETRY_MS.len() - 1);
        let due_ms = now_ms.saturating_add(RETRY_MS[wait]);
        let is_over = due_ms.saturating_sub(delivery.made_ms) > TRIED_FOR_MAX_MS;
        delivery.due_ms = (!is_over).then_some(due_ms);
    }
}

/// `Stripe-Signature` of a body at a time in seconds.
pub(crate) fn signature(secret: &str, at_s: i64, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, format!("{at_s}.{body}").as_bytes());
    format!("t={at_s},v1={}", HEXLOWER.encode(tag.as_ref()))
}
