//! The database's machine is gone, and its synchronous standby takes over (F50): what was answered is there,
//! and the server goes on with the new primary by itself. `REQUITE_FAILOVERS` asks for more of them.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use requite_cluster::Stop;

use super::*;
use crate::support::until;
use crate::torture::{Load, has_each_once, refunds_of, times, verify};

/// How soon refunds must be made again, from when the new primary writes.
const BACK_MAX: Duration = Duration::from_secs(30);

/// The addresses of both machines, as an operator gives them: places that stay while clusters come and go.
struct Places(tempfile::TempDir);

impl Places {
    fn address(&self, database: &str) -> String {
        let place = |name: &str| self.0.path().join(name).display().to_string().replace('/', "%2F");
        format!("postgres://requite@{},{}/{database}", place("one"), place("two"))
    }

    /// A cluster stands at one of the places from now on.
    fn set(&self, number: usize, cluster: &Cluster) {
        let place = self.0.path().join(["one", "two"][number % 2]);
        if place.symlink_metadata().is_ok() {
            std::fs::remove_file(&place).expect("a link of ours");
        }
        symlink(cluster.folder(), &place).expect("a link");
    }
}

/// kill -9 of the primary under load; the standby is promoted, and gets a standby of its own.
#[test]
fn f50_a_synchronous_standby_takes_over_with_everything_that_was_answered() {
    let places = Places(tempfile::tempdir().expect("a temporary folder"));
    // Whoever runs the clusters, and the server, may pass.
    assert!(Path::new(places.0.path()).is_dir());
    let mut primary = Cluster::start(&[]).expect("a cluster");
    let database = primary.database();
    let name = database.rsplit('/').next().expect("an address ends with its database");
    let mut standby = primary.standby().expect("a standby");
    places.set(0, &primary);
    places.set(1, &standby);
    let deadline = ("REQUITE_PSP_CALL_DEADLINE_MS", "300");
    let server = Server::start(options(&places.address(name)).env(deadline.0, deadline.1));
    let shop = Shop::open(&server.cli(), "Shop");
    let mut new = json!({"amount": 1_000_000, "currency": "USD", "connector": "sandbox",
        "captures": [{"amount": 1_000_000}]});
    new["sandbox"] = json!(["approve", "lost", "pending:approve", "approve"]);
    let payments = vec![payment(&server, &shop, "manual"), server.register(&shop.native, &new)];
    let load = Load::new(&shop, payments.clone());
    let failovers = times("REQUITE_FAILOVERS", 2);
    let made = || load.acknowledged.lock().expect("no panic").len();
    let mut longest = Duration::ZERO;
    load.under(server.addr, 8, || {
        for round in 0..failovers {
            let before = made();
            until("refunds are made", BACK_MAX, || made() >= before + 20);
            primary.stop(Stop::Kill);
            standby.promote().expect("it takes over");
            let (since, before) = (Instant::now(), made());
            until("refunds are made again", BACK_MAX, || made() > before);
            longest = longest.max(since.elapsed());
            let next = standby.standby().expect("a standby of the new primary");
            places.set(round, &next);
            primary = std::mem::replace(&mut standby, next);
        }
    });
    let acknowledged = load.acknowledged.into_inner().expect("no panic");
    println!(
        "{failovers} failovers, {} refunds acknowledged, back after {longest:?} at most",
        acknowledged.len()
    );
    let all =
        || payments.iter().flat_map(|paid| refunds_of(&server, &shop, paid)).collect::<Vec<_>>();
    let end = Instant::now() + 2 * BACK_MAX;
    while let Some(open) = all().iter().find(|refund| !refund["next_action_at"].is_null()) {
        assert!(Instant::now() < end, "it stays open: {open}");
        thread::sleep(Duration::from_millis(200));
    }
    has_each_once(&all(), &acknowledged);
    verify(&server);
}
