//! Replays what Gr4vy tells without being asked: the refund that an event is about is made, and the message
//! that a subscriber gets is held against the recorded one. Recorded signatures are made with the check's
//! own code, which every message is checked with.

use serde_json::{Value, json};

use super::compare::{Ids, compare};
use super::demand::shorten;
use super::gr4vy::{body_of, money_for};
use super::gr4vy_shapes::{Gr4vy, refund_problems};
use super::gr4vy_stage::{refund, stage};
use super::gr4vy_whole::loosened;
use super::recording::{mounted, text};
use super::shop::Shop;
use super::tree::Tree;
use crate::support::{Options, Receiver, Request, SEALING_KEY, gr4vy_signature};

/// A server that may tell events to this machine, and calls itself as in the recordings.
pub(super) fn shop() -> Shop {
    let env = [
        ("REQUITE_SEALING_KEY", SEALING_KEY),
        ("REQUITE_WEBHOOKS_ADDRESSES", "any"),
        ("REQUITE_GR4VY_ID", "example"),
        ("REQUITE_GR4VY_ENVIRONMENT", "sandbox"),
    ];
    Shop::open_with(
        env.into_iter().fold(Options::default(), |options, (name, value)| options.env(name, value)),
    )
}

/// A message of the recorded name, whole and signed.
pub(super) fn event(shop: &Shop, line: &Value) -> Result<(), String> {
    let mut recorded = line["request"]["body"].clone();
    let target = recorded["target"].clone();
    let items = [target.clone()];
    let stage = stage(shop, text(&target, "/transaction_id"), &money_for(line, &items));
    recorded["merchant_account_id"] = json!(stage.owner.merchant.slug);
    let receiver = Receiver::content();
    let subscribe = Request::post(&mounted("gr4vy", "/webhook-subscriptions"))
        .bearer(&stage.token(&["webhook-subscriptions.write"]))
        .json(&json!({"url": receiver.url}));
    let made = shop.server.send(&subscribe);
    if made.status != 201 {
        return Err(format!("no subscription: {} {}", made.status, made.text()));
    }
    let secret = made.json()["secret"].as_str().expect("a secret").to_owned();
    let asked = refund(shop, &stage, &body_of(&target));
    if asked.status != 201 {
        return Err(format!("no refund: {} {}", asked.status, asked.text()));
    }
    let name = recorded["name"].clone();
    let message = receiver.wait(1, |message| message.json()["name"] == name).remove(0);
    let ours = Tree::read(message.body.as_bytes())?;
    let dialect =
        Gr4vy { transaction: stage.transaction.clone(), cards: stage.cards.clone(), whole: true };
    let mut recorded = Tree::from(&recorded);
    *recorded.at_mut("/target").ok_or("no target")? = loosened(&target);
    let mut problems = compare(&dialect, &mut Ids::default(), &recorded, &ours).differences;
    problems.extend(ours.member("target").into_iter().flat_map(refund_problems));
    let id = ours.member("id").and_then(Tree::text).unwrap_or_default();
    let header = |name: &str| message.header(&format!("x-gr4vy-webhook-{name}")).to_owned();
    if header("id") != id {
        problems.push(format!("the header's id {:?} is not the event's {id}", header("id")));
    }
    if header("signatures") != gr4vy_signature(&secret, &header("timestamp"), &message.body) {
        problems.push("the signature is not the secret's".to_owned());
    }
    if problems.is_empty() {
        return Ok(());
    }
    problems.push(shorten(&message.body));
    Err(problems.join("\n"))
}

/// A recorded signature: what checks messages makes it, too.
pub(super) fn signature(line: &Value) -> Result<(), String> {
    let timestamp = line["timestamp"].to_string();
    let made = gr4vy_signature(text(line, "/secret"), &timestamp, text(line, "/payload"));
    match made == text(line, "/signature") {
        true => Ok(()),
        false => Err(format!("the check's own signature is {made}")),
    }
}
