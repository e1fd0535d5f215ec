//! `POST /v1/orders/authorize`, `/purchase` and `/verify`: an order is made by putting a payment on
//! the books. The sandbox takes the card; it says yes or no at once, and a no is an order too.
//!
//! `order_id` is the idempotency key and becomes the order's id: the same wish again is answered with
//! the present order, another wish under it is refused. What a card is, is part of a wish as far as it
//! is kept, so that nothing on the books can be turned back into its number.

use axum::extract::{Request, State};
use axum::response::Response;
use requite_core::id::{CaptureId, LegId, PaymentId, uuid_text};
use requite_engine::command::{CommandError, NewLeg, Registered, Registration, Trace};
use requite_engine::key::digest;

use super::failure::Failure;
use super::wish::{self, Kind, Wish};
use super::{auth, order, wire};
use crate::access::{Actor, Caller};
use crate::connectors::sandbox;
use crate::desk::{Desk, key, replay_headers};

pub(super) async fn authorize(
    State(desk): State<Desk>,
    request: Request,
) -> Result<Response, Failure> {
    create(desk, request, Kind::Authorize).await
}

pub(super) async fn purchase(
    State(desk): State<Desk>,
    request: Request,
) -> Result<Response, Failure> {
    create(desk, request, Kind::Purchase).await
}

pub(super) async fn verify(
    State(desk): State<Desk>,
    request: Request,
) -> Result<Response, Failure> {
    create(desk, request, Kind::Verify).await
}

async fn create(desk: Desk, mut request: Request, kind: Kind) -> Result<Response, Failure> {
    let actor = auth::actor(&desk, Caller::of(&request)).await?;
    if desk.settings().mpg_connector != sandbox::NAME {
        return Err(Failure::NoCards);
    }
    let body = wire::body(&mut request).await?;
    let wish = wish::read(&body, request.headers(), kind, desk.now_ms())?;
    drop(body);
    let registration = registration(&desk, &actor, kind, &wish);
    let reply = desk.register(registration).await.map_err(|error| match error {
        CommandError::KeyReused => Failure::KeyReused(&["idempotency_key"]),
        error => Failure::Command(error),
    })?;
    let (payment, is_repeat) = match reply.registered {
        Registered::Created(payment) => (payment, reply.is_replay),
        Registered::Present(payment) => (payment, true),
        Registered::Differs(_) => return Err(Failure::KeyReused(&["order_id"])),
    };
    let shown = (payment, reply.as_of);
    order::answer(&desk, actor.merchant, shown, replay_headers(is_repeat)).await
}

fn registration(desk: &Desk, actor: &Actor, kind: Kind, wish: &Wish) -> Registration {
    let payment = wish.order_id.unwrap_or_else(|| desk.ids().next());
    let at_ms = desk.now_ms();
    let decline = wish.source.card.as_ref().and_then(|card| card.decline.clone());
    let captures = (kind == Kind::Purchase && decline.is_none())
        .then(|| (CaptureId::new(desk.ids().next()), wish.amount));
    let auth_code = decline.is_none().then(|| sandbox::approval_code(payment));
    let fingerprint = digest(&[b"mpg", kind.word().as_bytes(), wish.meaning.as_bytes()]);
    let keys = wish.idempotency_key.as_deref().map(|text| {
        let order = wish.order_id.map(uuid_text).unwrap_or_default();
        key("mpg", &["idempotency_key", kind.word()], text, &[&order, &wish.meaning])
    });
    Registration {
        merchant: actor.merchant,
        payment: PaymentId::new(payment),
        currency: wish.currency,
        primary: NewLeg { id: LegId::new(desk.ids().next()), amount: wish.amount },
        gift_cards: Vec::new(),
        captures: captures.into_iter().collect(),
        connector: sandbox::NAME.to_owned(),
        connector_payment: None,
        connector_settings: None,
        external_identifier: None,
        order: None,
        customer: None,
        description: wish.description.clone(),
        aliases: Vec::new(),
        profile: wish.profile(kind, auth_code, desk.ids().next()),
        fingerprint,
        created_at_ms: at_ms,
        // A card that was only looked at holds nothing.
        cancelled_at_ms: (kind == Kind::Verify).then_some(at_ms),
        decline,
        trace: Some(Trace {
            face: "mpg".to_owned(),
            given_id: None,
            external_identifier: None,
            wants_reference: true,
        }),
        keys: keys.into_iter().collect(),
        actor: actor.name.clone(),
        at_ms,
    }
}
