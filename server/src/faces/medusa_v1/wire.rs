//! What this dialect's requests and answers look like.
//!
//! The original validates with a library that names each complaint in fixed words; all complaints
//! about one request are joined by `, `: unknown members first, in the order sent, then each known
//! member in the order of its class. Those texts are reproduced here.

mod neighbours;

use std::borrow::Cow;

use axum::extract::Request;
use axum::http::header::{CONTENT_TYPE, ETAG};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use requite_core::id::prefixed_text;
use requite_engine::order::OrderRefund;
use requite_engine::read::RefundView;
use serde::Serialize;

pub(super) use self::neighbours::{OrderRefundBody, ReturnReasonBody};
use super::failure::Failure;
use crate::browser;
use crate::desk::KEY_TEXT_MAX;
use crate::http::{Codings, REFUND_BODY_MAX, read_body};
use crate::json::{self, Json, NotInteger, Object, Value};
use crate::time;

/// The five reasons. Exactly these, in this letter case.
const REASONS: [&str; 5] = ["discount", "return", "swap", "claim", "other"];

/// Complaints about unknown members that one answer holds. The original has no limit; with one, a
/// body of commas is not answered with a page for each.
const UNKNOWN_NAMES_MAX: usize = 100;

const AMOUNT_EMPTY: &str = "amount should not be empty";
pub(super) const AMOUNT_NOT_INTEGER: &str = "amount must be an integer number";
/// V1-1: the original takes zero and negative amounts.
pub(super) const AMOUNT_TOO_SMALL: &str = "amount must not be less than 1";
const REASON_EMPTY: &str = "reason should not be empty";
pub(super) const REASON_UNKNOWN: &str =
    "reason must be one of the following values: discount, return, swap, claim, other";
const NOTE_NOT_TEXT: &str = "note must be a string";
/// The original fails with 500 here.
const NOTE_NUL: &str = "note must not contain NUL characters";

/// The bytes of a body as the original's parser takes them in: only `application/json` is read, any
/// other content is as if nothing had been sent, and nothing is `{}`.
///
/// # Errors
/// 413 above 64 KiB (A9), 415 for a charset other than UTF-8, and what [`read_body`] refuses.
pub(super) async fn body(request: &mut Request) -> Result<Bytes, Failure> {
    const EMPTY: Bytes = Bytes::from_static(b"{}");
    if !is_json(request.headers())? {
        return Ok(EMPTY);
    }
    let bytes = read_body(request, REFUND_BODY_MAX, Codings::Inflate).await?;
    Ok(if bytes.is_empty() { EMPTY } else { bytes })
}

/// Whether the content type is JSON's own; `application/vnd.api+json` is not.
fn is_json(headers: &HeaderMap) -> Result<bool, Failure> {
    let Some(value) = headers.get(CONTENT_TYPE) else {
        return Ok(false);
    };
    let text = String::from_utf8_lossy(value.as_bytes());
    let mut parts = text.split(';').map(str::trim);
    let kind = parts.next().unwrap_or_default();
    if !kind.eq_ignore_ascii_case("application/json") {
        return Ok(false);
    }
    let charset = parts
        .filter_map(|part| part.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"))
        .map(|(_, value)| value.trim().trim_matches('"'));
    if charset.is_none_or(|charset| charset.eq_ignore_ascii_case("utf-8")) {
        Ok(true)
    } else {
        Err(Failure::charset_unsupported())
    }
}

/// The top level of a body. To the validator an array is an object with the members 0, 1, ...
#[derive(Debug)]
pub(super) enum Members<'a> {
    Object(Object<'a>),
    /// Its length; not zero.
    List(usize),
}

impl<'a> Members<'a> {
    /// # Errors
    /// 400 for malformed JSON, and for a text, number, truth value or null.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Members<'a>, Failure> {
        match json::read(bytes).map_err(Failure::unreadable)?.value() {
            Value::Object(object) => Ok(Members::Object(object)),
            Value::Array(items) if items.is_empty() => Members::read(b"{}"),
            Value::Array(items) => Ok(Members::List(items.len())),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => {
                Err(Failure::not_object())
            }
        }
    }

    /// What the validator says of members beside `known`, and the object if there is one.
    fn strangers(&self, known: &[&str]) -> Vec<Cow<'static, str>> {
        let names: Vec<Cow<'_, str>> = match self {
            Members::List(length) => (0..*length).map(|at| at.to_string().into()).collect(),
            Members::Object(object) => distinct(object).collect(),
        };
        names
            .iter()
            .filter(|name| !known.contains(&name.as_ref()))
            .take(UNKNOWN_NAMES_MAX)
            .map(|name| format!("property {name} should not exist").into())
            .collect()
    }

    fn member(&self, name: &str) -> Option<Json<'a>> {
        match self {
            Members::Object(object) => object.member(name),
            Members::List(_) => None,
        }
    }
}

/// Names in the order in which each was first written.
fn distinct<'o>(object: &'o Object<'_>) -> impl Iterator<Item = Cow<'o, str>> {
    let mut seen = std::collections::HashSet::new();
    let names = object.members().iter().map(|member| member.name.as_str());
    names.filter(move |name| seen.insert(*name)).map(Cow::Borrowed)
}

/// Absent, null and `""`: what the validator calls empty.
fn is_empty(value: Option<Json<'_>>) -> bool {
    value.is_none_or(|value| value.is_null() || value.text() == "\"\"")
}

type Complaints = Vec<Cow<'static, str>>;

fn invalid(complaints: &[Cow<'static, str>]) -> Failure {
    Failure::invalid(complaints.join(", "))
}

/// The body of a refund.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RefundBody {
    /// Minor units, 1 or more; what is beyond 64 bits is the largest there is.
    pub amount: i64,
    /// One of [`REASONS`].
    pub reason: &'static str,
    pub note: Option<String>,
}

impl RefundBody {
    pub(super) fn read(members: &Members<'_>) -> Result<RefundBody, Failure> {
        let mut complaints = members.strangers(&["amount", "reason", "note"]);
        if let Members::List(_) = members {
            return Err(invalid(&complaints));
        }
        let amount = amount(members.member("amount"), &mut complaints);
        let reason = reason(members.member("reason"), &mut complaints);
        let note = note(members.member("note"), &mut complaints);
        match (amount, reason) {
            (Some(amount), Some(reason)) if complaints.is_empty() => {
                Ok(RefundBody { amount, reason, note })
            }
            _ => Err(invalid(&complaints)),
        }
    }

    /// Equal for bodies that ask for the same, however they are spelt. A note of `""` is a note.
    pub(super) fn meaning(&self) -> [String; 3] {
        let note = self.note.as_ref().map(|note| format!("note {note}"));
        [self.amount.to_string(), self.reason.to_owned(), note.unwrap_or_default()]
    }
}

fn amount(value: Option<Json<'_>>, complaints: &mut Complaints) -> Option<i64> {
    if is_empty(value) {
        complaints.push(AMOUNT_EMPTY.into());
    }
    let read = match value.map(Json::value) {
        Some(Value::Number(raw)) => whole_number(raw),
        _ => Err(AMOUNT_NOT_INTEGER),
    };
    read.map_err(|complaint| complaints.push(complaint.into())).ok()
}

/// An integer of 1 or more. One that 64 bits do not hold is more than any payment has left, and is
/// refused as that; one that the original's numbers do not hold either is no integer there.
fn whole_number(raw: &str) -> Result<i64, &'static str> {
    let is_infinite = || raw.parse::<f64>().is_ok_and(f64::is_infinite);
    match json::integer(raw) {
        Ok(units) if units >= 1 => Ok(units),
        Ok(_) => Err(AMOUNT_TOO_SMALL),
        Err(NotInteger::Fraction) => Err(AMOUNT_NOT_INTEGER),
        Err(NotInteger::OutOfRange) if is_infinite() => Err(AMOUNT_NOT_INTEGER),
        Err(NotInteger::OutOfRange) if raw.starts_with('-') => Err(AMOUNT_TOO_SMALL),
        Err(NotInteger::OutOfRange) => Ok(i64::MAX),
    }
}

fn reason(value: Option<Json<'_>>, complaints: &mut Complaints) -> Option<&'static str> {
    if is_empty(value) {
        complaints.push(REASON_EMPTY.into());
    }
    let text = value.and_then(Json::string);
    let reason = REASONS.into_iter().find(|reason| text.as_deref() == Some(*reason));
    if reason.is_none() {
        complaints.push(REASON_UNKNOWN.into());
    }
    reason
}

fn note(value: Option<Json<'_>>, complaints: &mut Complaints) -> Option<String> {
    let value = value.filter(|value| !value.is_null())?;
    let note = value.string();
    match &note {
        None => complaints.push(NOTE_NOT_TEXT.into()),
        Some(note) if note.contains('\0') => complaints.push(NOTE_NUL.into()),
        Some(_) => {}
    }
    note
}

/// The body of a log-in.
pub(super) struct LogInBody {
    pub email: String,
    pub password: String,
}

impl LogInBody {
    pub(super) fn read(members: &Members<'_>) -> Result<LogInBody, Failure> {
        let mut complaints = members.strangers(&["email", "password"]);
        if let Members::List(_) = members {
            return Err(invalid(&complaints));
        }
        let (email, password) = (members.member("email"), members.member("password"));
        let address = email.and_then(Json::string).filter(|text| is_address(text));
        if is_empty(email) {
            complaints.push("email should not be empty".into());
        }
        if address.is_none() {
            complaints.push("email must be an email".into());
        }
        if is_empty(password) {
            complaints.push("password should not be empty".into());
        }
        let secret = password.and_then(Json::string);
        if secret.is_none() {
            complaints.push("password must be a string".into());
        }
        match (address, secret) {
            (Some(email), Some(password)) if complaints.is_empty() => {
                Ok(LogInBody { email, password })
            }
            _ => Err(invalid(&complaints)),
        }
    }
}

/// Something, an at sign, and something. The original also wants a dot in the host name; whether
/// the address exists is seen when nobody of that name is found.
fn is_address(text: &str) -> bool {
    let is_plain = !text.contains(|c: char| c.is_whitespace() || c.is_control());
    let parts = text.rsplit_once('@');
    is_plain && parts.is_some_and(|(name, host)| !name.is_empty() && !host.is_empty())
}

/// The `Idempotency-Key` that was sent (decision A4); an empty one is none.
pub(super) fn key_text(headers: &HeaderMap) -> Result<Option<String>, Failure> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(Failure::invalid("Idempotency-Key must be sent once"));
    }
    let text = std::str::from_utf8(value.as_bytes()).ok();
    match text.filter(|text| !text.contains(char::is_control)) {
        None => Err(Failure::invalid("Idempotency-Key must be UTF-8 without control characters")),
        Some(text) if text.chars().count() > KEY_TEXT_MAX => Err(Failure::invalid(format!(
            "Idempotency-Key must be shorter than or equal to {KEY_TEXT_MAX} characters"
        ))),
        Some(text) => Ok(Some(text.to_owned()).filter(|text| !text.is_empty())),
    }
}

/// An answer in JSON with the original's content type.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    json_text(status, serde_json::to_string(body).expect("answers are texts, numbers and nulls"))
}

/// As [`json`], of a body that is JSON already.
pub(super) fn json_text(status: StatusCode, text: String) -> Response {
    let json = HeaderValue::from_static("application/json; charset=utf-8");
    let headers = [(CONTENT_TYPE, json), (ETAG, browser::tag(text.as_bytes()))];
    (status, headers, text).into_response()
}

/// An answer of plain text.
pub(super) fn text(text: &'static str) -> Response {
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    ([(CONTENT_TYPE, kind), (ETAG, browser::tag(text.as_bytes()))], text).into_response()
}

/// How this face spells a payment's id.
pub(super) fn payment_text(bits: u128) -> String {
    prefixed_text("pay_", bits)
}

/// How this face spells a refund's id.
pub(super) fn refund_text(bits: u128) -> String {
    prefixed_text("ref_", bits)
}

/// A refund as it is shown. All ten members are always there.
#[derive(Debug, Serialize)]
pub(super) struct Refund {
    pub id: String,
    /// The text that the payment was registered with.
    pub order_id: Option<String>,
    /// Null: it was asked for the order.
    pub payment_id: Option<String>,
    /// Minor units.
    pub amount: i64,
    pub note: Option<String>,
    pub reason: Option<String>,
    pub metadata: Option<()>,
    /// V1-4: the key that was sent.
    pub idempotency_key: Option<String>,
    pub created_at: String,
    /// Equal to `created_at`: a refund is not shown to change, and replays must be equal.
    pub updated_at: String,
}

impl Refund {
    /// `order`: that of its payment.
    pub(super) fn of(order: Option<&str>, refund: &RefundView) -> Refund {
        let asked_at = time::millis_text(refund.asked_at_ms);
        Refund {
            id: refund_text(refund.id.bits()),
            order_id: order.map(str::to_owned),
            payment_id: Some(payment_text(refund.payment.bits())),
            amount: refund.amount.units(),
            note: refund.note.clone(),
            reason: refund.reason_code.clone(),
            metadata: None,
            idempotency_key: refund.key_text.clone(),
            created_at: asked_at.clone(),
            updated_at: asked_at,
        }
    }
}

impl Refund {
    /// An order's refund, of which `amount` was made.
    pub(super) fn of_order(refund: &OrderRefund, amount: i64) -> Refund {
        let asked_at = time::millis_text(refund.created_at_ms);
        Refund {
            id: refund_text(refund.id.bits()),
            order_id: Some(refund.order.clone()),
            payment_id: None,
            amount,
            note: refund.note.clone(),
            reason: Some(refund.reason.clone()),
            metadata: None,
            idempotency_key: refund.key_text.clone(),
            created_at: asked_at.clone(),
            updated_at: asked_at,
        }
    }
}

#[cfg(test)]
mod tests;
