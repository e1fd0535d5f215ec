//! The `fields` parameter and the default answer, against recordings of the original.

use requite_core::currency::Currency;
use requite_core::id::{CaptureId, LegId, MerchantId, PaymentId, ReasonId, RefundId, parse_ulid};
use requite_core::money::Minor;
use requite_core::payment::LegKind;
use requite_engine::read::LegView;

use super::super::fields::{Selection, render};
use super::*;

fn bits(ulid: &str) -> u128 {
    parse_ulid(ulid).expect("a ULID")
}

fn ms(time: &str) -> i64 {
    crate::time::parse(time).expect("a time")
}

fn units(units: i64) -> Minor {
    Minor::new(units).expect("an amount")
}

/// 100 dollars, captured, 40 of them refunded with a reason and a note, as recorded.
fn payment() -> PaymentView {
    let id = PaymentId::new(bits("01M7ZRTP5QEEQ4AM5WMKHFBX1Q"));
    let leg = LegId::new(id.bits());
    let capture = CaptureView {
        id: CaptureId::new(bits("01M7ZRTPACY0B25EBB7C0TA6KF")),
        amount: units(10_000),
        refunded: units(4_000),
        at_ms: ms("2026-11-21T19:20:15.963Z"),
    };
    PaymentView {
        merchant: MerchantId::new(1),
        id,
        currency: Currency::parse("USD").expect("listed"),
        legs: vec![LegView {
            id: leg,
            kind: LegKind::PaymentMethod,
            amount: units(10_000),
            captures: vec![capture],
            releases: Vec::new(),
        }],
        refunds: vec![refund(id, leg)],
        connector: "manual".to_owned(),
        connector_payment: None,
        external_identifier: None,
        order: Some("order_01M7ZRTP20C2SVG77MB950HCB1".to_owned()),
        customer: None,
        description: None,
        aliases: Vec::new(),
        profile: "{}".to_owned(),
        metadata: None,
        decline: None,
        operations: Vec::new(),
        created_at_ms: ms("2026-11-21T19:20:15.800Z"),
        updated_at_ms: ms("2026-11-21T19:20:16.259Z"),
        cancelled_at_ms: None,
        seq: 4,
    }
}

fn refund(payment: PaymentId, leg: LegId) -> RefundView {
    let asked_at_ms = ms("2026-11-21T19:20:16.201Z");
    RefundView {
        merchant: MerchantId::new(1),
        id: RefundId::new(bits("01M7ZRTPJ898BQPSN3SG9R6TE9")),
        payment,
        leg,
        leg_kind: LegKind::PaymentMethod,
        currency: Currency::parse("USD").expect("listed"),
        amount: units(4_000),
        status: Status::Succeeded,
        connector: "sandbox".to_owned(),
        psp_refund: None,
        fault: None,
        face: "medusa-v2".to_owned(),
        actor: "user_01M7ZR1WA5Y6T1EFKA8FH4HXPW".to_owned(),
        reason_code: None,
        reason_text: None,
        reason: Some(reason()),
        note: Some("box crushed".to_owned()),
        external_identifier: None,
        given_id: None,
        key_text: None,
        metadata: None,
        reference: None,
        asked_seq: 2,
        asked_at_ms,
        sent_at_ms: None,
        unknown_at_ms: None,
        settled_at_ms: Some(asked_at_ms),
        updated_at_ms: asked_at_ms,
        next_action_at_ms: None,
        sends: 0,
    }
}

fn reason() -> ReasonView {
    let made_at_ms = ms("2026-11-21T19:20:15.584Z");
    ReasonView {
        id: ReasonId::new(bits("01M7ZRTNZ0BNBCXQ203BJQW36K")),
        code: "damaged".to_owned(),
        label: "Damaged".to_owned(),
        description: Some("Item arrived damaged".to_owned()),
        created_at_ms: made_at_ms,
        updated_at_ms: made_at_ms,
        deleted_at_ms: None,
    }
}

/// What only the published page shows, behind what the real server sends (decision V2-1).
const TAIL: [(&str, &str); 8] = [
    ("authorized_amount", "100"),
    ("captured_amount", "100"),
    ("refunded_amount", "40"),
    ("provider_id", "\"pp_system_default\""),
    ("data", "{}"),
    ("created_at", "\"2026-11-21T19:20:15.800Z\""),
    ("updated_at", "\"2026-11-21T19:20:16.259Z\""),
    ("canceled_at", "null"),
];

fn answer(view: &PaymentView, fields: Option<&str>) -> String {
    let selection = Selection::read(fields, &PAYMENT_DEFAULTS).expect("few fields");
    let payment = render(&Payment::new(view), &selection);
    format!("{{\"payment\":{payment}}}")
}

/// The recorded answer with the tail, which leaves out what stands before it already.
fn with_tail(recorded: &str) -> String {
    let mut body = recorded.strip_suffix("}}").expect("an object in an object").to_owned();
    let own = body.split(",\"captures\":").next().unwrap_or_default().to_owned();
    for (name, value) in TAIL {
        let member = format!(",\"{name}\":");
        if !own.contains(&member) {
            body.push_str(&member);
            body.push_str(value);
        }
    }
    body.push_str("}}");
    body
}

/// Recorded selections that change the defaults.
const CHANGES: &[(Option<&str>, &str)] = &[
    (
        None,
        r#"{"payment":{"id":"pay_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","currency_code":"usd","amount":100,"captured_at":"2026-11-21T19:20:15.963Z","payment_collection_id":"pay_col_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","payment_session_id":"payses_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","captures":[{"id":"capt_01M7ZRTPACY0B25EBB7C0TA6KF","amount":100}],"refunds":[{"id":"ref_01M7ZRTPJ898BQPSN3SG9R6TE9","amount":40,"note":"box crushed","payment_id":"pay_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","refund_reason_id":"refr_01M7ZRTNZ0BNBCXQ203BJQW36K","refund_reason":{"label":"Damaged","code":"damaged","id":"refr_01M7ZRTNZ0BNBCXQ203BJQW36K"}}]}}"#,
    ),
    (
        Some("+created_at"),
        r#"{"payment":{"id":"pay_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","currency_code":"usd","amount":100,"captured_at":"2026-11-21T19:20:15.963Z","payment_collection_id":"pay_col_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","payment_session_id":"payses_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","created_at":"2026-11-21T19:20:15.800Z","captures":[{"id":"capt_01M7ZRTPACY0B25EBB7C0TA6KF","amount":100}],"refunds":[{"id":"ref_01M7ZRTPJ898BQPSN3SG9R6TE9","amount":40,"note":"box crushed","payment_id":"pay_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","refund_reason_id":"refr_01M7ZRTNZ0BNBCXQ203BJQW36K","refund_reason":{"label":"Damaged","code":"damaged","id":"refr_01M7ZRTNZ0BNBCXQ203BJQW36K"}}]}}"#,
    ),
    (
        Some(" created_at"),
        r#"{"payment":{"id":"pay_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","currency_code":"usd","amount":100,"captured_at":"2026-11-21T19:20:15.963Z","payment_collection_id":"pay_col_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","payment_session_id":"payses_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","created_at":"2026-11-21T19:20:15.800Z","captures":[{"id":"capt_01M7ZRTPACY0B25EBB7C0TA6KF","amount":100}],"refunds":[{"id":"ref_01M7ZRTPJ898BQPSN3SG9R6TE9","amount":40,"note":"box crushed","payment_id":"pay_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","refund_reason_id":"refr_01M7ZRTNZ0BNBCXQ203BJQW36K","refund_reason":{"label":"Damaged","code":"damaged","id":"refr_01M7ZRTNZ0BNBCXQ203BJQW36K"}}]}}"#,
    ),
    (
        Some("-captures"),
        r#"{"payment":{"id":"pay_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","currency_code":"usd","amount":100,"captured_at":"2026-11-21T19:20:15.963Z","payment_collection_id":"pay_col_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","payment_session_id":"payses_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","refunds":[{"id":"ref_01M7ZRTPJ898BQPSN3SG9R6TE9","amount":40,"note":"box crushed","payment_id":"pay_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","refund_reason_id":"refr_01M7ZRTNZ0BNBCXQ203BJQW36K","refund_reason":{"label":"Damaged","code":"damaged","id":"refr_01M7ZRTNZ0BNBCXQ203BJQW36K"}}]}}"#,
    ),
    (
        Some("-refunds"),
        r#"{"payment":{"id":"pay_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","currency_code":"usd","amount":100,"captured_at":"2026-11-21T19:20:15.963Z","payment_collection_id":"pay_col_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","payment_session_id":"payses_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","captures":[{"id":"capt_01M7ZRTPACY0B25EBB7C0TA6KF","amount":100}]}}"#,
    ),
    (
        Some("-id"),
        r#"{"payment":{"currency_code":"usd","amount":100,"captured_at":"2026-11-21T19:20:15.963Z","payment_collection_id":"pay_col_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","payment_session_id":"payses_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","id":"pay_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","captures":[{"id":"capt_01M7ZRTPACY0B25EBB7C0TA6KF","amount":100}],"refunds":[{"id":"ref_01M7ZRTPJ898BQPSN3SG9R6TE9","amount":40,"note":"box crushed","payment_id":"pay_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","refund_reason_id":"refr_01M7ZRTNZ0BNBCXQ203BJQW36K","refund_reason":{"label":"Damaged","code":"damaged","id":"refr_01M7ZRTNZ0BNBCXQ203BJQW36K"}}]}}"#,
    ),
    (
        Some("*refunds"),
        r#"{"payment":{"id":"pay_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","currency_code":"usd","amount":100,"captured_at":"2026-11-21T19:20:15.963Z","payment_collection_id":"pay_col_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","payment_session_id":"payses_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","captures":[{"id":"capt_01M7ZRTPACY0B25EBB7C0TA6KF","amount":100}],"refunds":[{"id":"ref_01M7ZRTPJ898BQPSN3SG9R6TE9","payment_id":"pay_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","refund_reason_id":"refr_01M7ZRTNZ0BNBCXQ203BJQW36K","refund_reason":{"label":"Damaged","code":"damaged","id":"refr_01M7ZRTNZ0BNBCXQ203BJQW36K"},"note":"box crushed","created_by":"user_01M7ZR1WA5Y6T1EFKA8FH4HXPW","metadata":null,"raw_amount":{"value":"40","precision":20},"created_at":"2026-11-21T19:20:16.201Z","updated_at":"2026-11-21T19:20:16.201Z","deleted_at":null,"amount":40}]}}"#,
    ),
    (
        Some("*refunds.refund_reason"),
        r#"{"payment":{"id":"pay_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","currency_code":"usd","amount":100,"captured_at":"2026-11-21T19:20:15.963Z","payment_collection_id":"pay_col_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","payment_session_id":"payses_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","captures":[{"id":"capt_01M7ZRTPACY0B25EBB7C0TA6KF","amount":100}],"refunds":[{"id":"ref_01M7ZRTPJ898BQPSN3SG9R6TE9","amount":40,"note":"box crushed","payment_id":"pay_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","refund_reason_id":"refr_01M7ZRTNZ0BNBCXQ203BJQW36K","refund_reason":{"id":"refr_01M7ZRTNZ0BNBCXQ203BJQW36K","label":"Damaged","code":"damaged","description":"Item arrived damaged","metadata":null,"created_at":"2026-11-21T19:20:15.584Z","updated_at":"2026-11-21T19:20:15.584Z","deleted_at":null}}]}}"#,
    ),
    (
        Some("*payment_collection"),
        r#"{"payment":{"id":"pay_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","currency_code":"usd","amount":100,"captured_at":"2026-11-21T19:20:15.963Z","payment_collection_id":"pay_col_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","payment_session_id":"payses_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","captures":[{"id":"capt_01M7ZRTPACY0B25EBB7C0TA6KF","amount":100}],"refunds":[{"id":"ref_01M7ZRTPJ898BQPSN3SG9R6TE9","amount":40,"note":"box crushed","payment_id":"pay_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","refund_reason_id":"refr_01M7ZRTNZ0BNBCXQ203BJQW36K","refund_reason":{"label":"Damaged","code":"damaged","id":"refr_01M7ZRTNZ0BNBCXQ203BJQW36K"}}],"payment_collection":{"id":"pay_col_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","currency_code":"usd","completed_at":"2026-11-21T19:20:16.201Z","status":"completed","metadata":null,"raw_amount":{"value":"100","precision":20},"raw_authorized_amount":{"value":"100","precision":20},"raw_captured_amount":{"value":"100","precision":20},"raw_refunded_amount":{"value":"40","precision":20},"created_at":"2026-11-21T19:20:15.800Z","updated_at":"2026-11-21T19:20:16.259Z","deleted_at":null,"amount":100,"authorized_amount":100,"captured_amount":100,"refunded_amount":40}}}"#,
    ),
    (
        Some("*amount"),
        r#"{"payment":{"id":"pay_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","currency_code":"usd","captured_at":"2026-11-21T19:20:15.963Z","payment_collection_id":"pay_col_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","payment_session_id":"payses_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","captures":[{"id":"capt_01M7ZRTPACY0B25EBB7C0TA6KF","amount":100}],"refunds":[{"id":"ref_01M7ZRTPJ898BQPSN3SG9R6TE9","amount":40,"note":"box crushed","payment_id":"pay_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","refund_reason_id":"refr_01M7ZRTNZ0BNBCXQ203BJQW36K","refund_reason":{"label":"Damaged","code":"damaged","id":"refr_01M7ZRTNZ0BNBCXQ203BJQW36K"}}]}}"#,
    ),
    (
        Some("*"),
        r#"{"payment":{"id":"pay_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","currency_code":"usd","amount":100,"captured_at":"2026-11-21T19:20:15.963Z","payment_collection_id":"pay_col_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","payment_session_id":"payses_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","captures":[{"id":"capt_01M7ZRTPACY0B25EBB7C0TA6KF","amount":100}],"refunds":[{"id":"ref_01M7ZRTPJ898BQPSN3SG9R6TE9","amount":40,"note":"box crushed","payment_id":"pay_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","refund_reason_id":"refr_01M7ZRTNZ0BNBCXQ203BJQW36K","refund_reason":{"label":"Damaged","code":"damaged","id":"refr_01M7ZRTNZ0BNBCXQ203BJQW36K"}}]}}"#,
    ),
    (
        Some("*nope"),
        r#"{"payment":{"id":"pay_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","currency_code":"usd","amount":100,"captured_at":"2026-11-21T19:20:15.963Z","payment_collection_id":"pay_col_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","payment_session_id":"payses_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","captures":[{"id":"capt_01M7ZRTPACY0B25EBB7C0TA6KF","amount":100}],"refunds":[{"id":"ref_01M7ZRTPJ898BQPSN3SG9R6TE9","amount":40,"note":"box crushed","payment_id":"pay_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","refund_reason_id":"refr_01M7ZRTNZ0BNBCXQ203BJQW36K","refund_reason":{"label":"Damaged","code":"damaged","id":"refr_01M7ZRTNZ0BNBCXQ203BJQW36K"}}]}}"#,
    ),
    (
        Some(" provider_id, created_at"),
        r#"{"payment":{"id":"pay_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","currency_code":"usd","amount":100,"captured_at":"2026-11-21T19:20:15.963Z","payment_collection_id":"pay_col_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","payment_session_id":"payses_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","provider_id":"pp_system_default","created_at":"2026-11-21T19:20:15.800Z","captures":[{"id":"capt_01M7ZRTPACY0B25EBB7C0TA6KF","amount":100}],"refunds":[{"id":"ref_01M7ZRTPJ898BQPSN3SG9R6TE9","amount":40,"note":"box crushed","payment_id":"pay_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","refund_reason_id":"refr_01M7ZRTNZ0BNBCXQ203BJQW36K","refund_reason":{"label":"Damaged","code":"damaged","id":"refr_01M7ZRTNZ0BNBCXQ203BJQW36K"}}]}}"#,
    ),
];

/// Recorded selections that take the defaults' place.
const LISTS: &[(&str, &str)] = &[
    ("amount", r#"{"payment":{"amount":100,"id":"pay_01M7ZRTP5QEEQ4AM5WMKHFBX1Q"}}"#),
    (
        "+provider_id,amount",
        r#"{"payment":{"provider_id":"pp_system_default","amount":100,"id":"pay_01M7ZRTP5QEEQ4AM5WMKHFBX1Q"}}"#,
    ),
    ("refunds", r#"{"payment":{"id":"pay_01M7ZRTP5QEEQ4AM5WMKHFBX1Q"}}"#),
    (
        "refunds.amount,refunds.created_at",
        r#"{"payment":{"id":"pay_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","refunds":[{"amount":40,"created_at":"2026-11-21T19:20:16.201Z","id":"ref_01M7ZRTPJ898BQPSN3SG9R6TE9"}]}}"#,
    ),
    ("nope", r#"{"payment":{"id":"pay_01M7ZRTP5QEEQ4AM5WMKHFBX1Q"}}"#),
    (
        "id,amount,raw_amount,currency_code,provider_id,data,metadata,captured_at,canceled_at,created_at,updated_at,deleted_at,payment_collection_id,payment_session_id",
        r#"{"payment":{"id":"pay_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","amount":100,"raw_amount":{"value":"100","precision":20},"currency_code":"usd","provider_id":"pp_system_default","data":{},"metadata":null,"captured_at":"2026-11-21T19:20:15.963Z","canceled_at":null,"created_at":"2026-11-21T19:20:15.800Z","updated_at":"2026-11-21T19:20:16.259Z","deleted_at":null,"payment_collection_id":"pay_col_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","payment_session_id":"payses_01M7ZRTP5QEEQ4AM5WMKHFBX1Q"}}"#,
    ),
    ("", r#"{"payment":{"id":"pay_01M7ZRTP5QEEQ4AM5WMKHFBX1Q"}}"#),
    (
        "amount ,currency_code",
        r#"{"payment":{"amount":100,"currency_code":"usd","id":"pay_01M7ZRTP5QEEQ4AM5WMKHFBX1Q"}}"#,
    ),
    (
        "id,payment_collection.order.id",
        r#"{"payment":{"id":"pay_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","payment_collection_id":"pay_col_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","payment_collection":{"id":"pay_col_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","order":{"id":"order_01M7ZRTP20C2SVG77MB950HCB1"}}}}"#,
    ),
    (
        "id,refunds.payment.id",
        r#"{"payment":{"id":"pay_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","refunds":[{"id":"ref_01M7ZRTPJ898BQPSN3SG9R6TE9","payment_id":"pay_01M7ZRTP5QEEQ4AM5WMKHFBX1Q"}]}}"#,
    ),
];

#[test]
fn changed_defaults_show_what_was_recorded_and_then_what_the_page_adds() {
    for (fields, recorded) in CHANGES {
        assert_eq!(answer(&payment(), *fields), with_tail(recorded), "{fields:?}");
    }
}

#[test]
fn a_list_shows_exactly_what_was_recorded() {
    for (fields, recorded) in LISTS {
        assert_eq!(answer(&payment(), Some(fields)), *recorded, "{fields:?}");
    }
}

/// The rest of the dialect's rules, each on a selection as small as possible.
#[test]
fn a_list_follows_the_rules_that_no_recording_shows_alone() {
    let id = "pay_01M7ZRTP5QEEQ4AM5WMKHFBX1Q";
    let capture = "capt_01M7ZRTPACY0B25EBB7C0TA6KF";
    let refund = "ref_01M7ZRTPJ898BQPSN3SG9R6TE9";
    let reason = "refr_01M7ZRTNZ0BNBCXQ203BJQW36K";
    for (fields, inside) in [
        // Only commas are an empty list; a prefix in a list is stripped; repeats count once.
        (",,", format!(r#""id":"{id}""#)),
        ("-amount,id,amount", format!(r#""amount":100,"id":"{id}""#)),
        ("Amount,id.x,refunds.,.refunds", format!(r#""id":"{id}""#)),
        // The names that the published page adds.
        ("id,refunded_amount", format!(r#""id":"{id}","refunded_amount":40"#)),
        // The true status is there for those who ask by name.
        (
            "refunds.id,refunds.status",
            format!(r#""id":"{id}","refunds":[{{"id":"{refund}","status":"succeeded"}}]"#),
        ),
        // A star shows all columns, and a parent's id in passing.
        (
            "id,captures.*",
            format!(
                r#""id":"{id}","captures":[{{"id":"{capture}","payment_id":"{id}","metadata":null,"created_by":null,"raw_amount":{{"value":"100","precision":20}},"created_at":"2026-11-21T19:20:15.963Z","updated_at":"2026-11-21T19:20:15.963Z","deleted_at":null,"amount":100}}]"#
            ),
        ),
        (
            "id,*refunds",
            format!(
                r#""id":"{id}","refunds":[{{"id":"{refund}","payment_id":"{id}","refund_reason_id":"{reason}","refund_reason":{{"id":"{reason}"}},"note":"box crushed","created_by":"user_01M7ZR1WA5Y6T1EFKA8FH4HXPW","metadata":null,"raw_amount":{{"value":"40","precision":20}},"created_at":"2026-11-21T19:20:16.201Z","updated_at":"2026-11-21T19:20:16.201Z","deleted_at":null,"amount":40}}]"#
            ),
        ),
        (
            "amount,*payment_session",
            format!(
                r#""amount":100,"id":"{id}","payment_session_id":"payses_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","payment_session":{{"id":"payses_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","currency_code":"usd","provider_id":"pp_system_default","data":{{}},"context":{{}},"status":"authorized","authorized_at":"2026-11-21T19:20:15.800Z","payment_collection_id":"pay_col_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","payment_collection":{{"id":"pay_col_01M7ZRTP5QEEQ4AM5WMKHFBX1Q"}},"metadata":{{}},"raw_amount":{{"value":"100","precision":20}},"created_at":"2026-11-21T19:20:15.800Z","updated_at":"2026-11-21T19:20:15.800Z","deleted_at":null,"amount":100}}"#
            ),
        ),
    ] {
        let expected = format!("{{\"payment\":{{{inside}}}}}");
        assert_eq!(answer(&payment(), Some(fields)), expected, "{fields}");
    }
}

#[test]
fn a_list_as_long_as_a_head_is_refused_and_a_deep_name_is_nobody() {
    let many = "a,".repeat(300);
    assert!(Selection::read(Some(&many), &PAYMENT_DEFAULTS).is_err());
    let deep = format!("{}id", "refunds.".repeat(3_000));
    let id = r#"{"payment":{"id":"pay_01M7ZRTP5QEEQ4AM5WMKHFBX1Q"}}"#;
    assert_eq!(answer(&payment(), Some(&deep)), id);
}

#[test]
fn a_refund_is_shown_while_its_money_is_gone_or_going() {
    for status in Status::LISTED.map(|(status, _, _)| status) {
        let mut view = payment();
        view.refunds[0].status = status;
        let (shown, sum) = if status.holds_money() {
            (r#"[{"amount":40,"id":"ref_01M7ZRTPJ898BQPSN3SG9R6TE9"}]"#, 40)
        } else {
            ("[]", 0)
        };
        let expected = format!(
            r#"{{"payment":{{"refunded_amount":{sum},"id":"pay_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","refunds":{shown}}}}}"#
        );
        let fields = Some("refunded_amount,refunds.amount");
        assert_eq!(answer(&view, fields), expected, "{status:?}");
    }
}

#[test]
fn a_deleted_reason_is_gone_and_its_id_stays() {
    let mut view = payment();
    let reason = view.refunds[0].reason.as_mut().expect("it has one");
    reason.deleted_at_ms = Some(1);
    let expected = r#"{"payment":{"id":"pay_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","refunds":[{"id":"ref_01M7ZRTPJ898BQPSN3SG9R6TE9","refund_reason_id":"refr_01M7ZRTNZ0BNBCXQ203BJQW36K","refund_reason":null}]}}"#;
    let fields = Some("id,refunds.refund_reason.label");
    assert_eq!(answer(&view, fields), expected);
}

#[test]
fn a_payment_that_is_not_captured_as_a_whole_has_no_time_of_capture() {
    let mut view = payment();
    view.legs[0].captures[0].amount = units(9_999);
    let fields = Some("captured_at,captured_amount,payment_collection.status");
    let expected = r#"{"payment":{"captured_at":null,"captured_amount":99.99,"id":"pay_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","payment_collection_id":"pay_col_01M7ZRTP5QEEQ4AM5WMKHFBX1Q","payment_collection":{"status":"authorized","id":"pay_col_01M7ZRTP5QEEQ4AM5WMKHFBX1Q"}}}"#;
    assert_eq!(answer(&view, fields), expected);
}

#[test]
fn metadata_is_what_was_registered_or_came_in_its_place() {
    let id = r#""id":"pay_01M7ZRTP5QEEQ4AM5WMKHFBX1Q""#;
    for (profile, amended, shown) in [
        ("{}", None, "null"),
        (r#"{"metadata":{}}"#, None, "null"),
        (r#"{"metadata":{"b":1.50,"a":"x"}}"#, None, r#"{"b":1.50,"a":"x"}"#),
        (r#"{"metadata":{"b":1}}"#, Some(r#"{"c":[2]}"#), r#"{"c":[2]}"#),
        (r#"{"metadata":{"b":1}}"#, Some("{}"), "null"),
    ] {
        let mut view = payment();
        view.profile = profile.to_owned();
        view.metadata = amended.map(str::to_owned);
        let expected = format!("{{\"payment\":{{\"metadata\":{shown},{id}}}}}");
        assert_eq!(answer(&view, Some("metadata")), expected, "{profile} {amended:?}");
    }
    let mut view = payment();
    view.refunds[0].metadata = Some(r#"{"ticket":7}"#.to_owned());
    let shown = answer(&view, Some("refunds.metadata"));
    assert!(shown.contains(r#""metadata":{"ticket":7}"#), "{shown}");
}

/// Each on top of the defaults: what it changes of them.
#[test]
fn changes_follow_the_rules_that_no_recording_shows_alone() {
    let whole = answer(&payment(), None);
    let reason = r#","refund_reason_id":"refr_01M7ZRTNZ0BNBCXQ203BJQW36K","refund_reason":{"label":"Damaged","code":"damaged","id":"refr_01M7ZRTNZ0BNBCXQ203BJQW36K"}"#;
    let created = r#","created_at":"2026-11-21T19:20:16.201Z""#;
    let back = r#""amount":100,"payment_id":"pay_01M7ZRTP5QEEQ4AM5WMKHFBX1Q"}],"#;
    for (fields, from, to) in [
        // One nested field, and all below a nested relation.
        ("-refunds.note", r#""note":"box crushed","#, String::new()),
        ("-captures.amount", r#","amount":100}],"#, "}],".to_owned()),
        ("-refunds.refund_reason", reason, String::new()),
        // A nested field comes behind those of its relation and before the relation's relations.
        ("+refunds.created_at", reason, format!("{created}{reason}")),
        // The way back is not gone, but its key is named.
        ("+refunds.payment.amount,*captures.payment", r#""amount":100}],"#, back.to_owned()),
        // What the published page adds goes like the rest.
        ("-data", r#""data":{},"#, String::new()),
        // What is there stays where it is, and what is nothing changes nothing.
        ("+amount,+id, currency_code", "", String::new()),
        ("-nothing,+nothing,+Amount,-refunds.nothing,+refunds.nothing", "", String::new()),
    ] {
        let (before, after) = whole.split_once(from).expect("shown by default");
        let expected = format!("{before}{to}{after}");
        assert_eq!(answer(&payment(), Some(fields)), expected, "{fields}");
    }
}

#[test]
fn the_provider_and_metadata_are_those_of_the_registration() {
    let mut view = payment();
    view.connector = "sandbox".to_owned();
    view.connector_payment = Some("pi_1".to_owned());
    view.profile = r#"{"metadata":{"b":1.50,"a":"x"}}"#.to_owned();
    let expected = r#"{"payment":{"provider_id":"pp_sandbox_sandbox","data":{"id":"pi_1"},"metadata":{"b":1.50,"a":"x"},"id":"pay_01M7ZRTP5QEEQ4AM5WMKHFBX1Q"}}"#;
    assert_eq!(answer(&view, Some("provider_id,data,metadata")), expected);
}
