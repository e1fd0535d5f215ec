//! Encryption to a PostgreSQL that has a certificate, with the real program: who is trusted, and what is
//! sent in the clear.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use requite_cluster::Cluster;

use crate::support::{Cli, Run};

/// An authority's certificate (PEM), and what it gave a server for a name: certificate and key.
fn issued_for(name: &str) -> (String, String, String) {
    let key = || KeyPair::generate().expect("random numbers");
    let mut authority = CertificateParams::new(Vec::new()).expect("no names are fine");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, key()).expect("signed");
    let (params, own) = (CertificateParams::new(vec![name.to_owned()]), key());
    let signed = params.expect("a name").signed_by(&own, &authority).expect("signed");
    (pem("CERTIFICATE", authority.der()), pem("CERTIFICATE", signed.der()), {
        pem("PRIVATE KEY", &own.serialize_der())
    })
}

fn pem(what: &str, der: &[u8]) -> String {
    let text = data_encoding::BASE64.encode(der);
    let lines = text.as_bytes().chunks(64).map(String::from_utf8_lossy);
    let lines: Vec<_> = lines.collect();
    format!("-----BEGIN {what}-----\n{}\n-----END {what}-----\n", lines.join("\n"))
}

struct Tried {
    run: Run,
    /// Of the connections that were let in, how many were encrypted, and how many were not.
    encrypted: usize,
    plain: usize,
}

/// What the server logged of the connections that one run of the program made.
fn tried(cluster: &Cluster, address: &str, trusted: &str) -> Tried {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ca.pem");
    std::fs::write(&path, trusted).expect("writable");
    let cli = Cli::new(address).env("SSL_CERT_FILE", &path.display().to_string());
    let before = cluster.log().len();
    let run = cli.run(&["migrate"], "");
    let log = cluster.log();
    let logged = log.get(before..).expect("a log grows");
    let ours = logged.lines().filter(|line| {
        line.contains("connection authorized") && line.contains("application_name=requite")
    });
    let (encrypted, plain): (Vec<&str>, Vec<&str>) =
        ours.partition(|line| line.contains("SSL enabled (protocol=TLSv1.3"));
    Tried { run, encrypted: encrypted.len(), plain: plain.len() }
}

#[test]
fn a_database_shows_a_certificate_that_is_trusted_and_names_it_or_nothing_is_sent() {
    let (authority, certificate, key) = issued_for("localhost");
    let (foreign, ..) = issued_for("localhost");
    let cluster = Cluster::start_reachable(Some((&certificate, &key))).expect("a cluster with TLS");
    cluster.database();
    let at = |host: &str, mode: &str| cluster.address_at(host, &format!("test_0{mode}"));
    for (what, address, trusted, expected) in [
        ("trusted", at("localhost", "?sslmode=require"), &authority, Ok("encrypted")),
        (
            "foreign, of one name",
            at("localhost", "?sslmode=require"),
            &foreign,
            Err("BadSignature"),
        ),
        ("another name", at("127.0.0.1", "?sslmode=require"), &authority, Err("name")),
        ("near and unasked", at("localhost", ""), &foreign, Ok("plain")),
        ("near and disabled", at("127.0.0.1", "?sslmode=disable"), &foreign, Ok("plain")),
    ] {
        let tried = tried(&cluster, &address, trusted);
        let let_in = (tried.encrypted > 0, tried.plain > 0);
        let run = &tried.run;
        match expected {
            Ok(how) => {
                assert_eq!(run.code, Some(0), "{what}: {run:?}");
                assert_eq!(let_in, (how == "encrypted", how == "plain"), "{what}");
            }
            Err(why) => {
                assert_ne!(run.code, Some(0), "{what}: {run:?}");
                assert!(run.stderr.contains(why), "{what}: {run:?}");
                assert_eq!(let_in, (false, false), "{what}");
            }
        }
    }
}

/// A server without a certificate is not spoken to, once encryption was asked for.
#[test]
fn nothing_is_sent_to_a_database_that_cannot_encrypt() {
    let (authority, ..) = issued_for("localhost");
    let cluster = Cluster::start_reachable(None).expect("a cluster without TLS");
    cluster.database();
    let address = cluster.address_at("localhost", "test_0?sslmode=require");
    let tried = tried(&cluster, &address, &authority);
    assert_ne!(tried.run.code, Some(0), "{:?}", tried.run);
    assert_eq!((tried.encrypted, tried.plain), (0, 0), "{:?}", tried.run);
}
