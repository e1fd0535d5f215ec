//! The APIs that the simulator speaks, and where they say the same thing in different words.

use serde_json::Value;

use super::keys::{self, Found};
use super::{adyen, stripe};

/// Whose API is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    Stripe,
    Adyen,
}

/// Why a request failed, in the words of its wire.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    Stripe(stripe::failure::Failure),
    Adyen(adyen::Failure),
}

impl From<stripe::failure::Failure> for Failure {
    fn from(failure: stripe::failure::Failure) -> Failure {
        Failure::Stripe(failure)
    }
}

impl From<adyen::Failure> for Failure {
    fn from(failure: adyen::Failure) -> Failure {
        Failure::Adyen(failure)
    }
}

impl Failure {
    pub(crate) fn status(&self) -> u16 {
        match self {
            Failure::Stripe(failure) => failure.status,
            Failure::Adyen(failure) => failure.status,
        }
    }

    /// Nothing began: the answer is not kept under the request's key.
    pub(crate) fn is_of_form(&self) -> bool {
        match self {
            Failure::Stripe(failure) => failure.is_of_form,
            Failure::Adyen(failure) => failure.is_of_form,
        }
    }

    pub(crate) fn body(&self, request: &str) -> Value {
        match self {
            Failure::Stripe(failure) => failure.body(request),
            Failure::Adyen(failure) => failure.body(request),
        }
    }
}

impl Wire {
    pub(crate) fn of(path: &str) -> Wire {
        if adyen::below(path).is_some() { Wire::Adyen } else { Wire::Stripe }
    }

    /// Longest idempotency key, in characters.
    fn key_chars_max(self) -> usize {
        match self {
            Wire::Stripe => keys::CHARS_MAX,
            Wire::Adyen => adyen::KEY_CHARS_MAX,
        }
    }

    /// How long idempotency keys are remembered.
    pub(crate) fn key_life_ms(self) -> i64 {
        match self {
            Wire::Stripe => keys::LIFE_MS,
            Wire::Adyen => adyen::KEY_LIFE_MS,
        }
    }

    pub(crate) fn check_key(self, key: &str) -> Result<(), Failure> {
        let characters = key.chars().count();
        match self {
            _ if characters <= self.key_chars_max() => Ok(()),
            Wire::Stripe => Err(stripe::failure::Failure::key_too_long(characters).into()),
            Wire::Adyen => Err(adyen::Failure::key_too_long(characters).into()),
        }
    }

    /// Why a known key does not get its answer again, if so.
    pub(crate) fn key_trouble(self, key: &str, found: &Found<'_>) -> Result<(), Failure> {
        use stripe::failure::Failure as Stripes;
        match (self, found) {
            (_, Found::New | Found::Kept(_)) => Ok(()),
            (Wire::Adyen, _) => Err(adyen::Failure::key_in_use().into()),
            (Wire::Stripe, Found::InUse) => Err(Stripes::key_in_use(key).into()),
            (Wire::Stripe, Found::OtherPath(path)) => {
                Err(Stripes::key_of_other_path(key, path).into())
            }
            (Wire::Stripe, Found::OtherParameters) => {
                Err(Stripes::key_of_other_parameters(key).into())
            }
        }
    }

    /// A failure as a script wants it.
    pub(crate) fn scripted(self, status: u16, code: Option<&str>) -> Failure {
        match self {
            Wire::Stripe => stripe::failure::Failure::scripted(status, code).into(),
            Wire::Adyen => adyen::Failure::scripted(status, code).into(),
        }
    }
}
