//! Stripe's webhooks: the signature, and what an event tells.
//!
//! A signature is over the time it was made, a dot, and the bytes of the body; the secret is the
//! endpoint's whole `whsec_...`. Only events about one refund tell something: the others do not say
//! which refund they mean.

use aws_lc_rs::hmac;
use data_encoding::HEXLOWER;
use requite_engine::command::Mark;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{MARK, Refund, minor, state};
use crate::connectors::notice::{Delivery, Forged, Message, Notice, Said, marked};

/// The header that signs a body.
const SIGNATURE: &str = "stripe-signature";
/// How old a signature may be.
const TOLERANCE_S: i64 = 300;
/// Signatures in one header that are looked at.
const SIGNATURES_MAX: usize = 16;
/// Longest id or type of an event that is believed to be one.
const PLAIN_CHARS_MAX: usize = 255;
/// Events whose object is the refund that they are about.
const REFUND_EVENTS: [&str; 4] =
    ["refund.created", "refund.updated", "refund.failed", "charge.refund.updated"];

pub(crate) fn hear(delivery: &Delivery<'_>) -> Result<Vec<Message>, Forged> {
    let header = delivery.headers.get(SIGNATURE).and_then(|value| value.to_str().ok());
    let secrets = delivery.secrets.iter().map(|secret| secret.expose().as_bytes());
    let now_s = delivery.now_s;
    if !is_signed(header.unwrap_or(""), delivery.body, secrets, now_s, TOLERANCE_S) {
        return Err(Forged);
    }
    Ok(vec![message(delivery.body)])
}

/// Every secret is tried with every signature, so that time tells nothing. A signature of the future is
/// none too old; a tolerance of zero takes any age.
fn is_signed<'a>(
    header: &str,
    body: &[u8],
    secrets: impl Iterator<Item = &'a [u8]>,
    now_s: i64,
    tolerance_s: i64,
) -> bool {
    let parts = header.split(',').filter_map(|part| part.split_once('='));
    let of = |name: &'static str| parts.clone().filter(move |part| part.0 == name);
    let mut times = of("t").map(|(_, text)| text);
    let time = times.next().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let (Some(time), None) = (time, times.next()) else {
        return false;
    };
    let signatures: Vec<Vec<u8>> = of("v1")
        .take(SIGNATURES_MAX)
        .filter_map(|(_, text)| HEXLOWER.decode(text.as_bytes()).ok())
        .collect();
    let signed = [time.as_bytes(), b".", body].concat();
    let mut is_good = false;
    for secret in secrets.filter(|secret| !secret.is_empty()) {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        for signature in &signatures {
            is_good |= hmac::verify(&key, &signed, signature).is_ok();
        }
    }
    let is_fresh = time
        .parse::<i64>()
        .is_ok_and(|time| tolerance_s == 0 || time >= now_s.saturating_sub(tolerance_s));
    is_good && is_fresh
}

#[derive(Deserialize)]
struct Event<'a> {
    id: String,
    r#type: String,
    #[serde(borrow)]
    data: Option<Data<'a>>,
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow)]
    object: &'a RawValue,
}

fn message(body: &[u8]) -> Message {
    let event = std::str::from_utf8(body).ok().and_then(|text| {
        let event: Event<'_> = serde_json::from_str(text).ok()?;
        let is_plain = |text: &str| {
            let is_short = (1..=PLAIN_CHARS_MAX).contains(&text.len());
            is_short && text.bytes().all(|byte| byte.is_ascii_graphic())
        };
        (is_plain(&event.id) && is_plain(&event.r#type)).then_some(event)
    });
    let Some(event) = event else {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, body);
        let id = format!("sha256:{}", HEXLOWER.encode(digest.as_ref()));
        let said = Said::Unreadable("it is no event of Stripe's".to_owned());
        return Message { id, word: String::new(), said };
    };
    let said = match event.data {
        Some(data) if REFUND_EVENTS.contains(&event.r#type.as_str()) => {
            match serde_json::from_str::<Refund>(data.object.get()) {
                Ok(refund) => notice(&refund),
                Err(fault) => Said::Unreadable(format!(
                    "its refund cannot be read (line {}, column {})",
                    fault.line(),
                    fault.column()
                )),
            }
        }
        _ => Said::Nothing,
    };
    Message { id: event.id, word: event.r#type, said }
}

/// What a refund at Stripe says, whosever it is.
pub(super) fn notice(refund: &Refund) -> Said {
    let Some((amount, currency)) = minor(&refund.currency, refund.amount) else {
        let (amount, currency) = (refund.amount, &refund.currency);
        return Said::Unreadable(format!("{amount} of {currency} is no amount of money"));
    };
    let mark = match refund.metadata.get(MARK) {
        Some(text) => marked(text).map_or(Mark::NotOurs, Mark::Ours),
        None => Mark::NotOurs,
    };
    let outcome = state(refund);
    let payments = [refund.charge.clone(), refund.payment_intent.clone()];
    let payments: Vec<String> = payments.into_iter().flatten().collect();
    Said::Refund(Box::new(Notice { outcome, mark, payments, amount, currency, said_at_ms: None }))
}

#[cfg(test)]
mod tests;
