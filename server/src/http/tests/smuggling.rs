//! Requests whose end can be seen in two places.

use std::sync::atomic::Ordering;

use tokio::io::AsyncWriteExt;

use super::{Server, limits, rest, statuses};

/// Each tries to hide `GET /smuggled` behind a first request whose end can be seen in two places.
/// With what the server may answer: the first request once, or not at all.
const SMUGGLING: &[(&str, &[u16])] = &[
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        &[400],
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        &[400],
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n",
        &[400],
    ),
    ("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 44\r\n\r\n", &[400]),
    ("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n", &[400]),
    ("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0, 44\r\n\r\n", &[400]),
    ("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length : 0\r\n\r\n", &[400]),
    ("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n 0\r\n\r\n", &[400]),
    ("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: +0\r\n\r\n", &[400]),
    ("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0x0\r\n\r\n", &[400]),
    ("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", &[400]),
    ("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", &[400]),
    ("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\u{b}chunked\r\n\r\n0\r\n\r\n", &[400]),
    ("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", &[400]),
    ("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", &[400]),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        &[400],
    ),
    ("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", &[400]),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n",
        &[400],
    ),
    ("POST /echo HTTP/1.1\r\nHost: a\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", &[400]),
    ("POST /echo HTTP/1.1\r\nHost: a\r\nX: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", &[400]),
    ("POST /echo HTTP/1.1\r\nHost: a\r\nX: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", &[400]),
    ("POST /echo HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", &[400]),
    ("POST /echo HTTP/1.1\nHost: a\nContent-Length: 0\n\n", &[400]),
    ("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\n", &[400]),
    ("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0\n\r\n", &[400]),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n", &[400]),
    ("GET / HTTP/1.1\r\n\r\n", &[400]),
    ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", &[400]),
    ("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", &[400]),
    ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", &[400]),
    ("GET /\tx HTTP/1.1\r\nHost: a\r\n\r\n", &[400]),
    ("GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n", &[400]),
    ("GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", &[400]),
    ("GET /\r\n\r\n", &[400]),
    ("\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", &[400]),
    ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[505]),
    ("\u{16}\u{3}\u{1}\u{2}", &[400]),
    // Well-formed heads, malformed chunks: the handler sees one request with a broken body.
    ("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\n\n", &[400]),
    ("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0 \r\n\r\n", &[400]),
    ("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0;\n\r\n", &[400]),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
        &[400],
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n\r\n",
        &[400],
    ),
    ("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-0\r\n\r\n", &[400]),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\n",
        &[400],
    ),
    ("POST /ignore HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\n\n", &[200]),
    // The hidden request lies inside an honest body, or behind an announcement that is not kept.
    ("POST /ignore HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n", &[200]),
    (
        "POST /ignore HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1000\r\n\r\n",
        &[200],
    ),
    ("POST /ignore HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n", &[200]),
    ("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n", &[408]),
    ("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", &[200]),
    ("GET / HTTP/1.0\r\n\r\n", &[200]),
];

#[tokio::test]
async fn two_requests_are_never_seen_in_one() {
    for (vector, expected) in SMUGGLING {
        let server = Server::start(limits()).await;
        let bytes = format!("{vector}GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
        let answer = server.exchange(bytes.as_bytes()).await;
        assert_eq!(statuses(&answer), *expected, "{vector:?}: {answer}");
        assert_eq!(server.seen.smuggled.load(Ordering::SeqCst), 0, "{vector:?}");
        assert!(server.requests() <= 1, "{vector:?}");
    }
}

/// The bytes of a line of `heads.txt`.
fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = match (byte, after) {
            (b'\\', [b'x', digits @ ..]) => {
                let (digits, after) = digits.split_at(2);
                let digits = std::str::from_utf8(digits).expect("two digits");
                bytes.push(u8::from_str_radix(digits, 16).expect("hexadecimal"));
                after
            }
            (b'\\', [letter, after @ ..]) => {
                let named = [(b'r', b'\r'), (b'n', b'\n'), (b't', b'\t'), (b'\\', b'\\')];
                let found = named.iter().find(|(name, _)| name == letter);
                bytes.push(found.expect("a known escape").1);
                after
            }
            _ => {
                bytes.push(*byte);
                after
            }
        };
    }
    bytes
}

#[tokio::test]
async fn a_malformed_head_is_answered_once_and_nothing_behind_it_is_seen() {
    let server = Server::start(limits()).await;
    let (mut count, mut wrong) = (0, Vec::new());
    let lines = include_str!("heads.txt").lines().filter(|line| !line.starts_with('#'));
    for line in lines.filter(|line| !line.is_empty()) {
        let (expected, vector) = line.split_once(' ').expect("a status and a head");
        let mut bytes = unescaped(vector);
        bytes.extend(b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
        let answer = server.exchange(&bytes).await;
        let seen = (server.requests(), server.seen.smuggled.load(Ordering::SeqCst));
        let expected: u16 = expected.parse().expect("a status");
        if statuses(&answer) != [expected] || seen != (0, 0) {
            wrong.push(format!("{vector}: {:?}, seen {seen:?}", statuses(&answer)));
            server.seen.requests.store(0, Ordering::SeqCst);
            server.seen.smuggled.store(0, Ordering::SeqCst);
        }
        count += 1;
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(count >= 300, "only {count} heads");
    println!("{count} malformed heads, none seen as a request");
}

#[tokio::test]
async fn nonsense_behind_a_request_does_not_take_back_its_answer() {
    let server = Server::start(limits()).await;
    let answer = server.exchange(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n\0nonsense\r\n\r\n").await;
    assert_eq!(statuses(&answer), [200, 400], "{answer}");

    let mut socket = server.connect().await;
    let bytes = b"GET /hold HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\nHost: a\n\n";
    socket.write_all(bytes).await.expect("the server reads");
    server.seen.held.acquire().await.expect("never closed").forget();
    server.seen.release.add_permits(1);
    let answer = rest(&mut socket).await;
    assert_eq!(statuses(&answer), [200, 400], "{answer}");
    assert!(answer.contains("held"), "{answer}");
}
