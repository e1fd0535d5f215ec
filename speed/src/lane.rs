//! The lane without HTTP: batches go in, and the time that [`Lane::step`] takes is what is measured. On a
//! store that keeps several lanes busy as many of them run at once.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{anyhow, ensure};
use requite_core::decide::{Amount, Ask, Target};
use requite_core::id::MerchantId;
use requite_engine::command::{Answer, Command, Details, Reason, RefundRequest, Reply, Wait};
use requite_engine::key::{Key, Lifetime, digest};
use requite_engine::lane::Lane;
use requite_engine::store::Store;
use serde_json::{Value, json};

use crate::payment;
use crate::{Books, Work};

/// Connectors that need no PSP: one commit for each refund.
const IMMEDIATE: [&str; 1] = ["manual"];
/// Payments registered in one transaction.
const FILL_BATCH: u64 = 256;

/// Registers payments.
pub(crate) fn fill(books: &Books, range: Range<u64>, connector: &str) -> anyhow::Result<Value> {
    books.prepare()?;
    let payments = range.end.saturating_sub(range.start);
    let share = payments.div_ceil(books.lanes());
    let ns = at_once(books.lanes(), |number| {
        let from = range.start + share * number;
        let until = range.end.min(from + share);
        let mut lane = Lane::new(books.store()?, IMMEDIATE);
        let mut ns = 0;
        for from in (from..until).step_by(usize::try_from(FILL_BATCH)?) {
            let numbers = from..until.min(from + FILL_BATCH);
            let commands = numbers.map(|number| {
                let new = payment::registration(books.merchant, number, connector);
                Command::Register(Box::new(new))
            });
            ns += step(&mut lane, commands)?;
        }
        Ok(ns)
    })?;
    Ok(json!({ "payments": payments, "ns": ns }))
}

/// Makes refunds, each under a key of its own. Of one payment they all go through one lane, as in a server.
pub(crate) fn refund(books: &Books, work: Work) -> anyhow::Result<Value> {
    let parts = work.parts(books.lanes());
    let ns = at_once(parts.len() as u64, |number| {
        let part = parts[usize::try_from(number)?];
        let mut lane = Lane::new(books.store()?, IMMEDIATE);
        begin(&mut lane, books.merchant, work);
        let mut ns = 0;
        for batch in part.batches() {
            let commands =
                batch.map(|n| Command::Refund(Box::new(request(books.merchant, work, n))));
            ns += step(&mut lane, commands)?;
        }
        Ok(ns)
    })?;
    Ok(json!({ "refunds": work.refunds, "batch": work.batch, "ns": ns }))
}

/// The same on several threads. How long the slowest of them worked, in nanoseconds.
pub(crate) fn at_once(
    threads: u64,
    work: impl Fn(u64) -> anyhow::Result<u64> + Sync,
) -> anyhow::Result<u64> {
    let work = &work;
    std::thread::scope(|scope| {
        let running: Vec<_> =
            (0..threads).map(|number| scope.spawn(move || work(number))).collect();
        let mut slowest = 0;
        for thread in running {
            slowest = slowest.max(thread.join().map_err(|_| anyhow!("a thread panicked"))??);
        }
        Ok(slowest)
    })
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
            at_ms: payment::at_ms(number),
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

/// What a new process reads once is no part of a refund: so first one of a payment that is not there.
fn begin<S: Store>(lane: &mut Lane<S>, merchant: MerchantId, work: Work) {
    let payment = payment::id(work.payments);
    let wish = RefundRequest { payment, keys: Vec::new(), ..request(merchant, work, work.start) };
    lane.step(vec![(Command::Refund(Box::new(wish)), Box::new(|_| ()))]);
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
