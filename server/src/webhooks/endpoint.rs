//! Endpoints as faces manage them: made and given new secrets here, so that a secret is only ever kept
//! sealed, and told once.

use data_encoding::BASE64;
use requite_core::id::MerchantId;
use requite_engine::outbox::EndpointView;
use requite_engine::read::KeptAnswer;

use super::address;
use super::signature::PREFIX;
use crate::crypto::seal::{SealingKey, Unopened};
use crate::crypto::secret::Secret;
use crate::desk::{Desk, Settings};

/// How long a secret that was replaced may go on signing, in minutes: a week.
pub(crate) const OVERLAP_MINUTES_MAX: i64 = 7 * 24 * 60;
/// How long it does unless something else is asked for: a day.
pub(crate) const OVERLAP_MINUTES: i64 = 24 * 60;

/// Said where secrets cannot be kept.
pub(crate) const NO_KEY: &str = "this server has no key to seal secrets with; set \
                                 REQUITE_SEALING_KEY or sealing_key_file, and start it again";

/// An endpoint, and the secret that it got.
pub(crate) struct Made {
    pub endpoint: EndpointView,
    pub secret: Secret,
}

/// A new endpoint, not yet kept. `None`: secrets cannot be kept here ([`NO_KEY`]).
pub(crate) fn new(
    desk: &Desk,
    merchant: MerchantId,
    dialect: &str,
    (url, is_active): (String, bool),
) -> Option<Made> {
    let at_ms = desk.now_ms();
    let mut endpoint = EndpointView {
        merchant,
        id: desk.ids().next(),
        dialect: dialect.to_owned(),
        url,
        is_active,
        sealed: Vec::new(),
        sealed_before: None,
        created_at_ms: at_ms,
        updated_at_ms: at_ms,
    };
    let (sealed, secret) = sealed(desk, (merchant, endpoint.id))?;
    endpoint.sealed = sealed;
    Some(Made { endpoint, secret })
}

/// The endpoint with another secret, not yet kept. The one before goes on signing until `until_ms`.
pub(crate) fn rotated(desk: &Desk, before: &EndpointView, until_ms: i64) -> Option<Made> {
    let (sealed, secret) = sealed(desk, (before.merchant, before.id))?;
    let endpoint = EndpointView {
        sealed,
        sealed_before: Some((before.sealed.clone(), until_ms)),
        updated_at_ms: desk.now_ms(),
        ..before.clone()
    };
    Some(Made { endpoint, secret })
}

fn sealed(desk: &Desk, of: (MerchantId, u128)) -> Option<(Vec<u8>, Secret)> {
    let key = desk.settings().sealing_key.as_ref()?;
    let secret = Secret::new(format!("{PREFIX}{}", BASE64.encode(&desk.entropy().bytes::<32>())));
    Some((key.seal(&secret, &bound_to(of), desk.entropy()), secret))
}

/// Says why messages may not go to `url`.
///
/// # Errors
/// For whoever wrote it, to stand behind the member's name.
pub(crate) async fn check_url(desk: &Desk, url: &str) -> Result<(), String> {
    address::check_saved(url, desk.settings().webhook_addresses).await
}

/// What an endpoint's sealed secret is bound to.
fn bound_to((merchant, endpoint): (MerchantId, u128)) -> Vec<u8> {
    let ids = [merchant.bits(), endpoint].map(u128::to_be_bytes);
    [b"requite webhook endpoint ".as_slice(), &ids[0], &ids[1]].concat()
}

/// The secrets that sign at `now_ms`, the newest first.
///
/// # Errors
/// They do not open, for operators.
pub(super) fn secrets(
    endpoint: &EndpointView,
    settings: &Settings,
    now_ms: i64,
) -> Result<Vec<Secret>, String> {
    let key = settings.sealing_key.as_ref().ok_or("its secret is sealed, and there is no key")?;
    let open = |sealed: &[u8]| {
        let opened = key.open(sealed, &bound_to((endpoint.merchant, endpoint.id)));
        opened.map_err(|fault: Unopened| format!("its secret does not open: {fault}"))
    };
    let before = endpoint.sealed_before.as_ref().filter(|(_, until_ms)| now_ms < *until_ms);
    let all = std::iter::once(&endpoint.sealed).chain(before.map(|(sealed, _)| sealed));
    all.map(|sealed| open(sealed)).collect()
}

/// How an answer that tells a secret is kept for its repeats: with the sealed secret in the secret's
/// place.
pub(crate) fn kept_text(made: &Made) -> String {
    BASE64.encode(&made.endpoint.sealed)
}

/// The answer as it was given, secret and all. `None` where it cannot be: the key is another one now.
pub(crate) fn told_again(
    settings: &Settings,
    merchant: MerchantId,
    kept: &KeptAnswer,
) -> Option<String> {
    let body = kept.body.as_deref()?;
    let shown: serde_json::Value = serde_json::from_str(body).ok()?;
    let text = shown.get("secret")?.as_str()?;
    let sealed = BASE64.decode(text.as_bytes()).ok()?;
    let key: &SealingKey = settings.sealing_key.as_ref()?;
    let secret = key.open(&sealed, &bound_to((merchant, kept.subject))).ok()?;
    Some(body.replace(text, secret.expose()))
}
