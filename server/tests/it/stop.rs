//! A server that is told to end in the middle of its work (F3).

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Options, Server, Shop};
use crate::torture::{refunds_of, verify};

/// Stops in `./test`; `REQUITE_STOPS` asks for more.
const STOPS: usize = 12;

/// What became of requests that were sent until nobody listened any more, by the name of the refund.
#[derive(Default)]
struct Heard {
    accepted: Vec<(String, String)>,
    turned_away: usize,
    /// Connected and sent, and no answer came.
    cut: Vec<String>,
}

struct Clients<'a> {
    shop: &'a Shop,
    payments: &'a [Value],
    next: &'a AtomicUsize,
    heard: Mutex<Heard>,
}

impl Clients<'_> {
    /// Asks for refund after refund until the server is gone.
    fn run(&self, address: SocketAddr) {
        loop {
            let number = self.next.fetch_add(1, Ordering::AcqRel);
            let name = format!("refund-{number}");
            let payment = &self.payments[number % self.payments.len()];
            let body = json!({"amount": 1, "external_identifier": name});
            let request = self.shop.native.refund(payment).json(&body);
            let answer = request.try_send(address);
            let mut heard = self.heard.lock().expect("no panic");
            match answer {
                Ok(answer) if answer.status == 201 => {
                    let id = answer.json()["id"].as_str().expect("an id").to_owned();
                    heard.accepted.push((name, id));
                }
                Ok(answer) => {
                    assert_eq!(answer.status, 503, "{}", answer.text());
                    heard.turned_away += 1;
                }
                Err(problem) if problem.starts_with("connect") => return,
                Err(_) => heard.cut.push(name),
            }
        }
    }
}

/// F3: told to stop again and again under load, the server ends with code 0 each time. Every refund that it made
/// was answered, what was under way goes on after the next start, and no connection was cut on what was taken.
#[test]
fn stopped_again_and_again_under_load_it_answers_what_it_has_taken() {
    let asked = std::env::var("REQUITE_STOPS").ok();
    let stops: usize = asked.map_or(STOPS, |text| text.parse().expect("a number"));
    let mut server = Server::start(Options::default().env("REQUITE_PSP_CALL_DEADLINE_MS", "300"));
    let shop = Shop::open(&server.cli(), "Shop");
    let script = json!(["approve", "lost", "pending:approve", "hang", "approve", "lost:never"]);
    let payments: Vec<Value> = ["manual", "sandbox", "sandbox"]
        .map(|connector| {
            let mut new = json!({"amount": 1_000_000, "currency": "USD", "connector": connector,
                "captures": [{"amount": 1_000_000}]});
            if connector == "sandbox" {
                new["sandbox"] = script.clone();
            }
            server.register(&shop.native, &new)
        })
        .to_vec();
    let next = AtomicUsize::new(0);
    let (mut accepted, mut cut, mut turned_away) = (Vec::new(), Vec::new(), 0);
    for stop in 0..stops {
        let clients =
            Clients { shop: &shop, payments: &payments, next: &next, heard: Mutex::default() };
        let address = server.addr;
        thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| clients.run(address));
            }
            thread::sleep(Duration::from_millis(150 + 37 * (stop as u64 % 7)));
            assert_eq!(server.sigterm().code(), Some(0), "{}", server.log());
        });
        let heard = clients.heard.into_inner().expect("no panic");
        accepted.extend(heard.accepted);
        cut.extend(heard.cut);
        turned_away += heard.turned_away;
        server.start_again();
    }
    println!(
        "{} refunds over {stops} stops, {turned_away} turned away, {} connections cut",
        accepted.len(),
        cut.len()
    );
    assert!(accepted.len() > stops * 16, "there was load");
    let made = settled(&server, &shop, &payments);
    let named = |name: &str| made.iter().filter(|it| it["external_identifier"] == name).count();
    for (name, id) in &accepted {
        assert_eq!(named(name), 1, "{name} was answered as {id}");
    }
    for name in &cut {
        assert_eq!(named(name), 0, "{name} was taken, and its connection cut");
    }
    assert_eq!(made.len(), accepted.len(), "what was made was answered");
    verify(&server);
}

/// Every refund, once none is open.
fn settled(server: &Server, shop: &Shop, payments: &[Value]) -> Vec<Value> {
    let end = std::time::Instant::now() + Duration::from_secs(120);
    loop {
        let made: Vec<Value> =
            payments.iter().flat_map(|payment| refunds_of(server, shop, payment)).collect();
        let open = made.iter().find(|refund| !refund["next_action_at"].is_null());
        let Some(open) = open else { return made };
        assert!(std::time::Instant::now() < end, "it stays open: {open}");
        thread::sleep(Duration::from_millis(200));
    }
}
