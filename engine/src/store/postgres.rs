//! The store for several servers: a PostgreSQL database, used by any number of equal nodes.
//!
//! Invariants:
//! - A batch is one transaction with a constant number of statements (READ COMMITTED). Rows are
//!   locked in the order of their ids, and what is decided is decided in memory on locked rows.
//! - What broke before the commit was sent is not committed, and tried again. A commit without an
//!   answer is read back, and then is one or is none; only if that cannot be found out in time the
//!   caller is told so.
//! - Works behind a pooler that hands out connections by transaction: settings end with their
//!   transaction, and prepared statements are used only where the session is proven to have them
//!   ([`prepared`]).
//! - A node that stops in the middle of a transaction holds its locks for 5 s at most ([`BEGIN`]).
//!
//! SQL stands beside the function that runs it; its first line is its name. Start at
//! [`Postgres::transact`].

mod client;
mod growth;
mod link;
mod load;
mod migrate;
mod pool;
mod prepared;
mod rows;
mod save;
mod spread;
mod statement;
mod tls;

use std::time::{Duration, Instant};

use requite_core::id::{MerchantId, PaymentId, RefundId};
use tokio_postgres::types::Type;
use tokio_postgres::{Config, Row};

use self::growth::Growth;
use self::link::{Link, Session, Trouble, query};
pub(super) use self::pool::Pool;
pub(super) use self::prepared::Connection;
use self::prepared::End;
use self::rows::{Parameters, Read, Rows, row};
use self::save::Before;
pub(super) use self::statement::{cell, execute, query as query_shared};
use super::sql::{self, SqlReads, SqlRegistry};
use super::{Changes, Commit, Loaded, Store, StoreFault, Wanted};
use crate::audit::Report;
use crate::command::RefundRef;
use crate::event::Event;
use crate::read::ReadFault;

pub use migrate::OpenFault;
pub use spread::Spread;

/// Connections for reading that a process opens at most.
const READERS_MAX: usize = 8;
/// Connections for writing that a process opens at most, besides the lane's and the sweep's.
const WRITERS_MAX: usize = 4;
/// Commands of one transaction. More make every answer wait longer and bring little.
const BATCH_MAX: usize = 128;
/// How often a batch is tried that other transactions got in the way of.
const CONFLICTS_MAX: u32 = 10;
/// How often a batch is tried whose new rows were there already.
const TAKEN_MAX: u32 = 4;
/// How long batches wait for a database that is away, from when it went.
const AWAY_MAX: Duration = Duration::from_secs(1);
/// How long a commit without an answer is asked after.
const UNHEARD_MAX: Duration = Duration::from_secs(8);
/// Distance between tries while the database is away.
const PAUSE: Duration = Duration::from_millis(50);
/// Begins a transaction. A node that stands still, or one that waits for its locks, must not stop
/// the others for long; and one that died while it waited none at all, which PostgreSQL notices where its
/// system tells it.
const BEGIN: &str = "begin isolation level read committed;
    select set_config('idle_in_transaction_session_timeout', '5000', true),
        set_config('lock_timeout', '7000', true), set_config('statement_timeout', '10000', true),
        case when version() like '%linux%'
            then set_config('client_connection_check_interval', '1000', true) end";

/// Where a database is and who may use it. Its `Debug` hides the password.
#[derive(Clone, Debug)]
pub struct Address {
    config: Config,
}

impl Address {
    /// `postgres://user:password@host:port/database?...`, or the `key=value` form.
    pub fn parse(text: &str) -> Result<Address, OpenFault> {
        let config: Config = text.parse().map_err(|cause: tokio_postgres::Error| {
            // The text may hold a password: say where it points to, not what it is.
            OpenFault::Address("the address".to_owned(), cause.to_string())
        })?;
        Ok(Address { config })
    }

    /// Brings the schema up to date. Any number of processes may do so at once.
    ///
    /// On a thread of its own, for the database's client must not run inside another runtime.
    pub fn migrate(&self) -> Result<(), OpenFault> {
        let work = || migrate::migrate(&self.config);
        let done = std::thread::scope(|scope| scope.spawn(work).join());
        done.unwrap_or_else(|_| Err(OpenFault::Unusable("the migration panicked".to_owned())))
    }

    /// Spreads the tables of a migrated database over the machines of a Citus, by merchant: those that
    /// are not spread yet. Later changes of the schema spread what they make.
    ///
    /// # Errors
    /// When the database is no Citus, or does not do it. Nothing is spread then.
    pub fn spread(&self) -> Result<Spread, OpenFault> {
        let work = || migrate::spread(&self.config);
        let done = std::thread::scope(|scope| scope.spawn(work).join());
        done.unwrap_or_else(|_| Err(OpenFault::Unusable("the spreading panicked".to_owned())))
    }
}

/// Views of a database. Connects when it is first asked.
pub fn reads(address: &Address) -> SqlReads {
    SqlReads::new(sql::Readers::Postgres(Box::new(Pool::new(address, READERS_MAX))))
}

/// Writes beside the lane. Connects when it is first asked.
pub fn registry(address: &Address) -> SqlRegistry {
    SqlRegistry::new(sql::Writer::Postgres(Box::new(Pool::new(address, WRITERS_MAX))))
}

/// Audits a database that may be in use. `progress` is told payments done and payments in all.
pub fn audit(address: &Address, progress: &mut dyn FnMut(u64, u64)) -> Result<Report, ReadFault> {
    sql::audit::audit(&sql::Readers::Postgres(Box::new(Pool::new(address, 1))), progress)
}

/// The writing side, for a lane or for the sweep. Must be used, and dropped, on a thread that runs
/// no asynchronous tasks.
pub struct Postgres {
    link: Link,
    /// Since when nothing was heard of it, if so. Batches do not wait for it one after the other.
    away_since: Option<Instant>,
    /// Whether its merchants lie on several machines, once it was asked.
    is_spread: Option<bool>,
    growth: Growth,
}

impl Postgres {
    /// Connects when it is first used: a server may start while its database is away.
    pub fn new(address: &Address) -> Postgres {
        let link = Link::new(address.config.clone());
        Postgres { link, away_since: None, is_spread: None, growth: Growth::default() }
    }

    fn try_once(
        &mut self,
        wanted: &Wanted,
        decide: &mut dyn FnMut(Loaded) -> Changes,
    ) -> Result<(), Failed> {
        let client = self.link.client()?;
        let mut session = Session::begin(client, BEGIN)?;
        let (loaded, places) = load::load(&mut session, wanted)?;
        let before = Before::of(&loaded, places);
        let changes = decide(loaded);
        if changes.is_empty() {
            // Attempt outcomes alone change nothing that is worth a commit of their own.
            session.roll_back()?;
            return Ok(());
        }
        save::save(&mut session, &changes, &before)?;
        match session.commit() {
            Ok(()) => Ok(()),
            Err(Trouble::Away(text)) => Err(Failed::Unheard { text, changes: Box::new(changes) }),
            Err(trouble) => Err(Failed::Before(trouble)),
        }
    }

    /// Finds out whether a commit without an answer was one.
    fn read_back(&mut self, text: &str, changes: &Changes) -> Result<bool, StoreFault> {
        let unheard = |why: &str| {
            Err(StoreFault::Unheard(format!("{text}; what became of the commit: {why}")))
        };
        let Some(proof) = proof(changes) else {
            return unheard("it wrote nothing that tells it from another's");
        };
        let since = Instant::now();
        loop {
            self.link.drop_connection();
            let found = self.link.client().and_then(|client| is_there(client, proof));
            match found {
                Ok(Some(is_there)) => return Ok(is_there),
                Ok(None) => return unheard("it is not there yet"),
                Err(trouble) if since.elapsed() >= UNHEARD_MAX => return unheard(&trouble.text()),
                Err(_) => std::thread::sleep(PAUSE),
            }
        }
    }
}

/// A transaction that did not end well.
enum Failed {
    /// Nothing of it is committed.
    Before(Trouble),
    /// The commit was sent, and nothing came back.
    Unheard { text: String, changes: Box<Changes> },
}

impl From<Trouble> for Failed {
    fn from(trouble: Trouble) -> Failed {
        Failed::Before(trouble)
    }
}

/// An event of the batch, by which it can be told whether the batch was committed: of a payment that
/// was there before if there is one, for its head can be waited for.
fn proof(changes: &Changes) -> Option<(&Event, bool)> {
    let is_new = |event: &Event| {
        let new = changes.books.iter().filter(|book| book.is_new);
        let mut new = new.map(|book| (book.merchant, book.book.payment.id()));
        new.any(|of| of == (event.merchant, event.payment))
    };
    let known = changes.events.iter().find(|event| !is_new(event));
    known.map(|event| (event, false)).or_else(|| changes.events.first().map(|event| (event, true)))
}

/// Is this event on the books? `None`: not yet, and it may come, as the transaction may be running
/// still.
fn is_there(
    client: &mut Connection,
    (event, is_new): (&Event, bool),
) -> Result<Option<bool>, Trouble> {
    let mut session = Session::begin(client, BEGIN)?;
    let payment = Rows::of([row![event.merchant.bits(), event.payment.bits()]]);
    // Waits for the transaction whose end nobody heard of, if it is running still.
    let sql = "-- wait_for_head
        select h.seq from unnest($1, $2) as w (merchant_id, payment_id)
        join book h on h.merchant_id = w.merchant_id and h.payment_id = w.payment_id
            and h.line = 0
        for update of h";
    session.select(sql, &payment)?;
    let sql = "-- event_of_batch
        select e.hash from unnest($1, $2, $3) as w (merchant_id, about, seq)
        join event e on e.merchant_id = w.merchant_id and e.about = w.about
            and e.seq = w.seq";
    let wanted = Rows::of([row![event.merchant.bits(), event.about(), event.seq]]);
    let rows = session.select(sql, &wanted)?;
    session.roll_back()?;
    match rows.first() {
        Some(row) => Ok(Some(row.bytes::<32>(0)? == event.hash)),
        None if is_new => Ok(None),
        None => Ok(Some(false)),
    }
}

/// How long a batch is tried again.
struct Patience {
    conflicts: u32,
    taken: u32,
}

impl Patience {
    /// Waits before the next try, or says why there is none.
    fn wait(&mut self, trouble: Trouble, away: Duration) -> Result<(), StoreFault> {
        match trouble {
            Trouble::Conflict { text, is_taken } => {
                let (count, max) = match is_taken {
                    true => (&mut self.taken, TAKEN_MAX),
                    false => (&mut self.conflicts, CONFLICTS_MAX),
                };
                *count = count.saturating_add(1);
                if *count >= max {
                    return Err(match is_taken {
                        true => StoreFault::Constraint(text),
                        false => StoreFault::NotCommitted(text),
                    });
                }
                tracing::debug!(%text, "a batch is decided again");
                if !is_taken {
                    std::thread::sleep(Duration::from_millis(1 << *count));
                }
                Ok(())
            }
            Trouble::Away(text) => {
                if away >= AWAY_MAX {
                    return Err(StoreFault::NotCommitted(text));
                }
                std::thread::sleep(PAUSE);
                Ok(())
            }
            Trouble::Refused(text) => Err(StoreFault::Constraint(text)),
            Trouble::Lasting(text) => Err(StoreFault::NotCommitted(text)),
        }
    }
}

impl Store for Postgres {
    fn transact(
        &mut self,
        wanted: &Wanted,
        decide: &mut dyn FnMut(Loaded) -> Changes,
    ) -> Result<Commit, StoreFault> {
        let mut patience = Patience { conflicts: 0, taken: 0 };
        loop {
            let trouble = match self.try_once(wanted, decide) {
                Ok(()) => {
                    self.away_since = None;
                    return Ok(Commit::Heard);
                }
                Err(Failed::Before(trouble)) => trouble,
                Err(Failed::Unheard { text, changes }) => {
                    tracing::warn!(%text, "a commit was not answered: it is read back");
                    if self.read_back(&text, &changes)? {
                        return Ok(Commit::ReadBack);
                    }
                    Trouble::Away(text)
                }
            };
            self.after(&trouble);
            patience.wait(trouble, self.away_for())?;
        }
    }

    fn batch_max(&self) -> usize {
        BATCH_MAX
    }

    /// While that cannot be asked, a batch of one merchant is right either way.
    fn is_spread(&mut self) -> bool {
        if self.is_spread.is_none() {
            self.is_spread = self.link.client().and_then(spread::is_spread).ok();
        }
        self.is_spread.unwrap_or(true)
    }

    fn shared_ms(&mut self) -> Result<Option<i64>, StoreFault> {
        let sql = "-- shared_time
            select (extract(epoch from clock_timestamp()) * 1000)::bigint";
        let rows = self.read(sql, &Parameters::new())?;
        let time = rows.first().map(|row| row.integer(0)).transpose();
        time.map_err(|trouble| StoreFault::NotCommitted(trouble.text()))
    }

    fn due(&mut self, now_ms: i64, max: u32) -> Result<Vec<RefundRef>, StoreFault> {
        let sql = "-- due_refunds
            select merchant_id, payment_id, refund_id from refund
            where next_action_at_ms is not null and next_action_at_ms <= $1
            order by next_action_at_ms limit $2";
        let mut due = self.refs(sql, now_ms, max)?;
        let left = max.saturating_sub(u32::try_from(due.len()).unwrap_or(u32::MAX));
        let sql = "-- refunds_beyond_schedule
            select merchant_id, payment_id, refund_id from refund
            where next_action_at_ms is not null and next_action_at_ms > $1
            order by next_action_at_ms desc limit $2";
        let farthest_ms = now_ms.saturating_add(requite_core::schedule::FARTHEST);
        due.extend(self.refs(sql, farthest_ms, left)?);
        self.look_after_growth(now_ms);
        Ok(due)
    }

    /// None: what is under way may be so on another node, which is alive. What a dead one left is
    /// found when its next action time comes.
    fn in_flight(&mut self, _: u32) -> Result<Vec<RefundRef>, StoreFault> {
        Ok(Vec::new())
    }
}

impl Postgres {
    /// One statement by itself.
    fn read(&mut self, sql: &str, parameters: &Parameters<'_>) -> Result<Vec<Row>, StoreFault> {
        let found = self.link.client().and_then(|client| query(client, sql, parameters));
        found.map_err(|trouble| {
            self.after(&trouble);
            StoreFault::NotCommitted(trouble.text())
        })
    }

    /// Refunds on one side of a time, at most `max`.
    fn refs(&mut self, sql: &str, at_ms: i64, max: u32) -> Result<Vec<RefundRef>, StoreFault> {
        let max = i64::from(max);
        let rows = self.read(sql, &vec![(&at_ms, Type::INT8), (&max, Type::INT8)])?;
        let refs: Result<Vec<RefundRef>, Trouble> = rows.iter().map(refund_ref).collect();
        refs.map_err(|trouble| StoreFault::NotCommitted(trouble.text()))
    }

    /// What fails here is tried again: a statement is slower meanwhile, and nothing is wrong.
    fn look_after_growth(&mut self, now_ms: i64) {
        // Whether its machines analyse what lies on them is the Citus's own affair.
        if !self.growth.is_time(now_ms) || self.is_spread() {
            return;
        }
        if let Err(trouble) = self.link.client().and_then(growth::analyse) {
            self.after(&trouble);
            tracing::debug!(text = trouble.text(), "tables were not analysed");
        }
    }

    fn away_for(&self) -> Duration {
        self.away_since.map(|since| since.elapsed()).unwrap_or_default()
    }

    /// A connection on which something went wrong that its transaction cannot explain is not used
    /// again; on any other the transaction is rolled back.
    fn after(&mut self, trouble: &Trouble) {
        let is_sound = matches!(trouble, Trouble::Conflict { .. } | Trouble::Refused(_));
        let is_back =
            is_sound && self.link.client().is_ok_and(|client| client.end(End::RollBack).is_ok());
        if !is_back {
            self.link.drop_connection();
        }
        match trouble {
            Trouble::Away(_) => {
                self.away_since.get_or_insert_with(Instant::now);
            }
            _ => self.away_since = None,
        }
    }
}

fn refund_ref(row: &Row) -> Result<RefundRef, Trouble> {
    Ok(RefundRef {
        merchant: MerchantId::new(row.id(0)?),
        payment: PaymentId::new(row.id(1)?),
        refund: RefundId::new(row.id(2)?),
    })
}
