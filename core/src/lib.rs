//! Requite's rules about money, pure.
//!
//! This crate decides and knows nothing: no I/O, no clock, no randomness, no wire formats. What it
//! is given (times, ids) comes from outside, so that the same input always gives the same plan.
//!
//! Start reading at [`decide::decide`] (may this refund be made?) and [`settle::settle`] (what does
//! an outcome change?). [`payment`] says what is refundable, [`refund`] which states exist.
#![deny(clippy::arithmetic_side_effects, clippy::as_conversions, clippy::wildcard_enum_match_arm)]

pub mod cancel;
pub mod card;
pub mod currency;
pub mod decide;
pub mod external;
pub mod id;
pub mod journal;
pub mod money;
pub mod payment;
pub mod refund;
pub mod schedule;
pub mod settle;
