//! What a new order's body must not say, and how it is told.

use serde_json::json;

use super::making::{card, make, wish};
use super::{T1, invalid, open, order};

/// Where what is said instead (`@5` is five letters), and what is complained of, how.
#[rustfmt::skip]
const REFUSED: [(&str, &str, &str, &str); 44] = [
    ("/amount", "null", "amount", "The value is required."),
    ("/amount", r#""100""#, "amount", "The value must be an integer."),
    ("/amount", "99", "amount", "The value must be greater than or equal to 100."),
    ("/amount", "100000001", "amount", "The value must be less than or equal to 100000000."),
    ("/currency", "null", "currency", "The value is required."),
    ("/currency", r#""SARS""#, "currency", "The value must be a valid ISO 4217 currency code."),
    ("/order_id", r#""1""#, "order_id", "The value must be a valid UUID."),
    ("/description", r#""@1025""#, "description", "The value must have at most 1024 characters."),
    ("/description", "5", "description", "The value must be a string."),
    ("/description", r#""a\u0000""#, "description", "The value must not contain a NUL character."),
    ("/description", r#""4242 4242 4242 4242""#, "description", "The value must not contain the card number."),
    ("/transaction_type", r#""web""#, "transaction_type", "The value must be one of internet, merchant, moto."),
    ("/justification", r#""late""#, "justification", "The value must be one of reauthorization, delayed_charges, resubmission, no_show."),
    ("/source", "null", "source", "The value is required."),
    ("/source", r#""card""#, "source", "The value must be an object."),
    ("/source/type", "null", "source.type", "The value is required."),
    ("/source/type", r#""cash""#, "source.type", "The value must be one of card, apple_pay, google_pay, samsung_pay."),
    ("/source/number", "null", "source.number", "The value is required."),
    ("/source/number", r#""4242424242424241""#, "source.number", "The value must be a valid card number."),
    ("/source/number", "4242424242424242", "source.number", "The value must be a valid card number."),
    ("/source/month", "13", "source.month", "The value must be less than or equal to 12."),
    ("/source/month", "null", "source.month", "The value is required."),
    ("/source/year", "30", "source.year", "The value must be greater than or equal to 2000."),
    ("/source/year", "null", "source.year", "The value is required."),
    ("/source/security_code", r#""12""#, "source.security_code", "The value must be 3 or 4 digits."),
    ("/source/security_code", "123", "source.security_code", "The value must be 3 or 4 digits."),
    ("/source/holder", r#""""#, "source.holder", "The value must have at least 1 characters."),
    ("/source/auth", r#"{"status":"Z"}"#, "source.auth.status", "The value must be one of Y, N, U, A, R."),
    ("/source/auth", r#"{"eci":"03"}"#, "source.auth.eci", "The value must be one of 00, 01, 02, 05, 06, 07."),
    ("/device", r#"{"user_agent":"@1025"}"#, "device.user_agent", "The value must have at most 1024 characters."),
    ("/device", r#"{"ip_address":"1.2.3"}"#, "device.ip_address", "The value must be a valid IP address."),
    ("/airline", r#"{"reference":"12345"}"#, "airline.reference", "The value must be 6 to 15 letters or digits."),
    ("/sub_merchant", r#"{"id":"@16"}"#, "sub_merchant.id", "The value must have at most 15 characters."),
    ("/sub_merchant", r#"{"trading_name":"@101"}"#, "sub_merchant.trading_name", "The value must have at most 100 characters."),
    ("/sub_merchant", "[]", "sub_merchant", "The value must be an object."),
    ("/sub_merchant", r#"{"id":"a","id":"b"}"#, "sub_merchant", "The value must not name a member twice."),
    ("/new_agreement", "{}", "new_agreement.type", "The value is required."),
    ("/new_agreement", r#"{"type":"once"}"#, "new_agreement.type", "The value must be one of unscheduled, recurring, registered, installment."),
    ("/new_agreement", r#"{"type":"recurring","id":"@37"}"#, "new_agreement.id", "The value must have at most 36 characters."),
    ("/agreement_id", r#""@65""#, "agreement_id", "The value must have at most 64 characters."),
    ("/reauthorized_order_id", r#""x""#, "reauthorized_order_id", "The value must be a valid UUID."),
    ("/additional_data", r#""x""#, "additional_data", "The value must be an object."),
    ("/additional_data", r#"{"a":"@16384"}"#, "additional_data", "The value must have at most 16384 bytes."),
    ("/additional_data", r#"{"a":["4242424242424242"]}"#, "additional_data", "The value must not contain the card number."),
];

/// The body of a good wish with another text in one place.
fn body(pointer: &str, value: &str) -> String {
    let letters = value.split_once('@').map(|(_, rest)| rest.split('"').next().unwrap_or(rest));
    let value = letters.map_or_else(
        || value.to_owned(),
        |count| value.replace(&format!("@{count}"), &"x".repeat(count.parse().expect("a count"))),
    );
    let mut body = wish(T1, 10_000);
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
    body.pointer_mut(parent).expect("an object")[name] = json!("@here");
    body.to_string().replace("\"@here\"", &value)
}

#[tokio::test]
async fn a_new_order_is_refused_member_by_member() {
    let shop = open();
    for (pointer, value, named, told) in REFUSED {
        for kind in ["authorize", "purchase"] {
            let path = format!("/v1/orders/{kind}");
            let answer = shop.send_body("POST", &path, &[], &body(pointer, value)).await;
            assert_eq!(answer.told(), invalid(named, told), "{pointer} {value}");
        }
    }
    assert_eq!(order(&shop, T1).await.status, 404);
}

#[tokio::test]
async fn all_complaints_are_told_at_once() {
    let shop = open();
    let body = json!({
        "amount": -1, "source": {"type": "card", "number": "1", "month": 1, "year": 2030},
        "new_agreement": {"type": "recurring"}, "agreement_id": "a",
    });
    let told = make(&shop, "verify", &body).await;
    assert_eq!(
        told.json()["errors"],
        json!({
            "amount": ["The value must be greater than or equal to 0."],
            "currency": ["The value is required."],
            "source.number": ["The value must be a valid card number."],
            "agreement_id": ["The value must not be sent together with new_agreement."],
        })
    );
}

#[tokio::test]
async fn bodies_that_cannot_be_read_come_before_what_they_say() {
    let shop = open();
    let good = json!({"amount": 100, "currency": "SAR", "source": card("4242424242424242")});
    let twice = r#"{"amount":100,"amount":100}"#;
    for (kind, body, status) in [
        ("application/json", "{", 400),
        ("application/json", "[]", 400),
        ("application/json", twice, 400),
        ("application/json", "", 422),
        ("text/plain", &good.to_string(), 415),
        ("application/json", &" ".repeat(65 * 1024), 413),
    ] {
        let with = [("content-type", kind)];
        let answer = shop.send_body("POST", "/v1/orders/purchase", &with, body).await;
        assert_eq!(answer.status, status, "{}", answer.text);
    }
}
