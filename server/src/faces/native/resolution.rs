//! `POST /refunds/{id}/resolution`: a person's word on a refund that nobody else can tell of.

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use requite_core::id::{RefundId, uuid_text};
use requite_engine::command::{CommandError, RefundRef, Resolution, Resolved, Ruling};

use super::failure::{self, Failure};
use super::registration::REFERENCE_BYTES_MAX;
use super::wire::{self, Meaning, actor, json_answer};
use super::{spelling, view};
use crate::access::Caller;
use crate::desk::{Desk, Unseen, replay_headers};
use crate::http::REFUND_BODY_MAX;
use crate::people;

/// Longest evidence, in bytes.
pub(crate) const EVIDENCE_BYTES_MAX: usize = 4_096;

/// What a body says.
pub(super) struct Wish {
    ruling: Ruling,
    evidence: String,
    psp_refund: Option<String>,
}

pub(super) fn wish(bytes: &[u8]) -> Result<Wish, Failure> {
    let known = ["outcome", "evidence", "psp_refund"];
    wire::members(wire::read(bytes, false)?, &known, |fields| {
        let outcome = fields.text("outcome", REFERENCE_BYTES_MAX);
        let ruling = outcome.as_deref().and_then(Ruling::from_word);
        if ruling.is_none() {
            fields.fault("outcome", "must be succeeded, declined, failed or voided");
        }
        let evidence = fields.text("evidence", EVIDENCE_BYTES_MAX).unwrap_or_default();
        if evidence.trim().is_empty() {
            fields.fault("evidence", "must say what you saw, and where");
        }
        Wish {
            // A fault was noted otherwise.
            ruling: ruling.unwrap_or(Ruling::Failed),
            evidence,
            psp_refund: fields.text("psp_refund", REFERENCE_BYTES_MAX),
        }
    })
}

pub(super) async fn create(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    mut request: Request,
) -> Result<Response, Failure> {
    let actor = actor(&desk, Caller::of(&request)).await?;
    let key_text = wire::key_text(request.headers())?;
    let bytes = wire::body(&mut request, REFUND_BODY_MAX).await?;
    let Wish { ruling, evidence, psp_refund } = wish(&bytes)?;
    let not_found = || Failure::not_found("refund");
    let id = RefundId::new(spelling::refund_bits(&id).ok_or_else(not_found)?);
    let found = desk.read(move |reads| reads.refund(actor.merchant, id)).await?;
    let payment = found.ok_or_else(not_found)?.payment;
    let meaning =
        Meaning::default().and(Some(ruling.word())).and(Some(&evidence)).and(psp_refund.as_ref());
    let text = uuid_text(id.bits());
    let key = |key: String| wire::key(&key, &["resolution", &text], &meaning);
    let asked = Resolution {
        refund: RefundRef { merchant: actor.merchant, payment, refund: id },
        ruling,
        evidence,
        psp_refund,
        keys: key_text.map(key).into_iter().collect(),
        actor: actor.name,
        at_ms: desk.now_ms(),
    };
    let resolved = desk.resolve(asked).await.map_err(|error| match error {
        CommandError::PaymentUnknown => not_found(),
        error => failure::of_command(error),
    })?;
    let Resolved::Done(booked) = resolved else {
        let (code, text) = people::refused(&resolved).expect("it was not done");
        return Err(Failure::new(StatusCode::CONFLICT, code, text));
    };
    let place = format!("/api/refunds/{text}");
    let view = desk.payment_after(actor.merchant, payment, booked.as_of).await;
    let view = view.map_err(|Unseen| Failure::unshown(&place))?;
    let refund = view.refund(id).ok_or_else(|| Failure::unshown(&place))?;
    let mut response = json_answer(StatusCode::OK, view::refund(refund));
    response.headers_mut().extend(replay_headers(booked.is_replay));
    Ok(response)
}
