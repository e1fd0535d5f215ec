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
