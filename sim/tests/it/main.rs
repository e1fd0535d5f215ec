//! A taste of the simulation in every test run; `requite-sim` makes the long ones.

use requite_sim::bug::Bug;
use requite_sim::campaign::{Campaign, hunt};
use requite_sim::weather::Climate;
use requite_sim::world::{Plan, World};

#[test]
fn a_few_thousand_refunds_survive_crashes_and_a_bad_psp() {
    let mut out = Vec::new();
    let campaign = Campaign::of(3_000);
    let holds = campaign.run(&mut out).expect("memory can be written");
    assert!(holds, "{}", String::from_utf8_lossy(&out));
}

/// What once broke the product, by the seed that showed it first.
#[test]
fn seeds_that_found_something_find_nothing_any_more() {
    for seed in [2, 5, 6, 12, 36, 110, 134, 147, 224, 1_011_421, 5_000_929] {
        // They were found before runs had climates.
        let climate = Some(Climate::Mixed);
        let story = World::run(Plan { climate, ..Plan::of(seed) });
        assert_eq!(story.violation, None, "seed {seed}");
    }
    // People came only when a call was under way; a PSP hid a refusal behind errors for ever; a
    // notice without a key was about another leg; a person's word was hours old.
    for seed in [513, 50_118, 50_346, 50_646] {
        assert_eq!(World::run(Plan::of(seed)).violation, None, "seed {seed}");
    }
}

#[test]
fn the_same_seed_tells_the_same_story() {
    for seed in 1..12 {
        let [first, second] = [seed, seed].map(|seed| World::run(Plan::of(seed)));
        assert_eq!(first.trace.hash(), second.trace.hash(), "seed {seed}");
    }
}

/// Every climate by itself, on the seeds that come first.
#[test]
fn in_every_climate_nothing_is_lost_and_nothing_is_paid_twice() {
    for (name, climate) in Climate::ALL {
        let mut refunds = 0;
        for seed in 1..6 {
            let story = World::run(Plan { climate: Some(climate), ..Plan::of(seed) });
            assert_eq!(story.violation, None, "{name}, seed {seed}");
            refunds += story.refunds;
        }
        assert!(refunds > 30, "{name}: only {refunds} refunds");
    }
}

#[test]
fn planted_bugs_are_found() {
    for bug in [Bug::UnknownIsFailed, Bug::AnswerBeforeCommit] {
        assert!(hunt(bug).is_some(), "{} was not found", bug.name());
    }
}
