//! `GET /admin/payments/{id}`: a payment, with `fields` and `expand`.
//!
//! `fields` is a comma list. Plain names replace the default set; if all begin with `+` or `-`, they
//! are added to it or taken away. `id` is always there. An unknown name is 400 (decision V1-9).

use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use requite_core::id::{MerchantId, PaymentId, parse_prefixed, parse_uuid};
use requite_engine::read::PaymentView;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::{RawValue, to_raw_value};

use super::failure::Failure;
use super::{Face, auth, wire};
use crate::access::Caller;
use crate::json;
use crate::time::millis_text;

/// `GET /admin/payments/{id}`
pub(super) async fn retrieve(
    State(face): State<Face>,
    Path(id): Path<String>,
    Query(query): Query<Vec<(String, String)>>,
    request: Request,
) -> Result<Response, Failure> {
    let actor = auth::actor(&face, Caller::of(&request)).await?;
    let selection = Selection::read(&query)?;
    let payment = find(&face, actor.merchant, &id).await?;
    let payment = payment.ok_or_else(|| Failure::payment_unknown(&id))?;
    let body = Members(vec![("payment", raw(&selection.of(&payment)))]);
    Ok(wire::json(StatusCode::OK, &body))
}

/// The payment that a path names: by its id in any face's spelling, else by an alias.
pub(super) async fn find(
    face: &Face,
    merchant: MerchantId,
    text: &str,
) -> Result<Option<PaymentView>, Failure> {
    if let Some(id) = spelled(text)
        && let Some(payment) = face.desk.payment(merchant, id, None).await?
    {
        return Ok(Some(payment));
    }
    match alias(face, merchant, text).await? {
        Some(id) => Ok(face.desk.payment(merchant, id, None).await?),
        None => Ok(None),
    }
}

/// Reads a payment's id in this face's spelling, or in another's.
pub(super) fn spelled(text: &str) -> Option<PaymentId> {
    parse_prefixed("pay_", text)
        .or_else(|| parse_uuid(text))
        .or_else(|| parse_prefixed("ch_", text))
        .map(PaymentId::new)
}

/// The payment that has this text as another name.
pub(super) async fn alias(
    face: &Face,
    merchant: MerchantId,
    text: &str,
) -> Result<Option<PaymentId>, Failure> {
    let text = text.to_owned();
    let named = face.desk.read(move |reads| reads.payment_named(merchant, &text));
    Ok(named.await?)
}

/// A member of a payment.
struct Field {
    name: &'static str,
    is_default: bool,
    of: fn(&PaymentView) -> Box<RawValue>,
}

const fn field(name: &'static str, of: fn(&PaymentView) -> Box<RawValue>) -> Field {
    let is_default = true;
    Field { name, is_default, of }
}

/// Every member: the twelve that are shown unless others are asked for, then three more.
const FIELDS: [Field; 15] = [
    field("id", |p| raw(&wire::payment_text(p.id.bits()))),
    field("swap_id", |_| raw(&())),
    field("cart_id", |_| raw(&())),
    field("order_id", |p| raw(&p.order)),
    field("amount", |p| raw(&p.primary().amount.units())),
    field("currency_code", |p| raw(&currency(p))),
    // Open refunds count: their money is promised.
    field("amount_refunded", |p| raw(&p.refunded_or_open(p.primary().id))),
    field("provider_id", |p| raw(&p.connector)),
    field("data", |p| profile_object(p, "data").unwrap_or_else(|| raw(&Members(Vec::new())))),
    field("captured_at", |p| {
        let first = p.primary().captures.first();
        raw(&first.map(|capture| millis_text(capture.at_ms)))
    }),
    field("canceled_at", |p| raw(&p.cancelled_at_ms.map(millis_text))),
    field("metadata", |p| profile_object(p, "metadata").unwrap_or_else(|| raw(&()))),
    Field { is_default: false, ..field("created_at", |p| raw(&millis_text(p.created_at_ms))) },
    Field { is_default: false, ..field("updated_at", |p| raw(&millis_text(p.updated_at_ms))) },
    Field { is_default: false, ..field("idempotency_key", |_| raw(&())) },
];

/// Something beside the payment that can be shown inside it.
struct Relation {
    /// As `expand` names it.
    name: &'static str,
    of: fn(&PaymentView) -> Box<RawValue>,
}

const RELATIONS: [Relation; 4] = [
    Relation { name: "order", of: order },
    Relation { name: "currency", of: |p| raw(&Members(vec![("code", raw(&currency(p)))])) },
    Relation { name: "cart", of: |_| raw(&()) },
    Relation { name: "swap", of: |_| raw(&()) },
];

/// What is known of the order, or null. The shop keeps the rest.
pub(super) fn order(payment: &PaymentView) -> Box<RawValue> {
    let members = payment.order.as_ref().map(|id| {
        Members(vec![
            ("object", raw("order")),
            ("id", raw(id)),
            ("customer_id", raw(&payment.customer)),
            ("currency_code", raw(&currency(payment))),
        ])
    });
    raw(&members)
}

/// All 15 members.
pub(super) fn row(payment: &PaymentView) -> Members {
    let all = Selection {
        fields: FIELDS.iter().map(|field| field.name).collect(),
        relations: Vec::new(),
    };
    all.of(payment)
}

fn currency(payment: &PaymentView) -> String {
    payment.currency.code().to_ascii_lowercase()
}

/// An object that was registered with the payment, as it was written.
fn profile_object(payment: &PaymentView, name: &str) -> Option<Box<RawValue>> {
    let profile = json::read(payment.profile.as_bytes()).ok()?.object()?;
    let member = profile.member(name)?;
    member.object()?;
    RawValue::from_string(member.text().to_owned()).ok()
}

pub(super) fn raw<T: Serialize + ?Sized>(value: &T) -> Box<RawValue> {
    to_raw_value(value).expect("texts, numbers and nulls have a JSON text")
}

/// A JSON object, in order.
pub(super) struct Members(pub(super) Vec<(&'static str, Box<RawValue>)>);

impl Serialize for Members {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// Which members of a payment an answer shows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Selection {
    fields: Vec<&'static str>,
    relations: Vec<&'static str>,
}

impl Selection {
    /// Reads a query: at most `fields` and `expand`, each once.
    pub(super) fn read(query: &[(String, String)]) -> Result<Selection, Failure> {
        let mut complaints: Vec<String> = Vec::new();
        for (name, _) in query {
            // `fields[]=id` is a list and `fields[a]=id` an object, of the name before the bracket.
            let name = stem(name);
            let complaint = format!("property {name} should not exist");
            let is_known = matches!(name, "expand" | "fields" | "");
            if !is_known && !complaints.contains(&complaint) {
                complaints.push(complaint);
            }
        }
        let expand = only_text(query, "expand", &mut complaints);
        let fields = only_text(query, "fields", &mut complaints);
        if !complaints.is_empty() {
            return Err(Failure::invalid(complaints.join(", ")));
        }
        let mut relations = listed(expand.unwrap_or_default())
            .map(|name| relation(name).ok_or_else(|| unknown_name("expand", name)))
            .collect::<Result<Vec<&'static str>, Failure>>()?;
        let fields = match fields {
            None => defaults(),
            Some(text) => chosen(text, &mut relations)?,
        };
        Ok(Selection { fields, relations })
    }

    pub(super) fn of(&self, payment: &PaymentView) -> Members {
        let fields = FIELDS
            .iter()
            .filter(|field| self.fields.contains(&field.name))
            .map(|field| (field.name, (field.of)(payment)));
        let relations = RELATIONS
            .iter()
            .filter(|relation| self.relations.contains(&relation.name))
            .map(|relation| (relation.name, (relation.of)(payment)));
        Members(fields.chain(relations).collect())
    }
}

fn stem(name: &str) -> &str {
    match name.find('[') {
        None | Some(0) => name,
        Some(at) => &name[..at],
    }
}

/// The text of a parameter that is given once and plainly, if it is given.
fn only_text<'q>(
    query: &'q [(String, String)],
    name: &str,
    complaints: &mut Vec<String>,
) -> Option<&'q str> {
    let given: Vec<_> = query.iter().filter(|(sent, _)| stem(sent) == name).collect();
    match given.as_slice() {
        [] => None,
        [(sent, text)] if sent == name => Some(text),
        _ => {
            complaints.push(format!("{name} must be a string"));
            None
        }
    }
}

fn listed(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').filter(|name| !name.is_empty())
}

fn relation(name: &str) -> Option<&'static str> {
    let found = RELATIONS.iter().find(|relation| relation.name == name)?;
    Some(found.name)
}

fn defaults() -> Vec<&'static str> {
    let defaults = FIELDS.iter().filter(|field| field.is_default);
    defaults.map(|field| field.name).collect()
}

/// What a list of fields chooses. A member of the order (`order.id`) brings the order.
fn chosen(text: &str, relations: &mut Vec<&'static str>) -> Result<Vec<&'static str>, Failure> {
    let changes = |name: &str| name.starts_with(['+', '-']);
    let adds_only = text.contains(|c| c != ',') && listed(text).all(changes);
    let mut fields = if adds_only { defaults() } else { vec!["id"] };
    for name in listed(text) {
        let bare = name.strip_prefix(['+', '-']).unwrap_or(name);
        if adds_only && name.starts_with('-') {
            fields.retain(|&field| field != bare || field == "id");
            continue;
        }
        match FIELDS.iter().find(|field| field.name == bare) {
            Some(field) => fields.push(field.name),
            None if bare == "order.id" => relations.push("order"),
            None => return Err(unknown_name("fields", bare)),
        }
    }
    Ok(fields)
}

fn unknown_name(parameter: &str, name: &str) -> Failure {
    Failure::invalid(format!("{parameter} has an unknown name: {name}"))
}

#[cfg(test)]
mod tests;
