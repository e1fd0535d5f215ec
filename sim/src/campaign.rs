//! Many runs: until enough refunds were simulated, or something is found.

use std::collections::BTreeMap;
use std::io::{Result, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use requite_core::refund::Status;

use crate::bug::Bug;
use crate::tally::{Tally, Voice};
use crate::weather::Climate;
use crate::world::{Plan, Story, World};

/// Every so many runs one is told twice, and must be the same both times.
const REPLAY_EVERY: u64 = 25;
/// Refunds of a run, about: so many runs are made before what came of them is looked at that a round
/// does not make many more than are wanted.
const RUN_REFUNDS: u64 = 150;
const ROUND_MIN: u64 = 8;
const ROUND_MAX: u64 = 400;
/// Refunds after which a planted bug must be found.
pub const BUG_REFUNDS_MAX: u64 = 20_000;
/// From so many refunds on, every kind of fault must have struck (R10).
const FAULTS_FROM: u64 = 50_000;
/// From so many refunds on, every move that can happen must have happened.
const MOVES_FROM: u64 = 900_000;

/// Faults that must have struck, by group and name.
const FAULTS: [(&str, &str); 61] = [
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
    ("PSP", "notice that wanders"),
    ("PSP", "paid what it had said was over"),
    ("PSP", "proven failure"),
    ("crash", "before its recovery"),
    ("crash", "while it recovers"),
    ("clock", "set back"),
    ("clock", "set forward"),
    ("sweep", "could not read"),
    ("store", "sqlite"),
    ("PSP", "refused at once"),
    ("PSP", "refund made by hand"),
    ("notice", "settled"),
    ("notice", "nothing new"),
    ("notice", "made elsewhere"),
    ("notice", "later"),
    ("notice", "put aside as odd"),
    ("notice", "store failed"),
    ("notice", "read in a list"),
    ("people", "succeeded"),
    ("people", "declined"),
    ("people", "failed"),
    ("command", "person's word, refused"),
    ("call", "too late, not made"),
    ("node", "stopped with calls prepared"),
    ("node", "call prepared before a stop"),
    ("node", "continued"),
    ("node", "met another in a transaction"),
    ("crash", "while another met it"),
    ("transaction", "committed, read back"),
    ("PSP", "deadline passed without an answer"),
    ("PSP", "cancelled when it was asked to"),
    ("PSP", "refused to cancel"),
    ("command", "cancellation refused"),
    ("cancellation", "requires_action"),
    ("doubt", "heard of, asked on"),
    ("doubt", "time is over"),
    ("doubt", "then accepted"),
    ("doubt", "then refused"),
];

/// Moves that the states allow and that no run makes, with the reason.
const NOT_MADE: [(&str, &str, &str); 1] =
    [("requested awaiting_approval held", "", "nothing asks for a second person or waits yet")];

/// Moves that need news of the very moments in which a refund waits to be sent again: few runs make them, and none
/// is asked to.
const SELDOM: (&str, &str) = ("ready", "pending declined failed requires_action voided");

/// Which runs to make.
#[derive(Clone, Copy, Debug)]
pub struct Campaign {
    pub first_seed: u64,
    /// Refunds to simulate in all.
    pub refunds: u64,
    pub bug: Option<Bug>,
    /// One climate for all runs; else each has its own.
    pub climate: Option<Climate>,
    /// Runs at a time.
    pub threads: usize,
}

impl Campaign {
    /// This many refunds, nothing planted, one run at a time.
    pub fn of(refunds: u64) -> Campaign {
        Campaign { first_seed: 1, refunds, bug: None, climate: None, threads: 1 }
    }

    /// Makes them, and tells what came of it. `false`: something was found.
    pub fn run(&self, out: &mut dyn Write) -> Result<bool> {
        let mut sum = Sum::default();
        while sum.refunds < self.refunds {
            // Which seeds are told does not depend on the threads.
            let first = self.first_seed + sum.runs;
            let runs = (self.refunds - sum.refunds) / RUN_REFUNDS;
            for (story, is_same) in self.round(first, runs.clamp(ROUND_MIN, ROUND_MAX)) {
                if story.violation.is_some() {
                    let again = World::run(self.plan(story.seed, Voice::Kept));
                    return tell(out, &again, self.bug, self.climate);
                }
                if !is_same {
                    writeln!(out, "seed {} tells two different stories", story.seed)?;
                    return Ok(false);
                }
                sum.add(&story);
            }
            if sum.refunds / 100_000 > sum.told {
                sum.told = sum.refunds / 100_000;
                writeln!(out, "{} refunds in {} runs", sum.refunds, sum.runs)?;
                out.flush()?;
            }
        }
        summary(out, &sum)?;
        moves(out, &sum.tally)?;
        Ok(all_struck(out, &sum)? && (self.climate.is_some() || all_moved(out, &sum)?))
    }

    fn plan(&self, seed: u64, voice: Voice) -> Plan {
        Plan { seed, bug: self.bug, climate: self.climate, voice }
    }

    /// The stories of so many seeds, in their order, each with whether it was told twice alike.
    fn round(&self, first: u64, runs: u64) -> Vec<(Story, bool)> {
        let next = AtomicU64::new(0);
        let told = Mutex::new(BTreeMap::new());
        std::thread::scope(|scope| {
            for _ in 0..self.threads.max(1) {
                scope.spawn(|| {
                    loop {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        if at >= runs {
                            return;
                        }
                        let is_twice = (first + at).is_multiple_of(REPLAY_EVERY);
                        let voice = if is_twice { Voice::Kept } else { Voice::Silent };
                        let plan = self.plan(first + at, voice);
                        let story = World::run(plan);
                        let is_same =
                            !is_twice || World::run(plan).trace.hash() == story.trace.hash();
                        let mut told = told.lock().expect("nothing panics while it holds this");
                        told.insert(at, (story, is_same));
                    }
                });
            }
        });
        told.into_inner().expect("nothing panics while it holds this").into_values().collect()
    }
}

/// What many runs came to.
#[derive(Default)]
struct Sum {
    tally: Tally,
    refunds: u64,
    runs: u64,
    /// Progress that was told.
    told: u64,
}

impl Sum {
    fn add(&mut self, story: &Story) {
        self.tally.merge(&story.tally);
        self.refunds += story.refunds;
        self.runs += 1;
        if story.seed.is_multiple_of(REPLAY_EVERY) {
            self.tally.add("check", "stories told twice, alike");
        }
    }
}

fn summary(out: &mut dyn Write, sum: &Sum) -> Result<()> {
    let Sum { tally, refunds, runs, .. } = sum;
    writeln!(out, "\n{refunds} refunds in {runs} runs")?;
    let groups = [
        "climate",
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
        "notice",
        "people",
        "cancellation",
        "doubt",
        "node",
        "clock",
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

/// How often each move between states was made, as a table for `docs/how-we-know.md`. Nothing stands where the
/// states allow none, 0 where they do and none was made.
fn moves(out: &mut dyn Write, tally: &Tally) -> Result<()> {
    let words = Status::LISTED.iter().map(|(_, _, word)| format!(" {} |", word.replace('_', " ")));
    writeln!(out, "| from, to |{}", words.collect::<String>())?;
    writeln!(out, "|---|{}", "---:|".repeat(Status::LISTED.len()))?;
    for (from, _, word) in &Status::LISTED {
        write!(out, "| {} |", word.replace('_', " "))?;
        for (to, _, to_word) in &Status::LISTED {
            match from.may_become(*to) {
                true => write!(out, " {} |", tally.count("move", &format!("{word} -> {to_word}")))?,
                false => write!(out, " |")?,
            }
        }
        writeln!(out)?;
    }
    Ok(())
}

/// R10: a fault that never struck was not tested.
fn all_struck(out: &mut dyn Write, sum: &Sum) -> Result<bool> {
    let Sum { tally, refunds, .. } = sum;
    // A single climate has its own few faults.
    let is_wide = Climate::ALL.iter().all(|(name, _)| tally.count("climate", name) > 0);
    if *refunds < FAULTS_FROM || !is_wide {
        return Ok(true);
    }
    let missed = FAULTS.iter().filter(|(group, what)| tally.count(group, what) == 0);
    let missed: Vec<_> = missed.collect();
    for (group, what) in &missed {
        writeln!(out, "never happened: {group}: {what}")?;
    }
    let struck: u64 = FAULTS.iter().map(|(group, what)| tally.count(group, what)).sum();
    let kinds = FAULTS.len();
    writeln!(out, "{} of {kinds} kinds of fault struck, {struck} times", kinds - missed.len())?;
    Ok(missed.is_empty())
}

/// Every move that the states allow and that can happen was made.
fn all_moved(out: &mut dyn Write, sum: &Sum) -> Result<bool> {
    if sum.refunds < MOVES_FROM {
        return Ok(true);
    }
    let mut holds = true;
    let (mut made, mut allowed) = (0, 0);
    for ((from, _, from_word), (to, _, to_word)) in
        Status::LISTED.iter().flat_map(|from| Status::LISTED.iter().map(move |to| (from, to)))
    {
        if !from.may_become(*to) {
            continue;
        }
        allowed += 1;
        let count = sum.tally.count("move", &format!("{from_word} -> {to_word}"));
        made += u64::from(count > 0);
        let is_in =
            |words: &str, word: &str| words.is_empty() || words.split(' ').any(|w| w == word);
        let is_one = |(froms, tos): (&str, &str)| is_in(froms, from_word) && is_in(tos, to_word);
        let excuse = NOT_MADE.iter().find(|(froms, tos, _)| is_one((froms, tos)));
        match (count, excuse) {
            (0, None) => {
                holds &= is_one(SELDOM);
                writeln!(out, "never happened: {from_word} -> {to_word}")?;
            }
            (1.., Some((_, _, why))) => {
                holds = false;
                writeln!(out, "{from_word} -> {to_word} happened, though it is said: {why}")?;
            }
            _ => {}
        }
    }
    writeln!(out, "{made} of {allowed} moves that the states allow were made")?;
    Ok(holds)
}

/// One story's end; with its last events when something was found.
pub fn tell(
    out: &mut dyn Write,
    story: &Story,
    bug: Option<Bug>,
    climate: Option<Climate>,
) -> Result<bool> {
    let Story { seed, refunds, trace, violation, .. } = story;
    for line in trace.lines() {
        writeln!(out, "{line}")?;
    }
    let planted = bug.map_or(String::new(), |bug| format!(" --bug {}", bug.name()));
    let weather = climate.map_or(String::new(), |of| format!(" --climate {}", of.name()));
    match violation {
        None => writeln!(out, "seed {seed}: {refunds} refunds, trace {:016x}", trace.hash())?,
        Some(what) => {
            writeln!(out, "\nVIOLATION after {refunds} refunds: {what}")?;
            writeln!(out, "again: requite-sim --seed {seed}{planted}{weather}")?;
        }
    }
    Ok(violation.is_none())
}

/// Refunds that it took to find a planted bug, and by what; `None` when it was not found.
pub fn hunt(bug: Bug) -> Option<(u64, Story)> {
    let mut refunds = 0;
    let mut seed = 1;
    while refunds < BUG_REFUNDS_MAX {
        let story = World::run(Plan { seed, bug: Some(bug), climate: None, voice: Voice::Silent });
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
