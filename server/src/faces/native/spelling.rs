//! Ids in any face's spelling: UUID, Medusa's and Loop's prefixes with a ULID, base62.

use requite_core::id::{
    base62_text, parse_base62, parse_ulid, parse_uuid, prefixed_text, uuid_text,
};
use serde_json::{Value, json};

/// Prefixes that a payment's id may have.
const PAYMENT: [&str; 4] = ["pay_", "ch_", "py_", "order_"];
/// Prefixes that a refund's id may have.
const REFUND: [&str; 2] = ["ref_", "re_"];

/// The bits of a payment's id, when `text` is one of its spellings.
pub(crate) fn payment_bits(text: &str) -> Option<u128> {
    bits(text, &PAYMENT)
}

/// The bits of a refund's id, when `text` is one of its spellings.
pub(crate) fn refund_bits(text: &str) -> Option<u128> {
    bits(text, &REFUND)
}

/// The bits of a refund reason's id, when `text` is one of its spellings.
pub(crate) fn reason_bits(text: &str) -> Option<u128> {
    bits(text, &["refr_"])
}

/// The bits of a leg's id.
pub(crate) fn leg_bits(text: &str) -> Option<u128> {
    bits(text, &[])
}

fn bits(text: &str, prefixes: &[&str]) -> Option<u128> {
    let unprefixed = || {
        let rest = prefixes.iter().find_map(|prefix| text.strip_prefix(prefix));
        parse_ulid(rest.unwrap_or(text))
    };
    parse_uuid(text)
        .or_else(unprefixed)
        .or_else(|| (text.len() >= BASE62_LEAST).then(|| parse_base62(text)).flatten())
}

/// Shorter words of letters and digits are names, not numbers.
const BASE62_LEAST: usize = 20;

/// A payment's id as each face spells it.
pub(crate) fn payment_ids(bits: u128) -> Value {
    json!({
        "medusa": prefixed_text("pay_", bits),
        "uuid": uuid_text(bits),
        "loop": prefixed_text("ch_", bits),
        "base62": base62_text(bits),
    })
}

/// A refund reason's id as the faces spell it that know it.
pub(crate) fn reason_ids(bits: u128) -> Value {
    json!({"medusa": prefixed_text("refr_", bits), "uuid": uuid_text(bits)})
}

/// A refund's id as each face spells it. `given` is the id that a Moyasar client chose.
pub(crate) fn refund_ids(bits: u128, given: Option<u128>) -> Value {
    let mut ids = json!({
        "medusa": prefixed_text("ref_", bits),
        "uuid": uuid_text(bits),
        "loop": prefixed_text("ref_", bits),
        "base62": base62_text(bits),
    });
    if let Some(given) = given {
        ids["mpg"] = json!(uuid_text(given));
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_an_id_is_the_same_id() {
        let bits = 0x0191f5a7_44d3_7430_8739_2d80821416bf;
        for text in [
            "0191f5a7-44d3-7430-8739-2d80821416bf",
            "0191F5A7-44D3-7430-8739-2D80821416BF",
            "pay_01J7TTEH6KEGR8EE9DG21185NZ",
            "ch_01J7TTEH6KEGR8EE9DG21185NZ",
            "01J7TTEH6KEGR8EE9DG21185NZ",
            "2xh9aYsdWnTCESU6GxOlL",
        ] {
            assert_eq!(payment_bits(text), Some(bits), "{text}");
        }
        for text in ["", "pay_", "ref_01J7TTEH6KEGR8EE9DG21185NZ", "order-1001", "1001"] {
            assert_eq!(payment_bits(text), None, "{text}");
        }
    }
}
