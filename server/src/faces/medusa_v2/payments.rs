//! Showing a payment, and capturing one.

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use requite_core::decide::Amount;
use requite_core::id::{MerchantId, PaymentId};
use requite_core::money::{Minor, TooLarge};
use requite_engine::command::{Booking, BookingRequest, Trace};
use requite_engine::read::PaymentView;

use super::failure::{Failure, json_response};
use super::fields::{Selection, render};
use super::payment::{PAYMENT_DEFAULTS, Payment};
use super::spelling::payment_id;
use super::wire::{Body, capture_amount, selection};
use super::{Face, auth};
use crate::access::Caller;
use crate::http::REFUND_BODY_MAX;

/// `GET /admin/payments/{id}`
pub(super) async fn retrieve(
    State(face): State<Face>,
    Path(written): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    let actor = auth::actor(&face, Caller::of(&request)).await?;
    let selection = selection(request.uri().query(), &PAYMENT_DEFAULTS)?;
    let view = named(&face, actor.merchant, &written).await?;
    let view = view.ok_or(Failure::PaymentUnknown(written))?;
    Ok(json_response(StatusCode::OK, shown(&view, &selection)))
}

/// The payment that a path names: by its id, else by another text that it was registered with.
pub(super) async fn named(
    face: &Face,
    merchant: MerchantId,
    written: &str,
) -> Result<Option<PaymentView>, Failure> {
    if let Some(payment) = payment_id(written) {
        let view = face.desk.payment(merchant, payment, None).await;
        if let Some(view) = view.map_err(Failure::Read)? {
            return Ok(Some(view));
        }
    }
    match alias(face, merchant, written).await? {
        Some(payment) => {
            let view = face.desk.payment(merchant, payment, None).await;
            view.map_err(Failure::Read)
        }
        None => Ok(None),
    }
}

/// The payment with this text among its aliases or PSP ids.
pub(super) async fn alias(
    face: &Face,
    merchant: MerchantId,
    written: &str,
) -> Result<Option<PaymentId>, Failure> {
    let text = written.to_owned();
    let found = face.desk.read(move |reads| reads.payment_named(merchant, &text));
    found.await.map_err(Failure::Read)
}

/// The answer of every route about one payment.
pub(super) fn shown(view: &PaymentView, selection: &Selection) -> String {
    let payment = render(&Payment::new(view), selection);
    format!("{{\"payment\":{payment}}}")
}

/// `POST /admin/payments/{id}/capture`
///
/// A payment that is captured as a whole is answered as it is, whatever is asked for.
pub(super) async fn capture(
    State(face): State<Face>,
    Path(written): Path<String>,
    mut request: Request,
) -> Result<Response, Failure> {
    let body = Body::take(&mut request, REFUND_BODY_MAX).await?;
    let json = body.json()?;
    let actor = auth::actor(&face, Caller::of(&request)).await?;
    let asked = capture_amount(&body, json)?;
    let selection = selection(request.uri().query(), &PAYMENT_DEFAULTS)?;
    let view = named(&face, actor.merchant, &written).await?;
    let before = view.ok_or_else(|| Failure::CaptureUnknown(written.clone()))?;
    if is_captured(&before) {
        return Ok(json_response(StatusCode::OK, shown(&before, &selection)));
    }
    let capture = BookingRequest {
        merchant: actor.merchant,
        payment: before.id,
        booking: Booking::Capture { is_final: false },
        id: face.desk.ids().next(),
        amount: Some(units(&asked, &before)?),
        trace: Trace { face: "medusa-v2".to_owned(), ..Trace::default() },
        keys: Vec::new(),
        actor: actor.name,
        at_ms: face.desk.now_ms(),
    };
    let booked = face.desk.book(capture).await;
    let payment = written;
    let booked = booked.map_err(|error| Failure::Capture { error, payment })?;
    let after = face.desk.payment(before.merchant, before.id, booked.as_of);
    let after = after.await.map_err(Failure::Read)?;
    let view = after.as_ref().unwrap_or(&before);
    Ok(json_response(StatusCode::OK, shown(view, &selection)))
}

fn is_captured(view: &PaymentView) -> bool {
    view.primary().captured() >= view.primary().amount.units()
}

/// Minor units to capture. No amount is the whole payment, and not what is left of it. As with
/// refunds (decision V2-3), what is almost all that is left is all that is left.
fn units(asked: &Amount, view: &PaymentView) -> Result<i64, Failure> {
    let leg = view.primary();
    let used = leg.captured().saturating_add(leg.released());
    let left = Minor::new(leg.amount.units().saturating_sub(used)).unwrap_or_default();
    let decimal = match asked {
        Amount::Major(decimal) => decimal,
        Amount::Minor(units) => return Ok(*units),
        Amount::Remaining => return Ok(left.units()),
        Amount::Whole => return Ok(leg.amount.units()),
    };
    match decimal.minor(view.currency) {
        Ok(Some(amount)) => Ok(amount.units()),
        Ok(None) if decimal.echoes(left, view.currency) => Ok(left.units()),
        Ok(None) if decimal.is_above(left, view.currency) => Err(Failure::TooMuchToCapture),
        Ok(None) => Err(Failure::TooManyDecimals(view.currency)),
        Err(TooLarge) => Err(Failure::TooMuchToCapture),
    }
}
