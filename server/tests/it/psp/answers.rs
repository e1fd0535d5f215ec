//! What an answer proves, and what none does (F9 to F15, F18).

use serde_json::{Value, json};

use super::rig::{Paid, Psp, Rig};
use crate::support::{FACES, Face, Options};

/// A rule for one charge's refunds.
fn once(paid: &Paid, more: &Value) -> Value {
    let mut rule = json!({"on": "refund.create", "charge": paid.charge, "times": 1});
    for (name, value) in more.as_object().expect("members") {
        rule[name] = value.clone();
    }
    rule
}

/// F9. Every face answers its in-between form, and the look-up proves.
#[test]
fn an_answer_that_is_lost_is_looked_up_and_the_money_moves_once() {
    let rig = Rig::open(&[]);
    let paid: Vec<Paid> = FACES.iter().map(|_| rig.pay(5_000)).collect();
    let rules: Vec<Value> =
        paid.iter().map(|paid| once(paid, &json!({"answer": "lost"}))).collect();
    rig.psp.script(&json!(rules));
    for (face, paid) in FACES.into_iter().zip(&paid) {
        let request = rig.shop.refund(face, &paid.payment, 1_250).header("idempotency-key", "once");
        let answer = rig.server.send(&request);
        match face {
            Face::Loop => {
                assert_eq!((answer.status, answer.header("retry-after").is_some()), (503, true))
            }
            _ => assert!(face.accepted(&answer), "{face:?}: {} {}", answer.status, answer.text()),
        }
        let refunds = rig.refunds(paid);
        assert_eq!((refunds.len(), &refunds[0]["status"]), (1, &json!("unknown")), "{face:?}");
        let totals = rig.get(&format!("/api/payments/{}", paid.id()))["totals"].clone();
        assert_eq!(totals["reserved"], 1_250, "{face:?}: money that may have moved is held");
    }
    rig.settled();
    for (face, paid) in FACES.into_iter().zip(&paid) {
        let request = rig.shop.refund(face, &paid.payment, 1_250).header("idempotency-key", "once");
        let again = rig.server.send(&request);
        assert!(face.accepted(&again), "{face:?}: {} {}", again.status, again.text());
        assert_eq!(rig.refunds(paid)[0]["status"], "succeeded");
        assert_eq!(rig.sends(paid), (1, 1), "{face:?}");
    }
    rig.agree();
}

/// F13, F14, F15: whatever comes instead of an answer, the refund is unknown, the PSP is asked once, and the
/// look-up proves.
#[test]
fn what_is_no_proof_leaves_the_refund_unknown_until_a_look_up_proves() {
    let rig = Rig::open(&[]);
    let kinds = [
        json!("lost"),
        json!("reset"),
        json!("hang"),
        json!({"slow": {"ms": 1_500}}),
        json!({"drip": {"ms": 1_000}}),
        json!("html"),
        json!("cut_json"),
        json!("cut_body"),
        json!("huge"),
        json!("gzip_bomb"),
        json!({"wrong": "amount"}),
        json!({"wrong": "currency"}),
        json!({"wrong": "charge"}),
        json!({"wrong": "account"}),
        json!({"wrong": "type"}),
        json!({"error": {"status": 503}}),
    ];
    let paid: Vec<Paid> = kinds.iter().map(|_| rig.pay(5_000)).collect();
    let rules = kinds.iter().zip(&paid).map(|(kind, paid)| once(paid, &json!({ "answer": kind })));
    rig.psp.script(&json!(rules.collect::<Vec<_>>()));
    let requests: Vec<_> = paid.iter().map(|paid| rig.refund_request(paid, 700)).collect();
    for ((answer, kind), paid) in rig.server.send_at_once(&requests).iter().zip(&kinds).zip(&paid) {
        assert_eq!(answer.status, 201, "{kind}: {}", answer.text());
        assert_eq!(answer.json()["status"], "unknown", "{kind}: {}", answer.text());
        let theirs = rig.psp.books()["refunds"].to_string();
        assert!(theirs.contains(&paid.charge), "{kind}: the PSP acted");
    }
    rig.settled();
    for (kind, paid) in kinds.iter().zip(&paid) {
        assert_eq!(rig.refunds(paid)[0]["status"], "succeeded", "{kind}");
        assert_eq!(rig.sends(paid), (1, 1), "{kind}");
    }
    rig.agree();
    let peak = rig.server.memory_peak_kib();
    assert!(peak < 256 * 1024, "{peak} KiB at most, with 100 MB sent at it");
}

/// F15: a lie in the look-up is no proof either, however often it is told.
#[test]
fn a_wrong_refund_is_never_believed_and_the_log_tells_it() {
    let rig = Rig::open(&[]);
    let lies = ["amount", "currency", "charge", "account", "type"];
    let paid: Vec<Paid> = lies.iter().map(|_| rig.pay(5_000)).collect();
    let rules = lies
        .iter()
        .zip(&paid)
        .map(|(lie, paid)| json!({"on": "*", "charge": paid.charge, "answer": {"wrong": lie}}));
    rig.psp.script(&json!(rules.collect::<Vec<_>>()));
    let refunds: Vec<Value> = paid.iter().map(|paid| rig.refund(paid, 900)).collect();
    for ((refund, lie), paid) in refunds.iter().zip(lies).zip(&paid) {
        assert_eq!(refund["status"], "unknown", "{lie}");
        rig.until(|| match rig.psp.calls("refund.list", &paid.charge).len() {
            0..2 => Err(format!("{lie}: it is not looked up")),
            _ => Ok(()),
        });
        assert_ne!(rig.refunds(paid)[0]["status"], "succeeded", "{lie}");
    }
    let alarms = rig.server.log().matches("another refund than was asked for").count();
    assert!(alarms >= 4, "{alarms} alarms");
    rig.psp.calm();
    rig.settled();
    for (lie, paid) in lies.iter().zip(&paid) {
        let (calls, keys) = rig.sends(paid);
        // Where all that is shown is somebody else's, ours is proven not to be there: sent again, one key.
        assert!(
            keys == 1 && (calls == 1 || *lie == "account"),
            "{lie}: {calls} calls, {keys} keys"
        );
    }
    rig.agree();
}

/// F10: the key would say 500 for a day. The look-up decides, not a retry.
#[test]
fn a_500_that_acted_is_looked_up_and_not_sent_again() {
    let rig = Rig::open(&[]);
    let paid = rig.pay(5_000);
    rig.psp.script(&json!([once(&paid, &json!({"answer": {"error": {"status": 500}}}))]));
    let refund = rig.refund(&paid, 4_000);
    assert_eq!(refund["status"], "unknown");
    rig.becomes(&refund, "succeeded");
    assert_eq!(rig.sends(&paid), (1, 1));
    rig.agree();
}

/// F11: nothing was done, which a look-up proves; then the same key is sent again.
#[test]
fn a_500_that_did_nothing_is_sent_again_with_the_same_key() {
    let rig = Rig::open(&[]);
    let rows = [json!({"error": {"status": 500}}), json!("lost"), json!("reset"), json!("hang")];
    let paid: Vec<Paid> = rows.iter().map(|_| rig.pay(5_000)).collect();
    let rules = rows
        .iter()
        .zip(&paid)
        .map(|(answer, paid)| once(paid, &json!({"answer": answer, "acts": false})));
    rig.psp.script(&json!(rules.collect::<Vec<_>>()));
    let requests: Vec<_> = paid.iter().map(|paid| rig.refund_request(paid, 4_000)).collect();
    for (answer, row) in rig.server.send_at_once(&requests).iter().zip(&rows) {
        assert_eq!(answer.json()["status"], "unknown", "{row}");
    }
    rig.settled();
    for (row, paid) in rows.iter().zip(&paid) {
        assert_eq!(rig.refunds(paid)[0]["status"], "succeeded", "{row}");
        assert_eq!(rig.sends(paid), (2, 1), "{row}: two calls, one key");
    }
    rig.agree();
}

/// F12: where nobody listens nothing was sent, so nothing is unknown; and the PSP's books come back with it.
#[test]
fn a_psp_that_is_gone_is_proven_not_to_have_been_asked() {
    let folder = tempfile::tempdir().expect("a directory for temporary files");
    let file = folder.path().join("books").display().to_string();
    let psp = Psp::start(&["--books", &file]);
    let mut rig = Rig::open_with(psp, Options::default());
    let paid = rig.pay(5_000);
    let address = rig.psp.addr.to_string();
    rig.psp.kill();
    let answer = rig.server.send(&rig.refund_request(&paid, 800)).json();
    assert_eq!(answer["status"], "ready", "{answer}");
    assert_eq!(answer["error"]["code"], "not_connected", "{answer}");
    rig.psp = Psp::start_at(&address, &["--books", &file]);
    rig.becomes(&answer, "succeeded");
    assert_eq!(rig.sends(&paid), (1, 1));
    rig.agree();
}

/// What the PSP says no to is told, and the money is free again.
#[test]
fn a_refusal_of_the_psp_frees_the_money() {
    let rig = Rig::open(&[]);
    let (disputed, short) = (rig.pay(5_000), rig.pay(5_000));
    rig.psp.control("POST", &format!("/_psp/disputes/{}", disputed.charge), &json!({}));
    let refund = rig.refund(&disputed, 100);
    assert_eq!(
        (&refund["status"], &refund["error"]["code"]),
        (&json!("declined"), &json!("charge_disputed"))
    );
    let form = format!("charge={}&amount=4500", short.charge);
    let theirs = rig.psp.form("/v1/refunds", &form);
    let refund = rig.refund(&short, 1_000);
    assert_eq!(
        (&refund["status"], &refund["error"]["code"]),
        (&json!("declined"), &json!("amount_too_large"))
    );
    let id = theirs["id"].as_str().expect("an id");
    rig.psp.control("POST", &format!("/_psp/refunds/{id}"), &json!({"is": "failed"}));
    assert_eq!(rig.refund(&short, 1_000)["status"], "succeeded");
    rig.agree();
}

/// A balance that is too small holds the refund at the PSP until there is money.
#[test]
fn a_refund_that_waits_for_the_balance_is_pending_and_then_paid() {
    let rig = Rig::open(&[]);
    let paid = rig.pay(5_000);
    let fund = |available: u64| {
        let body = json!({"currency": "usd", "available": available});
        rig.psp.control("POST", "/_psp/balance", &body);
    };
    fund(100);
    let refund = rig.refund(&paid, 3_000);
    assert_eq!(refund["status"], "pending");
    fund(3_000);
    rig.becomes(&refund, "succeeded");
    assert_eq!(rig.sends(&paid), (1, 1));
    rig.agree();
}
