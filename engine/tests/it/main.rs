//! The lane over a real database: what is answered is on disk, and what is on disk adds up.
//!
//! Most of it runs on either store (`TEST_DATABASE=postgres`, see [`support::Place`]). `files` and `plans`
//! are about SQLite, `away`, `nodes`, `older`, `pauses`, `spread` and `statements`
//! about PostgreSQL.

mod audit;
mod away;
mod cancellations;
mod doubts;
mod failing;
mod files;
mod history;
mod inbox;
mod keys;
mod nodes;
mod notices;
mod older;
mod operations;
mod orders;
mod pauses;
mod people;
mod plans;
mod races;
mod refunds;
mod relay;
mod sessions;
mod shop;
mod shown;
mod spread;
mod statements;
mod support;
mod together;
mod views;
