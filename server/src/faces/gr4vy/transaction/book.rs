//! Captures and voids of an authorised transaction, and two calls that change nothing here: a cancel,
//! which the API has for transactions that wait for the buyer, and a sync with the PSP. No
//! transaction waits for anybody here, and what a PSP did is known when it is shown.
//!
//! A capture or void that the connector declines is a 200 as well: its status says so, and the
//! transaction is as it was. What the books do not allow is a 400, and nothing was tried.

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use requite_core::id::{PaymentId, uuid_text};
use requite_core::refund::Fault;
use requite_engine::command::{Booked, Booking, BookingRequest, Trace};
use requite_engine::read::PaymentView;
use serde::Serialize;

use super::super::auth;
use super::super::failure::Failure;
use super::super::form::Form;
use super::super::wire::{self, AMOUNT_MAX};
use super::super::{json, spelling};
use super::{Members, fault, transaction};
use crate::access::{Actor, Caller};
use crate::desk::{self, Desk, Unseen, replay_headers};
use crate::json::{self as reader, Json, Kind};

/// Longest external identifier of a capture, in characters.
const EXTERNAL_IDENTIFIER_MAX: usize = 200;

/// What became of a capture, void or cancel, around the transaction as it was then.
#[derive(Serialize)]
struct Done {
    #[serde(rename = "type")]
    kind: &'static str,
    status: &'static str,
    code: Option<&'static str>,
    raw_response_code: Option<String>,
    raw_response_description: Option<String>,
    transaction: Members,
    #[serde(flatten)]
    capture: Option<CaptureNames>,
}

#[derive(Serialize)]
struct CaptureNames {
    capture_id: String,
    payment_service_capture_id: Option<String>,
    external_identifier: Option<String>,
}

impl Done {
    fn new(kind: &'static str, transaction: Members, fault: Option<&Fault>) -> Done {
        let filled = |text: &String| (!text.is_empty()).then(|| text.clone());
        Done {
            kind,
            status: fault.map_or("succeeded", fault::status),
            code: fault.map(fault::error_code),
            raw_response_code: fault.and_then(|fault| filled(&fault.code)),
            raw_response_description: fault.and_then(|fault| filled(&fault.text)),
            transaction,
            capture: None,
        }
    }
}

/// A capture as asked for.
#[derive(Debug, Default, PartialEq, Eq)]
struct CaptureWish {
    /// Minor units, 1 to [`AMOUNT_MAX`]; absent: all that is authorised.
    amount: Option<i64>,
    is_final: bool,
    external_identifier: Option<String>,
}

/// Who captures or voids what.
struct Booker {
    desk: Desk,
    actor: Actor,
    payment: PaymentId,
    key_text: Option<String>,
}

impl Booker {
    async fn of(desk: Desk, text: &str, caller: Caller<'_>) -> Result<Booker, Failure> {
        let actor = auth::actor(&desk, caller).await?;
        let payment = spelling::transaction(&desk, actor.merchant, text).await?;
        let key_text = wire::key_text(caller.headers)?;
        Ok(Booker { desk, actor, payment, key_text })
    }

    /// `operation` keeps the keys of the two calls apart, `meaning` is what a repeat of the same key
    /// must mean again.
    async fn book(
        &self,
        payment: PaymentId,
        booking: Booking,
        wish: &CaptureWish,
    ) -> Result<Booked, Failure> {
        let operation = match booking {
            Booking::Capture { .. } => "capture",
            Booking::Void | Booking::Extension => "void",
        };
        let transaction = uuid_text(payment.bits());
        let amount = wish.amount.map(|amount| amount.to_string()).unwrap_or_default();
        let name = wish.external_identifier.as_ref().map(|name| format!("={name}"));
        let is_final = wish.is_final.to_string();
        let meaning = [transaction.as_str(), &amount, &is_final, name.as_deref().unwrap_or("")];
        let key = |text: &String| desk::key("gr4vy", &[operation, &transaction], text, &meaning);
        let request = BookingRequest {
            merchant: self.actor.merchant,
            payment,
            booking,
            id: self.desk.ids().next(),
            amount: wish.amount,
            trace: Trace {
                face: "gr4vy".to_owned(),
                external_identifier: wish.external_identifier.clone(),
                ..Trace::default()
            },
            keys: self.key_text.iter().map(key).collect(),
            actor: self.actor.name.clone(),
            at_ms: self.desk.now_ms(),
        };
        Ok(self.desk.book(request).await?)
    }

    /// Books, under another of the transaction's names where there is no such id, and reads the
    /// transaction as it was at the answer.
    async fn booked(
        &self,
        text: &str,
        booking: Booking,
        wish: &CaptureWish,
    ) -> Result<(Booked, PaymentView), Failure> {
        let booked = match self.book(self.payment, booking, wish).await {
            Err(Failure::NotFound) => {
                let named = spelling::other_name(&self.desk, self.actor.merchant, text).await?;
                let payment = named.ok_or(Failure::NotFound)?;
                self.book(payment, booking, wish).await?
            }
            answer => answer?,
        };
        let view = self.desk.payment_after(self.actor.merchant, booked.payment, booked.as_of).await;
        let view = view.map_err(|Unseen| Failure::UnshownTransaction(booked.payment))?;
        Ok((booked, view))
    }

    async fn account(&self) -> Result<String, Failure> {
        auth::slug(&self.desk, self.actor.merchant).await
    }
}

/// `POST /transactions/{transaction_id}/capture`
pub(in super::super) async fn capture(
    State(desk): State<Desk>,
    Path(text): Path<String>,
    mut request: Request,
) -> Result<Response, Failure> {
    let booker = Booker::of(desk, &text, Caller::of(&request)).await?;
    let wish = capture_wish(&wire::body(&mut request).await?)?;
    let account = booker.account().await?;
    let booking = Booking::Capture { is_final: wish.is_final };
    let (booked, view) = booker.booked(&text, booking, &wish).await?;
    let transaction = transaction(&view, &account);
    let headers = replay_headers(booked.is_replay);
    if !prefers(request.headers(), "transaction-capture") {
        return Ok(json(StatusCode::OK, headers, &transaction));
    }
    let operation = view.operation_at(booked.seq).ok_or(Failure::Broken)?;
    let mut done = Done::new("transaction-capture", transaction, operation.fault.as_ref());
    done.capture = Some(CaptureNames {
        capture_id: uuid_text(operation.id),
        payment_service_capture_id: None,
        external_identifier: operation.external_identifier.clone(),
    });
    Ok(json(StatusCode::OK, headers, &done))
}

/// `POST /transactions/{transaction_id}/void`
pub(in super::super) async fn void(
    State(desk): State<Desk>,
    Path(text): Path<String>,
    mut request: Request,
) -> Result<Response, Failure> {
    let booker = Booker::of(desk, &text, Caller::of(&request)).await?;
    nothing(&wire::body(&mut request).await?)?;
    let account = booker.account().await?;
    let wish = CaptureWish::default();
    let (booked, view) = booker.booked(&text, Booking::Void, &wish).await?;
    let transaction = transaction(&view, &account);
    let headers = replay_headers(booked.is_replay);
    if !prefers(request.headers(), "transaction-void") {
        return Ok(json(StatusCode::OK, headers, &transaction));
    }
    let operation = view.operation_at(booked.seq).ok_or(Failure::Broken)?;
    let done = Done::new("transaction-void", transaction, operation.fault.as_ref());
    Ok(json(StatusCode::OK, headers, &done))
}

/// `POST /transactions/{transaction_id}/cancel`: not done to a transaction that was authorised or
/// declined, as in the original; one that was canceled is.
pub(in super::super) async fn cancel(
    State(desk): State<Desk>,
    Path(text): Path<String>,
    mut request: Request,
) -> Result<Response, Failure> {
    let actor = auth::actor(&desk, Caller::of(&request)).await?;
    wire::key_text(request.headers())?;
    nothing(&wire::body(&mut request).await?)?;
    let view = spelling::view(&desk, actor.merchant, &text).await?;
    let account = auth::slug(&desk, actor.merchant).await?;
    let mut done = Done::new("transaction-cancel", transaction(&view, &account), None);
    if view.cancelled_at_ms.is_none() {
        (done.status, done.code) = ("failed", Some("unexpected_state"));
    }
    Ok(json(StatusCode::OK, HeaderMap::new(), &done))
}

/// `POST /transactions/{transaction_id}/sync`
pub(in super::super) async fn sync(
    State(desk): State<Desk>,
    Path(text): Path<String>,
    mut request: Request,
) -> Result<Response, Failure> {
    let actor = auth::actor(&desk, Caller::of(&request)).await?;
    wire::key_text(request.headers())?;
    nothing(&wire::body(&mut request).await?)?;
    let view = spelling::view(&desk, actor.merchant, &text).await?;
    let account = auth::slug(&desk, actor.merchant).await?;
    Ok(json(StatusCode::OK, HeaderMap::new(), &transaction(&view, &account)))
}

/// Nothing, `null`, or an object: what every member says is in its default.
fn is_empty(body: &[u8]) -> bool {
    body.is_empty() || reader::read(body).is_ok_and(Json::is_null)
}

/// A call that takes nothing.
fn nothing(body: &[u8]) -> Result<(), Failure> {
    if is_empty(body) { Ok(()) } else { Form::read(body)?.finish(&[]) }
}

fn capture_wish(body: &[u8]) -> Result<CaptureWish, Failure> {
    if is_empty(body) {
        return Ok(CaptureWish { is_final: true, ..CaptureWish::default() });
    }
    let mut form = Form::read(body)?;
    let wish = CaptureWish {
        amount: form.integer("amount", 1, AMOUNT_MAX),
        is_final: form.member("final").is_none() || form.flag("final"),
        external_identifier: form.text("external_identifier", 1, EXTERNAL_IDENTIFIER_MAX),
    };
    form.flag("reauthorize_if_authorization_expired");
    for (name, kind) in
        [("airline", Kind::Object), ("cart_items", Kind::Array), ("tracking", Kind::Array)]
    {
        form.of_kind(name, kind);
    }
    form.finish(&[
        "amount",
        "final",
        "external_identifier",
        "reauthorize_if_authorization_expired",
        "airline",
        "cart_items",
        "tracking",
    ])?;
    Ok(wish)
}

/// Does a `Prefer` header ask for this resource? Each may hold several preferences.
fn prefers(headers: &HeaderMap, resource: &str) -> bool {
    let values = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    let mut preferences = values.flat_map(|value| value.split(','));
    preferences.any(|one| one.trim().strip_prefix("resource=") == Some(resource))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_preference_is_found_among_others_and_in_any_of_the_headers() {
        for (sent, is_it) in [
            (&["resource=transaction-capture"][..], true),
            (&["respond-async, resource=transaction-capture"], true),
            (&["respond-async", "resource=transaction-capture"], true),
            (&["resource=transaction"], false),
            (&["transaction-capture"], false),
            (&[], false),
        ] {
            let mut headers = HeaderMap::new();
            for value in sent {
                headers.append("prefer", HeaderValue::from_static(value));
            }
            assert_eq!(prefers(&headers, "transaction-capture"), is_it, "{sent:?}");
        }
    }

    #[test]
    fn a_capture_without_a_body_is_final_and_takes_all() {
        let all = CaptureWish { is_final: true, ..CaptureWish::default() };
        for body in ["", "null", "{}", r#"{"amount":null,"final":null,"cart_items":[]}"#] {
            assert_eq!(capture_wish(body.as_bytes()).expect(body), all, "{body}");
        }
        let part = capture_wish(br#"{"amount":5,"final":false}"#).expect("a good body");
        assert_eq!((part.amount, part.is_final), (Some(5), false));
    }
}
