//! The way out, as far as calls to PSPs and messages to merchants share it: HTTP/1.1 over TLS, under the
//! machine's certificate authorities. Redirects are not followed and no proxy is asked.

use std::time::Duration;

use hyper::body::Body;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};

/// Who is asking, as every request says.
pub(crate) const USER_AGENT: &str = concat!("requite/", env!("CARGO_PKG_VERSION"));
/// How long it may take to reach an address.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// Connections to the addresses that `names` finds.
pub(crate) fn tcp<R>(names: R) -> HttpConnector<R> {
    let mut tcp = HttpConnector::new_with_resolver(names);
    tcp.enforce_http(false);
    tcp.set_connect_timeout(Some(CONNECT_MAX));
    tcp.set_nodelay(true);
    tcp
}

/// With TLS on them where the address says `https`. Trusts the machine's certificate authorities.
pub(crate) fn tls<R>(tcp: HttpConnector<R>) -> std::io::Result<HttpsConnector<HttpConnector<R>>> {
    let tls = HttpsConnectorBuilder::new().with_native_roots()?;
    Ok(tls.https_or_http().enable_http1().wrap_connector(tcp))
}

/// A client that keeps so many connections to one address without a request, for so long.
pub(crate) fn client<C, B>(
    connections: C,
    idle_connections_max: usize,
    idle_max: Duration,
) -> Client<C, B>
where
    C: Connect + Clone,
    B: Body + Send,
    B::Data: Send,
{
    Client::builder(TokioExecutor::new())
        .pool_idle_timeout(idle_max)
        .pool_max_idle_per_host(idle_connections_max)
        .pool_timer(TokioTimer::new())
        .build(connections)
}

/// An error with its causes. Never has a header or a body in it.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
