//! Adyen's wire: what is answered, and what is told.

use super::*;

const PAYMENTS: &str = "/v71/payments";
const HMAC_KEY: &str = "DFB1EB5485895CFA84146406857104ABB4CBCABDC8AAF103A624C8F6A3EAAB00";

fn ask(desk: &mut Desk, path: &str, body: &str, key: Option<&str>) -> Reply {
    let request = Request {
        method: "POST".to_owned(),
        path: path.to_owned(),
        api_key: Some("AQEnothing".to_owned()),
        key: key.map(str::to_owned),
        body: body.as_bytes().to_vec(),
        ..Request::default()
    };
    desk.simulator.answer(&request, desk.now_ms)
}

fn wish(value: i64) -> String {
    json!({"merchantAccount": "ShopECOM", "amount": {"value": value, "currency": "EUR"},
        "reference": "ours"})
    .to_string()
}

/// A payment of 50.00, and where it is refunded.
fn payment(desk: &mut Desk) -> (String, String) {
    let reply = ask(desk, PAYMENTS, &wish(5_000), None);
    let shown = value(&reply);
    assert_eq!((reply.status, &shown["resultCode"]), (200, &json!("Authorised")), "{shown}");
    let id = text(&shown["pspReference"]);
    let path = format!("{PAYMENTS}/{id}/refunds");
    (id, path)
}

/// What was told since the payment: event code, success and reason.
fn told(desk: &mut Desk) -> Vec<String> {
    desk.simulator.tick(desk.now_ms);
    let events = desk.simulator.hooks.events.iter().filter(|event| event.kind != "AUTHORISATION");
    let text = |event: &hooks::Event, name: &str| event.shown[name].as_str().map(str::to_owned);
    let words = events.map(|event| {
        let words = ["eventCode", "success", "reason"].map(|name| text(event, name).expect(name));
        words.join(" ").trim().to_owned()
    });
    words.collect()
}

#[test]
fn adyen_receives_a_refund_and_refuses_what_it_cannot_read() {
    let mut desk = Desk::new();
    let (id, path) = payment(&mut desk);
    let reply = ask(&mut desk, &path, &wish(1_500), Some("k"));
    let shown = value(&reply);
    assert_eq!(reply.status, 201);
    let expected = json!({"merchantAccount": "ShopECOM", "paymentPspReference": id,
        "amount": {"value": 1_500, "currency": "EUR"}, "reference": "ours", "status": "received",
        "pspReference": shown["pspReference"]});
    assert_eq!(shown, expected);
    let reference = text(&shown["pspReference"]);
    assert_eq!(reference.len(), 16);
    assert!(reference.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit()));
    let stranger = format!("{PAYMENTS}/AAAABBBBCCCCDDDD/refunds");
    let rows = [
        (path.as_str(), "{".to_owned(), 400, "702", "validation"),
        (&path, "{}".to_owned(), 400, "702", "validation"),
        (&path, r#"{"merchantAccount":"ShopECOM"}"#.to_owned(), 422, "100", "validation"),
        (&path, wish(0), 422, "137", "validation"),
        (&path, wish(-5), 422, "137", "validation"),
        (&path, wish(100).replace("EUR", "USD"), 422, "138", "validation"),
        (&path, wish(100).replace("ShopECOM", "OtherECOM"), 403, "901", "security"),
        (&stranger, wish(100), 422, "167", "validation"),
        ("/v71/payments/x", wish(100), 404, "000", "configuration"),
    ];
    for (path, body, status, code, kind) in rows {
        let reply = ask(&mut desk, path, &body, None);
        let shown = value(&reply);
        let said = (reply.status, shown["errorCode"].as_str(), shown["errorType"].as_str());
        assert_eq!(said, (status, Some(code), Some(kind)), "{path} {body}");
        assert_eq!(shown["status"], status);
    }
    let unnamed = Request { method: "POST".to_owned(), path, ..Request::default() };
    assert_eq!(desk.simulator.answer(&unnamed, T0).status, 401);
}

#[test]
fn a_key_at_adyen_gives_the_same_answer_again_and_pays_once() {
    let mut desk = Desk::scripted(json!([{"on": "refund.create", "skip": 1, "times": 1,
        "answer": {"slow": {"ms": 3_000}}}]));
    let (_, path) = payment(&mut desk);
    let key = "k".repeat(64);
    let first = ask(&mut desk, &path, &wish(1_500), Some(&key));
    let slow = ask(&mut desk, &path, &wish(500), Some("slow"));
    assert_eq!(slow.manner, Manner::After { ms: 3_000 });
    let running = ask(&mut desk, &path, &wish(500), Some("slow"));
    assert_eq!((running.status, &value(&running)["errorCode"]), (422, &json!("704")));
    let other = ask(&mut desk, &path, &wish(1_501), Some(&key));
    assert_eq!((other.status, &value(&other)["errorCode"]), (422, &json!("704")));
    let long = ask(&mut desk, &path, &wish(1_500), Some(&"k".repeat(65)));
    assert_eq!(long.status, 400);
    desk.now_ms += 7 * 24 * HOUR - 1;
    for (key, wished, before) in [(key.as_str(), 1_500, &first), ("slow", 500, &slow)] {
        let again = ask(&mut desk, &path, &wish(wished), Some(key));
        assert_eq!((again.status, &again.body), (201, &before.body));
    }
    let books = desk.books();
    assert_eq!((&books["paid"], &books["doubled"]), (&json!({"eur": 2_000}), &json!([])));
    desk.now_ms += 1;
    let late = ask(&mut desk, &path, &wish(1_500), Some(&key));
    assert_ne!(late.body, first.body, "a repeat after its life is a new refund");
    assert_eq!(desk.books()["doubled"], json!([key]));
}

/// What becomes of a refund, and what is told of it.
#[test]
fn notices_tell_what_became_of_a_refund_of_adyen_s() {
    let failed = json!({"is": "failed", "after_ms": 5, "reason": "why"});
    let rows = [
        (json!([]), vec!["REFUND true"]),
        (json!([{"is": "pending"}]), vec![]),
        (json!([{"is": "succeeded"}]), vec!["REFUND true"]),
        (json!([{"is": "pending"}, failed]), vec!["REFUND false why"]),
        (json!([{"is": "succeeded"}, failed]), vec!["REFUND true", "REFUND_FAILED true why"]),
        (
            json!([{"is": "succeeded"}, {"is": "canceled", "after_ms": 5}]),
            vec!["REFUND true", "REFUNDED_REVERSED true"],
        ),
        (
            json!([{"is": "failed", "reason": "why"}, {"is": "succeeded", "after_ms": 5}]),
            vec!["REFUND false why", "REFUND true"],
        ),
    ];
    for (money, expected) in rows {
        let mut desk = Desk::scripted(json!([{"on": "refund.create", "money": money}]));
        let (_, path) = payment(&mut desk);
        assert_eq!(ask(&mut desk, &path, &wish(1_500), None).status, 201);
        desk.now_ms += 1_000;
        assert_eq!(told(&mut desk), expected, "{money}");
    }
    // More than there is: received, and then not done.
    let mut desk = Desk::new();
    let (_, path) = payment(&mut desk);
    assert_eq!(ask(&mut desk, &path, &wish(5_001), None).status, 201);
    assert_eq!(told(&mut desk), ["REFUND false Insufficient balance on payment"]);
    assert_eq!(desk.books()["paid"], json!({}));
}

#[test]
fn each_wire_s_endpoints_hear_of_their_own_and_notices_are_signed() {
    let mut desk = Desk::new();
    let stripes = json!({"url": "http://stripes/", "secret": "whsec_x"});
    let adyens = json!({"url": "http://adyens/", "hmac_key": HMAC_KEY});
    for hook in [stripes, adyens] {
        desk.control("POST", "/_psp/webhooks", hook);
    }
    desk.charge("tok_visa");
    payment(&mut desk);
    let posts = desk.simulator.tick(desk.now_ms);
    let urls: Vec<&str> = posts.iter().map(|post| post.url.as_str()).collect();
    assert_eq!(urls, ["http://stripes/", "http://adyens/"]);
    let listed = desk.get("/v1/events");
    assert_eq!(listed["data"].as_array().map(Vec::len), Some(1), "{listed}");
    // The notice, the key and the signature of the official libraries' own tests.
    let vector = json!({"pspReference": "pspReference", "originalReference": "originalReference",
        "merchantAccountCode": "merchantAccount", "merchantReference": "reference",
        "amount": {"currency": "EUR", "value": 1000}, "eventCode": "CAPTURE", "success": "true",
        "additionalData": {}});
    let whole: Value = serde_json::from_str(&adyen::signed(&vector, HMAC_KEY)).expect("JSON");
    let signature = &whole["notificationItems"][0]["NotificationRequestItem"]["additionalData"];
    assert_eq!(signature["hmacSignature"], "xhpHvYq2u2Np0rstbZ6QjLGu7JWhvf7Iwaa6EviJSX0=");
    for bad in [json!({"hmac_key": "44"}), json!({"hmac_key": HMAC_KEY, "secret": "x"})] {
        let mut hook = bad.clone();
        hook["url"] = json!("http://adyens/");
        let body = hook.to_string();
        let (status, _) =
            desk.simulator.control("POST", "/_psp/webhooks", body.as_bytes(), desk.now_ms);
        assert_eq!(status, 400, "{bad}");
    }
}

#[test]
fn a_script_spoils_adyen_s_answers_as_it_does_stripe_s() {
    let rows = [
        (json!({"wrong": "amount"}), 201, "/amount/value", json!(1_501)),
        (json!({"wrong": "currency"}), 201, "/amount/currency", json!("USD")),
        (json!({"wrong": "type"}), 201, "/amount/value", json!("1500")),
        (json!({"wrong": "charge"}), 201, "/paymentPspReference", json!("OTHERPAYMENT0000")),
        (json!({"wrong": "account"}), 201, "/merchantAccount", json!("OfSomebodyElse")),
        (json!({"wrong": "status"}), 201, "/status", json!("a word of tomorrow")),
        (json!({"error": {"status": 422, "code": "10_803"}}), 422, "/errorCode", json!("10_803")),
        (json!({"error": {"status": 500}}), 500, "/errorCode", json!("905")),
    ];
    for (answer, status, at, expected) in rows {
        let mut desk = Desk::scripted(json!([{"on": "refund.create", "answer": answer}]));
        let (_, path) = payment(&mut desk);
        let reply = ask(&mut desk, &path, &wish(1_500), None);
        let shown = value(&reply);
        assert_eq!((reply.status, shown.pointer(at)), (status, Some(&expected)), "{answer}");
    }
    // Nothing was done, and it says so.
    let mut desk = Desk::scripted(json!([{"on": "refund.create", "acts": false, "times": 1,
        "answer": {"error": {"status": 503}}}]));
    let (_, path) = payment(&mut desk);
    let reply = ask(&mut desk, &path, &wish(1_500), Some("k"));
    assert_eq!(header(&reply, "transient-error").as_deref(), Some("true"));
    assert_eq!(ask(&mut desk, &path, &wish(1_500), Some("k")).status, 201);
}
