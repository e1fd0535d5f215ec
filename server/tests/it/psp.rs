//! A real server with an account at the simulated PSP (`requite psp`), a process of its own that misbehaves as
//! told. Its books are the judge: our own tables are not proof.
//!
//! Each test is named after what must be true. F9 to F23 number the faults of a PSP that is not clear about what it
//! did, from an answer that is lost to an account that hangs.
//! Start at [`rig::Rig`].

mod accounts;
mod adyen;
mod answers;
mod cancellations;
mod doubts;
mod kills;
mod nodes;
mod panics;
pub(crate) mod rig;
mod storms;
mod time;
mod webhooks;
