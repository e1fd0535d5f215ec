//! What holds for every route of every face, tested over the declarations: who is let through
//! ([`scopes`], [`forgeries`]) and how often ([`rates`]), that nobody learns of what is another's
//! ([`strangers`]), and that what is done is told as done ([`unseen`]). Here is the stage: all faces
//! under their prefixes, and credentials of each.
//!
//! A new route is tested by being declared. One whose path names something new fails until
//! [`strangers`] is told what.

mod forgeries;
mod rates;
mod scopes;
mod strangers;
mod unseen;

use std::ops::Deref;
use std::sync::Arc;

use axum::Router;
use requite_core::id::{MerchantId, prefixed_text, uuid_text};
use serde_json::{Map, json};

use super::testing::{self, Answer, START_MS, Shop};
use super::{Readiness, declared};
use crate::crypto::jws::sign_es512;
use crate::crypto::p521::PrivateKey;
use crate::crypto::token::lookup_hash;
use crate::desk::Desk;
use crate::route::Route;

/// A header that shows who asks.
type Credential = (&'static str, String);

struct House(Shop);

impl Deref for House {
    type Target = Shop;

    fn deref(&self) -> &Shop {
        &self.0
    }
}

fn router(desk: Desk) -> Router {
    let (is_stopping, queued) = (Arc::default(), Arc::new(|| 0));
    super::router(&desk, Readiness { is_stopping, queued, queue_max: 1 })
}

/// Where a face is mounted.
fn prefix(face: &str) -> &'static str {
    match face {
        "open" => "",
        "native" => "/api",
        "medusa-v1" => "/medusa/v1",
        "medusa-v2" => "/medusa/v2",
        "mpg" => "/mpg",
        "gr4vy" => "/gr4vy",
        "loop" => "/loop",
        other => panic!("where is {other} mounted?"),
    }
}

/// Where a face takes refunds of a payment.
fn refund_path(face: &str, payment: u128) -> String {
    let (pay, uuid) = (prefixed_text("pay_", payment), uuid_text(payment));
    let path = match face {
        "medusa-v1" | "medusa-v2" => format!("/admin/payments/{pay}/refund"),
        "mpg" => format!("/v1/orders/{uuid}/refund"),
        "gr4vy" => format!("/transactions/{uuid}/refunds"),
        "loop" => "/v1/refunds".to_owned(),
        "native" => format!("/payments/{uuid}/refunds"),
        other => panic!("how does {other} refund?"),
    };
    format!("{}{path}", prefix(face))
}

/// How a text is shown to a face as a credential.
fn shown(face: &str, token: &str) -> Credential {
    match face {
        "medusa-v1" => ("x-medusa-access-token", token.to_owned()),
        "medusa-v2" => ("authorization", format!("Basic sk_{token}")),
        _ => ("authorization", format!("Bearer {token}")),
    }
}

/// The path of a route with these in place of what varies, in order.
fn filled(route: &Route, ids: &[String]) -> String {
    let mut ids = ids.iter();
    let parts = route.path.split('/').map(|part| match part.starts_with('{') {
        true => ids.next().expect("an id for each part that varies").as_str(),
        false => part,
    });
    let path = parts.collect::<Vec<_>>().join("/");
    format!("{}{path}", prefix(route.face))
}

impl House {
    fn open() -> House {
        // Ids have letters and the usual length in every spelling.
        House(Shop::open(router, testing::settings(), 0x0191_f5a7_44d3_7430_8739_0000_0000_0000))
    }

    /// A credential of a face for these scopes, or for everything.
    fn credential(
        &self,
        merchant: MerchantId,
        face: &'static str,
        scopes: Option<&[&str]>,
    ) -> Credential {
        if face == "gr4vy" {
            let scopes = scopes.unwrap_or(&["*.read", "*.write"]);
            return shown(face, &self.signed(merchant, scopes));
        }
        let token = format!("{:x}", self.draw());
        let kept = if face == "medusa-v2" { format!("sk_{token}") } else { token.clone() };
        self.key(merchant, face, &kept, scopes);
        shown(face, &token)
    }

    /// A token with these scopes, by a key that may do everything.
    fn signed(&self, merchant: MerchantId, scopes: &[&str]) -> String {
        let key = PrivateKey::generate();
        let public = key.public();
        self.key_with(merchant, "gr4vy", None, |new| {
            new.lookups.push(lookup_hash(&public.thumbprints().padded));
            new.public_key = Some(public.point().to_vec());
        });
        let expires = START_MS / 1000 + 3600;
        let claims = [("exp", json!(expires)), ("scopes", json!(scopes))];
        let claims = claims.map(|(name, value)| (name.to_owned(), value));
        sign_es512(&Map::from_iter(claims), &key)
    }

    /// Sends as whoever `credential` shows, with a JSON body if the method has one.
    async fn ask(
        &self,
        method: &str,
        path: &str,
        credential: Option<&Credential>,
        body: &str,
    ) -> Answer {
        let mut headers = Vec::new();
        headers.extend(credential.map(|(name, value)| (*name, value.as_str())));
        let has_body = matches!(method, "POST" | "PUT" | "PATCH");
        if has_body {
            headers.push(("content-type", "application/json"));
        }
        let body = if has_body { body } else { "" };
        self.exchange(method, path, &headers, body.to_owned()).await
    }
}
