//! May this refund be made, and what does it reserve? Facts and a wish in, plan or refusal out.
//!
//! Invariants:
//! - What [`decide`] accepts fits what the leg has left, capture by capture.
//! - Refusals are checked in the order in which [`Refusal`] lists them, in every dialect.
//!
//! The same goes for captures ([`capture`]), releases ([`release`]) and extensions ([`extend`]).

use crate::currency::Currency;
use crate::id::{CaptureId, LegId, RefundId};
use crate::journal::{Account, Entry};
use crate::money::{Decimal, Minor};
use crate::payment::{CAPTURES_MAX, Leg, Payment};
use crate::refund::{Allocation, Refund, Status};
use crate::schedule;

/// How much is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Amount {
    /// Minor units, any integer a client can send.
    Minor(i64),
    /// Major units as written (Medusa v2).
    Major(Decimal),
    /// All that is left on the leg.
    Remaining,
    /// All the leg was authorised for, or nothing (Medusa v2 without an amount).
    Whole,
}

/// Which instrument gets the money back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The payment method.
    Primary,
    Leg(LegId),
}

/// A wish to refund.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    pub refund: RefundId,
    pub target: Target,
    pub amount: Amount,
    /// Where a dialect names one; compared with the payment's.
    pub currency: Option<Currency>,
    pub at_ms: i64,
}

/// Why we say no before any money moves. Listed in the order in which they are checked: a caller
/// that mends one complaint must not meet an earlier one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The payment has no such instrument.
    LegUnknown,
    /// Nothing was taken, so nothing can be given back.
    NotCaptured,
    /// The payment was cancelled as a whole.
    Cancelled,
    /// All of it is given back, promised or disputed.
    NothingLeft,
    CurrencyDiffers {
        asked: Currency,
        payment: Currency,
    },
    /// Zero or below.
    NotPositive,
    /// More decimals than the currency has.
    Fraction {
        currency: Currency,
    },
    /// `asked` is `None` when it is beyond any amount of money.
    ExceedsLeft {
        asked: Option<Minor>,
        left: Minor,
    },
    /// A reason that the merchant does not keep.
    ReasonUnknown,
}

/// What an accepted refund changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// `Ready`, or `Succeeded` where nobody has to be called.
    pub refund: Refund,
    pub entries: Vec<Entry>,
}

/// `is_immediate`: the payment's connector needs no PSP, so accepting is succeeding.
pub fn decide(payment: &Payment, ask: &Ask, is_immediate: bool) -> Result<Plan, Refusal> {
    let leg = match ask.target {
        Target::Primary => payment.primary(),
        Target::Leg(id) => payment.leg(id).ok_or(Refusal::LegUnknown)?,
    };
    if leg.captured().is_zero() {
        return Err(Refusal::NotCaptured);
    }
    if payment.is_cancelled() {
        return Err(Refusal::Cancelled);
    }
    let left = leg.refundable();
    if left.is_zero() {
        return Err(Refusal::NothingLeft);
    }
    if let Some(asked) = ask.currency.filter(|asked| asked.code() != payment.currency().code()) {
        return Err(Refusal::CurrencyDiffers { asked, payment: payment.currency() });
    }
    let amount = amount_of(&ask.amount, leg, payment.currency())?;
    if amount > left {
        return Err(Refusal::ExceedsLeft { asked: Some(amount), left });
    }

    // Accepted: from here on nothing may refuse.
    let allocations = allocate(leg, amount);
    let reserve = entries(&allocations, Account::Refundable, Account::Reserved);
    let give_back = entries(&allocations, Account::Reserved, Account::Refunded);
    let status = if is_immediate { Status::Succeeded } else { Status::Ready };
    let refund = Refund {
        id: ask.refund,
        payment: payment.id(),
        leg: leg.id(),
        amount,
        allocations,
        status,
        attempt: 0,
        sends: 0,
        looks: 0,
        next_action_at_ms: schedule::next_action_at(status, 0, ask.at_ms),
        psp_refund: None,
        fault: None,
    };
    let entries = if is_immediate { [reserve, give_back].concat() } else { reserve };
    Ok(Plan { refund, entries })
}

/// Would this refusal fall if money that open refunds hold came free? Then it rests on what is perhaps
/// not known yet.
pub fn is_provisional(payment: &Payment, ask: &Ask, refusal: &Refusal) -> bool {
    let leg = match ask.target {
        Target::Primary => Some(payment.primary()),
        Target::Leg(id) => payment.leg(id),
    };
    let held = leg.map(Leg::reserved).unwrap_or_default();
    match refusal {
        Refusal::NothingLeft => !held.is_zero(),
        Refusal::ExceedsLeft { asked: Some(asked), left } => {
            Minor::checked_sum([*left, held]).is_some_and(|most| *asked <= most)
        }
        Refusal::ExceedsLeft { asked: None, .. }
        | Refusal::LegUnknown
        | Refusal::NotCaptured
        | Refusal::Cancelled
        | Refusal::CurrencyDiffers { .. }
        | Refusal::NotPositive
        | Refusal::Fraction { .. }
        | Refusal::ReasonUnknown => false,
    }
}

fn amount_of(asked: &Amount, leg: &Leg, currency: Currency) -> Result<Minor, Refusal> {
    let left = leg.refundable();
    let amount = match asked {
        Amount::Remaining => left,
        Amount::Whole => leg.amount(),
        Amount::Minor(units) if *units <= 0 => return Err(Refusal::NotPositive),
        Amount::Minor(units) => {
            Minor::new(*units).ok_or(Refusal::ExceedsLeft { asked: None, left })?
        }
        Amount::Major(decimal) if !decimal.is_positive() => return Err(Refusal::NotPositive),
        Amount::Major(decimal) => match decimal.minor(currency) {
            Ok(Some(amount)) => amount,
            Ok(None) if decimal.echoes(left, currency) => left,
            Ok(None) if decimal.is_above(left, currency) => {
                return Err(Refusal::ExceedsLeft { asked: None, left });
            }
            Ok(None) => return Err(Refusal::Fraction { currency }),
            Err(_) => return Err(Refusal::ExceedsLeft { asked: None, left }),
        },
    };
    Ok(amount)
}

/// Oldest capture first. The same leg and amount always give the same split.
fn allocate(leg: &Leg, amount: Minor) -> Vec<Allocation> {
    let mut open = amount;
    let mut allocations = Vec::new();
    for capture in leg.captures() {
        let part = capture.balance.refundable().min(open);
        if !part.is_zero() {
            allocations.push(Allocation { capture: capture.id, amount: part });
        }
        open = open.checked_sub(part).expect("part is at most what is open");
    }
    assert!(open.is_zero(), "the amount was checked against what the leg has left");
    allocations
}

pub(crate) fn entries(allocations: &[Allocation], debit: Account, credit: Account) -> Vec<Entry> {
    allocations.iter().map(|part| Entry::new(part.capture, debit, credit, part.amount)).collect()
}

/// Why a capture, a release or an extension is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BookingRefusal {
    Cancelled,
    NotPositive,
    /// More than is authorised and neither taken nor released, or nothing of it is left.
    ExceedsCapturable {
        asked: Option<Minor>,
        capturable: Minor,
    },
    /// The leg has [`CAPTURES_MAX`] captures.
    TooMany,
}

/// Takes money of the payment method; without an amount all that may still be taken.
pub fn capture(
    payment: &Payment,
    id: CaptureId,
    asked: Option<i64>,
) -> Result<Entry, BookingRefusal> {
    let amount = capturable(payment, asked)?;
    if payment.primary().captures().len() >= CAPTURES_MAX {
        return Err(BookingRefusal::TooMany);
    }
    Ok(Entry::new(id, Account::PspClearing, Account::Refundable, amount))
}

/// Lets go of what was authorised and not taken; without an amount all of it.
pub fn release(payment: &Payment, asked: Option<i64>) -> Result<Minor, BookingRefusal> {
    capturable(payment, asked)
}

/// Holds longer what may still be captured; `asked` says how much more the caller would like to hold,
/// and changes nothing. Zero when absent.
pub fn extend(payment: &Payment, asked: Option<i64>) -> Result<Minor, BookingRefusal> {
    let asked = asked.unwrap_or(0);
    if asked < 0 {
        return Err(BookingRefusal::NotPositive);
    }
    let capturable = capturable(payment, None)?;
    Minor::new(asked).ok_or(BookingRefusal::ExceedsCapturable { asked: None, capturable })
}

fn capturable(payment: &Payment, asked: Option<i64>) -> Result<Minor, BookingRefusal> {
    if payment.is_cancelled() {
        return Err(BookingRefusal::Cancelled);
    }
    let capturable = payment.primary().capturable();
    let exceeds = |asked| BookingRefusal::ExceedsCapturable { asked, capturable };
    let amount = match asked {
        None if capturable.is_zero() => return Err(exceeds(None)),
        None => capturable,
        Some(units) if units <= 0 => return Err(BookingRefusal::NotPositive),
        Some(units) => Minor::new(units).ok_or(exceeds(None))?,
    };
    if amount > capturable { Err(exceeds(Some(amount))) } else { Ok(amount) }
}
