//! Which members of a payment are shown.

use requite_core::currency::Currency;
use requite_core::id::{CaptureId, LegId};
use requite_core::money::Minor;
use requite_core::payment::LegKind;
use requite_engine::read::{CaptureView, LegView};

use super::*;

fn payment() -> PaymentView {
    let minor = |units| Minor::new(units).expect("an amount");
    let capture = CaptureView {
        id: CaptureId::new(3),
        amount: minor(10_000),
        refunded: minor(0),
        at_ms: 1_726_403_265_123,
    };
    let leg = LegView {
        id: LegId::new(2),
        kind: LegKind::PaymentMethod,
        amount: minor(10_000),
        captures: vec![capture],
        releases: Vec::new(),
    };
    PaymentView {
        merchant: MerchantId::new(1),
        id: PaymentId::new(0x0191_f5a7_44d3_7430_8739_2d80_8214_16bf),
        currency: Currency::parse("EUR").expect("listed"),
        legs: vec![leg],
        refunds: Vec::new(),
        connector: "manual".to_owned(),
        connector_payment: None,
        external_identifier: None,
        order: Some("order_1".to_owned()),
        customer: None,
        description: None,
        aliases: Vec::new(),
        profile: r#"{"metadata":{"rate":1.10},"source":{}}"#.to_owned(),
        metadata: None,
        decline: None,
        operations: Vec::new(),
        created_at_ms: 0,
        updated_at_ms: 1,
        cancelled_at_ms: None,
        seq: 1,
    }
}

fn selection(query: &[(&str, &str)]) -> Result<Selection, String> {
    let owned: Vec<_> =
        query.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect();
    Selection::read(&owned, &SHAPE).map_err(|failure| match failure {
        Failure::Complaint(complaint) => complaint.text().to_owned(),
        other => format!("{other:?}"),
    })
}

fn shown(query: &[(&str, &str)]) -> String {
    let selection = selection(query).expect("known names");
    serde_json::to_string(&selection.of(&SHAPE, &payment())).expect("an object")
}

#[test]
fn a_payment_shows_its_twelve_members() {
    assert_eq!(
        shown(&[]),
        r#"{"id":"pay_01J7TTEH6KEGR8EE9DG21185NZ","swap_id":null,"cart_id":null,"#.to_owned()
            + r#""order_id":"order_1","amount":10000,"currency_code":"eur","amount_refunded":0,"#
            + r#""provider_id":"manual","data":{},"captured_at":"2024-09-15T12:27:45.123Z","#
            + r#""canceled_at":null,"metadata":{"rate":1.10}}"#
    );
}

#[test]
fn fields_replace_add_and_take_away() {
    let id = r#""id":"pay_01J7TTEH6KEGR8EE9DG21185NZ""#;
    for (fields, object) in [
        ("amount,currency_code", format!(r#"{{{id},"amount":10000,"currency_code":"eur"}}"#)),
        ("", format!("{{{id}}}")),
        ("amount,-data", format!(r#"{{{id},"amount":10000,"data":{{}}}}"#)),
        (
            "amount,order.id",
            format!(r#"{{{id},"amount":10000,"order":{{"object":"order","id":"order_1"}}}}"#),
        ),
    ] {
        assert_eq!(shown(&[("fields", fields)]), object, "{fields}");
    }
    assert!(
        shown(&[("fields", "+created_at")])
            .ends_with(r#""metadata":{"rate":1.10},"created_at":"1970-01-01T00:00:00.000Z"}"#)
    );
    assert!(!shown(&[("fields", "-data,-id,-nope")]).contains("data\":{}"));
    assert!(shown(&[("fields", "-data,-id")]).contains(id));
    let expanded = shown(&[("expand", "currency,cart")]);
    assert!(expanded.ends_with(r#","currency":{"code":"eur"},"cart":null}"#), "{expanded}");
}

#[test]
fn a_query_that_cannot_be_met_is_refused() {
    for (query, message) in [
        (&[("foo", "1")][..], "property foo should not exist"),
        (&[("fields", "a"), ("fields", "b")], "fields must be a string"),
        (&[("fields[]", "a")], "fields must be a string"),
        (
            &[("expand[a]", "b"), ("x[y]", "1"), ("x[z]", "1")],
            "property x should not exist, expand must be a string",
        ),
        (&[("fields", "nope")], "fields has an unknown name: nope"),
        (&[("fields", " created_at")], "fields has an unknown name:  created_at"),
        (&[("expand", "order.items")], "expand has an unknown name: order.items"),
    ] {
        assert_eq!(selection(query), Err(message.to_owned()), "{query:?}");
    }
}
