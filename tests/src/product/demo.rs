//! The demo: two jobs, two kernels, one product. It is a test too: it fails if a job saw the wrong
//! kernel.

use super::{Assets, bmc, check, up, wait_until};
use crate::cluster::{Cluster, Options};
use anyhow::{Context, Result, ensure};
use std::time::{Duration, Instant};

/// What each job runs.
const SCRIPT: &str = "echo \"kernel $(uname -r) on $(hostname)\"; \
    echo \"huge pages: $(cat /sys/kernel/mm/transparent_hugepage/enabled)\"; sleep 10";

/// Kernel asked for, and what the job must see.
const JOBS: [(&str, &str); 3] =
    [("thp-off", "[never]"), ("thp-always", "[always]"), ("6.12-cloud", "6.12.")];

/// Longest a job may take from submission to its end.
const JOB_SECONDS: u64 = 240;

/// Brings a cluster up, runs the jobs, prints what there is to see, and removes everything.
///
/// # Errors
/// When a part does not come up, or a job did not see its kernel.
pub fn run(options: Options) -> Result<()> {
    let start = Instant::now();
    let say = |text: &str| println!("\n== {:6.1} s  {text}", start.elapsed().as_secs_f64());
    let dir = options.dir.clone();
    let assets = Assets::beside(&options.program_dir);
    say("starting the virtual cluster: slurmctld, munge, bootsrv, nodes that are off");
    let cluster = up(options, &assets)?;
    println!("{}", show(&cluster, &["sinfo", "--Node", "--long"])?);
    println!("{}", check(bmc(&cluster, &["kernel", "list"])?)?);

    let jobs = JOBS.map(|(kernel, expected)| (kernel, expected, submit(&cluster, kernel)));
    for (kernel, _, job) in &jobs {
        let job = job.as_ref().map_err(|error| anyhow::anyhow!("{error:#}"))?;
        say(&format!("alice$ sbatch --bmc-kernel={kernel} job.sh   → job {job}"));
    }
    for (kernel, expected, job) in jobs {
        let job = job?;
        wait_until(Duration::from_secs(JOB_SECONDS), &format!("job {job} has ended"), || {
            Ok(show(&cluster, &["scontrol", "show", "job", "-o", &job])?
                .contains("JobState=COMPLETED"))
        })
        .with_context(|| explain(&cluster, &job))?;
        let printed = std::fs::read_to_string(dir.join(format!("home/alice/{job}.out")))?;
        say(&format!("job {job} ({kernel}) printed:"));
        println!("{printed}");
        ensure!(
            printed.contains(expected),
            "job {job} with kernel {kernel} did not see {expected}"
        );
    }
    say("waiting for the nodes to be off");
    wait_until(Duration::from_secs(90), "all nodes are off", || {
        let mut off = true;
        for node in cluster.nodes() {
            off &= cluster.ipmitool(node, &["chassis", "power", "status"])?.contains("is off");
        }
        Ok(off)
    })?;
    wait_until(Duration::from_secs(60), "the records are complete", || {
        Ok(check(bmc(&cluster, &["status"])?)?.lines().count() <= 1)
    })?;
    for job in 1..=JOBS.len() {
        say(&format!(
            "bmc status {job}; bmc energy {job}   (watts are simulated: tests/POWER_MODEL.md)"
        ));
        println!("{}", check(bmc(&cluster, &["status", &job.to_string()])?)?);
        println!("{}", check(bmc(&cluster, &["energy", &job.to_string()])?)?);
    }
    cluster.down()?;
    std::fs::remove_dir_all(&dir).with_context(|| format!("removing {}", dir.display()))?;
    say("everything is stopped and removed");
    Ok(())
}

fn submit(cluster: &Cluster, kernel: &str) -> Result<String> {
    let option = format!("--bmc-kernel={kernel}");
    let wrap = format!("--wrap={SCRIPT}");
    let words = [
        "sbatch",
        "--parsable",
        "--chdir=/home/alice",
        "--output=/home/alice/%j.out",
        &option,
        &wrap,
    ];
    Ok(check(cluster.run("alice", &words)?)?.trim().to_owned())
}

fn show(cluster: &Cluster, words: &[&str]) -> Result<String> {
    Ok(cluster.check(words)?)
}

fn explain(cluster: &Cluster, job: &str) -> String {
    let shown = show(cluster, &["scontrol", "show", "job", job]).unwrap_or_default();
    let status =
        bmc(cluster, &["status", job]).and_then(check).unwrap_or_else(|error| format!("{error:#}"));
    let nodes = show(cluster, &["sinfo", "-N", "-l"]).unwrap_or_default();
    format!("{shown}\n{status}\n{nodes}")
}
