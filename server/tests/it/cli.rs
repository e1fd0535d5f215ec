//! The command line, run as people and scripts run it: what it prints, what it makes, and with which
//! code it ends.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::support::{
    Cli, Gr4vyClaims, Options, Request, Server, public_key_pem, sign_gr4vy_token, until,
};

/// A second, and what a slow machine adds.
const KNOWN_WITHIN: Duration = Duration::from_secs(5);

/// A command line on a store of its own, which goes away with the second value.
fn fresh() -> (Cli, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a directory for temporary files");
    (Cli::new(&requite_cluster::new_store(folder.path())), folder)
}

#[test]
fn merchants_have_an_id_a_slug_of_their_own_and_are_listed() {
    let (cli, _folder) = fresh();
    let first = cli.merchant("Möbel & Söhne");
    let second = cli.merchant("Möbel & Söhne");
    assert_eq!((first.slug.as_str(), second.slug.as_str()), ("m-bel-s-hne", "m-bel-s-hne-2"));
    let given = cli.json(&["merchant", "create", "Third", "--slug", "Shop-3"], "");
    assert_eq!(given[0]["slug"], "Shop-3");
    let taken = cli.run(&["merchant", "create", "Fourth", "--slug", "Shop-3"], "");
    assert_eq!(taken.code, Some(1));
    assert!(taken.stderr.contains("Shop-3"), "{}", taken.stderr);
    let listed = cli.json(&["merchant", "list"], "");
    let slugs: Vec<&Value> = listed.iter().map(|merchant| &merchant["slug"]).collect();
    assert_eq!(slugs, ["m-bel-s-hne", "m-bel-s-hne-2", "Shop-3"]);
    assert_eq!(listed[0]["id"], json!(first.id));
}

#[test]
fn a_key_of_each_face_opens_its_face_and_no_other() {
    let server = Server::start(Options::default());
    let cli = server.cli();
    let merchant = cli.merchant("Shop");
    let keys =
        ["medusa-v1", "medusa-v2", "mpg", "loop", "native"].map(|face| cli.key(&merchant, face));
    let [v1, v2, mpg, loop_payments, native] = &keys;
    let pem = cli.key(&merchant, "gr4vy").private_key_pem.expect("a private key");
    let payment = json!({"amount": 1000, "currency": "EUR", "captures": [{"amount": 1000}]});
    let ids = server.register(native, &payment)["ids"].clone();
    let id = |name: &str| ids[name].as_str().expect("an id").to_owned();
    let (pay, uuid) = (id("medusa"), id("uuid"));
    let gr4vy = sign_gr4vy_token(&pem, &Gr4vyClaims::default());
    let get = |path: String| Request::get(&path);
    for (request, what) in [
        (get(format!("/medusa/v1/admin/payments/{pay}")).api_token(&v1.token), "Medusa v1"),
        (get(format!("/medusa/v2/admin/payments/{pay}")).basic(&v2.token), "Medusa v2"),
        (get(format!("/mpg/v1/orders/{uuid}")).bearer(&mpg.token), "Moyasar"),
        (get(format!("/gr4vy/transactions/{uuid}")).bearer(&gr4vy), "Gr4vy"),
        (get(format!("/loop/v1/payments/{pay}")).bearer(&loop_payments.token), "Loop"),
        (get(format!("/api/payments/{uuid}")).bearer(&native.token), "native"),
        (get(format!("/admin/payments/{pay}")).api_token(&v1.token), "Medusa v1 at the root"),
        (get(format!("/admin/payments/{pay}")).basic(&v2.token), "Medusa v2 at the root"),
        (get(format!("/v1/orders/{uuid}")).bearer(&mpg.token), "Moyasar at the root"),
        (get(format!("/transactions/{uuid}")).bearer(&gr4vy), "Gr4vy at the root"),
        (get(format!("/v1/payments/{pay}")).bearer(&loop_payments.token), "Loop at the root"),
    ] {
        let answer = server.send(&request);
        assert_eq!(answer.status, 200, "{what}: {}", answer.text());
    }
    for key in &keys[..4] {
        let request = Request::get(&format!("/api/payments/{uuid}")).bearer(&key.token);
        assert_eq!(server.send(&request).status, 401, "another face's key");
    }
}

#[test]
fn a_key_with_scopes_may_do_those_things_only() {
    let server = Server::start(Options::default());
    let cli = server.cli();
    let merchant = cli.merchant("Shop");
    let reader = cli.key_with(&merchant, "native", &["--scope", "payments.read"]);
    let list = Request::get("/api/payments").bearer(&reader.token);
    assert_eq!(server.send(&list).status, 200);
    let refunds = server.send(&Request::get("/api/refunds").bearer(&reader.token));
    assert_eq!((refunds.status, &refunds.json()["error"]["scope"]), (403, &json!("refunds.read")));
    for (options, problem) in [
        (["--face", "native", "--scope", "orders_read"], "native has refunds.create"),
        (["--face", "gr4vy", "--scope", "transactions.read"], "in each token"),
        (["--face", "mpg", "--public-key", "/dev/null"], "only gr4vy has"),
    ] {
        let args: Vec<&str> =
            ["key", "create", "--merchant", &merchant.slug].into_iter().chain(options).collect();
        let run = cli.run(&args, "");
        assert_eq!(run.code, Some(2), "{options:?}: {run:?}");
        assert!(run.stderr.contains(problem), "{}", run.stderr);
    }
    let nobody = cli.run(&["key", "create", "--merchant", "nobody", "--face", "mpg"], "");
    assert_eq!((nobody.code, nobody.stdout.as_str()), (Some(1), ""));
}

#[test]
fn a_gr4vy_client_may_bring_the_public_half_of_its_own_key() {
    let server = Server::start(Options::default());
    let cli = server.cli();
    let [one, other, third] = ["One", "Other", "Third"].map(|name| cli.merchant(name));
    let folder = tempfile::tempdir().expect("a directory");
    let (private, public) = key_pair();
    let path = folder.path().join("key.pem").display().to_string();
    let bring = |merchant: &str| {
        cli.run(
            &["key", "create", "--merchant", merchant, "--face", "gr4vy", "--public-key", &path],
            "",
        )
    };
    std::fs::write(&path, &private).expect("a file");
    let refused = bring(&one.id);
    assert!(refused.code == Some(1) && refused.stderr.contains("private key"), "{refused:?}");
    let secret = private.lines().nth(1).expect("a line of the key");
    assert!(!refused.stderr.contains(secret), "nothing of the key is repeated");

    std::fs::write(&path, &public).expect("a file");
    let brought = bring(&one.id);
    assert!(brought.code == Some(0) && !brought.stdout.contains("PRIVATE"), "{brought:?}");
    let token = sign_gr4vy_token(&private, &Gr4vyClaims::default());
    let unknown = "/gr4vy/transactions/0191f5a7-44d3-7430-8739-2d80821416bf";
    assert_eq!(server.send(&Request::get(unknown).bearer(&token)).status, 404);
    assert_eq!(bring(&one.id).code, Some(1), "it is there already");

    // Registered with another merchant as well, it needs to be told which of them is meant.
    assert_eq!(bring(&other.id).code, Some(0));
    let unnamed = Request::get("/gr4vy/transactions").bearer(&token);
    // What another process registers counts within a second.
    until("its second merchant counts", KNOWN_WITHIN, || server.send(&unnamed).status == 400);
    for (account, status) in
        [(None, 400), (Some(&one.slug), 200), (Some(&other.slug), 200), (Some(&third.slug), 404)]
    {
        let mut request = unnamed.clone();
        if let Some(account) = account {
            request = request.header("x-gr4vy-merchant-account-id", account);
        }
        let answer = server.send(&request);
        assert_eq!(answer.status, status, "{account:?}: {}", answer.text());
    }
}

/// A fresh P-521 pair: both halves in PEM.
fn key_pair() -> (String, String) {
    use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
    use aws_lc_rs::signature::{ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
    let pair = EcdsaKeyPair::generate(&ECDSA_P521_SHA512_FIXED_SIGNING).expect("a key pair");
    let private = pair.to_pkcs8v1().expect("a private key");
    let public: PublicKeyX509Der<'_> = pair.public_key().as_der().expect("a public key");
    let private = data_encoding::BASE64.encode(private.as_ref());
    let private = format!("-----BEGIN PRIVATE KEY-----\n{private}\n-----END PRIVATE KEY-----\n");
    (private, public_key_pem(public.as_ref()))
}

#[test]
fn a_person_can_log_in_with_the_password_from_standard_input() {
    let server = Server::start(Options::default());
    let cli = server.cli();
    let merchant = cli.merchant("Shop");
    let create = ["user", "create", "--merchant", &merchant.slug, "--email", "ann@example.com"];
    let made = cli.json(&create, "a long enough password\n");
    assert_eq!(made[0]["email"], "ann@example.com");
    for (password, status) in [("a long enough password", 200), ("another password", 401)] {
        let body = json!({"email": "ann@example.com", "password": password});
        let login = Request::post("/admin/auth/token").json(&body);
        assert_eq!(server.send(&login).status, status, "{password}");
    }
    for (args, input, code) in [
        (create, "a long enough password\n", 1),
        (
            ["user", "create", "--merchant", &merchant.slug, "--email", "bob@example.com"],
            "short\n",
            1,
        ),
        (["user", "create", "--merchant", &merchant.slug, "--email", "bob@example.com"], "", 1),
        (["user", "create", "--merchant", &merchant.slug, "--email", "bob"], "long enough\n", 2),
    ] {
        let run = cli.run(&args, input);
        assert_eq!(run.code, Some(code), "{run:?}");
        assert!(!run.stderr.contains(input.trim()) || input.is_empty(), "{}", run.stderr);
    }
}

#[test]
fn an_import_registers_good_lines_lists_bad_ones_and_may_be_run_again() {
    let server = Server::start(Options::default());
    let cli = server.cli();
    let merchant = cli.merchant("Shop");
    let native = cli.key(&merchant, "native");
    let lines = [
        r#"{"amount":1000,"currency":"EUR","captures":[{"amount":1000}],"external_identifier":"order-1"}"#,
        "",
        r#"{"amount":1000,"currency":"EUR"}"#,
        r#"{"amount":1000,"currency":"EUR"}"#,
        r#"{"amount":1000,"currency":"EUR","captures":[{"amount":1001}]}"#,
        "not json",
        r#"{"amount":999,"currency":"EUR","external_identifier":"order-1"}"#,
        r#"{"amount":1,"currency":"EUR","id":"pay_01J7TTEH6KEGR8EE9DG21185NZ","sandbox":["lost"],"connector":"sandbox"}"#,
    ];
    let file = lines.join("\n");
    let import = ["import", "-", "--merchant", &merchant.slug, "--json"];
    let mut before: Vec<Value> = Vec::new();
    for (round, is_new) in [("first", true), ("second", false)] {
        let run = cli.run(&import, &file);
        assert_eq!(run.code, Some(1), "{round}: {run:?}");
        let told: Vec<Value> =
            run.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let places: Vec<&Value> = told.iter().map(|line| &line["line"]).collect();
        assert_eq!(places, [1, 3, 4, 8], "{round}");
        assert!(told.iter().all(|line| line["is_new"] == json!(is_new)), "{round}: {told:?}");
        assert_eq!(told[3]["ids"]["medusa"], "pay_01J7TTEH6KEGR8EE9DG21185NZ");
        for complaint in [
            "line 5: /captures",
            "line 6: is not JSON",
            "line 7: the payment",
            "3 lines were refused",
        ] {
            assert!(run.stderr.contains(complaint), "{round}: {}", run.stderr);
        }
        let ids: Vec<Value> = told.iter().map(|line| line["id"].clone()).collect();
        assert!(before.is_empty() || before == ids, "a second run finds the same payments");
        before = ids;
    }
    let listed = server.send(&Request::get("/api/payments").bearer(&native.token)).json();
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(4));
}

#[test]
fn an_import_takes_csv_and_lines_that_name_their_merchant() {
    let (cli, folder) = fresh();
    let (one, other) = (cli.merchant("One"), cli.merchant("Other"));
    let csv = format!(
        "amount,currency,captured,external_identifier,merchant,description\n\
         1000,EUR,600,a,{},\"Two shirts, \"\"blue\"\"\"\n\
         500,JPY,,b,{},\n\
         500,JPY,0,c,nobody,\n\
         5.00,EUR,,d,{},\n",
        one.slug, other.id, one.id,
    );
    let path = folder.path().join("payments.csv");
    std::fs::write(&path, csv).expect("a file");
    let path = path.display().to_string();
    let run = cli.run(&["import", &path], "");
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(
        run.stdout.contains("2 payments registered, 0 were there already, 2 lines refused"),
        "{}",
        run.stdout
    );
    for complaint in ["line 4: /merchant", "line 5: /amount"] {
        assert!(run.stderr.contains(complaint), "{}", run.stderr);
    }
    std::fs::write(&path, "amount,curency\n1,EUR\n").expect("a file");
    let run = cli.run(&["import", &path, "--merchant", &one.slug], "");
    assert!(run.code == Some(1) && run.stderr.contains("\"curency\" is not known"), "{run:?}");
}

#[test]
fn the_schema_is_brought_up_to_date_and_spread_only_where_it_can_be() {
    let (cli, _folder) = fresh();
    for _ in 0..2 {
        assert_eq!(cli.json(&["migrate"], ""), [json!({ "migrated": true })]);
    }
    let refused = cli.run(&["migrate", "--distribute"], "");
    let (code, advice) = if requite_cluster::is_postgres() {
        (1, "create extension citus")
    } else {
        (2, "only a PostgreSQL database")
    };
    assert_eq!(refused.code, Some(code), "{}", refused.stderr);
    assert!(refused.stderr.contains(advice), "{}", refused.stderr);
}

#[test]
fn verify_holds_the_books_against_their_history() {
    let mut server = Server::start(Options::default());
    let cli = server.cli();
    let merchant = cli.merchant("Shop");
    let native = cli.key(&merchant, "native");
    let payment = json!({"amount": 1000, "currency": "EUR", "captures": [{"amount": 1000}]});
    let id = server.register(&native, &payment)["id"].as_str().expect("an id").to_owned();
    let refund = Request::post(&format!("/api/payments/{id}/refunds")).bearer(&native.token);
    assert_eq!(server.send(&refund.json(&json!({"amount": 400}))).status, 201);
    let fine = cli.run(&["verify"], "");
    assert_eq!(fine.code, Some(0), "{fine:?}");
    assert!(fine.stdout.contains("1 payments, 1 refunds"), "{}", fine.stdout);

    server.kill9();
    server.change_store("update refund set capture_minor = 399");
    let broken = cli.run(&["verify", "--json"], "");
    assert_eq!(broken.code, Some(1), "{broken:?}");
    let first: Value =
        serde_json::from_str(broken.stdout.lines().next().expect("a line")).expect("JSON");
    assert_eq!(first["payment"], json!(id));
    assert!(first["invariant"].as_str().is_some_and(|name| name.starts_with('I')), "{first}");
}

#[test]
fn verify_needs_a_store() {
    for (database, code, why) in [
        ("sqlite:/nowhere/requite.db", 66, "no store at /nowhere/requite.db"),
        ("postgres://shop:hunter2@127.0.0.1:1/requite", 1, "error connecting to server"),
    ] {
        let run = Cli::new(database).run(&["verify"], "");
        assert_eq!(run.code, Some(code), "{run:?}");
        assert!(run.stderr.contains(why) && !run.stderr.contains("hunter2"), "{}", run.stderr);
    }
}

#[test]
fn each_kind_of_mistake_has_its_exit_code() {
    let (cli, folder) = fresh();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path.display().to_string()
    };
    let misspelt = file("misspelt.toml", "lisen = \"127.0.0.1:0\"");
    let wrong = file("wrong.toml", "[limits]\nconnections_max = 0");
    let broken = file("broken.toml", "listen = ");
    // A database is there before the program is; a file is not.
    let missing =
        if requite_cluster::is_postgres() { (1, "cannot read") } else { (66, "no store") };
    for (args, code, said) in [
        (vec!["serve", "--config", &misspelt], 78, "lisen"),
        (vec!["serve", "--config", &wrong], 78, "limits.connections_max"),
        (vec!["serve", "--config", &broken], 78, "broken.toml"),
        (vec!["serve", "--config", "/nowhere.toml"], 78, "/nowhere.toml"),
        (vec!["serve", "--check", "--config", &misspelt], 78, "lisen"),
        (vec!["serve", "--listen", "here"], 2, "--listen"),
        (vec!["serve", "--lisen", "here"], 2, "--lisen"),
        (vec!["fly"], 2, "fly"),
        (vec!["merchant", "create", ""], 2, "the name"),
        (vec!["merchant", "create", "A", "--slug", "a b"], 2, "--slug"),
        (vec!["import", "/nowhere.jsonl"], missing.0, missing.1),
    ] {
        let run = cli.run(&args, "");
        assert_eq!(run.code, Some(code), "{args:?}: {run:?}");
        assert!(run.stderr.contains(said), "{args:?}: {}", run.stderr);
        assert_eq!(run.stdout, "", "{args:?}");
    }
    assert_eq!(cli.run(&["serve", "--check"], "").code, Some(0));
    for args in [vec!["--help"], vec!["serve", "--help"], vec!["--version"]] {
        let run = cli.run(&args, "");
        assert!(run.code == Some(0) && !run.stdout.is_empty(), "{args:?}: {run:?}");
    }
}

#[test]
fn what_was_answered_is_there_after_a_restart_and_one_store_has_one_server() {
    let mut server = Server::start(Options::default());
    let merchant = server.cli().merchant("Shop");
    let native = server.cli().key(&merchant, "native");
    let payment = json!({"amount": 1000, "currency": "EUR", "captures": [{"amount": 1000}]});
    let id = server.register(&native, &payment)["id"].as_str().expect("an id").to_owned();
    let refund = Request::post(&format!("/api/payments/{id}/refunds")).bearer(&native.token);
    let made = server.send(&refund.json(&json!({"amount": 400}))).json();
    // Of one PostgreSQL there may be several.
    if !requite_cluster::is_postgres() {
        let second = server.cli().run(&["serve", "--listen", "127.0.0.1:0"], "");
        assert!(second.code == Some(1) && second.stderr.contains("one server"), "{second:?}");
    }
    server.restart();
    let path = format!("/api/refunds/{}", made["id"].as_str().expect("an id"));
    let found = server.send(&Request::get(&path).bearer(&native.token));
    assert_eq!(found.json(), made);
    assert!(!server.log().contains(&native.token), "no secret is logged");
}

/// A running demonstration. Ended on drop.
struct Demo {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Demo {
    fn start(args: &[&str]) -> Demo {
        let mut child = Command::new(env!("CARGO_BIN_EXE_requite"))
            .args(["demo", "--listen", "127.0.0.1:0"])
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary was built with these tests");
        let stdout = BufReader::new(child.stdout.take().expect("asked for a pipe"));
        Demo { child, stdout }
    }

    /// The lines up to the one that begins with `last`.
    fn lines_until(&mut self, last: &str) -> Vec<String> {
        let mut lines = Vec::new();
        for line in self.stdout.by_ref().lines() {
            let line = line.expect("text");
            let is_last = line.starts_with(last);
            lines.push(line);
            if is_last {
                return lines;
            }
        }
        panic!("the demonstration ended after {lines:?}");
    }

    fn interrupt(&mut self) -> Option<i32> {
        let kill = format!("kill -INT {}", self.child.id());
        assert!(sh(&kill).0, "the process was gone");
        self.child.wait().expect("a child of ours can be waited for").code()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn sh(line: &str) -> (bool, String) {
    let output = Command::new("sh").args(["-c", line]).output().expect("a shell");
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn each_line_that_the_demonstration_prints_can_be_pasted_into_a_shell() {
    let mut demo = Demo::start(&[]);
    let lines = demo.lines_until("Ctrl-C");
    assert!(lines[0].starts_with("listening on http://127.0.0.1:"), "{}", lines[0]);
    let pasted: Vec<&String> = lines.iter().filter(|line| line.starts_with("curl ")).collect();
    assert_eq!(pasted.len(), 6, "five refunds and a list: {lines:?}");
    for (line, expected) in pasted.into_iter().zip([
        "\"refund\":{\"id\":\"ref_",
        "\"refunded_amount\":59.9",
        "\"refunded_amount\":100000",
        "\"status\":\"succeeded\"",
        "\"amount_cents\":1200",
        "\"next_cursor\":null",
    ]) {
        let (is_fine, answer) = sh(line);
        assert!(is_fine && answer.contains(expected), "{line}\n{answer}");
    }
    let verify = lines.iter().find(|line| line.contains(" verify --database ")).expect("a line");
    let (is_fine, said) = sh(verify);
    assert!(is_fine && said.contains("5 payments, 5 refunds"), "{verify}\n{said}");
    let store = verify.rsplit("sqlite:").next().expect("a path").to_owned();
    assert!(std::path::Path::new(&store).exists());
    assert_eq!(demo.interrupt(), Some(0));
    assert!(!std::path::Path::new(&store).exists(), "the store goes away");
}

#[test]
fn the_demonstration_tells_programs_the_same() {
    let mut demo = Demo::start(&["--json"]);
    let lines = demo.lines_until("{\"curl\":\"curl -sS 'http");
    let values: Vec<Value> =
        lines.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(values[0]["listening"].is_string(), "{}", values[0]);
    assert!(values[1]["database"].is_string(), "{}", values[1]);
    let faces: Vec<&str> = values[2..].iter().filter_map(|value| value["face"].as_str()).collect();
    assert_eq!(faces.first(), Some(&"medusa-v1"));
}
