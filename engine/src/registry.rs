//! Who may ask, and what surrounds money without being money: merchants, credentials, people,
//! refund reasons, payment collections. Written outside the lane; nothing here moves a cent.
//!
//! A write that a keyed request asks for takes the answer along: both are kept, or neither, and a key
//! that was answered already is [`RegistryFault::Answered`]. So two requests with one key, at once or
//! one after the other, write once.

use requite_core::id::{KeyId, MerchantId, PaymentId, ReasonId, RefundId};

use crate::order::OrderRefund;
use crate::outbox::Outbox;
use crate::read::{
    CollectionSession, CollectionView, ConnectorView, KeptAnswer, KeyNote, Mark, MerchantView,
    PersonView, ReasonView, SessionView,
};

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
    pub about: KeyNote,
    pub at_ms: i64,
}

#[derive(Debug, thiserror::Error)]
pub enum RegistryFault {
    /// An id, slug, e-mail or credential that is taken. Says which.
    #[error("{0} is taken")]
    Taken(String),
    #[error("no such merchant")]
    MerchantUnknown,
    /// The key has an answer: read it. Nothing was written.
    #[error("the idempotency key was answered meanwhile")]
    Answered,
    #[error("the store failed: {0}")]
    Store(String),
}

/// Writes, blocking. Safe while a server has the same store open.
pub trait Registry: Outbox + Send + Sync {
    /// Also gives the merchant its first refund reasons.
    fn create_merchant(
        &self,
        merchant: &MerchantView,
        reasons: &[ReasonView],
    ) -> Result<(), RegistryFault>;
    fn create_key(&self, key: &NewKey, answer: Option<&KeptAnswer>) -> Result<(), RegistryFault>;
    /// From `mark.at_ms` on it opens nothing. False: there is no such key that is not revoked.
    fn revoke_key(
        &self,
        merchant: MerchantId,
        key: KeyId,
        mark: &Mark,
        answer: Option<&KeptAnswer>,
    ) -> Result<bool, RegistryFault>;
    fn create_person(&self, person: &PersonView) -> Result<(), RegistryFault>;
    /// Also deletes up to [`EXPIRED_SESSIONS_MAX`] sessions that ended before this one begins, and
    /// its person's oldest beyond [`SESSIONS_MAX`].
    fn open_session(&self, session: &SessionView) -> Result<(), RegistryFault>;
    /// Ends a session now. An unknown one is as good as ended.
    fn close_session(&self, lookup: &[u8; 32]) -> Result<(), RegistryFault>;
    /// Creates it, or replaces the one with its id.
    fn put_reason(
        &self,
        merchant: MerchantId,
        reason: &ReasonView,
        answer: Option<&KeptAnswer>,
    ) -> Result<(), RegistryFault>;
    fn delete_reason(
        &self,
        merchant: MerchantId,
        reason: ReasonId,
        at_ms: i64,
    ) -> Result<(), RegistryFault>;
    /// Creates it, or replaces the one with its id. Its code is taken while another has it.
    fn put_return_reason(
        &self,
        merchant: MerchantId,
        reason: &ReasonView,
        answer: Option<&KeptAnswer>,
    ) -> Result<(), RegistryFault>;
    /// Writes down how a refund of an order is spread, before it is. `instead_of`: a plan of which
    /// nothing could be done; the key stands for this one now, unless it stands for a third already.
    fn plan_order_refund(
        &self,
        refund: &OrderRefund,
        answer: Option<&KeptAnswer>,
        instead_of: Option<RefundId>,
    ) -> Result<(), RegistryFault>;
    fn create_collection(
        &self,
        merchant: MerchantId,
        collection: &CollectionView,
        answer: Option<&KeptAnswer>,
    ) -> Result<(), RegistryFault>;
    /// Chooses a provider, in place of an earlier one. False: there is no such collection that is
    /// neither marked nor paid.
    fn open_collection_session(
        &self,
        merchant: MerchantId,
        collection: PaymentId,
        session: &CollectionSession,
        answer: Option<&KeptAnswer>,
    ) -> Result<bool, RegistryFault>;
    /// Writes down that it is about to be paid; from then on it cannot be deleted. The first mark
    /// stands: whoever finds one makes the payment that it speaks of. `None`: there is no such
    /// collection.
    fn mark_collection(
        &self,
        merchant: MerchantId,
        collection: PaymentId,
        mark: &Mark,
    ) -> Result<Option<CollectionView>, RegistryFault>;
    /// False: there is no such collection that is neither marked nor paid.
    fn delete_collection(
        &self,
        merchant: MerchantId,
        collection: PaymentId,
    ) -> Result<bool, RegistryFault>;
    /// Keeps the answer of a request that needed no write.
    fn keep_answer(&self, merchant: MerchantId, answer: &KeptAnswer) -> Result<(), RegistryFault>;
    fn create_connector(&self, account: &ConnectorView) -> Result<(), RegistryFault>;
    /// Puts another sealed credential in place of an account's. False: there is no such account.
    fn reseal_connector(
        &self,
        merchant: MerchantId,
        account: u128,
        sealed: &[u8],
        at_ms: i64,
    ) -> Result<bool, RegistryFault>;
    /// Keeps a secret under a name unless there is one; returns the one that is kept.
    fn keep_secret(&self, name: &str, secret: &[u8]) -> Result<Vec<u8>, RegistryFault>;
    /// This is a copy of a store: what was refunded since it was made is not in it.
    fn mark_restored(&self) -> Result<(), RegistryFault>;
    /// Since when a copy is served in a store's place, `now_ms` if it is from now on: then every account's
    /// list is to be read at once. `None`: it is no copy.
    fn restored_since(&self, now_ms: i64) -> Result<Option<i64>, RegistryFault>;
}
