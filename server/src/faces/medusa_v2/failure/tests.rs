//! What each failure is told as, against recordings where there are any.

use requite_core::money::Minor;

use super::*;

fn told(failure: Failure) -> (u16, String) {
    let spoken = failure.spoken();
    (spoken.status, spoken.body())
}

fn asked(has_amount: bool) -> Asked {
    Asked {
        payment: "pay_doesnotexist".to_owned(),
        reason: Some("refr_doesnotexist".to_owned()),
        has_amount,
    }
}

#[test]
fn errors_are_spoken_as_the_original_speaks_them() {
    let encoding = Failure::Body(BodyFault::UnsupportedEncoding("zstd".to_owned()));
    for (failure, status, body) in [
        (Failure::Unauthorized, 401, r#"{"message":"Unauthorized"}"#),
        (
            Failure::KeyAsBearer,
            401,
            r#"{"message":"A secret API key was passed as a Bearer token. Secret API keys must be sent using HTTP Basic authentication instead (Authorization: Basic <secret-api-key>)."}"#,
        ),
        (
            Failure::Body(BodyFault::TooLarge { max: 65_536 }),
            413,
            r#"{"message":"request entity too large","type":"unknown_error"}"#,
        ),
        (
            Failure::Charset("ISO-8859-1".to_owned()),
            415,
            r#"{"message":"unsupported charset \"ISO-8859-1\"","type":"unknown_error"}"#,
        ),
        (
            encoding,
            415,
            r#"{"message":"unsupported content encoding \"zstd\"","type":"unknown_error"}"#,
        ),
        (
            Failure::PaymentUnknown("pay_doesnotexist".to_owned()),
            404,
            r#"{"type":"not_found","message":"Payment id not found: pay_doesnotexist"}"#,
        ),
        (
            Failure::ReasonUnknown("refr_doesnotexist".to_owned()),
            404,
            r#"{"type":"not_found","message":"RefundReason with id \"refr_doesnotexist\" not found"}"#,
        ),
        (
            Failure::AuthProvider("nosuch".to_owned()),
            400,
            r#"{"type":"not_allowed","message":"The actor type user is not allowed to use the auth provider nosuch"}"#,
        ),
    ] {
        assert_eq!(told(failure), (status, body.to_owned()));
    }
}

#[test]
fn refusals_are_told_by_what_was_asked() {
    let more = r#"{"type":"invalid_data","message":"You are not allowed to refund more than the captured amount"}"#;
    let whole = r#"{"type":"invalid_data","message":"You cannot refund more than what is captured on the payment."}"#;
    let currency = Currency::parse("USD").expect("listed");
    let left = Minor::ZERO;
    for (refusal, has_amount, status, body) in [
        (Refusal::NotCaptured, true, 400, more),
        (Refusal::NotCaptured, false, 400, whole),
        (Refusal::Cancelled, true, 400, more),
        (Refusal::NothingLeft, false, 400, whole),
        (Refusal::ExceedsLeft { asked: None, left }, true, 400, more),
        (Refusal::ExceedsLeft { asked: None, left }, false, 400, whole),
        (
            Refusal::Fraction { currency },
            true,
            400,
            r#"{"type":"invalid_data","message":"Invalid request: Value for field 'amount' has too many decimals, USD has 2"}"#,
        ),
        (
            Refusal::ReasonUnknown,
            true,
            404,
            r#"{"type":"not_found","message":"RefundReason id not found: refr_doesnotexist"}"#,
        ),
    ] {
        let error = CommandError::Refused { refusal, is_replay: false };
        let failure = Failure::Refund { error, asked: asked(has_amount) };
        assert_eq!(told(failure), (status, body.to_owned()));
    }
}

#[test]
fn a_providers_error_keeps_its_kind_if_it_has_one() {
    let unknown =
        r#"{"code":"unknown_error","type":"unknown_error","message":"An unknown error occurred."}"#;
    let conflict = r#"{"code":"invalid_state_error","type":"conflict","message":"The request conflicted with another request. You may retry the request with the provided Idempotency-Key."}"#;
    for (code, status, body) in [
        ("not_allowed", 400, r#"{"type":"not_allowed","message":"provider says no"}"#),
        ("invalid_data", 400, r#"{"type":"invalid_data","message":"provider says no"}"#),
        ("conflict", 409, conflict),
        (
            "payment_authorization_error",
            422,
            r#"{"type":"payment_authorization_error","message":"provider says no"}"#,
        ),
        ("payment_requires_more_error", 500, unknown),
        ("51", 500, unknown),
    ] {
        let fault = Fault { code: code.to_owned(), text: "provider says no".to_owned() };
        let failure = Failure::Provider(Some(fault));
        assert_eq!(told(failure), (status, body.to_owned()), "{code}");
    }
    assert_eq!(told(Failure::Provider(None)), (500, unknown.to_owned()));
}

#[test]
fn a_full_house_says_when_to_come_back() {
    let failure = Failure::Refund { error: CommandError::Overloaded, asked: asked(true) };
    let response = failure.into_response();
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["retry-after"], "1");
}
