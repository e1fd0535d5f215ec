//! Targets of the fuzzer: bodies and queries of the dialect.

use axum::extract::Query;

use super::wire::{LogInBody, Members, RefundBody, ReturnReasonBody};
use super::{order, payment};
use crate::fuzz::{Target, means_the_same, taken, with_query};

pub(crate) const TARGETS: &[Target] = &[("medusa_v1_body", body), ("medusa_v1_query", query)];

fn body(input: &[u8]) {
    means_the_same(input, |body| taken(RefundBody::read(&taken(Members::read(body))?)));
    for is_new in [false, true] {
        means_the_same(input, |body| {
            taken(ReturnReasonBody::read(&taken(Members::read(body))?, is_new))
        });
    }
    means_the_same(input, |body| {
        let read = taken(LogInBody::read(&taken(Members::read(body))?))?;
        Some((read.email, read.password))
    });
}

fn query(input: &[u8]) {
    if let Ok(text) = std::str::from_utf8(input) {
        payment::spelled(text);
    }
    let pairs = with_query(input).map(|uri| Query::<Vec<(String, String)>>::try_from_uri(&uri));
    let Some(Ok(Query(pairs))) = pairs else { return };
    taken(order::changed(&pairs));
}
