//! What of a card may be kept: its first and last digits, never its number or its code.

use super::fields::{Fault, Fields};
use crate::json::{Json, Value, integer};

const TEXTS: [&str; 6] = ["type", "scheme", "issuer", "card_type", "category", "country_alpha2"];
const MEMBERS: [&str; 10] = [
    "type",
    "scheme",
    "issuer",
    "card_type",
    "category",
    "country_alpha2",
    "first_digits",
    "last_digits",
    "month",
    "year",
];
/// Longest text of a source, in bytes.
const TEXT_BYTES_MAX: usize = 255;
/// First digits that may be kept: an issuer's identification number has six or eight.
const FIRST_DIGITS_MAX: usize = 8;
/// Last digits that may be kept.
const LAST_DIGITS_MAX: usize = 4;
/// As few digits in a row as a card number may have.
const CARD_DIGITS_LEAST: usize = 12;

/// Everything that is wrong with a payment's `source`. Never repeats what was sent.
pub(crate) fn faults(source: Json<'_>, at: &str) -> Vec<Fault> {
    if source.object().is_none() {
        return Vec::new();
    }
    let mut fields = match Fields::open(source, at, &MEMBERS) {
        Ok(fields) => fields,
        Err(fault) => return vec![fault],
    };
    for name in TEXTS {
        if fields.text(name, TEXT_BYTES_MAX).is_some_and(|text| holds_card_number(&text)) {
            fields.fault(name, "holds a card number; keep first_digits and last_digits only");
        }
    }
    digits(&mut fields, "first_digits", FIRST_DIGITS_MAX);
    digits(&mut fields, "last_digits", LAST_DIGITS_MAX);
    for (name, least, most) in [("month", 1, 12), ("year", 2000, 9999)] {
        let number = fields.member(name).map(|value| match value.value() {
            Value::Number(raw) => integer(raw).ok(),
            _ => None,
        });
        let is_wrong = number.is_some_and(|n| n.is_none_or(|n| !(least..=most).contains(&n)));
        if is_wrong {
            fields.fault(name, format!("must be a whole number from {least} to {most}"));
        }
    }
    fields.into_faults()
}

fn digits(fields: &mut Fields<'_>, name: &str, max: usize) {
    let Some(value) = fields.member(name) else {
        return;
    };
    let is_digits = |text: &String| {
        (1..=max).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    if !value.string().as_ref().is_some_and(is_digits) {
        fields
            .fault(name, format!("must be text of 1 to {max} digits; more of a card is not kept"));
    }
}

/// Twelve or more digits in a row, spaces and dashes between them not counted.
fn holds_card_number(text: &str) -> bool {
    let mut run = 0;
    text.chars().any(|character| {
        match character {
            '0'..='9' => run += 1,
            ' ' | '-' => {}
            _ => run = 0,
        }
        run >= CARD_DIGITS_LEAST
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_card_but_its_first_and_last_digits_is_taken() {
        for (source, pointers) in [
            (
                r#"{"type":"card","scheme":"mada","first_digits":"55555555","last_digits":"4444","month":12,"year":2030}"#,
                vec![],
            ),
            (r#"{"type":null,"issuer":null}"#, vec![]),
            (r#"{"number":"5555555555554444"}"#, vec!["/source/number"]),
            (r#"{"security_code":"123"}"#, vec!["/source/security_code"]),
            (r#"{"issuer":"5555 5555-5555 4444"}"#, vec!["/source/issuer"]),
            (r#"{"first_digits":"555555555"}"#, vec!["/source/first_digits"]),
            (r#"{"last_digits":"54444"}"#, vec!["/source/last_digits"]),
            (r#"{"last_digits":4444}"#, vec!["/source/last_digits"]),
            (r#"{"month":13,"year":30}"#, vec!["/source/month", "/source/year"]),
        ] {
            let json = crate::json::read(source.as_bytes()).expect("JSON");
            let found = faults(json, "/source");
            let found: Vec<&str> = found.iter().map(|fault| fault.pointer.as_str()).collect();
            assert_eq!(found, pointers, "{source}");
        }
    }
}
