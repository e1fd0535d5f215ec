//! Who asks: an API token, or a person with a log-in token. Any one that is good is enough, and a
//! bad one beside it does no harm.
//!
//! - `x-medusa-access-token`: a token of this face, kept as a hash only.
//! - `Authorization: Bearer`: what [`log_in`] gave out, a JWT with HS256 and 24 hours of life. Unlike
//!   in the original the person must still exist (decision V1-6). An API token is not taken here.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use requite_core::id::{
    MerchantId, PersonId, parse_prefixed, parse_uuid, prefixed_text, uuid_text,
};
use requite_engine::read::PersonView;
use serde_json::{Map, Value, json};
use tokio::sync::OnceCell;

use super::failure::Failure;
use super::wire::{self, LogInBody, Members};
use super::{Face, NAME};
use crate::access::{self, Actor, Caller};
use crate::crypto::jws::{self, Algorithm, Hs256Key, Moment, SKEW_SECONDS, VerifyingKey};
use crate::crypto::password::PasswordFault;
use crate::crypto::secret::Secret;
use crate::crypto::token::lookup_hash;

/// How long a log-in lasts, in seconds.
const LOGIN_SECONDS: i64 = 24 * 60 * 60;

/// The name of the secret that log-in tokens are signed with.
const LOGIN_SECRET: &str = "login";

/// People with one e-mail address whose password is tried. Merchants do not know of each other, so
/// the same person may be with several.
const NAMESAKES_MAX: usize = 8;

const USER_PREFIX: &str = "usr_";

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

/// Who asks, if they may do what their route demands.
///
/// # Errors
/// As [`known`]; 403 without the scope.
pub(super) async fn actor(face: &Face, caller: Caller<'_>) -> Result<Actor, Failure> {
    let actor = known(face, caller.headers).await?;
    caller.admit(actor).map_err(Failure::forbidden)
}

/// Who sent a request with these headers.
///
/// # Errors
/// 401 without a good credential; 500 when the store cannot be read.
pub(super) async fn known(face: &Face, headers: &HeaderMap) -> Result<Actor, Failure> {
    if let Some(token) = bearer(headers)
        && let Some(actor) = person(face, token).await?
    {
        return Ok(actor);
    }
    let token = headers.get("x-medusa-access-token");
    let Some(token) = token.and_then(|token| token.to_str().ok()) else {
        return Err(Failure::Unauthorized);
    };
    let key = access::key(&face.desk, NAME, lookup_hash(token)).await?;
    let actor = key.as_ref().map(Actor::of_key);
    actor.ok_or(Failure::Unauthorized)
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = text.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim_start())
}

/// The person whom a log-in token names; `None` if it is worth nothing.
async fn person(face: &Face, token: &str) -> Result<Option<Actor>, Failure> {
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
    let person = face.desk.read(move |reads| reads.person(merchant, user));
    Ok(person.await?.map(|person| Actor {
        merchant: person.merchant,
        name: prefixed_text("user_", person.id.bits()),
        scopes: None,
    }))
}

/// `POST /admin/auth/token`
pub(super) async fn log_in(
    State(face): State<Face>,
    mut request: Request,
) -> Result<Response, Failure> {
    let bytes = wire::body(&mut request).await?;
    let LogInBody { email, password } = LogInBody::read(&Members::read(&bytes)?)?;
    let password = Secret::new(password);
    let person = verified(&face, email, &password).await?;
    let person = person.ok_or(Failure::WrongPassword)?;
    let key = login_key(&face).await?;
    let token = jws::sign_hs256(&claims(&person, now_seconds(&face)), &key);
    let body = json!({ "access_token": token });
    Ok(wire::json(StatusCode::OK, &body))
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

/// The first person of this e-mail address whose password it is. Nobody costs as much time as a
/// wrong password.
async fn verified(
    face: &Face,
    email: String,
    password: &Secret,
) -> Result<Option<PersonView>, Failure> {
    let people = face.desk.read(move |reads| reads.people(&email)).await?;
    if people.is_empty() {
        is_right(face, password, None).await?;
    }
    for person in people.into_iter().take(NAMESAKES_MAX) {
        if is_right(face, password, Some(person.password_hash.clone())).await? {
            return Ok(Some(person));
        }
    }
    Ok(None)
}

async fn is_right(face: &Face, password: &Secret, hash: Option<String>) -> Result<bool, Failure> {
    let copy = Secret::new(password.expose().to_owned());
    match face.desk.passwords().verify(copy, hash).await {
        Ok(is_right) => Ok(is_right),
        Err(PasswordFault::TooLong) => Ok(false),
        Err(fault @ PasswordFault::StoredHash) => {
            tracing::error!(%fault, "a person cannot log in");
            Ok(false)
        }
        Err(fault @ (PasswordFault::Busy | PasswordFault::Stopping)) => {
            Err(Failure::busy(&fault.to_string()))
        }
    }
}

/// The installation's key for log-in tokens. It never changes, so it is read once.
async fn login_key(face: &Face) -> Result<Hs256Key, Failure> {
    let read = async || {
        let secret = face.desk.read(|reads| reads.secret(LOGIN_SECRET)).await?;
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
