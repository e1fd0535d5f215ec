//! `GET /v1/admin/refunds`: recent refunds, newest first.

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use requite_core::id::{MerchantId, PaymentId};
use requite_core::refund::Status;
use requite_engine::read::{
    PaymentFilter, PaymentView, ReadFault, Reads, RefundFilter, RefundView,
};
use serde::Serialize;

use super::auth;
use super::charge;
use super::failure::Failure;
use super::wire::{self, ListRefunds};
use crate::access::Caller;
use crate::desk::Desk;
use crate::time::millis_text;

#[derive(Serialize)]
struct Refunds {
    refunds: Vec<Refund>,
}

/// In the order in which the dialect writes them.
#[derive(Serialize)]
struct Refund {
    refund_id: String,
    payment_id: String,
    charge_id: Option<String>,
    /// Never null in this dialect: empty where the payment names no customer.
    customer_id: String,
    amount_cents: i64,
    status: &'static str,
    reason: Option<String>,
    stripe_refund_id: Option<String>,
    created_at: String,
}

pub(super) async fn recent(
    State(desk): State<Desk>,
    request: Request,
) -> Result<Response, Failure> {
    let actor = auth::actor(&desk, Caller::of(&request)).await?;
    let wish = wire::list_refunds(request.uri())?;
    let merchant = actor.merchant;
    let refunds = desk.read(move |reads| listed(reads, merchant, wish));
    let refunds = refunds.await.map_err(Failure::Read)?;
    Ok(wire::json(StatusCode::OK, &Refunds { refunds }))
}

fn listed(
    reads: &dyn Reads,
    merchant: MerchantId,
    wish: ListRefunds,
) -> Result<Vec<Refund>, ReadFault> {
    let filter = RefundFilter {
        customer: wish.customer,
        newest_first: true,
        limit: wish.limit,
        ..RefundFilter::default()
    };
    let refunds = reads.refunds(merchant, &filter)?;
    if refunds.is_empty() {
        return Ok(Vec::new());
    }
    let ids: BTreeSet<PaymentId> = refunds.iter().map(|refund| refund.payment).collect();
    let ids = PaymentFilter {
        limit: wish.limit,
        ids: ids.into_iter().collect(),
        ..PaymentFilter::default()
    };
    let payments = reads.payments(merchant, &ids)?.into_iter();
    let payments: BTreeMap<PaymentId, PaymentView> =
        payments.map(|payment| (payment.id, payment)).collect();
    let spell = |refund: &RefundView| spelled(refund, payments.get(&refund.payment));
    Ok(refunds.iter().map(spell).collect())
}

fn spelled(refund: &RefundView, payment: Option<&PaymentView>) -> Refund {
    let customer = payment.and_then(|payment| payment.customer.clone());
    Refund {
        refund_id: charge::refund_id(refund.id),
        payment_id: charge::payment_id(refund.payment),
        charge_id: payment.map(charge::charge_of),
        customer_id: customer.unwrap_or_default(),
        amount_cents: refund.amount.units(),
        status: wire::status_word(refund.status),
        reason: refund.reason_text.clone(),
        stripe_refund_id: psp_refund(refund),
        created_at: millis_text(refund.asked_at_ms),
    }
}

/// Null until the PSP has the refund, and where it never had it.
fn psp_refund(refund: &RefundView) -> Option<String> {
    let known = refund.psp_refund.as_deref();
    let is_there = match refund.status {
        Status::Requested
        | Status::AwaitingApproval
        | Status::Held
        | Status::Ready
        | Status::Dispatched
        | Status::Unknown
        | Status::Declined
        | Status::Failed
        | Status::Voided => false,
        Status::Pending | Status::RequiresAction | Status::Succeeded | Status::Reversed => true,
    };
    (is_there || known.is_some()).then(|| charge::psp_refund_id(refund.id, known))
}
