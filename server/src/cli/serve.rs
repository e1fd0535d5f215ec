//! `requite serve`.

use clap::Args;
use tracing_subscriber::EnvFilter;

use super::output::{LogLines, Output};
use super::{Done, Global, settings};
use crate::app;
use crate::config::{self, Config};

/// Run the server
///
/// Prints one line, `listening on http://ADDR`, when it is ready. SIGTERM and Ctrl-C let it finish
/// what is in flight.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  requite serve
  requite serve --database sqlite:/var/lib/requite/requite.db --listen 0.0.0.0:8080
  requite serve --config /etc/requite.toml --check")]
pub(crate) struct Serve {
    /// Address to listen on; port 0 takes a free one [env: REQUITE_LISTEN] [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Only check the settings, and say what is wrong with them
    #[arg(long)]
    check: bool,
}

impl Serve {
    pub(crate) fn run(self, global: &Global, output: &Output) -> Done {
        let listen = self.listen.map(|address| ("listen", address));
        let config = settings(global, listen.into_iter().collect())?;
        if self.check {
            let value = serde_json::json!({"settings": "fine"});
            return Ok(output.result("the settings are fine", &value)?);
        }
        start_log(&config, *output);
        app::serve(&config, |address| {
            output.ready(&format!("http://{address}"))?;
            Ok(())
        })?;
        Ok(())
    }
}

/// Sends logs to standard error from now on.
pub(crate) fn start_log(config: &Config, output: Output) {
    let filter = EnvFilter::builder().parse(&config.log).unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| LogLines);
    let started =
        if output.is_json() { log.json().try_init() } else { log.with_ansi(false).try_init() };
    if let Err(error) = started {
        eprintln!("requite: no log: {error}");
    }
    for name in config::unknown_variables() {
        tracing::warn!(name, "the environment has a variable that begins like ours and is unknown");
    }
}
