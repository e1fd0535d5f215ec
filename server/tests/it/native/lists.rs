//! Lists: filters, orders, and pages turned both ways.

use super::*;

/// A list turned page by page, two items each, to its end; and back from there to its beginning.
pub(super) fn turned(
    shop: &Shop,
    path: &str,
    seen: impl Fn(&Value) -> Vec<String>,
) -> (Vec<String>, Vec<String>) {
    let mut page = shop.get(&format!("{path}&limit=2")).json();
    let mut on = seen(&page);
    let plain = path.split('?').next().expect("a path");
    while let Some(cursor) = page["next_cursor"].as_str() {
        page = shop.get(&format!("{plain}?limit=2&cursor={cursor}")).json();
        on.extend(seen(&page));
        assert!(on.len() < 100, "no end");
    }
    let mut back = seen(&page);
    while let Some(cursor) = page["previous_cursor"].as_str() {
        page = shop.get(&format!("{plain}?limit=2&cursor={cursor}")).json();
        back.splice(..0, seen(&page));
        assert!(back.len() < 100, "no beginning");
    }
    (on, back)
}

pub(super) fn ids(page: &Value) -> Vec<String> {
    let items = page["items"].as_array().expect("items");
    items.iter().map(|item| text(item, "/id")).collect()
}

#[test]
fn lists_are_turned_both_ways_in_every_order_while_rows_come_in() {
    let shop = Shop::open();
    let made: Vec<String> = (0..5).map(|_| shop.payment(json!({}))).collect();
    for id in [&made[1], &made[3], &made[1]] {
        assert_eq!(shop.refund(id, &json!({"amount": 10})).status, 201);
    }
    for list in ["payments", "refunds"] {
        for sort in ["registered", "created", "updated"] {
            if (list, sort) == ("refunds", "registered") {
                continue;
            }
            for order in ["newest_first", "oldest_first"] {
                let path = format!("/api/{list}?sort={sort}&order={order}");
                let whole = ids(&shop.get(&format!("{path}&limit=100")).json());
                assert_eq!(whole.len(), if list == "payments" { 5 } else { 3 });
                let (on, back) = turned(&shop, &path, ids);
                assert_eq!((&on, &back), (&whole, &whole), "{path}");
            }
        }
    }
    // A new payment comes before the first page, and moves nothing on those behind it.
    let first = shop.get("/api/payments?limit=2").json();
    let new = shop.payment(json!({}));
    let cursor = text(&first, "/next_cursor");
    let second = shop.get(&format!("/api/payments?limit=2&cursor={cursor}")).json();
    assert_eq!(ids(&second), [made[2].clone(), made[1].clone()]);
    let cursor = text(&second, "/previous_cursor");
    let back = shop.get(&format!("/api/payments?limit=2&cursor={cursor}")).json();
    assert_eq!(ids(&back), ids(&first));
    let cursor = text(&back, "/previous_cursor");
    let newest = shop.get(&format!("/api/payments?limit=2&cursor={cursor}")).json();
    assert_eq!((ids(&newest), &newest["previous_cursor"]), (vec![new], &Value::Null));
    for wrong in [
        format!("payments?sort=updated&cursor={cursor}"),
        format!("payments?order=oldest_first&cursor={cursor}"),
        format!("refunds?cursor={cursor}"),
        format!("payments?cursor={cursor}A"),
        format!("payments?cursor={}", &cursor[1..]),
        "payments?sort=amount".to_owned(),
        "refunds?sort=registered".to_owned(),
        "payments?has_refunds=1".to_owned(),
        "payments?stage=paid".to_owned(),
        "payments?currency=EURO".to_owned(),
        "payments?status=succeeded".to_owned(),
        "refunds?stage=captured".to_owned(),
    ] {
        let answer = shop.get(&format!("/api/{wrong}"));
        assert_eq!((answer.status, code(&answer).as_str()), (400, "invalid_parameter"), "{wrong}");
    }
}

#[test]
fn payments_and_refunds_are_found_by_every_filter() {
    let shop = Shop::open();
    let open = json!({"amount": 5, "currency": "SAR"});
    let open = text(&shop.post("/api/payments", &open).json(), "/id");
    let taken =
        shop.payment(json!({"order": "o-1", "customer": "cus_1", "external_identifier": "x-1",
        "gift_cards": [{"amount": 5}], "connector": "sandbox", "connector_payment": "psp-1",
        "created_at": "2020-01-01T00:00:00Z"}));
    let sent = shop.refund(&taken, &json!({"amount": 100, "external_identifier": "r-1"})).json();
    let refund = text(&sent, "/id");
    let now = text(&sent, "/updated_at");
    let none: Vec<String> = Vec::new();
    let (open, taken) = (vec![open], vec![taken]);
    for (query, found) in [
        ("stage=authorized".to_owned(), &open),
        ("stage=captured,voided&stage=declined".to_owned(), &taken),
        ("has_refunds=true".to_owned(), &taken),
        ("has_refunds=false".to_owned(), &open),
        ("has_gift_cards=true".to_owned(), &taken),
        ("currency=sar,usd".to_owned(), &open),
        ("connector=sandbox&connector_payment=psp-1".to_owned(), &taken),
        ("customer=cus_1&order_reference=o-1&external_identifier=x-1".to_owned(), &taken),
        ("created_until=2021-01-01T00:00:00Z".to_owned(), &taken),
        ("created_from=2021-01-01T00:00:00Z".to_owned(), &open),
        (format!("updated_from={now}"), &taken),
        ("updated_until=2021-01-01T00:00:00Z".to_owned(), &none),
        ("amount_until=5".to_owned(), &open),
        ("amount_from=1000&sort=updated".to_owned(), &taken),
    ] {
        let page = shop.get(&format!("/api/payments?{query}")).json();
        assert_eq!(&ids(&page), found, "{query}");
    }
    let refund = vec![refund];
    for (query, found) in [
        ("customer=cus_1&order_reference=o-1&connector=sandbox&currency=EUR".to_owned(), &refund),
        ("currency=SAR".to_owned(), &none),
        ("external_identifier=r-1&status=succeeded,declined".to_owned(), &refund),
        (format!("sent_from={}", text(&sent, "/sent_at")), &refund),
        (format!("sent_until={}", text(&sent, "/sent_at")), &none),
        (format!("settled_from={}", text(&sent, "/settled_at")), &refund),
        (format!("settled_until={}", text(&sent, "/settled_at")), &none),
        (format!("updated_from={now}&sort=updated"), &refund),
        (format!("updated_until={now}"), &none),
    ] {
        let page = shop.get(&format!("/api/refunds?{query}")).json();
        assert_eq!(&ids(&page), found, "{query}");
    }
}

#[test]
fn lists_are_filtered_and_turned_page_by_page() {
    let shop = Shop::open();
    let id = shop.payment(json!({"external_identifier": "a", "order": "order_1"}));
    let other = shop.scripted(&["decline:no"]);
    for amount in [100, 200, 300] {
        assert_eq!(shop.refund(&id, &json!({"amount": amount})).status, 201);
    }
    assert_eq!(shop.refund(&other, &json!({"amount": 400})).status, 201);
    for (query, amounts) in [
        ("", vec![400, 300, 200, 100]),
        ("?order=oldest_first", vec![100, 200, 300, 400]),
        ("?status=declined", vec![400]),
        ("?status=succeeded,failed&amount_from=200", vec![300, 200]),
        ("?amount_until=200", vec![200, 100]),
        ("?created_from=2999-01-01T00:00:00Z", vec![]),
        ("?created_until=2000-01-01T00:00:00Z", vec![]),
        ("?payment=nobody", vec![]),
        (&format!("?payment={id}&limit=100"), vec![300, 200, 100]),
    ] {
        let page = shop.get(&format!("/api/refunds{query}")).json();
        let items = page["items"].as_array().expect("items");
        let found: Vec<i64> = items.iter().filter_map(|item| item["amount"].as_i64()).collect();
        assert_eq!(found, amounts, "{query}");
        assert!(page["next_cursor"].is_null(), "{query}");
    }
    let mut path = "/api/refunds?limit=1".to_owned();
    let mut seen = Vec::new();
    while seen.len() < 5 {
        let page = shop.get(&path).json();
        seen.push(page["items"][0]["amount"].clone());
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/api/refunds?limit=1&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen, [400, 300, 200, 100]);
    let below = shop.get(&format!("/api/payments/{id}/refunds?limit=2")).json();
    assert_eq!(below["items"].as_array().map(Vec::len), Some(2));
    let found = shop.get("/api/payments?external_identifier=a&order_reference=order_1").json();
    assert_eq!(found["items"][0]["id"], json!(id));
    for query in [
        "limit=0",
        "limit=101",
        "limit=x",
        "cursor=x",
        "status=done",
        "created_from=today",
        "amount_from=-1",
        "page=2",
        "limit=1&limit=2",
    ] {
        let answer = shop.get(&format!("/api/refunds?{query}"));
        assert_eq!((answer.status, code(&answer).as_str()), (400, "invalid_parameter"), "{query}");
    }
}
