//! Paths, bodies and refund reasons.

use requite_core::id::uuid_text;

use super::*;

#[tokio::test]
async fn a_payment_is_found_by_each_of_its_names() {
    let shop = Shop::open();
    let elsewhere = "pay_01ARZ3NDEKTSV4RRFFQ69G5FAV";
    let mut bits = 0;
    let id = shop
        .payment(|it| {
            bits = it.payment.bits();
            it.aliases = vec!["ch_1".to_owned(), elsewhere.to_owned()];
            it.connector_payment = Some("pi_1".to_owned());
        })
        .await;
    let body = format!("200 {{\"payment\":{{\"id\":\"{id}\"}}}}");
    for path in [
        format!("/admin/payments/{id}?fields=id"),
        format!("/ADMIN/Payments/{id}/?fields=id"),
        format!("/admin/payments/%70{}?fields=id", &id[1..]),
        format!("/admin/payments/{}?fields=id", uuid_text(bits)),
        "/admin/payments/ch_1?fields=id".to_owned(),
        "/admin/payments/pi_1?fields=id".to_owned(),
        format!("/admin/payments/{elsewhere}?fields=id"),
    ] {
        assert_eq!(shop.told(&format!("GET {path}"), "").await, body, "{path}");
    }
    let call = format!("POST /Admin/payments/{elsewhere}/refund/?fields=id");
    assert_eq!(shop.told(&call, "{}").await, body);
    for path in [
        "/admin/payments/nothing",
        "/admin/payments/..%2f..%2fetc",
        "/admin/payments/__proto__",
        "/admin/payments/pay_col_01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "/admin/payments/pay_81ARZ3NDEKTSV4RRFFQ69G5FAV",
    ] {
        let answer = shop.ask(&format!("GET {path}"), "").await;
        assert_eq!(answer.status, 404, "{path}: {}", answer.told());
    }
}

#[tokio::test]
async fn what_is_no_route_is_told_in_json() {
    let shop = Shop::open();
    let id = shop.payment(|_| ()).await;
    for call in [
        format!("DELETE /admin/payments/{id}"),
        format!("GET /admin/payments/{id}/refund"),
        format!("PUT /admin/payments/{id}"),
        format!("GET /admin//payments/{id}"),
        "GET /admin/nope".to_owned(),
        "GET /nope".to_owned(),
        "POST /admin/payments//refund".to_owned(),
    ] {
        assert_eq!(shop.told(&call, "").await, not_found(&format!("Cannot {call}")));
    }
    let anonymous = shop.ask_as(&[], "GET /admin/nope", "").await;
    assert_eq!(anonymous.told(), "401 {\"message\":\"Unauthorized\"}");
    for path in ["/admin/payments/%zz", "/admin/payments/a%00b", "/%"] {
        let answer = shop.ask(&format!("GET {path}"), "").await;
        assert_eq!(answer.status, 400, "{path}: {}", answer.told());
        assert_eq!(answer.header("x-powered-by"), Some("Express"));
    }
}

#[tokio::test]
async fn a_body_that_cannot_be_taken_moves_nothing() {
    let shop = Shop::open();
    let id = shop.payment(|_| ()).await;
    let call = format!("POST /admin/payments/{id}/refund");
    let note = |length: usize| format!("{{\"amount\":1,\"note\":\"{}\"}}", "n".repeat(length));
    let large = "413 {\"message\":\"request entity too large\",\"type\":\"unknown_error\"}";
    assert_eq!(shop.told(&call, &note(65_536)).await, large);
    let basic = format!("Basic {KEY}");
    for (name, value, status) in
        [("content-encoding", "zstd", 415), ("content-encoding", "gzip", 400)]
    {
        let headers = [("authorization", basic.as_str()), (name, value)];
        let answer = shop.ask_as(&headers, &call, "{\"amount\":1}").await;
        assert_eq!(answer.status, status, "{value}: {}", answer.told());
    }
    assert_eq!(shop.refunded(&id).await, "0");
    assert_eq!(shop.ask(&call, &note(60_000)).await.status, 200);
}

#[tokio::test]
async fn refund_reasons_are_made_named_changed_and_deleted() {
    let shop = Shop::open();
    let id = shop.payment(|_| ()).await;
    let made = shop
        .told("POST /admin/refund-reasons?fields=id", r#"{"label":"Damaged","code":"damaged"}"#)
        .await;
    let reason = made.split('"').nth(5).expect("an id").to_owned();
    let at = "2024-09-15T12:27:45.123Z";
    let shown = |label: &str, description: &str| {
        format!(
            "{{\"id\":\"{reason}\",\"label\":\"{label}\",\"code\":\"damaged\",\"description\":{description},\"created_at\":\"{at}\",\"updated_at\":\"{at}\",\"deleted_at\":null}}"
        )
    };
    let one = |reason: String| format!("200 {{\"refund_reason\":{reason}}}");
    let call = |method: &str| format!("{method} /admin/refund-reasons/{reason}");
    assert_eq!(shop.told(&call("GET"), "").await, one(shown("Damaged", "null")));
    let body = r#"{"label":"Broken","description":"In two"}"#;
    let changed = shop.told(&call("POST"), body).await;
    assert_eq!(changed, one(shown("Broken", "\"In two\"")));
    let list = shop.told("GET /admin/refund-reasons?q=BROK&limit=5&order=-label", "").await;
    let row = shown("Broken", "\"In two\"");
    assert_eq!(
        list,
        format!("200 {{\"refund_reasons\":[{row}],\"count\":1,\"offset\":0,\"limit\":5}}")
    );

    let body = format!("{{\"amount\":1,\"refund_reason_id\":\"{reason}\"}}");
    let call_refund = format!("POST /admin/payments/{id}/refund?fields=refunds.refund_reason.code");
    let refunded = shop.ask(&call_refund, &body).await;
    assert!(refunded.text.contains("\"code\":\"damaged\""), "{}", refunded.told());

    let gone = format!("200 {{\"id\":\"{reason}\",\"object\":\"refund_reason\",\"deleted\":true}}");
    assert_eq!(shop.told(&call("DELETE"), "").await, gone);
    assert_eq!(shop.told(&call("DELETE"), "").await, gone);
    let unknown = not_found(&format!("RefundReason with id \\\"{reason}\\\" not found"));
    assert_eq!(shop.told(&call("GET"), "").await, unknown);
    assert_eq!(shop.told(&call("POST"), "{}").await, unknown);
    let told = shop.told(&call_refund, &body).await;
    assert_eq!(told, not_found(&format!("RefundReason id not found: {reason}")));
    let payment = format!("GET /admin/payments/{id}?fields=refunds.refund_reason.code");
    let shown = shop.ask(&payment, "").await.text;
    let kept = format!("\"refund_reason_id\":\"{reason}\",\"refund_reason\":null");
    assert!(shown.contains(&kept), "{shown}");
}

#[tokio::test]
async fn reasons_that_do_not_fit_are_told_as_the_original_tells_them() {
    let shop = Shop::open();
    for (call, body, message) in [
        ("POST", "{}", "Field 'label' is required; Field 'code' is required"),
        ("POST", "", "Field 'label' is required; Field 'code' is required"),
        ("POST", r#"{"code":"x"}"#, "Field 'label' is required"),
        ("POST", r#"{"label":"a","code":"b","foo":1}"#, "Unrecognized fields: 'foo'"),
        (
            "POST",
            r#"{"label":null,"code":1,"description":2}"#,
            "Expected type: 'string' for field 'label', got: 'null'; Expected type: 'string' for field 'code', got: '1'; Expected type: 'string' for field 'description', got: '2'",
        ),
        ("GET ?code=other", "", "Unrecognized fields: 'code'"),
        ("GET ?limit=abc", "", "Expected type: 'number' for field 'limit', got: 'abc'"),
        (
            "GET ?with_deleted=maybe",
            "",
            "Expected type: 'boolean' for field 'with_deleted', got: 'maybe'",
        ),
    ] {
        let (method, query) = call.split_once(' ').unwrap_or((call, ""));
        let told = shop.told(&format!("{method} /admin/refund-reasons{query}"), body).await;
        assert_eq!(told, invalid(&format!("Invalid request: {message}")), "{body}");
    }
}

#[tokio::test]
async fn reasons_are_listed_by_any_column_and_any_time() {
    let shop = Shop::open();
    let mut ids = Vec::new();
    for (label, code) in [("Late", "b"), ("Broken", "c"), ("Wrong", "a")] {
        let body = format!("{{\"label\":\"{label}\",\"code\":\"{code}\"}}");
        let made = shop.ask("POST /admin/refund-reasons", &body).await.json();
        ids.push(made["refund_reason"]["id"].as_str().expect("an id").to_owned());
        shop.pass(Duration::from_secs(1));
    }
    let changed = format!("POST /admin/refund-reasons/{}", ids[0]);
    assert_eq!(shop.ask(&changed, "{\"description\":\"Weeks\"}").await.status, 200);
    for (query, found) in [
        ("order=label", "102"),
        ("order=-code", "102"),
        ("order=-created_at", "210"),
        ("order=updated_at", "120"),
        ("order=deleted_at", "012"),
        ("order=metadata&limit=1&offset=1", "1"),
        ("created_at[$gt]=2024-09-15T12:27:45.123Z", "12"),
        ("created_at[$gte]=2024-09-15T12:27:46.123Z&created_at[$lt]=2024-09-15T12:27:47.123Z", "1"),
        ("updated_at[$gt]=2024-09-15T12:27:47.500Z", "0"),
        ("q=wEEk", "0"),
        ("q=o", "12"),
        (&format!("id[]={}&id[]=refr_x&order=-id", ids[1]), "1"),
        ("deleted_at[$gt]=2024-09-15", ""),
    ] {
        let list = shop.ask(&format!("GET /admin/refund-reasons?fields=id&{query}"), "").await;
        let rows = list.json()["refund_reasons"].as_array().expect(&list.text).clone();
        let places = rows.iter().map(|row| ids.iter().position(|id| *id == row["id"]));
        let places: String = places.map(|place| place.expect("a known one").to_string()).collect();
        assert_eq!(places, found, "{query}");
    }
    let deep = "500 {\"type\":\"invalid_argument\",\"message\":\"Key accessor more than 2 levels deep: a.b.c\"}";
    assert_eq!(shop.told("GET /admin/refund-reasons?a.b.c=1", "").await, deep);
}
