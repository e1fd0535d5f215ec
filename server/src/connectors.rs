//! The PSPs we call. Each connector is a pure codec: from an instruction to what is to be done, and
//! from what came back to an outcome. Here stands the one thing that waits: [`ServerPsp`].
//!
//! Invariants:
//! - A call is answered exactly once, at the latest when the deadline for calls has passed.
//! - No answer, or one that proves nothing, is `Unknown`: the money stays reserved and the engine
//!   looks the refund up.
//! - Nothing here blocks the lane.
//!
//! `manual` is no connector: nobody is called, the merchant pays the money back by hand and the lane
//! settles such a refund as it accepts it. Start at [`ServerPsp`]; [`sandbox`] is the PSP to try
//! things with.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use requite_core::id::MerchantId;
use requite_core::refund::{Fault, Status};
use requite_core::settle::Outcome;
use requite_engine::clock::Clock;
use requite_engine::psp::{self, BookingAsked, Connectors, Instruction, OnOutcome, Psp};
use requite_engine::read::{ConnectorView, Reads};
use tokio::runtime::Handle;

use crate::crypto::seal::SealingKey;
use account::{Account, Kind};
use capabilities::Recourse;
use exchange::{fault, unknown};
use notice::Listing;
use transport::Transport;

pub(crate) mod account;
mod adyen;
mod breaker;
mod capabilities;
mod exchange;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
pub(crate) mod notice;
#[cfg(any(test, fuzzing))]
pub(crate) mod sample;
pub(crate) mod sandbox;
mod stripe;
mod transport;

/// Connectors that every merchant has. The others are accounts, by the names that merchants gave them.
pub(crate) const NAMES: [&str; 2] = [MANUAL, sandbox::NAME];
/// The connector without a PSP.
pub(crate) const MANUAL: &str = "manual";

/// Whether a connector has taken the money of a payment that a face registers by itself: the sandbox
/// has, whoever takes money by hand has not yet.
pub(crate) fn takes_at_once(connector: &str) -> bool {
    connector == sandbox::NAME
}

/// The statuses in which the PSP behind a connector cancels refunds; `account` is the merchant's of that
/// name, if there is one.
pub(crate) fn cancels(connector: &str, account: Option<&ConnectorView>) -> &'static [Status] {
    let of_account = || Kind::from_word(&account?.kind).map(Kind::capabilities);
    let known = capabilities::of_everyone(connector).or_else(of_account);
    known.map_or(&[], |capabilities| capabilities.cancels)
}

/// The face whose captures and voids are reports.
const NATIVE: &str = "native";

/// What the lane knows of the connectors.
pub(crate) struct Rules {
    over_after_ms: i64,
}

impl Rules {
    /// Of connectors whose calls may take so long.
    pub(crate) fn within(deadline_ms: u32) -> Rules {
        Rules { over_after_ms: psp::over_after_ms(i64::from(deadline_ms)) }
    }
}

impl Connectors for Rules {
    fn is_immediate(&self, connector: &str) -> bool {
        capabilities::of_everyone(connector)
            .is_some_and(|capabilities| capabilities.recourse == Recourse::None)
    }

    fn over_after_ms(&self) -> i64 {
        self.over_after_ms
    }

    /// A booking through the native API says what happened elsewhere, and is written down. Through
    /// another face it is a wish, and at a PSP's account nobody here can fulfil it.
    fn decline(&self, asked: &BookingAsked<'_>) -> Option<Fault> {
        match asked.connector {
            MANUAL => None,
            sandbox::NAME => sandbox::decline(asked.settings, asked.booking, asked.amount),
            _ if asked.face == NATIVE => None,
            _ => Some(fault("made_at_the_psp", "captures and voids are made at the PSP itself")),
        }
    }
}

/// What a connector wants done for an instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// Nobody has to be asked.
    Known(Outcome),
    /// The answer takes its time.
    Later(Duration, Outcome),
    /// Nobody answers before the deadline.
    Silence,
}

/// How long an opened account is used before the store is asked whether its credential was replaced: at
/// once where the PSP refuses it.
const ACCOUNT_AGE_MAX: Duration = Duration::from_secs(10);

/// The server's way out: picks the connector by the name that the payment was registered with.
pub(crate) struct ServerPsp {
    runtime: Handle,
    deadline: Duration,
    clock: Arc<dyn Clock>,
    accounts: Arc<Accounts>,
}

/// By merchant and name, with the time at which each was last held against the store.
type Opened = HashMap<(MerchantId, String), (Instant, Arc<Account>)>;

/// Accounts as they are opened, one after the other.
struct Accounts {
    reads: Arc<dyn Reads>,
    key: Option<SealingKey>,
    transport: Transport,
    opened: Mutex<Opened>,
}

impl ServerPsp {
    /// `deadline` is how long one call may take; `clock` is the one that calls are prepared by.
    pub(crate) fn new(
        runtime: Handle,
        deadline: Duration,
        clock: Arc<dyn Clock>,
        reads: Arc<dyn Reads>,
        key: Option<SealingKey>,
    ) -> std::io::Result<ServerPsp> {
        let opened = Mutex::default();
        let accounts = Arc::new(Accounts { reads, key, transport: Transport::new()?, opened });
        Ok(ServerPsp { runtime, deadline, clock, accounts })
    }

    pub(crate) fn lists(&self) -> Lists {
        Lists { accounts: Arc::clone(&self.accounts), deadline: self.deadline }
    }
}

/// Reads PSPs' own lists of refunds, with the accounts' own limits and breakers.
#[derive(Clone)]
pub(crate) struct Lists {
    accounts: Arc<Accounts>,
    deadline: Duration,
}

impl Lists {
    /// Between two times, in milliseconds.
    pub(crate) async fn read(
        &self,
        merchant: MerchantId,
        name: &str,
        since_until_ms: (i64, i64),
    ) -> Listing {
        match Arc::clone(&self.accounts).account((merchant, name.to_owned())).await {
            Ok(account) => {
                account.list(&self.accounts.transport, since_until_ms, self.deadline).await
            }
            Err(text) => Listing::Failed(fault("account_unusable", text)),
        }
    }
}

impl Accounts {
    async fn call(
        self: Arc<Accounts>,
        instruction: &Instruction,
        time: (tokio::time::Instant, Duration),
    ) -> Outcome {
        let at = (instruction.refund.merchant, instruction.connector.clone());
        match Arc::clone(&self).account(at).await {
            Ok(account) => account.call(&self.transport, instruction, time).await,
            Err(text) => {
                tracing::error!(connector = %instruction.connector, %text, "no call can be made");
                let fault = fault("account_unusable", text);
                Outcome::Unreached { fault, retry_after_ms: 0 }
            }
        }
    }

    /// A merchant's account by its name. An open one keeps its limits and its breaker as long as its
    /// credential is the same.
    async fn account(
        self: Arc<Accounts>,
        at: (MerchantId, String),
    ) -> Result<Arc<Account>, String> {
        let known = self.opened().get(&at).cloned();
        if let Some((since, account)) = known
            && since.elapsed() < ACCOUNT_AGE_MAX
            && !account.is_refused()
        {
            return Ok(account);
        }
        let reading = tokio::task::spawn_blocking(move || {
            let view = self.reads.connector(at.0, &at.1).map_err(|fault| fault.to_string())?;
            let view = view.ok_or_else(|| format!("the merchant has no connector {:?}", at.1))?;
            // Under the lock, so that calls which come together share one account, with its limits.
            let mut opened = self.opened();
            let account = match opened.get(&at) {
                Some((_, account)) if account.sealed == view.sealed => Arc::clone(account),
                _ => Arc::new(
                    Account::open(&view, self.key.as_ref()).map_err(|fault| fault.to_string())?,
                ),
            };
            opened.insert(at, (Instant::now(), Arc::clone(&account)));
            Ok(account)
        });
        reading.await.map_err(|fault| fault.to_string())?
    }

    fn opened(&self) -> MutexGuard<'_, Opened> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Psp for ServerPsp {
    fn call(&self, instruction: Instruction, on_outcome: OnOutcome) {
        if instruction.connector != sandbox::NAME {
            let accounts = Arc::clone(&self.accounts);
            let late_ms = self.clock.now_ms().saturating_sub(instruction.prepared_at_ms);
            let left_ms = psp::BEGIN_MAX_MS.saturating_sub(late_ms).clamp(0, psp::BEGIN_MAX_MS);
            let begins_by =
                tokio::time::Instant::now() + Duration::from_millis(left_ms.unsigned_abs());
            let time = (begins_by, self.deadline);
            self.runtime.spawn(async move {
                on_outcome(accounts.call(&instruction, time).await);
            });
            return;
        }
        match sandbox::call(&instruction) {
            Call::Known(outcome) => on_outcome(outcome),
            Call::Later(delay, outcome) if delay < self.deadline => {
                self.runtime.spawn(async move {
                    tokio::time::sleep(delay).await;
                    on_outcome(outcome);
                });
            }
            Call::Later(..) | Call::Silence => {
                let deadline = self.deadline;
                self.runtime.spawn(async move {
                    tokio::time::sleep(deadline).await;
                    let ms = deadline.as_millis();
                    on_outcome(unknown("no_answer", format!("no answer within {ms} ms")));
                });
            }
        }
    }
}

#[cfg(test)]
mod tests;
