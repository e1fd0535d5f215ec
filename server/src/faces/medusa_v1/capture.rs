//! `POST /admin/payments/{id}/capture`: takes all that is authorised. A payment of which anything was
//! captured is shown as it is, so asking twice captures once; whatever the body says is ignored.

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use requite_core::id::uuid_text;
use requite_engine::command::{Booking, BookingRequest, CommandError, Trace};
use requite_engine::read::PaymentView;

use super::failure::{self, Failure};
use super::fields::{Members, raw};
use super::payment;
use super::{Face, NAME, auth, wire};
use crate::access::Caller;
use crate::desk::{self, Unseen, replay_headers};

/// `POST /admin/payments/{id}/capture`
pub(super) async fn create(
    State(face): State<Face>,
    Path(id): Path<String>,
    mut request: Request,
) -> Result<Response, Failure> {
    let bytes = wire::body(&mut request).await?;
    wire::Members::read(&bytes)?;
    let actor = auth::actor(&face, Caller::of(&request)).await?;
    let key_text = wire::key_text(request.headers())?;
    let payment = payment::find(&face, actor.merchant, &id).await?;
    let payment = payment.ok_or_else(|| Failure::payment_unknown(&id))?;
    let taken = take(&face, &payment, Taker { name: actor.name, key_text, order: None }).await?;
    let body = Members(vec![("payment", raw(&payment::row(&taken.payment)))]);
    let headers = replay_headers(taken.is_replay);
    Ok((headers, wire::json(StatusCode::OK, &body)).into_response())
}

/// Who captures, and through what.
pub(super) struct Taker {
    pub name: String,
    pub key_text: Option<String>,
    /// The order through which it is captured, and not for the payment alone.
    pub order: Option<String>,
}

/// A payment after its capture.
pub(super) struct Taken {
    pub payment: PaymentView,
    /// The key's first request captured it, and it is shown as it was then.
    pub is_replay: bool,
}

/// Captures a payment unless something of it was captured before. The engine is asked in any case, for
/// it knows what a key stands for: it refuses, as what is asked for is all that was not let go of.
pub(super) async fn take(
    face: &Face,
    payment: &PaymentView,
    taker: Taker,
) -> Result<Taken, Failure> {
    let (merchant, leg) = (payment.merchant, payment.primary());
    let payment_text = uuid_text(payment.id.bits());
    let meaning = [payment_text.as_str()];
    let key = |text: &String| desk::key(NAME, &["capture", &payment_text], text, &meaning);
    let request = BookingRequest {
        merchant,
        payment: payment.id,
        booking: Booking::Capture { is_final: false },
        id: face.desk.ids().next(),
        amount: Some(leg.amount.units().saturating_sub(leg.released())),
        trace: Trace {
            face: NAME.to_owned(),
            external_identifier: taker.order,
            ..Trace::default()
        },
        keys: taker.key_text.iter().map(key).collect(),
        actor: taker.name,
        at_ms: face.desk.now_ms(),
    };
    let shown = wire::payment_text(payment.id.bits());
    match face.desk.book(request).await {
        Ok(booked) => {
            let view = face.desk.payment_after(merchant, payment.id, booked.as_of).await;
            let view =
                view.map_err(|Unseen| Failure::unshown().with(replay_headers(booked.is_replay)))?;
            let is_declined = view.operation_at(booked.seq).is_some_and(|of| of.fault.is_some());
            if is_declined {
                let headers = replay_headers(booked.is_replay);
                return Err(Failure::capture_failed(&shown).with(headers));
            }
            Ok(Taken { payment: view, is_replay: booked.is_replay })
        }
        Err(error) => {
            let view = face.desk.payment(merchant, payment.id, None).await?;
            let view = view.ok_or_else(Failure::unknown)?;
            match error {
                // It is captured already, which is what the client wants.
                CommandError::BookingRefused { is_replay, .. }
                    if !view.primary().captures.is_empty() =>
                {
                    Ok(Taken { payment: view, is_replay })
                }
                error => Err(failure::refused(error, &shown, &shown)),
            }
        }
    }
}
