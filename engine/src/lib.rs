//! The engine: remembers what the core decides, and carries instructions to payment providers.
//!
//! Commands come in through one door ([`engine::Engine::submit`]), are decided in batches by a
//! [`lane::Lane`], committed by a [`store::Store`] and only then answered. What was committed as
//! "to be sent" goes out through [`psp::Psp`], and what comes back is a command again.
//!
//! The engine knows SQL and time passing; it knows no HTTP, no JSON, and no face or PSP by name.
#![deny(clippy::as_conversions, clippy::arithmetic_side_effects)]

pub mod audit;
pub mod clock;
pub mod command;
pub mod engine;
pub mod event;
pub mod fault;
pub mod inbox;
pub mod key;
pub mod lane;
pub mod order;
pub mod outbox;
pub mod psp;
pub mod read;
pub mod registry;
pub mod store;
