//! What must be signed to be believed, and what PSPs answer.
//!
//! Keys are drawn here, so no input can be signed with them: whatever is accepted as it came is an
//! error. The same input inside a good signature is read to its end.

use std::sync::LazyLock;

use aws_lc_rs::hmac;
use axum::http::{HeaderMap, HeaderValue};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};

use super::Target;
use crate::connectors::account::Kind;
use crate::connectors::notice::Delivery;
use crate::crypto::jws::{self, Algorithm, Hs256Key, Moment, Signatures, VerifyingKey};
use crate::crypto::p521::{PrivateKey, PublicKey};
use crate::crypto::password;
use crate::crypto::seal::SealingKey;
use crate::crypto::secret::Secret;
use crate::crypto::token;
use crate::{connectors, hooks};

pub(super) const TARGETS: &[Target] = &[
    ("token", token),
    ("token_claims", token_claims),
    ("keys", keys),
    ("stripe_webhook", stripe_webhook),
    ("adyen_webhook", adyen_webhook),
    ("stripe_answer", stripe_answer),
    ("adyen_answer", adyen_answer),
];

const HMAC_SECRET: [u8; 32] = [9; 32];
const MOMENT: Moment = Moment { now_seconds: 1_726_403_265, skew_seconds: 60 };

struct Keys {
    hs256: Hs256Key,
    es512: PublicKey,
    sealing: SealingKey,
    signatures: Signatures,
}

static KEYS: LazyLock<Keys> = LazyLock::new(|| Keys {
    hs256: Hs256Key::new(&HMAC_SECRET).expect("32 bytes"),
    es512: PrivateKey::generate().public(),
    sealing: SealingKey::read("CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk=").expect("32 bytes"),
    signatures: Signatures::default(),
});

fn token(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    token::redacted(text);
    for (algorithm, keys) in [
        (Algorithm::Hs256, vec![VerifyingKey::Hs256(&KEYS.hs256)]),
        (
            Algorithm::Es512,
            vec![
                VerifyingKey::Es512(&KEYS.es512),
                VerifyingKey::Known(&KEYS.es512, &KEYS.signatures),
            ],
        ),
    ] {
        let Ok(token) = jws::parse(text, algorithm) else { continue };
        assert!(token.kid().is_ok_and(|kid| kid.len() <= text.len()) || token.kid().is_err());
        for key in keys {
            assert!(token.verify(key, MOMENT).is_err(), "{text}");
        }
    }
}

/// Any payload, well signed.
fn token_claims(input: &[u8]) {
    let head = BASE64URL_NOPAD.encode(br#"{"alg":"HS256"}"#);
    let signed = format!("{head}.{}", BASE64URL_NOPAD.encode(input));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &HMAC_SECRET), signed.as_bytes());
    let text = format!("{signed}.{}", BASE64URL_NOPAD.encode(tag.as_ref()));
    let Ok(token) = jws::parse(&text, Algorithm::Hs256) else {
        return;
    };
    if let Ok(claims) = token.verify(VerifyingKey::Hs256(&KEYS.hs256), MOMENT) {
        assert!(claims.expires_at_seconds() > MOMENT.now_seconds);
        assert!(claims.not_before_seconds().is_none_or(|s| s <= MOMENT.now_seconds + 60));
        assert!(claims.value("aud").is_none());
        claims.texts("scopes");
        claims.text("sub");
    }
}

fn keys(input: &[u8]) {
    assert!(KEYS.sealing.open(input, b"account").is_err());
    PublicKey::from_point(input).ok();
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(key) = PublicKey::from_pem(text) {
        assert_eq!(PublicKey::from_pem(&key.to_pem()), Ok(key));
    }
    PrivateKey::from_pem(text).ok();
    SealingKey::read(text).ok();
    // What demands much work is refused before any is done.
    if !text.contains("argon2id") {
        let wrong = Secret::new("no password".to_owned());
        assert!(password::verify(&wrong, text).is_err());
    }
}

/// The first line as the header, the rest as the body; then all of it, signed.
fn stripe_webhook(input: &[u8]) {
    let (header, body) = match input.iter().position(|&byte| byte == b'\n') {
        Some(at) => (&input[..at], &input[at + 1..]),
        None => (input, &input[..0]),
    };
    let heard = |header: HeaderValue, body: &[u8]| {
        let mut headers = HeaderMap::new();
        headers.insert("stripe-signature", header);
        hear(Kind::Stripe, &headers, body, "whsec_of_the_fuzzer")
    };
    if let Ok(header) = HeaderValue::from_bytes(header) {
        assert!(heard(header, body).is_none());
    }
    let time = MOMENT.now_seconds.to_string();
    let signed = [time.as_bytes(), b".", input].concat();
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"whsec_of_the_fuzzer");
    let tag = HEXLOWER.encode(hmac::sign(&key, &signed).as_ref());
    let header = HeaderValue::try_from(format!("t={time},v1={tag}")).expect("plain");
    let messages = heard(header, input).expect("it is signed");
    assert_eq!(messages, 1);
}

fn hear(kind: Kind, headers: &HeaderMap, body: &[u8], secret: &str) -> Option<usize> {
    let delivery = Delivery {
        headers,
        body,
        secrets: &[Secret::new(secret.to_owned())],
        merchant_account: Some("ShopECOM"),
        now_s: MOMENT.now_seconds,
    };
    let messages = kind.hear(&delivery).ok()?;
    for message in &messages {
        hooks::fuzz::kept(message);
    }
    Some(messages.len())
}

fn adyen_webhook(input: &[u8]) {
    let key = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056";
    assert_eq!(hear(Kind::Adyen, &HeaderMap::new(), input, key), None);
    for message in connectors::fuzz::adyen_items(input) {
        hooks::fuzz::kept(&message);
    }
}

fn stripe_answer(input: &[u8]) {
    connectors::fuzz::answers(Kind::Stripe, input);
}

fn adyen_answer(input: &[u8]) {
    connectors::fuzz::answers(Kind::Adyen, input);
}
