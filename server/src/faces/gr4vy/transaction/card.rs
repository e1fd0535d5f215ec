//! Cards and gift cards as they come in, and the little of them that is kept.
//!
//! Invariants:
//! - A number lives in [`Card`] or [`GiftCard`] for the length of one request and is overwritten
//!   then; security codes and PINs are checked for their form. Nothing here repeats one of them.
//! - What is kept of a card: its first six digits (eight of a number of sixteen and more), its last
//!   four, scheme and expiry; of a gift card its first nine and last four.

use serde_json::{Value, json};

use super::super::failure::{Detail, Location};
use super::super::form::Form;
use super::super::wire::AMOUNT_MAX;
use crate::crypto::secret::Secret;
use crate::time::year_and_month;

/// Digits of a card's number.
const NUMBER_DIGITS: (usize, usize) = (13, 19);
/// Digits of a gift card's number.
const GIFT_CARD_DIGITS: (usize, usize) = (16, 19);
/// Longest PIN of a gift card, in characters.
const PIN_MAX: usize = 32;
/// Gift cards of one transaction.
pub(super) const GIFT_CARDS_MAX: usize = 10;
/// Longest URL, in characters.
const URL_MAX: usize = 2_048;
/// Longest name that a merchant gives to a card, in characters.
const NAME_MAX: usize = 200;

const CARD: [&str; 9] = [
    "method",
    "number",
    "expiration_date",
    "security_code",
    "redirect_url",
    "external_identifier",
    "card_type",
    "buyer_id",
    "buyer_external_identifier",
];

/// First digits of each scheme's numbers: from, to. The first row that holds a number is its scheme.
const SCHEMES: [(&str, u32, u32); 22] = [
    ("visa", 4, 4),
    ("mir", 2200, 2204),
    ("mastercard", 2221, 2720),
    ("mastercard", 51, 55),
    ("amex", 34, 34),
    ("amex", 37, 37),
    ("diners-club", 300, 305),
    ("diners-club", 3095, 3095),
    ("diners-club", 36, 36),
    ("diners-club", 38, 39),
    ("jcb", 3528, 3589),
    ("uatp", 1, 1),
    ("discover", 6011, 6011),
    ("discover", 644, 649),
    ("discover", 65, 65),
    ("rupay", 60, 60),
    ("unionpay", 62, 62),
    ("unionpay", 81, 81),
    ("dankort", 5019, 5019),
    ("maestro", 50, 50),
    ("maestro", 56, 58),
    ("maestro", 6, 6),
];

/// A card to charge.
pub(super) struct Card {
    number: Secret,
    month: i64,
    year: i64,
    card_type: Option<&'static str>,
    /// The merchant's own name for it.
    pub external_identifier: Option<String>,
}

impl Card {
    /// For the connector alone.
    pub(super) fn number(&self) -> &str {
        self.number.expose()
    }

    /// Was its last month over at this time?
    pub(super) fn is_expired(&self, now_ms: i64) -> bool {
        (self.year, self.month) < year_and_month(now_ms)
    }

    /// What is kept, as the `source` of a payment's profile.
    pub(super) fn kept(&self) -> Value {
        let number = self.number();
        let first = if number.len() >= 16 { 8 } else { 6 };
        let mut source = json!({
            "type": "card",
            "scheme": scheme(number),
            "first_digits": first_digits(number, first),
            "last_digits": last_digits(number),
            "month": self.month,
            "year": self.year,
        });
        if let Some(card_type) = self.card_type {
            source["card_type"] = json!(card_type);
        }
        source
    }
}

/// A gift card to redeem.
pub(super) struct GiftCard {
    number: Secret,
    /// Minor units.
    pub amount: i64,
}

impl GiftCard {
    pub(super) fn number(&self) -> &str {
        self.number.expose()
    }

    pub(super) fn kept(&self) -> Value {
        let number = self.number();
        json!({
            "bin": first_digits(number, 6),
            "sub_bin": number.get(6..9),
            "last4": last_digits(number),
        })
    }
}

fn first_digits(number: &str, count: usize) -> &str {
    number.get(..count).unwrap_or_default()
}

fn last_digits(number: &str) -> &str {
    number.get(number.len().saturating_sub(4)..).unwrap_or_default()
}

fn scheme(number: &str) -> &'static str {
    let begins = |from: u32, to: u32| {
        let digits = from.to_string().len();
        let first = number.get(..digits).and_then(|first| first.parse().ok());
        first.is_some_and(|first: u32| (from..=to).contains(&first))
    };
    let found = SCHEMES.iter().find(|(_, from, to)| begins(*from, *to));
    found.map_or("other", |(scheme, _, _)| scheme)
}

/// Reads `payment_method`. `None`: it is not there, or something is wrong with it.
pub(super) fn card(form: &mut Form<'_>) -> Option<Card> {
    let mut inner = form.inner("payment_method")?;
    let method = inner.text("method", 1, NAME_MAX);
    match method.as_deref() {
        Some("card") => {}
        Some("id") => {
            let text = "no payment method is stored here; send the card itself, with the method \
                        card";
            form.add([body_fault("/payment_method/id", text, "value_error")]);
            return None;
        }
        Some("checkout-session") => {
            let text = "there are no checkout sessions here; send the card itself, with the \
                        method card";
            form.add([body_fault("/payment_method/id", text, "value_error")]);
            return None;
        }
        Some(_) => {
            let text = "value is not a valid enumeration member; permitted: 'card'";
            form.add([body_fault("/payment_method/method", text, "type_error.enum")]);
            return None;
        }
        None if inner.member("method").is_none() => inner.missing("method"),
        None => {}
    }
    let number = digits(&mut inner, "number", NUMBER_DIGITS, true);
    let expiry = expiry(&mut inner);
    digits(&mut inner, "security_code", (3, 4), false);
    inner.text("redirect_url", 1, URL_MAX);
    inner.uuid("buyer_id");
    inner.text("buyer_external_identifier", 1, NAME_MAX);
    let external_identifier = inner.text("external_identifier", 1, NAME_MAX);
    let card_type = inner.word("card_type", &["credit", "debit", "prepaid"]);
    form.absorb(inner, &CARD);
    let (month, year) = expiry?;
    Some(Card { number: number?, month, year, card_type, external_identifier })
}

/// Reads `gift_cards`. `None`: something is wrong with them.
pub(super) fn gift_cards(form: &mut Form<'_>) -> Option<Vec<GiftCard>> {
    let mut cards = Vec::new();
    let items = form.items("gift_cards", GIFT_CARDS_MAX)?;
    let count = items.len();
    for mut inner in items {
        if inner.member("id").is_some() {
            let text = "no gift card is stored here; send its number and pin";
            inner.complain("id", text, "value_error");
            form.absorb(inner, &["id", "amount"]);
            continue;
        }
        let number = digits(&mut inner, "number", GIFT_CARD_DIGITS, true);
        if inner.text("pin", 1, PIN_MAX).is_none() && inner.member("pin").is_none() {
            inner.missing("pin");
        }
        if inner.member("amount").is_none() {
            inner.missing("amount");
        }
        let amount = inner.integer("amount", 1, AMOUNT_MAX);
        form.absorb(inner, &["number", "pin", "amount"]);
        if let (Some(number), Some(amount)) = (number, amount) {
            cards.push(GiftCard { number, amount });
        }
    }
    (cards.len() == count).then_some(cards)
}

pub(super) fn body_fault(pointer: &str, text: &str, kind: &'static str) -> Detail {
    Detail::new(Location::Body, pointer, text, kind)
}

/// A text of digits alone.
fn digits(
    form: &mut Form<'_>,
    name: &str,
    (least, most): (usize, usize),
    is_required: bool,
) -> Option<Secret> {
    let Some(json) = form.member(name) else {
        if is_required {
            form.missing(name);
        }
        return None;
    };
    let is_good = |text: &String| {
        (least..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    let text = json.string().filter(is_good);
    if text.is_none() {
        let message = format!("a text of {least} to {most} digits is expected");
        form.complain(name, message, "value_error.str.regex");
    }
    text.map(Secret::new)
}

/// Month and year of `MM/YY`.
fn expiry(form: &mut Form<'_>) -> Option<(i64, i64)> {
    let name = "expiration_date";
    let Some(json) = form.member(name) else {
        form.missing(name);
        return None;
    };
    let text = json.string().unwrap_or_default();
    let number = |digits: &str| {
        let is_number = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| digits.parse::<i64>().ok()).flatten()
    };
    let parts = text.split_once('/');
    let parsed = parts.and_then(|(month, year)| Some((number(month)?, number(year)?)));
    let expiry = parsed.filter(|(month, _)| (1..=12).contains(month));
    if expiry.is_none() {
        form.complain(name, "a text of the form MM/YY is expected", "value_error.str.regex");
    }
    expiry.map(|(month, year)| (month, year.saturating_add(2000)))
}

#[cfg(test)]
mod tests;
