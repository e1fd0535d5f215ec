//! `requite merchant`: the shops that are served, each sealed off from the others.

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use requite_core::id::{MerchantId, ReasonId, parse_uuid, uuid_text};
use requite_engine::read::{MerchantView, Reads, ReasonView};
use requite_engine::registry::{Registry, RegistryFault};
use requite_engine::store::sqlite::Open;
use serde_json::{Map, Value, json};

use super::output::{Output, visible};
use super::{Done, Trouble};
use crate::app::Office;
use crate::config::Config;
use crate::desk::Ids;
use crate::time::millis_text;

/// Create and list merchants
#[derive(Debug, Subcommand)]
pub(crate) enum Merchant {
    Create(Create),
    /// List all merchants, oldest first
    List,
}

/// Create a merchant
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  requite merchant create \"My Shop\"
  requite merchant create \"My Shop\" --slug shop-1 --json")]
pub(crate) struct Create {
    name: String,
    /// Short name, also its Gr4vy merchant account id; made from NAME if absent
    #[arg(long)]
    slug: Option<String>,
    /// Its id, a UUID; drawn if absent
    #[arg(long)]
    id: Option<String>,
    /// Moyasar: the name in Arabic
    #[arg(long, value_name = "NAME")]
    arabic_name: Option<String>,
    /// Moyasar: the acquirer's id, a UUID
    #[arg(long, value_name = "UUID")]
    acquirer_id: Option<String>,
    /// Moyasar: the number that the acquirer gave the merchant
    #[arg(long, value_name = "NUMBER")]
    merchant_number: Option<String>,
}

/// Longest name of a merchant, in bytes.
const NAME_BYTES_MAX: usize = 255;
/// Longest slug.
const SLUG_MAX: usize = 50;
/// How many slugs are tried when the one made from the name is taken.
const SLUG_TRIES_MAX: u32 = 100;

/// The reasons that a fresh Medusa v2 has, in the order in which it lists them: code, label and
/// description.
const REASONS: [(&str, &str, &str); 3] = [
    ("shipping_issue", "Shipping Issue", "Refund due to lost, delayed, or misdelivered shipment"),
    (
        "customer_care_adjustment",
        "Customer Care Adjustment",
        "Refund given as goodwill or compensation for inconvenience",
    ),
    (
        "pricing_error",
        "Pricing Error",
        "Refund to correct an overcharge, missing discount, or incorrect price",
    ),
];

impl Merchant {
    pub(crate) fn run(self, config: &Config, output: &Output) -> Done {
        match self {
            Merchant::Create(create) => {
                let id = create.checked_id()?;
                let office = Office::open(&config.database, Open::OrCreate)?;
                let made = create.run(&office, id)?;
                let text = format!(
                    "merchant {} created\n  id    {}\n  slug  {}",
                    visible(&made.name),
                    uuid_text(made.id.bits()),
                    made.slug
                );
                Ok(output.result(&text, &shown(&made))?)
            }
            Merchant::List => {
                let office = Office::open(&config.database, Open::Existing)?;
                for merchant in office.reads.merchants()? {
                    let id = uuid_text(merchant.id.bits());
                    let text = format!("{id}  {:<24}  {}", merchant.slug, visible(&merchant.name));
                    output.result(&text, &shown(&merchant))?;
                }
                Ok(())
            }
        }
    }
}

fn shown(merchant: &MerchantView) -> Value {
    json!({
        "id": uuid_text(merchant.id.bits()),
        "slug": merchant.slug,
        "name": merchant.name,
        "created_at": millis_text(merchant.created_at_ms),
    })
}

impl Create {
    /// The id that was given, once everything that was given can be used.
    fn checked_id(&self) -> Result<Option<u128>, Trouble> {
        let usage = |rule: String| Err(Trouble::Usage(rule));
        let name = self.name.trim();
        if name.is_empty() || name.len() > NAME_BYTES_MAX || name.contains('\0') {
            return usage(format!("the name must be text of 1 to {NAME_BYTES_MAX} bytes"));
        }
        if self.slug.as_deref().is_some_and(|slug| !is_slug(slug)) {
            return usage(format!(
                "--slug must be 1 to {SLUG_MAX} ASCII letters, digits and hyphens"
            ));
        }
        let is_uuid = |text: &str| parse_uuid(text).is_some();
        for (flag, given) in [("--id", &self.id), ("--acquirer-id", &self.acquirer_id)] {
            if given.as_deref().is_some_and(|text| !is_uuid(text)) {
                return usage(format!("{flag} must be a UUID"));
            }
        }
        Ok(self.id.as_deref().and_then(parse_uuid))
    }

    fn run(&self, office: &Office, id: Option<u128>) -> anyhow::Result<MerchantView> {
        let wish = Wish {
            id: MerchantId::new(id.unwrap_or_else(|| office.ids.next())),
            name: self.name.trim(),
            profile: self.profile(),
        };
        match &self.slug {
            Some(slug) => Ok(wish.try_create(office, slug)?),
            None => wish.create_with_made_slug(office),
        }
    }

    fn profile(&self) -> String {
        let given = [
            ("arabic_name", &self.arabic_name),
            ("acquirer_id", &self.acquirer_id),
            ("merchant_number", &self.merchant_number),
        ];
        let members: Map<String, Value> = given
            .into_iter()
            .filter_map(|(name, text)| Some((name.to_owned(), json!(text.as_ref()?))))
            .collect();
        Value::Object(members).to_string()
    }
}

/// Creates a merchant with a slug made from its name, as the demonstration does.
pub(crate) fn create(office: &Office, name: &str) -> anyhow::Result<MerchantView> {
    let wish = Wish { id: MerchantId::new(office.ids.next()), name, profile: "{}".to_owned() };
    wish.create_with_made_slug(office)
}

struct Wish<'a> {
    id: MerchantId,
    name: &'a str,
    profile: String,
}

impl Wish<'_> {
    fn create_with_made_slug(&self, office: &Office) -> anyhow::Result<MerchantView> {
        let base = slug_of(self.name);
        for number in 1..=SLUG_TRIES_MAX {
            let slug = if number == 1 { base.clone() } else { format!("{base}-{number}") };
            match self.try_create(office, &slug) {
                Err(RegistryFault::Taken(_)) => {}
                made => return made.context("the merchant was not created"),
            }
        }
        bail!(
            "{base:?} and its {SLUG_TRIES_MAX} variations are taken as slugs; give one with --slug"
        )
    }

    fn try_create(&self, office: &Office, slug: &str) -> Result<MerchantView, RegistryFault> {
        let now_ms = office.now_ms();
        let merchant = MerchantView {
            id: self.id,
            slug: slug.to_owned(),
            name: self.name.to_owned(),
            profile: self.profile.clone(),
            created_at_ms: now_ms,
        };
        // Lists are in the order of ids, and ids of one millisecond are in none.
        let mut ids = REASONS.map(|_| office.ids.next());
        ids.sort_unstable();
        let reasons: Vec<ReasonView> = REASONS
            .iter()
            .zip(ids)
            .map(|((code, label, description), id)| ReasonView {
                id: ReasonId::new(id),
                code: (*code).to_owned(),
                label: (*label).to_owned(),
                description: Some((*description).to_owned()),
                created_at_ms: now_ms,
                updated_at_ms: now_ms,
                deleted_at_ms: None,
            })
            .collect();
        office.registry.create_merchant(&merchant, &reasons)?;
        Ok(merchant)
    }
}

fn is_slug(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=SLUG_MAX).contains(&text.len()) && text.bytes().all(is_allowed)
}

/// The name in lower case, everything but letters and digits a hyphen, room left for a number.
fn slug_of(name: &str) -> String {
    let words: Vec<String> = name
        .split(|character: char| !character.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    let slug: String = words.join("-").chars().take(SLUG_MAX - 4).collect();
    let slug = slug.trim_matches('-');
    if slug.is_empty() { "merchant".to_owned() } else { slug.to_owned() }
}

/// The merchant that a text names: by id or slug.
pub(crate) fn named(office: &Office, text: &str) -> anyhow::Result<MerchantView> {
    let id = parse_uuid(text).map(MerchantId::new);
    let merchants = office.reads.merchants()?;
    merchants
        .into_iter()
        .find(|merchant| Some(merchant.id) == id || merchant.slug == text)
        .with_context(|| {
            format!("no merchant has the id or slug {text:?}; see requite merchant list")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_is_made_from_any_name() {
        for (name, slug) in [
            ("My Shop", "my-shop"),
            ("  Ünï & Co. ", "n-co"),
            ("متجر", "merchant"),
            ("a--b", "a-b"),
            (&"x".repeat(80), &"x".repeat(46)),
        ] {
            assert_eq!(slug_of(name), slug);
            assert!(is_slug(&slug_of(name)));
        }
    }
}
