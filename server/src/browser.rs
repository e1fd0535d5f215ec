//! What browsers look for in both Medusas' answers: which origins may call (the setting
//! `cors_origins`), and tags by which an answer that has not changed need not be sent again. Where each
//! original says what is in its face's own `browser`.
//!
//! An origin that is not listed is told nothing about it: the same status and body, without the one
//! header that lets a browser show them to the page.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use data_encoding::BASE64_NOPAD;

/// Marks an answer for which the originals do not look at origins: their body parser's, and in v2 every
/// one where there is no route.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Originless;

const METHODS: HeaderValue = HeaderValue::from_static("GET,HEAD,PUT,PATCH,POST,DELETE");

/// Lets a listed origin's page see an answer. `asked` are the request's headers.
pub(crate) fn share(headers: &mut HeaderMap, asked: &HeaderMap, origins: &[String]) {
    let origin = asked
        .get(header::ORIGIN)
        .filter(|origin| origins.iter().any(|listed| listed.as_bytes() == origin.as_bytes()));
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    }
    let vary = HeaderValue::from_static("Origin");
    headers.entry(header::VARY).or_insert(vary);
    let yes = HeaderValue::from_static("true");
    headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
}

/// 204 for any path, known or not, as in the originals. To be followed by [`share`].
pub(crate) fn preflight(asked: &HeaderMap) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    let vary = HeaderValue::from_static("Origin, Access-Control-Request-Headers");
    headers.insert(header::VARY, vary);
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    if let Some(names) = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
    }
    response
}

/// The weak tag of a body as Express makes it: its length, and its SHA-1. Nothing rests on the hash.
pub(crate) fn tag(body: &[u8]) -> HeaderValue {
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, body);
    let hash = BASE64_NOPAD.encode(hash.as_ref());
    let tag = format!("W/\"{:x}-{hash}\"", body.len());
    HeaderValue::from_str(&tag).expect("hexadecimal and base64 digits are header text")
}

/// 304 in place of what the client says it has; a client that asks for no cached answer gets the whole.
pub(crate) fn unchanged(method: &Method, asked: &HeaderMap, mut response: Response) -> Response {
    let is_read = matches!(*method, Method::GET | Method::HEAD);
    let have = asked.get(header::IF_NONE_MATCH);
    let have = have.and_then(|have| have.to_str().ok()).unwrap_or_default();
    let tag = response.headers().get(header::ETAG);
    let Some(tag) = tag.and_then(|tag| tag.to_str().ok()) else {
        return response;
    };
    let bare = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let caching = asked.get_all(header::CACHE_CONTROL).iter();
    let mut caching = caching.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    if caching.any(|word| word.trim_ascii().eq_ignore_ascii_case(b"no-cache")) {
        return response;
    }
    let is_known = have.split(',').any(|have| have.trim() == "*" || bare(have) == bare(tag));
    if is_read && is_known && response.status() == StatusCode::OK {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.body_mut() = Body::empty();
        response.headers_mut().remove(header::CONTENT_TYPE);
        response.headers_mut().remove(header::CONTENT_LENGTH);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As recorded from both originals.
    #[test]
    fn a_tag_is_the_one_of_the_originals() {
        for (body, tagged) in [
            ("OK", "W/\"2-nOO9QiTIwXgNtWtBJezz8kv3SLc\""),
            ("{\"message\":\"Unauthorized\"}", "W/\"1a-pljHtlo127JYJR4E/RYOPb6ucbw\""),
        ] {
            assert_eq!(tag(body.as_bytes()), tagged, "{body}");
        }
    }

    #[test]
    fn only_a_read_that_went_well_and_is_known_already_is_not_sent_again() {
        let known = "W/\"2-nOO9QiTIwXgNtWtBJezz8kv3SLc\"";
        for (method, status, have, answered) in [
            (Method::GET, 200, Some(known), 304),
            (Method::HEAD, 200, Some(known), 304),
            (Method::GET, 200, Some("\"2-nOO9QiTIwXgNtWtBJezz8kv3SLc\""), 304),
            (Method::GET, 200, Some("W/\"1-x\", W/\"2-nOO9QiTIwXgNtWtBJezz8kv3SLc\""), 304),
            (Method::GET, 200, Some("*"), 304),
            (Method::GET, 200, Some("W/\"2-other\""), 200),
            (Method::GET, 200, None, 200),
            (Method::GET, 404, Some("*"), 404),
            (Method::POST, 200, Some(known), 200),
        ] {
            let mut asked = HeaderMap::new();
            if let Some(have) = have {
                asked.insert(header::IF_NONE_MATCH, have.parse().expect("a header value"));
            }
            let mut response = Response::new(Body::from("OK"));
            *response.status_mut() = StatusCode::from_u16(status).expect("a status");
            response.headers_mut().insert(header::ETAG, tag(b"OK"));
            let answer = unchanged(&method, &asked, response);
            assert_eq!(answer.status(), answered, "{method} {status} {have:?}");
        }
        for (caching, answered) in [("max-age=0", 304), ("max-age=0, no-cache", 200)] {
            let mut asked = HeaderMap::new();
            asked.insert(header::IF_NONE_MATCH, HeaderValue::from_static(known));
            asked.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
            let mut response = Response::new(Body::from("OK"));
            response.headers_mut().insert(header::ETAG, tag(b"OK"));
            let answer = unchanged(&Method::GET, &asked, response);
            assert_eq!(answer.status(), answered, "{caching}");
        }
    }
}
