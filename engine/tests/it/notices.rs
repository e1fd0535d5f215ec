//! What PSPs tell without being asked, in any order, any number of times.

use std::collections::BTreeSet;

use requite_core::decide::Amount;
use requite_core::id::{CaptureId, LegId, PaymentId, RefundId};
use requite_core::journal::Account;
use requite_core::money::Decimal;
use requite_core::refund::{Fault, Status};
use requite_core::settle::{Alarm, Outcome};
use requite_engine::command::{
    Command, CommandError, EXTERNAL, Mark, NewLeg, Notice, Noticed, Obstacle, Oddity,
    RefundRequest, Registration, Reply, Trust,
};
use requite_engine::inbox::{Inbox, ListPage};
use requite_engine::key::marked;
use requite_engine::psp::CallKind;
use requite_engine::read::{HistoryPage, Reads};

use crate::support::{
    Bench, Heard, MERCHANT, NOW, PAYMENT, declined, keyed, lost, minor, of, only, request,
    succeeded, told as told_of,
};

fn fault() -> Fault {
    Fault { code: "lost_or_stolen_card".to_owned(), text: "it came back".to_owned() }
}

/// As the PSP says it of its refund `id`.
fn said(word: &str, id: &str) -> Outcome {
    let psp_refund = Some(id.to_owned());
    match word {
        "pending" => Outcome::Pending { psp_refund },
        "succeeded" => Outcome::Succeeded { psp_refund },
        "failed" => Outcome::Declined { psp_refund, fault: fault() },
        "canceled" => Outcome::Voided { psp_refund, fault: fault() },
        other => panic!("the row says nothing that a PSP says: {other}"),
    }
}

/// Of 40.00, from a PSP that can be asked, without a mark of ours.
fn notice(outcome: Outcome) -> Notice {
    let registration = crate::support::registration("psp", &[]);
    Notice {
        merchant: MERCHANT,
        payment: PAYMENT,
        connector: "psp".to_owned(),
        mark: Mark::NotOurs,
        amount: minor(4_000),
        currency: registration.currency,
        outcome,
        said_at_ms: None,
        trust: Trust::LookUp,
        fresh: RefundId::new(900),
        at_ms: NOW + 20,
    }
}

fn ours(refund: u128, outcome: Outcome) -> Notice {
    Notice { mark: Mark::Ours(RefundId::new(refund)), ..notice(outcome) }
}

/// From a PSP that cannot be asked, about what happened at a time.
fn believed(word: &str, at: i64) -> Notice {
    Notice { trust: Trust::Evidence, said_at_ms: Some(NOW + at), ..ours(1, said(word, "re_1")) }
}

fn tell(bench: &mut Bench, notice: Notice) -> Heard {
    let heard = bench.batch(vec![Command::Notice(Box::new(notice))]);
    heard.into_iter().next().expect("one command")
}

fn noticed(heard: &Heard) -> Option<Noticed> {
    match only(heard)? {
        Ok(Reply::Noticed(noticed)) => Some(noticed),
        other => panic!("a notice is answered as one, not {other:?}"),
    }
}

/// One that is answered at once.
fn told(bench: &mut Bench, notice: Notice) -> Noticed {
    noticed(&tell(bench, notice)).expect("answered at once")
}

fn left(bench: &Bench) -> i64 {
    let view = bench.view(None);
    view.primary().captured() - view.refunded_or_open(view.primary().id)
}

fn alarms(bench: &Bench) -> Vec<Alarm> {
    let alarms = bench.place.registry().alarms(MERCHANT, &ListPage { until_ms: None, limit: 100 });
    let alarms = alarms.expect("readable");
    alarms.into_iter().map(|view| view.alarm).collect()
}

/// One refund of 40.00 whose call was answered so.
fn with_refund(outcome: Outcome) -> Bench {
    let mut bench = Bench::with_payment("psp");
    bench.start(request(1, 4_000));
    bench.answer(outcome);
    bench
}

#[test]
fn a_notice_that_says_nothing_new_asks_nobody() {
    for (answered, word) in
        [(succeeded(), "succeeded"), (said("pending", "re_1"), "pending"), (declined(), "failed")]
    {
        let mut bench = with_refund(answered);
        let mark = ours(1, said(word, "re_1"));
        let is_known = word != "failed";
        let answer = noticed(&tell(&mut bench, mark));
        assert_eq!(answer, is_known.then_some(Noticed::Known(of(1))), "{word}");
        assert_eq!(bench.sent.len(), if is_known { 1 } else { 2 }, "{word}: asked");
        bench.check();
    }
}

/// F36: what the PSP says when it is asked is what counts, also about refunds that are closed.
#[test]
fn a_notice_makes_a_look_up_and_its_finding_is_booked() {
    for (answered, word, found, status, answer) in [
        (lost(), "succeeded", succeeded(), Status::Succeeded, Noticed::Settled(of(1))),
        (lost(), "succeeded", lost(), Status::Unknown, Noticed::Later(Obstacle::NoAnswer)),
        (succeeded(), "failed", said("failed", "re_1"), Status::Reversed, Noticed::Settled(of(1))),
        (succeeded(), "failed", succeeded(), Status::Succeeded, Noticed::Known(of(1))),
        (succeeded(), "failed", lost(), Status::Succeeded, Noticed::Later(Obstacle::NoAnswer)),
        (
            said("pending", "re_1"),
            "canceled",
            said("canceled", "re_1"),
            Status::Voided,
            Noticed::Settled(of(1)),
        ),
        (declined(), "succeeded", succeeded(), Status::Succeeded, Noticed::Settled(of(1))),
        (declined(), "succeeded", declined(), Status::Declined, Noticed::Known(of(1))),
    ] {
        let mut bench = with_refund(answered);
        let heard = tell(&mut bench, ours(1, said(word, "re_1")));
        assert_eq!(noticed(&heard), None, "{word}: the PSP is asked first");
        let call = bench.sent.last().expect("a call");
        assert_eq!((call.kind, call.attempt), (CallKind::LookUp, 2), "{word}");
        bench.answer(found);
        assert_eq!(noticed(&heard), Some(answer), "{word}");
        assert_eq!(bench.statuses(), [status], "{word}");
        bench.check();
    }
}

/// F20, F32: the money comes back once, however often it is told.
#[test]
fn a_reversal_told_a_thousand_times_is_one() {
    let mut bench = with_refund(succeeded());
    let failed = || Command::Notice(Box::new(ours(1, said("failed", "re_1"))));
    let heard = bench.batch((0..250).map(|_| failed()).collect());
    bench.answer(said("failed", "re_1"));
    let answers: Vec<_> = heard.iter().filter_map(noticed).collect();
    assert_eq!(answers.len(), 250);
    let later = answers.iter().filter(|a| **a == Noticed::Later(Obstacle::CallUnderWay)).count();
    assert_eq!((later, bench.sent.len()), (249, 2), "one look-up for all");
    for _ in 0..3 {
        let heard = bench.batch((0..250).map(|_| failed()).collect());
        assert!(heard.iter().all(|heard| noticed(heard) == Some(Noticed::Known(of(1)))));
    }
    assert_eq!((bench.statuses(), left(&bench)), (vec![Status::Reversed], 10_000));
    assert_eq!(alarms(&bench), [Alarm::Reversed]);
    bench.check();
}

/// F33: before our own answer is here, nothing is asked: the answer may say it all.
#[test]
fn a_notice_waits_for_the_call_under_way() {
    let mut bench = Bench::with_payment("psp");
    bench.start(request(1, 4_000));
    let early = || ours(1, said("succeeded", "re_1"));
    assert_eq!(told(&mut bench, early()), Noticed::Later(Obstacle::CallUnderWay));
    bench.answer(succeeded());
    assert_eq!(told(&mut bench, early()), Noticed::Known(of(1)));
    assert_eq!((bench.sent.len(), left(&bench)), (1, 6_000));
    bench.check();
}

/// The call is another server's, or of this one before it died: until it is due it may still be answered.
#[test]
fn a_notice_waits_for_the_call_of_another_server() {
    let mut bench = Bench::with_payment("psp");
    bench.start(request(1, 4_000));
    bench.restart();
    let early = || ours(1, said("succeeded", "re_1"));
    assert_eq!(told(&mut bench, early()), Noticed::Later(Obstacle::CallUnderWay));
    let late = Notice { at_ms: NOW + 3_600_000, ..early() };
    let heard = tell(&mut bench, late);
    assert_eq!(bench.sent.last().expect("a call").kind, CallKind::LookUp);
    bench.answer(succeeded());
    assert_eq!(noticed(&heard), Some(Noticed::Settled(of(1))));
    assert_eq!(left(&bench), 6_000);
    bench.check();
}

/// The process died while the PSP was asked: the notice is still there, and asks again.
#[test]
fn a_notice_survives_a_crash_by_being_told_again() {
    let mut bench = with_refund(succeeded());
    tell(&mut bench, ours(1, said("failed", "re_1")));
    bench.restart();
    let heard = tell(&mut bench, ours(1, said("failed", "re_1")));
    bench.answer(said("failed", "re_1"));
    assert_eq!(noticed(&heard), Some(Noticed::Settled(of(1))));
    assert_eq!(bench.statuses(), [Status::Reversed]);
    bench.check();
}

/// A refund that was not sent yet, or is to be sent again, is looked up first when the PSP speaks of it.
#[test]
fn a_refund_that_waits_to_be_sent_again_is_looked_up_first() {
    let not_sent = Outcome::NotSent { fault: fault(), retry_after_ms: 60_000 };
    let mut bench = with_refund(not_sent);
    assert_eq!(bench.statuses(), [Status::Ready]);
    let heard = tell(&mut bench, ours(1, said("succeeded", "re_1")));
    assert_eq!(bench.sent.last().expect("a call").kind, CallKind::LookUp);
    bench.answer(succeeded());
    assert_eq!(noticed(&heard), Some(Noticed::Settled(of(1))));
    assert_eq!((bench.statuses(), left(&bench)), (vec![Status::Succeeded], 6_000));
    bench.check();
}

/// F21: what was made in the PSP's dashboard is on the books, once, and new refunds are judged on it.
#[test]
fn a_refund_made_elsewhere_counts_against_what_is_left() {
    let mut bench = Bench::with_payment("psp");
    let dashboard = || notice(said("succeeded", "re_9"));
    assert_eq!(told(&mut bench, dashboard()), Noticed::External(of(900)));
    let again = Notice { fresh: RefundId::new(901), ..dashboard() };
    assert_eq!(told(&mut bench, again), Noticed::Known(of(900)));
    let view = bench.view(None);
    let refund = &view.refunds[0];
    assert_eq!((refund.face.as_str(), refund.actor.as_str()), (EXTERNAL, "psp:psp"));
    assert_eq!(refund.psp_refund.as_deref(), Some("re_9"));
    let refused = bench.refund(request(1, 6_001));
    assert!(matches!(refused, Err(CommandError::Refused { .. })), "{refused:?}");
    assert_eq!((left(&bench), bench.sent.len()), (6_000, 0));
    assert_eq!(alarms(&bench), []);
    // It fails later, as any refund may.
    let heard = tell(&mut bench, notice(said("failed", "re_9")));
    bench.answer(said("failed", "re_9"));
    assert_eq!(noticed(&heard), Some(Noticed::Settled(of(900))));
    assert_eq!((bench.statuses(), left(&bench)), (vec![Status::Reversed], 10_000));
    bench.check();
}

#[test]
fn one_that_is_not_paid_yet_is_reserved_and_polled() {
    let mut bench = Bench::with_payment("psp");
    assert_eq!(told(&mut bench, notice(said("pending", "re_9"))), Noticed::External(of(900)));
    assert_eq!((bench.statuses(), left(&bench)), (vec![Status::Pending], 6_000));
    let wake = Command::Wake { refund: of(900), at_ms: NOW + 60_000, is_restart: false };
    bench.ask(wake).expect("noted");
    let call = bench.sent.last().expect("a call");
    assert_eq!((call.kind, call.psp_refund.as_deref()), (CallKind::LookUp, Some("re_9")));
    bench.answer(said("succeeded", "re_9"));
    assert_eq!((bench.statuses(), left(&bench)), (vec![Status::Succeeded], 6_000));
    let big = Notice {
        amount: minor(6_001),
        fresh: RefundId::new(901),
        ..notice(said("pending", "re_10"))
    };
    assert_eq!(told(&mut bench, big), Noticed::Later(Obstacle::DoesNotFit));
    let nothing = Notice { fresh: RefundId::new(902), ..notice(said("failed", "re_11")) };
    assert_eq!(told(&mut bench, nothing), Noticed::MovedNothing);
    assert_eq!(bench.statuses().len(), 1);
    bench.check();
}

/// Paid money cannot be denied: what does not fit is excess, until something held comes free.
#[test]
fn what_does_not_fit_is_excess_until_something_comes_free() {
    let mut bench = Bench::with_payment("psp");
    bench.start(request(1, 8_000));
    let dashboard = notice(said("succeeded", "re_9"));
    assert_eq!(told(&mut bench, dashboard), Noticed::External(of(900)));
    assert_eq!(alarms(&bench), [Alarm::Excess]);
    bench.check();
    assert_eq!(bench.view(None).primary().captures[0].refunded.units(), 4_000);
    // Of the 80.00 that come free 20.00 were paid already.
    bench.answer(declined());
    bench.check();
    let page = HistoryPage { after: None, newest_first: false, limit: 100 };
    let accounts = bench.reads().journal(MERCHANT, PAYMENT, &page).expect("readable").accounts;
    assert_eq!((accounts[0].credit(Account::Excess), left(&bench)), (0, 6_000));
    assert!(bench.refund(request(2, 6_001)).is_err());
    bench.start(request(3, 6_000));
    bench.answer(succeeded());
    assert_eq!(left(&bench), 0);
    bench.check();
}

/// The PSP showed it without our mark, and it was taken for another's: when our own call says that it is
/// ours, it counts once.
#[test]
fn one_of_ours_that_was_taken_for_anothers_counts_once() {
    for word in ["succeeded", "pending"] {
        let mut bench = Bench::with_payment("psp");
        bench.start(request(1, 4_000));
        assert_eq!(told(&mut bench, notice(said(word, "re_1"))), Noticed::External(of(900)));
        assert_eq!(left(&bench), 2_000, "{word}: until it is known, both count");
        bench.answer(succeeded());
        let taken_back = if word == "pending" { Status::Voided } else { Status::Reversed };
        assert_eq!(bench.statuses(), [Status::Succeeded, taken_back]);
        assert_eq!(left(&bench), 6_000, "{word}");
        // From now on the PSP's id is that of ours.
        assert_eq!(told(&mut bench, notice(said("succeeded", "re_1"))), Noticed::Known(of(1)));
        bench.check();
    }
}

/// The PSP's ids are told apart by their payments: what was made elsewhere of another payment stays.
#[test]
fn a_refund_of_another_payment_with_the_same_id_is_no_twin() {
    let mut bench = Bench::with_payment("psp");
    let primary = NewLeg { id: LegId::new(60), amount: minor(10_000) };
    let other = Registration {
        payment: PaymentId::new(8),
        external_identifier: None,
        gift_cards: Vec::new(),
        captures: vec![(CaptureId::new(160), minor(10_000))],
        primary,
        ..crate::support::registration("psp", &[])
    };
    bench.ask(Command::Register(Box::new(other))).expect("registered");
    bench.start(request(1, 4_000));
    let finding = requite_core::settle::Finding { attempt: 1, outcome: succeeded(), at_ms: NOW };
    let elsewhere = Notice { payment: PaymentId::new(8), ..notice(said("succeeded", "re_1")) };
    let heard = bench.batch(vec![
        Command::Notice(Box::new(elsewhere)),
        Command::Settle { refund: of(1), finding },
    ]);
    assert!(matches!(noticed(&heard[0]), Some(Noticed::External(_))));
    let view = bench.reads().payment(MERCHANT, PaymentId::new(8), None);
    let view = view.expect("readable").expect("registered");
    let statuses: Vec<Status> = view.refunds.iter().map(|refund| refund.status).collect();
    assert_eq!((statuses, bench.statuses()), (vec![Status::Succeeded], vec![Status::Succeeded]));
    bench.check();
}

/// All of it in one batch, and the other way round.
#[test]
fn an_answer_and_a_notice_in_one_batch_count_once() {
    for is_notice_first in [true, false] {
        let mut bench = Bench::with_payment("psp");
        bench.start(request(1, 4_000));
        let finding =
            requite_core::settle::Finding { attempt: 1, outcome: succeeded(), at_ms: NOW };
        let mut batch = vec![
            Command::Settle { refund: of(1), finding },
            Command::Notice(Box::new(notice(said("succeeded", "re_1")))),
        ];
        if is_notice_first {
            batch.reverse();
        }
        bench.batch(batch);
        assert_eq!(left(&bench), 6_000, "notice first: {is_notice_first}");
        bench.check();
    }
}

#[test]
fn a_second_payment_under_our_own_key_is_seen() {
    let mut bench = with_refund(succeeded());
    let twice = ours(1, said("succeeded", "re_2"));
    assert_eq!(told(&mut bench, twice), Noticed::External(of(900)));
    assert_eq!(alarms(&bench), [Alarm::PaidTwice]);
    assert_eq!(left(&bench), 2_000);
    bench.check();
}

/// A PSP whose notices have no room for a key, and that cannot be asked: an open refund of the amount may be meant,
/// or one that somebody made there by hand. Nothing is settled on a guess: once ours has its name, it is known.
#[test]
fn without_a_key_a_notice_waits_until_the_open_refund_of_its_amount_has_its_name() {
    let unmarked = || Notice { mark: Mark::Unstated, ..believed("succeeded", 5) };
    let mut bench = with_refund(lost());
    assert_eq!(told(&mut bench, unmarked()), Noticed::Later(Obstacle::Unnamed));
    assert_eq!((bench.statuses(), left(&bench)), (vec![Status::Unknown], 6_000));
    let named = believed("succeeded", 6);
    assert_eq!(told(&mut bench, named), Noticed::Settled(of(1)));
    assert_eq!(told(&mut bench, unmarked()), Noticed::Known(of(1)));
    let by_hand = Outcome::Succeeded { psp_refund: Some("re_by_hand".to_owned()) };
    let by_hand = Notice { outcome: by_hand, ..unmarked() };
    assert_eq!(told(&mut bench, by_hand), Noticed::External(of(900)));
    assert_eq!(left(&bench), 2_000);
    bench.check();
}

#[test]
fn a_notice_that_may_be_of_any_of_several_open_refunds_waits() {
    let unmarked = || Notice { mark: Mark::Unstated, ..believed("succeeded", 5) };
    let mut bench = with_refund(lost());
    bench.start(request(2, 4_000));
    bench.answer(lost());
    assert_eq!(told(&mut bench, unmarked()), Noticed::Later(Obstacle::Unnamed));
    let other = Notice { amount: minor(1_000), ..unmarked() };
    assert_eq!(told(&mut bench, other), Noticed::External(of(900)));
    bench.check();
}

#[test]
fn what_cannot_be_right_changes_nothing() {
    let mut bench = with_refund(lost());
    let ours = || ours(1, said("succeeded", "re_1"));
    let elsewhere = requite_core::id::PaymentId::new(8);
    let eur = requite_core::currency::Currency::parse("EUR").expect("listed");
    for (odd, why) in [
        (Notice { connector: "other".to_owned(), ..ours() }, Oddity::OtherAccount),
        (Notice { payment: elsewhere, ..ours() }, Oddity::OtherAccount),
        (Notice { currency: eur, ..ours() }, Oddity::OtherCurrency),
        (Notice { amount: minor(3_999), ..ours() }, Oddity::OtherAmount),
        (Notice { outcome: Outcome::Absent, ..ours() }, Oddity::Untold),
        (Notice { outcome: lost(), ..ours() }, Oddity::Untold),
    ] {
        assert_eq!(told(&mut bench, odd), Noticed::Odd(why));
    }
    assert_eq!((bench.statuses(), bench.sent.len()), (vec![Status::Unknown], 1));
    bench.check();
}

/// Every order, each once.
fn orders<T: Clone + Ord>(items: &[T]) -> BTreeSet<Vec<T>> {
    permutations(items).into_iter().collect()
}

fn permutations<T: Clone>(items: &[T]) -> Vec<Vec<T>> {
    let Some((first, rest)) = items.split_first() else {
        return vec![Vec::new()];
    };
    let mut all = Vec::new();
    for shorter in permutations(rest) {
        for at in 0..=shorter.len() {
            let mut longer = shorter.clone();
            longer.insert(at, first.clone());
            all.push(longer);
        }
    }
    all
}

/// F33, of a PSP that can be asked: whatever comes in whatever order, the books end as the PSP's.
#[test]
fn five_events_in_any_order_end_as_the_psp_says() {
    let words = ["pending", "pending", "succeeded", "succeeded", "failed"];
    for (truth, status, back) in
        [("failed", Status::Reversed, 10_000), ("succeeded", Status::Succeeded, 6_000)]
    {
        for order in orders(&words) {
            let mut bench = with_refund(succeeded());
            for word in &order {
                let heard = tell(&mut bench, ours(1, said(word, "re_1")));
                if noticed(&heard).is_none() {
                    bench.answer(said(truth, "re_1"));
                }
            }
            assert_eq!((bench.statuses(), left(&bench)), (vec![status], back), "{order:?}");
            let moves = bench.view(None).seq;
            let expected = if truth == "failed" { 6 } else { 5 };
            assert_eq!(moves, expected, "{order:?}: one transition");
        }
    }
}

/// F33, of a PSP that cannot: what happened last stands, in whatever order it is told.
#[test]
fn five_believed_events_in_any_order_end_with_the_last_one() {
    let events = [("pending", 1), ("succeeded", 2), ("succeeded", 2), ("failed", 3), ("failed", 3)];
    for order in orders(&events) {
        let mut bench = with_refund(lost());
        for (word, at) in &order {
            told(&mut bench, believed(word, *at));
        }
        let status = bench.statuses()[0];
        assert!(!status.holds_money(), "{order:?} ended {status:?}");
        assert_eq!(left(&bench), 10_000, "{order:?}");
    }
    let mut bench = with_refund(lost());
    told(&mut bench, believed("failed", 2));
    told(&mut bench, believed("succeeded", 3));
    assert_eq!((bench.statuses(), left(&bench)), (vec![Status::Succeeded], 6_000));
    assert_eq!(alarms(&bench), [Alarm::LateSuccess]);
    bench.check();
}

/// A refund of 40.00 as the desk asks for it: its id has bits of its key.
fn marked_by(number: u128, amount: i64, text: &str) -> RefundRequest {
    let mut wish = keyed(number, amount, text);
    wish.ask.refund = marked(RefundId::new(number << 64), &wish.keys);
    wish
}

/// It was made before a backup was restored: the PSP tells of it, and whoever asks again under its key is answered
/// with it. Told under another of the PSP's ids it was paid twice.
#[test]
fn a_refund_of_ours_that_is_not_known_is_found_by_its_key() {
    let major = |text| Amount::Major(Decimal::parse(text).expect("a decimal"));
    // What is asked for, under which key, and whether that is the refund that was lost; `None`: the key was for
    // something else.
    for (amount, text, is_same) in [
        (Amount::Minor(4_000), "k1", Some(true)),
        (Amount::Minor(3_999), "k1", None),
        (major("40.00"), "k1", Some(true)),
        (major("39.99"), "k1", None),
        (Amount::Remaining, "k1", Some(true)),
        (Amount::Minor(1_000), "k2", Some(false)),
        (Amount::Minor(1_000), "", Some(false)),
    ] {
        let mut bench = Bench::with_payment("psp");
        let made = marked_by(1, 4_000, "k1");
        for (id, fresh) in [("re_1", 900), ("re_2", 901)] {
            let mark = Mark::Ours(made.ask.refund);
            let told = Notice { mark, fresh: of(fresh).refund, ..notice(said("succeeded", id)) };
            let noticed = bench.ask(Command::Notice(Box::new(told)));
            assert_eq!(noticed, Ok(Reply::Noticed(Noticed::External(of(fresh)))), "{id}");
        }
        bench.restart_restored();
        let mut wish = marked_by(2, 4_000, if text.is_empty() { "k1" } else { text });
        wish.ask.amount = amount.clone();
        if text.is_empty() {
            wish.keys.clear();
        }
        let heard = bench.start(wish);
        match is_same {
            Some(true) => {
                let same = told_of(&heard).expect("the same");
                let (refund, status) = (same.refund, same.status);
                assert_eq!((refund, status, same.is_replay), (of(900), Status::Succeeded, true));
            }
            Some(false) => assert_eq!(bench.sent.len(), 1, "{amount:?} under {text}"),
            None => assert_eq!(only(&heard), Some(Err(CommandError::KeyReused)), "{amount:?}"),
        }
        assert_eq!(bench.sent.len(), usize::from(is_same == Some(false)));
        bench.check();
    }
}
