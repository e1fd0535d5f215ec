use requite_core::decide::{Amount, decide};
use requite_core::journal::Account;
use requite_core::money::Minor;
use requite_core::payment::Payment;
use requite_core::refund::{Fault, Refund, Status};
use requite_core::schedule::{self, Step};
use requite_core::settle::{
    Alarm, Finding, Outcome, inquire, postpone, revive, send, settle, wake,
};

use crate::support::{ask, minor, payment};

pub(crate) fn fault() -> Fault {
    Fault { code: "05".to_owned(), text: "do not honour".to_owned() }
}

pub(crate) fn outcome(word: &str) -> Outcome {
    let psp_refund = Some("re_1".to_owned());
    match word {
        "succeeded" => Outcome::Succeeded { psp_refund },
        "pending" => Outcome::Pending { psp_refund },
        "requires_action" => Outcome::RequiresAction { psp_refund },
        "declined" => Outcome::Declined { psp_refund, fault: fault() },
        "voided" => Outcome::Voided { psp_refund, fault: fault() },
        "failed" => Outcome::Failed { fault: fault() },
        "unknown" => Outcome::Unknown { fault: fault() },
        "not_sent" => Outcome::NotSent { fault: fault(), retry_after_ms: 0 },
        "unreached" => Outcome::Unreached { fault: fault(), retry_after_ms: 0 },
        "absent" => Outcome::Absent,
        other => panic!("the row names no outcome: {other}"),
    }
}

/// A refund of 4000 of 10000 that was sent once.
pub(crate) fn sent() -> (Payment, Refund) {
    let mut payment = payment("USD", 10_000, &[(10_000, 0, 0)]);
    let plan = decide(&payment, &ask(Amount::Minor(4_000)), false).expect("it fits");
    payment.post(&plan.entries).expect("it fits");
    let (change, step) = send(&plan.refund, 1_000_000);
    assert_eq!(step, Step::Send);
    (payment, change.refund)
}

/// Applies outcomes in order, each as the answer to the newest call.
pub(crate) fn told(words: &[&str]) -> (Payment, Refund, Option<Alarm>) {
    let (mut payment, mut refund) = sent();
    let mut alarm = None;
    for word in words {
        let finding = Finding { attempt: refund.attempt, outcome: outcome(word), at_ms: 2_000_000 };
        if let Some(change) = settle(&payment, &refund, &finding) {
            payment.post(&change.entries).expect("core decided on this state");
            refund = change.refund;
            alarm = alarm.or(change.alarm);
        }
    }
    (payment, refund, alarm)
}

#[test]
fn an_outcome_moves_money_only_with_proof() {
    // outcomes told                          status              reserved refunded
    let rows: &[(&[&str], Status, i64, i64)] = &[
        (&["succeeded"], Status::Succeeded, 0, 4_000),
        (&["declined"], Status::Declined, 0, 0),
        (&["failed"], Status::Failed, 0, 0),
        (&["voided"], Status::Voided, 0, 0),
        (&["pending", "voided"], Status::Voided, 0, 0),
        (&["unknown", "voided"], Status::Voided, 0, 0),
        (&["requires_action", "voided"], Status::Voided, 0, 0),
        (&["voided", "declined"], Status::Voided, 0, 0),
        (&["voided", "succeeded"], Status::Succeeded, 0, 4_000),
        (&["succeeded", "voided"], Status::Reversed, 0, 0),
        (&["unknown"], Status::Unknown, 4_000, 0),
        (&["pending"], Status::Pending, 4_000, 0),
        (&["requires_action"], Status::RequiresAction, 4_000, 0),
        (&["unknown", "succeeded"], Status::Succeeded, 0, 4_000),
        (&["unknown", "unknown"], Status::Unknown, 4_000, 0),
        (&["unknown", "absent"], Status::Ready, 4_000, 0),
        (&["unknown", "declined"], Status::Declined, 0, 0),
        (&["not_sent"], Status::Ready, 4_000, 0),
        (&["not_sent", "not_sent"], Status::Ready, 4_000, 0),
        (&["not_sent", "unknown"], Status::Unknown, 4_000, 0),
        (&["not_sent", "succeeded"], Status::Succeeded, 0, 4_000),
        (&["unknown", "not_sent"], Status::Unknown, 4_000, 0),
        (&["pending", "not_sent"], Status::Pending, 4_000, 0),
        (&["declined", "not_sent"], Status::Declined, 0, 0),
        (&["unreached"], Status::Ready, 4_000, 0),
        (&["unreached", "unreached"], Status::Ready, 4_000, 0),
        (&["unreached", "succeeded"], Status::Succeeded, 0, 4_000),
        (&["unknown", "unreached"], Status::Unknown, 4_000, 0),
        (&["pending", "unreached"], Status::Pending, 4_000, 0),
        (&["requires_action", "unreached"], Status::RequiresAction, 4_000, 0),
        (&["declined", "unreached"], Status::Declined, 0, 0),
        (&["succeeded", "unreached"], Status::Succeeded, 0, 4_000),
        (&["pending", "unknown"], Status::Pending, 4_000, 0),
        (&["pending", "absent"], Status::Unknown, 4_000, 0),
        (&["pending", "absent", "absent"], Status::Unknown, 4_000, 0),
        (&["pending", "succeeded"], Status::Succeeded, 0, 4_000),
        (&["pending", "declined"], Status::Declined, 0, 0),
        (&["requires_action", "pending"], Status::Pending, 4_000, 0),
        (&["requires_action", "unknown"], Status::RequiresAction, 4_000, 0),
        (&["succeeded", "succeeded"], Status::Succeeded, 0, 4_000),
        (&["succeeded", "unknown"], Status::Succeeded, 0, 4_000),
        (&["succeeded", "pending"], Status::Succeeded, 0, 4_000),
        (&["succeeded", "absent"], Status::Succeeded, 0, 4_000),
        (&["succeeded", "failed"], Status::Reversed, 0, 0),
        (&["succeeded", "declined"], Status::Reversed, 0, 0),
        (&["succeeded", "failed", "failed"], Status::Reversed, 0, 0),
        (&["declined", "declined"], Status::Declined, 0, 0),
        (&["declined", "unknown"], Status::Declined, 0, 0),
        (&["failed", "pending"], Status::Failed, 0, 0),
        (&["failed", "succeeded"], Status::Succeeded, 0, 4_000),
    ];
    for (words, status, reserved, refunded) in rows {
        let (payment, refund, _) = told(words);
        assert_eq!(refund.status, *status, "{words:?}");
        assert_eq!(payment.primary().reserved().units(), *reserved, "{words:?}");
        assert_eq!(payment.primary().refunded().units(), *refunded, "{words:?}");
        assert_eq!(refund.next_action_at_ms.is_some(), status.is_open(), "{words:?}");
    }
}

#[test]
fn what_should_not_happen_is_booked_and_raises_an_alarm() {
    assert_eq!(told(&["declined", "succeeded"]).2, Some(Alarm::LateSuccess));
    assert_eq!(told(&["voided", "succeeded"]).2, Some(Alarm::LateSuccess));
    assert_eq!(told(&["succeeded", "declined"]).2, Some(Alarm::Reversed));
    assert_eq!(told(&["pending", "absent"]).2, Some(Alarm::Vanished));
    assert_eq!(told(&["unknown", "absent"]).2, None);
}

/// A late success that no longer fits: what fits is given back, the rest is excess.
#[test]
fn a_late_success_never_overdraws_a_capture() {
    let (mut payment, refund, _) = told(&["declined"]);
    let other = decide(&payment, &ask(Amount::Minor(9_000)), true).expect("it was freed");
    payment.post(&other.entries).expect("it fits");
    let finding = Finding { attempt: refund.attempt, outcome: outcome("succeeded"), at_ms: 3 };
    let change = settle(&payment, &refund, &finding).expect("a success is never ignored");
    let booked: Vec<_> =
        change.entries.iter().map(|e| (e.debit, e.credit, e.amount.units())).collect();
    assert_eq!(
        booked,
        [
            (Account::Refundable, Account::Refunded, 1_000),
            (Account::Excess, Account::PspClearing, 3_000)
        ]
    );
    payment.post(&change.entries).expect("what fits fits");
    assert_eq!(payment.primary().refunded(), minor(10_000));
}

/// What an overtaken call did not see proves nothing about the call after it.
#[test]
fn an_overtaken_call_proves_only_success() {
    let (payment, refund) = sent();
    let (looking, _) = wake(&refund, i64::MAX).expect("its time has come");
    for word in ["absent", "unknown", "failed", "declined", "pending", "requires_action"] {
        let finding = Finding { attempt: refund.attempt, outcome: outcome(word), at_ms: 5 };
        assert_eq!(settle(&payment, &looking.refund, &finding), None, "{word}");
    }
    let finding = Finding { attempt: refund.attempt, outcome: outcome("succeeded"), at_ms: 5 };
    let change = settle(&payment, &looking.refund, &finding).expect("it happened");
    assert_eq!(change.refund.status, Status::Succeeded);
}

#[test]
fn a_refund_is_sent_again_only_after_proof_of_absence() {
    let (_, refund, _) = told(&["unknown"]);
    let (looking, step) = wake(&refund, i64::MAX).expect("due");
    assert_eq!((step, looking.refund.status), (Step::LookUp, Status::Unknown));
    assert_eq!((looking.refund.attempt, looking.refund.sends), (2, 1));
    let (_, absent, _) = told(&["unknown", "absent"]);
    let (again, step) = send(&absent, 7);
    assert_eq!((step, again.refund.status), (Step::Send, Status::Dispatched));
    assert_eq!((again.refund.attempt, again.refund.sends), (2, 2));
}

#[test]
fn a_call_that_died_with_the_process_is_looked_up() {
    let (_, refund) = sent();
    assert_eq!(wake(&refund, 1_000_001), None, "its call may still be answered");
    let (change, step) = revive(&refund, 1_000_001).expect("open");
    assert_eq!((step, change.refund.status), (Step::LookUp, Status::Unknown));
    let (_, closed, _) = told(&["declined"]);
    assert_eq!(revive(&closed, 1_000_001), None);
    assert_eq!(wake(&closed, i64::MAX), None);
}

/// `Retry-After` holds across restarts: nothing was under way that could have died.
#[test]
fn a_restart_does_not_hurry_what_waits_to_be_sent() {
    let (payment, refund) = sent();
    let busy = Outcome::NotSent { fault: fault(), retry_after_ms: 90_000 };
    let finding = Finding { attempt: refund.attempt, outcome: busy, at_ms: 1_000_000 };
    let refund = settle(&payment, &refund, &finding).expect("news").refund;
    assert_eq!(revive(&refund, 1_089_999), None);
    let (_, step) = revive(&refund, 1_090_000).expect("due");
    assert_eq!(step, Step::Send);
}

/// A process that dies again and again looks a refund up again and again, not ever more rarely.
#[test]
fn restarts_do_not_make_look_ups_rarer() {
    let (payment, sent) = sent();
    let mut refund = sent;
    for restart in 1..=20 {
        let (change, step) = revive(&refund, 1_000_000 + restart).expect("open");
        assert_eq!(step, Step::LookUp);
        refund = change.refund;
    }
    let finding =
        Finding { attempt: refund.attempt, outcome: outcome("unknown"), at_ms: 2_000_000 };
    let refund = settle(&payment, &refund, &finding).expect("news").refund;
    assert_eq!(refund.next_action_at_ms, Some(2_000_000 + schedule::UNKNOWN[0]));
}

#[test]
fn an_open_refund_is_looked_at_ever_more_rarely_but_never_never() {
    let (payment, mut refund, _) = told(&["unknown"]);
    let mut now = refund.next_action_at_ms.expect("open");
    let mut distances = Vec::new();
    for _ in 0..13 {
        let (change, step) = wake(&refund, now).expect("due");
        assert_eq!(step, Step::LookUp);
        assert_eq!(wake(&change.refund, now), None, "one look-up at a time");
        let attempt = change.refund.attempt;
        let finding = Finding { attempt, outcome: outcome("unknown"), at_ms: now };
        refund = settle(&payment, &change.refund, &finding).expect("open").refund;
        let next = refund.next_action_at_ms.expect("open");
        distances.push(next - now);
        now = next;
    }
    let expected: Vec<i64> =
        schedule::UNKNOWN.iter().copied().skip(1).chain([21_600_000; 3]).collect();
    assert_eq!(distances, expected);
    let dense: i64 = schedule::UNKNOWN.iter().rev().skip(2).sum();
    assert_eq!(schedule::PEOPLE_UNKNOWN, dense, "people are asked when the dense part is over");
}

#[test]
fn every_status_has_one_number_one_word_and_its_moves() {
    for (status, number, word) in Status::LISTED {
        assert_eq!((status.number(), status.word()), (number, word));
        assert_eq!(Status::from_number(number), Some(status));
        assert_eq!(Status::from_word(word), Some(status));
        assert_eq!(status.is_open(), number <= 8, "{word}: the store's check counts on it");
        assert!(!status.may_become(status), "{word}");
        let moves = Status::LISTED.iter().filter(|(to, ..)| status.may_become(*to)).count();
        assert!(moves > 0, "{word} leads nowhere");
    }
    assert_eq!(Status::from_number(0), None);
    assert_eq!(Status::from_word("lost"), None);
    for (account, number) in Account::NUMBERED {
        assert_eq!(account.number(), number);
        assert_eq!(Account::from_number(number), Some(account));
        assert!(!account.word().is_empty());
    }
    assert!(!Minor::default().units().is_positive());
    for (alarm, word) in Alarm::LISTED {
        assert_eq!((alarm.word(), Alarm::from_word(word)), (word, Some(alarm)));
    }
}

/// A PSP that does nothing hears of a refund at most ten times in the first hour, whichever way it
/// does nothing.
#[test]
fn a_psp_that_does_nothing_is_called_ten_times_in_the_first_hour() {
    for words in [&["not_sent"][..], &["unknown", "absent"]] {
        let (payment, mut refund) = sent();
        let (mut now, mut calls) = (1_000_000_i64, 1);
        let end = now + 3_600_000;
        let mut told = words.iter().cycle();
        loop {
            let outcome = outcome(told.next().expect("it goes round"));
            let finding = Finding { attempt: refund.attempt, outcome, at_ms: now };
            refund = settle(&payment, &refund, &finding).expect("news").refund;
            now = refund.next_action_at_ms.expect("it is open").max(now);
            if now >= end {
                break;
            }
            let (change, step) = wake(&refund, now).expect("its time has come");
            assert_ne!(step, Step::Wait);
            refund = change.refund;
            calls += 1;
        }
        assert!((5..=10).contains(&calls), "{words:?}: {calls} calls");
    }
}

#[test]
fn a_psp_that_wants_to_be_left_alone_is() {
    let (payment, refund) = sent();
    let outcome = Outcome::NotSent { fault: fault(), retry_after_ms: 90_000 };
    let finding = Finding { attempt: refund.attempt, outcome, at_ms: 2_000_000 };
    let change = settle(&payment, &refund, &finding).expect("news");
    assert_eq!(change.refund.next_action_at_ms, Some(2_090_000));
    assert!(wake(&change.refund, 2_089_999).is_none());
    let (next, step) = wake(&change.refund, 2_090_000).expect("its time has come");
    assert_eq!((step, next.refund.sends, next.refund.id), (Step::Send, 2, refund.id));
}

/// An unknown refund after so many look-ups without an answer, and the time.
fn looked_up(looks: u32) -> (Payment, Refund, i64) {
    let (payment, mut refund, _) = told(&["unknown"]);
    let mut now = 2_000_000;
    for _ in 0..looks {
        now = refund.next_action_at_ms.expect("open");
        let (change, _) = wake(&refund, now).expect("due");
        refund = answered(&payment, &change.refund, outcome("unknown"), now);
    }
    (payment, refund, now)
}

fn answered(payment: &Payment, refund: &Refund, outcome: Outcome, at_ms: i64) -> Refund {
    let finding = Finding { attempt: refund.attempt, outcome, at_ms };
    settle(payment, refund, &finding).expect("news of an open refund").refund
}

/// A look-up that did not reach the PSP comes back when the way is open, and uses up no wait of the
/// schedule; until then it is tried at most every five minutes, and never less often.
#[test]
fn a_look_up_that_is_held_back_comes_back_when_it_may() {
    for looks in 0..13 {
        let (payment, mut refund, _) = looked_up(looks);
        let mut now = refund.next_action_at_ms.expect("open");
        for retry_after_ms in [0, 1_000, 60_000, 0, 400_000, 0] {
            let (change, step) = wake(&refund, now).expect("due");
            assert_eq!(step, Step::LookUp);
            let shut = Outcome::Unreached { fault: fault(), retry_after_ms };
            refund = answered(&payment, &change.refund, shut, now);
            let next = refund.next_action_at_ms.expect("open");
            let distance = next - now;
            assert!(distance >= retry_after_ms.max(1_000), "{looks}: {distance}");
            let most = retry_after_ms.max(schedule::UNREACHED_MAX);
            assert!(distance <= most, "{looks}: {distance}");
            assert_eq!((refund.status, refund.looks), (Status::Unknown, looks));
            now = next;
        }
        // The way is open again: the schedule goes on where it was.
        let (change, _) = wake(&refund, now).expect("due");
        let refund = answered(&payment, &change.refund, outcome("unknown"), now);
        let at = usize::try_from(looks).expect("small") + 1;
        let scheduled = schedule::UNKNOWN.get(at).unwrap_or(&21_600_000);
        assert_eq!(refund.next_action_at_ms, Some(now + scheduled), "{looks}");
    }
}

/// A refund that could not be sent for hours is sent within five minutes once the way is open.
#[test]
fn what_never_reached_the_psp_is_sent_soon_after_it_can_be() {
    let (payment, mut refund) = sent();
    let mut now = 1_000_000;
    for call in 1..200 {
        refund = answered(&payment, &refund, outcome("unreached"), now);
        let next = refund.next_action_at_ms.expect("open");
        assert!((1_000..=schedule::UNREACHED_MAX).contains(&(next - now)), "call {call}");
        now = next;
        let (change, step) = wake(&refund, now).expect("due");
        assert_eq!(step, Step::Send);
        refund = change.refund;
    }
}

/// A look-up that the PSP answers with "too many" was heard, and counts: ten calls in the first hour.
#[test]
fn a_look_up_that_is_turned_away_waits_for_both_the_schedule_and_the_psp() {
    let hour = 3_600_000;
    // Look-ups so far, `Retry-After`, and the distance to the next one.
    for (looks, retry_after_ms, distance) in [
        (0, 0, 2_000),
        (0, 1_000, 2_000),
        (0, 120_000, 120_000),
        (7, 1_000, 900_000),
        (8, 30_000, hour),
        (9, 30_000, hour / 10),
        (12, 30_000, hour / 10),
        (12, hour, hour),
        (12, 0, 6 * hour),
        (12, i64::MAX, schedule::FARTHEST),
    ] {
        let (payment, refund, _) = looked_up(looks);
        let now = refund.next_action_at_ms.expect("open");
        let (change, _) = wake(&refund, now).expect("due");
        let busy = Outcome::NotSent { fault: fault(), retry_after_ms };
        let refund = answered(&payment, &change.refund, busy, now);
        assert_eq!((refund.status, refund.looks), (Status::Unknown, looks + 1));
        assert_eq!(refund.next_action_at_ms, Some(now + distance), "{looks} {retry_after_ms}");
    }
}

/// However often requests ask, a PSP hears of an unknown refund ten times in its first hour, and ten times
/// an hour later on; and they do ask again and again.
#[test]
fn requests_that_depend_on_an_unknown_refund_ask_after_it_within_bounds() {
    let (payment, mut refund, _) = told(&["unknown"]);
    let began = 2_000_000;
    let (mut now, mut calls) = (began, vec![began]);
    while now < began + 8 * 3_600_000 {
        now += 250;
        let due = wake(&refund, now).map(|(change, _)| change);
        let may_be_asked = schedule::may_be_asked(&refund, now - began, now);
        let Some(change) = due.or_else(|| may_be_asked.then(|| inquire(&refund, now))) else {
            continue;
        };
        calls.push(now);
        refund = answered(&payment, &change.refund, outcome("unknown"), now);
    }
    let hour = |from: i64| {
        let of = from..from + 3_600_000;
        calls.iter().filter(|at| of.contains(*at)).count()
    };
    assert_eq!(hour(began), 10, "{calls:?}");
    for later in 1..7 {
        let calls = hour(began + later * 3_600_000);
        assert!((8..=11).contains(&calls), "hour {later}: {calls}");
    }
}

/// What stands in no request's way, what was asked after just now, and what its PSP wants to be left alone
/// with.
#[test]
fn only_what_is_unknown_and_may_be_bothered_is_asked_after_out_of_turn() {
    let day = 24 * 3_600_000;
    for words in [&["pending"][..], &["not_sent"], &["requires_action"], &["succeeded"]] {
        let (_, refund, _) = told(words);
        assert!(!schedule::may_be_asked(&refund, day, 2_000_000 + day), "{words:?}");
    }
    for looks in 0..13 {
        let (payment, refund, now) = looked_up(looks);
        let next = refund.next_action_at_ms.expect("open");
        assert!(!schedule::may_be_asked(&refund, day, now), "{looks}: it was asked just now");
        let half = now + (next - now) / 2;
        assert!(schedule::may_be_asked(&refund, day, half), "{looks}");
        let (change, _) = wake(&refund, next).expect("due");
        for outcome in [
            Outcome::Unreached { fault: fault(), retry_after_ms: 60_000 },
            Outcome::NotSent { fault: fault(), retry_after_ms: 300_000 },
        ] {
            let refund = answered(&payment, &change.refund, outcome.clone(), next);
            let put_off = refund.next_action_at_ms.expect("open") - next;
            let at = next + put_off.min(300_000) / 3;
            assert!(!schedule::may_be_asked(&refund, day, at), "{looks}: {outcome:?}");
        }
    }
}

/// A PSP that knows no idempotency keys declined the first call, hid that from the look-up, and paid the
/// second. Its notice about the first one comes last.
#[test]
fn what_is_said_of_another_refund_of_the_psp_moves_no_money() {
    for known in ["succeeded", "pending", "requires_action"] {
        let (payment, refund, _) = told(&[known]);
        let other = Some("re_0".to_owned());
        for outcome in [
            Outcome::Declined { psp_refund: other.clone(), fault: fault() },
            Outcome::Pending { psp_refund: other.clone() },
            Outcome::RequiresAction { psp_refund: other.clone() },
        ] {
            let finding = Finding { attempt: u32::MAX, outcome, at_ms: 3_000_000 };
            assert_eq!(settle(&payment, &refund, &finding), None, "{known}: {finding:?}");
        }
        let success = Outcome::Succeeded { psp_refund: other };
        let finding = Finding { attempt: u32::MAX, outcome: success, at_ms: 3_000_000 };
        let is_new = settle(&payment, &refund, &finding).is_some();
        assert_eq!(is_new, known != "succeeded", "a success is never lost");
    }
}

/// The clock ran thirty days ahead when the time was written down, and was set right since.
#[test]
fn a_time_beyond_every_schedule_has_come() {
    let longest = schedule::UNKNOWN.iter().chain(&schedule::PENDING).max().expect("they have rows");
    assert!(*longest < schedule::FARTHEST);
    let (_, refund, _) = told(&["unknown"]);
    let next = refund.next_action_at_ms.expect("it is open");
    for (now_ms, is_due) in [
        (next - 30 * 86_400_000, true),
        (next - schedule::FARTHEST - 1, true),
        (next - schedule::FARTHEST, false),
        (next - 1, false),
        (next, true),
        (next + 1, true),
    ] {
        assert_eq!(wake(&refund, now_ms).is_some(), is_due, "{}", next - now_ms);
        assert_eq!(postpone(&refund, now_ms).is_some(), is_due, "{}", next - now_ms);
        assert_eq!(schedule::is_due(next, now_ms), is_due);
    }
}

/// However long a PSP asks to be left alone: a refund is looked at again within the schedules' reach.
#[test]
fn a_psp_is_not_left_alone_for_longer_than_any_schedule() {
    let (payment, refund) = sent();
    let outcome = Outcome::NotSent { fault: fault(), retry_after_ms: i64::MAX };
    let finding = Finding { attempt: refund.attempt, outcome, at_ms: 2_000_000 };
    let change = settle(&payment, &refund, &finding).expect("it is news");
    let next = change.refund.next_action_at_ms.expect("it is open");
    assert_eq!(next, 2_000_000 + schedule::FARTHEST);
}

#[test]
fn outcomes_are_recorded_under_their_words() {
    for word in [
        "succeeded",
        "pending",
        "requires_action",
        "declined",
        "failed",
        "voided",
        "unknown",
        "not_sent",
        "unreached",
        "absent",
    ] {
        assert_eq!(outcome(word).word(), word);
        assert_eq!(outcome(word).is_told(), !matches!(word, "unknown" | "not_sent" | "unreached"));
        let names = !matches!(word, "failed" | "unknown" | "not_sent" | "unreached" | "absent");
        assert_eq!(outcome(word).psp_refund().is_some(), names, "{word}");
    }
}

/// What a PSP complained of stays with the refund until it says something better.
#[test]
fn a_refund_keeps_what_was_complained_of() {
    for (words, has_fault) in [
        (&["declined"][..], true),
        (&["failed"], true),
        (&["voided"], true),
        (&["unknown"], true),
        (&["not_sent"], true),
        (&["unknown", "pending"], false),
        (&["unknown", "succeeded"], false),
        (&["pending", "unknown"], true),
        (&["succeeded", "failed"], true),
        (&["succeeded", "declined"], true),
        (&["succeeded", "voided"], true),
    ] {
        let (_, refund, _) = told(words);
        assert_eq!(refund.fault, has_fault.then(fault), "{words:?}");
    }
}

#[test]
fn open_refunds_and_paid_ones_hold_money() {
    for (status, _, word) in Status::LISTED {
        let is_over = matches!(word, "declined" | "failed" | "voided" | "reversed");
        assert_eq!(status.holds_money(), !is_over, "{word}");
        assert_eq!(status.is_open(), !is_over && word != "succeeded", "{word}");
    }
}

#[test]
fn every_word_and_number_is_its_own() {
    let accounts: Vec<&str> = Account::NUMBERED.iter().map(|(account, _)| account.word()).collect();
    let expected = ["refundable", "reserved", "refunded", "disputed", "psp_clearing", "excess"];
    assert_eq!(accounts, expected);
    for (account, number) in Account::NUMBERED {
        assert_eq!(Account::from_number(number), Some(account));
    }
    for (alarm, word) in Alarm::LISTED {
        assert_eq!((alarm.word(), Alarm::from_word(word)), (word, Some(alarm)));
    }
    assert_eq!((Alarm::from_word("none"), Account::from_number(0)), (None, None));
}
