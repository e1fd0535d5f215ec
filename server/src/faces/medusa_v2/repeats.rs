//! Repeats of keyed requests that move no money: reasons, collections, keys.

use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use requite_engine::key::Key;
use requite_engine::registry::RegistryFault;

use super::failure::{Failure, json_response};
use super::wire::key_text;
use super::{Face, auth};
use crate::access::Actor;
use crate::desk;
use crate::json::Json;
use crate::keyed::{Change, KeyFault, Keyed, Told, confirmed, replayed};

/// A request with its `Idempotency-Key`. `scope` is the route, and the row that its path names; the
/// meaning is the body, however it is spelt.
pub(super) fn keyed(
    face: &Face,
    actor: &Actor,
    headers: &HeaderMap,
    scope: &[&str],
    body: Option<Json<'_>>,
) -> Result<Keyed, Failure> {
    let key = key(headers, scope, body)?;
    Ok(Keyed::new(actor.merchant, key, face.desk.now_ms()))
}

/// The key alone, for a request that moves money.
pub(super) fn key(
    headers: &HeaderMap,
    scope: &[&str],
    body: Option<Json<'_>>,
) -> Result<Option<Key>, Failure> {
    let text = key_text(headers)?;
    let meaning = body.map_or_else(|| "{}".to_owned(), Json::canonical);
    Ok(text.map(|text| desk::key(auth::FACE, scope, &text, &[&meaning])))
}

/// `body`, if the write went through.
pub(super) fn made(
    result: Option<Result<(), RegistryFault>>,
    body: String,
) -> Result<Change, Failure> {
    let is_made = confirmed(result).map_err(Failure::Write)?.is_some();
    Ok(if is_made { Change::Made(body) } else { Change::MadeBefore })
}

/// The answer of a keyed request whose answer is kept as it was sent.
pub(super) fn told(told: Told) -> Response {
    match told {
        Told::Now(body) => json_response(StatusCode::OK, body),
        Told::Again(first) => {
            replayed(json_response(StatusCode::OK, first.body.unwrap_or_default()))
        }
    }
}

impl From<KeyFault> for Failure {
    fn from(fault: KeyFault) -> Failure {
        match fault {
            KeyFault::Reused => Failure::KeyReused,
            KeyFault::Read(fault) => Failure::Read(fault),
        }
    }
}
