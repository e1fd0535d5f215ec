//! `/webhook-endpoints`: where a merchant is told of events, and how this API's words for them are.
//! Endpoints of every dialect are shown and managed here.
//!
//! Messages are those of the Standard Webhooks specification: headers `webhook-id`, `webhook-timestamp` and
//! `webhook-signature`. An endpoint's secret is told when it is made and when it is rotated.

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use requite_core::id::{MerchantId, parse_uuid, uuid_text};
use requite_engine::event::Kind;
use requite_engine::outbox::{Backlog, EndpointView};
use requite_engine::read::KeptAnswer;
use requite_engine::registry::RegistryFault;
use serde_json::json;

use super::failure::Failure;
use super::fields::Fault;
use super::registration::REFERENCE_BYTES_MAX;
use super::view::{self, Shown};
use super::wire::{self, Meaning, actor, json_answer, located};
use crate::access::Caller;
use crate::desk::Desk;
use crate::http::REFUND_BODY_MAX;
use crate::keyed::{Change, Keyed, Told, confirmed, replayed};
use crate::time::millis_text;
use crate::webhooks::Occasion;
use crate::webhooks::address::URL_BYTES_MAX;
use crate::webhooks::endpoint::{self, Made, NO_KEY, OVERLAP_MINUTES, OVERLAP_MINUTES_MAX};

/// In whose words an endpoint can be told; this API's unless it says otherwise.
const DIALECTS: [&str; 2] = ["native", "gr4vy"];

/// An event in this API's words: `refund.` with its status, or `payment.` with what happened.
pub(crate) fn told(occasion: &Occasion<'_>) -> Option<String> {
    let event = occasion.event;
    let refund = occasion.after.refunds.iter().find(|refund| refund.id.bits() == event.subject);
    let shown = Shown::new().member("number", event.seq);
    let (kind, shown) = match (event.kind, refund) {
        (Kind::Refund | Kind::Resolved | Kind::CancelAsked, None) => return None,
        (Kind::CancelAsked, Some(refund)) => {
            ("refund.cancel_asked".to_owned(), shown.raw("refund", &view::refund(refund)))
        }
        (Kind::Resolved, Some(refund)) => {
            ("refund.resolved".to_owned(), shown.raw("refund", &view::refund(refund)))
        }
        (Kind::Refund, Some(refund)) => {
            let word = event.status.unwrap_or(refund.status).word();
            (format!("refund.{word}"), shown.raw("refund", &view::refund(refund)))
        }
        (kind, _) => {
            let kind = format!("payment.{}", super::history::kind(kind));
            (kind, shown.raw("payment", &view::payment(occasion.after)))
        }
    };
    let whole = Shown::new()
        .member("id", occasion.id())
        .member("type", kind)
        .member("timestamp", millis_text(event.at_ms))
        .member("merchant", occasion.account)
        .raw("data", &shown.text());
    Some(whole.text())
}

fn shown(
    endpoint: &EndpointView,
    backlog: Backlog,
    (secret, now_ms): (Option<&str>, i64),
) -> String {
    let before = endpoint.sealed_before.as_ref().filter(|(_, until_ms)| now_ms < *until_ms);
    let shown = Shown::new()
        .member("id", uuid_text(endpoint.id))
        .member("dialect", &endpoint.dialect)
        .member("url", &endpoint.url)
        .member("active", endpoint.is_active)
        .member("waiting", backlog.waiting)
        .member("dead", backlog.dead)
        .member("secret_before_until", before.map(|(_, until_ms)| millis_text(*until_ms)))
        .member("created_at", millis_text(endpoint.created_at_ms))
        .member("updated_at", millis_text(endpoint.updated_at_ms));
    match secret {
        Some(secret) => shown.member("secret", secret).text(),
        None => shown.text(),
    }
}

async fn the(desk: &Desk, merchant: MerchantId, id: &str) -> Result<EndpointView, Failure> {
    let not_found = || Failure::not_found("webhook-endpoint");
    let id = parse_uuid(id).ok_or_else(not_found)?;
    let all = desk.read(move |reads| reads.endpoints(merchant)).await?;
    all.into_iter().find(|one| one.id == id).ok_or_else(not_found)
}

async fn whole(desk: &Desk, endpoint: &EndpointView) -> Result<String, Failure> {
    let id = endpoint.id;
    let backlog = desk.read(move |reads| reads.backlog(id)).await?;
    Ok(shown(endpoint, backlog, (None, desk.now_ms())))
}

struct Wish {
    dialect: &'static str,
    url: Option<String>,
    is_active: Option<bool>,
}

async fn wish(desk: &Desk, bytes: &[u8], is_new: bool) -> Result<Wish, Failure> {
    let known: &[&str] = if is_new { &["dialect", "url", "active"] } else { &["url", "active"] };
    let wish = wire::members(wire::read(bytes, true)?, known, |fields| {
        let asked = fields.text("dialect", REFERENCE_BYTES_MAX);
        let dialect = DIALECTS.into_iter().find(|one| asked.as_deref().unwrap_or("native") == *one);
        if dialect.is_none() {
            fields.fault("dialect", format!("must be one of {}", DIALECTS.join(", ")));
        }
        if is_new && fields.member("url").is_none() {
            fields.fault("url", "is required");
        }
        let url = fields.text("url", URL_BYTES_MAX);
        Wish { dialect: dialect.unwrap_or_default(), url, is_active: fields.flag("active") }
    })?;
    if let Some(url) = &wish.url {
        let checked = endpoint::check_url(desk, url).await;
        let fault = |message| Fault { pointer: "/url".to_owned(), message };
        checked.map_err(|message| Failure::invalid(&[fault(message)]))?;
    }
    Ok(wish)
}

pub(super) async fn list(State(desk): State<Desk>, request: Request) -> Result<Response, Failure> {
    let actor = actor(&desk, Caller::of(&request)).await?;
    let merchant = actor.merchant;
    let all = desk.read(move |reads| reads.endpoints(merchant)).await?;
    let mut items = Vec::new();
    for one in &all {
        items.push(whole(&desk, one).await?);
    }
    let page = Shown::new().raw("items", &view::list(items.into_iter()));
    Ok(json_answer(StatusCode::OK, page.text()))
}

pub(super) async fn create(
    State(desk): State<Desk>,
    mut request: Request,
) -> Result<Response, Failure> {
    let actor = actor(&desk, Caller::of(&request)).await?;
    let key_text = wire::key_text(request.headers())?;
    let bytes = wire::body(&mut request, REFUND_BODY_MAX).await?;
    let wish = wish(&desk, &bytes, true).await?;
    let Wish { dialect, url, is_active } = wish;
    let (url, is_active) = (url.unwrap_or_default(), is_active.unwrap_or(true));
    let meaning = Meaning::default().and(Some(dialect)).and(Some(&url)).and(Some(is_active));
    let key = key_text.map(|text| wire::key(&text, &["webhook-endpoints"], &meaning));
    let keyed = Keyed::new(actor.merchant, key, desk.now_ms());
    let told = keyed.once(&desk, async || {
        let made = endpoint::new(&desk, actor.merchant, dialect, (url.clone(), is_active));
        let made = made.ok_or_else(no_key)?;
        let (kept, body, new) = (kept(&made, &keyed, &desk), text(&made, &desk), made.endpoint);
        let write = desk.write(move |registry| registry.create_endpoint(&new, kept.as_ref()));
        let is_made = confirmed(write.await).map_err(unwritten)?.is_some();
        Ok::<Change, Failure>(if is_made { Change::Made(body) } else { Change::MadeBefore })
    });
    answer(&desk, actor.merchant, told.await?, StatusCode::CREATED)
}

fn text(made: &Made, desk: &Desk) -> String {
    let secret = (Some(made.secret.expose()), desk.now_ms());
    shown(&made.endpoint, Backlog::default(), secret)
}

/// The answer for repeats, without the secret.
fn kept(made: &Made, keyed: &Keyed, desk: &Desk) -> Option<KeptAnswer> {
    let secret = endpoint::kept_text(made);
    let body = shown(&made.endpoint, Backlog::default(), (Some(&secret), desk.now_ms()));
    keyed.answer(made.endpoint.id, Some(&body))
}

fn answer(
    desk: &Desk,
    merchant: MerchantId,
    told: Told,
    status: StatusCode,
) -> Result<Response, Failure> {
    let (body, is_replay) = match told {
        Told::Now(body) => (body, false),
        Told::Again(first) => {
            let body = endpoint::told_again(desk.settings(), merchant, &first);
            (body.ok_or_else(no_key)?, true)
        }
    };
    let id = serde_json::from_str(&body).ok().and_then(|shown: serde_json::Value| {
        shown.get("id").and_then(serde_json::Value::as_str).map(str::to_owned)
    });
    let location = format!("/api/webhook-endpoints/{}", id.unwrap_or_default());
    let response = located(status, body, &location);
    Ok(if is_replay { replayed(response) } else { response })
}

pub(super) async fn show(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    let actor = actor(&desk, Caller::of(&request)).await?;
    let endpoint = the(&desk, actor.merchant, &id).await?;
    Ok(json_answer(StatusCode::OK, whole(&desk, &endpoint).await?))
}

/// Changes what the body names and leaves the rest. Asked twice it says the same.
pub(super) async fn update(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    mut request: Request,
) -> Result<Response, Failure> {
    let actor = actor(&desk, Caller::of(&request)).await?;
    let bytes = wire::body(&mut request, REFUND_BODY_MAX).await?;
    let mut endpoint = the(&desk, actor.merchant, &id).await?;
    let wish = wish(&desk, &bytes, false).await?;
    endpoint.url = wish.url.unwrap_or(endpoint.url);
    endpoint.is_active = wish.is_active.unwrap_or(endpoint.is_active);
    endpoint.updated_at_ms = desk.now_ms();
    let changed = endpoint.clone();
    let write = desk.write(move |registry| registry.change_endpoint(&changed)).await;
    if confirmed(write).map_err(unwritten)? != Some(true) {
        return Err(Failure::not_found("webhook-endpoint"));
    }
    Ok(json_answer(StatusCode::OK, whole(&desk, &endpoint).await?))
}

pub(super) async fn delete(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    let actor = actor(&desk, Caller::of(&request)).await?;
    let endpoint = the(&desk, actor.merchant, &id).await?;
    let body = whole(&desk, &endpoint).await?;
    let write = desk.write(move |registry| registry.delete_endpoint(actor.merchant, endpoint.id));
    match confirmed(write.await).map_err(unwritten)? {
        Some(true) => Ok(json_answer(StatusCode::OK, body)),
        _ => Err(Failure::not_found("webhook-endpoint")),
    }
}

/// `POST /webhook-endpoints/{id}/rotate`: another secret; the one before goes on signing for `minutes`.
pub(super) async fn rotate(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    mut request: Request,
) -> Result<Response, Failure> {
    let actor = actor(&desk, Caller::of(&request)).await?;
    let key_text = wire::key_text(request.headers())?;
    let bytes = wire::body(&mut request, REFUND_BODY_MAX).await?;
    let minutes = wire::members(wire::read(&bytes, true)?, &["minutes"], |fields| {
        let minutes = fields.integer("minutes").unwrap_or(OVERLAP_MINUTES);
        if !(0..=OVERLAP_MINUTES_MAX).contains(&minutes) {
            fields.fault("minutes", format!("must be 0 to {OVERLAP_MINUTES_MAX}"));
        }
        minutes
    })?;
    let before = the(&desk, actor.merchant, &id).await?;
    let until_ms = desk.now_ms().saturating_add(minutes.saturating_mul(60_000));
    let scope = ["webhook-endpoints", "rotate", &uuid_text(before.id)];
    let meaning = Meaning::default().and(Some(minutes));
    let key = key_text.map(|text| wire::key(&text, &scope, &meaning));
    let keyed = Keyed::new(actor.merchant, key, desk.now_ms());
    let told = keyed.once(&desk, async || {
        let made = endpoint::rotated(&desk, &before, until_ms).ok_or_else(no_key)?;
        let (kept, body) = (kept(&made, &keyed, &desk), text(&made, &desk));
        let of = EndpointView { updated_at_ms: made.endpoint.updated_at_ms, ..before.clone() };
        let sealed = made.endpoint.sealed;
        let write = desk
            .write(move |registry| registry.rotate_endpoint(&of, &sealed, until_ms, kept.as_ref()));
        match confirmed(write.await).map_err(unwritten)? {
            Some(true) => Ok(Change::Made(body)),
            // Deleted, or rotated by another request at the same time.
            Some(false) => Err(Failure::not_found("webhook-endpoint")),
            None => Ok(Change::MadeBefore),
        }
    });
    answer(&desk, actor.merchant, told.await?, StatusCode::OK)
}

/// `POST /webhook-endpoints/{id}/resend`: what was given up is tried again, and what waits, at once. Twice
/// is as good as once.
pub(super) async fn resend(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    mut request: Request,
) -> Result<Response, Failure> {
    let actor = actor(&desk, Caller::of(&request)).await?;
    wire::key_text(request.headers())?;
    let bytes = wire::body(&mut request, REFUND_BODY_MAX).await?;
    wire::members(wire::read(&bytes, true)?, &[], |_| ())?;
    let endpoint = the(&desk, actor.merchant, &id).await?;
    let now_ms = desk.now_ms();
    let write =
        desk.write(move |registry| registry.resend(actor.merchant, endpoint.id, now_ms)).await;
    let payments = confirmed(write).map_err(unwritten)?.unwrap_or_default();
    Ok(json_answer(StatusCode::OK, json!({ "payments": payments }).to_string()))
}

fn no_key() -> Failure {
    Failure::new(StatusCode::CONFLICT, "no_sealing_key", NO_KEY)
}

fn unwritten(fault: Option<RegistryFault>) -> Failure {
    if let Some(RegistryFault::Taken(what)) = &fault {
        let message = format!("there is no {what}; delete one that is not needed");
        return Failure::new(StatusCode::CONFLICT, "too_many_endpoints", message);
    }
    tracing::error!(?fault, "a webhook endpoint was not written");
    let message = "it is not known whether this was written; look at GET /api/webhook-endpoints";
    Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "store_failed", message)
}
