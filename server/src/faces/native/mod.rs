//! Our own API, below `/api`: payments are registered here, and everything can be seen and refunded.
//!
//! JSON, integer minor units, RFC 3339 times. Ids of any face's spelling, and aliases, are taken
//! wherever an id is. A bearer key of this face with the scope that the route names.
//!
//! - [`registration`] reads a payment to register, [`view`] shows what there is, [`page`] lists,
//!   [`failure`] has every status and error body.
//! - `Idempotency-Key` is honoured on refunds. A registration is repeated safely by its `id` or
//!   `external_identifier`.
//!
//! Start at [`router`].

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use requite_core::decide::{Amount, Ask, Target};
use requite_core::id::{LegId, MerchantId, PaymentId, RefundId, uuid_text};
use requite_engine::command::{
    Booking, BookingRequest, Details, Reason, RefundReply, RefundRequest, Registered, Trace, Wait,
};
use requite_engine::key::Key;
use requite_engine::read::RefundFilter;

use crate::access::{self, Access, Actor, Caller};
use crate::crypto::token;
use crate::desk::{self, Desk, KEY_TEXT_MAX};
use crate::http::{Codings, REFUND_BODY_MAX, catch_panics, read_body, refuse_bad_paths};
use crate::json::{self, Cause, Json};
use crate::route::Routes;

mod failure;
mod fields;
mod page;
pub(crate) mod registration;
mod source;
pub(crate) mod spelling;
mod view;

use failure::Failure;
use fields::Fields;

/// The name under which keys and refunds of this face are kept.
pub(crate) const FACE: &str = "native";

/// Largest body of a registration, in bytes.
const PAYMENT_BODY_MAX: usize = 256 * 1024;
/// Longest reason, in bytes.
const REASON_BYTES_MAX: usize = 1_024;

/// All routes, without the `/api` before them.
pub(crate) fn router(desk: Desk) -> Router {
    let nowhere = async || {
        let message = "there is no such route; this API has /api/payments and /api/refunds";
        Failure::new(StatusCode::NOT_FOUND, "route_not_found", message)
    };
    let other_method = async || {
        let message = "this route does not take this method; the header allow says which it takes";
        Failure::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
    };
    let routes = routes().router(nowhere, other_method).with_state(desk);
    refuse_bad_paths(catch_panics(routes, failure::render), failure::render)
}

const WRITE_PAYMENTS: Access = Access::AnyOf(&["payments.write"]);
const READ_PAYMENTS: Access = Access::AnyOf(&["payments.read"]);
const REFUND: Access = Access::AnyOf(&["refunds.create"]);
const READ_REFUNDS: Access = Access::AnyOf(&["refunds.read"]);

pub(super) fn routes() -> Routes<Desk> {
    Routes::of(FACE)
        .get("/payments", READ_PAYMENTS, "list_payments", page::payments)
        .post("/payments", WRITE_PAYMENTS, "register_payment", create_payment)
        .get("/payments/{id}", READ_PAYMENTS, "read_payment", show_payment)
        .post("/payments/{id}/captures", WRITE_PAYMENTS, "capture_payment", create_capture)
        .post("/payments/{id}/voids", WRITE_PAYMENTS, "void_payment", create_void)
        .get("/payments/{id}/refunds", READ_REFUNDS, "list_payment_refunds", page::refunds_of)
        .post("/payments/{id}/refunds", REFUND, "refund_payment", create_refund)
        .get("/refunds", READ_REFUNDS, "list_refunds", page::refunds)
        .get("/refunds/{id}", READ_REFUNDS, "read_refund", show_refund)
}

fn json_answer(status: StatusCode, text: String) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

/// The actor behind the request, who may do what its route demands.
async fn actor(desk: &Desk, caller: Caller<'_>) -> Result<Actor, Failure> {
    let mut given = caller.headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (given.next(), given.next()) else {
        return Err(Failure::unauthorized());
    };
    let token = value.to_str().ok().and_then(|text| {
        let (scheme, token) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    let token = token.ok_or_else(Failure::unauthorized)?;
    let found = access::key(desk, FACE, token::lookup_hash(token)).await?;
    let key = found.ok_or_else(Failure::unauthorized)?;
    let actor = Actor::of_key(&key);
    caller.admit(actor).map_err(Failure::forbidden)
}

/// The bytes of a JSON body. Anything else with a body is refused; no body is no bytes.
async fn body(request: &mut Request, max: usize) -> Result<Bytes, Failure> {
    let is_json = is_json(request.headers());
    let bytes = read_body(request, max, Codings::Plain).await?;
    if is_json || bytes.is_empty() {
        return Ok(bytes);
    }
    let message = "send the body as Content-Type: application/json, in UTF-8";
    let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    Err(Failure::new(status, "content_type_unsupported", message))
}

fn is_json(headers: &HeaderMap) -> bool {
    let mut given = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (given.next(), given.next()) else {
        return false;
    };
    let Ok(text) = value.to_str() else {
        return false;
    };
    let mut parts = text.split(';').map(|part| part.trim().to_ascii_lowercase());
    let kind = parts.next().unwrap_or_default();
    let is_utf8 = |part: String| match part.strip_prefix("charset=") {
        Some(charset) => charset.trim_matches('"') == "utf-8",
        None => true,
    };
    kind == "application/json" && parts.all(is_utf8)
}

/// Reads a body as JSON; an empty one is `{}` where `may_be_empty`.
fn read(bytes: &[u8], may_be_empty: bool) -> Result<Json<'_>, Failure> {
    let empty = || json::read(b"{}");
    let read = match json::read(bytes) {
        Err(fault) if fault.cause == Cause::Empty && may_be_empty => empty(),
        read => read,
    };
    read.map_err(|fault| {
        let message = format!("the body is not JSON: {fault}");
        Failure::new(StatusCode::BAD_REQUEST, "malformed_json", message)
    })
}

async fn create_payment(
    State(desk): State<Desk>,
    mut request: Request,
) -> Result<Response, Failure> {
    let actor = actor(&desk, Caller::of(&request)).await?;
    let bytes = body(&mut request, PAYMENT_BODY_MAX).await?;
    let registration = {
        let origin = registration::Origin {
            merchant: actor.merchant,
            actor: &actor.name,
            at_ms: desk.now_ms(),
            ids: desk.ids(),
        };
        let body = read(&bytes, false)?;
        registration::read(body, &origin).map_err(|faults| Failure::invalid(&faults))?
    };
    if registration::names_account(&registration) {
        let (merchant, name) = (actor.merchant, registration.connector.clone());
        let account = desk.read(move |reads| reads.connector(merchant, &name)).await?;
        account.ok_or_else(|| Failure::invalid(&[registration::account_unknown()]))?;
    }
    let registered = desk.register(registration).await.map_err(failure::of_command)?;
    let (status, payment) = match registered.registered {
        Registered::Created(payment) => (StatusCode::CREATED, payment),
        Registered::Present(payment) => (StatusCode::OK, payment),
        Registered::Differs(payment) => return Err(Failure::differs(payment)),
    };
    let text = payment_text(&desk, actor.merchant, payment, None).await?;
    Ok(located(status, text, &format!("/api/payments/{}", uuid_text(payment.bits()))))
}

fn located(status: StatusCode, text: String, location: &str) -> Response {
    let mut response = json_answer(status, text);
    if let (StatusCode::CREATED, Ok(location)) = (status, HeaderValue::from_str(location)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

async fn payment_text(
    desk: &Desk,
    merchant: MerchantId,
    payment: PaymentId,
    as_of: Option<u32>,
) -> Result<String, Failure> {
    let view = desk.payment(merchant, payment, as_of).await?;
    let view = view.ok_or_else(|| Failure::not_found("payment"))?;
    Ok(view::payment(&view))
}

/// The payment that a text names: by an alias, or by its id in any spelling. `None` is unknown.
async fn named(
    desk: &Desk,
    merchant: MerchantId,
    text: &str,
) -> Result<Option<PaymentId>, Failure> {
    let bits = spelling::payment_bits(text).map(PaymentId::new);
    if text.is_empty() || text.len() > registration::REFERENCE_BYTES_MAX {
        return Ok(None);
    }
    let alias = text.to_owned();
    let found = desk.read(move |reads| reads.payment_named(merchant, &alias)).await?;
    Ok(found.or(bits))
}

async fn payment_of(desk: &Desk, merchant: MerchantId, text: &str) -> Result<PaymentId, Failure> {
    let found = named(desk, merchant, text).await?;
    found.ok_or_else(|| Failure::not_found("payment"))
}

async fn show_payment(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    let actor = actor(&desk, Caller::of(&request)).await?;
    let payment = payment_of(&desk, actor.merchant, &id).await?;
    let text = payment_text(&desk, actor.merchant, payment, None).await?;
    Ok(json_answer(StatusCode::OK, text))
}

/// Reads `{amount?}`.
fn optional_amount(bytes: &[u8]) -> Result<Option<i64>, Failure> {
    let body = read(bytes, true)?;
    let mut fields =
        Fields::open(body, "", &["amount"]).map_err(|fault| Failure::invalid(&[fault]))?;
    let amount = fields.integer("amount");
    let faults = fields.into_faults();
    if faults.is_empty() { Ok(amount) } else { Err(Failure::invalid(&faults)) }
}

async fn create_capture(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    mut request: Request,
) -> Result<Response, Failure> {
    let actor = actor(&desk, Caller::of(&request)).await?;
    let bytes = body(&mut request, REFUND_BODY_MAX).await?;
    let amount = optional_amount(&bytes)?;
    let payment = payment_of(&desk, actor.merchant, &id).await?;
    book(&desk, actor, payment, Booking::Capture { is_final: false }, amount).await
}

async fn create_void(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    mut request: Request,
) -> Result<Response, Failure> {
    let actor = actor(&desk, Caller::of(&request)).await?;
    let bytes = body(&mut request, REFUND_BODY_MAX).await?;
    let amount = optional_amount(&bytes)?;
    let payment = payment_of(&desk, actor.merchant, &id).await?;
    book(&desk, actor, payment, Booking::Void, amount).await
}

async fn book(
    desk: &Desk,
    actor: Actor,
    payment: PaymentId,
    booking: Booking,
    amount: Option<i64>,
) -> Result<Response, Failure> {
    let request = BookingRequest {
        merchant: actor.merchant,
        payment,
        booking,
        id: desk.ids().next(),
        amount,
        trace: Trace { face: "native".to_owned(), ..Trace::default() },
        keys: Vec::new(),
        actor: actor.name,
        at_ms: desk.now_ms(),
    };
    let booked = desk.book(request).await.map_err(failure::of_command)?;
    let text = payment_text(desk, actor.merchant, payment, booked.as_of).await?;
    Ok(json_answer(StatusCode::CREATED, text))
}

/// What a request to refund says.
struct Wish {
    amount: Amount,
    target: Target,
    reason: Option<String>,
    note: Option<String>,
    external_identifier: Option<String>,
    /// Equal for bodies that mean the same.
    meaning: String,
}

fn wish(bytes: &[u8]) -> Result<Wish, Failure> {
    let body = read(bytes, true)?;
    let known = ["amount", "leg", "reason", "note", "external_identifier"];
    let mut fields = Fields::open(body, "", &known).map_err(|fault| Failure::invalid(&[fault]))?;
    let amount = fields.integer("amount");
    let leg = fields.text("leg", registration::REFERENCE_BYTES_MAX);
    let target = match leg.as_deref() {
        None | Some("payment_method") => Some(Target::Primary),
        Some(text) => spelling::leg_bits(text).map(|bits| Target::Leg(LegId::new(bits))),
    };
    if target.is_none() {
        fields.fault("leg", "must be \"payment_method\" or a leg's id");
    }
    let wish = Wish {
        amount: amount.map_or(Amount::Remaining, Amount::Minor),
        target: target.unwrap_or(Target::Primary),
        reason: fields.text("reason", REASON_BYTES_MAX),
        note: fields.text("note", REFUND_BODY_MAX),
        external_identifier: fields.text("external_identifier", registration::REFERENCE_BYTES_MAX),
        meaning: body.canonical(),
    };
    let faults = fields.into_faults();
    if faults.is_empty() { Ok(wish) } else { Err(Failure::invalid(&faults)) }
}

/// The text of the one `Idempotency-Key`, if there is one.
fn key_text(headers: &HeaderMap) -> Result<Option<&str>, Failure> {
    let mut given = headers.get_all("idempotency-key").iter();
    let refuse = || {
        let message =
            format!("send one Idempotency-Key of 1 to {KEY_TEXT_MAX} visible characters, or none");
        Failure::new(StatusCode::BAD_REQUEST, "invalid_idempotency_key", message)
    };
    let Some(value) = given.next() else {
        return Ok(None);
    };
    let text = value.to_str().map_err(|_| refuse())?.trim();
    let is_fine = given.next().is_none() && (1..=KEY_TEXT_MAX).contains(&text.len());
    if is_fine { Ok(Some(text)) } else { Err(refuse()) }
}

async fn create_refund(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    mut request: Request,
) -> Result<Response, Failure> {
    let actor = actor(&desk, Caller::of(&request)).await?;
    let key_text = key_text(request.headers())?.map(str::to_owned);
    let bytes = body(&mut request, REFUND_BODY_MAX).await?;
    let wish = wish(&bytes)?;
    let payment = payment_of(&desk, actor.merchant, &id).await?;
    let payment_text = uuid_text(payment.bits());
    let key = |text: &str| -> Key {
        desk::key(FACE, &["refunds", &payment_text], text, &[&wish.meaning])
    };
    let refund = RefundRequest {
        merchant: actor.merchant,
        payment,
        keys: key_text.as_deref().map(key).into_iter().collect(),
        ask: Ask {
            refund: RefundId::new(desk.ids().next()),
            target: wish.target,
            amount: wish.amount,
            currency: None,
            at_ms: desk.now_ms(),
        },
        details: Details {
            face: FACE.to_owned(),
            actor: actor.name,
            reason_code: None,
            reason_text: wish.reason,
            reason: Reason::None,
            note: wish.note,
            external_identifier: wish.external_identifier,
            given_id: None,
            key_text,
            metadata: None,
            wants_reference: false,
        },
        wait: Wait::Outcome,
        answers_unknown: true,
    };
    let reply = desk.refund(refund).await.map_err(failure::of_command)?;
    refund_answer(&desk, &reply).await
}

async fn refund_answer(desk: &Desk, reply: &RefundReply) -> Result<Response, Failure> {
    let of = reply.refund;
    let view = desk.payment(of.merchant, of.payment, reply.as_of).await?;
    let view = view.ok_or_else(|| Failure::not_found("payment"))?;
    let refund = view.refund(of.refund).ok_or_else(|| Failure::not_found("refund"))?;
    let location = format!("/api/refunds/{}", uuid_text(of.refund.bits()));
    let mut response = located(StatusCode::CREATED, view::refund(refund), &location);
    response.headers_mut().extend(desk::refund_headers(reply));
    Ok(response)
}

async fn show_refund(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    let actor = actor(&desk, Caller::of(&request)).await?;
    let not_found = || Failure::not_found("refund");
    let bits = spelling::refund_bits(&id).ok_or_else(not_found)?;
    let found = desk.read(move |reads| {
        if let Some(found) = reads.refund(actor.merchant, RefundId::new(bits))? {
            return Ok(Some(found));
        }
        // Moyasar's clients give a refund its id. One id is one refund's for as long as its key lives.
        let given = RefundFilter {
            given_id: Some(bits),
            newest_first: true,
            limit: 1,
            ..RefundFilter::default()
        };
        Ok(reads.refunds(actor.merchant, &given)?.pop())
    });
    let view = found.await?.ok_or_else(not_found)?;
    Ok(json_answer(StatusCode::OK, view::refund(&view)))
}
