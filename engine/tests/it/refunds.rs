use requite_core::decide::{Amount, Refusal, Target};
use requite_core::id::{LegId, PaymentId};
use requite_core::refund::Status;
use requite_core::schedule::DISPATCH_GRACE;
use requite_core::settle::{Finding, Outcome};
use requite_engine::command::{
    Booked, Booking, Command, CommandError, RefundRequest, Registered, Reply, Wait,
};
use requite_engine::psp::CallKind;

use crate::support::{
    Bench, NOW, PAYMENT, Place, booking, declined, keyed, lost, minor, of, only, registration,
    request, succeeded, told,
};

fn nothing_left() -> Result<Reply, CommandError> {
    Err(CommandError::Refused { refusal: Refusal::NothingLeft, is_replay: false })
}

#[test]
fn where_nobody_is_called_one_commit_does_it() {
    let mut bench = Bench::with_payment("manual");
    let reply = bench.refund(request(1, 4_000)).expect("it fits");
    assert_eq!((reply.status, reply.as_of), (Status::Succeeded, Some(5)));
    assert!(bench.sent.is_empty());
    bench.restart();
    assert_eq!(bench.view(None).refunded(LegId::new(50)), 4_000);
    bench.check();
}

#[test]
fn of_two_refunds_in_one_batch_the_second_sees_the_first() {
    let mut bench = Bench::with_payment("manual");
    let heard = bench.batch(vec![
        Command::Refund(Box::new(request(1, 6_000))),
        Command::Refund(Box::new(request(2, 6_000))),
        Command::Refund(Box::new(request(3, 4_000))),
        Command::Refund(Box::new(request(4, 1))),
    ]);
    let left = minor(4_000);
    let exceeds = Refusal::ExceedsLeft { asked: Some(minor(6_000)), left };
    assert!(told(&heard[0]).is_some());
    assert_eq!(
        only(&heard[1]),
        Some(Err(CommandError::Refused { refusal: exceeds, is_replay: false }))
    );
    assert!(told(&heard[2]).is_some());
    assert_eq!(only(&heard[3]), Some(nothing_left()));
    bench.check();
}

#[test]
fn money_is_reserved_and_the_attempt_committed_before_anyone_is_called() {
    let mut bench = Bench::with_payment("psp");
    let heard = bench.start(request(1, 4_000));
    assert_eq!(told(&heard), None, "the requester waits for the outcome");
    let call = bench.sent.last().expect("one instruction").clone();
    assert_eq!((call.kind, call.attempt, call.call_no), (CallKind::Send, 1, 0));
    assert_eq!(call.psp_key(), "requite-00000000-0000-0000-0000-000000000001");
    bench.restart();
    assert_eq!(bench.statuses(), [Status::Dispatched]);
    assert_eq!(bench.view(None).refunded_or_open(LegId::new(50)), 4_000);
    bench.check();
}

#[test]
fn an_outcome_answers_whoever_waits_once() {
    for (outcome, status) in [
        (succeeded(), Status::Succeeded),
        (declined(), Status::Declined),
        (lost(), Status::Unknown),
        (Outcome::Pending { psp_refund: None }, Status::Pending),
    ] {
        let mut bench = Bench::with_payment("psp");
        let heard = bench.start(request(1, 4_000));
        bench.answer(outcome.clone());
        assert_eq!(told(&heard).map(|reply| reply.status), Some(status));
        bench.answer(outcome);
        assert_eq!(told(&heard).map(|reply| reply.status), Some(status), "told once");
        bench.check();
    }
}

#[test]
fn a_lost_answer_is_looked_up_and_never_sent_twice_without_proof() {
    let mut bench = Bench::with_payment("psp");
    bench.start(request(1, 4_000));
    bench.answer(lost());
    let soon = Command::Wake { refund: of(1), at_ms: NOW + 20, is_restart: false };
    bench.ask(soon).expect("noted");
    assert_eq!(bench.sent.len(), 1, "its time has not come");
    let due = Command::Wake { refund: of(1), at_ms: NOW + 2_000, is_restart: false };
    bench.ask(due.clone()).expect("noted");
    bench.ask(due).expect("noted");
    assert_eq!(bench.sent.len(), 2, "one look-up at a time");
    assert_eq!(
        bench.sent.last().map(|call| (call.kind, call.call_no)),
        Some((CallKind::LookUp, 0))
    );
    assert_eq!(bench.sent.iter().map(|call| call.age_ms).collect::<Vec<_>>(), [0, 2_000]);
    bench.answer(Outcome::Absent);
    let again = bench.sent.last().expect("sent again, with proof");
    assert_eq!((again.kind, again.attempt, again.call_no), (CallKind::Send, 3, 1));
    assert_eq!(again.psp_key(), bench.sent[0].psp_key());
    bench.answer(succeeded());
    assert_eq!(bench.statuses(), [Status::Succeeded]);
    bench.check();
}

/// A file has one server, which knows that nobody is at it any more. Of a database another node may
/// be: there its time has to come.
#[test]
fn after_a_restart_what_was_under_way_is_looked_up() {
    let mut bench = Bench::with_payment("psp");
    bench.start(request(1, 4_000));
    bench.sent.clear();
    bench.restart();
    let mut woken = bench.lane().recover(NOW + 50).expect("readable");
    let mut at_ms = NOW + 50;
    if matches!(bench.place, Place::Database { .. }) {
        assert_eq!(woken, []);
        at_ms = NOW + DISPATCH_GRACE;
        assert_eq!(bench.place.store().due(at_ms - 1, 10).expect("readable"), []);
        woken = due(&bench, at_ms);
    } else {
        assert_eq!(woken, [Command::Wake { refund: of(1), at_ms, is_restart: true }]);
    }
    bench.batch(woken);
    let call = bench.sent.last().map(|call| (call.kind, call.age_ms));
    assert_eq!(call, Some((CallKind::LookUp, at_ms - NOW)));
    assert_eq!(bench.statuses(), [Status::Unknown]);
    bench.answer(succeeded());
    assert_eq!(bench.statuses(), [Status::Succeeded]);
    assert_eq!(bench.lane().recover(NOW).expect("readable"), []);
    bench.check();
}

/// What the sweep wakes.
fn due(bench: &Bench, at_ms: i64) -> Vec<Command> {
    let due = bench.place.store().due(at_ms, 10).expect("readable");
    due.into_iter().map(|refund| Command::Wake { refund, at_ms, is_restart: false }).collect()
}

/// The clock ran a year ahead when the answer was lost, and is right again.
#[test]
fn what_a_clock_that_ran_ahead_scheduled_is_due() {
    let mut bench = Bench::with_payment("psp");
    bench.start(request(1, 4_000));
    let finding = Finding { attempt: 1, outcome: lost(), at_ms: NOW + 31_536_000_000 };
    bench.ask(Command::Settle { refund: of(1), finding }).expect("noted");
    let woken = due(&bench, NOW + 1_000);
    assert_eq!(woken.len(), 1);
    bench.batch(woken);
    assert_eq!(bench.sent.last().map(|call| call.kind), Some(CallKind::LookUp));
    bench.answer(succeeded());
    assert_eq!(due(&bench, NOW + 1_000), []);
    bench.check();
}

#[test]
fn who_waited_long_enough_is_told_what_is_known() {
    let mut bench = Bench::with_payment("psp");
    let heard = bench.start(keyed(1, 4_000, "k1"));
    bench.ask(Command::Expire { refund: of(1) }).expect("noted");
    let reply = told(&heard).expect("told at the deadline");
    assert_eq!((reply.status, reply.as_of), (Status::Dispatched, Some(4)));
    bench.answer(succeeded());
    assert_eq!(told(&heard), Some(reply), "and not again");
    bench.check();
}

#[test]
fn a_gift_card_is_a_target_of_its_own() {
    let mut bench = Bench::with_payment("manual");
    let mut card = request(1, 0);
    card.ask.target = Target::Leg(LegId::new(51));
    card.ask.amount = Amount::Remaining;
    bench.refund(card.clone()).expect("the card has 2500");
    assert_eq!(bench.view(None).refunded(LegId::new(51)), 2_500);
    assert_eq!(bench.view(None).refunded(LegId::new(50)), 0);
    card.ask.refund = requite_core::id::RefundId::new(2);
    assert_eq!(bench.ask(Command::Refund(Box::new(card))), nothing_left());
    bench.check();
}

#[test]
fn captures_and_releases_move_what_is_left() {
    let mut bench = Bench::new();
    bench.ask(Command::Register(Box::new(registration("manual", &[])))).expect("sound");
    let not_captured = CommandError::Refused { refusal: Refusal::NotCaptured, is_replay: false };
    assert_eq!(bench.refund(request(1, 1)), Err(not_captured));
    let capture = |id, amount| booking(Booking::Capture { is_final: false }, id, amount);
    let void = |id, amount| booking(Booking::Void, id, amount);
    let booked = |seq| {
        let as_of = Some(seq);
        Ok(Reply::Booked(Booked { payment: PAYMENT, seq, as_of, is_replay: false }))
    };
    assert_eq!(bench.ask(capture(200, Some(6_000))), booked(3));
    assert_eq!(bench.ask(void(300, Some(1_000))), booked(4));
    assert!(bench.ask(capture(201, Some(3_001))).is_err());
    assert_eq!(bench.ask(capture(202, None)), booked(5));
    assert!(bench.ask(void(301, None)).is_err());
    bench.refund(request(2, 8_000)).expect("it spans both captures");
    let view = bench.view(None);
    assert_eq!((view.primary().captured(), view.primary().released()), (9_000, 1_000));
    let given: Vec<_> =
        view.primary().captures.iter().map(|capture| capture.refunded.units()).collect();
    assert_eq!(given, [6_000, 2_000]);
    bench.check();
}

#[test]
fn a_payment_is_registered_once() {
    let mut bench = Bench::with_payment("manual");
    let again = registration("manual", &[10_000]);
    let mut other_id = again.clone();
    other_id.payment = PaymentId::new(8);
    let mut differs = again.clone();
    differs.fingerprint = [2; 16];
    let mut fresh = again.clone();
    fresh.payment = PaymentId::new(9);
    fresh.external_identifier = Some("order-1002".to_owned());
    fresh.primary.id = LegId::new(60);
    fresh.gift_cards.clear();
    let register = |new| Command::Register(Box::new(new));
    let heard = bench.batch(
        [again, other_id, differs, fresh.clone(), fresh].into_iter().map(register).collect(),
    );
    let expected = [
        Registered::Present(PAYMENT),
        Registered::Present(PAYMENT),
        Registered::Differs(PAYMENT),
        Registered::Created(PaymentId::new(9)),
        Registered::Present(PaymentId::new(9)),
    ];
    for (heard, expected) in heard.iter().zip(expected) {
        let Some(Ok(Reply::Registered(reply))) = only(heard) else {
            panic!("a registration is answered with one");
        };
        assert_eq!(reply.registered, expected);
    }
    bench.check();
}

/// A refund that the store refuses (an id that another refund has) fails alone.
#[test]
fn one_bad_command_does_not_fail_its_neighbours() {
    let mut bench = Bench::with_payment("manual");
    assert!(told(&bench.batch(vec![Command::Refund(Box::new(request(3, 500)))])[0]).is_some());
    let heard = bench.batch(vec![
        Command::Refund(Box::new(request(1, 1_000))),
        Command::Refund(Box::new(request(3, 700))),
        Command::Refund(Box::new(request(2, 2_000))),
    ]);
    assert!(told(&heard[0]).is_some());
    assert!(matches!(only(&heard[1]), Some(Err(CommandError::Store(_)))));
    assert!(told(&heard[2]).is_some());
    assert_eq!(bench.view(None).refunded(LegId::new(50)), 3_500);
    bench.check();
}

#[test]
fn an_unknown_payment_and_another_merchants_are_the_same() {
    let mut bench = Bench::with_payment("manual");
    let foreign = RefundRequest { merchant: requite_core::id::MerchantId::new(2), ..request(1, 1) };
    let missing = RefundRequest { payment: PaymentId::new(99), ..request(1, 1) };
    assert_eq!(bench.refund(foreign), Err(CommandError::PaymentUnknown));
    assert_eq!(bench.refund(missing), Err(CommandError::PaymentUnknown));
}

#[test]
fn who_waits_for_acceptance_is_answered_at_once() {
    let mut bench = Bench::with_payment("psp");
    let reply = bench.refund(RefundRequest { wait: Wait::Acceptance, ..request(1, 10) });
    assert_eq!(reply.map(|reply| reply.status), Ok(Status::Dispatched));
    bench.check();
}

#[test]
fn reference_numbers_count_per_merchant_and_day() {
    let mut bench = Bench::with_payment("manual");
    for (refund, amount) in [(1, 10), (2, 20)] {
        let mut numbered = request(refund, amount);
        numbered.details.wants_reference = true;
        bench.refund(numbered).expect("it fits");
    }
    let mut tomorrow = request(3, 30);
    tomorrow.details.wants_reference = true;
    tomorrow.ask.at_ms = NOW + 86_400_000;
    bench.refund(tomorrow).expect("it fits");
    let day = NOW / 86_400_000;
    let drawn: Vec<_> = bench.view(None).refunds.iter().map(|r| r.reference).collect();
    assert_eq!(drawn, [Some((day, 1)), Some((day, 2)), Some((day + 1, 1))]);
}
