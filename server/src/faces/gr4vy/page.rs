//! Pages of lists: the query that asks for one, and the cursors that lead to its neighbours.
//!
//! A cursor is a place between two items, not a count, so that a list that grows or moves under a
//! reader shows nothing twice. It is opaque and good for the merchant and the list that it was given
//! for; one that was changed is refused. Nothing is secret in it, and it opens nothing.
//!
//! A name that the API does not have is passed over, as older SDKs send some.

use axum::extract::Query as Pairs;
use axum::http::Uri;
use data_encoding::BASE64URL_NOPAD;
use requite_core::id::MerchantId;
use requite_engine::key::digest;
use serde::Serialize;

use super::failure::{Detail, Failure, Location};
use crate::time;

/// Items on a page where none are asked for.
pub(super) const LIMIT: u32 = 20;
/// Most items on a page.
pub(super) const LIMIT_MAX: u32 = 100;
/// Most values of one parameter that takes several.
const VALUES_MAX: usize = 100;
/// More details than this would only repeat themselves.
const DETAILS_MAX: usize = 20;

/// A page, in the shape of every list.
#[derive(Debug, Serialize)]
pub(super) struct Page<T> {
    pub items: Vec<T>,
    pub limit: u32,
    pub next_cursor: Option<String>,
    pub previous_cursor: Option<String>,
}

impl<T> Page<T> {
    /// The one page of a list that takes no cursor. Its limit is the API's usual one, and more where
    /// more are shown, up to the API's most.
    pub(super) fn whole(items: Vec<T>) -> Page<T> {
        let count = u32::try_from(items.len()).unwrap_or(LIMIT_MAX);
        let limit = count.clamp(LIMIT, LIMIT_MAX);
        Page { items, limit, next_cursor: None, previous_cursor: None }
    }
}

/// Where an item stands in a list that is ordered by time and id, newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub at_ms: i64,
    pub id: u128,
}

impl Place {
    /// Just on the newer side of this place.
    pub(super) fn above(self) -> Place {
        Place { id: self.id.saturating_add(1), ..self }
    }

    /// Just on the older side of this place.
    pub(super) fn below(self) -> Place {
        Place { id: self.id.saturating_sub(1), ..self }
    }
}

/// Which way a page lies from a place. Items at the place itself are on no page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cursor {
    /// What is older.
    Next(Place),
    /// What is newer.
    Previous(Place),
}

/// A list of a merchant's, whose cursors are good for no other.
#[derive(Clone, Copy, Debug)]
pub(super) struct List<'a> {
    pub merchant: MerchantId,
    pub name: &'a str,
}

/// Direction, time, id, and the first bytes of a digest.
const CURSOR_BYTES: usize = 1 + 8 + 16 + 8;

impl List<'_> {
    pub(super) fn text(self, cursor: Cursor) -> String {
        let (direction, place) = match cursor {
            Cursor::Next(place) => (0, place),
            Cursor::Previous(place) => (1, place),
        };
        let mut bytes = vec![direction];
        bytes.extend(place.at_ms.to_be_bytes());
        bytes.extend(place.id.to_be_bytes());
        let mark = self.mark(&bytes);
        bytes.extend(mark);
        BASE64URL_NOPAD.encode(&bytes)
    }

    fn read(self, text: &str) -> Option<Cursor> {
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        let bytes = <[u8; CURSOR_BYTES]>::try_from(bytes).ok()?;
        let (place, mark) = bytes.split_at(CURSOR_BYTES - 8);
        if mark != self.mark(place) {
            return None;
        }
        let (direction, place) = place.split_first()?;
        let (at_ms, id) = place.split_first_chunk::<8>()?;
        let at_ms = i64::from_be_bytes(*at_ms);
        let place = Place { at_ms, id: u128::from_be_bytes(id.try_into().ok()?) };
        match direction {
            0 => Some(Cursor::Next(place)),
            1 => Some(Cursor::Previous(place)),
            _ => None,
        }
    }

    fn mark(self, bytes: &[u8]) -> [u8; 8] {
        let merchant = self.merchant.bits().to_be_bytes();
        let whole = digest(&[b"cursor", &merchant, self.name.as_bytes(), bytes]);
        *whole.first_chunk().expect("a digest has 16 bytes")
    }
}

/// A query being read, and what was found wrong with it so far.
pub(super) struct Query {
    pairs: Vec<(String, String)>,
    details: Vec<Detail>,
}

impl Query {
    pub(super) fn read(uri: &Uri) -> Query {
        let mut query = Query { pairs: Vec::new(), details: Vec::new() };
        match Pairs::<Vec<(String, String)>>::try_from_uri(uri) {
            Ok(Pairs(pairs)) => query.pairs = pairs,
            Err(_) => query.complain("", "the query cannot be read", "value_error"),
        }
        query
    }

    /// # Errors
    /// 400 with a detail for everything that was wrong.
    pub(super) fn finish(self) -> Result<(), Failure> {
        if self.details.is_empty() { Ok(()) } else { Err(Failure::Invalid(self.details)) }
    }

    pub(super) fn complain(&mut self, name: &str, message: impl Into<String>, kind: &'static str) {
        if self.details.len() < DETAILS_MAX {
            self.details.push(Detail::new(Location::Query, name, message, kind));
        }
    }

    /// Every value of a parameter that may be given several times.
    pub(super) fn all(&mut self, name: &str) -> Vec<String> {
        let named = self.pairs.iter().filter(|(given, _)| given == name);
        let mut values: Vec<String> = named.map(|(_, value)| value.clone()).collect();
        if values.len() > VALUES_MAX {
            let text = format!("ensure this value has at most {VALUES_MAX} items");
            self.complain(name, text, "value_error.list.max_items");
        }
        if values.iter().any(String::is_empty) {
            let text = "ensure this value has at least 1 characters";
            self.complain(name, text, "value_error.any_str.min_length");
            values.retain(|value| !value.is_empty());
        }
        values
    }

    /// The value of a parameter that is given once.
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        let mut values = self.all(name);
        if values.len() > 1 {
            self.complain(name, "the parameter is given more than once", "value_error");
        }
        values.pop()
    }

    pub(super) fn whether(&mut self, name: &str) -> Option<bool> {
        let text = self.text(name)?;
        match text.to_ascii_lowercase().as_str() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => {
                self.complain(name, "value could not be parsed to a boolean", "type_error.bool");
                None
            }
        }
    }

    /// Minor units, zero or more.
    pub(super) fn amount(&mut self, name: &str) -> Option<i64> {
        let text = self.text(name)?;
        let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let amount = if is_digits { text.parse().ok() } else { None };
        if amount.is_none() {
            self.complain(name, "value is not a valid integer", "type_error.integer");
        }
        amount
    }

    /// A time with its offset, to whole milliseconds; `rounds_up`: the first one at or after it.
    pub(super) fn time(&mut self, name: &str, rounds_up: bool) -> Option<i64> {
        let text = self.text(name)?;
        let ms = if rounds_up { time::parse_up(&text) } else { time::parse(&text) };
        if ms.is_none() {
            let text = "invalid datetime format: a time as RFC 3339 writes it, with its offset \
                        (in a query, + is written %2B)";
            self.complain(name, text, "value_error.datetime");
        }
        ms
    }

    pub(super) fn limit(&mut self, usual: u32) -> u32 {
        let Some(text) = self.text("limit") else {
            return usual;
        };
        let limit: Option<u32> = text.parse().ok();
        if let Some(limit @ 1..=LIMIT_MAX) = limit {
            return limit;
        }
        let text = format!("ensure this value is from 1 to {LIMIT_MAX}");
        self.complain("limit", text, "value_error.number");
        usual
    }

    pub(super) fn cursor(&mut self, list: List<'_>) -> Option<Cursor> {
        let text = self.text("cursor")?;
        let cursor = list.read(&text);
        if cursor.is_none() {
            let text = "the cursor is none of this list's; leave it out to begin at the start";
            self.complain("cursor", text, "value_error");
        }
        cursor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: List<'_> = List { merchant: MerchantId::new(1), name: "transactions" };

    #[test]
    fn a_cursor_is_read_as_it_was_given_and_by_its_own_list_alone() {
        let place = Place { at_ms: -5, id: u128::MAX };
        for cursor in [Cursor::Next(place), Cursor::Previous(place)] {
            let text = LIST.text(cursor);
            assert_eq!(LIST.read(&text), Some(cursor));
            assert_eq!(List { merchant: MerchantId::new(2), ..LIST }.read(&text), None);
            assert_eq!(List { name: "events", ..LIST }.read(&text), None);
            for place in 0..text.len() {
                let mut changed = text.clone().into_bytes();
                changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
                let changed = String::from_utf8(changed).expect("ASCII");
                assert_eq!(LIST.read(&changed), None, "{changed}");
            }
        }
        for text in ["", "x", "AAAA", "null", "é"] {
            assert_eq!(LIST.read(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_query_says_everything_that_is_wrong_with_it() {
        let uri: Uri = "/?limit=0&a=x&b=12&c=maybe&d=&e=1&e=2&f=2024-09-15&g=TRUE&h=-1&other=%20"
            .parse()
            .expect("a URI");
        let mut query = Query::read(&uri);
        assert_eq!(query.limit(20), 20);
        assert_eq!(query.amount("a"), None);
        assert_eq!(query.amount("b"), Some(12));
        assert_eq!(query.whether("c"), None);
        query.text("d");
        query.text("e");
        assert_eq!(query.time("f", false), None);
        assert_eq!(query.whether("g"), Some(true));
        assert_eq!(query.amount("h"), None);
        assert_eq!(query.text("nothing"), None);
        let Err(Failure::Invalid(details)) = query.finish() else {
            panic!("it is wrong");
        };
        let names: Vec<&str> = details.iter().map(|detail| detail.pointer.as_str()).collect();
        assert_eq!(names, ["limit", "a", "c", "d", "e", "f", "h"]);
        assert!(details.iter().all(|detail| detail.location == Location::Query));
    }
}
