use super::*;

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(*name, value.parse().expect("a header value"));
    }
    headers
}

#[test]
fn a_cookie_is_known_by_its_name_and_its_mark() {
    for (cookies, kind) in [
        (&["connect.sid=sid_v1_00"][..], Some(Kind::MedusaV1)),
        (&["connect.sid=sid_v2_00"], Some(Kind::MedusaV2)),
        (&["a=b; connect.sid=sid_v1_00;c=d"], Some(Kind::MedusaV1)),
        (&["a=b", "connect.sid=sid_v2_00"], Some(Kind::MedusaV2)),
        (&["connect.sid=s%3Aaaaa.bbbb"], None),
        (&["connect.sid=sid_v3_00"], None),
        (&["connect.side=sid_v1_00"], None),
        (&["sid_v1_00"], None),
        (&[], None),
    ] {
        let pairs: Vec<_> = cookies.iter().map(|text| ("cookie", *text)).collect();
        assert_eq!(kind_of(&headers(&pairs)), kind, "{cookies:?}");
    }
    let many = "connect.sid=x;".repeat(COOKIES_MAX) + "connect.sid=sid_v1_00";
    assert_eq!(kind_of(&headers(&[("cookie", &many)])), None, "as many as are looked at");
}

#[test]
fn a_page_of_strangers_uses_nobodys_session() {
    let listed = ["http://localhost:7001".to_owned()];
    let host = ("host", "shop.example:9000");
    for (method, sent, is_refused) in [
        (Method::POST, &[host][..], false),
        (Method::POST, &[host, ("origin", "http://localhost:7001")], false),
        (Method::POST, &[host, ("origin", "https://shop.example:9000")], false),
        (Method::POST, &[host, ("origin", "https://SHOP.example:9000")], false),
        (Method::POST, &[host, ("origin", "https://shop.example")], true),
        (Method::POST, &[host, ("origin", "http://localhost:7001.evil.example")], true),
        (Method::POST, &[host, ("origin", "https://evil.example")], true),
        (Method::POST, &[host, ("origin", "null")], true),
        (Method::POST, &[("origin", "https://evil.example")], true),
        (Method::POST, &[host, ("sec-fetch-site", "cross-site")], true),
        (Method::POST, &[host, ("sec-fetch-site", "same-origin")], false),
        (Method::DELETE, &[host, ("origin", "https://evil.example")], true),
        (Method::PATCH, &[host, ("origin", "https://evil.example")], true),
        // Nothing changes, and the browser does not show them the answer.
        (Method::GET, &[host, ("origin", "https://evil.example")], false),
        (Method::HEAD, &[host, ("sec-fetch-site", "cross-site")], false),
    ] {
        let found = is_foreign(&listed, &method, &headers(sent));
        assert_eq!(found, is_refused, "{method} {sent:?}");
    }
}

#[test]
fn a_cookie_is_as_safe_as_the_way_and_the_original_allow() {
    for (kind, proto, is_https, same_site) in [
        (Kind::MedusaV1, Some("https"), true, "None"),
        (Kind::MedusaV1, Some("HTTPS, http"), true, "None"),
        (Kind::MedusaV1, Some("http, https"), false, "Lax"),
        (Kind::MedusaV1, None, false, "Lax"),
        (Kind::MedusaV2, Some("https"), true, "Lax"),
        (Kind::MedusaV2, None, false, "Lax"),
    ] {
        let sent: Vec<_> = proto.iter().map(|proto| ("x-forwarded-proto", *proto)).collect();
        assert_eq!(super::is_https(&headers(&sent)), is_https, "{proto:?}");
        assert_eq!(kind.same_site(is_https), same_site, "{kind:?} {proto:?}");
    }
}
