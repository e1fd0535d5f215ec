//! What a connector says to its PSP and hears from it, without any of the ways to get there.
//!
//! A connector is a pure function: from an instruction, and what was heard so far, to the next thing to
//! ask or to the outcome. So it is tested with written exchanges, and a simulation can feed it
//! anything. What was heard is told apart by what it proves:
//!
//! - [`Heard::Answer`]: the PSP answered, whatever it says.
//! - [`Heard::NotSent`]: no byte of the request can have reached it.
//! - [`Heard::Lost`]: it may have acted, and nothing is known.

use requite_core::refund::Fault;
use requite_core::settle::Outcome;

/// One request to a PSP, without its credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ask {
    pub method: &'static str,
    /// Below the account's base URL, with its query.
    pub path: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: Option<String>,
}

/// What came of asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Answer(Answer),
    NotSent(Fault),
    Lost(Fault),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    pub status: u16,
    /// From `Retry-After`; zero when it says nothing.
    pub retry_after_ms: i64,
    /// The header `transient-error: true`: the PSP says that this request had no effect.
    pub is_transient: bool,
    /// At most [`ANSWER_BYTES_MAX`]; a longer one is [`Heard::Lost`].
    pub body: Vec<u8>,
}

/// Most bytes of an answer that are read.
pub(crate) const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// Requests made for one instruction: pages of a list, mostly.
pub(crate) const ASKS_MAX: usize = 20;

/// What is to be done next for an instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Ask(Ask),
    Done(Outcome),
}

/// What a PSP says may hold a NUL, which PostgreSQL keeps in no text: it is left out.
pub(crate) fn fault(code: &str, text: impl Into<String>) -> Fault {
    Fault { code: code.replace('\0', ""), text: text.into().replace('\0', "") }
}

/// The call did not get as far as the PSP.
pub(crate) fn unreached(fault: &Fault) -> Outcome {
    Outcome::Unreached { fault: fault.clone(), retry_after_ms: 0 }
}

pub(crate) fn unknown(code: &str, text: impl Into<String>) -> Outcome {
    Outcome::Unknown { fault: fault(code, text) }
}

/// A value as a form or a query takes it: everything but letters, digits and `-_.~` escaped.
pub(crate) fn form_value(text: &str) -> String {
    let mut value = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            value.push(char::from(byte));
        } else {
            value.push_str(&format!("%{byte:02X}"));
        }
    }
    value
}
