//! Tables spread over several machines, where the database is Citus: every table with money is cut by
//! merchant, so that all rows of a merchant lie on one machine and a transaction of one merchant stays
//! there. What is looked up before it is known whose it is, is small, and lies on every machine.

use super::link::{Session, Trouble, query};
use super::prepared::Connection;
use super::rows::{Read, Rows, row};

/// Tables that are copied to every machine: people, credentials and accounts, found by a secret, a name
/// or an address.
const COPIED: [&str; 7] =
    ["merchant", "api_key", "key_lookup", "person", "secret", "session", "connector_account"];
/// Say how far the schema is, and whether it is spread. They stay where the program connects to.
const OURS: [&str; 2] = ["requite_schema", "requite_spread"];
/// All others lie where this one does.
const FIRST: &str = "payment";

/// What came of spreading the tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spread {
    /// Cut by merchant now, and not before.
    pub cut: Vec<String>,
    /// Copied to every machine now, and not before.
    pub copied: Vec<String>,
}

/// Has somebody spread this database's tables?
pub(super) fn is_spread(client: &mut Connection) -> Result<bool, Trouble> {
    let sql = "-- is_spread
        select 1 from requite_spread";
    Ok(!query(client, sql, &Vec::new())?.is_empty())
}

/// Spreads every table that is not spread yet, all of them or none.
pub(super) fn spread(client: &mut Connection) -> Result<Spread, Trouble> {
    let has_citus = "-- has_citus
        select case when to_regproc('create_distributed_table') is null then 0::bigint else 1 end";
    let rows = query(client, has_citus, &Vec::new())?;
    if !rows.first().is_some_and(|row| row.flag(0).unwrap_or_default()) {
        let text = "it is no Citus: run `create extension citus` in it first (as its superuser, with \
                    citus among shared_preload_libraries), on every machine";
        return Err(Trouble::Lasting(text.to_owned()));
    }
    let mut session = Session::begin(client, BEGIN)?;
    let sql = "-- unspread_tables
        select t.tablename::text from pg_tables t
        where t.schemaname = current_schema() and t.tablename not in (select * from unnest($1))
        and t.tablename not in
            (select c.relname from pg_dist_partition p join pg_class c on c.oid = p.logicalrelid)
        order by 1";
    let rows = session.select(sql, &Rows::of(OURS.map(|table| row![table])))?;
    let tables = rows.iter().map(|row| row.text(0)).collect::<Result<Vec<_>, _>>()?;
    let (copied, mut cut): (Vec<String>, Vec<String>) =
        tables.into_iter().partition(|table| COPIED.contains(&table.as_str()));
    // The others are laid beside it.
    cut.sort_by_key(|table| table != FIRST);
    let sql = "-- copy_tables
        select create_reference_table(w.name::regclass)::text from unnest($1) as w (name)";
    session.select(sql, &Rows::of(copied.iter().map(|table| row![table])))?;
    let sql = "-- cut_tables
        select create_distributed_table(w.name::regclass, 'merchant_id', colocate_with => w.beside)::text
        from unnest($1, $2) as w (name, beside)";
    let beside = |table: &str| if table == FIRST { "none" } else { FIRST };
    session.select(sql, &Rows::of(cut.iter().map(|table| row![table, beside(table)])))?;
    let sql = "-- insert_spread
        insert into requite_spread values (1) on conflict do nothing";
    session.run(sql)?;
    session.commit()?;
    Ok(Spread { cut, copied })
}

/// One machine after the other: the tables of one transaction are spread over the same connections.
/// Whoever changes the schema meanwhile waits.
const BEGIN: &str = "begin isolation level read committed;
    set local citus.multi_shard_modify_mode = 'sequential';
    select version from requite_schema for update";
