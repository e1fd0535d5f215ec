//! What PSPs told without being asked: each message once, from when it is taken in until it is done
//! with; and what people should see of it.
//!
//! A message is a row before the PSP is thanked, and is worked on from that row alone: after a crash it
//! is simply still there. It keeps what it tells as long as it waits, and the result afterwards.

use requite_core::id::{MerchantId, PaymentId, RefundId};
use requite_core::settle::Alarm;

use crate::read::ReadFault;
use crate::registry::RegistryFault;

/// Messages of one account that may wait at once. More are refused, and sent again by the PSP.
pub const WAITING_MAX: u32 = 10_000;
/// Messages that are forgotten at a time, once they have been done with for long.
pub const FORGOTTEN_MAX: u32 = 500;
/// Payments that are registered with one PSP id and are looked at.
pub const SAME_PAYMENT_MAX: u32 = 4;

/// An account by its ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountRef {
    pub merchant: MerchantId,
    pub account: u128,
}

/// Where a message stands. Numbers and words are for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageState {
    /// It will be worked on, again if need be.
    Waiting,
    /// What it told is on the books.
    Processed,
    /// It told nothing that changes a refund.
    Ignored,
    /// It cannot be right, or it waited too long: a person should look.
    Quarantined,
}

impl MessageState {
    pub const LISTED: [(MessageState, u8, &'static str); 4] = [
        (MessageState::Waiting, 1, "waiting"),
        (MessageState::Processed, 2, "processed"),
        (MessageState::Ignored, 3, "ignored"),
        (MessageState::Quarantined, 4, "quarantined"),
    ];

    pub fn number(self) -> u8 {
        MessageState::row(|(state, _, _)| *state == self).1
    }

    pub fn word(self) -> &'static str {
        MessageState::row(|(state, _, _)| *state == self).2
    }

    pub fn from_number(number: u8) -> Option<MessageState> {
        MessageState::LISTED.iter().find(|row| row.1 == number).map(|row| row.0)
    }

    pub fn from_word(word: &str) -> Option<MessageState> {
        MessageState::LISTED.iter().find(|row| row.2 == word).map(|row| row.0)
    }

    fn row(
        is_it: impl Fn(&&(MessageState, u8, &'static str)) -> bool,
    ) -> (MessageState, u8, &'static str) {
        *MessageState::LISTED.iter().find(is_it).expect("LISTED has every state")
    }
}

/// A message that was proven to come from its PSP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMessage {
    pub at: AccountRef,
    /// The PSP's own id, unique at the account.
    pub id: String,
    /// The PSP's own word for what it tells.
    pub word: String,
    /// Waiting with what it tells, or done with at once and why.
    pub told: Result<String, MessageEnd>,
    pub at_ms: i64,
}

/// How a message ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageEnd {
    /// Never [`MessageState::Waiting`].
    pub state: MessageState,
    /// In words, for people.
    pub result: String,
    pub refund: Option<RefundId>,
}

/// A message as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageView {
    pub at: AccountRef,
    pub id: String,
    pub word: String,
    pub state: MessageState,
    /// As long as it waits.
    pub notice: Option<String>,
    /// Of the newest try, or of the end.
    pub result: Option<String>,
    pub refund: Option<RefundId>,
    pub tries: u32,
    pub received_at_ms: i64,
    pub next_try_at_ms: Option<i64>,
    pub done_at_ms: Option<i64>,
}

/// Something about a refund that a person should see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlarmView {
    pub payment: PaymentId,
    pub refund: RefundId,
    pub alarm: Alarm,
    pub at_ms: i64,
}

/// An account whose own list of refunds is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sweep {
    pub at: AccountRef,
    /// Everything that was made before is known.
    pub since_ms: i64,
}

/// A page of a list, newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListPage {
    /// Rows up to this time only, it included.
    pub until_ms: Option<i64>,
    /// 1 to [`crate::read::PAGE_MAX`].
    pub limit: u32,
}

/// Blocking; call it off the async threads. Safe while several processes use the same store.
pub trait Inbox: Send + Sync {
    /// Takes in all or none. One that is there already stays as it is. False: its account has
    /// [`WAITING_MAX`] that wait; nothing was taken in.
    fn take_in(&self, messages: &[NewMessage]) -> Result<bool, RegistryFault>;

    /// Messages whose time has come, oldest first. They are this caller's until `until_ms`: then
    /// their time comes again.
    fn claim(
        &self,
        now_ms: i64,
        until_ms: i64,
        max: u32,
    ) -> Result<Vec<MessageView>, RegistryFault>;

    fn end(&self, message: &MessageView, end: &MessageEnd, at_ms: i64)
    -> Result<(), RegistryFault>;

    /// To be worked on again, and why.
    fn postpone(
        &self,
        message: &MessageView,
        why: &str,
        next_try_at_ms: i64,
    ) -> Result<(), RegistryFault>;

    /// Forgets messages that were done with before a time, at most [`FORGOTTEN_MAX`].
    fn forget(&self, before_ms: i64) -> Result<(), RegistryFault>;

    /// Is it this caller's turn to read the account's list? If so nobody else's until then (`now_until_ms`
    /// is both times). An account that was never read is read from `first_ms` on.
    fn claim_sweep(
        &self,
        at: AccountRef,
        first_ms: i64,
        now_until_ms: (i64, i64),
    ) -> Result<Option<Sweep>, RegistryFault>;

    /// Up to when an account's list has been read. `None`: never.
    fn swept_until(&self, at: AccountRef) -> Result<Option<i64>, RegistryFault>;

    /// The list was read to its end.
    fn end_sweep(&self, at: AccountRef, since_ms: i64) -> Result<(), RegistryFault>;

    /// Payments of a connector that are registered with any of these PSP ids, at most
    /// [`SAME_PAYMENT_MAX`].
    fn payments_at(
        &self,
        merchant: MerchantId,
        connector: &str,
        psp_payments: &[String],
    ) -> Result<Vec<PaymentId>, ReadFault>;

    /// A merchant's messages; `only`: those in this state.
    fn messages(
        &self,
        merchant: MerchantId,
        only: Option<MessageState>,
        page: &ListPage,
    ) -> Result<Vec<MessageView>, ReadFault>;

    /// A merchant's alarms.
    fn alarms(&self, merchant: MerchantId, page: &ListPage) -> Result<Vec<AlarmView>, ReadFault>;
}
