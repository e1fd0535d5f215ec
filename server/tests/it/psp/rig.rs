//! The simulated PSP, a server with an account there, and what their books must agree on.

use std::cell::RefCell;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Options, Request, Response, SEALING_KEY, Server, Shop};

/// How long something may take that must happen by itself.
const PATIENCE: Duration = Duration::from_secs(60);
/// Thirty-two bytes that seal nothing of value.
const HOOK_SECRET: &str = "whsec_simulated_account";
pub(super) const SECRET: &str = "sk_test_simulated_account";

/// A simulator. Killed on drop.
pub(crate) struct Psp {
    pub(crate) addr: SocketAddr,
    child: Child,
}

impl Psp {
    pub(crate) fn start(args: &[&str]) -> Psp {
        Psp::start_at("127.0.0.1:0", args)
    }

    pub(crate) fn start_at(listen: &str, args: &[&str]) -> Psp {
        let mut child = Command::new(env!("CARGO_BIN_EXE_requite"))
            .args(["psp", "--listen", listen])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("the binary was built with these tests");
        let stdout = BufReader::new(child.stdout.take().expect("asked for a pipe"));
        let lines = stdout.lines().map_while(Result::ok);
        let ready =
            lines.filter_map(|line| Some(line.strip_prefix("listening on http://")?.to_owned()));
        let addr = ready.into_iter().next().expect("it says that it listens");
        Psp { addr: addr.parse().expect("an address"), child }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("the child is ours to kill");
        self.child.wait().expect("a killed child can be waited for");
    }

    /// A call to its control API that must succeed.
    pub(crate) fn control(&self, method: &str, path: &str, body: &Value) -> Value {
        let answer = Request::new(method, path).json(body).send(self.addr);
        assert_eq!(answer.status, 200, "{path} {body}: {}", answer.text());
        answer.json()
    }

    /// What is to go wrong from now on.
    pub(crate) fn script(&self, rules: &Value) {
        self.control("POST", "/_psp/script", &json!({ "rules": rules }));
    }

    pub(crate) fn calm(&self) {
        self.script(&json!([]));
    }

    pub(crate) fn settings(&self, settings: &Value) {
        self.control("POST", "/_psp/settings", settings);
    }

    pub(crate) fn advance(&self, by: Duration) {
        let ms = u64::try_from(by.as_millis()).expect("not that long");
        self.control("POST", "/_psp/clock", &json!({ "advance_ms": ms }));
    }

    /// A request as somebody else's client makes it.
    pub(crate) fn form(&self, path: &str, form: &str) -> Value {
        let kind = "application/x-www-form-urlencoded";
        let request = Request::post(path).bearer(SECRET).header("Content-Type", kind).bytes(form);
        let answer = request.send(self.addr);
        assert_eq!(answer.status, 200, "{path} {form}: {}", answer.text());
        answer.json()
    }

    /// A charge of so many cents; its id.
    pub(crate) fn charge(&self, cents: u64) -> String {
        let form = format!("amount={cents}&currency=usd&source=tok_visa");
        self.form("/v1/charges", &form)["id"].as_str().expect("an id").to_owned()
    }

    pub(crate) fn books(&self) -> Value {
        self.control("GET", "/_psp/books", &Value::Null)
    }

    /// The requests of an operation about a charge.
    pub(crate) fn calls(&self, operation: &str, charge: &str) -> Vec<Value> {
        let calls = self.control("GET", "/_psp/calls", &Value::Null);
        let all = calls["calls"].as_array().expect("a list").iter();
        let of = |call: &&Value| call["operation"] == operation && call["charge"] == charge;
        all.filter(of).cloned().collect()
    }
}

impl Drop for Psp {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A payment that both sides know.
#[derive(Clone, Debug)]
pub(crate) struct Paid {
    /// As registration answered it.
    pub(crate) payment: Value,
    pub(crate) charge: String,
}

impl Paid {
    pub(crate) fn id(&self) -> &str {
        self.payment["id"].as_str().expect("a payment has an id")
    }
}

/// A PSP, a server with an account there, and a shop on it.
pub(crate) struct Rig {
    pub(crate) psp: Psp,
    pub(crate) server: Server,
    pub(crate) shop: Shop,
    pub(crate) folder: TempDir,
    paid: RefCell<Vec<Paid>>,
}

impl Rig {
    pub(crate) fn open(psp_args: &[&str]) -> Rig {
        Rig::open_with(Psp::start(psp_args), Options::default())
    }

    /// The same, with a server whose clock can be moved, by [`Rig::advance`].
    pub(crate) fn with_clock(psp_args: &[&str]) -> Rig {
        // The PSP's lists are another story, and would be read each time the clock moves.
        Rig::with_clock_and(psp_args, Options::default().env("REQUITE_PSP_SWEEP_MS", "0"))
    }

    pub(crate) fn with_clock_and(psp_args: &[&str], options: Options) -> Rig {
        let folder = tempfile::tempdir().expect("a directory for temporary files");
        let clock = folder.path().join("clock");
        let options = Options { clock: Some(clock), ..options };
        Rig { folder, ..Rig::open_with(Psp::start(psp_args), options) }
    }

    /// A call to the PSP may take 400 ms.
    pub(crate) fn open_with(psp: Psp, options: Options) -> Rig {
        Rig::open_whole(psp, options.env("REQUITE_PSP_CALL_DEADLINE_MS", "400"))
    }

    /// Nothing is set that `options` do not say.
    pub(crate) fn open_late(options: Options) -> Rig {
        Rig::open_whole(Psp::start(&[]), options)
    }

    pub(crate) fn open_whole(psp: Psp, options: Options) -> Rig {
        let folder = tempfile::tempdir().expect("a directory for temporary files");
        let options = options.env("REQUITE_SEALING_KEY", SEALING_KEY);
        let server = Server::start(options);
        let shop = Shop::open(&server.cli(), "Shop");
        let rig = Rig { psp, server, shop, folder, paid: RefCell::default() };
        rig.add_account("psp", &rig.psp.url());
        rig
    }

    /// One more server on the same database.
    pub(crate) fn another(&self, options: Options) -> Server {
        let options = options.env("REQUITE_SEALING_KEY", SEALING_KEY);
        Server::start(Options { database: Some(self.server.database.clone()), ..options })
    }

    fn key_file(&self) -> PathBuf {
        let path = self.server_folder().join("sealing-key");
        std::fs::write(&path, SEALING_KEY).expect("writable");
        path
    }

    fn server_folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    pub(crate) fn add_account(&self, name: &str, url: &str) {
        let key = self.key_file().display().to_string();
        let words = ["connector", "add", "--merchant", &self.shop.merchant.id, "--kind", "stripe"];
        let more = ["--name", name, "--base-url", url, "--sealing-key-file", &key];
        let run = self.server.cli().run(&[&words[..], &more].concat(), SECRET);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
    }

    pub(crate) fn rotate(&self, name: &str, secret: &str) {
        let key = self.key_file().display().to_string();
        let words = ["connector", "rotate", "--merchant", &self.shop.merchant.id, "--name", name];
        let run =
            self.server.cli().run(&[&words[..], &["--sealing-key-file", &key]].concat(), secret);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
    }

    /// A payment of so many cents, taken by the PSP and registered here.
    pub(crate) fn pay(&self, cents: u64) -> Paid {
        self.register(self.psp.charge(cents), cents, "psp")
    }

    pub(crate) fn register(&self, charge: String, cents: u64, connector: &str) -> Paid {
        let new = json!({"amount": cents, "currency": "USD", "captures": [{"amount": cents}],
            "connector": connector, "connector_payment": charge});
        let payment = self.server.register(&self.shop.native, &new);
        let paid = Paid { payment, charge };
        self.paid.borrow_mut().push(paid.clone());
        paid
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        let answer = self.server.send(&Request::get(path).bearer(&self.shop.native.token));
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }

    pub(crate) fn refund_request(&self, paid: &Paid, cents: u64) -> Request {
        self.shop.native.refund(&paid.payment).json(&json!({ "amount": cents }))
    }

    /// A refund through the native API, which was accepted.
    pub(crate) fn refund(&self, paid: &Paid, cents: u64) -> Value {
        let answer: Response = self.server.send(&self.refund_request(paid, cents));
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()
    }

    pub(crate) fn refunds(&self, paid: &Paid) -> Vec<Value> {
        self.refunds_of(&paid.payment)
    }

    pub(crate) fn refunds_of(&self, payment: &Value) -> Vec<Value> {
        let id = payment["id"].as_str().expect("a payment has an id");
        let payment = self.get(&format!("/api/payments/{id}"));
        payment["refunds"].as_array().expect("a list").clone()
    }

    /// The refund once it has `status`.
    pub(crate) fn becomes(&self, refund: &Value, status: &str) -> Value {
        let path = format!("/api/refunds/{}", refund["id"].as_str().expect("an id"));
        self.until(|| {
            let now = self.get(&path);
            if now["status"] == status { Ok(now) } else { Err(format!("{status} expected: {now}")) }
        })
    }

    /// Tries until it is as it must be, within bounds.
    pub(crate) fn until<T>(&self, check: impl Fn() -> Result<T, String>) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            match check() {
                Ok(value) => return value,
                Err(text) => assert!(Instant::now() < end, "{text}"),
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Moves the clocks of the server and of the PSP.
    pub(crate) fn advance(&self, to: Duration, by: Duration) {
        self.psp.advance(by);
        self.set_clock(to);
    }

    /// Sets the server's clock ahead of the machine's.
    pub(crate) fn set_clock(&self, ahead: Duration) {
        self.server.set_clock(ahead);
    }

    /// The same of a server with a file of its own, also backwards: seconds with a sign.
    pub(crate) fn set_clock_to(&self, ahead: &str) {
        let clock = self.folder.path().join("clock");
        let next = self.folder.path().join("clock.next");
        std::fs::write(&next, ahead).expect("writable");
        std::fs::rename(&next, &clock).expect("one folder");
    }

    /// Waits until no refund is open.
    pub(crate) fn settled(&self) {
        for paid in self.paid.borrow().iter() {
            self.until(|| {
                let refunds = self.refunds(paid);
                match refunds.iter().find(|refund| !refund["next_action_at"].is_null()) {
                    None => Ok(()),
                    Some(open) => Err(format!("it stays open: {open}")),
                }
            });
        }
    }

    /// The same for a server whose clock can be moved, from so many hours on: the longest distance between
    /// two looks at a time.
    pub(crate) fn settled_by_and_by(&self, from_hour: u64) {
        let all =
            || self.paid.borrow().iter().flat_map(|paid| self.refunds(paid)).collect::<Vec<_>>();
        let mut open = Vec::new();
        for turn in 0..24 {
            self.set_clock(Duration::from_secs(3_600 * (from_hour + 7 * turn)));
            for _ in 0..20 {
                open = all();
                open.retain(|refund| !refund["next_action_at"].is_null());
                if open.is_empty() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        }
        panic!("{} stay open: {:?}", open.len(), open.first());
    }

    /// Lets the PSP tell this server what happens; where its webhooks go.
    pub(crate) fn hook(&self) -> String {
        let key = self.key_file().display().to_string();
        let words = ["connector", "hook", "--merchant", &self.shop.merchant.id, "--name", "psp"];
        let words = [&words[..], &["--sealing-key-file", &key]].concat();
        let told = self.server.cli().json(&words, HOOK_SECRET);
        let path = told[0]["hook_path"].as_str().expect("a path");
        let url = format!("{}{path}", self.server.base_url);
        let hook = json!({"url": url, "secret": HOOK_SECRET});
        self.psp.control("POST", "/_psp/webhooks", &hook);
        url
    }

    /// R2: refund by refund, the PSP has paid what we say that it paid, once; and our own books are in order.
    pub(crate) fn agree(&self) {
        let books = self.psp.books();
        assert_eq!((&books["doubled"], &books["overpaid"]), (&json!([]), &json!([])));
        let theirs = books["refunds"].as_array().expect("a list");
        let counts = |refund: &&Value| {
            matches!(refund["status"].as_str(), Some("succeeded" | "pending" | "requires_action"))
        };
        for paid in self.paid.borrow().iter() {
            let ours = self.refunds(paid);
            let known = theirs.iter().filter(|refund| refund["charge"] == paid.charge.as_str());
            let mut counted = 0;
            for refund in &ours {
                // By our mark, or for refunds made elsewhere by the PSP's own id.
                let of = |their: &&&Value| match refund["face"] == "external" {
                    true => their["id"] == refund["psp_refund_id"],
                    false => their["metadata"]["requite_refund"] == refund["id"],
                };
                let found: Vec<&Value> =
                    known.clone().filter(counts).filter(|their| of(&their)).collect();
                let is_paid = refund["status"] == "succeeded";
                assert_eq!(found.len(), usize::from(is_paid), "{refund} is {found:?} at the PSP");
                for their in found {
                    assert_eq!(their["amount"], refund["amount"]);
                    assert_eq!(their["status"], refund["status"]);
                    counted += 1;
                }
            }
            assert_eq!(
                known.filter(counts).count(),
                counted,
                "the PSP paid what we know nothing of"
            );
        }
        let run = self.server.cli().run(&["verify"], "");
        assert_eq!(run.code, Some(0), "{run:?}");
    }

    /// Calls that asked the PSP for money of a charge, and how many keys they had.
    pub(crate) fn sends(&self, paid: &Paid) -> (usize, usize) {
        let calls = self.psp.calls("refund.create", &paid.charge);
        let mut keys: Vec<String> = calls.iter().map(|call| call["key"].to_string()).collect();
        keys.sort();
        keys.dedup();
        (calls.len(), keys.len())
    }

    /// Calls of every kind about a charge.
    pub(crate) fn calls(&self, paid: &Paid) -> usize {
        let of = |operation| self.psp.calls(operation, &paid.charge).len();
        of("refund.create") + of("refund.list") + of("refund.retrieve")
    }
}
