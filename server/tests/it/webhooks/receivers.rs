//! Receivers as they are in the world: some hang, drip, never end, redirect or hang up (F39), and one is
//! down for days (F38, `REQUITE_EVENTS` asks for more events).

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use super::*;
use crate::support::until;
use crate::torture::times;

/// Longest wait for what is bound to come: more than twice the longest call.
const PATIENCE: Duration = Duration::from_secs(60);
/// What is written to a connection before it is seen to be closed: what is read of a body, and what lies in the
/// system's buffers meanwhile.
const TAKEN_MAX: usize = 16 * 1024 * 1024;

/// What a bad receiver does once it has read the beginning of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Habit {
    /// Nothing.
    Hangs,
    /// One byte of its answer's head a second.
    Drips,
    /// A head that never ends.
    EndlessHead,
    /// 200, and a body of a gigabyte.
    Gigabyte,
    HangsUp,
}

const HABITS: [Habit; 5] =
    [Habit::Hangs, Habit::Drips, Habit::EndlessHead, Habit::Gigabyte, Habit::HangsUp];

/// A receiver with a bad habit.
struct Trap {
    address: SocketAddr,
    begun: Arc<AtomicUsize>,
    /// Connections of which the other side has let go.
    ended: Arc<AtomicUsize>,
    /// Most bytes that one of them was sent.
    most: Arc<AtomicUsize>,
}

impl Trap {
    fn set(habit: Habit) -> Trap {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let [begun, ended, most] = [(); 3].map(|()| Arc::new(AtomicUsize::new(0)));
        let counts = [&begun, &ended, &most].map(Arc::clone);
        // Ends with the test's process.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let [begun, ended, most] = counts.each_ref().map(Arc::clone);
                begun.fetch_add(1, Ordering::AcqRel);
                thread::spawn(move || {
                    most.fetch_max(trouble(habit, stream), Ordering::AcqRel);
                    ended.fetch_add(1, Ordering::AcqRel);
                });
            }
        });
        Trap { address, begun, ended, most }
    }

    fn begun(&self) -> usize {
        self.begun.load(Ordering::Acquire)
    }

    fn ended(&self) -> usize {
        self.ended.load(Ordering::Acquire)
    }
}

/// Goes on until the sender lets go. How many bytes it was sent.
fn trouble(habit: Habit, mut stream: TcpStream) -> usize {
    let mut read = [0; 4_096];
    if !matches!(stream.read(&mut read), Ok(1..)) || habit == Habit::HangsUp {
        return 0;
    }
    if habit == Habit::Hangs {
        while matches!(stream.read(&mut read), Ok(1..)) {}
        return 0;
    }
    let (head, piece, pause): (&[u8], &[u8], u64) = match habit {
        Habit::Drips => (b"HTTP/1.1 200 OK\r\nX-Slow: ", b"x", 1_000),
        Habit::EndlessHead => {
            (b"HTTP/1.1 200 OK\r\n", b"X-More: of the same, again and again\r\n", 0)
        }
        Habit::Gigabyte => {
            (b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n", &[b' '; 65_536], 0)
        }
        Habit::Hangs | Habit::HangsUp => unreachable!("dealt with above"),
    };
    let mut sent = 0;
    let mut bytes = head;
    while let Ok(more) = stream.write(bytes) {
        sent += more;
        bytes = piece;
        if sent > 2 * TAKEN_MAX {
            break;
        }
        thread::sleep(Duration::from_millis(pause));
    }
    sent
}

/// More endpoints than there are messages under way at once, of several merchants, and most of them hang: what they
/// are told ends, and meanwhile everybody else hears everything.
#[test]
fn receivers_that_hang_drip_and_never_end_hold_up_nobody_else() {
    let house = House::open();
    let canary = Receiver::content();
    let there: &'static str =
        Box::leak(format!("307 Temporary Redirect\r\nLocation: {}", canary.url).into_boxed_str());
    let redirects = Receiver::open(move |_, _| Reply::Status(there));
    let traps = HABITS.map(|habit| (habit, Trap::set(habit)));
    let hangs = &traps[0].1;
    let mut urls: Vec<String> =
        traps.iter().map(|(_, trap)| format!("http://{}/hook", trap.address)).collect();
    urls.push(redirects.url.clone());
    // The rest of twenty for each merchant hangs.
    urls.resize(20, urls[0].clone());
    let bad: Vec<Shop> =
        (0..5).map(|n| Shop::open(&house.server.cli(), &format!("Bad {n}"))).collect();
    for shop in &bad {
        for url in &urls {
            let request = Request::post("/api/webhook-endpoints").bearer(&shop.native.token);
            assert_eq!(house.server.send(&request.json(&json!({ "url": url }))).status, 201);
        }
    }
    let good = Receiver::content();
    house.endpoint(&good);
    let new = json!({"amount": 100, "currency": "EUR", "captures": [{"amount": 100}]});
    for shop in bad.iter().cycle().take(5 * bad.len()) {
        house.server.register(&shop.native, &new);
    }
    until("messages hang", PATIENCE, || hangs.begun() >= 50);
    let payments: Vec<String> = (0..25).map(|_| house.payment(&[])).collect();
    payments.iter().for_each(|payment| house.refund(payment, 100));
    // The first of those that hang is given up 15 s after it began: nobody has waited for that.
    let heard = good.wait(4 * payments.len(), |_| true);
    assert_eq!((hangs.ended(), heard.len()), (0, 4 * payments.len()), "others waited");
    for (habit, trap) in &traps {
        until(&format!("{habit:?} ends"), PATIENCE, || trap.ended() > 0);
        let most = trap.most.load(Ordering::Acquire);
        println!("{habit:?}: {} begun, {} ended, {most} bytes at most", trap.begun(), trap.ended());
        assert!(most <= TAKEN_MAX, "{habit:?}: {most} bytes were taken");
    }
    assert!(canary.heard().is_empty(), "a redirect was followed");
    assert!(!redirects.heard().is_empty());
    let peak = house.server.memory_peak_kib();
    assert!(peak < 256 * 1024, "{peak} KiB");
}

/// Events of each payment: registered, captured, and two for each of four refunds.
const EVENTS: usize = 10;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A receiver hangs up on everybody for three days of the clock. Then everything is delivered: each payment's
/// events in order, each with the id under which it was tried before.
#[test]
fn a_receiver_that_was_down_for_three_days_is_told_everything_in_order() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let clock = Some(folder.path().join("clock"));
    let server = Server::start(Options { clock, ..options() });
    let shop = Shop::open(&server.cli(), "Shop");
    let house = House { server, shop };
    let is_up = Arc::new(AtomicBool::new(false));
    let answers = Arc::clone(&is_up);
    let receiver = Receiver::open(move |_, _| match answers.load(Ordering::Acquire) {
        true => Reply::Status("200 OK"),
        false => Reply::Silence(Duration::ZERO),
    });
    house.endpoint(&receiver);
    let count = times("REQUITE_EVENTS", 500).div_ceil(EVENTS);
    let payments: Vec<String> = (0..count).map(|_| house.payment(&[])).collect();
    for amount in 1..=4 {
        payments.iter().for_each(|payment| house.refund(payment, amount));
    }
    let tried_since = |from: usize| {
        let heard = receiver.heard();
        heard[from..].iter().map(|message| about(message).0).collect::<BTreeSet<String>>().len()
    };
    for day in 0..3_u32 {
        let before = receiver.heard().len();
        house.server.set_clock(day * DAY + Duration::from_secs(u64::from(day)));
        until("each payment's first event is tried", PATIENCE, || {
            tried_since(before) == count || day == 0
        });
    }
    let down = receiver.heard();
    assert!(down.iter().all(|message| about(message).1 == 1), "later events wait for the first");
    is_up.store(true, Ordering::Release);
    house.server.set_clock(3 * DAY + Duration::from_secs(60));
    // However many there are: more and more of them are told.
    let told = || {
        let all = receiver.heard();
        all.iter().map(|message| message.header("webhook-id")).collect::<BTreeSet<&str>>().len()
    };
    while told() < count * EVENTS {
        let before = told();
        until("more is told", PATIENCE, || told() > before);
        thread::sleep(Duration::from_millis(100));
    }
    let all = receiver.heard();
    let mut tried: BTreeMap<String, &str> = BTreeMap::new();
    let mut told: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for (place, message) in all.iter().enumerate() {
        let (payment, number) = about(message);
        if number == 1 {
            let id = *tried.entry(payment.clone()).or_insert(message.header("webhook-id"));
            assert_eq!(id, message.header("webhook-id"), "{payment}: another id");
        }
        if place >= down.len() {
            told.entry(payment).or_default().push(number);
        }
    }
    println!("{} events of {count} payments, after {} tries in vain", count * EVENTS, down.len());
    assert_eq!(told.len(), count);
    for (payment, mut numbers) in told {
        // What was on its way when the receiver came back may be told twice.
        numbers.dedup();
        assert_eq!(numbers, (1..=10).collect::<Vec<u64>>(), "{payment}");
    }
}
