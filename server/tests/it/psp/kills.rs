//! The server is killed again and again, and the PSP loses answers: R1 and R2 hold all the same.

use serde_json::{Value, json};

use super::rig::{Paid, Rig};
use crate::torture::Load;

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
    rig.psp.calm();
    // Back-off is in hours by now for what was killed often.
    rig.settled_by_and_by(1);
    let made: Vec<Value> = paid.iter().flat_map(|paid| rig.refunds(paid)).collect();
    for (key, refund) in &acknowledged {
        let found = made.iter().find(|made| made["id"] == refund.as_str());
        let status = found.map(|found| &found["status"]);
        assert_eq!(status, Some(&json!("succeeded")), "{key}: refund {refund}");
    }
    assert_eq!(made.len(), acknowledged.len(), "one refund for each key");
    rig.agree();
}
