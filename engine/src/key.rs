//! Idempotency keys: one key, one execution, one answer.
//!
//! A key is stored as a hash of its face, route, scope and text, beside a fingerprint of what was
//! asked. What is kept is the outcome (which refund, or which refusal) and the payment's event
//! number at the answer, not the bytes: a face renders the payment as of that event again.

use requite_core::currency::Currency;
use requite_core::decide::{BookingRefusal, Refusal};
use requite_core::id::{PaymentId, RefundId};
use requite_core::money::Minor;
use requite_core::refund::Status;

use crate::command::RefundRef;

/// How long a key is kept: 30 days are promised (A4), and as long again it stands for its refund, so that no
/// clock that is set a month ahead lets a retry be paid twice.
pub const KEY_LIFE_MS: i64 = 60 * 24 * 60 * 60 * 1000;

/// How long a refund whose outcome nobody was told waits for the retry that asks for it. After
/// that, the same wish is taken for a new one.
pub const UNTOLD_LIFE_MS: i64 = 24 * 60 * 60 * 1000;

/// Until when a key stands for its refund.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// [`KEY_LIFE_MS`] from its first use.
    Kept,
    /// As long as the refund's outcome is unknown, and then until somebody has been told it, for
    /// [`UNTOLD_LIFE_MS`] at most. A face adds it where its dialect tells clients to send the same
    /// request again (Loop's 503), so that the retry joins the first refund, also when its outcome
    /// became known in between.
    WhileUnknown,
    /// This many milliseconds: the guard against double clicks.
    Within(i64),
}

/// A key as a face passes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    pub hash: [u8; 16],
    pub fingerprint: [u8; 16],
    pub lifetime: Lifetime,
    /// A repeat is shown the payment as it is now, not as the first answer showed it (Moyasar's
    /// `transaction_id`).
    pub answers_present: bool,
}

/// What a key stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    pub fingerprint: [u8; 16],
    pub at_ms: i64,
    pub outcome: KeyOutcome,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyOutcome {
    /// `answered`: the payment's event number and the refund's status at the first answer; `None`
    /// until then.
    Refund {
        refund: RefundRef,
        answered: Option<(u32, Status)>,
    },
    Refused(Refusal),
    /// A registration, capture, void or extension, made or declined: the event that tells of it.
    Booked {
        payment: PaymentId,
        seq: u32,
    },
    /// A registration that found its payment there already, as it was after this event.
    Present {
        payment: PaymentId,
        seq: u32,
    },
    BookingRefused(BookingRefusal),
}

impl Key {
    /// Does what was recorded under this key's hash still bind it?
    /// `status` is that of its refund; `is_untold`: nobody was told the outcome, or waits for it.
    pub fn binds(
        &self,
        record: &KeyRecord,
        (status, is_untold): (Option<Status>, bool),
        now_ms: i64,
    ) -> bool {
        let age_ms = now_ms.saturating_sub(record.at_ms);
        match self.lifetime {
            Lifetime::Kept => age_ms < KEY_LIFE_MS,
            Lifetime::WhileUnknown => {
                status == Some(Status::Unknown) || (is_untold && age_ms < UNTOLD_LIFE_MS)
            }
            Lifetime::Within(ms) => age_ms < ms,
        }
    }
}

/// The bits of a refund's id that tell which key asked for it: 46 of the random ones of a UUID version 7, below
/// those that hold the order in time.
const MARK: u128 = ((1 << 46) - 1) << 16;

/// The id of a refund that is asked for under these keys: it has bits of the caller's own key.
///
/// The PSP is told the id, so a refund that a lost store made is found again by the key of a request that
/// comes again ([`lost`]).
pub fn marked(refund: RefundId, keys: &[Key]) -> RefundId {
    let own = keys.iter().find(|key| key.lifetime == Lifetime::Kept);
    own.map_or(refund, |key| {
        let hash = u128::from_be_bytes(key.hash);
        RefundId::new((refund.bits() & !MARK) | (hash & MARK))
    })
}

/// Under what a refund is kept whose id only the PSP told: whoever asks under the key that it was asked for
/// with finds it there.
pub(crate) fn lost(payment: PaymentId, refund: RefundId) -> [u8; 16] {
    let mark = (refund.bits() & MARK).to_be_bytes();
    digest(&[b"lost refund", &payment.bits().to_be_bytes(), &mark])
}

/// The first 16 bytes of SHA-256 over length-prefixed parts. 128 bits of a merchant's own keys do
/// not collide by accident, and a merchant who collides them on purpose meets only themselves.
pub fn digest(parts: &[&[u8]]) -> [u8; 16] {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for part in parts {
        let length = u64::try_from(part.len()).expect("lengths fit 64 bits");
        context.update(&length.to_be_bytes());
        context.update(part);
    }
    let full = context.finish();
    full.as_ref()[..16].try_into().expect("SHA-256 has 32 bytes")
}

/// A refusal as stored under a key. Refusals of form are not stored: the key stays free for the
/// corrected request.
pub(crate) fn refusal_text(refusal: &Refusal) -> Option<String> {
    Some(match refusal {
        Refusal::LegUnknown => "leg_unknown".to_owned(),
        Refusal::NotCaptured => "not_captured".to_owned(),
        Refusal::Cancelled => "cancelled".to_owned(),
        Refusal::NothingLeft => "nothing_left".to_owned(),
        Refusal::CurrencyDiffers { asked, payment } => format!(
            "currency_differs {asked} {} {payment} {}",
            asked.exponent(),
            payment.exponent()
        ),
        Refusal::ExceedsLeft { asked: Some(asked), left } => {
            format!("exceeds_left {} {}", left.units(), asked.units())
        }
        Refusal::ExceedsLeft { asked: None, left } => format!("exceeds_left {}", left.units()),
        Refusal::NotPositive | Refusal::Fraction { .. } | Refusal::ReasonUnknown => return None,
    })
}

/// [`refusal_text`] for captures, voids and extensions.
pub(crate) fn booking_refusal_text(refusal: &BookingRefusal) -> Option<String> {
    Some(match refusal {
        BookingRefusal::Cancelled => "booking_cancelled".to_owned(),
        BookingRefusal::TooMany => "booking_too_many".to_owned(),
        BookingRefusal::ExceedsCapturable { asked: Some(asked), capturable } => {
            format!("booking_exceeds {} {}", capturable.units(), asked.units())
        }
        BookingRefusal::ExceedsCapturable { asked: None, capturable } => {
            format!("booking_exceeds {}", capturable.units())
        }
        BookingRefusal::NotPositive => return None,
    })
}

/// Reads what [`refusal_text`] or [`booking_refusal_text`] wrote. `None` for anything else.
pub(crate) fn refused_of(text: &str) -> Option<KeyOutcome> {
    let booking = text.strip_prefix("booking_").map(booking_refusal_of);
    match booking {
        Some(refusal) => refusal.map(KeyOutcome::BookingRefused),
        None => refusal_of(text).map(KeyOutcome::Refused),
    }
}

fn booking_refusal_of(text: &str) -> Option<BookingRefusal> {
    let words: Vec<&str> = text.split(' ').collect();
    let minor = |word: &str| word.parse().ok().and_then(Minor::new);
    Some(match words.as_slice() {
        ["cancelled"] => BookingRefusal::Cancelled,
        ["too_many"] => BookingRefusal::TooMany,
        ["exceeds", capturable] => {
            BookingRefusal::ExceedsCapturable { asked: None, capturable: minor(capturable)? }
        }
        ["exceeds", capturable, asked] => BookingRefusal::ExceedsCapturable {
            asked: Some(minor(asked)?),
            capturable: minor(capturable)?,
        },
        _ => return None,
    })
}

/// Reads what [`refusal_text`] wrote. `None` for anything else.
fn refusal_of(text: &str) -> Option<Refusal> {
    let words: Vec<&str> = text.split(' ').collect();
    let minor = |word: &str| word.parse().ok().and_then(Minor::new);
    let currency = |code: &str, exponent: &str| Currency::stored(code, exponent.parse().ok()?);
    Some(match words.as_slice() {
        ["leg_unknown"] => Refusal::LegUnknown,
        ["not_captured"] => Refusal::NotCaptured,
        ["cancelled"] => Refusal::Cancelled,
        ["nothing_left"] => Refusal::NothingLeft,
        ["currency_differs", asked, asked_exponent, payment, payment_exponent] => {
            Refusal::CurrencyDiffers {
                asked: currency(asked, asked_exponent)?,
                payment: currency(payment, payment_exponent)?,
            }
        }
        ["exceeds_left", left] => Refusal::ExceedsLeft { asked: None, left: minor(left)? },
        ["exceeds_left", left, asked] => {
            Refusal::ExceedsLeft { asked: Some(minor(asked)?), left: minor(left)? }
        }
        _ => return None,
    })
}
