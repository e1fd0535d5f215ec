//! What is told of a transaction's past: captures, events, settlements.

use std::time::Duration;

use requite_core::money::Minor;

use super::*;

async fn read(stage: &Stage, path: &str) -> Value {
    let answer = stage.send(stage.get(path)).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    answer.json()
}

fn texts(body: &Value, name: &str) -> Vec<String> {
    let items = body["items"].as_array().expect("a list").iter();
    items.map(|item| item[name].as_str().expect("a text").to_owned()).collect()
}

#[tokio::test]
async fn captures_are_listed_newest_first_and_read_by_their_ids() {
    let stage = Stage::open();
    let id = stage.transaction_with(&[2_500], |new| new.captures.clear()).await;
    let path = format!("/transactions/{id}/captures");
    let none = read(&stage, &path).await;
    assert_eq!(
        none,
        json!({"items": [], "limit": 20, "next_cursor": null, "previous_cursor": null})
    );
    let capture =
        |body: Value| stage.post(&format!("/transactions/{id}/capture"), &body.to_string());
    let first = json!({"amount": 4_000, "final": false, "external_identifier": "parcel-1"});
    assert_eq!(stage.send(capture(first)).await.status, 200);
    stage.pass(Duration::from_secs(60));
    assert_eq!(stage.send(capture(json!({"amount": 1_000}))).await.status, 200);

    let listed = read(&stage, &path).await;

    let items = listed["items"].as_array().expect("a list");
    let told: Vec<Value> = items
        .iter()
        .map(|item| json!([item["amount"], item["final"], item["external_identifier"]]))
        .collect();
    assert_eq!(told, [json!([1_000, true, null]), json!([4_000, false, "parcel-1"])]);
    let newest = &items[0];
    for (name, value) in [
        ("type", json!("capture")),
        ("status", json!("succeeded")),
        ("transaction_id", json!(id)),
        ("merchant_account_id", json!("acme")),
        ("currency", json!("USD")),
        ("created_at", json!("2024-09-15T12:28:45.123000+00:00")),
        ("captured_at", json!("2024-09-15T12:28:45.123000+00:00")),
        ("transaction_external_identifier", json!(format!("order-{id}"))),
        ("error_code", json!(null)),
    ] {
        assert_eq!(newest[name], value, "{name}");
    }
    for item in items {
        let one = format!("{path}/{}", item["id"].as_str().expect("an id"));
        assert_eq!(&read(&stage, &one).await, item);
    }
    let missing = "00000000-0000-4000-8000-000000000000";
    for (capture, status) in [(missing, 404), ("x", 400)] {
        let answer = stage.send(stage.get(&format!("{path}/{capture}"))).await;
        assert_eq!(answer.status, status, "{}", answer.text);
    }
}

#[tokio::test]
async fn events_tell_what_happened_newest_first() {
    let stage = Stage::open();
    let connector = "payment-connector-response-transaction";
    let id = stage.transaction_with(&[2_500], |new| new.captures.clear()).await;
    stage.pass(Duration::from_secs(1));
    stage.send(stage.post(&format!("/transactions/{id}/capture"), r#"{"amount":4000}"#)).await;
    stage.pass(Duration::from_secs(1));
    let refund = stage.refund(&id, &json!({"amount": 1_500})).await.json();
    stage.pass(Duration::from_secs(1));
    stage.send(stage.post(&format!("/transactions/{id}/refunds/all"), "{}")).await;
    let path = format!("/transactions/{id}/events");

    let told = read(&stage, &path).await;

    let reversed = format!("{connector}-capture-reversal-succeeded");
    let expected = [
        "gift-card-refund-succeeded",
        &reversed,
        &reversed,
        &format!("{connector}-capture-succeeded"),
        "gift-card-redemption-succeeded",
        &format!("{connector}-authorization-succeeded"),
    ];
    assert_eq!(texts(&told, "name"), expected);
    assert_eq!(told["limit"], 100);
    let third = &told["items"][2];
    assert_eq!(third["type"], "transaction-event");
    assert_eq!(third["created_at"], refund["updated_at"]);
    assert_eq!(third["context"]["refund_id"], refund["id"]);
    assert_eq!(third["context"]["amount"], 1_500);
    assert_eq!(third["context"]["transaction_id"], json!(id));
    assert_eq!(read(&stage, &path).await, told, "ids stay the same");

    let mut ids = Vec::new();
    let mut query = "?limit=4".to_owned();
    let last = loop {
        let page = read(&stage, &format!("{path}{query}")).await;
        ids.extend(texts(&page, "id"));
        match page["next_cursor"].as_str() {
            Some(next) => query = format!("?limit=4&cursor={next}"),
            None => break page,
        }
    };
    assert_eq!(ids, texts(&told, "id"));
    let back = last["previous_cursor"].as_str().expect("there is a page before");
    let back = read(&stage, &format!("{path}?limit=4&cursor={back}")).await;
    assert_eq!(texts(&back, "id"), ids[..4]);
    assert_eq!(back["previous_cursor"], Value::Null);
    for query in ["?limit=101", "?cursor=x"] {
        let answer = stage.send(stage.get(&format!("{path}{query}"))).await;
        assert_error(&answer, 400, "bad_request");
        assert_eq!(answer.json()["details"][0]["location"], "query");
    }
}

#[tokio::test]
async fn an_event_of_what_was_declined_says_why() {
    let stage = Stage::open();
    for (script, of_card, of_gift_card) in [
        ("decline:issuer_decline:no", "capture-reversal-declined", "gift-card-refund-failed"),
        ("fail:E1", "capture-reversal-failed", "gift-card-refund-failed"),
    ] {
        let id = stage.transaction_with(&[2_500], |new| super::stage::at_psp(new, script)).await;
        stage.send(stage.post(&format!("/transactions/{id}/refunds/all"), "{}")).await;
        let told = read(&stage, &format!("/transactions/{id}/events?limit=2")).await;
        let names = texts(&told, "name");
        assert_eq!(names[0], of_gift_card, "{script}");
        assert!(names[1].ends_with(of_card), "{script}: {names:?}");
        let context = &told["items"][1]["context"];
        let code = script.split(':').nth(1).expect("a code");
        assert_eq!(context["raw_response_code"], code, "{script}");
        assert!(context["error_code"].is_string(), "{script}");
    }
    let open = stage.scripted("pending").await;
    stage.refund(&open, &json!({"amount": 1})).await;
    let told = read(&stage, &format!("/transactions/{open}/events")).await;
    assert_eq!(texts(&told, "name").len(), 2, "nothing is told of what is under way: {told}");
}

#[tokio::test]
async fn nothing_is_settled_here() {
    let stage = Stage::open();
    let id = stage.transaction().await;
    for list in ["settlements", "refund-settlements"] {
        assert_eq!(read(&stage, &format!("/transactions/{id}/{list}")).await, json!({"items": []}));
        let path = format!("/transactions/00000000-0000-4000-8000-000000000000/{list}");
        assert_error(&stage.send(stage.get(&path)).await, 404, "not_found");
    }
}

#[tokio::test]
async fn a_gift_card_shows_the_digits_that_were_kept_of_it() {
    let stage = Stage::open();
    let known = r#"{"gift_cards":[{"amount":1},{"bin":"412345","sub_bin":"554","last4":"1234"}]}"#;
    let two = |new: &mut requite_engine::command::Registration| {
        new.profile = known.to_owned();
        new.primary.amount = Minor::new(10_000).expect("an amount");
    };
    let id = stage.transaction_with(&[100, 200], two).await;
    let read = read(&stage, &format!("/transactions/{id}")).await;
    let cards = &read["gift_card_redemptions"];
    let shown = |at: usize| {
        let card = &cards[at]["gift_card"];
        json!([card["bin"], card["sub_bin"], card["last4"]])
    };
    assert_eq!(shown(0), json!(["000000", "000", "0000"]));
    assert_eq!(shown(1), json!(["412345", "554", "1234"]));
    let found = |last4: &str| format!("/transactions?gift_card_last4={last4}");
    for (last4, count) in [("1234", 1), ("4321", 0)] {
        let answer = stage.send(stage.get(&found(last4))).await.json();
        assert_eq!(answer["items"].as_array().expect("a list").len(), count, "{last4}");
    }
}
