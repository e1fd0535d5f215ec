//! Adyen's wire over [`Books`](super::books::Books): payments and refunds of its Checkout API, version 71, and
//! the notices of its standard webhooks.
//!
//! - A refund is received, and no more is said in the answer; a notice tells what became of it. So what the
//!   books refuse (too much, a payment that is disputed) is received as well, and fails at once.
//! - A payment is authorised and captured in one.
//! - A charge with a `merchant_account` is Adyen's; all others are Stripe's.
//!
//! Start at [`act`]; what is told is in [`events`].

use aws_lc_rs::hmac;
use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::books::{Books, Change, Charge, Entry, Metadata, Refund, Refusal, Status, Step, Wish};
use super::hooks::Event;
use super::script::Wrong;
use super::wire::Wire;
use super::{Request, Simulator};
use crate::time;

/// Longest `Idempotency-Key`, in characters.
pub(crate) const KEY_CHARS_MAX: usize = 64;
/// How long keys are remembered: seven days.
pub(crate) const KEY_LIFE_MS: i64 = 7 * 24 * 60 * 60 * 1_000;
/// Bytes of an HMAC key.
const HMAC_KEY_BYTES: usize = 32;
/// How long after it was received a refund succeeds, where no script says otherwise.
const SUCCEEDS_AFTER_MS: i64 = 500;
/// The member of a refund's and a payment's metadata that holds the shop's own name for it.
const REFERENCE: &str = "reference";

/// What is below the version of a path of Adyen's; `None`: the path is not Adyen's.
pub(crate) fn below(path: &str) -> Option<&str> {
    path.strip_prefix("/checkout").unwrap_or(path).strip_prefix("/v71/")
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub status: u16,
    code: String,
    message: String,
    kind: &'static str,
    /// Nothing began: the answer is not kept under the request's key.
    pub is_of_form: bool,
}

impl Failure {
    fn new(status: u16, code: &str, message: impl Into<String>) -> Failure {
        let kind = match status {
            401 | 403 => "security",
            422 | 400 => "validation",
            404 | 429 => "configuration",
            _ => "internal",
        };
        let (code, message) = (code.to_owned(), message.into());
        let is_of_form = matches!(status, 400 | 401 | 403 | 404);
        Failure { status, code, message, kind, is_of_form }
    }

    pub(crate) fn key_too_long(characters: usize) -> Failure {
        let text = format!("Idempotency-Key has {characters} characters; at most 64 are taken.");
        Failure::new(400, "702", text)
    }

    /// It is being worked on, or was of another request.
    pub(crate) fn key_in_use() -> Failure {
        let failure = Failure::new(422, "704", "request already processed or in progress");
        Failure { is_of_form: true, ..failure }
    }

    /// As a script wants it.
    pub(crate) fn scripted(status: u16, code: Option<&str>) -> Failure {
        let (usual, text) = match status {
            401 => ("000", "HTTP Status Response - Unauthorized"),
            403 => ("010", "Not allowed"),
            422 => ("167", "Original pspReference required for this operation"),
            429 => ("000", "Too many requests"),
            500.. => ("905", "Payment details are not supported"),
            _ => ("702", "Bad request"),
        };
        Failure::new(status, code.unwrap_or(usual), text)
    }

    pub(crate) fn body(&self, request: &str) -> Value {
        json!({"status": self.status, "errorCode": self.code, "message": self.message,
            "errorType": self.kind, "pspReference": request})
    }
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Amount {
    value: i64,
    currency: String,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    merchant_account: String,
    amount: Option<Amount>,
    reference: Option<String>,
    merchant_refund_reason: Option<String>,
}

/// One request, understood.
#[derive(Clone, Debug)]
pub(crate) struct Call<'a> {
    pub operation: &'static str,
    /// The payment in the path of a refund.
    pub payment: Option<&'a str>,
    asked: Asked,
    pub key: Option<&'a str>,
    pub now_ms: i64,
}

impl Call<'_> {
    /// What another request under the same key must have as well.
    pub(crate) fn parameters(&self) -> String {
        serde_json::to_string(&self.asked).unwrap_or_default()
    }
}

/// Understands a request, if whoever asks may ask at all.
pub(crate) fn read<'a>(
    request: &'a Request,
    api_key: Option<&str>,
    now_ms: i64,
) -> Result<Call<'a>, Failure> {
    let given = request.api_key.as_deref().filter(|given| !given.is_empty());
    let is_good = given.is_some() && (api_key.is_none() || api_key == given);
    if !is_good {
        return Err(Failure::new(401, "000", "HTTP Status Response - Unauthorized"));
    }
    let parts: Vec<&str> = below(&request.path).unwrap_or_default().split('/').collect();
    let (operation, payment) = match (request.method.as_str(), parts.as_slice()) {
        ("POST", ["payments"]) => ("charge.create", None),
        ("POST", ["payments", payment, "refunds"]) => ("refund.create", Some(*payment)),
        _ => return Err(Failure::new(404, "000", "HTTP Status Response - Not found")),
    };
    let asked = serde_json::from_slice(&request.body)
        .map_err(|fault| Failure::new(400, "702", fault.to_string()))?;
    Ok(Call { operation, payment, asked, key: request.key.as_deref(), now_ms })
}

/// Carries a request out: status and body.
pub(crate) fn act(
    simulator: &mut Simulator,
    call: &Call<'_>,
    fate: Vec<Step>,
) -> Result<(u16, Value), Failure> {
    let missing = || Failure::new(422, "100", "No amount specified");
    let amount = call.asked.amount.as_ref().ok_or_else(missing)?;
    if amount.value <= 0 {
        return Err(Failure::new(422, "137", "Invalid amount specified"));
    }
    match call.payment {
        Some(payment) => refund(simulator, call, (payment, amount), fate),
        None => pay(simulator, call, amount),
    }
}

/// The shop's own name for something, as it is kept.
fn named(asked: &Asked) -> Metadata {
    asked.reference.iter().map(|text| (REFERENCE.to_owned(), text.clone())).collect()
}

fn pay(
    simulator: &mut Simulator,
    call: &Call<'_>,
    amount: &Amount,
) -> Result<(u16, Value), Failure> {
    let currency = amount.currency.to_ascii_lowercase();
    if currency.len() != 3 || !currency.bytes().all(|byte| byte.is_ascii_lowercase()) {
        return Err(Failure::new(422, "138", "Unsupported currency specified"));
    }
    let id = simulator.dice.reference();
    simulator.books.write_charge(Charge {
        id: id.clone(),
        amount: amount.value,
        captured: amount.value,
        refunded: 0,
        released: 0,
        currency,
        at_ms: call.now_ms,
        intent: None,
        has_failed: false,
        is_disputed: false,
        fate: vec![Step::new(Status::Pending, 0), Step::new(Status::Succeeded, SUCCEEDS_AFTER_MS)],
        metadata: named(&call.asked),
        merchant_account: Some(call.asked.merchant_account.clone()),
    });
    let shown = json!({"pspReference": id, "resultCode": "Authorised", "amount": amount,
        "merchantReference": call.asked.reference});
    Ok((200, shown))
}

fn refund(
    simulator: &mut Simulator,
    call: &Call<'_>,
    (payment, amount): (&str, &Amount),
    fate: Vec<Step>,
) -> Result<(u16, Value), Failure> {
    let asked = &call.asked;
    let charge = simulator.books.charges.get(payment);
    let Some((charge, Some(owner))) = charge.map(|charge| (charge, &charge.merchant_account))
    else {
        let text = "Original pspReference required for this operation";
        return Err(Failure::new(422, "167", text));
    };
    if *owner != asked.merchant_account {
        return Err(Failure::new(403, "901", "Invalid Merchant Account"));
    }
    if charge.currency.to_ascii_uppercase() != amount.currency {
        return Err(Failure::new(422, "138", "Unsupported currency specified"));
    }
    let id = simulator.dice.reference();
    let wish = Wish {
        id: id.clone(),
        charge: payment.to_owned(),
        amount: Some(amount.value),
        reason: asked.merchant_refund_reason.clone(),
        metadata: named(asked),
        key: call.key.map(str::to_owned),
        fate,
    };
    if let Err(refusal) = simulator.books.refund(wish.clone(), call.now_ms) {
        simulator.books.turn_down(wish, why(&refusal), call.now_ms);
    }
    let mut shown = json!({"merchantAccount": asked.merchant_account, "amount": amount,
        "paymentPspReference": payment, "pspReference": id, "status": "received"});
    if let Some(reference) = &asked.reference {
        shown["reference"] = reference.as_str().into();
    }
    Ok((201, shown))
}

fn why(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::TooMuch { .. } | Refusal::AlreadyRefunded => "Insufficient balance on payment",
        Refusal::Disputed => "Chargeback received for this payment",
        Refusal::NoSuchCharge | Refusal::ChargeFailed | Refusal::PartOfUncaptured => {
            "Transaction hasn't been captured, refund not possible"
        }
    }
}

/// The payment that an entry is or belongs to, if it is Adyen's.
pub(crate) fn payment<'a>(books: &'a Books, entry: &Entry) -> Option<&'a Charge> {
    let id = match entry {
        Entry::Charge(charge) => &charge.id,
        Entry::Refund(refund) => &refund.charge,
        Entry::Intent(_) => return None,
    };
    books.charges.get(id).filter(|charge| charge.merchant_account.is_some())
}

/// What is told of a change of a payment's or of a refund of it.
pub(crate) fn events(simulator: &mut Simulator, payment: &Charge, change: &Change) -> Vec<Event> {
    let told = match (&change.entry, &change.before) {
        (Entry::Charge(_), None) => Some(notice(payment, None, ("AUTHORISATION", true))),
        (Entry::Refund(refund), before) => {
            let was = match before {
                Some(Entry::Refund(before)) => Some(before.status),
                _ => None,
            };
            code(was, refund.status).map(|said| notice(payment, Some(refund), said))
        }
        _ => None,
    };
    told.into_iter().map(|(kind, shown)| event(simulator, kind, shown)).collect()
}

/// The notice of a step of a refund: its code, and whether it is one of success.
fn code(was: Option<Status>, is: Status) -> Option<(&'static str, bool)> {
    let had_paid = was == Some(Status::Succeeded);
    match is {
        _ if was == Some(is) => None,
        Status::Succeeded => Some(("REFUND", true)),
        Status::Failed if had_paid => Some(("REFUND_FAILED", true)),
        Status::Canceled if had_paid => Some(("REFUNDED_REVERSED", true)),
        Status::Failed | Status::Canceled => Some(("REFUND", false)),
        Status::Pending | Status::RequiresAction => None,
    }
}

/// The customer's bank took a payment back.
pub(crate) fn disputed(simulator: &mut Simulator, payment: &Charge) -> Event {
    let (kind, shown) = notice(payment, None, ("CHARGEBACK", true));
    event(simulator, kind, shown)
}

fn event(simulator: &mut Simulator, kind: &'static str, shown: Value) -> Event {
    Event { id: simulator.dice.id("evt_"), kind, shown, wire: Wire::Adyen }
}

/// A notice without its signature.
fn notice(
    payment: &Charge,
    refund: Option<&Refund>,
    (code, success): (&'static str, bool),
) -> (&'static str, Value) {
    let name = |metadata: &Metadata| metadata.get(REFERENCE).cloned();
    let last = refund.and_then(|refund| refund.moves.last());
    let at_ms = last.map_or(payment.at_ms, |last| last.at_ms);
    let own = name(&payment.metadata).unwrap_or_default();
    let mut item = json!({
        "additionalData": {},
        "amount": {
            "currency": payment.currency.to_ascii_uppercase(),
            "value": refund.map_or(payment.amount, |refund| refund.amount),
        },
        "eventCode": code,
        "eventDate": time::seconds_text(at_ms),
        "merchantAccountCode": payment.merchant_account,
        "merchantReference": refund.and_then(|refund| name(&refund.metadata)).unwrap_or(own),
        "paymentMethod": "visa",
        "pspReference": refund.map_or(&payment.id, |refund| &refund.id),
        "reason": refund.and_then(|refund| refund.failure_reason.as_deref()).unwrap_or_default(),
        "success": if success { "true" } else { "false" },
    });
    if refund.is_some() {
        item["originalReference"] = payment.id.as_str().into();
    }
    (code, item)
}

/// Whether a text is an HMAC key as Adyen shows them.
pub(crate) fn is_hmac_key(text: &str) -> bool {
    let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes());
    bytes.is_ok_and(|bytes| bytes.len() == HMAC_KEY_BYTES)
}

/// A notice as it is sent, signed with a key of [`is_hmac_key`].
pub(crate) fn signed(item: &Value, hmac_key: &str) -> String {
    let text = |name: &str| item[name].as_str().unwrap_or_default();
    let value = item["amount"]["value"].to_string();
    let members = [
        text("pspReference"),
        text("originalReference"),
        text("merchantAccountCode"),
        text("merchantReference"),
        value.as_str(),
        item["amount"]["currency"].as_str().unwrap_or_default(),
        text("eventCode"),
        text("success"),
    ];
    let bytes = HEXLOWER_PERMISSIVE.decode(hmac_key.as_bytes()).unwrap_or_default();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &bytes);
    let signature = BASE64.encode(hmac::sign(&key, members.join(":").as_bytes()).as_ref());
    let mut item = item.clone();
    item["additionalData"]["hmacSignature"] = signature.into();
    json!({"live": "false", "notificationItems": [{"NotificationRequestItem": item}]}).to_string()
}

/// An answer made wrong in one member.
pub(crate) fn falsify(shown: &mut Value, wrong: Wrong) {
    let amount = &mut shown["amount"];
    match wrong {
        Wrong::Amount => {
            let value = amount["value"].as_i64().unwrap_or_default();
            amount["value"] = value.saturating_add(1).into();
        }
        Wrong::Currency => {
            let other = if amount["currency"] == "EUR" { "USD" } else { "EUR" };
            amount["currency"] = other.into();
        }
        Wrong::Type => amount["value"] = amount["value"].to_string().into(),
        Wrong::Charge => shown["paymentPspReference"] = "OTHERPAYMENT0000".into(),
        Wrong::Account => {
            shown["pspReference"] = "OTHERREFUND00000".into();
            shown["merchantAccount"] = "OfSomebodyElse".into();
        }
        Wrong::Status => shown["status"] = "a word of tomorrow".into(),
    }
}
