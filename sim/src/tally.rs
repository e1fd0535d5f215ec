//! What a run has seen: a count for each thing by name, and the trace that proves two runs equal.

use std::collections::{BTreeMap, VecDeque};

/// Lines of the trace that a failing run shows.
const TRACE_SHOWN_MAX: usize = 120;

/// Counts by name. Names are `group/what`.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    counts: BTreeMap<&'static str, BTreeMap<String, u64>>,
}

impl Tally {
    pub fn add(&mut self, group: &'static str, what: &str) {
        let own = self.counts.entry(group).or_default();
        match own.get_mut(what) {
            Some(count) => *count += 1,
            None => {
                own.insert(what.to_owned(), 1);
            }
        }
    }

    pub fn count(&self, group: &str, what: &str) -> u64 {
        self.counts.get(group).and_then(|own| own.get(what)).copied().unwrap_or(0)
    }

    pub fn total(&self, group: &str) -> u64 {
        self.group(group).map(|(_, count)| count).sum()
    }

    pub fn group(&self, group: &str) -> impl Iterator<Item = (&str, u64)> {
        let own = self.counts.get(group).into_iter().flatten();
        own.map(|(what, count)| (what.as_str(), *count))
    }

    pub fn merge(&mut self, other: &Tally) {
        for (group, own) in &other.counts {
            let sums = self.counts.entry(group).or_default();
            for (what, count) in own {
                *sums.entry(what.clone()).or_insert(0) += count;
            }
        }
    }
}

/// How much a run tells of what happens in it. Most runs tell nothing: what is found is told again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voice {
    Silent,
    /// The last lines, and a hash over all.
    Kept,
    /// Every line as it happens, on standard error, too.
    Loud,
}

/// Everything that happened, as a hash over all lines and the last of them as text.
#[derive(Clone, Debug)]
pub struct Trace {
    voice: Voice,
    hash: u64,
    last: VecDeque<String>,
}

impl Trace {
    pub fn new(voice: Voice) -> Trace {
        Trace { voice, hash: 0xCBF2_9CE4_8422_2325, last: VecDeque::new() }
    }

    pub fn say(&mut self, line: impl FnOnce() -> String) {
        if self.voice == Voice::Silent {
            return;
        }
        let line = line();
        if self.voice == Voice::Loud {
            eprintln!("{line}");
        }
        for byte in line.bytes() {
            // FNV-1a.
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
        }
        if self.last.len() == TRACE_SHOWN_MAX {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }

    pub fn hash(&self) -> u64 {
        self.hash
    }

    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.last.iter().map(String::as_str)
    }
}
