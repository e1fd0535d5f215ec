use requite_core::decide::Refusal;
use requite_core::refund::Status;
use requite_engine::command::{Command, CommandError, RefundRequest, Reply};
use requite_engine::key::{KEY_LIFE_MS, Key, Lifetime};

use crate::support::{Bench, NOW, declined, key, keyed, lost, of, only, request, succeeded, told};

#[test]
fn one_key_is_one_refund_and_one_answer() {
    let mut bench = Bench::with_payment("manual");
    let first = bench.refund(keyed(1, 4_000, "k1")).expect("it fits");
    bench.refund(request(2, 1_000)).expect("another, in between");
    bench.restart();
    let again = bench.refund(keyed(3, 4_000, "k1")).expect("the first one's answer");
    assert_eq!(
        (again.refund, again.status, again.as_of),
        (first.refund, first.status, first.as_of)
    );
    assert!(again.is_replay && !first.is_replay);
    assert_eq!(bench.view(again.as_of).refunds.len(), 1, "rendered as it was");
    assert_eq!(bench.refund(keyed(4, 4_001, "k1")), Err(CommandError::KeyReused));
    assert_eq!(bench.view(None).refunds.len(), 2);
    bench.check();
}

#[test]
fn copies_in_one_batch_are_one_refund() {
    let mut bench = Bench::with_payment("manual");
    let copy = |id| Command::Refund(Box::new(keyed(id, 4_000, "k1")));
    let other = Command::Refund(Box::new(keyed(9, 4_001, "k1")));
    let heard = bench.batch(vec![copy(1), copy(2), other, copy(3)]);
    let first = told(&heard[0]).expect("made");
    for at in [1, 3] {
        let repeat = told(&heard[at]).expect("the same");
        assert_eq!((repeat.refund, repeat.as_of), (first.refund, first.as_of));
        assert!(repeat.is_replay);
    }
    assert_eq!(only(&heard[2]), Some(Err(CommandError::KeyReused)));
    assert_eq!(bench.view(None).refunds.len(), 1);
    bench.check();
}

#[test]
fn a_copy_of_a_request_that_is_still_answered_is_told_so() {
    let mut bench = Bench::with_payment("psp");
    let first = bench.start(keyed(1, 4_000, "k1"));
    let busy = Err(CommandError::KeyInProgress);
    assert_eq!(bench.refund(keyed(2, 4_000, "k1")), busy);
    bench.answer(succeeded());
    let answered = told(&first).expect("answered");
    let repeat = bench.refund(keyed(3, 4_000, "k1")).expect("replayed");
    assert_eq!((repeat.refund, repeat.as_of), (answered.refund, answered.as_of));
    bench.check();
}

/// The first answer binds: what was shown as unknown is shown as unknown again, byte for byte.
#[test]
fn a_replay_shows_the_first_answer_even_when_the_refund_moved_on() {
    let mut bench = Bench::with_payment("psp");
    bench.start(keyed(1, 4_000, "k1"));
    bench.answer(lost());
    let due = Command::Wake { refund: of(1), at_ms: NOW + 5_000, is_restart: false };
    bench.ask(due).expect("noted");
    bench.answer(succeeded());
    assert_eq!(bench.statuses(), [Status::Succeeded]);
    let repeat = bench.refund(keyed(2, 4_000, "k1")).expect("replayed");
    assert_eq!(repeat.status, Status::Unknown);
    let shown = bench.view(repeat.as_of);
    assert_eq!(shown.refunds.first().map(|refund| refund.status), Some(Status::Unknown));
    let present = Key { answers_present: true, ..key("k1", "4000") };
    let repeat = bench.refund(RefundRequest { keys: vec![present], ..request(3, 4_000) });
    let repeat = repeat.expect("a key that shows the present");
    assert_eq!((repeat.status, repeat.as_of), (Status::Succeeded, None));
    bench.check();
}

#[test]
fn a_retry_after_a_crash_takes_the_first_requesters_place() {
    let mut bench = Bench::with_payment("psp");
    bench.start(keyed(1, 4_000, "k1"));
    bench.restart();
    let retry = bench.start(keyed(2, 4_000, "k1"));
    assert_eq!(told(&retry), None, "it waits for the outcome as the first did");
    bench.answer(declined());
    let reply = told(&retry).expect("answered");
    assert_eq!((reply.refund, reply.status), (of(1), Status::Declined));
    let again = bench.refund(keyed(3, 4_000, "k1")).expect("replayed");
    assert_eq!((again.status, again.as_of), (reply.status, reply.as_of));
    bench.check();
}

#[test]
fn a_refusal_is_an_answer_too_but_one_of_form_frees_the_key() {
    let mut bench = Bench::with_payment("manual");
    let refused = |result: Result<_, CommandError>| match result {
        Err(CommandError::Refused { refusal, is_replay }) => (refusal, is_replay),
        other => panic!("expected a refusal, got {other:?}"),
    };
    let (refusal, is_replay) = refused(bench.refund(keyed(1, 10_001, "k1")));
    assert!(!is_replay);
    assert_eq!(refused(bench.refund(keyed(2, 10_001, "k1"))), (refusal, true));
    assert_eq!(bench.refund(keyed(3, 5, "k1")), Err(CommandError::KeyReused));
    assert_eq!(refused(bench.refund(keyed(4, 0, "k2"))), (Refusal::NotPositive, false));
    bench.refund(keyed(5, 5, "k2")).expect("the key was free");
    bench.check();
}

/// Loop has no word for unknown: its 503 asks for the same request again.
#[test]
fn where_unknown_is_no_answer_the_retry_joins_the_first() {
    let mut bench = Bench::with_payment("psp");
    let joins = |id| {
        let open = Key { lifetime: Lifetime::WhileUnknown, ..key("open", "3000") };
        RefundRequest { keys: vec![open], answers_unknown: false, ..request(id, 3_000) }
    };
    let first = bench.start(joins(1));
    bench.answer(lost());
    assert_eq!(told(&first).map(|reply| reply.status), Some(Status::Unknown));
    let joined = bench.refund(joins(2)).expect("told at once");
    assert_eq!((joined.refund, joined.status), (of(1), Status::Unknown));
    let due = Command::Wake { refund: of(1), at_ms: NOW + 5_000, is_restart: false };
    bench.ask(due).expect("noted");
    bench.answer(succeeded());
    let told_at_last = bench.refund(joins(3)).expect("the retry hears the outcome");
    assert_eq!((told_at_last.refund, told_at_last.status), (of(1), Status::Succeeded));
    bench.start(joins(4));
    assert_eq!(
        bench.statuses(),
        [Status::Succeeded, Status::Dispatched],
        "once somebody was told, a new refund"
    );
    // Nobody left without an answer: two equal wishes at once are two refunds.
    bench.start(joins(5));
    assert_eq!(bench.view(None).refunds.len(), 3);
    bench.check();
}

/// A retry that comes with a key of its own keeps that key for the refund it joined.
#[test]
fn a_joining_request_binds_every_key_it_has() {
    let mut bench = Bench::with_payment("psp");
    let joins = |id, text: &str| {
        let open = Key { lifetime: Lifetime::WhileUnknown, ..key("open", "4000") };
        let own = (!text.is_empty()).then(|| key(text, "4000"));
        RefundRequest {
            keys: own.into_iter().chain([open]).collect(),
            answers_unknown: false,
            ..request(id, 4_000)
        }
    };
    bench.start(joins(1, ""));
    bench.answer(lost());
    let joined = bench.refund(joins(2, "k1")).expect("told at once");
    assert_eq!((joined.refund, joined.status), (of(1), Status::Unknown));
    let due = Command::Wake { refund: of(1), at_ms: NOW + 5_000, is_restart: false };
    bench.ask(due).expect("noted");
    bench.answer(succeeded());
    for id in [3, 4] {
        let again = bench.refund(joins(id, "k1")).expect("the outcome");
        assert_eq!((again.refund, again.status), (of(1), Status::Succeeded));
    }
    bench.start(joins(5, ""));
    assert_eq!(bench.view(None).refunds.len(), 2, "all were told");
    bench.check();
}

#[test]
fn a_key_whose_unknown_is_no_answer_gets_the_outcome_once_there_is_one() {
    let mut bench = Bench::with_payment("psp");
    let keyed = |id| RefundRequest { answers_unknown: false, ..keyed(id, 4_000, "k1") };
    bench.start(keyed(1));
    bench.answer(lost());
    let due = Command::Wake { refund: of(1), at_ms: NOW + 5_000, is_restart: false };
    bench.ask(due).expect("noted");
    bench.answer(succeeded());
    let retry = bench.refund(keyed(2)).expect("the outcome");
    assert_eq!((retry.refund, retry.status), (of(1), Status::Succeeded));
    bench.check();
}

#[test]
fn the_guard_against_double_clicks_ends_after_its_window() {
    let mut bench = Bench::with_payment("manual");
    let click = |id, at_ms| {
        let guard = Key { lifetime: Lifetime::Within(10_000), ..key("soft", "50") };
        let mut click = RefundRequest { keys: vec![guard], ..request(id, 50) };
        click.ask.at_ms = at_ms;
        click
    };
    let first = bench.refund(click(1, NOW)).expect("made");
    let double = bench.refund(click(2, NOW + 9_999)).expect("the same");
    assert_eq!(double.refund, first.refund);
    let later = bench.refund(click(3, NOW + 10_000)).expect("another");
    assert_ne!(later.refund, first.refund);
    bench.check();
}

#[test]
fn a_key_is_free_again_after_thirty_days() {
    let mut bench = Bench::with_payment("manual");
    bench.refund(keyed(1, 100, "k1")).expect("made");
    let mut later = keyed(2, 100, "k1");
    later.ask.at_ms = NOW + KEY_LIFE_MS - 1;
    assert_eq!(bench.refund(later.clone()).map(|reply| reply.refund), Ok(of(1)));
    later.ask.at_ms = NOW + KEY_LIFE_MS;
    assert_eq!(bench.refund(later).map(|reply| reply.refund), Ok(of(2)));
    assert!(matches!(
        bench.ask(Command::Refund(Box::new(keyed(3, 100, "k1")))),
        Ok(Reply::Refund(_))
    ));
    bench.check();
}

/// The index of keys follows them, and a store is closed at any of its steps.
#[test]
fn keys_are_found_wherever_they_are() {
    let mut bench = Bench::with_payment("manual");
    let mut made = Vec::new();
    for number in 1..=60_u128 {
        made.push(bench.refund(keyed(1_000 + number, 10, &format!("k{number}"))).expect("it fits"));
        if number % 7 == 0 {
            bench.restart();
        }
        for (first, before) in made.iter().zip(1_u128..) {
            let again = bench.refund(keyed(2_000 + number, 10, &format!("k{before}")));
            assert_eq!(again.expect("its answer").refund, first.refund, "{before} of {number}");
        }
    }
    assert_eq!(bench.view(None).refunds.len(), 60);
    bench.check();
}
