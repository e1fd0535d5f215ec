//! `POST /transactions`: takes a payment. Only the sandbox does so; which connector takes payments
//! is a setting, and with another one the call is refused.
//!
//! A payment that the connector declines is made all the same, is a 201, and shows why.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use requite_core::id::{CaptureId, LegId, PaymentId, uuid_text};
use requite_core::refund::Fault;
use requite_engine::command::{NewLeg, Registered, RegisteredReply, Registration, Trace};
use requite_engine::read::PaymentView;
use serde_json::{Value, json};

use super::super::auth;
use super::super::failure::Failure;
use super::super::{json, wire};
use super::card::body_fault;
use super::transaction;
use super::wish::{self, Wish};
use crate::access::{Actor, Caller};
use crate::connectors::sandbox;
use crate::crypto::jws::Claims;
use crate::desk::{self, Desk, Unseen, replay_headers};

/// `POST /transactions`
pub(in super::super) async fn create(
    State(desk): State<Desk>,
    mut request: Request,
) -> Result<Response, Failure> {
    let (actor, claims) = auth::admitted(&desk, Caller::of(&request)).await?;
    let key_text = wire::key_text(request.headers())?;
    let wish = wish::read(&wire::body(&mut request).await?)?;
    if auth::is_embedded(&actor, &claims) {
        check_embedded(&claims, &wish)?;
    }
    if desk.settings().gr4vy_connector != sandbox::NAME {
        let text = "no payments are taken here (the setting gr4vy.connector); payments that were \
                    taken elsewhere are registered at /api/payments";
        return Err(body_detail("/payment_method", text));
    }
    let account = auth::slug(&desk, actor.merchant).await?;
    let reply = desk.register(registration(&desk, &actor, &wish, key_text.as_deref())).await?;
    let payment = match reply.registered {
        Registered::Created(payment) => payment,
        Registered::Present(owner) | Registered::Differs(owner) => {
            return Err(Failure::Duplicate(owner));
        }
    };
    let view = shown(&desk, &actor, payment, reply).await?;
    let headers = replay_headers(reply.is_replay);
    Ok(json(StatusCode::CREATED, headers, &transaction(&view, &account)))
}

/// The transaction as of its answer, so that a replay equals the first answer byte for byte.
async fn shown(
    desk: &Desk,
    actor: &Actor,
    payment: PaymentId,
    reply: RegisteredReply,
) -> Result<PaymentView, Failure> {
    let view = desk.payment_after(actor.merchant, payment, reply.as_of).await;
    view.map_err(|Unseen| Failure::UnshownTransaction(payment))
}

fn body_detail(pointer: &str, text: &str) -> Failure {
    Failure::invalid(body_fault(pointer, text, "value_error"))
}

/// A browser's token stands for one payment: the amount and the currency that the shop signed.
fn check_embedded(claims: &Claims, wish: &Wish) -> Result<(), Failure> {
    let embed = claims.value("embed").unwrap_or(&Value::Null);
    if embed["amount"].as_i64() != Some(wish.amount()) {
        return Err(body_detail("/amount", "the token is not for this amount"));
    }
    if embed["currency"].as_str() != Some(wish.currency.code()) {
        return Err(body_detail("/currency", "the token is not for this currency"));
    }
    Ok(())
}

/// What the sandbox says to the card and to what it is charged with.
fn decline(wish: &Wish, now_ms: i64) -> Option<Fault> {
    let card = wish.card.as_ref()?;
    sandbox::decline_card(card.number())
        .or_else(|| card.is_expired(now_ms).then(sandbox::decline_expired))
        .or_else(|| sandbox::decline_amount(wish.charged))
}

fn registration(desk: &Desk, actor: &Actor, wish: &Wish, key_text: Option<&str>) -> Registration {
    let ids = desk.ids();
    let payment = PaymentId::new(ids.next());
    let at_ms = desk.now_ms();
    let decline = decline(wish, at_ms);
    let leg = |amount| NewLeg { id: LegId::new(ids.next()), amount };
    let primary = leg(wish.charged);
    let gift_cards: Vec<NewLeg> = wish.gift_cards.iter().map(|(_, amount)| leg(*amount)).collect();
    let takes = wish.captures && decline.is_none() && !wish.charged.is_zero();
    let capture = takes.then(|| (CaptureId::new(ids.next()), wish.charged));
    let mut profile = wish.profile.clone();
    if decline.is_some() && !gift_cards.is_empty() {
        profile.insert("skipped".to_owned(), skipped(&gift_cards));
    }
    let meaning = wish.meaning();
    let meaning: Vec<&str> = meaning.iter().map(String::as_str).collect();
    let is_charged = decline.is_none() && wish.card.is_some();
    Registration {
        merchant: actor.merchant,
        payment,
        currency: wish.currency,
        primary,
        // A gift card gives nothing where the card beside it was declined.
        gift_cards: if decline.is_some() { Vec::new() } else { gift_cards },
        captures: capture.into_iter().collect(),
        connector: sandbox::NAME.to_owned(),
        connector_payment: is_charged.then(|| sandbox::payment_id(payment)),
        connector_settings: None,
        external_identifier: wish.external_identifier.clone(),
        order: None,
        customer: wish.customer.clone(),
        description: wish.description.clone(),
        aliases: Vec::new(),
        profile: Value::Object(profile).to_string(),
        // Two payments are never one: a name that is taken is a duplicate, whatever it stands for.
        fingerprint: payment.bits().to_be_bytes(),
        created_at_ms: at_ms,
        cancelled_at_ms: None,
        decline,
        trace: Some(Trace { face: "gr4vy".to_owned(), ..Trace::default() }),
        keys: key_text
            .map(|text| desk::key("gr4vy", &["transactions"], text, &meaning))
            .into_iter()
            .collect(),
        actor: actor.name.clone(),
        at_ms,
    }
}

/// Redemptions that were not made, for they are shown as such.
fn skipped(gift_cards: &[NewLeg]) -> Value {
    let redemption =
        |leg: &NewLeg| json!({"id": uuid_text(leg.id.bits()), "amount": leg.amount.units()});
    gift_cards.iter().map(redemption).collect()
}
