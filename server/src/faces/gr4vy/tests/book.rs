//! What may be done with a transaction that was authorised: captures, voids, cancels and syncs.

use super::pay::{payment, with};
use super::*;

#[tokio::test]
async fn an_authorised_transaction_is_captured_in_parts_until_the_final_one() {
    let stage = Stage::open();
    let id = stage.paid(&payment()).await;
    let over = stage.ask(&id, "capture", &json!({"amount": 1300})).await;
    assert_error(&over, 400, "bad_request");
    assert_eq!(pointers(&over), ["/amount"]);

    let part = json!({"amount": 300, "final": false, "external_identifier": "part-1"});
    let part = stage.preferring(&id, "capture", &part).await;
    assert_eq!(part.status, 200, "{}", part.text);
    let done = part.json();
    assert_eq!(
        (&done["type"], &done["status"]),
        (&json!("transaction-capture"), &json!("succeeded"))
    );
    assert_eq!((&done["code"], &done["external_identifier"]), (&Value::Null, &json!("part-1")));
    assert_eq!(done["transaction"]["captured_amount"], 300);
    assert!(done["capture_id"].is_string());

    let rest = stage.ask(&id, "capture", &json!({"amount": 900})).await.json();
    assert_eq!((&rest["type"], &rest["captured_amount"]), (&json!("transaction"), &json!(1200)));
    assert_eq!((&rest["status"], &rest["voided_at"]), (&json!("capture_succeeded"), &Value::Null));
    for call in ["capture", "void"] {
        let over = stage.ask(&id, call, &json!({})).await;
        assert_error(&over, 400, "bad_request");
    }
    let refund = stage.ask(&id, "refunds", &json!({})).await;
    assert_eq!(refund.json()["amount"], 1200);
    for (body, pointer) in [
        (json!({"amount": 0}), "/amount"),
        (json!({"final": "no"}), "/final"),
        (json!({"external_identifier": ""}), "/external_identifier"),
        (json!({"note": 1}), "/note"),
    ] {
        let refused = stage.ask(&id, "capture", &body).await;
        assert_eq!(pointers(&refused), [pointer], "{}", refused.text);
    }
}

#[tokio::test]
async fn an_authorised_transaction_is_voided_and_neither_cancelled_nor_changed_by_a_sync() {
    let stage = Stage::open();
    let id = stage.paid(&payment()).await;
    let cancel = stage.ask(&id, "cancel", &json!({})).await;
    assert_eq!(cancel.status, 200, "{}", cancel.text);
    let cancel = cancel.json();
    assert_eq!(
        (&cancel["type"], &cancel["status"]),
        (&json!("transaction-cancel"), &json!("failed"))
    );
    assert_eq!(cancel["transaction"]["status"], "authorization_succeeded");
    let sync = stage.ask(&id, "sync", &json!({})).await;
    assert_eq!((sync.status, sync.json()), (200, stage.read(&id).await));

    let void = stage.preferring(&id, "void", &json!({})).await.json();
    assert_eq!((&void["type"], &void["status"]), (&json!("transaction-void"), &json!("succeeded")));
    assert_eq!(void["transaction"]["status"], "authorization_voided");
    assert!(void["transaction"]["voided_at"].is_string());
    let again = stage.ask(&id, "void", &json!({})).await;
    assert_error(&again, 400, "bad_request");
    let other = stage.paid(&payment()).await;
    let void = stage.ask(&other, "void", &Value::Null).await;
    assert_eq!(void.json()["type"], "transaction");
}

#[tokio::test]
async fn what_the_connector_declines_is_told_and_changes_nothing() {
    let stage = Stage::open();
    for (call, amount, status, code) in [
        ("capture", 500_001, "declined", "issuer_decline"),
        ("capture", 500_002, "failed", "service_error"),
        ("void", 510_001, "declined", "issuer_decline"),
        ("void", 510_002, "failed", "service_error"),
    ] {
        let id = stage.paid(&with(payment(), json!({"amount": amount}))).await;
        let told = stage.preferring(&id, call, &json!({})).await;
        assert_eq!(told.status, 200, "{}", told.text);
        let told = told.json();
        assert_eq!((&told["status"], &told["code"]), (&json!(status), &json!(code)));
        assert_eq!(told["raw_response_code"], code);
        assert_eq!(told["transaction"]["status"], "authorization_succeeded");
        let plain = stage.ask(&id, call, &json!({})).await;
        assert_eq!((plain.status, &plain.json()["captured_amount"]), (200, &json!(0)));
    }
}

#[tokio::test]
async fn a_key_captures_or_voids_once() {
    let stage = Stage::open();
    let id = stage.paid(&payment()).await;
    let capture = |body: Value| {
        let path = format!("/transactions/{id}/capture");
        stage.post(&path, &body.to_string()).header("idempotency-key", "k")
    };
    let first = stage.send(capture(json!({"amount": 100, "final": false}))).await;
    stage.ask(&id, "capture", &json!({"amount": 100, "final": false})).await;
    let again = stage.send(capture(json!({"final": false, "amount": 100.0}))).await;
    assert_eq!(again.told(), first.told());
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    let other = stage.send(capture(json!({"amount": 100}))).await;
    assert_error(&other, 409, "idempotency_mismatch");
    assert_eq!(stage.read(&id).await["captured_amount"], 200);

    let void = || {
        let path = format!("/transactions/{id}/void");
        stage.post(&path, "").header("idempotency-key", "k")
    };
    let first = stage.send(void()).await;
    let again = stage.send(void()).await;
    assert_eq!((first.status, again.told()), (200, first.told()));
}
