//! The server is killed again and again, and the PSP loses answers: R1 and R2 hold all the same.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use requite_engine::fault::Point;
use serde_json::{Value, json};

use super::rig::{Paid, Rig};
use crate::support::{Options, Receiver, Request, Server};
use crate::torture::{Load, times};

/// More of them, and what is killed often is looked up so rarely that nobody waits for it.
const KILLS: usize = 20;

#[test]
fn killed_under_load_with_lost_answers_both_books_agree() {
    let mut rig = Rig::with_clock(&[]);
    let paid: Vec<Paid> = (0..8).map(|_| rig.pay(1_000_000)).collect();
    rig.psp.control(
        "POST",
        "/_psp/script",
        &json!({"seed": 5, "rules": [
            {"on": "refund.create", "per_mille": 150, "answer": "lost"},
            {"on": "refund.create", "per_mille": 80, "answer": "lost", "acts": false},
            {"on": "refund.create", "per_mille": 50, "answer": "reset"},
            {"on": "refund.create", "per_mille": 50, "answer": {"error": {"status": 500}}},
            {"on": "refund.create", "per_mille": 50, "answer": "hang"},
            {"on": "refund.create", "per_mille": 50, "answer": {"error": {"status": 429}}},
            {"on": "refund.create", "per_mille": 100,
                "money": [{"is": "pending"}, {"is": "succeeded", "after_ms": 400}]},
            {"on": "refund.list", "per_mille": 100, "answer": "lost"},
        ]}),
    );
    let payments: Vec<Value> = paid.iter().map(|paid| paid.payment.clone()).collect();
    let Rig { server, shop, .. } = &mut rig;
    let load = Load::new(shop, payments);
    load.kill_under_load(server, KILLS);
    let acknowledged = load.acknowledged.into_inner().expect("no panic");
    println!("{} refunds acknowledged over {KILLS} kills", acknowledged.len());
    assert!(acknowledged.len() > KILLS, "there was load");
    both_agree(&rig, &paid, &acknowledged);
}

/// When all is calm again, each acknowledged refund was paid, and nothing else.
pub(super) fn both_agree(rig: &Rig, paid: &[Paid], acknowledged: &BTreeMap<String, String>) {
    rig.psp.calm();
    // Back-off is in hours by now for what was killed often.
    rig.settled_by_and_by(1);
    let made: Vec<Value> = paid.iter().flat_map(|paid| rig.refunds(paid)).collect();
    for (key, refund) in acknowledged {
        let found = made.iter().find(|made| made["id"] == refund.as_str());
        let status = found.map(|found| &found["status"]);
        assert_eq!(status, Some(&json!("succeeded")), "{key}: refund {refund}");
    }
    assert_eq!(made.len(), acknowledged.len(), "one refund for each key");
    rig.agree();
}

/// The longest that a server may take to die at its point, or to make a refund after its start.
const PATIENCE: Duration = Duration::from_secs(60);

/// The process dies at every named point between the client, the PSP, its webhooks and its list, and the
/// merchant's receiver; and recovering, and sweeping. `REQUITE_FAULT_ROUNDS` asks for three times as many rounds.
/// Each has a server of its own: what was killed often is looked up so rarely that nobody waits for it.
#[test]
fn killed_under_load_at_every_named_point_both_books_agree() {
    for _ in 0..times("REQUITE_FAULT_ROUNDS", 1).div_ceil(3) {
        killed_once_at_every_point();
    }
}

/// So many payments, with everything around them: the PSP's webhooks, its lists that are read, and somebody who is told.
pub(super) fn whole_rig(payments: usize) -> (Rig, Vec<Paid>, Receiver) {
    let options = Options::default()
        .env("REQUITE_WEBHOOKS_ADDRESSES", "any")
        .env("REQUITE_PSP_SWEEP_MS", "300")
        .env("REQUITE_PSP_CALL_DEADLINE_MS", "400");
    let rig = Rig::with_clock_and(&[], options);
    let paid: Vec<Paid> = (0..payments).map(|_| rig.pay(1_000_000)).collect();
    rig.hook();
    let receiver = Receiver::content();
    let endpoint = Request::post("/api/webhook-endpoints").bearer(&rig.shop.native.token);
    let made = rig.server.send(&endpoint.json(&json!({"url": receiver.url})));
    assert_eq!(made.status, 201, "{}", made.text());
    (rig, paid, receiver)
}

fn killed_once_at_every_point() {
    let (mut rig, paid, receiver) = whole_rig(4);
    let rules = json!({"seed": 7, "rules": [
        {"on": "refund.create", "per_mille": 200, "answer": "hang"},
        {"on": "refund.create", "per_mille": 100, "answer": "lost"},
        {"on": "refund.create", "per_mille": 100, "answer": "lost", "acts": false},
        {"on": "refund.create", "per_mille": 100,
            "money": [{"is": "pending"}, {"is": "succeeded", "after_ms": 400}]},
    ]});
    rig.psp.control("POST", "/_psp/script", &rules);
    let payments: Vec<Value> = paid.iter().map(|paid| paid.payment.clone()).collect();
    // Migrations are done by the command line, in stores of their own.
    let elsewhere = [Point::Migration, Point::Migrated];
    let points = Point::LISTED.iter().filter(|(point, _)| !elsewhere.contains(point));
    let points: Vec<&str> = points.map(|(_, name)| *name).collect();
    let (mut missed, mut slowest) = (Vec::new(), Duration::ZERO);
    let Rig { server, shop, .. } = &mut rig;
    let load = Load::new(shop, payments);
    load.under(server.addr, 8, || {
        for (number, name) in points.iter().enumerate() {
            server.kill9();
            // Claims and recovery are rare; of the others it is another one each time.
            let is_rare = name.contains("found") || name.contains("claimed");
            let place = if is_rare { 1 } else { 1 + number % 5 };
            server.start_armed(&format!("{name}:{place}"));
            if !server.dies_within(PATIENCE) {
                missed.push(*name);
                server.kill9();
            }
            let since = Instant::now();
            server.start_again();
            slowest = slowest.max(since.elapsed());
            goes_on(&load, server);
        }
    });
    assert_eq!(missed, Vec::<&str>::new(), "armed and never passed: nothing was tested");
    let acknowledged = load.acknowledged.into_inner().expect("no panic");
    println!(
        "{} deaths at as many points, {} refunds acknowledged, ready after {slowest:?} at most",
        points.len(),
        acknowledged.len()
    );
    both_agree(&rig, &paid, &acknowledged);
    all_is_told(&rig, &paid, &receiver);
}

/// Refunds are made after the start, so there is always something under way when the next death comes.
pub(super) fn goes_on(load: &Load<'_>, server: &Server) {
    let made = || load.acknowledged.lock().expect("no panic").len();
    let (before, end) = (made(), Instant::now() + PATIENCE);
    while made() == before {
        assert!(Instant::now() < end, "no refund is made: {}", server.log());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The merchant has heard every event of each payment, and each for the first time in its order.
pub(super) fn all_is_told(rig: &Rig, paid: &[Paid], receiver: &Receiver) {
    for paid in paid {
        let last =
            rig.get(&format!("/api/payments/{}/events?limit=1&order=newest_first", paid.id()));
        let last = last["items"][0]["number"].as_u64().expect("its last event's number");
        rig.until(|| {
            let mut numbers = Vec::new();
            for message in receiver.heard() {
                let data = &message.json()["data"];
                let payment = data["refund"]["payment"].as_str().or(data["payment"]["id"].as_str());
                let number = data["number"].as_u64().expect("a number");
                if payment == Some(paid.id()) && !numbers.contains(&number) {
                    numbers.push(number);
                }
            }
            assert!(numbers.is_sorted(), "out of order: {numbers:?}");
            match numbers.last() {
                Some(number) if *number == last => Ok(()),
                number => Err(format!("{number:?} of {last} events were told")),
            }
        });
    }
}
