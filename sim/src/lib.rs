//! Tries to break Requite, from a seed.
//!
//! A run is one story: shops ask for refunds through the command forms of all five faces, the store
//! fails, the process dies around every commit and every call, the PSP loses answers, repeats them,
//! sends them late, declines and delays, tells things unasked and pays what somebody made by hand;
//! then the faults stop, and everything must come right. What is checked, always: the invariants by
//! the names that ARCHITECTURE.md gives them (I1 ... I16), and R1 (what a client was told of exists after
//! any recovery), R2 (our books agree with the PSP's), R3 (once faults stop, everything settles), R4 (a
//! repeated key gets the same answer).
//!
//! Start at [`world::World`]. [`model`] is the second opinion, [`psp`] the judge's own books,
//! [`bug`] what can be planted to prove that the simulation sees.

pub mod bug;
pub mod campaign;
pub mod client;
pub mod desk;
pub mod disk;
pub mod judge;
pub mod memory;
pub mod model;
pub mod post;
pub mod psp;
pub mod rng;
pub mod tally;
pub mod weather;
pub mod world;
