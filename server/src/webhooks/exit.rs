//! The way out to merchants' addresses: one message, one answer, within limits. Redirects are not
//! followed, and no proxy is asked.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::Request;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::address::{self, Addresses, PublicNames};

/// How long a message may take, from the name's look-up to the answer's end.
const ANSWER_MAX: Duration = Duration::from_secs(15);
/// How long it may take to reach an address.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Most of an answer's body that is read; nothing of it is used.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// How long a connection without a message is kept.
const IDLE_MAX: Duration = Duration::from_secs(10);
/// Connections to one address that are kept without a message.
const IDLE_CONNECTIONS_MAX: usize = 2;

pub(super) struct Exit {
    client: Client<HttpsConnector<HttpConnector<PublicNames>>, Full<Bytes>>,
    addresses: Addresses,
}

impl Exit {
    /// Trusts the machine's certificate authorities.
    pub(super) fn new(addresses: Addresses) -> std::io::Result<Exit> {
        let mut tcp = HttpConnector::new_with_resolver(PublicNames(addresses));
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT_MAX));
        tcp.set_nodelay(true);
        let tls = HttpsConnectorBuilder::new()
            .with_native_roots()?
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_MAX)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .pool_timer(TokioTimer::new())
            .build(tls);
        Ok(Exit { client, addresses })
    }

    /// Sends a message. It has arrived when the answer's status is a 2xx.
    ///
    /// # Errors
    /// Why it has not, as far as is known, for people.
    pub(super) async fn post(
        &self,
        url: &str,
        headers: Vec<(&'static str, String)>,
        body: String,
    ) -> Result<(), String> {
        let uri = address::check(url, self.addresses).map_err(|why| format!("the URL {why}"))?;
        let mut request = Request::post(uri)
            .header("content-type", "application/json")
            .header("user-agent", concat!("requite/", env!("CARGO_PKG_VERSION")));
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(Bytes::from(body))).map_err(|e| e.to_string())?;
        let answered = tokio::time::timeout(ANSWER_MAX, self.client.request(request)).await;
        let response = match answered {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(chain(&error)),
            Err(_) => return Err(format!("no answer within {} s", ANSWER_MAX.as_secs())),
        };
        let status = response.status();
        // Read to its end, so that the connection can be used again; what does not end is cut off.
        let rest = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect();
        drop(tokio::time::timeout(Duration::from_secs(1), rest).await);
        match status.as_u16() {
            200..=299 => Ok(()),
            300..=399 => Err(format!("answered {status}; redirects are not followed")),
            _ => Err(format!("answered {status}")),
        }
    }
}

/// An error with its causes. Never has a header or a body in it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
