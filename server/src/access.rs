//! Who is it? Access turns a credential into an [`Actor`]: a merchant, a name for the books, and
//! scopes. Nothing behind it sees a header.

use requite_core::id::{KeyId, MerchantId};
use requite_engine::read::{KeyView, ReadFault};

use crate::desk::Desk;

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
    pub(crate) fn may(&self, scopes: &[&str]) -> bool {
        let listed = |list: &Vec<String>| {
            list.iter().any(|scope| scope == "admin" || scopes.contains(&scope.as_str()))
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

/// The living credential of `face` with this lookup hash. Unknown, revoked and another face's are
/// all `None`.
pub(crate) async fn key(
    desk: &Desk,
    face: &'static str,
    lookup: [u8; 32],
) -> Result<Option<KeyView>, ReadFault> {
    let found = desk.read(move |reads| reads.key(&lookup)).await?;
    Ok(found.filter(|key| key.face == face && key.revoked_at_ms.is_none()))
}
