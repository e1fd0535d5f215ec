//! Client commands that wait for a lane. Merchants take turns, one command each, so that a merchant with
//! one command waits for no more than one of each other's, however many another has waiting.
//! A merchant's own stay in their order.

use std::collections::{HashMap, VecDeque};

use requite_core::id::MerchantId;

use crate::command::{Answer, Command};

/// Commands of one merchant that wait for one lane at most.
pub const QUEUE_MAX: usize = 1_024;
/// Commands of all merchants that wait for one lane at most: a merchant that fills its own part leaves as
/// much to the others.
pub const QUEUES_MAX: usize = 2 * QUEUE_MAX;

type Waiting = (Command, Answer);

#[derive(Default)]
pub(super) struct Turns {
    /// Whose turn it is next, with what they have waiting. Nobody without a command is here.
    turns: VecDeque<MerchantId>,
    waiting: HashMap<MerchantId, VecDeque<Waiting>>,
    count: usize,
}

impl Turns {
    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Is there no room for another command of this merchant?
    pub(super) fn is_full(&self, merchant: MerchantId) -> bool {
        let own = self.waiting.get(&merchant).map_or(0, VecDeque::len);
        own >= QUEUE_MAX || self.count >= QUEUES_MAX
    }

    pub(super) fn push(&mut self, command: Command, answer: Answer) {
        let merchant = command.merchant();
        let own = self.waiting.entry(merchant).or_default();
        if own.is_empty() {
            self.turns.push_back(merchant);
        }
        own.push_back((command, answer));
        self.count = self.count.saturating_add(1);
    }

    /// Of whoever's turn it is.
    pub(super) fn pop(&mut self) -> Option<Waiting> {
        let merchant = self.turns.pop_front()?;
        let own = self.waiting.get_mut(&merchant)?;
        let next = own.pop_front()?;
        if own.is_empty() {
            self.waiting.remove(&merchant);
        } else {
            self.turns.push_back(merchant);
        }
        self.count = self.count.saturating_sub(1);
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use requite_core::id::{MerchantId, PaymentId, RefundId};

    use super::{QUEUE_MAX, QUEUES_MAX, Turns};
    use crate::command::{Command, RefundRef};

    fn command(merchant: u128, number: u128) -> Command {
        let merchant = MerchantId::new(merchant);
        let (payment, refund) = (PaymentId::new(1), RefundId::new(number));
        Command::Learn { refund: RefundRef { merchant, payment, refund } }
    }

    fn wait(turns: &mut Turns, merchant: u128, number: u128) {
        turns.push(command(merchant, number), Box::new(|_| ()));
    }

    fn taken(turns: &mut Turns) -> Vec<(u128, u128)> {
        let next = || turns.pop().map(|(command, _)| command);
        std::iter::from_fn(next)
            .map(|command| match command {
                Command::Learn { refund } => (refund.merchant.bits(), refund.refund.bits()),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn merchants_take_turns_and_keep_their_own_order() {
        let mut turns = Turns::default();
        (0..4).for_each(|number| wait(&mut turns, 1, number));
        wait(&mut turns, 2, 0);
        wait(&mut turns, 3, 0);
        wait(&mut turns, 2, 1);
        assert_eq!(turns.len(), 7);
        let order = [(1, 0), (2, 0), (3, 0), (1, 1), (2, 1), (1, 2), (1, 3)];
        assert_eq!(taken(&mut turns), order);
        assert!(turns.is_empty() && turns.waiting.is_empty() && turns.turns.is_empty());
    }

    #[test]
    fn a_merchant_that_fills_its_part_leaves_room_for_the_others() {
        let mut turns = Turns::default();
        let is_full = |turns: &Turns, merchant| turns.is_full(MerchantId::new(merchant));
        (0..).take(QUEUE_MAX).for_each(|number| wait(&mut turns, 1, number));
        assert!(is_full(&turns, 1) && !is_full(&turns, 2));
        (2..).take(QUEUES_MAX - QUEUE_MAX).for_each(|merchant| wait(&mut turns, merchant, 0));
        assert!(is_full(&turns, 1) && is_full(&turns, u128::MAX));
        assert_eq!(taken(&mut turns).len(), QUEUES_MAX);
        assert!(!is_full(&turns, 1));
    }
}
