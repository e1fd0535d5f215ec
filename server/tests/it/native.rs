//! The native API, and the sandbox behind it: registering, capturing, refunding, listing.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::support::{
    Face, Gr4vyClaims, Key, Options, Request, Response, Server, Shop as AllFaces, body,
    sign_gr4vy_token,
};

mod books;
mod keys;
mod lists;

/// How long a refund may take to reach a status that it must reach by itself.
const PATIENCE: Duration = Duration::from_secs(20);

struct Shop {
    server: Server,
    key: Key,
}

impl Shop {
    fn open() -> Shop {
        Shop::open_with(Options::default().env("REQUITE_PSP_CALL_DEADLINE_MS", "300"))
    }

    fn open_with(options: Options) -> Shop {
        let server = Server::start(options);
        let merchant = server.cli().merchant("Shop");
        let key = server.cli().key(&merchant, "native");
        Shop { server, key }
    }

    fn send(&self, request: Request) -> Response {
        self.server.send(&request.bearer(&self.key.token))
    }

    fn post(&self, path: &str, body: &Value) -> Response {
        self.send(Request::post(path).json(body))
    }

    fn get(&self, path: &str) -> Response {
        self.send(Request::get(path))
    }

    /// Registers a payment of 1000, captured whole, with `more`; its id.
    fn payment(&self, more: Value) -> String {
        let mut body = json!({"amount": 1000, "currency": "EUR", "captures": [{"amount": 1000}]});
        for (name, value) in more.as_object().expect("members") {
            body[name] = value.clone();
        }
        let made = self.post("/api/payments", &body);
        assert_eq!(made.status, 201, "{body}: {}", made.text());
        text(&made.json(), "/id")
    }

    fn scripted(&self, script: &[&str]) -> String {
        self.payment(json!({"connector": "sandbox", "sandbox": script}))
    }

    fn refund(&self, payment: &str, body: &Value) -> Response {
        self.post(&format!("/api/payments/{payment}/refunds"), body)
    }

    /// The refund once it has `status`.
    fn refund_becomes(&self, id: &str, status: &str) -> Value {
        let until = Instant::now() + PATIENCE;
        loop {
            let refund = self.get(&format!("/api/refunds/{id}")).json();
            if refund["status"] == status {
                return refund;
            }
            assert!(Instant::now() < until, "{status} was expected: {refund}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn totals(&self, payment: &str) -> Value {
        self.get(&format!("/api/payments/{payment}")).json()["totals"].clone()
    }
}

fn text(value: &Value, pointer: &str) -> String {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_else(|| panic!("{pointer} in {value}")).to_owned()
}

fn code(answer: &Response) -> String {
    text(&answer.json(), "/error/code")
}

#[test]
fn a_payment_is_registered_once_and_found_by_every_name() {
    let shop = Shop::open();
    let body = json!({
        "id": "0191f5a7-44d3-7430-8739-2d80821416bf", "amount": 10000, "currency": "usd",
        "captures": [{"amount": 6000}], "gift_cards": [{"amount": 2500, "last4": "1234"}],
        "external_identifier": "order-1001", "aliases": ["ch_3Oabc"], "metadata": {"rate": 1.10},
    });
    let made = shop.post("/api/payments", &body);
    assert_eq!(
        (made.status, made.header("location")),
        (201, Some("/api/payments/0191f5a7-44d3-7430-8739-2d80821416bf"))
    );
    let again = shop.post("/api/payments", &body);
    assert_eq!((again.status, again.json()), (200, made.json()));
    let mut other = body.clone();
    other["amount"] = json!(9999);
    let differs = shop.post("/api/payments", &other);
    assert_eq!((differs.status, code(&differs).as_str()), (409, "payment_differs"));

    let shown = made.json();
    assert_eq!(shown["currency"], "USD");
    let card = &shown["gift_cards"][0];
    assert_eq!(
        (&card["last4"], &card["bin"], &card["amount"]),
        (&json!("1234"), &json!(null), &json!(2500))
    );
    assert_eq!(
        shown["totals"],
        json!({"amount": 12500, "captured": 8500, "refunded": 0, "reserved": 0,
        "refundable": 8500, "voided": 0, "capturable": 4000})
    );
    assert!(made.text().contains("\"metadata\":{\"rate\":1.1}"), "kept as sent: {}", made.text());
    for name in [
        "0191f5a7-44d3-7430-8739-2d80821416bf",
        "pay_01J7TTEH6KEGR8EE9DG21185NZ",
        "ch_01J7TTEH6KEGR8EE9DG21185NZ",
        "2xh9aYsdWnTCESU6GxOlL",
        "ch_3Oabc",
    ] {
        let found = shop.get(&format!("/api/payments/{name}"));
        assert_eq!((found.status, found.json()), (200, shown.clone()), "{name}");
    }
    for name in ["0191f5a7-44d3-7430-8739-2d80821416b0", "ch_3Oab", "__proto__", &"x".repeat(3000)]
    {
        let found = shop.get(&format!("/api/payments/{name}"));
        assert_eq!((found.status, code(&found).as_str()), (404, "not_found"), "{name}");
    }
}

#[test]
fn captures_and_voids_take_what_is_authorised_and_no_more() {
    let shop = Shop::open();
    let body = json!({"amount": 1000, "currency": "EUR"});
    let id = text(&shop.post("/api/payments", &body).json(), "/id");
    let early = shop.refund(&id, &json!({}));
    assert_eq!((early.status, code(&early).as_str()), (409, "not_captured"));
    let captures = format!("/api/payments/{id}/captures");
    for (body, status) in [
        (json!({"amount": 400}), 201),
        (json!({"amount": 601}), 409),
        (json!({"amount": 0}), 422),
        (json!({"amount": 1.5}), 422),
        (json!({"sum": 1}), 422),
    ] {
        let answer = shop.post(&captures, &body);
        assert_eq!(answer.status, status, "{body}: {}", answer.text());
    }
    let voided = shop.post(&format!("/api/payments/{id}/voids"), &json!({"amount": 100}));
    assert_eq!((voided.status, &voided.json()["totals"]["capturable"]), (201, &json!(500)));
    let rest = shop.send(Request::post(&captures));
    assert_eq!((rest.status, &rest.json()["totals"]["captured"]), (201, &json!(900)));
    let refund = shop.refund(&id, &json!({}));
    assert_eq!((refund.status, &refund.json()["amount"]), (201, &json!(900)));
}

#[test]
fn a_refunds_metadata_is_kept_and_shown() {
    let server = Server::start(Options::default());
    let merchant = server.cli().merchant("Shop");
    let signs = server.cli().key(&merchant, "gr4vy").private_key_pem.expect("it is shown once");
    let shop = Shop { key: server.cli().key(&merchant, "native"), server };
    let payment = shop.payment(json!({}));
    let body = json!({"amount": 1, "metadata": {"return": "R-1", "boxes": "2"}});
    let request = Request::post(&format!("/gr4vy/transactions/{payment}/refunds")).json(&body);
    let token = sign_gr4vy_token(&signs, &Gr4vyClaims::default());
    let made = shop.server.send(&request.bearer(&token));
    assert_eq!(made.status, 201, "{}", made.text());
    let refund = shop.get(&format!("/api/refunds/{}", text(&made.json(), "/id"))).json();
    assert_eq!(refund["metadata"], body["metadata"]);
    let other = shop.refund(&payment, &json!({"amount": 1}));
    assert_eq!(other.json()["metadata"], json!(null));
}

#[test]
fn a_refund_goes_to_one_leg_and_never_beyond_it() {
    let shop = Shop::open();
    let id = shop.payment(
        json!({"gift_cards": [{"id": "c23ea83f-1b1c-4584-a0e8-78ef8c041949", "amount": 500}]}),
    );
    let card = "c23ea83f-1b1c-4584-a0e8-78ef8c041949";
    for (body, status, code_or_amount) in [
        (json!({"amount": 501, "leg": card}), 409, json!("exceeds_refundable")),
        (json!({"amount": 200, "leg": card, "note": "n", "reason": "r"}), 201, json!(200)),
        (json!({"leg": card}), 201, json!(300)),
        (json!({"leg": card}), 409, json!("nothing_left")),
        (json!({"leg": "0191f5a7-44d3-7430-8739-2d80821416bf"}), 422, json!("leg_unknown")),
        (json!({"leg": "card"}), 422, json!("invalid")),
        (json!({"amount": -1}), 422, json!("invalid")),
        (json!({"amount": "1"}), 422, json!("invalid")),
        (json!({"amout": 1}), 422, json!("invalid")),
        (json!({"amount": 1001}), 409, json!("exceeds_refundable")),
        (json!({"leg": "payment_method"}), 201, json!(1000)),
    ] {
        let answer = shop.refund(&id, &body);
        let told = answer.json();
        let found = told.pointer("/error/code").or(told.get("amount")).cloned();
        assert_eq!((answer.status, found), (status, Some(code_or_amount)), "{body}: {told}");
    }
    let exceeding = shop.refund(&id, &json!({"amount": 5, "leg": card})).json();
    assert_eq!(exceeding["error"]["left"], json!(0));
}

#[test]
fn the_sandbox_plays_its_script() {
    let shop = Shop::open();
    for (script, first, last, attempts) in [
        (&["approve"][..], "succeeded", "succeeded", 1),
        (&["decline:expired_card"], "declined", "declined", 1),
        (&["fail"], "failed", "failed", 1),
        (&["pending"], "pending", "pending", 1),
        (&["pending:approve"], "pending", "succeeded", 1),
        (&["pending:decline:closed"], "pending", "declined", 1),
        (&["lost"], "unknown", "succeeded", 1),
        (&["hang"], "unknown", "succeeded", 1),
        (&["lost:never", "approve"], "unknown", "succeeded", 2),
        (&["lost:never", "decline:no"], "unknown", "declined", 2),
        (&["http:503"], "unknown", "succeeded", 2),
        (&["http:422"], "declined", "declined", 1),
    ] {
        let id = shop.scripted(script);
        let made = shop.refund(&id, &json!({"amount": 400}));
        assert_eq!(made.status, 201, "{script:?}: {}", made.text());
        assert_eq!(made.header("requite-refund-status"), Some(first), "{script:?}");
        let refund = shop.refund_becomes(&text(&made.json(), "/id"), last);
        assert_eq!(refund["attempts"], json!(attempts), "{script:?}: {refund}");
        let left = match last {
            "declined" | "failed" => 1000,
            _ => 600,
        };
        assert_eq!(shop.totals(&id)["refundable"], json!(left), "{script:?}");
        let is_open = last == "pending";
        assert_eq!(refund["next_action_at"].is_null(), !is_open, "{refund}");
    }
}

#[test]
fn money_stays_reserved_while_nobody_knows() {
    let shop = Shop::open();
    let id = shop.scripted(&["pending"]);
    assert_eq!(shop.refund(&id, &json!({"amount": 700})).status, 201);
    let more = shop.refund(&id, &json!({"amount": 301}));
    assert_eq!((more.status, &more.json()["error"]["left"]), (409, &json!(300)));
    let totals = shop.totals(&id);
    assert_eq!((&totals["reserved"], &totals["refunded"]), (&json!(700), &json!(0)));
}

#[test]
fn what_cannot_be_read_changes_nothing() {
    let shop = Shop::open();
    let id = shop.payment(json!({}));
    let path = format!("/api/payments/{id}/refunds");
    let json_type = |request: Request| request.header("Content-Type", "application/json");
    for (request, status) in [
        (Request::post(&path).bytes("{}"), 415),
        (Request::post(&path).header("Content-Type", "text/plain").bytes("{}"), 415),
        (
            Request::post(&path)
                .header("Content-Type", "application/json; charset=latin1")
                .bytes("{}"),
            415,
        ),
        (json_type(Request::post(&path)).bytes("{"), 400),
        (json_type(Request::post(&path)).bytes("[]"), 422),
        (json_type(Request::post(&path)).bytes("{\"note\":\"\u{ff}\"}\u{0}"), 400),
        (json_type(Request::post(&path)).bytes(vec![b' '; 70_000]), 413),
        (json_type(Request::post("/api/payments")), 400),
        (Request::new("PUT", &path), 405),
        (Request::get("/api/refund"), 404),
        (Request::get("/api/refunds/%zz"), 400),
        (Request::get("/api/refunds/%00"), 400),
    ] {
        let what = format!("{} {} {:?}", request.method, request.target, request.headers);
        let answer = shop.send(request);
        assert_eq!(answer.status, status, "{what}: {}", answer.text());
        assert_eq!(answer.header("content-type"), Some("application/json"), "{what}");
        assert!(answer.json()["error"]["message"].is_string(), "{what}");
    }
    for token in ["", "rq_", "sk_abc"] {
        let answer = shop.server.send(&Request::get("/api/payments").bearer(token));
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("Bearer")));
    }
    assert_eq!(shop.totals(&id)["refunded"], json!(0));
}

#[test]
fn another_merchants_payment_is_as_unknown_as_none() {
    let shop = Shop::open();
    let id = shop.payment(json!({}));
    let refund = text(&shop.refund(&id, &json!({"amount": 1})).json(), "/id");
    let stranger = shop.server.cli().merchant("Stranger");
    let key = shop.server.cli().key(&stranger, "native");
    let unknown = "0191f5a7-44d3-7430-8739-2d80821416bf";
    let requests = |id: &str, refund: &str| {
        let body = json!({"amount": 1});
        vec![
            Request::get(&format!("/api/payments/{id}")),
            Request::get(&format!("/api/payments/{id}/refunds")),
            Request::get(&format!("/api/payments/{id}/events")),
            Request::get(&format!("/api/payments/{id}/journal")),
            Request::get(&format!("/api/payments/{id}/gift-cards")),
            Request::get(&format!("/api/refunds/{refund}")),
            Request::post(&format!("/api/payments/{id}/refunds")).json(&body),
            Request::post(&format!("/api/payments/{id}/captures")).json(&body),
            Request::post(&format!("/api/payments/{id}/voids")).json(&body),
        ]
    };
    for (foreign, missing) in requests(&id, &refund).into_iter().zip(requests(unknown, unknown)) {
        let path = foreign.target.clone();
        let foreign = shop.server.send(&foreign.bearer(&key.token));
        let missing = shop.server.send(&missing.bearer(&key.token));
        assert_eq!((foreign.status, &foreign.body), (404, &missing.body), "{path}");
    }
}

#[test]
fn the_guard_against_double_clicks_is_off_unless_it_is_switched_on() {
    for (window, refunded) in [("0", 200), ("60000", 100)] {
        let shop = Shop::open_with(Options::default().env("REQUITE_DUPLICATE_GUARD_MS", window));
        let id = shop.payment(json!({}));
        let first = shop.refund(&id, &json!({"amount": 100}));
        let second = shop.refund(&id, &json!({"amount": 100}));
        assert_eq!((first.status, second.status), (201, 201));
        assert_eq!(first.body == second.body, refunded == 100, "window {window}");
        assert_eq!(shop.totals(&id)["refunded"], json!(refunded), "window {window}");
    }
}

#[test]
fn a_refund_is_found_by_the_id_that_its_caller_gave_it() {
    let server = Server::start(Options::default());
    let shop = AllFaces::open(&server.cli(), "Shop");
    let payment = json!({"amount": 1000, "currency": "EUR", "captures": [{"amount": 1000}]});
    let payment = server.register(&shop.native, &payment);
    let given = "f351a2a3-97c4-4f12-add3-80c1044091f5";
    let more = format!(r#","transaction_id":"{given}""#);
    let refund = shop.request(Face::Mpg, &payment).bytes(body(Face::Mpg, &payment, "100", &more));
    let made = server.send(&refund);
    assert_eq!(made.status, 200, "{}", made.text());
    let read = |id: &str| {
        let path = format!("/api/refunds/{id}");
        server.send(&Request::get(&path).bearer(&shop.native.token))
    };
    let id = made.header("requite-refund-id").expect("every refund's answer names it");
    assert_ne!(id, given);
    assert_eq!(read(given).text(), read(id).text());
    assert_eq!(read(given).json()["amount"], 100);
    assert_eq!(read("f351a2a3-97c4-4f12-add3-80c1044091f6").status, 404);
}
