//! Ids as this face reads them, and the transaction that an id names.
//!
//! Gr4vy spells ids as UUIDs. The same ids in another face's spelling are taken too, as a client
//! may hold them from there: `pay_` or `ch_` with a ULID, `ref_` with one, and the base62 of a
//! reconciliation id. Behind them come the names that a payment was registered with.

use requite_core::id::{
    MerchantId, PaymentId, RefundId, parse_base62, parse_prefixed, parse_uuid, uuid_text,
};
use requite_engine::key::digest;
use requite_engine::read::PaymentView;

use super::failure::{Detail, Failure, Location};
use crate::desk::Desk;

/// A longer text names nothing and is not looked up.
const NAME_BYTES_MAX: usize = 512;

/// Shorter texts are not read as base62: an id of random or time-ordered bits has 20 digits and
/// more, and a merchant's own name for a payment must not turn into some id.
const BASE62_DIGITS_MIN: usize = 20;

const PAYMENT_PREFIXES: [&str; 2] = ["pay_", "ch_"];
const CAPTURE_PREFIX: &str = "capt_";
const REFUND_PREFIXES: [&str; 2] = ["ref_", "re_"];

fn bits(text: &str, prefixes: &[&str]) -> Option<u128> {
    let prefixed = || prefixes.iter().find_map(|prefix| parse_prefixed(prefix, text));
    let base62 = || {
        let is_long = text.len() >= BASE62_DIGITS_MIN;
        is_long.then(|| parse_base62(text)).flatten()
    };
    parse_uuid(text).or_else(prefixed).or_else(base62)
}

/// A UUID (version 8) that is made of these parts alone.
pub(super) fn derived_uuid(parts: &[&[u8]]) -> String {
    const VERSION: u128 = 0xf << 76;
    const VARIANT: u128 = 0b11 << 62;
    let bits = u128::from_be_bytes(digest(parts)) & !VERSION & !VARIANT;
    uuid_text(bits | (0x8 << 76) | (0b10 << 62))
}

/// The bits of a capture's id.
///
/// # Errors
/// 400 for a text that is no id.
pub(super) fn capture_bits(text: &str) -> Result<u128, Failure> {
    bits(text, &[CAPTURE_PREFIX]).ok_or_else(|| no_id("capture_id"))
}

/// The bits of a transaction's id, in any spelling of ours.
pub(super) fn payment_bits(text: &str) -> Option<u128> {
    bits(text, &PAYMENT_PREFIXES)
}

/// The transaction that a path names. One whose id can be read need not exist: that is found out
/// later, as a 404, and [`other_name`] may still know it. Any other text must name one.
///
/// # Errors
/// 400 for a text that is no id and no name.
pub(super) async fn transaction(
    desk: &Desk,
    merchant: MerchantId,
    text: &str,
) -> Result<PaymentId, Failure> {
    if let Some(bits) = payment_bits(text) {
        return Ok(PaymentId::new(bits));
    }
    let named = other_name(desk, merchant, text).await?;
    named.ok_or_else(|| no_id("transaction_id"))
}

/// The transaction that was registered with `text` as one of its names.
pub(super) async fn other_name(
    desk: &Desk,
    merchant: MerchantId,
    text: &str,
) -> Result<Option<PaymentId>, Failure> {
    if text.len() > NAME_BYTES_MAX {
        return Ok(None);
    }
    let text = text.to_owned();
    let read = desk.glance(move |reads| reads.payment_named(merchant, &text));
    Ok(read.await?)
}

/// The transaction that a path names, as it is.
///
/// # Errors
/// 400 for a text that is no id and no name, 404 for a transaction that is not there.
pub(super) async fn view(
    desk: &Desk,
    merchant: MerchantId,
    text: &str,
) -> Result<PaymentView, Failure> {
    let id = transaction(desk, merchant, text).await?;
    if let Some(view) = desk.payment(merchant, id, None).await? {
        return Ok(view);
    }
    let named = other_name(desk, merchant, text).await?;
    let id = named.ok_or(Failure::NotFound)?;
    let view = desk.payment(merchant, id, None).await?;
    view.ok_or(Failure::NotFound)
}

/// The refund that a path names, existing or not.
///
/// # Errors
/// 400 for a text that is no id.
pub(super) fn refund(text: &str) -> Result<RefundId, Failure> {
    let bits = bits(text, &REFUND_PREFIXES);
    bits.map(RefundId::new).ok_or_else(|| no_id("refund_id"))
}

fn no_id(name: &str) -> Failure {
    let (text, kind) = ("value is not a valid uuid", "type_error.uuid");
    Failure::invalid(Detail::new(Location::Path, name, text, kind))
}

#[cfg(test)]
mod tests {
    use requite_core::id::{base62_text, prefixed_text};

    use super::*;

    /// Pairs that the real API has answered, and the ends of the range.
    #[test]
    fn reconciliation_ids_are_spelt_as_the_original_spells_them() {
        for (uuid, base62) in [
            ("029d57f8-d07c-4712-b35b-de6f908f170f", "4vtEc4uDfHNy7sZwRs3xv"),
            ("1eeb0f0b-4867-48ff-bea2-f60fdfbd0058", "wLBtuq3XDb37xsgSzc1Vo"),
            ("2d600db6-f2fd-4622-bf1c-5cd07d8c7bd8", "1NcYBGxgnYkHEGXcjINdtY"),
            ("71e6417d-b9dd-491c-9df8-88e4f71ff85a", "3SvMKR8JG8ZaBAkyoIU4p0"),
            ("97f82c76-cabe-4e73-8939-f6241c355a3a", "4clFwAJcgYcTGq3UQHlgoU"),
            ("b332ca0a-1dce-4ae6-b27b-04f70db8fae7", "5S8puSJHjzWXtSEbjHoiP9"),
            ("debe4f63-1f9c-4737-a187-9e03aa6f43cb", "6mJGeJcdjh4msthOLp2fwR"),
            ("f2b6147c-265c-46ab-9c65-9c8cba9d83ce", "7NzLwVx5K7kG2TKcGduiWk"),
            ("f512af07-552d-4eab-b6ab-ecc378846275", "7SRepcDStnqxuGbsGtT3zR"),
            ("fe26475d-ec3e-4884-9553-f7356683f7f9", "7jZXl4gBUNl0CnaLEnfXbt"),
            ("6a1d4e46-14ed-4fe1-a45f-eff4e025d211", "3EEZvK8BuKmvaxfFqI1dJ3"),
            ("7099948d-7286-47e4-aad8-b68f7eb44591", "3QTKH1CHg26k4ctqfUo2in"),
            ("00000000-0000-4000-8000-000000000000", "1VgEh72lXvTXkG"),
            ("ffffffff-ffff-ffff-ffff-ffffffffffff", "7n42DGM5Tflk9n8mt7Fhc7"),
        ] {
            let bits = parse_uuid(uuid).expect("a UUID");
            assert_eq!(base62_text(bits), base62, "{uuid}");
            assert_eq!(parse_base62(base62), Some(bits), "{base62}");
        }
    }

    #[test]
    fn an_id_is_read_in_every_spelling_of_ours() {
        let id = 0x0191_f5a7_44d3_7430_8739_2d80_8214_16bf;
        for text in [
            uuid_text(id),
            uuid_text(id).to_uppercase(),
            prefixed_text("pay_", id),
            prefixed_text("ch_", id),
            base62_text(id),
        ] {
            assert_eq!(bits(&text, &PAYMENT_PREFIXES), Some(id), "{text}");
        }
        assert_eq!(bits(&prefixed_text("ref_", id), &REFUND_PREFIXES), Some(id));
    }

    #[test]
    fn a_derived_uuid_is_one_and_always_the_same() {
        let id = derived_uuid(&[b"a", b"bc"]);
        assert_eq!(id, derived_uuid(&[b"a", b"bc"]));
        assert_ne!(id, derived_uuid(&[b"ab", b"c"]));
        assert_eq!((&id[14..15], id.len()), ("8", 36), "{id}");
        assert!("89ab".contains(&id[19..20]), "{id}");
    }

    #[test]
    fn what_is_no_id_is_none() {
        let long = "a".repeat(10_000);
        for text in [
            "",
            "not-a-uuid",
            "order-1001",
            "abc",
            "0191f5a744d3743087392d80821416bf",
            "0191f5a7-44d3-7430-8739-2d80821416bg",
            "{0191f5a7-44d3-7430-8739-2d80821416bf}",
            "ref_01J7TTEH6KEGR8EE9DG21185NZ",
            "pay_01j7tteh6kegr8ee9dg21185nz",
            "../../etc/passwd",
            "' or 1=1 --",
            &long,
        ] {
            assert_eq!(bits(text, &PAYMENT_PREFIXES), None, "{text}");
        }
    }
}
