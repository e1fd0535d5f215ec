//! F4: a part of the server panics, and nothing is left lying.

use std::time::Duration;

use serde_json::Value;

use super::kills::{all_is_told, both_agree, goes_on, whole_rig};
use super::rig::Rig;
use crate::support::until;
use crate::torture::Load;

/// Points that calls to the PSP, handlers and the jobs beside requests pass. What a lane passes is not here: one
/// that panics has broken an invariant, and the process ends and recovers.
const POINTS: [&str; 9] = [
    "call.connected",
    "call.head",
    "call.answered",
    "read.back",
    "client.answer",
    "inbox.claimed",
    "list.claimed",
    "outbox.claimed",
    "outbox.told",
];

/// How long it may take until a point is passed.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn a_call_a_handler_or_a_job_that_panics_leaves_nothing_lying() {
    let (mut rig, paid, receiver) = whole_rig(16);
    let payments: Vec<Value> = paid.iter().map(|paid| paid.payment.clone()).collect();
    let Rig { server, shop, .. } = &mut rig;
    let load = Load::new(shop, payments);
    // A payment's events are told one after the other: no more than can be told soon.
    load.under(server.addr, 2, || {
        for (name, number) in POINTS.iter().zip(1..) {
            server.kill9();
            // Lists are claimed rarely.
            let place = if name.contains("list") { 1 } else { number };
            let before = server.log().len();
            server.start_armed(&format!("{name}:{place}:panic"));
            let struck = || server.log()[before..].contains("a test made it panic at");
            until(&format!("nothing panicked at {name}"), PATIENCE, struck);
            goes_on(&load, server);
            assert_eq!(server.ended(), None, "{name} ended it: {}", server.log());
        }
    });
    let acknowledged = load.acknowledged.into_inner().expect("no panic");
    println!("{} panics, {} refunds acknowledged", POINTS.len(), acknowledged.len());
    both_agree(&rig, &paid, &acknowledged);
    all_is_told(&rig, &paid, &receiver);
}
