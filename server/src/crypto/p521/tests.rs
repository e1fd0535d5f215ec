//! The files in `testdata` were made by openssl 3.0 for these tests; no server knows their keys.

use serde_json::Value;

use super::*;

const PRIVATE: &str = include_str!("testdata/openssl_private.pem");
const PUBLIC: &str = include_str!("testdata/openssl_public.pem");
const COMPRESSED: &str = include_str!("testdata/compressed_public.pem");
const SEC1: &str = include_str!("testdata/openssl_sec1_private.pem");
const ENCRYPTED: &str = include_str!("testdata/encrypted_private.pem");
const P256_PRIVATE: &str = include_str!("testdata/p256_private.pem");
const P256_PUBLIC: &str = include_str!("testdata/p256_public.pem");

fn recorded() -> Vec<Value> {
    let lines = include_str!("../testdata/es512_tokens.jsonl").lines();
    lines.map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
}

#[test]
fn recorded_keys_have_their_recorded_names() {
    for line in recorded() {
        let text = |name: &str| line[name].as_str().expect("a string");
        let key = PublicKey::from_pem(text("spki_pem")).expect("a P-521 key");
        assert_eq!(key.to_pem(), text("spki_pem"));
        let expected = Thumbprints {
            padded: text("kid").to_owned(),
            unpadded: text("kid_unpadded").to_owned(),
        };
        assert_eq!(key.thumbprints(), expected, "{}", text("id"));
        for (member, range) in [("x", 1..67), ("y", 67..133)] {
            let coordinate = BASE64URL_NOPAD.encode(&key.point()[range]);
            assert_eq!(line["jwk"][member], coordinate.as_str());
        }
        assert_eq!(PublicKey::from_point(key.point()), Ok(key));
    }
}

#[test]
fn a_new_key_survives_being_written_and_read() {
    let key = PrivateKey::generate();
    let pem = key.to_pem();
    assert!(pem.expose().starts_with("-----BEGIN PRIVATE KEY-----\nMI"));
    assert!(pem.expose().ends_with("=\n-----END PRIVATE KEY-----\n"));
    assert!(pem.expose().lines().all(|line| line.len() <= 64));
    let read = PrivateKey::from_pem(pem.expose()).expect("our own form");
    assert_eq!(read.to_pem().expose(), pem.expose());
    assert_eq!(read.public(), key.public());
    assert_eq!(PublicKey::from_pem(&key.public().to_pem()), Ok(key.public()));
    assert_ne!(PrivateKey::generate().public(), key.public());

    let signature = read.sign(b"message");
    assert!(key.public().is_signature(b"message", &signature));
    assert!(!key.public().is_signature(b"massage", &signature));
    assert!(!PrivateKey::generate().public().is_signature(b"message", &signature));
}

#[test]
fn the_files_of_openssl_are_read_and_written_alike() {
    let key = PrivateKey::from_pem(PRIVATE).expect("PKCS#8");
    assert_eq!(key.to_pem().expose(), PRIVATE);
    assert_eq!(key.public().to_pem(), PUBLIC);
}

#[test]
fn line_breaks_and_blanks_around_a_pem_do_not_matter() {
    let crlf = PUBLIC.replace('\n', "\r\n");
    let wide = PUBLIC.replace('\n', "").replace("KEY-----M", "KEY-----\nM");
    let indented = format!("\n  {}\n\n", PUBLIC.replace('\n', "\n    ").trim());
    for pem in [&crlf, &wide, &indented] {
        assert_eq!(PublicKey::from_pem(pem).expect("the same key").to_pem(), PUBLIC);
    }
}

#[test]
fn other_texts_are_no_public_keys() {
    let not_pem = KeyFault::NotPem { expected: "PUBLIC KEY" };
    for (name, pem, expected) in [
        ("empty", String::new(), not_pem),
        ("only a label", "-----BEGIN PUBLIC KEY-----".to_owned(), not_pem),
        ("label without end", PUBLIC.replace("-----END", "END"), not_pem),
        ("two keys", PUBLIC.repeat(2), not_pem),
        ("text before", format!("key:\n{PUBLIC}"), not_pem),
        ("certificate", PUBLIC.replace("PUBLIC KEY", "CERTIFICATE"), not_pem),
        ("other alphabet", PUBLIC.replace('/', "_"), not_pem),
        ("no padding", PUBLIC.replace('=', ""), not_pem),
        ("empty block", PUBLIC[..27].to_owned() + "-----END PUBLIC KEY-----", KeyFault::NotP521),
        ("cut", PUBLIC.replacen("MIGb", "", 1), KeyFault::NotP521),
        ("PKCS#8", PRIVATE.to_owned(), KeyFault::PrivateKeyGiven),
        ("SEC1", SEC1.to_owned(), KeyFault::PrivateKeyGiven),
        ("encrypted", ENCRYPTED.to_owned(), KeyFault::PrivateKeyGiven),
        ("P-256", P256_PUBLIC.to_owned(), KeyFault::NotP521),
        ("compressed", COMPRESSED.to_owned(), KeyFault::NotP521),
        ("1 MB", "A".repeat(1 << 20), KeyFault::TooLong),
    ] {
        assert_eq!(PublicKey::from_pem(&pem), Err(expected), "{name}");
    }
}

#[test]
fn other_texts_are_no_private_keys() {
    let not_pem = KeyFault::NotPem { expected: "PRIVATE KEY" };
    for (name, pem, expected) in [
        ("public", PUBLIC, not_pem),
        ("SEC1", SEC1, not_pem),
        ("encrypted", ENCRYPTED, not_pem),
        ("P-256", P256_PRIVATE, KeyFault::NotP521),
        ("cut", &PRIVATE.replacen("MIHu", "", 1), KeyFault::NotP521),
    ] {
        assert_eq!(PrivateKey::from_pem(pem).err(), Some(expected), "{name}");
    }
}

#[test]
fn other_bytes_are_no_points() {
    let good = *PublicKey::from_pem(PUBLIC).expect("a key").point();
    let with = |index: usize, value: u8| {
        let mut bytes = good;
        bytes[index] = value;
        bytes.to_vec()
    };
    let mut above_the_prime = vec![0xff; POINT];
    above_the_prime[0] = 0x04;
    for (name, bytes) in [
        ("empty", vec![]),
        ("infinity", vec![0]),
        ("zeros", vec![0; POINT]),
        ("origin", [&[4][..], &[0; 2 * COORDINATE]].concat()),
        ("off the curve", with(POINT - 1, good[POINT - 1] ^ 1)),
        ("hybrid form", with(0, 0x06)),
        ("compressed tag", with(0, 0x02)),
        ("above the prime", above_the_prime),
        ("one short", good[..POINT - 1].to_vec()),
        ("one long", [&good[..], &[0]].concat()),
        ("whole SPKI", [&SPKI_PREFIX[..], &good].concat()),
    ] {
        assert_eq!(PublicKey::from_point(&bytes), Err(KeyFault::NotP521), "{name}");
    }
}

#[test]
fn debug_shows_nothing_of_a_private_key() {
    assert_eq!(format!("{:?}", PrivateKey::generate()), "PrivateKey(hidden)");
}
