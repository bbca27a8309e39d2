//! Power readings.

use super::{Store, StoreError};
use energy::Sample;
use protocol::names::NodeName;
use rusqlite::params;

/// How long readings are kept.
const KEEP_NS: i64 = 3 * 24 * 3600 * 1_000_000_000;

impl Store {
    /// Keeps one reading of that meter.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn add_sample(
        &self,
        node: &NodeName,
        sample: Sample,
        meter: &str,
    ) -> Result<(), StoreError> {
        let sql = "INSERT OR IGNORE INTO sample (node, at, milliwatts, meter) VALUES (?, ?, ?, ?)";
        let connection = self.lock();
        connection.prepare_cached(sql)?.execute(params![
            node.as_str(),
            sample.unix_ns,
            sample.milliwatts,
            meter
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

    /// Which meters gave a node's readings from `from` to `to`, in the order of their names.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn meters(&self, node: &NodeName, from: i64, to: i64) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT DISTINCT meter FROM sample WHERE node = ? AND at BETWEEN ? AND ? \
                   ORDER BY meter";
        let connection = self.lock();
        let mut statement = connection.prepare_cached(sql)?;
        let rows = statement.query_map(params![node.as_str(), from, to], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Drops readings that are too old, and of a node in use only those from before its use: their
    /// record is made when it ends.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn thin_samples(&self, now: i64) -> Result<usize, StoreError> {
        let sql = "DELETE FROM sample WHERE at < ?1 AND at < COALESCE((SELECT MIN(m.at) \
                   FROM deployment d JOIN mark m ON m.deployment = d.id \
                   WHERE d.node = sample.node AND d.state <> 'released'), ?1)";
        Ok(self.lock().execute(sql, [now.saturating_sub(KEEP_NS)])?)
    }
}
