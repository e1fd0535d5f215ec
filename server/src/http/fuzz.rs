//! Targets of the fuzzer: the check of heads and the framing of bodies.

use super::chunks::ChunkScan;
use super::head::{Framing, HeadScan, check};
use crate::fuzz::Target;

pub(crate) const TARGETS: &[Target] = &[("head", head), ("chunks", chunks)];

/// A head is found at the same place however it arrives, and none that is taken can be read in two ways.
fn head(input: &[u8]) {
    let whole = HeadScan::default().advance(input);
    let mut scan = HeadScan::default();
    let mut pieces = (1..=input.len()).map(|end| scan.advance(&input[..end]));
    let found = pieces.find(|found| !matches!(found, Ok(None))).unwrap_or(Ok(None));
    assert_eq!(found, whole);
    let Ok(Some(length)) = whole else { return };
    let Ok(framing) = check(&input[..length]) else {
        return;
    };
    let text = String::from_utf8_lossy(&input[..length]).to_ascii_lowercase();
    let count = |name: &str| text.matches(&format!("\r\n{name}:")).count();
    assert!(count("host") <= 1 && count("content-length") <= 1);
    assert!(count("content-length") + count("transfer-encoding") <= 1, "two framings");
    assert!(!text.replace("\r\n", "").contains(['\r', '\n', '\0']));
    let has_body = framing != Framing::Empty;
    assert!(!has_body || count("content-length") + count("transfer-encoding") == 1);
}

/// A chunked body ends at the same place however it arrives.
fn chunks(input: &[u8]) {
    let mut whole = ChunkScan::new();
    let used = whole.advance(input);
    let mut scan = ChunkScan::new();
    let mut total = 0;
    for byte in input {
        match scan.advance(std::slice::from_ref(byte)) {
            Ok(used) => total += used,
            Err(fault) => return assert_eq!(used, Err(fault)),
        }
    }
    assert_eq!(used, Ok(total));
    assert_eq!(scan.is_at_end(), whole.is_at_end());
}
