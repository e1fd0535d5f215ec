//! What finance looks at: captures, gift cards, events, the journal, reasons.

use super::keys::keyed;
use super::lists::{ids, turned};
use super::*;

#[test]
fn a_final_capture_lets_go_and_a_declined_one_takes_nothing() {
    let shop = Shop::open();
    let body = json!({"amount": 1000, "currency": "EUR"});
    let id = text(&shop.post("/api/payments", &body).json(), "/id");
    let captures = format!("/api/payments/{id}/captures");
    let wish = json!({"amount": 700, "final": true, "external_identifier": "shipment-1"});
    let made = shop.post(&captures, &wish).json();
    let capture = &made["captures"][0];
    assert_eq!(
        (&capture["final"], &capture["external_identifier"]),
        (&json!(true), &json!("shipment-1"))
    );
    assert_eq!((&capture["face"], made["stage"].as_str()), (&json!("native"), Some("captured")));
    let rest = &made["voids"][0];
    assert_eq!(
        (&rest["amount"], &rest["of_final_capture"], &rest["id"]),
        (&json!(300), &json!(true), &capture["id"])
    );
    assert_eq!(made["totals"]["capturable"], json!(0));
    for (body, pointer) in [(json!({"final": "yes"}), "/final"), (json!({"final": 1}), "/final")] {
        let wrong = shop.post(&captures, &body);
        assert_eq!(wrong.status, 422);
        assert_eq!(text(&wrong.json(), "/error/details/0/pointer"), pointer);
    }
    let script = ["capture:decline:51:no funds", "void:decline:05"];
    let body =
        json!({"amount": 1000, "currency": "EUR", "connector": "sandbox", "sandbox": script});
    let id = text(&shop.post("/api/payments", &body).json(), "/id");
    for (what, told) in [("captures", "capture_declined"), ("voids", "void_declined")] {
        let path = format!("/api/payments/{id}/{what}");
        let (status, body, _) = keyed(&shop, &path, what, r#"{"amount":10}"#);
        assert!(status == 409 && body.contains(told), "{body}");
        assert_eq!(keyed(&shop, &path, what, r#"{"amount":10}"#), (409, body, true));
    }
    assert_eq!(shop.totals(&id)["capturable"], json!(1000));
    let events = shop.get(&format!("/api/payments/{id}/events")).json();
    assert_eq!(events["items"][1]["kind"], json!("declined"));
    assert_eq!(events["items"][1]["error"]["code"], json!("51"));
}

#[test]
fn gift_cards_show_what_is_left_of_each() {
    let shop = Shop::open();
    let card = "c23ea83f-1b1c-4584-a0e8-78ef8c041949";
    let id = shop.payment(json!({"gift_cards": [{"id": card, "amount": 500}, {"amount": 70}]}));
    shop.refund(&id, &json!({"amount": 200, "leg": card}));
    let cards = shop.get(&format!("/api/payments/{id}/gift-cards")).json();
    assert_eq!(
        cards["items"][0],
        json!({"id": card, "amount": 500, "currency": "EUR", "captured": 500, "refunded": 200,
            "reserved": 0, "refundable": 300})
    );
    assert_eq!(cards["items"][1]["refundable"], json!(70));
}

#[test]
fn finance_can_explain_every_cent() {
    let shop = Shop::open();
    let id = shop.scripted(&["approve", "decline:no", "pending"]);
    for amount in [300, 200, 100] {
        assert_eq!(shop.refund(&id, &json!({"amount": amount})).status, 201);
    }
    let events = shop.get(&format!("/api/payments/{id}/events?limit=100")).json();
    let items = events["items"].as_array().expect("items");
    let mut before = json!("0".repeat(64));
    for (item, number) in items.iter().zip(1..) {
        assert_eq!((&item["number"], &item["hash_before"]), (&json!(number), &before));
        before = item["hash"].clone();
    }
    let statuses: Vec<&str> = items.iter().filter_map(|item| item["status"].as_str()).collect();
    let sent = "dispatched";
    assert_eq!(statuses, [sent, "succeeded", sent, "declined", sent, "pending"]);
    let journal = shop.get(&format!("/api/payments/{id}/journal?limit=100")).json();
    let moved: Vec<String> = journal["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|item| {
            format!("{}>{} {}", item["debit"], item["credit"], item["amount"]).replace('"', "")
        })
        .collect();
    assert_eq!(
        moved,
        [
            "psp_clearing>refundable 1000",
            "refundable>reserved 300",
            "reserved>refunded 300",
            "refundable>reserved 200",
            "reserved>refundable 200",
            "refundable>reserved 100",
        ]
    );
    let accounts = &journal["accounts"][0];
    let held = ["refundable", "reserved", "refunded", "disputed", "psp_clearing", "excess"];
    let held = held.map(|name| accounts[name].as_i64().expect("an amount"));
    assert_eq!(held, [600, 100, 300, 0, 1000, 0]);
    let totals = shop.totals(&id);
    assert_eq!((&totals["refunded"], &totals["reserved"]), (&json!(300), &json!(100)));
    // Both turn page by page.
    for list in ["events", "journal"] {
        let path = format!("/api/payments/{id}/{list}");
        let whole = shop.get(&format!("{path}?limit=100&order=newest_first")).json();
        let numbers = |page: &Value| -> Vec<String> {
            let items = page["items"].as_array().expect("items");
            items.iter().map(|item| format!("{}.{}", item["number"], item["line"])).collect()
        };
        let (on, back) = turned(&shop, &format!("{path}?order=newest_first"), numbers);
        assert_eq!((&on, &back), (&numbers(&whole), &numbers(&whole)), "{list}");
    }
}

#[test]
fn refund_reasons_are_kept_changed_and_named_by_refunds() {
    let shop = Shop::open();
    let made = shop
        .post("/api/refund-reasons", &json!({"code": "late", "label": "Late", "description": "d"}));
    let reason = text(&made.json(), "/id");
    assert_eq!(
        (made.status, made.header("location")),
        (201, Some(format!("/api/refund-reasons/{reason}").as_str()))
    );
    let path = format!("/api/refund-reasons/{reason}");
    let changed = shop.post(&path, &json!({"label": "Too late", "description": null})).json();
    assert_eq!(
        (&changed["code"], &changed["label"], &changed["description"]),
        (&json!("late"), &json!("Too late"), &Value::Null)
    );
    assert_eq!(shop.get(&path).json(), changed);
    assert!(ids(&shop.get("/api/refund-reasons?limit=100").json()).contains(&reason));
    let id = shop.payment(json!({}));
    let medusa = text(&changed, "/ids/medusa");
    let refund =
        shop.refund(&id, &json!({"amount": 1, "reason_id": medusa, "metadata": {"a": 1}})).json();
    assert_eq!((&refund["reason"], &refund["reason_id"]), (&json!("late"), &json!(reason)));
    assert_eq!(refund["metadata"], json!({"a": 1}));
    let gone = shop.send(Request::new("DELETE", &path));
    assert_eq!((gone.status, gone.json()["deleted_at"].is_string()), (200, true));
    for (request, status) in [
        (Request::get(&path), 404),
        (Request::new("DELETE", &path), 404),
        (Request::post(&path).json(&json!({"label": "x"})), 404),
        (Request::post("/api/refund-reasons").json(&json!({"code": "x"})), 422),
        (Request::post("/api/refund-reasons").json(&json!({"code": "", "label": "x"})), 422),
        (Request::get("/api/refund-reasons?q=x"), 400),
    ] {
        assert_eq!(
            shop.send(request.clone()).status,
            status,
            "{} {}",
            request.method,
            request.target
        );
    }
    let refused = shop.refund(&id, &json!({"amount": 1, "reason_id": reason}));
    assert_eq!((refused.status, code(&refused).as_str()), (422, "reason_unknown"));
    let shown = shop.get(&format!("/api/refunds/{}", text(&refund, "/id"))).json();
    assert_eq!(shown["reason_id"], json!(reason), "it was its reason");
}

/// JSON readers hold integers to 2^53 - 1 exactly: there is no more money than that in one payment.
#[test]
fn no_amount_is_beyond_what_json_readers_hold() {
    let shop = Shop::open();
    let most = 9_007_199_254_740_991_i64;
    let body = json!({"amount": most, "currency": "EUR", "captures": [{"amount": most}]});
    let made = shop.post("/api/payments", &body);
    assert_eq!((made.status, &made.json()["totals"]["refundable"]), (201, &json!(most)));
    let id = text(&made.json(), "/id");
    assert_eq!(shop.refund(&id, &json!({"amount": most})).json()["amount"], json!(most));
    let accounts = shop.get(&format!("/api/payments/{id}/journal")).json()["accounts"][0].clone();
    assert_eq!((&accounts["refunded"], &accounts["psp_clearing"]), (&json!(most), &json!(most)));
    for body in [
        json!({"amount": most + 1, "currency": "EUR"}),
        json!({"amount": most, "currency": "EUR", "gift_cards": [{"amount": 1}]}),
    ] {
        assert_eq!(shop.post("/api/payments", &body).status, 422, "{body}");
    }
    assert_eq!(shop.refund(&id, &json!({"amount": most + 1})).status, 409);
}
