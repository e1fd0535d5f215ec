//! Replays scenarios (Moyasar MPG, Loop payments): a state to prepare, then steps that send, wait,
//! restart, or look at what is there. One scenario is one line of its file; each gets a merchant of
//! its own, so that none sees another's money or numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::demand::refund_headers;
use super::expect::{self, Names};
use super::recording::{Recording, members, mounted, text};
use super::scenario_seed::{self as seed, Ground};
use super::shop::Shop;
use super::tally::{Outcome, Tally, guarded};
use super::tree::Tree;
use crate::support::stripe;
use crate::support::{Options, Request, Response, SEALING_KEY};

/// How long an event at the PSP may take to show.
const EVENT_WAIT_MAX: Duration = Duration::from_secs(20);

pub(super) fn replay(recording: &Recording) -> Tally {
    let mut tally = Tally::new(recording.face);
    // Most scenarios share a server; those that set its clock or its patience have their own.
    let mut shared = Shop::open();
    for line in &recording.lines {
        let name = text(line, "/id");
        if line.pointer("/given/charge/payment").is_some_and(Value::is_null) {
            tally.add(name, guarded(|| charge_alone(&shared)));
            continue;
        }
        let mut own = own_options(line).map(Shop::open_with);
        let shop = own.as_mut().unwrap_or(&mut shared);
        let mut rest = None;
        tally.add(name, guarded(|| scenario(shop, recording.face, line, &mut rest)));
        if let Some((step, reason)) = rest.filter(|(step, _)| *step > 1) {
            let name = format!("{name} from step {step}");
            tally.add(&name, Outcome::NotYet(reason.to_owned()));
        }
    }
    tally
}

/// A server of its own where the scenario sets the clock, restarts, lets a hanging call go, or is
/// about the one merchant that an order shows.
fn own_options(line: &Value) -> Option<Options> {
    let clock = text(line, "/given/clock");
    let steps = line["steps"].as_array().into_iter().flatten();
    let release =
        steps.clone().find_map(|step| step.get("release_after_ms").and_then(Value::as_u64));
    let restarts = steps.clone().any(|step| step.get("restart").is_some());
    let literal = line.pointer("/given/order_literal").is_some();
    let asks_psp = seed::asks_psp(line);
    if clock.is_empty() && release.is_none() && !restarts && !literal && !asks_psp {
        return None;
    }
    let mut options = Options::default();
    if asks_psp {
        options = options.env("REQUITE_SEALING_KEY", SEALING_KEY);
    }
    if !clock.is_empty() {
        options.frozen_at = Some(clock.replace('T', " ").replace('Z', ""));
    }
    if let Some(release) = release {
        let deadline = release.saturating_add(3000).to_string();
        options = options.env("REQUITE_PSP_CALL_DEADLINE_MS", &deadline);
    }
    Some(options)
}

/// A charge is its payment here, so one without a payment is an unknown charge (decision B27): 404 all
/// the same, with the other word.
fn charge_alone(shop: &Shop) -> Outcome {
    let owner = shop.owner("A charge alone");
    let token = shop.server.cli().key(&owner.merchant, "loop").token;
    let body = json!({"charge_id": "ch_01J7TTEH6KEGR8EE9DG21185NZ", "full": true});
    let request = Request::post(&mounted("loop-payments", "/v1/admin/refunds")).bearer(&token);
    let answer = shop.server.send(&request.json(&body));
    let error = serde_json::from_slice::<Value>(&answer.body).unwrap_or_default();
    let is_told = answer.status == 404 && text(&error, "/error") == "charge_not_found";
    let problem = format!("wanted 404 charge_not_found: {} {}", answer.status, answer.text());
    let problems = (!is_told).then_some(problem).into_iter().collect();
    Outcome::Run { decisions: BTreeSet::from(["B27"]), problems }
}

/// Why the steps from here on do not run yet.
fn not_yet_from(step: &Value) -> Option<&'static str> {
    if step.get("events").is_some() {
        return Some("outgoing events: webhooks");
    }
    let path = text(step, "/request/path");
    let later = ["/capture", "/void", "/extend", "/authorize", "/purchase", "/verify"];
    if later.iter().any(|end| path.ends_with(end)) {
        return Some("captures and voids through this face");
    }
    path.contains("/webhooks").then_some("webhooks")
}

struct Run<'a> {
    face: &'a str,
    /// The order was given as the original showed it.
    literal: bool,
    shop: &'a mut Shop,
    ground: Ground,
    names: Names,
    pending: Vec<JoinHandle<Result<Response, String>>>,
    saved: BTreeMap<String, Response>,
    /// The order's view before the first step, for `compare_with_before`.
    before: Option<Tree>,
    last: Option<Tree>,
    problems: Vec<String>,
}

/// Runs a scenario's steps, up to the first that does not run yet: `rest` is its number and why.
fn scenario(
    shop: &mut Shop,
    face: &str,
    line: &Value,
    rest: &mut Option<(usize, &'static str)>,
) -> Outcome {
    let ground = match seed::prepare(shop, face, line) {
        Ok(ground) => ground,
        Err(problem) => return Outcome::failed(problem),
    };
    let names = Names::new(&ground.vars);
    let mut run = Run {
        face,
        literal: line.pointer("/given/order_literal").is_some(),
        shop,
        ground,
        names,
        pending: Vec::new(),
        saved: BTreeMap::new(),
        before: None,
        last: None,
        problems: Vec::new(),
    };
    let steps = line["steps"].as_array().cloned().unwrap_or_default();
    if steps.iter().any(|step| step.get("compare_with_before").is_some()) {
        run.before = run.view();
    }
    for (i, step) in steps.iter().enumerate() {
        let number = i.saturating_add(1);
        if let Some(reason) = not_yet_from(step) {
            *rest = Some((number, reason));
            break;
        }
        run.step(step, number);
    }
    for call in run.pending.drain(..) {
        drop(call.join());
    }
    match rest {
        Some((1, reason)) => Outcome::NotYet((*reason).to_owned()),
        _ => Outcome::Run { decisions: BTreeSet::new(), problems: run.problems },
    }
}

impl Run<'_> {
    fn step(&mut self, step: &Value, number: usize) {
        const KNOWN: [&str; 22] = [
            "request",
            "expect",
            "async",
            "release_after_ms",
            "parallel",
            "parallel_distinct",
            "expect_each",
            "expect_some",
            "expect_count",
            "expect_statuses",
            "psp_calls",
            "psp_event",
            "psp_last_call",
            "stripe_event",
            "restart",
            "state",
            "compare_with_before",
            "save",
            "same_as",
            "note",
            "wait_ms",
            "events",
        ];
        if let Some((unknown, _)) = members(step, "").find(|(name, _)| !KNOWN.contains(name)) {
            return self
                .problems
                .push(format!("step {number}: no meaning is known for {unknown:?}"));
        }
        let before = self.problems.len();
        self.act(step);
        for problem in self.problems.iter_mut().skip(before) {
            *problem = format!("step {number}: {problem}");
        }
    }

    /// What the PSP was sent last has these members.
    fn sent(&mut self, call: &Value) {
        for (name, wanted) in members(call, "") {
            let had = self.ground.stripe.as_ref().and_then(|stripe| stripe.last(name));
            if had.as_deref() != wanted.as_str() {
                self.problems.push(format!("the PSP was sent {name} {had:?}, recorded {wanted}"));
            }
        }
    }

    fn act(&mut self, step: &Value) {
        if step.get("restart").is_some() {
            return self.restart();
        }
        if let Some(call) = step.get("psp_last_call") {
            return self.sent(call);
        }
        if let Some(state) = step.get("state") {
            return self.state(state);
        }
        if let Some(calls) = step.get("psp_calls").and_then(Value::as_u64) {
            let made = self.calls();
            if made != calls {
                self.problems.push(format!("{made} calls reached the PSP, recorded {calls}"));
            }
            return;
        }
        if let Some(event) = step.get("psp_event").and_then(Value::as_str) {
            return self.psp_event(event);
        }
        if let Some(event) = step.get("stripe_event").and_then(Value::as_str) {
            return self.stripe_event(event);
        }
        if let Some(wanted) = step.get("compare_with_before") {
            return self.compare_with_before(wanted);
        }
        if let Some(requests) = step.get("parallel_distinct").and_then(Value::as_array) {
            return self.parallel(requests.clone(), step);
        }
        if let Some(copies) = step.get("parallel").and_then(Value::as_u64) {
            let copies = usize::try_from(copies).unwrap_or(1);
            return self.parallel(vec![step["request"].clone(); copies], step);
        }
        if step.get("request").is_some() {
            return self.send(step);
        }
        self.problems.push(format!("no meaning is known for the step {step}"));
    }

    /// Stops and starts the server, and lets it find out what became of the calls that were under
    /// way: what is told after a restart is the state that recovery comes to.
    fn restart(&mut self) {
        self.shop.server.restart();
        let closed = ["succeeded", "declined", "failed", "voided", "pending"];
        let recovered = self.eventually(|run| {
            let books = run.shop.books(&run.ground.owner, &run.ground.payment);
            books.refunds.iter().all(|refund| closed.contains(&refund.status.as_str()))
        });
        if !recovered {
            self.problems.push("refunds are still open after the restart".to_owned());
        }
    }

    fn send(&mut self, step: &Value) {
        let request = self.request(&step["request"]);
        if let Some(name) = expect::unknown_name(&request) {
            return self.problems.push(format!("no meaning is known for {name:?}"));
        }
        if step.get("async").and_then(Value::as_bool) == Some(true) {
            self.start(request);
            return;
        }
        let answer = self.shop.server.send(&request);
        self.problems.extend(refund_headers(&request.target, &request.method, &answer));
        if let Some(name) = step.get("save").and_then(Value::as_str) {
            self.saved.insert(name.to_owned(), answer.clone());
        }
        if let Some(expected) = step.get("expect") {
            let expected = if self.literal { &with_drawn_ids(expected) } else { expected };
            let found = expect::check(expected, &answer, &mut self.names, &self.saved);
            self.problems.extend(found);
        }
        if let Ok(tree) = Tree::read(&answer.body)
            && answer.status == 200
        {
            self.last = Some(tree);
        }
    }

    /// Starts a call without waiting for its answer, but not before it has reached the PSP: what
    /// follows is about a call that runs.
    fn start(&mut self, request: Request) {
        let addr = self.shop.server.addr;
        let before = self.calls();
        self.pending.push(std::thread::spawn(move || request.try_send(addr)));
        if !self.eventually(|run| run.calls() > before) {
            self.problems.push("the call that was started never reached the PSP".to_owned());
        }
    }

    fn parallel(&mut self, requests: Vec<Value>, step: &Value) {
        let requests: Vec<Request> = requests.iter().map(|r| self.request(r)).collect();
        let answers = self.shop.server.send_at_once(&requests);
        let found = expect::check_many(step, &answers, &mut self.names, &self.saved);
        self.problems.extend(found);
    }

    fn request(&self, told: &Value) -> Request {
        let path = mounted(self.face, &self.names.fill(text(told, "/path")));
        let mut request = Request::new(text(told, "/method"), &path);
        for (name, value) in members(told, "/headers") {
            request = request.header(name, &self.names.fill(value.as_str().unwrap_or_default()));
        }
        request.body = match (told.get("raw_body").and_then(Value::as_str), told.get("body")) {
            (Some(raw), _) => Some(raw.as_bytes().to_vec()),
            (None, Some(body)) => Some(self.names.fill(&body.to_string()).into_bytes()),
            (None, None) => None,
        };
        request
    }

    fn state(&mut self, state: &Value) {
        for (name, wanted) in members(state, "") {
            let books = self.shop.books(&self.ground.owner, &self.ground.payment);
            let have = match name {
                "charge_refunded_cents" | "payment_refunded_cents" | "refunded_amount" => {
                    books.succeeded()
                }
                "captured_amount" => books.captured,
                "refunds" | "refund_rows" => i64::try_from(books.refunds.len()).unwrap_or(i64::MAX),
                unknown => {
                    self.problems.push(format!("no meaning is known for the state {unknown:?}"));
                    continue;
                }
            };
            if Some(have) != wanted.as_i64() {
                self.problems.push(format!("{name} is {have}, recorded {wanted}"));
            }
        }
    }

    /// Calls that reached the PSP since the state was prepared.
    fn calls(&self) -> u64 {
        let books = self.shop.books(&self.ground.owner, &self.ground.payment);
        books.attempts().saturating_sub(self.ground.calls_before)
    }

    /// The sandbox settles by itself a moment later, as scripted: wait until it has.
    fn psp_event(&mut self, event: &str) {
        let settled = |run: &Run<'_>| {
            let books = run.shop.books(&run.ground.owner, &run.ground.payment);
            books.refunds.iter().all(|r| {
                matches!(r.status.as_str(), "succeeded" | "declined" | "failed" | "voided")
            })
        };
        if !self.eventually(settled) {
            self.problems.push(format!("the PSP's {event:?} has not arrived"));
        }
    }

    /// What the PSP tells of the newest refund, by a webhook, and until it is on the books.
    fn stripe_event(&mut self, event: &str) {
        let (Some(stripe), Some(status)) = (&self.ground.stripe, event.strip_prefix("refund."))
        else {
            return self.problems.push(format!("no meaning is known for the event {event:?}"));
        };
        let refund = stripe.becomes(status);
        let told = stripe.event("evt_replayed", event, &refund);
        // Told again until it is taken, as Stripe does: an account that was just made may be unknown for
        // a second.
        let is_taken = |run: &Run<'_>| {
            stripe::deliver(&run.shop.server, &run.ground.hook_path, &told).status == 200
        };
        if !self.eventually(is_taken) {
            return self.problems.push(format!("the webhook for {event:?} was never taken"));
        }
        let settled = |run: &Run<'_>| {
            let books = run.shop.books(&run.ground.owner, &run.ground.payment);
            books.succeeded() == 0
        };
        if !self.eventually(settled) {
            self.problems.push(format!("the PSP's {event:?} has changed nothing"));
        }
    }

    fn eventually(&self, done: impl Fn(&Run<'_>) -> bool) -> bool {
        let start = Instant::now();
        while start.elapsed() < EVENT_WAIT_MAX {
            if done(self) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }

    fn view(&self) -> Option<Tree> {
        let path = mounted(self.face, &format!("/v1/orders/{}", self.ground.payment));
        let token = self.ground.vars.get("$key")?;
        let answer = self.shop.server.send(&Request::get(&path).bearer(token));
        Tree::read(&answer.body).ok()
    }

    fn compare_with_before(&mut self, wanted: &Value) {
        let (Some(before), Some(after)) = (&self.before, &self.last) else {
            return self.problems.push("there is nothing to compare".to_owned());
        };
        for (rule, places) in members(wanted, "") {
            for place in places.as_array().into_iter().flatten().filter_map(Value::as_str) {
                let path = format!("/{}", place.replace('.', "/"));
                let same = before.at(&path) == after.at(&path);
                match rule {
                    "unchanged" if !same => self.problems.push(format!("{place} has changed")),
                    "changed" if same => self.problems.push(format!("{place} has not changed")),
                    "unchanged" | "changed" => {}
                    unknown => self.problems.push(format!("no meaning is known for {unknown:?}")),
                }
            }
        }
    }
}

/// A literal order's expectation, with the places that no registration determines left open.
fn with_drawn_ids(expected: &Value) -> Value {
    let mut expected = expected.clone();
    let mut holes = expected["wildcards"].as_array().cloned().unwrap_or_default();
    holes.extend(seed::DRAWN.iter().map(|place| Value::from(*place)));
    expected["wildcards"] = Value::Array(holes);
    expected
}
