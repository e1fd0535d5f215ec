//! The dialect's requests, read and checked, and its answers, spelled.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use requite_core::id::{PaymentId, parse_uuid};
use requite_engine::command::Booking;
use serde::Serialize;

use super::failure::Failure;
use super::fields::Fields;
use crate::http::{Codings, REFUND_BODY_MAX, read_body};

/// The dialect's bounds of an amount, in minor units. Taking money has another least.
pub(super) const AMOUNT_MIN: i64 = 1;
pub(super) const AMOUNT_MAX: i64 = 100_000_000;
pub(super) const TAKING_MIN: i64 = 100;

/// How a caller names a request, to make its repeat the same request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names {
    /// The bits of the UUID, whatever its version and letter case.
    pub transaction_id: Option<u128>,
    /// The header of that name.
    pub idempotency_key: Option<String>,
}

/// A refund as asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CreateRefund {
    /// Minor units, 1 to [`AMOUNT_MAX`]; absent: all that is left.
    pub amount: Option<i64>,
    pub names: Names,
}

/// A capture, void or extension as asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CreateBooking {
    pub booking: Booking,
    /// Minor units; absent as [`requite_engine::command::BookingRequest`] has it.
    pub amount: Option<i64>,
    pub names: Names,
}

/// An order's id in a path.
pub(super) fn order_id(text: &str) -> Option<PaymentId> {
    parse_uuid(text).map(PaymentId::new)
}

/// A request's body, which is JSON as far as its header says.
pub(super) async fn body(request: &mut Request) -> Result<Bytes, Failure> {
    let body = read_body(request, REFUND_BODY_MAX, Codings::Plain).await.map_err(Failure::Body)?;
    if !body.is_empty() && !is_json(request.headers()) {
        return Err(Failure::NotJson);
    }
    Ok(body)
}

fn names(fields: &mut Fields<'_>, headers: &HeaderMap) -> Names {
    let transaction_id = fields.uuid("transaction_id");
    Names { transaction_id, idempotency_key: fields.idempotency_key(headers) }
}

/// `is_amount_required`: unless a setting says otherwise (decision M3).
pub(super) fn refund(
    body: &[u8],
    headers: &HeaderMap,
    is_amount_required: bool,
) -> Result<CreateRefund, Failure> {
    let mut fields = Fields::of_body(body)?;
    if is_amount_required {
        fields.require("amount");
    }
    let amount = fields.integer("amount", AMOUNT_MIN, AMOUNT_MAX);
    let names = names(&mut fields, headers);
    fields.end()?;
    Ok(CreateRefund { amount, names })
}

pub(super) fn capture(body: &[u8], headers: &HeaderMap) -> Result<CreateBooking, Failure> {
    let mut fields = Fields::of_body(body)?;
    fields.require("amount");
    let amount = fields.integer("amount", TAKING_MIN, AMOUNT_MAX);
    fields.require("final");
    let is_final = fields.boolean("final");
    let names = names(&mut fields, headers);
    let Some(is_final) = is_final else {
        return Err(fields.failure());
    };
    fields.end()?;
    Ok(CreateBooking { booking: Booking::Capture { is_final }, amount, names })
}

pub(super) fn void(body: &[u8], headers: &HeaderMap) -> Result<CreateBooking, Failure> {
    optional(body, headers, Booking::Void, AMOUNT_MIN)
}

pub(super) fn extension(body: &[u8], headers: &HeaderMap) -> Result<CreateBooking, Failure> {
    optional(body, headers, Booking::Extension, 0)
}

fn optional(
    body: &[u8],
    headers: &HeaderMap,
    booking: Booking,
    least: i64,
) -> Result<CreateBooking, Failure> {
    let mut fields = Fields::of_body(body)?;
    let amount = fields.integer("amount", least, AMOUNT_MAX);
    let names = names(&mut fields, headers);
    fields.end()?;
    Ok(CreateBooking { booking, amount, names })
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

    fn keyed(key: Option<&str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(key) = key {
            headers.insert("idempotency-key", key.parse().expect("a header value"));
        }
        headers
    }

    /// How the failure's answer begins, or what was read.
    fn read_text(body: &str, key: Option<&str>) -> String {
        match refund(body.as_bytes(), &keyed(key), true) {
            Ok(read) => {
                let id = read.names.transaction_id.map(requite_core::id::uuid_text);
                let key = read.names.idempotency_key;
                let [id, key] = [id, key].map(|text| text.unwrap_or("-".to_owned()));
                format!("{} {id} {key}", read.amount.expect("it is required"))
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
                "400 The request body names a member more than once.",
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
            let read = refund(body.as_bytes(), &HeaderMap::new(), true).expect("a valid body");
            assert_eq!(read.names.transaction_id, Some(BITS));
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
            let found = refund(br#"{"amount":1}"#, &headers, true).ok();
            let key = found.as_ref().map(|found| found.names.idempotency_key.as_deref());
            assert_eq!(key, read, "{sent:?}");
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
