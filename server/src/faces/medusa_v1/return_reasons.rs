//! Why goods come back: a list that a shop keeps for its own people. A refund's `reason` is another
//! thing, one of five words.
//!
//! The list is flat (decision B14); a value is one reason's at a time.

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use requite_core::id::{MerchantId, ReasonId, parse_prefixed, prefixed_text};
use requite_engine::read::ReasonView;
use requite_engine::registry::RegistryFault;
use serde::Serialize;

use super::failure::Failure;
use super::wire::{self, Members, ReturnReasonBody};
use super::{Face, NAME, auth};
use crate::access::{Actor, Caller};
use crate::desk;
use crate::keyed::{Change, Keyed, Told, confirmed, replayed};
use crate::time::millis_text;

const PREFIX: &str = "rr_";

/// `GET /admin/return-reasons`
pub(super) async fn list(State(face): State<Face>, request: Request) -> Result<Response, Failure> {
    let actor = auth::actor(&face, Caller::of(&request)).await?;
    let kept = face.desk.read(move |reads| reads.return_reasons(actor.merchant, None)).await?;
    let return_reasons = kept.iter().map(ReturnReason::of).collect();
    Ok(wire::json(StatusCode::OK, &List { return_reasons }))
}

/// `GET /admin/return-reasons/{id}`
pub(super) async fn retrieve(
    State(face): State<Face>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    let actor = auth::actor(&face, Caller::of(&request)).await?;
    let reason = find(&face, actor.merchant, &id).await?;
    Ok(wire::json(StatusCode::OK, &One { return_reason: ReturnReason::of(&reason) }))
}

/// `POST /admin/return-reasons`
pub(super) async fn create(
    State(face): State<Face>,
    mut request: Request,
) -> Result<Response, Failure> {
    let bytes = wire::body(&mut request).await?;
    let members = Members::read(&bytes)?;
    let actor = auth::actor(&face, Caller::of(&request)).await?;
    let body = ReturnReasonBody::read(&members, true)?;
    let keyed = keyed(&face, &actor, request.headers(), ("", &body))?;
    let told = keyed.once(&face.desk, async || {
        let at_ms = face.desk.now_ms();
        let reason = ReasonView {
            id: ReasonId::new(face.desk.ids().next()),
            code: body.value.clone().unwrap_or_default(),
            label: body.label.clone().unwrap_or_default(),
            description: body.description.clone(),
            created_at_ms: at_ms,
            updated_at_ms: at_ms,
            deleted_at_ms: None,
        };
        put(&face, actor.merchant, reason, &keyed).await
    });
    told.await.map(answer)
}

/// `POST /admin/return-reasons/{id}`
pub(super) async fn update(
    State(face): State<Face>,
    Path(id): Path<String>,
    mut request: Request,
) -> Result<Response, Failure> {
    let bytes = wire::body(&mut request).await?;
    let members = Members::read(&bytes)?;
    let actor = auth::actor(&face, Caller::of(&request)).await?;
    let body = ReturnReasonBody::read(&members, false)?;
    let keyed = keyed(&face, &actor, request.headers(), (&id, &body))?;
    let told = keyed.once(&face.desk, async || {
        let before = find(&face, actor.merchant, &id).await?;
        let reason = ReasonView {
            code: body.value.clone().unwrap_or(before.code),
            label: body.label.clone().unwrap_or(before.label),
            description: body.description.clone().or(before.description),
            updated_at_ms: face.desk.now_ms(),
            ..before
        };
        put(&face, actor.merchant, reason, &keyed).await
    });
    told.await.map(answer)
}

/// `DELETE /admin/return-reasons/{id}`
pub(super) async fn delete(
    State(face): State<Face>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    let actor = auth::actor(&face, Caller::of(&request)).await?;
    let before = find(&face, actor.merchant, &id).await?;
    let at_ms = face.desk.now_ms();
    let gone = ReasonView { updated_at_ms: at_ms, deleted_at_ms: Some(at_ms), ..before };
    let write = move |registry: &dyn requite_engine::registry::Registry| {
        registry.put_return_reason(actor.merchant, &gone, None)
    };
    confirmed(face.desk.write(write).await).map_err(written)?;
    let body = Deleted { id, object: "return_reason", deleted: true };
    Ok(wire::json(StatusCode::OK, &body))
}

async fn find(face: &Face, merchant: MerchantId, text: &str) -> Result<ReasonView, Failure> {
    let unknown = || Failure::return_reason_unknown(text);
    let id = parse_prefixed(PREFIX, text).map(ReasonId::new).ok_or_else(unknown)?;
    let found = face.desk.read(move |reads| reads.return_reasons(merchant, Some(id))).await?;
    found.into_iter().next().ok_or_else(unknown)
}

/// A request with its key; `id`: whose row it changes.
fn keyed(
    face: &Face,
    actor: &Actor,
    headers: &HeaderMap,
    (id, body): (&str, &ReturnReasonBody),
) -> Result<Keyed, Failure> {
    let meaning = body.meaning();
    let meaning: Vec<&str> = meaning.iter().map(String::as_str).collect();
    let text = wire::key_text(headers)?;
    let key = text.map(|text| desk::key(NAME, &["return-reason", id], &text, &meaning));
    Ok(Keyed::new(actor.merchant, key, face.desk.now_ms()))
}

async fn put(
    face: &Face,
    merchant: MerchantId,
    reason: ReasonView,
    keyed: &Keyed,
) -> Result<Change, Failure> {
    let body = One { return_reason: ReturnReason::of(&reason) };
    let body = serde_json::to_string(&body).expect("texts, nulls and an empty list");
    let kept = keyed.answer(reason.id.bits(), Some(&body));
    let value = reason.code.clone();
    let write = face
        .desk
        .write(move |registry| registry.put_return_reason(merchant, &reason, kept.as_ref()))
        .await;
    match confirmed(write) {
        Ok(Some(())) => Ok(Change::Made(body)),
        Ok(None) => Ok(Change::MadeBefore),
        Err(Some(RegistryFault::Taken(_))) => Err(Failure::value_taken(&value)),
        Err(fault) => Err(written(fault)),
    }
}

fn written(fault: Option<RegistryFault>) -> Failure {
    if let Some(fault) = fault {
        tracing::error!(%fault, "a return reason could not be written");
    }
    Failure::unknown()
}

fn answer(told: Told) -> Response {
    match told {
        Told::Now(body) => wire::json_text(StatusCode::OK, body).into_response(),
        Told::Again(first) => {
            replayed(wire::json_text(StatusCode::OK, first.body.unwrap_or_default()))
        }
    }
}

#[derive(Serialize)]
struct List<'a> {
    return_reasons: Vec<ReturnReason<'a>>,
}

#[derive(Serialize)]
struct One<'a> {
    return_reason: ReturnReason<'a>,
}

#[derive(Serialize)]
struct Deleted {
    id: String,
    object: &'static str,
    deleted: bool,
}

/// As the original shows one. Reasons below others are not kept, so there are never any.
#[derive(Serialize)]
struct ReturnReason<'a> {
    id: String,
    created_at: String,
    updated_at: String,
    deleted_at: Option<()>,
    value: &'a str,
    label: &'a str,
    description: Option<&'a str>,
    parent_return_reason_id: Option<()>,
    parent_return_reason: Option<()>,
    return_reason_children: [(); 0],
}

impl ReturnReason<'_> {
    fn of(reason: &ReasonView) -> ReturnReason<'_> {
        ReturnReason {
            id: prefixed_text(PREFIX, reason.id.bits()),
            created_at: millis_text(reason.created_at_ms),
            updated_at: millis_text(reason.updated_at_ms),
            deleted_at: None,
            value: &reason.code,
            label: &reason.label,
            description: reason.description.as_deref(),
            parent_return_reason_id: None,
            parent_return_reason: None,
            return_reason_children: [],
        }
    }
}
