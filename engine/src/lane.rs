//! The lane.
use crate::command::{Answer, Command};
use crate::psp::Instruction;
use crate::store::{Store, StoreFault};
/// Commands that one transaction carries at most.
pub const BATCH_MAX: usize = 256;
pub struct Lane<S: Store> {
    store: S,
}
impl<S: Store> Lane<S> {
    pub fn new(store: S) -> Lane<S> {
        Lane { store }
    }
    pub fn step(&mut self, batch: Vec<(Command, Answer)>) -> Vec<Instruction> {
        drop(batch);
        Vec::new()
    }
    pub fn recover(&mut self, now_ms: i64) -> Result<Vec<Command>, StoreFault> {
        self.store.due(now_ms, 0)?;
        Ok(Vec::new())
    }
}
