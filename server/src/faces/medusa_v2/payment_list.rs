//! `GET /admin/payments`: the payments of a merchant, filtered, ordered and cut into pages.
//!
//! The answer has the true count of all that fit, so all of them are looked at: those named by id,
//! or else at most [`SCAN_MAX`]. Whoever has more narrows the list by `id` or `created_at`.

use std::cmp::Ordering;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use requite_core::id::{MerchantId, PaymentId, parse_prefixed};
use requite_engine::read::{PAGE_MAX, PaymentFilter, PaymentView, ReadFault, Reads};

use super::failure::{Failure, json_response};
use super::fields::{Entity, Related, Selection, render, scalar_named};
use super::list::{self, Page, When};
use super::payment::{
    COLLECTION_COLUMNS, PAYMENT_COLUMNS, PAYMENT_DEFAULTS, Payment, SESSION_COLUMNS,
};
use super::query::{Query, Value};
use super::schema::{self, Faults};
use super::spelling::{NULL, prefix};
use super::wire::read_fields;
use super::{Face, auth};
use crate::access::Caller;

/// Payments that one list looks at.
pub(super) const SCAN_MAX: usize = 10_000;

/// Rows of a list whose length nobody asked for.
const LIMIT: usize = 20;

/// Conditions below `$and` and `$or` in one list.
const GROUPS_MAX: usize = 64;

/// What this list takes besides [`list::KNOWN`].
const KNOWN: [&str; 3] = ["payment_session_id", "$and", "$or"];

pub(super) async fn list(State(face): State<Face>, request: Request) -> Result<Response, Failure> {
    let actor = auth::actor(&face, Caller::of(&request)).await?;
    let wanted = Wanted::read(&Query::read(request.uri().query()))?;
    let Wanted { page, order, selection, filter } = wanted;
    let merchant = actor.merchant;
    let found = face.desk.read(move |reads| found(reads, merchant, &filter)).await;
    let mut found = found.map_err(Failure::Read)?.ok_or_else(too_many)?;
    if let Some(order) = &order {
        found.sort_by_cached_key(|view| order.key(view));
        if order.is_descending {
            found.reverse();
        }
    }
    let count = found.len();
    let rows: Vec<String> =
        page.of(found).map(|view| render(&Payment::new(&view), &selection)).collect();
    let body = format!("{{\"payments\":[{}],{}}}", rows.join(","), page.members(count));
    Ok(json_response(StatusCode::OK, body))
}

fn too_many() -> Failure {
    Failure::Invalid(format!(
        "Invalid request: More than {SCAN_MAX} payments would have to be looked at. Narrow the \
         list by id or created_at"
    ))
}

/// What is asked for.
struct Wanted {
    page: Page,
    order: Option<Order>,
    selection: Selection,
    filter: Filter,
}

impl Wanted {
    fn read(query: &Query) -> Result<Wanted, Failure> {
        if let Some(name) = query.names().find(|name| name.split('.').count() > 2) {
            return Err(Failure::KeyTooDeep(name.to_owned()));
        }
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

/// Which payments fit. Ids that are no ids fit none.
#[derive(Default)]
struct Filter {
    ids: Option<Vec<Option<u128>>>,
    sessions: Option<Vec<Option<u128>>>,
    created: When,
    updated: When,
    deleted: When,
    all: Vec<Filter>,
    any: Vec<Filter>,
}

impl Filter {
    fn read(query: &Query, faults: &mut Faults) -> Filter {
        let bits = |written: Vec<&str>, prefix: &str| {
            let ids = written.into_iter();
            ids.map(|id| parse_prefixed(prefix, id)).collect()
        };
        let ids = list::ids(query, "id", faults);
        let sessions = list::ids(query, "payment_session_id", faults);
        Filter {
            ids: ids.map(|ids| bits(ids, prefix::PAYMENT)),
            sessions: sessions.map(|ids| bits(ids, prefix::SESSION)),
            created: When::read(query, "created_at", faults),
            updated: When::read(query, "updated_at", faults),
            deleted: When::read(query, "deleted_at", faults),
            all: groups(query, "$and", faults),
            any: groups(query, "$or", faults),
        }
    }

    fn fits(&self, view: &PaymentView) -> bool {
        let bits = Some(view.id.bits());
        let names =
            |ids: &Option<Vec<Option<u128>>>| ids.as_ref().is_none_or(|ids| ids.contains(&bits));
        names(&self.ids)
            && names(&self.sessions)
            && self.created.fits(Some(view.created_at_ms))
            && self.updated.fits(Some(view.updated_at_ms))
            && self.deleted.fits(None)
            && self.all.iter().all(|filter| filter.fits(view))
            && (self.any.is_empty() || self.any.iter().any(|filter| filter.fits(view)))
    }
}

/// `$or[0][id]=a&$or[1][id]=b`: filters by number, one level deep.
fn groups(query: &Query, name: &str, faults: &mut Faults) -> Vec<Filter> {
    let members = match query.value(name) {
        None => return Vec::new(),
        Some(Value::Object(members)) if members.len() <= GROUPS_MAX => members,
        Some(other) => {
            faults.wrong_type(name, "array", &other.script_text());
            return Vec::new();
        }
    };
    let mut groups: Vec<(&str, Query)> = Vec::new();
    for (path, value) in members {
        let (number, rest) = path.split_once("][").unwrap_or((path, ""));
        let rest = match rest.split_once("][") {
            Some((name, inner)) => format!("{name}[{inner}]"),
            None => rest.to_owned(),
        };
        let at = groups.iter().position(|(known, _)| *known == number);
        let at = at.unwrap_or_else(|| {
            groups.push((number, Query::default()));
            groups.len().saturating_sub(1)
        });
        groups[at].1.add(&rest, value.clone());
    }
    let known = ["id", "payment_session_id", "created_at", "updated_at", "deleted_at"];
    let read = |(_, query): (&str, Query)| {
        faults.unknown(query.names(), &known);
        Filter::read(&query, faults)
    };
    groups.into_iter().map(read).collect()
}

/// `None`: more than [`SCAN_MAX`] would have to be looked at.
fn found(
    reads: &dyn Reads,
    merchant: MerchantId,
    filter: &Filter,
) -> Result<Option<Vec<PaymentView>>, ReadFault> {
    if let Some(ids) = filter.ids.as_ref().or(filter.sessions.as_ref()) {
        let mut ids: Vec<u128> = ids.iter().copied().flatten().collect();
        ids.sort_unstable();
        ids.dedup();
        let views = ids.into_iter().map(|bits| reads.payment(merchant, PaymentId::new(bits), None));
        let views: Result<Vec<Option<PaymentView>>, ReadFault> = views.collect();
        let views = views?.into_iter().flatten();
        return Ok(Some(views.filter(|view| filter.fits(view)).collect()));
    }
    let created = filter.created.span();
    let mut rest = PaymentFilter {
        created_from_ms: created.from_ms,
        created_until_ms: created.until_ms,
        limit: PAGE_MAX,
        ..PaymentFilter::default()
    };
    let (mut found, mut seen) = (Vec::new(), 0_usize);
    loop {
        let page = reads.payments(merchant, &rest)?;
        seen = seen.saturating_add(page.len());
        let Some(last) = page.last().map(|view| view.id) else {
            return Ok(Some(found));
        };
        if seen > SCAN_MAX {
            return Ok(None);
        }
        rest.after = Some((last, 0));
        found.extend(page.into_iter().filter(|view| filter.fits(view)));
    }
}

/// By a column of the payment, or of what it names (`payment_collection.created_at`).
struct Order {
    relation: Option<String>,
    column: &'static str,
    is_descending: bool,
}

impl Order {
    fn read(query: &Query, faults: &mut Faults) -> Option<Order> {
        let written = schema::parameter(query, "order", faults)?;
        let (path, is_descending) = match written.strip_prefix('-') {
            Some(path) => (path, true),
            None => (written, false),
        };
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
        let column = scalar_named(columns, name);
        if column.is_none() {
            faults.other("Value for field 'order' is no column".to_owned());
        }
        column.map(|column| Order { relation: relation.map(str::to_owned), column, is_descending })
    }

    /// Payments come in the order of their ids, and equal keys leave them there.
    fn key(&self, view: &PaymentView) -> Key {
        let payment = Payment::new(view);
        let related = self.relation.as_ref().map(|name| payment.related(name));
        Key::of(&match related {
            None => payment.scalar(self.column),
            Some(Related::One(Some(parent))) => parent.scalar(self.column),
            Some(Related::One(None) | Related::Many(_)) => NULL.to_owned(),
        })
    }
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
