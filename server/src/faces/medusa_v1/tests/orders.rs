//! Refunds of orders, and what is shown of one.

use requite_core::id::{CaptureId, LegId};
use requite_core::money::Minor;
use requite_engine::command::NewLeg;
use serde_json::json;

use super::*;

const AUTH: (&str, &str) = ("x-medusa-access-token", TOKEN);
const TOO_MUCH: &str =
    r#"400 {"type":"not_allowed","message":"Cannot refund more than the original order amount"}"#;
const NOT_CAPTURED: &str =
    r#"400 {"type":"not_allowed","message":"Refund amount is greater that the refundable amount"}"#;

impl Shop {
    /// A payment of the order `order_1`: captured, of so many minor units, at a connector with settings.
    async fn part(&self, amount: i64, settings: Option<&str>) -> String {
        let minor = Minor::new(amount).expect("an amount");
        self.payment(|new| {
            new.order = Some("order_1".to_owned());
            new.primary = NewLeg { id: LegId::new(self.draw()), amount: minor };
            new.captures = vec![(CaptureId::new(self.draw()), minor)];
            if let Some(settings) = settings {
                new.connector = "bank".to_owned();
                new.connector_settings = Some(settings.to_owned());
            }
        })
        .await
    }

    async fn refund_order(&self, amount: i64, with: &[(&str, &str)]) -> Answer {
        let body = json!({"amount": amount, "reason": "return", "note": "n"}).to_string();
        let with = [&[AUTH], with].concat();
        self.post_with("/admin/orders/order_1/refund", &with, &body).await
    }

    async fn order(&self, query: &str) -> Value {
        let answer = self.get(&format!("/admin/orders/order_1{query}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()["order"].clone()
    }
}

#[tokio::test]
async fn an_orders_refund_is_taken_from_its_payments_oldest_first() {
    let shop = Shop::open();
    let (first, second) = (shop.part(3_000, None).await, shop.part(7_000, None).await);
    assert_eq!(shop.refund(&first, r#"{"amount":1000,"reason":"other"}"#).await.status, 200);
    assert_eq!(shop.order("").await["payment_status"], "captured", "that route touches it not");

    let made = shop.refund_order(5_000, &[]).await;
    assert_eq!(made.status, 200, "{}", made.text);
    assert_eq!(made.headers.get_all("requite-refund-id").iter().count(), 2);
    assert_eq!(made.headers.get_all("requite-refund-status").iter().count(), 2);
    assert_eq!(shop.amount_refunded(&first).await, 3_000);
    assert_eq!(shop.amount_refunded(&second).await, 3_000);
    let order = &made.json()["order"];
    assert_eq!(order["payment_status"], "partially_refunded");
    let sums = ["total", "paid_total", "refunded_total", "refundable_amount"];
    assert_eq!(sums.map(|sum| order[sum].as_i64()), [10_000, 10_000, 6_000, 4_000].map(Some));
    let rows = order["refunds"].as_array().expect("a list");
    let told: Vec<_> = rows.iter().map(|row| (&row["amount"], &row["payment_id"])).collect();
    assert_eq!(told, [(&json!(1000), &json!(first)), (&json!(5000), &Value::Null)]);
    assert_eq!((&rows[1]["order_id"], &rows[1]["note"]), (&json!("order_1"), &json!("n")));

    assert_eq!(shop.refund_order(4_001, &[]).await.told(), TOO_MUCH);
    assert_eq!(shop.refund_order(4_000, &[]).await.json()["order"]["payment_status"], "refunded");
    assert_eq!(shop.refund_order(1, &[]).await.told(), TOO_MUCH);
}

#[tokio::test]
async fn what_is_not_captured_is_not_refunded_until_the_order_is() {
    let shop = Shop::open();
    let id = shop
        .payment(|new| {
            new.order = Some("order_1".to_owned());
            new.captures.clear();
        })
        .await;
    assert_eq!(shop.refund_order(100, &[]).await.told(), NOT_CAPTURED);
    assert_eq!(shop.refund_order(10_001, &[]).await.told(), TOO_MUCH);
    assert_eq!(shop.order("").await["payment_status"], "awaiting");
    let path = "/admin/orders/order_1/capture?fields=id&expand=payments";
    let captured = shop.post_with(path, &[AUTH], "").await;
    assert_eq!(captured.json()["order"]["payments"][0]["id"], id.as_str());
    let again = shop.post_with(path, &[AUTH], "").await;
    assert_eq!(again.told(), captured.told());
    assert_eq!(shop.order("").await["payment_status"], "captured");
    assert_eq!(shop.refund_order(10_000, &[]).await.status, 200);
    for path in ["/admin/orders/order_2/capture", "/admin/orders/order_2/refund"] {
        let body = r#"{"amount":1,"reason":"other"}"#;
        let unknown = shop.post_with(path, &[AUTH], body).await;
        let told = r#"404 {"type":"not_found","message":"Order with id: order_2 was not found"}"#;
        assert_eq!(unknown.told(), told);
    }
}

#[tokio::test]
async fn a_key_refunds_an_order_once_and_tells_the_same_again() {
    let shop = Shop::open();
    let (first, second) = (shop.part(3_000, None).await, shop.part(7_000, None).await);
    let key = [("idempotency-key", "key-1")];
    let made = shop.refund_order(4_000, &key).await;
    assert_eq!((made.status, made.header("idempotent-replayed")), (200, None));
    assert_eq!(shop.refund(&second, r#"{"amount":500,"reason":"other"}"#).await.status, 200);
    shop.part(1, None).await;
    shop.pass(Duration::from_secs(1));

    let again = shop.refund_order(4_000, &key).await;
    assert_eq!(again.told(), made.told(), "as it was then");
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.json()["order"]["refunds"][0]["idempotency_key"], "key-1");
    let other = shop.refund_order(4_001, &key).await;
    assert_eq!((other.status, other.json()["type"].as_str()), (422, Some("duplicate_error")));
    assert_eq!(shop.amount_refunded(&first).await, 3_000);
    assert_eq!(shop.amount_refunded(&second).await, 1_500);

    let refused = shop.refund_order(9_000, &[("idempotency-key", "key-2")]).await;
    assert_eq!((refused.told().as_str(), refused.header("idempotent-replayed")), (TOO_MUCH, None));
    shop.part(9_000, None).await;
    let still = shop.refund_order(9_000, &[("idempotency-key", "key-2")]).await;
    let replayed = still.header("idempotent-replayed");
    assert_eq!((still.told().as_str(), replayed), (TOO_MUCH, Some("true")));
}

#[tokio::test]
async fn what_a_payment_does_not_give_back_ends_it_and_is_told() {
    let shop = Shop::open();
    let first = shop.part(3_000, None).await;
    let second = shop.part(3_000, Some("decline:51")).await;
    let third = shop.part(3_000, None).await;
    let told = format!(
        r#"500 {{"type":"unexpected_state","message":"Failed to refund Payment {second}; what the payments before it gave is refunded: read the order before refunding the rest"}}"#
    );
    for replayed in [None, Some("true")] {
        let answer = shop.refund_order(9_000, &[("idempotency-key", "key-1")]).await;
        assert_eq!(answer.told(), told);
        assert_eq!(answer.header("idempotent-replayed"), replayed);
        assert_eq!(answer.headers.get_all("requite-refund-id").iter().count(), 2);
    }
    assert_eq!(shop.amount_refunded(&first).await, 3_000);
    assert_eq!(shop.amount_refunded(&second).await, 0);
    assert_eq!(shop.amount_refunded(&third).await, 0, "nothing is asked for after a no");
    let order = shop.order("").await;
    assert_eq!(
        (&order["refunds"][0]["amount"], &order["refunded_total"]),
        (&json!(3000), &json!(3000))
    );
}

#[tokio::test]
async fn a_request_that_is_sent_again_meanwhile_joins_the_first() {
    let shop = Arc::new(Shop::open());
    let first = shop.part(3_000, Some("hold")).await;
    let second = shop.part(3_000, None).await;
    let asking = tokio::spawn({
        let shop = Arc::clone(&shop);
        async move { shop.refund_order(5_000, &[("idempotency-key", "key-1")]).await.told() }
    });
    shop.until_held().await;
    let meanwhile = shop.refund_order(5_000, &[("idempotency-key", "key-1")]).await;
    assert_eq!(
        (meanwhile.status, meanwhile.json()["code"].as_str()),
        (409, Some("invalid_state_error"))
    );
    // The client leaves; the refund goes on to its second payment all the same.
    asking.abort();
    shop.release();
    let mut made = shop.refund_order(5_000, &[("idempotency-key", "key-1")]).await;
    for _ in 0..200 {
        if made.status != 409 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
        made = shop.refund_order(5_000, &[("idempotency-key", "key-1")]).await;
    }
    assert_eq!(made.status, 200, "{}", made.text);
    assert_eq!(shop.amount_refunded(&first).await, 3_000);
    assert_eq!(shop.amount_refunded(&second).await, 2_000);
}

#[tokio::test]
async fn of_twenty_at_once_no_more_is_refunded_than_there_is() {
    let shop = Arc::new(Shop::open());
    let (first, second) = (shop.part(3_000, None).await, shop.part(7_000, None).await);
    let asking: Vec<_> = (0..20)
        .map(|_| {
            let shop = Arc::clone(&shop);
            tokio::spawn(async move { shop.refund_order(10_000, &[]).await.status })
        })
        .collect();
    let mut made = 0;
    for answer in asking {
        let status = answer.await.expect("an answer");
        assert!(matches!(status, 200 | 400), "{status}");
        made += i32::from(status == 200);
    }
    assert_eq!(made, 1, "whoever has the oldest payment has them all");
    assert_eq!(shop.amount_refunded(&first).await, 3_000);
    assert_eq!(shop.amount_refunded(&second).await, 7_000);
}

#[tokio::test]
async fn refunds_that_come_at_once_find_what_is_left_elsewhere() {
    let shop = Arc::new(Shop::open());
    let (first, second) = (shop.part(3_000, None).await, shop.part(7_000, None).await);
    let asking: Vec<_> = (0..8)
        .map(|number| {
            let shop = Arc::clone(&shop);
            let key = format!("key-{}", number % 5);
            tokio::spawn(async move {
                shop.refund_order(2_000, &[("idempotency-key", &key)]).await.status
            })
        })
        .collect();
    for answer in asking {
        let status = answer.await.expect("an answer");
        assert!(matches!(status, 200 | 409), "{status}: there is money for each of the five");
    }
    for number in 0..5 {
        let key = format!("key-{number}");
        let made = shop.refund_order(2_000, &[("idempotency-key", &key)]).await;
        assert_eq!(made.status, 200, "{}", made.text);
    }
    assert_eq!(shop.amount_refunded(&first).await, 3_000);
    assert_eq!(shop.amount_refunded(&second).await, 7_000);
}

#[tokio::test]
async fn an_order_is_shown_as_far_as_its_payments_tell() {
    let shop = Shop::open();
    let id = shop.part(10_000, None).await;
    shop.part(1, None).await;
    let all = shop.order("").await;
    assert_eq!(all.as_object().expect("an object").len(), 35 + 17);
    assert_eq!(
        (&all["object"], &all["display_id"], &all["items"]),
        (&json!("order"), &Value::Null, &json!([]))
    );
    let narrow = shop.order("?fields=id,status&expand=").await;
    assert_eq!(narrow, json!({"id": "order_1", "status": "pending"}));
    let totals = shop.order("?fields=paid_total&expand=refunds").await;
    assert_eq!(totals.as_object().expect("an object").len(), 1 + 9 + 1 + 1);
    assert_eq!((&totals["total"], &totals["paid_total"]), (&json!(10_001), &json!(10_001)));
    for query in ["?fields=nope", "?expand=nope", "?expand=payments&expand=refunds", "?x=1"] {
        let answer = shop.get(&format!("/admin/orders/order_1{query}")).await;
        assert_eq!((answer.status, answer.json()["type"].as_str()), (400, Some("invalid_data")));
    }
    let payment = shop.get(&format!("/admin/payments/{id}?fields=id&expand=order")).await.json();
    let row = payment["payment"]["order"].as_object().expect("an object");
    assert_eq!((row.len(), &row["payment_status"]), (23, &json!("captured")));
    let dotted = shop.get(&format!("/admin/payments/{id}?fields=order.id")).await.json();
    assert_eq!(dotted["payment"]["order"], json!({"object": "order", "id": "order_1"}));

    let other = [("x-medusa-access-token", OTHER_TOKEN)];
    let foreign = shop.get_with("/admin/orders/order_1", &other).await;
    let unknown = r#"404 {"type":"not_found","message":"Order with id: order_1 was not found"}"#;
    assert_eq!(foreign.told(), unknown);
}
