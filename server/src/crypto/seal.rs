//! Credentials of connector accounts, sealed at rest: AES-256-GCM under a key from outside, bound to
//! the account they belong to, so that a row copied to another account or merchant does not open.
//!
//! Sealed form: version (1), the key's mark (4 bytes of its SHA-256), nonce (12), ciphertext and tag.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac::{self, HMAC_SHA256};
use data_encoding::BASE64;

use super::entropy::Entropy;
use super::secret::Secret;

const VERSION: u8 = 1;
const MARK_LEN: usize = 4;
/// Sets the key that mixes apart from the one that seals.
const MIXER: &[u8] = b"requite mixes this with secrets of the store";
const HEAD_LEN: usize = 1 + MARK_LEN + NONCE_LEN;

/// The key that seals. Cheap to clone; never shown.
#[derive(Clone)]
pub(crate) struct SealingKey {
    key: Arc<LessSafeKey>,
    mixer: hmac::Key,
    mark: [u8; MARK_LEN],
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("SealingKey(hidden)")
    }
}

/// Why something sealed does not open. The texts are for operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unopened {
    #[error(
        "it was sealed with another key than this process has; set REQUITE_SEALING_KEY or \
         sealing_key_file to the one it was sealed with"
    )]
    OtherKey,
    #[error("it was changed, or belongs to another account")]
    Changed,
}

impl SealingKey {
    /// Reads 32 bytes in base64. The error says what is wrong with it, not what it is.
    pub(crate) fn read(text: &str) -> Result<SealingKey, String> {
        let bytes = BASE64.decode(text.trim().as_bytes());
        let bytes = bytes.map_err(|_| "the sealing key is not base64".to_owned())?;
        let key = UnboundKey::new(&AES_256_GCM, &bytes)
            .map_err(|_| format!("the sealing key has {} bytes; it must have 32", bytes.len()))?;
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &bytes);
        let mark = digest.as_ref()[..MARK_LEN].try_into().expect("SHA-256 is longer");
        let mixer = hmac::sign(&hmac::Key::new(HMAC_SHA256, &bytes), MIXER);
        let mixer = hmac::Key::new(HMAC_SHA256, mixer.as_ref());
        Ok(SealingKey { key: Arc::new(LessSafeKey::new(key)), mixer, mark })
    }

    /// What a secret of the store is good for together with this key, and not without: whoever has a copy of
    /// the store alone has nothing.
    pub(crate) fn mixed(&self, secret: &[u8]) -> [u8; 32] {
        let mixed = hmac::sign(&self.mixer, secret);
        mixed.as_ref().try_into().expect("HMAC-SHA256 has 32 bytes")
    }

    /// `of` is what the secret belongs to; it opens for nothing else.
    pub(crate) fn seal(&self, secret: &Secret, of: &[u8], entropy: &dyn Entropy) -> Vec<u8> {
        let mut nonce = [0; NONCE_LEN];
        entropy.fill(&mut nonce);
        let mut text = secret.expose().as_bytes().to_vec();
        let sealed = self.key.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(of),
            &mut text,
        );
        sealed.expect("a credential is far below what the cipher takes");
        let mut whole = vec![VERSION];
        whole.extend_from_slice(&self.mark);
        whole.extend_from_slice(&nonce);
        whole.append(&mut text);
        whole
    }

    pub(crate) fn open(&self, sealed: &[u8], of: &[u8]) -> Result<Secret, Unopened> {
        let (head, rest) = sealed.split_at_checked(HEAD_LEN).ok_or(Unopened::Changed)?;
        if head.first() != Some(&VERSION) {
            return Err(Unopened::Changed);
        }
        if head.get(1..=MARK_LEN) != Some(&self.mark[..]) {
            return Err(Unopened::OtherKey);
        }
        let nonce = head.get(HEAD_LEN - NONCE_LEN..).and_then(|nonce| nonce.try_into().ok());
        let nonce = Nonce::assume_unique_for_key(nonce.ok_or(Unopened::Changed)?);
        let mut text = rest.to_vec();
        let opened = self.key.open_in_place(nonce, Aad::from(of), &mut text);
        let opened = opened.map_err(|_| Unopened::Changed)?;
        let text = String::from_utf8(opened.to_vec()).map_err(|_| Unopened::Changed)?;
        Ok(Secret::new(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::entropy::SystemEntropy;

    fn key(byte: u8) -> SealingKey {
        SealingKey::read(&BASE64.encode(&[byte; 32])).expect("32 bytes")
    }

    #[test]
    fn what_is_sealed_opens_with_its_key_for_its_account_and_for_nothing_else() {
        let entropy = SystemEntropy::new();
        let secret = Secret::new("sk_live_something".to_owned());
        let sealed = key(1).seal(&secret, b"account 1", &entropy);
        let opened = key(1).open(&sealed, b"account 1").expect("its own");
        assert_eq!(opened.expose(), "sk_live_something");
        let text = String::from_utf8_lossy(&sealed);
        assert!(!text.contains("sk_live"), "nothing of it is legible");
        let refused = |sealed: &[u8], of: &[u8]| key(1).open(sealed, of).err();
        assert_eq!(refused(&sealed, b"account 2"), Some(Unopened::Changed));
        assert_eq!(key(2).open(&sealed, b"account 1").err(), Some(Unopened::OtherKey));
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(refused(&changed, b"account 1").is_some(), "byte {at}");
        }
        for length in 0..sealed.len() {
            assert!(refused(&sealed[..length], b"account 1").is_some(), "{length} bytes");
        }
        let again = key(1).seal(&secret, b"account 1", &entropy);
        assert_ne!(sealed, again, "each sealing has a nonce of its own");
    }

    #[test]
    fn what_is_mixed_needs_both_the_key_and_the_secret() {
        let mixed = key(1).mixed(b"secret");
        assert_eq!(mixed, key(1).mixed(b"secret"));
        for other in [key(2).mixed(b"secret"), key(1).mixed(b"secreT"), [1; 32]] {
            assert_ne!(mixed, other);
        }
    }

    #[test]
    fn a_key_that_is_none_is_refused_and_not_shown() {
        for (text, problem) in [
            ("", "0 bytes"),
            ("c2hvcnQ=", "5 bytes"),
            ("not base64 at all!", "not base64"),
            (&BASE64.encode(&[0; 33]), "33 bytes"),
        ] {
            let refused = SealingKey::read(text).expect_err("refused");
            assert!(refused.contains(problem), "{text}: {refused}");
        }
        assert_eq!(format!("{:?}", key(7)), "SealingKey(hidden)");
    }
}
