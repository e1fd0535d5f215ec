//! Prepares what a scenario's `given` tells: a merchant, its keys, the order or the charge, and what
//! the PSP is going to answer. A word that has no meaning here is an error that names it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::recording::{members, text};
use super::shop::{Owner, Shop};
use crate::support::stripe::{self, Stripe};

/// What a literal order has and a registration does not take: the id that the original drew for
/// its capture. It is compared by its form.
pub(super) const DRAWN: [&str; 1] = ["transactions.0.id"];

/// A prepared state.
pub(super) struct Ground {
    pub(super) owner: Owner,
    /// The payment's id, empty when none was given.
    pub(super) payment: String,
    /// `$order`, `$key` and so on.
    pub(super) vars: BTreeMap<String, String>,
    /// Calls to the PSP that preparing took.
    pub(super) calls_before: u64,
    /// The PSP, where a step asks what it was sent; else the sandbox.
    pub(super) stripe: Option<Stripe>,
    /// Where the PSP's webhooks are taken.
    pub(super) hook_path: String,
}

/// What the PSP calls the payment.
const CHARGE: &str = "ch_replayed";

/// Does a step ask what the PSP was sent, or tell what it says?
pub(super) fn asks_psp(line: &Value) -> bool {
    let mut steps = line["steps"].as_array().into_iter().flatten();
    let members = ["psp_last_call", "stripe_event"];
    steps.any(|step| members.iter().any(|member| step.get(*member).is_some()))
}

const MPG_SCOPES: [&str; 6] = [
    "orders_create",
    "orders_read",
    "orders_capture",
    "orders_void",
    "orders_extend",
    "orders_refund",
];

pub(super) fn prepare(shop: &Shop, face: &str, line: &Value) -> Result<Ground, String> {
    const KNOWN: [&str; 12] = [
        "order",
        "order_literal",
        "psp",
        "key",
        "key_without",
        "clock",
        "fresh_day",
        "payment",
        "charge",
        "customer_id",
        "token",
        "note",
    ];
    let given = &line["given"];
    if let Some((unknown, _)) = members(given, "").find(|(name, _)| !KNOWN.contains(name)) {
        return Err(format!("no meaning is known for given {unknown:?}"));
    }
    let owner = owner(shop, line);
    let mut vars = BTreeMap::new();
    let credential = credential(shop, face, &owner, given)?;
    vars.insert("$key".to_owned(), credential.clone());
    vars.insert("$token".to_owned(), credential);
    let script = script(line)?;
    let registered =
        if face == "moyasar-mpg" { order(given, script)? } else { charge(given, script)? };
    let stripe = asks_psp(line).then(Stripe::start);
    let mut ground = Ground {
        owner,
        payment: String::new(),
        vars,
        calls_before: 0,
        stripe,
        hook_path: String::new(),
    };
    if let Some((mut payment, after)) = registered {
        if let Some(stripe) = &ground.stripe {
            let cli = shop.server.cli();
            ground.hook_path = stripe.open_account(&cli, &ground.owner.merchant.id);
            payment["connector"] = json!(stripe::ACCOUNT);
            payment["connector_payment"] = json!(CHARGE);
            payment["sandbox"] = Value::Null;
        }
        settle(shop, &mut ground, &payment, &after);
    }
    Ok(ground)
}

/// The scenario's merchant: one of its own, or just the one that a literal order shows.
fn owner(shop: &Shop, line: &Value) -> Owner {
    let Some(shown) = line.pointer("/given/order_literal/merchant") else {
        return shop.owner(text(line, "/id"));
    };
    let known = [
        ("--id", "/id"),
        ("--acquirer-id", "/acquirer_id"),
        ("--arabic-name", "/arabic_name"),
        ("--merchant-number", "/merchant_id"),
    ];
    let known = known.map(|(option, place)| [option, text(shown, place)]);
    let options: Vec<&str> =
        known.iter().filter(|[_, value]| !value.is_empty()).flatten().copied().collect();
    shop.owner_with(text(shown, "/name"), &options)
}

/// What is done to a payment once it is registered.
#[derive(Default)]
struct After {
    refunded: i64,
    voided: i64,
}

fn settle(shop: &Shop, ground: &mut Ground, payment: &Value, after: &After) {
    let made = shop.server.register(&ground.owner.native, payment);
    let given = payment.get("id").and_then(Value::as_str);
    let id = given.unwrap_or_else(|| text(&made, "/id")).to_owned();
    if after.voided > 0 {
        shop.native(&ground.owner, &id, "voids", &json!({"amount": after.voided}));
    }
    if after.refunded > 0 {
        shop.refund(&ground.owner, &id, after.refunded);
    }
    ground.calls_before = shop.books(&ground.owner, &id).attempts();
    for (name, spelling) in [("$charge", "/ids/loop"), ("$payment", "/ids/medusa")] {
        ground.vars.insert(name.to_owned(), text(&made, spelling).to_owned());
    }
    ground.vars.insert("$order".to_owned(), id.clone());
    ground.payment = id;
}

fn credential(shop: &Shop, face: &str, owner: &Owner, given: &Value) -> Result<String, String> {
    let cli = shop.server.cli();
    let face = if face == "moyasar-mpg" { "mpg" } else { "loop" };
    match (text(given, "/key"), text(given, "/token"), text(given, "/key_without")) {
        ("", "", "") => Ok(cli.key(&owner.merchant, face).token),
        ("of another merchant", _, _) | (_, "of another merchant", _) => {
            let other = shop.owner("Another merchant");
            Ok(cli.key(&other.merchant, face).token)
        }
        (_, "no admin", _) => {
            Ok(cli.key_with(&owner.merchant, face, &["--scope", "read:payments"]).token)
        }
        ("", "", without) => {
            let scopes = MPG_SCOPES.iter().filter(|scope| **scope != without);
            let options: Vec<&str> = scopes.flat_map(|scope| ["--scope", scope]).collect();
            Ok(cli.key_with(&owner.merchant, face, &options).token)
        }
        other => Err(format!("no meaning is known for the credential {other:?}")),
    }
}

/// The PSP's answers in the sandbox's words. What a later step delivers is part of the answer here:
/// the sandbox settles a pending refund by itself.
fn script(line: &Value) -> Result<Vec<String>, String> {
    let steps = line["steps"].as_array().into_iter().flatten();
    let mut events = steps.filter_map(|step| step.get("psp_event").and_then(Value::as_str));
    let words = line.pointer("/given/psp").and_then(Value::as_array).cloned().unwrap_or_default();
    let steps = line["steps"].as_array().into_iter().flatten();
    let mut released =
        steps.filter_map(|step| step.get("release_after_ms").and_then(Value::as_u64));
    let mut script = Vec::new();
    for word in words.iter().filter_map(Value::as_str) {
        script.push(match word.split_once(':').unwrap_or((word, "")) {
            ("approve" | "succeeded", "") => "approve".to_owned(),
            ("failed", "") => "fail".to_owned(),
            ("decline", code) => format!("decline:{code}"),
            ("timeout", "") => match events.next() {
                None => "lost:never".to_owned(),
                Some("approved" | "succeeded") => "lost".to_owned(),
                Some("failed" | "declined") => "lost:decline:05".to_owned(),
                Some(other) => {
                    return Err(format!("no meaning is known for the PSP's event {other:?}"));
                }
            },
            ("hang", "") => match released.next() {
                None => "hang".to_owned(),
                Some(ms) => format!("hang:{ms}"),
            },
            ("pending", "") => pending(events.next())?,
            ("http", rest) => http(rest),
            _ => return Err(format!("no meaning is known for the PSP's answer {word:?}")),
        });
    }
    Ok(script)
}

fn pending(event: Option<&str>) -> Result<String, String> {
    match event {
        None => Ok("pending".to_owned()),
        Some("failed") => Ok("pending:decline:05".to_owned()),
        Some("succeeded" | "approved") => Ok("pending:approve".to_owned()),
        Some(other) => Err(format!("no meaning is known for the PSP's event {other:?}")),
    }
}

/// `400:charge_already_refunded`: a 4xx that names a reason is the PSP's no.
fn http(rest: &str) -> String {
    match rest.split_once(':') {
        Some((status, code)) if status.starts_with('4') && status != "409" && status != "429" => {
            format!("decline:{code}")
        }
        Some((status, _)) => format!("http:{status}"),
        None => format!("http:{rest}"),
    }
}

fn order(given: &Value, script: Vec<String>) -> Result<Option<(Value, After)>, String> {
    if let Some(literal) = given.get("order_literal") {
        return Ok(Some((literal_order(literal, script), After::default())));
    }
    let Some(order) = given.get("order") else {
        return Ok(None);
    };
    const KNOWN: [&str; 6] = ["amount", "currency", "captures", "voided", "first", "description"];
    if let Some((unknown, _)) = members(order, "").find(|(name, _)| !KNOWN.contains(name)) {
        return Err(format!("no meaning is known for an order's {unknown:?}"));
    }
    let captures = order["captures"].as_array().cloned().unwrap_or_default();
    let captures: Vec<Value> = captures.iter().map(|amount| json!({"amount": amount})).collect();
    let payment = json!({
        "amount": order["amount"], "currency": order["currency"], "captures": captures,
        "description": order.get("description").cloned().unwrap_or_default(),
        "connector": "sandbox", "sandbox": script,
    });
    let voided = order["voided"].as_i64().unwrap_or_default();
    Ok(Some((payment, After { voided, refunded: 0 })))
}

/// An order as the face shows it, turned into what registers it.
fn literal_order(order: &Value, script: Vec<String>) -> Value {
    let rows = order["transactions"].as_array().into_iter().flatten();
    let captures: Vec<Value> = rows
        .filter(|row| matches!(text(row, "/type"), "capture" | "purchase"))
        .map(|row| {
            let mut capture = json!({});
            for name in ["amount", "retrieval_reference", "stan", "auth_code"] {
                capture[name] = row[name].clone();
            }
            capture
        })
        .collect();
    let mut payment = json!({"captures": captures, "connector": "sandbox", "sandbox": script});
    for name in [
        "id",
        "amount",
        "currency",
        "description",
        "created_at",
        "source",
        "airline",
        "sub_merchant",
    ] {
        payment[name] = order[name].clone();
    }
    payment
}

fn charge(given: &Value, mut script: Vec<String>) -> Result<Option<(Value, After)>, String> {
    let Some(charge) = given.get("charge").or_else(|| given.get("payment")) else {
        return Ok(None);
    };
    let payment = given.get("payment").cloned().unwrap_or_default();
    const KNOWN: [&str; 7] = [
        "amount_cents",
        "refunded_cents",
        "currency",
        "status",
        "payment",
        "stripe_charge_id",
        "stripe_payment_intent_id",
    ];
    for side in [charge, &payment] {
        if let Some((unknown, _)) = members(side, "").find(|(name, _)| !KNOWN.contains(name)) {
            return Err(format!("no meaning is known for a charge's or payment's {unknown:?}"));
        }
    }
    let aliases = ["stripe_charge_id", "stripe_payment_intent_id"];
    let aliases = aliases.iter().flat_map(|name| [charge.get(name), payment.get(name)]);
    let aliases: Vec<&Value> = aliases.flatten().collect();
    let number = |name: &str| charge.get(name).and_then(Value::as_i64).unwrap_or_default();
    let amount = number("amount_cents");
    let captured = match text(&payment, "/status") {
        "succeeded" | "refunded" | "partially_refunded" => true,
        "processing" | "failed" | "pending" | "requires_action" | "canceled" | "" => false,
        other => {
            return Err(format!("no meaning is known for the payment's status {other:?}"));
        }
    };
    let refunded = number("refunded_cents");
    if refunded > 0 {
        script.insert(0, "approve".to_owned());
    }
    let currency = payment.get("currency").and_then(Value::as_str).unwrap_or("usd").to_uppercase();
    let mut made = json!({
        "amount": amount, "currency": currency, "connector": "sandbox", "sandbox": script,
        "captures": if captured { json!([{"amount": amount}]) } else { json!([]) },
        "aliases": aliases,
    });
    if let Some(customer) = given.get("customer_id") {
        made["customer"] = customer.clone();
    }
    if charge.get("payment").is_some_and(Value::is_null) {
        return Err("a charge without a payment cannot be registered".to_owned());
    }
    Ok(Some((made, After { refunded, voided: 0 })))
}

#[test]
fn the_psps_words_become_the_sandboxs() {
    let line = |psp: Value, steps: Value| json!({"given": {"psp": psp}, "steps": steps});
    let event = json!([{"psp_event": "failed"}]);
    let rows = [
        (
            line(json!(["approve", "decline:51", "timeout"]), json!([])),
            vec!["approve", "decline:51", "lost:never"],
        ),
        (line(json!(["pending", "approve"]), event), vec!["pending:decline:05", "approve"]),
        (line(json!(["pending"]), json!([])), vec!["pending"]),
        (
            line(json!(["http:400:charge_already_refunded"]), json!([])),
            vec!["decline:charge_already_refunded"],
        ),
        (line(json!(["http:500:api_error"]), json!([])), vec!["http:500"]),
    ];
    for (line, wanted) in rows {
        assert_eq!(script(&line), Ok(wanted.iter().map(|w| (*w).to_owned()).collect()));
    }
    assert!(script(&line(json!(["explode"]), json!([]))).is_err());
}
