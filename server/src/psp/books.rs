//! What a PSP has on its books: what it took, what it gave back, and how each refund stands. Decides, and
//! nothing else: time and ids come from outside, and no PSP's wire is known here.
//!
//! Invariants:
//! - Money is whole minor units of one currency, and never negative.
//! - With the guard on, what is refunded of a charge is at most what was captured of it. Without it
//!   everything is paid that is asked for, and the books show it.
//! - A refund's `moves` are its whole history, first to last.
//! - Whatever changes is an [`Entry`], to be written down and told.
//!
//! Start at [`Books::refund`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

/// How a refund stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    Pending,
    RequiresAction,
    Succeeded,
    Failed,
    Canceled,
}

impl Status {
    /// It holds or has moved money.
    pub(crate) fn counts(self) -> bool {
        matches!(self, Status::Pending | Status::RequiresAction | Status::Succeeded)
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Status::Pending => "pending",
            Status::RequiresAction => "requires_action",
            Status::Succeeded => "succeeded",
            Status::Failed => "failed",
            Status::Canceled => "canceled",
        }
    }
}

/// One step of what becomes of a refund. The first is how it stands when it is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Step {
    pub is: Status,
    /// After the step before.
    #[serde(default)]
    pub after_ms: i64,
    /// Why it failed, in the PSP's word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Step {
    pub(crate) fn new(is: Status, after_ms: i64) -> Step {
        Step { is, after_ms, reason: None }
    }
}

pub(crate) type Metadata = BTreeMap<String, String>;

/// Money that was taken, or only held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Charge {
    pub id: String,
    pub amount: i64,
    /// Zero as long as it is only held.
    pub captured: i64,
    /// Refunded and on its way back; maintained here.
    pub refunded: i64,
    /// Held, and let go without having been taken.
    pub released: i64,
    /// Lower case.
    pub currency: String,
    pub at_ms: i64,
    pub intent: Option<String>,
    pub has_failed: bool,
    pub is_disputed: bool,
    /// What becomes of its refunds where no script says otherwise.
    pub fate: Vec<Step>,
    pub metadata: Metadata,
    /// Whose it is, at a PSP where one account is many shops.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merchant_account: Option<String>,
}

impl Charge {
    /// What may still be given back.
    pub(crate) fn left(&self) -> i64 {
        self.captured.saturating_sub(self.refunded).max(0)
    }
}

/// A charge to be, with a life of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Intent {
    pub id: String,
    pub amount: i64,
    pub currency: String,
    pub at_ms: i64,
    pub method: Option<String>,
    pub captures_by_hand: bool,
    pub charge: Option<String>,
    pub is_canceled: bool,
    pub metadata: Metadata,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Move {
    pub at_ms: i64,
    pub to: Status,
}

/// Money that was given back, or is about to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refund {
    pub id: String,
    pub charge: String,
    pub intent: Option<String>,
    pub amount: i64,
    pub currency: String,
    pub status: Status,
    pub failure_reason: Option<String>,
    /// It waits until the balance has enough.
    pub waits_for_funds: bool,
    /// It let go of a hold; no money had been taken.
    pub is_release: bool,
    pub reason: Option<String>,
    pub metadata: Metadata,
    pub at_ms: i64,
    /// The idempotency key that it was asked for with.
    pub key: Option<String>,
    pub moves: Vec<Move>,
    /// What is still to become of it, and when the first of it is due.
    pub ahead: VecDeque<Step>,
    pub due_ms: Option<i64>,
}

/// A wish for a refund.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub id: String,
    pub charge: String,
    /// `None`: all that is left.
    pub amount: Option<i64>,
    pub reason: Option<String>,
    pub metadata: Metadata,
    pub key: Option<String>,
    /// What becomes of it; empty: what its charge says, or success.
    pub fate: Vec<Step>,
}

/// Why a wish is refused. In the order of the checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    NoSuchCharge,
    ChargeFailed,
    Disputed,
    PartOfUncaptured,
    AlreadyRefunded,
    TooMuch { asked: i64, left: i64, currency: String },
}

/// Something on the books that is new or has changed, as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Entry {
    Charge(Charge),
    Intent(Intent),
    Refund(Refund),
}

/// An entry, and what was there before it.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub entry: Entry,
    pub before: Option<Entry>,
}

#[derive(Clone, Debug)]
pub(crate) struct Books {
    pub has_guard: bool,
    pub charges: BTreeMap<String, Charge>,
    pub intents: BTreeMap<String, Intent>,
    pub refunds: BTreeMap<String, Refund>,
    /// Ids in the order in which they were made.
    pub made: Vec<String>,
    by_charge: BTreeMap<String, Vec<String>>,
    /// What there is to pay refunds from; a currency that is not here has no limit.
    pub balance: BTreeMap<String, i64>,
    due: BTreeSet<(i64, String)>,
    changes: Vec<Change>,
}

impl Books {
    pub(crate) fn new(has_guard: bool) -> Books {
        Books {
            has_guard,
            charges: BTreeMap::new(),
            intents: BTreeMap::new(),
            refunds: BTreeMap::new(),
            made: Vec::new(),
            by_charge: BTreeMap::new(),
            balance: BTreeMap::new(),
            due: BTreeSet::new(),
            changes: Vec::new(),
        }
    }

    /// What has changed since the last time this was asked.
    pub(crate) fn changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// Takes an entry back from a file. It is no news.
    pub(crate) fn restore(&mut self, entry: Entry) {
        match entry {
            Entry::Charge(charge) => {
                self.enlist(&charge.id, !self.charges.contains_key(&charge.id));
                self.charges.insert(charge.id.clone(), charge);
            }
            Entry::Intent(intent) => {
                self.enlist(&intent.id, !self.intents.contains_key(&intent.id));
                self.intents.insert(intent.id.clone(), intent);
            }
            Entry::Refund(refund) => {
                match self.refunds.get(&refund.id) {
                    Some(Refund { due_ms: Some(due_ms), id, .. }) => {
                        self.due.remove(&(*due_ms, id.clone()));
                    }
                    Some(_) => {}
                    None => {
                        self.enlist(&refund.id, true);
                        let of = self.by_charge.entry(refund.charge.clone()).or_default();
                        of.push(refund.id.clone());
                    }
                }
                self.due.extend(refund.due_ms.map(|due_ms| (due_ms, refund.id.clone())));
                self.refunds.insert(refund.id.clone(), refund);
            }
        }
    }

    fn enlist(&mut self, id: &str, is_new: bool) {
        if is_new {
            self.made.push(id.to_owned());
        }
    }

    /// Writes a charge down: a new one, or one that has changed.
    pub(crate) fn write_charge(&mut self, charge: Charge) {
        let before = self.charges.get(&charge.id).cloned();
        let had = before.as_ref().map_or(0, |before| before.captured);
        let taken = charge.captured.saturating_sub(had);
        let before = before.map(Entry::Charge);
        let currency = charge.currency.clone();
        self.restore(Entry::Charge(charge.clone()));
        self.changes.push(Change { entry: Entry::Charge(charge), before });
        if taken > 0 && self.balance.contains_key(&currency) {
            self.top_up(&currency, taken);
        }
    }

    pub(crate) fn write_intent(&mut self, intent: Intent) {
        let before = self.intents.get(&intent.id).cloned().map(Entry::Intent);
        self.restore(Entry::Intent(intent.clone()));
        self.changes.push(Change { entry: Entry::Intent(intent), before });
    }

    fn write_refund(&mut self, refund: Refund) {
        let before = self.refunds.get(&refund.id).cloned().map(Entry::Refund);
        self.restore(Entry::Refund(refund.clone()));
        self.changes.push(Change { entry: Entry::Refund(refund), before });
    }

    pub(crate) fn refunds_of(&self, charge: &str) -> impl DoubleEndedIterator<Item = &Refund> {
        let of = self.by_charge.get(charge).into_iter().flatten();
        of.filter_map(|id| self.refunds.get(id))
    }

    /// Makes a refund, or says why not. The refund's id is the wish's.
    pub(crate) fn refund(&mut self, wish: Wish, now_ms: i64) -> Result<(), Refusal> {
        let charge = self.charges.get(&wish.charge).ok_or(Refusal::NoSuchCharge)?.clone();
        if charge.has_failed {
            return Err(Refusal::ChargeFailed);
        }
        if charge.is_disputed {
            return Err(Refusal::Disputed);
        }
        let is_release = charge.captured == 0 && charge.released == 0;
        let left = if is_release { charge.amount } else { charge.left() };
        let amount = wish.amount.unwrap_or(if left > 0 { left } else { charge.captured });
        if is_release && amount != charge.amount {
            return Err(Refusal::PartOfUncaptured);
        }
        if self.has_guard && left == 0 {
            return Err(Refusal::AlreadyRefunded);
        }
        if self.has_guard && amount > left {
            let currency = charge.currency;
            return Err(Refusal::TooMuch { asked: amount, left, currency });
        }

        // Accepted: from here on nothing refuses.
        self.make(wish, charge, (amount, is_release), now_ms);
        Ok(())
    }

    /// Takes in what [`Books::refund`] refuses, as a refund that fails at once. Of a charge that there is.
    pub(crate) fn turn_down(&mut self, wish: Wish, reason: &str, now_ms: i64) {
        if let Some(charge) = self.charges.get(&wish.charge).cloned() {
            let amount = wish.amount.unwrap_or(charge.amount);
            let reason = Some(reason.to_owned());
            let fate = vec![Step { is: Status::Failed, after_ms: 0, reason }];
            self.make(Wish { fate, ..wish }, charge, (amount, false), now_ms);
        }
    }

    fn make(&mut self, wish: Wish, charge: Charge, (amount, is_release): (i64, bool), now_ms: i64) {
        let mut fate = VecDeque::from(if wish.fate.is_empty() { charge.fate } else { wish.fate });
        let first = fate.pop_front().unwrap_or_else(|| Step::new(Status::Succeeded, 0));
        let refund = Refund {
            id: wish.id,
            charge: wish.charge,
            intent: charge.intent,
            amount,
            currency: charge.currency,
            // Nothing yet: the first step says what it is.
            status: Status::Canceled,
            failure_reason: None,
            waits_for_funds: false,
            is_release,
            reason: wish.reason,
            metadata: wish.metadata,
            at_ms: now_ms,
            key: wish.key,
            moves: Vec::new(),
            ahead: fate,
            due_ms: None,
        };
        self.step(refund, first, now_ms);
    }

    /// Moves a refund by hand, as a bank or a person would; nothing else is to become of it. False: there
    /// is none.
    pub(crate) fn move_to(&mut self, id: &str, step: Step, now_ms: i64) -> bool {
        let Some(mut refund) = self.refunds.get(id).cloned() else {
            return false;
        };
        refund.ahead.clear();
        self.step(refund, step, now_ms);
        true
    }

    pub(crate) fn write_metadata(&mut self, id: &str, metadata: Metadata) {
        if let Some(refund) = self.refunds.get(id).cloned() {
            self.write_refund(Refund { metadata, ..refund });
        }
    }

    /// One step of a refund, with what it does to its charge and to the balance.
    fn step(&mut self, mut refund: Refund, step: Step, now_ms: i64) {
        let before = if refund.moves.is_empty() { None } else { Some(refund.status) };
        let has_paid = before == Some(Status::Succeeded);
        let pays = step.is == Status::Succeeded && !has_paid && !refund.is_release;
        let lacks =
            pays && self.balance.get(&refund.currency).is_some_and(|sum| *sum < refund.amount);
        refund.waits_for_funds = lacks;
        let to = if lacks { Status::Pending } else { step.is };
        if pays && !lacks {
            self.spend(&refund.currency, refund.amount);
        } else if has_paid && to != Status::Succeeded && !refund.is_release {
            self.spend(&refund.currency, -refund.amount);
        }
        let delta = match (before.is_some_and(Status::counts), to.counts()) {
            (false, true) => refund.amount,
            (true, false) => -refund.amount,
            _ => 0,
        };
        refund.status = to;
        refund.failure_reason =
            (to == Status::Failed).then(|| step.reason.unwrap_or_else(|| "unknown".to_owned()));
        refund.moves.push(Move { at_ms: now_ms, to });
        let next = if lacks { None } else { refund.ahead.front() };
        refund.due_ms = next.map(|next| now_ms.saturating_add(next.after_ms));
        self.post(&refund, delta);
        self.write_refund(refund);
    }

    fn post(&mut self, refund: &Refund, delta: i64) {
        let Some(mut charge) = self.charges.get(&refund.charge).cloned() else {
            return;
        };
        if delta == 0 {
            return;
        }
        let sum = if refund.is_release { &mut charge.released } else { &mut charge.refunded };
        *sum = sum.saturating_add(delta);
        self.write_charge(charge);
    }

    fn spend(&mut self, currency: &str, amount: i64) {
        if let Some(sum) = self.balance.get_mut(currency) {
            *sum = sum.saturating_sub(amount);
        }
    }

    /// Sets what there is to pay refunds from; what waited for it is paid, oldest first.
    pub(crate) fn fund(&mut self, currency: &str, available: i64, now_ms: i64) {
        self.balance.insert(currency.to_owned(), available);
        self.pay_waiting(currency, now_ms);
    }

    fn top_up(&mut self, currency: &str, amount: i64) {
        self.spend(currency, -amount);
        // Paid at the next tick of the clock.
        let waiting = self.waiting(currency);
        for id in waiting {
            let refund = self.refunds[&id].clone();
            self.restore(Entry::Refund(Refund { due_ms: Some(refund.at_ms), ..refund }));
        }
    }

    fn waiting(&self, currency: &str) -> Vec<String> {
        let made = self.made.iter().filter_map(|id| self.refunds.get(id));
        let waiting = made.filter(|refund| refund.waits_for_funds && refund.currency == currency);
        waiting.map(|refund| refund.id.clone()).collect()
    }

    fn pay_waiting(&mut self, currency: &str, now_ms: i64) {
        for id in self.waiting(currency) {
            let refund = self.refunds[&id].clone();
            if self.balance.get(currency).is_some_and(|sum| *sum >= refund.amount) {
                self.step(refund, Step::new(Status::Succeeded, 0), now_ms);
            }
        }
    }

    /// When something happens next without anybody asking.
    pub(crate) fn due_ms(&self) -> Option<i64> {
        self.due.first().map(|(due_ms, _)| *due_ms)
    }

    /// Lets everything happen that is due by now.
    pub(crate) fn advance(&mut self, now_ms: i64) {
        while let Some((due_ms, id)) = self.due.first().cloned() {
            if due_ms > now_ms {
                break;
            }
            self.due.remove(&(due_ms, id.clone()));
            let Some(refund) = self.refunds.get(&id).cloned() else {
                continue;
            };
            let mut refund = Refund { due_ms: None, ..refund };
            if refund.waits_for_funds {
                self.refunds.insert(id, refund.clone());
                self.pay_waiting(&refund.currency, now_ms);
            } else if let Some(step) = refund.ahead.pop_front() {
                self.step(refund, step, due_ms.max(0));
            }
        }
    }
}
