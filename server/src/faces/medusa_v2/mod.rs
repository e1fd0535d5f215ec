//! The dialect of Medusa v2: refunds as a shop's admin asks for them.
//!
//! Amounts are JSON numbers in major units. A refund without an amount means the payment's whole
//! amount, or nothing. There is no refund status: a row that is shown has been paid out or will be.
//! Answers show the payment, cut to what the `fields` parameter selects.
//!
//! Checks run in the original's order: the body's form (400, 413, 415), the credential (401, 403),
//! the body's schema (400), the query (400), then what the books say (404, 400).
//!
//! Where to look: [`refund`], [`payments`], [`payment_list`] and [`reasons`] have the handlers, [`wire`] reads requests ([`schema`] has the
//! validator's texts, [`query`] the query string, [`list`] what lists share), [`payment`] and [`fields`] write answers
//! ([`spelling`] the single values), [`failure`] has every error, [`auth`] and [`login`] are about
//! who asks, and [`browser`] what browsers want besides.
//!
//! Paths match in any letter case and with a slash at the end. What is no route is 404, and 401
//! below `/admin` without a credential.

mod auth;
mod browser;
mod failure;
mod fields;
mod list;
mod login;
mod payment;
mod payment_list;
mod payments;
mod query;
mod reasons;
mod refund;
mod schema;
mod spelling;
#[cfg(test)]
mod tests;
mod wire;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Uri};
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use tokio::sync::OnceCell;
use tower::ServiceExt;

use crate::crypto::jws::Hs256Key;
use crate::desk::Desk;
use crate::http::{catch_panics, refuse_bad_paths};

const LOG_IN: &str = "/auth/user/{provider}";
const REFRESH: &str = "/auth/token/refresh";
const PAYMENTS: &str = "/admin/payments";
const PAYMENT: &str = "/admin/payments/{id}";
const REFUND: &str = "/admin/payments/{id}/refund";
const CAPTURE: &str = "/admin/payments/{id}/capture";
const REASONS: &str = "/admin/refund-reasons";
const REASON: &str = "/admin/refund-reasons/{id}";

/// Every route, for paths that are spelt otherwise.
const ROUTES: [&str; 8] = [LOG_IN, REFRESH, PAYMENTS, PAYMENT, CAPTURE, REFUND, REASONS, REASON];

/// What handlers need. Cheap to clone.
#[derive(Clone)]
struct Face {
    desk: Desk,
    login_key: Arc<OnceCell<Hs256Key>>,
}

pub(crate) fn router(desk: Desk) -> Router {
    let face = Face { desk, login_key: Arc::default() };
    let exact = routes().fallback(nowhere).with_state(face.clone());
    let respelt = routes().fallback(move |State(face): State<Face>, request: Request| {
        respelt(exact.clone(), face, request)
    });
    let router = catch_panics(respelt.with_state(face.clone()), failure::render);
    refuse_bad_paths(router, failure::render)
        .layer(from_fn_with_state(face, browser::complete))
        .layer(map_response(powered))
}

async fn powered(mut response: Response) -> Response {
    let express = HeaderValue::from_static("Express");
    response.headers_mut().insert("x-powered-by", express);
    response
}

fn routes() -> Router<Face> {
    Router::new()
        .route(LOG_IN, post(login::log_in))
        .route(REFRESH, post(login::refresh))
        .route(PAYMENTS, get(payment_list::list))
        .route(PAYMENT, get(payments::retrieve))
        .route(CAPTURE, post(payments::capture))
        .route(REFUND, post(refund::refund))
        .route(REASONS, get(reasons::list).post(reasons::create))
        .route(REASON, get(reasons::retrieve).post(reasons::update).delete(reasons::delete))
        // Without an id there is no such route; the router alone would take it as empty.
        .route("/admin/payments//capture", any(nowhere))
        .route("/admin/payments//refund", any(nowhere))
        .method_not_allowed_fallback(nowhere)
}

/// Not a route. Below `/admin` only those who may ask learn so.
async fn nowhere(State(face): State<Face>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let first = path.split('/').nth(1).unwrap_or_default();
    let stranger = match first.eq_ignore_ascii_case("admin") {
        true => auth::actor(&face, request.headers()).await.err(),
        false => None,
    };
    let method = request.method().clone();
    let failure = stranger.unwrap_or(failure::Failure::NoRoute { method, path });
    let mut response = failure.into_response();
    response.extensions_mut().insert(browser::Originless);
    response
}

/// Tries a path again in the spelling that routes have.
async fn respelt(exact: Router, face: Face, mut request: Request) -> Response {
    let Some(path) = route_spelling(request.uri().path()) else {
        return nowhere(State(face), request).await;
    };
    let target = match request.uri().query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    let Ok(uri) = target.parse::<Uri>() else {
        return nowhere(State(face), request).await;
    };
    *request.uri_mut() = uri;
    exact.oneshot(request).await.unwrap_or_else(|never| match never {})
}

/// The path as the route that it matches spells it: fixed words in lower case, no slash at the end.
fn route_spelling(path: &str) -> Option<String> {
    let path = path.strip_suffix('/').unwrap_or(path);
    ROUTES.iter().find_map(|route| {
        if route.split('/').count() != path.split('/').count() {
            return None;
        }
        let words = route.split('/').zip(path.split('/'));
        let words: Option<Vec<&str>> = words
            .map(|(word, written)| match word.starts_with('{') {
                true => (!written.is_empty()).then_some(written),
                false => word.eq_ignore_ascii_case(written).then_some(word),
            })
            .collect();
        words.map(|words| words.join("/"))
    })
}
