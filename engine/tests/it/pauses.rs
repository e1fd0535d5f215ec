//! F7: a node that stands still with its calls prepared, while another takes its refunds over.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use requite_core::id::PaymentId;
use requite_core::refund::Status;
use requite_core::settle::Outcome;
use requite_engine::clock::{Clock, SharedClock};
use requite_engine::command::{Command, CommandError, RefundRef, Reply};
use requite_engine::engine::{self, Engine, Running};
use requite_engine::lane::Lane;
use requite_engine::psp::{CallKind, Instruction, OnOutcome, Psp};
use requite_engine::store::postgres::{Address, Postgres};
use requite_engine::store::{Changes, Commit, Loaded, Store, StoreFault, Wanted};

use crate::nodes::{Node, count, database};
use crate::support::{NOW, request, times};

/// The time of all nodes, as their database tells it.
struct HandClock(AtomicI64);

impl Clock for HandClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::Acquire)
    }

    fn steady_ms(&self) -> i64 {
        self.now_ms()
    }
}

/// A PSP without idempotency: every refund call it hears of pays.
#[derive(Default)]
struct Bank {
    paid: Mutex<HashMap<RefundRef, u32>>,
    looks: AtomicI64,
}

impl Psp for Bank {
    fn call(&self, instruction: Instruction, on_outcome: OnOutcome) {
        let mut paid = self.paid.lock().expect("no panic");
        let times = paid.entry(instruction.refund).or_insert(0);
        let outcome = match instruction.kind {
            CallKind::Send => {
                *times += 1;
                Outcome::Succeeded { psp_refund: Some("re_1".to_owned()) }
            }
            CallKind::LookUp => {
                self.looks.fetch_add(1, Ordering::AcqRel);
                match *times {
                    0 => Outcome::Absent,
                    _ => Outcome::Succeeded { psp_refund: Some("re_1".to_owned()) },
                }
            }
            CallKind::Cancel => unreachable!("nobody cancels here"),
        };
        drop(paid);
        on_outcome(outcome);
    }
}

/// The store of a process that is stopped right after a commit, and continued when the test says so.
struct Stopped {
    store: Postgres,
    /// Told of the commit after which it stands still; `None`: it runs.
    stop: Option<(Sender<()>, Receiver<()>)>,
}

impl Store for Stopped {
    fn transact(
        &mut self,
        wanted: &Wanted,
        decide: &mut dyn FnMut(Loaded) -> Changes,
    ) -> Result<Commit, StoreFault> {
        let mut makes_calls = false;
        let committed = self.store.transact(wanted, &mut |loaded| {
            let changes = decide(loaded);
            makes_calls = !changes.attempts.is_empty();
            changes
        })?;
        if makes_calls && let Some((stands, goes_on)) = self.stop.take() {
            stands.send(()).expect("the test listens");
            goes_on.recv().expect("the test says so");
        }
        Ok(committed)
    }

    fn batch_max(&self) -> usize {
        self.store.batch_max()
    }

    fn due(&mut self, now_ms: i64, max: u32) -> Result<Vec<RefundRef>, StoreFault> {
        self.store.due(now_ms, max)
    }

    fn in_flight(&mut self, max: u32) -> Result<Vec<RefundRef>, StoreFault> {
        self.store.in_flight(max)
    }
}

fn node(
    address: &Address,
    stop: Option<(Sender<()>, Receiver<()>)>,
    bank: &Arc<Bank>,
    clock: &Arc<HandClock>,
) -> (Engine, Running) {
    let lane = Lane::new(Stopped { store: Postgres::new(address), stop }, ["manual"]);
    let sweep = Stopped { store: Postgres::new(address), stop: None };
    let (bank, clock) = (Arc::clone(bank), Arc::clone(clock));
    engine::start(vec![lane], sweep, bank, clock).expect("threads")
}

/// `REQUITE_PAUSES` asks for more rounds of fifty calls.
#[test]
fn f7_a_node_that_stood_still_beyond_the_grace_makes_no_call_and_tells_what_another_found() {
    (0..times("REQUITE_PAUSES", 20)).for_each(|_| fifty_calls_of_a_node_that_stands_still());
}

fn fifty_calls_of_a_node_that_stands_still() {
    let (text, address) = database();
    let refunds = 50_u128;
    let mut desk = Node::new(&address);
    for payment in 0..refunds {
        desk.register(100 + payment, "psp");
    }
    let (bank, clock) = (Arc::new(Bank::default()), Arc::new(HandClock(AtomicI64::new(NOW))));
    let ((stands, stood), (go_on, goes_on)) = (channel(), channel());
    // One call first, on which the node stops; the others wait in its queue and become its next batch.
    let (paused, its_threads) = node(&address, Some((stands, goes_on)), &bank, &clock);
    let (told, hears) = channel::<Result<Reply, CommandError>>();
    for payment in 0..refunds {
        let mut wish = request(500 + payment, 4_000);
        wish.payment = PaymentId::new(100 + payment);
        let told = told.clone();
        let answer = Box::new(move |reply| told.send(reply).expect("the test listens"));
        paused.submit(Command::Refund(Box::new(wish)), answer);
    }
    stood.recv_timeout(Duration::from_secs(30)).expect("it commits and stands still");
    let prepared = count(&text, "select count(*) from attempt");
    assert!(prepared > 0);
    let (other, others_threads) = node(&address, None, &bank, &clock);
    clock.0.fetch_add(61_000, Ordering::AcqRel);
    // The other node looks up what is due, hears that the PSP has nothing, and sends it.
    wait(|| count(&text, "select count(*) from refund where status = 9") == prepared);
    assert_eq!(bank.looks.load(Ordering::Acquire), prepared);
    go_on.send(()).expect("it stands still");
    // What it had prepared is not called; what waited in its queue is, or by the other node where this one was late.
    // Time goes on while that is awaited.
    let mut heard = Vec::new();
    wait(|| {
        clock.0.fetch_add(100, Ordering::AcqRel);
        heard.extend(hears.try_iter());
        heard.len() == 50
    });
    for reply in heard {
        let Ok(Reply::Refund(reply)) = reply else { panic!("{reply:?}") };
        assert!(matches!(reply.status, Status::Succeeded | Status::Dispatched), "{reply:?}");
    }
    wait(|| {
        clock.0.fetch_add(100, Ordering::AcqRel);
        count(&text, "select count(*) from refund where status = 9") == 50
    });
    paused.submit(Command::Expire { refund: crate::support::of(1) }, Box::new(|_| ()));
    its_threads.stop();
    others_threads.stop();
    assert_eq!((paused.calls(), other.calls()), (0, 0));
    let paid = bank.paid.lock().expect("no panic");
    assert_eq!(paid.len(), 50);
    let twice = paid.values().filter(|times| **times != 1).count();
    assert_eq!(twice, 0, "refunds paid more than once");
    assert_eq!(count(&text, "select sum(refunded_minor)::bigint from capture"), 50 * 4_000);
}

fn wait(mut is_so: impl FnMut() -> bool) {
    for _ in 0..1_500 {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("it did not come to that within 30 s");
}

/// Two machines whose clocks differ, and are set.
#[test]
fn wall_clocks_do_not_matter_once_the_database_told_the_time() {
    struct Machine {
        wall_ms: AtomicI64,
        steady_ms: AtomicI64,
    }
    impl Clock for Machine {
        fn now_ms(&self) -> i64 {
            self.wall_ms.load(Ordering::Acquire)
        }
        fn steady_ms(&self) -> i64 {
            self.steady_ms.load(Ordering::Acquire)
        }
    }
    let machine =
        Arc::new(Machine { wall_ms: AtomicI64::new(NOW - 7_200_000), steady_ms: 5.into() });
    let clock = SharedClock::new(Arc::clone(&machine) as Arc<dyn Clock>);
    assert_eq!(clock.now_ms(), NOW - 7_200_000, "nothing else is known");
    clock.set_shared(NOW);
    assert_eq!(clock.now_ms(), NOW);
    machine.wall_ms.store(NOW + 30 * 86_400_000, Ordering::Release);
    machine.steady_ms.fetch_add(250, Ordering::AcqRel);
    assert_eq!(clock.now_ms(), NOW + 250);
}
