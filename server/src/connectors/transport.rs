//! The way to a PSP: HTTP over TLS, and what its failures prove.
//!
//! - A request that was never given to a connection, and one that a connection gave back before its
//!   first byte, reached nobody ([`Heard::NotSent`]).
//! - Whatever else goes wrong, the PSP may have acted ([`Heard::Lost`]). That a connection was closed
//!   without an answer proves nothing: what our system has taken off our hands may have been read.
//!
//! Redirects are not followed and no proxy is asked: a credential goes to the account's own address and
//! to no other.

use std::error::Error as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{Request, Response, Uri};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::dns::GaiResolver;
use hyper_util::client::legacy::connect::{HttpConnector, capture_connection};
use hyper_util::client::legacy::{Client, Error};
use requite_engine::fault::{Point, pass};
use tokio::time::Instant;

use super::exchange::{ANSWER_BYTES_MAX, Answer, Ask, Heard, fault};
use crate::outward::{self, USER_AGENT, chain};

/// A request leaves within this part of its time: the PSP has the rest to act, before somebody asks it
/// whether it did.
const LEAVES_WITHIN: u32 = 2;
/// How long a connection without a request is kept.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// Connections to one PSP that are kept without a request.
const IDLE_CONNECTIONS_MAX: usize = 16;
/// Longest `Retry-After` that is believed: an hour.
const RETRY_AFTER_SECONDS_MAX: i64 = 3_600;

/// Cheap to clone; clones share their connections.
#[derive(Clone)]
pub(crate) struct Transport {
    client: Client<HttpsConnector<HttpConnector>, Prompt>,
}

/// A request's body that leaves in time or not at all. It is asked for on the connection's own task, and
/// nothing of the request has left before; so a process that stood still meanwhile sends nothing that
/// another node may have given up, and be doing again.
struct Prompt {
    body: Option<Bytes>,
    leaves_by: Instant,
}

impl Body for Prompt {
    type Data = Bytes;
    type Error = TooLate;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, TooLate>>> {
        if Instant::now() > self.leaves_by {
            return Poll::Ready(Some(Err(TooLate)));
        }
        pass(Point::CallConnected);
        Poll::Ready(self.body.take().map(|body| Ok(Frame::data(body))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let length = self.body.as_ref().map_or(0, Bytes::len);
        SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the request would have left too late, and was not sent whole")]
struct TooLate;

impl Transport {
    /// Trusts the machine's certificate authorities.
    pub(crate) fn new() -> std::io::Result<Transport> {
        Ok(Transport::over(outward::tls(outward::tcp(GaiResolver::new()))?))
    }

    fn over(connections: HttpsConnector<HttpConnector>) -> Transport {
        let client = outward::client(connections, IDLE_CONNECTIONS_MAX, IDLE_MAX);
        Transport { client }
    }

    /// One request and its answer, or what is known without one. `credential` is the header that
    /// opens the account.
    pub(crate) async fn exchange(
        &self,
        base: &Uri,
        credential: &(HeaderName, HeaderValue),
        ask: &Ask,
        deadline: Duration,
    ) -> Heard {
        if deadline.is_zero() {
            return Heard::NotSent(fault("no_time", "the time for the call was over"));
        }
        let leaves_by = Instant::now() + deadline / LEAVES_WITHIN;
        let mut request = match request(base, credential, ask, leaves_by) {
            Ok(request) => request,
            Err(text) => return Heard::NotSent(fault("request_impossible", text)),
        };
        let given = capture_connection(&mut request);
        let answered = async {
            let response = self.client.request(request).await.map_err(|error| failed(&error))?;
            pass(Point::CallHead);
            let answer = read(response).await;
            pass(Point::CallAnswered);
            answer
        };
        match tokio::time::timeout(deadline, answered).await {
            Ok(Ok(answer)) => Heard::Answer(answer),
            Ok(Err(heard)) => heard,
            Err(_) if given.connection_metadata().is_none() => {
                let ms = deadline.as_millis();
                Heard::NotSent(fault("not_connected", format!("no connection within {ms} ms")))
            }
            Err(_) => {
                let ms = deadline.as_millis();
                Heard::Lost(fault("no_answer", format!("no answer within {ms} ms")))
            }
        }
    }
}

fn request(
    base: &Uri,
    (name, credential): &(HeaderName, HeaderValue),
    ask: &Ask,
    leaves_by: Instant,
) -> Result<Request<Prompt>, String> {
    let prefix = base.path().trim_end_matches('/');
    let authority = base.authority().ok_or("the account's base URL names no host")?;
    let scheme = base.scheme_str().unwrap_or("https");
    let uri = format!("{scheme}://{authority}{prefix}{}", ask.path);
    let mut request = Request::builder()
        .method(ask.method)
        .uri(uri)
        .header("user-agent", USER_AGENT)
        .header("accept", "application/json")
        .header(name, credential);
    for (name, value) in &ask.headers {
        request = request.header(*name, value);
    }
    let body = ask.body.clone().map(Bytes::from);
    request.body(Prompt { body, leaves_by }).map_err(|error| error.to_string())
}

/// What a failed request proves.
fn failed(error: &Error) -> Heard {
    let text = chain(error);
    // Errors from before a connection was chosen know none.
    if error.connect_info().is_none() {
        return Heard::NotSent(fault("not_connected", text));
    }
    // A connection that turns out to be closed before it began with a request gives it back.
    let cause = error.source().and_then(|cause| cause.downcast_ref::<hyper::Error>());
    if cause.is_some_and(hyper::Error::is_canceled) {
        return Heard::NotSent(fault("not_begun", text));
    }
    Heard::Lost(fault("connection_lost", text))
}

async fn read(response: Response<hyper::body::Incoming>) -> Result<Answer, Heard> {
    let status = response.status().as_u16();
    let seconds = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let seconds = seconds.and_then(|text| text.trim().parse::<i64>().ok()).unwrap_or(0);
    let retry_after_ms = seconds.clamp(0, RETRY_AFTER_SECONDS_MAX).saturating_mul(1_000);
    let transient = response.headers().get("transient-error").map(HeaderValue::as_bytes);
    let is_transient = transient.is_some_and(|value| value.eq_ignore_ascii_case(b"true"));
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
    let body = body.map_err(|error| {
        let text = format!("status {status}, and then: {}", chain(error.as_ref()));
        Heard::Lost(fault("answer_cut", text))
    })?;
    Ok(Answer { status, retry_after_ms, is_transient, body: body.to_bytes().to_vec() })
}

#[cfg(test)]
mod tests;
