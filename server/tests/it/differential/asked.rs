//! Each face's words for a step. What a face has no words for goes through the native API, and an
//! extension of the hold through Moyasar's alone.

use serde_json::{Value, json};

use super::history::Deed;
use crate::support::{Face, Request, Shop, body};

/// Moyasar's least capture.
const MPG_TAKING_MIN: u64 = 100;

/// The request, and the face that has words for it. `None`: there is nothing to ask.
pub(super) fn asked(
    shop: &Shop,
    face: Option<Face>,
    payment: &Value,
    deed: Deed,
) -> Option<(Option<Face>, Request)> {
    let spoken = face.filter(|face| has_words(*face, payment, deed));
    let request = match (spoken, deed) {
        (_, Deed::Look) => return None,
        (_, Deed::Extend(cents)) => {
            // Of an order that was not authorised there, it is refused.
            let body = json!({"amount": cents});
            return (face == Some(Face::Mpg))
                .then(|| (face, shop.credential(Face::Mpg, post(payment, "/extend", &body))));
        }
        (Some(face), Deed::Refund(cents)) => {
            shop.refund(face, payment, u32::try_from(cents).expect("small"))
        }
        (Some(face), deed) => shop.credential(face, spoken_request(face, payment, deed)),
        (None, deed) => native(payment, deed).bearer(&shop.native.token),
    };
    Some((spoken, request))
}

fn has_words(face: Face, payment: &Value, deed: Deed) -> bool {
    let capturable = payment["legs"][0]["totals"]["capturable"].as_u64().expect("cents");
    let is_untouched = payment["captures"] == json!([]);
    match (face, deed) {
        (_, Deed::Refund(_)) | (Face::Gr4vy, Deed::RefundCard(_) | Deed::VoidRest) => true,
        (Face::Mpg, Deed::Void(cents)) => cents > 0,
        (Face::Mpg, Deed::VoidRest) => true,
        (Face::Mpg, Deed::Capture { cents, .. }) => cents >= MPG_TAKING_MIN,
        (Face::Gr4vy, Deed::Capture { cents, .. }) => cents > 0,
        // It takes all that there is, once.
        (Face::MedusaV1, Deed::Capture { cents, is_final }) => {
            is_untouched && !is_final && cents == capturable && cents > 0
        }
        (Face::MedusaV2, Deed::Capture { is_final, .. }) => !is_final,
        _ => false,
    }
}

fn id<'a>(payment: &'a Value, spelling: &str) -> &'a str {
    payment["ids"][spelling].as_str().expect("an id")
}

fn post(payment: &Value, call: &str, body: &Value) -> Request {
    Request::post(&format!("/mpg/v1/orders/{}{call}", id(payment, "uuid"))).json(body)
}

fn spoken_request(face: Face, payment: &Value, deed: Deed) -> Request {
    let medusa = |version: &str| {
        format!("/medusa/{version}/admin/payments/{}/capture", id(payment, "medusa"))
    };
    let gr4vy = |call: &str| format!("/gr4vy/transactions/{}/{call}", id(payment, "uuid"));
    match (face, deed) {
        (Face::MedusaV1, _) => Request::post(&medusa("v1")).json(&json!({})),
        (Face::MedusaV2, Deed::Capture { cents, .. }) => {
            let amount = format!("{{\"amount\":{}.{:02}}}", cents / 100, cents % 100);
            let request = Request::post(&medusa("v2"));
            request.header("content-type", "application/json").bytes(amount)
        }
        (Face::Mpg, Deed::Capture { cents, is_final }) => {
            post(payment, "/capture", &json!({"amount": cents, "final": is_final}))
        }
        (Face::Mpg, Deed::Void(cents)) => post(payment, "/void", &json!({"amount": cents})),
        (Face::Mpg, _) => post(payment, "/void", &json!({})),
        (_, Deed::Capture { cents, is_final }) => {
            Request::post(&gr4vy("capture")).json(&json!({"amount": cents, "final": is_final}))
        }
        (_, Deed::RefundCard(cents)) => {
            let card = payment["gift_cards"][0]["id"].as_str().expect("a gift card");
            let target =
                format!(",\"target_type\":\"gift-card-redemption\",\"target_id\":\"{card}\"");
            let body = body(Face::Gr4vy, payment, &cents.to_string(), &target);
            let request = Request::post(&gr4vy("refunds"));
            request.header("content-type", "application/json").bytes(body)
        }
        _ => Request::post(&gr4vy("void")),
    }
}

fn native(payment: &Value, deed: Deed) -> Request {
    let (call, body) = match deed {
        Deed::Refund(cents) => ("refunds", json!({"amount": cents})),
        Deed::RefundCard(cents) => {
            ("refunds", json!({"amount": cents, "leg": payment["gift_cards"][0]["id"]}))
        }
        Deed::Capture { cents, is_final } => {
            ("captures", json!({"amount": cents, "final": is_final}))
        }
        Deed::Void(cents) => ("voids", json!({"amount": cents})),
        Deed::VoidRest | Deed::Extend(_) | Deed::Look => ("voids", json!({})),
    };
    Request::post(&format!("/api/payments/{}/{call}", id(payment, "uuid"))).json(&body)
}
