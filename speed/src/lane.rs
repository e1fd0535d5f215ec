//! The lane without HTTP: batches go in, and the time that [`Lane::step`] takes is what is measured.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::ensure;
use requite_core::decide::{Amount, Ask, Target};
use requite_core::id::MerchantId;
use requite_engine::command::{Answer, Command, Details, Reason, RefundRequest, Reply, Wait};
use requite_engine::key::{Key, Lifetime, digest};
use requite_engine::lane::{BATCH_MAX, Lane};
use requite_engine::store::Store;
use requite_engine::store::sqlite::{Open, Sqlite};
use serde_json::{Value, json};

use crate::payment::{self, NOW_MS};
use crate::{Books, Work};

/// Connectors that need no PSP: one commit for each refund.
const IMMEDIATE: [&str; 1] = ["manual"];

/// Registers payments, as many as a batch may have at a time.
pub(crate) fn fill(books: &Books, range: Range<u64>, connector: &str) -> anyhow::Result<Value> {
    let mut lane = Lane::new(Sqlite::open(&books.path()?, Open::OrCreate)?, IMMEDIATE);
    let numbers: Vec<u64> = range.collect();
    let began = Instant::now();
    for batch in numbers.chunks(BATCH_MAX) {
        let commands = batch.iter().map(|&number| {
            let new = payment::registration(books.merchant, number, connector);
            Command::Register(Box::new(new))
        });
        step(&mut lane, commands)?;
    }
    Ok(json!({ "payments": numbers.len(), "ns": nanoseconds(began) }))
}

/// Makes refunds, each under a key of its own.
pub(crate) fn refund(books: &Books, work: Work) -> anyhow::Result<Value> {
    let mut lane = Lane::new(Sqlite::open(&books.path()?, Open::Existing)?, IMMEDIATE);
    let mut ns = 0;
    let mut made = 0;
    while made < work.refunds {
        let until = work.refunds.min(made + work.batch);
        let commands: Vec<Command> = (made..until)
            .map(|n| Command::Refund(Box::new(request(books.merchant, work, work.start + n))))
            .collect();
        ns += step(&mut lane, commands.into_iter())?;
        made = until;
    }
    Ok(json!({ "refunds": made, "batch": work.batch, "ns": ns }))
}

pub(crate) fn request(merchant: MerchantId, work: Work, number: u64) -> RefundRequest {
    let text = number.to_be_bytes();
    let key = digest(&[b"speed", &text]);
    RefundRequest {
        merchant,
        payment: payment::id(work.payment_of(number)),
        ask: Ask {
            refund: payment::refund(number),
            target: Target::Primary,
            amount: Amount::Minor(1),
            currency: None,
            at_ms: NOW_MS,
        },
        details: Details {
            face: "native".to_owned(),
            actor: "apk_01J7TTEH6KEGR8EE9DG21185NZ".to_owned(),
            reason_code: None,
            reason_text: None,
            reason: Reason::None,
            note: None,
            external_identifier: None,
            given_id: None,
            key_text: Some(format!("speed-{number}")),
            metadata: None,
            wants_reference: false,
        },
        keys: vec![Key {
            hash: key,
            fingerprint: key,
            lifetime: Lifetime::Kept,
            answers_present: false,
        }],
        wait: Wait::Outcome,
        answers_unknown: true,
    }
}

/// One batch, all of which must succeed. How long it took.
fn step<S: Store>(
    lane: &mut Lane<S>,
    commands: impl Iterator<Item = Command>,
) -> anyhow::Result<u64> {
    let succeeded = Arc::new(AtomicU64::new(0));
    let batch: Vec<(Command, Answer)> = commands
        .map(|command| {
            let succeeded = Arc::clone(&succeeded);
            let answer: Answer = Box::new(move |reply| {
                if matches!(reply, Ok(Reply::Refund(_) | Reply::Registered(_))) {
                    succeeded.fetch_add(1, Ordering::Relaxed);
                }
            });
            (command, answer)
        })
        .collect();
    let asked = u64::try_from(batch.len())?;
    let began = Instant::now();
    let calls = lane.step(batch).len();
    let ns = nanoseconds(began);
    let made = succeeded.load(Ordering::Relaxed);
    ensure!(made == asked && calls == 0, "{made} of {asked} succeeded, {calls} calls were made");
    Ok(ns)
}

pub(crate) fn nanoseconds(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX)
}
