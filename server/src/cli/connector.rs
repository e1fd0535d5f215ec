//! `requite connector`: merchants' accounts at payment providers.

use anyhow::{Context, anyhow, bail};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand, ValueEnum};
use requite_core::id::uuid_text;
use requite_engine::read::{ConnectorView, Reads};
use requite_engine::registry::Registry;
use requite_engine::store::sqlite::Open;
use serde::Deserialize;
use serde_json::{Value, json};

mod hook;

use super::output::{Output, visible};
use super::{Done, Trouble, merchant};
use crate::app::Office;
use crate::config::Config;
use crate::connectors::NAMES;
use crate::connectors::account::{Account, Credential, Kind, SECRET_BYTES_MAX, bound_to, live_url};
use crate::connectors::notice::HOOK_SECRETS_MAX;
use crate::crypto::seal::SealingKey;
use crate::crypto::secret::Secret;
use crate::desk::Ids;
use crate::time::millis_text;

/// Accounts at payment providers, their credentials sealed
#[derive(Debug, Subcommand)]
pub(crate) enum Connector {
    Add(Add),
    Rotate(Rotate),
    Hook(hook::Hook),
    /// List all accounts, without what opens them
    List,
}

/// Add an account; its secret comes from standard input
#[derive(Debug, Args)]
#[command(after_help = "\
Standard input has Stripe's secret key on one line, or of Adyen a JSON object:
  {\"merchant_account\": \"ShopECOM\", \"api_key\": \"AQE...\", \"hmac_key\": \"44782D...\"}
The HMAC key is what signs Adyen's webhooks: without it refunds there stay pending. It can be set later:
requite connector hook.

The secret is sealed with the key in REQUITE_SEALING_KEY (32 bytes in base64), or in the file that
--sealing-key-file names. The server needs the same key. To make one: openssl rand -base64 32

Examples:
  requite connector add --merchant my-shop --kind stripe --name stripe --mode live < secret-key.txt
  requite connector add --merchant my-shop --kind stripe --name try --base-url http://127.0.0.1:8420
  requite connector add --merchant my-shop --kind adyen --name adyen --mode live \\
      --live-prefix 1797a841fbb37ca7-MyShop < adyen.json")]
pub(crate) struct Add {
    /// The merchant's id or slug
    #[arg(long)]
    merchant: String,
    #[arg(long, value_parser = kinds())]
    kind: Kind,
    /// What payments are registered with: letters, digits, - and _
    #[arg(long)]
    name: String,
    /// Where the provider is, if not at its own address
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    /// The prefix of your company's live addresses, where the provider has one (Adyen)
    #[arg(long, value_name = "PREFIX", conflicts_with = "base_url")]
    live_prefix: Option<String>,
    #[arg(long, value_enum, default_value = "test")]
    mode: Mode,
    /// Never tell the provider a refund's reason (some stand-ins refuse it)
    #[arg(long)]
    no_reason: bool,
    /// File with the key that seals [env: REQUITE_SEALING_KEY has the key itself]
    #[arg(long, value_name = "FILE")]
    sealing_key_file: Option<std::path::PathBuf>,
}

/// Replace an account's secret; the new one comes from standard input
#[derive(Debug, Args)]
#[command(after_help = "\
Refunds under way keep their keys: they are asked for again with the new credential.

Example:
  requite connector rotate --merchant my-shop --name stripe < new-secret-key.txt")]
pub(crate) struct Rotate {
    /// The merchant's id or slug
    #[arg(long)]
    merchant: String,
    #[arg(long)]
    name: String,
    /// File with the key that seals [env: REQUITE_SEALING_KEY has the key itself]
    #[arg(long, value_name = "FILE")]
    sealing_key_file: Option<std::path::PathBuf>,
}

/// Takes the words of all PSPs that accounts can be at.
fn kinds() -> impl TypedValueParser<Value = Kind> {
    PossibleValuesParser::new(Kind::LISTED.map(|(_, word)| word))
        .map(|word| Kind::from_word(&word).expect("clap lets only listed words pass"))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mode {
    Test,
    Live,
}

/// Longest name of an account.
const NAME_MAX: usize = 50;

impl Connector {
    pub(crate) fn run(self, config: &Config, output: &Output) -> Done {
        match self {
            Connector::Add(add) => {
                let key = sealing_key(config, add.sealing_key_file.as_deref())?;
                let account = add.run(config, &key)?;
                let text =
                    format!("{} can now be named as connector of payments", visible(&account.name));
                Ok(output.result(&text, &shown(&account))?)
            }
            Connector::Rotate(rotate) => {
                let key = sealing_key(config, rotate.sealing_key_file.as_deref())?;
                let account = rotate.run(config, &key)?;
                let text = format!("{} has a new secret", visible(&account.name));
                Ok(output.result(&text, &shown(&account))?)
            }
            Connector::Hook(hook) => {
                let key = sealing_key(config, hook.sealing_key_file.as_deref())?;
                let account = hook.run(config, &key)?;
                let text = format!("its webhooks are taken at {}", hook::path(&account));
                Ok(output.result(&text, &shown(&account))?)
            }
            Connector::List => {
                let office = Office::open(&config.database, Open::Existing)?;
                for account in office.reads.connectors()? {
                    let text = format!(
                        "{}  {:<16}  {:<8}  {}",
                        uuid_text(account.merchant.bits()),
                        visible(&account.name),
                        account.kind,
                        account.mode
                    );
                    output.result(&text, &shown(&account))?;
                }
                Ok(())
            }
        }
    }
}

fn sealing_key(config: &Config, file: Option<&std::path::Path>) -> Result<SealingKey, Trouble> {
    if let Some(path) = file {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let key = SealingKey::read(&text).map_err(|problem| anyhow!(problem))?;
        return Ok(key);
    }
    config.sealing_key.clone().ok_or_else(|| {
        Trouble::Usage(
            "there is no key to seal with: set REQUITE_SEALING_KEY to 32 bytes in base64 \
             (openssl rand -base64 32), or give --sealing-key-file"
                .to_owned(),
        )
    })
}

/// A merchant's account.
fn named(office: &Office, merchant: &str, name: &str) -> Result<ConnectorView, Trouble> {
    let merchant = merchant::named(office, merchant)?;
    let account = office.reads.connector(merchant.id, name)?;
    let absent = || anyhow!("merchant {} has no account named {name:?}", merchant.slug);
    Ok(account.ok_or_else(absent)?)
}

fn shown(account: &ConnectorView) -> Value {
    json!({
        "id": uuid_text(account.id),
        "merchant": uuid_text(account.merchant.bits()),
        "name": account.name,
        "kind": account.kind,
        "mode": account.mode,
        "base_url": account.base_url,
        "hook_path": hook::path(account),
        "capabilities": Kind::from_word(&account.kind).map(|kind| kind.capabilities().shown()),
        "created_at": millis_text(account.created_at_ms),
        "sealed_at": millis_text(account.sealed_at_ms),
    })
}

impl Add {
    fn run(self, config: &Config, key: &SealingKey) -> Result<ConnectorView, Trouble> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        let is_name = (1..=NAME_MAX).contains(&self.name.len()) && self.name.bytes().all(is_plain);
        if !is_name || NAMES.contains(&self.name.as_str()) {
            return Err(Trouble::Usage(format!(
                "--name: {:?} cannot name an account: give 1 to {NAME_MAX} letters, digits, - or _, \
                 and neither of {NAMES:?}",
                self.name
            )));
        }
        let base_url = self.base_url()?;
        let office = Office::open(&config.database, Open::Existing)?;
        let merchant = merchant::named(&office, &self.merchant)?;
        let secret = sealed_text(&credential(self.kind, self.mode)?)?;
        let now_ms = office.now_ms();
        let mut account = ConnectorView {
            id: office.ids.next(),
            merchant: merchant.id,
            name: self.name,
            kind: self.kind.word().to_owned(),
            mode: mode_word(self.mode).to_owned(),
            base_url,
            sends_reason: !self.no_reason,
            sealed: Vec::new(),
            created_at_ms: now_ms,
            sealed_at_ms: now_ms,
        };
        account.sealed = key.seal(&secret, &bound_to(&account), office.ids.entropy());
        Account::open(&account, Some(key)).context("the account cannot be used")?;
        office.registry.create_connector(&account)?;
        Ok(account)
    }

    /// Where the account is, if not at the PSP's own address.
    fn base_url(&self) -> Result<Option<String>, Trouble> {
        let is_live = self.mode == Mode::Live;
        let has_own = self.kind.has_live_url();
        match &self.live_prefix {
            None if is_live && !has_own && self.base_url.is_none() => Err(Trouble::Usage(
                "--live-prefix: live accounts there have an address of their own; give its prefix, \
                 or the whole with --base-url"
                    .to_owned(),
            )),
            None => Ok(self.base_url.clone()),
            Some(_) if has_own || !is_live => Err(Trouble::Usage(
                "--live-prefix: only live accounts at Adyen have one".to_owned(),
            )),
            Some(prefix) => {
                let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
                if prefix.is_empty() || !prefix.bytes().all(is_plain) {
                    return Err(Trouble::Usage(format!(
                        "--live-prefix: {prefix:?} is none: it has letters, digits and -"
                    )));
                }
                Ok(Some(live_url(prefix)))
            }
        }
    }
}

impl Rotate {
    fn run(self, config: &Config, key: &SealingKey) -> Result<ConnectorView, Trouble> {
        let office = Office::open(&config.database, Open::Existing)?;
        let mut account = named(&office, &self.merchant, &self.name)?;
        let kind = Kind::from_word(&account.kind).context("the account is at an unknown PSP")?;
        let mode = if account.mode == "live" { Mode::Live } else { Mode::Test };
        let new = credential(kind, mode)?;
        let old = Credential::open(&account, Some(key)).context("the account's old secret")?;
        if new.merchant_account != old.merchant_account {
            return Err(anyhow!(
                "the secret is of another merchant account: its refunds would be asked for anew, so \
                 add it under a name of its own"
            )
            .into());
        }
        // A new signing secret stands beside the one before it, as `requite connector hook` has it.
        let mut hooks = new.hooks.clone();
        hooks.extend(old.hooks.into_iter().filter(|known| !new.hooks.contains(known)));
        hooks.truncate(HOOK_SECRETS_MAX);
        let secret = sealed_text(&Credential { hooks, ..new })?;
        account.sealed = key.seal(&secret, &bound_to(&account), office.ids.entropy());
        account.sealed_at_ms = office.now_ms();
        Account::open(&account, Some(key)).context("the account cannot be used")?;
        let (id, at_ms) = (account.id, account.sealed_at_ms);
        office.registry.reseal_connector(account.merchant, id, &account.sealed, at_ms)?;
        Ok(account)
    }
}

fn mode_word(mode: Mode) -> &'static str {
    match mode {
        Mode::Test => "test",
        Mode::Live => "live",
    }
}

fn sealed_text(credential: &Credential) -> anyhow::Result<Secret> {
    Ok(Secret::new(serde_json::to_string(credential)?))
}

/// Reads what opens an account from standard input, and checks that it is of its PSP and mode: test and
/// live money are kept apart.
fn credential(kind: Kind, mode: Mode) -> anyhow::Result<Credential> {
    let text = read_secret()?;
    match kind {
        Kind::Stripe => stripe(text.expose().trim(), mode),
        Kind::Adyen => adyen(text.expose()),
    }
}

fn read_secret() -> anyhow::Result<Secret> {
    use std::io::Read;
    let mut text = String::new();
    let most = u64::try_from(SECRET_BYTES_MAX).unwrap_or(u64::MAX);
    std::io::stdin().take(most).read_to_string(&mut text).context("cannot read the secret")?;
    Ok(Secret::new(text))
}

fn is_secret(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn stripe(key: &str, mode: Mode) -> anyhow::Result<Credential> {
    if !is_secret(key) {
        bail!("standard input has no secret: give the provider's secret key on one line");
    }
    let marks = match mode {
        Mode::Test => ["sk_test_", "rk_test_"],
        Mode::Live => ["sk_live_", "rk_live_"],
    };
    if !marks.iter().any(|mark| key.starts_with(mark)) {
        bail!(
            "the secret is no {} key of Stripe's: those begin with {} or {}",
            mode_word(mode),
            marks[0],
            marks[1]
        );
    }
    Ok(Credential { key: key.to_owned(), merchant_account: None, hooks: Vec::new() })
}

/// What Adyen's accounts are added with.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AdyenSecret {
    merchant_account: String,
    api_key: String,
    /// What signs its webhooks; `requite connector hook` sets it later as well.
    hmac_key: Option<String>,
}

/// The errors of the JSON reader are not shown: they may have a secret in them.
fn adyen(text: &str) -> anyhow::Result<Credential> {
    let Ok(secret) = serde_json::from_str::<AdyenSecret>(text) else {
        bail!(
            "standard input has no secret of Adyen's: give a JSON object with the texts \
             merchant_account, api_key and hmac_key"
        );
    };
    if !is_secret(&secret.merchant_account) || !is_secret(&secret.api_key) {
        bail!("merchant_account and api_key must be texts without spaces");
    }
    if !secret.hmac_key.as_ref().is_none_or(|key| Kind::Adyen.takes_hook_secret(key)) {
        bail!("hmac_key must be 32 bytes in hexadecimal, as Adyen shows it");
    }
    let merchant_account = Some(secret.merchant_account);
    let hooks = secret.hmac_key.into_iter().collect();
    Ok(Credential { key: secret.api_key, merchant_account, hooks })
}
