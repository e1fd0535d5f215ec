//! Log-ins that a cookie stands for.

use serde_json::json;

use super::*;
use crate::session::LIFE_MS;

const UNAUTHORIZED: &str = "401 Unauthorized";
const REFUND: &str = r#"{"amount":1,"reason":"other"}"#;
const LOG_IN: &str = r#"{"email":"a@shop.test","password":"secret"}"#;

/// What a browser sends back of a `Set-Cookie` header.
fn kept(answer: &Answer) -> String {
    let set = answer.header("set-cookie").expect("a cookie");
    set.split(';').next().expect("a name and a value").to_owned()
}

async fn log_in(shop: &Shop) -> String {
    let answer = shop.post_with("/admin/auth", &[], LOG_IN).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    kept(&answer)
}

#[tokio::test]
async fn a_log_in_is_answered_with_the_user_and_a_cookie() {
    let shop = Shop::open();
    let person = shop.person(SHOP, "a@shop.test", "secret");
    for (way, tail) in [
        (&[][..], "; HttpOnly; SameSite=Lax"),
        (&[("x-forwarded-proto", "https")], "; HttpOnly; Secure; SameSite=None"),
    ] {
        let answer = shop.post_with("/admin/auth", way, LOG_IN).await;
        let at = "2024-09-15T12:27:45.123Z";
        let user = json!({"user": {"id": prefixed_text("usr_", person.bits()), "created_at": at,
            "updated_at": at, "deleted_at": null, "role": "member", "email": "a@shop.test",
            "first_name": null, "last_name": null, "api_token": null, "metadata": null}});
        assert_eq!((answer.status, answer.json()), (200, user));
        let cookie = answer.header("set-cookie").expect("a cookie");
        let (value, rest) = cookie.split_once(';').expect("attributes");
        let digits = value.strip_prefix("connect.sid=sid_v1_").expect("the face's mark");
        assert!(digits.len() == 64 && digits.chars().all(|c| c.is_ascii_hexdigit()), "{value}");
        assert_eq!(rest, format!(" Path=/; Expires=Sun, 15 Sep 2024 22:27:45 GMT{tail}"));
    }
    for (body, told) in [
        (r#"{"email":"a@shop.test","password":"nope"}"#, UNAUTHORIZED),
        (
            "{}",
            r#"400 {"type":"invalid_data","message":"email should not be empty, email must be an email, password should not be empty, password must be a string"}"#,
        ),
    ] {
        let answer = shop.post_with("/admin/auth", &[], body).await;
        assert_eq!(answer.told(), told);
        assert_eq!(answer.header("set-cookie"), None);
    }
}

#[tokio::test]
async fn a_session_refunds_until_it_ends() {
    let shop = Shop::open();
    let id = shop.payment(|_| ()).await;
    shop.person(SHOP, "a@shop.test", "secret");
    let (cookie, other) = (log_in(&shop).await, log_in(&shop).await);
    assert_ne!(cookie, other, "each log-in has a secret of its own");
    let (cookie, other) = ([("cookie", cookie.as_str())], [("cookie", other.as_str())]);
    for with in [&cookie, &other] {
        assert_eq!(shop.refund_with(&id, with, REFUND).await.status, 200);
        let user = shop.get_with("/admin/auth", with).await;
        assert_eq!(user.json()["user"]["email"], "a@shop.test");
    }
    let bad_beside_good = [cookie[0], ("authorization", "Bearer a.b.c")];
    assert_eq!(shop.refund_with(&id, &bad_beside_good, REFUND).await.status, 200);

    let ended = shop.exchange("DELETE", "/admin/auth", &cookie, "").await;
    assert_eq!(ended.told(), "200 OK");
    assert_eq!(ended.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(shop.get_with("/admin/auth", &cookie).await.told(), UNAUTHORIZED);
    assert_eq!(shop.refund_with(&id, &cookie, REFUND).await.told(), UNAUTHORIZED);
    let again = shop.exchange("DELETE", "/admin/auth", &cookie, "").await;
    assert_eq!(again.told(), UNAUTHORIZED);

    let life = u64::try_from(LIFE_MS).expect("some hours");
    shop.pass(Duration::from_millis(life - 1));
    assert_eq!(shop.get_with("/admin/auth", &other).await.status, 200);
    shop.pass(Duration::from_millis(1));
    assert_eq!(shop.get_with("/admin/auth", &other).await.told(), UNAUTHORIZED);
    assert_eq!(shop.amount_refunded(&id).await, 3);
}

#[tokio::test]
async fn a_page_of_another_origin_moves_nothing_with_somebodys_cookie() {
    let shop = Shop::open();
    let captured = shop.payment(|_| ()).await;
    let authorised = shop.payment(|new| new.captures.clear()).await;
    shop.person(SHOP, "a@shop.test", "secret");
    let cookie = log_in(&shop).await;
    let cookie = ("cookie", cookie.as_str());
    let (listed, other) = ("http://localhost:7001", "https://evil.example");
    let capture = format!("/admin/payments/{authorised}/capture");
    for (origin, status) in [(other, 401), ("null", 401), (listed, 200)] {
        let with = [cookie, ("origin", origin)];
        let refund = shop.refund_with(&captured, &with, REFUND).await;
        assert_eq!(refund.status, status, "{origin}");
        // A form sends this without asking, and the route looks at no body.
        let form = [with[0], with[1], ("content-type", "text/plain")];
        let captured = shop.exchange("POST", &capture, &form, "").await;
        assert_eq!(captured.status, status, "{origin}");
        let gone = shop.exchange("DELETE", "/admin/auth", &with, "").await;
        assert_eq!(gone.status, status, "{origin}");
    }
    let key = [("x-medusa-access-token", TOKEN), ("origin", other)];
    let made = shop.refund_with(&captured, &key, REFUND).await;
    assert_eq!(made.status, 200, "a token is not sent by a browser of itself");
    assert_eq!(shop.amount_refunded(&captured).await, 2);
}

#[tokio::test]
async fn a_session_is_good_for_its_own_merchant_face_and_secret() {
    let shop = Shop::open();
    let id = shop.payment(|_| ()).await;
    shop.person(OTHER_SHOP, "a@shop.test", "secret");
    let cookie = log_in(&shop).await;
    let foreign = shop.refund_with(&id, &[("cookie", cookie.as_str())], REFUND).await;
    assert_eq!(foreign.status, 404, "another merchant's payment is as unknown as any");
    let digits = cookie.rsplit('_').next().expect("digits");
    let flipped: String = digits.chars().rev().collect();
    for value in [
        format!("connect.sid=sid_v2_{digits}"),
        format!("connect.sid={digits}"),
        format!("connect.sid=sid_v1_{flipped}"),
        format!("connect.sid=sid_v1_{}", &digits[1..]),
        "connect.sid=sid_v1_".to_owned(),
        "connect.sid=".to_owned(),
    ] {
        let answer = shop.get_with("/admin/auth", &[("cookie", value.as_str())]).await;
        assert_eq!(answer.told(), UNAUTHORIZED, "{value}");
    }
}

#[tokio::test]
async fn an_api_token_is_told_that_it_is_one() {
    let shop = Shop::open();
    let user = &shop.get("/admin/auth").await.json()["user"];
    assert_eq!((&user["email"], &user["role"]), (&json!(""), &json!("member")));
    assert!(user["id"].as_str().is_some_and(|id| id.starts_with("usr_")), "{user}");
    assert_eq!(user["api_token"], Value::Null);
}
