//! Checks of the whole product: the real binary, started as a process, spoken to over sockets.
//!
//! Everything shared is in [`support`]; each other module is about one thing the binary does.

mod adyen;
mod backup;
mod cards;
mod cli;
mod connectors;
mod crowd;
mod currencies;
mod damage;
mod differential;
mod hooks;
mod input;
mod native;
mod once;
mod operation;
mod people;
mod power;
mod psp;
mod replay;
mod root;
mod secrets;
mod settings;
mod shown;
mod stolen;
mod stop;
mod support;
mod tidy;
mod tls;
mod torture;
mod turns;
mod webhooks;
