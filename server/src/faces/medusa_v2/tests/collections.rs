//! Payment collections and providers.

use super::*;

const NOT_MARKED: &str = "400 {\"type\":\"not_allowed\",\"message\":\"Can only mark 'not_paid' payment collection as paid\"}";
const NOT_DELETED: &str = "400 {\"type\":\"not_allowed\",\"message\":\"Can only delete payment collections where status is not_paid\"}";
const PAID: &str = r#"{"order_id":"order_1"}"#;

impl Shop {
    /// An order of euros, known by a payment of it.
    async fn order(&self) {
        self.payment(|it| it.order = Some("order_1".to_owned())).await;
    }

    /// The id of a collection of 60.00 for that order.
    async fn collection(&self) -> String {
        let body = r#"{"order_id":"order_1","amount":60}"#;
        let made = self.ask("POST /admin/payment-collections", body).await;
        assert_eq!(made.status, 200, "{}", made.told());
        made.json()["payment_collection"]["id"].as_str().expect("an id").to_owned()
    }

    async fn mark(&self, collection: &str, key: &str, body: &str) -> Answer {
        let basic = format!("Basic {KEY}");
        let headers = [("authorization", basic.as_str()), ("idempotency-key", key)];
        let headers = if key.is_empty() { &headers[..1] } else { &headers[..] };
        let call = format!("POST /admin/payment-collections/{collection}/mark-as-paid");
        self.ask_as(headers, &call, body).await
    }

    async fn payment_count(&self) -> u64 {
        let list = self.ask("GET /admin/payments?fields=id", "").await.json();
        list["count"].as_u64().expect("a number")
    }
}

#[tokio::test]
async fn what_is_asked_for_an_order_is_paid_once_and_refundable() {
    let shop = Shop::open();
    shop.order().await;
    let id = shop.collection().await;
    let ulid = id.strip_prefix("pay_col_").expect("the prefix").to_owned();
    let marked = shop.mark(&id, "", PAID).await;
    assert_eq!(marked.status, 200, "{}", marked.told());
    let shown = &marked.json()["payment_collection"];
    assert_eq!(shown["status"], "completed");
    for sum in ["amount", "authorized_amount", "captured_amount"] {
        assert_eq!(shown[sum].to_string(), "60", "{sum}");
    }
    assert_eq!(shown["refunded_amount"].to_string(), "0");
    let payment = shown["payments"][0]["id"].as_str().expect("an id").to_owned();
    assert_eq!(payment, format!("pay_{ulid}"));
    assert_eq!(shown["payment_sessions"][0]["payment"]["id"], payment.as_str());
    assert_eq!(shown["payments"][0]["payment_session"]["id"], format!("payses_{ulid}"));

    let call = format!(
        "GET /admin/payments/{payment}?fields=payment_collection.order.id,provider_id,captures.amount"
    );
    let seen = shop.ask(&call, "").await.json();
    let expected = serde_json::json!({"payment": {
        "id": payment,
        "provider_id": "pp_system_default",
        "payment_collection_id": id,
        "payment_collection": {"id": id, "order": {"id": "order_1"}},
        "captures": [{"id": seen["payment"]["captures"][0]["id"], "amount": 60}],
    }});
    assert_eq!(seen, expected);
    assert_eq!(shop.refund(&payment, "{\"amount\":60}").await.status, 200);

    assert_eq!(shop.mark(&id, "", PAID).await.told(), NOT_MARKED);
    let delete = format!("DELETE /admin/payment-collections/{id}");
    assert_eq!(shop.told(&delete, "").await, NOT_DELETED);
    assert_eq!(shop.payment_count().await, 2);
}

#[tokio::test]
async fn marking_is_repeatable_by_its_key_and_by_no_other() {
    let shop = Shop::open();
    shop.order().await;
    let id = shop.collection().await;
    let first = shop.mark(&id, "k1", PAID).await;
    assert_eq!((first.status, first.header("idempotent-replayed")), (200, None));
    let payment = first.json()["payment_collection"]["payments"][0]["id"].clone();
    assert_eq!(shop.refund(payment.as_str().expect("an id"), "{\"amount\":1}").await.status, 200);
    let again = shop.mark(&id, "k1", "{ \"order_id\" : \"order_1\" }").await;
    assert_eq!(again.told(), first.told(), "also after a refund");
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    let other = shop.mark(&id, "k1", r#"{"order_id":"order_1","provider_id":"pp_system_default"}"#);
    assert_eq!(other.await.status, 422);
    for _ in 0..2 {
        assert_eq!(shop.mark(&id, "k2", PAID).await.told(), NOT_MARKED);
    }
    assert_eq!(shop.payment_count().await, 2);
}

/// However many say at once that it is paid, it is paid once; whoever has no key is told so once.
#[tokio::test]
async fn of_many_marks_at_once_one_pays() {
    let shop = Shop::open();
    shop.order().await;
    let id = shop.collection().await;
    let mark = || shop.mark(&id, "", PAID);
    let answers: [Answer; 4] = tokio::join!(mark(), mark(), mark(), mark()).into();
    let paid = answers.iter().filter(|answer| answer.status == 200).count();
    let refused = answers.iter().filter(|answer| answer.told() == NOT_MARKED).count();
    assert_eq!((paid, refused, shop.payment_count().await), (1, 3, 2));
}

/// The power goes out between the mark and the payment: whoever marks next makes the payment, as of
/// the first mark, and nobody deletes it meanwhile.
#[tokio::test]
async fn a_mark_without_its_payment_is_made_up_for() {
    let shop = Shop::open();
    shop.order().await;
    let id = shop.collection().await;
    let bits = requite_core::id::parse_prefixed("pay_col_", &id).expect("an id of ours");
    let collection = requite_core::id::PaymentId::new(bits);
    let mark = requite_engine::read::Mark { by: "user_first".to_owned(), at_ms: START_MS + 1 };
    let marked = shop.registry.mark_collection(SHOP, collection, &mark);
    assert!(marked.expect("a store").is_some());
    let delete = format!("DELETE /admin/payment-collections/{id}");
    assert_eq!(shop.told(&delete, "").await, NOT_DELETED);
    shop.pass(Duration::from_hours(1));
    let paid = shop.mark(&id, "k1", PAID).await;
    assert_eq!(paid.status, 200, "{}", paid.told());
    let shown = &paid.json()["payment_collection"]["payments"][0];
    assert_eq!(shown["captured_at"], "2024-09-15T12:27:45.124Z");
    assert_eq!(shop.mark(&id, "k1", PAID).await.told(), paid.told());
}

#[tokio::test]
async fn a_collection_that_is_not_paid_has_a_session_and_is_deleted() {
    let shop = Shop::open();
    shop.order().await;
    let id = shop.collection().await;
    let call = format!(
        "POST /admin/payment-collections/{id}/payment-sessions?fields=payment_sessions.provider_id,payment_sessions.status,payments.id"
    );
    for provider in ["pp_system_default", "pp_sandbox_sandbox"] {
        let body = format!("{{\"provider_id\":\"{provider}\",\"data\":{{}}}}");
        let ulid = &id["pay_col_".len()..];
        let session = format!(
            "{{\"provider_id\":\"{provider}\",\"status\":\"pending\",\"id\":\"payses_{ulid}\"}}"
        );
        assert_eq!(
            shop.told(&call, &body).await,
            format!(
                "200 {{\"payment_collection\":{{\"id\":\"{id}\",\"payment_sessions\":[{session}],\"payments\":[]}}}}"
            )
        );
    }
    let nobody = invalid("Invalid request: There is no payment provider 'pp_nope'");
    assert_eq!(shop.told(&call, "{\"provider_id\":\"pp_nope\"}").await, nobody);
    let delete = format!("DELETE /admin/payment-collections/{id}");
    let gone =
        format!("200 {{\"id\":\"{id}\",\"object\":\"payment-collection\",\"deleted\":true}}");
    assert_eq!(shop.told(&delete, "").await, gone);
    let unknown = not_found(&format!("PaymentCollection id not found: {id}"));
    assert_eq!(shop.told(&delete, "").await, unknown);
    assert_eq!(shop.mark(&id, "", PAID).await.told(), unknown);
    assert_eq!(shop.told(&call, "{\"provider_id\":\"pp_system_default\"}").await, unknown);
}

#[tokio::test]
async fn what_a_collection_cannot_be_asked_is_told() {
    let shop = Shop::open();
    shop.order().await;
    let id = shop.collection().await;
    let small = "Invalid request: Value for field 'amount' too small, expected at least: '0'";
    let required = |name: &str| invalid(&format!("Invalid request: Field '{name}' is required"));
    let mark = format!("/{id}/mark-as-paid");
    let nobody = invalid("Invalid request: There is no payment provider 'pp_nope'");
    let by_hand = "400 {\"type\":\"not_allowed\",\"message\":\"Only payments of the provider pp_system_default can be marked as paid\"}";
    for (path, body, told) in [
        ("", r#"{"amount":1}"#, required("order_id")),
        ("", r#"{"order_id":"order_1"}"#, required("amount")),
        ("", r#"{"order_id":"order_1","amount":0}"#, invalid(small)),
        ("", r#"{"order_id":"order_1","amount":-1}"#, invalid(small)),
        (
            "",
            r#"{"order_id":"order_1","amount":1,"currency_code":"usd"}"#,
            invalid("Invalid request: Unrecognized fields: 'currency_code'"),
        ),
        (
            "",
            r#"{"order_id":"order_1","amount":1.001}"#,
            invalid("Invalid request: Value for field 'amount' has too many decimals, EUR has 2"),
        ),
        (
            "",
            r#"{"order_id":"order_1","amount":1e20}"#,
            invalid(
                "Invalid request: Value for field 'amount' too large, expected at most 9007199254740991 minor units",
            ),
        ),
        (
            "",
            r#"{"order_id":"order_nope","amount":1}"#,
            not_found("Order id not found: order_nope"),
        ),
        (&mark, "{}", required("order_id")),
        (&mark, r#"{"order_id":"order_nope"}"#, not_found("Order id not found: order_nope")),
        (&mark, r#"{"order_id":"order_1","provider_id":"pp_nope"}"#, nobody),
        (&mark, r#"{"order_id":"order_1","provider_id":"pp_sandbox_sandbox"}"#, by_hand.to_owned()),
        ("/pay_col_x/mark-as-paid", PAID, not_found("PaymentCollection id not found: pay_col_x")),
    ] {
        let call = format!("POST /admin/payment-collections{path}");
        assert_eq!(shop.told(&call, body).await, told, "{path} {body}");
    }
    assert_eq!(shop.payment_count().await, 1);
}

/// Also those that are nothing but how a payment's collection is shown.
#[tokio::test]
async fn collections_are_their_merchants_and_those_of_payments_are_paid() {
    let shop = Shop::open();
    shop.order().await;
    let id = shop.collection().await;
    let theirs = [("authorization", "Basic sk_other")];
    for (call, body) in [
        (format!("POST /admin/payment-collections/{id}/mark-as-paid"), PAID),
        (format!("DELETE /admin/payment-collections/{id}"), ""),
    ] {
        let told = shop.ask_as(&theirs, &call, body).await.told();
        assert_eq!(told, not_found(&format!("PaymentCollection id not found: {id}")));
    }
    let payment = shop.payment(|it| it.order = Some("order_1".to_owned())).await;
    let id = payment.replace("pay_", "pay_col_");
    assert_eq!(shop.mark(&id, "", PAID).await.told(), NOT_MARKED);
    let delete = format!("DELETE /admin/payment-collections/{id}");
    assert_eq!(shop.told(&delete, "").await, NOT_DELETED);
}

#[tokio::test]
async fn providers_are_listed_and_win_over_an_id() {
    let shop = Shop::open();
    let list = |rows: &[&str], count: usize, limit: usize| {
        let row = |id: &&str| format!("{{\"id\":\"{id}\",\"is_enabled\":true}}");
        let rows = rows.iter().map(row).collect::<Vec<_>>().join(",");
        format!(
            "200 {{\"payment_providers\":[{rows}],\"count\":{count},\"offset\":0,\"limit\":{limit}}}"
        )
    };
    let (sandbox, system) = ("pp_sandbox_sandbox", "pp_system_default");
    for (query, told) in [
        ("", list(&[sandbox, system], 2, 20)),
        ("?order=-id&limit=1", list(&[system], 2, 1)),
        ("?id[]=pp_system_default&is_enabled=true", list(&[system], 1, 20)),
        ("?is_enabled=false", list(&[], 0, 20)),
        ("?is_enabled=maybe", invalid("Invalid request: Invalid input")),
        ("?q=x", invalid("Invalid request: Unrecognized fields: 'q'")),
    ] {
        let call = format!("GET /admin/payments/payment-providers{query}");
        assert_eq!(shop.told(&call, "").await, told, "{query}");
    }
}
