//! A PSP that misbehaves on the wire, over real sockets, and what each misbehaviour proves.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

mod failures;

const DEADLINE: Duration = Duration::from_millis(400);

fn ask() -> Ask {
    let headers = vec![("idempotency-key", "requite-1".to_owned())];
    let body = Some("amount=1".to_owned());
    Ask { method: "POST", path: "/v1/refunds".to_owned(), headers, body }
}

fn credential() -> (HeaderName, HeaderValue) {
    let mut value = HeaderValue::from_static("Bearer sk_test_secret");
    value.set_sensitive(true);
    (hyper::header::AUTHORIZATION, value)
}

/// Asks a server that reads the request and then does as told.
async fn heard<F>(behave: impl FnOnce(TcpStream, String) -> F) -> Heard
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let transport = Transport::new().expect("the machine has certificates");
    let base: Uri = format!("http://{address}/prefix/").parse().expect("a URI");
    let credential = credential();
    let asked = ask();
    let call = transport.exchange(&base, &credential, &asked, DEADLINE);
    let serve = async {
        let (mut stream, _) = listener.accept().await.expect("a caller");
        let mut bytes = vec![0; 4_096];
        let mut text = String::new();
        while !text.ends_with("amount=1") {
            let n = stream.read(&mut bytes).await.expect("a request");
            text.push_str(&String::from_utf8_lossy(&bytes[..n]));
        }
        tokio::spawn(behave(stream, text));
    };
    tokio::join!(call, serve).0
}

/// Answers with these bytes and closes.
async fn answered(bytes: &'static [u8]) -> Heard {
    heard(move |mut stream, _| async move {
        stream.write_all(bytes).await.expect("the caller listens");
    })
    .await
}

fn word(heard: &Heard) -> String {
    match heard {
        Heard::Answer(answer) => format!("{} {}", answer.status, answer.body.len()),
        Heard::NotSent(fault) => format!("not sent: {}", fault.code),
        Heard::Lost(fault) => format!("lost: {}", fault.code),
    }
}

#[tokio::test]
async fn a_request_is_sent_whole_below_the_account_s_address() {
    let (tell, told) = tokio::sync::oneshot::channel();
    let heard = heard(move |mut stream, text| async move {
        let answer = b"HTTP/1.1 429 Too Many\r\nretry-after: 7\r\ntransient-error: true\r\ncontent-length: 2\r\n\r\n{}";
        stream.write_all(answer).await.expect("the caller listens");
        tell.send(text).expect("the test waits");
    })
    .await;
    let expected =
        Answer { status: 429, retry_after_ms: 7_000, is_transient: true, body: b"{}".to_vec() };
    assert_eq!(heard, Heard::Answer(expected));
    let text = told.await.expect("sent").to_ascii_lowercase();
    assert!(text.starts_with("post /prefix/v1/refunds http/1.1\r\n"), "{text}");
    for line in ["authorization: bearer sk_test_secret", "idempotency-key: requite-1"] {
        assert!(text.contains(line), "{line} in {text}");
    }
}

/// A process that stood still between its decision to send and the sending: what it would send now,
/// another node may be doing again.
#[tokio::test]
async fn a_request_whose_time_to_leave_is_over_does_not_reach_the_psp() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let transport = Transport::new().expect("the machine has certificates");
    let base: Uri = format!("http://{address}").parse().expect("a URI");
    let late = Instant::now() - Duration::from_millis(1);
    let call = request(&base, &credential(), &ask(), late).expect("a request");
    let sent = transport.client.request(call);
    let serve = async {
        let (mut stream, _) = listener.accept().await.expect("a caller");
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.expect("it hangs up");
        bytes
    };
    let (sent, arrived) = tokio::join!(sent, serve);
    let heard = failed(&sent.expect_err("it is too late"));
    assert_eq!(word(&heard), "lost: connection_lost");
    assert_eq!(String::from_utf8_lossy(&arrived), "", "not a byte");
}

/// Once bytes have left, only an answer proves anything.
#[tokio::test]
async fn after_the_request_left_whatever_goes_wrong_is_unknown() {
    let json = answered(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
    assert_eq!(word(&json), "200 2");
    let redirect =
        b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(word(&answered(redirect).await), "302 0", "redirects are not followed");
    for (bytes, expected) in [
        (&b""[..], "lost: connection_lost"),
        (b"HTTP/1.1 2", "lost: connection_lost"),
        (
            b"not HTTP at all, but long enough to be read as something\r\n\r\n",
            "lost: connection_lost",
        ),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{}", "lost: answer_cut"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{}", "lost: answer_cut"),
    ] {
        let heard = answered(bytes).await;
        assert_eq!(word(&heard), expected, "{:?}", String::from_utf8_lossy(bytes));
    }
}

#[tokio::test]
async fn no_answer_in_time_and_answers_without_end_are_cut_off() {
    let silent = heard(|stream, _| async move {
        tokio::time::sleep(Duration::from_secs(5)).await;
        drop(stream);
    })
    .await;
    assert_eq!(word(&silent), "lost: no_answer");
    let dripping = heard(|mut stream, _| async move {
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n";
        let mut next: &[u8] = head;
        while stream.write_all(next).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
            next = b"x";
        }
    })
    .await;
    assert_eq!(word(&dripping), "lost: no_answer");
    let endless = heard(|mut stream, _| async move {
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n";
        let block = vec![b'x'; 65_536];
        let mut next: &[u8] = head;
        while stream.write_all(next).await.is_ok() {
            next = &block;
        }
    })
    .await;
    assert_eq!(word(&endless), "lost: answer_cut");
}
