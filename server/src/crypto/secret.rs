//! Text that must not be seen: API tokens, private keys, passwords.

use std::fmt;

use zeroize::Zeroize;

/// A secret text. It is readable only through [`Secret::expose`], so that every place where one
/// leaves the program can be found by searching for that word. It has no `Display`, no serde and
/// no `Clone`, its `Debug` hides the content, and its memory is overwritten when it is dropped.
pub(crate) struct Secret(String);

impl Secret {
    pub(crate) fn new(text: String) -> Secret {
        Secret(text)
    }

    /// The text itself: for showing it once, hashing it or checking it. Never log it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(hidden)")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn debug_shows_nothing_of_a_secret() {
        let secret = Secret::new("sk_very_secret".to_owned());
        assert_eq!(
            format!("{secret:?} {:?}", Some(&secret)),
            "Secret(hidden) Some(Secret(hidden))"
        );
        assert_eq!(secret.expose(), "sk_very_secret");
    }
}
