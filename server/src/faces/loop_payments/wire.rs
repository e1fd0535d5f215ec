//! The dialect's requests, read and checked, and its answers, spelled.

use axum::body::Body;
use axum::extract::{Query, Request};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::Response;
use bytes::Bytes;
use requite_core::decide::Amount;
use requite_core::refund::Status;
use serde::Serialize;

use super::failure::Failure;
use crate::desk::KEY_TEXT_MAX;
use crate::http::{Codings, REFUND_BODY_MAX, read_body};
use crate::json::{Cause, Json, NotInteger, Object, Value, integer, read};

/// Refunds in a list, when the caller does not say how many, and at most.
const LIST_DEFAULT: u32 = 50;
const LIST_MAX: u32 = 200;

/// A refund as asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CreateRefund {
    /// How the caller names the charge or the payment.
    pub named: String,
    pub amount: Amount,
    pub reason: Option<String>,
    pub idempotency_key: Option<String>,
}

/// Which of the two routes a body belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// `POST /v1/admin/refunds`: `charge_id`, and either `amount_cents` or `full: true`.
    Charge,
    /// `POST /v1/refunds`: `payment_id`; without `amount_cents` all that is left.
    Payment,
}

impl Route {
    pub(super) fn text(self) -> &'static str {
        match self {
            Route::Charge => "POST /v1/admin/refunds",
            Route::Payment => "POST /v1/refunds",
        }
    }

    fn id_member(self) -> &'static str {
        match self {
            Route::Charge => "charge_id",
            Route::Payment => "payment_id",
        }
    }
}

pub(super) async fn create_refund(
    request: &mut Request,
    route: Route,
) -> Result<CreateRefund, Failure> {
    let body = body(request).await?;
    let wish = parse(&body, route)?;
    let idempotency_key = key_text(request.headers())?;
    Ok(CreateRefund { idempotency_key, ..wish })
}

/// The bytes of a body that is JSON by its headers, or is none.
pub(super) async fn body(request: &mut Request) -> Result<Bytes, Failure> {
    let body = read_body(request, REFUND_BODY_MAX, Codings::Plain).await.map_err(Failure::Body)?;
    if !body.is_empty() && !is_json(request.headers()) {
        return Err(Failure::NotJson);
    }
    Ok(body)
}

/// A body that must be there: as a whole, and opened. No name is in it twice.
pub(super) fn object(body: &[u8]) -> Result<(Json<'_>, Object<'_>), Failure> {
    let json = match read(body) {
        Ok(json) => json,
        Err(fault) if fault.cause == Cause::Empty => return Err(Failure::NotAnObject),
        Err(fault) => return Err(Failure::Json(fault)),
    };
    let object = json.object().ok_or(Failure::NotAnObject)?;
    match object.repeated_name() {
        Some(name) => Err(Failure::MemberRepeated(name.to_owned())),
        None => Ok((json, object)),
    }
}

pub(super) fn parse(body: &[u8], route: Route) -> Result<CreateRefund, Failure> {
    // No body says as much as an empty one.
    let body = if body.trim_ascii().is_empty() { b"{}" } else { body };
    let (_, body) = object(body)?;
    let member = |name| body.member(name);
    let named = named(route.id_member(), member(route.id_member()))?;
    let cents = amount_cents(member("amount_cents"))?;
    let amount = match route {
        Route::Charge => one_of(cents, is_full(member("full"))?)?,
        Route::Payment => cents.map_or(Amount::Remaining, Amount::Minor),
    };
    let reason = reason(member("reason"))?;
    Ok(CreateRefund { named, amount, reason, idempotency_key: None })
}

pub(super) fn invalid<T>(message: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::Invalid(message.into()))
}

fn named(name: &str, sent: Option<Json<'_>>) -> Result<String, Failure> {
    match sent.map(Json::string) {
        None => invalid(format!("{name} is required")),
        Some(Some(text)) if text.is_empty() => invalid(format!("{name} must not be empty")),
        Some(Some(text)) if text.contains('\0') => invalid(format!("{name} must not contain NUL")),
        Some(Some(text)) => Ok(text),
        Some(None) => invalid(format!("{name} must be a string")),
    }
}

/// Minor units of the payment's currency.
fn amount_cents(sent: Option<Json<'_>>) -> Result<Option<i64>, Failure> {
    let Some(sent) = sent else { return Ok(None) };
    let Value::Number(raw) = sent.value() else {
        return invalid("amount_cents must be an integer");
    };
    let cents = match integer(raw) {
        Ok(cents) => cents,
        Err(NotInteger::Fraction) => return invalid("amount_cents must be an integer"),
        Err(NotInteger::OutOfRange) if raw.starts_with('-') => i64::MIN,
        // More than any payment has; the engine says so, after what it checks before.
        Err(NotInteger::OutOfRange) => i64::MAX,
    };
    if cents > 0 { Ok(Some(cents)) } else { invalid("amount_cents must be greater than 0") }
}

fn is_full(sent: Option<Json<'_>>) -> Result<bool, Failure> {
    match sent.map(Json::value) {
        None => Ok(false),
        Some(Value::Bool(is_full)) => Ok(is_full),
        Some(_) => invalid("full must be a boolean"),
    }
}

/// Either an amount or all that is left (decision L1).
fn one_of(cents: Option<i64>, is_full: bool) -> Result<Amount, Failure> {
    match (cents, is_full) {
        (Some(cents), false) => Ok(Amount::Minor(cents)),
        (None, true) => Ok(Amount::Remaining),
        (None, false) => invalid("amount_cents or full: true is required"),
        (Some(_), true) => invalid("amount_cents and full: true exclude each other"),
    }
}

fn reason(sent: Option<Json<'_>>) -> Result<Option<String>, Failure> {
    match sent.map(Json::value) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Text(text)) if text.contains('\0') => invalid("reason must not contain NUL"),
        Some(Value::Text(text)) => Ok(Some(text)),
        Some(_) => invalid("reason must be a string or null"),
    }
}

pub(super) fn key_text(headers: &HeaderMap) -> Result<Option<String>, Failure> {
    let mut sent = headers.get_all("idempotency-key").iter();
    let Some(first) = sent.next() else {
        return Ok(None);
    };
    let text = first.to_str().unwrap_or_default();
    if sent.next().is_none() && (1..=KEY_TEXT_MAX).contains(&text.len()) {
        Ok(Some(text.to_owned()))
    } else {
        invalid("Idempotency-Key must be sent once, with 1 to 255 visible characters")
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

/// Which refunds to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ListRefunds {
    pub customer: Option<String>,
    /// 1 to [`LIST_MAX`].
    pub limit: u32,
}

fn query(uri: &Uri) -> Result<Vec<(String, String)>, Failure> {
    match Query::try_from_uri(uri) {
        Ok(Query(pairs)) => Ok(pairs),
        Err(_) => invalid("the query is malformed"),
    }
}

/// Whose disputes are asked for.
pub(super) fn brand(uri: &Uri) -> Result<String, Failure> {
    let pairs = query(uri)?;
    match pairs.into_iter().rev().find(|(name, _)| name == "brand_id") {
        Some((_, brand)) if brand.is_empty() || brand.contains('\0') => {
            invalid("brand_id must not be empty or contain NUL")
        }
        Some((_, brand)) => Ok(brand),
        None => invalid("brand_id is required"),
    }
}

/// Reads the query; of a repeated name the last counts, and more than [`LIST_MAX`] is that many.
pub(super) fn list_refunds(uri: &Uri) -> Result<ListRefunds, Failure> {
    let pairs = query(uri)?;
    let last = |name: &str| pairs.iter().rev().find(|(known, _)| known == name);
    let customer = last("customer_id").map(|(_, value)| value.clone());
    if customer.as_ref().is_some_and(|text| text.contains('\0')) {
        return invalid("customer_id must not contain NUL");
    }
    let limit = match last("limit") {
        None => LIST_DEFAULT,
        Some((_, text)) if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) => {
            return invalid(format!("limit must be an integer from 1 to {LIST_MAX}"));
        }
        Some((_, text)) => text.parse().unwrap_or(LIST_MAX).min(LIST_MAX),
    };
    if limit == 0 {
        return invalid(format!("limit must be an integer from 1 to {LIST_MAX}"));
    }
    Ok(ListRefunds { customer, limit })
}

/// A refund's status in the words of the dialect's PSP.
pub(super) fn status_word(status: Status) -> &'static str {
    match status {
        Status::Requested
        | Status::AwaitingApproval
        | Status::Held
        | Status::Ready
        | Status::Dispatched
        | Status::Unknown
        | Status::Pending => "pending",
        Status::RequiresAction => "requires_action",
        Status::Succeeded => "succeeded",
        Status::Declined | Status::Failed | Status::Reversed => "failed",
        Status::Voided => "canceled",
    }
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

    fn read_text(body: &str, route: Route) -> String {
        match parse(body.as_bytes(), route) {
            Ok(wish) => {
                let amount = match wish.amount {
                    Amount::Minor(cents) => cents.to_string(),
                    Amount::Remaining => "all".to_owned(),
                    Amount::Major(_) | Amount::Whole => "no amount of this face".to_owned(),
                };
                let reason = wish.reason.map_or("-".to_owned(), |text| format!("{text:?}"));
                format!("{} {amount} {reason}", wish.named)
            }
            Err(failure) => failure.summary(),
        }
    }

    #[test]
    fn a_refund_by_charge_takes_an_amount_or_all() {
        let required = "422 validation_error: charge_id is required";
        let integer = "422 validation_error: amount_cents must be an integer";
        let positive = "422 validation_error: amount_cents must be greater than 0";
        let neither = "422 validation_error: amount_cents or full: true is required";
        let boolean = "422 validation_error: full must be a boolean";
        for (body, read) in [
            (r#"{"charge_id":"c","amount_cents":5}"#, "c 5 -"),
            (r#"{"charge_id":"c","amount_cents":5,"full":false,"x":1}"#, "c 5 -"),
            (r#"{"charge_id":"c","amount_cents":5.0}"#, "c 5 -"),
            (r#"{"charge_id":"c","amount_cents":1e40}"#, "c 9223372036854775807 -"),
            (r#"{"charge_id":"c","full":true,"reason":null}"#, "c all -"),
            (r#"{"charge_id":"c","full":true,"reason":"late"}"#, "c all \"late\""),
            (r#"{"charge_id":"c","full":true,"reason":""}"#, "c all \"\""),
            ("", required),
            ("{}", required),
            (r#"{"full":true}"#, required),
            (
                r#"{"charge_id":"","full":true}"#,
                "422 validation_error: charge_id must not be empty",
            ),
            (r#"{"charge_id":7,"full":true}"#, "422 validation_error: charge_id must be a string"),
            (
                r#"{"charge_id":null,"full":true}"#,
                "422 validation_error: charge_id must be a string",
            ),
            (
                r#"{"charge_id":"c\u0000","full":true}"#,
                "422 validation_error: charge_id must not contain NUL",
            ),
            (r#"{"charge_id":"c"}"#, neither),
            (r#"{"charge_id":"c","full":false}"#, neither),
            (
                r#"{"charge_id":"c","full":true,"amount_cents":5}"#,
                "422 validation_error: amount_cents and full: true exclude each other",
            ),
            (r#"{"charge_id":"c","amount_cents":0}"#, positive),
            (r#"{"charge_id":"c","amount_cents":-5}"#, positive),
            (r#"{"charge_id":"c","amount_cents":-1e40}"#, positive),
            (r#"{"charge_id":"c","amount_cents":0.5}"#, integer),
            (r#"{"charge_id":"c","amount_cents":"500"}"#, integer),
            (r#"{"charge_id":"c","amount_cents":null}"#, integer),
            (r#"{"charge_id":"c","amount_cents":null,"full":true}"#, integer),
            (r#"{"charge_id":"c","full":"true"}"#, boolean),
            (r#"{"charge_id":"c","full":null,"amount_cents":5}"#, boolean),
            (
                r#"{"charge_id":"c","full":true,"reason":5}"#,
                "422 validation_error: reason must be a string or null",
            ),
            (
                r#"{"charge_id":"c","full":true,"full":true}"#,
                "422 validation_error: the body names \"full\" more than once",
            ),
            ("[]", "422 validation_error: the body must be a JSON object"),
            (
                r#"{"charge_id":"#,
                "422 validation_error: the body is not valid JSON: the text ends inside a value at position 13",
            ),
        ] {
            assert_eq!(read_text(body, Route::Charge), read, "{body}");
        }
    }

    #[test]
    fn a_refund_by_payment_takes_an_amount_or_nothing() {
        for (body, read) in [
            (r#"{"payment_id":"p","amount_cents":5}"#, "p 5 -"),
            (r#"{"payment_id":"p"}"#, "p all -"),
            (r#"{"payment_id":"p","full":"unread"}"#, "p all -"),
            (r#"{"charge_id":"p"}"#, "422 validation_error: payment_id is required"),
            (
                r#"{"payment_id":"p","amount_cents":0}"#,
                "422 validation_error: amount_cents must be greater than 0",
            ),
        ] {
            assert_eq!(read_text(body, Route::Payment), read, "{body}");
        }
    }

    #[test]
    fn a_list_has_50_refunds_or_as_many_as_asked_for_up_to_200() {
        let wrong = "422 validation_error: limit must be an integer from 1 to 200";
        for (query, read) in [
            ("", "- 50"),
            ("?customer_id=cus_1&limit=10", "cus_1 10"),
            ("?limit=200", "- 200"),
            ("?limit=201", "- 200"),
            ("?limit=99999999999999999999", "- 200"),
            ("?limit=5&limit=6&other=1", "- 6"),
            ("?limit=0", wrong),
            ("?limit=-1", wrong),
            ("?limit=", wrong),
            ("?limit=ten", wrong),
            ("?customer_id=%00", "422 validation_error: customer_id must not contain NUL"),
        ] {
            let uri: Uri = format!("/v1/admin/refunds{query}").parse().expect("a URI");
            let text = match list_refunds(&uri) {
                Ok(list) => format!("{} {}", list.customer.as_deref().unwrap_or("-"), list.limit),
                Err(failure) => failure.summary(),
            };
            assert_eq!(text, read, "{query}");
        }
    }
}
