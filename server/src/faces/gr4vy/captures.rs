//! `GET /transactions/{transaction_id}/captures` and one of them: what was taken from the payment
//! method, and what was to be taken and declined. A gift card's redemption is no capture.

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use requite_core::id::{CaptureId, uuid_text};
use requite_engine::read::{CaptureView, OperationKind, OperationView, PaymentView};
use serde::Serialize;

use super::failure::Failure;
use super::page::Page;
use super::transaction::fault;
use super::{auth, json, spelling};
use crate::access::Caller;
use crate::desk::Desk;
use crate::time::micros_text;

/// A capture in the API's words.
#[derive(Debug, Serialize)]
struct Capture {
    #[serde(rename = "type")]
    kind: &'static str,
    id: String,
    merchant_account_id: String,
    transaction_id: String,
    xid: Option<()>,
    currency: String,
    amount: i64,
    status: &'static str,
    #[serde(rename = "final")]
    is_final: bool,
    created_at: String,
    updated_at: String,
    captured_at: Option<String>,
    external_identifier: Option<String>,
    error_code: Option<&'static str>,
    iso_response_code: Option<String>,
    raw_response_code: Option<String>,
    raw_response_description: Option<String>,
    transaction_external_identifier: Option<String>,
    cart_items: Option<()>,
    tracking: Option<()>,
}

/// A capture that was made, and what is known of how; or one that was declined.
enum Told<'a> {
    Made(&'a CaptureView, Option<&'a OperationView>),
    Declined(&'a OperationView),
}

impl Told<'_> {
    fn at_ms(&self) -> i64 {
        match self {
            Told::Made(capture, _) => capture.at_ms,
            Told::Declined(operation) => operation.at_ms,
        }
    }

    fn shown(&self, view: &PaymentView, account: &str) -> Capture {
        let (id, amount, operation) = match self {
            Told::Made(capture, operation) => (capture.id.bits(), capture.amount, *operation),
            Told::Declined(operation) => (operation.id, operation.amount, Some(*operation)),
        };
        let fault = operation.and_then(|operation| operation.fault.as_ref());
        let filled = |text: &String| (!text.is_empty()).then(|| text.clone());
        let at = micros_text(self.at_ms());
        Capture {
            kind: "capture",
            id: uuid_text(id),
            merchant_account_id: account.to_owned(),
            transaction_id: uuid_text(view.id.bits()),
            xid: None,
            currency: view.currency.code().to_owned(),
            amount: amount.units(),
            status: fault.map_or("succeeded", fault::status),
            is_final: operation.is_some_and(|operation| operation.is_final),
            created_at: at.clone(),
            updated_at: at.clone(),
            captured_at: fault.is_none().then_some(at),
            external_identifier: operation.and_then(|told| told.external_identifier.clone()),
            error_code: fault.map(fault::error_code),
            iso_response_code: fault.and_then(fault::response_code).map(str::to_owned),
            raw_response_code: fault.and_then(|fault| filled(&fault.code)),
            raw_response_description: fault.and_then(|fault| filled(&fault.text)),
            transaction_external_identifier: view.external_identifier.clone(),
            cart_items: None,
            tracking: None,
        }
    }
}

/// Newest first.
fn captures(view: &PaymentView) -> Vec<Told<'_>> {
    let made = view.primary().captures.iter().map(|capture| {
        let operation = view.operation(OperationKind::Capture, capture.id.bits());
        Told::Made(capture, operation)
    });
    let tried = view.operations.iter();
    let declined = tried.filter(|o| o.kind == OperationKind::Capture && o.fault.is_some());
    let mut captures: Vec<Told<'_>> = made.chain(declined.map(Told::Declined)).collect();
    captures.sort_by_key(Told::at_ms);
    captures.reverse();
    captures
}

/// `GET /transactions/{transaction_id}/captures`: all of them. The API's list takes no cursor.
pub(super) async fn list(
    State(desk): State<Desk>,
    Path(text): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    let actor = auth::actor(&desk, Caller::of(&request)).await?;
    let view = spelling::view(&desk, actor.merchant, &text).await?;
    let account = auth::slug(&desk, actor.merchant).await?;
    let items = captures(&view).iter().map(|told| told.shown(&view, &account)).collect();
    Ok(json(StatusCode::OK, HeaderMap::new(), &Page::<Capture>::whole(items)))
}

/// `GET /transactions/{transaction_id}/captures/{capture_id}`
pub(super) async fn read(
    State(desk): State<Desk>,
    Path((text, capture)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Failure> {
    let actor = auth::actor(&desk, Caller::of(&request)).await?;
    let id = CaptureId::new(spelling::capture_bits(&capture)?);
    let view = spelling::view(&desk, actor.merchant, &text).await?;
    let account = auth::slug(&desk, actor.merchant).await?;
    let all = captures(&view);
    let named = all.iter().find(|told| match told {
        Told::Made(capture, _) => capture.id == id,
        Told::Declined(operation) => operation.id == id.bits(),
    });
    let shown = named.ok_or(Failure::NotFound)?.shown(&view, &account);
    Ok(json(StatusCode::OK, HeaderMap::new(), &shown))
}
