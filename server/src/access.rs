//! Who is it, and may they? Access turns a credential into an [`Actor`]: a merchant, a name for the
//! books, and scopes. Nothing behind it sees a header. What a route demands is its [`Access`], which
//! comes from the route's declaration and from nowhere else.

use axum::extract::Request;
use axum::http::{HeaderMap, Method, header};
use requite_core::id::{KeyId, MerchantId};
use requite_engine::read::{KeyView, ReadFault};

use crate::desk::Desk;
use crate::route::Route;

/// What a route demands of whoever asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Nothing: whoever asks is not looked at.
    Public,
    /// A good credential, of the kinds that the route takes, whatever its scopes.
    Known,
    /// A credential with any one of these scopes. The first is named to those who lack all.
    AnyOf(&'static [&'static str]),
}

/// What is known of whoever asks before their credential is checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller<'a> {
    pub method: &'a Method,
    pub headers: &'a HeaderMap,
    /// What the route declares; `None` where there is none, and nobody passes.
    access: Option<Access>,
}

impl<'a> Caller<'a> {
    pub(crate) fn of(request: &'a Request) -> Caller<'a> {
        let route = request.extensions().get::<Route>();
        let access = route.map(|route| route.access);
        Caller { method: request.method(), headers: request.headers(), access }
    }

    /// The scopes of which the route demands one.
    pub(crate) fn scopes(&self) -> &'static [&'static str] {
        match self.access {
            Some(Access::AnyOf(scopes)) => scopes,
            Some(Access::Public | Access::Known) | None => &[],
        }
    }

    /// Lets the actor in whom the caller turned out to be.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn admit(&self, desk: &Desk, actor: Actor) -> Result<Actor, Barred> {
        self.check(&actor).map_err(Barred::Scope)?;
        if desk.rates().admits(actor.merchant, &actor.name, desk.now_ms()) {
            Ok(actor)
        } else {
            Err(Barred::Rate)
        }
    }

    /// The scope they should have, where they have none that the route demands.
    fn check(&self, actor: &Actor) -> Result<(), &'static str> {
        match self.access {
            Some(Access::Public | Access::Known) => Ok(()),
            Some(Access::AnyOf(scopes)) if actor.may(scopes) => Ok(()),
            Some(Access::AnyOf(scopes)) => Err(scopes.first().unwrap_or(&ADMIN)),
            None => Err(ADMIN),
        }
    }
}

/// Why a good credential does not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Barred {
    /// It lacks this scope, or one that does as well.
    Scope(&'static str),
    /// It has asked more often than it may ([`crate::rate`]). Nothing was done, and a second later there
    /// is room again.
    Rate,
}

/// The scope that stands for all others.
const ADMIN: &str = "admin";

/// Who asks, after their credential was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Actor {
    pub merchant: MerchantId,
    /// How the books name them: `apk_...` for a key, `user_...` for a person.
    pub name: String,
    /// `None`: everything the face offers.
    pub scopes: Option<Vec<String>>,
}

impl Actor {
    /// Does any of `scopes` (or `admin`) stand among the actor's? A credential without a list may
    /// do everything its face offers.
    fn may(&self, scopes: &[&str]) -> bool {
        let listed = |list: &Vec<String>| {
            list.iter().any(|scope| scope == ADMIN || scopes.contains(&scope.as_str()))
        };
        self.scopes.as_ref().is_none_or(listed)
    }

    pub(crate) fn of_key(key: &KeyView) -> Actor {
        Actor { merchant: key.merchant, name: key_name(key.id), scopes: key.scopes.clone() }
    }
}

/// How a key is named in the books and in Medusa's `created_by`.
pub(crate) fn key_name(id: KeyId) -> String {
    requite_core::id::prefixed_text("apk_", id.bits())
}

/// The token of `Authorization: Bearer ...`; `None` when there is none, or more than one.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut sent = headers.get_all(header::AUTHORIZATION).iter();
    let only = sent.next().filter(|_| sent.next().is_none())?;
    let (scheme, token) = only.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// The living credential of `face` with this lookup hash. Unknown, revoked and another face's are
/// all `None`.
pub(crate) async fn key(
    desk: &Desk,
    face: &'static str,
    lookup: [u8; 32],
) -> Result<Option<KeyView>, ReadFault> {
    Ok(keys(desk, face, lookup).await?.pop())
}

/// As [`key`], where one public key may be that of several merchants.
pub(crate) async fn keys(
    desk: &Desk,
    face: &'static str,
    lookup: [u8; 32],
) -> Result<Vec<KeyView>, ReadFault> {
    let mut found = desk.keys(lookup).await?;
    found.retain(|key| key.face == face && key.revoked_at_ms.is_none());
    Ok(found)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[test]
    fn an_actor_passes_with_a_scope_that_the_route_declares() {
        const REFUND: Access = Access::AnyOf(&["refunds.create", "refunds.admin"]);
        const READ: Access = Access::AnyOf(&["payments.read"]);
        let wanted = Err("refunds.create");
        for (access, scopes, admitted) in [
            (Some(REFUND), None, Ok(())),
            (Some(REFUND), Some(&["refunds.create"][..]), Ok(())),
            (Some(REFUND), Some(&["payments.read", "refunds.admin"]), Ok(())),
            (Some(REFUND), Some(&["admin"]), Ok(())),
            (Some(REFUND), Some(&["payments.read"]), wanted),
            (Some(REFUND), Some(&["refunds.create.not"]), wanted),
            (Some(REFUND), Some(&[]), wanted),
            (Some(READ), Some(&["refunds.create"]), Err("payments.read")),
            (Some(Access::Known), Some(&[]), Ok(())),
            (Some(Access::Public), Some(&[]), Ok(())),
            (Some(Access::AnyOf(&[])), Some(&["payments.read"]), Err(ADMIN)),
            (None, Some(&["admin"]), Err(ADMIN)),
            (None, None, Err(ADMIN)),
        ] {
            let mut request = Request::new(Body::empty());
            if let Some(access) = access {
                let (method, path, operation) = ("POST", "/", "one");
                let route = Route { face: "native", method, path, access, operation };
                request.extensions_mut().insert(route);
            }
            let listed = |scopes: &[&str]| scopes.iter().map(|scope| (*scope).to_owned()).collect();
            let actor = Actor {
                merchant: MerchantId::new(1),
                name: "apk_1".to_owned(),
                scopes: scopes.map(listed),
            };
            let found = Caller::of(&request).check(&actor);
            assert_eq!(found, admitted, "{access:?} {scopes:?}");
        }
    }

    #[test]
    fn only_one_bearer_token_is_a_credential() {
        for (sent, token) in [
            (&["Bearer merchant_key_1"][..], Some("merchant_key_1")),
            (&["bearer   merchant_key_1 "], Some("merchant_key_1")),
            (&["BEARER lph_at_1"], Some("lph_at_1")),
            (&[], None),
            (&["Bearer"], None),
            (&["Bearer "], None),
            (&["Basic bWVyY2hhbnQ6"], None),
            (&["merchant_key_1"], None),
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
