//! What money does.

use super::*;

#[tokio::test]
async fn no_amount_is_the_whole_payment_or_nothing() {
    let shop = Shop::open();
    let id = shop.payment(|_| ()).await;
    assert_eq!(shop.refund(&id, "{\"amount\":30.5}").await.status, 200);
    for body in ["", "{}", "{\"note\":\"x\"}"] {
        assert_eq!(shop.refund(&id, body).await.told(), invalid(WHOLE), "{body}");
    }
    for amount in ["69.51", "70", "1e21", "69.506"] {
        let body = format!("{{\"amount\":{amount}}}");
        assert_eq!(shop.refund(&id, &body).await.told(), invalid(MORE), "{body}");
    }
    let fraction = "Invalid request: Value for field 'amount' has too many decimals, EUR has 2";
    let answer = shop.refund(&id, "{\"amount\":0.305}").await;
    assert_eq!(answer.told(), invalid(fraction));
    // As a client computes what is left in floating point.
    let answer = shop.refund(&id, "{\"amount\":69.49999999999999}").await;
    assert!(answer.text.contains("\"amount\":69.5"), "{}", answer.told());
    assert_eq!(shop.refund(&id, "{}").await.told(), invalid(WHOLE));
    assert_eq!(shop.refunded(&id).await, "100");

    for (captured, body) in [(Some(9_999), "{}"), (None, "{}")] {
        let id = shop.payment(|it| it.captures = captures(captured)).await;
        assert_eq!(shop.refund(&id, body).await.told(), invalid(WHOLE));
    }
    let whole = shop.payment(|_| ()).await;
    assert_eq!(shop.refund(&whole, "").await.status, 200);
    assert_eq!(shop.refunded(&whole).await, "100");
}

fn captures(units: Option<i64>) -> Vec<(CaptureId, Minor)> {
    let amount = units.and_then(Minor::new);
    let one = amount.map(|amount| (CaptureId::new(0xcafe), amount));
    one.into_iter().collect()
}

#[tokio::test]
async fn a_provider_that_says_no_leaves_no_row_and_one_that_says_nothing_does() {
    let shop = Shop::open();
    for (answers, told, status, left) in [
        ("decline", UNKNOWN, "declined", "0"),
        ("fail", UNKNOWN, "failed", "0"),
        (
            "decline:not_allowed:provider says no",
            "400 {\"type\":\"not_allowed\",\"message\":\"provider says no\"}",
            "declined",
            "0",
        ),
        ("unknown", "200 {\"payment\":{", "unknown", "10"),
        ("yes", "200 {\"payment\":{", "succeeded", "10"),
    ] {
        let answers_text = answers.to_owned();
        let id = shop
            .payment(|it| {
                it.connector = "bank".to_owned();
                it.connector_settings = Some(answers_text);
            })
            .await;
        let answer = shop.refund(&id, "{\"amount\":10}").await;
        assert!(answer.told().starts_with(told), "{answers}: {}", answer.told());
        assert_eq!(answer.header("requite-refund-status"), Some(status));
        assert!(answer.header("requite-refund-id").is_some());
        assert_eq!(shop.refunded(&id).await, left, "{answers}");
    }
}

#[tokio::test]
async fn a_key_gives_the_same_answer_once_more_and_never_a_second_refund() {
    let shop = Shop::open();
    let id = shop.payment(|_| ()).await;
    let basic = format!("Basic {KEY}");
    let headers = [("authorization", basic.as_str()), ("idempotency-key", "k-1")];
    let call = format!("POST /admin/payments/{id}/refund");
    let first = shop.ask_as(&headers, &call, "{\"amount\":10,\"note\":\"x\"}").await;
    assert_eq!(first.header("idempotent-replayed"), None);
    shop.refund(&id, "{\"amount\":5}").await;
    for body in ["{\"amount\":10,\"note\":\"x\"}", "{ \"note\":\"\\u0078\", \"amount\":1.0e1 }"] {
        let again = shop.ask_as(&headers, &call, body).await;
        assert_eq!(again.told(), first.told(), "{body}");
        assert_eq!(again.header("idempotent-replayed"), Some("true"));
    }
    for body in ["{\"amount\":11,\"note\":\"x\"}", "{\"amount\":10}", "{}"] {
        let other = shop.ask_as(&headers, &call, body).await;
        let start = "422 {\"code\":\"invalid_request_error\",\"type\":\"duplicate_error\",";
        assert!(other.told().starts_with(start), "{}", other.told());
    }
    assert_eq!(shop.refunded(&id).await, "15");

    let headers = [("authorization", basic.as_str()), ("idempotency-key", "k-2")];
    let first = shop.ask_as(&headers, &call, "{\"amount\":86}").await;
    let again = shop.ask_as(&headers, &call, "{\"amount\":86}").await;
    assert_eq!((first.told(), again.told()), (invalid(MORE), invalid(MORE)));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));

    let long = "k".repeat(256);
    let headers = [("authorization", basic.as_str()), ("idempotency-key", &long)];
    let answer = shop.ask_as(&headers, &call, "{\"amount\":1}").await;
    assert_eq!(answer.status, 400, "{}", answer.told());
}

#[tokio::test]
async fn while_the_first_is_under_way_its_key_is_a_conflict() {
    let shop = Shop::open();
    let id = shop
        .payment(|it| {
            it.connector = "bank".to_owned();
            it.connector_settings = Some("hold".to_owned());
        })
        .await;
    let basic = format!("Basic {KEY}");
    let headers = [("authorization", basic.as_str()), ("idempotency-key", "k-1")];
    let call = format!("POST /admin/payments/{id}/refund");
    let first = shop.ask_as(&headers, &call, "{\"amount\":10}");
    let second = async {
        shop.until_held().await;
        let second = shop.ask_as(&headers, &call, "{\"amount\":10}").await;
        shop.release();
        second
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!(second.told(), CONFLICT);
    assert_eq!(first.status, 200, "{}", first.told());
    assert_eq!(shop.refunded(&id).await, "10");
}
