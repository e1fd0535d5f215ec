//! Why goods come back.

use super::*;

const LIST: &str = "/admin/return-reasons";
const AUTH: (&str, &str) = ("x-medusa-access-token", TOKEN);

#[tokio::test]
async fn a_shop_keeps_its_return_reasons() {
    let shop = Shop::open();
    assert_eq!(shop.get(LIST).await.told(), r#"200 {"return_reasons":[]}"#);
    let made = shop.post_with(LIST, &[AUTH], r#"{"value":"late","label":"Too late"}"#).await;
    let reason = &made.json()["return_reason"];
    let id = reason["id"].as_str().expect("an id").to_owned();
    assert!(id.starts_with("rr_"), "{id}");
    let told = format!(
        r#"200 {{"return_reason":{{"id":"{id}","created_at":"2024-09-15T12:27:45.123Z","updated_at":"2024-09-15T12:27:45.123Z","deleted_at":null,"value":"late","label":"Too late","description":null,"parent_return_reason_id":null,"parent_return_reason":null,"return_reason_children":[]}}}}"#
    );
    assert_eq!(made.told(), told);
    let path = format!("{LIST}/{id}");
    assert_eq!(shop.get(&path).await.told(), told);

    let second = shop.post_with(LIST, &[AUTH], r#"{"value":"late","label":"Other"}"#).await;
    let taken = r#"422 {"code":"invalid_request_error","type":"duplicate_error","message":"Return_reason with value late already exists."}"#;
    assert_eq!(second.told(), taken);
    shop.pass(Duration::from_secs(1));
    let changed = shop.post_with(&path, &[AUTH], r#"{"description":"by a week"}"#).await;
    let changed = changed.json()["return_reason"].clone();
    assert_eq!(
        (&changed["label"], &changed["description"]),
        (&"Too late".into(), &"by a week".into())
    );
    assert_eq!(changed["updated_at"], "2024-09-15T12:27:46.123Z");
    assert_eq!(shop.get(LIST).await.json()["return_reasons"], Value::Array(vec![changed]));

    let gone = shop.exchange("DELETE", &path, &[AUTH], "").await;
    assert_eq!(
        gone.told(),
        format!(r#"200 {{"id":"{id}","object":"return_reason","deleted":true}}"#)
    );
    let unknown = format!(
        r#"404 {{"type":"not_found","message":"Return Reason with id: {id} was not found."}}"#
    );
    assert_eq!(shop.get(&path).await.told(), unknown);
    assert_eq!(shop.exchange("DELETE", &path, &[AUTH], "").await.told(), unknown);
    assert_eq!(shop.post_with(&path, &[AUTH], "{}").await.told(), unknown);
    let again = shop.post_with(LIST, &[AUTH], r#"{"value":"late","label":"Too late"}"#).await;
    assert_eq!(again.status, 200, "its value is free again: {}", again.text);
}

#[tokio::test]
async fn a_key_makes_one_return_reason() {
    let shop = Shop::open();
    let keyed = [AUTH, ("idempotency-key", "key-1")];
    let first = shop.post_with(LIST, &keyed, r#"{"value":"a","label":"b"}"#).await;
    let again = shop.post_with(LIST, &keyed, r#" {"label":"b","value":"\u0061"}"#).await;
    assert_eq!(again.told(), first.told());
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    let other = shop.post_with(LIST, &keyed, r#"{"value":"c","label":"b"}"#).await;
    assert_eq!((other.status, other.json()["type"].as_str()), (422, Some("duplicate_error")));
    assert_eq!(shop.get(LIST).await.json()["return_reasons"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn return_reasons_are_their_merchants_and_their_scopes() {
    let shop = Shop::open();
    let made = shop.post_with(LIST, &[AUTH], r#"{"value":"a","label":"b"}"#).await;
    let id = made.json()["return_reason"]["id"].as_str().expect("an id").to_owned();
    let path = format!("{LIST}/{id}");
    let other = [("x-medusa-access-token", OTHER_TOKEN)];
    assert_eq!(shop.get_with(&path, &other).await.status, 404);
    assert_eq!(shop.get_with(LIST, &other).await.told(), r#"200 {"return_reasons":[]}"#);
    shop.key(SHOP, "medusa-v1", "reader", Some(&["refunds.read"]));
    let reader = [("x-medusa-access-token", "reader")];
    assert_eq!(shop.get_with(LIST, &reader).await.status, 200);
    let body = r#"{"value":"c","label":"d"}"#;
    assert_eq!(shop.post_with(LIST, &reader, body).await.status, 403);
    assert_eq!(shop.post_with(&path, &reader, body).await.status, 403);
    assert_eq!(shop.exchange("DELETE", &path, &reader, "").await.status, 403);
    assert_eq!(shop.get_with(LIST, &[]).await.status, 401);
}
