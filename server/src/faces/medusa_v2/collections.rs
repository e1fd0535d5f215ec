//! Payment collections: an amount that is asked for an order. Nothing of it is money; being paid is
//! [`super::mark_as_paid`].
//!
//! An order exists here when a payment was registered with its id (decision B18), and its currency is
//! that payment's.

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use requite_core::currency::Currency;
use requite_core::decide::Amount;
use requite_core::id::{MerchantId, PaymentId};
use requite_core::money::{Minor, TooLarge};
use requite_engine::read::{CollectionSession, CollectionView, PaymentView};

use super::collection::{COLLECTION_DEFAULTS, Collection};
use super::failure::{Failure, json_response};
use super::fields::{Selection, render};
use super::repeats::{keyed, made, told};
use super::schema::{self, Faults};
use super::spelling::{collection_id, text};
use super::wire::{BODY_MAX, Body, amount, selection};
use super::{Face, auth, providers};
use crate::access::Caller;
use crate::json::{Json, Object};
use crate::keyed::{Change, confirmed};

const DELETES_NOT_PAID: &str = "Can only delete payment collections where status is not_paid";
const OPENS_NOT_PAID: &str =
    "Can only add sessions to payment collections where status is not_paid";

/// `POST /admin/payment-collections`
pub(super) async fn create(
    State(face): State<Face>,
    mut request: Request,
) -> Result<Response, Failure> {
    let body = Body::take(&mut request, BODY_MAX).await?;
    let json = body.json()?;
    let actor = auth::actor(&face, Caller::of(&request)).await?;
    let (order, asked) = asked(&body, json)?;
    let selection = selection(request.uri().query(), &COLLECTION_DEFAULTS)?;
    let keyed = keyed(&face, &actor, request.headers(), &["payment-collections"], json)?;
    let done = keyed.once(&face.desk, async || {
        let currency = order_currency(&face, actor.merchant, &order).await?;
        let at_ms = face.desk.now_ms();
        let row = CollectionView {
            id: PaymentId::new(face.desk.ids().next()),
            amount: units(&asked, currency)?,
            order,
            currency,
            session: None,
            created_at_ms: at_ms,
            updated_at_ms: at_ms,
            mark: None,
        };
        let body = shown(&row, None, &selection);
        let answer = keyed.answer(row.id.bits(), Some(&body));
        let merchant = actor.merchant;
        let write = face
            .desk
            .write(move |registry| registry.create_collection(merchant, &row, answer.as_ref()));
        made(write.await, body)
    });
    done.await.map(told)
}

/// What a body asks for: the order and the amount.
pub(super) fn asked(body: &Body, json: Option<Json<'_>>) -> Result<(String, Amount), Failure> {
    let object = body.object(json)?;
    let mut faults = Faults::default();
    let order = required(object.as_ref(), "order_id", &mut faults);
    let wanted = object.as_ref().and_then(|object| object.member("amount"));
    let wanted = match wanted {
        Some(value) => amount(value, &mut faults),
        None => {
            faults.missing("amount");
            None
        }
    };
    unknown(object.as_ref(), &["order_id", "amount"], &mut faults);
    faults.result()?;
    Ok((order, wanted.unwrap_or(Amount::Whole)))
}

pub(super) fn required(object: Option<&Object<'_>>, name: &str, faults: &mut Faults) -> String {
    match object.filter(|object| object.member(name).is_some()) {
        Some(object) => schema::text(object, name, faults).unwrap_or_default(),
        None => {
            faults.missing(name);
            String::new()
        }
    }
}

pub(super) fn unknown(object: Option<&Object<'_>>, known: &[&str], faults: &mut Faults) {
    let members = object.into_iter().flat_map(Object::members);
    faults.unknown(members.map(|member| member.name.as_str()), known);
}

async fn order_currency(
    face: &Face,
    merchant: MerchantId,
    order: &str,
) -> Result<Currency, Failure> {
    let named = order.to_owned();
    let found = face.desk.read(move |reads| reads.order_currency(merchant, &named)).await;
    found.map_err(Failure::Read)?.ok_or_else(|| Failure::OrderUnknown(order.to_owned()))
}

fn units(asked: &Amount, currency: Currency) -> Result<Minor, Failure> {
    let Amount::Major(decimal) = asked else {
        unreachable!("the schema wants a number, which is in major units");
    };
    match decimal.minor(currency) {
        Ok(Some(amount)) => Ok(amount),
        Ok(None) => Err(Failure::TooManyDecimals(currency)),
        Err(TooLarge) => {
            let most = requite_core::money::MINOR_MAX;
            Err(Failure::Invalid(format!(
                "Invalid request: Value for field 'amount' too large, expected at most {most} \
                 minor units"
            )))
        }
    }
}

/// `POST /admin/payment-collections/{id}/payment-sessions`
///
/// A collection has one pending session; another one takes its place.
pub(super) async fn open_session(
    State(face): State<Face>,
    Path(written): Path<String>,
    mut request: Request,
) -> Result<Response, Failure> {
    let body = Body::take(&mut request, BODY_MAX).await?;
    let json = body.json()?;
    let actor = auth::actor(&face, Caller::of(&request)).await?;
    let provider = chosen(&body, json)?;
    let selection = selection(request.uri().query(), &COLLECTION_DEFAULTS)?;
    let scope = ["payment-sessions", written.as_str()];
    let keyed = keyed(&face, &actor, request.headers(), &scope, json)?;
    let done = keyed.once(&face.desk, async || {
        let mut row = open(&face, actor.merchant, &written, OPENS_NOT_PAID).await?;
        if !providers::all(&face).contains(&provider) {
            return Err(Failure::ProviderUnknown(provider));
        }
        let at_ms = face.desk.now_ms();
        let session = CollectionSession { provider, at_ms };
        row.session = Some(session.clone());
        row.updated_at_ms = at_ms;
        let body = shown(&row, None, &selection);
        let answer = keyed.answer(row.id.bits(), Some(&body));
        let merchant = actor.merchant;
        let write = face.desk.write(move |registry| {
            registry.open_collection_session(merchant, row.id, &session, answer.as_ref())
        });
        match confirmed(write.await).map_err(Failure::Write)? {
            None => Ok(Change::MadeBefore),
            Some(true) => Ok(Change::Made(body)),
            Some(false) => Err(Failure::NotAllowed(OPENS_NOT_PAID)),
        }
    });
    done.await.map(told)
}

/// The provider that a body chooses. What else it says of the session (`data`) is for providers that
/// take money, of which there are none here.
pub(super) fn chosen(body: &Body, json: Option<Json<'_>>) -> Result<String, Failure> {
    let object = body.object(json)?;
    let mut faults = Faults::default();
    let provider = required(object.as_ref(), "provider_id", &mut faults);
    let held = object.as_ref().and_then(|object| object.member("data"));
    if let Some(held) = held.filter(|held| held.object().is_none()) {
        faults.wrong_type("data", "object", &schema::script_text(held));
    }
    unknown(object.as_ref(), &["provider_id", "data"], &mut faults);
    faults.result()?;
    Ok(provider)
}

/// A collection that is neither marked nor paid.
///
/// # Errors
/// 404, or 400 with `otherwise`.
async fn open(
    face: &Face,
    merchant: MerchantId,
    written: &str,
    otherwise: &'static str,
) -> Result<CollectionView, Failure> {
    match found(face, merchant, written).await? {
        Found::Asked(row) if row.mark.is_none() => Ok(row),
        Found::Asked(_) | Found::Paid(_) => Err(Failure::NotAllowed(otherwise)),
    }
}

/// What a collection's id names.
pub(super) enum Found {
    /// Asked for, and not paid. It may be marked.
    Asked(CollectionView),
    /// Its payment is there. `None`: the payment came first, and its collection is only how this
    /// dialect shows it.
    Paid(Option<CollectionView>),
}

pub(super) async fn found(
    face: &Face,
    merchant: MerchantId,
    written: &str,
) -> Result<Found, Failure> {
    let unknown = || Failure::CollectionUnknown(written.to_owned());
    let id = collection_id(written).ok_or_else(unknown)?;
    let read = face.desk.read(move |reads| {
        Ok((reads.collection(merchant, id)?, reads.payment(merchant, id, None)?))
    });
    match read.await.map_err(Failure::Read)? {
        (row, Some(_)) => Ok(Found::Paid(row)),
        (Some(row), None) => Ok(Found::Asked(row)),
        (None, None) => Err(unknown()),
    }
}

pub(super) fn shown(
    row: &CollectionView,
    payment: Option<&PaymentView>,
    selection: &Selection,
) -> String {
    let collection = render(&Collection::new(row, payment), selection);
    format!("{{\"payment_collection\":{collection}}}")
}

/// `DELETE /admin/payment-collections/{id}`
pub(super) async fn delete(
    State(face): State<Face>,
    Path(written): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    let actor = auth::actor(&face, Caller::of(&request)).await?;
    let row = open(&face, actor.merchant, &written, DELETES_NOT_PAID).await?;
    let write = face.desk.write(move |registry| registry.delete_collection(actor.merchant, row.id));
    match confirmed(write.await).map_err(Failure::Write)? {
        Some(true) => {
            let id = text(&written);
            let body =
                format!("{{\"id\":{id},\"object\":\"payment-collection\",\"deleted\":true}}");
            Ok(json_response(StatusCode::OK, body))
        }
        // Deleted or marked since it was read.
        Some(false) | None => {
            open(&face, actor.merchant, &written, DELETES_NOT_PAID).await?;
            Err(Failure::Busy)
        }
    }
}
