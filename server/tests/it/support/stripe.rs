//! A stand-in for Stripe: it makes every refund that it is asked for, shows and lists what it has, and
//! signs webhooks. What its dashboard and its banks do is done by the test.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use super::{Cli, Request, Response, SEALING_KEY, Server};

/// The name of the account.
pub(crate) const ACCOUNT: &str = "stripe";
/// What signs its webhooks at first.
pub(crate) const HOOK_SECRET: &str = "whsec_of_the_stand_in";

type Form = BTreeMap<String, String>;

#[derive(Default)]
struct Books {
    last: Form,
    refunds: Vec<Value>,
    by_key: BTreeMap<String, usize>,
}

/// It goes on until the process ends.
pub(crate) struct Stripe {
    address: SocketAddr,
    books: Arc<Mutex<Books>>,
}

impl Stripe {
    pub(crate) fn start() -> Stripe {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let books: Arc<Mutex<Books>> = Arc::default();
        let shared = Arc::clone(&books);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let books = Arc::clone(&shared);
                std::thread::spawn(move || drop(answer(stream, &books)));
            }
        });
        Stripe { address, books }
    }

    /// Gives a merchant an account here; where its webhooks are taken.
    pub(crate) fn open_account(&self, cli: &Cli, merchant: &str) -> String {
        let url = format!("http://{}", self.address);
        let words = ["--kind", "stripe", "--base-url", &url];
        connector(cli, merchant, "add", &words, "sk_test_replayed");
        self.set_secret(cli, merchant, HOOK_SECRET, &[])
    }

    /// Sets what signs its webhooks; where they are taken.
    pub(crate) fn set_secret(
        &self,
        cli: &Cli,
        merchant: &str,
        secret: &str,
        more: &[&str],
    ) -> String {
        let told = connector(cli, merchant, "hook", &[&["--json"], more].concat(), secret);
        let told: Value = serde_json::from_str(&told).expect("JSON");
        told["hook_path"].as_str().expect("a path").to_owned()
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().expect("nothing panics while it holds the books")
    }

    /// A member of the form of the newest refund that was asked for.
    pub(crate) fn last(&self, name: &str) -> Option<String> {
        self.books().last.get(name).cloned()
    }

    pub(crate) fn count(&self) -> usize {
        self.books().refunds.len()
    }

    /// Somebody refunds a charge in the dashboard; the refund's id.
    pub(crate) fn dashboard(&self, charge: &str, amount: i64, status: &str) -> String {
        let mut books = self.books();
        let id = format!("re_dashboard_{}", books.refunds.len());
        let refund = refund(&id, charge, amount, status, json!({}));
        books.refunds.push(refund);
        id
    }

    /// What became of the newest refund, later; its id.
    pub(crate) fn becomes(&self, status: &str) -> String {
        let mut books = self.books();
        let refund = books.refunds.last_mut().expect("a refund was made");
        refund["status"] = json!(status);
        if status == "failed" {
            refund["failure_reason"] = json!("lost_or_stolen_card");
        }
        refund["id"].as_str().expect("an id").to_owned()
    }

    /// The newest refund was made so many days earlier.
    pub(crate) fn is_old(&self, days: i64) {
        let mut books = self.books();
        let refund = books.refunds.last_mut().expect("a refund was made");
        let made = refund["created"].as_i64().expect("a time");
        refund["created"] = json!(made - days * 86_400);
    }

    /// An event about a refund as it is now.
    pub(crate) fn event(&self, id: &str, kind: &str, refund: &str) -> Value {
        let books = self.books();
        let found = books.refunds.iter().find(|known| known["id"] == refund);
        let object = found.expect("the refund was made").clone();
        json!({"id": id, "object": "event", "type": kind, "data": {"object": object}})
    }
}

/// A webhook, signed with a secret.
pub(crate) fn webhook(path: &str, secret: &str, event: &Value) -> Request {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let (time, body) = (since.as_secs(), event.to_string());
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signature = hmac::sign(&key, format!("{time}.{body}").as_bytes());
    let header = format!("t={time},v1={}", HEXLOWER.encode(signature.as_ref()));
    let request = Request::post(path).header("content-type", "application/json");
    request.header("stripe-signature", &header).bytes(body)
}

fn connector(cli: &Cli, merchant: &str, verb: &str, more: &[&str], secret: &str) -> String {
    let key = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(key.path(), SEALING_KEY).expect("writable");
    let key = key.path().display().to_string();
    let words = ["connector", verb, "--merchant", merchant, "--name", ACCOUNT];
    let run = cli.run(&[&words[..], &["--sealing-key-file", &key], more].concat(), secret);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    run.stdout
}

fn refund(id: &str, charge: &str, amount: i64, status: &str, metadata: Value) -> Value {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    json!({
        "id": id, "object": "refund", "amount": amount, "currency": "usd", "charge": charge,
        "payment_intent": null, "status": status, "created": since.as_secs(), "metadata": metadata,
    })
}

/// One request and its answer; the connection is closed behind it.
fn answer(stream: TcpStream, books: &Mutex<Books>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut target = String::new();
    reader.read_line(&mut target)?;
    let (mut length, mut key) = (0, String::new());
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? <= 2 {
            break;
        }
        if let Some((name, value)) = line.split_once(':') {
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse().unwrap_or(0),
                "idempotency-key" => value.trim().clone_into(&mut key),
                _ => {}
            }
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let mut books = books.lock().expect("nothing panics while it holds the books");
    let (status, told) = match target.split(' ').nth(1).unwrap_or_default() {
        path if target.starts_with("POST") && path == "/v1/refunds" => {
            (200, make(&mut books, &body, key))
        }
        path => show(&books, path),
    };
    let told = told.to_string();
    let length = told.len();
    let head = format!("HTTP/1.1 {status} OK\r\nconnection: close\r\ncontent-length: {length}");
    reader.into_inner().write_all(format!("{head}\r\n\r\n{told}").as_bytes())
}

fn make(books: &mut Books, body: &[u8], key: String) -> Value {
    if let Some(at) = books.by_key.get(&key) {
        return books.refunds[*at].clone();
    }
    let text = String::from_utf8_lossy(body).replace("%5B", "[").replace("%5D", "]");
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    let form: Form = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let amount: i64 = form.get("amount").and_then(|text| text.parse().ok()).unwrap_or_default();
    let marks = form.iter().filter_map(|(name, value)| {
        let name = name.strip_prefix("metadata[")?.strip_suffix(']')?;
        Some((name.to_owned(), json!(value)))
    });
    let metadata = Value::Object(marks.collect());
    let charge = form.get("charge").map_or("", String::as_str);
    let id = format!("re_replayed_{}", books.refunds.len());
    let made = refund(&id, charge, amount, "succeeded", metadata);
    books.by_key.insert(key, books.refunds.len());
    books.refunds.push(made.clone());
    books.last = form;
    made
}

/// A refund by its id, or all of them, of one charge where one is named; newest first.
fn show(books: &Books, path: &str) -> (u16, Value) {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    if let Some(id) = path.strip_prefix("/v1/refunds/") {
        return match books.refunds.iter().find(|refund| refund["id"] == id) {
            Some(refund) => (200, refund.clone()),
            None => (404, json!({"error": {"type": "invalid_request_error"}})),
        };
    }
    let named = |name: &str| query.split('&').find_map(|part| part.strip_prefix(name));
    let time = |name: &str| named(name).and_then(|text| text.parse::<i64>().ok());
    let charge = named("charge=");
    let since = time("created%5Bgte%5D=").unwrap_or(i64::MIN);
    let until = time("created%5Blte%5D=").unwrap_or(i64::MAX);
    let listed = books.refunds.iter().rev();
    let listed = listed.filter(|refund| {
        let made = refund["created"].as_i64().expect("a time");
        charge.is_none_or(|charge| refund["charge"] == charge) && (since..=until).contains(&made)
    });
    let data: Vec<Value> = listed.cloned().collect();
    (200, json!({"object": "list", "data": data, "has_more": false}))
}

/// Sends a webhook to the server.
pub(crate) fn deliver(server: &Server, path: &str, event: &Value) -> Response {
    server.send(&webhook(path, HOOK_SECRET, event))
}
