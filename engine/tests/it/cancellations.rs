//! Refunds that are cancelled at their PSP: what is asked, who is told, and what a lost answer comes to.

use requite_core::cancel::NotCancellable;
use requite_core::id::{LegId, MerchantId};
use requite_core::refund::Status;
use requite_core::settle::{Finding, Outcome};
use requite_engine::command::{
    Cancellation, Command, CommandError, NotCancelled, RefundRef, RefundReply, Reply,
};
use requite_engine::event::Kind;
use requite_engine::psp::CallKind;
use requite_engine::read::{HistoryPage, Reads};

use crate::support::{
    Bench, Heard, MERCHANT, NOW, PAYMENT, declined, key, lost, of, only, request, told,
};

const ACTION: &[Status] = &[Status::RequiresAction];

fn waits() -> Outcome {
    Outcome::RequiresAction { psp_refund: Some("re_1".to_owned()) }
}

fn paid() -> Outcome {
    Outcome::Succeeded { psp_refund: Some("re_1".to_owned()) }
}

fn voided() -> Outcome {
    Outcome::Voided { psp_refund: Some("re_1".to_owned()), fault: Default::default() }
}

fn cancellation() -> Cancellation {
    Cancellation {
        refund: of(1),
        cancels: ACTION,
        keys: Vec::new(),
        actor: "key_support".to_owned(),
        at_ms: NOW + 50,
    }
}

fn keyed(meaning: &str) -> Cancellation {
    Cancellation { keys: vec![key("c", meaning)], ..cancellation() }
}

fn ask(bench: &mut Bench, wish: Cancellation) -> Heard {
    let heard = bench.batch(vec![Command::Cancel(Box::new(wish))]);
    heard.into_iter().next().expect("one command")
}

fn refused(bench: &mut Bench, wish: Cancellation) -> NotCancelled {
    let calls = bench.sent.len();
    let seq = bench.view(None).seq;
    let heard = ask(bench, wish);
    assert_eq!((bench.sent.len(), bench.view(None).seq), (calls, seq), "nothing changed");
    match only(&heard) {
        Some(Ok(Reply::NotCancelled(why))) => why,
        other => panic!("it should be refused: {other:?}"),
    }
}

/// A refund of 40.00 of 100.00 whose call was answered so.
fn with_refund(outcome: Outcome) -> Bench {
    let mut bench = Bench::with_payment("psp");
    bench.start(request(1, 4_000));
    bench.answer(outcome);
    bench
}

/// What the leg holds of the refund, and the newest call.
fn held(bench: &Bench) -> i64 {
    bench.view(None).refunded_or_open(LegId::new(50))
}

fn answered(status: Status, seq: u32, is_replay: bool) -> Option<RefundReply> {
    Some(RefundReply { refund: of(1), status, as_of: Some(seq), is_replay, shown: None })
}

#[test]
fn a_cancellation_is_on_the_books_before_the_psp_is_asked_and_its_answer_is_told() {
    let mut bench = with_refund(waits());
    let seq = bench.view(None).seq;
    let heard = ask(&mut bench, cancellation());
    let call = bench.sent.last().expect("a call").clone();
    assert_eq!((call.kind, call.attempt), (CallKind::Cancel, 2));
    assert_eq!(call.psp_refund.as_deref(), Some("re_1"));
    assert_eq!((told(&heard), bench.statuses()), (None, vec![Status::RequiresAction]));
    assert_eq!(held(&bench), 4_000, "asking frees nothing");
    bench.answer(voided());
    assert_eq!(told(&heard), answered(Status::Voided, seq + 2, false));
    assert_eq!((bench.statuses(), held(&bench)), (vec![Status::Voided], 0));
    let page = HistoryPage { after: None, newest_first: true, limit: 2 };
    let events = bench.reads().events(MERCHANT, PAYMENT, &page).expect("readable");
    let [moved, asked] = events.as_slice() else { panic!("two events: {events:?}") };
    assert_eq!((asked.event.kind, asked.event.subject), (Kind::CancelAsked, 1));
    assert_eq!((asked.event.actor.as_str(), asked.event.status), ("key_support", None));
    assert_eq!((moved.event.kind, moved.event.status), (Kind::Refund, Some(Status::Voided)));
    bench.check();
    // What was freed can be given back once more.
    bench.start(request(2, 10_000));
    bench.answer(Outcome::Succeeded { psp_refund: Some("re_2".to_owned()) });
    assert_eq!(bench.statuses(), [Status::Voided, Status::Succeeded]);
    bench.check();
}

/// The PSP's word is told, whatever it is; without one the refund is as it was.
#[test]
fn whoever_asked_is_told_how_the_refund_stands() {
    let fault = || Default::default();
    for (outcome, status, counts) in [
        (paid(), Status::Succeeded, 4_000),
        (declined(), Status::Declined, 0),
        (Outcome::Pending { psp_refund: Some("re_1".to_owned()) }, Status::Pending, 4_000),
        (waits(), Status::RequiresAction, 4_000),
        (lost(), Status::RequiresAction, 4_000),
        (Outcome::NotSent { fault: fault(), retry_after_ms: 9 }, Status::RequiresAction, 4_000),
        (Outcome::Unreached { fault: fault(), retry_after_ms: 9 }, Status::RequiresAction, 4_000),
        (Outcome::Absent, Status::Unknown, 4_000),
    ] {
        let mut bench = with_refund(waits());
        let heard = ask(&mut bench, cancellation());
        bench.answer(outcome);
        let seq = bench.view(None).seq;
        assert_eq!(told(&heard), answered(status, seq, false));
        assert_eq!((bench.statuses(), held(&bench)), (vec![status], counts));
        bench.check();
    }
}

/// Unknown is not failed, and not cancelled either: a look-up tells which.
#[test]
fn a_cancellation_whose_answer_was_lost_is_looked_up() {
    for (found, status, counts) in [
        (voided(), Status::Voided, 0),
        (paid(), Status::Succeeded, 4_000),
        (waits(), Status::RequiresAction, 4_000),
    ] {
        let mut bench = with_refund(waits());
        ask(&mut bench, cancellation());
        bench.answer(lost());
        let wake = Command::Wake { refund: of(1), at_ms: NOW + 1_010, is_restart: false };
        bench.ask(wake).expect("noted");
        let call = bench.sent.last().expect("a call").clone();
        assert_eq!((call.kind, call.attempt), (CallKind::LookUp, 3));
        bench.answer(found);
        assert_eq!((bench.statuses(), held(&bench)), (vec![status], counts));
        bench.check();
    }
}

/// Before its answer the process dies: the attempt is on the books, and the refund is looked up.
#[test]
fn a_cancellation_that_died_with_the_process_is_looked_up_and_asked_again_under_its_key() {
    let mut bench = with_refund(waits());
    ask(&mut bench, keyed("m"));
    bench.restart();
    let wake = Command::Wake { refund: of(1), at_ms: NOW + 500, is_restart: true };
    bench.ask(wake).expect("noted");
    assert_eq!(
        bench.sent.last().map(|call| (call.kind, call.attempt)),
        Some((CallKind::LookUp, 3))
    );
    let while_looked_up = refused(&mut bench, keyed("m"));
    assert_eq!(while_looked_up, NotCancelled::CallUnderWay);
    bench.answer(waits());
    let heard = ask(&mut bench, keyed("m"));
    assert_eq!(
        bench.sent.last().map(|call| (call.kind, call.attempt)),
        Some((CallKind::Cancel, 4))
    );
    // What the lost call brings at last is overtaken, and frees nothing.
    let late = Finding { attempt: 2, outcome: voided(), at_ms: NOW + 600 };
    bench.ask(Command::Settle { refund: of(1), finding: late }).expect("noted");
    assert_eq!(bench.statuses(), [Status::RequiresAction]);
    assert_eq!(told(&heard).map(|reply| reply.status), Some(Status::RequiresAction));
    bench.answer(voided());
    assert_eq!(bench.statuses(), [Status::Voided]);
    bench.check();
}

#[test]
fn a_refund_that_cannot_be_cancelled_is_not_asked_about() {
    let status = |status| NotCancelled::NotCancellable(NotCancellable::Status(status));
    for (outcome, is) in [
        (paid(), Status::Succeeded),
        (declined(), Status::Declined),
        (Outcome::Pending { psp_refund: Some("re_1".to_owned()) }, Status::Pending),
        (lost(), Status::Unknown),
    ] {
        let mut bench = with_refund(outcome);
        assert_eq!(refused(&mut bench, cancellation()), status(is));
    }
    let mut bench = with_refund(waits());
    let nothing = Cancellation { cancels: &[], ..cancellation() };
    assert_eq!(refused(&mut bench, nothing), status(Status::RequiresAction));
    let strangers = RefundRef { merchant: MerchantId::new(2), ..of(1) };
    let heard = ask(&mut bench, Cancellation { refund: strangers, ..cancellation() });
    assert_eq!(only(&heard), Some(Err(CommandError::PaymentUnknown)));
    let mut bench = with_refund(Outcome::RequiresAction { psp_refund: None });
    let nameless = NotCancelled::NotCancellable(NotCancellable::Nameless);
    assert_eq!(refused(&mut bench, cancellation()), nameless);
    bench.check();
}

#[test]
fn of_two_cancellations_at_once_one_is_made_and_later_ones_find_it_done() {
    let mut bench = with_refund(waits());
    let both = vec![
        Command::Cancel(Box::new(keyed("m"))),
        Command::Cancel(Box::new(cancellation())),
        Command::Cancel(Box::new(keyed("m"))),
    ];
    let heard = bench.batch(both);
    let under_way = Reply::NotCancelled(NotCancelled::CallUnderWay);
    assert_eq!(only(&heard[1]), Some(Ok(under_way)));
    assert_eq!(only(&heard[2]), Some(Err(CommandError::KeyInProgress)));
    let cancels = bench.sent.iter().filter(|call| call.kind == CallKind::Cancel).count();
    assert_eq!(cancels, 1);
    assert_eq!(refused(&mut bench, cancellation()), NotCancelled::CallUnderWay);
    bench.answer(voided());
    let seq = bench.view(None).seq;
    assert_eq!(told(&heard[0]), answered(Status::Voided, seq, false));
    // Once more: under its key the same answer, without one the same state.
    let again = ask(&mut bench, keyed("m"));
    assert_eq!(told(&again), answered(Status::Voided, seq, true));
    let unkeyed = ask(&mut bench, cancellation());
    assert_eq!(told(&unkeyed), answered(Status::Voided, seq, false));
    let other = ask(&mut bench, keyed("another meaning"));
    assert_eq!(only(&other), Some(Err(CommandError::KeyReused)));
    assert_eq!(bench.sent.len(), 2, "the PSP was asked for the refund and the cancellation alone");
    bench.check();
}

/// An answer under a key stands, however the refund has moved on.
#[test]
fn a_key_repeats_the_first_answer_even_when_that_was_no_cancellation() {
    let mut bench = with_refund(waits());
    ask(&mut bench, keyed("m"));
    bench.answer(lost());
    let seq = bench.view(None).seq;
    let wake = Command::Wake { refund: of(1), at_ms: NOW + 1_010, is_restart: false };
    bench.ask(wake).expect("noted");
    bench.answer(voided());
    let again = ask(&mut bench, keyed("m"));
    assert_eq!(told(&again), answered(Status::RequiresAction, seq, true));
    let heard = ask(&mut bench, cancellation());
    assert_eq!(told(&heard).map(|reply| reply.status), Some(Status::Voided));
    bench.check();
}

/// Whoever waits no longer is told how it stands now; the cancellation goes on.
#[test]
fn whoever_has_waited_long_enough_is_told_what_is_known() {
    let mut bench = with_refund(waits());
    let heard = ask(&mut bench, cancellation());
    bench.ask(Command::Expire { refund: of(1) }).expect("noted");
    assert_eq!(told(&heard).map(|reply| reply.status), Some(Status::RequiresAction));
    bench.answer(voided());
    assert_eq!(bench.statuses(), [Status::Voided]);
    bench.check();
}

/// The PSP paid it after all: that is booked like any late success.
#[test]
fn a_success_after_a_cancellation_is_booked() {
    let mut bench = with_refund(waits());
    ask(&mut bench, cancellation());
    bench.answer(voided());
    let finding = Finding { attempt: 2, outcome: paid(), at_ms: NOW + 90 };
    bench.ask(Command::Settle { refund: of(1), finding }).expect("noted");
    assert_eq!((bench.statuses(), held(&bench)), (vec![Status::Succeeded], 4_000));
    bench.check();
}
