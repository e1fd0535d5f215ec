//! What a server did to its files and said to others, in the order in which it happened: written by `disk.c`,
//! which is compiled here and preloaded into the server.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// One thing that happened. Files are known by their inode; names are those within the store's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    Opened {
        name: String,
        file: u64,
    },
    Created {
        name: String,
        file: u64,
    },
    Written {
        file: u64,
        at: usize,
        bytes: Vec<u8>,
    },
    /// Cut, or made longer with zeros.
    Cut {
        file: u64,
        size: usize,
    },
    Synced {
        file: u64,
    },
    NotSynced {
        file: u64,
    },
    Removed {
        name: String,
    },
    Renamed {
        from: String,
        to: String,
    },
    Linked {
        from: String,
        to: String,
    },
    FolderSynced,
    /// The first bytes of an answer to a client or of a request to a PSP, about to be sent.
    Sent {
        text: String,
    },
}

/// The library, compiled once.
pub(crate) fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/power/disk.c");
        let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("disk.so");
        let mut fresh = library.clone().into_os_string();
        fresh.push(format!(".{}", std::process::id()));
        let cc = Command::new("cc")
            .args(["-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o"])
            .args([fresh.as_os_str(), source.as_os_str()])
            .arg("-ldl")
            .status()
            .expect("these tests need a C compiler named cc");
        assert!(cc.success(), "disk.c does not compile");
        std::fs::rename(&fresh, &library).expect("one folder");
        library
    })
}

/// Reads a log to its end.
pub(crate) fn read(log: &Path) -> Vec<Record> {
    let bytes = std::fs::read(log).expect("the server wrote a log");
    let mut rest = &bytes[..];
    let mut records = Vec::new();
    while !rest.is_empty() {
        let (head, more) = rest.split_at(24);
        let word = |at: usize| u32::from_ne_bytes(head[at..at + 4].try_into().expect("four bytes"));
        let long =
            |at: usize| u64::from_ne_bytes(head[at..at + 8].try_into().expect("eight bytes"));
        let length = usize::try_from(word(4)).expect("it is in memory");
        let (bytes, more) = more.split_at(length);
        let at = usize::try_from(long(16)).expect("no file is that long");
        records.push(record(word(0), long(8), at, bytes));
        rest = more;
    }
    records
}

fn record(kind: u32, file: u64, at: usize, bytes: &[u8]) -> Record {
    let text = || String::from_utf8_lossy(bytes).into_owned();
    let names = || {
        let text = text();
        let (from, to) = text.split_once('\0').expect("two names");
        (from.to_owned(), to.to_owned())
    };
    match kind {
        1 => Record::Opened { name: text(), file },
        2 => Record::Created { name: text(), file },
        3 => Record::Written { file, at, bytes: bytes.to_vec() },
        4 => Record::Cut { file, size: at },
        5 => Record::Synced { file },
        6 => Record::NotSynced { file },
        7 => Record::Removed { name: text() },
        8 => {
            let (from, to) = names();
            Record::Renamed { from, to }
        }
        9 => {
            let (from, to) = names();
            Record::Linked { from, to }
        }
        10 => Record::FolderSynced,
        11 => Record::Sent { text: text() },
        other => panic!("disk.c and this reader disagree about {other}"),
    }
}
