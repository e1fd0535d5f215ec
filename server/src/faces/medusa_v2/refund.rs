//! Refunding a payment.

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use requite_core::decide::{Ask, Target};
use requite_core::id::{PaymentId, ReasonId, RefundId, parse_prefixed, uuid_text};
use requite_engine::command::{CommandError, Details, Reason, RefundReply, RefundRequest, Wait};

use super::failure::{Asked, Failure, json_response};
use super::fields::Selection;
use super::payment::{PAYMENT_DEFAULTS, is_shown};
use super::payments::{alias, shown};
use super::spelling::{id, payment_id, prefix};
use super::wire::{Body, Wish, key_text, selection};
use super::{Face, auth};
use crate::access::{Actor, Caller};
use crate::desk::{key, refund_headers, replay_headers};
use crate::http::REFUND_BODY_MAX;

/// `POST /admin/payments/{id}/refund`
pub(super) async fn refund(
    State(face): State<Face>,
    Path(written): Path<String>,
    mut request: Request,
) -> Result<Response, Failure> {
    let body = Body::take(&mut request, REFUND_BODY_MAX).await?;
    let json = body.json()?;
    let actor = auth::actor(&face, Caller::of(&request)).await?;
    let wish = Wish::read(&body, json)?;
    let selection = selection(request.uri().query(), &PAYMENT_DEFAULTS)?;
    let wanted = Wanted { key: key_text(request.headers())?, actor, written, wish };
    match wanted.ask(&face).await {
        Ok(reply) => Ok(answer(&face, &reply, &selection).await),
        Err(error) => Ok(wanted.refused(error)),
    }
}

/// A refund that was asked for in good form.
struct Wanted {
    actor: Actor,
    /// The payment's id as it stands in the path.
    written: String,
    wish: Wish,
    key: Option<String>,
}

/// The lane, or a read on the way to it, said no.
enum No {
    Command(CommandError),
    Read(Failure),
}

impl Wanted {
    async fn ask(&self, face: &Face) -> Result<RefundReply, No> {
        if let Some(payment) = payment_id(&self.written) {
            match face.desk.refund(self.request(face, payment)).await {
                Err(CommandError::PaymentUnknown) => {}
                answer => return answer.map_err(No::Command),
            }
        }
        let payment = alias(face, self.actor.merchant, &self.written).await;
        let Some(payment) = payment.map_err(No::Read)? else {
            return Err(No::Command(CommandError::PaymentUnknown));
        };
        let request = self.request(face, payment);
        face.desk.refund(request).await.map_err(No::Command)
    }

    fn request(&self, face: &Face, payment: PaymentId) -> RefundRequest {
        let wish = &self.wish;
        let at_ms = face.desk.now_ms();
        let reason = match wish.reason.as_deref() {
            None => Reason::None,
            Some(written) => parse_prefixed(prefix::REASON, written)
                .map_or(Reason::Unknown, |bits| Reason::Kept(ReasonId::new(bits))),
        };
        let payment_text = uuid_text(payment.bits());
        let keys = self.key.iter().map(|text| {
            let scope = ["refund", payment_text.as_str()];
            key(auth::FACE, &scope, text, &[&payment_text, &wish.canonical])
        });
        RefundRequest {
            merchant: self.actor.merchant,
            payment,
            ask: Ask {
                refund: RefundId::new(face.desk.ids().next()),
                target: Target::Primary,
                amount: wish.amount.clone(),
                currency: None,
                at_ms,
            },
            details: Details {
                face: auth::FACE.to_owned(),
                actor: self.actor.name.clone(),
                reason_code: None,
                reason_text: None,
                reason,
                note: wish.note.clone(),
                external_identifier: None,
                given_id: None,
                key_text: self.key.clone(),
                metadata: None,
                wants_reference: false,
            },
            keys: keys.collect(),
            wait: Wait::Outcome,
            answers_unknown: true,
        }
    }

    fn refused(self, no: No) -> Response {
        let error = match no {
            No::Read(failure) => return failure.into_response(),
            No::Command(error) => error,
        };
        let is_replay = matches!(&error, CommandError::Refused { is_replay: true, .. });
        let asked = Asked {
            has_amount: self.wish.has_amount(),
            payment: self.written,
            reason: self.wish.reason,
        };
        let mut response = Failure::Refund { error, asked }.into_response();
        response.headers_mut().extend(replay_headers(is_replay));
        response
    }
}

/// The payment as of the refund's answer, or the provider's no.
async fn answer(face: &Face, reply: &RefundReply, selection: &Selection) -> Response {
    let of = reply.refund;
    // Without it the answer makes do.
    let view = face.desk.payment_after(of.merchant, of.payment, reply.as_of).await.ok();
    let mut response = match view {
        Some(view) if is_shown(reply.status) => {
            json_response(StatusCode::OK, shown(&view, selection))
        }
        // The refund stands. An error would ask for another one (decision A5).
        None if is_shown(reply.status) => {
            let id = id(prefix::PAYMENT, reply.refund.payment.bits());
            json_response(StatusCode::OK, format!("{{\"payment\":{{\"id\":{id}}}}}"))
        }
        view => {
            let refund = view.as_ref().and_then(|view| view.refund(reply.refund.refund));
            let fault = refund.and_then(|refund| refund.fault.clone());
            Failure::Provider(fault).into_response()
        }
    };
    let headers: HeaderMap = refund_headers(reply);
    response.headers_mut().extend(headers);
    response
}
