use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::json;

struct Counter(AtomicU64);

impl Ids for Counter {
    fn next(&self) -> u128 {
        u128::from(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

fn read_text(body: &str) -> Result<Registration, Vec<Fault>> {
    let ids = Counter(AtomicU64::new(1));
    let origin = Origin {
        merchant: MerchantId::new(7),
        actor: "apk_1",
        at_ms: 1_700_000_000_000,
        ids: &ids,
    };
    read(json::read(body.as_bytes()).expect("JSON"), &origin)
}

fn pointers(body: &str) -> Vec<String> {
    let faults = read_text(body).expect_err(body);
    faults.into_iter().map(|fault| fault.pointer).collect()
}

#[test]
fn the_documented_example_is_taken_whole() {
    let body = r#"{"id": "0191f5a7-44d3-7430-8739-2d80821416bf", "amount": 10000, "currency": "USD",
     "captures": [{"amount": 10000}], "connector": "manual", "connector_payment": null,
     "gift_cards": [{"id": "c23ea83f-1b1c-4584-a0e8-78ef8c041949", "amount": 2500}],
     "external_identifier": "order-1001", "order": "order_01G8TJSYT9M6AVS5N4EMNFS1EK", "description": "...",
     "aliases": ["ch_3Oabc"], "source": {"type": "card", "scheme": "mada", "first_digits": "55555555", "last_digits": "4444", "month": 12, "year": 2030},
     "airline": null, "sub_merchant": null, "metadata": {"customer_id": "cus_1"}, "created_at": "2024-09-15T12:27:45Z"}"#;
    let read = read_text(body).expect("a payment");
    assert_eq!(read.payment, PaymentId::new(0x0191f5a7_44d3_7430_8739_2d80821416bf));
    assert_eq!(read.gift_cards[0].id, LegId::new(0xc23ea83f_1b1c_4584_a0e8_78ef8c041949));
    assert_eq!(read.customer.as_deref(), Some("cus_1"));
    assert_eq!(read.created_at_ms, 1_726_403_265_000);
    assert!(read.profile.starts_with(r#"{"source":{"type": "card""#), "{}", read.profile);
    assert!(read.profile.ends_with(r#""metadata":{"customer_id": "cus_1"}}"#), "{}", read.profile);
}

#[test]
fn a_payment_needs_an_amount_and_a_currency_only() {
    let read = read_text(r#"{"amount":1,"currency":"eur"}"#).expect("a payment");
    assert_eq!((read.connector.as_str(), read.captures.len()), ("manual", 0));
    assert_eq!(read.profile, "{}");
    assert_eq!(read.created_at_ms, read.at_ms);
    let cards = r#"{"amount":0,"currency":"EUR","gift_cards":[{"amount":1}]}"#;
    assert!(read_text(cards).is_ok(), "gift cards may pay for all of it");
}

#[test]
fn everything_that_is_wrong_is_listed_with_its_place() {
    for (body, places) in [
        ("[]", vec![""]),
        ("{}", vec!["/amount", "/currency"]),
        (r#"{"amount":0,"currency":"EUR"}"#, vec!["/amount"]),
        (r#"{"amount":-1,"currency":"EUR"}"#, vec!["/amount"]),
        (r#"{"amount":1.5,"currency":"EUR"}"#, vec!["/amount"]),
        (r#"{"amount":"1","currency":"EUR"}"#, vec!["/amount"]),
        (r#"{"amount":9007199254740992,"currency":"EUR"}"#, vec!["/amount"]),
        (r#"{"amount":1,"currency":"EURO"}"#, vec!["/currency"]),
        (r#"{"amount":1,"amount":2,"currency":"EUR"}"#, vec!["/amount"]),
        (r#"{"amount":1,"currency":"EUR","a/b":1}"#, vec!["/a~1b"]),
        (r#"{"amount":1,"currency":"EUR","id":"order-1"}"#, vec!["/id"]),
        (
            r#"{"amount":5,"currency":"EUR","captures":[{"amount":3},{"amount":3}]}"#,
            vec!["/captures"],
        ),
        (r#"{"amount":5,"currency":"EUR","captures":[{"amount":0}]}"#, vec!["/captures/0/amount"]),
        (r#"{"amount":5,"currency":"EUR","captures":[{}]}"#, vec!["/captures/0/amount"]),
        (r#"{"amount":5,"currency":"EUR","captures":{}}"#, vec!["/captures"]),
        (
            r#"{"amount":5,"currency":"EUR","gift_cards":[{"id":"x","amount":1}]}"#,
            vec!["/gift_cards/0/id"],
        ),
        (
            r#"{"amount":5,"currency":"EUR","gift_cards":[{"amount":1,"bin":"41234","sub_bin":"5x4","last4":1234}]}"#,
            vec!["/gift_cards/0/bin", "/gift_cards/0/sub_bin", "/gift_cards/0/last4"],
        ),
        (
            r#"{"amount":5,"currency":"EUR","gift_cards":[{"amount":1,"number":"4123455541234"}]}"#,
            vec!["/gift_cards/0/number"],
        ),
        (r#"{"amount":5,"currency":"EUR","connector":"paypal"}"#, vec!["/connector_payment"]),
        (r#"{"amount":5,"currency":"EUR","sandbox":["approve"]}"#, vec!["/sandbox"]),
        (
            r#"{"amount":5,"currency":"EUR","connector":"sandbox","sandbox":["approve","aprove"]}"#,
            vec!["/sandbox/1"],
        ),
        (r#"{"amount":5,"currency":"EUR","order":"a\u0000b"}"#, vec!["/order"]),
        (r#"{"amount":5,"currency":"EUR","order":""}"#, vec!["/order"]),
        (r#"{"amount":5,"currency":"EUR","aliases":["a",1]}"#, vec!["/aliases/1"]),
        (r#"{"amount":5,"currency":"EUR","metadata":{"a":"\u0000"}}"#, vec!["/metadata"]),
        (r#"{"amount":5,"currency":"EUR","created_at":"yesterday"}"#, vec!["/created_at"]),
        (
            r#"{"amount":5,"currency":"EUR","created_at":"1969-12-31T23:59:59Z"}"#,
            vec!["/created_at"],
        ),
        (
            r#"{"amount":5,"currency":"EUR","source":{"number":"4242424242424242"}}"#,
            vec!["/source/number"],
        ),
    ] {
        assert_eq!(pointers(body), places, "{body}");
    }
}

#[test]
fn bodies_that_mean_the_same_have_the_same_fingerprint() {
    let print = |body: &str| read_text(body).expect(body).fingerprint;
    let plain = r#"{"amount":5,"currency":"EUR","external_identifier":"a"}"#;
    for same in [
        r#"{"external_identifier":"a","currency":"eur","amount":5.0}"#,
        r#"{"amount":5,"currency":"EUR","external_identifier":"a","captures":[],"metadata":{},"order":null}"#,
        r#"{"amount":5,"currency":"EUR","external_identifier":"a","connector":"manual"}"#,
    ] {
        assert_eq!(print(plain), print(same), "{same}");
    }
    for other in [
        r#"{"amount":6,"currency":"EUR","external_identifier":"a"}"#,
        r#"{"amount":5,"currency":"EUR","external_identifier":"a","connector":"sandbox"}"#,
        r#"{"amount":5,"currency":"EUR","external_identifier":"a","captures":[{"amount":5}]}"#,
        r#"{"amount":5,"currency":"EUR","external_identifier":"a","id":"0191f5a7-44d3-7430-8739-2d80821416bf"}"#,
    ] {
        assert_ne!(print(plain), print(other), "{other}");
    }
    let id =
        |spelling: &str| print(&format!(r#"{{"amount":5,"currency":"EUR","id":"{spelling}"}}"#));
    assert_eq!(id("0191f5a7-44d3-7430-8739-2d80821416bf"), id("pay_01J7TTEH6KEGR8EE9DG21185NZ"));
}
