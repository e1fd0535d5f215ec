//! What merchants are told without asking: signed messages to addresses of their own.
//!
//! - [`address`] says where messages may go, when an endpoint is saved and again when one is sent.
//! - [`endpoint`] makes, changes and shows endpoints for the faces that manage them.
//! - [`signature`] signs in either dialect; [`exit`] is the way out, with its limits.
//! - [`courier`] delivers: it takes what the lane has queued beside the events, and notes how far it got.
//!
//! Invariants: events of one payment arrive in their order, each until it was confirmed; what arrives twice
//! has the same id. A message is rendered by the face whose dialect the endpoint speaks, with the payment
//! as it was after the event.

pub(crate) mod address;
pub(crate) mod courier;
pub(crate) mod endpoint;
mod exit;
mod signature;

use requite_core::id::{MerchantId, PaymentId, uuid_text};
use requite_engine::event::Event;
use requite_engine::key::digest;
use requite_engine::read::PaymentView;

use crate::desk::Settings;

/// An event to be told.
pub(crate) struct Occasion<'a> {
    pub event: &'a Event,
    /// The payment before it; `None` before the first.
    pub before: Option<&'a PaymentView>,
    pub after: &'a PaymentView,
    /// The merchant's slug.
    pub account: &'a str,
    pub settings: &'a Settings,
}

impl Occasion<'_> {
    /// The same whenever and to whomever this event is told.
    pub(crate) fn id(&self) -> String {
        event_id(self.event.merchant, self.event.payment, self.event.seq)
    }
}

/// The body of the message, or `None` where a dialect has no word for the event.
pub(crate) type Voice = fn(&Occasion<'_>) -> Option<String>;

/// A UUID (version 8) that follows from the event alone.
fn event_id(merchant: MerchantId, payment: PaymentId, seq: u32) -> String {
    let ids = [merchant.bits().to_be_bytes(), payment.bits().to_be_bytes()];
    let whole = digest(&[b"webhook event", &ids[0], &ids[1], &seq.to_be_bytes()]);
    let bits = u128::from_be_bytes(whole) & !(0xf << 76) & !(0b11 << 62);
    uuid_text(bits | (0x8 << 76) | (0b10 << 62))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_one_id_and_no_two_have_the_same() {
        let id = |merchant, payment, seq| {
            event_id(MerchantId::new(merchant), PaymentId::new(payment), seq)
        };
        assert_eq!(id(1, 2, 3), id(1, 2, 3));
        for (merchant, payment, seq) in [(1, 2, 4), (1, 3, 3), (2, 2, 3)] {
            assert_ne!(id(1, 2, 3), id(merchant, payment, seq));
        }
        assert_eq!(&id(1, 2, 3)[14..15], "8");
    }
}
