//! Settings: from the defaults, a TOML file, the environment and the command line, each over the one
//! before. The only place that reads environment variables.
//!
//! Every setting stands once in [`SETTINGS`], with its name in the file and what it does; the
//! variable's name follows from it (`psp_call_deadline_ms` is `REQUITE_PSP_CALL_DEADLINE_MS`,
//! `[limits] connections_max` is `REQUITE_LIMITS_CONNECTIONS_MAX`). An unknown name in the file is an
//! error that names it, and so is a value that cannot be.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::connectors::{self, sandbox};
use crate::crypto::seal::SealingKey;
use crate::database::Database;
use crate::http::Limits;
use crate::rate::PER_SECOND_MAX;
use crate::webhooks::address::Addresses;

/// What the server runs with.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub database: Database,
    pub listen: SocketAddr,
    /// Log levels, as `info` or `requite=debug,warn`.
    pub log: String,
    pub cors_origins: Vec<String>,
    /// How long one call to a PSP may take before its outcome counts as unknown.
    pub psp_call_deadline_ms: u32,
    /// How often PSPs' own lists of refunds are read; 0 is never.
    pub psp_sweep_ms: u32,
    /// Two equal requests without a key within this time are one; 0 is off.
    pub duplicate_guard_ms: u32,
    pub mpg_shows_allocation: bool,
    pub mpg_refunds_remaining: bool,
    /// The connector with which Loop's checkout registers.
    pub loop_connector: &'static str,
    /// The connector with which payments are taken through the Gr4vy face.
    pub gr4vy_connector: &'static str,
    /// The connector that takes the cards of the Moyasar face's new orders.
    pub mpg_connector: &'static str,
    /// How Gr4vy's face calls this installation in its events.
    pub gr4vy_id: String,
    /// `production` or `sandbox`, in the same place.
    pub gr4vy_environment: &'static str,
    /// Where merchants may be told of events.
    pub webhook_addresses: Addresses,
    pub limits: Limits,
    /// Requests of one credential within a second; 0 is no limit.
    pub requests_per_second_max: u32,
    /// Opens the credentials of connector accounts.
    pub sealing_key: Option<SealingKey>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            database: Database::Sqlite(PathBuf::from("requite.db")),
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            log: "info".to_owned(),
            cors_origins: Vec::new(),
            psp_call_deadline_ms: 10_000,
            psp_sweep_ms: 120_000,
            duplicate_guard_ms: 0,
            mpg_shows_allocation: false,
            mpg_refunds_remaining: false,
            loop_connector: sandbox::NAME,
            gr4vy_connector: sandbox::NAME,
            mpg_connector: sandbox::NAME,
            gr4vy_id: "requite".to_owned(),
            gr4vy_environment: "production",
            webhook_addresses: Addresses::Public,
            limits: Limits::for_this_process(),
            requests_per_second_max: 0,
            sealing_key: None,
        }
    }
}

/// Longest deadline of a PSP call.
pub(crate) const PSP_CALL_DEADLINE_MS_MAX: u32 = 30_000;
/// Longest window of the duplicate guard: an hour.
const PSP_SWEEP_MS_MAX: u32 = 3_600_000;
const DUPLICATE_GUARD_MS_MAX: u32 = 3_600_000;
/// Largest settings file.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// A setting that cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The name under which it was given: a flag, a variable, or a key and its file.
    pub setting: String,
    pub problem: String,
    /// Given on the command line: wrong usage rather than a wrong setting.
    pub is_flag: bool,
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.setting, self.problem)
    }
}

impl std::error::Error for Fault {}

/// Name in the file (`section.key`), and how its text is taken into the configuration. The error
/// says what may stand there.
type Setting = (&'static str, fn(&mut Config, &str) -> Result<(), String>);

const SETTINGS: &[Setting] = &[
    ("database", |config, text| {
        config.database = Database::parse(text)?;
        Ok(())
    }),
    ("listen", |config, text| {
        let needed = || format!("{text:?} is no address; give one as 127.0.0.1:8080 or [::1]:8080");
        config.listen = text.parse().map_err(|_| needed())?;
        Ok(())
    }),
    ("log", |config, text| {
        let filter = tracing_subscriber::EnvFilter::builder().parse(text);
        filter.map_err(|_| {
            format!("{text:?} is no log filter; give one as info or warn,requite=debug")
        })?;
        text.clone_into(&mut config.log);
        Ok(())
    }),
    ("cors_origins", |config, text| {
        config.cors_origins = origins(text)?;
        Ok(())
    }),
    ("psp_call_deadline_ms", |config, text| {
        config.psp_call_deadline_ms = number(text, 1, PSP_CALL_DEADLINE_MS_MAX)?;
        Ok(())
    }),
    ("psp_sweep_ms", |config, text| {
        config.psp_sweep_ms = number(text, 0, PSP_SWEEP_MS_MAX)?;
        Ok(())
    }),
    ("duplicate_guard_ms", |config, text| {
        config.duplicate_guard_ms = number(text, 0, DUPLICATE_GUARD_MS_MAX)?;
        Ok(())
    }),
    ("sealing_key_file", |config, path| {
        let text = std::fs::read_to_string(path).map_err(|e| format!("{path}: {e}"))?;
        config.sealing_key = Some(SealingKey::read(&text)?);
        Ok(())
    }),
    ("mpg.capture_refunded_amount", |config, text| {
        config.mpg_shows_allocation = match text {
            "zero" => false,
            "allocated" => true,
            _ => return Err(format!("{text:?} is neither \"zero\" nor \"allocated\"")),
        };
        Ok(())
    }),
    ("loop.connector", |config, text| {
        config.loop_connector = connector(text)?;
        Ok(())
    }),
    ("gr4vy.connector", |config, text| {
        config.gr4vy_connector = connector(text)?;
        Ok(())
    }),
    ("gr4vy.id", |config, text| {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if !(1..=50).contains(&text.len()) || !text.bytes().all(is_plain) {
            return Err(format!("{text:?} is not 1 to 50 letters, digits or -"));
        }
        text.clone_into(&mut config.gr4vy_id);
        Ok(())
    }),
    ("gr4vy.environment", |config, text| {
        config.gr4vy_environment = match text {
            "production" => "production",
            "sandbox" => "sandbox",
            _ => return Err(format!("{text:?} is neither \"production\" nor \"sandbox\"")),
        };
        Ok(())
    }),
    ("webhooks.addresses", |config, text| {
        config.webhook_addresses = match text {
            "public" => Addresses::Public,
            "any" => Addresses::Any,
            _ => return Err(format!("{text:?} is neither \"public\" nor \"any\"")),
        };
        Ok(())
    }),
    ("mpg.refund_amount", |config, text| {
        config.mpg_refunds_remaining = match text {
            "required" => false,
            "remaining" => true,
            _ => return Err(format!("{text:?} is neither \"required\" nor \"remaining\"")),
        };
        Ok(())
    }),
    ("mpg.connector", |config, text| {
        config.mpg_connector = connector(text)?;
        Ok(())
    }),
    ("limits.connections_max", |config, text| {
        let max = number(text, 1, 1_000_000)?;
        config.limits.connections_max = usize::try_from(max).map_err(|e| e.to_string())?;
        Ok(())
    }),
    ("limits.requests_per_second_max", |config, text| {
        config.requests_per_second_max = number(text, 0, PER_SECOND_MAX)?;
        Ok(())
    }),
    ("limits.first_byte_max_ms", |config, text| {
        config.limits.first_byte_max = wait(text)?;
        Ok(())
    }),
    ("limits.head_max_ms", |config, text| {
        config.limits.head_max = wait(text)?;
        Ok(())
    }),
    ("limits.idle_max_ms", |config, text| {
        config.limits.idle_max = wait(text)?;
        Ok(())
    }),
    ("limits.body_max_ms", |config, text| {
        config.limits.body_max = wait(text)?;
        Ok(())
    }),
    ("limits.write_stall_max_ms", |config, text| {
        config.limits.write_stall_max = wait(text)?;
        Ok(())
    }),
    ("limits.drain_max_ms", |config, text| {
        config.limits.drain_max = wait(text)?;
        Ok(())
    }),
];

/// Variables that are ours and no settings. The last is one only in builds for tests.
const OTHER_VARIABLES: [&str; 3] = ["REQUITE_CONFIG", SEALING_KEY, "REQUITE_FAULT"];
/// Letters that a name may be away from one of ours to count as misspelt.
const MISSPELT_MAX: usize = 2;
/// Has the key that opens connector accounts: never in a file of settings, never on a command line.
const SEALING_KEY: &str = "REQUITE_SEALING_KEY";

/// What was given on the command line: names of settings, with their texts.
pub(crate) type Flags = Vec<(&'static str, String)>;

/// Reads all settings. `file` is what `--config` names; without it, the variable `REQUITE_CONFIG`.
pub(crate) fn read(file: Option<&Path>, flags: &Flags) -> Result<Config, Fault> {
    let environment = |name: &str| match std::env::var(name) {
        Ok(text) => Ok(Some(text)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => Err(Fault {
            setting: name.to_owned(),
            problem: "is not UTF-8".to_owned(),
            is_flag: false,
        }),
    };
    if let Some(fault) = unknown_variables().iter().find_map(|name| misspelt(name)) {
        return Err(fault);
    }
    let named = environment("REQUITE_CONFIG")?.map(PathBuf::from);
    let text = match file.map(Path::to_owned).or(named) {
        Some(path) => Some((file_text(&path)?, path.display().to_string())),
        None => None,
    };
    let text = text.as_ref().map(|(text, name)| (text.as_str(), name.as_str()));
    let mut config = overlay(text, &environment, flags)?;
    if let Some(text) = environment(SEALING_KEY)? {
        let key = SealingKey::read(&text);
        config.sealing_key =
            Some(key.map_err(|problem| fault(SEALING_KEY.to_owned(), problem, false))?);
    }
    Ok(config)
}

/// Names of variables that begin like ours and are none of ours. Where a service is called requite, a cluster
/// puts such names into every program's environment (`REQUITE_PORT`), so they are no faults by themselves.
pub(crate) fn unknown_variables() -> Vec<String> {
    let known = known_variables();
    std::env::vars_os()
        .filter_map(|(name, _)| name.into_string().ok())
        .filter(|name| name.starts_with("REQUITE_") && !known.contains(name))
        .collect()
}

fn known_variables() -> Vec<String> {
    let other =
        OTHER_VARIABLES.iter().filter(|name| cfg!(debug_assertions) || **name != "REQUITE_FAULT");
    let settings = SETTINGS.iter().map(|(key, _)| variable(key));
    other.map(|name| (*name).to_owned()).chain(settings).collect()
}

/// A name that is nearly one of ours was meant to be it, and what it sets would be set without a word.
fn misspelt(name: &str) -> Option<Fault> {
    let distance = |known: &String| strsim::levenshtein(known, name);
    let nearest = known_variables().into_iter().min_by_key(distance)?;
    let problem = format!("there is no setting of this name; {nearest} is meant?");
    (distance(&nearest) <= MISSPELT_MAX).then(|| fault(name.to_owned(), problem, false))
}

fn file_text(path: &Path) -> Result<String, Fault> {
    let fault = |problem: String| Fault {
        setting: format!("--config {}", path.display()),
        problem,
        is_flag: false,
    };
    let size = std::fs::metadata(path).map_err(|e| fault(e.to_string()))?.len();
    if size > FILE_BYTES_MAX {
        return Err(fault(format!("{size} bytes; at most {FILE_BYTES_MAX} are read")));
    }
    std::fs::read_to_string(path).map_err(|e| fault(e.to_string()))
}

/// Defaults < file < environment < flags. `file` is its text and its name.
fn overlay(
    file: Option<(&str, &str)>,
    environment: &dyn Fn(&str) -> Result<Option<String>, Fault>,
    flags: &Flags,
) -> Result<Config, Fault> {
    let mut config = Config::default();
    if let Some((text, name)) = file {
        for (key, text) in file_settings(text, name)? {
            let at = format!("{key} in {name}");
            set(&mut config, &key, &text).map_err(|problem| fault(at, problem, false))?;
        }
    }
    for &(key, _) in SETTINGS {
        let name = variable(key);
        if let Some(text) = environment(&name)? {
            set(&mut config, key, &text).map_err(|problem| fault(name, problem, false))?;
        }
    }
    for (key, text) in flags {
        let at = format!("--{}", key.replace('_', "-"));
        set(&mut config, key, text).map_err(|problem| fault(at, problem, true))?;
    }
    Ok(config)
}

fn fault(setting: String, problem: String, is_flag: bool) -> Fault {
    Fault { setting, problem, is_flag }
}

fn set(config: &mut Config, key: &str, text: &str) -> Result<(), String> {
    let known = SETTINGS.iter().find(|(name, _)| *name == key);
    let (_, apply) = known.ok_or_else(|| unknown_key(key))?;
    apply(config, text)
}

fn unknown_key(key: &str) -> String {
    let names: Vec<&str> = SETTINGS.iter().map(|(name, _)| *name).collect();
    format!("there is no setting {key:?}; there are {}", names.join(", "))
}

fn variable(key: &str) -> String {
    format!("REQUITE_{}", key.replace('.', "_").to_uppercase())
}

/// The file's keys, sections flattened to `section.key`, with their values as text.
fn file_settings(text: &str, name: &str) -> Result<Vec<(String, String)>, Fault> {
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        fault(name.to_owned(), format!("not TOML: {}", error.message()), false)
    })?;
    let mut settings = Vec::new();
    for (key, value) in table {
        match value {
            toml::Value::Table(section) => {
                for (inner, value) in section {
                    settings.push((format!("{key}.{inner}"), value));
                }
            }
            value => settings.push((key, value)),
        }
    }
    settings
        .into_iter()
        .map(|(key, value)| match plain(&value) {
            Some(text) => Ok((key, text)),
            None => {
                let problem = "give a text, a whole number or a list of texts".to_owned();
                Err(fault(format!("{key} in {name}"), problem, false))
            }
        })
        .collect()
}

fn plain(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Array(items) => {
            let texts: Option<Vec<&str>> = items.iter().map(toml::Value::as_str).collect();
            texts.map(|texts| texts.join(","))
        }
        _ => None,
    }
}

fn connector(text: &str) -> Result<&'static str, String> {
    let known = connectors::NAMES.into_iter().find(|name| *name == text);
    known.ok_or_else(|| format!("{text:?} is none of {}", connectors::NAMES.join(", ")))
}

fn origins(text: &str) -> Result<Vec<String>, String> {
    let given = text.split(',').map(str::trim).filter(|origin| !origin.is_empty());
    given.map(origin).collect()
}

fn origin(text: &str) -> Result<String, String> {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let is_origin = host.is_some_and(|host| {
        !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/')
    });
    // No `*`: answers are for those who show a credential, and browsers give it to no such answer.
    if is_origin {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is no origin; give scheme and host as https://admin.example.com"))
    }
}

fn number(text: &str, least: u32, most: u32) -> Result<u32, String> {
    let number: Option<u32> = text.parse().ok();
    number
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| format!("{text:?} is no whole number from {least} to {most}"))
}

fn wait(text: &str) -> Result<Duration, String> {
    number(text, 1, 3_600_000).map(|ms| Duration::from_millis(u64::from(ms)))
}

#[cfg(test)]
mod tests;
