//! What `./bench` measures besides the server itself, one measurement a run, its result as one JSON
//! object on standard output. Ratios, tables and plots are the driver's (`speed/driver`); times here
//! are whole nanoseconds.
//!
//! - `fill` registers payments whose ids can be computed from their number ([`payment`]).
//! - `lane` feeds refunds to a lane, without HTTP ([`lane`]).
//! - `rows` writes the rows of as many refunds and does nothing else: the lane's limit ([`rows`]).
//! - `reference` serves the reference points of the whole path ([`reference`], [`naive`]).

mod books;
mod lane;
mod naive;
mod payment;
mod reference;
mod rows;

use std::net::SocketAddr;
use std::ops::Range;

use anyhow::Context;
use clap::{Args, Parser};

use crate::books::Books;

/// As the server has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// One measurement of `./bench`.
#[derive(Debug, Parser)]
enum Line {
    /// Register payments, from one number up to another
    Fill {
        #[command(flatten)]
        books: Books,
        #[arg(long, default_value_t = 0)]
        from: u64,
        #[arg(long)]
        until: u64,
        /// Who pays their refunds
        #[arg(long, default_value = "manual")]
        connector: String,
    },
    /// Refund through the lane
    Lane {
        #[command(flatten)]
        books: Books,
        #[command(flatten)]
        work: Work,
    },
    /// Write the rows that such refunds write
    Rows {
        #[command(flatten)]
        books: Books,
        #[command(flatten)]
        work: Work,
    },
    /// Serve the reference points
    Reference {
        #[arg(long)]
        listen: SocketAddr,
        /// Database of the one that is built as usual: postgres://...
        #[arg(long)]
        naive: Option<String>,
    },
}

/// Which refunds of which payments.
#[derive(Clone, Copy, Debug, Args)]
struct Work {
    /// Payments that are there, from number 0
    #[arg(long)]
    payments: u64,
    #[arg(long)]
    refunds: u64,
    /// Refunds in one transaction
    #[arg(long, default_value_t = 64)]
    batch: u64,
    /// Refunds that were made before with these payments: ids and keys begin there
    #[arg(long, default_value_t = 0)]
    start: u64,
    /// All of them of one payment
    #[arg(long)]
    hot: bool,
}

impl Work {
    /// One part for each lane, and one alone where all refunds are of one payment.
    fn parts(self, lanes: u64) -> Vec<Work> {
        let lanes = if self.hot { 1 } else { lanes.clamp(1, self.refunds.max(1)) };
        let share = self.refunds.div_ceil(lanes);
        let part = |number| {
            let before = self.refunds.min(share * number);
            let refunds = share.min(self.refunds - before);
            Work { start: self.start + before, refunds, ..self }
        };
        (0..lanes).map(part).collect()
    }

    /// Numbers of the refunds of each transaction.
    fn batches(self) -> impl Iterator<Item = Range<u64>> {
        let end = self.start + self.refunds;
        let count = self.refunds.div_ceil(self.batch.max(1));
        let first = move |number| end.min(self.start + self.batch * number);
        (0..count).map(move |number| first(number)..first(number + 1))
    }

    /// The payment that a refund is of: spread over all of them, or always the same.
    fn payment_of(&self, refund: u64) -> u64 {
        if self.hot { 0 } else { payment::spread(refund, self.payments) }
    }
}

fn main() -> anyhow::Result<()> {
    let result = match Line::parse() {
        Line::Fill { books, from, until, connector } => {
            lane::fill(&books, from..until, &connector).context("payments were not registered")?
        }
        Line::Lane { books, work } => lane::refund(&books, work)?,
        Line::Rows { books, work } => rows::write(&books, work)?,
        Line::Reference { listen, naive } => return reference::serve(listen, naive.as_deref()),
    };
    println!("{result}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use requite_cluster::Cluster;
    use requite_core::id::MerchantId;
    use requite_engine::audit::Report;
    use requite_engine::store::{postgres, sqlite};

    use super::*;
    use crate::books::Place;

    const PAYMENTS: u64 = 50;

    fn work(start: u64) -> Work {
        Work { payments: PAYMENTS, refunds: 20, batch: 8, start, hot: false }
    }

    /// Sixty refunds of which the audit knows forty and one.
    fn measured(database: &str, audit: impl Fn() -> Report, count: impl Fn(&str) -> i64) {
        let database: Place = database.parse().expect("an address");
        let books = Books { database, merchant: MerchantId::new(1) };
        lane::fill(&books, 0..PAYMENTS, "manual").expect("payments are registered");
        for start in [0, 20] {
            let done = lane::refund(&books, work(start)).expect("refunds are made");
            assert_eq!(done["refunds"], 20);
        }
        assert_eq!(audit().violations, Vec::new());
        let done = rows::write(&books, work(40)).expect("rows are written");
        assert_eq!(done["refunds"], 20);
        for (table, rows) in [("refund", 61), ("event", 2 * 50 + 2 * 61), ("idempotency", 61)] {
            assert_eq!(count(&format!("select count(*) from {table}")), rows, "{table}");
        }
    }

    #[test]
    fn the_lane_and_the_loop_write_refunds_that_the_audit_can_count() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("speed.db");
        let audit = || sqlite::audit(&path, &mut |_, _| ()).expect("readable");
        measured(&format!("sqlite:{}", path.display()), audit, |sql| {
            let connection = rusqlite::Connection::open(&path).expect("our own file");
            connection.query_row(sql, [], |row| row.get(0)).expect("a number")
        });
        let address = Cluster::shared().database();
        let place = postgres::Address::parse(&address).expect("an address");
        let audit = || postgres::audit(&place, &mut |_, _| ()).expect("readable");
        measured(&address, audit, |sql| {
            let client = ::postgres::Client::connect(&address, ::postgres::NoTls);
            client.expect("the cluster answers").query_one(sql, &[]).expect("a row").get(0)
        });
    }

    #[test]
    fn refunds_are_spread_over_all_payments_before_one_comes_again() {
        for payments in [1, 10, 1_000, 7_919] {
            let mut seen: Vec<u64> = (0..payments).map(|n| payment::spread(n, payments)).collect();
            seen.sort_unstable();
            assert_eq!(seen, (0..payments).collect::<Vec<u64>>());
        }
    }

    #[test]
    fn lanes_share_all_refunds_and_none_is_made_twice() {
        for (refunds, batch, lanes) in [(20, 8, 2), (7, 3, 2), (1, 64, 2), (5, 1, 1)] {
            let whole = Work { payments: 9, refunds, batch, start: 100, hot: false };
            let parts = whole.parts(lanes);
            let numbers = parts.iter().flat_map(|part| part.batches().flatten());
            assert!(numbers.eq(100..100 + refunds));
        }
    }
}
