//! Many clients, one payment; and a process that dies again and again.

mod load;

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use requite_engine::fault::Point;
use serde_json::{Value, json};

pub(crate) use self::load::Load;
use crate::support::{Cli, FACES, Face, Options, Request, Server, Shop, until};

/// A payment of 5.00, a thousand refunds of 0.01 at once, through all five faces: exactly 500 are
/// made, 500 are refused in dialect, and the journal balances.
fn a_thousand_at_once(connector: &str) {
    let server = Server::start(Options::default());
    let shop = Shop::open(&server.cli(), "Shop");
    let new = json!({"amount": 500, "currency": "USD", "connector": connector,
        "captures": [{"amount": 200}, {"amount": 300}]});
    let payment = server.register(&shop.native, &new);
    let faces: Vec<Face> = FACES.into_iter().cycle().take(1_000).collect();
    let requests: Vec<Request> = faces.iter().map(|face| shop.refund(*face, &payment, 1)).collect();
    let started = Instant::now();
    let responses = server.send_at_once(&requests);
    println!("{connector}: 1,000 refunds at once took {:?}", started.elapsed());
    let mut accepted = 0;
    for (face, response) in faces.iter().zip(&responses) {
        let is_accepted = face.accepted(response);
        accepted += usize::from(is_accepted);
        assert!(
            is_accepted || face.refused(response),
            "{face:?} answered {}: {}",
            response.status,
            response.text()
        );
    }
    assert_eq!(accepted, 500);
    verify(&server);
    let refunds = refunds_of(&server, &shop, &payment);
    let given: i64 = refunds.iter().filter_map(|refund| refund["amount"].as_i64()).sum();
    assert_eq!((refunds.len(), given), (500, 500));
}

#[test]
fn a_thousand_refunds_at_once_where_nobody_is_called() {
    a_thousand_at_once("manual");
}

#[test]
fn a_thousand_refunds_at_once_through_a_psp() {
    a_thousand_at_once("sandbox");
}

/// Stages of a request at which its client leaves: fifteen while it is sent, the last of them when it is whole,
/// and five while its answer comes.
const STAGES: usize = 20;
/// Bytes of the answer that are read before the client leaves at one of the last stages.
const READ: [usize; 5] = [0, 1, 20, 120, 400];

/// Sends as much of the request, or reads as much of its answer, and goes; every other time without a word.
fn leave(server: &Server, request: &Request, stage: usize) {
    use std::io::{Read as _, Write as _};

    let mut stream = std::net::TcpStream::connect(server.addr).expect("it listens");
    let wire = request.wire(server.addr);
    let sent = (wire.len() * (stage + 1) / 15).min(wire.len());
    stream.write_all(&wire[..sent]).expect("it reads");
    if let Some(bytes) = stage.checked_sub(15) {
        let mut read = vec![0; READ[bytes]];
        stream.read_exact(&mut read).expect("an answer comes, and is longer");
    }
    if stage.is_multiple_of(2) {
        drop(stream.shutdown(std::net::Shutdown::Both));
    }
}

/// F8: clients that leave, at whatever stage, change nothing: a refund that was asked for goes on, one that was not
/// is not made, and the key finds it. `REQUITE_LEAVERS` asks for more of them at each stage.
#[test]
fn a_client_that_hangs_up_does_not_cancel_its_refund() {
    let server = Server::start(Options::default());
    let shop = Shop::open(&server.cli(), "Shop");
    let new = json!({"amount": 10_000, "currency": "USD", "connector": "sandbox",
        "captures": [{"amount": 10_000}]});
    let leavers = times("REQUITE_LEAVERS", FACES.len());
    for stage in 0..STAGES {
        let payment = server.register(&shop.native, &new);
        for (face, number) in FACES.into_iter().cycle().zip(0..leavers) {
            let key = format!("left-{stage}-{number}");
            let request = shop.refund(face, &payment, 7).header("idempotency-key", &key);
            leave(&server, &request, stage);
            let is_whole = stage >= 14;
            if is_whole {
                until(&format!("{face:?}: it is made"), Duration::from_secs(30), || {
                    refunds_of(&server, &shop, &payment).len() > number
                });
            }
            let again = answered(&server, &request);
            assert!(face.accepted(&again), "{face:?}: {} {}", again.status, again.text());
            let is_repeat = again.header("idempotent-replayed") == Some("true");
            assert_eq!(is_repeat, is_whole, "{face:?}, stage {stage}");
        }
        assert_eq!(refunds_of(&server, &shop, &payment).len(), leavers, "one for each key");
    }
    verify(&server);
}

/// Off by default: two equal partial refunds are two refunds. Switched on, a double click is one.
#[test]
fn the_guard_against_double_clicks_is_there_when_asked_for() {
    for (window, expected) in [("0", 10), ("60000", 5)] {
        let options = Options::default().env("REQUITE_DUPLICATE_GUARD_MS", window);
        let server = Server::start(options);
        let shop = Shop::open(&server.cli(), "Shop");
        let mut made = 0;
        for face in FACES {
            let new = json!({"amount": 10_000, "currency": "USD",
                "captures": [{"amount": 10_000}]});
            let payment = server.register(&shop.native, &new);
            for _click in 0..2 {
                let answer = server.send(&shop.refund(face, &payment, 500));
                assert!(face.accepted(&answer), "{face:?}: {}", answer.text());
            }
            made += refunds_of(&server, &shop, &payment).len();
        }
        assert_eq!(made, expected, "window {window}");
        verify(&server);
    }
}

/// The same request until it is answered for good: a copy in progress is asked again.
fn answered(server: &Server, request: &Request) -> crate::support::Response {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let response = server.send(request);
        let is_running = response.text().contains("still processing");
        let is_busy = is_running || response.status == 409 || response.status == 503;
        if !is_busy || Instant::now() > end {
            return response;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) fn p99(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted[sorted.len() * 99 / 100]
}

/// The lower of two in the middle: where the machine is busy with something else there are few rounds.
pub(crate) fn median(ratios: &[u128]) -> u128 {
    let mut sorted = ratios.to_vec();
    sorted.sort_unstable();
    sorted[(sorted.len() - 1) / 2]
}

/// How often something is done; a variable asks for more. On PostgreSQL, where a killed server's calls are
/// left alone until they are over, it has a name of its own and less is usual.
pub(crate) fn times(name: &str, usual: usize) -> usize {
    let (name, usual) = match requite_cluster::is_postgres() {
        true => (format!("{name}_POSTGRES"), usual.div_ceil(5)),
        false => (name.to_owned(), usual),
    };
    let asked = std::env::var(&name).ok();
    asked.map_or(usual, |text| text.parse().expect("it is a number"))
}

/// kill -9 under load: no acknowledged refund is missing, none is doubled, nothing is stuck.
#[test]
fn killed_again_and_again_it_loses_and_doubles_nothing() {
    let options = Options::default().env("REQUITE_PSP_CALL_DEADLINE_MS", "300");
    let mut server = Server::start(options);
    let shop = Shop::open(&server.cli(), "Shop");
    let script = json!([
        "approve",
        "lost",
        "approve",
        "lost:never",
        "approve",
        "pending:approve",
        "http:500",
        "hang",
        "approve",
        "lost:never",
        "lost:never",
        "approve"
    ]);
    let kills = times("REQUITE_KILLS", 50);
    // Some faces show all refunds of a payment, and must have done so before the next kill.
    let sets = kills.div_ceil(100);
    let payments: Vec<Value> = ["manual", "sandbox", "sandbox", "sandbox"]
        .repeat(sets)
        .into_iter()
        .map(|connector| {
            let mut new = json!({"amount": 1_000_000, "currency": "USD", "connector": connector,
                "captures": [{"amount": 1_000_000}]});
            if connector == "sandbox" {
                new["sandbox"] = script.clone();
            }
            server.register(&shop.native, &new)
        })
        .collect();
    let load = Load::new(&shop, payments);
    load.kill_under_load(&mut server, kills);
    let acknowledged = load.acknowledged.into_inner().expect("no panic");
    println!("{} refunds acknowledged over {kills} kills", acknowledged.len());
    assert!(acknowledged.len() > kills, "there was load");
    settled(&server, &shop, &load.payments, &acknowledged);
    verify(&server);
}

/// The process dies at every named point of a refund's way, each time somewhere else in it; clients ask
/// again under their keys. No refund is lost, none is made twice.
#[test]
fn killed_at_every_named_point_it_loses_and_doubles_nothing() {
    let rounds = times("REQUITE_FAULT_ROUNDS", 1);
    let mut server = Server::start(Options::default().env("REQUITE_PSP_CALL_DEADLINE_MS", "300"));
    let shop = Shop::open(&server.cli(), "Shop");
    let mut new = json!({"amount": 1_000_000, "currency": "USD", "connector": "sandbox",
        "captures": [{"amount": 1_000_000}]});
    new["sandbox"] = json!(["lost", "approve", "lost:never", "pending:approve"]);
    let payments = vec![server.register(&shop.native, &new)];
    let load = Load::new(&shop, payments);
    // Recovery and the sweep find something only where a call was open: the simulation kills there. A migration
    // has nothing to do in a store that is there: it dies in a new one, below. The others are points of a PSP on
    // real sockets, of its notices and lists, and of the merchant's receiver: `psp::kills`.
    let elsewhere = [
        Point::Migration,
        Point::Migrated,
        Point::SweepFound,
        Point::RecoveryFound,
        Point::CallConnected,
        Point::CallHead,
        Point::CallAnswered,
        Point::InboxClaimed,
        Point::ListClaimed,
        Point::OutboxClaimed,
        Point::OutboxTold,
    ];
    let on_the_way = Point::LISTED.iter().filter(|(point, _)| !elsewhere.contains(point));
    let on_the_way: Vec<&str> = on_the_way.map(|(_, name)| *name).collect();
    let mut deaths = 0;
    let mut missed = Vec::new();
    load.under(server.addr, 8, || {
        for name in on_the_way.repeat(rounds) {
            let times = 1 + deaths % 7;
            server.kill9();
            server.start_armed(&format!("{name}:{times}"));
            if !server.dies_within(Duration::from_secs(30)) {
                missed.push(name);
                server.kill9();
            }
            deaths += 1;
            server.start_again();
        }
    });
    let acknowledged = load.acknowledged.into_inner().expect("no panic");
    assert_eq!(missed, Vec::<&str>::new(), "armed and never passed: nothing was tested");
    println!("{deaths} deaths at named points, {} refunds acknowledged", acknowledged.len());
    settled(&server, &shop, &load.payments, &acknowledged);
    verify(&server);
}

/// F85: killed before and after every statement of the migrations, the next start completes them.
#[test]
fn a_migration_that_is_killed_is_done_by_the_next_start() {
    for name in ["migration", "migrated"] {
        for number in 1.. {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let database = format!("sqlite:{}", folder.path().join("requite.db").display());
            let armed = Cli::new(&database).env("REQUITE_FAULT", &format!("{name}:{number}"));
            let died = armed.run(&["merchant", "create", "Shop"], "");
            if died.code.is_some() {
                assert_eq!((died.code, number > 1), (Some(0), true), "{name}:{number} {died:?}");
                break;
            }
            let again = Cli::new(&database).run(&["merchant", "create", "Shop"], "");
            assert_eq!(again.code, Some(0), "{name}:{number}: {again:?}");
            assert_eq!(Cli::new(&database).run(&["verify"], "").code, Some(0));
        }
    }
}

/// F44: another process holds the file. Whoever asks is told to come again within five seconds, and all
/// goes on once it is let go.
#[test]
fn while_another_process_holds_the_file_everybody_is_told_to_come_again() {
    let server = Server::start(Options::default());
    let shop = Shop::open(&server.cli(), "Shop");
    let new = json!({"amount": 10_000, "currency": "USD", "captures": [{"amount": 10_000}]});
    let payment = server.register(&shop.native, &new);
    let holder = rusqlite::Connection::open(server.database.trim_start_matches("sqlite:"))
        .expect("a second process can open it");
    holder.execute_batch("begin immediate").expect("nobody writes");
    let requests: Vec<Request> = FACES
        .into_iter()
        .map(|face| shop.refund(face, &payment, 5).header("idempotency-key", &format!("{face:?}")))
        .collect();
    let started = Instant::now();
    let responses = server.send_at_once(&requests);
    println!("told to come again after {:?}", started.elapsed());
    assert!(started.elapsed() < Duration::from_secs(10), "it took {:?}", started.elapsed());
    for (face, response) in FACES.into_iter().zip(&responses) {
        // Gr4vy's dialect has one word for it.
        let is_busy = matches!((response.status, face), (503, _) | (429, Face::Gr4vy));
        assert!(is_busy, "{face:?}: {} {}", response.status, response.text());
        assert!(response.header("retry-after").is_some(), "{face:?}");
    }
    holder.execute_batch("rollback").expect("it was begun");
    for (face, request) in FACES.into_iter().zip(&requests) {
        let again = answered(&server, request);
        assert!(face.accepted(&again), "{face:?}: {} {}", again.status, again.text());
    }
    assert_eq!(refunds_of(&server, &shop, &payment).len(), FACES.len(), "one for each key");
    verify(&server);
}

/// F42: the disk is full. No refund is taken, and each dialect says to come again; when there is room,
/// everything goes on without a restart.
#[test]
fn a_full_disk_is_told_and_survived() {
    let disk = SmallDisk::new();
    let path = disk.path().join("requite.db");
    let options = Options {
        database: Some(format!("sqlite:{}", path.display())),
        ..Options::default().env("REQUITE_PSP_CALL_DEADLINE_MS", "300")
    };
    let server = Server::start(options);
    let shop = Shop::open(&server.cli(), "Shop");
    let mut new = json!({"amount": 1_000_000, "currency": "USD", "connector": "sandbox",
        "captures": [{"amount": 1_000_000}]});
    new["sandbox"] = json!(["approve", "lost", "pending:approve"]);
    let payment = server.register(&shop.native, &new);
    let mut kept = BTreeMap::new();
    let mut refused = Vec::new();
    disk.fill();
    for (face, number) in FACES.into_iter().cycle().zip(0..600) {
        let key = format!("full-{number}");
        let request = shop.refund(face, &payment, 1).header("idempotency-key", &key);
        let response = server.send(&request);
        if face.accepted(&response) {
            let id = response.header("requite-refund-id").expect("it is named").to_owned();
            kept.insert(key, id);
        } else if matches!(response.status, 429 | 500 | 503) {
            // 500: it was taken, and what became of it could not be written down.
            let says_when = response.header("retry-after").is_some();
            assert!(says_when || response.status == 500, "{face:?}");
            refused.push((face, request));
            if refused.len() >= 40 {
                break;
            }
        } else {
            // Moyasar's and the others' word for "the first one is still under way".
            let is_open = response.text().contains("still processing") || response.status == 409;
            assert!(is_open, "{face:?}: {} {}", response.status, response.text());
        }
    }
    assert!(refused.len() >= 40, "the disk was never full: {} accepted", kept.len());
    disk.empty();
    for (face, request) in &refused {
        let again = answered(&server, request);
        assert!(face.accepted(&again), "{face:?}: {} {}", again.status, again.text());
        let id = again.header("requite-refund-id").expect("it is named").to_owned();
        let key = format!("again-{}", kept.len());
        kept.insert(key, id);
    }
    let made = refunds_of(&server, &shop, &payment);
    for (key, refund) in &kept {
        let is_it = |made: &&Value| made["id"].as_str() == Some(refund);
        assert_eq!(made.iter().filter(is_it).count(), 1, "{key}: {refund}");
    }
    verify(&server);
}

/// A disk of 24 megabytes: a file system in memory, which root may mount.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new() -> SmallDisk {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mount = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=24m", "tmpfs"])
            .arg(folder.path())
            .status();
        let is_mounted = mount.is_ok_and(|status| status.success());
        assert!(is_mounted, "this test mounts a small disk and needs root for it");
        SmallDisk(folder)
    }

    fn path(&self) -> &std::path::Path {
        self.0.path()
    }

    /// Leaves a few pages.
    fn fill(&self) {
        use std::io::Write as _;
        let mut file = std::fs::File::create(self.path().join("filler")).expect("it is our disk");
        while file.write_all(&[0; 4_096]).is_ok() {}
        let length = file.metadata().expect("our file").len();
        file.set_len(length.saturating_sub(64 * 1_024)).expect("it can be made shorter");
    }

    fn empty(&self) {
        std::fs::remove_file(self.path().join("filler")).expect("it was filled");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let gone = std::process::Command::new("umount").arg("-l").arg(self.path()).status();
        drop(gone);
    }
}

/// Waits, bounded, until no refund is open; then every key has its one refund.
fn settled(
    server: &Server,
    shop: &Shop,
    payments: &[Value],
    acknowledged: &BTreeMap<String, String>,
) {
    let end = Instant::now() + Duration::from_secs(120);
    loop {
        let refunds: Vec<Value> =
            payments.iter().flat_map(|payment| refunds_of(server, shop, payment)).collect();
        let is_open = |refund: &&Value| !refund["next_action_at"].is_null();
        let open: Vec<&Value> = refunds.iter().filter(is_open).collect();
        if open.is_empty() {
            has_each_once(&refunds, acknowledged);
            return;
        }
        assert!(Instant::now() < end, "{} stay open, the first: {}", open.len(), open[0]);
        thread::sleep(Duration::from_millis(200));
    }
}

/// Every key has the refund that was acknowledged for it, and there is no other.
pub(crate) fn has_each_once(refunds: &[Value], acknowledged: &BTreeMap<String, String>) {
    let made: Vec<&str> = refunds.iter().filter_map(|r| r["id"].as_str()).collect();
    for (key, refund) in acknowledged {
        assert!(made.contains(&refund.as_str()), "{key}: refund {refund} is missing");
    }
    assert_eq!(made.len(), acknowledged.len(), "one refund for each key");
}

pub(crate) fn refunds_of(server: &Server, shop: &Shop, payment: &Value) -> Vec<Value> {
    let id = payment["id"].as_str().expect("a payment has an id");
    let request = Request::get(&format!("/api/payments/{id}")).bearer(&shop.native.token);
    let response = server.send(&request);
    assert_eq!(response.status, 200, "{}", response.text());
    response.json()["refunds"].as_array().expect("a list").clone()
}

/// Every invariant holds in what is on the disk.
pub(crate) fn verify(server: &Server) {
    let run = server.cli().run(&["verify"], "");
    assert_eq!(run.code, Some(0), "{run:?}");
}
