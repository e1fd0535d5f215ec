//! What PSPs tell without being asked: webhooks, and the rows of their own lists of refunds.
//!
//! For each kind of PSP a pure function ([`Kind::hear`]): from a delivery, as it came, to the messages
//! in it, or to [`Forged`]. Nothing of a delivery is believed, nor even parsed, before its signature is
//! checked, unless the signature stands inside it; the check takes the same time whatever is wrong.
//!
//! A message says what it tells in one form for all PSPs ([`Notice`]). That form is what is kept of it:
//! a PSP's body is kept nowhere.
//!
//! To add a kind: a `hear` of its own, and an arm in each function here.

use hyper::HeaderMap;
use requite_core::currency::Currency;
use requite_core::id::RefundId;
use requite_core::money::Minor;
use requite_core::refund::Fault;
use requite_core::settle::Outcome;
use requite_engine::command::{Mark, Trust};

use super::account::Kind;
use super::exchange::{Ask, Heard};
use super::{adyen, stripe};
use crate::crypto::secret::Secret;

/// Most messages in one delivery. More are refused whole.
pub(crate) const MESSAGES_MAX: usize = 100;
/// Most secrets of an account that are valid at once: the new one and the one before it.
pub(crate) const HOOK_SECRETS_MAX: usize = 2;

/// A webhook as it came.
pub(crate) struct Delivery<'a> {
    pub headers: &'a HeaderMap,
    /// The bytes that were sent.
    pub body: &'a [u8],
    /// Any of them may have signed. Never empty texts.
    pub secrets: &'a [Secret],
    /// Of a PSP whose webhooks may speak of several accounts: which one is meant here.
    pub merchant_account: Option<&'a str>,
    /// Seconds since 1970.
    pub now_s: i64,
}

/// It was not sent by whoever knows the account's secret, or not lately. No more is said: whoever
/// guesses learns nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Forged;

/// One message of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// The PSP's own id of it, unique at the account: the second with it is a repeat.
    pub id: String,
    /// The PSP's own word for what it tells of (`refund.updated`).
    pub word: String,
    pub said: Said,
}

/// What a message tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Refund(Box<Notice>),
    /// Nothing that changes a refund.
    Nothing,
    /// It is signed, and cannot be understood: why.
    Unreadable(String),
}

/// What is told of one refund.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Notice {
    /// Says the PSP's id of the refund as well. Never `Unknown`, `NotSent`, `Unreached` or `Absent`.
    pub outcome: Outcome,
    pub mark: Mark,
    /// The PSP's ids of the payment: the payment is registered with one of them.
    pub payments: Vec<String>,
    /// Above zero, in minor units as ISO 4217 counts them.
    pub amount: Minor,
    pub currency: Currency,
    /// When the PSP says that it happened, in milliseconds; of two notices the later one stands. Only
    /// asked for where a notice is believed ([`Trust::Evidence`]).
    pub said_at_ms: Option<i64>,
}

/// What a PSP's own list says of the refunds between two times.
pub(crate) enum Listing {
    /// All of them.
    Whole(Vec<Said>),
    /// There are more than are read at once: shorter times have fewer.
    Cut,
    Failed(Fault),
}

/// What is to be done next for a list.
pub(crate) enum NextOfList {
    Ask(Ask),
    Done(Listing),
}

impl Kind {
    /// Whether the PSP lists its refunds.
    pub(crate) fn has_list(self) -> bool {
        match self {
            Kind::Stripe => true,
            Kind::Adyen => false,
        }
    }

    /// The next step of reading the list between two times, in milliseconds, as an [`Ask`] at a time.
    pub(crate) fn list(self, since_until_ms: (i64, i64), heard: &[Heard]) -> NextOfList {
        match self {
            Kind::Stripe => stripe::list::next(since_until_ms, heard),
            Kind::Adyen => NextOfList::Done(Listing::Whole(Vec::new())),
        }
    }

    /// What a delivery says, once it is proven to come from the PSP.
    pub(crate) fn hear(self, delivery: &Delivery<'_>) -> Result<Vec<Message>, Forged> {
        match self {
            Kind::Stripe => stripe::hook::hear(delivery),
            Kind::Adyen => adyen::hook::hear(delivery),
        }
    }

    /// Whether a notice of this PSP is itself the evidence, or only a reason to ask it.
    pub(crate) fn trust(self) -> Trust {
        match self {
            Kind::Stripe => Trust::LookUp,
            Kind::Adyen => Trust::Evidence,
        }
    }

    /// Whether a text can be a secret of its webhooks, as it is written by `requite connector hook`.
    pub(crate) fn takes_hook_secret(self, text: &str) -> bool {
        match self {
            Kind::Stripe => text.starts_with("whsec_") && text.len() > "whsec_".len(),
            Kind::Adyen => adyen::hook::is_key(text),
        }
    }

    /// The body of the answer that tells the PSP that its webhook was taken in.
    pub(crate) fn thanks(self) -> &'static str {
        match self {
            Kind::Stripe => "",
            Kind::Adyen => "[accepted]",
        }
    }
}

/// The refund of ours that a PSP's mark names: our id in its usual spelling.
pub(crate) fn marked(text: &str) -> Option<RefundId> {
    requite_core::id::parse_uuid(text).map(RefundId::new)
}
