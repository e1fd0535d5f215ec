//! The way in for whoever runs the simulator: `/_psp/...`, JSON both ways, no credential.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::books::{Charge, Status, Step};
use super::hooks::Endpoint;
use super::script::{Script, Webhook};
use super::wire::Wire;
use super::{Simulator, adyen, stripe};

/// Where the control API begins.
pub(crate) const PREFIX: &str = "/_psp/";

/// What can be switched while it runs.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    guard: Option<bool>,
    keys: Option<bool>,
    key_life_ms: Option<i64>,
    api_key: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Clock {
    advance_ms: i64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Balance {
    currency: String,
    available: i64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Hook {
    url: String,
    secret: Option<String>,
    /// Makes it an endpoint of Adyen's notices.
    hmac_key: Option<String>,
    #[serde(default)]
    events: Vec<String>,
}

type Told = Result<Value, (u16, String)>;

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, (u16, String)> {
    serde_json::from_slice(body).map_err(|fault| (400, fault.to_string()))
}

impl Simulator {
    /// Answers a request to the control API: status and JSON.
    pub(crate) fn control(
        &mut self,
        method: &str,
        path: &str,
        body: &[u8],
        wall_ms: i64,
    ) -> (u16, Value) {
        let now_ms = self.now_ms(wall_ms);
        self.books.advance(now_ms);
        self.settle((None, None), &Webhook::Once, now_ms);
        let rest = path.strip_prefix(PREFIX).unwrap_or_default();
        let told = match (method, rest.split_once('/').unwrap_or((rest, ""))) {
            ("GET", ("books", "")) => Ok(self.show_books(now_ms)),
            ("GET", ("calls", "")) => Ok(json!({"calls": self.calls})),
            ("GET", ("script", "")) => Ok(json!(self.script)),
            ("POST", ("script", "")) => self.take_script(body),
            ("DELETE", ("script", "")) => {
                self.script = Script::empty();
                Ok(json!({}))
            }
            ("POST", ("settings", "")) => self.take_settings(body),
            ("POST", ("clock", "")) => self.advance(body, wall_ms),
            ("POST", ("balance", "")) => read(body).map(|Balance { currency, available }| {
                self.books.fund(&currency, available, now_ms);
                json!({"currency": currency, "available": available})
            }),
            ("GET", ("webhooks", "")) => {
                let deliveries: Vec<_> = self.hooks.deliveries.values().collect();
                Ok(json!({"deliveries": deliveries}))
            }
            ("POST", ("webhooks", "")) => {
                read(body).and_then(|hook| self.add_endpoint(hook, now_ms))
            }
            ("POST", ("refunds", id)) => self.move_refund(id, body, now_ms),
            ("POST", ("disputes", id)) => self.dispute(id, now_ms),
            _ => Err((404, format!("there is no {method} {path}"))),
        };
        self.settle((None, None), &Webhook::Once, now_ms);
        match told {
            Ok(value) => (200, value),
            Err((status, text)) => (status, json!({ "error": text })),
        }
    }

    fn take_script(&mut self, body: &[u8]) -> Told {
        let text = std::str::from_utf8(body).map_err(|fault| (400, fault.to_string()))?;
        self.script = Script::read(text).map_err(|problem| (400, problem))?;
        Ok(json!({"rules": self.script.rules.len()}))
    }

    fn take_settings(&mut self, body: &[u8]) -> Told {
        let settings: Settings = read(body)?;
        self.books.has_guard = settings.guard.unwrap_or(self.books.has_guard);
        self.keys.are_honoured = settings.keys.unwrap_or(self.keys.are_honoured);
        self.keys.life_ms = settings.key_life_ms.or(self.keys.life_ms);
        self.api_key = settings.api_key.or(self.api_key.take());
        let (guard, keys) = (self.books.has_guard, self.keys.are_honoured);
        Ok(json!({"guard": guard, "keys": keys, "key_life_ms": self.keys.life_ms}))
    }

    /// The clock only goes forward.
    fn advance(&mut self, body: &[u8], wall_ms: i64) -> Told {
        let Clock { advance_ms } = read(body)?;
        if advance_ms < 0 {
            return Err((400, format!("the clock goes forward only, not by {advance_ms} ms")));
        }
        self.ahead_ms = self.ahead_ms.saturating_add(advance_ms);
        let now_ms = self.now_ms(wall_ms);
        self.books.advance(now_ms);
        Ok(json!({ "now_ms": now_ms }))
    }

    /// An endpoint of Stripe's events, or of Adyen's notices if there is an HMAC key; what it is signed
    /// with, or what is wrong with that, in words.
    pub(crate) fn add_webhook(
        &mut self,
        url: &str,
        secret: Option<String>,
        hmac_key: Option<String>,
        wall_ms: i64,
    ) -> Result<String, String> {
        let hook = Hook { url: url.to_owned(), secret, hmac_key, events: Vec::new() };
        let made = self.add_endpoint(hook, self.now_ms(wall_ms)).map_err(|(_, text)| text)?;
        Ok(made["secret"].as_str().unwrap_or_default().to_owned())
    }

    fn add_endpoint(&mut self, hook: Hook, now_ms: i64) -> Told {
        let (wire, secret) = match (hook.hmac_key, hook.secret) {
            (None, secret) => (Wire::Stripe, secret.unwrap_or_else(|| self.dice.id("whsec_"))),
            (Some(key), None) if adyen::is_hmac_key(&key) => (Wire::Adyen, key),
            (Some(_), None) => {
                let text = "an HMAC key of Adyen's has 64 hexadecimal digits";
                return Err((400, text.to_owned()));
            }
            (Some(_), Some(_)) => {
                let text = "an endpoint has a secret (Stripe) or an hmac_key (Adyen), not both";
                return Err((400, text.to_owned()));
            }
        };
        let id = self.dice.id("we_");
        let kinds = if hook.events.is_empty() { vec!["*".to_owned()] } else { hook.events };
        let shown = json!({"id": id, "url": hook.url, "secret": secret});
        let endpoint = Endpoint { id, url: hook.url, secret, kinds, at_ms: now_ms, wire };
        self.hooks.endpoints.push(endpoint);
        Ok(shown)
    }

    fn move_refund(&mut self, id: &str, body: &[u8], now_ms: i64) -> Told {
        let step: Step = read(body)?;
        if !self.books.move_to(id, step, now_ms) {
            return Err((404, format!("there is no refund {id:?}")));
        }
        Ok(json!(self.books.refunds[id]))
    }

    /// The customer's bank takes all of a charge back. Refunds of it that are pending fail.
    fn dispute(&mut self, id: &str, now_ms: i64) -> Told {
        let Some(charge) = self.books.charges.get(id).cloned() else {
            return Err((404, format!("there is no charge {id:?}")));
        };
        let event = match charge.merchant_account {
            Some(_) => adyen::disputed(self, &charge),
            None => stripe::disputed(self, &charge, now_ms),
        };
        self.books.write_charge(Charge { is_disputed: true, ..charge });
        let pending = self.books.refunds_of(id).filter(|refund| refund.status == Status::Pending);
        let pending: Vec<String> = pending.map(|refund| refund.id.clone()).collect();
        for refund in pending {
            let reason = Some("charge_for_pending_refund_disputed".to_owned());
            let step = Step { is: Status::Failed, after_ms: 0, reason };
            self.books.move_to(&refund, step, now_ms);
        }
        self.hooks.tell(vec![event], &Webhook::Once, now_ms);
        Ok(json!(self.books.charges[id]))
    }

    /// Everything on the books, and what stands out.
    fn show_books(&self, now_ms: i64) -> Value {
        let books = &self.books;
        let (mut paid, mut on_the_way) = (BTreeMap::new(), BTreeMap::new());
        let mut by_key = BTreeMap::<&str, u64>::new();
        for refund in books.refunds.values().filter(|refund| refund.status.counts()) {
            let is_paid = refund.status == Status::Succeeded;
            let sums = if is_paid { &mut paid } else { &mut on_the_way };
            let sum: &mut i64 = sums.entry(refund.currency.as_str()).or_default();
            *sum = sum.saturating_add(refund.amount);
            if let Some(key) = &refund.key {
                let count = by_key.entry(key).or_default();
                *count = count.saturating_add(1);
            }
        }
        let overpaid = books.charges.values().filter(|charge| charge.refunded > charge.captured);
        let overpaid: Vec<&str> = overpaid.map(|charge| charge.id.as_str()).collect();
        let doubled: Vec<&str> =
            by_key.into_iter().filter(|(_, count)| *count > 1).map(|(key, _)| key).collect();
        let made = |id: &String| books.refunds.get(id);
        json!({
            "now_ms": now_ms,
            "charges": books.made.iter().filter_map(|id| books.charges.get(id)).collect::<Vec<_>>(),
            "intents": books.made.iter().filter_map(|id| books.intents.get(id)).collect::<Vec<_>>(),
            "refunds": books.made.iter().filter_map(made).collect::<Vec<_>>(),
            "paid": paid,
            "on_the_way": on_the_way,
            "overpaid": overpaid,
            "doubled": doubled,
        })
    }
}
