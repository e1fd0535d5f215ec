//! `POST /v1/admin/refunds` and `POST /v1/refunds`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use requite_core::decide::{Amount, Ask, Refusal, Target};
use requite_core::id::{RefundId, uuid_text};
use requite_engine::command::{CommandError, Details, Reason, RefundReply, RefundRequest, Wait};
use requite_engine::key::{Key, Lifetime};
use requite_engine::read::RefundOfPayment;
use serde::Serialize;

use super::auth;
use super::charge::{self, Named};
use super::failure::{Failure, Unmade, unmade};
use super::wire::{self, CreateRefund, Route};
use crate::access::{Actor, Caller};
use crate::desk::{Desk, key, refund_headers};

#[derive(Serialize)]
struct OfCharge {
    refund_id: String,
    payment_id: String,
    charge_id: String,
    amount_cents: i64,
    status: &'static str,
    stripe_refund_id: String,
}

#[derive(Serialize)]
struct OfPayment {
    refund_id: String,
    payment_id: String,
    amount_cents: i64,
    status: &'static str,
}

pub(super) async fn create_by_charge(
    State(desk): State<Desk>,
    request: Request,
) -> Result<Response, Failure> {
    let made = create(&desk, request, Route::Charge).await?;
    let refund = &made.shown.refund;
    Ok(made.respond(&OfCharge {
        refund_id: charge::refund_id(refund.id),
        payment_id: charge::payment_id(refund.payment),
        charge_id: made.named.charge.clone(),
        amount_cents: refund.amount.units(),
        status: wire::status_word(made.reply.status),
        stripe_refund_id: charge::psp_refund_id(refund.id, refund.psp_refund.as_deref()),
    }))
}

pub(super) async fn create_by_payment(
    State(desk): State<Desk>,
    request: Request,
) -> Result<Response, Failure> {
    let made = create(&desk, request, Route::Payment).await?;
    let refund = &made.shown.refund;
    Ok(made.respond(&OfPayment {
        refund_id: charge::refund_id(refund.id),
        payment_id: charge::payment_id(refund.payment),
        amount_cents: refund.amount.units(),
        status: wire::status_word(made.reply.status),
    }))
}

/// A refund that a 201 may tell of.
struct Made {
    named: Named,
    reply: RefundReply,
    shown: Arc<RefundOfPayment>,
}

impl Made {
    fn respond(&self, body: &impl Serialize) -> Response {
        let mut response = wire::json(StatusCode::CREATED, body);
        response.headers_mut().extend(refund_headers(&self.reply));
        response
    }
}

async fn create(desk: &Desk, mut request: Request, route: Route) -> Result<Made, Failure> {
    let actor = auth::actor(desk, Caller::of(&request)).await?;
    let wish = wire::create_refund(&mut request, route).await?;
    let (named, reply) = ask(desk, &actor, &wish, route).await?;
    let reply = match reply {
        Ok(reply) => reply,
        Err(error) => return Err(explain(desk, &actor, &named, error).await),
    };
    let shown = desk.refund_after(&reply).await;
    let Ok(shown) = shown else {
        return Err(Failure::Unmade { reply: Box::new(reply), unmade: Unmade::Unshown });
    };
    match unmade(reply.status, shown.refund.fault.as_ref()) {
        Some(unmade) => Err(Failure::Unmade { reply: Box::new(reply), unmade }),
        None => Ok(Made { named, reply, shown }),
    }
}

/// Asks the engine: for the payment whose id is spelt, else for the one that has it as another name.
async fn ask(
    desk: &Desk,
    actor: &Actor,
    wish: &CreateRefund,
    route: Route,
) -> Result<(Named, Result<RefundReply, CommandError>), Failure> {
    if let Some(payment) = charge::decode(&wish.named) {
        let named = Named { payment, charge: charge::charge_id(payment) };
        let reply = desk.refund(asked(desk, actor, &named, wish, route)).await;
        if !matches!(reply, Err(CommandError::PaymentUnknown)) {
            return Ok((named, reply));
        }
    }
    let named = charge::registered(desk, actor.merchant, wish.named.clone()).await?;
    let named = named.ok_or(match route {
        Route::Charge => Failure::ChargeUnknown,
        Route::Payment => Failure::PaymentUnknown,
    })?;
    let reply = desk.refund(asked(desk, actor, &named, wish, route)).await;
    Ok((named, reply))
}

fn asked(
    desk: &Desk,
    actor: &Actor,
    named: &Named,
    wish: &CreateRefund,
    route: Route,
) -> RefundRequest {
    RefundRequest {
        merchant: actor.merchant,
        payment: named.payment,
        ask: Ask {
            refund: RefundId::new(desk.ids().next()),
            target: Target::Primary,
            amount: wish.amount.clone(),
            currency: None,
            at_ms: desk.now_ms(),
        },
        details: Details {
            face: "loop".to_owned(),
            actor: actor.name.clone(),
            reason_code: None,
            reason_text: wish.reason.clone(),
            reason: Reason::None,
            note: None,
            external_identifier: None,
            given_id: None,
            key_text: wish.idempotency_key.clone(),
            metadata: None,
            wants_reference: false,
        },
        keys: keys(named, wish, route),
        wait: Wait::Outcome,
        answers_unknown: false,
    }
}

/// The caller's key, and the one by which a retry without a key joins a refund whose outcome is not
/// known (decision L6).
fn keys(named: &Named, wish: &CreateRefund, route: Route) -> Vec<Key> {
    let payment = uuid_text(named.payment.bits());
    let amount = match &wish.amount {
        Amount::Minor(cents) => cents.to_string(),
        Amount::Remaining | Amount::Whole | Amount::Major(_) => "full".to_owned(),
    };
    let by_header = wish.idempotency_key.as_deref().map(|text| {
        // The answer repeats the charge as it was named, so another name is another meaning.
        let reason = wish.reason.as_ref().map(|text| format!("text {text}"));
        let reason = reason.as_deref().unwrap_or("none");
        let meaning = [payment.as_str(), &named.charge, &amount, reason];
        key("loop", &[route.text()], text, &meaning)
    });
    let by_amount = Key {
        lifetime: Lifetime::WhileUnknown,
        ..key("loop", &["retry", &payment], &amount, &[&payment, &amount])
    };
    by_header.into_iter().chain([by_amount]).collect()
}

/// Nothing left comes before everything else that is wrong with a payment (decision L2); a payment
/// that was cancelled after all of it was given back is already refunded.
async fn explain(desk: &Desk, actor: &Actor, named: &Named, error: CommandError) -> Failure {
    let CommandError::Refused { refusal: Refusal::Cancelled, is_replay } = error else {
        return Failure::Command(error);
    };
    let payment = match desk.payment(actor.merchant, named.payment, None).await {
        Ok(payment) => payment,
        Err(fault) => return Failure::Read(fault),
    };
    let is_spent = payment.is_some_and(|payment| {
        let leg = payment.primary();
        leg.captured() <= payment.refunded_or_open(leg.id)
    });
    let refusal = if is_spent { Refusal::NothingLeft } else { Refusal::Cancelled };
    Failure::Command(CommandError::Refused { refusal, is_replay })
}
