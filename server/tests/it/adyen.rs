//! An account at Adyen, from a face to the wire and back: the real program against a stand-in that keeps
//! what it was asked for by its idempotency keys, as Adyen does.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use data_encoding::{BASE64, HEXUPPER};
use serde_json::{Value, json};

use super::support::{Cli, Key, Options, Request, SEALING_KEY, Server};

/// Thirty-two bytes that seal nothing of value.
const HMAC_KEY: &str = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056";
const SECRET: &str = r#"{"merchant_account":"ShopECOM","api_key":"AQEnothingofvalue",
    "hmac_key":"44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056"}"#;
const PAYMENT: &str = "WNS7WQ756L2GWR82";
/// How long a refund may take to get where it is going.
const ARRIVAL_MAX: Duration = Duration::from_secs(30);

/// What the stand-in does with the next request.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// Makes the refund, and the answer is lost.
    Lose,
    /// The connection breaks before anything is done.
    Drop,
    /// Refuses it: a status and an error code.
    Refuse(u16, &'static str),
}

#[derive(Default)]
struct Books {
    acts: VecDeque<Act>,
    /// Every request for a refund as it came: path, key, body.
    asked: Vec<(String, String, String)>,
    /// What was made, by key.
    made: BTreeMap<String, Value>,
    api_keys: Vec<String>,
}

/// A stand-in for Adyen. It goes on until the process ends.
struct Adyen {
    address: SocketAddr,
    books: Arc<Mutex<Books>>,
}

impl Adyen {
    fn start() -> Adyen {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let books = Arc::<Mutex<Books>>::default();
        let shared = Arc::clone(&books);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                drop(answer(stream, &shared));
            }
        });
        Adyen { address, books }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn will(&self, acts: &[Act]) {
        self.books().acts.extend(acts);
    }
}

/// One request and its answer; the connection is closed behind it.
fn answer(stream: TcpStream, books: &Mutex<Books>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? <= 2 {
            break;
        }
        head.push(line);
    }
    let header = |name: &str| {
        let named = head.iter().skip(1).filter_map(|line| line.split_once(':'));
        let mut found = named.filter(|(is, _)| is.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    let mut body = vec![0; header("content-length").parse().unwrap_or(0)];
    reader.read_exact(&mut body)?;
    let body = String::from_utf8_lossy(&body).into_owned();
    let path = head[0].split(' ').nth(1).unwrap_or_default().to_owned();
    let (status, told) = {
        let mut books = books.lock().unwrap_or_else(PoisonError::into_inner);
        let key = header("idempotency-key");
        books.api_keys.push(header("x-api-key"));
        books.asked.push((path, key.clone(), body.clone()));
        let act = books.acts.pop_front();
        match act {
            Some(Act::Drop) => return Ok(()),
            Some(Act::Refuse(status, code)) => {
                let error = json!({"status": status, "errorCode": code, "message": "no",
                    "errorType": "validation", "pspReference": "881643200000000A"});
                (status, error)
            }
            Some(Act::Lose) | None => {
                let number = books.made.len();
                let asked: Value = serde_json::from_str(&body)?;
                let made = books.made.entry(key).or_insert_with(|| {
                    json!({"merchantAccount": asked["merchantAccount"], "amount": asked["amount"],
                        "reference": asked["reference"], "paymentPspReference": PAYMENT,
                        "pspReference": format!("REFUND{number:010}"), "status": "received"})
                });
                let made = made.clone();
                if act.is_some() {
                    return Ok(());
                }
                (201, made)
            }
        }
    };
    let text = told.to_string();
    let head =
        format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}", text.len());
    reader.into_inner().write_all(format!("{head}\r\n\r\n{text}").as_bytes())
}

struct Bench {
    adyen: Adyen,
    server: Server,
    native: Key,
    /// Where webhooks are taken.
    hook_path: String,
}

impl Bench {
    fn new() -> Bench {
        let adyen = Adyen::start();
        let options = Options::default()
            .env("REQUITE_SEALING_KEY", SEALING_KEY)
            .env("REQUITE_PSP_CALL_DEADLINE_MS", "1500");
        let server = Server::start(options);
        let cli = server.cli();
        let merchant = cli.merchant("Shop");
        let native = cli.key(&merchant, "native");
        let url = format!("http://{}/v71", adyen.address);
        add(&cli, &merchant.id, &["--name", "adyen", "--base-url", &url]);
        let account = &cli.json(&["connector", "list"], "")[0];
        let hook_path = format!("/hooks/{}", account["id"].as_str().expect("an id"));
        Bench { adyen, server, native, hook_path }
    }

    /// A payment of 100.00 at Adyen.
    fn payment(&self) -> String {
        let payment = json!({"amount": 10_000, "currency": "EUR", "captures": [{"amount": 10_000}],
            "connector": "adyen", "connector_payment": PAYMENT});
        self.server.register(&self.native, &payment)["id"].as_str().expect("an id").to_owned()
    }

    fn refund(&self, payment: &str, amount: i64) -> Value {
        let body = json!({"amount": amount, "reason": "return"});
        let post = Request::post(&format!("/api/payments/{payment}/refunds"));
        let answer = self.server.send(&post.bearer(&self.native.token).json(&body));
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()
    }

    /// Tells of a refund of 40.00 as Adyen does; its thanks.
    fn tell(&self, refund: &Value, (code, success): (&str, &str), minute: u32) -> (u16, String) {
        let psp_refund = refund["psp_refund_id"].as_str().unwrap_or("REFUND0000000000");
        let reference = format!("requite-{}", refund["id"].as_str().unwrap_or("nobody"));
        let signed =
            format!("{psp_refund}:{PAYMENT}:ShopECOM:{reference}:4000:EUR:{code}:{success}");
        let key = HEXUPPER.decode(HMAC_KEY.as_bytes()).expect("hexadecimal");
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        let signature = BASE64.encode(hmac::sign(&key, signed.as_bytes()).as_ref());
        let item = json!({"pspReference": psp_refund, "originalReference": PAYMENT,
            "merchantAccountCode": "ShopECOM", "merchantReference": reference, "eventCode": code,
            "amount": {"currency": "EUR", "value": 4_000}, "success": success, "reason": "why",
            "eventDate": format!("2026-11-22T05:{minute:02}:00+01:00"), "paymentMethod": "visa",
            "additionalData": {"hmacSignature": signature}});
        let whole = json!({"live": "false",
            "notificationItems": [{"NotificationRequestItem": item}]});
        // An account that was just added is known a moment later; Adyen too would send it again.
        let end = Instant::now() + ARRIVAL_MAX;
        loop {
            let answer = self.server.send(&Request::post(&self.hook_path).json(&whole));
            if answer.status != 400 || Instant::now() > end {
                return (answer.status, answer.text());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn shown(&self, refund: &Value) -> Value {
        let id = refund["id"].as_str().expect("an id");
        let get = Request::get(&format!("/api/refunds/{id}")).bearer(&self.native.token);
        self.server.send(&get).json()
    }

    /// Waits until the refund has a status.
    fn arrives(&self, refund: &Value, status: &str) -> Value {
        let end = Instant::now() + ARRIVAL_MAX;
        loop {
            let shown = self.shown(refund);
            if shown["status"] == status {
                return shown;
            }
            assert!(Instant::now() < end, "{shown} never becomes {status}\n{}", self.server.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn add(cli: &Cli, merchant: &str, more: &[&str]) {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), SEALING_KEY).expect("writable");
    let key = file.path().display().to_string();
    let words = ["connector", "add", "--merchant", merchant, "--kind", "adyen"];
    let run = cli.run(&[&words[..], &["--sealing-key-file", &key], more].concat(), SECRET);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
}

#[test]
fn what_adyen_received_is_pending_under_its_id() {
    let bench = Bench::new();
    let payment = bench.payment();
    let refund = bench.refund(&payment, 4_000);
    assert_eq!(refund["status"], "pending", "{refund}");
    assert_eq!(refund["psp_refund_id"], "REFUND0000000000", "{refund}");
    let books = bench.adyen.books();
    let (path, key, body) = &books.asked[0];
    assert_eq!(path, &format!("/v71/payments/{PAYMENT}/refunds"));
    assert_eq!(key, &format!("requite-{}", refund["id"].as_str().expect("an id")));
    let body: Value = serde_json::from_str(body).expect("JSON");
    let asked = json!({"merchantAccount": "ShopECOM", "reference": key,
        "amount": {"value": 4_000, "currency": "EUR"}, "merchantRefundReason": "RETURN"});
    assert_eq!(body, asked);
    assert_eq!(books.api_keys, ["AQEnothingofvalue"]);
}

/// However often an answer is lost, Adyen hears the same bytes under the same key and does it once.
#[test]
fn a_lost_answer_is_asked_for_again_with_the_same_key() {
    let bench = Bench::new();
    bench.adyen.will(&[Act::Lose, Act::Refuse(422, "704")]);
    let refund = bench.refund(&bench.payment(), 4_000);
    assert_eq!(refund["status"], "unknown", "{refund}");
    let shown = bench.arrives(&refund, "pending");
    assert_eq!(shown["psp_refund_id"], "REFUND0000000000");
    let books = bench.adyen.books();
    assert_eq!((books.made.len(), books.asked.len()), (1, 3));
    assert!(books.asked.windows(2).all(|two| two[0] == two[1]), "{:?}", books.asked);
}

/// A refusal of a repeat says nothing of the call before it, which was carried out.
#[test]
fn a_repeat_that_is_refused_frees_no_money() {
    let bench = Bench::new();
    bench.adyen.will(&[Act::Lose, Act::Refuse(422, "167")]);
    let payment = bench.payment();
    let refund = bench.refund(&payment, 4_000);
    bench.arrives(&refund, "pending");
    let rest = bench.refund(&payment, 6_000);
    assert_eq!(rest["status"], "pending", "{rest}");
    assert_eq!(bench.adyen.books().made.len(), 2);
}

#[test]
fn a_refund_under_way_at_a_crash_is_paid_once() {
    let mut bench = Bench::new();
    bench.adyen.will(&[Act::Drop]);
    let refund = bench.refund(&bench.payment(), 4_000);
    bench.server.kill9();
    bench.server.start_again();
    bench.arrives(&refund, "pending");
    let books = bench.adyen.books();
    assert_eq!(books.made.len(), 1);
    assert!(books.asked.windows(2).all(|two| two[0] == two[1]), "{:?}", books.asked);
}

#[test]
fn what_adyen_refuses_is_declined_and_what_its_gate_refuses_is_sent_again() {
    let bench = Bench::new();
    bench.adyen.will(&[Act::Refuse(422, "167")]);
    let payment = bench.payment();
    let refused = bench.refund(&payment, 4_000);
    assert_eq!(refused["status"], "declined", "{refused}");
    bench.adyen.will(&[Act::Refuse(403, "010")]);
    let refund = bench.refund(&payment, 10_000);
    bench.arrives(&refund, "pending");
    assert_eq!(bench.adyen.books().made.len(), 1);
}

#[test]
fn what_adyen_tells_of_a_refund_is_believed_in_the_order_of_its_own_time() {
    let bench = Bench::new();
    let accepted = (200, "[accepted]".to_owned());
    // It comes back after it had succeeded; and then the news of its success comes once more, late.
    let refund = bench.refund(&bench.payment(), 4_000);
    for _ in 0..3 {
        assert_eq!(bench.tell(&refund, ("REFUND", "true"), 10), accepted);
    }
    bench.arrives(&refund, "succeeded");
    assert_eq!(bench.tell(&refund, ("REFUND_FAILED", "true"), 20), accepted);
    let reversed = bench.arrives(&refund, "reversed");
    assert_eq!(reversed["error"]["code"], "refund_failed");
    assert_eq!(bench.tell(&refund, ("REFUND", "true"), 10), accepted);
    // The failure overtakes the success.
    let overtaken = bench.refund(&bench.payment(), 4_000);
    assert_eq!(bench.tell(&overtaken, ("REFUNDED_REVERSED", "true"), 20), accepted);
    bench.arrives(&overtaken, "declined");
    assert_eq!(bench.tell(&overtaken, ("REFUND", "true"), 10), accepted);
    // Refused by Adyen's own checks.
    let refused = bench.refund(&bench.payment(), 4_000);
    assert_eq!(bench.tell(&refused, ("REFUND", "false"), 10), accepted);
    let declined = bench.arrives(&refused, "declined");
    assert_eq!(declined["error"], json!({"code": "refund_refused", "text": "why"}));
    assert_eq!(bench.shown(&refund)["status"], "reversed");
    assert_eq!(bench.shown(&overtaken)["status"], "declined");
}

/// The answer was lost, and the notice tells what nobody could be asked.
#[test]
fn a_notice_ends_what_a_lost_answer_left_open() {
    let bench = Bench::new();
    bench.adyen.will(&[Act::Lose]);
    let refund = bench.refund(&bench.payment(), 4_000);
    assert_eq!(refund["status"], "unknown");
    assert_eq!(bench.tell(&refund, ("REFUND", "true"), 10).0, 200);
    bench.arrives(&refund, "succeeded");
    let forged = json!({"live": "false", "notificationItems": []});
    let answer = bench.server.send(&Request::post(&bench.hook_path).json(&forged));
    assert_eq!(answer.status, 400, "{}", answer.text());
}

#[test]
fn an_account_at_adyen_needs_its_address_and_its_merchant_account() {
    let folder = tempfile::tempdir().expect("a directory for temporary files");
    let cli = Cli::new(&requite_cluster::new_store(folder.path()));
    let merchant = cli.merchant("Shop");
    let key = folder.path().join("key");
    std::fs::write(&key, SEALING_KEY).expect("writable");
    let key = key.display().to_string();
    let run = |more: &[&str], secret: &str| {
        let words = ["connector", "add", "--merchant", &merchant.id, "--kind", "adyen"];
        let named = ["--name", "adyen", "--sealing-key-file", &key];
        cli.run(&[&words[..], &named, more].concat(), secret)
    };
    let live = ["--mode", "live"];
    for (more, secret, code, told) in [
        (&live[..], SECRET, 2, "--live-prefix"),
        (&["--live-prefix", "1a-Shop"], SECRET, 2, "--live-prefix"),
        (&["--mode", "live", "--live-prefix", "a.b/"], SECRET, 2, "letters"),
        (&[], "AQEnothingofvalue", 1, "merchant_account"),
        (&[], r#"{"merchant_account":"ShopECOM"}"#, 1, "api_key"),
        (&[], r#"{"merchant_account":"Shop ECOM","api_key":"AQEnothingofvalue"}"#, 1, "spaces"),
        (&[], r#"{"merchant_account":"a","api_key":"AQEnothingofvalue","x":1}"#, 1, "api_key"),
        (
            &[],
            r#"{"merchant_account":"a","api_key":"AQEnothingofvalue","hmac_key":"44"}"#,
            1,
            "hexadecimal",
        ),
    ] {
        let run = run(more, secret);
        assert_eq!(run.code, Some(code), "{more:?}: {}", run.stderr);
        assert!(run.stderr.contains(told), "{more:?}: {}", run.stderr);
        assert!(!run.stderr.contains("AQEnothingofvalue"), "{}", run.stderr);
    }
    let added = run(&["--mode", "live", "--live-prefix", "1a-Shop"], SECRET);
    assert_eq!(added.code, Some(0), "{}", added.stderr);
    let listed = &cli.json(&["connector", "list"], "")[0];
    let url = "https://1a-Shop-checkout-live.adyenpayments.com/checkout/v71";
    assert_eq!(listed["base_url"], url);
    assert_eq!(listed["capabilities"]["recourse"], "repeat");
    let other = r#"{"merchant_account":"OtherECOM","api_key":"AQEanother"}"#;
    let rotate = ["connector", "rotate", "--merchant", &merchant.id, "--name", "adyen"];
    let rotate = [&rotate[..], &["--sealing-key-file", &key]].concat();
    let refused = cli.run(&rotate, other);
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("another merchant account"), "{}", refused.stderr);
    let renewed = cli.run(&rotate, &other.replace("OtherECOM", "ShopECOM"));
    assert_eq!(renewed.code, Some(0), "{}", renewed.stderr);
}
