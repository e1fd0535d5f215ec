//! Copies of a store in use, and what they are worth (F47).

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use requite_engine::store::sqlite;
use serde_json::{Value, json};

use crate::psp::rig::{Psp, Rig};
use crate::support::{Cli, FACES, Face, Options, Server, Shop};
use crate::torture::{Load, refunds_of};

/// Copies in `./test`; `REQUITE_BACKUPS` asks for more.
const COPIES: usize = 100;
/// Refunds that a restored store does not know; `REQUITE_LOST` asks for more.
const LOST: usize = 300;

fn store_of(server: &Server) -> &Path {
    Path::new(server.database.trim_start_matches("sqlite:"))
}

/// F47: a hundred copies under load. Each is whole by every rule of `requite verify`, its balances are those that its
/// history makes, and whoever was answered before it was begun is in it. One of them is served.
#[test]
fn copies_of_a_store_under_load_are_whole_and_hold_what_was_answered() {
    let asked = std::env::var("REQUITE_BACKUPS").ok();
    let copies: usize = asked.map_or(COPIES, |text| text.parse().expect("a number"));
    let server = Server::start(Options::default().env("REQUITE_PSP_CALL_DEADLINE_MS", "300"));
    let shop = Shop::open(&server.cli(), "Shop");
    let payments: Vec<Value> = ["manual", "sandbox"]
        .map(|connector| {
            let new = json!({"amount": 1_000_000, "currency": "USD", "connector": connector,
                "captures": [{"amount": 1_000_000}]});
            server.register(&shop.native, &new)
        })
        .to_vec();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let load = Load::new(&shop, payments.clone());
    let held = AtomicUsize::new(0);
    load.under(server.addr, 4, || {
        for number in 0..copies {
            let answered = load.acknowledged.lock().expect("no panic").clone();
            let copy = folder.path().join(format!("copy-{number}.db"));
            sqlite::backup(store_of(&server), &copy, &mut |_, _| ()).expect("a copy");
            let report = sqlite::audit(&copy, &mut |_, _| ()).expect("it can be read");
            assert!(report.violations.is_empty(), "copy {number}: {:?}", report.violations);
            holds(&copy, answered.values());
            held.store(answered.len(), Ordering::Release);
            if number > 0 && number + 1 < copies {
                std::fs::remove_file(&copy).expect("it was made");
            }
            thread::sleep(Duration::from_millis(20));
        }
    });
    println!("{copies} copies, {} refunds in the last", held.load(Ordering::Acquire));
    assert!(held.load(Ordering::Acquire) > 50, "there was load");
    let last = folder.path().join(format!("copy-{}.db", copies - 1));
    let database = Some(format!("sqlite:{}", last.display()));
    let restored = Server::start(Options { database, ..Options::default() });
    let made: usize = payments.iter().map(|it| refunds_of(&restored, &shop, it).len()).sum();
    assert!(made >= held.load(Ordering::Acquire), "what was answered is served");
}

fn holds<'a>(copy: &Path, refunds: impl Iterator<Item = &'a String>) {
    let store = rusqlite::Connection::open(copy).expect("a store");
    let mut found =
        store.prepare("select count(*) from refund where refund_id = ?1").expect("a statement");
    for refund in refunds {
        let id = requite_core::id::parse_uuid(refund).expect("an id").to_be_bytes();
        let count: i64 = found.query_row([id], |row| row.get(0)).expect("a count");
        assert_eq!(count, 1, "{refund} was answered before the copy was begun");
    }
}

#[test]
fn a_copy_takes_no_place_of_another_file_and_a_killed_one_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name).display().to_string();
    let cli = Cli::new(&format!("sqlite:{}", at("requite.db")));
    assert_eq!(cli.run(&["backup", &at("copy.db")], "").code, Some(66), "there is no store");
    cli.merchant("Shop");
    let made = &cli.json(&["backup", &at("copy.db")], "")[0];
    let length = std::fs::metadata(at("copy.db")).expect("it is there").len();
    assert_eq!((&made["backup"], &made["bytes"]), (&json!(at("copy.db")), &json!(length)));
    assert_eq!(Cli::new(&format!("sqlite:{}", at("copy.db"))).run(&["verify"], "").code, Some(0));
    let before = std::fs::read(at("copy.db")).expect("readable");
    for to in ["copy.db", "requite.db"] {
        let again = cli.run(&["backup", &at(to)], "");
        assert_eq!(again.code, Some(1), "{again:?}");
        assert!(again.stderr.contains("is there already"), "{}", again.stderr);
    }
    assert!(std::fs::read(at("copy.db")).expect("readable") == before, "it is left as it is");
    let nowhere = cli.run(&["backup", &at("no/folder/copy.db")], "");
    assert_eq!(nowhere.code, Some(1), "{nowhere:?}");
    let left: Vec<_> = std::fs::read_dir(folder.path())
        .expect("readable")
        .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
        .filter(|name| name.contains(".new-"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    let other = Cli::new("postgres://localhost/requite").run(&["backup", &at("other.db")], "");
    assert_eq!(other.code, Some(2), "{other:?}");
}

/// Stops the server as a fire would, and puts a copy in the place of its store.
fn restore(rig: &mut Rig, copy: &Path) {
    let path = store_of(&rig.server).to_owned();
    rig.server.kill9();
    for end in ["", "-wal", "-shm", ".lock"] {
        let file = Path::new(&format!("{}{end}", path.display())).to_owned();
        drop(std::fs::remove_file(file));
    }
    std::fs::copy(copy, &path).expect("a copy");
    rig.server.start_again();
}

/// F48: a backup that is older than three hundred refunds. Until the PSP's list is read every face tells to come
/// again; then what was refunded is on the books, and every one of the requests that comes again under its key is
/// answered with the refund that it made then: the PSP is asked for nothing.
#[test]
fn after_an_old_backup_was_restored_nothing_is_paid_twice() {
    let asked = std::env::var("REQUITE_LOST").ok();
    let lost: usize = asked.map_or(LOST, |text| text.parse().expect("a number"));
    let mut rig = Rig::open_with(Psp::start(&[]), Options::default());
    let payments: Vec<Value> = (0..6).map(|_| rig.pay(1_000_000).payment).collect();
    let ask = |number: usize, cents: u32| {
        let (face, payment) = (FACES[number % FACES.len()], &payments[number % payments.len()]);
        let request = rig.shop.refund(face, payment, cents);
        (face, request.header("idempotency-key", &format!("gap-{number}")))
    };
    let cents = |number: usize| 1 + u32::try_from(number).expect("few") % 7;
    let requests: Vec<_> = (0..lost).map(|number| ask(number, cents(number))).collect();
    let others: Vec<_> = (0..FACES.len()).map(|number| ask(lost + number, 3)).collect();
    let differs = ask(0, 500);
    let answer = rig.server.send(&requests[0].1);
    assert!(requests[0].0.accepted(&answer), "{}", answer.text());
    let copy = rig.folder.path().join("copy.db");
    rig.server.cli().json(&["backup", &copy.display().to_string()], "");
    for (face, request) in &requests {
        let answer = rig.server.send(request);
        assert!(face.accepted(&answer), "{face:?}: {} {}", answer.status, answer.text());
    }
    let paid = rig.psp.books()["refunds"].clone();
    assert_eq!(paid.as_array().map(Vec::len), Some(lost));
    rig.psp.script(&json!([{"on": "refund.list", "answer": "reset"}]));
    restore(&mut rig, &copy);
    for (face, request) in requests.iter().skip(1).take(FACES.len()).chain(&others) {
        let answer = rig.server.send(request);
        let status = if *face == Face::Gr4vy { 429 } else { 503 };
        assert_eq!(answer.status, status, "{face:?}: {}", answer.text());
        assert!(answer.header("retry-after").is_some(), "{face:?}");
    }
    assert_eq!(rig.psp.books()["refunds"], paid, "nothing was asked for");
    rig.psp.calm();
    let (face, first) = &others[0];
    rig.until(|| match rig.server.send(first) {
        answer if face.accepted(&answer) => Ok(()),
        answer => Err(answer.text()),
    });
    for round in 0..2 {
        for (face, request) in &requests {
            let answer = rig.server.send(request);
            assert!(
                face.accepted(&answer),
                "{round}, {face:?}: {} {}",
                answer.status,
                answer.text()
            );
        }
    }
    let answer = rig.server.send(&differs.1);
    assert!(!differs.0.accepted(&answer), "another amount under a lost key: {}", answer.text());
    let now = rig.psp.books()["refunds"].as_array().map(Vec::len);
    assert_eq!(now, Some(lost + 1), "one was new");
    rig.settled();
    rig.agree();
    let report = sqlite::audit(store_of(&rig.server), &mut |_, _| ()).expect("it can be read");
    assert!(report.violations.is_empty(), "{:?}", report.violations);
}
