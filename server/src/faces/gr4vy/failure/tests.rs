use axum::body::to_bytes;
use requite_core::id::{MerchantId, PaymentId, RefundId};
use requite_core::money::Minor;
use requite_core::refund::Status;
use requite_engine::command::RefundRef;
use serde_json::Value;

use super::*;

async fn answered(failure: Failure) -> (u16, HeaderMap, String) {
    let response = failure.into_response();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let bytes = to_bytes(response.into_body(), 10_000).await;
    let bytes = bytes.expect("a body of ours is in memory");
    let text = String::from_utf8(bytes.to_vec()).expect("JSON is UTF-8");
    (status, headers, text)
}

fn reply() -> RefundReply {
    RefundReply {
        refund: RefundRef {
            merchant: MerchantId::new(1),
            payment: PaymentId::new(2),
            refund: RefundId::new(3),
        },
        status: Status::Ready,
        as_of: None,
        is_replay: false,
        shown: None,
    }
}

fn refused(refusal: Refusal) -> Failure {
    Failure::Refused { refusal, is_replay: false }
}

fn booking_refused(refusal: BookingRefusal) -> Failure {
    Failure::BookingRefused { refusal, is_replay: false }
}

#[tokio::test]
async fn each_failure_has_its_status_and_code_in_one_shape() {
    let left = Minor::new(40).expect("an amount");
    let detail = Detail::new(Location::Body, "/amount", "m", "value_error");
    let exceeds = Refusal::ExceedsLeft { asked: None, left };
    for (failure, status, code, details) in [
        (Failure::Unauthenticated, 401, "unauthorized", 0),
        (Failure::Forbidden { scope: "x" }, 403, "forbidden", 0),
        (Failure::NotFound, 404, "not_found", 0),
        (Failure::NoSuchRoute, 404, "not_found", 0),
        (Failure::NotAllowed, 405, "method_not_allowed", 0),
        (Failure::invalid(detail), 400, "bad_request", 1),
        (Failure::TooLarge { max: 9 }, 413, "request_too_large", 0),
        (Failure::TooSlow, 408, "request_timeout", 0),
        (refused(Refusal::NothingLeft), 400, "bad_request", 1),
        (refused(exceeds), 400, "bad_request", 1),
        (Failure::KeyReused, 409, "idempotency_mismatch", 0),
        (Failure::KeyInProgress, 409, "concurrent_request", 0),
        (Failure::Busy, 429, "too_many_requests", 0),
        (Failure::Unshown(reply()), 409, "refund_made", 0),
        (booking_refused(BookingRefusal::Cancelled), 400, "bad_request", 1),
        (booking_refused(BookingRefusal::TooMany), 400, "bad_request", 1),
        (Failure::Duplicate(PaymentId::new(2)), 409, "duplicate_record", 0),
        (Failure::UnshownTransaction(PaymentId::new(2)), 409, "transaction_made", 0),
        (Failure::Broken, 500, "server_error", 0),
    ] {
        let (sent, headers, text) = answered(failure.clone()).await;
        let body: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!((sent, &body["code"]), (status, &code.into()), "{failure:?}");
        assert_eq!(headers[header::CONTENT_TYPE], "application/json");
        assert_eq!(body["type"], "error");
        assert_eq!(body["status"], status);
        assert!(body["message"].as_str().is_some_and(|text| !text.is_empty()));
        assert_eq!(body["details"].as_array().map(Vec::len), Some(details));
        assert_eq!(body.get("resource_id").is_some(), status == 409);
        assert_eq!(headers.contains_key(header::RETRY_AFTER), status == 429);
    }
}

#[tokio::test]
async fn an_error_is_spelt_as_the_original_spells_it() {
    let (_, _, text) = answered(Failure::Unauthenticated).await;
    assert_eq!(
        text,
        r#"{"type":"error","code":"unauthorized","status":401,"message":"No valid API authentication found","details":[]}"#
    );
    let left = Minor::new(40).expect("an amount");
    let asked = Minor::new(1299);
    let (_, _, text) = answered(refused(Refusal::ExceedsLeft { asked, left })).await;
    assert_eq!(
        text,
        r#"{"type":"error","code":"bad_request","status":400,"message":"The amount 1299 exceeds the 40 left","details":[{"location":"body","pointer":"/amount","message":"The amount 1299 exceeds the 40 left","type":"value_error"}]}"#
    );
    let (_, _, text) = answered(Failure::KeyReused).await;
    assert!(text.ends_with(r#""details":[],"resource_id":null}"#), "{text}");
}

/// A5, and the statuses on which the official SDKs send a request again.
#[tokio::test]
async fn a_refund_that_was_made_is_never_answered_with_a_status_that_is_retried() {
    let (status, headers, text) = answered(Failure::Unshown(reply())).await;
    assert!(![429, 500, 502, 503, 504].contains(&status));
    let id = "00000000-0000-0000-0000-000000000003";
    assert_eq!(headers["requite-refund-id"], id);
    assert!(text.contains(&format!(r#""resource_id":"{id}""#)), "{text}");
}

#[tokio::test]
async fn a_replayed_refusal_says_so() {
    for is_replay in [false, true] {
        let refusal = Refusal::NothingLeft;
        let (_, headers, _) = answered(Failure::Refused { refusal, is_replay }).await;
        assert_eq!(headers.contains_key("idempotent-replayed"), is_replay);
    }
}
