//! Bad input gets the face's documented error, and nothing happens: no 5xx, no cent moved. What is
//! accepted moves exactly what it says.

use serde_json::{Value, json};

use crate::support::{FACES, Face, Options, Request, Response, Server, Shop, body, path, path_of};

struct Bench {
    server: Server,
    shop: Shop,
    payment: Value,
}

impl Bench {
    /// A payment larger than any row asks for, of which one cent is already refunded: what means
    /// "all of it" is refused by then (Medusa v2).
    fn new() -> Bench {
        let server = Server::start(Options::default());
        let shop = Shop::open(&server.cli(), "Shop");
        let amount = 9_000_000_000_000_000_i64;
        let new = json!({"amount": amount, "currency": "USD", "captures": [{"amount": amount}]});
        let payment = server.register(&shop.native, &new);
        let first = server.send(&shop.refund(Face::MedusaV1, &payment, 1));
        assert_eq!(first.status, 200, "{}", first.text());
        Bench { server, shop, payment }
    }

    fn refunded(&self) -> i64 {
        let id = self.payment["id"].as_str().expect("an id");
        let request = Request::get(&format!("/api/payments/{id}")).bearer(&self.shop.native.token);
        let payment = self.server.send(&request).json();
        let refunds = payment["refunds"].as_array().expect("a list");
        refunds.iter().filter_map(|refund| refund["amount"].as_i64()).sum()
    }

    /// Sends it; either it is accepted and moved exactly `expected`, or refused in the face's own
    /// words and nothing moved. The answer, if it is accepted.
    fn check(
        &self,
        face: Face,
        request: &Request,
        expected: Option<i64>,
        what: &str,
    ) -> Option<Response> {
        let before = self.refunded();
        let response = self.server.send(request);
        let moved = self.refunded() - before;
        let context = || format!("{face:?} {what}: {} {}", response.status, response.text());
        if face.accepted(&response) {
            assert_eq!(Some(moved), expected, "{}", context());
            return Some(response);
        }
        assert_eq!(moved, 0, "{}", context());
        assert!(is_refusal(face, &response), "{}", context());
        None
    }
}

/// One of the statuses that a face documents for bad input, with a JSON body in its shape.
fn is_refusal(face: Face, response: &Response) -> bool {
    let documented: &[u16] = match face {
        Face::MedusaV1 => &[400, 401, 404, 413, 415],
        Face::MedusaV2 => &[400, 401, 404, 413, 415],
        Face::Mpg => &[400, 401, 404, 413, 415, 422],
        Face::Gr4vy => &[400, 401, 404, 413, 415],
        Face::Loop => &[400, 401, 404, 413, 415, 422],
    };
    if face == Face::MedusaV1 && response.status == 401 {
        // The original's one answer that is no JSON.
        return response.text() == "Unauthorized";
    }
    let body = response.json();
    let has_shape = match face {
        Face::MedusaV1 | Face::MedusaV2 | Face::Mpg => body["message"].is_string(),
        Face::Gr4vy => body["type"] == "error" && body["details"].is_array(),
        Face::Loop => body["error"].is_string() && body["message"].is_string(),
    };
    documented.contains(&response.status) && has_shape
}

/// The amount as written; what it means in minor units; what it means in major units (Medusa v2).
const AMOUNTS: &[(&str, Option<i64>, Option<i64>)] = &[
    ("1", Some(1), Some(100)),
    ("1.0", Some(1), Some(100)),
    ("1e2", Some(100), Some(10_000)),
    ("1E+2", Some(100), Some(10_000)),
    ("99999999", Some(99_999_999), Some(9_999_999_900)),
    ("100000000", Some(100_000_000), Some(10_000_000_000)),
    ("1.5", None, Some(150)),
    ("0.01", None, Some(1)),
    ("1e-2", None, Some(1)),
    ("0.010", None, Some(1)),
    ("0.001", None, None),
    ("1e-400", None, None),
    ("0", None, None),
    ("-0", None, None),
    ("0.0", None, None),
    ("-1", None, None),
    ("-1e2", None, None),
    ("9007199254740991", None, None),
    ("9007199254740992", None, None),
    ("9223372036854775807", None, None),
    ("9223372036854775808", None, None),
    ("1e308", None, None),
    ("1e400", None, None),
    ("1e999999999999999999999", None, None),
    ("\"100\"", None, None),
    ("\"\"", None, None),
    ("true", None, None),
    ("[1]", None, None),
    ("{\"value\":1}", None, None),
    ("NaN", None, None),
    ("Infinity", None, None),
    ("01", None, None),
    ("+1", None, None),
    (".5", None, None),
    ("1.", None, None),
    ("0x10", None, None),
    ("1_000", None, None),
    ("1,5", None, None),
    ("", None, None),
];

#[test]
fn an_amount_is_exact_or_refused() {
    let bench = Bench::new();
    let long = "1".repeat(10_000);
    let rows = AMOUNTS.iter().copied().chain([(long.as_str(), None, None)]);
    for (text, minor, major) in rows {
        for face in FACES {
            let expected = if face == Face::MedusaV2 { major } else { minor };
            let request = bench.shop.refund_of(face, &bench.payment, text);
            bench.check(face, &request, expected, &format!("amount {text:.40}"));
        }
    }
    // Null means absent to Gr4vy's SDKs, and absent means all that is left: not in this table.
    for face in FACES.into_iter().filter(|face| *face != Face::Gr4vy) {
        let request = bench.shop.refund_of(face, &bench.payment, "null");
        bench.check(face, &request, None, "amount null");
    }
}

#[test]
fn a_body_is_read_as_it_is_or_refused() {
    let bench = Bench::new();
    for face in FACES {
        let good = body(face, &bench.payment, "1", "");
        let one = if face == Face::MedusaV2 { 100 } else { 1 };
        let deep = format!("{}1{}", "[".repeat(9_000), "]".repeat(9_000));
        let text = |text: &str| text.as_bytes().to_vec();
        let rows: Vec<(&str, Vec<u8>)> = vec![
            ("byte order mark", text(&format!("\u{feff}{good}"))),
            ("blanks around", text(&format!(" \r\n\t{good}\n "))),
            ("trailing text", text(&format!("{good} x"))),
            ("two documents", text(&format!("{good}{good}"))),
            ("a comment", text(&format!("/* refund */ {good}"))),
            ("cut", text(&good[..good.len() - 1])),
            ("empty", Vec::new()),
            ("blank", text("  ")),
            ("null", text("null")),
            ("an array", text("[]")),
            ("a string", text("\"refund\"")),
            ("a number", text("1")),
            ("deep", text(&deep)),
            ("deep inside", text(&body(face, &bench.payment, &deep, ""))),
            ("single quotes", text(&good.replace('"', "'"))),
            ("invalid UTF-8", [good.as_bytes(), b"\xff\xfe"].concat()),
            ("UTF-16", good.encode_utf16().flat_map(u16::to_le_bytes).collect()),
            ("unknown member", text(&body(face, &bench.payment, "1", ",\"__proto__\":{}"))),
            ("an amount twice", text(&body(face, &bench.payment, "2", ",\"amount\":1"))),
            ("65 KiB", text(&body(face, &bench.payment, "1", &" ".repeat(66_000)))),
        ];
        for (what, bytes) in rows {
            let request = bench.shop.request(face, &bench.payment).bytes(bytes);
            // The last of two members wins where the original says so.
            let is_loop_twice = face == Face::Loop && what == "an amount twice";
            let expected = if is_loop_twice { Some(2) } else { Some(one) };
            bench.check(face, &request, expected, what);
        }
    }
}

/// A body that cannot be read is refused; it never counts as an empty one, which would mean "all
/// of it" to some originals.
#[test]
fn an_unreadable_body_never_means_refund_everything() {
    for kind in [
        "text/plain",
        "application/xml",
        "application/x-www-form-urlencoded",
        "application/json; charset=iso-8859-1",
        "application/json; charset=utf-16",
        "nonsense",
        "",
    ] {
        let bench = Bench::new();
        for face in FACES {
            let post = Request::post(&path(face, &bench.payment)).header("content-type", kind);
            let text = body(face, &bench.payment, "1", "");
            let request = bench.shop.credential(face, post).bytes(text);
            let one = if face == Face::MedusaV2 { 100 } else { 1 };
            bench.check(face, &request, Some(one), &format!("content type {kind:?}"));
        }
    }
}

#[test]
fn texts_are_kept_exactly_or_refused() {
    let bench = Bench::new();
    let mut kept = 0;
    let member = |face| match face {
        Face::MedusaV1 | Face::MedusaV2 => "note",
        Face::Mpg => "transaction_id",
        Face::Gr4vy | Face::Loop => "reason",
    };
    for (what, raw) in [
        ("NUL", "\"a\\u0000b\""),
        ("a lone surrogate", "\"a\\ud800b\""),
        ("right to left", "\"\u{202e}drow\""),
        ("emoji", "\"\\ud83d\\ude42 \u{1F642}\""),
        ("a raw control character", "\"a\u{1}b\""),
        ("a look-alike", "\"\u{440}\u{430}id \u{2160}\u{ff11}\""),
        ("letters in one piece, and in two", "\"\u{e9}e\u{301}\u{1e9b}\u{323}\""),
        ("what is not seen", "\"a\u{200b}\u{200d}\u{feff}b \u{a0} c\u{ad}\""),
        ("blanks around", "\"  a  \""),
        ("60 kB", &format!("\"{}\"", "n".repeat(60_000))),
        ("a number", "5"),
        ("an object", "{}"),
    ] {
        for face in FACES {
            let more = format!(",\"{}\":{raw}", member(face));
            let text = body(face, &bench.payment, "1", &more);
            let request = bench.shop.request(face, &bench.payment).bytes(text);
            let one = if face == Face::MedusaV2 { 100 } else { 1 };
            let answer = bench.check(face, &request, Some(one), what);
            let text = serde_json::from_str::<String>(raw).ok();
            // MPG's is a reference of the caller's, which is shown nowhere.
            if let (Some(answer), Some(text), true) = (answer, text, face != Face::Mpg) {
                let id = answer.header("requite-refund-id").expect("it names the refund");
                let shown = Request::get(&format!("/api/refunds/{id}"));
                let shown = bench.server.send(&shown.bearer(&bench.shop.native.token)).json();
                let is_kept = [answer.json(), shown].iter().any(|told| holds_text(told, &text));
                assert!(is_kept, "{face:?} {what}: {}", answer.text());
                kept += 1;
            }
        }
    }
    assert!(kept > 20, "only {kept} texts were kept");
}

/// Does the text stand in it, just as it is?
fn holds_text(value: &Value, text: &str) -> bool {
    match value {
        Value::String(known) => known == text,
        Value::Array(items) => items.iter().any(|item| holds_text(item, text)),
        Value::Object(members) => members.values().any(|member| holds_text(member, text)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

#[test]
fn a_strange_id_is_an_unknown_one() {
    let bench = Bench::new();
    let known = bench.payment["ids"]["medusa"].as_str().expect("an id").to_owned();
    let long = "x".repeat(10_000);
    for id in [
        "..%2f..%2fetc%2fpasswd",
        "%2e%2e",
        "%00",
        "a%00b",
        "%ff",
        "%zz",
        "%",
        "'%20or%201=1--",
        "pay_",
        "pay_doesnotexist",
        "__proto__",
        "constructor",
        "null",
        "0",
        "-1",
        "%F0%9F%99%82",
        "pay_00000000000000000000000000",
        "00000000-0000-0000-0000-000000000000",
        "01234567-89ab-cdef-0123-456789abcdeg",
        &known.to_lowercase(),
        &format!("{known}0"),
        &long,
    ] {
        for face in FACES {
            let request = if face == Face::Loop {
                let text = serde_json::to_string(id).expect("a string");
                let text = format!("{{\"charge_id\":{text},\"amount_cents\":1}}");
                bench.shop.request(face, &bench.payment).bytes(text)
            } else {
                let post = Request::post(&path_of(face, id));
                let post = post.header("content-type", "application/json");
                let text = body(face, &bench.payment, "1", "");
                bench.shop.credential(face, post).bytes(text)
            };
            let response = bench.server.send(&request);
            let is_fine = matches!(response.status, 400 | 404 | 414 | 422 | 431);
            assert!(is_fine, "{face:?} {id:.60}: {} {}", response.status, response.text());
        }
    }
    assert_eq!(bench.refunded(), 1);
}

#[test]
fn nobody_gets_in_without_a_credential_of_this_face() {
    let bench = Bench::new();
    let foreign = Shop::open(&bench.server.cli(), "Another");
    let none_token =
        "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJzY29wZXMiOlsiKi53cml0ZSJdLCJleHAiOjQwMDAwMDAwMDB9.";
    let huge = "a".repeat(20_000);
    for face in FACES {
        let others = FACES.into_iter().filter(|other| *other != face);
        let mut headers: Vec<(&str, String)> = others
            .flat_map(|other| {
                let token = bench.shop.token(other);
                [
                    ("authorization", format!("Bearer {token}")),
                    ("x-medusa-access-token", token.to_owned()),
                ]
            })
            .collect();
        for value in [
            "",
            "Bearer",
            "Bearer ",
            "Basic",
            "Basic !!",
            "Digest x",
            "Bearer a b",
            "Bearer sk_0",
            "Basic c2tfMDo=",
            "Bearer \u{e9}",
        ] {
            headers.push(("authorization", value.to_owned()));
        }
        headers.push(("authorization", format!("Bearer {none_token}")));
        headers.push(("authorization", format!("Bearer {huge}")));
        headers.push(("x-nothing", String::new()));
        for (name, value) in headers {
            let text = body(face, &bench.payment, "1", "");
            let post = Request::post(&path(face, &bench.payment));
            let request =
                post.header("content-type", "application/json").header(name, &value).bytes(text);
            let response = bench.server.send(&request);
            let is_fine = response.status == 401 && is_refusal(face, &response);
            let is_too_large = value.len() > 16_000 && response.status == 431;
            let context = || format!("{face:?} {name}: {value:.60}: {}", response.text());
            assert!(is_fine || is_too_large, "{} {}", response.status, context());
        }
        // A good credential of another merchant: as if the payment were not there.
        let text = body(face, &bench.payment, "1", "");
        let foreign = foreign.request(face, &bench.payment).bytes(text.clone());
        let response = bench.server.send(&foreign);
        assert_eq!(response.status, 404, "{face:?}: {}", response.text());
    }
    assert_eq!(bench.refunded(), 1);
}
