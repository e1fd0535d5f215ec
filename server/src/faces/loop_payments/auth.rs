//! Who asks: an access token of this face, sent as a bearer token.

use axum::http::{HeaderMap, header};

use super::failure::Failure;
use crate::access::{self, Actor, Caller};
use crate::crypto::token::lookup_hash;
use crate::desk::Desk;

/// The actor behind the request, who may do what its route demands.
pub(super) async fn actor(desk: &Desk, caller: Caller<'_>) -> Result<Actor, Failure> {
    let lookup = lookup_hash(bearer(caller.headers).ok_or(Failure::Unauthenticated)?);
    let key = access::key(desk, "loop", lookup).await.map_err(Failure::Read)?;
    let Some(key) = key else {
        return Err(no_key(desk, lookup).await);
    };
    let actor = Actor::of_key(&key);
    caller.admit(desk, actor).map_err(Failure::Barred)
}

/// A token that was revoked has an error of its own.
async fn no_key(desk: &Desk, lookup: [u8; 32]) -> Failure {
    match desk.admit(move |reads| reads.key(&lookup)).await {
        Ok(Some(key)) if key.face == "loop" => Failure::TokenRevoked,
        Ok(_) => Failure::Unauthenticated,
        Err(fault) => Failure::Read(fault),
    }
}

/// The token of `Authorization: Bearer ...`; `None` when there is none, or more than one.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut sent = headers.get_all(header::AUTHORIZATION).iter();
    let only = sent.next().filter(|_| sent.next().is_none())?;
    let (scheme, token) = only.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_bearer_token_is_a_credential() {
        for (sent, token) in [
            (&["Bearer lph_at_1"][..], Some("lph_at_1")),
            (&["BEARER  lph_at_1 "], Some("lph_at_1")),
            (&[], None),
            (&["Bearer"], None),
            (&["Bearer "], None),
            (&["Basic bHBoOg=="], None),
            (&["Bearer one", "Bearer two"], None),
        ] {
            let mut headers = HeaderMap::new();
            for value in sent {
                headers.append(header::AUTHORIZATION, value.parse().expect("a header value"));
            }
            assert_eq!(bearer(&headers), token, "{sent:?}");
        }
    }
}
