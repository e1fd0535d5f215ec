//! An account at Adyen whose PSP is the simulator: refunds go out on Adyen's wire, and its notices come back
//! to the account's address.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::rig::Psp;
use crate::support::{Key, Options, Request, SEALING_KEY, Server};

/// Thirty-two bytes that seal nothing of value.
const HMAC_KEY: &str = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056";
const API_KEY: &str = "AQEnothingofvalue";
/// How long something may take that must happen by itself.
const PATIENCE: Duration = Duration::from_secs(60);

struct Bench {
    psp: Psp,
    server: Server,
    native: Key,
}

impl Bench {
    fn open() -> Bench {
        let psp = Psp::start(&["--api-key", API_KEY]);
        let options = Options::default()
            .env("REQUITE_SEALING_KEY", SEALING_KEY)
            .env("REQUITE_PSP_CALL_DEADLINE_MS", "1500");
        let server = Server::start(options);
        let cli = server.cli();
        let merchant = cli.merchant("Shop");
        let native = cli.key(&merchant, "native");
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), SEALING_KEY).expect("writable");
        let (key, url) = (file.path().display().to_string(), format!("{}/v71", psp.url()));
        let secret = json!({"merchant_account": "ShopECOM", "api_key": API_KEY,
            "hmac_key": HMAC_KEY});
        let words = ["connector", "add", "--merchant", &merchant.id, "--kind", "adyen"];
        let more = ["--name", "adyen", "--base-url", &url, "--sealing-key-file", &key];
        let run = cli.run(&[&words[..], &more].concat(), &secret.to_string());
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        let account = &cli.json(&["connector", "list"], "")[0];
        let id = account["id"].as_str().expect("an id");
        let url = format!("{}/hooks/{id}", server.base_url);
        psp.control("POST", "/_psp/webhooks", &json!({"url": url, "hmac_key": HMAC_KEY}));
        Bench { psp, server, native }
    }

    /// A payment of 50.00 that the PSP took and the server knows: its id here, and there.
    fn pay(&self) -> (String, String) {
        let body = json!({"merchantAccount": "ShopECOM", "reference": "order-7",
            "amount": {"value": 5_000, "currency": "EUR"}, "paymentMethod": {"type": "scheme"}});
        let post = Request::post("/v71/payments").header("X-API-Key", API_KEY).json(&body);
        let taken = post.send(self.psp.addr).json()["pspReference"].clone();
        let new = json!({"amount": 5_000, "currency": "EUR", "captures": [{"amount": 5_000}],
            "connector": "adyen", "connector_payment": taken});
        let payment = self.server.register(&self.native, &new);
        let text = |id: &Value| id.as_str().expect("an id").to_owned();
        (text(&payment["id"]), text(&taken))
    }

    fn refund(&self, payment: &str, amount: i64) -> Value {
        let post = Request::post(&format!("/api/payments/{payment}/refunds"));
        let post = post.bearer(&self.native.token).json(&json!({ "amount": amount }));
        let answer = self.server.send(&post);
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()
    }

    fn becomes(&self, refund: &Value, status: &str) -> Value {
        let path = format!("/api/refunds/{}", refund["id"].as_str().expect("an id"));
        let end = Instant::now() + PATIENCE;
        loop {
            let shown = self.server.send(&Request::get(&path).bearer(&self.native.token)).json();
            if shown["status"] == status {
                return shown;
            }
            let told = || self.psp.control("GET", "/_psp/webhooks", &Value::Null);
            assert!(Instant::now() < end, "{shown} never becomes {status}: {}", told());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Moves a refund at the PSP, as a bank does.
    fn bank(&self, refund: &Value, step: &Value) {
        let id = refund["psp_refund_id"].as_str().expect("the PSP has received it");
        self.psp.control("POST", &format!("/_psp/refunds/{id}"), step);
    }

    fn verify(&self) {
        let run = self.server.cli().run(&["verify"], "");
        assert_eq!(run.code, Some(0), "{run:?}");
        let books = self.psp.books();
        assert_eq!((&books["doubled"], &books["overpaid"]), (&json!([]), &json!([])));
    }
}

#[test]
fn what_adyen_tells_of_a_refund_is_where_it_ends() {
    let bench = Bench::open();
    bench.psp.script(&json!([{"on": "refund.create", "money": [{"is": "pending"}]}]));
    let (payment, _) = bench.pay();
    let refund = bench.refund(&payment, 3_000);
    assert_eq!(refund["status"], "pending", "{refund}");
    bench.bank(&refund, &json!({"is": "succeeded"}));
    bench.becomes(&refund, "succeeded");
    assert_eq!(bench.psp.books()["paid"], json!({"eur": 3_000}));

    // Adyen does not do it: it can be asked for again.
    let declined = bench.refund(&payment, 2_000);
    bench.bank(&declined, &json!({"is": "failed", "reason": "Expired"}));
    let shown = bench.becomes(&declined, "declined");
    assert_eq!(shown["error"], json!({"code": "refund_refused", "text": "Expired"}));

    // Times of notices have whole seconds: the bank's news is of a later one than the success.
    bench.psp.control("POST", "/_psp/clock", &json!({"advance_ms": 86_400_000}));
    bench.bank(&refund, &json!({"is": "failed", "reason": "Account closed"}));
    let reversed = bench.becomes(&refund, "reversed");
    assert_eq!(reversed["error"]["code"], "refund_failed", "{reversed}");
    bench.psp.calm();
    bench.becomes(&bench.refund(&payment, 5_000), "succeeded");
    assert_eq!(bench.psp.books()["paid"], json!({"eur": 5_000}));
    bench.verify();
}

/// Adyen cannot be asked what it did: the same request goes out again under the same key, and it is paid once.
/// No notice comes to help.
#[test]
fn an_answer_of_adyen_s_that_is_lost_after_it_acted_is_asked_for_again_and_paid_once() {
    let bench = Bench::open();
    bench.psp.script(&json!([{"on": "refund.create", "times": 2, "answer": "lost",
        "webhook": "never", "money": [{"is": "pending"}]}]));
    let (payment, taken) = bench.pay();
    let refund = bench.refund(&payment, 3_000);
    assert_eq!(refund["status"], "unknown", "{refund}");
    let shown = bench.becomes(&refund, "pending");
    let calls = bench.psp.calls("refund.create", &taken);
    assert_eq!(calls.len(), 3, "{calls:?}");
    assert!(calls.iter().all(|call| call["key"] == calls[0]["key"]), "{calls:?}");
    let books = bench.psp.books();
    let made = books["refunds"].as_array().expect("a list");
    assert_eq!(made.len(), 1, "{made:?}");
    assert_eq!(made[0]["id"], shown["psp_refund_id"]);
    assert_eq!(books["on_the_way"], json!({"eur": 3_000}));
    bench.verify();
}

/// Adyen cancels nothing: that is said before anything is asked, and the refund goes on.
#[test]
fn a_refund_at_adyen_is_not_cancelled_and_says_so() {
    let bench = Bench::open();
    let (payment, _) = bench.pay();
    let refund = bench.refund(&payment, 1_000);
    let path = format!("/api/refunds/{}/cancel", refund["id"].as_str().expect("an id"));
    let answer = bench.server.send(&Request::post(&path).bearer(&bench.native.token));
    let error = &answer.json()["error"];
    assert_eq!((answer.status, &error["code"]), (409, &json!("not_cancelable")), "{error}");
    let message = error["message"].as_str().expect("a text");
    assert!(message.contains("its PSP cancels no refunds"), "{message}");
    let get = Request::get(&format!("/api/payments/{payment}/events")).bearer(&bench.native.token);
    let events = bench.server.send(&get).text();
    assert!(!events.contains("cancel_asked"), "{events}");
}
