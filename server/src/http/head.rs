//! The check of a request's head, on its raw bytes, before anything else reads them.
//!
//! It is stricter than the parser behind it on purpose: what two servers in a row could read in two
//! ways is refused (RFC 9112 sections 2.2, 3.2, 6.1 to 6.3). The parser accepts a bare line feed,
//! Content-Length beside Transfer-Encoding, and a missing Host; here each is a [`HeadFault`].
//!
//! Start at [`HeadScan::advance`], which finds the end of a head, and [`check`], which judges it.

use super::{FIELDS_MAX, HEAD_MAX};

/// How the body after a head is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Empty,
    /// Bytes; never 0.
    Length(u64),
    Chunked,
}

/// Why a head was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeadFault {
    BareLineFeed,
    RequestLine,
    Version,
    Target,
    Field,
    HostMissing,
    HostRepeated,
    HostInvalid,
    LengthInvalid,
    LengthRepeated,
    LengthBesideCoding,
    Coding,
    TooLong,
    TooManyFields,
    TooSlow,
}

impl HeadFault {
    /// What to say to the client. No part of the request is repeated.
    pub(super) fn text(self) -> &'static str {
        match self {
            HeadFault::BareLineFeed => "A line of the request head does not end in CR LF.",
            HeadFault::RequestLine => "The request line is malformed.",
            HeadFault::Version => "Only HTTP/1.1 and HTTP/1.0 are spoken here.",
            HeadFault::Target => "The request target is malformed.",
            HeadFault::Field => "A header field is malformed.",
            HeadFault::HostMissing => "The Host header is missing.",
            HeadFault::HostRepeated => "The Host header is repeated.",
            HeadFault::HostInvalid => "The Host header is invalid.",
            HeadFault::LengthInvalid => "The Content-Length header is invalid.",
            HeadFault::LengthRepeated => "The Content-Length header is repeated.",
            HeadFault::LengthBesideCoding => {
                "Content-Length and Transfer-Encoding must not be sent together."
            }
            HeadFault::Coding => "The Transfer-Encoding header must be exactly \"chunked\".",
            HeadFault::TooLong => "The request head is too large.",
            HeadFault::TooManyFields => "The request has too many header fields.",
            HeadFault::TooSlow => "The request head took too long to arrive.",
        }
    }

    fn status_line(self) -> &'static str {
        match self {
            HeadFault::Version => "505 HTTP Version Not Supported",
            HeadFault::TooLong | HeadFault::TooManyFields => "431 Request Header Fields Too Large",
            HeadFault::TooSlow => "408 Request Timeout",
            HeadFault::BareLineFeed
            | HeadFault::RequestLine
            | HeadFault::Target
            | HeadFault::Field
            | HeadFault::HostMissing
            | HeadFault::HostRepeated
            | HeadFault::HostInvalid
            | HeadFault::LengthInvalid
            | HeadFault::LengthRepeated
            | HeadFault::LengthBesideCoding
            | HeadFault::Coding => "400 Bad Request",
        }
    }

    /// The whole answer. No face is known here (the path could not be trusted), so the body is the
    /// plainest JSON that all of them share: a `message`.
    pub(super) fn answer(self) -> String {
        closing_answer(self.status_line(), "", self.text())
    }
}

/// A complete answer that ends its connection, for use where no service can answer.
pub(super) fn closing_answer(status_line: &str, extra_fields: &str, message: &str) -> String {
    let body = serde_json::json!({ "message": message }).to_string();
    format!(
        "HTTP/1.1 {status_line}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n{extra_fields}\r\n{body}",
        body.len()
    )
}

/// Looks for the end of a head in bytes that arrive in pieces, without reading any byte twice.
#[derive(Debug, Default)]
pub(super) struct HeadScan {
    seen: usize,
    line_start: usize,
}

impl HeadScan {
    /// The length of the head once its empty last line is there. `bytes` starts with the head and
    /// only ever grows between calls. Each line's end, and the request line, are judged at once.
    pub(super) fn advance(&mut self, bytes: &[u8]) -> Result<Option<usize>, HeadFault> {
        // A TLS greeting on the plain port, or other noise, need not wait for its time to run out.
        if bytes.first().is_some_and(|&first| !is_token_byte(first)) {
            return Err(match bytes[0] {
                b'\n' => HeadFault::BareLineFeed,
                _ => HeadFault::RequestLine,
            });
        }
        let end = bytes.len().min(HEAD_MAX);
        while let Some(offset) = bytes[self.seen..end].iter().position(|&byte| byte == b'\n') {
            let at = self.seen + offset;
            if at == self.line_start || bytes[at - 1] != b'\r' {
                return Err(HeadFault::BareLineFeed);
            }
            let line = &bytes[self.line_start..at - 1];
            if self.line_start == 0 {
                RequestLine::read(line)?;
            }
            self.seen = at + 1;
            self.line_start = at + 1;
            if line.is_empty() {
                return Ok(Some(at + 1));
            }
        }
        self.seen = end;
        if bytes.len() >= HEAD_MAX { Err(HeadFault::TooLong) } else { Ok(None) }
    }
}

/// Judges a complete head, ending in its empty line.
pub(super) fn check(head: &[u8]) -> Result<Framing, HeadFault> {
    let mut lines = head
        .strip_suffix(b"\r\n")
        .filter(|lines| lines.ends_with(b"\r\n"))
        .ok_or(HeadFault::RequestLine)?
        .split_inclusive(|&byte| byte == b'\n')
        .map(|line| line.strip_suffix(b"\r\n").unwrap_or(line));
    let request = RequestLine::read(lines.next().ok_or(HeadFault::RequestLine)?)?;

    let mut fields = Fields::default();
    for (count, line) in lines.enumerate() {
        if count == FIELDS_MAX {
            return Err(HeadFault::TooManyFields);
        }
        fields.note(line)?;
    }
    fields.check_host(&request)?;
    fields.framing(&request)
}

struct RequestLine<'a> {
    /// The authority of a target in absolute form.
    authority: Option<&'a [u8]>,
    is_1_1: bool,
}

impl<'a> RequestLine<'a> {
    fn read(line: &'a [u8]) -> Result<RequestLine<'a>, HeadFault> {
        let mut parts = line.split(|&byte| byte == b' ');
        let (Some(method), Some(target), Some(version), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(HeadFault::RequestLine);
        };
        if !is_token(method) {
            return Err(HeadFault::RequestLine);
        }
        let is_1_1 = match version {
            b"HTTP/1.1" => true,
            b"HTTP/1.0" => false,
            [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
                if major.is_ascii_digit() && minor.is_ascii_digit() =>
            {
                return Err(HeadFault::Version);
            }
            _ => return Err(HeadFault::RequestLine),
        };
        Ok(RequestLine { authority: authority(method, target)?, is_1_1 })
    }
}

/// The authority of an absolute target, `None` for a path. CONNECT has no use here, so its form is
/// refused with the other malformed targets.
fn authority<'a>(method: &[u8], target: &'a [u8]) -> Result<Option<&'a [u8]>, HeadFault> {
    if !target.iter().all(|byte| matches!(byte, b'!'..=b'~') && *byte != b'#') {
        return Err(HeadFault::Target);
    }
    if method == b"CONNECT" {
        return Err(HeadFault::Target);
    }
    if target.starts_with(b"/") || (target == b"*" && method == b"OPTIONS") {
        return Ok(None);
    }
    let rest = ["http://", "https://"]
        .iter()
        .find_map(|scheme| strip_prefix_ignore_case(target, scheme.as_bytes()))
        .ok_or(HeadFault::Target)?;
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    Ok(Some(&rest[..end]))
}

#[derive(Default)]
struct Fields<'a> {
    host: Option<&'a [u8]>,
    length: Option<u64>,
    is_chunked: bool,
}

impl<'a> Fields<'a> {
    fn note(&mut self, line: &'a [u8]) -> Result<(), HeadFault> {
        // No colon, a space before it, and a line that continues the one before all end here: a
        // name is a token, and a token has no space.
        let colon = line.iter().position(|&byte| byte == b':').ok_or(HeadFault::Field)?;
        let (name, value) = (&line[..colon], trim(&line[colon + 1..]));
        if !is_token(name) || !value.iter().all(|&byte| is_value_byte(byte)) {
            return Err(HeadFault::Field);
        }
        if name.eq_ignore_ascii_case(b"host") {
            if self.host.replace(value).is_some() {
                return Err(HeadFault::HostRepeated);
            }
        } else if name.eq_ignore_ascii_case(b"content-length") {
            // Even an equal repetition is refused: whoever merges and whoever does not must agree.
            if self.length.replace(length(value)?).is_some() {
                return Err(HeadFault::LengthRepeated);
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if self.is_chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(HeadFault::Coding);
            }
            self.is_chunked = true;
        }
        Ok(())
    }

    fn check_host(&self, request: &RequestLine<'_>) -> Result<(), HeadFault> {
        let Some(host) = self.host else {
            return if request.is_1_1 { Err(HeadFault::HostMissing) } else { Ok(()) };
        };
        if !is_host(host) {
            return Err(HeadFault::HostInvalid);
        }
        // RFC 9112 would let the target win; two names for one request have no honest reason.
        match request.authority {
            Some(authority) if !authority.eq_ignore_ascii_case(host) => Err(HeadFault::HostInvalid),
            _ => Ok(()),
        }
    }

    fn framing(&self, request: &RequestLine<'_>) -> Result<Framing, HeadFault> {
        match (self.length, self.is_chunked) {
            (Some(_), true) => Err(HeadFault::LengthBesideCoding),
            (None, true) if !request.is_1_1 => Err(HeadFault::Coding),
            (None, true) => Ok(Framing::Chunked),
            (None | Some(0), false) => Ok(Framing::Empty),
            (Some(length), false) => Ok(Framing::Length(length)),
        }
    }
}

/// Digits only, up to 2^63 - 1. Lists such as `5, 5` are refused with the rest.
fn length(value: &[u8]) -> Result<u64, HeadFault> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(HeadFault::LengthInvalid);
    }
    std::str::from_utf8(value)
        .ok()
        .and_then(|digits| digits.parse::<i64>().ok())
        .and_then(|length| u64::try_from(length).ok())
        .ok_or(HeadFault::LengthInvalid)
}

/// A host and an optional port. Empty is refused: `http:///path` names no server.
fn is_host(host: &[u8]) -> bool {
    let (name, after) = match host.iter().position(|&byte| byte == b']') {
        Some(end) if host[0] == b'[' => (&host[1..end], &host[end + 1..]),
        Some(_) => return false,
        None => {
            let end = host.iter().position(|&byte| byte == b':').unwrap_or(host.len());
            (&host[..end], &host[end..])
        }
    };
    let is_literal = host.first() == Some(&b'[');
    let is_name = !name.is_empty()
        && name.iter().all(|&byte| {
            byte.is_ascii_alphanumeric()
                || b"-._~%!$&'()*+;=".contains(&byte)
                || (is_literal && byte == b':')
        });
    let is_port = match after {
        [] => true,
        [b':', port @ ..] => port.len() <= 5 && port.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    is_name && is_port
}

fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| is_token_byte(byte))
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn is_value_byte(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

fn trim(bytes: &[u8]) -> &[u8] {
    let is_text = |byte: &u8| !matches!(byte, b' ' | b'\t');
    let Some(start) = bytes.iter().position(is_text) else {
        return &[];
    };
    let end = bytes.iter().rposition(is_text).map_or(start, |last| last + 1);
    &bytes[start..end]
}

fn strip_prefix_ignore_case<'a>(bytes: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = bytes.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

#[cfg(test)]
mod tests;
