//! What merchants are told without asking: in order, signed, until it arrived, and nowhere inside.

use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::support::{
    Face, Message, Options, Receiver, Reply, Request, Response, SEALING_KEY, Server, Shop,
    gr4vy_signature, standard_signature,
};

mod receivers;

fn options() -> Options {
    let options = Options::default().env("REQUITE_SEALING_KEY", SEALING_KEY);
    options.env("REQUITE_WEBHOOKS_ADDRESSES", "any")
}

struct House {
    server: Server,
    shop: Shop,
}

impl House {
    fn open() -> House {
        let server = Server::start(options());
        let shop = Shop::open(&server.cli(), "Shop");
        House { server, shop }
    }

    fn native(&self, method: &str, path: &str, body: Option<&Value>) -> Response {
        let request = Request::new(method, &format!("/api/webhook-endpoints{path}"));
        let request = request.bearer(&self.shop.native.token);
        self.server.send(&body.iter().fold(request, |request, body| request.json(body)))
    }

    fn gr4vy(&self, method: &str, path: &str, body: Option<&Value>) -> Response {
        let request = Request::new(method, &format!("/gr4vy/webhook-subscriptions{path}"));
        let request = self.shop.credential(Face::Gr4vy, request);
        self.server.send(&body.iter().fold(request, |request, body| request.json(body)))
    }

    /// A native endpoint: its id and its secret.
    fn endpoint(&self, receiver: &Receiver) -> (String, String) {
        let made = self.native("POST", "", Some(&json!({"url": receiver.url})));
        assert_eq!(made.status, 201, "{}", made.text());
        let made = made.json();
        let text = |name: &str| made[name].as_str().expect("text").to_owned();
        (text("id"), text("secret"))
    }

    fn payment(&self, script: &[&str]) -> String {
        let payment = json!({"amount": 10_000, "currency": "EUR", "captures": [{"amount": 10_000}],
            "connector": "sandbox", "sandbox": script});
        let made = self.server.register(&self.shop.native, &payment);
        made["id"].as_str().expect("an id").to_owned()
    }

    fn refund(&self, payment: &str, amount: u32) {
        let request = Request::post(&format!("/api/payments/{payment}/refunds"));
        let request = request.bearer(&self.shop.native.token).json(&json!({"amount": amount}));
        assert_eq!(self.server.send(&request).status, 201);
    }
}

/// Payment and number of an event.
fn about(message: &Message) -> (String, u64) {
    let data = &message.json()["data"];
    let payment = data["refund"]["payment"].as_str().or(data["payment"]["id"].as_str());
    (payment.expect("a payment").to_owned(), data["number"].as_u64().expect("a number"))
}

#[test]
fn every_event_of_a_payment_arrives_in_order_and_signed() {
    let house = House::open();
    let receiver = Receiver::content();
    let (_, secret) = house.endpoint(&receiver);
    let payments: Vec<String> = (0..5).map(|_| house.payment(&["approve", "decline:51"])).collect();
    for payment in &payments {
        house.refund(payment, 100);
        house.refund(payment, 200);
    }
    // Registered, captured, and two of each refund.
    let heard = receiver.wait(6 * payments.len(), |_| true);
    for payment in &payments {
        let own: Vec<&Message> = heard.iter().filter(|m| about(m).0 == *payment).collect();
        let numbers: Vec<u64> = own.iter().map(|m| about(m).1).collect();
        assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
        let kinds: Vec<Value> = own.iter().map(|m| m.json()["type"].clone()).collect();
        let told = ["payment.registered", "payment.captured", "refund.dispatched"];
        assert_eq!(kinds[..3], told.map(Value::from));
        let told = ["refund.succeeded", "refund.dispatched", "refund.declined"];
        assert_eq!(kinds[3..], told.map(Value::from));
    }
    let mut ids: Vec<&str> = heard.iter().map(|m| m.header("webhook-id")).collect();
    for message in &heard {
        assert_eq!(message.header("webhook-signature"), standard_signature(&secret, message));
        assert_eq!(message.json()["id"], message.header("webhook-id"));
        assert_eq!(message.json()["merchant"], house.shop.merchant.slug.as_str());
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), heard.len(), "nothing was told twice");
}

#[test]
fn what_does_not_arrive_is_told_again_in_order_and_holds_up_no_other_payment() {
    let canary = Receiver::content();
    let there: &'static str =
        Box::leak(format!("302 Found\r\nLocation: {}", canary.url).into_boxed_str());
    let held: Arc<Mutex<Option<String>>> = Arc::default();
    let (name, failures) = (Arc::clone(&held), Mutex::new(0));
    let receiver = Receiver::open(move |_, message| {
        let mut failures = failures.lock().expect("no panic");
        let is_held = name.lock().expect("no panic").as_ref() == Some(&about(message).0);
        if is_held && *failures < 2 {
            *failures += 1;
            return Reply::Status(if *failures == 1 { there } else { "500 Oh" });
        }
        Reply::Status("200 OK")
    });
    let house = House::open();
    let slow = house.payment(&[]);
    let quick = house.payment(&[]);
    *held.lock().expect("no panic") = Some(slow.clone());
    let (endpoint, _) = house.endpoint(&receiver);
    house.refund(&slow, 100);
    receiver.wait(1, |message| about(message).0 == slow);
    house.refund(&slow, 200);
    house.refund(&quick, 300);
    receiver.wait(2, |message| about(message).0 == quick);
    let heard = receiver.wait(6, |message| about(message).0 == slow);
    let numbers: Vec<u64> = heard.iter().map(|message| about(message).1).collect();
    assert_eq!(numbers, [3, 3, 3, 4, 5, 6]);
    let ids: Vec<&str> = heard.iter().map(|message| message.header("webhook-id")).collect();
    assert!(ids[0] == ids[1] && ids[1] == ids[2] && ids[2] != ids[3], "{ids:?}");
    assert!(canary.heard().is_empty(), "a redirect was followed");
    let until = std::time::Instant::now() + Duration::from_secs(20);
    while house.native("GET", &format!("/{endpoint}"), None).json()["waiting"] != json!(0) {
        assert!(std::time::Instant::now() < until, "all was confirmed, and it is not noted");
        std::thread::sleep(Duration::from_millis(20));
    }
    let log = house.server.log();
    assert!(!log.contains("whsec_"), "the log has a secret");
}

#[test]
fn a_secret_that_is_rotated_signs_beside_the_new_one_for_the_time_asked() {
    let house = House::open();
    let receiver = Receiver::content();
    let made = house.gr4vy("POST", "", Some(&json!({"url": receiver.url})));
    assert_eq!(made.status, 201, "{}", made.text());
    let (first, id) = (made.json()["secret"].clone(), made.json()["id"].clone());
    let path = format!("/{}", id.as_str().expect("an id"));
    let shown = house.gr4vy("GET", &path, None).json();
    assert_eq!((&shown["secret"], &shown["rotating"]), (&json!("********"), &json!(false)));
    let rotate = |delta: u32| {
        let turned =
            house.gr4vy("POST", &format!("{path}/rotate-secret"), Some(&json!({"delta": delta})));
        assert_eq!(turned.status, 200, "{}", turned.text());
        turned.json()
    };
    let turned = rotate(10);
    assert_eq!(turned["rotating"], json!(true));
    let second = turned["secret"].clone();
    assert_ne!(first, second);
    let payment = house.payment(&[]);
    let told = |count: usize| receiver.wait(count, |_| true).pop().expect("a message");
    let signed = |message: &Message, secrets: &[&Value]| {
        let at = message.header("x-gr4vy-webhook-timestamp");
        let sign =
            |secret: &&Value| gr4vy_signature(secret.as_str().expect("text"), at, &message.body);
        let all: Vec<String> = secrets.iter().map(sign).collect();
        assert_eq!(message.header("x-gr4vy-webhook-signatures"), all.join(","));
    };
    signed(&told(1), &[&second, &first]);
    let third = rotate(0)["secret"].clone();
    let seen = receiver.wait(2, |_| true).len();
    house.refund(&payment, 100);
    signed(&told(seen + 1), &[&third]);
    for file in house.server.files() {
        let text = String::from_utf8_lossy(&file.1).into_owned();
        for secret in [&first, &second, &third] {
            assert!(!text.contains(secret.as_str().expect("text")), "{} has a secret", file.0);
        }
    }
    assert_eq!(house.gr4vy("DELETE", &path, None).status, 204);
    assert_eq!(house.gr4vy("GET", &path, None).status, 404);
}

#[test]
fn what_was_under_way_when_the_power_went_out_is_told_again_with_its_id() {
    let (sender, came) = mpsc::channel();
    let sender = Mutex::new(sender);
    let receiver = Receiver::open(move |before, _| {
        if before > 0 {
            return Reply::Status("200 OK");
        }
        sender.lock().expect("no panic").send(()).expect("the test waits");
        Reply::Silence(Duration::from_secs(5))
    });
    let mut house = House::open();
    house.endpoint(&receiver);
    let payment = house.payment(&[]);
    came.recv_timeout(Duration::from_secs(20)).expect("a message");
    house.server.kill9();
    house.server.start_again();
    let heard = receiver.wait(3, |_| true);
    let numbers: Vec<(String, u64)> = heard.iter().map(about).collect();
    assert_eq!(numbers, [1, 1, 2].map(|number| (payment.clone(), number)));
    assert_eq!(heard[0].header("webhook-id"), heard[1].header("webhook-id"));
}

#[test]
fn nothing_inside_is_told_anything_when_saved_or_when_sent() {
    let canary = Receiver::content();
    let mut server = Server::start(options());
    let shop = Shop::open(&server.cli(), "Shop");
    let post = |server: &Server, face: Option<Face>, url: &str| {
        let body = json!({ "url": url });
        server.send(&match face {
            None => Request::post("/api/webhook-endpoints").bearer(&shop.native.token).json(&body),
            Some(face) => {
                shop.credential(face, Request::post("/gr4vy/webhook-subscriptions").json(&body))
            }
        })
    };
    assert_eq!(post(&server, None, &canary.url).status, 201);
    server.sigterm();
    // The same store, where only public addresses are good.
    let public = Options {
        database: Some(server.database.clone()),
        ..Options::default().env("REQUITE_SEALING_KEY", SEALING_KEY)
    };
    let public = Server::start(public);
    let payment = json!({"amount": 100, "currency": "EUR", "captures": [{"amount": 100}]});
    public.register(&shop.native, &payment);
    let https = canary.url.replace("http://", "https://");
    for url in [&canary.url, &https, "https://localhost/", "https://[::ffff:127.0.0.1]/"] {
        let refused = post(&public, None, url);
        assert_eq!(refused.status, 422, "{url}: {}", refused.text());
        assert!(refused.text().contains("/url"), "{}", refused.text());
        let refused = post(&public, Some(Face::Gr4vy), url);
        assert_eq!(refused.status, 400, "{url}: {}", refused.text());
        assert!(refused.text().contains("/url"), "{}", refused.text());
    }
    let until = std::time::Instant::now() + Duration::from_secs(20);
    while !public.log().contains("must begin with https://") {
        assert!(std::time::Instant::now() < until, "nothing was tried: {}", public.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(canary.heard().is_empty(), "a canary heard something");
}

#[test]
fn a_key_makes_one_endpoint_with_one_secret() {
    let house = House::open();
    let receiver = Receiver::content();
    for (face, path) in
        [(None, "/api/webhook-endpoints"), (Some(Face::Gr4vy), "/gr4vy/webhook-subscriptions")]
    {
        let send = |url: &str| {
            let request = Request::post(path).json(&json!({ "url": url }));
            let request = match face {
                None => request.bearer(&house.shop.native.token),
                Some(face) => house.shop.credential(face, request),
            };
            house.server.send(&request.header("Idempotency-Key", "one"))
        };
        let first = send(&receiver.url);
        let again = send(&receiver.url);
        assert_eq!((first.status, first.text()), (again.status, again.text()), "{path}");
        assert_eq!(again.header("Idempotent-Replayed"), Some("true"), "{path}");
        assert!(first.json()["secret"].as_str().expect("text").starts_with("whsec_"), "{path}");
        let other = send("http://127.0.0.1:9/");
        assert!(matches!(other.status, 409 | 422), "{path}: {}", other.text());
    }
}
