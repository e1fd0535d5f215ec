//! Payments that a load generator can name without a list: the last 40 bits of an id are its number.
//! `speed/driver/refund.lua` knows the same rule.

use requite_core::currency::Currency;
use requite_core::id::{CaptureId, LegId, MerchantId, PaymentId, RefundId};
use requite_core::money::Minor;
use requite_engine::command::{NewLeg, Registration};

/// Ids are of UUID version 7 and in time order, as the server's own are.
const BASE: u128 = 0x0190_0000_0000_7000_8000_0000_0000_0000;
/// What kind of thing an id names.
const LEG: u128 = 1 << 48;
const CAPTURE: u128 = 2 << 48;
const REFUND: u128 = 3 << 48;
/// Minor units of each payment: enough for many refunds of one.
const AMOUNT: i64 = 1_000_000_000;
/// A prime, so that its multiples meet every payment unless their number is a multiple of it.
const STRIDE: u64 = 7_368_787;
/// When payments were made.
const NOW_MS: i64 = 1_700_000_000_000;
/// Refunds of one millisecond.
const PER_MS: u64 = 10;

/// The payment of the `n`th refund: far from the one before, each once before any comes again.
pub(crate) fn spread(n: u64, payments: u64) -> u64 {
    let place = u128::from(n) * u128::from(STRIDE) % u128::from(payments.max(1));
    u64::try_from(place).expect("a remainder is below its divisor")
}

pub(crate) fn id(number: u64) -> PaymentId {
    PaymentId::new(BASE | u128::from(number))
}

pub(crate) fn capture(number: u64) -> CaptureId {
    CaptureId::new(BASE | CAPTURE | u128::from(number))
}

pub(crate) fn refund(number: u64) -> RefundId {
    RefundId::new(BASE | REFUND | u128::from(number))
}

/// When a refund is asked for: later ones later.
pub(crate) fn at_ms(number: u64) -> i64 {
    NOW_MS.saturating_add_unsigned(number / PER_MS)
}

/// A payment that was taken whole.
pub(crate) fn registration(merchant: MerchantId, number: u64, connector: &str) -> Registration {
    let amount = Minor::new(AMOUNT).expect("within limits");
    let mut fingerprint = [0; 16];
    fingerprint[8..].copy_from_slice(&number.to_be_bytes());
    Registration {
        merchant,
        payment: id(number),
        currency: Currency::parse("EUR").expect("a currency"),
        primary: NewLeg { id: LegId::new(BASE | LEG | u128::from(number)), amount },
        gift_cards: Vec::new(),
        captures: vec![(capture(number), amount)],
        connector: connector.to_owned(),
        connector_payment: None,
        connector_settings: None,
        external_identifier: Some(format!("order-{number}")),
        order: None,
        customer: None,
        description: None,
        aliases: Vec::new(),
        profile: "{}".to_owned(),
        fingerprint,
        created_at_ms: NOW_MS,
        cancelled_at_ms: None,
        decline: None,
        trace: None,
        keys: Vec::new(),
        actor: "speed".to_owned(),
        at_ms: NOW_MS,
    }
}
