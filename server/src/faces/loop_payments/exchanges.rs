//! Whole exchanges through this face's routes.

use std::sync::Arc;
use std::time::Duration;

use requite_core::id::{parse_uuid, prefixed_text};
use serde_json::json;

use crate::desk::{Collector, Settings};
use crate::faces::testing::{Answer, OTHER_TOKEN, SHOP, Shop, TOKEN, settings};

const REFUNDS: &str = "/v1/admin/refunds";

fn open() -> Shop {
    Shop::open_to_bearers("loop", super::router)
}

async fn refund(shop: &Shop, with: &[(&str, &str)], body: &str) -> Answer {
    shop.send_body("POST", REFUNDS, with, body).await
}

/// As [`refund`], again and again while the outcome is unknown.
async fn outcome(shop: &Shop, with: &[(&str, &str)], body: &str) -> Answer {
    for _ in 0..500 {
        let answer = refund(shop, with, body).await;
        if answer.status != 503 {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the outcome stays unknown");
}

fn part(charge: &str, cents: i64) -> String {
    format!(r#"{{"charge_id":"{charge}","amount_cents":{cents}}}"#)
}

fn full(charge: &str) -> String {
    format!(r#"{{"charge_id":"{charge}","full":true}}"#)
}

fn spelled(prefix: &str, uuid: &str) -> String {
    prefixed_text(prefix, parse_uuid(uuid).expect("a UUID"))
}

#[tokio::test]
async fn a_refund_is_told_and_listed() {
    let shop = open();
    let id = shop.payment(|new| new.customer = Some("cus_1".to_owned())).await;
    let (charge, payment) = (spelled("ch_", &id), spelled("pay_", &id));
    let body = format!(r#"{{"charge_id":"{charge}","amount_cents":2500,"reason":"late"}}"#);
    let answer = refund(&shop, &[], &body).await;
    let made = "ref_00000000000000000000000400";
    assert_eq!(
        answer.told(),
        format!(
            r#"201 {{"refund_id":"{made}","payment_id":"{payment}","charge_id":"{charge}","amount_cents":2500,"status":"succeeded","stripe_refund_id":"re_psp0"}}"#
        )
    );
    assert_eq!(answer.header("requite-refund-status"), Some("succeeded"));
    let other = shop.payment(|_| ()).await;
    refund(&shop, &[], &full(&other)).await;
    let list = shop.send("GET", "/v1/admin/refunds?customer_id=cus_1&limit=10", &[]);
    assert_eq!(
        list.await.told(),
        format!(
            r#"200 {{"refunds":[{{"refund_id":"{made}","payment_id":"{payment}","charge_id":"{charge}","customer_id":"cus_1","amount_cents":2500,"status":"succeeded","reason":"late","stripe_refund_id":"re_psp0","created_at":"2024-09-15T12:27:45.123Z"}}]}}"#
        )
    );
    let all = shop.send("GET", REFUNDS, &[]).await.json();
    assert_eq!(all["refunds"][0]["amount_cents"], 10_000, "newest first");
    assert_eq!(all["refunds"][1]["refund_id"], made);
    let shown = shop.send("GET", &format!("/v1/payments/{payment}"), &[]).await;
    assert_eq!(
        shown.told(),
        format!(
            r#"200 {{"id":"{payment}","customer_id":"cus_1","order_id":null,"amount_cents":"10000","currency":"sar","status":"partially_refunded","stripe_payment_intent_id":null,"mode":"one_shot","subscription_id":null,"created_at":"2024-09-15T12:27:45.123Z","updated_at":"2024-09-15T12:27:45.123Z"}}"#
        )
    );
}

#[tokio::test]
async fn a_charge_has_several_names() {
    let shop = open();
    let names = ["ch_3Oabc", "pi_3Oabc", "basket 7"];
    let id = shop.payment(|new| new.aliases = names.map(str::to_owned).to_vec()).await;
    let ours = spelled("ch_", &id);
    let payment = spelled("pay_", &id);
    for (named, echoed) in [
        (ours.as_str(), ours.as_str()),
        (&payment, &ours),
        (&id, &ours),
        ("ch_3Oabc", "ch_3Oabc"),
        ("pi_3Oabc", "pi_3Oabc"),
        ("basket 7", "basket 7"),
    ] {
        let answer = refund(&shop, &[], &part(named, 1)).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        assert_eq!(answer.json()["charge_id"], echoed);
        assert_eq!(answer.json()["payment_id"], payment.as_str());
    }
    let list = shop.send("GET", REFUNDS, &[]).await.json();
    assert_eq!(list["refunds"][0]["charge_id"], "ch_3Oabc");
    let shown = shop.send("GET", "/v1/payments/ch_3Oabc", &[]).await.json();
    assert_eq!(shown["stripe_payment_intent_id"], "pi_3Oabc");
}

#[tokio::test]
async fn complaints_come_in_the_documented_order() {
    let shop = open();
    shop.key(SHOP, "loop", "reader", Some(&["read:payments"]));
    let open_payment = shop.payment(|new| new.captures.clear()).await;
    let spent = shop.payment(|_| ()).await;
    assert_eq!(refund(&shop, &[], &full(&spent)).await.status, 201);
    let cancelled = shop.payment(|new| new.cancelled_at_ms = Some(1)).await;
    let some = shop.payment(|_| ()).await;
    let other = format!("Bearer {OTHER_TOKEN}");
    let not_found = r#"404 {"error":"charge_not_found","message":"Charge not found"}"#;
    let spent_told = r#"409 {"error":"already_refunded","message":"Already refunded"}"#;
    let shop_token = format!("Bearer {}", TOKEN);
    for (authorization, body, told) in [
        ("", "{".to_owned(), r#"401 {"error":"unauthenticated""#),
        ("Bearer nobody", "{".to_owned(), r#"401 {"error":"unauthenticated""#),
        ("Bearer reader", "{".to_owned(), r#"403 {"error":"insufficient_scope""#),
        (&shop_token, "{".to_owned(), r#"422 {"error":"validation_error""#),
        (&shop_token, r#"{"charge_id":"nobody"}"#.to_owned(), r#"422 {"#),
        (&shop_token, full("nobody"), not_found),
        (&other, full(&some), not_found),
        (&shop_token, full(&spent), spent_told),
        (&shop_token, part(&spent, 99_999), spent_told),
        (&shop_token, full(&open_payment), r#"412 {"error":"payment_not_succeeded""#),
        (&shop_token, full(&cancelled), r#"412 {"error":"payment_not_succeeded""#),
        (
            &shop_token,
            part(&some, 10_001),
            r#"422 {"error":"validation_error","message":"amount_cents 10001 is more than is left to refund, which is 10000"}"#,
        ),
        (&shop_token, format!(r#"{{"charge_id":"{some}","amount_cents":1e30}}"#), r#"422 {"#),
        (&shop_token, full(&some), r#"201 {"#),
    ] {
        let answer = refund(&shop, &[("authorization", authorization)], &body).await;
        assert!(answer.told().starts_with(told), "{body}: {}", answer.told());
        let challenge = (answer.status == 401).then_some("Bearer");
        assert_eq!(answer.header("www-authenticate"), challenge);
    }
    let read = [("authorization", "Bearer reader")];
    assert_eq!(shop.send("GET", REFUNDS, &read).await.status, 200);
}

#[tokio::test]
async fn full_is_all_that_is_left_and_a_payment_route_defaults_to_it() {
    let shop = open();
    let id = shop.payment(|_| ()).await;
    refund(&shop, &[], &part(&id, 2500)).await;
    let rest = refund(&shop, &[], &full(&id)).await;
    assert_eq!(rest.json()["amount_cents"], 7500);
    let id = shop.payment(|_| ()).await;
    let payment = spelled("pay_", &id);
    for (body, told) in [
        (
            format!(r#"{{"payment_id":"{payment}","amount_cents":1,"reason":null}}"#),
            json!({"payment_id": payment, "amount_cents": 1, "status": "succeeded"}),
        ),
        (
            format!(r#"{{"payment_id":"{payment}"}}"#),
            json!({"payment_id": payment, "amount_cents": 9999, "status": "succeeded"}),
        ),
        (
            format!(r#"{{"payment_id":"{payment}"}}"#),
            json!({"error": "already_refunded", "message": "Already refunded"}),
        ),
        (
            r#"{"payment_id":"nobody"}"#.to_owned(),
            json!({"error": "payment_not_found", "message": "Payment not found"}),
        ),
    ] {
        let mut answer = shop.send_body("POST", "/v1/refunds", &[], &body).await.json();
        let members = answer.as_object_mut().expect("an object");
        members.remove("refund_id");
        assert_eq!(answer, told, "{body}");
    }
}

#[tokio::test]
async fn what_the_psp_refuses_is_an_error_and_its_repeat_the_same() {
    let shop = open();
    for (settings, told) in [
        ("decline:charge_already_refunded", r#"409 {"error":"already_refunded""#),
        ("decline:charge_disputed", r#"409 {"error":"conflict""#),
        ("decline:resource_missing", r#"404 {"error":"charge_not_found""#),
        ("decline:amount_too_large", r#"422 {"error":"validation_error""#),
        ("decline:51", r#"502 {"error":"stripe_error""#),
        ("fail", r#"502 {"error":"stripe_error""#),
    ] {
        let id = shop.payment_at(settings).await;
        let key = [("idempotency-key", settings)];
        let answer = refund(&shop, &key, &part(&id, 400)).await;
        assert!(answer.told().starts_with(told), "{}", answer.told());
        let repeat = refund(&shop, &key, &part(&id, 400)).await;
        assert_eq!(repeat.told(), answer.told());
        assert_eq!(repeat.header("idempotent-replayed"), Some("true"));
        let list = shop.send("GET", "/v1/admin/refunds?limit=1", &[]).await.json();
        assert_eq!(list["refunds"][0]["status"], "failed");
        assert_eq!(list["refunds"][0]["stripe_refund_id"], json!(null));
    }
    let id = shop.payment_at("pending").await;
    let pending = refund(&shop, &[], &part(&id, 9000)).await;
    assert_eq!(pending.status, 201);
    assert_eq!(pending.json()["status"], "pending");
    assert_eq!(refund(&shop, &[], &part(&id, 2000)).await.status, 422);
}

#[tokio::test]
async fn an_unknown_outcome_is_503_and_the_retry_joins() {
    let shop = open();
    let id = shop.payment_at("late").await;
    let keyed = [("idempotency-key", "k1")];
    let first = refund(&shop, &keyed, &part(&id, 4000)).await;
    assert_eq!(first.status, 503, "{}", first.text);
    assert_eq!(first.json()["error"], "temporarily_unavailable");
    assert_eq!(first.header("retry-after"), Some("5"));
    let refund_id = first.header("requite-refund-id");
    for with in [&keyed[..], &[]] {
        let retry = refund(&shop, with, &part(&id, 4000)).await;
        assert_eq!(retry.status, 503);
        assert_eq!(retry.header("requite-refund-id"), refund_id);
    }
    // Another amount is another refund.
    let other = refund(&shop, &[], &part(&id, 5000)).await;
    assert_ne!(other.header("requite-refund-id"), refund_id);
    assert_eq!(refund(&shop, &[], &full(&id)).await.status, 503);
    assert_eq!(refund(&shop, &[], &part(&id, 1)).await.status, 409);

    shop.pass(Duration::from_secs(3600));
    let told = outcome(&shop, &keyed, &part(&id, 4000)).await;
    assert_eq!(told.status, 201, "{}", told.text);
    assert_eq!(told.header("requite-refund-id"), refund_id);
    assert_eq!(told.json()["status"], "succeeded");
    assert_eq!(refund(&shop, &keyed, &part(&id, 4000)).await.told(), told.told());
    // A retry without a key that comes after the outcome still hears it; the next one is new.
    let told = outcome(&shop, &[], &part(&id, 5000)).await;
    assert_eq!(told.status, 201, "{}", told.text);
    let of_other = other.header("requite-refund-id");
    assert_eq!(told.header("requite-refund-id"), of_other);
    assert_eq!(refund(&shop, &[], &part(&id, 5000)).await.status, 409);
}

#[tokio::test]
async fn a_key_replays_its_answer_and_refuses_another_meaning() {
    let shop = open();
    let id = shop.payment(|_| ()).await;
    let other = shop.payment(|_| ()).await;
    let key = [("idempotency-key", "k1")];
    let body = format!(r#"{{"charge_id":"{id}","amount_cents":100,"reason":"a"}}"#);
    let first = refund(&shop, &key, &body).await;
    assert_eq!(first.status, 201);
    let spelt = format!(r#"{{ "reason": "\u0061", "amount_cents": 1e2, "charge_id": "{id}" }}"#);
    assert_eq!(refund(&shop, &key, &spelt).await.told(), first.told());
    for another in [part(&id, 100), part(&id, 101), full(&id), part(&other, 100)] {
        let answer = refund(&shop, &key, &another).await;
        assert_eq!(answer.status, 409, "{}", answer.text);
        assert_eq!(answer.json()["error"], "conflict");
    }
    let refused = refund(&shop, &[("idempotency-key", "k2")], &part(&id, 10_000)).await;
    let again = refund(&shop, &[("idempotency-key", "k2")], &part(&id, 10_000)).await;
    assert_eq!(again.told(), refused.told());
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
}

#[tokio::test]
async fn of_two_full_refunds_at_once_one_is_made() {
    let shop = Arc::new(open());
    for _ in 0..10 {
        let id = shop.payment(|_| ()).await;
        let send = || {
            let (shop, body) = (Arc::clone(&shop), full(&id));
            tokio::spawn(async move { refund(&shop, &[], &body).await.status })
        };
        let (one, two) = (send(), send());
        let mut both = [one.await.expect("no panic"), two.await.expect("no panic")];
        both.sort_unstable();
        assert_eq!(both, [201, 409]);
    }
}

#[tokio::test]
async fn a_checkout_makes_a_payment_that_can_be_given_back() {
    let shop = open();
    let path = "/v1/checkout";
    let body = r#"{"customer_id":"cus_1","amount_cents":4200,"order_id":"o","metadata":{"a":1}}"#;
    let keyed = [("idempotency-key", "k")];
    let made = shop.send_body("POST", path, &keyed, body).await;
    let id = made.json()["id"].as_str().expect("an id").to_owned();
    assert_eq!(
        made.told(),
        format!(
            r#"201 {{"id":"{id}","customer_id":"cus_1","order_id":"o","amount_cents":"4200","currency":"usd","status":"succeeded","stripe_payment_intent_id":null,"mode":"one_shot","subscription_id":null,"created_at":"2024-09-15T12:27:45.123Z","updated_at":"2024-09-15T12:27:45.123Z"}}"#
        )
    );
    assert_eq!(refund(&shop, &[], &part(&id, 4200)).await.status, 201);
    let shown = shop.send("GET", &format!("/v1/payments/{id}"), &[]).await.json();
    assert_eq!(shown["status"], "refunded");
    let spelt = body.replace("4200", "42e2");
    let again = shop.send_body("POST", path, &keyed, &spelt).await;
    assert_eq!(again.told(), made.told(), "as it was when it was made");
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    let other = body.replace("4200", "4201");
    for (keyed, sent, status) in [
        (&keyed[..], other.as_str(), 409),
        (&[], body, 201),
        (&[("idempotency-key", "")], body, 201),
        (&[], "{", 400),
        (&[("content-type", "text/plain")], body, 415),
        (&[("authorization", "Bearer nobody")], body, 401),
    ] {
        let answer = shop.send_body("POST", path, keyed, sent).await;
        assert_eq!(answer.status, status, "{sent}: {}", answer.text);
    }
    let plan = r#"{"customer_id":"c","amount_cents":1,"subscription_plan_id":"gold"}"#;
    let of_plan = shop.send_body("POST", path, &[], plan).await.json();
    assert_eq!(
        (&of_plan["mode"], &of_plan["subscription_id"]),
        (&json!("subscription"), &json!(null))
    );
}

#[tokio::test]
async fn a_checkout_that_nobody_has_taken_yet_is_not_told_as_succeeded() {
    let collector = Collector { connector: "manual", takes_at_once: false };
    let settings = Settings { loop_collector: collector, ..settings() };
    let shop = Shop::open(super::router, settings, 0);
    shop.key(SHOP, "loop", TOKEN, None);
    let body = r#"{"customer_id":"c","amount_cents":5,"currency":"EUR"}"#;
    let made = shop.send_body("POST", "/v1/checkout", &[], body).await.json();
    assert_eq!((&made["status"], &made["currency"]), (&json!("processing"), &json!("eur")));
    let id = made["id"].as_str().expect("an id");
    assert_eq!(refund(&shop, &[], &full(id)).await.status, 412);
}

#[tokio::test]
async fn there_are_no_disputes_and_they_are_asked_for_by_brand() {
    let shop = open();
    shop.key(SHOP, "loop", "reader", Some(&["read:payments"]));
    let read = [("authorization", "Bearer reader")];
    for (path, told) in [
        ("/v1/admin/disputes?brand_id=b", r#"200 {"disputes":[]}"#),
        (
            "/v1/admin/disputes",
            r#"422 {"error":"validation_error","message":"brand_id is required"}"#,
        ),
        ("/v1/admin/disputes?brand_id=", r#"422 {"error":"validation_error""#),
        (
            "/v1/admin/disputes/dp_1",
            r#"404 {"error":"dispute_not_found","message":"Dispute not found"}"#,
        ),
    ] {
        let answer = shop.send("GET", path, &read).await.told();
        assert!(answer.starts_with(told), "{path}: {answer}");
    }
    let checkout = shop.send_body("POST", "/v1/checkout", &read, "{}").await;
    assert_eq!(checkout.status, 403, "it needs more than reading");
}

#[tokio::test]
async fn what_became_of_a_payment_is_its_status() {
    let shop = open();
    let declined = requite_core::refund::Fault { code: "51".to_owned(), ..Default::default() };
    for (change, status) in [
        (None, "succeeded"),
        (Some(("captures", None)), "processing"),
        (Some(("cancelled", None)), "canceled"),
        (Some(("declined", Some(declined))), "failed"),
    ] {
        let id = shop.payment(|new| match change {
            None => {}
            Some(("cancelled", _)) => new.cancelled_at_ms = Some(1),
            Some((_, decline)) => {
                new.captures.clear();
                new.decline = decline;
            }
        });
        let id = id.await;
        let shown = shop.send("GET", &format!("/v1/payments/{id}"), &[]).await.json();
        assert_eq!(shown["status"], status);
    }
}

#[tokio::test]
async fn unknown_routes_are_answered_in_the_dialect() {
    let shop = open();
    for (method, path, told) in [
        ("GET", "/v1/charges", r#"404 {"error":"not_found","message":"Route not found"}"#),
        ("DELETE", REFUNDS, r#"405 {"error":"method_not_allowed""#),
        ("GET", "/v1/payments/pay_nope", r#"404 {"error":"payment_not_found""#),
        ("GET", "/v1/payments/%00", r#"400 {"error":"validation_error""#),
    ] {
        let answer = shop.send(method, path, &[]).await.told();
        assert!(answer.starts_with(told), "{path}: {answer}");
    }
}
