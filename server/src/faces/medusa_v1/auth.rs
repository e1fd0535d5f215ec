//! Who asks: an API token, or a person with a log-in token or a session. Any one that is good is
//! enough, and a bad one beside it does no harm.
//!
//! - `x-medusa-access-token`: a token of this face, kept as a hash only.
//! - `Authorization: Bearer`: what [`token`] gave out, a JWT with HS256 and 24 hours of life. Unlike
//!   in the original the person must still exist (decision V1-6). An API token is not taken here.
//! - Cookie `connect.sid`: a session ([`crate::session`]), with its rules about who made a browser ask.

use std::sync::Arc;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use requite_core::id::{
    MerchantId, PersonId, parse_prefixed, parse_uuid, prefixed_text, uuid_text,
};
use requite_engine::read::{KeyView, PersonView};
use serde_json::{Map, Value};
use tokio::sync::OnceCell;

use super::failure::Failure;
use super::{Face, NAME};
use crate::access::{self, Actor, Caller};
use crate::crypto::jws::{self, Algorithm, Hs256Key, Moment, SKEW_SECONDS, VerifyingKey};
use crate::crypto::token::lookup_hash;
use crate::session::{self, Kind};

/// How long a log-in lasts, in seconds.
const LOGIN_SECONDS: i64 = 24 * 60 * 60;

pub(super) const USER_PREFIX: &str = "usr_";

/// What log-ins need. Clones share it.
#[derive(Clone)]
pub(super) struct Logins {
    key: Arc<OnceCell<Hs256Key>>,
}

impl Logins {
    pub(super) fn new() -> Logins {
        Logins { key: Arc::new(OnceCell::new()) }
    }
}

/// Who it is that asks.
pub(super) enum Asker {
    Key(KeyView),
    Person(PersonView),
}

impl Asker {
    fn actor(&self) -> Actor {
        match self {
            Asker::Key(key) => Actor::of_key(key),
            Asker::Person(person) => Actor {
                merchant: person.merchant,
                name: prefixed_text("user_", person.id.bits()),
                scopes: None,
            },
        }
    }
}

/// Who asks, if they may do what their route demands.
///
/// # Errors
/// As [`known`]; 403 without the scope; 429 when they ask too often.
pub(super) async fn actor(face: &Face, caller: Caller<'_>) -> Result<Actor, Failure> {
    asker(face, caller).await.map(|asker| asker.actor())
}

/// The same, with what is known of them.
///
/// # Errors
/// As [`actor`].
pub(super) async fn asker(face: &Face, caller: Caller<'_>) -> Result<Asker, Failure> {
    let asker = known(face, caller).await?;
    caller.admit(&face.desk, asker.actor()).map_err(Failure::barred)?;
    Ok(asker)
}

/// Who asks, whether they may or not.
///
/// # Errors
/// 401 without a good credential; 500 when the store cannot be read.
pub(super) async fn known(face: &Face, caller: Caller<'_>) -> Result<Asker, Failure> {
    let Caller { method, headers, .. } = caller;
    if let Some(token) = bearer(headers)
        && let Some(person) = person(face, token).await?
    {
        return Ok(Asker::Person(person));
    }
    let token = headers.get("x-medusa-access-token").and_then(|token| token.to_str().ok());
    if let Some(token) = token
        && let Some(key) = access::key(&face.desk, NAME, lookup_hash(token)).await?
    {
        return Ok(Asker::Key(key));
    }
    let person = session::person(&face.desk, Kind::MedusaV1, method, headers).await?;
    person.map(Asker::Person).ok_or(Failure::Unauthorized)
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = text.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim_start())
}

/// The person whom a log-in token names; `None` if it is worth nothing.
async fn person(face: &Face, token: &str) -> Result<Option<PersonView>, Failure> {
    let Ok(token) = jws::parse(token, Algorithm::Hs256) else {
        return Ok(None);
    };
    let key = login_key(face).await?;
    let moment = Moment { now_seconds: now_seconds(face), skew_seconds: SKEW_SECONDS };
    let Ok(claims) = token.verify(VerifyingKey::Hs256(&key), moment) else {
        return Ok(None);
    };
    let user = claims.text("user_id").and_then(|id| parse_prefixed(USER_PREFIX, id));
    let merchant = claims.text("merchant_id").and_then(parse_uuid);
    let (Some("admin"), Some(user), Some(merchant)) = (claims.text("domain"), user, merchant)
    else {
        return Ok(None);
    };
    let (merchant, user) = (MerchantId::new(merchant), PersonId::new(user));
    Ok(face.desk.glance(move |reads| reads.person(merchant, user)).await?)
}

/// A log-in token for a person who has just shown who they are.
pub(super) async fn token(face: &Face, person: &PersonView) -> Result<String, Failure> {
    let key = login_key(face).await?;
    Ok(jws::sign_hs256(&claims(person, now_seconds(face)), &key))
}

/// `merchant_id` is ours, for people are kept by merchant; the others are the original's.
fn claims(person: &PersonView, now_seconds: i64) -> Map<String, Value> {
    let expires = now_seconds.saturating_add(LOGIN_SECONDS);
    let user = prefixed_text(USER_PREFIX, person.id.bits());
    let merchant = uuid_text(person.merchant.bits());
    Map::from_iter([
        ("user_id".to_owned(), user.into()),
        ("domain".to_owned(), "admin".into()),
        ("merchant_id".to_owned(), merchant.into()),
        ("iat".to_owned(), now_seconds.into()),
        ("exp".to_owned(), expires.into()),
    ])
}

/// The installation's key for log-in tokens. It never changes, so it is read once.
async fn login_key(face: &Face) -> Result<Hs256Key, Failure> {
    let read = async || {
        let secret = face.desk.login_secret().await?;
        Hs256Key::new(&secret.unwrap_or_default()).ok_or_else(|| {
            tracing::error!("the store has no secret for log-ins: nobody can log in");
            Failure::unknown()
        })
    };
    face.logins.key.get_or_try_init(read).await.cloned()
}

fn now_seconds(face: &Face) -> i64 {
    face.desk.now_ms().div_euclid(1000)
}
