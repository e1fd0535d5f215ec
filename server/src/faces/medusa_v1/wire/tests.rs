//! Bodies and what is said of them, in the original's words.

use super::*;

const BOTH_AMOUNT: &str = "amount should not be empty, amount must be an integer number";
const BOTH_REASON: &str = "reason should not be empty, reason must be one of the following \
                           values: discount, return, swap, claim, other";

fn refund(body: &str) -> Result<RefundBody, Failure> {
    RefundBody::read(&Members::read(body.as_bytes())?)
}

fn complaint<T>(read: Result<T, Failure>) -> String {
    match read {
        Err(Failure::Complaint(complaint)) => complaint.text().to_owned(),
        Err(other) => format!("{other:?}"),
        Ok(_) => "taken".to_owned(),
    }
}

#[test]
fn a_refund_is_read_from_any_spelling_of_its_body() {
    for (body, amount, reason, note) in [
        (r#"{"amount":1000,"reason":"return"}"#, 1000, "return", None),
        (r#"{"amount":1000.0,"reason":"swap"}"#, 1000, "swap", None),
        (r#"{"amount":1e3,"reason":"claim"}"#, 1000, "claim", None),
        (r#"{"amount":3000000000,"reason":"other"}"#, 3_000_000_000, "other", None),
        (r#"{"amount":1e19,"reason":"other"}"#, i64::MAX, "other", None),
        (r#"{"amount":1e308,"reason":"other"}"#, i64::MAX, "other", None),
        (r#"{"amount":1,"reason":"discount","note":""}"#, 1, "discount", Some("")),
        (r#"{"amount":1,"reason":"return","note":null}"#, 1, "return", None),
        (r#"{"amount":1,"amount":2,"reason":"return"}"#, 2, "return", None),
        (
            r#"{"note":"a\n\"x\" 🙃","reason":"return","amount":5}"#,
            5,
            "return",
            Some("a\n\"x\" 🙃"),
        ),
        ("\u{feff}{\"amount\":1,\"reason\":\"return\"}", 1, "return", None),
    ] {
        let note = note.map(str::to_owned);
        let expected = RefundBody { amount, reason, note };
        assert_eq!(refund(body).expect(body), expected, "{body}");
    }
}

#[test]
fn each_amount_that_is_none_gets_the_complaint_of_the_original() {
    for (amount, message) in [
        ("null", BOTH_AMOUNT),
        (r#""""#, BOTH_AMOUNT),
        (r#""1000""#, AMOUNT_NOT_INTEGER),
        ("10.5", AMOUNT_NOT_INTEGER),
        ("-0.5", AMOUNT_NOT_INTEGER),
        ("true", AMOUNT_NOT_INTEGER),
        ("[1000]", AMOUNT_NOT_INTEGER),
        ("{}", AMOUNT_NOT_INTEGER),
        ("1e400", AMOUNT_NOT_INTEGER),
        ("-1e400", AMOUNT_NOT_INTEGER),
        ("0", AMOUNT_TOO_SMALL),
        ("-0.0", AMOUNT_TOO_SMALL),
        ("-500", AMOUNT_TOO_SMALL),
        ("-1e19", AMOUNT_TOO_SMALL),
    ] {
        let body = format!(r#"{{"amount":{amount},"reason":"return"}}"#);
        assert_eq!(complaint(refund(&body)), message, "{body}");
    }
}

#[test]
fn complaints_are_joined_in_the_order_of_the_original() {
    let all = format!("{BOTH_AMOUNT}, {BOTH_REASON}");
    for (body, message) in [
        ("{}", all.as_str()),
        ("[]", &all),
        (r#"{"reason":"return"}"#, BOTH_AMOUNT),
        (r#"{"amount":1000}"#, BOTH_REASON),
        (r#"{"amount":1000,"reason":""}"#, BOTH_REASON),
        (r#"{"amount":1000,"reason":"fraud"}"#, REASON_UNKNOWN),
        (r#"{"amount":1000,"reason":"Return"}"#, REASON_UNKNOWN),
        (r#"{"amount":1000,"reason":5}"#, REASON_UNKNOWN),
        (r#"{"amount":1000,"reason":"return","note":5}"#, NOTE_NOT_TEXT),
        (r#"{"amount":1000,"reason":"return","note":"a\u0000b"}"#, NOTE_NUL),
        (
            r#"{"amount":1000,"reason":"return","metadata":{"a":1}}"#,
            "property metadata should not exist",
        ),
        (
            r#"{"__proto__":1,"b":1,"amount":1,"b":2,"reason":"return"}"#,
            "property __proto__ should not exist, property b should not exist",
        ),
        (
            r#"{"note":5,"zeta":1,"reason":"x"}"#,
            &format!(
                "property zeta should not exist, {BOTH_AMOUNT}, {REASON_UNKNOWN}, {NOTE_NOT_TEXT}"
            ),
        ),
        (
            r#"[{"amount":1000,"reason":"return"},2]"#,
            "property 0 should not exist, property 1 should not exist",
        ),
    ] {
        assert_eq!(complaint(refund(body)), message, "{body}");
    }
    let many = format!("[{}0]", "0,".repeat(20_000));
    let complaints = complaint(refund(&many)).matches("property").count();
    assert_eq!(complaints, UNKNOWN_NAMES_MAX);
}

#[test]
fn a_body_that_is_no_json_object_is_refused_before_anything_else() {
    for body in ["{bad", r#"{"amount":1000,"#, r#""x""#, "5", "null", " ", "{} {}"] {
        let message = complaint(Members::read(body.as_bytes()));
        assert!(message.starts_with("The body is not valid JSON: "), "{body}: {message}");
    }
    let message = complaint(Members::read(b"{\"note\":\"a\xffb\"}"));
    assert!(message.starts_with("The body is not valid JSON: "), "{message}");
}

#[test]
fn only_the_content_type_of_json_is_read() {
    for (content_type, is_read) in [
        ("application/json", Ok(true)),
        ("Application/JSON; charset=UTF-8", Ok(true)),
        ("application/json;charset=\"utf-8\"", Ok(true)),
        ("application/json; charset=iso-8859-1", Err(())),
        ("application/json; charset=utf-16", Err(())),
        ("application/vnd.api+json", Ok(false)),
        ("text/plain; charset=iso-8859-1", Ok(false)),
        ("", Ok(false)),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, content_type.parse().expect("a header value"));
        assert_eq!(is_json(&headers).map_err(|_| ()), is_read, "{content_type}");
    }
    assert_eq!(is_json(&HeaderMap::new()).map_err(|_| ()), Ok(false));
}

#[test]
fn a_log_in_is_checked_as_the_original_does() {
    let log_in = |body: &str| LogInBody::read(&Members::read(body.as_bytes())?);
    for (body, message) in [
        (r#"{"email":"admin@example.test","password":"x"}"#, "taken"),
        (
            "{}",
            "email should not be empty, email must be an email, password should not be empty, \
             password must be a string",
        ),
        (
            r#"{"email":"admin@example.test","password":"x","remember":true}"#,
            "property remember should not exist",
        ),
        (r#"{"email":"nobody","password":"x"}"#, "email must be an email"),
        (r#"{"email":"a@","password":"x"}"#, "email must be an email"),
        (r#"{"email":"a b@c.de","password":"x"}"#, "email must be an email"),
        (r#"{"email":"a@b.de","password":5}"#, "password must be a string"),
        (r#"{"email":"a@b.de","password":""}"#, "password should not be empty"),
    ] {
        assert_eq!(complaint(log_in(body)), message, "{body}");
    }
}

#[test]
fn equal_meanings_are_equal_and_others_are_not() {
    let meaning = |body: &str| refund(body).expect(body).meaning();
    let plain = meaning(r#"{"amount":1000,"reason":"return"}"#);
    for (body, is_same) in [
        (r#"{"reason":"return","note":null,"amount":1e3}"#, true),
        (r#"{"amount":1000,"reason":"return","note":""}"#, false),
        (r#"{"amount":1001,"reason":"return"}"#, false),
        (r#"{"amount":1000,"reason":"other"}"#, false),
    ] {
        assert_eq!(meaning(body) == plain, is_same, "{body}");
    }
}

#[test]
fn keys_are_taken_up_to_their_limit_and_an_empty_one_is_none() {
    let long = "k".repeat(KEY_TEXT_MAX);
    let longer = "k".repeat(KEY_TEXT_MAX + 1);
    for (sent, taken) in [
        (&[][..], Ok(None)),
        (&[""], Ok(None)),
        (&["key-0001"], Ok(Some("key-0001"))),
        (&["ключ"], Ok(Some("ключ"))),
        (&[long.as_str()], Ok(Some(long.as_str()))),
        (&[longer.as_str()], Err(())),
        (&["a\tb"], Err(())),
        (&["one", "two"], Err(())),
    ] {
        let mut headers = HeaderMap::new();
        for text in sent {
            let value = HeaderValue::from_bytes(text.as_bytes()).expect("a header value");
            headers.append("idempotency-key", value);
        }
        let read = key_text(&headers).map_err(|_| ());
        assert_eq!(read.as_ref().map(Option::as_deref), taken.as_ref().copied());
    }
}
