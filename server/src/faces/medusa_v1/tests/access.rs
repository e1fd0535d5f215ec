//! Who gets in, and what is answered to those who do not.

use requite_core::id::uuid_text;
use serde_json::{Map, json};

use super::*;
use crate::crypto::jws::{self, Hs256Key};

const UNAUTHORIZED: &str = "401 Unauthorized";
const REFUND: &str = r#"{"amount":1,"reason":"other"}"#;

impl Shop {
    async fn log_in(&self, body: &str) -> Answer {
        self.post_with("/admin/auth/token", &[], body).await
    }
}

#[tokio::test]
async fn a_person_logs_in_and_refunds_until_the_day_is_over() {
    let shop = Shop::open();
    let id = shop.payment(|_| ()).await;
    shop.person(OTHER_SHOP, "a@shop.test", "other secret");
    shop.person(SHOP, "a@shop.test", "secret");
    for wrong in ["nope", "Secret", " secret"] {
        let body = json!({"email": "a@shop.test", "password": wrong}).to_string();
        let answer = shop.log_in(&body).await;
        assert_eq!(answer.told(), UNAUTHORIZED);
        let content_type = answer.header("content-type");
        assert_eq!(content_type, Some("text/plain; charset=utf-8"));
    }
    let nobody = r#"{"email":"b@shop.test","password":"secret"}"#;
    assert_eq!(shop.log_in(nobody).await.told(), UNAUTHORIZED);

    let answer = shop.log_in(r#"{"email":"a@shop.test","password":"secret"}"#).await;
    let body = answer.json();
    let token = body["access_token"].as_str().expect("a token");
    for scheme in ["Bearer", "bearer", "BEARER "] {
        let bearer = format!("{scheme} {token}");
        let bad_beside_good =
            [("authorization", bearer.as_str()), ("x-medusa-access-token", "nope")];
        let made = shop.refund_with(&id, &bad_beside_good, REFUND).await;
        assert_eq!(made.status, 200, "{}", made.text);
    }
    shop.pass(Duration::from_hours(24));
    let bearer = format!("Bearer {token}");
    let late = [("authorization", bearer.as_str())];
    let answer = shop.refund_with(&id, &late, REFUND).await;
    assert_eq!(answer.told(), UNAUTHORIZED);
}

#[tokio::test]
async fn only_a_token_of_ours_for_somebody_who_exists_is_good() {
    let shop = Shop::open();
    let id = shop.payment(|_| ()).await;
    let person = shop.person(SHOP, "a@shop.test", "secret");
    let ours = Hs256Key::new(&login_secret()).expect("long enough");
    let theirs = Hs256Key::new(&[8; 32]).expect("long enough");
    let usr = |id: PersonId| prefixed_text("usr_", id.bits());
    let now = START_MS / 1000;
    let good = json!({"user_id": usr(person), "domain": "admin",
        "merchant_id": uuid_text(SHOP.bits()), "iat": now, "exp": now + 60});
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        claims
    };
    for (claims, key, status) in [
        (good.clone(), &ours, 200),
        (good.clone(), &theirs, 401),
        (with("domain", "store".into()), &ours, 401),
        (with("domain", Value::Null), &ours, 401),
        (with("exp", now.into()), &ours, 401),
        (with("user_id", usr(PersonId::new(9)).into()), &ours, 401),
        (with("user_id", "usr_1".into()), &ours, 401),
        (with("merchant_id", uuid_text(OTHER_SHOP.bits()).into()), &ours, 401),
        (with("merchant_id", Value::Null), &ours, 401),
    ] {
        let map: Map<String, Value> = claims.as_object().expect("an object").clone();
        let bearer = format!("Bearer {}", jws::sign_hs256(&map, key));
        let sent = [("authorization", bearer.as_str())];
        let path = format!("/admin/payments/{id}");
        assert_eq!(shop.get_with(&path, &sent).await.status, status, "{claims}");
    }
}

#[tokio::test]
async fn no_credential_or_a_bad_one_is_told_nothing() {
    let shop = Shop::open();
    let id = shop.payment(|_| ()).await;
    shop.key(SHOP, "medusa-v2", "sk_v2", None);
    for headers in [
        &[][..],
        &[("x-medusa-access-token", "nope")],
        &[("x-medusa-access-token", "sk_v2")],
        &[("x-medusa-access-token", "")],
        &[("authorization", "Bearer mv1_shop")],
        &[("authorization", "Basic bXYxX3Nob3A6")],
        &[("authorization", "Bearer")],
        &[("authorization", "Bearer a.b.c")],
        &[("cookie", "connect.sid=s%3Aaaaa.bbbb")],
    ] {
        for body in [REFUND, "{}"] {
            let answer = shop.refund_with(&id, headers, body).await;
            assert_eq!(answer.told(), UNAUTHORIZED, "{headers:?}");
            assert_eq!(answer.header("content-type"), None);
        }
        let read = shop.get_with(&format!("/admin/payments/{id}"), headers).await;
        assert_eq!(read.told(), UNAUTHORIZED, "{headers:?}");
        let nowhere = shop.get_with("/admin/nope", headers).await;
        assert_eq!(nowhere.told(), UNAUTHORIZED, "{headers:?}");
        let malformed = shop.refund_with(&id, headers, "{bad").await;
        assert_eq!(malformed.status, 400, "the parser comes before the question who asks");
    }
    assert_eq!(shop.amount_refunded(&id).await, 0);
}

#[tokio::test]
async fn a_token_does_what_its_scopes_say() {
    let shop = Shop::open();
    let id = shop.payment(|_| ()).await;
    for (token, scopes, may_refund, may_read) in [
        ("t1", &["refunds.create"][..], true, false),
        ("t2", &["refunds.read"], false, true),
        ("t3", &["payments.read"], false, true),
        ("t4", &["payments.write"], false, false),
        ("t5", &["admin"], true, true),
        ("t6", &[], false, false),
    ] {
        shop.key(SHOP, "medusa-v1", token, Some(scopes));
        let sent = [("x-medusa-access-token", token)];
        let refund = shop.refund_with(&id, &sent, REFUND).await;
        assert_eq!(refund.status, if may_refund { 200 } else { 403 }, "{scopes:?}");
        let read = shop.get_with(&format!("/admin/payments/{id}"), &sent).await;
        assert_eq!(read.status, if may_read { 200 } else { 403 }, "{scopes:?}");
        if !may_refund {
            assert_eq!(refund.json()["type"], "forbidden");
            let unread = shop.refund_with(&id, &sent, "{}").await;
            assert_eq!(unread.status, 403, "scopes come before the body's meaning");
        }
    }
}

#[tokio::test]
async fn what_is_no_route_is_not_found_in_json() {
    let shop = Shop::open();
    let id = shop.payment(|_| ()).await;
    for (path, told) in [
        ("/admin/nope", "Cannot GET /admin/nope"),
        ("/admin/payments", "Cannot GET /admin/payments"),
        ("/admin/payments//refund", "Cannot GET /admin/payments//refund"),
        ("/", "Cannot GET /"),
    ] {
        let told = format!(r#"404 {{"type":"not_found","message":"{told}"}}"#);
        assert_eq!(shop.get(path).await.told(), told);
    }
    for id in ["", "/"] {
        let answer = shop.refund(id, REFUND).await;
        let told = format!("Cannot POST /admin/payments/{id}/refund");
        assert_eq!(answer.status, 404);
        assert_eq!(answer.json()["message"], told);
        let read = shop.get(&format!("/admin/payments/{id}")).await;
        assert_eq!(read.status, 404, "{id}");
        assert!(read.text.contains("Cannot GET"), "{}", read.text);
    }
    for method in ["DELETE", "PUT"] {
        let path = format!("/admin/payments/{id}");
        let token = [("x-medusa-access-token", TOKEN)];
        let answer = shop.exchange(method, &path, &token, "").await;
        assert_eq!(answer.status, 404, "{method}");
    }
    for path in ["/admin/payments/%zz", "/admin/payments/a%00b"] {
        let answer = shop.get(path).await;
        assert_eq!(answer.status, 400, "{path}");
        assert_eq!(answer.json()["type"], "invalid_data");
    }
}

#[tokio::test]
async fn paths_are_found_in_any_letter_case_and_ids_are_not_changed() {
    let shop = Shop::open();
    let id = shop.payment(|_| ()).await;
    let path = format!("/Admin/PAYMENTS/{id}/?fields=amount");
    let told = format!(r#"200 {{"payment":{{"id":"{id}","amount":10000}}}}"#);
    assert_eq!(shop.get(&path).await.told(), told);
    let upper = id.to_uppercase();
    let unknown = shop.get(&format!("/admin/payments/{upper}")).await;
    let told =
        format!(r#"404 {{"type":"not_found","message":"Payment with id {upper} was not found"}}"#);
    assert_eq!(unknown.told(), told);
}

#[tokio::test]
async fn bodies_that_cannot_be_read_are_refused_in_json() {
    let shop = Shop::open();
    let id = shop.payment(|_| ()).await;
    let long = format!(r#"{{"amount":1,"reason":"other","note":"{}"}}"#, "x".repeat(65_536));
    for (content_type, encoding, body, status) in [
        ("application/json", None, long.as_bytes(), 413),
        ("application/json", None, b"{\"note\":\"a\xffb\"}", 400),
        ("application/json", None, b"\"x\"", 400),
        ("application/json", Some("br"), REFUND.as_bytes(), 415),
        ("application/json", Some("gzip"), REFUND.as_bytes(), 400),
        ("application/json; charset=utf-16", None, REFUND.as_bytes(), 415),
        ("application/vnd.api+json", None, REFUND.as_bytes(), 400),
    ] {
        let mut headers = vec![("content-type", content_type), ("x-medusa-access-token", TOKEN)];
        headers.extend(encoding.map(|encoding| ("content-encoding", encoding)));
        let path = format!("/admin/payments/{id}/refund");
        let answer = shop.exchange("POST", &path, &headers, body.to_vec()).await;
        assert_eq!(answer.status, status, "{content_type} {encoding:?}");
        assert_eq!(answer.json()["type"], "invalid_data");
    }
    assert_eq!(shop.amount_refunded(&id).await, 0);
}

#[tokio::test]
async fn listed_browser_origins_may_read_the_answers() {
    let shop = Shop::open();
    let (listed, other) = ("http://localhost:7001", "http://evil.example");
    for (method, path, origin, status, is_allowed) in [
        ("OPTIONS", "/admin/payments/x/refund", Some(listed), 204, true),
        ("OPTIONS", "/Admin/payments/x/refund", Some(other), 204, false),
        ("OPTIONS", "/admin/payments/x/refund", None, 204, false),
        ("GET", "/admin/payments/x", Some(listed), 401, true),
        ("GET", "/admin/payments/x", Some(other), 401, false),
    ] {
        let asked = "content-type,idempotency-key";
        let mut headers = vec![("access-control-request-headers", asked)];
        headers.extend(origin.map(|origin| ("origin", origin)));
        let answer = shop.exchange(method, path, &headers, "").await;
        assert_eq!(answer.status, status, "{method} {path} {origin:?}");
        let told = answer.header("access-control-allow-origin");
        assert_eq!(told, origin.filter(|_| is_allowed));
        assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
        let echoed = answer.header("access-control-allow-headers");
        let is_preflight = method == "OPTIONS";
        assert_eq!(echoed, is_preflight.then_some("content-type,idempotency-key"));
    }
}
