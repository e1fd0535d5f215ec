//! When a PSP is called, and what the making of a call changes by itself.

use requite_core::decide::{Amount, decide};
use requite_core::refund::{Refund, Status};
use requite_core::schedule::{self, Step};
use requite_core::settle::{Finding, inquire, postpone, settle, wake};

use crate::outcomes::{fault, outcome, sent, told};
use crate::support::{ask, payment};

#[test]
fn what_is_under_way_is_postponed_by_the_time_that_a_call_may_take() {
    let (_, refund) = sent();
    let now_ms = refund.next_action_at_ms.expect("it is open");
    let change = postpone(&refund, now_ms).expect("its time has come");
    let next_action_at_ms = Some(now_ms + schedule::DISPATCH_GRACE);
    assert_eq!(change.refund, Refund { next_action_at_ms, ..refund });
    assert_eq!((change.entries, change.alarm), (Vec::new(), None));
}

#[test]
fn an_inquiry_is_a_call_of_its_own_and_changes_nothing_else() {
    let ready = decide(&payment("USD", 10_000, &[(10_000, 0, 0)]), &ask(Amount::Remaining), false);
    let ready = ready.expect("it fits").refund;
    let later = Some(9_000_000 + schedule::DISPATCH_GRACE);
    for (before, looks, next_action_at_ms) in [
        (ready, 0, later),
        (told(&["unknown"]).1, 1, later),
        (told(&["pending"]).1, 1, later),
        (told(&["succeeded"]).1, 0, None),
        (told(&["declined"]).1, 0, None),
    ] {
        let change = inquire(&before, 9_000_000);
        let attempt = before.attempt + 1;
        assert_eq!(change.refund, Refund { attempt, looks, next_action_at_ms, ..before });
        assert_eq!((change.entries, change.alarm), (Vec::new(), None));
    }
}

#[test]
fn look_ups_are_counted_anew_in_another_state() {
    let (payment, mut refund, _) = told(&["unknown"]);
    for looks in 1..=3 {
        let now_ms = refund.next_action_at_ms.expect("it is open");
        refund = wake(&refund, now_ms).expect("its time has come").0.refund;
        assert_eq!(refund.looks, looks);
    }
    for word in ["pending", "absent", "succeeded"] {
        let finding = Finding { attempt: refund.attempt, outcome: outcome(word), at_ms: 9_000_000 };
        let change = settle(&payment, &refund, &finding).expect("it is news");
        assert_eq!(change.refund.looks, 0, "{word}");
    }
}

/// So that none is forgotten.
#[test]
fn what_waits_for_people_is_looked_at_hourly() {
    for status in [Status::AwaitingApproval, Status::Held] {
        let before = Refund { status, ..told(&["unknown"]).1 };
        let now_ms = before.next_action_at_ms.expect("it is open");
        let (change, step) = wake(&before, now_ms).expect("its time has come");
        let next_action_at_ms = Some(now_ms + 3_600_000);
        assert_eq!((change.refund, step), (Refund { next_action_at_ms, ..before }, Step::Wait));
    }
}

/// People read it while they wait for proof.
#[test]
fn why_nothing_is_known_yet_is_kept() {
    for before in [sent().1, told(&["pending"]).1] {
        for outcome in ["unknown", "not_sent", "unreached"].map(outcome) {
            let finding = Finding { attempt: before.attempt, outcome, at_ms: 9_000_000 };
            let change = settle(&sent().0, &before, &finding).expect("it is news");
            assert_eq!(change.refund.fault, Some(fault()), "{finding:?}");
            assert!(change.refund.status.is_open(), "{finding:?}");
        }
    }
}

/// Nobody was bothered by it, so it is tried again soon, and not before the way is open.
#[test]
fn what_did_not_reach_its_psp_waits_for_five_minutes_at_most() {
    assert_eq!(schedule::after_unreached(100, 0), 300_000);
    assert_eq!(schedule::after_unreached(100, 400_000), 400_000);
    assert_eq!(schedule::after_unreached(1, 0), schedule::UNKNOWN[0]);
}
