//! What the cluster's two deciders have logged since a case began: of a case that fails where nobody can look.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use tests::cluster::Cluster;

/// Who logs where, from the cluster's directory.
const LOGS: [(&str, &str); 2] =
    [("slurmctld", "log/slurm/slurmctld.log"), ("bootsrv", "log/services/bootsrv.log")];
/// Newest lines that are shown of each.
const LINES: usize = 30;
/// Of polling: each look of a case that waits.
const NOISE: &str = "_slurm_rpc_update_job: complete";

/// Where the logs stood.
pub(crate) struct Logs(Vec<(&'static str, PathBuf, usize)>);

impl Logs {
    /// As they stand now.
    pub(crate) fn here(cluster: &Cluster) -> Self {
        let at = |(name, path)| {
            let path = cluster.dir().join(path);
            let bytes = fs::read(&path).map_or(0, |log| log.len());
            (name, path, bytes)
        };
        Self(LOGS.into_iter().map(at).collect())
    }
}

impl fmt::Display for Logs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, path, from) in &self.0 {
            let log = fs::read(path).unwrap_or_default();
            let new = String::from_utf8_lossy(log.get(*from..).unwrap_or(&log)).into_owned();
            let lines: Vec<&str> = new.lines().filter(|line| !line.contains(NOISE)).collect();
            let skipped = lines.len().saturating_sub(LINES);
            writeln!(f, "\n-- {name}, the last of {} lines:", lines.len())?;
            lines.iter().skip(skipped).try_for_each(|line| writeln!(f, "   {line}"))?;
        }
        Ok(())
    }
}
