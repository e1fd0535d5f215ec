//! Gr4vy's rules and errors: what a call must be answered, in a state that follows from the line.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::gr4vy_shapes::Samples;
use super::gr4vy_stage::{Money, Stage, content_type, get, post, refund, stage};
use super::recording::{members, mounted, text};
use super::shop::Shop;
use super::tally::Outcome;
use super::tree::Tree;
use crate::support::{Options, Request, Response};

const TRANSACTION: &str = "7099948d-7286-47e4-aad8-b68f7eb44591";

/// The nil-like ids that rules use for things which do not exist.
const UNKNOWN: &str = "00000000-0000-4000-8000-000000000000";

pub(super) fn run(shop: &Shop, line: &Value) -> Result<(), String> {
    const KNOWN: [&str; 9] = [
        "status",
        "code",
        "pointer",
        "location",
        "error_code",
        "refund_status",
        "same_body_as_first",
        "key_still_free",
        "message",
    ];
    if let Some((unknown, _)) = members(line, "/expect").find(|(name, _)| !KNOWN.contains(name)) {
        return Err(format!("no meaning is known for expect {unknown:?}"));
    }
    let path = text(line, "/request/path");
    let named = path.strip_prefix("/transactions/").and_then(|rest| rest.split(['/', '?']).next());
    let transaction =
        named.filter(|id| super::compare::is_uuid(id) && *id != UNKNOWN).unwrap_or(TRANSACTION);
    let stage = stage(shop, transaction, &money(line));
    let path = existing_refund(shop, &stage, line, path);
    let request = request(&stage, line, &path);
    if line.pointer("/expect/same_body_as_first").is_some()
        || text(line, "/name").contains("same idempotency-key")
    {
        // The first call of a key; a rule about another body sends another one first.
        let other = line.pointer("/expect/status").and_then(Value::as_u64) != Some(201);
        let mut first = request.clone();
        if other {
            first = first.bytes(r#"{"amount":2}"#);
        }
        let first = shop.server.send(&first);
        let again = shop.server.send(&request);
        if !other && again.header("Idempotent-Replayed") != Some("true") {
            return Err("no Idempotent-Replayed: true (A4)".to_owned());
        }
        if !other && first.body != again.body {
            return Err(format!("first {:?}, repeat {:?}", first.text(), again.text()));
        }
        return expect(line, &again);
    }
    let answer = shop.server.send(&request);
    expect(line, &answer)?;
    if line.pointer("/expect/key_still_free").is_some() {
        let good = shop.server.send(&request.bytes(r#"{"amount":1}"#));
        if good.status != 201 {
            return Err(format!(
                "the key was kept by a refused call: {} {}",
                good.status,
                good.text()
            ));
        }
    }
    Ok(())
}

/// The transaction of a rule: captured and rich, unless the rule is about something else.
fn money(line: &Value) -> Money {
    let name = text(line, "/name");
    let asked = line.pointer("/request/body/amount").and_then(Value::as_i64).unwrap_or(1);
    let refused = line.pointer("/expect/status").and_then(Value::as_u64) == Some(400);
    let over = ["remaining", "exceed", "more than", "over-refund", "balance", "what is left"];
    let short = refused && over.iter().any(|word| name.contains(word));
    Money {
        amount: if short { asked.saturating_sub(1).max(1) } else { 90_000_000 },
        currency: "USD".to_owned(),
        captured: !(name.contains("not captured") || name.contains("uncaptured")),
        gift_cards: name
            .contains("gift card")
            .then(|| ("31e65fb1-9c67-432e-9c06-83300b9d4059".to_owned(), 10_000))
            .into_iter()
            .collect(),
        script: Vec::new(),
        external_identifier: None,
    }
}

/// A rule that reads a refund below the wrong transaction needs one below the right one.
fn existing_refund(shop: &Shop, stage: &Stage, line: &Value, path: &str) -> String {
    let (Some(named), true) = (path.rsplit('/').next(), path.contains("/refunds/")) else {
        return path.to_owned();
    };
    if !super::compare::is_uuid(named) || named == UNKNOWN {
        return path.to_owned();
    }
    let elsewhere = text(line, "/name").contains("another transaction");
    let below = if elsewhere {
        json!("5ca1ab1e-0000-4000-8000-000000000001")
    } else {
        json!(stage.transaction)
    };
    if elsewhere {
        let other = json!({"id": below, "amount": 100, "currency": "USD", "captures": [{"amount": 100}],
            "connector": "sandbox"});
        shop.register(&stage.owner, &other);
    }
    let there = Stage {
        owner: super::shop::Owner {
            merchant: stage.owner.merchant.clone(),
            native: stage.owner.native.clone(),
        },
        key: stage.key.clone(),
        transaction: below.as_str().unwrap_or_default().to_owned(),
        cards: Vec::new(),
    };
    let made = refund(shop, &there, &json!({"amount": 1}));
    let id = Tree::read(&made.body)
        .ok()
        .and_then(|body| body.member("id").and_then(Tree::text).map(str::to_owned));
    path.replace(named, &id.unwrap_or_default())
}

fn request(stage: &Stage, line: &Value, path: &str) -> Request {
    let mut request = Request::new(text(line, "/request/method"), &mounted("gr4vy", path));
    let scopes = text(line, "/request/headers/scopes");
    let scopes: Vec<&str> = match scopes {
        "" => vec!["*.read", "*.write"],
        scopes => scopes.split([' ', ',']).filter(|scope| !scope.is_empty()).collect(),
    };
    let token = stage.token(&scopes);
    for (name, value) in members(line, "/request/headers") {
        let value = value.as_str().unwrap_or_default();
        request = match name {
            "scopes" => request,
            "authorization" => match value.split_once(' ') {
                Some((scheme, sent)) if sent.starts_with('<') => {
                    request.header(name, &format!("{scheme} {token}"))
                }
                _ => request.header(name, value),
            },
            "x-gr4vy-merchant-account-id" if value == "default" => {
                request.header(name, &stage.owner.merchant.slug)
            }
            _ => request.header(name, value),
        };
    }
    if let Some(raw) = line.pointer("/request/raw_body").and_then(Value::as_str) {
        request = request.header("content-type", "application/json").bytes(raw);
    } else if let Some(body) = line.pointer("/request/body") {
        request = request.bytes(body.to_string());
    }
    request
}

fn expect(line: &Value, answer: &Response) -> Result<(), String> {
    let said = || format!("{} {}", answer.status, answer.text());
    let expected = &line["expect"];
    if expected["status"].as_u64() != Some(answer.status.into()) {
        return Err(format!("wanted {}: {}", expected["status"], said()));
    }
    if let Some(problem) = content_type(answer) {
        return Err(problem);
    }
    let body = Tree::read(&answer.body)?;
    if let Some(problem) = (answer.status >= 400).then(|| shape(&body, answer.status)).flatten() {
        return Err(format!("{problem}: {}", said()));
    }
    let member = |name: &str| body.member(name).and_then(Tree::text);
    for name in ["code", "error_code"] {
        if let Some(wanted) = expected.get(name).and_then(Value::as_str)
            && member(name) != Some(wanted)
        {
            return Err(format!("wanted {name} {wanted}: {}", said()));
        }
    }
    if let Some(wanted) = expected.get("refund_status").and_then(Value::as_str)
        && !wanted.split(" or ").any(|word| member("status") == Some(word))
    {
        return Err(format!("wanted status {wanted}: {}", said()));
    }
    let (pointer, location) = (text(expected, "/pointer"), text(expected, "/location"));
    let details = body.member("details").and_then(Tree::list).unwrap_or_default();
    let named = details.iter().any(|detail| {
        let is = |name: &str, wanted: &str| {
            wanted.is_empty() || detail.member(name).and_then(Tree::text) == Some(wanted)
        };
        is("pointer", pointer) && is("location", location)
    });
    let asked = !pointer.is_empty() || !location.is_empty();
    if asked && !named {
        return Err(format!("wanted a detail at {location} {pointer}: {}", said()));
    }
    Ok(())
}

/// What is wrong with an error body: the SDKs need its members complete.
fn shape(body: &Tree, status: u16) -> Option<String> {
    let text = |tree: &Tree, name: &str| {
        tree.member(name).and_then(Tree::text).is_some_and(|t| !t.is_empty())
    };
    if body.member("type").and_then(Tree::text) != Some("error") {
        return Some("type is not error".to_owned());
    }
    if body.member("status") != Some(&Tree::Number(status.into())) {
        return Some("status does not repeat the status".to_owned());
    }
    if !text(body, "code") || !text(body, "message") {
        return Some("no code or no message".to_owned());
    }
    let Some(details) = body.member("details").and_then(Tree::list) else {
        return Some("details is no list".to_owned());
    };
    let whole = |detail: &Tree| {
        let location = detail.member("location").and_then(Tree::text).unwrap_or_default();
        ["query", "body", "path", "header", "unknown"].contains(&location)
            && ["pointer", "message", "type"]
                .iter()
                .all(|name| detail.member(name).and_then(Tree::text).is_some())
    };
    details
        .iter()
        .find(|detail| !whole(detail))
        .map(|detail| format!("an incomplete detail: {detail}"))
}

/// An error body of the recordings: brought about, and compared in form, code and status.
pub(super) fn error(shop: &Shop, line: &Value, samples: &mut Samples) -> Outcome {
    let status = line.pointer("/response/status").and_then(Value::as_u64).unwrap_or_default();
    let code = text(line, "/response/body/code");
    let plain = dollars(1000);
    let body = line.pointer("/request/body").cloned().unwrap_or_else(|| json!({"amount": 1299}));
    let mut decisions = BTreeSet::new();
    let mut wanted = code;
    let answer = match (status, code) {
        (400, _) if line["request"].is_null() => {
            let body = json!({"target_type": "gift-card-redemption"});
            refund(shop, &stage(shop, TRANSACTION, &plain), &body)
        }
        (400, _) => {
            decisions.insert("G1");
            refund(shop, &stage(shop, TRANSACTION, &plain), &body)
        }
        (401, _) => shop.server.send(
            &Request::post(&mounted("gr4vy", &format!("/transactions/{TRANSACTION}/refunds")))
                .json(&body),
        ),
        (403, _) => {
            let stage = stage(shop, TRANSACTION, &plain);
            let mut request = post(&stage, &body);
            request.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("authorization"));
            shop.server.send(&request.bearer(&stage.token(&["transactions.read"])))
        }
        (404, _) => {
            let stage =
                Stage { transaction: UNKNOWN.to_owned(), ..stage(shop, TRANSACTION, &plain) };
            refund(shop, &stage, &body)
        }
        (405, _) => shop.server.send(&method(
            get(&stage(shop, TRANSACTION, &plain), &format!("/refunds/{UNKNOWN}")),
            "DELETE",
        )),
        (409, "concurrent_request") => concurrent(shop, &body),
        (409, _) => {
            decisions.insert("G3");
            wanted = "idempotency_mismatch";
            let stage = stage(shop, TRANSACTION, &plain);
            shop.server.send(&post(&stage, &json!({"amount": 1})).header("idempotency-key", "one"));
            shop.server.send(&post(&stage, &body).header("idempotency-key", "one"))
        }
        (500, _) => broken(&body),
        (504, _) => return unanswered(shop, &body),
        (429, _) => too_often(&body),
        _ => return Outcome::failed(format!("nobody knows how to bring about {status} {code}")),
    };
    let mut problems = Vec::new();
    match Tree::read(&answer.body) {
        Err(problem) => problems.push(problem),
        Ok(body) => {
            if u64::from(answer.status) != status
                || body.member("code").and_then(Tree::text) != Some(wanted)
            {
                problems.push(format!("wanted {status} {wanted}"));
            }
            problems.extend(shape(&body, answer.status));
            samples.add(if status == 409 { "err409" } else { "err400" }, body);
        }
    }
    problems.extend(content_type(&answer));
    if !problems.is_empty() {
        problems.push(format!("answer: {} {}", answer.status, answer.text()));
    }
    Outcome::Run { decisions, problems }
}

/// Captured, in cents.
fn dollars(amount: i64) -> Money {
    Money { amount, currency: "USD".to_owned(), captured: true, ..Money::default() }
}

/// A store that lost a table under its server.
fn broken(body: &Value) -> Response {
    let shop = Shop::open();
    let stage = stage(&shop, TRANSACTION, &dollars(90_000));
    shop.server.change_store("alter table refund rename to lost");
    refund(&shop, &stage, body)
}

/// Where the original says that its time is up, the refund is there and under way (decision G2): an
/// error would invite a second one.
fn unanswered(shop: &Shop, body: &Value) -> Outcome {
    let money = Money { script: vec!["hang".to_owned()], ..dollars(90_000) };
    let answer = refund(shop, &stage(shop, TRANSACTION, &money), body);
    let shown = Tree::read(&answer.body).ok();
    let status = shown.as_ref().and_then(|body| body.member("status")).and_then(Tree::text);
    let is_open = answer.status == 201 && status == Some("processing");
    let problem = format!("wanted 201 processing: {} {}", answer.status, answer.text());
    let problems = (!is_open).then_some(problem).into_iter().collect();
    Outcome::Run { decisions: BTreeSet::from(["G2"]), problems }
}

/// A credential that has asked once within a second, where once is the limit.
fn too_often(body: &Value) -> Response {
    let limit = ("REQUITE_LIMITS_REQUESTS_PER_SECOND_MAX", "1");
    let shop = Shop::open_with(Options::default().env(limit.0, limit.1));
    let stage = stage(&shop, TRANSACTION, &dollars(90_000));
    let answers = shop.server.send_at_once(&[post(&stage, body), post(&stage, body)]);
    let refused = answers.iter().find(|answer| answer.status == 429);
    refused.or(answers.first()).expect("two answers came").clone()
}

/// The same key while the first call with it is still at the PSP.
fn concurrent(shop: &Shop, body: &Value) -> Response {
    let money = Money { script: vec!["hang".to_owned()], ..dollars(90_000) };
    let stage = stage(shop, TRANSACTION, &money);
    let request = post(&stage, body).header("idempotency-key", "one");
    let answers = shop.server.send_at_once(&[request.clone(), request]);
    let refused = answers.iter().find(|answer| answer.status == 409);
    refused.or(answers.first()).expect("two answers came").clone()
}

fn method(mut request: Request, method: &str) -> Request {
    method.clone_into(&mut request.method);
    request
}
