//! Refunds, and payments after them.

use super::*;

const OTHER_MERCHANT: &[(&str, &str)] = &[("x-medusa-access-token", OTHER_TOKEN)];

#[tokio::test]
async fn a_refund_is_answered_with_its_ten_members_and_shows_on_the_payment() {
    let shop = Shop::open();
    let id = shop.payment(|payment| payment.order = Some("order_1".to_owned())).await;
    let answer =
        shop.refund(&id, r#"{"amount":2500,"reason":"return","note":"I didn't like it"}"#).await;
    assert_eq!(
        answer.told(),
        format!(
            r#"200 {{"refund":{{"id":"ref_{:0>26}","order_id":"order_1","payment_id":"{id}","amount":2500,"note":"I didn't like it","reason":"return","metadata":null,"idempotency_key":null,"created_at":"2024-09-15T12:27:45.123Z","updated_at":"2024-09-15T12:27:45.123Z"}}}}"#,
            "400"
        )
    );
    for (name, value) in [
        ("content-type", "application/json; charset=utf-8"),
        ("x-powered-by", "Express"),
        ("requite-refund-status", "succeeded"),
        ("requite-refund-id", "00000000-0000-0000-0000-000000001000"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
    assert_eq!(answer.header("idempotent-replayed"), None);
    assert_eq!(shop.amount_refunded(&id).await, 2500);
}

#[tokio::test]
async fn what_is_left_is_named_and_never_exceeded() {
    let shop = Shop::open();
    let id = shop.payment(|_| ()).await;
    let only = |left: i64| {
        format!(
            r#"400 {{"type":"not_allowed","message":"Only {left} can be refunded from Payment {id}"}}"#
        )
    };
    for (amount, answer) in [
        ("3000000000", Some(only(10_000))),
        ("1e19", Some(only(10_000))),
        ("2500", None),
        ("7501", Some(only(7500))),
        ("7500", None),
        ("1", Some(only(0))),
        ("1e30", Some(only(0))),
    ] {
        let body = format!(r#"{{"amount":{amount},"reason":"other"}}"#);
        let told = shop.refund(&id, &body).await.told();
        match answer {
            Some(refusal) => assert_eq!(told, refusal, "{amount}"),
            None => assert!(told.starts_with("200 "), "{amount}: {told}"),
        }
    }
    assert_eq!(shop.amount_refunded(&id).await, 10_000);
}

#[tokio::test]
async fn of_twenty_full_refunds_at_once_one_is_made() {
    let shop = Shop::open();
    let id = shop.payment(|_| ()).await;
    let shop = Arc::new(shop);
    let all: Vec<_> = (0..20)
        .map(|_| {
            let (shop, id) = (Arc::clone(&shop), id.clone());
            let refund = r#"{"amount":10000,"reason":"return"}"#;
            tokio::spawn(async move { shop.refund(&id, refund).await.status })
        })
        .collect();
    let mut made = 0;
    for task in all {
        match task.await.expect("no panic") {
            200 => made += 1,
            status => assert_eq!(status, 400),
        }
    }
    assert_eq!(made, 1);
}

#[tokio::test]
async fn a_payment_that_is_not_captured_or_is_cancelled_is_not_refunded() {
    let shop = Shop::open();
    let authorized = shop.payment(|payment| payment.captures.clear()).await;
    let cancelled = shop.payment(|payment| payment.cancelled_at_ms = Some(START_MS)).await;
    for (id, fault) in [(authorized, "not captured"), (cancelled, "canceled")] {
        let answer = shop.refund(&id, r#"{"amount":99999,"reason":"return"}"#).await;
        let told = format!(r#"400 {{"type":"not_allowed","message":"Payment {id} is {fault}"}}"#);
        assert_eq!(answer.told(), told);
    }
}

#[tokio::test]
async fn what_the_payment_provider_says_decides_what_is_shown() {
    let shop = Shop::open();
    for (settings, status, word, held) in [
        ("decline", 500, "declined", 0),
        ("fail", 500, "failed", 0),
        ("unknown", 200, "unknown", 6000),
        ("approve", 200, "succeeded", 6000),
    ] {
        let id = shop
            .payment(|payment| {
                payment.connector = "sandbox".to_owned();
                payment.connector_settings = Some(settings.to_owned());
            })
            .await;
        let answer = shop.refund(&id, r#"{"amount":6000,"reason":"other"}"#).await;
        assert_eq!(answer.status, status, "{settings}: {}", answer.text);
        assert_eq!(answer.header("requite-refund-status"), Some(word));
        if status == 500 {
            let failed = format!(
                r#"{{"type":"unexpected_state","message":"Failed to refund Payment {id}"}}"#
            );
            assert_eq!(answer.text, failed);
        }
        assert_eq!(shop.amount_refunded(&id).await, held, "{settings}");
    }
}

#[tokio::test]
async fn a_key_gives_one_refund_and_the_same_bytes_again() {
    let shop = Shop::open();
    let id = shop.payment(|_| ()).await;
    let keyed = [("x-medusa-access-token", TOKEN), ("idempotency-key", "key-0001")];
    let body = r#"{"amount":1000,"reason":"return"}"#;
    let first = shop.refund_with(&id, &keyed, body).await;
    assert_eq!(first.json()["refund"]["idempotency_key"], "key-0001");
    shop.pass(Duration::from_secs(60));
    shop.refund(&id, r#"{"amount":3,"reason":"other"}"#).await;

    for same in [body, r#" {"note":null, "reason":"return", "amount":1e3} "#] {
        let again = shop.refund_with(&id, &keyed, same).await;
        assert_eq!(again.told(), first.told());
        assert_eq!(again.header("idempotent-replayed"), Some("true"));
        for name in ["requite-refund-id", "requite-refund-status"] {
            assert_eq!(again.header(name), first.header(name));
        }
    }
    let other = shop.refund_with(&id, &keyed, r#"{"amount":1001,"reason":"return"}"#).await;
    assert_eq!(other.status, 422);
    assert_eq!(other.json()["code"], "invalid_request_error");
    assert_eq!(other.json()["type"], "duplicate_error");
    assert_eq!(shop.amount_refunded(&id).await, 1003);
}

#[tokio::test]
async fn while_the_first_is_asking_the_same_key_is_told_to_come_again() {
    let shop = Shop::open();
    let id = shop
        .payment(|payment| {
            payment.connector = "sandbox".to_owned();
            payment.connector_settings = Some("hold".to_owned());
        })
        .await;
    let shop = Arc::new(shop);
    let ask = || {
        let (shop, id) = (Arc::clone(&shop), id.clone());
        async move {
            let keyed = [("x-medusa-access-token", TOKEN), ("idempotency-key", "k")];
            let body = r#"{"amount":10000,"reason":"return"}"#;
            shop.refund_with(&id, &keyed, body).await
        }
    };
    let first = tokio::spawn(ask());
    shop.until_held().await;
    assert_eq!(
        ask().await.told(),
        r#"409 {"code":"invalid_state_error","message":"The request conflicted with another request. You may retry the request with the provided Idempotency-Key."}"#
    );
    shop.release();
    let first = first.await.expect("no panic");
    assert_eq!(first.status, 200, "{}", first.text);
    let again = ask().await;
    assert_eq!(again.told(), first.told());
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
}

#[tokio::test]
async fn a_refusal_and_a_failure_are_told_again_under_their_key() {
    let shop = Shop::open();
    let manual = shop.payment(|_| ()).await;
    let declining = shop
        .payment(|payment| {
            payment.connector = "sandbox".to_owned();
            payment.connector_settings = Some("decline".to_owned());
        })
        .await;
    for (id, amount, status) in [(manual, 10_001, 400), (declining, 1, 500)] {
        let keyed = [("x-medusa-access-token", TOKEN), ("idempotency-key", "k")];
        let body = format!(r#"{{"amount":{amount},"reason":"return"}}"#);
        let first = shop.refund_with(&id, &keyed, &body).await;
        assert_eq!(first.status, status);
        let again = shop.refund_with(&id, &keyed, &body).await;
        assert_eq!(again.told(), first.told());
        assert_eq!(again.header("idempotent-replayed"), Some("true"));
    }
}

#[tokio::test]
async fn a_malformed_request_leaves_its_key_free() {
    let shop = Shop::open();
    let id = shop.payment(|_| ()).await;
    let keyed = [("x-medusa-access-token", TOKEN), ("idempotency-key", "k")];
    let bad = shop.refund_with(&id, &keyed, r#"{"amount":0,"reason":"return"}"#);
    assert_eq!(bad.await.status, 400);
    let good = shop.refund_with(&id, &keyed, r#"{"amount":1,"reason":"return"}"#);
    assert_eq!(good.await.status, 200);
}

#[tokio::test]
async fn the_surroundings_come_when_both_are_asked_for() {
    let shop = Shop::open();
    let id = shop.payment(|_| ()).await;
    for (query, is_shown) in [("expand=order,payment", true), ("foo=1&expand=payment", false)] {
        let path = format!("/admin/payments/{id}/refund?{query}");
        let token = [("x-medusa-access-token", TOKEN)];
        let body = r#"{"amount":1,"reason":"other"}"#;
        let answer = shop.post_with(&path, &token, body).await;
        let refund = answer.json()["refund"].clone();
        let members = refund.as_object().expect("an object").len();
        assert_eq!(members, if is_shown { 12 } else { 10 }, "{query}");
        if is_shown {
            assert_eq!(refund["payment"]["amount_refunded"], 1);
            assert_eq!(refund["payment"]["id"], id);
            assert_eq!(refund["order"], Value::Null);
        }
    }
}

#[tokio::test]
async fn a_payment_answers_to_all_its_names_and_to_no_stranger() {
    let shop = Shop::open();
    let id = shop.payment(|payment| payment.aliases = vec!["ch_3Oabc".to_owned()]).await;
    let uuid = "00000000-0000-0000-0000-000000000103";
    for name in [id.as_str(), uuid, "ch_3Oabc"] {
        let read = shop.get(&format!("/admin/payments/{name}")).await;
        assert_eq!(read.status, 200, "{name}: {}", read.text);
        assert_eq!(read.json()["payment"]["id"], id);
        let made = shop.refund(name, r#"{"amount":1,"reason":"other"}"#).await;
        assert_eq!(made.json()["refund"]["payment_id"], id, "{name}");

        let told = format!(
            r#"404 {{"type":"not_found","message":"Payment with id {name} was not found"}}"#
        );
        let path = format!("/admin/payments/{name}");
        assert_eq!(shop.get_with(&path, OTHER_MERCHANT).await.told(), told);
        let body = r#"{"amount":1,"reason":"other"}"#;
        let foreign = shop.refund_with(name, OTHER_MERCHANT, body).await;
        assert_eq!(foreign.told(), told);
    }
    let none = "pay_01AAAAAAAAAAAAAAAAAAAAAAAA";
    let unknown = shop.refund(none, r#"{"amount":1,"reason":"other"}"#).await;
    let told =
        format!(r#"404 {{"type":"not_found","message":"Payment with id {none} was not found"}}"#);
    assert_eq!(unknown.told(), told);
}

#[tokio::test]
async fn a_payment_is_captured_once_and_then_shown_as_it_is() {
    let shop = Shop::open();
    let id = shop.payment(|payment| payment.captures.clear()).await;
    let path = format!("/admin/payments/{id}/capture");
    let token = [("x-medusa-access-token", TOKEN)];
    let capture = |body: &'static str| shop.post_with(&path, &token, body);
    assert_eq!(capture("{bad").await.status, 400);
    shop.pass(Duration::from_secs(1));
    let first = capture(r#"{"amount":1,"foo":"bar"}"#).await;
    assert_eq!(first.status, 200, "{}", first.text);
    let payment = &first.json()["payment"];
    assert_eq!(payment.as_object().expect("an object").len(), 15);
    assert_eq!(payment["captured_at"], "2024-09-15T12:27:46.123Z");
    shop.pass(Duration::from_secs(1));
    assert_eq!(capture("").await.told(), first.told());

    let refund = shop.refund(&id, r#"{"amount":10000,"reason":"other"}"#).await;
    assert_eq!(refund.status, 200, "all of it was captured: {}", refund.text);
    let cancelled = shop
        .payment(|payment| {
            payment.captures.clear();
            payment.cancelled_at_ms = Some(START_MS);
        })
        .await;
    let path = format!("/admin/payments/{cancelled}/capture");
    let answer = shop.exchange("POST", &path, &token, "").await;
    let told =
        format!(r#"400 {{"type":"not_allowed","message":"Payment {cancelled} is canceled"}}"#);
    assert_eq!(answer.told(), told);
}
