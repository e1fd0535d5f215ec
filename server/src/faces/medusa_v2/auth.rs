//! Credentials of this dialect: a secret key as HTTP Basic user name in any of its three spellings, the
//! cookie of a session, or a log-in token as Bearer. What is wrong with a credential is never told, with one exception:
//! a secret key sent as Bearer gets the original's hint.

use axum::http::{HeaderMap, header};
use data_encoding::{BASE64_NOPAD, BASE64URL_NOPAD};
use requite_core::id::{
    MerchantId, PersonId, parse_prefixed, parse_uuid, prefixed_text, uuid_text,
};
use requite_engine::read::PersonView;
use serde_json::{Map, Value, json};

use super::Face;
use super::failure::Failure;
use super::spelling::prefix;
use crate::access::{self, Actor, Caller};
use crate::crypto::jws::{self, Algorithm, Hs256Key, Moment, SKEW_SECONDS, VerifyingKey};
use crate::crypto::token::lookup_hash;
use crate::session::{self, Kind};

/// How this face's keys are listed in the registry.
pub(super) const FACE: &str = "medusa-v2";
/// A log-in lasts a day, as in the original.
const TOKEN_SECONDS: i64 = 24 * 60 * 60;
/// The claim that says whose books the person sees. Ours: the original knows one merchant.
const MERCHANT_CLAIM: &str = "merchant_id";

const SECRET_KEY_PREFIX: &str = "sk_";

/// What a request's `Authorization` header is.
#[derive(Debug, PartialEq, Eq)]
enum Credential {
    SecretKey(String),
    Token(String),
    /// A secret key where a token belongs.
    KeyAsBearer,
    /// Nothing that anyone could have.
    None,
}

fn credential(headers: &HeaderMap) -> Credential {
    let value = headers.get(header::AUTHORIZATION);
    let value = value.and_then(|value| value.to_str().ok());
    let Some((scheme, rest)) = value.and_then(|value| value.split_once(' ')) else {
        return Credential::None;
    };
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("basic") {
        return secret_key(rest).map_or(Credential::None, Credential::SecretKey);
    }
    match scheme.eq_ignore_ascii_case("bearer") {
        true if rest.starts_with(SECRET_KEY_PREFIX) => Credential::KeyAsBearer,
        true => Credential::Token(rest.to_owned()),
        false => Credential::None,
    }
}

/// `sk_...` itself, or base64 of `sk_...` or of `sk_...:`. With a password behind the colon it is
/// another text, which no key has.
fn secret_key(text: &str) -> Option<String> {
    let plain = if text.starts_with(SECRET_KEY_PREFIX) {
        text.to_owned()
    } else {
        let digits = text.trim_end_matches('=').as_bytes();
        let decoded = BASE64_NOPAD.decode(digits);
        let decoded = decoded.or_else(|_| BASE64URL_NOPAD.decode(digits)).ok()?;
        String::from_utf8(decoded).ok()?
    };
    let key = plain.strip_suffix(':').unwrap_or(&plain);
    key.starts_with(SECRET_KEY_PREFIX).then(|| key.to_owned())
}

/// Who asks: by a secret key, else by the cookie of a session, else by a log-in token.
///
/// # Errors
/// 401 for whatever is not a living credential of this face.
pub(super) async fn known(face: &Face, caller: Caller<'_>) -> Result<Actor, Failure> {
    let Caller { method, headers, .. } = caller;
    let credential = credential(headers);
    if let Credential::SecretKey(key) = &credential {
        let found = access::key(&face.desk, FACE, lookup_hash(key)).await;
        if let Some(key) = found.map_err(Failure::Read)? {
            return Ok(Actor::of_key(&key));
        }
    }
    let person = session::person(&face.desk, Kind::MedusaV2, method, headers).await;
    if let Some(person) = person.map_err(Failure::Read)? {
        return Ok(actor_of(&person));
    }
    log_in(face, &credential).await.map(|log_in| actor_of(&log_in.person))
}

fn actor_of(person: &PersonView) -> Actor {
    Actor {
        merchant: person.merchant,
        name: prefixed_text(prefix::USER, person.id.bits()),
        scopes: None,
    }
}

/// Who asks, if they may do what their route demands.
///
/// # Errors
/// As [`known`]; 403 without the scope; 429 when they ask too often.
pub(super) async fn actor(face: &Face, caller: Caller<'_>) -> Result<Actor, Failure> {
    let actor = known(face, caller).await?;
    caller.admit(&face.desk, actor).map_err(Failure::Barred)
}

/// The log-in whose token a request carries, with its person as the books have them now.
///
/// # Errors
/// As [`actor`].
pub(super) async fn bearer(face: &Face, caller: Caller<'_>) -> Result<LogIn, Failure> {
    let log_in = log_in(face, &credential(caller.headers)).await?;
    caller.admit(&face.desk, actor_of(&log_in.person)).map_err(Failure::Barred)?;
    Ok(log_in)
}

/// A log-in, as its token tells of it.
pub(super) struct LogIn {
    person: PersonView,
    issued_at_seconds: i64,
    expires_at_seconds: i64,
}

impl LogIn {
    pub(super) fn person(&self) -> &PersonView {
        &self.person
    }

    /// The original's claims, as JSON text in its order.
    pub(super) fn claims(&self) -> String {
        let members = claims(&self.person, self.issued_at_seconds, self.expires_at_seconds);
        let members = members.into_iter().map(|(name, value)| format!("\"{name}\":{value}"));
        format!("{{{}}}", members.collect::<Vec<_>>().join(","))
    }
}

async fn log_in(face: &Face, credential: &Credential) -> Result<LogIn, Failure> {
    let token = match credential {
        Credential::Token(token) => token,
        Credential::KeyAsBearer => return Err(Failure::KeyAsBearer),
        Credential::SecretKey(_) | Credential::None => return Err(Failure::Unauthorized),
    };
    let key = login_key(face).await?;
    let now_seconds = face.desk.now_ms().div_euclid(1_000);
    let claimed = claimed(token, &key, now_seconds).ok_or(Failure::Unauthorized)?;
    let Claimed { merchant, person, issued_at_seconds, expires_at_seconds } = claimed;
    let found = face.desk.glance(move |reads| reads.person(merchant, person));
    let person = found.await.map_err(Failure::Read)?.ok_or(Failure::Unauthorized)?;
    Ok(LogIn { person, issued_at_seconds, expires_at_seconds })
}

/// The installation's key for log-in tokens. It never changes, so it is read once.
async fn login_key(face: &Face) -> Result<Hs256Key, Failure> {
    let read = async || {
        let secret = face.desk.login_secret().await;
        let secret = secret.map_err(Failure::Read)?.unwrap_or_default();
        Hs256Key::new(&secret).ok_or_else(|| {
            tracing::error!("the store has no secret for log-ins: nobody can log in");
            Failure::Unauthorized
        })
    };
    face.login_key.get_or_try_init(read).await.cloned()
}

/// What a token says that is genuine and valid now.
#[derive(Debug, PartialEq, Eq)]
struct Claimed {
    merchant: MerchantId,
    person: PersonId,
    issued_at_seconds: i64,
    expires_at_seconds: i64,
}

fn claimed(token: &str, key: &Hs256Key, now_seconds: i64) -> Option<Claimed> {
    let moment = Moment { now_seconds, skew_seconds: SKEW_SECONDS };
    let unverified = jws::parse(token, Algorithm::Hs256).ok()?;
    let claims = unverified.verify(VerifyingKey::Hs256(key), moment).ok()?;
    if claims.text("actor_type") != Some("user") {
        return None;
    }
    let person = parse_prefixed(prefix::USER, claims.text("actor_id")?)?;
    let merchant = parse_uuid(claims.text(MERCHANT_CLAIM)?)?;
    Some(Claimed {
        merchant: MerchantId::new(merchant),
        person: PersonId::new(person),
        issued_at_seconds: claims.issued_at_seconds()?,
        expires_at_seconds: claims.expires_at_seconds(),
    })
}

/// A log-in token with the original's claims, and the merchant.
pub(super) async fn token(face: &Face, person: &PersonView) -> Result<String, Failure> {
    let key = login_key(face).await?;
    let now_seconds = face.desk.now_ms().div_euclid(1_000);
    Ok(jws::sign_hs256(&signed(person, now_seconds), &key))
}

fn signed(person: &PersonView, now_seconds: i64) -> Map<String, Value> {
    let expires = now_seconds.saturating_add(TOKEN_SECONDS);
    let merchant = json!(uuid_text(person.merchant.bits()));
    let claims =
        claims(person, now_seconds, expires).into_iter().chain([(MERCHANT_CLAIM, merchant)]);
    claims.map(|(name, value)| (name.to_owned(), value)).collect()
}

fn claims(
    person: &PersonView,
    issued_at_seconds: i64,
    expires_at_seconds: i64,
) -> [(&'static str, Value); 10] {
    let user = prefixed_text(prefix::USER, person.id.bits());
    [
        ("actor_id", json!(user)),
        ("actor_type", json!("user")),
        ("auth_identity_id", json!(prefixed_text(prefix::IDENTITY, person.id.bits()))),
        ("auth_provider", json!("emailpass")),
        ("mfa_enabled", json!(false)),
        ("mfa_challenge_completed_at", Value::Null),
        ("app_metadata", json!({ "user_id": user })),
        ("user_metadata", json!({})),
        ("iat", json!(issued_at_seconds)),
        ("exp", json!(expires_at_seconds)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_key_has_three_spellings_and_no_other() {
        let digits = "02fcf098482284caf6d8e2bbbac2581ee905d5d49c1cbd643658efb2b93f3a3b";
        let key = format!("sk_{digits}");
        let base64 = |text: &str| data_encoding::BASE64.encode(text.as_bytes());
        let known = || Credential::SecretKey(key.clone());
        let with_password = base64(&format!("{key}:pw"));
        for (header, seen) in [
            (format!("Basic {key}"), known()),
            (format!("bAsIc {key}"), known()),
            (format!("Basic {}", base64(&key)), known()),
            (format!("Basic {}", base64(&format!("{key}:"))), known()),
            (format!("Basic {with_password}"), Credential::SecretKey(format!("{key}:pw"))),
            (format!("Basic pk_{digits}"), Credential::None),
            (format!("Basic {}", base64(&format!("pk_{digits}"))), Credential::None),
            (format!("Bearer {key}"), Credential::KeyAsBearer),
            ("bearer a.b.c".to_owned(), Credential::Token("a.b.c".to_owned())),
            ("a.b.c".to_owned(), Credential::None),
            (key.clone(), Credential::None),
            (String::new(), Credential::None),
        ] {
            let mut headers = HeaderMap::new();
            let value = header.parse().expect("a header value");
            headers.insert(header::AUTHORIZATION, value);
            assert_eq!(credential(&headers), seen, "{header}");
        }
        assert_eq!(credential(&HeaderMap::new()), Credential::None);
    }

    #[test]
    fn a_token_is_good_for_a_day_and_for_a_user_of_a_merchant() {
        let key = Hs256Key::new(&[7; 32]).expect("long enough");
        let other = Hs256Key::new(&[8; 32]).expect("long enough");
        let person = PersonView {
            id: PersonId::new(5),
            merchant: MerchantId::new(6),
            email: "a@example.com".to_owned(),
            password_hash: String::new(),
            created_at_ms: 0,
            updated_at_ms: 0,
        };
        let sign = |change: &dyn Fn(&mut Map<String, Value>)| {
            let mut claims = signed(&person, 1_000_000);
            change(&mut claims);
            jws::sign_hs256(&claims, &key)
        };
        let good = sign(&|_| {});
        let known = || {
            Some(Claimed {
                merchant: person.merchant,
                person: person.id,
                issued_at_seconds: 1_000_000,
                expires_at_seconds: 1_086_400,
            })
        };
        for (what, token, key, at, seen) in [
            ("just made", &good, &key, 1_000_000, known()),
            ("a second before its end", &good, &key, 1_086_399, known()),
            ("over", &good, &key, 1_086_400, None),
            ("signed by another", &good, &other, 1_000_000, None),
        ] {
            assert_eq!(claimed(token, key, at), seen, "{what}");
        }
        for (name, value) in [
            ("actor_type", json!("customer")),
            ("actor_id", json!("")),
            ("actor_id", json!("user_x")),
            ("merchant_id", Value::Null),
        ] {
            let token = sign(&|claims| {
                claims.insert(name.to_owned(), value.clone());
            });
            assert_eq!(claimed(&token, &key, 1_000_000), None, "{name}: {value}");
        }
    }
}
