//! Conservation laws over random histories of refunds, outcomes and captures.

use std::collections::BTreeMap;

use proptest::prelude::*;
use requite_core::decide::{Amount, Ask, capture, decide};
use requite_core::external::{Told, external};
use requite_core::id::{CaptureId, RefundId};
use requite_core::journal::{Account, Entry};
use requite_core::payment::Payment;
use requite_core::refund::{Fault, Refund, Status};
use requite_core::settle::{Finding, Outcome, send, settle, wake};

use crate::support::{ask, minor, payment};

#[derive(Clone, Debug)]
enum Op {
    Capture(i64),
    Refund {
        amount: i64,
        is_immediate: bool,
    },
    Tell {
        which: usize,
        outcome: u8,
        is_late: bool,
    },
    Wake {
        which: usize,
    },
    /// Made at the PSP itself.
    External {
        amount: i64,
        outcome: u8,
    },
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op =
        prop_oneof![
            (-5_i64..4_000).prop_map(Op::Capture),
            ((-5_i64..3_000), any::<bool>())
                .prop_map(|(amount, is_immediate)| Op::Refund { amount, is_immediate }),
            (any::<usize>(), 0_u8..9, any::<bool>())
                .prop_map(|(which, outcome, is_late)| Op::Tell { which, outcome, is_late }),
            any::<usize>().prop_map(|which| Op::Wake { which }),
            (1_i64..5_000, 0_u8..9).prop_map(|(amount, outcome)| Op::External { amount, outcome }),
        ];
    proptest::collection::vec(op, 1..60)
}

fn outcome(number: u8) -> Outcome {
    let psp_refund = None;
    let fault = Fault::default();
    match number {
        0 | 1 => Outcome::Succeeded { psp_refund },
        2 => Outcome::Pending { psp_refund },
        3 => Outcome::Declined { psp_refund, fault },
        4 => Outcome::Failed { fault },
        5 => Outcome::Unknown { fault },
        6 => Outcome::Voided { psp_refund, fault },
        7 => Outcome::RequiresAction { psp_refund },
        _ => Outcome::Absent,
    }
}

struct World {
    payment: Payment,
    refunds: Vec<Refund>,
    journal: Vec<Entry>,
}

impl World {
    fn post(&mut self, entries: &[Entry]) {
        self.payment.post(entries).expect("core decided on this very state");
        self.journal.extend_from_slice(entries);
    }

    fn take(&mut self, op: &Op, number: u128) {
        match *op {
            Op::Capture(amount) => {
                let id = CaptureId::new(1_000 + number);
                if let Ok(entry) = capture(&self.payment, id, Some(amount)) {
                    let leg = self.payment.primary().id();
                    self.payment.open_capture(leg, id).expect("few captures");
                    self.post(&[entry]);
                }
            }
            Op::Refund { amount, is_immediate } => {
                let ask = Ask { refund: RefundId::new(number), ..ask(Amount::Minor(amount)) };
                let left = self.payment.primary().refundable().units();
                let fits = amount > 0 && amount <= left;
                let plan = decide(&self.payment, &ask, is_immediate);
                assert_eq!(plan.is_ok(), fits, "{amount} of {left}");
                let Ok(plan) = plan else { return };
                self.post(&plan.entries);
                let open = plan.refund.status == Status::Ready;
                let sent = open.then(|| send(&plan.refund, 1).0.refund);
                self.refunds.push(sent.unwrap_or(plan.refund));
            }
            Op::Tell { which, outcome: number, is_late } => {
                let Some(at) = which.checked_rem(self.refunds.len()) else {
                    return;
                };
                let refund = self.refunds[at].clone();
                let attempt = refund.attempt.saturating_sub(u32::from(is_late));
                let finding = Finding { attempt, outcome: outcome(number), at_ms: 2 };
                if let Some(change) = settle(&self.payment, &refund, &finding) {
                    self.post(&change.entries);
                    let is_ready = change.refund.status == Status::Ready;
                    let again = is_ready.then(|| send(&change.refund, 2).0.refund);
                    self.refunds[at] = again.unwrap_or(change.refund);
                }
            }
            Op::External { amount, outcome: number_of } => {
                let (amount, outcome) = (minor(amount), outcome(number_of));
                let refund = RefundId::new(number);
                let told = Told { refund, amount, outcome: &outcome, at_ms: 2 };
                let left = self.payment.primary().refundable();
                let is_taken = !self.payment.primary().captured().is_zero();
                let is_paid = matches!(outcome, Outcome::Succeeded { .. });
                let is_open = outcome.is_told() && matches!(number_of, 2 | 7);
                let booked = external(&self.payment, &told);
                let is_booked = is_taken && (is_paid || (is_open && amount <= left));
                assert_eq!(booked.is_ok(), is_booked, "{amount:?} of {left:?}: {booked:?}");
                let Ok(change) = booked else { return };
                assert_eq!(change.alarm.is_some(), amount > left);
                self.post(&change.entries);
                self.refunds.push(change.refund);
            }
            Op::Wake { which } => {
                let Some(at) = which.checked_rem(self.refunds.len()) else {
                    return;
                };
                if let Some((change, _)) = wake(&self.refunds[at], i64::MAX) {
                    self.post(&change.entries);
                    self.refunds[at] = change.refund;
                }
            }
        }
    }

    fn check(&self) {
        let leg = self.payment.primary();
        let of = |counts: &dyn Fn(Status) -> bool| -> i64 {
            let counted = self.refunds.iter().filter(|refund| counts(refund.status));
            counted.map(|refund| refund.amount.units()).sum()
        };
        let mut accounts: BTreeMap<Account, i64> = BTreeMap::new();
        for entry in &self.journal {
            *accounts.entry(entry.debit).or_default() -= entry.amount.units();
            *accounts.entry(entry.credit).or_default() += entry.amount.units();
        }
        let account = |name| accounts.get(&name).copied().unwrap_or(0);
        assert_eq!(accounts.values().sum::<i64>(), 0, "entries sum to zero");
        assert_eq!(leg.reserved().units(), account(Account::Reserved));
        assert_eq!(leg.refunded().units(), account(Account::Refunded));
        assert_eq!(leg.refundable().units(), account(Account::Refundable));
        assert_eq!(leg.reserved().units(), of(&Status::is_open), "open refunds hold their money");
        let given = of(&|status| status == Status::Succeeded);
        assert_eq!(leg.refunded().units() - account(Account::Excess), given, "excess is a debit");
        assert!(leg.refunded().units() + leg.reserved().units() <= leg.captured().units());
        for capture in leg.captures() {
            let is_over = !capture.balance.sums().excess.is_zero();
            assert!(!is_over || capture.balance.refundable().is_zero(), "excess is covered first");
        }
        for refund in &self.refunds {
            let parts: i64 = refund.allocations.iter().map(|part| part.amount.units()).sum();
            assert_eq!(parts, refund.amount.units());
            assert_eq!(refund.next_action_at_ms.is_some(), refund.status.is_open());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn no_history_gives_back_more_than_was_taken(ops in ops()) {
        let payment = payment("USD", 10_000, &[]);
        let mut world = World { payment, refunds: Vec::new(), journal: Vec::new() };
        for (op, number) in ops.iter().zip(1_u128..) {
            world.take(op, number);
            world.check();
        }
    }
}
