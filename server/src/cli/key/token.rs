//! `requite key token`: a token such as Gr4vy's SDKs sign for each call, for `curl` and scripts.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::Args;
use requite_core::id::uuid_text;
use requite_engine::clock::Clock;
use serde_json::{Map, Value, json};

use crate::app::{SystemClock, SystemIds};
use crate::cli::output::Output;
use crate::cli::{Done, Trouble};
use crate::crypto::jws;
use crate::crypto::p521::PrivateKey;
use crate::crypto::secret::Secret;
use crate::desk::Ids;

/// Sign a token for Gr4vy's API with a private key, as its SDKs do for each call
///
/// Needs no store and no server.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  GR4VY=$(requite key token --private-key private_key.pem)
  requite key token --private-key private_key.pem --scope transactions.write --seconds 86400")]
pub(crate) struct Token {
    /// The private key (PEM) that `requite key create --face gr4vy` has shown; - is standard input
    #[arg(long, value_name = "FILE")]
    private_key: PathBuf,
    /// What the token allows [default: *.read *.write]
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// How long it is good
    #[arg(long, default_value_t = 3600, value_parser = clap::value_parser!(u32).range(1..=31_536_000))]
    seconds: u32,
}

/// A longer file holds no key.
const PEM_BYTES_MAX: u64 = 16 * 1024;

impl Token {
    pub(crate) fn run(self, output: Output) -> Done {
        let name = self.private_key.display();
        let pem = text(&self.private_key).with_context(|| format!("cannot read {name}"))?;
        let key = PrivateKey::from_pem(pem.expose())
            .map_err(|fault| anyhow!("{name} cannot be used: {fault}"))?;
        let given = self.scopes.iter().map(String::as_str).collect::<Vec<_>>();
        let scopes = if given.is_empty() { EVERYTHING.to_vec() } else { given };
        let token = sign(&key, &scopes, i64::from(self.seconds)).map_err(Trouble::Failed)?;
        let value = json!({"token": token.expose()});
        Ok(output.result(token.expose(), &value)?)
    }
}

/// The scopes that the SDKs ask for by themselves.
pub(crate) const EVERYTHING: [&str; 2] = ["*.read", "*.write"];

/// A token with these scopes, good from now for `seconds`.
pub(crate) fn sign(key: &PrivateKey, scopes: &[&str], seconds: i64) -> anyhow::Result<Secret> {
    let now = SystemClock.now_ms().div_euclid(1000);
    let claims = json!({
        "iss": "requite",
        "jti": uuid_text(SystemIds::new().next()),
        "nbf": now,
        "iat": now,
        "exp": now.saturating_add(seconds),
        "scopes": scopes,
    });
    let claims: Map<String, Value> = serde_json::from_value(claims)?;
    Ok(Secret::new(jws::sign_es512(&claims, key)))
}

fn text(path: &Path) -> std::io::Result<Secret> {
    let mut text = String::new();
    if path.as_os_str() == "-" {
        std::io::stdin().take(PEM_BYTES_MAX).read_to_string(&mut text)?;
    } else {
        std::fs::File::open(path)?.take(PEM_BYTES_MAX).read_to_string(&mut text)?;
    }
    Ok(Secret::new(text))
}
