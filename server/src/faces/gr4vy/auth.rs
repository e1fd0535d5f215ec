//! Who asks: a bearer token that the merchant has signed, its scopes, and the merchant account.
//!
//! A token is a JWT with ES512. It names its key by the RFC 7638 thumbprint of the public half; the
//! store has each Gr4vy key under both spellings of it (coordinates padded, and unpadded as older
//! Go SDKs compute it). `exp` is required. `nbf` is checked where there is one; `iss`, `jti` and
//! `iat` are not looked at, as none of them makes a token safer here.
//!
//! Scopes are the token's. What the key was made with narrows them and never widens them. A token
//! without a list of scopes may do nothing: the published pages have both required and optional
//! lists, and every SDK sends one. Writing does not include reading.
//!
//! A public key is limited to the merchants that it is registered with, which are its accounts (G6).
//!
//! That a signature holds is remembered, for it never changes. Its key and its times are looked at each
//! time: a key that is revoked stops at once.

use axum::http::{HeaderMap, HeaderName};
use requite_core::id::MerchantId;
use requite_engine::read::{KeyView, Reads};

use super::WRITES;
use super::failure::{Detail, Failure, Location};
use crate::access::{self, Actor, Barred, Caller};
use crate::crypto::jws::{self, Algorithm, Claims, Fault, Moment, VerifyingKey};
use crate::crypto::p521::PublicKey;
use crate::crypto::token::lookup_hash;
use crate::desk::Desk;

const ACCOUNT_HEADER: HeaderName = HeaderName::from_static("x-gr4vy-merchant-account-id");

/// The account id that means the key's only one, and that of a request which names none.
const ACCOUNT_DEFAULT: &str = "default";

/// Checks token (401), its scopes (403), merchant account (404) and the key's scopes (403), in this
/// order.
pub(super) async fn actor(desk: &Desk, caller: Caller<'_>) -> Result<Actor, Failure> {
    admitted(desk, caller).await.map(|(actor, _)| actor)
}

/// As [`actor`]; with what the token says.
pub(super) async fn admitted(desk: &Desk, caller: Caller<'_>) -> Result<(Actor, Claims), Failure> {
    let token = access::bearer(caller.headers).ok_or(Failure::Unauthenticated)?;
    let (keys, claims) = verified(desk, token).await?;
    let forbidden = |scope| Failure::Forbidden { scope };
    let demanded = caller.scopes();
    if let Some(first) = demanded.first()
        && !grants_any(claims.texts("scopes").as_deref(), demanded)
    {
        return Err(forbidden(first));
    }
    let key = key_of_account(desk, caller.headers, keys).await?;
    let actor = caller.admit(desk, Actor::of_key(&key)).map_err(|barred| match barred {
        Barred::Scope(scope) => forbidden(scope),
        Barred::Rate => Failure::Busy,
    })?;
    Ok((actor, claims))
}

/// Is this a token for a browser, which may ask for nothing but what its `embed` claim says?
pub(super) fn is_embedded(actor: &Actor, claims: &Claims) -> bool {
    let may_write = |listed: Option<&[&str]>| grants_any(listed, &WRITES);
    let of_key = actor.scopes.as_ref();
    let of_key = of_key.map(|scopes| scopes.iter().map(String::as_str).collect::<Vec<_>>());
    let is_key_narrow =
        of_key.is_some_and(|scopes| !may_write(Some(&scopes)) && !scopes.contains(&"admin"));
    is_key_narrow || !may_write(claims.texts("scopes").as_deref())
}

/// What a good token says, and the registrations of the key that signed it: at least one.
async fn verified(desk: &Desk, token: &str) -> Result<(Vec<KeyView>, Claims), Failure> {
    let refused = |fault: Fault| {
        tracing::debug!(%fault, "a token was refused");
        Failure::Unauthenticated
    };
    let token = jws::parse(token, Algorithm::Es512).map_err(refused)?;
    let kid = token.kid().map_err(refused)?;
    let keys = access::keys(desk, "gr4vy", lookup_hash(kid)).await?;
    // One thumbprint is of one public key, wherever it is registered.
    let key = keys.first().ok_or_else(|| refused(Fault::UnknownKey))?;
    let point = key.public_key.as_deref().unwrap_or_default();
    let public = PublicKey::from_point(point).map_err(|fault| {
        tracing::error!(%fault, key = ?key.id, "the store holds a key that is none");
        Failure::Broken
    })?;
    let moment =
        Moment { now_seconds: desk.now_ms().div_euclid(1000), skew_seconds: jws::SKEW_SECONDS };
    let claims =
        token.verify(VerifyingKey::Known(&public, desk.signatures()), moment).map_err(refused)?;
    Ok((keys, claims))
}

fn grants_any(listed: Option<&[&str]>, grants: &[&str]) -> bool {
    listed.is_some_and(|listed| listed.iter().any(|scope| grants.contains(scope)))
}

/// G6: the account that a request names by its merchant's slug. `default` is the key's only account,
/// and a request that names none means `default`. Every other account, existing or not, is as missing.
async fn key_of_account(
    desk: &Desk,
    headers: &HeaderMap,
    mut keys: Vec<KeyView>,
) -> Result<KeyView, Failure> {
    let mut values = headers.get_all(ACCOUNT_HEADER).iter();
    let named = match (values.next(), values.next()) {
        (None, _) => None,
        (Some(value), None) => Some(value.to_str().map_err(|_| Failure::NotFound)?.to_owned()),
        (Some(_), Some(_)) => return Err(Failure::NotFound),
    };
    let is_named = named.is_some();
    let wanted = named.unwrap_or_else(|| ACCOUNT_DEFAULT.to_owned());
    if wanted == ACCOUNT_DEFAULT && keys.len() == 1 {
        return keys.pop().ok_or(Failure::Unauthenticated);
    }
    let of_account = move |reads: &dyn Reads| {
        for key in keys {
            let merchant = reads.merchant(key.merchant)?;
            if merchant.is_some_and(|merchant| merchant.slug == wanted) {
                return Ok(Some(key));
            }
        }
        Ok(None)
    };
    match desk.glance(of_account).await? {
        Some(key) => Ok(key),
        None if is_named => Err(Failure::NotFound),
        None => {
            let text = "field required: the key has several merchant accounts";
            let name = ACCOUNT_HEADER;
            let kind = "value_error.missing";
            Err(Failure::invalid(Detail::new(Location::Header, name.as_str(), text, kind)))
        }
    }
}

/// The merchant account id of a merchant.
pub(super) async fn slug(desk: &Desk, merchant: MerchantId) -> Result<String, Failure> {
    let found = desk.read(move |reads| reads.merchant(merchant)).await?;
    found.map(|merchant| merchant.slug).ok_or_else(|| {
        tracing::error!(?merchant, "a key belongs to no merchant");
        Failure::Broken
    })
}

#[cfg(test)]
mod tests {
    use super::super::READS;
    use super::*;

    #[test]
    fn each_scope_grants_what_it_names_and_writing_grants_no_reading() {
        for (listed, reads, writes) in [
            (Some(&["transactions.read"][..]), true, false),
            (Some(&["*.read"]), true, false),
            (Some(&["transactions.write"]), false, true),
            (Some(&["*.write"]), false, true),
            (Some(&["*.read", "*.write"]), true, true),
            (Some(&["buyers.write", "transactions.read"]), true, false),
            (Some(&["embed"]), false, false),
            (Some(&["admin"]), false, false),
            (Some(&["*"]), false, false),
            (Some(&[]), false, false),
            (None, false, false),
        ] {
            let may = |scopes: &[&str]| grants_any(listed, scopes);
            assert_eq!((may(&READS), may(&WRITES)), (reads, writes), "{listed:?}");
        }
    }
}
