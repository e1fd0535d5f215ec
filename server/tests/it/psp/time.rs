//! What takes hours and days (F16, F17, F19): both clocks are moved.

use std::time::Duration;

use serde_json::json;

use super::rig::Rig;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// F17: the key has been forgotten. A repeat would pay again; the look-up knows.
#[test]
fn after_the_key_s_life_it_is_looked_up_before_it_is_sent_again() {
    let rig = Rig::with_clock(&[]);
    let (acted, idle) = (rig.pay(5_000), rig.pay(5_000));
    rig.psp.script(&json!([
        {"on": "refund.create", "charge": acted.charge, "answer": "lost", "times": 1},
        {"on": "refund.create", "charge": idle.charge, "answer": "lost", "acts": false, "times": 1},
        {"on": "refund.list", "answer": {"error": {"status": 503}}},
    ]));
    let refunds = [rig.refund(&acted, 3_000), rig.refund(&idle, 3_000)];
    rig.advance(DAY + HOUR, DAY + HOUR);
    rig.psp.calm();
    for refund in &refunds {
        rig.becomes(refund, "succeeded");
    }
    assert_eq!(rig.sends(&acted), (1, 1), "what was done is found");
    assert_eq!(
        rig.sends(&idle),
        (2, 1),
        "what was not is sent again, with the key it has for ever"
    );
    rig.agree();
}

/// F16: `Retry-After` is honoured, and a storm is not fed.
#[test]
fn a_storm_of_429_is_waited_out_with_ten_calls_in_an_hour_at_most() {
    let rig = Rig::with_clock(&[]);
    let paid = rig.pay(5_000);
    rig.psp.script(&json!([
        {"on": "*", "answer": {"error": {"status": 429, "retry_after_s": 120}}},
    ]));
    let refund = rig.refund(&paid, 3_000);
    assert_eq!(refund["status"], "ready", "429 proves that nothing was done: {refund}");
    // Before the time is over that the PSP asked for, it hears nothing.
    rig.advance(MINUTE, MINUTE);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(rig.calls(&paid), 1);
    for minute in 2..=60 {
        rig.advance(MINUTE * minute, MINUTE);
        std::thread::sleep(Duration::from_millis(300));
    }
    let calls = rig.calls(&paid);
    assert!((3..=10).contains(&calls), "{calls} calls in the first hour");
    rig.psp.calm();
    // The breaker lets a call through once its own pause is over.
    rig.settled_by_and_by(8);
    rig.becomes(&refund, "succeeded");
    assert_eq!(rig.sends(&paid).1, 1, "one key throughout");
    rig.agree();
}

/// F16: a PSP that fails every call, whichever way, hears of a refund ten times in the first hour.
#[test]
fn a_storm_of_503_is_not_fed_either() {
    let rig = Rig::with_clock(&[]);
    let paid = rig.pay(5_000);
    rig.psp.script(&json!([{"on": "*", "answer": {"error": {"status": 503}}, "acts": false}]));
    let refund = rig.refund(&paid, 3_000);
    assert_eq!(refund["status"], "unknown", "{refund}");
    for minute in 1..=60 {
        rig.advance(MINUTE * minute, MINUTE);
        std::thread::sleep(Duration::from_millis(300));
    }
    let calls = rig.calls(&paid);
    assert!((3..=10).contains(&calls), "{calls} calls in the first hour");
    rig.psp.calm();
    // The breaker lets a call through once its own pause is over.
    rig.settled_by_and_by(8);
    rig.becomes(&refund, "succeeded");
    rig.agree();
}

/// F19: ten days pending, then paid, or failed. One transition, one event.
#[test]
fn what_is_pending_for_ten_days_is_settled_once() {
    let rig = Rig::with_clock(&[]);
    let ends = ["succeeded", "failed"];
    let paid = ends.map(|_| rig.pay(5_000));
    let ten_days = u64::try_from((DAY * 10).as_millis()).expect("not that long");
    let rules = ends.iter().zip(&paid).map(|(end, paid)| {
        json!({"on": "refund.create", "charge": paid.charge,
            "money": [{"is": "pending"}, {"is": end, "after_ms": ten_days, "reason": "declined"}]})
    });
    rig.psp.script(&json!(rules.collect::<Vec<_>>()));
    let refunds: Vec<_> = paid.iter().map(|paid| rig.refund(paid, 3_000)).collect();
    for day in 1..=9 {
        rig.advance(DAY * day, DAY);
        for refund in &refunds {
            let path = format!("/api/refunds/{}", refund["id"].as_str().expect("an id"));
            let now = rig.get(&path);
            assert_eq!(now["status"], "pending", "{now}");
            assert!(!now["next_action_at"].is_null(), "I16: {now}");
        }
    }
    rig.advance(DAY * 11, DAY * 2);
    rig.becomes(&refunds[0], "succeeded");
    rig.becomes(&refunds[1], "declined");
    rig.agree();
    for (paid, end) in paid.iter().zip(["succeeded", "declined"]) {
        let events = rig.get(&format!("/api/payments/{}/events", paid.id()));
        let text = events.to_string();
        let ended = events["items"].as_array().expect("a list").iter();
        let ended = ended.filter(|event| event["status"] == end).count();
        assert_eq!(ended, 1, "{text}");
        assert_eq!(rig.sends(paid), (1, 1));
    }
}
