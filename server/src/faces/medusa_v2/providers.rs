//! `GET /admin/payments/payment-providers`: who can pay refunds here, under the names that payments
//! show them by.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::failure::{Failure, json_response};
use super::fields::{Column, Defaults, Entity, Related, Selection, render};
use super::list::{self, Page};
use super::query::Query;
use super::schema::{self, Faults};
use super::spelling::{provider_id, text};
use super::wire::read_fields;
use super::{Face, auth};
use crate::access::Caller;

/// Rows of a list whose length nobody asked for.
const LIMIT: usize = 20;

const KNOWN: [&str; 7] = ["limit", "offset", "order", "fields", "with_deleted", "id", "is_enabled"];
const ORDERS: [&str; 2] = ["id", "is_enabled"];

const DEFAULTS: Defaults = Defaults { fields: &["id", "is_enabled"], tail: &[] };

pub(super) async fn list(State(face): State<Face>, request: Request) -> Result<Response, Failure> {
    auth::actor(&face, Caller::of(&request)).await?;
    let query = Query::read(request.uri().query());
    let wanted = Wanted::read(&query)?;
    let mut found = all(&face);
    found.retain(|id| wanted.fits(id));
    if wanted.is_backwards {
        found.reverse();
    }
    let count = found.len();
    let shown = wanted.page.of(found).map(|id| render(&Provider(id), &wanted.selection));
    let rows: Vec<String> = shown.collect();
    let page = wanted.page.members(count);
    let body = format!("{{\"payment_providers\":[{}],{page}}}", rows.join(","));
    Ok(json_response(StatusCode::OK, body))
}

/// Every provider, in the order of their ids.
pub(super) fn all(face: &Face) -> Vec<String> {
    let mut ids: Vec<String> =
        face.desk.connectors().iter().map(|name| provider_id(name)).collect();
    ids.sort_unstable();
    ids
}

/// What is asked for.
pub(super) struct Wanted<'a> {
    page: Page,
    selection: Selection,
    ids: Option<Vec<&'a str>>,
    is_enabled: Option<bool>,
    is_backwards: bool,
}

impl<'a> Wanted<'a> {
    pub(super) fn read(query: &'a Query) -> Result<Wanted<'a>, Failure> {
        list::check_depth(query)?;
        let mut faults = Faults::default();
        let page = Page::read(query, LIMIT, &mut faults);
        let order = list::order(query, &ORDERS, &mut faults);
        let fields = schema::parameter(query, "fields", &mut faults);
        let ids = list::ids(query, "id", &mut faults);
        let enabled = query.value("is_enabled").map(super::query::Value::script_text);
        let is_enabled = match enabled.as_deref() {
            None => None,
            Some("true") => Some(true),
            Some("false") => Some(false),
            Some(_) => {
                faults.other("Invalid input".to_owned());
                None
            }
        };
        list::with_deleted(query, &mut faults);
        faults.unknown(query.names(), &KNOWN);
        faults.result()?;
        let is_backwards = order == Some(("id", true));
        let selection = read_fields(fields, &DEFAULTS)?;
        Ok(Wanted { page, selection, ids, is_enabled, is_backwards })
    }

    /// All are enabled.
    fn fits(&self, id: &str) -> bool {
        let is_named = self.ids.as_ref().is_none_or(|ids| ids.contains(&id));
        is_named && self.is_enabled != Some(false)
    }
}

struct Provider(String);

impl Entity for Provider {
    fn columns(&self) -> &'static [Column] {
        &[Column::Scalar("id"), Column::Scalar("is_enabled")]
    }

    fn scalar(&self, name: &str) -> String {
        if name == "id" { text(&self.0) } else { "true".to_owned() }
    }

    fn related(&self, _: &str) -> Related<'_> {
        Related::One(None)
    }
}
