//! Several lanes over one PostgreSQL database, as several servers have them.

use std::sync::{Arc, Barrier};

use requite_cluster::Cluster;
use requite_core::id::PaymentId;
use requite_core::refund::{Fault, Status};
use requite_core::settle::Finding;
use requite_engine::command::{
    Booking, Command, CommandError, RefundReply, RefundRequest, Registration, Reply,
};
use requite_engine::lane::Lane;
use requite_engine::outbox::{Delivery, EndpointView, Outbox};
use requite_engine::psp::{BookingAsked, CallKind, Connectors, Instruction};
use requite_engine::read::{MerchantView, Reads as _};
use requite_engine::registry::Registry as _;
use requite_engine::store::Store as _;
use requite_engine::store::postgres::{self, Address, OpenFault, Postgres};

use crate::support::{
    Heard, MERCHANT, NOW, PAYMENT, booking, key, keyed, only, registration, request, send_batch,
    succeeded, times, told,
};

/// A database with our schema, and the text of its address.
pub(crate) fn database() -> (String, Address) {
    let text = Cluster::shared().database();
    let address = Address::parse(&text).expect("an address");
    address.migrate().expect("an empty database");
    (text, address)
}

pub(crate) fn client(text: &str) -> ::postgres::Client {
    ::postgres::Client::connect(text, ::postgres::NoTls).expect("it is there")
}

pub(crate) fn count(text: &str, sql: &str) -> i64 {
    client(text).query_one(sql, &[]).expect(sql).get(0)
}

pub(crate) struct Node {
    pub lane: Lane<Postgres>,
    pub sent: Vec<Instruction>,
}

impl Node {
    pub(crate) fn new(address: &Address) -> Node {
        Node { lane: Lane::new(Postgres::new(address), ["manual"]), sent: Vec::new() }
    }

    fn with(address: &Address, calls: Calls) -> Node {
        Node { lane: Lane::new(Postgres::new(address), calls), sent: Vec::new() }
    }

    pub(crate) fn batch(&mut self, commands: Vec<Command>) -> Vec<Heard> {
        let (heard, sent) = send_batch(&mut self.lane, commands);
        self.sent.extend(sent);
        heard
    }

    pub(crate) fn ask(&mut self, command: Command) -> Result<Reply, CommandError> {
        let heard = self.batch(vec![command]);
        only(heard.first().expect("one command")).expect("answered at once")
    }

    pub(crate) fn register(&mut self, payment: u128, connector: &str) {
        let new = Registration {
            payment: PaymentId::new(payment),
            external_identifier: None,
            gift_cards: Vec::new(),
            primary: requite_engine::command::NewLeg {
                id: requite_core::id::LegId::new(payment),
                amount: crate::support::minor(10_000),
            },
            ..registration(connector, &[10_000])
        };
        let reply = self.ask(Command::Register(Box::new(new)));
        assert!(matches!(reply, Ok(Reply::Registered(_))), "{reply:?}");
    }

    pub(crate) fn refund(&mut self, request: RefundRequest) -> Result<RefundReply, CommandError> {
        match self.ask(Command::Refund(Box::new(request)))? {
            Reply::Refund(reply) => Ok(reply),
            other => panic!("a refund is answered with one, not {other:?}"),
        }
    }
}

/// Connectors whose calls are over after this time.
struct Calls {
    over_after_ms: i64,
}

impl Connectors for Calls {
    fn is_immediate(&self, _: &str) -> bool {
        false
    }

    fn decline(&self, _: &BookingAsked<'_>) -> Option<Fault> {
        None
    }

    fn over_after_ms(&self) -> i64 {
        self.over_after_ms
    }
}

fn at_payment(request: RefundRequest, payment: PaymentId) -> RefundRequest {
    RefundRequest { payment, ..request }
}

#[test]
fn three_servers_that_start_at_once_make_one_schema() {
    for _ in 0..5 {
        let text = Cluster::shared().database();
        let address = Address::parse(&text).expect("an address");
        let start = Barrier::new(3);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    start.wait();
                    address.migrate().expect("one migrates, the others find it done");
                });
            }
        });
        assert_eq!(count(&text, "select count(*) from requite_schema"), 1);
        address.migrate().expect("nothing is left to do");
    }
}

#[test]
fn an_older_program_refuses_a_newer_schema_and_leaves_it_alone() {
    let (text, address) = database();
    client(&text).batch_execute("update requite_schema set version = 1000").expect("ours");
    let refused = address.migrate();
    assert!(matches!(refused, Err(OpenFault::Newer { found: 1_000, .. })), "{refused:?}");
    assert_eq!(count(&text, "select version from requite_schema"), 1_000);
}

#[test]
fn another_programs_tables_are_left_alone() {
    let text = Cluster::shared().database();
    client(&text).batch_execute("create table payment (id bigint)").expect("an empty database");
    let refused = Address::parse(&text).expect("an address").migrate();
    assert!(matches!(refused, Err(OpenFault::Foreign)), "{refused:?}");
    assert_eq!(count(&text, "select count(*) from payment"), 0);
}

#[test]
fn a_database_that_may_lose_commits_is_refused() {
    let text = Cluster::shared().database();
    let name = text.rsplit('/').next().expect("a name");
    let sql = format!("alter database {name} set synchronous_commit = off");
    client(&text).batch_execute(&sql).expect("a superuser may");
    let refused = Address::parse(&text).expect("an address").migrate();
    assert!(matches!(refused, Err(OpenFault::Unusable(_))), "{refused:?}");
}

#[test]
fn a_refund_through_one_lane_is_seen_by_the_other() {
    let (text, address) = database();
    let (mut one, mut two) = (Node::new(&address), Node::new(&address));
    one.register(7, "psp");
    let heard = one.batch(vec![Command::Refund(Box::new(keyed(1, 4_000, "k1")))]);
    let refund = Command::Refund(Box::new(request(2, 7_000)));
    let refused = two.ask(refund);
    assert!(matches!(refused, Err(CommandError::Refused { .. })), "{refused:?}");
    let call = one.sent.first().expect("a call").clone();
    let finding = Finding { attempt: call.attempt, outcome: succeeded(), at_ms: NOW + 10 };
    let settled = one.ask(Command::Settle { refund: call.refund, finding });
    assert_eq!(settled, Ok(Reply::Noted));
    let first = told(&heard[0]).expect("answered");
    assert_eq!(first.status, Status::Succeeded);
    let again = two.refund(keyed(3, 4_000, "k1")).expect("a replay");
    assert_eq!((again.refund, again.as_of), (first.refund, first.as_of));
    assert_eq!(count(&text, "select count(*) from refund"), 1);
}

/// F6: what a dead node had under way is another's once the call is over, and no sooner: until then the
/// PSP may truthfully know nothing of what it will still receive.
#[test]
fn f6_a_call_of_a_dead_node_is_looked_up_once_it_is_over_and_no_sooner() {
    let (text, address) = database();
    let mut dead = Node::with(&address, Calls { over_after_ms: 14_000 });
    dead.register(7, "psp");
    let heard = dead.batch(vec![Command::Refund(Box::new(request(1, 4_000)))]);
    assert_eq!(dead.sent.len(), 1);
    drop((dead, heard));
    // Whoever takes over has another deadline: the dead one's counts.
    let mut other = Node::with(&address, Calls { over_after_ms: 5_000 });
    let mut sweep = Postgres::new(&address);
    let mut wake = |at_ms: i64| {
        let due = sweep.due(at_ms, 10).expect("it is there");
        let wake = |refund| Command::Wake { refund, at_ms, is_restart: false };
        other.batch(due.into_iter().map(wake).collect());
        other.sent.iter().map(|call| call.kind).collect::<Vec<_>>()
    };
    assert_eq!(wake(NOW + 13_999), []);
    assert_eq!(wake(NOW + 14_000), [CallKind::LookUp]);
    let sql = "select next_action_at_ms from refund";
    assert_eq!(count(&text, sql), NOW + 14_000 + 5_000, "and so is the look-up's own");
}

/// One key, two payments, two lanes: the key's row is inserted by both, and one of them is decided
/// again.
#[test]
fn the_first_use_of_one_key_on_two_lanes_is_one_execution() {
    let (text, address) = database();
    let mut nodes: Vec<Node> = (0..2).map(|_| Node::new(&address)).collect();
    for payment in [7, 8] {
        nodes[0].register(payment, "manual");
    }
    let rounds = 100;
    for round in 0..rounds {
        let start = Arc::new(Barrier::new(2));
        let results: Vec<Result<RefundReply, CommandError>> = std::thread::scope(|scope| {
            let tries: Vec<_> = nodes
                .iter_mut()
                .zip([PAYMENT, PaymentId::new(8)])
                .zip(0_u128..)
                .map(|((node, payment), number)| {
                    let start = Arc::clone(&start);
                    let text = format!("key-{round}");
                    let own = key(&text, &format!("{payment:?}"));
                    let wish = RefundRequest {
                        keys: vec![own],
                        ..at_payment(request(1_000 + round * 2 + number, 10), payment)
                    };
                    scope.spawn(move || {
                        start.wait();
                        node.refund(wish)
                    })
                })
                .collect();
            tries.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        let made = results.iter().filter(|result| result.is_ok()).count();
        let reused =
            results.iter().filter(|result| **result == Err(CommandError::KeyReused)).count();
        assert_eq!((made, reused), (1, 1), "round {round}: {results:?}");
    }
    assert_eq!(count(&text, "select count(*) from refund"), i64::try_from(rounds).expect("few"));
}

/// How many transactions were tripped so far.
const LAST_TRIPPED: &str = "select last_value from tripped";

/// F52: every fifth transaction meets another one, some of them as late as their commit. All of them
/// are tried again, and nothing happens twice.
#[test]
fn f52_transactions_that_meet_others_are_tried_again_and_nothing_happens_twice() {
    let (text, address) = database();
    client(&text)
        .batch_execute(
            "create sequence tripped;
            create function trip() returns trigger language plpgsql as $$ begin
                if random() < 0.1 then
                    perform nextval('tripped');
                    raise exception 'a test did this' using errcode = '40001';
                end if;
                return null;
            end $$;
            create trigger trip_early after update on book
                for each statement execute function trip();
            create constraint trigger trip_late after insert on event deferrable
                initially deferred for each row execute function trip();",
        )
        .expect("a superuser may");
    let refunds = u128::try_from(times("REQUITE_CONFLICTS", 400)).expect("a number");
    std::thread::scope(|scope| {
        for part in 0..2_u128 {
            let address = &address;
            scope.spawn(move || {
                let mut node = Node::new(address);
                node.register(20 + part, "manual");
                for number in 0..refunds / 2 {
                    // A payment has room for so many.
                    let payment = PaymentId::new(20 + part + 2 * (number / 1_000));
                    if number > 0 && number % 1_000 == 0 {
                        node.register(payment.bits(), "manual");
                    }
                    let id = 10_000_000 + number * 2 + part;
                    let wish = at_payment(keyed(id, 5, &format!("key-{id}")), payment);
                    node.refund(wish).expect("tried again until it is done");
                }
            });
        }
    });
    let (made, tripped) = (i64::try_from(refunds).expect("few"), count(&text, LAST_TRIPPED));
    println!("{made} refunds, {tripped} transactions met others");
    assert_eq!(count(&text, "select count(*) from refund"), made);
    assert_eq!(count(&text, "select sum(refunded_minor)::bigint from capture"), 5 * made);
    assert!(tripped > made / 20, "the test tripped nobody");
}

/// Two captures and a refund of both, asked one after the other while the payment is held. The refund's lane
/// looked at the payment when it had one capture, and waits behind the lane that adds the other.
#[test]
fn who_waited_for_a_payment_sees_the_captures_that_came_meanwhile() {
    let (text, address) = database();
    let mut first = Node::new(&address);
    let register = Registration { gift_cards: Vec::new(), ..registration("manual", &[6_000]) };
    first.ask(Command::Register(Box::new(register))).expect("registered");
    let mut admin = client(&text);
    let mut held = admin.transaction().expect("a transaction");
    held.query("select 1 from book for update", &[]).expect("nobody else has it");
    let waiting = "select count(*) from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock'";
    let until = |waiters: i64| {
        let since = std::time::Instant::now();
        while count(&text, waiting) < waiters {
            assert!(since.elapsed().as_secs() < 20, "{waiters} lanes do not wait");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    };
    std::thread::scope(|scope| {
        let capture = booking(Booking::Capture { is_final: false }, 300, Some(4_000));
        scope.spawn(|| first.ask(capture).expect("captured"));
        until(1);
        let refund = scope.spawn(|| Node::new(&address).refund(request(1, 10_000)));
        until(2);
        held.rollback().expect("it was held all the time");
        let refund = refund.join().expect("no panic").expect("both captures are there");
        assert_eq!(refund.status, Status::Succeeded);
    });
    assert_eq!(count(&text, "select sum(refunded_minor)::bigint from capture"), 10_000);
}

/// A payment's events are told by one node at a time, and by another when that one died.
#[test]
fn what_one_node_has_claimed_to_tell_is_no_other_s_until_its_time_is_over() {
    let (text, address) = database();
    let registries = [postgres::registry(&address), postgres::registry(&address)];
    let merchant = MerchantView {
        id: MERCHANT,
        slug: "shop".to_owned(),
        name: "Shop".to_owned(),
        profile: "{}".to_owned(),
        created_at_ms: NOW,
    };
    registries[0].create_merchant(&merchant, &[]).expect("a new one");
    let endpoint = EndpointView {
        merchant: MERCHANT,
        id: 9,
        dialect: "native".to_owned(),
        url: "https://shop.example/hook".to_owned(),
        is_active: true,
        sealed: vec![1],
        sealed_before: None,
        created_at_ms: NOW,
        updated_at_ms: NOW,
    };
    registries[0].create_endpoint(&endpoint, None).expect("a new one");
    let mut node = Node::new(&address);
    for payment in [7, 8, 10] {
        node.register(payment, "manual");
    }
    let reads = postgres::reads(&address);
    let due = |at_ms: i64| reads.deliveries_due(9, at_ms, 100).expect("they are there");
    let seen = due(NOW);
    assert_eq!(seen.len(), 3);
    let claims: Vec<Vec<Delivery>> = std::thread::scope(|scope| {
        let claim = |registry| {
            let seen = &seen;
            scope.spawn(move || Outbox::claim_deliveries(registry, seen, NOW + 20_000))
        };
        let claims = registries.each_ref().map(claim);
        claims.map(|claim| claim.join().expect("no panic").expect("claimed")).into()
    });
    assert_eq!(claims.iter().map(Vec::len).sum::<usize>(), 3, "each is one node's: {claims:?}");
    assert_eq!(due(NOW + 19_999), []);
    // The one that claimed them died.
    let again = due(NOW + 20_000);
    let claimed = registries[1].claim_deliveries(&again, NOW + 40_000).expect("claimed");
    assert_eq!(claimed.len(), 3);
    let stale = registries[0].claim_deliveries(&seen, NOW + 40_000).expect("asked");
    assert_eq!(stale, [], "what was read before is no claim any more");
    assert_eq!(count(&text, "select min(next_try_at_ms) from webhook_delivery"), NOW + 40_000);
}
