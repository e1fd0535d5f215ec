//! `requite-sim`: the simulation at the command line.
//!
//! ```text
//! requite-sim                     100,000 refunds over as many runs as it takes
//! requite-sim --ops 1000000       more of them
//! requite-sim --from 5000         other ones: the first seed (default 1)
//! requite-sim --seed 42           one run, with the end of its trace
//! requite-sim --seed 42 --trace   ... and all of it on standard error
//! requite-sim --bug NAME ...      with a planted bug
//! requite-sim --prove-bugs        finds every planted bug, or fails
//! requite-sim --forever           until something is found, or until it is stopped
//! requite-sim --climate NAME ...  all runs of one kind: lost-answers, many-crashes, ...
//! requite-sim --threads 4 ...     so many runs at a time (default: as many as there are cores)
//! ```
//!
//! Exit codes: 0 nothing found (or every planted bug found), 1 a violation (or a bug not found), 2
//! wrong usage.

use std::process::ExitCode;

use requite_sim::bug::Bug;
use requite_sim::campaign::{self, Campaign};
use requite_sim::tally::Voice;
use requite_sim::weather::Climate;
use requite_sim::world::{Plan, World};

const USAGE: &str = "usage: requite-sim [--ops N] [--from SEED] [--seed SEED [--trace]] [--bug NAME] \
                     [--climate NAME] [--threads N] [--prove-bugs] [--forever]";

#[derive(Default)]
struct Wish {
    ops: Option<u64>,
    from: Option<u64>,
    seed: Option<u64>,
    bug: Option<Bug>,
    climate: Option<Climate>,
    threads: Option<u64>,
    is_loud: bool,
    proves: bool,
    is_endless: bool,
}

fn main() -> ExitCode {
    let Some(wish) = parse(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        let names: Vec<&str> = Bug::ALL.iter().map(|(name, _)| *name).collect();
        eprintln!("bugs: {}", names.join(" "));
        let names: Vec<&str> = Climate::ALL.iter().map(|(name, _)| *name).collect();
        eprintln!("climates: {}", names.join(" "));
        return ExitCode::from(2);
    };
    // A panicking lane is a finding that the summary tells; its own message would only be noise.
    std::panic::set_hook(Box::new(|_| ()));
    let holds = match wish {
        Wish { proves: true, .. } => campaign::prove_bugs(&mut std::io::stdout()),
        Wish { seed: Some(seed), bug, climate, is_loud, .. } => {
            let voice = if is_loud { Voice::Loud } else { Voice::Kept };
            let story = World::run(Plan { seed, bug, climate, voice });
            campaign::tell(&mut std::io::stdout(), &story, bug, climate)
        }
        Wish { ops, from, bug, climate, threads, is_endless, .. } => {
            let refunds = if is_endless { u64::MAX } else { ops.unwrap_or(100_000) };
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            let threads = threads.map_or(cores, |n| usize::try_from(n).unwrap_or(cores));
            let first_seed = from.unwrap_or(1);
            let campaign = Campaign { first_seed, refunds, bug, climate, threads };
            campaign.run(&mut std::io::stdout())
        }
    };
    match holds {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(fault) => {
            eprintln!("the report could not be written: {fault}");
            ExitCode::FAILURE
        }
    }
}

fn parse(mut words: impl Iterator<Item = String>) -> Option<Wish> {
    let mut wish = Wish::default();
    while let Some(word) = words.next() {
        let mut number = || words.next()?.replace('_', "").parse::<u64>().ok();
        match word.as_str() {
            "--ops" => wish.ops = Some(number()?),
            "--from" => wish.from = Some(number()?),
            "--seed" => wish.seed = Some(number()?),
            "--bug" => wish.bug = Some(Bug::named(&words.next()?)?),
            "--climate" => wish.climate = Some(Climate::named(&words.next()?)?),
            "--threads" => wish.threads = Some(number()?),
            "--trace" => wish.is_loud = true,
            "--prove-bugs" => wish.proves = true,
            "--forever" => wish.is_endless = true,
            _ => return None,
        }
    }
    Some(wish)
}
