//! Tries that are over, by their kernel, with the energy records that were kept of them.

use super::{Store, StoreError, parse, parse_json};
use protocol::energy::NodeEnergy;
use protocol::names::{JobReference, KernelName, NodeName};
use rusqlite::params;

/// Made whenever the store is opened: a store of this schema is whole without them, and older programs
/// use one that has them.
pub(super) const INDEXES: &str = "CREATE INDEX IF NOT EXISTS try_kernel ON try (kernel); \
                                  CREATE INDEX IF NOT EXISTS try_kernel_uid ON try (kernel, uid);";

// The store has every try there ever was: neither of these may look at all of them, or sort them.
pub(super) const OF_ALL: &str = "SELECT id, reference, restart_count, ended FROM try \
                                 WHERE kernel = ?1 ORDER BY id DESC LIMIT ?2";
pub(super) const OF_USER: &str = "SELECT id, reference, restart_count, ended FROM try \
                                  WHERE kernel = ?1 AND uid = ?3 ORDER BY id DESC LIMIT ?2";

/// A try, as far as its runs need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelTry {
    /// Key.
    pub id: i64,
    /// The job as Slurm's commands name it.
    pub reference: JobReference,
    /// How often it was requeued before.
    pub restart_count: u32,
    /// When it was over, nanoseconds since 1970; `None`: it is not.
    pub ended_unix_ns: Option<i64>,
}

/// What was kept of one of a try's nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptNode {
    /// The node.
    pub node: NodeName,
    /// Its kernel.
    pub kernel: KernelName,
    /// Its deployment failed.
    pub failed: bool,
    /// Its record, once it is released.
    pub energy: Option<NodeEnergy>,
}

impl Store {
    /// The newest tries with that kernel, of one user or of all, newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn tries_with_kernel(
        &self,
        kernel: &KernelName,
        uid: Option<u32>,
        limit: u32,
    ) -> Result<Vec<KernelTry>, StoreError> {
        let connection = self.lock();
        let mut tries = Vec::new();
        let mut statement =
            connection.prepare_cached(if uid.is_some() { OF_USER } else { OF_ALL })?;
        let mut rows = match uid {
            Some(uid) => statement.query(params![kernel.as_str(), limit, uid]),
            None => statement.query(params![kernel.as_str(), limit]),
        }?;
        while let Some(row) = rows.next()? {
            let reference = parse(&row.get::<_, String>(1)?);
            // A row that cannot be read is one job's: the others are told all the same.
            let Some(reference) = self.readable("try", reference) else { continue };
            let (id, restart_count, ended_unix_ns) = (row.get(0)?, row.get(2)?, row.get(3)?);
            tries.push(KernelTry { id, reference, restart_count, ended_unix_ns });
        }
        Ok(tries)
    }

    /// What was kept of a try's nodes.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn kept_of_try(&self, id: i64) -> Result<Vec<KeptNode>, StoreError> {
        let sql = "SELECT node, kernel, reason IS NOT NULL, energy FROM deployment WHERE try = ? \
                   ORDER BY id";
        let rows: Vec<(String, String, bool, Option<String>)> = {
            let connection = self.lock();
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement
                .query_map([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
            rows.collect::<Result<_, _>>()?
        };
        // Parsed with the lock given back: a record may have a thousand gaps.
        let kept = |(node, kernel, failed, energy): (String, String, bool, Option<String>)| {
            let (node, kernel) = (parse(&node)?, parse(&kernel)?);
            Ok(KeptNode { node, kernel, failed, energy: parse_json(energy)? })
        };
        rows.into_iter().map(kept).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples::asked;
    use crate::store::NewTry;

    #[test]
    fn the_newest_tries_of_a_kernel_and_of_one_user_only() {
        let store = Store::in_memory().unwrap();
        for (job, kernel, uid) in [(1, "a", 7), (2, "b", 7), (3, "a", 8), (4, "a", 7)] {
            let asked = NewTry { kernel: kernel.parse().unwrap(), uid, ..asked(job) };
            store.add_try(&asked, &[], 1).unwrap();
        }
        store.end_try(1, 50).unwrap();
        let found = |kernel: &str, uid, limit| {
            let tries = store.tries_with_kernel(&kernel.parse().unwrap(), uid, limit).unwrap();
            tries.into_iter().map(|one| (one.id, one.ended_unix_ns)).collect::<Vec<_>>()
        };
        assert_eq!(found("a", None, 9), [(4, None), (3, None), (1, Some(50))]);
        assert_eq!(found("a", None, 2).len(), 2);
        assert_eq!(found("a", Some(7), 9), [(4, None), (1, Some(50))]);
        assert_eq!(found("c", None, 9), []);
    }

    /// Everybody may ask, and the store keeps every try for ever.
    #[test]
    fn looking_for_a_kernels_tries_reads_no_others_and_sorts_nothing() {
        let store = Store::in_memory().unwrap();
        for sql in [OF_ALL, OF_USER] {
            let connection = store.lock();
            let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let values = vec!["9"; plan.parameter_count()];
            let steps =
                plan.query_map(rusqlite::params_from_iter(values), |row| row.get(3)).unwrap();
            let steps: Vec<String> = steps.collect::<Result<_, _>>().unwrap();
            assert!(
                steps.iter().all(|step| step.starts_with("SEARCH try USING INDEX")),
                "{steps:?}"
            );
        }
    }
}
