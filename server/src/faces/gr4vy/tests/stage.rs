//! The stage of all faces, with keys that sign tokens, and requests put together as this dialect's
//! clients send them.

use std::ops::Deref;
use std::time::Duration;

use axum::http::Method;
use requite_core::currency::Currency;
use requite_core::id::{LegId, MerchantId, uuid_text};
use requite_core::money::Minor;
use requite_engine::command::{NewLeg, Registration};
use serde_json::{Map, Value, json};

use crate::crypto::jws::sign_es512;
use crate::crypto::p521::PrivateKey;
use crate::crypto::token::lookup_hash;
use crate::desk::Settings;
use crate::faces::testing::{self, Answer, OTHER_SHOP, SHOP, START_MS, Shop};

/// 2024-09-15T12:27:45Z
pub(super) const START_S: i64 = START_MS / 1000;
/// What ids begin with, so that they have letters and the usual length in every spelling.
const UUID_V7: u128 = 0x0191_f5a7_44d3_7430_8739_0000_0000_0000;

/// A request being put together.
#[derive(Clone)]
pub(super) struct Call {
    method: Method,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Call {
    pub(super) fn new(method: Method, path: &str) -> Call {
        Call { method, path: path.to_owned(), headers: Vec::new(), body: Vec::new() }
    }

    pub(super) fn header(mut self, name: &str, value: &str) -> Call {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn bearer(self, token: &str) -> Call {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub(super) fn json(self, body: &str) -> Call {
        self.typed("application/json", body)
    }

    pub(super) fn typed(self, kind: &str, body: &str) -> Call {
        let mut call = self.header("content-type", kind);
        body.as_bytes().clone_into(&mut call.body);
        call
    }
}

/// A running installation, with the keys that the tokens of its two merchants are signed with.
pub(super) struct Stage {
    shop: Shop,
    pub key: PrivateKey,
    pub other_key: PrivateKey,
}

impl Deref for Stage {
    type Target = Shop;

    fn deref(&self) -> &Shop {
        &self.shop
    }
}

impl Stage {
    pub(super) fn open() -> Stage {
        let settings = Settings { wait: Duration::from_millis(200), ..testing::settings() };
        let shop = Shop::open(super::super::router, settings, UUID_V7);
        Stage { key: new_key(&shop, SHOP, None), other_key: new_key(&shop, OTHER_SHOP, None), shop }
    }

    /// The engine takes nothing in any more.
    pub(super) fn stop(&mut self) {
        self.shop.stop();
    }

    /// Gives the first merchant another key, with these scopes.
    pub(super) fn narrowed_key(&self, scopes: &[&str]) -> PrivateKey {
        new_key(&self.shop, SHOP, Some(scopes))
    }

    /// A key that is registered with both merchants.
    pub(super) fn shared_key(&self) -> PrivateKey {
        let key = PrivateKey::generate();
        register(&self.shop, SHOP, None, &key);
        register(&self.shop, OTHER_SHOP, None, &key);
        key
    }

    pub(super) async fn send(&self, call: Call) -> Answer {
        let headers = call.headers.iter();
        let headers: Vec<_> = headers.map(|(name, value)| (&**name, &**value)).collect();
        let method = call.method.as_str();
        self.exchange(method, &call.path, &headers, call.body).await
    }

    /// A token of the shop as the SDKs make it.
    pub(super) fn token(&self) -> String {
        self.token_with(&json!({"scopes": ["*.read", "*.write"]}))
    }

    /// `claims` on top of an hour's life.
    pub(super) fn token_with(&self, claims: &Value) -> String {
        token(&self.key, claims)
    }

    pub(super) fn get(&self, path: &str) -> Call {
        Call::new(Method::GET, path).bearer(&self.token())
    }

    pub(super) fn post(&self, path: &str, body: &str) -> Call {
        Call::new(Method::POST, path).bearer(&self.token()).json(body)
    }

    /// Asks for a refund of a transaction.
    pub(super) async fn refund(&self, transaction: &str, body: &Value) -> Answer {
        let path = format!("/transactions/{transaction}/refunds");
        self.send(self.post(&path, &body.to_string())).await
    }

    /// A transaction of 10000 USD, captured, without a PSP.
    pub(super) async fn transaction(&self) -> String {
        self.transaction_with(&[], |_| ()).await
    }

    /// A captured transaction of 10000 USD whose PSP does as the script says.
    pub(super) async fn scripted(&self, script: &str) -> String {
        self.transaction_with(&[], |new| at_psp(new, script)).await
    }

    /// As [`Stage::transaction`], with gift cards of these amounts, and as `change` says.
    pub(super) async fn transaction_with(
        &self,
        gift_cards: &[i64],
        change: impl FnOnce(&mut Registration),
    ) -> String {
        let gift_card = |&amount| NewLeg {
            id: LegId::new(self.draw()),
            amount: Minor::new(amount).expect("an amount"),
        };
        let gift_cards = gift_cards.iter().map(gift_card).collect();
        self.payment(|new| {
            let id = uuid_text(new.payment.bits());
            new.currency = Currency::parse("USD").expect("a currency");
            new.gift_cards = gift_cards;
            new.connector = "manual".to_owned();
            new.external_identifier = Some(format!("order-{id}"));
            new.aliases = vec![format!("alias-{id}")];
            new.profile = r#"{"source":{"type":"card","last_digits":"4444"}}"#.to_owned();
            change(new);
        })
        .await
    }
}

/// Its PSP does as the script says.
pub(super) fn at_psp(new: &mut Registration, script: &str) {
    new.connector = "psp".to_owned();
    new.connector_settings = Some(script.to_owned());
}

fn new_key(shop: &Shop, merchant: MerchantId, scopes: Option<&[&str]>) -> PrivateKey {
    let key = PrivateKey::generate();
    register(shop, merchant, scopes, &key);
    key
}

fn register(shop: &Shop, merchant: MerchantId, scopes: Option<&[&str]>, key: &PrivateKey) {
    let public = key.public();
    let thumbprints = public.thumbprints();
    shop.key_with(merchant, "gr4vy", scopes, |new| {
        new.lookups.push(lookup_hash(&thumbprints.padded));
        if thumbprints.unpadded != thumbprints.padded {
            new.lookups.push(lookup_hash(&thumbprints.unpadded));
        }
        new.public_key = Some(public.point().to_vec());
    });
}

/// A token that `key` has signed, with `claims` on top of an hour's life.
pub(super) fn token(key: &PrivateKey, claims: &Value) -> String {
    let mut all = Map::new();
    all.insert("iss".to_owned(), json!("tests"));
    all.insert("nbf".to_owned(), json!(START_S));
    all.insert("exp".to_owned(), json!(START_S + 3600));
    for (name, value) in claims.as_object().expect("claims are members") {
        if value.is_null() {
            all.remove(name);
        } else {
            all.insert(name.clone(), value.clone());
        }
    }
    sign_es512(&all, key)
}
