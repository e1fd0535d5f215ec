//! A connection, and the statements that it keeps prepared: planning takes longer than most of them run.
//!
//! A pooler may run any two transactions of a connection in different sessions of the database, and a
//! session for several clients in turn. So nothing is believed of a session that is not proven in the
//! transaction itself: a new connection leaves a mark of its own in its session, each transaction reads
//! the mark as it begins, and only where it is this connection's are statements prepared and prepared ones
//! used. Elsewhere, and outside of transactions, they are sent whole and without a name. A name that
//! another client of the session has taken, or has let go of, is an error and never another statement;
//! after it this connection prepares nothing any more.
//!
//! A plan is good for tables as large as they were when it was made: of an empty table all is read. So
//! plans are made anew while a connection is young, and now and then later ([`is_time_to_plan`]).

use std::collections::HashMap;

use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Config, Row, SimpleQueryMessage, Statement};

use super::client::{Client, Sent};
use super::link::Trouble;
use super::rows::Parameters;

/// More than there are statements that are sent again and again.
const STATEMENTS_MAX: usize = 128;
/// Marks the session, and says with what.
const MARK: &str = "-- mark
    select set_config('requite.connection', gen_random_uuid()::text, false)";
/// A connection's plans are made anew after so many transactions at the latest.
const PLANNED_EVERY: u64 = 16_384;
/// From its so manieth transaction on they are made anew whenever their number has doubled.
const PLANNED_FIRST: u64 = 16;
/// The mark of the session that a transaction runs in; empty where there is none.
const MARKED: &str = "-- marked
    select current_setting('requite.connection', true)";

/// A statement with its parameters.
pub(super) type Asked<'s> = (&'s str, &'s Parameters<'s>);

/// A connection to a database.
pub(in crate::store) struct Connection {
    client: Client,
    /// What its session was marked with. `None`: nothing is prepared.
    mark: Option<String>,
    /// Does the transaction that is open run in the marked session?
    is_marked: bool,
    transactions: u64,
    statements: HashMap<String, Statement>,
}

impl Connection {
    pub(super) fn open(config: &Config) -> Result<Connection, Trouble> {
        let client = Client::connect(config)?;
        let mark = text(&client.simple_query(MARK)?);
        let statements = HashMap::new();
        Ok(Connection { client, mark, is_marked: false, transactions: 0, statements })
    }

    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Begins a transaction. `limits` are its settings.
    pub(super) fn begin(&mut self, limits: &str) -> Result<(), Trouble> {
        self.is_marked = false;
        self.transactions = self.transactions.saturating_add(1);
        let plans = if is_time_to_plan(self.transactions) { "discard plans;\n" } else { "" };
        let found = text(&self.client.simple_query(&format!("{limits};\n{plans}{MARKED}"))?);
        self.is_marked = self.mark.is_some() && found == self.mark;
        Ok(())
    }

    /// Ends a transaction.
    pub(super) fn end(&mut self, how: End) -> Result<(), Trouble> {
        self.is_marked = false;
        Ok(self.client.batch_execute(match how {
            End::Commit => "commit",
            End::RollBack => "rollback",
        })?)
    }

    /// Statements without parameters, in one go.
    pub(super) fn run(&mut self, sql: &str) -> Result<(), tokio_postgres::Error> {
        self.client.batch_execute(sql)
    }

    /// All rows of a statement.
    pub(super) fn query(
        &mut self,
        sql: &str,
        parameters: &Parameters<'_>,
    ) -> Result<Vec<Row>, Trouble> {
        Ok(self.query_all(&[(sql, parameters)])?.pop().unwrap_or_default())
    }

    /// All rows of each statement, which are sent together.
    pub(super) fn query_all(&mut self, asked: &[Asked<'_>]) -> Result<Vec<Vec<Row>>, Trouble> {
        let done = self.sent(asked).and_then(|sent| self.client.query(&sent));
        done.map_err(|cause| self.trouble(cause))
    }

    /// Runs a statement that gives no rows back. How many rows it changed.
    pub(super) fn execute(
        &mut self,
        sql: &str,
        parameters: &Parameters<'_>,
    ) -> Result<u64, Trouble> {
        Ok(self.execute_all(&[(sql, parameters)])?.pop().unwrap_or_default())
    }

    /// Runs statements that give no rows back, sent together. How many rows each changed.
    pub(super) fn execute_all(&mut self, asked: &[Asked<'_>]) -> Result<Vec<u64>, Trouble> {
        let done = self.sent(asked).and_then(|sent| self.client.execute(&sent));
        done.map_err(|cause| self.trouble(cause))
    }

    /// The statements as they are sent: prepared, unless they must be sent whole.
    fn sent<'s>(&mut self, asked: &[Asked<'s>]) -> Result<Vec<Sent<'s>>, tokio_postgres::Error> {
        let sent = asked.iter().map(|&(sql, parameters)| {
            Ok(match self.prepared(sql, parameters)? {
                Some(statement) => Sent::Prepared(statement, values(parameters)),
                None => Sent::Whole(sql, parameters),
            })
        });
        sent.collect()
    }

    fn prepared(
        &mut self,
        sql: &str,
        parameters: &Parameters<'_>,
    ) -> Result<Option<Statement>, tokio_postgres::Error> {
        if !self.is_marked {
            return Ok(None);
        }
        if let Some(statement) = self.statements.get(sql) {
            return Ok(Some(statement.clone()));
        }
        if self.statements.len() >= STATEMENTS_MAX {
            return Ok(None);
        }
        let types: Vec<Type> = parameters.iter().map(|(_, kind)| kind.clone()).collect();
        let statement = self.client.prepare(sql, &types)?;
        self.statements.insert(sql.to_owned(), statement.clone());
        Ok(Some(statement))
    }

    fn trouble(&mut self, cause: tokio_postgres::Error) -> Trouble {
        // 0A000: a table has changed so much that a statement's rows are others.
        let not_ours = [
            SqlState::DUPLICATE_PSTATEMENT,
            SqlState::INVALID_SQL_STATEMENT_NAME,
            SqlState::FEATURE_NOT_SUPPORTED,
        ];
        let is_named = self.is_marked && cause.code().is_some_and(|code| not_ours.contains(code));
        if !is_named {
            return Trouble::from(cause);
        }
        tracing::warn!(%cause, "another client of the session prepares statements: this one does not");
        self.mark = None;
        self.statements.clear();
        Trouble::Conflict { text: Trouble::from(cause).text(), is_taken: false }
    }
}

/// A table cannot grow out of the size that its plans were made for much faster than it is written to.
fn is_time_to_plan(transactions: u64) -> bool {
    let has_doubled = transactions >= PLANNED_FIRST && transactions.is_power_of_two();
    has_doubled || transactions.is_multiple_of(PLANNED_EVERY)
}

/// How a transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Commit,
    RollBack,
}

fn values<'p>(parameters: &Parameters<'p>) -> Vec<&'p (dyn ToSql + Sync)> {
    parameters.iter().map(|(value, _)| *value).collect()
}

/// The one value that was asked for last.
fn text(messages: &[SimpleQueryMessage]) -> Option<String> {
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.try_get(0).ok().flatten(),
        _ => None,
    });
    rows.last().filter(|text| !text.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use requite_cluster::Cluster;

    use super::{Connection, End, PLANNED_FIRST};
    use crate::store::postgres::link::Trouble;
    use crate::store::postgres::rows::Parameters;

    const BEGIN: &str = "begin isolation level read committed";
    const NAMES: &str = "select name from pg_prepared_statements";

    fn connection() -> Connection {
        let address = Cluster::shared().database();
        let config = address.parse().expect("an address");
        Connection::open(&crate::store::postgres::link::prepared(config))
            .expect("the cluster answers")
    }

    /// One transaction with one statement: how many statements its session has prepared.
    fn prepared(connection: &mut Connection) -> Result<usize, Trouble> {
        connection.begin(BEGIN)?;
        let names = connection.query(NAMES, &Parameters::new())?;
        connection.end(End::Commit)?;
        Ok(names.len())
    }

    #[test]
    fn statements_are_prepared_once_and_only_within_transactions() {
        let mut connection = connection();
        let outside = connection.query(NAMES, &Parameters::new()).expect("readable");
        assert!(outside.is_empty() && connection.statements.is_empty());
        for _ in 0..3 {
            assert_eq!(prepared(&mut connection).expect("readable"), 1);
        }
    }

    #[test]
    fn plans_of_a_table_that_was_empty_do_not_last() {
        let mut connection = connection();
        let sql = "create table t (n bigint primary key); vacuum analyze t";
        for statement in sql.split(';') {
            connection.run(statement).expect("a new table");
        }
        let sql = "explain (costs off) execute one (1)";
        let plan = |connection: &mut Connection| {
            connection.begin(BEGIN).expect("a transaction");
            let rows = connection.query(sql, &Parameters::new()).expect("a plan");
            connection.end(End::Commit).expect("committed");
            rows.iter().map(|row| row.get::<_, String>(0)).collect::<String>()
        };
        connection.run("set plan_cache_mode = force_generic_plan").expect("a setting");
        connection.run("prepare one (bigint) as select n from t where n = $1").expect("prepared");
        assert!(plan(&mut connection).contains("Seq Scan"), "an empty table is read whole");
        connection.run("insert into t select generate_series(1, 50000)").expect("rows");
        for _ in 0..PLANNED_FIRST {
            plan(&mut connection);
        }
        assert!(plan(&mut connection).contains("Index"), "a large one is not");
    }

    #[test]
    fn in_another_session_than_the_marked_one_nothing_is_prepared_or_called_by_its_name() {
        let mut connection = connection();
        assert_eq!(prepared(&mut connection).expect("readable"), 1);
        // Another session: neither our mark nor our statements; and then one with another's mark.
        for other in ["discard all", "set requite.connection = 'another'"] {
            connection.run(other).expect("a session of one's own");
            assert_eq!(prepared(&mut connection).expect("readable"), 0);
        }
    }

    #[test]
    fn a_name_that_another_client_took_or_let_go_of_is_never_another_statement() {
        let mut connection = connection();
        assert_eq!(prepared(&mut connection).expect("readable"), 1);
        connection.run("deallocate all").expect("a session of one's own");
        let gone = prepared(&mut connection);
        assert!(matches!(gone, Err(Trouble::Conflict { is_taken: false, .. })), "{gone:?}");
        connection.end(End::RollBack).expect("it can be rolled back");
        assert_eq!(prepared(&mut connection).expect("readable"), 0);

        let mut connection = self::connection();
        // The client's names are numbers in a row: all that it may come to are taken.
        for number in 0..2_000 {
            connection.run(&format!("prepare s{number} as select 1")).expect("a free name");
        }
        let taken = prepared(&mut connection);
        assert!(matches!(taken, Err(Trouble::Conflict { is_taken: false, .. })), "{taken:?}");
        connection.end(End::RollBack).expect("it can be rolled back");
        assert_eq!(prepared(&mut connection).expect("readable"), 2_000);
    }
}
