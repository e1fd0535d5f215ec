use super::{Framing, HEAD_MAX, HeadFault, HeadScan, check};

fn judge(head: &[u8]) -> Result<Option<Framing>, HeadFault> {
    match HeadScan::default().advance(head)? {
        Some(length) => check(&head[..length]).map(Some),
        None => Ok(None),
    }
}

#[test]
fn well_formed_heads_pass_with_their_framing() {
    use Framing::{Chunked, Empty, Length};
    for (head, framing) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", Empty),
        ("GET / HTTP/1.0\r\n\r\n", Empty),
        ("GET / HTTP/1.0\r\nhost: a\r\n\r\n", Empty),
        ("GET /x?y=%00 HTTP/1.1\r\nHOST:a:8080\r\n\r\n", Empty),
        ("GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", Empty),
        ("GET http://a/x HTTP/1.1\r\nHost: A\r\n\r\n", Empty),
        ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", Empty),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", Empty),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 007 \r\n\r\n", Length(7)),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000000\r\n\r\n",
            Length(100_000_000_000),
        ),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n", Chunked),
        ("GET / HTTP/1.1\r\nHost: a\r\nX-Note: caf\u{e9}\t!\r\nEmpty:\r\n\r\n", Empty),
    ] {
        assert_eq!(judge(head.as_bytes()), Ok(Some(framing)), "{head:?}");
    }
}

#[test]
fn request_lines_that_can_be_read_in_two_ways_are_refused() {
    use HeadFault::{BareLineFeed, RequestLine, Target, Version};
    for (line, fault) in [
        ("GET / HTTP/1.1\n", BareLineFeed),
        ("\n", BareLineFeed),
        ("\r\nGET / HTTP/1.1\r\n", RequestLine),
        (" GET / HTTP/1.1\r\n", RequestLine),
        ("GET  / HTTP/1.1\r\n", RequestLine),
        ("GET /  HTTP/1.1\r\n", RequestLine),
        ("GET / HTTP/1.1 \r\n", RequestLine),
        ("GET\t/\tHTTP/1.1\r\n", RequestLine),
        ("GET /\r\n", RequestLine),
        ("GET / http/1.1\r\n", RequestLine),
        ("GET / HTTP/1.10\r\n", RequestLine),
        ("GET / HTTP/1.1\r\r\n", RequestLine),
        ("G(T / HTTP/1.1\r\n", RequestLine),
        ("\u{16}\u{3}\u{1}", RequestLine),
        ("PRI * HTTP/2.0\r\n", Version),
        ("GET / HTTP/0.9\r\n", Version),
        ("GET / HTTP/1.2\r\n", Version),
        ("GET /a\u{0}b HTTP/1.1\r\n", Target),
        ("GET /a\u{7f} HTTP/1.1\r\n", Target),
        ("GET /a\u{e9} HTTP/1.1\r\n", Target),
        ("GET /a#b HTTP/1.1\r\n", Target),
        ("GET a HTTP/1.1\r\n", Target),
        ("GET * HTTP/1.1\r\n", Target),
        ("GET ftp://a/ HTTP/1.1\r\n", Target),
        ("CONNECT a:443 HTTP/1.1\r\n", Target),
    ] {
        assert_eq!(judge(line.as_bytes()), Err(fault), "{line:?}");
    }
}

#[test]
fn fields_that_can_be_read_in_two_ways_are_refused() {
    use HeadFault::{
        BareLineFeed, Coding, Field, HostInvalid, HostMissing, HostRepeated, LengthBesideCoding,
        LengthInvalid, LengthRepeated,
    };
    for (fields, fault) in [
        ("", HostMissing),
        ("Host: a\r\nHost: a\r\n", HostRepeated),
        ("Host: a\r\nhOST: b\r\n", HostRepeated),
        ("Host:\r\n", HostInvalid),
        ("Host: a b\r\n", HostInvalid),
        ("Host: a, b\r\n", HostInvalid),
        ("Host: u@a\r\n", HostInvalid),
        ("Host: a/b\r\n", HostInvalid),
        ("Host: a:b\r\n", HostInvalid),
        ("Host: [::1\r\n", HostInvalid),
        ("Host : a\r\n", Field),
        ("Host: a\nX: y\r\n", BareLineFeed),
        ("Host: a\r\nX: y\r\n z\r\n", Field),
        (" Host: a\r\n", Field),
        ("Host: a\r\nX\r\n", Field),
        ("Host: a\r\n: y\r\n", Field),
        ("Host: a\r\nX: y\rz\r\n", Field),
        ("Host: a\r\nX: y\0z\r\n", Field),
        ("Host: a\r\nX\0: y\r\n", Field),
        ("Host: a\r\nContent-Length : 5\r\n", Field),
        ("Host: a\r\nContent-Length: \r\n", LengthInvalid),
        ("Host: a\r\nContent-Length: +5\r\n", LengthInvalid),
        ("Host: a\r\nContent-Length: -5\r\n", LengthInvalid),
        ("Host: a\r\nContent-Length: 5 5\r\n", LengthInvalid),
        ("Host: a\r\nContent-Length: 5, 5\r\n", LengthInvalid),
        ("Host: a\r\nContent-Length: 0x5\r\n", LengthInvalid),
        ("Host: a\r\nContent-Length: 5.0\r\n", LengthInvalid),
        ("Host: a\r\nContent-Length: 18446744073709551616\r\n", LengthInvalid),
        ("Host: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n", LengthRepeated),
        ("Host: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n", LengthRepeated),
        ("Host: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n", LengthBesideCoding),
        ("Host: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n", LengthBesideCoding),
        ("Host: a\r\nTransfer-Encoding: gzip, chunked\r\n", Coding),
        ("Host: a\r\nTransfer-Encoding: chunked, identity\r\n", Coding),
        ("Host: a\r\nTransfer-Encoding: identity\r\n", Coding),
        ("Host: a\r\nTransfer-Encoding: \"chunked\"\r\n", Coding),
        ("Host: a\r\nTransfer-Encoding: xchunked\r\n", Coding),
        ("Host: a\r\nTransfer-Encoding:\r\n", Coding),
        ("Host: a\r\nTransfer-Encoding: \u{b}chunked\r\n", Field),
        ("Host: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", Coding),
    ] {
        let head = format!("POST / HTTP/1.1\r\n{fields}\r\n");
        assert_eq!(judge(head.as_bytes()), Err(fault), "{head:?}");
    }
    let old = "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(judge(old.as_bytes()), Err(Coding));
    let foreign = "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(judge(foreign.as_bytes()), Err(HostInvalid));
}

#[test]
fn a_head_in_pieces_is_the_same_head() {
    let head = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
    for cut in 1..head.len() {
        let mut scan = HeadScan::default();
        let first = scan.advance(&head[..cut]).expect("a good head");
        let end = first.or(scan.advance(head).expect("a good head"));
        assert_eq!(end, Some(head.len() - 2), "cut at {cut}");
    }
}

#[test]
fn a_head_without_end_or_with_too_many_fields_is_refused() {
    let endless = [b"GET / HTTP/1.1\r\nX: ".as_slice(), &vec![b'a'; HEAD_MAX]].concat();
    assert_eq!(judge(&endless), Err(HeadFault::TooLong));
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(100));
    assert_eq!(judge(many.as_bytes()), Err(HeadFault::TooManyFields));
    let enough = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(99));
    assert_eq!(judge(enough.as_bytes()), Ok(Some(Framing::Empty)));
}
