//! Many clients, one payment; and a process that dies again and again.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::support::{FACES, Face, Options, Request, Server, Shop};

/// A payment of 5.00, a thousand refunds of 0.01 at once, through all five faces: exactly 500 are
/// made, 500 are refused in dialect, and the journal balances.
fn a_thousand_at_once(connector: &str) {
    let server = Server::start(Options::default());
    let shop = Shop::open(&server.cli(), "Shop");
    let new = json!({"amount": 500, "currency": "USD", "connector": connector,
        "captures": [{"amount": 200}, {"amount": 300}]});
    let payment = server.register(&shop.native, &new);
    let faces: Vec<Face> = FACES.into_iter().cycle().take(1_000).collect();
    let requests: Vec<Request> = faces.iter().map(|face| shop.refund(*face, &payment, 1)).collect();
    let started = Instant::now();
    let responses = server.send_at_once(&requests);
    println!("{connector}: 1,000 refunds at once took {:?}", started.elapsed());
    let mut accepted = 0;
    for (face, response) in faces.iter().zip(&responses) {
        let is_accepted = face.accepted(response);
        accepted += usize::from(is_accepted);
        assert!(
            is_accepted || face.refused(response),
            "{face:?} answered {}: {}",
            response.status,
            response.text()
        );
    }
    assert_eq!(accepted, 500);
    verify(&server);
    let refunds = refunds_of(&server, &shop, &payment);
    let given: i64 = refunds.iter().filter_map(|refund| refund["amount"].as_i64()).sum();
    assert_eq!((refunds.len(), given), (500, 500));
}

#[test]
fn a_thousand_refunds_at_once_where_nobody_is_called() {
    a_thousand_at_once("manual");
}

#[test]
fn a_thousand_refunds_at_once_through_a_psp() {
    a_thousand_at_once("sandbox");
}

/// Clients that hang up in the middle change nothing: the refund goes on and its key finds it.
#[test]
fn a_client_that_hangs_up_does_not_cancel_its_refund() {
    use std::io::Write as _;

    let server = Server::start(Options::default());
    let shop = Shop::open(&server.cli(), "Shop");
    let new = json!({"amount": 10_000, "currency": "USD", "connector": "sandbox",
        "captures": [{"amount": 10_000}]});
    let payment = server.register(&shop.native, &new);
    for (face, number) in FACES.into_iter().cycle().zip(0..50) {
        let key = format!("left-{number}");
        let request = shop.refund(face, &payment, 7).header("idempotency-key", &key);
        let mut stream = std::net::TcpStream::connect(server.addr).expect("it listens");
        stream.write_all(&request.wire(server.addr)).expect("sent whole");
        drop(stream);
        let again = answered(&server, &request);
        assert!(face.accepted(&again), "{face:?}: {} {}", again.status, again.text());
    }
    assert_eq!(refunds_of(&server, &shop, &payment).len(), 50, "one for each key");
    verify(&server);
}

/// Off by default: two equal partial refunds are two refunds. Switched on, a double click is one.
#[test]
fn the_guard_against_double_clicks_is_there_when_asked_for() {
    for (window, expected) in [("0", 10), ("60000", 5)] {
        let options = Options::default().env("REQUITE_DUPLICATE_GUARD_MS", window);
        let server = Server::start(options);
        let shop = Shop::open(&server.cli(), "Shop");
        let mut made = 0;
        for face in FACES {
            let new = json!({"amount": 10_000, "currency": "USD",
                "captures": [{"amount": 10_000}]});
            let payment = server.register(&shop.native, &new);
            for _click in 0..2 {
                let answer = server.send(&shop.refund(face, &payment, 500));
                assert!(face.accepted(&answer), "{face:?}: {}", answer.text());
            }
            made += refunds_of(&server, &shop, &payment).len();
        }
        assert_eq!(made, expected, "window {window}");
        verify(&server);
    }
}

/// The same request until it is answered for good: a copy in progress is asked again.
fn answered(server: &Server, request: &Request) -> crate::support::Response {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let response = server.send(request);
        let is_running = response.text().contains("still processing");
        let is_busy = is_running || response.status == 409 || response.status == 503;
        if !is_busy || Instant::now() > end {
            return response;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// How often the process is killed; `REQUITE_KILLS` asks for more.
pub(crate) fn kills(usual: usize) -> usize {
    let asked = std::env::var("REQUITE_KILLS").ok();
    asked.map_or(usual, |text| text.parse().expect("REQUITE_KILLS is a number"))
}

/// Clients under load, each with a key of its own for every refund, retried until it is answered.
pub(crate) struct Load<'a> {
    shop: &'a Shop,
    payments: Vec<Value>,
    is_over: AtomicBool,
    next: AtomicUsize,
    /// Key to the refund that was acknowledged for it.
    pub(crate) acknowledged: Mutex<BTreeMap<String, String>>,
}

impl<'a> Load<'a> {
    pub(crate) fn new(shop: &'a Shop, payments: Vec<Value>) -> Load<'a> {
        Load {
            shop,
            payments,
            is_over: AtomicBool::new(false),
            next: AtomicUsize::new(0),
            acknowledged: Mutex::new(BTreeMap::new()),
        }
    }

    /// Kills the server so often at random moments while sixteen clients ask it for refunds of 1.
    pub(crate) fn kill_under_load(&self, server: &mut Server, kills: usize) {
        let seed = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").subsec_nanos();
        println!("seed {seed} (only the moments of the kills depend on it)");
        let address = server.addr;
        thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| self.run(address));
            }
            let mut state = u64::from(seed) | 1;
            for _ in 0..kills {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                thread::sleep(Duration::from_millis(20 + (state >> 33) % 180));
                server.kill9();
                server.start_again();
            }
            self.is_over.store(true, Ordering::Release);
        });
    }

    fn run(&self, address: std::net::SocketAddr) {
        while !self.is_over.load(Ordering::Acquire) {
            let number = self.next.fetch_add(1, Ordering::AcqRel);
            let key = format!("key-{number}");
            let face = FACES[number % FACES.len()];
            let payment = &self.payments[number % self.payments.len()];
            let request = self.shop.refund(face, payment, 1).header("idempotency-key", &key);
            let refund = Load::until_acknowledged(face, &request, address);
            let before = self.acknowledged.lock().expect("no panic").insert(key, refund);
            assert_eq!(before, None, "each key is used once");
        }
    }

    /// Connection refused, reset and "try again" are retried under the same key, as a client must.
    fn until_acknowledged(face: Face, request: &Request, address: std::net::SocketAddr) -> String {
        let end = Instant::now() + Duration::from_secs(120);
        loop {
            assert!(Instant::now() < end, "{face:?} is never answered");
            match request.try_send(address) {
                Ok(response) if face.accepted(&response) => {
                    let id = response.header("requite-refund-id");
                    return id.expect("every answer to a refund names it").to_owned();
                }
                Ok(response) => {
                    let is_running = response.text().contains("still processing");
                    let is_busy = is_running || matches!(response.status, 409 | 429 | 500 | 503);
                    assert!(is_busy, "{face:?}: {} {}", response.status, response.text());
                }
                Err(_) => {}
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// kill -9 under load: no acknowledged refund is missing, none is doubled, nothing is stuck.
#[test]
fn killed_again_and_again_it_loses_and_doubles_nothing() {
    let options = Options::default().env("REQUITE_PSP_CALL_DEADLINE_MS", "300");
    let mut server = Server::start(options);
    let shop = Shop::open(&server.cli(), "Shop");
    let script = json!([
        "approve",
        "lost",
        "approve",
        "lost:never",
        "approve",
        "pending:approve",
        "http:500",
        "hang",
        "approve",
        "lost:never",
        "lost:never",
        "approve"
    ]);
    let payments: Vec<Value> = ["manual", "sandbox", "sandbox", "sandbox"]
        .into_iter()
        .map(|connector| {
            let mut new = json!({"amount": 1_000_000, "currency": "USD", "connector": connector,
                "captures": [{"amount": 1_000_000}]});
            if connector == "sandbox" {
                new["sandbox"] = script.clone();
            }
            server.register(&shop.native, &new)
        })
        .collect();
    let load = Load::new(&shop, payments);
    let kills = kills(50);
    load.kill_under_load(&mut server, kills);
    let acknowledged = load.acknowledged.into_inner().expect("no panic");
    println!("{} refunds acknowledged over {kills} kills", acknowledged.len());
    assert!(acknowledged.len() > kills, "there was load");
    settled(&server, &shop, &load.payments, &acknowledged);
    verify(&server);
}

/// Waits, bounded, until no refund is open; then every key has its one refund.
fn settled(
    server: &Server,
    shop: &Shop,
    payments: &[Value],
    acknowledged: &BTreeMap<String, String>,
) {
    let end = Instant::now() + Duration::from_secs(120);
    loop {
        let refunds: Vec<Value> =
            payments.iter().flat_map(|payment| refunds_of(server, shop, payment)).collect();
        let is_open = |refund: &&Value| !refund["next_action_at"].is_null();
        let open: Vec<&Value> = refunds.iter().filter(is_open).collect();
        if open.is_empty() {
            let made: Vec<&str> = refunds.iter().filter_map(|r| r["id"].as_str()).collect();
            for (key, refund) in acknowledged {
                assert!(made.contains(&refund.as_str()), "{key}: refund {refund} is missing");
            }
            assert_eq!(made.len(), acknowledged.len(), "one refund for each key");
            return;
        }
        assert!(Instant::now() < end, "{} stay open, the first: {}", open.len(), open[0]);
        thread::sleep(Duration::from_millis(200));
    }
}

fn refunds_of(server: &Server, shop: &Shop, payment: &Value) -> Vec<Value> {
    let id = payment["id"].as_str().expect("a payment has an id");
    let request = Request::get(&format!("/api/payments/{id}")).bearer(&shop.native.token);
    let response = server.send(&request);
    assert_eq!(response.status, 200, "{}", response.text());
    response.json()["refunds"].as_array().expect("a list").clone()
}

fn verify(server: &Server) {
    let run = server.cli().run(&["verify"], "");
    assert_eq!(run.code, Some(0), "{run:?}");
}
