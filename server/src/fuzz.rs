//! What a stranger can send, parser by parser: the targets of the fuzzer, and the test that replays what
//! it has found.
//!
//! A target takes any bytes and must neither panic nor hang; most hold a rule besides: what is read is
//! written again in the same way, a body means the same however it is spelt, nothing unsigned is
//! believed. Faces and the way in from the network keep theirs beside their parsers, in a `fuzz.rs`.
//!
//! `fuzz/run` tries each for minutes (libFuzzer, nightly); what it found worth keeping is `fuzz/corpus`,
//! and every run of the tests replays that, without nightly.
//!
//! Not compiled into the program. Start at [`targets`].

mod signed;
mod values;

use axum::http::Uri;
use axum::response::IntoResponse;

use crate::{faces, http, json};

/// A target: its name, and what it does with an input.
pub(crate) type Target = (&'static str, fn(&[u8]));

/// The largest input worth trying: as much as a face reads of a body.
pub const INPUT_BYTES_MAX: usize = http::REFUND_BODY_MAX;

/// Every target.
pub fn targets() -> impl Iterator<Item = (&'static str, fn(&[u8]))> {
    let all = [
        values::TARGETS,
        signed::TARGETS,
        http::fuzz::TARGETS,
        faces::gr4vy::fuzz::TARGETS,
        faces::loop_payments::fuzz::TARGETS,
        faces::medusa_v1::fuzz::TARGETS,
        faces::medusa_v2::fuzz::TARGETS,
        faces::mpg::fuzz::TARGETS,
        faces::native::fuzz::TARGETS,
    ];
    all.into_iter().flatten().copied()
}

/// What was read, if it was taken. A failure must be a complaint of what was sent, never of us.
pub(crate) fn taken<T, F: IntoResponse>(read: Result<T, F>) -> Option<T> {
    read.map_err(|failure| {
        let status = failure.into_response().status();
        assert!(status.is_client_error(), "{status}");
    })
    .ok()
}

/// A body that is taken is taken in its canonical spelling too, and means the same.
pub(crate) fn means_the_same<M: PartialEq + std::fmt::Debug>(
    body: &[u8],
    meaning: impl Fn(&[u8]) -> Option<M>,
) {
    let Some(meant) = meaning(body) else { return };
    if let Ok(json) = json::read(body) {
        let canonical = json.canonical();
        assert_eq!(meaning(canonical.as_bytes()), Some(meant), "{canonical}");
    }
}

/// A path with this query, if a client could send it at all.
pub(crate) fn with_query(input: &[u8]) -> Option<Uri> {
    let query = std::str::from_utf8(input).ok()?;
    format!("/?{query}").parse().ok()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn kept(name: &str) -> Vec<(String, Vec<u8>)> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(name);
        let files = fs::read_dir(&folder).unwrap_or_else(|_| panic!("{name} has no corpus"));
        let files = files.map(|file| file.expect("a file of the corpus").path());
        files.map(|path| (path.display().to_string(), fs::read(&path).expect("readable"))).collect()
    }

    #[test]
    fn what_the_fuzzer_kept_is_read_without_harm() {
        let mut count = 0_usize;
        let mut harmed = Vec::new();
        for (name, run) in targets() {
            let inputs = kept(name);
            assert!(!inputs.is_empty(), "{name} has no corpus");
            for (path, input) in inputs {
                assert!(input.len() <= INPUT_BYTES_MAX, "{path} is too large");
                if std::panic::catch_unwind(|| run(&input)).is_err() {
                    harmed.push(format!("{name}: {path}"));
                }
                count += 1;
            }
        }
        assert!(harmed.is_empty(), "{harmed:#?}");
        println!("{count} inputs of the fuzzer's, {} targets", targets().count());
    }

    /// Microseconds that this thread has been running: what others do on the machine does not count.
    fn running_us() -> u64 {
        std::thread::yield_now();
        let told = fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells");
        let first = told.split(' ').next().and_then(|ns| ns.parse::<u64>().ok());
        first.expect("nanoseconds") / 1_000
    }

    /// Cost must not grow faster than an input: eight times as much may cost twenty-four times as much,
    /// where every byte looking at every other would cost 64 times as much.
    #[test]
    fn no_input_costs_much_more_than_its_size() {
        let cost = |run: fn(&[u8]), input: &[u8]| {
            let once = || {
                let started = running_us();
                run(input);
                (running_us() - started).max(500)
            };
            (0..3).map(|_| once()).min().expect("three times")
        };
        let mut dear = Vec::new();
        for (name, run) in targets() {
            let patterns: [&[u8]; 10] = [
                b"[",
                b"{\"a\":",
                b"\"\\u00e9",
                b"0",
                b"a=1&",
                b",",
                b"1-",
                b".",
                b"a:1\r\n",
                b"%41",
            ];
            for pattern in patterns {
                let of = |bytes: usize| pattern.repeat(bytes / pattern.len());
                let (small, large) = (cost(run, &of(4_000)), cost(run, &of(32_000)));
                if large > small * 24 {
                    dear.push(format!("{name}, {pattern:?}: {small} us, {large} us"));
                }
            }
            // Names that are all different.
            let of = |count: u32| {
                let names = (0..count).map(|n| format!("{n:04x}=1&")).collect::<String>();
                let members = (0..count).map(|n| format!("\"{n:04x}\":1,")).collect::<String>();
                [names, format!("{{{members}\"a\":1}}")]
            };
            for (small, large) in of(400).iter().zip(of(3_200)) {
                let (small, large) = (cost(run, small.as_bytes()), cost(run, large.as_bytes()));
                if large > small * 24 {
                    dear.push(format!("{name}, many names: {small} us, {large} us"));
                }
            }
        }
        assert!(dear.is_empty(), "{dear:#?}");
    }
}
