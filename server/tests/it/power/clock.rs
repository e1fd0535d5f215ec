//! The machine's clock is set while refunds are under way (F56).

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::psp::rig::{Paid, Rig};
use crate::support::Face;
use crate::torture::{Load, has_each_once};

/// What the wall clock is ahead of the true time, in seconds: a month on, two hours back, and steps between.
const STEPS: [&str; 12] = [
    "+0", "+2592000", "+0", "-7200", "+0", "+3600", "-3600", "+1", "-1", "+2592000", "-7200", "+0",
];
const TURN: Duration = Duration::from_millis(300);
const MONTH: Duration = Duration::from_secs(30 * 24 * 3_600);

/// F56: +30 days, -2 hours and steps, under load, with a PSP that loses answers. Each key has its one refund, the
/// books agree, nothing waits for the clock to come back, and a month later every key still finds its refund.
#[test]
fn while_the_clock_is_set_nothing_is_lost_doubled_or_forgotten() {
    let rig = Rig::with_clock(&[]);
    let paid: Vec<Paid> = (0..4).map(|_| rig.pay(1_000_000)).collect();
    rig.psp.control(
        "POST",
        "/_psp/script",
        &json!({"seed": 6, "rules": [
            {"on": "refund.create", "per_mille": 100, "answer": "lost"},
            {"on": "refund.create", "per_mille": 50, "answer": "lost", "acts": false},
            {"on": "refund.create", "per_mille": 50, "answer": {"error": {"status": 500}}},
        ]}),
    );
    let payments: Vec<Value> = paid.iter().map(|paid| paid.payment.clone()).collect();
    // Tokens of Gr4vy's face end with the hour.
    let faces = &[Face::MedusaV1, Face::MedusaV2, Face::Mpg, Face::Loop];
    let load = Load::new(&rig.shop, payments).through(faces);
    load.under(rig.server.addr, 8, || {
        for step in STEPS {
            rig.set_clock_to(step);
            thread::sleep(TURN);
        }
    });
    rig.psp.calm();
    // What a look-up is due for hours from now, and nothing later.
    rig.settled_by_and_by(1);
    let made: Vec<Value> = paid.iter().flat_map(|paid| rig.refunds(paid)).collect();
    let ids: BTreeSet<&str> = made.iter().filter_map(|refund| refund["id"].as_str()).collect();
    assert_eq!(ids.len(), made.len(), "ids are unique");
    rig.set_clock(MONTH);
    load.replay_all(rig.server.addr);
    let acknowledged = load.acknowledged.into_inner().expect("no panic");
    println!(
        "{} refunds acknowledged over {} settings of the clock",
        acknowledged.len(),
        STEPS.len()
    );
    assert!(acknowledged.len() > 50, "there was load");
    has_each_once(&made, &acknowledged);
    rig.agree();
    let log = rig.server.log();
    assert!(!log.contains("panicked") && !log.contains("=-"), "no negative duration: {log}");
}
