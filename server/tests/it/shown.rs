//! Texts from outside on a terminal and in the log (F79): whatever stands in them, a terminal is not told what
//! to do, a line is one of ours, and nothing is shown in another order than it is written in.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc;

use serde_json::{Value, json};

use crate::support::{Options, Request, Run, SEALING_KEY, Server};

/// What stands behind each in a text is meant to look like a line of ours.
const FORGED: &str = "FORGED";

/// What a terminal, or whoever reads a log, may take for more than a letter.
const PAYLOADS: [&str; 32] = [
    "\n",
    "\r",
    "\r\n",
    "\n\n",
    "\t\n",
    "\u{b}",
    "\u{c}",
    "\u{85}",
    "\u{2028}",
    "\u{2029}",
    "\u{8}\u{8}\u{8}\u{8}",
    "\u{7f}",
    "\u{7}",
    "\u{0e}",
    "\u{1b}[2J",
    "\u{1b}[H",
    "\u{1b}[1A\u{1b}[2K",
    "\u{1b}[31m",
    "\u{1b}[0m\n",
    "\u{1b}]0;title\u{7}",
    "\u{1b}]8;;http://evil.example\u{1b}\\",
    "\u{1b}]52;c;cm0gLXJmIC8=\u{7}",
    "\u{1b}P$q\u{1b}\\",
    "\u{1b}[6n",
    "\u{1b}c",
    "\u{9b}2J",
    "\u{9d}0;title\u{9c}",
    "\u{90}q\u{9c}",
    "\u{202e}",
    "\u{2066}\u{202d}",
    "\u{200f}",
    "\u{61c}",
];

/// Would a terminal show this just as it is written?
fn is_plain(character: char) -> bool {
    let turns = ['\u{61c}', '\u{200e}', '\u{200f}', '\u{2028}', '\u{2029}'];
    let is_turn = turns.contains(&character)
        || ('\u{202a}'..='\u{202e}').contains(&character)
        || ('\u{2066}'..='\u{2069}').contains(&character);
    !character.is_control() && !is_turn
}

/// Every line begins as one of ours, and nothing in it is more than it shows.
fn assert_ours(text: &str, is_ours: impl Fn(&str) -> bool, what: &str) {
    for line in text.split_terminator('\n') {
        assert!(line.chars().all(is_plain), "{what}: {line:?}");
        assert!(is_ours(line) && !line.starts_with(FORGED), "{what}: {line:?}");
    }
}

fn assert_said(run: &Run, what: &str) {
    for said in [&run.stdout, &run.stderr] {
        assert_ours(said, |_| true, what);
    }
}

#[test]
fn no_text_from_outside_moves_a_terminal_or_forges_a_line_of_a_table() {
    let server = Server::start(Options::default());
    let cli = server.cli();
    let names: Vec<String> =
        PAYLOADS.iter().map(|payload| format!("Shop{payload}{FORGED} {payload}")).collect();
    for (number, name) in names.iter().enumerate() {
        let slug = format!("shop-{number}");
        let made = cli.run(&["merchant", "create", name, "--slug", &slug], "");
        assert_eq!(made.code, Some(0), "{made:?}");
        assert_said(&made, "merchant create");
        assert_eq!(made.stdout.lines().count(), 3, "{made:?}");
        // Complaints repeat what was given.
        for args in [
            &["key", "create", "--merchant", name, "--face", "native"][..],
            &["refund", "list", "--open", "--merchant", name],
            &["refund", "resolve", name, "--outcome", "failed", "--evidence", "seen"],
            &["merchant", "create", "Shop", "--slug", name],
            &["connector", "rotate", "--merchant", &slug, "--name", name],
            &["import", name],
            &["serve", "--check", "--config", name],
            &["migrate", "--database", name],
        ] {
            let run = cli.run(args, "");
            assert_ne!(run.code, Some(0), "{args:?}");
            // What clap itself repeats of a call was typed by whoever reads it.
            if !run.stderr.starts_with("error: ") {
                assert_said(&run, &args.join(" "));
            }
        }
        let line = json!({"amount": 1, "currency": name, "captures": [], "merchant": name,
            name.as_str(): 1});
        for line in [line.to_string(), name.clone(), format!("{{\"amount\": \"{name}\"}}")] {
            let run = cli.run(&["import", "-", "--merchant", &slug], &line);
            assert_said(&run, "import");
        }
    }
    let listed = cli.run(&["merchant", "list"], "");
    assert_said(&listed, "merchant list");
    assert_eq!(listed.stdout.lines().count(), PAYLOADS.len(), "{}", listed.stdout);
    // Programs get each text as it is, escaped as JSON.
    let listed = cli.json(&["merchant", "list"], "");
    let told: Vec<&str> = listed.iter().filter_map(|merchant| merchant["name"].as_str()).collect();
    let expected: Vec<&str> = names.iter().map(|name| name.trim()).collect();
    assert_eq!(told, expected);
}

/// A PSP that says of each refund that it is another one, with a name of its own making.
fn liar(names: Vec<String>) -> (String, mpsc::Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let (sender, asked) = mpsc::channel();
    std::thread::spawn(move || {
        for (stream, number) in listener.incoming().flatten().zip(0_usize..) {
            let mut reader = BufReader::new(stream);
            let (mut line, mut length) = (String::new(), 0);
            while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
                if let Some((name, value)) = line.split_once(':')
                    && name.eq_ignore_ascii_case("content-length")
                {
                    length = value.trim().parse().unwrap_or(0);
                }
                line.clear();
            }
            drop(reader.read_exact(&mut vec![0; length]));
            let name = &names[number % names.len()];
            let body = json!({"id": name, "object": "refund", "amount": 99, "currency": name,
                "charge": name, "status": name, "created": 1, "metadata": {"requite_refund": name},
                "failure_reason": name})
            .to_string();
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\
                 content-length: {}\r\n\r\n{body}",
                body.len()
            );
            drop(reader.into_inner().write_all(answer.as_bytes()));
            if sender.send(()).is_err() {
                return;
            }
        }
    });
    (format!("http://{address}"), asked)
}

#[test]
fn no_text_from_outside_forges_a_line_of_the_log() {
    let options =
        Options::default().env("REQUITE_LOG", "trace").env("REQUITE_SEALING_KEY", SEALING_KEY);
    let server = Server::start(options);
    let cli = server.cli().env("REQUITE_SEALING_KEY", SEALING_KEY);
    let merchant = cli.merchant("Shop");
    let native = cli.key(&merchant, "native");
    let names: Vec<String> =
        PAYLOADS.iter().map(|payload| format!("re{payload}{FORGED} {payload}")).collect();
    let (url, asked) = liar(names.clone());
    let words = ["connector", "add", "--merchant", &merchant.id, "--kind", "stripe"];
    let more = ["--name", "liar", "--base-url", &url];
    assert_eq!(cli.run(&[&words[..], &more].concat(), "sk_test_x").code, Some(0));
    let payment = json!({"amount": 100_000, "currency": "USD", "captures": [{"amount": 100_000}],
        "connector": "liar", "connector_payment": "ch_1"});
    let id = server.register(&native, &payment)["id"].as_str().expect("an id").to_owned();
    for name in &names {
        let refund = Request::post(&format!("/api/payments/{id}/refunds")).bearer(&native.token);
        let answer = server.send(&refund.json(&json!({"amount": 1, "reason": name})));
        assert!(matches!(answer.status, 201 | 400), "{}", answer.text());
        // In a path, as it may stand there, and in a header, as far as one may have it.
        let path: String = name.bytes().map(|byte| format!("%{byte:02x}")).collect();
        server.send(&Request::get(&format!("/api/payments/{path}")).bearer(&native.token));
        let header: String =
            name.chars().filter(|character| !"\r\n\0".contains(*character)).collect();
        let request = Request::get("/ready").header("user-agent", &header);
        drop(request.header("x-request-id", &header).try_send(server.addr));
    }
    assert!(asked.try_iter().count() >= PAYLOADS.len() / 2, "the PSP was asked");
    let log = server.log();
    assert!(log.contains("another refund than was asked for"), "it tells what the PSP said");
    assert!(log.contains(FORGED), "and shows how it is called");
    // A line begins with its time.
    let is_ours = |line: &str| {
        let time = line.split(' ').next().unwrap_or_default();
        time.starts_with("20") && time.contains('T') && time.ends_with('Z')
    };
    assert_ours(&log, is_ours, "log");
    let shown: Value =
        server.send(&Request::get(&format!("/api/payments/{id}")).bearer(&native.token)).json();
    assert_eq!(shown["totals"]["refunded"], 0, "{shown}");
}
