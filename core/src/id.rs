//! Ids: 128 bits, one number in three spellings.
//!
//! Ours are made in time order (UUID version 7), but ids born elsewhere carry arbitrary bits and
//! are as valid. Which spelling is used is a face's business; the codecs of all three live here so
//! that the same payment has the same bits in every dialect.

use std::fmt;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u128);

        impl $name {
            pub const fn new(bits: u128) -> $name {
                $name(bits)
            }

            pub const fn bits(self) -> u128 {
                self.0
            }
        }

        // No Display: each face spells an id its own way, and one spelling must not leak into
        // another. Debug is for us.
        impl fmt::Debug for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(out, "{}({})", stringify!($name), uuid_text(self.0))
            }
        }
    )+};
}

ids! {
    /// The tenant. Every row carries it.
    MerchantId,
    PaymentId,
    /// One instrument of a payment: the payment method or a gift-card redemption.
    LegId,
    CaptureId,
    VoidId,
    RefundId,
    /// A refund reason that a merchant keeps, as Medusa v2 lists them.
    ReasonId,
    /// A credential.
    KeyId,
    /// A person who can log in.
    PersonId,
}

const HEX_DIGITS: &[u8; 16] = b"0123456789abcdef";
const ULID_DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const BASE62_DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// `0191f5a7-44d3-7430-8739-2d80821416bf`
pub fn uuid_text(bits: u128) -> String {
    let mut text = String::with_capacity(36);
    for (byte, at) in bits.to_be_bytes().into_iter().zip(0..) {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push(char::from(HEX_DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(HEX_DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// Reads the hyphenated form in any letter case, any version. Nothing else is a UUID here.
pub fn parse_uuid(text: &str) -> Option<u128> {
    let is_hyphen = |at: usize| matches!(at, 8 | 13 | 18 | 23);
    if text.len() != 36 {
        return None;
    }
    text.bytes().enumerate().try_fold(0_u128, |bits, (at, byte)| {
        if is_hyphen(at) {
            return (byte == b'-').then_some(bits);
        }
        let digit = char::from(byte).to_digit(16)?;
        Some(bits.wrapping_shl(4) | u128::from(digit))
    })
}

/// 26 Crockford base32 characters: `01J7TTEH6KEGR8EE9DG21185NZ`.
pub fn ulid_text(bits: u128) -> String {
    (0_u32..26)
        .rev()
        .map(|place| {
            let digit = bits.wrapping_shr(place.saturating_mul(5)) & 31;
            char::from(ULID_DIGITS[usize::try_from(digit).expect("five bits index 32 digits")])
        })
        .collect()
}

/// Reads 26 upper-case Crockford characters that fit 128 bits.
pub fn parse_ulid(text: &str) -> Option<u128> {
    if text.len() != 26 || text.as_bytes().first()? > &b'7' {
        return None;
    }
    digits(text, ULID_DIGITS)
}

/// A prefix and a ULID: `pay_01J7...`.
pub fn prefixed_text(prefix: &str, bits: u128) -> String {
    format!("{prefix}{}", ulid_text(bits))
}

/// Reads `prefix` followed by a ULID.
pub fn parse_prefixed(prefix: &str, text: &str) -> Option<u128> {
    parse_ulid(text.strip_prefix(prefix)?)
}

/// Base62 of the 128-bit number, most significant digit first, no padding: Gr4vy's reconciliation
/// ids, `7jZXl4gBUNl0CnaLEnfXbt`.
pub fn base62_text(bits: u128) -> String {
    let mut left = bits;
    let mut reversed = Vec::with_capacity(22);
    loop {
        let digit = left.checked_rem(62).expect("62 is not zero");
        reversed
            .push(BASE62_DIGITS[usize::try_from(digit).expect("a remainder of 62 is an index")]);
        left = left.checked_div(62).expect("62 is not zero");
        if left == 0 {
            break;
        }
    }
    reversed.iter().rev().map(|&byte| char::from(byte)).collect()
}

/// Reads base62 text of at most 22 digits that fits 128 bits.
pub fn parse_base62(text: &str) -> Option<u128> {
    if text.is_empty() || text.len() > 22 {
        return None;
    }
    digits(text, BASE62_DIGITS)
}

fn digits(text: &str, alphabet: &[u8]) -> Option<u128> {
    let base = u128::try_from(alphabet.len()).ok()?;
    text.bytes().try_fold(0_u128, |sum, byte| {
        let digit = alphabet.iter().position(|&listed| listed == byte)?;
        sum.checked_mul(base)?.checked_add(u128::try_from(digit).ok()?)
    })
}
