//! What a PSP's no is called here: one of the documented codes, beside the PSP's own.

use requite_core::refund::Fault;

/// Documented codes that are no decline: something is wrong with the request, the set-up or the
/// service, and nobody has said no to the card.
const FAILURES: [&str; 15] = [
    "insufficient_service_permissions",
    "internal_error",
    "invalid_amount",
    "invalid_payment_method",
    "invalid_service_configuration",
    "invalid_service_credentials",
    "invalid_service_response",
    "invalid_tax_identifier",
    "missing_billing_address",
    "missing_cvv",
    "missing_shipping_address",
    "missing_tax_identifier",
    "service_error",
    "service_network_error",
    "service_rate_limit",
];

/// Documented codes with which a card, or what is asked of it, is declined.
const DECLINES: [&str; 24] = [
    "canceled_payment_method",
    "cancelled_buyer_approval",
    "disputed_transaction",
    "duplicate_transaction",
    "expired_authorization",
    "expired_payment_method",
    "incorrect_billing_address",
    "incorrect_country",
    "incorrect_currency",
    "incorrect_cvv",
    "incorrect_expiry_date",
    "insufficient_funds",
    "invalid_operation",
    "issuer_decline",
    "other_decline",
    "refused_transaction",
    "requires_buyer_authentication",
    "service_decline",
    "suspected_fraud",
    "unavailable_payment_method",
    "unexpected_state",
    "unknown_payment_method",
    "unsupported_payment_method",
    "unsupported_transaction",
];

/// Response codes of card messages (ISO 8583).
const CARD_MESSAGES: [(&str, &str); 7] = [
    ("05", "issuer_decline"),
    ("41", "canceled_payment_method"),
    ("43", "canceled_payment_method"),
    ("51", "insufficient_funds"),
    ("54", "expired_payment_method"),
    ("65", "refused_transaction"),
    ("96", "service_error"),
];

pub(in super::super) fn error_code(fault: &Fault) -> &'static str {
    let listed = FAILURES.iter().chain(&DECLINES).find(|code| **code == fault.code);
    let of_message = CARD_MESSAGES.iter().find(|(code, _)| *code == fault.code);
    let of_message = of_message.map(|(_, code)| *code);
    listed.copied().or(of_message).unwrap_or("service_decline")
}

/// A capture's or void's status for it.
pub(in super::super) fn status(fault: &Fault) -> &'static str {
    if is_failure(fault) { "failed" } else { "declined" }
}

/// Declined by somebody, or failed?
pub(in super::super) fn is_failure(fault: &Fault) -> bool {
    FAILURES.contains(&error_code(fault))
}

/// The code as a card message has it, where it is one.
pub(in super::super) fn response_code(fault: &Fault) -> Option<&str> {
    let is_code = fault.code.len() == 2 && fault.code.bytes().all(|byte| byte.is_ascii_digit());
    is_code.then_some(fault.code.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_no_has_a_documented_code() {
        for (code, documented, failed, response) in [
            ("51", "insufficient_funds", false, Some("51")),
            ("96", "service_error", true, Some("96")),
            ("99", "service_decline", false, Some("99")),
            ("issuer_decline", "issuer_decline", false, None),
            ("missing_cvv", "missing_cvv", true, None),
            ("E104", "service_decline", false, None),
            ("", "service_decline", false, None),
        ] {
            let fault = Fault { code: code.to_owned(), text: String::new() };
            let told = (error_code(&fault), is_failure(&fault), response_code(&fault));
            assert_eq!(told, (documented, failed, response), "{code}");
        }
    }
}
