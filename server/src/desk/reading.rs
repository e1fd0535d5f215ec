//! How requests read: near stores right where they are, far ones on other threads; before something is
//! done, and after it for its answer.

use std::future::Future;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use requite_core::id::{MerchantId, PaymentId};
use requite_engine::command::RefundReply;
use requite_engine::fault::{self, Point};
use requite_engine::read::{MerchantView, PaymentView, ReadFault, Reads, RefundOfPayment};

use super::Desk;

impl Desk {
    /// A payment as after event `as_of`, or as it is, for a request that has done nothing yet. For its
    /// answer there is [`Desk::payment_after`].
    pub(crate) async fn payment(
        &self,
        merchant: MerchantId,
        payment: PaymentId,
        as_of: Option<u32>,
    ) -> Result<Option<PaymentView>, ReadFault> {
        self.glance(move |reads| reads.payment(merchant, payment, as_of)).await
    }

    /// The payment that an answer tells of, as after event `as_of`, or as it is.
    pub(crate) async fn payment_after(
        &self,
        merchant: MerchantId,
        payment: PaymentId,
        as_of: Option<u32>,
    ) -> Result<PaymentView, Unseen> {
        self.again(|| self.told(merchant, payment, as_of)).await
    }

    /// As after event `as_of`. Where the store is far, together with what others wait for.
    async fn told(
        &self,
        merchant: MerchantId,
        payment: PaymentId,
        as_of: Option<u32>,
    ) -> Result<Option<PaymentView>, ReadFault> {
        if as_of.is_some() && !self.0.reads.is_near() {
            let (found, is_reader_wanted) = self.0.gathered.ask(merchant, payment);
            if is_reader_wanted {
                let desk = self.clone();
                drop(tokio::spawn(async move {
                    let work = desk.clone();
                    let read = desk.read(move |reads| {
                        work.0.gathered.read(reads);
                        Ok(())
                    });
                    // Whoever waits for it hears of a fault.
                    read.await.is_ok()
                }));
            }
            if let Ok(Ok(Some(view))) = found.await
                && Some(view.seq) == as_of
            {
                // A long one would be read twice for every answer.
                #[cfg(debug_assertions)]
                if view.refunds.len() < 32
                    && let Ok(alone) =
                        self.glance(move |reads| reads.payment(merchant, payment, as_of)).await
                {
                    assert_eq!(alone.as_ref(), Some(&view), "read alone it is another payment");
                }
                return Ok(Some(view));
            }
            // It has moved on since, or something is wrong that it finds out by itself.
        }
        self.glance(move |reads| reads.payment(merchant, payment, as_of)).await
    }

    /// A merchant, as it was written down at its creation: nothing changes it.
    pub(crate) async fn merchant(
        &self,
        merchant: MerchantId,
    ) -> Result<Option<Arc<MerchantView>>, ReadFault> {
        let known = || self.0.merchants.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(view) = known().get(&merchant) {
            return Ok(Some(Arc::clone(view)));
        }
        let found = self.glance(move |reads| reads.merchant(merchant)).await?.map(Arc::new);
        if let Some(view) = &found {
            let mut known = known();
            if known.len() >= MERCHANTS_MAX {
                known.clear();
            }
            known.insert(merchant, Arc::clone(view));
        }
        Ok(found)
    }

    /// The refund that an answer tells of. A first answer has it with it; a repeat's is read.
    pub(crate) async fn refund_after(
        &self,
        reply: &RefundReply,
    ) -> Result<Arc<RefundOfPayment>, Unseen> {
        let (refund, as_of) = (reply.refund, reply.as_of);
        let Some(shown) = &reply.shown else {
            let read = self.read_back(move |reads| reads.refund_as_of(refund, as_of));
            return read.await.map(Arc::new);
        };
        // Of a store elsewhere that would be as many reads as answers.
        #[cfg(debug_assertions)]
        if self.0.reads.is_near()
            && let Ok(read) = self.glance(move |reads| reads.refund_as_of(refund, as_of)).await
        {
            assert_eq!(read.as_ref(), Some(shown.as_ref()), "the books show another refund");
        }
        Ok(Arc::clone(shown))
    }

    /// Reads what is done, for its answer. A fault may pass, so it is tried a few times.
    pub(crate) async fn read_back<T: Send + 'static>(
        &self,
        read: impl Fn(&dyn Reads) -> Result<Option<T>, ReadFault> + Clone + Send + 'static,
    ) -> Result<T, Unseen> {
        self.again(|| self.glance(read.clone())).await
    }

    async fn again<T, F: Future<Output = Result<Option<T>, ReadFault>>>(
        &self,
        read: impl Fn() -> F,
    ) -> Result<T, Unseen> {
        for attempt in 1..=READ_BACKS_MAX {
            let found = match fault::attempt(Point::ReadBack) {
                Ok(()) => read().await,
                Err(struck) => Err(ReadFault::Store(struck.to_string())),
            };
            match found {
                Ok(Some(found)) => return Ok(found),
                Ok(None) => tracing::error!(attempt, "what was done is not on the books"),
                Err(fault) => tracing::error!(%fault, attempt, "what was done cannot be read back"),
            }
            if attempt < READ_BACKS_MAX {
                tokio::time::sleep(READ_BACK_PAUSE).await;
            }
        }
        Err(Unseen)
    }

    /// Runs a read of few rows, found by their keys. Where the store is near it runs right here: to
    /// hand it to another thread and back costs several times as much.
    pub(crate) async fn glance<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn Reads) -> Result<T, ReadFault> + Send + 'static,
    ) -> Result<T, ReadFault> {
        if self.0.reads.is_near() {
            return read(self.0.reads.as_ref()).map_err(in_midst);
        }
        self.read(read).await
    }

    /// The first read of a request, which finds out who asks. As nothing was done yet, the request is
    /// turned away where there is no room: only here a read is [`ReadFault::Unavailable`]. As
    /// [`Desk::glance`] it runs right here where the store is near.
    pub(crate) async fn admit<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn Reads) -> Result<T, ReadFault> + Send + 'static,
    ) -> Result<T, ReadFault> {
        if self.0.reads.is_near() {
            return read(self.0.reads.as_ref());
        }
        let Ok(turn) = tokio::time::timeout(ADMISSION_MAX, self.0.reading.acquire()).await else {
            return Err(ReadFault::Unavailable(format!("{READS_MAX} reads are under way")));
        };
        let done = self.run(read).await;
        drop(turn);
        done
    }

    /// Runs a blocking read off the async threads, of a request that was admitted. Its refund may be
    /// committed by now, so it waits for its turn as long as it takes, and no fault of it may sound as
    /// if nothing had been done.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn Reads) -> Result<T, ReadFault> + Send + 'static,
    ) -> Result<T, ReadFault> {
        let _turn = self.0.reading.acquire().await;
        self.run(read).await.map_err(in_midst)
    }

    async fn run<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn Reads) -> Result<T, ReadFault> + Send + 'static,
    ) -> Result<T, ReadFault> {
        let reads = Arc::clone(&self.0.reads);
        let done = tokio::task::spawn_blocking(move || read(reads.as_ref())).await;
        done.unwrap_or_else(|fault| Err(ReadFault::Store(fault.to_string())))
    }
}

/// What was asked for is done, and cannot be read for its answer. Not a [`ReadFault`], so that no face
/// can call it by what it says where nothing was done (decisions A5 and B35). The cause is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unseen;

/// Merchants that are kept at once. Beyond it all are forgotten.
const MERCHANTS_MAX: usize = 4_096;

/// How often an answer's content is read, if need be.
const READ_BACKS_MAX: u32 = 3;
const READ_BACK_PAUSE: Duration = Duration::from_millis(50);

/// A request that was admitted is not turned away any more.
fn in_midst(fault: ReadFault) -> ReadFault {
    match fault {
        ReadFault::Unavailable(cause) => ReadFault::Store(cause),
        fault => fault,
    }
}

/// Reads under way at once: enough to keep a few cores busy, and fewer than the connections that the
/// store keeps open. More would only wait for each other, and open connections to throw away.
pub(crate) const READS_MAX: usize = 8;

/// How long a request waits to be admitted, behind others that are. Where it is the database that has no
/// connection left, the store says so much sooner.
const ADMISSION_MAX: Duration = Duration::from_secs(10);
