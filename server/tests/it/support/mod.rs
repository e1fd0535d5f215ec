//! What checks of the real binary share: starting it ([`Server`]), its command line ([`Cli`]),
//! raw HTTP ([`Request`]), and one credential per face ([`Key`]).
//!
//! ```ignore
//! let server = Server::start(Options::default());
//! let merchant = server.cli().merchant("Shop");
//! let native = server.cli().key(&merchant, "native");
//! let payment = server.register(&native, &json!({"amount": 1000, "currency": "EUR", "captures": [{"amount": 1000}]}));
//! let answer = server.send(&Request::post("/v1/admin/refunds").bearer(&key.token).json(&body));
//! ```
//!
//! Nothing here waits a fixed time: starting waits for the ready line, stopping for the exit.

#![allow(dead_code, unused_imports, reason = "no one check needs all of it")]

use std::time::{Duration, Instant};

mod cli;
mod gr4vy_token;
mod http;
mod receiver;
mod server;
mod shop;
pub(crate) mod stripe;

pub(crate) use cli::{Cli, Key, Merchant, Run};
pub(crate) use gr4vy_token::{Gr4vyClaims, public_key_pem, sign_gr4vy_token};
pub(crate) use http::{Request, Response};
pub(crate) use receiver::{Message, Receiver, Reply, gr4vy_signature, standard_signature};
pub(crate) use server::{Options, Server};
pub(crate) use shop::{FACES, Face, Shop, body, path, path_of};

/// Thirty-two bytes that seal nothing of value.
pub(crate) const SEALING_KEY: &str = "cmVxdWl0ZSB0ZXN0cyBhbmQgbm90aGluZyBlbHNlIC4=";

/// Waits for what is bound to come.
pub(crate) fn until(what: &str, within: Duration, is_so: impl Fn() -> bool) {
    let end = Instant::now() + within;
    while !is_so() {
        assert!(Instant::now() < end, "{what}: not within {within:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
