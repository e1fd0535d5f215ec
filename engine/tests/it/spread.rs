//! A database whose tables are spread over machines by merchant. There is no Citus here: its two
//! functions and its list of tables are stood in for, and what is asked of them is looked at.

use requite_cluster::Cluster;
use requite_core::id::MerchantId;
use requite_engine::command::{Command, Registration};
use requite_engine::store::postgres::{Address, OpenFault, Spread};

use crate::nodes::{Node, client, count, database};
use crate::support::{keyed, registration, told};

/// Signatures as Citus has them; they write down what they are told. They are found by the database's
/// search path, and lie apart from our tables.
const CITUS: &str = "
    create schema citus_like;
    create table citus_like.pg_dist_partition (
        logicalrelid regclass primary key, partmethod text, column_name text, beside text);
    create function citus_like.create_distributed_table(
        table_name regclass, distribution_column text, colocate_with text default 'default')
        returns void language sql as
        $$ insert into citus_like.pg_dist_partition values ($1, 'h', $2, $3) $$;
    create function citus_like.create_reference_table(table_name regclass)
        returns void language sql as
        $$ insert into citus_like.pg_dist_partition values ($1, 'n', null, null) $$;";

fn like_citus() -> (String, Address) {
    let text = Cluster::shared().database();
    let name = text.rsplit('/').next().expect("a database").to_owned();
    let path = format!("alter database {name} set search_path = public, citus_like");
    client(&text).batch_execute(&format!("{CITUS} {path}")).expect("a superuser may");
    let address = Address::parse(&text).expect("an address");
    address.migrate().expect("an empty database");
    (text, address)
}

/// Of three merchants in one batch; how many transactions wrote refunds of more than one.
fn mixed_transactions(text: &str, address: &Address) -> i64 {
    let mut node = Node::new(address);
    let merchants = || (1..=3_u128).map(MerchantId::new);
    let register = |merchant| Registration { merchant, ..registration("manual", &[10_000]) };
    node.batch(merchants().map(|of| Command::Register(Box::new(register(of)))).collect());
    let wish = |(merchant, id): (MerchantId, u128)| {
        let mut wish = keyed(id, 100, &format!("k{id}"));
        wish.merchant = merchant;
        Command::Refund(Box::new(wish))
    };
    let heard = node.batch(merchants().cycle().zip(1..=30).map(wish).collect());
    assert_eq!(heard.iter().filter_map(told).count(), 30);
    count(
        text,
        "select count(*) from (select 1 from refund group by xmin::text
            having count(distinct merchant_id) > 1) as mixed",
    )
}

#[test]
fn tables_are_cut_by_merchant_and_a_transaction_holds_one_merchant() {
    let (text, address) = like_citus();
    let first = address.spread().expect("like Citus");
    assert!(first.cut.contains(&"refund".to_owned()) && first.cut.len() > 20, "{first:?}");
    let sql = "select count(*) from citus_like.pg_dist_partition
        where partmethod = 'h' and column_name = 'merchant_id'
        and beside = case when logicalrelid = 'payment'::regclass then 'none' else 'payment' end";
    assert_eq!(usize::try_from(count(&text, sql)), Ok(first.cut.len()));
    assert_eq!(first.copied.len(), 7, "{first:?}");
    let again = address.spread().expect("like Citus");
    assert_eq!(again, Spread { cut: Vec::new(), copied: Vec::new() });
    // A table that a later change of the schema makes.
    client(&text).batch_execute("create table later (merchant_id bytea)").expect("a superuser may");
    let later = address.spread().expect("like Citus");
    assert_eq!(later, Spread { cut: vec!["later".to_owned()], copied: Vec::new() });
    assert_eq!(mixed_transactions(&text, &address), 0);
}

#[test]
fn where_nothing_is_spread_merchants_share_a_commit() {
    let (text, address) = database();
    assert_eq!(mixed_transactions(&text, &address), 1);
}

#[test]
fn what_is_no_citus_is_left_as_it_is() {
    let (text, address) = database();
    let refused = address.spread();
    let Err(OpenFault::Unusable(why)) = refused else { panic!("{refused:?}") };
    assert!(why.contains("create extension citus"), "{why}");
    assert_eq!(count(&text, "select count(*) from requite_spread"), 0);
}

/// Else Citus refuses the table: a unique key must hold what the table is cut by.
#[test]
fn every_unique_key_of_a_table_that_is_cut_has_the_merchant_in_it() {
    let (text, address) = like_citus();
    let spread = address.spread().expect("like Citus");
    let sql = "select i.indexrelid::regclass::text from pg_index i
        join pg_class c on c.oid = i.indrelid
        where i.indisunique and c.relname = any($1) and not exists (
            select 1 from pg_attribute a
            where a.attrelid = i.indrelid and a.attnum = any(i.indkey) and a.attname = 'merchant_id')";
    let rows = client(&text).query(sql, &[&spread.cut]).expect("readable");
    let broken: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(broken, Vec::<String>::new());
}
