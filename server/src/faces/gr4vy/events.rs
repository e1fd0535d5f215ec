//! `GET /transactions/{transaction_id}/events`: what happened to a transaction, newest first.
//!
//! The API has many events that are told of nothing here (3-D Secure, tokens, fraud checks); of
//! those that are, each has the API's name. It calls a refund of the payment method the reversal of
//! a capture. What is still under way has no event yet. An event's id is made of what it tells of,
//! and so it stays the same.

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use requite_core::id::uuid_text;
use requite_core::payment::LegKind;
use requite_core::refund::{Fault, Status};
use requite_engine::read::{OperationKind, OperationView, PaymentView, RefundView};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::failure::Failure;
use super::page::{Cursor, LIMIT_MAX, List, Page, Place, Query};
use super::transaction::{fault, payment_service};
use super::{auth, json, spelling};
use crate::access::Caller;
use crate::desk::Desk;
use crate::time::micros_text;

/// An event in the API's words.
#[derive(Debug, Serialize)]
struct Event {
    #[serde(rename = "type")]
    kind: &'static str,
    id: String,
    name: &'static str,
    created_at: String,
    context: Map<String, Value>,
    #[serde(skip)]
    place: Place,
}

/// What an event tells of, before it has a form.
struct Happening<'a> {
    name: &'static str,
    place: Place,
    amount: i64,
    fault: Option<&'a Fault>,
    /// The name and id of what it is about besides the transaction.
    about: Option<(&'static str, u128)>,
}

impl Event {
    fn new(view: &PaymentView, happening: &Happening<'_>) -> Event {
        let place = happening.place;
        let mut context = Map::new();
        let mut tell = |name: &str, value: Value| context.insert(name.to_owned(), value);
        tell("transaction_id", json!(uuid_text(view.id.bits())));
        tell("amount", json!(happening.amount));
        tell("currency", json!(view.currency.code()));
        if let Some((name, id)) = happening.about {
            tell(name, json!(uuid_text(id)));
        }
        if let Some(service) = payment_service(view).as_object() {
            tell("payment_service_id", service["id"].clone());
            tell("payment_service_display_name", service["display_name"].clone());
        }
        if let Some(fault) = happening.fault {
            tell("error_code", json!(fault::error_code(fault)));
            tell("raw_response_code", json!(fault.code));
            tell("raw_response_description", json!(fault.text));
        }
        let payment = view.id.bits().to_be_bytes();
        let number = place.id.to_be_bytes();
        Event {
            kind: "transaction-event",
            id: spelling::derived_uuid(&[b"event", &payment, &number]),
            name: happening.name,
            created_at: micros_text(place.at_ms),
            context,
            place,
        }
    }
}

/// Newest first.
fn events(view: &PaymentView) -> Vec<Event> {
    let operations = view.operations.iter().filter_map(|told| of_operation(view, told));
    let refunds = view.refunds.iter().zip(0..).filter_map(|(told, number)| of_refund(told, number));
    let mut events: Vec<Event> =
        operations.chain(refunds).map(|happening| Event::new(view, &happening)).collect();
    events.sort_by_key(|event| event.place);
    events.reverse();
    events
}

const AUTHORIZED: &str = "payment-connector-response-transaction-authorization-succeeded";
const AUTHORIZATION_FAILED: &str = "payment-connector-response-transaction-authorization-failed";
const DECLINED: &str = "payment-connector-response-transaction-declined";
const CAPTURED: [&str; 3] = [
    "payment-connector-response-transaction-capture-succeeded",
    "payment-connector-response-transaction-capture-declined",
    "payment-connector-response-transaction-capture-failed",
];
const VOIDED: [&str; 3] = [
    "payment-connector-response-transaction-void-succeeded",
    "payment-connector-response-transaction-void-declined",
    "payment-connector-response-transaction-void-failed",
];
const REFUNDED: [&str; 3] = [
    "payment-connector-response-transaction-capture-reversal-succeeded",
    "payment-connector-response-transaction-capture-reversal-declined",
    "payment-connector-response-transaction-capture-reversal-failed",
];
const REDEEMED: &str = "gift-card-redemption-succeeded";
const CARD_REFUNDED: &str = "gift-card-refund-succeeded";
const CARD_REFUND_FAILED: &str = "gift-card-refund-failed";
const MODIFIED: &str = "transaction-modified-event";

fn outcome(
    [succeeded, declined, failed]: [&'static str; 3],
    fault: Option<&Fault>,
) -> &'static str {
    match fault {
        None => succeeded,
        Some(fault) if fault::is_failure(fault) => failed,
        Some(_) => declined,
    }
}

fn of_operation<'a>(view: &PaymentView, told: &'a OperationView) -> Option<Happening<'a>> {
    let fault = told.fault.as_ref();
    let primary = view.primary();
    let capture = view.legs.iter().flat_map(|leg| &leg.captures).find(|c| c.id.bits() == told.id);
    let is_card = view.legs.iter().skip(1).any(|leg| leg.id.bits() == told.id);
    let (name, about) = match told.kind {
        // Where gift cards paid for all of it, nobody authorised anything.
        OperationKind::Registration if primary.amount.is_zero() && view.legs.len() > 1 => {
            return None;
        }
        OperationKind::Registration => {
            (outcome([AUTHORIZED, DECLINED, AUTHORIZATION_FAILED], fault), None)
        }
        OperationKind::Capture if is_card => (REDEEMED, Some(("gift_card_redemption_id", told.id))),
        OperationKind::Capture => (outcome(CAPTURED, fault), Some(("capture_id", told.id))),
        // What a final capture let go of belongs to the capture.
        OperationKind::Void if capture.is_some() => return None,
        OperationKind::Void => (outcome(VOIDED, fault), None),
        OperationKind::Extension => (MODIFIED, None),
    };
    // What was written down here may have happened elsewhere, and before.
    let at_ms = match told.kind {
        OperationKind::Registration => view.created_at_ms,
        _ => capture.map_or(told.at_ms, |capture| capture.at_ms),
    };
    let place = Place { at_ms, id: told.seq.into() };
    Some(Happening { name, place, amount: told.amount.units(), fault, about })
}

/// `number`: of the refunds of its payment, counted as they were asked for.
fn of_refund(told: &RefundView, number: u32) -> Option<Happening<'_>> {
    let is_card = told.leg_kind == LegKind::GiftCard;
    let [succeeded, declined, failed] = REFUNDED;
    let name = match told.status {
        Status::Succeeded if is_card => CARD_REFUNDED,
        Status::Succeeded => succeeded,
        Status::Declined | Status::Failed | Status::Reversed if is_card => CARD_REFUND_FAILED,
        Status::Declined => declined,
        Status::Failed | Status::Reversed => failed,
        Status::Requested
        | Status::AwaitingApproval
        | Status::Held
        | Status::Ready
        | Status::Dispatched
        | Status::Unknown
        | Status::Pending
        | Status::RequiresAction
        | Status::Voided => return None,
    };
    // Behind every operation of the same moment: refunds come after captures.
    let id = u128::from(u32::MAX).saturating_add(1).saturating_add(number.into());
    Some(Happening {
        name,
        place: Place { at_ms: told.settled_at_ms.unwrap_or(told.updated_at_ms), id },
        amount: told.amount.units(),
        fault: told.fault.as_ref().filter(|_| told.status != Status::Succeeded),
        about: Some(("refund_id", told.id.bits())),
    })
}

/// `GET /transactions/{transaction_id}/events`
pub(super) async fn list(
    State(desk): State<Desk>,
    Path(text): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    let actor = auth::actor(&desk, Caller::of(&request)).await?;
    let payment = spelling::transaction(&desk, actor.merchant, &text).await?;
    let name = format!("events of {}", uuid_text(payment.bits()));
    let list = List { merchant: actor.merchant, name: &name };
    let mut query = Query::read(request.uri());
    let (limit, cursor) = (query.limit(LIMIT_MAX), query.cursor(list));
    query.finish()?;
    let view = spelling::view(&desk, actor.merchant, &text).await?;
    let page = page(events(&view), limit, cursor, list);
    Ok(json(StatusCode::OK, HeaderMap::new(), &page))
}

/// `all` are newest first.
fn page(mut all: Vec<Event>, limit: u32, cursor: Option<Cursor>, list: List<'_>) -> Page<Event> {
    let size = usize::try_from(limit).unwrap_or(usize::MAX);
    let start = match cursor {
        None => 0,
        Some(Cursor::Next(place)) => all.partition_point(|event| event.place >= place),
        Some(Cursor::Previous(place)) => {
            all.partition_point(|event| event.place > place).saturating_sub(size)
        }
    };
    let end = match cursor {
        Some(Cursor::Previous(place)) => all.partition_point(|event| event.place > place),
        None | Some(Cursor::Next(_)) => start.saturating_add(size).min(all.len()),
    };
    let (is_first, is_last) = (start == 0, end >= all.len());
    all.truncate(end);
    let items = all.split_off(start.min(all.len()));
    let next = items.last().filter(|_| !is_last).map(|event| Cursor::Next(event.place));
    let previous = items.first().filter(|_| !is_first).map(|event| Cursor::Previous(event.place));
    Page {
        limit,
        next_cursor: next.map(|cursor| list.text(cursor)),
        previous_cursor: previous.map(|cursor| list.text(cursor)),
        items,
    }
}
