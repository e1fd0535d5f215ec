//! A merchant's account at a PSP, opened: where it is, what opens it, and how it has been doing.
//!
//! Invariants:
//! - Every account has its own limit of calls and its own breaker: a PSP that hangs holds up nobody
//!   else.
//! - A call that an account has no room for, or that its breaker holds back, is proven not sent.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::Uri;
use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue};
use requite_core::id::{MerchantId, uuid_text};
use requite_core::settle::Outcome;
use requite_engine::psp::Instruction;
use requite_engine::read::ConnectorView;
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::breaker::Breaker;
use super::capabilities::Capabilities;
use super::exchange::{ASKS_MAX, Heard, Next, fault, unknown};
use super::notice::{Listing, NextOfList};
use super::transport::Transport;
use super::{adyen, stripe};
use crate::crypto::seal::{SealingKey, Unopened};
use crate::crypto::secret::Secret;

/// Calls to one account under way at once.
pub(crate) const CALLS_PER_ACCOUNT_MAX: usize = 64;
/// Calls that wait for one of those to end. More are told that they were not sent.
const WAITING_PER_ACCOUNT_MAX: usize = 512;
/// How long a call waits for room.
const ROOM_WAIT_MAX: Duration = Duration::from_secs(2);
/// Calls in a row whose credential is refused, after which people are told.
const REFUSALS_MAX: usize = 3;
/// Longest settings of an account, in bytes.
pub(crate) const SECRET_BYTES_MAX: usize = 4_096;

/// PSPs that accounts can be at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Stripe,
    Adyen,
}

impl Kind {
    pub(crate) const LISTED: [(Kind, &'static str); 2] =
        [(Kind::Stripe, "stripe"), (Kind::Adyen, "adyen")];

    pub(crate) fn from_word(word: &str) -> Option<Kind> {
        Kind::LISTED.iter().find(|(_, listed)| *listed == word).map(|(kind, _)| *kind)
    }

    pub(crate) fn word(self) -> &'static str {
        let listed = Kind::LISTED.iter().find(|(kind, _)| *kind == self);
        listed.expect("LISTED has every kind").1
    }

    pub(crate) fn base_url(self) -> &'static str {
        match self {
            Kind::Stripe => stripe::BASE_URL,
            Kind::Adyen => adyen::BASE_URL,
        }
    }

    /// The account's live address must be told: it is each company's own.
    pub(crate) fn has_live_url(self) -> bool {
        match self {
            Kind::Stripe => true,
            Kind::Adyen => false,
        }
    }

    pub(crate) fn capabilities(self) -> &'static Capabilities {
        match self {
            Kind::Stripe => &stripe::CAPABILITIES,
            Kind::Adyen => &adyen::CAPABILITIES,
        }
    }
}

/// What is sealed of an account.
#[derive(Deserialize, Serialize)]
pub(crate) struct Credential {
    pub key: String,
    /// Adyen: whose payments they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merchant_account: Option<String>,
    /// What signs its webhooks, the newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<String>,
}

impl Credential {
    pub(crate) fn open(
        view: &ConnectorView,
        key: Option<&SealingKey>,
    ) -> Result<Credential, Unusable> {
        let secret = key.ok_or(Unusable::NoKey)?.open(&view.sealed, &bound_to(view))?;
        serde_json::from_str(secret.expose()).map_err(|_| Unusable::Credential)
    }
}

/// The address of a company's live accounts, by the prefix that its PSP gave it.
pub(crate) fn live_url(prefix: &str) -> String {
    adyen::live_url(prefix)
}

/// What an account's sealed credential is bound to.
pub(crate) fn bound_to(view: &ConnectorView) -> Vec<u8> {
    let ids = [view.merchant.bits(), view.id].map(|bits| bits.to_be_bytes());
    [b"requite connector account ".as_slice(), &ids[0], &ids[1]].concat()
}

/// Why an account cannot be used. For operators; never has a secret in it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("it is at {0:?}, which this program does not know")]
    KindUnknown(String),
    #[error("its base URL {0:?} is none")]
    BaseUrl(String),
    #[error("live accounts at {0} have an address of their own, and it has none")]
    NoLiveUrl(&'static str),
    #[error("its credential does not open: {0}")]
    Sealed(#[from] Unopened),
    #[error("its credential is not one that this program wrote")]
    Credential,
    #[error(
        "its credential is sealed, and this process has no sealing key; set REQUITE_SEALING_KEY"
    )]
    NoKey,
}

impl Unusable {
    /// Another sealing key would open it: a setting is missing, or is another than it was.
    pub(crate) fn is_for_want_of_its_key(&self) -> bool {
        matches!(self, Unusable::NoKey | Unusable::Sealed(Unopened::OtherKey))
    }
}

/// An opened account.
pub(crate) struct Account {
    psp: Psp,
    kind: Kind,
    merchant: MerchantId,
    name: String,
    base: Uri,
    credential: (HeaderName, HeaderValue),
    /// The sealed credential it was opened from: another one means that it was replaced.
    pub sealed: Vec<u8>,
    room: Semaphore,
    waiting: AtomicUsize,
    breaker: Mutex<Breaker>,
    /// Calls in a row whose credential was refused.
    refusals: AtomicUsize,
}

/// Where the account is, and what is to be known of it there.
enum Psp {
    Stripe { sends_reason: bool },
    Adyen(adyen::Shop),
}

impl Account {
    pub(crate) fn open(
        view: &ConnectorView,
        key: Option<&SealingKey>,
    ) -> Result<Account, Unusable> {
        let kind =
            Kind::from_word(&view.kind).ok_or_else(|| Unusable::KindUnknown(view.kind.clone()))?;
        let credential = Credential::open(view, key)?;
        let header = header(kind, &Secret::new(credential.key)).ok_or(Unusable::Credential)?;
        let sends_reason = view.sends_reason;
        let psp = match (kind, credential.merchant_account) {
            (Kind::Stripe, _) => Psp::Stripe { sends_reason },
            (Kind::Adyen, Some(merchant_account)) => {
                Psp::Adyen(adyen::Shop { merchant_account, sends_reason })
            }
            (Kind::Adyen, None) => return Err(Unusable::Credential),
        };
        if view.base_url.is_none() && view.mode == "live" && !kind.has_live_url() {
            return Err(Unusable::NoLiveUrl(kind.word()));
        }
        let url = view.base_url.as_deref().unwrap_or_else(|| kind.base_url());
        let base: Uri = url.parse().map_err(|_| Unusable::BaseUrl(url.to_owned()))?;
        Ok(Account {
            psp,
            kind,
            merchant: view.merchant,
            name: view.name.clone(),
            base,
            credential: header,
            sealed: view.sealed.clone(),
            room: Semaphore::new(CALLS_PER_ACCOUNT_MAX),
            waiting: AtomicUsize::new(0),
            breaker: Mutex::default(),
            refusals: AtomicUsize::new(0),
        })
    }

    /// Carries an instruction, which begins by `begins_by` or not at all, to its end. Answers within
    /// `deadline`, plus the wait for room.
    pub(crate) async fn call(
        &self,
        transport: &Transport,
        instruction: &Instruction,
        (begins_by, deadline): (Instant, Duration),
    ) -> Outcome {
        if let Some(left) = self.held_back() {
            let ms = i64::try_from(left.as_millis()).unwrap_or(i64::MAX);
            return unreached("breaker_open", "the account has not answered; it is left alone", ms);
        }
        let Some(_room) = self.room().await else {
            return unreached("account_busy", "too many calls to the account are under way", 1_000);
        };
        if Instant::now() > begins_by {
            return unreached("too_late", "the call could not begin in time", 0);
        }
        let end = Instant::now() + deadline;
        let mut heard = Vec::new();
        while heard.len() < ASKS_MAX {
            let ask = match self.next(instruction, &heard) {
                Next::Done(outcome) => return outcome,
                Next::Ask(ask) => ask,
            };
            let left = end.saturating_duration_since(Instant::now());
            let answer = transport.exchange(&self.base, &self.credential, &ask, left).await;
            self.note(&answer);
            heard.push(answer);
        }
        match self.next(instruction, &heard) {
            Next::Done(outcome) => outcome,
            Next::Ask(_) => unknown("list_too_long", format!("not found on {ASKS_MAX} pages")),
        }
    }

    /// Reads the PSP's own list of refunds between two times, in milliseconds. Each page has its own
    /// `deadline`.
    pub(crate) async fn list(
        &self,
        transport: &Transport,
        since_until_ms: (i64, i64),
        deadline: Duration,
    ) -> Listing {
        let busy = |code: &str| Listing::Failed(fault(code, "it is left alone for now"));
        if self.held_back().is_some() {
            return busy("breaker_open");
        }
        let Some(_room) = self.room().await else {
            return busy("account_busy");
        };
        let mut heard = Vec::new();
        while heard.len() < ASKS_MAX {
            let ask = match self.kind.list(since_until_ms, &heard) {
                NextOfList::Done(listing) => return listing,
                NextOfList::Ask(ask) => ask,
            };
            let answer = transport.exchange(&self.base, &self.credential, &ask, deadline).await;
            self.note(&answer);
            heard.push(answer);
        }
        match self.kind.list(since_until_ms, &heard) {
            NextOfList::Done(listing) => listing,
            NextOfList::Ask(_) => Listing::Cut,
        }
    }

    fn next(&self, instruction: &Instruction, heard: &[Heard]) -> Next {
        match &self.psp {
            Psp::Stripe { sends_reason } => stripe::next(instruction, heard, *sends_reason),
            Psp::Adyen(shop) => adyen::next(instruction, heard, shop),
        }
    }

    /// The PSP refused its credential when it was last asked.
    pub(crate) fn is_refused(&self) -> bool {
        self.refusals.load(Ordering::Acquire) > 0
    }

    async fn room(&self) -> Option<SemaphorePermit<'_>> {
        if let Ok(permit) = self.room.try_acquire() {
            return Some(permit);
        }
        if self.waiting.fetch_add(1, Ordering::AcqRel) >= WAITING_PER_ACCOUNT_MAX {
            self.waiting.fetch_sub(1, Ordering::AcqRel);
            return None;
        }
        let permit = tokio::time::timeout(ROOM_WAIT_MAX, self.room.acquire()).await;
        self.waiting.fetch_sub(1, Ordering::AcqRel);
        permit.ok().and_then(Result::ok)
    }

    /// How long calls are still held back.
    fn held_back(&self) -> Option<Duration> {
        self.breaker().held_back(Instant::now())
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A credential that is refused again and again is somebody's mistake: people are told once.
    fn note_credential(&self, heard: &Heard) {
        let Heard::Answer(answer) = heard else {
            return;
        };
        if !matches!(answer.status, 401 | 403) {
            return self.refusals.store(0, Ordering::Release);
        }
        if self.refusals.fetch_add(1, Ordering::AcqRel) == REFUSALS_MAX - 1 {
            tracing::error!(
                merchant = %uuid_text(self.merchant.bits()),
                connector = %self.name,
                status = %answer.status,
                "the PSP refuses the account's credential; give it the new one with requite connector rotate"
            );
        }
    }

    fn note(&self, heard: &Heard) {
        self.note_credential(heard);
        let is_good = matches!(heard, Heard::Answer(answer) if answer.status < 500);
        if is_good {
            return self.breaker().good();
        }
        if let Some(pause) = self.breaker().bad(Instant::now()) {
            tracing::warn!(
                merchant = %uuid_text(self.merchant.bits()),
                connector = %self.name,
                pause_ms = %pause.as_millis(),
                "the account does not answer: calls are held back"
            );
        }
    }
}

/// The header that opens the account.
fn header(kind: Kind, key: &Secret) -> Option<(HeaderName, HeaderValue)> {
    let (name, text) = match kind {
        Kind::Stripe => (AUTHORIZATION, format!("Bearer {}", key.expose())),
        Kind::Adyen => (HeaderName::from_static("x-api-key"), key.expose().to_owned()),
    };
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some((name, value))
}

fn unreached(code: &str, text: &str, retry_after_ms: i64) -> Outcome {
    Outcome::Unreached { fault: fault(code, text), retry_after_ms }
}
