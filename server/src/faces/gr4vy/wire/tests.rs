use axum::http::HeaderValue;
use requite_core::id::parse_uuid;
use serde_json::json;

use super::super::form::DETAILS_MAX;
use super::*;

const REDEMPTION: &str = "31e65fb1-9c67-432e-9c06-83300b9d4059";

/// What a refused body complains of: pointer and kind of each detail.
fn complaints<T: std::fmt::Debug>(read: Result<T, Failure>) -> Vec<(String, &'static str)> {
    match read {
        Err(Failure::Invalid(details)) => {
            details.into_iter().map(|detail| (detail.pointer, detail.kind)).collect()
        }
        other => panic!("not refused as invalid: {other:?}"),
    }
}

fn amount(text: &str) -> Result<Option<i64>, Failure> {
    wish(format!(r#"{{"amount":{text}}}"#).as_bytes()).map(|wish| wish.amount)
}

#[test]
fn whole_amounts_from_one_to_the_maximum_are_taken_however_they_are_written() {
    for (text, value) in [
        ("1", Some(1)),
        ("1299", Some(1299)),
        ("1299.0", Some(1299)),
        ("1e2", Some(100)),
        ("99999999", Some(99_999_999)),
        ("9.9999999e7", Some(99_999_999)),
        ("null", None),
    ] {
        let read = amount(text).unwrap_or_else(|failure| panic!("{text}: {failure:?}"));
        assert_eq!(read, value, "{text}");
    }
}

#[test]
fn every_other_amount_is_refused_with_its_pointer() {
    let integer = "type_error.integer";
    let low = "value_error.number.not_ge";
    let high = "value_error.number.not_le";
    let long = format!("1{}", "0".repeat(10_000));
    for (text, kind) in [
        ("0", low),
        ("-0", low),
        ("0.0", low),
        ("-1", low),
        ("-1e30", low),
        ("100000000", high),
        ("9007199254740992", high),
        ("9223372036854775807", high),
        ("9223372036854775808", high),
        ("1e308", high),
        ("1e999999999", high),
        (&long, high),
        ("1.5", integer),
        ("0.1", integer),
        ("1e-1", integer),
        (r#""100""#, integer),
        ("true", integer),
        ("[1]", integer),
        ("{}", integer),
    ] {
        let shown: String = text.chars().take(30).collect();
        let expected = vec![("/amount".to_owned(), kind)];
        assert_eq!(complaints(amount(text)), expected, "{shown}");
    }
}

#[test]
fn a_number_that_json_does_not_have_is_no_body() {
    for text in ["NaN", "01", "+1", ".5", "0x10", "1."] {
        let expected = vec![(String::new(), "value_error.jsondecode")];
        assert_eq!(complaints(amount(text)), expected, "{text}");
    }
}

#[test]
fn null_means_absent_for_every_member() {
    let nulls = br#"{"amount":null,"target_type":null,"target_id":null,"reason":null,
        "external_identifier":null,"metadata":null}"#;
    let empty = wish(b"{}").expect("an empty object asks for all that is left");
    assert_eq!(wish(nulls).expect("nulls are absent"), empty);
    assert_eq!(empty.amount, None);
    assert_eq!(empty.target, Target::PaymentMethod { named: None });
    assert_eq!(empty.note, Note::default());
}

#[test]
fn the_target_is_read_from_type_and_id() {
    let id = parse_uuid(REDEMPTION).expect("a UUID");
    let card = |named| Target::PaymentMethod { named };
    for (body, target) in [
        (json!({"target_type": "payment-method"}), card(None)),
        (json!({"target_type": "payment-method", "target_id": REDEMPTION}), card(Some(id))),
        (json!({"target_id": REDEMPTION}), card(Some(id))),
        (
            json!({"target_type": "gift-card-redemption", "target_id": REDEMPTION}),
            Target::GiftCard { redemption: id },
        ),
        (
            json!({"target_type": "gift-card-redemption", "target_id": REDEMPTION.to_uppercase()}),
            Target::GiftCard { redemption: id },
        ),
    ] {
        let read = wish(body.to_string().as_bytes()).expect("a good target");
        assert_eq!(read.target, target, "{body}");
    }
}

#[test]
fn each_fault_of_a_body_is_a_detail_of_its_own() {
    let reason_101 = "ü".repeat(101);
    let long = "x".repeat(301);
    for (body, expected) in [
        (
            json!({"target_type": "gift-card-redemption"}),
            vec![("/target_id", "value_error.missing")],
        ),
        (
            json!({"target_type": "gift-card-redemption", "target_id": "x"}),
            vec![("/target_id", "type_error.uuid")],
        ),
        (json!({"target_id": 7}), vec![("/target_id", "type_error.uuid")]),
        (json!({"target_type": "card"}), vec![("/target_type", "type_error.enum")]),
        (json!({"target_type": 1}), vec![("/target_type", "type_error.enum")]),
        (json!({"reason": 1}), vec![("/reason", "type_error.str")]),
        (json!({"reason": reason_101}), vec![("/reason", "value_error.any_str.max_length")]),
        (
            json!({"external_identifier": ""}),
            vec![("/external_identifier", "value_error.any_str.min_length")],
        ),
        (
            json!({"external_identifier": long}),
            vec![("/external_identifier", "value_error.any_str.max_length")],
        ),
        (json!({"note": "x"}), vec![("/note", "value_error.extra")]),
        (json!({"a/b~c": 1}), vec![("/a~1b~0c", "value_error.extra")]),
        (json!({"__proto__": 1}), vec![("/__proto__", "value_error.extra")]),
        (
            json!({"amount": 0, "reason": 1, "x": 1}),
            vec![
                ("/amount", "value_error.number.not_ge"),
                ("/reason", "type_error.str"),
                ("/x", "value_error.extra"),
            ],
        ),
        (json!({"reason": "a\u{0}"}), vec![("", "value_error")]),
        (json!([]), vec![("", "type_error.dict")]),
        (json!(null), vec![("", "type_error.dict")]),
        (json!("amount"), vec![("", "type_error.dict")]),
    ] {
        let expected: Vec<(String, &str)> =
            expected.into_iter().map(|(pointer, kind)| (pointer.to_owned(), kind)).collect();
        let body = body.to_string();
        assert_eq!(complaints(wish(body.as_bytes())), expected, "{body}");
    }
}

#[test]
fn a_body_that_is_no_json_is_one_complaint_about_the_whole() {
    for body in [
        &b"{\"amount\":"[..],
        b"{\"amount\":1}x",
        b"{'amount':1}",
        b"{\"amount\":1,}",
        b"{\"reason\":\"\xff\"}",
        b"{\"reason\":\"\\ud800\"}",
        b" ",
    ] {
        let expected = vec![(String::new(), "value_error.jsondecode")];
        assert_eq!(complaints(wish(body)), expected, "{body:?}");
    }
    assert_eq!(complaints(wish(b"")), vec![(String::new(), "value_error.missing")]);
}

#[test]
fn a_member_that_is_there_twice_is_refused() {
    let expected = vec![("/amount".to_owned(), "value_error")];
    assert_eq!(complaints(wish(br#"{"amount":1,"amount":2}"#)), expected);
}

#[test]
fn ten_thousand_unknown_members_make_a_short_answer() {
    let members: Vec<String> = (0..10_000).map(|n| format!(r#""m{n}":1"#)).collect();
    let body = format!("{{{}}}", members.join(","));
    assert_eq!(complaints(wish(body.as_bytes())).len(), DETAILS_MAX);
}

#[test]
fn texts_are_measured_in_characters_and_kept_exactly() {
    let reason = "ü".repeat(REASON_MAX);
    let external = "x".repeat(EXTERNAL_IDENTIFIER_MAX);
    let body = json!({"reason": reason, "external_identifier": external}).to_string();
    let note = wish(body.as_bytes()).expect("texts at their limits").note;
    assert_eq!(note.reason, Some(reason));
    assert_eq!(note.external_identifier, Some(external));
    let body = json!({"reason": "box\nwas \u{202e}open 🎁", "metadata": {"b": 1, "a": "x"}});
    let note = wish(body.to_string().as_bytes()).expect("any text").note;
    assert_eq!(note.reason.as_deref(), Some("box\nwas \u{202e}open 🎁"));
    assert!(note.metadata.is_some());
}

#[test]
fn refund_all_takes_the_three_bodies_that_the_sdks_send() {
    for body in ["", "null", "{}", " null ", r#"{"reason":null}"#] {
        let read = note(body.as_bytes()).unwrap_or_else(|failure| panic!("{body}: {failure:?}"));
        assert_eq!(read, Note::default(), "{body}");
    }
    let read = note(br#"{"reason":"shop closed","external_identifier":"r-1"}"#);
    let read = read.expect("both texts");
    assert_eq!(read.reason.as_deref(), Some("shop closed"));
    assert_eq!(read.external_identifier.as_deref(), Some("r-1"));
    for (body, pointer) in [
        (r#"{"amount":1}"#, "/amount"),
        (r#"{"target_type":"payment-method"}"#, "/target_type"),
        ("[]", ""),
        ("nul", ""),
    ] {
        let found = complaints(note(body.as_bytes()));
        let pointers: Vec<&str> = found.iter().map(|(pointer, _)| pointer.as_str()).collect();
        assert_eq!(pointers, [pointer], "{body}");
    }
}

#[test]
fn equal_wishes_have_one_meaning_and_others_another() {
    let meaning = |body: &str| {
        let read = wish(body.as_bytes()).unwrap_or_else(|failure| panic!("{body}: {failure:?}"));
        read.meaning()
    };
    let gift_card =
        format!(r#"{{"target_type":"gift-card-redemption","target_id":"{REDEMPTION}"}}"#);
    let groups: [&[&str]; 8] = [
        &["{}", r#"{"amount":null}"#, r#"{"target_type":"payment-method"}"#],
        &[r#"{"amount":100,"reason":"a"}"#, r#" { "reason" : "\u0061", "amount" : 1e2 } "#],
        &[r#"{"amount":100}"#],
        &[r#"{"amount":101}"#],
        &[r#"{"reason":""}"#],
        &[r#"{"external_identifier":"a"}"#],
        &[r#"{"metadata":{"a":1,"b":2}}"#, r#"{"metadata":{"b":2.0,"a":1}}"#],
        &[&gift_card],
    ];
    for (at, group) in groups.iter().enumerate() {
        for body in *group {
            for (other_at, other_group) in groups.iter().enumerate() {
                for other in *other_group {
                    let is_same = meaning(body) == meaning(other);
                    assert_eq!(is_same, at == other_at, "{body} and {other}");
                }
            }
        }
    }
}

#[test]
fn a_body_is_json_by_its_content_type_alone() {
    for (value, taken) in [
        ("application/json", true),
        ("Application/JSON", true),
        ("application/json; charset=utf-8", true),
        ("application/json;charset=\"UTF-8\"", true),
        ("application/json; charset=iso-8859-1", false),
        ("application/json; charset=utf-16", false),
        ("application/x-www-form-urlencoded", false),
        ("text/plain", false),
        ("application/jsonp", false),
        ("", false),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(value));
        assert_eq!(is_json(&headers), taken, "{value:?}");
    }
    assert!(!is_json(&HeaderMap::new()));
}

#[test]
fn an_idempotency_key_has_1_to_255_characters() {
    let read = |values: &[&[u8]]| {
        let mut headers = HeaderMap::new();
        for value in values {
            let value = HeaderValue::from_bytes(value).expect("a header value");
            headers.append(KEY_HEADER, value);
        }
        key_text(&headers)
    };
    let longest = "k".repeat(KEY_TEXT_MAX);
    let longer = "k".repeat(KEY_TEXT_MAX + 1);
    for (values, text) in [
        (&[][..], None),
        (&[&b"k1"[..]], Some("k1")),
        (&[longest.as_bytes()], Some(longest.as_str())),
    ] {
        assert_eq!(read(values).expect("a good key").as_deref(), text);
    }
    for values in [&[&b""[..]][..], &[longer.as_bytes()], &["ü".as_bytes()], &[b"a", b"b"]] {
        let expected = vec![("idempotency-key".to_owned(), "value_error")];
        assert_eq!(complaints(read(values)), expected, "{values:?}");
    }
}
