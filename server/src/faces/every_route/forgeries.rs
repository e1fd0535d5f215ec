//! Nobody comes in with a credential that is none (F68): for each face what an attacker would make of
//! a good one, of its parts, and of what is public. Each is shown with a refund of all that a payment
//! has left; the answer is the dialect's 401, and in the end the good credential can still refund it all.

use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};
use requite_core::id::{PaymentId, PersonId, prefixed_text, uuid_text};
use requite_engine::read::PersonView;
use requite_engine::registry::Registry;
use serde_json::Value;

use super::*;
use crate::crypto::password;
use crate::crypto::secret::Secret;
use crate::faces::testing::{OTHER_SHOP, SHOP, login_secret};

/// The smallest number of forgeries for one face.
const FORGERIES_MIN: usize = 40;

/// Headers, and what is wrong with them.
type Forgery = (String, Vec<(&'static str, String)>);

const NOW: i64 = START_MS / 1000;

/// Every form of a plain token that is not the token: shown by `show`.
fn of_token(token: &str, show: &dyn Fn(&str) -> (&'static str, String)) -> Vec<Forgery> {
    let hash = lookup_hash(token);
    let texts = [
        ("nothing", String::new()),
        ("a blank", " ".to_owned()),
        ("null", "null".to_owned()),
        ("undefined", "undefined".to_owned()),
        ("a star", "*".to_owned()),
        ("SQL", "' or 1=1 --".to_owned()),
        ("a pattern", "%".to_owned()),
        ("a path", "../../../etc/passwd".to_owned()),
        ("one character less", token[..token.len() - 1].to_owned()),
        ("one character more", format!("{token}0")),
        ("another beginning", format!("x{token}")),
        ("upper case", format!("{}Z", token.to_uppercase())),
        ("backwards", format!("z{}", token.chars().rev().collect::<String>())),
        ("twice", format!("{token}{token}")),
        ("two with a blank", format!("{token} {token}")),
        ("two with a comma", format!("{token},{token}")),
        ("in quotes", format!("\"{token}\"")),
        ("in brackets", format!("<{token}>")),
        ("in hexadecimal", HEXLOWER.encode(token.as_bytes())),
        ("escaped", token.bytes().map(|byte| format!("%{byte:02x}")).collect()),
        ("its hash", HEXLOWER.encode(&hash)),
        ("its hash in base64", BASE64.encode(&hash)),
        ("a semicolon behind", format!("{token};admin")),
        ("a megabyte", token.repeat(1 + (1 << 20) / token.len())),
        ("a megabyte of zeros", "0".repeat(1 << 20)),
        ("an invisible blank", format!("{token}\u{200b}")),
    ];
    let mut forgeries: Vec<Forgery> = texts
        .into_iter()
        .map(|(name, text)| (format!("a token: {name}"), vec![show(&text)]))
        .collect();
    for place in 0..token.len() {
        let mut bytes = token.as_bytes().to_vec();
        bytes[place] = if bytes[place] == b'0' { b'1' } else { b'0' };
        let changed = String::from_utf8(bytes).expect("ASCII");
        forgeries.push((format!("a token: character {place} changed"), vec![show(&changed)]));
    }
    forgeries
}

/// What else can be written around a good token.
fn of_header(token: &str) -> Vec<Forgery> {
    let values = [
        token.to_owned(),
        format!("Bearer{token}"),
        format!("Bearer:{token}"),
        format!("Bearer=\"{token}\""),
        format!("Token {token}"),
        format!("ApiKey {token}"),
        format!("Digest {token}"),
        format!("Negotiate {token}"),
        format!("Bearer Bearer {token}"),
        "Bearer".to_owned(),
        "Basic Og==".to_owned(),
        format!("Basic {}", BASE64.encode(format!("{token}:password").as_bytes())),
        format!("Basic {}", BASE64.encode(format!("user:{token}").as_bytes())),
    ];
    let mut forgeries: Vec<Forgery> = values
        .into_iter()
        .map(|value| (format!("a header: {value:.40}"), vec![("authorization", value)]))
        .collect();
    for name in ["proxy-authorization", "x-authorization", "x-api-key", "x-forwarded-user"] {
        forgeries.push((format!("a header: {name}"), vec![(name, format!("Bearer {token}"))]));
    }
    forgeries.push(("no header".to_owned(), Vec::new()));
    forgeries
}

/// What a token is signed with, and what it says, where it is a JWT.
struct Jwt<'a> {
    algorithm: &'static str,
    /// Of the header, besides `alg`.
    kid: Option<String>,
    claims: Value,
    sign: &'a dyn Fn(&str) -> Vec<u8>,
    /// Keys that whoever knows what is public could sign with.
    public: Vec<Vec<u8>>,
}

fn base64(text: &str) -> String {
    BASE64URL_NOPAD.encode(text.as_bytes())
}

impl Jwt<'_> {
    fn header(&self, members: &str) -> String {
        let kid = self.kid.as_ref().map(|kid| format!(r#","kid":"{kid}""#));
        format!(r#"{{"alg":"{}"{}{members}}}"#, self.algorithm, kid.unwrap_or_default())
    }

    fn parts(&self, header: &str, payload: &str) -> String {
        format!("{}.{}", base64(header), base64(payload))
    }

    /// Signed well, whatever it says.
    fn signed(&self, header: &str, payload: &str) -> String {
        let parts = self.parts(header, payload);
        let signature = (self.sign)(&parts);
        format!("{parts}.{}", BASE64URL_NOPAD.encode(&signature))
    }

    fn good(&self) -> String {
        self.signed(&self.header(""), &self.claims.to_string())
    }

    fn with_claims(&self, changes: &[(&str, Value)]) -> String {
        let mut claims = self.claims.clone();
        for (name, value) in changes {
            let members = claims.as_object_mut().expect("an object");
            match value {
                Value::Null => drop(members.remove(*name)),
                value => drop(members.insert((*name).to_owned(), value.clone())),
            }
        }
        self.signed(&self.header(""), &claims.to_string())
    }

    /// Headers that must not be followed, well signed or not.
    fn headers(&self) -> Vec<(String, String)> {
        let payload = self.claims.to_string();
        let alg = self.algorithm;
        let kid = self.kid.as_ref().map(|kid| format!(r#","kid":"{kid}""#)).unwrap_or_default();
        let others =
            ["none", "None", "NONE", "nOnE", "", "HS384", "HS512", "RS256", "PS512", "ES256"];
        let mut tokens: Vec<(String, String)> = Vec::new();
        for other in others {
            let header = format!(r#"{{"alg":"{other}"{kid}}}"#);
            tokens.push((format!("alg {other:?}, unsigned"), self.parts(&header, &payload) + "."));
            tokens.push((format!("alg {other:?}, signed"), self.signed(&header, &payload)));
        }
        let unused = if alg == "ES512" { "HS256" } else { "ES512" };
        for (number, key) in self.public.iter().enumerate() {
            let header = format!(r#"{{"alg":"{unused}"{kid}}}"#);
            for header in [header, self.header("")] {
                let parts = self.parts(&header, &payload);
                let tag = hmac_sha256(key, parts.as_bytes());
                let token = format!("{parts}.{}", BASE64URL_NOPAD.encode(&tag));
                tokens.push((format!("signed with public bytes {number}"), token));
            }
        }
        for members in [
            r#","crit":["exp"]"#,
            r#","crit":[]"#,
            r#","b64":false"#,
            r#","alg":"none""#,
            r#","typ":"at+jwt""#,
            r#","typ":7"#,
        ] {
            let token = self.signed(&self.header(members), &payload);
            tokens.push((format!("header {members}"), token));
        }
        for header in ["{}", "[]", "null", "\"x\"", "", "{\"alg\":null}", "{\"alg\":"] {
            tokens.push((format!("header {header}"), self.signed(header, &payload)));
        }
        tokens
    }

    /// Key names that lead elsewhere, where tokens name keys.
    fn kids(&self) -> Vec<(String, String)> {
        let payload = self.claims.to_string();
        if self.kid.is_none() {
            return Vec::new();
        }
        let long = format!("\"{}\"", "k".repeat(10_000));
        [
            "\"\"",
            "null",
            "7",
            "[]",
            "\"../../../../dev/null\"",
            "\"/etc/passwd\"",
            "\"' or '1'='1\"",
            "\"x\\u0000\"",
            "\"%\"",
            "\"https://attacker.example/key\"",
            &long,
        ]
        .map(|kid| {
            let header = format!(r#"{{"alg":"{}","kid":{kid}}}"#, self.algorithm);
            (format!("kid {kid:.30}"), self.signed(&header, &payload))
        })
        .to_vec()
    }

    /// Keys that a token brings with it: signed by a stranger.
    fn carried(&self, stranger: &dyn Fn(&str) -> Vec<u8>) -> Vec<(String, String)> {
        let payload = self.claims.to_string();
        [
            "",
            r#","jku":"https://attacker.example/keys.json""#,
            r#","x5u":"https://attacker.example/chain.pem""#,
            r#","jwk":{"kty":"oct","k":"AAAA"}"#,
            r#","x5c":["MIIB"]"#,
        ]
        .map(|members| {
            let parts = self.parts(&self.header(members), &payload);
            let signature = BASE64URL_NOPAD.encode(&stranger(&parts));
            (format!("a stranger's, header {members}"), format!("{parts}.{signature}"))
        })
        .to_vec()
    }

    fn signatures(&self) -> Vec<(String, String)> {
        let good = self.good();
        let (parts, signature) = good.rsplit_once('.').expect("three parts");
        let bytes = BASE64URL_NOPAD.decode(signature.as_bytes()).expect("a signature");
        let mut flipped = bytes.clone();
        flipped[bytes.len() / 2] ^= 1;
        let (first, second) = bytes.split_at(bytes.len() / 2);
        let other = self.signed(&self.header(""), r#"{"exp":9999999999}"#);
        let other = other.rsplit_once('.').expect("three parts").1.to_owned();
        let with = |signature: &[u8]| format!("{parts}.{}", BASE64URL_NOPAD.encode(signature));
        [
            ("none", format!("{parts}.")),
            ("no third part", parts.to_owned()),
            ("zeros", with(&vec![0; bytes.len()])),
            ("ones", with(&vec![1; bytes.len()])),
            ("all bits", with(&vec![0xff; bytes.len()])),
            ("one bit changed", with(&flipped)),
            ("cut", with(&bytes[..bytes.len() - 1])),
            ("longer", with(&[&bytes[..], &[0]].concat())),
            ("twice", with(&[&bytes[..], &bytes].concat())),
            ("halves swapped", with(&[second, first].concat())),
            ("of another token", format!("{parts}.{other}")),
            ("padded", format!("{parts}.{signature}==")),
            ("a fourth part", format!("{good}.{signature}")),
            ("five parts", format!("{good}.a.b")),
            ("a blank inside", good.replacen('.', ". ", 1)),
            ("a line inside", good.replacen('.', ".%0A", 1)),
        ]
        .map(|(name, token)| (format!("signature: {name}"), token))
        .to_vec()
    }

    fn payloads(&self) -> Vec<(String, String)> {
        let claims = self.claims.to_string();
        let inner = &claims[1..];
        let mut tokens: Vec<(String, String)> = [
            ("exp", json!(NOW)),
            ("exp", json!(NOW - 1)),
            ("exp", json!(0)),
            ("exp", json!(-1)),
            ("exp", json!("9999999999")),
            ("exp", json!(9_999_999_999.5)),
            ("exp", json!(1e300)),
            ("exp", json!([9_999_999_999_i64])),
            ("exp", Value::Null),
            ("nbf", json!(NOW + 3_600)),
            ("nbf", json!("0")),
            ("nbf", json!(9_007_199_254_740_993_i64)),
            ("aud", json!("https://api.other.example")),
            ("aud", json!(["requite", "other"])),
        ]
        .map(|change| (format!("claim {change:?}"), self.with_claims(&[change])))
        .to_vec();
        for payload in [
            "null".to_owned(),
            "[]".to_owned(),
            "{}".to_owned(),
            String::new(),
            claims[..claims.len() - 1].to_owned(),
            format!("{claims}{claims}"),
            format!(r#"{{"exp":{NOW},{inner}"#),
            format!(r#"{{"exp":9999999999,{inner}"#),
            format!(r#"{{"big":"{}",{inner}"#, "x".repeat(1 << 20)),
        ] {
            let token = self.signed(&self.header(""), &payload);
            tokens.push((format!("payload {payload:.40}"), token));
        }
        tokens
    }

    fn forgeries(&self, stranger: &dyn Fn(&str) -> Vec<u8>) -> Vec<Forgery> {
        let tokens = [
            self.headers(),
            self.kids(),
            self.carried(stranger),
            self.signatures(),
            self.payloads(),
        ];
        tokens
            .concat()
            .into_iter()
            .map(|(name, token)| (name, vec![("authorization", format!("Bearer {token}"))]))
            .collect()
    }
}

fn hmac_sha256(key: &[u8], text: &[u8]) -> Vec<u8> {
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, key);
    aws_lc_rs::hmac::sign(&key, text).as_ref().to_vec()
}

/// The path and the body that refund all that a payment has left.
fn refund_of_all(face: &str, payment: u128) -> (String, String) {
    let body = match face {
        "medusa-v1" => r#"{"amount":10000,"reason":"other"}"#.to_owned(),
        "mpg" => r#"{"amount":10000}"#.to_owned(),
        "loop" => format!(r#"{{"payment_id":"{}"}}"#, prefixed_text("pay_", payment)),
        _ => "{}".to_owned(),
    };
    (refund_path(face, payment), body)
}

impl House {
    /// Somebody of the shop's who may log in to the Medusa faces.
    pub(super) fn person(&self, email: &str) -> PersonId {
        let hash = password::hash(&Secret::new("secret".to_owned()), &[1; 16]);
        let person = PersonView {
            id: PersonId::new(self.draw()),
            merchant: SHOP,
            email: email.to_owned(),
            password_hash: hash.expect("a short password"),
            created_at_ms: START_MS,
            updated_at_ms: START_MS,
        };
        self.registry.create_person(&person).expect("no such person yet");
        person.id
    }

    async fn try_in(&self, face: &str, payment: PaymentId, with: &[(&str, String)]) -> Answer {
        let (path, body) = refund_of_all(face, payment.bits());
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(with.iter().map(|(name, value)| (*name, value.as_str())));
        self.exchange("POST", &path, &headers, body).await
    }

    /// Shows every forgery, then what is good.
    async fn holds_against(
        &self,
        face: &'static str,
        forgeries: Vec<Forgery>,
        good: &[(&'static str, String)],
    ) -> usize {
        let payment = self.register(|new| new.connector = "manual".to_owned()).await;
        let count = forgeries.len();
        assert!(count >= FORGERIES_MIN, "{face}: only {count} forgeries");
        for (name, headers) in forgeries {
            // What no client can send, no client gets in with.
            let is_header = |(_, value): &(&str, String)| {
                axum::http::HeaderValue::from_bytes(value.as_bytes()).is_ok()
            };
            if !headers.iter().all(is_header) {
                continue;
            }
            let answer = self.try_in(face, payment, &headers).await;
            let told = format!("{face}, {name}: {}", answer.told());
            assert_eq!(answer.status, 401, "{told}");
            assert!(answer.text.len() < 500 && !answer.text.contains("eyJ"), "{told}");
        }
        let answer = self.try_in(face, payment, good).await;
        assert!((200..300).contains(&answer.status), "{face}: {}", answer.told());
        count
    }
}

#[tokio::test]
async fn a_plain_token_that_is_not_the_token_opens_no_face() {
    let house = House::open();
    let mut count = 0;
    for face in ["medusa-v1", "medusa-v2", "mpg", "loop", "native"] {
        // No character of it can be changed into another key.
        let token = HEXLOWER.encode(&lookup_hash(&house.draw().to_string()));
        let kept = if face == "medusa-v2" { format!("sk_{token}") } else { token.clone() };
        house.key(SHOP, face, &kept, None);
        let mut forgeries = of_token(&token, &|text| shown(face, text));
        forgeries.extend(of_header(&kept).into_iter().filter(|(_, headers)| {
            // There a key is the password-less user of Basic, and plain text beside it.
            face != "medusa-v2" || headers.iter().all(|(_, value)| !value.starts_with("Basic"))
        }));
        for elsewhere in ["medusa-v1", "medusa-v2", "mpg", "loop", "native"] {
            if elsewhere != face {
                let (_, value) = house.credential(OTHER_SHOP, elsewhere, None);
                let foreign = value.split(' ').next_back().expect("a token").to_owned();
                forgeries.push((format!("a key of {elsewhere}"), vec![shown(face, &foreign)]));
            }
        }
        count += house.holds_against(face, forgeries, &[shown(face, &token)]).await;
    }
    println!("{count} forged keys, 0 accepted");
}

#[tokio::test]
async fn a_forged_signed_token_opens_no_face() {
    let house = House::open();
    let (key, stranger) = (PrivateKey::generate(), PrivateKey::generate());
    let public = key.public();
    house.key_with(SHOP, "gr4vy", None, |new| {
        new.lookups.push(lookup_hash(&public.thumbprints().padded));
        new.public_key = Some(public.point().to_vec());
    });
    let sign = |parts: &str| key.sign(parts.as_bytes()).to_vec();
    let gr4vy = Jwt {
        algorithm: "ES512",
        kid: Some(public.thumbprints().padded),
        claims: json!({"iss": "a shop", "nbf": NOW, "exp": NOW + 60, "scopes": ["*.read", "*.write"]}),
        sign: &sign,
        public: vec![
            public.to_pem().into_bytes(),
            public.to_pem().trim().as_bytes().to_vec(),
            public.point().to_vec(),
            public.thumbprints().padded.into_bytes(),
            Vec::new(),
        ],
    };
    let by_stranger = |parts: &str| stranger.sign(parts.as_bytes()).to_vec();
    let mut forgeries = gr4vy.forgeries(&by_stranger);
    forgeries.extend(of_header(&gr4vy.good()));
    forgeries
        .push(("twice".to_owned(), vec![("authorization", format!("Bearer {}", gr4vy.good())); 2]));
    let good = [("authorization", format!("Bearer {}", gr4vy.good()))];
    let mut count = house.holds_against("gr4vy", forgeries, &good).await;

    let person = house.person("a@shop.test");
    let merchant = uuid_text(SHOP.bits());
    let times = json!({"iat": NOW, "exp": NOW + 60});
    let v1 = json!({"user_id": prefixed_text("usr_", person.bits()), "domain": "admin",
        "merchant_id": merchant});
    let v2 = json!({"actor_id": prefixed_text("user_", person.bits()), "actor_type": "user",
        "merchant_id": merchant});
    let ours = |parts: &str| hmac_sha256(&login_secret(), parts.as_bytes());
    let theirs = |parts: &str| hmac_sha256(&[8; 32], parts.as_bytes());
    for (face, says, other) in [("medusa-v1", &v1, &v2), ("medusa-v2", &v2, &v1)] {
        let with = |says: &Value| {
            let mut claims = says.clone();
            claims["iat"] = times["iat"].clone();
            claims["exp"] = times["exp"].clone();
            claims
        };
        let public = vec![Vec::new(), merchant.clone().into_bytes(), b"supersecret".to_vec()];
        let (claims, kid) = (with(says), None);
        let jwt = Jwt { algorithm: "HS256", kid, claims, sign: &ours, public };
        let mut forgeries = jwt.forgeries(&theirs);
        let mut says_wrong = vec![with(other)];
        for (name, value) in says.as_object().expect("an object") {
            for wrong in [Value::Null, json!(""), json!(7), json!([value]), json!("usr_1")] {
                let mut claims = with(says);
                claims[name] = wrong;
                says_wrong.push(claims);
            }
        }
        let nobody = prefixed_text("usr_", PersonId::new(9).bits());
        says_wrong
            .push(with(&json!({"user_id": nobody, "domain": "admin", "merchant_id": merchant})));
        for claims in says_wrong {
            let token = jwt.signed(&jwt.header(""), &claims.to_string());
            let headers = vec![("authorization", format!("Bearer {token}"))];
            forgeries.push((format!("it says {claims}"), headers));
        }
        let good = [("authorization", format!("Bearer {}", jwt.good()))];
        count += house.holds_against(face, forgeries, &good).await;
    }
    println!("{count} forged tokens, 0 accepted");
}
