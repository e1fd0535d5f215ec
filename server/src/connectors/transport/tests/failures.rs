//! Every way in which a call can fail on the wire, over real sockets, and what each proves. The judge
//! stands on the PSP's side: where it has read a byte of a request, nothing may count as not sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hyper_rustls::HttpsConnectorBuilder;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use tokio::io::AsyncRead;
use tokio::net::TcpSocket;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::*;

/// Far beyond what a failure takes that does not consist in waiting.
const PATIENCE: Duration = Duration::from_secs(60);
/// For failures that do.
const SHORT: Duration = Duration::from_millis(1_500);
const HOST: &str = "127.0.0.1";
/// More than the buffers of a connection take.
const LONG_BODY_BYTES: usize = 16 * 1024 * 1024;

type Authority = CertifiedIssuer<'static, KeyPair>;
type Read = Arc<AtomicUsize>;

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::new(Vec::new()).expect("no names are fine");
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, key()).expect("signed")
}

fn key() -> KeyPair {
    KeyPair::generate().expect("random numbers")
}

/// A server's certificate for a name, valid from one year's beginning to another's.
fn acceptor(name: &str, (from, until): (i32, i32), by: Option<&Authority>) -> TlsAcceptor {
    let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name or an address");
    params.not_before = date_time_ymd(from, 1, 1);
    params.not_after = date_time_ymd(until, 1, 1);
    let key = key();
    let signed = match by {
        Some(authority) => params.signed_by(&key, authority),
        None => params.self_signed(&key),
    };
    let chain: Vec<CertificateDer<'static>> = vec![signed.expect("signed").der().clone()];
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key);
    TlsAcceptor::from(Arc::new(config.expect("a certificate and its key")))
}

/// Trusts this authority and no other.
fn trusting(authority: &Authority) -> Transport {
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).expect("a certificate");
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let tls = HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1();
    Transport::over(tls.wrap_connector(outward::tcp(GaiResolver::new())))
}

/// A PSP that treats every connection as told, and counts what it reads of requests.
async fn psp<F>(behave: impl Fn(TcpStream, Read) -> F + Send + 'static) -> (String, Read)
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind((HOST, 0)).await.expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    let read = Read::default();
    let counted = Arc::clone(&read);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(behave(stream, Arc::clone(&counted)));
        }
    });
    (address, read)
}

/// Reads so many bytes of a request, or to the end of its short body.
async fn take(stream: &mut (impl AsyncRead + Unpin), bytes_max: usize, read: &Read) {
    let (mut text, mut block) = (Vec::new(), vec![0; bytes_max.min(65_536)]);
    while text.len() < bytes_max && !text.ends_with(b"amount=1") {
        let Ok(n @ 1..) = stream.read(&mut block).await else {
            return;
        };
        read.fetch_add(n, Ordering::SeqCst);
        text.extend_from_slice(block.get(..n).expect("as many as were read"));
    }
}

async fn call(transport: &Transport, base: &str, deadline: Duration) -> Heard {
    let base: Uri = base.parse().expect("a URI");
    transport.exchange(&base, &credential(), &ask(), deadline).await
}

fn text(heard: &Heard) -> &str {
    match heard {
        Heard::Answer(_) => "",
        Heard::NotSent(fault) | Heard::Lost(fault) => &fault.text,
    }
}

/// Nobody listens, nobody is there, nobody takes the call.
#[tokio::test]
async fn where_there_is_no_connection_nothing_was_sent() {
    let transport = trusting(&authority("ours"));
    let listener = TcpListener::bind((HOST, 0)).await.expect("a free port");
    let closed = listener.local_addr().expect("bound");
    drop(listener);
    // Its backlog is full: what asks for a connection is not answered.
    let full = TcpSocket::new_v4().expect("a socket");
    full.bind(format!("{HOST}:0").parse().expect("an address")).expect("a free port");
    let full = full.listen(1).expect("listens");
    let full_address = full.local_addr().expect("bound");
    let mut crowd = Vec::new();
    let step = Duration::from_millis(300);
    while let Ok(made) = tokio::time::timeout(step, TcpStream::connect(full_address)).await {
        crowd.push(made.expect("one more connection"));
        assert!(crowd.len() < 64, "the backlog is never full");
    }
    for (name, base, deadline) in [
        ("refused", format!("http://{closed}"), PATIENCE),
        ("refused, with TLS", format!("https://{closed}"), PATIENCE),
        ("no such host", "http://host.invalid".to_owned(), PATIENCE),
        ("no route", "http://255.255.255.255".to_owned(), PATIENCE),
        ("nobody takes it", format!("http://{full_address}"), SHORT),
        ("nobody takes it, with TLS", format!("https://{full_address}"), SHORT),
        ("nobody takes it, until the limit", format!("http://{full_address}"), PATIENCE),
        ("no time is left", format!("http://{full_address}"), Duration::ZERO),
    ] {
        let heard = call(&transport, &base, deadline).await;
        let expected = if deadline.is_zero() { "no_time" } else { "not_connected" };
        assert_eq!(word(&heard), format!("not sent: {expected}"), "{name}: {}", text(&heard));
    }
}

/// A PSP whose identity is not proven hears nothing of the request, its credential included.
#[tokio::test]
async fn where_tls_fails_nothing_was_sent() {
    let (ours, theirs, feigned) = (authority("ours"), authority("theirs"), authority("ours"));
    let transport = trusting(&ours);
    let far = (2_020, 4_000);
    for (name, acceptor, complaint) in [
        ("expired", acceptor(HOST, (2_020, 2_021), Some(&ours)), "expired"),
        ("not yet valid", acceptor(HOST, (3_990, 4_000), Some(&ours)), "not valid yet"),
        ("another authority's", acceptor(HOST, far, Some(&theirs)), "UnknownIssuer"),
        ("one's with our authority's name", acceptor(HOST, far, Some(&feigned)), "BadSignature"),
        ("nobody's but its own", acceptor(HOST, far, None), "UnknownIssuer"),
        ("another host's", acceptor("psp.example", far, Some(&ours)), "not valid for name"),
        ("another address's", acceptor("127.0.0.2", far, Some(&ours)), "not valid for name"),
    ] {
        let (address, read) = psp(move |stream, read| {
            let acceptor = acceptor.clone();
            async move {
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    take(&mut stream, usize::MAX, &read).await;
                }
            }
        })
        .await;
        let heard = call(&transport, &format!("https://{address}"), PATIENCE).await;
        assert_eq!(word(&heard), "not sent: not_connected", "{name}: {}", text(&heard));
        assert!(text(&heard).contains(complaint), "{name}: {}", text(&heard));
        assert_eq!(read.load(Ordering::SeqCst), 0, "{name}");
    }
    let (address, _) = psp(|mut stream, _| async move {
        drop(stream.write_all(b"HTTP/1.1 400 no TLS here\r\n\r\n").await);
    })
    .await;
    let heard = call(&transport, &format!("https://{address}"), PATIENCE).await;
    assert_eq!(word(&heard), "not sent: not_connected", "plain HTTP: {}", text(&heard));
    let (address, _) = psp(|mut stream, _| async move {
        drop(stream.write_all(&[0xFF; 4_096]).await);
    })
    .await;
    let heard = call(&transport, &format!("https://{address}"), PATIENCE).await;
    assert_eq!(word(&heard), "not sent: not_connected", "garbage: {}", text(&heard));
    let (address, _) = psp(|stream, _| async move { drop(stream) }).await;
    let heard = call(&transport, &format!("https://{address}"), PATIENCE).await;
    assert_eq!(word(&heard), "not sent: not_connected", "hung up: {}", text(&heard));
    let (address, _) = psp(|stream, _| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let heard = call(&transport, &format!("https://{address}"), SHORT).await;
    assert_eq!(word(&heard), "not sent: not_connected", "silence: {}", text(&heard));
}

/// The same PSP with a certificate in order is asked, and answers; then it cuts its answers.
#[tokio::test]
async fn where_tls_stands_only_an_answer_proves_anything() {
    let ours = authority("ours");
    let transport = trusting(&ours);
    let acceptor = acceptor(HOST, (2_020, 4_000), Some(&ours));
    let whole = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}";
    for (answer, expected) in [
        (whole, "200 2"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}", "lost: answer_cut"),
        // Without TLS's own end nobody knows whether that was all.
        ("HTTP/1.1 200 OK\r\n\r\n{}", "lost: answer_cut"),
        ("", "lost: connection_lost"),
    ] {
        let acceptor = acceptor.clone();
        let (address, read) = psp(move |stream, read| {
            let acceptor = acceptor.clone();
            async move {
                let mut stream = acceptor.accept(stream).await.expect("it trusts us");
                take(&mut stream, usize::MAX, &read).await;
                stream.write_all(answer.as_bytes()).await.expect("it listens");
                stream.flush().await.expect("it listens");
            }
        })
        .await;
        let heard = call(&transport, &format!("https://{address}"), PATIENCE).await;
        assert_eq!(word(&heard), expected, "{answer:?}: {}", text(&heard));
        assert!(read.load(Ordering::SeqCst) > 0, "{answer:?}");
    }
}

/// What becomes of a connection once a request is on it.
#[derive(Clone, Copy, Debug)]
enum End {
    /// Reset, after so many bytes of the request were read.
    Reset { after: usize },
    /// Closed in order, after all of it was read.
    Closed,
    /// Kept open, and nothing said.
    Silent,
}

#[tokio::test]
async fn what_the_psp_may_have_read_is_unknown() {
    let transport = trusting(&authority("ours"));
    let whole = usize::MAX;
    for (end, deadline, code) in [
        (End::Reset { after: 1 }, PATIENCE, "connection_lost"),
        (End::Reset { after: 100 }, PATIENCE, "connection_lost"),
        (End::Reset { after: 1_000_000 }, PATIENCE, "connection_lost"),
        (End::Reset { after: whole }, PATIENCE, "connection_lost"),
        (End::Closed, PATIENCE, "connection_lost"),
        (End::Silent, SHORT, "no_answer"),
    ] {
        let (address, read) = psp(move |mut stream, read| async move {
            match end {
                End::Reset { after } => {
                    take(&mut stream, after, &read).await;
                    stream.set_zero_linger().expect("a socket");
                }
                End::Closed => take(&mut stream, whole, &read).await,
                End::Silent => {
                    take(&mut stream, whole, &read).await;
                    std::future::pending::<()>().await;
                }
            }
        })
        .await;
        let is_cut_short = matches!(end, End::Reset { after } if after != whole);
        let body = if is_cut_short { "x".repeat(LONG_BODY_BYTES) } else { "amount=1".to_owned() };
        let ask = Ask { body: Some(body), ..ask() };
        let base: Uri = format!("http://{address}").parse().expect("a URI");
        let heard = transport.exchange(&base, &credential(), &ask, deadline).await;
        assert_eq!(word(&heard), format!("lost: {code}"), "{end:?}: {}", text(&heard));
        assert!(read.load(Ordering::SeqCst) > 0, "{end:?}");
    }
}

/// A PSP that hangs up before it has read anything: our system may have taken the request off our
/// hands already, and then only the PSP knows that it was not read. Both are right, as long as what counts
/// as not sent was never read; over a connection that was kept and is closed, it is always known.
#[tokio::test]
async fn hanging_up_on_us_is_proof_only_before_the_request_has_begun() {
    let transport = trusting(&authority("ours"));
    let (address, _) = psp(|stream, _| async move {
        stream.set_zero_linger().expect("a socket");
    })
    .await;
    for _ in 0..200 {
        let heard = call(&transport, &format!("http://{address}"), PATIENCE).await;
        let known = ["not sent: not_connected", "not sent: not_begun", "lost: connection_lost"];
        assert!(known.contains(&word(&heard).as_str()), "{} {}", word(&heard), text(&heard));
    }
    let listener = TcpListener::bind((HOST, 0)).await.expect("a free port");
    let base = format!("http://{}", listener.local_addr().expect("bound"));
    let serve = async move {
        let (mut stream, _) = listener.accept().await.expect("a caller");
        drop(listener);
        take(&mut stream, usize::MAX, &Read::default()).await;
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        stream.write_all(answer).await.expect("it listens");
        stream
    };
    let (heard, kept) = tokio::join!(call(&transport, &base, PATIENCE), serve);
    assert_eq!(word(&heard), "200 2");
    drop(kept);
    let ended = tokio::time::timeout(PATIENCE, async {
        // The end of the connection may be on its way still: then the next call is lost on it.
        loop {
            match call(&transport, &base, PATIENCE).await {
                Heard::NotSent(fault) => return fault,
                Heard::Lost(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                Heard::Answer(answer) => panic!("{answer:?}"),
            }
        }
    });
    assert_eq!(ended.await.expect("in time").code, "not_connected");
}
