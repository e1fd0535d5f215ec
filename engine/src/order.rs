//! Refunds of an order (Medusa v1): one wish, several payments.
//!
//! A plan says which payment gives how much, and is written before the engine is asked for any part.
//! It moves nothing. Its parts are ordinary refunds with ids and idempotency keys of the plan's own, so
//! a request that is sent again asks for the same parts, and none of them is paid twice.

use requite_core::id::{MerchantId, PaymentId, RefundId};
use requite_core::money::Minor;

/// The most payments of one order that are looked at.
pub const ORDER_PAYMENTS_MAX: u32 = 100;
/// The most refunds of one order that are shown as its own.
pub const ORDER_REFUNDS_MAX: u32 = 1_000;

/// A refund that was asked for an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderRefund {
    pub merchant: MerchantId,
    /// That of its first part, if it has any.
    pub id: RefundId,
    pub order: String,
    /// Minor units, above zero. What a refused one asked for may be more than there is money.
    pub amount: i64,
    pub reason: String,
    pub note: Option<String>,
    /// The caller's own idempotency key as sent.
    pub key_text: Option<String>,
    /// The face's word for why nothing is taken at all.
    pub refusal: Option<String>,
    /// Every payment that the order had, oldest first.
    pub payments: Vec<OrderPart>,
    pub created_at_ms: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderPart {
    pub payment: PaymentId,
    /// The payment's event number when the plan was made.
    pub seen: u32,
    /// What is taken from it, under which id.
    pub refund: Option<(RefundId, Minor)>,
}
