//! Card numbers that somebody typed where none belongs: a note, a reason, metadata, a key. They are
//! masked before anything is kept.
//!
//! A card number is 13 to 19 digits, with single spaces, dots or hyphens between them or without, that
//! begin as card numbers begin, sum up by Luhn's rule and are no part of a longer word. One in some
//! hundred other numbers of that length looks the same, and is masked as well: that is the lesser harm,
//! and no number that something is found by is touched here.

/// Digits of a card number.
const DIGITS: std::ops::RangeInclusive<usize> = 13..=19;
/// What stays readable: the first six and the last four digits, as receipts show them.
const FIRST: usize = 6;
const LAST: usize = 4;

/// The text with the middle digits of every card number struck out. `None`: there is none in it.
///
/// In JSON a number stays one: outside of quotes its middle digits become zeros.
pub fn masked(text: &str, is_json: bool) -> Option<String> {
    let bytes = text.as_bytes();
    let mut kept = bytes.to_vec();
    let mut quotes = Quotes::default();
    let mut at = 0;
    let mut found = false;
    while let Some(&byte) = bytes.get(at) {
        let is_start = byte.is_ascii_digit() && begins(bytes, at);
        let number = if is_start { card(bytes, &run(bytes, at)) } else { None };
        let mut next = at.saturating_add(1);
        if let Some(digits) = number {
            let struck = if is_json && !quotes.is_inside { b'0' } else { b'*' };
            let middle = digits.len().saturating_sub(LAST);
            for place in digits.iter().take(middle).skip(FIRST) {
                if let Some(byte) = kept.get_mut(*place) {
                    *byte = struck;
                }
            }
            found = true;
            next = digits.last().map_or(next, |last| last.saturating_add(1));
        }
        for byte in bytes.iter().take(next).skip(at) {
            quotes.see(*byte);
        }
        at = next;
    }
    found.then(|| String::from_utf8(kept).expect("digits were replaced by ASCII"))
}

/// Are we inside of a JSON string?
#[derive(Default)]
struct Quotes {
    is_inside: bool,
    is_escaped: bool,
}

impl Quotes {
    fn see(&mut self, byte: u8) {
        if byte == b'"' && !self.is_escaped {
            self.is_inside = !self.is_inside;
        }
        self.is_escaped = byte == b'\\' && !self.is_escaped;
    }
}

/// May a number begin here? Not within a word, nor as the decimals of another number; behind other
/// digits and a separator it may: `05-11 4111 1111 1111 1111`.
fn begins(bytes: &[u8], at: usize) -> bool {
    let before = |count| at.checked_sub(count).and_then(|at| bytes.get(at));
    let is_decimal = before(1) == Some(&b'.') && before(2).is_some_and(u8::is_ascii_digit);
    is_edge(before(1)) && !is_decimal
}

/// Where the digits stand that begin here, with at most one separator between two: no more of them
/// than a number has.
fn run(bytes: &[u8], start: usize) -> Vec<usize> {
    let mut digits = Vec::new();
    let mut gap = 0_usize;
    for (at, byte) in bytes.iter().enumerate().skip(start) {
        match byte {
            b'0'..=b'9' if digits.len() < *DIGITS.end() => {
                digits.push(at);
                gap = 0;
            }
            b' ' | b'-' | b'.' if gap == 0 => gap = 1,
            _ => break,
        }
    }
    digits
}

/// The longest card number that these digits begin with, up to a separator or the end.
fn card(bytes: &[u8], digits: &[usize]) -> Option<Vec<usize>> {
    let lengths = DIGITS.rev().filter(|length| *length <= digits.len());
    let mut whole = lengths.map(|length| digits.iter().take(length).copied().collect::<Vec<_>>());
    whole.find(|part| {
        let next = part.last().and_then(|last| bytes.get(last.saturating_add(1)));
        let values: Vec<u8> = part.iter().filter_map(|at| bytes.get(*at).copied()).collect();
        is_edge(next) && begins_as_a_card(&values) && sums_up(&values)
    })
}

/// Not within a longer word or number.
fn is_edge(byte: Option<&u8>) -> bool {
    byte.is_none_or(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_')
}

/// Major industry numbers 3 to 6 are cards; 2 only where Mastercard has it.
fn begins_as_a_card(digits: &[u8]) -> bool {
    match digits {
        [b'3'..=b'6', ..] => true,
        [b'2', rest @ ..] => rest.first().is_some_and(|second| (b'2'..=b'7').contains(second)),
        _ => false,
    }
}

/// Luhn's rule.
fn sums_up(digits: &[u8]) -> bool {
    let mut sum = 0_u32;
    for (place, digit) in digits.iter().rev().enumerate() {
        let value = u32::from(digit.saturating_sub(b'0'));
        let doubled = value.saturating_mul(2);
        let weighed = if place.checked_rem(2) == Some(0) {
            value
        } else if doubled > 9 {
            doubled.saturating_sub(9)
        } else {
            doubled
        };
        sum = sum.saturating_add(weighed);
    }
    sum.checked_rem(10) == Some(0)
}
