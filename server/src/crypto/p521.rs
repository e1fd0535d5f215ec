//! Keys on the curve P-521, which sign Gr4vy's ES512 tokens: making, reading, writing and naming
//! them.
//!
//! Invariants:
//! - A [`PublicKey`] is a point on the curve; anything else was refused when it was read.
//! - A private key leaves only as a [`Secret`], and only in the form every client reads: PKCS#8.
//!   (Newer npm clients refuse the older `BEGIN EC PRIVATE KEY`.)
//!
//! The store keeps [`PublicKey::point`] and both [`PublicKey::thumbprints`], and never a private
//! key: that is shown once, to whoever asked for the key.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P521_SHA512_FIXED, ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
    ParsedPublicKey,
};
use data_encoding::{BASE64, BASE64URL_NOPAD};
use zeroize::Zeroize;

use super::secret::Secret;

/// Bytes of one coordinate, and of each half of a signature: 521 bits, rounded up.
const COORDINATE: usize = 66;

/// Bytes of a public key as the store keeps it: the SEC1 uncompressed point `04 || x || y`.
pub(crate) const POINT: usize = 1 + 2 * COORDINATE;

/// Bytes of an ES512 signature: `r || s`, each of full width (RFC 7518, section 3.4).
pub(crate) const SIGNATURE: usize = 2 * COORDINATE;

/// A longer PEM text is refused unread. A P-521 key pair needs less than 400 bytes.
const PEM_BYTES_MAX: usize = 4096;

/// All that stands before the point in a DER SubjectPublicKeyInfo of this curve (RFC 5480):
/// SEQUENCE { SEQUENCE { id-ecPublicKey, secp521r1 }, BIT STRING with no unused bits }.
const SPKI_PREFIX: [u8; 25] = [
    0x30, 0x81, 0x9b, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05,
    0x2b, 0x81, 0x04, 0x00, 0x23, 0x03, 0x81, 0x86, 0x00,
];

/// Why a key is refused. Says what to do, and nothing of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyFault {
    #[error("the key is longer than {PEM_BYTES_MAX} bytes; a P-521 key in PEM has less than 400")]
    TooLong,
    #[error("this is a private key; give its public half (openssl pkey -in KEY -pubout)")]
    PrivateKeyGiven,
    #[error("not one PEM block that starts with -----BEGIN {expected}-----")]
    NotPem { expected: &'static str },
    #[error(
        "not a P-521 key in the expected form; make one with: openssl genpkey -algorithm EC \
         -pkeyopt ec_paramgen_curve:secp521r1 -out KEY, then: openssl pkey -in KEY -pubout"
    )]
    NotP521,
}

/// Half of a key pair that everybody may see: it checks signatures.
#[derive(Clone)]
pub(crate) struct PublicKey {
    point: [u8; POINT],
    /// The same point, checked and unpacked once: checking a signature then needs no decoding.
    parsed: ParsedPublicKey,
}

impl PublicKey {
    /// Reads the store's form.
    ///
    /// # Errors
    /// [`KeyFault::NotP521`] unless these are the 133 bytes of an uncompressed point of the curve.
    pub(crate) fn from_point(bytes: &[u8]) -> Result<PublicKey, KeyFault> {
        let point: [u8; POINT] = bytes.try_into().map_err(|_| KeyFault::NotP521)?;
        if point[0] != 0x04 {
            return Err(KeyFault::NotP521);
        }
        let parsed =
            ParsedPublicKey::new(&ECDSA_P521_SHA512_FIXED, point).map_err(|_| KeyFault::NotP521)?;
        Ok(PublicKey { point, parsed })
    }

    /// Reads `-----BEGIN PUBLIC KEY-----` (SubjectPublicKeyInfo, named curve, uncompressed point):
    /// what openssl and every SDK write.
    ///
    /// # Errors
    /// See [`KeyFault`]. A private key gets its own words, as it is the likeliest mistake.
    pub(crate) fn from_pem(pem: &str) -> Result<PublicKey, KeyFault> {
        let der = read_pem("PUBLIC KEY", pem)?;
        let point = der.strip_prefix(&SPKI_PREFIX).ok_or(KeyFault::NotP521)?;
        PublicKey::from_point(point)
    }

    pub(crate) fn to_pem(&self) -> String {
        write_pem("PUBLIC KEY", &[&SPKI_PREFIX[..], &self.point].concat())
    }

    /// The store's form: the SEC1 uncompressed point.
    pub(crate) fn point(&self) -> &[u8; POINT] {
        &self.point
    }

    /// Checks an ES512 signature of `message`: 132 bytes, `r || s`.
    pub(crate) fn is_signature(&self, message: &[u8], signature: &[u8]) -> bool {
        self.parsed.verify_sig(message, signature).is_ok()
    }

    /// The names under which tokens call this key (`kid`): its RFC 7638 SHA-256 thumbprint, and
    /// the one of coordinates without their leading zero bytes. They differ for about three keys
    /// in four. The second is wrong, but Gr4vy's Go SDK computed it until June 2026; finding a key
    /// by either name costs nothing, as both name only this key.
    pub(crate) fn thumbprints(&self) -> Thumbprints {
        let (x, y) = self.point[1..].split_at(COORDINATE);
        Thumbprints {
            padded: thumbprint(x, y),
            unpadded: thumbprint(without_leading_zeros(x), without_leading_zeros(y)),
        }
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &PublicKey) -> bool {
        self.point == other.point
    }
}

impl Eq for PublicKey {}

impl fmt::Debug for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PublicKey({})", self.thumbprints().padded)
    }
}

/// Both names of a key, 43 characters of base64url each; equal if no coordinate begins with zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Thumbprints {
    /// The right one (RFC 7638): what we show.
    pub(crate) padded: String,
    /// The one of older Go clients: only for finding the key.
    pub(crate) unpadded: String,
}

/// Half of a key pair that only its owner may see: it signs.
pub(crate) struct PrivateKey(EcdsaKeyPair);

impl PrivateKey {
    /// Makes a key pair. The random bytes come from aws-lc's own generator: it takes no others.
    pub(crate) fn generate() -> PrivateKey {
        let pair = EcdsaKeyPair::generate(&ECDSA_P521_SHA512_FIXED_SIGNING)
            .expect("making a key needs only memory and the system's random bytes");
        PrivateKey(pair)
    }

    /// Reads `-----BEGIN PRIVATE KEY-----` (PKCS#8, not encrypted).
    ///
    /// # Errors
    /// See [`KeyFault`].
    pub(crate) fn from_pem(pem: &str) -> Result<PrivateKey, KeyFault> {
        let mut der = read_pem("PRIVATE KEY", pem)?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P521_SHA512_FIXED_SIGNING, &der);
        der.zeroize();
        pair.map(PrivateKey).map_err(|_| KeyFault::NotP521)
    }

    /// PKCS#8 PEM, the one form that all Gr4vy SDKs read.
    pub(crate) fn to_pem(&self) -> Secret {
        let der = self.0.to_pkcs8v1().expect("a P-521 key has a PKCS#8 form");
        Secret::new(write_pem("PRIVATE KEY", der.as_ref()))
    }

    pub(crate) fn public(&self) -> PublicKey {
        PublicKey::from_point(self.0.public_key().as_ref())
            .expect("the public half of a key pair is an uncompressed point of its curve")
    }

    /// Signs `message` with ES512: 132 bytes, `r || s`.
    pub(crate) fn sign(&self, message: &[u8]) -> [u8; SIGNATURE] {
        // The generator passed here is not used: aws-lc draws from its own.
        let signature = self.0.sign(&SystemRandom::new(), message);
        let signature = signature.expect("signing needs only memory and random bytes");
        signature.as_ref().try_into().expect("the fixed form has 132 bytes")
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PrivateKey(hidden)")
    }
}

/// RFC 7638, section 3: SHA-256 of the JWK's required members, in this order, without blanks.
fn thumbprint(x: &[u8], y: &[u8]) -> String {
    let (x, y) = (BASE64URL_NOPAD.encode(x), BASE64URL_NOPAD.encode(y));
    let jwk = format!(r#"{{"crv":"P-521","kty":"EC","x":"{x}","y":"{y}"}}"#);
    BASE64URL_NOPAD.encode(digest(&SHA256, jwk.as_bytes()).as_ref())
}

fn without_leading_zeros(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    &bytes[zeros..]
}

/// The bytes of the only block in `pem`, which must carry this label. Line breaks of any kind and
/// width are fine, as files pass through many editors; text around the block is not.
fn read_pem(label: &'static str, pem: &str) -> Result<Vec<u8>, KeyFault> {
    if pem.len() > PEM_BYTES_MAX {
        return Err(KeyFault::TooLong);
    }
    if label == "PUBLIC KEY" && pem.contains("PRIVATE KEY-----") {
        return Err(KeyFault::PrivateKeyGiven);
    }
    let not_pem = KeyFault::NotPem { expected: label };
    let body = pem
        .trim()
        .strip_prefix("-----BEGIN ")
        .and_then(|rest| rest.strip_prefix(label))
        .and_then(|rest| rest.strip_prefix("-----"))
        .and_then(|rest| rest.strip_suffix("-----"))
        .and_then(|rest| rest.strip_suffix(label))
        .and_then(|rest| rest.strip_suffix("-----END "))
        .ok_or(not_pem)?;
    let mut digits: Vec<u8> = body.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let der = BASE64.decode(&digits).map_err(|_| not_pem);
    digits.zeroize();
    der
}

/// RFC 7468: 64 characters a line, a line break at the end.
fn write_pem(label: &str, der: &[u8]) -> String {
    let mut digits = BASE64.encode(der);
    // Sized once: growing would leave copies of a private key behind in freed memory.
    let mut pem = String::with_capacity(PEM_BYTES_MAX);
    pem.push_str("-----BEGIN ");
    pem.push_str(label);
    pem.push_str("-----\n");
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && index % 64 == 0 {
            pem.push('\n');
        }
        pem.push(digit);
    }
    pem.push_str("\n-----END ");
    pem.push_str(label);
    pem.push_str("-----\n");
    digits.zeroize();
    pem
}

#[cfg(test)]
mod tests;
