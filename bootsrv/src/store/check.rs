//! Whether the file is whole: looked at before it is used, and while it is.

use super::{Store, StoreError};
use rusqlite::{Connection, OpenFlags};
use std::path::Path;

impl Store {
    /// Looks at every page of the tables that decide anything, on a connection of its own: nobody waits for
    /// it. Takes some seconds per GiB, and many where it comes from a disk.
    ///
    /// # Errors
    /// When the file is damaged, or cannot be read.
    pub fn check(&self) -> Result<(), StoreError> {
        // A store in memory has no pages that could be damaged.
        let Some(path) = &self.path else { return Ok(()) };
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let open = |source| StoreError::Open { path: path.clone(), source };
        check(&Connection::open_with_flags(path, flags).map_err(open)?, path)
    }
}

/// Not the power readings: they decide nothing, and are most of the file. A table after the other, because
/// nothing is taken over from the write-ahead log while one is looked at. A value in which a bit has flipped
/// is not found (SQLite keeps no sums).
pub(super) fn check(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let judge = |error: rusqlite::Error| {
        if is_damage(&error) {
            return StoreError::Damaged { path: path.into(), what: error.to_string() };
        }
        StoreError::Open { path: path.into(), source: error }
    };
    for table in tables(connection).map_err(judge)? {
        let question = "SELECT quick_check FROM pragma_quick_check(?)";
        let found: String =
            connection.query_row(question, [&table], |row| row.get(0)).map_err(judge)?;
        if found != "ok" {
            let what = format!("table {table}: {}", found.replace('\n', " "));
            return Err(StoreError::Damaged { path: path.into(), what });
        }
    }
    Ok(())
}

fn tables(connection: &Connection) -> Result<Vec<String>, rusqlite::Error> {
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name != 'sample'";
    connection.prepare(sql)?.query_map([], |row| row.get(0))?.collect()
}

/// A disk that cannot read a page has lost it too.
fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase, SystemIoFailure};
    matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase | SystemIoFailure))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::chain;
    use std::fs::OpenOptions;
    use std::os::unix::fs::FileExt;

    /// SQLite's page, in bytes.
    const PAGE: u64 = 4096;

    /// The first page of a table that is in use: its kind, the first byte, is none that SQLite knows.
    pub(crate) fn damage(path: &Path) {
        let connection = Connection::open(path).unwrap();
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        let find = "SELECT rootpage FROM sqlite_schema WHERE name = 'deployment'";
        let page: u32 = connection.query_row(find, [], |row| row.get(0)).unwrap();
        let file = OpenOptions::new().write(true).open(path).unwrap();
        file.write_all_at(&[0xff], u64::from(page - 1) * PAGE).unwrap();
    }

    #[test]
    fn a_damaged_page_is_found_at_the_start_and_while_it_is_used() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store.sqlite");
        let store = Store::open(&path).unwrap();
        store.check().unwrap();
        damage(&path);
        for error in [store.check().unwrap_err(), Store::open(&path).unwrap_err()] {
            let said = chain(&error);
            assert!(matches!(error, StoreError::Damaged { .. }), "{said}");
            assert!(said.contains("store.sqlite is damaged") && said.contains("backup"), "{said}");
        }
    }
}
