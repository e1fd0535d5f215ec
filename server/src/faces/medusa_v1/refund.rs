//! `POST /admin/payments/{id}/refund`: the route this face is for.
//!
//! The answer waits for the first outcome. Declined or proven failed is an error (decision V1-5);
//! anything else, also an unknown outcome, is 200 with the refund: its money is reserved and the
//! client must not ask again (A5).

use std::sync::Arc;

use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use requite_core::decide::{Amount, Ask, Target};
use requite_core::id::{PaymentId, RefundId, uuid_text};
use requite_core::refund::Status;
use requite_engine::command::{CommandError, Details, Reason, RefundReply, RefundRequest, Wait};
use requite_engine::read::{PaymentView, RefundOfPayment};
use serde::Serialize;
use serde_json::value::RawValue;

use super::failure::{self, Failure};
use super::payment;
use super::wire::{self, Members, Refund, RefundBody};
use super::{Face, NAME, auth, fields};
use crate::access::{Actor, Caller};
use crate::desk::{self, Unseen};
use crate::time::millis_text;

/// A request that passed all checks of form.
struct Wish {
    actor: Actor,
    body: RefundBody,
    key_text: Option<String>,
    at_ms: i64,
}

/// `POST /admin/payments/{id}/refund`
pub(super) async fn create(
    State(face): State<Face>,
    Path(id): Path<String>,
    Query(query): Query<Vec<(String, String)>>,
    mut request: Request,
) -> Result<Response, Failure> {
    let bytes = wire::body(&mut request).await?;
    let members = Members::read(&bytes)?;
    let actor = auth::actor(&face, Caller::of(&request)).await?;
    let wish = Wish {
        actor,
        body: RefundBody::read(&members)?,
        key_text: wire::key_text(request.headers())?,
        at_ms: face.desk.now_ms(),
    };
    let (payment, reply) = ask(&face, &id, &wish).await?;
    let shown = wire::payment_text(payment.bits());
    let reply = reply.map_err(|error| failure::refused(error, &id, &shown))?;
    let headers = desk::refund_headers(&reply);
    if is_hidden(reply.status) {
        return Err(Failure::refund_failed(&shown).with(headers));
    }
    let read = read_back(&face, &reply, is_expanded(&query)).await.ok();
    let body = answer(&wish, &reply, read);
    let body = body.ok_or_else(|| Failure::unshown().with(headers.clone()))?;
    Ok((headers, wire::json(StatusCode::OK, &body)).into_response())
}

/// Refunds that this face does not show: it is proven that the payer has nothing of them.
fn is_hidden(status: Status) -> bool {
    match status {
        Status::Declined | Status::Failed | Status::Voided | Status::Reversed => true,
        Status::Requested
        | Status::AwaitingApproval
        | Status::Held
        | Status::Ready
        | Status::Dispatched
        | Status::Unknown
        | Status::Pending
        | Status::RequiresAction
        | Status::Succeeded => false,
    }
}

/// Asks the engine: for the payment with the id that the path spells, else for the one it is
/// another name of.
async fn ask(
    face: &Face,
    text: &str,
    wish: &Wish,
) -> Result<(PaymentId, Result<RefundReply, CommandError>), Failure> {
    if let Some(payment) = payment::spelled(text) {
        let reply = face.desk.refund(request(face, payment, wish)).await;
        if !matches!(reply, Err(CommandError::PaymentUnknown)) {
            return Ok((payment, reply));
        }
    }
    let named = payment::alias(face, wish.actor.merchant, text).await?;
    let payment = named.ok_or_else(|| Failure::payment_unknown(text))?;
    let reply = face.desk.refund(request(face, payment, wish)).await;
    Ok((payment, reply))
}

fn request(face: &Face, payment: PaymentId, wish: &Wish) -> RefundRequest {
    let payment_text = uuid_text(payment.bits());
    let [amount, reason, note] = wish.body.meaning();
    let meaning = [payment_text.as_str(), &amount, &reason, &note];
    let key = |text: &String| desk::key(NAME, &["refund", &payment_text], text, &meaning);
    RefundRequest {
        merchant: wish.actor.merchant,
        payment,
        ask: Ask {
            refund: RefundId::new(face.desk.ids().next()),
            target: Target::Primary,
            amount: Amount::Minor(wish.body.amount),
            currency: None,
            at_ms: wish.at_ms,
        },
        details: Details {
            face: NAME.to_owned(),
            actor: wish.actor.name.clone(),
            reason_code: Some(wish.body.reason.to_owned()),
            reason_text: None,
            reason: Reason::None,
            note: wish.body.note.clone(),
            external_identifier: None,
            given_id: None,
            key_text: wish.key_text.clone(),
            metadata: None,
            wants_reference: false,
        },
        keys: wish.key_text.iter().map(key).collect(),
        wait: Wait::Outcome,
        answers_unknown: true,
    }
}

/// `expand=order,payment` shows both (decision V1-3). One of them alone shows nothing, as every
/// parameter does in the original.
fn is_expanded(query: &[(String, String)]) -> bool {
    let expand = query.iter().find(|(name, _)| name == "expand");
    expand.is_some_and(|(_, text)| {
        ["order", "payment"].iter().all(|wanted| text.split(',').any(|name| name == *wanted))
    })
}

/// `{"refund": ...}`
#[derive(Serialize)]
struct Answer {
    refund: Shown,
}

/// A refund, and on demand what surrounds it.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    refund: Refund,
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payment: Option<fields::Members>,
}

/// What is read back of a refund that was made, with all of its payment where `is_expanded`.
async fn read_back(
    face: &Face,
    reply: &RefundReply,
    is_expanded: bool,
) -> Result<(Arc<RefundOfPayment>, Option<PaymentView>), Unseen> {
    let of = reply.refund;
    if is_expanded {
        let payment = face.desk.payment_after(of.merchant, of.payment, reply.as_of).await?;
        let shown = RefundOfPayment::of(&payment, payment.refund(of.refund).ok_or(Unseen)?);
        return Ok((Arc::new(shown), Some(payment)));
    }
    Ok((face.desk.refund_after(reply).await?, None))
}

/// The answer to a refund that was made. `None`: nobody knows what it is.
fn answer(
    wish: &Wish,
    reply: &RefundReply,
    read: Option<(Arc<RefundOfPayment>, Option<PaymentView>)>,
) -> Option<Answer> {
    let (refund, surroundings) = match read {
        Some((shown, payment)) => (Refund::of(shown.order.as_deref(), &shown.refund), payment),
        // An error would make the client ask for a second refund (A5), and what was asked is known.
        None if !reply.is_replay => (asked(wish, reply), None),
        None => return None,
    };
    let refund = Shown {
        refund,
        order: surroundings.as_ref().map(payment::order),
        payment: surroundings.as_ref().map(payment::row),
    };
    Some(Answer { refund })
}

/// A refund as it was asked for.
fn asked(wish: &Wish, reply: &RefundReply) -> Refund {
    let asked_at = millis_text(wish.at_ms);
    Refund {
        id: wire::refund_text(reply.refund.refund.bits()),
        order_id: None,
        payment_id: Some(wire::payment_text(reply.refund.payment.bits())),
        amount: wish.body.amount,
        note: wish.body.note.clone(),
        reason: Some(wish.body.reason.to_owned()),
        metadata: None,
        idempotency_key: wish.key_text.clone(),
        created_at: asked_at.clone(),
        updated_at: asked_at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_payment_are_shown_when_both_are_asked_for() {
        for (name, text, is_shown) in [
            ("expand", "order,payment", true),
            ("expand", "payment,order", true),
            ("expand", "payment", false),
            ("expand", "order", false),
            ("expand", "", false),
            ("fields", "order,payment", false),
        ] {
            let query = [(name.to_owned(), text.to_owned())];
            assert_eq!(is_expanded(&query), is_shown, "{name}={text}");
        }
    }
}
