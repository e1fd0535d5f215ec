use super::*;
use crate::connectors::sample;

const ID: &str = "0191f5a7-44d3-7430-8739-2d80821416bf";

fn instruction(kind: CallKind) -> Instruction {
    Instruction { connector: "stripe".to_owned(), ..sample::instruction(kind) }
}

fn answer(status: u16, body: &str) -> Heard {
    Heard::Answer(Answer {
        status,
        retry_after_ms: 7_000,
        is_transient: false,
        body: body.as_bytes().to_vec(),
    })
}

fn refund(members: &str) -> String {
    format!(
        r#"{{"id":"re_1","object":"refund","amount":1500,"currency":"usd","charge":"ch_1",
            "payment_intent":null,"metadata":{{"{MARK}":"{ID}"}}{members}}}"#
    )
}

/// An outcome in few words.
fn word(next: Next) -> String {
    let Next::Done(outcome) = next else {
        return format!("{next:?}");
    };
    let named = |psp_refund: Option<String>| psp_refund.unwrap_or_else(|| "-".to_owned());
    match outcome {
        Outcome::Succeeded { psp_refund } => format!("succeeded {}", named(psp_refund)),
        Outcome::Pending { psp_refund } => format!("pending {}", named(psp_refund)),
        Outcome::RequiresAction { psp_refund } => format!("requires_action {}", named(psp_refund)),
        Outcome::Declined { psp_refund, fault } => {
            format!("declined {} {}", named(psp_refund), fault.code)
        }
        Outcome::Voided { psp_refund, fault } => {
            format!("voided {} {}", named(psp_refund), fault.code)
        }
        Outcome::Failed { fault } => format!("failed {}", fault.code),
        Outcome::Unknown { fault } => format!("unknown {}", fault.code),
        Outcome::NotSent { fault, retry_after_ms } => {
            format!("not sent {} {retry_after_ms}", fault.code)
        }
        Outcome::Unreached { fault, .. } => format!("unreached {}", fault.code),
        Outcome::Absent => "absent".to_owned(),
    }
}

fn told(kind: CallKind, heard: Heard) -> String {
    word(next(&instruction(kind), &[heard], true))
}

#[test]
fn a_refund_is_asked_for_under_its_key_with_its_mark() {
    let mut asked = instruction(CallKind::Send);
    let body = |asked: &Instruction, sends_reason| match next(asked, &[], sends_reason) {
        Next::Ask(ask) => {
            assert_eq!((ask.method, ask.path.as_str()), ("POST", "/v1/refunds"));
            let key = ("idempotency-key", format!("requite-{ID}"));
            assert!(ask.headers.contains(&key), "{:?}", ask.headers);
            ask.body.expect("a form")
        }
        Next::Done(outcome) => panic!("nothing was asked: {outcome:?}"),
    };
    let plain = format!("charge=ch_1&amount=1500&metadata%5Brequite_refund%5D={ID}");
    assert_eq!(body(&asked, true), plain);
    asked.reason = Some("duplicate".to_owned());
    let reasoned = format!("{plain}&metadata%5Breason%5D=duplicate");
    assert_eq!(body(&asked, true), format!("{reasoned}&reason=duplicate"));
    assert_eq!(body(&asked, false), reasoned, "a server that refuses reasons gets none");
    asked.reason = Some("zu groß & spät".to_owned());
    let spelt = "&metadata%5Breason%5D=zu%20gro%C3%9F%20%26%20sp%C3%A4t";
    assert_eq!(body(&asked, true), format!("{plain}{spelt}"), "other words are metadata only");
    asked.connector_payment = Some("pi_1".to_owned());
    assert!(body(&asked, true).starts_with("payment_intent=pi_1&"));
    asked.connector_payment = None;
    assert_eq!(word(next(&asked, &[], true)), "failed connector_payment_missing");
}

/// Which answer to a call means what.
#[test]
fn only_what_is_proven_is_believed() {
    let error = |members: &str| format!(r#"{{"error":{{"message":"x"{members}}}}}"#);
    let rows: Vec<(u16, String, &str)> = vec![
        (200, refund(r#","status":"succeeded""#), "succeeded re_1"),
        (200, refund(r#","status":"pending","pending_reason":"x""#), "pending re_1"),
        (200, refund(r#","status":"requires_action""#), "requires_action re_1"),
        (
            200,
            refund(r#","status":"failed","failure_reason":"lost_or_stolen_card""#),
            "declined re_1 lost_or_stolen_card",
        ),
        (200, refund(r#","status":"canceled""#), "voided re_1 canceled"),
        (200, refund(r#","status":"a word of tomorrow""#), "pending re_1"),
        (200, refund(r#","status":null"#), "pending re_1"),
        // Not what was asked for.
        (200, refund("").replace("1500", "1501"), "unknown answer_differs"),
        (200, refund("").replace("usd", "eur"), "unknown answer_differs"),
        (200, refund("").replace("ch_1", "ch_2"), "unknown answer_differs"),
        (200, refund("").replace(r#""ch_1""#, "null"), "unknown answer_differs"),
        (
            200,
            refund("").replace(ID, "0191f5a7-44d3-7430-8739-2d80821416b0"),
            "unknown answer_differs",
        ),
        (200, refund("").replace(MARK, "gone"), "pending re_1"),
        (200, refund("").replace("1500", "15.5"), "unknown answer_unreadable"),
        (200, refund("").replace("1500", "null"), "unknown answer_unreadable"),
        (200, "<html>ok</html>".to_owned(), "unknown answer_unreadable"),
        (200, refund("")[..40].to_owned(), "unknown answer_unreadable"),
        (200, String::new(), "unknown answer_unreadable"),
        (204, String::new(), "unknown answer_unreadable"),
        (302, String::new(), "unknown answer_unreadable"),
        (400, error(r#","code":"charge_already_refunded""#), "declined - charge_already_refunded"),
        (400, error(r#","param":"amount""#), "declined - amount_too_large"),
        (400, error(r#","type":"invalid_request_error""#), "declined - invalid_request_error"),
        (400, error(r#","type":"idempotency_error""#), "unknown idempotency_error"),
        (400, "no JSON".to_owned(), "unknown answer_unreadable"),
        (401, error(""), "not sent stripe_error 7000"),
        (403, error(r#","code":"account_invalid""#), "not sent account_invalid 7000"),
        (404, error(r#","code":"resource_missing""#), "declined - resource_missing"),
        (404, "<html>".to_owned(), "unknown answer_unreadable"),
        (409, error(r#","code":"idempotency_key_in_use""#), "unknown idempotency_key_in_use"),
        (429, error(r#","code":"lock_timeout""#), "not sent lock_timeout 7000"),
        (500, error(r#","type":"api_error""#), "unknown api_error"),
        (503, "<html>".to_owned(), "unknown answer_unreadable"),
    ];
    for (status, body, expected) in rows {
        assert_eq!(told(CallKind::Send, answer(status, &body)), expected, "{status} {body}");
    }
    let lost = fault("timeout", "no answer");
    assert_eq!(told(CallKind::Send, Heard::Lost(lost.clone())), "unknown timeout");
    assert_eq!(told(CallKind::Send, Heard::NotSent(lost.clone())), "unreached timeout");
    assert_eq!(told(CallKind::LookUp, Heard::NotSent(lost)), "unreached timeout");
}

#[test]
fn what_is_kept_of_a_refusal_has_no_nul() {
    let body = r#"{"error":{"type":"card_error","code":"a\u0000b","message":"x\u0000y"}}"#;
    let heard = [answer(402, body)];
    let Next::Done(outcome) = next(&instruction(CallKind::Send), &heard, true) else {
        panic!("a refusal is the end");
    };
    let Outcome::Declined { fault, .. } = outcome else { panic!("{outcome:?}") };
    assert!(!fault.code.contains('\0') && !fault.text.contains('\0'), "{fault:?}");
}

#[test]
fn a_look_up_reads_the_refund_or_the_charge_s_list_to_its_end() {
    let mut asked = instruction(CallKind::LookUp);
    let path = |next: Next| match next {
        Next::Ask(ask) => ask.path,
        Next::Done(outcome) => panic!("{outcome:?}"),
    };
    let list = |more: bool, refunds: &[String]| {
        let refunds = refunds.join(",");
        answer(200, &format!(r#"{{"object":"list","data":[{refunds}],"has_more":{more}}}"#))
    };
    let ours = refund(r#","status":"succeeded""#);
    let other = ours.replace(ID, "another").replace("re_1", "re_0");
    assert_eq!(path(next(&asked, &[], true)), "/v1/refunds?charge=ch_1&limit=100");
    let first = list(true, std::slice::from_ref(&other));
    let second = next(&asked, std::slice::from_ref(&first), true);
    assert_eq!(path(second), "/v1/refunds?charge=ch_1&limit=100&starting_after=re_0");
    let heard = [first, list(false, &[other.clone(), ours.clone()])];
    assert_eq!(word(next(&asked, &heard, true)), "succeeded re_1");
    assert_eq!(told(CallKind::LookUp, list(false, &[other])), "absent");
    assert_eq!(told(CallKind::LookUp, list(false, &[])), "absent");
    // A list that says that there is more and shows nothing has no end; it proves nothing.
    assert_eq!(told(CallKind::LookUp, list(true, &[])), "unknown answer_unreadable");
    // Ours, and yet not what was asked for.
    let wrong = ours.replace("1500", "1600");
    assert_eq!(told(CallKind::LookUp, list(false, &[wrong])), "unknown answer_differs");
    for (status, body) in [(500, "{}"), (401, r#"{"error":{"code":"x"}}"#), (200, "<html>")] {
        let told = told(CallKind::LookUp, answer(status, body));
        assert!(told.starts_with("unknown "), "{status} {body}: {told}");
    }
    asked.psp_refund = Some("re_1".to_owned());
    assert_eq!(path(next(&asked, &[], true)), "/v1/refunds/re_1");
    let by_id = |status, body: &str| word(next(&asked, &[answer(status, body)], true));
    assert_eq!(by_id(200, &ours), "succeeded re_1");
    assert_eq!(by_id(200, &ours.replace("re_1", "re_2")), "unknown answer_unreadable");
    assert_eq!(by_id(404, r#"{"error":{"code":"resource_missing"}}"#), "absent");
    assert_eq!(by_id(404, "<html>a proxy's page</html>"), "unknown answer_unreadable");
}

#[test]
fn a_cancellation_is_proven_by_stripe_s_word_and_a_refusal_is_looked_up() {
    let asked =
        Instruction { psp_refund: Some("re_1".to_owned()), ..instruction(CallKind::Cancel) };
    let Next::Ask(ask) = next(&asked, &[], true) else { panic!("Stripe is asked") };
    assert_eq!(
        (ask.method, ask.path.as_str(), ask.body),
        ("POST", "/v1/refunds/re_1/cancel", None)
    );
    assert!(ask.headers.iter().all(|(name, _)| *name != "idempotency-key"), "{:?}", ask.headers);
    let shown = |status: &str| refund(&format!(r#","status":"{status}""#));
    let refusal = r#"{"error":{"type":"invalid_request_error","code":"refund_unexpected_state"}}"#;
    // the answer to the cancellation       what it proves; `None`: it is looked up
    let rows = [
        (200, shown("canceled"), Some("voided re_1 canceled")),
        (200, shown("succeeded"), Some("succeeded re_1")),
        (200, shown("failed"), Some("declined re_1 failed")),
        (200, shown("pending"), Some("pending re_1")),
        (200, shown("canceled").replace("re_1", "re_2"), Some("unknown answer_unreadable")),
        (200, shown("canceled").replace("1500", "1600"), Some("unknown answer_differs")),
        (200, "<html>".to_owned(), Some("unknown answer_unreadable")),
        (400, refusal.to_owned(), None),
        (404, refusal.to_owned(), None),
        (400, "<html>".to_owned(), Some("unknown answer_unreadable")),
        (401, refusal.to_owned(), Some("not sent refund_unexpected_state 7000")),
        (429, refusal.to_owned(), Some("not sent refund_unexpected_state 7000")),
        (409, refusal.to_owned(), Some("unknown refund_unexpected_state")),
        (500, refusal.to_owned(), Some("unknown refund_unexpected_state")),
    ];
    for (status, body, expected) in rows {
        let next = next(&asked, &[answer(status, &body)], true);
        match (next, expected) {
            (Next::Ask(ask), None) => {
                assert_eq!((ask.method, ask.path.as_str()), ("GET", "/v1/refunds/re_1"))
            }
            (next, expected) => assert_eq!(Some(word(next).as_str()), expected, "{status} {body}"),
        }
    }
    let lost = fault("timeout", "no answer");
    let after = |heard: Heard| word(next(&asked, &[answer(400, refusal), heard], true));
    assert_eq!(word(next(&asked, &[Heard::Lost(lost.clone())], true)), "unknown timeout");
    assert_eq!(word(next(&asked, &[Heard::NotSent(lost.clone())], true)), "unreached timeout");
    assert_eq!(after(answer(200, &shown("succeeded"))), "succeeded re_1");
    assert_eq!(after(answer(200, &shown("canceled"))), "voided re_1 canceled");
    // It waits still: what was refused says why.
    assert_eq!(after(answer(200, &shown("requires_action"))), "unknown refund_unexpected_state");
    assert_eq!(after(answer(404, refusal)), "absent");
    assert_eq!(after(Heard::Lost(lost.clone())), "unknown timeout");
    assert_eq!(after(Heard::NotSent(lost)), "unreached timeout");
    let nameless = Instruction { psp_refund: None, ..asked };
    assert_eq!(word(next(&nameless, &[], true)), "unknown psp_refund_missing");
}

/// What two other programs that stand in for Stripe answered to refund calls.
#[test]
fn recorded_answers_are_understood() {
    let recorded = include_str!("../../../tests/recordings/stripe/examples.jsonl");
    let mut words = std::collections::BTreeMap::<String, usize>::new();
    for line in recorded.lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("a recorded exchange");
        let request = &line["request"];
        if request["method"] != "POST" || request["path"] != "/v1/refunds" {
            continue;
        }
        let form: std::collections::BTreeMap<&str, &str> = request["body"]
            .as_str()
            .into_iter()
            .flat_map(|body| body.split('&').filter_map(|pair| pair.split_once('=')))
            .collect();
        let mut asked = instruction(CallKind::Send);
        let answered = &line["response"];
        // Without an amount it is what the answer says; the asker here always names one.
        let units = form.get("amount").and_then(|text| text.parse().ok());
        let units: i64 = units.or_else(|| answered["body"]["amount"].as_i64()).unwrap_or(1);
        asked.amount = Minor::new(units).expect("an amount");
        let named = form.get("payment_intent").or_else(|| form.get("charge"));
        asked.connector_payment = named.map(|id| (*id).to_owned());
        if answered["body"]["currency"] == "eur" {
            asked.currency = Currency::parse("EUR").expect("listed");
        }
        let status = answered["status"].as_u64().and_then(|n| u16::try_from(n).ok());
        let heard = answer(status.expect("a status"), &answered["body"].to_string());
        let word = word(next(&asked, &[heard], true));
        let class = word.split(' ').filter(|part| !part.starts_with("re_"));
        *words.entry(class.collect::<Vec<_>>().join(" ")).or_default() += 1;
    }
    let seen: Vec<(&str, usize)> = words.iter().map(|(word, n)| (word.as_str(), *n)).collect();
    let expected = [
        ("declined - amount_too_large", 6),
        ("declined - charge_already_refunded", 1),
        ("declined - charge_disputed", 1),
        ("declined - invalid_request_error", 6),
        ("declined - parameter_invalid_integer", 1),
        ("declined - resource_missing", 6),
        ("not sent invalid_request_error 7000", 1),
        ("succeeded", 21),
        // Amounts of null and of 10.5.
        ("unknown answer_unreadable", 2),
        ("unknown idempotency_error", 2),
    ];
    assert_eq!(seen, expected);
}
