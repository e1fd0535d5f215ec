//! Replays recordings of Medusa v1: one line is one exchange (or one burst of equal ones), and
//! lines that name the same payment share its state, in file order.

use std::collections::{BTreeMap, BTreeSet};

use data_encoding::BASE64;
use serde_json::{Value, json};

use super::compare::{Dialect, Ids};
use super::demand::{Demand, judge, refund_headers};
use super::medusa_headers::{self as headers, Tags};
use super::medusa_v1_cookies::Jar;
use super::medusa_v1_rules::{self as rules, Known};
use super::recording::{Recording, below_prefix, members, mounted, text};
use super::shop::{Owner, Shop};
use super::tally::{Outcome, Tally, guarded};
use super::tree::Tree;
use crate::support::{Options, Request, Response};

/// The API token of the recordings; ours goes in its place.
const RECORDED_TOKEN: &str = "ref-api-token-0001";

/// Who logs in in the recordings, and with what.
const RECORDED_EMAIL: &str = "admin@example.test";
const RECORDED_PASSWORD: &str = "s3cret-passw0rd";

pub(super) fn replay(recording: &Recording) -> Tally {
    let origins = headers::origins(&recording.lines);
    let shop = Shop::open_with(Options::default().env("REQUITE_CORS_ORIGINS", &origins));
    let owner = shop.owner("Medusa one");
    let token = shop.server.cli().key(&owner.merchant, "medusa-v1").token;
    let jwt = log_in(&shop, &owner);
    let mut replay = Replay {
        jwt,
        shop,
        owner,
        token,
        ids: Ids::default(),
        payments: BTreeMap::new(),
        answers: BTreeMap::new(),
        tags: Tags::default(),
        jar: Jar::default(),
    };
    let mut tally = Tally::new(recording.face);
    for line in &recording.lines {
        tally.add(text(line, "/id"), guarded(|| replay.line(line)));
    }
    tally
}

/// Makes the person who logs in in the recordings, and logs in as it.
fn log_in(shop: &Shop, owner: &Owner) -> Option<String> {
    let run = shop.server.cli().user(&owner.merchant, RECORDED_EMAIL, RECORDED_PASSWORD);
    if run.code != Some(0) {
        return None;
    }
    let body = json!({"email": RECORDED_EMAIL, "password": RECORDED_PASSWORD});
    let answer = shop.server.send(&Request::post("/medusa/v1/admin/auth/token").json(&body));
    let body = Tree::read(&answer.body).ok()?;
    body.member("access_token").and_then(Tree::text).map(str::to_owned)
}

struct Replay {
    shop: Shop,
    owner: Owner,
    token: String,
    /// A log-in's token; none if nobody can log in.
    jwt: Option<String>,
    ids: Ids,
    payments: BTreeMap<String, Payment>,
    /// Per idempotency key: the body that was sent with it first, and its answer.
    answers: BTreeMap<String, (Vec<u8>, Response)>,
    tags: Tags,
    jar: Jar,
}

/// What the replay knows of a payment that it has registered.
#[derive(Clone, Debug, Default)]
pub(super) struct Payment {
    pub(super) amount: i64,
    /// Refunds made while registering, to reach the recorded state before the first line.
    seeded: Vec<i64>,
    /// Refunds that our answers have granted since.
    made: Vec<i64>,
    /// Decisions by which the recorded course of this payment and ours have parted.
    parted: BTreeSet<&'static str>,
}

impl Payment {
    pub(super) fn refunded(&self) -> i64 {
        self.seeded.iter().chain(&self.made).sum()
    }
}

struct V1;

impl Dialect for V1 {
    fn judge(&self, path: &str, recorded: &Tree, ours: &Tree) -> Option<Result<(), String>> {
        match path {
            // The provider's own object: what is in it is a property of the registration.
            _ if path.ends_with("/data") => Some(match ours {
                Tree::Object(_) => Ok(()),
                other => Err(format!("not an object: {other}")),
            }),
            // A token is its own; the form is a JWT's.
            "/access_token" => {
                let parts = ours.text().unwrap_or_default().split('.').count();
                Some(if parts == 3 { Ok(()) } else { Err(format!("no JWT: {ours}")) })
            }
            // Carts are not registered with a payment: what is known of one may stay away.
            _ if path.ends_with("/cart_id") && matches!(ours, Tree::Null) => Some(match recorded {
                Tree::Null | Tree::Any | Tree::Text(_) => Ok(()),
                other => Err(format!("recorded {other}")),
            }),
            _ => None,
        }
    }

    fn addition(&self, _path: &str) -> Option<&'static str> {
        None
    }
}

impl Replay {
    fn line(&mut self, line: &Value) -> Outcome {
        if let Err(problem) = rules::vocabulary(line) {
            return Outcome::failed(problem);
        }
        if line.get("concurrency").is_some() {
            return self.burst(line);
        }
        self.seed(line);
        let request = match self.request(line) {
            Ok(request) => request,
            Err(problem) => return Outcome::failed(problem),
        };
        let payment = text(line, "/vars/PAYMENT_ID").to_owned();
        let mut decisions = BTreeSet::new();
        let demand = self.demand(line, &request, &mut decisions);
        let answer = self.shop.server.send(&request);
        let judged = judge(&demand, &V1, &mut self.ids, &answer);
        let mut problems = judged.problems;
        decisions.extend(judged.decisions);
        problems.extend(headers::problems(line, &request, &demand, &answer));
        problems.extend(self.jar.keep(line, &answer, &mut decisions));
        self.tags.bind(line, &answer);
        problems.extend(refund_headers(&request.target, &request.method, &answer));
        self.keep(line, &request, &answer, &demand, &decisions);
        problems.extend(self.after(line, &payment));
        Outcome::Run { decisions, problems }
    }

    /// Registers the line's payment on its first appearance, in the recorded state.
    fn seed(&mut self, line: &Value) {
        let id = text(line, "/vars/PAYMENT_ID");
        let known = json!({"amount": 10000, "captured": true});
        let order = line.pointer("/setup/order").map(order_payment);
        let setup = match line.pointer("/setup/payment").or(order.as_ref()) {
            Some(setup) => setup,
            // A lone sample out of a burst has a payment but not its state.
            None if !id.is_empty() && line.get("setup").is_none() => &known,
            None => return,
        };
        if id.is_empty() || self.payments.contains_key(id) {
            return;
        }
        let order = text(line, "/vars/ORDER_ID");
        let payment = self.register(id, setup, order);
        self.payments.insert(id.to_owned(), payment);
        self.ids.bind(id, id);
        if !order.is_empty() {
            self.ids.bind(order, order);
        }
    }

    fn register(&self, id: &str, setup: &Value, order: &str) -> Payment {
        let amount = setup.get("amount").and_then(Value::as_i64).unwrap_or_default();
        let refunded = setup.get("amount_refunded").and_then(Value::as_i64).unwrap_or_default();
        let flag = |name: &str| setup.get(name).and_then(Value::as_bool).unwrap_or_default();
        let currency = setup.get("currency_code").and_then(Value::as_str).unwrap_or("eur");
        let mut payment = json!({"id": id, "amount": amount, "currency": currency.to_uppercase()});
        payment["captures"] =
            if flag("captured") { json!([{"amount": amount}]) } else { json!([]) };
        // Every other provider of the recordings fails: one by its nature, others are not installed.
        match setup.get("provider_id").and_then(Value::as_str) {
            None | Some("manual") => payment["connector"] = json!("manual"),
            Some(_) => {
                payment["connector"] = json!("sandbox");
                payment["sandbox"] = json!(["fail", "capture:decline:gone"]);
            }
        }
        if flag("canceled") {
            payment["canceled_at"] = json!("2024-01-01T00:00:00Z");
        }
        if flag("order") && !order.is_empty() {
            payment["order"] = json!(order);
        }
        self.shop.register(&self.owner, &payment);
        let seeded = if refunded > 0 { vec![refunded] } else { Vec::new() };
        for amount in &seeded {
            self.shop.refund(&self.owner, id, *amount);
        }
        Payment { amount, seeded, ..Payment::default() }
    }

    fn request(&self, line: &Value) -> Result<Request, String> {
        let request = &line["request"];
        let path = &self.ids.translate(text(request, "/path"));
        // Without a credential of its own a request at the root is Medusa v2's.
        let named = members(request, "/headers")
            .any(|(name, value)| name == "x-medusa-access-token" && value == RECORDED_TOKEN);
        let target =
            if named { mounted("medusa-v1", path) } else { below_prefix("medusa-v1", path) };
        let mut made = Request::new(text(request, "/method"), &target);
        let good = text(line, "/parity") != "defect"
            && line.pointer("/response/status").and_then(Value::as_u64) == Some(200);
        for (name, value) in members(request, "/headers") {
            let value = value.as_str().unwrap_or_default();
            // A token that the original took came from a log-in; so does ours.
            made = match (&self.jwt, value.split_once(' ')) {
                (Some(jwt), Some((scheme, sent))) if good && sent.starts_with("eyJ") => {
                    made.header(name, &format!("{scheme} {jwt}"))
                }
                _ => made.header(name, &value.replace(RECORDED_TOKEN, &self.token)),
            };
        }
        made.body = body(request)?;
        self.tags.translate(&mut made);
        self.jar.translate(&mut made);
        Ok(made)
    }

    fn demand(
        &self,
        line: &Value,
        request: &Request,
        decisions: &mut BTreeSet<&'static str>,
    ) -> Demand {
        let payment = self.payments.get(text(line, "/vars/PAYMENT_ID"));
        let key = rules::idempotency_key(request);
        let first = key.and_then(|key| self.answers.get(key));
        if let Some((decision, demand)) = rules::differing(line, request, &Known { payment, first })
        {
            decisions.insert(decision);
            return demand;
        }
        let status = line.pointer("/response/status").and_then(Value::as_u64).unwrap_or_default();
        let status = u16::try_from(status).unwrap_or_default();
        let Some(recorded) = line.pointer("/response/json") else {
            let text = text(line, "/response/text").to_owned();
            // Health is the server's own, not this dialect's.
            return if request.method == "HEAD" || text.is_empty() || request.target == "/health" {
                Demand::Status(status)
            } else {
                Demand::Text { status, text }
            };
        };
        let mut body = Tree::from(recorded);
        if let (Some(key), Some(shown)) = (key, body.at_mut("/refund/idempotency_key")) {
            decisions.insert("V1-4");
            *shown = Tree::Text(key.to_owned());
        }
        for order in ["/order", "/payment/order"] {
            if body.at_mut(order).is_some_and(rules::forget_the_shops) {
                decisions.insert("B25");
            }
        }
        if let Some(shown) = body.at_mut("/user/api_token") {
            decisions.insert("B9");
            *shown = Tree::Null;
        }
        if let (Some(payment), Some(shown)) = (payment, body.at_mut("/payment/amount_refunded"))
            && !payment.parted.is_empty()
        {
            decisions.extend(&payment.parted);
            *shown = Tree::Number(payment.refunded().into());
        }
        Demand::Body { status, body }
    }

    /// Remembers what the answer has changed.
    fn keep(
        &mut self,
        line: &Value,
        request: &Request,
        answer: &Response,
        demand: &Demand,
        decisions: &BTreeSet<&'static str>,
    ) {
        let granted_in_recording =
            line.pointer("/response/status").and_then(Value::as_u64) == Some(200);
        let id = text(line, "/vars/PAYMENT_ID");
        let replayed = matches!(demand, Demand::Replay(_));
        if let Some(key) = rules::idempotency_key(request)
            && !self.answers.contains_key(key)
        {
            let kept = (request.body.clone().unwrap_or_default(), answer.clone());
            self.answers.insert(key.to_owned(), kept);
        }
        let Some(payment) = self.payments.get_mut(id) else {
            return;
        };
        let post = request.method == "POST";
        let granted = answer.status == 200 && !replayed && post;
        if post && granted != granted_in_recording && request.target.contains("/refund") {
            payment.parted.extend(decisions);
        }
        let amount = Tree::read(&answer.body).ok().and_then(|body| {
            body.at("/refund/amount").and_then(|amount| match amount {
                Tree::Number(n) => n.as_i64(),
                _ => None,
            })
        });
        // An order's answer has all its refunds; what this one gave back is what it asked for.
        let is_orders = request.target.contains("/orders/") && request.target.contains("/refund");
        let amount = if is_orders { rules::asked(request) } else { amount };
        if let (true, Some(amount)) = (granted, amount) {
            payment.made.push(amount);
        }
    }

    /// The books must hold what the answers have granted, and that must be the recorded state.
    fn after(&self, line: &Value, id: &str) -> Vec<String> {
        let Some(payment) = self.payments.get(id) else {
            return Vec::new();
        };
        let standing = self.shop.books(&self.owner, id).standing();
        let mut problems = Vec::new();
        let sum: i64 = standing.iter().sum();
        if sum != payment.refunded() {
            problems.push(format!("answers granted {}, books hold {sum}", payment.refunded()));
        }
        if let (Some(after), true) = (line.get("after"), payment.parted.is_empty()) {
            let number = |name: &str| after.get(name).and_then(Value::as_i64).unwrap_or_default();
            // An order's refunds are no refunds of the payment, in the original's store.
            let is_orders = line.pointer("/setup/order").is_some();
            let (rows, new) = match is_orders {
                true => (0, 0),
                false => {
                    (standing.len().saturating_sub(payment.seeded.len()), payment.made.iter().sum())
                }
            };
            let ours = (sum, i64::try_from(rows).unwrap_or(i64::MAX), new);
            let recorded =
                (number("amount_refunded"), number("refund_rows"), number("refund_rows_sum"));
            if ours != recorded {
                problems.push(format!(
                    "after (refunded, rows, sum of rows): recorded {recorded:?}, ours {ours:?}"
                ));
            }
        }
        problems
    }

    /// Sends copies at once, on fresh payments, where the recorded server lost count (A1): what
    /// fits is granted, the rest is refused, and the books hold just that.
    fn burst(&mut self, line: &Value) -> Outcome {
        let copies =
            line["concurrency"].as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or(2);
        let apart = line.pointer("/setup/payments").is_some();
        let template = text(line, "/request/path");
        let sent = text(line, "/request/body");
        // "<body>, the sixth with <member>": one of the copies is refused for its note.
        let (sent, odd) = sent.split_once(", the sixth with ").unwrap_or((sent, ""));
        let setup = line.pointer("/setup/payment").cloned().unwrap_or_default();
        let count = if apart { copies } else { 1 };
        let ids: Vec<String> =
            (0..count).map(|i| format!("pay_{:0>22}{i:0>4}", self.payments.len())).collect();
        for id in &ids {
            let payment = self.register(id, &setup, "");
            self.payments.insert(id.clone(), payment);
        }
        let request = |i: usize| {
            let id = ids.get(i).or(ids.first()).expect("one payment at least");
            let path = template.replace("{PAYMENT_ID_k}", id).replace("{PAYMENT_ID}", id);
            let body =
                if i == 5 && !odd.is_empty() { with_member(sent, odd) } else { sent.to_owned() };
            Request::post(&mounted("medusa-v1", &path))
                .header("Content-Type", "application/json")
                .api_token(&self.token)
                .bytes(body)
        };
        let requests: Vec<Request> = (0..copies).map(request).collect();
        let answers = self.shop.server.send_at_once(&requests);
        let amount = setup["amount"].as_i64().unwrap_or_default();
        if template.ends_with("/capture") {
            return self.captured_at_once(&ids, &answers, amount);
        }
        let wanted = rules::burst(amount, sent, copies, (apart, !odd.is_empty()));
        let mut statuses: Vec<u16> = answers.iter().map(|a| a.status).collect();
        statuses.sort_unstable();
        let mut problems = Vec::new();
        if statuses != wanted.statuses {
            problems.push(format!("statuses {statuses:?}, wanted {:?}", wanted.statuses));
        }
        let held: i64 = ids.iter().flat_map(|id| self.shop.books(&self.owner, id).standing()).sum();
        if held != wanted.held {
            problems.push(format!("books hold {held}, wanted {}", wanted.held));
        }
        Outcome::Run { decisions: BTreeSet::from(["A1"]), problems }
    }
}

impl Replay {
    /// Of captures at once one takes the money, and all are shown it. A conflict is none (V1-8).
    fn captured_at_once(&self, ids: &[String], answers: &[Response], amount: i64) -> Outcome {
        let refused = answers.iter().filter(|answer| answer.status != 200);
        let mut problems: Vec<String> =
            refused.map(|answer| format!("{} {}", answer.status, answer.text())).collect();
        for id in ids {
            let captured = self.shop.books(&self.owner, id).captured;
            if captured != amount {
                problems.push(format!("{id}: captured {captured}, wanted {amount}"));
            }
        }
        Outcome::Run { decisions: BTreeSet::from(["V1-8"]), problems }
    }
}

/// The one payment of an order that is told by its total.
fn order_payment(order: &Value) -> Value {
    json!({"amount": order["total"], "currency_code": order["currency_code"], "order": true,
        "captured": order["payment"] == "captured"})
}

/// `{"a":1}` and `"b":2` make `{"a":1,"b":2}`.
fn with_member(object: &str, member: &str) -> String {
    format!("{},{member}}}", object.trim_end().trim_end_matches('}'))
}

/// The exact bytes of a recorded body.
fn body(request: &Value) -> Result<Option<Vec<u8>>, String> {
    if let Some(encoded) = request.get("body_base64").and_then(Value::as_str) {
        return BASE64
            .decode(encoded.as_bytes())
            .map(Some)
            .map_err(|e| format!("body_base64: {e}"));
    }
    match request.get("body") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone().into_bytes())),
        Some(described) => repeated(described).map(Some),
    }
}

/// A long body in short: `{"repeat": "...\"x\"*103000}", "length": n}`, where `"x"*103000` is a text
/// of so many letters.
fn repeated(described: &Value) -> Result<Vec<u8>, String> {
    let form = text(described, "/repeat");
    let parts = form.split_once("\"*").and_then(|(head, tail)| {
        let (head, letter) = head.rsplit_once('"')?;
        let digits = tail.find(|c: char| !c.is_ascii_digit()).unwrap_or(tail.len());
        let (times, tail) = tail.split_at(digits);
        Some((head, letter, times.parse::<usize>().ok()?, tail))
    });
    let Some((head, letter, times, tail)) = parts else {
        return Err(format!("a body described in an unknown way: {described}"));
    };
    let body = format!("{head}\"{}\"{tail}", letter.repeat(times)).into_bytes();
    match described.get("length").and_then(Value::as_u64) {
        Some(length) if usize::try_from(length) != Ok(body.len()) => {
            Err(format!("{described} makes {} bytes", body.len()))
        }
        _ => Ok(body),
    }
}

#[test]
fn a_body_told_in_short_is_sent_in_full() {
    let told = json!({"repeat": "{\"note\":\"x\"*5}", "length": 16});
    assert_eq!(repeated(&told), Ok(br#"{"note":"xxxxx"}"#.to_vec()));
    assert!(repeated(&json!({"repeat": "{\"note\":\"x\"*5}", "length": 17})).is_err());
    assert!(repeated(&json!({"other": 1})).is_err());
    assert_eq!(with_member(r#"{"a":1}"#, r#""b":2"#), r#"{"a":1,"b":2}"#);
}
