//! What must never be on disk: numbers of cards and gift cards, whole or as a hash that could be
//! guessed, and PINs.

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Value, json};

use crate::support::{Gr4vyClaims, Options, Request, Server, sign_gr4vy_token};

const CARD: &str = "4539578763621486";
const CARD_DECLINED: &str = "4000000000009995";
const GIFT_CARD: &str = "6006491286999929";
const PIN: &str = "90417263581";

fn payment(number: &str) -> Value {
    json!({
        "amount": 1299,
        "currency": "USD",
        "payment_method": {
            "method": "card", "number": number, "expiration_date": "12/30", "security_code": "737",
        },
        "gift_cards": [{"number": GIFT_CARD, "pin": PIN, "amount": 300}],
        "external_identifier": number.get(12..),
    })
}

/// Bodies with numbers in them that are refused: each stands where it does not belong.
fn refused() -> [String; 7] {
    let with = |name: &str, value: Value| {
        let mut body = payment(CARD);
        body[name] = value;
        body.to_string()
    };
    [
        with("surprise", json!(CARD)),
        with("metadata", json!({"card": CARD})),
        with("metadata", json!({"gift card": GIFT_CARD})),
        with("description", json!(format!("paid with {CARD}"))),
        with("external_identifier", json!(GIFT_CARD)),
        with("payment_method", json!({"method": "id", "id": CARD})),
        payment(CARD).to_string().replace('}', ""),
    ]
}

fn holds(bytes: &[u8], secret: &[u8]) -> bool {
    bytes.windows(secret.len()).any(|window| window == secret)
}

fn assert_clean(server: &Server) {
    let files = server.files();
    // What is kept is found, so what is not kept would be.
    assert!(files.iter().any(|(_, bytes)| holds(bytes, &CARD.as_bytes()[..8])));
    for (name, bytes) in files {
        for secret in [CARD, CARD_DECLINED, GIFT_CARD, PIN] {
            assert!(!holds(&bytes, secret.as_bytes()), "{secret} stands in {name}");
            let hash = digest(&SHA256, secret.as_bytes());
            assert!(!holds(&bytes, &hash.as_ref()[..16]), "a hash of {secret} stands in {name}");
        }
    }
}

#[test]
fn no_number_of_a_card_reaches_the_disk_or_the_log() {
    let mut server = Server::start(Options::default().env("REQUITE_LOG", "trace"));
    let merchant = server.cli().merchant("Cards");
    let key = server.cli().key(&merchant, "gr4vy");
    let pem = key.private_key_pem.expect("a gr4vy key shows its private key");
    let token = sign_gr4vy_token(&pem, &Gr4vyClaims::default());
    let post = |body: &str, key: &str| {
        let request = Request::post("/transactions").bearer(&token);
        let request = request.header("idempotency-key", key);
        server.send(&request.header("content-type", "application/json").bytes(body.to_owned()))
    };

    for (number, status) in [(CARD, 201), (CARD_DECLINED, 201), (CARD, 409)] {
        // The third has another key, and so a name that is taken.
        let key = format!("{status}-{}", number.get(12..).expect("16 digits"));
        let made = post(&payment(number).to_string(), &key);
        assert_eq!(made.status, status, "{}", made.text());
        let again = post(&payment(number).to_string(), &key);
        assert_eq!(again.status, status, "{}", again.text());
    }
    for body in refused() {
        let answer = post(&body, "refused");
        assert_eq!(answer.status, 400, "{body}: {}", answer.text());
        for secret in [CARD, GIFT_CARD, PIN] {
            assert!(!answer.text().contains(secret), "{body}: {}", answer.text());
        }
    }
    assert_clean(&server);
    server.restart();
    assert_clean(&server);
    assert!(server.log().contains("create_transaction"), "{}", server.log());
}
