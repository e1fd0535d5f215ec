//! Orders as the dialect publishes them.

use requite_core::currency::Currency;
use requite_core::id::{CaptureId, LegId, MerchantId, PaymentId, RefundId, parse_uuid};
use requite_core::money::Minor;
use requite_core::payment::LegKind;
use requite_core::refund::{Fault, Status};
use requite_engine::read::{
    CaptureView, LegView, MerchantView, PaymentView, RefundView, ReleaseView,
};

use super::order::Order;
use crate::time;

const ORDER: &str = "0191f5a7-44a9-76c2-9fec-39709fdbf723";
const AT: &str = "2024-09-15T12:27:45Z";

/// The published answer to a refund of all that was captured.
const PUBLISHED: &str = r#"{"id":"0191f5a7-44a9-76c2-9fec-39709fdbf723","merchant":{"id":"0191f5a7-44a5-7700-8c11-ffc3703a7990","acquirer_id":"0191f5a7-44a2-73d5-9a9c-745f40f8db31","name":"Merchant 52","arabic_name":"الإسم العربي","merchant_id":"60052","rule_precedence":"mixed"},"currency":"SAR","amount":262346,"captured_amount":262346,"refunded_amount":262346,"voided_amount":0,"description":"Voluptatum at consequatur ullam.","created_at":"2024-09-15T12:27:45Z","updated_at":"2024-09-15T12:27:45Z","source":{"type":"card","issuer":null,"card_type":null,"category":null,"country_alpha2":null,"scheme":"mastercard","first_digits":"55555555","last_digits":"4444","month":12,"year":2026},"reauthorized_order_id":null,"airline":{"reference":"576449881"},"sub_merchant":{"id":"ecb0e32fd3d95b41cbf2ca9a9513a3","registered_name":"Rolfson-Legros","trading_name":"Hane-Jerde","email":"herschel@kilback-hamill.test"},"agreement":null,"transactions":[{"id":"0191f5a7-44ab-7fbb-ab3c-1e1a98a5166e","status":"approved","type":"capture","source_type":"merchant","reverse_reason":null,"justification":null,"reversed_transaction_id":null,"message":"APPROVED","response_code":"00","retrieval_reference":"886117264145","stan":"912425","auth_code":"663390","amount":262346,"refunded_amount":0,"created_at":"2024-09-15T12:27:45Z"},{"id":"f351a2a3-97c4-4f12-add3-80c1044091f5","status":"approved","type":"refund","source_type":"merchant","reverse_reason":null,"justification":null,"reversed_transaction_id":null,"message":"APPROVED","response_code":"00","retrieval_reference":"242590000001","stan":"000001","auth_code":null,"amount":262346,"refunded_amount":0,"created_at":"2024-09-15T12:27:45Z"}]}"#;

const PROFILE: &str = r#"{"source": {"type":"card","scheme":"mastercard","first_digits":"55555555","last_digits":"4444","month":12,"year":2026}, "airline": {"reference":"576449881"},
    "sub_merchant": {"id":"ecb0e32fd3d95b41cbf2ca9a9513a3","registered_name":"Rolfson-Legros","trading_name":"Hane-Jerde","email":"herschel@kilback-hamill.test"},
    "metadata": {"a": 1}, "captures": [{"retrieval_reference":"886117264145","stan":"912425","auth_code":"663390"}]}"#;

fn bits(text: &str) -> u128 {
    parse_uuid(text).expect("a UUID")
}

fn minor(units: i64) -> Minor {
    Minor::new(units).expect("an amount")
}

fn at_ms() -> i64 {
    time::parse(AT).expect("a time")
}

fn merchant() -> MerchantView {
    MerchantView {
        id: MerchantId::new(bits("0191f5a7-44a5-7700-8c11-ffc3703a7990")),
        slug: "merchant-52".to_owned(),
        name: "Merchant 52".to_owned(),
        profile: r#"{"acquirer_id": "0191f5a7-44a2-73d5-9a9c-745f40f8db31",
            "arabic_name": "الإسم العربي", "merchant_number": "60052"}"#
            .to_owned(),
        created_at_ms: 0,
    }
}

fn refund(status: Status) -> RefundView {
    RefundView {
        merchant: merchant().id,
        id: RefundId::new(7),
        payment: PaymentId::new(bits(ORDER)),
        leg: LegId::new(1),
        leg_kind: LegKind::PaymentMethod,
        currency: Currency::parse("SAR").expect("a currency"),
        amount: minor(262_346),
        status,
        connector: "sandbox".to_owned(),
        psp_refund: None,
        fault: None,
        face: "mpg".to_owned(),
        actor: "apk_1".to_owned(),
        reason_code: None,
        reason_text: None,
        reason: None,
        note: None,
        external_identifier: None,
        given_id: Some(bits("f351a2a3-97c4-4f12-add3-80c1044091f5")),
        key_text: None,
        metadata: None,
        reference: Some((time::day(at_ms()), 1)),
        asked_seq: 2,
        asked_at_ms: at_ms(),
        sent_at_ms: None,
        unknown_at_ms: None,
        settled_at_ms: None,
        updated_at_ms: at_ms(),
        next_action_at_ms: None,
        sends: 1,
    }
}

fn payment(refunds: Vec<RefundView>) -> PaymentView {
    let capture = CaptureView {
        id: CaptureId::new(bits("0191f5a7-44ab-7fbb-ab3c-1e1a98a5166e")),
        amount: minor(262_346),
        refunded: minor(262_346),
        at_ms: at_ms(),
    };
    let leg = LegView {
        id: LegId::new(1),
        kind: LegKind::PaymentMethod,
        amount: minor(262_346),
        captures: vec![capture],
        releases: Vec::new(),
    };
    PaymentView {
        merchant: merchant().id,
        id: PaymentId::new(bits(ORDER)),
        currency: Currency::parse("SAR").expect("a currency"),
        legs: vec![leg],
        refunds,
        connector: "manual".to_owned(),
        connector_payment: None,
        external_identifier: None,
        order: None,
        customer: None,
        description: Some("Voluptatum at consequatur ullam.".to_owned()),
        aliases: Vec::new(),
        profile: PROFILE.to_owned(),
        metadata: None,
        decline: None,
        operations: Vec::new(),
        created_at_ms: at_ms(),
        updated_at_ms: at_ms(),
        cancelled_at_ms: None,
        seq: 3,
    }
}

fn text(payment: &PaymentView, shows_allocation: bool) -> String {
    let order = Order::new(payment, &merchant(), shows_allocation);
    serde_json::to_string(&order).expect("an order is JSON")
}

#[test]
fn a_refunded_order_is_shown_as_published() {
    let payment = payment(vec![refund(Status::Succeeded)]);
    assert_eq!(text(&payment, false), PUBLISHED);
}

#[test]
fn capture_rows_show_the_allocation_where_asked_to() {
    let payment = payment(vec![refund(Status::Succeeded)]);
    let rows = PUBLISHED.replacen("\"refunded_amount\":0", "\"refunded_amount\":262346", 1);
    assert_eq!(text(&payment, true), rows);
}

#[test]
fn a_refunds_row_tells_what_became_of_it() {
    for (status, shown, message, code, counts) in [
        (Status::Requested, "initiated", "INITIATED", "null", false),
        (Status::AwaitingApproval, "initiated", "INITIATED", "null", false),
        (Status::Held, "initiated", "INITIATED", "null", false),
        (Status::Ready, "initiated", "INITIATED", "null", false),
        (Status::Dispatched, "initiated", "INITIATED", "null", false),
        (Status::Pending, "initiated", "INITIATED", "null", false),
        (Status::RequiresAction, "initiated", "INITIATED", "null", false),
        (Status::Unknown, "timeout", "TIMEOUT", "null", false),
        (Status::Succeeded, "approved", "APPROVED", "\"00\"", true),
        (Status::Declined, "failed", "INSUFFICIENT FUNDS", "\"51\"", false),
        (Status::Reversed, "failed", "INSUFFICIENT FUNDS", "\"51\"", false),
        (Status::Failed, "system_error", "SYSTEM ERROR", "null", false),
        (Status::Voided, "system_error", "VOIDED", "null", false),
    ] {
        let mut made = refund(status);
        made.fault = Some(Fault { code: "51".to_owned(), text: "No funds".to_owned() });
        let text = text(&payment(vec![made]), false);
        let row = text.rsplit_once("{\"id\"").expect("a row").1;
        assert!(row.contains(&format!(r#""status":"{shown}","#)), "{row}");
        let outcome = format!(r#""message":"{message}","response_code":{code}"#);
        assert!(row.contains(&outcome), "{row}");
        let refunded = if counts { 262_346 } else { 0 };
        let total = format!(r#""refunded_amount":{refunded},"voided_amount""#);
        assert!(text.contains(&total), "{text}");
    }
}

#[test]
fn what_was_registered_comes_first_and_other_faces_refunds_have_no_reference() {
    let mut made = refund(Status::Succeeded);
    made.given_id = None;
    made.reference = None;
    made.asked_at_ms = at_ms() + 2_000;
    let mut payment = payment(vec![made]);
    payment.legs[0].releases.push(ReleaseView {
        id: bits(ORDER),
        amount: minor(5),
        at_ms: at_ms() + 1_000,
    });
    let mut gift = refund(Status::Succeeded);
    gift.leg = LegId::new(2);
    payment.refunds.push(gift);
    let text = text(&payment, false);
    let rows: Vec<&str> = text.split(r#""type":"#).skip(2).collect();
    assert_eq!(rows.len(), 3, "{text}");
    for (row, begins) in rows.iter().zip(["\"capture\"", "\"void\"", "\"refund\""]) {
        assert!(row.starts_with(begins), "{row}");
    }
    assert!(rows[2].contains(r#""retrieval_reference":null,"stan":null"#));
    assert!(rows[1].contains("00000000-0000-0000-0000-000000000007"));
    assert!(text.contains(r#""voided_amount":5,"#));
}

/// Servers of one database carry its time on by themselves between two looks, so the second of two
/// refunds may have the earlier one.
#[test]
fn rows_stand_in_the_order_of_their_events_and_a_reversal_behind_its_refund() {
    let mut undone = refund(Status::Failed);
    undone.given_id = None;
    undone.asked_at_ms = at_ms() + 200;
    undone.unknown_at_ms = Some(at_ms() + 300);
    undone.settled_at_ms = Some(at_ms() + 5_000);
    let second = RefundView {
        id: RefundId::new(8),
        status: Status::Succeeded,
        asked_seq: 5,
        asked_at_ms: at_ms(),
        unknown_at_ms: None,
        ..undone.clone()
    };
    let third = RefundView {
        id: RefundId::new(10),
        asked_seq: 9,
        asked_at_ms: at_ms() + 9_000,
        ..second.clone()
    };
    let text = text(&payment(vec![undone, second, third]), false);
    let found: Vec<(&str, &str)> = text
        .split(r#"{"id":""#)
        .filter_map(|row| Some((row.get(35..36)?, row.split_once(r#""type":""#)?.1)))
        .map(|(id, row)| (id, row.split('"').next().expect("a word")))
        .filter(|(_, kind)| ["refund", "reversal"].contains(kind))
        .collect();
    assert_eq!(found, [("7", "refund"), ("8", "refund"), ("6", "reversal"), ("a", "refund")]);
}
