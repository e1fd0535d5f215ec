//! Whole exchanges through this face's routes, over a real engine on a store in a temporary folder.

mod access;
mod lists;
mod money;
mod rest;

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http_body_util::BodyExt;
use requite_core::currency::Currency;
use requite_core::id::{CaptureId, KeyId, LegId, MerchantId, PaymentId, prefixed_text};
use requite_core::money::Minor;
use requite_core::refund::Fault;
use requite_core::settle::Outcome;
use requite_engine::clock::Clock;
use requite_engine::command::{NewLeg, Registration};
use requite_engine::engine::{self, Running};
use requite_engine::lane::Lane;
use requite_engine::psp::{Instruction, OnOutcome, Psp};
use requite_engine::read::MerchantView;
use requite_engine::registry::{NewKey, Registry};
use requite_engine::store::sqlite::{Open, Sqlite, SqliteReads, SqliteRegistry};
use tempfile::TempDir;
use tower::ServiceExt;

use crate::crypto::token::lookup_hash;
use crate::desk::{Desk, Ids, Parts, Settings};

/// 2024-09-15T12:27:45.123Z
const START_MS: i64 = 1_726_403_265_123;
const SHOP: MerchantId = MerchantId::new(0x51);
const OTHER_SHOP: MerchantId = MerchantId::new(0x52);
const KEY: &str = "sk_shop";
/// What log-in tokens are signed with.
const LOGIN_SECRET: [u8; 32] = [7; 32];
const OTHER_KEY: &str = "sk_other";

struct StillClock(AtomicI64);

impl Clock for StillClock {
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

/// A payment provider that does as the payment's settings say.
#[derive(Default)]
struct Bank {
    /// Calls that wait for [`Bank::release`].
    held: Mutex<Vec<OnOutcome>>,
}

impl Bank {
    fn held(&self) -> MutexGuard<'_, Vec<OnOutcome>> {
        self.held.lock().expect("nobody panics while holding it")
    }

    fn release(&self) {
        for on_outcome in self.held().drain(..) {
            on_outcome(Outcome::Succeeded { psp_refund: None });
        }
    }
}

impl Psp for Bank {
    fn call(&self, instruction: Instruction, on_outcome: OnOutcome) {
        let fault = Fault::default();
        if instruction.connector_settings.as_deref() == Some("hold") {
            return self.held().push(on_outcome);
        }
        on_outcome(match instruction.connector_settings.as_deref() {
            Some("decline") => Outcome::Declined {
                psp_refund: None,
                fault,
            },
            Some("not allowed") => Outcome::Declined {
                psp_refund: None,
                fault: Fault {
                    code: "not_allowed".to_owned(),
                    text: "provider says no".to_owned(),
                },
            },
            Some("fail") => Outcome::Failed { fault },
            Some("silence") => Outcome::Unknown { fault },
            _ => Outcome::Succeeded { psp_refund: None },
        });
    }
}

/// A running installation with two merchants that each have a key for everything.
struct Shop {
    router: Router,
    desk: Desk,
    clock: Arc<StillClock>,
    bank: Arc<Bank>,
    registry: Arc<SqliteRegistry>,
    next: u128,
    running: Option<Running>,
    _folder: TempDir,
}

impl Drop for Shop {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop();
        }
    }
}

struct Answer {
    status: u16,
    response: Response<()>,
    text: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let value = self.response.headers().get(name)?;
        Some(value.to_str().expect("headers of ours are text"))
    }

    /// Status and body, for comparing.
    fn told(&self) -> String {
        format!("{} {}", self.status, self.text)
    }
}

impl Shop {
    fn open() -> Shop {
        let folder = TempDir::new().expect("a temporary folder");
        let path = folder.path().join("shop.db");
        let open = || Sqlite::open(&path, Open::OrCreate).expect("a new store");
        let lane = Lane::new(open(), ["manual".to_owned()]);
        let clock = Arc::new(StillClock(START_MS.into()));
        let bank = Arc::new(Bank::default());
        let (engine, running) = engine::start(lane, open(), bank.clone(), clock.clone())
            .expect("threads can be started");
        let registry = SqliteRegistry::open(&path, Open::Existing).expect("the store is there");
        let kept = registry.keep_secret("login", &LOGIN_SECRET);
        kept.expect("a new store takes it");
        let registry = Arc::new(registry);
        let desk = Desk::new(Parts {
            engine,
            reads: Arc::new(SqliteReads::open(&path).expect("the store is there")),
            registry: registry.clone(),
            clock: clock.clone(),
            ids: Arc::new(Counter(0x1000.into())),
            settings: Settings {
                wait: Duration::from_secs(10),
                cors_origins: vec!["http://localhost:7001".to_owned()],
                mpg_shows_allocation: false,
                duplicate_guard_ms: 0,
            },
        });
        let mut shop = Shop {
            router: super::router(desk.clone()),
            desk,
            clock,
            bank,
            registry,
            next: 0x100,
            running: Some(running),
            _folder: folder,
        };
        for (merchant, slug, token) in [(SHOP, "shop", KEY), (OTHER_SHOP, "other", OTHER_KEY)] {
            let view = MerchantView {
                id: merchant,
                slug: slug.to_owned(),
                name: slug.to_owned(),
                profile: "{}".to_owned(),
                created_at_ms: START_MS,
            };
            let created = shop.registry.create_merchant(&view, &[]);
            created.expect("no such merchant yet");
            shop.key(merchant, "medusa-v2", token, None);
        }
        shop
    }

    fn draw(&mut self) -> u128 {
        self.next += 1;
        self.next
    }

    fn key(&mut self, merchant: MerchantId, face: &str, token: &str, scopes: Option<&[&str]>) {
        let listed = |scopes: &[&str]| scopes.iter().map(|scope| (*scope).to_owned()).collect();
        let key = NewKey {
            id: KeyId::new(self.draw()),
            merchant,
            face: face.to_owned(),
            scopes: scopes.map(listed),
            lookups: vec![lookup_hash(token)],
            public_key: None,
            at_ms: START_MS,
        };
        self.registry.create_key(&key).expect("no such key yet");
    }

    /// A payment of 100.00 euros, captured unless `change` says otherwise. Its id as text.
    async fn payment(&mut self, change: impl FnOnce(&mut Registration)) -> String {
        let minor = Minor::new(10_000).expect("an amount");
        let id = self.draw();
        let mut registration = Registration {
            merchant: SHOP,
            payment: PaymentId::new(id),
            currency: Currency::parse("EUR").expect("listed"),
            primary: NewLeg {
                id: LegId::new(self.draw()),
                amount: minor,
            },
            gift_cards: Vec::new(),
            captures: vec![(CaptureId::new(self.draw()), minor)],
            connector: "manual".to_owned(),
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
        prefixed_text("pay_", id)
    }

    async fn send(&self, request: Request) -> Answer {
        let answer = self.router.clone().oneshot(request).await;
        let (parts, body) = answer.expect("a router always answers").into_parts();
        let bytes = body.collect().await.expect("the body is in memory");
        Answer {
            status: parts.status.as_u16(),
            response: Response::from_parts(parts, ()),
            text: String::from_utf8(bytes.to_bytes().into()).expect("answers are UTF-8"),
        }
    }

    /// Sends as the shop, with a JSON body where there is one.
    async fn ask(&self, call: &str, body: &str) -> Answer {
        self.ask_as(&[("authorization", &format!("Basic {KEY}"))], call, body)
            .await
    }

    /// `call` is a method and a path.
    async fn ask_as(&self, headers: &[(&str, &str)], call: &str, body: &str) -> Answer {
        let (method, path) = call.split_once(' ').expect("a method and a path");
        let mut request = Request::builder().method(method).uri(path);
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_owned()));
        self.send(request.expect("a valid request")).await
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
