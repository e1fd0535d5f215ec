//! Raw bytes over real sockets: what a client can do to the way in, and what it gets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::{
    BodyFault, Codings, Limits, REFUND_BODY_MAX, RequestId, Stopped, catch_panics, read_body,
    refuse_bad_paths, serve, with_request_ids,
};

/// No answer takes this long; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(5);

fn limits() -> Limits {
    Limits {
        shed_after: Duration::from_secs(60),
        first_byte_max: Duration::from_millis(150),
        head_max: Duration::from_millis(300),
        idle_max: Duration::from_millis(200),
        body_max: Duration::from_millis(300),
        write_stall_max: Duration::from_millis(300),
        drain_max: Duration::from_secs(3),
        linger_max: Duration::from_millis(300),
        ..Limits::default()
    }
}

/// What the handlers share with the test.
#[derive(Clone)]
struct Seen {
    requests: Arc<AtomicUsize>,
    smuggled: Arc<AtomicUsize>,
    /// `/hold` has begun this often.
    held: Arc<Semaphore>,
    /// `/hold` answers once it gets one of these.
    release: Arc<Semaphore>,
}

struct Server {
    address: SocketAddr,
    seen: Seen,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<Stopped>,
}

impl Server {
    async fn start(limits: Limits) -> Server {
        let seen = Seen {
            requests: Arc::default(),
            smuggled: Arc::default(),
            held: Arc::new(Semaphore::new(0)),
            release: Arc::new(Semaphore::new(0)),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let (stop, stopped) = oneshot::channel::<()>();
        let app = app(seen.clone());
        let serving = tokio::spawn(serve(listener, app, limits, async move {
            drop(stopped.await);
        }));
        Server {
            address,
            seen,
            stop,
            serving,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address)
            .await
            .expect("the server listens")
    }

    /// All that comes back for `bytes`, until the server closes.
    async fn exchange(&self, bytes: &[u8]) -> String {
        let mut socket = self.connect().await;
        // The server may refuse and close before it has all.
        drop(socket.write_all(bytes).await);
        rest(&mut socket).await
    }

    fn requests(&self) -> usize {
        self.seen.requests.load(Ordering::SeqCst)
    }
}

async fn rest(socket: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let end = timeout(PATIENCE, socket.read_to_end(&mut answer)).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    drop(end.unwrap_or_else(|_| panic!("the connection stays open; so far: {answer:?}")));
    answer
}

/// The status of every answer in `text`, in order.
fn statuses(text: &str) -> Vec<u16> {
    text.match_indices("HTTP/1.")
        .filter_map(|(at, mark)| text[at + mark.len()..].get(2..5)?.parse().ok())
        .collect()
}

fn app(seen: Seen) -> Router {
    let next_id = Arc::new(AtomicUsize::new(0));
    let router = Router::new()
        .route("/", get(async || "home"))
        .route("/echo", post(echo))
        .route("/ignore", post(async || "not read"))
        .route("/hold", any(hold))
        .route("/large", get(async || vec![b'a'; 64 * 1024 * 1024]))
        .route("/panic/{id}", get(fail))
        .route("/smuggled", any(smuggled))
        .fallback(async || StatusCode::NOT_FOUND)
        .with_state(seen.clone())
        .layer(axum::middleware::map_request(move |request: Request| {
            seen.requests.fetch_add(1, Ordering::SeqCst);
            async move { request }
        }));
    let router = refuse_bad_paths(catch_panics(router, render), render);
    with_request_ids(
        router,
        Arc::new(move || format!("req_{:04}", next_id.fetch_add(1, Ordering::SeqCst))),
    )
}

fn render(status: StatusCode, text: &str, id: &RequestId) -> Response {
    (status, format!("face says: {text} ({id})")).into_response()
}

async fn echo(mut request: Request) -> Response {
    match read_body(&mut request, REFUND_BODY_MAX, Codings::Plain).await {
        Ok(body) => (StatusCode::OK, body).into_response(),
        Err(fault) => {
            let status = match fault {
                BodyFault::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
                BodyFault::TimedOut => StatusCode::REQUEST_TIMEOUT,
                BodyFault::UnsupportedEncoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
                BodyFault::Malformed | BodyFault::Broken => StatusCode::BAD_REQUEST,
            };
            (status, fault.to_string()).into_response()
        }
    }
}

async fn hold(State(seen): State<Seen>) -> &'static str {
    seen.held.add_permits(1);
    seen.release.acquire().await.expect("never closed").forget();
    "held"
}

async fn fail() -> StatusCode {
    panic!("broken on purpose")
}

async fn smuggled(State(seen): State<Seen>) {
    seen.smuggled.fetch_add(1, Ordering::SeqCst);
}

#[tokio::test]
async fn requests_are_answered_one_after_the_other_on_one_connection() {
    let server = Server::start(limits()).await;
    let answer = server
        .exchange(
            b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n\
              POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\n{\n1\n}\r\n\
              POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\n\
              HEAD / HTTP/1.1\r\nHost: a\r\n\r\n\
              POST /ignore HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody\
              GET /none HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\n\r\n\
              GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        )
        .await;
    assert_eq!(
        statuses(&answer),
        [200, 200, 200, 200, 200, 404, 200],
        "{answer}"
    );
    assert!(
        answer.contains("{\n1\n}\r\n") && answer.contains("\r\nabcde"),
        "{answer}"
    );
    assert_eq!(server.requests(), 7);
}

#[tokio::test]
async fn bytes_may_arrive_one_by_one() {
    let patient = Limits {
        head_max: PATIENCE,
        body_max: PATIENCE,
        ..limits()
    };
    let server = Server::start(patient).await;
    let mut socket = server.connect().await;
    socket.set_nodelay(true).expect("an open socket");
    let bytes =
        b"POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello";
    for byte in bytes {
        socket.write_all(&[*byte]).await.expect("the server reads");
        tokio::task::yield_now().await;
    }
    let answer = rest(&mut socket).await;
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nhello"),
        "{answer}"
    );
}

#[tokio::test]
async fn connections_that_wait_too_long_are_closed() {
    let server = Server::start(limits()).await;
    let ms = Duration::from_millis;
    for (name, bytes, status, soonest, latest) in [
        ("silent", "", &[][..], ms(150), ms(1000)),
        (
            "slow head",
            "GET / HTTP/1.1\r\nHost:",
            &[408],
            ms(300),
            ms(1000),
        ),
        (
            "idle after an answer",
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            &[200],
            ms(200),
            ms(1000),
        ),
        (
            "slow second head",
            "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\n",
            &[200, 408],
            ms(300),
            ms(1000),
        ),
        (
            "slow body",
            "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf",
            &[408],
            ms(300),
            ms(1500),
        ),
        (
            "slow chunks",
            "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhal",
            &[408],
            ms(300),
            ms(1500),
        ),
    ] {
        let began = Instant::now();
        let answer = server.exchange(bytes.as_bytes()).await;
        let took = began.elapsed();
        assert_eq!(statuses(&answer), status, "{name}: {answer}");
        assert!((soonest..latest).contains(&took), "{name}: {took:?}");
    }
}

#[tokio::test]
async fn a_client_that_drips_bytes_gains_no_time() {
    let server = Server::start(limits()).await;
    for start in [
        "GET / HTTP/1.1\r\nX: ",
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9999\r\n\r\n",
    ] {
        let mut socket = server.connect().await;
        let began = Instant::now();
        socket
            .write_all(start.as_bytes())
            .await
            .expect("the server reads");
        let (mut reader, mut writer) = socket.split();
        let mut answer = [0; 12];
        let drip = async {
            let mut drops = tokio::time::interval(Duration::from_millis(20));
            loop {
                drops.tick().await;
                if writer.write_all(b"x").await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::select! {
            read = reader.read_exact(&mut answer) => drop(read.expect("an answer")),
            () = drip => {}
            () = tokio::time::sleep(PATIENCE) => panic!("no answer to {start:?}"),
        }
        assert_eq!(&answer, b"HTTP/1.1 408", "{start:?}");
        assert!(
            began.elapsed() < Duration::from_secs(1),
            "{start:?}: {:?}",
            began.elapsed()
        );
    }
}

#[tokio::test]
async fn an_announced_body_over_the_limit_is_refused_without_waiting() {
    let server = Server::start(Limits {
        body_max: PATIENCE,
        ..limits()
    })
    .await;
    for request in [
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000000\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 65537\r\n\r\nstart",
        "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 65537\r\n\r\n",
    ] {
        let began = Instant::now();
        let answer = server.exchange(request.as_bytes()).await;
        assert_eq!(statuses(&answer), [413], "{answer}");
        assert!(
            began.elapsed() < Duration::from_secs(2),
            "{:?}",
            began.elapsed()
        );
    }
}

#[tokio::test]
async fn endless_chunks_end_at_the_limit_and_the_answer_arrives() {
    let server = Server::start(limits()).await;
    let mut socket = server.connect().await;
    let head = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    socket
        .write_all(head.as_bytes())
        .await
        .expect("the server reads");
    let chunk = format!("400\r\n{}\r\n", "a".repeat(1024));
    for _ in 0..100 {
        if socket.write_all(chunk.as_bytes()).await.is_err() {
            break;
        }
    }
    let answer = rest(&mut socket).await;
    assert_eq!(statuses(&answer), [413], "{answer}");
}

#[tokio::test]
async fn a_body_at_the_limit_is_read_and_one_byte_more_is_not() {
    let server = Server::start(limits()).await;
    for (length, status) in [(0, 200), (REFUND_BODY_MAX, 200), (REFUND_BODY_MAX + 1, 413)] {
        let head = format!(
            "POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
        );
        let answer = server
            .exchange(&[head.as_bytes(), &vec![b'a'; length]].concat())
            .await;
        assert_eq!(statuses(&answer), [status], "{length} bytes");
    }
}

#[tokio::test]
async fn a_client_may_wait_for_permission_to_send_its_body() {
    let server = Server::start(limits()).await;
    let mut socket = server.connect().await;
    let head =
        "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    socket
        .write_all(head.as_bytes())
        .await
        .expect("the server reads");
    let mut interim = [0; 25];
    timeout(PATIENCE, socket.read_exact(&mut interim))
        .await
        .expect("in time")
        .expect("an answer");
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    socket.write_all(b"ok").await.expect("the server reads");
    let answer = rest(&mut socket).await;
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("ok"),
        "{answer}"
    );
}

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
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 44\r\n\r\n",
        &[400],
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
        &[400],
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0, 44\r\n\r\n",
        &[400],
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length : 0\r\n\r\n",
        &[400],
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n 0\r\n\r\n",
        &[400],
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: +0\r\n\r\n",
        &[400],
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0x0\r\n\r\n",
        &[400],
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        &[400],
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        &[400],
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\u{b}chunked\r\n\r\n0\r\n\r\n",
        &[400],
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        &[400],
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n",
        &[400],
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        &[400],
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        &[400],
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n",
        &[400],
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        &[400],
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nX: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        &[400],
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nX: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        &[400],
    ),
    (
        "POST /echo HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        &[400],
    ),
    (
        "POST /echo HTTP/1.1\nHost: a\nContent-Length: 0\n\n",
        &[400],
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\n",
        &[400],
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0\n\r\n",
        &[400],
    ),
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
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\n\n",
        &[400],
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0 \r\n\r\n",
        &[400],
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0;\n\r\n",
        &[400],
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
        &[400],
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n\r\n",
        &[400],
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-0\r\n\r\n",
        &[400],
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\n",
        &[400],
    ),
    (
        "POST /ignore HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\n\n",
        &[200],
    ),
    // The hidden request lies inside an honest body, or behind an announcement that is not kept.
    (
        "POST /ignore HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n",
        &[200],
    ),
    (
        "POST /ignore HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1000\r\n\r\n",
        &[200],
    ),
    (
        "POST /ignore HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n",
        &[200],
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n",
        &[408],
    ),
    (
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        &[200],
    ),
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

#[tokio::test]
async fn nonsense_behind_a_request_does_not_take_back_its_answer() {
    let server = Server::start(limits()).await;
    let answer = server
        .exchange(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n\0nonsense\r\n\r\n")
        .await;
    assert_eq!(statuses(&answer), [200, 400], "{answer}");

    let mut socket = server.connect().await;
    let bytes = b"GET /hold HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\nHost: a\n\n";
    socket.write_all(bytes).await.expect("the server reads");
    server
        .seen
        .held
        .acquire()
        .await
        .expect("never closed")
        .forget();
    server.seen.release.add_permits(1);
    let answer = rest(&mut socket).await;
    assert_eq!(statuses(&answer), [200, 400], "{answer}");
    assert!(answer.contains("held"), "{answer}");
}

#[tokio::test]
async fn a_client_that_leaves_does_not_stop_its_handler() {
    let server = Server::start(limits()).await;
    let mut socket = server.connect().await;
    socket
        .write_all(b"GET /hold HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .expect("the server reads");
    server
        .seen
        .held
        .acquire()
        .await
        .expect("never closed")
        .forget();
    drop(socket);
    // Were the handler gone, nobody would take the permit.
    server.seen.release.add_permits(1);
    let taken = async {
        while server.seen.release.available_permits() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, taken)
        .await
        .expect("the handler runs to its end");
}

#[tokio::test]
async fn a_client_that_closes_its_sending_half_gets_its_answer() {
    let server = Server::start(limits()).await;
    let mut socket = server.connect().await;
    socket
        .write_all(b"GET /hold HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .expect("the server reads");
    socket.shutdown().await.expect("an open socket");
    server
        .seen
        .held
        .acquire()
        .await
        .expect("never closed")
        .forget();
    server.seen.release.add_permits(1);
    assert_eq!(statuses(&rest(&mut socket).await), [200]);
}

#[tokio::test]
async fn a_client_that_takes_nothing_of_its_answer_is_cut_off() {
    let server = Server::start(limits()).await;
    let mut socket = server.connect().await;
    socket
        .write_all(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .expect("the server reads");
    drop(server.stop);
    // The stop waits for this connection, so its end shows that the stall was noticed.
    let stopped = timeout(PATIENCE, server.serving)
        .await
        .expect("in time")
        .expect("no panic");
    assert_eq!(stopped, Stopped { cut_off: 0 });
}

#[tokio::test]
async fn a_connection_over_the_cap_is_told_to_come_back() {
    let server = Server::start(Limits {
        connections_max: 2,
        ..limits()
    })
    .await;
    let mut busy = Vec::new();
    for _ in 0..2 {
        let mut socket = server.connect().await;
        socket
            .write_all(b"GET /hold HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .expect("the server reads");
        server
            .seen
            .held
            .acquire()
            .await
            .expect("never closed")
            .forget();
        busy.push(socket);
    }
    let answer = server.exchange(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(statuses(&answer), [503], "{answer}");
    assert!(answer.contains("retry-after: 1\r\n"), "{answer}");
    server.seen.release.add_permits(2);
    for mut socket in busy {
        assert_eq!(statuses(&rest(&mut socket).await), [200]);
    }
    let served =
        async { while statuses(&server.exchange(b"GET / HTTP/1.0\r\n\r\n").await) != [200] {} };
    timeout(PATIENCE, served)
        .await
        .expect("there is room again");
}

#[tokio::test]
async fn a_waiting_connection_makes_room_for_a_new_one() {
    let server = Server::start(Limits {
        connections_max: 2,
        shed_after: Duration::ZERO,
        first_byte_max: PATIENCE,
        ..limits()
    })
    .await;
    let mut silent = server.connect().await;
    let mut busy = server.connect().await;
    busy.write_all(b"GET /hold HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .expect("the server reads");
    server
        .seen
        .held
        .acquire()
        .await
        .expect("never closed")
        .forget();
    let answer = server.exchange(b"GET / HTTP/1.0\r\n\r\n").await;
    assert_eq!(statuses(&answer), [200], "{answer}");
    assert_eq!(rest(&mut silent).await, "");
    server.seen.release.add_permits(1);
    assert_eq!(statuses(&rest(&mut busy).await), [200]);
}

#[tokio::test]
async fn a_panic_is_answered_in_the_faces_words_and_the_process_lives() {
    let server = Server::start(limits()).await;
    let answer = server
        .exchange(b"GET /panic/1 HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .await;
    assert_eq!(statuses(&answer), [500, 200], "{answer}");
    assert!(
        answer.contains("face says: An internal error occurred."),
        "{answer}"
    );
    assert!(
        answer.contains("(req_0000)") && !answer.contains("on purpose"),
        "{answer}"
    );
    assert!(answer.contains("x-request-id: req_0000\r\n"), "{answer}");
    assert!(answer.contains("x-request-id: req_0001\r\n"), "{answer}");
}

#[tokio::test]
async fn a_request_id_from_outside_is_not_taken_over() {
    let server = Server::start(limits()).await;
    let answer = server
        .exchange(b"GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: mine\r\n\r\n")
        .await;
    assert!(
        answer.contains("x-request-id: req_0000\r\n") && !answer.contains("mine"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_path_that_cannot_be_decoded_is_refused_in_the_faces_words() {
    let server = Server::start(limits()).await;
    for (path, status) in [
        ("/%zz", 400),
        ("/a%00b", 400),
        ("/panic/%", 400),
        ("/%ff", 400),
        ("/%41", 404),
    ] {
        let answer = server
            .exchange(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes())
            .await;
        assert_eq!(statuses(&answer), [status], "{path}: {answer}");
        assert_eq!(
            answer.contains("face says: the path"),
            status == 400,
            "{path}: {answer}"
        );
    }
}

#[tokio::test]
async fn stopping_finishes_what_is_under_way_and_closes_the_rest() {
    let server = Server::start(Limits {
        idle_max: PATIENCE,
        first_byte_max: PATIENCE,
        ..limits()
    })
    .await;
    let mut silent = server.connect().await;
    let mut idle = server.connect().await;
    idle.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .expect("the server reads");
    let mut first = [0; 12];
    idle.read_exact(&mut first).await.expect("an answer");
    let mut busy = server.connect().await;
    busy.write_all(b"GET /hold HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .expect("the server reads");
    server
        .seen
        .held
        .acquire()
        .await
        .expect("never closed")
        .forget();
    let mut uploading = server.connect().await;
    let start = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nha";
    uploading.write_all(start).await.expect("the server reads");
    while server.requests() < 3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    let began = Instant::now();
    server.stop.send(()).expect("the server runs");
    assert_eq!(rest(&mut silent).await, "");
    drop(rest(&mut idle).await);
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "idle connections are closed at once"
    );
    assert!(
        TcpStream::connect(server.address).await.is_err(),
        "nothing listens any more"
    );
    assert!(!server.serving.is_finished());

    uploading.write_all(b"lf").await.expect("the server reads");
    let answer = rest(&mut uploading).await;
    assert!(
        answer.contains("connection: close\r\n") && answer.ends_with("half"),
        "{answer}"
    );
    server.seen.release.add_permits(1);
    let answer = rest(&mut busy).await;
    assert!(
        answer.contains("connection: close\r\n") && answer.ends_with("held"),
        "{answer}"
    );
    let stopped = timeout(PATIENCE, server.serving)
        .await
        .expect("in time")
        .expect("no panic");
    assert_eq!(stopped, Stopped { cut_off: 0 });
}

#[tokio::test]
async fn stopping_does_not_wait_for_ever() {
    let drain_max = Duration::from_millis(200);
    let server = Server::start(Limits {
        drain_max,
        ..limits()
    })
    .await;
    let mut busy = server.connect().await;
    busy.write_all(b"GET /hold HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .expect("the server reads");
    server
        .seen
        .held
        .acquire()
        .await
        .expect("never closed")
        .forget();
    server.stop.send(()).expect("the server runs");
    let stopped = timeout(PATIENCE, server.serving)
        .await
        .expect("in time")
        .expect("no panic");
    assert_eq!(stopped, Stopped { cut_off: 1 });
    assert_eq!(rest(&mut busy).await, "");
}
