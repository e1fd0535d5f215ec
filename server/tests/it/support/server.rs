//! The real binary serving on a port of its own, in a directory of its own.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rusqlite::config::DbConfig;
use serde_json::Value;
use tempfile::TempDir;

use super::{Cli, Key, Request, Response};

/// How long a start may take until the ready line. Recovery of a large store is not checked here.
const READY_WAIT_MAX: Duration = Duration::from_secs(30);

/// How long a change behind the server's back waits for the server's own.
const BUSY_MAX: Duration = Duration::from_secs(10);

/// How a server is started. The default is a fresh SQLite store and the system's clock.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    /// `None`: a SQLite file in a directory that goes away with the [`Server`].
    pub(crate) database: Option<String>,
    /// Environment of the server, beside what this process has.
    pub(crate) env: Vec<(String, String)>,
    /// Further arguments after `serve`.
    pub(crate) args: Vec<String>,
    /// Stops the server's wall clock, and its database's, at this time (`2024-09-15 12:27:45`, UTC). Needs
    /// libfaketime.
    pub(crate) frozen_at: Option<String>,
    /// Most files that the server may have open at once. `None`: as many as this process.
    pub(crate) files_max: Option<usize>,
    /// A file for [`Server::set_clock`], which says what the server's wall clock is ahead of the machine's.
    /// Needs libfaketime.
    pub(crate) clock: Option<PathBuf>,
}

impl Options {
    pub(crate) fn env(mut self, name: &str, value: &str) -> Options {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A running server. Killed on drop; its directory is removed with it.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    /// `http://ADDR`, without a slash at the end.
    pub(crate) base_url: String,
    /// As `--database` has it.
    pub(crate) database: String,
    options: Options,
    child: Child,
    dir: TempDir,
}

impl Server {
    /// Starts the binary on a free port and waits for its ready line.
    pub(crate) fn start(options: Options) -> Server {
        let dir = tempfile::tempdir().expect("a directory for temporary files");
        let database =
            options.database.clone().unwrap_or_else(|| requite_cluster::new_store(dir.path()));
        let log = dir.path().join("server.log");
        if let Some(time) = &options.frozen_at {
            tell_time(&database, &format!("timestamptz '{time}+00'"));
        }
        if let Some(clock) = &options.clock {
            set_ahead(clock, &database, Duration::ZERO);
        }
        let (child, addr) = spawn(&options, &database, "127.0.0.1:0", &log);
        let base_url = format!("http://{addr}");
        Server { addr, base_url, database, options, child, dir }
    }

    /// Sets the clock of a server that was started with one of its own ahead of the machine's.
    pub(crate) fn set_clock(&self, ahead: Duration) {
        let clock = self.options.clock.as_ref().expect("it has a clock of its own");
        set_ahead(clock, &self.database, ahead);
    }

    /// The command line on this server's store.
    pub(crate) fn cli(&self) -> Cli {
        Cli::new(&self.database)
    }

    pub(crate) fn send(&self, request: &Request) -> Response {
        request.send(self.addr)
    }

    /// Sends all requests at once; the answers stand in the order of the requests.
    pub(crate) fn send_at_once(&self, requests: &[Request]) -> Vec<Response> {
        let barrier = std::sync::Barrier::new(requests.len());
        thread::scope(|scope| {
            let threads: Vec<_> = requests
                .iter()
                .map(|request| {
                    let barrier = &barrier;
                    scope.spawn(move || {
                        barrier.wait();
                        request.send(self.addr)
                    })
                })
                .collect();
            threads.into_iter().map(|t| t.join().expect("an answer came")).collect()
        })
    }

    /// Registers a payment through the native API; its answer (`id`, `ids`, ...).
    pub(crate) fn register(&self, native: &Key, payment: &Value) -> Value {
        let request = Request::post("/api/payments").bearer(&native.token).json(payment);
        let response = self.send(&request);
        let context = || format!("{payment} answered {}: {}", response.status, response.text());
        assert!(matches!(response.status, 200 | 201), "{}", context());
        response.json()
    }

    /// Most memory that the process has had resident so far, in KiB.
    pub(crate) fn memory_peak_kib(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(path).expect("the process lives");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let number = line.and_then(|line| line.split_whitespace().next());
        number.and_then(|text| text.parse().ok()).expect("the system tells it")
    }

    /// What standard error has said so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Ends the process without a chance to clean up.
    pub(crate) fn kill9(&mut self) {
        self.child.kill().expect("the child is ours to kill");
        self.child.wait().expect("a killed child can be waited for");
    }

    /// Asks the process to end, and waits until it has.
    pub(crate) fn sigterm(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.child.wait().expect("a child of ours can be waited for")
    }

    /// A variable of the server's environment from its next start on.
    pub(crate) fn set_env(&mut self, name: &str, value: &str) {
        self.options.env.push((name.to_owned(), value.to_owned()));
    }

    /// Stops the process where it is (`STOP`), or lets it go on (`CONT`).
    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        let sent = Command::new("sh").args(["-c", &kill]).status().expect("a shell");
        assert!(sent.success(), "the process was gone before it got {name}");
    }

    /// Starts a stopped server again: same store, same port.
    pub(crate) fn start_again(&mut self) {
        let listen = self.addr.to_string();
        let (child, addr) = spawn(&self.options, &self.database, &listen, &self.log_path());
        self.child = child;
        self.addr = addr;
    }

    /// How the process ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child of ours")
    }

    /// Starts an ended server again, which may end before it is ready.
    pub(crate) fn try_start_again(&mut self) -> Result<(), ExitStatus> {
        let listen = self.addr.to_string();
        let (mut child, ready) = begin(&self.options, &self.database, &listen, &self.log_path());
        if ready.is_none() {
            return Err(child.wait().expect("a child of ours can be waited for"));
        }
        self.child = child;
        Ok(())
    }

    /// Starts a stopped server again, to die where `fault` says (`store.commit:3`), perhaps before it is
    /// ready.
    pub(crate) fn start_armed(&mut self, fault: &str) {
        let options = self.options.clone().env("REQUITE_FAULT", fault);
        let listen = self.addr.to_string();
        self.child = launch(&options, &self.database, &listen, &self.log_path());
    }

    /// Does the process die by its own hand in this time? One that does not is left as it is.
    pub(crate) fn dies_within(&mut self, time: Duration) -> bool {
        use std::os::unix::process::ExitStatusExt as _;
        let end = std::time::Instant::now() + time;
        while std::time::Instant::now() < end {
            if let Some(status) = self.child.try_wait().expect("a child of ours") {
                let abort = Some(6);
                assert_eq!(status.signal(), abort, "another end: {status}; {}", self.log());
                return true;
            }
            thread::sleep(Duration::from_millis(5));
        }
        false
    }

    /// SIGTERM, then a start on the same store and port.
    pub(crate) fn restart(&mut self) {
        let status = self.sigterm();
        assert_eq!(status.code(), Some(0), "ended by SIGTERM: {}", self.log());
        self.start_again();
    }

    /// Everything that the server has written: the store, as files or as tables, and the log. Name and
    /// bytes of each.
    pub(crate) fn files(&self) -> Vec<(String, Vec<u8>)> {
        let entries = fs::read_dir(self.dir.path()).expect("the server's directory");
        let read = entries.map(|entry| {
            let entry = entry.expect("readable");
            let bytes = fs::read(entry.path()).expect("a file of the server");
            (entry.file_name().to_string_lossy().into_owned(), bytes)
        });
        let tables = match self.database.starts_with("postgres:") {
            true => requite_cluster::contents(&self.database),
            false => Vec::new(),
        };
        read.chain(tables).collect()
    }

    /// Changes rows or tables behind the server's back.
    pub(crate) fn change_store(&self, sql: &str) {
        match self.database.strip_prefix("sqlite:") {
            Some(path) => {
                let store = rusqlite::Connection::open(path).expect("the server's own file");
                store.busy_timeout(BUSY_MAX).expect("a store that is shared");
                // The log of a server that was killed stays where it is.
                let keeps_log = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
                store.set_db_config(keeps_log, true).expect("a setting of the connection");
                store.execute_batch(sql).expect("a statement that works");
            }
            None => requite_cluster::run(&self.database, sql),
        }
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join("server.log")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already ended is as good as killed.
        drop(self.child.kill());
        drop(self.child.wait());
        if thread::panicking() {
            eprintln!("--- log of the server at {} ---\n{}", self.base_url, self.log());
        }
    }
}

fn set_ahead(clock: &Path, database: &str, ahead: Duration) {
    let next = clock.with_extension("next");
    fs::write(&next, format!("+{}", ahead.as_secs())).expect("writable");
    fs::rename(&next, clock).expect("one folder");
    let told = format!("pg_catalog.clock_timestamp() + interval '{} s'", ahead.as_secs());
    tell_time(database, &told);
}

/// A database that several servers share has the clock that counts.
fn tell_time(database: &str, told: &str) {
    if database.starts_with("postgres:") {
        requite_cluster::set_clock(database, told);
    }
}

/// Starts the binary, and does not wait until it is ready.
fn launch(options: &Options, database: &str, listen: &str, log: &Path) -> Child {
    let log_file = File::options().create(true).append(true).open(log).expect("a log file");
    let mut command = match options.files_max {
        // Takes the program's place, so the process is the same.
        Some(files) => {
            let mut command = super::cli::program("prlimit");
            command.arg(format!("--nofile={files}:{files}")).arg(env!("CARGO_BIN_EXE_requite"));
            command
        }
        None => super::cli::program(env!("CARGO_BIN_EXE_requite")),
    };
    command.args(["serve", "--listen", listen, "--database", database]).args(&options.args);
    command.envs(options.env.iter().map(|(name, value)| (name, value)));
    if let Some(time) = &options.frozen_at {
        command.env("LD_PRELOAD", faketime_library()).env("FAKETIME", time).env("TZ", "UTC");
        command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    }
    if let Some(path) = &options.clock {
        command.env("LD_PRELOAD", faketime_library()).env("FAKETIME_TIMESTAMP_FILE", path);
        command.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log_file);
    command.spawn().expect("the binary was built with these tests")
}

fn spawn(options: &Options, database: &str, listen: &str, log: &Path) -> (Child, SocketAddr) {
    let (mut child, ready) = begin(options, database, listen, log);
    if let Some(addr) = ready {
        return (child, addr);
    }
    drop(child.kill());
    let said = fs::read_to_string(log).unwrap_or_default();
    panic!("no ready line with {options:?}; it said: {said}");
}

/// Starts the binary and waits until it says where it listens. `None`: it ended, or takes too long.
fn begin(
    options: &Options,
    database: &str,
    listen: &str,
    log: &Path,
) -> (Child, Option<SocketAddr>) {
    let mut child = launch(options, database, listen, log);
    let stdout = child.stdout.take().expect("asked for a pipe");
    let (sender, receiver) = mpsc::channel();
    // Reads on after the ready line, so that the server never blocks on a full pipe.
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if let Some(addr) = line.strip_prefix("listening on http://") {
                drop(sender.send(addr.to_owned()));
            }
        }
    });
    let ready = receiver.recv_timeout(READY_WAIT_MAX).ok();
    (child, ready.map(|addr| addr.parse().expect("the ready line ends with ADDR:PORT")))
}

/// Where Debian's package `libfaketime` puts its library.
fn faketime_library() -> PathBuf {
    let machine = std::env::consts::ARCH;
    let path = format!("/usr/lib/{machine}-linux-gnu/faketime/libfaketimeMT.so.1");
    let path = PathBuf::from(path);
    assert!(path.exists(), "install Debian's libfaketime: no {}", path.display());
    path
}
