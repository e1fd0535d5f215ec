//! Targets of the fuzzer: bodies, lines, queries and cursors of the native API.

use std::sync::atomic::{AtomicU64, Ordering};

use requite_core::id::MerchantId;

use super::page::{List, Turn};
use super::query::Parameters;
use super::registration::{self, Origin};
use super::{booking, cancellation, lists, reason, refund, resolution, source};
use crate::desk::Ids;
use crate::fuzz::{Target, means_the_same, taken, with_query};
use crate::json;

pub(crate) const TARGETS: &[Target] =
    &[("native_body", body), ("registration", registration), ("native_query", query)];

#[derive(Default)]
struct Counter(AtomicU64);

impl Ids for Counter {
    fn next(&self) -> u128 {
        self.0.fetch_add(1, Ordering::Relaxed).into()
    }
}

fn body(input: &[u8]) {
    means_the_same(input, |body| taken(refund::wish(body)).map(|wish| wish.meaning));
    for is_new in [false, true] {
        means_the_same(input, |body| taken(reason::Texts::read(body, is_new)).map(|t| t.meaning()));
    }
    taken(booking::wish(input, &["amount"]));
    taken(resolution::wish(input));
    taken(cancellation::wish(input));
}

fn registration(input: &[u8]) {
    means_the_same(input, |body| {
        let ids = Counter::default();
        let origin = Origin { merchant: MerchantId::new(1), actor: "fuzz", at_ms: 0, ids: &ids };
        let json = json::read(body).ok()?;
        let read = registration::read_line(json, &origin).ok();
        assert!(read.is_some() || registration::read(json, &origin).is_err());
        source::faults(json, "/source");
        read.map(|registration| registration.fingerprint)
    });
}

fn query(input: &[u8]) {
    for list in [List::Payments, List::Refunds, List::Reasons, List::Events, List::Journal] {
        Turn::behind(input, list, 20);
        let Some(uri) = with_query(input) else { continue };
        let known = [&lists::PAYMENT_PARAMETERS[..], &lists::REFUND_PARAMETERS].concat();
        let Some(parameters) = taken(Parameters::read(&uri, &known)) else {
            continue;
        };
        if let Some(turn) = taken(parameters.turn(list)) {
            taken(lists::payment_filter(&parameters, &turn));
            taken(lists::refund_filter(&parameters, &turn, 0));
        }
    }
}
