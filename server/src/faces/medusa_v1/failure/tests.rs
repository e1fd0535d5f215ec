//! Every error in its words.

use http_body_util::BodyExt;
use requite_core::currency::Currency;
use requite_core::money::Minor;

use super::*;

async fn text(failure: Failure) -> String {
    let response = failure.into_response();
    let status = response.status().as_u16();
    let collected = response.into_body().collect().await;
    let bytes = collected.expect("the body is in memory").to_bytes();
    format!("{status} {}", String::from_utf8_lossy(&bytes))
}

#[tokio::test]
async fn each_error_of_the_engine_has_its_words() {
    let refusal = |refusal| CommandError::Refused { refusal, is_replay: false };
    let left = Minor::new(7500).expect("an amount");
    let [eur, jpy] = ["EUR", "JPY"].map(|code| Currency::parse(code).expect("listed"));
    let currency_differs = Refusal::CurrencyDiffers { asked: jpy, payment: eur };
    for (error, answer) in [
        (
            CommandError::PaymentUnknown,
            r#"404 {"type":"not_found","message":"Payment with id asked was not found"}"#,
        ),
        (
            refusal(Refusal::NotCaptured),
            r#"400 {"type":"not_allowed","message":"Payment pay_1 is not captured"}"#,
        ),
        (
            refusal(Refusal::Cancelled),
            r#"400 {"type":"not_allowed","message":"Payment pay_1 is canceled"}"#,
        ),
        (
            refusal(Refusal::NothingLeft),
            r#"400 {"type":"not_allowed","message":"Only 0 can be refunded from Payment pay_1"}"#,
        ),
        (
            refusal(Refusal::ExceedsLeft { asked: None, left }),
            r#"400 {"type":"not_allowed","message":"Only 7500 can be refunded from Payment pay_1"}"#,
        ),
        (
            refusal(Refusal::NotPositive),
            r#"400 {"type":"invalid_data","message":"amount must not be less than 1"}"#,
        ),
        (
            refusal(currency_differs),
            r#"400 {"type":"invalid_data","message":"The payment is in EUR, the refund was asked for in JPY"}"#,
        ),
        (
            CommandError::KeyReused,
            r#"422 {"code":"invalid_request_error","type":"duplicate_error","message":"This Idempotency-Key was used for another request"}"#,
        ),
        (
            CommandError::KeyInProgress,
            r#"409 {"code":"invalid_state_error","message":"The request conflicted with another request. You may retry the request with the provided Idempotency-Key."}"#,
        ),
        (
            CommandError::Overloaded,
            r#"503 {"type":"unavailable","message":"The server is busy. Nothing was done; try again."}"#,
        ),
        (
            CommandError::Unstored,
            r#"503 {"type":"unavailable","message":"The server is busy. Nothing was done; try again."}"#,
        ),
        (
            CommandError::Store("disk".to_owned()),
            r#"500 {"code":"unknown_error","type":"unknown_error","message":"An unknown error occurred."}"#,
        ),
    ] {
        assert_eq!(text(refused(error, "asked", "pay_1")).await, answer);
    }
}

#[tokio::test]
async fn a_refusal_told_again_says_so() {
    for is_replay in [false, true] {
        let refusal = Refusal::NothingLeft;
        let error = CommandError::Refused { refusal, is_replay };
        let response = refused(error, "pay_1", "pay_1").into_response();
        let replayed = response.headers().get("idempotent-replayed");
        assert_eq!(replayed.is_some(), is_replay);
    }
}

#[tokio::test]
async fn only_what_did_nothing_invites_to_come_again() {
    let busy = refused(CommandError::Stopping, "pay_1", "pay_1").into_response();
    assert_eq!(busy.status().as_u16(), 503);
    assert!(busy.headers().contains_key(RETRY_AFTER));
    let failed = Failure::refund_failed("pay_1").into_response();
    assert_eq!(failed.status().as_u16(), 500);
    assert!(!failed.headers().contains_key(RETRY_AFTER));
}

#[tokio::test]
async fn unauthorized_is_bare_text() {
    for (failure, content_type) in
        [(Failure::Unauthorized, None), (Failure::WrongPassword, Some("text/plain; charset=utf-8"))]
    {
        let response = failure.into_response();
        let sent = response.headers().get("content-type");
        assert_eq!(sent.map(|value| value.as_bytes()), content_type.map(str::as_bytes));
    }
    assert_eq!(text(Failure::Unauthorized).await, "401 Unauthorized");
}
