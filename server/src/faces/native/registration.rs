//! Reads a payment to register: the body of `POST /api/payments`, and a line of `requite import`.
//!
//! Invariants:
//! - Unknown members are refused, and nothing of a card but its first and last digits is taken.
//! - Two bodies that mean the same have the same fingerprint, however they are written: `null`, an
//!   empty list and an absent member are one, and so are all spellings of an id or a time.
//! - What faces show and no rule reads (`source`, `airline`, `sub_merchant`, `agreement`,
//!   `metadata`, `data`, `reauthorized_order_id`, of `captures` the card-message references and of
//!   `gift_cards` the digits) is kept word for word in the payment's profile, an object with these
//!   names.
//!
//! Start at [`read`].

use requite_core::currency::Currency;
use requite_core::id::{CaptureId, LegId, MerchantId, PaymentId, uuid_text};
use requite_core::money::Minor;
use requite_core::payment::{CAPTURES_MAX, LEGS_MAX};
use requite_engine::command::{NewLeg, Registration};
use requite_engine::key::digest;

use super::fields::{Fault, Fields};
use super::{source, spelling};
use crate::connectors::{self, sandbox};
use crate::desk::Ids;
use crate::json::{Json, Value};

/// Longest id, reference or alias given, in bytes.
pub(crate) const REFERENCE_BYTES_MAX: usize = 255;
/// Longest description, in bytes.
pub(crate) const DESCRIPTION_BYTES_MAX: usize = 4_096;
/// Most aliases of one payment.
pub(crate) const ALIASES_MAX: usize = 32;
/// Largest member that is kept word for word, in bytes.
pub(crate) const KEPT_BYTES_MAX: usize = 16 * 1024;

const MEMBERS: [&str; 22] = [
    "id",
    "amount",
    "currency",
    "captures",
    "connector",
    "connector_payment",
    "sandbox",
    "gift_cards",
    "external_identifier",
    "order",
    "customer",
    "description",
    "aliases",
    "source",
    "airline",
    "sub_merchant",
    "agreement",
    "reauthorized_order_id",
    "metadata",
    "data",
    "created_at",
    "canceled_at",
];
/// Members that a line of an import may have besides.
const LINE_MEMBERS: [&str; 1] = ["merchant"];
const KEPT: [&str; 6] = ["source", "airline", "sub_merchant", "agreement", "metadata", "data"];

/// Card-message references that a capture may have, which Moyasar's face shows.
const CAPTURE_TEXTS: [&str; 3] = ["retrieval_reference", "stan", "auth_code"];
const CAPTURE: [&str; 4] = ["amount", "retrieval_reference", "stan", "auth_code"];

/// Digits of a gift card's number that may be kept, which Gr4vy's face shows, and how many of each:
/// the first, those behind them, and the last.
const CARD_DIGITS: [(&str, usize); 3] = [("bin", 6), ("sub_bin", 3), ("last4", 4)];
const GIFT_CARD: [&str; 5] = ["id", "amount", "bin", "sub_bin", "last4"];

/// What a registration has besides its body.
pub(crate) struct Origin<'a> {
    pub merchant: MerchantId,
    /// Who registers.
    pub actor: &'a str,
    pub at_ms: i64,
    pub ids: &'a dyn Ids,
}

/// Reads a payment to register, or says everything that is wrong with it.
pub(crate) fn read(body: Json<'_>, origin: &Origin<'_>) -> Result<Registration, Vec<Fault>> {
    read_members(body, origin, &MEMBERS)
}

/// As [`read`], for a line of an import, which may name its merchant.
pub(crate) fn read_line(body: Json<'_>, origin: &Origin<'_>) -> Result<Registration, Vec<Fault>> {
    let members: Vec<&str> = MEMBERS.iter().chain(&LINE_MEMBERS).copied().collect();
    read_members(body, origin, &members)
}

fn read_members(
    body: Json<'_>,
    origin: &Origin<'_>,
    members: &[&str],
) -> Result<Registration, Vec<Fault>> {
    let mut fields = Fields::open(body, "", members).map_err(|fault| vec![fault])?;
    let money = money(&mut fields, origin.ids);
    let connector = connector(&mut fields);
    let texts = texts(&mut fields);
    let given = payment_id(&mut fields);
    let profile = profile(&mut fields);
    let created_at_ms = fields.time("created_at");
    let cancelled_at_ms = fields.time("canceled_at");
    let fingerprint = fingerprint(&fields, given, [created_at_ms, cancelled_at_ms]);
    let faults = fields.into_faults();
    let (Some(money), true) = (money, faults.is_empty()) else {
        return Err(faults);
    };
    Ok(Registration {
        merchant: origin.merchant,
        payment: PaymentId::new(given.unwrap_or_else(|| origin.ids.next())),
        currency: money.currency,
        primary: money.primary,
        gift_cards: money.gift_cards,
        captures: money.captures,
        connector: connector.name,
        connector_payment: connector.payment,
        connector_settings: connector.settings,
        external_identifier: texts.external_identifier,
        order: texts.order,
        customer: texts.customer,
        description: texts.description,
        aliases: texts.aliases,
        profile,
        fingerprint,
        created_at_ms: created_at_ms.unwrap_or(origin.at_ms),
        cancelled_at_ms,
        decline: None,
        trace: None,
        keys: Vec::new(),
        actor: origin.actor.to_owned(),
        at_ms: origin.at_ms,
    })
}

struct Money {
    currency: Currency,
    primary: NewLeg,
    gift_cards: Vec<NewLeg>,
    captures: Vec<(CaptureId, Minor)>,
}

fn money(fields: &mut Fields<'_>, ids: &dyn Ids) -> Option<Money> {
    for name in ["amount", "currency"] {
        if fields.member(name).is_none() {
            fields.fault(name, "is required");
        }
    }
    let cards = amounts(fields, "gift_cards", LEGS_MAX - 1, &GIFT_CARD);
    // Gift cards may have paid for all of it.
    let amount = fields.amount("amount", !cards.is_empty());
    let code = fields.text("currency", REFERENCE_BYTES_MAX);
    let currency = code.as_deref().and_then(Currency::parse);
    if let (Some(code), None) = (&code, currency) {
        let rule = format!("{code:?} is no currency of ISO 4217; give three letters, such as EUR");
        fields.fault("currency", rule);
    }
    let captures: Vec<(CaptureId, Minor)> = amounts(fields, "captures", CAPTURES_MAX, &CAPTURE)
        .into_iter()
        .map(|(_, amount)| (CaptureId::new(ids.next()), amount))
        .collect();
    let gift_cards: Vec<NewLeg> = cards
        .into_iter()
        .map(|(id, amount)| NewLeg { id: LegId::new(id.unwrap_or_else(|| ids.next())), amount })
        .collect();
    let (amount, currency) = (amount?, currency?);
    check_sums(fields, amount, &captures, &gift_cards);
    Some(Money {
        currency,
        primary: NewLeg { id: LegId::new(ids.next()), amount },
        gift_cards,
        captures,
    })
}

fn check_sums(
    fields: &mut Fields<'_>,
    amount: Minor,
    captures: &[(CaptureId, Minor)],
    gift_cards: &[NewLeg],
) {
    let captured = Minor::checked_sum(captures.iter().map(|(_, amount)| *amount));
    if captured.is_none_or(|captured| captured > amount) {
        let sum = captured.map_or("too much".to_owned(), |sum| sum.units().to_string());
        let most = amount.units();
        fields.fault("captures", format!("take {sum} in all; at most the amount, {most}"));
    }
    let all = [amount].into_iter().chain(gift_cards.iter().map(|card| card.amount));
    if Minor::checked_sum(all).is_none() {
        fields.fault("gift_cards", "and amount together are more than 9007199254740991");
    }
    let mut seen = std::collections::BTreeSet::new();
    if !gift_cards.iter().all(|card| seen.insert(card.id)) {
        fields.fault("gift_cards", "name one id twice; each gift card has its own");
    }
}

/// A list of objects with an amount, and perhaps an id.
fn amounts(
    fields: &mut Fields<'_>,
    name: &str,
    count_max: usize,
    members: &[&str],
) -> Vec<(Option<u128>, Minor)> {
    let mut amounts = Vec::new();
    for (at, item) in fields.list(name, count_max).into_iter().enumerate() {
        let at = fields.pointer(&format!("{name}/{at}"));
        let mut inner = match Fields::open(item, &at, members) {
            Ok(inner) => inner,
            Err(fault) => {
                fields.add(vec![fault]);
                continue;
            }
        };
        if inner.member("amount").is_none() {
            inner.fault("amount", "is required");
        }
        let id = inner.text("id", REFERENCE_BYTES_MAX);
        let bits = id.as_deref().and_then(spelling::leg_bits);
        if id.is_some() && bits.is_none() {
            inner.fault("id", "must be a UUID");
        }
        for name in CAPTURE_TEXTS {
            inner.text(name, REFERENCE_BYTES_MAX);
        }
        for (name, count) in CARD_DIGITS {
            card_digits(&mut inner, name, count);
        }
        if let Some(amount) = inner.amount("amount", false) {
            amounts.push((bits, amount));
        }
        fields.add(inner.into_faults());
    }
    amounts
}

fn card_digits(card: &mut Fields<'_>, name: &str, count: usize) {
    let Some(value) = card.member(name) else {
        return;
    };
    let is_digits =
        |text: &String| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    if !value.string().as_ref().is_some_and(is_digits) {
        card.fault(name, format!("must be text of {count} digits; more of a card is not kept"));
    }
}

/// Does a registration name an account of its merchant's? Whether there is one of that name only the
/// store knows: [`read`] lets any name pass.
pub(crate) fn names_account(registration: &Registration) -> bool {
    !connectors::NAMES.contains(&registration.connector.as_str())
}

/// What is wrong with a registration whose account is not there.
pub(crate) fn account_unknown() -> Fault {
    let known = connectors::NAMES.join(", ");
    let message = format!("must be one of {known}, or the name of an account of the merchant's");
    Fault { pointer: "/connector".to_owned(), message }
}

struct Connector {
    name: String,
    payment: Option<String>,
    settings: Option<String>,
}

fn connector(fields: &mut Fields<'_>) -> Connector {
    let name = fields.text("connector", REFERENCE_BYTES_MAX);
    let name = name.unwrap_or_else(|| connectors::MANUAL.to_owned());
    let is_account = !connectors::NAMES.contains(&name.as_str());
    if is_account && fields.member("connector_payment").is_none_or(Json::is_null) {
        let rule =
            format!("is needed where the connector is {name:?}: the PSP's id of the payment");
        fields.fault("connector_payment", rule);
    }
    let script = fields.texts("sandbox", sandbox::ENTRIES_MAX, sandbox::ENTRY_BYTES_MAX);
    if fields.member("sandbox").is_some() && name != sandbox::NAME {
        fields.fault("sandbox", "is for \"connector\": \"sandbox\" only");
    }
    for (at, entry) in script.iter().enumerate() {
        if sandbox::Entry::parse(entry).is_none() {
            let rule = format!("must be {}", sandbox::GRAMMAR);
            fields.fault(&format!("sandbox/{at}"), rule);
        }
    }
    Connector {
        settings: sandbox::script_text(&script),
        payment: fields.text("connector_payment", REFERENCE_BYTES_MAX),
        name,
    }
}

struct Texts {
    external_identifier: Option<String>,
    order: Option<String>,
    customer: Option<String>,
    description: Option<String>,
    aliases: Vec<String>,
}

fn texts(fields: &mut Fields<'_>) -> Texts {
    let customer = fields.text("customer", REFERENCE_BYTES_MAX);
    let in_metadata = || {
        let metadata = fields.member("metadata")?.object()?;
        let customer = metadata.member("customer_id")?.string()?;
        (1..=REFERENCE_BYTES_MAX).contains(&customer.len()).then_some(customer)
    };
    let customer = customer.or_else(in_metadata);
    Texts {
        customer,
        external_identifier: fields.text("external_identifier", REFERENCE_BYTES_MAX),
        order: fields.text("order", REFERENCE_BYTES_MAX),
        description: fields.text("description", DESCRIPTION_BYTES_MAX),
        aliases: fields.texts("aliases", ALIASES_MAX, REFERENCE_BYTES_MAX),
    }
}

fn payment_id(fields: &mut Fields<'_>) -> Option<u128> {
    let text = fields.text("id", REFERENCE_BYTES_MAX)?;
    let bits = spelling::payment_bits(&text);
    if bits.is_none() {
        fields.fault(
            "id",
            "must be a UUID, or pay_ or ch_ with a ULID; other names belong among the aliases",
        );
    }
    bits
}

/// The members that are kept word for word, as one object.
fn profile(fields: &mut Fields<'_>) -> String {
    let mut kept = Vec::new();
    for name in KEPT {
        if let Some(value) = fields.object(name, KEPT_BYTES_MAX) {
            kept.push(format!("\"{name}\":{}", value.text()));
        }
    }
    if let Some(order) = fields.text("reauthorized_order_id", REFERENCE_BYTES_MAX) {
        kept.push(format!("\"reauthorized_order_id\":{}", serde_json::json!(order)));
    }
    for (name, members) in
        [("captures", CAPTURE_TEXTS), ("gift_cards", CARD_DIGITS.map(|(n, _)| n))]
    {
        if let Some(list) = fields.member(name).filter(|list| holds_any(*list, members)) {
            kept.push(format!("\"{name}\":{}", list.text()));
        }
    }
    if let Some(value) = fields.member("source") {
        let faults = source::faults(value, &fields.pointer("source"));
        fields.add(faults);
    }
    format!("{{{}}}", kept.join(","))
}

/// Has any object of a list one of these members?
fn holds_any(list: Json<'_>, members: [&str; 3]) -> bool {
    let Value::Array(items) = list.value() else {
        return false;
    };
    let holds = |item: Json<'_>| {
        let item = item.object();
        item.is_some_and(|item| members.iter().any(|name| item.member(name).is_some()))
    };
    items.into_iter().any(holds)
}

/// Equal for bodies that mean the same.
fn fingerprint(fields: &Fields<'_>, id: Option<u128>, times: [Option<i64>; 2]) -> [u8; 16] {
    let [created, cancelled] = times.map(|ms| ms.map(|ms| ms.to_string()));
    let mut parts: Vec<String> = Vec::new();
    for name in MEMBERS {
        let Some(value) = fields.member(name).filter(|value| !is_empty(*value)) else {
            continue;
        };
        let canonical = value.canonical();
        let meaning = match name {
            "id" => id.map(uuid_text),
            "created_at" => created.clone(),
            "canceled_at" => cancelled.clone(),
            "currency" => Some(canonical.to_ascii_uppercase()),
            "connector" if canonical == "\"manual\"" => continue,
            _ => Some(canonical),
        };
        parts.push(name.to_owned());
        parts.push(meaning.unwrap_or_default());
    }
    let parts: Vec<&[u8]> = parts.iter().map(String::as_bytes).collect();
    digest(&parts)
}

fn is_empty(value: Json<'_>) -> bool {
    match value.value() {
        Value::Array(items) => items.is_empty(),
        Value::Object(object) => object.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
