use super::{Cause, DEPTH_MAX, Fault, Json, Kind, Value, read};

fn json(text: &str) -> Json<'_> {
    read(text.as_bytes()).unwrap_or_else(|fault| panic!("{text:?}: {fault}"))
}

#[test]
fn every_kind_of_value_is_read_with_its_raw_text() {
    for (input, text, kind) in [
        ("null", "null", Kind::Null),
        (" true\n", "true", Kind::Bool),
        ("\tfalse\r\n", "false", Kind::Bool),
        ("\u{feff} 1.50e+3 ", "1.50e+3", Kind::Number),
        ("-0", "-0", Kind::Number),
        (r#""a\u0041""#, r#""a\u0041""#, Kind::String),
        ("[1 , 2]", "[1 , 2]", Kind::Array),
        ("\u{feff}{ }", "{ }", Kind::Object),
    ] {
        let value = json(input);
        assert_eq!((value.text(), value.kind()), (text, kind), "{input:?}");
    }
    assert_eq!(json("90071992547409.93").value(), Value::Number("90071992547409.93"));
    assert_eq!(json("false").value(), Value::Bool(false));
}

#[test]
fn strings_are_decoded() {
    for (input, text) in [
        (r#""""#, ""),
        (r#""plain caf\u00e9 é""#, "plain café é"),
        (r#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{c}\n\r\t"),
        (r#""\ud83d\ude00\uD83D\uDE00""#, "😀😀"),
        (r#""\udbff\udfff""#, "\u{10ffff}"),
        (r#""a\u0000b""#, "a\0b"),
        (r#""\\u0000""#, "\\u0000"),
        ("\"\u{202e}\u{7f}\"", "\u{202e}\u{7f}"),
    ] {
        assert_eq!(json(input).string().as_deref(), Some(text), "{input}");
    }
}

#[test]
fn members_keep_their_order_and_repetitions() {
    let object = json(r#" {"b":1, "a" : [ {"c":2} ],"b":"2","\u0061":null} "#).object();
    let object = object.expect("an object");
    let members: Vec<(&str, &str)> =
        object.members().iter().map(|member| (&*member.name, member.value.text())).collect();
    assert_eq!(members, [("b", "1"), ("a", r#"[ {"c":2} ]"#), ("b", "\"2\""), ("a", "null")]);
    assert_eq!(object.member("b").map(Json::text), Some("\"2\""), "the last wins");
    assert_eq!(object.member("c"), None);
    assert_eq!(object.repeated_name(), Some("b"));
    assert_eq!(object.name_outside(&["b"]), Some("a"));
    assert_eq!(object.name_outside(&["a", "b"]), None);
    assert_eq!(json("[]").object(), None);
    assert!(json(" { } ").object().expect("an object").is_empty());
}

#[test]
fn what_is_not_json_is_refused_with_place_and_cause() {
    use Cause::{
        ColonExpected, CommaOrEndExpected, ControlCharacter, Empty, EscapeUnknown, LoneSurrogate,
        NameExpected, NumberMalformed, TrailingText, Unfinished, ValueExpected,
    };
    for (input, at, cause) in [
        ("", 0, Empty),
        (" \n", 2, Empty),
        ("\u{feff}", 3, Empty),
        ("\u{feff}\u{feff}1", 3, ValueExpected),
        ("{", 1, Unfinished),
        ("[1,", 3, Unfinished),
        (r#"{"a""#, 4, Unfinished),
        ("\"abc", 4, Unfinished),
        (r#""\"#, 2, Unfinished),
        (r#""\u12"#, 5, Unfinished),
        ("tru", 3, Unfinished),
        ("-", 1, Unfinished),
        ("1.", 2, Unfinished),
        ("1e", 2, Unfinished),
        ("{} {}", 3, TrailingText),
        ("1 2", 2, TrailingText),
        ("nullx", 4, TrailingText),
        ("{}// note", 2, TrailingText),
        ("NaN", 0, ValueExpected),
        ("Infinity", 0, ValueExpected),
        ("-Infinity", 1, NumberMalformed),
        ("True", 0, ValueExpected),
        ("nul1", 3, ValueExpected),
        ("undefined", 0, ValueExpected),
        ("'a'", 0, ValueExpected),
        ("+1", 0, ValueExpected),
        (".5", 0, ValueExpected),
        ("[,1]", 1, ValueExpected),
        ("[1,]", 3, ValueExpected),
        ("/* */1", 0, ValueExpected),
        ("\u{a0}1", 0, ValueExpected),
        ("amount=1000", 0, ValueExpected),
        ("01", 1, NumberMalformed),
        ("-01", 2, NumberMalformed),
        ("1.x", 2, NumberMalformed),
        ("1e+x", 3, NumberMalformed),
        ("0x10", 1, TrailingText),
        ("1_000", 1, TrailingText),
        ("{a:1}", 1, NameExpected),
        (r#"{"a":1,}"#, 7, NameExpected),
        ("{1:1}", 1, NameExpected),
        (r#"{"a" 1}"#, 5, ColonExpected),
        (r#"{"a":1 "b":2}"#, 7, CommaOrEndExpected),
        ("[1 2]", 3, CommaOrEndExpected),
        ("[1}", 2, CommaOrEndExpected),
        (r#""\x41""#, 2, EscapeUnknown),
        (r#""\u00g0""#, 5, EscapeUnknown),
        ("\"a\nb\"", 2, ControlCharacter),
        ("\"\0\"", 1, ControlCharacter),
        (r#""\ud83d""#, 1, LoneSurrogate),
        (r#""a\udc00""#, 2, LoneSurrogate),
        (r#""\ud83dx""#, 1, LoneSurrogate),
        (r#""\ud83d\n""#, 1, LoneSurrogate),
        (r#""\ud83d\ud83d""#, 1, LoneSurrogate),
    ] {
        assert_eq!(read(input.as_bytes()), Err(Fault { at, cause }), "{input:?}");
    }
}

#[test]
fn bytes_that_are_not_utf_8_are_refused() {
    for (input, at) in [
        (&b"\"\xff\""[..], 1),
        (b"{\"a\":\"\xc3\x28\"}", 6),
        (b"\"\xed\xa0\x80\"", 1),
        (b"\xff\xfe1\0", 0),
        (b"\"caf\xe9\"", 4),
    ] {
        assert_eq!(read(input), Err(Fault { at, cause: Cause::NotUtf8 }), "{input:?}");
    }
}

#[test]
fn depth_is_bounded() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(read(nested(DEPTH_MAX).as_bytes()).is_ok());
    let fault = Fault { at: DEPTH_MAX, cause: Cause::TooDeep };
    assert_eq!(read(nested(DEPTH_MAX + 1).as_bytes()), Err(fault));
    assert_eq!(read("[".repeat(1_000_000).as_bytes()), Err(fault));
    assert_eq!(
        read("{\"a\":".repeat(200).as_bytes()).map_err(|fault| fault.cause),
        Err(Cause::TooDeep)
    );
    assert_eq!(json(&nested(DEPTH_MAX)).canonical(), nested(DEPTH_MAX));
}

#[test]
fn a_nul_is_found_wherever_it_hides() {
    for (input, contains) in [
        (r#"{"note":"a\u0000b"}"#, true),
        (r#"{"a\u0000":1}"#, true),
        (r#"[[{"a":["\\\u0000"]}]]"#, true),
        (r#""\\u0000""#, false),
        (r#""\u00001""#, true),
        (r#""\u0001\"u0000""#, false),
        ("[0]", false),
    ] {
        assert_eq!(json(input).contains_nul(), contains, "{input}");
    }
}

#[test]
fn equal_meaning_has_one_canonical_form() {
    for (form, spellings) in [
        (
            r#"{"amount":1e3,"note":"é"}"#,
            &[
                r#"{"amount":1000,"note":"é"}"#,
                r#" { "note" : "\u00e9" , "amount" : 1e3 } "#,
                r#"{"amount":5,"note":"é","amount":1000.00}"#,
                "\u{feff}{\"\\u0061mount\":1.0e3,\"note\":\"é\"}",
            ][..],
        ),
        (
            r#"[1e0,[],{},"a/b\u000a\"\\",null,true,false]"#,
            &[r#"[1, [ ] ,{ }, "a\/b\n\u0022\\", null,true,false]"#],
        ),
        (r#""😀""#, &[r#""\ud83d\ude00""#, r#""😀""#]),
    ] {
        for spelling in spellings {
            assert_eq!(json(spelling).canonical(), *form, "{spelling}");
        }
    }
}

#[test]
fn other_meaning_has_another_canonical_form() {
    let texts = [
        "1",
        "1.1",
        "-1",
        "\"1\"",
        "null",
        "true",
        "[]",
        "{}",
        "[1,2]",
        "[2,1]",
        r#"{"a":1}"#,
        r#"{"a":null}"#,
        r#"{"a":1,"b":1}"#,
        "\"\"",
        "\"a\"",
        "\"A\"",
        "\" a\"",
        "[[1],2]",
        "[[1,2]]",
        r#"{"a":{"b":1}}"#,
        r#""a\u0000""#,
        "10000000000000000000000001",
        "10000000000000000000000002",
    ];
    let forms: std::collections::BTreeSet<String> =
        texts.iter().map(|text| json(text).canonical()).collect();
    assert_eq!(forms.len(), texts.len());
}

#[test]
fn a_value_does_not_show_itself_in_debug_output() {
    assert_eq!(format!("{:?}", json(r#"{"cvv":"123"}"#)), "Json(Object, 13 bytes)");
}
