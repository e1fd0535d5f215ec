//! `requite import`: registers the payments of a file.
//!
//! One thread reads and checks lines, this one commits them in batches through a lane of its own,
//! with the same rules as the server's. A server may have the same store open.
//!
//! Safe to run again: a line with an `id` or an `external_identifier` is recognised by it, any other
//! by its content (and by how often that has come before in the file).

mod csv_lines;
mod lines;

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, SyncSender};

use anyhow::{Context, anyhow};
use clap::{Args, ValueEnum};
use requite_core::id::{PaymentId, uuid_text};
use requite_engine::command::{Answer, Command, CommandError, Registered, Registration, Reply};
use requite_engine::lane::{BATCH_MAX, Lane};
use requite_engine::store::sqlite::Open;
use serde_json::json;

use super::output::Output;
use super::progress::Progress;
use super::{Done, merchant};
use crate::app::Office;
use crate::config::Config;
use crate::database::LaneStore;
use crate::faces::native::spelling;
use lines::Reader;

/// Register payments from JSON Lines or CSV
///
/// A line is what POST /api/payments takes; CSV has the flat members as columns, and `captured` for
/// one capture. Each line is registered wholly or not at all; what is refused is listed on standard
/// error. Safe to run again.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  requite import payments.jsonl --merchant my-shop
  requite import payments.csv --merchant my-shop --json > registered.jsonl
  zcat payments.jsonl.gz | requite import - --merchant my-shop")]
pub(crate) struct Import {
    /// The file; - is standard input
    file: PathBuf,
    /// The merchant's id or slug; without it, each line names its own
    #[arg(long)]
    merchant: Option<String>,
    /// What the file is; without it, CSV if its name ends so, and JSON Lines otherwise
    #[arg(long)]
    format: Option<Format>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Jsonl,
    Csv,
}

/// Batches read ahead of the one that is committed.
const AHEAD_MAX: usize = 8;
/// Complaints about one line that are printed.
const COMPLAINTS_MAX: usize = 5;

/// A line of the file, read and checked.
pub(crate) struct Item {
    /// From 1; in CSV, where its record begins.
    line: u64,
    /// Or everything that is wrong with it.
    registration: Result<Box<Registration>, Vec<String>>,
}

/// Lines that were read together, and how much of the file was read with them.
struct Batch {
    items: Vec<Item>,
    bytes: u64,
}

impl Import {
    pub(crate) fn run(self, config: &Config, output: &Output) -> Done {
        let office = Office::open(&config.database, Open::Existing)?;
        let only = match &self.merchant {
            Some(text) => Some(merchant::named(&office, text)?.id),
            None => None,
        };
        let (file, size) = open(&self.file)?;
        let reader = Reader::new(&office, only)?;
        let mut writer = Writer::new(office.lane()?, *output);
        let (sender, batches) = mpsc::sync_channel(AHEAD_MAX);
        let read = std::thread::scope(|scope| {
            let format = self.format();
            let reading = scope.spawn(move || match format {
                Format::Jsonl => lines::read(file, reader, &sender),
                Format::Csv => csv_lines::read(file, reader, &sender),
            });
            let written = writer.write_all(&batches, size);
            // Hang up, so that a reader that is still at it ends.
            drop(batches);
            let read = reading.join().map_err(|_| anyhow!("the reader of the file panicked"));
            written.and(read?)
        });
        read?;
        writer.end()
    }

    fn format(&self) -> Format {
        let is_csv =
            self.file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"));
        self.format.unwrap_or(if is_csv { Format::Csv } else { Format::Jsonl })
    }
}

/// The file, and its size where it has one.
fn open(path: &Path) -> anyhow::Result<(Box<dyn Read + Send>, u64)> {
    if path.as_os_str() == "-" {
        return Ok((Box::new(std::io::stdin()), 0));
    }
    let name = path.display();
    let file = File::open(path).with_context(|| format!("cannot read {name}"))?;
    let size = file.metadata().map(|metadata| metadata.len()).unwrap_or_default();
    Ok((Box::new(BufReader::with_capacity(1 << 16, file)), size))
}

/// Collects lines into batches and sends them on. `false`: nobody takes them any more.
pub(crate) struct Collector<'a> {
    sender: &'a SyncSender<Batch>,
    items: Vec<Item>,
}

impl<'a> Collector<'a> {
    fn new(sender: &'a SyncSender<Batch>) -> Collector<'a> {
        Collector { sender, items: Vec::with_capacity(BATCH_MAX) }
    }

    fn add(&mut self, item: Item, bytes: u64) -> bool {
        self.items.push(item);
        self.items.len() < BATCH_MAX || self.send(bytes)
    }

    fn send(&mut self, bytes: u64) -> bool {
        let items = std::mem::replace(&mut self.items, Vec::with_capacity(BATCH_MAX));
        self.sender.send(Batch { items, bytes }).is_ok()
    }
}

/// Commits lines and tells what became of them, in the order of the file.
struct Writer {
    lane: Lane<LaneStore>,
    output: Output,
    registered: u64,
    present: u64,
    refused: u64,
}

impl Writer {
    fn new(lane: Lane<LaneStore>, output: Output) -> Writer {
        Writer { lane, output, registered: 0, present: 0, refused: 0 }
    }

    fn write_all(&mut self, batches: &Receiver<Batch>, size: u64) -> anyhow::Result<()> {
        let mut progress = Progress::bytes();
        let mut bytes = 0;
        for batch in batches {
            bytes = batch.bytes.max(bytes);
            self.write(batch.items, &progress)?;
            progress.set(bytes, size.max(bytes));
        }
        progress.end();
        Ok(())
    }

    fn write(&mut self, items: Vec<Item>, progress: &Progress) -> anyhow::Result<()> {
        let (answers, answered) = mpsc::channel();
        let mut results: Vec<(u64, Option<Said>)> = Vec::with_capacity(items.len());
        let mut commands = Vec::with_capacity(items.len());
        for item in items {
            let at = results.len();
            let said = match item.registration {
                Ok(registration) => {
                    let answers = answers.clone();
                    let answer: Answer = Box::new(move |reply| {
                        // The receiver lives until all answers are in.
                        drop(answers.send((at, reply)));
                    });
                    commands.push((Command::Register(registration), answer));
                    None
                }
                Err(complaints) => Some(Said::Refused(complaints)),
            };
            results.push((item.line, said));
        }
        drop(answers);
        drop(self.lane.step(commands));
        for (at, reply) in answered {
            if let Some((_, said)) = results.get_mut(at) {
                *said = Some(said_of(reply)?);
            }
        }
        for (line, said) in results {
            let said = said.context("the lane left a line unanswered")?;
            self.tell(line, said, progress)?;
        }
        Ok(())
    }

    fn tell(&mut self, line: u64, said: Said, progress: &Progress) -> anyhow::Result<()> {
        let (payment, is_new) = match said {
            Said::Registered(payment, is_new) => (payment, is_new),
            Said::Refused(complaints) => {
                self.refused = self.refused.saturating_add(1);
                for complaint in complaints.iter().take(COMPLAINTS_MAX) {
                    progress.complain(&format!("line {line}: {complaint}"));
                }
                return Ok(());
            }
        };
        let count = if is_new { &mut self.registered } else { &mut self.present };
        *count = count.saturating_add(1);
        if !self.output.is_json() {
            return Ok(());
        }
        let value = json!({
            "id": uuid_text(payment.bits()),
            "ids": spelling::payment_ids(payment.bits()),
            "line": line,
            "is_new": is_new,
        });
        Ok(self.output.row(&value)?)
    }

    fn end(self) -> Done {
        let Writer { registered, present, refused, output, .. } = self;
        output.flush()?;
        output.note(&format!(
            "{registered} payments registered, {present} were there already, {refused} lines refused"
        ))?;
        if refused == 0 {
            return Ok(());
        }
        Err(anyhow!("{refused} lines were refused; mend them and run the import again").into())
    }
}

/// What became of a line.
enum Said {
    Registered(PaymentId, bool),
    Refused(Vec<String>),
}

fn said_of(reply: Result<Reply, CommandError>) -> anyhow::Result<Said> {
    let registered = reply.map(|reply| match reply {
        Reply::Registered(reply) => reply.registered,
        other => unreachable!("a registration is answered as one, not {other:?}"),
    });
    Ok(match registered {
        Ok(Registered::Created(payment)) => Said::Registered(payment, true),
        Ok(Registered::Present(payment)) => Said::Registered(payment, false),
        Ok(Registered::Differs(payment)) => {
            let id = uuid_text(payment.bits());
            let complaint = format!(
                "the payment {id} is registered with this id or external_identifier and says \
                 otherwise; nothing was changed"
            );
            Said::Refused(vec![complaint])
        }
        Err(error) => {
            return Err(anyhow!(error).context(
                "the import stopped; lines before are registered, run it again for the rest",
            ));
        }
    })
}
