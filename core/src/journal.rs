//! The journal: every movement of money as a debit and a credit of the same amount.
//!
//! An entry has one debit and one credit, so entries sum to zero by construction. Balances are the
//! fold of the journal: [`crate::payment::Payment::post`] is the only way to change one.

use crate::id::CaptureId;
use crate::money::Minor;

/// Where money stands. The first four are kept per capture, are credit accounts, and may never
/// fall below zero; `PspClearing` and `Excess` are the merchant's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Account {
    /// Captured and not given back.
    Refundable,
    /// Promised to a refund whose outcome is open.
    Reserved,
    /// Given back.
    Refunded,
    /// Held by an open dispute.
    Disputed,
    /// Money at the PSP.
    PspClearing,
    /// Paid out beyond what was captured. A balance above zero is an alarm: paid money cannot be
    /// denied, only shown.
    Excess,
}

impl Account {
    /// Every account with the number it is stored under. Numbers are for ever.
    pub const NUMBERED: [(Account, u8); 6] = [
        (Account::Refundable, 1),
        (Account::Reserved, 2),
        (Account::Refunded, 3),
        (Account::Disputed, 4),
        (Account::PspClearing, 5),
        (Account::Excess, 6),
    ];

    pub fn number(self) -> u8 {
        let listed = Account::NUMBERED.iter().find(|(account, _)| *account == self);
        listed.expect("NUMBERED lists every account").1
    }

    pub fn from_number(number: u8) -> Option<Account> {
        Account::NUMBERED.iter().find(|(_, listed)| *listed == number).map(|(account, _)| *account)
    }

    /// The word reports use.
    pub fn word(self) -> &'static str {
        match self {
            Account::Refundable => "refundable",
            Account::Reserved => "reserved",
            Account::Refunded => "refunded",
            Account::Disputed => "disputed",
            Account::PspClearing => "psp_clearing",
            Account::Excess => "excess",
        }
    }
}

/// `amount` moves from `debit` to `credit`, on one capture's accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub capture: CaptureId,
    pub debit: Account,
    pub credit: Account,
    /// Above zero.
    pub amount: Minor,
}

impl Entry {
    /// # Panics
    /// On an amount of zero or equal accounts: such an entry says nothing and hides a bug.
    pub fn new(capture: CaptureId, debit: Account, credit: Account, amount: Minor) -> Entry {
        assert!(!amount.is_zero(), "a journal entry moves money");
        assert!(debit != credit, "a journal entry has two sides");
        Entry { capture, debit, credit, amount }
    }
}
