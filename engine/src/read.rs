//! What faces, console and people are shown: views of payments and refunds, read on connections
//! that never wait for the lane.
//!
//! A payment can be read **as of** one of its events: replayed answers are rendered that way, so
//! that they equal the first answer byte for byte.

use requite_core::currency::Currency;
use requite_core::id::{
    CaptureId, KeyId, LegId, MerchantId, PaymentId, PersonId, ReasonId, RefundId,
};
use requite_core::money::Minor;
use requite_core::payment::LegKind;
use requite_core::refund::{Fault, Status};
use requite_core::schedule;

use crate::command::RefundRef;
use crate::order::OrderRefund;
use crate::outbox::{Backlog, Delivery, EndpointView};

mod history;

pub use history::{AccountsView, EventView, HistoryPage, Journal, JournalView};

/// The most rows one page holds.
pub const PAGE_MAX: u32 = 1_000;

/// A payment as it is, or was after a given event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentView {
    pub merchant: MerchantId,
    pub id: PaymentId,
    pub currency: Currency,
    /// The payment method first, then gift cards.
    pub legs: Vec<LegView>,
    /// Oldest first, every status.
    pub refunds: Vec<RefundView>,
    pub connector: String,
    pub connector_payment: Option<String>,
    pub external_identifier: Option<String>,
    pub order: Option<String>,
    pub customer: Option<String>,
    pub description: Option<String>,
    pub aliases: Vec<String>,
    /// As the registering face wrote it.
    pub profile: String,
    /// JSON object text that came in place of the profile's own `metadata`.
    pub metadata: Option<String>,
    /// The PSP declined the payment itself: nothing of it could ever be taken.
    pub decline: Option<Fault>,
    /// Registration, captures, voids and extensions as they happened, declined ones included.
    pub operations: Vec<OperationView>,
    pub created_at_ms: i64,
    /// Time of the newest event.
    pub updated_at_ms: i64,
    pub cancelled_at_ms: Option<i64>,
    /// Number of the newest event.
    pub seq: u32,
}

/// A refund, and what an answer that tells of it says of its payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefundOfPayment {
    pub refund: RefundView,
    /// The payment's own, as of the same event.
    pub external_identifier: Option<String>,
    pub order: Option<String>,
}

impl RefundOfPayment {
    /// What the view of its payment says of a refund.
    pub fn of(payment: &PaymentView, refund: &RefundView) -> RefundOfPayment {
        RefundOfPayment {
            refund: refund.clone(),
            external_identifier: payment.external_identifier.clone(),
            order: payment.order.clone(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegView {
    pub id: LegId,
    pub kind: LegKind,
    /// What the instrument was authorised for.
    pub amount: Minor,
    /// Oldest first.
    pub captures: Vec<CaptureView>,
    /// Authorised money let go untaken, oldest first.
    pub releases: Vec<ReleaseView>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CaptureView {
    pub id: CaptureId,
    pub amount: Minor,
    /// Parts of succeeded refunds that this capture bears.
    pub refunded: Minor,
    pub at_ms: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReleaseView {
    pub id: u128,
    pub amount: Minor,
    pub at_ms: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationKind {
    Registration,
    Capture,
    Void,
    Extension,
}

impl OperationKind {
    /// For ever.
    pub fn number(self) -> u8 {
        match self {
            OperationKind::Registration => 1,
            OperationKind::Capture => 2,
            OperationKind::Void => 3,
            OperationKind::Extension => 4,
        }
    }

    pub fn from_number(number: u8) -> Option<OperationKind> {
        use OperationKind::{Capture, Extension, Registration, Void};
        [Registration, Capture, Void, Extension].into_iter().find(|kind| kind.number() == number)
    }
}

/// One thing that was done, or was to be done, with a payment besides refunds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationView {
    /// Number of the event that tells of it.
    pub seq: u32,
    pub kind: OperationKind,
    /// The payment's, capture's, void's or extension's id. What a final capture let go of has the
    /// capture's.
    pub id: u128,
    /// What was asked for, where it was declined.
    pub amount: Minor,
    /// The PSP said no: nothing moved.
    pub fault: Option<Fault>,
    pub actor: String,
    pub at_ms: i64,
    /// The face it came through; `None`: it was made elsewhere and written down here.
    pub face: Option<String>,
    /// A capture after which nothing more can be taken.
    pub is_final: bool,
    pub given_id: Option<u128>,
    pub external_identifier: Option<String>,
    /// Day since 1970 and counter of its card-message reference.
    pub reference: Option<(i64, u32)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefundView {
    pub merchant: MerchantId,
    pub id: RefundId,
    pub payment: PaymentId,
    pub leg: LegId,
    pub leg_kind: LegKind,
    pub currency: Currency,
    pub amount: Minor,
    pub status: Status,
    /// Name of the connector account that pays it.
    pub connector: String,
    pub psp_refund: Option<String>,
    pub fault: Option<Fault>,
    /// The face it came through.
    pub face: String,
    pub actor: String,
    pub reason_code: Option<String>,
    pub reason_text: Option<String>,
    pub reason: Option<ReasonView>,
    pub note: Option<String>,
    pub external_identifier: Option<String>,
    pub given_id: Option<u128>,
    pub key_text: Option<String>,
    /// JSON object text.
    pub metadata: Option<String>,
    /// Day since 1970 and counter of its card-message reference.
    pub reference: Option<(i64, u32)>,
    /// The payment's event that made it.
    pub asked_seq: u32,
    pub asked_at_ms: i64,
    /// When the first refund call was committed.
    pub sent_at_ms: Option<i64>,
    /// When its outcome was first unknown; it may have been settled since.
    pub unknown_at_ms: Option<i64>,
    /// When it reached its present closed status.
    pub settled_at_ms: Option<i64>,
    pub updated_at_ms: i64,
    pub next_action_at_ms: Option<i64>,
    /// Refund calls sent to the PSP; look-ups are not counted.
    pub sends: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReasonView {
    pub id: ReasonId,
    pub code: String,
    pub label: String,
    pub description: Option<String>,
    pub created_at_ms: i64,
    pub updated_at_ms: i64,
    pub deleted_at_ms: Option<i64>,
}

impl LegView {
    /// In minor units.
    pub fn captured(&self) -> i64 {
        total(self.captures.iter().map(|capture| capture.amount))
    }

    /// Authorised and let go untaken, in minor units.
    pub fn released(&self) -> i64 {
        total(self.releases.iter().map(|release| release.amount))
    }

    /// Let go by voids alone: without what final captures left over. Minor units.
    pub fn voided(&self) -> i64 {
        let is_rest = |id: u128| self.captures.iter().any(|capture| capture.id.bits() == id);
        let voids = self.releases.iter().filter(|release| !is_rest(release.id));
        total(voids.map(|release| release.amount))
    }
}

impl PaymentView {
    /// The payment method.
    pub fn primary(&self) -> &LegView {
        self.legs.first().expect("a payment has its payment method as first leg")
    }

    /// The operation that an event tells of.
    pub fn operation_at(&self, seq: u32) -> Option<&OperationView> {
        self.operations.iter().find(|operation| operation.seq == seq)
    }

    /// The capture, void or extension with this id.
    pub fn operation(&self, kind: OperationKind, id: u128) -> Option<&OperationView> {
        let mut operations = self.operations.iter();
        operations.find(|operation| operation.kind == kind && operation.id == id)
    }

    pub fn leg(&self, id: LegId) -> Option<&LegView> {
        self.legs.iter().find(|leg| leg.id == id)
    }

    pub fn refund(&self, id: RefundId) -> Option<&RefundView> {
        self.refunds.iter().find(|refund| refund.id == id)
    }

    /// Given back from a leg, proven, in minor units.
    pub fn refunded(&self, leg: LegId) -> i64 {
        self.sum(leg, |status| status == Status::Succeeded)
    }

    /// Given back from a leg or promised to an open refund, in minor units.
    pub fn refunded_or_open(&self, leg: LegId) -> i64 {
        self.sum(leg, Status::holds_money)
    }

    fn sum(&self, leg: LegId, counts: impl Fn(Status) -> bool) -> i64 {
        let counted = self.refunds.iter().filter(|r| r.leg == leg && counts(r.status));
        total(counted.map(|refund| refund.amount))
    }
}

fn total(amounts: impl Iterator<Item = Minor>) -> i64 {
    amounts.fold(0, |sum, amount| sum.saturating_add(amount.units()))
}

/// Which refunds to list. Every member narrows. Times: from inclusive, until exclusive; amounts
/// inclusive, in minor units.
#[derive(Clone, Debug, Default)]
pub struct RefundFilter {
    pub payment: Option<PaymentId>,
    /// The payment's customer, order and connector.
    pub customer: Option<String>,
    pub order: Option<String>,
    pub connector: Option<String>,
    /// Upper case; empty: every currency.
    pub currencies: Vec<String>,
    pub external_identifier: Option<String>,
    /// The id that the caller gave it.
    pub given_id: Option<u128>,
    /// Empty: every status.
    pub statuses: Vec<Status>,
    pub asked_from_ms: Option<i64>,
    pub asked_until_ms: Option<i64>,
    pub sent_from_ms: Option<i64>,
    pub sent_until_ms: Option<i64>,
    pub settled_from_ms: Option<i64>,
    pub settled_until_ms: Option<i64>,
    pub updated_from_ms: Option<i64>,
    pub updated_until_ms: Option<i64>,
    pub amount_from: Option<i64>,
    pub amount_until: Option<i64>,
    /// Only those that are a matter for people at this time: see [`RefundView::people_since_ms`].
    pub for_people_at_ms: Option<i64>,
    /// [`Sort::Id`] and [`Sort::Created`] are one here: refunds are asked for here alone.
    pub sort: Sort,
    /// Continue behind this refund, in the chosen order; with [`Sort::Updated`] also the time that the
    /// page before showed for it.
    pub after: Option<(RefundId, i64)>,
    pub newest_first: bool,
    /// 1 to [`PAGE_MAX`].
    pub limit: u32,
}

impl RefundView {
    /// Leaves out what only its events tell, before the first of them is read.
    pub(crate) fn forget(&mut self) {
        (self.sent_at_ms, self.unknown_at_ms, self.sends) = (None, None, 0);
    }

    /// What it is from one of its events on: status, PSP's id, fault and time are the event's.
    pub(crate) fn retell(
        &mut self,
        (status, psp_refund): (Status, Option<String>),
        fault: Option<Fault>,
        at_ms: i64,
    ) {
        self.status = status;
        self.psp_refund = psp_refund;
        self.fault = fault;
        self.updated_at_ms = at_ms;
        match status {
            // Each refund call is committed with an event of its own.
            Status::Dispatched => {
                self.sent_at_ms = self.sent_at_ms.or(Some(at_ms));
                self.sends = self.sends.saturating_add(1);
            }
            Status::Unknown => self.unknown_at_ms = self.unknown_at_ms.or(Some(at_ms)),
            _ => {}
        }
        self.next_action_at_ms = schedule::next_action_at(status, 0, at_ms);
        self.settled_at_ms = (!status.is_open()).then_some(at_ms);
    }

    /// Since when it is a matter for people, or from when on it will be: nobody but they can say, or do,
    /// what comes next. `None`: it is closed, or people decide it elsewhere.
    pub fn people_since_ms(&self) -> Option<i64> {
        let sent_at_ms = self.sent_at_ms.unwrap_or(self.asked_at_ms);
        match self.status {
            Status::Unknown => {
                let unknown_at_ms = self.unknown_at_ms.unwrap_or(self.asked_at_ms);
                Some(unknown_at_ms.saturating_add(schedule::PEOPLE_UNKNOWN))
            }
            Status::Pending => Some(sent_at_ms.saturating_add(schedule::PEOPLE_PENDING)),
            Status::RequiresAction => Some(self.updated_at_ms),
            Status::Requested | Status::Ready | Status::Dispatched => {
                Some(self.asked_at_ms.saturating_add(schedule::PEOPLE_UNSENT))
            }
            Status::AwaitingApproval
            | Status::Held
            | Status::Succeeded
            | Status::Declined
            | Status::Failed
            | Status::Voided
            | Status::Reversed => None,
        }
    }
}

/// How far a payment got, as to its payment method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The PSP said no.
    Declined,
    /// Nothing taken yet, nothing let go.
    Authorized,
    /// Something of it was taken.
    Captured,
    /// Nothing taken, something let go.
    Voided,
}

/// By what a list is ordered. Rows of one time are ordered by id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// By id, which is the order in which they came here.
    #[default]
    Id,
    /// By the time of their creation, which may have been elsewhere and long before.
    Created,
    /// By the time of their newest event.
    Updated,
}

/// Which payments to list. Every member narrows. Times: from inclusive, until exclusive; amounts
/// inclusive, in minor units, of the payment method.
#[derive(Clone, Debug, Default)]
pub struct PaymentFilter {
    /// Empty: every payment; at most [`PAGE_MAX`].
    pub ids: Vec<PaymentId>,
    pub external_identifier: Option<String>,
    pub order: Option<String>,
    pub customer: Option<String>,
    pub connector: Option<String>,
    pub connector_payment: Option<String>,
    /// Upper case; empty: every currency.
    pub currencies: Vec<String>,
    /// Empty: every stage.
    pub stages: Vec<Stage>,
    pub has_refunds: Option<bool>,
    pub has_gift_cards: Option<bool>,
    pub created_from_ms: Option<i64>,
    pub created_until_ms: Option<i64>,
    pub updated_from_ms: Option<i64>,
    pub updated_until_ms: Option<i64>,
    pub amount_from: Option<i64>,
    pub amount_until: Option<i64>,
    pub sort: Sort,
    pub newest_first: bool,
    /// Continue behind this payment, in the chosen order; unless that is [`Sort::Id`] also the
    /// time that the page before showed for it.
    pub after: Option<(PaymentId, i64)>,
    /// Payments to skip.
    pub offset: u32,
    /// 1 to [`PAGE_MAX`].
    pub limit: u32,
}

/// A merchant: the root of isolation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MerchantView {
    pub id: MerchantId,
    /// `^[a-zA-Z0-9-]{1,50}$`; its Gr4vy merchant account id.
    pub slug: String,
    pub name: String,
    /// What faces show and no rule reads, as written at creation (JSON object text).
    pub profile: String,
    pub created_at_ms: i64,
}

/// A credential, found by the hash of its secret (or of its public key's thumbprint).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyView {
    pub id: KeyId,
    pub merchant: MerchantId,
    /// `medusa-v1`, `medusa-v2`, `mpg`, `gr4vy`, `loop`, `native`.
    pub face: String,
    /// `None`: everything its face offers.
    pub scopes: Option<Vec<String>>,
    /// SEC1 uncompressed point, for faces whose clients sign.
    pub public_key: Option<Vec<u8>>,
    pub about: KeyNote,
    pub created_at_ms: i64,
    pub revoked_at_ms: Option<i64>,
    /// Who revoked it.
    pub revoked_by: Option<String>,
}

/// What people are told of a credential. A key made at the command line has nothing but its kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyNote {
    /// It opens nothing: anybody may know it (Medusa v2's `pk_...`).
    pub is_publishable: bool,
    pub title: Option<String>,
    /// The little of its secret that lists show.
    pub redacted: Option<String>,
    /// The actor who made it.
    pub created_by: Option<String>,
}

/// An amount that is asked for an order. No money is in it: what pays it is the payment with its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectionView {
    /// Also the id of the payment that pays it.
    pub id: PaymentId,
    pub order: String,
    pub currency: Currency,
    /// Above zero.
    pub amount: Minor,
    pub session: Option<CollectionSession>,
    pub created_at_ms: i64,
    pub updated_at_ms: i64,
    /// Somebody said that it is paid. Its payment is there, or is about to be.
    pub mark: Option<Mark>,
}

/// The provider that was chosen to pay a collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectionSession {
    pub provider: String,
    pub at_ms: i64,
}

/// Who marked a collection as paid, and when: the actor and the time of its payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    pub by: String,
    pub at_ms: i64,
}

/// What a keyed request that moves no money was answered. A repeat is answered the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptAnswer {
    /// As in [`crate::key::Key`].
    pub key_hash: [u8; 16],
    pub fingerprint: [u8; 16],
    /// The row it tells of.
    pub subject: u128,
    /// As sent, without secrets. `None`: the books tell it.
    pub body: Option<String>,
    pub at_ms: i64,
}

/// A merchant's account at a PSP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectorView {
    pub id: u128,
    pub merchant: MerchantId,
    /// What payments are registered with; unique per merchant.
    pub name: String,
    /// Which PSP: `stripe`.
    pub kind: String,
    /// `test` or `live`.
    pub mode: String,
    /// `None`: the PSP's own.
    pub base_url: Option<String>,
    /// The PSP is told the reason where it has a word for it.
    pub sends_reason: bool,
    /// What opens it, sealed by whoever wrote it.
    pub sealed: Vec<u8>,
    pub created_at_ms: i64,
    pub sealed_at_ms: i64,
}

/// A person who can log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonView {
    pub id: PersonId,
    pub merchant: MerchantId,
    pub email: String,
    /// PHC string.
    pub password_hash: String,
    pub created_at_ms: i64,
    pub updated_at_ms: i64,
}

/// A log-in that a cookie stands for, found by the hash of the cookie's secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionView {
    /// SHA-256 of the secret.
    pub lookup: [u8; 32],
    /// `medusa-v1`, `medusa-v2`: where it counts.
    pub face: String,
    pub merchant: MerchantId,
    pub person: PersonId,
    pub created_at_ms: i64,
    /// From then on it is worth nothing, also while its row is still there.
    pub expires_at_ms: i64,
}

/// The store could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadFault {
    #[error("the store could not be read: {0}")]
    Store(String),
    /// It has no room, or is away: later it may be read.
    #[error("the store cannot be read now: {0}")]
    Unavailable(String),
}

/// Reads, blocking; call them off the async threads.
pub trait Reads: Send + Sync {
    /// Do reads stay within this machine? Then one of a few rows is over before another thread could
    /// have been woken for it.
    fn is_near(&self) -> bool;

    /// `as_of`: as after this event; `None`: as it is.
    fn payment(
        &self,
        merchant: MerchantId,
        payment: PaymentId,
        as_of: Option<u32>,
    ) -> Result<Option<PaymentView>, ReadFault>;

    /// Payments as [`Reads::payment`] shows each as of its newest event. Unknown ones are left out.
    fn payments_as_told(
        &self,
        merchant: MerchantId,
        payments: &[PaymentId],
    ) -> Result<Vec<PaymentView>, ReadFault>;

    fn refund(
        &self,
        merchant: MerchantId,
        refund: RefundId,
    ) -> Result<Option<RefundView>, ReadFault>;

    /// One refund of a payment, as [`Reads::payment`] shows it among the others: what it costs does
    /// not grow with them.
    fn refund_as_of(
        &self,
        of: RefundRef,
        as_of: Option<u32>,
    ) -> Result<Option<RefundOfPayment>, ReadFault>;

    fn has_payment(&self, merchant: MerchantId, payment: PaymentId) -> Result<bool, ReadFault>;

    /// The payment that `text` names as alias or PSP id, when it names exactly one.
    fn payment_named(
        &self,
        merchant: MerchantId,
        text: &str,
    ) -> Result<Option<PaymentId>, ReadFault>;

    fn payments(
        &self,
        merchant: MerchantId,
        filter: &PaymentFilter,
    ) -> Result<Vec<PaymentView>, ReadFault>;

    /// How many payments the filter lets through, whatever its page.
    fn count_payments(
        &self,
        merchant: MerchantId,
        filter: &PaymentFilter,
    ) -> Result<u64, ReadFault>;

    fn refunds(
        &self,
        merchant: MerchantId,
        filter: &RefundFilter,
    ) -> Result<Vec<RefundView>, ReadFault>;

    /// A payment's events; none of an unknown one.
    fn events(
        &self,
        merchant: MerchantId,
        payment: PaymentId,
        page: &HistoryPage,
    ) -> Result<Vec<EventView>, ReadFault>;

    /// A payment's journal; empty of an unknown one.
    fn journal(
        &self,
        merchant: MerchantId,
        payment: PaymentId,
        page: &HistoryPage,
    ) -> Result<Journal, ReadFault>;

    fn merchant(&self, merchant: MerchantId) -> Result<Option<MerchantView>, ReadFault>;

    /// Every merchant, oldest first. For people at the command line, never for a face.
    fn merchants(&self) -> Result<Vec<MerchantView>, ReadFault>;

    /// A credential by the SHA-256 of its secret or thumbprint, revoked ones included.
    fn key(&self, lookup: &[u8; 32]) -> Result<Option<KeyView>, ReadFault>;

    /// As [`Reads::key`], for public keys, which may be registered with several merchants. By
    /// merchant, at most [`PAGE_MAX`].
    fn keys(&self, lookup: &[u8; 32]) -> Result<Vec<KeyView>, ReadFault>;

    /// A merchant's credential by its id, revoked ones included.
    fn key_named(&self, merchant: MerchantId, id: KeyId) -> Result<Option<KeyView>, ReadFault>;

    fn person(&self, merchant: MerchantId, id: PersonId) -> Result<Option<PersonView>, ReadFault>;

    /// Everyone with this e-mail address, over all merchants: a log-in names no merchant.
    fn people(&self, email: &str) -> Result<Vec<PersonView>, ReadFault>;

    /// The account that a merchant calls by this name.
    fn connector(
        &self,
        merchant: MerchantId,
        name: &str,
    ) -> Result<Option<ConnectorView>, ReadFault>;

    /// Every merchant's accounts. For start-up and for people at the command line, never for a face.
    fn connectors(&self) -> Result<Vec<ConnectorView>, ReadFault>;

    /// Where a merchant is told of what happens, oldest first.
    fn endpoints(&self, merchant: MerchantId) -> Result<Vec<EndpointView>, ReadFault>;

    /// Every merchant's endpoints with something to be told at `now_ms`. For whoever delivers.
    fn endpoints_due(&self, now_ms: i64) -> Result<Vec<EndpointView>, ReadFault>;

    /// What an endpoint is to be told at `now_ms`, longest due first, at most `max`.
    fn deliveries_due(
        &self,
        endpoint: u128,
        now_ms: i64,
        max: u32,
    ) -> Result<Vec<Delivery>, ReadFault>;

    fn backlog(&self, endpoint: u128) -> Result<Backlog, ReadFault>;

    /// A session by the SHA-256 of its secret, ended ones included.
    fn session(&self, lookup: &[u8; 32]) -> Result<Option<SessionView>, ReadFault>;

    /// The reasons a merchant keeps, deleted ones left out, oldest first.
    fn reasons(&self, merchant: MerchantId) -> Result<Vec<ReasonView>, ReadFault>;

    /// A reason, deleted ones left out.
    fn reason(&self, merchant: MerchantId, id: ReasonId) -> Result<Option<ReasonView>, ReadFault>;

    /// The payments that were registered with an order, oldest first, at most
    /// [`crate::order::ORDER_PAYMENTS_MAX`].
    fn payments_of_order(
        &self,
        merchant: MerchantId,
        order: &str,
    ) -> Result<Vec<PaymentView>, ReadFault>;

    fn order_refund(
        &self,
        merchant: MerchantId,
        refund: RefundId,
    ) -> Result<Option<OrderRefund>, ReadFault>;

    /// An order's refunds that were not refused, oldest first. To see whose every part is, read them
    /// after the payments: a plan is written before its parts.
    fn order_refunds(
        &self,
        merchant: MerchantId,
        order: &str,
    ) -> Result<Vec<OrderRefund>, ReadFault>;

    /// Why goods come back (Medusa v1), deleted ones left out, oldest first; `only`: that one alone.
    fn return_reasons(
        &self,
        merchant: MerchantId,
        only: Option<ReasonId>,
    ) -> Result<Vec<ReasonView>, ReadFault>;

    fn collection(
        &self,
        merchant: MerchantId,
        id: PaymentId,
    ) -> Result<Option<CollectionView>, ReadFault>;

    /// The currency of an order: that of the first payment that was registered with it. `None`: no
    /// payment was.
    fn order_currency(
        &self,
        merchant: MerchantId,
        order: &str,
    ) -> Result<Option<Currency>, ReadFault>;

    /// What was answered under a key, unless that was [`crate::key::KEY_LIFE_MS`] ago.
    fn kept_answer(
        &self,
        merchant: MerchantId,
        key_hash: &[u8; 16],
        now_ms: i64,
    ) -> Result<Option<KeptAnswer>, ReadFault>;

    /// A secret of this installation, made once when the store was created (the key that signs
    /// log-in tokens).
    fn secret(&self, name: &str) -> Result<Option<Vec<u8>>, ReadFault>;
}
