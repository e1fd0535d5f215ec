//! Every currency of ISO 4217 through every face (F62): one minor unit is one minor unit, however many decimals
//! the currency has, and what is less than one, or no currency, is refused.

use std::thread;

use requite_core::currency::Currency;
use requite_core::money::{Minor, major_text};
use serde_json::{Value, json};

use crate::support::{FACES, Face, Options, Request, Response, Server, Shop};

/// What one minor unit is called by a face.
fn unit(face: Face, currency: Currency) -> String {
    match face {
        Face::MedusaV2 => major_text(Minor::new(1).expect("an amount"), currency),
        Face::MedusaV1 | Face::Mpg | Face::Gr4vy | Face::Loop => "1".to_owned(),
    }
}

/// A tenth of it.
fn tenth(face: Face, currency: Currency) -> String {
    match face {
        Face::MedusaV2 => format!("1e-{}", currency.exponent() + 1),
        Face::MedusaV1 | Face::Mpg | Face::Gr4vy | Face::Loop => "0.1".to_owned(),
    }
}

/// What the face says that it has refunded of one unit.
fn told(face: Face, answer: &Response) -> Value {
    let body = answer.json();
    match face {
        Face::MedusaV1 => body["refund"]["amount"].clone(),
        Face::MedusaV2 => body["payment"]["refunds"][0]["amount"].clone(),
        Face::Mpg => body["refunded_amount"].clone(),
        Face::Gr4vy => body["amount"].clone(),
        Face::Loop => body["amount_cents"].clone(),
    }
}

fn totals(server: &Server, shop: &Shop, payment: &Value) -> [i64; 2] {
    let id = payment["id"].as_str().expect("an id");
    let shown = Request::get(&format!("/api/payments/{id}")).bearer(&shop.native.token);
    let shown = server.send(&shown).json();
    ["refunded", "reserved"].map(|name| shown["totals"][name].as_i64().expect("a number"))
}

fn refunds_one_unit(server: &Server, shop: &Shop, currency: Currency) {
    for (face, code) in FACES
        .into_iter()
        .zip([currency.code().to_owned(), currency.code().to_lowercase()].iter().cycle())
    {
        let new = json!({"amount": 10, "currency": code, "captures": [{"amount": 10}]});
        let payment = server.register(&shop.native, &new);
        assert_eq!(payment["currency"], currency.code());
        let less = server.send(&shop.refund_of(face, &payment, &tenth(face, currency)));
        assert!((400..500).contains(&less.status), "{face:?} {currency}: {}", less.text());
        assert_eq!(totals(server, shop, &payment), [0, 0], "{face:?} {currency}");
        let amount = unit(face, currency);
        let answer = server.send(&shop.refund_of(face, &payment, &amount));
        assert!(face.accepted(&answer), "{face:?} {currency} {amount}: {}", answer.text());
        assert_eq!(totals(server, shop, &payment), [1, 0], "{face:?} {currency} {amount}");
        assert_eq!(
            told(face, &answer).to_string(),
            amount,
            "{face:?} {currency}: {}",
            answer.text()
        );
    }
}

#[test]
fn one_minor_unit_of_every_currency_is_one_through_every_face() {
    let server = Server::start(Options::default());
    let shop = Shop::open(&server.cli(), "Shop");
    let all: Vec<Currency> = Currency::all().collect();
    assert!(all.len() > 150, "{} currencies", all.len());
    let exponents =
        [0, 2, 3, 4].map(|exponent| all.iter().filter(|c| c.exponent() == exponent).count());
    assert!(exponents.iter().all(|count| *count > 1), "{exponents:?}");
    thread::scope(|scope| {
        for part in all.chunks(all.len().div_ceil(4)) {
            let (server, shop) = (&server, &shop);
            scope.spawn(move || {
                for currency in part {
                    refunds_one_unit(server, shop, *currency);
                }
            });
        }
    });
    println!("{} currencies through {} faces", all.len(), FACES.len());
}

#[test]
fn what_is_no_currency_is_refused_and_nothing_is_registered() {
    let server = Server::start(Options::default());
    let shop = Shop::open(&server.cli(), "Shop");
    for code in [
        "\"\"",
        "\"E\"",
        "\"EU\"",
        "\"EURO\"",
        "\"ZZZ\"",
        "\"XXX\"",
        "\"XTS\"",
        "\"XAU\"",
        "\"BTC\"",
        "\" EUR\"",
        "\"EUR \"",
        "\"E\\u0000R\"",
        "\"\u{415}UR\"",
        "\"\u{20ac}\"",
        "\"978\"",
        "978",
        "null",
        "true",
        "[\"EUR\"]",
        "{}",
    ] {
        let body =
            format!("{{\"amount\":10,\"currency\":{code},\"captures\":[{{\"amount\":10}}]}}");
        let post = Request::post("/api/payments").bearer(&shop.native.token);
        let answer = server.send(&post.header("content-type", "application/json").bytes(body));
        assert!(matches!(answer.status, 400 | 422), "{code}: {} {}", answer.status, answer.text());
        let cli = server.cli().run(
            &["import", "-", "--merchant", &shop.merchant.slug],
            &format!("{{\"amount\":10,\"currency\":{code}}}"),
        );
        assert_eq!(cli.code, Some(1), "{code}: {cli:?}");
    }
    let listed = server.send(&Request::get("/api/payments").bearer(&shop.native.token)).json();
    assert_eq!(listed["items"], json!([]));
}

/// No face's refund names a currency. One that is sent along is that of another payment, or says nothing.
#[test]
fn a_currency_beside_the_amount_changes_nothing() {
    let server = Server::start(Options::default());
    let shop = Shop::open(&server.cli(), "Shop");
    for face in FACES {
        for (own, other) in [("USD", "JPY"), ("JPY", "USD"), ("KWD", "EUR"), ("CLF", "KWD")] {
            let currency = Currency::parse(own).expect("listed");
            let new = json!({"amount": 10, "currency": own, "captures": [{"amount": 10}]});
            let payment = server.register(&shop.native, &new);
            let more = format!(",\"currency\":\"{other}\",\"currency_code\":\"{other}\"");
            let body = crate::support::body(face, &payment, &unit(face, currency), &more);
            let answer = server.send(&shop.request(face, &payment).bytes(body));
            let moved = totals(&server, &shop, &payment);
            let expected = if face.accepted(&answer) { [1, 0] } else { [0, 0] };
            assert_eq!(moved, expected, "{face:?} {own}: {}", answer.text());
            assert!(answer.status < 500, "{face:?} {own}: {}", answer.text());
        }
    }
}
