//! Sockets and the file: the only part of the simulator that waits.
//!
//! One lock around the whole of [`Simulator`]; nothing waits while it holds it but the write of a line to
//! the file. What was done is written down before it is answered.

use std::fs::File;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::Sleep;

use super::hooks::Post;
use super::{Manner, Reply, Request, Simulator, control, faults};

/// Most bytes of a request's body.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// How long an endpoint may take to answer a webhook.
const HOOK_WAIT_MAX: Duration = Duration::from_secs(10);
/// How long it sleeps when nothing is due.
const TICK_MAX: Duration = Duration::from_millis(500);
/// How long after the half of a body its connection ends.
const CUT_AFTER: Duration = Duration::from_millis(20);
/// What a huge answer is made of: so many pieces of so many bytes, 100 MB together.
const HUGE: (usize, usize) = (1_600, 65_536);

/// A running simulator.
#[derive(Clone)]
struct House {
    simulator: Arc<Mutex<Simulator>>,
    file: Arc<Mutex<Option<File>>>,
    /// Something may be due earlier than was thought.
    woken: Arc<Notify>,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// Serves until the process is told to end. `on_ready` is told the address. `file` is written to, one line
/// for each thing that changes.
pub(crate) async fn serve(
    listen: SocketAddr,
    simulator: Simulator,
    file: Option<File>,
    on_ready: impl FnOnce(SocketAddr) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen).await?;
    let tls =
        HttpsConnectorBuilder::new().with_native_roots()?.https_or_http().enable_http1().build();
    let house = House {
        simulator: Arc::new(Mutex::new(simulator)),
        file: Arc::new(Mutex::new(file)),
        woken: Arc::default(),
        client: Client::builder(TokioExecutor::new()).build(tls),
    };
    tokio::spawn(house.clone().tick());
    on_ready(listener.local_addr()?)?;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(house.clone().converse(stream));
            }
            Err(fault) => {
                tracing::warn!(%fault, "no connection could be taken");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

impl House {
    fn simulator(&self) -> MutexGuard<'_, Simulator> {
        self.simulator.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the simulator, and writes down what that changed.
    fn ask<T>(&self, ask: impl FnOnce(&mut Simulator) -> T) -> T {
        let mut simulator = self.simulator();
        let told = ask(&mut simulator);
        let lines = simulator.lines();
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = file.as_mut() {
            let text: String = lines
                .iter()
                .filter_map(|line| serde_json::to_string(line).ok())
                .map(|line| line + "\n")
                .collect();
            if let Err(fault) = file.write_all(text.as_bytes()) {
                tracing::error!(%fault, "the books could not be written down");
            }
        }
        told
    }

    /// Lets happen what is due, for ever.
    async fn tick(self) {
        loop {
            for post in self.ask(|simulator| simulator.tick(wall_ms())) {
                let house = self.clone();
                tokio::spawn(async move { house.post(post).await });
            }
            let due_ms = self.simulator().due_ms();
            let left = due_ms.map_or(i64::MAX, |due_ms| due_ms.saturating_sub(wall_ms()).max(1));
            let left = Duration::from_millis(u64::try_from(left).unwrap_or(1)).min(TICK_MAX);
            tokio::select! {
                () = tokio::time::sleep(left) => {}
                () = self.woken.notified() => {}
            }
        }
    }

    /// Tries one delivery.
    async fn post(&self, post: Post) {
        let mut request = hyper::Request::post(&post.url);
        for (name, value) in &post.headers {
            request = request.header(*name, value);
        }
        let status = match request.body(Full::new(Bytes::from(post.body))) {
            Ok(request) => {
                let answer = tokio::time::timeout(HOOK_WAIT_MAX, self.client.request(request));
                answer.await.ok().and_then(Result::ok).map(|answer| answer.status().as_u16())
            }
            Err(_) => None,
        };
        self.ask(|simulator| simulator.posted(post.number, status, wall_ms()));
    }

    async fn converse(self, stream: TcpStream) {
        drop(stream.set_nodelay(true));
        let is_reset = Arc::new(AtomicBool::new(false));
        let line = Line { stream, is_reset: Arc::clone(&is_reset) };
        let service =
            service_fn(move |request| self.clone().answer(request, Arc::clone(&is_reset)));
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(line), service);
        if let Err(fault) = served.await {
            tracing::debug!(%fault, "a connection ended early");
        }
    }

    /// An error closes the connection without an answer.
    async fn answer(
        self,
        request: hyper::Request<Incoming>,
        is_reset: Arc<AtomicBool>,
    ) -> Result<Response<Out>, Broken> {
        let (head, body) = request.into_parts();
        let header = |name: &str| {
            let value = head.headers.get(name)?.to_str().ok()?;
            Some(value.to_owned())
        };
        let Ok(body) = Limited::new(body, BODY_BYTES_MAX).collect().await else {
            return plain(413, r#"{"error":{"message":"The body is too large."}}"#.to_owned());
        };
        let request = Request {
            method: head.method.to_string(),
            path: head.uri.path().to_owned(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            authorization: header(AUTHORIZATION.as_str()),
            api_key: header("x-api-key"),
            account: header("stripe-account"),
            key: header("idempotency-key"),
            body: body.to_bytes().to_vec(),
        };
        if request.path.starts_with(control::PREFIX) {
            let Request { method, path, body, .. } = &request;
            let (status, value) =
                self.ask(|simulator| simulator.control(method, path, body, wall_ms()));
            self.woken.notify_one();
            return plain(status, value.to_string());
        }
        let reply = self.ask(|simulator| simulator.answer(&request, wall_ms()));
        self.woken.notify_one();
        for number in &reply.first {
            let post = self.ask(|simulator| simulator.post(*number, wall_ms()));
            if let Some(post) = post {
                self.post(post).await;
            }
        }
        send(reply, &is_reset).await
    }
}

fn plain(status: u16, body: String) -> Result<Response<Out>, Broken> {
    let mut response = Response::new(Out::whole(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    let json = hyper::header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    Ok(response)
}

/// Sends an answer in its manner.
async fn send(reply: Reply, is_reset: &AtomicBool) -> Result<Response<Out>, Broken> {
    let length = reply.body.len();
    let body = match reply.manner {
        Manner::Whole => Out::whole(reply.body),
        Manner::Lost => return Err(Broken),
        Manner::Reset => {
            is_reset.store(true, Ordering::Release);
            return Err(Broken);
        }
        Manner::Never => std::future::pending().await,
        Manner::After { ms } => {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            Out::whole(reply.body)
        }
        Manner::Drip { ms } => {
            let bytes = Bytes::from(reply.body);
            let pieces = (0..bytes.len()).map(move |at| bytes.slice(at..at.saturating_add(1)));
            Out { pause: Duration::from_millis(ms), ..Out::pieces(pieces) }
        }
        Manner::CutBody => {
            let half = Bytes::copy_from_slice(faults::half(&reply.body).as_bytes());
            // The pause lets the half go out before the connection ends.
            Out { breaks: true, pause: CUT_AFTER, ..Out::pieces(std::iter::once(half)) }
        }
        Manner::Huge => {
            let blanks = Bytes::from(vec![b' '; HUGE.1]);
            let last = Bytes::from(reply.body);
            Out::pieces(std::iter::repeat_n(blanks, HUGE.0).chain(std::iter::once(last)))
        }
        Manner::Bomb => Out::pieces(std::iter::once(bomb(&reply.body))),
    };
    let mut response = Response::builder().status(reply.status);
    for (name, value) in &reply.headers {
        response = response.header(*name, value);
    }
    response = match reply.manner {
        Manner::CutBody => response.header(CONTENT_LENGTH, length),
        Manner::Bomb => response.header(CONTENT_ENCODING, "gzip"),
        _ => response,
    };
    let is_page = body.starts_as_page();
    let kind = if is_page { "text/html" } else { "application/json" };
    response.header(CONTENT_TYPE, kind).body(body).map_err(|_| Broken)
}

/// A body behind 100 MB of blanks, compressed.
fn bomb(body: &str) -> Bytes {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let blanks = vec![b' '; HUGE.1];
    let written = (0..HUGE.0)
        .try_for_each(|_| gzip.write_all(&blanks))
        .and_then(|()| gzip.write_all(body.as_bytes()))
        .and_then(|()| gzip.finish());
    Bytes::from(written.expect("memory can be written to"))
}

/// The connection ends here.
#[derive(Debug)]
struct Broken;

impl std::fmt::Display for Broken {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("the script breaks the connection")
    }
}

impl std::error::Error for Broken {}

/// A body in pieces, with pauses between them, that may break off.
struct Out {
    pieces: Box<dyn Iterator<Item = Bytes> + Send + Sync>,
    whole: Option<Bytes>,
    pause: Duration,
    breaks: bool,
    resting: Option<Pin<Box<Sleep>>>,
}

impl Out {
    fn pieces(pieces: impl Iterator<Item = Bytes> + Send + Sync + 'static) -> Out {
        let pause = Duration::ZERO;
        Out { pieces: Box::new(pieces), whole: None, pause, breaks: false, resting: None }
    }

    fn whole(body: String) -> Out {
        Out { whole: Some(Bytes::from(body)), ..Out::pieces(std::iter::empty()) }
    }

    fn starts_as_page(&self) -> bool {
        self.whole.as_ref().is_some_and(|body| body.starts_with(b"<"))
    }
}

impl Body for Out {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if let Some(whole) = self.whole.take() {
            return Poll::Ready(Some(Ok(Frame::data(whole))));
        }
        if let Some(resting) = self.resting.as_mut() {
            ready!(resting.as_mut().poll(context));
            self.resting = None;
        }
        match self.pieces.next() {
            Some(piece) => {
                if !self.pause.is_zero() {
                    self.resting = Some(Box::pin(tokio::time::sleep(self.pause)));
                }
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            None if std::mem::take(&mut self.breaks) => Poll::Ready(Some(Err(Broken))),
            None => Poll::Ready(None),
        }
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        match &self.whole {
            Some(whole) => hyper::body::SizeHint::with_exact(whole.len() as u64),
            None => hyper::body::SizeHint::default(),
        }
    }
}

/// A connection that can be reset: closed so that the other side gets an error and not an end.
struct Line {
    stream: TcpStream,
    is_reset: Arc<AtomicBool>,
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.is_reset.load(Ordering::Acquire) {
            drop(self.stream.set_zero_linger());
        }
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
