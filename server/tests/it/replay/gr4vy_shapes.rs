//! The forms of Gr4vy's bodies: what may differ from a recorded refund, and the facts about what
//! the official SDKs can read, checked on our own answers.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::compare::{Dialect, is_uuid, matches_form};
use super::recording::{members, text};
use super::tally::Outcome;
use super::tree::Tree;

/// Compares refunds. Recorded ids are examples, one and the same for several refunds, so they are
/// compared by form.
pub(super) struct Gr4vy {
    pub(super) transaction: String,
    /// Redemptions that the transaction was registered with.
    pub(super) cards: Vec<String>,
    /// The recording has the whole body; otherwise ours may have more.
    pub(super) whole: bool,
}

impl Dialect for Gr4vy {
    fn judge(&self, path: &str, recorded: &Tree, ours: &Tree) -> Option<Result<(), String>> {
        let is = |right: bool| {
            Some(if right { Ok(()) } else { Err(format!("ours {ours}, recorded {recorded}")) })
        };
        let text = ours.text().unwrap_or_default();
        match path.rsplit('/').next().unwrap_or_default() {
            "id" => is(is_uuid(text)),
            "transaction_id" => is(text == self.transaction),
            // Checked against the ids themselves in `refund_problems`.
            "reconciliation_id" | "transaction_reconciliation_id" => is(!text.is_empty()),
            "created_at" | "updated_at" => is(is_timestamp(text)),
            // Which method was used is the transaction's; null when it was not stored. A gift
            // card's redemption is named by the request, and must be the very one.
            "target_id" => is(match recorded.text() {
                Some(card) if self.cards.iter().any(|known| known == card) => text == card,
                _ => *ours == Tree::Null || is_uuid(text),
            }),
            // The provider's own name for the refund: known once it has it.
            "payment_service_refund_id" => is(match recorded {
                Tree::Text(_) => !text.is_empty(),
                _ => *ours == Tree::Null || !text.is_empty(),
            }),
            // One page holds all refunds: the SDKs cannot ask for another.
            "limit" => is(
                matches!(ours, Tree::Number(n) if n.as_i64().is_some_and(|n| (1..=100).contains(&n))),
            ),
            "next_cursor" | "previous_cursor" => is(*ours == Tree::Null || !text.is_empty()),
            _ => None,
        }
    }

    fn addition(&self, _path: &str) -> Option<&'static str> {
        (!self.whole).then_some("whole body")
    }
}

/// RFC 3339 with `T`, an offset, and up to nine decimals: what every SDK takes.
pub(super) fn is_timestamp(text: &str) -> bool {
    let Some((head, rest)) = text.split_at_checked(19) else {
        return false;
    };
    let offset = rest.trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
    matches_form(head, "dddd-dd-ddTdd:dd:dd")
        && (offset == "Z" || matches_form(offset, "+dd:dd") || matches_form(offset, "-dd:dd"))
}

/// What holds for every refund, whatever was recorded.
pub(super) fn refund_problems(refund: &Tree) -> Vec<String> {
    let mut problems = Vec::new();
    for (id, name) in
        [("id", "reconciliation_id"), ("transaction_id", "transaction_reconciliation_id")]
    {
        let uuid = refund.member(id).and_then(Tree::text).unwrap_or_default();
        let shown = refund.member(name).and_then(Tree::text);
        if base62(uuid).as_deref() != shown {
            problems.push(format!("{name} {shown:?} is not the base62 of {uuid}"));
        }
    }
    problems
}

/// The 128 bits of a UUID in base 62: digits, capitals, small letters, most significant first.
pub(super) fn base62(uuid: &str) -> Option<String> {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut bits = u128::from_str_radix(&uuid.replace('-', ""), 16).ok()?;
    let mut text = Vec::new();
    while bits > 0 {
        let digit = usize::try_from(bits % 62).ok()?;
        text.push(char::from(*DIGITS.get(digit)?));
        bits /= 62;
    }
    Some(text.iter().rev().collect())
}

/// Our own bodies, by the schema that they are answers of.
#[derive(Default)]
pub(super) struct Samples {
    bodies: BTreeMap<String, Vec<Tree>>,
}

impl Samples {
    pub(super) fn add(&mut self, schema: &str, body: Tree) {
        self.bodies.entry(schema.to_owned()).or_default().push(body);
    }

    /// A fact: a change to a base body, and which SDKs still read it. What any of them refuses, our
    /// bodies must not have.
    pub(super) fn check(&self, line: &Value, lines: &[Value]) -> Outcome {
        let schema = text(line, "/schema");
        let Some(bodies) = self.bodies.get(schema) else {
            return match schema {
                "transaction" | "giftcardredemption" | "capture" | "void" => {
                    Outcome::failed("no answer of ours brought such a body".to_owned())
                }
                // Never sent: a validation error is a 400 here.
                "err422" => run(Vec::new()),
                unknown => {
                    Outcome::failed(format!("no meaning is known for the schema {unknown:?}"))
                }
            };
        };
        let base = lines.iter().find(|base| {
            text(base, "/group") == "sdk-parse-base" && text(base, "/schema") == schema
        });
        let base = base.map(|line| Tree::from(&line["body"]));
        if text(line, "/group") == "sdk-parse-base" {
            return run(bodies.iter().flat_map(|body| kinds(base.as_ref(), body)).collect());
        }
        let refused = members(line, "/accepts").any(|(_, accepts)| accepts == &Value::Bool(false));
        if !refused {
            return run(Vec::new());
        }
        let change = text(line, "/change");
        let mut problems: Vec<String> =
            bodies.iter().filter_map(|body| has_change(body, change, base.as_ref())).collect();
        problems.truncate(3);
        run(problems)
    }
}

fn run(problems: Vec<String>) -> Outcome {
    Outcome::Run { decisions: BTreeSet::new(), problems }
}

/// Every member of ours that the base has too is of the same kind, or null.
fn kinds(base: Option<&Tree>, ours: &Tree) -> Vec<String> {
    let (Some(Tree::Object(base)), Tree::Object(members)) = (base, ours) else {
        return vec![format!("not an object: {ours}")];
    };
    let differs = |(name, ours): &&(String, Tree)| {
        let wanted = base.iter().find(|(have, _)| have == name);
        wanted.is_some_and(|(_, wanted)| {
            // A base body inside another stands there by its name.
            let is_named = wanted.text().is_some_and(|text| text.starts_with("<base "));
            !matches!((ours, wanted), (Tree::Null, _) | (_, Tree::Null))
                && !is_named
                && ours.kind() != wanted.kind()
        })
    };
    members.iter().filter(differs).map(|(name, ours)| format!("{name} is {ours}")).collect()
}

/// Whether our body is like the base with this change, which some SDK does not read.
fn has_change(body: &Tree, change: &str, base: Option<&Tree>) -> Option<String> {
    if let Some((place, change)) = change.strip_prefix("details[0]").map(|rest| ("details", rest)) {
        let details = body.member(place).and_then(Tree::list).unwrap_or_default();
        return details.iter().find_map(|detail| has_change(detail, change.trim_start(), None));
    }
    if let Some(name) = change.strip_prefix('-') {
        return body.member(name).is_none().then(|| format!("no {name} in {body}"));
    }
    if let Some(name) = change.strip_prefix("null ") {
        return (body.member(name) == Some(&Tree::Null))
            .then(|| format!("{name} is null in {body}"));
    }
    match change {
        "bare array" => return matches!(body, Tree::List(_)).then(|| "a bare list".to_owned()),
        "fastapi shape" | "gr4vy shape" | "empty" | "empty object" | "plain transaction" => {
            return None;
        }
        _ => {}
    }
    let Some((name, value)) = change.split_once('=') else {
        return Some(format!("no meaning is known for the change {change:?}"));
    };
    let ours = body.member(name)?;
    let wrong = match (name, base.and_then(|base| base.member(name))) {
        ("type", Some(wanted)) => ours != wanted,
        ("created_at" | "updated_at", _) => !ours.text().is_some_and(is_timestamp),
        ("creator", _) => matches!(ours, Tree::Object(members) if members.len() < 3),
        (_, Some(wanted)) => {
            *ours != Tree::Null && *wanted != Tree::Null && ours.kind() != wanted.kind()
        }
        (_, None) => Tree::read(value.as_bytes()).is_ok_and(|bad| bad == *ours),
    };
    wrong.then(|| format!("{name} is {ours}, as in {change}"))
}

#[test]
fn a_change_that_no_sdk_reads_is_found_in_a_body() {
    let base = Tree::read(
        br#"{"type":"refund","id":"x","settled":true,"created_at":"2013-07-16T19:23:00+00:00"}"#,
    )
    .expect("JSON");
    let body = |text: &str| Tree::read(text.as_bytes()).expect("JSON");
    let good = body(
        r#"{"type":"refund","id":"y","settled":false,"created_at":"2024-09-15T12:27:45.123456+00:00"}"#,
    );
    for change in
        ["-id", "null id", "type=other", "settled=1", "created_at=\"2013-07-16 19:23:00+00:00\""]
    {
        assert_eq!(has_change(&good, change, Some(&base)), None, "{change}");
    }
    let rows = [
        ("-id", r#"{"type":"refund"}"#),
        ("null id", r#"{"id":null}"#),
        ("type=other", r#"{"type":"Refund"}"#),
        ("settled=1", r#"{"settled":1}"#),
        ("created_at=1", r#"{"created_at":"2013-07-16 19:23:00+00:00"}"#),
        ("created_at=1", r#"{"created_at":"2013-07-16T19:23:00"}"#),
        ("details[0]-pointer", r#"{"details":[{"location":"body"}]}"#),
        ("surprise", r#"{}"#),
    ];
    for (change, bad) in rows {
        assert!(has_change(&body(bad), change, Some(&base)).is_some(), "{change}");
    }
}

#[test]
fn base62_has_most_significant_digits_first() {
    assert_eq!(
        base62("fe26475d-ec3e-4884-9553-f7356683f7f9").as_deref(),
        Some("7jZXl4gBUNl0CnaLEnfXbt")
    );
}
