//! `GET /v1/admin/disputes`: none are known, as no connector tells of any yet.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;

use super::auth;
use super::failure::Failure;
use super::wire;
use crate::access::Caller;
use crate::desk::Desk;

pub(super) async fn list(State(desk): State<Desk>, request: Request) -> Result<Response, Failure> {
    auth::actor(&desk, Caller::of(&request)).await?;
    wire::brand(request.uri())?;
    Ok(wire::json(StatusCode::OK, &json!({"disputes": []})))
}

pub(super) async fn show(State(desk): State<Desk>, request: Request) -> Result<Response, Failure> {
    auth::actor(&desk, Caller::of(&request)).await?;
    Err(Failure::DisputeUnknown)
}
