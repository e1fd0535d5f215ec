//! Replays recorded exchanges of the five originals against the real binary and compares answer by
//! answer. A difference is allowed only where a decision says so, and then the answer must be what
//! the decision demands.
//!
//! The recordings and their forms are described in `tests/recordings/README.md`. Any other file of
//! those forms is replayed with `REQUITE_RECORDINGS=<folder, file or face=file>`. The outcome of
//! every run is written to `target/replay-report.txt`.
//!
//! Start at `every_recorded_exchange_is_answered_as_recorded_or_as_a_decision_says`; each face's file
//! says how its lines become calls, the `*_rules` files where answers differ and what does not run yet.

mod compare;
mod demand;
mod expect;
mod gr4vy;
mod gr4vy_pay;
mod gr4vy_rules;
mod gr4vy_shapes;
mod gr4vy_stage;
mod gr4vy_webhook;
mod gr4vy_whole;
mod medusa_headers;
mod medusa_v1;
mod medusa_v1_cookies;
mod medusa_v1_rules;
mod medusa_v2;
mod medusa_v2_capture;
mod medusa_v2_fields;
mod medusa_v2_ledger;
mod medusa_v2_request;
mod medusa_v2_rules;
mod money;
mod recording;
mod scenario;
mod scenario_seed;
mod shop;
mod tally;
mod tree;

use std::fs;
use std::path::PathBuf;
use std::thread;

use recording::Recording;
use tally::Tally;

fn replay(recording: &Recording) -> Tally {
    match recording.face {
        "medusa-v1" => medusa_v1::replay(recording),
        "medusa-v2" => medusa_v2::replay(recording),
        "gr4vy" => gr4vy::replay(recording),
        _ => scenario::replay(recording),
    }
}

/// Where the build puts things: the folder that holds `debug` and its like.
fn report_path() -> PathBuf {
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_requite"));
    let target =
        binary.parent().and_then(std::path::Path::parent).expect("binaries are built below target");
    target.join("replay-report.txt")
}

#[test]
fn every_recorded_exchange_is_answered_as_recorded_or_as_a_decision_says() {
    let recordings = recording::recordings();
    let tallies: Vec<Tally> = thread::scope(|scope| {
        let threads: Vec<_> =
            recordings.iter().map(|recording| scope.spawn(move || replay(recording))).collect();
        let faces = recordings.iter().map(|recording| recording.face);
        threads
            .into_iter()
            .zip(faces)
            .map(|(t, face)| {
                t.join().unwrap_or_else(|_| {
                    let mut tally = Tally::new(face);
                    tally.add(
                        face,
                        tally::Outcome::failed(
                            "the replay itself broke; its panic is above".to_owned(),
                        ),
                    );
                    tally
                })
            })
            .collect()
    });
    let report: String = tallies.iter().map(Tally::report).collect();
    fs::write(report_path(), &report).expect("target can be written");
    println!("{report}");
    let failed: usize = tallies.iter().map(|tally| tally.failed.len()).sum();
    assert_eq!(failed, 0, "lines failed; see {}", report_path().display());
}
