//! What wraps a router: request ids with their log line, panics turned into answers, paths that
//! cannot be decoded refused.
//!
//! Order, from outside: [`with_request_ids`] around everything, once; [`guard`] around each face, with that
//! face's own [`Renderer`].

use std::any::Any;
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::http::{Extensions, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use tokio::time::Instant;
use tracing::Instrument;

use crate::route::Route;

const REQUEST_ID_HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// Makes the ids of requests: time-ordered, unique, visible ASCII.
pub(crate) type IdSource = Arc<dyn Fn() -> String + Send + Sync>;

/// Spells an error in a face's own shape: status, what happened, and the id to quote.
pub(crate) type Renderer = fn(StatusCode, &str, &RequestId) -> Response;

/// Names one request in the log and towards its client. Always ours, never the client's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestId(Arc<str>);

impl RequestId {
    /// The id of the request with these extensions; `-` outside [`with_request_ids`].
    pub(crate) fn of(extensions: &Extensions) -> RequestId {
        extensions.get().cloned().unwrap_or_else(|| RequestId("-".into()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Gives each request an id, as an extension and as the header `x-request-id` of its answer, and one
/// log line: method, face, route pattern, operation, status, milliseconds, id. Never a path, query, header or body.
pub(crate) fn with_request_ids<S>(router: Router<S>, ids: IdSource) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    router.layer(from_fn(move |mut request: Request, next: Next| {
        let id = RequestId(ids().into());
        request.extensions_mut().insert(id.clone());
        let line = LogLine::begin(&request, id.clone());
        let span = tracing::info_span!("request", id = %id);
        async move {
            let mut response = next.run(request).await;
            if let Ok(value) = HeaderValue::from_str(id.as_str()) {
                response.headers_mut().insert(REQUEST_ID_HEADER, value);
            }
            line.end(&response);
            response
        }
        .instrument(span)
    }))
}

/// Written when the request ends, also when that is because its connection was cut off.
struct LogLine {
    method: Method,
    pattern: Option<MatchedPath>,
    /// As the face that answered declares it.
    route: Option<Route>,
    id: RequestId,
    began: Instant,
    status: Option<StatusCode>,
}

impl LogLine {
    fn begin(request: &Request, id: RequestId) -> LogLine {
        LogLine {
            method: request.method().clone(),
            pattern: request.extensions().get::<MatchedPath>().cloned(),
            route: None,
            id,
            began: Instant::now(),
            status: None,
        }
    }

    /// Where the root picked the face, only the answer knows which route it was.
    fn end(mut self, response: &Response) {
        self.route = response.extensions().get::<Route>().copied();
        self.status = Some(response.status());
    }

    /// The standard methods by name; any token may arrive, and the log should not grow with it.
    fn method(&self) -> &str {
        match self.method {
            Method::GET | Method::POST | Method::PUT | Method::PATCH | Method::DELETE => {
                self.method.as_str()
            }
            Method::HEAD | Method::OPTIONS => self.method.as_str(),
            _ => "other",
        }
    }
}

impl Drop for LogLine {
    fn drop(&mut self) {
        let (face, path, operation) =
            self.route.map_or(("-", "-", "-"), |route| (route.face, route.path, route.operation));
        let route = self.pattern.as_ref().map_or(path, MatchedPath::as_str);
        let ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (method, request_id) = (self.method(), self.id.as_str());
        match self.status {
            Some(status) => {
                let status = status.as_u16();
                tracing::info!(method, face, route, operation, status, ms, request_id, "answered");
            }
            None => tracing::warn!(method, route, ms, request_id, "cut off before its answer"),
        }
    }
}

/// Answers 400, spelt by `render`, to a path that [`check_path`] refuses, on every route of `router` and on its
/// fallback; and 500 when a handler panics. The panic is logged under the request's id; the client
/// learns the id only.
pub(crate) fn guard<S>(router: Router<S>, render: Renderer) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    // One layer for both: each costs a request a copy of what it wraps.
    router.layer(from_fn(move |request: Request, next: Next| async move {
        let id = RequestId::of(request.extensions());
        if let Err(fault) = check_path(request.uri()) {
            return render(StatusCode::BAD_REQUEST, &fault.to_string(), &id);
        }
        match unwinding(next.run(request)).await {
            Ok(response) => response,
            Err(panic) => {
                tracing::error!(request_id = %id, panic = panic_text(&*panic), "handler panicked");
                let text = "An internal error occurred. Quote the request id when reporting it.";
                render(StatusCode::INTERNAL_SERVER_ERROR, text, &id)
            }
        }
    }))
}

async fn unwinding<T>(work: impl Future<Output = T>) -> Result<T, Box<dyn Any + Send>> {
    let mut work = pin!(work);
    // After a panic the future is never polled again, so nobody sees what it left half-done.
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&'static str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text")
}

/// Why a path is refused (decision A12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PathFault {
    #[error("the path has a malformed % escape")]
    Escape,
    #[error("the path contains a NUL character")]
    Nul,
    /// Segments are text everywhere behind the router.
    #[error("the path is not UTF-8")]
    NotUtf8,
}

/// Whether every escape of the path can be decoded, to text without NUL. Says nothing of the query.
pub(crate) fn check_path(uri: &Uri) -> Result<(), PathFault> {
    let path = uri.path();
    if !path.contains('%') {
        return if path.contains('\0') { Err(PathFault::Nul) } else { Ok(()) };
    }
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        if *byte != b'%' {
            decoded.push(*byte);
            continue;
        }
        let [high, low, after @ ..] = after else {
            return Err(PathFault::Escape);
        };
        let (Some(high), Some(low)) = (hex(*high), hex(*low)) else {
            return Err(PathFault::Escape);
        };
        decoded.push(high * 16 + low);
        rest = after;
    }
    if decoded.contains(&0) {
        return Err(PathFault::Nul);
    }
    std::str::from_utf8(&decoded).map(|_| ()).map_err(|_| PathFault::NotUtf8)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use axum::http::Uri;

    use super::{PathFault, check_path};

    #[test]
    fn a_path_that_cannot_be_decoded_is_refused() {
        for (path, result) in [
            ("/admin/payments/pay_1/refund", Ok(())),
            ("/a%20b/%e2%82%AC", Ok(())),
            ("/..%2f..%2fetc", Ok(())),
            ("/__proto__", Ok(())),
            ("/x?query=%00%zz", Ok(())),
            ("/%", Err(PathFault::Escape)),
            ("/%4", Err(PathFault::Escape)),
            ("/%zz", Err(PathFault::Escape)),
            ("/%+1", Err(PathFault::Escape)),
            ("/a%00b", Err(PathFault::Nul)),
            ("/%ff", Err(PathFault::NotUtf8)),
            ("/%c0%80", Err(PathFault::NotUtf8)),
            ("/%ed%a0%80", Err(PathFault::NotUtf8)),
        ] {
            let uri: Uri = path.parse().expect("a path of visible characters");
            assert_eq!(check_path(&uri), result, "{path}");
        }
    }
}
