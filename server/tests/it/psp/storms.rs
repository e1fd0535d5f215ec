//! Many refunds and a PSP that is no help: without keys and guard (F18), and with every fault at once.

use serde_json::json;

use super::rig::{Paid, Rig};
use crate::support::{FACES, Request};

/// F18: limit and once are ours, whatever the PSP would pay.
#[test]
fn a_psp_without_keys_and_guard_pays_nothing_twice_and_nothing_too_much() {
    // A refund whose calls fail again and again waits for minutes.
    let rig = Rig::with_clock(&["--no-guard", "--no-keys"]);
    let paid: Vec<Paid> = (0..8).map(|_| rig.pay(1_000)).collect();
    rig.psp.control("POST", "/_psp/script", &json!({"seed": 18, "rules": [
        {"on": "refund.create", "per_mille": 250, "answer": "lost"},
        {"on": "refund.create", "per_mille": 150, "answer": "lost", "acts": false},
        {"on": "refund.create", "per_mille": 100, "answer": {"error": {"status": 500}}},
        {"on": "refund.create", "per_mille": 100, "answer": {"error": {"status": 503}}, "acts": false},
        {"on": "refund.list", "per_mille": 200, "answer": {"error": {"status": 500}}},
    ]}));
    // Fifteen wishes of 100 for each payment of 1,000, each sent twice, through every face.
    let faces = FACES.iter().cycle();
    let wishes: Vec<Request> = (0..15 * paid.len())
        .zip(faces)
        .map(|(number, face)| {
            let paid = &paid[number % paid.len()];
            let request = rig.shop.refund(*face, &paid.payment, 100);
            request.header("idempotency-key", &format!("wish {number}"))
        })
        .flat_map(|request| [request.clone(), request])
        .collect();
    rig.server.send_at_once(&wishes);
    rig.settled_by_and_by(1);
    rig.agree();
    let books = rig.psp.books();
    let charges = books["charges"].as_array().expect("a list");
    assert!(charges.iter().all(|charge| charge["refunded"] == 1_000), "{charges:?}");
}
