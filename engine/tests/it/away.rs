//! A database that goes away, comes back, or does not say what it did. Fault numbers are those of
//! the module's tests' names.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use requite_cluster::{Cluster, Stop};
use requite_core::refund::Status;
use requite_core::settle::Finding;
use requite_engine::command::{Command, CommandError, Reply};
use requite_engine::store::postgres::Address;

use crate::nodes::{Node, client, count, database};
use crate::relay::{Relay, Way};
use crate::support::{NOW, keyed, request, succeeded, times, told};

fn through(relay: &Relay, text: &str) -> Node {
    Node::new(&Address::parse(&relay.address(text)).expect("an address"))
}

/// A node behind a relay, with a payment of 100.00 at a PSP and one by hand.
fn relayed() -> (String, Relay, Node) {
    let (text, _) = database();
    let relay = Relay::to(Cluster::shared().socket());
    let mut node = through(&relay, &text);
    node.register(7, "psp");
    node.register(8, "manual");
    (text, relay, node)
}

fn by_hand(refund: u128, amount: i64, key: &str) -> requite_engine::command::RefundRequest {
    requite_engine::command::RefundRequest {
        payment: requite_core::id::PaymentId::new(8),
        ..keyed(refund, amount, key)
    }
}

#[test]
fn a_commit_that_never_arrived_is_made_again() {
    let (text, relay, mut node) = relayed();
    relay.set(Way::LosesCommit);
    node.refund(by_hand(1, 4_000, "k1")).expect("made at the second try");
    assert_eq!(count(&text, "select count(*) from refund"), 1);
    assert_eq!(count(&text, "select sum(refunded_minor)::bigint from capture"), 4_000);
}

#[test]
fn a_commit_whose_answer_was_lost_is_found_and_answered() {
    let (text, relay, mut node) = relayed();
    relay.set(Way::LosesAnswer);
    let made = node.refund(by_hand(1, 4_000, "k1")).expect("found there");
    assert_eq!((made.status, made.is_replay), (Status::Succeeded, false));
    assert_eq!(count(&text, "select count(*) from refund"), 1);
    let again = node.refund(by_hand(2, 4_000, "k1")).expect("a replay");
    assert_eq!((again.refund, again.as_of), (made.refund, made.as_of));
}

/// Another node may have found the attempt first: whoever did not hear of its commit makes no call.
#[test]
fn no_call_is_made_of_a_commit_whose_answer_was_lost() {
    let (text, relay, mut node) = relayed();
    relay.set(Way::LosesAnswer);
    node.batch(vec![Command::Refund(Box::new(request(1, 4_000)))]);
    assert_eq!(node.sent, Vec::new());
    assert_eq!(count(&text, "select count(*) from attempt"), 1);
    let wake =
        Command::Wake { refund: crate::support::of(1), at_ms: NOW + 60_000, is_restart: false };
    node.ask(wake).expect("noted");
    let kinds: Vec<_> = node.sent.iter().map(|call| call.kind).collect();
    assert_eq!(kinds, [requite_engine::psp::CallKind::LookUp]);
}

/// Nobody can tell what became of the commit: whoever asked is not told that it failed for good, and
/// hears the truth when they ask again.
#[test]
fn a_commit_of_which_nothing_can_be_heard_is_answered_as_that() {
    let (text, relay, mut node) = relayed();
    relay.set(Way::LosesAnswerAndCloses);
    let unheard = node.refund(by_hand(1, 4_000, "k1"));
    let Err(CommandError::Store(why)) = unheard else { panic!("{unheard:?}") };
    assert!(why.contains("nobody knows whether it was committed"), "{why}");
    assert_eq!(count(&text, "select count(*) from refund"), 1);
    relay.set(Way::Open);
    let again = node.refund(by_hand(2, 4_000, "k1")).expect("a replay");
    assert!(again.is_replay);
    assert_eq!(count(&text, "select count(*) from refund"), 1);
}

/// F49: clients that try again under their keys, a database that is restarted without mercy. `REQUITE_RESTARTS`
/// asks for more.
#[test]
fn f49_restarts_and_ended_sessions_under_load_lose_and_double_nothing() {
    let restarts = times("REQUITE_RESTARTS", 20);
    let cluster = Cluster::start(&["max_prepared_transactions=0"]).expect("a cluster");
    let text = cluster.database();
    let address = Address::parse(&text).expect("an address");
    address.migrate().expect("an empty database");
    for part in 0..2 {
        Node::new(&address).register(20 + part, "manual");
    }
    let (is_over, made) = (AtomicBool::new(false), AtomicI64::new(0));
    let mut longest = Duration::ZERO;
    std::thread::scope(|scope| {
        for part in 0..2_u128 {
            let (address, is_over, made) = (&address, &is_over, &made);
            scope.spawn(move || {
                let mut node = Node::new(address);
                let payment = requite_core::id::PaymentId::new(20 + part);
                let mut number = 0_u128;
                while !is_over.load(Ordering::Acquire) {
                    let id = 10_000_000 * (part + 1) + number;
                    let key = format!("key-{id}");
                    until_done(&mut node, || requite_engine::command::RefundRequest {
                        payment,
                        ..keyed(id, 1, &key)
                    });
                    number += 1;
                    made.fetch_add(1, Ordering::AcqRel);
                }
            });
        }
        for round in 0..restarts {
            cluster.wait_until_ready().expect("it comes back");
            let (before, ready) = (made.load(Ordering::Acquire), Instant::now());
            let made_since = || made.load(Ordering::Acquire) - before;
            while made_since() < 10 {
                if made_since() == 0 {
                    longest = longest.max(ready.elapsed());
                }
                std::thread::sleep(Duration::from_millis(2));
            }
            match round % 4 {
                0 | 1 => {
                    let end_all = "select pg_terminate_backend(pid) from pg_stat_activity
                        where application_name = 'requite'";
                    let mut admin = cluster.client("postgres").expect("a superuser");
                    admin.batch_execute(end_all).expect("a superuser may");
                }
                even => {
                    cluster.stop(if even == 2 { Stop::Immediate } else { Stop::Fast });
                    cluster.start_again();
                }
            }
        }
        cluster.wait_until_ready().expect("it comes back");
        is_over.store(true, Ordering::Release);
    });
    let made = made.load(Ordering::Acquire);
    let count = |sql: &str| count(&text, sql);
    println!(
        "{restarts} restarts and ended sessions, {made} refunds, again after {longest:.1?} at most"
    );
    assert!(longest < Duration::from_secs(10), "{longest:?}");
    assert!(made >= 200, "each round saw ten refunds");
    assert_eq!(count("select count(*) from refund"), made);
    assert_eq!(count("select sum(refunded_minor)::bigint from capture"), made);
    assert_eq!(count("select count(*) from idempotency"), made);
}

/// F51: after a failover the old primary answers still, and takes nothing.
#[test]
fn f51_a_database_that_has_become_read_only_is_left_and_found_again() {
    let cluster = Cluster::start(&[]).expect("a cluster");
    let text = cluster.database();
    let address = Address::parse(&text).expect("an address");
    address.migrate().expect("an empty database");
    let mut node = Node::new(&address);
    node.register(8, "manual");
    let mut admin = cluster.client("postgres").expect("a superuser");
    let mut turn = |to: &str| {
        let set = format!("alter system set default_transaction_read_only = {to}");
        admin.batch_execute("set default_transaction_read_only = off").expect("itself");
        admin.batch_execute(&set).expect("a superuser may");
        admin.batch_execute("select pg_reload_conf()").expect("a superuser may");
        // Sessions learn of it when they next have nothing to do.
        let shown = || -> String {
            let mut client = client(&text);
            client.query_one("show default_transaction_read_only", &[]).expect("shown").get(0)
        };
        while shown() != to {
            std::thread::yield_now();
        }
    };
    turn("on");
    let refused = node.refund(by_hand(1, 4_000, "k1"));
    assert!(matches!(refused, Err(CommandError::Store(_))), "{refused:?}");
    turn("off");
    let made = until_done(&mut node, || by_hand(1, 4_000, "k1"));
    assert_eq!(made.status, Status::Succeeded);
    assert_eq!(count(&text, "select count(*) from refund"), 1);
}

/// Asks again as long as the store is away.
fn until_done(
    node: &mut Node,
    wish: impl Fn() -> requite_engine::command::RefundRequest,
) -> requite_engine::command::RefundReply {
    for _ in 0..200 {
        match node.refund(wish()) {
            Ok(reply) => return reply,
            Err(CommandError::Store(_)) => std::thread::sleep(Duration::from_millis(20)),
            Err(other) => panic!("{other:?}"),
        }
    }
    panic!("the store did not come back");
}

/// F53: the database has no connection left.
#[test]
fn f53_without_a_connection_nothing_is_done_and_with_one_everything_again() {
    let (text, _) = database();
    let name = text.rsplit('/').next().expect("a database");
    let role = format!("poor_{name}");
    client(&text)
        .batch_execute(&format!(
            "create role {role} login; grant all on all tables in schema public to {role}"
        ))
        .expect("a superuser may");
    let address = text.replacen("requite@", &format!("{role}@"), 1);
    let mut node = Node::new(&Address::parse(&address).expect("an address"));
    node.register(8, "manual");
    let limit = |max: i32| {
        let sql = format!(
            "alter role {role} connection limit {max};
            select pg_terminate_backend(pid) from pg_stat_activity where usename = '{role}'"
        );
        client(&text).batch_execute(&sql).expect("a superuser may");
    };
    limit(0);
    let began = Instant::now();
    let refused = node.refund(by_hand(1, 4_000, "k1"));
    let Err(CommandError::Store(why)) = refused else { panic!("{refused:?}") };
    assert!(why.contains("53300"), "{why}");
    // A second is allowed, and a busy machine another.
    let waited = began.elapsed();
    println!("without a connection it was told so after {waited:.1?}");
    assert!(waited < Duration::from_secs(2), "{waited:?}");
    assert_eq!(count(&text, "select count(*) from refund"), 0);
    limit(-1);
    let made = until_done(&mut node, || by_hand(1, 4_000, "k1"));
    assert_eq!(made.status, Status::Succeeded);
}

/// F54: what PSPs answer while the database is away is kept, and written when it is back.
#[test]
fn f54_outcomes_that_come_while_the_database_is_away_are_written_later() {
    let (text, relay, mut node) = relayed();
    let refunds = 100_u128;
    let asks = (1..=refunds).map(|id| Command::Refund(Box::new(request(id, 10)))).collect();
    let waiting = node.batch(asks);
    assert_eq!(node.sent.len(), 100);
    relay.set(Way::Closed);
    let sent = std::mem::take(&mut node.sent);
    for call in &sent {
        let finding = Finding { attempt: call.attempt, outcome: succeeded(), at_ms: NOW + 10 };
        node.batch(vec![Command::Settle { refund: call.refund, finding }]);
    }
    assert!(waiting.iter().all(|heard| told(heard).is_none()), "nothing is known yet");
    assert!(node.lane.has_backlog());
    assert_eq!(count(&text, "select count(*) from refund where status <> 5"), 0);
    relay.set(Way::Open);
    for _ in 0..200 {
        if !node.lane.has_backlog() {
            break;
        }
        // A database that is away is not tried at every batch.
        std::thread::sleep(Duration::from_millis(20));
        node.batch(Vec::new());
    }
    let statuses: Vec<_> =
        waiting.iter().map(|heard| told(heard).map(|reply| reply.status)).collect();
    assert_eq!(statuses, vec![Some(Status::Succeeded); 100]);
    assert_eq!(count(&text, "select count(*) from refund where status = 9"), 100);
    assert_eq!(node.sent, Vec::new(), "nobody was called again");
}

#[test]
fn what_a_node_asked_before_the_database_went_is_answered_by_the_next_one() {
    let (text, relay, mut node) = relayed();
    let first = node.refund(by_hand(1, 4_000, "k1")).expect("made");
    relay.set(Way::Closed);
    let mut other = Node::new(&Address::parse(&text).expect("an address"));
    let again = other.refund(by_hand(2, 4_000, "k1")).expect("a replay");
    assert_eq!((again.refund, again.as_of), (first.refund, first.as_of));
    let refused = node.ask(Command::Refund(Box::new(by_hand(3, 1, "k3"))));
    assert!(matches!(refused, Err(CommandError::Store(_)) | Ok(Reply::Noted)), "{refused:?}");
}

/// A node that dies while its transaction waits for another's lock: what it had locked before is free again at
/// once, and not when its wait is over.
#[test]
fn a_dead_node_that_waited_for_a_lock_holds_none() {
    let (text, relay, mut node) = relayed();
    let (mut living, mut third) = (client(&text), client(&text));
    let mut held = living.transaction().expect("a transaction");
    let lock = "select 1 from payment_head where payment_id = $1 for update";
    let eight = 8_u128.to_be_bytes();
    held.query(lock, &[&eight.as_slice()]).expect("nobody else has it");
    let waits = "select count(*) from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock'";
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Locks the head of 7, and waits for that of 8.
            let both = [Command::Refund(Box::new(request(1, 1_000))), {
                Command::Refund(Box::new(by_hand(2, 1_000, "k2")))
            }];
            node.batch(both.into());
        });
        let until = |is_so: &mut dyn FnMut() -> bool, within: Duration| {
            let since = std::time::Instant::now();
            while !is_so() {
                assert!(since.elapsed() < within, "not within {within:?}");
                std::thread::sleep(Duration::from_millis(20));
            }
        };
        until(&mut || count(&text, waits) == 1, Duration::from_secs(20));
        relay.set(Way::Closed);
        let seven = 7_u128.to_be_bytes();
        let nowait = format!("{lock} nowait");
        // Its wait would end after 7 s.
        let mut is_free = || third.query(&nowait, &[&seven.as_slice()]).is_ok();
        until(&mut is_free, Duration::from_secs(5));
    });
    held.rollback().expect("it was held all the time");
    assert_eq!(count(&text, "select count(*) from refund"), 0);
}
