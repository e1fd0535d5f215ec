//! A way to a database that can be cut: before a commit, after it, or altogether.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};

/// What becomes of what is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Open = 0,
    /// The next commit is lost on its way, and the connection with it.
    LosesCommit = 1,
    /// The next commit arrives, and its answer is lost with the connection.
    LosesAnswer = 2,
    /// As before, and from then on nothing goes through.
    LosesAnswerAndCloses = 3,
    Closed = 4,
}

/// Listens in a folder of its own. Its threads end with the test.
pub(crate) struct Relay {
    folder: tempfile::TempDir,
    way: Arc<AtomicU8>,
    open: Arc<Mutex<Vec<UnixStream>>>,
}

impl Relay {
    pub(crate) fn to(socket: PathBuf) -> Relay {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let listener = UnixListener::bind(folder.path().join(".s.PGSQL.5432")).expect("a socket");
        let way = Arc::new(AtomicU8::new(0));
        let open = Arc::new(Mutex::new(Vec::new()));
        let (its_way, all) = (Arc::clone(&way), Arc::clone(&open));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if its_way.load(Ordering::Acquire) == Way::Closed as u8 {
                    continue;
                }
                let Ok(server) = UnixStream::connect(&socket) else { continue };
                all.lock().expect("no panic").extend([
                    client.try_clone().expect("a socket"),
                    server.try_clone().expect("a socket"),
                ]);
                carry(client, server, &its_way);
            }
        });
        Relay { folder, way, open }
    }

    /// The address of a database on the other side, by its address there.
    pub(crate) fn address(&self, there: &str) -> String {
        let folder = self.folder.path().to_string_lossy().replace('/', "%2F");
        let database = there.rsplit('/').next().expect("a database");
        format!("postgres://requite@{folder}/{database}")
    }

    pub(crate) fn set(&self, way: Way) {
        self.way.store(way as u8, Ordering::Release);
        if way == Way::Closed {
            for stream in self.open.lock().expect("no panic").drain(..) {
                drop(stream.shutdown(std::net::Shutdown::Both));
            }
        }
    }
}

fn carry(client: UnixStream, server: UnixStream, way: &Arc<AtomicU8>) {
    let back = (server.try_clone().expect("a socket"), client.try_clone().expect("a socket"));
    let hold = Arc::new(AtomicU8::new(0));
    let held = Arc::clone(&hold);
    std::thread::spawn(move || {
        let (mut from, mut to) = back;
        let mut bytes = [0_u8; 65_536];
        while let Ok(count) = from.read(&mut bytes) {
            // What comes after a commit whose answer is to be lost is its answer.
            if count == 0
                || held.load(Ordering::Acquire) == 1
                || to.write_all(&bytes[..count]).is_err()
            {
                break;
            }
        }
        drop(to.shutdown(std::net::Shutdown::Both));
        drop(from.shutdown(std::net::Shutdown::Both));
    });
    let way = Arc::clone(way);
    std::thread::spawn(move || {
        let (mut from, mut to) = (client, server);
        let mut bytes = [0_u8; 65_536];
        while let Ok(count) = from.read(&mut bytes) {
            if count == 0 {
                break;
            }
            let is_commit = bytes[..count].ends_with(b"commit\0");
            let now = way.load(Ordering::Acquire);
            if is_commit && now != Way::Open as u8 {
                let next =
                    if now == Way::LosesAnswerAndCloses as u8 { Way::Closed } else { Way::Open };
                way.store(next as u8, Ordering::Release);
                if now == Way::LosesCommit as u8 {
                    break;
                }
                hold.store(1, Ordering::Release);
            }
            if to.write_all(&bytes[..count]).is_err() {
                break;
            }
        }
        if hold.load(Ordering::Acquire) == 0 {
            drop(to.shutdown(std::net::Shutdown::Both));
            drop(from.shutdown(std::net::Shutdown::Both));
        }
    });
}
