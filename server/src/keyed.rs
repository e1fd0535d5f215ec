//! `Idempotency-Key` on requests that change something and move no money: reasons, collections, keys
//! (decision A4). Requests that move money have their keys in the engine.
//!
//! The answer is kept in the transaction of the change. So a key stands for one change and one answer,
//! also when two requests with it run at once or the power goes out; and what fails leaves it free.
//!
//! Start at [`Keyed::once`].

use axum::response::Response;
use requite_core::id::MerchantId;
use requite_engine::key::Key;
use requite_engine::read::{KeptAnswer, ReadFault};
use requite_engine::registry::RegistryFault;

use crate::desk::{Desk, replay_headers};

/// A request with its key, if it has one.
#[derive(Clone, Debug)]
pub(crate) struct Keyed {
    merchant: MerchantId,
    key: Option<Key>,
    at_ms: i64,
}

/// Why a keyed request is neither done nor answered as before.
#[derive(Debug)]
pub(crate) enum KeyFault {
    /// The key was used for something else.
    Reused,
    Read(ReadFault),
}

/// What became of a change.
pub(crate) enum Change {
    /// Made; the body to answer with.
    Made(String),
    /// Another request with the key has made it at the same time. Nothing was written.
    MadeBefore,
}

/// What to answer.
#[derive(Debug)]
pub(crate) enum Told {
    Now(String),
    /// As the first time.
    Again(KeptAnswer),
}

impl Keyed {
    pub(crate) fn new(merchant: MerchantId, key: Option<Key>, at_ms: i64) -> Keyed {
        Keyed { merchant, key, at_ms }
    }

    /// Runs `change`, unless the key was answered already. `change` passes [`Self::answer`] to what it
    /// writes, and [`confirmed`] turns the write's result into its own.
    pub(crate) async fn once<E: From<KeyFault>>(
        &self,
        desk: &Desk,
        change: impl AsyncFnOnce() -> Result<Change, E>,
    ) -> Result<Told, E> {
        if let Some(first) = self.earlier(desk).await? {
            return Ok(Told::Again(first));
        }
        match change().await? {
            Change::Made(body) => Ok(Told::Now(body)),
            Change::MadeBefore => {
                let first = self.earlier(desk).await?;
                let gone = || KeyFault::Read(ReadFault::Store("a kept answer is gone".to_owned()));
                Ok(Told::Again(first.ok_or_else(gone)?))
            }
        }
    }

    /// What was answered to this request before, if its key has an answer.
    pub(crate) async fn earlier(&self, desk: &Desk) -> Result<Option<KeptAnswer>, KeyFault> {
        let Some(key) = self.key else {
            return Ok(None);
        };
        let (merchant, now_ms) = (self.merchant, self.at_ms);
        let kept = desk.glance(move |reads| reads.kept_answer(merchant, &key.hash, now_ms)).await;
        match kept.map_err(KeyFault::Read)? {
            Some(kept) if kept.fingerprint != key.fingerprint => Err(KeyFault::Reused),
            kept => Ok(kept),
        }
    }

    /// The answer to keep with the change. `subject` is the row it tells of; `body` has no secret in it,
    /// and is `None` where the books tell it.
    pub(crate) fn answer(&self, subject: u128, body: Option<&str>) -> Option<KeptAnswer> {
        self.key.map(|key| KeptAnswer {
            key_hash: key.hash,
            fingerprint: key.fingerprint,
            subject,
            body: body.map(str::to_owned),
            at_ms: self.at_ms,
        })
    }
}

/// What a write returned; `Ok(None)` where another request with the key came first.
///
/// # Errors
/// `None`: the write panicked.
pub(crate) fn confirmed<T>(
    result: Option<Result<T, RegistryFault>>,
) -> Result<Option<T>, Option<RegistryFault>> {
    match result {
        Some(Ok(value)) => Ok(Some(value)),
        Some(Err(RegistryFault::Answered)) => Ok(None),
        Some(Err(fault)) => Err(Some(fault)),
        None => Err(None),
    }
}

/// Marks an answer as one that was given before.
pub(crate) fn replayed(mut response: Response) -> Response {
    response.headers_mut().extend(replay_headers(true));
    response
}
