//! Power readings.

use super::{Store, StoreError};
use energy::Sample;
use protocol::names::NodeName;
use rusqlite::params;

/// How long readings are kept.
const KEEP_NS: i64 = 3 * 24 * 3600 * 1_000_000_000;

impl Store {
    /// Keeps one reading.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn add_sample(&self, node: &NodeName, sample: Sample) -> Result<(), StoreError> {
        let sql = "INSERT OR IGNORE INTO sample (node, at, milliwatts) VALUES (?, ?, ?)";
        let connection = self.lock();
        connection.prepare_cached(sql)?.execute(params![
            node.as_str(),
            sample.unix_ns,
            sample.milliwatts
        ])?;
        Ok(())
    }

    /// A node's readings from `from` to `to`, both included, in the order of time.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn samples(&self, node: &NodeName, from: i64, to: i64) -> Result<Vec<Sample>, StoreError> {
        let sql =
            "SELECT at, milliwatts FROM sample WHERE node = ? AND at BETWEEN ? AND ? ORDER BY at";
        let connection = self.lock();
        let mut statement = connection.prepare_cached(sql)?;
        let rows = statement.query_map(params![node.as_str(), from, to], |row| {
            Ok(Sample { unix_ns: row.get(0)?, milliwatts: row.get(1)? })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Drops readings that are too old. The records made of them stay.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn thin_samples(&self, now: i64) -> Result<usize, StoreError> {
        Ok(self.lock().execute("DELETE FROM sample WHERE at < ?", [now.saturating_sub(KEEP_NS)])?)
    }
}
