//! Every answer to a webhook. A PSP reads the status and nothing else: 2xx, or it comes again.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::json;

use crate::http::{BodyFault, RequestId};

/// It is on the disk.
pub(super) fn thanks(text: &'static str) -> Response {
    Response::new(Body::from(text))
}

/// Not signed by whoever has the secret; or no such account, which is nobody's business.
pub(super) fn forged() -> Response {
    answer(StatusCode::BAD_REQUEST, "forged", "no account's secret signed this")
}

/// Nothing was stored: it is to be sent again.
pub(super) fn busy() -> Response {
    answer(StatusCode::SERVICE_UNAVAILABLE, "busy", "nothing was stored; send it again later")
}

pub(super) fn body(fault: &BodyFault) -> Response {
    let status = match fault {
        BodyFault::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        BodyFault::TimedOut => StatusCode::REQUEST_TIMEOUT,
        BodyFault::UnsupportedEncoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        BodyFault::Malformed | BodyFault::Broken => StatusCode::BAD_REQUEST,
    };
    answer(status, "body", &fault.to_string())
}

/// What layers around the route say.
pub(super) fn render(status: StatusCode, message: &str, id: &RequestId) -> Response {
    answer(status, id.as_str(), message)
}

fn answer(status: StatusCode, code: &str, message: &str) -> Response {
    let body = json!({"error": {"code": code, "message": message}});
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
