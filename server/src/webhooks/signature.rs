//! Signatures of messages: HMAC-SHA256 over the time of sending and the body.
//!
//! | dialect | signed | key | header's value |
//! | --- | --- | --- | --- |
//! | `gr4vy` | `{timestamp}.{body}` | the secret's text | hex, with commas |
//! | `native` | `{id}.{timestamp}.{body}` | what is behind `whsec_`, from base64 | `v1,` and base64, with spaces |
//!
//! While a secret is being replaced there are two signatures.

use aws_lc_rs::hmac::{HMAC_SHA256, Key, Tag, sign};
use data_encoding::{BASE64, HEXLOWER};

use crate::crypto::secret::Secret;

/// What secrets begin with.
pub(super) const PREFIX: &str = "whsec_";

/// A message with the time at which it is sent.
pub(super) struct Sent<'a> {
    pub id: &'a str,
    pub at_s: i64,
    pub body: &'a str,
}

/// The headers of a message in this dialect. `secrets`: the present one, and the one before while it is
/// still good.
pub(super) fn headers(
    dialect: &str,
    sent: &Sent<'_>,
    secrets: &[Secret],
) -> Vec<(&'static str, String)> {
    let at = sent.at_s.to_string();
    if dialect == "gr4vy" {
        let signatures: Vec<String> = secrets.iter().map(|secret| gr4vy(sent, secret)).collect();
        return vec![
            ("x-gr4vy-webhook-id", sent.id.to_owned()),
            ("x-gr4vy-webhook-timestamp", at),
            ("x-gr4vy-webhook-signatures", signatures.join(",")),
        ];
    }
    let signatures: Vec<String> = secrets.iter().map(|secret| standard(sent, secret)).collect();
    vec![
        ("webhook-id", sent.id.to_owned()),
        ("webhook-timestamp", at),
        ("webhook-signature", signatures.join(" ")),
    ]
}

fn gr4vy(sent: &Sent<'_>, secret: &Secret) -> String {
    let tag = tag(secret.expose().as_bytes(), &format!("{}.{}", sent.at_s, sent.body));
    HEXLOWER.encode(tag.as_ref())
}

fn standard(sent: &Sent<'_>, secret: &Secret) -> String {
    let text = secret.expose();
    let text = text.strip_prefix(PREFIX).unwrap_or(text);
    let key = BASE64.decode(text.as_bytes()).unwrap_or_else(|_| text.as_bytes().to_vec());
    let tag = tag(&key, &format!("{}.{}.{}", sent.id, sent.at_s, sent.body));
    format!("v1,{}", BASE64.encode(tag.as_ref()))
}

fn tag(key: &[u8], text: &str) -> Tag {
    sign(&Key::new(HMAC_SHA256, key), text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Payloads, secrets and times for which Gr4vy's own verifiers accept these signatures.
    #[test]
    fn gr4vys_recorded_signatures_are_made_here_too() {
        let payload = r#"{"type":"event","id":"36d2c101-4db5-4afd-ba4b-8fd9b60764ab","name":"refund.succeeded","created_at":"2026-01-05T10:00:00.000000+00:00","merchant_account_id":"default","gr4vy_id":"example","environment":"sandbox","target":{"type":"refund","id":"6a1d4e46-14ed-4fe1-a45f-eff4e025d211","transaction_id":"7099948d-7286-47e4-aad8-b68f7eb44591","status":"succeeded"}}"#;
        for (secret, at_s, body, signature) in [
            (
                "whsec-one-0123456789",
                1_767_607_200,
                payload,
                "12aff49f9ffa7bd8180845f26e5b7ebebc46dad73216be304f60d115044fc0ff",
            ),
            ("k", 1, "", "37c39ff90c9eaf98b76f1cf1a38399fa408e930f34e04a5179d0dc6489fe9c78"),
            (
                "clé-ü",
                1_700_000_000,
                r#"{"a":"é"}"#,
                "97cbc2ad73e48ead68c7fc726c2527f5238eb27e205ff699b33bdf5313a5347c",
            ),
        ] {
            let sent = Sent { id: "msg", at_s, body };
            let secrets = [Secret::new(secret.to_owned()), Secret::new("other".to_owned())];
            let headers = headers("gr4vy", &sent, &secrets);
            let (name, value) = &headers[2];
            assert_eq!(*name, "x-gr4vy-webhook-signatures");
            assert_eq!(value.split_once(',').map(|(first, _)| first), Some(signature));
        }
    }

    /// The example of the Standard Webhooks specification.
    #[test]
    fn a_standard_signature_is_that_of_the_specification() {
        let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned());
        let sent = Sent {
            id: "msg_p5jXN8AQM9LWM0D4loKWxJek",
            at_s: 1_614_265_330,
            body: r#"{"test": 2432232314}"#,
        };
        let headers = headers("native", &sent, &[secret]);
        let signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(headers[2], ("webhook-signature", signature.to_owned()));
    }
}
