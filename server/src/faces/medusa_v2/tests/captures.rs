//! Captures, and their keys.

use super::keyed::REUSED;
use super::*;

const TOO_MUCH: &str =
    "You cannot capture more than the authorized amount substracted by what is already captured.";

#[tokio::test]
async fn captures_take_what_is_authorised_and_no_more() {
    let shop = Shop::open();
    let id = shop.payment(|it| it.captures.clear()).await;
    let call = format!("POST /admin/payments/{id}/capture?fields=captures.amount,captured_amount");
    let answer = shop.ask(&call, "{\"amount\":30}").await;
    assert!(answer.text.contains("\"captured_amount\":30,"), "{}", answer.told());
    for body in ["{}", "{\"amount\":70.01}", "{\"amount\":1e30}"] {
        assert_eq!(shop.told(&call, body).await, invalid(TOO_MUCH), "{body}");
    }
    let answer = shop.ask(&call, "{\"amount\":69.999999}").await;
    assert!(answer.text.contains("\"captured_amount\":100,"), "{}", answer.told());
    // Captured as a whole: the answer is the payment as it is.
    assert_eq!(shop.told(&call, "{\"amount\":5}").await, answer.told());
    let told = shop.told("POST /admin/payments/pay_x/capture", "{}").await;
    assert_eq!(told, not_found("Payment with id: pay_x was not found"));
    let cancelled = shop
        .payment(|it| {
            it.captures.clear();
            it.cancelled_at_ms = Some(START_MS);
        })
        .await;
    let call = format!("POST /admin/payments/{cancelled}/capture");
    let told = shop.told(&call, "{}").await;
    assert_eq!(told, invalid(&format!("The payment: {cancelled} has been canceled.")));
}

#[tokio::test]
async fn a_key_captures_once_and_is_answered_the_same_ever_after() {
    let shop = Shop::open();
    let id = shop.payment(|it| it.captures.clear()).await;
    let call = format!("POST /admin/payments/{id}/capture");
    let first = shop.ask_keyed("k1", &call, "{\"amount\":30}").await;
    assert_eq!((first.status, first.header("idempotent-replayed")), (200, None));
    let refused = shop.ask_keyed("k2", &call, "{}").await;
    assert_eq!(refused.told(), invalid(TOO_MUCH));
    let rest = shop.ask_keyed("k3", &call, "{\"amount\":70.001}").await;
    assert_eq!(rest.status, 200, "{}", rest.told());
    // All is captured: the payment as it is.
    let whole = shop.ask_keyed("k4", &call, "{\"amount\":5}").await;
    assert_eq!(whole.told(), rest.told());

    assert_eq!(shop.refund(&id, "{\"amount\":1}").await.status, 200);
    shop.pass(Duration::from_hours(29 * 24));
    for (key, body, answer) in [
        ("k1", "{ \"amount\" : 30.0 }", &first),
        ("k2", "", &refused),
        ("k3", "{\"amount\":70.001}", &rest),
        ("k4", "{\"amount\":5}", &whole),
    ] {
        let again = shop.ask_keyed(key, &call, body).await;
        assert_eq!(again.told(), answer.told(), "{key}");
        assert_eq!(again.header("etag"), answer.header("etag"), "{key}");
        assert_eq!(again.header("idempotent-replayed"), Some("true"), "{key}");
        let other = shop.ask_keyed(key, &call, "{\"amount\":31}").await;
        assert_eq!(other.told(), REUSED, "{key}");
    }
    let shown = shop.told(&format!("GET /admin/payments/{id}?fields=captures.amount"), "").await;
    assert_eq!(shown.matches("\"amount\"").count(), 2, "{shown}");
}

#[tokio::test]
async fn a_capture_of_bad_form_leaves_its_key_free() {
    let shop = Shop::open();
    let id = shop.payment(|it| it.captures.clear()).await;
    let call = format!("POST /admin/payments/{id}/capture?fields=captures.amount");
    let decimals = "Invalid request: Value for field 'amount' has too many decimals, EUR has 2";
    for body in ["{\"amount\":0}", "{\"amount\":-1}", "{\"amount\":\"1\"}", "{\"amount\":1.001}"] {
        let answer = shop.ask_keyed("k1", &call, body).await;
        assert_eq!(answer.status, 400, "{}", answer.told());
        let is_decimals = body.ends_with("1.001}");
        assert_eq!(answer.told() == invalid(decimals), is_decimals, "{}", answer.told());
    }
    let unknown = shop.ask_keyed("k1", "POST /admin/payments/pay_x/capture", "{}").await;
    assert_eq!(unknown.status, 404, "{}", unknown.told());
    let made = shop.ask_keyed("k1", &call, "{\"amount\":1}").await;
    assert_eq!(made.status, 200, "{}", made.told());
    // Another payment has its own keys.
    let id = shop.payment(|it| it.captures.clear()).await;
    let made = shop.ask_keyed("k1", &format!("POST /admin/payments/{id}/capture"), "{}").await;
    assert_eq!((made.status, made.header("idempotent-replayed")), (200, None));
}

#[tokio::test]
async fn a_capture_names_who_made_it_here() {
    let shop = Shop::open();
    let id = shop.payment(|it| it.captures[0].1 = Minor::new(2_000).expect("an amount")).await;
    let call = format!("POST /admin/payments/{id}/capture?fields=captures.created_by");
    let answer = shop.ask(&call, "{\"amount\":30}").await.json();
    let captures = &answer["payment"]["captures"];
    assert_eq!(captures[0]["created_by"], serde_json::Value::Null, "made elsewhere");
    let actor = captures[1]["created_by"].as_str().expect("an actor");
    assert!(actor.starts_with("apk_"), "{actor}");
}
