//! The command line: what can be asked, how it is answered, and with which exit code.
//!
//! Results go to standard output, for people or, with `--json`, as one JSON object a line;
//! everything else goes to standard error. Exit codes: 0 done, 1 refused or failed, 2 wrong usage,
//! 65 what is in the store's place is damaged or of another program, 66 the store has gone or cannot be opened,
//! 74 the disk did not take what was written, 78 settings that cannot be used.
//!
//! Start at [`run`].

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use requite_engine::store::sqlite::{OpenFault, UNSYNCED_EXIT};

use crate::config::{self, Config, Flags};
use crate::connectors::account::Unusable;
use output::{Output, visible};

mod backup;
mod connector;
mod demo;
mod import;
mod key;
mod merchant;
mod migrate;
mod output;
mod progress;
mod psp;
mod refund;
mod restored;
mod serve;
mod user;
mod verify;

/// What `EX_CONFIG` is in sysexits.h.
const SETTINGS_EXIT: u8 = 78;
/// `EX_DATAERR`: something is in the store's place that is no whole store of this program.
const STORE_CONTENT_EXIT: u8 = 65;
/// `EX_NOINPUT`: the store is not there, or cannot be opened.
const STORE_EXIT: u8 = 66;

/// A refund server: five existing refund APIs over one engine that gives money back exactly once.
#[derive(Debug, Parser)]
#[command(name = "requite", version, after_help = EXAMPLES)]
struct Line {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  requite demo
      Try it: a server with a sample shop, and a curl line for each API
  requite serve --database sqlite:/var/lib/requite/requite.db --listen 127.0.0.1:8080
      Run it
  requite merchant create \"My Shop\"
  requite key create --merchant my-shop --face medusa-v2
      Let a shop in

Settings come from a TOML file (--config), over it the environment (REQUITE_DATABASE,
REQUITE_LISTEN, REQUITE_LOG, REQUITE_CORS_ORIGINS, REQUITE_PSP_CALL_DEADLINE_MS, ...), over it options.";

#[derive(Debug, Args)]
struct Global {
    /// Where everything is kept: sqlite:PATH or postgres://USER:PASSWORD@HOST:PORT/DATABASE
    /// [env: REQUITE_DATABASE, which keeps a password out of the list of processes] [default:
    /// sqlite:requite.db]
    #[arg(long, global = true, value_name = "URL")]
    database: Option<String>,
    /// Settings file (TOML) [env: REQUITE_CONFIG]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One JSON object a line on standard output, and JSON logs on standard error
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Demo),
    Serve(serve::Serve),
    #[command(subcommand)]
    Merchant(merchant::Merchant),
    #[command(subcommand)]
    Key(key::Key),
    #[command(subcommand)]
    User(user::User),
    #[command(subcommand)]
    Connector(connector::Connector),
    Import(import::Import),
    #[command(subcommand)]
    Refund(refund::Refund),
    Verify(verify::Verify),
    Backup(backup::Backup),
    Restored(restored::Restored),
    Migrate(migrate::Migrate),
    Psp(psp::Psp),
}

/// Why a command ended without success.
#[derive(Debug)]
enum Trouble {
    /// Something was refused or failed.
    Failed(anyhow::Error),
    /// Wrong usage that only shows after the arguments were read.
    Usage(String),
    Settings(config::Fault),
}

impl<E: Into<anyhow::Error>> From<E> for Trouble {
    fn from(error: E) -> Trouble {
        Trouble::Failed(error.into())
    }
}

type Done = Result<(), Trouble>;

/// Runs what the arguments of this process ask for.
pub fn run() -> ExitCode {
    #[cfg(debug_assertions)]
    if let Some(exit) = break_where_asked() {
        return exit;
    }
    let line = match Line::try_parse() {
        Ok(line) => line,
        Err(error) => {
            // Help and version are no mistakes and go to standard output.
            drop(error.print());
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match command(line) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Trouble::Failed(error)) => {
            eprintln!("requite: {}", visible(&format!("{error:#}")));
            failure(&error)
        }
        Err(Trouble::Usage(problem)) => {
            eprintln!("requite: {}\nSee requite --help.", visible(&problem));
            ExitCode::from(2)
        }
        Err(Trouble::Settings(fault)) => {
            eprintln!("requite: {}", visible(&fault.to_string()));
            ExitCode::from(if fault.is_flag { 2 } else { SETTINGS_EXIT })
        }
    }
}

/// A store that cannot be used has exit codes of its own: whoever restarts a server must not do so for ever.
fn failure(error: &anyhow::Error) -> ExitCode {
    let is_key = |cause: &Unusable| cause.is_for_want_of_its_key();
    if error.chain().any(|cause| cause.downcast_ref().is_some_and(is_key)) {
        return ExitCode::from(SETTINGS_EXIT);
    }
    let fault = error.chain().find_map(|cause| cause.downcast_ref::<OpenFault>());
    let code = match fault {
        Some(OpenFault::Served(_)) | None => return ExitCode::FAILURE,
        Some(OpenFault::Unsynced { .. } | OpenFault::UnsyncedShared(_)) => UNSYNCED_EXIT,
        Some(fault) if fault.is_of_content() => STORE_CONTENT_EXIT,
        Some(_) => STORE_EXIT,
    };
    ExitCode::from(code)
}

/// In builds for tests: `REQUITE_FAULT=store.commit:3` kills the process when it passes that point for
/// the third time, `outbox.claimed:1:panic` lets whatever passes that one first panic. A release knows nothing of it.
#[cfg(debug_assertions)]
fn break_where_asked() -> Option<ExitCode> {
    let text = std::env::var("REQUITE_FAULT").ok()?;
    if requite_engine::fault::arm(&text).is_some() {
        return None;
    }
    eprintln!("requite: REQUITE_FAULT={text} names no point and number");
    Some(ExitCode::from(2))
}

fn command(line: Line) -> Done {
    let Line { global, command } = line;
    let output = Output::new(global.json);
    match command {
        Command::Demo(demo) => demo.run(&global, &output),
        Command::Serve(serve) => serve.run(&global, &output),
        Command::Merchant(merchant) => merchant.run(&settings(&global, Vec::new())?, &output),
        Command::Key(key) => key.run(&settings(&global, Vec::new())?, &output),
        Command::User(user) => user.run(&settings(&global, Vec::new())?, &output),
        Command::Connector(connector) => connector.run(&settings(&global, Vec::new())?, &output),
        Command::Import(import) => import.run(&settings(&global, Vec::new())?, &output),
        Command::Psp(psp) => psp.run(&global, &output),
        Command::Refund(refund) => refund.run(&settings(&global, Vec::new())?, &output),
        Command::Migrate(migrate) => migrate.run(&settings(&global, Vec::new())?, &output),
        Command::Backup(backup) => backup.run(&settings(&global, Vec::new())?, &output),
        Command::Restored(restored) => restored.run(&settings(&global, Vec::new())?, &output),
        Command::Verify(verify) => verify.run(&settings(&global, Vec::new())?, &output),
    }
}

/// All settings, with `flags` and the global options over them.
fn settings(global: &Global, mut flags: Flags) -> Result<Config, Trouble> {
    let database = global.database.iter().map(|url| ("database", url.clone()));
    flags.extend(database);
    config::read(global.config.as_deref(), &flags).map_err(Trouble::Settings)
}
