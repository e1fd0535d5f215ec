//! `POST /payments/{id}/refunds` and `GET /refunds/{id}`.

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use requite_core::decide::{Amount, Ask, Target};
use requite_core::id::{LegId, PaymentId, ReasonId, RefundId, uuid_text};
use requite_engine::command::{CommandError, Details, Reason, RefundReply, RefundRequest, Wait};
use requite_engine::read::RefundFilter;

use super::failure::{self, Failure};
use super::fields::Fields;
use super::registration::{KEPT_BYTES_MAX, REFERENCE_BYTES_MAX};
use super::wire::{self, Meaning, actor, json_answer, located};
use super::{FACE, payment, spelling, view};
use crate::access::{Actor, Caller};
use crate::desk::{self, Desk, Unseen};
use crate::http::REFUND_BODY_MAX;
use crate::json::Json;

/// Longest reason, in bytes.
const REASON_BYTES_MAX: usize = 1_024;

/// What a request to refund says.
pub(super) struct Wish {
    amount: Option<i64>,
    target: Target,
    reason: Option<String>,
    reason_id: Option<ReasonId>,
    note: Option<String>,
    external_identifier: Option<String>,
    /// JSON object text.
    metadata: Option<String>,
    pub meaning: Meaning,
}

const KNOWN: [&str; 7] =
    ["amount", "leg", "reason", "reason_id", "note", "external_identifier", "metadata"];

pub(super) fn wish(bytes: &[u8]) -> Result<Wish, Failure> {
    wire::members(wire::read(bytes, true)?, &KNOWN, |fields| {
        let metadata = fields.object("metadata", KEPT_BYTES_MAX);
        let wish = Wish {
            amount: fields.integer("amount"),
            target: target(fields),
            reason: fields.text("reason", REASON_BYTES_MAX),
            reason_id: reason_id(fields),
            note: fields.text("note", REFUND_BODY_MAX),
            external_identifier: fields.text("external_identifier", REFERENCE_BYTES_MAX),
            metadata: metadata.map(|metadata| metadata.text().to_owned()),
            meaning: Meaning::default(),
        };
        let leg = match wish.target {
            Target::Primary => None,
            Target::Leg(leg) => Some(uuid_text(leg.bits())),
        };
        let meaning = Meaning::default()
            .and(wish.amount)
            .and(leg)
            .and(wish.reason.as_ref())
            .and(wish.reason_id.map(|id| uuid_text(id.bits())))
            .and(wish.note.as_ref())
            .and(wish.external_identifier.as_ref())
            .and(metadata.map(Json::canonical));
        Wish { meaning, ..wish }
    })
}

fn target(fields: &mut Fields<'_>) -> Target {
    let leg = fields.text("leg", REFERENCE_BYTES_MAX);
    match leg.as_deref() {
        None | Some("payment_method") => Target::Primary,
        Some(text) => match spelling::leg_bits(text) {
            Some(bits) => Target::Leg(LegId::new(bits)),
            None => {
                fields.fault("leg", "must be \"payment_method\" or a leg's id");
                Target::Primary
            }
        },
    }
}

fn reason_id(fields: &mut Fields<'_>) -> Option<ReasonId> {
    let text = fields.text("reason_id", REFERENCE_BYTES_MAX)?;
    let bits = spelling::reason_bits(&text);
    if bits.is_none() {
        fields.fault("reason_id", "must be the id of one of GET /api/refund-reasons");
    }
    bits.map(ReasonId::new)
}

pub(super) async fn create(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    mut request: Request,
) -> Result<Response, Failure> {
    let actor = actor(&desk, Caller::of(&request)).await?;
    let key_text = wire::key_text(request.headers())?;
    let bytes = wire::body(&mut request, REFUND_BODY_MAX).await?;
    let wish = wish(&bytes)?;
    let asker = Asker { desk, actor, wish, key_text };
    let reply = asker.ask(&id).await?;
    Ok(answer(&asker.desk, &reply).await)
}

/// Who asks for what.
struct Asker {
    desk: Desk,
    actor: Actor,
    wish: Wish,
    key_text: Option<String>,
}

impl Asker {
    /// Asks the engine: for the payment whose id `text` spells, else for the one that it is another name of.
    async fn ask(&self, text: &str) -> Result<RefundReply, Failure> {
        if let Some(bits) = spelling::payment_bits(text) {
            let reply = self.desk.refund(self.request(PaymentId::new(bits))).await;
            if !matches!(reply, Err(CommandError::PaymentUnknown)) {
                return reply.map_err(failure::of_command);
            }
        }
        let payment = payment::the(&self.desk, self.actor.merchant, text).await?;
        let reply = self.desk.refund(self.request(payment)).await;
        reply.map_err(failure::of_command)
    }

    fn request(&self, payment: PaymentId) -> RefundRequest {
        let Asker { desk, actor, wish, key_text } = self;
        let payment_text = uuid_text(payment.bits());
        let key = |text: &str| wire::key(text, &["refunds", &payment_text], &wish.meaning);
        RefundRequest {
            merchant: actor.merchant,
            payment,
            keys: key_text.as_deref().map(key).into_iter().collect(),
            ask: Ask {
                refund: RefundId::new(desk.ids().next()),
                target: wish.target,
                amount: wish.amount.map_or(Amount::Remaining, Amount::Minor),
                currency: None,
                at_ms: desk.now_ms(),
            },
            details: Details {
                face: FACE.to_owned(),
                actor: actor.name.clone(),
                reason_code: None,
                reason_text: wish.reason.clone(),
                reason: wish.reason_id.map_or(Reason::None, Reason::Kept),
                note: wish.note.clone(),
                external_identifier: wish.external_identifier.clone(),
                given_id: None,
                key_text: key_text.clone(),
                metadata: wish.metadata.clone(),
                wants_reference: false,
            },
            wait: Wait::Outcome,
            answers_unknown: true,
        }
    }
}

async fn answer(desk: &Desk, reply: &RefundReply) -> Response {
    let of = reply.refund;
    let location = format!("/api/refunds/{}", uuid_text(of.refund.bits()));
    let mut response = match desk.refund_after(reply).await {
        Ok(shown) => located(StatusCode::CREATED, view::refund(&shown.refund), &location),
        Err(Unseen) => Failure::unshown(&location).into_response(),
    };
    response.headers_mut().extend(desk::refund_headers(reply));
    response
}

pub(super) async fn show(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    let actor = actor(&desk, Caller::of(&request)).await?;
    let not_found = || Failure::not_found("refund");
    let bits = spelling::refund_bits(&id).ok_or_else(not_found)?;
    let found = desk.read(move |reads| {
        if let Some(found) = reads.refund(actor.merchant, RefundId::new(bits))? {
            return Ok(Some(found));
        }
        // Moyasar's clients give a refund its id. One id is one refund's for as long as its key lives.
        let given = RefundFilter {
            given_id: Some(bits),
            newest_first: true,
            limit: 1,
            ..RefundFilter::default()
        };
        Ok(reads.refunds(actor.merchant, &given)?.pop())
    });
    let view = found.await?.ok_or_else(not_found)?;
    Ok(json_answer(StatusCode::OK, view::refund(&view)))
}
