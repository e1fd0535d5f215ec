//! `POST /admin/orders/{id}/refund`: one wish, taken from the order's payments, oldest first.
//!
//! Invariants:
//! - The split is written down before anything is asked of the engine, with ids and keys of its own for
//!   every part. The same request with its key finds that plan and asks for the same parts, so none is
//!   paid twice and an interrupted one is finished. Another plan takes its place only while nothing of it
//!   is done.
//! - Parts are asked for one after the other, and the first that fails ends it: what was refused moves
//!   no more money. What moved before is told, in an error that no client sends again by itself.
//! - Once begun it goes on to its end, whether or not the client still listens.

use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use requite_core::decide::{Amount, Ask, Refusal, Target};
use requite_core::id::{PaymentId, RefundId, uuid_text};
use requite_core::money::Minor;
use requite_engine::command::{CommandError, Details, Reason, RefundReply, RefundRequest, Wait};
use requite_engine::key::{Key, marked};
use requite_engine::order::{OrderPart, OrderRefund};

use super::failure::{self, Failure};
use super::order::{self, Order};
use super::wire::{self, Members, OrderRefundBody};
use super::{Face, NAME, auth};
use crate::access::{Actor, Caller};
use crate::desk::{self, Unseen};
use crate::keyed::{Keyed, confirmed};

/// How often a refund is planned anew when others take the money that it counts on.
const PLANS_MAX: usize = 16;

/// A request that passed all checks of form.
struct Wish {
    actor: Actor,
    order: String,
    body: OrderRefundBody,
    key_text: Option<String>,
    keyed: Keyed,
}

/// A refund that was made, whole.
struct Made {
    order: Order,
    headers: HeaderMap,
}

/// `POST /admin/orders/{id}/refund`
pub(super) async fn create(
    State(face): State<Face>,
    Path(id): Path<String>,
    Query(query): Query<Vec<(String, String)>>,
    mut request: Request,
) -> Result<Response, Failure> {
    let bytes = wire::body(&mut request).await?;
    let members = Members::read(&bytes)?;
    let actor = auth::actor(&face, Caller::of(&request)).await?;
    let body = OrderRefundBody::read(&members)?;
    let selection = order::changed(&query)?;
    let key_text = wire::key_text(request.headers())?;
    let [amount, reason, note] = body.meaning();
    let meaning = [id.as_str(), &amount, &reason, &note];
    let key = |text: &String| desk::key(NAME, &["order-refund", &id], text, &meaning);
    let keyed = Keyed::new(actor.merchant, key_text.as_ref().map(key), face.desk.now_ms());
    let wish = Wish { actor, order: id, body, key_text, keyed };
    let made = tokio::spawn(async move { made(&face, &wish).await });
    let Made { order, headers } = made.await.map_err(|fault| {
        tracing::error!(%fault, "an order's refund ended without an answer");
        Failure::unknown()
    })??;
    Ok((headers, wire::json(StatusCode::OK, &order.shown(&selection))).into_response())
}

async fn made(face: &Face, wish: &Wish) -> Result<Made, Failure> {
    let (mut plan, mut is_repeat) = match earlier(face, wish).await? {
        Some(plan) => (plan, true),
        None => planned(face, wish, None).await?,
    };
    for _ in 0..PLANS_MAX {
        if let Some(word) = &plan.refusal {
            let refusal = TooMuch::from_word(word).ok_or_else(Failure::unknown)?;
            return Err(refusal.failure().with(desk::replay_headers(is_repeat)));
        }
        if let Some(done) = carried_out(face, wish, &plan).await? {
            return told(face, &plan, &done, is_repeat).await;
        }
        (plan, is_repeat) = planned(face, wish, Some(plan.id)).await?;
    }
    Err(Failure::busy("Other refunds of the order came first. Nothing was done; try again."))
}

/// Asks for the parts, one after the other. `None`: the first is refused, for somebody took the money
/// since the plan was made. Nothing is done, and another plan may do.
async fn carried_out(
    face: &Face,
    wish: &Wish,
    plan: &OrderRefund,
) -> Result<Option<Vec<RefundReply>>, Failure> {
    let mut done: Vec<RefundReply> = Vec::new();
    for part in &plan.payments {
        let Some((refund, amount)) = part.refund else {
            continue;
        };
        let asked = request(wish, plan, (part.payment, refund, amount), face.desk.now_ms());
        match face.desk.refund_as_planned(asked).await {
            Ok(reply) if reply.status.holds_money() => done.push(reply),
            Err(CommandError::Refused {
                refusal: Refusal::NothingLeft | Refusal::ExceedsLeft { .. },
                ..
            }) if done.is_empty() => return Ok(None),
            otherwise => return Err(stopped(wish, &done, part.payment, otherwise)),
        }
    }
    Ok(Some(done))
}

/// The order as it is with the parts that were done.
async fn told(
    face: &Face,
    plan: &OrderRefund,
    done: &[RefundReply],
    is_repeat: bool,
) -> Result<Made, Failure> {
    let headers = headers(done, is_repeat);
    let seen = plan.payments.iter().map(|part| {
        let reply = done.iter().find(|reply| reply.refund.payment == part.payment);
        (part.payment, reply.map_or(Some(part.seen), |reply| reply.as_of))
    });
    match Order::read_back(face, plan.merchant, &plan.order, seen.collect()).await {
        Ok(order) => Ok(Made { order, headers }),
        Err(Unseen) => Err(Failure::unshown().with(headers)),
    }
}

/// A plan for this wish, and whether an earlier request made it. `instead_of`: the plan that did not do.
async fn planned(
    face: &Face,
    wish: &Wish,
    instead_of: Option<RefundId>,
) -> Result<(OrderRefund, bool), Failure> {
    let order = Order::read(face, wish.actor.merchant, &wish.order).await?;
    let order = order.ok_or_else(|| Failure::order_unknown(&wish.order))?;
    let plan = plan(face, wish, &order);
    if wish.key_text.is_none()
        && let Some(refusal) = plan.refusal.as_deref().and_then(TooMuch::from_word)
    {
        return Err(refusal.failure());
    }
    let kept = wish.keyed.answer(plan.id.bits(), None);
    let copy = plan.clone();
    let write = move |registry: &dyn requite_engine::registry::Registry| {
        registry.plan_order_refund(&copy, kept.as_ref(), instead_of)
    };
    match confirmed(face.desk.write(write).await) {
        Ok(Some(())) => Ok((plan, false)),
        // Another request with the key came first: its plan is the plan.
        Ok(None) => {
            let first = earlier(face, wish).await?;
            first.map(|plan| (plan, true)).ok_or_else(Failure::unknown)
        }
        Err(fault) => {
            if let Some(fault) = fault {
                tracing::error!(%fault, "an order's refund could not be planned");
            }
            Err(Failure::unknown())
        }
    }
}

async fn earlier(face: &Face, wish: &Wish) -> Result<Option<OrderRefund>, Failure> {
    let Some(kept) = wish.keyed.earlier(&face.desk).await? else {
        return Ok(None);
    };
    let (merchant, id) = (wish.actor.merchant, RefundId::new(kept.subject));
    let plan = face.desk.read(move |reads| reads.order_refund(merchant, id)).await?;
    plan.map(Some).ok_or_else(Failure::unknown)
}

fn plan(face: &Face, wish: &Wish, order: &Order) -> OrderRefund {
    let split = split(order, wish.body.amount);
    let drawn = || RefundId::new(face.desk.ids().next());
    // As if each part was asked for under a key of its own, for whoever restores a backup.
    let draw = |payment: PaymentId| {
        let payment_text = uuid_text(payment.bits());
        let key = |text: &String| {
            desk::key(NAME, &["order-refund", wish.order.as_str(), &payment_text], text, &[])
        };
        let keys: Vec<Key> = wish.key_text.iter().map(key).collect();
        marked(drawn(), &keys)
    };
    let taken = split.as_deref().unwrap_or_default();
    let payments: Vec<OrderPart> = order
        .payments()
        .iter()
        .map(|payment| {
            let amount = taken.iter().find(|(id, _)| *id == payment.id).map(|(_, amount)| *amount);
            let refund = amount.map(|amount| (draw(payment.id), amount));
            OrderPart { payment: payment.id, seen: payment.seq, refund }
        })
        .collect();
    let first = payments.iter().find_map(|part| part.refund.map(|(refund, _)| refund));
    OrderRefund {
        merchant: wish.actor.merchant,
        id: first.unwrap_or_else(drawn),
        order: wish.order.clone(),
        amount: wish.body.amount,
        reason: wish.body.reason.to_owned(),
        note: wish.body.note.clone(),
        key_text: wish.key_text.clone(),
        refusal: split.err().map(|refusal| refusal.word().to_owned()),
        payments,
        created_at_ms: face.desk.now_ms(),
    }
}

/// Why an order's refund is refused before anything is asked of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TooMuch {
    /// More than is left of what was to be paid.
    Paid,
    /// As much was to be paid, and is not captured.
    Captured,
}

impl TooMuch {
    fn word(self) -> &'static str {
        match self {
            TooMuch::Paid => "exceeds_paid",
            TooMuch::Captured => "exceeds_captured",
        }
    }

    fn from_word(word: &str) -> Option<TooMuch> {
        [TooMuch::Paid, TooMuch::Captured].into_iter().find(|refusal| refusal.word() == word)
    }

    fn failure(self) -> Failure {
        match self {
            TooMuch::Paid => Failure::exceeds_order(),
            TooMuch::Captured => Failure::exceeds_captured(),
        }
    }
}

/// How much each payment gives: the oldest all it has, then the next.
fn split(order: &Order, amount: i64) -> Result<Vec<(PaymentId, Minor)>, TooMuch> {
    if amount > order.paid().saturating_sub(order.refunded()) {
        return Err(TooMuch::Paid);
    }
    let mut wanted = amount;
    let mut split = Vec::new();
    for payment in order.counted() {
        let leg = payment.primary();
        let left = leg.captured().saturating_sub(payment.refunded_or_open(leg.id));
        let taken = wanted.min(left);
        if let Some(amount) = Minor::new(taken).filter(|amount| !amount.is_zero()) {
            split.push((payment.id, amount));
            wanted = wanted.saturating_sub(taken);
        }
    }
    if wanted == 0 { Ok(split) } else { Err(TooMuch::Captured) }
}

fn request(
    wish: &Wish,
    plan: &OrderRefund,
    (payment, refund, amount): (PaymentId, RefundId, Minor),
    at_ms: i64,
) -> RefundRequest {
    let (plan_text, payment_text) = (uuid_text(plan.id.bits()), uuid_text(payment.bits()));
    let scope = ["order-refund-part", plan_text.as_str(), &payment_text];
    let units = amount.units().to_string();
    RefundRequest {
        merchant: plan.merchant,
        payment,
        ask: Ask {
            refund,
            target: Target::Primary,
            amount: Amount::Minor(amount.units()),
            currency: None,
            at_ms,
        },
        details: Details {
            face: NAME.to_owned(),
            actor: wish.actor.name.clone(),
            reason_code: Some(plan.reason.clone()),
            reason_text: None,
            reason: Reason::None,
            note: plan.note.clone(),
            external_identifier: None,
            given_id: None,
            key_text: plan.key_text.clone(),
            metadata: None,
            wants_reference: false,
        },
        keys: vec![desk::key(NAME, &scope, "", &[&units])],
        wait: Wait::Outcome,
        answers_unknown: true,
    }
}

/// What to answer when a part was not made. `done` are the parts before it.
fn stopped(
    wish: &Wish,
    done: &[RefundReply],
    payment: PaymentId,
    part: Result<RefundReply, CommandError>,
) -> Failure {
    let shown = wire::payment_text(payment.bits());
    let is_first = done.is_empty();
    let failed = || match is_first {
        true => Failure::refund_failed(&shown),
        false => Failure::order_refund_stopped(&shown),
    };
    let told = headers(done, false);
    match part {
        Ok(reply) => {
            let (mut all, is_replay) = (done.to_vec(), reply.is_replay);
            all.push(reply);
            failed().with(headers(&all, is_replay))
        }
        // With its key the same request goes on where this one stopped; without, it would begin anew.
        Err(error) if is_first => failure::refused(error, &shown, &shown),
        Err(
            error @ (CommandError::Overloaded
            | CommandError::Stopping
            | CommandError::Unstored
            | CommandError::Unreconciled
            | CommandError::KeyInProgress),
        ) if wish.key_text.is_some() => failure::refused(error, &shown, &shown).with(told),
        Err(error) => {
            tracing::warn!(%error, "an order's refund stopped between two payments");
            failed().with(told)
        }
    }
}

/// As a repeat only where every part is one.
fn headers(parts: &[RefundReply], is_repeat: bool) -> HeaderMap {
    desk::refunds_headers(parts, is_repeat && parts.iter().all(|part| part.is_replay))
}
