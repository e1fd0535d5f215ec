//! `requite key`: credentials of the faces' clients.

pub(crate) mod token;

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};
use requite_core::id::{KeyId, MerchantId, uuid_text};
use requite_engine::read::KeyNote;
use requite_engine::registry::{NewKey, Registry};
use requite_engine::store::sqlite::Open;
use serde_json::{Value, json};

use super::output::Output;
use super::{Done, Trouble, merchant};
use crate::access::key_name;
use crate::app::Office;
use crate::config::Config;
use crate::crypto::p521::{PrivateKey, PublicKey};
use crate::crypto::secret::Secret;
use crate::crypto::token::{TokenKind, lookup_hash, mint as mint_token, redacted};
use crate::desk::Ids;

/// Create credentials
#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    Create(Create),
    Token(token::Token),
}

/// Mint a credential for a face; its secret is shown once
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  requite key create --merchant my-shop --face medusa-v2
  requite key create --merchant my-shop --face mpg --scope orders_refund --scope orders_read
  requite key create --merchant my-shop --face gr4vy > private_key.pem
  requite key create --merchant my-shop --face gr4vy --public-key public_key.pem")]
pub(crate) struct Create {
    /// The merchant's id or slug
    #[arg(long)]
    merchant: String,
    #[arg(long)]
    face: Face,
    /// What it may do; without any, everything its face offers
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// Gr4vy: take this P-521 public key (PEM) instead of making a pair
    #[arg(long, value_name = "FILE")]
    public_key: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Face {
    MedusaV1,
    MedusaV2,
    Mpg,
    Gr4vy,
    Loop,
    Native,
}

const SHOP_SCOPES: &[&str] =
    &["refunds.create", "refunds.read", "payments.write", "payments.read", "admin"];
const NATIVE_SCOPES: &[&str] = &[
    "refunds.create",
    "refunds.read",
    "refunds.operate",
    "payments.write",
    "payments.read",
    "admin",
];
const MPG_SCOPES: &[&str] = &[
    "orders_create",
    "orders_read",
    "orders_capture",
    "orders_void",
    "orders_extend",
    "orders_refund",
];
const LOOP_SCOPES: &[&str] = &["admin:payments", "read:payments"];

impl Face {
    /// The name under which its keys are kept.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Face::MedusaV1 => "medusa-v1",
            Face::MedusaV2 => "medusa-v2",
            Face::Mpg => "mpg",
            Face::Gr4vy => "gr4vy",
            Face::Loop => "loop",
            Face::Native => "native",
        }
    }

    fn scopes(self) -> &'static [&'static str] {
        match self {
            Face::MedusaV1 | Face::MedusaV2 => SHOP_SCOPES,
            Face::Native => NATIVE_SCOPES,
            Face::Mpg => MPG_SCOPES,
            Face::Loop => LOOP_SCOPES,
            Face::Gr4vy => &[],
        }
    }

    /// `None` for Gr4vy, whose clients sign tokens of their own.
    fn token_kind(self) -> Option<TokenKind> {
        match self {
            Face::MedusaV1 => Some(TokenKind::MedusaV1),
            Face::MedusaV2 => Some(TokenKind::MedusaV2),
            Face::Mpg => Some(TokenKind::Mpg),
            Face::Loop => Some(TokenKind::Loop),
            Face::Native => Some(TokenKind::Native),
            Face::Gr4vy => None,
        }
    }
}

/// A credential with what its client needs.
pub(crate) struct Made {
    pub id: KeyId,
    pub face: Face,
    pub merchant: MerchantId,
    /// What clients send; for Gr4vy the name of the key.
    pub token: Secret,
    /// For Gr4vy, unless the client keeps it.
    pub private_key: Option<PrivateKey>,
    scopes: Option<Vec<String>>,
}

impl Key {
    pub(crate) fn run(self, config: &Config, output: &Output) -> Done {
        let create = match self {
            Key::Create(create) => create,
            Key::Token(token) => return token.run(*output),
        };
        create.check()?;
        let public = create.public_key()?;
        let office = Office::open(&config.database, Open::Existing)?;
        let merchant = merchant::named(&office, &create.merchant)?;
        let scopes = (!create.scopes.is_empty()).then_some(create.scopes);
        let made = mint(&office, merchant.id, create.face, scopes, public)?;
        made.show(*output)
    }
}

impl Create {
    fn check(&self) -> Done {
        let known = self.face.scopes();
        let name = self.face.name();
        if let Some(scope) = self.scopes.iter().find(|scope| !known.contains(&scope.as_str())) {
            let rule = if known.is_empty() {
                format!("--scope {scope}: {name} has its scopes in each token")
            } else {
                format!("--scope {scope}: {name} has {}", known.join(", "))
            };
            return Err(Trouble::Usage(rule));
        }
        if self.public_key.is_some() && self.face != Face::Gr4vy {
            let rule = format!("--public-key: {name} has no key pairs; only gr4vy has");
            return Err(Trouble::Usage(rule));
        }
        Ok(())
    }

    fn public_key(&self) -> anyhow::Result<Option<PublicKey>> {
        let Some(path) = &self.public_key else {
            return Ok(None);
        };
        let name = path.display();
        let pem = std::fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
        let key = PublicKey::from_pem(&pem).with_context(|| format!("{name} cannot be used"))?;
        Ok(Some(key))
    }
}

/// Makes a credential and keeps all of it but the secret.
pub(crate) fn mint(
    office: &Office,
    merchant: MerchantId,
    face: Face,
    scopes: Option<Vec<String>>,
    public: Option<PublicKey>,
) -> anyhow::Result<Made> {
    let private_key = (face == Face::Gr4vy && public.is_none()).then(PrivateKey::generate);
    let public = public.or_else(|| private_key.as_ref().map(PrivateKey::public));
    let (token, lookups) = match (face.token_kind(), &public) {
        (Some(kind), _) => {
            let token = mint_token(kind, &office.ids.entropy().bytes());
            let lookup = lookup_hash(token.expose());
            (token, vec![lookup])
        }
        (None, Some(public)) => {
            let names = public.thumbprints();
            let mut lookups: Vec<[u8; 32]> =
                [&names.padded, &names.unpadded].map(|name| lookup_hash(name)).to_vec();
            lookups.dedup();
            (Secret::new(names.padded), lookups)
        }
        (None, None) => unreachable!("Gr4vy has a public key, given or made"),
    };
    let id = KeyId::new(office.ids.next());
    let shown = face.token_kind().map(|_| redacted(token.expose()));
    let key = NewKey {
        id,
        merchant,
        face: face.name().to_owned(),
        scopes: scopes.clone(),
        lookups,
        public_key: public.map(|public| public.point().to_vec()),
        about: KeyNote { redacted: shown, ..KeyNote::default() },
        at_ms: office.now_ms(),
    };
    office.registry.create_key(&key, None)?;
    Ok(Made { id, face, merchant, token, private_key, scopes })
}

impl Made {
    pub(crate) fn value(&self) -> Value {
        let mut value = json!({
            "id": key_name(self.id),
            "face": self.face.name(),
            "merchant": uuid_text(self.merchant.bits()),
            "scopes": self.scopes,
            "token": self.token.expose(),
        });
        if let Some(key) = &self.private_key {
            value["private_key_pem"] = json!(key.to_pem().expose());
        }
        value
    }

    /// The secret alone on standard output, so that it can be sent to a file; the rest beside it.
    fn show(&self, output: Output) -> Done {
        let name = key_name(self.id);
        let face = self.face.name();
        let secret = match &self.private_key {
            Some(key) => key.to_pem().expose().trim_end().to_owned(),
            None => self.token.expose().to_owned(),
        };
        if !output.is_json() {
            let what = match (self.face, &self.private_key) {
                (Face::Gr4vy, Some(_)) => "its private key, which is shown only now",
                (Face::Gr4vy, None) => "the name (kid) of your key",
                _ => "its token, which is shown only now",
            };
            eprintln!("key {name} for {face} created; on standard output is {what}:");
        }
        Ok(output.result(&secret, &self.value())?)
    }
}
