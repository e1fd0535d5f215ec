//! Where our Medusa v2 face does not answer as the recordings do: by which decision and with what
//! instead, and what does not run yet. Rules look at what a line asks, never at its name.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::demand::{Demand, key_reused, shorten};
use super::money::minor;
use super::recording::{at_root, members, text};
use super::tree::Tree;
use crate::support::{Request, Response};

/// The largest body of a refund route (A9).
const BODY_MAX: usize = 64 * 1024;

/// What a rule may know beside the line itself.
pub(super) struct Known<'a> {
    /// Decimals of the payment's currency.
    pub(super) exponent: Option<usize>,
    /// Captured and neither refunded nor held, in minor units.
    pub(super) left: Option<i64>,
    /// All is captured, and nothing of it is refunded or held.
    pub(super) untouched: bool,
    /// What was sent and answered first with this line's idempotency key.
    pub(super) first: Option<&'a (Vec<u8>, Response)>,
}

/// Every member of a line must be one that the replay understands.
pub(super) fn vocabulary(line: &Value) -> Result<(), String> {
    const LINE: [&str; 11] = [
        "n",
        "scenario",
        "step",
        "title",
        "given",
        "request",
        "response",
        "note",
        "concurrent",
        "sent_ms",
        "done_ms",
    ];
    const PAYMENT: [&str; 11] = [
        "id",
        "payment_collection_id",
        "payment_session_id",
        "order_id",
        "amount",
        "currency_code",
        "provider_id",
        "captures",
        "refunds",
        "canceled",
        "order_linked",
    ];
    let places: [(&str, &[&str]); 3] = [
        ("", &LINE),
        ("/request", &["method", "path", "headers", "body", "body_base64"]),
        ("/given", &["payments", "refund_reasons", "order", "note"]),
    ];
    for (place, known) in places {
        if let Some((unknown, _)) = members(line, place).find(|(name, _)| !known.contains(name)) {
            return Err(format!("{place}: no meaning is known for {unknown:?}"));
        }
    }
    for (name, payment) in members(line, "/given/payments") {
        if let Some((unknown, _)) = members(payment, "").find(|(have, _)| !PAYMENT.contains(have)) {
            return Err(format!("/given/payments/{name}: no meaning is known for {unknown:?}"));
        }
        if payment.pointer("/refunds/0").is_some() {
            return Err(format!("/given/payments/{name}: refunds cannot be given yet"));
        }
    }
    Ok(())
}

/// What the test provider of a scenario does, told in the scenario's note.
pub(super) fn provider_script(note: &str) -> Value {
    let quoted = |text: &str| text.split('\'').nth(1).unwrap_or_default().to_owned();
    match note.split_once("throws MedusaError type ") {
        Some((_, rest)) => {
            let kind = rest.split_whitespace().next().unwrap_or_default();
            json!([format!("decline:{kind}:{}", quoted(rest))])
        }
        None if note.contains("throws") => json!(["fail"]),
        None => json!([]),
    }
}

/// Why a line does not run yet. `log_in`: somebody can log in.
pub(super) fn not_yet(line: &Value, log_in: bool) -> Option<&'static str> {
    let path = text(line, "/request/path").to_ascii_lowercase();
    let status = line.pointer("/response/status").and_then(Value::as_u64).unwrap_or_default();
    let route = path.split('?').next().unwrap_or_default();
    let header = |name: &str| header(line, name);
    if at_root() && header("x-medusa-access-token").is_some() {
        return Some("at the root this credential means Medusa v1");
    }
    let about_jwt = header("authorization").is_some_and(|value| value.starts_with("bearer ${JWT}"));
    let is_lost = !log_in && status == 200 && (about_jwt || route.starts_with("/auth/"));
    is_lost.then_some("log-in: there is no way to make a person")
}

/// The decision by which this line's answer differs, and what it must be instead. The first that
/// applies counts.
pub(super) fn differing(
    line: &Value,
    request: &Request,
    known: &Known<'_>,
) -> Option<(&'static str, Demand)> {
    let recorded = line.pointer("/response/status").and_then(Value::as_u64).unwrap_or_default();
    let body = text(line, "/response/body");
    let refused = |status: &'static [u16], kind| Demand::Error { status, kind, message: None };
    if body.starts_with("<!DOCTYPE html>") && recorded == 404 {
        return Some(("A7", refused(&[404], None)));
    }
    if recorded == 500 && request.target.contains('%') && !request.target.contains('?') {
        return Some(("A12", refused(&[400], None)));
    }
    if text(line, "/request/path").starts_with("/admin/orders/") {
        return Some(("B10", refused(&[404], Some("not_found"))));
    }
    // Signed with the recorded server's secret, for a user that there is not.
    let minted = header(line, "authorization").is_some_and(|value| value.starts_with("Bearer eyJ"));
    if minted && recorded == 200 {
        return Some(("B17", unauthorized()));
    }
    if let Some(amount) = amount_text(request).filter(|amount| amount.starts_with('-'))
        && text(line, "/request/path") == "/admin/payment-collections"
    {
        assert_eq!(recorded, 200, "the original takes {amount}");
        return Some(("A3", refused(&[400], Some("invalid_data"))));
    }
    if request.method == "GET" && recorded == 200 && body == "{}" {
        return Some(("V2-6", refused(&[404], Some("not_found"))));
    }
    if recorded == 400 && body.starts_with("{\"message\":") {
        return Some(("V2-8", syntax_error()));
    }
    if recorded == 500 && text(line, "/request/path").ends_with("/payment-sessions") {
        return Some(("B18", refused(&[400], Some("invalid_data"))));
    }
    if request.method == "GET" && recorded == 500 && body.contains("\"unknown_error\"") {
        return Some(("V2-7", refused(&[400], Some("invalid_data"))));
    }
    if request.method != "POST" {
        return None;
    }
    let is_refund = request.target.contains("/refund");
    unreadable(line, request)
        .filter(|_| is_refund || request.target.contains("/capture"))
        .or_else(|| unsettled(line, request, known).filter(|_| is_refund))
}

/// A body that the original reads otherwise than we do, or not at all.
fn unreadable(line: &Value, request: &Request) -> Option<(&'static str, Demand)> {
    let refused = |status: &'static [u16]| Demand::Error { status, kind: None, message: None };
    let recorded = line.pointer("/response/status").and_then(Value::as_u64).unwrap_or_default();
    let sent = request.body.as_deref().unwrap_or_default();
    let media = header(line, "content-type").unwrap_or_default().to_ascii_lowercase();
    if media.starts_with("application/x-www-form-urlencoded") {
        return Some(("V2-10", refused(&[415])));
    }
    if !sent.is_empty() && !media.starts_with("application/json") {
        return Some(("A2", refused(&[400, 415])));
    }
    let plain = header(line, "content-encoding").is_none();
    let charset = media.contains("charset=") && !media.contains("utf-8");
    if recorded == 200 && (charset || plain && std::str::from_utf8(sent).is_err()) {
        return Some(("A2", refused(&[400, 415])));
    }
    if recorded == 200 && sent.len() > BODY_MAX {
        return Some(("A9", refused(&[413])));
    }
    None
}

/// A body that is read, and settled otherwise.
fn unsettled(line: &Value, request: &Request, known: &Known<'_>) -> Option<(&'static str, Demand)> {
    let invalid = |message: Option<&str>| Demand::Error {
        status: &[400],
        kind: Some("invalid_data"),
        message: message.map(str::to_owned),
    };
    let recorded = line.pointer("/response/status").and_then(Value::as_u64).unwrap_or_default();
    let answered = text(line, "/response/body");
    let sent: Value =
        serde_json::from_slice(request.body.as_deref().unwrap_or_default()).unwrap_or_default();
    if let (Some((body, answer)), 200) = (known.first, recorded) {
        return Some(("A4", repeated(request, body, answer)));
    }
    let odd = sent.get("refund_reason_id").and_then(Value::as_str) == Some("")
        || request.body.as_deref().is_some_and(|b| b.windows(6).any(|w| w == b"\\u0000"));
    if recorded == 500 && odd {
        return Some(("V2-7", invalid(None)));
    }
    let order = ["LinkOrderPaymentCollection", "existing active order change", "has been canceled"];
    if matches!(recorded, 400 | 404) && order.iter().any(|text| answered.contains(text)) {
        return Some(("V2-4", ungated(&sent, known)));
    }
    let exponent = known.exponent?;
    // The text as sent: a float would have forgotten how it was spelt.
    let asked = amount_text(request)?;
    match minor(&asked, exponent) {
        None if fraction(&asked) => Some(("V2-3", invalid(None))),
        Some(asked) if recorded == 200 && known.left.is_some_and(|left| asked > left) => Some((
            "V2-3",
            invalid(Some("You are not allowed to refund more than the captured amount")),
        )),
        _ => None,
    }
}

/// Without the order in the way, the amount alone decides.
fn ungated(sent: &Value, known: &Known<'_>) -> Demand {
    let asked = sent.get("amount").and_then(|a| minor(&a.to_string(), known.exponent?));
    let fits = match asked {
        Some(asked) => known.left.is_some_and(|left| asked <= left),
        None => known.untouched,
    };
    if fits {
        return Demand::Status(200);
    }
    Demand::Error { status: &[400], kind: Some("invalid_data"), message: None }
}

fn unauthorized() -> Demand {
    let message = Tree::Text("Unauthorized".to_owned());
    Demand::Body { status: 401, body: Tree::Object(vec![("message".to_owned(), message)]) }
}

/// The original's frame, with the message first, and any text.
fn syntax_error() -> Demand {
    let kind = Tree::Text("invalid_data".to_owned());
    let members = vec![("message".to_owned(), Tree::Any), ("type".to_owned(), kind)];
    Demand::Body { status: 400, body: Tree::Object(members) }
}

fn repeated(request: &Request, body: &[u8], answer: &Response) -> Demand {
    if request.body.as_deref() == Some(body) {
        return Demand::Replay(Box::new(answer.clone()));
    }
    key_reused()
}

/// The last `amount` of a body, as it is spelt.
fn amount_text(request: &Request) -> Option<String> {
    let body = std::str::from_utf8(request.body.as_deref()?).ok()?;
    let (_, after) = body.rsplit_once("\"amount\"")?;
    let after = after.trim_start().strip_prefix(':')?.trim_start();
    let end = after.find([',', '}', ' ', '\n']).unwrap_or(after.len());
    after.get(..end).map(str::to_owned)
}

/// A positive number that only its decimals keep from being money.
fn fraction(text: &str) -> bool {
    let digits = text.bytes().all(|c| c.is_ascii_digit() || b".eE-".contains(&c));
    digits && !text.starts_with('-') && (text.contains('.') || text.contains("e-"))
}

/// Whether the recorded server made a refund, whatever it answered.
pub(super) fn refunded_in_recording(line: &Value) -> bool {
    let status = line.pointer("/response/status").and_then(Value::as_u64);
    let answered = text(line, "/response/body");
    let hidden = ["existing active order change", "has been canceled"];
    status == Some(200) || status == Some(400) && hidden.iter().any(|text| answered.contains(text))
}

/// The decision by which a recorded refund was not made here, or the other way round.
pub(super) fn parting(demand: &Demand, line: &Value) -> &'static str {
    match demand {
        Demand::Replay(_) | Demand::Body { status: 422, .. } => "A4",
        Demand::Error { status: [415], .. } => "V2-10",
        Demand::Error { status: [413], .. } => "A9",
        Demand::Error { status: [400, 415], .. } => "A2",
        Demand::Status(_) if text(line, "/response/body").contains("LinkOrder") => "V2-4",
        _ => "V2-3",
    }
}

/// How many of the following lines were released together.
pub(super) fn race(lines: &[Value]) -> usize {
    let first = lines.first().filter(|line| line.get("concurrent").is_some());
    let Some(first) = first else { return 0 };
    let same = |line: &&Value| {
        line.get("concurrent").is_some()
            && line["scenario"] == first["scenario"]
            && line["request"] == first["request"]
    };
    lines.iter().take_while(same).count()
}

/// How many of a race's requests can be granted.
pub(super) fn race_wins(line: &Value, left: i64, exponent: usize) -> usize {
    let sent: Value = serde_json::from_str(text(line, "/request/body")).unwrap_or_default();
    let asked = sent.get("amount").and_then(|a| minor(&a.to_string(), exponent)).unwrap_or(left);
    left.checked_div(asked).and_then(|n| usize::try_from(n).ok()).unwrap_or_default()
}

#[derive(Debug, Default)]
pub(super) struct RaceVerdict {
    pub(super) problems: Vec<String>,
    pub(super) decisions: BTreeSet<&'static str>,
}

/// Losers are told so in one of the two texts that the original has for it; where the original
/// called winners losers, ours does not (V2-5).
pub(super) fn race_verdict(lines: &[Value], answers: &[Response]) -> RaceVerdict {
    const TEXTS: [&str; 2] = [
        "You cannot refund more than what is captured on the payment.",
        "You are not allowed to refund more than the captured amount",
    ];
    let mut verdict = RaceVerdict::default();
    for answer in answers.iter().filter(|a| a.status != 200) {
        let text = answer.text();
        if answer.status != 400 || !TEXTS.iter().any(|known| text.contains(known)) {
            verdict.problems.push(format!("{} {}", answer.status, shorten(&text)));
        }
    }
    let won = |line: &&Value| line.pointer("/response/status").and_then(Value::as_u64) == Some(200);
    let recorded = lines.iter().filter(won).count();
    if recorded != answers.iter().filter(|a| a.status == 200).count() {
        verdict.decisions.insert("V2-5");
    }
    verdict
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

#[test]
fn the_amount_is_read_as_it_was_spelt() {
    let asked = |body: &str| amount_text(&Request::post("/x").bytes(body));
    assert_eq!(asked(r#"{"amount":0.30000000000000004}"#).as_deref(), Some("0.30000000000000004"));
    assert_eq!(asked(r#"{"amount":1000,"amount":1}"#).as_deref(), Some("1"));
    assert_eq!(asked(r#"{"amount": 1e-7, "note":"x"}"#).as_deref(), Some("1e-7"));
    assert_eq!(asked("{}"), None);
    assert!(fraction("1e-7") && fraction("33.333") && !fraction("\"10\"") && !fraction("1e400"));
}

#[test]
fn a_note_tells_what_the_provider_does() {
    let note = "test provider; its refund call throws MedusaError type not_allowed with message 'provider says no'";
    assert_eq!(provider_script(note), json!(["decline:not_allowed:provider says no"]));
    assert_eq!(provider_script("throws a plain Error('upstream exploded')"), json!(["fail"]));
    assert_eq!(provider_script("test provider that writes into payment.data"), json!([]));
}
