//! The order as this dialect shows it: one payment's payment method, its captures and refunds.

use axum::http::HeaderMap;
use axum::response::Response;
use requite_core::id::{MerchantId, PaymentId, uuid_text};
use requite_engine::read::{MerchantView, OperationKind, OperationView, PaymentView, ReadFault};
use serde::ser::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::failure::Failure;
use super::row::{self, Row};
use super::wire;
use crate::desk::Desk;
use crate::json::{Json, Object, read as read_json};
use crate::time::seconds_text;

/// In the order in which the dialect writes them.
#[derive(Debug, serde::Serialize)]
pub(super) struct Order {
    id: String,
    merchant: Merchant,
    currency: String,
    amount: i64,
    captured_amount: i64,
    refunded_amount: i64,
    voided_amount: i64,
    description: Option<String>,
    created_at: String,
    updated_at: String,
    source: Source,
    reauthorized_order_id: Box<RawValue>,
    airline: Box<RawValue>,
    sub_merchant: Box<RawValue>,
    agreement: Box<RawValue>,
    transactions: Vec<Row>,
}

#[derive(Debug, serde::Serialize)]
struct Merchant {
    id: String,
    acquirer_id: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    arabic_name: Option<String>,
    merchant_id: String,
    rule_precedence: String,
}

/// What the order was paid with: the dialect's members in its order, then any others that were
/// registered. What was not registered is null, but for the type.
#[derive(Debug)]
struct Source(Vec<(String, Box<RawValue>)>);

const SOURCE_MEMBERS: [&str; 10] = [
    "type",
    "issuer",
    "card_type",
    "category",
    "country_alpha2",
    "scheme",
    "first_digits",
    "last_digits",
    "month",
    "year",
];

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// The order of a payment as it is, or was after event `as_of`; `None` when there is none.
pub(super) async fn read(
    desk: &Desk,
    merchant: MerchantId,
    payment: PaymentId,
    as_of: Option<u32>,
) -> Result<Option<Order>, Failure> {
    let shows_allocation = desk.settings().mpg_shows_allocation;
    let Some(payment) = desk.payment(merchant, payment, as_of).await.map_err(Failure::Read)? else {
        return Ok(None);
    };
    let merchant = desk.merchant(merchant).await.map_err(Failure::Read)?;
    let gone = || ReadFault::Store("a payment's merchant is not on the books".to_owned());
    let merchant = merchant.ok_or_else(gone).map_err(Failure::Read)?;
    Ok(Some(Order::new(&payment, &merchant, shows_allocation)))
}

/// The answer to a request that changed an order: 200, the order as after event `as_of` (or as it
/// is), and `headers`.
pub(super) async fn answer(
    desk: &Desk,
    merchant: MerchantId,
    (order, as_of): (PaymentId, Option<u32>),
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let shows_allocation = desk.settings().mpg_shows_allocation;
    let payment = desk.payment_after(merchant, order, as_of).await;
    let merchant = desk.merchant(merchant).await;
    let (Ok(payment), Ok(Some(merchant))) = (payment, merchant) else {
        return Err(Failure::Unshown(headers));
    };
    let mut response = wire::ok(&Order::new(&payment, &merchant, shows_allocation));
    response.headers_mut().extend(headers);
    Ok(response)
}

/// What the order began with, where it was made through this face.
pub(super) fn made_here(payment: &PaymentView) -> Option<&OperationView> {
    payment.operations.iter().find(|operation| {
        operation.kind == OperationKind::Registration && operation.face.as_deref() == Some("mpg")
    })
}

/// Does the order begin with an approved `authorize`?
pub(super) fn is_authorized(payment: &PaymentView) -> bool {
    let profile = Profile::read(&payment.profile);
    let kind = Profile::of(profile.member("mpg")).text("type");
    made_here(payment).is_some()
        && payment.decline.is_none()
        && kind.as_deref() == Some("authorize")
}

impl Order {
    /// `shows_allocation`: capture rows show what refunds took from them (decision M7).
    pub(super) fn new(
        payment: &PaymentView,
        merchant: &MerchantView,
        shows_allocation: bool,
    ) -> Order {
        let profile = Profile::read(&payment.profile);
        let leg = payment.primary();
        Order {
            id: uuid_text(payment.id.bits()),
            merchant: Merchant::new(merchant),
            currency: payment.currency.code().to_owned(),
            amount: leg.amount.units(),
            captured_amount: leg.captured(),
            refunded_amount: payment.refunded(leg.id),
            voided_amount: leg.voided(),
            description: payment.description.clone(),
            created_at: seconds_text(payment.created_at_ms),
            updated_at: seconds_text(payment.updated_at_ms),
            source: Source::new(&profile),
            reauthorized_order_id: profile.raw("reauthorized_order_id"),
            airline: profile.raw("airline"),
            sub_merchant: profile.raw("sub_merchant"),
            agreement: profile.raw("agreement"),
            transactions: row::rows(payment, &profile, shows_allocation),
        }
    }
}

impl Merchant {
    fn new(merchant: &MerchantView) -> Merchant {
        let profile = Profile::read(&merchant.profile);
        let id = uuid_text(merchant.id.bits());
        let text = |name| profile.text(name);
        Merchant {
            // Never null in this dialect; a merchant without an acquirer stands for itself.
            acquirer_id: text("acquirer_id").unwrap_or_else(|| id.clone()),
            id,
            name: merchant.name.clone(),
            arabic_name: text("arabic_name"),
            merchant_id: text("merchant_number").unwrap_or_default(),
            rule_precedence: text("rule_precedence").unwrap_or_else(|| "mixed".to_owned()),
        }
    }
}

impl Source {
    fn new(profile: &Profile<'_>) -> Source {
        let source = Profile::of(profile.member("source"));
        let listed = SOURCE_MEMBERS.iter().map(|&name| {
            let value = source.member(name).filter(|value| !value.is_null());
            let absent = if name == "type" { "\"card\"" } else { "null" };
            (name.to_owned(), raw(value.map_or(absent, Json::text)))
        });
        let others = source.0.iter().flat_map(Object::members);
        let others = others
            .filter(|member| !SOURCE_MEMBERS.contains(&member.name.as_str()))
            .map(|member| (member.name.clone(), raw(member.value.text())));
        Source(listed.chain(others).collect())
    }
}

/// A registered JSON object that is shown and not understood. What is not an object has no members.
pub(super) struct Profile<'a>(Option<Object<'a>>);

impl<'a> Profile<'a> {
    pub(super) fn read(text: &'a str) -> Profile<'a> {
        Profile(read_json(text.as_bytes()).ok().and_then(Json::object))
    }

    pub(super) fn of(json: Option<Json<'a>>) -> Profile<'a> {
        Profile(json.and_then(Json::object))
    }

    pub(super) fn member(&self, name: &str) -> Option<Json<'a>> {
        self.0.as_ref().and_then(|object| object.member(name))
    }

    /// A member unchanged; null when it is absent.
    fn raw(&self, name: &str) -> Box<RawValue> {
        raw(self.member(name).map_or("null", Json::text))
    }

    /// A member that is text.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.member(name).and_then(Json::string)
    }
}

fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).expect("the text was read as JSON")
}
