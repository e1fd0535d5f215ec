//! Opaque API tokens: how they look, and how the store finds one without holding it.
//!
//! Invariants:
//! - A token carries 256 random bits; its prefix only says where it belongs.
//! - The store keeps [`lookup_hash`], never the token. The token is shown once, when it is made.
//!
//! Gr4vy has no opaque tokens: its callers sign their own ([`super::jws`]).

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use data_encoding::HEXLOWER;
use subtle::ConstantTimeEq;

use super::secret::Secret;

/// What a token is good for. Each has its own prefix, so that a leaked one is recognised by people
/// and by secret scanners, and one pasted into the wrong face is refused at a glance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// A user's `api_token` in Medusa v1, sent as `x-medusa-access-token`. The original takes any
    /// text here; the prefix is ours.
    MedusaV1,
    /// A secret API key of Medusa v2: exactly `sk_` and 64 hex digits, as the original makes them.
    MedusaV2,
    /// What a Medusa v2 storefront shows. It opens nothing here.
    MedusaV2Publishable,
    /// A merchant's key at Moyasar MPG.
    Mpg,
    /// An access token of Loop payments.
    Loop,
    /// A key of the native API.
    Native,
    /// The value of Medusa v1's log-in cookie.
    MedusaV1Session,
    /// The value of Medusa v2's log-in cookie.
    MedusaV2Session,
}

impl TokenKind {
    pub(crate) const ALL: [TokenKind; 8] = [
        TokenKind::MedusaV1,
        TokenKind::MedusaV2,
        TokenKind::MedusaV2Publishable,
        TokenKind::Mpg,
        TokenKind::Loop,
        TokenKind::Native,
        TokenKind::MedusaV1Session,
        TokenKind::MedusaV2Session,
    ];

    pub(crate) fn prefix(self) -> &'static str {
        match self {
            TokenKind::MedusaV1 => "mv1_",
            TokenKind::MedusaV2 => "sk_",
            TokenKind::MedusaV2Publishable => "pk_",
            TokenKind::Mpg => "merchant_key_",
            TokenKind::Loop => "lph_at_",
            TokenKind::Native => "rq_",
            TokenKind::MedusaV1Session => "sid_v1_",
            TokenKind::MedusaV2Session => "sid_v2_",
        }
    }
}

/// Makes a token of 32 fresh random bytes: the prefix and 64 lower-case hex digits. Hex, because
/// a double click selects all of it and no shell or header gives its characters a meaning.
pub(crate) fn mint(kind: TokenKind, random: &[u8; 32]) -> Secret {
    // Sized once: growing would leave copies of the secret behind in freed memory.
    let mut token = String::with_capacity(kind.prefix().len() + 64);
    token.push_str(kind.prefix());
    HEXLOWER.encode_append(random, &mut token);
    Secret::new(token)
}

/// A token that can be made again by whoever knows `told` and the installation's `secret`, and by nobody
/// who lacks one of them: HMAC-SHA256 over the parts, each after its length. So the answer that shows
/// it can be repeated, though it is kept nowhere.
pub(crate) fn derive(kind: TokenKind, secret: &[u8], told: &[&[u8]]) -> Secret {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let mut context = hmac::Context::with_key(&key);
    for part in [b"token", kind.prefix().as_bytes()].iter().chain(told) {
        let length = u64::try_from(part.len()).expect("lengths fit 64 bits");
        context.update(&length.to_be_bytes());
        context.update(part);
    }
    let digits = context.sign();
    mint(kind, digits.as_ref().try_into().expect("HMAC-SHA256 has 32 bytes"))
}

/// What the store keeps of a token and finds it by: its SHA-256.
///
/// No salt and no slow hash are needed: those defend secrets that people choose. Here an attacker
/// with the hash would have to guess 256 random bits, and equal tokens do not occur. A plain hash
/// can be looked up in an index; what such a look-up's timing tells is about the hash, from which
/// the token does not follow.
pub(crate) fn lookup_hash(token: &str) -> [u8; 32] {
    let hash = digest(&SHA256, token.as_bytes());
    hash.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// Compares two hashes in constant time.
pub(crate) fn same_hash(one: &[u8; 32], other: &[u8; 32]) -> bool {
    one.ct_eq(other).into()
}

/// What lists show of a token, spelt as Medusa v2 does: `sk_02f***a3b`. Kept beside the hash, as
/// it cannot be made from it. Shows at most six hex digits; a token too short to hide shows `***`.
pub(crate) fn redacted(token: &str) -> String {
    let characters: Vec<char> = token.chars().collect();
    if characters.len() < 32 {
        return "***".to_owned();
    }
    let head: String = characters[..6].iter().collect();
    let tail: String = characters[characters.len() - 3..].iter().collect();
    format!("{head}***{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_form() {
        let digits = "00ff".repeat(16);
        let random: [u8; 32] = [0x00, 0xff].repeat(16).try_into().expect("32 bytes");
        for (kind, prefix) in [
            (TokenKind::MedusaV1, "mv1_"),
            (TokenKind::MedusaV2, "sk_"),
            (TokenKind::MedusaV2Publishable, "pk_"),
            (TokenKind::Mpg, "merchant_key_"),
            (TokenKind::Loop, "lph_at_"),
            (TokenKind::Native, "rq_"),
            (TokenKind::MedusaV1Session, "sid_v1_"),
            (TokenKind::MedusaV2Session, "sid_v2_"),
        ] {
            assert_eq!(mint(kind, &random).expose(), format!("{prefix}{digits}"));
        }
    }

    #[test]
    fn a_derived_token_needs_all_of_what_it_is_made_of() {
        let token = |secret: &[u8], told: &[&[u8]]| {
            derive(TokenKind::MedusaV2, secret, told).expose().to_owned()
        };
        let made = token(b"secret", &[b"id", b"key"]);
        assert_eq!(made, token(b"secret", &[b"id", b"key"]));
        for (secret, told) in [
            (&b"other"[..], [&b"id"[..], &b"key"[..]]),
            (b"secret", [b"id", b"yek"]),
            (b"secret", [b"idk", b"ey"]),
        ] {
            assert_ne!(made, token(secret, &told));
        }
        let publishable = derive(TokenKind::MedusaV2Publishable, b"secret", &[b"id", b"key"]);
        assert_ne!(made[3..], publishable.expose()[3..]);
    }

    #[test]
    fn no_prefix_begins_another() {
        for one in TokenKind::ALL {
            for other in TokenKind::ALL {
                assert_eq!(one == other, other.prefix().starts_with(one.prefix()));
            }
        }
    }

    #[test]
    fn the_lookup_hash_is_plain_sha_256() {
        let hash = lookup_hash("abc");
        assert_eq!(
            HEXLOWER.encode(&hash),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert!(same_hash(&hash, &lookup_hash("abc")));
        assert!(!same_hash(&hash, &lookup_hash("abd")));
    }

    #[test]
    fn a_redacted_token_is_spelt_as_medusa_does() {
        let token = "sk_02fcf098482284caf6d8e2bbbac2581ee905d5d49c1cbd643658efb2b93f3a3b";
        for (token, shown) in [
            (token, "sk_02f***a3b"),
            ("short", "***"),
            ("", "***"),
            (&"é".repeat(40), "éééééé***ééé"),
        ] {
            assert_eq!(redacted(token), shown);
        }
    }
}
