//! What an order is paid with, read from a request's `source`.
//!
//! Of a card, first and last digits, scheme and expiry are kept. Its number is looked at while the
//! request is read and then overwritten; security codes, 3-D Secure values, wallets' tokens and the
//! holder's name are checked for their form and not read further. Complaints never repeat them.

use requite_core::refund::Fault;

use super::failure::Complaint;
use super::fields::Fields;
use crate::connectors::sandbox;
use crate::crypto::secret::Secret;
use crate::json::{Json, Value};
use crate::time::year_and_month;

const KINDS: [&str; 4] = ["card", "apple_pay", "google_pay", "samsung_pay"];
/// Digits of a card's number.
const NUMBER_MIN: usize = 13;
const NUMBER_MAX: usize = 19;
/// From so many digits on, eight first digits may be kept; of shorter numbers six.
const LONG_NUMBER_MIN: usize = 16;
/// Longest name of a holder, in characters.
const HOLDER_MAX: usize = 255;
/// Largest token of a wallet, in bytes.
const TOKEN_BYTES_MAX: usize = 16 * 1024;

const AUTH_STATUSES: [&str; 5] = ["Y", "N", "U", "A", "R"];
const AUTH_ECIS: [&str; 6] = ["00", "01", "02", "05", "06", "07"];

/// Issuers' identification numbers of mada cards, which also begin like other schemes'.
const MADA: [&str; 34] = [
    "400861", "409201", "410685", "417633", "428331", "428671", "431361", "432328", "434107",
    "440533", "440647", "440795", "446393", "446404", "446672", "455036", "457865", "457997",
    "484783", "489317", "493428", "504300", "508160", "529415", "535825", "543357", "549760",
    "557606", "558848", "588845", "588846", "588850", "604906", "636120",
];

/// What is kept of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    pub kind: &'static str,
    pub card: Option<Card>,
    pub month: Option<i64>,
    pub year: Option<i64>,
}

/// What is kept of a card's number, and what its issuer says to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Card {
    pub first_digits: String,
    pub last_digits: String,
    pub scheme: Option<&'static str>,
    pub decline: Option<Fault>,
}

/// Reads `source`; the number goes with it only so that nothing else that is kept can hold it.
pub(super) fn read(fields: &mut Fields<'_>, now_ms: i64) -> Option<(Source, Option<Secret>)> {
    fields.require("source");
    let mut source = fields.inner("source")?;
    source.require("type");
    let kind = source.one_of("type", &KINDS);
    let is_card = kind == Some("card");
    for name in ["number", "month", "year"].into_iter().filter(|_| is_card) {
        source.require(name);
    }
    let number = source.text_that("number", Complaint::NotCardNumber, is_number).map(Secret::new);
    let month = source.integer("month", 1, 12);
    let year = source.integer("year", 2000, 9999);
    source.text_that("security_code", Complaint::NotSecurityCode, |code| {
        (3..=4).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_digit())
    });
    source.text("holder", HOLDER_MAX);
    token(&mut source, kind.is_some_and(|kind| kind != "card") && number.is_none());
    if let Some(mut auth) = source.inner("auth") {
        auth.one_of("status", &AUTH_STATUSES);
        auth.one_of("eci", &AUTH_ECIS);
        source.absorb(auth);
    }
    fields.absorb(source);
    let is_expired =
        month.zip(year).is_some_and(|(month, year)| (year, month) < year_and_month(now_ms));
    let card = number.as_ref().map(|number| Card::of(number.expose(), is_expired));
    Some((Source { kind: kind?, card, month, year }, number))
}

/// A wallet's payment is its token, text or object, or the number that came out of it.
fn token(source: &mut Fields<'_>, is_required: bool) {
    match source.member("token").map(|token| (token.text().len(), token.value())) {
        None if is_required => source.complain("token", Complaint::Required),
        None => {}
        Some((bytes, _)) if bytes > TOKEN_BYTES_MAX => {
            source.complain("token", Complaint::TooManyBytes(TOKEN_BYTES_MAX));
        }
        Some((_, Value::Text(_) | Value::Object(_))) => {}
        Some(_) => source.complain("token", Complaint::NotText),
    }
}

impl Card {
    fn of(number: &str, is_expired: bool) -> Card {
        let first = if number.len() >= LONG_NUMBER_MIN { 8 } else { 6 };
        let decline = sandbox::decline_card(number);
        Card {
            first_digits: number.chars().take(first).collect(),
            last_digits: number.chars().skip(number.len().saturating_sub(4)).collect(),
            scheme: scheme(number),
            decline: decline.or_else(|| is_expired.then(sandbox::decline_expired)),
        }
    }
}

fn is_number(text: &str) -> bool {
    let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    is_digits && (NUMBER_MIN..=NUMBER_MAX).contains(&text.len()) && is_luhn(text)
}

/// Luhn's check digit: from the right every second digit counts twice, and its digits are added up.
fn is_luhn(digits: &str) -> bool {
    let values = digits.bytes().rev().map(|byte| u32::from(byte.saturating_sub(b'0')));
    let sum = values.enumerate().fold(0_u32, |sum, (place, value)| {
        let counted = if place % 2 == 0 { value } else { value.saturating_mul(2) };
        sum.saturating_add(if counted > 9 { counted.saturating_sub(9) } else { counted })
    });
    sum % 10 == 0
}

fn scheme(number: &str) -> Option<&'static str> {
    let prefix = |digits: usize| -> u32 {
        let text = number.get(..digits);
        text.and_then(|text| text.parse().ok()).unwrap_or_default()
    };
    if MADA.iter().any(|issuer| number.starts_with(issuer)) {
        return Some("mada");
    }
    match (prefix(2), prefix(4)) {
        (34 | 37, _) => Some("amex"),
        (40..=49, _) => Some("visa"),
        (51..=55, _) | (_, 2221..=2720) => Some("mastercard"),
        _ => None,
    }
}

/// Does anything in here show this number, spaces and dashes left out?
pub(super) fn shows(json: Json<'_>, number: &Secret) -> bool {
    match json.value() {
        Value::Null | Value::Bool(_) => false,
        Value::Number(raw) => raw.contains(number.expose()),
        Value::Text(text) => text_shows(&text, number),
        Value::Array(items) => items.into_iter().any(|item| shows(item, number)),
        Value::Object(object) => {
            let mut members = object.members().iter();
            members.any(|member| text_shows(&member.name, number) || shows(member.value, number))
        }
    }
}

pub(super) fn text_shows(text: &str, number: &Secret) -> bool {
    let solid: String = text.chars().filter(|character| !matches!(character, ' ' | '-')).collect();
    solid.contains(number.expose())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_is_its_first_and_last_digits_and_a_scheme() {
        for (number, first, last, scheme) in [
            ("4242424242424242", "42424242", "4242", Some("visa")),
            ("5555555555554444", "55555555", "4444", Some("mastercard")),
            ("2223003122003222", "22230031", "3222", Some("mastercard")),
            ("378282246310005", "378282", "0005", Some("amex")),
            ("4464040000000007", "44640400", "0007", Some("mada")),
            ("4222222222222", "422222", "2222", Some("visa")),
            ("6011111111111117", "60111111", "1117", None),
        ] {
            assert!(is_number(number), "{number}");
            let card = Card::of(number, false);
            assert_eq!((card.first_digits.as_str(), card.last_digits.as_str()), (first, last));
            assert_eq!((card.scheme, card.decline), (scheme, None), "{number}");
        }
    }

    #[test]
    fn what_is_no_card_number_is_seen() {
        for text in [
            "4242424242424241",
            "424242424242",
            "42424242424242424242",
            "4242 4242 4242 4242",
            "４２４２",
            "",
        ] {
            assert!(!is_number(text), "{text}");
        }
    }

    #[test]
    fn a_number_is_found_wherever_it_is_written() {
        let number = Secret::new("4242424242424242".to_owned());
        for (text, is_there) in [
            (r#"{"a":"4242 4242-42424242"}"#, true),
            (r#"{"a":[{"4242424242424242":1}]}"#, true),
            (r#"{"a":4242424242424242}"#, true),
            (r#"{"a":"\u0034242424242424242"}"#, true),
            (r#"{"a":"42424242","b":"4242"}"#, false),
        ] {
            let json = crate::json::read(text.as_bytes()).expect("JSON");
            assert_eq!(shows(json, &number), is_there, "{text}");
        }
    }
}
