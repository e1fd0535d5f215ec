//! Amounts of the recordings as text: Medusa v2 writes major units, everything else minor ones.
//! Worked digit by digit; a float would round what is to be checked.

/// Decimals of a currency, for the currencies that recordings use.
pub(super) fn exponent(currency: &str) -> usize {
    match currency.to_ascii_uppercase().as_str() {
        "JPY" | "KRW" | "VND" | "CLP" | "XOF" | "XAF" | "XPF" | "UGX" | "PYG" => 0,
        "KWD" | "BHD" | "JOD" | "OMR" | "TND" | "IQD" | "LYD" => 3,
        _ => 2,
    }
}

/// `"10.5"` with 2 decimals is 1050. `None` for a number that has more decimals than that, or is
/// none. The JSON spellings `1e1` and `1.10` are understood.
pub(super) fn minor(text: &str, exponent: usize) -> Option<i64> {
    let (mantissa, shift) = match text.split_once(['e', 'E']) {
        Some((mantissa, shift)) => (mantissa, shift.parse::<i64>().ok()?),
        None => (text, 0),
    };
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, mantissa),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let point = i64::try_from(whole.len()).ok()?.checked_add(shift)?;
    let wanted = point.checked_add(i64::try_from(exponent).ok()?)?;
    if wanted > 40 {
        return None;
    }
    let wanted = usize::try_from(wanted).unwrap_or_default();
    let kept: String = digits.chars().chain(std::iter::repeat('0')).take(wanted).collect();
    let lost = digits.chars().skip(wanted);
    if lost.into_iter().any(|c| c != '0') {
        return None;
    }
    let value: i64 = if kept.is_empty() { 0 } else { kept.parse().ok()? };
    value.checked_mul(sign)
}

/// 1050 with 2 decimals is `10.5`: the shortest form, as JavaScript prints it.
pub(super) fn major(minor: i64, exponent: usize) -> String {
    let digits = format!("{minor:0>width$}", width = exponent.saturating_add(1));
    let (whole, fraction) = digits.split_at(digits.len().saturating_sub(exponent));
    match fraction.trim_end_matches('0') {
        "" => whole.to_owned(),
        fraction => format!("{whole}.{fraction}"),
    }
}

#[test]
fn major_and_minor_units() {
    let rows = [
        ("10.5", 2, Some(1050)),
        ("1.10", 2, Some(110)),
        ("1e1", 2, Some(1000)),
        ("20", 0, Some(20)),
        ("0.01", 2, Some(1)),
        ("33.333", 2, None),
        ("1e-7", 2, None),
        ("100.010", 2, Some(10001)),
        ("0.5", 0, None),
        ("-1", 2, Some(-100)),
        ("x", 2, None),
    ];
    for (text, exponent, wanted) in rows {
        assert_eq!(minor(text, exponent), wanted, "{text}");
    }
    assert_eq!(major(1050, 2), "10.5");
    assert_eq!(major(1, 2), "0.01");
    assert_eq!(major(20, 0), "20");
    assert_eq!(major(10000, 2), "100");
}
