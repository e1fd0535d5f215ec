//! Whole exchanges through this face's routes.

mod access;
mod captures;
mod money;
mod orders;
mod reasons;
mod sessions;

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use requite_core::currency::Currency;
use requite_core::id::{MerchantId, PersonId, prefixed_text};
use requite_engine::command::Registration;
use requite_engine::read::PersonView;
use requite_engine::registry::Registry;
use serde_json::Value;

use super::wire::payment_text;
use crate::crypto::password;
use crate::crypto::secret::Secret;
use crate::desk::Settings;
use crate::faces::testing::{self, Answer, OTHER_SHOP, SHOP, START_MS, login_secret};

const TOKEN: &str = "mv1_shop";
const OTHER_TOKEN: &str = "mv1_other";

/// An installation that is spoken to in this dialect. Both merchants have a token for everything.
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
        shop.key(SHOP, "medusa-v1", TOKEN, None);
        shop.key(OTHER_SHOP, "medusa-v1", OTHER_TOKEN, None);
        Shop(shop)
    }

    /// A payment of 100.00 euros, captured unless `change` says otherwise. Its id as text.
    async fn payment(&self, change: impl FnOnce(&mut Registration)) -> String {
        let registering = self.register(|payment| {
            payment.currency = Currency::parse("EUR").expect("listed");
            payment.connector = "manual".to_owned();
            change(payment);
        });
        payment_text(registering.await.bits())
    }

    /// POSTs `body` as JSON.
    async fn post_with(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let headers = [&[("content-type", "application/json")], headers].concat();
        self.exchange("POST", path, &headers, body.to_owned()).await
    }

    async fn refund_with(&self, id: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let path = format!("/admin/payments/{id}/refund");
        self.post_with(&path, headers, body).await
    }

    async fn refund(&self, id: &str, body: &str) -> Answer {
        self.refund_with(id, &[("x-medusa-access-token", TOKEN)], body).await
    }

    async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.exchange("GET", path, headers, "").await
    }

    async fn get(&self, path: &str) -> Answer {
        self.get_with(path, &[("x-medusa-access-token", TOKEN)]).await
    }

    /// Somebody who can log in.
    fn person(&self, merchant: MerchantId, email: &str, word: &str) -> PersonId {
        let hash = password::hash(&Secret::new(word.to_owned()), &[1; 16]);
        let person = PersonView {
            id: PersonId::new(self.draw()),
            merchant,
            email: email.to_owned(),
            password_hash: hash.expect("a short password"),
            created_at_ms: START_MS,
            updated_at_ms: START_MS,
        };
        let created = self.registry.create_person(&person);
        created.expect("no such person yet");
        person.id
    }

    async fn amount_refunded(&self, id: &str) -> i64 {
        let answer = self.get(&format!("/admin/payments/{id}")).await;
        let amount = answer.json()["payment"]["amount_refunded"].as_i64();
        amount.expect("an amount")
    }
}
