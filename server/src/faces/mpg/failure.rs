//! Every status and error body of this face.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use requite_core::decide::{BookingRefusal, Refusal};
use requite_engine::command::CommandError;
use requite_engine::read::ReadFault;
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::wire;
use crate::access::Barred;
use crate::desk::replay_headers;
use crate::http::{BodyFault, RequestId};
use crate::json::Fault;

/// Seconds after which a client may ask again when nothing was done.
const RETRY_AFTER_S: HeaderValue = HeaderValue::from_static("1");

/// What a 422 complains of: members by their names (`source.number`), and why.
pub(super) type Complaints = Vec<(String, Complaint)>;

/// Why a member is complained of. Tells bounds, and never what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Complaint {
    Required,
    NotInteger,
    NotBoolean,
    NotText,
    NotObject,
    TooSmall(i64),
    TooLarge(i64),
    /// Characters.
    TooShort(usize),
    /// Characters.
    TooLong(usize),
    TooManyBytes(usize),
    Nul,
    MemberTwice,
    NotAmong(&'static [&'static str]),
    NotUuid,
    NotCurrency,
    NotCardNumber,
    NotSecurityCode,
    NotAirlineReference,
    NotIpAddress,
    HasCardNumber,
    /// Sent together with a member of this name.
    Besides(&'static str),
    NotKey,
    /// The key was used for something else.
    Reused,
}

/// Why a request is answered with an error.
#[derive(Debug)]
pub(super) enum Failure {
    RouteUnknown,
    MethodUnknown,
    Unauthenticated,
    Barred(Barred),
    /// Unknown, or another merchant's.
    OrderUnknown,
    Body(BodyFault),
    /// A content type other than JSON in UTF-8.
    NotJson,
    Json(Fault),
    NotAnObject,
    MemberRepeated,
    /// In the order of the fields.
    Invalid(Complaints),
    /// One of these stands for another request.
    KeyReused(&'static [&'static str]),
    /// No connector of this server takes cards.
    NoCards,
    /// Nothing holds money for this order, so nothing can be held longer.
    NotAuthorized,
    Command(CommandError),
    Read(ReadFault),
    /// What was asked for is done and could not be shown. With the headers of its answer.
    Unshown(HeaderMap),
}

impl Complaint {
    fn text(self) -> String {
        let plain = match self {
            Complaint::Required => "The value is required.",
            Complaint::NotInteger => "The value must be an integer.",
            Complaint::NotBoolean => "The value must be a boolean.",
            Complaint::NotText => "The value must be a string.",
            Complaint::NotObject => "The value must be an object.",
            Complaint::Nul => "The value must not contain a NUL character.",
            Complaint::MemberTwice => "The value must not name a member twice.",
            Complaint::NotUuid => "The value must be a valid UUID.",
            Complaint::NotCurrency => "The value must be a valid ISO 4217 currency code.",
            Complaint::NotCardNumber => "The value must be a valid card number.",
            Complaint::NotSecurityCode => "The value must be 3 or 4 digits.",
            Complaint::NotAirlineReference => "The value must be 6 to 15 letters or digits.",
            Complaint::NotIpAddress => "The value must be a valid IP address.",
            Complaint::HasCardNumber => "The value must not contain the card number.",
            Complaint::NotKey => {
                "The Idempotency-Key header must be sent once, with 1 to 255 visible characters."
            }
            Complaint::Reused => "The value was already used for another request.",
            Complaint::TooSmall(least) => {
                return format!("The value must be greater than or equal to {least}.");
            }
            Complaint::TooLarge(most) => {
                return format!("The value must be less than or equal to {most}.");
            }
            Complaint::TooShort(least) => {
                return format!("The value must have at least {least} characters.");
            }
            Complaint::TooLong(most) => {
                return format!("The value must have at most {most} characters.");
            }
            Complaint::TooManyBytes(most) => {
                return format!("The value must have at most {most} bytes.");
            }
            Complaint::NotAmong(words) => {
                return format!("The value must be one of {}.", words.join(", "));
            }
            Complaint::Besides(other) => {
                return format!("The value must not be sent together with {other}.");
            }
        };
        plain.to_owned()
    }
}

/// What is said, but for headers.
struct Answer {
    status: StatusCode,
    message: String,
    complaints: Complaints,
}

impl Answer {
    fn new(status: StatusCode, message: impl Into<String>) -> Answer {
        Answer { status, message: message.into(), complaints: Vec::new() }
    }

    fn invalid(complaints: Complaints) -> Answer {
        Answer {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            message: "Data validation failed".to_owned(),
            complaints,
        }
    }
}

impl Failure {
    fn answer(&self) -> Answer {
        match self {
            Failure::RouteUnknown => Answer::new(StatusCode::NOT_FOUND, "The route was not found."),
            Failure::MethodUnknown => {
                Answer::new(StatusCode::METHOD_NOT_ALLOWED, "The route does not take this method.")
            }
            Failure::Unauthenticated => {
                Answer::new(StatusCode::UNAUTHORIZED, "Missing authentication information")
            }
            Failure::Barred(Barred::Scope(_)) => Answer::new(StatusCode::FORBIDDEN, "Unauthorized"),
            Failure::Barred(Barred::Rate) => Answer::new(
                StatusCode::TOO_MANY_REQUESTS,
                "Too many requests. Nothing was done, send the request again shortly.",
            ),
            Failure::OrderUnknown => order_unknown(),
            Failure::Body(fault) => body(fault),
            Failure::NotJson => Answer::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "The request body must be application/json in UTF-8.",
            ),
            Failure::Json(fault) => Answer::new(
                StatusCode::BAD_REQUEST,
                format!("The request body is not valid JSON: {fault}."),
            ),
            Failure::NotAnObject => {
                Answer::new(StatusCode::BAD_REQUEST, "The request body must be a JSON object.")
            }
            Failure::MemberRepeated => Answer::new(
                StatusCode::BAD_REQUEST,
                "The request body names a member more than once.",
            ),
            Failure::Invalid(complaints) => Answer::invalid(complaints.clone()),
            Failure::KeyReused(names) => Answer::invalid(
                names.iter().map(|name| ((*name).to_owned(), Complaint::Reused)).collect(),
            ),
            Failure::NoCards => Answer::new(
                StatusCode::BAD_REQUEST,
                "This server takes no cards: its setting mpg.connector is manual.",
            ),
            Failure::NotAuthorized => Answer::new(
                StatusCode::BAD_REQUEST,
                "The Order is not extendable: it does not begin with an approved authorize.",
            ),
            Failure::Command(error) => command(error),
            Failure::Read(ReadFault::Unavailable(_)) => command(&CommandError::Overloaded),
            Failure::Read(ReadFault::Store(_)) => Answer::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "The request could not be answered because of an internal error.",
            ),
            Failure::Unshown(_) => Answer::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "The request was carried out, but the Order could not be read. Read the Order again, or \
                 send the request again with the same idempotency key.",
            ),
        }
    }

    pub(super) fn log(&self) {
        if let Failure::Command(CommandError::Store(fault)) = self {
            tracing::error!(%fault, "the store failed");
        }
        if let Failure::Read(fault) = self {
            tracing::error!(%fault, "a read failed");
        }
        if let Failure::Unshown(headers) = self {
            tracing::error!(?headers, "an order that was changed could not be shown");
        }
    }

    /// Status and texts in one line.
    #[cfg(test)]
    pub(super) fn summary(&self) -> String {
        let answer = self.answer();
        let texts: Vec<String> = answer
            .complaints
            .iter()
            .map(|(name, complaint)| format!("{name}: {}", complaint.text()))
            .collect();
        let text = if texts.is_empty() { answer.message } else { texts.join(", ") };
        format!("{} {text}", answer.status.as_u16())
    }
}

fn order_unknown() -> Answer {
    Answer::new(StatusCode::NOT_FOUND, "The Order you are looking for was not found.")
}

fn body(fault: &BodyFault) -> Answer {
    let status = match fault {
        BodyFault::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        BodyFault::TimedOut => StatusCode::REQUEST_TIMEOUT,
        BodyFault::UnsupportedEncoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        BodyFault::Malformed | BodyFault::Broken => StatusCode::BAD_REQUEST,
    };
    Answer::new(status, format!("The request body was not read: {fault}."))
}

fn command(error: &CommandError) -> Answer {
    match error {
        CommandError::PaymentUnknown => order_unknown(),
        CommandError::Refused { refusal, .. } => refused(refusal),
        CommandError::BookingRefused { refusal, .. } => booking_refused(refusal),
        CommandError::KeyReused => {
            Answer::invalid(vec![("idempotency_key".to_owned(), Complaint::Reused)])
        }
        CommandError::KeyInProgress => {
            Answer::new(StatusCode::BAD_REQUEST, "Initial request is still processing.")
        }
        CommandError::Overloaded | CommandError::Unstored | CommandError::Unreconciled => {
            Answer::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "The server is overloaded. Nothing was done, send the request again shortly.",
            )
        }
        CommandError::Stopping => Answer::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "The server is stopping. Nothing was done, send the request again shortly.",
        ),
        CommandError::Store(_) => Answer::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "The request could not be completed because of an internal error.",
        ),
    }
}

/// A business rule says no: 400, naming what is left (decision M2).
fn refused(refusal: &Refusal) -> Answer {
    let text = match refusal {
        Refusal::LegUnknown => "The Order has no such payment method.".to_owned(),
        Refusal::NotCaptured => {
            "The Order is not refundable: nothing is captured, the refundable amount is 0."
                .to_owned()
        }
        Refusal::Cancelled => {
            "The Order is not refundable: it was cancelled, the refundable amount is 0.".to_owned()
        }
        Refusal::NothingLeft => {
            "The Order is not refundable: the refundable amount is 0.".to_owned()
        }
        Refusal::CurrencyDiffers { asked, payment } => {
            format!("The currency is {asked}, the Order's is {payment}.")
        }
        Refusal::NotPositive => {
            return Answer::invalid(vec![("amount".to_owned(), Complaint::TooSmall(1))]);
        }
        Refusal::Fraction { currency } => {
            format!("The amount has more decimals than {currency} has.")
        }
        Refusal::ExceedsLeft { asked, left } => {
            let left = left.units();
            let asked = asked.map_or_else(String::new, |asked| format!("{} ", asked.units()));
            format!("The amount {asked}exceeds the refundable amount, which is {left}.")
        }
        Refusal::ReasonUnknown => "The refund reason is unknown.".to_owned(),
    };
    Answer::new(StatusCode::BAD_REQUEST, text)
}

fn booking_refused(refusal: &BookingRefusal) -> Answer {
    let text = match refusal {
        BookingRefusal::Cancelled => {
            "The Order holds nothing: it was declined, cancelled, or only verified a card."
                .to_owned()
        }
        BookingRefusal::NotPositive => {
            return Answer::invalid(vec![("amount".to_owned(), Complaint::TooSmall(1))]);
        }
        BookingRefusal::ExceedsCapturable { asked, capturable } => {
            let asked = asked.map_or_else(String::new, |asked| format!("{} ", asked.units()));
            let left = capturable.units();
            format!("The amount {asked}exceeds the capturable amount, which is {left}.")
        }
        BookingRefusal::TooMany => "The Order has too many captures.".to_owned(),
    };
    Answer::new(StatusCode::BAD_REQUEST, text)
}

/// `{"message"}`, and `errors` where fields are complained of.
struct Words<'a> {
    message: &'a str,
    complaints: &'a [(String, Complaint)],
}

impl Serialize for Words<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("message", self.message)?;
        if !self.complaints.is_empty() {
            map.serialize_entry("errors", &Errors(self.complaints))?;
        }
        map.end()
    }
}

struct Errors<'a>(&'a [(String, Complaint)]);

impl Serialize for Errors<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let texts = self.0.iter().map(|(name, complaint)| (name, [complaint.text()]));
        serializer.collect_map(texts)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        self.log();
        let answer = self.answer();
        let words = Words { message: &answer.message, complaints: &answer.complaints };
        let mut response = wire::json(answer.status, &words);
        let headers = response.headers_mut();
        if answer.status == StatusCode::UNAUTHORIZED {
            let bearer = HeaderValue::from_static("Bearer");
            headers.insert(header::WWW_AUTHENTICATE, bearer);
        }
        let is_passing = [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS]
            .contains(&answer.status);
        if is_passing {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER_S);
        }
        let is_replay = matches!(
            &self,
            Failure::Command(
                CommandError::Refused { is_replay: true, .. }
                    | CommandError::BookingRefused { is_replay: true, .. }
            )
        );
        headers.extend(replay_headers(is_replay));
        if let Failure::Unshown(shown) = &self {
            headers.extend(shown.clone());
        }
        response
    }
}

/// An error that no handler of this face made, in its shape.
pub(super) fn render(status: StatusCode, message: &str, _id: &RequestId) -> Response {
    let words = Words { message, complaints: &[] };
    wire::json(status, &words)
}
