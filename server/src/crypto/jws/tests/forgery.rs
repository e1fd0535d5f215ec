//! Tokens that somebody would like us to accept. Each row is a near miss: a token that is right but
//! for the one thing its name tells, and the check that stops it.

use data_encoding::{BASE64_NOPAD, HEXUPPER};
use serde_json::json;

use super::*;

#[test]
fn algorithms_cannot_be_swapped() {
    let signer = Signer::new();
    let (kid, public) = (&signer.kid, signer.key.public());
    let header = |alg: &str| format!(r#"{{"alg":{alg},"kid":"{kid}","typ":"JWT"}}"#);
    let hs256_with = |secret: &[u8]| {
        let signed = format!("{}.{}", encode(&header(r#""HS256""#)), encode(&payload()));
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), signed.as_bytes());
        format!("{signed}.{}", BASE64URL_NOPAD.encode(tag.as_ref()))
    };
    let unsigned = |alg: &str| format!("{}.{}.", encode(&header(alg)), encode(&payload()));
    let signed = |alg: &str| signer.sign(&header(alg), &payload());
    let (pem, point) = (public.to_pem(), public.point());
    let rows = [
        ("none", unsigned(r#""none""#)),
        ("None", unsigned(r#""None""#)),
        ("NONE", unsigned(r#""NONE""#)),
        ("none, with a good signature", signed(r#""none""#)),
        ("HS256 with the PEM", hs256_with(pem.as_bytes())),
        ("HS256 with the trimmed PEM", hs256_with(pem.trim().as_bytes())),
        ("HS256 with the point", hs256_with(point)),
        ("HS256 with nothing", hs256_with(b"")),
        ("HS512", signed(r#""HS512""#)),
        ("RS512", signed(r#""RS512""#)),
        ("PS512", signed(r#""PS512""#)),
        ("ES256", signed(r#""ES256""#)),
        ("ES384", signed(r#""ES384""#)),
        ("empty", signed(r#""""#)),
        ("lower case", signed(r#""es512""#)),
        ("blank behind", signed(r#""ES512 ""#)),
        ("NUL behind", signed(r#""ES512\u0000""#)),
    ];
    signer.refuses(Fault::Algorithm, rows);
    let rows = [
        ("null", signed("null")),
        ("number", signed("512")),
        ("array", signed(r#"["ES512"]"#)),
        ("object", signed(r#"{"ES512":true}"#)),
        ("missing", signer.sign(&format!(r#"{{"kid":"{kid}"}}"#), &payload())),
        ("ALG", signer.sign(&format!(r#"{{"ALG":"ES512","kid":"{kid}"}}"#), &payload())),
    ];
    signer.refuses(Fault::Malformed, rows);
    // An escaped spelling is the same string, and no other algorithm.
    assert!(signer.judge(&signed(r#""\u0045S512""#)).is_ok());
}

#[test]
fn signatures_cannot_be_made_up() {
    let signer = Signer::new();
    let good = signer.good();
    let (signed, signature) = good.rsplit_once('.').expect("three parts");
    let (header, _) = signed.split_once('.').expect("two parts");
    let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).expect("base64url");
    let (r, s) = signature.split_at(66);
    // The order of the curve's group (SEC 2, section 2.9.1).
    let order = "01FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFA\
                 51868783BF2F966B7FCC0148F709A5D03BB5C9B8899C47AEBB6FB71E91386409";
    let order = HEXUPPER.decode(order.as_bytes()).expect("hex");
    let (zero, mut one) = ([0; 66], [0; 66]);
    one[65] = 1;
    let mut flipped = signature.clone();
    flipped[40] ^= 0x10;
    // Two INTEGERs in a SEQUENCE, as openssl writes signatures.
    let integer = |number: &[u8]| [&[0x02, 67, 0x00][..], number].concat();
    let der = [&[0x30, 0x81, 138][..], &integer(r), &integer(s)].concat();
    let stranger = Signer { kid: signer.kid.clone(), key: PrivateKey::generate() };
    let other = encode(&payload().replace("a shop", "a thief"));

    let with = |signature: &[u8]| format!("{signed}.{}", BASE64URL_NOPAD.encode(signature));
    let both = |r: &[u8], s: &[u8]| with(&[r, s].concat());
    assert_eq!(both(r, s), good);
    let rows = [
        ("empty", with(&[])),
        ("all zeros", both(&zero, &zero)),
        ("r is 0", both(&zero, s)),
        ("s is 0", both(r, &zero)),
        ("r and s are 1", both(&one, &one)),
        ("r is the order", both(&order, s)),
        ("s is the order", both(r, &order)),
        ("both are the order", both(&order, &order)),
        ("all ones", with(&[0xff; 132])),
        ("r and s swapped", both(s, r)),
        ("one bit flipped", with(&flipped)),
        ("131 bytes", with(&signature[..131])),
        ("r only", with(r)),
        ("133 bytes", with(&[&signature[..], &[0]].concat())),
        ("zeros before r and s", with(&[&[0], r, &[0], s].concat())),
        ("DER", with(&der)),
        ("64 bytes, as on P-256", both(&r[..32], &s[..32])),
        ("96 bytes, as on P-384", both(&r[..48], &s[..48])),
        ("another key's", stranger.sign(&signer.header(), &payload())),
        ("for another payload", format!("{header}.{other}.{}", BASE64URL_NOPAD.encode(&signature))),
        ("of the payload alone", with(&signer.key.sign(payload().as_bytes()))),
        ("of nothing", with(&signer.key.sign(b""))),
        ("the payload again", format!("{signed}.{}", encode(&payload()))),
    ];
    signer.refuses(Fault::Signature, rows);
}

#[test]
fn a_header_cannot_choose_its_key() {
    let (signer, thief) = (Signer::new(), Signer::new());
    let point = *thief.key.public().point();
    let coordinate = |range| BASE64URL_NOPAD.encode(&point[range]);
    let (x, y) = (coordinate(1..67), coordinate(67..133));
    let jwk = json!({"kty": "EC", "crv": "P-521", "x": x, "y": y});
    // The thief signs; the header names our key, and tells where to find the thief's.
    let by_thief = |members: &str| {
        let header = format!(r#"{{"alg":"ES512","kid":"{}",{members}}}"#, signer.kid);
        thief.sign(&header, &payload())
    };
    let rows = [
        ("jwk", by_thief(&format!(r#""jwk":{jwk}"#))),
        ("jku", by_thief(r#""jku":"https://thief.example/jwks.json""#)),
        ("jku to a file", by_thief(r#""jku":"file:///etc/passwd""#)),
        ("x5u", by_thief(r#""x5u":"http://169.254.169.254/""#)),
        ("x5c", by_thief(r#""x5c":["MIIB"]"#)),
    ];
    signer.refuses(Fault::Signature, rows);

    let kid = &signer.kid;
    let with_kid = |kid: &str| {
        signer.sign(&format!(r#"{{"alg":"ES512","kid":{kid},"typ":"JWT"}}"#), &payload())
    };
    let rows = [
        ("the thief's own key", thief.good()),
        ("no kid", signer.sign(r#"{"alg":"ES512","typ":"JWT"}"#, &payload())),
        ("empty", with_kid(r#""""#)),
        ("a path", with_kid(r#""../../../../dev/null""#)),
        ("a pipe", with_kid(r#""|/bin/true""#)),
        ("SQL", with_kid(r#""x' union select point from gr4vy_key --""#)),
        ("a pattern", with_kid(r#""%""#)),
        ("in capitals", with_kid(&format!(r#""{}""#, kid.to_uppercase()))),
        ("with NUL", with_kid(&format!(r#""{kid}\u0000""#))),
        ("with a blank", with_kid(&format!(r#""{kid} ""#))),
    ];
    signer.refuses(Fault::UnknownKey, rows);
    let rows = [
        ("null", with_kid("null")),
        ("a number", with_kid("1")),
        ("an array", with_kid(&format!(r#"["{kid}"]"#))),
        ("long", with_kid(&format!(r#""{}""#, "a".repeat(KID_BYTES_MAX + 1)))),
    ];
    signer.refuses(Fault::Malformed, rows);
    // Ignored means ignored: our own key with such a header is still our own key.
    assert!(signer.judge(&signer.with_header(r#""jku":"https://thief.example/""#)).is_ok());
}

#[test]
fn a_header_cannot_change_the_rules() {
    let signer = Signer::new();
    let rows = [
        ("crit", signer.with_header(r#""crit":["exp"]"#)),
        ("crit is empty", signer.with_header(r#""crit":[]"#)),
        ("crit is null", signer.with_header(r#""crit":null"#)),
        ("crit with b64", signer.with_header(r#""crit":["b64"],"b64":false"#)),
        ("b64 without crit", signer.with_header(r#""b64":false"#)),
    ];
    signer.refuses(Fault::Extension, rows);
    let typ = |typ: &str| signer.sign(&signer.header().replace(r#""JWT""#, typ), &payload());
    let rows = [
        ("alg twice", signer.with_header(r#""alg":"none""#)),
        ("the same alg twice", signer.with_header(r#""alg":"ES512""#)),
        ("alg twice, escaped", signer.with_header(r#""\u0061lg":"none""#)),
        ("kid twice", signer.with_header(r#""kid":"x""#)),
        ("twice inside", signer.with_header(r#""x":[{"y":{"z":1,"z":2}}]"#)),
        ("typ is JWE", typ(r#""JWE""#)),
        ("typ is a number", typ("1")),
        ("typ is null", typ("null")),
    ];
    signer.refuses(Fault::Malformed, rows);
    assert!(signer.judge(&typ(r#""jwt""#)).is_ok());
}

#[test]
fn the_form_is_exact() {
    let signer = Signer::new();
    let good = signer.good();
    let parts: Vec<&str> = good.split('.').collect();
    let [header, payload, signature] = parts[..] else { panic!("three parts") };
    let rows = [
        ("empty", String::new()),
        ("one dot", ".".to_owned()),
        ("two dots", "..".to_owned()),
        ("one part", header.to_owned()),
        ("two parts", format!("{header}.{payload}")),
        ("four parts", format!("{good}.{signature}")),
        ("five parts", format!("{header}.{payload}.{signature}.{payload}.{signature}")),
        ("dot before", format!(".{good}")),
        ("dot behind", format!("{good}.")),
        ("two dots between", format!("{header}..{payload}.{signature}")),
        ("blank before", format!(" {good}")),
        ("line feed behind", format!("{good}\n")),
        ("blank inside", format!("{header}. {payload}.{signature}")),
        ("line feed inside", format!("{}\n{}", &good[..40], &good[40..])),
        ("NUL behind", format!("{good}\0")),
        ("scheme before", format!("Bearer {good}")),
        ("in quotes", format!("\"{good}\"")),
        ("comma and a second", format!("{good},{good}")),
        ("padding behind", format!("{good}=")),
        ("not ASCII", format!("{good}é")),
        (
            "JSON",
            json!({"protected": header, "payload": payload, "signature": signature}).to_string(),
        ),
    ];
    signer.refuses(Fault::Malformed, rows);
}

/// The holder of the key signed these as they stand, and still they are nothing to rely on.
#[test]
fn encodings_are_exact() {
    let signer = Signer::new();
    let (header, claims) = (encode(&signer.header()), encode(&payload()));
    let padded = |text: &str| text.to_owned() + &"=".repeat((4 - text.len() % 4) % 4);
    // Blanks behind until the last character has spare bits, which are then set.
    let blanks = (0..3).map(|count| signer.header() + &" ".repeat(count));
    let spare = blanks.map(|text| encode(&text)).find(|text| text.len() % 4 != 0);
    let spare = spare.expect("one length in three has none");
    let last = spare.bytes().next_back().expect("not empty");
    let spare_set = spare[..spare.len() - 1].to_owned() + &char::from(last + 1).to_string();
    let standard =
        BASE64_NOPAD.encode("{\"alg\":\"ES512\",\"typ\":\"\u{3f}\u{3f}\u{3e}\"}".as_bytes());
    assert!(standard.contains(['+', '/']), "{standard}");
    let not_utf8 = BASE64URL_NOPAD.encode(b"{\"alg\":\"ES512\",\"x\":\"\xff\"}");
    assert!(signer.judge(&signer.sign_parts(&spare, &claims)).is_ok());
    let rows = [
        ("padded header", signer.sign_parts(&padded(&spare), &claims)),
        ("padded claims", signer.sign_parts(&header, &format!("{claims}="))),
        ("spare bits set", signer.sign_parts(&spare_set, &claims)),
        ("standard alphabet", signer.sign_parts(&standard, &claims)),
        ("percent escapes", signer.sign_parts(&header.replacen('e', "%65", 1), &claims)),
        ("line feed in the header", signer.sign_parts(&format!("{header}\n"), &claims)),
        ("blank in the claims", signer.sign_parts(&header, &format!(" {claims}"))),
        ("not ASCII", signer.sign_parts(&header, &format!("{claims}é"))),
        ("not UTF-8", signer.sign_parts(&not_utf8, &claims)),
    ];
    signer.refuses(Fault::Malformed, rows);
}

#[test]
fn header_and_claims_are_one_json_object_each() {
    let signer = Signer::new();
    let (header, claims) = (signer.header(), payload());
    let of_header = |header: &str| signer.sign(header, &claims);
    let of_claims = |claims: &str| signer.sign(&header, claims);
    let first = |member: &str| of_claims(&claims.replacen('{', &format!("{{{member},"), 1));
    let deep = format!(r#""x":{}{}"#, "[".repeat(500), "]".repeat(500));
    let rows = [
        ("header is an array", of_header(r#"["ES512"]"#)),
        ("header is a string", of_header(r#""ES512""#)),
        ("header is null", of_header("null")),
        ("header is empty", of_header("")),
        ("header and more", of_header(&(header.clone() + "{}"))),
        ("header with a comment", of_header(&(header.clone() + "//"))),
        ("header with a BOM", of_header(&format!("\u{feff}{header}"))),
        ("header is deep", signer.with_header(&deep)),
        ("a lone surrogate", signer.with_header(r#""x":"\ud800""#)),
        ("claims are an array", of_claims("[]")),
        ("claims are null", of_claims("null")),
        ("claims are empty", of_claims("")),
        ("claims and more", of_claims(&(claims.clone() + "{}"))),
        ("claims are a token", of_claims(&signer.good())),
        ("claims with a comma", of_claims(&claims.replace('}', ",}"))),
        ("claims are deep", first(&deep)),
        ("exp twice", first(r#""exp":4000000000"#)),
        ("exp twice, escaped", first(r#""e\u0078p":4000000000"#)),
        ("scopes twice", first(r#""scopes":[]"#)),
        ("twice inside", first(r#""a":{"b":1,"b":1}"#)),
    ];
    signer.refuses(Fault::Malformed, rows);
}

#[test]
fn a_long_token_is_refused_unread() {
    let signer = Signer::new();
    let megabyte = "A".repeat(1 << 20);
    let rows = [
        ("1 MB", megabyte.clone()),
        ("1 MB of dots", ".".repeat(1 << 20)),
        ("1 MB, signed", signer.with_claim("note", megabyte.into())),
        ("just too long", ".".repeat(JWS_BYTES_MAX + 1)),
    ];
    signer.refuses(Fault::TooLong, rows);
    let long = signer.with_claim("note", "A".repeat(5_600).into());
    assert!(long.len() > 7_500 && signer.judge(&long).is_ok());
}

/// Whatever single byte of a token is changed, it is worth nothing.
#[test]
fn every_character_of_a_token_counts() {
    let signer = Signer::new();
    let good = signer.good();
    for index in 0..good.len() {
        for replacement in [b'A', b'.', b'='] {
            let mut bytes = good.clone().into_bytes();
            if bytes[index] == replacement {
                continue;
            }
            bytes[index] = replacement;
            let token = String::from_utf8(bytes).expect("ASCII");
            assert!(signer.judge(&token).is_err(), "{replacement} at {index}");
        }
    }
}

/// What is remembered is a hash over key, signature and text together.
#[test]
fn a_signature_that_holds_is_remembered_for_its_own_text_and_key() {
    let (signer, other) = (Signer::new(), Signer::new());
    let (public, stranger) = (signer.key.public(), other.key.public());
    let signatures = Signatures::default();
    let (text, signature) = (b"signed.text", signer.key.sign(b"signed.text"));
    assert!(signatures.hold(&public, text, &signature));
    assert!(signatures.hold(&public, text, &signature));
    assert!(!signatures.hold(&stranger, text, &signature));
    assert!(!signatures.hold(&public, b"signed.texts", &signature));
    // A byte that moves from the signature into the text.
    let moved = [&signature[131..], text].concat();
    assert!(!signatures.hold(&public, &moved, &signature[..131]));
}
