//! The rules about money, as rows of facts and as laws over random histories.

mod amounts;
mod cards;
mod decisions;
mod histories;
mod ids;
mod outcomes;
mod support;
