//! A JSON object of a request being read, member by member, together with everything that is wrong
//! with it: the answer names all of it at once.
//!
//! An explicit null is absent. At the end [`Form::finish`] says whether anything was wrong, unknown
//! and repeated members included.

use requite_core::id::parse_uuid;

use super::failure::{Detail, Failure, Location};
use crate::json::{self, Json, Kind, NotInteger, Object, Value};

/// More details than this would only repeat themselves.
pub(super) const DETAILS_MAX: usize = 20;
/// Longest name of an unknown member that a pointer repeats, in characters.
const NAME_SHOWN_MAX: usize = 100;

/// An object being read, and what was found wrong with it so far.
pub(super) struct Form<'a> {
    object: Object<'a>,
    /// The pointer of the object itself: empty for the body.
    at: String,
    details: Vec<Detail>,
}

impl<'a> Form<'a> {
    pub(super) fn read(body: &'a [u8]) -> Result<Form<'a>, Failure> {
        let whole = |message: String, kind| {
            Failure::invalid(Detail::new(Location::Body, "", message, kind))
        };
        if body.is_empty() {
            return Err(whole("field required".to_owned(), "value_error.missing"));
        }
        let json =
            json::read(body).map_err(|fault| whole(fault.to_string(), "value_error.jsondecode"))?;
        let Some(object) = json.object() else {
            let text = "value is not a valid dict".to_owned();
            return Err(whole(text, "type_error.dict"));
        };
        if json.contains_nul() {
            let text = "a text contains a NUL character".to_owned();
            return Err(whole(text, "value_error"));
        }
        Ok(Form { object, at: String::new(), details: Vec::new() })
    }

    /// A member that is there and not null.
    pub(super) fn member(&self, name: &str) -> Option<Json<'a>> {
        self.object.member(name).filter(|member| member.kind() != Kind::Null)
    }

    pub(super) fn complain(&mut self, name: &str, message: impl Into<String>, kind: &'static str) {
        let pointer = format!("{}{}", self.at, pointer(name));
        self.add([Detail::new(Location::Body, pointer, message, kind)]);
    }

    pub(super) fn add(&mut self, details: impl IntoIterator<Item = Detail>) {
        let room = DETAILS_MAX.saturating_sub(self.details.len());
        self.details.extend(details.into_iter().take(room));
    }

    pub(super) fn missing(&mut self, name: &str) {
        self.complain(name, "field required", "value_error.missing");
    }

    /// A whole number from `least` to `most`.
    pub(super) fn integer(&mut self, name: &str, least: i64, most: i64) -> Option<i64> {
        let Value::Number(raw) = self.member(name)?.value() else {
            self.complain(name, "value is not a valid integer", "type_error.integer");
            return None;
        };
        let is_below = match json::integer(raw) {
            Ok(number) if (least..=most).contains(&number) => return Some(number),
            Ok(number) => number < least,
            Err(NotInteger::OutOfRange) => raw.starts_with('-'),
            Err(NotInteger::Fraction) => {
                self.complain(name, "value is not a valid integer", "type_error.integer");
                return None;
            }
        };
        if is_below {
            let text = format!("ensure this value is greater than or equal to {least}");
            self.complain(name, text, "value_error.number.not_ge");
        } else {
            let text = format!("ensure this value is less than or equal to {most}");
            self.complain(name, text, "value_error.number.not_le");
        }
        None
    }

    /// `true` or `false`; false when absent.
    pub(super) fn flag(&mut self, name: &str) -> bool {
        match self.member(name).map(Json::value) {
            None => false,
            Some(Value::Bool(is_set)) => is_set,
            Some(_) => {
                let text = "value could not be parsed to a boolean";
                self.complain(name, text, "type_error.bool");
                false
            }
        }
    }

    /// A member that is taken and left alone, if it is of this kind.
    pub(super) fn of_kind(&mut self, name: &str, kind: Kind) {
        if self.member(name).is_some_and(|member| member.kind() != kind) {
            self.complain(name, format!("value is not of the kind {kind:?}"), "type_error");
        }
    }

    /// One of `words`.
    pub(super) fn word(&mut self, name: &str, words: &[&'static str]) -> Option<&'static str> {
        let text = self.member(name)?.string();
        let word = words.iter().find(|word| text.as_deref() == Some(**word)).copied();
        if word.is_none() {
            let permitted = words.join("', '");
            let text = format!("value is not a valid enumeration member; permitted: '{permitted}'");
            self.complain(name, text, "type_error.enum");
        }
        word
    }

    /// An object inside, to be given back with [`Form::absorb`].
    pub(super) fn inner(&mut self, name: &str) -> Option<Form<'a>> {
        let json = self.member(name)?;
        self.opened(name, json)
    }

    /// The objects of a list inside, each to be given back with [`Form::absorb`]; none when absent,
    /// `None` when it is no list of objects.
    pub(super) fn items(&mut self, name: &str, count_max: usize) -> Option<Vec<Form<'a>>> {
        let items = match self.member(name).map(Json::value) {
            None => return Some(Vec::new()),
            Some(Value::Array(items)) => items,
            Some(_) => {
                self.complain(name, "value is not a valid list", "type_error.list");
                return None;
            }
        };
        if items.len() > count_max {
            let text = format!("ensure this value has at most {count_max} items");
            self.complain(name, text, "value_error.list.max_items");
            return None;
        }
        let named = items.into_iter().enumerate();
        named.map(|(place, item)| self.opened(&format!("{name}/{place}"), item)).collect()
    }

    fn opened(&mut self, path: &str, json: Json<'a>) -> Option<Form<'a>> {
        let at = format!("{}/{path}", self.at);
        let Some(object) = json.object() else {
            let text = "value is not a valid dict";
            self.add([Detail::new(Location::Body, at, text, "type_error.dict")]);
            return None;
        };
        Some(Form { object, at, details: Vec::new() })
    }

    /// Takes over what is wrong with an object inside, in which nothing but `known` may stand.
    pub(super) fn absorb(&mut self, mut inner: Form<'a>, known: &[&str]) {
        inner.close(known);
        self.add(inner.details);
    }

    /// Names and texts, as JSON object text.
    pub(super) fn metadata(&mut self) -> Option<String> {
        let json = self.member("metadata")?;
        let texts = json.object().is_some_and(|object| {
            object.members().iter().all(|member| member.value.kind() == Kind::String)
        });
        if !texts {
            let text = "value is not a valid dict of str";
            self.complain("metadata", text, "type_error.dict");
        }
        texts.then(|| json.canonical())
    }

    pub(super) fn uuid(&mut self, name: &str) -> Option<u128> {
        let text = self.member(name)?.string();
        let bits = text.as_deref().and_then(parse_uuid);
        if bits.is_none() {
            self.complain(name, "value is not a valid uuid", "type_error.uuid");
        }
        bits
    }

    /// A text of `min` to `max` characters.
    pub(super) fn text(&mut self, name: &str, min: usize, max: usize) -> Option<String> {
        let Some(text) = self.member(name)?.string() else {
            self.complain(name, "str type expected", "type_error.str");
            return None;
        };
        let length = text.chars().count();
        if length < min {
            let message = format!("ensure this value has at least {min} characters");
            self.complain(name, message, "value_error.any_str.min_length");
            None
        } else if length > max {
            let message = format!("ensure this value has at most {max} characters, not {length}");
            self.complain(name, message, "value_error.any_str.max_length");
            None
        } else {
            Some(text)
        }
    }

    /// Nothing else may be in it, and nothing twice.
    pub(super) fn finish(mut self, known: &[&str]) -> Result<(), Failure> {
        self.close(known);
        if self.details.is_empty() { Ok(()) } else { Err(Failure::Invalid(self.details)) }
    }

    fn close(&mut self, known: &[&str]) {
        let names: Vec<String> = self
            .object
            .members()
            .iter()
            .map(|member| member.name.clone())
            .filter(|name| !known.contains(&name.as_str()))
            .take(DETAILS_MAX)
            .collect();
        for name in names {
            self.complain(&name, "extra fields not permitted", "value_error.extra");
        }
        if let Some(name) = self.object.repeated_name().map(str::to_owned) {
            self.complain(&name, "the member is there more than once", "value_error");
        }
    }
}

/// The JSON pointer of a member of the body (RFC 6901), cut when its name is long.
pub(super) fn pointer(name: &str) -> String {
    let shown: String = name.chars().take(NAME_SHOWN_MAX).collect();
    format!("/{}", shown.replace('~', "~0").replace('/', "~1"))
}
