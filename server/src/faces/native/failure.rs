//! Every status and error body of the native API.
//!
//! `{"error": {"code", "message", "details": [{"pointer", "message"}]}}`: `code` is for
//! programs, `message` says what happened, with the numbers, and what to do next. A refusal that is
//! about money also has `asked` and `left` in minor units.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use requite_core::decide::{BookingRefusal, Refusal};
use requite_core::id::{PaymentId, uuid_text};
use requite_core::money::Minor;
use requite_core::refund::Fault as PspFault;
use requite_engine::command::CommandError;
use requite_engine::read::ReadFault;
use serde_json::{Value, json};

use super::fields::{FAULTS_MAX, Fault};
use super::view::{self, Shown};
use super::wire::json_answer;
use crate::access::Barred;
use crate::desk::replay_headers;
use crate::http::{BodyFault, RequestId};

/// An answer that says no.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    status: StatusCode,
    code: &'static str,
    message: String,
    details: Vec<Value>,
    /// Further members of the error.
    numbers: Vec<(&'static str, Value)>,
    pub(crate) is_replay: bool,
}

impl Failure {
    pub(crate) fn new(
        status: StatusCode,
        code: &'static str,
        message: impl Into<String>,
    ) -> Failure {
        Failure {
            status,
            code,
            message: message.into(),
            details: Vec::new(),
            numbers: Vec::new(),
            is_replay: false,
        }
    }

    fn with(mut self, name: &'static str, value: Value) -> Failure {
        self.numbers.push((name, value));
        self
    }

    /// 422: the body, or a parameter, is not what may stand there.
    pub(crate) fn invalid(faults: &[Fault]) -> Failure {
        let first = faults.first();
        let message = first.map_or("the request is invalid".to_owned(), |fault| {
            let more = faults.len().saturating_sub(1);
            let more = if more == 0 { String::new() } else { format!(" (and {more} more)") };
            let place = if fault.pointer.is_empty() { "the body" } else { &fault.pointer };
            format!("{place} {}{more}", fault.message)
        });
        let mut failure = Failure::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", message);
        failure.details = faults
            .iter()
            .take(FAULTS_MAX)
            .map(|fault| json!({"pointer": fault.pointer, "message": fault.message}))
            .collect();
        failure
    }

    /// 400: a parameter of the query.
    pub(crate) fn parameter(name: &str, rule: &str) -> Failure {
        let name: String = name.chars().take(64).collect();
        let message = format!("the parameter {name:?} {rule}");
        Failure::new(StatusCode::BAD_REQUEST, "invalid_parameter", message)
    }

    pub(crate) fn unauthorized() -> Failure {
        let message = "no valid key; send one of this API as Authorization: Bearer rq_... \
                       (requite key create --face native)";
        Failure::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
    }

    pub(crate) fn barred(barred: Barred) -> Failure {
        match barred {
            Barred::Scope(scope) => {
                let message = format!("the key has not the scope {scope}; use one that has it");
                let failure = Failure::new(StatusCode::FORBIDDEN, "forbidden", message);
                failure.with("scope", json!(scope))
            }
            Barred::Rate => {
                let message = "too many requests; nothing was done, try again shortly";
                Failure::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", message)
            }
        }
    }

    pub(crate) fn not_found(what: &str) -> Failure {
        let message = format!("no such {what}; see GET /api/{what}s for those there are");
        Failure::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// 422: a key stands for one request.
    pub(crate) fn key_reused() -> Failure {
        let message =
            "the Idempotency-Key was used for another request; take a new key for a new request";
        Failure::new(StatusCode::UNPROCESSABLE_ENTITY, "key_reused", message)
    }

    /// 409: the PSP said no to a capture or void.
    pub(crate) fn declined(is_void: bool, fault: &PspFault) -> Failure {
        let (code, what) = match is_void {
            true => ("void_declined", "void: the money is still held"),
            false => ("capture_declined", "capture: nothing was taken"),
        };
        let message = format!("the PSP declined the {what} ({}: {})", fault.code, fault.text);
        let told = view::fault(Some(fault)).unwrap_or_default();
        Failure::new(StatusCode::CONFLICT, code, message).with("declined", told)
    }

    /// 500: it is carried out, and the store could not be read to show what came of it. Saying no more than that would
    /// invite a second one.
    pub(crate) fn unshown(place: &str) -> Failure {
        let message = format!(
            "it is carried out, and could not be read back; see GET {place}, or repeat it with the \
                     same Idempotency-Key and no other"
        );
        Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "unshown", message)
    }

    /// 409: a registration that differs from the payment that is there.
    pub(crate) fn differs(payment: PaymentId) -> Failure {
        let id = uuid_text(payment.bits());
        let message = format!(
            "the payment {id} is registered with this id or external_identifier and says otherwise; \
             nothing was changed"
        );
        Failure::new(StatusCode::CONFLICT, "payment_differs", message).with("payment", json!(id))
    }
}

/// The rendering of faults that happen around the handlers (a panic, an undecodable path).
pub(crate) fn render(status: StatusCode, text: &str, id: &RequestId) -> Response {
    let code = if status.is_server_error() { "internal" } else { "bad_request" };
    Failure::new(status, code, text).with("request_id", json!(id.as_str())).into_response()
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let error = Shown::new()
            .member("code", self.code)
            .member("message", &self.message)
            .member("details", &self.details);
        let numbers = self.numbers.iter();
        let error = numbers.fold(error, |error, (name, value)| error.member(name, value));
        let text = Shown::new().raw("error", &error.text()).text();
        let mut response = json_answer(self.status, text);
        let headers = response.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        let is_passing =
            [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS].contains(&self.status);
        if is_passing {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        headers.extend(replay_headers(self.is_replay));
        response
    }
}

impl From<ReadFault> for Failure {
    fn from(fault: ReadFault) -> Failure {
        tracing::error!(%fault, "a read failed");
        let message = "the store could not be read, and this request changed nothing; send it again, \
                       with the same Idempotency-Key if it has one";
        Failure::new(StatusCode::SERVICE_UNAVAILABLE, "store_unreadable", message)
    }
}

impl From<BodyFault> for Failure {
    fn from(fault: BodyFault) -> Failure {
        let (status, code) = match fault {
            BodyFault::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"),
            BodyFault::TimedOut => (StatusCode::REQUEST_TIMEOUT, "body_timed_out"),
            BodyFault::UnsupportedEncoding(_) => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "encoding_unsupported")
            }
            BodyFault::Malformed | BodyFault::Broken => (StatusCode::BAD_REQUEST, "body_malformed"),
        };
        Failure::new(status, code, fault.to_string())
    }
}

/// What the engine says no to.
pub(crate) fn of_command(error: CommandError) -> Failure {
    match error {
        CommandError::PaymentUnknown => Failure::not_found("payment"),
        CommandError::Refused { refusal, is_replay } => Failure { is_replay, ..refused(&refusal) },
        CommandError::BookingRefused { refusal, is_replay } => {
            Failure { is_replay, ..booking_refused(refusal) }
        }
        CommandError::KeyReused => Failure::key_reused(),
        CommandError::KeyInProgress => Failure::new(
            StatusCode::CONFLICT,
            "key_in_progress",
            "the first request with this Idempotency-Key is still being answered; repeat it shortly",
        ),
        CommandError::Overloaded => Failure::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "overloaded",
            "too much is going on; nothing was done, try again shortly",
        ),
        CommandError::Unstored => Failure::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "store_unavailable",
            "the store takes nothing now; nothing was done, try again shortly",
        ),
        CommandError::Unreconciled => Failure::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "reconciling",
            "a backup was restored, and what was refunded since is being read; nothing was done, try again \
             shortly",
        ),
        CommandError::Stopping => Failure::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "stopping",
            "the server is stopping; nothing was done, try again shortly",
        ),
        CommandError::Store(fault) => {
            tracing::error!(%fault, "a command was not committed");
            Failure::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "store_failed",
                "it is not known whether this was done; look at the payment, or repeat the request \
                 with its Idempotency-Key or external_identifier",
            )
        }
    }
}

fn refused(refusal: &Refusal) -> Failure {
    let conflict = |code, message: &str| Failure::new(StatusCode::CONFLICT, code, message);
    let invalid =
        |code, message: &str| Failure::new(StatusCode::UNPROCESSABLE_ENTITY, code, message);
    match refusal {
        Refusal::LegUnknown => invalid(
            "leg_unknown",
            "the payment has no such leg; take an id from its legs, or leave leg out",
        ),
        Refusal::NotCaptured => conflict(
            "not_captured",
            "nothing of this leg was captured, so there is nothing to give back",
        ),
        Refusal::Cancelled => conflict(
            "payment_canceled",
            "the payment was canceled as a whole, so there is nothing to give back",
        ),
        Refusal::NothingLeft => conflict(
            "nothing_left",
            "all of this leg is given back or reserved by open refunds; 0 is left",
        )
        .with("left", json!(0)),
        Refusal::CurrencyDiffers { asked, payment } => {
            let message = format!("{asked} was asked, and the payment is in {payment}");
            invalid("currency_differs", &message)
        }
        Refusal::NotPositive => invalid("invalid", "/amount must be above 0"),
        Refusal::Fraction { currency } => {
            let message = format!("/amount has more decimals than {currency}");
            invalid("invalid", &message)
        }
        Refusal::ExceedsLeft { asked, left } => exceeds(*asked, *left),
        Refusal::ReasonUnknown => invalid("reason_unknown", "there is no such refund reason"),
    }
}

fn exceeds(asked: Option<Minor>, left: Minor) -> Failure {
    let left = left.units();
    let asked = asked.map(Minor::units);
    let shown = asked.map_or("more than any amount".to_owned(), |asked| asked.to_string());
    let message =
        format!("{shown} was asked and {left} is left (minor units); ask for at most {left}");
    Failure::new(StatusCode::CONFLICT, "exceeds_refundable", message)
        .with("asked", json!(asked))
        .with("left", json!(left))
}

fn booking_refused(refusal: BookingRefusal) -> Failure {
    match refusal {
        BookingRefusal::Cancelled => Failure::new(
            StatusCode::CONFLICT,
            "payment_canceled",
            "the payment was canceled as a whole, so nothing of it can be captured or voided",
        ),
        BookingRefusal::NotPositive => {
            let message = "/amount must be above 0";
            Failure::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", message)
        }
        BookingRefusal::ExceedsCapturable { asked, capturable } => {
            let left = capturable.units();
            let asked = asked.map(Minor::units);
            let message = format!(
                "only {left} (minor units) is authorised and neither captured nor voided; \
                 ask for at most {left}"
            );
            Failure::new(StatusCode::CONFLICT, "exceeds_capturable", message)
                .with("asked", json!(asked))
                .with("left", json!(left))
        }
        BookingRefusal::TooMany => {
            let most = requite_core::payment::CAPTURES_MAX;
            let message =
                format!("the payment has {most} captures, which is the most there can be");
            Failure::new(StatusCode::CONFLICT, "too_many_captures", message)
        }
    }
}
