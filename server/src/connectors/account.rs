//! A merchant's account at a PSP, opened: where it is, what opens it, and how it has been doing.
//!
//! Invariants:
//! - Every account has its own limit of calls and its own breaker: a PSP that hangs holds up nobody
//!   else.
//! - A call that an account has no room for, or that its breaker holds back, is proven not sent.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hyper::Uri;
use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue};
use requite_core::id::uuid_text;
use requite_core::settle::Outcome;
use requite_engine::psp::Instruction;
use requite_engine::read::ConnectorView;
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::exchange::{ASKS_MAX, Heard, Next, fault, unknown};
use super::stripe;
use super::transport::Transport;
use crate::crypto::seal::{SealingKey, Unopened};
use crate::crypto::secret::Secret;

/// Calls to one account under way at once.
pub(crate) const CALLS_PER_ACCOUNT_MAX: usize = 64;
/// Calls that wait for one of those to end. More are told that they were not sent.
const WAITING_PER_ACCOUNT_MAX: usize = 512;
/// How long a call waits for room.
const ROOM_WAIT_MAX: Duration = Duration::from_secs(2);
/// Calls in a row without an answer, after which the breaker opens.
const FAILURES_MAX: u32 = 5;
/// How long it stays open: twice as long each time, at most this.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Longest settings of an account, in bytes.
pub(crate) const SECRET_BYTES_MAX: usize = 4_096;

/// PSPs that accounts can be at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Stripe,
}

impl Kind {
    pub(crate) const LISTED: [(Kind, &'static str); 1] = [(Kind::Stripe, "stripe")];

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
        }
    }
}

/// What is sealed of an account.
#[derive(Deserialize, Serialize)]
pub(crate) struct Credential {
    pub key: String,
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
    #[error("its credential does not open: {0}")]
    Sealed(#[from] Unopened),
    #[error("its credential is not one that this program wrote")]
    Credential,
    #[error(
        "its credential is sealed, and this process has no sealing key; set REQUITE_SEALING_KEY"
    )]
    NoKey,
}

/// An opened account.
pub(crate) struct Account {
    kind: Kind,
    base: Uri,
    credential: (HeaderName, HeaderValue),
    sends_reason: bool,
    /// The sealed credential it was opened from: another one means that it was replaced.
    pub sealed: Vec<u8>,
    room: Semaphore,
    waiting: AtomicUsize,
    breaker: Mutex<Breaker>,
}

#[derive(Default)]
struct Breaker {
    failures: u32,
    /// Pauses so far without a good call in between.
    pauses: u32,
    open_until: Option<Instant>,
}

impl Account {
    pub(crate) fn open(
        view: &ConnectorView,
        key: Option<&SealingKey>,
    ) -> Result<Account, Unusable> {
        let kind =
            Kind::from_word(&view.kind).ok_or_else(|| Unusable::KindUnknown(view.kind.clone()))?;
        let key = key.ok_or(Unusable::NoKey)?;
        let secret = key.open(&view.sealed, &bound_to(view))?;
        let credential: Credential =
            serde_json::from_str(secret.expose()).map_err(|_| Unusable::Credential)?;
        let secret = Secret::new(credential.key);
        let mut header = HeaderValue::from_str(&format!("Bearer {}", secret.expose()))
            .map_err(|_| Unusable::Credential)?;
        header.set_sensitive(true);
        let url = view.base_url.as_deref().unwrap_or_else(|| kind.base_url());
        let base: Uri = url.parse().map_err(|_| Unusable::BaseUrl(url.to_owned()))?;
        Ok(Account {
            kind,
            base,
            credential: (AUTHORIZATION, header),
            sends_reason: view.sends_reason,
            sealed: view.sealed.clone(),
            room: Semaphore::new(CALLS_PER_ACCOUNT_MAX),
            waiting: AtomicUsize::new(0),
            breaker: Mutex::default(),
        })
    }

    /// Carries an instruction to its end. Answers within `deadline`, plus the wait for room.
    pub(crate) async fn call(
        &self,
        transport: &Transport,
        instruction: &Instruction,
        deadline: Duration,
    ) -> Outcome {
        if let Some(left) = self.held_back() {
            let ms = i64::try_from(left.as_millis()).unwrap_or(i64::MAX);
            return not_sent("breaker_open", "the account has not answered; it is left alone", ms);
        }
        let Some(_room) = self.room().await else {
            return not_sent("account_busy", "too many calls to the account are under way", 1_000);
        };
        let end = Instant::now() + deadline;
        let mut heard = Vec::new();
        while heard.len() < ASKS_MAX {
            let ask = match self.next(instruction, &heard) {
                Next::Done(outcome) => return outcome,
                Next::Ask(ask) => ask,
            };
            let left = end.saturating_duration_since(Instant::now());
            let answer = transport.exchange(&self.base, &self.credential, &ask, left).await;
            self.note(&answer, instruction);
            heard.push(answer);
        }
        match self.next(instruction, &heard) {
            Next::Done(outcome) => outcome,
            Next::Ask(_) => unknown("list_too_long", format!("not found on {ASKS_MAX} pages")),
        }
    }

    fn next(&self, instruction: &Instruction, heard: &[Heard]) -> Next {
        match self.kind {
            Kind::Stripe => stripe::next(instruction, heard, self.sends_reason),
        }
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

    /// How long calls are still held back. When the time is over one call goes first: the others wait
    /// for what becomes of it.
    fn held_back(&self) -> Option<Duration> {
        let mut breaker = self.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        let left = breaker.open_until?.saturating_duration_since(Instant::now());
        if left.is_zero() {
            breaker.open_until = Some(Instant::now() + pause(breaker.pauses));
            return None;
        }
        Some(left)
    }

    fn note(&self, heard: &Heard, instruction: &Instruction) {
        let is_good = matches!(heard, Heard::Answer(answer) if answer.status < 500);
        let mut breaker = self.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        if is_good {
            *breaker = Breaker::default();
            return;
        }
        breaker.failures = breaker.failures.saturating_add(1);
        if breaker.failures >= FAILURES_MAX {
            breaker.open_until = Some(Instant::now() + pause(breaker.pauses));
            breaker.pauses = breaker.pauses.saturating_add(1);
            breaker.failures = 0;
            tracing::warn!(
                merchant = %uuid_text(instruction.refund.merchant.bits()),
                connector = %instruction.connector,
                pause_ms = %pause(breaker.pauses.saturating_sub(1)).as_millis(),
                "the account does not answer: calls are held back"
            );
        }
    }
}

/// One second, then twice as long each time.
fn pause(pauses: u32) -> Duration {
    Duration::from_secs(1_u64.checked_shl(pauses).unwrap_or(u64::MAX)).min(PAUSE_MAX)
}

fn not_sent(code: &str, text: &str, retry_after_ms: i64) -> Outcome {
    Outcome::NotSent { fault: fault(code, text), retry_after_ms }
}
