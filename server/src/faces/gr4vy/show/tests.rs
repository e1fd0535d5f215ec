use requite_core::currency::Currency;
use requite_core::id::{LegId, MerchantId, PaymentId, RefundId, parse_uuid};
use requite_core::money::Minor;
use requite_core::refund::Fault;
use requite_engine::read::{LegView, PaymentView};

use super::super::page::Page;
use super::*;

fn id(text: &str) -> u128 {
    parse_uuid(text).expect("a UUID")
}

fn refund(status: Status, fault: Option<(&str, &str)>) -> RefundView {
    RefundView {
        merchant: MerchantId::new(1),
        id: RefundId::new(id("6a1d4e46-14ed-4fe1-a45f-eff4e025d211")),
        payment: PaymentId::new(id("7099948d-7286-47e4-aad8-b68f7eb44591")),
        leg: LegId::new(id("07e70d14-a0c0-4ff5-bd4a-509959af0e4d")),
        leg_kind: LegKind::PaymentMethod,
        currency: Currency::parse("USD").expect("a currency"),
        amount: Minor::new(1299).expect("an amount"),
        status,
        connector: "sandbox".to_owned(),
        psp_refund: Some("refund_xYqd43gySMtori".to_owned()),
        fault: fault.map(|(code, text)| Fault { code: code.to_owned(), text: text.to_owned() }),
        face: "gr4vy".to_owned(),
        actor: "apk_1".to_owned(),
        reason_code: None,
        reason_text: Some("Refund due to user request.".to_owned()),
        reason: None,
        note: None,
        external_identifier: Some("refund-12345".to_owned()),
        given_id: None,
        key_text: None,
        metadata: None,
        reference: None,
        asked_seq: 2,
        asked_at_ms: 1_374_002_580_000,
        sent_at_ms: None,
        unknown_at_ms: None,
        settled_at_ms: None,
        updated_at_ms: 1_374_002_580_125,
        next_action_at_ms: None,
        sends: 1,
    }
}

fn payment(refund: &RefundView) -> PaymentView {
    let leg = LegView {
        id: refund.leg,
        kind: refund.leg_kind,
        amount: refund.amount,
        captures: Vec::new(),
        releases: Vec::new(),
    };
    PaymentView {
        merchant: refund.merchant,
        id: refund.payment,
        currency: refund.currency,
        legs: vec![leg],
        refunds: vec![refund.clone()],
        connector: "manual".to_owned(),
        connector_payment: None,
        external_identifier: Some("transaction-12345".to_owned()),
        order: None,
        customer: None,
        description: None,
        aliases: Vec::new(),
        profile: "{}".to_owned(),
        metadata: None,
        decline: None,
        operations: Vec::new(),
        created_at_ms: 0,
        updated_at_ms: 0,
        cancelled_at_ms: None,
        seq: 1,
    }
}

fn shown(refund: &RefundView) -> Refund {
    Refund::new(payment(refund).external_identifier.as_deref(), refund)
}

fn text(refund: &RefundView) -> String {
    serde_json::to_string(&shown(refund)).expect("texts and numbers")
}

#[test]
fn a_refund_has_all_23_members_in_the_published_order() {
    let expected = concat!(
        r#"{"type":"refund","id":"6a1d4e46-14ed-4fe1-a45f-eff4e025d211","#,
        r#""transaction_id":"7099948d-7286-47e4-aad8-b68f7eb44591","#,
        r#""payment_service_refund_id":"refund_xYqd43gySMtori","status":"succeeded","#,
        r#""currency":"USD","amount":1299,"reason":"Refund due to user request.","#,
        r#""target_type":"payment-method","target_id":"07e70d14-a0c0-4ff5-bd4a-509959af0e4d","#,
        r#""reconciliation_id":"3EEZvK8BuKmvaxfFqI1dJ3","external_identifier":"refund-12345","#,
        r#""transaction_reconciliation_id":"3QTKH1CHg26k4ctqfUo2in","#,
        r#""transaction_external_identifier":"transaction-12345","#,
        r#""created_at":"2013-07-16T19:23:00.000000+00:00","#,
        r#""updated_at":"2013-07-16T19:23:00.125000+00:00","creator":null,"error_code":null,"#,
        r#""raw_response_code":null,"raw_response_description":null,"settled_currency":null,"#,
        r#""settled_amount":0,"settled":false}"#,
    );
    assert_eq!(text(&refund(Status::Succeeded, None)), expected);
}

#[test]
fn every_status_has_a_word_of_the_api() {
    for (status, _, word) in Status::LISTED {
        let expected = match word {
            "succeeded" | "declined" | "failed" | "voided" => word,
            "reversed" => "failed",
            _ => "processing",
        };
        assert_eq!(shown(&refund(status, None)).status, expected, "{word}");
    }
}

#[test]
fn only_what_ended_without_the_money_moving_has_an_error() {
    let coded = Some(("E104", "Missing redirect URL"));
    let documented = Some(("issuer_decline", ""));
    for (status, fault, code, raw) in [
        (Status::Declined, coded, Some("service_decline"), Some("E104")),
        (Status::Declined, documented, Some("issuer_decline"), Some("issuer_decline")),
        (Status::Declined, None, Some("other_decline"), None),
        (Status::Failed, coded, Some("service_error"), Some("E104")),
        (
            Status::Failed,
            Some(("unexpected_state", "x")),
            Some("unexpected_state"),
            Some("unexpected_state"),
        ),
        (Status::Failed, None, Some("service_error"), None),
        (Status::Reversed, coded, Some("service_error"), Some("E104")),
        (Status::Unknown, coded, None, None),
        (Status::Pending, coded, None, None),
        (Status::Succeeded, coded, None, None),
        (Status::Voided, coded, None, None),
    ] {
        let shown = shown(&refund(status, fault));
        assert_eq!(shown.error_code, code, "{status:?} {fault:?}");
        assert_eq!(shown.raw_response_code.as_deref(), raw, "{status:?}");
        let text = raw.and(fault).map(|fault| fault.1);
        let text = text.filter(|text| !text.is_empty());
        assert_eq!(shown.raw_response_description.as_deref(), text);
    }
}

#[test]
fn a_failed_refund_shows_no_id_of_the_psp() {
    for (status, shows) in
        [(Status::Succeeded, true), (Status::Declined, true), (Status::Failed, false)]
    {
        let psp_refund = shown(&refund(status, None)).payment_service_refund_id;
        assert_eq!(psp_refund.is_some(), shows, "{status:?}");
    }
}

#[test]
fn a_refund_of_another_face_shows_that_faces_reason() {
    let mut refund = refund(Status::Succeeded, None);
    refund.reason_text = None;
    assert_eq!(shown(&refund).reason, None);
    refund.reason_code = Some("return".to_owned());
    assert_eq!(shown(&refund).reason.as_deref(), Some("return"));
}

#[test]
fn a_page_holds_everything_and_says_so() {
    for (count, limit) in [(0, 20), (20, 20), (21, 21), (100, 100), (250, 100)] {
        let items = (0..count).map(|_| shown(&refund(Status::Succeeded, None)));
        let page = Page::whole(items.collect());
        assert_eq!((page.items.len(), page.limit), (count, limit));
    }
    let page =
        serde_json::to_string(&Page::<Refund>::whole(Vec::new())).expect("texts and numbers");
    let expected = r#"{"items":[],"limit":20,"next_cursor":null,"previous_cursor":null}"#;
    assert_eq!(page, expected);
}
