//! Every status and error body of this face.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use requite_core::decide::{BookingRefusal, Refusal};
use requite_core::id::PaymentId;
use requite_core::refund::{Fault, Status};
use requite_engine::command::{CommandError, RefundReply};
use requite_engine::read::ReadFault;
use serde::Serialize;

use super::{charge, wire};
use crate::access::Barred;
use crate::desk::{refund_headers, replay_headers};
use crate::http::{BodyFault, RequestId};

/// Seconds after which a client may ask again when nothing was done.
const RETRY_AFTER_S: HeaderValue = HeaderValue::from_static("1");
/// Seconds after which a refund with an unknown outcome may have been looked up.
const RETRY_UNKNOWN_AFTER_S: HeaderValue = HeaderValue::from_static("5");

/// Why a request is answered with an error.
#[derive(Debug)]
pub(super) enum Failure {
    RouteUnknown,
    MethodUnknown,
    /// No token, or one that is not known.
    Unauthenticated,
    TokenRevoked,
    Barred(Barred),
    Body(BodyFault),
    /// A content type other than JSON in UTF-8.
    NotJson,
    Json(crate::json::Fault),
    NotAnObject,
    MemberRepeated(String),
    /// Names the field.
    Invalid(String),
    /// Unknown, or another merchant's.
    ChargeUnknown,
    PaymentUnknown,
    DisputeUnknown,
    /// A checkout's body is not what it may be: 400 in this dialect where a refund's is 422.
    AtCheckout(Box<Failure>),
    Command(CommandError),
    Read(ReadFault),
    /// A payment was made at the checkout and could not be read.
    UnshownPayment(PaymentId),
    /// The refund was asked for, and is not what a 201 may tell.
    Unmade {
        reply: Box<RefundReply>,
        unmade: Unmade,
    },
}

/// What stands in the way of a 201.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unmade {
    /// Its money is reserved and nobody knows yet.
    Open,
    /// The PSP said no.
    Declined(Fault),
    /// Proven not to have happened.
    Failed(Fault),
    /// It stands, and the store could not be read to tell more.
    Unshown,
}

/// Is a refund in this status told with a 201? `None`: yes.
pub(super) fn unmade(status: Status, fault: Option<&Fault>) -> Option<Unmade> {
    let fault = || fault.cloned().unwrap_or_default();
    match status {
        // Waiting for a person is being accepted (decision A11).
        Status::Requested | Status::AwaitingApproval | Status::Held => None,
        Status::Pending | Status::RequiresAction | Status::Succeeded => None,
        // It was made, and came to its end later.
        Status::Voided | Status::Reversed => None,
        Status::Ready | Status::Dispatched | Status::Unknown => Some(Unmade::Open),
        Status::Declined => Some(Unmade::Declined(fault())),
        Status::Failed => Some(Unmade::Failed(fault())),
    }
}

/// What is said, but for headers.
#[derive(Serialize)]
struct Answer {
    #[serde(skip)]
    status: StatusCode,
    error: &'static str,
    message: String,
}

impl Answer {
    fn new(status: StatusCode, error: &'static str, message: impl Into<String>) -> Answer {
        Answer { status, error, message: message.into() }
    }

    fn invalid(message: impl Into<String>) -> Answer {
        Answer::new(StatusCode::UNPROCESSABLE_ENTITY, "validation_error", message)
    }

    fn internal() -> Answer {
        Answer::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "server_error",
            "the request could not be completed because of an internal error",
        )
    }
}

impl Failure {
    fn answer(&self) -> Answer {
        match self {
            Failure::RouteUnknown => {
                Answer::new(StatusCode::NOT_FOUND, "not_found", "Route not found")
            }
            Failure::MethodUnknown => Answer::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "the route does not take this method",
            ),
            Failure::Unauthenticated => Answer::new(
                StatusCode::UNAUTHORIZED,
                "unauthenticated",
                "a valid access token is required",
            ),
            Failure::TokenRevoked => Answer::new(
                StatusCode::UNAUTHORIZED,
                "invalid_token",
                "the access token is expired or revoked",
            ),
            Failure::Barred(Barred::Scope(_)) => Answer::new(
                StatusCode::FORBIDDEN,
                "insufficient_scope",
                "the access token lacks the scope for this route",
            ),
            Failure::Barred(Barred::Rate) => Answer::new(
                StatusCode::TOO_MANY_REQUESTS,
                "rate_limited",
                "too many requests; nothing was done, send the request again shortly",
            ),
            Failure::Body(fault) => body(fault),
            Failure::NotJson => Answer::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "validation_error",
                "the body must be application/json in UTF-8",
            ),
            Failure::Json(fault) => Answer::invalid(format!("the body is not valid JSON: {fault}")),
            Failure::NotAnObject => Answer::invalid("the body must be a JSON object"),
            Failure::MemberRepeated(name) => {
                Answer::invalid(format!("the body names {name:?} more than once"))
            }
            Failure::Invalid(message) => Answer::invalid(message.as_str()),
            Failure::ChargeUnknown => charge_unknown(),
            Failure::PaymentUnknown => payment_unknown(),
            Failure::DisputeUnknown => {
                Answer::new(StatusCode::NOT_FOUND, "dispute_not_found", "Dispute not found")
            }
            Failure::AtCheckout(failure) => {
                let answer = failure.answer();
                let is_form = answer.status == StatusCode::UNPROCESSABLE_ENTITY;
                let status = if is_form { StatusCode::BAD_REQUEST } else { answer.status };
                Answer { status, ..answer }
            }
            Failure::Command(error) => command(error),
            Failure::Read(ReadFault::Unavailable(_)) => command(&CommandError::Overloaded),
            Failure::Read(ReadFault::Store(_)) => Answer::internal(),
            Failure::Unmade { unmade, .. } => not_made(unmade),
            Failure::UnshownPayment(id) => payment_unshown(*id),
        }
    }

    /// Names where an invalid member stands.
    pub(super) fn within(self, place: &str) -> Failure {
        match self {
            Failure::Invalid(message) => Failure::Invalid(format!("{place}: {message}")),
            other => other,
        }
    }

    pub(super) fn log(&self) {
        if let Failure::Command(CommandError::Store(fault)) = self {
            tracing::error!(%fault, "the store failed");
        }
        if let Failure::Read(fault) = self {
            tracing::error!(%fault, "a read failed");
        }
    }

    fn retry_after(&self) -> Option<HeaderValue> {
        let is_unknown = matches!(self, Failure::Unmade { unmade: Unmade::Open, .. });
        use CommandError::{Overloaded, Stopping, Unreconciled, Unstored};
        let is_passing =
            matches!(self, Failure::Command(Overloaded | Stopping | Unreconciled | Unstored))
                || matches!(self, Failure::Read(ReadFault::Unavailable(_)))
                || matches!(self, Failure::Barred(Barred::Rate));
        let after = is_unknown.then_some(RETRY_UNKNOWN_AFTER_S);
        after.or(is_passing.then_some(RETRY_AFTER_S))
    }

    /// Status and texts in one line.
    #[cfg(test)]
    pub(super) fn summary(&self) -> String {
        let answer = self.answer();
        let status = answer.status.as_u16();
        format!("{status} {}: {}", answer.error, answer.message)
    }
}

fn charge_unknown() -> Answer {
    Answer::new(StatusCode::NOT_FOUND, "charge_not_found", "Charge not found")
}

fn payment_unknown() -> Answer {
    Answer::new(StatusCode::NOT_FOUND, "payment_not_found", "Payment not found")
}

fn payment_unshown(id: PaymentId) -> Answer {
    let id = charge::payment_id(id);
    let message = format!(
        "the payment {id} was made and could not be read; read it, or send the request again with \
         the same Idempotency-Key and no other"
    );
    Answer::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", message)
}

fn already_refunded() -> Answer {
    Answer::new(StatusCode::CONFLICT, "already_refunded", "Already refunded")
}

fn body(fault: &BodyFault) -> Answer {
    let status = match fault {
        BodyFault::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        BodyFault::TimedOut => StatusCode::REQUEST_TIMEOUT,
        BodyFault::UnsupportedEncoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        BodyFault::Malformed | BodyFault::Broken => StatusCode::UNPROCESSABLE_ENTITY,
    };
    Answer::new(status, "validation_error", fault.to_string())
}

fn command(error: &CommandError) -> Answer {
    match error {
        // The charge was found before; it is its payment that is not there.
        CommandError::PaymentUnknown => payment_unknown(),
        CommandError::Refused { refusal, .. } => refused(refusal),
        CommandError::BookingRefused { refusal, .. } => capture_refused(refusal),
        CommandError::KeyReused => Answer::new(
            StatusCode::CONFLICT,
            "conflict",
            "the Idempotency-Key was used for another request",
        ),
        CommandError::KeyInProgress => Answer::new(
            StatusCode::CONFLICT,
            "conflict",
            "the first request with this Idempotency-Key is still in progress",
        ),
        CommandError::Overloaded | CommandError::Unstored | CommandError::Unreconciled => {
            Answer::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "temporarily_unavailable",
                "the server is overloaded; nothing was done, send the request again shortly",
            )
        }
        CommandError::Stopping => Answer::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "temporarily_unavailable",
            "the server is stopping; nothing was done, send the request again shortly",
        ),
        CommandError::Store(_) => Answer::internal(),
    }
}

fn refused(refusal: &Refusal) -> Answer {
    let not_succeeded = |why: &str| {
        Answer::new(
            StatusCode::PRECONDITION_FAILED,
            "payment_not_succeeded",
            format!("Payment not succeeded: {why}"),
        )
    };
    match refusal {
        Refusal::LegUnknown => payment_unknown(),
        Refusal::NotCaptured => not_succeeded("nothing was captured"),
        Refusal::Cancelled => not_succeeded("it was canceled"),
        Refusal::NothingLeft => already_refunded(),
        Refusal::CurrencyDiffers { asked, payment } => {
            Answer::invalid(format!("currency is {asked}, the payment's is {payment}"))
        }
        Refusal::NotPositive => Answer::invalid("amount_cents must be greater than 0"),
        Refusal::Fraction { currency } => {
            Answer::invalid(format!("amount_cents has more decimals than {currency} has"))
        }
        Refusal::ExceedsLeft { asked, left } => {
            let left = left.units();
            let asked = asked.map_or_else(String::new, |asked| format!("{} ", asked.units()));
            Answer::invalid(format!(
                "amount_cents {asked}is more than is left to refund, which is {left}"
            ))
        }
        Refusal::ReasonUnknown => Answer::invalid("reason is unknown"),
    }
}

/// No route of this face captures or voids.
fn capture_refused(refusal: &BookingRefusal) -> Answer {
    let message = match refusal {
        BookingRefusal::Cancelled => "the payment was canceled",
        BookingRefusal::NotPositive => "amount_cents must be greater than 0",
        BookingRefusal::ExceedsCapturable { .. } => "amount_cents is more than is authorized",
        BookingRefusal::TooMany => "the payment has too many captures",
    };
    Answer::invalid(message)
}

fn not_made(unmade: &Unmade) -> Answer {
    match unmade {
        // No word of a retry: without a key it would be a second refund.
        Unmade::Unshown => Answer::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "server_error",
            "the refund was made and could not be read; find it in GET /v1/admin/refunds, or send \
             the request again with the same Idempotency-Key and no other",
        ),
        Unmade::Open => Answer::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "temporarily_unavailable",
            "the refund was asked for and its outcome is not known yet; send it again with the same \
             Idempotency-Key, or find it in GET /v1/admin/refunds",
        ),
        Unmade::Declined(fault) => declined(fault),
        Unmade::Failed(fault) => {
            let told = told(fault);
            let message = format!("the refund failed and no money moved{told}");
            Answer::new(StatusCode::BAD_GATEWAY, "stripe_error", message)
        }
    }
}

/// The PSP's no, where the dialect has a word for it.
fn declined(fault: &Fault) -> Answer {
    let told = told(fault);
    match fault.code.as_str() {
        "charge_already_refunded" => already_refunded(),
        "amount_too_large" | "amount_too_small" | "invalid_amount" => {
            Answer::invalid(format!("amount_cents was refused by the PSP{told}"))
        }
        "resource_missing" => charge_unknown(),
        "charge_disputed" | "disputed" => {
            Answer::new(StatusCode::CONFLICT, "conflict", format!("the charge is disputed{told}"))
        }
        _ => Answer::new(
            StatusCode::BAD_GATEWAY,
            "stripe_error",
            format!("the PSP refused the refund{told}"),
        ),
    }
}

/// `: code, text`, as far as the PSP told.
fn told(fault: &Fault) -> String {
    match (fault.code.trim(), fault.text.trim()) {
        ("", "") => String::new(),
        (code, "") => format!(": {code}"),
        ("", text) => format!(": {text}"),
        (code, text) => format!(": {code}, {text}"),
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        self.log();
        let answer = self.answer();
        let mut response = wire::json(answer.status, &answer);
        let headers = response.headers_mut();
        if answer.status == StatusCode::UNAUTHORIZED {
            let bearer = HeaderValue::from_static("Bearer");
            headers.insert(header::WWW_AUTHENTICATE, bearer);
        }
        if let Some(after) = self.retry_after() {
            headers.insert(header::RETRY_AFTER, after);
        }
        let is_replay =
            matches!(&self, Failure::Command(CommandError::Refused { is_replay: true, .. }));
        headers.extend(replay_headers(is_replay));
        if let Failure::Unmade { reply, .. } = &self {
            headers.extend(refund_headers(reply));
        }
        response
    }
}

/// An error that no handler of this face made, in its shape.
pub(super) fn render(status: StatusCode, message: &str, _id: &RequestId) -> Response {
    let error = if status.is_server_error() { "server_error" } else { "validation_error" };
    wire::json(status, &Answer::new(status, error, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_psp_refuses_has_the_dialects_word() {
        for (code, text, said) in [
            ("charge_already_refunded", "x", "409 already_refunded: Already refunded"),
            ("resource_missing", "x", "404 charge_not_found: Charge not found"),
            ("charge_disputed", "", "409 conflict: the charge is disputed: charge_disputed"),
            (
                "amount_too_large",
                "",
                "422 validation_error: amount_cents was refused by the PSP: amount_too_large",
            ),
            ("51", "No funds", "502 stripe_error: the PSP refused the refund: 51, No funds"),
            ("", "", "502 stripe_error: the PSP refused the refund"),
        ] {
            let fault = Fault { code: code.to_owned(), text: text.to_owned() };
            let answer = declined(&fault);
            let status = answer.status.as_u16();
            assert_eq!(format!("{status} {}: {}", answer.error, answer.message), said);
        }
    }

    #[test]
    fn a_201_tells_of_refunds_that_the_psp_has_or_a_person_must_decide() {
        for (status, is_told, word) in [
            (Status::Requested, true, "pending"),
            (Status::AwaitingApproval, true, "pending"),
            (Status::Held, true, "pending"),
            (Status::Ready, false, "pending"),
            (Status::Dispatched, false, "pending"),
            (Status::Unknown, false, "pending"),
            (Status::Pending, true, "pending"),
            (Status::RequiresAction, true, "requires_action"),
            (Status::Succeeded, true, "succeeded"),
            (Status::Declined, false, "failed"),
            (Status::Failed, false, "failed"),
            (Status::Voided, true, "canceled"),
            (Status::Reversed, true, "failed"),
        ] {
            assert_eq!(unmade(status, None).is_none(), is_told, "{status:?}");
            assert_eq!(wire::status_word(status), word, "{status:?}");
        }
    }
}
