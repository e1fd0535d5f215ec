//! A stand-in for Stripe that approves every refund and remembers what it was sent last. For scenarios
//! that are about what reaches the PSP.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::json;

use super::shop::{Owner, Shop};

/// Thirty-two bytes that seal nothing of value.
pub(super) const SEALING_KEY: &str = "cmVxdWl0ZSB0ZXN0cyBhbmQgbm90aGluZyBlbHNlIC4=";
/// The name of the account, and what the PSP calls the payment.
pub(super) const ACCOUNT: &str = "stripe";
pub(super) const CHARGE: &str = "ch_replayed";

type Form = BTreeMap<String, String>;

/// It goes on until the process ends.
pub(super) struct Stripe {
    address: SocketAddr,
    last: Arc<Mutex<Form>>,
}

impl Stripe {
    pub(super) fn start() -> Stripe {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let last = Arc::default();
        let heard = Arc::clone(&last);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                drop(answer(stream, &heard));
            }
        });
        Stripe { address, last }
    }

    /// Gives the merchant an account here.
    pub(super) fn open_account(&self, shop: &Shop, owner: &Owner) {
        let key = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(key.path(), SEALING_KEY).expect("writable");
        let (key, url) = (key.path().display().to_string(), format!("http://{}", self.address));
        let words = ["connector", "add", "--merchant", &owner.merchant.id, "--kind", "stripe"];
        let more = ["--name", ACCOUNT, "--base-url", &url, "--sealing-key-file", &key];
        let run = shop.server.cli().run(&[&words[..], &more].concat(), "sk_test_replayed");
        assert_eq!(run.code, Some(0), "{}", run.stderr);
    }

    /// A member of the form of the newest refund.
    pub(super) fn last(&self, name: &str) -> Option<String> {
        self.last.lock().expect("nothing panics while it holds the form").get(name).cloned()
    }
}

/// One request and its answer; the connection is closed behind it.
fn answer(stream: TcpStream, last: &Mutex<Form>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? <= 2 {
            break;
        }
        let line = line.to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let text = String::from_utf8_lossy(&body).replace("%5B", "[").replace("%5D", "]");
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    let form: Form = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let amount: i64 = form.get("amount").and_then(|text| text.parse().ok()).unwrap_or_default();
    let refund = json!({
        "id": "re_replayed", "object": "refund", "amount": amount, "currency": "usd",
        "charge": CHARGE, "status": "succeeded", "metadata": {},
    })
    .to_string();
    *last.lock().expect("nothing panics while it holds the form") = form;
    let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}", refund.len());
    reader.into_inner().write_all(format!("{head}\r\n\r\n{refund}").as_bytes())
}
