//! The canonical form of a value, for comparing by meaning (decision A4).

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{Json, Number, Value};

pub(super) fn spell(json: Json<'_>) -> String {
    let mut out = String::with_capacity(json.text().len());
    write_value(json, &mut out);
    out
}

/// As deep as the value, which `DEPTH_MAX` bounds.
fn write_value(json: Json<'_>, out: &mut String) {
    match json.value() {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(raw) => out.push_str(&Number::read(raw).canonical()),
        Value::Text(text) => write_text(&text, out),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_value(item, out);
            }
            out.push(']');
        }
        Value::Object(object) => {
            // Collecting keeps the last of equal names.
            let sorted: BTreeMap<&str, Json<'_>> = object
                .members()
                .iter()
                .map(|member| (member.name.as_str(), member.value))
                .collect();
            out.push('{');
            for (index, (name, value)) in sorted.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_text(name, out);
                out.push(':');
                write_value(value, out);
            }
            out.push('}');
        }
    }
}

/// Only what must be escaped is, and always in the same way.
fn write_text(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\0'..='\u{1f}' => {
                write!(out, "\\u{:04x}", u32::from(character)).expect("memory takes all");
            }
            _ => out.push(character),
        }
    }
    out.push('"');
}
