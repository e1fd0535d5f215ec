//! One merchant with a credential for every face, and a refund in each face's own words.

use serde_json::{Value, json};

use super::{Cli, Gr4vyClaims, Key, Merchant, Request, Response, sign_gr4vy_token};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Face {
    MedusaV1,
    MedusaV2,
    Mpg,
    Gr4vy,
    Loop,
}

pub(crate) const FACES: [Face; 5] = [
    Face::MedusaV1,
    Face::MedusaV2,
    Face::Mpg,
    Face::Gr4vy,
    Face::Loop,
];

#[derive(Debug)]
pub(crate) struct Shop {
    pub(crate) merchant: Merchant,
    pub(crate) native: Key,
    v1: Key,
    v2: Key,
    mpg: Key,
    gr4vy_token: String,
    loop_payments: Key,
}

impl Shop {
    pub(crate) fn open(cli: &Cli, name: &str) -> Shop {
        let merchant = cli.merchant(name);
        let gr4vy = cli.key(&merchant, "gr4vy");
        let pem = gr4vy
            .private_key_pem
            .as_deref()
            .expect("gr4vy keys come with a private key");
        Shop {
            native: cli.key(&merchant, "native"),
            v1: cli.key(&merchant, "medusa-v1"),
            v2: cli.key(&merchant, "medusa-v2"),
            mpg: cli.key(&merchant, "mpg"),
            gr4vy_token: sign_gr4vy_token(pem, &Gr4vyClaims::default()),
            loop_payments: cli.key(&merchant, "loop"),
            merchant,
        }
    }

    /// A refund of `cents` of a USD payment (as registration answered it) through one face.
    pub(crate) fn refund(&self, face: Face, payment: &Value, cents: u32) -> Request {
        let id = |spelling: &str| {
            payment["ids"][spelling]
                .as_str()
                .expect("registration answers every spelling")
        };
        let post = |path: String| Request::post(&path);
        match face {
            Face::MedusaV1 => post(format!("/medusa/v1/admin/payments/{}/refund", id("medusa")))
                .api_token(&self.v1.token)
                .json(&json!({"amount": cents, "reason": "return"})),
            Face::MedusaV2 => {
                // Major units, written digit by digit: no float is near money in a test either.
                let body = format!("{{\"amount\":{}.{:02}}}", cents / 100, cents % 100);
                post(format!("/medusa/v2/admin/payments/{}/refund", id("medusa")))
                    .basic(&self.v2.token)
                    .header("content-type", "application/json")
                    .bytes(body)
            }
            Face::Mpg => post(format!("/mpg/v1/orders/{}/refund", id("uuid")))
                .bearer(&self.mpg.token)
                .json(&json!({"amount": cents})),
            Face::Gr4vy => post(format!("/gr4vy/transactions/{}/refunds", id("uuid")))
                .bearer(&self.gr4vy_token)
                .json(&json!({"amount": cents})),
            Face::Loop => post("/loop/v1/admin/refunds".to_owned())
                .bearer(&self.loop_payments.token)
                .json(&json!({"charge_id": id("loop"), "amount_cents": cents})),
        }
    }
}

impl Face {
    /// Did this face say that the refund was made?
    pub(crate) fn accepted(self, response: &Response) -> bool {
        let expected = match self {
            Face::MedusaV1 | Face::MedusaV2 | Face::Mpg => 200,
            Face::Gr4vy | Face::Loop => 201,
        };
        response.status == expected
    }

    /// Did this face refuse, in its own words, because nothing is left?
    pub(crate) fn refused(self, response: &Response) -> bool {
        let body = response.text();
        let (status, words) = match self {
            Face::MedusaV1 => (400, "Only 0 can be refunded from Payment"),
            Face::MedusaV2 => (
                400,
                "You are not allowed to refund more than the captured amount",
            ),
            Face::Mpg => (400, "message"),
            Face::Gr4vy => (400, "/amount"),
            Face::Loop => (409, "already_refunded"),
        };
        response.status == status && body.contains(words)
    }
}
