//! The desk: what a face may use. It hands commands to the engine, reads for it, and draws ids and
//! times, so that a face holds nothing but its dialect.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use requite_core::id::{MerchantId, PaymentId, uuid_text};
use requite_engine::clock::Clock;
use requite_engine::command::{
    Amendment, Booked, BookingRequest, Command, CommandError, Notice, Noticed, RefundReply,
    RegisteredReply, Registration, Reply, Resolution, Resolved,
};
use requite_engine::engine::Engine;
use requite_engine::inbox::Inbox;
use requite_engine::key::{Key, Lifetime, digest};
use requite_engine::read::{KeyView, MerchantView, ReadFault, Reads};
use requite_engine::registry::Registry;
use tokio::sync::{Semaphore, oneshot};

use self::gathered::Gathered;
use crate::connectors;
use crate::crypto::entropy::Entropy;
use crate::crypto::jws::Signatures;
use crate::crypto::password::PasswordChecks;
use crate::crypto::seal::SealingKey;
use crate::crypto::secret::Secret;
use crate::crypto::token::{TokenKind, mint};
use crate::known_keys::KnownKeys;
use crate::rate::Rates;
use crate::webhooks::address::Addresses;
use restored::Restored;

mod cancel;
mod gathered;
mod reading;
mod refund;
mod restored;

pub(crate) use self::reading::{READS_MAX, Unseen};

/// Where ids come from. The server's is the machine's; a test's is its own.
pub(crate) trait Ids: Send + Sync {
    /// A fresh id in time order (UUID version 7).
    fn next(&self) -> u128;
}

/// What one face may say besides its dialect: settings with the names they have in the file.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// How long a face waits for a refund's first outcome. A little longer than a PSP call's own
    /// deadline, so that a late PSP is seen as "unknown" and not as "still asking".
    pub wait: Duration,
    /// Browser origins that the Medusa faces allow.
    pub cors_origins: Vec<String>,
    /// `mpg.capture_refunded_amount = "allocated"`: capture rows show what refunds took from them.
    pub mpg_shows_allocation: bool,
    /// `gr4vy.connector`: with which payments are taken through the Gr4vy face.
    pub gr4vy_connector: &'static str,
    /// `mpg.refund_amount = "remaining"`: a refund without an amount is of all that is left.
    pub mpg_refunds_remaining: bool,
    /// `mpg.connector`: who takes the cards of the Moyasar face's new orders.
    pub mpg_connector: &'static str,
    /// `gr4vy.id`: how Gr4vy's face calls this installation in what it tells without being asked.
    pub gr4vy_id: String,
    /// `gr4vy.environment`: `production` or `sandbox`, in the same place.
    pub gr4vy_environment: &'static str,
    /// `webhooks.addresses`: where merchants may be told.
    pub webhook_addresses: Addresses,
    /// Seals what merchants' endpoints sign with; `None`: there can be no endpoints.
    pub sealing_key: Option<SealingKey>,
    /// The guard against double clicks; zero is off.
    pub duplicate_guard_ms: i64,
    /// `limits.requests_per_second_max`: of one credential; zero is no limit.
    pub requests_per_second_max: u32,
    /// `loop.connector`: with whom Loop's checkout registers.
    pub loop_collector: Collector,
}

/// The name of the store's secret that the log-in tokens of both Medusas are signed with.
pub(crate) const LOGIN_SECRET: &str = "login";

/// With whom a face registers payments of its own, as its dialect names no connector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Collector {
    pub connector: &'static str,
    /// It has taken the money once the payment is registered. Otherwise somebody takes it later.
    pub takes_at_once: bool,
}

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct Desk(Arc<Drawers>);

/// What all clones share.
struct Drawers {
    engine: Engine,
    reads: Arc<dyn Reads>,
    registry: Arc<dyn Registry>,
    inbox: Arc<dyn Inbox>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    entropy: Arc<dyn Entropy>,
    settings: Settings,
    rates: Rates,
    passwords: PasswordChecks,
    keys: KnownKeys,
    signatures: Signatures,
    reading: Semaphore,
    restored: Restored,
    gathered: Gathered,
    merchants: Mutex<HashMap<MerchantId, Arc<MerchantView>>>,
}

/// What a desk is made of.
pub(crate) struct Parts {
    pub engine: Engine,
    pub reads: Arc<dyn Reads>,
    pub registry: Arc<dyn Registry>,
    pub inbox: Arc<dyn Inbox>,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn Ids>,
    pub entropy: Arc<dyn Entropy>,
    pub settings: Settings,
    /// Since when a copy is served in a store's place.
    pub restored_since_ms: Option<i64>,
}

impl Desk {
    pub(crate) fn new(parts: Parts) -> Desk {
        let Parts { engine, reads, registry, inbox, clock, ids, entropy, settings, .. } = parts;
        Desk(Arc::new(Drawers {
            engine,
            reads,
            registry,
            inbox,
            clock,
            ids,
            entropy,
            rates: Rates::new(settings.requests_per_second_max),
            settings,
            passwords: PasswordChecks::new(),
            keys: KnownKeys::default(),
            signatures: Signatures::default(),
            reading: Semaphore::new(READS_MAX),
            restored: Restored::since(parts.restored_since_ms),
            gathered: Gathered::default(),
            merchants: Mutex::default(),
        }))
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.0.clock.now_ms()
    }

    /// For secrets that are kept, and for what seals them.
    pub(crate) fn entropy(&self) -> &(dyn Entropy + 'static) {
        self.0.entropy.as_ref()
    }

    pub(crate) fn ids(&self) -> &dyn Ids {
        self.0.ids.as_ref()
    }

    /// A fresh secret of 256 random bits.
    pub(crate) fn mint(&self, kind: TokenKind) -> Secret {
        mint(kind, &self.0.entropy.bytes())
    }

    /// The one place where passwords are checked: its limit on memory is the whole server's.
    pub(crate) fn passwords(&self) -> &PasswordChecks {
        &self.0.passwords
    }

    /// What log-in tokens are signed with: the store's own secret, and where there is a key outside, mixed with
    /// it. `None`: the store has none.
    pub(crate) async fn login_secret(&self) -> Result<Option<Vec<u8>>, ReadFault> {
        let kept = self.read(|reads| reads.secret(LOGIN_SECRET)).await?;
        Ok(kept.map(|kept| match &self.settings().sealing_key {
            Some(key) => key.mixed(&kept).to_vec(),
            None => kept,
        }))
    }

    /// How often each credential may ask.
    pub(crate) fn rates(&self) -> &Rates {
        &self.0.rates
    }

    /// Signatures of tokens that were found to hold.
    pub(crate) fn signatures(&self) -> &Signatures {
        &self.0.signatures
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// Connectors that a payment can be registered with.
    pub(crate) fn connectors(&self) -> &'static [&'static str] {
        &connectors::NAMES
    }

    pub(crate) async fn register(
        &self,
        registration: Registration,
    ) -> Result<RegisteredReply, CommandError> {
        match self.ask(Command::Register(Box::new(registration))).await? {
            Reply::Registered(registered) => Ok(registered),
            other => unreachable!("a registration is answered as one, not {other:?}"),
        }
    }

    /// Captures, voids or extends. What the connector declined is booked as well: the operation at
    /// [`Booked::seq`] has the fault.
    pub(crate) async fn book(&self, request: BookingRequest) -> Result<Booked, CommandError> {
        match self.ask(Command::Book(Box::new(request))).await? {
            Reply::Booked(booked) => Ok(booked),
            other => unreachable!("a booking is answered as one, not {other:?}"),
        }
    }

    /// `Err` inside: the external identifier belongs to that payment; nothing was changed.
    pub(crate) async fn amend(
        &self,
        amendment: Amendment,
    ) -> Result<Result<Booked, PaymentId>, CommandError> {
        match self.ask(Command::Amend(Box::new(amendment))).await? {
            Reply::Booked(booked) => Ok(Ok(booked)),
            Reply::NameTaken(owner) => Ok(Err(owner)),
            other => unreachable!("an amendment is answered as one, not {other:?}"),
        }
    }

    /// A person's word on a refund.
    pub(crate) async fn resolve(&self, resolution: Resolution) -> Result<Resolved, CommandError> {
        match self.ask(Command::Resolve(Box::new(resolution))).await? {
            Reply::Resolved(resolved) => Ok(resolved),
            other => unreachable!("a resolution is answered as one, not {other:?}"),
        }
    }

    /// What a PSP told without being asked.
    pub(crate) async fn notice(&self, notice: Notice) -> Result<Noticed, CommandError> {
        match self.ask(Command::Notice(Box::new(notice))).await? {
            Reply::Noticed(noticed) => Ok(noticed),
            other => unreachable!("a notice is answered as one, not {other:?}"),
        }
    }

    async fn ask(&self, command: Command) -> Result<Reply, CommandError> {
        self.submit(command).await.unwrap_or(Err(CommandError::Stopping))
    }

    fn submit(&self, command: Command) -> oneshot::Receiver<Result<Reply, CommandError>> {
        let (answer, reply) = oneshot::channel();
        self.0.engine.submit(
            command,
            Box::new(move |result| {
                // Nobody listens any more: the client left, which changes nothing.
                let _unheard = answer.send(result).is_err();
            }),
        );
        reply
    }

    /// The credentials with this lookup hash, as they are or were a moment ago ([`KnownKeys`]).
    pub(crate) async fn keys(&self, lookup: [u8; 32]) -> Result<Vec<KeyView>, ReadFault> {
        let keys = &self.0.keys;
        if let Some(known) = keys.find(&lookup) {
            return Ok(known);
        }
        let before = keys.changes();
        let found = self.admit(move |reads| reads.keys(&lookup)).await?;
        keys.learn(lookup, &found, before);
        Ok(found)
    }

    /// Runs a blocking use of the inbox off the async threads.
    pub(crate) async fn inbox<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Inbox) -> T + Send + 'static,
    ) -> Option<T> {
        let inbox = Arc::clone(&self.0.inbox);
        tokio::task::spawn_blocking(move || work(inbox.as_ref())).await.ok()
    }

    /// Runs a blocking write to the registry (credentials, reasons) off the async threads.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        write: impl FnOnce(&dyn Registry) -> T + Send + 'static,
    ) -> Option<T> {
        let registry = Arc::clone(&self.0.registry);
        let done = tokio::task::spawn_blocking(move || write(registry.as_ref())).await.ok();
        // It may have ended a credential.
        self.0.keys.forget();
        done
    }
}

/// An idempotency key: `scope` is what the key's uniqueness is limited to within the face (a route,
/// a payment), `meaning` what a repeat must mean again (canonical text, never the bytes sent).
pub(crate) fn key(face: &str, scope: &[&str], text: &str, meaning: &[&str]) -> Key {
    let parts = |first: &str, rest: &[&str], last: &str| {
        let all: Vec<&[u8]> = std::iter::once(first)
            .chain(rest.iter().copied())
            .chain(std::iter::once(last))
            .map(str::as_bytes)
            .collect();
        digest(&all)
    };
    Key {
        hash: parts(face, scope, text),
        fingerprint: parts(face, meaning, ""),
        lifetime: Lifetime::Kept,
        answers_present: false,
    }
}

/// Longest `Idempotency-Key` that is taken (Gr4vy documents 255 characters).
pub(crate) const KEY_TEXT_MAX: usize = 255;

/// The headers that every face adds to a refund's answer (decisions A4 and A8).
pub(crate) fn refund_headers(reply: &RefundReply) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let id = uuid_text(reply.refund.refund.bits());
    let id = HeaderValue::from_str(&id).expect("a UUID is a header value");
    headers.insert(HeaderName::from_static("requite-refund-id"), id);
    let status = HeaderValue::from_static(reply.status.word());
    headers.insert(HeaderName::from_static("requite-refund-status"), status);
    headers.extend(replay_headers(reply.is_replay));
    headers
}

/// [`refund_headers`] where one request made several refunds: one line of each header for each.
/// `is_replay` is the request's as a whole.
pub(crate) fn refunds_headers(replies: &[RefundReply], is_replay: bool) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for reply in replies {
        for (name, value) in &refund_headers(&RefundReply { is_replay: false, ..reply.clone() }) {
            headers.append(name, value.clone());
        }
    }
    headers.extend(replay_headers(is_replay));
    headers
}

/// The header of an answer that an earlier request with the same key got first (decision A4).
pub(crate) fn replay_headers(is_replay: bool) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if is_replay {
        let yes = HeaderValue::from_static("true");
        headers.insert(HeaderName::from_static("idempotent-replayed"), yes);
    }
    headers
}
