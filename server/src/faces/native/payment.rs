//! Payments: registering them, and showing one.

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use data_encoding::HEXLOWER;
use requite_core::id::{MerchantId, PaymentId, uuid_text};
use requite_engine::command::Registered;
use requite_engine::read::PaymentView;

use super::failure::{self, Failure};
use super::wire::{self, Meaning, actor, json_answer, located};
use super::{registration, spelling, view};
use crate::access::Caller;
use crate::desk::{Desk, Unseen, replay_headers};

/// Largest body of a registration, in bytes.
const BODY_MAX: usize = 256 * 1024;

pub(super) async fn create(
    State(desk): State<Desk>,
    mut request: Request,
) -> Result<Response, Failure> {
    let actor = actor(&desk, Caller::of(&request)).await?;
    let key_text = wire::key_text(request.headers())?;
    let bytes = wire::body(&mut request, BODY_MAX).await?;
    let mut registration = {
        let origin = registration::Origin {
            merchant: actor.merchant,
            actor: &actor.name,
            at_ms: desk.now_ms(),
            ids: desk.ids(),
        };
        let body = wire::read(&bytes, false)?;
        registration::read(body, &origin).map_err(|faults| Failure::invalid(&faults))?
    };
    if registration::names_account(&registration) {
        let (merchant, name) = (actor.merchant, registration.connector.clone());
        let account = desk.read(move |reads| reads.connector(merchant, &name)).await?;
        account.ok_or_else(|| Failure::invalid(&[registration::account_unknown()]))?;
    }
    let meaning = Meaning::default().and(Some(HEXLOWER.encode(&registration.fingerprint)));
    let key = |text: String| wire::key(&text, &["payments"], &meaning);
    registration.keys = key_text.map(key).into_iter().collect();
    let done = desk.register(registration).await.map_err(failure::of_command)?;
    let (status, payment) = match done.registered {
        Registered::Created(payment) => (StatusCode::CREATED, payment),
        Registered::Present(payment) => (StatusCode::OK, payment),
        Registered::Differs(payment) => return Err(Failure::differs(payment)),
    };
    let location = format!("/api/payments/{}", uuid_text(payment.bits()));
    let view = desk.payment_after(actor.merchant, payment, done.as_of).await;
    let view = view.map_err(|Unseen| Failure::unshown(&location))?;
    let mut response = located(status, view::payment(&view), &location);
    response.headers_mut().extend(replay_headers(done.is_replay));
    Ok(response)
}

pub(super) async fn show(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    let view = of_path(&desk, &id, Caller::of(&request)).await?;
    Ok(json_answer(StatusCode::OK, view::payment(&view)))
}

/// The payment's gift cards, each with what may still be given back to it.
pub(super) async fn gift_cards(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    let view = of_path(&desk, &id, Caller::of(&request)).await?;
    let text = view::Shown::new().raw("items", &view::card_totals(&view)).text();
    Ok(json_answer(StatusCode::OK, text))
}

/// The payment that a path names, as it is.
async fn of_path(desk: &Desk, id: &str, caller: Caller<'_>) -> Result<PaymentView, Failure> {
    let actor = actor(desk, caller).await?;
    let payment = the(desk, actor.merchant, id).await?;
    shown(desk, actor.merchant, payment).await
}

/// A payment as it is.
pub(super) async fn shown(
    desk: &Desk,
    merchant: MerchantId,
    payment: PaymentId,
) -> Result<PaymentView, Failure> {
    let view = desk.payment(merchant, payment, None).await?;
    view.ok_or_else(|| Failure::not_found("payment"))
}

/// The payment that a text names: by its id in any spelling, or by an alias. `None` is unknown.
pub(super) async fn named(
    desk: &Desk,
    merchant: MerchantId,
    text: &str,
) -> Result<Option<PaymentId>, Failure> {
    let bits = spelling::payment_bits(text).map(PaymentId::new);
    if text.is_empty() || text.len() > registration::REFERENCE_BYTES_MAX {
        return Ok(None);
    }
    let text = text.to_owned();
    let found = desk.glance(move |reads| match bits {
        Some(id) if reads.has_payment(merchant, id)? => Ok(Some(id)),
        _ => reads.payment_named(merchant, &text),
    });
    Ok(found.await?.or(bits))
}

/// As [`named`]; unknown names are refused. An id that is spelt well may be nobody's still.
pub(super) async fn the(
    desk: &Desk,
    merchant: MerchantId,
    text: &str,
) -> Result<PaymentId, Failure> {
    let found = named(desk, merchant, text).await?;
    found.ok_or_else(|| Failure::not_found("payment"))
}
