//! The way out to merchants' addresses: one message, one answer, within limits. Redirects are not
//! followed, and no proxy is asked.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::Request;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;

use super::address::{self, Addresses, PublicNames};
use crate::outward::{self, USER_AGENT, chain};

/// How long a message may take, from the name's look-up to the answer's end.
const ANSWER_MAX: Duration = Duration::from_secs(15);
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
        let tls = outward::tls(outward::tcp(PublicNames(addresses)))?;
        let client = outward::client(tls, IDLE_CONNECTIONS_MAX, IDLE_MAX);
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
            .header("user-agent", USER_AGENT);
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
