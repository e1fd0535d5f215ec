//! Where measurements are made: a file, or a PostgreSQL database, as `--database` names it.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use requite_core::id::{MerchantId, parse_uuid};
use requite_engine::store::Store;
use requite_engine::store::postgres::{Address, Postgres};
use requite_engine::store::sqlite::{Open, Sqlite};

#[derive(Clone, Debug, Args)]
pub(crate) struct Books {
    /// Where everything is kept: sqlite:PATH or postgres://...
    #[arg(long)]
    pub(crate) database: Place,
    /// The merchant's id, a UUID
    #[arg(long, value_parser = merchant)]
    pub(crate) merchant: MerchantId,
}

#[derive(Clone, Debug)]
pub(crate) enum Place {
    Sqlite(PathBuf),
    /// The address as text, for clients of our own, and as the store takes it.
    Postgres(String, Box<Address>),
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Place, String> {
        if let Some(path) = text.strip_prefix("sqlite:") {
            return Ok(Place::Sqlite(PathBuf::from(path)));
        }
        if !text.starts_with("postgres://") {
            return Err("must be sqlite:PATH or postgres://...".to_owned());
        }
        let address = Address::parse(text).map_err(|fault| fault.to_string())?;
        Ok(Place::Postgres(text.to_owned(), Box::new(address)))
    }
}

impl Books {
    /// As many as a server has on such a store.
    pub(crate) fn lanes(&self) -> u64 {
        match &self.database {
            Place::Sqlite(_) => 1,
            Place::Postgres(..) => 2,
        }
    }

    /// A store for one lane, as a server has it. The schema is there.
    pub(crate) fn store(&self) -> anyhow::Result<Box<dyn Store>> {
        Ok(match &self.database {
            Place::Sqlite(path) => Box::new(Sqlite::open(path, Open::Existing)?),
            Place::Postgres(_, address) => Box::new(Postgres::new(address)),
        })
    }

    /// Makes the schema, and the file where there is none.
    pub(crate) fn prepare(&self) -> anyhow::Result<()> {
        match &self.database {
            Place::Sqlite(path) => drop(Sqlite::open(path, Open::OrCreate)?),
            Place::Postgres(_, address) => address.migrate()?,
        }
        Ok(())
    }
}

fn merchant(text: &str) -> Result<MerchantId, String> {
    parse_uuid(text).map(MerchantId::new).ok_or_else(|| "must be a UUID".to_owned())
}
