//! Stripe's wire over [`Books`](super::books::Books): which operation a request asks for, and what it does.
//!
//! Parameters of refunds are checked as strictly as Stripe's: an unknown one is a 400. Of charges and payment
//! intents those are read that matter here, and the others let pass.
//!
//! - [`operation`]: method and path to an operation and the id in the path.
//! - [`act`]: carries it out.
//! - [`show`]: objects as Stripe shows them; [`failure`]: its errors.

use serde_json::Value;

use super::Simulator;
use super::form::Form;
use failure::Failure;

mod charges;
pub(crate) mod failure;
mod notices;
mod refunds;
mod show;

pub(crate) use notices::{disputed, events};

/// The version that events are shown in.
pub(crate) const VERSION: &str = "2026-10-28.endive";
/// The one account that there is.
pub(crate) const ACCOUNT: &str = "acct_1Requite0PSP0Simulator";

/// The operations, by the words that scripts use.
pub(crate) const OPERATIONS: [&str; 23] = [
    "charge.create",
    "charge.retrieve",
    "charge.list",
    "charge.capture",
    "intent.create",
    "intent.retrieve",
    "intent.list",
    "intent.confirm",
    "intent.capture",
    "intent.cancel",
    "refund.create",
    "refund.retrieve",
    "refund.list",
    "refund.update",
    "refund.cancel",
    "event.retrieve",
    "event.list",
    "endpoint.create",
    "endpoint.retrieve",
    "endpoint.list",
    "endpoint.delete",
    "balance.retrieve",
    "account.retrieve",
];

/// What a path asks for: the operation's word and the id in the path.
pub(crate) fn operation<'a>(method: &str, path: &'a str) -> Option<(&'static str, &'a str)> {
    let mut parts = path.strip_prefix("/v1/")?.trim_end_matches('/').split('/');
    let noun = parts.next()?;
    let (id, verb) = (parts.next(), parts.next());
    if parts.next().is_some() {
        return None;
    }
    let word = match (noun, method, id, verb) {
        ("charges", "POST", None, None) => "charge.create",
        ("charges", "GET", None, None) => "charge.list",
        ("charges", "GET", Some(_), None) => "charge.retrieve",
        ("charges", "POST", Some(_), Some("capture")) => "charge.capture",
        ("payment_intents", "POST", None, None) => "intent.create",
        ("payment_intents", "GET", None, None) => "intent.list",
        ("payment_intents", "GET", Some(_), None) => "intent.retrieve",
        ("payment_intents", "POST", Some(_), Some("confirm")) => "intent.confirm",
        ("payment_intents", "POST", Some(_), Some("capture")) => "intent.capture",
        ("payment_intents", "POST", Some(_), Some("cancel")) => "intent.cancel",
        ("refunds", "POST", None, None) => "refund.create",
        ("refunds", "GET", None, None) => "refund.list",
        ("refunds", "GET", Some(_), None) => "refund.retrieve",
        ("refunds", "POST", Some(_), None) => "refund.update",
        ("refunds", "POST", Some(_), Some("cancel")) => "refund.cancel",
        ("events", "GET", None, None) => "event.list",
        ("events", "GET", Some(_), None) => "event.retrieve",
        ("webhook_endpoints", "POST", None, None) => "endpoint.create",
        ("webhook_endpoints", "GET", None, None) => "endpoint.list",
        ("webhook_endpoints", "GET", Some(_), None) => "endpoint.retrieve",
        ("webhook_endpoints", "DELETE", Some(_), None) => "endpoint.delete",
        ("balance", "GET", None, None) => "balance.retrieve",
        ("account", "GET", None, None) => "account.retrieve",
        _ => return None,
    };
    Some((word, id.unwrap_or_default()))
}

/// One request, understood.
#[derive(Clone, Debug)]
pub(crate) struct Call<'a> {
    pub operation: &'static str,
    /// From the path.
    pub id: &'a str,
    pub form: &'a Form,
    pub key: Option<&'a str>,
    pub now_ms: i64,
    /// What becomes of the refund that is made, if a script says so.
    pub fate: Vec<super::books::Step>,
}

impl Call<'_> {
    /// The charge and the intent that it is about, for the rules of a script.
    pub(crate) fn subjects<'b>(&'b self, simulator: &'b Simulator) -> [Option<&'b str>; 2] {
        let books = &simulator.books;
        let of_refund = books.refunds.get(self.id);
        let charge = match self.operation.split('.').next() {
            Some("charge") => Some(self.id),
            _ => self.form.one("charge").or(of_refund.map(|refund| refund.charge.as_str())),
        };
        let intent = match self.operation.split('.').next() {
            Some("intent") => Some(self.id),
            _ => self.form.one("payment_intent"),
        };
        let known = charge.and_then(|id| books.charges.get(id));
        [charge, intent.or(known.and_then(|charge| charge.intent.as_deref()))]
    }
}

/// Carries a request out.
pub(crate) fn act(simulator: &mut Simulator, call: &Call<'_>) -> Result<Value, Failure> {
    match call.operation {
        "charge.create" => charges::create(simulator, call),
        "charge.retrieve" => charges::retrieve(simulator, call),
        "charge.list" => charges::list(simulator, call),
        "charge.capture" => charges::capture(simulator, call),
        "intent.create" => charges::create_intent(simulator, call),
        "intent.retrieve" => charges::retrieve_intent(simulator, call),
        "intent.list" => charges::list_intents(simulator, call),
        "intent.confirm" => charges::confirm_intent(simulator, call),
        "intent.capture" => charges::capture_intent(simulator, call),
        "intent.cancel" => charges::cancel_intent(simulator, call),
        "refund.create" => refunds::create(simulator, call),
        "refund.retrieve" => refunds::retrieve(simulator, call),
        "refund.list" => refunds::list(simulator, call),
        "refund.update" => refunds::update(simulator, call),
        "refund.cancel" => refunds::cancel(simulator, call),
        "balance.retrieve" => Ok(show::balance(&simulator.books)),
        "account.retrieve" => Ok(show::account()),
        _ => notices::act(simulator, call),
    }
}

/// Most objects on one page of a list.
const PAGE_MAX: usize = 100;
/// Objects on a page that nobody gave a size.
const PAGE: usize = 10;

/// One page of a list, of ids that stand newest first.
fn page<'a>(
    ids: impl Iterator<Item = &'a str>,
    form: &Form,
    url: &str,
    show: impl Fn(&str) -> Option<Value>,
) -> Result<Value, Failure> {
    let limit = match form.one("limit") {
        None => PAGE,
        Some(text) => match text.parse::<usize>() {
            Ok(limit) if (1..=PAGE_MAX).contains(&limit) => limit,
            _ => return Err(Failure::integer("limit", text)),
        },
    };
    let mut ids: Vec<&str> = ids.collect();
    let place = |id: &str, ids: &[&str]| {
        ids.iter().position(|listed| *listed == id).ok_or_else(|| Failure::missing("object", id))
    };
    let mut is_backwards = false;
    if let Some(after) = form.one("starting_after") {
        let at = place(after, &ids)?;
        ids.drain(..=at);
    } else if let Some(before) = form.one("ending_before") {
        let at = place(before, &ids)?;
        ids.truncate(at);
        is_backwards = true;
    }
    let surplus = ids.len().saturating_sub(limit);
    if is_backwards {
        ids.drain(..surplus);
    } else {
        ids.truncate(limit);
    }
    let data: Vec<Value> = ids.into_iter().filter_map(show).collect();
    Ok(serde_json::json!({"object": "list", "data": data, "has_more": surplus > 0, "url": url}))
}

/// Whether something of a time is in the times that `created[gte]` and its like ask for.
fn is_created_as(form: &Form, at_ms: i64) -> bool {
    let at_s = at_ms.div_euclid(1_000);
    form.members("created").all(|(compared, text)| match (compared, text.parse::<i64>()) {
        ("gte", Ok(bound)) => at_s >= bound,
        ("gt", Ok(bound)) => at_s > bound,
        ("lte", Ok(bound)) => at_s <= bound,
        ("lt", Ok(bound)) => at_s < bound,
        _ => false,
    })
}

/// A positive amount in Stripe's unit, if one is given.
fn amount(form: &Form) -> Result<Option<i64>, Failure> {
    let Some(text) = form.one("amount") else {
        return Ok(None);
    };
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<i64>() {
        Ok(amount) if is_number && amount > AMOUNT_MAX => Err(Failure::amount_too_large()),
        Ok(amount) if is_number && amount > 0 => Ok(Some(amount)),
        Ok(amount) if amount <= 0 => Err(Failure::not_positive("amount")),
        _ => Err(Failure::integer("amount", text)),
    }
}

/// Most that Stripe takes at once: eight digits.
const AMOUNT_MAX: i64 = 99_999_999;
