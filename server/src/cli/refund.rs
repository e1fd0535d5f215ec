//! `requite refund`: what people have to see to, and their word on it.

use anyhow::{Context, anyhow, bail};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use requite_core::id::{RefundId, uuid_text};
use requite_core::refund::Status;
use requite_core::settle::Finding;
use requite_engine::command::{
    Cancellation, Command, RefundRef, Reply, Resolution, Resolved, Ruling,
};
use requite_engine::lane::Lane;
use requite_engine::read::{PAGE_MAX, ReadFault, Reads, RefundFilter, RefundView};
use requite_engine::store::sqlite::Open;
use serde_json::{Value, json};

use super::output::{Output, visible};
use super::{Done, Trouble, merchant};
use crate::app::Office;
use crate::config::Config;
use crate::connectors;
use crate::database::LaneStore;
use crate::faces::native::resolution::EVIDENCE_BYTES_MAX;
use crate::faces::native::{spelling, view};
use crate::people::{self, Need};

/// Refunds that people have to see to
#[derive(Debug, Subcommand)]
pub(crate) enum Refund {
    List(List),
    Cancel(Cancel),
    Resolve(Resolve),
}

/// List refunds that nobody but people can say, or do, what comes next of
#[derive(Debug, Args)]
#[command(after_help = "\
Alarms and notices that were put aside are lists of their own: GET /api/alarms, GET /api/notices.

Example:
  requite refund list --open --merchant my-shop")]
pub(crate) struct List {
    /// Only those that wait for people: their age, amount, what is known, and what to do
    #[arg(long, required = true)]
    open: bool,
    /// The merchant's id or slug; without it, all merchants
    #[arg(long)]
    merchant: Option<String>,
}

/// Have the payment provider cancel a refund that it has and has not paid
#[derive(Debug, Args)]
#[command(after_help = "\
Where the provider does that: `requite connector list --json` says in which statuses it cancels one. An
account's credential is opened with REQUITE_SEALING_KEY, as the server does.

Example:
  requite refund cancel 0191f5a7-44d3-7430-8739-2d80821416bf")]
pub(crate) struct Cancel {
    /// The refund's id, in any spelling
    id: String,
    /// The merchant's id or slug; without it, whoever has the refund
    #[arg(long)]
    merchant: Option<String>,
}

/// Say what became of a refund that is unknown, pending or requires action
#[derive(Debug, Args)]
#[command(after_help = "\
The evidence is kept in the payment's events, with who gave it. What the payment provider says against it
later is booked, and raises an alarm.

Example:
  requite refund resolve 0191f5a7-44d3-7430-8739-2d80821416bf --outcome succeeded \\
      --evidence \"Adyen's Customer Area shows it as Refunded\" --psp-refund KJ9B9W5R9ZCV7Z82")]
pub(crate) struct Resolve {
    /// The refund's id, in any spelling
    id: String,
    /// What became of it; failed: it is proven that no money moved
    #[arg(long, value_parser = rulings())]
    outcome: Ruling,
    /// What you saw, and where
    #[arg(long, value_name = "TEXT")]
    evidence: String,
    /// The provider's id of the refund, where you found one
    #[arg(long, value_name = "ID")]
    psp_refund: Option<String>,
    /// The merchant's id or slug; without it, whoever has the refund
    #[arg(long)]
    merchant: Option<String>,
}

fn rulings() -> impl TypedValueParser<Value = Ruling> {
    PossibleValuesParser::new(Ruling::LISTED.map(|(_, word)| word))
        .map(|word| Ruling::from_word(&word).expect("clap lets only listed words pass"))
}

impl Refund {
    pub(crate) fn run(self, config: &Config, output: &Output) -> Done {
        let office = Office::open(&config.database, Open::Existing)?;
        match self {
            Refund::List(list) => list.run(&office, output),
            Refund::Cancel(cancel) => cancel.run(config, &office, output),
            Refund::Resolve(resolve) => resolve.run(&office, output),
        }
    }
}

impl List {
    fn run(self, office: &Office, output: &Output) -> Done {
        let merchants = match &self.merchant {
            Some(text) => vec![merchant::named(office, text)?],
            None => office.reads.merchants()?,
        };
        let now_ms = office.now_ms();
        let mut is_empty = true;
        for merchant in merchants {
            let mut after = None;
            loop {
                let filter = RefundFilter {
                    for_people_at_ms: Some(now_ms),
                    after,
                    limit: PAGE_MAX,
                    ..RefundFilter::default()
                };
                let found = office.reads.refunds(merchant.id, &filter)?;
                for view in &found {
                    let need =
                        people::need(view, now_ms).context("the store and the rule differ")?;
                    output.result(&line(view, &need, now_ms), &shown(view, &need)?)?;
                    is_empty = false;
                }
                after = match found.last() {
                    Some(last) if found.len() >= usize::try_from(PAGE_MAX)? => Some((last.id, 0)),
                    _ => break,
                };
            }
        }
        if is_empty {
            output.note("no refund waits for people")?;
        }
        Ok(())
    }
}

fn line(view: &RefundView, need: &Need, now_ms: i64) -> String {
    let hours = now_ms.saturating_sub(view.asked_at_ms) / 3_600_000;
    let age = if hours < 48 { format!("{hours} h") } else { format!("{} days", hours / 24) };
    let known = view.fault.as_ref().map_or(String::new(), |fault| {
        format!("\n  known: {}: {}", visible(&fault.code), visible(&fault.text))
    });
    let psp_refund = view
        .psp_refund
        .as_deref()
        .map_or(String::new(), |id| format!("\n  {} at {}", visible(id), visible(&view.connector)));
    format!(
        "{}  {} {} minor units  {} for {age}  payment {}  {}{psp_refund}{known}\n  {}",
        uuid_text(view.id.bits()),
        view.amount.units(),
        view.currency.code(),
        view.status.word(),
        uuid_text(view.payment.bits()),
        visible(&view.connector),
        need.advice
    )
}

/// As the native API shows it, and whose it is.
fn shown(view: &RefundView, need: &Need) -> anyhow::Result<Value> {
    let mut value: Value = serde_json::from_str(&view::refund_with(view, Some(need)))?;
    value["merchant"] = json!(uuid_text(view.merchant.bits()));
    Ok(value)
}

impl Resolve {
    fn run(self, office: &Office, output: &Output) -> Done {
        if self.evidence.trim().is_empty() || self.evidence.len() > EVIDENCE_BYTES_MAX {
            return Err(Trouble::Usage(format!(
                "--evidence: say what you saw and where, in at most {EVIDENCE_BYTES_MAX} bytes"
            )));
        }
        let view = found(office, &self.id, self.merchant.as_deref())?;
        let refund = RefundRef { merchant: view.merchant, payment: view.payment, refund: view.id };
        let resolution = Resolution {
            refund,
            ruling: self.outcome,
            evidence: self.evidence,
            psp_refund: self.psp_refund,
            keys: Vec::new(),
            actor: "cli".to_owned(),
            at_ms: office.now_ms(),
        };
        let resolved = told(&mut office.lane()?, resolution)?;
        if let Some((_, text)) = people::refused(&resolved) {
            return Err(anyhow!(text).into());
        }
        let view = office.reads.refund(refund.merchant, refund.refund)?;
        let view = view.context("it is done, and could not be read back")?;
        let text = format!("{} is {}", uuid_text(view.id.bits()), view.status.word());
        Ok(output.result(&text, &serde_json::from_str(&view::refund(&view))?)?)
    }
}

impl Cancel {
    fn run(self, config: &Config, office: &Office, output: &Output) -> Done {
        let view = found(office, &self.id, self.merchant.as_deref())?;
        let account = office.reads.connector(view.merchant, &view.connector)?;
        let cancels = connectors::cancels(&view.connector, account.as_ref());
        let refund = RefundRef { merchant: view.merchant, payment: view.payment, refund: view.id };
        let cancellation = Cancellation {
            refund,
            cancels,
            keys: Vec::new(),
            actor: "cli".to_owned(),
            at_ms: office.now_ms(),
        };
        let reply = match cancelled(config, office, cancellation)? {
            Reply::Refund(reply) => reply,
            Reply::NotCancelled(why) => {
                return Err(anyhow!(people::not_cancelled(why, cancels).1).into());
            }
            other => return Err(anyhow!("a cancellation is answered as one, not {other:?}").into()),
        };
        let view = office.reads.refund(refund.merchant, refund.refund)?;
        let view = view.context("it is done, and could not be read back")?;
        let (id, word) = (uuid_text(view.id.bits()), view.status.word());
        let text = match reply.status {
            Status::Voided => format!("{id} is {word}"),
            status if people::may_be_cancelled_yet(status, cancels) => format!(
                "{id} is {word}: the provider was asked and has not said that it is cancelled; a server \
                 looks it up"
            ),
            status => return Err(anyhow!(people::too_late(status).1).into()),
        };
        Ok(output.result(&text, &serde_json::from_str(&view::refund(&view))?)?)
    }
}

/// The lane's answer, once the PSP was asked. Should this process die meanwhile, a server looks the refund
/// up.
fn cancelled(
    config: &Config,
    office: &Office,
    cancellation: Cancellation,
) -> anyhow::Result<Reply> {
    let mut lane = office.lane()?;
    let (sender, answer) = std::sync::mpsc::channel();
    let command = Command::Cancel(Box::new(cancellation));
    let calls = lane.step(vec![(command, Box::new(move |told| drop(sender.send(told))))]);
    for call in calls {
        let (refund, attempt) = (call.refund, call.attempt);
        let outcome = office.call(config, call)?;
        let finding = Finding { attempt, outcome, at_ms: office.now_ms() };
        lane.step(vec![(Command::Settle { refund, finding }, Box::new(|_| ()))]);
    }
    Ok(answer.try_recv().context("the lane did not answer")??)
}

fn found(office: &Office, id: &str, merchant: Option<&str>) -> anyhow::Result<RefundView> {
    let Some(bits) = spelling::refund_bits(id) else {
        bail!("{id:?} is no refund's id");
    };
    let merchants = match merchant {
        Some(text) => vec![merchant::named(office, text)?],
        None => office.reads.merchants()?,
    };
    let of = |merchant: &requite_engine::read::MerchantView| {
        office.reads.refund(merchant.id, RefundId::new(bits)).transpose()
    };
    let found: Vec<RefundView> =
        merchants.iter().filter_map(of).collect::<Result<_, ReadFault>>()?;
    match <[RefundView; 1]>::try_from(found) {
        Ok([view]) => Ok(view),
        Err(none) if none.is_empty() => bail!("there is no refund {id:?}"),
        Err(_) => bail!("several merchants have a refund {id:?}: name one, --merchant"),
    }
}

/// The lane's answer. It asks no PSP: a resolution makes no call.
fn told(lane: &mut Lane<LaneStore>, resolution: Resolution) -> anyhow::Result<Resolved> {
    let (sender, answer) = std::sync::mpsc::channel();
    let command = Command::Resolve(Box::new(resolution));
    lane.step(vec![(command, Box::new(move |told| drop(sender.send(told))))]);
    match answer.try_recv().context("the lane did not answer")?? {
        Reply::Resolved(resolved) => Ok(resolved),
        other => bail!("a resolution is answered as one, not {other:?}"),
    }
}
