//! Whole exchanges through this face's routes: refunds here, `making` orders and `holding` their money.

mod holding;
mod making;
mod refusals;

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::faces::testing::{Answer, OTHER_TOKEN, SHOP, Shop, TOKEN, settings};

const T1: &str = "f351a2a3-97c4-4f12-add3-80c1044091f5";
const T2: &str = "f351a2a3-97c4-4f12-add3-80c1044091f6";
const NOT_FOUND: &str = r#"404 {"message":"The Order you are looking for was not found."}"#;

fn open() -> Shop {
    Shop::open_to_bearers("mpg", super::router)
}

async fn refund(shop: &Shop, order: &str, with: &[(&str, &str)], body: &str) -> Answer {
    let path = format!("/v1/orders/{order}/refund");
    shop.send_body("POST", &path, with, body).await
}

async fn order(shop: &Shop, order: &str) -> Answer {
    shop.send("GET", &format!("/v1/orders/{order}"), &[]).await
}

fn wish(amount: i64, transaction: &str) -> String {
    format!(r#"{{"amount":{amount},"transaction_id":"{transaction}"}}"#)
}

fn invalid(field: &str, text: &str) -> String {
    format!(r#"422 {{"message":"Data validation failed","errors":{{"{field}":["{text}"]}}}}"#)
}

#[tokio::test]
async fn an_approved_refund_is_a_row_of_the_order() {
    let shop = open();
    let id = shop.payment(|_| ()).await;
    let answer = refund(&shop, &id, &[], &wish(2500, &T1.to_uppercase())).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let shown = answer.json();
    assert_eq!(shown["captured_amount"], 10_000);
    assert_eq!(shown["refunded_amount"], 2500);
    assert_eq!(
        shown["transactions"][1],
        json!({
            "id": T1, "status": "approved", "type": "refund", "source_type": "merchant",
            "reverse_reason": null, "justification": null, "reversed_transaction_id": null,
            "message": "APPROVED", "response_code": "00", "retrieval_reference": "242590000001",
            "stan": "000001", "auth_code": null, "amount": 2500, "refunded_amount": 0,
            "created_at": "2024-09-15T12:27:45Z",
        })
    );
    assert_eq!(answer.header("requite-refund-status"), Some("succeeded"));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(order(&shop, &id).await.told(), answer.told());
    let next = refund(&shop, &id, &[], r#"{"amount":1}"#).await.json();
    assert_eq!(next["transactions"][2]["retrieval_reference"], "242590000002");
    assert_eq!(next["refunded_amount"], 2501);
}

#[tokio::test]
async fn complaints_come_in_the_documented_order() {
    let shop = open();
    shop.key(SHOP, "mpg", "reader", Some(&["orders_read"]));
    let id = shop.payment(|_| ()).await;
    let unknown = "0191f5a7-ffff-7000-8000-000000000000";
    let other = format!("Bearer {OTHER_TOKEN}");
    let small = invalid("amount", "The value must be greater than or equal to 1.");
    let missing = r#"401 {"message":"Missing authentication information"}"#;
    let in_body = r#"{"amount":0}"#;
    for (order, authorization, body, told) in [
        (unknown, "", in_body, missing),
        (unknown, "Bearer nobody", in_body, missing),
        (unknown, "Bearer reader", in_body, r#"403 {"message":"Unauthorized"}"#),
        (unknown, other.as_str(), in_body, NOT_FOUND),
        (unknown, other.as_str(), "{", NOT_FOUND),
        (unknown, other.as_str(), r#"{"amount":1}"#, NOT_FOUND),
        (id.as_str(), other.as_str(), in_body, NOT_FOUND),
        (id.as_str(), other.as_str(), r#"{"amount":1}"#, NOT_FOUND),
        ("not-an-order", other.as_str(), in_body, NOT_FOUND),
    ] {
        let with = [("authorization", authorization)];
        let answer = refund(&shop, order, &with, body).await;
        assert_eq!(answer.told(), told, "{order} {authorization} {body}");
        let challenge = (answer.status == 401).then_some("Bearer");
        assert_eq!(answer.header("www-authenticate"), challenge);
    }
    assert_eq!(refund(&shop, &id, &[], in_body).await.told(), small);
    let plain = refund(&shop, &id, &[("content-type", "text/plain")], in_body).await;
    assert_eq!(plain.status, 415);
    let large = refund(&shop, &id, &[], &" ".repeat(65 * 1024)).await;
    assert_eq!(large.status, 413);
    assert_eq!(order(&shop, &id).await.json()["refunded_amount"], 0);
}

#[tokio::test]
async fn more_than_is_left_is_refused_with_its_numbers() {
    let shop = open();
    let id = shop.payment(|_| ()).await;
    let refused = |text: &str| format!(r#"400 {{"message":"{text}"}}"#);
    let exceeds = "The amount 7501 exceeds the refundable amount, which is 7500.";
    let nothing = "The Order is not refundable: the refundable amount is 0.";
    for (body, told) in [
        (r#"{"amount":2500}"#, None),
        (r#"{"amount":7501}"#, Some(refused(exceeds))),
        (r#"{"amount":7500}"#, None),
        (r#"{"amount":1}"#, Some(refused(nothing))),
    ] {
        let answer = refund(&shop, &id, &[], body).await;
        match told {
            Some(told) => assert_eq!(answer.told(), told),
            None => assert_eq!(answer.status, 200, "{}", answer.text),
        }
    }
    let uncaptured = shop.payment(|new| new.captures.clear()).await;
    let answer = refund(&shop, &uncaptured, &[], r#"{"amount":1}"#).await;
    assert_eq!(answer.status, 400, "{}", answer.text);
}

#[tokio::test]
async fn a_repeat_by_transaction_id_shows_the_present_order() {
    let shop = open();
    let id = shop.payment(|_| ()).await;
    let other = shop.payment(|_| ()).await;
    let first = refund(&shop, &id, &[], &wish(4000, T1)).await;
    assert_eq!(first.header("idempotent-replayed"), None);
    refund(&shop, &id, &[], &wish(6000, T2)).await;
    let repeat = refund(&shop, &id, &[], &wish(4000, T1)).await;
    assert_eq!(repeat.status, 200);
    assert_eq!(repeat.text, order(&shop, &id).await.text);
    assert_eq!(repeat.header("idempotent-replayed"), Some("true"));
    assert_eq!(repeat.header("requite-refund-id"), first.header("requite-refund-id"));
    let used = invalid("transaction_id", "The value was already used for another request.");
    assert_eq!(refund(&shop, &id, &[], &wish(4001, T1)).await.told(), used);
    assert_eq!(refund(&shop, &other, &[], &wish(4000, T1)).await.told(), used);
    let nowhere = "0191f5a7-ffff-7000-8000-000000000000";
    assert_eq!(refund(&shop, nowhere, &[], &wish(4000, T1)).await.told(), NOT_FOUND);
}

#[tokio::test]
async fn a_repeat_by_header_gets_the_same_bytes() {
    let shop = open();
    let id = shop.payment(|_| ()).await;
    let k1 = [("idempotency-key", "k1")];
    let first = refund(&shop, &id, &k1, r#"{"amount":100}"#).await;
    refund(&shop, &id, &[], r#"{"amount":1}"#).await;
    let repeat = refund(&shop, &id, &k1, r#"{ "amount": 1e2 }"#).await;
    assert_eq!(repeat.told(), first.told());
    assert_eq!(repeat.header("idempotent-replayed"), Some("true"));
    let used = "The value was already used for another request.";
    let by_key = invalid("idempotency_key", used);
    let by_transaction = invalid("transaction_id", used);
    let both = format!(
        r#"422 {{"message":"Data validation failed","errors":{{"transaction_id":["{used}"],"idempotency_key":["{used}"]}}}}"#
    );
    refund(&shop, &id, &[], &wish(500, T1)).await;
    for (key, body, told) in [
        ("k1", r#"{"amount":101}"#.to_owned(), &by_key),
        ("k1", wish(500, T1), &by_key),
        ("k2", wish(501, T1), &by_transaction),
        ("k1", wish(500, T2), &both),
    ] {
        let answer = refund(&shop, &id, &[("idempotency-key", key)], &body).await;
        assert_eq!(&answer.told(), told, "{key} {body}");
    }
    // The refusals above bound no key.
    let fresh = refund(&shop, &id, &[("idempotency-key", "k2")], &wish(7, T2)).await;
    assert_eq!(fresh.status, 200, "{}", fresh.text);
}

#[tokio::test]
async fn what_became_of_a_refund_is_its_row_and_not_the_answers_status() {
    let shop = open();
    for (settings, status, code, after) in [
        ("decline:51", "failed", json!("51"), 200),
        ("decline:charge_already_refunded", "failed", json!("13"), 200),
        ("fail", "system_error", json!(null), 200),
        ("late", "timeout", json!(null), 400),
        ("pending", "initiated", json!(null), 400),
    ] {
        let id = shop.payment_at(settings).await;
        let answer = refund(&shop, &id, &[], &wish(9000, &id)).await;
        assert_eq!(answer.status, 200, "{settings}: {}", answer.text);
        let shown = answer.json();
        assert_eq!(shown["refunded_amount"], 0);
        assert_eq!(shown["transactions"][1]["status"], status, "{settings}");
        assert_eq!(shown["transactions"][1]["response_code"], code, "{settings}");
        // Money of an open refund is held back though it is not shown.
        let next = refund(&shop, &id, &[], r#"{"amount":2000}"#).await;
        assert_eq!(next.status, after, "{settings}: {}", next.text);
    }
}

#[tokio::test]
async fn a_repeat_that_meets_its_first_request_is_told_so() {
    let shop = Arc::new(open());
    let id = shop.payment_at("hold").await;
    let first = {
        let (shop, id) = (Arc::clone(&shop), id.clone());
        tokio::spawn(async move { refund(&shop, &id, &[], &wish(1000, T1)).await })
    };
    for _ in 0..1000 {
        if !order(&shop, &id).await.json()["transactions"][1].is_null() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let repeat = refund(&shop, &id, &[], &wish(1000, T1)).await;
    let told = r#"400 {"message":"Initial request is still processing."}"#;
    assert_eq!(repeat.told(), told);
    let first = first.await.expect("no panic");
    assert_eq!(first.status, 200);
    assert_eq!(first.json()["transactions"][1]["status"], "initiated");
}

#[tokio::test]
async fn of_many_at_once_with_one_id_one_is_made() {
    let shop = Arc::new(open());
    let id = shop.payment(|_| ()).await;
    let all: Vec<_> = (0..8)
        .map(|_| {
            let (shop, id) = (Arc::clone(&shop), id.clone());
            tokio::spawn(async move { refund(&shop, &id, &[], &wish(1000, T1)).await.status })
        })
        .collect();
    for one in all {
        assert_eq!(one.await.expect("no panic"), 200);
    }
    assert_eq!(order(&shop, &id).await.json()["refunded_amount"], 1000);
}

#[tokio::test]
async fn unknown_routes_are_answered_in_the_dialect() {
    let shop = open();
    let id = shop.payment(|_| ()).await;
    let refund = format!("/v1/orders/{id}/refund");
    for (method, path, told) in [
        ("GET", "/v1/nothing", r#"404 {"message":"The route was not found."}"#),
        ("PUT", refund.as_str(), r#"405 {"message":"The route does not take this method."}"#),
        ("GET", "/v1/orders/%zz", r#"400 {"message":"the path has a malformed % escape"}"#),
        ("GET", "/v1/orders/1", NOT_FOUND),
    ] {
        assert_eq!(shop.send(method, path, &[]).await.told(), told, "{path}");
    }
}

#[tokio::test]
async fn a_refund_without_an_amount_is_of_all_that_is_left_where_a_setting_says_so() {
    let told = crate::desk::Settings { mpg_refunds_remaining: true, ..settings() };
    let shop = Shop::open(super::router, told, 0);
    shop.key(SHOP, "mpg", TOKEN, None);
    let id = shop.payment(|_| ()).await;
    refund(&shop, &id, &[], r#"{"amount":4000}"#).await;
    let all = format!(r#"{{"transaction_id":"{T1}"}}"#);
    let rest = refund(&shop, &id, &[], &all).await.json();
    assert_eq!(rest["refunded_amount"], 10_000);
    assert_eq!(rest["transactions"][2]["amount"], 6000);
    let repeat = refund(&shop, &id, &[], &all).await;
    assert_eq!((repeat.status, repeat.json()), (200, rest));
    let used = invalid("transaction_id", "The value was already used for another request.");
    assert_eq!(refund(&shop, &id, &[], &wish(6000, T1)).await.told(), used);
    assert_eq!(refund(&shop, &id, &[], "").await.status, 400);
}
