use proptest::prelude::*;
use requite_core::id::{
    PaymentId, RefundId, base62_text, parse_base62, parse_prefixed, parse_ulid, parse_uuid,
    prefixed_text, ulid_text, uuid_text,
};

#[test]
fn one_id_has_three_spellings() {
    let bits = parse_uuid("0191f5a7-44d3-7430-8739-2d80821416bf").expect("a UUID");
    assert_eq!(uuid_text(bits), "0191f5a7-44d3-7430-8739-2d80821416bf");
    assert_eq!(prefixed_text("pay_", bits), "pay_01J7TTEH6KEGR8EE9DG21185NZ");
    assert_eq!(base62_text(bits), "2xh9aYsdWnTCESU6GxOlL");
    assert_eq!(parse_prefixed("pay_", "pay_01J7TTEH6KEGR8EE9DG21185NZ"), Some(bits));
    assert_eq!(parse_prefixed("ref_", "pay_01J7TTEH6KEGR8EE9DG21185NZ"), None);
    let other = parse_uuid("fe26475d-ec3e-4884-9553-f7356683f7f9").expect("a UUID");
    assert_eq!(base62_text(other), "7jZXl4gBUNl0CnaLEnfXbt");
    assert_eq!(base62_text(0), "0");
    assert_eq!(parse_uuid("0191F5A7-44D3-7430-8739-2D80821416BF"), Some(bits));
}

/// Faces spell ids; for developers there is one spelling, which says what it is the id of.
#[test]
fn an_id_tells_developers_what_it_names() {
    let bits = 0x0191_f5a7_44d3_7430_8739_2d80_8214_16bf;
    let (payment, refund) = (PaymentId::new(bits), RefundId::new(bits));
    assert_eq!((payment.bits(), refund.bits()), (bits, bits));
    assert_eq!(format!("{payment:?}"), "PaymentId(0191f5a7-44d3-7430-8739-2d80821416bf)");
    assert_eq!(format!("{refund:?}"), "RefundId(0191f5a7-44d3-7430-8739-2d80821416bf)");
}

#[test]
fn nothing_else_is_an_id() {
    for text in [
        "",
        "0191f5a744d3743087392d80821416bf",
        "0191f5a7-44d3-7430-8739-2d80821416b",
        "0191f5a7-44d3-7430-8739-2d80821416bg",
        "0191f5a7_44d3-7430-8739-2d80821416bf",
        "{191f5a7-44d3-7430-8739-2d80821416bf}",
        "0191f5a7-44d3-7430-8739-2d80821416é",
    ] {
        assert_eq!(parse_uuid(text), None, "{text}");
    }
    for text in [
        "",
        "01J7TTEH6KEGR8EE9DG21185N",
        "81J7TTEH6KEGR8EE9DG21185NZ",
        "01j7tteh6kegr8ee9dg21185nz",
        "01J7TTEH6KEGR8EE9DG21185NI",
    ] {
        assert_eq!(parse_ulid(text), None, "{text}");
    }
    for text in ["", "zzzzzzzzzzzzzzzzzzzzzz", "7jZXl4gBUNl0CnaLEnfXbt0", "a-b"] {
        assert_eq!(parse_base62(text), None, "{text}");
    }
    assert_eq!(parse_prefixed("pay_", "ref_01J7TTEH6KEGR8EE9DG21185NZ"), None);
}

proptest! {
    #[test]
    fn every_id_reads_back_and_keeps_its_order(a in any::<u128>(), b in any::<u128>()) {
        prop_assert_eq!(parse_uuid(&uuid_text(a)), Some(a));
        prop_assert_eq!(parse_ulid(&ulid_text(a)), Some(a));
        prop_assert_eq!(parse_base62(&base62_text(a)), Some(a));
        prop_assert_eq!(a < b, ulid_text(a) < ulid_text(b));
        prop_assert_eq!(a < b, uuid_text(a) < uuid_text(b));
    }
}
