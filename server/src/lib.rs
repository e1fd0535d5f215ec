//! Requite: a refund server that speaks five existing refund APIs over one engine.
//!
//! This file says what the program consists of; it starts at the command line ([`cli`]). How the parts
//! are put together into a server is in [`app`]. Nothing of it is for other programs: it is a library so
//! that the fuzzer (`fuzz/`) can reach its parsers.

mod access;
mod app;
mod browser;
mod cli;
mod config;
mod connectors;
mod crypto;
mod database;
mod desk;
mod docs;
mod faces;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod hooks;
mod http;
mod jobs;
mod json;
mod keyed;
mod known_keys;
mod outward;
mod people;
mod psp;
mod rate;
mod route;
mod session;
mod time;
mod webhooks;

pub use cli::run;
