//! JSON numbers by their exact decimal value, never through floats.

use std::cmp::Ordering;

/// A number as `sign * digits * 10^exponent`, with no zero at either end of `digits`.
///
/// Its size is that of its text: an exponent stays a number, so `1e999999999` costs nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Number {
    is_negative: bool,
    /// Empty for zero.
    digits: String,
    exponent: Exponent,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Exponent {
    Exact(i64),
    /// Beyond any use; as written, with what `digits` shifted it by, for comparing texts.
    Huge {
        is_negative: bool,
        digits: String,
        shift: i64,
    },
}

/// Why a number is no `i64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotInteger {
    /// It has a fraction other than zero.
    Fraction,
    /// It is whole, and below -2^63 or above 2^63 - 1.
    OutOfRange,
}

/// What is left of a number after its whole part, compared with one half.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rest {
    Zero,
    BelowHalf,
    Half,
    AboveHalf,
}

/// The value of a JSON number as an integer: `1000`, `1000.0` and `1e3` are one.
pub(crate) fn integer(raw: &str) -> Result<i64, NotInteger> {
    Number::read(raw).integer()
}

impl Number {
    /// Reads the text of a JSON number, as [`super::Value::Number`] has it.
    pub(crate) fn read(raw: &str) -> Number {
        let (is_negative, unsigned) = match raw.strip_prefix('-') {
            Some(unsigned) => (true, unsigned),
            None => (false, raw),
        };
        let (mantissa, power) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, power)) => (mantissa, power),
            None => (unsigned, "0"),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = format!("{whole}{fraction}");
        let significant = all.trim_start_matches('0');
        let digits = significant.trim_end_matches('0');
        if digits.is_empty() {
            return Number {
                is_negative: false,
                digits: String::new(),
                exponent: Exponent::Exact(0),
            };
        }
        let shift = length(significant) - length(digits) - length(fraction);
        Number { is_negative, digits: digits.to_owned(), exponent: Exponent::read(power, shift) }
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.digits.is_empty()
    }

    pub(crate) fn integer(&self) -> Result<i64, NotInteger> {
        match self.split() {
            Some((whole, Rest::Zero)) => Ok(whole),
            Some(_) => Err(NotInteger::Fraction),
            None if self.has_fraction() => Err(NotInteger::Fraction),
            None => Err(NotInteger::OutOfRange),
        }
    }

    fn has_fraction(&self) -> bool {
        match &self.exponent {
            Exponent::Exact(exponent) => *exponent < 0,
            Exponent::Huge { is_negative, .. } => *is_negative,
        }
    }

    /// The whole part, cut towards zero, and what is left of it; `None` when the whole part is no
    /// `i64`. For a negative number the rest is that of its absolute value.
    pub(crate) fn split(&self) -> Option<(i64, Rest)> {
        let exponent = match &self.exponent {
            _ if self.is_zero() => return Some((0, Rest::Zero)),
            Exponent::Exact(exponent) => *exponent,
            Exponent::Huge { is_negative: true, .. } => return Some((0, Rest::BelowHalf)),
            Exponent::Huge { is_negative: false, .. } => return None,
        };
        // Digits before the decimal point; an i64 has at most 19.
        let before = length(&self.digits) + exponent;
        if before > 19 {
            return None;
        }
        if before < 0 {
            return Some((0, Rest::BelowHalf));
        }
        let before = usize::try_from(before).expect("between 0 and 19");
        let (whole, rest) = self.digits.split_at(before.min(self.digits.len()));
        let whole = format!("{}{whole:0<before$}", if self.is_negative { "-" } else { "" });
        let whole = if before == 0 { 0 } else { whole.parse().ok()? };
        Some((whole, Rest::of(rest)))
    }

    /// One spelling for every text of this value: `0`, or `-?digits` with `e` and a power of ten.
    pub(crate) fn canonical(&self) -> String {
        if self.is_zero() {
            return "0".to_owned();
        }
        let sign = if self.is_negative { "-" } else { "" };
        match &self.exponent {
            Exponent::Exact(exponent) => format!("{sign}{}e{exponent}", self.digits),
            Exponent::Huge { is_negative, digits, shift } => {
                let (power_sign, shift) =
                    if *is_negative { ("-", shift.saturating_neg()) } else { ("", *shift) };
                format!("{sign}{}e{power_sign}{}", self.digits, plus(digits, shift))
            }
        }
    }
}

impl Exponent {
    /// `power` as written, plus `shift`.
    fn read(power: &str, shift: i64) -> Exponent {
        let is_negative = power.starts_with('-');
        let digits = power.trim_start_matches(['+', '-']).trim_start_matches('0');
        // 17 digits and a text's length cannot leave an i64.
        if digits.len() <= 17 {
            let power: i64 = if digits.is_empty() { 0 } else { digits.parse().unwrap_or(0) };
            return Exponent::Exact(if is_negative { shift - power } else { shift + power });
        }
        Exponent::Huge { is_negative, digits: digits.to_owned(), shift }
    }
}

impl Rest {
    /// Of the digits after the decimal point, which do not end in zero.
    fn of(digits: &str) -> Rest {
        if digits.is_empty() {
            return Rest::Zero;
        }
        match digits.cmp("5") {
            Ordering::Less => Rest::BelowHalf,
            Ordering::Equal => Rest::Half,
            Ordering::Greater => Rest::AboveHalf,
        }
    }
}

/// A whole number of more than 17 digits, and so much more, or less where it is negative.
fn plus(digits: &str, more: i64) -> String {
    let mut carry = more;
    let mut sum: Vec<u8> = Vec::with_capacity(digits.len());
    for digit in digits.bytes().rev() {
        let place = carry.saturating_add(i64::from(digit.saturating_sub(b'0')));
        sum.push(b'0'.saturating_add(u8::try_from(place.rem_euclid(10)).unwrap_or_default()));
        carry = place.div_euclid(10);
    }
    let places: String = sum.iter().rev().map(|digit| char::from(*digit)).collect();
    let whole = if carry > 0 { format!("{carry}{places}") } else { places };
    whole.trim_start_matches('0').to_owned()
}

fn length(text: &str) -> i64 {
    i64::try_from(text.len()).expect("no text in memory is longer than 2^63")
}

#[cfg(test)]
mod tests {
    use super::{NotInteger, Number, Rest, integer};

    #[test]
    fn integers_are_read_from_their_exact_value() {
        use NotInteger::{Fraction, OutOfRange};
        let thousands = format!("1{}", "0".repeat(10_000));
        let shifted = format!("{thousands}e-10000");
        let tiny = format!("0.{}1", "0".repeat(10_000));
        for (raw, value) in [
            ("0", Ok(0)),
            ("-0", Ok(0)),
            ("0.0", Ok(0)),
            ("0e999999999999999999999", Ok(0)),
            ("1000", Ok(1000)),
            ("1000.0", Ok(1000)),
            ("1e3", Ok(1000)),
            ("1E+3", Ok(1000)),
            ("0.001e6", Ok(1000)),
            ("100000e-2", Ok(1000)),
            ("-5", Ok(-5)),
            ("1.5", Err(Fraction)),
            ("-0.5", Err(Fraction)),
            ("1e-1", Err(Fraction)),
            ("1e-999999999", Err(Fraction)),
            ("1e-99999999999999999999", Err(Fraction)),
            ("9007199254740993", Ok(9_007_199_254_740_993)),
            ("9223372036854775807", Ok(i64::MAX)),
            ("-9223372036854775808", Ok(i64::MIN)),
            ("9223372036854775808", Err(OutOfRange)),
            ("-9223372036854775809", Err(OutOfRange)),
            ("9223372036854775808.5", Err(Fraction)),
            ("1e19", Err(OutOfRange)),
            ("1e308", Err(OutOfRange)),
            ("1e999999999", Err(OutOfRange)),
            ("1e99999999999999999999", Err(OutOfRange)),
            (&thousands, Err(OutOfRange)),
            (&shifted, Ok(1)),
            (&tiny, Err(Fraction)),
        ] {
            assert_eq!(integer(raw), value, "{}", &raw[..raw.len().min(40)]);
        }
    }

    #[test]
    fn a_number_has_a_whole_part_and_an_exact_rest() {
        for (raw, parts) in [
            ("12.99", Some((12, Rest::AboveHalf))),
            ("1299", Some((1299, Rest::Zero))),
            ("1299.0", Some((1299, Rest::Zero))),
            ("1.299e3", Some((1299, Rest::Zero))),
            ("1299.4", Some((1299, Rest::BelowHalf))),
            ("1299.5", Some((1299, Rest::Half))),
            ("1299.50001", Some((1299, Rest::AboveHalf))),
            ("1299.49999", Some((1299, Rest::BelowHalf))),
            ("0.5", Some((0, Rest::Half))),
            ("0.05", Some((0, Rest::BelowHalf))),
            ("5e-1", Some((0, Rest::Half))),
            ("-1.5", Some((-1, Rest::Half))),
            ("9007199254740993", Some((9_007_199_254_740_993, Rest::Zero))),
            ("1e-999999999", Some((0, Rest::BelowHalf))),
            ("9223372036854775808", None),
            ("1e999999999", None),
        ] {
            assert_eq!(Number::read(raw).split(), parts, "{raw}");
        }
    }

    #[test]
    fn equal_values_have_one_spelling_and_others_have_another() {
        for (canonical, spellings) in [
            ("1e2", &["100", "1e2", "100.0", "1.00e2", "1E+2", "0.1e3", "1000e-1", "1e0002"][..]),
            ("0", &["0", "-0", "0.00", "0e5", "-0e99999999999999999999", "0E-7"]),
            ("-125e-2", &["-1.25", "-12.5e-1", "-1.250"]),
            ("1e999999999", &["1e999999999", "10e999999998"]),
            ("9007199254740993e0", &["9007199254740993", "9007199254740993.0"]),
        ] {
            for spelling in spellings {
                assert_eq!(Number::read(spelling).canonical(), canonical, "{spelling}");
            }
        }
        let huge = |raw: &str| Number::read(raw).canonical();
        assert_eq!(huge("1e99999999999999999999"), huge("1E+099999999999999999999"));
        assert_ne!(huge("1e99999999999999999999"), huge("1e-99999999999999999999"));
        assert_ne!(huge("1e99999999999999999999"), huge("10e99999999999999999999"));
        // What is spelt so is read again as the same, also where the digits of its power become fewer or more.
        for (raw, canonical) in [
            ("0.1e-99999999999999999", "1e-100000000000000000"),
            ("10e99999999999999999", "1e100000000000000000"),
            ("0.01e100000000000000000", "1e99999999999999998"),
            ("1000e-100000000000000000", "1e-99999999999999997"),
            ("10e99999999999999999999", "1e100000000000000000000"),
        ] {
            assert_eq!(huge(raw), canonical);
            assert_eq!(huge(canonical), canonical);
        }
    }
}
