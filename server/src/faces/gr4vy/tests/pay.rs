//! Taking payments, and what a transaction is called. What may be done with one before it is refunded
//! is in [`super::book`].

use axum::http::Method;

use super::stage::{Call, token};
use super::*;

const NUMBER: &str = "4242424242424242";
const GIFT_CARD: &str = "4123455541234567";

pub(super) fn card(number: &str) -> Value {
    json!({"method": "card", "number": number, "expiration_date": "12/30", "security_code": "123"})
}

/// 12.99 USD with a card that is good.
pub(super) fn payment() -> Value {
    json!({"amount": 1299, "currency": "USD", "payment_method": card(NUMBER)})
}

pub(super) fn with(mut body: Value, members: Value) -> Value {
    let members = members.as_object().expect("members").clone();
    body.as_object_mut().expect("members").extend(members);
    body
}

impl Stage {
    pub(super) async fn pay(&self, body: &Value) -> Answer {
        self.send(self.post("/transactions", &body.to_string())).await
    }

    /// Makes a transaction; its id.
    pub(super) async fn paid(&self, body: &Value) -> String {
        let made = self.pay(body).await;
        assert_eq!(made.status, 201, "{}", made.text);
        made.json()["id"].as_str().expect("an id").to_owned()
    }

    pub(super) async fn ask(&self, id: &str, call: &str, body: &Value) -> Answer {
        self.send(self.post(&format!("/transactions/{id}/{call}"), &body.to_string())).await
    }

    pub(super) async fn preferring(&self, id: &str, call: &str, body: &Value) -> Answer {
        let post = self.post(&format!("/transactions/{id}/{call}"), &body.to_string());
        let resource = format!("respond-async, resource=transaction-{call}");
        self.send(post.header("prefer", &resource)).await
    }

    pub(super) async fn put(&self, id: &str, body: &Value) -> Answer {
        let put = Call::new(Method::PUT, &format!("/transactions/{id}")).bearer(&self.token());
        self.send(put.json(&body.to_string())).await
    }

    pub(super) async fn read(&self, id: &str) -> Value {
        self.send(self.get(&format!("/transactions/{id}"))).await.json()
    }
}

#[tokio::test]
async fn a_card_is_authorised_or_charged_and_what_is_kept_of_it_is_shown() {
    let stage = Stage::open();
    for (intent, status, captured) in [
        (Value::Null, "authorization_succeeded", 0),
        (json!("authorize"), "authorization_succeeded", 0),
        (json!("capture"), "capture_succeeded", 1299),
    ] {
        let made = stage.pay(&with(payment(), json!({"intent": intent}))).await;
        assert_eq!(made.status, 201, "{}", made.text);
        let shown = made.json();
        assert_eq!(shown["status"], status, "{intent}");
        assert_eq!(shown["captured_amount"], captured);
        assert_eq!(shown["authorized_amount"], 1299);
        assert_eq!(shown["intent_outcome"], "succeeded");
        assert_eq!(shown["captured_at"].is_null(), captured == 0);
        assert_eq!(shown["intent"], intent.as_str().unwrap_or("authorize"));
        assert_eq!(shown["instrument_type"], "pan");
        let method = &shown["payment_method"];
        assert_eq!(method["label"], "4242");
        assert_eq!(method["details"]["bin"], "42424242");
        assert_eq!(
            (&method["scheme"], &method["expiration_date"]),
            (&json!("visa"), &json!("12/30"))
        );
        assert!(!made.text.contains(NUMBER));
        let id = shown["id"].as_str().expect("an id");
        assert_eq!(stage.read(id).await, shown);
    }
}

#[tokio::test]
async fn a_declined_card_makes_a_transaction_that_nothing_can_be_taken_of() {
    let stage = Stage::open();
    for (number, amount, status, error_code, raw) in [
        ("4000000000000002", 1299, "authorization_declined", "issuer_decline", "05"),
        ("4000000000009995", 1299, "authorization_declined", "insufficient_funds", "51"),
        ("4000000000000119", 1299, "authorization_failed", "service_error", "96"),
        (NUMBER, 200_011, "authorization_declined", "insufficient_funds", "insufficient_funds"),
        (NUMBER, 300_009, "authorization_failed", "missing_cvv", "missing_cvv"),
    ] {
        let body = with(
            payment(),
            json!({"amount": amount, "payment_method": card(number), "intent": "capture"}),
        );
        let made = stage.pay(&body).await;
        assert_eq!(made.status, 201, "{}", made.text);
        let shown = made.json();
        assert_eq!(shown["status"], status, "{number}");
        assert_eq!(shown["error_code"], error_code);
        assert_eq!(shown["raw_response_code"], raw);
        assert_eq!(shown["intent_outcome"], "failed");
        assert_eq!(
            (&shown["authorized_amount"], &shown["captured_amount"]),
            (&json!(0), &json!(0))
        );
        assert_eq!(shown["authorized_at"], Value::Null);
        let id = shown["id"].as_str().expect("an id");
        for call in ["capture", "void", "refunds"] {
            let refused = stage.ask(id, call, &json!({})).await;
            assert_error(&refused, 400, "bad_request");
            assert_eq!(pointers(&refused), ["/amount"], "{call}");
        }
    }
}

#[tokio::test]
async fn a_card_is_good_until_its_last_month_is_over() {
    // The stage's clock stands in September 2024.
    let stage = Stage::open();
    for (expiration, status) in [
        ("09/24", "authorization_succeeded"),
        ("08/24", "authorization_declined"),
        ("12/23", "authorization_declined"),
    ] {
        let mut body = payment();
        body["payment_method"]["expiration_date"] = json!(expiration);
        let made = stage.pay(&body).await.json();
        assert_eq!(made["status"], status, "{expiration}");
        let code = (status == "authorization_declined").then_some("expired_payment_method");
        assert_eq!(made["error_code"], json!(code));
        assert_eq!(made["auth_response_code"], json!(code.map(|_| "54")));
    }
}

#[tokio::test]
async fn gift_cards_pay_first_and_are_refunded_by_their_redemptions() {
    let stage = Stage::open();
    let gift_card = json!({"number": GIFT_CARD, "pin": "0123", "amount": 500});
    let body = with(payment(), json!({"gift_cards": [gift_card], "intent": "capture"}));
    let shown = stage.pay(&body).await.json();
    assert_eq!(shown["amount"], 1299);
    assert_eq!(
        (&shown["authorized_amount"], &shown["captured_amount"]),
        (&json!(799), &json!(799))
    );
    assert_eq!(shown["multi_tender"], true);
    let redemption = &shown["gift_card_redemptions"][0];
    assert_eq!((&redemption["status"], &redemption["amount"]), (&json!("succeeded"), &json!(500)));
    let digits = json!({"type": "gift-card", "id": null, "bin": "412345", "sub_bin": "554",
        "last4": "4567"});
    assert_eq!(redemption["gift_card"], digits);
    let id = shown["id"].as_str().expect("an id");
    let all = stage.ask(id, "refunds/all", &json!({})).await.json();
    let amounts: Vec<&Value> =
        all["items"].as_array().expect("refunds").iter().map(|refund| &refund["amount"]).collect();
    assert_eq!(amounts, [799, 500]);

    let mut alone = body.clone();
    alone["amount"] = json!(500);
    alone["payment_method"] = Value::Null;
    let shown = stage.pay(&alone).await.json();
    assert_eq!(
        (&shown["status"], &shown["payment_method"]),
        (&json!("capture_succeeded"), &Value::Null)
    );

    let declined = with(body, json!({"payment_method": card("4000000000000002")}));
    let shown = stage.pay(&declined).await.json();
    let redemption = &shown["gift_card_redemptions"][0];
    assert_eq!((&redemption["status"], &redemption["amount"]), (&json!("skipped"), &json!(500)));
    assert_eq!(shown["amount"], 1299);
}

#[tokio::test]
async fn what_a_creation_says_is_shown_again_in_the_forms_of_the_api() {
    let stage = Stage::open();
    let said = json!({
        "country": "US",
        "external_identifier": "order-1",
        "metadata": {"order": "1"},
        "payment_source": "recurring",
        "merchant_initiated": true,
        "is_subsequent_payment": true,
        "buyer": {"display_name": "John", "external_identifier": "b-1", "account_number": NUMBER,
            "billing_details": {"first_name": "John", "last_name": null,
                "address": {"city": "San Jose"}, "tax_id": {"value": "1", "kind": "us.ein"}},
            "shipping_details": {"first_name": "Jane"}},
        "cart_items": [{"name": "Shoe", "quantity": 1, "unit_amount": 1299, "categories": ["a"]}],
        "airline": {"booking_code": "X", "issued_at": "2013-07-16T19:23:00Z",
            "legs": [{"flight_number": "1"}]},
        "recipient": {"first_name": "A", "last_name": "B", "account_number": NUMBER},
        "statement_descriptor": {"name": "Shop"},
        "tax_amount": 10,
        "amount_includes_tax": true,
        "store": false, "async_capture": false, "allow_partial_authorization": false,
        "account_funding_transaction": false,
        "browser_info": {"language": "en"}, "three_d_secure_data": {"cavv": "x"},
        "connection_options": {}, "buyer_id": null,
    });
    let made = stage.pay(&with(payment(), said.clone())).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let shown = made.json();
    for name in [
        "country",
        "external_identifier",
        "metadata",
        "payment_source",
        "merchant_initiated",
        "is_subsequent_payment",
        "cart_items",
        "statement_descriptor",
        "tax_amount",
        "amount_includes_tax",
    ] {
        assert_eq!(shown[name], said[name], "{name}");
    }
    assert_eq!(shown["recipient"], json!({"first_name": "A", "last_name": "B"}));
    assert_eq!(shown["airline"]["issued_at"], "2013-07-16T19:23:00.000000+00:00");
    assert_eq!(shown["buyer"]["external_identifier"], "b-1");
    assert_eq!(shown["buyer"]["account_number"], Value::Null);
    assert_eq!(shown["buyer"]["billing_details"]["address"], json!({"city": "San Jose"}));
    assert_eq!(shown["shipping_details"]["first_name"], "Jane");
    assert_eq!(shown["shipping_details"]["type"], "shipping-details");
    assert!(!made.text.contains(NUMBER));
}

#[tokio::test]
async fn what_cannot_be_taken_is_refused_with_its_place() {
    let stage = Stage::open();
    let of_card = |member: Value| json!({"payment_method": with(card(NUMBER), member)});
    let gift = |amount: i64| json!([{"number": GIFT_CARD, "pin": "1", "amount": amount}]);
    for (change, pointer) in [
        (json!({"amount": null}), "/amount"),
        (json!({"amount": -1}), "/amount"),
        (json!({"amount": 100_000_000}), "/amount"),
        (json!({"amount": 1.5}), "/amount"),
        (json!({"amount": 0, "intent": "capture"}), "/amount"),
        (json!({"currency": null}), "/currency"),
        (json!({"currency": "usd"}), "/currency"),
        (json!({"currency": "XXX"}), "/currency"),
        (json!({"payment_method": null}), "/payment_method"),
        (json!({"payment_method": "card"}), "/payment_method"),
        (json!({"payment_method": {"method": "id", "id": NUMBER}}), "/payment_method/id"),
        (
            json!({"payment_method": {"method": "checkout-session", "id": "x"}}),
            "/payment_method/id",
        ),
        (json!({"payment_method": {"method": "paypal"}}), "/payment_method/method"),
        (of_card(json!({"number": "4242"})), "/payment_method/number"),
        (of_card(json!({"number": "4242 4242 4242 4242"})), "/payment_method/number"),
        (of_card(json!({"number": 4_242_424_242_424_242_i64})), "/payment_method/number"),
        (of_card(json!({"expiration_date": "13/30"})), "/payment_method/expiration_date"),
        (of_card(json!({"expiration_date": "2030-12"})), "/payment_method/expiration_date"),
        (of_card(json!({"security_code": "12"})), "/payment_method/security_code"),
        (of_card(json!({"cvc": "123"})), "/payment_method/cvc"),
        (json!({"gift_cards": gift(1300)}), "/gift_cards"),
        (json!({"gift_cards": gift(0)}), "/gift_cards/0/amount"),
        (json!({"gift_cards": [{"id": "x", "amount": 1}]}), "/gift_cards/0/id"),
        (json!({"gift_cards": [{"number": GIFT_CARD, "amount": 1}]}), "/gift_cards/0/pin"),
        (json!({"payment_method": null, "gift_cards": gift(1)}), "/payment_method"),
        (json!({"intent": "sell"}), "/intent"),
        (json!({"external_identifier": ""}), "/external_identifier"),
        (json!({"external_identifier": "x".repeat(201)}), "/external_identifier"),
        (json!({"metadata": {"a": 1}}), "/metadata"),
        (json!({"merchant_initiated": "yes"}), "/merchant_initiated"),
        (json!({"async_capture": true}), "/async_capture"),
        (json!({"payment_service_id": "x"}), "/payment_service_id"),
        (json!({"buyer": {"name": "x"}}), "/buyer/name"),
        (json!({"buyer": {"billing_details": {"address": "x"}}}), "/buyer/billing_details/address"),
        (json!({"cart_items": [{"name": "x", "quantity": 1}]}), "/cart_items/0/unit_amount"),
        (json!({"airline": {"issued_at": "today"}}), "/airline/issued_at"),
        (json!({"metadata": {"card": NUMBER}}), "/payment_method/number"),
        (json!({"description": format!("card {NUMBER}")}), "/payment_method/number"),
        (json!({"description": "card 4242-4242 4242-4242"}), "/payment_method/number"),
        (json!({"surprise": 1}), "/surprise"),
    ] {
        let refused = stage.pay(&with(payment(), change.clone())).await;
        assert_error(&refused, 400, "bad_request");
        assert_eq!(pointers(&refused), [pointer], "{change}");
        assert!(!refused.text.contains(NUMBER), "{}", refused.text);
    }
    let list = stage.send(stage.get("/transactions")).await;
    assert_eq!(list.json()["items"], json!([]));
}

#[tokio::test]
async fn an_external_identifier_is_of_one_transaction() {
    let stage = Stage::open();
    let named = with(payment(), json!({"external_identifier": "order-1"}));
    let first = stage.paid(&named).await;
    let again = stage.pay(&named).await;
    assert_error(&again, 409, "duplicate_record");
    assert_eq!(again.json()["resource_id"], first);

    let other = stage.paid(&payment()).await;
    let taken = stage.put(&other, &json!({"external_identifier": "order-1"})).await;
    assert_error(&taken, 409, "duplicate_record");
    assert_eq!(taken.json()["resource_id"], first);
    let renamed = stage.put(&other, &json!({"external_identifier": "order-2"})).await;
    assert_eq!(renamed.status, 200, "{}", renamed.text);
    assert_eq!(renamed.json()["external_identifier"], "order-2");
    let change = json!({"metadata": {"a": "b"}, "external_identifier": null});
    let metadata = stage.put(&other, &change).await;
    assert_eq!(metadata.json()["metadata"], json!({"a": "b"}));
    assert_eq!(metadata.json()["external_identifier"], "order-2");
    assert_eq!(stage.read(&other).await, metadata.json());
    for (body, pointer) in [
        (json!({"metadata": {"a": null}}), "/metadata"),
        (json!({"amount": 1}), "/amount"),
        (json!({"external_identifier": ""}), "/external_identifier"),
    ] {
        let refused = stage.put(&other, &body).await;
        assert_error(&refused, 400, "bad_request");
        assert_eq!(pointers(&refused), [pointer]);
    }
}

#[tokio::test]
async fn a_key_makes_one_transaction_and_a_card_counts_by_the_digits_that_are_kept() {
    let stage = Stage::open();
    let sent = |body: &Value| {
        stage.post("/transactions", &body.to_string()).header("idempotency-key", "k")
    };
    let refused = stage.send(sent(&with(payment(), json!({"amount": -1})))).await;
    assert_error(&refused, 400, "bad_request");
    let first = stage.send(sent(&payment())).await;
    assert_eq!((first.status, first.header("idempotent-replayed")), (201, None));
    let id = first.json()["id"].as_str().expect("an id").to_owned();
    stage.ask(&id, "capture", &json!({})).await;
    let mut spelt = payment();
    spelt["store"] = json!(false);
    spelt["payment_method"]["security_code"] = Value::Null;
    let again = stage.send(sent(&spelt)).await;
    assert_eq!(again.told(), first.told());
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    for change in [
        json!({"amount": 1300}),
        json!({"currency": "EUR"}),
        json!({"intent": "capture"}),
        json!({"metadata": {"a": "b"}}),
        json!({"payment_method": card("4242424242424243")}),
        json!({"external_identifier": "x"}),
    ] {
        let other = stage.send(sent(&with(payment(), change))).await;
        assert_error(&other, 409, "idempotency_mismatch");
    }
}

#[tokio::test]
async fn each_call_needs_its_scope_and_a_browsers_token_pays_what_it_was_made_for() {
    let stage = Stage::open();
    let id = stage.paid(&payment()).await;
    let scoped = |scope: &str| stage.token_with(&json!({"scopes": [scope]}));
    for (method, path, reads) in [
        (Method::POST, "/transactions".to_owned(), false),
        (Method::PUT, format!("/transactions/{id}"), false),
        (Method::POST, format!("/transactions/{id}/capture"), false),
        (Method::POST, format!("/transactions/{id}/void"), false),
        (Method::POST, format!("/transactions/{id}/cancel"), false),
        (Method::POST, format!("/transactions/{id}/sync"), true),
    ] {
        let wrong = scoped(if reads { "*.write" } else { "*.read" });
        let call = Call::new(method.clone(), &path).bearer(&wrong).json("{}");
        assert_error(&stage.send(call).await, 403, "forbidden");
        let other = token(&stage.other_key, &json!({"scopes": ["*.read", "*.write"]}));
        if path != "/transactions" {
            let call = Call::new(method, &path).bearer(&other).json("{}");
            assert_error(&stage.send(call).await, 404, "not_found");
        }
    }
    let embedded = |embed: Value| {
        let token = stage.token_with(&json!({"scopes": ["embed"], "embed": embed}));
        Call::new(Method::POST, "/transactions").bearer(&token).json(&payment().to_string())
    };
    let paid = stage.send(embedded(json!({"amount": 1299, "currency": "USD"}))).await;
    assert_eq!(paid.status, 201, "{}", paid.text);
    for (embed, pointer) in [
        (json!({"amount": 1, "currency": "USD"}), "/amount"),
        (json!({"amount": 1299, "currency": "EUR"}), "/currency"),
        (Value::Null, "/amount"),
    ] {
        let refused = stage.send(embedded(embed)).await;
        assert_eq!(pointers(&refused), [pointer], "{}", refused.text);
    }
    let writer = scoped("transactions.write");
    let call = Call::new(Method::POST, "/transactions").bearer(&writer);
    assert_eq!(stage.send(call.json(&payment().to_string())).await.status, 201);
}
