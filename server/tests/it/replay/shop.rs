//! A running server with one merchant, and the merchant's books as the native API shows them.

use serde_json::{Value, json};

use crate::support::{Key, Merchant, Options, Request, Server};

/// How long the server waits for a PSP in replays. Longer than the 2 s for which Moyasar's repeat
/// of a running call waits, and short enough not to be felt.
const PSP_CALL_DEADLINE_MS: &str = "3000";

pub(super) struct Shop {
    pub(super) server: Server,
}

/// One merchant of the shop and its native key.
pub(super) struct Owner {
    pub(super) merchant: Merchant,
    pub(super) native: Key,
}

/// A payment's refunds as the store has them.
#[derive(Debug, Default)]
pub(super) struct Books {
    pub(super) captured: i64,
    pub(super) refunds: Vec<Entry>,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) amount: i64,
    pub(super) status: String,
    /// Refund calls sent to the PSP.
    pub(super) attempts: u64,
}

impl Entry {
    /// Whether the refund holds or moved money: everything but a proven no.
    pub(super) fn stands(&self) -> bool {
        !matches!(self.status.as_str(), "declined" | "failed" | "voided" | "reversed")
    }
}

impl Books {
    pub(super) fn standing(&self) -> Vec<i64> {
        self.refunds.iter().filter(|r| r.stands()).map(|r| r.amount).collect()
    }

    pub(super) fn succeeded(&self) -> i64 {
        self.refunds.iter().filter(|r| r.status == "succeeded").map(|r| r.amount).sum()
    }

    pub(super) fn attempts(&self) -> u64 {
        self.refunds.iter().map(|r| r.attempts).sum()
    }
}

impl Shop {
    pub(super) fn open() -> Shop {
        Shop::open_with(Options::default())
    }

    pub(super) fn open_with(options: Options) -> Shop {
        let set = options.env.iter().any(|(name, _)| name == "REQUITE_PSP_CALL_DEADLINE_MS");
        let options = if set {
            options
        } else {
            options.env("REQUITE_PSP_CALL_DEADLINE_MS", PSP_CALL_DEADLINE_MS)
        };
        Shop { server: Server::start(options) }
    }

    pub(super) fn owner(&self, name: &str) -> Owner {
        self.owner_with(name, &[])
    }

    pub(super) fn owner_with(&self, name: &str, options: &[&str]) -> Owner {
        let merchant = self.server.cli().merchant_with(name, options);
        let native = self.server.cli().key(&merchant, "native");
        Owner { merchant, native }
    }

    /// Registers a payment and returns its id as given, or ours if none was given.
    pub(super) fn register(&self, owner: &Owner, payment: &Value) -> String {
        let made = self.server.register(&owner.native, payment);
        let given = payment.get("id").or_else(|| made.get("id"));
        given.and_then(Value::as_str).expect("a registered payment has an id").to_owned()
    }

    /// Calls the native API below a payment; panics unless it succeeds.
    pub(super) fn native(&self, owner: &Owner, payment: &str, what: &str, body: &Value) -> Value {
        let target = format!("/api/payments/{payment}/{what}");
        let request = Request::post(&target).bearer(&owner.native.token).json(body);
        let response = self.server.send(&request);
        let status = response.status;
        assert!(matches!(status, 200..300), "{target} {body}: {status} {}", response.text());
        response.json()
    }

    pub(super) fn refund(&self, owner: &Owner, payment: &str, amount: i64) {
        self.native(owner, payment, "refunds", &json!({"amount": amount}));
    }

    pub(super) fn books(&self, owner: &Owner, payment: &str) -> Books {
        let target = format!("/api/payments/{payment}");
        let response = self.server.send(&Request::get(&target).bearer(&owner.native.token));
        assert_eq!(response.status, 200, "GET {target}: {}", response.text());
        let view = response.json();
        let list =
            |name: &str| view.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
        let amount = |item: &Value| item.get("amount").and_then(Value::as_i64).unwrap_or_default();
        let entry = |item: &Value| Entry {
            amount: amount(item),
            status: item.get("status").and_then(Value::as_str).unwrap_or_default().to_owned(),
            attempts: item.get("attempts").and_then(Value::as_u64).unwrap_or_default(),
        };
        Books {
            captured: list("captures").iter().map(amount).sum(),
            refunds: list("refunds").iter().map(entry).collect(),
        }
    }
}
