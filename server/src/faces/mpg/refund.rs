//! `POST /v1/orders/{id}/refund`.

use std::time::Duration;

use axum::extract::{Path, Request, State};
use axum::response::Response;
use requite_core::decide::{Amount, Ask, Target};
use requite_core::id::{PaymentId, RefundId};
use requite_engine::command::{CommandError, Details, Reason, RefundReply, RefundRequest, Wait};

use super::failure::Failure;
use super::repeat::{Deed, explain, keys, unless_unknown};
use super::wire::CreateRefund;
use super::{auth, order, wire};
use crate::access::{Actor, Caller};
use crate::desk::{Desk, refund_headers};

/// How often a repeat that meets its first request still running is tried again (decision M4).
const REPEATS_MAX: u32 = 5;
/// Between two tries.
const REPEAT_PAUSE: Duration = Duration::from_millis(400);

pub(super) async fn create(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    mut request: Request,
) -> Result<Response, Failure> {
    let actor = auth::actor(&desk, Caller::of(&request)).await?;
    let order = wire::order_id(&id).ok_or(Failure::OrderUnknown)?;
    let body = wire::body(&mut request).await;
    let is_required = !desk.settings().mpg_refunds_remaining;
    let wish = body.and_then(|body| wire::refund(&body, request.headers(), is_required));
    let wish = match wish {
        Ok(wish) => wish,
        Err(failure) => return Err(unless_unknown(&desk, &actor, order, failure).await),
    };
    let reply = match refund(&desk, &actor, order, &wish).await {
        Ok(reply) => reply,
        Err(error) => {
            let asked = (Deed::Refund(wish.amount), &wish.names);
            return Err(explain(&desk, &actor, order, asked, error).await);
        }
    };
    order::answer(&desk, actor.merchant, (order, reply.as_of), refund_headers(&reply)).await
}

/// Asks for the refund; while an earlier request with the same key runs, again and again for a while.
async fn refund(
    desk: &Desk,
    actor: &Actor,
    order: PaymentId,
    wish: &CreateRefund,
) -> Result<RefundReply, CommandError> {
    let mut repeats = 0_u32;
    loop {
        let reply = desk.refund(asked(desk, actor, order, wish)).await;
        if reply != Err(CommandError::KeyInProgress) || repeats >= REPEATS_MAX {
            return reply;
        }
        repeats = repeats.saturating_add(1);
        tokio::time::sleep(REPEAT_PAUSE).await;
    }
}

fn asked(desk: &Desk, actor: &Actor, order: PaymentId, wish: &CreateRefund) -> RefundRequest {
    RefundRequest {
        merchant: actor.merchant,
        payment: order,
        ask: Ask {
            refund: RefundId::new(desk.ids().next()),
            target: Target::Primary,
            amount: wish.amount.map_or(Amount::Remaining, Amount::Minor),
            currency: None,
            at_ms: desk.now_ms(),
        },
        details: Details {
            face: "mpg".to_owned(),
            actor: actor.name.clone(),
            reason_code: None,
            reason_text: None,
            reason: Reason::None,
            note: None,
            external_identifier: None,
            given_id: wish.names.transaction_id,
            key_text: None,
            metadata: None,
            wants_reference: true,
        },
        keys: keys(order, Deed::Refund(wish.amount), &wish.names),
        wait: Wait::Outcome,
        answers_unknown: true,
    }
}
