//! Which payments a list is asked for, and how much of that the store can tell by itself.

use requite_core::id::{PaymentId, parse_prefixed};
use requite_engine::read::PaymentView;

use super::list::{self, Span, When};
use super::query::{Query, Value};
use super::schema::Faults;
use super::spelling::prefix;

/// Conditions below `$and` and `$or` in one list.
const GROUPS_MAX: usize = 64;

/// Which payments fit. Ids that are no ids fit none.
#[derive(Default)]
pub(super) struct Filter {
    ids: Option<Vec<Option<u128>>>,
    sessions: Option<Vec<Option<u128>>>,
    created: When,
    updated: When,
    deleted: When,
    all: Vec<Filter>,
    any: Vec<Filter>,
}

impl Filter {
    pub(super) fn read(query: &Query, faults: &mut Faults) -> Filter {
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

    pub(super) fn fits(&self, view: &PaymentView) -> bool {
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

/// What the store can tell of a [`Filter`]: every payment that fits is within it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Narrowed {
    /// `None`: every payment. In order, each once.
    pub ids: Option<Vec<PaymentId>>,
    pub created: Span,
    pub updated: Span,
    /// False: not every payment within it fits.
    pub is_exact: bool,
}

impl Narrowed {
    /// The payments that are within both.
    fn and(self, other: Narrowed) -> Narrowed {
        let ids = match (self.ids, other.ids) {
            (Some(mut ids), Some(others)) => {
                ids.retain(|id| others.contains(id));
                Some(ids)
            }
            (ids, others) => ids.or(others),
        };
        Narrowed {
            ids,
            created: self.created.and(other.created),
            updated: self.updated.and(other.updated),
            is_exact: self.is_exact && other.is_exact,
        }
    }

    /// Its ids, where they alone say which payments it means.
    fn ids_alone(&self) -> Option<&[PaymentId]> {
        let is_alone = self.is_exact && self.created.is_endless() && self.updated.is_endless();
        self.ids.as_deref().filter(|_| is_alone)
    }
}

impl Filter {
    pub(super) fn narrowed(&self) -> Narrowed {
        let mut ids: Option<Vec<PaymentId>> = None;
        for named in [&self.ids, &self.sessions].into_iter().flatten() {
            let mut named: Vec<PaymentId> =
                named.iter().copied().flatten().map(PaymentId::new).collect();
            named.retain(|id| ids.as_ref().is_none_or(|ids| ids.contains(id)));
            ids = Some(in_order(named));
        }
        if !self.deleted.is_any() {
            // No payment is ever deleted.
            ids = Some(Vec::new());
        }
        let (created, updated) = (self.created.span(), self.updated.span());
        let is_exact = created.is_exact && updated.is_exact;
        let own = Narrowed { ids, created, updated, is_exact };
        let all = self.all.iter().map(Filter::narrowed).fold(own, Narrowed::and);
        let mut any: Vec<Narrowed> = self.any.iter().map(Filter::narrowed).collect();
        match any.len() {
            0 => all,
            1 => any.drain(..).fold(all, Narrowed::and),
            _ => all.and(either(&any)),
        }
    }
}

/// Ids of several kinds are all of them; beyond that, what fits one of several is looked at here.
fn either(any: &[Narrowed]) -> Narrowed {
    let ids: Option<Vec<&[PaymentId]>> = any.iter().map(Narrowed::ids_alone).collect();
    Narrowed {
        is_exact: ids.is_some(),
        ids: ids.map(|ids| in_order(ids.concat())),
        created: Span::ENDLESS,
        updated: Span::ENDLESS,
    }
}

fn in_order(mut ids: Vec<PaymentId>) -> Vec<PaymentId> {
    ids.sort_unstable();
    ids.dedup();
    ids
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
    let known = ["q", "id", "payment_session_id", "created_at", "updated_at", "deleted_at"];
    let read = |(_, query): (&str, Query)| {
        faults.unknown(query.names(), &known);
        Filter::read(&query, faults)
    };
    groups.into_iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn narrowed(query: &str) -> String {
        let mut faults = Faults::default();
        let filter = Filter::read(&Query::read(Some(query)), &mut faults);
        assert!(faults.result().is_ok(), "{query}");
        let Narrowed { ids, created, updated, is_exact } = filter.narrowed();
        let ids = match ids {
            None => "all".to_owned(),
            Some(ids) => {
                let bits: Vec<String> = ids.iter().map(|id| id.bits().to_string()).collect();
                format!("[{}]", bits.join(","))
            }
        };
        let span = |name: &str, span: Span| match (span.from_ms, span.until_ms) {
            (None, None) => String::new(),
            (from, until) => {
                let text = |ms: Option<i64>| ms.map(|ms| ms.to_string()).unwrap_or_default();
                format!(" {name} {}..{}", text(from), text(until))
            }
        };
        let exact = if is_exact { "" } else { ", and then some" };
        format!("{ids}{}{}{exact}", span("created", created), span("updated", updated))
    }

    #[test]
    fn what_the_store_can_tell_is_told_by_the_store() {
        let pay = |digit: u32| format!("pay_0000000000000000000000000{digit}");
        let (one, two, three) = (pay(1), pay(2), pay(3));
        let session = one.replace("pay_", "payses_");
        let later = "[$gte]=1970-01-01T00:00:01Z";
        for (query, told) in [
            (String::new(), "all"),
            (format!("id={two}"), "[2]"),
            (format!("id[]={three}&id[]={one}&id[]={three}&id[]=nonsense"), "[1,3]"),
            ("id=nonsense".to_owned(), "[]"),
            ("id=".to_owned(), "[]"),
            (format!("payment_session_id={session}"), "[1]"),
            (format!("id[]={one}&id[]={two}&payment_session_id={session}"), "[1]"),
            (format!("created_at{later}"), "all created 1000.."),
            (format!("updated_at{later}&id={one}"), "[1] updated 1000.."),
            (format!("deleted_at{later}"), "[]"),
            (format!("$and[0][id]={one}&$and[1][created_at]{later}"), "[1] created 1000.."),
            (format!("$and[0][id]={one}&$and[1][id]={two}"), "[]"),
            (format!("$or[0][id]={two}&$or[1][id][]={one}&$or[1][id][]={two}"), "[1,2]"),
            (format!("$or[0][created_at]{later}"), "all created 1000.."),
            (format!("$or[0][created_at]{later}&$or[1][id]={one}"), "all, and then some"),
            (format!("id={one}&$or[0][created_at]{later}&$or[1][id]={one}"), "[1], and then some"),
            ("created_at[$ne]=1970-01-02".to_owned(), "all, and then some"),
            (
                "created_at[$in][]=1970-01-01&created_at[$in][]=1970-01-02".to_owned(),
                "all created 0..86400001, and then some",
            ),
        ] {
            assert_eq!(narrowed(&query), told, "{query}");
        }
    }
}
