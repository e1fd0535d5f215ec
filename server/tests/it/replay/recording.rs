//! Finding and reading recordings: a folder per face, or any file of one of the five forms.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Names a folder with `<face>/examples.jsonl`, or one file, or `face=path`. Without it the
/// recordings beside these tests are replayed.
const WHERE: &str = "REQUITE_RECORDINGS";

const FACES: [&str; 5] = ["medusa-v1", "medusa-v2", "moyasar-mpg", "gr4vy", "loop-payments"];

/// The lines of one face.
#[derive(Debug)]
pub(super) struct Recording {
    pub(super) face: &'static str,
    pub(super) lines: Vec<Value>,
}

/// All recordings that are to be replayed. Panics on a file that cannot be read: a recording that
/// is skipped in silence proves nothing.
pub(super) fn recordings() -> Vec<Recording> {
    let place = std::env::var(WHERE)
        .unwrap_or_else(|_| format!("{}/tests/recordings", env!("CARGO_MANIFEST_DIR")));
    if let Some((face, path)) = place.split_once('=') {
        return vec![read(Path::new(path), Some(known(face)))];
    }
    let place = PathBuf::from(place);
    if place.is_file() {
        return vec![read(&place, None)];
    }
    let found: Vec<Recording> = FACES
        .iter()
        .map(|face| (face, place.join(face).join("examples.jsonl")))
        .filter(|(_, path)| path.exists())
        .map(|(face, path)| read(&path, Some(face)))
        .collect();
    assert!(!found.is_empty(), "no <face>/examples.jsonl in {}", place.display());
    found
}

fn known(face: &str) -> &'static str {
    match FACES.iter().find(|known| **known == face) {
        Some(known) => known,
        None => panic!("{WHERE}: no face {face:?}, only {FACES:?}"),
    }
}

fn read(path: &Path, face: Option<&'static str>) -> Recording {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let parse = |(i, line): (usize, &str)| {
        serde_json::from_str(line)
            .unwrap_or_else(|e| panic!("{} line {}: {e}", path.display(), i.saturating_add(1)))
    };
    let lines: Vec<Value> =
        text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).map(parse).collect();
    let face = face.or_else(|| lines.first().and_then(face_of));
    let Some(face) = face else {
        panic!("{}: not a form that is known; write {WHERE}=face=path", path.display());
    };
    Recording { face, lines }
}

/// Each form has members that no other has.
fn face_of(line: &Value) -> Option<&'static str> {
    let has = |name: &str| line.get(name).is_some();
    let id = line.get("id").and_then(Value::as_str).unwrap_or_default();
    if has("scenario") && has("step") {
        return Some("medusa-v2");
    }
    if has("parity") {
        return Some("medusa-v1");
    }
    if has("steps") {
        return Some(if line.to_string().contains("/v1/orders/") {
            "moyasar-mpg"
        } else {
            "loop-payments"
        });
    }
    (has("group") && id.starts_with("gr4vy-")).then_some("gr4vy")
}

/// Replays at the root, where the credential picks the face, instead of below each face's prefix.
const AT_ROOT: &str = "REQUITE_REPLAY_AT_ROOT";

pub(super) fn at_root() -> bool {
    std::env::var_os(AT_ROOT).is_some()
}

/// Where a face's paths are mounted. Health is the server's own, and so not below any face.
pub(super) fn mounted(face: &str, path: &str) -> String {
    if at_root() {
        return path.to_owned();
    }
    below_prefix(face, path)
}

/// As [`mounted`], also where everything else is replayed at the root.
pub(super) fn below_prefix(face: &str, path: &str) -> String {
    let prefix = match face {
        "medusa-v1" => "/medusa/v1",
        "medusa-v2" => "/medusa/v2",
        "moyasar-mpg" => "/mpg",
        "gr4vy" => "/gr4vy",
        _ => "/loop",
    };
    if path == "/health" { path.to_owned() } else { format!("{prefix}{path}") }
}

/// A text member of a line, or an empty text.
pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The members of an object, or none.
pub(super) fn members<'a>(
    value: &'a Value,
    pointer: &str,
) -> impl Iterator<Item = (&'a str, &'a Value)> {
    value
        .pointer(pointer)
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.as_str(), value))
}

#[test]
fn a_file_is_known_by_its_form() {
    for (face, line) in [
        ("medusa-v1", r#"{"id":"a","parity":"must"}"#),
        ("medusa-v2", r#"{"n":1,"scenario":"s","step":1}"#),
        ("moyasar-mpg", r#"{"id":"x","steps":[{"request":{"path":"/v1/orders/$order"}}]}"#),
        ("loop-payments", r#"{"id":"x","steps":[{"request":{"path":"/v1/refunds"}}]}"#),
        ("gr4vy", r#"{"id":"gr4vy-rule-001","group":"rule"}"#),
    ] {
        let line: Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(face_of(&line), Some(face));
    }
    assert_eq!(face_of(&serde_json::json!({"id": "x"})), None);
}
