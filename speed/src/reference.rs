//! Reference points of the whole path, on the stack that the server is made of: `GET /hello` does
//! nothing at all, `POST /nothing` does what every refund needs but keeps nothing: it checks a key, reads
//! JSON, hashes the idempotency key and answers what a refund's answer looks like.

use std::net::SocketAddr;

use aws_lc_rs::digest::{SHA256, digest};
use axum::Router;
use axum::body::Bytes;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use requite_core::id::uuid_text;
use serde::{Deserialize, Serialize};

/// About as long as a refund's answer.
const HELLO_BYTES: usize = 1_024;

#[derive(Deserialize)]
struct Wish {
    amount: i64,
}

#[derive(Serialize)]
struct Refund {
    id: String,
    payment_id: String,
    amount: i64,
    currency: &'static str,
    status: &'static str,
    leg: Leg,
    reason: Option<String>,
    note: Option<String>,
    external_identifier: Option<String>,
    fault: Option<String>,
    asked_at: &'static str,
    settled_at: &'static str,
    updated_at: &'static str,
}

#[derive(Serialize)]
struct Leg {
    id: String,
    kind: &'static str,
}

pub(crate) fn serve(listen: SocketAddr) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let hello = Bytes::from(format!("{{\"hello\":\"{}\"}}", "x".repeat(HELLO_BYTES)));
        let router = Router::new()
            .route("/hello", get(move || async move { json(hello) }))
            .route("/nothing/{payment}", post(nothing));
        let listener = tokio::net::TcpListener::bind(listen).await?;
        println!("listening on http://{}", listener.local_addr()?);
        axum::serve(listener, router).await?;
        Ok(())
    })
}

async fn nothing(Path(payment): Path<String>, headers: HeaderMap, body: Bytes) -> Response {
    let sent = |name| headers.get(name).map(HeaderValue::as_bytes);
    let (Some(token), Some(key)) =
        (sent(header::AUTHORIZATION), sent("idempotency-key".parse().expect("a header's name")))
    else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    let Ok(wish) = serde_json::from_slice::<Wish>(&body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let (token, key) = (digest(&SHA256, token), digest(&SHA256, key));
    let bits = |hash: &[u8]| {
        let first = hash.first_chunk::<16>().expect("SHA-256 has 32 bytes");
        uuid_text(u128::from_be_bytes(*first))
    };
    let refund = Refund {
        id: bits(key.as_ref()),
        payment_id: payment,
        amount: wish.amount,
        currency: "EUR",
        status: "succeeded",
        leg: Leg { id: bits(token.as_ref()), kind: "payment_method" },
        reason: None,
        note: None,
        external_identifier: None,
        fault: None,
        asked_at: "2024-01-01T00:00:00.000Z",
        settled_at: "2024-01-01T00:00:00.000Z",
        updated_at: "2024-01-01T00:00:00.000Z",
    };
    match serde_json::to_vec(&refund) {
        Ok(text) => (StatusCode::CREATED, json(Bytes::from(text))).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn json(body: Bytes) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}
