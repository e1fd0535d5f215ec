//! `requite connector hook`: what signs an account's webhooks.

use anyhow::{Context, anyhow};
use clap::Args;
use requite_core::id::uuid_text;
use requite_engine::read::ConnectorView;
use requite_engine::registry::Registry;
use requite_engine::store::sqlite::Open;

use super::{Office, read_secret};
use crate::cli::Trouble;
use crate::config::Config;
use crate::connectors::account::{Credential, Kind, bound_to};
use crate::connectors::notice::HOOK_SECRETS_MAX;
use crate::crypto::seal::SealingKey;
use crate::crypto::secret::Secret;

/// Set what signs an account's webhooks; the secret comes from standard input
#[derive(Debug, Args)]
#[command(after_help = "\
The provider sends its webhooks to the path that is shown, below this server's public address. The
secret before this one stays valid as well, until the next is set or --only is given: so a secret is
rotated without losing a webhook.

Example:
  requite connector hook --merchant my-shop --name stripe < signing-secret.txt")]
pub(crate) struct Hook {
    /// The merchant's id or slug
    #[arg(long)]
    merchant: String,
    #[arg(long)]
    name: String,
    /// From now on nothing else signs
    #[arg(long)]
    only: bool,
    /// File with the key that seals [env: REQUITE_SEALING_KEY has the key itself]
    #[arg(long, value_name = "FILE")]
    pub(super) sealing_key_file: Option<std::path::PathBuf>,
}

impl Hook {
    /// The account, with its new secret.
    pub(super) fn run(self, config: &Config, key: &SealingKey) -> Result<ConnectorView, Trouble> {
        let office = Office::open(&config.database, Open::Existing)?;
        let mut account = super::named(&office, &self.merchant, &self.name)?;
        let kind = Kind::from_word(&account.kind).context("the account is at an unknown PSP")?;
        let text = read_secret()?;
        let secret = text.expose().trim();
        if !kind.takes_hook_secret(secret) {
            let kind = kind.word();
            return Err(anyhow!(
                "standard input has no secret of webhooks as {kind} gives them: see docs/connectors.md"
            )
            .into());
        }
        let mut credential = Credential::open(&account, Some(key)).context("the account")?;
        credential.hooks.retain(|known| known != secret && !self.only);
        credential.hooks.insert(0, secret.to_owned());
        credential.hooks.truncate(HOOK_SECRETS_MAX);
        let sealed = Secret::new(serde_json::to_string(&credential).context("the account")?);
        account.sealed = key.seal(&sealed, &bound_to(&account), office.ids.entropy());
        account.sealed_at_ms = office.now_ms();
        let (id, at_ms) = (account.id, account.sealed_at_ms);
        office.registry.reseal_connector(account.merchant, id, &account.sealed, at_ms)?;
        Ok(account)
    }
}

/// Where the provider sends an account's webhooks.
pub(super) fn path(account: &ConnectorView) -> String {
    format!("/hooks/{}", uuid_text(account.id))
}
