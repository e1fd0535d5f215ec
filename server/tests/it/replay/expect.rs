//! The `expect` of a scenario's step: exact bodies, parts of bodies, wildcards, and sums.

use std::collections::BTreeMap;

use serde_json::Value;

use super::compare::{is_uuid, matches_form};
use super::demand::shorten;
use super::recording::{members, text};
use super::tree::Tree;
use crate::support::{Request, Response};

/// What `$order`, `$T1` and their like stand for.
#[derive(Debug, Default)]
pub(super) struct Names {
    known: BTreeMap<String, String>,
}

impl Names {
    pub(super) fn new(known: &BTreeMap<String, String>) -> Names {
        let mut names = Names { known: known.clone() };
        // A caller's own ids, made up afresh: any UUID will do, and these are never equal.
        for i in 1..=9 {
            names.known.insert(format!("$T{i}"), format!("f351a2a3-97c4-4f12-add3-80c1044091f{i}"));
        }
        names
    }

    /// A text with every known name in it replaced. Longer names go first: `$T10` is not `$T1`.
    pub(super) fn fill(&self, text: &str) -> String {
        let known = self.known.iter().rev();
        known.fold(text.to_owned(), |text, (name, value)| text.replace(name.as_str(), value))
    }

    /// The value of a name; a name met for the first time gets the value it stands against.
    fn matches(&mut self, name: &str, ours: &str) -> bool {
        match self.known.get(name) {
            Some(value) => value == ours,
            None => {
                self.known.insert(name.to_owned(), ours.to_owned());
                !ours.is_empty()
            }
        }
    }
}

/// A name such as `$order` that nothing has given a meaning.
pub(super) fn unknown_name(request: &Request) -> Option<String> {
    let body = String::from_utf8_lossy(request.body.as_deref().unwrap_or_default()).into_owned();
    let headers = request.headers.iter().map(|(_, value)| value.clone());
    let names = |text: String| {
        let mut parts = text.split('$').skip(1).map(|rest| {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
            rest.get(..end).unwrap_or_default().to_owned()
        });
        parts.find(|name| !name.is_empty())
    };
    headers.chain([request.target.clone(), body]).find_map(names)
}

/// What is wrong with an answer.
pub(super) fn check(
    expected: &Value,
    answer: &Response,
    names: &mut Names,
    saved: &BTreeMap<String, Response>,
) -> Vec<String> {
    let mut problems = Vec::new();
    let body = Tree::read(&answer.body);
    let at = |path: &str| body.as_ref().ok().and_then(|body| body.at(path));
    let holes = expected.get("wildcards");
    for (name, wanted) in members(expected, "") {
        match name {
            "status" => {
                if wanted.as_u64() != Some(answer.status.into()) {
                    problems.push(format!("status {}, recorded {wanted}", answer.status));
                }
            }
            "status_in" => {
                if !wanted.as_array().is_some_and(|any| any.contains(&answer.status.into())) {
                    problems.push(format!("status {}, recorded any of {wanted}", answer.status));
                }
            }
            "body" => match &body {
                Ok(body) => Match { names, holes, whole: true, problems: &mut problems }
                    .value("", wanted, body),
                Err(problem) => problems.push(problem.clone()),
            },
            "body_match" => match &body {
                Ok(body) => Match { names, holes, whole: false, problems: &mut problems }
                    .value("", wanted, body),
                Err(problem) => problems.push(problem.clone()),
            },
            "last_transaction_match" => {
                match at("/transactions").and_then(Tree::list).and_then(<[Tree]>::last) {
                    Some(last) => Match { names, holes, whole: false, problems: &mut problems }
                        .value("/transactions/last", wanted, last),
                    None => problems.push("no transactions".to_owned()),
                }
            }
            "order_totals" => totals(wanted, &body, &mut problems),
            "refund_rows" => {
                let rows = refund_rows(at("/transactions"));
                if wanted.as_u64() != Some(rows) {
                    problems.push(format!("{rows} approved refund rows, recorded {wanted}"));
                }
            }
            "capture_rows_refunded_amount" => {
                let shown = capture_rows(at("/transactions"));
                if Tree::from(wanted) != shown {
                    problems
                        .push(format!("refunded_amount of captures {shown}, recorded {wanted}"));
                }
            }
            "not_message" => {
                if at("/message").and_then(Tree::text) == wanted.as_str() {
                    problems.push(format!("message must not be {wanted}"));
                }
            }
            "body_keys" => keys(wanted, &body, &mut problems),
            "same_as" => match wanted.as_str().and_then(|name| saved.get(name)) {
                Some(first) if first.body == answer.body => {}
                Some(first) => {
                    problems.push(format!("first {:?}, then {:?}", first.text(), answer.text()))
                }
                None => problems.push(format!("nothing was saved as {wanted}")),
            },
            "wildcards" => {}
            unknown => problems.push(format!("no meaning is known for expect {unknown:?}")),
        }
    }
    if !problems.is_empty() {
        problems.push(format!("answer: {} {}", answer.status, shorten(&answer.text())));
    }
    problems
}

/// What is wrong with answers to requests that were sent at once.
pub(super) fn check_many(
    step: &Value,
    answers: &[Response],
    names: &mut Names,
    saved: &BTreeMap<String, Response>,
) -> Vec<String> {
    let mut problems = Vec::new();
    let mut statuses: Vec<u64> = answers.iter().map(|a| a.status.into()).collect();
    statuses.sort_unstable();
    for (name, wanted) in members(step, "") {
        match name {
            "expect_each" | "expect" => {
                for answer in answers {
                    problems.extend(check(wanted, answer, names, saved));
                }
            }
            "expect_some" => {
                let mut found = answers.iter().map(|answer| check(wanted, answer, names, saved));
                let some = found.any(|problems| problems.is_empty());
                let none = (!some).then(|| format!("none of {statuses:?} is {wanted}"));
                problems.extend(none);
            }
            "expect_count" => {
                let mut counts = BTreeMap::new();
                for status in &statuses {
                    let count: &mut u64 = counts.entry(status.to_string()).or_default();
                    *count = count.saturating_add(1);
                }
                let wanted: BTreeMap<String, u64> =
                    serde_json::from_value(wanted.clone()).unwrap_or_default();
                if counts != wanted {
                    problems.push(format!("statuses {counts:?}, recorded {wanted:?}"));
                }
            }
            "expect_statuses" => {
                let mut wanted: Vec<u64> =
                    serde_json::from_value(wanted.clone()).unwrap_or_default();
                wanted.sort_unstable();
                if statuses != wanted {
                    problems.push(format!("statuses {statuses:?}, recorded {wanted:?}"));
                }
            }
            _ => {}
        }
    }
    problems
}

/// Matching a value with wildcards in it.
struct Match<'a> {
    names: &'a mut Names,
    /// Paths (`transactions.1.stan`) that may hold anything of the same kind.
    holes: Option<&'a Value>,
    /// Members that only the answer has are wrong.
    whole: bool,
    problems: &'a mut Vec<String>,
}

impl Match<'_> {
    fn value(&mut self, path: &str, wanted: &Value, ours: &Tree) {
        let place = path.trim_start_matches('/').replace('/', ".");
        let holes = self.holes.and_then(Value::as_array);
        if holes.is_some_and(|holes| holes.iter().any(|hole| hole.as_str() == Some(&place))) {
            if Tree::from(wanted).kind() != ours.kind() {
                self.problems.push(format!("{path}: {ours} is no {}", Tree::from(wanted).kind()));
            }
            return;
        }
        match (wanted, ours) {
            (Value::Object(wanted), Tree::Object(members)) => {
                for (name, value) in wanted {
                    match ours.member(name) {
                        Some(ours) => self.value(&format!("{path}/{name}"), value, ours),
                        None => self
                            .problems
                            .push(format!("{path}/{name}: recorded {value}, ours has none")),
                    }
                }
                let extra =
                    members.iter().find(|(name, _)| self.whole && !wanted.contains_key(name));
                if let Some((name, value)) = extra {
                    self.problems.push(format!("{path}/{name}: only ours has it: {value}"));
                }
            }
            (Value::Array(wanted), Tree::List(items)) => {
                let enough = if self.whole {
                    items.len() == wanted.len()
                } else {
                    items.len() >= wanted.len()
                };
                if !enough {
                    self.problems.push(format!(
                        "{path}: recorded {} items, ours {}",
                        wanted.len(),
                        items.len()
                    ));
                }
                for (i, (wanted, ours)) in wanted.iter().zip(items).enumerate() {
                    self.value(&format!("{path}/{i}"), wanted, ours);
                }
            }
            (Value::String(wanted), _) if wanted.starts_with('$') => {
                self.wildcard(path, wanted, ours)
            }
            _ if Tree::from(wanted) == *ours => {}
            _ => self.problems.push(format!("{path}: recorded {wanted}, ours {ours}")),
        }
    }

    fn wildcard(&mut self, path: &str, name: &str, ours: &Tree) {
        let text = ours.text().unwrap_or_default();
        let right = match name {
            "$any" => true,
            "$nonempty" => !text.is_empty(),
            "$uuid" => is_uuid(text),
            "$uuid7" => is_uuid(text) && text.as_bytes().get(14) == Some(&b'7'),
            "$rrn" => matches_form(text, "dddddddddddd"),
            "$stan" => matches_form(text, "dddddd"),
            "$ts" => matches_form(text, "dddd-dd-ddTdd:dd:ddZ"),
            "$ts_any" => {
                text.get(..19).is_some_and(|head| matches_form(head, "dddd-dd-ddTdd:dd:dd"))
            }
            name => self.names.matches(name, text),
        };
        if !right {
            self.problems.push(format!("{path}: recorded {name}, ours {ours}"));
        }
    }
}

fn totals(wanted: &Value, body: &Result<Tree, String>, problems: &mut Vec<String>) {
    for (name, wanted) in members(wanted, "") {
        let ours = body.as_ref().ok().and_then(|body| body.member(name));
        if ours != Some(&Tree::from(wanted)) {
            problems.push(format!("{name} recorded {wanted}, ours {ours:?}"));
        }
    }
}

fn keys(wanted: &Value, body: &Result<Tree, String>, problems: &mut Vec<String>) {
    let mut wanted: Vec<&str> =
        wanted.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let Ok(Tree::Object(members)) = body else {
        return problems.push("the body is no object".to_owned());
    };
    let mut have: Vec<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
    have.sort_unstable();
    wanted.sort_unstable();
    if have != wanted {
        problems.push(format!("members {have:?}, recorded {wanted:?}"));
    }
}

fn refund_rows(transactions: Option<&Tree>) -> u64 {
    let rows = transactions.and_then(Tree::list).unwrap_or_default();
    let approved = |row: &&Tree| {
        let is = |name: &str, value: &str| row.member(name).and_then(Tree::text) == Some(value);
        is("type", "refund") && is("status", "approved")
    };
    rows.iter().filter(approved).map(|_| 1_u64).sum()
}

fn capture_rows(transactions: Option<&Tree>) -> Tree {
    let rows = transactions.and_then(Tree::list).unwrap_or_default();
    let captures =
        rows.iter().filter(|row| row.member("type").and_then(Tree::text) == Some("capture"));
    Tree::List(captures.filter_map(|row| row.member("refunded_amount").cloned()).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(status: u16, body: &Value) -> Response {
        Response { status, headers: Vec::new(), body: body.to_string().into_bytes() }
    }

    fn problems(expected: Value, body: Value) -> usize {
        let mut names = Names::new(&BTreeMap::from([("$order".to_owned(), "o-1".to_owned())]));
        check(&expected, &answer(200, &body), &mut names, &BTreeMap::new()).len()
    }

    #[test]
    fn wildcards_and_parts() {
        let rows = [
            (json!({"status": 200}), json!({}), true),
            (json!({"status": 201}), json!({}), false),
            (json!({"status_in": [200, 422]}), json!({}), true),
            (json!({"body": {"a": "$nonempty"}}), json!({"a": "x"}), true),
            (json!({"body": {"a": "$nonempty"}}), json!({"a": ""}), false),
            (json!({"body": {"a": "$nonempty"}}), json!({"a": "x", "b": 1}), false),
            (json!({"body_match": {"a": "$nonempty"}}), json!({"a": "x", "b": 1}), true),
            (json!({"body_match": {"id": "$order"}}), json!({"id": "o-1"}), true),
            (json!({"body_match": {"id": "$order"}}), json!({"id": "o-2"}), false),
            (json!({"body_match": {"a": "$rrn"}}), json!({"a": "242590000001"}), true),
            (json!({"body_match": {"a": "$stan"}}), json!({"a": "1"}), false),
            (json!({"body_match": {"a": "$ts"}}), json!({"a": "2024-09-15T12:27:45Z"}), true),
            (json!({"body_match": {"a": "$ts"}}), json!({"a": "2024-09-15T12:27:45.000Z"}), false),
            (json!({"body": {"a": {"b": 1}}, "wildcards": ["a.b"]}), json!({"a": {"b": 2}}), true),
            (
                json!({"body": {"a": {"b": 1}}, "wildcards": ["a.b"]}),
                json!({"a": {"b": "2"}}),
                false,
            ),
            (json!({"body_keys": ["a", "b"]}), json!({"b": 1, "a": 1}), true),
            (json!({"body_keys": ["a"]}), json!({"b": 1, "a": 1}), false),
            (
                json!({"refund_rows": 1}),
                json!({"transactions": [{"type": "refund", "status": "approved"}, {"type": "refund", "status": "failed"}]}),
                true,
            ),
            (json!({"not_message": "x"}), json!({"message": "x"}), false),
            (json!({"surprise": 1}), json!({}), false),
        ];
        for (expected, body, right) in rows {
            assert_eq!(problems(expected.clone(), body.clone()) == 0, right, "{expected} {body}");
        }
    }

    #[test]
    fn an_unknown_name_means_one_thing_throughout() {
        let mut names = Names::default();
        let expected = json!({"body_match": {"a": "$payment", "b": "$payment"}});
        let good = check(
            &expected,
            &answer(200, &json!({"a": "p", "b": "p"})),
            &mut names,
            &BTreeMap::new(),
        );
        assert!(good.is_empty());
        let bad = check(
            &expected,
            &answer(200, &json!({"a": "q", "b": "q"})),
            &mut names,
            &BTreeMap::new(),
        );
        assert!(!bad.is_empty());
        assert_eq!(text(&expected, "/body_match/a"), "$payment");
    }
}
