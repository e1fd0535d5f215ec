//! Two hundred merchants on one server, of whom one asks for a hundred times as much as each of the others: they
//! are served as if it were not there (F30). That a flood does not fill the lane's queue either is shown where
//! the queue is, in the engine.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Options, Request, Server};
use crate::torture::{median, p99, times};

const QUIET: usize = 199;
/// Each quiet merchant asks once in this time.
const EVERY: Duration = Duration::from_secs(1);
/// How often the loud one asks meanwhile.
const LOUD: usize = 100;
/// Threads that ask for the quiet ones, and as many for the loud one.
const CLIENTS: usize = 8;
/// How long it is loud, and then not.
const PHASE: Duration = Duration::from_secs(2);

/// Merchants with a payment each, as the refund of 1 that each asks for again and again.
fn merchants(server: &Server) -> Vec<Request> {
    let open = |number: usize| {
        let cli = server.cli();
        let key = cli.key(&cli.merchant(&format!("Shop {number}")), "native");
        let new = json!({"amount": 900_000_000, "currency": "USD",
            "captures": [{"amount": 900_000_000}]});
        let payment = server.register(&key, &new);
        key.refund(&payment).json(&json!({"amount": 1}))
    };
    thread::scope(|scope| {
        let parts: Vec<_> = (0..4)
            .map(|part| {
                scope.spawn(move || (part..=QUIET).step_by(4).map(open).collect::<Vec<_>>())
            })
            .collect();
        parts.into_iter().flat_map(|part| part.join().expect("no panic")).collect()
    })
}

/// Sends these in turn, one each `pace`, until `end`; how long each answer took. One that is late is sent at once.
fn paced(server: &Server, requests: &[&Request], pace: Duration, end: Instant) -> Vec<Duration> {
    let mut next = Instant::now();
    let mut took = Vec::new();
    for request in requests.iter().cycle() {
        if next >= end {
            break;
        }
        thread::sleep(next.saturating_duration_since(Instant::now()));
        next += pace;
        let began = Instant::now();
        assert_eq!(server.send(request).status, 201);
        took.push(began.elapsed());
    }
    took
}

/// How long each answer to a quiet merchant took, while the loud one asks or does not.
fn phase(server: &Server, quiet: &[Request], loud: Option<&Request>) -> Vec<Duration> {
    let end = Instant::now() + PHASE;
    thread::scope(|scope| {
        if let Some(loud) = loud {
            let pace = Duration::from_secs(1) * u32::try_from(CLIENTS).expect("few")
                / u32::try_from(LOUD).expect("few");
            for _ in 0..CLIENTS {
                scope.spawn(move || paced(server, &[loud], pace, end));
            }
        }
        let asking: Vec<_> = quiet
            .chunks(QUIET.div_ceil(CLIENTS))
            .map(|own| {
                let pace = EVERY / u32::try_from(own.len()).expect("few");
                let own: Vec<&Request> = own.iter().collect();
                scope.spawn(move || paced(server, &own, pace, end))
            })
            .collect();
        asking.into_iter().flat_map(|took| took.join().expect("no panic")).collect()
    })
}

#[test]
fn a_merchant_with_a_hundred_times_the_load_slows_no_other() {
    let server = Server::start(Options::default());
    let mut quiet = merchants(&server);
    let loud = quiet.pop().expect("two hundred");
    phase(&server, &quiet, Some(&loud));
    let mut all = [Vec::new(), Vec::new()];
    let mut ratios = Vec::new();
    for _ in 0..times("REQUITE_LOUD_ROUNDS", 5) {
        let [without, with] = [None, Some(&loud)].map(|loud| phase(&server, &quiet, loud));
        ratios.push(p99(&with).as_micros() * 100 / p99(&without).as_micros());
        all[0].extend(without);
        all[1].extend(with);
    }
    let answers = all[0].len() + all[1].len();
    let [without, with] = all.map(|times| p99(&times));
    println!(
        "{answers} refunds of {QUIET} merchants, p99 {without:.2?}, and {with:.2?} beside one with a hundred \
         times the load; in hundredths, by phase: {ratios:?}"
    );
    assert!(median(&ratios) <= 200, "{ratios:?}");
}
