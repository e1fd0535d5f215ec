//! What PSPs tell unasked, from when it is taken in until it is done with: as the server's inbox does it.
//!
//! A message is on disk before its PSP is thanked. It is claimed for a minute, told to the lane, and told
//! again ever more rarely until something came of it; in the end it is put aside for people.

use std::collections::BTreeMap;

use requite_core::currency::Currency;
use requite_core::id::{MerchantId, PaymentId};
use requite_core::money::Minor;
use requite_core::schedule;
use requite_core::settle::Outcome;
use requite_engine::command::{Mark, Noticed, Reply};

use crate::desk::Result_;

/// How long a claimed message is its worker's, as the server's.
const CLAIM_MS: i64 = 60_000;
/// Distances between tries, as the server's.
const TRIES_MS: [i64; 8] = [1_000, 2_000, 5_000, 30_000, 120_000, 600_000, 3_600_000, 21_600_000];
/// Tries before a message is put aside, as the server's.
const TRIES_MAX: u32 = 20;

/// What a message tells.
#[derive(Clone, Debug)]
pub struct Letter {
    pub merchant: MerchantId,
    pub payment: PaymentId,
    pub connector: &'static str,
    pub mark: Mark,
    pub amount: Minor,
    pub currency: Currency,
    pub outcome: Outcome,
    pub said_at_ms: i64,
    /// Which of the PSP's refunds it is about; `None`: it is not true.
    pub at: Option<usize>,
}

#[derive(Clone, Debug)]
struct Message {
    letter: Letter,
    tries: u32,
    next_ms: i64,
}

/// The inbox. A crash takes nothing of it.
#[derive(Debug, Default)]
pub struct Post {
    waiting: BTreeMap<u64, Message>,
    taken_in: u64,
}

impl Post {
    pub fn take_in(&mut self, letter: Letter, wall_ms: i64) {
        self.taken_in += 1;
        let message = Message { letter, tries: 0, next_ms: wall_ms };
        self.waiting.insert(self.taken_in, message);
    }

    /// Messages whose time has come; they are the caller's for a while.
    pub fn claim(&mut self, wall_ms: i64, max: usize) -> Vec<(u64, Letter)> {
        let due = self.waiting.iter_mut();
        let due = due.filter(|(_, message)| schedule::is_due(message.next_ms, wall_ms)).take(max);
        let claimed = due.map(|(number, message)| {
            message.tries += 1;
            message.next_ms = wall_ms + CLAIM_MS;
            (*number, message.letter.clone())
        });
        claimed.collect()
    }

    /// What the lane said to it, and how that ends it.
    pub fn answered(&mut self, number: u64, result: &Result_, wall_ms: i64) -> &'static str {
        let (word, is_done) = match result {
            Ok(Reply::Noticed(Noticed::Settled(_))) => ("settled", true),
            Ok(Reply::Noticed(Noticed::Known(_))) => ("nothing new", true),
            Ok(Reply::Noticed(Noticed::External(_))) => ("made elsewhere", true),
            Ok(Reply::Noticed(Noticed::MovedNothing)) => ("made elsewhere, moved nothing", true),
            Ok(Reply::Noticed(Noticed::Odd(_))) => ("put aside as odd", true),
            Ok(Reply::Noticed(Noticed::Later(_))) => ("later", false),
            Ok(_) | Err(_) => ("store failed", false),
        };
        let Some(message) = self.waiting.get_mut(&number) else {
            return word;
        };
        if is_done || message.tries >= TRIES_MAX {
            self.waiting.remove(&number);
            return if is_done { word } else { "put aside after many tries" };
        }
        let at = usize::try_from(message.tries).unwrap_or(usize::MAX).saturating_sub(1);
        message.next_ms = wall_ms + TRIES_MS.get(at).copied().unwrap_or(TRIES_MS[7]);
        word
    }

    /// When the next message's time comes.
    pub fn next_ms(&self, wall_ms: i64) -> Option<i64> {
        let due = self.waiting.values().map(|message| message.next_ms);
        due.map(|at_ms| if schedule::is_due(at_ms, wall_ms) { wall_ms } else { at_ms }).min()
    }

    /// For a planted bug: whatever waits is gone.
    pub fn forget(&mut self) {
        self.waiting.clear();
    }
}
