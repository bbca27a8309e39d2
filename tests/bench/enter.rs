//! What it costs a task to enter its image: many tasks of one step, inside and outside, in two jobs on the
//! same node, one after the other.

use crate::figure::Figure;
use ::tests::cluster::Cluster;
use ::tests::product::{check, wait_until};
use anyhow::{Context, Result, ensure};
use std::time::Duration;

/// Tasks of a step; slurmstepd starts one after the other.
const TASKS: u32 = 64;
/// Goal, in milliseconds a task.
const GOAL: f64 = 5.0;
/// Longest the job may take.
const LIMIT: Duration = Duration::from_secs(900);

/// A step of many tasks that end at once, again and again; prints its milliseconds.
fn script(repeats: u32) -> String {
    format!(
        "step() {{ srun --overcommit --ntasks={TASKS} $1; }}; step /bin/true; \
         for one in $(seq {repeats}); do read from rest </proc/uptime; step /bin/true; \
         read to rest </proc/uptime; echo \"took $from $to\"; done"
    )
}

/// Milliseconds a task, for each step the job ran.
fn took(printed: &str) -> Vec<f64> {
    let one = |line: &str| -> Option<f64> {
        let mut words = line.strip_prefix("took ")?.split(' ').map(str::parse::<f64>);
        let (from, to) = (words.next()?.ok()?, words.next()?.ok()?);
        Some((to - from) * 1000.0 / f64::from(TASKS))
    };
    printed.lines().filter_map(one).collect()
}

/// Runs the two jobs and compares.
pub(crate) fn figures(cluster: &Cluster, image: &str, repeats: u32) -> Result<Vec<Figure>> {
    let steps = |options: &[&str]| -> Result<Vec<f64>> {
        let printed = job(cluster, options, &script(repeats))?;
        let took = took(&printed);
        ensure!(took.len() == usize::try_from(repeats)?, "not every step was timed: {printed}");
        Ok(took)
    };
    let inside = steps(&[&format!("--bmc-image={image}")])?;
    let outside = steps(&[])?;
    let ok = |values: &[f64]| values.iter().copied().map(Ok).collect::<Vec<Result<f64, String>>>();
    let more = inside.iter().zip(&outside).map(|(inside, outside)| Ok(inside - outside));
    Ok(vec![
        Figure::new("entering the image, a task, on an emulated node", "ms", Some(GOAL), more),
        Figure::new("  a task inside, launched by srun with 63 others", "ms", None, ok(&inside)),
        Figure::new("  a task outside", "ms", None, ok(&outside)),
    ])
}

/// What a batch script prints that runs alone on the first node.
pub(crate) fn job(cluster: &Cluster, options: &[&str], script: &str) -> Result<String> {
    let wrap = format!("--wrap={script}");
    let first = ["sbatch", "--parsable", "-w", "n1", "--chdir=/home/alice", "--output=%j.out"];
    let job = check(cluster.run("alice", &[&first, options, &[&wrap]].concat())?)?;
    let job = job.trim();
    wait_until(LIMIT, &format!("job {job} has ended"), || {
        let shown = cluster.check(&["scontrol", "show", "job", "-o", job])?;
        ensure!(!shown.contains("JobState=FAILED"), "{shown}");
        Ok(shown.contains("JobState=COMPLETED"))
    })?;
    let path = cluster.dir().join(format!("home/alice/{job}.out"));
    std::fs::read_to_string(&path).context("what the job printed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_divided_by_its_tasks() {
        assert_eq!(took("x\ntook 1.00 7.50\ntook 8 8.5\n"), [101.5625, 7.8125]);
    }
}
