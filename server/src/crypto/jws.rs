//! Signed tokens: compact JWS (RFC 7515) holding JWT claims (RFC 7519), for two algorithms only.
//! Gr4vy's callers sign their own with ES512; logins to the Medusa faces are ours, with HS256.
//!
//! Reading takes two steps, because the key to check a Gr4vy token with is named inside it:
//! [`parse`] looks at the form and the header, the caller finds the key, [`Unverified::verify`]
//! checks the signature and then the times. Claims do not exist before that: there is no way to
//! read them from a token that was not verified.
//!
//! Invariants:
//! - The caller says which algorithm it expects, and a key works with its own algorithm only. A
//!   token chooses nothing: `none`, and HS256 with a public key as the secret, have no path here.
//! - Keys come from the store, never from a token: `jku`, `jwk`, `x5u` and `x5c` are not looked at.
//! - One meaning per token: duplicate members, padding, blanks and trailing bits are refused.
//! - Work is bounded by [`JWS_BYTES_MAX`] before anything is decoded.
//! - A [`Fault`] says which check failed, for our own log. It repeats nothing of the token, and
//!   callers answer 401 alike to all of them.

mod strict;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::{digest, hmac};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Map, Value};

use super::p521;

/// A longer token is refused unread. An SDK's token has about 600 bytes; a browser token with a
/// whole checkout in its claims a few thousand.
pub(crate) const JWS_BYTES_MAX: usize = 8192;

/// A longer `kid` is refused. A thumbprint has 43 characters.
pub(crate) const KID_BYTES_MAX: usize = 128;

/// Below this an HS256 secret could be found from one token by trying (RFC 7518, section 3.2).
pub(crate) const HS256_SECRET_BYTES_MIN: usize = 32;

/// How far a client's clock may be ahead of ours. Gr4vy's SDKs set `nbf` to their own now, so
/// without this a client one second ahead would be refused. Nothing is added after `exp`: their
/// shortest life is 30 seconds, which outlasts an ordinary difference of clocks, and an expired
/// token must be worth nothing.
pub(crate) const SKEW_SECONDS: i64 = 10;

/// Times in claims lie in `0..=SECONDS_MAX`: from 1970 through the year 9999.
const SECONDS_MAX: i64 = 253_402_300_799;

/// Why a token is worth nothing. Listed in the order in which it is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("the token is longer than {JWS_BYTES_MAX} bytes")]
    TooLong,
    #[error("not a compact JWS: three base64url parts, the first two of them JSON objects")]
    Malformed,
    #[error("the token is signed with another algorithm than this face takes")]
    Algorithm,
    #[error("the token's header demands an extension (crit, b64) that is not known")]
    Extension,
    /// Also for callers of [`parse`] to return when they know no key of that name.
    #[error("the token names no key that is known and active")]
    UnknownKey,
    #[error("the signature does not match")]
    Signature,
    #[error("a claim about time is missing or not a whole number of seconds")]
    Times,
    #[error("the token is meant for another audience")]
    Audience,
    #[error("the token has expired")]
    Expired,
    #[error("the token is not valid yet")]
    NotYet,
}

/// How a token is signed. There is no third: an RS512 token is an unknown algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// ECDSA on P-521 with SHA-512.
    Es512,
    /// HMAC with SHA-256.
    Hs256,
}

impl Algorithm {
    fn name(self) -> &'static str {
        match self {
            Algorithm::Es512 => "ES512",
            Algorithm::Hs256 => "HS256",
        }
    }
}

/// The secret that login tokens are signed and checked with.
#[derive(Clone)]
pub(crate) struct Hs256Key(hmac::Key);

impl Hs256Key {
    /// `None` if the secret is shorter than [`HS256_SECRET_BYTES_MIN`].
    pub(crate) fn new(secret: &[u8]) -> Option<Hs256Key> {
        let is_long_enough = secret.len() >= HS256_SECRET_BYTES_MIN;
        is_long_enough.then(|| Hs256Key(hmac::Key::new(hmac::HMAC_SHA256, secret)))
    }
}

impl fmt::Debug for Hs256Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Hs256Key(hidden)")
    }
}

/// What a signature is checked with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum VerifyingKey<'a> {
    Es512(&'a p521::PublicKey),
    Hs256(&'a Hs256Key),
    /// As `Es512`, for callers that send the same token again and again.
    Known(&'a p521::PublicKey, &'a Signatures),
}

impl VerifyingKey<'_> {
    fn algorithm(self) -> Algorithm {
        match self {
            VerifyingKey::Es512(_) | VerifyingKey::Known(..) => Algorithm::Es512,
            VerifyingKey::Hs256(_) => Algorithm::Hs256,
        }
    }
}

/// ES512 signatures that were checked and hold. To check one takes as long as everything else about a
/// request together, and clients use a token until it expires. That it holds never changes; its times and
/// its key are looked at each time.
#[derive(Debug, Default)]
pub(crate) struct Signatures(Mutex<HashSet<[u8; 32]>>);

impl Signatures {
    /// Beyond it all are forgotten.
    const KEPT_MAX: usize = 4_096;

    fn hold(&self, key: &p521::PublicKey, signed: &[u8], signature: &[u8]) -> bool {
        // What is remembered is one text: only fixed lengths keep its parts apart.
        if signature.len() != p521::SIGNATURE {
            return false;
        }
        let mut context = digest::Context::new(&digest::SHA256);
        for part in [key.point(), signature, signed] {
            context.update(part);
        }
        let known: [u8; 32] = context.finish().as_ref().try_into().expect("SHA-256 has 32 bytes");
        if self.known().contains(&known) {
            return true;
        }
        let is_genuine = key.is_signature(signed, signature);
        if is_genuine {
            let mut all = self.known();
            if all.len() >= Signatures::KEPT_MAX {
                all.clear();
            }
            all.insert(known);
        }
        is_genuine
    }

    fn known(&self) -> MutexGuard<'_, HashSet<[u8; 32]>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When a token is looked at, in seconds since 1970.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) now_seconds: i64,
    /// Added to now when `nbf` is checked; see [`SKEW_SECONDS`].
    pub(crate) skew_seconds: i64,
}

/// A token in good form whose signature nobody has checked. Only its key's name can be read.
#[derive(Debug)]
pub(crate) struct Unverified<'a> {
    algorithm: Algorithm,
    kid: Option<String>,
    /// Header and payload as sent, with the dot between them: what was signed.
    signed: &'a str,
    /// Decoded, but not read as JSON yet: that waits for the signature.
    payload: Vec<u8>,
    signature: Vec<u8>,
}

/// Reads the form and the header of a compact JWS. `token` is the bare token: no scheme, no blanks.
///
/// # Errors
/// [`Fault::TooLong`], [`Fault::Malformed`], [`Fault::Algorithm`], [`Fault::Extension`].
pub(crate) fn parse(token: &str, expected: Algorithm) -> Result<Unverified<'_>, Fault> {
    if token.len() > JWS_BYTES_MAX {
        return Err(Fault::TooLong);
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(Fault::Malformed)?;
    let (header, payload) = signed.split_once('.').ok_or(Fault::Malformed)?;
    if payload.contains('.') {
        return Err(Fault::Malformed);
    }
    let header = strict::object(&decode(header)?).ok_or(Fault::Malformed)?;
    match header.get("alg") {
        Some(Value::String(alg)) if alg == expected.name() => {}
        Some(Value::String(_)) => return Err(Fault::Algorithm),
        _ => return Err(Fault::Malformed),
    }
    // `crit` names extensions that must be understood, and we understand none. `b64` changes what
    // is signed; it may not come without `crit`, so a header that has it is wrong either way.
    if header.contains_key("crit") || header.contains_key("b64") {
        return Err(Fault::Extension);
    }
    match header.get("typ") {
        None => {}
        Some(Value::String(typ)) if typ.eq_ignore_ascii_case("JWT") => {}
        Some(_) => return Err(Fault::Malformed),
    }
    let kid = match header.get("kid") {
        None => None,
        Some(Value::String(kid)) if kid.len() <= KID_BYTES_MAX => Some(kid.clone()),
        Some(_) => return Err(Fault::Malformed),
    };
    let (payload, signature) = (decode(payload)?, decode(signature)?);
    Ok(Unverified { algorithm: expected, kid, signed, payload, signature })
}

impl Unverified<'_> {
    /// The name of the key that the token claims to be signed with. It is the sender's free text:
    /// compare it with names of keys, and use it for nothing else.
    ///
    /// # Errors
    /// [`Fault::UnknownKey`] if the token names none. All of Gr4vy's SDKs do, and trying every key
    /// would make each forgery cost as many checks as there are keys.
    pub(crate) fn kid(&self) -> Result<&str, Fault> {
        self.kid.as_deref().ok_or(Fault::UnknownKey)
    }

    /// Checks the signature with `key`, then that the token is valid at `moment`. The claims are
    /// read only once the signature holds.
    ///
    /// `exp` is required, `nbf` and `iat` are optional; each is a whole number of seconds. The
    /// token is valid from `nbf` (less the skew) until just before `exp`. `iat` is not compared
    /// with now: it says when, not whether. `aud` is refused: nobody signs tokens for us by that
    /// name, and RFC 7519 (section 4.1.3) wants a token for others refused.
    ///
    /// # Errors
    /// [`Fault::Algorithm`] and every fault listed after [`Fault::UnknownKey`], and
    /// [`Fault::Malformed`] if what was signed is not a JSON object.
    pub(crate) fn verify(&self, key: VerifyingKey<'_>, moment: Moment) -> Result<Claims, Fault> {
        if key.algorithm() != self.algorithm {
            return Err(Fault::Algorithm);
        }
        let signed = self.signed.as_bytes();
        let is_genuine = match key {
            VerifyingKey::Es512(key) => key.is_signature(signed, &self.signature),
            VerifyingKey::Hs256(key) => hmac::verify(&key.0, signed, &self.signature).is_ok(),
            VerifyingKey::Known(key, signatures) => signatures.hold(key, signed, &self.signature),
        };
        if !is_genuine {
            return Err(Fault::Signature);
        }
        let members = strict::object(&self.payload).ok_or(Fault::Malformed)?;
        let claims = Claims::read(members)?;
        if claims.members.contains_key("aud") {
            return Err(Fault::Audience);
        }
        if moment.now_seconds >= claims.expires_at_seconds {
            return Err(Fault::Expired);
        }
        let latest_start = moment.now_seconds.saturating_add(moment.skew_seconds);
        if claims.not_before_seconds.is_some_and(|start| start > latest_start) {
            return Err(Fault::NotYet);
        }
        Ok(claims)
    }
}

/// What a verified token says. Which claims a face needs, and what they must be, is its own rule.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Claims {
    members: Map<String, Value>,
    expires_at_seconds: i64,
    not_before_seconds: Option<i64>,
    issued_at_seconds: Option<i64>,
}

impl Claims {
    fn read(members: Map<String, Value>) -> Result<Claims, Fault> {
        Ok(Claims {
            expires_at_seconds: seconds(&members, "exp")?.ok_or(Fault::Times)?,
            not_before_seconds: seconds(&members, "nbf")?,
            issued_at_seconds: seconds(&members, "iat")?,
            members,
        })
    }

    /// `exp`: the first second in which the token is no longer valid.
    pub(crate) fn expires_at_seconds(&self) -> i64 {
        self.expires_at_seconds
    }

    /// `nbf`, if the token has one.
    pub(crate) fn not_before_seconds(&self) -> Option<i64> {
        self.not_before_seconds
    }

    /// `iat`, if the token has one.
    pub(crate) fn issued_at_seconds(&self) -> Option<i64> {
        self.issued_at_seconds
    }

    /// The claim of this name, whatever it is.
    pub(crate) fn value(&self, name: &str) -> Option<&Value> {
        self.members.get(name)
    }

    /// The claim of this name if it is a string, and not an empty one.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.value(name).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// The claim of this name if it is an array of strings (Gr4vy's `scopes`).
    pub(crate) fn texts(&self, name: &str) -> Option<Vec<&str>> {
        self.value(name)?.as_array()?.iter().map(Value::as_str).collect()
    }
}

/// A token with these claims, signed with HS256: what a login to a Medusa face is answered with.
/// The caller puts `iat` and `exp` among the claims.
pub(crate) fn sign_hs256(claims: &Map<String, Value>, key: &Hs256Key) -> String {
    let signed = signing_input(r#"{"alg":"HS256","typ":"JWT"}"#, claims);
    let tag = hmac::sign(&key.0, signed.as_bytes());
    format!("{signed}.{}", BASE64URL_NOPAD.encode(tag.as_ref()))
}

/// A token with these claims, signed with ES512 and naming its key: what a Gr4vy client makes.
/// The server makes none but for the demonstration; tools and tests do.
pub(crate) fn sign_es512(claims: &Map<String, Value>, key: &p521::PrivateKey) -> String {
    let kid = key.public().thumbprints().padded;
    let header = format!(r#"{{"alg":"ES512","kid":"{kid}","typ":"JWT"}}"#);
    let signed = signing_input(&header, claims);
    let signature = key.sign(signed.as_bytes());
    format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature))
}

fn signing_input(header: &str, claims: &Map<String, Value>) -> String {
    let claims = serde_json::to_string(claims).expect("JSON values with text keys have a text");
    let encode = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
    format!("{}.{}", encode(header), encode(&claims))
}

/// Base64url as JWS has it: no padding, no blanks, and no bits left over, so that no two texts
/// decode to the same bytes.
fn decode(part: &str) -> Result<Vec<u8>, Fault> {
    BASE64URL_NOPAD.decode(part.as_bytes()).map_err(|_| Fault::Malformed)
}

/// A claim about time. RFC 7519 would allow fractions; no client of ours sends any, and a number
/// that two readers might round differently has no place here.
fn seconds(members: &Map<String, Value>, name: &str) -> Result<Option<i64>, Fault> {
    let Some(value) = members.get(name) else {
        return Ok(None);
    };
    match value.as_i64() {
        Some(seconds) if (0..=SECONDS_MAX).contains(&seconds) => Ok(Some(seconds)),
        _ => Err(Fault::Times),
    }
}
