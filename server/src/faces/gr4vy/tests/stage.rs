//! What the exchanges are played on: a store in a temporary file, an engine, the face's router, a
//! merchant with a key, and a PSP that does as each payment's script says.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, Method};
use requite_core::currency::Currency;
use requite_core::id::{CaptureId, KeyId, LegId, MerchantId, PaymentId, uuid_text};
use requite_core::money::Minor;
use requite_core::refund::Fault;
use requite_core::settle::Outcome;
use requite_engine::clock::Clock;
use requite_engine::command::{NewLeg, Registered, Registration};
use requite_engine::engine::{Running, start};
use requite_engine::lane::Lane;
use requite_engine::psp::{Instruction, OnOutcome, Psp};
use requite_engine::read::MerchantView;
use requite_engine::registry::{NewKey, Registry};
use requite_engine::store::sqlite::{Open, Sqlite, SqliteReads, SqliteRegistry};
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tower::ServiceExt;

use crate::crypto::jws::sign_es512;
use crate::crypto::p521::PrivateKey;
use crate::crypto::token::lookup_hash;
use crate::desk::{Desk, Ids, Parts, Settings};

/// 2024-09-15T12:27:45Z
pub(super) const START_S: i64 = 1_726_403_265;

/// Stands still unless a test moves it.
#[derive(Clone)]
struct TestClock(Arc<AtomicI64>);

impl Clock for TestClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Ids that count up.
struct Counted(AtomicU64);

impl Ids for Counted {
    fn next(&self) -> u128 {
        let count = u128::from(self.0.fetch_add(1, Ordering::Relaxed));
        0x0191_f5a7_44d3_7430_8739_0000_0000_0000 | count
    }
}

/// A PSP that answers at once, as the payment's script says: `decline:51`, `fail:x`, `pending`,
/// `unknown`, `never` (no answer), and success for everything else.
#[derive(Default)]
struct Scripted {
    unanswered: Mutex<Vec<OnOutcome>>,
    is_over: AtomicBool,
}

impl Scripted {
    /// Answers what is still open, so that the engine can stop.
    fn end(&self) {
        self.is_over.store(true, Ordering::Release);
        let open = std::mem::take(&mut *self.unanswered.lock().expect("nobody panics with it"));
        for on_outcome in open {
            let fault = Fault::default();
            on_outcome(Outcome::Unknown { fault });
        }
    }
}

impl Psp for Scripted {
    fn call(&self, instruction: Instruction, on_outcome: OnOutcome) {
        let script = instruction.connector_settings.as_deref().unwrap_or("");
        let (word, code) = script.split_once(':').unwrap_or((script, ""));
        let fault = Fault {
            code: code.to_owned(),
            text: format!("the PSP says {word}"),
        };
        let psp_refund = Some("re_psp".to_owned());
        if word == "never" && !self.is_over.load(Ordering::Acquire) {
            let mut unanswered = self.unanswered.lock().expect("nobody panics with it");
            return unanswered.push(on_outcome);
        }
        on_outcome(match word {
            "decline" => Outcome::Declined { psp_refund, fault },
            "fail" => Outcome::Failed { fault },
            "pending" => Outcome::Pending { psp_refund },
            "unknown" => Outcome::Unknown { fault },
            _ => Outcome::Succeeded { psp_refund },
        });
    }
}

/// A merchant and the key that its tokens are signed with.
pub(super) struct Shop {
    pub merchant: MerchantId,
    pub slug: &'static str,
    pub key: PrivateKey,
}

pub(super) struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
    pub body: Value,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

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
        Call {
            method,
            path: path.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
        }
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

pub(super) struct Stage {
    router: Router,
    registry: SqliteRegistry,
    clock: TestClock,
    desk: Desk,
    psp: Arc<Scripted>,
    pub shop: Shop,
    running: Option<Running>,
    _folder: TempDir,
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.psp.end();
        if let Some(running) = self.running.take() {
            running.stop();
        }
    }
}

impl Stage {
    pub(super) fn open() -> Stage {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("store");
        let store = || Sqlite::open(&path, Open::OrCreate).expect("a new store opens");
        let lane_store = store();
        lane_store
            .forget_on_power_loss()
            .expect("a setting of the store");
        let clock = TestClock(Arc::new(AtomicI64::new(START_S * 1000)));
        let psp = Arc::new(Scripted::default());
        let lane = Lane::new(lane_store, ["manual".to_owned()]);
        let (engine, running) =
            start(lane, store(), psp.clone(), Arc::new(clock.clone())).expect("threads start");
        let registry = || SqliteRegistry::open(&path, Open::Existing).expect("the store is there");
        let desk = Desk::new(Parts {
            engine,
            reads: Arc::new(SqliteReads::open(&path).expect("the store is there")),
            registry: Arc::new(registry()),
            clock: Arc::new(clock.clone()),
            ids: Arc::new(Counted(AtomicU64::new(1))),
            settings: Settings {
                wait: Duration::from_millis(200),
                cors_origins: Vec::new(),
                mpg_shows_allocation: false,
                duplicate_guard_ms: 0,
            },
        });
        let registry = registry();
        let shop = open_shop(&registry, &desk, "acme");
        Stage {
            router: super::super::router(desk.clone()),
            registry,
            clock,
            desk,
            psp,
            shop,
            running: Some(running),
            _folder: folder,
        }
    }

    /// A second merchant.
    pub(super) fn other_shop(&self) -> Shop {
        open_shop(&self.registry, &self.desk, "other")
    }

    /// Gives the shop's merchant another key, with these scopes.
    pub(super) fn narrowed_key(&self, scopes: &[&str]) -> PrivateKey {
        let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        let key = PrivateKey::generate();
        add_key(
            &self.registry,
            &self.desk,
            self.shop.merchant,
            &key,
            Some(scopes),
        );
        key
    }

    pub(super) fn pass_seconds(&self, seconds: i64) {
        self.clock.0.fetch_add(seconds * 1000, Ordering::Relaxed);
    }

    pub(super) async fn send(&self, call: Call) -> Answer {
        let mut request = Request::builder().method(call.method).uri(&call.path);
        for (name, value) in &call.headers {
            request = request.header(name, value);
        }
        let request = request
            .body(Body::from(call.body))
            .expect("tests send good heads");
        let answer = self.router.clone().oneshot(request).await;
        let answer = answer.expect("a router always answers");
        let (head, body) = answer.into_parts();
        let bytes = to_bytes(body, 1 << 20)
            .await
            .expect("the body is in memory");
        let text = String::from_utf8(bytes.to_vec()).expect("answers are text");
        Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            body: serde_json::from_str(&text).unwrap_or_default(),
            text,
        }
    }

    /// A token of the shop as the SDKs make it.
    pub(super) fn token(&self) -> String {
        self.token_with(&json!({"scopes": ["*.read", "*.write"]}))
    }

    /// `claims` on top of an hour's life.
    pub(super) fn token_with(&self, claims: &Value) -> String {
        token(&self.shop.key, claims)
    }

    pub(super) fn get(&self, path: &str) -> Call {
        Call::new(Method::GET, path).bearer(&self.token())
    }

    pub(super) fn post(&self, path: &str, body: &str) -> Call {
        Call::new(Method::POST, path)
            .bearer(&self.token())
            .json(body)
    }

    /// Asks for a refund of a transaction.
    pub(super) async fn refund(&self, transaction: &str, body: &Value) -> Answer {
        let path = format!("/transactions/{transaction}/refunds");
        self.send(self.post(&path, &body.to_string())).await
    }

    /// A transaction of 10000 USD, captured, without a PSP.
    pub(super) async fn transaction(&self) -> String {
        self.registered(10_000, 10_000, "manual", None, &[]).await
    }

    /// A captured transaction of 10000 USD whose PSP does as the script says.
    pub(super) async fn scripted(&self, script: &str) -> String {
        self.registered(10_000, 10_000, "psp", Some(script), &[])
            .await
    }

    pub(super) async fn registered(
        &self,
        amount: i64,
        captured: i64,
        connector: &str,
        script: Option<&str>,
        gift_cards: &[i64],
    ) -> String {
        let minor = |units| Minor::new(units).expect("an amount");
        let next = || self.desk.ids().next();
        let id = PaymentId::new(next());
        let leg = |amount| NewLeg {
            id: LegId::new(next()),
            amount: minor(amount),
        };
        let captures = (captured > 0).then(|| (CaptureId::new(next()), minor(captured)));
        let registration = Registration {
            merchant: self.shop.merchant,
            payment: id,
            currency: Currency::parse("USD").expect("a currency"),
            primary: leg(amount),
            gift_cards: gift_cards.iter().map(|&amount| leg(amount)).collect(),
            captures: captures.into_iter().collect(),
            connector: connector.to_owned(),
            connector_payment: None,
            connector_settings: script.map(str::to_owned),
            external_identifier: Some(format!("order-{}", uuid_text(id.bits()))),
            order: None,
            customer: None,
            description: None,
            aliases: vec![format!("alias-{}", uuid_text(id.bits()))],
            profile: r#"{"source":{"type":"card","last_digits":"4444"}}"#.to_owned(),
            fingerprint: id.bits().to_be_bytes(),
            created_at_ms: self.desk.now_ms(),
            cancelled_at_ms: None,
            actor: "tests".to_owned(),
            at_ms: self.desk.now_ms(),
        };
        let registered = self.desk.register(registration).await;
        assert_eq!(registered, Ok(Registered::Created(id)));
        uuid_text(id.bits())
    }
}

fn open_shop(registry: &SqliteRegistry, desk: &Desk, slug: &'static str) -> Shop {
    let merchant = MerchantId::new(desk.ids().next());
    let view = MerchantView {
        id: merchant,
        slug: slug.to_owned(),
        name: slug.to_owned(),
        profile: "{}".to_owned(),
        created_at_ms: desk.now_ms(),
    };
    registry
        .create_merchant(&view, &[])
        .expect("a merchant of a new name");
    let key = PrivateKey::generate();
    add_key(registry, desk, merchant, &key, None);
    Shop {
        merchant,
        slug,
        key,
    }
}

fn add_key(
    registry: &SqliteRegistry,
    desk: &Desk,
    merchant: MerchantId,
    key: &PrivateKey,
    scopes: Option<Vec<String>>,
) {
    let public = key.public();
    let thumbprints = public.thumbprints();
    let mut lookups = vec![lookup_hash(&thumbprints.padded)];
    if thumbprints.unpadded != thumbprints.padded {
        lookups.push(lookup_hash(&thumbprints.unpadded));
    }
    let key = NewKey {
        id: KeyId::new(desk.ids().next()),
        merchant,
        face: "gr4vy".to_owned(),
        scopes,
        lookups,
        public_key: Some(public.point().to_vec()),
        at_ms: desk.now_ms(),
    };
    registry.create_key(&key).expect("a new key");
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
