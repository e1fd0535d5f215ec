//! One run for every statement, read, begin and commit of a refund's life, each of which fails once;
//! until a run ends in which nothing failed. Committing counts twice: not done, and done but reported
//! as failed.

use std::collections::BTreeSet;

use requite_core::refund::Status;
use requite_core::settle::{Finding, Outcome};
use requite_engine::command::{Command, CommandError, Reply};
use requite_engine::fault;
use requite_engine::psp::{CallKind, Instruction};

use crate::support::{Bench, NOW, keyed, lost, of, only, succeeded};

/// Runs of one story. One that needs more has no end.
const RUNS_MAX: u64 = 2_000;
/// Batches in which a failed one may be tried again.
const TRIES_MAX: usize = 4;

/// A PSP with books of its own, beside the engine: what it was asked to pay, by key.
#[derive(Default)]
struct Books {
    paid: BTreeSet<String>,
    /// Requests that paid again what was paid.
    doubled: u32,
}

impl Books {
    fn pay(&mut self, call: &Instruction) {
        self.doubled += u32::from(!self.paid.insert(call.psp_key()));
    }
}

/// The client's side: the same request with the same key, until it is taken.
fn ask(bench: &mut Bench) {
    for _ in 0..TRIES_MAX {
        let heard = bench.start(keyed(1, 4_000, "k1"));
        match only(&heard) {
            Some(Err(CommandError::Store(_))) => continue,
            None | Some(Ok(_)) => return,
            Some(Err(other)) => panic!("nothing else can be said: {other:?}"),
        }
    }
    panic!("the store fails only once");
}

/// What is due is woken, as the sweep does; a sweep that cannot read comes again.
fn wake(bench: &mut Bench, at_ms: i64) {
    for _ in 0..TRIES_MAX {
        let due = bench.place.store().due(at_ms, 10);
        let Ok(due) = due else { continue };
        let wake = |refund| Command::Wake { refund, at_ms, is_restart: false };
        bench.batch(due.into_iter().map(wake).collect());
        return;
    }
    panic!("the store fails only once");
}

/// News that was not committed is kept by the lane and tried again with the next batch.
fn settle(bench: &mut Bench, call: &Instruction, outcome: Outcome, at_ms: i64) {
    let finding = Finding { attempt: call.attempt, outcome, at_ms };
    bench.batch(vec![Command::Settle { refund: call.refund, finding }]);
    for _ in 0..TRIES_MAX {
        if !bench.lane().has_backlog() {
            return;
        }
        bench.batch(Vec::new());
    }
    panic!("the store fails only once");
}

/// A refund is asked for and sent; the answer is lost; the look-up finds nothing; it is sent again and
/// paid. Every call that leaves is answered by the books.
fn story(bench: &mut Bench, books: &mut Books) {
    ask(bench);
    let mut answered = 0;
    let mut at_ms = NOW;
    for _ in 0..8 {
        while let Some(call) = bench.sent.get(answered).cloned() {
            answered += 1;
            let is_first = call.attempt == 1;
            let outcome = match call.kind {
                CallKind::Send if is_first => lost(),
                CallKind::Send => {
                    books.pay(&call);
                    succeeded()
                }
                CallKind::LookUp if books.paid.contains(&call.psp_key()) => succeeded(),
                CallKind::LookUp => Outcome::Absent,
                CallKind::Cancel => unreachable!("nobody cancels here"),
            };
            settle(bench, &call, outcome, at_ms);
        }
        if bench.lane().has_backlog() {
            bench.batch(Vec::new());
        }
        at_ms += 70_000;
        wake(bench, at_ms);
    }
}

#[test]
fn whatever_fails_once_the_refund_is_made_once() {
    let mut runs = 0;
    for number in 1..RUNS_MAX {
        let mut bench = Bench::with_payment("psp");
        let mut books = Books::default();
        fault::fail_at(Some(number));
        story(&mut bench, &mut books);
        let has_failed = fault::passed() >= number;
        fault::fail_at(None);
        assert_eq!(bench.statuses(), [Status::Succeeded], "run {number}");
        assert_eq!((books.paid.len(), books.doubled), (1, 0), "run {number}");
        let again = bench.ask(Command::Refund(Box::new(keyed(1, 4_000, "k1"))));
        let Ok(Reply::Refund(again)) = again else { panic!("run {number}: {again:?}") };
        assert_eq!((again.refund, again.is_replay), (of(1), true), "run {number}");
        bench.check();
        if !has_failed {
            runs = number;
            break;
        }
    }
    assert!(runs > 60, "only {runs} places could fail");
    println!("{} places failed once each", runs - 1);
}

/// The same with a crash instead of a failure: whatever was begun is gone with the process, and the next
/// one recovers.
#[test]
fn wherever_it_fails_and_then_dies_the_refund_is_made_once() {
    for number in 1..RUNS_MAX {
        let mut bench = Bench::with_payment("psp");
        let mut books = Books::default();
        fault::fail_at(Some(number));
        bench.start(keyed(1, 4_000, "k1"));
        let first = bench.sent.last().cloned();
        if let Some(first) = &first {
            settle(&mut bench, first, lost(), NOW);
        }
        let has_failed = fault::passed() >= number;
        fault::fail_at(None);
        // It dies, with whatever its lane kept.
        bench.restart();
        let woken = bench.lane().recover(NOW + 100).expect("the store can be read");
        bench.batch(woken);
        story(&mut bench, &mut books);
        assert_eq!(bench.statuses(), [Status::Succeeded], "run {number}");
        assert_eq!((books.paid.len(), books.doubled), (1, 0), "run {number}");
        bench.check();
        if !has_failed {
            return;
        }
    }
    panic!("the story has no end");
}
