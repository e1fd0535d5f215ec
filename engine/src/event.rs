//! What happened to a payment, in order: numbered without gaps and chained by hashes.
//!
//! A payment's state is the fold of its events; the rows beside them are kept for speed, and
//! [`crate::audit`] compares the two.

use requite_core::id::{MerchantId, PaymentId};
use requite_core::money::Minor;
use requite_core::refund::{Fault, Status};

/// What an event is about. Numbers are for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Registered,
    Captured,
    /// Authorised money was let go untaken.
    Released,
    /// A refund was accepted or changed its status.
    Refund,
    /// Authorised money is held longer. Moves nothing.
    Extended,
    /// The PSP said no to a capture, void or extension. Moves nothing.
    Declined,
    /// The payment got another name or other metadata. Moves nothing.
    Amended,
    /// A person said what became of a refund. Its fault has the outcome they named and the evidence they
    /// gave; what that moves is the refund's next event.
    Resolved,
    /// Somebody asked the PSP to cancel a refund. What comes of it is the refund's next event, if any.
    CancelAsked,
}

const KINDS: [Kind; 9] = [
    Kind::Registered,
    Kind::Captured,
    Kind::Released,
    Kind::Refund,
    Kind::Extended,
    Kind::Declined,
    Kind::Amended,
    Kind::Resolved,
    Kind::CancelAsked,
];

impl Kind {
    pub fn number(self) -> u8 {
        match self {
            Kind::Registered => 1,
            Kind::Captured => 2,
            Kind::Released => 3,
            Kind::Refund => 4,
            Kind::Extended => 5,
            Kind::Declined => 6,
            Kind::Amended => 7,
            Kind::Resolved => 8,
            Kind::CancelAsked => 9,
        }
    }

    pub fn from_number(number: u8) -> Option<Kind> {
        KINDS.into_iter().find(|kind| kind.number() == number)
    }
}

/// One event of a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub merchant: MerchantId,
    pub payment: PaymentId,
    /// From 1, without gaps.
    pub seq: u32,
    pub kind: Kind,
    /// The id of what it is about: payment, capture, void, extension or refund.
    pub subject: u128,
    pub amount: Minor,
    /// A refund's status from here on.
    pub status: Option<Status>,
    pub psp_refund: Option<String>,
    pub fault: Option<Fault>,
    pub actor: String,
    pub at_ms: i64,
    /// SHA-256 over the hash before and every field above.
    pub hash: [u8; 32],
}

impl Event {
    /// Whose history it is part of: a refund's, or else the payment's own.
    pub fn about(&self) -> u128 {
        match self.kind {
            Kind::Refund | Kind::Resolved | Kind::CancelAsked => self.subject,
            Kind::Registered
            | Kind::Captured
            | Kind::Released
            | Kind::Extended
            | Kind::Declined
            | Kind::Amended => self.payment.bits(),
        }
    }

    /// What it is about, where [`Event::about`] does not say it.
    pub(crate) fn part(&self) -> Option<u128> {
        Some(self.subject).filter(|subject| *subject != self.about())
    }

    /// The hash this event must have after `before`. The bytes are written by hand and for ever.
    pub fn hash_after(&self, before: &[u8; 32]) -> [u8; 32] {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend_from_slice(before);
        bytes.extend_from_slice(&self.merchant.bits().to_be_bytes());
        bytes.extend_from_slice(&self.payment.bits().to_be_bytes());
        bytes.extend_from_slice(&self.seq.to_be_bytes());
        bytes.push(self.kind.number());
        bytes.extend_from_slice(&self.subject.to_be_bytes());
        bytes.extend_from_slice(&self.amount.units().to_be_bytes());
        bytes.push(self.status.map_or(0, Status::number));
        let fault = self.fault.as_ref();
        text(&mut bytes, self.psp_refund.as_deref());
        text(&mut bytes, fault.map(|fault| fault.code.as_str()));
        text(&mut bytes, fault.map(|fault| fault.text.as_str()));
        text(&mut bytes, Some(&self.actor));
        bytes.extend_from_slice(&self.at_ms.to_be_bytes());
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &bytes);
        digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
    }
}

fn text(bytes: &mut Vec<u8>, text: Option<&str>) {
    let length = text.map_or(u32::MAX, |text| u32::try_from(text.len()).unwrap_or(u32::MAX - 1));
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(text.unwrap_or("").as_bytes());
}
