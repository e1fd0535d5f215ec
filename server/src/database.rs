//! Where everything is kept: a file, or a database that several servers share; and how each is opened.

use std::fmt;
use std::path::PathBuf;

use requite_engine::audit::Report;
use requite_engine::store::postgres::{self, Address, Postgres};
use requite_engine::store::sqlite::{self, AuditFault, Checkpoints, Open, ServerLock, Sqlite};
use requite_engine::store::{SqlReads, SqlRegistry, Store};

/// Names a store. Its `Debug` shows no password.
#[derive(Clone)]
pub(crate) enum Database {
    Sqlite(PathBuf),
    Postgres(Box<Address>),
}

impl fmt::Debug for Database {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Database::Sqlite(path) => out.debug_tuple("Sqlite").field(path).finish(),
            Database::Postgres(_) => out.write_str("Postgres"),
        }
    }
}

/// A store for a lane or a sweep.
pub(crate) type LaneStore = Box<dyn Store + Send>;

impl Database {
    /// `sqlite:PATH` or `postgres://USER:PASSWORD@HOST:PORT/DATABASE`. The error does not repeat the
    /// text, which may hold a password.
    pub(crate) fn parse(text: &str) -> Result<Database, String> {
        if let Some(path) = text.strip_prefix("sqlite:").filter(|path| !path.is_empty()) {
            return Ok(Database::Sqlite(PathBuf::from(path)));
        }
        let scheme = ["postgres://", "postgresql://"];
        let Some(rest) = scheme.into_iter().find_map(|scheme| text.strip_prefix(scheme)) else {
            return Err("it is no database; give sqlite:PATH or \
                        postgres://USER:PASSWORD@HOST:PORT/DATABASE"
                .to_owned());
        };
        // Otherwise the end of a password could be taken for the name of a database, and be shown.
        let user = rest.split_once('@').map_or("", |(user, _)| user);
        let has_two = rest.matches('@').count() > 1;
        if has_two || user.contains(['/', '?', '#']) || user.matches(':').count() > 1 {
            return Err(
                "a password with other signs than letters and digits must have them as %XX: \
                        @ is %40, : is %3A, / is %2F"
                    .to_owned(),
            );
        }
        let address = Address::parse(text).map_err(|fault| fault.to_string())?;
        Ok(Database::Postgres(Box::new(address)))
    }

    /// Takes what only one server at a time may have: an embedded store is one server's.
    pub(crate) fn lock(&self) -> anyhow::Result<Option<ServerLock>> {
        match self {
            Database::Sqlite(path) => Ok(Some(ServerLock::take(path)?)),
            Database::Postgres(_) => Ok(None),
        }
    }

    /// Brings the schema up to date, and says what is in the way. Where there is no file, `open` says
    /// whether one is made; a database must be there.
    pub(crate) fn prepare(&self, open: Open) -> anyhow::Result<()> {
        match self {
            Database::Sqlite(path) => drop(Sqlite::open(path, open)?),
            Database::Postgres(address) => address.migrate()?,
        }
        Ok(())
    }

    /// Of a prepared database.
    pub(crate) fn registry(&self) -> anyhow::Result<SqlRegistry> {
        Ok(match self {
            Database::Sqlite(path) => sqlite::registry(path, Open::Existing)?,
            Database::Postgres(address) => postgres::registry(address),
        })
    }

    /// Of a prepared database.
    pub(crate) fn reads(&self) -> anyhow::Result<SqlReads> {
        Ok(match self {
            Database::Sqlite(path) => sqlite::reads(path)?,
            Database::Postgres(address) => postgres::reads(address),
        })
    }

    /// How many lanes a server has: a file has one writer, a database keeps two busy.
    pub(crate) fn lanes(&self) -> usize {
        match self {
            Database::Sqlite(_) => 1,
            Database::Postgres(_) => 2,
        }
    }

    /// Of a prepared database. Whoever else writes to it, the database puts in order.
    pub(crate) fn lane_store(&self) -> anyhow::Result<LaneStore> {
        Ok(match self {
            Database::Sqlite(path) => Box::new(Sqlite::open(path, Open::Existing)?),
            Database::Postgres(address) => Box::new(Postgres::new(address)),
        })
    }

    /// What a server does beside its lanes: an embedded store's log is copied back.
    pub(crate) fn checkpoints(&self) -> anyhow::Result<Option<Checkpoints>> {
        match self {
            Database::Sqlite(path) => Ok(Some(Checkpoints::start(path)?)),
            Database::Postgres(_) => Ok(None),
        }
    }

    /// Audits a store that may be in use. `progress` is told payments done and payments in all.
    pub(crate) fn audit(&self, progress: &mut dyn FnMut(u64, u64)) -> anyhow::Result<Report> {
        Ok(match self {
            Database::Sqlite(path) => {
                sqlite::audit(path, progress).map_err(|fault| match fault {
                    AuditFault::Open(fault) => anyhow::Error::from(fault),
                    AuditFault::Read(fault) => anyhow::Error::from(fault),
                })?
            }
            Database::Postgres(address) => postgres::audit(address, progress)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_error_and_no_debug_text_shows_a_password() {
        for text in [
            "postgres://shop:hunter2@db.example/requite",
            "postgres://shop:hunter2@db.example:port/requite",
            "postgres://shop:hunter2@db.example/requite?sslmode=hunter2",
            "postgres://shop:p@hunter2@db.example/requite",
            "postgres://shop:p/hunter2@db.example/requite",
            "postgres://shop:p?hunter2=1@db.example/requite",
            "postgres://shop:p:hunter2@db.example/requite",
            "postgresql://shop:hunter2@db.example/requite?unheard=of",
            "host=db.example password=hunter2",
            "mysql://shop:hunter2@db.example/requite",
        ] {
            let shown = format!("{:?}", Database::parse(text));
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }

    #[test]
    fn both_kinds_of_addresses_are_understood() {
        for text in ["sqlite:requite.db", "sqlite:/var/lib/requite/requite.db"] {
            assert!(matches!(Database::parse(text), Ok(Database::Sqlite(_))), "{text}");
        }
        for text in [
            "postgres://localhost/requite",
            "postgresql://shop:secret@db.example:5433/requite?sslmode=require",
            "postgres://shop:a%40b%2Fc@db.example/requite",
            "postgres://shop@%2Fvar%2Frun%2Fpostgresql/requite",
        ] {
            assert!(matches!(Database::parse(text), Ok(Database::Postgres(_))), "{text}");
        }
        for text in ["", "requite.db", "sqlite:", "mysql://db.example/requite"] {
            assert!(Database::parse(text).is_err(), "{text}");
        }
    }
}
