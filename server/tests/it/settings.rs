//! Each setting, given wrong in every way, ends the program before it listens (F86). The settings are those of
//! `docs/settings.md`, which has all that there are.

use serde_json::json;

use crate::support::{Cli, Options, Request, Run, SEALING_KEY, Server};

/// Names in the file and in the environment.
fn settings() -> Vec<(&'static str, &'static str)> {
    let page = include_str!("../../../docs/settings.md");
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    let names: Vec<_> = rows
        .filter_map(|row| {
            let mut cells = row.split('`').skip(1).step_by(2);
            let (file, variable) = (cells.next()?, cells.next()?);
            variable.starts_with("REQUITE_").then_some((file, variable))
        })
        .collect();
    assert!(names.len() >= 20, "only {names:?} are documented");
    names
}

/// It ended with 78, named what was wrong, and said nothing of listening.
fn assert_refused(run: &Run, named: &str) {
    assert_eq!((run.code, run.stdout.as_str()), (Some(78), ""), "{named}: {run:?}");
    assert!(run.stderr.contains(named), "{named}: {}", run.stderr);
}

/// The name with something wrong about it that a hand does: a letter missed, one twice, two swapped.
fn misspelt(name: &str) -> Vec<String> {
    let place = "REQUITE_".len() + 1;
    let (before, rest) = name.split_at(place);
    let (letter, after) = rest.split_at(1);
    let (next, end) = after.split_at(1);
    let swapped = format!("{before}{next}{letter}{end}");
    [format!("{before}{after}"), format!("{before}{letter}{rest}"), swapped]
        .into_iter()
        .filter(|wrong| wrong != name)
        .collect()
}

#[test]
fn a_setting_that_is_wrong_missing_or_misspelt_ends_the_start_and_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = folder.path().join("never.db");
    let cli = Cli::new(&format!("sqlite:{}", store.display()));
    let serve = ["serve", "--listen", "127.0.0.1:0"];
    let in_file = |key: &str, value: &str| {
        let text = match key.split_once('.') {
            Some((section, key)) => format!("[{section}]\n{key} = {value}\n"),
            None => format!("{key} = {value}\n"),
        };
        let path = folder.path().join("requite.toml");
        std::fs::write(&path, text).expect("writable");
        cli.run(&[&serve[..], &["--config", &path.display().to_string()]].concat(), "")
    };
    let mut tried = 0;
    for (key, variable) in settings() {
        let wrong = "no such=value/at all";
        assert_refused(&cli.clone().env(variable, wrong).run(&serve, ""), variable);
        for value in [json!(wrong).to_string(), "1.5".to_owned(), "[[1]]".to_owned()] {
            assert_refused(&in_file(key, &value), key);
        }
        // Nothing is one of the values that these may have: no origin, and no line in the log.
        if !matches!(key, "cors_origins" | "log") {
            assert_refused(&cli.clone().env(variable, "").run(&serve, ""), variable);
        }
        let unknown = format!("{key}x");
        assert_refused(&in_file(&unknown, "\"1\""), &unknown);
        for wrong in misspelt(variable) {
            let run = cli.clone().env(&wrong, "1").run(&serve, "");
            assert_refused(&run, &wrong);
            assert!(run.stderr.contains(&format!("{variable} is meant")), "{}", run.stderr);
        }
        tried += 1;
    }
    let missing = folder.path().join("nowhere.toml").display().to_string();
    assert_refused(&cli.run(&[&serve[..], &["--config", &missing]].concat(), ""), &missing);
    assert_refused(&cli.clone().env("REQUITE_CONFIG", &missing).run(&serve, ""), &missing);
    for key in ["", "c2hvcnQ=", "not base64 at all!"] {
        let run = cli.clone().env("REQUITE_SEALING_KEY", key).run(&serve, "");
        assert_refused(&run, "REQUITE_SEALING_KEY");
        assert!(key.is_empty() || !run.stderr.contains(key), "{}", run.stderr);
    }
    assert!(!store.exists(), "nothing was begun");
    println!("{tried} settings, wrong in up to nine ways each, none taken");
}

/// Accounts need the key that sealed them. Without it, or with another, refunds would lie where nobody sees to
/// them.
#[test]
fn a_sealing_key_that_is_missing_or_another_ends_the_start_and_is_named() {
    let mut server = Server::start(Options::default().env("REQUITE_SEALING_KEY", SEALING_KEY));
    let cli = server.cli().env("REQUITE_SEALING_KEY", SEALING_KEY);
    let merchant = cli.merchant("Shop");
    let words = ["connector", "add", "--merchant", &merchant.id, "--kind", "stripe"];
    let more = ["--name", "psp", "--base-url", "http://127.0.0.1:9"];
    let run = cli.run(&[&words[..], &more].concat(), "sk_test_nothing");
    assert_eq!(run.code, Some(0), "{run:?}");
    server.sigterm();
    let serve = ["serve", "--listen", "127.0.0.1:0"];
    let other = "b3RoZXIgdGVzdHMgYW5kIG5vdGhpbmcgZWxzZSAuLi4=";
    for cli in [server.cli(), server.cli().env("REQUITE_SEALING_KEY", other)] {
        let run = cli.run(&serve, "");
        assert_refused(&run, "REQUITE_SEALING_KEY");
        assert!(run.stderr.contains("connector \"psp\""), "{}", run.stderr);
    }
    server.start_again();
    assert_eq!(server.send(&Request::get("/ready")).status, 200);
}
