//! Requests as they come in: headers and JSON bodies to what they ask for, or to details that name
//! everything that is wrong at once.
//!
//! An explicit null means absent, as the SDKs send one for every argument that is not given. A name
//! that the API does not have is refused, but for `metadata`, which integrators send (G7). A name
//! written twice is refused: two readers could see two amounts.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, header};
use requite_core::id::uuid_text;

use super::failure::{Detail, Failure, Location};
use super::form::Form;
use crate::desk::KEY_TEXT_MAX;
use crate::http::{self, Codings, REFUND_BODY_MAX};
use crate::json::{self, Json};

/// Largest amount of one request, in minor units, as the API documents it.
pub(super) const AMOUNT_MAX: i64 = 99_999_999;
/// Characters, not bytes.
pub(super) const REASON_MAX: usize = 100;
/// Characters, not bytes.
pub(super) const EXTERNAL_IDENTIFIER_MAX: usize = 300;

const KEY_HEADER: HeaderName = HeaderName::from_static("idempotency-key");

pub(super) const PAYMENT_METHOD: &str = "payment-method";
pub(super) const GIFT_CARD: &str = "gift-card-redemption";

/// What gets the money back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// The payment method. The API takes any id beside it; see [`super::refund`] for what it means.
    PaymentMethod { named: Option<u128> },
    /// The redemption with this id.
    GiftCard { redemption: u128 },
}

/// A body of `POST .../refunds`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    /// Minor units, 1 to [`AMOUNT_MAX`]; absent: all that is left on the target.
    pub amount: Option<i64>,
    pub target: Target,
    pub note: Note,
}

/// What both calls that refund take beside the money; all that a body of `.../refunds/all` has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Note {
    pub reason: Option<String>,
    pub external_identifier: Option<String>,
    /// A JSON object as it was written.
    pub metadata: Option<String>,
}

impl Wish {
    /// Equal for wishes that ask the same, however they were written.
    pub(super) fn meaning(&self) -> Vec<String> {
        let target = match self.target {
            Target::PaymentMethod { .. } => PAYMENT_METHOD.to_owned(),
            Target::GiftCard { redemption } => uuid_text(redemption),
        };
        let amount = self.amount.map(|amount| amount.to_string());
        let mut parts = vec![amount.unwrap_or_default(), target];
        parts.extend(self.note.meaning());
        parts
    }
}

impl Note {
    /// Equal for notes that say the same.
    pub(super) fn meaning(&self) -> Vec<String> {
        // The sign in front keeps an absent text and an empty one apart.
        let text = |part: &Option<String>| part.as_ref().map_or(String::new(), |t| format!("={t}"));
        let metadata = self
            .metadata
            .as_ref()
            .map(|text| json::read(text.as_bytes()).map_or_else(|_| text.clone(), Json::canonical));
        vec![text(&self.reason), text(&self.external_identifier), text(&metadata)]
    }
}

/// The text of the `Idempotency-Key` header, 1 to [`KEY_TEXT_MAX`] visible characters or blanks.
pub(super) fn key_text(headers: &HeaderMap) -> Result<Option<String>, Failure> {
    let invalid = |message: String| {
        let detail = Detail::new(Location::Header, KEY_HEADER.as_str(), message, "value_error");
        Err(Failure::invalid(detail))
    };
    let mut values = headers.get_all(&KEY_HEADER).iter();
    let value = match (values.next(), values.next()) {
        (None, _) => return Ok(None),
        (Some(value), None) => value,
        (Some(_), Some(_)) => return invalid("the header is sent more than once".to_owned()),
    };
    match value.to_str() {
        Ok("") => invalid("the key is empty; leave the header out to send none".to_owned()),
        Ok(text) if text.len() > KEY_TEXT_MAX => {
            invalid(format!("ensure this value has at most {KEY_TEXT_MAX} characters"))
        }
        Ok(text) => Ok(Some(text.to_owned())),
        Err(_) => invalid("the key has characters that are not ASCII".to_owned()),
    }
}

/// The body's bytes, if it is JSON by its content type or empty (A2).
pub(super) async fn body(request: &mut Request) -> Result<bytes::Bytes, Failure> {
    let bytes = http::read_body(request, REFUND_BODY_MAX, Codings::Plain).await?;
    if bytes.is_empty() || is_json(request.headers()) {
        return Ok(bytes);
    }
    let text = "a body must have the content type application/json, and be UTF-8";
    let name = header::CONTENT_TYPE.as_str();
    let detail = Detail::new(Location::Header, name, text, "value_error");
    Err(Failure::invalid(detail))
}

fn is_json(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return false;
    };
    let Ok(text) = value.to_str() else {
        return false;
    };
    let mut parts = text.split(';').map(str::trim);
    let is_named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("application/json"));
    let is_utf8 = |part: &str| match part.split_once('=') {
        Some((name, value)) if name.eq_ignore_ascii_case("charset") => {
            value.trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        _ => true,
    };
    is_named && parts.all(is_utf8)
}

/// Reads the body of `POST .../refunds`. It must be an object: an empty body asks for nothing,
/// least of all for everything that is left.
pub(super) fn wish(body: &[u8]) -> Result<Wish, Failure> {
    let mut form = Form::read(body)?;
    let amount = form.integer("amount", 1, AMOUNT_MAX);
    let target = target(&mut form);
    let note = note_of(&mut form);
    form.finish(&[
        "amount",
        "target_type",
        "target_id",
        "reason",
        "external_identifier",
        "metadata",
    ])?;
    Ok(Wish { amount, target, note })
}

/// Reads the body of `POST .../refunds/all`, which may be empty, `null` or an object: the SDKs
/// send all three.
pub(super) fn note(body: &[u8]) -> Result<Note, Failure> {
    if body.is_empty() || json::read(body).is_ok_and(Json::is_null) {
        return Ok(Note::default());
    }
    let mut form = Form::read(body)?;
    let note = note_of(&mut form);
    form.finish(&["reason", "external_identifier", "metadata"])?;
    Ok(note)
}

fn target(form: &mut Form<'_>) -> Target {
    let kind = form.word("target_type", &[PAYMENT_METHOD, GIFT_CARD]);
    let is_gift_card = kind == Some(GIFT_CARD);
    let named = form.uuid("target_id");
    match named {
        Some(redemption) if is_gift_card => return Target::GiftCard { redemption },
        None if is_gift_card && form.member("target_id").is_none() => {
            let text = "field required: the id of the gift card redemption";
            form.complain("target_id", text, "value_error.missing");
        }
        _ => {}
    }
    Target::PaymentMethod { named }
}

fn note_of(form: &mut Form<'_>) -> Note {
    Note {
        reason: form.text("reason", 0, REASON_MAX),
        external_identifier: form.text("external_identifier", 1, EXTERNAL_IDENTIFIER_MAX),
        metadata: metadata_of(form),
    }
}

/// Values of any kind: what integrators send is kept (G7).
fn metadata_of(form: &mut Form<'_>) -> Option<String> {
    let metadata = form.member("metadata")?;
    if metadata.object().is_none() {
        form.complain("metadata", "value is not a valid dict", "type_error.dict");
    }
    Some(metadata.text().to_owned())
}

#[cfg(test)]
mod tests;
