//! `Idempotency-Key`: the same status and body again, whatever has happened since.

use super::*;

/// Sends the body under a key; status, body and whether it says that it repeats.
pub(super) fn keyed(shop: &Shop, path: &str, key: &str, body: &str) -> (u16, String, bool) {
    let request = Request::post(path).header("Idempotency-Key", key);
    let answer = shop.send(request.header("Content-Type", "application/json").bytes(body));
    (answer.status, answer.text(), answer.header("idempotent-replayed") == Some("true"))
}

#[test]
fn every_post_is_repeated_under_its_key_byte_for_byte() {
    let shop = Shop::open();
    let id = text(
        &shop.post("/api/payments", &json!({"amount": 1000, "currency": "EUR"})).json(),
        "/id",
    );
    let captures = format!("/api/payments/{id}/captures");
    let voids = format!("/api/payments/{id}/voids");
    let refunds = format!("/api/payments/{id}/refunds");
    for (path, body, spelt, other, status) in [
        (
            "/api/payments",
            r#"{"amount":1000,"currency":"EUR","captures":[]}"#,
            r#"{ "currency":"eur","amount":1e3,"order":null }"#,
            r#"{"amount":1001,"currency":"EUR"}"#,
            201,
        ),
        (
            &captures,
            r#"{"amount":400,"external_identifier":"c-1"}"#,
            r#"{"final":false,"external_identifier":"\u0063-1","amount":400.0}"#,
            r#"{"amount":400}"#,
            201,
        ),
        (
            &captures,
            r#"{"amount":601}"#,
            r#"{"amount":601,"final":null}"#,
            r#"{"amount":602}"#,
            409,
        ),
        (&voids, r#"{"amount":100}"#, r#"{"amount":1e2}"#, "{}", 201),
        (
            &refunds,
            r#"{"amount":50,"metadata":{"a":[1.0]}}"#,
            r#"{"metadata":{ "a":[1]},"amount":50}"#,
            r#"{"amount":50}"#,
            201,
        ),
        (
            "/api/refund-reasons",
            r#"{"code":"a","label":"A"}"#,
            r#"{"label":"A","code":"a"}"#,
            r#"{"code":"b","label":"A"}"#,
            201,
        ),
    ] {
        let key = format!("key of {body}");
        let (first, told, is_replay) = keyed(&shop, path, &key, body);
        assert_eq!((first, is_replay), (status, false), "{path} {body}: {told}");
        // The payment moves on in between.
        assert_eq!(shop.post(&captures, &json!({"amount": 1})).status, 201);
        for again in [body, spelt] {
            let repeat = keyed(&shop, path, &key, again);
            assert_eq!(repeat, (status, told.clone(), true), "{path} {again}");
        }
        let (reused, told, _) = keyed(&shop, path, &key, other);
        assert_eq!((reused, told.contains("key_reused")), (422, true), "{path} {other}: {told}");
    }
    // Found there already under a key: 200, and again 200.
    let body = r#"{"amount":7,"currency":"EUR","external_identifier":"twin"}"#;
    assert_eq!(keyed(&shop, "/api/payments", "one", body).0, 201);
    let present = keyed(&shop, "/api/payments", "two", body);
    assert_eq!((present.0, present.2), (200, false));
    assert_eq!(keyed(&shop, "/api/payments", "two", body), (200, present.1, true));
    assert_eq!(shop.totals(&id)["captured"], json!(406));
}

#[test]
fn a_replayed_refund_shows_what_was_known_when_it_was_answered() {
    let shop = Shop::open();
    let id = shop.scripted(&["lost:never", "approve"]);
    let path = format!("/api/payments/{id}/refunds");
    let (status, first, _) = keyed(&shop, &path, "k", r#"{"amount":400}"#);
    let told: Value = serde_json::from_str(&first).expect("JSON");
    assert_eq!((status, &told["status"], &told["attempts"]), (201, &json!("unknown"), &json!(1)));
    for date in ["asked_at", "sent_at", "unknown_at", "updated_at", "next_action_at"] {
        assert!(told[date].is_string(), "{date}: {told}");
    }
    assert_eq!((&told["connector"], &told["settled_at"]), (&json!("sandbox"), &Value::Null));
    let settled = shop.refund_becomes(&text(&told, "/id"), "succeeded");
    assert_eq!(settled["attempts"], json!(2));
    assert!(settled["settled_at"].is_string() && settled["unknown_at"].is_string(), "{settled}");
    assert_eq!(keyed(&shop, &path, "k", r#"{"amount":400}"#), (201, first, true));
    assert_eq!(shop.get(&format!("/api/payments/{id}")).json()["attempts"], json!(2));
}

#[test]
fn a_key_makes_a_repeat_the_same_refund_byte_for_byte() {
    let shop = Shop::open();
    let id = shop.payment(json!({}));
    let path = format!("/api/payments/{id}/refunds");
    let send = |key: &str, body: &str| {
        let request = Request::post(&path).header("Idempotency-Key", key);
        shop.send(request.header("Content-Type", "application/json").bytes(body))
    };
    let first = send("k", r#"{"amount":100,"note":"a"}"#);
    assert_eq!(send("l", r#"{"amount":100}"#).status, 201, "another key is another refund");
    let again = send("k", r#"{ "note":"\u0061", "amount":1e2 }"#);
    assert_eq!((again.status, again.body), (201, first.body.clone()));
    assert_eq!(
        again
            .headers
            .iter()
            .find(|(name, _)| name == "idempotent-replayed")
            .map(|(_, v)| v.as_str()),
        Some("true")
    );
    let reused = send("k", r#"{"amount":101,"note":"a"}"#);
    assert_eq!((reused.status, code(&reused).as_str()), (422, "key_reused"));
    let refused = send("m", r#"{"amount":5000}"#);
    let still = send("m", r#"{"amount":5000}"#);
    assert_eq!((refused.status, &refused.body), (409, &still.body));
    assert_eq!(still.header("idempotent-replayed"), Some("true"));
    assert_eq!(send(&"x".repeat(256), "{}").status, 400);
    assert_eq!(shop.totals(&id)["refunded"], json!(200));
}
