//! Marking a collection as paid: the money was taken elsewhere, and is on the books from now on.
//!
//! That registers a payment on the connector without a PSP, fully captured. It has the collection's
//! id, so a collection is never paid twice, whoever retries. First the mark is written down, then the
//! payment is registered with the mark's time and actor: a power cut in between is made up for by the
//! next one who marks it, and what is marked can no longer be deleted.

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use requite_core::id::{CaptureId, LegId, MerchantId};
use requite_engine::command::{NewLeg, Registered, Registration, Trace};
use requite_engine::key::{Key, digest};
use requite_engine::read::{CollectionView, Mark};

use super::collection::COLLECTION_DEFAULTS;
use super::collections::{Found, found, required, shown, unknown};
use super::failure::{Failure, json_response};
use super::repeats::key;
use super::schema::{self, Faults};
use super::spelling::{MANUAL, SYSTEM_PROVIDER};
use super::wire::{BODY_MAX, Body, selection};
use super::{Face, auth, providers};
use crate::access::{Actor, Caller};
use crate::desk::Unseen;
use crate::json::Json;
use crate::keyed::{confirmed, replayed};

/// The newest event of a payment that was registered with one capture.
const REGISTERED: u32 = 2;

const ONLY_NOT_PAID: &str = "Can only mark 'not_paid' payment collection as paid";
const ONLY_BY_HAND: &str = "Only payments of the provider pp_system_default can be marked as paid";

/// `POST /admin/payment-collections/{id}/mark-as-paid`
pub(super) async fn mark_as_paid(
    State(face): State<Face>,
    Path(written): Path<String>,
    mut request: Request,
) -> Result<Response, Failure> {
    let body = Body::take(&mut request, BODY_MAX).await?;
    let json = body.json()?;
    let actor = auth::actor(&face, Caller::of(&request)).await?;
    let order = paid_order(&face, &body, json)?;
    let selection = selection(request.uri().query(), &COLLECTION_DEFAULTS)?;
    let scope = ["mark-as-paid", written.as_str()];
    let key = key(request.headers(), &scope, json)?;
    let row = marked(&face, &actor, &written, &order).await?;
    let wish = registration(&face, actor.merchant, &row, key);
    let reply = face.desk.register(wish).await.map_err(Failure::Registration)?;
    if matches!(reply.registered, Registered::Differs(_)) {
        return Err(Failure::NotAllowed(ONLY_NOT_PAID));
    }
    let as_of = reply.as_of.or(Some(REGISTERED));
    let view = face.desk.payment_after(actor.merchant, row.id, as_of).await;
    let view = view.map_err(|Unseen| Failure::Unshown)?;
    let response = json_response(StatusCode::OK, shown(&row, Some(&view), &selection));
    Ok(if reply.is_replay { replayed(response) } else { response })
}

/// The order that a body says was paid. By hand, that is by the provider without a PSP.
fn paid_order(face: &Face, body: &Body, json: Option<Json<'_>>) -> Result<String, Failure> {
    let object = body.object(json)?;
    let mut faults = Faults::default();
    let order = required(object.as_ref(), "order_id", &mut faults);
    let provider =
        object.as_ref().and_then(|object| schema::text(object, "provider_id", &mut faults));
    unknown(object.as_ref(), &["order_id", "provider_id"], &mut faults);
    faults.result()?;
    match provider {
        Some(provider) if !providers::all(face).contains(&provider) => {
            Err(Failure::ProviderUnknown(provider))
        }
        Some(provider) if provider != SYSTEM_PROVIDER => Err(Failure::NotAllowed(ONLY_BY_HAND)),
        Some(_) | None => Ok(order),
    }
}

/// The collection with its mark, which this request may have made.
async fn marked(
    face: &Face,
    actor: &Actor,
    written: &str,
    order: &str,
) -> Result<CollectionView, Failure> {
    let merchant = actor.merchant;
    let row = match found(face, merchant, written).await? {
        Found::Asked(row) | Found::Paid(Some(row)) => row,
        Found::Paid(None) => return Err(Failure::NotAllowed(ONLY_NOT_PAID)),
    };
    if row.order != order {
        return Err(Failure::OrderUnknown(order.to_owned()));
    }
    let (id, mark) = (row.id, Mark { by: actor.name.clone(), at_ms: face.desk.now_ms() });
    let write = face.desk.write(move |registry| registry.mark_collection(merchant, id, &mark));
    let marked = confirmed(write.await).map_err(Failure::Write)?.flatten();
    marked.ok_or_else(|| Failure::CollectionUnknown(written.to_owned()))
}

/// The payment of a marked collection. Each wish has a fingerprint of its own, so that what another
/// one has registered differs from it: the second to mark a collection is refused, and not bound to
/// the first one's payment by its key.
fn registration(
    face: &Face,
    merchant: MerchantId,
    row: &CollectionView,
    key: Option<Key>,
) -> Registration {
    let next = || face.desk.ids().next();
    let wish = key.map_or_else(|| next().to_be_bytes(), |key| key.hash);
    let at_ms = face.desk.now_ms();
    let (by, marked_at_ms) = match &row.mark {
        Some(mark) => (mark.by.clone(), mark.at_ms),
        None => (String::new(), at_ms),
    };
    Registration {
        merchant,
        payment: row.id,
        currency: row.currency,
        primary: NewLeg { id: LegId::new(next()), amount: row.amount },
        gift_cards: Vec::new(),
        captures: vec![(CaptureId::new(next()), row.amount)],
        connector: MANUAL.to_owned(),
        connector_payment: None,
        connector_settings: None,
        external_identifier: None,
        order: Some(row.order.clone()),
        customer: None,
        description: None,
        aliases: Vec::new(),
        profile: "{}".to_owned(),
        fingerprint: digest(&[b"payment-collection", &wish]),
        created_at_ms: marked_at_ms,
        cancelled_at_ms: None,
        decline: None,
        trace: Some(Trace { face: auth::FACE.to_owned(), ..Trace::default() }),
        keys: key.into_iter().collect(),
        actor: by,
        at_ms,
    }
}
