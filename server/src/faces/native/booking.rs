//! `POST /payments/{id}/captures` and `/voids`.

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use requite_core::id::uuid_text;
use requite_engine::command::{Booking, BookingRequest, Trace};

use super::failure::{self, Failure};
use super::registration::REFERENCE_BYTES_MAX;
use super::wire::{self, Meaning, actor, json_answer};
use super::{FACE, payment, view};
use crate::access::Caller;
use crate::desk::{Desk, Unseen, replay_headers};
use crate::http::REFUND_BODY_MAX;

/// What a body says.
pub(super) struct Wish {
    amount: Option<i64>,
    is_final: bool,
    external_identifier: Option<String>,
}

pub(super) fn wish(bytes: &[u8], known: &[&str]) -> Result<Wish, Failure> {
    wire::members(wire::read(bytes, true)?, known, |fields| Wish {
        amount: fields.integer("amount"),
        is_final: fields.flag("final").unwrap_or(false),
        external_identifier: fields.text("external_identifier", REFERENCE_BYTES_MAX),
    })
}

pub(super) async fn capture(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    let known = ["amount", "final", "external_identifier"];
    book(&desk, &id, request, ("captures", &known)).await
}

pub(super) async fn void(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    book(&desk, &id, request, ("voids", &["amount", "external_identifier"])).await
}

async fn book(
    desk: &Desk,
    id: &str,
    mut request: Request,
    (what, known): (&str, &[&str]),
) -> Result<Response, Failure> {
    let actor = actor(desk, Caller::of(&request)).await?;
    let key_text = wire::key_text(request.headers())?;
    let bytes = wire::body(&mut request, REFUND_BODY_MAX).await?;
    let Wish { amount, is_final, external_identifier } = wish(&bytes, known)?;
    let payment = payment::the(desk, actor.merchant, id).await?;
    let meaning = Meaning::default()
        .and(amount)
        .and(is_final.then_some("final"))
        .and(external_identifier.as_ref());
    let payment_text = uuid_text(payment.bits());
    let key = |text: String| wire::key(&text, &[what, &payment_text], &meaning);
    let is_void = what == "voids";
    let asked = BookingRequest {
        merchant: actor.merchant,
        payment,
        booking: if is_void { Booking::Void } else { Booking::Capture { is_final } },
        id: desk.ids().next(),
        amount,
        trace: Trace { face: FACE.to_owned(), external_identifier, ..Trace::default() },
        keys: key_text.map(key).into_iter().collect(),
        actor: actor.name,
        at_ms: desk.now_ms(),
    };
    let booked = desk.book(asked).await.map_err(failure::of_command)?;
    let view = desk.payment_after(actor.merchant, payment, booked.as_of).await;
    let view = view.map_err(|Unseen| Failure::unshown(&format!("/api/payments/{payment_text}")))?;
    let made = view.operation_at(booked.seq);
    if let Some(fault) = made.and_then(|operation| operation.fault.as_ref()) {
        let mut failure = Failure::declined(is_void, fault);
        failure.is_replay = booked.is_replay;
        return Err(failure);
    }
    let mut response = json_answer(StatusCode::CREATED, view::payment(&view));
    response.headers_mut().extend(replay_headers(booked.is_replay));
    Ok(response)
}
