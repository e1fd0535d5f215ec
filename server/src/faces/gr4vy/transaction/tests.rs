use requite_core::currency::Currency;
use requite_core::id::{CaptureId, LegId, MerchantId, PaymentId};
use requite_core::money::Minor;
use requite_engine::read::{CaptureView, LegView, ReleaseView};

use super::*;

/// Members without which an SDK refuses a transaction; none may be null.
const REQUIRED: [&str; 26] = [
    "type",
    "id",
    "reconciliation_id",
    "merchant_account_id",
    "currency",
    "amount",
    "status",
    "authorized_amount",
    "captured_amount",
    "refunded_amount",
    "settled_amount",
    "settled",
    "intent",
    "gift_card_redemptions",
    "created_at",
    "updated_at",
    "disputed",
    "payment_source",
    "merchant_initiated",
    "is_subsequent_payment",
    "intent_outcome",
    "multi_tender",
    "account_funding_transaction",
    "pending_review",
    "additional_identifiers",
    "authorized_at",
];

fn minor(units: i64) -> Minor {
    Minor::new(units).expect("an amount")
}

fn leg(number: u128, kind: LegKind, amount: i64, captured: i64, released: i64) -> LegView {
    let capture = CaptureView {
        id: CaptureId::new(number),
        amount: minor(captured),
        refunded: Minor::ZERO,
        at_ms: 1,
    };
    let release = ReleaseView { id: number, amount: minor(released), at_ms: 2 };
    LegView {
        id: LegId::new(number),
        kind,
        amount: minor(amount),
        captures: (captured > 0).then_some(capture).into_iter().collect(),
        releases: (released > 0).then_some(release).into_iter().collect(),
    }
}

fn payment(legs: Vec<LegView>, profile: &str) -> PaymentView {
    PaymentView {
        merchant: MerchantId::new(1),
        id: PaymentId::new(2),
        currency: Currency::parse("USD").expect("a currency"),
        legs,
        refunds: Vec::new(),
        connector: "manual".to_owned(),
        connector_payment: None,
        external_identifier: None,
        order: None,
        customer: None,
        description: None,
        aliases: Vec::new(),
        profile: profile.to_owned(),
        metadata: None,
        decline: None,
        operations: Vec::new(),
        created_at_ms: 0,
        updated_at_ms: 0,
        cancelled_at_ms: None,
        seq: 1,
    }
}

fn shown(view: &PaymentView) -> Value {
    let text = serde_json::to_string(&transaction(view, "acme")).expect("JSON values have a text");
    serde_json::from_str(&text).expect("no name is there twice")
}

fn card(amount: i64, captured: i64, released: i64) -> LegView {
    leg(10, LegKind::PaymentMethod, amount, captured, released)
}

#[test]
fn a_transaction_has_every_member_that_an_sdk_demands() {
    for profile in ["{}", "", r#"{"source":{"type":"card"},"metadata":{"a":1}}"#] {
        let gift_card = leg(11, LegKind::GiftCard, 100, 100, 0);
        let shown = shown(&payment(vec![card(1199, 1199, 0), gift_card], profile));
        for name in REQUIRED {
            assert!(!shown[name].is_null(), "{name} with {profile}");
        }
        assert_eq!(shown["amount"], 1299);
        assert_eq!(shown["authorized_amount"], 1199);
        assert_eq!(shown["merchant_account_id"], "acme");
        let redemption = &shown["gift_card_redemptions"][0];
        assert_eq!(redemption["amount"], 100);
        assert_eq!(redemption["refunded_amount"], 0);
        assert_eq!(redemption["id"], uuid_text(11));
    }
}

#[test]
fn the_status_follows_captures_and_releases() {
    for (leg, status) in [
        (card(100, 100, 0), "capture_succeeded"),
        (card(100, 40, 60), "capture_succeeded"),
        (card(100, 0, 0), "authorization_succeeded"),
        (card(100, 0, 40), "authorization_succeeded"),
        (card(100, 0, 100), "authorization_voided"),
    ] {
        let view = payment(vec![leg], "{}");
        assert_eq!(shown(&view)["status"], status, "{:?}", view.legs);
    }
    let gift_card = leg(11, LegKind::GiftCard, 100, 100, 0);
    let only_gift_cards = payment(vec![card(0, 0, 0), gift_card], "{}");
    assert_eq!(shown(&only_gift_cards)["status"], "capture_succeeded");
}

#[test]
fn the_card_and_the_metadata_are_those_of_the_registration() {
    let profile = r#"{"source":{"type":"card","scheme":"mada","last_digits":"4444","month":3,
        "year":2030},"metadata":{"a":"x","b":1}}"#;
    let shown = shown(&payment(vec![card(100, 100, 0)], profile));
    let method = &shown["payment_method"];
    assert_eq!(method["label"], "4444");
    assert_eq!(method["scheme"], "mada");
    assert_eq!(method["expiration_date"], "03/30");
    assert_eq!(method["id"], uuid_text(10));
    assert_eq!(shown["method"], "card");
    assert_eq!(shown["metadata"], json!({"a": "x", "b": "1"}));
}
