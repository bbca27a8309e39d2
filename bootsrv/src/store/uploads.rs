//! Which bytes users have sent, and whose they count as; the bytes are files beside the store.

use super::{Store, StoreError, parse};
use protocol::names::Digest;
use rusqlite::{OptionalExtension, Row, params};

/// Bytes that a user sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// Their SHA-256, and the name of their file.
    pub sha256: Digest,
    /// Who sent them first.
    pub uid: u32,
    /// How many.
    pub bytes: u64,
    /// When they were sent or asked for last, nanoseconds since 1970.
    pub used_unix_ns: i64,
}

impl Store {
    /// Notes bytes that are there; the first sender counts.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn add_upload(&self, upload: &Upload) -> Result<(), StoreError> {
        let bytes = i64::try_from(upload.bytes).unwrap_or(i64::MAX);
        self.lock().execute(
            "INSERT INTO upload (sha256, uid, bytes, used) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (sha256) DO UPDATE SET used = ?4",
            params![upload.sha256.to_string(), upload.uid, bytes, upload.used_unix_ns],
        )?;
        Ok(())
    }

    /// One of them; asking for it keeps it.
    ///
    /// # Errors
    /// When the store cannot be used.
    pub fn use_upload(&self, sha256: &Digest, now: i64) -> Result<Option<Upload>, StoreError> {
        let sql = "UPDATE upload SET used = ? WHERE sha256 = ? RETURNING sha256, uid, bytes, used";
        let values = params![now, sha256.to_string()];
        self.lock().query_row(sql, values, read).optional()?.transpose()
    }

    /// All of them, the longest unused first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn uploads(&self) -> Result<Vec<Upload>, StoreError> {
        let sql = "SELECT sha256, uid, bytes, used FROM upload ORDER BY used";
        self.lock().prepare_cached(sql)?.query_map([], read)?.map(|row| row?).collect()
    }

    /// They are gone.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn remove_upload(&self, sha256: &Digest) -> Result<(), StoreError> {
        self.lock().execute("DELETE FROM upload WHERE sha256 = ?", [sha256.to_string()])?;
        Ok(())
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Result<Upload, StoreError>> {
    let sha256: String = row.get(0)?;
    let (uid, bytes, used_unix_ns): (u32, i64, i64) = (row.get(1)?, row.get(2)?, row.get(3)?);
    let bytes = u64::try_from(bytes).unwrap_or(0);
    Ok(parse(&sha256).map(|sha256| Upload { sha256, uid, bytes, used_unix_ns }))
}
