//! The rules about money, as rows of facts and as laws over random histories.

mod amounts;
mod calls;
mod cancellations;
mod cards;
mod decisions;
mod externals;
mod histories;
mod ids;
mod outcomes;
mod support;
