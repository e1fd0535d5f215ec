use proptest::prelude::*;
use requite_core::currency::Currency;
use requite_core::money::{
    DIGITS_MAX, Decimal, MINOR_MAX, Minor, TooLarge, major_text, major_text_padded,
};

use crate::support::{currency, minor};

#[test]
fn a_decimal_is_read_digit_by_digit() {
    type Row = (&'static str, &'static str, Result<Option<i64>, TooLarge>);
    let rows: &[Row] = &[
        ("10.5", "USD", Ok(Some(1050))),
        ("10", "USD", Ok(Some(1000))),
        ("1.0", "USD", Ok(Some(100))),
        ("1.10", "USD", Ok(Some(110))),
        ("1e1", "USD", Ok(Some(1000))),
        ("1E+2", "USD", Ok(Some(10_000))),
        ("1050e-2", "USD", Ok(Some(1050))),
        ("0.01", "USD", Ok(Some(1))),
        ("0.010", "USD", Ok(Some(1))),
        ("0", "USD", Ok(Some(0))),
        ("-0", "USD", Ok(Some(0))),
        ("0e999999999999999999999", "USD", Ok(Some(0))),
        ("0.001", "USD", Ok(None)),
        ("33.333", "USD", Ok(None)),
        ("1e-7", "USD", Ok(None)),
        ("1e-999999999999999999999", "USD", Ok(None)),
        ("0.30000000000000004", "USD", Ok(None)),
        ("500", "JPY", Ok(Some(500))),
        ("0.5", "JPY", Ok(None)),
        ("1.299", "KWD", Ok(Some(1299))),
        ("1.2345", "CLF", Ok(Some(12_345))),
        ("90071992547409.91", "USD", Ok(Some(MINOR_MAX))),
        ("90071992547409.92", "USD", Err(TooLarge)),
        ("90071992547409.911", "USD", Ok(None)),
        ("1e21", "USD", Err(TooLarge)),
        ("1e400", "USD", Err(TooLarge)),
        ("1e999999999999999999999", "USD", Err(TooLarge)),
        ("100000000000000000000.001", "USD", Err(TooLarge)),
    ];
    for (text, code, expected) in rows {
        let read = Decimal::parse(text).expect("the row is a JSON number");
        let got = read.minor(currency(code)).map(|amount| amount.map(Minor::units));
        assert_eq!(got, *expected, "{text} {code}");
    }
}

#[test]
fn what_is_no_number_is_not_read() {
    let long = "1".repeat(401);
    for text in
        ["", "-", ".", "1.", ".5", "1e", "1e+", "+1", "0x10", "1,0", "NaN", " 1", "1 ", &long]
    {
        assert_eq!(Decimal::parse(text), None, "{text:?}");
    }
}

#[test]
fn only_what_is_above_zero_is_positive() {
    for (text, expected) in
        [("1", true), ("0.0001", true), ("0", false), ("-0", false), ("-1", false), ("0.00", false)]
    {
        let read = Decimal::parse(text).expect("a number");
        assert_eq!(read.is_positive(), expected, "{text}");
    }
}

#[test]
fn an_echo_is_within_half_a_minor_unit_of_all_that_is_left() {
    let rows: &[(&str, i64, &str, bool)] = &[
        ("30.299999999999997", 3030, "USD", true),
        ("0.30000000000000004", 30, "USD", true),
        ("30.295", 3030, "USD", true),
        ("30.305", 3030, "USD", true),
        ("30.2949", 3030, "USD", false),
        ("30.3051", 3030, "USD", false),
        ("0.5", 1, "JPY", true),
        ("0.49", 1, "JPY", false),
        ("1.49", 1, "JPY", true),
        ("1e-7", 1, "USD", false),
        ("-30.3", 3030, "USD", false),
        ("1e400", 3030, "USD", false),
        ("33.333", 3333, "USD", true),
        ("33.333", 3334, "USD", false),
    ];
    for (text, left, code, expected) in rows {
        let read = Decimal::parse(text).expect("a number");
        assert_eq!(read.echoes(minor(*left), currency(code)), *expected, "{text} of {left} {code}");
    }
}

#[test]
fn what_is_beyond_all_money_is_above_every_amount() {
    for (text, expected) in [
        ("90071992547409.91", false),
        ("90071992547409.911", true),
        // Sixteen whole digits, and more than the largest amount.
        ("95000000000000.001", true),
        ("1e21", true),
        ("-1e21", false),
    ] {
        let read = Decimal::parse(text).expect("a number");
        assert_eq!(read.is_above(minor(MINOR_MAX), currency("USD")), expected, "{text}");
    }
}

#[test]
fn major_units_are_written_as_javascript_writes_them() {
    for (units, code, short, padded) in [
        (1050, "USD", "10.5", "10.50"),
        (1000, "USD", "10", "10.00"),
        (5, "USD", "0.05", "0.05"),
        (0, "USD", "0", "0.00"),
        (500, "JPY", "500", "500"),
        (1299, "KWD", "1.299", "1.299"),
        (10_000, "CLF", "1", "1.0000"),
        (MINOR_MAX, "USD", "90071992547409.91", "90071992547409.91"),
    ] {
        assert_eq!(major_text(minor(units), currency(code)), short);
        assert_eq!(major_text_padded(minor(units), currency(code)), padded);
    }
}

#[test]
fn every_listed_currency_reads_back_its_own_code() {
    assert!(Currency::all().count() > 160);
    for listed in Currency::all() {
        assert_eq!(Currency::parse(&listed.code().to_lowercase()), Some(listed));
        assert_eq!(Currency::stored(listed.code(), listed.exponent()), Some(listed));
    }
    for unknown in ["XXX", "XAU", "EURO", "EU", "", "E€", "eu1"] {
        assert_eq!(Currency::parse(unknown), None, "{unknown}");
    }
    for (code, exponent) in [("JPY", 0), ("EUR", 2), ("KWD", 3), ("UYW", 4), ("ISK", 0)] {
        assert_eq!(currency(code).exponent(), exponent, "{code}");
    }
}

#[test]
fn amounts_end_where_javascript_counts_inexactly() {
    assert_eq!(Minor::new(-1), None);
    assert_eq!(Minor::new(MINOR_MAX + 1), None);
    assert_eq!(minor(MINOR_MAX).checked_add(minor(1)), None);
    assert_eq!(minor(1).checked_sub(minor(2)), None);
    assert_eq!(Minor::checked_sum([minor(1), minor(2)]), Some(minor(3)));
    assert!(Minor::ZERO.is_zero());
}

proptest! {
    #[test]
    fn what_is_written_reads_back_in_every_currency(units in 0..=MINOR_MAX, pick in 0_usize..200) {
        let listed: Vec<Currency> = Currency::all().collect();
        let currency = listed[pick % listed.len()];
        for text in [major_text(minor(units), currency), major_text_padded(minor(units), currency)] {
            let read = Decimal::parse(&text).expect("we write numbers");
            prop_assert_eq!(read.minor(currency), Ok(Some(minor(units))));
        }
    }

    #[test]
    fn no_text_makes_reading_panic_or_hang(text in "-?[0-9]{0,40}(\\.[0-9]{0,40})?([eE][+-]?[0-9]{0,25})?") {
        if let Some(read) = Decimal::parse(&text) {
            for code in ["JPY", "USD", "CLF"] {
                let currency = currency(code);
                let exact = read.minor(currency);
                if let Ok(Some(amount)) = exact {
                    prop_assert!(!read.is_above(amount, currency));
                }
                if read.echoes(minor(100), currency) && read.is_positive() {
                    prop_assert!(!read.is_above(minor(101), currency));
                }
            }
        }
    }
}

#[test]
fn what_was_never_stored_is_no_currency() {
    for (code, exponent) in
        [("eur", 2), ("EUR", 5), ("eur", 5), ("EURO", 2), ("EU", 2), ("E\u{a3}", 2)]
    {
        assert_eq!(Currency::stored(code, exponent), None, "{code} {exponent}");
    }
    // The exponent that a payment was registered with stays, whatever the table says by now.
    let kept = Currency::stored("EUR", 3).expect("it could have been stored");
    assert_eq!((kept.code(), kept.exponent(), kept.to_string()), ("EUR", 3, "EUR".to_owned()));
}

#[test]
fn a_number_may_be_as_long_as_any_amount_and_no_longer() {
    let longest = "0".repeat(DIGITS_MAX - 1) + "7";
    assert!(Decimal::parse(&longest).is_some());
    assert_eq!(Decimal::parse(&format!("0{longest}")), None);
    let fraction = format!("1.{}", "2".repeat(DIGITS_MAX - 1));
    assert!(Decimal::parse(&fraction).is_some());
    assert_eq!(Decimal::parse(&format!("{fraction}2")), None);
}

#[test]
fn nothing_and_less_than_nothing_echo_nothing() {
    for (text, left) in [("0", 0), ("0.00", 0), ("-1", 100), ("-0.001", 0), ("9e99", 1)] {
        let read = Decimal::parse(text).expect("a number");
        assert!(!read.echoes(minor(left), currency("USD")), "{text} of {left}");
    }
}

#[test]
fn a_fraction_of_the_smallest_unit_is_above_it() {
    for (text, is_above) in [
        ("1", false),
        ("1.00", false),
        ("1.0000001", true),
        ("1.01", true),
        ("0.999", false),
        ("-2", false),
    ] {
        let read = Decimal::parse(text).expect("a number");
        assert_eq!(read.is_above(minor(100), currency("USD")), is_above, "{text}");
    }
}
