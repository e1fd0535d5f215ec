use requite_core::id::RefundId;
use serde_json::json;

use super::*;

/// The key and the signatures of the official libraries' own tests.
const KEY: &str = "DFB1EB5485895CFA84146406857104ABB4CBCABDC8AAF103A624C8F6A3EAAB00";
const ID: &str = "0191f5a7-44d3-7430-8739-2d80821416bf";

/// The notice that the official libraries sign in their tests.
fn vector() -> Value {
    json!({"pspReference": "pspReference", "originalReference": "originalReference",
        "merchantAccountCode": "merchantAccount", "merchantReference": "reference",
        "amount": {"currency": "EUR", "value": 1000}, "eventCode": "CAPTURE",
        "eventDate": "1970-01-01T00:00:00.000Z", "paymentMethod": "VISA", "reason": "reason",
        "success": "true",
        "additionalData": {"hmacSignature": "xhpHvYq2u2Np0rstbZ6QjLGu7JWhvf7Iwaa6EviJSX0="}})
}

fn whole(items: &[Value]) -> String {
    let items: Vec<Value> =
        items.iter().map(|item| json!({"NotificationRequestItem": item})).collect();
    json!({"live": "false", "notificationItems": items}).to_string()
}

fn heard(keys: &[&str], body: &str) -> Result<Vec<Message>, Forged> {
    let secrets: Vec<Secret> = keys.iter().map(|key| Secret::new((*key).to_owned())).collect();
    let headers = hyper::HeaderMap::new();
    let merchant_account = Some("ShopECOM");
    let body = body.as_bytes();
    hear(&Delivery { headers: &headers, body, secrets: &secrets, merchant_account, now_s: 0 })
}

/// Signs a notice as Adyen does; nothing of ours but the order of the members is used.
fn sign(mut item: Value) -> Value {
    let text = |name: &str| item[name].as_str().unwrap_or("").to_owned();
    let value = item["amount"]["value"].to_string();
    let currency = item["amount"]["currency"].as_str().expect("a text").to_owned();
    let members = [
        text("pspReference"),
        text("originalReference"),
        text("merchantAccountCode"),
        text("merchantReference"),
        value,
        currency,
        text("eventCode"),
        text("success"),
    ];
    let key = HEXLOWER_PERMISSIVE.decode(KEY.as_bytes()).expect("hexadecimal");
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    let signature = BASE64.encode(hmac::sign(&key, members.join(":").as_bytes()).as_ref());
    item["additionalData"]["hmacSignature"] = signature.into();
    item
}

fn refund(code: &str, success: &str) -> Value {
    json!({"pspReference": "KJ9B9W5R9ZCV7Z82", "originalReference": "WNS7WQ756L2GWR82",
        "merchantAccountCode": "ShopECOM", "merchantReference": format!("requite-{ID}"),
        "amount": {"currency": "EUR", "value": 1500}, "eventCode": code, "success": success,
        "eventDate": "2026-11-22T05:00:00+01:00", "paymentMethod": "mc", "reason": "why",
        "additionalData": {}})
}

fn told(item: Value) -> Message {
    let messages = heard(&[KEY], &whole(&[sign(item)])).expect("it is signed");
    messages.into_iter().next().expect("one")
}

#[test]
fn the_official_libraries_vector_is_good() {
    let body = whole(&[vector()]);
    assert!(heard(&[KEY], &body).is_ok());
    assert!(heard(&[&KEY.to_ascii_lowercase()], &body).is_ok());
    assert!(heard(&["00", &"0".repeat(64), KEY], &body).is_ok(), "while the key is rotated");
    assert_eq!(sign(vector()), vector());
}

/// Whatever of the signed members is changed, and whatever is wrong with the key or the signature.
#[test]
fn what_is_forged_is_refused() {
    let with = |name: &str, value: Value| {
        let mut item = vector();
        item[name] = value;
        whole(&[item])
    };
    let mut bodies: Vec<String> = [
        ("pspReference", json!("other")),
        ("originalReference", json!("other")),
        ("originalReference", Value::Null),
        ("merchantAccountCode", json!("other")),
        ("merchantReference", json!("other")),
        ("amount", json!({"currency": "EUR", "value": 1001})),
        ("amount", json!({"currency": "USD", "value": 1000})),
        ("amount", json!({"currency": "EUR", "value": 1000.0})),
        ("amount", Value::Null),
        ("eventCode", json!("REFUND")),
        ("success", json!("false")),
        ("success", json!("TRUE")),
        ("success", json!(false)),
        ("success", Value::Null),
        ("additionalData", json!({})),
        ("additionalData", json!({"hmacSignature": ""})),
        ("additionalData", json!({"hmacSignature": "notValidSign"})),
        ("additionalData", json!({"hmacSignature": "xhpHvYq2u2Np0rstbZ6QjLGu7JWhvf7Iwaa6EviJSX"})),
        (
            "additionalData",
            json!({"hmacSignature": "xhpHvYq2u2Np0rstbZ6QjLGu7JWhvf7Iwaa6EviJSX0= "}),
        ),
    ]
    .into_iter()
    .map(|(name, value)| with(name, value))
    .collect();
    bodies.extend([
        whole(&[]),
        whole(&[vector(), refund("REFUND", "true")]),
        whole(&vec![vector(); MESSAGES_MAX + 1]),
        String::new(),
        "null".to_owned(),
        "{}".to_owned(),
        whole(&[vector()]).replacen("\"success\"", "\"success\":\"false\",\"success\"", 1),
    ]);
    for body in bodies {
        assert_eq!(heard(&[KEY], &body), Err(Forged), "{body}");
    }
    for keys in [&[][..], &[""], &["zz"], &[&KEY[2..]], &[&"0".repeat(64)]] {
        assert_eq!(heard(keys, &whole(&[vector()])), Err(Forged), "{keys:?}");
    }
    assert!(heard(&[KEY], &with("success", json!(true))).is_ok(), "signed as a text");
    assert!(heard(&[KEY], &whole(&vec![vector(); MESSAGES_MAX])).is_ok());
}

#[test]
fn every_notice_of_a_refund_says_what_became_of_it() {
    let psp_refund = || Some("KJ9B9W5R9ZCV7Z82".to_owned());
    let declined =
        |code: &str| Outcome::Declined { psp_refund: psp_refund(), fault: fault(code, "why") };
    for (code, success, outcome) in [
        ("REFUND", "true", Outcome::Succeeded { psp_refund: psp_refund() }),
        ("REFUND", "false", declined("refund_refused")),
        ("REFUND_FAILED", "true", declined("refund_failed")),
        ("REFUND_FAILED", "false", declined("refund_failed")),
        ("REFUNDED_REVERSED", "true", declined("refunded_reversed")),
        ("REFUNDED_REVERSED", "false", declined("refunded_reversed")),
    ] {
        let message = told(refund(code, success));
        assert_eq!(message.id, format!("KJ9B9W5R9ZCV7Z82:{code}:{success}"));
        assert_eq!(message.word, code);
        let Said::Refund(notice) = message.said else {
            panic!("{code}: {:?}", message.said);
        };
        assert_eq!(notice.outcome, outcome, "{code} {success}");
        assert_eq!(notice.mark, Mark::Ours(marked(ID).expect("an id")));
        assert_eq!(notice.payments, ["WNS7WQ756L2GWR82"]);
        assert_eq!((notice.amount.units(), notice.currency.code()), (1_500, "EUR"));
        assert_eq!(notice.said_at_ms, Some(1_795_320_000_000));
    }
}

#[test]
fn other_notices_tell_nothing_of_a_refund() {
    for code in
        ["AUTHORISATION", "CAPTURE", "CAPTURE_FAILED", "CANCELLATION", "CHARGEBACK", "TOMORROW"]
    {
        assert_eq!(told(refund(code, "true")).said, Said::Nothing, "{code}");
    }
    let reversal = |success: &str, action: Value| {
        let mut item = refund("CANCEL_OR_REFUND", success);
        item["additionalData"]["modification.action"] = action;
        told(item).said
    };
    let mut others = refund("REFUND", "true");
    others["merchantAccountCode"] = json!("OtherECOM");
    assert_eq!(told(others).said, Said::Nothing, "of another account of the company");
    assert!(matches!(reversal("true", json!("refund")), Said::Refund(_)));
    assert_eq!(reversal("true", json!("cancel")), Said::Nothing);
    assert_eq!(reversal("false", json!("refund")), Said::Nothing);
    assert!(matches!(reversal("true", Value::Null), Said::Unreadable(_)));
}

#[test]
fn a_notice_that_does_not_say_what_it_is_about_is_kept_for_people() {
    let with = |name: &str, value: Value| {
        let mut item = refund("REFUND", "true");
        item[name] = value;
        told(item).said
    };
    let amount =
        |value: i64, currency: &str| with("amount", json!({"value": value, "currency": currency}));
    for said in [
        with("originalReference", Value::Null),
        with("originalReference", json!("")),
        amount(0, "EUR"),
        amount(-1, "EUR"),
        amount(1, "XXX"),
        // Half a krona: not in our minor units.
        amount(50, "ISK"),
    ] {
        assert!(matches!(said, Said::Unreadable(_)), "{said:?}");
    }
    let Said::Refund(notice) = amount(279_000, "ISK") else { panic!("2790 kronur") };
    assert_eq!(notice.amount.units(), 2_790);
    for reference in [json!("order-1001"), Value::Null, json!(ID), json!("requite-x")] {
        let Said::Refund(notice) = with("merchantReference", reference.clone()) else {
            panic!("{reference}");
        };
        assert_eq!(notice.mark, Mark::Unstated, "{reference}");
    }
    let Said::Refund(notice) = with("eventDate", json!("yesterday")) else { panic!("a refund") };
    assert_eq!(notice.said_at_ms, None);
    assert_eq!(notice.mark, Mark::Ours(RefundId::new(0x0191f5a7_44d3_7430_8739_2d80821416bf)));
}

/// The members that Adyen's signature covers, of every notice. `None`: it is no delivery.
fn signed(body: &str) -> Option<Vec<Value>> {
    let body: Value = serde_json::from_str(body).ok()?;
    let items = body["notificationItems"].as_array()?.iter();
    let members = |item: &Value| {
        let item = &item["NotificationRequestItem"];
        let names = ["pspReference", "originalReference", "merchantAccountCode"];
        let more = ["merchantReference", "eventCode", "success", "amount"];
        names.iter().chain(&more).map(|name| item[*name].clone()).collect::<Value>()
    };
    Some(items.map(members).collect())
}

/// F34, in numbers: one change anywhere in a delivery. What Adyen does not sign may change.
/// `REQUITE_FORGERIES` asks for more than ten thousand.
#[test]
fn of_ten_thousand_changed_notices_none_says_anything_else() {
    let good = whole(&[sign(refund("REFUND", "true")), sign(refund("REFUND_FAILED", "true"))]);
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut draw = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % u64::try_from(below).expect("small")).expect("small")
    };
    let mut refused = 0;
    let asked = std::env::var("REQUITE_FORGERIES").ok();
    let forgeries = asked.map_or(10_000, |text| text.parse().expect("it is a number"));
    for _ in 0..forgeries {
        let mut body = good.clone().into_bytes();
        let at = draw(body.len());
        match draw(3) {
            0 => body[at] ^= 1 << draw(7),
            1 => drop(body.remove(at)),
            _ => body.insert(at, b"0a9,\":"[draw(6)]),
        }
        let body = String::from_utf8(body).expect("seven bits stay seven bits");
        match heard(&[KEY], &body) {
            Ok(_) => assert_eq!(signed(&body), signed(&good), "{body}"),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > forgeries / 2, "only {refused} were refused");
}
