//! Every error this face can answer: its status and its body, in one place.
//!
//! The envelope is `{"type","message"}`, with `code` in front in four cases, and turned around
//! (`{"message","type"}`) where the original's body parser speaks. A missing credential has a
//! message alone.

use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use requite_core::currency::Currency;
use requite_core::decide::{BookingRefusal, Refusal};
use requite_core::refund::Fault;
use requite_engine::command::CommandError;
use requite_engine::read::ReadFault;
use requite_engine::registry::RegistryFault;

use super::spelling::text;
use crate::access::Barred;
use crate::browser::{Originless, tag};
use crate::http::{BodyFault, RequestId};
use crate::json;

/// What a refund was asked for, as far as its refusal speaks of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// The id in the path, as it was written.
    pub payment: String,
    pub reason: Option<String>,
    /// The original has one text for too much, and another for "all" that is not there.
    pub has_amount: bool,
}

#[derive(Debug)]
pub(super) enum Failure {
    Body(BodyFault),
    /// The charset as sent.
    Charset(String),
    /// The media type as sent; empty if none was.
    MediaType(String),
    Syntax(json::Fault),
    /// JSON, but neither an object nor an array.
    NoObject,
    Unauthorized,
    /// A secret key was sent as a bearer token.
    KeyAsBearer,
    /// Why a log-in failed.
    Login(&'static str),
    /// An auth provider that there is not.
    AuthProvider(String),
    /// The key lacks this scope.
    Barred(Barred),
    /// What is wrong with the request; the caller spells the whole text.
    Invalid(String),
    /// A query parameter with two dots or more in its name.
    KeyTooDeep(String),
    PaymentUnknown(String),
    ReasonUnknown(String),
    /// A refund was not accepted.
    Refund {
        error: CommandError,
        asked: Asked,
    },
    CaptureUnknown(String),
    /// A capture was not made; `payment` as in the path.
    Capture {
        error: CommandError,
        payment: String,
    },
    TooMuchToCapture,
    /// More decimals than this currency has.
    TooManyDecimals(Currency),
    /// A refund was accepted, and the PSP said no or proved that it did nothing.
    Provider(Option<Fault>),
    Read(ReadFault),
    /// What was asked for is done, and cannot be shown.
    Unshown,
    OrderUnknown(String),
    CollectionUnknown(String),
    KeyUnknown(String),
    ProviderUnknown(String),
    /// What the state of things does not allow.
    NotAllowed(&'static str),
    /// A payment was not registered.
    Registration(CommandError),
    /// The `Idempotency-Key` was used for something else.
    KeyReused,
    /// Something beside money was not written.
    Write(Option<RegistryFault>),
    Busy,
    NoRoute {
        method: Method,
        path: String,
    },
}

/// How long a client is asked to wait when there is no room, in seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

const CONFLICT: &str = "The request conflicted with another request. You may retry the request \
                        with the provided Idempotency-Key.";
const KEY_AS_BEARER: &str = "A secret API key was passed as a Bearer token. Secret API keys must \
                             be sent using HTTP Basic authentication instead (Authorization: \
                             Basic <secret-api-key>).";
const KEY_REUSED: &str = "This Idempotency-Key was used for a request that means something else. \
                          Send this one with a key of its own.";
const MORE_THAN_CAPTURED: &str = "You are not allowed to refund more than the captured amount";
const WHOLE_NOT_THERE: &str = "You cannot refund more than what is captured on the payment.";
const MORE_THAN_AUTHORIZED: &str = "You cannot capture more than the authorized amount \
                                    substracted by what is already captured.";
const NOT_STORED: &str = "The store did not confirm the request. Read the payment before you send \
                          it again, or send it again with the same Idempotency-Key.";
const UNSHOWN: &str = "It was carried out, and what came of it could not be read back. Read it \
                       before you send anything again, or send the same request with the same \
                       Idempotency-Key.";
const TOO_MANY: &str = "Too many requests. Nothing was done; try again shortly.";
const NO_ROOM: &str = "The server has no room at the moment. Nothing was done; try again shortly.";

/// An error as this dialect speaks it.
struct Spoken {
    status: u16,
    form: Form,
    message: String,
}

enum Form {
    /// `{"type","message"}`
    Typed(&'static str),
    /// `{"code","type","message"}`
    Coded(&'static str, &'static str),
    /// `{"message","type"}`
    Parser(&'static str),
    /// `{"message"}`
    Bare,
}

fn spoken(status: u16, form: Form, message: impl Into<String>) -> Spoken {
    Spoken { status, form, message: message.into() }
}

fn invalid(message: impl Into<String>) -> Spoken {
    spoken(400, Form::Typed("invalid_data"), message)
}

fn not_found(message: String) -> Spoken {
    spoken(404, Form::Typed("not_found"), message)
}

fn unknown_error() -> Spoken {
    let form = Form::Coded("unknown_error", "unknown_error");
    spoken(500, form, "An unknown error occurred.")
}

fn store_failed(message: &str) -> Spoken {
    spoken(500, Form::Coded("api_error", "database_error"), message)
}

fn unread(fault: &ReadFault) -> Spoken {
    tracing::error!(%fault, "a read failed");
    match fault {
        ReadFault::Unavailable(_) => no_room(),
        ReadFault::Store(_) => store_failed(
            "The store could not be read. This request did nothing; send it again, with the same \
                          Idempotency-Key if it has one.",
        ),
    }
}

fn no_room() -> Spoken {
    spoken(503, Form::Coded("unknown_error", "unknown_error"), NO_ROOM)
}

fn too_many() -> Spoken {
    spoken(429, Form::Typed("too_many_requests"), TOO_MANY)
}

fn conflict() -> Spoken {
    spoken(409, Form::Coded("invalid_state_error", "conflict"), CONFLICT)
}

fn key_reused() -> Spoken {
    spoken(422, Form::Coded("invalid_request_error", "duplicate_error"), KEY_REUSED)
}

impl Failure {
    fn spoken(self) -> Spoken {
        match self {
            Failure::Body(fault) => body_fault(fault),
            Failure::Charset(name) => parser(415, format!("unsupported charset {}", text(&name))),
            Failure::MediaType(name) => parser(
                415,
                format!("unsupported content type {}, send application/json", text(&name)),
            ),
            Failure::Syntax(fault) => {
                spoken(400, Form::Parser("invalid_data"), format!("Not valid JSON: {fault}"))
            }
            Failure::NoObject => spoken(
                400,
                Form::Parser("invalid_data"),
                "Not a JSON object: an object was expected at position 0",
            ),
            Failure::Unauthorized => spoken(401, Form::Bare, "Unauthorized"),
            Failure::KeyAsBearer => spoken(401, Form::Bare, KEY_AS_BEARER),
            Failure::Login(why) => spoken(401, Form::Typed("unauthorized"), why),
            Failure::AuthProvider(name) => spoken(
                400,
                Form::Typed("not_allowed"),
                format!("The actor type user is not allowed to use the auth provider {name}"),
            ),
            Failure::Barred(Barred::Rate) => too_many(),
            Failure::Barred(Barred::Scope(scope)) => spoken(
                403,
                Form::Typed("forbidden"),
                format!("This API key lacks the scope {scope}"),
            ),
            Failure::Invalid(message) => invalid(message),
            Failure::KeyTooDeep(name) => spoken(
                500,
                Form::Typed("invalid_argument"),
                format!("Key accessor more than 2 levels deep: {name}"),
            ),
            Failure::PaymentUnknown(id) => not_found(format!("Payment id not found: {id}")),
            Failure::ReasonUnknown(id) => {
                not_found(format!("RefundReason with id \"{id}\" not found"))
            }
            Failure::Refund { error, asked } => refused(error, asked),
            Failure::CaptureUnknown(id) => capture_unknown(&id),
            Failure::Capture { error, payment } => not_captured(error, &payment),
            Failure::TooMuchToCapture => invalid(MORE_THAN_AUTHORIZED),
            Failure::TooManyDecimals(currency) => too_many_decimals(currency),
            Failure::Provider(fault) => provider_error(fault),
            Failure::Read(fault) => unread(&fault),
            Failure::Unshown => store_failed(UNSHOWN),
            Failure::OrderUnknown(id) => not_found(format!("Order id not found: {id}")),
            Failure::CollectionUnknown(id) => {
                not_found(format!("PaymentCollection id not found: {id}"))
            }
            Failure::KeyUnknown(id) => not_found(format!("ApiKey with id: {id} was not found")),
            Failure::ProviderUnknown(id) => {
                invalid(format!("Invalid request: There is no payment provider '{id}'"))
            }
            Failure::NotAllowed(why) => spoken(400, Form::Typed("not_allowed"), why),
            Failure::Registration(error) => not_registered(error),
            Failure::KeyReused => key_reused(),
            Failure::Write(fault) => {
                tracing::error!(?fault, "a write failed");
                store_failed("The store could not be written. Read it before you try again.")
            }
            Failure::Busy => no_room(),
            Failure::NoRoute { method, path } => not_found(format!("Cannot {method} {path}")),
        }
    }
}

fn parser(status: u16, message: String) -> Spoken {
    spoken(status, Form::Parser("unknown_error"), message)
}

fn body_fault(fault: BodyFault) -> Spoken {
    match fault {
        BodyFault::TooLarge { .. } => parser(413, "request entity too large".to_owned()),
        BodyFault::TimedOut => parser(408, "the request body took too long to arrive".to_owned()),
        BodyFault::UnsupportedEncoding(name) => {
            parser(415, format!("unsupported content encoding {}", text(&name)))
        }
        BodyFault::Malformed => parser(400, "the request body is malformed".to_owned()),
        BodyFault::Broken => parser(400, "request aborted".to_owned()),
    }
}

fn refused(error: CommandError, asked: Asked) -> Spoken {
    match error {
        CommandError::PaymentUnknown => {
            not_found(format!("Payment id not found: {}", asked.payment))
        }
        CommandError::Refused { refusal, .. } => refusal_spoken(&refusal, asked),
        CommandError::KeyReused => key_reused(),
        CommandError::KeyInProgress => conflict(),
        CommandError::Overloaded
        | CommandError::Stopping
        | CommandError::Unstored
        | CommandError::Unreconciled => no_room(),
        CommandError::Store(fault) => {
            tracing::error!(%fault, "a refund was not stored, or may not have been");
            store_failed(NOT_STORED)
        }
        CommandError::BookingRefused { refusal, .. } => {
            tracing::error!(?refusal, "a refund was refused as a capture");
            unknown_error()
        }
    }
}

fn refusal_spoken(refusal: &Refusal, asked: Asked) -> Spoken {
    match refusal {
        Refusal::NotCaptured
        | Refusal::Cancelled
        | Refusal::NothingLeft
        | Refusal::ExceedsLeft { .. } => {
            invalid(if asked.has_amount { MORE_THAN_CAPTURED } else { WHOLE_NOT_THERE })
        }
        Refusal::NotPositive => invalid(super::schema::TOO_SMALL),
        Refusal::Fraction { currency } => too_many_decimals(*currency),
        Refusal::ReasonUnknown => {
            not_found(format!("RefundReason id not found: {}", asked.reason.unwrap_or_default()))
        }
        Refusal::LegUnknown | Refusal::CurrencyDiffers { .. } => {
            tracing::error!(?refusal, "refused for what this dialect cannot ask");
            unknown_error()
        }
    }
}

fn too_many_decimals(currency: Currency) -> Spoken {
    invalid(format!(
        "Invalid request: Value for field 'amount' has too many decimals, {currency} has {}",
        currency.exponent()
    ))
}

fn capture_unknown(id: &str) -> Spoken {
    not_found(format!("Payment with id: {id} was not found"))
}

fn not_captured(error: CommandError, payment: &str) -> Spoken {
    match error {
        CommandError::PaymentUnknown => capture_unknown(payment),
        CommandError::BookingRefused { refusal, .. } => match refusal {
            BookingRefusal::Cancelled => {
                invalid(format!("The payment: {payment} has been canceled."))
            }
            BookingRefusal::NotPositive => invalid(super::schema::TOO_SMALL),
            BookingRefusal::ExceedsCapturable { .. } => invalid(MORE_THAN_AUTHORIZED),
            BookingRefusal::TooMany => invalid("The payment has too many captures for another."),
        },
        CommandError::Overloaded
        | CommandError::Stopping
        | CommandError::Unstored
        | CommandError::Unreconciled => no_room(),
        CommandError::Store(fault) => {
            tracing::error!(%fault, "a capture was not stored, or may not have been");
            store_failed(NOT_STORED)
        }
        CommandError::KeyReused => key_reused(),
        CommandError::KeyInProgress => conflict(),
        CommandError::Refused { .. } => {
            tracing::error!(%error, "a capture was refused as a refund");
            unknown_error()
        }
    }
}

fn not_registered(error: CommandError) -> Spoken {
    match error {
        CommandError::KeyReused => key_reused(),
        CommandError::KeyInProgress => conflict(),
        CommandError::Overloaded
        | CommandError::Stopping
        | CommandError::Unstored
        | CommandError::Unreconciled => no_room(),
        CommandError::Store(fault) => {
            tracing::error!(%fault, "a payment was not registered, or may not have been");
            store_failed(NOT_STORED)
        }
        CommandError::PaymentUnknown
        | CommandError::Refused { .. }
        | CommandError::BookingRefused { .. } => {
            tracing::error!(%error, "a registration was refused as something else");
            unknown_error()
        }
    }
}

/// A provider's error of one of the original's kinds is passed on as that kind; any other is an
/// unknown error (decision V2-9).
fn provider_error(fault: Option<Fault>) -> Spoken {
    let Fault { code, text } = fault.unwrap_or_default();
    match code.as_str() {
        "invalid_data" => invalid(text),
        "not_allowed" => spoken(400, Form::Typed("not_allowed"), text),
        "unauthorized" => spoken(401, Form::Typed("unauthorized"), text),
        "forbidden" => spoken(403, Form::Typed("forbidden"), text),
        "not_found" => not_found(text),
        "conflict" => conflict(),
        "duplicate_error" => {
            spoken(422, Form::Coded("invalid_request_error", "duplicate_error"), text)
        }
        "payment_authorization_error" => {
            spoken(422, Form::Typed("payment_authorization_error"), text)
        }
        "database_error" => store_failed(&text),
        "unexpected_state" => spoken(500, Form::Typed("unexpected_state"), text),
        "invalid_argument" => spoken(500, Form::Typed("invalid_argument"), text),
        _ => unknown_error(),
    }
}

impl Spoken {
    fn body(&self) -> String {
        let message = text(&self.message);
        match self.form {
            Form::Typed(kind) => format!("{{\"type\":\"{kind}\",\"message\":{message}}}"),
            Form::Coded(code, kind) => {
                format!("{{\"code\":\"{code}\",\"type\":\"{kind}\",\"message\":{message}}}")
            }
            Form::Parser(kind) => format!("{{\"message\":{message},\"type\":\"{kind}\"}}"),
            Form::Bare => format!("{{\"message\":{message}}}"),
        }
    }

    fn response(&self) -> Response {
        let status = StatusCode::from_u16(self.status).expect("the statuses above are statuses");
        let mut response = json_response(status, self.body());
        if matches!(self.status, 429 | 503) {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        if matches!(self.form, Form::Parser(_)) {
            response.extensions_mut().insert(Originless);
        }
        response
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        self.spoken().response()
    }
}

/// Any answer of this face.
pub(super) fn json_response(status: StatusCode, body: String) -> Response {
    let kind = HeaderValue::from_static("application/json; charset=utf-8");
    let headers = [(header::CONTENT_TYPE, kind), (header::ETAG, tag(body.as_bytes()))];
    (status, headers, body).into_response()
}

/// Faults found outside of handlers: a path that cannot be decoded, a panic.
pub(super) fn render(status: StatusCode, message: &str, _: &RequestId) -> Response {
    let fault = if status == StatusCode::BAD_REQUEST {
        invalid(format!("Invalid request: {message}"))
    } else {
        unknown_error()
    };
    fault.response()
}

#[cfg(test)]
mod tests;
