//! What is done with the money that an order holds: captures, voids, extensions.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::making::{GOOD, card, make};
use super::{NOT_FOUND, T1, T2, invalid, open, order};
use crate::faces::testing::{Answer, OTHER_TOKEN, SHOP, Shop};

const ORDER: &str = "0191f5a7-44a9-76c2-9fec-39709fdbf723";
const USED: &str = "The value was already used for another request.";

async fn act(shop: &Shop, doing: &str, with: &[(&str, &str)], body: &Value) -> Answer {
    let path = format!("/v1/orders/{ORDER}/{doing}");
    shop.send_body("POST", &path, with, &body.to_string()).await
}

/// With an order that holds so much.
async fn holding(amount: i64) -> Shop {
    let shop = open();
    let body =
        json!({"order_id": ORDER, "amount": amount, "currency": "SAR", "source": card(GOOD)});
    let made = make(&shop, "authorize", &body).await;
    assert_eq!(made.status, 200, "{}", made.text);
    shop
}

fn totals(order: &Value) -> [i64; 3] {
    ["captured_amount", "voided_amount", "refunded_amount"]
        .map(|name| order[name].as_i64().expect("an amount"))
}

fn column<'a>(order: &'a Value, name: &str) -> Vec<&'a str> {
    let rows = order["transactions"].as_array().expect("rows");
    rows.iter().map(|row| row[name].as_str().unwrap_or("null")).collect()
}

#[tokio::test]
async fn totals_evolve_as_the_dialect_says() {
    let shop = holding(10_000).await;
    for (doing, body, status, sums) in [
        ("capture", json!({"amount": 6000, "final": false}), 200, [6000, 0, 0]),
        ("void", json!({"amount": 1000}), 200, [6000, 1000, 0]),
        ("refund", json!({"amount": 2500}), 200, [6000, 1000, 2500]),
        ("refund", json!({"amount": 3501}), 400, [6000, 1000, 2500]),
        ("capture", json!({"amount": 3001, "final": true}), 400, [6000, 1000, 2500]),
        ("void", json!({"amount": 3001}), 400, [6000, 1000, 2500]),
        ("refund", json!({"amount": 3500}), 200, [6000, 1000, 6000]),
        ("extend", json!({"amount": 500}), 200, [6000, 1000, 6000]),
        ("capture", json!({"amount": 3000, "final": true}), 200, [9000, 1000, 6000]),
        ("extend", json!({}), 400, [9000, 1000, 6000]),
        ("refund", json!({"amount": 3000}), 200, [9000, 1000, 9000]),
    ] {
        shop.pass(Duration::from_secs(1));
        let answer = act(&shop, doing, &[], &body).await;
        assert_eq!(answer.status, status, "{doing} {body}: {}", answer.text);
        let shown = order(&shop, ORDER).await;
        assert_eq!(totals(&shown.json()), sums, "{doing} {body}");
        assert_eq!(shown.json()["amount"], 10_000);
        if status == 200 {
            assert_eq!(answer.told(), shown.told());
        }
    }
    let shown = order(&shop, ORDER).await.json();
    assert_eq!(
        column(&shown, "type"),
        ["authorize", "capture", "void", "refund", "refund", "extension", "capture", "refund"]
    );
    let stans = ["000001", "000002", "000003", "000004", "000005", "000006", "000007", "000008"];
    assert_eq!(column(&shown, "stan"), stans);
    assert!(column(&shown, "status").iter().all(|status| *status == "approved"));
    assert_eq!(shown["updated_at"], "2024-09-15T12:27:56Z");
    assert_eq!(
        shown["transactions"][5],
        json!({
            "id": shown["transactions"][5]["id"], "status": "approved", "type": "extension",
            "source_type": "merchant", "reverse_reason": null, "justification": null,
            "reversed_transaction_id": null, "message": "APPROVED", "response_code": "00",
            "retrieval_reference": "242590000006", "stan": "000006", "auth_code": null,
            "amount": 500, "refunded_amount": 0, "created_at": "2024-09-15T12:27:53Z",
        })
    );
}

#[tokio::test]
async fn a_final_capture_lets_go_of_what_is_left_without_a_void() {
    let shop = holding(10_000).await;
    let shown = act(&shop, "capture", &[], &json!({"amount": 4000, "final": true})).await.json();
    assert_eq!(totals(&shown), [4000, 0, 0]);
    assert_eq!(column(&shown, "type"), ["authorize", "capture"]);
    let left = "The amount 100 exceeds the capturable amount, which is 0.";
    let answer = act(&shop, "capture", &[], &json!({"amount": 100, "final": false})).await;
    assert_eq!(answer.told(), format!(r#"400 {{"message":"{left}"}}"#));
}

#[tokio::test]
async fn a_void_without_an_amount_is_of_all_that_is_held() {
    let shop = holding(10_000).await;
    act(&shop, "capture", &[], &json!({"amount": 4000, "final": false})).await;
    let path = format!("/v1/orders/{ORDER}/void");
    let voided = shop.send_body("POST", &path, &[], "").await;
    assert_eq!(totals(&voided.json()), [4000, 6000, 0]);
    assert_eq!(voided.json()["transactions"][2]["amount"], 6000);
    assert_eq!(shop.send_body("POST", &path, &[], "").await.status, 400);
}

#[tokio::test]
async fn a_transaction_id_stands_for_one_row_of_any_type() {
    let shop = holding(10_000).await;
    let capture = json!({"amount": 1000, "final": false, "transaction_id": T1.to_uppercase()});
    let first = act(&shop, "capture", &[], &capture).await;
    assert_eq!(first.json()["transactions"][1]["id"], T1);
    act(&shop, "void", &[], &json!({"transaction_id": T2})).await;
    for (doing, body) in
        [("capture", capture.clone()), ("void", json!({"transaction_id": T2, "amount": null}))]
    {
        let repeat = act(&shop, doing, &[], &body).await;
        assert_eq!(repeat.told(), order(&shop, ORDER).await.told(), "{doing}");
        assert_eq!(repeat.header("idempotent-replayed"), Some("true"));
        assert_eq!(totals(&repeat.json()), [1000, 9000, 0]);
    }
    let used = invalid("transaction_id", USED);
    for (doing, body) in [
        ("capture", json!({"amount": 1001, "final": false, "transaction_id": T1})),
        ("capture", json!({"amount": 1000, "final": true, "transaction_id": T1})),
        ("void", json!({"amount": 1000, "transaction_id": T1})),
        ("extend", json!({"amount": 1000, "transaction_id": T1})),
        ("refund", json!({"amount": 1000, "transaction_id": T1})),
        ("refund", json!({"amount": 9000, "transaction_id": T2})),
        ("void", json!({"amount": 9000, "transaction_id": T2})),
    ] {
        assert_eq!(act(&shop, doing, &[], &body).await.told(), used, "{doing} {body}");
    }
    let other = shop.payment(|new| new.captures.clear()).await;
    let path = format!("/v1/orders/{other}/capture");
    assert_eq!(shop.send_body("POST", &path, &[], &capture.to_string()).await.told(), used);
}

#[tokio::test]
async fn a_repeat_by_header_gets_the_first_answers_bytes() {
    let shop = holding(10_000).await;
    let k1 = [("idempotency-key", "k1")];
    let mut firsts = Vec::new();
    for (doing, body) in [
        ("capture", json!({"amount": 1000, "final": false, "transaction_id": T1})),
        ("void", json!({"amount": 500})),
        ("extend", json!({})),
    ] {
        let first = act(&shop, doing, &k1, &body).await;
        assert_eq!(first.status, 200, "{doing}: {}", first.text);
        firsts.push((doing, body, first.told()));
    }
    for (doing, body, told) in &firsts {
        let repeat = act(&shop, doing, &k1, body).await;
        assert_eq!(&repeat.told(), told, "{doing}");
        assert_eq!(repeat.header("idempotent-replayed"), Some("true"));
    }
    // A refusal about money is kept, too.
    let k2 = [("idempotency-key", "k2")];
    let much = json!({"amount": 9000, "final": false});
    let refused = act(&shop, "capture", &k2, &much).await;
    assert_eq!((refused.status, refused.header("idempotent-replayed")), (400, None));
    let again = act(&shop, "capture", &k2, &much).await;
    assert_eq!(again.told(), refused.told());
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    let by_key = invalid("idempotency_key", USED);
    let by_transaction = invalid("transaction_id", USED);
    for (key, body, told) in [
        ("k1", json!({"amount": 1001, "final": false}), &by_key),
        ("k3", json!({"amount": 1001, "final": false, "transaction_id": T1}), &by_transaction),
        ("k2", json!({"amount": 1000, "final": false, "transaction_id": T1}), &by_key),
        ("k2", json!({"amount": 1000, "final": true, "transaction_id": T1}), &by_transaction),
    ] {
        let answer = act(&shop, "capture", &[("idempotency-key", key)], &body).await;
        assert_eq!(&answer.told(), told, "{key} {body}");
    }
}

#[tokio::test]
async fn what_the_scheme_declines_is_a_failed_row() {
    let shop = holding(1_000_000).await;
    // Amounts that the sandbox declines.
    for (doing, body) in [
        ("capture", json!({"amount": 500_001, "final": true, "transaction_id": T1})),
        ("void", json!({"amount": 510_001, "transaction_id": T2})),
    ] {
        let shown = act(&shop, doing, &[], &body).await;
        assert_eq!(shown.status, 200, "{}", shown.text);
        assert_eq!(totals(&shown.json()), [0, 0, 0]);
        let rows = shown.json()["transactions"].clone();
        let row = rows.as_array().and_then(|rows| rows.last()).expect("a row");
        assert_eq!((&row["type"], &row["status"]), (&json!(doing), &json!("failed")));
        assert_eq!((&row["id"], &row["amount"]), (&body["transaction_id"], &body["amount"]));
        assert_eq!((&row["response_code"], &row["auth_code"]), (&json!("05"), &Value::Null));
        assert_eq!(act(&shop, doing, &[], &body).await.told(), shown.told());
    }
    assert_eq!(act(&shop, "void", &[], &json!({})).await.json()["voided_amount"], 1_000_000);
}

#[tokio::test]
async fn a_registered_order_is_declined_as_its_sandbox_is_told() {
    let shop = open();
    let id = shop.payment(|new| {
        new.captures.clear();
        new.connector = "sandbox".to_owned();
        new.connector_settings = Some(r#"["capture:decline:51"]"#.to_owned());
    });
    let path = format!("/v1/orders/{}/capture", id.await);
    let body = format!(r#"{{"amount":100,"final":true,"transaction_id":"{T1}"}}"#);
    let shown = shop.send_body("POST", &path, &[], &body).await.json();
    assert_eq!(totals(&shown), [0, 0, 0]);
    assert_eq!(column(&shown, "type"), ["capture"]);
    assert_eq!(column(&shown, "message"), ["INSUFFICIENT FUNDS"]);
    assert_eq!(column(&shown, "response_code"), ["51"]);
    assert_eq!(column(&shown, "id"), [T1]);
}

#[tokio::test]
async fn bodies_are_refused_member_by_member() {
    let shop = holding(10_000).await;
    let required = "The value is required.";
    let integer = "The value must be an integer.";
    for (doing, body, named, told) in [
        ("capture", json!({"final": true}), "amount", required),
        (
            "capture",
            json!({"amount": 99, "final": true}),
            "amount",
            "The value must be greater than or equal to 100.",
        ),
        (
            "capture",
            json!({"amount": 100_000_001, "final": true}),
            "amount",
            "The value must be less than or equal to 100000000.",
        ),
        ("capture", json!({"amount": 100}), "final", required),
        (
            "capture",
            json!({"amount": 100, "final": "true"}),
            "final",
            "The value must be a boolean.",
        ),
        (
            "capture",
            json!({"amount": 100, "final": true, "transaction_id": 1}),
            "transaction_id",
            "The value must be a valid UUID.",
        ),
        ("void", json!({"amount": 0}), "amount", "The value must be greater than or equal to 1."),
        ("void", json!({"amount": "1"}), "amount", integer),
        (
            "extend",
            json!({"amount": -1}),
            "amount",
            "The value must be greater than or equal to 0.",
        ),
        ("extend", json!({"amount": 1.5}), "amount", integer),
    ] {
        assert_eq!(act(&shop, doing, &[], &body).await.told(), invalid(named, told), "{body}");
        // An unknown order comes before what is wrong with the body.
        let unknown = format!("/v1/orders/{T1}/{doing}");
        let answer = shop.send_body("POST", &unknown, &[], &body.to_string()).await;
        assert_eq!(answer.told(), NOT_FOUND, "{doing}");
    }
    assert_eq!(column(&order(&shop, ORDER).await.json(), "type"), ["authorize"]);
}

#[tokio::test]
async fn every_route_has_its_own_permission_and_knows_its_own_merchant() {
    let shop = holding(10_000).await;
    let create = json!({"amount": 100, "currency": "SAR", "source": card(GOOD)});
    let capture = json!({"amount": 100, "final": false});
    let routes = [
        ("orders_create", "POST", "/authorize".to_owned(), create.clone()),
        ("orders_create", "POST", "/purchase".to_owned(), create.clone()),
        ("orders_create", "POST", "/verify".to_owned(), create),
        ("orders_read", "GET", String::new(), Value::Null),
        ("orders_read", "GET", format!("/{ORDER}"), Value::Null),
        ("orders_capture", "POST", format!("/{ORDER}/capture"), capture),
        ("orders_void", "POST", format!("/{ORDER}/void"), json!({"amount": 1})),
        ("orders_extend", "POST", format!("/{ORDER}/extend"), json!({})),
        ("orders_refund", "POST", format!("/{ORDER}/refund"), json!({"amount": 1})),
    ];
    let another = format!("Bearer {OTHER_TOKEN}");
    for (at, (scope, method, path, body)) in routes.iter().enumerate() {
        let all = routes.iter().map(|route| route.0);
        let others: Vec<&str> = all.filter(|other| other != scope).collect();
        let tokens = [format!("only-{at}"), format!("others-{at}")];
        shop.key(SHOP, "mpg", &tokens[0], Some(&[scope]));
        shop.key(SHOP, "mpg", &tokens[1], Some(&others));
        let send = async |authorization: &str| {
            let (path, body) = (format!("/v1/orders{path}"), body.to_string());
            shop.send_body(method, &path, &[("authorization", authorization)], &body).await
        };
        let [only, other] = tokens.map(|token| format!("Bearer {token}"));
        assert_eq!(send(&other).await.told(), r#"403 {"message":"Unauthorized"}"#, "{path}");
        let missing = r#"401 {"message":"Missing authentication information"}"#;
        assert_eq!(send("").await.told(), missing, "{path}");
        if path.contains(ORDER) {
            assert_eq!(send(&another).await.told(), NOT_FOUND, "{path}");
        }
        let answer = send(&only).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    }
}

#[tokio::test]
async fn an_order_that_was_registered_is_captured_and_voided_but_not_extended() {
    let shop = open();
    let id = shop.payment(|new| {
        new.captures.clear();
        new.connector = "manual".to_owned();
    });
    let id = id.await;
    let send = async |doing: &str, body: &Value| {
        let path = format!("/v1/orders/{id}/{doing}");
        shop.send_body("POST", &path, &[], &body.to_string()).await
    };
    let text = "The Order is not extendable: it does not begin with an approved authorize.";
    let told = send("extend", &json!({})).await.told();
    assert_eq!(told, format!(r#"400 {{"message":"{text}"}}"#));
    let captured = send("capture", &json!({"amount": 400, "final": false})).await.json();
    assert_eq!(column(&captured, "type"), ["capture"]);
    assert_eq!(column(&captured, "retrieval_reference"), ["242590000001"]);
    let voided = send("void", &json!({"amount": 600})).await.json();
    assert_eq!(totals(&voided), [400, 600, 0]);
    assert_eq!(column(&voided, "stan"), ["000001", "000002"]);
}

#[tokio::test]
async fn of_many_captures_at_once_with_one_id_one_is_made() {
    let shop = Arc::new(holding(10_000).await);
    let all: Vec<_> = (0..8)
        .map(|_| {
            let shop = Arc::clone(&shop);
            let body = json!({"amount": 1000, "final": false, "transaction_id": T1});
            tokio::spawn(async move { act(&shop, "capture", &[], &body).await })
        })
        .collect();
    for one in all {
        let answer = one.await.expect("no panic");
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(totals(&answer.json()), [1000, 0, 0]);
    }
    assert_eq!(column(&order(&shop, ORDER).await.json(), "id").len(), 2);
}

#[tokio::test]
async fn captures_and_voids_at_once_never_take_more_than_is_held() {
    let shop = Arc::new(holding(10_000).await);
    let all: Vec<_> = (0..8)
        .map(|at| {
            let shop = Arc::clone(&shop);
            tokio::spawn(async move {
                let (doing, body) = if at % 2 == 0 {
                    ("capture", json!({"amount": 3000, "final": false}))
                } else {
                    ("void", json!({"amount": 3000}))
                };
                act(&shop, doing, &[], &body).await.status
            })
        })
        .collect();
    let mut made = 0;
    for one in all {
        made += i32::from(one.await.expect("no panic") == 200);
    }
    assert_eq!(made, 3);
    let shown = order(&shop, ORDER).await.json();
    assert_eq!(totals(&shown)[..2].iter().sum::<i64>(), 9000);
}
