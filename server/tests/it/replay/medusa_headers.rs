//! The headers of both Medusas' answers: what browsers are told about origins, and entity tags.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::demand::Demand;
use super::recording::{members, text};
use crate::support::{Request, Response};

/// Equal to the recorded ones in every answer, and absent where the recording has none.
const SAME: [&str; 6] = [
    "Access-Control-Allow-Origin",
    "Access-Control-Allow-Credentials",
    "Access-Control-Allow-Methods",
    "Access-Control-Allow-Headers",
    "Vary",
    "X-Powered-By",
];

/// The origins that the recorded server allowed, as the setting has them.
pub(super) fn origins(lines: &[Value]) -> String {
    let allowed = lines.iter().filter_map(|line| recorded(line, "Access-Control-Allow-Origin"));
    let allowed: BTreeSet<&str> = allowed.collect();
    allowed.into_iter().collect::<Vec<_>>().join(",")
}

/// Our entity tags, by the recorded ones: bodies differ in their ids and times, and so do tags.
#[derive(Debug, Default)]
pub(super) struct Tags(BTreeMap<String, String>);

impl Tags {
    pub(super) fn bind(&mut self, line: &Value, answer: &Response) {
        if let (Some(recorded), Some(ours)) = (recorded(line, "ETag"), answer.header("ETag")) {
            self.0.insert(recorded.to_owned(), ours.to_owned());
        }
    }

    pub(super) fn translate(&self, request: &mut Request) {
        for (name, value) in &mut request.headers {
            if let Some(ours) =
                self.0.get(value).filter(|_| name.eq_ignore_ascii_case("if-none-match"))
            {
                ours.clone_into(value);
            }
        }
    }
}

/// What is wrong with an answer's headers.
pub(super) fn problems(
    line: &Value,
    request: &Request,
    demand: &Demand,
    answer: &Response,
) -> Vec<String> {
    let recorded_status = line.pointer("/response/status").and_then(Value::as_u64);
    // Health is the server's own and no face's; a decision's answer has headers of its own.
    if text(line, "/request/path") == "/health" || recorded_status != Some(answer.status.into()) {
        return Vec::new();
    }
    let mut problems = Vec::new();
    let mut same = SAME.to_vec();
    if matches!(demand, Demand::Body { .. }) {
        same.push("Content-Type");
    }
    for name in same {
        let (wanted, ours) = (recorded(line, name), answer.header(name));
        if wanted != ours {
            problems.push(format!("{name} {ours:?}, recorded {wanted:?}"));
        }
    }
    if answer.status == 304 && answer.header("Content-Length").is_some() {
        problems.push("a length without a body".to_owned());
    }
    problems.extend(tag_problem(line, request, answer));
    problems
}

/// A tag is weak, and says the body's length in hexadecimal digits and its SHA-1 in base64: where
/// our body is the recorded one, so is our tag.
fn tag_problem(line: &Value, request: &Request, answer: &Response) -> Option<String> {
    let wanted = recorded(line, "ETag")?;
    let Some(ours) = answer.header("ETag") else {
        return Some("no ETag".to_owned());
    };
    let inner = ours.strip_prefix("W/\"").and_then(|rest| rest.strip_suffix('"'));
    let parts = inner.and_then(|inner| inner.split_once('-'));
    let Some((length, hash)) = parts.filter(|(_, hash)| hash.len() == 27) else {
        return Some(format!("ETag {ours:?} has not the form of {wanted:?}"));
    };
    let base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/".contains(&byte);
    let length = usize::from_str_radix(length, 16).ok();
    let told = answer.header("Content-Length").and_then(|told| told.parse().ok());
    // An answer that has not changed has no body and no length.
    let is_whole = answer.status != 304;
    if !hash.bytes().all(base64) || is_whole && length != told {
        return Some(format!("ETag {ours:?} on a body of {told:?} bytes"));
    }
    let is_same = request.method != "HEAD" && text(line, "/response/body") == answer.text();
    (is_whole && is_same && wanted != ours).then(|| format!("ETag {ours:?}, recorded {wanted:?}"))
}

fn recorded<'a>(line: &'a Value, name: &str) -> Option<&'a str> {
    let mut headers = members(line, "/response/headers");
    headers.find(|(have, _)| have.eq_ignore_ascii_case(name)).and_then(|(_, value)| value.as_str())
}
