//! What was made at the PSP itself: paid money is never denied, promised money has to fit.

use requite_core::external::{NotBooked, Told, external};
use requite_core::id::RefundId;
use requite_core::refund::{Fault, Status};
use requite_core::settle::{Alarm, Outcome};

use crate::support::{minor, payment};

#[test]
fn what_is_paid_is_booked_and_what_is_promised_has_to_fit() {
    let paid = Outcome::Succeeded { psp_refund: None };
    let promised = Outcome::Pending { psp_refund: None };
    let asked = Outcome::RequiresAction { psp_refund: None };
    let fault = || Fault { code: "05".to_owned(), text: "no".to_owned() };
    let declined = Outcome::Declined { psp_refund: None, fault: fault() };
    let left = minor(4_000);
    for (outcome, amount, expected) in [
        (&paid, 3_999, Ok((Status::Succeeded, None))),
        (&paid, 4_000, Ok((Status::Succeeded, None))),
        (&paid, 4_001, Ok((Status::Succeeded, Some(Alarm::Excess)))),
        (&promised, 4_000, Ok((Status::Pending, None))),
        (&promised, 4_001, Err(NotBooked::DoesNotFit { left })),
        (&asked, 4_000, Ok((Status::RequiresAction, None))),
        (&asked, 4_001, Err(NotBooked::DoesNotFit { left })),
        (&declined, 1, Err(NotBooked::MovedNothing)),
    ] {
        let mut before = payment("USD", 10_000, &[(10_000, 6_000, 0)]);
        let told = Told { refund: RefundId::new(9), amount: minor(amount), outcome, at_ms: 0 };
        let booked = external(&before, &told);
        if let Ok(change) = &booked {
            before.post(&change.entries).expect("core decided on this state");
            assert_eq!(change.refund.amount, minor(amount));
        }
        let booked = booked.map(|change| (change.refund.status, change.alarm));
        assert_eq!(booked, expected, "{outcome:?} of {amount}");
    }
}

#[test]
fn nothing_can_be_given_back_of_what_was_never_taken() {
    let outcome = Outcome::Succeeded { psp_refund: None };
    let told = Told { refund: RefundId::new(9), amount: minor(1), outcome: &outcome, at_ms: 0 };
    let booked = external(&payment("USD", 10_000, &[]), &told);
    assert_eq!(booked, Err(NotBooked::NotCaptured));
}
