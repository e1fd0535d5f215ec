//! What is done and cannot be read back is never called undone (decisions A5 and B35), and its key finds
//! it once the store can be read again.

use requite_core::id::{PaymentId, prefixed_text, uuid_text};
use requite_engine::fault::{Point, break_at};

use super::*;
use crate::faces::testing::SHOP;

/// One change: its face, its path with a payment's `UUID` or `PREFIXED` id in it, its body, and what is
/// said while the store cannot be read.
type Change = (&'static str, &'static str, &'static str, Said);

/// A status, and some words of the body.
type Said = (u16, &'static str);

/// Refunds, and what their repeats are told. First answers come from the lane, unless they show the whole
/// payment.
const REFUNDS: [(Change, Said); 6] = [
    (
        ("native", "/payments/UUID/refunds", r#"{"amount":100}"#, (201, r#""amount":100,"#)),
        (500, r#""code":"unshown""#),
    ),
    (
        (
            "medusa-v1",
            "/admin/payments/PREFIXED/refund",
            r#"{"amount":100,"reason":"other"}"#,
            (200, r#""amount":100,"#),
        ),
        (500, "It was carried out"),
    ),
    (
        (
            "medusa-v2",
            "/admin/payments/PREFIXED/refund",
            r#"{"amount":1}"#,
            (200, r#"{"payment":{"id":"pay_"#),
        ),
        (200, r#"{"payment":{"id":"pay_"#),
    ),
    (
        (
            "mpg",
            "/v1/orders/UUID/refund",
            r#"{"amount":100}"#,
            (500, "The request was carried out"),
        ),
        (500, "The request was carried out"),
    ),
    (
        ("gr4vy", "/transactions/UUID/refunds", r#"{"amount":100}"#, (201, r#""amount":100,"#)),
        (409, r#""code":"refund_made""#),
    ),
    (
        (
            "loop",
            "/v1/refunds",
            r#"{"payment_id":"PREFIXED","amount_cents":100}"#,
            (201, r#""amount_cents":100,"#),
        ),
        (500, "the refund was made"),
    ),
];

const OTHERS: [Change; 9] = [
    ("native", "/payments/UUID/captures", r#"{"amount":100}"#, (500, r#""code":"unshown""#)),
    ("native", "/payments/UUID/voids", "{}", (500, r#""code":"unshown""#)),
    (
        "native",
        "/payments",
        r#"{"amount":5,"currency":"USD","connector":"manual"}"#,
        (500, r#""code":"unshown""#),
    ),
    ("medusa-v1", "/admin/payments/PREFIXED/capture", "{}", (500, "It was carried out")),
    ("medusa-v2", "/admin/payments/PREFIXED/capture", "{}", (500, "It was carried out")),
    (
        "mpg",
        "/v1/orders/UUID/capture",
        r#"{"amount":100,"final":false}"#,
        (500, "The request was carried out"),
    ),
    (
        "gr4vy",
        "/transactions/UUID/capture",
        r#"{"amount":100}"#,
        (409, r#""code":"transaction_made""#),
    ),
    ("gr4vy", "/transactions/UUID/void", "{}", (409, r#""code":"transaction_made""#)),
    (
        "loop",
        "/v1/checkout",
        r#"{"customer_id":"cus_1","amount_cents":4200,"order_id":"o"}"#,
        (500, "was made and could not be read"),
    ),
];

/// One change of one payment, always with the same key.
struct Asked<'a> {
    house: &'a House,
    credential: Credential,
    path: String,
    body: String,
}

impl<'a> Asked<'a> {
    fn new(house: &'a House, change: Change, payment: PaymentId) -> Asked<'a> {
        let (face, path, body, _) = change;
        let written = |text: &str| {
            let text = text.replace("UUID", &uuid_text(payment.bits()));
            text.replace("PREFIXED", &prefixed_text("pay_", payment.bits()))
        };
        Asked {
            house,
            credential: house.credential(SHOP, face, None),
            path: format!("{}{}", prefix(face), written(path)),
            body: written(body),
        }
    }

    async fn send(&self) -> Answer {
        let (name, value) = &self.credential;
        let headers = [
            (*name, value.as_str()),
            ("content-type", "application/json"),
            ("idempotency-key", "b7d6f3a0-6c1e-4d0e-9a51-0d7f2f3c4e5a"),
        ];
        self.house.exchange("POST", &self.path, &headers, self.body.clone()).await
    }

    /// The same while nothing that is done can be read back. The first answer, and a repeat's.
    async fn send_blind(&self, said: [Said; 2]) -> [Answer; 2] {
        break_at(Some(Point::ReadBack));
        let answers = [self.send().await, self.send().await];
        break_at(None);
        for (answer, (status, words)) in answers.iter().zip(said) {
            assert_eq!(answer.status, status, "{}: {}", self.path, answer.told());
            assert!(answer.text.contains(words), "{}: {}", self.path, answer.told());
        }
        for answer in &answers {
            let text = answer.text.to_lowercase();
            for lie in ["nothing was", "try again", "shortly", "unknown_error"] {
                assert!(!text.contains(lie), "{}: {}", self.path, answer.told());
            }
            assert!(![429, 503].contains(&answer.status), "{}: {}", self.path, answer.told());
            assert_eq!(answer.header("retry-after"), None, "{}", self.path);
        }
        answers
    }
}

#[tokio::test]
async fn a_refund_that_cannot_be_read_back_is_told_as_made_and_is_made_once() {
    let house = House::open();
    for (change, repeat) in REFUNDS {
        let payment = house.register(|_| ()).await;
        let asked = Asked::new(&house, change, payment);
        let blind = asked.send_blind([change.3, repeat]).await;
        let seen = asked.send().await;
        assert!((200..300).contains(&seen.status), "{}: {}", asked.path, seen.told());
        assert_eq!(seen.header("idempotent-replayed"), Some("true"), "{}", asked.path);
        let id = seen.header("requite-refund-id").expect("it is known");
        for answer in blind {
            assert_eq!(answer.header("requite-refund-id"), Some(id), "{}", asked.path);
            assert_eq!(answer.header("requite-refund-status"), Some("succeeded"), "{}", asked.path);
        }
        let view = house.desk.payment(SHOP, payment, None).await.expect("it can be read");
        assert_eq!(view.expect("it is there").refunds.len(), 1, "{}", asked.path);
    }
}

#[tokio::test]
async fn whatever_else_is_done_and_cannot_be_read_back_is_told_as_done() {
    let house = House::open();
    for change in OTHERS {
        let payment = house.register(|new| {
            new.captures.clear();
            new.connector = "manual".to_owned();
        });
        let payment = payment.await;
        let asked = Asked::new(&house, change, payment);
        asked.send_blind([change.3, change.3]).await;
        let seen = asked.send().await;
        assert!((200..300).contains(&seen.status), "{}: {}", asked.path, seen.told());
        assert_eq!(seen.header("idempotent-replayed"), Some("true"), "{}", asked.path);
    }
}
