//! Parameters that lists share: how much of them, in which order, and from when.

use std::cmp::Ordering;
use std::fmt::Display;

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
#[derive(Clone, Debug, PartialEq, Eq)]
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
    pub(super) fn members(&self, count: impl Display) -> String {
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

/// What stands behind a column's name in brackets.
enum Written {
    Compares(Operator),
    /// `$in`
    Among,
    /// Compares texts, which times are not.
    OfTexts,
}

impl Written {
    fn read(text: &str) -> Option<Written> {
        Some(match text {
            "$gt" => Written::Compares(Operator::Above),
            "$gte" => Written::Compares(Operator::From),
            "$lt" => Written::Compares(Operator::Below),
            "$lte" => Written::Compares(Operator::Until),
            "$eq" | "" => Written::Compares(Operator::Is),
            "$ne" | "$nin" => Written::Compares(Operator::IsNot),
            "$in" => Written::Among,
            "$like" | "$ilike" | "$re" | "$contains" => Written::OfTexts,
            _ => return None,
        })
    }
}

impl Operator {
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

    /// The times that it admits, as far as a span can say it.
    fn span(self, bound: i64) -> Span {
        let behind = bound.saturating_add(1);
        let (from_ms, until_ms) = match self {
            Operator::Above => (Some(behind), None),
            Operator::From => (Some(bound), None),
            Operator::Below => (None, Some(bound)),
            Operator::Until => (None, Some(behind)),
            Operator::Is => (Some(bound), Some(behind)),
            Operator::IsNot => (None, None),
        };
        Span { from_ms, until_ms, is_exact: self != Operator::IsNot }
    }
}

/// All times from one on and before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub from_ms: Option<i64>,
    pub until_ms: Option<i64>,
    /// False: not every time within it is meant.
    pub is_exact: bool,
}

impl Span {
    pub(super) const ENDLESS: Span = Span { from_ms: None, until_ms: None, is_exact: true };

    /// All times are in it.
    pub(super) fn is_endless(self) -> bool {
        self == Span::ENDLESS
    }

    /// The times that are in both.
    pub(super) fn and(self, other: Span) -> Span {
        let ends = [self.until_ms, other.until_ms];
        Span {
            from_ms: self.from_ms.max(other.from_ms),
            until_ms: ends.into_iter().flatten().min(),
            is_exact: self.is_exact && other.is_exact,
        }
    }
}

impl When {
    /// Unknown operators are dropped, as in the original. What is no time is refused, and so are
    /// operators that times do not have (V2-7).
    pub(super) fn read(query: &Query, name: &str, faults: &mut Faults) -> When {
        let mut when = When::default();
        let ms = |text: &str, faults: &mut Faults| {
            let ms = time::parse_loose(text);
            if ms.is_none() {
                faults.other(format!("Value for field '{name}' is no ISO 8601 time"));
            }
            ms
        };
        match query.value(name) {
            None => {}
            Some(Value::Text(text)) => when.among.extend(ms(text, faults)),
            Some(Value::List(texts)) => {
                when.among.extend(texts.iter().filter_map(|text| ms(text, faults)));
            }
            Some(Value::Object(members)) => {
                for (written, text) in members {
                    // `$in][0`: one of a list.
                    let operator = written.split_once("][").map_or(written.as_str(), |list| list.0);
                    match Written::read(operator) {
                        None => {}
                        Some(Written::Compares(operator)) => {
                            when.holds.extend(ms(text, faults).map(|ms| (operator, ms)));
                        }
                        Some(Written::Among) => when.among.extend(ms(text, faults)),
                        Some(Written::OfTexts) => faults.other(format!(
                            "Operator '{operator}' for field '{name}' compares texts, not times"
                        )),
                    }
                }
            }
        }
        when
    }

    /// Nothing is asked of the time.
    pub(super) fn is_any(&self) -> bool {
        self.holds.is_empty() && self.among.is_empty()
    }

    /// All times that fit lie within it.
    pub(super) fn span(&self) -> Span {
        let holds = self.holds.iter();
        let holds = holds.map(|(operator, bound)| operator.span(*bound));
        let span = holds.fold(Span::ENDLESS, Span::and);
        let (Some(first), Some(last)) = (self.among.iter().min(), self.among.iter().max()) else {
            return span;
        };
        let mut around = Operator::From.span(*first).and(Operator::Until.span(*last));
        around.is_exact = first == last;
        span.and(around)
    }

    /// A missing time fits only where nothing is asked of it.
    pub(super) fn fits(&self, ms: Option<i64>) -> bool {
        let Some(ms) = ms else {
            return self.is_any();
        };
        let holds = |&(operator, bound): &(Operator, i64)| operator.admits(ms.cmp(&bound));
        self.holds.iter().all(holds) && (self.among.is_empty() || self.among.contains(&ms))
    }
}

/// Refuses names that reach too deep, before anything else is looked at.
pub(super) fn check_depth(query: &Query) -> Result<(), Failure> {
    match query.names().find(|name| name.split('.').count() > 2) {
        Some(name) => Err(Failure::KeyTooDeep(name.to_owned())),
        None => Ok(()),
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
            ("created_at[$in][]=2026-11-21&created_at[$in][]=2026-11-21T19:20:12.947Z", Some(true)),
            ("created_at[$in][0]=2026-11-21&created_at[$in][1]=2026-11-22", Some(false)),
            ("created_at[$nin][]=2026-11-21T19:20:12.947Z", Some(false)),
            ("created_at[$ne]=2026-11-21", Some(true)),
            ("created_at[$gte]=2026-11-21&created_at[$lt]=2026-11-22", Some(true)),
            ("created_at[$gt]=2026-11-21T19:20:12.947%2B01:00", Some(true)),
            ("created_at[$gt]=2026-11-21%2019:20:12.946", Some(true)),
            ("created_at[$like]=2026", None),
            ("created_at[$gt]=", None),
            ("created_at[$gt]=1732216812", None),
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

    #[test]
    fn a_span_holds_all_times_that_fit_and_says_whether_it_holds_others() {
        let day = |day: i64| Some(1_700_006_400_000 + day * 86_400_000);
        let behind = |day_ms: Option<i64>| day_ms.map(|ms| ms + 1);
        for (query, from_ms, until_ms, is_exact) in [
            ("", None, None, true),
            ("t[$gt]=2023-11-15", behind(day(0)), None, true),
            ("t[$gte]=2023-11-15&t[$lt]=2023-11-17", day(0), day(2), true),
            ("t[$lte]=2023-11-15&t[$lte]=2023-11-16", None, behind(day(0)), true),
            ("t[$eq]=2023-11-15", day(0), behind(day(0)), true),
            ("t=2023-11-15", day(0), behind(day(0)), true),
            ("t=2023-11-15&t=2023-11-18", day(0), behind(day(3)), false),
            ("t[$in][]=2023-11-16&t[$gt]=2023-11-15", day(1), behind(day(1)), true),
            ("t[$ne]=2023-11-15", None, None, false),
            ("t[$ne]=2023-11-15&t[$gte]=2023-11-16", day(1), None, false),
        ] {
            let read = When::read(&Query::read(Some(query)), "t", &mut Faults::default());
            assert_eq!(read.span(), Span { from_ms, until_ms, is_exact }, "{query}");
        }
    }
}
