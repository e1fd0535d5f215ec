//! Raw bytes over real sockets: what a client can do to the way in, and what it gets. Here are the
//! server under test and what an ordinary client sees; attacks are in the modules beside it.

mod limits;
mod smuggling;
mod stopping;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
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
use tokio::time::timeout;

use super::{
    BodyFault, Codings, Limits, REFUND_BODY_MAX, RequestId, Stopped, guard, read_body, serve,
    with_request_ids,
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
        Server { address, seen, stop, serving }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("the server listens")
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
    let router = guard(router, render);
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
    assert_eq!(statuses(&answer), [200, 200, 200, 200, 200, 404, 200], "{answer}");
    assert!(answer.contains("{\n1\n}\r\n") && answer.contains("\r\nabcde"), "{answer}");
    assert_eq!(server.requests(), 7);
}

#[tokio::test]
async fn bytes_may_arrive_one_by_one() {
    let patient = Limits { head_max: PATIENCE, body_max: PATIENCE, ..limits() };
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
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nhello"), "{answer}");
}

#[tokio::test]
async fn a_client_may_wait_for_permission_to_send_its_body() {
    let server = Server::start(limits()).await;
    let mut socket = server.connect().await;
    let head =
        "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    socket.write_all(head.as_bytes()).await.expect("the server reads");
    let mut interim = [0; 25];
    timeout(PATIENCE, socket.read_exact(&mut interim)).await.expect("in time").expect("an answer");
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    socket.write_all(b"ok").await.expect("the server reads");
    let answer = rest(&mut socket).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("ok"), "{answer}");
}

#[tokio::test]
async fn a_client_that_leaves_does_not_stop_its_handler() {
    let server = Server::start(limits()).await;
    let mut socket = server.connect().await;
    socket.write_all(b"GET /hold HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("the server reads");
    server.seen.held.acquire().await.expect("never closed").forget();
    drop(socket);
    // Were the handler gone, nobody would take the permit.
    server.seen.release.add_permits(1);
    let taken = async {
        while server.seen.release.available_permits() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, taken).await.expect("the handler runs to its end");
}

#[tokio::test]
async fn a_client_that_closes_its_sending_half_gets_its_answer() {
    let server = Server::start(limits()).await;
    let mut socket = server.connect().await;
    socket.write_all(b"GET /hold HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("the server reads");
    socket.shutdown().await.expect("an open socket");
    server.seen.held.acquire().await.expect("never closed").forget();
    server.seen.release.add_permits(1);
    assert_eq!(statuses(&rest(&mut socket).await), [200]);
}

#[tokio::test]
async fn a_panic_is_answered_in_the_faces_words_and_the_process_lives() {
    let server = Server::start(limits()).await;
    let answer = server
        .exchange(b"GET /panic/1 HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .await;
    assert_eq!(statuses(&answer), [500, 200], "{answer}");
    assert!(answer.contains("face says: An internal error occurred."), "{answer}");
    assert!(answer.contains("(req_0000)") && !answer.contains("on purpose"), "{answer}");
    assert!(answer.contains("x-request-id: req_0000\r\n"), "{answer}");
    assert!(answer.contains("x-request-id: req_0001\r\n"), "{answer}");
}

#[tokio::test]
async fn a_request_id_from_outside_is_not_taken_over() {
    let server = Server::start(limits()).await;
    let answer = server.exchange(b"GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: mine\r\n\r\n").await;
    assert!(answer.contains("x-request-id: req_0000\r\n") && !answer.contains("mine"), "{answer}");
}

#[tokio::test]
async fn a_path_that_cannot_be_decoded_is_refused_in_the_faces_words() {
    let server = Server::start(limits()).await;
    for (path, status) in
        [("/%zz", 400), ("/a%00b", 400), ("/panic/%", 400), ("/%ff", 400), ("/%41", 404)]
    {
        let answer =
            server.exchange(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await;
        assert_eq!(statuses(&answer), [status], "{path}: {answer}");
        assert_eq!(answer.contains("face says: the path"), status == 400, "{path}: {answer}");
    }
}

/// Collects what is logged on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no writer panics").extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_request_leaves_one_line_without_anything_its_client_sent() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(tracing::Level::DEBUG)
        .with_writer(move || writer.clone())
        .finish();
    let _logging = tracing::subscriber::set_default(subscriber);
    let server = Server::start(limits()).await;
    let request = "SECRET1 /panic/secret2?secret3=secret4 HTTP/1.1\r\nHost: secret5\r\n\
         Authorization: Bearer secret6\r\nContent-Length: 7\r\n\r\nsecret7";
    server.exchange(request.as_bytes()).await;
    server.exchange(b"GET /secret8 HTTP/1.1\r\nHost: a\nsecret9: x\r\n\r\n").await;
    let text = String::from_utf8(log.0.lock().expect("no writer panics").clone());
    let text = text.expect("a log is text");
    let lines: Vec<&str> = text.lines().filter(|line| line.contains("answered")).collect();
    assert_eq!(lines.len(), 1, "{text}");
    for part in
        ["method=\"other\"", "route=\"/panic/{id}\"", "status=405", "request_id=\"req_0000\""]
    {
        assert!(lines[0].contains(part), "{part}: {text}");
    }
    assert!(!text.to_lowercase().contains("secret"), "{text}");
}
