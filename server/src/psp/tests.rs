//! The simulator without sockets: requests in, answers out, and time as it is told.

use serde_json::{Value, json};

use super::*;

mod adyen_wire;
mod recorded;

/// A time to begin with.
const T0: i64 = 1_800_000_000_000;
const HOUR: i64 = 3_600_000;

struct Desk {
    simulator: Simulator,
    now_ms: i64,
}

impl Desk {
    fn new() -> Desk {
        let start = Start {
            seed: 1,
            has_guard: true,
            honours_keys: true,
            api_key: None,
            script: Script::empty(),
        };
        Desk { simulator: Simulator::new(start), now_ms: T0 }
    }

    fn scripted(rules: Value) -> Desk {
        let mut desk = Desk::new();
        let script = json!({ "rules": rules }).to_string();
        desk.simulator.script = Script::read(&script).expect("a script");
        desk
    }

    fn ask(&mut self, method: &str, target: &str, form: &str, key: Option<&str>) -> Reply {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let request = Request {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            authorization: Some("Bearer sk_test_simulated".to_owned()),
            key: key.map(str::to_owned),
            body: form.as_bytes().to_vec(),
            ..Request::default()
        };
        self.simulator.answer(&request, self.now_ms)
    }

    fn post(&mut self, path: &str, form: &str) -> Value {
        let reply = self.ask("POST", path, form, None);
        assert_eq!(reply.status, 200, "{path} {form}: {}", reply.body);
        value(&reply)
    }

    fn get(&mut self, target: &str) -> Value {
        value(&self.ask("GET", target, "", None))
    }

    fn charge(&mut self, source: &str) -> String {
        let form = format!("amount=5000&currency=usd&source={source}");
        text(&self.post("/v1/charges", &form)["id"])
    }

    fn control(&mut self, method: &str, path: &str, body: Value) -> Value {
        let bytes = body.to_string();
        let (status, told) = self.simulator.control(method, path, bytes.as_bytes(), self.now_ms);
        assert_eq!(status, 200, "{path} {body}: {told}");
        told
    }

    fn books(&mut self) -> Value {
        self.control("GET", "/_psp/books", json!({}))
    }

    /// The kinds of all events, oldest first.
    fn kinds(&self) -> Vec<&'static str> {
        self.simulator.hooks.events.iter().map(|event| event.kind).collect()
    }
}

fn value(reply: &Reply) -> Value {
    serde_json::from_str(&reply.body).expect("JSON")
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

fn header(reply: &Reply, name: &str) -> Option<String> {
    let found = reply.headers.iter().find(|(given, _)| *given == name);
    found.map(|(_, value)| value.clone())
}

#[test]
fn a_key_gives_the_first_answer_again_for_24_hours_and_is_then_forgotten() {
    let mut desk = Desk::new();
    let charge = desk.charge("tok_visa");
    let form = format!("charge={charge}&amount=1500");
    let first = desk.ask("POST", "/v1/refunds", &form, Some("k"));
    desk.now_ms += 24 * HOUR - 1;
    let other_order = format!("amount=1500&charge={charge}");
    let again = desk.ask("POST", "/v1/refunds", &other_order, Some("k"));
    assert_eq!((again.status, &again.body), (200, &first.body));
    assert_eq!(header(&again, "idempotent-replayed").as_deref(), Some("true"));
    assert_eq!(header(&again, "original-request"), header(&first, "request-id"));
    assert_ne!(header(&again, "request-id"), header(&first, "request-id"));
    desk.now_ms += 1;
    let late = desk.ask("POST", "/v1/refunds", &form, Some("k"));
    assert_ne!(value(&late)["id"], value(&first)["id"], "a repeat after its life is a new refund");
    assert_eq!(desk.books()["paid"], json!({"usd": 3000}));
}

#[test]
fn a_key_is_bound_to_its_path_and_parameters_and_kept_for_what_began() {
    let mut desk = Desk::new();
    let charge = desk.charge("tok_visa");
    let refunds = "/v1/refunds";
    let of = |amount: &str| format!("charge={charge}&amount={amount}");
    let mut told = |path: &str, form: String, key: &str| {
        let reply = desk.ask("POST", path, &form, Some(key));
        let error = value(&reply)["error"].clone();
        (reply.status, error["type"].as_str().unwrap_or("-").to_owned(), reply.body)
    };
    assert_eq!(told(refunds, of("100"), "k").0, 200);
    let other = told(refunds, of("101"), "k");
    assert_eq!((other.0, other.1.as_str()), (400, "idempotency_error"));
    assert!(other.2.contains("same parameters they were first used with"), "{}", other.2);
    let other = told("/v1/charges", "amount=1&currency=usd&source=tok_visa".to_owned(), "k");
    assert_eq!((other.0, other.1.as_str()), (400, "idempotency_error"));
    assert!(other.2.contains("first used for ('/v1/refunds')"), "{}", other.2);
    // Too much is found out by the endpoint: kept. A bad number is found before it: not kept.
    assert_eq!(told(refunds, of("9000"), "much").0, 400);
    assert_eq!(told(refunds, of("10"), "much").1, "idempotency_error");
    assert_eq!(told(refunds, of("abc"), "bad").0, 400);
    assert_eq!(told(refunds, of("10"), "bad").0, 200);
    assert_eq!(told(refunds, of("10"), &"x".repeat(256)).0, 400);
    assert_eq!(told(refunds, of("10"), &"x".repeat(255)).0, 200);
}

#[test]
fn errors_of_a_script_are_kept_if_it_says_so_or_if_the_request_was_carried_out() {
    let rows = [
        (json!({"error": {"status": 500}}), json!({}), 1, 500),
        (json!({"error": {"status": 500}}), json!({"acts": false}), 0, 200),
        (json!({"error": {"status": 500}}), json!({"acts": false, "kept": true}), 0, 500),
        (json!({"error": {"status": 429, "retry_after_s": 7}}), json!({}), 0, 200),
        (json!({"error": {"status": 500}}), json!({"kept": false}), 1, 200),
    ];
    for (answer, more, done, second) in rows {
        let mut rule = json!({"on": "refund.create", "answer": answer, "times": 1});
        for (name, value) in more.as_object().expect("members") {
            rule[name] = value.clone();
        }
        let mut desk = Desk::scripted(json!([rule]));
        let charge = desk.charge("tok_visa");
        let form = format!("charge={charge}&amount=100");
        let first = desk.ask("POST", "/v1/refunds", &form, Some("k"));
        assert_eq!(first.status, rule["answer"]["error"]["status"], "{rule}");
        let is_limit = first.status == 429;
        assert_eq!(header(&first, "retry-after").is_some(), is_limit, "{rule}");
        assert_eq!(desk.books()["refunds"].as_array().map(Vec::len), Some(done), "{rule}");
        for _ in 0..2 {
            let again = desk.ask("POST", "/v1/refunds", &form, Some("k"));
            assert_eq!(again.status, second, "{rule}: {}", again.body);
        }
        assert_eq!(desk.books()["doubled"], json!([]), "{rule}");
    }
}

#[test]
fn a_key_is_in_use_as_long_as_its_slow_request_runs() {
    let rule = json!([{"on": "refund.create", "answer": {"slow": {"ms": 500}}, "times": 1}]);
    let mut desk = Desk::scripted(rule);
    let charge = desk.charge("tok_visa");
    let form = format!("charge={charge}");
    let slow = desk.ask("POST", "/v1/refunds", &form, Some("k"));
    assert_eq!(slow.manner, Manner::After { ms: 500 });
    desk.now_ms += 499;
    let meanwhile = desk.ask("POST", "/v1/refunds", &form, Some("k"));
    let code = value(&meanwhile)["error"]["code"].clone();
    assert_eq!((meanwhile.status, code), (409, json!("idempotency_key_in_use")));
    desk.now_ms += 1;
    let again = desk.ask("POST", "/v1/refunds", &form, Some("k"));
    assert_eq!((again.status, again.body), (200, slow.body));
}

#[test]
fn the_guard_and_the_keys_can_be_switched_off() {
    let mut desk = Desk::new();
    let charge = desk.charge("tok_visa");
    let form = format!("charge={charge}&amount=4000");
    desk.control("POST", "/_psp/settings", json!({"guard": false, "keys": false}));
    for _ in 0..2 {
        assert_eq!(desk.ask("POST", "/v1/refunds", &form, Some("k")).status, 200);
    }
    let books = desk.books();
    assert_eq!(books["paid"], json!({"usd": 8000}));
    assert_eq!((&books["overpaid"], &books["doubled"]), (&json!([charge]), &json!(["k"])));
}

#[test]
fn a_refund_goes_the_way_that_its_script_lays_out() {
    let money = json!([
        {"is": "pending"},
        {"is": "succeeded", "after_ms": 1000},
        {"is": "failed", "after_ms": 5000, "reason": "lost_or_stolen_card"}
    ]);
    let mut desk = Desk::scripted(json!([{"on": "refund.create", "money": money}]));
    let charge = desk.charge("tok_visa");
    let made = desk.post("/v1/refunds", &format!("charge={charge}&amount=3000"));
    assert_eq!(
        (&made["status"], &made["pending_reason"]),
        (&json!("pending"), &json!("processing"))
    );
    let path = format!("/v1/refunds/{}", text(&made["id"]));
    let mut stand = |after_ms: i64| {
        desk.now_ms += after_ms;
        let shown = desk.get(&path);
        let charge = desk.get(&format!("/v1/charges/{charge}"));
        (text(&shown["status"]), shown["failure_reason"].clone(), charge["amount_refunded"].clone())
    };
    assert_eq!(stand(999), ("pending".to_owned(), json!(null), json!(3000)));
    assert_eq!(stand(1), ("succeeded".to_owned(), json!(null), json!(3000)));
    let lost = json!("lost_or_stolen_card");
    assert_eq!(stand(5000), ("failed".to_owned(), lost, json!(0)));
    let kinds = [
        "charge.succeeded",
        "charge.refunded",
        "refund.created",
        "refund.updated",
        "charge.refund.updated",
        "charge.updated",
        "refund.updated",
        "charge.refund.updated",
        "refund.failed",
    ];
    assert_eq!(desk.kinds(), kinds);
    let events = desk.get("/v1/events?limit=2&type=refund.*");
    assert_eq!(
        (&events["data"][0]["type"], &events["has_more"]),
        (&json!("refund.failed"), &json!(true))
    );
}

#[test]
fn a_short_balance_holds_refunds_back_until_there_is_money() {
    let mut desk = Desk::new();
    let charge = desk.charge("tok_visa");
    desk.control("POST", "/_psp/balance", json!({"currency": "usd", "available": 1000}));
    let small = desk.post("/v1/refunds", &format!("charge={charge}&amount=800"));
    let large = desk.post("/v1/refunds", &format!("charge={charge}&amount=700"));
    assert_eq!(small["status"], "succeeded");
    assert_eq!(
        (&large["status"], &large["pending_reason"]),
        (&json!("pending"), &json!("insufficient_funds"))
    );
    desk.charge("tok_visa");
    let path = format!("/v1/refunds/{}", text(&large["id"]));
    assert_eq!(desk.get(&path)["status"], "succeeded", "a new charge brings money");
    assert_eq!(desk.get("/v1/balance")["available"][0]["amount"], 4500);
}

#[test]
fn a_dispute_fails_what_is_pending_and_refuses_the_rest() {
    let money = json!([{"is": "pending"}]);
    let mut desk = Desk::scripted(json!([{"on": "refund.create", "money": money}]));
    let charge = desk.charge("tok_visa");
    let made = desk.post("/v1/refunds", &format!("charge={charge}&amount=100"));
    desk.control("POST", &format!("/_psp/disputes/{charge}"), json!({}));
    let shown = desk.get(&format!("/v1/refunds/{}", text(&made["id"])));
    assert_eq!(shown["failure_reason"], "charge_for_pending_refund_disputed");
    let refused = desk.ask("POST", "/v1/refunds", &format!("charge={charge}"), None);
    assert_eq!(value(&refused)["error"]["code"], "charge_disputed");
}

/// A list of a time is of that time, to the second.
#[test]
fn lists_are_narrowed_by_creation() {
    let mut desk = Desk::new();
    let charge = desk.charge("tok_visa");
    for _ in 0..3 {
        desk.post("/v1/refunds", &format!("charge={charge}&amount=100"));
        desk.now_ms += 1_000;
    }
    let s = T0 / 1_000;
    for (times, count) in [
        (format!("created[gte]={}", s + 1), 2),
        (format!("created[gt]={}", s + 1), 1),
        (format!("created[lte]={s}"), 1),
        (format!("created%5Bgte%5D={s}&created%5Blt%5D={}", s + 2), 2),
        ("created[gte]=soon".to_owned(), 0),
    ] {
        let listed = desk.get(&format!("/v1/refunds?{times}"));
        assert_eq!(listed["data"].as_array().map(Vec::len), Some(count), "{times}");
    }
}

/// Rules fit in order, let pass, run out, and hit by rate from their seed.
#[test]
fn the_first_rule_that_fits_and_is_left_is_used() {
    let rules = json!([
        {"on": "refund.create", "charge": "ch_b", "answer": "lost"},
        {"on": "refund.create", "skip": 1, "times": 1, "answer": "reset"},
        {"on": "*", "per_mille": 250, "answer": "hang"},
    ]);
    let mut script = Script::read(&json!({"seed": 7, "rules": rules}).to_string()).expect("one");
    let mut draw = |operation: &str, charge: &str| {
        let asked = Asked { operation, subjects: [Some(charge), None] };
        script.draw(asked).map(|(number, _)| number)
    };
    assert_eq!(draw("refund.create", "ch_b"), Some(0));
    assert_ne!(draw("refund.create", "ch_a"), Some(1), "one is let pass");
    assert_eq!(draw("refund.create", "ch_a"), Some(1));
    let hits = (0..1_000).filter(|_| draw("refund.create", "ch_a").is_some()).count();
    assert!((200..300).contains(&hits), "{hits} of 1000");
    let bad = [
        r#"{"rules":[{"on":"refund.make"}]}"#,
        r#"{"rules":[{"on":"*","answer":"explode"}]}"#,
        r#"{"rules":[{"on":"*","anwser":"lost"}]}"#,
    ];
    for text in bad {
        assert!(Script::read(text).is_err(), "{text}");
    }
}

#[test]
fn webhooks_go_out_as_scripted_are_signed_and_tried_again() {
    let rows = [
        (json!("once"), vec!["charge.refunded", "refund.created"]),
        (
            json!("twice"),
            vec!["charge.refunded", "charge.refunded", "refund.created", "refund.created"],
        ),
        (json!("never"), vec![]),
        (json!({"late": {"ms": 900}}), vec!["charge.refunded", "refund.created"]),
        (json!("reversed"), vec!["refund.created", "charge.refunded"]),
    ];
    for (webhook, expected) in rows {
        let mut desk = Desk::scripted(json!([{"on": "refund.create", "webhook": webhook}]));
        let charge = desk.charge("tok_visa");
        let hook = json!({"url": "http://127.0.0.1:1/hook", "secret": "whsec_test_secret"});
        desk.control("POST", "/_psp/webhooks", hook);
        desk.post("/v1/refunds", &format!("charge={charge}&amount=100"));
        let mut sent = Vec::new();
        for _ in 0..10 {
            for post in desk.simulator.tick(desk.now_ms) {
                let event: Value = serde_json::from_str(&post.body).expect("an event");
                sent.push(text(&event["type"]));
                let at_s = desk.now_ms / 1_000;
                let signature = hooks::signature("whsec_test_secret", at_s, &post.body);
                assert!(post.headers.contains(&("stripe-signature", signature)));
                desk.simulator.posted(post.number, Some(200), desk.now_ms);
            }
            desk.now_ms += 100;
        }
        assert_eq!(sent, expected, "{webhook}");
    }
    let mut desk = Desk::new();
    desk.control(
        "POST",
        "/_psp/webhooks",
        json!({"url": "http://127.0.0.1:1/", "events": ["charge.succeeded"]}),
    );
    desk.charge("tok_visa");
    let mut tries = 0;
    for _ in 0..200 {
        for post in desk.simulator.tick(desk.now_ms) {
            tries += 1;
            desk.simulator.posted(post.number, Some(500), desk.now_ms);
        }
        desk.now_ms += HOUR;
    }
    assert!((20..40).contains(&tries), "{tries} tries in three days, and none after");
}

/// As the official SDK signs (`tests/recordings/stripe`).
#[test]
fn a_signature_is_stripe_s() {
    let body = r#"{"id":"evt_1","object":"event","type":"charge.refunded"}"#;
    let expected =
        "t=1700000000,v1=409bb1412e6fce8599f26d1d47fb83a12c121ec9484056ac1f4996dafc0cafbb";
    assert_eq!(hooks::signature("whsec_test_secret", 1_700_000_000, body), expected);
}

#[test]
fn webhooks_that_go_first_are_answered_with_the_answer() {
    let mut desk = Desk::scripted(json!([{"on": "refund.create", "webhook": "first"}]));
    let charge = desk.charge("tok_visa");
    desk.control("POST", "/_psp/webhooks", json!({"url": "http://127.0.0.1:1/"}));
    let reply = desk.ask("POST", "/v1/refunds", &format!("charge={charge}"), None);
    assert_eq!(reply.first.len(), 2);
    assert!(desk.simulator.tick(desk.now_ms).is_empty(), "they are not queued as well");
    for number in reply.first {
        let post = desk.simulator.post(number, desk.now_ms).expect("a delivery");
        assert!(post.body.contains("\"data\""));
    }
}

/// What was written to the file is enough to go on, keys and plans included.
#[test]
fn books_go_on_after_a_restart() {
    let money = json!([{"is": "pending"}, {"is": "succeeded", "after_ms": 1000}]);
    let mut desk = Desk::scripted(json!([{"on": "refund.create", "money": money}]));
    let charge = desk.charge("tok_visa");
    let form = format!("charge={charge}&amount=700");
    let first = desk.ask("POST", "/v1/refunds", &form, Some("k"));
    let lines: Vec<String> = desk
        .simulator
        .lines()
        .iter()
        .map(|line| serde_json::to_string(line).expect("JSON"))
        .collect();
    let mut again = Desk::new();
    for line in lines {
        again.simulator.restore(serde_json::from_str(&line).expect("a line"));
    }
    assert_eq!(again.books(), desk.books());
    let repeated = again.ask("POST", "/v1/refunds", &form, Some("k"));
    assert_eq!(repeated.body, first.body);
    again.now_ms += 1000;
    assert_eq!(again.books()["paid"], json!({"usd": 700}));
}

#[test]
fn wrong_answers_are_wrong_in_one_member_and_the_books_are_right() {
    for (wrong, member) in [
        ("amount", "amount"),
        ("currency", "currency"),
        ("charge", "charge"),
        ("account", "id"),
        ("type", "amount"),
        ("status", "status"),
    ] {
        let rule = json!([{"on": "refund.create", "answer": {"wrong": wrong}}]);
        let mut desk = Desk::scripted(rule);
        let charge = desk.charge("tok_visa");
        let form = format!("charge={charge}&amount=100&metadata[mark]=x");
        let told = value(&desk.ask("POST", "/v1/refunds", &form, Some("k")));
        let truth = desk.get("/v1/refunds?limit=1")["data"][0].clone();
        assert_ne!(told[member], truth[member], "{wrong}");
        assert_eq!(truth["amount"], 100);
    }
}
