//! Objects as Stripe shows them. Members that a refund client reads are true; of the others those are
//! here that official clients expect to be.

use serde_json::{Value, json};

use super::{ACCOUNT, VERSION};
use crate::psp::books::{Books, Charge, Intent, Refund, Status};
use crate::psp::hooks::Endpoint;

fn seconds(at_ms: i64) -> i64 {
    at_ms.div_euclid(1_000)
}

/// The id of the balance transaction of a charge or a refund.
fn transaction(id: &str) -> String {
    format!("txn_{}", id.split_once('_').map_or(id, |(_, rest)| rest))
}

pub(super) fn refund(books: &Books, refund: &Refund, expand: &[&str]) -> Value {
    let has_moved = refund.moves.iter().any(|step| step.to == Status::Succeeded);
    let mut shown = json!({
        "id": refund.id,
        "object": "refund",
        "amount": refund.amount,
        "balance_transaction": (has_moved && !refund.is_release).then(|| transaction(&refund.id)),
        "charge": refund.charge,
        "created": seconds(refund.at_ms),
        "currency": refund.currency,
        "destination_details": {"card": {"reference_status": "pending", "reference_type":
            "acquirer_reference_number", "type": "refund"}, "type": "card"},
        "metadata": refund.metadata,
        "payment_intent": refund.intent,
        "reason": refund.reason,
        "receipt_number": null,
        "source_transfer_reversal": null,
        "status": refund.status.word(),
        "transfer_reversal": null,
    });
    if let Some(reason) = &refund.failure_reason {
        shown["failure_reason"] = reason.as_str().into();
        let back = has_moved.then(|| format!("{}_back", transaction(&refund.id)));
        shown["failure_balance_transaction"] = back.into();
    }
    if refund.status == Status::Pending {
        let word = if refund.waits_for_funds { "insufficient_funds" } else { "processing" };
        shown["pending_reason"] = word.into();
    }
    if refund.status == Status::RequiresAction {
        shown["next_action"] = json!({"type": "display_details", "display_details": {
            "email_sent": {"email_sent_at": seconds(refund.at_ms), "email_sent_to":
            "customer@example.com"}, "expires_at": seconds(refund.at_ms) + 3_888_000}});
    }
    for name in expand {
        match *name {
            "charge" => {
                let found = books.charges.get(&refund.charge);
                shown["charge"] = found.map(|found| charge(books, found, &[])).into();
            }
            "payment_intent" => {
                let found = refund.intent.as_ref().and_then(|id| books.intents.get(id));
                shown["payment_intent"] = found.map(|found| intent(books, found, &[])).into();
            }
            _ => {}
        }
    }
    shown
}

pub(super) fn charge(books: &Books, charge: &Charge, expand: &[&str]) -> Value {
    let given_back = charge.refunded.saturating_add(charge.released);
    let word = if charge.has_failed { "failed" } else { "succeeded" };
    let mut shown = json!({
        "id": charge.id,
        "object": "charge",
        "amount": charge.amount,
        "amount_captured": charge.captured,
        "amount_refunded": given_back,
        "application": null,
        "application_fee": null,
        "application_fee_amount": null,
        "balance_transaction": (charge.captured > 0).then(|| transaction(&charge.id)),
        "billing_details": {"address": {"city": null, "country": null, "line1": null, "line2": null,
            "postal_code": null, "state": null}, "email": null, "name": null, "phone": null},
        "calculated_statement_descriptor": "REQUITE PSP",
        "captured": charge.captured > 0,
        "created": seconds(charge.at_ms),
        "currency": charge.currency,
        "customer": null,
        "description": null,
        "disputed": charge.is_disputed,
        "failure_code": charge.has_failed.then_some("card_declined"),
        "failure_message": charge.has_failed.then_some("Your card was declined."),
        "fraud_details": {},
        "livemode": false,
        "metadata": charge.metadata,
        "outcome": {"network_status": "approved_by_network", "reason": null, "risk_level": "normal",
            "risk_score": 5, "seller_message": "Payment complete.", "type": "authorized"},
        "paid": !charge.has_failed,
        "payment_intent": charge.intent,
        "payment_method": format!("pm_{}", &charge.id[3..]),
        "payment_method_details": {"card": {"brand": "visa", "checks": {"address_line1_check": null,
            "address_postal_code_check": null, "cvc_check": null}, "country": "US", "exp_month": 11,
            "exp_year": 2035, "fingerprint": "DpVYU8EckklF0Qpw", "funding": "credit",
            "installments": null, "last4": "4242", "network": "visa", "three_d_secure": null,
            "wallet": null}, "type": "card"},
        "receipt_email": null,
        "receipt_number": null,
        "receipt_url": null,
        "refunded": given_back >= charge.amount.min(charge.captured.max(1)) && given_back > 0,
        "review": null,
        "shipping": null,
        "source": null,
        "statement_descriptor": null,
        "status": word,
        "transfer_data": null,
        "transfer_group": null,
    });
    if expand.contains(&"refunds") {
        let of = books.refunds_of(&charge.id).rev();
        let data: Vec<Value> = of.map(|made| refund(books, made, &[])).collect();
        shown["refunds"] = json!({"object": "list", "data": data, "has_more": false,
            "url": format!("/v1/charges/{}/refunds", charge.id)});
    }
    shown
}

/// The word for how an intent stands.
pub(super) fn intent_status(books: &Books, intent: &Intent) -> &'static str {
    let charge = intent.charge.as_ref().and_then(|id| books.charges.get(id));
    match charge {
        _ if intent.is_canceled => "canceled",
        Some(charge) if charge.has_failed => "requires_payment_method",
        Some(charge) if charge.captured > 0 => "succeeded",
        Some(_) => "requires_capture",
        None if intent.method.is_none() => "requires_payment_method",
        None => "requires_confirmation",
    }
}

pub(super) fn intent(books: &Books, intent: &Intent, expand: &[&str]) -> Value {
    let made = intent.charge.as_ref().and_then(|id| books.charges.get(id));
    let status = intent_status(books, intent);
    let held = made.filter(|charge| !charge.has_failed);
    let mut shown = json!({
        "id": intent.id,
        "object": "payment_intent",
        "amount": intent.amount,
        "amount_capturable": if status == "requires_capture" { intent.amount } else { 0 },
        "amount_received": held.map_or(0, |charge| charge.captured),
        "application": null,
        "automatic_payment_methods": null,
        "canceled_at": null,
        "cancellation_reason": null,
        "capture_method": if intent.captures_by_hand { "manual" } else { "automatic_async" },
        "client_secret": format!("{}_secret_simulated", intent.id),
        "confirmation_method": "automatic",
        "created": seconds(intent.at_ms),
        "currency": intent.currency,
        "customer": null,
        "description": null,
        "last_payment_error": null,
        "latest_charge": intent.charge,
        "livemode": false,
        "metadata": intent.metadata,
        "next_action": null,
        "payment_method": intent.method,
        "payment_method_types": ["card"],
        "status": status,
    });
    if expand.contains(&"latest_charge") {
        shown["latest_charge"] = made.map(|made| charge(books, made, &[])).into();
    }
    shown
}

pub(super) fn endpoint(endpoint: &Endpoint, with_secret: bool) -> Value {
    let mut shown = json!({
        "id": endpoint.id,
        "object": "webhook_endpoint",
        "api_version": VERSION,
        "application": null,
        "created": seconds(endpoint.at_ms),
        "description": null,
        "enabled_events": endpoint.kinds,
        "livemode": false,
        "metadata": {},
        "status": "enabled",
        "url": endpoint.url,
    });
    if with_secret {
        shown["secret"] = endpoint.secret.as_str().into();
    }
    shown
}

/// What there is of each currency: as it was set, else what was taken and not given back.
pub(super) fn balance(books: &Books) -> Value {
    let mut sums = std::collections::BTreeMap::<&str, i64>::new();
    for charge in books.charges.values().filter(|charge| !charge.has_failed) {
        let left = charge.captured.saturating_sub(charge.refunded);
        let sum = sums.entry(&charge.currency).or_default();
        *sum = sum.saturating_add(left);
    }
    sums.extend(books.balance.iter().map(|(currency, sum)| (currency.as_str(), *sum)));
    let available: Vec<Value> = sums
        .iter()
        .map(|(currency, sum)| json!({"amount": sum, "currency": currency, "source_types": {"card": sum}}))
        .collect();
    json!({"object": "balance", "available": available, "livemode": false, "pending": []})
}

pub(super) fn account() -> Value {
    json!({"id": ACCOUNT, "object": "account", "country": "US", "default_currency": "usd",
        "charges_enabled": true, "payouts_enabled": true, "details_submitted": true,
        "settings": {"dashboard": {"display_name": "Simulator", "timezone": "Etc/UTC"}},
        "type": "standard"})
}
