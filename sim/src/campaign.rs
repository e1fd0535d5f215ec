//! Many runs: until enough refunds were simulated, or something is found.

use std::io::{Result, Write};

use crate::bug::Bug;
use crate::tally::Tally;
use crate::world::{Plan, Story, World};

/// Every so many runs one is told twice, and must be the same both times.
const REPLAY_EVERY: u64 = 25;
/// Refunds after which a planted bug must be found.
pub const BUG_REFUNDS_MAX: u64 = 20_000;
/// From so many refunds on, every kind of fault must have struck (R10).
const FAULTS_FROM: u64 = 50_000;

/// Faults that must have struck, by group and name.
const FAULTS: [(&str, &str); 24] = [
    ("transaction", "load fails"),
    ("transaction", "save fails"),
    ("transaction", "constraint broken"),
    ("transaction", "conflict, tried again"),
    ("transaction", "committed, reported as failed"),
    ("transaction", "before load"),
    ("transaction", "before save"),
    ("transaction", "before commit"),
    ("transaction", "after commit"),
    ("crash", "among answers"),
    ("crash", "before a call leaves"),
    ("crash", "after the calls left"),
    ("crash", "between steps"),
    ("crash with calls", "sent, then the PSP acted"),
    ("crash with calls", "sent, and lost on the way"),
    ("crash with calls", "acted, answer under way"),
    ("PSP", "answer lost"),
    ("PSP", "answer twice"),
    ("PSP", "answer after the deadline"),
    ("PSP", "key repeated"),
    ("PSP", "look-up without an answer"),
    ("PSP", "look-up found nothing"),
    ("PSP", "money came back"),
    ("store", "sqlite"),
];

/// Which runs to make.
#[derive(Clone, Copy, Debug)]
pub struct Campaign {
    pub first_seed: u64,
    /// Refunds to simulate in all.
    pub refunds: u64,
    pub bug: Option<Bug>,
}

impl Campaign {
    /// Makes them, and tells what came of it. `false`: something was found.
    pub fn run(&self, out: &mut dyn Write) -> Result<bool> {
        let mut tally = Tally::default();
        let mut refunds = 0;
        let mut runs = 0;
        let mut told = 0;
        while refunds < self.refunds {
            let seed = self.first_seed + runs;
            let plan = Plan { seed, bug: self.bug, is_loud: false };
            let story = World::run(plan);
            if story.violation.is_some() {
                return tell(out, &story, self.bug);
            }
            if runs % REPLAY_EVERY == 0 && World::run(plan).trace.hash() != story.trace.hash() {
                writeln!(out, "seed {seed} tells two different stories")?;
                return Ok(false);
            }
            tally.merge(&story.tally);
            refunds += story.refunds;
            runs += 1;
            if refunds / 10_000 > told {
                told = refunds / 10_000;
                writeln!(out, "{refunds} refunds in {runs} runs")?;
                out.flush()?;
            }
        }
        summary(out, &tally, (refunds, runs))?;
        all_struck(out, &tally, refunds)
    }
}

fn summary(out: &mut dyn Write, tally: &Tally, (refunds, runs): (u64, u64)) -> Result<()> {
    writeln!(out, "\n{refunds} refunds in {runs} runs")?;
    let groups = [
        "store",
        "command",
        "answer",
        "refusal",
        "status",
        "move",
        "transaction",
        "crash",
        "crash with calls",
        "call",
        "outcome",
        "PSP",
        "sweep",
        "check",
    ];
    for group in groups {
        writeln!(out, "{group} ({})", tally.total(group))?;
        for (what, count) in tally.group(group) {
            writeln!(out, "  {count:>9}  {what}")?;
        }
    }
    let crashes = tally.total("crash");
    let (calls, looks) = (tally.count("call", "send"), tally.count("call", "look up"));
    writeln!(
        out,
        "{refunds} refunds, {runs} runs, {crashes} crashes, {calls} refund calls, {looks} \
         look-ups, 0 violations"
    )
}

/// R10: a fault that never struck was not tested.
fn all_struck(out: &mut dyn Write, tally: &Tally, refunds: u64) -> Result<bool> {
    if refunds < FAULTS_FROM {
        return Ok(true);
    }
    let missed = FAULTS.iter().filter(|(group, what)| tally.count(group, what) == 0);
    let missed: Vec<_> = missed.collect();
    for (group, what) in &missed {
        writeln!(out, "never happened: {group}: {what}")?;
    }
    Ok(missed.is_empty())
}

/// One story's end; with its last events when something was found.
pub fn tell(out: &mut dyn Write, story: &Story, bug: Option<Bug>) -> Result<bool> {
    let Story { seed, refunds, trace, violation, .. } = story;
    for line in trace.lines() {
        writeln!(out, "{line}")?;
    }
    let planted = bug.map_or(String::new(), |bug| format!(" --bug {}", bug.name()));
    match violation {
        None => writeln!(out, "seed {seed}: {refunds} refunds, trace {:016x}", trace.hash())?,
        Some(what) => {
            writeln!(out, "\nVIOLATION after {refunds} refunds: {what}")?;
            writeln!(out, "again: requite-sim --seed {seed}{planted}")?;
        }
    }
    Ok(violation.is_none())
}

/// Refunds that it took to find a planted bug, and by what; `None` when it was not found.
pub fn hunt(bug: Bug) -> Option<(u64, Story)> {
    let mut refunds = 0;
    let mut seed = 1;
    while refunds < BUG_REFUNDS_MAX {
        let story = World::run(Plan { seed, bug: Some(bug), is_loud: false });
        refunds += story.refunds;
        if story.violation.is_some() {
            return Some((refunds, story));
        }
        seed += 1;
    }
    None
}

/// Plants every bug and looks for it. `false`: one was not found.
pub fn prove_bugs(out: &mut dyn Write) -> Result<bool> {
    let mut found_all = true;
    for (name, bug) in Bug::ALL {
        match hunt(bug) {
            Some((refunds, story)) => {
                let what = story.violation.unwrap_or_default();
                let what: String = what.chars().take(110).collect();
                writeln!(
                    out,
                    "{name}: found after {refunds} refunds (seed {}): {what}",
                    story.seed
                )?;
            }
            None => {
                found_all = false;
                writeln!(out, "{name}: NOT FOUND in {BUG_REFUNDS_MAX} refunds")?;
            }
        }
        out.flush()?;
    }
    Ok(found_all)
}
