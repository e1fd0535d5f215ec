//! `requite demo`: a server with a shop in it, and a line to paste for each of the five APIs.
//!
//! The store is temporary: it goes away when the server stops.

use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::mpsc;

use anyhow::{Context, bail};
use clap::Args;
use requite_core::id::{MerchantId, PaymentId, prefixed_text, uuid_text};
use requite_engine::command::{Answer, Command, Registered, RegisteredReply, Reply};
use requite_engine::read::MerchantView;
use requite_engine::store::sqlite::Open;
use serde_json::json;

use super::key::{self, Face, Made, token};
use super::output::Output;
use super::serve::start_log;
use super::{Done, Global, Trouble, merchant, settings};
use crate::app::{self, Office};
use crate::config::Config;
use crate::crypto::secret::Secret;
use crate::database::Database;
use crate::desk::Ids;
use crate::faces::native::registration::{self, Origin};
use crate::json;

/// Try it: a server on a temporary store, with a sample shop and a curl line for each API
///
/// The PSP is a sandbox that approves; no money moves anywhere. Ctrl-C ends it and removes the store.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  requite demo
  requite demo --listen 127.0.0.1:9000
  requite demo --json")]
pub(crate) struct Demo {
    /// Address to listen on; port 0 takes a free one [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
}

/// How long the Gr4vy token of the demonstration is good: a day.
const TOKEN_SECONDS: i64 = 24 * 60 * 60;
/// How the books name who registered the sample payments.
const ACTOR: &str = "demo";

/// One sample payment for each face, and what the line to paste asks for.
const SAMPLES: [(Face, &str, &str); 5] = [
    (
        Face::MedusaV1,
        r#"{"amount":10000,"currency":"EUR","captures":[{"amount":10000}],"connector":"sandbox",
            "external_identifier":"order-1001","description":"Two shirts, paid by card",
            "source":{"type":"card","scheme":"visa","last_digits":"4242","month":12,"year":2030}}"#,
        r#"{"amount":1250,"reason":"return","note":"one shirt too small"}"#,
    ),
    (
        Face::MedusaV2,
        r#"{"amount":8990,"currency":"USD","captures":[{"amount":5000},{"amount":3990}],
            "connector":"sandbox","external_identifier":"order-1002",
            "description":"Captured in two parts"}"#,
        r#"{"amount":59.9,"note":"reaches into the second capture"}"#,
    ),
    (
        Face::Mpg,
        r#"{"amount":262346,"currency":"SAR","captures":[{"amount":262346}],"connector":"sandbox",
            "external_identifier":"order-1003","description":"A flight",
            "source":{"type":"card","scheme":"mada","first_digits":"55555555","last_digits":"4444",
            "month":12,"year":2030},"airline":{"reference":"ABC123"}}"#,
        r#"{"amount":100000}"#,
    ),
    (
        Face::Gr4vy,
        r#"{"amount":4000,"currency":"GBP","captures":[{"amount":4000}],"connector":"sandbox",
            "gift_cards":[{"amount":2500}],"external_identifier":"order-1004",
            "description":"Paid by card and gift card"}"#,
        r#"{"amount":1500,"reason":"The product was defective."}"#,
    ),
    (
        Face::Loop,
        r#"{"amount":1200,"currency":"JPY","captures":[{"amount":1200}],"connector":"sandbox",
            "external_identifier":"order-1005","description":"A currency without decimals"}"#,
        r#"{"full":true,"reason":"cancelled by the patient"}"#,
    ),
];

impl Demo {
    pub(crate) fn run(self, global: &Global, output: &Output) -> Done {
        if global.database.is_some() {
            let rule = "--database: the demonstration has a store of its own; leave it out";
            return Err(Trouble::Usage(rule.to_owned()));
        }
        let listen = self.listen.map(|address| ("listen", address));
        let mut config = settings(global, listen.into_iter().collect())?;
        if config.log == Config::default().log {
            "warn".clone_into(&mut config.log);
        }
        start_log(&config, *output);
        let folder = Folder::create()?;
        let path = folder.0.join("demo.db");
        config.database = Database::Sqlite(path.clone());
        let shop = Shop::open(&config, path)?;
        app::serve(&config, |address| shop.show(address, *output))?;
        Ok(())
    }
}

/// A folder that goes away with its owner.
struct Folder(PathBuf);

impl Folder {
    fn create() -> anyhow::Result<Folder> {
        let name = prefixed_text("requite-demo-", app::SystemIds::new().next());
        let path = std::env::temp_dir().join(name);
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("cannot make the folder {}", path.display()))?;
        Ok(Folder(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("requite: {} stays behind: {error}", self.0.display());
        }
    }
}

/// The sample shop: its credentials and payments, in the order of [`SAMPLES`].
struct Shop {
    path: PathBuf,
    merchant: MerchantView,
    native: Made,
    keys: Vec<Made>,
    payments: Vec<PaymentId>,
    gr4vy_token: Secret,
}

/// What one printed line refunds, and as whom.
struct Refund<'a> {
    face: Face,
    key: &'a Made,
    payment: PaymentId,
    body: &'a str,
}

impl Shop {
    fn open(config: &Config, path: PathBuf) -> anyhow::Result<Shop> {
        let office = Office::open(&config.database, Open::OrCreate)?;
        let merchant = merchant::create(&office, "Sample Shop")?;
        let mint = |face| key::mint(&office, merchant.id, face, None, None);
        let keys: Vec<Made> =
            SAMPLES.iter().map(|(face, _, _)| mint(*face)).collect::<anyhow::Result<_>>()?;
        let native = mint(Face::Native)?;
        let payments = register(&office, merchant.id)?;
        Ok(Shop { path, gr4vy_token: gr4vy_token(&keys)?, merchant, native, keys, payments })
    }

    fn show(&self, address: SocketAddr, output: Output) -> anyhow::Result<()> {
        let url = format!("http://{address}");
        let store = format!("sqlite:{}", self.path.display());
        output.ready(&url)?;
        output.result(
            &format!(
                "\nA sample shop with {} captured payments. No real money moves: the PSP is a sandbox.\n\
                 Paste any of these lines, twice if you like, to refund some of it:",
                self.payments.len()
            ),
            &json!({
                "url": url,
                "database": store,
                "merchant": {
                    "id": uuid_text(self.merchant.id.bits()),
                    "slug": self.merchant.slug,
                },
            }),
        )?;
        let rows = SAMPLES.iter().zip(&self.keys).zip(&self.payments);
        for (((face, _, body), key), payment) in rows {
            let refund = Refund { face: *face, key, payment: *payment, body };
            let curl = self.curl(&url, &refund);
            let mut value = key.value();
            value["payment"] = json!(uuid_text(payment.bits()));
            value["curl"] = json!(curl);
            output.result(&format!("\n# {}\n{curl}", title(*face)), &value)?;
        }
        let everything = format!(
            "curl -sS '{url}/api/payments' -H 'Authorization: Bearer {}'",
            self.native.token.expose()
        );
        let mut value = self.native.value();
        value["curl"] = json!(everything);
        let text = format!(
            "\nSee what became of it, and prove that the books are right, while this runs:\n\n\
             {everything}\n{} verify --database {}\n\nCtrl-C ends it and removes the store.",
            program(),
            quoted(&store)
        );
        Ok(output.result(&text, &value)?)
    }

    /// The line to paste into a shell.
    fn curl(&self, url: &str, refund: &Refund<'_>) -> String {
        let Refund { face, key, payment, body } = *refund;
        let bits = payment.bits();
        let uuid = uuid_text(bits);
        let pay = prefixed_text("pay_", bits);
        let token = key.token.expose();
        let bearer = |token: &str| format!("-H 'Authorization: Bearer {token}'");
        let (path, credential, body) = match face {
            Face::MedusaV1 => (
                format!("/medusa/v1/admin/payments/{pay}/refund"),
                format!("-H 'x-medusa-access-token: {token}'"),
                body.to_owned(),
            ),
            Face::MedusaV2 => (
                format!("/medusa/v2/admin/payments/{pay}/refund"),
                format!("-u '{token}:'"),
                body.to_owned(),
            ),
            Face::Mpg => (format!("/mpg/v1/orders/{uuid}/refund"), bearer(token), body.to_owned()),
            Face::Gr4vy => (
                format!("/gr4vy/transactions/{uuid}/refunds"),
                bearer(self.gr4vy_token.expose()),
                body.to_owned(),
            ),
            Face::Loop => (
                "/loop/v1/admin/refunds".to_owned(),
                bearer(token),
                body.replacen(
                    '{',
                    &format!("{{\"charge_id\":\"{}\",", prefixed_text("ch_", bits)),
                    1,
                ),
            ),
            Face::Native => {
                (format!("/api/payments/{uuid}/refunds"), bearer(token), body.to_owned())
            }
        };
        format!(
            "curl -sS -X POST '{url}{path}' {credential} -H 'Content-Type: application/json' \
             -d '{body}' -w '\\n'"
        )
    }
}

fn title(face: Face) -> &'static str {
    match face {
        Face::MedusaV1 => "Medusa v1",
        Face::MedusaV2 => "Medusa v2",
        Face::Mpg => "Moyasar MPG",
        Face::Gr4vy => "Gr4vy",
        Face::Loop => "Loop payments",
        Face::Native => "Requite's own",
    }
}

/// This program, as it can be called again.
fn program() -> String {
    let path = std::env::args_os().next().map(PathBuf::from);
    let path = path.filter(|path| path.components().count() > 1);
    path.map_or("requite".to_owned(), |path| quoted(&path.display().to_string()))
}

/// A word as a shell takes it.
fn quoted(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._:-".contains(&byte);
    if text.bytes().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

fn register(office: &Office, merchant: MerchantId) -> anyhow::Result<Vec<PaymentId>> {
    let origin = Origin { merchant, actor: ACTOR, at_ms: office.now_ms(), ids: &office.ids };
    let (answers, answered) = mpsc::channel();
    let mut commands = Vec::new();
    for (_, sample, _) in SAMPLES {
        let body = json::read(sample.as_bytes()).context("a sample payment is JSON")?;
        let Ok(registration) = registration::read(body, &origin) else {
            bail!("a sample payment is refused: {sample}");
        };
        let answers = answers.clone();
        let answer: Answer = Box::new(move |reply| drop(answers.send(reply)));
        commands.push((Command::Register(Box::new(registration)), answer));
    }
    drop(answers);
    drop(office.lane()?.step(commands));
    answered
        .into_iter()
        .map(|reply| match reply {
            Ok(Reply::Registered(RegisteredReply {
                registered: Registered::Created(payment),
                ..
            })) => Ok(payment),
            other => bail!("a sample payment was answered with {other:?}"),
        })
        .collect()
}

/// A token as Gr4vy's SDKs make them, good for a day.
fn gr4vy_token(keys: &[Made]) -> anyhow::Result<Secret> {
    let key = keys.iter().find_map(|key| key.private_key.as_ref());
    let key = key.context("the demonstration makes a key pair for Gr4vy")?;
    token::sign(key, &token::EVERYTHING, TOKEN_SECONDS)
}
