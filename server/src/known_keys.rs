//! Credentials that were looked up a moment ago, so that a shop which asks a thousand times a second is
//! looked up once a second (decision B34).
//!
//! Invariants:
//! - Whatever this server writes to the registry ends all of it at once: a credential that is revoked here
//!   is worth nothing from then on, also where a look-up was under way meanwhile.
//! - What another process writes counts after [`AGE_MAX`].
//! - Only what was found is kept, under the hash that the store has: no secret, and no room for guesses.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use requite_engine::read::KeyView;

/// How old a look-up may be.
const AGE_MAX: Duration = Duration::from_secs(1);
/// Credentials that are kept at once. Beyond it all are forgotten.
const KEPT_MAX: usize = 4_096;

#[derive(Debug, Default)]
pub(crate) struct KnownKeys(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    by_lookup: HashMap<[u8; 32], (Instant, Vec<KeyView>)>,
    /// How often all was forgotten.
    changes: u64,
}

impl KnownKeys {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn find(&self, lookup: &[u8; 32]) -> Option<Vec<KeyView>> {
        let known = self.known();
        let (since, keys) = known.by_lookup.get(lookup)?;
        (since.elapsed() < AGE_MAX).then(|| keys.clone())
    }

    /// To be asked before a look-up, and handed to [`KnownKeys::learn`] after it.
    pub(crate) fn changes(&self) -> u64 {
        self.known().changes
    }

    /// Keeps what a look-up found, unless something was written since `before`.
    pub(crate) fn learn(&self, lookup: [u8; 32], keys: &[KeyView], before: u64) {
        let mut known = self.known();
        if keys.is_empty() || known.changes != before {
            return;
        }
        if known.by_lookup.len() >= KEPT_MAX {
            known.by_lookup.clear();
        }
        known.by_lookup.insert(lookup, (Instant::now(), keys.to_vec()));
    }

    pub(crate) fn forget(&self) {
        let mut known = self.known();
        known.by_lookup.clear();
        known.changes = known.changes.wrapping_add(1);
    }
}

#[cfg(test)]
mod tests {
    use requite_core::id::{KeyId, MerchantId};
    use requite_engine::read::KeyNote;

    use super::*;

    const LOOKUP: [u8; 32] = [7; 32];

    fn key() -> KeyView {
        KeyView {
            id: KeyId::new(1),
            merchant: MerchantId::new(1),
            face: "native".to_owned(),
            scopes: None,
            public_key: None,
            about: KeyNote::default(),
            created_at_ms: 0,
            revoked_at_ms: None,
            revoked_by: None,
        }
    }

    #[test]
    fn a_look_up_is_known_until_something_is_written() {
        let keys = KnownKeys::default();
        assert_eq!(keys.find(&LOOKUP), None);
        keys.learn(LOOKUP, &[key()], keys.changes());
        assert_eq!(keys.find(&LOOKUP), Some(vec![key()]));
        assert_eq!(keys.find(&[8; 32]), None);
        keys.forget();
        assert_eq!(keys.find(&LOOKUP), None);
    }

    #[test]
    fn what_was_not_found_is_not_known() {
        let keys = KnownKeys::default();
        keys.learn(LOOKUP, &[], keys.changes());
        assert_eq!(keys.find(&LOOKUP), None);
    }

    #[test]
    fn what_was_read_before_a_write_is_not_learnt_after_it() {
        let keys = KnownKeys::default();
        let before = keys.changes();
        keys.forget();
        keys.learn(LOOKUP, &[key()], before);
        assert_eq!(keys.find(&LOOKUP), None);
    }
}
