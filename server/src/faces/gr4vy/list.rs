//! `GET /transactions`: a merchant's transactions, the one that changed last first, page by page.
//!
//! What the store can filter by, it does. Every other filter is held against the transaction as it
//! is shown, so a filter and a member of one name can never disagree. Such a search looks at most at
//! [`SCAN_MAX`] transactions for one page; where that was not enough, the page is shorter than its
//! limit, perhaps empty, and its `next_cursor` goes on from there. A list is over when `next_cursor`
//! is null, and only then.
//!
//! A transaction that changes moves to the front: a reader on the way back in time does not meet it
//! twice.
//!
//! Start at [`list`]; what a query asks for is read in [`wanted`].

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use requite_core::currency::Currency;
use requite_core::id::{MerchantId, PaymentId, base62_text, parse_base62, uuid_text};
use requite_engine::read::{PaymentFilter, PaymentView, ReadFault, Reads, Sort, Stage};
use serde_json::Value;

use super::failure::Failure;
use super::page::{Cursor, LIMIT, List, Page, Place, Query};
use super::transaction::{self, Members};
use super::{auth, json, spelling};
use crate::access::Caller;
use crate::desk::Desk;

/// Transactions that are looked at for one page.
const SCAN_MAX: usize = 1_000;
/// Transactions that are read at once while looking.
const BATCH: u32 = 100;

/// Every status that the API knows, with the stages in which a payment may be shown so.
const STATUSES: [(&str, &[Stage]); 9] = [
    ("processing", &[]),
    ("authorization_succeeded", &[Stage::Authorized, Stage::Voided]),
    ("authorization_declined", &[Stage::Declined]),
    ("authorization_failed", &[Stage::Declined]),
    ("authorization_voided", &[Stage::Authorized, Stage::Voided]),
    ("authorization_void_pending", &[]),
    // Nothing is taken from the payment method where gift cards paid for all of it.
    ("capture_succeeded", &[Stage::Captured, Stage::Authorized]),
    ("capture_pending", &[]),
    ("buyer_approval_pending", &[]),
];

/// Filters by one text, and the member that they are about.
const TEXTS: [(&str, &str); 9] = [
    ("checkout_session_id", "/checkout_session_id"),
    ("ip_address", "/ip_address"),
    ("payment_link_id", "/payment_link_id"),
    ("payment_method_bin", "/payment_method/details/bin"),
    ("payment_method_country", "/payment_method/country"),
    ("payment_method_fingerprint", "/payment_method/fingerprint"),
    ("payment_method_id", "/payment_method/id"),
    ("payment_method_label", "/payment_method/label"),
    ("reauthorized_from_transaction_id", "/reauthorized_from_transaction_id"),
];
/// Filters by any of several texts.
const CHOICES: [(&str, &str); 6] = [
    ("country", "/country"),
    ("error_code", "/error_code"),
    ("method", "/method"),
    ("payment_method_scheme", "/payment_method/scheme"),
    ("payment_service_id", "/payment_service/id"),
    ("payment_source", "/payment_source"),
];
/// Filters by yes and no. What is not shown, or null, counts as no.
const FLAGS: [(&str, &str); 6] = [
    ("disputed", "/disputed"),
    ("has_settlements", "/settled"),
    ("is_subsequent_payment", "/is_subsequent_payment"),
    ("merchant_initiated", "/merchant_initiated"),
    ("pending_review", "/pending_review"),
    ("used_3ds", "/three_d_secure/used"),
];
/// Filters by a buyer, and the member that each is about. What was registered has no buyer but the
/// payment's `customer`, which any of them may name.
const BUYERS: [(&str, &str); 4] = [
    ("buyer_email_address", "/billing_details/email_address"),
    ("buyer_external_identifier", "/external_identifier"),
    ("buyer_id", "/id"),
    ("buyer_search", ""),
];
/// Filters by a gift card, and its member.
const GIFT_CARDS: [(&str, &str); 2] = [("gift_card_id", "id"), ("gift_card_last4", "last4")];

/// What a query asks for.
pub(super) struct Wanted {
    list_limit: u32,
    cursor: Option<Cursor>,
    store: PaymentFilter,
    tests: Vec<Test>,
}

/// What the store does not filter by.
#[derive(Debug, PartialEq, Eq)]
enum Test {
    Among {
        member: &'static str,
        texts: Vec<String>,
    },
    Is {
        member: &'static str,
        yes: bool,
    },
    Amount {
        from: i64,
        until: i64,
    },
    Metadata(Vec<(String, String)>),
    GiftCard {
        member: &'static str,
        text: String,
    },
    /// An empty member: any of them.
    Buyer {
        member: &'static str,
        names: Vec<String>,
    },
    Search(String),
    /// Two filters contradict each other, or one is for what no transaction here ever is.
    Never,
}

impl Test {
    fn passes(&self, view: &PaymentView, shown: &Members) -> bool {
        match self {
            Test::Among { member, texts } => {
                let text = shown.member(member).and_then(Value::as_str);
                text.is_some_and(|text| texts.iter().any(|wanted| wanted == text))
            }
            Test::Is { member, yes } => {
                let is = shown.member(member).and_then(Value::as_bool);
                is.unwrap_or(false) == *yes
            }
            Test::Amount { from, until } => {
                let amount = shown.member("/amount").and_then(Value::as_i64);
                amount.is_some_and(|amount| (*from..=*until).contains(&amount))
            }
            Test::Metadata(wanted) => {
                let metadata = shown.member("/metadata").and_then(Value::as_object);
                let has = |(name, text): &(String, String)| {
                    let value = metadata.and_then(|metadata| metadata.get(name));
                    value.and_then(Value::as_str) == Some(text)
                };
                wanted.iter().all(has)
            }
            Test::GiftCard { member, text } => {
                let cards = shown.member("/gift_card_redemptions").and_then(Value::as_array);
                let is = |card: &Value| card["gift_card"][member].as_str() == Some(text);
                cards.is_some_and(|cards| cards.iter().any(is))
            }
            Test::Buyer { member, names } => {
                let texts = BUYERS.iter().filter(|(_, known)| {
                    !known.is_empty() && (member.is_empty() || known == member)
                });
                let texts = texts
                    .filter_map(|(_, member)| shown.member("/buyer")?.pointer(member)?.as_str());
                let texts: Vec<&str> = texts.chain(view.customer.as_deref()).collect();
                names.iter().all(|name| texts.contains(&name.as_str()))
            }
            Test::Search(text) => is_named(view, text),
            Test::Never => false,
        }
    }
}

/// Does any of a payment's names contain `text`, whatever its letter case?
fn is_named(view: &PaymentView, text: &str) -> bool {
    let text = text.to_lowercase();
    let ids = [uuid_text(view.id.bits()), base62_text(view.id.bits())];
    let names = [
        &view.external_identifier,
        &view.connector_payment,
        &view.order,
        &view.customer,
        &view.description,
    ];
    let names = names.into_iter().flatten().chain(&view.aliases).chain(&ids);
    names.into_iter().any(|name| name.to_lowercase().contains(&text))
}

/// `GET /transactions`
pub(super) async fn list(State(desk): State<Desk>, request: Request) -> Result<Response, Failure> {
    let actor = auth::actor(&desk, Caller::of(&request)).await?;
    let merchant = actor.merchant;
    let list = List { merchant, name: "transactions" };
    let wanted = wanted(request.uri(), list)?;
    let account = auth::slug(&desk, merchant).await?;
    let read = move |reads: &dyn Reads| {
        let found = found(reads, merchant, &wanted, &account)?;
        Ok(page(found, &wanted, list, &account))
    };
    let page = desk.read(read).await?;
    Ok(json(StatusCode::OK, HeaderMap::new(), &page))
}

pub(super) fn wanted(uri: &Uri, list: List<'_>) -> Result<Wanted, Failure> {
    let mut query = Query::read(uri);
    let list_limit = query.limit(LIMIT);
    let cursor = query.cursor(list);
    let mut tests = Vec::new();
    let store = PaymentFilter {
        ids: ids(&mut query, &mut tests),
        currencies: currencies(&mut query),
        stages: stages(&mut query, &mut tests),
        external_identifier: query.text("external_identifier"),
        connector_payment: query.text("payment_service_transaction_id"),
        has_refunds: query.whether("has_refunds"),
        has_gift_cards: query.whether("has_gift_card_redemptions"),
        created_from_ms: query.time("created_at_gte", true),
        created_until_ms: behind(query.time("created_at_lte", false)),
        updated_from_ms: query.time("updated_at_gte", true),
        updated_until_ms: behind(query.time("updated_at_lte", false)),
        amount_until: amounts(&mut query, &mut tests),
        sort: Sort::Updated,
        newest_first: !matches!(cursor, Some(Cursor::Previous(_))),
        ..PaymentFilter::default()
    };
    for (name, member) in TEXTS {
        let text = query.text(name);
        tests.extend(text.map(|text| Test::Among { member, texts: vec![text] }));
    }
    for (name, member) in CHOICES {
        let texts = query.all(name);
        tests.extend((!texts.is_empty()).then_some(Test::Among { member, texts }));
    }
    for (name, member) in FLAGS {
        tests.extend(query.whether(name).map(|yes| Test::Is { member, yes }));
    }
    for (name, member) in BUYERS {
        let names = query.all(name);
        tests.extend((!names.is_empty()).then_some(Test::Buyer { member, names }));
    }
    for (name, member) in GIFT_CARDS {
        tests.extend(query.text(name).map(|text| Test::GiftCard { member, text }));
    }
    metadata(&mut query, &mut tests);
    tests.extend(query.text("search").map(Test::Search));
    query.finish()?;
    Ok(Wanted { list_limit, cursor, store, tests })
}

/// The first millisecond after.
fn behind(ms: Option<i64>) -> Option<i64> {
    ms.map(|ms| ms.saturating_add(1))
}

fn ids(query: &mut Query, tests: &mut Vec<Test>) -> Vec<PaymentId> {
    let mut ids = Vec::new();
    if let Some(text) = query.text("id") {
        match spelling::payment_bits(&text) {
            Some(bits) => ids.push(PaymentId::new(bits)),
            None => query.complain("id", "value is not a valid uuid", "type_error.uuid"),
        }
    }
    if let Some(text) = query.text("reconciliation_id") {
        match parse_base62(&text) {
            Some(bits) => ids.push(PaymentId::new(bits)),
            None => {
                let text = "value is not a valid reconciliation id: digits and letters";
                query.complain("reconciliation_id", text, "value_error");
            }
        }
    }
    ids.dedup();
    if ids.len() > 1 {
        tests.push(Test::Never);
    }
    ids
}

fn currencies(query: &mut Query) -> Vec<String> {
    let mut currencies = Vec::new();
    for text in query.all("currency") {
        match Currency::parse(&text) {
            Some(currency) => currencies.push(currency.code().to_owned()),
            None => query.complain("currency", "value is no currency", "value_error"),
        }
    }
    currencies
}

/// The stages narrow; the status itself is what is shown.
fn stages(query: &mut Query, tests: &mut Vec<Test>) -> Vec<Stage> {
    let texts = query.all("status");
    let mut stages = Vec::new();
    for text in &texts {
        match STATUSES.iter().find(|(status, _)| status == text) {
            Some((_, of_status)) => stages.extend(*of_status),
            None => {
                let known = STATUSES.map(|(status, _)| status).join("', '");
                let text = format!("value is not a valid enumeration member; permitted: '{known}'");
                query.complain("status", text, "type_error.enum");
            }
        }
    }
    if !texts.is_empty() {
        // No stage at all would mean every stage.
        tests.extend(stages.is_empty().then_some(Test::Never));
        tests.push(Test::Among { member: "/status", texts });
    }
    stages
}

/// The API's amount is that of all instruments together, the store's that of the payment method:
/// what is above the most for one is so for all.
fn amounts(query: &mut Query, tests: &mut Vec<Test>) -> Option<i64> {
    let exact = query.amount("amount_eq");
    let (from, until) = (query.amount("amount_gte"), query.amount("amount_lte"));
    exact.or(from).or(until)?;
    let from = exact.max(from).unwrap_or(0);
    let until = [exact, until].into_iter().flatten().min();
    tests.push(Test::Amount { from, until: until.unwrap_or(i64::MAX) });
    until
}

fn metadata(query: &mut Query, tests: &mut Vec<Test>) {
    for text in query.all("metadata") {
        let pairs: Option<Vec<(String, String)>> =
            serde_json::from_str(&text).ok().and_then(|value: Value| {
                let pairs = value.as_object()?.iter();
                pairs
                    .map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
                    .collect()
            });
        match pairs {
            Some(pairs) => tests.push(Test::Metadata(pairs)),
            None => {
                let text = "value is not a JSON object with texts for values";
                query.complain("metadata", text, "type_error.json");
            }
        }
    }
}

/// What a search brought, in the order in which it was met.
struct Found {
    views: Vec<PaymentView>,
    /// Where it stopped although there may be more.
    stopped: Option<Place>,
}

fn place(view: &PaymentView) -> Place {
    Place { at_ms: view.updated_at_ms, id: view.id.bits() }
}

/// Looks until a page is full, nothing is left, or [`SCAN_MAX`] are looked at.
fn found(
    reads: &dyn Reads,
    merchant: MerchantId,
    wanted: &Wanted,
    account: &str,
) -> Result<Found, ReadFault> {
    let mut found = Found { views: Vec::new(), stopped: None };
    if wanted.tests.contains(&Test::Never) {
        return Ok(found);
    }
    let page = usize::try_from(wanted.list_limit).unwrap_or(usize::MAX);
    let mut filter = wanted.store.clone();
    filter.limit =
        if wanted.tests.is_empty() { wanted.list_limit.saturating_add(1) } else { BATCH };
    filter.after = wanted.cursor.map(|cursor| {
        let (Cursor::Next(place) | Cursor::Previous(place)) = cursor;
        (PaymentId::new(place.id), place.at_ms)
    });
    let mut looked_at: usize = 0;
    loop {
        let batch = reads.payments(merchant, &filter)?;
        let is_end = batch.len() < usize::try_from(filter.limit).unwrap_or(usize::MAX);
        looked_at = looked_at.saturating_add(batch.len());
        let last = batch.last().map(place);
        for view in batch {
            let shown = transaction::transaction(&view, account);
            if !wanted.tests.iter().all(|test| test.passes(&view, &shown)) {
                continue;
            }
            if found.views.len() == page {
                found.stopped = found.views.last().map(place);
                return Ok(found);
            }
            found.views.push(view);
        }
        if is_end {
            return Ok(found);
        }
        if looked_at >= SCAN_MAX {
            found.stopped = last;
            return Ok(found);
        }
        filter.after = last.map(|place| (PaymentId::new(place.id), place.at_ms));
    }
}

/// Puts what was found on a page, newest first, and says where its neighbours begin.
fn page(found: Found, wanted: &Wanted, list: List<'_>, account: &str) -> Page<Members> {
    let Found { mut views, stopped } = found;
    let is_backwards = matches!(wanted.cursor, Some(Cursor::Previous(_)));
    if is_backwards {
        views.reverse();
    }
    let (first, last) = (views.first().map(place), views.last().map(place));
    let (next, previous) = match wanted.cursor {
        None => (stopped, None),
        Some(Cursor::Next(from)) => (stopped, Some(first.unwrap_or(from.below()))),
        Some(Cursor::Previous(from)) => (Some(last.unwrap_or(from.above())), stopped),
    };
    Page {
        items: views.iter().map(|view| transaction::summary(view, account)).collect(),
        limit: wanted.list_limit,
        next_cursor: next.map(|place| list.text(Cursor::Next(place))),
        previous_cursor: previous.map(|place| list.text(Cursor::Previous(place))),
    }
}
