//! What merchants are told without asking: where to, and how far each payment's events have got.
//!
//! The events of a payment are what there is to tell. A payment with events that an endpoint has not
//! confirmed has one row for that endpoint, a [`Delivery`]: from which event, up to which. The lane puts
//! it there in the transaction of the events themselves, so none is lost, and only for merchants who have
//! an endpoint. Events of one payment are told one after another; what is told twice has the same id.
//!
//! Whoever delivers notes how far it got ([`Progress`]). A row goes when its newest event was confirmed,
//! and only if none came meanwhile.

use requite_core::id::{MerchantId, PaymentId};

use crate::read::KeptAnswer;
use crate::registry::RegistryFault;

/// Endpoints of one merchant.
pub const ENDPOINTS_MAX: u32 = 20;

/// Where a merchant wants to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointView {
    pub merchant: MerchantId,
    pub id: u128,
    /// The face in whose words events are told.
    pub dialect: String,
    pub url: String,
    /// Otherwise nothing is told, and events that happen meanwhile wait for nobody.
    pub is_active: bool,
    /// The secret that signs, sealed.
    pub sealed: Vec<u8>,
    /// The secret before it, which signs as well until then.
    pub sealed_before: Option<(Vec<u8>, i64)>,
    pub created_at_ms: i64,
    pub updated_at_ms: i64,
}

/// How many payments' events an endpoint has not confirmed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Being told, or to be tried again.
    pub waiting: u32,
    /// Given up: they wait for [`Outbox::resend`].
    pub dead: u32,
}

/// One payment's events that an endpoint has not confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub endpoint: u128,
    pub merchant: MerchantId,
    pub payment: PaymentId,
    /// The oldest event that was not confirmed.
    pub next_seq: u32,
    /// The newest event.
    pub last_seq: u32,
    /// Tries of the oldest one that failed.
    pub failures: u32,
    /// When the first of them failed.
    pub failing_since_ms: Option<i64>,
    /// Since when it is due, as it was read.
    pub due_at_ms: i64,
}

/// How far a delivery got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    pub endpoint: u128,
    pub payment: PaymentId,
    /// All events before this one were confirmed.
    pub next_seq: u32,
    pub failures: u32,
    pub failing_since_ms: Option<i64>,
    /// `None`: given up.
    pub next_try_at_ms: Option<i64>,
    /// What went wrong, for people.
    pub problem: Option<String>,
}

/// Writes, blocking.
pub trait Outbox {
    fn create_endpoint(
        &self,
        endpoint: &EndpointView,
        answer: Option<&KeptAnswer>,
    ) -> Result<(), RegistryFault>;

    /// Changes its URL and whether it is told anything. False: there is no such endpoint.
    fn change_endpoint(&self, endpoint: &EndpointView) -> Result<bool, RegistryFault>;

    /// Puts another secret in place of the one that was read with `before`, which signs as well until
    /// `until_ms`. False: there is no such endpoint, or it got another secret meanwhile.
    fn rotate_endpoint(
        &self,
        before: &EndpointView,
        sealed: &[u8],
        until_ms: i64,
        answer: Option<&KeptAnswer>,
    ) -> Result<bool, RegistryFault>;

    /// With everything that it was still to be told. False: there is no such endpoint.
    fn delete_endpoint(&self, merchant: MerchantId, endpoint: u128) -> Result<bool, RegistryFault>;

    /// Tries everything that waits at once, given up or not. How many payments that is.
    fn resend(
        &self,
        merchant: MerchantId,
        endpoint: u128,
        now_ms: i64,
    ) -> Result<u64, RegistryFault>;

    /// Those of `due` that are this node's until then: a payment's events are told to an endpoint by one
    /// node at a time, and what a dead one had claimed is due again at `until_ms`. What another node has
    /// claimed, or moved on, since it was read is left out. Where one server has the store for itself
    /// nothing is written, and all of it is its own.
    fn claim_deliveries(
        &self,
        due: &[Delivery],
        until_ms: i64,
    ) -> Result<Vec<Delivery>, RegistryFault>;

    /// Notes how far deliveries got, all of it or nothing.
    fn note_progress(&self, progress: &[Progress]) -> Result<(), RegistryFault>;
}
