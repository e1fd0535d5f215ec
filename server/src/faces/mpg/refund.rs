//! `POST /v1/orders/{id}/refund`.

use std::time::Duration;

use axum::extract::{Path, Request, State};
use axum::response::Response;
use requite_core::decide::{Amount, Ask, Target};
use requite_core::id::{PaymentId, RefundId, uuid_text};
use requite_engine::command::{CommandError, Details, Reason, RefundReply, RefundRequest, Wait};
use requite_engine::key::Key;

use super::failure::{Failure, Field};
use super::wire::CreateRefund;
use super::{auth, order, wire};
use crate::access::{Actor, Caller};
use crate::desk::{Desk, key, refund_headers};

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
    let wish = match wire::create_refund(&mut request).await {
        Ok(wish) => wish,
        Err(failure) => return Err(unless_unknown(&desk, &actor, order, failure).await),
    };
    let reply = match refund(&desk, &actor, order, &wish).await {
        Ok(reply) => reply,
        Err(error) => return Err(explain(&desk, &actor, order, &wish, error).await),
    };
    let shown = order::read(&desk, actor.merchant, order, reply.as_of).await;
    let shown = shown.unwrap_or_else(|failure| {
        failure.log();
        None
    });
    let shown = shown.ok_or(Failure::Unshown(reply))?;
    let mut response = wire::ok(&shown);
    response.headers_mut().extend(refund_headers(&reply));
    Ok(response)
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
            amount: Amount::Minor(wish.amount),
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
            given_id: wish.transaction_id,
            key_text: None,
            metadata: None,
            wants_reference: true,
        },
        keys: keys(order, wish),
        wait: Wait::Outcome,
        answers_unknown: true,
    }
}

/// The header's key first: its repeats get the first answer again (decision A4), where repeats by
/// `transaction_id` alone get the present order (M1).
fn keys(order: PaymentId, wish: &CreateRefund) -> Vec<Key> {
    let order = uuid_text(order.bits());
    let amount = wish.amount.to_string();
    let transaction = wish.transaction_id.map(uuid_text);
    let by_header = wish.idempotency_key.as_deref().map(|text| {
        let meaning = [&order, &amount, transaction.as_deref().unwrap_or("")];
        key("mpg", &["idempotency_key", "refund"], text, &meaning)
    });
    let by_transaction = transaction.as_deref().map(|text| Key {
        answers_present: true,
        ..key("mpg", &["transaction_id"], text, &[&order, "refund", &amount])
    });
    by_header.into_iter().chain(by_transaction).collect()
}

/// What is wrong with a request to an unknown order is not told: the order comes first.
async fn unless_unknown(desk: &Desk, actor: &Actor, order: PaymentId, failure: Failure) -> Failure {
    match desk.payment(actor.merchant, order, None).await {
        Ok(Some(_)) => failure,
        Ok(None) => Failure::OrderUnknown,
        Err(fault) => Failure::Read(fault),
    }
}

async fn explain(
    desk: &Desk,
    actor: &Actor,
    order: PaymentId,
    wish: &CreateRefund,
    error: CommandError,
) -> Failure {
    match error {
        CommandError::KeyReused => reused(desk, actor, order, wish).await,
        CommandError::PaymentUnknown
        | CommandError::KeyInProgress
        | CommandError::Refused { .. }
        | CommandError::BookingRefused { .. }
        | CommandError::Overloaded
        | CommandError::Stopping
        | CommandError::Store(_) => Failure::Command(error),
    }
}

/// Which of the caller's keys stands for another request. With both sent, the order's rows tell: a
/// row with the transaction's id and this amount clears the transaction; another amount convicts it.
async fn reused(desk: &Desk, actor: &Actor, order: PaymentId, wish: &CreateRefund) -> Failure {
    let payment = match desk.payment(actor.merchant, order, None).await {
        Ok(Some(payment)) => payment,
        Ok(None) => return Failure::OrderUnknown,
        Err(fault) => return Failure::Read(fault),
    };
    let mut rows = payment.refunds.iter();
    let row = rows.find(|row| row.given_id.is_some() && row.given_id == wish.transaction_id);
    Failure::KeyReused(match (wish.transaction_id, &wish.idempotency_key, row) {
        (_, None, _) => &[Field::TransactionId],
        (None, Some(_), _) => &[Field::IdempotencyKey],
        (Some(_), Some(_), Some(row)) if row.amount.units() == wish.amount => {
            &[Field::IdempotencyKey]
        }
        (Some(_), Some(_), Some(_)) => &[Field::TransactionId],
        (Some(_), Some(_), None) => &[Field::TransactionId, Field::IdempotencyKey],
    })
}
