//! A payment: money taken from a payer, and what of it may still be given back.
//!
//! A payment has one or more legs: the payment method first, then gift cards. Money facts live on
//! the captures of a leg. A refund targets one leg and is split over its captures.
//!
//! Invariants:
//! - Per capture: refunded + reserved + disputed + voided <= captured ([`Balance`] cannot be built
//!   otherwise), and so per leg.
//! - Balances change only by journal entries ([`Payment::post`]).
//! - A leg never captures and releases more than it was authorised for.

use crate::currency::Currency;
use crate::id::{CaptureId, LegId, PaymentId};
use crate::journal::{Account, Entry};
use crate::money::Minor;

/// Legs of one payment, the payment method included.
pub const LEGS_MAX: usize = 32;
/// Captures of one leg.
pub const CAPTURES_MAX: usize = 256;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LegKind {
    /// The card, wallet or account: exactly one per payment, the first leg.
    PaymentMethod,
    /// A gift-card redemption: its leg's id is what Gr4vy calls `target_id`.
    GiftCard,
}

/// What became of one capture, in minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    captured: Minor,
    voided: Minor,
    refunded: Minor,
    reserved: Minor,
    disputed: Minor,
    excess: Minor,
}

/// The sums of a balance, by name, as they are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    pub captured: Minor,
    pub voided: Minor,
    pub refunded: Minor,
    pub reserved: Minor,
    pub disputed: Minor,
    /// Paid out beyond what was captured: bounded by nothing, and an alarm above zero.
    pub excess: Minor,
}

impl Balance {
    /// `None` when more was given back, promised, disputed or voided than was captured.
    pub fn new(sums: Sums) -> Option<Balance> {
        let Sums { captured, voided, refunded, reserved, disputed, excess } = sums;
        let spent = Minor::checked_sum([voided, refunded, reserved, disputed])?;
        captured.checked_sub(spent)?;
        Some(Balance { captured, voided, refunded, reserved, disputed, excess })
    }

    pub fn sums(self) -> Sums {
        let Balance { captured, voided, refunded, reserved, disputed, excess } = self;
        Sums { captured, voided, refunded, reserved, disputed, excess }
    }

    /// Captured and neither given back, promised, disputed nor voided.
    pub fn refundable(self) -> Minor {
        let spent = Minor::checked_sum([self.voided, self.refunded, self.reserved, self.disputed]);
        spent
            .and_then(|spent| self.captured.checked_sub(spent))
            .expect("Balance::new checked the sum")
    }

    /// The balance after one entry, `None` when an account would fall below zero.
    fn posted(self, entry: &Entry) -> Option<Balance> {
        let mut sums = self.sums();
        let amount = entry.amount;
        match entry.debit {
            Account::Refundable if entry.credit == Account::PspClearing => {
                sums.voided = sums.voided.checked_add(amount)?;
            }
            Account::PspClearing if entry.credit == Account::Refundable => {
                sums.captured = sums.captured.checked_add(amount)?;
            }
            Account::Reserved => sums.reserved = sums.reserved.checked_sub(amount)?,
            Account::Refunded => sums.refunded = sums.refunded.checked_sub(amount)?,
            Account::Disputed => sums.disputed = sums.disputed.checked_sub(amount)?,
            Account::Excess => sums.excess = sums.excess.checked_add(amount)?,
            Account::Refundable | Account::PspClearing => {}
        }
        match entry.credit {
            Account::Reserved => sums.reserved = sums.reserved.checked_add(amount)?,
            Account::Refunded => sums.refunded = sums.refunded.checked_add(amount)?,
            Account::Disputed => sums.disputed = sums.disputed.checked_add(amount)?,
            Account::Excess => sums.excess = sums.excess.checked_sub(amount)?,
            Account::Refundable | Account::PspClearing => {}
        }
        Balance::new(sums)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    pub id: CaptureId,
    pub balance: Balance,
}

/// One instrument of a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leg {
    id: LegId,
    kind: LegKind,
    amount: Minor,
    released: Minor,
    captures: Vec<Capture>,
}

impl Leg {
    /// `released` is what was authorised and let go without being taken. `None` when captures and
    /// release together are more than `amount`, or there are more than [`CAPTURES_MAX`].
    pub fn new(
        id: LegId,
        kind: LegKind,
        amount: Minor,
        released: Minor,
        captures: Vec<Capture>,
    ) -> Option<Leg> {
        let leg = Leg { id, kind, amount, released, captures };
        let taken = Minor::checked_sum(leg.captures.iter().map(|c| c.balance.captured))?;
        amount.checked_sub(taken.checked_add(released)?)?;
        (leg.captures.len() <= CAPTURES_MAX).then_some(leg)
    }

    pub fn id(&self) -> LegId {
        self.id
    }

    pub fn kind(&self) -> LegKind {
        self.kind
    }

    /// What this instrument was authorised for.
    pub fn amount(&self) -> Minor {
        self.amount
    }

    /// Authorised and let go without being taken.
    pub fn released(&self) -> Minor {
        self.released
    }

    /// Oldest first.
    pub fn captures(&self) -> &[Capture] {
        &self.captures
    }

    pub fn captured(&self) -> Minor {
        self.sum(|balance| balance.captured)
    }

    /// Given back, proven.
    pub fn refunded(&self) -> Minor {
        self.sum(|balance| balance.refunded)
    }

    pub fn reserved(&self) -> Minor {
        self.sum(|balance| balance.reserved)
    }

    pub fn refundable(&self) -> Minor {
        self.sum(Balance::refundable)
    }

    /// Authorised, not taken, not released: what a capture or a void may still have.
    pub fn capturable(&self) -> Minor {
        let gone = self.captured().checked_add(self.released);
        gone.and_then(|gone| self.amount.checked_sub(gone)).expect("Leg::new checked the sum")
    }

    fn sum(&self, part: impl Fn(Balance) -> Minor) -> Minor {
        Minor::checked_sum(self.captures.iter().map(|capture| part(capture.balance)))
            .expect("no part of a capture exceeds it, and captures fit the leg's amount")
    }
}

/// A payment as the rules see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    id: PaymentId,
    currency: Currency,
    is_cancelled: bool,
    legs: Vec<Leg>,
}

/// An entry that would overdraw a guarded account, or names a capture the payment has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overdrawn(pub Entry);

impl Payment {
    /// `None` unless the first leg, and only it, is the payment method, and there are at most
    /// [`LEGS_MAX`].
    pub fn new(
        id: PaymentId,
        currency: Currency,
        is_cancelled: bool,
        legs: Vec<Leg>,
    ) -> Option<Payment> {
        let (first, rest) = legs.split_first()?;
        let is_ordered = first.kind == LegKind::PaymentMethod
            && rest.iter().all(|leg| leg.kind == LegKind::GiftCard);
        let fits = legs.len() <= LEGS_MAX;
        Minor::checked_sum(legs.iter().map(|leg| leg.amount))?;
        (is_ordered && fits).then_some(Payment { id, currency, is_cancelled, legs })
    }

    pub fn id(&self) -> PaymentId {
        self.id
    }

    pub fn currency(&self) -> Currency {
        self.currency
    }

    /// Cancelled as a whole, elsewhere: nothing of it is refundable here.
    pub fn is_cancelled(&self) -> bool {
        self.is_cancelled
    }

    /// The payment method first, then gift cards.
    pub fn legs(&self) -> &[Leg] {
        &self.legs
    }

    pub fn primary(&self) -> &Leg {
        self.legs.first().expect("Payment::new refuses a payment without legs")
    }

    /// The capture with this id, of whichever leg.
    pub fn capture(&self, id: CaptureId) -> Option<&Capture> {
        self.legs.iter().flat_map(|leg| leg.captures()).find(|capture| capture.id == id)
    }

    /// The leg with this id.
    pub fn leg(&self, id: LegId) -> Option<&Leg> {
        self.legs.iter().find(|leg| leg.id == id)
    }

    /// Adds an empty capture to a leg; its money comes by a journal entry. `None` when the leg is
    /// unknown or has [`CAPTURES_MAX`] captures.
    pub fn open_capture(&mut self, leg: LegId, capture: CaptureId) -> Option<()> {
        let leg = self.legs.iter_mut().find(|known| known.id == leg)?;
        if leg.captures.len() >= CAPTURES_MAX {
            return None;
        }
        leg.captures.push(Capture { id: capture, balance: Balance::default() });
        Some(())
    }

    /// Lets go of `amount` of what a leg may still capture. `None` when that is less.
    pub fn release(&mut self, leg: LegId, amount: Minor) -> Option<()> {
        let leg = self.legs.iter_mut().find(|known| known.id == leg)?;
        leg.capturable().checked_sub(amount)?;
        leg.released = leg.released.checked_add(amount)?;
        Some(())
    }

    /// Books journal entries, all or none. The only way a balance changes.
    pub fn post(&mut self, entries: &[Entry]) -> Result<(), Overdrawn> {
        let mut legs = self.legs.clone();
        for entry in entries {
            let capture = legs
                .iter_mut()
                .flat_map(|leg| leg.captures.iter_mut())
                .find(|capture| capture.id == entry.capture)
                .ok_or(Overdrawn(*entry))?;
            capture.balance = capture.balance.posted(entry).ok_or(Overdrawn(*entry))?;
        }
        let fits = legs.iter().all(|leg| {
            Minor::checked_sum(leg.captures.iter().map(|c| c.balance.captured))
                .and_then(|taken| taken.checked_add(leg.released))
                .is_some_and(|used| used <= leg.amount)
        });
        if let (false, Some(entry)) = (fits, entries.first()) {
            return Err(Overdrawn(*entry));
        }
        self.legs = legs;
        Ok(())
    }
}
