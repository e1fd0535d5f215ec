//! Adyen's standard webhooks: the signature of each notice, and what it tells of a refund.
//!
//! - A notice is signed by itself, over eight of its members ([`signed`]); the key is hexadecimal. The time
//!   and the reason of a notice are not among them: the time only orders notices of one refund, and the
//!   reason is only shown.
//! - A notice's id here is made of signed members, so that one that was listened to is no use to anybody.
//! - What the `reference` of a refund is shows whose it is. Adyen may show the payment's instead: then it
//!   is the one open refund of that amount, if there is one.

use aws_lc_rs::hmac;
use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use requite_core::settle::Outcome;
use requite_engine::command::Mark;
use serde::Deserialize;
use serde_json::Value;

use super::CAPABILITIES;
use crate::connectors::exchange::fault;
use crate::connectors::notice::{Delivery, Forged, MESSAGES_MAX, Message, Notice, Said, marked};
use crate::crypto::secret::Secret;
use crate::time;

/// Bytes of an HMAC key of Adyen's.
pub(crate) const KEY_BYTES: usize = 32;
/// Before a refund's id in its key and reference.
const KEY_PREFIX: &str = "requite-";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Whole {
    notification_items: Vec<Wrapped>,
}

#[derive(Deserialize)]
struct Wrapped {
    #[serde(rename = "NotificationRequestItem")]
    item: Item,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    psp_reference: String,
    original_reference: Option<String>,
    merchant_account_code: String,
    merchant_reference: Option<String>,
    amount: super::Amount,
    event_code: String,
    /// A text, `true` or `false`; a JSON boolean is taken for it.
    success: Value,
    event_date: Option<String>,
    reason: Option<String>,
    additional_data: Additional,
}

#[derive(Deserialize)]
struct Additional {
    #[serde(rename = "hmacSignature")]
    signature: String,
    /// What became of a reversal: `cancel` or `refund`.
    #[serde(rename = "modification.action")]
    action: Option<String>,
}

/// A delivery is believed whole or not at all.
pub(crate) fn hear(delivery: &Delivery<'_>) -> Result<Vec<Message>, Forged> {
    let whole: Whole = serde_json::from_slice(delivery.body).map_err(|_| Forged)?;
    let items = whole.notification_items;
    if items.is_empty() || items.len() > MESSAGES_MAX {
        return Err(Forged);
    }
    let keys: Vec<hmac::Key> = delivery.secrets.iter().filter_map(key).collect();
    let mut is_good = true;
    for Wrapped { item } in &items {
        is_good &= is_signed(item, &keys);
    }
    if !is_good {
        return Err(Forged);
    }
    Ok(items.iter().map(|wrapped| message(&wrapped.item, delivery.merchant_account)).collect())
}

fn key(secret: &Secret) -> Option<hmac::Key> {
    let bytes = HEXLOWER_PERMISSIVE.decode(secret.expose().as_bytes()).ok()?;
    (bytes.len() == KEY_BYTES).then(|| hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

/// Whether a text can be an HMAC key, as Adyen shows it.
pub(crate) fn is_key(text: &str) -> bool {
    let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes());
    bytes.is_ok_and(|bytes| bytes.len() == KEY_BYTES)
}

fn is_signed(item: &Item, keys: &[hmac::Key]) -> bool {
    let Some(signed) = signed(item) else {
        return false;
    };
    let Ok(signature) = BASE64.decode(item.additional_data.signature.as_bytes()) else {
        return false;
    };
    let mut is_good = false;
    for key in keys {
        is_good |= hmac::verify(key, signed.as_bytes(), &signature).is_ok();
    }
    is_good
}

/// What a signature is over.
fn signed(item: &Item) -> Option<String> {
    let success = if is_success(item)? { "true" } else { "false" };
    let members = [
        item.psp_reference.as_str(),
        item.original_reference.as_deref().unwrap_or(""),
        &item.merchant_account_code,
        item.merchant_reference.as_deref().unwrap_or(""),
        &item.amount.value.to_string(),
        &item.amount.currency,
        &item.event_code,
        success,
    ];
    Some(members.join(":"))
}

fn is_success(item: &Item) -> Option<bool> {
    match &item.success {
        Value::Bool(success) => Some(*success),
        Value::String(text) if text == "true" => Some(true),
        Value::String(text) if text == "false" => Some(false),
        _ => None,
    }
}

/// A company's webhook may tell of all its merchant accounts: what is another's says nothing here.
fn message(item: &Item, merchant_account: Option<&str>) -> Message {
    let success = is_success(item) == Some(true);
    let id = format!("{}:{}:{success}", item.psp_reference, item.event_code);
    let is_other = merchant_account.is_some_and(|ours| ours != item.merchant_account_code);
    let said = if is_other { Said::Nothing } else { said(item, success) };
    Message { id, word: item.event_code.clone(), said }
}

/// What a notice tells. Of captures, cancellations and disputes nothing is booked here.
fn said(item: &Item, success: bool) -> Said {
    let psp_refund = Some(item.psp_reference.clone());
    let declined = |code: &str| {
        let text = item.reason.clone().unwrap_or_default();
        Outcome::Declined { psp_refund: psp_refund.clone(), fault: fault(code, text) }
    };
    let outcome = match (item.event_code.as_str(), success) {
        ("REFUND", true) => Outcome::Succeeded { psp_refund },
        ("REFUND", false) => declined("refund_refused"),
        // Of these both values were seen; either way the money came back.
        ("REFUND_FAILED", _) => declined("refund_failed"),
        ("REFUNDED_REVERSED", _) => declined("refunded_reversed"),
        ("CANCEL_OR_REFUND", true) => match item.additional_data.action.as_deref() {
            Some("refund") => Outcome::Succeeded { psp_refund },
            Some("cancel") => return Said::Nothing,
            _ => return Said::Unreadable("it does not say what became of the reversal".to_owned()),
        },
        _ => return Said::Nothing,
    };
    let (value, currency) = (item.amount.value, &item.amount.currency);
    let Some((amount, currency)) = CAPABILITIES.units.ours(currency, value) else {
        return Said::Unreadable(format!("{value} of {currency} is no amount of money"));
    };
    let Some(payment) = item.original_reference.clone().filter(|text| !text.is_empty()) else {
        return Said::Unreadable("it names no payment".to_owned());
    };
    let reference = item.merchant_reference.as_deref().unwrap_or("");
    let ours = reference.strip_prefix(KEY_PREFIX).and_then(marked);
    Said::Refund(Box::new(Notice {
        outcome,
        mark: ours.map_or(Mark::Unstated, Mark::Ours),
        payments: vec![payment],
        amount,
        currency,
        said_at_ms: item.event_date.as_deref().and_then(time::parse),
    }))
}

/// What a delivery says, whoever signed it.
#[cfg(any(test, fuzzing))]
pub(crate) fn unchecked(body: &[u8]) -> Vec<Message> {
    let whole = serde_json::from_slice::<Whole>(body).ok();
    let items = whole.into_iter().flat_map(|whole| whole.notification_items);
    items
        .map(|wrapped| {
            signed(&wrapped.item);
            message(&wrapped.item, Some("ShopECOM"))
        })
        .collect()
}

#[cfg(test)]
mod tests;
