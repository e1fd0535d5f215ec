//! `requite psp`.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use requite_engine::clock::Clock;

use super::output::Output;
use super::serve::start_log;
use super::{Done, Global, Trouble};
use crate::app::SystemClock;
use crate::config::Config;
use crate::crypto::entropy::{Entropy, SystemEntropy};
use crate::psp::script::Script;
use crate::psp::{Line, Simulator, Start, server};

/// Run a PSP to test against
///
/// It speaks Stripe's API and Adyen's, keeps books of its own, and lets go wrong what a script says. No money moves.
/// Its own API is below /_psp/ on the same address. Prints one line, `listening on http://ADDR`, when it
/// is ready. docs/psp.md tells the rest.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  requite psp
  requite psp --listen 127.0.0.1:12111 --script faults.json --books books.jsonl
  requite psp --no-guard --no-keys
  requite psp --webhook http://127.0.0.1:4242/hook --webhook-secret whsec_test
  requite psp --adyen-webhook http://127.0.0.1:4242/hook --adyen-hmac-key 44782DEF...")]
pub(crate) struct Psp {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:12111")]
    listen: SocketAddr,
    /// What is to go wrong: a JSON file
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
    /// Keep the books in this file as well, and go on from what it says
    #[arg(long, value_name = "FILE")]
    books: Option<PathBuf>,
    /// Draw ids from this seed; without it they are other ones each time
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Take only this API key; without it every key that begins with sk_test_ or rk_test_
    #[arg(long, value_name = "KEY")]
    api_key: Option<String>,
    /// Give back more than was taken, if asked to
    #[arg(long)]
    no_guard: bool,
    /// Do not look at idempotency keys
    #[arg(long)]
    no_keys: bool,
    /// Send every event to this URL; may be given again
    #[arg(long, value_name = "URL")]
    webhook: Vec<String>,
    /// Sign the events for those URLs with this secret
    #[arg(long, value_name = "SECRET", requires = "webhook")]
    webhook_secret: Option<String>,
    /// Send every one of Adyen's notices to this URL; may be given again
    #[arg(long, value_name = "URL", requires = "adyen_hmac_key")]
    adyen_webhook: Vec<String>,
    /// Sign those notices with this key: 64 hexadecimal digits
    #[arg(long, value_name = "KEY", requires = "adyen_webhook")]
    adyen_hmac_key: Option<String>,
}

impl Psp {
    pub(crate) fn run(self, _: &Global, output: &Output) -> Done {
        start_log(&Config::default(), *output);
        let script = match &self.script {
            Some(path) => read_script(path)?,
            None => Script::empty(),
        };
        let entropy: &dyn Entropy = &SystemEntropy::new();
        let seed = self.seed.unwrap_or_else(|| u64::from_be_bytes(entropy.bytes()));
        let mut simulator = Simulator::new(Start {
            seed,
            has_guard: !self.no_guard,
            honours_keys: !self.no_keys,
            api_key: self.api_key,
            script,
        });
        let file = match &self.books {
            Some(path) => Some(open_books(path, &mut simulator)?),
            None => None,
        };
        let now_ms = SystemClock.now_ms();
        for url in &self.webhook {
            let secret = simulator.add_webhook(url, self.webhook_secret.clone(), None, now_ms);
            let secret = secret.map_err(Trouble::Usage)?;
            output.note(&format!("webhooks to {url} are signed with {secret}"))?;
        }
        for url in &self.adyen_webhook {
            let made = simulator.add_webhook(url, None, self.adyen_hmac_key.clone(), now_ms);
            made.map_err(|problem| Trouble::Usage(format!("--adyen-hmac-key: {problem}")))?;
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .context("the runtime could not be started")?;
        runtime.block_on(server::serve(self.listen, simulator, file, |address| {
            output.ready(&format!("http://{address}"))?;
            Ok(())
        }))?;
        Ok(())
    }
}

fn read_script(path: &Path) -> Result<Script, Trouble> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("the script {} cannot be read", path.display()))?;
    Script::read(&text)
        .map_err(|problem| Trouble::Usage(format!("--script {}: {problem}", path.display())))
}

/// Reads what the file says, and opens it to be gone on with.
fn open_books(path: &Path, simulator: &mut Simulator) -> anyhow::Result<File> {
    let at = || format!("the books in {}", path.display());
    let mut options = OpenOptions::new();
    let file = options.create(true).read(true).append(true).open(path).with_context(at)?;
    for (line, number) in BufReader::new(&file).lines().zip(1..) {
        let line = line.with_context(at)?;
        let line: Line = serde_json::from_str(&line)
            .with_context(|| format!("{}, line {number}", path.display()))?;
        simulator.restore(line);
    }
    Ok(file)
}
