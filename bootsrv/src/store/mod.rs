//! The store: the truth about every deployment, in one SQLite file on a local disk.
//!
//! It knows rows, not rules: what follows from a row stands in `deployment::transition`. Calls are
//! short (under a millisecond, and a write as long as its disk takes) and go through one connection,
//! so that writes have one order. It keeps every deployment there ever was: what is asked for often
//! must not look at all of them.

mod applications;
pub(crate) mod check;
mod console;
mod credentials;
mod deployments;
mod nodes;
mod quarantine;
#[cfg(test)]
mod quarantine_tests;
mod runs;
mod samples;
mod take_over;
#[cfg(test)]
mod tests;
mod tries;
mod uploads;

pub use applications::PULLS_MAX;
pub use deployments::NewDeployment;
pub use nodes::NodeRow;
pub use runs::{KeptNode, KernelTry};
pub use tries::{NewTry, Try};
pub use uploads::Upload;

use nodes::Index;
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use samples::Reading;
use std::collections::BTreeSet;
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
    /// The file is damaged.
    #[error(
        "the store {path} is damaged: {what}; bootsrv does not run on it: put a backup in its place, as \
         \"Backup and restore\" of the administrator's guide says"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite found first.
        what: String,
    },
    /// A statement failed.
    #[error("using the store")]
    Sql(#[from] rusqlite::Error),
    /// A row does not say what this program writes.
    #[error("the store has a row that is not valid: {0}")]
    Row(String),
}

impl StoreError {
    /// Whether it may pass by itself: what could not be written now can be later.
    #[must_use]
    pub fn passes(&self) -> bool {
        use rusqlite::ErrorCode;
        let Self::Sql(error) = self else { return false };
        matches!(
            error.sqlite_error_code(),
            Some(
                ErrorCode::DatabaseBusy
                    | ErrorCode::DatabaseLocked
                    | ErrorCode::DiskFull
                    | ErrorCode::SystemIoFailure
                    | ErrorCode::CannotOpen
                    | ErrorCode::ReadOnly
            )
        )
    }
}

const SCHEMA_VERSION: i64 = 5;
/// From an older schema to the next one.
const STEPS: [(i64, &str); 3] = [
    (2, include_str!("migrate_2_to_3.sql")),
    (3, include_str!("migrate_3_to_4.sql")),
    (4, include_str!("migrate_4_to_5.sql")),
];
/// Memory for pages of the file, in KiB: the last readings of 10,000 nodes are on as many pages.
const CACHE_KIB: i64 = 64 << 10;
/// Pages of 4 KiB in the write-ahead log before they are taken over into the file. A second's readings
/// of 1,000 nodes change 1,000 pages, the same ones as the second before: so each goes over once in a
/// quarter of a minute.
const WAL_PAGES: i64 = 16 << 10;
/// SQLite's page.
const PAGE_BYTES: i64 = 4 << 10;
/// Prepared statements that are kept; there are about 100.
const STATEMENTS: usize = 128;
/// Most rows that cannot be read and are told of, of one run of this program.
const UNREADABLE_MAX: usize = 1000;

/// The open store.
#[derive(Debug)]
pub struct Store {
    connection: Mutex<Connection>,
    /// `None`: it is in memory.
    path: Option<PathBuf>,
    /// Power readings that wait to be written.
    readings: Mutex<Vec<Reading>>,
    /// What booting nodes are found by; read anew after a change.
    index: Mutex<Option<Index>>,
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
        // Only the first statement reads the file.
        Self::prepare(connection, Some(path)).map_err(|error| match error {
            StoreError::Sql(source) => open(source),
            other @ (StoreError::Open { .. }
            | StoreError::OtherSchema { .. }
            | StoreError::Damaged { .. }
            | StoreError::Row(_)) => other,
        })
    }

    /// A store in memory, for tests.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn in_memory() -> Result<Self, StoreError> {
        Self::prepare(Connection::open_in_memory()?, None)
    }

    fn prepare(connection: Connection, path: Option<&Path>) -> Result<Self, StoreError> {
        let shown = path.unwrap_or_else(|| Path::new(":memory:"));
        connection.busy_timeout(Duration::from_secs(5))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        // FULL: a power command must not be forgotten when the machine loses power.
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        connection.pragma_update(None, "wal_autocheckpoint", WAL_PAGES)?;
        // After a long reader, a backup for example, the log is cut to its usual size again.
        connection.pragma_update(None, "journal_size_limit", WAL_PAGES * PAGE_BYTES)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        // A plan does not depend on the values, which are names and keys: without this, SQLite makes the
        // plan of nearly every question anew each time it is asked.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if let Some(path) = path {
            check::check(&connection, path)?;
        }
        if found == 0 {
            let schema = include_str!("schema.sql");
            take_step(&connection, schema, SCHEMA_VERSION)?;
        } else if found != SCHEMA_VERSION {
            let first = STEPS.iter().position(|(from, _)| *from == found);
            let steps = first.and_then(|first| STEPS.get(first..));
            for (from, step) in
                steps.ok_or(StoreError::OtherSchema { path: shown.into(), found })?
            {
                take_step(&connection, step, from + 1)?;
            }
            log::info!("the store {} has schema {SCHEMA_VERSION} now", shown.display());
        }
        connection.execute_batch(runs::INDEXES)?;
        Ok(Self {
            connection: Mutex::new(connection),
            path: path.map(Path::to_path_buf),
            readings: Mutex::default(),
            index: Mutex::default(),
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

    /// What was said of rows that cannot be read.
    pub fn unreadable(&self) -> Vec<String> {
        let told = self.unreadable.lock().unwrap_or_else(PoisonError::into_inner);
        told.iter().cloned().collect()
    }

    /// As [`Self::readable`], of what else went wrong than the row.
    pub(crate) fn told<T>(
        &self,
        table: &str,
        row: Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        match row {
            Err(error) if !matches!(error, StoreError::Row(_)) => Err(error),
            row => Ok(self.readable(table, row)),
        }
    }

    /// Makes a try's row one that cannot be read.
    #[cfg(test)]
    pub(crate) fn spoil_try(&self, id: i64) {
        let sql = "UPDATE try SET application = '{' WHERE id = ?";
        assert_eq!(self.lock().execute(sql, [id]).unwrap(), 1);
    }

    /// Puts that in the place of a deployment's energy record.
    #[cfg(test)]
    pub(crate) fn spoil_energy(&self, id: i64, text: Option<&str>) {
        let sql = "UPDATE deployment SET energy = ? WHERE id = ?";
        assert_eq!(self.lock().execute(sql, rusqlite::params![text, id]).unwrap(), 1);
    }

    /// A panic while the lock was held leaves SQLite consistent: open transactions roll back.
    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Brings the store to a schema, whole or not at all.
fn take_step(connection: &Connection, step: &str, to: i64) -> Result<(), StoreError> {
    let text = format!("BEGIN; {step} PRAGMA user_version = {to}; COMMIT;");
    Ok(connection.execute_batch(&text)?)
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
