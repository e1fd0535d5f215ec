//! Every way in which this face says no: status, headers and body.
//!
//! Errors are `{"type","message"}`, with `code` only where the original sends one. No credentials,
//! or bad ones, get the bare text `Unauthorized`. Where the original sends an HTML page, ours sends
//! JSON with the same status (decision A7).

use axum::body::Body;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use requite_core::decide::{BookingRefusal, Refusal};
use requite_engine::command::CommandError;
use requite_engine::read::ReadFault;
use serde::Serialize;

use super::wire::{self, AMOUNT_NOT_INTEGER, AMOUNT_TOO_SMALL, REASON_UNKNOWN};
use crate::access::Barred;
use crate::browser::Originless;
use crate::desk::replay_headers;
use crate::http::{BodyFault, RequestId};
use crate::json;
use crate::keyed::KeyFault;
use crate::session::SessionFault;

/// An answer that is not a success.
#[derive(Debug)]
pub(super) enum Failure {
    /// No credential, or none that is good.
    Unauthorized,
    /// A log-in with a wrong e-mail address or password: the same text, with a content type.
    WrongPassword,
    Complaint(Box<Complaint>),
}

/// An error with a body in JSON.
#[derive(Debug)]
pub(super) struct Complaint {
    status: StatusCode,
    code: Option<&'static str>,
    kind: Option<&'static str>,
    message: String,
    headers: HeaderMap,
    /// Said by the body's parser, before anything looks at who asks and from where.
    is_parsers: bool,
}

#[cfg(test)]
impl Complaint {
    pub(super) fn text(&self) -> &str {
        &self.message
    }
}

#[derive(Serialize)]
struct ComplaintBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    message: &'a str,
}

const IN_PROGRESS: &str = "The request conflicted with another request. You may retry the request \
                           with the provided Idempotency-Key.";
const BUSY: &str = "The server is busy. Nothing was done; try again.";
const UNKNOWN_ERROR: &str = "An unknown error occurred.";

impl Failure {
    fn new(status: StatusCode, kind: &'static str, message: String) -> Failure {
        Failure::coded(status, (None, Some(kind)), message)
    }

    fn coded(
        status: StatusCode,
        (code, kind): (Option<&'static str>, Option<&'static str>),
        message: String,
    ) -> Failure {
        let headers = HeaderMap::new();
        let is_parsers = false;
        Failure::Complaint(Box::new(Complaint { status, code, kind, message, headers, is_parsers }))
    }

    fn of_parser(mut self) -> Failure {
        if let Failure::Complaint(complaint) = &mut self {
            complaint.is_parsers = true;
        }
        self
    }

    /// The same answer with these headers besides.
    pub(super) fn with(mut self, headers: HeaderMap) -> Failure {
        if let Failure::Complaint(complaint) = &mut self {
            complaint.headers.extend(headers);
        }
        self
    }

    /// 400: the request is not well formed. `message` is the validator's, all complaints joined.
    pub(super) fn invalid(message: impl Into<String>) -> Failure {
        Failure::new(StatusCode::BAD_REQUEST, "invalid_data", message.into())
    }

    /// 400: well formed, and against the payment's state.
    fn not_allowed(message: String) -> Failure {
        Failure::new(StatusCode::BAD_REQUEST, "not_allowed", message)
    }

    /// 403, or 429. The original has no roles and no limit; ours limits what a token may do, and how
    /// often.
    pub(super) fn barred(barred: Barred) -> Failure {
        match barred {
            Barred::Scope(scope) => {
                let message = format!("This credential lacks the scope {scope}");
                Failure::new(StatusCode::FORBIDDEN, "forbidden", message)
            }
            Barred::Rate => {
                let message = "Too many requests. Nothing was done; try again shortly.".to_owned();
                Failure::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", message)
                    .with(HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static("1"))]))
            }
        }
    }

    /// 404, with the id as it was sent. An unknown payment and another merchant's are the same.
    pub(super) fn payment_unknown(id: &str) -> Failure {
        let message = format!("Payment with id {id} was not found");
        Failure::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// 404. An order of another merchant, and one that no payment was registered with, are the same.
    pub(super) fn order_unknown(id: &str) -> Failure {
        let message = format!("Order with id: {id} was not found");
        Failure::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// 400, in the original's words.
    pub(super) fn exceeds_order() -> Failure {
        Failure::not_allowed("Cannot refund more than the original order amount".to_owned())
    }

    /// 400, in the original's words.
    pub(super) fn exceeds_captured() -> Failure {
        Failure::not_allowed("Refund amount is greater that the refundable amount".to_owned())
    }

    /// 500: of an order's refund a part was made, and this payment's was not. Final, as
    /// [`Failure::refund_failed`].
    pub(super) fn order_refund_stopped(payment: &str) -> Failure {
        let message = format!(
            "Failed to refund Payment {payment}; what the payments before it gave is refunded: read \
             the order before refunding the rest"
        );
        Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "unexpected_state", message)
    }

    pub(super) fn return_reason_unknown(id: &str) -> Failure {
        let message = format!("Return Reason with id: {id} was not found.");
        Failure::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// 422: another return reason has this value.
    pub(super) fn value_taken(value: &str) -> Failure {
        let message = format!("Return_reason with value {value} already exists.");
        let code = (Some("invalid_request_error"), Some("duplicate_error"));
        Failure::coded(StatusCode::UNPROCESSABLE_ENTITY, code, message)
    }

    fn key_reused() -> Failure {
        let message = "This Idempotency-Key was used for another request".to_owned();
        let code = (Some("invalid_request_error"), Some("duplicate_error"));
        Failure::coded(StatusCode::UNPROCESSABLE_ENTITY, code, message)
    }

    pub(super) fn route_unknown(method: &Method, path: &str) -> Failure {
        let message = format!("Cannot {method} {path}");
        Failure::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// 500 (decision V1-5): the payment provider said no, or it is proven that nothing happened.
    /// Final, and the money is free again. The official client does not resend on 500.
    pub(super) fn refund_failed(payment: &str) -> Failure {
        let message = format!("Failed to refund Payment {payment}");
        Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "unexpected_state", message)
    }

    /// 500: the payment provider declined the capture, or nothing can be captured.
    pub(super) fn capture_failed(payment: &str) -> Failure {
        let message = format!("Failed to capture Payment {payment}");
        Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "unexpected_state", message)
    }

    /// 500: it was done and cannot be shown. The official client does not resend on 500.
    pub(super) fn unshown() -> Failure {
        let message = "It was carried out, and what came of it could not be read back. Read it \
                       before you send anything again, or send the same request with the same \
                       Idempotency-Key.";
        Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "unexpected_state", message.to_owned())
    }

    /// 500: ours is broken. Says nothing; the request id leads to the log.
    pub(super) fn unknown() -> Failure {
        Failure::coded(
            StatusCode::INTERNAL_SERVER_ERROR,
            (Some("unknown_error"), Some("unknown_error")),
            UNKNOWN_ERROR.to_owned(),
        )
    }

    /// 503: nothing was done. The official client resends on it, which is right here.
    pub(super) fn busy(message: &str) -> Failure {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Failure::new(status, "unavailable", message.to_owned()).with(headers)
    }

    /// 400: what the JSON parser refuses, before it is known who asks.
    pub(super) fn unreadable(fault: json::Fault) -> Failure {
        Failure::invalid(format!("The body is not valid JSON: {fault}")).of_parser()
    }

    /// 400: a text, a number, a truth value or null.
    pub(super) fn not_object() -> Failure {
        Failure::invalid("The body is not valid JSON: an object was expected").of_parser()
    }

    /// 415. The original also reads UTF-16 and UTF-32; nobody sends those (decision A2).
    pub(super) fn charset_unsupported() -> Failure {
        let message = "The body must be UTF-8".to_owned();
        Failure::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "invalid_data", message).of_parser()
    }
}

impl From<BodyFault> for Failure {
    fn from(fault: BodyFault) -> Failure {
        let status = match &fault {
            BodyFault::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            BodyFault::TimedOut => StatusCode::REQUEST_TIMEOUT,
            BodyFault::UnsupportedEncoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            BodyFault::Malformed | BodyFault::Broken => StatusCode::BAD_REQUEST,
        };
        Failure::new(status, "invalid_data", fault.to_string()).of_parser()
    }
}

impl From<ReadFault> for Failure {
    fn from(fault: ReadFault) -> Failure {
        tracing::error!(%fault, "a read for the Medusa v1 face failed");
        match fault {
            ReadFault::Unavailable(_) => Failure::busy(BUSY),
            ReadFault::Store(_) => Failure::unknown(),
        }
    }
}

impl From<KeyFault> for Failure {
    fn from(fault: KeyFault) -> Failure {
        match fault {
            KeyFault::Reused => Failure::key_reused(),
            KeyFault::Read(fault) => fault.into(),
        }
    }
}

/// The cause is in the log already.
impl From<SessionFault> for Failure {
    fn from(SessionFault: SessionFault) -> Failure {
        Failure::unknown()
    }
}

/// What a command's error is called here. `asked` is the payment's id as it was sent, `shown` as
/// this face spells it.
pub(super) fn refused(error: CommandError, asked: &str, shown: &str) -> Failure {
    match error {
        CommandError::PaymentUnknown => Failure::payment_unknown(asked),
        CommandError::Refused { refusal, is_replay } => {
            refusal_failure(&refusal, shown).with(replay_headers(is_replay))
        }
        CommandError::BookingRefused { refusal, is_replay } => {
            capture_failure(refusal, shown).with(replay_headers(is_replay))
        }
        CommandError::KeyReused => Failure::key_reused(),
        // The one 409 of this face (V1-8): the official client resends on it.
        CommandError::KeyInProgress => Failure::coded(
            StatusCode::CONFLICT,
            (Some("invalid_state_error"), None),
            IN_PROGRESS.to_owned(),
        ),
        CommandError::Overloaded | CommandError::Unstored | CommandError::Unreconciled => {
            Failure::busy(BUSY)
        }
        CommandError::Stopping => {
            Failure::busy("The server is restarting. Nothing was done; try again.")
        }
        CommandError::Store(fault) => {
            tracing::error!(%fault, "a command of the Medusa v1 face was not committed for certain");
            Failure::unknown()
        }
    }
}

fn refusal_failure(refusal: &Refusal, payment: &str) -> Failure {
    match refusal {
        Refusal::NotCaptured => Failure::not_allowed(format!("Payment {payment} is not captured")),
        Refusal::Cancelled => cancelled(payment),
        Refusal::NothingLeft => only(0, payment),
        Refusal::ExceedsLeft { asked: _, left } => only(left.units(), payment),
        Refusal::NotPositive => Failure::invalid(AMOUNT_TOO_SMALL),
        Refusal::Fraction { currency: _ } => Failure::invalid(AMOUNT_NOT_INTEGER),
        Refusal::ReasonUnknown => Failure::invalid(REASON_UNKNOWN),
        Refusal::CurrencyDiffers { asked, payment } => Failure::invalid(format!(
            "The payment is in {payment}, the refund was asked for in {asked}"
        )),
        Refusal::LegUnknown => Failure::invalid("The payment has no such instrument"),
    }
}

/// V1-7: the original refunds and captures it all the same.
fn cancelled(payment: &str) -> Failure {
    Failure::not_allowed(format!("Payment {payment} is canceled"))
}

fn only(left: i64, payment: &str) -> Failure {
    Failure::not_allowed(format!("Only {left} can be refunded from Payment {payment}"))
}

/// The original knows one failure of a capture: that of the payment provider.
fn capture_failure(refusal: BookingRefusal, payment: &str) -> Failure {
    match refusal {
        BookingRefusal::Cancelled => cancelled(payment),
        BookingRefusal::NotPositive
        | BookingRefusal::ExceedsCapturable { .. }
        | BookingRefusal::TooMany => Failure::capture_failed(payment),
    }
}

/// How this face spells what is refused before or outside its routes.
pub(super) fn render(status: StatusCode, text: &str, _id: &RequestId) -> Response {
    if status.is_server_error() {
        Failure::unknown().into_response()
    } else {
        Failure::new(status, "invalid_data", text.to_owned()).into_response()
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let complaint = match self {
            Failure::Complaint(complaint) => complaint,
            Failure::Unauthorized => return unauthorized(),
            Failure::WrongPassword => {
                let mut response = wire::text("Unauthorized");
                *response.status_mut() = StatusCode::UNAUTHORIZED;
                return response;
            }
        };
        let Complaint { status, code, kind, message, headers, is_parsers } = *complaint;
        let body = ComplaintBody { code, kind, message: &message };
        let mut response = (headers, wire::json(status, &body)).into_response();
        if is_parsers {
            response.extensions_mut().insert(Originless);
        }
        response
    }
}

fn unauthorized() -> Response {
    let mut response = Response::new(Body::from("Unauthorized"));
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    response
}

#[cfg(test)]
mod tests;
