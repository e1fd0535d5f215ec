//! Credentials that are made here: API keys and sessions.

use requite_core::id::PersonId;
use requite_engine::read::PersonView;

use super::*;
use crate::crypto::password;
use crate::crypto::secret::Secret;

const UNAUTHORIZED: &str = "401 {\"message\":\"Unauthorized\"}";

impl Shop {
    /// A person's log-in token.
    async fn token(&self) -> String {
        let hash = password::hash(&Secret::new("supersecret".to_owned()), &[1; 16]);
        let person = PersonView {
            id: PersonId::new(0x99),
            merchant: SHOP,
            email: "admin@example.com".to_owned(),
            password_hash: hash.expect("a short password"),
            created_at_ms: START_MS,
            updated_at_ms: START_MS,
        };
        self.registry.create_person(&person).expect("nobody has that address yet");
        let body = r#"{"email":"admin@example.com","password":"supersecret"}"#;
        let granted = self.ask_as(&[], "POST /auth/user/emailpass", body).await;
        granted.json()["token"].as_str().expect("a token").to_owned()
    }

    async fn key_as(&self, authorization: &str, more: &[(&str, &str)], body: &str) -> Answer {
        let headers = [&[("authorization", authorization)], more].concat();
        self.ask_as(&headers, "POST /admin/api-keys", body).await
    }

    async fn status_with(&self, secret: &str, call: &str) -> u16 {
        let basic = format!("Basic {secret}");
        self.ask_as(&[("authorization", &basic)], call, "").await.status
    }
}

fn secret_in(answer: &Answer) -> String {
    let shown = answer.json();
    shown["api_key"]["token"].as_str().unwrap_or_else(|| panic!("{}", answer.text)).to_owned()
}

#[tokio::test]
async fn a_key_shows_its_secret_once_opens_what_its_maker_may_and_ends_at_once() {
    let shop = Shop::open();
    let bearer = format!("Bearer {}", shop.token().await);
    let made = shop.key_as(&bearer, &[], r#"{"title":"t","type":"secret"}"#).await;
    let secret = secret_in(&made);
    let digits = secret.strip_prefix("sk_").expect("the prefix");
    assert!(digits.len() == 64 && digits.bytes().all(|c| c.is_ascii_hexdigit()), "{secret}");
    let id = made.json()["api_key"]["id"].as_str().expect("an id").to_owned();
    let redacted = format!("{}***{}", &secret[..6], &secret[64..]);
    let at = "2024-09-15T12:27:45.123Z";
    let user = "user_0000000000000000000000004S";
    let expected = format!(
        "200 {{\"api_key\":{{\"id\":\"{id}\",\"token\":\"{secret}\",\"redacted\":\"{redacted}\",\"title\":\"t\",\"type\":\"secret\",\"last_used_at\":null,\"created_by\":\"{user}\",\"revoked_by\":null,\"revoked_at\":null,\"created_at\":\"{at}\",\"updated_at\":\"{at}\",\"deleted_at\":null}}}}"
    );
    assert_eq!(made.told(), expected);
    assert_eq!(shop.status_with(&secret, "GET /admin/payments").await, 200);

    let call = format!("POST /admin/api-keys/{id}/revoke");
    let theirs = shop.ask_as(&[("authorization", "Basic sk_other")], &call, "").await;
    assert_eq!(theirs.told(), not_found(&format!("ApiKey with id: {id} was not found")));
    let basic = format!("Basic {secret}");
    let revoked = shop.ask_as(&[("authorization", basic.as_str())], &call, "{}").await;
    let expected = format!(
        "200 {{\"api_key\":{{\"id\":\"{id}\",\"title\":\"t\",\"token\":\"\",\"redacted\":\"{redacted}\",\"type\":\"secret\",\"last_used_at\":null,\"updated_at\":\"{at}\",\"created_at\":\"{at}\",\"created_by\":\"{user}\",\"revoked_at\":\"{at}\",\"revoked_by\":\"{id}\",\"sales_channels\":[]}}}}"
    );
    assert_eq!(revoked.told(), expected, "a key may end itself");
    assert_eq!(shop.status_with(&secret, "GET /admin/payments").await, 401);
    let again = "400 {\"type\":\"not_allowed\",\"message\":\"The API key is revoked already\"}";
    assert_eq!(shop.told(&call, "").await, again);
}

#[tokio::test]
async fn a_key_has_no_more_rights_than_its_maker() {
    let shop = Shop::open();
    shop.key(SHOP, "medusa-v2", "sk_admin", Some(&["admin"]));
    shop.key(SHOP, "medusa-v2", "sk_refunds", Some(&["refunds.create", "payments.read"]));
    let body = r#"{"title":"t","type":"secret"}"#;
    let refused = shop.key_as("Basic sk_refunds", &[], body).await;
    let lacking = "403 {\"type\":\"forbidden\",\"message\":\"This API key lacks the scope admin\"}";
    assert_eq!(refused.told(), lacking);
    let made = shop.key_as("Basic sk_admin", &[], body).await;
    let id = made.json()["api_key"]["id"].as_str().expect("an id").to_owned();
    let bits = requite_core::id::parse_prefixed("apk_", &id).expect("an id of ours");
    let lookup = crate::crypto::token::lookup_hash(&secret_in(&made));
    let kept = shop.kept_key(lookup).await.expect("it is kept");
    assert_eq!((kept.id.bits(), kept.scopes), (bits, Some(vec!["admin".to_owned()])));
}

#[tokio::test]
async fn a_publishable_key_opens_nothing() {
    let shop = Shop::open();
    let basic = format!("Basic {KEY}");
    let made = shop.key_as(&basic, &[], r#"{"title":"p","type":"publishable"}"#).await;
    let token = secret_in(&made);
    assert!(token.starts_with("pk_") && token.len() == 67, "{token}");
    assert_eq!(made.json()["api_key"]["type"], "publishable");
    let base64 = data_encoding::BASE64.encode(format!("{token}:").as_bytes());
    for secret in [token.clone(), base64, token.replace("pk_", "sk_")] {
        assert_eq!(shop.status_with(&secret, "GET /admin/payments").await, 401, "{secret}");
    }
    let lookup = crate::crypto::token::lookup_hash(&token);
    assert!(shop.kept_key(lookup).await.is_none());
}

/// The secret is nowhere in the store, and the repeat shows it all the same.
#[tokio::test]
async fn a_repeat_shows_the_same_key() {
    let shop = Shop::open();
    let basic = format!("Basic {KEY}");
    let key = [("idempotency-key", "a key of the caller's own")];
    let body = r#"{"title":"\"token\":\"\"","type":"secret"}"#;
    let first = shop.key_as(&basic, &key, body).await;
    assert_eq!((first.status, first.header("idempotent-replayed")), (200, None));
    let again = shop.key_as(&basic, &key, body).await;
    assert_eq!(again.told(), first.told());
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    let secret = secret_in(&first);
    assert_eq!(shop.status_with(&secret, "GET /admin/payments").await, 200);
    assert_eq!(shop.key_as(&basic, &key, r#"{"title":"u","type":"secret"}"#).await.status, 422);
    assert_ne!(secret, secret_in(&shop.key_as(&basic, &[], body).await));
    assert!(!shop.store_contains(&secret[3..]), "the store has the secret");
}

#[tokio::test]
async fn keys_that_do_not_fit_are_told() {
    let shop = Shop::open();
    for (body, message) in [
        ("{}", "Field 'title' is required; Field 'type' is required"),
        (
            r#"{"title":1,"type":"x","foo":2}"#,
            "Expected type: 'string' for field 'title', got: '1'; Expected: 'publishable, secret' for field 'type', but got: 'x'; Unrecognized fields: 'foo'",
        ),
    ] {
        let told = shop.told("POST /admin/api-keys", body).await;
        assert_eq!(told, invalid(&format!("Invalid request: {message}")), "{body}");
    }
    let call = "POST /admin/api-keys/apk_x/revoke";
    assert_eq!(shop.told(call, "").await, not_found("ApiKey with id: apk_x was not found"));
}

#[tokio::test]
async fn a_session_opens_what_its_token_opens_until_it_ends() {
    let shop = Shop::open();
    let id = shop.payment(|_| ()).await;
    let bearer = format!("Bearer {}", shop.token().await);
    let basic = format!("Basic {KEY}");
    let by_key = shop.ask_as(&[("authorization", basic.as_str())], "POST /auth/session", "").await;
    assert_eq!(by_key.told(), UNAUTHORIZED, "sessions are people's");
    let opened = shop.ask_as(&[("authorization", bearer.as_str())], "POST /auth/session", "").await;
    let user = "user_0000000000000000000000004S";
    let expected = format!(
        "200 {{\"user\":{{\"actor_id\":\"{user}\",\"actor_type\":\"user\",\"auth_identity_id\":\"authid_0000000000000000000000004S\",\"auth_provider\":\"emailpass\",\"mfa_enabled\":false,\"mfa_challenge_completed_at\":null,\"app_metadata\":{{\"user_id\":\"{user}\"}},\"user_metadata\":{{}},\"iat\":1726403265,\"exp\":1726489665}}}}"
    );
    assert_eq!(opened.told(), expected);
    let cookie = opened.header("set-cookie").expect("a cookie").split(';').next();
    let cookie = cookie.expect("its value").to_owned();
    let refund = format!("POST /admin/payments/{id}/refund?fields=refunds.created_by");
    let with = [("cookie", cookie.as_str())];
    let refunded = shop.ask_as(&with, &refund, "{\"amount\":1}").await;
    assert!(refunded.text.contains(user), "{}", refunded.told());
    for (what, headers, status) in [
        ("a bad key does not stand in its way", ("authorization", "Basic sk_unknown"), 200),
        ("a bad token does not, either", ("authorization", "Bearer garbage"), 200),
        ("a page of strangers", ("origin", "https://evil.example"), 401),
        ("a page of ours", ("origin", "http://localhost:7001"), 200),
    ] {
        let headers = [with[0], headers];
        let answer = shop.ask_as(&headers, &refund, "{\"amount\":1}").await;
        assert_eq!(answer.status, status, "{what}: {}", answer.told());
    }
    let closed = shop.ask_as(&with, "DELETE /auth/session", "").await;
    assert_eq!(closed.told(), "200 {\"success\":true}");
    assert_eq!(shop.ask_as(&with, &refund, "{\"amount\":1}").await.told(), UNAUTHORIZED);
    let none = shop.ask_as(&[], "DELETE /auth/session", "").await;
    assert_eq!(none.told(), "200 {\"success\":true}", "there was none");
}

#[tokio::test]
async fn a_session_lasts_ten_hours() {
    let shop = Shop::open();
    let bearer = format!("Bearer {}", shop.token().await);
    let opened = shop.ask_as(&[("authorization", bearer.as_str())], "POST /auth/session", "").await;
    let cookie = opened.header("set-cookie").expect("a cookie").split(';').next();
    let with = [("cookie", cookie.expect("its value"))];
    shop.pass(Duration::from_secs(10 * 60 * 60 - 1));
    assert_eq!(shop.ask_as(&with, "GET /admin/payments", "").await.status, 200);
    shop.pass(Duration::from_secs(1));
    assert_eq!(shop.ask_as(&with, "GET /admin/payments", "").await.status, 401);
}

/// Whoever knows what tokens are signed with still signs for nobody who is not there.
#[tokio::test]
async fn a_genuine_token_of_nobody_is_worth_nothing() {
    use crate::crypto::jws::{Hs256Key, sign_hs256};
    let shop = Shop::open();
    let key = Hs256Key::new(&crate::faces::testing::login_secret()).expect("long enough");
    let merchant = requite_core::id::uuid_text(SHOP.bits());
    for (what, claims) in [
        (
            "as the original takes it",
            r#"{"actor_id":"user_x","actor_type":"user","exp":9999999999}"#,
        ),
        (
            "with all that ours has",
            &format!(
                r#"{{"actor_id":"user_0000000000000000000000004S","actor_type":"user","merchant_id":"{merchant}","iat":1726403265,"exp":9999999999}}"#
            ),
        ),
    ] {
        let claims = serde_json::from_str(claims).expect("an object");
        let bearer = format!("Bearer {}", sign_hs256(&claims, &key));
        let answer =
            shop.ask_as(&[("authorization", bearer.as_str())], "GET /admin/payments", "").await;
        assert_eq!(answer.told(), UNAUTHORIZED, "{what}");
    }
}
