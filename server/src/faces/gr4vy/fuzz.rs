//! Targets of the fuzzer: bodies, queries and cursors of the dialect.

use requite_core::id::MerchantId;

use super::page::{Cursor, List, Place, Query};
use super::{list, spelling, transaction, wire};
use crate::fuzz::{Target, means_the_same, taken, with_query};

pub(crate) const TARGETS: &[Target] = &[("gr4vy_body", body), ("gr4vy_query", query)];

const LIST: List<'_> = List { merchant: MerchantId::new(1), name: "transactions" };

fn body(input: &[u8]) {
    means_the_same(input, |body| taken(wire::wish(body)).map(|wish| wish.meaning()));
    means_the_same(input, |body| taken(wire::note(body)).map(|note| note.meaning()));
    means_the_same(input, transaction::meaning);
}

fn query(input: &[u8]) {
    if let Ok(text) = std::str::from_utf8(input) {
        spelling::payment_bits(text);
        taken(spelling::refund(text));
        taken(spelling::capture_bits(text));
    }
    let Some(uri) = with_query(input) else { return };
    taken(list::wanted(&uri, LIST));
    let cursor = Query::read(&uri).cursor(LIST);
    assert_eq!(cursor, None, "a cursor that nobody gave");
    // As if it had been given.
    if let Some((id, at_ms)) = input.split_first_chunk::<16>() {
        let at_ms = at_ms.first_chunk().map_or(0, |at_ms| i64::from_be_bytes(*at_ms));
        let given = Cursor::Next(Place { at_ms, id: u128::from_be_bytes(*id) });
        let text = format!("/?cursor={}", LIST.text(given));
        let uri = text.parse().expect("a cursor can stand in a query");
        assert_eq!(Query::read(&uri).cursor(LIST), Some(given));
    }
}
