//! Reads JSON exactly: no number becomes a float, no repeated member disappears unseen, and what is
//! wrong is said with its place in words of ours.
//!
//! [`read`] checks a whole text once ([`scan`]) and returns it as [`Json`], a checked slice. A `Json`
//! opens one level at a time ([`Json::value`], [`Json::object`]), and each part is a `Json` again. So a
//! face sees every value with its raw text, and decides itself what it takes.
//!
//! Invariants:
//! - A `Json` is valid JSON without surrounding space, nested at most [`DEPTH_MAX`] deep, and each of
//!   its strings is text: no lone surrogate is inside. Opening it cannot fail.
//! - Members keep their order and their repetitions.
//!
//! [`Number`] reads numbers, [`Json::canonical`] spells a value in its one canonical form.

mod canonical;
mod number;
mod scan;

use std::fmt;

use number::Number;
pub(crate) use number::{NotInteger, integer};
#[cfg(test)]
use scan::DEPTH_MAX;

/// What is wrong with a text that is not JSON, or not JSON that we take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Bytes before the place, from the start of the input.
    pub(crate) at: usize,
    pub(crate) cause: Cause,
}

/// Why a text was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Nothing but space.
    Empty,
    /// The text ends inside a value.
    Unfinished,
    /// Something follows the value.
    TrailingText,
    NotUtf8,
    ValueExpected,
    NameExpected,
    ColonExpected,
    CommaOrEndExpected,
    NumberMalformed,
    EscapeUnknown,
    /// A control character inside a string must be escaped.
    ControlCharacter,
    /// Half of a surrogate pair is no character.
    LoneSurrogate,
    TooDeep,
}

impl Cause {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Cause::Empty => "there is no value",
            Cause::Unfinished => "the text ends inside a value",
            Cause::TrailingText => "text follows the value",
            Cause::NotUtf8 => "the text is not valid UTF-8",
            Cause::ValueExpected => "a value was expected",
            Cause::NameExpected => "a member name in double quotes was expected",
            Cause::ColonExpected => "a colon was expected after the member name",
            Cause::CommaOrEndExpected => "a comma or the closing bracket was expected",
            Cause::NumberMalformed => "the number is malformed",
            Cause::EscapeUnknown => "the escape sequence is unknown or incomplete",
            Cause::ControlCharacter => "a control character in a string is not escaped",
            Cause::LoneSurrogate => "a Unicode escape is half of a surrogate pair",
            Cause::TooDeep => "values are nested too deeply",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} at position {}", self.cause.text(), self.at)
    }
}

impl std::error::Error for Fault {}

/// The kinds of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    Bool,
    Number,
    String,
    Array,
    Object,
}

/// A checked JSON value, as its raw text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Json<'a>(&'a str);

/// A value opened by one level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Null,
    Bool(bool),
    /// As written: see [`Number`] and [`integer`].
    Number(&'a str),
    /// Escapes decoded.
    Text(String),
    Array(Vec<Json<'a>>),
    Object(Object<'a>),
}

/// A member of an object: its name, escapes decoded, and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member<'a> {
    pub(crate) name: String,
    pub(crate) value: Json<'a>,
}

/// An object's members as written: in order, repetitions included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Object<'a> {
    members: Vec<Member<'a>>,
}

/// Checks `input` as one JSON value with space, or a UTF-8 byte order mark, around it.
pub(crate) fn read(input: &[u8]) -> Result<Json<'_>, Fault> {
    scan::check(input).map(Json)
}

impl<'a> Json<'a> {
    /// The value as written, without surrounding space.
    pub(crate) fn text(self) -> &'a str {
        self.0
    }

    pub(crate) fn kind(self) -> Kind {
        match self.first() {
            b'n' => Kind::Null,
            b't' | b'f' => Kind::Bool,
            b'"' => Kind::String,
            b'[' => Kind::Array,
            b'{' => Kind::Object,
            _ => Kind::Number,
        }
    }

    fn first(self) -> u8 {
        *self.0.as_bytes().first().expect("a checked value is not empty")
    }

    pub(crate) fn value(self) -> Value<'a> {
        match self.kind() {
            Kind::Null => Value::Null,
            Kind::Bool => Value::Bool(self.first() == b't'),
            Kind::Number => Value::Number(self.0),
            Kind::String => Value::Text(scan::decode(self.0)),
            Kind::Array => Value::Array(scan::items(self.0).into_iter().map(Json).collect()),
            Kind::Object => Value::Object(self.members()),
        }
    }

    fn members(self) -> Object<'a> {
        let members = scan::members(self.0)
            .into_iter()
            .map(|(name, value)| Member { name: scan::decode(name), value: Json(value) })
            .collect();
        Object { members }
    }

    pub(crate) fn object(self) -> Option<Object<'a>> {
        (self.kind() == Kind::Object).then(|| self.members())
    }

    /// The decoded text of a string; `None` for another kind.
    pub(crate) fn string(self) -> Option<String> {
        (self.kind() == Kind::String).then(|| scan::decode(self.0))
    }

    pub(crate) fn is_null(self) -> bool {
        self.kind() == Kind::Null
    }

    /// Whether a NUL character is in any string or name inside, however deep. One of our stores
    /// cannot keep it.
    pub(crate) fn contains_nul(self) -> bool {
        scan::contains_nul(self.0)
    }

    /// One spelling for every text of the same meaning: members sorted by name with the last of equal
    /// names kept, no space, strings escaped in one way, numbers by their exact value (`100`, `1e2` and
    /// `100.00` are one). Order inside arrays and the difference between absent and null remain.
    pub(crate) fn canonical(self) -> String {
        canonical::spell(self)
    }
}

impl fmt::Debug for Json<'_> {
    /// The kind only: a body may carry what must not reach a log.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Json({:?}, {} bytes)", self.kind(), self.0.len())
    }
}

impl<'a> Object<'a> {
    /// The value of a member; the last one where the name is repeated, as every original does.
    pub(crate) fn member(&self, name: &str) -> Option<Json<'a>> {
        self.members.iter().rev().find(|member| member.name == name).map(|member| member.value)
    }

    /// All members as written, repetitions included.
    pub(crate) fn members(&self) -> &[Member<'a>] {
        &self.members
    }

    /// The first name that is written more than once.
    pub(crate) fn repeated_name(&self) -> Option<&str> {
        let mut seen = std::collections::BTreeSet::new();
        self.members.iter().map(|member| member.name.as_str()).find(|name| !seen.insert(*name))
    }

    /// The first name, in the order written, that is not among `known`.
    pub(crate) fn name_outside(&self, known: &[&str]) -> Option<&str> {
        self.members.iter().map(|member| member.name.as_str()).find(|name| !known.contains(name))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }
}

#[cfg(test)]
mod tests;
