//! `GET /v1/orders`: orders page by page, newest first.

use axum::extract::{Query, Request, State};
use axum::response::Response;
use requite_engine::read::{PaymentFilter, ReadFault, Sort};
use serde::Serialize;

use super::failure::{Complaint, Complaints, Failure};
use super::order::Order;
use super::{auth, wire};
use crate::access::Caller;
use crate::desk::Desk;

/// Orders on a page where none are asked for.
const ITEMS: u32 = 40;
const ITEMS_MAX: u32 = 100;
const PAGE_NUMBER_MAX: u32 = 10_000;

#[derive(Serialize)]
struct Page {
    orders: Vec<Order>,
    meta: Meta,
}

#[derive(Serialize)]
struct Meta {
    current_page: u32,
    next_page: Option<u32>,
    prev_page: Option<u32>,
}

pub(super) async fn list(State(desk): State<Desk>, request: Request) -> Result<Response, Failure> {
    let actor = auth::actor(&desk, Caller::of(&request)).await?;
    let pairs = Query::<Vec<(String, String)>>::try_from_uri(request.uri());
    let pairs = pairs.map(|Query(pairs)| pairs).unwrap_or_default();
    let mut complaints = Complaints::new();
    let items = number(&pairs, ("items", ITEMS, ITEMS_MAX), &mut complaints);
    let page = number(&pairs, ("page", 1, PAGE_NUMBER_MAX), &mut complaints);
    if !complaints.is_empty() {
        return Err(Failure::Invalid(complaints));
    }
    let filter = PaymentFilter {
        sort: Sort::Created,
        newest_first: true,
        offset: page.saturating_sub(1).saturating_mul(items),
        limit: items.saturating_add(1),
        ..PaymentFilter::default()
    };
    let found = desk.read(move |reads| {
        let merchant = reads.merchant(actor.merchant)?;
        let merchant = merchant
            .ok_or_else(|| ReadFault::Store("a key's merchant is not on the books".to_owned()))?;
        Ok((reads.payments(actor.merchant, &filter)?, merchant))
    });
    let (payments, merchant) = found.await.map_err(Failure::Read)?;
    let shows_allocation = desk.settings().mpg_shows_allocation;
    let count = usize::try_from(items).unwrap_or(usize::MAX);
    let is_more = payments.len() > count && page < PAGE_NUMBER_MAX;
    let shown = payments.iter().take(count);
    Ok(wire::ok(&Page {
        orders: shown.map(|payment| Order::new(payment, &merchant, shows_allocation)).collect(),
        meta: Meta {
            current_page: page,
            next_page: is_more.then(|| page.saturating_add(1)),
            prev_page: page.checked_sub(1).filter(|before| *before > 0),
        },
    }))
}

/// A whole number from 1; the last where a name is repeated.
fn number(
    pairs: &[(String, String)],
    (name, absent, most): (&str, u32, u32),
    complaints: &mut Complaints,
) -> u32 {
    let Some((_, text)) = pairs.iter().rev().find(|(known, _)| known == name) else {
        return absent;
    };
    let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = is_digits.then(|| text.parse().unwrap_or(u32::MAX));
    let complaint = match number {
        None => Complaint::NotInteger,
        Some(0) => Complaint::TooSmall(1),
        Some(number) if number > most => Complaint::TooLarge(most.into()),
        Some(number) => return number,
    };
    complaints.push((name.to_owned(), complaint));
    absent
}
