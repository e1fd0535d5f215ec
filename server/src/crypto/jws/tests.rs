//! Recorded tokens are judged as recorded, and times and claims are read exactly. What an attacker
//! would try is in [`forgery`].

mod forgery;

use serde_json::json;

use super::p521::{PrivateKey, PublicKey};
use super::*;

/// A moment in which the recorded tokens are valid and the recorded expired one is not.
const NOW: i64 = 1_795_290_000;

const HS256_SECRET: &[u8] = b"a login secret of 36 bytes for tests";

fn at(now_seconds: i64) -> Moment {
    Moment { now_seconds, skew_seconds: SKEW_SECONDS }
}

/// What the Gr4vy face does, with a store that knows one key.
/// Once with the key alone, twice where signatures that hold are remembered: all the same.
fn judge(token: &str, known: &PublicKey, moment: Moment) -> Result<Claims, Fault> {
    let unverified = parse(token, Algorithm::Es512)?;
    let (kid, names) = (unverified.kid()?, known.thumbprints());
    if kid != names.padded && kid != names.unpadded {
        return Err(Fault::UnknownKey);
    }
    let judged = unverified.verify(VerifyingKey::Es512(known), moment);
    let signatures = Signatures::default();
    for _ in 0..2 {
        let key = VerifyingKey::Known(known, &signatures);
        assert_eq!(unverified.verify(key, moment), judged);
    }
    judged
}

/// What the Medusa faces do.
fn judge_login(token: &str, moment: Moment) -> Result<Claims, Fault> {
    let key = Hs256Key::new(HS256_SECRET).expect("long enough");
    parse(token, Algorithm::Hs256)?.verify(VerifyingKey::Hs256(&key), moment)
}

fn encode(text: &str) -> String {
    BASE64URL_NOPAD.encode(text.as_bytes())
}

fn claims() -> Map<String, Value> {
    let claims = json!({
        "iss": "a shop", "nbf": NOW, "exp": NOW + 30, "iat": NOW,
        "jti": "00000000-0000-4000-8000-000000000001", "scopes": ["*.read", "*.write"],
    });
    claims.as_object().expect("an object").clone()
}

fn payload() -> String {
    serde_json::to_string(&claims()).expect("claims are JSON")
}

/// A key whose holder signs whatever we ask.
struct Signer {
    key: PrivateKey,
    kid: String,
}

impl Signer {
    fn new() -> Signer {
        let key = PrivateKey::generate();
        let kid = key.public().thumbprints().padded;
        Signer { key, kid }
    }

    fn header(&self) -> String {
        format!(r#"{{"alg":"ES512","kid":"{}","typ":"JWT"}}"#, self.kid)
    }

    /// Signs two parts as they stand.
    fn sign_parts(&self, header: &str, payload: &str) -> String {
        let signed = format!("{header}.{payload}");
        let signature = self.key.sign(signed.as_bytes());
        format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature))
    }

    fn sign(&self, header: &str, payload: &str) -> String {
        self.sign_parts(&encode(header), &encode(payload))
    }

    /// A token that is right but for these members of the header, written behind the usual ones.
    fn with_header(&self, members: &str) -> String {
        let kid = &self.kid;
        let header = format!(r#"{{"alg":"ES512","kid":"{kid}","typ":"JWT",{members}}}"#);
        self.sign(&header, &payload())
    }

    fn with_claim(&self, name: &str, value: Value) -> String {
        let mut claims = claims();
        claims.insert(name.to_owned(), value);
        sign_es512(&claims, &self.key)
    }

    fn without_claim(&self, name: &str) -> String {
        let mut claims = claims();
        claims.remove(name);
        sign_es512(&claims, &self.key)
    }

    fn good(&self) -> String {
        sign_es512(&claims(), &self.key)
    }

    fn judge(&self, token: &str) -> Result<Claims, Fault> {
        judge(token, &self.key.public(), at(NOW))
    }

    /// Every row is stopped by this check, and without its change it would not be stopped.
    fn refuses<'a>(&self, fault: Fault, rows: impl IntoIterator<Item = (&'a str, String)>) {
        assert!(self.judge(&self.good()).is_ok());
        for (name, token) in rows {
            assert_eq!(self.judge(&token), Err(fault), "{name}");
        }
    }
}

#[test]
fn recorded_tokens_are_judged_as_recorded() {
    let (mut accepted, mut refused) = (0, 0);
    for line in include_str!("../testdata/es512_tokens.jsonl").lines() {
        let line: Value = serde_json::from_str(line).expect("each line is JSON");
        let text = |name: &str| line[name].as_str().expect("a string");
        let key = PublicKey::from_pem(text("spki_pem")).expect("a P-521 key");
        let verdict = judge(text("token"), &key, at(NOW));
        let expected = match text("name") {
            "no_kid" => Some(Fault::UnknownKey),
            "alg_none" => Some(Fault::Algorithm),
            "bad_signature" => Some(Fault::Signature),
            "py_expired" => Some(Fault::Expired),
            "no_exp" => Some(Fault::Times),
            _ => None,
        };
        assert_eq!(verdict.as_ref().err().copied(), expected, "{}", text("id"));
        // Null: the original is not known to do either.
        let may = |verdict: bool| line["accept"].is_null() || line["accept"] == verdict;
        assert!(may(verdict.is_ok()), "{}", text("id"));
        match verdict {
            Ok(claims) => {
                accepted += 1;
                let scopes = claims.texts("scopes").map(Value::from).unwrap_or_default();
                assert_eq!(scopes, line["scopes"], "{}", text("id"));
            }
            Err(_) => refused += 1,
        }
    }
    assert_eq!((accepted, refused), (12, 8));
}

#[test]
fn a_key_works_with_its_own_algorithm_only() {
    let signer = Signer::new();
    let login = Hs256Key::new(HS256_SECRET).expect("long enough");
    let (token, public) = (signer.good(), signer.key.public());
    let verdict = parse(&token, Algorithm::Es512)
        .and_then(|token| token.verify(VerifyingKey::Hs256(&login), at(NOW)));
    assert_eq!(verdict, Err(Fault::Algorithm));
    let token = sign_hs256(&claims(), &login);
    let verdict = parse(&token, Algorithm::Hs256)
        .and_then(|token| token.verify(VerifyingKey::Es512(&public), at(NOW)));
    assert_eq!(verdict, Err(Fault::Algorithm));
}

#[test]
fn times_are_whole_seconds() {
    let signer = Signer::new();
    let mut rows = vec![("no exp", signer.without_claim("exp"))];
    let values = [
        "null",
        "true",
        "\"4000000000\"",
        "\"\"",
        "[4000000000]",
        "{}",
        "4000000000.0",
        "4000000000.5",
        "4e9",
        "-1",
        "-4000000000",
        "-0.0",
        "253402300800",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "1e300",
        "99999999999999999999999999999999",
    ];
    for name in ["exp", "nbf", "iat"] {
        for value in values {
            let spelt: String = match name {
                "exp" => format!(r#"{{"nbf":1,"iat":1,"exp":{value}}}"#),
                "nbf" => format!(r#"{{"nbf":{value},"iat":1,"exp":4000000000}}"#),
                _ => format!(r#"{{"nbf":1,"iat":{value},"exp":4000000000}}"#),
            };
            rows.push((value, signer.sign(&signer.header(), &spelt)));
        }
    }
    signer.refuses(Fault::Times, rows);
    for claims in [
        r#"{"nbf":1e400,"exp":4000000000}"#,
        r#"{"nbf":0x1,"exp":4000000000}"#,
        r#"{"nbf":01,"exp":4000000000}"#,
        r#"{"nbf":NaN,"exp":4000000000}"#,
        r#"{"nbf":1,"exp":Infinity}"#,
        r#"{"nbf":1,"exp":+4000000000}"#,
    ] {
        let token = signer.sign(&signer.header(), claims);
        assert_eq!(signer.judge(&token), Err(Fault::Malformed), "{claims}");
    }
}

#[test]
fn a_token_is_valid_from_nbf_less_the_skew_until_just_before_exp() {
    let signer = Signer::new();
    let (known, token) = (signer.key.public(), signer.good());
    for (now, expected) in [
        (NOW - SKEW_SECONDS - 1, Some(Fault::NotYet)),
        (NOW - SKEW_SECONDS, None),
        (NOW, None),
        (NOW + 29, None),
        (NOW + 30, Some(Fault::Expired)),
        (NOW + 31, Some(Fault::Expired)),
        (0, Some(Fault::NotYet)),
        (i64::MIN, Some(Fault::NotYet)),
        (i64::MAX, Some(Fault::Expired)),
    ] {
        assert_eq!(judge(&token, &known, at(now)).err(), expected, "{now}");
    }
    let strict = Moment { now_seconds: NOW - 1, skew_seconds: 0 };
    assert_eq!(judge(&token, &known, strict).err(), Some(Fault::NotYet));

    let aud = |aud: Value| signer.with_claim("aud", aud);
    let rows = [("one", aud("another.example".into())), ("two", aud(json!(["a", "b"])))];
    signer.refuses(Fault::Audience, rows);
    signer.refuses(Fault::Audience, [("null", aud(Value::Null))]);
    let rows = [
        ("nbf far ahead", signer.with_claim("nbf", (NOW + 3600).into())),
        ("nbf in milliseconds", signer.with_claim("nbf", (NOW * 100).into())),
    ];
    signer.refuses(Fault::NotYet, rows);
    let rows = [
        ("exp is now", signer.with_claim("exp", NOW.into())),
        ("exp is 0", signer.with_claim("exp", 0.into())),
        ("exp in minutes", signer.with_claim("exp", (NOW / 60).into())),
    ];
    signer.refuses(Fault::Expired, rows);
    // `iat` says when, not whether; Medusa's logins have no `nbf`.
    for token in [
        signer.with_claim("iat", (NOW + 3600).into()),
        signer.without_claim("iat"),
        signer.without_claim("nbf"),
    ] {
        assert!(signer.judge(&token).is_ok());
    }
}

#[test]
fn claims_are_read_as_they_were_written() {
    let signer = Signer::new();
    let claims = signer.judge(&signer.good()).expect("a good token");
    assert_eq!(claims.expires_at_seconds(), NOW + 30);
    assert_eq!(claims.not_before_seconds(), Some(NOW));
    assert_eq!(claims.issued_at_seconds(), Some(NOW));
    assert_eq!(claims.text("iss"), Some("a shop"));
    assert_eq!(claims.text("sub"), None);
    assert_eq!(claims.text("exp"), None);
    assert_eq!(claims.texts("scopes"), Some(vec!["*.read", "*.write"]));
    assert_eq!(claims.texts("iss"), None);
    for (scopes, expected) in [
        (json!([]), Some(vec![])),
        (json!(["a", 1]), None),
        (json!("*.write"), None),
        (Value::Null, None),
    ] {
        let claims = signer.judge(&signer.with_claim("scopes", scopes)).expect("a good token");
        assert_eq!(claims.texts("scopes"), expected);
    }
    let claims = signer.judge(&signer.with_claim("iss", "".into())).expect("a good token");
    assert_eq!(claims.text("iss"), None);
}

#[test]
fn an_older_go_client_may_name_its_key_by_unpadded_coordinates() {
    let signer = Signer::new();
    let unpadded = signer.key.public().thumbprints().unpadded;
    let header = format!(r#"{{"alg":"ES512","kid":"{unpadded}","typ":"JWT"}}"#);
    assert!(signer.judge(&signer.sign(&header, &payload())).is_ok());
}

/// The example of RFC 7515, appendix A.1. Its header has a line break inside and its claims expire
/// in 2011.
#[test]
fn an_hs256_token_of_the_rfc_is_read() {
    let token = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9\
        .eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ\
        .dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let secret = BASE64URL_NOPAD
        .decode(
            b"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75\
              aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
        )
        .expect("base64url");
    let key = Hs256Key::new(&secret).expect("64 bytes");
    let unverified = parse(token, Algorithm::Hs256).expect("good form");
    let verdict = |now| unverified.verify(VerifyingKey::Hs256(&key), at(now));
    assert_eq!(verdict(1_300_819_379).expect("valid").text("iss"), Some("joe"));
    assert_eq!(verdict(1_300_819_380), Err(Fault::Expired));
}

#[test]
fn login_tokens_are_ours_or_nothing() {
    let key = Hs256Key::new(HS256_SECRET).expect("long enough");
    let token = sign_hs256(&claims(), &key);
    assert!(token.starts_with("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9."));
    let claims_read = judge_login(&token, at(NOW)).expect("a good token");
    assert_eq!(claims_read.text("iss"), Some("a shop"));

    let (signed, tag) = token.rsplit_once('.').expect("three parts");
    let other_key = Hs256Key::new(b"another secret of more than 32 bytes").expect("long enough");
    let header = |text: &str| format!("{}.{}", encode(text), encode(&payload()));
    let sign = |signed: String| {
        let tag = hmac::sign(&key.0, signed.as_bytes());
        format!("{signed}.{}", BASE64URL_NOPAD.encode(tag.as_ref()))
    };
    let none = header(r#"{"alg":"none","typ":"JWT"}"#);
    let mut expired = claims();
    expired.insert("exp".to_owned(), (NOW - 1).into());
    let mut immortal = claims();
    immortal.remove("exp");
    for (name, token, expected) in [
        ("none", format!("{none}."), Fault::Algorithm),
        ("none with a good tag", sign(none), Fault::Algorithm),
        ("HS512", sign(header(r#"{"alg":"HS512"}"#)), Fault::Algorithm),
        ("ES512", Signer::new().good(), Fault::Algorithm),
        ("no tag", format!("{signed}."), Fault::Signature),
        ("half a tag", format!("{signed}.{}", &tag[..20]), Fault::Signature),
        ("zeros", format!("{signed}.{}", BASE64URL_NOPAD.encode(&[0; 32])), Fault::Signature),
        ("another secret", sign_hs256(&claims(), &other_key), Fault::Signature),
        (
            "another payload",
            format!("{}.{tag}", header(r#"{"alg":"HS256","typ":"JWT","a":1}"#)),
            Fault::Signature,
        ),
        ("expired", sign_hs256(&expired, &key), Fault::Expired),
        ("no exp", sign_hs256(&immortal, &key), Fault::Times),
    ] {
        assert_eq!(judge_login(&token, at(NOW)), Err(expected), "{name}");
    }
}

#[test]
fn a_short_login_secret_is_refused() {
    assert!(Hs256Key::new(b"supersecret").is_none());
    assert!(Hs256Key::new(&[7; HS256_SECRET_BYTES_MIN - 1]).is_none());
    assert!(Hs256Key::new(&[7; HS256_SECRET_BYTES_MIN]).is_some());
    let key = Hs256Key::new(HS256_SECRET).expect("long enough");
    assert_eq!(format!("{key:?}"), "Hs256Key(hidden)");
}
