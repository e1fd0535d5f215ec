//! Captures, and reads that need not be sent again.

use requite_core::id::CaptureId;
use requite_core::money::Minor;

use super::*;

const AUTH: (&str, &str) = ("x-medusa-access-token", TOKEN);

#[tokio::test]
async fn a_key_captures_once_and_shows_the_payment_as_it_was_then() {
    let shop = Shop::open();
    let id = shop.payment(|payment| payment.captures.clear()).await;
    let other = shop.payment(|payment| payment.captures.clear()).await;
    let path = format!("/admin/payments/{id}/capture");
    let keyed = [AUTH, ("idempotency-key", "key-1")];
    let first = shop.post_with(&path, &keyed, "").await;
    assert_eq!((first.status, first.header("idempotent-replayed")), (200, None));
    assert_eq!(shop.refund(&id, r#"{"amount":4000,"reason":"other"}"#).await.status, 200);

    let again = shop.post_with(&path, &keyed, r#"{"ignored":true}"#).await;
    assert_eq!(again.told(), first.told());
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    let now = shop.post_with(&path, &[AUTH], "").await;
    assert_eq!(now.json()["payment"]["amount_refunded"], 4000);

    let elsewhere = format!("/admin/payments/{other}/capture");
    let made = shop.post_with(&elsewhere, &keyed, "").await;
    assert_eq!((made.status, made.header("idempotent-replayed")), (200, None));
    let long = "k".repeat(256);
    let refused = shop.post_with(&path, &[AUTH, ("idempotency-key", &long)], "").await;
    assert_eq!(refused.status, 400);
}

#[tokio::test]
async fn what_the_payment_provider_declines_is_not_captured_and_told_again_under_its_key() {
    let shop = Shop::open();
    let id = shop
        .payment(|payment| {
            payment.captures.clear();
            payment.connector = "sandbox".to_owned();
            payment.connector_settings = Some(r#"["capture:decline:51"]"#.to_owned());
        })
        .await;
    let path = format!("/admin/payments/{id}/capture");
    let told =
        format!(r#"500 {{"type":"unexpected_state","message":"Failed to capture Payment {id}"}}"#);
    for (key, replayed) in [("key-1", None), ("key-1", Some("true")), ("key-2", None)] {
        let answer = shop.post_with(&path, &[AUTH, ("idempotency-key", key)], "").await;
        assert_eq!(answer.told(), told);
        assert_eq!(answer.header("idempotent-replayed"), replayed, "{key}");
    }
    let read = shop.get(&format!("/admin/payments/{id}")).await;
    assert_eq!(read.json()["payment"]["captured_at"], Value::Null);
}

#[tokio::test]
async fn a_payment_of_which_a_part_was_captured_is_shown_as_it_is() {
    let shop = Shop::open();
    let part = Minor::new(2_500).expect("an amount");
    let id = shop.payment(|payment| payment.captures = vec![(CaptureId::new(77), part)]).await;
    let path = format!("/admin/payments/{id}/capture");
    for key in ["", "key-1", "key-1"] {
        let answer = shop.post_with(&path, &[AUTH, ("idempotency-key", key)], "").await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    let over = shop.refund(&id, r#"{"amount":2501,"reason":"other"}"#).await;
    assert_eq!(over.status, 400, "no more than the part can be given back: {}", over.text);
}

#[tokio::test]
async fn a_read_that_has_not_changed_is_not_sent_again() {
    let shop = Shop::open();
    let id = shop.payment(|_| ()).await;
    let path = format!("/admin/payments/{id}");
    let read = shop.get(&path).await;
    let tag = read.header("etag").expect("a tag").to_owned();
    let known = [AUTH, ("if-none-match", tag.as_str())];
    let answer = shop.get_with(&path, &known).await;
    assert_eq!((answer.status, answer.text.as_str()), (304, ""));
    assert_eq!(answer.header("etag"), Some(tag.as_str()));
    let head = shop.exchange("HEAD", &path, &[AUTH], "").await;
    assert_eq!((head.status, head.text.as_str()), (200, ""));
    assert_eq!(head.header("etag"), Some(tag.as_str()));
    let length = read.text.len().to_string();
    assert_eq!(head.header("content-length"), Some(length.as_str()));

    assert_eq!(shop.refund(&id, r#"{"amount":1,"reason":"other"}"#).await.status, 200);
    assert_eq!(shop.get_with(&path, &known).await.status, 200);
    let refused = shop.refund(&id, r#"{"amount":10000,"reason":"other"}"#).await;
    assert!(refused.header("etag").is_some(), "the original tags refusals too");
}
