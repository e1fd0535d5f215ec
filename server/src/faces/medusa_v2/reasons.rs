//! Refund reasons: the list a merchant keeps, which refunds name. Deleting one takes it from the
//! list; refunds that named it keep its id.

use std::cmp::Ordering;

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use requite_core::id::{MerchantId, ReasonId, parse_prefixed};
use requite_engine::read::ReasonView;

use super::failure::{Failure, json_response};
use super::fields::{Selection, render};
use super::list::{self, Page, When};
use super::payment::{REASON_DEFAULTS, Reason};
use super::query::Query;
use super::repeats::{keyed, made, told};
use super::schema::{self, Faults};
use super::spelling::{prefix, text};
use super::wire::{BODY_MAX, Body, read_fields, selection};
use super::{Face, auth};
use crate::access::Caller;
use crate::json::{Json, Object};
use crate::keyed::{Change, Keyed, confirmed};

/// Rows of a list whose length nobody asked for.
const LIMIT: usize = 15;

const ORDERS: [&str; 8] =
    ["id", "label", "code", "description", "metadata", "created_at", "updated_at", "deleted_at"];

/// `GET /admin/refund-reasons/{id}`
pub(super) async fn retrieve(
    State(face): State<Face>,
    Path(written): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    let actor = auth::actor(&face, Caller::of(&request)).await?;
    let selection = selection(request.uri().query(), &REASON_DEFAULTS)?;
    let reason = kept(&face, actor.merchant, &written).await?;
    Ok(json_response(StatusCode::OK, one(&reason, &selection)))
}

/// `POST /admin/refund-reasons`
pub(super) async fn create(
    State(face): State<Face>,
    mut request: Request,
) -> Result<Response, Failure> {
    let body = Body::take(&mut request, BODY_MAX).await?;
    let json = body.json()?;
    let actor = auth::actor(&face, Caller::of(&request)).await?;
    let texts = Texts::read(&body, json, true)?;
    let selection = selection(request.uri().query(), &REASON_DEFAULTS)?;
    let keyed = keyed(&face, &actor, request.headers(), &["refund-reasons"], json)?;
    let made = keyed.once(&face.desk, async || {
        let at_ms = face.desk.now_ms();
        let reason = ReasonView {
            id: ReasonId::new(face.desk.ids().next()),
            label: texts.label.unwrap_or_default(),
            code: texts.code.unwrap_or_default(),
            description: texts.description.flatten(),
            created_at_ms: at_ms,
            updated_at_ms: at_ms,
            deleted_at_ms: None,
        };
        put(&face, actor.merchant, reason, &keyed, &selection).await
    });
    made.await.map(told)
}

/// `POST /admin/refund-reasons/{id}`
pub(super) async fn update(
    State(face): State<Face>,
    Path(written): Path<String>,
    mut request: Request,
) -> Result<Response, Failure> {
    let body = Body::take(&mut request, BODY_MAX).await?;
    let json = body.json()?;
    let actor = auth::actor(&face, Caller::of(&request)).await?;
    let texts = Texts::read(&body, json, false)?;
    let selection = selection(request.uri().query(), &REASON_DEFAULTS)?;
    let scope = ["refund-reasons", written.as_str()];
    let keyed = keyed(&face, &actor, request.headers(), &scope, json)?;
    let made = keyed.once(&face.desk, async || {
        let before = kept(&face, actor.merchant, &written).await?;
        let mut reason = ReasonView {
            label: texts.label.unwrap_or_else(|| before.label.clone()),
            code: texts.code.unwrap_or_else(|| before.code.clone()),
            description: texts.description.unwrap_or_else(|| before.description.clone()),
            ..before.clone()
        };
        if reason != before {
            reason.updated_at_ms = face.desk.now_ms();
        }
        put(&face, actor.merchant, reason, &keyed, &selection).await
    });
    made.await.map(told)
}

/// `DELETE /admin/refund-reasons/{id}`: the same answer whether or not there is one.
pub(super) async fn delete(
    State(face): State<Face>,
    Path(written): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    let actor = auth::actor(&face, Caller::of(&request)).await?;
    if let Some(reason) = reason_id(&written) {
        let at_ms = face.desk.now_ms();
        let write =
            face.desk.write(move |registry| registry.delete_reason(actor.merchant, reason, at_ms));
        confirmed(write.await).map_err(Failure::Write)?;
    }
    let id = text(&written);
    let body = format!("{{\"id\":{id},\"object\":\"refund_reason\",\"deleted\":true}}");
    Ok(json_response(StatusCode::OK, body))
}

/// `GET /admin/refund-reasons`
pub(super) async fn list(State(face): State<Face>, request: Request) -> Result<Response, Failure> {
    let actor = auth::actor(&face, Caller::of(&request)).await?;
    let query = Query::read(request.uri().query());
    let wanted = Wanted::read(&query)?;
    let merchant = actor.merchant;
    let reasons = face.desk.read(move |reads| reads.reasons(merchant)).await;
    let mut reasons = reasons.map_err(Failure::Read)?;
    reasons.retain(|reason| wanted.fits(reason));
    let (column, is_descending) = wanted.order;
    reasons.sort_by(|one, other| {
        let order = compared(column, one, other);
        if is_descending { order.reverse() } else { order }
    });
    let count = reasons.len();
    let rows = wanted.page.of(reasons);
    let rows: Vec<String> =
        rows.map(|reason| render(&Reason(&reason), &wanted.selection)).collect();
    let page = wanted.page.members(count);
    let body = format!("{{\"refund_reasons\":[{}],{page}}}", rows.join(","));
    Ok(json_response(StatusCode::OK, body))
}

/// What a list is asked for.
pub(super) struct Wanted<'a> {
    page: Page,
    order: (&'static str, bool),
    selection: Selection,
    ids: Option<Vec<&'a str>>,
    /// In lower case.
    search: Option<String>,
    created: When,
    updated: When,
    deleted: When,
}

impl<'a> Wanted<'a> {
    pub(super) fn read(query: &'a Query) -> Result<Wanted<'a>, Failure> {
        list::check_depth(query)?;
        let mut faults = Faults::default();
        let page = Page::read(query, LIMIT, &mut faults);
        let order = list::order(query, &ORDERS, &mut faults);
        let fields = schema::parameter(query, "fields", &mut faults);
        let search = schema::parameter(query, "q", &mut faults);
        let ids = list::ids(query, "id", &mut faults);
        let created = When::read(query, "created_at", &mut faults);
        let updated = When::read(query, "updated_at", &mut faults);
        let deleted = When::read(query, "deleted_at", &mut faults);
        list::with_deleted(query, &mut faults);
        list::settle(query, &[], faults)?;
        Ok(Wanted {
            page,
            order: order.unwrap_or(("id", false)),
            selection: read_fields(fields, &REASON_DEFAULTS)?,
            ids,
            search: search.map(str::to_lowercase),
            created,
            updated,
            deleted,
        })
    }

    fn fits(&self, reason: &ReasonView) -> bool {
        let is_named = self
            .ids
            .as_ref()
            .is_none_or(|ids| ids.iter().any(|written| reason_id(written) == Some(reason.id)));
        let is_found = self.search.as_ref().is_none_or(|search| {
            let has = |text: &str| text.to_lowercase().contains(search);
            has(&reason.label)
                || has(&reason.code)
                || reason.description.as_deref().is_some_and(has)
        });
        is_named
            && is_found
            && self.created.fits(Some(reason.created_at_ms))
            && self.updated.fits(Some(reason.updated_at_ms))
            && self.deleted.fits(reason.deleted_at_ms)
    }
}

/// Equal ones stand in the order of their ids.
fn compared(column: &str, one: &ReasonView, other: &ReasonView) -> Ordering {
    let order = match column {
        "label" => one.label.cmp(&other.label),
        "code" => one.code.cmp(&other.code),
        "description" => one.description.cmp(&other.description),
        "created_at" => one.created_at_ms.cmp(&other.created_at_ms),
        "updated_at" => one.updated_at_ms.cmp(&other.updated_at_ms),
        // Their metadata and times of deletion are all null.
        _ => Ordering::Equal,
    };
    order.then(one.id.cmp(&other.id))
}

/// What a body says of a reason. `description` may be null, the others not.
pub(super) struct Texts {
    label: Option<String>,
    code: Option<String>,
    description: Option<Option<String>>,
}

impl Texts {
    pub(super) fn read(
        body: &Body,
        json: Option<Json<'_>>,
        is_new: bool,
    ) -> Result<Texts, Failure> {
        let object = body.object(json)?;
        let mut faults = Faults::default();
        let mut required = |name| match &object {
            Some(object) if object.member(name).is_some() => {
                schema::text(object, name, &mut faults)
            }
            _ => {
                if is_new {
                    faults.missing(name);
                }
                None
            }
        };
        let label = required("label");
        let code = required("code");
        let description = object.as_ref().and_then(|object| description(object, &mut faults));
        let members = object.iter().flat_map(Object::members);
        let names = members.map(|member| member.name.as_str());
        faults.unknown(names, &["label", "code", "description"]);
        faults.result()?;
        Ok(Texts { label, code, description })
    }
}

fn description(object: &Object<'_>, faults: &mut Faults) -> Option<Option<String>> {
    let value = object.member("description")?;
    if value.is_null() {
        return Some(None);
    }
    schema::text(object, "description", faults).map(Some)
}

fn reason_id(text: &str) -> Option<ReasonId> {
    parse_prefixed(prefix::REASON, text).map(ReasonId::new)
}

/// A reason that is not deleted, or 404 (decision V2-6).
async fn kept(face: &Face, merchant: MerchantId, written: &str) -> Result<ReasonView, Failure> {
    let unknown = || Failure::ReasonUnknown(written.to_owned());
    let id = reason_id(written).ok_or_else(unknown)?;
    let found = face.desk.read(move |reads| reads.reason(merchant, id)).await;
    found.map_err(Failure::Read)?.ok_or_else(unknown)
}

/// Writes a reason down, and the answer that shows it beside it.
async fn put(
    face: &Face,
    merchant: MerchantId,
    reason: ReasonView,
    keyed: &Keyed,
    selection: &Selection,
) -> Result<Change, Failure> {
    let body = one(&reason, selection);
    let answer = keyed.answer(reason.id.bits(), Some(&body));
    let write =
        face.desk.write(move |registry| registry.put_reason(merchant, &reason, answer.as_ref()));
    made(write.await, body)
}

fn one(reason: &ReasonView, selection: &Selection) -> String {
    format!("{{\"refund_reason\":{}}}", render(&Reason(reason), selection))
}
