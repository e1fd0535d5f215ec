//! Builders that keep the rows short.

use requite_core::currency::Currency;
use requite_core::decide::{Amount, Ask, Target};
use requite_core::id::{CaptureId, LegId, PaymentId, RefundId};
use requite_core::money::Minor;
use requite_core::payment::{Balance, Capture, Leg, LegKind, Payment, Sums};

pub(crate) fn currency(code: &str) -> Currency {
    Currency::parse(code).expect("the row names a listed currency")
}

pub(crate) fn minor(units: i64) -> Minor {
    Minor::new(units).expect("the row names an amount of money")
}

/// A capture: captured, refunded, reserved.
pub(crate) type Taken = (i64, i64, i64);

pub(crate) fn balance((captured, refunded, reserved): Taken) -> Balance {
    let sums = Sums {
        captured: minor(captured),
        refunded: minor(refunded),
        reserved: minor(reserved),
        ..Sums::default()
    };
    Balance::new(sums).expect("the row does not overdraw")
}

pub(crate) fn leg(number: u128, kind: LegKind, amount: i64, captures: &[Taken]) -> Leg {
    let captures = captures.iter().zip(1_u128..).map(|(&taken, at)| Capture {
        id: CaptureId::new(number * 100 + at),
        balance: balance(taken),
    });
    let leg = Leg::new(LegId::new(number), kind, minor(amount), Minor::ZERO, captures.collect());
    leg.expect("the row fits its leg")
}

pub(crate) fn payment(code: &str, amount: i64, captures: &[Taken]) -> Payment {
    let legs = vec![leg(1, LegKind::PaymentMethod, amount, captures)];
    Payment::new(PaymentId::new(7), currency(code), false, legs).expect("one payment method")
}

pub(crate) fn ask(amount: Amount) -> Ask {
    Ask {
        refund: RefundId::new(9),
        target: Target::Primary,
        amount,
        currency: None,
        at_ms: 1_000_000,
    }
}
