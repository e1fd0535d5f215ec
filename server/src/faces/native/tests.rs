//! What people see of open refunds, and their word on them, through this API's routes.

use std::time::Duration;

use serde_json::{Value, json};

use crate::faces::testing::{Answer, OTHER_TOKEN, SHOP, Shop, TOKEN};

const LIST: &str = "/refunds?needs=person";
const MINUTE: Duration = Duration::from_secs(60);

fn open() -> Shop {
    Shop::open_to_bearers("native", super::router)
}

/// A refund of a payment whose PSP does as `settings` say; its id.
async fn refund(shop: &Shop, settings: &str) -> String {
    let payment = shop.payment_at(settings).await;
    let path = format!("/payments/{payment}/refunds");
    let answer = shop.send_body("POST", &path, &[], r#"{"amount":100}"#).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    answer.json()["id"].as_str().expect("an id").to_owned()
}

async fn resolve(shop: &Shop, id: &str, with: &[(&str, &str)], body: &Value) -> Answer {
    let path = format!("/refunds/{id}/resolution");
    shop.send_body("POST", &path, with, &body.to_string()).await
}

async fn listed(shop: &Shop) -> Vec<(String, String)> {
    let page = shop.send("GET", LIST, &[]).await.json();
    let items = page["items"].as_array().expect("a page").iter();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    items.map(|item| (text(&item["id"]), text(&item["needs"]["why"]))).collect()
}

fn word(outcome: &str) -> Value {
    json!({"outcome": outcome, "evidence": "seen in the PSP's dashboard"})
}

#[tokio::test]
async fn what_nobody_else_can_tell_of_is_listed_until_somebody_does() {
    let shop = open();
    let unknown = refund(&shop, "unknown").await;
    let pending = refund(&shop, "pending").await;
    refund(&shop, "approve").await;
    assert_eq!(listed(&shop).await, []);
    shop.pass(22 * MINUTE);
    assert_eq!(listed(&shop).await, [(unknown.clone(), "unknown".to_owned())]);
    shop.pass(10 * 24 * 60 * MINUTE);
    let both =
        [(pending.clone(), "pending_long".to_owned()), (unknown.clone(), "unknown".to_owned())];
    assert_eq!(listed(&shop).await, both);
    // A refund as such does not say so, and another merchant's list does not have it.
    let shown = shop.send("GET", &format!("/refunds/{unknown}"), &[]).await.json();
    assert_eq!(shown.get("needs"), None);
    let bearer = format!("Bearer {OTHER_TOKEN}");
    let others = shop.send("GET", LIST, &[("authorization", &bearer)]).await.json();
    assert_eq!(others["items"], json!([]));
    let done = resolve(&shop, &unknown, &[], &word("failed")).await;
    assert_eq!((done.status, &done.json()["status"]), (200, &json!("failed")), "{}", done.text);
    assert_eq!(listed(&shop).await, [(pending, "pending_long".to_owned())]);
    let refused = shop.send("GET", "/refunds?needs=nobody", &[]).await;
    assert_eq!(refused.status, 400, "{}", refused.text);
}

#[tokio::test]
async fn a_resolution_is_kept_with_its_evidence_and_repeated_under_its_key() {
    let shop = open();
    let id = refund(&shop, "unknown").await;
    let body =
        json!({"outcome": "succeeded", "evidence": "statement of 3 May", "psp_refund": "re_9"});
    let key = [("idempotency-key", "k1")];
    let first = resolve(&shop, &id, &key, &body).await;
    assert_eq!(first.status, 200, "{}", first.text);
    let shown = first.json();
    assert_eq!((&shown["status"], &shown["psp_refund_id"]), (&json!("succeeded"), &json!("re_9")));
    let again = resolve(&shop, &id, &key, &body).await;
    assert_eq!(again.told(), first.told());
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    let other = resolve(&shop, &id, &key, &word("failed")).await;
    assert_eq!((other.status, &other.json()["error"]["code"]), (422, &json!("key_reused")));
    // Without a key it says the same again, and not the contrary.
    assert_eq!(resolve(&shop, &id, &[], &body).await.status, 200);
    let contrary = resolve(&shop, &id, &[], &word("failed")).await;
    assert_eq!(contrary.status, 409, "{}", contrary.text);
    assert_eq!(contrary.json()["error"]["code"], "not_resolvable");
    let payment = shown["payment"].as_str().expect("an id");
    let events = shop.send("GET", &format!("/payments/{payment}/events"), &[]).await.json();
    let events = events["items"].as_array().expect("a page").clone();
    let said =
        events.iter().find(|event| event["kind"] == "resolved").expect("an event of its own");
    assert_eq!(said["error"], json!({"code": "succeeded", "text": "statement of 3 May"}));
    assert_eq!(said["subject"], json!(id));
    assert_ne!(said["actor"], json!("requite"));
}

#[tokio::test]
async fn a_resolution_without_evidence_or_of_nobody_s_refund_is_refused() {
    let shop = open();
    let id = refund(&shop, "unknown").await;
    for (body, pointer) in [
        (json!({}), "/outcome"),
        (json!({"outcome": "succeeded"}), "/evidence"),
        (json!({"outcome": "succeeded", "evidence": " "}), "/evidence"),
        (json!({"outcome": "succeeded", "evidence": ""}), "/evidence"),
        (json!({"outcome": "unknown", "evidence": "x"}), "/outcome"),
        (json!({"outcome": "failed", "evidence": "x".repeat(4_097)}), "/evidence"),
        (json!({"outcome": "failed", "evidence": "x", "amount": 1}), "/amount"),
    ] {
        let answer = resolve(&shop, &id, &[], &body).await;
        assert_eq!(answer.status, 422, "{body}: {}", answer.text);
        assert_eq!(answer.json()["error"]["details"][0]["pointer"], pointer, "{body}");
    }
    let bearer = format!("Bearer {OTHER_TOKEN}");
    let foreign = resolve(&shop, &id, &[("authorization", &bearer)], &word("failed")).await;
    let unknown = "0191f5a7-44d3-7430-8739-2d80821416bf";
    let missing = resolve(&shop, unknown, &[], &word("failed")).await;
    assert_eq!((foreign.status, &foreign.text), (404, &missing.text));
    shop.key(SHOP, "native", "rq_reader", Some(&["refunds.create", "refunds.read"]));
    let barred =
        resolve(&shop, &id, &[("authorization", "Bearer rq_reader")], &word("failed")).await;
    assert_eq!((barred.status, &barred.json()["error"]["scope"]), (403, &json!("refunds.operate")));
    let shown = shop.send("GET", &format!("/refunds/{id}"), &[]).await.json();
    assert_eq!(shown["status"], "unknown", "{TOKEN}: nothing was changed");
}

/// A payment that the sandbox pays, with a refund that waits for the customer; the refund's path.
async fn waiting(shop: &Shop, settings: &str) -> String {
    let payment = shop.payment(|new| {
        new.connector = "sandbox".to_owned();
        new.connector_settings = Some(settings.to_owned());
    });
    let path = format!("/payments/{}/refunds", payment.await);
    let answer = shop.send_body("POST", &path, &[], r#"{"amount":100}"#).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    format!("/refunds/{}", answer.json()["id"].as_str().expect("an id"))
}

#[tokio::test]
async fn a_refund_that_waits_for_the_customer_is_cancelled_and_shows_who_asked() {
    let shop = open();
    let refund = waiting(&shop, "action").await;
    let cancel = format!("{refund}/cancel");
    let key = [("idempotency-key", "c1")];
    let first = shop.send_body("POST", &cancel, &key, "{}").await;
    assert_eq!((first.status, &first.json()["status"]), (200, &json!("voided")), "{}", first.text);
    assert_eq!(first.header("requite-refund-status"), Some("voided"));
    assert_eq!(first.json(), shop.send("GET", &refund, &[]).await.json());
    let again = shop.send_body("POST", &cancel, &key, "").await;
    assert_eq!(again.told(), first.told());
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    // Without a key it is done already.
    let done = shop.send("POST", &cancel, &[]).await;
    assert_eq!((done.status, done.text), (200, first.text.clone()));
    let payment = first.json()["payment"].as_str().expect("an id").to_owned();
    let shown = shop.send("GET", &format!("/payments/{payment}"), &[]).await.json();
    assert_eq!(shown["totals"]["reserved"], 0, "the money is free: {shown}");
    let events = shop.send("GET", &format!("/payments/{payment}/events"), &[]).await.json();
    let events = events["items"].as_array().expect("a page").clone();
    let asked: Vec<&Value> =
        events.iter().filter(|event| event["kind"] == "cancel_asked").collect();
    assert_eq!(asked.len(), 1, "asked once: {events:?}");
    assert_ne!(asked[0]["actor"], json!("requite"));
    assert_eq!(asked[0]["subject"], first.json()["id"]);
}

#[tokio::test]
async fn what_cannot_be_cancelled_is_refused_with_what_can() {
    let shop = open();
    for (settings, told) in [
        ("approve", "the refund is succeeded; its PSP cancels only one that is requires_action"),
        ("pending", "the refund is pending; its PSP cancels only one that is requires_action"),
        ("unknown", "the refund is unknown; its PSP cancels only one that is requires_action"),
    ] {
        let refund = waiting(&shop, settings).await;
        let answer = shop.send("POST", &format!("{refund}/cancel"), &[]).await;
        let error = &answer.json()["error"];
        assert_eq!((answer.status, &error["code"]), (409, &json!("not_cancelable")), "{settings}");
        assert_eq!(error["message"], told);
    }
    // The same refund at a connector whose PSP cancels none.
    let payment = shop.payment_at("action").await;
    let path = format!("/payments/{payment}/refunds");
    let made = shop.send_body("POST", &path, &[], r#"{"amount":100}"#).await.json();
    let refund = format!("/refunds/{}", made["id"].as_str().expect("an id"));
    let answer = shop.send("POST", &format!("{refund}/cancel"), &[]).await;
    let message = answer.json()["error"]["message"].as_str().expect("a text").to_owned();
    assert_eq!(answer.status, 409, "{message}");
    assert!(message.contains("requires_action, and its PSP cancels no refunds"), "{message}");
    let shown = shop.send("GET", &refund, &[]).await.json();
    assert_eq!(shown["status"], "requires_action", "nothing was changed");
    let odd = shop.send_body("POST", &format!("{refund}/cancel"), &[], r#"{"amount":1}"#).await;
    assert_eq!(odd.status, 422, "{}", odd.text);
}

/// Whoever may refund may take it back, and so may whoever sees to open refunds; nobody else.
#[tokio::test]
async fn a_cancellation_needs_a_scope_and_one_s_own_refund() {
    let shop = open();
    let refund = waiting(&shop, "action").await;
    let cancel = format!("{refund}/cancel");
    let bearer = format!("Bearer {OTHER_TOKEN}");
    let foreign = shop.send("POST", &cancel, &[("authorization", &bearer)]).await;
    let nobody = "/refunds/0191f5a7-44d3-7430-8739-2d80821416bf/cancel";
    let missing = shop.send("POST", nobody, &[]).await;
    assert_eq!((foreign.status, &foreign.text), (404, &missing.text));
    for (token, scope, status) in [
        ("rq_reader", "refunds.read", 403),
        ("rq_operator", "refunds.operate", 200),
        ("rq_refunder", "refunds.create", 200),
    ] {
        shop.key(SHOP, "native", token, Some(&[scope]));
        let bearer = format!("Bearer {token}");
        let answer = shop.send("POST", &cancel, &[("authorization", &bearer)]).await;
        assert_eq!(answer.status, status, "{scope}: {}", answer.text);
    }
}
