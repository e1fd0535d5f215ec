//! `Idempotency-Key` on requests that move no money (decision A4).

use super::*;

pub(super) const REUSED: &str = "422 {\"code\":\"invalid_request_error\",\"type\":\"duplicate_error\",\"message\":\"This Idempotency-Key was used for a request that means something else. Send this one with a key of its own.\"}";

impl Shop {
    pub(super) async fn ask_keyed(&self, key: &str, call: &str, body: &str) -> Answer {
        let basic = format!("Basic {KEY}");
        let headers = [("authorization", basic.as_str()), ("idempotency-key", key)];
        self.ask_as(&headers, call, body).await
    }

    async fn reason_count(&self) -> u64 {
        let list = self.ask("GET /admin/refund-reasons", "").await.json();
        list["count"].as_u64().expect("a number")
    }
}

#[tokio::test]
async fn a_repeat_is_answered_as_the_first_and_makes_nothing() {
    let shop = Shop::open();
    let call = "POST /admin/refund-reasons";
    let first = shop.ask_keyed("k1", call, r#"{"label":"Late","code":"late"}"#).await;
    assert_eq!(first.status, 200, "{}", first.told());
    assert_eq!(first.header("idempotent-replayed"), None);
    let id = first.json()["refund_reason"]["id"].as_str().expect("an id").to_owned();
    let changed = shop.ask(&format!("POST /admin/refund-reasons/{id}"), r#"{"label":"L"}"#).await;
    assert_eq!(changed.status, 200, "{}", changed.told());
    shop.pass(Duration::from_hours(29 * 24));
    let again = shop.ask_keyed("k1", call, r#"{ "code": "l\u0061te", "label": "Late" }"#).await;
    assert_eq!(again.told(), first.told(), "spelt otherwise, after a change");
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(shop.reason_count().await, 1);

    let other = shop.ask_keyed("k1", call, r#"{"label":"Late","code":"later"}"#).await;
    assert_eq!(other.told(), REUSED);
    let elsewhere = format!("POST /admin/refund-reasons/{id}");
    let update = shop.ask_keyed("k1", &elsewhere, r#"{"label":"Late","code":"late"}"#).await;
    assert_eq!(update.status, 200, "another route has its own keys: {}", update.told());
    assert_eq!(update.header("idempotent-replayed"), None);
    let theirs = [("authorization", "Basic sk_other"), ("idempotency-key", "k1")];
    let theirs = shop.ask_as(&theirs, call, r#"{"label":"Theirs","code":"x"}"#).await;
    assert_eq!(theirs.status, 200, "another merchant has its own keys: {}", theirs.told());

    shop.pass(Duration::from_hours(31 * 24));
    let later = shop.ask_keyed("k1", call, r#"{"label":"Late","code":"later"}"#).await;
    assert_eq!(later.status, 200, "a key is kept for 60 days: {}", later.told());
    assert_eq!(shop.reason_count().await, 2);
}

#[tokio::test]
async fn what_was_refused_leaves_its_key_free() {
    let shop = Shop::open();
    let call = "POST /admin/refund-reasons";
    assert_eq!(shop.ask_keyed("k1", call, r#"{"label":"Late"}"#).await.status, 400);
    let unknown = "POST /admin/refund-reasons/refr_01ARZ3NDEKTSV4RRFFQ69G5FAV";
    assert_eq!(shop.ask_keyed("k2", unknown, r#"{"label":"Late"}"#).await.status, 404);
    for key in ["k1", "k2"] {
        let made = shop.ask_keyed(key, call, r#"{"label":"Late","code":"late"}"#).await;
        assert_eq!(made.status, 200, "{}", made.told());
        assert_eq!(made.header("idempotent-replayed"), None);
    }
}

#[tokio::test]
async fn of_requests_with_one_key_at_once_one_is_done_and_all_are_told_of_it() {
    let shop = Shop::open();
    let body = r#"{"label":"Late","code":"late"}"#;
    let ask = || shop.ask_keyed("k1", "POST /admin/refund-reasons", body);
    let answers = [
        tokio::join!(ask(), ask(), ask(), ask()).into(),
        tokio::join!(ask(), ask(), ask(), ask()).into(),
    ];
    let answers: Vec<Answer> = answers.into_iter().flat_map(|four: [Answer; 4]| four).collect();
    let first = answers.first().expect("eight answers").told();
    assert!(first.starts_with("200 "), "{first}");
    assert!(answers.iter().all(|answer| answer.told() == first));
    let replays = answers.iter().filter(|a| a.header("idempotent-replayed").is_some()).count();
    assert_eq!(replays, 7);
    assert_eq!(shop.reason_count().await, 1);
}
