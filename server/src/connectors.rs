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

use std::time::Duration;

use requite_core::money::Minor;
use requite_core::refund::Fault;
use requite_core::settle::Outcome;
use requite_engine::command::Booking;
use requite_engine::psp::{Connectors, Instruction, OnOutcome, Psp};
use tokio::runtime::Handle;

pub(crate) mod sandbox;

/// Connectors that can be named when a payment is registered.
pub(crate) const NAMES: [&str; 2] = [MANUAL, sandbox::NAME];
/// The connector without a PSP.
pub(crate) const MANUAL: &str = "manual";

/// Whether a connector has taken the money of a payment that a face registers by itself: the sandbox
/// has, whoever takes money by hand has not yet.
pub(crate) fn takes_at_once(connector: &str) -> bool {
    connector == sandbox::NAME
}

/// What the lane knows of the connectors.
pub(crate) struct Rules;

impl Connectors for Rules {
    fn is_immediate(&self, connector: &str) -> bool {
        connector == MANUAL
    }

    fn decline(
        &self,
        connector: &str,
        settings: Option<&str>,
        booking: Booking,
        amount: Minor,
    ) -> Option<Fault> {
        (connector == sandbox::NAME).then(|| sandbox::decline(settings, booking, amount)).flatten()
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

/// The server's way out: picks the connector by the name that the payment was registered with.
pub(crate) struct ServerPsp {
    runtime: Handle,
    deadline: Duration,
}

impl ServerPsp {
    /// `deadline` is how long one call may take.
    pub(crate) fn new(runtime: Handle, deadline: Duration) -> ServerPsp {
        ServerPsp { runtime, deadline }
    }

    fn call_for(instruction: &Instruction) -> Call {
        match instruction.connector.as_str() {
            sandbox::NAME => sandbox::call(instruction),
            other => Call::Known(unknown(
                "connector_unknown",
                &format!("this server has no connector named {other}"),
            )),
        }
    }
}

impl Psp for ServerPsp {
    fn call(&self, instruction: Instruction, on_outcome: OnOutcome) {
        match ServerPsp::call_for(&instruction) {
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
                    on_outcome(unknown("no_answer", &format!("no answer within {ms} ms")));
                });
            }
        }
    }
}

fn unknown(code: &str, text: &str) -> Outcome {
    let fault = Fault { code: code.to_owned(), text: text.to_owned() };
    Outcome::Unknown { fault }
}
