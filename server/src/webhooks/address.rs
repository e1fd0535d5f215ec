//! Where messages may go: to public addresses, over TLS. A merchant chooses the URL and this server sends to
//! it from inside, so it must not lead to what only the inside can reach.
//!
//! A URL is checked when it is saved, with the addresses that its name has then, and again each time
//! something is sent, with the address that the connection goes to ([`PublicNames`]): a name may move.
//! For tests and development a setting lets everything pass.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper::http::uri::Authority;
use hyper_util::client::legacy::connect::dns::Name;

/// Longest URL, in bytes.
pub(crate) const URL_BYTES_MAX: usize = 2_048;
/// How long a name may take to be resolved when it is saved. One that takes longer is looked at when
/// something is sent.
const RESOLVE_MAX: Duration = Duration::from_secs(2);
/// Ports below it belong to other services; 443 is the one for us.
const PORT_MIN: u16 = 1_024;

/// The setting `webhooks.addresses`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Addresses {
    Public,
    /// Also http, and what is inside: for tests and development.
    Any,
}

/// The URL, if it is one that messages may go to, as far as can be told without asking for names.
///
/// # Errors
/// What is wrong with it, for whoever wrote it.
pub(crate) fn check(text: &str, addresses: Addresses) -> Result<Uri, String> {
    let is_plain = (1..=URL_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\\#\"<>^`{|}".contains(&byte));
    if !is_plain {
        return Err(format!(
            "must be a URL of 1 to {URL_BYTES_MAX} plain characters, without a fragment"
        ));
    }
    let uri: Uri = text.parse().map_err(|_| "is no URL".to_owned())?;
    let authority =
        uri.authority().ok_or("must be a whole URL, such as https://example.com/hook")?;
    if authority.as_str().contains('@') {
        return Err("must not have a user name or password in it".to_owned());
    }
    match (uri.scheme_str(), addresses) {
        (Some("https"), _) | (Some("http"), Addresses::Any) => {}
        _ => return Err("must begin with https://".to_owned()),
    }
    if addresses == Addresses::Public {
        check_host(authority.host())?;
        check_port(authority)?;
    }
    Ok(uri)
}

/// As [`check`], with the addresses that its name has now.
pub(crate) async fn check_saved(text: &str, addresses: Addresses) -> Result<(), String> {
    let uri = check(text, addresses)?;
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    if addresses == Addresses::Any || host.parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    let found = tokio::time::timeout(RESOLVE_MAX, tokio::net::lookup_host((host, 443))).await;
    // A name that is not known now may be later; it is looked at again before anything is sent.
    let Ok(Ok(mut found)) = found else { return Ok(()) };
    match found.all(|address| is_public(address.ip())) {
        true => Ok(()),
        false => Err("leads to an address that is not public".to_owned()),
    }
}

fn check_host(host: &str) -> Result<(), String> {
    let not_public = || Err("leads to an address that is not public".to_owned());
    if let Some(inside) = host.strip_prefix('[') {
        let address = inside.strip_suffix(']').and_then(|text| text.parse::<Ipv6Addr>().ok());
        return match address {
            Some(address) if is_public(address.into()) => Ok(()),
            Some(_) => not_public(),
            None => Err("has a host that is no address".to_owned()),
        };
    }
    if let Ok(address) = host.parse::<Ipv4Addr>() {
        return if is_public(address.into()) { Ok(()) } else { not_public() };
    }
    check_name(&host.to_ascii_lowercase())
}

/// A name with a dot, and none of the spellings of an address that only some programs know.
fn check_name(host: &str) -> Result<(), String> {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let labels: Vec<&str> = host.split('.').collect();
    let last = labels.last().copied().unwrap_or_default();
    let is_number = last.starts_with("0x") || last.bytes().all(|byte| byte.is_ascii_digit());
    if labels.len() < 2 || !labels.iter().all(|label| is_label(label)) || is_number {
        return Err("must name a host, such as example.com".to_owned());
    }
    if ["localhost", "local", "internal", "localdomain", "lan", "home", "corp"].contains(&last) {
        return Err("names a host that is not public".to_owned());
    }
    Ok(())
}

fn check_port(authority: &Authority) -> Result<(), String> {
    match authority.port_u16() {
        Some(443) => Ok(()),
        Some(port) if port >= PORT_MIN => Ok(()),
        // What stands behind the host and is no port would be passed over where it is sent to.
        None if authority.as_str() == authority.host() => Ok(()),
        _ => Err(format!("must have the port 443, or one from {PORT_MIN} on")),
    }
}

/// Is this an address that anybody may reach? Everything that is set aside for something is not, and
/// neither is what only stands for another address.
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_set_aside = matches!(
        (a, b, c),
        (0 | 10 | 127 | 224..=255, ..)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 168, _)
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (198, 18 | 19, _)
            | (198, 51, 100)
            | (203, 0, 113)
    );
    !is_set_aside
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    // Global unicast, but for what is set aside in it: protocols and Teredo, documentation, 6to4.
    let is_global = a & 0xe000 == 0x2000;
    let is_set_aside =
        (a == 0x2001 && (b < 0x0200 || b == 0x0db8)) || a == 0x2002 || (a == 0x3fff && b < 0x1000);
    is_global && !is_set_aside
}

/// Resolves names, and refuses one that has an address which is not public.
#[derive(Clone, Copy, Debug)]
pub(super) struct PublicNames(pub Addresses);

impl tower::Service<Name> for PublicNames {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = std::io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let PublicNames(addresses) = *self;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let found: Vec<SocketAddr> = found.collect();
            let is_fine =
                addresses == Addresses::Any || found.iter().all(|address| is_public(address.ip()));
            if is_fine {
                return Ok(found.into_iter());
            }
            Err(std::io::Error::other("the name leads to an address that is not public"))
        })
    }
}

#[cfg(test)]
mod tests;
