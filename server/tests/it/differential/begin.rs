//! Payments as each face makes them. A face that takes neither cards nor somebody's word that it was
//! paid leaves it to registration.

use serde_json::{Value, json};

use super::history::{AMOUNT, Start};
use crate::support::{Face, Request, Server, Shop};

const CARD: &str = "4242424242424242";

/// The payment as the native API shows it.
pub(super) fn begin(server: &Server, shop: &Shop, face: Option<Face>, start: &Start) -> Value {
    let id = match (start, face) {
        (Start::Authorized, Some(Face::Mpg)) => mpg(server, shop, "authorize"),
        (Start::Authorized, Some(Face::Gr4vy)) => gr4vy(server, shop, "authorize"),
        (Start::Taken, Some(Face::Mpg)) => mpg(server, shop, "purchase"),
        (Start::Taken, Some(Face::Gr4vy)) => gr4vy(server, shop, "capture"),
        (Start::Taken, Some(Face::Loop)) => checkout(server, shop),
        (Start::Taken, Some(Face::MedusaV2)) => marked_as_paid(server, shop),
        _ => return server.register(&shop.native, &registration(start)),
    };
    let shown =
        server.send(&Request::get(&format!("/api/payments/{id}")).bearer(&shop.native.token));
    assert_eq!(shown.status, 200, "{face:?}: {}", shown.text());
    shown.json()
}

fn registration(start: &Start) -> Value {
    let (captures, gift_card, script) = match start {
        Start::Registered { captures, gift_card, script } => {
            (captures.clone(), *gift_card, script.clone())
        }
        Start::Authorized => (Vec::new(), 0, Vec::new()),
        Start::Taken => (vec![AMOUNT], 0, Vec::new()),
    };
    let captures: Vec<Value> = captures.iter().map(|cents| json!({"amount": cents})).collect();
    let cards: Vec<Value> =
        (gift_card > 0).then(|| json!({"amount": gift_card})).into_iter().collect();
    json!({"amount": AMOUNT, "currency": "USD", "captures": captures, "gift_cards": cards,
        "connector": "sandbox", "sandbox": script})
}

/// What `face` makes of a body; the member of the answer that is the payment's id.
fn made(
    server: &Server,
    shop: &Shop,
    (face, path): (Face, &str),
    (body, member): (&Value, &str),
) -> String {
    let answer = server.send(&shop.credential(face, Request::post(path).json(body)));
    assert!(matches!(answer.status, 200 | 201), "{path}: {}", answer.text());
    let id = answer.json().pointer(member).and_then(Value::as_str).map(str::to_owned);
    id.unwrap_or_else(|| panic!("no {member}: {}", answer.text()))
}

fn mpg(server: &Server, shop: &Shop, kind: &str) -> String {
    let source = json!({"type": "card", "number": CARD, "month": 12, "year": 2099});
    let body = json!({"amount": AMOUNT, "currency": "USD", "source": source});
    made(server, shop, (Face::Mpg, &format!("/mpg/v1/orders/{kind}")), (&body, "/id"))
}

fn gr4vy(server: &Server, shop: &Shop, intent: &str) -> String {
    let method = json!({"method": "card", "number": CARD, "expiration_date": "12/99",
        "security_code": "123"});
    let body = json!({"amount": AMOUNT, "currency": "USD", "intent": intent,
        "payment_method": method});
    made(server, shop, (Face::Gr4vy, "/gr4vy/transactions"), (&body, "/id"))
}

fn checkout(server: &Server, shop: &Shop) -> String {
    let body = json!({"customer_id": "cus_1", "amount_cents": AMOUNT});
    made(server, shop, (Face::Loop, "/loop/v1/checkout"), (&body, "/id"))
}

fn marked_as_paid(server: &Server, shop: &Shop) -> String {
    // An order is known by its payments.
    let order = "order_01M7ZRWZKP8NFRDWHTB0DYHEF2";
    let earlier = json!({"amount": AMOUNT, "currency": "USD", "order": order});
    server.register(&shop.native, &earlier);
    let collections = "/medusa/v2/admin/payment-collections";
    let asked = json!({"order_id": order, "amount": AMOUNT / 100});
    let found = (&asked, "/payment_collection/id");
    let collection = made(server, shop, (Face::MedusaV2, collections), found);
    let mark = format!("{collections}/{collection}/mark-as-paid");
    let paid = json!({"order_id": order});
    made(server, shop, (Face::MedusaV2, &mark), (&paid, "/payment_collection/payments/0/id"))
}
