//! Who asks too often is told so in the face's own words, and nobody else is kept waiting.

use std::time::Duration;

use requite_core::id::{PersonId, prefixed_text, uuid_text};
use serde_json::Value;

use super::*;
use crate::access::Access;
use crate::crypto::jws::{Hs256Key, sign_hs256};
use crate::desk::Settings;
use crate::faces::testing::{SHOP, login_secret};

const TOO_MANY: [(&str, &str); 6] = [
    (
        "medusa-v1",
        r#"{"type":"too_many_requests","message":"Too many requests. Nothing was done; try again shortly."}"#,
    ),
    (
        "medusa-v2",
        r#"{"type":"too_many_requests","message":"Too many requests. Nothing was done; try again shortly."}"#,
    ),
    (
        "mpg",
        r#"{"message":"Too many requests. Nothing was done, send the request again shortly."}"#,
    ),
    (
        "gr4vy",
        r#"{"type":"error","code":"too_many_requests","status":429,"message":"Too many requests","details":[]}"#,
    ),
    (
        "loop",
        r#"{"error":"rate_limited","message":"too many requests; nothing was done, send the request again shortly"}"#,
    ),
    (
        "native",
        r#"{"error":{"code":"too_many_requests","message":"too many requests; nothing was done, try again shortly","details":[]}}"#,
    ),
];

/// A log-in of Medusa v2, as its token shows it.
fn logged_in(person: PersonId, at_s: i64) -> Credential {
    let key = Hs256Key::new(&login_secret()).expect("long enough");
    let claims = json!({"actor_id": prefixed_text("user_", person.bits()), "actor_type": "user",
        "merchant_id": uuid_text(SHOP.bits()), "iat": at_s, "exp": at_s + 60});
    let Value::Object(claims) = claims else { unreachable!("it is one") };
    ("authorization", format!("Bearer {}", sign_hs256(&claims, &key)))
}

#[tokio::test]
async fn a_credential_that_asks_too_often_waits_at_every_route_and_others_do_not() {
    let settings = Settings { requests_per_second_max: 1, ..testing::settings() };
    let house = House(Shop::open(router, settings, 0x0191_f5a7_44d3_7430_8739_0000_0000_0000));
    let is_guarded = |route: &Route| route.access != Access::Public;
    let [person, another] = ["a@shop.test", "b@shop.test"].map(|email| house.person(email));
    let mut signed_s = START_MS / 1000;
    for route in declared().into_iter().filter(is_guarded) {
        let varying = route.path.matches('{').count();
        let path = filled(&route, &vec!["none-such".to_owned(); varying]);
        // Some routes are only for people who are logged in; all tokens of one person are one credential.
        let is_persons = route.face == "medusa-v2" && route.access == Access::Known;
        let [credential, other] = match is_persons {
            true => {
                house.pass(Duration::from_secs(1));
                signed_s += 1;
                [person, another].map(|person| logged_in(person, signed_s))
            }
            false => [(); 2].map(|()| house.credential(SHOP, route.face, None)),
        };
        let first = house.ask(route.method, &path, Some(&credential), "{}").await;
        assert_ne!(first.status, 429, "{path}: {}", first.told());
        let second = house.ask(route.method, &path, Some(&credential), "{}").await;
        let words = TOO_MANY.iter().find(|(face, _)| *face == route.face);
        let (_, text) = words.expect("every face has words for it");
        assert_eq!(second.told(), format!("429 {text}"), "{} {path}", route.method);
        assert_eq!(second.header("retry-after"), Some("1"), "{path}");
        let other = house.ask(route.method, &path, Some(&other), "{}").await;
        assert_eq!(other.status, first.status, "{path}: {}", other.told());
    }
}

/// The path and the body that refund one minor unit of a payment.
fn refund_of_one(face: &str, payment: u128) -> (String, String) {
    let body = match face {
        "medusa-v1" => r#"{"amount":1,"reason":"other"}"#.to_owned(),
        "medusa-v2" => r#"{"amount":0.01}"#.to_owned(),
        "loop" => {
            let pay = prefixed_text("pay_", payment);
            format!(r#"{{"payment_id":"{pay}","amount_cents":1}}"#)
        }
        _ => r#"{"amount":1}"#.to_owned(),
    };
    (refund_path(face, payment), body)
}

/// F72: a hundred times as many requests as may be made, three seconds long: each second as many are let in as
/// may be, each of the others is told to come again, and what was let in is refunded, also what the PSP
/// was still busy with.
#[tokio::test]
async fn a_hundred_times_as_many_requests_as_may_be_made_refund_what_may_be_refunded() {
    const PER_SECOND: u32 = 2;
    let settings = Settings {
        requests_per_second_max: PER_SECOND,
        wait: Duration::ZERO,
        ..testing::settings()
    };
    for (face, words) in TOO_MANY {
        let house =
            House(Shop::open(router, settings.clone(), 0x0191_f5a7_44d3_7430_8739_0000_0000_0000));
        let credential = house.credential(SHOP, face, None);
        let held = house.register(|new| new.connector_settings = Some("hold".to_owned())).await;
        let (path, body) = refund_of_one(face, held.bits());
        let mut let_in = 0;
        for _ in 0..3 {
            for _ in 0..PER_SECOND * 100 {
                let key = format!("{face}-{:x}", house.draw());
                let headers = [
                    (credential.0, credential.1.as_str()),
                    ("content-type", "application/json"),
                    ("idempotency-key", &key),
                ];
                let answer = house.exchange("POST", &path, &headers, body.clone()).await;
                if answer.status == 429 {
                    assert_eq!(answer.told(), format!("429 {words}"));
                    assert_eq!(answer.header("retry-after"), Some("1"), "{face}");
                } else {
                    let_in += 1;
                }
            }
            house.pass(Duration::from_secs(1));
        }
        assert_eq!(let_in, PER_SECOND * 3, "{face}");
        let reader = house.credential(SHOP, "native", None);
        let path = format!("/api/payments/{}", uuid_text(held.bits()));
        for _ in 0..500 {
            house.release();
            house.pass(Duration::from_secs(1));
            let shown = house.ask("GET", &path, Some(&reader), "").await.json();
            if shown["totals"]["refunded"] == json!(let_in) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let shown = house.ask("GET", &path, Some(&reader), "").await.json();
        let totals = &shown["totals"];
        assert_eq!(
            (&totals["refunded"], &totals["reserved"]),
            (&json!(let_in), &json!(0)),
            "{face}"
        );
    }
}
