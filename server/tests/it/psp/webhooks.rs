//! What the PSP tells by itself: twice, first, in disorder, late or never (F19 to F21).

use std::time::Duration;

use serde_json::{Value, json};

use super::rig::{Paid, Rig};
use crate::support::Options;

/// However the webhooks come, and whether the answer does, the refund ends as it ended at the PSP, in one
/// transition.
#[test]
fn in_whichever_way_webhooks_come_the_refund_ends_as_at_the_psp() {
    let rig = Rig::open(&[]);
    rig.hook();
    let ways = [
        json!("once"),
        json!("twice"),
        json!("first"),
        json!("reversed"),
        json!({"late": {"ms": 1_500}}),
        json!("never"),
    ];
    let answers = [json!("plain"), json!("lost"), json!({"error": {"status": 500}})];
    let ends = ["succeeded", "failed"];
    let mut rows: Vec<(Paid, Value, &str)> = Vec::new();
    for way in &ways {
        for answer in &answers {
            for end in ends {
                let rule = json!({"on": "refund.create", "answer": answer, "webhook": way, "times": 1,
                    "money": [{"is": "pending"}, {"is": end, "after_ms": 300, "reason": "declined"}]});
                rows.push((rig.pay(5_000), rule, end));
            }
        }
    }
    let rules = rows.iter().map(|(paid, rule, _)| {
        let mut rule = rule.clone();
        rule["charge"] = json!(paid.charge);
        rule
    });
    rig.psp.script(&json!(rules.collect::<Vec<_>>()));
    let requests: Vec<_> = rows.iter().map(|(paid, ..)| rig.refund_request(paid, 1_100)).collect();
    for (answer, (_, rule, _)) in rig.server.send_at_once(&requests).iter().zip(&rows) {
        assert_eq!(answer.status, 201, "{rule}: {}", answer.text());
    }
    rig.settled();
    for (paid, rule, end) in &rows {
        let refunds = rig.refunds(paid);
        let status = if *end == "failed" { "declined" } else { end };
        assert_eq!((refunds.len(), refunds[0]["status"].as_str()), (1, Some(status)), "{rule}");
        assert_eq!(rig.sends(paid), (1, 1), "{rule}");
        let events = rig.get(&format!("/api/payments/{}/events", paid.id()));
        let ended = events["items"].as_array().expect("a list").iter();
        let ended = ended.filter(|event| event["status"] == status).count();
        assert_eq!(ended, 1, "{rule}: {events}");
    }
    rig.agree();
}

/// F20: the bank sends the money back after the refund had succeeded. Told twice and in disorder, it is
/// refundable once more.
#[test]
fn what_fails_after_it_succeeded_is_reversed_once() {
    let rig = Rig::open(&[]);
    rig.hook();
    let ways = ["once", "twice", "reversed"];
    let paid = ways.map(|_| rig.pay(5_000));
    let rules = ways.iter().zip(&paid).map(|(way, paid)| {
        json!({"on": "refund.create", "charge": paid.charge, "webhook": way, "times": 1, "money": [
            {"is": "succeeded"}, {"is": "failed", "after_ms": 500, "reason": "lost_or_stolen_card"}]})
    });
    rig.psp.script(&json!(rules.collect::<Vec<_>>()));
    for (way, paid) in ways.iter().zip(&paid) {
        let refund = rig.refund(paid, 4_000);
        assert_eq!(refund["status"], "succeeded", "{way}");
        let reversed = rig.becomes(&refund, "reversed");
        assert_eq!(reversed["error"]["code"], "lost_or_stolen_card", "{way}");
        let totals = rig.get(&format!("/api/payments/{}", paid.id()))["totals"].clone();
        assert_eq!(totals["refundable"], 5_000, "{way}");
        assert_eq!(
            rig.refund(paid, 5_000)["status"],
            "succeeded",
            "{way}: all of it can be given back"
        );
    }
    rig.agree();
}

/// F21: a refund made by somebody else counts here, and the next one is judged by what is left.
#[test]
fn a_refund_made_in_the_psp_s_dashboard_is_on_our_books() {
    let rig = Rig::open(&[]);
    rig.hook();
    let paid = rig.pay(5_000);
    rig.psp.form("/v1/refunds", &format!("charge={}&amount=3000", paid.charge));
    rig.until(|| match rig.refunds(&paid).first() {
        Some(refund) if refund["status"] == "succeeded" => Ok(()),
        other => Err(format!("it is not on our books: {other:?}")),
    });
    assert_eq!(rig.refunds(&paid)[0]["face"], "external");
    let calls = rig.sends(&paid).0;
    let refused = rig.server.send(&rig.refund_request(&paid, 2_001));
    assert!((400..500).contains(&refused.status), "{} {}", refused.status, refused.text());
    assert_eq!(rig.sends(&paid).0, calls, "the PSP is not asked for more than there is");
    assert_eq!(rig.refund(&paid, 2_000)["status"], "succeeded");
    rig.agree();
}

/// F21, F37: no webhook comes, and nothing is set but the clock: five minutes later it is on our books, and
/// the next refund is judged by what is left.
#[test]
fn without_webhooks_a_refund_made_in_the_dashboard_is_found_within_five_minutes() {
    let rig = Rig::with_clock_and(&[], Options::default());
    let paid = rig.pay(5_000);
    // The first reading is at the start: it is over when the account was listed once.
    let is_list = |call: &Value| {
        let path = call["path"].as_str().unwrap_or_default();
        call["method"] == "GET" && path.starts_with("/v1/refunds")
    };
    rig.until(|| {
        let calls = rig.psp.control("GET", "/_psp/calls", &json!(null));
        let calls = calls["calls"].as_array().expect("a list").clone();
        if calls.iter().any(is_list) { Ok(()) } else { Err("nothing was listed".to_owned()) }
    });
    rig.psp.form("/v1/refunds", &format!("charge={}&amount=3000", paid.charge));
    let five_minutes = Duration::from_secs(300);
    rig.advance(five_minutes, five_minutes);
    rig.until(|| match rig.refunds(&paid).first() {
        Some(refund) if refund["status"] == "succeeded" => Ok(()),
        other => Err(format!("it is not on our books: {other:?}")),
    });
    assert_eq!(rig.refunds(&paid)[0]["face"], "external");
    let refused = rig.server.send(&rig.refund_request(&paid, 2_001));
    assert!((400..500).contains(&refused.status), "{} {}", refused.status, refused.text());
    rig.agree();
}
