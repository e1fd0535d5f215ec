//! Showing a payment.

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use requite_core::id::{MerchantId, PaymentId};
use requite_engine::read::PaymentView;

use super::failure::{Failure, json_response};
use super::fields::{Selection, render};
use super::payment::{PAYMENT_DEFAULTS, Payment};
use super::spelling::payment_id;
use super::wire::selection;
use super::{Face, auth};
use crate::access::Caller;

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
    let found = face.desk.glance(move |reads| reads.payment_named(merchant, &text));
    found.await.map_err(Failure::Read)
}

/// The answer of every route about one payment.
pub(super) fn shown(view: &PaymentView, selection: &Selection) -> String {
    let payment = render(&Payment::new(view), selection);
    format!("{{\"payment\":{payment}}}")
}
