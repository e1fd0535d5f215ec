//! One merchant with a credential for every face, and a refund in each face's own words.

use serde_json::Value;

use super::{Cli, Gr4vyClaims, Key, Merchant, Request, Response, sign_gr4vy_token};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Face {
    MedusaV1,
    MedusaV2,
    Mpg,
    Gr4vy,
    Loop,
}

pub(crate) const FACES: [Face; 5] =
    [Face::MedusaV1, Face::MedusaV2, Face::Mpg, Face::Gr4vy, Face::Loop];

#[derive(Debug)]
pub(crate) struct Shop {
    pub(crate) merchant: Merchant,
    pub(crate) native: Key,
    pub(crate) v1: Key,
    pub(crate) v2: Key,
    pub(crate) mpg: Key,
    gr4vy_token: String,
    pub(crate) loop_payments: Key,
}

impl Shop {
    pub(crate) fn open(cli: &Cli, name: &str) -> Shop {
        let merchant = cli.merchant(name);
        let gr4vy = cli.key(&merchant, "gr4vy");
        let pem = gr4vy.private_key_pem.as_deref().expect("gr4vy keys come with a private key");
        Shop {
            native: cli.key(&merchant, "native"),
            v1: cli.key(&merchant, "medusa-v1"),
            v2: cli.key(&merchant, "medusa-v2"),
            mpg: cli.key(&merchant, "mpg"),
            // Longer than any test moves its clock.
            gr4vy_token: sign_gr4vy_token(
                pem,
                &Gr4vyClaims { lives_s: 180_000, ..Gr4vyClaims::default() },
            ),
            loop_payments: cli.key(&merchant, "loop"),
            merchant,
        }
    }

    /// A refund of `cents` of a USD payment (as registration answered it) through one face.
    pub(crate) fn refund(&self, face: Face, payment: &Value, cents: u32) -> Request {
        let amount = match face {
            // Major units, written digit by digit: no float is near money in a test either.
            Face::MedusaV2 => format!("{}.{:02}", cents / 100, cents % 100),
            Face::MedusaV1 | Face::Mpg | Face::Gr4vy | Face::Loop => cents.to_string(),
        };
        self.request(face, payment).bytes(body(face, payment, &amount, ""))
    }

    /// The same, with whatever stands in the place of the amount.
    pub(crate) fn refund_of(&self, face: Face, payment: &Value, amount: &str) -> Request {
        self.request(face, payment).bytes(body(face, payment, amount, ""))
    }

    /// A refund request without its body.
    pub(crate) fn request(&self, face: Face, payment: &Value) -> Request {
        let post = Request::post(&path(face, payment)).header("content-type", "application/json");
        self.credential(face, post)
    }

    /// `request` with this shop's credential of a face.
    pub(crate) fn credential(&self, face: Face, request: Request) -> Request {
        match face {
            Face::MedusaV1 => request.api_token(&self.v1.token),
            Face::MedusaV2 => request.basic(&self.v2.token),
            Face::Mpg => request.bearer(&self.mpg.token),
            Face::Gr4vy => request.bearer(&self.gr4vy_token),
            Face::Loop => request.bearer(&self.loop_payments.token),
        }
    }

    /// What clients of a face send as credential, for sending it elsewhere.
    pub(crate) fn token(&self, face: Face) -> &str {
        match face {
            Face::MedusaV1 => &self.v1.token,
            Face::MedusaV2 => &self.v2.token,
            Face::Mpg => &self.mpg.token,
            Face::Gr4vy => &self.gr4vy_token,
            Face::Loop => &self.loop_payments.token,
        }
    }
}

fn id<'a>(payment: &'a Value, spelling: &str) -> &'a str {
    payment["ids"][spelling].as_str().expect("registration answers every spelling")
}

/// Where a face refunds a payment, below its own prefix.
pub(crate) fn path(face: Face, payment: &Value) -> String {
    let spelling = match face {
        Face::MedusaV1 | Face::MedusaV2 => "medusa",
        Face::Mpg | Face::Gr4vy => "uuid",
        Face::Loop => "loop",
    };
    path_of(face, id(payment, spelling))
}

/// The same for any text in the place of the id.
pub(crate) fn path_of(face: Face, id: &str) -> String {
    match face {
        Face::MedusaV1 => format!("/medusa/v1/admin/payments/{id}/refund"),
        Face::MedusaV2 => format!("/medusa/v2/admin/payments/{id}/refund"),
        Face::Mpg => format!("/mpg/v1/orders/{id}/refund"),
        Face::Gr4vy => format!("/gr4vy/transactions/{id}/refunds"),
        Face::Loop => "/loop/v1/admin/refunds".to_owned(),
    }
}

/// A face's refund body with `amount` as raw text, and further members as raw text.
pub(crate) fn body(face: Face, payment: &Value, amount: &str, more: &str) -> String {
    match face {
        Face::MedusaV1 => format!("{{\"amount\":{amount},\"reason\":\"return\"{more}}}"),
        Face::MedusaV2 | Face::Mpg | Face::Gr4vy => format!("{{\"amount\":{amount}{more}}}"),
        Face::Loop => {
            let charge = id(payment, "loop");
            format!("{{\"charge_id\":\"{charge}\",\"amount_cents\":{amount}{more}}}")
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
            Face::MedusaV2 => (400, "You are not allowed to refund more than the captured amount"),
            Face::Mpg => (400, "message"),
            Face::Gr4vy => (400, "/amount"),
            Face::Loop => (409, "already_refunded"),
        };
        response.status == status && body.contains(words)
    }
}
