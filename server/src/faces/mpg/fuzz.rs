//! Targets of the fuzzer: bodies of the dialect, cards among them.

use axum::http::HeaderMap;

use super::wire;
use super::wish::{self, Kind};
use crate::fuzz::{Target, means_the_same, taken};

pub(crate) const TARGETS: &[Target] = &[("mpg_body", body)];

/// 2024-09-15
const NOW_MS: i64 = 1_726_403_265_123;

fn body(input: &[u8]) {
    let headers = HeaderMap::new();
    for is_required in [false, true] {
        means_the_same(input, |body| taken(wire::refund(body, &headers, is_required)));
    }
    means_the_same(input, |body| taken(wire::capture(body, &headers)));
    means_the_same(input, |body| taken(wire::void(body, &headers)));
    means_the_same(input, |body| taken(wire::extension(body, &headers)));
    for kind in [Kind::Authorize, Kind::Purchase, Kind::Verify] {
        means_the_same(input, |body| {
            taken(wish::read(body, &headers, kind, NOW_MS)).map(|wish| wish.meaning)
        });
    }
}
