//! The body of `POST /transactions`, read.
//!
//! What the API has and this server does not is refused where leaving it out would change what the
//! caller gets (stored payment methods, checkout sessions, a chosen payment service, shipping
//! details by id), and otherwise taken and left alone: browser data, outcomes of an authentication
//! made elsewhere, options of connections. `store` asks to *try* and store the card; cards are never
//! stored here. Buyers are not kept: an id or name of one is shown again as it was sent.

use requite_core::currency::Currency;
use requite_core::money::Minor;
use serde_json::{Map, Value, json};

use super::super::failure::Failure;
use super::super::form::Form;
use super::super::wire::AMOUNT_MAX;
use super::card::{self, Card, GiftCard};
use super::shape;
use crate::json::Kind;

/// Longest external identifier of a transaction, in characters.
pub(super) const EXTERNAL_IDENTIFIER_MAX: usize = 200;
/// Longest description and other free text, in characters.
const TEXT_MAX: usize = 4_096;

/// Members that are read one by one.
const READ: [&str; 15] = [
    "amount",
    "currency",
    "payment_method",
    "gift_cards",
    "external_identifier",
    "intent",
    "store",
    "metadata",
    "is_subsequent_payment",
    "merchant_initiated",
    "payment_source",
    "description",
    "async_capture",
    "account_funding_transaction",
    "allow_partial_authorization",
];

/// Members that are taken and left alone, with the only kind each may have.
const UNUSED: [(&str, Kind); 10] = [
    ("three_d_secure_data", Kind::Object),
    ("three_d_secure", Kind::Object),
    ("previous_scheme_transaction_id", Kind::String),
    ("previous_transaction_link_id", Kind::String),
    ("browser_info", Kind::Object),
    ("connection_options", Kind::Object),
    ("anti_fraud_fingerprint", Kind::String),
    ("integration_client", Kind::String),
    ("approval_expires_at", Kind::String),
    ("is_amount_estimated", Kind::Bool),
];

/// Members that name what is not here.
const UNKNOWN: [(&str, &str); 2] = [
    ("payment_service_id", "there is no payment service with this id; leave it out"),
    ("shipping_details_id", "no shipping details are stored here; send them with the buyer"),
];

const SOURCES: [&str; 5] = ["ecommerce", "moto", "recurring", "installment", "card_on_file"];

/// A transaction to make.
pub(super) struct Wish {
    pub currency: Currency,
    /// What the card is charged with: the amount less the gift cards'.
    pub charged: Minor,
    pub captures: bool,
    pub card: Option<Card>,
    pub gift_cards: Vec<(GiftCard, Minor)>,
    pub external_identifier: Option<String>,
    pub description: Option<String>,
    /// The merchant's name for the buyer, where it says one.
    pub customer: Option<String>,
    /// The payment's profile: all that is shown again, and no rule reads.
    pub profile: Map<String, Value>,
}

impl Wish {
    /// All funding sources together, in minor units.
    pub(super) fn amount(&self) -> i64 {
        let cards = self.gift_cards.iter().map(|(card, _)| card.amount);
        cards.fold(self.charged.units(), i64::saturating_add)
    }

    /// Equal for wishes that leave the same on the books. Of a card's number only the digits that
    /// are kept count, so that no number can be found out from the hash of this.
    pub(super) fn meaning(&self) -> Vec<String> {
        let mut parts = vec![
            self.currency.code().to_owned(),
            self.charged.units().to_string(),
            json!(self.external_identifier).to_string(),
            json!(self.description).to_string(),
            Value::Object(self.profile.clone()).to_string(),
        ];
        parts.extend(self.gift_cards.iter().map(|(card, _)| card.amount.to_string()));
        parts
    }
}

/// Reads the body, or says everything that is wrong with it.
pub(super) fn read(body: &[u8]) -> Result<Wish, Failure> {
    let mut form = Form::read(body)?;
    let money = money(&mut form);
    let intent = form.word("intent", &["authorize", "capture"]).unwrap_or("authorize");
    let external_identifier = form.text("external_identifier", 1, EXTERNAL_IDENTIFIER_MAX);
    let description = form.text("description", 0, TEXT_MAX);
    let profile = profile(&mut form, intent, money.as_ref());
    for name in ["store", "allow_partial_authorization"] {
        form.flag(name);
    }
    if form.flag("async_capture") && intent != "capture" {
        let text = "only with the intent capture";
        form.complain("async_capture", text, "value_error");
    }
    refuse(&mut form);
    if let Some(money) = &money {
        unrepeated(&mut form, money, [&external_identifier, &description], &profile);
    }
    let customer = customer(&profile);
    let shown = shape::SHOWN.iter().map(|(name, _)| *name);
    let unused = UNUSED.iter().map(|(name, _)| *name);
    let unknown = UNKNOWN.iter().map(|(name, _)| *name);
    let known: Vec<&str> = READ.into_iter().chain(shown).chain(unused).chain(unknown).collect();
    form.finish(&known)?;
    let Money { currency, charged, card, gift_cards } =
        money.expect("what stands in its way is a complaint, and the form has none");
    let captures = intent == "capture";
    Ok(Wish {
        currency,
        charged,
        captures,
        card,
        gift_cards,
        external_identifier,
        description,
        customer,
        profile,
    })
}

struct Money {
    currency: Currency,
    charged: Minor,
    card: Option<Card>,
    gift_cards: Vec<(GiftCard, Minor)>,
}

/// `None` only after a complaint.
fn money(form: &mut Form<'_>) -> Option<Money> {
    for name in ["amount", "currency"] {
        if form.member(name).is_none() {
            form.missing(name);
        }
    }
    let amount = form.integer("amount", 0, AMOUNT_MAX);
    let currency = currency(form);
    let card = card::card(form);
    let gift_cards = card::gift_cards(form)?;
    let spent = gift_cards.iter().fold(0_i64, |sum, card| sum.saturating_add(card.amount));
    let charged = amount?.checked_sub(spent).and_then(Minor::new);
    if charged.is_none() {
        let text = format!("the gift cards take {spent}, more than the amount");
        form.complain("gift_cards", text, "value_error");
    }
    let charged = charged?;
    let is_paid_by_gift_cards = charged.is_zero() && spent > 0;
    if form.member("payment_method").is_none() && !is_paid_by_gift_cards {
        let text = "field required: gift cards do not pay for all of the amount";
        form.complain("payment_method", text, "value_error.missing");
    }
    let intent = form.member("intent").and_then(|intent| intent.string());
    if amount? == 0 && intent.as_deref() == Some("capture") {
        let text = "ensure this value is greater than or equal to 1 to capture it";
        form.complain("amount", text, "value_error.number.not_ge");
    }
    let paired = |card: GiftCard| Minor::new(card.amount).map(|amount| (card, amount));
    let gift_cards = gift_cards.into_iter().filter_map(paired).collect();
    Some(Money { currency: currency?, charged, card, gift_cards })
}

fn currency(form: &mut Form<'_>) -> Option<Currency> {
    let code = form.text("currency", 1, 3)?;
    let currency = Currency::parse(&code).filter(|currency| currency.code() == code);
    if currency.is_none() {
        let text = "value is not a currency of ISO 4217 in upper case";
        form.complain("currency", text, "value_error");
    }
    currency
}

fn profile(form: &mut Form<'_>, intent: &str, money: Option<&Money>) -> Map<String, Value> {
    let mut shown = shape::shown(form);
    shown.insert("intent".to_owned(), json!(intent));
    if let Some(source) = form.word("payment_source", &SOURCES) {
        shown.insert("payment_source".to_owned(), json!(source));
    }
    for name in ["is_subsequent_payment", "merchant_initiated", "account_funding_transaction"] {
        if form.flag(name) {
            shown.insert(name.to_owned(), json!(true));
        }
    }
    if shown.contains_key("buyer_id") && shown.contains_key("buyer_external_identifier") {
        let text = "only one of buyer_id and buyer_external_identifier may be there";
        form.complain("buyer_id", text, "value_error");
    }
    let mut profile = Map::new();
    if let Some(metadata) = form.metadata() {
        let metadata = serde_json::from_str(&metadata).expect("the form has checked it");
        profile.insert("metadata".to_owned(), metadata);
    }
    if let Some(card) = money.and_then(|money| money.card.as_ref()) {
        profile.insert("source".to_owned(), card.kept());
        if let Some(name) = &card.external_identifier {
            shown.insert("payment_method_external_identifier".to_owned(), json!(name));
        }
    }
    if let Some(money) = money.filter(|money| !money.gift_cards.is_empty()) {
        let kept = money.gift_cards.iter().map(|(card, _)| card.kept());
        profile.insert("gift_cards".to_owned(), kept.collect());
    }
    profile.insert("gr4vy".to_owned(), Value::Object(shown));
    profile
}

fn refuse(form: &mut Form<'_>) {
    for (name, text) in UNKNOWN {
        if form.member(name).is_some() {
            form.complain(name, text, "value_error");
        }
    }
    for (name, kind) in UNUSED {
        form.of_kind(name, kind);
    }
}

/// No number of a card may stand in anything that is kept, spaces and dashes in it left out.
fn unrepeated(
    form: &mut Form<'_>,
    money: &Money,
    texts: [&Option<String>; 2],
    profile: &Map<String, Value>,
) {
    let mut kept = Value::Object(profile.clone()).to_string();
    for text in texts.into_iter().flatten() {
        kept.push('\n');
        kept.push_str(text);
    }
    kept.retain(|character| !matches!(character, ' ' | '-'));
    let cards = money.card.iter().map(Card::number);
    let gift_cards = money.gift_cards.iter().map(|(card, _)| card.number());
    if cards.chain(gift_cards).any(|number| kept.contains(number)) {
        let text = "the number of the card stands in a text that would be kept, too";
        form.add([card::body_fault("/payment_method/number", text, "value_error")]);
    }
}

fn customer(profile: &Map<String, Value>) -> Option<String> {
    let shown = profile.get("gr4vy")?;
    let of_buyer = &shown["buyer"]["external_identifier"];
    let named = [&shown["buyer_external_identifier"], of_buyer, &shown["buyer_id"]];
    named.into_iter().find_map(Value::as_str).map(str::to_owned)
}
