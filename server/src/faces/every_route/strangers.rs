//! Nobody learns of what is another's (decision A6): an id of another merchant's and an id of
//! nothing get the same answer, to the byte, but for the id itself.

mod timing;

use requite_core::id::LegId;
use requite_core::id::{PaymentId, prefixed_text, uuid_text};
use requite_core::money::Minor;
use requite_engine::command::NewLeg;

use super::*;
use crate::faces::testing::{OTHER_SHOP, SHOP};

/// What a part of a path can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Payment,
    Capture,
    Refund,
    Reason,
    ReturnReason,
    Collection,
    Key,
    Endpoint,
    /// An order is known by what its shop calls it.
    Order,
}

/// What the parts of a path that vary name, by the word before each. `None`: no id of anybody's.
fn kinds(route: &Route) -> Option<Vec<Kind>> {
    let parts: Vec<&str> = route.path.split('/').collect();
    let pairs = parts.windows(2).filter(|pair| pair[1].starts_with('{'));
    let kinds: Vec<Kind> = pairs
        .filter_map(|pair| match pair[0] {
            "orders" if route.face == "medusa-v1" => Some(Kind::Order),
            "payments" | "orders" | "transactions" => Some(Kind::Payment),
            "captures" => Some(Kind::Capture),
            "refunds" => Some(Kind::Refund),
            "refund-reasons" => Some(Kind::Reason),
            "return-reasons" => Some(Kind::ReturnReason),
            "payment-collections" => Some(Kind::Collection),
            "api-keys" => Some(Kind::Key),
            "webhook-subscriptions" | "webhook-endpoints" => Some(Kind::Endpoint),
            // Nobody has a dispute yet.
            "user" | "openapi" | "docs" | "disputes" => None,
            other => panic!("{}: what does {other}/{} name?", route.path, pair[1]),
        })
        .collect();
    (!kinds.is_empty()).then_some(kinds)
}

/// A body that gets as far as looking for what the path names.
fn body(route: &Route) -> &'static str {
    match (route.face, route.operation) {
        (
            "gr4vy",
            "update_transaction"
            | "void_transaction"
            | "cancel_transaction"
            | "sync_transaction"
            | "update_webhook_subscription"
            | "rotate_webhook_secret",
        ) => "{}",
        ("medusa-v2", "mark_payment_collection_as_paid") => r#"{"order_id":"order_1"}"#,
        ("medusa-v2", "create_payment_session") => r#"{"provider_id":"pp_system_default"}"#,
        ("medusa-v1", "refund_payment" | "refund_order") => r#"{"amount":1,"reason":"other"}"#,
        ("mpg" | "gr4vy", _) if !route.operation.contains("whole") => r#"{"amount":1}"#,
        ("native", "resolve_refund") => r#"{"outcome":"succeeded","evidence":"seen"}"#,
        _ => "{}",
    }
}

/// How a face spells an id of this kind.
fn spelt(face: &str, kind: Kind, bits: u128) -> String {
    match (kind, face) {
        (Kind::Payment, "medusa-v1" | "medusa-v2" | "loop") => prefixed_text("pay_", bits),
        (Kind::Refund, "loop") => prefixed_text("ref_", bits),
        (Kind::Reason, _) => prefixed_text("refr_", bits),
        (Kind::ReturnReason, _) => prefixed_text("rr_", bits),
        (Kind::Collection, _) => prefixed_text("pay_col_", bits),
        (Kind::Key, _) => prefixed_text("apk_", bits),
        (Kind::Order, _) => prefixed_text("order_", bits),
        (Kind::Payment | Kind::Capture | Kind::Refund | Kind::Endpoint, _) => uuid_text(bits),
    }
}

/// What a merchant has, one of each kind.
struct Things {
    payment: u128,
    alias: String,
    gift_card: u128,
    capture: u128,
    refund: u128,
    /// As text: only one face has these.
    reason: String,
    return_reason: String,
    order: String,
    collection: String,
    key: String,
    /// In Gr4vy's words, and in the native API's.
    endpoints: [String; 2],
}

impl Things {
    fn named(&self, face: &str, kind: Kind) -> String {
        match kind {
            Kind::Payment => spelt(face, kind, self.payment),
            Kind::Capture => spelt(face, kind, self.capture),
            Kind::Refund => spelt(face, kind, self.refund),
            Kind::Reason => self.reason.clone(),
            Kind::ReturnReason => self.return_reason.clone(),
            Kind::Collection => self.collection.clone(),
            Kind::Key => self.key.clone(),
            Kind::Endpoint if face == "gr4vy" => self.endpoints[0].clone(),
            Kind::Endpoint => self.endpoints[1].clone(),
            Kind::Order => self.order.clone(),
        }
    }
}

/// Answers to what one merchant asks.
struct Asker {
    house: House,
}

impl Asker {
    async fn things(&self, merchant: MerchantId) -> Things {
        let house = &self.house;
        let (gift_card, alias) = (house.draw(), format!("alias-{:x}", house.draw()));
        let mut capture = 0;
        let payment: PaymentId = house
            .register(|new| {
                new.merchant = merchant;
                capture = new.captures.first().map_or(0, |(id, _)| id.bits());
                new.connector = "manual".to_owned();
                new.aliases = vec![alias.clone()];
                new.order = Some("order_1".to_owned());
                let amount = Minor::new(500).expect("an amount");
                new.gift_cards = vec![NewLeg { id: LegId::new(gift_card), amount }];
            })
            .await;
        let order = prefixed_text("order_", house.draw());
        house
            .register(|new| {
                new.merchant = merchant;
                new.connector = "manual".to_owned();
                new.order = Some(order.clone());
            })
            .await;
        let native = house.credential(merchant, "native", None);
        let path = format!("/api/payments/{}/refunds", uuid_text(payment.bits()));
        let made = house.ask("POST", &path, Some(&native), r#"{"amount":1}"#).await.json();
        let refund = made["id"].as_str().and_then(requite_core::id::parse_uuid);
        let reason = r#"{"label":"a","code":"b"}"#;
        let reason = self.kept(merchant, "medusa-v2", "refund-reasons", reason).await;
        let late = format!(r#"{{"label":"Late","value":"{:x}"}}"#, house.draw());
        let return_reason = self.kept(merchant, "medusa-v1", "return-reasons", &late).await;
        let asked = r#"{"order_id":"order_1","amount":1}"#;
        let collection = self.kept(merchant, "medusa-v2", "payment-collections", asked).await;
        let key = r#"{"title":"a","type":"secret"}"#;
        let key = self.kept(merchant, "medusa-v2", "api-keys", key).await;
        let subscription = self.endpoint(merchant, "gr4vy", "/gr4vy/webhook-subscriptions").await;
        let endpoint = self.endpoint(merchant, "native", "/api/webhook-endpoints").await;
        let (payment, refund) = (payment.bits(), refund.expect("an id"));
        Things {
            payment,
            alias,
            gift_card,
            capture,
            refund,
            reason,
            return_reason,
            order,
            collection,
            key,
            endpoints: [subscription, endpoint],
        }
    }

    /// The id of an endpoint: one that there is, for a merchant has few.
    async fn endpoint(&self, merchant: MerchantId, face: &'static str, path: &str) -> String {
        let credential = self.house.credential(merchant, face, None);
        let all = self.house.ask("GET", path, Some(&credential), "").await.json();
        if let Some(id) = all["items"][0]["id"].as_str() {
            return id.to_owned();
        }
        let body = r#"{"url":"http://127.0.0.1:9/"}"#;
        let made = self.house.ask("POST", path, Some(&credential), body).await.json();
        made["id"].as_str().expect("an id").to_owned()
    }

    /// The id of what a merchant makes at a route of either Medusa.
    async fn kept(
        &self,
        merchant: MerchantId,
        face: &'static str,
        what: &str,
        body: &str,
    ) -> String {
        let credential = self.house.credential(merchant, face, None);
        let path = format!("/{}/admin/{what}", face.replace('-', "/"));
        let kept = self.house.ask("POST", &path, Some(&credential), body).await.json();
        let kept = kept.as_object().and_then(|kept| kept.values().next());
        kept.and_then(|kept| kept["id"].as_str()).expect("an id").to_owned()
    }

    /// An answer without what may differ: the id, and what is computed from the whole body.
    async fn told(&self, call: &Call<'_>, id: &[String]) -> (u16, String) {
        let path =
            id.iter().zip(call.ids).fold(call.path.clone(), |path, (id, at)| path.replace(at, id));
        let body =
            id.iter().zip(call.ids).fold(call.body.clone(), |body, (id, at)| body.replace(at, id));
        let answer = self.house.ask(call.method, &path, Some(call.credential), &body).await;
        let mut text = String::new();
        for (name, value) in &answer.headers {
            if !matches!(name.as_str(), "etag" | "date" | "x-request-id") {
                text.push_str(&format!("{name}: {}\n", value.to_str().expect("text")));
            }
        }
        text.push_str(&answer.text);
        let text = id.iter().fold(text, |text, id| text.replace(id.as_str(), "<id>"));
        (answer.status, text)
    }
}

/// A request with marks where ids stand.
struct Call<'a> {
    method: &'a str,
    path: String,
    body: String,
    /// The marks.
    ids: &'a [&'a str],
    credential: &'a Credential,
}

impl<'a> Call<'a> {
    /// Of a route in whose path so many ids stand.
    fn marked(route: &Route, ids: usize, credential: &'a Credential) -> Call<'a> {
        const MARKS: [&str; 2] = ["<1>", "<2>"];
        let marked: Vec<String> = MARKS[..ids].iter().map(|mark| (*mark).to_owned()).collect();
        Call {
            method: route.method,
            path: filled(route, &marked),
            body: body(route).to_owned(),
            ids: &MARKS,
            credential,
        }
    }
}

#[tokio::test]
async fn in_a_path_an_id_of_anothers_is_an_id_of_nothing() {
    let asker = Asker { house: House::open() };
    let house = &asker.house;
    let theirs = asker.things(OTHER_SHOP).await;
    let mut tested = 0;
    for route in declared() {
        let Some(kinds) = kinds(&route) else {
            continue;
        };
        let credential = house.credential(SHOP, route.face, None);
        let call = Call::marked(&route, kinds.len(), &credential);
        let at = format!("{} {}", route.method, call.path);
        let ours = asker.things(SHOP).await;
        let own: Vec<String> = kinds.iter().map(|kind| ours.named(route.face, *kind)).collect();
        for (place, kind) in kinds.iter().enumerate() {
            let with = |id: String| {
                let mut ids = own.clone();
                ids[place] = id;
                ids
            };
            let foreign = asker.told(&call, &with(theirs.named(route.face, *kind))).await;
            let unknown = asker.told(&call, &with(spelt(route.face, *kind, house.draw()))).await;
            assert_eq!(foreign, unknown, "{at}");
            // In Medusa v2 deleting a reason that is not there is done: that is the dialect.
            let is_done =
                route.method == "DELETE" && *kind == Kind::Reason && route.face != "native";
            let expected = if is_done { 200 } else { 404 };
            assert_eq!(unknown.0, expected, "{at}: {}", unknown.1);
            if *kind == Kind::Payment {
                let foreign = asker.told(&call, &with(theirs.alias.clone())).await;
                let unknown = asker.told(&call, &with(format!("alias-{:x}", house.draw()))).await;
                assert_eq!(foreign, unknown, "{at}, by another name");
            }
        }
        let (status, text) = asker.told(&call, &own).await;
        assert!(!matches!(status, 404 | 500..), "{at} does not know its own: {status} {text}");
        tested += 1;
    }
    assert!(tested > 15, "only {tested} routes have ids in their paths");
}

#[tokio::test]
async fn in_a_body_or_query_an_id_of_anothers_is_an_id_of_nothing() {
    let asker = Asker { house: House::open() };
    let house = &asker.house;
    let (ours, theirs) = (asker.things(SHOP).await, asker.things(OTHER_SHOP).await);
    let charge = |bits| prefixed_text("ch_", bits);
    let pay = |bits| prefixed_text("pay_", bits);
    let transaction = format!("/gr4vy/transactions/{}/refunds", uuid_text(ours.payment));
    let payment = format!("/medusa/v2/admin/payments/{}/refund", pay(ours.payment));
    let unknown_reason = prefixed_text("refr_", house.draw());
    let nothing = house.draw();
    for (face, call, body, own, their, unknown) in [
        (
            "loop",
            "POST /loop/v1/admin/refunds",
            r#"{"charge_id":"<1>","amount_cents":1}"#,
            charge(ours.payment),
            charge(theirs.payment),
            charge(nothing),
        ),
        (
            "loop",
            "POST /loop/v1/refunds",
            r#"{"payment_id":"<1>","amount_cents":1}"#,
            pay(ours.payment),
            pay(theirs.payment),
            pay(nothing),
        ),
        (
            "gr4vy",
            &format!("POST {transaction}"),
            r#"{"amount":1,"target_type":"gift-card-redemption","target_id":"<1>"}"#,
            uuid_text(ours.gift_card),
            uuid_text(theirs.gift_card),
            uuid_text(nothing),
        ),
        (
            "medusa-v2",
            &format!("POST {payment}"),
            r#"{"amount":0.01,"refund_reason_id":"<1>"}"#,
            ours.reason.clone(),
            theirs.reason.clone(),
            unknown_reason,
        ),
        (
            "medusa-v2",
            "GET /medusa/v2/admin/payments?id=<1>",
            "",
            pay(ours.payment),
            pay(theirs.payment),
            pay(nothing),
        ),
        (
            "native",
            "GET /api/refunds?payment=<1>",
            "",
            uuid_text(ours.payment),
            uuid_text(theirs.payment),
            uuid_text(nothing),
        ),
    ] {
        let (method, path) = call.split_once(' ').expect("a method and a path");
        let credential = house.credential(SHOP, face, None);
        let (path, body) = (path.to_owned(), body.to_owned());
        let call = Call { method, path, body, ids: &["<1>"], credential: &credential };
        let foreign = asker.told(&call, &[their]).await;
        assert_eq!(foreign, asker.told(&call, &[unknown]).await, "{}", call.path);
        let (status, text) = asker.told(&call, &[own]).await;
        assert!(matches!(status, 200 | 201), "{}: {status} {text}", call.path);
        assert_ne!((status, text), foreign, "{}: knows its own", call.path);
    }
}
