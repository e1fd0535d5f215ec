//! What browsers look for, and reads that want the headers alone.

use super::*;

#[tokio::test]
async fn a_browser_of_a_listed_origin_may_read_answers() {
    let shop = Shop::open();
    let id = shop.payment(|_| ()).await;
    let basic = format!("Basic {KEY}");
    let (listed, other) = ("http://localhost:7001", "http://evil.test");
    for (call, headers, status, origin, vary) in [
        (
            format!("GET /admin/payments/{id}"),
            vec![("authorization", basic.as_str()), ("origin", listed)],
            200,
            Some(listed),
            Some("Origin"),
        ),
        (
            format!("GET /admin/payments/{id}"),
            vec![("authorization", basic.as_str()), ("origin", other)],
            200,
            None,
            Some("Origin"),
        ),
        (
            format!("GET /admin/payments/{id}"),
            vec![("origin", listed)],
            401,
            Some(listed),
            Some("Origin"),
        ),
        (
            format!("OPTIONS /admin/payments/{id}/refund"),
            vec![
                ("origin", listed),
                ("access-control-request-method", "POST"),
                ("access-control-request-headers", "content-type,x-medusa-locale"),
            ],
            204,
            Some(listed),
            Some("Origin, Access-Control-Request-Headers"),
        ),
        (format!("OPTIONS /admin/payments/{id}"), vec![("origin", listed)], 401, None, None),
        (
            format!("HEAD /admin/payments/{id}"),
            vec![("authorization", basic.as_str()), ("origin", listed)],
            200,
            None,
            None,
        ),
    ] {
        let answer = shop.ask_as(&headers, &call, "").await;
        assert_eq!(answer.status, status, "{call} {headers:?}");
        assert_eq!(answer.header("access-control-allow-origin"), origin, "{call}");
        assert_eq!(answer.header("vary"), vary, "{call}");
        let asked = headers.iter().find(|(name, _)| name.ends_with("request-headers"));
        let allowed = answer.header("access-control-allow-headers");
        assert_eq!(allowed, asked.map(|(_, names)| *names), "{call}");
    }
}

#[tokio::test]
async fn an_answer_that_has_not_changed_is_not_sent_again() {
    let shop = Shop::open();
    let id = shop.payment(|_| ()).await;
    let call = format!("GET /admin/payments/{id}?fields=refunded_amount");
    let first = shop.ask(&call, "").await;
    let tag = first.header("etag").expect("a tag").to_owned();
    let basic = format!("Basic {KEY}");
    let strong = tag.trim_start_matches("W/");
    for (have, status) in [
        (tag.clone(), 304),
        (strong.to_owned(), 304),
        (format!("\"other\", {tag}"), 304),
        ("*".to_owned(), 304),
        ("\"other\"".to_owned(), 200),
        (String::new(), 200),
    ] {
        let headers = [("authorization", basic.as_str()), ("if-none-match", have.as_str())];
        for method in ["GET", "HEAD"] {
            let call = call.replacen("GET", method, 1);
            let again = shop.ask_as(&headers, &call, "").await;
            assert_eq!(again.status, status, "{method} {have}");
            assert_eq!(again.header("etag"), Some(tag.as_str()), "{method} {have}");
            assert_eq!(again.text.is_empty(), status == 304 || method == "HEAD", "{have}");
        }
    }
    let headers = [("authorization", basic.as_str()), ("if-none-match", tag.as_str())];
    assert_eq!(shop.refund(&id, "{\"amount\":1}").await.status, 200);
    let changed = shop.ask_as(&headers, &call, "").await;
    assert_eq!(changed.status, 200, "{}", changed.told());
}

/// The length and the tag of the body that a `GET` would have, no body, and no word about origins.
#[tokio::test]
async fn each_read_has_its_head() {
    let shop = Shop::open();
    let id = shop.payment(|_| ()).await;
    let routes = super::super::routes().declared();
    let reads = routes.iter().filter(|route| route.method == "GET");
    let mut paths: Vec<String> = reads.map(|route| route.path.replace("{id}", &id)).collect();
    assert!(paths.len() >= 4, "{paths:?}");
    paths.extend([
        format!("/admin/payments/{id}?fields=id,*refunds"),
        "/admin/payments?limit=abc".to_owned(),
        "/Admin/Payments/nothing/".to_owned(),
    ]);
    let basic = format!("Basic {KEY}");
    let origin = ("origin", "http://localhost:7001");
    for path in paths {
        for headers in [vec![origin], vec![origin, ("authorization", basic.as_str())]] {
            let whole = shop.ask_as(&headers, &format!("GET {path}"), "").await;
            let head = shop.ask_as(&headers, &format!("HEAD {path}"), "").await;
            assert_eq!((head.status, head.text.as_str()), (whole.status, ""), "{path}");
            let length = whole.text.len().to_string();
            assert_eq!(head.header("content-length"), Some(length.as_str()), "{path}");
            for name in ["etag", "content-type", "x-powered-by"] {
                assert_eq!(head.header(name), whole.header(name), "{path} {name}");
            }
            for name in ["vary", "access-control-allow-origin", "access-control-allow-credentials"]
            {
                assert_eq!(head.header(name), None, "{path} {name}");
            }
        }
    }
}
