//! Reference points of the whole path, on the stack that the server is made of: `GET /hello` does
//! nothing at all, `POST /nothing` does what every refund needs but keeps nothing: it checks a key, reads
//! JSON, hashes the idempotency key and answers what a refund's answer looks like. `POST /naive` does the
//! same and keeps it in the way that is usual ([`Naive`]).

use std::net::SocketAddr;

use aws_lc_rs::digest::{SHA256, digest};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use requite_core::id::uuid_text;
use serde::{Deserialize, Serialize};

use crate::naive::Naive;

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

pub(crate) fn serve(listen: SocketAddr, naive: Option<&str>) -> anyhow::Result<()> {
    let naive = naive.map(Naive::start).transpose()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let hello = Bytes::from(format!("{{\"hello\":\"{}\"}}", "x".repeat(HELLO_BYTES)));
        let mut router = Router::new()
            .route("/hello", get(move || async move { json(hello) }))
            .route("/nothing/{payment}", post(nothing));
        if let Some(naive) = naive {
            router =
                router.merge(Router::new().route("/naive/{payment}", post(kept)).with_state(naive));
        }
        let listener = tokio::net::TcpListener::bind(listen).await?;
        println!("listening on http://{}", listener.local_addr()?);
        axum::serve(listener, router).await?;
        Ok(())
    })
}

/// What was asked, once it is known who asks.
struct Asked {
    wish: Wish,
    token: u128,
    key: u128,
}

fn asked(headers: &HeaderMap, body: &Bytes) -> Result<Asked, StatusCode> {
    let sent = |name| headers.get(name).map(HeaderValue::as_bytes);
    let (Some(token), Some(key)) =
        (sent(header::AUTHORIZATION), sent("idempotency-key".parse().expect("a header's name")))
    else {
        return Err(StatusCode::UNAUTHORIZED);
    };
    let wish = serde_json::from_slice::<Wish>(body).map_err(|_| StatusCode::BAD_REQUEST)?;
    let bits = |text| {
        let hash = digest(&SHA256, text);
        let first = hash.as_ref().first_chunk::<16>().expect("SHA-256 has 32 bytes");
        u128::from_be_bytes(*first)
    };
    Ok(Asked { wish, token: bits(token), key: bits(key) })
}

async fn nothing(Path(payment): Path<String>, headers: HeaderMap, body: Bytes) -> Response {
    match asked(&headers, &body) {
        Ok(asked) => made(&asked, payment),
        Err(status) => status.into_response(),
    }
}

async fn kept(
    State(naive): State<Naive>,
    Path(payment): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let asked = match asked(&headers, &body) {
        Ok(asked) => asked,
        Err(status) => return status.into_response(),
    };
    if !naive.refund(payment.clone(), uuid_text(asked.key), asked.wish.amount).await {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    made(&asked, payment)
}

fn made(asked: &Asked, payment: String) -> Response {
    let refund = Refund {
        id: uuid_text(asked.key),
        payment_id: payment,
        amount: asked.wish.amount,
        currency: "EUR",
        status: "succeeded",
        leg: Leg { id: uuid_text(asked.token), kind: "payment_method" },
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
