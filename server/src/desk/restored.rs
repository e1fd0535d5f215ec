//! After a backup was restored: what was refunded since it was made is read first from the PSPs' own lists, and
//! only then is anything refunded through their accounts.
//!
//! A copy that `requite backup` made knows that it is one; of others `requite restored` says so. When every
//! account that has a list was read once, all goes on as ever. PSPs that have no list are not waited for.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use requite_core::id::{MerchantId, PaymentId};
use requite_engine::inbox::AccountRef;
use requite_engine::read::{ConnectorView, ReadFault};

use super::Desk;
use crate::connectors::account::Kind;

/// Which accounts were read since a restored store is served.
#[derive(Debug, Default)]
pub(super) struct Restored {
    /// `None`: it is no restored store.
    since_ms: Option<i64>,
    is_done: AtomicBool,
    read: Mutex<HashSet<u128>>,
}

impl Restored {
    pub(super) fn since(since_ms: Option<i64>) -> Restored {
        Restored { since_ms, is_done: AtomicBool::new(since_ms.is_none()), ..Restored::default() }
    }

    fn is_read(&self, account: &ConnectorView) -> bool {
        self.read.lock().unwrap_or_else(PoisonError::into_inner).contains(&account.id)
    }
}

impl Desk {
    /// Is there an account whose list is still to be read?
    pub(crate) fn is_reconciling(&self) -> bool {
        !self.0.restored.is_done.load(Ordering::Acquire)
    }

    /// May this payment be refunded, for all that a restored store may have lost?
    pub(super) async fn is_reconciled(&self, merchant: MerchantId, payment: PaymentId) -> bool {
        if !self.is_reconciling() {
            return true;
        }
        match self.is_account_read(merchant, payment).await {
            Ok(is_read) => is_read,
            Err(fault) => {
                tracing::warn!(%fault, "whether a PSP's list was read could not be found out");
                false
            }
        }
    }

    async fn is_account_read(
        &self,
        merchant: MerchantId,
        payment: PaymentId,
    ) -> Result<bool, ReadFault> {
        let accounts = self.read(|reads| reads.connectors()).await?;
        let mut is_done = true;
        for account in &accounts {
            is_done &= self.is_list_read(account).await;
        }
        if is_done {
            tracing::info!("every list was read since the backup was restored: refunds go on");
            self.0.restored.is_done.store(true, Ordering::Release);
            return Ok(true);
        }
        // Of no payment the engine says so itself.
        let Some(found) = self.payment(merchant, payment, None).await? else {
            return Ok(true);
        };
        let of = |account: &&ConnectorView| {
            account.merchant == merchant && account.name == found.connector
        };
        let account = accounts.iter().find(of);
        Ok(account.is_none_or(|account| !has_list(account) || self.0.restored.is_read(account)))
    }

    async fn is_list_read(&self, account: &ConnectorView) -> bool {
        let restored = &self.0.restored;
        let Some(since_ms) = restored.since_ms else { return true };
        if !has_list(account) || restored.is_read(account) {
            return true;
        }
        let at = AccountRef { merchant: account.merchant, account: account.id };
        let until = self.inbox(move |inbox| inbox.swept_until(at)).await;
        let is_read = matches!(until, Some(Ok(Some(until_ms))) if until_ms >= since_ms);
        if is_read {
            let mut read = restored.read.lock().unwrap_or_else(PoisonError::into_inner);
            read.insert(account.id);
        }
        is_read
    }
}

fn has_list(account: &ConnectorView) -> bool {
    Kind::from_word(&account.kind).is_some_and(Kind::has_list)
}
