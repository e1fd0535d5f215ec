//! What is found in the place of a store that is no longer what it was (F45): no server starts on it, nothing is
//! changed, no new store is begun, and what is said tells what to do.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use requite_engine::store::sqlite::{self, ServerLock};
use rusqlite::Connection;
use serde_json::json;

use crate::power::Dice;
use crate::support::{Options, Run, Server};

/// A store is there, and damaged or of another program.
const CONTENT: Option<i32> = Some(65);
/// A store is not there, or cannot be opened.
const ABSENT: Option<i32> = Some(66);

/// A store with payments and refunds in a folder of its own.
struct Sample {
    folder: tempfile::TempDir,
}

impl Sample {
    /// As a server left it that was stopped, or killed.
    fn new(is_killed: bool) -> Sample {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let database = format!("sqlite:{}", folder.path().join("requite.db").display());
        let mut server = Server::start(Options { database: Some(database), ..Options::default() });
        let merchant = server.cli().merchant("Shop");
        let native = server.cli().key(&merchant, "native");
        for number in 1..=20 {
            let new = json!({"amount": 1000 * number, "currency": "EUR", "description": "x".repeat(500),
                "captures": [{"amount": 1000 * number}]});
            let payment = server.register(&native, &new);
            let refund = native.refund(&payment);
            for amount in 1..=3 {
                let answer = server.send(&refund.clone().json(&json!({ "amount": amount })));
                assert_eq!(answer.status, 201, "{}", answer.text());
            }
        }
        match is_killed {
            true => server.kill9(),
            false => assert_eq!(server.sigterm().code(), Some(0)),
        }
        Sample { folder }
    }

    /// The same files in another folder.
    fn copy(&self) -> Sample {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for entry in std::fs::read_dir(self.folder.path()).expect("readable") {
            let from = entry.expect("readable").path();
            let name = from.file_name().expect("a file");
            std::fs::copy(&from, folder.path().join(name)).expect("copied");
        }
        Sample { folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("requite.db")
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("requite.db-wal")
    }

    /// Starts a server that must not start.
    fn serve(&self) -> Run {
        let database = format!("sqlite:{}", self.path().display());
        let mut child = Command::new(env!("CARGO_BIN_EXE_requite"))
            .args(["serve", "--listen", "127.0.0.1:0", "--database", &database])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary was built with these tests");
        let end = Instant::now() + Duration::from_secs(30);
        while child.try_wait().expect("a child of ours").is_none() {
            if Instant::now() > end {
                child.kill().expect("the child is ours to kill");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let output = child.wait_with_output().expect("it has ended");
        Run {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

fn cut(path: &Path, size: u64) {
    let file = std::fs::File::options().write(true).open(path).expect("writable");
    file.set_len(size).expect("it can be cut");
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).expect("it is there").len()
}

/// What somebody did to a store, by name.
fn spoil(kind: &str, sample: &Sample, other: &Sample) {
    let (path, log) = (sample.path(), sample.log());
    match kind {
        "gone" => std::fs::remove_file(&path).expect("it was there"),
        "empty" => cut(&path, 0),
        "a folder" => {
            std::fs::remove_file(&path).expect("it was there");
            std::fs::create_dir(&path).expect("a folder");
        }
        "cut in half" => cut(&path, size(&path) / 2 / 4_096 * 4_096),
        "cut within its last page" => cut(&path, size(&path) - 1_000),
        "cut to its head" => cut(&path, 60),
        "its log gone" => std::fs::remove_file(&log).expect("it was there"),
        "another store" => drop(std::fs::copy(other.path(), &path).expect("copied")),
        "another program's" => {
            std::fs::remove_file(&path).expect("it was there");
            let theirs = Connection::open(&path).expect("a file");
            theirs.execute_batch("create table notes (text)").expect("their own");
        }
        "no database" => std::fs::write(&path, "name,amount\n".repeat(900)).expect("writable"),
        "a newer one" => {
            let newer = Connection::open(&path).expect("a file");
            newer.pragma_update(None, "user_version", 999).expect("writable");
        }
        other => panic!("no kind of damage is named {other}"),
    }
}

/// F45. Each is refused with an exit code of its own, says which file it is, and is left as it was.
#[test]
fn no_server_starts_on_a_store_that_is_not_whole_and_nothing_takes_its_place() {
    let (stopped, killed, other) = (Sample::new(false), Sample::new(true), Sample::new(false));
    for (kind, from, code, said) in [
        ("gone", &stopped, ABSENT, "Put it back"),
        ("gone", &killed, ABSENT, "Put it back"),
        ("empty", &stopped, ABSENT, "is an empty file"),
        ("a folder", &stopped, ABSENT, "is a folder"),
        ("cut in half", &stopped, CONTENT, "malformed"),
        ("cut within its last page", &stopped, CONTENT, "damaged"),
        ("cut to its head", &stopped, CONTENT, "damaged"),
        ("its log gone", &killed, CONTENT, "the log of"),
        ("another store", &stopped, CONTENT, "another store"),
        ("another program's", &stopped, CONTENT, "another program"),
        ("no database", &stopped, CONTENT, "not a database"),
        ("a newer one", &stopped, CONTENT, "schema 999"),
    ] {
        let sample = from.copy();
        spoil(kind, &sample, &other);
        let before = std::fs::read(sample.path()).ok();
        let run = sample.serve();
        assert_eq!(run.code, code, "{kind}: {run:?}");
        assert!(run.stderr.contains(said), "{kind}: {}", run.stderr);
        assert!(run.stderr.contains("requite.db"), "{kind}: {}", run.stderr);
        assert_eq!(run.stdout, "", "{kind}");
        assert!(std::fs::read(sample.path()).ok() == before, "{kind}: it was changed");
        assert_eq!(sample.path().exists(), kind != "gone", "{kind}");
    }
    for whole in [stopped, killed] {
        let sample = whole.copy();
        let database = Some(format!("sqlite:{}", sample.path().display()));
        drop(Server::start(Options { database, ..Options::default() }));
    }
}

/// A file that nobody may write, not even root: its disk is mounted for reading.
#[test]
fn no_server_starts_where_nothing_can_be_written() {
    let sample = Sample::new(false);
    let folder = sample.folder.path().display().to_string();
    let mount = |args: &[&str]| {
        let done = Command::new("mount").args(args).arg(&folder).status();
        assert!(done.is_ok_and(|status| status.success()), "this test mounts, and needs root");
    };
    mount(&["--bind", &folder]);
    mount(&["-o", "remount,ro,bind"]);
    let run = sample.serve();
    let unmounted = Command::new("umount").args(["-l", &folder]).status();
    assert!(unmounted.is_ok_and(|status| status.success()));
    assert_eq!(run.code, ABSENT, "{run:?}");
    assert!(run.stderr.contains("requite.db cannot be opened for reading and writing"), "{run:?}");
}

/// What says how much was given back, and under which keys.
fn money(path: &Path) -> rusqlite::Result<Vec<String>> {
    let store = Connection::open(path)?;
    let mut rows = Vec::new();
    for sql in [
        "select hex(refund_id) || amount_minor || status from refund order by 1",
        "select hex(capture_id) || captured_minor || refunded_minor || reserved_minor from capture order by 1",
        "select hex(capture_id) || debit || credit || moved_minor || seq from event
            where capture_id is not null order by 1",
        "select hex(payment_id) || seq || amount_minor || hex(hash) from event order by 1",
    ] {
        let mut statement = store.prepare(sql)?;
        let found = statement.query_map([], |row| row.get::<_, String>(0))?;
        rows.extend(found.collect::<rusqlite::Result<Vec<_>>>()?);
    }
    Ok(rows)
}

/// One bit of one byte somewhere in the file. SQLite has no checksums of pages: what breaks the file's structure
/// is found at the start, what breaks the books by `requite verify`, and what neither finds moved no money.
#[test]
fn a_flipped_bit_is_found_or_moves_no_money() {
    let sample = Sample::new(false);
    let (whole, before) =
        (std::fs::read(sample.path()).expect("readable"), money(&sample.path()).expect("whole"));
    let mut dice = Dice::new(7);
    let (mut at_start, mut by_verify, mut by_none) = (0, 0, 0);
    for _ in 0..300 {
        let copy = sample.copy();
        let mut bytes = whole.clone();
        bytes[dice.below(whole.len())] ^= 1 << dice.below(8);
        std::fs::write(copy.path(), bytes).expect("writable");
        let started = ServerLock::take(&copy.path()).and_then(|mut lock| lock.serve());
        if started.is_err() {
            at_start += 1;
            continue;
        }
        match sqlite::audit(&copy.path(), &mut |_, _| ()) {
            Ok(report) if report.violations.is_empty() => by_none += 1,
            Ok(_) | Err(_) => {
                by_verify += 1;
                continue;
            }
        }
        assert_eq!(money(&copy.path()).expect("nobody found anything"), before);
    }
    println!(
        "of 300 flipped bits {at_start} are found at the start, {by_verify} by verify, {by_none} by neither"
    );
    assert!(at_start > 20 && by_verify > 20);
}
