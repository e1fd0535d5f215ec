//! Lists of payments.

use super::*;

/// Payments of one shop, and the ids that a list shows.
async fn listed(shop: &Shop, query: &str) -> String {
    let joint = if query.is_empty() { "" } else { "&" };
    let call = format!("GET /admin/payments?fields=id{joint}{query}");
    shop.told(&call, "").await
}

#[tokio::test]
async fn a_list_is_filtered_ordered_and_cut() {
    let shop = Shop::open();
    let mut ids = Vec::new();
    for (at, units, code) in [(0, 10_000, "EUR"), (1, 900, "EUR"), (2, 5_000, "JPY")] {
        let amount = Minor::new(units).expect("an amount");
        let payment = shop.payment(|it| {
            it.primary.amount = amount;
            it.captures.clear();
            it.currency = Currency::parse(code).expect("listed");
            it.created_at_ms = START_MS + at * 1_000;
        });
        ids.push(payment.await);
    }
    shop.payment(|it| it.merchant = OTHER_SHOP).await;
    let [a, b, c] = ids.as_slice() else {
        panic!("three payments");
    };
    let none: [&String; 0] = [];
    let session = format!("payment_session_id={}", a.replace("pay_", "payses_"));
    for (query, shown, rest) in [
        ("".to_owned(), &[a, b, c][..], "3,\"offset\":0,\"limit\":20"),
        ("limit=2".to_owned(), &[a, b], "3,\"offset\":0,\"limit\":2"),
        ("offset=2".to_owned(), &[c], "3,\"offset\":2,\"limit\":20"),
        ("limit=0".to_owned(), &none, "3,\"offset\":0,\"limit\":0"),
        ("offset=1000".to_owned(), &none, "3,\"offset\":1000,\"limit\":20"),
        ("order=-created_at".to_owned(), &[c, b, a], "3,\"offset\":0,\"limit\":20"),
        ("order=-id&limit=1&offset=1".to_owned(), &[b], "3,\"offset\":1,\"limit\":1"),
        ("order=updated_at".to_owned(), &[a, b, c], "3,\"offset\":0,\"limit\":20"),
        ("order=-updated_at&limit=2".to_owned(), &[c, b], "3,\"offset\":0,\"limit\":2"),
        ("order=-amount&limit=1&offset=1".to_owned(), &[a], "3,\"offset\":1,\"limit\":1"),
        // 9, 100 and 5000 major units.
        ("order=amount".to_owned(), &[b, a, c], "3,\"offset\":0,\"limit\":20"),
        (
            "order=payment_collection.created_at".to_owned(),
            &[a, b, c],
            "3,\"offset\":0,\"limit\":20",
        ),
        (format!("id={b}"), &[b], "1,\"offset\":0,\"limit\":20"),
        (format!("id[]={c}&id[]={a}"), &[a, c], "2,\"offset\":0,\"limit\":20"),
        (format!("id={a},{b}"), &none, "0,\"offset\":0,\"limit\":20"),
        (session, &[a], "1,\"offset\":0,\"limit\":20"),
        (format!("$or[0][id]={a}&$or[1][id]={c}"), &[a, c], "2,\"offset\":0,\"limit\":20"),
        (
            "$and[0][created_at][$gt]=2024-09-15T12:27:45.123Z".to_owned(),
            &[b, c],
            "2,\"offset\":0,\"limit\":20",
        ),
        (
            "created_at[$gt]=2024-09-15T12:27:45.123Z&created_at[$lt]=2024-09-15T12:27:47.123Z"
                .to_owned(),
            &[b],
            "1,\"offset\":0,\"limit\":20",
        ),
        (
            "q=nothing&with_deleted=true&created_at[$foo]=1".to_owned(),
            &[a, b, c],
            "3,\"offset\":0,\"limit\":20",
        ),
    ] {
        let rows: Vec<String> = shown.iter().map(|id| format!("{{\"id\":\"{id}\"}}")).collect();
        let expected = format!("200 {{\"payments\":[{}],\"count\":{rest}}}", rows.join(","));
        assert_eq!(listed(&shop, &query).await, expected, "{query}");
    }
}

#[tokio::test]
async fn what_a_list_cannot_be_asked_is_told() {
    let shop = Shop::open();
    for (query, message) in [
        ("limit=abc", "Expected type: 'number' for field 'limit', got: 'abc'"),
        ("limit=-1", "Value for field 'limit' is negative"),
        ("order=nope", "Value for field 'order' is no column"),
        ("foo=bar", "Unrecognized fields: 'foo'"),
        ("expand=refunds", "Unrecognized fields: 'expand'"),
        (
            "id[$in][]=pay_1",
            "Expected type: 'string, array' for field 'id', got: '[object Object]'",
        ),
        ("with_deleted=maybe", "Expected type: 'boolean' for field 'with_deleted', got: 'maybe'"),
        ("$or[0][foo]=1", "Unrecognized fields: 'foo'"),
    ] {
        let expected = invalid(&format!("Invalid request: {message}"));
        assert_eq!(listed(&shop, query).await, expected, "{query}");
    }
    let deep = "500 {\"type\":\"invalid_argument\",\"message\":\"Key accessor more than 2 levels deep: a.b.c\"}";
    assert_eq!(listed(&shop, "a.b.c=1").await, deep);
}

/// Each list once as the store reads it, and once so that each payment must be looked at.
#[tokio::test]
async fn a_list_is_the_same_whoever_filters_and_orders() {
    let shop = Shop::open();
    let mut ids = Vec::new();
    for at in [3, 1, 4, 1, 5] {
        ids.push(shop.payment(|it| it.created_at_ms = START_MS + at * 1_000).await);
    }
    shop.pass(Duration::from_mins(1));
    for id in &ids[1..3] {
        assert_eq!(shop.refund(id, "{\"amount\":1}").await.status, 200);
    }
    // Fits no payment, and is no matter for the store.
    let nobody = "$or[1][created_at][$in][]=1999-01-01&$or[1][created_at][$in][]=1999-01-02";
    let at = |seconds: i64| crate::time::millis_text(START_MS + seconds * 1_000);
    let moment = at(30);
    for (condition, order) in [
        (format!("[created_at][$gte]={}", at(3)), "id"),
        (format!("[created_at][$gt]={}", at(3)), "-created_at"),
        (format!("[created_at]={}", at(1)), "-id"),
        (format!("[updated_at][$gt]={moment}"), "-updated_at"),
        (format!("[updated_at][$lte]={moment}"), "created_at"),
        (format!("[id]={}", ids[2]), "updated_at"),
    ] {
        for page in ["", "&limit=1&offset=1", "&limit=0"] {
            let store = listed(&shop, &format!("$or[0]{condition}&order={order}{page}")).await;
            let looked = format!("$or[0]{condition}&{nobody}&order={order}{page}");
            assert!(store.starts_with("200 "), "{store}");
            assert_eq!(listed(&shop, &looked).await, store, "{condition} {order} {page}");
        }
    }
}
