//! One key, one execution, in every face: a thousand copies at once (F25), other bodies, routes, faces and
//! merchants under the same key (F26), and what is the same request however it is spelt (F29).
//! `REQUITE_KEY_ROUNDS` asks for more rounds of copies.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{FACES, Face, Options, Request, Response, Server, Shop, body};
use crate::torture::{refunds_of, times, verify};

const KEY: &str = "idempotency-key";
/// Copies of one request that are sent at the same time.
const COPIES: usize = 1_000;

struct House {
    server: Server,
    shop: Shop,
}

impl House {
    fn open() -> House {
        let server = Server::start(Options::default());
        let shop = Shop::open(&server.cli(), "Shop");
        House { server, shop }
    }

    /// A payment of 1,000.00, whose captures leave as much to be captured.
    fn payment(&self, connector: &str, script: &Value) -> Value {
        let mut new = json!({"amount": 200_000, "currency": "USD", "connector": connector,
            "captures": [{"amount": 100_000}]});
        if connector == "sandbox" {
            new["sandbox"] = script.clone();
        }
        self.server.register(&self.shop.native, &new)
    }

    fn manual(&self) -> Value {
        self.payment("manual", &Value::Null)
    }

    /// Amounts of the refunds of a payment.
    fn refunded(&self, payment: &Value) -> Vec<i64> {
        let refunds = refunds_of(&self.server, &self.shop, payment);
        refunds.iter().filter_map(|refund| refund["amount"].as_i64()).collect()
    }
}

/// Did the face say that a copy of the request is still being answered?
fn is_in_progress(face: Face, response: &Response) -> bool {
    let (status, words) = match face {
        Face::MedusaV1 | Face::MedusaV2 => (409, "invalid_state_error"),
        Face::Mpg => (400, "Initial request is still processing."),
        Face::Gr4vy => (409, "concurrent_request"),
        Face::Loop => (409, "still in progress"),
    };
    response.status == status && response.text().contains(words)
}

/// Did the face say, in its own words, that the key stands for another request?
fn is_reused(face: Face, response: &Response) -> bool {
    let (status, words) = match face {
        Face::MedusaV1 | Face::MedusaV2 => (422, "duplicate_error"),
        Face::Mpg => (422, "idempotency_key"),
        Face::Gr4vy => (409, "idempotency_mismatch"),
        Face::Loop => (409, "was used for another request"),
    };
    response.status == status && response.text().contains(words)
}

fn is_repeat(response: &Response) -> bool {
    response.header("idempotent-replayed") == Some("true")
}

/// A thousand copies at once: one refund, and the same answer for all, at once or, for whom the face told that
/// the first is still under way, later.
#[test]
fn a_thousand_copies_of_a_request_at_once_are_one_refund_and_one_answer() {
    let house = House::open();
    let rounds = times("REQUITE_KEY_ROUNDS", FACES.len());
    let scripts = [
        ("manual", json!([])),
        ("sandbox", json!(["hang:300"])),
        ("sandbox", json!(["pending:approve"])),
        ("sandbox", json!(["decline:51"])),
    ];
    let mut told_to_wait = 0;
    for round in 0..rounds {
        let (face, (connector, script)) = (FACES[round % 5], &scripts[round % scripts.len()]);
        let payment = house.payment(connector, script);
        // Every seventh asks for more than there is: a refusal is one answer as well.
        let cents = if round % 7 == 6 { 100_001 } else { 700 };
        let request =
            house.shop.refund(face, &payment, cents).header(KEY, &format!("copy-{round}"));
        let answers = house.server.send_at_once(&vec![request.clone(); COPIES]);
        let (waiting, answered): (Vec<&Response>, Vec<&Response>) =
            answers.iter().partition(|answer| is_in_progress(face, answer));
        told_to_wait += waiting.len();
        let last = finished(&house, face, &request);
        let firsts = answered.iter().filter(|answer| !is_repeat(answer)).count();
        let told =
            || format!("round {round}, {face:?}, {connector}: {} {}", last.status, last.text());
        assert_eq!(firsts, 1, "{}: one is the first", told());
        for answer in &answered {
            assert_eq!((answer.status, answer.text()), (last.status, last.text()), "{}", told());
        }
        let made = refunds_of(&house.server, &house.shop, &payment);
        assert_eq!(made.len(), usize::from(cents == 700), "{}", told());
        assert!(is_repeat(&last), "{}", told());
    }
    println!("{} copies, {told_to_wait} told that the first is under way", rounds * COPIES);
    verify(&house.server);
}

/// The same again, until it is answered for good.
fn finished(house: &House, face: Face, request: &Request) -> Response {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let answer = house.server.send(request);
        if !is_in_progress(face, &answer) {
            return answer;
        }
        assert!(Instant::now() < end, "{face:?}: it is under way for ever");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A capture of 1.00 in the words of a face; Loop's needs a charge that is not captured.
fn capture(house: &House, face: Face, payment: &Value) -> Option<Request> {
    let id = |spelling: &str| payment["ids"][spelling].as_str().expect("registration answers it");
    let (path, body) = match face {
        Face::MedusaV1 => (format!("/medusa/v1/admin/payments/{}/capture", id("medusa")), "{}"),
        Face::MedusaV2 => {
            (format!("/medusa/v2/admin/payments/{}/capture", id("medusa")), r#"{"amount":1}"#)
        }
        Face::Mpg => (format!("/mpg/v1/orders/{}/capture", id("uuid")), r#"{"amount":100}"#),
        Face::Gr4vy => (format!("/gr4vy/transactions/{}/capture", id("uuid")), r#"{"amount":100}"#),
        Face::Loop => return None,
    };
    let request = Request::post(&path).header("content-type", "application/json").bytes(body);
    Some(house.shop.credential(face, request))
}

/// One key with another body is an error without effect; with another route, face or merchant it has nothing
/// to do with the first. What another payment is differs: three faces have the payment in the route, and keep keys for
/// each; two keep them for the merchant's refunds, and say that it is used.
#[test]
fn one_key_with_another_meaning_moves_nothing_and_elsewhere_it_is_another_key() {
    let house = House::open();
    let other = Shop::open(&house.server.cli(), "Other shop");
    let new = json!({"amount": 100_000, "currency": "USD", "captures": [{"amount": 100_000}]});
    let theirs = house.server.register(&other.native, &new);
    let (one, two) = (house.manual(), house.manual());
    let send = |request: Request| house.server.send(&request.header(KEY, "the-key"));
    let mut made_elsewhere = 0;
    for (number, face) in (1_usize..).zip(FACES) {
        let first = send(house.shop.refund(face, &one, 700));
        // Made, though the faces before used the same key.
        assert!(face.accepted(&first) && !is_repeat(&first), "{face:?}: {}", first.text());
        assert_eq!(house.refunded(&one), vec![700; number]);

        for body in [
            body(face, &one, "701", ""),
            body(face, &one, "700", ",\"reason\":\"another\""),
            body(face, &one, "700", ",\"note\":\"another\""),
        ] {
            let answer = send(house.shop.request(face, &one).bytes(body.clone()));
            // What a face does not read is no part of the meaning, and what it refuses by itself is none.
            let is_same = is_repeat(&answer) && answer.text() == first.text();
            let is_refused = is_reused(face, &answer) || matches!(answer.status, 400 | 422);
            assert!(is_same || is_refused, "{face:?} {body}: {} {}", answer.status, answer.text());
            assert_eq!(house.refunded(&one), vec![700; number], "{face:?} {body}");
        }
        let changed = send(house.shop.refund(face, &one, 701));
        assert!(is_reused(face, &changed), "{face:?}: {} {}", changed.status, changed.text());
        let again = send(house.shop.refund(face, &one, 700));
        assert!(is_repeat(&again), "{face:?}: the first answer stands");
        assert_eq!((again.status, again.text()), (first.status, first.text()), "{face:?}");

        let elsewhere = send(house.shop.refund(face, &two, 700));
        let has_keys_of_its_own = matches!(face, Face::MedusaV1 | Face::MedusaV2 | Face::Gr4vy);
        let is_made = face.accepted(&elsewhere) && !is_repeat(&elsewhere);
        let is_as_told = if has_keys_of_its_own { is_made } else { is_reused(face, &elsewhere) };
        assert!(is_as_told, "{face:?}: {} {}", elsewhere.status, elsewhere.text());
        made_elsewhere += usize::from(has_keys_of_its_own);
        assert_eq!(house.refunded(&two), vec![700; made_elsewhere], "{face:?}");

        if let Some(capture) = capture(&house, face, &two) {
            let captured = send(capture);
            let is_done = matches!(captured.status, 200 | 201) && !is_repeat(&captured);
            // The whole of it is captured by the first face.
            let is_late = face != Face::MedusaV1 && !is_reused(face, &captured);
            assert!(is_done || is_late, "{face:?}: {} {}", captured.status, captured.text());
        }
        let strangers = send(other.refund(face, &theirs, 700));
        assert!(
            face.accepted(&strangers) && !is_repeat(&strangers),
            "{face:?}: {}",
            strangers.text()
        );
    }
    assert_eq!(refunds_of(&house.server, &other, &theirs).len(), FACES.len());
    verify(&house.server);
}

/// The answer was lost, the server was started again, and the client comes back a second, an hour and almost a
/// day later (F31): the same bytes.
#[test]
fn a_key_that_comes_again_after_a_restart_gives_the_same_bytes_all_day() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let clock = Some(folder.path().join("clock"));
    let server = Server::start(Options { clock, ..Options::default() });
    let shop = Shop::open(&server.cli(), "Shop");
    let mut house = House { server, shop };
    let scripts = [json!(["approve"]), json!(["decline:51"]), json!(["pending"])];
    let mut firsts = Vec::new();
    for face in FACES {
        for (connector, script) in
            scripts.iter().map(|script| ("sandbox", script)).chain([("manual", &Value::Null)])
        {
            let payment = house.payment(connector, script);
            let request =
                house.shop.refund(face, &payment, 700).header(KEY, &format!("all day {script}"));
            let first = house.server.send(&request);
            assert!(!is_repeat(&first), "{face:?}: {}", first.text());
            // The payment moves on in between.
            house.server.send(&house.shop.refund(face, &payment, 50));
            firsts.push((face, request, first));
        }
    }
    for (after, seconds) in [("a second", 1), ("an hour", 3_600), ("almost a day", 82_800)] {
        house.server.kill9();
        house.server.start_again();
        house.server.set_clock(Duration::from_secs(seconds));
        for (face, request, first) in &firsts {
            let again = house.server.send(request);
            assert!(is_repeat(&again), "{face:?} after {after}: {}", again.text());
            let (again, first) = ((again.status, again.text()), (first.status, first.text()));
            assert_eq!(again, first, "{face:?} after {after}");
        }
    }
}

/// A body in other words: what stands for the amount, and what stands around and between.
struct Spelling {
    /// In minor units, and in major units for Medusa v2.
    amount: [&'static str; 2],
    dress: fn(&str) -> String,
    is_same: bool,
}

const SPELLINGS: [Spelling; 10] = [
    Spelling { amount: ["100", "100"], dress: |body| body.to_owned(), is_same: true },
    Spelling { amount: ["1e2", "1e2"], dress: |body| body.to_owned(), is_same: true },
    Spelling { amount: ["100.0", "100.00"], dress: |body| body.to_owned(), is_same: true },
    Spelling { amount: ["1000E-1", "0.1e3"], dress: |body| body.to_owned(), is_same: true },
    Spelling { amount: ["100", "100"], dress: spaced, is_same: true },
    Spelling { amount: ["100", "100"], dress: escaped, is_same: true },
    Spelling { amount: ["100", "100"], dress: reversed, is_same: true },
    Spelling { amount: ["101", "100.01"], dress: |body| body.to_owned(), is_same: false },
    Spelling { amount: ["10", "10"], dress: |body| body.to_owned(), is_same: false },
    Spelling { amount: ["1e3", "1e3"], dress: spaced, is_same: false },
];

fn spaced(body: &str) -> String {
    format!(" \r\n{}\t ", body.replace(':', " :\n ").replace(',', "\t, ").replace('{', "{ "))
}

fn escaped(body: &str) -> String {
    body.replace("\"amount", "\"\\u0061moun\\u0074")
}

/// The members from the last to the first; none of them has a comma or a brace in it.
fn reversed(body: &str) -> String {
    let inner = body.trim_start_matches('{').trim_end_matches('}');
    let mut members: Vec<&str> = inner.split(',').collect();
    members.reverse();
    format!("{{{}}}", members.join(","))
}

#[test]
fn a_request_is_the_same_by_its_meaning_however_it_is_spelt() {
    let house = House::open();
    for face in FACES {
        let payment = house.manual();
        let send = |body: String| {
            house.server.send(&house.shop.request(face, &payment).header(KEY, "spelt").bytes(body))
        };
        let amount = |spelling: &Spelling| spelling.amount[usize::from(face == Face::MedusaV2)];
        let first = send(body(face, &payment, amount(&SPELLINGS[0]), ""));
        assert!(face.accepted(&first), "{face:?}: {}", first.text());
        for spelling in &SPELLINGS {
            let body = (spelling.dress)(&body(face, &payment, amount(spelling), ""));
            let answer = send(body.clone());
            if spelling.is_same {
                assert!(is_repeat(&answer), "{face:?} {body}: {}", answer.text());
                let (answer, first) =
                    ((answer.status, answer.text()), (first.status, first.text()));
                assert_eq!(answer, first, "{face:?} {body}");
            } else {
                assert!(is_reused(face, &answer), "{face:?} {body}: {}", answer.text());
            }
        }
        assert_eq!(house.refunded(&payment).len(), 1, "{face:?}");
    }
}
