//! The whole way in: every wish and every piece of news that can change a payment.
//!
//! Ids and times are drawn before a command is made, so a batch that is tried again decides the
//! same.

mod cards;

use std::sync::Arc;

use requite_core::cancel::NotCancellable;
use requite_core::currency::Currency;
use requite_core::decide::{Ask, BookingRefusal, Refusal};
use requite_core::id::{CaptureId, LegId, MerchantId, PaymentId, ReasonId, RefundId};
use requite_core::money::Minor;
use requite_core::refund::{Fault, Status};
use requite_core::settle::{Finding, Outcome};

use crate::key::Key;
use crate::read::RefundOfPayment;

/// A payment to put on the books. Texts are kept as given and shown unchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    pub merchant: MerchantId,
    pub payment: PaymentId,
    pub currency: Currency,
    pub primary: NewLeg,
    pub gift_cards: Vec<NewLeg>,
    /// Captures of the payment method, oldest first.
    pub captures: Vec<(CaptureId, Minor)>,
    /// Name of the connector account that pays its refunds.
    pub connector: String,
    /// The PSP's own id of the payment.
    pub connector_payment: Option<String>,
    /// What the connector needs to know besides (the sandbox's script).
    pub connector_settings: Option<String>,
    /// Unique per merchant when given: registering it twice is registering it once.
    pub external_identifier: Option<String>,
    pub order: Option<String>,
    pub customer: Option<String>,
    pub description: Option<String>,
    /// Other texts that name this payment.
    pub aliases: Vec<String>,
    /// Everything a face shows and no rule reads, as the faces wrote it.
    pub profile: String,
    /// Equal for registrations that mean the same.
    pub fingerprint: [u8; 16],
    pub created_at_ms: i64,
    pub cancelled_at_ms: Option<i64>,
    /// The PSP declined it: it is kept and shown, and there is nothing to capture. Not together with
    /// captures.
    pub decline: Option<Fault>,
    /// `None`: written down here, made elsewhere.
    pub trace: Option<Trace>,
    pub keys: Vec<Key>,
    pub actor: String,
    pub at_ms: i64,
}

impl Registration {
    /// May this registration be made? To be asked by whoever builds one: captures above zero and
    /// together at most the amount, gift cards above zero with ids of their own, numbers within
    /// limits. An amount of zero (a card check) has no captures.
    pub fn is_sound(&self) -> bool {
        crate::lane::batch::register::is_sound(self)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewLeg {
    pub id: LegId,
    pub amount: Minor,
}

/// What became of a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registered {
    Created(PaymentId),
    /// The same registration was there already.
    Present(PaymentId),
    /// The external identifier, or the id, belongs to a payment that differs.
    Differs(PaymentId),
}

/// How a request to refund names a reason that the merchant keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    None,
    Kept(ReasonId),
    /// Named, and no id of ours.
    Unknown,
}

/// In place of a face: the refund was made at the PSP itself.
pub const EXTERNAL: &str = "external";

/// Everything about a refund that no rule reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Details {
    /// The face it came through; [`EXTERNAL`]: none.
    pub face: String,
    /// Who asked, after access has checked them: `user_...`, a key's id.
    pub actor: String,
    /// One of a dialect's fixed words (Medusa v1: `return`).
    pub reason_code: Option<String>,
    /// Free text (Gr4vy, Loop).
    pub reason_text: Option<String>,
    pub reason: Reason,
    pub note: Option<String>,
    pub external_identifier: Option<String>,
    /// The id the caller gave it (Moyasar's `transaction_id`), shown in that face alone.
    pub given_id: Option<u128>,
    /// The caller's own idempotency key as sent. One dialect shows it again, and two requests with
    /// different ones are never taken for one.
    pub key_text: Option<String>,
    /// JSON object text (Gr4vy's `metadata`): kept, and read by no rule.
    pub metadata: Option<String>,
    /// Draw a card-message reference number (Moyasar): one counter a day per merchant.
    pub wants_reference: bool,
}

/// When a refund is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// As soon as it is committed.
    Acceptance,
    /// When its first outcome is known, or [`Command::Expire`] says that this took too long.
    Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefundRequest {
    pub merchant: MerchantId,
    pub payment: PaymentId,
    pub ask: Ask,
    pub details: Details,
    /// At most two: what the caller sent, and what the face adds.
    pub keys: Vec<Key>,
    pub wait: Wait,
    /// False where the dialect has no word for "unknown" (Loop): such an answer is not final, and
    /// the same key gets the outcome once there is one.
    pub answers_unknown: bool,
}

/// Which refund of which payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RefundRef {
    pub merchant: MerchantId,
    pub payment: PaymentId,
    pub refund: RefundId,
}

/// What a dialect keeps of a registration, capture, void or extension besides its money.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// The face it came through.
    pub face: String,
    /// The id the caller gave it (Moyasar's `transaction_id`), shown in that face alone.
    pub given_id: Option<u128>,
    /// The caller's own name for it (Gr4vy's captures).
    pub external_identifier: Option<String>,
    /// Draw a card-message reference number (Moyasar): one counter a day per merchant.
    pub wants_reference: bool,
}

/// What may be done with an authorised payment method, besides giving back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Booking {
    /// Takes money. `is_final`: what is left over is let go at once.
    Capture { is_final: bool },
    /// Lets go of what was not taken.
    Void,
    /// Holds it longer. Moves nothing, whatever its amount.
    Extension,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BookingRequest {
    pub merchant: MerchantId,
    pub payment: PaymentId,
    pub booking: Booking,
    /// The new row's id: a capture's, a void's, an extension's.
    pub id: u128,
    /// Minor units; absent: all that may still be taken (a capture, a void), or zero (an extension).
    pub amount: Option<i64>,
    pub trace: Trace,
    /// At most two, as a refund's.
    pub keys: Vec<Key>,
    pub actor: String,
    pub at_ms: i64,
}

/// A payment's new name, or its new metadata. What it said at registration stays on the books.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Amendment {
    pub merchant: MerchantId,
    pub payment: PaymentId,
    /// `Some(None)`: it has none from now on. Its earlier names stay taken, so that registering it
    /// again under one of them still finds it.
    pub external_identifier: Option<Option<String>>,
    /// JSON object text, in place of all that was there.
    pub metadata: Option<String>,
    pub actor: String,
    pub at_ms: i64,
}

/// Whose a refund at a PSP says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// It has the key of this refund of ours.
    Ours(RefundId),
    /// It would have a key of ours if it were ours.
    NotOurs,
    /// What is told has no room for a key.
    Unstated,
}

/// What a notice is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// The PSP can be asked, and what it answers then is what counts.
    LookUp,
    /// The notice is the evidence.
    Evidence,
}

/// What a PSP told of a refund without being asked. Matched in this order: by the PSP's id of the
/// refund, by our key, and where it has no room for a key by the one open refund of its amount; what
/// is none of ours was made elsewhere, and comes on the books as a refund of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    pub merchant: MerchantId,
    pub payment: PaymentId,
    /// Name of the account that it came through: of another one's payments it says nothing.
    pub connector: String,
    pub mark: Mark,
    /// Above zero.
    pub amount: Minor,
    pub currency: Currency,
    /// Says the PSP's id of the refund as well. Never one that says nothing ([`Outcome::is_told`]).
    pub outcome: Outcome,
    /// When it happened, as the PSP says: what is older than the newest one believed changes nothing.
    pub said_at_ms: Option<i64>,
    pub trust: Trust,
    /// The id of a refund that was made elsewhere.
    pub fresh: RefundId,
    pub at_ms: i64,
}

/// What became of a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noticed {
    /// It brought something new, which is on the books now.
    Settled(RefundRef),
    /// Nothing new.
    Known(RefundRef),
    /// It was made elsewhere, and is on the books now as this refund.
    External(RefundRef),
    /// Made elsewhere, and nothing moved.
    MovedNothing,
    /// Not now: say it again later, and why.
    Later(Obstacle),
    /// It cannot be right; a person should look.
    Odd(Oddity),
}

/// Why a notice has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// A call about this refund is under way.
    CallUnderWay,
    /// The PSP was asked and did not answer.
    NoAnswer,
    /// It is not paid yet, and there is less left for it.
    DoesNotFit,
    /// It does not say whether it is one of ours, and one of this amount has no name at the PSP yet.
    Unnamed,
}

/// Why a notice cannot be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oddity {
    /// The payment is at another account.
    OtherAccount,
    /// Another currency than the payment's.
    OtherCurrency,
    /// Another amount than the refund's.
    OtherAmount,
    /// Nothing of the payment was captured here.
    NotCaptured,
    /// It says nothing of the refund.
    Untold,
}

/// What a person says became of a refund that nobody else can tell of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// The money was given back.
    Succeeded,
    /// The PSP or the bank said no.
    Declined,
    /// It is proven that no money moved.
    Failed,
    /// It was cancelled at the PSP.
    Voided,
}

impl Ruling {
    pub const LISTED: [(Ruling, &'static str); 4] = [
        (Ruling::Succeeded, "succeeded"),
        (Ruling::Declined, "declined"),
        (Ruling::Failed, "failed"),
        (Ruling::Voided, "voided"),
    ];

    pub fn word(self) -> &'static str {
        let listed = Ruling::LISTED.iter().find(|(ruling, _)| *ruling == self);
        listed.expect("LISTED has every ruling").1
    }

    pub fn from_word(word: &str) -> Option<Ruling> {
        Ruling::LISTED.iter().find(|(_, listed)| *listed == word).map(|(ruling, _)| *ruling)
    }
}

/// A person's word on a refund: only where nothing else decides it, never without evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolution {
    pub refund: RefundRef,
    pub ruling: Ruling,
    /// What they saw, and where. Never blank.
    pub evidence: String,
    /// The PSP's id of the refund, where they found one.
    pub psp_refund: Option<String>,
    pub keys: Vec<Key>,
    pub actor: String,
    pub at_ms: i64,
}

/// What became of a resolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// It is on the books, or was before.
    Done(Booked),
    /// The refund is not one that a person decides.
    NotForPeople(Status),
    /// A call about it is under way.
    CallUnderWay,
    /// The PSP's id of it is another one.
    OtherPspRefund,
    /// There is no evidence.
    NoEvidence,
}

/// A wish to have a refund cancelled at its PSP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cancellation {
    pub refund: RefundRef,
    /// The statuses in which its PSP cancels: what its connector can do.
    pub cancels: &'static [Status],
    pub keys: Vec<Key>,
    pub actor: String,
    pub at_ms: i64,
}

/// Why a PSP was not asked to cancel a refund. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotCancelled {
    NotCancellable(NotCancellable),
    /// A call about it is under way.
    CallUnderWay,
}

/// What the lane takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Register(Box<Registration>),
    Book(Box<BookingRequest>),
    Amend(Box<Amendment>),
    Refund(Box<RefundRequest>),
    /// The same, but where it would be refused for money that open refunds hold, nothing is decided:
    /// [`Reply::Doubtful`].
    Propose(Box<RefundRequest>),
    /// A request depends on what is unknown of this payment: that is looked up now, as far as it may be
    /// out of turn. Answered with what one of the look-ups finds, those under way included;
    /// [`Reply::Noted`]: there is none.
    Clarify {
        merchant: MerchantId,
        payment: PaymentId,
        at_ms: i64,
    },
    /// What became of a call to a PSP.
    Settle {
        refund: RefundRef,
        finding: Finding,
    },
    /// A refund's next action time has come. `is_restart`: whatever call was under way died with
    /// the process, so its outcome is not waited for.
    Wake {
        refund: RefundRef,
        at_ms: i64,
        is_restart: bool,
    },
    /// A PSP told of a refund without being asked.
    Notice(Box<Notice>),
    /// A person says what became of a refund.
    Resolve(Box<Resolution>),
    /// Have a refund cancelled at its PSP. Answered as a refund is, with how it stands once the PSP has
    /// said so: [`Reply::Refund`].
    Cancel(Box<Cancellation>),
    /// Whoever waits for this refund's outcome has waited long enough.
    Expire {
        refund: RefundRef,
    },
    /// Somebody waits here for this refund, and no call of this process is under way for it: another
    /// node may have settled it.
    Learn {
        refund: RefundRef,
    },
}

impl Command {
    /// The payment that it is about.
    pub fn payment(&self) -> (MerchantId, PaymentId) {
        match self {
            Command::Register(new) => (new.merchant, new.payment),
            Command::Book(request) => (request.merchant, request.payment),
            Command::Amend(request) => (request.merchant, request.payment),
            Command::Refund(request) | Command::Propose(request) => {
                (request.merchant, request.payment)
            }
            Command::Clarify { merchant, payment, .. } => (*merchant, *payment),
            Command::Notice(notice) => (notice.merchant, notice.payment),
            Command::Settle { refund, .. }
            | Command::Wake { refund, .. }
            | Command::Expire { refund }
            | Command::Learn { refund } => (refund.merchant, refund.payment),
            Command::Resolve(request) => (request.refund.merchant, request.refund.payment),
            Command::Cancel(request) => (request.refund.merchant, request.refund.payment),
        }
    }
}

impl Command {
    /// Whose payment it is about.
    pub fn merchant(&self) -> MerchantId {
        match self {
            Command::Register(new) => new.merchant,
            Command::Book(request) => request.merchant,
            Command::Amend(request) => request.merchant,
            Command::Refund(request) | Command::Propose(request) => request.merchant,
            Command::Clarify { merchant, .. } => *merchant,
            Command::Notice(notice) => notice.merchant,
            Command::Resolve(resolution) => resolution.refund.merchant,
            Command::Cancel(request) => request.refund.merchant,
            Command::Settle { refund, .. } | Command::Wake { refund, .. } => refund.merchant,
            Command::Expire { refund } | Command::Learn { refund } => refund.merchant,
        }
    }
}

/// What a command is answered with, after its commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Registered(RegisteredReply),
    /// A capture, void or extension was made or declined, or the payment was amended.
    Booked(Booked),
    /// The external identifier of an amendment belongs to another payment. Nothing was changed.
    NameTaken(PaymentId),
    Refund(RefundReply),
    /// The proposed refund would fit if money that open refunds hold came free. Nothing was decided.
    Doubtful,
    Noticed(Noticed),
    Resolved(Resolved),
    NotCancelled(NotCancelled),
    /// Nothing is to be told: news was taken in.
    Noted,
}

/// A registration that was made, now or before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegisteredReply {
    pub registered: Registered,
    /// Render the payment as it was after this event; `None`: as it is.
    pub as_of: Option<u32>,
    /// An earlier request with the same key made it.
    pub is_replay: bool,
}

/// Something that is on the books now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Booked {
    pub payment: PaymentId,
    /// The event that tells of it: see [`crate::read::PaymentView::operation_at`].
    pub seq: u32,
    /// Render the payment as it was after this event; `None`: as it is.
    pub as_of: Option<u32>,
    /// An earlier request with the same key made it.
    pub is_replay: bool,
}

/// A refund that was accepted, now or before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefundReply {
    pub refund: RefundRef,
    /// As of the answer.
    pub status: Status,
    /// Render the payment as it was after this event; `None`: as it is.
    pub as_of: Option<u32>,
    /// An earlier request with the same key made it.
    pub is_replay: bool,
    /// What [`crate::read::Reads::refund_as_of`] would find, where the lane holds all of it.
    pub shown: Option<Arc<RefundOfPayment>>,
}

/// Why a command was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// Unknown, or another merchant's: the same answer.
    #[error("no such payment")]
    PaymentUnknown,
    #[error("the refund is refused: {refusal:?}")]
    Refused { refusal: Refusal, is_replay: bool },
    #[error("the capture, void or extension is refused: {refusal:?}")]
    BookingRefused { refusal: BookingRefusal, is_replay: bool },
    /// The key was used for something else.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// The key's first request is still being answered.
    #[error("the first request with this idempotency key is still in progress")]
    KeyInProgress,
    /// The queue, or the number of calls under way, is at its limit. Nothing was done.
    #[error("overloaded: nothing was done, try again shortly")]
    Overloaded,
    /// The server is stopping. Nothing was done.
    #[error("stopping: nothing was done, try again shortly")]
    Stopping,
    /// The store has no room or is held by another process. Nothing was done.
    #[error("the store takes nothing now: nothing was done, try again shortly")]
    Unstored,
    /// The store was restored from a backup, and its PSP's list of refunds is not read yet. Nothing was done.
    #[error(
        "what was refunded since the backup is being read: nothing was done, try again shortly"
    )]
    Unreconciled,
    /// The store did not commit, or did not say whether it did.
    #[error("the store failed: {0}")]
    Store(String),
}

/// Called exactly once, after the commit. Dropping the receiver changes nothing.
pub type Answer = Box<dyn FnOnce(Result<Reply, CommandError>) + Send>;
