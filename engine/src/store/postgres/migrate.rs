//! The schema: brought up to date by whichever process comes first.
//!
//! One row says how far it is. Whoever wants to change it locks that row, so of three servers that
//! start at once one does the work and two find it done; and as PostgreSQL takes schema changes back
//! like anything else, one that dies half-way has done nothing.

use std::time::Duration;

use tokio_postgres::Config;

use super::link::{Link, Session, Trouble, Writes, query};
use super::prepared::Connection;
use super::rows::{Read, Rows, row};
use super::spread::{self, Spread};

/// Schema changes in order. Append only.
const MIGRATIONS: &[&str] = &[
    include_str!("../../../migrations/postgres/0001_first.sql"),
    include_str!("../../../migrations/postgres/0002_outbox.sql"),
    include_str!("../../../migrations/postgres/0003_spread.sql"),
    include_str!("../../../migrations/postgres/0004_cancel.sql"),
    include_str!("../../../migrations/postgres/0005_nearness.sql"),
    include_str!("../../../migrations/postgres/0006_book.sql"),
    include_str!("../../../migrations/postgres/0007_fewer_rows.sql"),
    include_str!("../../../migrations/postgres/0008_change.sql"),
];

/// How often the first table is tried to be made: processes that make it at once refuse each other.
const TRIES_MAX: u32 = 10;
/// Distance between these tries.
const PAUSE: Duration = Duration::from_millis(20);

/// How often a database is tried that is away.
const AWAY_TRIES_MAX: u32 = 4;
/// Distance between these tries: longer than a link waits before it tries again.
const AWAY_PAUSE: Duration = Duration::from_millis(150);

/// Why a database cannot be used. The texts are for operators.
#[derive(Debug, thiserror::Error)]
pub enum OpenFault {
    #[error("{0:?} is no address of a PostgreSQL database: {1}")]
    Address(String, String),
    #[error("the database cannot be reached: {0}")]
    Away(String),
    #[error(
        "the database has tables of another program: use an empty database, or a schema of its own"
    )]
    Foreign,
    #[error(
        "the database has schema {found}, this program knows up to {known}: use the newer program"
    )]
    Newer { found: usize, known: usize },
    #[error("the database cannot be used: {0}")]
    Unusable(String),
}

/// Brings the schema up to date and checks what the database promises.
pub(super) fn migrate(config: &Config) -> Result<(), OpenFault> {
    let mut link = Link::new(config.clone());
    let mut tries = 0_u32;
    loop {
        let done = link.client().and_then(|client| {
            check_promises(client)?;
            bring_up(client)
        });
        if done.is_err() {
            // What it had begun ends with it.
            link.drop_connection();
        }
        tries = tries.saturating_add(1);
        match done {
            Ok(found) if found > MIGRATIONS.len() => {
                return Err(OpenFault::Newer { found, known: MIGRATIONS.len() });
            }
            Ok(_) => return Ok(()),
            Err(Trouble::Conflict { .. }) if tries < TRIES_MAX => std::thread::sleep(PAUSE),
            // A server that starts while others do, or while its database does, finds it slow or full.
            Err(Trouble::Away(_)) if tries < AWAY_TRIES_MAX => std::thread::sleep(AWAY_PAUSE),
            Err(Trouble::Away(text)) => return Err(OpenFault::Away(text)),
            Err(trouble) => {
                let text = trouble.text();
                // 42P07: a table of that name is there, and not by our doing.
                let is_foreign = text.contains("(42P07)");
                return Err(if is_foreign {
                    OpenFault::Foreign
                } else {
                    OpenFault::Unusable(text)
                });
            }
        }
    }
}

/// See [`super::Address::spread`].
pub(super) fn spread(config: &Config) -> Result<Spread, OpenFault> {
    let mut link = Link::new(config.clone());
    link.client().and_then(spread::spread).map_err(|trouble| match trouble {
        Trouble::Away(text) => OpenFault::Away(text),
        trouble => OpenFault::Unusable(trouble.text()),
    })
}

/// The number of the schema's newest change.
fn bring_up(client: &mut Connection) -> Result<usize, Trouble> {
    let sql = "-- has_schema_table
        select case when to_regclass('requite_schema') is null then 0::bigint else 1::bigint end";
    let rows = query(client, sql, &Vec::new())?;
    if !rows.first().is_some_and(|row| row.flag(0).unwrap_or_default()) {
        // `if not exists` is no help against another process at the same moment: then one of the
        // two is refused, and tries again.
        let made = client.run(
            "-- make_schema_table
            create table if not exists requite_schema (
                only_row bigint primary key check (only_row = 1),
                version bigint not null);
            insert into requite_schema values (1, 0) on conflict do nothing",
        );
        made.map_err(|cause| match Trouble::from(cause) {
            Trouble::Away(text) => Trouble::Away(text),
            other => Trouble::Conflict { text: other.text(), is_taken: true },
        })?;
    }
    let mut session = Session::begin(client, "begin isolation level read committed")?;
    let sql = "-- lock_schema
        select s.version from unnest($1) as w (only_row)
        join requite_schema s on s.only_row = w.only_row for update of s";
    let rows = session.select(sql, &Rows::of([row![1_i64]]))?;
    let version = rows.first().map_or(Ok(0), |row| row.count(0))?;
    let found = usize::try_from(version).unwrap_or(usize::MAX);
    if found >= MIGRATIONS.len() {
        session.roll_back()?;
        return Ok(found);
    }
    for sql in MIGRATIONS.iter().skip(found) {
        session.run(sql)?;
    }
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    let sql = "-- update_schema
        update requite_schema s set version = n.version
        from unnest($1, $2) as n (only_row, version) where s.only_row = n.only_row";
    let mut writes = Writes::default();
    writes.all(sql, Rows::of([row![1_i64, known]]));
    session.write(&writes)?;
    session.commit()?;
    if spread::is_spread(client)? {
        spread::spread(client)?;
    }
    Ok(MIGRATIONS.len())
}

/// A commit that was answered must be on disk, and texts must be kept as they are.
fn check_promises(client: &mut Connection) -> Result<(), Trouble> {
    let sql = "-- settings
        select current_setting('synchronous_commit'), current_setting('server_encoding')";
    let rows = query(client, sql, &Vec::new())?;
    let Some(row) = rows.first() else {
        return Ok(());
    };
    if row.text(0)? == "off" {
        let text = "synchronous_commit is off: a refund that was answered could be lost";
        return Err(Trouble::Lasting(text.to_owned()));
    }
    let encoding = row.text(1)?;
    if encoding != "UTF8" {
        return Err(Trouble::Lasting(format!("its encoding is {encoding}, and must be UTF8")));
    }
    Ok(())
}
