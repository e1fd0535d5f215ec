//! The exchanges.

use std::time::Duration;

use super::stage::{START_S, at_psp};
use super::*;
use crate::crypto::p521::PrivateKey;

const UNKNOWN: &str = "00000000-0000-4000-8000-000000000000";

#[tokio::test]
async fn no_amount_refunds_all_that_is_left_of_the_payment_method() {
    let stage = Stage::open();
    let id = stage.transaction_with(&[2_500], |_| ()).await;

    let first = stage.refund(&id, &json!({"amount": 4000})).await;
    let rest = stage.refund(&id, &json!({})).await;

    assert_eq!((first.status, rest.status), (201, 201), "{}", rest.text);
    assert_eq!(first.json()["amount"], 4000);
    assert_eq!(rest.json()["amount"], 6000);
    assert_eq!(rest.json()["status"], "succeeded");
    assert_eq!(rest.json()["target_type"], "payment-method");
    assert_eq!(rest.header("requite-refund-id"), rest.json()["id"].as_str());
    assert_eq!(rest.header("requite-refund-status"), Some("succeeded"));
    let read = stage.send(stage.get(&format!("/transactions/{id}"))).await;
    assert_eq!(read.json()["refunded_amount"], 10_000);
    assert_eq!(read.json()["gift_card_redemptions"][0]["refunded_amount"], 0);
    assert_eq!(read.json()["merchant_account_id"], "acme");
}

#[tokio::test]
async fn a_refund_is_read_by_both_routes_and_listed_newest_first() {
    let stage = Stage::open();
    let id = stage.transaction().await;
    let body = json!({"amount": 1, "reason": "box was\nopen", "external_identifier": "return-1"});
    let first = stage.refund(&id, &body).await;
    let second = stage.refund(&id, &json!({"amount": 2})).await;
    let made = first.json();
    let refund = made["id"].as_str().expect("an id");

    for path in [
        format!("/refunds/{refund}"),
        format!("/transactions/{id}/refunds/{refund}"),
        format!("/transactions/{}/refunds/{refund}", id.to_uppercase()),
        format!("/transactions/alias-{id}/refunds/{refund}"),
        format!("/refunds/{}", first.json()["reconciliation_id"].as_str().expect("a text")),
    ] {
        let read = stage.send(stage.get(&path)).await;
        assert_eq!(read.status, 200, "{path}: {}", read.text);
        assert_eq!(read.text, first.text, "{path}");
    }
    let list = stage.send(stage.get(&format!("/transactions/{id}/refunds"))).await;
    assert_eq!(list.json()["items"], json!([second.json(), first.json()]));
    assert_eq!(list.json()["limit"], 20);
    assert_eq!(first.json()["reason"], "box was\nopen");
    assert_eq!(first.json()["external_identifier"], "return-1");
    assert_eq!(first.json()["transaction_external_identifier"], format!("order-{id}"));
}

#[tokio::test]
async fn what_the_psp_says_at_once_is_the_refunds_status() {
    let stage = Stage::open();
    for (script, status, error_code, raw) in [
        ("approve", "succeeded", Value::Null, Value::Null),
        ("decline:51", "declined", json!("service_decline"), json!("51")),
        ("decline:issuer_decline", "declined", json!("issuer_decline"), json!("issuer_decline")),
        ("fail:E1", "failed", json!("service_error"), json!("E1")),
        ("pending", "processing", Value::Null, Value::Null),
        ("unknown", "processing", Value::Null, Value::Null),
        ("hold", "processing", Value::Null, Value::Null),
    ] {
        let id = stage.scripted(script).await;
        let made = stage.refund(&id, &json!({"amount": 6000})).await;
        assert_eq!(made.status, 201, "{script}: {}", made.text);
        assert_eq!(made.json()["status"], status, "{script}");
        assert_eq!(made.json()["error_code"], error_code, "{script}");
        assert_eq!(made.json()["raw_response_code"], raw, "{script}");
        let is_over = ["declined", "failed"].contains(&status);
        let again = stage.refund(&id, &json!({"amount": 6000})).await;
        assert_eq!(again.status == 201, is_over, "{script}: {}", again.text);
    }
}

#[tokio::test]
async fn what_the_money_does_not_allow_is_refused_with_the_pointer_amount() {
    let stage = Stage::open();
    let uncaptured = stage.transaction_with(&[], |new| new.captures.clear()).await;
    let spent = stage.transaction().await;
    assert_eq!(stage.refund(&spent, &json!({})).await.status, 201);
    let whole = stage.transaction().await;
    for (id, body) in [
        (&uncaptured, json!({})),
        (&uncaptured, json!({"amount": 1})),
        (&spent, json!({})),
        (&spent, json!({"amount": 1})),
        (&whole, json!({"amount": 10_001})),
        (&whole, json!({"amount": 0})),
    ] {
        let refused = stage.refund(id, &body).await;
        assert_error(&refused, 400, "bad_request");
        assert_eq!(pointers(&refused), ["/amount"], "{body}");
    }
    let list = stage.send(stage.get(&format!("/transactions/{whole}/refunds"))).await;
    assert_eq!(list.json()["items"], json!([]));
}

#[tokio::test]
async fn a_gift_card_is_refunded_by_the_id_of_its_redemption_and_by_nothing_else() {
    let stage = Stage::open();
    let id = stage.transaction_with(&[2_500], |_| ()).await;
    let read = stage.send(stage.get(&format!("/transactions/{id}"))).await;
    let redemption = read.json()["gift_card_redemptions"][0]["id"].clone();
    let redemption = redemption.as_str().expect("an id");
    let card = read.json()["payment_method"]["id"].clone();
    let card = card.as_str().expect("an id");

    for (body, pointer) in [
        (json!({"target_type": "gift-card-redemption"}), "/target_id"),
        (gift_card(UNKNOWN), "/target_id"),
        (gift_card(card), "/target_id"),
        (json!({"target_id": redemption}), "/target_id"),
    ] {
        let refused = stage.refund(&id, &body).await;
        assert_error(&refused, 400, "bad_request");
        assert_eq!(pointers(&refused), [pointer], "{body}");
    }
    let mut partial = gift_card(redemption);
    partial["amount"] = json!(500);
    let partial = stage.refund(&id, &partial).await;
    let rest = stage.refund(&id, &gift_card(redemption)).await;
    let of_card = stage.refund(&id, &json!({"target_id": card, "amount": 7})).await;

    assert_eq!((partial.status, rest.status), (201, 201), "{}", rest.text);
    assert_eq!(rest.json()["amount"], 2000);
    assert_eq!(rest.json()["target_type"], "gift-card-redemption");
    assert_eq!(rest.json()["target_id"], redemption);
    assert_eq!(of_card.json()["target_id"], card);
    let read = stage.send(stage.get(&format!("/transactions/{id}"))).await;
    assert_eq!(read.json()["refunded_amount"], 7);
    assert_eq!(read.json()["gift_card_redemptions"][0]["refunded_amount"], 2500);
}

#[tokio::test]
async fn the_same_key_gives_the_same_bytes_and_another_meaning_a_conflict() {
    let stage = Stage::open();
    for script in ["approve", "decline:51", "pending", "unknown"] {
        let id = stage.scripted(script).await;
        let path = format!("/transactions/{id}/refunds");
        let keyed = |body: &str| stage.post(&path, body).header("idempotency-key", script);
        let first = stage.send(keyed(r#"{"amount":1000}"#)).await;
        stage.pass(Duration::from_secs(1));
        let other = stage.refund(&id, &json!({"amount": 5})).await;
        let again = stage.send(keyed(r#" {"amount": 1e3, "reason": null}"#)).await;
        assert_eq!((first.status, other.status), (201, 201), "{script}");
        assert_eq!(again.text, first.text, "{script}");
        assert_eq!(again.header("idempotent-replayed"), Some("true"));
        assert_eq!(first.header("idempotent-replayed"), None);
        let reused = stage.send(keyed(r#"{"amount":1001}"#)).await;
        assert_error(&reused, 409, "idempotency_mismatch");
        assert!(reused.json()["resource_id"].is_null());
    }
    let elsewhere = stage.transaction().await;
    let call = stage.post(&format!("/transactions/{elsewhere}/refunds"), r#"{"amount":1001}"#);
    let fresh = stage.send(call.header("idempotency-key", "approve")).await;
    assert_eq!(fresh.status, 201, "a key is one transaction's: {}", fresh.text);
}

#[tokio::test]
async fn a_refused_body_leaves_its_key_free_and_a_refusal_of_money_keeps_it() {
    let stage = Stage::open();
    let id = stage.transaction().await;
    let path = format!("/transactions/{id}/refunds");
    let keyed = |body: &str| stage.post(&path, body).header("idempotency-key", "k");
    assert_error(&stage.send(keyed(r#"{"amount":0}"#)).await, 400, "bad_request");
    let over = stage.send(keyed(r#"{"amount":10001}"#)).await;
    assert_error(&over, 400, "bad_request");
    let again = stage.send(keyed(r#"{"amount":10001}"#)).await;
    assert_eq!(again.text, over.text);
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    let reused = stage.send(keyed(r#"{"amount":1}"#)).await;
    assert_error(&reused, 409, "idempotency_mismatch");
}

#[tokio::test]
async fn a_key_whose_refund_is_still_being_asked_for_is_in_progress() {
    let stage = Stage::open();
    let id = stage.scripted("hold").await;
    let path = format!("/transactions/{id}/refunds");
    let call = stage.post(&path, "{}").header("idempotency-key", "k");
    let (one, two) = tokio::join!(stage.send(call.clone()), stage.send(call.clone()));
    let (made, refused) = if one.status == 201 { (one, two) } else { (two, one) };
    assert_eq!(made.status, 201, "{}", made.text);
    assert_error(&refused, 409, "concurrent_request");
    assert_eq!(stage.send(call).await.text, made.text);
}

#[tokio::test]
async fn refund_all_gives_back_what_is_left_on_each_instrument() {
    let stage = Stage::open();
    let id = stage.transaction_with(&[2_500, 300], |_| ()).await;
    stage.refund(&id, &json!({"amount": 4000})).await;
    let path = format!("/transactions/{id}/refunds/all");
    let body = r#"{"reason":"shop closed","external_identifier":"r"}"#;
    let call = stage.post(&path, body).header("idempotency-key", "k");

    let made = stage.send(call.clone()).await;

    assert_eq!(made.status, 201, "{}", made.text);
    let body = made.json();
    let items = body["items"].as_array().expect("a list");
    let parts: Vec<Value> = items
        .iter()
        .map(|item| json!([item["target_type"], item["amount"], item["reason"]]))
        .collect();
    let (card, gift) = ("payment-method", "gift-card-redemption");
    let expected = [
        json!([card, 6000, "shop closed"]),
        json!([gift, 2500, "shop closed"]),
        json!([gift, 300, "shop closed"]),
    ];
    assert_eq!(parts, expected);
    assert_eq!(made.headers.get_all("requite-refund-id").iter().count(), 3);

    let again = stage.send(call).await;
    assert_eq!(again.text, made.text);
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    let reused = stage.post(&path, "{}").header("idempotency-key", "k");
    assert_error(&stage.send(reused).await, 409, "idempotency_mismatch");
    for body in ["", "null", "{}"] {
        let nothing = stage.send(stage.post(&path, body)).await;
        assert_error(&nothing, 400, "bad_request");
        assert_eq!(pointers(&nothing), ["/amount"]);
    }
}

#[tokio::test]
async fn refund_all_answers_those_that_were_made_whatever_became_of_them() {
    let stage = Stage::open();
    let id = stage
        .transaction_with(&[2_500], |new| {
            new.captures.clear();
            at_psp(new, "decline:51");
        })
        .await;
    let made = stage.send(stage.post(&format!("/transactions/{id}/refunds/all"), "null")).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let body = made.json();
    let items = body["items"].as_array().expect("a list");
    assert_eq!(items.len(), 1, "the card was not captured: {}", made.text);
    assert_eq!(items[0]["status"], "declined");
    assert_eq!(items[0]["amount"], 2500);
}

#[tokio::test]
async fn unknown_and_foreign_ids_are_equally_missing_on_every_route() {
    let stage = Stage::open();
    let id = stage.transaction().await;
    let made = stage.refund(&id, &json!({"amount": 1})).await;
    let made = made.json();
    let refund = made["id"].as_str().expect("an id");
    let other = token(&stage.other_key, &json!({"scopes": ["*.read", "*.write"]}));
    let own = stage.token();
    let mut texts = Vec::new();
    for (token, id, refund) in [(&other, id.as_str(), refund), (&own, UNKNOWN, UNKNOWN)] {
        for call in [
            Call::new(Method::POST, &format!("/transactions/{id}/refunds")).json(r#"{"amount":1}"#),
            Call::new(Method::POST, &format!("/transactions/{id}/refunds"))
                .json(&gift_card(refund).to_string()),
            Call::new(Method::POST, &format!("/transactions/{id}/refunds/all")),
            Call::new(Method::GET, &format!("/transactions/{id}/refunds")),
            Call::new(Method::GET, &format!("/transactions/{id}/refunds/{refund}")),
            Call::new(Method::GET, &format!("/transactions/{id}")),
            Call::new(Method::GET, &format!("/refunds/{refund}")),
        ] {
            let answer = stage.send(call.bearer(token)).await;
            assert_error(&answer, 404, "not_found");
            texts.push(answer.text);
        }
    }
    texts.dedup();
    assert_eq!(texts.len(), 1, "{texts:?}");
    let second = stage.transaction().await;
    let wrong = stage.get(&format!("/transactions/{second}/refunds/{refund}"));
    assert_error(&stage.send(wrong).await, 404, "not_found");
}

#[tokio::test]
async fn a_path_id_that_names_nothing_is_a_bad_request() {
    let stage = Stage::open();
    let id = stage.transaction().await;
    for path in [
        "/transactions/not-a-uuid".to_owned(),
        "/transactions/not-a-uuid/refunds".to_owned(),
        "/transactions/..%2f..%2fetc/refunds".to_owned(),
        format!("/transactions/{}/refunds", "9".repeat(10_000)),
        format!("/transactions/{id}/refunds/x"),
        "/refunds/x".to_owned(),
        "/refunds/%zz".to_owned(),
        "/refunds/a%00".to_owned(),
    ] {
        let answer = stage.send(stage.get(&path)).await;
        assert_error(&answer, 400, "bad_request");
        assert_eq!(answer.json()["details"][0]["location"], "path");
    }
}

#[tokio::test]
async fn everything_else_is_answered_in_the_same_shape() {
    let stage = Stage::open();
    let id = stage.transaction().await;
    for (method, path, status, code) in [
        (Method::DELETE, "/refunds/x".to_owned(), 405, "method_not_allowed"),
        (Method::DELETE, format!("/transactions/{id}"), 405, "method_not_allowed"),
        (Method::GET, format!("/transactions/{id}/refunds/all"), 405, "method_not_allowed"),
        (Method::DELETE, "/transactions".to_owned(), 405, "method_not_allowed"),
        (Method::GET, format!("/transactions/{id}/settlements/{id}"), 404, "not_found"),
        (Method::POST, "/buyers".to_owned(), 404, "not_found"),
    ] {
        let answer = stage.send(Call::new(method, &path)).await;
        assert_error(&answer, status, code);
        assert_eq!(answer.header("allow").is_some(), status == 405, "{path}");
    }
}

#[tokio::test]
async fn a_body_that_cannot_be_read_refunds_nothing() {
    let stage = Stage::open();
    let id = stage.transaction().await;
    let path = format!("/transactions/{id}/refunds");
    let bearer = |path: &str| Call::new(Method::POST, path).bearer(&stage.token());
    let typed = |kind: &str| bearer(&path).typed(kind, "{}");
    let large = format!(r#"{{"reason":"{}"}}"#, "x".repeat(64 * 1024));
    for (call, status, code) in [
        (bearer(&path), 400, "bad_request"),
        (stage.post(&path, ""), 400, "bad_request"),
        (stage.post(&path, "null"), 400, "bad_request"),
        (stage.post(&path, "{"), 400, "bad_request"),
        (typed("text/plain"), 400, "bad_request"),
        (typed("application/json; charset=utf-16"), 400, "bad_request"),
        (stage.post(&path, "{}").header("content-encoding", "gzip"), 400, "bad_request"),
        (stage.post(&path, &large), 413, "request_too_large"),
    ] {
        assert_error(&stage.send(call).await, status, code);
    }
    let list = stage.send(stage.get(&path)).await;
    assert_eq!(list.json()["items"], json!([]));
}

#[tokio::test]
async fn a_token_that_is_worth_nothing_is_unauthorized() {
    let stage = Stage::open();
    let id = stage.transaction().await;
    let path = format!("/transactions/{id}/refunds");
    let with = |claims: Value| format!("Bearer {}", stage.token_with(&claims));
    let good = stage.token();
    let stranger = token(&PrivateKey::generate(), &json!({"scopes": ["*.read"]}));
    let (head, _) = good.rsplit_once('.').expect("three parts");
    let other = if good.ends_with('A') { 'B' } else { 'A' };
    for value in [
        String::new(),
        "Bearer".to_owned(),
        format!("Basic {good}"),
        good.clone(),
        format!("Bearer {head}."),
        format!("Bearer {}{other}", &good[..good.len() - 1]),
        format!("Bearer {stranger}"),
        with(json!({"exp": START_S - 1})),
        with(json!({"exp": null})),
        with(json!({"exp": 1e300})),
        with(json!({"nbf": START_S + 60})),
    ] {
        let call = Call::new(Method::GET, &path).header("authorization", &value);
        let answer = stage.send(call).await;
        assert_error(&answer, 401, "unauthorized");
        assert_eq!(answer.json()["message"], "No valid API authentication found");
    }
    let none = stage.send(Call::new(Method::GET, &path)).await;
    assert_error(&none, 401, "unauthorized");
    stage.pass(Duration::from_secs(3600));
    assert_error(&stage.send(stage.get(&path)).await, 401, "unauthorized");
}

#[tokio::test]
async fn the_claims_that_sdks_leave_out_or_add_do_not_matter() {
    let stage = Stage::open();
    let id = stage.transaction().await;
    let path = format!("/transactions/{id}/refunds");
    for claims in [
        json!({"iss": null, "nbf": null}),
        json!({"jti": "x", "iat": START_S, "embed": {}, "checkout_session_id": "x"}),
        json!({"nbf": START_S + 5}),
    ] {
        let mut claims = claims;
        claims["scopes"] = json!(["*.read"]);
        let call = Call::new(Method::GET, &path).bearer(&stage.token_with(&claims));
        let answer = stage.send(call).await;
        assert_eq!(answer.status, 200, "{claims}: {}", answer.text);
    }
}

#[tokio::test]
async fn a_token_may_do_what_its_scopes_say_and_its_key_allows() {
    let stage = Stage::open();
    let id = stage.transaction().await;
    let path = format!("/transactions/{id}/refunds");
    let reader = stage.narrowed_key(&["transactions.read"]);
    let all = json!(["*.read", "*.write"]);
    for (key, scopes, reads, writes) in [
        (&stage.key, all.clone(), 200, 201),
        (&stage.key, json!(["transactions.read"]), 200, 403),
        (&stage.key, json!(["*.write"]), 403, 201),
        (&stage.key, json!(["admin", "buyers.read"]), 403, 403),
        (&stage.key, json!([]), 403, 403),
        (&stage.key, json!("*.read"), 403, 403),
        (&stage.key, Value::Null, 403, 403),
        (&reader, all, 200, 403),
    ] {
        let token = token(key, &json!({"scopes": scopes}));
        let read = Call::new(Method::GET, &path).bearer(&token);
        let write = Call::new(Method::POST, &path).bearer(&token).json(r#"{"amount":1}"#);
        let (read, write) = (stage.send(read).await, stage.send(write).await);
        assert_eq!((read.status, write.status), (reads, writes), "{scopes}");
        for answer in [read, write].iter().filter(|answer| answer.status == 403) {
            assert_error(answer, 403, "forbidden");
        }
    }
}

#[tokio::test]
async fn the_merchant_account_is_the_keys_own_or_missing() {
    let stage = Stage::open();
    let id = stage.transaction().await;
    let path = format!("/transactions/{id}/refunds");
    for (account, status) in [
        ("acme", 200),
        ("default", 200),
        ("other", 404),
        ("nobody", 404),
        ("ACME", 404),
        ("", 404),
        ("../acme", 404),
    ] {
        let call = stage.get(&path).header("x-gr4vy-merchant-account-id", account);
        let answer = stage.send(call).await;
        assert_eq!(answer.status, status, "{account:?}");
        if status == 404 {
            assert_error(&answer, 404, "not_found");
        }
    }
    assert_eq!(stage.send(stage.get(&path)).await.status, 200);
}

#[tokio::test]
async fn the_checks_come_in_their_order() {
    let stage = Stage::open();
    let wrong = "/transactions/not-a-uuid/refunds";
    let unknown = format!("/transactions/{UNKNOWN}/refunds");
    let reader = stage.token_with(&json!({"scopes": ["*.read"]}));
    let account = |call: Call| call.header("x-gr4vy-merchant-account-id", "nobody");
    let post = |path: &str| Call::new(Method::POST, path).json("{");
    for (call, status) in [
        (account(post(wrong)), 401),
        (account(post(wrong).bearer(&reader)), 403),
        (account(post(wrong).bearer(&stage.token())), 404),
        (post(wrong).bearer(&stage.token()), 400),
        (post(&unknown).bearer(&stage.token()), 400),
        (stage.post(&unknown, "{}"), 404),
    ] {
        let answer = stage.send(call).await;
        assert_eq!(answer.status, status, "{}", answer.text);
    }
}
