use super::*;

/// Ways to write an address that is not public, or a URL that is none of ours.
const REFUSED: [&str; 75] = [
    "https://127.0.0.1/",
    "https://127.1.2.3/",
    "https://127.0.0.1:8443/",
    "https://0.0.0.0/",
    "https://10.0.0.1/",
    "https://172.16.0.1/",
    "https://172.31.255.255/",
    "https://192.168.1.1/",
    "https://169.254.169.254/latest/meta-data",
    "https://100.64.0.1/",
    "https://192.0.0.192/",
    "https://192.0.2.1/",
    "https://198.18.0.1/",
    "https://198.51.100.7/",
    "https://203.0.113.9/",
    "https://224.0.0.1/",
    "https://240.0.0.1/",
    "https://255.255.255.255/",
    "https://192.88.99.1/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0x7f.0.0.1/",
    "https://0177.0.0.1/",
    "https://017700000001/",
    "https://127.1/",
    "https://127.0.1/",
    "https://127.0.0.01/",
    "https://127.0.0.1./",
    "https://10.1/",
    "https://1.2.3.0x4/",
    "https://[::1]/",
    "https://[::]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[::ffff:10.0.0.1]/",
    "https://[::127.0.0.1]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[64:ff9b:1::a00:1]/",
    "https://[2002:7f00:1::]/",
    "https://[2001:0:7f00:1::]/",
    "https://[2001:db8::1]/",
    "https://[3fff::1]/",
    "https://[fe80::1]/",
    "https://[fe80::1%25eth0]/",
    "https://[fe80::1%eth0]/",
    "https://[fc00::1]/",
    "https://[fd00:ec2::254]/",
    "https://[fec0::1]/",
    "https://[ff02::1]/",
    "https://[100::1]/",
    "https://[::1",
    "https://localhost/",
    "https://LOCALHOST/",
    "https://localhost./",
    "https://shop.localhost/",
    "https://printer.local/",
    "https://metadata.google.internal/",
    "https://intranet/",
    "https://user@example.com/",
    "https://user:secret@example.com/",
    "https://example.com@127.0.0.1/",
    "https://example.com:(443/",
    "https://example.com:22/",
    "https://example.com:80/",
    "https://example.com:0/",
    "https://example.com:99999/",
    "https://example..com/",
    "https://example.com\\@127.0.0.1/",
    "https://example.com/#there",
    "https://ex ample.com/",
    "https://exämple.com/",
    "http://example.com/",
    "ftp://example.com/",
    "//example.com/",
    "/hook",
];

#[test]
fn what_is_not_public_is_refused_in_every_spelling() {
    for url in REFUSED {
        assert!(check(url, Addresses::Public).is_err(), "{url}");
    }
    let long = format!("https://example.com/{}", "a".repeat(URL_BYTES_MAX));
    assert!(check(&long, Addresses::Public).is_err());
    assert!(check("", Addresses::Public).is_err());
}

#[test]
fn what_is_public_is_taken() {
    for url in [
        "https://example.com/hook?a=1",
        "https://example.com:443/",
        "https://hooks.example.co.uk:8443/a/b",
        "https://93.184.216.34/",
        "https://172.32.0.1/",
        "https://100.128.0.1/",
        "https://[2606:2800:220:1:248:1893:25c8:1946]/",
        "https://[2001:4860:4860::8888]:9443/",
        "https://a1.2b.example/",
    ] {
        assert_eq!(check(url, Addresses::Public).err(), None, "{url}");
    }
}

#[test]
fn with_the_setting_for_development_only_the_form_counts() {
    for url in ["http://127.0.0.1:3000/hook", "https://localhost/", "http://[::1]:80/"] {
        assert_eq!(check(url, Addresses::Any).err(), None, "{url}");
    }
    for url in ["ftp://127.0.0.1/", "http://user@127.0.0.1/", "hook", "http://127.0.0.1/#a"] {
        assert!(check(url, Addresses::Any).is_err(), "{url}");
    }
}

#[tokio::test]
async fn a_name_that_leads_inside_is_refused_when_it_is_resolved() {
    let name = || "localhost".parse::<Name>().expect("a name");
    let found = tower::Service::call(&mut PublicNames(Addresses::Public), name()).await;
    assert!(found.is_err());
    let found = tower::Service::call(&mut PublicNames(Addresses::Any), name()).await;
    assert!(found.expect("this machine").all(|address| address.ip().is_loopback()));
}
