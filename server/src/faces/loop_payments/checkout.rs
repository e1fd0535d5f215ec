//! `POST /v1/checkout`: puts a payment on the books, with the connector that `loop.connector` names.
//!
//! No card comes with a checkout. A connector that takes by itself (the sandbox) has taken the whole
//! amount when this answers, and the payment is `succeeded`; with `manual` nobody has taken anything
//! yet, and it is `processing` until somebody captures it (decision B12).

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use requite_core::currency::Currency;
use requite_core::id::{CaptureId, LegId, PaymentId};
use requite_core::money::{MINOR_MAX, Minor};
use requite_engine::command::{NewLeg, Registered, Registration, Trace};
use requite_engine::key::digest;

use super::auth;
use super::failure::Failure;
use super::payment;
use super::wire;
use crate::access::{Actor, Caller};
use crate::desk::{Desk, Unseen, key, replay_headers};
use crate::json::{Json, NotInteger, Object, Value, integer};

const ROUTE: &str = "POST /v1/checkout";
const CURRENCY: &str = "usd";
/// Longest name of a customer or an order, in bytes.
const NAME_BYTES_MAX: usize = 255;
/// What is kept of a checkout besides what has a place of its own.
const KEPT: [&str; 4] = ["line_items", "promo_code", "subscription_plan_id", "stripe_customer_id"];

/// A checkout as asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Checkout {
    customer: String,
    order: Option<String>,
    amount: Minor,
    currency: Currency,
    /// JSON object text.
    profile: String,
    /// Equal for bodies that mean the same.
    pub meaning: String,
}

pub(super) async fn create(
    State(desk): State<Desk>,
    mut request: Request,
) -> Result<Response, Failure> {
    let actor = auth::actor(&desk, Caller::of(&request)).await?;
    let merchant = actor.merchant;
    let at_checkout = |failure| Failure::AtCheckout(Box::new(failure));
    let body = wire::body(&mut request).await.map_err(at_checkout)?;
    let checkout = parse(&body).map_err(at_checkout)?;
    let key_text = wire::key_text(request.headers()).map_err(at_checkout)?;
    let mut new = registration(&desk, actor, checkout.clone());
    let keyed = |text: String| key("loop", &[ROUTE], &text, &[&checkout.meaning]);
    new.keys = key_text.map(keyed).into_iter().collect();
    let done = desk.register(new).await.map_err(Failure::Command)?;
    let (Registered::Created(id) | Registered::Present(id) | Registered::Differs(id)) =
        done.registered;
    let made = desk.payment_after(merchant, id, done.as_of).await;
    let made = made.map_err(|Unseen| Failure::UnshownPayment(id))?;
    let mut response = wire::json(StatusCode::CREATED, &payment::spelled(&made));
    response.headers_mut().extend(replay_headers(done.is_replay));
    Ok(response)
}

fn registration(desk: &Desk, actor: Actor, checkout: Checkout) -> Registration {
    let at_ms = desk.now_ms();
    let id = desk.ids().next();
    let collector = desk.settings().loop_collector;
    let leg = NewLeg { id: LegId::new(desk.ids().next()), amount: checkout.amount };
    let taken = collector.takes_at_once.then(|| CaptureId::new(desk.ids().next()));
    Registration {
        merchant: actor.merchant,
        payment: PaymentId::new(id),
        currency: checkout.currency,
        primary: leg,
        gift_cards: Vec::new(),
        captures: taken.map(|capture| (capture, checkout.amount)).into_iter().collect(),
        connector: collector.connector.to_owned(),
        connector_payment: None,
        connector_settings: None,
        external_identifier: None,
        order: checkout.order,
        customer: Some(checkout.customer),
        description: None,
        aliases: Vec::new(),
        profile: checkout.profile,
        // Each checkout is a payment of its own; what makes two of them one is their key.
        fingerprint: digest(&[&id.to_be_bytes()]),
        created_at_ms: at_ms,
        cancelled_at_ms: None,
        decline: None,
        trace: Some(Trace { face: "loop".to_owned(), ..Trace::default() }),
        keys: Vec::new(),
        actor: actor.name,
        at_ms,
    }
}

pub(super) fn parse(body: &[u8]) -> Result<Checkout, Failure> {
    let (json, object) = wire::object(body)?;
    let customer = text(&object, "customer_id")?;
    let Some(customer) = customer else { return wire::invalid("customer_id is required") };
    let order = optional(&object, "order_id", 0)?;
    let currency = currency(&object)?;
    optional(&object, "stripe_customer_id", 0)?;
    let promo = optional(&object, "promo_code", 1)?;
    let plan = text(&object, "subscription_plan_id")?;
    let items = line_items(&object)?;
    let amount = match (amount_cents(&object)?, items) {
        (Some(cents), _) => cents,
        (None, _) if promo.is_some() => {
            return wire::invalid("amount_cents is required with promo_code: no prices are known");
        }
        (None, Some(sum)) => sum,
        (None, None) if plan.is_some() => {
            return wire::invalid("amount_cents is required with subscription_plan_id alone");
        }
        (None, None) => return wire::invalid("amount_cents or line_items is required"),
    };
    if amount.is_zero() {
        return wire::invalid("line_items come to 0: there is nothing to pay");
    }
    let profile = profile(&object)?;
    Ok(Checkout { customer, order, amount, currency, profile, meaning: json.canonical() })
}

/// Text that may be absent and not be null, 1 to [`NAME_BYTES_MAX`] bytes.
fn text(object: &Object<'_>, name: &str) -> Result<Option<String>, Failure> {
    match object.member(name).map(Json::value) {
        None => Ok(None),
        Some(Value::Text(text)) if text.is_empty() => {
            wire::invalid(format!("{name} must not be empty"))
        }
        Some(Value::Text(text)) if text.len() > NAME_BYTES_MAX || text.contains('\0') => {
            let rule = format!("{name} must have at most {NAME_BYTES_MAX} bytes and no NUL");
            wire::invalid(rule)
        }
        Some(Value::Text(text)) => Ok(Some(text)),
        Some(_) => wire::invalid(format!("{name} must be a string")),
    }
}

/// As [`text`]; null and, where the published schema has no least length, the empty text are as good
/// as absent.
fn optional(object: &Object<'_>, name: &str, least: usize) -> Result<Option<String>, Failure> {
    let is_absent = object.member(name).is_some_and(|sent| {
        sent.is_null() || (least == 0 && sent.string().is_some_and(|text| text.is_empty()))
    });
    if is_absent { Ok(None) } else { text(object, name) }
}

fn currency(object: &Object<'_>) -> Result<Currency, Failure> {
    let code = text(object, "currency")?;
    let code = code.as_deref().unwrap_or(CURRENCY);
    match Currency::parse(code) {
        Some(currency) => Ok(currency),
        None => wire::invalid("currency must be three letters of ISO 4217, such as usd"),
    }
}

fn amount_cents(object: &Object<'_>) -> Result<Option<Minor>, Failure> {
    let Some(sent) = object.member("amount_cents") else { return Ok(None) };
    let amount = cents(sent, "amount_cents")?;
    if amount.is_zero() {
        return wire::invalid("amount_cents must be greater than 0");
    }
    Ok(Some(amount))
}

fn cents(sent: Json<'_>, name: &str) -> Result<Minor, Failure> {
    let whole = match sent.value() {
        Value::Number(raw) => integer(raw),
        _ => Err(NotInteger::Fraction),
    };
    match whole {
        Ok(units) => Minor::new(units).map_or_else(|| beyond(name), Ok),
        Err(NotInteger::OutOfRange) => beyond(name),
        Err(NotInteger::Fraction) => wire::invalid(format!("{name} must be an integer")),
    }
}

fn beyond<T>(name: &str) -> Result<T, Failure> {
    wire::invalid(format!("{name} must not be negative, and at most {MINOR_MAX}"))
}

/// What the items come to.
fn line_items(object: &Object<'_>) -> Result<Option<Minor>, Failure> {
    let items = match object.member("line_items").map(Json::value) {
        None => return Ok(None),
        Some(Value::Array(items)) if !items.is_empty() => items,
        Some(_) => return wire::invalid("line_items must be a list of at least one item"),
    };
    let mut sum = Minor::ZERO;
    for (at, item) in items.into_iter().enumerate() {
        let price =
            item_price(item).map_err(|failure| failure.within(&format!("line_items[{at}]")))?;
        let Some(more) = sum.checked_add(price) else { return beyond("the sum of line_items") };
        sum = more;
    }
    Ok(Some(sum))
}

fn item_price(item: Json<'_>) -> Result<Minor, Failure> {
    let Some(item) = item.object() else { return wire::invalid("must be an object") };
    for name in ["product_id", "variant_id"] {
        if text(&item, name)?.is_none() {
            return wire::invalid(format!("{name} is required"));
        }
    }
    let number = |name: &str| match item.member(name) {
        Some(sent) => cents(sent, name),
        None => wire::invalid(format!("{name} is required")),
    };
    let (quantity, unit) = (number("qty")?, number("unit_amount_cents")?);
    if quantity.is_zero() {
        return wire::invalid("qty must be greater than 0");
    }
    let price = quantity.units().checked_mul(unit.units()).and_then(Minor::new);
    price.map_or_else(|| beyond("qty times unit_amount_cents"), Ok)
}

/// What is shown and read by no rule: `metadata` as every face keeps it, and the rest of the
/// checkout under its own names.
fn profile(object: &Object<'_>) -> Result<String, Failure> {
    let mut parts = Vec::new();
    let sent = |name: &str| object.member(name).filter(|value| !value.is_null());
    if let Some(metadata) = sent("metadata") {
        if metadata.object().is_none() || metadata.contains_nul() {
            return wire::invalid("metadata must be an object, without NUL, or null");
        }
        parts.push(format!("\"metadata\":{}", metadata.text()));
    }
    let kept: Vec<String> = KEPT
        .iter()
        .filter_map(|name| sent(name).map(|value| format!("\"{name}\":{}", value.text())))
        .collect();
    if !kept.is_empty() {
        parts.push(format!("\"checkout\":{{{}}}", kept.join(",")));
    }
    Ok(format!("{{{}}}", parts.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(body: &str) -> String {
        match parse(body.as_bytes()) {
            Ok(read) => {
                let Checkout { customer, order, amount, currency, profile, .. } = read;
                let order = order.as_deref().unwrap_or("-");
                format!("{customer} {order} {} {currency} {profile}", amount.units())
            }
            Err(failure) => Failure::AtCheckout(Box::new(failure)).summary(),
        }
    }

    #[test]
    fn a_checkout_says_what_is_to_be_paid() {
        let item = r#"{"product_id":"p","variant_id":"v","qty":3,"unit_amount_cents":250}"#;
        for (body, read) in [
            (r#"{"customer_id":"c","amount_cents":5}"#.to_owned(), "c - 5 USD {}"),
            (
                r#"{"customer_id":"c","amount_cents":5,"currency":"Eur","order_id":"o","more":1}"#
                    .to_owned(),
                "c o 5 EUR {}",
            ),
            (
                r#"{"customer_id":"c","amount_cents":5e2,"order_id":null,"metadata":{"a":[1.10]}}"#
                    .to_owned(),
                r#"c - 500 USD {"metadata":{"a":[1.10]}}"#,
            ),
            (
                format!(r#"{{"customer_id":"c","line_items":[{item},{item}]}}"#),
                r#"c - 1500 USD {"checkout":{"line_items":[{"product_id":"p","variant_id":"v","qty":3,"unit_amount_cents":250},{"product_id":"p","variant_id":"v","qty":3,"unit_amount_cents":250}]}}"#,
            ),
            (
                format!(
                    r#"{{"customer_id":"c","amount_cents":600,"promo_code":"TEN","line_items":[{item}]}}"#
                ),
                r#"c - 600 USD {"checkout":{"line_items":[{"product_id":"p","variant_id":"v","qty":3,"unit_amount_cents":250}],"promo_code":"TEN"}}"#,
            ),
            (r#"{"customer_id":"c","amount_cents":5,"order_id":""}"#.to_owned(), "c - 5 USD {}"),
            (
                r#"{"customer_id":"c","amount_cents":900,"subscription_plan_id":"plan","stripe_customer_id":"cus_1","promo_code":null}"#.to_owned(),
                r#"c - 900 USD {"checkout":{"subscription_plan_id":"plan","stripe_customer_id":"cus_1"}}"#,
            ),
        ] {
            assert_eq!(read_text(&body), read, "{body}");
        }
    }

    #[test]
    fn what_cannot_be_a_checkout_is_a_400_that_names_the_member() {
        let item = |with: &str| {
            format!(
                r#"{{"customer_id":"c","line_items":[{{"product_id":"p","variant_id":"v"{with}}}]}}"#
            )
        };
        for (body, told) in [
            ("", "the body must be a JSON object"),
            ("[]", "the body must be a JSON object"),
            ("{}", "customer_id is required"),
            (r#"{"customer_id":""}"#, "customer_id must not be empty"),
            (r#"{"customer_id":null}"#, "customer_id must be a string"),
            (r#"{"customer_id":"c"}"#, "amount_cents or line_items is required"),
            (
                r#"{"customer_id":"c","subscription_plan_id":"p"}"#,
                "amount_cents is required with subscription_plan_id alone",
            ),
            (
                r#"{"customer_id":"c","amount_cents":1,"promo_code":""}"#,
                "promo_code must not be empty",
            ),
            (r#"{"customer_id":"c","amount_cents":0}"#, "amount_cents must be greater than 0"),
            (
                r#"{"customer_id":"c","amount_cents":-1}"#,
                "amount_cents must not be negative, and at most 9007199254740991",
            ),
            (
                r#"{"customer_id":"c","amount_cents":9007199254740992}"#,
                "amount_cents must not be negative, and at most 9007199254740991",
            ),
            (r#"{"customer_id":"c","amount_cents":1.5}"#, "amount_cents must be an integer"),
            (r#"{"customer_id":"c","amount_cents":"5"}"#, "amount_cents must be an integer"),
            (r#"{"customer_id":"c","amount_cents":null}"#, "amount_cents must be an integer"),
            (
                r#"{"customer_id":"c","amount_cents":5,"currency":"us"}"#,
                "currency must be three letters of ISO 4217, such as usd",
            ),
            (
                r#"{"customer_id":"c","amount_cents":5,"metadata":[]}"#,
                "metadata must be an object, without NUL, or null",
            ),
            (
                r#"{"customer_id":"c","amount_cents":5,"line_items":[]}"#,
                "line_items must be a list of at least one item",
            ),
            (
                r#"{"customer_id":"c","customer_id":"d"}"#,
                r#"the body names "customer_id" more than once"#,
            ),
            (&item(""), "line_items[0]: qty is required"),
            (
                &item(r#","qty":0,"unit_amount_cents":1"#),
                "line_items[0]: qty must be greater than 0",
            ),
            (
                &item(r#","qty":9007199254740991,"unit_amount_cents":2"#),
                "line_items[0]: qty times unit_amount_cents must not be negative, and at most 9007199254740991",
            ),
            (
                &item(r#","qty":1,"unit_amount_cents":0"#),
                "line_items come to 0: there is nothing to pay",
            ),
            (
                &item(r#","qty":1,"unit_amount_cents":5"#).replace("]}", r#"],"promo_code":"T"}"#),
                "amount_cents is required with promo_code: no prices are known",
            ),
        ] {
            assert_eq!(read_text(body), format!("400 validation_error: {told}"), "{body}");
        }
    }
}
