//! Is our answer the recorded one? Equal in everything but what a recording says is volatile: ids
//! agree in form and stay the same thing throughout, times agree in form.

use std::collections::BTreeMap;

use super::tree::Tree;

/// Which of our ids is which recorded one. A recorded id, once met, always means the same thing.
#[derive(Clone, Debug, Default)]
pub(super) struct Ids {
    ours: BTreeMap<String, String>,
    recorded: BTreeMap<String, String>,
}

impl Ids {
    /// Whether `ours` may stand where the recording has `recorded`; from now on it must.
    pub(super) fn bind(&mut self, recorded: &str, ours: &str) -> bool {
        match (self.ours.get(recorded), self.recorded.get(ours)) {
            (None, None) => {
                self.ours.insert(recorded.to_owned(), ours.to_owned());
                self.recorded.insert(ours.to_owned(), recorded.to_owned());
                true
            }
            (Some(bound), _) => bound == ours,
            (None, Some(_)) => false,
        }
    }

    pub(super) fn ours(&self, recorded: &str) -> Option<&str> {
        self.ours.get(recorded).map(String::as_str)
    }

    /// A recorded text with the recorded ids in it replaced by ours.
    pub(super) fn translate(&self, text: &str) -> String {
        self.ours
            .iter()
            .fold(text.to_owned(), |text, (recorded, ours)| text.replace(recorded, ours))
    }
}

/// What one dialect lets differ.
pub(super) trait Dialect {
    /// Whether the order of an object's members is part of the answer.
    fn ordered(&self) -> bool {
        false
    }

    /// `Some` when the dialect itself judges this place; the text says what is wrong.
    fn judge(&self, path: &str, recorded: &Tree, ours: &Tree) -> Option<Result<(), String>>;

    /// The decision by which ours may have a member here that the recording has not.
    fn addition(&self, path: &str) -> Option<&'static str>;
}

/// The outcome of comparing one answer.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) differences: Vec<String>,
    /// Decisions that were needed to call the answers equal.
    pub(super) decisions: Vec<&'static str>,
}

pub(super) fn compare(
    dialect: &dyn Dialect,
    ids: &mut Ids,
    recorded: &Tree,
    ours: &Tree,
) -> Findings {
    let mut walk = Walk { dialect, ids, findings: Findings::default() };
    walk.value("", recorded, ours);
    walk.findings
}

struct Walk<'a> {
    dialect: &'a dyn Dialect,
    ids: &'a mut Ids,
    findings: Findings,
}

impl Walk<'_> {
    fn differs(&mut self, path: &str, what: String) {
        self.findings.differences.push(format!("{path}: {what}"));
    }

    fn value(&mut self, path: &str, recorded: &Tree, ours: &Tree) {
        if let Some(judged) = self.dialect.judge(path, recorded, ours) {
            if let Err(what) = judged {
                self.differs(path, what);
            }
            return;
        }
        match (recorded, ours) {
            (Tree::Any, _) => {}
            (Tree::Object(recorded), Tree::Object(ours)) => self.objects(path, recorded, ours),
            (Tree::List(recorded), Tree::List(ours)) => self.lists(path, recorded, ours),
            (Tree::Text(recorded), Tree::Text(ours)) => self.texts(path, recorded, ours),
            _ if recorded == ours => {}
            _ => self.differs(path, format!("recorded {recorded}, ours {ours}")),
        }
    }

    fn objects(&mut self, path: &str, recorded: &[(String, Tree)], ours: &[(String, Tree)]) {
        for (name, value) in recorded {
            match ours.iter().find(|(have, _)| have == name) {
                Some((_, ours)) => self.value(&format!("{path}/{name}"), value, ours),
                None => self
                    .differs(&format!("{path}/{name}"), format!("recorded {value}, ours has none")),
            }
        }
        let mut common = Vec::new();
        for (name, value) in ours {
            let path = format!("{path}/{name}");
            if recorded.iter().any(|(have, _)| have == name) {
                common.push(name);
            } else if let Some(decision) = self.dialect.addition(&path) {
                self.findings.decisions.push(decision);
            } else {
                self.differs(&path, format!("only ours has it: {value}"));
            }
        }
        let wanted: Vec<&String> =
            recorded.iter().map(|(name, _)| name).filter(|name| common.contains(name)).collect();
        if self.dialect.ordered() && common != wanted {
            self.differs(path, format!("recorded order {wanted:?}, ours {common:?}"));
        }
        let known = |member: &(String, Tree)| common.contains(&&member.0);
        let first_known = ours.iter().rev().position(known).unwrap_or(0);
        let added = ours.len().saturating_sub(common.len());
        if self.dialect.ordered() && !common.is_empty() && first_known != added {
            self.differs(path, "members that only ours has stand before recorded ones".to_owned());
        }
    }

    fn lists(&mut self, path: &str, recorded: &[Tree], ours: &[Tree]) {
        if recorded.len() != ours.len() {
            let shown = Tree::List(ours.to_vec());
            self.differs(
                path,
                format!("recorded {} items, ours {}: {shown}", recorded.len(), ours.len()),
            );
        }
        for (i, (recorded, ours)) in recorded.iter().zip(ours).enumerate() {
            self.value(&format!("{path}/{i}"), recorded, ours);
        }
    }

    fn texts(&mut self, path: &str, recorded: &str, ours: &str) {
        let same = match (prefix(recorded), prefix(ours)) {
            (Some(a), Some(b)) if a == b => self.ids.bind(recorded, ours),
            _ => self.ids.translate(recorded) == ours || is_time(recorded) && is_time(ours),
        };
        if !same {
            self.differs(path, format!("recorded {recorded:?}, ours {ours:?}"));
        }
    }
}

/// The prefix of a prefixed id (`pay_` and 26 characters of Crockford's base32), or the word
/// `uuid` for one of those.
pub(super) fn prefix(text: &str) -> Option<&str> {
    if is_uuid(text) {
        return Some("uuid");
    }
    let (prefix, id) = text.rsplit_once('_')?;
    let crockford = |c: u8| c.is_ascii_digit() || c.is_ascii_uppercase() && !b"ILOU".contains(&c);
    (id.len() == 26 && id.bytes().all(crockford)).then_some(prefix)
}

pub(super) fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(i, c)| match i {
            8 | 13 | 18 | 23 => c == b'-',
            _ => c.is_ascii_hexdigit() && !c.is_ascii_uppercase(),
        })
}

/// A time as JavaScript prints it: UTC, three decimals, `Z`.
pub(super) fn is_time(text: &str) -> bool {
    matches_form(text, "dddd-dd-ddTdd:dd:dd.dddZ")
}

/// `d` in the form stands for a digit, everything else for itself.
pub(super) fn matches_form(text: &str, form: &str) -> bool {
    text.len() == form.len()
        && text.bytes().zip(form.bytes()).all(
            |(c, f)| {
                if f == b'd' { c.is_ascii_digit() } else { c == f }
            },
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Strict;

    impl Dialect for Strict {
        fn ordered(&self) -> bool {
            true
        }
        fn judge(&self, path: &str, _: &Tree, ours: &Tree) -> Option<Result<(), String>> {
            path.ends_with("/data").then(|| match ours {
                Tree::Object(_) => Ok(()),
                other => Err(format!("not an object: {other}")),
            })
        }
        fn addition(&self, path: &str) -> Option<&'static str> {
            (path == "/extra").then_some("X-1")
        }
    }

    fn check(recorded: &str, ours: &str) -> (usize, Vec<&'static str>) {
        let tree = |text: &str| Tree::read(text.as_bytes()).expect("JSON");
        let found = compare(&Strict, &mut Ids::default(), &tree(recorded), &tree(ours));
        (found.differences.len(), found.decisions)
    }

    #[test]
    fn equal_but_for_ids_and_times() {
        let a = r#"{"id":"ref_01M7ZRMJATSCDZ1K9HGEY8ZS5N","again":"ref_01M7ZRMJATSCDZ1K9HGEY8ZS5N","at":"2026-11-21T19:16:55.256Z"}"#;
        let b = r#"{"id":"ref_01J7TTEH6KEGR8EE9DG21185NZ","again":"ref_01J7TTEH6KEGR8EE9DG21185NZ","at":"2024-01-01T00:00:00.000Z"}"#;
        assert_eq!(check(a, b).0, 0);
        let other = b.replacen("ref_01J7TTEH6K", "ref_01J7TTEH6M", 1);
        assert_eq!(check(a, &other).0, 1, "one recorded id may not become two");
        assert_eq!(check(a, &b.replace("ref_", "pay_")).0, 2, "the prefix is part of an id");
        assert_eq!(check(a, &b.replace(".000Z", "Z")).0, 1, "three decimals");
    }

    #[test]
    fn members_order_kinds_and_lengths_count() {
        assert_eq!(check(r#"{"a":1,"b":2}"#, r#"{"a":1,"b":2}"#).0, 0);
        assert_eq!(check(r#"{"a":1,"b":2}"#, r#"{"b":2,"a":1}"#).0, 1);
        assert_eq!(check(r#"{"a":1}"#, r#"{"a":1,"b":2}"#).0, 1);
        assert_eq!(check(r#"{"a":1}"#, r#"{"a":1,"extra":2}"#), (0, vec!["X-1"]));
        assert_eq!(check(r#"{"a":null}"#, r#"{}"#).0, 1, "null is not absent");
        assert_eq!(check(r#"{"a":1}"#, r#"{"a":"1"}"#).0, 1);
        assert_eq!(check(r#"{"a":1}"#, r#"{"a":1.0}"#).0, 1, "a client sees the text");
        assert_eq!(check(r#"{"a":[1,2]}"#, r#"{"a":[1]}"#).0, 1);
        assert_eq!(check(r#"{"data":{"x":1}}"#, r#"{"data":{}}"#).0, 0);
        assert_eq!(check(r#"{"data":{"x":1}}"#, r#"{"data":null}"#).0, 1);
    }
}
