//! TLS to a database, with the certificates that the machine trusts.
//!
//! What goes to another machine is encrypted, and the other side has to prove who it is, unless the
//! address says `sslmode=disable`. On a socket or a loopback address nothing is encrypted unless the
//! address says `sslmode=require`.

use std::sync::OnceLock;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Puts a definite answer in place of "as the server likes", which is no safe one: whoever sits between
/// could like it unencrypted.
pub(super) fn settle(config: &mut Config) {
    if config.get_ssl_mode() == SslMode::Prefer {
        let is_near = config.get_hosts().iter().all(is_this_machine);
        config.ssl_mode(if is_near { SslMode::Disable } else { SslMode::Require });
    }
}

fn is_this_machine(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            let address: Option<std::net::IpAddr> = name.parse().ok();
            name == "localhost" || address.is_some_and(|address| address.is_loopback())
        }
    }
}

/// The machine's certificates are read once, when the first connection needs them.
pub(super) fn connector() -> Result<MakeRustlsConnect, String> {
    static CONNECTOR: OnceLock<Result<MakeRustlsConnect, String>> = OnceLock::new();
    let made = || match MakeRustlsConnect::with_native_certs() {
        // What of the machine's certificates cannot be read cannot be trusted: no more than that.
        Ok((connector, _)) => Ok(connector),
        Err(faults) => {
            let first =
                faults.first().map_or_else(|| "there are none".to_owned(), |f| f.to_string());
            Err(format!("no certificate of this machine can be read: {first}"))
        }
    };
    CONNECTOR.get_or_init(made).clone()
}
