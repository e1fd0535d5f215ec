//! How an answer goes wrong on its way out, as a rule of a script says.

use serde_json::Value;

use super::script::{Answer, Rule, Wrong};
use super::wire::Wire;
use super::{Manner, Reply, adyen};

/// The answer to a request that is not carried out.
pub(super) fn unacted(rule: &Rule, wire: Wire, request: &str) -> Reply {
    let (status, code) = match &rule.answer {
        Answer::Error { status, code, .. } => (*status, code.as_deref()),
        _ => (503, None),
    };
    let mut reply = Reply::failed(&wire.scripted(status, code), request);
    if wire == Wire::Adyen && status >= 500 {
        // Adyen's word for: this request had no effect.
        reply.headers.push(("transient-error", "true".to_owned()));
    }
    with_retry_after(spoilt(reply, rule), rule)
}

pub(super) fn with_retry_after(mut reply: Reply, rule: &Rule) -> Reply {
    if let Answer::Error { retry_after_s: Some(seconds), .. } = rule.answer {
        reply.headers.push(("retry-after", seconds.to_string()));
    }
    reply
}

/// An answer as it goes out.
pub(super) fn spoilt(reply: Reply, rule: &Rule) -> Reply {
    let manner = match rule.answer {
        Answer::Plain | Answer::Wrong(_) | Answer::Html | Answer::CutJson => Manner::Whole,
        Answer::Error { .. } => Manner::Whole,
        Answer::Lost => Manner::Lost,
        Answer::Reset => Manner::Reset,
        Answer::Hang => Manner::Never,
        Answer::Slow { ms } => Manner::After { ms },
        Answer::Drip { ms } => Manner::Drip { ms },
        Answer::CutBody => Manner::CutBody,
        Answer::Huge => Manner::Huge,
        Answer::GzipBomb => Manner::Bomb,
    };
    let body = match &rule.answer {
        Answer::Html => "<!doctype html><title>OK</title><h1>It works!</h1>".to_owned(),
        Answer::CutJson => half(&reply.body).to_owned(),
        Answer::Wrong(wrong) => falsified(&reply.body, *wrong),
        _ => reply.body,
    };
    let status = if rule.answer == Answer::Html { 200 } else { reply.status };
    Reply { status, body, manner, ..reply }
}

/// The first half of a body. JSON that Stripe shows is ASCII but for people's own words.
pub(super) fn half(body: &str) -> &str {
    let mut end = body.len() / 2;
    while !body.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    &body[..end]
}

/// Every refund in an answer, made wrong in one member.
fn falsified(body: &str, wrong: Wrong) -> String {
    let Ok(mut value) = serde_json::from_str::<Value>(body) else {
        return body.to_owned();
    };
    falsify(&mut value, wrong);
    serde_json::to_string_pretty(&value).unwrap_or_default()
}

fn falsify(value: &mut Value, wrong: Wrong) {
    if let Some(listed) = value.get_mut("data").and_then(Value::as_array_mut) {
        listed.iter_mut().for_each(|value| falsify(value, wrong));
        return;
    }
    match value.get("amount") {
        None => return,
        Some(amount) if amount.is_object() => return adyen::falsify(value, wrong),
        Some(_) => {}
    }
    match wrong {
        Wrong::Amount => {
            let amount = value["amount"].as_i64().unwrap_or_default();
            value["amount"] = amount.saturating_add(1).into();
        }
        Wrong::Currency => {
            let other = if value["currency"] == "eur" { "usd" } else { "eur" };
            value["currency"] = other.into();
        }
        Wrong::Charge => {
            for (name, other) in [("charge", "ch_other"), ("payment_intent", "pi_other")] {
                if !value[name].is_null() {
                    value[name] = other.into();
                }
            }
        }
        Wrong::Account => {
            value["id"] = "re_of_somebody_else".into();
            let members = value["metadata"].as_object_mut();
            for (_, text) in members.into_iter().flatten() {
                *text = "00000000-0000-7000-8000-000000000000".into();
            }
        }
        Wrong::Type => value["amount"] = value["amount"].to_string().into(),
        Wrong::Status => value["status"] = "a_word_of_tomorrow".into(),
    }
}
