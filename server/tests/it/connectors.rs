//! Accounts at payment providers, as the command line sets them up.

use super::support::{Cli, Merchant, Run, SEALING_KEY};

const SECRET: &str = "sk_test_51H8qXyNothingOfValue";
const OTHER_KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

struct Desk {
    cli: Cli,
    merchant: Merchant,
    folder: tempfile::TempDir,
}

impl Desk {
    fn new() -> Desk {
        let folder = tempfile::tempdir().expect("a directory for temporary files");
        let cli = Cli::new(&requite_cluster::new_store(folder.path()));
        let merchant = cli.merchant("Shop");
        for (name, key) in [("key", SEALING_KEY), ("other", OTHER_KEY), ("bad", "c2hvcnQ=")] {
            std::fs::write(folder.path().join(name), key).expect("writable");
        }
        Desk { cli, merchant, folder }
    }

    fn key_file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn add(&self, name: &str, more: &[&str], secret: &str) -> Run {
        let key = self.key_file("key");
        let mut words = vec!["connector", "add", "--merchant", &self.merchant.id, "--kind"];
        words.extend(["stripe", "--name", name, "--sealing-key-file", &key]);
        words.extend(more);
        self.cli.run(&words, secret)
    }
}

#[test]
fn an_account_is_added_sealed_listed_and_its_secret_replaced() {
    let desk = Desk::new();
    let added = desk.add("stripe", &["--json"], SECRET);
    assert_eq!(added.code, Some(0), "{}", added.stderr);
    assert!(!added.stdout.contains(SECRET), "the secret is not shown again");
    let listed = desk.cli.json(&["connector", "list"], "");
    assert_eq!((&listed[0]["name"], &listed[0]["mode"]), (&"stripe".into(), &"test".into()));
    let key = desk.key_file("key");
    let rotate = ["connector", "rotate", "--merchant", &desk.merchant.id, "--name", "stripe"];
    let rotated = desk
        .cli
        .run(&[&rotate[..], &["--sealing-key-file", &key]].concat(), "sk_test_another_one\n");
    assert_eq!(rotated.code, Some(0), "{}", rotated.stderr);
    for file in std::fs::read_dir(desk.folder.path()).expect("readable") {
        let file = file.expect("readable").path();
        let bytes = std::fs::read(&file).expect("readable");
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("sk_test_"), "{} has the secret in clear", file.display());
    }
}

#[test]
fn what_cannot_be_an_account_is_refused_and_told_why() {
    let desk = Desk::new();
    let bad_key = desk.key_file("bad");
    for (name, more, secret, code, told) in [
        ("manual", &[][..], SECRET, 2, "neither of"),
        ("two words", &[], SECRET, 2, "letters"),
        ("a", &["--mode", "live"], SECRET, 1, "sk_live_"),
        ("a", &[], "sk_live_51H8qXyNothingOfValue", 1, "sk_test_"),
        ("a", &[], "", 1, "standard input has no secret"),
        ("a", &[], "sk_test_two lines\nare none", 1, "standard input has no secret"),
        ("a", &["--base-url", "no url"], SECRET, 1, "base URL"),
        ("a", &["--sealing-key-file", &bad_key], SECRET, 2, "sealing-key-file"),
    ] {
        let run = desk.add(name, more, secret);
        assert_eq!(run.code, Some(code), "{name} {more:?}: {}", run.stderr);
        assert!(run.stderr.contains(told), "{name} {more:?}: {}", run.stderr);
        assert!(!run.stderr.contains("NothingOfValue"), "{}", run.stderr);
    }
    let words = ["connector", "add", "--merchant", &desk.merchant.id, "--kind", "stripe"];
    let run = desk.cli.run(&[&words[..], &["--name", "a"]].concat(), SECRET);
    assert_eq!(run.code, Some(2), "there is no key to seal with");
    assert!(run.stderr.contains("openssl rand -base64 32"), "{}", run.stderr);
    assert_eq!(desk.add("a", &[], SECRET).code, Some(0));
    let again = desk.add("a", &[], SECRET);
    assert_eq!(again.code, Some(1));
    assert!(again.stderr.contains("is taken"), "{}", again.stderr);
}

/// A server that could not pay an account's refunds would leave them lying.
#[test]
fn a_server_that_cannot_open_an_account_does_not_start() {
    let desk = Desk::new();
    assert_eq!(desk.add("stripe", &[], SECRET).code, Some(0));
    let settings = desk.folder.path().join("settings.toml");
    let serve = |key: Option<&str>| {
        let line = key.map(|key| format!("sealing_key_file = {:?}\n", desk.key_file(key)));
        std::fs::write(&settings, line.unwrap_or_default()).expect("writable");
        let path = settings.display().to_string();
        desk.cli.run(&["serve", "--listen", "127.0.0.1:0", "--config", &path], "")
    };
    for (key, told) in [(None, "REQUITE_SEALING_KEY"), (Some("other"), "another key")] {
        let run = serve(key);
        assert_eq!(run.code, Some(78), "{key:?}: {}", run.stderr);
        assert!(run.stderr.contains("stripe") && run.stderr.contains(told), "{}", run.stderr);
    }
    assert_eq!(serve(Some("bad")).code, Some(78));
}

/// A payment names an account that its merchant has, and then says what the PSP calls it.
#[test]
fn payments_name_accounts_that_are_there() {
    let desk = Desk::new();
    assert_eq!(desk.add("stripe", &[], SECRET).code, Some(0));
    let line = |connector: &str, more: &str| {
        format!(
            r#"{{"merchant":"{}","amount":1000,"currency":"EUR","connector":"{connector}"{more}}}"#,
            desk.merchant.id
        )
    };
    let lines = [
        line("stripe", r#","connector_payment":"ch_1""#),
        line("stripe", ""),
        line("adyen", r#","connector_payment":"ch_2""#),
    ];
    let imported = desk.cli.run(&["import", "-"], &lines.join("\n"));
    assert_eq!(imported.code, Some(1), "{}", imported.stderr);
    for told in ["/connector_payment is needed", "the name of an account"] {
        assert!(imported.stderr.contains(told), "{told}: {}", imported.stderr);
    }
    let verified = desk.cli.json(&["verify"], "");
    assert_eq!(verified[0]["payments"], 1);
}
