//! Events, and the endpoints that are told of them.

use serde_json::{Value, json};

use super::failure::Failure;
use super::{Call, VERSION, is_created_as, page, show};
use crate::psp::Simulator;
use crate::psp::books::{Change, Charge, Entry, Status};
use crate::psp::hooks::{Endpoint, Event};
use crate::psp::wire::Wire;

/// Who asked for what an event tells: the request's id and its key.
pub(crate) type Origin<'a> = (Option<&'a str>, Option<&'a str>);

/// The events that changes of the books are told by.
pub(crate) fn events(
    simulator: &mut Simulator,
    changes: &[Change],
    origin: Origin<'_>,
    now_ms: i64,
) -> Vec<Event> {
    let mut events = Vec::new();
    for change in changes {
        let (kinds, object) = told(simulator, change);
        for kind in kinds {
            events.push(event(simulator, kind, &object, origin, now_ms));
        }
    }
    events
}

fn event(
    simulator: &mut Simulator,
    kind: &'static str,
    object: &Value,
    origin: Origin<'_>,
    now_ms: i64,
) -> Event {
    let id = simulator.dice.id("evt_");
    let shown = json!({
        "id": id,
        "object": "event",
        "api_version": VERSION,
        "created": now_ms.div_euclid(1_000),
        "data": {"object": object},
        "livemode": false,
        "pending_webhooks": simulator.hooks.endpoints.len(),
        "request": {"id": origin.0, "idempotency_key": origin.1},
        "type": kind,
    });
    Event { id, kind, shown, wire: Wire::Stripe }
}

/// The event of a dispute over the whole of a charge.
pub(crate) fn disputed(simulator: &mut Simulator, charge: &Charge, now_ms: i64) -> Event {
    let dispute = json!({
        "id": simulator.dice.id("du_"),
        "object": "dispute",
        "amount": charge.captured,
        "charge": charge.id,
        "created": now_ms.div_euclid(1_000),
        "currency": charge.currency,
        "is_charge_refundable": false,
        "livemode": false,
        "metadata": {},
        "payment_intent": charge.intent,
        "reason": "fraudulent",
        "status": "needs_response",
    });
    event(simulator, "charge.dispute.created", &dispute, (None, None), now_ms)
}

/// The kinds of event for a change, and its object.
fn told(simulator: &Simulator, change: &Change) -> (Vec<&'static str>, Value) {
    let books = &simulator.books;
    let is_new = change.before.is_none();
    match &change.entry {
        Entry::Charge(charge) => {
            let gave_back = |charge: &Charge| charge.refunded.saturating_add(charge.released);
            let kinds = match &change.before {
                None if charge.has_failed => vec!["charge.failed"],
                None if charge.captured > 0 => vec!["charge.succeeded"],
                Some(Entry::Charge(before)) if before.captured < charge.captured => {
                    vec!["charge.captured"]
                }
                Some(Entry::Charge(before)) if gave_back(before) < gave_back(charge) => {
                    vec!["charge.refunded"]
                }
                None | Some(_) => vec!["charge.updated"],
            };
            (kinds, show::charge(books, charge, &[]))
        }
        Entry::Intent(intent) => {
            let kinds = match show::intent_status(books, intent) {
                "succeeded" => vec!["payment_intent.succeeded"],
                "canceled" => vec!["payment_intent.canceled"],
                _ if is_new => vec!["payment_intent.created"],
                _ => Vec::new(),
            };
            (kinds, show::intent(books, intent, &[]))
        }
        Entry::Refund(refund) => {
            let has_failed = refund.status == Status::Failed;
            let kinds = match (is_new, has_failed) {
                (true, false) => vec!["refund.created"],
                (true, true) => vec!["refund.created", "refund.failed"],
                (false, false) => vec!["refund.updated", "charge.refund.updated"],
                (false, true) => vec!["refund.updated", "charge.refund.updated", "refund.failed"],
            };
            (kinds, show::refund(books, refund, &[]))
        }
    }
}

/// The operations on events and endpoints.
pub(super) fn act(simulator: &mut Simulator, call: &Call<'_>) -> Result<Value, Failure> {
    let hooks = &mut simulator.hooks;
    let id = call.id;
    match call.operation {
        "event.retrieve" => {
            let found = hooks.events.iter().find(|event| event.id == id);
            Ok(found.ok_or_else(|| Failure::missing("event", id))?.shown.clone())
        }
        "event.list" => list_events(simulator, call),
        "endpoint.create" => create(simulator, call),
        "endpoint.list" => {
            let ours = |endpoint: &&Endpoint| endpoint.wire == Wire::Stripe;
            let ids = hooks.endpoints.iter().rev().filter(ours);
            let ids = ids.map(|endpoint| endpoint.id.as_str());
            page(ids, call.form, "/v1/webhook_endpoints", |id| {
                let found = hooks.endpoints.iter().find(|endpoint| endpoint.id == id)?;
                Some(show::endpoint(found, false))
            })
        }
        "endpoint.retrieve" => {
            let found = hooks.endpoints.iter().find(|endpoint| endpoint.id == id);
            let found = found.ok_or_else(|| Failure::missing("webhook endpoint", id))?;
            Ok(show::endpoint(found, false))
        }
        "endpoint.delete" => {
            let before = hooks.endpoints.len();
            hooks.endpoints.retain(|endpoint| endpoint.id != id);
            if hooks.endpoints.len() == before {
                return Err(Failure::missing("webhook endpoint", id));
            }
            Ok(json!({"id": id, "object": "webhook_endpoint", "deleted": true}))
        }
        _ => Err(Failure::no_path("GET", call.operation)),
    }
}

fn list_events(simulator: &Simulator, call: &Call<'_>) -> Result<Value, Failure> {
    let events = &simulator.hooks.events;
    let mut kinds = call.form.list("types");
    kinds.extend(call.form.one("type"));
    let matches = |event: &&Event| {
        let is_any = kinds.is_empty() && event.wire == Wire::Stripe;
        is_any
            || kinds.iter().any(|kind| match kind.strip_suffix('*') {
                Some(start) => event.kind.starts_with(start),
                None => event.kind == *kind,
            })
    };
    let is_asked_for = |event: &&Event| {
        let at_s = event.shown["created"].as_i64().unwrap_or_default();
        is_created_as(call.form, at_s.saturating_mul(1_000))
    };
    let ids =
        events.iter().rev().filter(matches).filter(is_asked_for).map(|event| event.id.as_str());
    page(ids, call.form, "/v1/events", |id| {
        events.iter().find(|event| event.id == id).map(|event| event.shown.clone())
    })
}

fn create(simulator: &mut Simulator, call: &Call<'_>) -> Result<Value, Failure> {
    let form = call.form;
    let url = form.one("url").ok_or_else(|| Failure::parameter_missing("url"))?;
    if !url.starts_with("http://") && !url.starts_with("https://") {
        return Err(Failure::parameter(
            "url",
            "Invalid URL: An explicit scheme (such as https) must be provided.",
        ));
    }
    let kinds = form.list("enabled_events");
    if kinds.is_empty() {
        return Err(Failure::parameter_missing("enabled_events"));
    }
    let endpoint = Endpoint {
        id: simulator.dice.id("we_"),
        url: url.to_owned(),
        secret: simulator.dice.id("whsec_"),
        kinds: kinds.into_iter().map(str::to_owned).collect(),
        at_ms: call.now_ms,
        wire: Wire::Stripe,
    };
    let shown = show::endpoint(&endpoint, true);
    simulator.hooks.endpoints.push(endpoint);
    Ok(shown)
}
