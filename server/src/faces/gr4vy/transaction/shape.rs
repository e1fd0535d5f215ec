//! What of a request is shown again on its transaction, and in which form: an SDK that reads a member
//! of another form back refuses the whole transaction.
//!
//! Invariant: of an account, nothing is kept. Numbers of accounts may be card numbers.

use requite_core::id::parse_uuid;
use serde_json::{Map, Value as Kept, json};

use super::super::failure::{Detail, Location};
use super::super::form::{Form, pointer};
use super::super::wire::AMOUNT_MAX;
use crate::json::{Json, Kind, Value, integer};
use crate::time;

/// Longest text, in characters.
const TEXT_MAX: usize = 2_048;
/// Most items of a list.
const ITEMS_MAX: usize = 500;

pub(super) enum Shape {
    Text,
    /// A number of minor units, or a count; it may be below zero.
    Integer,
    Flag,
    Id,
    /// RFC 3339.
    Time,
    List(&'static Shape),
    /// Members, and which of them must be there.
    Object(&'static [(&'static str, Shape)], &'static [&'static str]),
    /// A text that is taken and not kept.
    Unkept,
}

use Shape::{Flag, Id, Integer, List, Object, Text, Time, Unkept};

const ADDRESS: &[(&str, Shape)] = &[
    ("city", Text),
    ("country", Text),
    ("postal_code", Text),
    ("state", Text),
    ("state_code", Text),
    ("house_number_or_name", Text),
    ("line1", Text),
    ("line2", Text),
    ("organization", Text),
];

const TAX_ID: &[(&str, Shape)] = &[("value", Text), ("kind", Text)];

const PERSON: &[(&str, Shape)] = &[
    ("first_name", Text),
    ("last_name", Text),
    ("email_address", Text),
    ("phone_number", Text),
    ("address", Object(ADDRESS, &[])),
];

const BILLED: &[(&str, Shape)] = &[
    ("first_name", Text),
    ("last_name", Text),
    ("email_address", Text),
    ("phone_number", Text),
    ("address", Object(ADDRESS, &[])),
    ("tax_id", Object(TAX_ID, &["value", "kind"])),
];

const BUYER: &[(&str, Shape)] = &[
    ("display_name", Text),
    ("external_identifier", Text),
    ("billing_details", Object(BILLED, &[])),
    ("account_number", Unkept),
    ("shipping_details", Object(PERSON, &[])),
];

const RECIPIENT: &[(&str, Shape)] = &[
    ("first_name", Text),
    ("last_name", Text),
    ("address", Object(ADDRESS, &[])),
    ("account_number", Unkept),
    ("date_of_birth", Text),
];

const STATEMENT: &[(&str, Shape)] = &[
    ("name", Text),
    ("description", Text),
    ("city", Text),
    ("country", Text),
    ("phone_number", Text),
    ("url", Text),
    ("postal_code", Text),
];

const CART_ITEM: &[(&str, Shape)] = &[
    ("name", Text),
    ("quantity", Integer),
    ("unit_amount", Integer),
    ("discount_amount", Integer),
    ("tax_amount", Integer),
    ("external_identifier", Text),
    ("sku", Text),
    ("upc", Text),
    ("product_url", Text),
    ("image_url", Text),
    ("categories", List(&Text)),
    ("subcategories", List(&Text)),
    ("brand", Text),
    ("product_type", Text),
    ("seller_country", Text),
    ("tax_exempt", Flag),
    ("unit_of_measure", Text),
    ("commodity_code", Text),
    ("description", Text),
    ("duty_amount", Integer),
    ("shipping_amount", Integer),
];

const FLIGHT: &[(&str, Shape)] = &[
    ("arrival_airport", Text),
    ("arrival_at", Time),
    ("arrival_city", Text),
    ("arrival_country", Text),
    ("carrier_code", Text),
    ("carrier_name", Text),
    ("iata_designator", Text),
    ("icao_code", Text),
    ("coupon_number", Text),
    ("departure_airport", Text),
    ("departure_at", Time),
    ("departure_city", Text),
    ("departure_country", Text),
    ("departure_tax_amount", Integer),
    ("fare_amount", Integer),
    ("fare_basis_code", Text),
    ("fee_amount", Integer),
    ("flight_class", Text),
    ("flight_number", Text),
    ("route_type", Text),
    ("seat_class", Text),
    ("stop_over", Flag),
    ("tax_amount", Integer),
];

const PASSENGER: &[(&str, Shape)] = &[
    ("age_group", Text),
    ("date_of_birth", Text),
    ("email_address", Text),
    ("first_name", Text),
    ("frequent_flyer_number", Text),
    ("last_name", Text),
    ("passport_number", Text),
    ("phone_number", Text),
    ("ticket_number", Text),
    ("title", Text),
    ("country_code", Text),
];

const AIRLINE: &[(&str, Shape)] = &[
    ("booking_code", Text),
    ("is_cardholder_traveling", Flag),
    ("issued_address", Text),
    ("issued_at", Time),
    ("issuing_carrier_code", Text),
    ("issuing_carrier_name", Text),
    ("issuing_iata_designator", Text),
    ("issuing_icao_code", Text),
    ("legs", List(&Object(FLIGHT, &[]))),
    ("passenger_name_record", Text),
    ("passengers", List(&Object(PASSENGER, &[]))),
    ("reservation_system", Text),
    ("restricted_ticket", Flag),
    ("ticket_delivery_method", Text),
    ("ticket_number", Text),
    ("travel_agency_code", Text),
    ("travel_agency_invoice_number", Text),
    ("travel_agency_name", Text),
    ("travel_agency_plan_name", Text),
];

/// Members of a new transaction that are kept as they were sent.
pub(super) const SHOWN: &[(&str, Shape)] = &[
    ("country", Text),
    ("buyer", Object(BUYER, &[])),
    ("buyer_id", Id),
    ("buyer_external_identifier", Text),
    ("airline", Object(AIRLINE, &[])),
    ("cart_items", List(&Object(CART_ITEM, &["name", "quantity", "unit_amount"]))),
    ("statement_descriptor", Object(STATEMENT, &[])),
    ("recipient", Object(RECIPIENT, &["first_name", "last_name"])),
    ("installment_count", Integer),
    ("tax_amount", Integer),
    ("merchant_tax_id", Text),
    ("purchase_order_number", Text),
    ("customer_reference_number", Text),
    ("amount_includes_tax", Flag),
    ("supplier_order_number", Text),
    ("duty_amount", Integer),
    ("shipping_amount", Integer),
];

/// The members among [`SHOWN`] that are there, nulls left out.
pub(super) fn shown(form: &mut Form<'_>) -> Map<String, Kept> {
    let mut kept = Map::new();
    let mut details = Vec::new();
    for (name, shape) in SHOWN {
        let Some(json) = form.member(name) else { continue };
        if let Some(value) = keep(json, shape, &pointer(name), &mut details) {
            kept.insert((*name).to_owned(), value);
        }
    }
    form.add(details);
    kept
}

/// The value as it is kept; what is wrong with it goes to `details`.
fn keep(json: Json<'_>, shape: &Shape, at: &str, details: &mut Vec<Detail>) -> Option<Kept> {
    let kept = match (shape, json.value()) {
        (Text, Value::Text(text)) if text.chars().count() <= TEXT_MAX => Some(json!(text)),
        (Id, Value::Text(text)) => parse_uuid(&text).map(|_| json!(text)),
        (Time, Value::Text(text)) => time::parse(&text).map(|ms| json!(time::micros_text(ms))),
        (Flag, Value::Bool(is_set)) => Some(json!(is_set)),
        (Integer, Value::Number(raw)) => integer(raw)
            .ok()
            .filter(|number| (-AMOUNT_MAX..=AMOUNT_MAX).contains(number))
            .map(|number| json!(number)),
        (List(shape), Value::Array(items)) if items.len() <= ITEMS_MAX => {
            return Some(list(items, shape, at, details));
        }
        (Object(members, required), Value::Object(_)) => {
            return Some(object(json, (members, required), at, details));
        }
        (Unkept, Value::Text(_)) => return None,
        _ => None,
    };
    if kept.is_none() {
        let (text, kind) = complaint(shape);
        details.push(Detail::new(Location::Body, at, text, kind));
    }
    kept
}

fn list(items: Vec<Json<'_>>, shape: &Shape, at: &str, details: &mut Vec<Detail>) -> Kept {
    let kept = items.into_iter().enumerate();
    kept.filter_map(|(place, item)| keep(item, shape, &format!("{at}/{place}"), details)).collect()
}

fn object(
    json: Json<'_>,
    (shapes, required): (&[(&str, Shape)], &[&str]),
    at: &str,
    details: &mut Vec<Detail>,
) -> Kept {
    let mut complain = |name: &str, text: &str, kind| {
        let place = format!("{at}{}", pointer(name));
        details.push(Detail::new(Location::Body, place, text, kind));
    };
    let object = json.object().expect("the caller saw that it is an object");
    if let Some(name) = object.repeated_name() {
        complain(name, "the member is there more than once", "value_error");
    }
    let names: Vec<&str> = shapes.iter().map(|(name, _)| *name).collect();
    if let Some(name) = object.name_outside(&names) {
        complain(name, "extra fields not permitted", "value_error.extra");
    }
    let member = |name: &str| object.member(name).filter(|value| value.kind() != Kind::Null);
    for name in required.iter().filter(|name| member(name).is_none()) {
        complain(name, "field required", "value_error.missing");
    }
    let mut kept = Map::new();
    for (name, shape) in shapes {
        let Some(value) = member(name) else { continue };
        let place = format!("{at}{}", pointer(name));
        if let Some(value) = keep(value, shape, &place, details) {
            kept.insert((*name).to_owned(), value);
        }
    }
    Kept::Object(kept)
}

fn complaint(shape: &Shape) -> (String, &'static str) {
    match shape {
        Text | Unkept => {
            (format!("a text of at most {TEXT_MAX} characters is expected"), "type_error.str")
        }
        Integer => {
            (format!("a whole number of at most {AMOUNT_MAX} is expected"), "type_error.integer")
        }
        Flag => ("value could not be parsed to a boolean".to_owned(), "type_error.bool"),
        Id => ("value is not a valid uuid".to_owned(), "type_error.uuid"),
        Time => ("a time with an offset is expected".to_owned(), "value_error.datetime"),
        List(_) => (format!("a list of at most {ITEMS_MAX} is expected"), "type_error.list"),
        Object(..) => ("value is not a valid dict".to_owned(), "type_error.dict"),
    }
}
