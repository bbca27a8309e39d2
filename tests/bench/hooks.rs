//! What prolog and epilog cost a job in a partition that is not ours: the programs are started as
//! slurmctld starts them, with the variables of such a job.

use crate::figure::Figure;
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// Goal of the issue, for both together, in milliseconds.
const GOAL_MS: f64 = 5.0;
/// What slurmctld tells its hooks of a job, as far as ours read it.
const JOB: [(&str, &str); 9] = [
    ("SLURM_JOB_ID", "4711"),
    ("SLURM_JOB_UID", "2001"),
    ("SLURM_JOB_USER", "alice"),
    ("SLURM_JOB_GID", "2001"),
    ("SLURM_JOB_PARTITION", "not-ours"),
    ("SLURM_JOB_NODELIST", "other[1-4]"),
    ("SLURM_JOB_NUM_NODES", "4"),
    ("SLURM_CLUSTER_NAME", "virtual"),
    ("SLURM_JOB_RESTART_COUNT", "0"),
];

/// Runs each program so often; the figures are in milliseconds.
pub(crate) fn figures(dir: &Path, runs: u32) -> Result<Vec<Figure>> {
    let bin = dir.join("bin");
    let (mut prolog, mut epilog, mut both, mut nothing) = (vec![], vec![], vec![], vec![]);
    // In turns, so that a busy moment of the machine meets all alike.
    for _ in 0..runs {
        let one = milliseconds(&bin.join("prolog"), dir)?;
        let other = milliseconds(&bin.join("epilog"), dir)?;
        prolog.push(Ok(one));
        epilog.push(Ok(other));
        both.push(Ok(one + other));
        nothing.push(Ok(milliseconds(Path::new("/usr/bin/true"), dir)?));
    }
    Ok(vec![
        Figure::new("prolog and epilog of a job that is not ours", "ms", Some(GOAL_MS), both),
        Figure::new("  prolog alone", "ms", None, prolog),
        Figure::new("  epilog alone", "ms", None, epilog),
        Figure::new("  for comparison: starting /usr/bin/true once", "ms", None, nothing),
    ])
}

fn milliseconds(program: &Path, dir: &Path) -> Result<f64> {
    let begin = Instant::now();
    let status = Command::new(program)
        .env_clear()
        .envs(JOB)
        // The same file as inside the cluster, by its name outside.
        .env("BMC_CLIENT_CONFIG", dir.join("etc/client.toml"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .with_context(|| format!("starting {}", program.display()))?;
    let taken = begin.elapsed();
    if !status.success() {
        bail!("{} failed for a job that is not ours: {status}", program.display());
    }
    Ok(taken.as_secs_f64() * 1000.0)
}
