//! Who may ask, and what surrounds money without being money: merchants, credentials, people,
//! refund reasons. Written outside the lane; nothing here moves a cent.

use requite_core::id::{KeyId, MerchantId, ReasonId};

use crate::read::{MerchantView, PersonView, ReasonView, SessionView};

/// Sessions of one person. The oldest makes way for one more.
pub const SESSIONS_MAX: u32 = 64;
/// Sessions that have ended, deleted when one is opened. At least two, or they would pile up.
pub const EXPIRED_SESSIONS_MAX: u32 = 64;

/// A credential to keep. Its secret is not in it: only hashes are stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKey {
    pub id: KeyId,
    pub merchant: MerchantId,
    pub face: String,
    /// `None`: everything its face offers.
    pub scopes: Option<Vec<String>>,
    /// SHA-256 of the secret, or of each spelling of the public key's thumbprint.
    pub lookups: Vec<[u8; 32]>,
    pub public_key: Option<Vec<u8>>,
    pub at_ms: i64,
}

#[derive(Debug, thiserror::Error)]
pub enum RegistryFault {
    /// An id, slug, e-mail or credential that is taken. Says which.
    #[error("{0} is taken")]
    Taken(String),
    #[error("no such merchant")]
    MerchantUnknown,
    #[error("the store failed: {0}")]
    Store(String),
}

/// Writes, blocking. Safe while a server has the same store open.
pub trait Registry: Send + Sync {
    /// Also gives the merchant its first refund reasons.
    fn create_merchant(
        &self,
        merchant: &MerchantView,
        reasons: &[ReasonView],
    ) -> Result<(), RegistryFault>;
    fn create_key(&self, key: &NewKey) -> Result<(), RegistryFault>;
    fn create_person(&self, person: &PersonView) -> Result<(), RegistryFault>;
    /// Also deletes up to [`EXPIRED_SESSIONS_MAX`] sessions that ended before this one begins, and
    /// its person's oldest beyond [`SESSIONS_MAX`].
    fn open_session(&self, session: &SessionView) -> Result<(), RegistryFault>;
    /// Ends a session now. An unknown one is as good as ended.
    fn close_session(&self, lookup: &[u8; 32]) -> Result<(), RegistryFault>;
    /// Creates it, or replaces the one with its id.
    fn put_reason(&self, merchant: MerchantId, reason: &ReasonView) -> Result<(), RegistryFault>;
    fn delete_reason(
        &self,
        merchant: MerchantId,
        reason: ReasonId,
        at_ms: i64,
    ) -> Result<(), RegistryFault>;
    /// Keeps a secret under a name unless there is one; returns the one that is kept.
    fn keep_secret(&self, name: &str, secret: &[u8]) -> Result<Vec<u8>, RegistryFault>;
}
