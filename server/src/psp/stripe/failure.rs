//! Stripe's errors, each with its status, type and code in one place.

use serde_json::{Map, Value, json};

use crate::psp::books::Refusal;

/// Why a request failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Failure {
    pub status: u16,
    kind: &'static str,
    code: Option<String>,
    message: String,
    param: Option<String>,
    more: Vec<(&'static str, String)>,
    /// Nothing began: the answer is not kept under the request's key.
    pub is_of_form: bool,
}

const INVALID: &str = "invalid_request_error";

impl Failure {
    fn new(status: u16, kind: &'static str, message: impl Into<String>) -> Failure {
        Failure { status, kind, message: message.into(), ..Failure::default() }
    }

    fn code(self, code: &str) -> Failure {
        Failure { code: Some(code.to_owned()), ..self }
    }

    fn param(self, param: &str) -> Failure {
        Failure { param: Some(param.to_owned()), ..self }
    }

    fn of_form(self) -> Failure {
        Failure { is_of_form: true, ..self }
    }

    pub(crate) fn body(&self, request: &str) -> Value {
        let mut error = Map::new();
        let mut put = |name: &str, value: String| error.insert(name.to_owned(), value.into());
        if let Some(code) = &self.code {
            put("code", code.clone());
            let page = code.replace('_', "-");
            put("doc_url", format!("https://stripe.com/docs/error-codes/{page}"));
        }
        put("message", self.message.clone());
        if let Some(param) = &self.param {
            put("param", param.clone());
        }
        for (name, value) in &self.more {
            put(name, value.clone());
        }
        put("request_log_url", format!("https://dashboard.stripe.com/test/logs/{request}"));
        put("type", self.kind.to_owned());
        json!({ "error": error })
    }

    pub(crate) fn no_key() -> Failure {
        let text = "You did not provide an API key. You need to provide your API key in the \
            Authorization header, using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY'). See \
            https://stripe.com/docs/api#authentication for details, or we can help at \
            https://support.stripe.com/.";
        Failure::new(401, INVALID, text).of_form()
    }

    /// Never shows more of a key than its beginning and its end.
    pub(crate) fn bad_key(key: &str) -> Failure {
        let letters: Vec<char> = key.chars().collect();
        let shown = if letters.len() > 16 {
            let stars = "*".repeat(letters.len() - 15);
            let text = |part: &[char]| part.iter().collect::<String>();
            format!("{}{stars}{}", text(&letters[..11]), text(&letters[letters.len() - 4..]))
        } else {
            "*".repeat(letters.len())
        };
        Failure::new(401, INVALID, format!("Invalid API Key provided: {shown}")).of_form()
    }

    pub(crate) fn other_account(account: &str) -> Failure {
        let text = format!(
            "The provided key does not have access to account '{account}' (or that account does not \
             exist). Application access may have been revoked."
        );
        Failure::new(403, INVALID, text).code("account_invalid").of_form()
    }

    pub(crate) fn no_path(method: &str, path: &str) -> Failure {
        let text = format!("Unrecognized request URL ({method}: {path}).");
        Failure::new(404, INVALID, text).of_form()
    }

    pub(crate) fn unreadable() -> Failure {
        let text = "Invalid request: the parameters are not form-encoded text.";
        Failure::new(400, INVALID, text).of_form()
    }

    pub(crate) fn key_too_long(characters: usize) -> Failure {
        let text =
            format!("Idempotency-Key is {characters} characters long; at most 255 are taken.");
        Failure::new(400, INVALID, text).of_form()
    }

    pub(crate) fn key_of_other_path(key: &str, path: &str) -> Failure {
        let text = format!(
            "Keys for idempotent requests can only be used for the same endpoint they were first used for \
             ('{path}'). Try using a key other than '{key}' if you meant to execute a different request."
        );
        Failure::new(400, "idempotency_error", text).of_form()
    }

    pub(crate) fn key_of_other_parameters(key: &str) -> Failure {
        let text = format!(
            "Keys for idempotent requests can only be used with the same parameters they were first used \
             with. Try using a key other than '{key}' if you meant to execute a different request."
        );
        Failure::new(400, "idempotency_error", text).of_form()
    }

    pub(crate) fn key_in_use(key: &str) -> Failure {
        let text = format!(
            "There is currently another in-progress request using this Idempotent Key '{key}' (that \
             probably means you submitted twice, and the other request is still going through)."
        );
        let failure = Failure::new(409, "idempotency_error", text);
        failure.code("idempotency_key_in_use").of_form()
    }

    /// As a script wants it.
    pub(crate) fn scripted(status: u16, code: Option<&str>) -> Failure {
        let (kind, usual, text) = match status {
            429 => (INVALID, Some("rate_limit"), "Too many requests in a period of time."),
            401 => (INVALID, None, "Invalid API Key provided: sk_test_*********"),
            402 => ("card_error", None, "The request was declined."),
            400..500 => (INVALID, None, "The request was refused."),
            _ => ("api_error", None, "An unknown error occurred"),
        };
        let code = code.or(usual).map(str::to_owned);
        Failure { code, ..Failure::new(status, kind, text) }
    }

    pub(crate) fn missing(noun: &str, id: &str) -> Failure {
        let text = format!("No such {noun}: '{id}'");
        Failure::new(404, INVALID, text).code("resource_missing").param("id")
    }

    pub(crate) fn parameter_missing(param: &str) -> Failure {
        let text = format!("Missing required param: {param}.");
        Failure::new(400, INVALID, text).code("parameter_missing").param(param).of_form()
    }

    pub(crate) fn parameter_unknown(param: &str) -> Failure {
        let text = format!("Received unknown parameter: {param}");
        Failure::new(400, INVALID, text).code("parameter_unknown").param(param).of_form()
    }

    pub(crate) fn parameter(param: &str, message: &str) -> Failure {
        Failure::new(400, INVALID, message).param(param).of_form()
    }

    pub(crate) fn integer(param: &str, text: &str) -> Failure {
        let text = format!("Invalid integer: {text}");
        Failure::new(400, INVALID, text).code("parameter_invalid_integer").param(param).of_form()
    }

    pub(crate) fn not_positive(param: &str) -> Failure {
        let failure = Failure::new(400, INVALID, "Invalid positive integer");
        failure.code("parameter_invalid_integer").param(param).of_form()
    }

    pub(crate) fn amount_too_large() -> Failure {
        let failure = Failure::new(400, INVALID, "Amount must be no more than $999,999.99");
        failure.code("amount_too_large").param("amount").of_form()
    }

    /// The card says no.
    pub(crate) fn declined(charge: &str, code: &str, decline_code: Option<&str>) -> Failure {
        let text = match code {
            "expired_card" => "Your card has expired.",
            "incorrect_cvc" => "Your card's security code is incorrect.",
            _ if decline_code == Some("insufficient_funds") => "Your card has insufficient funds.",
            _ => "Your card was declined.",
        };
        let mut more = vec![("charge", charge.to_owned())];
        more.extend(decline_code.map(|code| ("decline_code", code.to_owned())));
        Failure { more, ..Failure::new(402, "card_error", text).code(code) }
    }

    pub(crate) fn captured_already(charge: &str) -> Failure {
        let text = format!("Charge {charge} has already been captured.");
        Failure::new(400, INVALID, text).code("charge_already_captured")
    }

    pub(crate) fn state(code: &str, message: &str) -> Failure {
        Failure::new(400, INVALID, message).code(code)
    }

    pub(crate) fn refused(refusal: &Refusal, charge: &str) -> Failure {
        match refusal {
            Refusal::NoSuchCharge => Failure::missing("charge", charge),
            Refusal::ChargeFailed => {
                let text = format!("Charge {charge} has failed; cannot issue a refund.");
                Failure::new(400, INVALID, text).code("charge_not_refundable")
            }
            Refusal::Disputed => {
                let text = format!("Charge {charge} has been charged back; cannot issue a refund.");
                Failure::new(400, INVALID, text).code("charge_disputed")
            }
            Refusal::PartOfUncaptured => {
                let text = "You cannot partially refund an uncaptured charge. Instead, capture the \
                    charge for an amount less than the original amount";
                Failure::new(400, INVALID, text).param("amount")
            }
            Refusal::AlreadyRefunded => {
                let text = format!("Charge {charge} has already been refunded.");
                Failure::new(400, INVALID, text).code("charge_already_refunded")
            }
            Refusal::TooMuch { asked, left, currency } => {
                let (asked, left) = (money(*asked, currency), money(*left, currency));
                let text = format!(
                    "Refund amount ({asked}) is greater than unrefunded amount on charge ({left})"
                );
                Failure::new(400, INVALID, text).param("amount")
            }
        }
    }
}

/// Currencies without a smaller unit.
const WHOLE: [&str; 16] = [
    "bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "ugx", "vnd", "vuv",
    "xaf", "xof", "xpf",
];

/// An amount as Stripe writes it in its messages: `$20`, `$20.01`, `5,000 JPY`.
fn money(amount: i64, currency: &str) -> String {
    let text = if WHOLE.contains(&currency) {
        amount.to_string()
    } else {
        let (whole, rest) = (amount.div_euclid(100), amount.rem_euclid(100));
        if rest == 0 { whole.to_string() } else { format!("{whole}.{rest:02}") }
    };
    match currency {
        "usd" => format!("${text}"),
        _ => format!("{text} {}", currency.to_uppercase()),
    }
}
