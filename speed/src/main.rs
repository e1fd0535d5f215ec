//! What `./bench` measures besides the server itself, one measurement a run, its result as one JSON
//! object on standard output. Ratios, tables and plots are the driver's (`speed/driver`); times here
//! are whole nanoseconds.
//!
//! - `fill` registers payments whose ids can be computed from their number ([`payment`]).
//! - `lane` feeds refunds to a lane, without HTTP ([`lane`]).
//! - `rows` writes the rows of as many refunds and does nothing else: the lane's limit ([`rows`]).
//! - `reference` serves the reference points of the whole path ([`reference`]).

mod lane;
mod payment;
mod reference;
mod rows;

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, Parser};
use requite_core::id::{MerchantId, parse_uuid};

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
    /// Serve a reference point
    Reference {
        #[arg(long)]
        listen: SocketAddr,
    },
}

#[derive(Debug, Args)]
struct Books {
    /// Where everything is kept: sqlite:PATH
    #[arg(long)]
    database: String,
    /// The merchant's id, a UUID
    #[arg(long, value_parser = merchant)]
    merchant: MerchantId,
}

impl Books {
    fn path(&self) -> anyhow::Result<PathBuf> {
        match self.database.strip_prefix("sqlite:") {
            Some(path) => Ok(PathBuf::from(path)),
            None => bail!("--database {}: must be sqlite:PATH", self.database),
        }
    }
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
    /// The payment that a refund is of: spread over all of them, or always the same.
    fn payment_of(&self, refund: u64) -> u64 {
        if self.hot { 0 } else { payment::spread(refund, self.payments) }
    }
}

fn merchant(text: &str) -> Result<MerchantId, String> {
    parse_uuid(text).map(MerchantId::new).ok_or_else(|| "must be a UUID".to_owned())
}

fn main() -> anyhow::Result<()> {
    let result = match Line::parse() {
        Line::Fill { books, from, until, connector } => {
            lane::fill(&books, from..until, &connector).context("payments were not registered")?
        }
        Line::Lane { books, work } => lane::refund(&books, work)?,
        Line::Rows { books, work } => rows::write(&books, work)?,
        Line::Reference { listen } => return reference::serve(listen),
    };
    println!("{result}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAYMENTS: u64 = 50;

    fn books(folder: &tempfile::TempDir) -> Books {
        let database = format!("sqlite:{}", folder.path().join("speed.db").display());
        let books = Books { database, merchant: MerchantId::new(1) };
        lane::fill(&books, 0..PAYMENTS, "manual").expect("payments are registered");
        books
    }

    fn work(start: u64) -> Work {
        Work { payments: PAYMENTS, refunds: 20, batch: 8, start, hot: false }
    }

    #[test]
    fn the_lane_and_the_loop_write_refunds_that_the_audit_can_count() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let books = books(&folder);
        for start in [0, 20] {
            let done = lane::refund(&books, work(start)).expect("refunds are made");
            assert_eq!(done["refunds"], 20);
        }
        let path = books.path().expect("a file");
        let report = requite_engine::store::sqlite::audit(&path, &mut |_, _| ()).expect("readable");
        assert_eq!(report.violations, Vec::new());
        let done = rows::write(&books, work(40)).expect("rows are written");
        assert_eq!(done["refunds"], 20);
        let connection = rusqlite::Connection::open(path).expect("our own file");
        for (table, rows) in [("refund", 61), ("event", 2 * 50 + 2 * 61), ("idempotency", 61)] {
            let sql = format!("select count(*) from {table}");
            let found: i64 = connection.query_row(&sql, [], |row| row.get(0)).expect("a number");
            assert_eq!(found, rows, "{table}");
        }
    }

    #[test]
    fn refunds_are_spread_over_all_payments_before_one_comes_again() {
        for payments in [1, 10, 1_000, 7_919] {
            let mut seen: Vec<u64> = (0..payments).map(|n| payment::spread(n, payments)).collect();
            seen.sort_unstable();
            assert_eq!(seen, (0..payments).collect::<Vec<u64>>());
        }
    }
}
