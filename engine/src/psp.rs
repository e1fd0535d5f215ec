//! The whole way out: committed instructions to payment providers, and what comes back.

use requite_core::currency::Currency;
use requite_core::money::Minor;
use requite_core::refund::Fault;
use requite_core::schedule::DISPATCH_GRACE;
use requite_core::settle::Outcome;

use crate::command::{Booking, RefundRef};

/// What a call is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallKind {
    /// Make the refund.
    Send,
    /// Say what became of it.
    LookUp,
    /// Cancel it, which the PSP has and has not paid. Whatever comes of it, the answer is how it stands.
    Cancel,
}

/// A committed wish. It is on disk before anyone is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instruction {
    pub kind: CallKind,
    pub refund: RefundRef,
    /// The call's number on its refund, for the [`requite_core::settle::Finding`].
    pub attempt: u32,
    /// How many refund calls this payment's PSP had been sent before the one that this call makes
    /// or asks about.
    pub call_no: u32,
    pub amount: Minor,
    pub currency: Currency,
    /// Name of the connector account.
    pub connector: String,
    pub connector_payment: Option<String>,
    pub connector_settings: Option<String>,
    pub psp_refund: Option<String>,
    pub reason: Option<String>,
    /// How long ago the refund was accepted when this call was committed: at least the age of its key
    /// at the PSP. Negative when the clock was set back.
    pub age_ms: i64,
    /// When it was prepared, in milliseconds since 1970: its refund is looked up
    /// [`Connectors::over_after_ms`] later, by whichever node comes first.
    pub prepared_at_ms: i64,
}

impl Instruction {
    /// The key under which the PSP knows this refund: a function of the refund alone, for ever.
    pub fn psp_key(&self) -> String {
        format!("requite-{}", requite_core::id::uuid_text(self.refund.refund.bits()))
    }
}

/// Longest time from when a call was prepared until it begins. One that would begin later is not made.
pub const BEGIN_MAX_MS: i64 = 3_000;
/// How long a call is over before another node looks its refund up: what nodes may be mistaken about
/// the time, and what a request may still be on its way.
pub const MARGIN_MS: i64 = 1_000;

/// When a call is over that may take `deadline_ms` once it has begun, in milliseconds from when it was
/// prepared: it was answered, given up, or will never be made, whatever became of the process that was
/// to make it.
pub const fn over_after_ms(deadline_ms: i64) -> i64 {
    BEGIN_MAX_MS.saturating_add(deadline_ms).saturating_add(MARGIN_MS)
}

/// Called exactly once with what became of a call.
pub type OnOutcome = Box<dyn FnOnce(Outcome) + Send>;

/// Carries instructions to PSPs.
///
/// - It answers every call, within its own deadline; no answer in time is `Unknown`.
/// - `Failed` means proof that no money moved. A look-up that could not be made proves nothing and
///   is `Unknown`.
/// - It must not block: the lane's thread calls it.
pub trait Psp: Send + Sync {
    fn call(&self, instruction: Instruction, on_outcome: OnOutcome);
}

/// What the lane must know of connectors to decide without calling anyone. Pure: the same question
/// has the same answer for ever.
pub trait Connectors: Send {
    /// It needs no PSP: accepting a refund is its success.
    fn is_immediate(&self, connector: &str) -> bool;

    /// When a call is over, in milliseconds from when it was prepared ([`over_after_ms`]): until then
    /// its refund is nobody else's. At most [`DISPATCH_GRACE`].
    fn over_after_ms(&self) -> i64 {
        DISPATCH_GRACE
    }

    /// Does it turn down this booking (the sandbox's script; an account at a PSP, whose captures are made
    /// there)? Only captures, voids and extensions that the rules allow are asked about.
    fn decline(&self, asked: &BookingAsked<'_>) -> Option<Fault>;
}

/// A booking that the rules allow.
#[derive(Clone, Copy, Debug)]
pub struct BookingAsked<'a> {
    pub connector: &'a str,
    /// What the payment was registered with for it.
    pub settings: Option<&'a str>,
    pub booking: Booking,
    pub amount: Minor,
    /// The face it comes through.
    pub face: &'a str,
}

/// Connectors of which these are immediate, and which turn nothing down.
impl<const N: usize> Connectors for [&'static str; N] {
    fn is_immediate(&self, connector: &str) -> bool {
        self.contains(&connector)
    }

    fn decline(&self, _: &BookingAsked<'_>) -> Option<Fault> {
        None
    }
}
