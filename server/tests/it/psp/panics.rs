//! F4: a part of the server panics, and nothing is left lying.

use std::time::Duration;

use serde_json::{Value, json};

use super::kills::{all_is_told, both_agree, goes_on};
use super::rig::{Paid, Rig};
use crate::support::{Options, Receiver, Request, until};
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
    let options = Options::default()
        .env("REQUITE_WEBHOOKS_ADDRESSES", "any")
        .env("REQUITE_PSP_SWEEP_MS", "300")
        .env("REQUITE_PSP_CALL_DEADLINE_MS", "400");
    let mut rig = Rig::with_clock_and(&[], options);
    let paid: Vec<Paid> = (0..16).map(|_| rig.pay(1_000_000)).collect();
    rig.hook();
    let receiver = Receiver::content();
    let endpoint = Request::post("/api/webhook-endpoints").bearer(&rig.shop.native.token);
    let made = rig.server.send(&endpoint.json(&json!({"url": receiver.url})));
    assert_eq!(made.status, 201, "{}", made.text());
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
