//! Lists of payments and refunds, page by page.
//!
//! A page ends where the next begins: `next_cursor` names the last item shown, so that nothing is
//! seen twice or left out while new items come in. Cursors are opaque; `null` is the end.

use axum::extract::{Path, Query, Request, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use data_encoding::BASE64URL_NOPAD;
use requite_core::id::{MerchantId, PaymentId, RefundId};
use requite_core::refund::Status;
use requite_engine::read::{PaymentFilter, RefundFilter};

use super::failure::Failure;
use super::view::{self, Shown};
use crate::access::Caller;
use crate::desk::Desk;
use crate::time;

/// Items on a page where none are asked for.
const LIMIT: u32 = 20;
/// Most items on a page.
const LIMIT_MAX: u32 = 100;
/// Most statuses that one filter names.
const STATUSES_MAX: usize = 13;

/// The parameters of a query; each is taken at most once, `status` as often as wanted.
struct Parameters(Vec<(String, String)>);

impl Parameters {
    fn read(uri: &Uri, known: &[&str]) -> Result<Parameters, Failure> {
        let Ok(Query(pairs)) = Query::<Vec<(String, String)>>::try_from_uri(uri) else {
            return Err(Failure::parameter("", "list is malformed"));
        };
        if let Some((name, _)) = pairs.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            let rule = format!("is not known; there are {}", known.join(", "));
            return Err(Failure::parameter(name, &rule));
        }
        let parameters = Parameters(pairs);
        let is_repeated = |name: &&&str| **name != "status" && parameters.all(name).count() > 1;
        match known.iter().find(is_repeated) {
            Some(name) => Err(Failure::parameter(name, "is given twice; give it once")),
            None => Ok(parameters),
        }
    }

    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.0.iter().filter(move |(given, _)| given == name);
        named.map(|(_, value)| value.as_str())
    }

    fn one(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    fn text(&self, name: &str) -> Result<Option<String>, Failure> {
        match self.one(name) {
            Some(text) if text.is_empty() || text.len() > 255 || text.contains('\0') => {
                Err(Failure::parameter(name, "must be text of 1 to 255 bytes, without NUL"))
            }
            other => Ok(other.map(str::to_owned)),
        }
    }

    fn time(&self, name: &str) -> Result<Option<i64>, Failure> {
        let rule = "must be a time as RFC 3339 writes it, such as 2024-09-15T12:27:45Z \
                    (a + is written %2B in a query)";
        let Some(text) = self.one(name) else {
            return Ok(None);
        };
        let ms = time::parse(text).ok_or_else(|| Failure::parameter(name, rule))?;
        Ok(Some(ms))
    }

    fn amount(&self, name: &str) -> Result<Option<i64>, Failure> {
        let Some(text) = self.one(name) else {
            return Ok(None);
        };
        let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let units: Option<i64> = is_digits.then(|| text.parse().ok()).flatten();
        let rule = "must be a whole number of minor units";
        units.map(Some).ok_or_else(|| Failure::parameter(name, rule))
    }

    fn limit(&self) -> Result<u32, Failure> {
        let Some(text) = self.one("limit") else {
            return Ok(LIMIT);
        };
        let limit: Option<u32> = text.parse().ok();
        let limit = limit.filter(|limit| (1..=LIMIT_MAX).contains(limit));
        let rule = format!("must be a whole number from 1 to {LIMIT_MAX}");
        limit.ok_or_else(|| Failure::parameter("limit", &rule))
    }

    fn is_newest_first(&self) -> Result<bool, Failure> {
        match self.one("order") {
            None | Some("newest_first") => Ok(true),
            Some("oldest_first") => Ok(false),
            Some(_) => {
                let rule = "must be newest_first or oldest_first";
                Err(Failure::parameter("order", rule))
            }
        }
    }

    fn cursor(&self) -> Result<Option<u128>, Failure> {
        let Some(text) = self.one("cursor") else {
            return Ok(None);
        };
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok();
        let bits = bytes.and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
        let rule = "must be a next_cursor as it was given";
        bits.map(|bits| Some(u128::from_be_bytes(bits)))
            .ok_or_else(|| Failure::parameter("cursor", rule))
    }

    fn statuses(&self) -> Result<Vec<Status>, Failure> {
        let words = self.all("status").flat_map(|words| words.split(','));
        let words: Vec<&str> = words.take(STATUSES_MAX + 1).collect();
        let statuses: Option<Vec<Status>> = words.into_iter().map(Status::from_word).collect();
        let statuses = statuses.filter(|statuses| statuses.len() <= STATUSES_MAX);
        let words: Vec<&str> = Status::LISTED.iter().map(|(_, _, word)| *word).collect();
        let rule = format!("must be of {}", words.join(", "));
        statuses.ok_or_else(|| Failure::parameter("status", &rule))
    }
}

/// A page of JSON texts with their ids; `found` may hold one more than `limit`, which is not shown.
fn page(found: Vec<(u128, String)>, limit: u32) -> Response {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let is_more = found.len() > limit;
    let last = limit.checked_sub(1).and_then(|at| found.get(at));
    let cursor = last.filter(|_| is_more);
    let cursor =
        cursor.map(|(bits, _)| bits).map(|bits| BASE64URL_NOPAD.encode(&bits.to_be_bytes()));
    let items = view::list(found.into_iter().take(limit).map(|(_, text)| text));
    let text = Shown::new().raw("items", &items).member("next_cursor", cursor).text();
    super::json_answer(StatusCode::OK, text)
}

pub(crate) async fn payments(
    State(desk): State<Desk>,
    request: Request,
) -> Result<Response, Failure> {
    let actor = super::actor(&desk, Caller::of(&request)).await?;
    let known = [
        "external_identifier",
        "order_reference",
        "created_from",
        "created_until",
        "order",
        "cursor",
        "limit",
    ];
    let parameters = Parameters::read(request.uri(), &known)?;
    let limit = parameters.limit()?;
    let filter = PaymentFilter {
        external_identifier: parameters.text("external_identifier")?,
        order: parameters.text("order_reference")?,
        created_from_ms: parameters.time("created_from")?,
        created_until_ms: parameters.time("created_until")?,
        after: parameters.cursor()?.map(|bits| (PaymentId::new(bits), 0)),
        newest_first: parameters.is_newest_first()?,
        limit: limit.saturating_add(1),
        ..PaymentFilter::default()
    };
    let found = desk.read(move |reads| reads.payments(actor.merchant, &filter)).await?;
    let shown = found.iter().map(|view| (view.id.bits(), view::payment(view)));
    Ok(page(shown.collect(), limit))
}

pub(crate) async fn refunds(
    State(desk): State<Desk>,
    request: Request,
) -> Result<Response, Failure> {
    let actor = super::actor(&desk, Caller::of(&request)).await?;
    let mut known = vec!["payment"];
    known.extend(REFUND_PARAMETERS);
    let parameters = Parameters::read(request.uri(), &known)?;
    let payment = match parameters.text("payment")? {
        None => None,
        Some(text) => match super::named(&desk, actor.merchant, &text).await? {
            Some(payment) => Some(payment),
            None => return Ok(page(Vec::new(), LIMIT)),
        },
    };
    refund_page(&desk, actor.merchant, payment, &parameters).await
}

pub(crate) async fn refunds_of(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    let actor = super::actor(&desk, Caller::of(&request)).await?;
    let parameters = Parameters::read(request.uri(), &REFUND_PARAMETERS)?;
    let payment = super::payment_of(&desk, actor.merchant, &id).await?;
    if desk.payment(actor.merchant, payment, None).await?.is_none() {
        return Err(Failure::not_found("payment"));
    }
    refund_page(&desk, actor.merchant, Some(payment), &parameters).await
}

const REFUND_PARAMETERS: [&str; 8] = [
    "status",
    "created_from",
    "created_until",
    "amount_from",
    "amount_until",
    "order",
    "cursor",
    "limit",
];

async fn refund_page(
    desk: &Desk,
    merchant: MerchantId,
    payment: Option<PaymentId>,
    parameters: &Parameters,
) -> Result<Response, Failure> {
    let limit = parameters.limit()?;
    let filter = RefundFilter {
        payment,
        customer: None,
        statuses: parameters.statuses()?,
        asked_from_ms: parameters.time("created_from")?,
        asked_until_ms: parameters.time("created_until")?,
        amount_from: parameters.amount("amount_from")?,
        amount_until: parameters.amount("amount_until")?,
        after: parameters.cursor()?.map(|bits| (RefundId::new(bits), 0)),
        newest_first: parameters.is_newest_first()?,
        limit: limit.saturating_add(1),
        ..RefundFilter::default()
    };
    let found = desk.read(move |reads| reads.refunds(merchant, &filter)).await?;
    let shown = found.iter().map(|view| (view.id.bits(), view::refund(view)));
    Ok(page(shown.collect(), limit))
}
