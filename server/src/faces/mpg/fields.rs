//! Reads a request's members and collects everything that is to be complained of.
//!
//! `null` is the same as absent: typed clients write the members they do not use as null. Members
//! that nobody reads are not looked at. No complaint repeats what was sent, as it may be a card's.

use std::net::IpAddr;

use axum::http::HeaderMap;
use requite_core::id::parse_uuid;

use super::failure::{Complaint, Complaints, Failure};
use crate::desk::KEY_TEXT_MAX;
use crate::json::{Cause, Json, NotInteger, Object, Value, integer, read};

/// Members of one object.
pub(super) struct Fields<'a> {
    object: Option<Object<'a>>,
    /// What stands before its members' names in a complaint: `source.`.
    before: String,
    complaints: Complaints,
}

impl<'a> Fields<'a> {
    /// Opens a body. No body says as much as an empty one.
    pub(super) fn of_body(body: &'a [u8]) -> Result<Fields<'a>, Failure> {
        let object = match read(body) {
            Ok(json) => Some(json.object().ok_or(Failure::NotAnObject)?),
            Err(fault) if fault.cause == Cause::Empty => None,
            Err(fault) => return Err(Failure::Json(fault)),
        };
        if object.as_ref().is_some_and(|object| object.repeated_name().is_some()) {
            return Err(Failure::MemberRepeated);
        }
        Ok(Fields { object, before: String::new(), complaints: Vec::new() })
    }

    /// Opens a member that is an object. Its complaints come back with [`Fields::absorb`].
    pub(super) fn inner(&mut self, name: &str) -> Option<Fields<'a>> {
        let object = self.member(name)?.object();
        let before = format!("{}{name}.", self.before);
        let is_twice = object.as_ref().is_some_and(|object| object.repeated_name().is_some());
        match object {
            None => self.complain(name, Complaint::NotObject),
            Some(_) if is_twice => self.complain(name, Complaint::MemberTwice),
            object => return Some(Fields { object, before, complaints: Vec::new() }),
        }
        None
    }

    pub(super) fn absorb(&mut self, inner: Fields<'_>) {
        self.complaints.extend(inner.complaints);
    }

    /// One complaint is enough for a member: the first.
    pub(super) fn complain(&mut self, name: &str, complaint: Complaint) {
        let name = format!("{}{name}", self.before);
        if self.complaints.iter().all(|(known, _)| *known != name) {
            self.complaints.push((name, complaint));
        }
    }

    /// Everything that is to be complained of; to be called when all is read.
    pub(super) fn end(self) -> Result<(), Failure> {
        if self.complaints.is_empty() { Ok(()) } else { Err(self.failure()) }
    }

    pub(super) fn failure(self) -> Failure {
        Failure::Invalid(self.complaints)
    }

    pub(super) fn member(&self, name: &str) -> Option<Json<'a>> {
        let member = self.object.as_ref().and_then(|object| object.member(name));
        member.filter(|value| !value.is_null())
    }

    /// Members as written, for those who keep them.
    pub(super) fn members(&self) -> impl Iterator<Item = (&str, Json<'a>)> {
        let members = self.object.iter().flat_map(Object::members);
        members.map(|member| (member.name.as_str(), member.value))
    }

    pub(super) fn require(&mut self, name: &str) {
        if self.member(name).is_none() {
            self.complain(name, Complaint::Required);
        }
    }

    /// Reads a member that is there; what `read` complains of is its own.
    fn read<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(Json<'a>) -> Result<T, Complaint>,
    ) -> Option<T> {
        match read(self.member(name)?) {
            Ok(value) => Some(value),
            Err(complaint) => {
                self.complain(name, complaint);
                None
            }
        }
    }

    pub(super) fn integer(&mut self, name: &str, least: i64, most: i64) -> Option<i64> {
        self.read(name, |value| {
            let Value::Number(raw) = value.value() else {
                return Err(Complaint::NotInteger);
            };
            match integer(raw) {
                Ok(number) if number < least => Err(Complaint::TooSmall(least)),
                Ok(number) if number > most => Err(Complaint::TooLarge(most)),
                Ok(number) => Ok(number),
                Err(NotInteger::Fraction) => Err(Complaint::NotInteger),
                Err(NotInteger::OutOfRange) if raw.starts_with('-') => {
                    Err(Complaint::TooSmall(least))
                }
                Err(NotInteger::OutOfRange) => Err(Complaint::TooLarge(most)),
            }
        })
    }

    pub(super) fn boolean(&mut self, name: &str) -> Option<bool> {
        self.read(name, |value| match value.value() {
            Value::Bool(value) => Ok(value),
            _ => Err(Complaint::NotBoolean),
        })
    }

    /// Text of at most `most` characters, and at least one.
    pub(super) fn text(&mut self, name: &str, most: usize) -> Option<String> {
        self.read(name, |value| {
            let text = value.string().ok_or(Complaint::NotText)?;
            match text.chars().count() {
                0 => Err(Complaint::TooShort(1)),
                count if count > most => Err(Complaint::TooLong(most)),
                _ if text.contains('\0') => Err(Complaint::Nul),
                _ => Ok(text),
            }
        })
    }

    /// Text that `rule` admits; otherwise `complaint`.
    pub(super) fn text_that(
        &mut self,
        name: &str,
        complaint: Complaint,
        rule: impl FnOnce(&str) -> bool,
    ) -> Option<String> {
        self.read(name, |value| value.string().filter(|text| rule(text)).ok_or(complaint))
    }

    pub(super) fn one_of(
        &mut self,
        name: &str,
        words: &'static [&'static str],
    ) -> Option<&'static str> {
        self.read(name, |value| {
            let text = value.string().unwrap_or_default();
            let word = words.iter().find(|word| **word == text);
            word.copied().ok_or(Complaint::NotAmong(words))
        })
    }

    /// The bits of a UUID, whatever its version and letter case.
    pub(super) fn uuid(&mut self, name: &str) -> Option<u128> {
        self.read(name, |value| {
            let bits = value.string().and_then(|text| parse_uuid(&text));
            bits.ok_or(Complaint::NotUuid)
        })
    }

    pub(super) fn ip_address(&mut self, name: &str) {
        self.text_that(name, Complaint::NotIpAddress, |text| text.parse::<IpAddr>().is_ok());
    }

    /// An object that is kept as it was written.
    pub(super) fn kept(&mut self, name: &str, bytes_max: usize) -> Option<Json<'a>> {
        self.read(name, |value| match value.object() {
            None => Err(Complaint::NotObject),
            Some(_) if value.text().len() > bytes_max => Err(Complaint::TooManyBytes(bytes_max)),
            Some(_) if value.contains_nul() => Err(Complaint::Nul),
            Some(object) if object.repeated_name().is_some() => Err(Complaint::MemberTwice),
            Some(_) => Ok(value),
        })
    }

    /// The header of that name, complained of as if it were a member.
    pub(super) fn idempotency_key(&mut self, headers: &HeaderMap) -> Option<String> {
        let mut sent = headers.get_all("idempotency-key").iter();
        let text = sent.next()?.to_str().unwrap_or_default();
        if sent.next().is_none() && (1..=KEY_TEXT_MAX).contains(&text.len()) {
            return Some(text.to_owned());
        }
        self.complain("idempotency_key", Complaint::NotKey);
        None
    }
}
