//! Accounts as webhooks find them: by their ids, with the secrets that may sign.
//!
//! They are read together, now and then; a delivery reads nothing, and a stranger who tries ids cannot
//! make the store read more than once a second.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use requite_engine::inbox::AccountRef;
use requite_engine::read::ConnectorView;
use tokio::sync::{Mutex, MutexGuard};

use crate::connectors::account::{Credential, Kind};
use crate::crypto::seal::SealingKey;
use crate::crypto::secret::Secret;
use crate::desk::Desk;

/// How old the list may be.
const AGE_MAX: Duration = Duration::from_secs(10);
/// How old it may be for an id that is not in it.
const UNKNOWN_AGE_MAX: Duration = Duration::from_secs(1);

/// One account's way in.
pub(crate) struct Door {
    pub at: AccountRef,
    /// What its payments are registered with.
    pub name: String,
    pub kind: Kind,
    pub created_at_ms: i64,
    /// Any of them may sign; none: nothing is taken in.
    pub secrets: Vec<Secret>,
    /// As the PSP calls it, where it does.
    pub merchant_account: Option<String>,
    sealed: Vec<u8>,
}

#[derive(Default)]
struct Known {
    read_at: Option<Instant>,
    doors: HashMap<u128, Arc<Door>>,
}

pub(crate) struct Doors {
    desk: Desk,
    key: Option<SealingKey>,
    known: Mutex<Known>,
}

impl Doors {
    pub(crate) fn new(desk: Desk, key: Option<SealingKey>) -> Doors {
        Doors { desk, key, known: Mutex::default() }
    }

    /// The account with this id, as it was within the last ten seconds.
    pub(super) async fn find(&self, id: u128) -> Option<Arc<Door>> {
        let known = self.known.lock().await;
        let age_max = if known.doors.contains_key(&id) { AGE_MAX } else { UNKNOWN_AGE_MAX };
        let known = self.fresh(known, age_max).await;
        known.doors.get(&id).cloned()
    }

    pub(super) async fn all(&self) -> Vec<Arc<Door>> {
        let known = self.known.lock().await;
        let known = self.fresh(known, AGE_MAX).await;
        known.doors.values().cloned().collect()
    }

    async fn fresh<'a>(
        &self,
        mut known: MutexGuard<'a, Known>,
        age_max: Duration,
    ) -> MutexGuard<'a, Known> {
        if known.read_at.is_some_and(|at| at.elapsed() < age_max) {
            return known;
        }
        known.read_at = Some(Instant::now());
        let views = match self.desk.read(|reads| reads.connectors()).await {
            Ok(views) => views,
            Err(fault) => {
                tracing::warn!(%fault, "accounts could not be read; the known ones stay");
                return known;
            }
        };
        let doors = views.iter().filter_map(|view| {
            let same = known.doors.get(&view.id).filter(|door| door.sealed == view.sealed);
            let door = same.cloned().or_else(|| self.open(view).map(Arc::new))?;
            Some((view.id, door))
        });
        known.doors = doors.collect();
        known
    }

    fn open(&self, view: &ConnectorView) -> Option<Door> {
        let credential = Credential::open(view, self.key.as_ref());
        let credential = credential.inspect_err(|fault| {
            tracing::error!(connector = %view.name, %fault, "an account cannot take webhooks");
        });
        let credential = credential.ok()?;
        Some(Door {
            at: AccountRef { merchant: view.merchant, account: view.id },
            name: view.name.clone(),
            kind: Kind::from_word(&view.kind)?,
            created_at_ms: view.created_at_ms,
            secrets: credential.hooks.into_iter().map(Secret::new).collect(),
            merchant_account: credential.merchant_account,
            sealed: view.sealed.clone(),
        })
    }
}
