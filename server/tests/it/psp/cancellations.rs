//! Refunds that are cancelled at the PSP, through the real program: done, refused, lost, twice, too late.

use serde_json::{Value, json};

use super::rig::{Paid, Rig};
use crate::support::{Request, Response};

/// Refunds of these charges wait for the customer; and what becomes of the cancellation.
fn script(rig: &Rig, rows: &[(Paid, Value)]) {
    let rules = rows.iter().flat_map(|(paid, cancel)| {
        let waits = json!({"on": "refund.create", "charge": paid.charge, "times": 1,
            "money": [{"is": "requires_action"}]});
        let mut rule = json!({"on": "refund.cancel", "charge": paid.charge, "times": 1});
        for (name, value) in cancel.as_object().expect("members") {
            rule[name] = value.clone();
        }
        [waits, rule]
    });
    rig.psp.script(&json!(rules.collect::<Vec<_>>()));
}

fn waiting(rig: &Rig, paid: &Paid, cents: u64) -> Value {
    let refund = rig.refund(paid, cents);
    assert_eq!(refund["status"], "requires_action", "{refund}");
    refund
}

fn cancel_request(rig: &Rig, refund: &Value) -> Request {
    let path = format!("/api/refunds/{}/cancel", refund["id"].as_str().expect("an id"));
    Request::post(&path).bearer(&rig.shop.native.token)
}

fn cancel(rig: &Rig, refund: &Value) -> Response {
    rig.server.send(&cancel_request(rig, refund))
}

fn cancels(rig: &Rig, paid: &Paid) -> usize {
    rig.psp.calls("refund.cancel", &paid.charge).len()
}

#[test]
fn a_refund_that_waits_is_cancelled_at_the_psp_and_its_money_is_free() {
    let rig = Rig::open(&[]);
    let paid = rig.pay(5_000);
    script(&rig, &[(paid.clone(), json!({}))]);
    let refund = waiting(&rig, &paid, 4_000);
    assert_eq!(rig.server.send(&rig.refund_request(&paid, 4_000)).status, 409, "it is reserved");
    let keyed = cancel_request(&rig, &refund).header("idempotency-key", "c1");
    let first = rig.server.send(&keyed);
    assert_eq!(
        (first.status, &first.json()["status"]),
        (200, &json!("voided")),
        "{}",
        first.text()
    );
    assert_eq!(first.json()["error"]["code"], "canceled", "{}", first.text());
    let again = rig.server.send(&keyed);
    assert_eq!((again.status, again.text()), (200, first.text()));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(cancel(&rig, &refund).status, 200, "it is cancelled already");
    assert_eq!(cancels(&rig, &paid), 1, "the PSP was asked once");
    assert_eq!(rig.refund(&paid, 5_000)["status"], "succeeded", "all of it is free again");
    rig.agree();
}

/// F9 for cancellations: an answer that proves nothing cancels nothing and denies nothing. A look-up tells.
#[test]
fn a_cancellation_whose_answer_is_lost_is_looked_up() {
    let rig = Rig::open(&[]);
    let answers = [
        json!("lost"),
        json!("hang"),
        json!("html"),
        json!({"error": {"status": 500}}),
        json!({"wrong": "amount"}),
        json!({"wrong": "account"}),
    ];
    let rows: Vec<(Paid, Value)> = answers
        .iter()
        .flat_map(|answer| [true, false].map(|acts| json!({"answer": answer, "acts": acts})))
        // What was not carried out has no answer to be wrong.
        .filter(|rule| rule["acts"] == true || rule["answer"]["wrong"].is_null())
        .map(|rule| (rig.pay(5_000), rule))
        .collect();
    script(&rig, &rows);
    let refunds: Vec<Value> = rows.iter().map(|(paid, _)| waiting(&rig, paid, 4_000)).collect();
    let requests: Vec<_> = refunds.iter().map(|refund| cancel_request(&rig, refund)).collect();
    for (answer, (paid, rule)) in rig.server.send_at_once(&requests).iter().zip(&rows) {
        assert_eq!(answer.status, 202, "{rule}: {}", answer.text());
        assert_eq!(answer.json()["status"], "requires_action", "{rule}: {}", answer.text());
        assert_eq!(cancels(&rig, paid), 1, "{rule}");
    }
    for (refund, (paid, rule)) in refunds.iter().zip(&rows) {
        if rule["acts"] == true {
            rig.becomes(refund, "voided");
        } else {
            rig.until(|| match rig.psp.calls("refund.retrieve", &paid.charge).len() {
                0 => Err(format!("{rule}: it is not looked up")),
                _ => Ok(()),
            });
            assert_eq!(rig.refunds(paid)[0]["status"], "requires_action", "{rule}");
            // It is never made again by itself, and once more by whoever wants it.
            assert_eq!(cancels(&rig, paid), 1, "{rule}");
            rig.until(|| match cancel(&rig, refund).status {
                200 => Ok(()),
                // A look-up may be under way.
                status => Err(format!("{rule}: {status}")),
            });
        }
    }
    rig.settled();
    rig.agree();
}

/// The customer was faster, or the bank: the refusal is looked up, and what the PSP shows counts.
#[test]
fn a_cancellation_that_comes_too_late_is_told_what_became_of_the_refund() {
    let rig = Rig::open(&[]);
    for (is, status) in [
        ("succeeded", "succeeded"),
        ("failed", "declined"),
        ("pending", "pending"),
        ("canceled", "voided"),
    ] {
        let paid = rig.pay(5_000);
        script(&rig, &[(paid.clone(), json!({}))]);
        let refund = waiting(&rig, &paid, 4_000);
        let theirs = refund["psp_refund_id"].as_str().expect("the PSP named it");
        rig.psp.control("POST", &format!("/_psp/refunds/{theirs}"), &json!({ "is": is }));
        let answer = cancel(&rig, &refund);
        if is == "canceled" {
            assert_eq!(answer.status, 200, "{}", answer.text());
        } else {
            let error = &answer.json()["error"];
            assert_eq!((answer.status, &error["code"]), (409, &json!("not_cancelable")), "{error}");
            let message = error["message"].as_str().expect("a text");
            assert!(message.contains(status), "{message}");
        }
        assert_eq!(rig.refunds(&paid)[0]["status"], status);
        if is == "pending" {
            rig.psp.control(
                "POST",
                &format!("/_psp/refunds/{theirs}"),
                &json!({"is": "succeeded"}),
            );
        }
    }
    rig.settled();
    rig.agree();
}

/// What the PSP turned away was not done, and it did not get there at all where nobody listens.
#[test]
fn a_cancellation_that_was_turned_away_leaves_the_refund_as_it_was() {
    let rig = Rig::open(&[]);
    let rows: Vec<(Paid, Value)> = [401, 429]
        .map(|status| (rig.pay(5_000), json!({"answer": {"error": {"status": status}}})))
        .into();
    script(&rig, &rows);
    for (paid, rule) in &rows {
        let refund = waiting(&rig, paid, 4_000);
        let answer = cancel(&rig, &refund);
        assert_eq!(
            (answer.status, &answer.json()["status"]),
            (202, &json!("requires_action")),
            "{rule}"
        );
        rig.until(|| match cancel(&rig, &refund).status {
            200 => Ok(()),
            status => Err(format!("{rule}: {status}")),
        });
    }
    rig.agree();
}

#[test]
fn of_many_cancellations_at_once_the_psp_hears_one() {
    let rig = Rig::open(&[]);
    let paid = rig.pay(5_000);
    script(&rig, &[(paid.clone(), json!({"answer": {"slow": {"ms": 100}}}))]);
    let refund = waiting(&rig, &paid, 4_000);
    let requests: Vec<_> = (0..8).map(|_| cancel_request(&rig, &refund)).collect();
    let answers = rig.server.send_at_once(&requests);
    for answer in &answers {
        let is_under_way = answer.json()["error"]["code"] == "call_under_way";
        assert!(answer.status == 200 || is_under_way, "{} {}", answer.status, answer.text());
    }
    assert!(answers.iter().any(|answer| answer.status == 200));
    assert_eq!(cancels(&rig, &paid), 1);
    rig.settled();
    rig.agree();
}

/// Whoever wins at the PSP, both books say the same, and whoever asked was told so or that nobody knows.
#[test]
fn a_cancellation_that_races_with_the_customer_ends_as_at_the_psp() {
    let rig = Rig::open(&[]);
    let ends = ["succeeded", "pending", "failed"];
    let paid: Vec<(Paid, u64)> = (0..18).map(|row| (rig.pay(5_000), 40 * (row % 6))).collect();
    let rules = paid.iter().zip(ends.iter().cycle()).map(|((paid, after_ms), end)| {
        let rest = json!({"is": "succeeded", "after_ms": 300});
        json!({"on": "refund.create", "charge": paid.charge, "times": 1,
            "money": [{"is": "requires_action"}, {"is": end, "after_ms": 200 + after_ms}, rest]})
    });
    rig.psp.script(&json!(rules.collect::<Vec<_>>()));
    let requests: Vec<_> = paid.iter().map(|(paid, _)| rig.refund_request(paid, 4_000)).collect();
    let refunds: Vec<Value> =
        rig.server.send_at_once(&requests).iter().map(Response::json).collect();
    let cancels: Vec<_> = refunds.iter().map(|refund| cancel_request(&rig, refund)).collect();
    for answer in rig.server.send_at_once(&cancels) {
        assert!(matches!(answer.status, 200 | 202 | 409), "{} {}", answer.status, answer.text());
    }
    rig.settled();
    rig.agree();
}
