//! Several servers on one PostgreSQL database (F6, F7). Nodes are killed and stand still under load; the PSP
//! honours no idempotency keys and guards no balance, so whatever is sent twice is paid twice.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use requite_cluster::Cluster;
use requite_engine::psp::over_after_ms;
use serde_json::{Value, json};

use super::rig::{Paid, Psp, Rig};
use crate::support::{Options, Request, Server};
use crate::torture::Load;

/// How long a call to the PSP may take.
const DEADLINE_MS: i64 = 400;
const NAIVE: [&str; 2] = ["--no-keys", "--no-guard"];

/// A rig and its further servers.
struct Nodes {
    rig: Rig,
    others: Vec<Server>,
}

impl Nodes {
    fn open(count: usize) -> Nodes {
        let options = || {
            let deadline = DEADLINE_MS.to_string();
            Options::default()
                .env("REQUITE_PSP_CALL_DEADLINE_MS", &deadline)
                .env("REQUITE_PSP_SWEEP_MS", "0")
        };
        let database = Some(Cluster::shared().database());
        let rig = Rig::open_whole(Psp::start(&NAIVE), Options { database, ..options() });
        let others = (1..count).map(|_| rig.another(options())).collect();
        Nodes { rig, others }
    }

    fn addresses(&self) -> Vec<SocketAddr> {
        let others = self.others.iter().map(|server| server.addr);
        std::iter::once(self.rig.server.addr).chain(others).collect()
    }

    fn ask(&self, sql: &str) -> Vec<Vec<String>> {
        requite_cluster::ask(&self.rig.server.database, sql)
    }

    /// What went wrong at the PSP is over; every refund comes to its end, and all books agree.
    fn end(&self, load: &BTreeMap<String, String>, paid: &[Paid]) {
        self.rig.psp.calm();
        self.rig.settled();
        let made: Vec<Value> = paid.iter().flat_map(|paid| self.rig.refunds(paid)).collect();
        for (key, refund) in load {
            let found = made.iter().find(|made| made["id"] == refund.as_str());
            let status = found.map(|found| &found["status"]);
            assert_eq!(status, Some(&json!("succeeded")), "{key}: refund {refund}");
        }
        assert_eq!(made.len(), load.len(), "one refund for each key");
        self.rig.agree();
        self.no_call_was_late(paid);
    }

    /// Every request for money reached the PSP while its call was not over: afterwards another node may have
    /// been told that there is none.
    fn no_call_was_late(&self, paid: &[Paid]) {
        let sql = "select encode(refund_id, 'hex'), prepared_at_ms from attempt where kind = 1";
        let rows = self.ask(sql);
        let prepared: Vec<(&str, i64)> =
            rows.iter().map(|row| (row[0].as_str(), row[1].parse().expect("a time"))).collect();
        let mut heard = 0;
        for call in paid.iter().flat_map(|paid| self.rig.psp.calls("refund.create", &paid.charge)) {
            let key = call["key"].as_str().expect("each has one").replace('-', "");
            let at_ms = call["at_ms"].as_i64().expect("a time");
            let is_own = |(refund, from_ms): &(&str, i64)| {
                let until_ms = from_ms + over_after_ms(DEADLINE_MS);
                key.ends_with(refund) && (*from_ms..until_ms).contains(&at_ms)
            };
            assert!(prepared.iter().any(is_own), "too late: {call}");
            heard += 1;
        }
        assert!(heard > 0, "the PSP was asked for money");
    }
}

fn charges(rig: &Rig) -> Vec<Paid> {
    rig.psp.control(
        "POST",
        "/_psp/script",
        &json!({"seed": 6, "rules": [
            {"on": "refund.create", "per_mille": 100, "answer": "lost"},
            {"on": "refund.create", "per_mille": 50, "answer": "lost", "acts": false},
            {"on": "refund.create", "per_mille": 50, "answer": "hang"},
            {"on": "refund.create", "per_mille": 50, "answer": {"error": {"status": 429}}},
            {"on": "refund.list", "per_mille": 50, "answer": "lost"},
        ]}),
    );
    (0..6).map(|_| rig.pay(1_000_000)).collect()
}

fn payments(paid: &[Paid]) -> Vec<Value> {
    paid.iter().map(|paid| paid.payment.clone()).collect()
}

/// F6: each of three nodes is killed again and again under load, and started again.
#[test]
fn f6_nodes_that_are_killed_under_load_lose_and_double_nothing() {
    let mut nodes = Nodes::open(3);
    let paid = charges(&nodes.rig);
    let addresses = nodes.addresses();
    let Nodes { rig: Rig { server, shop, .. }, others } = &mut nodes;
    let load = Load::new(shop, payments(&paid));
    let kills = 12;
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| load.run(&addresses));
        }
        for number in 0..kills {
            thread::sleep(Duration::from_millis(100 + number * 37 % 200));
            let killed = match number % 3 {
                0 => &mut *server,
                1 => &mut others[0],
                _ => &mut others[1],
            };
            killed.kill9();
            // The others carry on alone for a moment.
            thread::sleep(Duration::from_millis(100));
            killed.start_again();
        }
        load.end();
    });
    let acknowledged = load.acknowledged.into_inner().expect("no panic");
    println!("{} refunds acknowledged, {kills} nodes killed", acknowledged.len());
    assert!(acknowledged.len() > 40, "there was load");
    nodes.end(&acknowledged, &paid);
}

/// F6: a node dies with calls under way, and stays dead. Another one looks them up when they are over, which
/// the rows themselves say, and not before.
#[test]
fn f6_what_a_dead_node_had_under_way_is_taken_over_in_time() {
    let mut nodes = Nodes::open(2);
    let paid: Vec<Paid> = (0..8).map(|_| nodes.rig.pay(1_000_000)).collect();
    // Half of them are paid, and nobody is told.
    nodes.rig.psp.script(&json!([
        {"on": "refund.create", "times": 4, "answer": "hang"},
        {"on": "refund.create", "times": 4, "answer": "hang", "acts": false},
    ]));
    let address = nodes.others[0].addr;
    for paid in &paid {
        let request: Request = nodes.rig.refund_request(paid, 1_000);
        thread::spawn(move || drop(request.try_send(address)));
    }
    nodes.rig.until(|| {
        let calls = nodes.rig.psp.control("GET", "/_psp/calls", &Value::Null);
        let calls = calls["calls"].as_array().expect("a list").iter();
        match calls.filter(|call| call["operation"] == "refund.create").count() {
            8 => Ok(()),
            count => Err(format!("{count} calls are under way")),
        }
    });
    nodes.others[0].kill9();
    nodes.rig.settled();
    let sql = "select b.prepared_at_ms - a.prepared_at_ms from attempt a join attempt b
        on b.refund_id = a.refund_id and b.attempt = 2 where a.attempt = 1";
    let rows = nodes.ask(sql);
    let waits: Vec<i64> = rows.iter().map(|row| row[0].parse().expect("a time")).collect();
    println!("taken over after {waits:?} ms");
    assert_eq!(waits.len(), 8, "{waits:?}");
    let over_ms = over_after_ms(DEADLINE_MS);
    assert!(waits.iter().all(|wait| (over_ms..2 * over_ms).contains(wait)), "{waits:?}");
    for paid in &paid {
        let refunds = nodes.rig.refunds(paid);
        assert_eq!(refunds.len(), 1);
        assert_eq!(refunds[0]["status"], "succeeded", "{refunds:?}");
    }
    nodes.rig.agree();
    nodes.no_call_was_late(&paid);
}

/// F7: nodes stand still under load for longer than their calls may last, while one takes over what they had
/// under way; then they go on. None of them sends what it had prepared.
#[test]
fn f7_nodes_that_stood_still_under_load_send_nothing_late() {
    let nodes = Nodes::open(4);
    let paid = charges(&nodes.rig);
    let addresses = nodes.addresses();
    let load = Load::new(&nodes.rig.shop, payments(&paid));
    thread::scope(|scope| {
        // Each client has one node that it asks first; nobody waits for those that stand still only.
        for _ in 0..16 {
            scope.spawn(|| load.run(&addresses));
        }
        for round in 0..2 {
            thread::sleep(Duration::from_millis(400 + round * 211));
            for (server, wait) in nodes.others.iter().zip([0, 29, 67]) {
                thread::sleep(Duration::from_millis(wait));
                server.signal("STOP");
            }
            let beyond = u64::try_from(over_after_ms(DEADLINE_MS)).expect("some seconds") + 1_500;
            stand_still(Duration::from_millis(beyond));
            for server in &nodes.others {
                server.signal("CONT");
            }
        }
        thread::sleep(Duration::from_millis(400));
        load.end();
    });
    let acknowledged = load.acknowledged.into_inner().expect("no panic");
    println!("{} refunds acknowledged over 6 pauses", acknowledged.len());
    nodes.end(&acknowledged, &paid);
}

/// A pause that is itself what is tested.
fn stand_still(time: Duration) {
    let end = Instant::now() + time;
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        thread::sleep(left.min(Duration::from_millis(50)));
    }
}
