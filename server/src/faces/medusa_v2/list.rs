//! Parameters that lists share: how much of them, in which order, and from when.

use std::cmp::Ordering;

use super::failure::Failure;
use super::query::{Query, Value};
use super::schema::{self, Faults};
use crate::time;

/// Parameters that every list takes.
pub(super) const KNOWN: [&str; 10] = [
    "limit",
    "offset",
    "order",
    "fields",
    "with_deleted",
    "q",
    "id",
    "created_at",
    "updated_at",
    "deleted_at",
];

/// Which part of a list is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub offset: usize,
    pub limit: usize,
}

impl Page {
    pub(super) fn read(query: &Query, limit: usize, faults: &mut Faults) -> Page {
        Page {
            limit: number(query, "limit", faults).unwrap_or(limit),
            offset: number(query, "offset", faults).unwrap_or(0),
        }
    }

    pub(super) fn of<T>(&self, items: Vec<T>) -> impl Iterator<Item = T> {
        items.into_iter().skip(self.offset).take(self.limit)
    }

    /// `"count":11,"offset":0,"limit":15`
    pub(super) fn members(&self, count: usize) -> String {
        let Page { offset, limit } = self;
        format!("\"count\":{count},\"offset\":{offset},\"limit\":{limit}")
    }
}

/// As JavaScript's `parseInt` reads it: `2.9` is 2. Negative numbers are refused (decision V2-7).
fn number(query: &Query, name: &str, faults: &mut Faults) -> Option<usize> {
    let value = query.value(name)?;
    let text = match value {
        Value::Text(text) => text.trim_start(),
        Value::List(_) | Value::Object(_) => "",
    };
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let end = unsigned.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(unsigned.len());
    let digits = &unsigned[..end];
    if digits.is_empty() {
        faults.wrong_type(name, "number", &value.script_text());
        return None;
    }
    if text.starts_with('-') && digits.bytes().any(|digit| digit != b'0') {
        faults.other(format!("Value for field '{name}' is negative"));
        return None;
    }
    // What is longer than any list is as good as endless.
    let endless = usize::try_from(u32::MAX).unwrap_or(usize::MAX);
    Some(digits.parse().unwrap_or(endless).min(endless))
}

/// The column to order by, and whether backwards.
pub(super) fn order(
    query: &Query,
    columns: &[&'static str],
    faults: &mut Faults,
) -> Option<(&'static str, bool)> {
    let order = schema::parameter(query, "order", faults)?;
    let (name, is_descending) = match order.strip_prefix('-') {
        Some(name) => (name, true),
        None => (order, false),
    };
    let column = columns.iter().find(|column| **column == name);
    if column.is_none() {
        let columns = columns.join(", ");
        faults.other(format!("Value for field 'order' is no column, expected one of: '{columns}'"));
    }
    column.map(|column| (*column, is_descending))
}

/// Deleted rows are never shown, whatever this says; it must be a truth value all the same.
pub(super) fn with_deleted(query: &Query, faults: &mut Faults) {
    if let Some(value) = query.value("with_deleted") {
        let text = value.script_text();
        if !matches!(text.as_str(), "true" | "false") {
            faults.wrong_type("with_deleted", "boolean", &text);
        }
    }
}

/// Ids to choose from; `None`: all.
pub(super) fn ids<'a>(query: &'a Query, name: &str, faults: &mut Faults) -> Option<Vec<&'a str>> {
    match query.value(name)? {
        Value::Text(id) => Some(vec![id]),
        Value::List(ids) => Some(ids.iter().map(String::as_str).collect()),
        Value::Object(_) => {
            faults.wrong_type(name, "string, array", "[object Object]");
            None
        }
    }
}

/// What a time must be, in milliseconds since 1970: every comparison holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct When {
    holds: Vec<(Operator, i64)>,
    /// Any of these, if there are any.
    among: Vec<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Above,
    From,
    Below,
    Until,
    Is,
    IsNot,
}

impl Operator {
    fn read(text: &str) -> Option<Operator> {
        Some(match text {
            "$gt" => Operator::Above,
            "$gte" => Operator::From,
            "$lt" => Operator::Below,
            "$lte" => Operator::Until,
            "$eq" | "" => Operator::Is,
            "$ne" => Operator::IsNot,
            _ => return None,
        })
    }

    fn admits(self, order: Ordering) -> bool {
        match self {
            Operator::Above => order == Ordering::Greater,
            Operator::From => order != Ordering::Less,
            Operator::Below => order == Ordering::Less,
            Operator::Until => order != Ordering::Greater,
            Operator::Is => order == Ordering::Equal,
            Operator::IsNot => order != Ordering::Equal,
        }
    }
}

impl When {
    /// Unknown operators are dropped, as in the original. What is no time is refused (V2-7).
    pub(super) fn read(query: &Query, name: &str, faults: &mut Faults) -> When {
        let mut when = When::default();
        let mut ms = |text: &str| {
            let ms = time::parse(text);
            if ms.is_none() {
                faults.other(format!("Value for field '{name}' is no ISO 8601 time"));
            }
            ms
        };
        match query.value(name) {
            None => {}
            Some(Value::Text(text)) => when.among.extend(ms(text)),
            Some(Value::List(texts)) => when.among.extend(texts.iter().filter_map(|text| ms(text))),
            Some(Value::Object(members)) => {
                for (operator, text) in members {
                    if let Some(operator) = Operator::read(operator) {
                        when.holds.extend(ms(text).map(|ms| (operator, ms)));
                    }
                }
            }
        }
        when
    }

    /// From which millisecond on, and before which, all times lie that can fit.
    pub(super) fn span(&self) -> (Option<i64>, Option<i64>) {
        let (mut from, mut until) = (self.among.iter().min().copied(), None);
        for &(operator, bound) in &self.holds {
            match operator {
                Operator::Above | Operator::From | Operator::Is => from = from.max(Some(bound)),
                Operator::Below | Operator::Until => {
                    let end = bound.saturating_add(1);
                    until = Some(until.map_or(end, |until: i64| until.min(end)));
                }
                Operator::IsNot => {}
            }
        }
        (from, until)
    }

    /// A missing time fits only where nothing is asked of it.
    pub(super) fn fits(&self, ms: Option<i64>) -> bool {
        let Some(ms) = ms else {
            return self.holds.is_empty() && self.among.is_empty();
        };
        let holds = |&(operator, bound): &(Operator, i64)| operator.admits(ms.cmp(&bound));
        self.holds.iter().all(holds) && (self.among.is_empty() || self.among.contains(&ms))
    }
}

/// Refuses what [`Faults`] has collected, unknown names last. `more` are known besides [`KNOWN`].
pub(super) fn settle(query: &Query, more: &[&str], mut faults: Faults) -> Result<(), Failure> {
    faults.unknown(query.names(), &[&KNOWN, more].concat());
    faults.result()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(read: impl FnOnce(&mut Faults)) -> Faults {
        let mut faults = Faults::default();
        read(&mut faults);
        faults
    }

    #[test]
    fn a_page_is_read_as_parse_int_reads_it() {
        for (query, page) in [
            ("", Some((0, 15))),
            ("limit=2&offset=1", Some((1, 2))),
            ("limit=2.9", Some((0, 2))),
            ("limit=0", Some((0, 0))),
            ("offset=1000", Some((1_000, 15))),
            ("limit=-0", Some((0, 0))),
            ("limit=99999999999999999999999", Some((0, 4_294_967_295))),
            ("limit=abc", None),
            ("limit=", None),
            ("limit=1&limit=2", None),
            ("limit=-1", None),
            ("offset=-1", None),
        ] {
            let query_read = Query::read(Some(query));
            let mut read = Page { offset: 0, limit: 0 };
            let faults = faults(|faults| read = Page::read(&query_read, 15, faults));
            let seen = faults.result().ok().map(|()| (read.offset, read.limit));
            assert_eq!(seen, page, "{query}");
        }
    }

    #[test]
    fn times_are_compared_by_operator() {
        let at = time::parse("2026-11-21T19:20:12.947Z");
        for (query, fits) in [
            ("", Some(true)),
            ("created_at[$gt]=2026-11-21T19%3A20%3A12.947Z", Some(false)),
            ("created_at[$gte]=2026-11-21T19%3A20%3A12.947Z", Some(true)),
            ("created_at[$lt]=2026-11-21T19:20:13Z", Some(true)),
            (
                "created_at[$gt]=2026-11-21T00:00:00Z&created_at[$lte]=2026-11-21T19:20:12Z",
                Some(false),
            ),
            ("created_at=2026-11-21T19:20:12.947Z", Some(true)),
            ("created_at[]=2026-11-21T19:20:12Z", Some(false)),
            ("created_at[$foo]=1", Some(true)),
            ("created_at[$gt]=notadate", None),
        ] {
            let query_read = Query::read(Some(query));
            let mut when = When::default();
            let faults = faults(|faults| when = When::read(&query_read, "created_at", faults));
            let seen = faults.result().ok().map(|()| when.fits(at));
            assert_eq!(seen, fits, "{query}");
        }
    }
}
