//! A connection that is made anew when it broke, and what its failures mean.
//!
//! Statements are sent with their types. Which of them the database keeps is [`super::prepared`]'s.

use std::time::{Duration, Instant};

use tokio_postgres::config::TargetSessionAttrs;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Config, Row};

use super::prepared::{Asked, Connection, End};
use super::rows::{Parameters, Rows};
use super::tls;
use crate::fault::{self, Point, Struck};

/// How long it may take to reach the database.
const CONNECT_MAX: Duration = Duration::from_secs(2);
/// How long what was sent may stay unconfirmed before the connection counts as broken.
const UNCONFIRMED_MAX: Duration = Duration::from_secs(10);
/// While the database is away it is tried this often; in between the answer is at once.
const RETRY_EVERY: Duration = Duration::from_millis(100);

/// Why a transaction did not come to its end.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Rolled back because of another transaction: the same again may succeed. A row that another
    /// transaction wrote first counts as such, for the next try will see it.
    Conflict { text: String, is_taken: bool },
    /// The database, or the way to it, went away. Nothing is committed, unless it went away during
    /// the commit.
    Away(String),
    /// Refused, and it would be again: a constraint, or a value that cannot be stored.
    Refused(String),
    /// Rolled back for another reason.
    Lasting(String),
}

impl Trouble {
    pub(super) fn text(self) -> String {
        match self {
            Trouble::Conflict { text, .. }
            | Trouble::Away(text)
            | Trouble::Refused(text)
            | Trouble::Lasting(text) => text,
        }
    }
}

impl From<tokio_postgres::Error> for Trouble {
    fn from(cause: tokio_postgres::Error) -> Trouble {
        let text = chain(&cause);
        let Some(code) = cause.code() else {
            // Not from the server: the connection is gone, or it answered what nobody understands.
            return Trouble::Away(text);
        };
        let class = code.code().get(..2).unwrap_or_default();
        let is = |codes: &[SqlState]| codes.contains(code);
        match class {
            "40" => Trouble::Conflict { text, is_taken: false },
            "23" if is(&[SqlState::UNIQUE_VIOLATION]) => Trouble::Conflict { text, is_taken: true },
            "22" | "23" => Trouble::Refused(text),
            "08" | "53" => Trouble::Away(text),
            "57" if !is(&[SqlState::QUERY_CANCELED]) => Trouble::Away(text),
            // An old primary, a pooler in front of one, or a session that slept in a transaction.
            _ if is(&[
                SqlState::READ_ONLY_SQL_TRANSACTION,
                SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
            ]) =>
            {
                Trouble::Away(text)
            }
            _ => Trouble::Lasting(text),
        }
    }
}

impl From<Struck> for Trouble {
    /// As if the connection broke there.
    fn from(cause: Struck) -> Trouble {
        Trouble::Away(cause.to_string())
    }
}

/// An error with its causes.
pub(super) fn chain(cause: &tokio_postgres::Error) -> String {
    let code = cause.code().map(|code| format!(" ({})", code.code()));
    let mut text = format!("{cause}{}", code.unwrap_or_default());
    let mut source = std::error::Error::source(cause);
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

/// With what an address leaves open: limits, encryption, and who we are.
pub(super) fn prepared(mut config: Config) -> Config {
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT_MAX);
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(UNCONFIRMED_MAX);
    }
    if config.get_application_name().is_none() {
        config.application_name("requite");
    }
    tls::settle(&mut config);
    // After a failover the old primary may answer still, and must not be believed.
    config.target_session_attrs(TargetSessionAttrs::ReadWrite);
    config
}

/// The way to a database. Connects when it is first used.
pub(super) struct Link {
    config: Config,
    client: Option<Connection>,
    /// When it was last tried in vain, and what came of it.
    away: Option<(Instant, String)>,
}

impl Link {
    pub(super) fn new(config: Config) -> Link {
        Link { config: prepared(config), client: None, away: None }
    }

    /// The connection, made anew where it broke.
    pub(super) fn client(&mut self) -> Result<&mut Connection, Trouble> {
        if self.client.as_ref().is_some_and(Connection::is_closed) {
            self.client = None;
        }
        if self.client.is_none() {
            self.connect()?;
        }
        self.client.as_mut().ok_or_else(|| Trouble::Away("no connection".to_owned()))
    }

    fn connect(&mut self) -> Result<(), Trouble> {
        if let Some((since, text)) = &self.away
            && since.elapsed() < RETRY_EVERY
        {
            return Err(Trouble::Away(text.clone()));
        }
        match Connection::open(&self.config) {
            Ok(client) => {
                self.away = None;
                self.client = Some(client);
                Ok(())
            }
            Err(trouble) => {
                let text = trouble.text();
                self.away = Some((Instant::now(), text.clone()));
                Err(Trouble::Away(text))
            }
        }
    }

    /// Never uses this connection again: nobody knows what it would do.
    pub(super) fn drop_connection(&mut self) {
        self.client = None;
    }
}

/// One transaction's statements.
pub(super) struct Session<'a> {
    client: &'a mut Connection,
}

impl<'a> Session<'a> {
    /// Begins. `limits` are settings of this one transaction.
    pub(super) fn begin(client: &'a mut Connection, limits: &str) -> Result<Session<'a>, Trouble> {
        fault::attempt(Point::StoreBegin)?;
        client.begin(limits)?;
        Ok(Session { client })
    }

    /// Rows that match those wanted. Nothing wanted, nothing asked.
    pub(super) fn select(&mut self, sql: &str, wanted: &Rows<'_>) -> Result<Vec<Row>, Trouble> {
        Ok(self.select_all(&[(sql, wanted)])?.pop().unwrap_or_default())
    }

    /// [`Session::select`] of each, in this order, on one way there and back.
    pub(super) fn select_all(
        &mut self,
        asked: &[(&str, &Rows<'_>)],
    ) -> Result<Vec<Vec<Row>>, Trouble> {
        let wanted: Vec<(&str, Parameters<'_>)> =
            asked.iter().map(|(sql, rows)| (*sql, rows.parameters())).collect();
        let asked: Vec<Asked<'_>> = wanted
            .iter()
            .filter(|(_, parameters)| !parameters.is_empty())
            .map(|(sql, parameters)| (*sql, parameters))
            .collect();
        asked.iter().try_for_each(|_| fault::attempt(Point::StoreRead))?;
        let mut found = self.client.query_all(&asked)?.into_iter();
        let is_asked = wanted.iter().map(|(_, parameters)| !parameters.is_empty());
        Ok(is_asked
            .map(|is_asked| if is_asked { found.next().unwrap_or_default() } else { Vec::new() })
            .collect())
    }

    /// Runs all of them on one way there and back. One whose rows were not as they were read rolls back
    /// the transaction.
    pub(super) fn write(&mut self, writes: &Writes<'_>) -> Result<(), Trouble> {
        let parameters: Vec<Parameters<'_>> =
            writes.0.iter().map(|write| write.rows.parameters()).collect();
        let asked: Vec<Asked<'_>> =
            writes.0.iter().zip(&parameters).map(|(write, rows)| (write.sql, rows)).collect();
        asked.iter().try_for_each(|_| fault::attempt(Point::StoreWrite))?;
        let written = self.client.execute_all(&asked)?;
        writes.0.iter().zip(written).try_for_each(|(write, written)| write.check(written))
    }

    /// Statements without parameters, in one go.
    pub(super) fn run(&mut self, sql: &str) -> Result<(), Trouble> {
        Ok(self.client.run(sql)?)
    }

    pub(super) fn commit(self) -> Result<(), Trouble> {
        fault::attempt(Point::StoreCommit)?;
        self.client.end(End::Commit)?;
        Ok(fault::attempt(Point::StoreCommitted)?)
    }

    pub(super) fn roll_back(self) -> Result<(), Trouble> {
        self.client.end(End::RollBack)
    }
}

/// A statement with parameters that are no rows.
pub(super) fn query(
    client: &mut Connection,
    sql: &str,
    parameters: &Parameters<'_>,
) -> Result<Vec<Row>, Trouble> {
    client.query(sql, parameters)
}

/// Statements that write rows, in order.
#[derive(Default)]
pub(super) struct Writes<'c>(Vec<Write<'c>>);

struct Write<'c> {
    sql: &'static str,
    rows: Rows<'c>,
    /// Some of its rows may be there already.
    is_some: bool,
}

impl<'c> Writes<'c> {
    /// Writes all rows, or none: one row that is not written rolls back the transaction.
    pub(super) fn all(&mut self, sql: &'static str, rows: Rows<'c>) {
        self.push(Write { sql, rows, is_some: false });
    }

    /// Writes rows, of which some may be there already.
    pub(super) fn some(&mut self, sql: &'static str, rows: Rows<'c>) {
        self.push(Write { sql, rows, is_some: true });
    }

    fn push(&mut self, write: Write<'c>) {
        if write.rows.len() > 0 {
            self.0.push(write);
        }
    }
}

impl Write<'_> {
    fn check(&self, written: u64) -> Result<(), Trouble> {
        if self.is_some || written == u64::try_from(self.rows.len()).unwrap_or(u64::MAX) {
            return Ok(());
        }
        let name = self.sql.lines().next().unwrap_or_default().trim_start_matches("-- ");
        let text = format!("{name}: {written} of {} rows were as they were read", self.rows.len());
        Err(Trouble::Conflict { text, is_taken: true })
    }
}
