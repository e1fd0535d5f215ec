//! `POST /refunds/{id}/cancel`: has the PSP cancel a refund that it has and has not paid.

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use requite_core::id::{RefundId, uuid_text};
use requite_core::refund::Status;
use requite_engine::command::{Cancellation, CommandError, RefundRef, RefundReply};

use super::failure::{self, Failure};
use super::wire::{self, Meaning, actor, json_answer};
use super::{spelling, view};
use crate::access::Caller;
use crate::connectors::cancels;
use crate::desk::{self, Desk, Unseen};
use crate::http::REFUND_BODY_MAX;
use crate::people;

/// What a body says: nothing.
pub(super) fn wish(bytes: &[u8]) -> Result<(), Failure> {
    wire::members(wire::read(bytes, true)?, &[], |_| ())
}

pub(super) async fn create(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    mut request: Request,
) -> Result<Response, Failure> {
    let actor = actor(&desk, Caller::of(&request)).await?;
    let key_text = wire::key_text(request.headers())?;
    wish(&wire::body(&mut request, REFUND_BODY_MAX).await?)?;
    let not_found = || Failure::not_found("refund");
    let id = RefundId::new(spelling::refund_bits(&id).ok_or_else(not_found)?);
    let merchant = actor.merchant;
    let found = desk.read(move |reads| {
        let Some(view) = reads.refund(merchant, id)? else { return Ok(None) };
        let account = reads.connector(merchant, &view.connector)?;
        Ok(Some((view.payment, cancels(&view.connector, account.as_ref()))))
    });
    let (payment, cancels) = found.await?.ok_or_else(not_found)?;
    let text = uuid_text(id.bits());
    let key = |key: String| wire::key(&key, &["cancel", &text], &Meaning::default());
    let asked = Cancellation {
        refund: RefundRef { merchant, payment, refund: id },
        cancels,
        keys: key_text.map(key).into_iter().collect(),
        actor: actor.name,
        at_ms: desk.now_ms(),
    };
    let replied = desk.cancel(asked).await.map_err(|error| match error {
        CommandError::PaymentUnknown => not_found(),
        error => failure::of_command(error),
    })?;
    match replied {
        Ok(reply) => Ok(answer(&desk, &reply, cancels).await),
        Err(why) => {
            let (code, message) = people::not_cancelled(why, cancels);
            Err(Failure::new(StatusCode::CONFLICT, code, message))
        }
    }
}

/// 200: it is cancelled. 202: that was asked for, and nobody knows yet. 409: it went another way.
async fn answer(desk: &Desk, reply: &RefundReply, cancels: &[Status]) -> Response {
    let status = match reply.status {
        Status::Voided => StatusCode::OK,
        status if people::may_be_cancelled_yet(status, cancels) => StatusCode::ACCEPTED,
        status => {
            let (code, message) = people::too_late(status);
            let failure = Failure::new(StatusCode::CONFLICT, code, message);
            return with_headers(failure.into_response(), reply);
        }
    };
    let place = format!("/api/refunds/{}", uuid_text(reply.refund.refund.bits()));
    let response = match desk.refund_after(reply).await {
        Ok(shown) => json_answer(status, view::refund(&shown.refund)),
        Err(Unseen) => Failure::unshown(&place).into_response(),
    };
    with_headers(response, reply)
}

fn with_headers(mut response: Response, reply: &RefundReply) -> Response {
    response.headers_mut().extend(desk::refund_headers(reply));
    response
}
