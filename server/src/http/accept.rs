//! Takes connections from a listener, serves them, and ends them when the server stops.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Request, Response, StatusCode, header};
use bytes::Bytes;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use requite_engine::fault::{self, Point};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tower::ServiceExt;

use super::flow::{Flow, Leaving};
use super::head::closing_answer;
use super::wire::Wire;
use super::{FIELDS_MAX, HEAD_MAX, Limits};

/// How long the accept loop rests when the system will not give it a connection (no file left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long the accept loop waits for a connection that was told to make room.
const ROOM_WAIT_MAX: Duration = Duration::from_millis(100);

/// Connections that are being told "no room" at once; any more are closed without a word.
const TURNED_AWAY_MAX: usize = 64;

/// How the serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stopped {
    /// Connections that were still busy at the end of the drain, and were cut off.
    pub(crate) cut_off: usize,
}

/// Serves `service` on `listener` until `stop` completes, then finishes what was accepted: requests
/// under way get their answer, waiting connections are closed at once, and after
/// [`Limits::drain_max`] whatever is left is cut off.
///
/// No error of a connection or of accepting ends it. Past the connection cap, room is made by closing
/// the connection that has waited longest for a request; if all are busy, the new one gets 503 with
/// `Retry-After` and is closed.
pub(crate) async fn serve(
    listener: TcpListener,
    service: Router,
    limits: Limits,
    stop: impl Future<Output = ()>,
) -> Stopped {
    let mut house = House::new(service, limits);
    let mut stop = pin!(stop);
    loop {
        tokio::select! {
            biased;
            () = &mut stop => break,
            Some(_) = house.connections.join_next(), if !house.connections.is_empty() => {}
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => house.admit(socket).await,
                Err(error) => house.rest_after(&error).await,
            },
        }
    }
    // Clients whose connection the system has already completed believe that they are accepted.
    while let Ok(Ok((socket, _))) = timeout(Duration::ZERO, listener.accept()).await {
        house.admit(socket).await;
    }
    drop(listener);
    house.close().await
}

struct House {
    service: Router,
    limits: Limits,
    slots: Arc<Semaphore>,
    turned_away: Arc<Semaphore>,
    flows: Arc<Flows>,
    connections: JoinSet<()>,
}

impl House {
    fn new(service: Router, limits: Limits) -> House {
        House {
            service,
            limits,
            slots: Arc::new(Semaphore::new(limits.connections_max)),
            turned_away: Arc::new(Semaphore::new(TURNED_AWAY_MAX)),
            flows: Arc::default(),
            connections: JoinSet::new(),
        }
    }

    async fn admit(&mut self, socket: TcpStream) {
        let Some(slot) = self.slot().await else {
            self.turn_away(socket);
            return;
        };
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(%error, "connection lost before it was served");
            return;
        }
        let listed = Listed::new(&self.flows);
        let wire = Wire::new(socket, Arc::clone(&listed.flow), self.limits);
        let connection =
            converse(wire, self.service.clone(), Arc::clone(&listed.flow), self.limits);
        self.connections.spawn(async move {
            let _slot = slot;
            let _listed = listed;
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection ended early");
            }
        });
    }

    async fn slot(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() {
            return Some(slot);
        }
        // Several at once: looking for the oldest costs a look at all.
        let several = (self.limits.connections_max / 32).max(1);
        if !self.flows.make_room(several, self.limits.shed_after) {
            return None;
        }
        timeout(ROOM_WAIT_MAX, Arc::clone(&self.slots).acquire_owned()).await.ok()?.ok()
    }

    fn turn_away(&mut self, mut socket: TcpStream) {
        tracing::debug!("connection turned away: no room");
        let Ok(permit) = Arc::clone(&self.turned_away).try_acquire_owned() else {
            return;
        };
        let linger_max = self.limits.linger_max;
        self.connections.spawn(async move {
            let _permit = permit;
            let goodbye = async {
                let message = "The server has no room for more connections. Try again shortly.";
                let answer =
                    closing_answer("503 Service Unavailable", "retry-after: 1\r\n", message);
                socket.write_all(answer.as_bytes()).await?;
                socket.shutdown().await?;
                while socket.read(&mut [0; 1024]).await? > 0 {}
                io::Result::Ok(())
            };
            // Whether the client heard it or not, the connection ends here.
            drop(timeout(linger_max, goodbye).await);
        });
    }

    async fn rest_after(&self, error: &io::Error) {
        use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
        if matches!(
            error.kind(),
            ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
        ) {
            return;
        }
        tracing::warn!(%error, "cannot accept connections; closing waiting ones and trying again");
        self.flows.make_room(16, self.limits.shed_after);
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }

    async fn close(mut self) -> Stopped {
        self.flows.stop_all();
        let drained = timeout(self.limits.drain_max, async {
            while self.connections.join_next().await.is_some() {}
        });
        let cut_off = match drained.await {
            Ok(()) => 0,
            Err(_) => self.connections.len(),
        };
        if cut_off > 0 {
            tracing::warn!(cut_off, "connections were still busy at the end of the drain");
        }
        self.connections.shutdown().await;
        Stopped { cut_off }
    }
}

/// Serves one connection to its end.
async fn converse(
    mut wire: Wire<TcpStream>,
    service: Router,
    flow: Arc<Flow>,
    limits: Limits,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    if !poll_fn(|cx| wire.poll_first_head(cx)).await? {
        wire.shutdown().await?;
        return Ok(());
    }
    let mut http = hyper::server::conn::http1::Builder::new();
    // The wire's own limits are shorter; hyper's stands behind them.
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.idle_max + limits.head_max + Duration::from_secs(1))
        .max_headers(FIELDS_MAX)
        .max_buf_size(2 * HEAD_MAX);
    let answer = service_fn(|request| answer(service.clone(), Arc::clone(&flow), request));
    http.serve_connection(TokioIo::new(wire), answer).await?;
    Ok(())
}

async fn answer(
    service: Router,
    flow: Arc<Flow>,
    request: Request<Incoming>,
) -> Result<Response<Answer>, Infallible> {
    let mut response = if flow.claim_head() {
        service.oneshot(request.map(Body::new)).await?
    } else {
        tracing::error!("a request without a checked head was refused");
        unchecked()
    };
    fault::pass(Point::ClientAnswer);
    if flow.leaving().is_some() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response.map(|body| Answer { body, flow }))
}

fn unchecked() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// An answer's body that tells the connection when hyper is done with it.
struct Answer {
    body: Body,
    flow: Arc<Flow>,
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.flow.answer_done();
    }
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Every open connection, by age.
#[derive(Debug, Default)]
struct Flows(Mutex<FlowsState>);

#[derive(Debug, Default)]
struct FlowsState {
    next: u64,
    open: BTreeMap<u64, Arc<Flow>>,
}

impl Flows {
    fn state(&self) -> MutexGuard<'_, FlowsState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends up to `count` connections that have waited longest for a request, and at least
    /// `shed_after`. False when there is none.
    fn make_room(&self, count: usize, shed_after: Duration) -> bool {
        let now = Instant::now();
        let mut waiting: Vec<(Instant, Arc<Flow>)> = self
            .state()
            .open
            .values()
            .filter(|flow| flow.leaving().is_none())
            .filter_map(|flow| Some((flow.waiting_since()?, Arc::clone(flow))))
            .filter(|(since, _)| now.saturating_duration_since(*since) >= shed_after)
            .collect();
        waiting.sort_unstable_by_key(|(since, _)| *since);
        for (_, flow) in waiting.iter().take(count) {
            flow.leave(Leaving::MakeRoom);
        }
        !waiting.is_empty()
    }

    fn stop_all(&self) {
        let open: Vec<Arc<Flow>> = self.state().open.values().cloned().collect();
        for flow in open {
            flow.leave(Leaving::Stop);
        }
    }
}

/// A connection's place in the list, given up when dropped.
struct Listed {
    flow: Arc<Flow>,
    flows: Arc<Flows>,
    place: u64,
}

impl Listed {
    fn new(flows: &Arc<Flows>) -> Listed {
        let flow = Arc::new(Flow::default());
        let mut state = flows.state();
        let place = state.next;
        state.next += 1;
        state.open.insert(place, Arc::clone(&flow));
        drop(state);
        Listed { flow, flows: Arc::clone(flows), place }
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.flows.state().open.remove(&self.place);
    }
}
