//! `GET /admin/payments`: the payments of a merchant, filtered, ordered and cut into pages.
//!
//! The answer has the true count of all that fit. Where the store filters and orders by itself (ids,
//! spans of time; by id, by creation, by change), it counts, and the page alone is read. Anything else
//! (several times to choose from, `$or` over times, other columns to order by) is done here, over all
//! payments that the store finds. Either way at most [`READ_MAX`] are read (decision B13).

use std::cmp::Ordering;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use requite_core::id::MerchantId;
use requite_engine::read::{PAGE_MAX, PaymentFilter, PaymentView, ReadFault, Reads, Sort};

use super::failure::{Failure, json_response};
use super::fields::{Entity, Related, Selection, render, scalar_named};
use super::list::{self, Page};
use super::payment::{
    COLLECTION_COLUMNS, PAYMENT_COLUMNS, PAYMENT_DEFAULTS, Payment, SESSION_COLUMNS,
};
use super::payment_filter::{Filter, Narrowed};
use super::query::Query;
use super::schema::{self, Faults};
use super::spelling::NULL;
use super::wire::read_fields;
use super::{Face, auth};
use crate::access::Caller;

/// Payments that one list reads, to show them or to look at them.
pub(super) const READ_MAX: u64 = 10_000;

/// Rows of a list whose length nobody asked for.
const LIMIT: usize = 20;

/// What this list takes besides [`list::KNOWN`].
const KNOWN: [&str; 3] = ["payment_session_id", "$and", "$or"];

pub(super) async fn list(State(face): State<Face>, request: Request) -> Result<Response, Failure> {
    let actor = auth::actor(&face, Caller::of(&request)).await?;
    let wanted = Wanted::read(&Query::read(request.uri().query()))?;
    let Wanted { page, order, selection, filter } = wanted;
    let merchant = actor.merchant;
    let members = page.clone();
    let listed = face.desk.read(move |reads| {
        Listing { page, order, filter, read_max: READ_MAX }.found(reads, merchant)
    });
    let Listed { count, rows } = listed.await.map_err(Failure::Read)??;
    let rows: Vec<String> =
        rows.iter().map(|view| render(&Payment::new(view), &selection)).collect();
    let body = format!("{{\"payments\":[{}],{}}}", rows.join(","), members.members(count));
    Ok(json_response(StatusCode::OK, body))
}

/// What is asked for.
pub(super) struct Wanted {
    page: Page,
    order: Order,
    selection: Selection,
    filter: Filter,
}

impl Wanted {
    pub(super) fn read(query: &Query) -> Result<Wanted, Failure> {
        list::check_depth(query)?;
        let mut faults = Faults::default();
        let page = Page::read(query, LIMIT, &mut faults);
        let order = Order::read(query, &mut faults);
        let fields = schema::parameter(query, "fields", &mut faults);
        let filter = Filter::read(query, &mut faults);
        list::with_deleted(query, &mut faults);
        list::settle(query, &KNOWN, faults)?;
        Ok(Wanted { page, order, selection: read_fields(fields, &PAYMENT_DEFAULTS)?, filter })
    }
}

/// One page of a list, and how many payments the whole list has.
#[derive(Default)]
struct Listed {
    count: u64,
    rows: Vec<PaymentView>,
}

/// A list to be read.
struct Listing {
    page: Page,
    order: Order,
    filter: Filter,
    read_max: u64,
}

impl Listing {
    fn found(
        &self,
        reads: &dyn Reads,
        merchant: MerchantId,
    ) -> Result<Result<Listed, Failure>, ReadFault> {
        let Narrowed { ids, created, updated, is_exact } = self.filter.narrowed();
        let mut within = PaymentFilter {
            created_from_ms: created.from_ms,
            created_until_ms: created.until_ms,
            updated_from_ms: updated.from_ms,
            updated_until_ms: updated.until_ms,
            newest_first: self.order.is_descending,
            ..PaymentFilter::default()
        };
        match ids {
            None => {}
            Some(ids) if ids.is_empty() => return Ok(Ok(Listed::default())),
            Some(ids) if ids.len() > IDS_MAX => return Ok(Err(too_many_ids(ids.len()))),
            Some(ids) => within.ids = ids,
        }
        let count = reads.count_payments(merchant, &within)?;
        let (offset, limit) = (self.page.offset, self.page.limit);
        if let (By::Store(sort), true) = (&self.order.by, is_exact) {
            within.sort = *sort;
            let asked = count.saturating_sub(number(offset)).min(number(limit));
            if asked > self.read_max {
                return Ok(Err(too_many_to_show(asked, self.read_max)));
            }
            let rows = read(reads, merchant, within, offset, limit)?;
            return Ok(Ok(Listed { count, rows }));
        }
        if count > self.read_max {
            return Ok(Err(too_many_to_look_at(count, self.read_max)));
        }
        within.newest_first = false;
        let mut rows = read(reads, merchant, within, 0, usize::MAX)?;
        rows.retain(|view| self.filter.fits(view));
        self.order.sort(&mut rows);
        let count = number(rows.len());
        Ok(Ok(Listed { count, rows: self.page.of(rows).collect() }))
    }
}

/// Payments that one list may name.
const IDS_MAX: usize = 1_000;

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// Up to `limit` payments behind the first `offset`, in the order of the filter.
fn read(
    reads: &dyn Reads,
    merchant: MerchantId,
    mut within: PaymentFilter,
    offset: usize,
    limit: usize,
) -> Result<Vec<PaymentView>, ReadFault> {
    let mut rows: Vec<PaymentView> = Vec::new();
    while rows.len() < limit {
        let left = limit.saturating_sub(rows.len());
        within.offset = u32::try_from(offset.saturating_add(rows.len())).unwrap_or(u32::MAX);
        within.limit = u32::try_from(left).unwrap_or(u32::MAX).min(PAGE_MAX);
        let page = reads.payments(merchant, &within)?;
        if page.is_empty() {
            break;
        }
        rows.extend(page);
    }
    Ok(rows)
}

fn too_many_ids(count: usize) -> Failure {
    Failure::Invalid(format!(
        "Invalid request: The list names {count} payments, at most {IDS_MAX} can be named. Ask for \
         them in parts"
    ))
}

fn too_many_to_show(count: u64, max: u64) -> Failure {
    Failure::Invalid(format!(
        "Invalid request: The list would show {count} payments, at most {max} are shown at \
         once. Ask for fewer with limit, and for the others with offset"
    ))
}

fn too_many_to_look_at(count: u64, max: u64) -> Failure {
    Failure::Invalid(format!(
        "Invalid request: {count} payments would have to be looked at, at most {max} are. \
         Narrow the list by id, created_at or updated_at"
    ))
}

/// By what the list is ordered.
enum By {
    /// What the store can order by.
    Store(Sort),
    /// A column of the payment, or of what it names (`payment_collection.created_at`).
    Column { relation: Option<String>, column: &'static str },
}

struct Order {
    by: By,
    is_descending: bool,
}

impl Order {
    fn read(query: &Query, faults: &mut Faults) -> Order {
        let by_id = Order { by: By::Store(Sort::Id), is_descending: false };
        let Some(written) = schema::parameter(query, "order", faults) else {
            return by_id;
        };
        let (path, is_descending) = match written.strip_prefix('-') {
            Some(path) => (path, true),
            None => (written, false),
        };
        let sort = match path {
            "id" => Some(Sort::Id),
            "created_at" => Some(Sort::Created),
            "updated_at" => Some(Sort::Updated),
            _ => None,
        };
        if let Some(sort) = sort {
            return Order { by: By::Store(sort), is_descending };
        }
        let (relation, name) = match path.split_once('.') {
            Some((relation, name)) => (Some(relation), name),
            None => (None, path),
        };
        let columns = match relation {
            None => PAYMENT_COLUMNS,
            Some("payment_collection") => COLLECTION_COLUMNS,
            Some("payment_session") => SESSION_COLUMNS,
            Some(_) => &[],
        };
        let Some(column) = scalar_named(columns, name) else {
            faults.other("Value for field 'order' is no column".to_owned());
            return by_id;
        };
        Order { by: By::Column { relation: relation.map(str::to_owned), column }, is_descending }
    }

    /// Orders what the store gave in the order of ids; rows with equal keys stay so.
    fn sort(&self, rows: &mut [PaymentView]) {
        match &self.by {
            By::Store(Sort::Id) => {}
            By::Store(Sort::Created) => rows.sort_by_key(|view| view.created_at_ms),
            By::Store(Sort::Updated) => rows.sort_by_key(|view| view.updated_at_ms),
            By::Column { relation, column } => {
                rows.sort_by_cached_key(|view| key(view, relation.as_deref(), column));
            }
        }
        if self.is_descending {
            rows.reverse();
        }
    }
}

fn key(view: &PaymentView, relation: Option<&str>, column: &str) -> Key {
    let payment = Payment::new(view);
    let related = relation.map(|name| payment.related(name));
    Key::of(&match related {
        None => payment.scalar(column),
        Some(Related::One(Some(parent))) => parent.scalar(column),
        Some(Related::One(None) | Related::Many(_)) => NULL.to_owned(),
    })
}

/// A value to order by, made of its JSON text. Null comes last, as in the original's database.
#[derive(PartialEq, Eq)]
enum Key {
    /// Digits before the point, and behind it.
    Number(String, String),
    Text(String),
    Null,
}

impl Key {
    fn of(json: &str) -> Key {
        let is_number = json.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        match json.split_once('.') {
            _ if json == NULL => Key::Null,
            _ if !is_number => Key::Text(json.to_owned()),
            Some((whole, fraction)) => Key::Number(whole.to_owned(), fraction.to_owned()),
            None => Key::Number(json.to_owned(), String::new()),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Key::Number(..) => 0,
            Key::Text(_) => 1,
            Key::Null => 2,
        }
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Key) -> Ordering {
        match (self, other) {
            (Key::Number(whole, fraction), Key::Number(other, others)) => whole
                .len()
                .cmp(&other.len())
                .then_with(|| whole.cmp(other))
                .then_with(|| fraction.cmp(others)),
            (Key::Text(text), Key::Text(other)) => text.cmp(other),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Key) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faces::testing::{self, SHOP};

    #[tokio::test]
    async fn a_list_that_would_read_too_much_is_refused_with_the_numbers() {
        let shop = testing::Shop::open(super::super::router, testing::settings(), 0);
        for _ in 0..3 {
            shop.register(|_| ()).await;
        }
        let many: Vec<String> = (0..=IDS_MAX).map(|bits| format!("id=pay_{bits:026}")).collect();
        let many = many.join("&");
        let shown = "Invalid request: The list would show 3 payments, at most 2 are shown at once. Ask for fewer with limit, and for the others with offset";
        let looked = "Invalid request: 3 payments would have to be looked at, at most 2 are. Narrow the list by id, created_at or updated_at";
        let named = "Invalid request: The list names 1001 payments, at most 1000 can be named. Ask for them in parts";
        for (query, outcome) in [
            ("", Err(shown)),
            ("limit=2", Ok((2, 3))),
            ("offset=1", Ok((2, 3))),
            ("order=-created_at&limit=1", Ok((1, 3))),
            ("order=amount&limit=1", Err(looked)),
            ("created_at[$ne]=2024-01-01&limit=1", Err(looked)),
            ("order=amount&created_at[$lt]=2024-01-01", Ok((0, 0))),
            (many.as_str(), Err(named)),
        ] {
            let wanted = Wanted::read(&Query::read(Some(query))).expect("well spelt");
            let Wanted { page, order, filter, .. } = wanted;
            let listing = Listing { page, order, filter, read_max: 2 };
            let found = shop.desk.read(move |reads| listing.found(reads, SHOP)).await;
            let outcome = outcome.map_err(str::to_owned);
            let seen = match found.expect("a store") {
                Ok(listed) => Ok((listed.rows.len(), listed.count)),
                Err(Failure::Invalid(message)) => Err(message),
                Err(other) => Err(format!("{other:?}")),
            };
            assert_eq!(seen, outcome, "{query}");
        }
    }
}
