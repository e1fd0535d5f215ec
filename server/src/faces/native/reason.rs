//! The refund reasons that a merchant keeps, which refunds name by `reason_id`. Deleting one takes it
//! from the list; refunds that named it still show it.

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use requite_core::id::{MerchantId, ReasonId, uuid_text};
use requite_engine::read::ReasonView;
use requite_engine::registry::RegistryFault;

use super::failure::Failure;
use super::page::{self, List, Row};
use super::query::Parameters;
use super::wire::{self, Meaning, actor, json_answer, located};
use super::{spelling, view};
use crate::access::Caller;
use crate::desk::Desk;
use crate::http::REFUND_BODY_MAX;
use crate::keyed::{Change, KeyFault, Keyed, Told, confirmed, replayed};

/// Longest code or label, in bytes.
const NAME_BYTES_MAX: usize = 255;
/// Longest description, in bytes.
const DESCRIPTION_BYTES_MAX: usize = 4_096;

/// What a body says of a reason.
#[derive(Clone)]
pub(super) struct Texts {
    code: Option<String>,
    label: Option<String>,
    /// `Some(None)`: null, it shall have none.
    description: Option<Option<String>>,
}

impl Texts {
    pub(super) fn read(bytes: &[u8], is_new: bool) -> Result<Texts, Failure> {
        wire::members(wire::read(bytes, true)?, &["code", "label", "description"], |fields| {
            for name in ["code", "label"] {
                if is_new && fields.member(name).is_none() {
                    fields.fault(name, "is required");
                }
            }
            let description = fields.text("description", DESCRIPTION_BYTES_MAX);
            Texts {
                code: fields.text("code", NAME_BYTES_MAX),
                label: fields.text("label", NAME_BYTES_MAX),
                description: fields.is_named("description").then_some(description),
            }
        })
    }

    pub(super) fn meaning(&self) -> Meaning {
        let description = self.description.as_ref().map(|text| format!("{text:?}"));
        Meaning::default().and(self.code.as_ref()).and(self.label.as_ref()).and(description)
    }
}

pub(super) async fn list(State(desk): State<Desk>, request: Request) -> Result<Response, Failure> {
    let actor = actor(&desk, Caller::of(&request)).await?;
    let parameters = Parameters::read(request.uri(), &["order", "cursor", "limit"])?;
    let turn = parameters.turn(List::Reasons)?;
    let mut reasons = desk.read(move |reads| reads.reasons(actor.merchant)).await?;
    if turn.newest_first() {
        reasons.reverse();
    }
    let is_behind = |reason: &ReasonView| match turn.after() {
        None => true,
        Some((bits, _)) if turn.newest_first() => reason.id.bits() < bits,
        Some((bits, _)) => reason.id.bits() > bits,
    };
    let rows = reasons.iter().filter(|reason| is_behind(reason)).take(turn.rows());
    let row = |reason: &ReasonView| Row::of(reason.id.bits(), view::reason(reason));
    Ok(page::answer(&turn, rows.map(row).collect()))
}

pub(super) async fn create(
    State(desk): State<Desk>,
    mut request: Request,
) -> Result<Response, Failure> {
    let actor = actor(&desk, Caller::of(&request)).await?;
    let key_text = wire::key_text(request.headers())?;
    let bytes = wire::body(&mut request, REFUND_BODY_MAX).await?;
    let texts = Texts::read(&bytes, true)?;
    let key = key_text.map(|text| wire::key(&text, &["refund-reasons"], &texts.meaning()));
    let keyed = Keyed::new(actor.merchant, key, desk.now_ms());
    let told = keyed.once(&desk, async || {
        let at_ms = desk.now_ms();
        let reason = ReasonView {
            id: ReasonId::new(desk.ids().next()),
            code: texts.code.clone().unwrap_or_default(),
            label: texts.label.clone().unwrap_or_default(),
            description: texts.description.clone().flatten(),
            created_at_ms: at_ms,
            updated_at_ms: at_ms,
            deleted_at_ms: None,
        };
        put(&desk, actor.merchant, reason, &keyed).await
    });
    Ok(match told.await? {
        Told::Now(body) => created(body),
        Told::Again(first) => replayed(created(first.body.unwrap_or_default())),
    })
}

fn created(body: String) -> Response {
    let id = serde_json::from_str(&body).ok().and_then(|shown: serde_json::Value| {
        shown.get("id").and_then(serde_json::Value::as_str).map(str::to_owned)
    });
    let location = format!("/api/refund-reasons/{}", id.unwrap_or_default());
    located(StatusCode::CREATED, body, &location)
}

pub(super) async fn show(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    let actor = actor(&desk, Caller::of(&request)).await?;
    let reason = the(&desk, actor.merchant, &id).await?;
    Ok(json_answer(StatusCode::OK, view::reason(&reason)))
}

/// Changes what the body names and leaves the rest.
pub(super) async fn update(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    mut request: Request,
) -> Result<Response, Failure> {
    let actor = actor(&desk, Caller::of(&request)).await?;
    let key_text = wire::key_text(request.headers())?;
    let bytes = wire::body(&mut request, REFUND_BODY_MAX).await?;
    let texts = Texts::read(&bytes, false)?;
    let before = the(&desk, actor.merchant, &id).await?;
    let scope = ["refund-reasons", &uuid_text(before.id.bits())];
    let key = key_text.map(|text| wire::key(&text, &scope, &texts.meaning()));
    let keyed = Keyed::new(actor.merchant, key, desk.now_ms());
    let told = keyed.once(&desk, async || {
        let mut reason = ReasonView {
            code: texts.code.clone().unwrap_or_else(|| before.code.clone()),
            label: texts.label.clone().unwrap_or_else(|| before.label.clone()),
            description: texts.description.clone().unwrap_or_else(|| before.description.clone()),
            ..before.clone()
        };
        if reason != before {
            reason.updated_at_ms = desk.now_ms();
        }
        put(&desk, actor.merchant, reason, &keyed).await
    });
    Ok(match told.await? {
        Told::Now(body) => json_answer(StatusCode::OK, body),
        Told::Again(first) => replayed(json_answer(StatusCode::OK, first.body.unwrap_or_default())),
    })
}

pub(super) async fn delete(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    let actor = actor(&desk, Caller::of(&request)).await?;
    let mut reason = the(&desk, actor.merchant, &id).await?;
    let (at_ms, bits) = (desk.now_ms(), reason.id);
    let write = desk.write(move |registry| registry.delete_reason(actor.merchant, bits, at_ms));
    confirmed(write.await).map_err(unwritten)?;
    reason.deleted_at_ms = Some(at_ms);
    Ok(json_answer(StatusCode::OK, view::reason(&reason)))
}

/// The reason with this id, unless it is deleted.
async fn the(desk: &Desk, merchant: MerchantId, id: &str) -> Result<ReasonView, Failure> {
    let not_found = || Failure::not_found("refund-reason");
    let id = ReasonId::new(spelling::reason_bits(id).ok_or_else(not_found)?);
    let found = desk.read(move |reads| reads.reason(merchant, id)).await?;
    found.ok_or_else(not_found)
}

/// Writes a reason down, and the answer that shows it beside it.
async fn put(
    desk: &Desk,
    merchant: MerchantId,
    reason: ReasonView,
    keyed: &Keyed,
) -> Result<Change, Failure> {
    let body = view::reason(&reason);
    let answer = keyed.answer(reason.id.bits(), Some(&body));
    let write = desk.write(move |registry| registry.put_reason(merchant, &reason, answer.as_ref()));
    let is_made = confirmed(write.await).map_err(unwritten)?.is_some();
    Ok(if is_made { Change::Made(body) } else { Change::MadeBefore })
}

fn unwritten(fault: Option<RegistryFault>) -> Failure {
    if let Some(fault) = fault {
        tracing::error!(%fault, "a refund reason was not written");
    }
    let message = "it is not known whether this was written; look at GET /api/refund-reasons";
    Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "store_failed", message)
}

impl From<KeyFault> for Failure {
    fn from(fault: KeyFault) -> Failure {
        match fault {
            KeyFault::Reused => Failure::key_reused(),
            KeyFault::Read(fault) => Failure::from(fault),
        }
    }
}
