use requite_core::settle::Outcome;
use serde_json::{Value, json};

use super::*;
use crate::crypto::secret::Secret;

const SECRET: &str = "whsec_0123456789abcdef";
const NOW_S: i64 = 1_700_000_010;

fn signature(secret: &str, time: &str, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signed = [time.as_bytes(), b".", body].concat();
    HEXLOWER.encode(hmac::sign(&key, &signed).as_ref())
}

fn header(secret: &str, body: &[u8]) -> String {
    let time = (NOW_S - 10).to_string();
    format!("t={time},v1={}", signature(secret, &time, body))
}

fn is_heard(secrets: &[&str], header: &str, body: &[u8]) -> bool {
    let mut headers = hyper::HeaderMap::new();
    if let Ok(value) = hyper::header::HeaderValue::from_bytes(header.as_bytes()) {
        headers.insert(SIGNATURE, value);
    }
    let secrets: Vec<Secret> =
        secrets.iter().map(|secret| Secret::new((*secret).to_owned())).collect();
    hear(&Delivery {
        headers: &headers,
        body,
        secrets: &secrets,
        merchant_account: None,
        now_s: NOW_S,
    })
    .is_ok()
}

/// Stripe's own SDK said of these what is good and what is not.
#[test]
fn signatures_are_judged_as_the_official_sdk_judges_them() {
    let recorded = include_str!("../../../../tests/recordings/stripe/examples.jsonl");
    let lines = recorded.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let vectors: Vec<Value> = lines.filter(|line| line["kind"] == "signature-vector").collect();
    assert_eq!(vectors.len(), 14);
    for vector in vectors {
        let text = |name: &str| vector[name].as_str().expect("text");
        let number = |name: &str| vector[name].as_i64().expect("a number");
        let secrets = std::iter::once(text("secret").as_bytes());
        let (body, now_s) = (text("body").as_bytes(), number("now"));
        let is_good = is_signed(text("header"), body, secrets, now_s, number("tolerance_s"));
        assert_eq!(is_good, vector["accepted"] == true, "{}", text("name"));
    }
}

/// F34, by kinds.
#[test]
fn what_is_forged_is_refused() {
    let body = br#"{"id":"evt_1","type":"refund.updated"}"#;
    let good = header(SECRET, body);
    let (time, sign) = good.split_once(',').expect("two parts");
    let old = (NOW_S - 301).to_string();
    let zeros = "0".repeat(64);
    let many = format!("{time},{}{sign}", format!("v1={zeros},").repeat(SIGNATURES_MAX));
    assert!(is_heard(&[SECRET], &good, body));
    assert!(is_heard(&["whsec_new", SECRET], &good, body), "while the secret is rotated");
    for (why, secrets, header, body) in [
        ("another secret", &["whsec_other"][..], good.clone(), &body[..]),
        ("no secret", &[], good.clone(), body),
        ("an empty secret", &[""], header("", body), body),
        ("one byte more", &[SECRET], good.clone(), br#"{"id":"evt_1","type":"refund.updated"} "#),
        ("no time", &[SECRET], sign.to_owned(), body),
        ("no signature", &[SECRET], time.to_owned(), body),
        ("two times", &[SECRET], format!("t=1,{good}"), body),
        ("an old one", &[SECRET], format!("t={old},v1={}", signature(SECRET, &old, body)), body),
        ("a time below zero", &[SECRET], good.replace("t=", "t=-"), body),
        ("a time with a sign", &[SECRET], good.replace("t=", "t=+"), body),
        ("no number", &[SECRET], format!("t=,v1={}", signature(SECRET, "", body)), body),
        (
            "beyond any time",
            &[SECRET],
            {
                let time = "9".repeat(40);
                format!("t={time},v1={}", signature(SECRET, &time, body))
            },
            body,
        ),
        ("another scheme", &[SECRET], good.replace("v1=", "v0="), body),
        (
            "upper case",
            &[SECRET],
            format!("{time},{}", sign.to_uppercase().replace("V1", "v1")),
            body,
        ),
        ("cut", &[SECRET], good[..good.len() - 1].to_owned(), body),
        ("more signatures than are looked at", &[SECRET], many, body),
        ("nothing", &[SECRET], String::new(), body),
    ] {
        assert!(!is_heard(secrets, &header, body), "{why}");
    }
}

/// F34, in numbers: one change anywhere in what is signed or in the signature. `REQUITE_FORGERIES` asks for
/// more than ten thousand.
#[test]
fn of_ten_thousand_changed_deliveries_none_is_accepted() {
    let body = br#"{"id":"evt_1","type":"refund.updated","data":{"object":{"id":"re_1"}}}"#;
    let good = header(SECRET, body);
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut draw = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % u64::try_from(below).expect("small")).expect("small")
    };
    let asked = std::env::var("REQUITE_FORGERIES").ok();
    let forgeries = asked.map_or(10_000, |text| text.parse().expect("it is a number"));
    for _ in 0..forgeries {
        let (mut header, mut body) = (good.clone().into_bytes(), body.to_vec());
        let is_header = draw(2) == 0;
        let target = if is_header { &mut header } else { &mut body };
        let at = draw(target.len());
        match draw(3) {
            0 => target[at] ^= 1 << draw(7),
            1 => drop(target.remove(at)),
            _ => target.insert(at, b"0a9,=."[draw(6)]),
        }
        let header = String::from_utf8(header).expect("seven bits stay seven bits");
        let is_changed = header != good
            || body != br#"{"id":"evt_1","type":"refund.updated","data":{"object":{"id":"re_1"}}}"#;
        // A name that nobody reads, or nothing at all, may stand before or behind what is signed.
        let is_same = !is_changed || same_meaning(&header, &good);
        assert!(is_same || !is_heard(&[SECRET], &header, &body), "{header}");
    }
}

fn same_meaning(header: &str, good: &str) -> bool {
    let parts = |text: &str| -> Vec<String> {
        let known =
            text.split(',').filter(|part| part.starts_with("t=") || part.starts_with("v1="));
        known.map(str::to_owned).collect()
    };
    parts(header) == parts(good)
}

fn event(kind: &str, object: &Value) -> Message {
    let body = json!({"id": "evt_1", "object": "event", "type": kind, "data": {"object": object}});
    message(body.to_string().as_bytes())
}

#[test]
fn a_refund_event_tells_of_its_refund() {
    let refund = |members: Value| {
        let mut refund = json!({
            "id": "re_1", "object": "refund", "amount": 1500, "currency": "usd", "charge": "ch_1",
            "payment_intent": "pi_1", "status": "succeeded",
            "metadata": {MARK: "0191f5a7-44d3-7430-8739-000000000001"},
        });
        let changed = members.as_object().expect("members").clone();
        refund.as_object_mut().expect("members").extend(changed);
        refund
    };
    for kind in REFUND_EVENTS {
        let Said::Refund(notice) = event(kind, &refund(json!({}))).said else {
            panic!("{kind} tells of a refund");
        };
        assert_eq!(notice.outcome, Outcome::Succeeded { psp_refund: Some("re_1".to_owned()) });
        assert_eq!(notice.payments, ["ch_1", "pi_1"]);
        assert_eq!((notice.amount.units(), notice.currency.code()), (1500, "USD"));
        let bits = 0x0191_f5a7_44d3_7430_8739_0000_0000_0001;
        assert_eq!(notice.mark, Mark::Ours(requite_core::id::RefundId::new(bits)));
    }
    for (members, expected) in [
        (json!({"status": "failed", "failure_reason": "lost_or_stolen_card"}), "declined"),
        (json!({"status": "canceled"}), "voided"),
        (json!({"status": "pending"}), "pending"),
        (json!({"status": null}), "pending"),
        (json!({"status": "requires_action"}), "requires_action"),
        (json!({"metadata": {}}), "NotOurs"),
        (json!({"metadata": {MARK: "somebody's"}}), "NotOurs"),
        (json!({"amount": 1234, "currency": "isk"}), "unreadable"),
        (json!({"amount": 0}), "unreadable"),
        (json!({"amount": -5}), "unreadable"),
        (json!({"currency": "xxx"}), "unreadable"),
        (json!({"amount": "15"}), "unreadable"),
    ] {
        let told = match event("refund.updated", &refund(members.clone())).said {
            Said::Refund(notice) if expected == "NotOurs" => format!("{:?}", notice.mark),
            Said::Refund(notice) => notice.outcome.word().to_owned(),
            Said::Unreadable(_) => "unreadable".to_owned(),
            Said::Nothing => "nothing".to_owned(),
        };
        assert_eq!(told, expected, "{members}");
    }
}

#[test]
fn other_events_tell_nothing_and_what_is_none_is_kept_under_its_hash() {
    for kind in ["charge.refunded", "charge.dispute.created", "payment_intent.succeeded", "x"] {
        assert_eq!(event(kind, &json!({"id": "ch_1"})).said, Said::Nothing, "{kind}");
    }
    for body in ["", "[]", "{}", "{\"id\":1}", "{\"id\":\"\",\"type\":\"x\"}", "null", "\u{0}"] {
        let message = message(body.as_bytes());
        assert!(message.id.starts_with("sha256:"), "{body:?}");
        assert!(matches!(message.said, Said::Unreadable(_)), "{body:?}");
    }
}
