//! A refund that would be refused for money that an unknown one holds: that one is asked after first.

use requite_core::decide::Refusal;
use requite_core::refund::Status;
use requite_core::settle::{Finding, Outcome};
use requite_engine::command::{Command, CommandError, Noticed, RefundRequest, Reply};
use requite_engine::psp::CallKind;

use crate::support::{
    Bench, Heard, MERCHANT, NOW, PAYMENT, declined, keyed, lost, of, only, request, succeeded,
};

/// When half of the first wait between look-ups is over.
const SOON: i64 = NOW + 1_000;

/// 100.00, of which 80.00 were asked for, and the answer was lost.
fn doubtful() -> Bench {
    let mut bench = Bench::with_payment("psp");
    bench.start(request(1, 8_000));
    bench.answer(lost());
    assert_eq!(bench.statuses(), [Status::Unknown]);
    bench
}

fn propose(request: RefundRequest) -> Command {
    Command::Propose(Box::new(request))
}

fn clarify(bench: &mut Bench, at_ms: i64) -> Heard {
    let command = Command::Clarify { merchant: MERCHANT, payment: PAYMENT, at_ms };
    bench.batch(vec![command]).into_iter().next().expect("one command")
}

fn settle(bench: &mut Bench, outcome: Outcome, at_ms: i64) {
    let call = bench.sent.last().expect("a call was made").clone();
    let finding = Finding { attempt: call.attempt, outcome, at_ms };
    bench.ask(Command::Settle { refund: call.refund, finding }).expect("noted");
}

#[test]
fn a_refund_in_the_way_is_looked_up_and_the_next_one_is_judged_on_the_truth() {
    for (found, noticed, refused) in [
        (declined(), Noticed::Settled(of(1)), false),
        (succeeded(), Noticed::Settled(of(1)), true),
        (lost(), Noticed::Later(requite_engine::command::Obstacle::NoAnswer), true),
    ] {
        let mut bench = doubtful();
        let wish = keyed(2, 5_000, "twice");
        assert_eq!(bench.ask(propose(wish.clone())), Ok(Reply::Doubtful));
        let heard = clarify(&mut bench, SOON);
        assert_eq!(only(&heard), None, "it waits for what the look-up finds");
        let call = bench.sent.last().expect("a call was made");
        assert_eq!((call.kind, call.refund), (CallKind::LookUp, of(1)));
        settle(&mut bench, found, SOON + 20);
        assert_eq!(only(&heard), Some(Ok(Reply::Noticed(noticed))));
        assert_eq!(only(&clarify(&mut bench, SOON + 30)), Some(Ok(Reply::Noted)), "all is said");
        // The key was left free for the decision.
        let decided = bench.start(wish);
        match refused {
            true => {
                let refusal = match only(&decided) {
                    Some(Err(CommandError::Refused { refusal, is_replay: false })) => refusal,
                    other => panic!("refused on the truth: {other:?}"),
                };
                assert!(matches!(refusal, Refusal::ExceedsLeft { .. }), "{refusal:?}");
            }
            false => assert_eq!(only(&decided), None, "it is on its way"),
        }
        bench.check();
    }
}

/// What the PSP had named and does not show any more is unknown like any other.
#[test]
fn a_refund_that_vanished_is_asked_after_too() {
    let mut bench = Bench::with_payment("psp");
    bench.start(request(1, 8_000));
    bench.answer(Outcome::Pending { psp_refund: Some("re_1".to_owned()) });
    let wake = Command::Wake { refund: of(1), at_ms: NOW + 1_010, is_restart: false };
    bench.ask(wake).expect("noted");
    bench.answer(Outcome::Absent);
    assert_eq!(bench.statuses(), [Status::Unknown]);
    assert_eq!(bench.ask(propose(request(2, 5_000))), Ok(Reply::Doubtful));
    let heard = clarify(&mut bench, SOON);
    let call = bench.sent.last().expect("a call was made");
    assert_eq!((call.kind, call.attempt), (CallKind::LookUp, 3));
    settle(&mut bench, Outcome::Declined { psp_refund: None, fault: Default::default() }, SOON + 9);
    assert_eq!(only(&heard), Some(Ok(Reply::Noticed(Noticed::Settled(of(1))))));
    bench.check();
}

/// What fits, what is refused for another reason, and what no open refund could make room for, is decided
/// at once.
#[test]
fn only_what_depends_on_open_refunds_is_doubtful() {
    for (amount, is_doubtful) in
        [(2_000, false), (2_001, true), (10_000, true), (10_001, false), (0, false), (-1, false)]
    {
        let mut bench = doubtful();
        let heard = bench.batch(vec![propose(request(2, amount))]);
        let heard = only(heard.first().expect("one command"));
        assert_eq!(heard == Some(Ok(Reply::Doubtful)), is_doubtful, "{amount}: {heard:?}");
        let is_taken = heard.is_none();
        assert_eq!(is_taken, amount == 2_000, "{amount}");
    }
    let mut bench = Bench::with_payment("psp");
    let refused = bench.ask(propose(request(1, 10_001)));
    assert!(matches!(refused, Err(CommandError::Refused { .. })), "{refused:?}");
}

/// Whoever comes while a look-up is under way waits for that one; a thousand who come make a few calls.
#[test]
fn many_who_depend_on_one_refund_make_one_look_up() {
    let mut bench = doubtful();
    let first = clarify(&mut bench, SOON);
    let calls = bench.sent.len();
    let others: Vec<Heard> = (0..1_000).map(|_| clarify(&mut bench, SOON + 1)).collect();
    assert_eq!(bench.sent.len(), calls, "one is under way");
    settle(&mut bench, lost(), SOON + 20);
    for heard in others.iter().chain([&first]) {
        assert!(matches!(only(heard), Some(Ok(Reply::Noticed(_)))));
    }
    for ms in 0..1_000 {
        if only(&clarify(&mut bench, SOON + 20 + ms)).is_none() {
            settle(&mut bench, lost(), SOON + 20 + ms);
        }
    }
    let more = bench.sent.len() - calls;
    assert!(more <= 2, "{more} calls in a second");
    bench.check();
}

/// Nothing is asked after that is known, and nothing of another payment or merchant.
#[test]
fn where_nothing_is_unknown_nobody_is_asked() {
    let mut bench = Bench::with_payment("psp");
    bench.start(request(1, 8_000));
    assert_eq!(only(&clarify(&mut bench, SOON)), Some(Ok(Reply::Noted)), "its first call is out");
    bench.answer(Outcome::Pending { psp_refund: Some("re_1".to_owned()) });
    let later = NOW + 86_400_000;
    assert_eq!(only(&clarify(&mut bench, later)), Some(Ok(Reply::Noted)), "its PSP has it");
    assert_eq!(bench.sent.len(), 1);
    let elsewhere = Command::Clarify {
        merchant: requite_core::id::MerchantId::new(99),
        payment: PAYMENT,
        at_ms: later,
    };
    assert_eq!(bench.ask(elsewhere), Ok(Reply::Noted));
    bench.check();
}
