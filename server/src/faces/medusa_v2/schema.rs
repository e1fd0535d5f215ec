//! What this dialect's validator says of members that do not fit: the texts, and the rule that the
//! first three faults are told, in the schema's order.

use super::failure::Failure;
use super::query::{Query, Value as Parameter};
use crate::json::{Json, Object, Value};

/// Faults that one answer names.
const TOLD_MAX: usize = 3;

pub(super) const TOO_SMALL: &str =
    "Invalid request: Value for field 'amount' too small, expected at least: '0'";

/// What is wrong with a request so far.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<String>);

impl Faults {
    pub(super) fn wrong_type(&mut self, field: &str, wanted: &str, got: &str) {
        self.0.push(format!("Expected type: '{wanted}' for field '{field}', got: '{got}'"));
    }

    pub(super) fn missing(&mut self, field: &str) {
        self.0.push(format!("Field '{field}' is required"));
    }

    pub(super) fn too_small(&mut self, field: &str) {
        self.0.push(format!("Value for field '{field}' too small, expected at least: '0'"));
    }

    pub(super) fn other(&mut self, fault: String) {
        self.0.push(fault);
    }

    /// Names outside of `known` are one fault, and the last.
    pub(super) fn unknown<'a>(&mut self, names: impl Iterator<Item = &'a str>, known: &[&str]) {
        let mut unknown: Vec<&str> = Vec::new();
        for name in names.filter(|name| !known.contains(name)) {
            if unknown.len() < NAMED_MAX && !unknown.contains(&name) {
                unknown.push(name);
            }
        }
        if !unknown.is_empty() {
            self.0.push(format!("Unrecognized fields: '{}'", unknown.join(", ")));
        }
    }

    pub(super) fn result(self) -> Result<(), Failure> {
        if self.0.is_empty() {
            return Ok(());
        }
        let told: Vec<String> = self.0.into_iter().take(TOLD_MAX).collect();
        Err(Failure::Invalid(format!("Invalid request: {}", told.join("; "))))
    }
}

/// Unknown names that are named: comparing each with each must not cost seconds.
const NAMED_MAX: usize = 64;

/// The body as an object; a list (or any text) is told as a missing whole.
pub(super) fn object(body: Option<Json<'_>>) -> Result<Option<Object<'_>>, Failure> {
    match body.map(Json::value) {
        None => Ok(None),
        Some(Value::Object(object)) => Ok(Some(object)),
        Some(_) => Err(not_an_object()),
    }
}

pub(super) fn not_an_object() -> Failure {
    Failure::Invalid("Invalid request: Field '' is required".to_owned())
}

/// An optional text member. A NUL is refused (decision V2-7).
pub(super) fn text(object: &Object<'_>, field: &str, faults: &mut Faults) -> Option<String> {
    let value = object.member(field)?;
    match value.value() {
        Value::Text(text) if text.contains('\0') => {
            faults.other(format!("Value for field '{field}' contains a NUL character"));
            None
        }
        Value::Text(text) => Some(text),
        _ => {
            faults.wrong_type(field, "string", &script_text(value));
            None
        }
    }
}

/// A value as JavaScript turns it into text, numbers as they were written.
pub(super) fn script_text(value: Json<'_>) -> String {
    match value.value() {
        Value::Null => "null".to_owned(),
        Value::Bool(is_true) => is_true.to_string(),
        Value::Number(raw) => number_text(raw).to_owned(),
        Value::Text(text) => text,
        Value::Array(items) => {
            let texts = items.into_iter().map(|item| match item.is_null() {
                true => String::new(),
                false => script_text(item),
            });
            texts.collect::<Vec<_>>().join(",")
        }
        Value::Object(_) => "[object Object]".to_owned(),
    }
}

fn number_text(raw: &str) -> &str {
    match size(raw) {
        Size::Infinite if raw.starts_with('-') => "-Infinity",
        Size::Infinite => "Infinity",
        Size::Finite | Size::Zero => raw,
    }
}

/// What a JSON number becomes in JavaScript, seen by its size alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    /// Zero, or too small to be another number.
    Zero,
    Finite,
    /// Too large for a number. Between 1.8e308 and 1e309 this still says finite, which no amount of
    /// money is either.
    Infinite,
}

/// Digits before the point from which on a number is infinite.
const INFINITE_FROM: i64 = 310;
/// Zeros behind the point from which on a number is zero.
const ZERO_FROM: i64 = 323;

pub(super) fn size(raw: &str) -> Size {
    let unsigned = raw.trim_start_matches('-');
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = || whole.bytes().chain(fraction.bytes());
    let Some(zeros) = digits().position(|digit| digit != b'0') else {
        return Size::Zero;
    };
    let length = |length: usize| i64::try_from(length).unwrap_or(i64::MAX);
    // An exponent of ten digits and more decides alone: no text is long enough to make up for it.
    let exponent = exponent.parse::<i64>().unwrap_or(if exponent.starts_with('-') {
        i64::MIN
    } else {
        i64::MAX
    });
    let before_point = length(whole.len()).saturating_sub(length(zeros)).saturating_add(exponent);
    if before_point >= INFINITE_FROM {
        Size::Infinite
    } else if before_point <= -ZERO_FROM {
        Size::Zero
    } else {
        Size::Finite
    }
}

/// The text of a query parameter that may come once.
pub(super) fn parameter<'a>(query: &'a Query, name: &str, faults: &mut Faults) -> Option<&'a str> {
    match query.value(name)? {
        Parameter::Text(text) => Some(text),
        other => {
            faults.wrong_type(name, "string", &other.script_text());
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_seen_by_its_size() {
        for (raw, size_seen) in [
            ("0", Size::Zero),
            ("-0.00e5", Size::Zero),
            ("1e400", Size::Infinite),
            ("-1e400", Size::Infinite),
            ("1e309", Size::Infinite),
            ("1e308", Size::Finite),
            ("0.001e311", Size::Finite),
            ("1e99999999999999999999", Size::Infinite),
            ("1e-99999999999999999999", Size::Zero),
            ("1e-400", Size::Zero),
            ("1e-7", Size::Finite),
            ("1e21", Size::Finite),
        ] {
            assert_eq!(size(raw), size_seen, "{raw}");
        }
        assert_eq!(size(&"9".repeat(10_000)), Size::Infinite);
    }
}
