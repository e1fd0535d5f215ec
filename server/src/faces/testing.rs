//! What whole exchanges of a face are tested on: its routes over a real engine on a store in a
//! temporary folder, with a still clock, counted ids, and a PSP that does as a payment's settings say.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::HeaderMap;
use http_body_util::BodyExt;
use requite_core::currency::Currency;
use requite_core::id::{CaptureId, KeyId, LegId, MerchantId, PaymentId, uuid_text};
use requite_core::money::Minor;
use requite_core::refund::Fault;
use requite_core::settle::Outcome;
use requite_engine::clock::Clock;
use requite_engine::command::{NewLeg, Registration};
use requite_engine::engine::{self, Running};
use requite_engine::lane::Lane;
use requite_engine::psp::{CallKind, Instruction, OnOutcome, Psp};
use requite_engine::read::MerchantView;
use requite_engine::registry::{NewKey, Registry};
use requite_engine::store::sqlite::{Open, Sqlite, SqliteReads, SqliteRegistry};
use serde_json::Value;
use tempfile::TempDir;
use tower::ServiceExt;

use crate::crypto::token::lookup_hash;
use crate::desk::{Desk, Ids, Parts, Settings};

/// 2024-09-15T12:27:45.123Z
const START_MS: i64 = 1_726_403_265_123;
const SHOP: MerchantId = MerchantId::new(0x51);
const OTHER_SHOP: MerchantId = MerchantId::new(0x52);
/// The token of the first merchant, who owns every payment, and of the second.
pub(super) const TOKEN: &str = "token_of_the_shop";
pub(super) const OTHER_TOKEN: &str = "token_of_another_shop";

struct HandClock(AtomicI64);

impl Clock for HandClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

struct Counter(AtomicU64);

impl Ids for Counter {
    fn next(&self) -> u128 {
        u128::from(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// Does as the payment's settings say: `decline:<code>`, `fail`, `pending`, `hang` (never answers),
/// `late` (answers nothing, and a look-up finds the refund), otherwise pays.
#[derive(Default)]
struct Bank {
    hanging: Mutex<Vec<OnOutcome>>,
}

impl Bank {
    /// Ends every call that hangs without an answer. An engine that stops waits for its calls.
    fn hang_up(&self) {
        let calls = std::mem::take(&mut *self.hanging.lock().expect("no panic"));
        for on_outcome in calls {
            on_outcome(Outcome::Unknown {
                fault: Fault::default(),
            });
        }
    }
}

impl Psp for Bank {
    fn call(&self, instruction: Instruction, on_outcome: OnOutcome) {
        let settings = instruction.connector_settings.as_deref().unwrap_or("");
        let (word, code) = settings.split_once(':').unwrap_or((settings, ""));
        let psp_refund = Some(format!("re_psp{}", instruction.call_no));
        let fault = Fault {
            code: code.to_owned(),
            text: String::new(),
        };
        if word == "hang" {
            self.hanging.lock().expect("no panic").push(on_outcome);
            return;
        }
        on_outcome(match (word, instruction.kind) {
            ("decline", _) => Outcome::Declined {
                psp_refund: None,
                fault,
            },
            ("fail", _) => Outcome::Failed { fault },
            ("pending", _) => Outcome::Pending { psp_refund },
            ("late", CallKind::Send) => Outcome::Unknown { fault },
            _ => Outcome::Succeeded { psp_refund },
        });
    }
}

/// A running installation with two merchants that each have a token for everything.
pub(super) struct Shop {
    face: &'static str,
    router: Router,
    desk: Desk,
    clock: Arc<HandClock>,
    registry: Arc<SqliteRegistry>,
    bank: Arc<Bank>,
    next: AtomicU64,
    running: Option<Running>,
    _folder: TempDir,
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.bank.hang_up();
        if let Some(running) = self.running.take() {
            running.stop();
        }
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

impl Shop {
    pub(super) fn open(face: &'static str, router: fn(Desk) -> Router) -> Shop {
        let folder = TempDir::new().expect("a temporary folder");
        let path = folder.path().join("shop.db");
        let open = || Sqlite::open(&path, Open::OrCreate).expect("a new store");
        let lane = Lane::new(open(), ["manual".to_owned()]);
        let clock = Arc::new(HandClock(START_MS.into()));
        let bank = Arc::new(Bank::default());
        let (engine, running) = engine::start(lane, open(), bank.clone(), clock.clone())
            .expect("threads can be started");
        let registry = SqliteRegistry::open(&path, Open::Existing).expect("the store is there");
        let registry = Arc::new(registry);
        let desk = Desk::new(Parts {
            engine,
            reads: Arc::new(SqliteReads::open(&path).expect("the store is there")),
            registry: registry.clone(),
            clock: clock.clone(),
            ids: Arc::new(Counter(0x1000.into())),
            settings: Settings {
                wait: Duration::from_secs(3),
                cors_origins: Vec::new(),
                mpg_shows_allocation: false,
                duplicate_guard_ms: 0,
            },
        });
        let shop = Shop {
            face,
            router: router(desk.clone()),
            desk,
            clock,
            registry,
            bank,
            next: 0x100.into(),
            running: Some(running),
            _folder: folder,
        };
        for (merchant, slug, token) in [(SHOP, "shop", TOKEN), (OTHER_SHOP, "other", OTHER_TOKEN)] {
            let view = MerchantView {
                id: merchant,
                slug: slug.to_owned(),
                name: slug.to_owned(),
                profile: "{}".to_owned(),
                created_at_ms: START_MS,
            };
            let created = shop.registry.create_merchant(&view, &[]);
            created.expect("no such merchant yet");
            shop.mint(merchant, token, None);
        }
        shop
    }

    fn draw(&self) -> u128 {
        u128::from(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// A token of the first merchant for `scopes` alone.
    pub(super) fn token(&self, token: &str, scopes: &[&str]) {
        self.mint(SHOP, token, Some(scopes));
    }

    fn mint(&self, merchant: MerchantId, token: &str, scopes: Option<&[&str]>) {
        let listed = |scopes: &[&str]| scopes.iter().map(|scope| (*scope).to_owned()).collect();
        let key = NewKey {
            id: KeyId::new(self.draw()),
            merchant,
            face: self.face.to_owned(),
            scopes: scopes.map(listed),
            lookups: vec![lookup_hash(token)],
            public_key: None,
            at_ms: START_MS,
        };
        self.registry.create_key(&key).expect("no such key yet");
    }

    /// A payment of 100.00 riyals, captured unless `change` says otherwise. Its id as a UUID.
    pub(super) async fn payment(&self, change: impl FnOnce(&mut Registration)) -> String {
        let minor = Minor::new(10_000).expect("an amount");
        let id = self.draw();
        let mut registration = Registration {
            merchant: SHOP,
            payment: PaymentId::new(id),
            currency: Currency::parse("SAR").expect("listed"),
            primary: NewLeg {
                id: LegId::new(self.draw()),
                amount: minor,
            },
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
            actor: "test".to_owned(),
            at_ms: START_MS,
        };
        change(&mut registration);
        let registered = self.desk.register(registration).await;
        registered.expect("a sound registration");
        uuid_text(id)
    }

    /// A payment whose PSP does as `settings` say.
    pub(super) async fn payment_at(&self, settings: &str) -> String {
        self.payment(|new| new.connector_settings = Some(settings.to_owned()))
            .await
    }

    pub(super) fn pass(&self, time: Duration) {
        let ms = i64::try_from(time.as_millis()).expect("a short time");
        self.clock.0.fetch_add(ms, Ordering::Relaxed);
    }

    pub(super) async fn send(&self, method: &str, path: &str, with: &[(&str, &str)]) -> Answer {
        self.send_body(method, path, with, "").await
    }

    /// With the first merchant's token unless `with` has another (`""`: none).
    pub(super) async fn send_body(
        &self,
        method: &str,
        path: &str,
        with: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        let named = |name: &str| with.iter().any(|(known, _)| *known == name);
        if !named("authorization") {
            request = request.header("authorization", format!("Bearer {TOKEN}"));
        }
        if !named("content-type") {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in with.iter().filter(|(_, value)| !value.is_empty()) {
            request = request.header(*name, *value);
        }
        let body = Body::from(body.to_owned());
        let request = request.body(body).expect("a valid request");
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
