//! Keys, tokens, signatures and passwords: everything secret, as pure functions.
//!
//! Nothing here knows HTTP or the store, reads a clock or keeps state. Faces and the command line
//! pass in the time and fresh random bytes and get values back.
//!
//! Invariants:
//! - A secret is a [`secret::Secret`] or a key type; neither can be printed by accident.
//! - The store never holds a secret in the clear: tokens as [`token::lookup_hash`], passwords as
//!   argon2id strings, Gr4vy keys as public points only.
//! - No error says anything about a secret or repeats what the caller sent.
//! - Primitives come from aws-lc-rs (argon2 for passwords); comparisons are constant in time.
//!
//! Start at [`jws`] for signed tokens and at [`token`] for opaque ones.
#![cfg_attr(
    not(test),
    expect(dead_code, reason = "the faces and the command line take these up one by one")
)]

pub(crate) mod entropy;
pub(crate) mod jws;
pub(crate) mod p521;
pub(crate) mod password;
pub(crate) mod seal;
pub(crate) mod secret;
pub(crate) mod token;
