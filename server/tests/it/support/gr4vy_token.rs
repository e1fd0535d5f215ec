//! Tokens as Gr4vy's own SDKs make them: JWT, ES512 over P-521, signed with the private key that
//! `requite key create --face gr4vy` has shown.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use data_encoding::{BASE64, BASE64URL_NOPAD};
use serde_json::json;

/// What a token says, beside the things that every token says.
#[derive(Clone, Debug)]
pub(crate) struct Gr4vyClaims {
    pub(crate) scopes: Vec<String>,
    /// Seconds from now at which the token ends; negative is long ended.
    pub(crate) lives_s: i64,
}

impl Default for Gr4vyClaims {
    /// What the SDKs ask for: everything, for an hour.
    fn default() -> Gr4vyClaims {
        let scopes = vec!["*.read".to_owned(), "*.write".to_owned()];
        Gr4vyClaims { scopes, lives_s: 3600 }
    }
}

/// A signed token for `Authorization: Bearer ...`.
pub(crate) fn sign_gr4vy_token(private_key_pem: &str, claims: &Gr4vyClaims) -> String {
    let pair = key_pair(private_key_pem);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let now = i64::try_from(since.as_secs()).expect("before the year 292 billion");
    let header = json!({"alg": "ES512", "typ": "JWT", "kid": thumbprint(&pair)});
    let payload = json!({
        "iss": "requite-tests", "jti": "f3b6b0f0-4f0e-4d3a-9d5b-0d8c6b1f2a11",
        "nbf": now.saturating_sub(10), "iat": now, "exp": now.saturating_add(claims.lives_s),
        "scopes": claims.scopes,
    });
    let encode = |value: serde_json::Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let signed = format!("{}.{}", encode(header), encode(payload));
    let signature = pair.sign(&SystemRandom::new(), signed.as_bytes()).expect("a P-521 signature");
    format!("{signed}.{}", BASE64URL_NOPAD.encode(signature.as_ref()))
}

/// SubjectPublicKeyInfo bytes in the PEM form that `--public-key` takes.
pub(crate) fn public_key_pem(spki: &[u8]) -> String {
    let text = BASE64.encode(spki);
    let lines: Vec<String> =
        text.as_bytes().chunks(64).map(|c| String::from_utf8_lossy(c).into_owned()).collect();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
}

fn key_pair(private_key_pem: &str) -> EcdsaKeyPair {
    let text: String = private_key_pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let der = BASE64.decode(text.trim().as_bytes()).expect("the body of a PEM is base64");
    EcdsaKeyPair::from_pkcs8(&ECDSA_P521_SHA512_FIXED_SIGNING, &der).expect("a PKCS#8 P-521 key")
}

/// RFC 7638: SHA-256 over the required members in lexical order, coordinates of 66 bytes.
fn thumbprint(pair: &EcdsaKeyPair) -> String {
    let point = pair.public_key().as_ref();
    let (x, y) = point.get(1..).expect("an uncompressed point starts with 4").split_at(66);
    let canonical = format!(
        r#"{{"crv":"P-521","kty":"EC","x":"{}","y":"{}"}}"#,
        BASE64URL_NOPAD.encode(x),
        BASE64URL_NOPAD.encode(y)
    );
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, canonical.as_bytes());
    BASE64URL_NOPAD.encode(digest.as_ref())
}
