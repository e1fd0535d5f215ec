//! Which refunds may be asked to be cancelled, and what the answers prove.

use requite_core::cancel::{NotCancellable, cancel};
use requite_core::refund::Status;
use requite_core::schedule::{DISPATCH_GRACE, PENDING};
use requite_core::settle::{Finding, settle};

use crate::outcomes::{outcome, told};

const AT: i64 = 3_000_000;

/// Outcomes told, the statuses in which the PSP cancels, and whether it is asked.
type Row<'a> = (&'a [&'a str], &'a [Status], Result<(), Status>);

#[test]
fn only_what_the_psp_has_and_lets_be_cancelled_is_asked_for() {
    let action: &[Status] = &[Status::RequiresAction];
    let both: &[Status] = &[Status::Pending, Status::RequiresAction];
    let all = Status::LISTED.map(|(status, _, _)| status);
    // outcomes told                    the PSP cancels        is it asked?
    let rows: &[Row] = &[
        (&[], action, Err(Status::Dispatched)),
        (&["requires_action"], action, Ok(())),
        (&["requires_action"], both, Ok(())),
        (&["requires_action"], &[], Err(Status::RequiresAction)),
        (&["pending"], both, Ok(())),
        (&["pending"], action, Err(Status::Pending)),
        (&["pending", "requires_action"], action, Ok(())),
        (&["requires_action", "pending"], action, Err(Status::Pending)),
        (&["requires_action", "unknown"], action, Ok(())),
        // Whatever a PSP claims to cancel: what was not sent, paid or closed is no longer there to be.
        (&["not_sent"], &all, Err(Status::Ready)),
        (&["unknown"], &all, Err(Status::Unknown)),
        (&["succeeded"], &all, Err(Status::Succeeded)),
        (&["declined"], &all, Err(Status::Declined)),
        (&["failed"], &all, Err(Status::Failed)),
        (&["voided"], &all, Err(Status::Voided)),
        (&["succeeded", "failed"], &all, Err(Status::Reversed)),
    ];
    for (words, cancels, expected) in rows {
        let (_, refund, _) = told(words);
        let asked = cancel(&refund, cancels, AT);
        assert_eq!(
            asked.as_ref().map(|_| ()).map_err(|no| *no),
            expected.map_err(NotCancellable::Status),
            "{words:?} {cancels:?}"
        );
        let Ok(change) = asked else { continue };
        assert_eq!(change.refund.status, refund.status, "asking moves nothing");
        assert_eq!((change.entries.len(), change.alarm), (0, None));
        assert_eq!(change.refund.attempt, refund.attempt + 1, "a call of its own");
        assert_eq!(change.refund.sends, refund.sends);
        assert_eq!(change.refund.next_action_at_ms, Some(AT + DISPATCH_GRACE));
    }
}

#[test]
fn what_the_psp_has_not_named_cannot_be_named_to_it() {
    let (_, mut refund, _) = told(&["requires_action"]);
    refund.psp_refund = None;
    let asked = cancel(&refund, &[Status::RequiresAction], AT);
    assert_eq!(asked, Err(NotCancellable::Nameless));
}

/// Only the PSP's word that it is cancelled frees the money; whatever else it says is settled as always.
#[test]
fn what_a_cancellation_is_answered_with_moves_money_only_with_proof() {
    // the answer             status                  reserved  refunded
    let rows = [
        ("voided", Status::Voided, 0, 0),
        ("succeeded", Status::Succeeded, 0, 4_000),
        ("declined", Status::Declined, 0, 0),
        ("pending", Status::Pending, 4_000, 0),
        ("requires_action", Status::RequiresAction, 4_000, 0),
        ("unknown", Status::RequiresAction, 4_000, 0),
        ("not_sent", Status::RequiresAction, 4_000, 0),
        ("unreached", Status::RequiresAction, 4_000, 0),
        ("absent", Status::Unknown, 4_000, 0),
    ];
    for (word, status, reserved, refunded) in rows {
        let (mut payment, refund, _) = told(&["requires_action", "unknown", "unknown"]);
        let asked = cancel(&refund, &[Status::RequiresAction], AT).expect("it waits").refund;
        let finding = Finding { attempt: asked.attempt, outcome: outcome(word), at_ms: AT };
        let change = settle(&payment, &asked, &finding).expect("the newest call's answer");
        payment.post(&change.entries).expect("core decided on this state");
        assert_eq!(change.refund.status, status, "{word}");
        assert_eq!(payment.primary().reserved().units(), reserved, "{word}");
        assert_eq!(payment.primary().refunded().units(), refunded, "{word}");
        if status == Status::RequiresAction && word != "unreached" {
            let soon = Some(AT + PENDING[0]);
            assert_eq!(change.refund.next_action_at_ms, soon, "{word}: it is looked up soon");
        }
    }
}

/// A look-up from before the cancellation says nothing of it.
#[test]
fn what_was_seen_before_a_cancellation_does_not_answer_it() {
    let (payment, refund, _) = told(&["requires_action"]);
    let asked = cancel(&refund, &[Status::RequiresAction], AT).expect("it waits").refund;
    for word in ["requires_action", "pending", "voided", "absent", "unknown"] {
        let finding = Finding { attempt: refund.attempt, outcome: outcome(word), at_ms: AT };
        assert_eq!(settle(&payment, &asked, &finding), None, "{word}");
    }
    let paid = Finding { attempt: refund.attempt, outcome: outcome("succeeded"), at_ms: AT };
    let change = settle(&payment, &asked, &paid).expect("what happened, happened");
    assert_eq!(change.refund.status, Status::Succeeded);
}
