//! Several servers on one PostgreSQL database, as they are run: started at once, behind a pooler, beside a
//! newer version, telling one merchant together.

use std::collections::BTreeMap;
use std::thread;

use requite_cluster::{Cluster, POOL_MAX, Pooler};
use serde_json::{Value, json};

use crate::support::{FACES, Face, Message, Options, Receiver, Request, SEALING_KEY, Server, Shop};
use crate::torture::{refunds_of, verify};

mod failover;

fn options(database: &str) -> Options {
    let options = Options { database: Some(database.to_owned()), ..Options::default() };
    let options = options.env("REQUITE_SEALING_KEY", SEALING_KEY);
    options.env("REQUITE_WEBHOOKS_ADDRESSES", "any")
}

/// Servers that start at the same moment.
fn at_once(count: usize, database: &str) -> Vec<Server> {
    thread::scope(|scope| {
        let starts: Vec<_> =
            (0..count).map(|_| scope.spawn(|| Server::start(options(database)))).collect();
        starts.into_iter().map(|start| start.join().expect("it starts")).collect()
    })
}

fn payment(server: &Server, shop: &Shop, connector: &str) -> Value {
    let new = json!({"amount": 1_000_000, "currency": "USD", "connector": connector,
        "captures": [{"amount": 1_000_000}]});
    server.register(&shop.native, &new)
}

/// All servers are asked at once for so many refunds of 1 each, through all faces. Nobody is turned away.
fn refund_everywhere(servers: &[Server], shop: &Shop, payment: &Value, count: usize) {
    thread::scope(|scope| {
        for (number, server) in servers.iter().enumerate() {
            scope.spawn(move || {
                let faces: Vec<Face> = FACES.into_iter().cycle().take(count).collect();
                let asked = |(face, at): (&Face, usize)| {
                    let key = format!("{}-{number}-{at}", payment["id"]);
                    shop.refund(*face, payment, 1).header("idempotency-key", &key)
                };
                let requests: Vec<Request> = faces.iter().zip(0..).map(asked).collect();
                for (face, answer) in faces.iter().zip(server.send_at_once(&requests)) {
                    assert!(
                        face.accepted(&answer),
                        "{face:?}: {} {}",
                        answer.status,
                        answer.text()
                    );
                }
            });
        }
    });
    let made = refunds_of(&servers[0], shop, payment);
    let done = made.iter().filter(|refund| refund["status"] == "succeeded").count();
    assert_eq!((made.len(), done), (count * servers.len(), made.len()));
}

/// F85: three servers start at once on an empty database; one makes the schema, and all serve.
#[test]
fn f85_three_servers_that_start_at_once_on_an_empty_database_all_serve() {
    let database = Cluster::shared().database();
    let servers = at_once(3, &database);
    let shop = Shop::open(&servers[0].cli(), "Shop");
    let payment = payment(&servers[1], &shop, "sandbox");
    refund_everywhere(&servers, &shop, &payment, 20);
    verify(&servers[2]);
}

/// A pooler hands out fewer connections than one of the servers has, another one for each transaction.
#[test]
fn two_servers_work_through_a_pooler_that_hands_out_connections_by_transaction() {
    let cluster = Cluster::start(&[]).expect("a cluster");
    let pooler = Pooler::start(&cluster).expect("PgBouncer");
    let direct = cluster.database();
    let servers = at_once(2, &pooler.address(&direct));
    let shop = Shop::open(&servers[0].cli(), "Shop");
    for connector in ["manual", "sandbox"] {
        let payment = payment(&servers[1], &shop, connector);
        refund_everywhere(&servers, &shop, &payment, 50);
    }
    verify(&servers[0]);
    let sql = "select count(*) from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid()
            and backend_type = 'client backend'";
    let open: usize = requite_cluster::ask(&direct, sql)[0][0].parse().expect("a number");
    assert!((1..=POOL_MAX).contains(&open), "{open} connections");
}

/// F83: a newer version has extended the schema; servers of this one serve on. A start of this one is refused,
/// and says so.
#[test]
fn f83_a_server_serves_on_while_a_newer_one_has_extended_the_schema() {
    let database = Cluster::shared().database();
    let mut servers = at_once(2, &database);
    let shop = Shop::open(&servers[0].cli(), "Shop");
    let payment = payment(&servers[0], &shop, "sandbox");
    refund_everywhere(&servers, &shop, &payment, 10);
    let tables = ["payment", "book", "refund", "attempt", "event", "journal"];
    let extended = tables.map(|table| format!("alter table {table} add column newer text;"));
    let newer = "create table newer (only_row bigint); update requite_schema set version = 1000";
    servers[0].change_store(&format!("{}{newer}", extended.concat()));
    let second = self::payment(&servers[1], &shop, "sandbox");
    refund_everywhere(&servers, &shop, &second, 30);
    servers[1].sigterm();
    let refused = servers[0].cli().run(&["merchant", "create", "Other"], "");
    assert_ne!(refused.code, Some(0), "{refused:?}");
    assert!(refused.stderr.contains("use the newer program"), "{refused:?}");
}

/// Two nodes have one outbox: each event is told once, and in order for each payment, whoever tells it.
#[test]
fn two_servers_tell_each_event_once_and_in_order() {
    let database = Cluster::shared().database();
    let servers = at_once(2, &database);
    let shop = Shop::open(&servers[0].cli(), "Shop");
    let receiver = Receiver::content();
    let made = Request::post("/api/webhook-endpoints").bearer(&shop.native.token);
    let made = servers[0].send(&made.json(&json!({"url": receiver.url})));
    assert_eq!(made.status, 201, "{}", made.text());
    let payments: Vec<Value> = (0..6).map(|_| payment(&servers[0], &shop, "sandbox")).collect();
    for payment in &payments {
        refund_everywhere(&servers, &shop, payment, 5);
    }
    // Registered, captured, and two of each of ten refunds.
    let heard = receiver.wait(payments.len() * 22, |_| true);
    let mut told: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for message in &heard {
        let (payment, number) = about(message);
        told.entry(payment).or_default().push(number);
    }
    assert_eq!(told.len(), payments.len());
    for (payment, numbers) in &told {
        assert_eq!(*numbers, (1..=22).collect::<Vec<u64>>(), "{payment}");
    }
}

/// Payment and number of an event.
fn about(message: &Message) -> (String, u64) {
    let data = &message.json()["data"];
    let payment = data["refund"]["payment"].as_str().or(data["payment"]["id"].as_str());
    (payment.expect("a payment").to_owned(), data["number"].as_u64().expect("a number"))
}
