//! API keys: made with the rights of whoever makes them, and revoked at once.
//!
//! A secret is in the answer that makes it and nowhere else: what is kept of it is its hash, and the
//! few letters that lists show. A repeat of a keyed request must show it all the same (decision A4), so
//! the secret of such a key follows from the caller's own idempotency key, which is not kept either.
//!
//! Publishable keys, which storefronts show to everybody, are made and shown, and open nothing.

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use requite_core::id::{KeyId, parse_prefixed};
use requite_engine::read::{KeyNote, KeyView, Mark};
use requite_engine::registry::NewKey;

use super::failure::{Failure, json_response};
use super::fields::{Column, Defaults, Entity, Related, Selection, render};
use super::repeats::{keyed, made, told};
use super::schema::{self, Faults};
use super::spelling::{NULL, id, optional_text, optional_time, prefix, text, time};
use super::wire::{BODY_MAX, Body, key_text, read_fields, selection};
use super::{Face, auth};
use crate::access::{Actor, Caller};
use crate::crypto::secret::Secret;
use crate::crypto::token::{TokenKind, derive, lookup_hash, redacted};
use crate::json::{Json, Object};
use crate::keyed::{Change, Told, confirmed, replayed};

/// What the answer shows that makes a key; `fields` does not change it.
const MADE: Defaults = Defaults {
    fields: &[
        "id",
        "token",
        "redacted",
        "title",
        "type",
        "last_used_at",
        "created_by",
        "revoked_by",
        "revoked_at",
        "created_at",
        "updated_at",
        "deleted_at",
    ],
    tail: &[],
};

const DEFAULTS: Defaults = Defaults {
    fields: &[
        "id",
        "title",
        "token",
        "redacted",
        "type",
        "last_used_at",
        "updated_at",
        "created_at",
        "created_by",
        "revoked_at",
        "revoked_by",
        "*sales_channels",
    ],
    tail: &[],
};

/// Where a secret stands that is not shown.
const HIDDEN: &str = "\"token\":\"\"";

/// `POST /admin/api-keys`
pub(super) async fn create(
    State(face): State<Face>,
    mut request: Request,
) -> Result<Response, Failure> {
    let body = Body::take(&mut request, BODY_MAX).await?;
    let json = body.json()?;
    let actor = auth::actor(&face, Caller::of(&request)).await?;
    let wish = Wish::read(&body, json)?;
    selection(request.uri().query(), &MADE)?;
    let keyed = keyed(&face, &actor, request.headers(), &["api-keys"], json)?;
    let key = KeyId::new(face.desk.ids().next());
    let secret = secret_for(&face, request.headers(), wish.kind, key).await?;
    let done = keyed.once(&face.desk, async || {
        let new = wish.key(&face, &actor, key, &secret);
        let body = shown(&view(&new), &read_fields(None, &MADE)?);
        let answer = keyed.answer(key.bits(), Some(&body));
        let write = face.desk.write(move |registry| registry.create_key(&new, answer.as_ref()));
        made(write.await, body)
    });
    match done.await? {
        Told::Now(body) => Ok(json_response(StatusCode::OK, revealed(&body, &secret))),
        Told::Again(first) => {
            let key = KeyId::new(first.subject);
            let secret = secret_for(&face, request.headers(), wish.kind, key).await?;
            let body = revealed(&first.body.unwrap_or_default(), &secret);
            Ok(replayed(json_response(StatusCode::OK, body)))
        }
    }
}

/// `POST /admin/api-keys/{id}/revoke`
pub(super) async fn revoke(
    State(face): State<Face>,
    Path(written): Path<String>,
    mut request: Request,
) -> Result<Response, Failure> {
    let body = Body::take(&mut request, BODY_MAX).await?;
    let json = body.json()?;
    let actor = auth::actor(&face, Caller::of(&request)).await?;
    let object = body.object(json)?;
    let mut faults = Faults::default();
    let members = object.iter().flat_map(Object::members);
    faults.unknown(members.map(|member| member.name.as_str()), &[]);
    faults.result()?;
    let selection = selection(request.uri().query(), &DEFAULTS)?;
    let scope = ["api-keys", written.as_str()];
    let keyed = keyed(&face, &actor, request.headers(), &scope, json)?;
    let done = keyed.once(&face.desk, async || {
        let mut key = living(&face, &actor, &written).await?;
        let mark = Mark { by: actor.name.clone(), at_ms: face.desk.now_ms() };
        key.revoked_at_ms = Some(mark.at_ms);
        key.revoked_by = Some(mark.by.clone());
        let body = shown(&key, &selection);
        let answer = keyed.answer(key.id.bits(), Some(&body));
        let write = face.desk.write(move |registry| {
            registry.revoke_key(key.merchant, key.id, &mark, answer.as_ref())
        });
        match confirmed(write.await).map_err(Failure::Write)? {
            None => Ok(Change::MadeBefore),
            Some(true) => Ok(Change::Made(body)),
            Some(false) => Err(Failure::NotAllowed(REVOKED)),
        }
    });
    done.await.map(told)
}

const REVOKED: &str = "The API key is revoked already";

/// A key of this face that is not revoked.
async fn living(face: &Face, actor: &Actor, written: &str) -> Result<KeyView, Failure> {
    let unknown = || Failure::KeyUnknown(written.to_owned());
    let id = parse_prefixed(prefix::KEY, written).map(KeyId::new).ok_or_else(unknown)?;
    let merchant = actor.merchant;
    let found = face.desk.read(move |reads| reads.key_named(merchant, id)).await;
    let key = found.map_err(Failure::Read)?.filter(|key| key.face == auth::FACE);
    let key = key.ok_or_else(unknown)?;
    match key.revoked_at_ms {
        None => Ok(key),
        Some(_) => Err(Failure::NotAllowed(REVOKED)),
    }
}

/// What a body asks for.
pub(super) struct Wish {
    title: String,
    kind: TokenKind,
}

impl Wish {
    pub(super) fn read(body: &Body, json: Option<Json<'_>>) -> Result<Wish, Failure> {
        let object = body.object(json)?;
        let mut faults = Faults::default();
        let mut required = |name| match object.as_ref().filter(|it| it.member(name).is_some()) {
            Some(object) => schema::text(object, name, &mut faults),
            None => {
                faults.missing(name);
                None
            }
        };
        let title = required("title");
        let named = required("type");
        let kind = match named.as_deref() {
            Some("publishable") => TokenKind::MedusaV2Publishable,
            Some("secret") | None => TokenKind::MedusaV2,
            Some(other) => {
                let listed = "publishable, secret";
                faults.other(format!("Expected: '{listed}' for field 'type', but got: '{other}'"));
                TokenKind::MedusaV2
            }
        };
        let members = object.iter().flat_map(Object::members);
        faults.unknown(members.map(|member| member.name.as_str()), &["title", "type"]);
        faults.result()?;
        Ok(Wish { title: title.unwrap_or_default(), kind })
    }

    /// With the rights of whoever makes it. A publishable key has no lookup: nothing finds it.
    fn key(&self, face: &Face, actor: &Actor, id: KeyId, secret: &Secret) -> NewKey {
        let is_publishable = self.kind == TokenKind::MedusaV2Publishable;
        let lookup = (!is_publishable).then(|| lookup_hash(secret.expose()));
        NewKey {
            id,
            merchant: actor.merchant,
            face: auth::FACE.to_owned(),
            scopes: actor.scopes.clone(),
            lookups: lookup.into_iter().collect(),
            public_key: None,
            about: KeyNote {
                is_publishable,
                title: Some(self.title.clone()),
                redacted: Some(redacted(secret.expose())),
                created_by: Some(actor.name.clone()),
            },
            at_ms: face.desk.now_ms(),
        }
    }
}

/// A fresh secret, or the one that follows from the request's idempotency key.
async fn secret_for(
    face: &Face,
    headers: &HeaderMap,
    kind: TokenKind,
    key: KeyId,
) -> Result<Secret, Failure> {
    let Some(told) = key_text(headers)? else {
        return Ok(face.desk.mint(kind));
    };
    let secret = face.desk.login_secret().await;
    let secret = secret.map_err(Failure::Read)?.ok_or(Failure::Unauthorized)?;
    Ok(derive(kind, &secret, &[&key.bits().to_be_bytes(), told.as_bytes()]))
}

/// `body` with the secret in its place. An escaped text cannot look like that place.
fn revealed(body: &str, secret: &Secret) -> String {
    body.replacen(HIDDEN, &format!("\"token\":\"{}\"", secret.expose()), 1)
}

fn view(new: &NewKey) -> KeyView {
    KeyView {
        id: new.id,
        merchant: new.merchant,
        face: new.face.clone(),
        scopes: new.scopes.clone(),
        public_key: None,
        about: new.about.clone(),
        created_at_ms: new.at_ms,
        revoked_at_ms: None,
        revoked_by: None,
    }
}

fn shown(key: &KeyView, selection: &Selection) -> String {
    format!("{{\"api_key\":{}}}", render(&ApiKey(key), selection))
}

struct ApiKey<'a>(&'a KeyView);

impl Entity for ApiKey<'_> {
    fn columns(&self) -> &'static [Column] {
        &[
            Column::Scalar("id"),
            Column::Scalar("token"),
            Column::Scalar("redacted"),
            Column::Scalar("title"),
            Column::Scalar("type"),
            Column::Scalar("last_used_at"),
            Column::Scalar("created_by"),
            Column::Scalar("revoked_by"),
            Column::Scalar("revoked_at"),
            Column::Scalar("created_at"),
            Column::Scalar("updated_at"),
            Column::Scalar("deleted_at"),
            Column::Relation("sales_channels"),
        ]
    }

    fn scalar(&self, name: &str) -> String {
        let key = self.0;
        let about = &key.about;
        match name {
            "id" => id(prefix::KEY, key.id.bits()),
            "token" => text(""),
            "redacted" => text(about.redacted.as_deref().unwrap_or("***")),
            "title" => text(about.title.as_deref().unwrap_or_default()),
            "type" if about.is_publishable => text("publishable"),
            "type" => text("secret"),
            "created_by" => optional_text(about.created_by.as_deref()),
            "revoked_by" => optional_text(key.revoked_by.as_deref()),
            "revoked_at" => optional_time(key.revoked_at_ms),
            "created_at" => time(key.created_at_ms),
            "updated_at" => time(key.revoked_at_ms.unwrap_or(key.created_at_ms)),
            _ => NULL.to_owned(),
        }
    }

    fn related(&self, _: &str) -> Related<'_> {
        Related::Many(Vec::new())
    }
}
