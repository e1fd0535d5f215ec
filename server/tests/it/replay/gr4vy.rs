//! Replays recordings of Gr4vy: exchanges (create, get, list, errors, recorded), rules, tokens,
//! base62 pairs, and facts about what the SDKs can read. Every line gets a merchant of its own; the
//! state that a line needs follows from what it asks and what it is answered.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::compare::{Ids, compare, is_uuid};
use super::demand::{refund_headers, shorten};
use super::gr4vy_pay;
use super::gr4vy_shapes::{Gr4vy, Samples, base62, refund_problems};
use super::gr4vy_stage::{
    Money, PLENTY, Stage, content_type, get, post, refund, script_for, stage,
};
use super::gr4vy_whole;
use super::recording::{Recording, text};
use super::shop::{Owner, Shop};
use super::tally::{Outcome, Tally, guarded};
use super::tree::Tree;
use crate::support::{Options, Request, Response};

/// How long a refund may take to reach a recorded status.
const STATUS_WAIT_MAX: Duration = Duration::from_secs(10);

pub(super) fn replay(recording: &Recording) -> Tally {
    let mut replay = Replay {
        shop: Shop::open(),
        tokens: None,
        telling: None,
        samples: Samples::default(),
        signers: BTreeMap::new(),
    };
    let mut tally = Tally::new(recording.face);
    let (facts, exchanges): (Vec<&Value>, Vec<&Value>) =
        recording.lines.iter().partition(|line| text(line, "/group").starts_with("sdk-parse"));
    for line in exchanges {
        tally.add(text(line, "/id"), guarded(|| replay.line(line)));
    }
    // Facts about reading are checked on the bodies that the exchanges have brought.
    if !facts.is_empty()
        && let Err(problem) = replay.missing_samples()
    {
        tally.add("bodies for the facts", Outcome::failed(problem));
    }
    for line in facts {
        tally.add(text(line, "/id"), replay.samples.check(line, &recording.lines));
    }
    tally
}

struct Replay {
    shop: Shop,
    /// A second server whose clock stands where the recorded tokens are valid.
    tokens: Option<(Shop, Owner)>,
    /// A third server, which may tell events to this machine.
    telling: Option<Shop>,
    samples: Samples,
    /// Recorded public keys that are registered, by their text.
    signers: BTreeMap<String, ()>,
}

impl Replay {
    fn line(&mut self, line: &Value) -> Outcome {
        let verdict = match text(line, "/group") {
            "base62" => self.base62(line),
            "jwt" => self.jwt(line),
            "rule" => super::gr4vy_rules::run(&self.shop, line),
            "create" | "get" | "list" | "recorded" => return self.exchange(line),
            "errors" => return super::gr4vy_rules::error(&self.shop, line, &mut self.samples),
            "all" => return gr4vy_whole::refund_all(&self.shop, line, &mut self.samples),
            "transaction" => return gr4vy_whole::read(&self.shop, line, &mut self.samples),
            "webhook" => {
                let shop = self.telling.get_or_insert_with(super::gr4vy_webhook::shop);
                super::gr4vy_webhook::event(shop, line)
            }
            "webhook-signature" => super::gr4vy_webhook::signature(line),
            unknown => Err(format!("no meaning is known for the group {unknown:?}")),
        };
        let problems = verdict.err().into_iter().collect();
        Outcome::Run { decisions: BTreeSet::new(), problems }
    }

    /// A payment registered under the UUID shows it in base62.
    fn base62(&mut self, line: &Value) -> Result<(), String> {
        let (uuid, wanted) = (text(line, "/uuid"), text(line, "/base62"));
        if base62(uuid).as_deref() != Some(wanted) {
            return Err(format!("the check's own base62 of {uuid} is not {wanted}"));
        }
        let money =
            Money { amount: 100, currency: "EUR".to_owned(), captured: true, ..Money::default() };
        let stage = stage(&self.shop, uuid, &money);
        let answer = refund(&self.shop, &stage, &json!({"amount": 1}));
        let body = Tree::read(&answer.body)?;
        let shown = body.member("transaction_reconciliation_id").and_then(Tree::text);
        if shown != Some(wanted) {
            return Err(format!(
                "transaction_reconciliation_id {shown:?}: {} {}",
                answer.status,
                answer.text()
            ));
        }
        Ok(())
    }

    /// A recorded token, on a server whose clock stands where it is valid.
    fn jwt(&mut self, line: &Value) -> Result<(), String> {
        let (shop, owner) = self.tokens.get_or_insert_with(|| {
            let since = line["valid_from"].as_i64().unwrap_or_default().saturating_add(7200);
            let shop =
                Shop::open_with(Options { frozen_at: Some(utc(since)), ..Options::default() });
            let owner = shop.owner("Tokens");
            (shop, owner)
        });
        let pem = text(line, "/spki_pem");
        if self.signers.insert(pem.to_owned(), ()).is_none() {
            let file = tempfile::NamedTempFile::new().map_err(|e| e.to_string())?;
            fs::write(file.path(), pem).map_err(|e| e.to_string())?;
            let path = file.path().display().to_string();
            shop.server.cli().key_with(&owner.merchant, "gr4vy", &["--public-key", &path]);
        }
        let scopes = line["scopes"].as_array().cloned().unwrap_or_default();
        let writes_only = !scopes.is_empty()
            && scopes.iter().filter_map(Value::as_str).all(|scope| scope.ends_with(".write"));
        let path = "/gr4vy/transactions/00000000-0000-4000-8000-000000000000/refunds";
        let request = if writes_only {
            Request::post(path).json(&json!({"amount": 1}))
        } else {
            Request::get(path)
        };
        let answer = shop.server.send(&request.bearer(text(line, "/token")));
        let right: &[u16] = match line["accept"].as_bool() {
            // Let in, and then told that there is no such transaction.
            Some(true) => &[404],
            Some(false) => &[401],
            None => &[401, 403, 404],
        };
        if right.contains(&answer.status) {
            return Ok(());
        }
        Err(format!("{} answered {} {}", text(line, "/name"), answer.status, answer.text()))
    }

    /// A refund, or the reading of refunds, with the recorded answer.
    fn exchange(&mut self, line: &Value) -> Outcome {
        let whole = line.pointer("/response/body");
        let Some(told) = whole.or_else(|| line.pointer("/response/body_partial")) else {
            return Outcome::failed("an exchange without a recorded body".to_owned());
        };
        let (recorded, decisions) = &gr4vy_whole::unsettled(told);
        let items: Vec<Value> = match recorded.get("items").and_then(Value::as_array) {
            Some(items) => items.clone(),
            None => vec![recorded.clone()],
        };
        match self.exchanged(line, recorded, &items, whole.is_some()) {
            Ok(problems) => Outcome::Run { decisions: decisions.clone(), problems },
            Err(problem) => Outcome::failed(problem),
        }
    }

    fn exchanged(
        &mut self,
        line: &Value,
        recorded: &Value,
        items: &[Value],
        whole: bool,
    ) -> Result<Vec<String>, String> {
        let path = text(line, "/request/path");
        let given =
            path.split('/').nth(2).filter(|id| is_uuid(id) && path.starts_with("/transactions/"));
        let transaction = given.or_else(|| items.first().map(|item| text(item, "/transaction_id")));
        let transaction =
            transaction.filter(|id| is_uuid(id)).unwrap_or("7099948d-7286-47e4-aad8-b68f7eb44591");
        let stage = stage(&self.shop, transaction, &money_for(line, items));
        let answer = if text(line, "/op").starts_with("create") {
            let told = line.pointer("/request/body").cloned();
            let body = told.unwrap_or_else(|| body_of(recorded));
            let mut request = post(&stage, &body);
            for name in ["idempotency-key"] {
                if let Some(value) =
                    line.pointer(&format!("/request/headers/{name}")).and_then(Value::as_str)
                {
                    request = request.header(name, value);
                }
            }
            let answer = self.shop.server.send(&request);
            let missing = refund_headers(&request.target, &request.method, &answer);
            if !missing.is_empty() {
                return Ok(missing);
            }
            answer
        } else {
            self.read_back(&stage, line, items)?
        };
        let status = line.pointer("/response/status").and_then(Value::as_u64);
        if status != Some(answer.status.into()) {
            return Ok(vec![format!(
                "status {}, recorded {status:?}: {}",
                answer.status,
                answer.text()
            )]);
        }
        self.judge(&stage, recorded, &answer, whole)
    }

    /// Makes the recorded refunds, oldest first, and reads them through the recorded route.
    fn read_back(&self, stage: &Stage, line: &Value, items: &[Value]) -> Result<Response, String> {
        let mut made = String::new();
        for item in items.iter().rev() {
            let answer = refund(&self.shop, stage, &body_of(item));
            let body = Tree::read(&answer.body)?;
            let id = body.member("id").and_then(Tree::text);
            made = id.ok_or_else(|| format!("{} {}", answer.status, answer.text()))?.to_owned();
            self.reach(stage, &made, text(item, "/status"))?;
        }
        let path = text(line, "/request/path");
        let path = match (path, items.first().map(|item| text(item, "/id"))) {
            ("", _) => format!("/refunds/{made}"),
            (path, Some(id)) if !id.is_empty() => path.replace(id, &made),
            (path, _) => path.to_owned(),
        };
        Ok(self.shop.server.send(&get(stage, &path)))
    }

    /// Waits until a refund has the status.
    fn reach(&self, stage: &Stage, refund: &str, status: &str) -> Result<(), String> {
        let start = Instant::now();
        loop {
            let answer = self.shop.server.send(&get(stage, &format!("/refunds/{refund}")));
            let body = Tree::read(&answer.body)?;
            if body.member("status").and_then(Tree::text) == Some(status) {
                return Ok(());
            }
            if start.elapsed() > STATUS_WAIT_MAX {
                return Err(format!("never {status}: {}", answer.text()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn judge(
        &mut self,
        stage: &Stage,
        recorded: &Value,
        answer: &Response,
        whole: bool,
    ) -> Result<Vec<String>, String> {
        let ours = Tree::read(&answer.body)?;
        let dialect =
            Gr4vy { transaction: stage.transaction.clone(), cards: stage.cards.clone(), whole };
        let recorded = gr4vy_whole::loosened(recorded);
        let mut problems = compare(&dialect, &mut Ids::default(), &recorded, &ours).differences;
        let refunds = match ours.member("items").and_then(Tree::list) {
            Some(items) => items.to_vec(),
            None => vec![ours.clone()],
        };
        problems.extend(refunds.iter().flat_map(refund_problems));
        problems.extend(content_type(answer));
        if ours.member("items").is_some() {
            self.samples.add("refunds", ours);
        }
        for refund in refunds {
            self.samples.add("refund", refund);
        }
        if !problems.is_empty() {
            problems.push(format!("answer: {} {}", answer.status, shorten(&answer.text())));
        }
        Ok(problems)
    }

    /// Bodies that facts speak of and no exchange brought.
    fn missing_samples(&mut self) -> Result<(), String> {
        let money =
            Money { amount: 100, currency: "EUR".to_owned(), captured: true, ..Money::default() };
        let stage = stage(&self.shop, "7099948d-7286-47e4-aad8-b68f7eb44591", &money);
        let first = post(&stage, &json!({"amount": 1})).header("idempotency-key", "sample");
        let other = post(&stage, &json!({"amount": 2})).header("idempotency-key", "sample");
        let list = get(&stage, &format!("/transactions/{}/refunds", stage.transaction));
        for (schema, request) in [
            ("refund", first),
            ("err409", other),
            ("err400", post(&stage, &json!({"amount": 0}))),
            ("refunds", list),
        ] {
            let answer = self.shop.server.send(&request);
            if let Ok(body) = Tree::read(&answer.body) {
                self.samples.add(schema, body);
            }
        }
        gr4vy_pay::bring(&self.shop, &stage, &mut self.samples)
    }
}

/// The transaction that the recorded refunds belong to. Without an amount in the request the
/// recorded amount is all there is.
pub(super) fn money_for(line: &Value, items: &[Value]) -> Money {
    let first = items.first();
    let field = |name: &str| first.and_then(|item| item.get(name)).and_then(Value::as_str);
    let amount = first.and_then(|item| item.get("amount")).and_then(Value::as_i64);
    let open = line.pointer("/request/body").is_some_and(|body| body.get("amount").is_none());
    let cards = items.iter().filter(|item| text(item, "/target_type") == "gift-card-redemption");
    Money {
        amount: if open { amount.unwrap_or(PLENTY) } else { PLENTY },
        currency: field("currency").unwrap_or("USD").to_owned(),
        captured: true,
        gift_cards: cards
            .map(|item| (text(item, "/target_id").to_owned(), PLENTY))
            .take(1)
            .collect(),
        script: items.iter().rev().map(script_for).collect(),
        external_identifier: field("transaction_external_identifier").map(str::to_owned),
    }
}

/// The request that brings about a recorded refund.
pub(super) fn body_of(item: &Value) -> Value {
    let mut body = json!({});
    for name in ["amount", "target_type", "reason", "external_identifier"] {
        if let Some(value) = item.get(name) {
            body[name] = value.clone();
        }
    }
    if text(item, "/target_type") == "gift-card-redemption" {
        body["target_id"] = item["target_id"].clone();
    }
    body
}

/// Seconds since 1970 as libfaketime reads a time.
fn utc(seconds: i64) -> String {
    // Days to a date of the proleptic Gregorian calendar, counted in eras of 400 years.
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

#[test]
fn seconds_become_a_date() {
    assert_eq!(utc(0), "1970-01-01 00:00:00");
    assert_eq!(utc(1_795_289_000), "2026-11-21 19:23:20");
    assert_eq!(utc(1_709_164_799), "2024-02-28 23:59:59");
    assert_eq!(utc(1_709_164_800), "2024-02-29 00:00:00");
}
