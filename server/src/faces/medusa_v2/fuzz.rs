//! Targets of the fuzzer: bodies and queries of the dialect.

use bytes::Bytes;

use super::payment::PAYMENT_DEFAULTS;
use super::query::Query;
use super::wire::{self, Body, CaptureWish, Wish};
use super::{api_keys, collections, list, payment_list, providers, reasons, spelling};
use crate::fuzz::{Target, means_the_same, taken};

pub(crate) const TARGETS: &[Target] = &[("medusa_v2_body", body), ("medusa_v2_query", query)];

fn body(input: &[u8]) {
    means_the_same(input, |body| {
        let body = Body::Json(Bytes::copy_from_slice(body));
        let json = taken(body.json())?;
        taken(api_keys::Wish::read(&body, json));
        taken(collections::chosen(&body, json));
        taken(collections::asked(&body, json));
        taken(reasons::Texts::read(&body, json, true));
        taken(CaptureWish::read(&body, json));
        taken(Wish::read(&body, json)).map(|wish| wish.canonical)
    });
}

fn query(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    spelling::payment_id(text);
    spelling::collection_id(text);
    taken(wire::read_fields(Some(text), &PAYMENT_DEFAULTS));
    taken(wire::selection(Some(text), &PAYMENT_DEFAULTS));
    let query = Query::read(Some(text));
    // The original's own 500.
    if list::check_depth(&query).is_err() {
        return;
    }
    taken(payment_list::Wanted::read(&query));
    taken(reasons::Wanted::read(&query));
    taken(providers::Wanted::read(&query));
}
