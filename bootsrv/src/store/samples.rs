//! Power readings. Every node in use brings one a second, so they are gathered here and written
//! together: about once a second (`crate::readings`), and before anybody reads those of their node.

use super::{Store, StoreError};
use energy::Sample;
use protocol::names::NodeName;
use rusqlite::{Connection, params};
use std::sync::{MutexGuard, PoisonError};

/// How long readings are kept.
const KEEP_NS: i64 = 3 * 24 * 3600 * 1_000_000_000;
/// Most readings that wait to be written, some seconds of 10,000 nodes. Who brings one more writes
/// them all; if that fails too, they are lost.
const WAITING_MAX: usize = 50_000;

/// A reading that waits to be written.
#[derive(Debug)]
pub(super) struct Reading {
    node: NodeName,
    sample: Sample,
    meter: String,
}

impl Store {
    /// Keeps one reading of that meter. It is written with the next ones.
    ///
    /// # Errors
    /// When the store has not been writable for so long that readings are lost.
    pub fn add_sample(
        &self,
        node: &NodeName,
        sample: Sample,
        meter: &str,
    ) -> Result<(), StoreError> {
        let mut waiting = self.waiting();
        waiting.push(Reading { node: node.clone(), sample, meter: meter.into() });
        let is_full = waiting.len() >= WAITING_MAX;
        drop(waiting);
        if is_full { self.write_samples() } else { Ok(()) }
    }

    /// Writes the readings that wait.
    ///
    /// # Errors
    /// When the store cannot be written; they wait on then, as long as there is room.
    pub fn write_samples(&self) -> Result<(), StoreError> {
        self.write_waiting(&mut self.lock())
    }

    /// With the connection held: whoever gets it next finds every reading in the file.
    fn write_waiting(&self, connection: &mut Connection) -> Result<(), StoreError> {
        let readings = std::mem::take(&mut *self.waiting());
        if readings.is_empty() {
            return Ok(());
        }
        let written = write(connection, &readings);
        if written.is_err() {
            let mut waiting = self.waiting();
            if readings.len() < WAITING_MAX {
                waiting.splice(..0, readings);
            } else {
                log::error!("{} power readings are lost", readings.len());
            }
        }
        written
    }

    /// The connection, with every reading of the node in the file.
    fn with_samples_of(&self, node: &NodeName) -> Result<MutexGuard<'_, Connection>, StoreError> {
        let mut connection = self.lock();
        if self.waiting().iter().any(|reading| &reading.node == node) {
            self.write_waiting(&mut connection)?;
        }
        Ok(connection)
    }

    /// How many readings wait to be written.
    #[cfg(test)]
    pub(crate) fn samples_that_wait(&self) -> usize {
        self.waiting().len()
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Reading>> {
        self.readings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A node's readings from `from` to `to`, both included, in the order of time.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn samples(&self, node: &NodeName, from: i64, to: i64) -> Result<Vec<Sample>, StoreError> {
        let sql =
            "SELECT at, milliwatts FROM sample WHERE node = ? AND at BETWEEN ? AND ? ORDER BY at";
        let connection = self.with_samples_of(node)?;
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
        let connection = self.with_samples_of(node)?;
        let mut statement = connection.prepare_cached(sql)?;
        let rows = statement.query_map(params![node.as_str(), from, to], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Drops a node's readings that are too old, and while it is in use only those from before its use:
    /// their record is made when it ends. Gives how many.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn thin_samples(&self, node: &NodeName, now: i64) -> Result<usize, StoreError> {
        let sql = "DELETE FROM sample WHERE node = ?1 AND at < min(?2, coalesce(\
                   (SELECT min(m.at) FROM deployment d JOIN mark m ON m.deployment = d.id \
                   WHERE d.node = ?1 AND d.state <> 'released'), ?2))";
        let before = now.saturating_sub(KEEP_NS);
        Ok(self.lock().prepare_cached(sql)?.execute(params![node.as_str(), before])?)
    }
}

/// All or none.
fn write(connection: &mut Connection, readings: &[Reading]) -> Result<(), StoreError> {
    let sql = "INSERT OR IGNORE INTO sample (node, at, milliwatts, meter) VALUES (?, ?, ?, ?)";
    let transaction = connection.transaction()?;
    {
        let mut statement = transaction.prepare_cached(sql)?;
        for Reading { node, sample, meter } in readings {
            statement.execute(params![
                node.as_str(),
                sample.unix_ns,
                sample.milliwatts,
                meter.as_str()
            ])?;
        }
    }
    Ok(transaction.commit()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SECOND_NS;
    use crate::deployment::State;
    use crate::pin::Pin;
    use crate::token;

    fn sample(unix_ns: i64) -> Sample {
        Sample { unix_ns, milliwatts: 100_000 }
    }

    fn written(store: &Store) -> i64 {
        let sql = "SELECT count(*) FROM sample";
        store.lock().query_row(sql, [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn who_reads_a_node_finds_all_of_it() {
        let store = Store::in_memory().unwrap();
        let (one, other) = ("n1".parse().unwrap(), "n2".parse().unwrap());
        for at in 1..=3 {
            store.add_sample(&one, sample(at), "ipmi-dcmi").unwrap();
        }
        assert_eq!(written(&store), 0, "they wait");
        assert!(store.samples(&other, 0, 9).unwrap().is_empty());
        assert_eq!(written(&store), 0, "none of them is the other's");
        assert_eq!(store.samples(&one, 2, 9).unwrap(), [sample(2), sample(3)]);
        store.add_sample(&one, sample(4), "ipmi-sdr").unwrap();
        assert_eq!(store.meters(&one, 0, 9).unwrap(), ["ipmi-dcmi", "ipmi-sdr"]);
        store.add_sample(&one, sample(5), "ipmi-sdr").unwrap();
        store.write_samples().unwrap();
        assert_eq!(written(&store), 5);
    }

    #[test]
    fn what_cannot_be_written_waits_and_not_without_limit() {
        let store = Store::in_memory().unwrap();
        let node = "n1".parse().unwrap();
        store.lock().execute_batch("ALTER TABLE sample RENAME TO gone").unwrap();
        store.add_sample(&node, sample(1), "m").unwrap();
        assert!(store.write_samples().is_err());
        store.add_sample(&node, sample(2), "m").unwrap();
        assert_eq!(store.samples_that_wait(), 2, "in the order in which they came");
        assert_eq!(store.waiting()[0].sample, sample(1));
        for at in (3..).take(WAITING_MAX - 3) {
            store.add_sample(&node, sample(at), "m").unwrap();
        }
        assert!(store.add_sample(&node, sample(0), "m").is_err());
        assert!(store.waiting().is_empty());
        store.lock().execute_batch("ALTER TABLE gone RENAME TO sample").unwrap();
        store.add_sample(&node, sample(7), "m").unwrap();
        assert_eq!(store.samples(&node, 0, 9).unwrap(), [sample(7)]);
    }

    #[test]
    fn old_readings_go_but_for_those_of_the_present_use() {
        let store = Store::in_memory().unwrap();
        let (node, kernel, image) =
            ("n1".parse().unwrap(), "k".parse().unwrap(), "i".parse().unwrap());
        let new = token::new_deployment(node, kernel, image, Pin::of_nothing());
        // Requested at 20 s, and looked at long after that.
        let id = store.add_jobless(&new, 20 * SECOND_NS).unwrap();
        for second in [10, 30] {
            store.add_sample(&new.node, sample(second * SECOND_NS), "m").unwrap();
        }
        let left = || store.samples(&new.node, 0, i64::MAX).unwrap().len();
        assert_eq!(left(), 2);
        let late = KEEP_NS + 100 * SECOND_NS;
        assert_eq!(store.thin_samples(&new.node, 5).unwrap(), 0);
        assert_eq!(store.thin_samples(&new.node, late).unwrap(), 1);
        store.change(id, Some(State::Released), None, &[], 2).unwrap();
        assert_eq!(store.thin_samples(&new.node, late).unwrap(), 1);
        assert_eq!(left(), 0);
    }
}
