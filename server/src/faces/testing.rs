//! The stage on which whole exchanges of a face are tested: its routes over a real engine on a store
//! in a temporary folder, with a still clock, counted ids, two merchants, and a PSP that does as a
//! payment's settings say (`bank`). What is a face's dialect (credentials, paths) stands beside its tests.
//! Start at [`Shop`].

mod bank;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::HeaderMap;
use data_encoding::BASE64;
use http_body_util::BodyExt;
use requite_core::currency::Currency;
use requite_core::id::{CaptureId, KeyId, LegId, MerchantId, PaymentId, uuid_text};
use requite_core::money::Minor;
use requite_engine::clock::Clock;
use requite_engine::command::{NewLeg, Registration};
use requite_engine::engine::{self, Running};
use requite_engine::lane::Lane;
use requite_engine::read::{KeyNote, KeyView, MerchantView};
use requite_engine::registry::{NewKey, Registry};
use requite_engine::store::SqlRegistry;
use requite_engine::store::sqlite::{self, Open, Sqlite};
use serde_json::Value;
use tempfile::TempDir;
use tower::ServiceExt;

use self::bank::Bank;
use crate::crypto::entropy::SeededEntropy;
use crate::crypto::seal::SealingKey;
use crate::crypto::token::lookup_hash;
use crate::desk::{Collector, Desk, Ids, Parts, Settings};
use crate::webhooks::address::Addresses;

/// 2024-09-15T12:27:45.123Z
pub(super) const START_MS: i64 = 1_726_403_265_123;
/// The merchant who owns every payment, and another one; their slugs are `acme` and `other`.
pub(super) const SHOP: MerchantId = MerchantId::new(0x51);
pub(super) const OTHER_SHOP: MerchantId = MerchantId::new(0x52);
/// The merchants' tokens where a face takes a plain `Bearer` token ([`Shop::open_to_bearers`]).
pub(super) const TOKEN: &str = "token_of_the_shop";
pub(super) const OTHER_TOKEN: &str = "token_of_another_shop";
/// What the store keeps for log-in tokens.
const LOGIN_SECRET: [u8; 32] = [7; 32];

struct HandClock(AtomicI64);

impl Clock for HandClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    fn steady_ms(&self) -> i64 {
        self.now_ms()
    }
}

struct Counter {
    base: u128,
    count: AtomicU64,
}

impl Counter {
    fn from(base: u128, first: u64) -> Counter {
        let count = first.into();
        Counter { base, count }
    }
}

impl Ids for Counter {
    fn next(&self) -> u128 {
        self.base | u128::from(self.count.fetch_add(1, Ordering::Relaxed))
    }
}

/// A running installation with two merchants.
pub(super) struct Shop {
    router: Router,
    pub desk: Desk,
    clock: Arc<HandClock>,
    pub registry: Arc<SqlRegistry>,
    bank: Arc<Bank>,
    ids: Counter,
    running: Option<Running>,
    folder: TempDir,
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.stop();
    }
}

pub(super) struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let value = self.headers.get(name)?;
        Some(value.to_str().expect("headers of ours are text"))
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).expect("a JSON body")
    }

    /// Status and body, for comparing.
    pub(super) fn told(&self) -> String {
        format!("{} {}", self.status, self.text)
    }
}

/// What most faces are tested with: an outcome is waited for 3 seconds long, and nothing is special.
pub(super) fn settings() -> Settings {
    Settings {
        wait: Duration::from_secs(3),
        cors_origins: Vec::new(),
        mpg_shows_allocation: false,
        gr4vy_connector: "sandbox",
        mpg_refunds_remaining: false,
        mpg_connector: "sandbox",
        gr4vy_id: "example".to_owned(),
        gr4vy_environment: "sandbox",
        webhook_addresses: Addresses::Any,
        sealing_key: Some(SealingKey::read(&BASE64.encode(&[7; 32])).expect("32 bytes")),
        requests_per_second_max: 0,
        duplicate_guard_ms: 0,
        loop_collector: Collector { connector: "bank", takes_at_once: true },
    }
}

/// What log-in tokens are signed with, where [`settings`] are used.
pub(super) fn login_secret() -> [u8; 32] {
    settings().sealing_key.expect("the settings have one").mixed(&LOGIN_SECRET)
}

impl Shop {
    /// For a face whose clients show a plain `Bearer` token: both merchants have one for everything.
    pub(super) fn open_to_bearers(face: &str, router: fn(Desk) -> Router) -> Shop {
        let shop = Shop::open(router, settings(), 0);
        shop.key(SHOP, face, TOKEN, None);
        shop.key(OTHER_SHOP, face, OTHER_TOKEN, None);
        shop
    }

    /// Nobody has a key yet. `id_base` is in every id, whose last bits count: from 0x101 what a test
    /// draws, from 0x1000 what the face draws.
    pub(super) fn open(router: fn(Desk) -> Router, settings: Settings, id_base: u128) -> Shop {
        let folder = TempDir::new().expect("a temporary folder");
        let path = folder.path().join("shop.db");
        let open = || {
            let store = Sqlite::open(&path, Open::OrCreate).expect("a new store");
            let forgets = store.forget_on_power_loss();
            forgets.expect("a setting of the store");
            store
        };
        let lane = Lane::new(open(), crate::connectors::Rules::within(10_000));
        let clock = Arc::new(HandClock(START_MS.into()));
        let bank = Arc::new(Bank::new());
        let (engine, running) = engine::start(vec![lane], open(), bank.clone(), clock.clone())
            .expect("threads can be started");
        let registry = sqlite::registry(&path, Open::Existing).expect("the store is there");
        let kept = registry.keep_secret("login", &LOGIN_SECRET);
        kept.expect("a new store takes it");
        let registry = Arc::new(registry);
        for (id, slug) in [(SHOP, "acme"), (OTHER_SHOP, "other")] {
            let merchant = MerchantView {
                id,
                slug: slug.to_owned(),
                name: slug.to_owned(),
                profile: "{}".to_owned(),
                created_at_ms: START_MS,
            };
            let created = registry.create_merchant(&merchant, &[]);
            created.expect("no such merchant yet");
        }
        let inbox = sqlite::registry(&path, Open::Existing).expect("the store is there");
        let desk = Desk::new(Parts {
            engine,
            inbox: Arc::new(inbox),
            reads: Arc::new(sqlite::reads(&path).expect("the store is there")),
            registry: registry.clone(),
            clock: clock.clone(),
            ids: Arc::new(Counter::from(id_base, 0x1000)),
            entropy: Arc::new(SeededEntropy::new(1)),
            restored_since_ms: None,
            settings,
        });
        Shop {
            router: router(desk.clone()),
            desk,
            clock,
            registry,
            bank,
            ids: Counter::from(id_base, 0x101),
            running: Some(running),
            folder,
        }
    }

    /// Stops the engine: it takes nothing in any more, and reading goes on.
    pub(super) fn stop(&mut self) {
        self.bank.end();
        if let Some(running) = self.running.take() {
            running.stop();
        }
    }

    /// An id that nothing has yet.
    pub(super) fn draw(&self) -> u128 {
        self.ids.next()
    }

    /// A secret that opens `face` to its merchant, for `scopes` alone or for everything.
    pub(super) fn key(
        &self,
        merchant: MerchantId,
        face: &str,
        token: &str,
        scopes: Option<&[&str]>,
    ) {
        self.key_with(merchant, face, scopes, |key| {
            key.lookups.push(lookup_hash(token));
        });
    }

    pub(super) fn key_with(
        &self,
        merchant: MerchantId,
        face: &str,
        scopes: Option<&[&str]>,
        change: impl FnOnce(&mut NewKey),
    ) {
        let listed = |scopes: &[&str]| scopes.iter().map(|scope| (*scope).to_owned()).collect();
        let mut key = NewKey {
            id: KeyId::new(self.draw()),
            merchant,
            face: face.to_owned(),
            scopes: scopes.map(listed),
            lookups: Vec::new(),
            public_key: None,
            about: KeyNote::default(),
            at_ms: START_MS,
        };
        change(&mut key);
        self.registry.create_key(&key, None).expect("no such key yet");
    }

    /// The key that this hash finds.
    pub(super) async fn kept_key(&self, lookup: [u8; 32]) -> Option<KeyView> {
        self.desk.read(move |reads| reads.key(&lookup)).await.expect("a store that can be read")
    }

    /// Do the store's files have `text` in them anywhere?
    pub(super) fn store_contains(&self, text: &str) -> bool {
        let files = std::fs::read_dir(self.folder.path()).expect("the folder is there");
        let files = files.map(|file| std::fs::read(file.expect("a file").path()));
        files
            .map(|bytes| bytes.expect("readable"))
            .any(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
    }

    /// A payment of 100.00 riyals at the PSP, captured, unless `change` says otherwise.
    pub(super) async fn register(&self, change: impl FnOnce(&mut Registration)) -> PaymentId {
        let minor = Minor::new(10_000).expect("an amount");
        let id = self.draw();
        let mut registration = Registration {
            merchant: SHOP,
            payment: PaymentId::new(id),
            currency: Currency::parse("SAR").expect("listed"),
            primary: NewLeg { id: LegId::new(self.draw()), amount: minor },
            gift_cards: Vec::new(),
            captures: vec![(CaptureId::new(self.draw()), minor)],
            connector: "bank".to_owned(),
            connector_payment: None,
            connector_settings: None,
            external_identifier: None,
            order: None,
            customer: None,
            description: None,
            aliases: Vec::new(),
            profile: "{}".to_owned(),
            fingerprint: id.to_be_bytes(),
            created_at_ms: START_MS,
            cancelled_at_ms: None,
            decline: None,
            trace: None,
            keys: Vec::new(),
            actor: "test".to_owned(),
            at_ms: START_MS,
        };
        change(&mut registration);
        let id = registration.payment;
        let registered = self.desk.register(registration).await;
        registered.expect("a sound registration");
        id
    }

    /// As [`Shop::register`]. The id as a UUID.
    pub(super) async fn payment(&self, change: impl FnOnce(&mut Registration)) -> String {
        uuid_text(self.register(change).await.bits())
    }

    /// A payment whose PSP does as `settings` say.
    pub(super) async fn payment_at(&self, settings: &str) -> String {
        self.payment(|new| new.connector_settings = Some(settings.to_owned())).await
    }

    pub(super) fn pass(&self, time: Duration) {
        let ms = i64::try_from(time.as_millis()).expect("a short time");
        self.clock.0.fetch_add(ms, Ordering::Relaxed);
    }

    /// Waits until the PSP holds a call.
    pub(super) async fn until_held(&self) {
        self.bank.until_held().await;
    }

    /// Lets the held calls succeed.
    pub(super) fn release(&self) {
        self.bank.release();
    }

    pub(super) async fn send(&self, method: &str, path: &str, with: &[(&str, &str)]) -> Answer {
        self.send_body(method, path, with, "").await
    }

    /// With the first merchant's token and as JSON unless `with` has others (`""`: none).
    pub(super) async fn send_body(
        &self,
        method: &str,
        path: &str,
        with: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let bearer = format!("Bearer {TOKEN}");
        let usual = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        let named = |name: &str| with.iter().any(|(known, _)| *known == name);
        let usual = usual.into_iter().filter(|(name, _)| !named(name));
        let with = with.iter().copied().filter(|(_, value)| !value.is_empty());
        let headers: Vec<_> = usual.chain(with).collect();
        self.exchange(method, path, &headers, body.to_owned()).await
    }

    /// Sends just what is given.
    pub(super) async fn exchange(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into()).expect("a valid request");
        let answer = self.router.clone().oneshot(request).await;
        let (parts, body) = answer.expect("a router always answers").into_parts();
        let bytes = body.collect().await.expect("the body is in memory");
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            text: String::from_utf8(bytes.to_bytes().into()).expect("answers are UTF-8"),
        }
    }
}
