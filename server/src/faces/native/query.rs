//! The parameters of a list: which rows, in what order, and which page of them.

use axum::extract::Query;
use axum::http::Uri;
use data_encoding::BASE64URL_NOPAD;
use requite_core::currency::Currency;
use requite_engine::read::Sort;

use super::failure::Failure;
use super::page::{List, Turn};
use crate::time;

/// Items on a page where none are asked for.
const LIMIT: u32 = 20;
/// Most items on a page.
const LIMIT_MAX: u32 = 100;
/// Most words that one filter names.
const WORDS_MAX: usize = 32;
/// Filters that name several words, with commas between them or given again.
const SEVERAL: [&str; 3] = ["status", "stage", "currency"];

/// The parameters of a query; each is taken at most once, but for [`SEVERAL`].
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    pub(super) fn read(uri: &Uri, known: &[&str]) -> Result<Parameters, Failure> {
        let Ok(Query(pairs)) = Query::<Vec<(String, String)>>::try_from_uri(uri) else {
            return Err(Failure::parameter("", "list is malformed"));
        };
        if let Some((name, _)) = pairs.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            let rule = format!("is not known; there are {}", known.join(", "));
            return Err(Failure::parameter(name, &rule));
        }
        let parameters = Parameters(pairs);
        let is_repeated =
            |name: &&&str| !SEVERAL.contains(name) && parameters.all(name).count() > 1;
        match known.iter().find(is_repeated) {
            Some(name) => Err(Failure::parameter(name, "is given twice; give it once")),
            None => Ok(parameters),
        }
    }

    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.0.iter().filter(move |(given, _)| given == name);
        named.map(|(_, value)| value.as_str())
    }

    fn one(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<String>, Failure> {
        match self.one(name) {
            Some(text) if text.is_empty() || text.len() > 255 || text.contains('\0') => {
                Err(Failure::parameter(name, "must be text of 1 to 255 bytes, without NUL"))
            }
            other => Ok(other.map(str::to_owned)),
        }
    }

    pub(super) fn time(&self, name: &str) -> Result<Option<i64>, Failure> {
        let rule = "must be a time as RFC 3339 writes it, such as 2024-09-15T12:27:45Z \
                    (a + is written %2B in a query)";
        let Some(text) = self.one(name) else {
            return Ok(None);
        };
        let ms = time::parse(text).ok_or_else(|| Failure::parameter(name, rule))?;
        Ok(Some(ms))
    }

    pub(super) fn amount(&self, name: &str) -> Result<Option<i64>, Failure> {
        let Some(text) = self.one(name) else {
            return Ok(None);
        };
        let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let units: Option<i64> = is_digits.then(|| text.parse().ok()).flatten();
        let rule = "must be a whole number of minor units";
        units.map(Some).ok_or_else(|| Failure::parameter(name, rule))
    }

    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, Failure> {
        match self.one(name) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(Failure::parameter(name, "must be true or false")),
        }
    }

    /// Every word that one of [`SEVERAL`] names, each as `read` reads it.
    pub(super) fn words<T>(
        &self,
        name: &str,
        rule: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Vec<T>, Failure> {
        let words = self.all(name).flat_map(|words| words.split(','));
        let words: Vec<&str> = words.take(WORDS_MAX + 1).collect();
        let known: Option<Vec<T>> = words.iter().map(|word| read(word)).collect();
        let known = known.filter(|known| known.len() <= WORDS_MAX);
        known.ok_or_else(|| Failure::parameter(name, rule))
    }

    pub(super) fn currencies(&self) -> Result<Vec<String>, Failure> {
        let code = |word: &str| Currency::parse(word).map(|currency| currency.code().to_owned());
        self.words("currency", "must be codes of ISO 4217, such as EUR", code)
    }

    /// Which page is asked for: `sort`, `order`, `limit` and `cursor`. A cursor knows the order in
    /// which it was given.
    pub(super) fn turn(&self, list: List) -> Result<Turn, Failure> {
        let sort = match self.one("sort") {
            None => None,
            Some(word) => {
                let known = list.sorts().iter().find(|(listed, _)| *listed == word);
                let words: Vec<&str> = list.sorts().iter().map(|(word, _)| *word).collect();
                let rule = format!("must be {}", words.join(" or "));
                Some(known.ok_or_else(|| Failure::parameter("sort", &rule))?.1)
            }
        };
        let newest_first = match self.one("order") {
            None => None,
            Some("newest_first") => Some(true),
            Some("oldest_first") => Some(false),
            Some(_) => {
                let rule = "must be newest_first or oldest_first";
                return Err(Failure::parameter("order", rule));
            }
        };
        let limit = self.limit()?;
        let Some(text) = self.one("cursor") else {
            let newest_first = newest_first.unwrap_or(list.is_newest_first());
            return Ok(Turn::first(list, sort.unwrap_or_default(), newest_first, limit));
        };
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok();
        let turn = bytes.and_then(|bytes| Turn::behind(&bytes, list, limit));
        let rule = "must be a next_cursor or previous_cursor of this list, as it was given";
        let turn = turn.ok_or_else(|| Failure::parameter("cursor", rule))?;
        let is_same = |sort: Sort| sort == turn.sort;
        if !sort.is_none_or(is_same) || newest_first.is_some_and(|n| n != turn.is_newest_first) {
            let rule = "is of another order; give sort and order as they were, or leave them out";
            return Err(Failure::parameter("cursor", rule));
        }
        Ok(turn)
    }

    pub(super) fn limit(&self) -> Result<u32, Failure> {
        let Some(text) = self.one("limit") else {
            return Ok(LIMIT);
        };
        let limit: Option<u32> = text.parse().ok();
        let limit = limit.filter(|limit| (1..=LIMIT_MAX).contains(limit));
        let rule = format!("must be a whole number from 1 to {LIMIT_MAX}");
        limit.ok_or_else(|| Failure::parameter("limit", &rule))
    }
}
