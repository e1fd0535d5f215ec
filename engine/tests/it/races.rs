//! What simulation found: things that meet in one batch, or that take longer than they should.

use requite_core::refund::Status;
use requite_core::settle::{Finding, Outcome};
use requite_engine::command::{Command, CommandError, RefundRequest};
use requite_engine::fault::{self, Point};
use requite_engine::key::{Key, Lifetime};
use requite_engine::lane::Lane;
use requite_engine::psp::CallKind;

use crate::support::{
    Bench, NOW, TestConnectors, key, keyed, lost, of, only, request, send_batch, succeeded, told,
};

fn settle(refund: u128, attempt: u32, outcome: Outcome) -> Command {
    let finding = Finding { attempt, outcome, at_ms: NOW + 10 };
    Command::Settle { refund: of(refund), finding }
}

fn wake(refund: u128, at_ms: i64) -> Command {
    Command::Wake { refund: of(refund), at_ms, is_restart: false }
}

fn expire(refund: u128) -> Command {
    Command::Expire { refund: of(refund) }
}

fn ask(request: RefundRequest) -> Command {
    Command::Refund(Box::new(request))
}

/// The clock was set, or the process stood still: the refund is due while its call is under way.
/// What the PSP has not yet received it truthfully does not know; a look-up now would lead to a
/// second payment.
#[test]
fn a_call_under_way_is_not_looked_up() {
    let mut bench = Bench::with_payment("psp");
    let first = bench.start(request(1, 4_000));
    bench.ask(wake(1, NOW + 3_600_000)).expect("noted");
    assert_eq!(bench.sent.len(), 1, "only the refund call itself");
    assert_eq!(bench.statuses(), [Status::Dispatched]);
    bench.answer(lost());
    assert_eq!(told(&first).map(|reply| reply.status), Some(Status::Unknown));
    bench.ask(wake(1, NOW + 7_200_000)).expect("noted");
    let kinds: Vec<CallKind> = bench.sent.iter().map(|call| call.kind).collect();
    assert_eq!(kinds, [CallKind::Send, CallKind::LookUp]);
    bench.check();
}

/// The look-up's finding comes an hour late, in one batch with the sweep.
#[test]
fn a_call_that_a_batch_makes_is_not_looked_up_in_it() {
    let mut bench = Bench::with_payment("psp");
    bench.start(request(1, 4_000));
    bench.answer(lost());
    bench.ask(wake(1, NOW + 5_000)).expect("noted");
    let absent = settle(1, 2, Outcome::Absent);
    bench.batch(vec![absent, wake(1, NOW + 3_600_000)]);
    let kinds: Vec<CallKind> = bench.sent.iter().map(|call| call.kind).collect();
    assert_eq!(kinds, [CallKind::Send, CallKind::LookUp, CallKind::Send]);
    bench.check();
}

#[test]
fn whoever_waits_and_whoever_repeats_in_one_batch_hear_the_same() {
    let mut bench = Bench::with_payment("psp");
    let first = bench.start(keyed(1, 4_000, "k1"));
    let heard = bench.batch(vec![
        settle(1, 1, succeeded()),
        ask(keyed(2, 4_000, "k1")),
        ask(request(3, 1_000)),
        expire(1),
    ]);
    let (first, repeat) = (told(&first), told(&heard[1]));
    let as_of = |reply: Option<requite_engine::command::RefundReply>| reply.map(|of| of.as_of);
    assert_eq!(as_of(first.clone()), as_of(repeat));
    bench.restart();
    let later = bench.refund(keyed(4, 4_000, "k1")).expect("a replay");
    assert_eq!(Some(later.as_of), as_of(first));
    bench.check();
}

#[test]
fn who_is_taken_in_with_the_end_of_their_patience_is_answered() {
    let mut bench = Bench::with_payment("psp");
    let heard = bench.batch(vec![ask(keyed(1, 4_000, "k1")), expire(1)]);
    let told = told(&heard[0]).expect("answered with the batch");
    assert_eq!(told.status, Status::Dispatched);
    bench.answer(succeeded());
    let again = bench.refund(keyed(2, 4_000, "k1")).expect("a replay");
    assert_eq!((again.status, again.as_of), (told.status, told.as_of));
    bench.check();
}

#[test]
fn who_takes_a_dead_ones_place_in_the_batch_of_the_outcome_hears_it() {
    let mut bench = Bench::with_payment("psp");
    bench.start(keyed(1, 4_000, "k1"));
    bench.restart();
    let heard = bench.batch(vec![ask(keyed(2, 4_000, "k1")), settle(1, 1, succeeded())]);
    let told = told(&heard[0]).expect("answered with the batch");
    assert_eq!((told.refund, told.status), (of(1), Status::Succeeded));
    bench.check();
}

/// The guard's window ends, the header's key does not: it was answered with the first refund, and
/// must never make a second.
#[test]
fn a_key_that_met_its_refund_under_another_key_stays_with_it() {
    let mut bench = Bench::with_payment("manual");
    let click = |id, own: Option<&str>, at_ms| {
        let guard = Key { lifetime: Lifetime::Within(10_000), ..key("soft", "50") };
        let own = own.map(|text| key(text, "50"));
        let mut click =
            RefundRequest { keys: own.into_iter().chain([guard]).collect(), ..request(id, 50) };
        click.ask.at_ms = at_ms;
        click
    };
    bench.refund(click(1, None, NOW)).expect("made");
    let second = bench.refund(click(2, Some("k2"), NOW + 1_000));
    assert_eq!(second.expect("the first").refund, of(1));
    let third = bench.refund(click(3, Some("k2"), NOW + 60_000));
    assert_eq!(third.expect("still the first").refund, of(1));
    bench.check();
}

/// Two equal wishes at once are two refunds. The first one's outcome must not take the key from
/// the second, whose requester is told "unknown" and comes again.
#[test]
fn an_older_refunds_outcome_leaves_a_moved_key_alone() {
    let mut bench = Bench::with_payment("psp");
    let wish = |id| {
        let open = Key { lifetime: Lifetime::WhileUnknown, ..key("open", "3000") };
        RefundRequest { keys: vec![open], answers_unknown: false, ..request(id, 3_000) }
    };
    bench.start(wish(1));
    bench.start(wish(2));
    bench.ask(settle(1, 1, succeeded())).expect("noted");
    bench.ask(settle(2, 1, lost())).expect("noted");
    let retry = bench.refund(wish(3)).expect("told at once");
    assert_eq!((retry.refund, retry.status), (of(2), Status::Unknown));
    // Sent again, it is no longer unknown; the retry still joins it.
    bench.ask(wake(2, NOW + 5_000)).expect("noted");
    bench.ask(settle(2, 2, Outcome::Absent)).expect("noted");
    let waits = bench.start(wish(4));
    bench.ask(settle(2, 3, succeeded())).expect("noted");
    assert_eq!(told(&waits).map(|reply| reply.refund), Some(of(2)));
    assert_eq!(bench.view(None).refunds.len(), 2);
    bench.check();
}

/// Rows may know more than the events they come from: two changes in one batch leave one row.
#[test]
fn what_was_answered_looks_the_same_for_ever() {
    let mut bench = Bench::with_payment("psp");
    let shown = |bench: &Bench| {
        let mut view = bench.view(Some(bench.view(None).seq));
        view.refunds.iter_mut().for_each(|refund| refund.next_action_at_ms = None);
        view
    };
    bench.start(request(1, 1_000));
    bench.start(request(2, 2_000));
    bench.ask(settle(1, 1, lost())).expect("noted");
    bench.batch(vec![settle(2, 1, lost()), settle(2, 1, succeeded())]);
    bench.ask(settle(1, 1, succeeded())).expect("noted");
    let first = shown(&bench);
    assert!(first.refunds.iter().all(|refund| refund.unknown_at_ms.is_some()));
    bench.start(request(3, 3_000));
    let later = bench.view(Some(first.seq));
    assert_eq!(first, later);
    bench.check();
}

/// Two callers, two keys, the same amount: while the first is without its outcome, the second is
/// still a wish of its own. A retry without a key joins.
#[test]
fn two_keys_are_two_wishes_even_while_the_first_is_unknown() {
    let mut bench = Bench::with_payment("psp");
    let wish = |id, own: Option<&str>| {
        let open = Key { lifetime: Lifetime::WhileUnknown, ..key("open", "3000") };
        let mut wish = request(id, 3_000);
        wish.details.key_text = own.map(str::to_owned);
        wish.keys = own.map(|text| key(text, "3000")).into_iter().chain([open]).collect();
        wish.answers_unknown = false;
        wish
    };
    bench.start(wish(1, Some("k1")));
    bench.answer(lost());
    bench.start(wish(2, Some("k2")));
    assert_eq!(bench.view(None).refunds.len(), 2);
    bench.answer(lost());
    let again = bench.refund(wish(3, Some("k1"))).expect("told at once");
    assert_eq!(again.refund, of(1));
    let keyless = bench.refund(wish(4, None)).expect("told at once");
    assert_eq!(keyless.refund, of(2));
    bench.check();
}

/// The same where both were taken in by one batch, the second after the first one's window.
#[test]
fn of_two_refunds_in_one_batch_the_newer_keeps_the_guard() {
    let mut bench = Bench::with_payment("psp");
    let click = |id, at_ms| {
        let guard = Key { lifetime: Lifetime::Within(10_000), ..key("soft", "50") };
        let mut click = RefundRequest { keys: vec![guard], ..request(id, 50) };
        click.ask.at_ms = at_ms;
        ask(click)
    };
    let late = NOW + 20_000;
    let heard =
        bench.batch(vec![click(1, NOW), click(2, late), expire(2), expire(1), click(3, late)]);
    assert_eq!(told(&heard[4]).map(|reply| reply.refund), Some(of(2)));
    assert_eq!(bench.view(None).refunds.len(), 2);
    bench.check();
}

/// The commit of an outcome was not heard of, and a repeat on another node was given its answer meanwhile:
/// whoever waited here hears the same, however far the payment has moved on.
#[test]
fn whoever_waited_for_a_commit_that_was_not_heard_of_hears_what_the_repeat_heard() {
    let mut bench = Bench::with_payment("psp");
    let first = bench.start(keyed(1, 4_000, "k1"));
    fault::break_at(Some(Point::StoreCommitted));
    bench.batch(vec![settle(1, 1, succeeded())]);
    fault::break_at(None);
    if requite_cluster::is_postgres() {
        // There it is read back, and whoever waited hears at once.
        assert_eq!(told(&first).map(|reply| reply.status), Some(Status::Succeeded));
        return bench.check();
    }
    assert_eq!((told(&first), bench.lane().has_backlog()), (None, true));
    let mut other = Lane::new(bench.place.store(), TestConnectors);
    let (heard, _) = send_batch(&mut other, vec![ask(keyed(2, 4_000, "k1")), ask(request(3, 50))]);
    let repeat = told(&heard[0]).expect("answered from the key");
    assert!(repeat.as_of < Some(bench.view(None).seq), "the payment has moved on");
    bench.batch(Vec::new());
    assert!(!bench.lane().has_backlog(), "what was kept was taken");
    let first = told(&first).expect("answered at the second try");
    assert_eq!((first.refund, first.status, first.as_of), (of(1), repeat.status, repeat.as_of));
    bench.check();
}

/// Their patience is over, and that cannot be written down either: they are told so, and their key finds the refund.
#[test]
fn whoever_waited_long_enough_for_a_store_that_takes_nothing_is_sent_away() {
    let mut bench = Bench::with_payment("psp");
    let first = bench.start(keyed(1, 4_000, "k1"));
    fault::break_at(Some(Point::StoreBegin));
    bench.batch(vec![expire(1)]);
    fault::break_at(None);
    assert!(matches!(only(&first), Some(Err(CommandError::Store(_)))), "{:?}", only(&first));
    let again = bench.start(keyed(2, 4_000, "k1"));
    bench.answer(succeeded());
    let told = told(&again).map(|reply| (reply.refund, reply.status));
    assert_eq!(told, Some((of(1), Status::Succeeded)));
    bench.check();
}
