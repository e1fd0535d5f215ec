//! HTTP/1.1 as bytes. A client library would repair the very things that checks are about: it
//! would add a content type, refuse an odd header, fold a chunked body, retry. This one sends what
//! it is told and reads what comes, one connection per request.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use data_encoding::BASE64;
use serde_json::Value;

/// How long one answer may take before a check gives up. Longer than any wait the server makes.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(30);

/// A request, written exactly as told; `Host`, `Connection: close` and a length are added unless
/// the caller has set them.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path and query as they go on the wire; nothing is escaped.
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    /// `None` sends no body and no length.
    pub(crate) body: Option<Vec<u8>>,
}

/// An answer, with chunked bodies put together.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn new(method: &str, target: &str) -> Request {
        Request {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: Vec::new(),
            body: None,
        }
    }

    pub(crate) fn get(target: &str) -> Request {
        Request::new("GET", target)
    }

    pub(crate) fn post(target: &str) -> Request {
        Request::new("POST", target)
    }

    /// Adds a header; one given twice is sent twice.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Request {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn bearer(self, token: &str) -> Request {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    /// A Medusa v2 secret key, as its official client sends it.
    pub(crate) fn basic(self, key: &str) -> Request {
        let encoded = BASE64.encode(format!("{key}:").as_bytes());
        self.header("Authorization", &format!("Basic {encoded}"))
    }

    /// A Medusa v1 API token.
    pub(crate) fn api_token(self, token: &str) -> Request {
        self.header("x-medusa-access-token", token)
    }

    /// The body, with its length but no content type.
    pub(crate) fn bytes(mut self, body: impl Into<Vec<u8>>) -> Request {
        self.body = Some(body.into());
        self
    }

    /// The body in chunks of different sizes. A body set otherwise beside a `Transfer-Encoding`
    /// header is sent as it is: the caller has framed it.
    pub(crate) fn chunked(self, body: &[u8]) -> Request {
        self.header("Transfer-Encoding", "chunked").bytes(in_chunks(body))
    }

    /// The body as JSON, with its content type.
    pub(crate) fn json(self, body: &Value) -> Request {
        self.header("Content-Type", "application/json").bytes(body.to_string())
    }

    fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(have, _)| have.eq_ignore_ascii_case(name))
    }

    pub(crate) fn wire(&self, addr: SocketAddr) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        if !self.has("host") {
            head.push_str(&format!("Host: {addr}\r\n"));
        }
        if !self.has("connection") {
            head.push_str("Connection: close\r\n");
        }
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let chunked = self.has("transfer-encoding");
        if let Some(body) = &self.body
            && !chunked
            && !self.has("content-length")
        {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend(self.body.iter().flatten());
        bytes
    }

    /// Sends the request on a connection of its own. Panics when no whole answer comes: a server
    /// that closes without answering has failed the check.
    pub(crate) fn send(&self, addr: SocketAddr) -> Response {
        match self.try_send(addr) {
            Ok(response) => response,
            Err(problem) => panic!("{} {}: no answer: {problem}", self.method, self.target),
        }
    }

    /// As [`Request::send`], for checks in which the server may be killed meanwhile.
    pub(crate) fn try_send(&self, addr: SocketAddr) -> Result<Response, String> {
        let mut stream = TcpStream::connect(addr).map_err(|e| format!("connect: {e}"))?;
        stream.set_read_timeout(Some(ANSWER_WAIT_MAX)).map_err(|e| e.to_string())?;
        stream.set_nodelay(true).map_err(|e| e.to_string())?;
        // A server may answer and close before the body is through (413): what it said counts.
        let written = stream.write_all(&self.wire(addr)).and_then(|()| stream.flush());
        let mut bytes = Vec::new();
        let read = stream.read_to_end(&mut bytes);
        match Response::parse(&bytes, self.method == "HEAD") {
            Some(response) => Ok(response),
            None => Err(format!(
                "written: {written:?}, read: {read:?}, bytes: {:?}",
                String::from_utf8_lossy(&bytes)
            )),
        }
    }
}

/// Three chunks of different sizes, so that a reader of chunks has something to do.
fn in_chunks(body: &[u8]) -> Vec<u8> {
    let (first, rest) = body.split_at(body.len().min(1));
    let (second, third) = rest.split_at(rest.len() / 2);
    let mut bytes = Vec::new();
    for chunk in [first, second, third] {
        if !chunk.is_empty() {
            bytes.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
            bytes.extend(chunk);
            bytes.extend(b"\r\n");
        }
    }
    bytes.extend(b"0\r\n\r\n");
    bytes
}

impl Response {
    /// `None` unless the bytes hold one whole answer. Interim (1xx) answers are skipped.
    fn parse(bytes: &[u8], headless: bool) -> Option<Response> {
        let end = bytes.windows(4).position(|w| w == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(bytes.get(..end)?).into_owned();
        let rest = bytes.get(end.checked_add(4)?..)?;
        let mut lines = head.split("\r\n");
        let status: u16 = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        if (100..200).contains(&status) {
            return Response::parse(rest, headless);
        }
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect();
        let mut response = Response { status, headers, body: Vec::new() };
        response.body = if headless || matches!(status, 204 | 304) {
            Vec::new()
        } else if response.header("transfer-encoding").is_some_and(|v| v.contains("chunked")) {
            out_of_chunks(rest)?
        } else if let Some(length) = response.header("content-length") {
            rest.get(..length.parse().ok()?)?.to_vec()
        } else {
            rest.to_vec()
        };
        Some(response)
    }

    /// The first header of that name, in any letter case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(have, _)| have.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; panics with status and text when it is none.
    pub(crate) fn json(&self) -> Value {
        match serde_json::from_slice(&self.body) {
            Ok(value) => value,
            Err(e) => panic!("{e} in the body of a {}: {:?}", self.status, self.text()),
        }
    }
}

fn out_of_chunks(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|w| w == b"\r\n")?;
        let size = std::str::from_utf8(rest.get(..line)?).ok()?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        let start = line.checked_add(2)?;
        let end = start.checked_add(size)?;
        body.extend(rest.get(start..end)?);
        if size == 0 {
            return Some(body);
        }
        rest = rest.get(end.checked_add(2)?..)?;
    }
}

#[test]
fn an_answer_is_whole_or_it_is_none() {
    let plain = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: b\r\n\r\nhi";
    let answer = Response::parse(plain, false).expect("a whole answer");
    assert_eq!(
        (answer.status, answer.header("x-a"), answer.text().as_str()),
        (200, Some("b"), "hi")
    );
    assert!(Response::parse(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi", false).is_none());
    let chunked = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n2;x=y\r\nbc\r\n0\r\n\r\n";
    let answer = Response::parse(chunked, false).expect("a chunked answer after an interim one");
    assert_eq!((answer.status, answer.text().as_str()), (201, "abc"));
    assert!(
        Response::parse(b"HTTP/1.1 201 C\r\ntransfer-encoding: chunked\r\n\r\n4\r\nab", false)
            .is_none()
    );
}

#[test]
fn chunks_read_back_as_what_was_sent() {
    for body in ["", "a", "abc", "{\"amount\":10}"] {
        assert_eq!(out_of_chunks(&in_chunks(body.as_bytes())).as_deref(), Some(body.as_bytes()));
    }
}
