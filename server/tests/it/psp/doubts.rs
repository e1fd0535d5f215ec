//! Refunds that depend on one whose outcome is unknown: it is asked after before they are judged.

use std::time::Duration;

use serde_json::{Value, json};

use super::rig::{Paid, Rig};
use crate::support::{FACES, Options};

/// In every face: a refund that the PSP failed, and whose answer was lost, stands in nobody's way, however
/// long its next look-up is off; one that the PSP paid does, and is known to be paid from then on.
#[test]
fn a_refund_is_judged_on_the_truth_about_the_unknown_one_before_it() {
    let rig = Rig::with_clock(&[]);
    let failed: Vec<Paid> = FACES.iter().map(|_| rig.pay(5_000)).collect();
    let acted = rig.pay(5_000);
    let lost = failed.iter().map(|paid| {
        json!({"on": "refund.create", "charge": paid.charge, "answer": "lost", "times": 1,
            "money": [{"is": "failed", "reason": "declined"}]})
    });
    let mut rules: Vec<Value> = lost.collect();
    rules
        .push(json!({"on": "refund.create", "charge": acted.charge, "answer": "lost", "times": 1}));
    rules.push(json!({"on": "refund.list", "answer": {"error": {"status": 400}}}));
    rig.psp.script(&json!(rules));
    let all: Vec<&Paid> = failed.iter().chain([&acted]).collect();
    let wishes: Vec<_> = all.iter().map(|paid| rig.refund_request(paid, 4_000)).collect();
    for some in wishes.chunks(3) {
        for answer in rig.server.send_at_once(some) {
            assert_eq!(answer.json()["status"], "unknown", "{}", answer.text());
        }
        // Calls to an account that has not answered for long enough are held back.
        let answered = rig.server.send(&rig.refund_request(&rig.pay(100), 100));
        assert_eq!(answered.json()["status"], "succeeded", "{}", answered.text());
    }
    // Looked up so often, in vain, that the next look-up is six hours off.
    let mut clock = Duration::ZERO;
    for (looks, wait) in (1..).zip([2, 3, 5, 9, 16, 31, 61, 301, 901, 3_601]) {
        clock += Duration::from_secs(wait);
        rig.set_clock(clock);
        rig.until(|| {
            let lists = all.iter().map(|paid| rig.psp.calls("refund.list", &paid.charge).len());
            match lists.min() {
                Some(fewest) if fewest >= looks => Ok(()),
                other => Err(format!("{other:?} look-ups of {looks}")),
            }
        });
    }
    let before_ms = now_ms(&rig);
    clock += Duration::from_secs(1_800);
    rig.set_clock(clock);
    // Servers that share a database look at its clock four times a second.
    rig.until(|| {
        let passed_ms = now_ms(&rig) - before_ms;
        if passed_ms >= 1_800_000 { Ok(()) } else { Err(format!("{passed_ms} ms passed for it")) }
    });
    rig.psp.calm();
    let looks = |paid: &Paid| rig.psp.calls("refund.list", &paid.charge).len();
    for (face, paid) in FACES.into_iter().zip(&failed) {
        let before = looks(paid);
        assert_eq!(rig.refunds(paid)[0]["status"], "unknown", "{face:?}");
        let answer = rig.server.send(&rig.shop.refund(face, &paid.payment, 3_000));
        assert!(face.accepted(&answer), "{face:?}: {} {}", answer.status, answer.text());
        assert_eq!(looks(paid), before + 1, "{face:?}: one look-up");
        let statuses: Vec<Value> =
            rig.refunds(paid).iter().map(|refund| refund["status"].clone()).collect();
        assert!(statuses.contains(&json!("declined")), "{face:?}: {statuses:?}");
        assert!(statuses.contains(&json!("succeeded")), "{face:?}: {statuses:?}");
    }
    let answer = rig.server.send(&rig.refund_request(&acted, 3_000));
    assert_eq!(answer.status / 100, 4, "{}", answer.text());
    assert_eq!(rig.refunds(&acted)[0]["status"], "succeeded", "known by the time it is refused");
    rig.agree();
}

/// The server's time, in milliseconds since 1970: that of a payment which is registered now.
fn now_ms(rig: &Rig) -> i64 {
    let payment = rig.pay(100).payment;
    let text = payment["created_at"].as_str().expect("a payment has a time");
    text.parse::<jiff::Timestamp>().expect("a time").as_millisecond()
}

/// A refund that waited for clarity is sent like any other: its call is as young as its decision.
#[test]
fn a_refund_that_waited_for_a_slow_look_up_is_sent_at_once() {
    let rig = Rig::open_late(Options::default().env("REQUITE_PSP_CALL_DEADLINE_MS", "8000"));
    let paid = rig.pay(5_000);
    let lost = json!({"error": {"status": 500}});
    rig.psp.script(&json!([
        {"on": "refund.create", "charge": paid.charge, "answer": lost, "acts": true, "times": 1,
            "money": [{"is": "failed", "reason": "declined"}]},
        {"on": "refund.list", "charge": paid.charge, "answer": {"slow": {"ms": 3_600}}},
    ]));
    assert_eq!(rig.refund(&paid, 4_000)["status"], "unknown");
    rig.until(|| match rig.psp.calls("refund.list", &paid.charge).len() {
        0 => Err("it is not looked up".to_owned()),
        _ => Ok(()),
    });
    // It waits for that look-up.
    assert_eq!(rig.refund(&paid, 3_000)["status"], "succeeded");
    rig.settled();
    rig.agree();
}
