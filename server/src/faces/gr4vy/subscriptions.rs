//! `/webhook-subscriptions`: where a merchant is told of events without asking.
//!
//! A subscription's secret is told when it is made and when it is rotated, and masked otherwise. Log-ins at
//! the receiver (`authentication`) are not offered (decision B32).

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use requite_core::id::{MerchantId, parse_uuid, uuid_text};
use requite_engine::outbox::EndpointView;
use requite_engine::registry::RegistryFault;
use serde::Serialize;

use super::failure::{Detail, Failure, Location};
use super::form::Form;
use super::page::Page;
use super::{auth, json, wire};
use crate::access::{Actor, Caller};
use crate::desk::{self, Desk, replay_headers};
use crate::keyed::{Change, KeyFault, Keyed, Told, confirmed};
use crate::time::micros_text;
use crate::webhooks::address::URL_BYTES_MAX;
use crate::webhooks::endpoint::{self, Made, NO_KEY, OVERLAP_MINUTES, OVERLAP_MINUTES_MAX};

/// In whose words these endpoints are told.
const DIALECT: &str = "gr4vy";
/// Stands where a secret is not shown.
const MASKED: &str = "********";

#[derive(Serialize)]
struct Subscription<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: String,
    merchant_account_id: &'a str,
    active: bool,
    url: &'a str,
    authentication: Option<()>,
    secret: &'a str,
    rotating: bool,
    creator: Option<()>,
    created_at: String,
    updated_at: String,
}

fn shown<'a>(
    endpoint: &'a EndpointView,
    account: &'a str,
    (secret, now_ms): (&'a str, i64),
) -> Subscription<'a> {
    Subscription {
        kind: "webhook-subscription",
        id: uuid_text(endpoint.id),
        merchant_account_id: account,
        active: endpoint.is_active,
        url: &endpoint.url,
        authentication: None,
        secret,
        rotating: endpoint.sealed_before.as_ref().is_some_and(|(_, until)| now_ms < *until),
        creator: None,
        created_at: micros_text(endpoint.created_at_ms),
        updated_at: micros_text(endpoint.updated_at_ms),
    }
}

fn invalid(pointer: &str, message: String) -> Failure {
    Failure::invalid(Detail::new(Location::Body, pointer, message, "value_error"))
}

/// Who manages, and their account's name.
async fn manager(desk: &Desk, caller: Caller<'_>) -> Result<(Actor, String), Failure> {
    let actor = auth::actor(desk, caller).await?;
    let account = auth::slug(desk, actor.merchant).await?;
    Ok((actor, account))
}

/// The merchant's endpoint with this id.
async fn the(desk: &Desk, merchant: MerchantId, text: &str) -> Result<EndpointView, Failure> {
    let id = parse_uuid(text).ok_or(Failure::NotFound)?;
    let all = desk.read(move |reads| reads.endpoints(merchant)).await?;
    all.into_iter().find(|one| one.id == id && one.dialect == DIALECT).ok_or(Failure::NotFound)
}

struct Wish {
    url: Option<String>,
    is_active: Option<bool>,
}

async fn wish(desk: &Desk, body: &[u8], is_new: bool) -> Result<Wish, Failure> {
    let mut form = Form::read(body)?;
    let url = form.text("url", 1, URL_BYTES_MAX);
    if is_new && form.member("url").is_none() {
        form.missing("url");
    }
    let is_active = form.member("active").is_some().then(|| form.flag("active"));
    if form.member("authentication").is_some() {
        let text = "this server does not log in at receivers; check the signature instead";
        form.complain("authentication", text, "value_error");
    }
    form.finish(&["url", "active", "authentication"])?;
    if let Some(url) = &url {
        let checked = endpoint::check_url(desk, url).await;
        checked.map_err(|why| invalid("/url", format!("the URL {why}")))?;
    }
    Ok(Wish { url, is_active })
}

/// `POST /webhook-subscriptions`
pub(super) async fn create(
    State(desk): State<Desk>,
    mut request: Request,
) -> Result<Response, Failure> {
    let (actor, account) = manager(&desk, Caller::of(&request)).await?;
    let key_text = wire::key_text(request.headers())?;
    let wish = wish(&desk, &wire::body(&mut request).await?, true).await?;
    let url = wish.url.ok_or(Failure::Broken)?;
    let is_active = wish.is_active.unwrap_or(true);
    let meaning = [url.as_str(), if is_active { "active" } else { "" }];
    let key = key_text.map(|text| desk::key(DIALECT, &["webhooks"], &text, &meaning));
    let keyed = Keyed::new(actor.merchant, key, desk.now_ms());
    let told = keyed.once(&desk, async || {
        let made = endpoint::new(&desk, actor.merchant, DIALECT, (url.clone(), is_active));
        let made = made.ok_or_else(|| invalid("", NO_KEY.to_owned()))?;
        let kept = kept(&made, &account, &keyed, &desk);
        let (body, new) = (text(&made, &account, &desk), made.endpoint.clone());
        let write = desk.write(move |registry| registry.create_endpoint(&new, kept.as_ref()));
        let is_made = confirmed(write.await).map_err(unwritten)?.is_some();
        Ok::<Change, Failure>(if is_made { Change::Made(body) } else { Change::MadeBefore })
    });
    answer(&desk, actor.merchant, told.await?, StatusCode::CREATED)
}

/// What is told now, with the secret.
fn text(made: &Made, account: &str, desk: &Desk) -> String {
    let shown = shown(&made.endpoint, account, (made.secret.expose(), desk.now_ms()));
    serde_json::to_string(&shown).expect("texts have a JSON form")
}

/// What is kept for repeats, without it.
fn kept(
    made: &Made,
    account: &str,
    keyed: &Keyed,
    desk: &Desk,
) -> Option<requite_engine::read::KeptAnswer> {
    let text = endpoint::kept_text(made);
    let shown = shown(&made.endpoint, account, (&text, desk.now_ms()));
    let body = serde_json::to_string(&shown).expect("texts have a JSON form");
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
            (body.ok_or(Failure::Broken)?, true)
        }
    };
    let raw = serde_json::value::RawValue::from_string(body).map_err(|_| Failure::Broken)?;
    Ok(json(status, replay_headers(is_replay), &raw))
}

fn unwritten(fault: Option<RegistryFault>) -> Failure {
    match fault {
        Some(RegistryFault::Taken(what)) => {
            invalid("", format!("there is no {what}; delete one that is not needed"))
        }
        fault => {
            tracing::error!(?fault, "a webhook subscription was not written");
            Failure::Broken
        }
    }
}

impl From<KeyFault> for Failure {
    fn from(fault: KeyFault) -> Failure {
        match fault {
            KeyFault::Reused => Failure::KeyReused,
            KeyFault::Read(fault) => Failure::from(fault),
        }
    }
}

/// `GET /webhook-subscriptions`
pub(super) async fn list(State(desk): State<Desk>, request: Request) -> Result<Response, Failure> {
    let (actor, account) = manager(&desk, Caller::of(&request)).await?;
    let merchant = actor.merchant;
    let all = desk.read(move |reads| reads.endpoints(merchant)).await?;
    let own = all.iter().filter(|one| one.dialect == DIALECT);
    let items = own.map(|one| shown(one, &account, (MASKED, desk.now_ms()))).collect();
    Ok(json(StatusCode::OK, HeaderMap::new(), &Page::<Subscription<'_>>::whole(items)))
}

/// `GET /webhook-subscriptions/{subscription_id}`
pub(super) async fn read(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    let (actor, account) = manager(&desk, Caller::of(&request)).await?;
    let endpoint = the(&desk, actor.merchant, &id).await?;
    let shown = shown(&endpoint, &account, (MASKED, desk.now_ms()));
    Ok(json(StatusCode::OK, HeaderMap::new(), &shown))
}

/// `PUT /webhook-subscriptions/{subscription_id}`: what is not named stays.
pub(super) async fn update(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    mut request: Request,
) -> Result<Response, Failure> {
    let (actor, account) = manager(&desk, Caller::of(&request)).await?;
    let mut endpoint = the(&desk, actor.merchant, &id).await?;
    let wish = wish(&desk, &wire::body(&mut request).await?, false).await?;
    endpoint.url = wish.url.unwrap_or(endpoint.url);
    endpoint.is_active = wish.is_active.unwrap_or(endpoint.is_active);
    endpoint.updated_at_ms = desk.now_ms();
    let changed = endpoint.clone();
    let write = desk.write(move |registry| registry.change_endpoint(&changed)).await;
    if confirmed(write).map_err(unwritten)? != Some(true) {
        return Err(Failure::NotFound);
    }
    let shown = shown(&endpoint, &account, (MASKED, desk.now_ms()));
    Ok(json(StatusCode::OK, HeaderMap::new(), &shown))
}

/// `DELETE /webhook-subscriptions/{subscription_id}`
pub(super) async fn delete(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    let (actor, _) = manager(&desk, Caller::of(&request)).await?;
    let endpoint = the(&desk, actor.merchant, &id).await?;
    let write = desk.write(move |registry| registry.delete_endpoint(actor.merchant, endpoint.id));
    match confirmed(write.await).map_err(unwritten)? {
        Some(true) => Ok(StatusCode::NO_CONTENT.into_response()),
        _ => Err(Failure::NotFound),
    }
}

/// `POST /webhook-subscriptions/{subscription_id}/rotate-secret`: `delta` is for how many minutes the
/// secret before goes on signing.
pub(super) async fn rotate(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    mut request: Request,
) -> Result<Response, Failure> {
    let (actor, account) = manager(&desk, Caller::of(&request)).await?;
    let key_text = wire::key_text(request.headers())?;
    let before = the(&desk, actor.merchant, &id).await?;
    let body = wire::body(&mut request).await?;
    let mut form = Form::read(if body.is_empty() { b"{}" } else { &body })?;
    let minutes = form.integer("delta", 0, OVERLAP_MINUTES_MAX).unwrap_or(OVERLAP_MINUTES);
    form.finish(&["delta"])?;
    let until_ms = desk.now_ms().saturating_add(minutes.saturating_mul(60_000));
    let scope = ["webhooks", "rotate", &uuid_text(before.id)];
    let meaning = minutes.to_string();
    let key = key_text.map(|text| desk::key(DIALECT, &scope, &text, &[&meaning]));
    let keyed = Keyed::new(actor.merchant, key, desk.now_ms());
    let told = keyed.once(&desk, async || {
        let made = endpoint::rotated(&desk, &before, until_ms);
        let made = made.ok_or_else(|| invalid("", NO_KEY.to_owned()))?;
        let kept = kept(&made, &account, &keyed, &desk);
        let body = text(&made, &account, &desk);
        let of = EndpointView { updated_at_ms: made.endpoint.updated_at_ms, ..before.clone() };
        let sealed = made.endpoint.sealed.clone();
        let write = desk
            .write(move |registry| registry.rotate_endpoint(&of, &sealed, until_ms, kept.as_ref()));
        match confirmed(write.await).map_err(unwritten)? {
            Some(true) => Ok(Change::Made(body)),
            // Deleted, or rotated by another request at the same time.
            Some(false) => Err(Failure::NotFound),
            None => Ok(Change::MadeBefore),
        }
    });
    answer(&desk, actor.merchant, told.await?, StatusCode::OK)
}
