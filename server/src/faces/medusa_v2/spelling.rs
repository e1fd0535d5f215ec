//! How this dialect spells values: prefixed ids, major units, times, texts. All as JSON text.

use requite_core::currency::Currency;
use requite_core::id::{PaymentId, parse_prefixed, parse_uuid, prefixed_text};
use requite_core::money::{Minor, major_text};

use crate::time::millis_text;

/// Prefixes of ids. A payment's collection and session have no life of their own here: their ids
/// are the payment's bits under other prefixes.
pub(super) mod prefix {
    pub(crate) const PAYMENT: &str = "pay_";
    pub(crate) const COLLECTION: &str = "pay_col_";
    pub(crate) const SESSION: &str = "payses_";
    pub(crate) const CAPTURE: &str = "capt_";
    pub(crate) const REFUND: &str = "ref_";
    pub(crate) const REASON: &str = "refr_";
    pub(crate) const KEY: &str = "apk_";
    pub(crate) const USER: &str = "user_";
    pub(crate) const IDENTITY: &str = "authid_";
}

pub(super) const NULL: &str = "null";

/// A JSON string.
pub(super) fn text(text: &str) -> String {
    serde_json::to_string(text).expect("text has a JSON form")
}

pub(super) fn optional_text(value: Option<&str>) -> String {
    value.map_or_else(|| NULL.to_owned(), text)
}

pub(super) fn id(prefix: &str, bits: u128) -> String {
    format!("\"{}\"", prefixed_text(prefix, bits))
}

/// `"2024-09-15T12:27:45.123Z"`
pub(super) fn time(ms: i64) -> String {
    format!("\"{}\"", millis_text(ms))
}

pub(super) fn optional_time(ms: Option<i64>) -> String {
    ms.map_or_else(|| NULL.to_owned(), time)
}

/// Minor units as a JSON number in major units, from digits and never through a float.
pub(super) fn amount(units: i64, currency: Currency) -> String {
    major_text(minor(units), currency)
}

/// The exact form beside each amount: `{"value":"10.5","precision":20}`.
pub(super) fn raw_amount(units: i64, currency: Currency) -> String {
    let value = major_text(minor(units), currency);
    format!("{{\"value\":\"{value}\",\"precision\":20}}")
}

fn minor(units: i64) -> Minor {
    Minor::new(units).expect("sums of one leg are at most what it was authorised for")
}

/// The payment that a path names by id: `pay_` and a ULID, or a UUID.
pub(super) fn payment_id(text: &str) -> Option<PaymentId> {
    let bits = parse_prefixed(prefix::PAYMENT, text).or_else(|| parse_uuid(text));
    bits.map(PaymentId::new)
}

/// The collection that a path names by id.
pub(super) fn collection_id(text: &str) -> Option<PaymentId> {
    parse_prefixed(prefix::COLLECTION, text).map(PaymentId::new)
}

/// The connector without a PSP.
pub(super) const MANUAL: &str = "manual";
/// What the original calls it.
pub(super) const SYSTEM_PROVIDER: &str = "pp_system_default";

/// The original names its own manual provider `system`, with an id of its own.
pub(super) fn provider_id(connector: &str) -> String {
    match connector {
        MANUAL => SYSTEM_PROVIDER.to_owned(),
        name => format!("pp_{name}_{name}"),
    }
}
