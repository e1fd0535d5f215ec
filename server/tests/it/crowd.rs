//! Crowds of connections that want nothing, before the real program with the limits it has by default: each is
//! closed in its time, and who wants something is served meanwhile as if they were not there (F57, F59).

use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::support::{Options, Request, Server, Shop};
use crate::torture::{Load, has_each_once, median, p99, refunds_of, verify};

/// A machine that is busy closes, and looks, this much later.
const PATIENCE: Duration = Duration::from_secs(15);
/// Files of this process, and of the server, that are not connections of the crowd.
const FILES_BESIDE: usize = 1_000;
/// How often a slow client sends a byte.
const DRIP: Duration = Duration::from_secs(1);

/// What the connections of a crowd do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Silent,
    SlowHead,
    SlowBody,
}

/// How many of each there are, when the server closes them, and what it says then.
const CROWD: [(Kind, usize, Duration, &str); 3] = [
    (Kind::Silent, 5_000, Duration::from_secs(10), ""),
    (Kind::SlowHead, 5_000, Duration::from_secs(10), "HTTP/1.1 408 "),
    (Kind::SlowBody, 1_000, Duration::from_secs(30), "HTTP/1.1 408 "),
];

/// One connection that the server has closed.
struct Closed {
    kind: Kind,
    took: Duration,
    said: String,
}

/// Lets this process, and what it starts, have as many files as the system allows; how many that are.
fn raise_files() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").expect("a system that has it");
    let line = limits.lines().find(|line| line.starts_with("Max open files")).expect("a line");
    let hard = line.split_whitespace().nth(4).expect("a hard limit");
    let hard: usize = hard.parse().unwrap_or(usize::MAX).min(65_536);
    let process = std::process::id().to_string();
    let raised = Command::new("prlimit")
        .args(["--pid", &process, &format!("--nofile={hard}:")])
        .status()
        .expect("prlimit of util-linux");
    assert!(raised.success(), "the soft limit can be raised to the hard one");
    hard
}

/// What a client of this kind begins with. A body that comes slowly is a refund's, of somebody who may.
fn beginning(kind: Kind, shop: &Shop, payment: &Value) -> String {
    let id = payment["id"].as_str().expect("an id");
    match kind {
        Kind::Silent => String::new(),
        Kind::SlowHead => "GET / HTTP/1.1\r\nHost: a\r\nX: ".to_owned(),
        Kind::SlowBody => format!(
            "POST /api/payments/{id}/refunds HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: 60000\r\n\r\n",
            shop.native.token
        ),
    }
}

/// One connection until it is closed.
async fn held(mut socket: TcpStream, kind: Kind, beginning: String) -> Closed {
    let began = Instant::now();
    let (mut reader, mut writer) = socket.split();
    let mut said = Vec::new();
    let wants_nothing = async {
        if kind == Kind::Silent {
            return std::future::pending().await;
        }
        let mut drips = tokio::time::interval(DRIP);
        let mut bytes = beginning.into_bytes();
        while writer.write_all(&bytes).await.is_ok() {
            drips.tick().await;
            bytes = b" ".to_vec();
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        // Closed, or reset with a byte of ours unread: closed.
        _ = reader.read_to_end(&mut said) => {}
        () = wants_nothing => {}
    }
    Closed { kind, took: began.elapsed(), said: String::from_utf8_lossy(&said).into_owned() }
}

/// Opens all of them, and waits until all are closed. `open` has how many there are, once all are there.
async fn crowd(
    address: SocketAddr,
    all: Vec<(Kind, String)>,
    is_there: &AtomicBool,
) -> Vec<Closed> {
    let mut held_open = JoinSet::new();
    for (kind, beginning) in all {
        let socket = TcpStream::connect(address).await.expect("there is room");
        held_open.spawn(held(socket, kind, beginning));
    }
    is_there.store(true, Ordering::Release);
    held_open.join_all().await
}

fn shop(server: &Server) -> (Shop, Value) {
    let shop = Shop::open(&server.cli(), "Shop");
    let amount = 9_000_000_000_000_000_i64;
    let new = json!({"amount": amount, "currency": "USD", "captures": [{"amount": amount}]});
    let payment = server.register(&shop.native, &new);
    (shop, payment)
}

/// The p99 of refunds beside a crowd, and beside none, asked for in turn; one ratio in hundredths for each
/// hundred of them, for as long as `is_on`.
fn ratios(servers: [(&Server, &Request); 2], is_on: impl Fn() -> bool) -> Vec<u128> {
    let mut ratios = Vec::new();
    while is_on() {
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..100 {
            for ((server, request), times) in servers.iter().zip(&mut times) {
                let began = Instant::now();
                assert_eq!(server.send(request).status, 201);
                times.push(began.elapsed());
            }
        }
        let [with, without] = times.map(|times| p99(&times).as_micros());
        ratios.push(with * 100 / without);
    }
    ratios
}

/// F57: eleven thousand connections at once.
#[test]
fn thousands_of_silent_and_slow_clients_are_closed_in_time_and_slow_nobody_down() {
    let room = raise_files().saturating_sub(FILES_BESIDE);
    let wanted: usize = CROWD.iter().map(|(_, count, ..)| count).sum();
    assert!(room >= wanted / 10, "the hard limit on open files leaves room for {room} connections");
    let options = Options::default().env("REQUITE_LIMITS_CONNECTIONS_MAX", "20000");
    let (burdened, free) = (Server::start(options.clone()), Server::start(options));
    let (shop, payment) = shop(&burdened);
    let (free_shop, free_payment) = self::shop(&free);
    let all: Vec<(Kind, String)> = CROWD
        .iter()
        .flat_map(|(kind, count, ..)| {
            let count = count * room.min(wanted) / wanted;
            (0..count).map(|_| (*kind, beginning(*kind, &shop, &payment)))
        })
        .collect();
    let count = all.len();
    let (is_there, is_over) = (AtomicBool::new(false), AtomicBool::new(false));
    let requests = [(&shop, &payment), (&free_shop, &free_payment)]
        .map(|(shop, payment)| shop.native.refund(payment).json(&json!({"amount": 1})));
    let began = Instant::now();
    let (closed, ratios) = thread::scope(|scope| {
        let crowd = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let closed = runtime.expect("a runtime").block_on(crowd(burdened.addr, all, &is_there));
            is_over.store(true, Ordering::Release);
            closed
        });
        while !is_there.load(Ordering::Acquire) {
            assert!(
                began.elapsed() < Duration::from_secs(60) && !crowd.is_finished(),
                "it gathers"
            );
            thread::sleep(Duration::from_millis(5));
        }
        // While most of them are there: the silent ones go first.
        let gathered = Instant::now();
        let servers = [(&burdened, &requests[0]), (&free, &requests[1])];
        let ratios = ratios(servers, || {
            gathered.elapsed() < Duration::from_secs(9) && !is_over.load(Ordering::Acquire)
        });
        (crowd.join().expect("no panic"), ratios)
    });
    for (kind, _, limit, says) in CROWD {
        let of: Vec<&Closed> = closed.iter().filter(|closed| closed.kind == kind).collect();
        let longest = of.iter().map(|closed| closed.took).max().expect("there were some");
        println!(
            "{} {kind:?}: closed after {longest:.1?} at most, {limit:?} are allowed",
            of.len()
        );
        for closed in of {
            assert!(closed.said.starts_with(says), "{kind:?}: {}", closed.said);
            assert!(closed.took <= limit + PATIENCE, "{kind:?}: {:?}", closed.took);
        }
    }
    let peak = burdened.memory_peak_kib();
    println!(
        "p99 beside {count} of them, in hundredths of the p99 without: {ratios:?}; {peak} KiB"
    );
    assert!(median(&ratios) <= 200, "{ratios:?}");
    assert!(peak < 256 * 1024, "{peak} KiB at most");
}

/// Opens connections as fast as it goes, and says nothing on them, until it is told to stop. How many.
fn storm(address: SocketAddr, is_over: &AtomicBool) -> usize {
    let mut open = std::collections::VecDeque::new();
    let mut count = 0;
    while !is_over.load(Ordering::Acquire) {
        // Where the server's queue is full, the system makes us wait.
        let wait = Duration::from_millis(100);
        if let Ok(socket) = std::net::TcpStream::connect_timeout(&address, wait) {
            open.push_back(socket);
            count += 1;
        }
        if open.len() > 1_500 {
            open.pop_front();
        }
        if count % 50 == 0 {
            thread::sleep(Duration::from_millis(5));
        }
    }
    count
}

/// F59: more connections than the server may have files, while eight clients ask for refunds. `more` is set for
/// the server; does it come so far that none is left?
fn weathers_a_storm(more: Option<(&str, &str)>, runs_out: bool) {
    raise_files();
    let options = Options { files_max: Some(300), ..Options::default() };
    let options = more.into_iter().fold(options, |options, (name, value)| options.env(name, value));
    let server = Server::start(options);
    let shop = Shop::open(&server.cli(), "Shop");
    let new = json!({"amount": 900_000_000, "currency": "USD", "connector": "sandbox",
        "captures": [{"amount": 900_000_000}]});
    let payments: Vec<Value> = (0..4).map(|_| server.register(&shop.native, &new)).collect();
    let load = Load::new(&shop, payments.clone());
    let (is_over, count) = (AtomicBool::new(false), AtomicUsize::new(0));
    load.under(server.addr, 8, || {
        thread::scope(|scope| {
            scope.spawn(|| count.store(storm(server.addr, &is_over), Ordering::Release));
            thread::sleep(Duration::from_secs(4));
            is_over.store(true, Ordering::Release);
        });
    });
    // The storm is over: everybody is served again, and there is nothing that was promised and is not kept.
    let calm = Instant::now();
    let ready = Request::get("/ready");
    while !ready.try_send(server.addr).is_ok_and(|answer| answer.status == 200) {
        assert!(calm.elapsed() < Duration::from_secs(30), "nobody is served any more");
        thread::sleep(Duration::from_millis(5));
    }
    let recovered = calm.elapsed();
    load.replay_all(server.addr);
    let acknowledged = load.acknowledged.into_inner().expect("no panic");
    let made: Vec<Value> =
        payments.iter().flat_map(|payment| refunds_of(&server, &shop, payment)).collect();
    has_each_once(&made, &acknowledged);
    println!(
        "{} connections in four seconds, {} refunds meanwhile, all served again {recovered:?} after",
        count.into_inner(),
        acknowledged.len()
    );
    assert!(acknowledged.len() > 10, "{} refunds went through", acknowledged.len());
    assert!(recovered < Duration::from_secs(5), "{recovered:?}");
    assert_eq!(server.log().contains("cannot accept connections"), runs_out, "files ran out");
    verify(&server);
}

#[test]
fn a_storm_of_connections_until_no_file_is_left_is_survived_and_nothing_is_lost() {
    let beyond = ("REQUITE_LIMITS_CONNECTIONS_MAX", "8192");
    weathers_a_storm(Some(beyond), true);
}

/// By default the limit on connections is below that on files, and it never comes so far.
#[test]
fn a_storm_of_connections_meets_the_limit_before_files_run_out() {
    weathers_a_storm(None, false);
}
