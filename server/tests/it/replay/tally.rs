//! What became of each line, and the report of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::panic::AssertUnwindSafe;

/// What became of one line (for scenarios: one line is a whole scenario).
#[derive(Debug)]
pub(super) enum Outcome {
    /// Replayed. Empty `problems`: as recorded, or as the named decisions demand.
    Run { decisions: BTreeSet<&'static str>, problems: Vec<String> },
    /// Left out by a written rule.
    NotYet(String),
}

impl Outcome {
    pub(super) fn failed(problem: String) -> Outcome {
        Outcome::Run { decisions: BTreeSet::new(), problems: vec![problem] }
    }
}

/// Runs one line. What breaks in it (a state that cannot be prepared) is that line's failure and
/// nobody else's.
pub(super) fn guarded(run: impl FnOnce() -> Outcome) -> Outcome {
    std::panic::catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Outcome::failed(format!("broke: {}", text.unwrap_or_default()))
    })
}

/// One face's lines.
#[derive(Debug, Default)]
pub(super) struct Tally {
    face: String,
    run: usize,
    allowed: BTreeMap<&'static str, Vec<String>>,
    not_yet: Vec<(String, String)>,
    pub(super) failed: Vec<(String, Vec<String>)>,
}

impl Tally {
    pub(super) fn new(face: &str) -> Tally {
        Tally { face: face.to_owned(), ..Tally::default() }
    }

    pub(super) fn add(&mut self, name: &str, outcome: Outcome) {
        match outcome {
            Outcome::NotYet(reason) => self.not_yet.push((name.to_owned(), reason)),
            Outcome::Run { decisions, problems } => {
                self.run = self.run.saturating_add(1);
                for decision in decisions {
                    self.allowed.entry(decision).or_default().push(name.to_owned());
                }
                if !problems.is_empty() {
                    self.failed.push((name.to_owned(), problems));
                }
            }
        }
    }

    /// One line of numbers, then names: what differs by which decision, what did not run and why.
    pub(super) fn report(&self) -> String {
        let with: BTreeSet<&String> = self.allowed.values().flatten().collect();
        let mut text = format!(
            "{}: {} lines run ({} of them differ as a decision says), {} not yet run, {} failed\n",
            self.face,
            self.run,
            with.len(),
            self.not_yet.len(),
            self.failed.len()
        );
        for (decision, names) in &self.allowed {
            let line = format!("  {decision} ({}): {}\n", names.len(), names.join(", "));
            text.push_str(&line);
        }
        for (name, reason) in &self.not_yet {
            writeln!(text, "  not yet run: {name} ({reason})").expect("a String takes all");
        }
        for (name, problems) in &self.failed {
            writeln!(text, "  FAILED: {name}").expect("a String takes all");
            for problem in problems {
                writeln!(text, "    {problem}").expect("a String takes all");
            }
        }
        text
    }
}
