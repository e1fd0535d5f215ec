//! `requite user`: people who can log in.

use std::io::{IsTerminal, Read};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use requite_core::id::{PersonId, prefixed_text, uuid_text};
use requite_engine::read::PersonView;
use requite_engine::registry::Registry;
use requite_engine::store::sqlite::Open;
use serde_json::json;

use super::output::{Output, visible};
use super::{Done, Trouble, merchant};
use crate::app::Office;
use crate::config::Config;
use crate::crypto::password::{self, PASSWORD_BYTES_MAX};
use crate::crypto::secret::Secret;
use crate::desk::Ids;

/// Create people who can log in
#[derive(Debug, Subcommand)]
pub(crate) enum User {
    Create(Create),
}

/// Create a person; the password comes from standard input, or is asked for on a terminal
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  requite user create --merchant my-shop --email ann@example.com
  requite user create --merchant my-shop --email ann@example.com < password.txt")]
pub(crate) struct Create {
    /// The merchant's id or slug
    #[arg(long)]
    merchant: String,
    #[arg(long)]
    email: String,
}

/// Longest e-mail address, in bytes (RFC 5321).
const EMAIL_BYTES_MAX: usize = 254;
/// Shortest password, in characters.
const PASSWORD_LEAST: usize = 8;

impl User {
    pub(crate) fn run(self, config: &Config, output: &Output) -> Done {
        let User::Create(create) = self;
        let email = create.email.trim();
        if !is_email(email) {
            return Err(Trouble::Usage(format!(
                "--email: {:?} is no e-mail address",
                create.email
            )));
        }
        let office = Office::open(&config.database, Open::Existing)?;
        let merchant = merchant::named(&office, &create.merchant)?;
        let password = password()?;
        let now_ms = office.now_ms();
        let person = PersonView {
            id: PersonId::new(office.ids.next()),
            merchant: merchant.id,
            email: email.to_owned(),
            password_hash: password::hash(&password, &office.ids.entropy().bytes())?,
            created_at_ms: now_ms,
            updated_at_ms: now_ms,
        };
        office.registry.create_person(&person)?;
        let id = prefixed_text("user_", person.id.bits());
        let text = format!("{} can log in as {id}", visible(email));
        let value = json!({
            "id": id,
            "email": email,
            "merchant": uuid_text(merchant.id.bits()),
        });
        Ok(output.result(&text, &value)?)
    }
}

fn is_email(text: &str) -> bool {
    let is_clean = |byte: u8| byte.is_ascii_graphic() || !byte.is_ascii();
    let parts = text.rsplit_once('@');
    text.len() <= EMAIL_BYTES_MAX
        && text.bytes().all(is_clean)
        && parts.is_some_and(|(name, host)| !name.is_empty() && !host.is_empty())
}

/// The first line of standard input, or what is typed, unseen, on a terminal.
fn password() -> anyhow::Result<Secret> {
    let text = if std::io::stdin().is_terminal() {
        typed()?
    } else {
        let mut text = String::new();
        // One more byte than a password may have, and its line end.
        let most = u64::try_from(PASSWORD_BYTES_MAX)?.saturating_add(3);
        let read = std::io::stdin().take(most).read_to_string(&mut text);
        read.context("the password on standard input cannot be read")?;
        text
    };
    let password = text.lines().next().unwrap_or_default().to_owned();
    if password.chars().count() < PASSWORD_LEAST {
        bail!(
            "the password has fewer than {PASSWORD_LEAST} characters; \
             give a longer one as the first line of standard input"
        );
    }
    Ok(Secret::new(password))
}

fn typed() -> anyhow::Result<String> {
    let terminal = console::Term::stderr();
    terminal.write_str("Password: ")?;
    let once = terminal.read_secure_line()?;
    terminal.write_str("Once more: ")?;
    if terminal.read_secure_line()? != once {
        bail!("the two passwords differ; try again");
    }
    Ok(once)
}
