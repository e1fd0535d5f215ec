//! Lists of a merchant's payments and refunds, narrowed by filters. Only the conditions that a filter
//! has are in its statement, so that the planner can choose an index that serves them.

use requite_core::id::{MerchantId, PaymentId};
use requite_core::schedule::{PEOPLE_PENDING, PEOPLE_UNKNOWN, PEOPLE_UNSENT};

use super::super::{Bind, Result, Sql, Value, blob, id};
use super::{REFUND_COLUMNS, REFUND_JOINS, direction, refund_view};
use crate::read::{PAGE_MAX, PaymentFilter, RefundFilter, RefundView, Sort, Stage};

/// What a condition is about.
#[derive(Clone)]
enum Given {
    Integer(i64),
    Text(String),
    Id([u8; 16]),
}

impl From<i64> for Given {
    fn from(integer: i64) -> Given {
        Given::Integer(integer)
    }
}

impl From<String> for Given {
    fn from(text: String) -> Given {
        Given::Text(text)
    }
}

impl Bind for Given {
    fn value(&self) -> Value<'_> {
        match self {
            Given::Integer(integer) => Value::Integer(Some(*integer)),
            Given::Text(text) => Value::Text(Some(text)),
            Given::Id(bytes) => Value::Blob(Some(bytes)),
        }
    }
}

/// Conditions and the values that they are about, in order.
struct Conditions {
    sql: String,
    values: Vec<Given>,
}

impl Conditions {
    fn of(condition: &str, merchant: MerchantId) -> Conditions {
        let mut only = Conditions { sql: "where ".to_owned(), values: Vec::new() };
        only.write(condition, [bytes(merchant.bits())]);
        only
    }

    /// `condition` has one `?` for each value.
    fn add(&mut self, condition: &str, values: impl IntoIterator<Item = Given>) {
        self.sql.push_str(" and ");
        self.write(condition, values);
    }

    /// Numbers the marks: `?` becomes `?7`.
    fn write(&mut self, condition: &str, values: impl IntoIterator<Item = Given>) {
        let mut values = values.into_iter();
        for (place, part) in condition.split('?').enumerate() {
            if place > 0 {
                self.values.extend(values.next());
                self.sql.push('?');
                self.sql.push_str(&self.values.len().to_string());
            }
            self.sql.push_str(part);
        }
    }

    fn params(&self) -> Vec<&dyn Bind> {
        self.values.iter().map(|value| -> &dyn Bind { value }).collect()
    }

    fn maybe(&mut self, condition: &str, value: Option<impl Into<Given>>) {
        if let Some(value) = value {
            self.add(condition, [value.into()]);
        }
    }

    /// That it is so, or that it is not.
    fn whether(&mut self, wish: Option<bool>, condition: &str) {
        if let Some(is_so) = wish {
            self.add(&format!("{} {condition}", if is_so { "" } else { "not" }), []);
        }
    }

    /// One of these, unless there are none to choose from.
    fn among(&mut self, column: &str, values: Vec<Given>) {
        if !values.is_empty() {
            let marks = vec!["?"; values.len()].join(", ");
            self.add(&format!("{column} in ({marks})"), values);
        }
    }
}

fn bytes(bits: u128) -> Given {
    Given::Id(blob(bits))
}

/// With the newest of its changes: of those in the moment that its head names, which may be of several
/// refunds, the last. Nothing is behind the last; what is written as equal to it PostgreSQL takes for so
/// rare that it would read and sort all of them instead of the first in order.
const CHANGE: &str =
    "join change t on t.merchant_id = p.merchant_id and t.payment_id = p.payment_id
    join payment_head h on h.merchant_id = p.merchant_id and h.payment_id = p.payment_id
        and h.updated_at_ms = t.at_ms
        and t.about >= (select n.about from change n
            where n.merchant_id = t.merchant_id and n.at_ms = t.at_ms
                and n.payment_id = t.payment_id
            order by n.about desc limit 1)";

/// A refund with the newest of its changes. That the two times are equal is written so for the same reason.
const REFUND_CHANGE: &str = "join change t on t.merchant_id = r.merchant_id
    and t.about = r.refund_id and t.at_ms >= r.updated_at_ms and t.at_ms <= r.updated_at_ms";

const REFUND_PAYMENT: &str =
    "join payment p on p.merchant_id = r.merchant_id and p.payment_id = r.payment_id";

const PRIMARY_LEG: &str =
    "join leg l on l.merchant_id = p.merchant_id and l.payment_id = p.payment_id and l.leg_no = 0";

/// The tables that conditions and order speak of, and no others: to count a million payments, each
/// table joined costs as much again.
fn payments(only: &Conditions, key: &str) -> String {
    let names = |column: &str| only.sql.contains(column) || key.contains(column);
    let change = if names("t.at_ms") { CHANGE } else { "" };
    let is_about_leg = names("l.amount_minor") || names("l.released_minor");
    let leg = if is_about_leg { PRIMARY_LEG } else { "" };
    format!("from payment p {change} {leg}")
}

/// Numbers as in [`stage_number`].
const STAGE: &str = "case when p.fault_code is not null then 1
    when exists (select 1 from capture c where c.merchant_id = p.merchant_id
        and c.payment_id = p.payment_id and c.leg_no = 0) then 3
    when l.released_minor > 0 then 4 else 2 end";

const ANY_REFUND: &str = "exists (select 1 from payment_head n where n.merchant_id = p.merchant_id
    and n.payment_id = p.payment_id and n.newest_refund is not null)";

const ANY_CARD: &str = "exists (select 1 from leg g where g.merchant_id = p.merchant_id
    and g.payment_id = p.payment_id and g.leg_no > 0)";

fn stage_number(stage: Stage) -> i64 {
    match stage {
        Stage::Declined => 1,
        Stage::Authorized => 2,
        Stage::Captured => 3,
        Stage::Voided => 4,
    }
}

fn payment_conditions(merchant: MerchantId, filter: &PaymentFilter) -> Conditions {
    let mut only = Conditions::of("p.merchant_id = ?", merchant);
    only.among("p.payment_id", filter.ids.iter().map(|id| bytes(id.bits())).collect());
    let name = filter.external_identifier.clone();
    only.maybe(
        "case when exists (select 1 from amendment a where a.merchant_id = p.merchant_id
                and a.payment_id = p.payment_id and a.renames = 1)
            then (select a.external_identifier from amendment a
                where a.merchant_id = p.merchant_id and a.payment_id = p.payment_id
                    and a.renames = 1
                order by a.seq desc limit 1)
            else p.external_identifier end = ?",
        name.clone(),
    );
    if let Some(name) = name {
        // What finds it by an index; the condition above says whether it is called that now.
        let named = "p.payment_id in (select n.payment_id from renamed n
                where n.merchant_id = ? and n.external_identifier = ?)";
        only.add(named, [bytes(merchant.bits()), Given::Text(name)]);
    }
    only.maybe("p.order_ref = ?", filter.order.clone());
    only.maybe("p.customer = ?", filter.customer.clone());
    only.maybe("p.connector = ?", filter.connector.clone());
    only.maybe("p.connector_payment = ?", filter.connector_payment.clone());
    let currencies = filter.currencies.iter().cloned().map(Given::Text);
    only.among("p.currency", currencies.collect());
    let stages = filter.stages.iter().map(|stage| Given::Integer(stage_number(*stage)));
    only.among(&format!("({STAGE})"), stages.collect());
    only.whether(filter.has_refunds, ANY_REFUND);
    only.whether(filter.has_gift_cards, ANY_CARD);
    only.maybe("p.created_at_ms >= ?", filter.created_from_ms);
    only.maybe("p.created_at_ms < ?", filter.created_until_ms);
    only.maybe("t.at_ms >= ?", filter.updated_from_ms);
    only.maybe("t.at_ms < ?", filter.updated_until_ms);
    only.maybe("l.amount_minor >= ?", filter.amount_from);
    only.maybe("l.amount_minor <= ?", filter.amount_until);
    only
}

pub(super) fn payment_ids(
    connection: Sql<'_>,
    merchant: MerchantId,
    filter: &PaymentFilter,
) -> Result<Vec<PaymentId>> {
    let mut only = payment_conditions(merchant, filter);
    let (compare, order) = direction(filter.newest_first);
    if let Some((after, at_ms)) = filter.after {
        let after = bytes(after.bits());
        match filter.sort {
            Sort::Id => only.add(&format!("p.payment_id {compare} ?"), [after]),
            Sort::Created => {
                let row = format!("(p.created_at_ms, p.payment_id) {compare} (?, ?)");
                only.add(&row, [Given::Integer(at_ms), after]);
            }
            Sort::Updated => {
                let row = format!("(t.at_ms, t.payment_id) {compare} (?, ?)");
                only.add(&row, [Given::Integer(at_ms), after]);
            }
        }
    }
    let key = match filter.sort {
        Sort::Id => format!("p.payment_id {order}"),
        Sort::Created => format!("p.created_at_ms {order}, p.payment_id {order}"),
        Sort::Updated => format!("t.at_ms {order}, t.payment_id {order}"),
    };
    let sql = format!(
        "-- payment_ids
        select p.payment_id {} {} order by {key} limit {} offset {}",
        payments(&only, &key),
        only.sql,
        filter.limit.min(PAGE_MAX),
        filter.offset,
    );
    connection.query_rare(&sql, &only.params(), |row| Ok(PaymentId::new(id(row, 0)?)))
}

pub(super) fn payment_count(
    connection: Sql<'_>,
    merchant: MerchantId,
    filter: &PaymentFilter,
) -> Result<u64> {
    let only = payment_conditions(merchant, filter);
    let sql = format!(
        "-- payment_count
        select count(*) {} {}",
        payments(&only, ""),
        only.sql
    );
    let counts: Vec<i64> = connection.query_rare(&sql, &only.params(), |row| row.get(0))?;
    Ok(counts.first().and_then(|&count| u64::try_from(count).ok()).unwrap_or_default())
}

pub(super) fn refunds(
    connection: Sql<'_>,
    merchant: MerchantId,
    filter: &RefundFilter,
) -> Result<Vec<RefundView>> {
    let mut only = Conditions::of("r.merchant_id = ?", merchant);
    if let Some(payment) = filter.payment {
        of_payments(connection, &mut only, merchant, ("h.payment_id = ?", bytes(payment.bits())));
    }
    if let Some(order) = filter.order.clone() {
        of_payments(connection, &mut only, merchant, (OF_ORDER, Given::Text(order)));
    }
    only.maybe("p.customer = ?", filter.customer.clone());
    only.maybe("p.connector = ?", filter.connector.clone());
    only.among("p.currency", filter.currencies.iter().cloned().map(Given::Text).collect());
    only.maybe("r.external_identifier = ?", filter.external_identifier.clone());
    only.maybe("r.given_id = ?", filter.given_id.map(bytes));
    let statuses = filter.statuses.iter().map(|status| Given::Integer(status.number().into()));
    only.among("r.status", statuses.collect());
    only.maybe("r.asked_at_ms >= ?", filter.asked_from_ms);
    only.maybe("r.asked_at_ms < ?", filter.asked_until_ms);
    only.maybe("r.sent_at_ms >= ?", filter.sent_from_ms);
    only.maybe("r.sent_at_ms < ?", filter.sent_until_ms);
    only.maybe("r.settled_at_ms >= ?", filter.settled_from_ms);
    only.maybe("r.settled_at_ms < ?", filter.settled_until_ms);
    only.maybe("t.at_ms >= ?", filter.updated_from_ms);
    only.maybe("t.at_ms < ?", filter.updated_until_ms);
    only.maybe("r.amount_minor >= ?", filter.amount_from);
    only.maybe("r.amount_minor <= ?", filter.amount_until);
    if let Some(at_ms) = filter.for_people_at_ms {
        for_people(&mut only, at_ms);
    }
    let (compare, order) = direction(filter.newest_first);
    let is_by_time = filter.sort == Sort::Updated;
    if let Some((after, at_ms)) = filter.after {
        let after = bytes(after.bits());
        if is_by_time {
            let row = format!("(t.at_ms, t.about) {compare} (?, ?)");
            only.add(&row, [Given::Integer(at_ms), after]);
        } else {
            only.add(&format!("r.refund_id {compare} ?"), [after]);
        }
    }
    let key = |time: &str| match is_by_time {
        true => format!("{time} {order}, r.refund_id {order}"),
        false => format!("r.refund_id {order}"),
    };
    let (found, shown) = (key("t.at_ms"), key("r.updated_at_ms"));
    let change = if is_by_time || only.sql.contains("t.at_ms") { REFUND_CHANGE } else { "" };
    let payment = if only.sql.contains("p.") { REFUND_PAYMENT } else { "" };
    // First the page, from the tables that conditions and order speak of: a planner that sees all of those
    // to be shown at once reads all refunds before it sorts them.
    let sql = format!(
        "-- list_refunds
        {REFUND_COLUMNS}
        from (select r.merchant_id, r.refund_id from refund r {change} {payment} {}
            order by {found} limit {}) n
        join refund r on r.merchant_id = n.merchant_id and r.refund_id = n.refund_id
        {REFUND_JOINS} order by {shown}",
        only.sql,
        filter.limit.min(PAGE_MAX),
    );
    connection.query_rare(&sql, &only.params(), |row| refund_view(merchant, row))
}

const OF_ORDER: &str = "h.payment_id in (select n.payment_id from payment n
    where n.merchant_id = h.merchant_id and n.order_ref = ?)";

/// Only refunds of some payments, found from their heads on ([`super::super::story`]).
fn of_payments(
    connection: Sql<'_>,
    only: &mut Conditions,
    merchant: MerchantId,
    (which, value): (&str, Given),
) {
    let merchant = bytes(merchant.bits());
    if let Sql::Postgres(_) = connection {
        let sql = format!(
            "r.payment_id in (select h.payment_id from payment_head h
                where h.merchant_id = ? and {which})"
        );
        only.add(&sql, [merchant, value]);
        return;
    }
    let sql = format!(
        "r.refund_id in (
            with recursive own (refund_id, previous_refund) as (
                select n.refund_id, n.previous_refund from payment_head h cross join refund n
                where h.merchant_id = ? and {which}
                    and n.merchant_id = h.merchant_id and n.refund_id = h.newest_refund
                union all
                select n.refund_id, n.previous_refund from own o cross join refund n
                where n.merchant_id = ? and n.refund_id = o.previous_refund)
            select refund_id from own)"
    );
    only.add(&sql, [merchant.clone(), value, merchant]);
}

/// The rule of [`RefundView::people_since_ms`], for a store.
fn for_people(only: &mut Conditions, at_ms: i64) {
    let before = |ms: i64| Given::Integer(at_ms.saturating_sub(ms));
    only.add(
        "r.next_action_at_ms is not null and (r.status = 8 and r.updated_at_ms <= ?
            or r.status = 6 and coalesce(r.unknown_at_ms, r.asked_at_ms) <= ?
            or r.status = 7 and coalesce(r.sent_at_ms, r.asked_at_ms) <= ?
            or r.status in (1, 4, 5) and r.asked_at_ms <= ?)",
        [0, PEOPLE_UNKNOWN, PEOPLE_PENDING, PEOPLE_UNSENT].map(before),
    );
}
