//! Clients that ask for refund after refund while something happens to the server.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::support::{FACES, Face, Request, Server, Shop};

/// Clients under load, each with a key of its own for every refund, retried until it is answered.
pub(crate) struct Load<'a> {
    shop: &'a Shop,
    pub(super) payments: Vec<Value>,
    faces: &'a [Face],
    is_over: AtomicBool,
    next: AtomicUsize,
    /// Key to the refund that was acknowledged for it.
    pub(crate) acknowledged: Mutex<BTreeMap<String, String>>,
}

impl<'a> Load<'a> {
    pub(crate) fn new(shop: &'a Shop, payments: Vec<Value>) -> Load<'a> {
        Load {
            shop,
            payments,
            faces: &FACES,
            is_over: AtomicBool::new(false),
            next: AtomicUsize::new(0),
            acknowledged: Mutex::new(BTreeMap::new()),
        }
    }

    /// Through these faces only.
    pub(crate) fn through(self, faces: &'a [Face]) -> Load<'a> {
        Load { faces, ..self }
    }

    /// So many clients ask for refunds of 1 for as long as something lasts.
    pub(crate) fn under(&self, address: SocketAddr, clients: usize, meanwhile: impl FnOnce()) {
        thread::scope(|scope| {
            for _ in 0..clients {
                scope.spawn(|| self.run(&[address]));
            }
            meanwhile();
            self.end();
        });
    }

    /// Kills the server so often at random moments while sixteen clients ask it for refunds of 1.
    pub(crate) fn kill_under_load(&self, server: &mut Server, kills: usize) {
        let seed = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").subsec_nanos();
        println!("seed {seed} (only the moments of the kills depend on it)");
        self.under(server.addr, 16, || {
            let mut state = u64::from(seed) | 1;
            for _ in 0..kills {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                thread::sleep(Duration::from_millis(20 + (state >> 33) % 180));
                server.kill9();
                server.start_again();
            }
        });
    }

    /// Nobody asks for anything new.
    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::Release);
    }

    /// Each payment in its turn, and each time through another face.
    fn request(&self, number: usize) -> (Face, String, Request) {
        let (round, turn) = (number / self.payments.len(), number % self.payments.len());
        let (payment, face) = (&self.payments[turn], self.faces[(round + turn) % self.faces.len()]);
        let key = format!("key-{number}");
        let request = self.shop.refund(face, payment, 1).header("idempotency-key", &key);
        (face, key, request)
    }

    /// Asks for everything once more: each key has the refund that it had.
    pub(crate) fn replay_all(&self, server: SocketAddr) {
        let acknowledged = self.acknowledged.lock().expect("no panic").clone();
        for number in 0..self.next.load(Ordering::Acquire) {
            let (face, key, request) = self.request(number);
            let refund = Load::until_acknowledged(face, &request, std::iter::repeat(&server));
            assert_eq!(acknowledged.get(&key), Some(&refund), "{key}");
        }
    }

    /// One client. Whom one server does not answer asks the next.
    pub(crate) fn run(&self, servers: &[SocketAddr]) {
        while !self.is_over.load(Ordering::Acquire) {
            let number = self.next.fetch_add(1, Ordering::AcqRel);
            let (face, key, request) = self.request(number);
            let refund =
                Load::until_acknowledged(face, &request, servers.iter().cycle().skip(number));
            let before = self.acknowledged.lock().expect("no panic").insert(key, refund);
            assert_eq!(before, None, "each key is used once");
        }
    }

    /// Connection refused, reset and "try again" are retried under the same key, as a client must.
    fn until_acknowledged<'s>(
        face: Face,
        request: &Request,
        servers: impl Iterator<Item = &'s SocketAddr>,
    ) -> String {
        let end = Instant::now() + Duration::from_secs(120);
        for server in servers {
            assert!(Instant::now() < end, "{face:?} is never answered");
            match request.try_send(*server) {
                Ok(response) if face.accepted(&response) => {
                    let id = response.header("requite-refund-id");
                    return id.expect("every answer to a refund names it").to_owned();
                }
                Ok(response) => {
                    let is_running = response.text().contains("still processing");
                    let is_busy = is_running || matches!(response.status, 409 | 429 | 500 | 503);
                    assert!(is_busy, "{face:?}: {} {}", response.status, response.text());
                }
                Err(_) => {}
            }
            thread::sleep(Duration::from_millis(5));
        }
        unreachable!("there is a server")
    }
}
