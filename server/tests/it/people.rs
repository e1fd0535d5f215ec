//! What people have to see to, at the command line of the real program.

use serde_json::json;

use super::support::{Options, Request, Server};

#[test]
fn a_refund_is_resolved_at_the_command_line_while_the_server_runs() {
    let server = Server::start(Options::default());
    let cli = server.cli();
    let merchant = cli.merchant("Shop");
    let native = cli.key(&merchant, "native");
    let payment = json!({"amount": 10_000, "currency": "EUR", "captures": [{"amount": 10_000}],
        "connector": "sandbox", "sandbox": ["pending", "pending"]});
    let payment = server.register(&native, &payment)["id"].as_str().expect("an id").to_owned();
    let refund = |amount: i64| {
        let post = Request::post(&format!("/api/payments/{payment}/refunds"));
        let made = server.send(&post.bearer(&native.token).json(&json!({"amount": amount})));
        assert_eq!(made.json()["status"], "pending", "{}", made.text());
        made.json()["id"].as_str().expect("an id").to_owned()
    };
    let (first, second) = (refund(4_000), refund(6_000));
    let waiting = cli.run(&["refund", "list", "--open"], "");
    assert_eq!((waiting.code, waiting.stdout.trim()), (Some(0), "no refund waits for people"));

    let evidence = ["--evidence", "line 7 of the bank's statement"];
    let resolve = |id: &str, outcome: &str, more: &[&str]| {
        let words = ["refund", "resolve", id, "--outcome", outcome];
        cli.run(&[&words[..], more].concat(), "")
    };
    for (id, outcome, more, code, told) in [
        (first.as_str(), "unknown", &evidence[..], 2, "possible values"),
        (&first, "failed", &[], 2, "--evidence"),
        (&first, "failed", &["--evidence", " "], 2, "what you saw"),
        ("nobody", "failed", &evidence, 1, "no refund's id"),
        ("0191f5a7-44d3-7430-8739-2d80821416bf", "failed", &evidence, 1, "there is no refund"),
    ] {
        let run = resolve(id, outcome, more);
        assert_eq!(run.code, Some(code), "{id} {outcome}: {}", run.stderr);
        assert!(run.stderr.contains(told), "{id} {outcome}: {}", run.stderr);
    }
    let failed = resolve(&first, "failed", &evidence);
    assert_eq!(failed.code, Some(0), "{}", failed.stderr);
    let paid = resolve(&second, "succeeded", &[&evidence[..], &["--psp-refund", "re_9"]].concat());
    assert_eq!(paid.code, Some(1), "the sandbox called it otherwise: {}", paid.stdout);
    assert!(paid.stderr.contains("another one"), "{}", paid.stderr);
    assert_eq!(resolve(&second, "succeeded", &evidence).code, Some(0));
    let contrary = resolve(&second, "failed", &evidence);
    assert!(contrary.stderr.contains("the refund is succeeded"), "{}", contrary.stderr);

    let get = Request::get(&format!("/api/payments/{payment}")).bearer(&native.token);
    let shown = server.send(&get).json();
    let totals = &shown["totals"];
    assert_eq!((&totals["refunded"], &totals["reserved"]), (&json!(6_000), &json!(0)), "{shown}");
    let get = Request::get(&format!("/api/payments/{payment}/events")).bearer(&native.token);
    let events = server.send(&get).text();
    assert!(events.contains("line 7 of the bank's statement"), "{events}");
    assert_eq!(cli.run(&["verify"], "").code, Some(0));
}

#[test]
fn a_refund_is_cancelled_at_the_command_line_while_the_server_runs() {
    let server = Server::start(Options::default());
    let cli = server.cli();
    let merchant = cli.merchant("Shop");
    let native = cli.key(&merchant, "native");
    let payment = json!({"amount": 10_000, "currency": "EUR", "captures": [{"amount": 10_000}],
        "connector": "sandbox", "sandbox": ["action", "pending"]});
    let payment = server.register(&native, &payment)["id"].as_str().expect("an id").to_owned();
    let refund = |amount: i64| {
        let post = Request::post(&format!("/api/payments/{payment}/refunds"));
        let made = server.send(&post.bearer(&native.token).json(&json!({"amount": amount})));
        made.json()["id"].as_str().expect("an id").to_owned()
    };
    let (waits, pending) = (refund(4_000), refund(1_000));
    let cancel = |id: &str| cli.run(&["refund", "cancel", id], "");
    let done = cancel(&waits);
    assert_eq!((done.code, done.stdout.trim()), (Some(0), format!("{waits} is voided").as_str()));
    assert_eq!(cancel(&waits).code, Some(0), "it is cancelled already");
    for (id, told) in [
        (
            pending.as_str(),
            "the refund is pending; its PSP cancels only one that is requires_action",
        ),
        ("nobody", "no refund's id"),
    ] {
        let run = cancel(id);
        assert_eq!(run.code, Some(1), "{id}: {}", run.stdout);
        assert!(run.stderr.contains(told), "{id}: {}", run.stderr);
    }
    let get = Request::get(&format!("/api/payments/{payment}")).bearer(&native.token);
    let totals = server.send(&get).json()["totals"].clone();
    assert_eq!((&totals["refunded"], &totals["reserved"]), (&json!(0), &json!(1_000)), "{totals}");
    let get = Request::get(&format!("/api/payments/{payment}/events")).bearer(&native.token);
    let events = server.send(&get).text();
    assert!(events.contains("cancel_asked") && events.contains("cli"), "{events}");
    assert_eq!(cli.run(&["verify"], "").code, Some(0));
}
