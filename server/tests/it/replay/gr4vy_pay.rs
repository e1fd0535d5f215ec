//! Payments taken, captured and let go through Gr4vy's face: answers on which the facts about what
//! the SDKs can read are checked.

use serde_json::{Value, json};

use super::gr4vy_shapes::Samples;
use super::gr4vy_stage::{Stage, content_type};
use super::recording::mounted;
use super::shop::Shop;
use super::tree::Tree;
use crate::support::Request;

const CARD: &str = "4242424242424242";
const CARD_DECLINED: &str = "4000000000000002";
/// Minor units at which the sandbox declines a capture, and a void.
const CAPTURE_DECLINED: i64 = 500_001;
const VOID_DECLINED: i64 = 510_001;

/// Brings one body of every kind: authorised, captured at once, declined, paid with a gift card,
/// captured and voided with and without success, and an external identifier that is taken.
///
/// # Errors
/// An answer with another status than the call must have.
pub(super) fn bring(shop: &Shop, stage: &Stage, samples: &mut Samples) -> Result<(), String> {
    let mut caller = Caller { shop, stage, samples };
    let captures = json!({"intent": "capture", "external_identifier": "taken"});
    caller.create(&captures, 201)?;
    caller.create(&captures, 409)?;
    caller.create(&json!({"payment_method": card(CARD_DECLINED)}), 201)?;
    let gift_card = json!({"number": "4123455541234567", "pin": "0123", "amount": 300});
    caller.create(&json!({"gift_cards": [gift_card]}), 201)?;
    for (call, amount) in
        [("capture", 1299), ("void", 1299), ("capture", CAPTURE_DECLINED), ("void", VOID_DECLINED)]
    {
        let made = caller.create(&json!({"amount": amount}), 201)?;
        let id = made.member("id").and_then(Tree::text).unwrap_or_default();
        let path = format!("/transactions/{id}/{call}");
        let resource = format!("resource=transaction-{call}");
        let request = caller.post(&path, &json!({})).header("prefer", &resource);
        let told = caller.send(&request, 200)?;
        let transaction = told.member("transaction").cloned();
        caller.samples.add("transaction", transaction.ok_or("no transaction in the answer")?);
        caller.samples.add(call, told);
    }
    Ok(())
}

struct Caller<'a> {
    shop: &'a Shop,
    stage: &'a Stage,
    samples: &'a mut Samples,
}

impl Caller<'_> {
    fn post(&self, path: &str, body: &Value) -> Request {
        let token = self.stage.token(&["*.read", "*.write"]);
        Request::post(&mounted("gr4vy", path)).bearer(&token).json(body)
    }

    /// Makes a transaction of 1299 USD with a good card, unless `change` says otherwise.
    fn create(&mut self, change: &Value, status: u16) -> Result<Tree, String> {
        let mut body = json!({"amount": 1299, "currency": "USD", "payment_method": card(CARD)});
        for (name, value) in change.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        let answer = self.send(&self.post("/transactions", &body), status)?;
        let redemptions = answer.member("gift_card_redemptions").and_then(Tree::list);
        for redemption in redemptions.unwrap_or_default() {
            self.samples.add("giftcardredemption", redemption.clone());
        }
        self.samples.add(if status == 409 { "err409" } else { "transaction" }, answer.clone());
        Ok(answer)
    }

    fn send(&self, request: &Request, status: u16) -> Result<Tree, String> {
        let answer = self.shop.server.send(request);
        if answer.status != status {
            return Err(format!("wanted {status}: {} {}", answer.status, answer.text()));
        }
        match content_type(&answer) {
            Some(problem) => Err(problem),
            None => Tree::read(&answer.body),
        }
    }
}

fn card(number: &str) -> Value {
    json!({"method": "card", "number": number, "expiration_date": "12/30", "security_code": "123"})
}
