//! Who asks: a key of this face, sent as a bearer token.

use super::failure::Failure;
use crate::access::{self, Actor, Caller};
use crate::crypto::token::lookup_hash;
use crate::desk::Desk;

/// The actor behind the request, who may do what its route demands.
pub(super) async fn actor(desk: &Desk, caller: Caller<'_>) -> Result<Actor, Failure> {
    let lookup = lookup_hash(access::bearer(caller.headers).ok_or(Failure::Unauthenticated)?);
    let key = access::key(desk, "mpg", lookup).await.map_err(Failure::Read)?;
    let actor = Actor::of_key(&key.ok_or(Failure::Unauthenticated)?);
    caller.admit(desk, actor).map_err(Failure::Barred)
}
