//! Idempotency keys as Stripe has them.
//!
//! - The status and the body of the first answer are kept and given again, failures and 500s included.
//!   Nothing is kept of what never began: a bad credential, a parameter in bad form, too many requests.
//! - A key belongs to the whole account, to one path and to one set of parameters; their order is free.
//! - A key that is being worked on is in use. After its life (24 hours) it is forgotten: a repeat is a
//!   first try.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// How long keys are remembered, unless told otherwise.
pub(crate) const LIFE_MS: i64 = 24 * 60 * 60 * 1_000;
/// Longest key, in characters.
pub(crate) const CHARS_MAX: usize = 255;

/// What is kept under a key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Kept {
    pub key: String,
    pub path: String,
    /// Parameters in a fixed order.
    pub parameters: String,
    pub at_ms: i64,
    /// Until then the first request is being worked on.
    pub ready_ms: i64,
    /// The id of the first request.
    pub request: String,
    pub status: u16,
    pub body: String,
}

/// What a key says of a request.
#[derive(Debug)]
pub(crate) enum Found<'a> {
    /// It is the first.
    New,
    InUse,
    OtherPath(&'a str),
    OtherParameters,
    Kept(&'a Kept),
}

#[derive(Clone, Debug)]
pub(crate) struct Keys {
    /// Off: keys are not looked at, as at PSPs that have none.
    pub are_honoured: bool,
    pub life_ms: i64,
    kept: HashMap<String, Kept>,
}

impl Keys {
    pub(crate) fn new(are_honoured: bool) -> Keys {
        Keys { are_honoured, life_ms: LIFE_MS, kept: HashMap::new() }
    }

    pub(crate) fn find(&self, key: &str, path: &str, parameters: &str, now_ms: i64) -> Found<'_> {
        let known = self
            .kept
            .get(key)
            .filter(|kept| self.are_honoured && now_ms.saturating_sub(kept.at_ms) < self.life_ms);
        match known {
            None => Found::New,
            Some(kept) if kept.path != path => Found::OtherPath(&kept.path),
            Some(kept) if kept.parameters != parameters => Found::OtherParameters,
            Some(kept) if now_ms < kept.ready_ms => Found::InUse,
            Some(kept) => Found::Kept(kept),
        }
    }

    pub(crate) fn keep(&mut self, kept: Kept) {
        self.kept.insert(kept.key.clone(), kept);
    }
}
