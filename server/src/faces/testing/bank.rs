//! The PSP of the tests: it answers at once, as a payment's settings say.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use requite_core::refund::Fault;
use requite_core::settle::Outcome;
use requite_engine::psp::{CallKind, Instruction, OnOutcome, Psp};

/// Does as the payment's settings say: `decline[:code[:text]]`, `fail[:code]`, `pending`, `unknown`
/// (never says anything), `late` (says nothing, and a look-up finds the refund), `hold` (says nothing
/// until [`Bank::release`]), `action` (waits for the customer until it is cancelled), otherwise pays.
pub(super) struct Bank {
    /// `None` once the test is over: from then on nothing is held.
    held: Mutex<Option<Vec<OnOutcome>>>,
}

impl Bank {
    pub(super) fn new() -> Bank {
        let held = Mutex::new(Some(Vec::new()));
        Bank { held }
    }

    fn held(&self) -> MutexGuard<'_, Option<Vec<OnOutcome>>> {
        self.held.lock().expect("nobody panics while holding it")
    }

    /// Waits until a call is held.
    pub(super) async fn until_held(&self) {
        for _ in 0..5_000 {
            if self.held().as_ref().is_some_and(|held| !held.is_empty()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("no call is held");
    }

    /// Lets the held calls succeed.
    pub(super) fn release(&self) {
        let calls = self.held().replace(Vec::new());
        for on_outcome in calls.into_iter().flatten() {
            on_outcome(Outcome::Succeeded { psp_refund: None });
        }
    }

    /// Ends every held call without an answer. An engine that stops waits for its calls.
    pub(super) fn end(&self) {
        let calls = self.held().take();
        for on_outcome in calls.into_iter().flatten() {
            let fault = Fault::default();
            on_outcome(Outcome::Unknown { fault });
        }
    }
}

impl Psp for Bank {
    fn call(&self, instruction: Instruction, on_outcome: OnOutcome) {
        let script = instruction.connector_settings.as_deref().unwrap_or("");
        let mut parts = script.splitn(3, ':');
        let mut part = || parts.next().unwrap_or("").to_owned();
        let (word, code, text) = (part(), part(), part());
        let fault = Fault { code, text };
        let psp_refund = Some(format!("re_psp{}", instruction.call_no));
        if word == "hold"
            && let Some(held) = self.held().as_mut()
        {
            return held.push(on_outcome);
        }
        on_outcome(match (word.as_str(), instruction.kind) {
            ("decline", _) => Outcome::Declined { psp_refund: None, fault },
            ("fail", _) => Outcome::Failed { fault },
            ("pending", _) => Outcome::Pending { psp_refund },
            ("action", CallKind::Cancel) => Outcome::Voided { psp_refund, fault },
            ("action", _) => Outcome::RequiresAction { psp_refund },
            ("unknown" | "hold", _) | ("late", CallKind::Send) => Outcome::Unknown { fault },
            _ => Outcome::Succeeded { psp_refund },
        });
    }
}
