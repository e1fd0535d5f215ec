//! `GET /payments`, `GET /refunds` and `GET /payments/{id}/refunds`.

use axum::extract::{Path, Request, State};
use axum::response::Response;
use requite_core::id::{MerchantId, PaymentId, RefundId};
use requite_core::refund::Status;
use requite_engine::read::{PaymentFilter, PaymentView, RefundFilter, RefundView, Sort};

use super::failure::Failure;
use super::page::{self, List, Row, Turn};
use super::query::Parameters;
use super::wire::actor;
use super::{payment, view};
use crate::access::Caller;
use crate::desk::Desk;
use crate::people;

pub(super) const PAYMENT_PARAMETERS: [&str; 19] = [
    "external_identifier",
    "order_reference",
    "customer",
    "connector",
    "connector_payment",
    "currency",
    "stage",
    "has_refunds",
    "has_gift_cards",
    "created_from",
    "created_until",
    "updated_from",
    "updated_until",
    "amount_from",
    "amount_until",
    "sort",
    "order",
    "cursor",
    "limit",
];

pub(super) async fn payments(
    State(desk): State<Desk>,
    request: Request,
) -> Result<Response, Failure> {
    let actor = actor(&desk, Caller::of(&request)).await?;
    let parameters = Parameters::read(request.uri(), &PAYMENT_PARAMETERS)?;
    let turn = parameters.turn(List::Payments)?;
    let filter = payment_filter(&parameters, &turn)?;
    let found = desk.read(move |reads| reads.payments(actor.merchant, &filter)).await?;
    let row = |view: &PaymentView| {
        let at_ms = match turn.sort {
            Sort::Id => 0,
            Sort::Created => view.created_at_ms,
            Sort::Updated => view.updated_at_ms,
        };
        Row::of(view.id.bits(), view::payment(view)).at(at_ms)
    };
    Ok(page::answer(&turn, found.iter().map(row).collect()))
}

pub(super) fn payment_filter(
    parameters: &Parameters,
    turn: &Turn,
) -> Result<PaymentFilter, Failure> {
    let words: Vec<&str> = view::STAGES.iter().map(|(_, word)| *word).collect();
    let stage = |word: &str| {
        let known = view::STAGES.iter().find(|(_, listed)| *listed == word);
        known.map(|(stage, _)| *stage)
    };
    Ok(PaymentFilter {
        ids: Vec::new(),
        external_identifier: parameters.text("external_identifier")?,
        order: parameters.text("order_reference")?,
        customer: parameters.text("customer")?,
        connector: parameters.text("connector")?,
        connector_payment: parameters.text("connector_payment")?,
        currencies: parameters.currencies()?,
        stages: parameters.words("stage", &format!("must be of {}", words.join(", ")), stage)?,
        has_refunds: parameters.flag("has_refunds")?,
        has_gift_cards: parameters.flag("has_gift_cards")?,
        created_from_ms: parameters.time("created_from")?,
        created_until_ms: parameters.time("created_until")?,
        updated_from_ms: parameters.time("updated_from")?,
        updated_until_ms: parameters.time("updated_until")?,
        amount_from: parameters.amount("amount_from")?,
        amount_until: parameters.amount("amount_until")?,
        sort: turn.sort,
        newest_first: turn.newest_first(),
        after: turn.after().map(|(bits, at_ms)| (PaymentId::new(bits), at_ms)),
        limit: turn.limit(),
        ..PaymentFilter::default()
    })
}

pub(super) const REFUND_PARAMETERS: [&str; 17] = [
    "needs",
    "status",
    "external_identifier",
    "created_from",
    "created_until",
    "sent_from",
    "sent_until",
    "settled_from",
    "settled_until",
    "updated_from",
    "updated_until",
    "amount_from",
    "amount_until",
    "sort",
    "order",
    "cursor",
    "limit",
];
/// What narrows refunds by their payment.
const OF_PAYMENT: [&str; 5] = ["payment", "order_reference", "customer", "connector", "currency"];

pub(super) async fn refunds(
    State(desk): State<Desk>,
    request: Request,
) -> Result<Response, Failure> {
    let actor = actor(&desk, Caller::of(&request)).await?;
    let known = [&OF_PAYMENT[..], &REFUND_PARAMETERS].concat();
    let parameters = Parameters::read(request.uri(), &known)?;
    let turn = parameters.turn(List::Refunds)?;
    let filter = refund_filter(&parameters, &turn, desk.now_ms())?;
    let payment = match parameters.text("payment")? {
        None => None,
        Some(text) => match payment::named(&desk, actor.merchant, &text).await? {
            Some(payment) => Some(payment),
            None => return Ok(page::answer(&turn, Vec::new())),
        },
    };
    refund_page(&desk, actor.merchant, &turn, RefundFilter { payment, ..filter }).await
}

pub(super) async fn refunds_of(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    let actor = actor(&desk, Caller::of(&request)).await?;
    let parameters = Parameters::read(request.uri(), &REFUND_PARAMETERS)?;
    let turn = parameters.turn(List::Refunds)?;
    let filter = refund_filter(&parameters, &turn, desk.now_ms())?;
    let payment = payment::the(&desk, actor.merchant, &id).await?;
    payment::shown(&desk, actor.merchant, payment).await?;
    let filter = RefundFilter { payment: Some(payment), ..filter };
    refund_page(&desk, actor.merchant, &turn, filter).await
}

/// Of whichever payment.
pub(super) fn refund_filter(
    parameters: &Parameters,
    turn: &Turn,
    now_ms: i64,
) -> Result<RefundFilter, Failure> {
    let for_people_at_ms = match parameters.text("needs")?.as_deref() {
        None => None,
        Some("person") => Some(now_ms),
        Some(_) => return Err(Failure::parameter("needs", "must be person")),
    };
    let words: Vec<&str> = Status::LISTED.iter().map(|(_, _, word)| *word).collect();
    let rule = format!("must be of {}", words.join(", "));
    Ok(RefundFilter {
        payment: None,
        order: parameters.text("order_reference")?,
        customer: parameters.text("customer")?,
        connector: parameters.text("connector")?,
        currencies: parameters.currencies()?,
        external_identifier: parameters.text("external_identifier")?,
        given_id: None,
        statuses: parameters.words("status", &rule, Status::from_word)?,
        asked_from_ms: parameters.time("created_from")?,
        asked_until_ms: parameters.time("created_until")?,
        sent_from_ms: parameters.time("sent_from")?,
        sent_until_ms: parameters.time("sent_until")?,
        settled_from_ms: parameters.time("settled_from")?,
        settled_until_ms: parameters.time("settled_until")?,
        updated_from_ms: parameters.time("updated_from")?,
        updated_until_ms: parameters.time("updated_until")?,
        amount_from: parameters.amount("amount_from")?,
        amount_until: parameters.amount("amount_until")?,
        for_people_at_ms,
        sort: turn.sort,
        after: turn.after().map(|(bits, at_ms)| (RefundId::new(bits), at_ms)),
        newest_first: turn.newest_first(),
        limit: turn.limit(),
    })
}

async fn refund_page(
    desk: &Desk,
    merchant: MerchantId,
    turn: &Turn,
    filter: RefundFilter,
) -> Result<Response, Failure> {
    let for_people_at_ms = filter.for_people_at_ms;
    let found = desk.read(move |reads| reads.refunds(merchant, &filter)).await?;
    let row = |view: &RefundView| {
        let at_ms = if turn.sort == Sort::Updated { view.updated_at_ms } else { 0 };
        let need = for_people_at_ms.and_then(|now_ms| people::need(view, now_ms));
        Row::of(view.id.bits(), view::refund_with(view, need.as_ref())).at(at_ms)
    };
    Ok(page::answer(turn, found.iter().map(row).collect()))
}
