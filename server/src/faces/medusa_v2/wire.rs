//! Reads requests: the body's form, then what it says.

use axum::extract::Request;
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use requite_core::decide::Amount;
use requite_core::money::Decimal;

use super::failure::Failure;
use super::fields::{Defaults, FIELDS_MAX, Selection};
use super::query::Query;
use super::schema::{self, Faults, Size};
use crate::desk::KEY_TEXT_MAX;
use crate::http::{Codings, read_body};
use crate::json::{self, Json, Kind, Value};

/// The largest body of routes that move no money, as in the original.
pub(super) const BODY_MAX: usize = 100 * 1024;

/// A body as it arrived. That it is JSON is not checked yet.
pub(super) enum Body {
    /// No bytes, of whatever type: the original reads it as `{}`.
    Empty,
    Json(Bytes),
    /// `text/plain`: the original reads it as one text, which no schema wants.
    Text,
}

impl Body {
    /// Takes the body from the connection.
    ///
    /// # Errors
    /// What cannot be read is refused and never counts as empty (decisions A2 and V2-10).
    pub(super) async fn take(request: &mut Request, max: usize) -> Result<Body, Failure> {
        let bytes = read_body(request, max, Codings::Inflate).await.map_err(Failure::Body)?;
        if bytes.is_empty() {
            return Ok(Body::Empty);
        }
        let (media, charset) = content_type(request.headers());
        match media.as_str() {
            "application/json" => match charset {
                Some(charset) if !charset.eq_ignore_ascii_case("utf-8") => {
                    Err(Failure::Charset(charset.to_ascii_uppercase()))
                }
                _ => Ok(Body::Json(bytes)),
            },
            "text/plain" => Ok(Body::Text),
            _ => Err(Failure::MediaType(media)),
        }
    }

    /// Checks that the body is JSON: an object, or a list, which the schema refuses later.
    pub(super) fn json(&self) -> Result<Option<Json<'_>>, Failure> {
        let Body::Json(bytes) = self else {
            return Ok(None);
        };
        let json = json::read(bytes).map_err(Failure::Syntax)?;
        match json.kind() {
            Kind::Object | Kind::Array => Ok(Some(json)),
            Kind::Null | Kind::Bool | Kind::Number | Kind::String => Err(Failure::NoObject),
        }
    }

    /// The schema's first rule: there must be an object, or nothing at all.
    pub(super) fn object<'a>(
        &self,
        json: Option<Json<'a>>,
    ) -> Result<Option<json::Object<'a>>, Failure> {
        match self {
            Body::Text => Err(schema::not_an_object()),
            Body::Empty | Body::Json(_) => schema::object(json),
        }
    }
}

/// Media type in lower case, and the charset as sent.
fn content_type(headers: &HeaderMap) -> (String, Option<String>) {
    let value = headers.get(header::CONTENT_TYPE);
    let value = value
        .map_or_else(String::new, |value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let mut parts = value.split(';').map(str::trim);
    let media = parts.next().unwrap_or_default().to_ascii_lowercase();
    let charset = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("charset")
            .then(|| value.trim().trim_matches('"').to_owned())
    });
    (media, charset)
}

/// What the body of a refund says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wish {
    pub amount: Amount,
    /// As written.
    pub reason: Option<String>,
    pub note: Option<String>,
    /// Equal for bodies that mean the same.
    pub canonical: String,
}

impl Wish {
    pub(super) fn read(body: &Body, json: Option<Json<'_>>) -> Result<Wish, Failure> {
        let Some(object) = body.object(json)? else {
            return Ok(Wish {
                amount: Amount::Whole,
                reason: None,
                note: None,
                canonical: "{}".to_owned(),
            });
        };
        let mut faults = Faults::default();
        let amount = object.member("amount").map(|value| amount(value, &mut faults));
        let reason = schema::text(&object, "refund_reason_id", &mut faults);
        if reason.as_deref() == Some("") {
            faults.other("Value for field 'refund_reason_id' is empty".to_owned());
        }
        let note = schema::text(&object, "note", &mut faults);
        let names = object.members().iter().map(|member| member.name.as_str());
        faults.unknown(names, &["amount", "refund_reason_id", "note"]);
        faults.result()?;
        Ok(Wish {
            amount: amount.flatten().unwrap_or(Amount::Whole),
            reason,
            note,
            canonical: json.map(Json::canonical).unwrap_or_default(),
        })
    }

    pub(super) fn has_amount(&self) -> bool {
        self.amount != Amount::Whole
    }
}

/// What the body of a capture says: an amount, or nothing, which means all of the payment.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CaptureWish {
    pub amount: Amount,
    /// Equal for bodies that mean the same.
    pub canonical: String,
}

impl CaptureWish {
    pub(super) fn read(body: &Body, json: Option<Json<'_>>) -> Result<CaptureWish, Failure> {
        let Some(object) = body.object(json)? else {
            return Ok(CaptureWish { amount: Amount::Whole, canonical: "{}".to_owned() });
        };
        let mut faults = Faults::default();
        let asked = object.member("amount").map(|value| amount(value, &mut faults));
        let names = object.members().iter().map(|member| member.name.as_str());
        faults.unknown(names, &["amount"]);
        faults.result()?;
        Ok(CaptureWish {
            amount: asked.flatten().unwrap_or(Amount::Whole),
            canonical: json.map(Json::canonical).unwrap_or_default(),
        })
    }
}

/// `None` after telling a fault.
pub(super) fn amount(value: Json<'_>, faults: &mut Faults) -> Option<Amount> {
    let Value::Number(raw) = value.value() else {
        faults.wrong_type("amount", "number", &schema::script_text(value));
        return None;
    };
    match schema::size(raw) {
        Size::Infinite => {
            faults.wrong_type("amount", "number", &schema::script_text(value));
            return None;
        }
        Size::Zero => {
            faults.too_small("amount");
            return None;
        }
        Size::Finite => {}
    }
    let Some(decimal) = Decimal::parse(raw) else {
        faults.other("Value for field 'amount' has too many digits".to_owned());
        return None;
    };
    if !decimal.is_positive() {
        faults.too_small("amount");
        return None;
    }
    Some(Amount::Major(decimal))
}

/// The query of a route that shows one entity: `fields` and nothing else.
pub(super) fn selection(query: Option<&str>, defaults: &Defaults) -> Result<Selection, Failure> {
    let query = Query::read(query);
    let mut faults = Faults::default();
    let fields = schema::parameter(&query, "fields", &mut faults);
    faults.unknown(query.names(), &["fields"]);
    faults.result()?;
    read_fields(fields, defaults)
}

pub(super) fn read_fields(fields: Option<&str>, defaults: &Defaults) -> Result<Selection, Failure> {
    Selection::read(fields, defaults).map_err(|_| {
        Failure::Invalid(format!(
            "Invalid request: Value for field 'fields' has too many parts, expected at most: \
             '{FIELDS_MAX}'"
        ))
    })
}

/// The `Idempotency-Key`, if one was sent.
pub(super) fn key_text(headers: &HeaderMap) -> Result<Option<String>, Failure> {
    let Some(value) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    match value.to_str() {
        Ok("") => Ok(None),
        Ok(text) if text.len() <= KEY_TEXT_MAX => Ok(Some(text.to_owned())),
        _ => Err(Failure::Invalid(format!(
            "Invalid request: The Idempotency-Key must be 1 to {KEY_TEXT_MAX} visible ASCII \
             characters"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;
    use http_body_util::BodyExt;

    use super::*;

    async fn told(failure: Failure) -> String {
        let response = failure.into_response();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.expect("a body");
        let body = String::from_utf8(body.to_bytes().to_vec()).expect("text");
        format!("{status} {body}")
    }

    async fn wish(body: &str) -> Result<Wish, String> {
        let body = Body::Json(Bytes::copy_from_slice(body.as_bytes()));
        let read = body.json().and_then(|json| Wish::read(&body, json));
        match read {
            Ok(wish) => Ok(wish),
            Err(failure) => Err(told(failure).await),
        }
    }

    /// Bodies and answers of recordings, where the answers are not about JSON's syntax.
    #[tokio::test]
    async fn bodies_that_do_not_fit_are_told_as_the_original_tells_them() {
        for (body, message) in [
            (r#"{"amount":0}"#, "Value for field 'amount' too small, expected at least: '0'"),
            (r#"{"amount":-0}"#, "Value for field 'amount' too small, expected at least: '0'"),
            (r#"{"amount":-5.5}"#, "Value for field 'amount' too small, expected at least: '0'"),
            (r#"{"amount":"10"}"#, "Expected type: 'number' for field 'amount', got: '10'"),
            (r#"{"amount":null}"#, "Expected type: 'number' for field 'amount', got: 'null'"),
            (r#"{"amount":[10]}"#, "Expected type: 'number' for field 'amount', got: '10'"),
            (
                r#"{"amount":{}}"#,
                "Expected type: 'number' for field 'amount', got: '[object Object]'",
            ),
            (r#"{"amount":true}"#, "Expected type: 'number' for field 'amount', got: 'true'"),
            (r#"{"amount":1e400}"#, "Expected type: 'number' for field 'amount', got: 'Infinity'"),
            (
                r#"{"amount":-1e400}"#,
                "Expected type: 'number' for field 'amount', got: '-Infinity'",
            ),
            (
                r#"{"amount":1,"note":null}"#,
                "Expected type: 'string' for field 'note', got: 'null'",
            ),
            (
                r#"{"amount":1,"refund_reason_id":null}"#,
                "Expected type: 'string' for field 'refund_reason_id', got: 'null'",
            ),
            (r#"{"amount":1,"foo":"bar"}"#, "Unrecognized fields: 'foo'"),
            (r#"{"b":1,"a":2,"b":3}"#, "Unrecognized fields: 'b, a'"),
            (r#"{"__proto__":1}"#, "Unrecognized fields: '__proto__'"),
            (
                r#"{"amount":"x","note":1,"refund_reason_id":3,"foo":2}"#,
                "Expected type: 'number' for field 'amount', got: 'x'; Expected type: 'string' for field 'refund_reason_id', got: '3'; Expected type: 'string' for field 'note', got: '1'",
            ),
            ("[]", "Field '' is required"),
            (r#"{"refund_reason_id":""}"#, "Value for field 'refund_reason_id' is empty"),
            (r#"{"note":"a\u0000b"}"#, "Value for field 'note' contains a NUL character"),
        ] {
            let expected = format!(
                "400 {{\"type\":\"invalid_data\",\"message\":\"Invalid request: {message}\"}}"
            );
            assert_eq!(wish(body).await, Err(expected), "{body}");
        }
        for (body, answer) in [
            (
                r#"{"amount": 1"#,
                r#"400 {"message":"Not valid JSON: the text ends inside a value at position 12","type":"invalid_data"}"#,
            ),
            (
                r#"{"amount":1,}"#,
                r#"400 {"message":"Not valid JSON: a member name in double quotes was expected at position 12","type":"invalid_data"}"#,
            ),
            (
                "null",
                r#"400 {"message":"Not a JSON object: an object was expected at position 0","type":"invalid_data"}"#,
            ),
        ] {
            assert_eq!(wish(body).await, Err(answer.to_owned()), "{body}");
        }
    }

    #[tokio::test]
    async fn bodies_that_fit_are_read() {
        let major = |text: &str| Amount::Major(Decimal::parse(text).expect("a number"));
        for (body, amount, note) in [
            ("{}", Amount::Whole, None),
            (r#"{"note":"x"}"#, Amount::Whole, Some("x")),
            (r#"{"amount":1000,"amount":1}"#, major("1"), None),
            ("   {\"amount\":1}", major("1"), None),
            ("\u{feff}{\"amount\":1}", major("1"), None),
            (r#"{"amount":1e1,"note":""}"#, major("10"), Some("")),
            (r#"{"amount":1e21}"#, major("1e21"), None),
            (r#"{"amount":0.30000000000000004}"#, major("0.30000000000000004"), None),
        ] {
            let wish = wish(body).await.expect(body);
            assert_eq!((wish.amount, wish.note.as_deref()), (amount, note), "{body}");
        }
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_never_an_empty_body() {
        for (media, body, outcome) in [
            (None, "", "empty"),
            (Some("application/json"), "", "empty"),
            (Some("Application/JSON; Charset=\"UTF-8\""), "{}", "json"),
            (Some("text/plain"), "{}", "text"),
            (
                None,
                "{}",
                r#"415 {"message":"unsupported content type \"\", send application/json","type":"unknown_error"}"#,
            ),
            (
                Some("application/x-www-form-urlencoded"),
                "note=hello",
                r#"415 {"message":"unsupported content type \"application/x-www-form-urlencoded\", send application/json","type":"unknown_error"}"#,
            ),
            (
                Some("application/json; charset=iso-8859-1"),
                "{}",
                r#"415 {"message":"unsupported charset \"ISO-8859-1\"","type":"unknown_error"}"#,
            ),
            (
                Some("application/json; charset=utf-16"),
                "{}",
                r#"415 {"message":"unsupported charset \"UTF-16\"","type":"unknown_error"}"#,
            ),
        ] {
            let mut request = Request::new(axum::body::Body::from(body));
            if let Some(media) = media {
                let value = media.parse().expect("a header value");
                request.headers_mut().insert(header::CONTENT_TYPE, value);
            }
            let read = match Body::take(&mut request, BODY_MAX).await {
                Ok(Body::Empty) => "empty".to_owned(),
                Ok(Body::Json(_)) => "json".to_owned(),
                Ok(Body::Text) => "text".to_owned(),
                Err(failure) => told(failure).await,
            };
            assert_eq!(read, outcome, "{media:?}");
        }
    }

    #[tokio::test]
    async fn a_query_may_say_fields_once_and_nothing_else() {
        let defaults = Defaults { fields: &["id"], tail: &[] };
        for (query, message) in [
            (
                "fields=amount&fields=currency_code",
                "Expected type: 'string' for field 'fields', got: 'amount,currency_code'",
            ),
            ("foo=1", "Unrecognized fields: 'foo'"),
            ("foo=1&fields=id&bar=2", "Unrecognized fields: 'foo, bar'"),
        ] {
            let failure = selection(Some(query), &defaults).expect_err(query);
            let expected = format!(
                "400 {{\"type\":\"invalid_data\",\"message\":\"Invalid request: {message}\"}}"
            );
            assert_eq!(told(failure).await, expected, "{query}");
        }
    }
}
