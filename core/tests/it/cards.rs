use proptest::prelude::*;
use requite_core::card::masked;

#[test]
fn a_card_number_is_struck_out_and_nothing_else() {
    for (text, expected) in [
        ("4111111111111111", Some("411111******1111")),
        ("paid with 4111 1111 1111 1111, thanks", Some("paid with 4111 11** **** 1111, thanks")),
        ("4111-1111-1111-1111", Some("4111-11**-****-1111")),
        ("4111.1111.1111.1111.", Some("4111.11**.****.1111.")),
        ("378282246310005", Some("378282*****0005")),
        ("3782 822463 10005", Some("3782 82**** *0005")),
        ("30569309025904", Some("305693****5904")),
        ("6011111111111117", Some("601111******1117")),
        ("2223003122003222", Some("222300******3222")),
        ("4222222222222", Some("422222***2222")),
        ("6304000000000000000", Some("630400*********0000")),
        ("4111111111111111 12/29 737", Some("411111******1111 12/29 737")),
        ("4111111111111111 and 5555555555554444", Some("411111******1111 and 555555******4444")),
        ("4111111111111111 5555555555554444", Some("411111******1111 555555******4444")),
        ("12 4111 1111 1111 1111", Some("12 4111 11** **** 1111")),
        ("2024-09-15 4111111111111111", Some("2024-09-15 411111******1111")),
        ("nr.4111111111111111", Some("nr.411111******1111")),
        ("\"4111111111111111\"", Some("\"411111******1111\"")),
        ("0.4111111111111111", None),
        ("_4111111111111111", None),
        ("4111111111111111_", None),
        ("4111111111111112", None),
        ("1726400000000", None),
        ("9111111111111111", None),
        ("411111111111", None),
        ("41111111111111111111", None),
        ("4111  1111 1111 1111", None),
        ("x4111111111111111", None),
        ("4111111111111111x", None),
        ("0191f5a7-44d3-7430-8739-2d80821416bf", None),
        ("411111******1111", None),
        ("", None),
    ] {
        assert_eq!(masked(text, false).as_deref(), expected, "{text}");
    }
}

#[test]
fn json_stays_json() {
    for (text, expected) in [
        (r#"{"card":4111111111111111}"#, Some(r#"{"card":4111110000001111}"#)),
        (r#"{"card":"4111111111111111"}"#, Some(r#"{"card":"411111******1111"}"#)),
        (r#"{"a\"b":4111111111111111}"#, Some(r#"{"a\"b":4111110000001111}"#)),
        (r#"{"4111111111111111":true}"#, Some(r#"{"411111******1111":true}"#)),
        (r#"{"card":"no"}"#, None),
    ] {
        assert_eq!(masked(text, true).as_deref(), expected, "{text}");
    }
}

/// The check digit that makes it a card number.
fn with_check(mut digits: Vec<u8>) -> String {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let doubled = u32::from(*digit) * if place % 2 == 0 { 2 } else { 1 };
            if doubled > 9 { doubled - 9 } else { doubled }
        })
        .sum();
    digits.push(u8::try_from((10 - sum % 10) % 10).expect("one digit"));
    digits.iter().map(|digit| char::from(b'0' + digit)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// 500 numbers, each typed in three ways: none is kept, and the first six and last four are.
    #[test]
    fn no_card_number_is_kept(
        first in 3_u8..7,
        digits in prop::collection::vec(0_u8..10, 11..18),
        around in prop::sample::select(vec![("", ""), ("card ", "!"), ("(", ")"), ("nr:", "\n")]),
        separator in prop::sample::select(vec!["", " ", "-", "."]),
    ) {
        let number = with_check([vec![first], digits].concat());
        let groups: Vec<&str> = number.as_bytes().chunks(4)
            .map(|group| std::str::from_utf8(group).expect("digits")).collect();
        let text = format!("{}{}{}", around.0, groups.join(separator), around.1);
        let kept = masked(&text, false).expect("it holds a card number");
        prop_assert_eq!(kept.len(), text.len());
        let plain: String = kept.chars().filter(|c| c.is_ascii_digit() || *c == '*').collect();
        let stars = "*".repeat(number.len() - 10);
        let expected = format!("{}{stars}{}", &number[..6], &number[number.len() - 4..]);
        prop_assert_eq!(plain, expected);
        prop_assert_eq!(masked(&kept, false), None, "once is enough");
    }

    #[test]
    fn any_text_can_be_looked_at(text in ".{0,80}", is_json: bool) {
        if let Some(kept) = masked(&text, is_json) {
            prop_assert_eq!(kept.len(), text.len());
        }
    }
}
