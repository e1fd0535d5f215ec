use super::*;
use crate::connectors::account::Kind;

fn currency(code: &str) -> Currency {
    Currency::parse(code).expect("listed")
}

#[test]
fn amounts_are_in_each_psp_s_own_units() {
    let refused = |near: &'static str| Err(near);
    #[rustfmt::skip]
    let rows = [
        (Kind::Stripe, "USD", 1_050, Ok(1_050)),
        (Kind::Stripe, "JPY", 500, Ok(500)),
        (Kind::Stripe, "UGX", 7, Ok(7)),
        (Kind::Stripe, "KWD", 1_230, Ok(1_230)),
        (Kind::Stripe, "KWD", 1_234, refused("1230 and 1240")),
        // Two decimals at Stripe, none by ISO 4217.
        (Kind::Stripe, "ISK", 12, Ok(1_200)),
        // None at Stripe, two by ISO 4217.
        (Kind::Stripe, "MGA", 1_200, Ok(12)),
        (Kind::Stripe, "MGA", 1_250, refused("1200 and 1300")),
        // Three by ISO 4217, two at Stripe.
        (Kind::Stripe, "IQD", 1_230, Ok(123)),
        (Kind::Stripe, "IQD", 1_234, refused("1230 and 1240")),
        (Kind::Adyen, "EUR", 1_000, Ok(1_000)),
        (Kind::Adyen, "JPY", 10, Ok(10)),
        (Kind::Adyen, "BHD", 10_001, Ok(10_001)),
        // Two decimals at Adyen, none by ISO 4217.
        (Kind::Adyen, "CLP", 990, Ok(99_000)),
        (Kind::Adyen, "ISK", 2_790, Ok(279_000)),
        // None at Adyen, two by ISO 4217.
        (Kind::Adyen, "CVE", 1_200, Ok(12)),
        (Kind::Adyen, "CVE", 1_201, refused("1200 and 1300")),
        (Kind::Adyen, "IDR", 5_000_000, Ok(50_000)),
        (Kind::Adyen, "IDR", 5_000_050, refused("5000000 and 5000100")),
    ];
    for (kind, code, units, expected) in rows {
        let amount = Minor::new(units).expect("an amount");
        let told = kind.capabilities().units.of(currency(code), amount);
        match (told, expected) {
            (Ok(told), Ok(expected)) => assert_eq!(told, expected, "{kind:?} {code} {units}"),
            (Err(fault), Err(near)) => {
                assert_eq!(fault.code, "amount_not_expressible");
                assert!(fault.text.contains(near), "{kind:?} {code}: {}", fault.text);
            }
            (told, _) => panic!("{kind:?} {code} {units}: {told:?}"),
        }
    }
}

/// Repeating a request is safe only while the PSP surely knows its key.
#[test]
fn a_repeat_ends_a_day_before_the_key_does() {
    for (kind, _) in Kind::LISTED {
        let capabilities = kind.capabilities();
        if let Recourse::Repeat { hours } = capabilities.recourse {
            let life = capabilities.key_hours.expect("a repeat needs a key");
            assert!(hours + 24 <= life, "{kind:?}: {hours} of {life} hours");
        }
    }
}

fn yes(is: bool) -> String {
    if is { "yes" } else { "no" }.to_owned()
}

/// What a person reads of a PSP's capabilities, a line each.
fn told(capabilities: &Capabilities) -> [String; 10] {
    let otherwise = |other: &Otherwise| match other.step {
        1 => format!("{} with {}", other.codes, other.decimals),
        step => format!("{} with {} in steps of {step}", other.codes, other.decimals),
    };
    let otherwise: Vec<String> = capabilities.units.0.iter().map(otherwise).collect();
    [
        yes(capabilities.partial),
        yes(capabilities.several_partials),
        yes(capabilities.needs_capture),
        yes(capabilities.is_asynchronous),
        match capabilities.recourse {
            Recourse::None => "nothing can be lost".to_owned(),
            Recourse::LookUp => "looked up".to_owned(),
            Recourse::Repeat { hours } => format!("repeated with its key for {} days", hours / 24),
        },
        words_or_none(&capabilities.cancels.iter().map(|status| status.word()).collect::<Vec<_>>()),
        capabilities.key_hours.map_or("–".to_owned(), |hours| format!("{hours} hours")),
        capabilities.window_days.map_or("–".to_owned(), |days| format!("{days} days")),
        if otherwise.is_empty() { "–".to_owned() } else { otherwise.join("; ") },
        words_or_none(capabilities.reasons),
    ]
}

fn words_or_none(words: &[&str]) -> String {
    match words {
        [] => "–".to_owned(),
        words => format!("`{}`", words.join("`, `")),
    }
}

#[test]
fn the_table_in_the_documentation_is_this_table() {
    let manual = of_everyone("manual").expect("everyone has it");
    let sandbox = of_everyone("sandbox").expect("everyone has it");
    let [stripe, adyen] = [Kind::Stripe, Kind::Adyen].map(Kind::capabilities);
    let names = [
        "partial refunds",
        "several of them",
        "must name a capture",
        "the outcome comes later, by a notice",
        "after a lost answer",
        "cancels a refund that is",
        "a key is known for, at least",
        "refunds are taken for",
        "counts with other decimals than ISO 4217",
        "reasons it has words for",
    ];
    let columns = [manual, sandbox, stripe, adyen].map(told);
    let mut table =
        "| | `manual` | `sandbox` | Stripe | Adyen |\n| --- | --- | --- | --- | --- |\n".to_owned();
    for (row, name) in names.iter().enumerate() {
        let cells: Vec<&str> = columns.iter().map(|column| column[row].as_str()).collect();
        table.push_str(&format!("| {name} | {} |\n", cells.join(" | ")));
    }
    let documentation = include_str!("../../../../docs/connectors.md");
    assert!(documentation.contains(&table), "docs/connectors.md should have this table:\n{table}");
}
