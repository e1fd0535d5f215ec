//! `GET /transactions/{transaction_id}/settlements` and `/refund-settlements`: no reports of payouts
//! are taken in here, so a transaction that exists has none of either.

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Serialize;

use super::failure::Failure;
use super::{auth, json, spelling};
use crate::access::Caller;
use crate::desk::Desk;

/// The API's shape of these lists: they have no pages.
#[derive(Serialize)]
struct Settlements {
    items: [(); 0],
}

pub(super) async fn list(
    State(desk): State<Desk>,
    Path(text): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    let actor = auth::actor(&desk, Caller::of(&request)).await?;
    spelling::view(&desk, actor.merchant, &text).await?;
    Ok(json(StatusCode::OK, HeaderMap::new(), &Settlements { items: [] }))
}
