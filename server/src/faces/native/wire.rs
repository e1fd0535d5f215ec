//! What every route of this API does with a request: who asks, its body, its `Idempotency-Key`; and
//! the form of an answer.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use requite_engine::key::Key;

use super::FACE;
use super::failure::Failure;
use super::fields::Fields;
use crate::access::{self, Actor, Caller};
use crate::crypto::token;
use crate::desk::{self, Desk, KEY_TEXT_MAX};
use crate::http::{Codings, read_body};
use crate::json::{self, Cause, Json};

pub(super) fn json_answer(status: StatusCode, text: String) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

/// As [`json_answer`], and where the new thing is.
pub(super) fn located(status: StatusCode, text: String, location: &str) -> Response {
    let mut response = json_answer(status, text);
    if let (StatusCode::CREATED, Ok(location)) = (status, HeaderValue::from_str(location)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// The actor behind the request, who may do what its route demands.
pub(super) async fn actor(desk: &Desk, caller: Caller<'_>) -> Result<Actor, Failure> {
    let token = access::bearer(caller.headers).ok_or_else(Failure::unauthorized)?;
    let found = access::key(desk, FACE, token::lookup_hash(token)).await?;
    let key = found.ok_or_else(Failure::unauthorized)?;
    let actor = Actor::of_key(&key);
    caller.admit(desk, actor).map_err(Failure::barred)
}

/// The bytes of a JSON body. Anything else with a body is refused; no body is no bytes.
pub(super) async fn body(request: &mut Request, max: usize) -> Result<Bytes, Failure> {
    let is_json = is_json(request.headers());
    let bytes = read_body(request, max, Codings::Plain).await?;
    if is_json || bytes.is_empty() {
        return Ok(bytes);
    }
    let message = "send the body as Content-Type: application/json, in UTF-8";
    let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    Err(Failure::new(status, "content_type_unsupported", message))
}

fn is_json(headers: &HeaderMap) -> bool {
    let mut given = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (given.next(), given.next()) else {
        return false;
    };
    let Ok(text) = value.to_str() else {
        return false;
    };
    let mut parts = text.split(';').map(|part| part.trim().to_ascii_lowercase());
    let kind = parts.next().unwrap_or_default();
    let is_utf8 = |part: String| match part.strip_prefix("charset=") {
        Some(charset) => charset.trim_matches('"') == "utf-8",
        None => true,
    };
    kind == "application/json" && parts.all(is_utf8)
}

/// Reads a body as JSON; an empty one is `{}` where `may_be_empty`.
pub(super) fn read(bytes: &[u8], may_be_empty: bool) -> Result<Json<'_>, Failure> {
    let empty = || json::read(b"{}");
    let read = match json::read(bytes) {
        Err(fault) if fault.cause == Cause::Empty && may_be_empty => empty(),
        read => read,
    };
    read.map_err(|fault| {
        let message = format!("the body is not JSON: {fault}");
        Failure::new(StatusCode::BAD_REQUEST, "malformed_json", message)
    })
}

/// What `take` makes of a body's members, unless anything is wrong with any of them.
pub(super) fn members<T>(
    body: Json<'_>,
    known: &[&str],
    take: impl FnOnce(&mut Fields<'_>) -> T,
) -> Result<T, Failure> {
    let mut fields = Fields::open(body, "", known).map_err(|fault| Failure::invalid(&[fault]))?;
    let taken = take(&mut fields);
    let faults = fields.into_faults();
    if faults.is_empty() { Ok(taken) } else { Err(Failure::invalid(&faults)) }
}

/// The text of the one `Idempotency-Key`, if there is one.
pub(super) fn key_text(headers: &HeaderMap) -> Result<Option<String>, Failure> {
    let mut given = headers.get_all("idempotency-key").iter();
    let refuse = || {
        let message =
            format!("send one Idempotency-Key of 1 to {KEY_TEXT_MAX} visible characters, or none");
        Failure::new(StatusCode::BAD_REQUEST, "invalid_idempotency_key", message)
    };
    let Some(value) = given.next() else {
        return Ok(None);
    };
    let text = value.to_str().map_err(|_| refuse())?.trim();
    let is_fine = given.next().is_none() && (1..=KEY_TEXT_MAX).contains(&text.len());
    if is_fine { Ok(Some(text.to_owned())) } else { Err(refuse()) }
}

/// The key of a request: `scope` is its route and what its path names.
pub(super) fn key(text: &str, scope: &[&str], meaning: &Meaning) -> Key {
    let parts: Vec<&str> = meaning.0.iter().map(String::as_str).collect();
    desk::key(FACE, scope, text, &parts)
}

/// What a repeat under the same key must mean again, member by member: however a body is spelt, and
/// whether a member is absent or null.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Meaning(Vec<String>);

impl Meaning {
    pub(super) fn and(mut self, part: Option<impl ToString>) -> Meaning {
        self.0.push(part.map_or_else(String::new, |part| format!("={}", part.to_string())));
        self
    }
}
