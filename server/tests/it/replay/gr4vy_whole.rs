//! Gr4vy's transaction as a whole: reading it, and refunding all that is left of it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::compare::{Dialect, Ids, compare, is_uuid};
use super::demand::shorten;
use super::gr4vy_shapes::{Gr4vy, Samples, is_timestamp, refund_problems};
use super::gr4vy_stage::{Money, Stage, content_type, get, script_for, stage};
use super::recording::{members, mounted, text};
use super::shop::Shop;
use super::tally::Outcome;
use super::tree::Tree;
use crate::support::{Request, Response};

/// Members that tell what a payment was made with. They are properties of its registration.
const REGISTERED: [&str; 8] = [
    "country",
    "payment_method",
    "method",
    "instrument_type",
    "payment_service",
    "buyer",
    "additional_identifiers",
    "gift_card_service",
];

struct Transaction {
    slug: String,
    id: String,
}

impl Dialect for Transaction {
    fn judge(&self, path: &str, recorded: &Tree, ours: &Tree) -> Option<Result<(), String>> {
        let is = |right: bool| {
            Some(if right { Ok(()) } else { Err(format!("ours {ours}, recorded {recorded}")) })
        };
        let said = ours.text().unwrap_or_default();
        let name = path.rsplit('/').next().unwrap_or_default();
        match name {
            "id" if path == "/id" => is(said == self.id),
            "id" => is(is_uuid(said)),
            "merchant_account_id" => is(said == self.slug),
            "gift_card" => is(matches!(ours, Tree::Object(_))),
            "gift_card_service_redemption_id" => is(*ours == Tree::Null || !said.is_empty()),
            name if REGISTERED.contains(&name) => is(true),
            name if name.ends_with("_at") => is(match recorded {
                Tree::Null => *ours == Tree::Null,
                _ => is_timestamp(said),
            }),
            _ => None,
        }
    }

    fn addition(&self, _path: &str) -> Option<&'static str> {
        None
    }
}

/// Reads a transaction in the recorded state.
pub(super) fn read(shop: &Shop, line: &Value, samples: &mut Samples) -> Outcome {
    let (body, decisions) = &unsettled(&line["response"]["body"]);
    let number = |name: &str| body[name].as_i64().unwrap_or_default();
    let id = text(body, "/id");
    let redemptions = body["gift_card_redemptions"].as_array().cloned().unwrap_or_default();
    let cards = redemptions
        .iter()
        .map(|card| (text(card, "/id").to_owned(), card["amount"].as_i64().unwrap_or_default()));
    let money = Money {
        amount: number("authorized_amount"),
        currency: text(body, "/currency").to_owned(),
        captured: number("captured_amount") > 0,
        gift_cards: cards.collect(),
        external_identifier: body["external_identifier"].as_str().map(str::to_owned),
        ..Money::default()
    };
    let stage = stage(shop, id, &money);
    if number("refunded_amount") > 0 {
        shop.refund(&stage.owner, id, number("refunded_amount"));
    }
    for card in redemptions.iter().filter(|card| card["refunded_amount"].as_i64() > Some(0)) {
        let body = json!({"amount": card["refunded_amount"], "leg": card["id"]});
        shop.native(&stage.owner, id, "refunds", &body);
    }
    let answer = shop.server.send(&get(&stage, text(line, "/request/path")));
    let problems = match Tree::read(&answer.body) {
        Err(problem) => vec![problem],
        Ok(ours) => {
            let dialect =
                Transaction { slug: stage.owner.merchant.slug.clone(), id: id.to_owned() };
            let found = compare(&dialect, &mut Ids::default(), &Tree::from(body), &ours);
            for card in
                ours.member("gift_card_redemptions").and_then(Tree::list).unwrap_or_default()
            {
                samples.add("giftcardredemption", card.clone());
            }
            samples.add("transaction", ours);
            found.differences
        }
    };
    judged(problems, line, (&answer, decisions))
}

/// Refunds all that is left of each instrument of a transaction.
pub(super) fn refund_all(shop: &Shop, line: &Value, samples: &mut Samples) -> Outcome {
    let body = &line["response"]["body"];
    let items = body["items"].as_array().cloned().unwrap_or_default();
    let transaction = text(line, "/request/path").split('/').nth(2).unwrap_or_default();
    let money = instruments(&items);
    let stage = stage(shop, transaction, &money);
    let answer = shop.server.send(&request(&stage, line));
    let dialect = Gr4vy {
        transaction: transaction.to_owned(),
        cards: money.gift_cards.iter().map(|(id, _)| id.clone()).collect(),
        whole: true,
    };
    let problems = match Tree::read(&answer.body) {
        Err(problem) => vec![problem],
        Ok(ours) => {
            let mut found =
                compare(&dialect, &mut Ids::default(), &loosened(body), &ours).differences;
            let refunds = ours.member("items").and_then(Tree::list).unwrap_or_default().to_vec();
            found.extend(refunds.iter().flat_map(refund_problems));
            samples.add("refunds", ours);
            found
        }
    };
    judged(problems, line, (&answer, &BTreeSet::new()))
}

/// The recorded body as decision B33 has it: nothing is settled here, and nobody created it.
pub(super) fn unsettled(recorded: &Value) -> (Value, BTreeSet<&'static str>) {
    let mut body = recorded.clone();
    for (name, demanded) in [
        ("settled", json!(false)),
        ("settled_amount", json!(0)),
        ("settled_currency", Value::Null),
        ("creator", Value::Null),
    ] {
        if let Some(there) = body.get_mut(name) {
            *there = demanded;
        }
    }
    let decisions = (body != *recorded).then_some("B33").into_iter().collect();
    (body, decisions)
}

/// The recorded body with what only the recorded provider could say left open: its code for all
/// that fails, and its name for a refund that it did not make.
pub(super) fn loosened(recorded: &Value) -> Tree {
    let mut recorded = Tree::from(recorded);
    let items = recorded.member("items").and_then(Tree::list).map_or(0, <[Tree]>::len);
    let places = (0..items).map(|i| format!("/items/{i}")).chain([String::new()]);
    for place in places {
        let status = recorded.at(&format!("{place}/status")).and_then(Tree::text);
        let open: &[&str] = match status {
            Some("failed") => &["raw_response_code", "payment_service_refund_id"],
            Some("declined") => &["payment_service_refund_id"],
            _ => &[],
        };
        for name in open {
            if let Some(value) = recorded.at_mut(&format!("{place}/{name}")) {
                *value = Tree::Any;
            }
        }
    }
    recorded
}

/// What the recorded refunds took everything of.
fn instruments(items: &[Value]) -> Money {
    let card = |item: &&Value| text(item, "/target_type") == "gift-card-redemption";
    let amount = |item: &Value| item["amount"].as_i64().unwrap_or_default();
    let method = items.iter().find(|item| !card(item));
    let first = items.first().cloned().unwrap_or_default();
    let cards = items.iter().filter(card);
    Money {
        amount: method.map_or(100, amount),
        currency: text(&first, "/currency").to_owned(),
        captured: method.is_some(),
        gift_cards: cards.map(|item| (text(item, "/target_id").to_owned(), amount(item))).collect(),
        script: items.iter().map(script_for).collect(),
        external_identifier: first["transaction_external_identifier"].as_str().map(str::to_owned),
    }
}

fn request(stage: &Stage, line: &Value) -> Request {
    let path = mounted("gr4vy", text(line, "/request/path"));
    let mut request = Request::post(&path)
        .bearer(&stage.token(&["*.read", "*.write"]))
        .header("x-gr4vy-merchant-account-id", &stage.owner.merchant.slug);
    for (name, value) in members(line, "/request/headers") {
        if matches!(name, "content-type" | "idempotency-key") {
            request = request.header(name, value.as_str().unwrap_or_default());
        }
    }
    request.body = match (line.pointer("/request/raw_body"), line.pointer("/request/body")) {
        (Some(raw), _) => Some(raw.as_str().unwrap_or_default().as_bytes().to_vec()),
        (None, Some(body)) => Some(body.to_string().into_bytes()),
        (None, None) => None,
    };
    request
}

fn judged(
    mut problems: Vec<String>,
    line: &Value,
    (answer, decisions): (&Response, &BTreeSet<&'static str>),
) -> Outcome {
    let status = line.pointer("/response/status").and_then(Value::as_u64);
    if status != Some(answer.status.into()) {
        problems.push(format!("status {}, recorded {status:?}", answer.status));
    }
    problems.extend(content_type(answer));
    if !problems.is_empty() {
        problems.push(format!("answer: {} {}", answer.status, shorten(&answer.text())));
    }
    Outcome::Run { decisions: decisions.clone(), problems }
}

#[test]
fn what_was_refunded_tells_what_there_was() {
    let items = [
        json!({"amount": 1299, "currency": "USD", "target_type": "payment-method", "status": "declined",
            "raw_response_code": "E104", "raw_response_description": "no"}),
        json!({"amount": 100, "currency": "USD", "target_type": "gift-card-redemption", "target_id": "x", "status": "succeeded"}),
    ];
    let money = instruments(&items);
    assert_eq!((money.amount, money.captured), (1299, true));
    assert_eq!(money.gift_cards, [("x".to_owned(), 100)]);
    assert_eq!(money.script, ["decline:E104:no", "approve"]);
}
