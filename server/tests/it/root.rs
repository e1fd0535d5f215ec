//! What is served at the root besides the faces, and what the log says of a request.

use super::support::{Options, Request, Server};

#[test]
fn the_server_says_whether_it_lives_and_whether_it_takes_money_requests() {
    let server = Server::start(Options::default());
    let health = server.send(&Request::get("/health"));
    assert_eq!((health.status, health.text().as_str()), (200, "OK"));
    let ready = server.send(&Request::get("/ready"));
    assert_eq!((ready.status, ready.json()["status"].as_str()), (200, Some("ready")));
}

#[test]
fn where_nothing_is_served_the_answer_is_json() {
    let server = Server::start(Options::default());
    for (request, status, code) in [
        (Request::get("/"), 404, "route_not_found"),
        (Request::get("/favicon.ico"), 404, "route_not_found"),
        (Request::get("/%zz"), 400, "bad_request"),
        (Request::get("/%00"), 400, "bad_request"),
        (Request::post("/health"), 405, "method_not_allowed"),
        (Request::post("/ready"), 405, "method_not_allowed"),
    ] {
        let answer = server.send(&request);
        let told = answer.json()["error"]["code"].clone();
        assert_eq!((answer.status, told.as_str()), (status, Some(code)), "{}", request.target);
    }
    for prefix in ["/medusa/v1", "/medusa/v2", "/mpg", "/gr4vy", "/loop", "/api"] {
        let answer = server.send(&Request::get(&format!("{prefix}/nowhere")));
        assert!(matches!(answer.status, 401 | 404), "{prefix}: {}", answer.status);
        assert!(
            answer.header("content-type").is_some_and(|kind| kind.starts_with("application/json")),
            "{prefix}"
        );
    }
}

#[test]
fn the_log_names_the_route_and_never_what_was_in_it() {
    let server = Server::start(Options::default());
    for path in [
        "/mpg/v1/orders/canary-1",
        "/v1/orders/canary-2",
        "/transactions/canary-3",
        "/api/payments/canary-4?canary=5",
    ] {
        server.send(&Request::get(path).bearer("canary-6"));
    }
    let log = server.log();
    for route in [
        "\"/mpg/v1/orders/{id}\"",
        "\"/v1/orders/{id}\"",
        "\"/transactions/{transaction_id}\"",
        "\"/api/payments/{id}\"",
    ] {
        assert!(log.contains(&format!("route={route}")), "{route} in {log}");
    }
    assert!(!log.contains("canary"), "{log}");
}

/// At the root a preflight has no credential that would tell one Medusa from the other.
#[test]
fn browsers_ask_both_medusas_at_the_root_and_below_their_prefixes() {
    let origin = "http://localhost:7001";
    let server = Server::start(Options::default().env("REQUITE_CORS_ORIGINS", origin));
    for path in [
        "/admin/payments/pay_1/refund",
        "/admin/orders/order_1/refund",
        "/admin/auth",
        "/Admin/auth/token",
        "/auth/session",
        "/medusa/v1/admin/payments/pay_1/refund",
        "/medusa/v2/admin/payments/pay_1/refund",
    ] {
        for (asking, allowed) in [(origin, Some(origin)), ("https://evil.example", None)] {
            let request = Request::new("OPTIONS", path)
                .header("Origin", asking)
                .header("Access-Control-Request-Method", "POST")
                .header("Access-Control-Request-Headers", "content-type,idempotency-key");
            let answer = server.send(&request);
            assert_eq!(answer.status, 204, "{path}");
            assert_eq!(answer.header("Access-Control-Allow-Origin"), allowed, "{path}");
            assert_eq!(answer.header("Access-Control-Allow-Credentials"), Some("true"), "{path}");
            let headers = answer.header("Access-Control-Allow-Headers");
            assert_eq!(headers, Some("content-type,idempotency-key"), "{path}");
        }
    }
}

#[test]
fn a_session_of_medusa_v1_is_its_own_at_the_root() {
    let server = Server::start(Options::default());
    let merchant = server.cli().merchant("Shop");
    let made = server.cli().user(&merchant, "a@example.com", "a long enough password");
    assert_eq!(made.code, Some(0));
    let body = serde_json::json!({"email": "a@example.com", "password": "a long enough password"});
    let answer = server.send(&Request::post("/admin/auth").json(&body));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let cookie = answer.header("Set-Cookie").and_then(|set| set.split(';').next());
    let cookie = cookie.expect("a cookie").to_owned();
    // An unknown payment's text tells which of the two has answered.
    let path = "/admin/payments/pay_01ARZ3NDEKTSV4RRFFQ69G5FAV";
    let read = server.send(&Request::get(path).header("Cookie", &cookie));
    let told = read.json()["message"].as_str().map(str::to_owned);
    let of_v1 = "Payment with id pay_01ARZ3NDEKTSV4RRFFQ69G5FAV was not found";
    assert_eq!((read.status, told.as_deref()), (404, Some(of_v1)));
    let log = server.log();
    let secret = cookie.rsplit('_').next().expect("digits");
    assert!(!log.contains(secret), "a session's secret is in the log");
}
