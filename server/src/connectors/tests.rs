//! F22: a credential that is replaced in mid-flight, a thousand times over, at a PSP on a real socket.

use std::io::Write;
use std::path::Path;

use requite_core::id::{PaymentId, RefundId, uuid_text};
use requite_engine::command::RefundRef;
use requite_engine::psp::CallKind;
use requite_engine::read::{ConnectorView, MerchantView};
use requite_engine::registry::Registry;
use requite_engine::store::sqlite::{self, Open};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::crypto::entropy::SystemEntropy;
use crate::crypto::secret::Secret;

const SHOP: MerchantId = MerchantId::new(1);
const SEALING_KEY: &str = "cmVxdWl0ZSB0ZXN0cyBhbmQgbm90aGluZyBlbHNlIC4=";
const ROTATIONS: u32 = 1_000;

/// A PSP that one credential opens, and what it was asked for: key and status.
#[derive(Clone, Default)]
struct Till {
    opens: Arc<Mutex<String>>,
    asked: Arc<Mutex<Vec<(String, u16)>>>,
}

impl Till {
    /// Its address.
    async fn open(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let till = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(till.clone().serve(stream));
            }
        });
        format!("http://{address}")
    }

    async fn serve(self, mut stream: TcpStream) {
        let (mut text, mut block) = (String::new(), vec![0; 4_096]);
        while let Ok(n @ 1..) = stream.read(&mut block).await {
            text.push_str(&String::from_utf8_lossy(&block[..n]));
            let Some(answer) = self.answer(&text) else {
                continue;
            };
            text.clear();
            stream.write_all(answer.as_bytes()).await.expect("it listens");
        }
    }

    /// `None`: the request goes on.
    fn answer(&self, text: &str) -> Option<String> {
        let (head, body) = text.split_once("\r\n\r\n")?;
        let header = |name: &str| {
            let mut lines = head.lines().filter_map(|line| line.split_once(": "));
            let found = lines.find(|(given, _)| given.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.to_owned()).unwrap_or_default()
        };
        if body.len() < header("content-length").parse().expect("its length is told") {
            return None;
        }
        let is_open =
            header("authorization") == format!("Bearer {}", self.opens.lock().expect("a key"));
        let (key, status) = (header("idempotency-key"), if is_open { 200 } else { 401 });
        let id = key.trim_start_matches("requite-").to_owned();
        self.asked.lock().expect("a list").push((key, status));
        let body = match is_open {
            true => format!(
                r#"{{"id":"re_{id}","amount":1500,"currency":"usd","charge":"ch_1","status":"succeeded",
                    "payment_intent":null,"metadata":{{"requite_refund":"{id}"}}}}"#
            ),
            false => r#"{"error":{"type":"invalid_request_error","message":"Invalid API Key"}}"#
                .to_owned(),
        };
        let length = body.len();
        Some(format!("HTTP/1.1 {status} So\r\ncontent-length: {length}\r\n\r\n{body}"))
    }
}

/// What the log says.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("a log").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

struct StillClock;

impl Clock for StillClock {
    fn now_ms(&self) -> i64 {
        1_700_000_000_000
    }

    fn steady_ms(&self) -> i64 {
        self.now_ms()
    }
}

fn sealing_key() -> SealingKey {
    SealingKey::read(SEALING_KEY).expect("32 bytes")
}

fn sealed(view: &ConnectorView, secret: &str) -> Vec<u8> {
    let credential =
        account::Credential { key: secret.to_owned(), merchant_account: None, hooks: Vec::new() };
    let text = Secret::new(serde_json::to_string(&credential).expect("texts are JSON"));
    sealing_key().seal(&text, &account::bound_to(view), &SystemEntropy::new())
}

/// A merchant with an account at `base_url`.
fn account_at(path: &Path, base_url: String) -> (impl Registry + use<>, ConnectorView) {
    let registry = sqlite::registry(path, Open::OrCreate).expect("a new store");
    let merchant = MerchantView {
        id: SHOP,
        slug: "shop".to_owned(),
        name: "Shop".to_owned(),
        profile: "{}".to_owned(),
        created_at_ms: 0,
    };
    registry.create_merchant(&merchant, &[]).expect("the first one");
    let mut view = ConnectorView {
        id: 7,
        merchant: SHOP,
        name: "till".to_owned(),
        kind: "stripe".to_owned(),
        mode: "test".to_owned(),
        base_url: Some(base_url),
        sends_reason: true,
        sealed: Vec::new(),
        created_at_ms: 0,
        sealed_at_ms: 0,
    };
    view.sealed = sealed(&view, "sk_test_0");
    registry.create_connector(&view).expect("the first one");
    (registry, view)
}

fn instruction(number: u32, attempt: u32) -> Instruction {
    Instruction {
        refund: RefundRef {
            merchant: SHOP,
            payment: PaymentId::new(2),
            refund: RefundId::new(u128::from(number)),
        },
        attempt,
        connector: "till".to_owned(),
        prepared_at_ms: StillClock.now_ms(),
        ..sample::instruction(CallKind::Send)
    }
}

async fn call(psp: &ServerPsp, instruction: Instruction) -> Outcome {
    let (tell, told) = tokio::sync::oneshot::channel();
    psp.call(instruction, Box::new(move |outcome| tell.send(outcome).expect("the test waits")));
    told.await.expect("every call is answered")
}

/// The PSP takes a new credential, and refunds under way are refused with the old one, one to four times,
/// until it is replaced here: no refusal is a decline, each refund is paid at its next call, under the key
/// it had, and where three calls in a row were refused people are told, once.
#[tokio::test]
async fn a_thousand_rotations_in_mid_flight_decline_nothing() {
    let log = Log::default();
    let tap = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || tap.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let till = Till::default();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("requite.db");
    let (registry, view) = account_at(&path, till.open().await);
    let reads = Arc::new(sqlite::reads(&path).expect("our own file"));
    let deadline = Duration::from_secs(30);
    let runtime = Handle::current();
    let psp = ServerPsp::new(runtime, deadline, Arc::new(StillClock), reads, Some(sealing_key()));
    let psp = psp.expect("the machine has certificates");
    let (mut told, mut refused) = (0, 0);
    for rotation in 1..=ROTATIONS {
        let secret = format!("sk_test_{rotation}");
        till.opens.lock().expect("a key").clone_from(&secret);
        let refusals = 1 + rotation % 4;
        for attempt in 1..=refusals {
            match call(&psp, instruction(rotation, attempt)).await {
                Outcome::NotSent { .. } => refused += 1,
                other => panic!("rotation {rotation}, call {attempt}: {other:?}"),
            }
        }
        told += usize::from(refusals >= 3);
        let sealed = sealed(&view, &secret);
        let is_there = registry.reseal_connector(SHOP, view.id, &sealed, i64::from(rotation));
        assert!(is_there.expect("writable"), "the account is there");
        let id = uuid_text(u128::from(rotation));
        let paid = Outcome::Succeeded { psp_refund: Some(format!("re_{id}")) };
        assert_eq!(call(&psp, instruction(rotation, refusals + 1)).await, paid);
        let asked = std::mem::take(&mut *till.asked.lock().expect("a list"));
        let key = format!("requite-{id}");
        assert!(asked.iter().all(|(asked, _)| *asked == key), "one key: {asked:?}");
        assert_eq!(asked.iter().filter(|(_, status)| *status == 200).count(), 1, "{asked:?}");
    }
    assert_eq!(refused, 2_500);
    let log = String::from_utf8_lossy(&log.0.lock().expect("a log")).into_owned();
    assert_eq!(log.matches("the PSP refuses the account's credential").count(), told);
    assert!(!log.contains("sk_test_"), "no secret in the log");
}
