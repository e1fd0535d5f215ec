//! `PUT /transactions/{transaction_id}`: another external identifier, other metadata. What is absent
//! or null stays as it is; metadata is replaced as a whole.

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use requite_engine::command::Amendment;

use super::super::auth;
use super::super::failure::Failure;
use super::super::form::Form;
use super::super::{json, spelling, wire};
use super::transaction;
use super::wish::EXTERNAL_IDENTIFIER_MAX;
use crate::access::Caller;
use crate::desk::{Desk, Unseen};
use crate::json::Kind;

/// `PUT /transactions/{transaction_id}`
pub(in super::super) async fn update(
    State(desk): State<Desk>,
    Path(text): Path<String>,
    mut request: Request,
) -> Result<Response, Failure> {
    let actor = auth::actor(&desk, Caller::of(&request)).await?;
    let body = wire::body(&mut request).await?;
    let mut form = Form::read(&body)?;
    let external_identifier = form.text("external_identifier", 1, EXTERNAL_IDENTIFIER_MAX);
    let metadata = form.metadata();
    form.of_kind("connection_options", Kind::Object);
    form.finish(&["external_identifier", "metadata", "connection_options"])?;
    let mut view = spelling::view(&desk, actor.merchant, &text).await?;
    let account = auth::slug(&desk, actor.merchant).await?;
    if external_identifier.is_some() || metadata.is_some() {
        let payment = view.id;
        let amendment = Amendment {
            merchant: actor.merchant,
            payment,
            external_identifier: external_identifier.map(Some),
            metadata,
            actor: actor.name.clone(),
            at_ms: desk.now_ms(),
        };
        let amended = desk.amend(amendment).await?.map_err(Failure::Duplicate)?;
        let changed = desk.payment_after(actor.merchant, payment, amended.as_of).await;
        view = changed.map_err(|Unseen| Failure::UnshownTransaction(payment))?;
    }
    Ok(json(StatusCode::OK, HeaderMap::new(), &transaction(&view, &account)))
}
