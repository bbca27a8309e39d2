//! The store: the truth about every deployment, in one SQLite file on a local disk.
//!
//! It knows rows, not rules: what follows from a row stands in `deployment::transition`. Calls are
//! short (under a millisecond) and go through one connection, so that writes have one order.

mod applications;
mod credentials;
mod deployments;
mod nodes;
mod samples;
#[cfg(test)]
mod tests;
mod tries;
mod uploads;

pub use applications::PULLS_MAX;
pub use deployments::NewDeployment;
pub use nodes::NodeRow;
pub use tries::{NewTry, Try};
pub use uploads::Upload;

use protocol::names::NodeName;
use rusqlite::Connection;
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What the store could not do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file could not be opened.
    #[error("opening the store {path}")]
    Open {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: rusqlite::Error,
    },
    /// The file was written by another bootsrv.
    #[error(
        "the store {path} has schema {found}, this bootsrv needs {SCHEMA_VERSION}: install the bootsrv that \
         wrote it, or, while all nodes are off, move the file away and import the nodes again"
    )]
    OtherSchema {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
    },
    /// A statement failed.
    #[error("using the store")]
    Sql(#[from] rusqlite::Error),
    /// A row does not say what this program writes.
    #[error("the store has a row that is not valid: {0}")]
    Row(String),
}

const SCHEMA_VERSION: i64 = 3;
/// Most rows that cannot be read and are told of, of one run of this program.
const UNREADABLE_MAX: usize = 1000;

/// The open store.
#[derive(Debug)]
pub struct Store {
    connection: Mutex<Connection>,
    /// Which nodes have an address, for what a booting node asks often; read anew after a change.
    addresses: Mutex<Option<HashMap<IpAddr, Vec<NodeName>>>>,
    /// What was said of rows that cannot be read: lists are read often, and it is said once.
    unreadable: Mutex<BTreeSet<String>>,
}

impl Store {
    /// Opens or makes the store. It holds controllers' passwords, so only its owner may read it.
    ///
    /// # Errors
    /// When it cannot be opened, or has a schema that this program does not know.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let open = |source| StoreError::Open { path: path.into(), source };
        let connection = Connection::open(path).map_err(open)?;
        restrict(path)
            .map_err(|error| open(rusqlite::Error::ToSqlConversionFailure(Box::new(error))))?;
        Self::prepare(connection, path)
    }

    /// A store in memory, for tests.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn in_memory() -> Result<Self, StoreError> {
        Self::prepare(Connection::open_in_memory()?, Path::new(":memory:"))
    }

    fn prepare(connection: Connection, path: &Path) -> Result<Self, StoreError> {
        connection.busy_timeout(Duration::from_secs(5))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        // FULL: a power command must not be forgotten when the machine loses power.
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        match found {
            0 => {
                let schema = include_str!("schema.sql");
                connection.execute_batch(&format!(
                    "BEGIN; {schema} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
                ))?;
            }
            2 => {
                let steps = include_str!("migrate_2_to_3.sql");
                connection.execute_batch(&format!(
                    "BEGIN; {steps} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
                ))?;
                log::info!("the store {} has schema {SCHEMA_VERSION} now", path.display());
            }
            SCHEMA_VERSION => {}
            _ => return Err(StoreError::OtherSchema { path: path.into(), found }),
        }
        Ok(Self {
            connection: Mutex::new(connection),
            addresses: Mutex::default(),
            unreadable: Mutex::default(),
        })
    }

    /// A row of a list that is about everybody. One that cannot be read is left out and told of: it
    /// is one job's, and the others must go on.
    fn readable<T>(&self, table: &str, row: Result<T, StoreError>) -> Option<T> {
        let error = match row {
            Ok(row) => return Some(row),
            Err(error) => error,
        };
        let text = format!("table {table}: {error}; the row is left out");
        let mut told = self.unreadable.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() < UNREADABLE_MAX && told.insert(text.clone()) {
            log::error!("{text}");
        }
        None
    }

    /// Makes a try's row one that cannot be read.
    #[cfg(test)]
    pub(crate) fn spoil_try(&self, id: i64) {
        let sql = "UPDATE try SET application = '{' WHERE id = ?";
        assert_eq!(self.lock().execute(sql, [id]).unwrap(), 1);
    }

    /// A panic while the lock was held leaves SQLite consistent: open transactions roll back.
    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn restrict(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
}

fn parse<T: std::str::FromStr>(text: &str) -> Result<T, StoreError>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error: T::Err| StoreError::Row(error.to_string()))
}

/// A column that may hold JSON.
fn parse_json<T: serde::de::DeserializeOwned>(
    text: Option<String>,
) -> Result<Option<T>, StoreError> {
    let value = text.map(|text| serde_json::from_str(&text)).transpose();
    value.map_err(|error| StoreError::Row(error.to_string()))
}

fn json<T: serde::Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Row(error.to_string()))
}
