//! Who may ask, and what the others are told.

use requite_core::id::PersonId;
use requite_engine::read::PersonView;

use super::*;
use crate::crypto::password;
use crate::crypto::secret::Secret;

const UNAUTHORIZED: &str = "401 {\"message\":\"Unauthorized\"}";

/// Every route below `/admin`, with a body that it takes and the scope that it wants.
const ROUTES: [(&str, &str, &str); 10] = [
    ("GET /admin/payments", "", "payments.read"),
    ("GET /admin/payments/ID", "", "payments.read"),
    ("POST /admin/payments/ID/refund", "{}", "refunds.create"),
    ("POST /admin/payments/ID/capture", "{}", "payments.write"),
    ("GET /admin/refund-reasons", "", "refunds.read"),
    ("POST /admin/refund-reasons", r#"{"label":"a","code":"b"}"#, "admin"),
    ("GET /admin/refund-reasons/refr_x", "", "refunds.read"),
    ("POST /admin/refund-reasons/refr_x", "{}", "admin"),
    ("DELETE /admin/refund-reasons/refr_x", "", "admin"),
    ("GET /admin/refund-reasons?foo=1", "", "refunds.read"),
];

#[tokio::test]
async fn every_route_wants_a_credential_and_its_scope() {
    let shop = Shop::open();
    let id = shop.payment(|_| ()).await;
    shop.key(SHOP, "medusa-v2", "sk_none", Some(&["webhooks"]));
    shop.key(SHOP, "medusa-v1", "sk_v1", None);
    let base64 = |text: &str| data_encoding::BASE64.encode(text.as_bytes());
    for (call, body, scope) in ROUTES {
        let call = call.replace("ID", &id);
        for authorization in [
            "",
            "Basic",
            "Basic sk_unknown",
            "Basic sk_v1",
            "Bearer garbage",
            "sk_shop",
            &format!("Basic {}", base64("sk_shop:password")),
        ] {
            let headers = [("authorization", authorization)];
            let answer = shop.ask_as(&headers, &call, body).await;
            assert_eq!(answer.told(), UNAUTHORIZED, "{call} with {authorization:?}");
        }
        let headers = [("authorization", "Basic sk_none")];
        let answer = shop.ask_as(&headers, &call, body).await;
        let lacking = format!(
            "403 {{\"type\":\"forbidden\",\"message\":\"This API key lacks the scope {scope}\"}}"
        );
        assert_eq!(answer.told(), lacking, "{call}");
    }
    assert_eq!(shop.refunded(&id).await, "0");
}

#[tokio::test]
async fn a_scope_opens_its_routes() {
    let shop = Shop::open();
    let id = shop.payment(|_| ()).await;
    for (at, (call, body, scope)) in ROUTES.into_iter().enumerate() {
        let key = format!("sk_{at}");
        shop.key(SHOP, "medusa-v2", &key, Some(&[scope]));
        let headers = [("authorization", format!("Basic {key}"))];
        let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
        let answer = shop.ask_as(&headers, &call.replace("ID", &id), body).await;
        assert!(![401, 403].contains(&answer.status), "{call}: {}", answer.told());
    }
}

#[tokio::test]
async fn checks_run_in_the_documented_order() {
    let shop = Shop::open();
    let id = shop.payment(|_| ()).await;
    let call = |query: &str| format!("POST /admin/payments/{id}/refund{query}");
    let syntax = "400 {\"message\":\"Not valid JSON: a member name in double quotes was expected at position 1\",\"type\":\"invalid_data\"}";
    let anonymous = shop.ask_as(&[], &call("?foo=1"), "{bad").await;
    assert_eq!(anonymous.told(), syntax, "the body's form before the credential");
    let anonymous = shop.ask_as(&[], &call("?foo=1"), "{\"amount\":0}").await;
    assert_eq!(anonymous.told(), UNAUTHORIZED, "the credential before the schema");
    let told = shop.told(&call("?foo=1"), "{\"amount\":0}").await;
    let small = "Invalid request: Value for field 'amount' too small, expected at least: '0'";
    assert_eq!(told, invalid(small), "the body before the query");
    let told = shop.told("POST /admin/payments/pay_x/refund?foo=1", "{}").await;
    let unknown = "Invalid request: Unrecognized fields: 'foo'";
    assert_eq!(told, invalid(unknown), "the query before the books");
    let told = shop.told("POST /admin/payments/pay_x/refund", "{}").await;
    assert_eq!(told, not_found("Payment id not found: pay_x"));
    let body = "{\"amount\":101,\"refund_reason_id\":\"refr_x\"}";
    let told = shop.told(&call(""), body).await;
    assert_eq!(told, invalid(MORE), "the amount before the reason");
    let body = "{\"amount\":1,\"refund_reason_id\":\"refr_x\"}";
    let told = shop.told(&call(""), body).await;
    assert_eq!(told, not_found("RefundReason id not found: refr_x"));
}

#[tokio::test]
async fn another_merchants_payment_is_as_unknown_as_none() {
    let shop = Shop::open();
    let theirs = shop.payment(|it| it.merchant = OTHER_SHOP).await;
    for call in [
        "GET /admin/payments/ID",
        "POST /admin/payments/ID/refund",
        "POST /admin/payments/ID/capture",
    ] {
        let nobodys = "pay_0000000000000000000000000Z";
        let body = if call.starts_with("POST") { "{}" } else { "" };
        let one = shop.told(&call.replace("ID", &theirs), body).await;
        let other = shop.told(&call.replace("ID", nobodys), body).await;
        assert_eq!(one.replace(&theirs, nobodys), other, "{call}");
        assert!(one.starts_with("404 "), "{one}");
    }
}

#[tokio::test]
async fn a_person_logs_in_and_acts_under_their_own_name() {
    let shop = Shop::open();
    let id = shop.payment(|_| ()).await;
    let hash = password::hash(&Secret::new("supersecret".to_owned()), &[1; 16]);
    let person = PersonView {
        id: PersonId::new(0x99),
        merchant: SHOP,
        email: "admin@example.com".to_owned(),
        password_hash: hash.expect("a short password"),
        created_at_ms: START_MS,
        updated_at_ms: START_MS,
    };
    let created = shop.registry.create_person(&person);
    created.expect("nobody has that address yet");
    let typed =
        |message: &str| format!("401 {{\"type\":\"unauthorized\",\"message\":\"{message}\"}}");
    for (body, told) in [
        (r#"{"email":"admin@example.com","password":"nope"}"#, typed("Invalid email or password")),
        (
            r#"{"email":"nobody@example.com","password":"supersecret"}"#,
            typed("Invalid email or password"),
        ),
        (r#"{"email":"admin@example.com"}"#, typed("Password should be a string")),
        (r#"{"password":"x"}"#, typed("Email should be a string")),
    ] {
        let answer = shop.ask_as(&[], "POST /auth/user/emailpass", body).await;
        assert_eq!(answer.told(), told, "{body}");
    }
    let body = r#"{"email":"admin@example.com","password":"supersecret"}"#;
    let granted = shop.ask_as(&[], "POST /auth/user/emailpass", body).await;
    let token = granted.text.split('"').nth(3).expect("a token").to_owned();
    let bearer = format!("bearer {token}");
    let headers = [("authorization", bearer.as_str())];
    let call = format!("POST /admin/payments/{id}/refund?fields=refunds.created_by");
    let answer = shop.ask_as(&headers, &call, "{\"amount\":1}").await;
    let actor = "\"created_by\":\"user_0000000000000000000000004S\"";
    assert!(answer.text.contains(actor), "{}", answer.told());
    let refreshed = shop.ask_as(&headers, "POST /auth/token/refresh", "").await;
    assert_eq!(refreshed.status, 200, "{}", refreshed.told());
    shop.pass(Duration::from_hours(24));
    let late = shop.ask_as(&headers, &call, "{\"amount\":1}").await;
    assert_eq!(late.told(), UNAUTHORIZED, "a day later");
}
