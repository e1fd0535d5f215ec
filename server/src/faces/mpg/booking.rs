//! `POST /v1/orders/{id}/capture`, `/void` and `/extend`: what is done with an order's hold besides
//! refunds. Each is made or declined in one commit, so a repeat never meets its first request running.

use axum::extract::{Path, Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use requite_core::id::PaymentId;
use requite_engine::command::{Booking, BookingRequest, Trace};

use super::failure::Failure;
use super::order::is_authorized;
use super::repeat::{Deed, explain, keys, unless_unknown};
use super::wire::CreateBooking;
use super::{auth, order, wire};
use crate::access::{Actor, Caller};
use crate::desk::{Desk, replay_headers};

/// Reads a body.
type Read = fn(&[u8], &HeaderMap) -> Result<CreateBooking, Failure>;

pub(super) async fn capture(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    create(desk, id, request, wire::capture).await
}

pub(super) async fn void(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    create(desk, id, request, wire::void).await
}

pub(super) async fn extend(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    create(desk, id, request, wire::extension).await
}

async fn create(
    desk: Desk,
    id: String,
    mut request: Request,
    read: Read,
) -> Result<Response, Failure> {
    let actor = auth::actor(&desk, Caller::of(&request)).await?;
    let order = wire::order_id(&id).ok_or(Failure::OrderUnknown)?;
    let body = wire::body(&mut request).await;
    let wish = match body.and_then(|body| read(&body, request.headers())) {
        Ok(wish) => wish,
        Err(failure) => return Err(unless_unknown(&desk, &actor, order, failure).await),
    };
    if wish.booking == Booking::Extension {
        let payment = desk.payment(actor.merchant, order, None).await.map_err(Failure::Read)?;
        if !is_authorized(&payment.ok_or(Failure::OrderUnknown)?) {
            return Err(Failure::NotAuthorized);
        }
    }
    let deed = Deed::Booking(wish.booking, wish.amount);
    let booked = match desk.book(asked(&desk, &actor, order, &wish)).await {
        Ok(booked) => booked,
        Err(error) => {
            return Err(explain(&desk, &actor, order, (deed, &wish.names), error).await);
        }
    };
    let headers = replay_headers(booked.is_replay);
    order::answer(&desk, actor.merchant, (order, booked.as_of), headers).await
}

fn asked(desk: &Desk, actor: &Actor, order: PaymentId, wish: &CreateBooking) -> BookingRequest {
    BookingRequest {
        merchant: actor.merchant,
        payment: order,
        booking: wish.booking,
        id: desk.ids().next(),
        amount: wish.amount,
        trace: Trace {
            face: "mpg".to_owned(),
            given_id: wish.names.transaction_id,
            external_identifier: None,
            wants_reference: true,
        },
        keys: keys(order, Deed::Booking(wish.booking, wish.amount), &wish.names),
        actor: actor.name.clone(),
        at_ms: desk.now_ms(),
    }
}
