//! The command line of the real binary, run against one store.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::Request;

/// Runs commands of the binary on one store, with or without a server on it.
#[derive(Clone, Debug)]
pub(crate) struct Cli {
    database: String,
    env: Vec<(String, String)>,
}

/// How a command ended, and what it printed.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

#[derive(Clone, Debug)]
pub(crate) struct Merchant {
    pub(crate) id: String,
    /// Its Gr4vy merchant account id.
    pub(crate) slug: String,
}

/// A credential of one face. `token` is what that face's clients send; for `gr4vy` it is the
/// key's name and clients sign with `private_key_pem`.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) token: String,
    pub(crate) private_key_pem: Option<String>,
}

impl Key {
    /// A refund of a payment (as registration answered it) through the native API, without its body.
    pub(crate) fn refund(&self, payment: &Value) -> Request {
        let id = payment["id"].as_str().expect("a payment has an id");
        Request::post(&format!("/api/payments/{id}/refunds")).bearer(&self.token)
    }
}

/// A program, in an environment without what is set for the tests themselves, or by whoever runs them.
pub(super) fn program(path: &str) -> Command {
    let mut command = Command::new(path);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("REQUITE_") {
            command.env_remove(name);
        }
    }
    command
}

impl Cli {
    /// `database` as the `--database` option has it: `sqlite:PATH` or `postgres://...`.
    pub(crate) fn new(database: &str) -> Cli {
        Cli { database: database.to_owned(), env: Vec::new() }
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Cli {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Runs `requite ARGS --database ...` with `input` on standard input.
    pub(crate) fn run(&self, args: &[&str], input: &str) -> Run {
        let mut child = program(env!("CARGO_BIN_EXE_requite"))
            .args(args)
            .args(["--database", &self.database])
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary was built with these tests");
        let mut stdin = child.stdin.take().expect("asked for a pipe");
        // A command that does not read its input may have gone already: its exit code speaks.
        drop(stdin.write_all(input.as_bytes()));
        drop(stdin);
        let output = child.wait_with_output().expect("a child of ours can be waited for");
        Run {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Runs a command that must succeed, with `--json`; its lines, parsed.
    pub(crate) fn json(&self, args: &[&str], input: &str) -> Vec<Value> {
        let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
        let run = self.run(&args, input);
        assert_eq!(run.code, Some(0), "requite {}: {run:?}", args.join(" "));
        let parse = |line: &str| match serde_json::from_str(line) {
            Ok(value) => value,
            Err(e) => panic!("requite {}: {e} in line {line:?}", args.join(" ")),
        };
        run.stdout.lines().map(parse).collect()
    }

    /// Makes a merchant; the slug is made from the name.
    pub(crate) fn merchant(&self, name: &str) -> Merchant {
        self.merchant_with(name, &[])
    }

    /// Makes a merchant with further options.
    pub(crate) fn merchant_with(&self, name: &str, options: &[&str]) -> Merchant {
        let args: Vec<&str> = ["merchant", "create", name].iter().chain(options).copied().collect();
        let made = self.one(&args);
        Merchant { id: text(&made, "id"), slug: text(&made, "slug") }
    }

    /// Mints a credential that may do everything its face (`medusa-v1`, `medusa-v2`, `mpg`,
    /// `gr4vy`, `loop`, `native`) offers.
    pub(crate) fn key(&self, merchant: &Merchant, face: &str) -> Key {
        self.key_with(merchant, face, &[])
    }

    /// Mints a credential with further options, such as `["--scope", "orders_read"]`.
    pub(crate) fn key_with(&self, merchant: &Merchant, face: &str, options: &[&str]) -> Key {
        let args = ["key", "create", "--merchant", &merchant.id, "--face", face];
        let args: Vec<&str> = args.iter().chain(options).copied().collect();
        let made = self.one(&args);
        Key {
            id: text(&made, "id"),
            token: made.get("token").and_then(Value::as_str).unwrap_or_default().to_owned(),
            private_key_pem: made.get("private_key_pem").and_then(Value::as_str).map(str::to_owned),
        }
    }

    /// Makes a person who can log in; how the command ended.
    pub(crate) fn user(&self, merchant: &Merchant, email: &str, password: &str) -> Run {
        let args = ["user", "create", "--merchant", &merchant.id, "--email", email, "--json"];
        self.run(&args, &format!("{password}\n"))
    }

    fn one(&self, args: &[&str]) -> Value {
        let mut lines = self.json(args, "");
        assert_eq!(lines.len(), 1, "requite {} prints one object", args.join(" "));
        lines.remove(0)
    }
}

fn text(value: &Value, member: &str) -> String {
    match value.get(member).and_then(Value::as_str) {
        Some(text) => text.to_owned(),
        None => panic!("no text member {member:?} in {value}"),
    }
}
