//! The lane over a real database file: what is answered is on disk, and what is on disk adds up.

mod audit;
mod away;
mod failing;
mod files;
mod history;
mod inbox;
mod keys;
mod nodes;
mod notices;
mod operations;
mod orders;
mod pauses;
mod people;
mod races;
mod refunds;
mod relay;
mod sessions;
mod shop;
mod spread;
mod statements;
mod support;
mod views;
