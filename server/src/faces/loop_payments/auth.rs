//! Who asks: an access token of this face, sent as a bearer token.

use super::failure::Failure;
use crate::access::{self, Actor, Caller};
use crate::crypto::token::lookup_hash;
use crate::desk::Desk;

/// The actor behind the request, who may do what its route demands.
pub(super) async fn actor(desk: &Desk, caller: Caller<'_>) -> Result<Actor, Failure> {
    let lookup = lookup_hash(access::bearer(caller.headers).ok_or(Failure::Unauthenticated)?);
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
