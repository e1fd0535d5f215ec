//! Whole exchanges through this face's routes.

mod access;
mod browser;
mod captures;
mod collections;
mod credentials;
mod keyed;
mod lists;
mod money;
mod rest;

use std::ops::Deref;
use std::time::Duration;

use requite_core::currency::Currency;
use requite_core::id::{CaptureId, prefixed_text};
use requite_core::money::Minor;
use requite_engine::command::Registration;
use requite_engine::registry::Registry;

use crate::desk::Settings;
use crate::faces::testing::{self, Answer, OTHER_SHOP, SHOP, START_MS};

const KEY: &str = "sk_shop";
const OTHER_KEY: &str = "sk_other";

/// An installation that is spoken to in this dialect. Both merchants have a key for everything.
struct Shop(testing::Shop);

impl Deref for Shop {
    type Target = testing::Shop;

    fn deref(&self) -> &testing::Shop {
        &self.0
    }
}

impl Shop {
    fn open() -> Shop {
        let settings = Settings {
            wait: Duration::from_secs(10),
            cors_origins: vec!["http://localhost:7001".to_owned()],
            ..testing::settings()
        };
        let shop = testing::Shop::open(super::router, settings, 0);
        shop.key(SHOP, "medusa-v2", KEY, None);
        shop.key(OTHER_SHOP, "medusa-v2", OTHER_KEY, None);
        Shop(shop)
    }

    /// A payment of 100.00 euros, captured unless `change` says otherwise. Its id as text.
    async fn payment(&self, change: impl FnOnce(&mut Registration)) -> String {
        let registering = self.register(|payment| {
            payment.currency = Currency::parse("EUR").expect("listed");
            payment.connector = "manual".to_owned();
            change(payment);
        });
        prefixed_text("pay_", registering.await.bits())
    }

    /// Sends as the shop, with a JSON body where there is one.
    async fn ask(&self, call: &str, body: &str) -> Answer {
        self.ask_as(&[("authorization", &format!("Basic {KEY}"))], call, body).await
    }

    /// `call` is a method and a path.
    async fn ask_as(&self, headers: &[(&str, &str)], call: &str, body: &str) -> Answer {
        let (method, path) = call.split_once(' ').expect("a method and a path");
        let typed = [("content-type", "application/json")];
        let typed = if body.is_empty() { &[] } else { &typed[..] };
        let headers = [typed, headers].concat();
        self.exchange(method, path, &headers, body.to_owned()).await
    }

    async fn refund(&self, id: &str, body: &str) -> Answer {
        let call = format!("POST /admin/payments/{id}/refund?fields=id,refunds.amount");
        self.ask(&call, body).await
    }

    /// Status and text of an answer.
    async fn told(&self, call: &str, body: &str) -> String {
        self.ask(call, body).await.told()
    }

    /// What the payment says it has given back, in major units as written.
    async fn refunded(&self, id: &str) -> String {
        let call = format!("GET /admin/payments/{id}?fields=refunded_amount");
        let text = self.ask(&call, "").await.text;
        let number = text.split([':', ',']).nth(2);
        number.expect("an amount").to_owned()
    }
}

fn invalid(message: &str) -> String {
    format!("400 {{\"type\":\"invalid_data\",\"message\":\"{message}\"}}")
}

fn not_found(message: &str) -> String {
    format!("404 {{\"type\":\"not_found\",\"message\":\"{message}\"}}")
}

const MORE: &str = "You are not allowed to refund more than the captured amount";
const WHOLE: &str = "You cannot refund more than what is captured on the payment.";
const CONFLICT: &str = "409 {\"code\":\"invalid_state_error\",\"type\":\"conflict\",\"message\":\"The request conflicted with another request. You may retry the request with the provided Idempotency-Key.\"}";
const UNKNOWN: &str = "500 {\"code\":\"unknown_error\",\"type\":\"unknown_error\",\"message\":\"An unknown error occurred.\"}";
