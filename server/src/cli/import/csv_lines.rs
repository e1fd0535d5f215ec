//! CSV: the flat members as columns. Each record becomes the JSON object that it means, so that
//! both kinds of files have the same rules.

use std::io::Read;
use std::sync::mpsc::SyncSender;

use anyhow::{Context, bail};
use csv::StringRecord;

use super::lines::Reader;
use super::{Batch, Collector, Item};

/// Columns that hold whole numbers.
const NUMBERS: [&str; 1] = ["amount"];
const TEXTS: [&str; 12] = [
    "id",
    "currency",
    "connector",
    "connector_payment",
    "external_identifier",
    "order",
    "customer",
    "description",
    "reauthorized_order_id",
    "created_at",
    "canceled_at",
    "merchant",
];
/// One capture of this much.
const CAPTURED: &str = "captured";

/// Reads a file of CSV with a header to its end.
pub(super) fn read(
    file: Box<dyn Read + Send>,
    mut reader: Reader,
    sender: &SyncSender<Batch>,
) -> anyhow::Result<()> {
    let mut file = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(file);
    let columns = file.headers().context("the header cannot be read")?.clone();
    check(&columns)?;
    let mut collector = Collector::new(sender);
    let mut record = StringRecord::new();
    loop {
        let before = file.position().line();
        let read = file.read_record(&mut record);
        let bytes = file.position().byte();
        let line = record.position().map_or(before, csv::Position::line);
        let item = match read {
            Ok(false) => break,
            Ok(true) => Item {
                line,
                registration: reader.registration(object(&columns, &record).as_bytes()),
            },
            Err(error) if matches!(error.kind(), csv::ErrorKind::Io(_)) => {
                return Err(error).context("the file cannot be read");
            }
            Err(error) => Item {
                line: error.position().map_or(before, csv::Position::line),
                registration: Err(vec![complaint(&error, columns.len())]),
            },
        };
        if !collector.add(item, bytes) {
            return Ok(());
        }
    }
    collector.send(file.position().byte());
    Ok(())
}

fn complaint(error: &csv::Error, columns: usize) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { len, .. } => {
            format!("has {len} cells; the header has {columns}")
        }
        csv::ErrorKind::Utf8 { .. } => "is not UTF-8".to_owned(),
        _ => "is not CSV".to_owned(),
    }
}

fn check(columns: &StringRecord) -> anyhow::Result<()> {
    let known: Vec<&str> = NUMBERS.iter().chain(&TEXTS).chain(&[CAPTURED]).copied().collect();
    for (at, name) in columns.iter().enumerate() {
        if !known.contains(&name) {
            let known = known.join(", ");
            bail!(
                "the column {name:?} is not known; there are {known}. Nested members need JSON Lines"
            );
        }
        if columns.iter().skip(at + 1).any(|other| other == name) {
            bail!("the column {name:?} is there twice");
        }
    }
    Ok(())
}

/// The object that a record means. An empty cell is an absent member.
fn object(columns: &StringRecord, record: &StringRecord) -> String {
    let cells = columns.iter().zip(record.iter());
    let members = cells
        .filter(|(name, cell)| !cell.is_empty() && (*name, *cell) != (CAPTURED, "0"))
        .map(|(name, cell)| match name {
            CAPTURED => format!("\"captures\":[{{\"amount\":{}}}]", number(cell)),
            "amount" => format!("\"amount\":{}", number(cell)),
            name => format!("\"{name}\":{}", text(cell)),
        });
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

/// Digits as they are; anything else as text, which then is refused as no number.
fn number(cell: &str) -> String {
    let is_number = !cell.starts_with('0') && cell.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { cell.to_owned() } else { text(cell) }
}

fn text(cell: &str) -> String {
    serde_json::Value::from(cell).to_string()
}
