//! Money is an exact count of a currency's minor units: 1299 EUR is 12.99 euros, 1299 JPY is
//! 1299 yen, 1299 KWD is 1.299 dinars.
//!
//! Invariants:
//! - Never negative, never fractional. A direction is another type, not a sign.
//! - At most [`MINOR_MAX`], the largest integer that every JSON reader holds exactly.
//! - Within one payment there is one currency; what a caller names is compared first and refused.
//!
//! Text comes in as [`Decimal`], digit by digit, and goes out through [`major_text`]; no float is
//! ever made.

use crate::currency::Currency;

/// The largest amount, 2^53 - 1 minor units.
pub const MINOR_MAX: i64 = 9_007_199_254_740_991;

/// More digits than this before or after normalising are no amount of money.
pub const DIGITS_MAX: usize = 400;

/// An amount in minor units, 0 to [`MINOR_MAX`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Minor(i64);

impl Minor {
    pub const ZERO: Minor = Minor(0);

    /// `None` when negative or above [`MINOR_MAX`].
    pub fn new(units: i64) -> Option<Minor> {
        (0..=MINOR_MAX).contains(&units).then_some(Minor(units))
    }

    pub fn units(self) -> i64 {
        self.0
    }

    pub fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// `None` above [`MINOR_MAX`].
    pub fn checked_add(self, other: Minor) -> Option<Minor> {
        Minor::new(self.0.checked_add(other.0)?)
    }

    /// `None` when `other` is larger.
    pub fn checked_sub(self, other: Minor) -> Option<Minor> {
        Minor::new(self.0.checked_sub(other.0)?)
    }

    /// `None` when the total is above [`MINOR_MAX`].
    pub fn checked_sum(amounts: impl IntoIterator<Item = Minor>) -> Option<Minor> {
        amounts.into_iter().try_fold(Minor::ZERO, Minor::checked_add)
    }
}

/// A decimal number as it was written, exact: `digits` × 10^-`scale`, and a sign.
///
/// Read from the text of a JSON number. It may be any number a client can write; whether it is an
/// amount of some currency is asked with [`Decimal::minor`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decimal {
    is_negative: bool,
    /// Significant digits without leading or trailing zeros; empty is zero.
    digits: Vec<u8>,
    /// How many of `digits` stand behind the point. Negative: zeros to append.
    scale: i64,
}

impl Decimal {
    /// Reads a JSON number (`-12.30e+2`). `None` when it is not one, or longer than any amount.
    pub fn parse(text: &str) -> Option<Decimal> {
        let (is_negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent_of(exponent)?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
            Some(_) => return None,
            None => (mantissa, ""),
        };
        let is_number = !whole.is_empty()
            && whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit());
        if !is_number || whole.len().saturating_add(fraction.len()) > DIGITS_MAX {
            return None;
        }
        let scale = i64::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
        let digits = whole.bytes().chain(fraction.bytes()).collect();
        Some(Decimal { is_negative, digits, scale }.trimmed())
    }

    /// Above zero?
    pub fn is_positive(&self) -> bool {
        !self.is_negative && !self.digits.is_empty()
    }

    /// The exact number of minor units, if this is one: `Ok(None)` is a number with more decimals
    /// than the currency has, `Err(TooLarge)` is above [`MINOR_MAX`].
    pub fn minor(&self, currency: Currency) -> Result<Option<Minor>, TooLarge> {
        let shift = i64::from(currency.exponent()).saturating_sub(self.scale);
        if self.digits.is_empty() {
            return Ok(Some(Minor::ZERO));
        }
        if self.is_negative || shift < 0 {
            return if self.exceeds_max(currency) { Err(TooLarge) } else { Ok(None) };
        }
        if self.exceeds_max(currency) {
            return Err(TooLarge);
        }
        let zeros = usize::try_from(shift).map_err(|_| TooLarge)?;
        let mut digits = self.digits.iter().copied().chain(std::iter::repeat_n(b'0', zeros));
        let units = digits
            .try_fold(0_i64, |sum, digit| {
                sum.checked_mul(10)?.checked_add(i64::from(digit.checked_sub(b'0')?))
            })
            .ok_or(TooLarge)?;
        Minor::new(units).map(Some).ok_or(TooLarge)
    }

    /// Is this within half a minor unit of `whole`? Clients echo sums computed in floating point
    /// (30.299999999999997 for 30.30); such an echo of *all that is left* means all that is left.
    pub fn echoes(&self, whole: Minor, currency: Currency) -> bool {
        if self.is_negative || self.digits.is_empty() || self.exceeds_max(currency) {
            return false;
        }
        let Some(below) = self.rounded_down(currency) else { return false };
        let above = below.checked_add(Minor(1));
        // The part behind the last minor digit, as digits, decides which side is nearer.
        let behind = self.behind(currency);
        let first = behind.first().copied().unwrap_or(b'0');
        let is_half = first == b'5' && behind.iter().skip(1).all(|&digit| digit == b'0');
        let is_above = first >= b'5' && above == Some(whole);
        let is_below = (first < b'5' || is_half) && whole == below;
        is_above || is_below
    }

    /// Above `amount`, exactly?
    pub fn is_above(&self, amount: Minor, currency: Currency) -> bool {
        if self.is_negative {
            return false;
        }
        match self.rounded_down(currency) {
            Some(below) => below > amount || (below == amount && !self.is_whole(currency)),
            None => true,
        }
    }

    fn is_whole(&self, currency: Currency) -> bool {
        self.decimals_beyond(currency) == 0
    }

    /// How many decimals more than the currency has; none when there are fewer.
    fn decimals_beyond(&self, currency: Currency) -> usize {
        // Negative is none; `exponent_of` keeps it far below any largest number.
        usize::try_from(self.scale.saturating_sub(i64::from(currency.exponent()))).unwrap_or(0)
    }

    fn rounded_down(&self, currency: Currency) -> Option<Minor> {
        let drop = self.decimals_beyond(currency);
        let keep = self.digits.len().saturating_sub(drop);
        let kept = Decimal {
            is_negative: false,
            digits: self.digits.iter().copied().take(keep).collect(),
            scale: self.scale.checked_sub(i64::try_from(drop).ok()?)?,
        };
        kept.trimmed().minor(currency).ok().flatten()
    }

    /// The decimals that the currency does not have, with the zeros that the digits leave out in front.
    fn behind(&self, currency: Currency) -> Vec<u8> {
        let extra = self.decimals_beyond(currency);
        let keep = self.digits.len().saturating_sub(extra);
        let zeros = extra.saturating_sub(self.digits.len()).min(DIGITS_MAX);
        std::iter::repeat_n(b'0', zeros).chain(self.digits.iter().copied().skip(keep)).collect()
    }

    /// Whole digits beyond those of [`MINOR_MAX`]; also bounds the work of every other method.
    fn exceeds_max(&self, currency: Currency) -> bool {
        let length = i64::try_from(self.digits.len()).unwrap_or(i64::MAX);
        let magnitude =
            length.saturating_sub(self.scale).saturating_add(i64::from(currency.exponent()));
        magnitude > 16
    }

    fn trimmed(mut self) -> Decimal {
        let zeros = self.digits.iter().take_while(|&&digit| digit == b'0').count();
        self.digits.drain(..zeros);
        while self.digits.last() == Some(&b'0') {
            self.digits.pop();
            self.scale = self.scale.saturating_sub(1);
        }
        if self.digits.is_empty() {
            self.scale = 0;
            self.is_negative = false;
        }
        self
    }
}

/// More than any amount of money: above [`MINOR_MAX`] minor units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge;

fn exponent_of(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // A billion zeros and a billion billion zeros are equally no amount of money.
    let size = digits.parse::<i64>().unwrap_or(i64::MAX).min(1_000_000_000);
    Some(if text.starts_with('-') { size.saturating_neg() } else { size })
}

/// Major units in the shortest form, as JavaScript prints them: 1050 EUR is `10.5`, 1000 is `10`.
pub fn major_text(amount: Minor, currency: Currency) -> String {
    let exponent = usize::from(currency.exponent());
    let digits = format!("{:0>width$}", amount.units(), width = exponent.saturating_add(1));
    let (whole, fraction) = digits.split_at(digits.len().saturating_sub(exponent));
    match fraction.trim_end_matches('0') {
        "" => whole.to_owned(),
        fraction => format!("{whole}.{fraction}"),
    }
}

/// Major units with all the currency's decimals, for people: 1050 EUR is `10.50`.
pub fn major_text_padded(amount: Minor, currency: Currency) -> String {
    let exponent = usize::from(currency.exponent());
    let digits = format!("{:0>width$}", amount.units(), width = exponent.saturating_add(1));
    let (whole, fraction) = digits.split_at(digits.len().saturating_sub(exponent));
    if fraction.is_empty() { whole.to_owned() } else { format!("{whole}.{fraction}") }
}
