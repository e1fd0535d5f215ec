//! What a Gr4vy call needs: a merchant with a key, a transaction, and signed tokens.

use serde_json::{Value, json};

use super::recording::{mounted, text};
use super::shop::{Owner, Shop};
use crate::support::{Gr4vyClaims, Key, Request, Response, sign_gr4vy_token};

/// Enough for every amount of the recordings, the simulator's magic ones included.
pub(super) const PLENTY: i64 = 90_000_000;

/// A merchant with a captured transaction, and a way to call as it.
pub(super) struct Stage {
    pub(super) owner: Owner,
    pub(super) key: Key,
    pub(super) transaction: String,
    /// Its gift card redemptions.
    pub(super) cards: Vec<String>,
}

impl Stage {
    pub(super) fn token(&self, scopes: &[&str]) -> String {
        let scopes: Vec<String> = scopes.iter().map(|s| (*s).to_owned()).collect();
        let pem = self.key.private_key_pem.as_deref().expect("a gr4vy key shows its private key");
        sign_gr4vy_token(pem, &Gr4vyClaims { scopes, ..Gr4vyClaims::default() })
    }
}

/// What a transaction is registered with.
#[derive(Default)]
pub(super) struct Money {
    pub(super) amount: i64,
    pub(super) currency: String,
    pub(super) captured: bool,
    /// Id and amount of each redemption.
    pub(super) gift_cards: Vec<(String, i64)>,
    pub(super) script: Vec<String>,
    pub(super) external_identifier: Option<String>,
}

/// Registers a transaction of a new merchant.
pub(super) fn stage(shop: &Shop, transaction: &str, money: &Money) -> Stage {
    let owner = shop.owner("Gr4vy merchant");
    let key = shop.server.cli().key(&owner.merchant, "gr4vy");
    let mut payment = json!({
        "id": transaction, "amount": money.amount, "currency": money.currency,
        "captures": if money.captured { json!([{"amount": money.amount}]) } else { json!([]) },
        "connector": "sandbox", "sandbox": money.script,
    });
    if let Some(external) = &money.external_identifier {
        payment["external_identifier"] = json!(external);
    }
    let cards = money.gift_cards.iter().map(|(id, amount)| json!({"id": id, "amount": amount}));
    payment["gift_cards"] = cards.collect();
    shop.register(&owner, &payment);
    Stage {
        owner,
        key,
        transaction: transaction.to_owned(),
        cards: money.gift_cards.iter().map(|(id, _)| id.clone()).collect(),
    }
}

pub(super) fn get(stage: &Stage, path: &str) -> Request {
    Request::get(&mounted("gr4vy", path))
        .bearer(&stage.token(&["*.read", "*.write"]))
        .header("x-gr4vy-merchant-account-id", &stage.owner.merchant.slug)
}

pub(super) fn post(stage: &Stage, body: &Value) -> Request {
    Request::post(&mounted("gr4vy", &format!("/transactions/{}/refunds", stage.transaction)))
        .bearer(&stage.token(&["*.read", "*.write"]))
        .header("x-gr4vy-merchant-account-id", &stage.owner.merchant.slug)
        .json(body)
}

pub(super) fn refund(shop: &Shop, stage: &Stage, body: &Value) -> Response {
    shop.server.send(&post(stage, body))
}

pub(super) fn content_type(answer: &Response) -> Option<String> {
    let ours = answer.header("Content-Type").unwrap_or_default();
    let right = matches!(ours, "application/json" | "application/json; charset=utf-8");
    (!right).then(|| format!("Content-Type {ours:?}: no SDK reads that"))
}

/// The sandbox's word for what a recorded refund came to.
pub(super) fn script_for(item: &Value) -> String {
    let code = text(item, "/raw_response_code");
    let said = text(item, "/raw_response_description");
    match text(item, "/status") {
        "processing" => "pending".to_owned(),
        "declined" => format!("decline:{code}:{said}"),
        "failed" => format!("fail:{said}"),
        "voided" => "cancel".to_owned(),
        _ => "approve".to_owned(),
    }
}
