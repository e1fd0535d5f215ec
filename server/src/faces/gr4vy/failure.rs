//! Every error of this face: one enum, one match, one shape.
//!
//! The shape is Gr4vy's: `{type, code, status, message, details}`, and `resource_id` with a 409.
//! Their SDKs have a class for each of 400, 401, 403, 404, 405, 409, 425, 429, 500, 502 and 504 and
//! throw a nameless one for all others, so those are what is answered wherever a choice exists: an
//! over-refund is 400 and overload is 429. `details` is never null, and no detail lacks a member:
//! either would make an SDK throw a parsing error in place of ours.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use requite_core::decide::{BookingRefusal, Refusal};
use requite_core::id::{PaymentId, uuid_text};
use requite_core::payment::CAPTURES_MAX;
use requite_engine::command::{CommandError, RefundReply};
use requite_engine::read::ReadFault;
use serde::Serialize;

use super::json;
use crate::desk::{refund_headers, replay_headers};
use crate::http::{BodyFault, RequestId};

/// Seconds a client is asked to wait when nothing was done for it.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

const KEY_REUSED: &str = "The idempotency key was used for another request; use a new one for this";
const KEY_IN_PROGRESS: &str =
    "A request with this idempotency key is still in progress; send it again in a moment";
const DUPLICATE: &str = "A duplicate record exists with this external_identifier value";
const TRANSACTION_MADE: &str = "The request was carried out and the transaction cannot be shown \
                                now; read it later, do not repeat the request";

/// Where in a request a detail's fault lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Location {
    Body,
    Query,
    Path,
    Header,
}

/// What is wrong with one part of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Detail {
    pub location: Location,
    /// A JSON pointer for bodies (empty: the body as a whole); the bare name elsewhere.
    pub pointer: String,
    pub message: String,
    /// Named as the original's validator names its complaints: `value_error.missing`.
    #[serde(rename = "type")]
    pub kind: &'static str,
}

impl Detail {
    pub(super) fn new(
        location: Location,
        pointer: impl Into<String>,
        message: impl Into<String>,
        kind: &'static str,
    ) -> Detail {
        Detail { location, pointer: pointer.into(), message: message.into(), kind }
    }
}

/// Why a request was not done.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// No token, or none that is worth anything. Why is in our log, never in the answer.
    Unauthenticated,
    /// The token, or its key, lacks this scope.
    Forbidden {
        scope: &'static str,
    },
    /// No such transaction, refund or account, or another merchant's: equal bytes (A6).
    NotFound,
    NoSuchRoute,
    NotAllowed,
    /// The request itself is wrong. At least one detail.
    Invalid(Vec<Detail>),
    TooLarge {
        max: usize,
    },
    TooSlow,
    /// The engine said no.
    Refused {
        refusal: Refusal,
        is_replay: bool,
    },
    /// The idempotency key stands for another request (G3).
    KeyReused,
    /// The idempotency key's first request is still running (G3).
    KeyInProgress,
    /// Nothing was done; the same request may be sent again.
    Busy,
    /// A refund was made and cannot be shown. Never a status that SDKs send again upon (A5).
    Unshown(RefundReply),
    /// A capture or void that the engine refused.
    BookingRefused {
        refusal: BookingRefusal,
        is_replay: bool,
    },
    /// The external identifier belongs to this transaction.
    Duplicate(PaymentId),
    /// A transaction was made or changed and cannot be shown.
    UnshownTransaction(PaymentId),
    /// Our fault. The cause is in our log.
    Broken,
}

impl Failure {
    /// One thing is wrong.
    pub(super) fn invalid(detail: Detail) -> Failure {
        Failure::Invalid(vec![detail])
    }

    fn answer(self) -> Answer {
        match self {
            Failure::Unauthenticated => {
                let message = "No valid API authentication found";
                Answer::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
                    .with(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
            }
            Failure::Forbidden { scope } => {
                let message = format!("This call needs the scope {scope}");
                Answer::new(StatusCode::FORBIDDEN, "forbidden", message)
            }
            Failure::NotFound => {
                let message = "The resource could not be found";
                Answer::new(StatusCode::NOT_FOUND, "not_found", message)
            }
            Failure::NoSuchRoute => {
                let message = "There is nothing at this path";
                Answer::new(StatusCode::NOT_FOUND, "not_found", message)
            }
            Failure::NotAllowed => {
                let message = "Method Not Allowed";
                Answer::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
            }
            Failure::Invalid(details) => Answer::bad_request("Request failed validation", details),
            Failure::TooLarge { max } => {
                let message = format!("The body is larger than {max} bytes");
                Answer::new(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", message)
            }
            Failure::TooSlow => {
                let message = "The body took too long to arrive";
                Answer::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", message)
            }
            Failure::Refused { refusal, is_replay } => {
                Answer::refusal(refused(&refusal), is_replay)
            }
            Failure::BookingRefused { refusal, is_replay } => {
                Answer::refusal(booking_refused(&refusal), is_replay)
            }
            Failure::KeyReused => Answer::conflict("idempotency_mismatch", KEY_REUSED, None),
            Failure::KeyInProgress => Answer::conflict("concurrent_request", KEY_IN_PROGRESS, None),
            Failure::Duplicate(payment) => {
                Answer::conflict("duplicate_record", DUPLICATE, Some(payment.bits()))
            }
            Failure::Busy => {
                let message = "Too many requests";
                Answer::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", message)
                    .with(header::RETRY_AFTER, RETRY_AFTER)
            }
            Failure::Unshown(reply) => {
                let message =
                    "The refund was made and cannot be shown now; read it later, do not repeat it";
                let mut answer =
                    Answer::conflict("refund_made", message, Some(reply.refund.refund.bits()));
                answer.headers = refund_headers(&reply);
                answer
            }
            Failure::UnshownTransaction(payment) => {
                Answer::conflict("transaction_made", TRANSACTION_MADE, Some(payment.bits()))
            }
            Failure::Broken => {
                let message = "Request could not be processed";
                Answer::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", message)
            }
        }
    }
}

/// What our refusals read as. G1: those about the transaction's money point at `/amount`, also
/// when the body names none.
fn refused(refusal: &Refusal) -> Detail {
    let (pointer, message) = match refusal {
        Refusal::LegUnknown => {
            ("/target_id", "The transaction has no such gift card redemption".to_owned())
        }
        Refusal::NotCaptured => (
            "/amount",
            "Nothing of the transaction is captured; void it instead of refunding it".to_owned(),
        ),
        Refusal::Cancelled => ("/amount", "The transaction is canceled".to_owned()),
        Refusal::NothingLeft => {
            ("/amount", "All that was captured is refunded or on its way: 0 is left".to_owned())
        }
        Refusal::CurrencyDiffers { asked, payment } => {
            ("/currency", format!("The currency {asked} is not the transaction's, {payment}"))
        }
        Refusal::NotPositive => ("/amount", "The amount must be at least 1".to_owned()),
        Refusal::Fraction { currency } => {
            ("/amount", format!("The amount has more decimals than {currency}"))
        }
        Refusal::ExceedsLeft { asked, left } => {
            let left = left.units();
            let message = match asked {
                Some(asked) => format!("The amount {} exceeds the {left} left", asked.units()),
                None => format!("The amount exceeds the {left} left"),
            };
            ("/amount", message)
        }
        Refusal::ReasonUnknown => ("/reason", "The reason is unknown".to_owned()),
    };
    Detail::new(Location::Body, pointer, message, "value_error")
}

/// As [`refused`]; a void has no body, and no amount that could be mended.
fn booking_refused(refusal: &BookingRefusal) -> Detail {
    let message = match refusal {
        BookingRefusal::Cancelled => {
            "The transaction was declined or canceled: nothing of it can be taken or let go"
                .to_owned()
        }
        BookingRefusal::NotPositive => "The amount must be at least 1".to_owned(),
        BookingRefusal::ExceedsCapturable { asked, capturable } => {
            let left = capturable.units();
            match asked {
                Some(asked) => {
                    let asked = asked.units();
                    format!("The amount {asked} exceeds the {left} that are still authorized")
                }
                None if left == 0 => "Nothing is authorized any more: 0 is left".to_owned(),
                None => format!("The amount exceeds the {left} that are still authorized"),
            }
        }
        BookingRefusal::TooMany => {
            format!("The transaction has {CAPTURES_MAX} captures, which is the most it may have")
        }
    };
    Detail::new(Location::Body, "/amount", message, "value_error")
}

impl From<CommandError> for Failure {
    fn from(error: CommandError) -> Failure {
        match error {
            CommandError::PaymentUnknown => Failure::NotFound,
            CommandError::Refused { refusal, is_replay } => Failure::Refused { refusal, is_replay },
            CommandError::KeyReused => Failure::KeyReused,
            CommandError::KeyInProgress => Failure::KeyInProgress,
            CommandError::Overloaded
            | CommandError::Stopping
            | CommandError::Unstored
            | CommandError::Unreconciled => Failure::Busy,
            CommandError::BookingRefused { refusal, is_replay } => {
                Failure::BookingRefused { refusal, is_replay }
            }
            CommandError::Store(_) => {
                tracing::error!(%error, "a command was not answered");
                Failure::Broken
            }
        }
    }
}

impl From<ReadFault> for Failure {
    fn from(fault: ReadFault) -> Failure {
        tracing::error!(%fault, "a read failed");
        match fault {
            ReadFault::Unavailable(_) => Failure::Busy,
            ReadFault::Store(_) => Failure::Broken,
        }
    }
}

impl From<BodyFault> for Failure {
    fn from(fault: BodyFault) -> Failure {
        let text = fault.to_string();
        match fault {
            BodyFault::TooLarge { max } => Failure::TooLarge { max },
            BodyFault::TimedOut => Failure::TooSlow,
            BodyFault::UnsupportedEncoding(_) => {
                let (name, kind) = ("content-encoding", "value_error");
                Failure::invalid(Detail::new(Location::Header, name, text, kind))
            }
            BodyFault::Malformed | BodyFault::Broken => {
                Failure::invalid(Detail::new(Location::Body, "", text, "value_error"))
            }
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        self.answer().into_response()
    }
}

/// Spells what the layers around this face found: a path that cannot be read, or a panic.
pub(super) fn spell(status: StatusCode, text: &str, _id: &RequestId) -> Response {
    let failure = if status == StatusCode::BAD_REQUEST {
        Failure::invalid(Detail::new(Location::Path, "path", text, "value_error"))
    } else {
        Failure::Broken
    };
    failure.into_response()
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: ErrorBody,
}

#[derive(Serialize)]
struct ErrorBody {
    #[serde(rename = "type")]
    kind: &'static str,
    code: &'static str,
    status: u16,
    message: String,
    details: Vec<Detail>,
    /// Only with a 409, where it may be null.
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_id: Option<Option<String>>,
}

impl Answer {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Answer {
        Answer {
            status,
            headers: HeaderMap::new(),
            body: ErrorBody {
                kind: "error",
                code,
                status: status.as_u16(),
                message: message.into(),
                details: Vec::new(),
                resource_id: None,
            },
        }
    }

    fn bad_request(message: impl Into<String>, details: Vec<Detail>) -> Answer {
        let mut answer = Answer::new(StatusCode::BAD_REQUEST, "bad_request", message);
        answer.body.details = details;
        answer
    }

    fn refusal(detail: Detail, is_replay: bool) -> Answer {
        let answer = Answer::bad_request(detail.message.clone(), vec![detail]);
        if is_replay { answer.replayed() } else { answer }
    }

    fn conflict(code: &'static str, message: &str, resource: Option<u128>) -> Answer {
        let mut answer = Answer::new(StatusCode::CONFLICT, code, message);
        answer.body.resource_id = Some(resource.map(uuid_text));
        answer
    }

    fn with(mut self, name: header::HeaderName, value: HeaderValue) -> Answer {
        self.headers.insert(name, value);
        self
    }

    fn replayed(mut self) -> Answer {
        self.headers.extend(replay_headers(true));
        self
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        json(self.status, self.headers, &self.body)
    }
}

#[cfg(test)]
mod tests;
