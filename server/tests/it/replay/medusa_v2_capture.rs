//! Captures through Medusa v2: whole minor units (B7), and races.

use serde_json::Value;

use super::demand::shorten;
use super::money::{major, minor};
use super::recording::text;
use super::tree::Tree;
use crate::support::Response;

/// The one text for an amount that is not there to be captured.
const NOT_LEFT: &str =
    "You cannot capture more than the authorized amount substracted by what is already captured.";

pub(super) fn is_capture(line: &Value) -> bool {
    text(line, "/request/path").split('?').next().is_some_and(|path| path.ends_with("/capture"))
}

/// Turns captured amounts that do not fit the currency into the whole minor units next to them
/// (decision B7).
pub(super) fn whole_units(payment: &mut Tree, exponent: usize) -> Option<&'static str> {
    let Some(Tree::List(captures)) = payment.at_mut("/captures") else {
        return None;
    };
    let mut decision = None;
    for capture in captures {
        let shown = capture.member("amount").map(Tree::to_string).unwrap_or_default();
        let Some(whole) = rounded(&shown, exponent) else {
            continue;
        };
        decision = Some("B7");
        if let Some(amount) = capture.at_mut("/amount")
            && let Ok(number) = Tree::read(whole.as_bytes())
        {
            *amount = number;
        }
        if let Some(value) = capture.at_mut("/raw_amount/value") {
            *value = Tree::Text(whole);
        }
    }
    decision
}

/// `None` for an amount that fits, or is none.
fn rounded(amount: &str, exponent: usize) -> Option<String> {
    let (whole, fraction) = amount.split_once('.')?;
    let (kept, rest) = fraction.split_at_checked(exponent)?;
    rest.bytes().find(|digit| *digit != b'0')?;
    let up = i64::from(rest.starts_with(['5', '6', '7', '8', '9']));
    let units = minor(&format!("{whole}.{kept}"), exponent)?.checked_add(up)?;
    Some(major(units, exponent))
}

/// Captures that were asked for at once.
pub(super) struct Race<'a> {
    pub(super) lines: &'a [Value],
    pub(super) answers: &'a [Response],
    /// What the payment was authorised for, as written.
    pub(super) whole: Option<String>,
    pub(super) exponent: usize,
}

impl Race<'_> {
    /// Exactly what fits is captured. A loser is refused; one that comes when all is captured is
    /// answered with the payment as it is, as whoever asks a moment later.
    pub(super) fn problems(&self, before: i64, after: i64) -> Vec<String> {
        let mut problems = Vec::new();
        let whole = self.whole.as_deref().and_then(|text| minor(text, self.exponent));
        let whole = whole.unwrap_or_default();
        let sent = self.lines.first().map_or("{}", |line| text(line, "/request/body"));
        let sent: Value = serde_json::from_str(sent).unwrap_or_default();
        let amount = sent.get("amount").and_then(|a| minor(&a.to_string(), self.exponent));
        let asked = amount.unwrap_or(whole);
        let fits = whole.saturating_sub(before).checked_div(asked).unwrap_or_default();
        let fits = fits.min(i64::try_from(self.lines.len()).unwrap_or(i64::MAX));
        let wanted = before.saturating_add(fits.saturating_mul(asked));
        if after != wanted {
            problems.push(format!("{after} captured, wanted {wanted}"));
        }
        let granted = self.answers.iter().filter(|answer| answer.status == 200).count();
        let fits = usize::try_from(fits).unwrap_or_default();
        if granted < fits || granted > fits && after < whole {
            problems.push(format!("{granted} granted, {fits} fit"));
        }
        for answer in self.answers.iter().filter(|answer| answer.status != 200) {
            let told = answer.text();
            if answer.status != 400 || !told.contains(NOT_LEFT) {
                problems.push(format!("{} {}", answer.status, shorten(&told)));
            }
        }
        problems
    }
}

#[test]
fn captures_are_whole_minor_units() {
    for (amount, exponent, whole) in [
        ("100.001", 2, Some("100")),
        ("33.335", 2, Some("33.34")),
        ("0.5", 0, Some("1")),
        ("100.00", 2, None),
        ("100.5", 2, None),
        ("100", 2, None),
    ] {
        assert_eq!(rounded(amount, exponent).as_deref(), whole, "{amount}");
    }
    let body = br#"{"id":"pay_1","captures":[{"amount":100.001,"raw_amount":{"value":"100.001"}},{"amount":7}]}"#;
    let mut payment = Tree::read(body).expect("JSON");
    assert_eq!(whole_units(&mut payment, 2), Some("B7"));
    let text =
        r#"{"id":"pay_1","captures":[{"amount":100,"raw_amount":{"value":"100"}},{"amount":7}]}"#;
    assert_eq!(payment.to_string(), text);
    assert_eq!(whole_units(&mut payment, 2), None);
}
