//! Targets of the fuzzer: bodies and queries of the dialect.

use super::wire::{self, Route};
use super::{charge, checkout};
use crate::fuzz::{Target, means_the_same, taken, with_query};

pub(crate) const TARGETS: &[Target] = &[("loop_body", body), ("loop_query", query)];

fn body(input: &[u8]) {
    for route in [Route::Charge, Route::Payment] {
        means_the_same(input, |body| taken(wire::parse(body, route)));
    }
    means_the_same(input, |body| taken(checkout::parse(body)).map(|checkout| checkout.meaning));
}

fn query(input: &[u8]) {
    if let Ok(text) = std::str::from_utf8(input) {
        charge::decode(text);
    }
    let Some(uri) = with_query(input) else { return };
    taken(wire::brand(&uri));
    taken(wire::list_refunds(&uri));
}
