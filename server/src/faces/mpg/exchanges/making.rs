//! Orders are made with cards, and listed.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{T1, T2, invalid, open, order, refund};
use crate::faces::testing::{Answer, SHOP, Shop, settings};

/// Approved, and declined with 51.
pub(super) const GOOD: &str = "4242424242424242";
const POOR: &str = "4000000000009995";

pub(super) fn card(number: &str) -> Value {
    json!({"type": "card", "number": number, "month": 12, "year": 2026, "security_code": "123"})
}

pub(super) async fn make(shop: &Shop, kind: &str, body: &Value) -> Answer {
    let path = format!("/v1/orders/{kind}");
    shop.send_body("POST", &path, &[], &body.to_string()).await
}

pub(super) fn wish(order: &str, amount: i64) -> Value {
    json!({"order_id": order, "amount": amount, "currency": "SAR", "source": card(GOOD)})
}

#[tokio::test]
async fn a_purchase_is_one_row_of_which_refunds_take() {
    let shop = open();
    let mut body = wish(T1, 10_000);
    for (name, value) in [
        ("description", json!("Two shirts")),
        ("transaction_type", json!("moto")),
        ("airline", json!({"reference": "576449881"})),
        ("sub_merchant", json!({"id": "m-1", "trading_name": "Shirts", "mcc": 5611})),
        ("agreement_id", json!("agreement-1")),
        ("reauthorized_order_id", json!(T2.to_uppercase())),
        ("justification", json!("no_show")),
        ("device", json!({"user_agent": "curl", "ip_address": "::1"})),
    ] {
        body[name] = value;
    }
    let made = make(&shop, "purchase", &body).await;
    assert_eq!(made.status, 200, "{}", made.text);
    let at = "2024-09-15T12:27:45Z";
    let row = json!({
        "id": made.json()["transactions"][0]["id"], "status": "approved", "type": "purchase",
        "source_type": "moto", "reverse_reason": null, "justification": "no_show",
        "reversed_transaction_id": null, "message": "APPROVED", "response_code": "00",
        "retrieval_reference": "242590000001", "stan": "000001", "auth_code": made.json()["transactions"][0]["auth_code"],
        "amount": 10_000, "refunded_amount": 0, "created_at": at,
    });
    assert_eq!(row["auth_code"].as_str().map(str::len), Some(6));
    let merchant = made.json()["merchant"].clone();
    assert_eq!(
        made.json(),
        json!({
            "id": T1, "merchant": merchant, "currency": "SAR", "amount": 10_000,
            "captured_amount": 10_000, "refunded_amount": 0, "voided_amount": 0,
            "description": "Two shirts", "created_at": at, "updated_at": at,
            "source": {"type": "card", "issuer": null, "card_type": null, "category": null,
                "country_alpha2": null, "scheme": "visa", "first_digits": "42424242",
                "last_digits": "4242", "month": 12, "year": 2026},
            "reauthorized_order_id": T2, "airline": {"reference": "576449881"},
            "sub_merchant": {"id": "m-1", "trading_name": "Shirts", "mcc": 5611},
            "agreement": {"id": "agreement-1"}, "transactions": [row],
        })
    );
    let refunded = refund(&shop, T1, &[], r#"{"amount":4000}"#).await.json();
    assert_eq!(refunded["refunded_amount"], 4000);
    assert_eq!(refunded["transactions"][1]["type"], "refund");
    assert_eq!(refunded["transactions"][1]["retrieval_reference"], "242590000002");
    let text = shop.send_body("POST", &format!("/v1/orders/{T1}/void"), &[], "").await.told();
    let nothing = "The amount exceeds the capturable amount, which is 0.";
    assert_eq!(text, format!(r#"400 {{"message":"{nothing}"}}"#));
}

#[tokio::test]
async fn an_allocation_is_shown_on_a_purchases_row_where_asked_to() {
    let shows = crate::desk::Settings { mpg_shows_allocation: true, ..settings() };
    let shop = Shop::open(super::super::router, shows, 0);
    shop.key(SHOP, "mpg", crate::faces::testing::TOKEN, None);
    make(&shop, "purchase", &wish(T1, 10_000)).await;
    let refunded = refund(&shop, T1, &[], r#"{"amount":4000}"#).await.json();
    assert_eq!(refunded["transactions"][0]["refunded_amount"], 4000);
}

#[tokio::test]
async fn what_an_order_began_with_says_what_it_holds() {
    for (kind, amount, captured, capture) in [
        ("authorize", 10_000, 0, 200),
        ("purchase", 10_000, 10_000, 400),
        ("verify", 10_000, 0, 400),
        ("verify", 0, 0, 400),
    ] {
        let shop = open();
        let made = make(&shop, kind, &wish(T1, amount)).await;
        assert_eq!(made.status, 200, "{kind}: {}", made.text);
        let shown = made.json();
        assert_eq!(
            (&shown["amount"], &shown["captured_amount"]),
            (&json!(amount), &json!(captured))
        );
        let row = &shown["transactions"][0];
        assert_eq!((&row["type"], &row["amount"]), (&json!(kind), &json!(amount)));
        assert_eq!(row["source_type"], "internet");
        assert_eq!(order(&shop, T1).await.told(), made.told());
        let body = r#"{"amount":100,"final":false}"#;
        let path = format!("/v1/orders/{T1}/capture");
        let answer = shop.send_body("POST", &path, &[], body).await;
        assert_eq!(answer.status, capture, "{kind}: {}", answer.text);
    }
}

#[tokio::test]
async fn a_declined_card_is_an_order_with_a_failed_row() {
    for kind in ["authorize", "purchase", "verify"] {
        for (number, month, code, message) in [
            (POOR, 12, "51", "INSUFFICIENT FUNDS"),
            ("4000000000000002", 12, "05", "DO NOT HONOUR"),
            // Good until the end of its month.
            (GOOD, 8, "54", "EXPIRED CARD"),
            (GOOD, 9, "00", "APPROVED"),
        ] {
            let shop = open();
            let mut body = wish(T1, 10_000);
            body["source"] = card(number);
            body["source"]["month"] = json!(month);
            body["source"]["year"] = json!(2024);
            let made = make(&shop, kind, &body).await;
            assert_eq!(made.status, 200, "{}", made.text);
            let row = made.json()["transactions"][0].clone();
            assert_eq!((&row["response_code"], &row["message"]), (&json!(code), &json!(message)));
            assert_eq!(row["stan"], "000001");
            if code == "00" {
                continue;
            }
            let shown = made.json();
            assert_eq!((&row["status"], &row["auth_code"]), (&json!("failed"), &Value::Null));
            assert_eq!((&row["type"], &shown["captured_amount"]), (&json!(kind), &json!(0)));
            for (doing, body) in [
                ("capture", r#"{"amount":100,"final":true}"#),
                ("void", "{}"),
                ("extend", "{}"),
                ("refund", r#"{"amount":1}"#),
            ] {
                let path = format!("/v1/orders/{T1}/{doing}");
                let answer = shop.send_body("POST", &path, &[], body).await;
                assert_eq!(answer.status, 400, "{doing}: {}", answer.text);
            }
            assert_eq!(order(&shop, T1).await.told(), made.told());
            // The same wish is not tried again, with whatever card that looks the same.
            let again = make(&shop, kind, &body).await;
            assert_eq!(again.told(), made.told());
        }
    }
}

#[tokio::test]
async fn an_order_id_stands_for_one_wish() {
    let shop = open();
    let first = make(&shop, "authorize", &wish(&T1.to_uppercase(), 10_000)).await;
    assert_eq!(first.header("idempotent-replayed"), None);
    let path = format!("/v1/orders/{T1}/capture");
    shop.send_body("POST", &path, &[], r#"{"amount":500,"final":false}"#).await;
    // A new security code, a null and the default are the same wish; of the card, what is kept counts.
    let mut same = wish(T1, 10_000);
    same["transaction_type"] = json!("internet");
    same["description"] = Value::Null;
    same["source"]["security_code"] = json!("9999");
    same["source"]["number"] = json!("4242424200004242");
    let repeat = make(&shop, "authorize", &same).await;
    assert_eq!(repeat.told(), order(&shop, T1).await.told());
    assert_eq!(repeat.json()["captured_amount"], 500);
    assert_eq!(repeat.header("idempotent-replayed"), Some("true"));
    let used = invalid("order_id", "The value was already used for another request.");
    for (kind, change, value) in [
        ("authorize", "amount", json!(10_001)),
        ("authorize", "currency", json!("USD")),
        ("authorize", "description", json!("Two shirts")),
        ("authorize", "transaction_type", json!("moto")),
        ("authorize", "source", card("5555555555554444")),
        ("authorize", "airline", json!({"reference": "576449881"})),
        ("purchase", "amount", json!(10_000)),
        ("verify", "amount", json!(10_000)),
    ] {
        let mut other = wish(T1, 10_000);
        other[change] = value;
        assert_eq!(make(&shop, kind, &other).await.told(), used, "{kind} {change}");
    }
    // Registered, and not made here.
    let registered = shop.payment(|_| ()).await;
    assert_eq!(make(&shop, "authorize", &wish(&registered, 10_000)).await.told(), used);
}

#[tokio::test]
async fn a_new_order_is_repeated_by_its_header() {
    let shop = open();
    let send = async |kind: &str, key: &str, body: &Value| {
        let path = format!("/v1/orders/{kind}");
        let with = [("idempotency-key", key)];
        shop.send_body("POST", &path, &with, &body.to_string()).await
    };
    let mut body = wish(T1, 10_000);
    body["order_id"] = Value::Null;
    let first = send("purchase", "k1", &body).await;
    let id = first.json()["id"].as_str().expect("an id").to_owned();
    refund(&shop, &id, &[], r#"{"amount":100}"#).await;
    let repeat = send("purchase", "k1", &body).await;
    assert_eq!(repeat.told(), first.told());
    assert_eq!(repeat.header("idempotent-replayed"), Some("true"));
    let used = invalid("idempotency_key", "The value was already used for another request.");
    assert_eq!(send("purchase", "k1", &wish(T1, 10_000)).await.told(), used);
    body["amount"] = json!(10_001);
    assert_eq!(send("purchase", "k1", &body).await.told(), used);
    // Another route, another key; no key, another order.
    for (kind, key) in [("authorize", "k1"), ("purchase", ""), ("purchase", "")] {
        let other = send(kind, key, &body).await;
        assert_eq!(other.status, 200, "{}", other.text);
        assert_ne!(other.json()["id"], json!(id));
    }
}

#[tokio::test]
async fn of_many_at_once_with_one_order_id_one_is_made() {
    let shop = Arc::new(open());
    let all: Vec<_> = (0..8)
        .map(|at| {
            let shop = Arc::clone(&shop);
            let amount = if at == 7 { 20_000 } else { 10_000 };
            tokio::spawn(async move { make(&shop, "purchase", &wish(T1, amount)).await })
        })
        .collect();
    let mut made = 0;
    for one in all {
        let answer = one.await.expect("no panic");
        match answer.status {
            200 if answer.header("idempotent-replayed").is_none() => made += 1,
            200 | 422 => {}
            other => panic!("{other} {}", answer.text),
        }
    }
    assert_eq!(made, 1);
    assert_eq!(order(&shop, T1).await.json()["transactions"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_wallets_payment_is_its_token() {
    let shop = open();
    for (source, told) in [
        (json!({"type": "apple_pay", "token": "eyJ"}), None),
        (json!({"type": "google_pay", "token": {"signature": "x"}}), None),
        (json!({"type": "samsung_pay", "number": GOOD, "month": 12, "year": 2030}), None),
        (json!({"type": "apple_pay"}), Some("The value is required.")),
        (json!({"type": "apple_pay", "token": 5}), Some("The value must be a string.")),
    ] {
        let body = json!({"amount": 100, "currency": "sar", "source": source});
        let answer = make(&shop, "purchase", &body).await;
        match told {
            None => {
                assert_eq!(answer.status, 200, "{}", answer.text);
                assert_eq!(answer.json()["source"]["type"], body["source"]["type"]);
                assert!(!answer.text.contains("eyJ") && !answer.text.contains("signature"));
            }
            Some(told) => assert_eq!(answer.told(), invalid("source.token", told)),
        }
    }
}

#[tokio::test]
async fn a_new_agreement_has_an_id() {
    let shop = open();
    for (sent, shown) in [
        (json!({"type": "recurring", "id": "a-1", "days": 30}), json!("a-1")),
        (json!({"type": "unscheduled"}), Value::Null),
    ] {
        let mut body = wish(T1, 100);
        body["order_id"] = Value::Null;
        body["new_agreement"] = sent.clone();
        let agreement = make(&shop, "purchase", &body).await.json()["agreement"].clone();
        assert_eq!(agreement["type"], sent["type"]);
        assert_eq!(agreement["days"], sent["days"]);
        assert!(agreement["id"] == shown || shown.is_null(), "{agreement}");
        assert!(agreement["id"].is_string(), "{agreement}");
    }
}

#[tokio::test]
async fn a_server_that_takes_no_cards_says_so() {
    let refuses = crate::desk::Settings { mpg_connector: "manual", ..settings() };
    let shop = Shop::open(super::super::router, refuses, 0);
    shop.key(SHOP, "mpg", crate::faces::testing::TOKEN, None);
    for kind in ["authorize", "purchase", "verify"] {
        let told = make(&shop, kind, &wish(T1, 10_000)).await.told();
        let text = "This server takes no cards: its setting mpg.connector is manual.";
        assert_eq!(told, format!(r#"400 {{"message":"{text}"}}"#));
    }
    assert_eq!(order(&shop, T1).await.status, 404);
}

#[tokio::test]
async fn orders_are_listed_page_by_page_newest_first() {
    let shop = open();
    let list = async |query: &str| shop.send("GET", &format!("/v1/orders{query}"), &[]).await;
    let meta = |current: u32, next: Value, before: Value| json!({"current_page": current, "next_page": next, "prev_page": before});
    let none = list("").await.json();
    assert_eq!(none, json!({"orders": [], "meta": meta(1, Value::Null, Value::Null)}));
    let mut ids = Vec::new();
    for _ in 0..5 {
        let id = shop.payment(|_| ()).await;
        ids.insert(0, id);
    }
    for (query, shown, meta) in [
        ("", &ids[..], meta(1, Value::Null, Value::Null)),
        ("?items=2", &ids[..2], meta(1, json!(2), Value::Null)),
        ("?items=2&page=2&other=1", &ids[2..4], meta(2, json!(3), json!(1))),
        ("?items=2&page=3", &ids[4..], meta(3, Value::Null, json!(2))),
        ("?items=5&page=2", &[], meta(2, Value::Null, json!(1))),
    ] {
        let page = list(query).await.json();
        let found = page["orders"].as_array().expect("orders");
        let found: Vec<_> = found.iter().map(|order| order["id"].as_str().expect("id")).collect();
        assert_eq!((found, &page["meta"]), (shown.iter().map(String::as_str).collect(), &meta));
    }
    assert_eq!(list("?items=1").await.json()["orders"][0], order(&shop, &ids[0]).await.json());
    for (query, named, told) in [
        ("?items=0", "items", "The value must be greater than or equal to 1."),
        ("?items=101", "items", "The value must be less than or equal to 100."),
        ("?page=99999999999999999999", "page", "The value must be less than or equal to 10000."),
        ("?page=", "page", "The value must be an integer."),
        ("?page=-1", "page", "The value must be an integer."),
    ] {
        assert_eq!(list(query).await.told(), invalid(named, told), "{query}");
    }
    // An order's id need not tell its time.
    for id in [T1, "0191f5a7-44a9-76c2-9fec-39709fdbf723", T2] {
        shop.pass(Duration::from_secs(1));
        make(&shop, "verify", &wish(id, 0)).await;
    }
    let page = list("?items=3").await.json();
    let found = ["/orders/0/id", "/orders/1/id", "/orders/2/id"].map(|at| page.pointer(at));
    let newest = [T2, "0191f5a7-44a9-76c2-9fec-39709fdbf723", T1].map(|id| json!(id));
    assert_eq!(found, [Some(&newest[0]), Some(&newest[1]), Some(&newest[2])]);
    // Nothing of another merchant's.
    let other = format!("Bearer {}", crate::faces::testing::OTHER_TOKEN);
    let others = shop.send("GET", "/v1/orders", &[("authorization", other.as_str())]).await;
    assert_eq!(others.json()["orders"], json!([]));
}
