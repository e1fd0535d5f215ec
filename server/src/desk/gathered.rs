//! Reads that many requests wait for at once, of a store on another machine: what waits while a read is
//! under way is read by the next, all of a merchant's in one. A read of forty payments takes hardly
//! longer than that of one.
//!
//! Invariants:
//! - Whoever asked while a read was under way gets nothing from that one: what they did may be newer.
//! - Everybody is answered, also when a read falls over.

use std::sync::{Mutex, MutexGuard, PoisonError};

use requite_core::id::{MerchantId, PaymentId};
use requite_engine::read::{PaymentView, ReadFault, Reads};
use tokio::sync::oneshot;

/// Reads under way at once.
const READERS_MAX: usize = 2;
/// Payments that one read is for.
const TOGETHER_MAX: usize = 100;

type Found = Result<Option<PaymentView>, ReadFault>;

struct Asked {
    merchant: MerchantId,
    payment: PaymentId,
    answer: oneshot::Sender<Found>,
}

#[derive(Default)]
pub(super) struct Gathered(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    asked: Vec<Asked>,
    readers: usize,
}

impl Gathered {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a payment as after its newest event. `true`: somebody must begin to [`Gathered::read`].
    pub(super) fn ask(
        &self,
        merchant: MerchantId,
        payment: PaymentId,
    ) -> (oneshot::Receiver<Found>, bool) {
        let (answer, found) = oneshot::channel();
        let mut waiting = self.waiting();
        waiting.asked.push(Asked { merchant, payment, answer });
        let is_wanted = waiting.readers < READERS_MAX;
        waiting.readers = waiting.readers.saturating_add(usize::from(is_wanted));
        (found, is_wanted)
    }

    /// Reads until nobody waits any more. Blocking.
    pub(super) fn read(&self, reads: &dyn Reads) {
        let mut reader = Reader { gathered: self, is_done: false };
        while let Some(asked) = reader.next() {
            let merchant = asked.first().map(|first| first.merchant).expect("somebody waits");
            let mut payments: Vec<PaymentId> = asked.iter().map(|asked| asked.payment).collect();
            payments.sort_unstable();
            payments.dedup();
            match reads.payments_as_told(merchant, &payments) {
                Ok(views) => answer(asked, &views),
                // Each finds out by itself.
                Err(fault) => {
                    tracing::warn!(%fault, "payments could not be read together");
                    drop(asked);
                }
            }
        }
    }
}

fn answer(asked: Vec<Asked>, views: &[PaymentView]) {
    for Asked { payment, answer, .. } in asked {
        let view = views.iter().find(|view| view.id == payment).cloned();
        // Whoever asked may have gone.
        let _gone = answer.send(Ok(view)).is_err();
    }
}

/// One who reads.
struct Reader<'g> {
    gathered: &'g Gathered,
    is_done: bool,
}

impl Reader<'_> {
    /// All that wait for payments of one merchant. `None`: nobody does, and this reader counts no more.
    fn next(&mut self) -> Option<Vec<Asked>> {
        let mut waiting = self.gathered.waiting();
        let Some(merchant) = waiting.asked.first().map(|first| first.merchant) else {
            waiting.readers = waiting.readers.saturating_sub(1);
            self.is_done = true;
            return None;
        };
        let mut left = TOGETHER_MAX;
        let is_next = |asked: &mut Asked| {
            let is_next = asked.merchant == merchant && left > 0;
            left = left.saturating_sub(usize::from(is_next));
            is_next
        };
        Some(waiting.asked.extract_if(.., is_next).collect())
    }
}

impl Drop for Reader<'_> {
    /// Where it fell over, whoever waits reads by itself.
    fn drop(&mut self) {
        if !self.is_done {
            let mut waiting = self.gathered.waiting();
            waiting.readers = waiting.readers.saturating_sub(1);
            waiting.asked.clear();
        }
    }
}
