//! Who may know whom, and what may stand where: a table, and one test that reads the sources.

use std::fs;
use std::path::{Path, PathBuf};

/// Sources below a folder must not contain a text.
struct Rule {
    folder: &'static str,
    /// Files (by the end of their path) that the rule leaves out.
    but: &'static [&'static str],
    banned: &'static [&'static str],
    why: &'static str,
}

const RULES: &[Rule] = &[
    Rule {
        folder: "core/src",
        but: &[],
        banned: &["std::time", "std::env", "std::fs", "std::net", "std::thread", "serde", "async "],
        why: "core knows nothing of the world",
    },
    Rule {
        folder: "engine/src",
        // How long it waits for a database that is away, and what carries there what it sends.
        but: &["store/postgres.rs", "store/postgres/link.rs", "store/postgres/client.rs"],
        banned: &["SystemTime", "Instant::now", "std::env", "serde", "hyper", "axum", "tokio::"],
        why: "the engine knows no HTTP, no JSON and no clock of its own",
    },
    Rule {
        folder: "engine/src",
        but: &["engine/src/store/"],
        banned: &["rusqlite", "select ", "insert into"],
        why: "SQL stands in engine::store alone",
    },
    Rule {
        folder: "server/src",
        but: &[],
        banned: &["rusqlite", "insert into ", "\"select "],
        why: "SQL stands in engine::store alone",
    },
    Rule {
        folder: "server/src/faces/medusa_v1",
        but: &[],
        banned: &["medusa_v2::", "mpg::", "gr4vy::", "loop_payments::", "native::", "connectors::"],
        why: "no face imports another, nor a connector",
    },
    Rule {
        folder: "server/src/faces/medusa_v2",
        but: &[],
        banned: &["medusa_v1::", "mpg::", "gr4vy::", "loop_payments::", "native::", "connectors::"],
        why: "no face imports another, nor a connector",
    },
    Rule {
        folder: "server/src/faces/mpg",
        but: &[],
        banned: &[
            "medusa_v1::",
            "medusa_v2::",
            "gr4vy::",
            "loop_payments::",
            "native::",
            "connectors::account",
            "connectors::stripe",
        ],
        why: "no face imports another, and of the connectors only the sandbox, which takes cards",
    },
    Rule {
        folder: "server/src/faces/gr4vy",
        but: &[],
        banned: &[
            "medusa_v1::",
            "medusa_v2::",
            "mpg::",
            "loop_payments::",
            "native::",
            "connectors::account",
            "connectors::stripe",
        ],
        why: "no face imports another, and of the connectors only the sandbox, which takes cards",
    },
    Rule {
        folder: "server/src/faces/loop_payments",
        but: &[],
        banned: &["medusa_v1::", "medusa_v2::", "mpg::", "gr4vy::", "native::", "connectors::"],
        why: "no face imports another, nor a connector",
    },
    Rule {
        folder: "server/src/faces",
        but: &[],
        banned: &["axum::routing", ".route("],
        why: "routes are declared, with what they demand of whoever asks, in crate::route",
    },
    Rule {
        folder: "server/src/connectors",
        but: &[],
        banned: &["crate::faces", "crate::desk", "engine::lane", "engine::store"],
        why: "a connector knows instructions and outcomes",
    },
    Rule {
        folder: "server/src/psp",
        but: &[],
        banned: &[
            "requite_core",
            "requite_engine",
            "crate::faces",
            "crate::desk",
            "crate::connectors",
        ],
        why: "the simulated PSP judges the engine and must not share its mistakes",
    },
    Rule {
        folder: "server/src/psp",
        but: &["psp/server.rs"],
        banned: &["SystemTime", "Instant::now", "std::net", "tokio", "f64", "f32"],
        why: "only its server touches clocks and sockets",
    },
    Rule {
        folder: "server/src/faces",
        // The one asks only whether JavaScript reads a number as infinity, no amount comes of it; the other
        // tests how long answers take.
        but: &["medusa_v1/wire.rs", "strangers/timing.rs"],
        banned: &["f64", "f32", "SystemTime", "Instant::now", "std::env"],
        why: "no float is near money, and time comes through the desk",
    },
];

fn root() -> PathBuf {
    let server = Path::new(env!("CARGO_MANIFEST_DIR"));
    server.parent().expect("the server is a member of the workspace").to_owned()
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of the workspace") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// A file's production lines: without comments, and without its tests.
fn production(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("readable");
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn rooms_know_only_whom_they_may() {
    let mut broken = Vec::new();
    for rule in RULES {
        let mut files = Vec::new();
        sources(&root().join(rule.folder), &mut files);
        assert!(!files.is_empty(), "{} has no sources", rule.folder);
        for file in files {
            let name = file.to_string_lossy().into_owned();
            let is_test = name.ends_with("tests.rs") || name.contains("/tests/");
            // A file by its name's end, a folder by its name and a slash.
            let is_left_out = |left_out: &&str| {
                name.ends_with(*left_out) || (left_out.ends_with('/') && name.contains(*left_out))
            };
            if is_test || rule.but.iter().any(is_left_out) {
                continue;
            }
            let code = production(&file);
            for banned in rule.banned.iter().filter(|banned| code.contains(**banned)) {
                broken.push(format!("{name}: `{banned}` ({})", rule.why));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_sql_text_begins_with_its_name_and_names_are_unique() {
    let mut files = Vec::new();
    sources(&root().join("engine/src/store"), &mut files);
    let mut names = Vec::new();
    for file in &files {
        let code = production(file);
        for literal in code.split('"').skip(1).step_by(2) {
            let first = literal.trim_start();
            let is_sql = ["select ", "insert ", "update ", "delete "]
                .iter()
                .any(|verb| first.starts_with(verb));
            let is_shared = first.starts_with("select r.refund_id");
            assert!(!is_sql || is_shared, "unnamed SQL in {}: {first}", file.display());
            if let Some(name) = first.strip_prefix("-- ").and_then(|rest| rest.lines().next()) {
                let name = name.trim_end_matches("\\nselect count(*) from sqlite_schema");
                // The lanes' statements are one text on SQLite and another on PostgreSQL.
                let is_postgres = file.to_string_lossy().contains("/store/postgres");
                names.push((is_postgres, name.to_owned()));
            }
        }
    }
    names.sort();
    let all = names.len();
    names.dedup();
    assert!(all > 30, "only {all} statements found");
    assert_eq!(names.len(), all, "two statements share a name");
}

/// What a stranger would trip over: paths of one machine, unfinished work by its own word.
#[test]
fn nothing_points_outside_the_project() {
    let mut files = Vec::new();
    for folder in ["cluster", "core", "engine", "server", "sim", "speed"] {
        sources(&root().join(folder), &mut files);
    }
    for file in files.iter().filter(|file| !file.ends_with("tidy.rs")) {
        let text = fs::read_to_string(file).expect("readable");
        // In two parts, so that this file does not meet its own rule.
        for banned in [concat!("TO", "DO"), concat!("FIX", "ME"), "../shared", "#[ignore]"] {
            assert!(!text.contains(banned), "{}: {banned}", file.display());
        }
    }
}

/// What docs/how-we-know.md claims is held by tests that are there.
#[test]
fn every_test_that_is_claimed_exists() {
    let page = std::fs::read_to_string(root().join("docs/how-we-know.md")).expect("the page");
    let mut sources = String::new();
    for folder in
        ["core/tests", "engine/src", "engine/tests", "sim/tests", "server/src", "server/tests"]
    {
        let mut found = Vec::new();
        self::sources(&root().join(folder), &mut found);
        let texts = found.iter().map(|path| std::fs::read_to_string(path).expect("a source"));
        sources.extend(texts);
    }
    let rows = page.lines().filter(|line| line.starts_with("| F"));
    let mut claimed = 0;
    for row in rows {
        let names = row.split('`').skip(1).step_by(2);
        for name in names.filter(|name| name.contains('_') && name.len() > 15) {
            claimed += 1;
            assert!(sources.contains(&format!("fn {name}(")), "no test is named {name}: {row}");
        }
    }
    assert!(claimed > 40, "the page claims next to nothing: {claimed}");
}
