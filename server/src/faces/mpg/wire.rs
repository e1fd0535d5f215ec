//! The dialect's requests, read and checked, and its answers, spelled.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use requite_core::id::{PaymentId, parse_uuid};
use serde::Serialize;

use super::failure::{Complaint, Failure, Field};
use crate::desk::KEY_TEXT_MAX;
use crate::http::{Codings, REFUND_BODY_MAX, read_body};
use crate::json::{Cause, Json, NotInteger, Object, Value, integer, read};

/// The dialect's bounds of an amount, in minor units.
const AMOUNT_MIN: i64 = 1;
const AMOUNT_MAX: i64 = 100_000_000;

/// A refund as asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CreateRefund {
    /// Minor units, 1 to [`AMOUNT_MAX`].
    pub amount: i64,
    /// The bits of the UUID, whatever its version and letter case.
    pub transaction_id: Option<u128>,
    /// The header of that name.
    pub idempotency_key: Option<String>,
}

/// An order's id in a path.
pub(super) fn order_id(text: &str) -> Option<PaymentId> {
    parse_uuid(text).map(PaymentId::new)
}

/// Reads a request's body and key. What is unreadable comes before what is not valid.
pub(super) async fn create_refund(request: &mut Request) -> Result<CreateRefund, Failure> {
    let body = read_body(request, REFUND_BODY_MAX, Codings::Plain).await.map_err(Failure::Body)?;
    if !body.is_empty() && !is_json(request.headers()) {
        return Err(Failure::NotJson);
    }
    let idempotency_key = key_text(request.headers());
    parse(&body, idempotency_key)
}

/// One field of a request: what it says, or what is to be complained of.
type Read<T> = Result<T, (Field, Complaint)>;

fn parse(body: &[u8], idempotency_key: Read<Option<String>>) -> Result<CreateRefund, Failure> {
    let body = match read(body) {
        Ok(json) => Some(json.object().ok_or(Failure::NotAnObject)?),
        // No body says as much as an empty one.
        Err(fault) if fault.cause == Cause::Empty => None,
        Err(fault) => return Err(Failure::Json(fault)),
    };
    if let Some(name) = body.as_ref().and_then(Object::repeated_name) {
        return Err(Failure::MemberRepeated(name.to_owned()));
    }
    let member = |name| body.as_ref().and_then(|body| body.member(name));
    let amount = amount(member("amount"));
    let transaction_id = transaction_id(member("transaction_id"));
    match (amount, transaction_id, idempotency_key) {
        (Ok(amount), Ok(transaction_id), Ok(idempotency_key)) => {
            Ok(CreateRefund { amount, transaction_id, idempotency_key })
        }
        (amount, transaction_id, key) => {
            let complaints = [amount.err(), transaction_id.err(), key.err()];
            Err(Failure::Invalid(complaints.into_iter().flatten().collect()))
        }
    }
}

fn amount(sent: Option<Json<'_>>) -> Read<i64> {
    let complaint = match sent.map(Json::value) {
        None | Some(Value::Null) => Complaint::Required,
        Some(Value::Number(raw)) => match integer(raw) {
            Ok(amount) if amount < AMOUNT_MIN => Complaint::TooSmall(AMOUNT_MIN),
            Ok(amount) if amount > AMOUNT_MAX => Complaint::TooLarge(AMOUNT_MAX),
            Ok(amount) => return Ok(amount),
            Err(NotInteger::Fraction) => Complaint::NotInteger,
            Err(NotInteger::OutOfRange) if raw.starts_with('-') => Complaint::TooSmall(AMOUNT_MIN),
            Err(NotInteger::OutOfRange) => Complaint::TooLarge(AMOUNT_MAX),
        },
        Some(Value::Bool(_) | Value::Text(_) | Value::Array(_) | Value::Object(_)) => {
            Complaint::NotInteger
        }
    };
    Err((Field::Amount, complaint))
}

/// Null is absent: typed clients write the members they do not use as null.
fn transaction_id(sent: Option<Json<'_>>) -> Read<Option<u128>> {
    match sent.filter(|sent| !sent.is_null()) {
        None => Ok(None),
        Some(sent) => sent
            .string()
            .and_then(|text| parse_uuid(&text))
            .map(Some)
            .ok_or((Field::TransactionId, Complaint::NotUuid)),
    }
}

fn key_text(headers: &HeaderMap) -> Read<Option<String>> {
    let mut sent = headers.get_all("idempotency-key").iter();
    let Some(first) = sent.next() else {
        return Ok(None);
    };
    let text = first.to_str().unwrap_or_default();
    if sent.next().is_none() && (1..=KEY_TEXT_MAX).contains(&text.len()) {
        Ok(Some(text.to_owned()))
    } else {
        Err((Field::IdempotencyKey, Complaint::NotKey))
    }
}

/// JSON in UTF-8, by the header's word (decision A2).
fn is_json(headers: &HeaderMap) -> bool {
    let sent = headers.get(header::CONTENT_TYPE);
    let text = sent.and_then(|value| value.to_str().ok()).unwrap_or("");
    let mut parts = text.split(';').map(str::trim);
    let is_json = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"));
    let is_utf8 = parts.all(|parameter| match parameter.split_once('=') {
        Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
            value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        _ => true,
    });
    is_json && is_utf8
}

/// 200 with a JSON body.
pub(super) fn ok(body: &impl Serialize) -> Response {
    json(StatusCode::OK, body)
}

pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let text = serde_json::to_vec(body).expect("the dialect's structs are JSON");
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "f351a2a3-97c4-4f12-add3-80c1044091f5";
    const BITS: u128 = 0xf351_a2a3_97c4_4f12_add3_80c1_0440_91f5;

    /// How the failure's answer begins, or what was read.
    fn read_text(body: &str, key: Option<&str>) -> String {
        match parse(body.as_bytes(), Ok(key.map(str::to_owned))) {
            Ok(read) => {
                let id = read.transaction_id.map(requite_core::id::uuid_text);
                format!(
                    "{} {} {}",
                    read.amount,
                    id.as_deref().unwrap_or("-"),
                    read.idempotency_key.as_deref().unwrap_or("-")
                )
            }
            Err(failure) => failure.summary(),
        }
    }

    #[test]
    fn a_body_is_read_or_refused_field_by_field() {
        let required = "422 amount: The value is required.";
        let integer = "422 amount: The value must be an integer.";
        let small = "422 amount: The value must be greater than or equal to 1.";
        let large = "422 amount: The value must be less than or equal to 100000000.";
        let uuid = "422 transaction_id: The value must be a valid UUID.";
        for (body, read) in [
            (r#"{"amount": 1}"#, "1 - -"),
            (r#"{"amount": 100000000}"#, "100000000 - -"),
            (r#"{"amount": 1e2, "other": [1]}"#, "100 - -"),
            (r#"{"amount": 100.0}"#, "100 - -"),
            (r#"{"amount": 1, "transaction_id": null}"#, "1 - -"),
            ("", required),
            ("{}", required),
            (r#"{"amount": null}"#, required),
            (r#"{"amount": "100"}"#, integer),
            (r#"{"amount": true}"#, integer),
            (r#"{"amount": [1]}"#, integer),
            (r#"{"amount": 1.5}"#, integer),
            (r#"{"amount": 0}"#, small),
            (r#"{"amount": -0}"#, small),
            (r#"{"amount": -1}"#, small),
            (r#"{"amount": -1e40}"#, small),
            (r#"{"amount": 100000001}"#, large),
            (r#"{"amount": 9223372036854775808}"#, large),
            (r#"{"amount": 1e308}"#, large),
            (r#"{"amount": 1, "transaction_id": "not-a-uuid"}"#, uuid),
            (r#"{"amount": 1, "transaction_id": ""}"#, uuid),
            (r#"{"amount": 1, "transaction_id": 5}"#, uuid),
            (
                r#"{"amount": 0, "transaction_id": "x"}"#,
                "422 amount: The value must be greater than or equal to 1., \
                 transaction_id: The value must be a valid UUID.",
            ),
            ("[]", "400 The request body must be a JSON object."),
            ("null", "400 The request body must be a JSON object."),
            (
                r#"{"amount": 1, "amount": 2}"#,
                "400 The request body names \"amount\" more than once.",
            ),
            (
                r#"{"amount": 100"#,
                "400 The request body is not valid JSON: the text ends inside a value at \
                 position 14.",
            ),
        ] {
            assert_eq!(read_text(body, None), read, "{body}");
        }
    }

    #[test]
    fn a_transaction_id_is_its_bits() {
        for text in [ID.to_owned(), ID.to_uppercase()] {
            let body = format!(r#"{{"amount": 5, "transaction_id": "{text}"}}"#);
            let read = parse(body.as_bytes(), Ok(None)).expect("a valid body");
            assert_eq!(read.transaction_id, Some(BITS));
        }
    }

    #[test]
    fn a_key_is_one_header_of_at_most_255_characters() {
        let long = "k".repeat(255);
        let longer = "k".repeat(256);
        for (sent, read) in [
            (&[][..], Some(None)),
            (&["k1"], Some(Some("k1"))),
            (&[long.as_str()], Some(Some(long.as_str()))),
            (&[longer.as_str()], None),
            (&[""], None),
            (&["k1", "k1"], None),
        ] {
            let mut headers = HeaderMap::new();
            for value in sent {
                headers.append("idempotency-key", value.parse().expect("a header value"));
            }
            let key = key_text(&headers).ok();
            assert_eq!(key.as_ref().map(Option::as_deref), read, "{sent:?}");
        }
    }

    #[test]
    fn a_body_is_json_in_utf_8_by_its_content_type() {
        for (sent, is_it) in [
            ("application/json", true),
            ("Application/JSON; charset=\"UTF-8\"", true),
            ("application/json; charset=utf-16", false),
            ("application/x-www-form-urlencoded", false),
            ("text/plain", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, sent.parse().expect("a header value"));
            assert_eq!(is_json(&headers), is_it, "{sent}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}
