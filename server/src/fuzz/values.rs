//! Values in texts: JSON, numbers, amounts, ids, times, addresses, scripts, cookies.

use axum::http::{HeaderMap, HeaderValue, header};
use requite_core::card::masked;
use requite_core::currency::Currency;
use requite_core::id;
use requite_core::money::{Decimal, major_text, major_text_padded};
use std::net::IpAddr;

use super::Target;
use crate::json::{self, Json, NotInteger, Value};
use crate::webhooks::address::{self, Addresses};
use crate::{connectors, psp, session, time};

pub(super) const TARGETS: &[Target] = &[
    ("json", json),
    ("amount", amount),
    ("ids", ids),
    ("card_numbers", card_numbers),
    ("times", times),
    ("address", address),
    ("cookies", cookies),
    ("scripts", scripts),
];

fn json(input: &[u8]) {
    let peer = serde_json::from_slice::<serde_json::Value>(input).ok();
    let Ok(read) = json::read(input) else {
        // Where a second reader takes more, it is what ours refuses on purpose.
        assert!(peer.is_none_or(|_| !matches!(json::read(input), Err(fault) if is_plain(fault))));
        return;
    };
    let canonical = read.canonical();
    let again = json::read(canonical.as_bytes()).map(|again| again.canonical());
    assert!(again.is_ok_and(|again| again == canonical), "{canonical}");
    assert_eq!(read.contains_nul(), has_nul(read));
}

/// What every reader of JSON refuses, unlike depth.
fn is_plain(fault: json::Fault) -> bool {
    !matches!(fault.cause, json::Cause::TooDeep)
}

/// Opens every level.
fn has_nul(json: Json<'_>) -> bool {
    match json.value() {
        Value::Null | Value::Bool(_) => false,
        Value::Number(raw) => {
            let whole = json::integer(raw);
            let decimal = Decimal::parse(raw).and_then(|decimal| {
                let yen = Currency::parse("JPY").expect("listed");
                decimal.minor(yen).ok().flatten()
            });
            // Two readers of numbers: where the one sees an amount, the other sees the same.
            if let Some(amount) = decimal {
                assert_eq!(whole, Ok(amount.units()));
            }
            assert!(whole != Err(NotInteger::OutOfRange) || decimal.is_none());
            false
        }
        Value::Text(text) => text.contains('\0'),
        Value::Array(items) => items.into_iter().any(has_nul),
        Value::Object(object) => {
            assert_eq!(object.is_empty(), object.members().is_empty());
            object
                .members()
                .iter()
                .any(|member| member.name.contains('\0') || has_nul(member.value))
        }
    }
}

fn amount(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Some(decimal) = Decimal::parse(text) else { return };
    for code in ["JPY", "EUR", "KWD", "CLF"] {
        let currency = Currency::parse(code).expect("listed");
        let Ok(Some(amount)) = decimal.minor(currency) else {
            continue;
        };
        assert!(decimal.is_positive() != amount.is_zero());
        assert!(!decimal.is_above(amount, currency));
        for text in [major_text(amount, currency), major_text_padded(amount, currency)] {
            let again = Decimal::parse(&text).expect("a number");
            assert_eq!(again.minor(currency), Ok(Some(amount)), "{text}");
            assert!(amount.is_zero() || again.echoes(amount, currency), "{text}");
        }
    }
}

fn ids(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Some(bits) = id::parse_uuid(text) {
        assert_eq!(id::uuid_text(bits), text.to_ascii_lowercase());
    }
    if let Some(bits) = id::parse_ulid(text) {
        assert_eq!(id::ulid_text(bits), text);
    }
    if let Some(bits) = id::parse_prefixed("pay_", text) {
        assert_eq!(id::prefixed_text("pay_", bits), text);
    }
    if let Some(bits) = id::parse_base62(text) {
        let plain = text.trim_start_matches('0');
        assert_eq!(id::base62_text(bits), if plain.is_empty() { "0" } else { plain });
    }
    if let Some(currency) = Currency::parse(text) {
        assert_eq!(currency.code(), text.to_ascii_uppercase());
    }
}

fn card_numbers(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    for is_json in [false, true] {
        let Some(kept) = masked(text, is_json) else { continue };
        assert_eq!(kept.len(), text.len());
        for (was, is) in text.bytes().zip(kept.bytes()) {
            assert!(was == is || (was.is_ascii_digit() && matches!(is, b'*' | b'0')));
        }
        if is_json && json::read(input).is_ok() {
            assert!(json::read(kept.as_bytes()).is_ok(), "{kept}");
        }
    }
}

fn times(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Some(ms) = time::parse(text) {
        assert_eq!(time::parse(&time::millis_text(ms)), Some(ms), "{text}");
        assert!(time::parse_up(text).is_some_and(|up| up == ms || up == ms + 1), "{text}");
    }
    time::parse_loose(text);
}

fn address(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(uri) = address::check(text, Addresses::Public) else {
        return;
    };
    assert_eq!(uri.scheme_str(), Some("https"));
    let host = uri.host().unwrap_or_default();
    let has_person = uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
    assert!(!text.contains(['\\', '#']) && !has_person && !host.is_empty());
    if let Ok(ip) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
        assert!(address::is_public(ip), "{text}");
    }
    // Old resolvers read octal, hexadecimal and short addresses; no name ends in a number.
    let last = host.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    let is_hexadecimal = last.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("0x"));
    let is_numeric = is_hexadecimal || last.bytes().all(|byte| byte.is_ascii_digit());
    assert!(!is_numeric || host.parse::<IpAddr>().is_ok(), "{text}");
}

fn cookies(input: &[u8]) {
    let mut headers = HeaderMap::new();
    for name in [header::COOKIE, header::ORIGIN, header::HOST] {
        let Ok(value) = HeaderValue::from_bytes(input) else { return };
        headers.insert(name, value);
    }
    session::kind_of(&headers);
}

fn scripts(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    connectors::sandbox::Entry::parse(text);
    psp::fuzz::texts(text);
}
