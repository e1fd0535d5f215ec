//! Stores for tests that run on either database: `TEST_DATABASE=postgres` chooses.

use std::path::Path;

use postgres::{Client, NoTls, SimpleQueryMessage};

use crate::Cluster;

/// Do this process's tests run on PostgreSQL?
pub fn is_postgres() -> bool {
    std::env::var("TEST_DATABASE").is_ok_and(|chosen| chosen == "postgres")
}

/// The address of a store that is not there yet, as `--database` has it: a file in `folder`, or an
/// empty database of the cluster that this process's tests share.
///
/// # Panics
/// When there is no cluster.
pub fn new_store(folder: &Path) -> String {
    if is_postgres() {
        return Cluster::shared().database();
    }
    format!("sqlite:{}", folder.join("requite.db").display())
}

/// Runs statements on a PostgreSQL store, behind the program's back.
///
/// # Panics
/// When they fail.
pub fn run(address: &str, sql: &str) {
    let mut client = Client::connect(address, NoTls).expect("the cluster answers");
    client.batch_execute(sql).expect("statements that work");
}

/// What a PostgreSQL store answers to a query, row by row, as texts. Nulls are left out.
///
/// # Panics
/// When it cannot be asked.
pub fn ask(address: &str, sql: &str) -> Vec<Vec<String>> {
    rows(&mut Client::connect(address, NoTls).expect("the cluster answers"), sql)
}

/// Sets the clock of one PostgreSQL database, for as long as it lives: `told` is an expression for the
/// time, in which `pg_catalog.clock_timestamp()` is the true one. Sessions that are open learn of a
/// change, but not of the first time that it is set.
///
/// # Panics
/// When it cannot be set.
pub fn set_clock(address: &str, told: &str) {
    run(
        address,
        &format!(
            "create or replace function public.clock_timestamp() returns timestamptz
                language sql volatile as $function$ select {told} $function$;
            do $$ begin
                execute format('alter database %I set search_path = public, pg_catalog',
                    current_database());
            end $$"
        ),
    );
}

/// Everything that a PostgreSQL store holds, table by table, as bytes to search in.
///
/// # Panics
/// When it cannot be read.
pub fn contents(address: &str) -> Vec<(String, Vec<u8>)> {
    let mut client = Client::connect(address, NoTls).expect("the cluster answers");
    let tables = "select table_name from information_schema.tables where table_schema = 'public'";
    let tables: Vec<String> = rows(&mut client, tables).into_iter().flatten().collect();
    tables
        .into_iter()
        .map(|table| {
            let all = rows(&mut client, &format!("select * from {table}"));
            let bytes = all.iter().flatten().flat_map(|text| bytes_of(text)).collect();
            (table, bytes)
        })
        .collect()
}

fn rows(client: &mut Client, sql: &str) -> Vec<Vec<String>> {
    let messages = client.simple_query(sql).expect("readable");
    messages
        .iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        })
        .map(|row| (0..row.len()).filter_map(|at| row.get(at).map(str::to_owned)).collect())
        .collect()
}

/// A value's own bytes and a zero, so that no two values look like one.
fn bytes_of(text: &str) -> Vec<u8> {
    let hex = text.strip_prefix("\\x").unwrap_or_default();
    let pairs = hex.as_bytes().chunks(2);
    let decoded: Option<Vec<u8>> =
        pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect();
    let mut bytes = match decoded {
        Some(bytes) if !bytes.is_empty() => bytes,
        _ => text.as_bytes().to_vec(),
    };
    bytes.push(0);
    bytes
}
