//! Replays recordings of Medusa v2: lines of one scenario in step order, on the payments that its
//! first line gives. Bodies are compared member for member in the recorded order (V2-1).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::compare::Ids;
use super::demand::{Demand, judge, refund_headers};
use super::medusa_headers::{self as headers, Tags};
use super::medusa_v2_capture as capture;
use super::medusa_v2_fields as fields;
use super::medusa_v2_ledger::{Ledger, Row};
use super::medusa_v2_request::{self as request, Credentials, payment_of};
use super::medusa_v2_rules::{self as rules, Known};
use super::money::{exponent, minor};
use super::recording::{Recording, members, mounted, text};
use super::shop::{Owner, Shop};
use super::tally::{Outcome, Tally, guarded};
use super::tree::Tree;
use crate::support::{Options, Request, Response};

pub(super) fn replay(recording: &Recording) -> Tally {
    let origins = headers::origins(&recording.lines);
    let shop = Shop::open_with(Options::default().env("REQUITE_CORS_ORIGINS", &origins));
    let owner = shop.owner("Medusa two");
    let key = shop.server.cli().key(&owner.merchant, "medusa-v2");
    let jwt = request::log_in(&shop, &owner, &recording.lines);
    let given = recording.lines.iter().flat_map(|line| members(line, "/given/payments"));
    let given = given.map(|(_, payment)| (text(payment, "/id").to_owned(), payment.clone()));
    let notes = recording.lines.iter().filter(|line| line.pointer("/given/note").is_some());
    let notes = notes
        .map(|line| (text(line, "/scenario").to_owned(), text(line, "/given/note").to_owned()));
    let mut replay = Replay {
        credentials: Credentials::new(key.token, jwt),
        given: given.collect(),
        refunds: request::shown_refunds(&recording.lines),
        left_out_reasons: request::left_out_reasons(&recording.lines),
        notes: notes.collect(),
        ids: Ids::default(),
        tags: Tags::default(),
        ledgers: BTreeMap::new(),
        reasons: None,
        answers: BTreeMap::new(),
        shop,
        owner,
    };
    let mut tally = Tally::new(recording.face);
    let mut lines = recording.lines.as_slice();
    while let Some((line, rest)) = lines.split_first() {
        let race = rules::race(lines);
        if race > 1 {
            let (group, rest) = lines.split_at(race);
            replay.race(group, &mut tally);
            lines = rest;
        } else {
            tally.add(&name(line), guarded(|| replay.line(line)));
            lines = rest;
        }
    }
    tally
}

fn name(line: &Value) -> String {
    format!("{}#{} ({})", text(line, "/scenario"), line["step"], line["n"])
}

struct Replay {
    shop: Shop,
    owner: Owner,
    credentials: Credentials,
    /// Every payment that any line of the file gives, by id.
    given: BTreeMap<String, Value>,
    /// Every refund that any answer of the file shows with its amount, by id.
    refunds: BTreeMap<String, Value>,
    /// Refund reasons that left-out lines made, by id.
    left_out_reasons: BTreeMap<String, Value>,
    /// Remarks on the given state, by scenario; the provider's behaviour is told there.
    notes: BTreeMap<String, String>,
    ids: Ids,
    tags: Tags,
    ledgers: BTreeMap<String, Ledger>,
    /// Whether refund reasons can be made; found out at the first need.
    reasons: Option<bool>,
    answers: BTreeMap<String, (Vec<u8>, Response)>,
}

impl Replay {
    fn line(&mut self, line: &Value) -> Outcome {
        if let Err(problem) = rules::vocabulary(line) {
            return Outcome::failed(problem);
        }
        self.seed(line);
        self.seed_order(line);
        let reason = rules::not_yet(line, self.credentials.can_log_in())
            .or_else(|| self.reason_missing(line));
        if let Some(reason) = reason {
            self.stand_in(line);
            return Outcome::NotYet(reason.to_owned());
        }
        self.run(line)
    }

    fn run(&mut self, line: &Value) -> Outcome {
        let id = payment_of(line);
        let mut request = match self.credentials.request(line, &self.ids) {
            Ok(request) => request,
            Err(problem) => return Outcome::failed(problem),
        };
        self.tags.translate(&mut request);
        self.earlier_reasons(line);
        if let Err(problem) = self.catch_up(line, &id) {
            return Outcome::failed(problem);
        }
        let mut decisions = BTreeSet::new();
        let demand = self.demand(line, &request, &id, &mut decisions);
        let answer = self.shop.server.send(&request);
        self.keep(line, &request, &answer, &id, &demand);
        let demand = self.as_ours(demand, &mut decisions);
        let given =
            self.given.get(&id).map(|given| given["captures"].as_array().map_or(0, Vec::len));
        let given_captures = given.unwrap_or_default();
        let dialect = fields::V2 { added: fields::added(&request.target), given_captures };
        let judged = judge(&demand, &dialect, &mut self.ids, &answer);
        let mut problems = judged.problems;
        decisions.extend(judged.decisions);
        problems.extend(headers::problems(line, &request, &demand, &answer));
        self.tags.bind(line, &answer);
        self.credentials.learn(line, &answer);
        problems.extend(refund_headers(&request.target, &request.method, &answer));
        let exponent = |id: &str| self.ledgers.get(id).map_or(2, |ledger| ledger.exponent);
        problems.extend(fields::published(&answer, &request.target, exponent));
        problems.extend(self.audit(&id));
        Outcome::Run { decisions, problems }
    }

    /// Registers the payments that this scenario gives, and those that its paths name though a
    /// later scenario gives them.
    fn seed(&mut self, line: &Value) {
        let path = text(line, "/request/path");
        let here: Vec<Value> = members(line, "/given/payments").map(|(_, p)| p.clone()).collect();
        let named = self.given.iter().filter(|(id, _)| path.contains(id.as_str()));
        let named: Vec<Value> = named.map(|(_, payment)| payment.clone()).collect();
        for payment in here.iter().chain(&named) {
            if !self.ledgers.contains_key(text(payment, "/id")) {
                self.register(payment, text(line, "/scenario"));
            }
        }
    }

    /// An order is known here by a payment of it.
    fn seed_order(&mut self, line: &Value) {
        let Some(order) = line.pointer("/given/order") else {
            return;
        };
        let id = text(order, "/id");
        let currency = text(order, "/currency_code").to_uppercase();
        let total = minor(&order["total"].to_string(), exponent(&currency));
        let total = total.expect("given totals fit their currency");
        let payment = json!({"amount": total, "currency": currency, "order": id});
        self.shop.register(&self.owner, &payment);
        self.ids.bind(id, id);
    }

    fn register(&mut self, given: &Value, scenario: &str) {
        let id = text(given, "/id").to_owned();
        let currency = text(given, "/currency_code").to_uppercase();
        let exponent = exponent(&currency);
        let units =
            |v: &Value| minor(&v.to_string(), exponent).expect("given amounts fit their currency");
        let amounts = given["captures"].as_array().cloned().unwrap_or_default();
        let captures: Vec<Value> = amounts.iter().map(|a| json!({"amount": units(a)})).collect();
        let mut payment = json!({
            "id": id, "amount": units(&given["amount"]), "currency": currency, "captures": captures,
        });
        match text(given, "/provider_id") {
            "" | "pp_system_default" => payment["connector"] = json!("manual"),
            _ => {
                let note = self.notes.get(scenario).map(String::as_str).unwrap_or_default();
                payment["connector"] = json!("sandbox");
                payment["sandbox"] = rules::provider_script(note);
            }
        }
        if let Some(time) = created_at(&id) {
            payment["created_at"] = json!(time);
        }
        let order = text(given, "/order_id");
        if !order.is_empty() {
            payment["order"] = json!(order);
            self.ids.bind(order, order);
        }
        if given["canceled"].as_bool() == Some(true) {
            payment["canceled_at"] = json!("2024-01-01T00:00:00Z");
        }
        self.shop.register(&self.owner, &payment);
        self.ids.bind(&id, &id);
        self.ledgers.insert(id, Ledger::new(exponent));
    }

    /// `Some` when the line needs a refund reason and none can be made.
    fn reason_missing(&mut self, line: &Value) -> Option<&'static str> {
        let given: Vec<Value> =
            members(line, "/given/refund_reasons").map(|(_, r)| r.clone()).collect();
        for reason in given {
            self.make_reason(&reason);
        }
        let body: Value = serde_json::from_str(text(line, "/request/body")).ok()?;
        let named = body.get("refund_reason_id").and_then(Value::as_str)?;
        let real = super::compare::prefix(named) == Some("refr");
        (real && self.ids.ours(named).is_none()).then_some("refund reasons")
    }

    fn make_reason(&mut self, given: &Value) {
        if self.reasons == Some(false) || self.ids.ours(text(given, "/id")).is_some() {
            return;
        }
        let body = json!({"label": given["label"], "code": given["code"], "description": given["description"]});
        let request = Request::post(&mounted("medusa-v2", "/admin/refund-reasons")).json(&body);
        let request = self.credentials.sign(request);
        let answer = self.shop.server.send(&request);
        self.reasons = Some(answer.status == 200);
        if answer.status == 200 {
            let made = answer.json();
            self.ids.bind(text(given, "/id"), text(&made, "/refund_reason/id"));
        }
    }

    /// Makes the refund reasons that left-out lines made before this one makes its own.
    fn earlier_reasons(&mut self, line: &Value) {
        let own = request::made_reason(line);
        while let Some(first) = self.left_out_reasons.first_entry() {
            if *first.key() >= own {
                return;
            }
            let reason = first.remove();
            self.make_reason(&reason);
        }
    }

    /// Does what a line that is not run would have done to the state, another way.
    fn stand_in(&mut self, line: &Value) {
        let id = payment_of(line);
        let path = text(line, "/request/path");
        let ok = line.pointer("/response/status").and_then(Value::as_u64) == Some(200);
        let sent: Value = serde_json::from_str(text(line, "/request/body")).unwrap_or_default();
        if !ok || text(line, "/request/method") != "POST" || !self.ledgers.contains_key(&id) {
            return;
        }
        if path.contains("/refund") {
            self.make_up(&id, &sent);
        }
    }

    /// Makes a refund that a left-out line made, so that the next line finds the recorded state.
    fn make_up(&mut self, id: &str, sent: &Value) {
        let mut body = sent.clone();
        let named = sent.get("refund_reason_id").and_then(Value::as_str);
        let ours = named.and_then(|named| self.ids.ours(named)).map(str::to_owned);
        let reasonless = named.is_some() && ours.is_none();
        if let Some(members) = body.as_object_mut() {
            members.remove("refund_reason_id");
        }
        if let Some(ours) = ours {
            body["refund_reason_id"] = json!(ours);
        }
        let path = mounted("medusa-v2", &format!("/admin/payments/{id}/refund"));
        let request = self.credentials.sign(Request::post(&path).json(&body));
        let answer = self.shop.server.send(&request);
        if let Some(ledger) = self.ledgers.get_mut(id) {
            let made = answer.status == 200;
            ledger.rows.push(Row { recorded: true, ours: made, reasonless, decision: None });
        }
    }

    /// Lines were left out of the recordings. Where a recorded answer shows refunds that none of
    /// the lines so far made, the left-out lines did: they are made up for first.
    fn catch_up(&mut self, line: &Value, id: &str) -> Result<(), String> {
        let Some(ledger) = self.ledgers.get(id) else {
            return Ok(());
        };
        let answered: Value =
            serde_json::from_str(text(line, "/response/body")).unwrap_or_default();
        let Some(shown) = answered.pointer("/payment/refunds").and_then(Value::as_array) else {
            return Ok(());
        };
        // Creation order, as in the ledger.
        let mut shown = shown.clone();
        shown.sort_by_key(|refund| text(refund, "/id").to_owned());
        let own = usize::from(text(line, "/request/method") == "POST");
        let known = ledger.rows.iter().filter(|row| row.recorded).count();
        let before = shown.len().saturating_sub(own);
        let missing = shown.get(known..before).unwrap_or_default().to_vec();
        for refund in missing {
            let refund = self.refunds.get(text(&refund, "/id")).cloned().unwrap_or(refund);
            let amount = refund.get("amount").ok_or("left-out refunds without an amount")?;
            let mut body = json!({"amount": amount});
            if let Some(note) = refund.get("note").filter(|note| note.is_string()) {
                body["note"] = note.clone();
            }
            if let Some(reason) = refund.get("refund_reason_id").filter(|id| id.is_string()) {
                body["refund_reason_id"] = reason.clone();
            }
            self.make_up(id, &body);
        }
        Ok(())
    }

    fn demand(
        &self,
        line: &Value,
        request: &Request,
        id: &str,
        decisions: &mut BTreeSet<&'static str>,
    ) -> Demand {
        let ledger = self.ledgers.get(id);
        let key = rules::idempotency_key(request);
        let first = key.and_then(|key| self.answers.get(key));
        let books = ledger.map(|_| self.shop.books(&self.owner, id));
        let known = Known {
            exponent: ledger.map(|l| l.exponent),
            left: books.as_ref().map(|b| b.captured.saturating_sub(b.standing().iter().sum())),
            untouched: books.is_some_and(|b| b.captured > 0 && b.standing().is_empty()),
            first,
        };
        if let Some((decision, demand)) = rules::differing(line, request, &known) {
            decisions.insert(decision);
            return demand;
        }
        let status = line.pointer("/response/status").and_then(Value::as_u64).unwrap_or_default();
        let status = u16::try_from(status).unwrap_or_default();
        match Tree::read(text(line, "/response/body").as_bytes()) {
            _ if request.method == "HEAD" => Demand::Status(status),
            Ok(body) => Demand::Body { status, body },
            Err(_) => Demand::Text { status, text: text(line, "/response/body").to_owned() },
        }
    }

    /// Writes into the ledger what the line did in the recording and what it did here.
    fn keep(
        &mut self,
        line: &Value,
        request: &Request,
        answer: &Response,
        id: &str,
        demand: &Demand,
    ) {
        let first = rules::idempotency_key(request).map(str::to_owned);
        if let Some(key) = first
            && !self.answers.contains_key(&key)
        {
            let kept = (request.body.clone().unwrap_or_default(), answer.clone());
            self.answers.insert(key, kept);
        }
        let Some(ledger) = self.ledgers.get_mut(id) else {
            return;
        };
        if request.method != "POST" || !request.target.contains("/refund") {
            return;
        }
        let recorded = rules::refunded_in_recording(line);
        let ours = answer.status == 200 && !matches!(demand, Demand::Replay(_));
        if recorded || ours {
            let decision = (recorded != ours).then(|| rules::parting(demand, line));
            ledger.rows.push(Row { recorded, ours, reasonless: false, decision });
        }
    }

    /// A recorded body with the payments as they are in our course of things.
    fn as_ours(&self, demand: Demand, decisions: &mut BTreeSet<&'static str>) -> Demand {
        let Demand::Body { status, mut body } = demand else {
            return demand;
        };
        for payment in fields::payments(&mut body) {
            let id = payment.member("id").and_then(Tree::text).unwrap_or_default().to_owned();
            let Some(ledger) = self.ledgers.get(&id) else {
                continue;
            };
            let held = || self.shop.books(&self.owner, &id).standing().iter().sum();
            decisions.extend(ledger.apply(payment, held));
            decisions.extend(capture::whole_units(payment, ledger.exponent));
        }
        Demand::Body { status, body }
    }

    /// The store must hold exactly the refunds that the answers have shown.
    fn audit(&self, id: &str) -> Option<String> {
        let ledger = self.ledgers.get(id)?;
        let shown = ledger.rows.iter().filter(|row| row.ours).count();
        let held = self.shop.books(&self.owner, id).standing().len();
        (shown != held).then(|| format!("answers granted {shown} refunds, books hold {held}"))
    }

    /// Requests that were released together. Which one wins is anyone's guess; how many win is not.
    fn race(&mut self, lines: &[Value], tally: &mut Tally) {
        let first = lines.first().expect("a race has lines");
        self.seed(first);
        if let Some(reason) = rules::not_yet(first, self.credentials.can_log_in()) {
            for line in lines {
                self.stand_in(line);
                tally.add(&name(line), Outcome::NotYet(reason.to_owned()));
            }
            return;
        }
        let requests: Result<Vec<Request>, String> =
            lines.iter().map(|l| self.credentials.request(l, &self.ids)).collect();
        let requests = match requests {
            Ok(requests) => requests,
            Err(problem) => return tally.add(&name(first), Outcome::failed(problem)),
        };
        let id = payment_of(first);
        let before = self.shop.books(&self.owner, &id);
        let left = before.captured.saturating_sub(before.standing().iter().sum());
        let answers = self.shop.server.send_at_once(&requests);
        let exponent = self.ledgers.get(&id).map_or(2, |ledger| ledger.exponent);
        if capture::is_capture(first) {
            let whole = self.given.get(&id).map(|given| given["amount"].to_string());
            let race = capture::Race { lines, answers: &answers, whole, exponent };
            let after = self.shop.books(&self.owner, &id).captured;
            let mut problems = race.problems(before.captured, after);
            for line in lines {
                let problems = std::mem::take(&mut problems);
                tally.add(&name(line), Outcome::Run { decisions: BTreeSet::new(), problems });
            }
            return;
        }
        let wins = rules::race_wins(first, left, exponent);
        let granted = answers.iter().filter(|a| a.status == 200).count();
        let mut verdict = rules::race_verdict(lines, &answers);
        if granted != wins.min(lines.len()) {
            verdict.problems.push(format!("{granted} granted, wanted {wins}"));
        }
        if let Some(ledger) = self.ledgers.get_mut(&id) {
            ledger.rows.extend((0..granted).map(|_| Row::both()));
        }
        verdict.problems.extend(self.audit(&id));
        for line in lines {
            let decisions = verdict.decisions.clone();
            // What went wrong is said once, with the first line.
            let problems = std::mem::take(&mut verdict.problems);
            tally.add(&name(line), Outcome::Run { decisions, problems });
        }
    }
}

/// When the payment was made: a ULID begins with its time.
fn created_at(id: &str) -> Option<String> {
    const DIGITS: &str = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let ulid = id.rsplit_once('_')?.1;
    let time = ulid.get(..10).filter(|_| ulid.len() == 26)?;
    let ms = time.chars().try_fold(0_i64, |ms, digit| {
        ms.checked_mul(32)?.checked_add(i64::try_from(DIGITS.find(digit)?).ok()?)
    })?;
    jiff::Timestamp::from_millisecond(ms).ok().map(|time| time.to_string())
}
