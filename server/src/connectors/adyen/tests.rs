use requite_core::currency::Currency;
use requite_core::money::Minor;

use super::*;
use crate::connectors::sample;

const ID: &str = "0191f5a7-44d3-7430-8739-2d80821416bf";
const DAY: i64 = 86_400_000;

fn instruction(kind: CallKind) -> Instruction {
    Instruction {
        currency: Currency::parse("EUR").expect("listed"),
        connector: "adyen".to_owned(),
        connector_payment: Some("WNS7WQ756L2GWR82".to_owned()),
        ..sample::instruction(kind)
    }
}

fn shop() -> Shop {
    Shop { merchant_account: "ShopECOM".to_owned(), sends_reason: true }
}

fn received() -> String {
    format!(
        r#"{{"merchantAccount":"ShopECOM","paymentPspReference":"WNS7WQ756L2GWR82",
            "pspReference":"KJ9B9W5R9ZCV7Z82","reference":"requite-{ID}","status":"received",
            "amount":{{"currency":"EUR","value":1500}}}}"#
    )
}

fn complaint(status: u16, code: &str, kind: &str) -> String {
    format!(
        r#"{{"status":{status},"errorCode":"{code}","message":"x","errorType":"{kind}",
            "pspReference":"881643200000000A"}}"#
    )
}

fn answer(status: u16, body: &str, is_transient: bool) -> Heard {
    let body = body.as_bytes().to_vec();
    Heard::Answer(Answer { status, retry_after_ms: 7_000, is_transient, body })
}

/// An outcome in few words.
fn word(next: Next) -> String {
    let Next::Done(outcome) = next else {
        return format!("{next:?}");
    };
    let named = |psp_refund: Option<String>| psp_refund.unwrap_or_else(|| "-".to_owned());
    match outcome {
        Outcome::Pending { psp_refund } => format!("pending {}", named(psp_refund)),
        Outcome::Declined { psp_refund, fault } => {
            format!("declined {} {}", named(psp_refund), fault.code)
        }
        Outcome::Failed { fault } => format!("failed {}", fault.code),
        Outcome::Unknown { fault } => format!("unknown {}", fault.code),
        Outcome::NotSent { fault, retry_after_ms } => {
            format!("not sent {} {retry_after_ms}", fault.code)
        }
        Outcome::Unreached { fault, .. } => format!("unreached {}", fault.code),
        other => format!("never to be said: {other:?}"),
    }
}

fn asked(instruction: &Instruction, shop: &Shop) -> Ask {
    match next(instruction, &[], shop) {
        Next::Ask(ask) => ask,
        Next::Done(outcome) => panic!("nothing was asked: {outcome:?}"),
    }
}

#[test]
fn a_refund_is_asked_for_under_its_key_with_its_reference() {
    let mut wish = instruction(CallKind::Send);
    let ask = asked(&wish, &shop());
    assert_eq!((ask.method, ask.path.as_str()), ("POST", "/payments/WNS7WQ756L2GWR82/refunds"));
    let headers = [
        ("content-type", "application/json".to_owned()),
        ("idempotency-key", format!("requite-{ID}")),
    ];
    assert_eq!(ask.headers, headers);
    let body = format!(
        r#"{{"merchantAccount":"ShopECOM","amount":{{"value":1500,"currency":"EUR"}},"reference":"requite-{ID}"}}"#
    );
    assert_eq!(ask.body.as_deref(), Some(body.as_str()));
    wish.connector_payment = Some("a/b ?".to_owned());
    assert_eq!(asked(&wish, &shop()).path, "/payments/a%2Fb%20%3F/refunds");
    wish.connector_payment = None;
    assert_eq!(word(next(&wish, &[], &shop())), "failed connector_payment_missing");
}

#[test]
fn a_reason_is_sent_only_where_it_is_one_of_adyen_s_words() {
    for (said, sent) in [
        ("FRAUD", Some("FRAUD")),
        ("CUSTOMER REQUEST", Some("CUSTOMER REQUEST")),
        ("customer_request", Some("CUSTOMER REQUEST")),
        ("return", Some("RETURN")),
        ("duplicate", Some("DUPLICATE")),
        ("other", Some("OTHER")),
        ("fraudulent", None),
        ("requested_by_customer", None),
        ("Return ", None),
        ("", None),
    ] {
        let wish = Instruction { reason: Some(said.to_owned()), ..instruction(CallKind::Send) };
        let told = |shop: &Shop| {
            let body = asked(&wish, shop).body.expect("JSON");
            let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
            body["merchantRefundReason"].as_str().map(str::to_owned)
        };
        assert_eq!(told(&shop()).as_deref(), sent, "{said:?}");
        assert_eq!(told(&Shop { sends_reason: false, ..shop() }), None);
    }
}

#[test]
fn amounts_are_adyen_s_own_and_what_it_cannot_express_is_never_sent() {
    for (code, units, sent) in
        [("ISK", 2_790, Some(279_000)), ("CVE", 1_200, Some(12)), ("CVE", 1_250, None)]
    {
        let wish = Instruction {
            currency: Currency::parse(code).expect("listed"),
            amount: Minor::new(units).expect("an amount"),
            ..instruction(CallKind::Send)
        };
        match (next(&wish, &[], &shop()), sent) {
            (Next::Ask(ask), Some(value)) => {
                let amount = format!(r#""amount":{{"value":{value},"currency":"{code}"}}"#);
                assert!(ask.body.expect("JSON").contains(&amount), "{code}");
            }
            (Next::Done(Outcome::Failed { fault }), None) => {
                assert_eq!(fault.code, "amount_not_expressible");
            }
            (other, _) => panic!("{code} {units}: {other:?}"),
        }
    }
}

/// Which answer means what: to the first call, and to a repeat of one whose answer was lost.
#[test]
fn only_what_is_proven_is_believed() {
    let (configuration, validation) = ("configuration", "validation");
    #[rustfmt::skip]
    let rows: Vec<(u16, String, bool, &str, &str)> = vec![
        (201, received(), false, "pending KJ9B9W5R9ZCV7Z82", "pending KJ9B9W5R9ZCV7Z82"),
        (200, received(), false, "pending KJ9B9W5R9ZCV7Z82", "pending KJ9B9W5R9ZCV7Z82"),
        (201, received().replace(r#""received""#, r#""a word of tomorrow""#), false,
            "pending KJ9B9W5R9ZCV7Z82", "pending KJ9B9W5R9ZCV7Z82"),
        // Not what was asked for.
        (201, received().replace("1500", "1501"), false, "unknown answer_differs", "unknown answer_differs"),
        (201, received().replace("EUR", "USD"), false, "unknown answer_differs", "unknown answer_differs"),
        (201, received().replace("ShopECOM", "OtherECOM"), false, "unknown answer_differs", "unknown answer_differs"),
        (201, received().replace("WNS7WQ756L2GWR82", "ANOTHERPAYMENT82"), false, "unknown answer_differs", "unknown answer_differs"),
        (201, received().replace(ID, "another"), false, "unknown answer_differs", "unknown answer_differs"),
        (201, received().replace("1500", "15.5"), false, "unknown answer_unreadable", "unknown answer_unreadable"),
        (201, received()[..60].to_owned(), false, "unknown answer_unreadable", "unknown answer_unreadable"),
        (201, "<html>ok</html>".to_owned(), false, "unknown answer_unreadable", "unknown answer_unreadable"),
        (204, String::new(), false, "unknown answer_unreadable", "unknown answer_unreadable"),
        (302, String::new(), false, "unknown answer_unreadable", "unknown answer_unreadable"),
        (400, complaint(400, "702", validation), false, "declined - 702", "unknown repeat_refused"),
        (422, complaint(422, "167", validation), false, "declined - 167", "unknown repeat_refused"),
        (422, "{}".to_owned(), false, "unknown answer_unreadable", "unknown answer_unreadable"),
        // The same key is running right now.
        (422, complaint(422, "704", validation), false, "unknown 704", "unknown 704"),
        (409, complaint(409, "704", validation), true, "unknown 704", "unknown 704"),
        (409, complaint(409, "1", validation), false, "unknown 1", "unknown 1"),
        (401, complaint(401, "000", "security"), false, "not sent 000 7000", "not sent 000 7000"),
        (403, complaint(403, "901", "security"), false, "not sent 901 7000", "not sent 901 7000"),
        (403, complaint(403, "010", "security"), false, "not sent 010 7000", "not sent 010 7000"),
        (404, complaint(404, "000", configuration), false, "not sent 000 7000", "not sent 000 7000"),
        (404, "<html>".to_owned(), false, "unknown answer_unreadable", "unknown answer_unreadable"),
        (429, complaint(429, "000", configuration), false, "not sent 000 7000", "not sent 000 7000"),
        (500, complaint(500, "905", configuration), false, "unknown 905", "unknown 905"),
        (503, complaint(503, "703", "internal"), true, "not sent 703 7000", "not sent 703 7000"),
        (503, complaint(503, "703", "internal"), false, "unknown 703", "unknown 703"),
        (503, "<html>".to_owned(), true, "unknown answer_unreadable", "unknown answer_unreadable"),
    ];
    for (status, body, is_transient, first, repeat) in rows {
        for (kind, expected) in [(CallKind::Send, first), (CallKind::LookUp, repeat)] {
            let told = next(&instruction(kind), &[answer(status, &body, is_transient)], &shop());
            assert_eq!(word(told), expected, "{kind:?} {status} {body}");
        }
    }
    let lost = fault("timeout", "no answer");
    let told = |kind, heard| word(next(&instruction(kind), &[heard], &shop()));
    assert_eq!(told(CallKind::Send, Heard::Lost(lost.clone())), "unknown timeout");
    assert_eq!(told(CallKind::Send, Heard::NotSent(lost.clone())), "unreached timeout");
    // A repeat that was not sent says nothing of the call before it.
    assert_eq!(told(CallKind::LookUp, Heard::Lost(lost.clone())), "unknown timeout");
    assert_eq!(told(CallKind::LookUp, Heard::NotSent(lost)), "unreached timeout");
}

/// The same bytes under the same key, while Adyen surely knows it; then nothing is sent any more.
#[test]
fn a_lost_call_is_repeated_while_its_key_lives_and_then_left_to_people() {
    let first = asked(&instruction(CallKind::Send), &shop());
    for (age_ms, is_repeated) in [
        (0, true),
        (2_000, true),
        (6 * DAY - 1, true),
        (6 * DAY, false),
        (7 * DAY, false),
        (i64::MAX, false),
        // The clock was set back: nobody knows how old the key is.
        (-1, false),
        (i64::MIN, false),
    ] {
        let wish = Instruction { age_ms, ..instruction(CallKind::LookUp) };
        match next(&wish, &[], &shop()) {
            Next::Ask(ask) => {
                assert!(is_repeated, "{age_ms}");
                assert_eq!(ask, first);
            }
            done => {
                assert!(!is_repeated, "{age_ms}");
                assert_eq!(word(done), "unknown key_expired");
            }
        }
    }
}

/// Adyen has it and will tell: asking again would ask for it again.
#[test]
fn what_adyen_received_is_never_sent_again() {
    for age_ms in [0, 10 * DAY] {
        let psp_refund = Some("KJ9B9W5R9ZCV7Z82".to_owned());
        let wish = Instruction { age_ms, psp_refund, ..instruction(CallKind::LookUp) };
        assert_eq!(word(next(&wish, &[], &shop())), "pending -");
    }
}

#[test]
fn a_live_account_has_its_company_s_address() {
    let url = "https://1797a841fbb37ca7-Shop-checkout-live.adyenpayments.com/checkout/v71";
    assert_eq!(live_url("1797a841fbb37ca7-Shop"), url);
}
