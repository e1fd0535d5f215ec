//! N, the reference point of what is usually built on PostgreSQL: a transaction for each refund, a
//! statement for each thing it does (seven round trips, prepared), on a pool of connections.
//!
//! It stands behind the same HTTP stack as Z. Its tables are the driver's (`driver/postgres.py`).

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use postgres::{Client, NoTls, Statement};
use tokio::sync::oneshot;

/// Connections to the database.
const POOL: usize = 16;
/// Refunds that wait for a connection.
const WAITING_MAX: usize = 1_024;

struct Job {
    payment: String,
    key: String,
    amount: i64,
    answer: oneshot::Sender<bool>,
}

#[derive(Clone)]
pub(crate) struct Naive {
    queue: SyncSender<Job>,
}

impl Naive {
    pub(crate) fn start(address: &str) -> anyhow::Result<Naive> {
        let (queue, waiting) = sync_channel(WAITING_MAX);
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..POOL {
            let mut client = Client::connect(address, NoTls)?;
            let statements = Statements::prepare(&mut client).context("tables of N")?;
            let waiting = Arc::clone(&waiting);
            std::thread::spawn(move || work(&mut client, &statements, &waiting));
        }
        Ok(Naive { queue })
    }

    /// `false`: it was not made.
    pub(crate) async fn refund(&self, payment: String, key: String, amount: i64) -> bool {
        let (answer, answered) = oneshot::channel();
        let is_taken = self.queue.try_send(Job { payment, key, amount, answer }).is_ok();
        is_taken && answered.await.unwrap_or(false)
    }
}

fn work(client: &mut Client, statements: &Statements, waiting: &Mutex<Receiver<Job>>) {
    loop {
        let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else { return };
        let made = statements.refund(client, &job).unwrap_or_else(|cause| {
            eprintln!("a refund was not made: {cause}");
            false
        });
        // Whoever asked may have gone.
        let _gone = job.answer.send(made);
    }
}

struct Statements {
    key: Statement,
    balance: Statement,
    refund: Statement,
    ledger: Statement,
    event: Statement,
}

impl Statements {
    fn prepare(client: &mut Client) -> Result<Statements, postgres::Error> {
        Ok(Statements {
            key: client.prepare(
                "insert into key (hash, refund, at) values ($1::text::uuid, gen_random_uuid(), now())
                    returning refund::text",
            )?,
            balance: client.prepare(
                "update balance set refunded = refunded + $2
                    where payment = $1::text::uuid and refunded + $2 <= captured",
            )?,
            refund: client.prepare(
                "insert into refund (id, payment, amount, status, at)
                    values ($1::text::uuid, $2::text::uuid, $3, 'succeeded', now())",
            )?,
            ledger: client.prepare(
                "insert into ledger (refund, line, account, amount) values
                    ($1::text::uuid, 0, 'refundable', -$2::bigint), ($1::text::uuid, 1, 'refunded', $2)",
            )?,
            event: client.prepare(
                "insert into event (payment, at, refund, kind)
                    values ($1::text::uuid, now(), $2::text::uuid, 'succeeded')",
            )?,
        })
    }

    fn refund(&self, client: &mut Client, job: &Job) -> Result<bool, postgres::Error> {
        let Job { payment, key, amount, .. } = job;
        let mut transaction = client.transaction()?;
        let refund: String = transaction.query_one(&self.key, &[key])?.try_get(0)?;
        if transaction.execute(&self.balance, &[payment, amount])? != 1 {
            return Ok(false);
        }
        transaction.execute(&self.refund, &[&refund, payment, amount])?;
        transaction.execute(&self.ledger, &[&refund, amount])?;
        transaction.execute(&self.event, &[payment, &refund])?;
        transaction.commit()?;
        Ok(true)
    }
}
