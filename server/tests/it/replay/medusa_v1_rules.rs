//! Where our Medusa v1 face does not answer as the recordings do: by which decision and with what
//! instead, and what does not run yet. Rules look at what a line asks, never at its name, so that
//! they hold for any recording of this form.

use serde_json::Value;

use super::demand::{Demand, key_reused};
use super::medusa_v1::Payment;
use super::recording::{members, text};
use super::tree::Tree;
use crate::support::{Request, Response};

/// What a rule may know beside the line itself.
pub(super) struct Known<'a> {
    pub(super) payment: Option<&'a Payment>,
    /// What was sent and answered first with this line's idempotency key.
    pub(super) first: Option<&'a (Vec<u8>, Response)>,
}

/// Every member of a line must be one that the replay understands.
pub(super) fn vocabulary(line: &Value) -> Result<(), String> {
    const LINE: [&str; 14] = [
        "id",
        "group",
        "parity",
        "note",
        "mode",
        "seq",
        "step",
        "setup",
        "vars",
        "request",
        "response",
        "after",
        "concurrency",
        "trials",
    ];
    const PAYMENT: [&str; 9] = [
        "amount",
        "amount_refunded",
        "captured",
        "canceled",
        "currency_code",
        "provider_id",
        "order",
        "cart",
        "data",
    ];
    const PLACES: [(&str, &[&str]); 3] = [
        ("", &LINE),
        ("/setup/payment", &PAYMENT),
        ("/request", &["method", "path", "headers", "body", "body_base64"]),
    ];
    for (place, known) in PLACES {
        if let Some((unknown, _)) = members(line, place).find(|(name, _)| !known.contains(name)) {
            return Err(format!("{place}: no meaning is known for {unknown:?}"));
        }
    }
    if !matches!(text(line, "/parity"), "must" | "may" | "defect") {
        return Err(format!("no meaning is known for parity {}", line["parity"]));
    }
    Ok(())
}

/// Members of an order that its payments tell. The others are the shop's to know (B25).
const TOLD: [&str; 27] = [
    "object",
    "id",
    "created_at",
    "updated_at",
    "status",
    "fulfillment_status",
    "payment_status",
    "currency_code",
    "payments",
    "refunds",
    "claims",
    "discounts",
    "gift_cards",
    "gift_card_transactions",
    "swaps",
    "item_tax_total",
    "shipping_tax_total",
    "gift_card_tax_total",
    "subtotal",
    "discount_total",
    "shipping_total",
    "tax_total",
    "gift_card_total",
    "total",
    "paid_total",
    "refunded_total",
    "refundable_amount",
];

/// Lets an order's other members be anything. True: there are such.
pub(super) fn forget_the_shops(order: &mut Tree) -> bool {
    let Tree::Object(members) = order else {
        return false;
    };
    let others = members.iter_mut().filter(|(name, _)| !TOLD.contains(&name.as_str()));
    others.map(|(_, value)| *value = Tree::Any).count() > 0
}

/// The decision by which this line's answer differs, and what it must be instead. The first that
/// applies counts.
pub(super) fn differing(
    line: &Value,
    request: &Request,
    known: &Known<'_>,
) -> Option<(&'static str, Demand)> {
    let recorded = line.pointer("/response/status").and_then(Value::as_u64).unwrap_or_default();
    let path = request.target.as_str();
    let invalid = |message: Option<&str>| Demand::Error {
        status: &[400],
        kind: Some("invalid_data"),
        message: message.map(str::to_owned),
    };
    let page = text(line, "/response/text");
    if page.starts_with("<!DOCTYPE html>") || page.starts_with("(omitted: ") {
        return Some(("A7", Demand::Error { status: one(recorded)?, kind: None, message: None }));
    }
    let is_below = |prefix: &str| text(line, "/request/path").starts_with(prefix);
    if is_below("/admin/users/") || is_below("/admin/payment-collections/") {
        let kind = Some("not_found");
        return Some(("B26", Demand::Error { status: &[404], kind, message: None }));
    }
    if path.contains('%') && recorded == 500 {
        return Some(("A12", Demand::Error { status: &[400], kind: None, message: None }));
    }
    if recorded == 500 && text(line, "/response/json/type") == "unknown_error" {
        return Some(if path.contains("/orders/") && request.method == "POST" {
            ("B25", invalid(None))
        } else if path.contains('?') {
            ("V1-9", invalid(None))
        } else {
            sum_or_text(request, invalid)
        });
    }
    let minted = header(line, "Authorization").is_some_and(|value| value.contains("eyJ"));
    if minted && recorded == 200 && text(line, "/parity") == "defect" {
        return Some(("V1-6", Demand::Status(401)));
    }
    if recorded == 409 {
        return Some(("V1-8", Demand::Status(200)));
    }
    let cancelled = line.pointer("/setup/payment/canceled").and_then(Value::as_bool) == Some(true);
    if recorded == 200 && cancelled && path.ends_with("/capture") {
        return Some(("B11", refused()));
    }
    if recorded != 200 || request.method != "POST" || !path.contains("/refund") {
        return None;
    }
    if std::str::from_utf8(request.body.as_deref()?).is_err()
        && header(line, "Content-Encoding").is_none()
    {
        return Some(("A2", Demand::Error { status: &[400], kind: None, message: None }));
    }
    if asked(request).is_some_and(|amount| amount < 1) {
        return Some(("V1-1", invalid(Some("amount must not be less than 1"))));
    }
    if cancelled {
        return Some(("V1-7", refused()));
    }
    if let Some((body, answer)) = known.first {
        return Some(("A4", repeated(request, body, answer)));
    }
    let left = known.payment.map(|payment| payment.amount.saturating_sub(payment.refunded()));
    if left.zip(asked(request)).is_some_and(|(left, asked)| asked > left) {
        return Some(("A1", refused()));
    }
    None
}

/// A 500 of the original that no query caused: a negative sum, or a text that no store takes.
fn sum_or_text(
    request: &Request,
    invalid: impl Fn(Option<&str>) -> Demand,
) -> (&'static str, Demand) {
    match asked(request) {
        Some(amount) if amount < 1 => ("V1-1", invalid(Some("amount must not be less than 1"))),
        _ => ("A2", invalid(None)),
    }
}

fn refused() -> Demand {
    Demand::Error { status: &[400], kind: Some("not_allowed"), message: None }
}

fn repeated(request: &Request, body: &[u8], answer: &Response) -> Demand {
    if request.body.as_deref() == Some(body) {
        return Demand::Replay(Box::new(answer.clone()));
    }
    key_reused()
}

/// What a burst must come to.
pub(super) struct Burst {
    /// Ascending.
    pub(super) statuses: Vec<u16>,
    /// The sum that the books hold afterwards.
    pub(super) held: i64,
}

/// `apart`: each copy goes to a payment of its own. `odd`: one copy is refused for what it says.
pub(super) fn burst(amount: i64, body: &str, copies: usize, (apart, odd): (bool, bool)) -> Burst {
    let asked = serde_json::from_str(body).ok().as_ref().and_then(amount_of).unwrap_or(1);
    let fits = amount.checked_div(asked).and_then(|n| usize::try_from(n).ok()).unwrap_or_default();
    let granted = if apart { copies.saturating_sub(usize::from(odd)) } else { fits.min(copies) };
    let refused = copies.saturating_sub(granted);
    let mut statuses = vec![200; granted];
    statuses.resize(granted.saturating_add(refused), 400);
    let held = i64::try_from(granted).unwrap_or(i64::MAX).saturating_mul(asked);
    Burst { statuses, held }
}

pub(super) fn idempotency_key(request: &Request) -> Option<&str> {
    let found =
        request.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("idempotency-key"));
    found.map(|(_, value)| value.as_str())
}

fn header<'a>(line: &'a Value, name: &str) -> Option<&'a str> {
    let mut sent = members(line, "/request/headers");
    sent.find(|(have, _)| have.eq_ignore_ascii_case(name)).and_then(|(_, value)| value.as_str())
}

/// The amount that a body asks for, when it is a whole number.
pub(super) fn asked(request: &Request) -> Option<i64> {
    amount_of(&serde_json::from_slice(request.body.as_deref()?).ok()?)
}

fn amount_of(body: &Value) -> Option<i64> {
    body.get("amount")?.as_i64()
}

/// The recorded status as a set of one.
fn one(status: u64) -> Option<&'static [u16]> {
    match status {
        400 => Some(&[400]),
        404 => Some(&[404]),
        413 => Some(&[413]),
        415 => Some(&[415]),
        _ => None,
    }
}

#[test]
fn a_burst_grants_what_fits() {
    let body = r#"{"amount":1000,"reason":"return"}"#;
    let one = burst(10_000, body, 20, (false, false));
    assert_eq!(one.held, 10_000);
    assert_eq!(one.statuses.iter().filter(|s| **s == 200).count(), 10);
    assert_eq!(burst(10_000, body, 20, (true, true)).held, 19_000);
}
