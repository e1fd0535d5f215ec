//! Idempotency keys as Stripe has them.
//!
//! - The status and the body of the first answer are kept and given again, failures and 500s included.
//!   Nothing is kept of what never began: a bad credential, a parameter in bad form, too many requests.
//! - A key belongs to the whole account, to one path and to one set of parameters; their order is free.
//! - A key that is being worked on is in use. After its life (24 hours) it is forgotten: a repeat is a
//!   first try.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// How long Stripe remembers keys, unless told otherwise.
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
    /// How long keys are remembered; without it as long as their PSP does.
    pub life_ms: Option<i64>,
    kept: HashMap<String, Kept>,
}

impl Keys {
    pub(crate) fn new(are_honoured: bool) -> Keys {
        Keys { are_honoured, life_ms: None, kept: HashMap::new() }
    }

    /// What is known of a key that its PSP remembers for `usual_ms`.
    pub(crate) fn find(
        &self,
        key: &str,
        (path, parameters): (&str, &str),
        usual_ms: i64,
        now_ms: i64,
    ) -> Found<'_> {
        let life_ms = self.life_ms.unwrap_or(usual_ms);
        let known = self
            .kept
            .get(key)
            .filter(|kept| self.are_honoured && now_ms.saturating_sub(kept.at_ms) < life_ms);
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
